//! What the sockets said: every call, when it began and ended, and how it ended.
//!
//! A socket error is data here. One RST is reported by exactly one call and changes how every later call ends, so
//! the whole transcript is kept, not one errno.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::Timestamp;

/// Which end of the connection makes a call or sends a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The end that calls `connect`.
    Client,
    /// The end that calls `accept`.
    Server,
}

impl Role {
    /// The other end.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// `client` or `server`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One system call on the role's own socket. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `connect(2)` to the server's address, blocking.
    Connect,
    /// `accept(2)` on the listener; the new descriptor becomes the server's socket.
    Accept,
    /// `read(2)` of at most this many bytes, blocking.
    Read(u16),
    /// `write(2)` of this many bytes, blocking.
    Write(u16),
    /// `shutdown(2)` with `SHUT_WR`: half-close.
    ShutdownWrite,
    /// `setsockopt(SO_LINGER, {1, 0})`: the next `close` aborts.
    LingerZero,
    /// `setsockopt(TCP_QUICKACK, 0)`: ACKs may be delayed.
    DelayAcks,
    /// `getsockopt(SO_ERROR)`: takes the pending error.
    SocketError,
    /// `close(2)`.
    Close,
}

impl Op {
    /// The system call's name.
    #[must_use]
    pub fn call(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Read(_) => "read",
            Self::Write(_) => "write",
            Self::ShutdownWrite => "shutdown",
            Self::LingerZero | Self::DelayAcks => "setsockopt",
            Self::SocketError => "getsockopt",
            Self::Close => "close",
        }
    }

    /// What it was called with, descriptors and addresses left out; empty if nothing is left.
    #[must_use]
    pub fn arguments(self) -> Cow<'static, str> {
        match self {
            Self::Connect | Self::Accept | Self::Close => "".into(),
            Self::Read(len) | Self::Write(len) => len.to_string().into(),
            Self::ShutdownWrite => "SHUT_WR".into(),
            Self::LingerZero => "SO_LINGER {1,0}".into(),
            Self::DelayAcks => "TCP_QUICKACK 0".into(),
            Self::SocketError => "SO_ERROR".into(),
        }
    }

    /// The operation that is shown as this call with these arguments: [`Op::call`] and [`Op::arguments`] turned round.
    #[must_use]
    pub fn of_call(call: &str, arguments: &str) -> Option<Self> {
        let op = match (call, arguments) {
            ("connect", "") => Self::Connect,
            ("accept", "") => Self::Accept,
            ("close", "") => Self::Close,
            ("read", len) => Self::Read(len.parse().ok()?),
            ("write", len) => Self::Write(len.parse().ok()?),
            ("shutdown", "SHUT_WR") => Self::ShutdownWrite,
            ("setsockopt", "SO_LINGER {1,0}") => Self::LingerZero,
            ("setsockopt", "TCP_QUICKACK 0") => Self::DelayAcks,
            ("getsockopt", "SO_ERROR") => Self::SocketError,
            _ => return None,
        };
        // `+1` and `01` are numbers, too, but nothing that is shown.
        (op.arguments() == arguments).then_some(op)
    }

    /// Whether the call reports a pending socket error and takes it away. `read` does so only when no data and no
    /// FIN is there to be read, which the judge has to know.
    #[must_use]
    pub fn takes_error(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::Read(_) | Self::Write(_) | Self::SocketError
        )
    }
}

impl fmt::Display for Op {
    /// As strace would begin the line: `read(1)`, `close()`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.call(), self.arguments())
    }
}

/// An error number of this kernel; shown and stored by name, since numbers differ between architectures.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// Broken pipe.
    pub const EPIPE: Self = Self(libc::EPIPE);
    /// Connection reset by peer.
    pub const ECONNRESET: Self = Self(libc::ECONNRESET);
    /// Connection refused.
    pub const ECONNREFUSED: Self = Self(libc::ECONNREFUSED);
    /// Transport endpoint is not connected.
    pub const ENOTCONN: Self = Self(libc::ENOTCONN);
    /// Resource temporarily unavailable: a time bound of the caller's own was reached.
    pub const EAGAIN: Self = Self(libc::EAGAIN);
    /// No such file or directory.
    pub const ENOENT: Self = Self(libc::ENOENT);
    /// Permission denied.
    pub const EACCES: Self = Self(libc::EACCES);
    /// Too many symbolic links, or one where none may be.
    pub const ELOOP: Self = Self(libc::ELOOP);
    /// Interrupted system call.
    pub const EINTR: Self = Self(libc::EINTR);
}

