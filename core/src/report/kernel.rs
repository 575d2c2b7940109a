//! What the kernel said of a trial, as the machine form has it, and back.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::kernel::event::{Event, What};
use crate::time::Timestamp;
use crate::transcript::Errno;

/// One trace event; which fields there are depends on the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReport {
    /// When, in nanoseconds since the trial began.
    pub at_ns: i64,
    /// Its name, without its system.
    pub event: Cow<'static, str>,
    /// The end that it is about.
    pub source: SocketAddr,
    /// The end that this talks to; unspecified for a listener.
    pub destination: SocketAddr,
    /// The socket, numbered from 1; `None` if the kernel had none at hand.
    pub socket: Option<u32>,
    /// `SO_COOKIE` of that socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
    /// State of the socket that sends a RST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it sends it: a name of `enum sk_rst_reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The error that is put on the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<Errno>,
    /// The state that the socket leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_state: Option<String>,
    /// The state that the socket enters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_state: Option<String>,
}

impl EventReport {
    /// The report of this event of a trial that began then.
    #[must_use]
    pub fn new(event: &Event, began: Timestamp) -> Self {
        let mut report = Self {
            at_ns: event.at.since(began),
            event: event.what.name().into(),
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
        match &event.what {
            What::SendReset { state, reason } => {
                report.state.clone_from(state);
                report.reason.clone_from(reason);
            }
            What::ReceiveReset => {}
            What::ErrorReport(errno) => report.errno = Some(*errno),
            What::SetState { old, new } => {
                report.old_state = Some(old.clone());
                report.new_state = Some(new.clone());
            }
        }
        report
    }

    /// The event that is told of; `None` if it is none that is known.
    #[must_use]
    pub fn event(&self, began: Timestamp) -> Option<Event> {
        let what = match &*self.event {
            "tcp_send_reset" => What::SendReset {
                state: self.state.clone(),
                reason: self.reason.clone(),
            },
            "tcp_receive_reset" => What::ReceiveReset,
            "inet_sk_error_report" => What::ErrorReport(self.errno?),
            "inet_sock_set_state" => What::SetState {
                old: self.old_state.clone()?,
                new: self.new_state.clone()?,
            },
            _ => return None,
        };
        Some(Event {
            at: Timestamp(began.0.saturating_add(self.at_ns)),
            source: self.source,
            destination: self.destination,
            socket: self.socket,
            cookie: self.cookie,
            what,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_and_read_back() {
        let began = Timestamp(1_000);
        for what in [
            What::SendReset {
                state: None,
                reason: Some("NO_SOCKET".to_owned()),
            },
            What::ReceiveReset,
            What::ErrorReport(Errno::EPIPE),
            What::SetState {
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
                what,
            };
            let report = EventReport::new(&event, began);
            let text = serde_json::to_string(&report).unwrap();
            let read: EventReport = serde_json::from_str(&text).unwrap();
            assert_eq!(read.event(began), Some(event), "{text}");
        }
    }

    #[test]
    fn what_is_no_event_is_told_from_one() {
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
