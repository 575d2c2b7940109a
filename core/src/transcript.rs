//! Transcript of a trial: every system call on its sockets, with its start, its end and its result.
//!
//! A socket error is data here. The error of one RST is returned by exactly one call and changes the result of every
//! later call, so the whole transcript is kept, not one errno.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use crate::errno::Errno;
use crate::time::Timestamp;

/// End of the connection that makes a call or sends a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The end that calls `connect`.
    Client,
    /// The end that calls `accept`.
    Server,
}

impl Role {
    /// Returns the other end.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Returns the name: `client` or `server`.
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

/// System call on the role's own socket, blocking unless stated otherwise. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `connect(2)` to the server's address.
    Connect,
    /// `connect(2)` with `AF_UNSPEC`: dissolves the association, abortively.
    Disconnect,
    /// `accept(2)` on the listener; the new descriptor becomes the server's socket.
    Accept,
    /// `read(2)` of at most this number of bytes.
    Read(u32),
    /// `recv(2)` with `MSG_PEEK` of at most this number of bytes.
    Peek(u32),
    /// `write(2)` of this number of bytes.
    Write(u32),
    /// `send(2)` of one byte with `MSG_OOB`: urgent data.
    WriteUrgent,
    /// `shutdown(2)` with `SHUT_RD`.
    ShutdownRead,
    /// `shutdown(2)` with `SHUT_WR`: half-close.
    ShutdownWrite,
    /// `shutdown(2)` with `SHUT_RDWR`.
    ShutdownBoth,
    /// `shutdown(2)` with `SHUT_RD` on the listener: it stops listening.
    ShutdownListener,
    /// `setsockopt(SO_LINGER, {1, 0})`: the next `close` aborts.
    LingerZero,
    /// `setsockopt(SO_LINGER, {1, seconds})`: the next `close` waits up to that time for sent data to be
    /// acknowledged.
    Linger(u8),
    /// `setsockopt(TCP_LINGER2)`: seconds in FIN-WAIT-2 after `close`; negative to skip FIN-WAIT-2.
    Linger2(i8),
    /// `setsockopt(TCP_QUICKACK, 0)`: ACKs may be delayed.
    DelayAcks,
    /// `setsockopt(SO_RCVTIMEO)`, in milliseconds.
    ReceiveTimeout(u16),
    /// `setsockopt(SO_SNDTIMEO)`, in milliseconds.
    SendTimeout(u16),
    /// `setsockopt(TCP_USER_TIMEOUT)`, in milliseconds.
    UserTimeout(u16),
    /// `setsockopt(TCP_SYNCNT)`: number of retransmissions of a SYN.
    SynCount(u8),
    /// `setsockopt(SO_KEEPALIVE)`: an idle connection is probed.
    KeepAlive,
    /// `setsockopt(TCP_KEEPIDLE)`: seconds until the first probe.
    KeepIdle(u8),
    /// `setsockopt(TCP_KEEPINTVL)`: seconds between probes.
    KeepInterval(u8),
    /// `setsockopt(TCP_KEEPCNT)`: number of probes before the connection is dropped.
    KeepCount(u8),
    /// `setsockopt(IP_RECVERR)`, or `IPV6_RECVERR`: ICMP errors are reported as soon as they arrive.
    ReceiveErrors,
    /// `setsockopt(TCP_FASTOPEN_CONNECT)`: `connect` sends nothing, the first write is sent with the SYN.
    FastOpenConnect,
    /// `setsockopt(TCP_REPAIR)`: the process takes the connection over from the kernel; `close` then sends nothing.
    Repair,
    /// `setsockopt(SO_ATTACH_FILTER)` with a filter that drops everything: the socket receives nothing any more, as
    /// if its host were unreachable.
    DropAll,
    /// `sendmsg(2)` of `SOCK_DESTROY` to the kernel (`ss -K`): an administrator aborts the connection.
    Destroy,
    /// `setsockopt(SO_RCVBUF)`: before `connect`, it limits the window that the socket advertises.
    ReceiveBuffer(u32),
    /// `setsockopt(SO_SNDBUF)`.
    SendBuffer(u32),
    /// `fcntl(O_NONBLOCK)`: later calls do not block.
    NonBlocking,
    /// `getsockopt(SO_ERROR)`: takes the pending error.
    SocketError,
    /// `getpeername(2)`.
    PeerName,
    /// `poll(2)` for `POLLIN|POLLOUT|POLLRDHUP` without blocking; the outcome is the mask.
    Poll,
    /// `posix_spawn(3)` of a child process that holds a copy of the socket and does nothing with it.
    Spawn,
    /// `kill(2)` of the child process with `SIGKILL`, and `waitpid(2)`: its exit closes its copy of the socket.
    Kill,
    /// `kill(2)` of the child process with `SIGTERM`, and `waitpid(2)`: the child calls `exit_group(2)` itself.
    Terminate,
    /// `close(2)`.
    Close,
    /// `close(2)` of the listener; of several listeners on one port, the one that holds the connection.
    CloseListener,
}

