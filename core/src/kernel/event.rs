//! What the kernel said of one trial: plain data, whichever way it was asked.
//!
//! Pointers into the kernel never get here: a socket is a small number that is the same for all events of one trial.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::transcript::Errno;

/// A trace event that speaks of a trial's sockets, or of segments between their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, on the capture's clock.
    pub at: Timestamp,
    /// The end that the event is about: the owner of the socket, or where there is none the address that an answer
    /// comes from.
    pub source: SocketAddr,
    /// The end that it talks to; unspecified for a listener.
    pub destination: SocketAddr,
    /// The socket, numbered from 1 within the trial; `None` if the kernel had none at hand.
    pub socket: Option<u32>,
    /// What `SO_COOKIE` gives of that socket, where the event tells.
    pub cookie: Option<u64>,
    /// What happened.
    pub what: What,
}

/// What an event says has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// `tcp:tcp_send_reset`: a RST goes out. An answer is told of before it is sent, an abort after it.
    SendReset {
        /// State of the socket as the kernel names it (`TCP_LISTEN`); `None` if there is no socket or no such field.
        state: Option<String>,
        /// Name of its `sk_rst_reason`, or the bare number if this kernel names none; `None` if it gives no reason.
        reason: Option<String>,
    },
    /// `tcp:tcp_receive_reset`: a socket is killed by a RST, which need not have come from elsewhere.
    ReceiveReset,
    /// `sock:inet_sk_error_report`: an error is put on a socket.
    ErrorReport(Errno),
    /// `sock:inet_sock_set_state`: a socket changes its state; names as the kernel has them.
    SetState {
        /// From.
        old: String,
        /// To.
        new: String,
    },
}

impl What {
    /// The event's name, without its system.
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

/// The trace events of one trial, and what this kernel can tell at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// By time.
    pub events: Vec<Event>,
    /// What was asked for.
    pub coverage: Coverage,
}

/// Which facts this kernel's trace can tell of. What it cannot is unavailable, and counts neither way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The kernel had no room for some events: nothing can be said by what is missing.
    pub overrun: bool,
    /// `tcp_send_reset` is there.
    pub send_reset: bool,
    /// It tells of resets that no full socket sends, too (Linux 6.10).
    pub without_socket: bool,
    /// It gives a reason (Linux 6.10 for answers, 6.12 for aborts).
    pub reasons: bool,
    /// `tcp_receive_reset` is there.
    pub receive_reset: bool,
    /// `inet_sk_error_report` is there (Linux 5.14).
    pub error_report: bool,
    /// `inet_sock_set_state` is there (Linux 4.16).
    pub set_state: bool,
}

/// By how much each counter of the namespace moved during a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Counters of [`WATCHED`](super::counters::WATCHED) and [`PRESSURE`](super::counters::PRESSURE) that increased, by name.
    pub by: BTreeMap<String, u64>,
    /// Those that this kernel does not count.
    pub uncounted: Vec<String>,
}

impl Moved {
    /// These and those together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (name, by) in &other.by {
            let sum = self.by.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*by);
        }
        self
    }

    /// By how much this one moved; `None` if this kernel does not count it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        if self.uncounted.iter().any(|it| it == name) {
            return None;
        }
        Some(self.by.get(name).copied().unwrap_or(0))
    }
}
