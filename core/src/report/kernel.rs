//! Kernel trace events of a trial: conversion to and from the machine output.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::kernel::event::{Event, EventKind};
use crate::time::Timestamp;
use crate::transcript::Errno;

/// One trace event. Optional fields are present according to the kind of event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReport {
    /// Time of the event, in nanoseconds since the trial began.
    pub at_ns: i64,
    /// Name of the trace event, without its subsystem.
    pub event: Cow<'static, str>,
    /// Address of the end that the event is about.
    pub source: SocketAddr,
    /// Address of the other end; unspecified for a listener.
    pub destination: SocketAddr,
    /// Number of the socket, from 1; `None` if the kernel had no socket for the event.
    pub socket: Option<u32>,
    /// Socket cookie (`SO_COOKIE`) of the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
    /// State of the socket that sends an RST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Reason for sending the RST: a name of `enum sk_rst_reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Error that is set on the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<Errno>,
    /// State that the socket leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_state: Option<String>,
    /// State that the socket enters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_state: Option<String>,
}

impl EventReport {
    /// Creates the report of an event. `began` is the time at which the trial began.
    #[must_use]
    pub(crate) fn new(event: &Event, began: Timestamp) -> Self {
        let mut report = Self {
            at_ns: event.at.since(began),
            event: event.kind.name().into(),
            source: event.source,
            destination: event.destination,
            socket: event.socket,
            cookie: event.cookie,
            state: None,
            reason: None,
            errno: None,
            old_state: None,
            new_state: None,
        };
        match &event.kind {
            EventKind::SendReset { state, reason } => {
                report.state.clone_from(state);
                report.reason.clone_from(reason);
            }
            EventKind::ReceiveReset => {}
            EventKind::ErrorReport(errno) => report.errno = Some(*errno),
            EventKind::SetState { old, new } => {
                report.old_state = Some(old.clone());
                report.new_state = Some(new.clone());
            }
        }
        report
    }

    /// Returns the reported event; `None` if its name is unknown or a field of that kind of event is missing.
    #[must_use]
    pub(crate) fn event(&self, began: Timestamp) -> Option<Event> {
        let kind = match &*self.event {
            "tcp_send_reset" => EventKind::SendReset {
                state: self.state.clone(),
                reason: self.reason.clone(),
            },
            "tcp_receive_reset" => EventKind::ReceiveReset,
            "inet_sk_error_report" => EventKind::ErrorReport(self.errno?),
            "inet_sock_set_state" => EventKind::SetState {
                old: self.old_state.clone()?,
                new: self.new_state.clone()?,
            },
            // Another version may have recorded events that this one does not know.
            _ => return None,
        };
        Some(Event {
            // Saturating: the report may be a hostile file.
            at: Timestamp(began.0.saturating_add(self.at_ns)),
            source: self.source,
            destination: self.destination,
            socket: self.socket,
            cookie: self.cookie,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_a_round_trip() {
        let began = Timestamp(1_000);
        for kind in [
            EventKind::SendReset {
                state: None,
                reason: Some("NO_SOCKET".to_owned()),
            },
            EventKind::ReceiveReset,
            EventKind::ErrorReport(Errno::EPIPE),
            EventKind::SetState {
                old: "TCP_ESTABLISHED".to_owned(),
                new: "TCP_CLOSE".to_owned(),
            },
        ] {
            let event = Event {
                at: Timestamp(1_500),
                source: "127.7.0.1:8080".parse().unwrap(),
                destination: "127.7.0.1:40000".parse().unwrap(),
                socket: Some(1),
                cookie: Some(7),
                kind,
            };
            let report = EventReport::new(&event, began);
            let text = serde_json::to_string(&report).unwrap();
            let read: EventReport = serde_json::from_str(&text).unwrap();
            assert_eq!(read.event(began), Some(event), "{text}");
        }
    }

    #[test]
    fn an_invalid_event_is_rejected() {
        let text = r#"{"at_ns":0,"event":"EVENT","source":"127.0.0.1:1","destination":"127.0.0.1:2","socket":null}"#;
        for event in [
            "",
            "tcp_probe",
            "inet_sk_error_report",
            "inet_sock_set_state",
        ] {
            let report: EventReport = serde_json::from_str(&text.replace("EVENT", event)).unwrap();
            assert_eq!(report.event(Timestamp(0)), None, "{event}");
        }
    }
}
