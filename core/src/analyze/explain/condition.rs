//! Conditions on the error of an application, where the packets of a connection leave it open.

use std::fmt;

use serde::{Serialize, Serializer};

/// Condition under which the application of an end gets the stated error.
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
    /// An end has stopped sending again, earlier than Linux gives up by default: its kernel has given up because of a setting, or
    /// its process has.
    KernelGaveUp,
    /// The probes of a closed window are answered, so the kernel gives up only if a time-out is set.
    UserTimeout,
    /// The capture ended while an end still sent again.
    NoLaterReply,
}

impl ErrnoCondition {
    /// All conditions.
    pub const ALL: [Self; 7] = [
        Self::SocketHeld,
        Self::FinReceived,
        Self::FinNotReceived,
        Self::NotTimeWait,
        Self::KernelGaveUp,
        Self::UserTimeout,
        Self::NoLaterReply,
    ];

    /// Returns the stable id, in kebab-case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::SocketHeld => "socket-held",
            Self::FinReceived => "fin-received",
            Self::FinNotReceived => "fin-not-received",
            Self::NotTimeWait => "not-time-wait",
            Self::KernelGaveUp => "kernel-gave-up",
            Self::UserTimeout => "user-timeout",
            Self::NoLaterReply => "no-later-reply",
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
            Self::KernelGaveUp => "only if its kernel gave up; none if its process did so before",
            Self::UserTimeout => {
                "only with TCP_USER_TIMEOUT: probes that are answered go on for ever"
            }
            Self::NoLaterReply => "unless a reply came after the end of the capture",
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