/// Placeholder for the listener's descriptor in the text of a call.
const LISTENER: &str = "listener";

impl Op {
    /// Returns the name of the system call.
    #[must_use]
    pub fn call(self) -> &'static str {
        match self {
            Self::Connect | Self::Disconnect => "connect",
            Self::Accept => "accept",
            Self::Read(_) => "read",
            Self::Peek(_) => "recv",
            Self::Write(_) => "write",
            Self::WriteUrgent => "send",
            Self::ShutdownRead
            | Self::ShutdownWrite
            | Self::ShutdownBoth
            | Self::ShutdownListener => "shutdown",
            Self::LingerZero
            | Self::Linger2(_)
            | Self::DelayAcks
            | Self::ReceiveTimeout(_)
            | Self::SendTimeout(_)
            | Self::UserTimeout(_)
            | Self::SynCount(_)
            | Self::KeepAlive
            | Self::KeepIdle(_)
            | Self::KeepInterval(_)
            | Self::KeepCount(_)
            | Self::ReceiveErrors
            | Self::FastOpenConnect
            | Self::Repair
            | Self::DropAll
            | Self::Linger(_)
            | Self::ReceiveBuffer(_)
            | Self::SendBuffer(_) => "setsockopt",
            Self::Destroy => "sendmsg",
            Self::NonBlocking => "fcntl",
            Self::SocketError => "getsockopt",
            Self::PeerName => "getpeername",
            Self::Poll => "poll",
            Self::Spawn => "posix_spawn",
            Self::Kill | Self::Terminate => "kill",
            Self::Close | Self::CloseListener => "close",
        }
    }

    /// Returns the arguments without descriptors and addresses; empty if no others are left.
    #[must_use]
    pub fn arguments(self) -> Cow<'static, str> {
        match self {
            Self::Connect
            | Self::Accept
            | Self::Close
            | Self::PeerName
            | Self::Poll
            | Self::Spawn => "".into(),
            Self::Disconnect => "AF_UNSPEC".into(),
            Self::Read(len) | Self::Write(len) => len.to_string().into(),
            Self::Peek(len) => format!("{len}, MSG_PEEK").into(),
            Self::WriteUrgent => "1, MSG_OOB".into(),
            Self::ShutdownRead => "SHUT_RD".into(),
            Self::ShutdownWrite => "SHUT_WR".into(),
            Self::ShutdownBoth => "SHUT_RDWR".into(),
            Self::ShutdownListener => format!("{LISTENER}, SHUT_RD").into(),
            Self::LingerZero => "SO_LINGER {1,0}".into(),
            Self::Linger(seconds) => format!("SO_LINGER {{1,{seconds}}}").into(),
            Self::Linger2(seconds) => format!("TCP_LINGER2 {seconds}").into(),
            Self::DelayAcks => "TCP_QUICKACK 0".into(),
            Self::ReceiveTimeout(ms) => format!("SO_RCVTIMEO {ms} ms").into(),
            Self::SendTimeout(ms) => format!("SO_SNDTIMEO {ms} ms").into(),
            Self::UserTimeout(ms) => format!("TCP_USER_TIMEOUT {ms} ms").into(),
            Self::SynCount(count) => format!("TCP_SYNCNT {count}").into(),
            Self::KeepAlive => "SO_KEEPALIVE 1".into(),
            Self::KeepIdle(seconds) => format!("TCP_KEEPIDLE {seconds}").into(),
            Self::KeepInterval(seconds) => format!("TCP_KEEPINTVL {seconds}").into(),
            Self::KeepCount(count) => format!("TCP_KEEPCNT {count}").into(),
            Self::ReceiveErrors => "IP_RECVERR 1".into(),
            Self::FastOpenConnect => "TCP_FASTOPEN_CONNECT 1".into(),
            Self::Repair => "TCP_REPAIR 1".into(),
            Self::DropAll => "SO_ATTACH_FILTER drop".into(),
            Self::Destroy => "SOCK_DESTROY".into(),
            Self::ReceiveBuffer(len) => format!("SO_RCVBUF {len}").into(),
            Self::SendBuffer(len) => format!("SO_SNDBUF {len}").into(),
            Self::NonBlocking => "O_NONBLOCK".into(),
            Self::SocketError => "SO_ERROR".into(),
            Self::Kill => "child, SIGKILL".into(),
            Self::Terminate => "child, SIGTERM".into(),
            Self::CloseListener => LISTENER.into(),
        }
    }

    /// Returns the operation with this call and these arguments: the inverse of [`Op::call`] and [`Op::arguments`].
    #[must_use]
    pub fn of_call(call: &str, arguments: &str) -> Option<Self> {
        let milliseconds = |text: &str| text.strip_suffix(" ms")?.parse::<u16>().ok();
        let op = match (call, arguments) {
            ("connect", "") => Self::Connect,
            ("connect", "AF_UNSPEC") => Self::Disconnect,
            ("accept", "") => Self::Accept,
            ("close", "") => Self::Close,
            ("close", LISTENER) => Self::CloseListener,
            ("read", len) => Self::Read(len.parse().ok()?),
            ("recv", len) => Self::Peek(len.strip_suffix(", MSG_PEEK")?.parse().ok()?),
            ("write", len) => Self::Write(len.parse().ok()?),
            ("send", "1, MSG_OOB") => Self::WriteUrgent,
            ("shutdown", "SHUT_RD") => Self::ShutdownRead,
            ("shutdown", "SHUT_WR") => Self::ShutdownWrite,
            ("shutdown", "SHUT_RDWR") => Self::ShutdownBoth,
            ("shutdown", "listener, SHUT_RD") => Self::ShutdownListener,
            ("fcntl", "O_NONBLOCK") => Self::NonBlocking,
            ("getsockopt", "SO_ERROR") => Self::SocketError,
            ("getpeername", "") => Self::PeerName,
            ("poll", "") => Self::Poll,
            ("posix_spawn", "") => Self::Spawn,
            ("kill", "child, SIGKILL") => Self::Kill,
            ("kill", "child, SIGTERM") => Self::Terminate,
            ("sendmsg", "SOCK_DESTROY") => Self::Destroy,
            ("setsockopt", option) => match option.split_once(' ')? {
                ("SO_LINGER", "{1,0}") => Self::LingerZero,
                ("SO_LINGER", value) => {
                    let seconds = value.strip_prefix("{1,")?.strip_suffix('}')?;
                    Self::Linger(seconds.parse().ok()?)
                }
                ("SO_KEEPALIVE", "1") => Self::KeepAlive,
                ("TCP_KEEPIDLE", seconds) => Self::KeepIdle(seconds.parse().ok()?),
                ("TCP_KEEPINTVL", seconds) => Self::KeepInterval(seconds.parse().ok()?),
                ("TCP_KEEPCNT", count) => Self::KeepCount(count.parse().ok()?),
                ("IP_RECVERR", "1") => Self::ReceiveErrors,
                ("TCP_FASTOPEN_CONNECT", "1") => Self::FastOpenConnect,
                ("TCP_REPAIR", "1") => Self::Repair,
                ("SO_ATTACH_FILTER", "drop") => Self::DropAll,
                ("TCP_LINGER2", seconds) => Self::Linger2(seconds.parse().ok()?),
                ("TCP_QUICKACK", "0") => Self::DelayAcks,
                ("SO_RCVTIMEO", ms) => Self::ReceiveTimeout(milliseconds(ms)?),
                ("SO_SNDTIMEO", ms) => Self::SendTimeout(milliseconds(ms)?),
                ("TCP_USER_TIMEOUT", ms) => Self::UserTimeout(milliseconds(ms)?),
                ("TCP_SYNCNT", count) => Self::SynCount(count.parse().ok()?),
                ("SO_RCVBUF", len) => Self::ReceiveBuffer(len.parse().ok()?),
                ("SO_SNDBUF", len) => Self::SendBuffer(len.parse().ok()?),
                _ => return None,
            },
            _ => return None,
        };
        // `+1` and `01` parse as numbers, but `arguments` never writes them.
        (op.arguments() == arguments).then_some(op)
    }

    /// Returns true if the call reports a pending socket error and clears it. `read` does so only if no data and no
    /// FIN are waiting to be read, which the judge has to take into account.
    #[must_use]
    pub fn takes_error(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Read(_)
                | Self::Peek(_)
                | Self::Write(_)
                | Self::WriteUrgent
                | Self::SocketError
        )
    }
}

