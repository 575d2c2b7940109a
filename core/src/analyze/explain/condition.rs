//! Conditions on the error of an application, where the packets of a connection leave it open.

use std::fmt;

use serde::{Serialize, Serializer};

/// Condition under which the application that receives an RST gets the stated error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrnoCondition {
    /// The receiver has sent its FIN. After `close()` no call can report the error, after `shutdown()` one can:
    /// `tcp_done_with_error()` reports it unless the socket is `SOCK_DEAD`.
    SocketHeld,
    /// The sender's FIN was sent and not acknowledged; the stated error is that after its arrival.
    FinReceived,
    /// The sender's FIN was sent and not acknowledged; the stated error is that before its arrival.
    FinNotReceived,
    /// The receiver is the end of an older connection, which may be in TIME-WAIT.
    NotTimeWait,
}

impl ErrnoCondition {
    /// All conditions.
    pub const ALL: [Self; 4] = [
        Self::SocketHeld,
        Self::FinReceived,
        Self::FinNotReceived,
        Self::NotTimeWait,
    ];

    /// Returns the stable id, in kebab-case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::SocketHeld => "socket-held",
            Self::FinReceived => "fin-received",
            Self::FinNotReceived => "fin-not-received",
            Self::NotTimeWait => "not-time-wait",
        }
    }

    /// Returns the condition as a clause that follows the name of the error.
    #[must_use]
    pub fn clause(self) -> &'static str {
        match self {
            Self::SocketHeld => {
                "only if the process still holds the socket: after close() no call reports it"
            }
            Self::FinReceived => {
                "if the FIN before it had arrived; otherwise ECONNRESET, at once or after a challenge"
            }
            Self::FinNotReceived => "if the FIN before it had not arrived; otherwise EPIPE",
            Self::NotTimeWait => {
                "if its older connection is still open; in TIME-WAIT no call reports it"
            }
        }
    }
}

impl fmt::Display for ErrnoCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Serialize for ErrnoCondition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