impl Errno {
    /// The error of this name, as [`Display`](fmt::Display) writes it.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        /// More than any error number that Linux hands to programs (`MAX_ERRNO` is 4095; the last one named is 133).
        const END: i32 = 256;
        static NUMBERS: LazyLock<BTreeMap<String, i32>> = LazyLock::new(|| {
            (1..END)
                .filter(|number| {
                    nix::errno::Errno::from_raw(*number) != nix::errno::Errno::UnknownErrno
                })
                .map(|number| (Errno(number).to_string(), number))
                .collect()
        });
        if let Some(number) = NUMBERS.get(name) {
            return Some(Self(*number));
        }
        let number = name.strip_prefix("errno ")?.parse().ok()?;
        (Self(number).to_string() == name).then_some(Self(number))
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::errno::Errno::from_raw(self.0) {
            nix::errno::Errno::UnknownErrno => write!(f, "errno {}", self.0),
            known => write!(f, "{known:?}"),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Errno {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Errno {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::of_name(&name)
            .ok_or_else(|| de::Error::custom(format_args!("there is no error number '{name}'")))
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned this. A new descriptor counts as 0: its number says nothing about the connection.
    Returned(i64),
    /// It returned −1 and set this errno.
    Failed(Errno),
    /// `getsockopt(SO_ERROR)` returned 0 and reported this error, or none.
    SocketError(Option<Errno>),
    /// It had not returned when the time bound of a call was reached.
    Unfinished,
}

impl Outcome {
    /// The error that the caller was told of, by whichever way.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed(errno) | Self::SocketError(Some(errno)) => Some(errno),
            Self::Returned(_) | Self::SocketError(None) | Self::Unfinished => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(value) => write!(f, "{value}"),
            Self::Failed(errno) | Self::SocketError(Some(errno)) => write!(f, "{errno}"),
            Self::SocketError(None) => f.write_str("0"),
            Self::Unfinished => f.write_str("did not return"),
        }
    }
}

/// One call as it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose socket it was made on.
    pub role: Role,
    /// What was called.
    pub op: Op,
    /// Read just before the call was entered.
    pub began: Timestamp,
    /// Read just after it had returned.
    pub ended: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
}

/// Every call of a trial in the order in which they were made.
pub type Transcript = Vec<Call>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_what_it_is_shown_as() {
        for op in [
            Op::Connect,
            Op::Accept,
            Op::Read(0),
            Op::Read(65_535),
            Op::Write(1),
            Op::ShutdownWrite,
            Op::LingerZero,
            Op::DelayAcks,
            Op::SocketError,
            Op::Close,
        ] {
            assert_eq!(Op::of_call(op.call(), &op.arguments()), Some(op));
        }
        for (call, arguments) in [
            ("read", ""),
            ("read", "+1"),
            ("read", "01"),
            ("read", "65536"),
            ("write", "-1"),
            ("connect", "1"),
            ("shutdown", "SHUT_RD"),
            ("setsockopt", ""),
            ("", ""),
        ] {
            assert_eq!(Op::of_call(call, arguments), None, "{call}({arguments})");
        }
    }

    #[test]
    fn an_error_number_has_the_name_of_this_host() {
        for (name, errno) in [
            ("EPIPE", Errno::EPIPE),
            ("ECONNRESET", Errno::ECONNRESET),
            ("EAGAIN", Errno::EAGAIN),
            ("errno 524", Errno(524)),
        ] {
            assert_eq!(Errno::of_name(name), Some(errno));
            assert_eq!(errno.to_string(), name);
        }
        for name in ["", "EPIPEX", "UnknownErrno", "32", "errno 32", "errno x"] {
            assert_eq!(Errno::of_name(name), None, "{name}");
        }
    }
}