impl fmt::Display for Op {
    /// Writes the call as strace begins a line: `read(1)`, `close()`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.call(), self.arguments())
    }
}

/// Result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call returned this value. A new descriptor is stored as 0: its number is unrelated to the connection.
    Returned(i64),
    /// The call returned −1 and set this errno.
    Failed(Errno),
    /// `getsockopt(SO_ERROR)` returned 0 and reported this error, or none.
    SocketError(Option<Errno>),
    /// `poll` returned this mask.
    Polled(Events),
    /// The call had not returned when the time limit of a call was reached.
    Unfinished,
}

/// Event mask of `poll`. The bits are those of Linux on all architectures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(pub u16);

impl Events {
    /// Data, the end of file or an error can be read.
    pub const IN: Self = Self(0x001);
    /// A write would not block.
    pub const OUT: Self = Self(0x004);
    /// An error is pending on the socket.
    pub const ERR: Self = Self(0x008);
    /// Both directions of the connection are shut down.
    pub const HUP: Self = Self(0x010);
    /// The peer has shut down its sending direction.
    pub const RDHUP: Self = Self(0x2000);
    /// Urgent data can be read.
    pub const PRI: Self = Self(0x002);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::IN, "IN"),
        (Self::PRI, "PRI"),
        (Self::OUT, "OUT"),
        (Self::ERR, "ERR"),
        (Self::HUP, "HUP"),
        (Self::RDHUP, "RDHUP"),
    ];

    /// Returns the union of both masks.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Parses a mask as [`Display`](fmt::Display) writes it.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let named = |word: &str| Self::NAMES.iter().find(|(_, name)| *name == word);
        let mut mask = Self::default();
        // The text of an empty mask is 0, which is not the name of an event.
        for word in text.split('|').filter(|_| text != "0") {
            mask = mask.and(named(word)?.0);
        }
        // One mask has one text only: other orders and repetitions are not accepted.
        (mask.to_string() == text).then_some(mask)
    }
}

