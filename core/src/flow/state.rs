//! States of an end, and the errors that an RST sets in them.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::transcript::Errno;

/// State of one end of a connection (RFC 9293, 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the RFC's
pub enum State {
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

impl State {
    /// Returns the name of the state as the RFC spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }

    /// Returns the error that an acceptable RST sets on a socket in this state, as `tcp_reset()` of the Linux kernel
    /// does. `None` if there is no socket to report it to. In SYN-RECEIVED a socket exists only after crossed SYNs or
    /// with TCP Fast Open; otherwise there is only a request, which the listener drops.
    #[must_use]
    pub fn errno_of_reset(self) -> Option<Errno> {
        match self {
            Self::SynSent => Some(Errno::ECONNREFUSED),
            Self::CloseWait => Some(Errno::EPIPE),
            Self::Listen | Self::TimeWait | Self::Closed => None,
            Self::SynReceived
            | Self::Established
            | Self::FinWait1
            | Self::FinWait2
            | Self::Closing
            | Self::LastAck => Some(Errno::ECONNRESET),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
