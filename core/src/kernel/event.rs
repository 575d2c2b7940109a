//! Kernel trace events and counter changes of one trial, as plain data without regard to their source.
//!
//! Pointers into the kernel never get here: a socket is a small number, the same in all events of one trial.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::transcript::Errno;

/// Trace event about a trial's socket, or about segments between its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time of the event, on the capture's clock.
    pub at: Timestamp,
    /// End that the event is about: the owner of the socket, or without a socket the address that a reply comes from.
    pub source: SocketAddr,
    /// Other end; unspecified for a listener.
    pub destination: SocketAddr,
    /// Number of the socket, from 1 within the trial; `None` if the event has no socket.
    pub socket: Option<u32>,
    /// Value of `SO_COOKIE` of that socket, if the event contains it.
    pub cookie: Option<u64>,
    /// Kind of event.
    pub kind: EventKind,
}

/// Kind of trace event, with its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `tcp:tcp_send_reset`: an RST is sent. A reply is traced before it is sent, an abort after it.
    SendReset {
        /// State of the socket, by the kernel's name (`TCP_LISTEN`); `None` without a socket or such a field.
        state: Option<String>,
        /// Name of the `sk_rst_reason`, or its number if this kernel has no name for it; `None` without a reason.
        reason: Option<String>,
    },
    /// `tcp:tcp_receive_reset`: a socket is closed by a reset, which need not have come from the other end.
    ReceiveReset,
    /// `sock:inet_sk_error_report`: an error is set on a socket.
    ErrorReport(Errno),
    /// `sock:inet_sock_set_state`: a socket changes its state, by the kernel's names.
    SetState {
        /// Old state.
        old: String,
        /// New state.
        new: String,
    },
}

impl EventKind {
    /// Returns the name of the event, without its subsystem.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SendReset { .. } => "tcp_send_reset",
            Self::ReceiveReset => "tcp_receive_reset",
            Self::ErrorReport(_) => "inet_sk_error_report",
            Self::SetState { .. } => "inet_sock_set_state",
        }
    }
}

/// Trace events of one trial, and the events that this kernel provides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Events in the order of time.
    pub events: Vec<Event>,
    /// Events and fields that were available.
    pub coverage: Coverage,
}

/// Events and fields that this kernel's trace provides. Facts that it does not provide are unavailable, and do not
/// affect the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// True if the kernel lost events for lack of room: a missing event proves nothing then.
    pub overrun: bool,
    /// True if `tcp_send_reset` exists.
    pub tcp_send_reset: bool,
    /// True if `tcp_send_reset` is also called for RSTs sent without a full socket (Linux 6.10).
    pub resets_without_socket: bool,
    /// True if `tcp_send_reset` gives a reason (Linux 6.10 for replies, 6.12 for aborts).
    pub reset_reasons: bool,
    /// True if `tcp_receive_reset` exists.
    pub tcp_receive_reset: bool,
    /// True if `inet_sk_error_report` exists (Linux 5.14).
    pub inet_sk_error_report: bool,
    /// True if `inet_sock_set_state` exists (Linux 4.16).
    pub inet_sock_set_state: bool,
}

/// Changes of the namespace's counters during a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterDelta {
    /// Increase of each counter of [`WATCHED`](super::counters::WATCHED) and [`PRESSURE`](super::counters::PRESSURE)
    /// that increased, by name.
    pub by: BTreeMap<String, u64>,
    /// Names of the counters that this kernel does not have.
    pub unsupported_counters: Vec<String>,
}

impl CounterDelta {
    /// Returns the sum of both changes.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (name, by) in &other.by {
            let sum = self.by.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*by);
        }
        self
    }

    /// Returns the increase of this counter; `None` if this kernel does not have it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        if self.unsupported_counters.iter().any(|it| it == name) {
            return None;
        }
        Some(self.by.get(name).copied().unwrap_or(0))
    }
}