impl fmt::Display for Events {
    /// Writes the names of the events, such as `IN|OUT|RDHUP`; `0` if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (event, name) in Self::NAMES {
            if self.0 & event.0 != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if separator.is_empty() {
            f.write_str("0")?;
        }
        Ok(())
    }
}

impl Outcome {
    /// Returns the error that the caller received, as an errno or through `SO_ERROR`.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed(errno) | Self::SocketError(Some(errno)) => Some(errno),
            Self::Returned(_) | Self::SocketError(None) | Self::Polled(_) | Self::Unfinished => {
                None
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(value) => write!(f, "{value}"),
            Self::Failed(errno) | Self::SocketError(Some(errno)) => write!(f, "{errno}"),
            Self::SocketError(None) => f.write_str("0"),
            Self::Polled(events) => write!(f, "{events}"),
            Self::Unfinished => f.write_str("did not return"),
        }
    }
}

impl Serialize for Events {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::of_text(&text)
            .ok_or_else(|| de::Error::custom(format_args!("there is no poll mask '{text}'")))
    }
}

/// System call as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// End on whose socket the call was made.
    pub role: Role,
    /// Operation.
    pub op: Op,
    /// Time read just before the call was entered.
    pub began: Timestamp,
    /// Time read just after the call had returned.
    pub ended: Timestamp,
    /// Result of the call.
    pub outcome: Outcome,
}

/// Calls of a trial, in the order in which they were made.
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
            Op::Read(4_000_000_000),
            Op::Peek(7),
            Op::Write(1),
            Op::WriteUrgent,
            Op::Disconnect,
            Op::ShutdownRead,
            Op::ShutdownWrite,
            Op::ShutdownBoth,
            Op::ShutdownListener,
            Op::LingerZero,
            Op::Linger2(-1),
            Op::Linger2(1),
            Op::DelayAcks,
            Op::ReceiveTimeout(20),
            Op::SendTimeout(20),
            Op::UserTimeout(500),
            Op::SynCount(1),
            Op::Linger(1),
            Op::KeepAlive,
            Op::KeepIdle(1),
            Op::KeepInterval(2),
            Op::KeepCount(3),
            Op::ReceiveErrors,
            Op::FastOpenConnect,
            Op::Repair,
            Op::DropAll,
            Op::Destroy,
            Op::ReceiveBuffer(4096),
            Op::SendBuffer(4096),
            Op::NonBlocking,
            Op::SocketError,
            Op::PeerName,
            Op::Poll,
            Op::Spawn,
            Op::Kill,
            Op::Terminate,
            Op::Close,
            Op::CloseListener,
        ] {
            assert_eq!(Op::of_call(op.call(), &op.arguments()), Some(op));
        }
        for (call, arguments) in [
            ("read", ""),
            ("read", "+1"),
            ("read", "01"),
            ("read", "4294967296"),
            ("write", "-1"),
            ("connect", "1"),
            ("shutdown", "SHUT_XX"),
            ("setsockopt", ""),
            ("setsockopt", "TCP_LINGER2 128"),
            ("setsockopt", "SO_RCVTIMEO 20"),
            ("setsockopt", "SO_LINGER {1,256}"),
            ("setsockopt", "SO_LINGER {1,00}"),
            ("setsockopt", "SO_KEEPALIVE 0"),
            ("", ""),
        ] {
            assert_eq!(Op::of_call(call, arguments), None, "{call}({arguments})");
        }
    }

    /// Bits of include/uapi/asm-generic/poll.h; 0x201d is the mask of a socket that an RST has closed.
    #[test]
    fn a_poll_mask_is_what_it_is_shown_as() {
        let text = "IN|OUT|ERR|HUP|RDHUP";
        assert_eq!(Events(0x201d).to_string(), text);
        assert_eq!(Events::of_text(text), Some(Events(0x201d)));
        assert_eq!(Events::of_text("0"), Some(Events(0)));
        for text in ["", "OUT|IN", "IN|IN", "in", "IN|", "FOO"] {
            assert_eq!(Events::of_text(text), None, "{text}");
        }
    }
}
