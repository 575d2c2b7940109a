//! Operations: the system calls that scripts make, as one table.

use std::borrow::Cow;
use std::fmt;

/// Property of a call that the judge relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    /// Report of a pending socket error, which clears it.
    TakesError,
    /// Wait for the other end, on a blocking socket.
    Waits,
    /// FIN: the call can send one.
    SendsFin,
    /// Abort: the call can abort a connection.
    Aborts,
}

/// Row of the table of calls.
struct Row {
    /// Name of the system call.
    call: &'static str,
    /// Arguments without descriptors and addresses; `#` stands for the value of the operation.
    arguments: &'static str,
    /// Constructor of the operation with this value; `None` if the value is out of range.
    op: fn(i64) -> Option<Op>,
}

impl Row {
    /// Returns the value in the text of the arguments, or 0 if the operation has none. `None` if the text does not fit.
    fn value(&self, arguments: &str) -> Option<i64> {
        match self.arguments.split_once('#') {
            Some((before, after)) => {
                let value = arguments.strip_prefix(before)?.strip_suffix(after)?;
                value.parse().ok()
            }
            None => (arguments == self.arguments).then_some(0),
        }
    }
}

/// Defines [`Op`] and its table. Each row has the variant with its value, if any, the name of the system call, its
/// arguments with `#` for the value, and the properties of the call.
macro_rules! calls {
    ($(
        $(#[$doc:meta])*
        $op:ident $(($value:ident: $type:ty))?, $call:literal, $arguments:literal, [$($property:ident),*];
    )*) => {
        /// System call on the role's own socket, blocking unless stated otherwise. Sizes are in bytes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Op {
            $($(#[$doc])* $op $(($type))?,)*
        }

        /// Table of all calls, in the order of [`Op`].
        const ROWS: &[Row] = &[
            $(Row {
                call: $call,
                arguments: $arguments,
                op: |_value| Some(Op::$op $((<$type>::try_from(_value).ok()?))?),
            },)*
        ];

        impl Op {
            /// Returns the name of the system call.
            #[must_use]
            pub fn call(self) -> &'static str {
                match self {
                    $(Self::$op { .. } => $call,)*
                }
            }

            /// Returns the arguments, with `#` for the value.
            fn pattern(self) -> &'static str {
                match self {
                    $(Self::$op { .. } => $arguments,)*
                }
            }

            /// Returns the value of the operation; `None` if it has none.
            fn value(self) -> Option<i64> {
                let value: &[i64] = match self {
                    $(Self::$op $(($value))? => &[$($value.into())?],)*
                };
                value.first().copied()
            }

            /// Returns true if the call has this property.
            fn has(self, property: Property) -> bool {
                let properties: &[Property] = match self {
                    $(Self::$op { .. } => &[$(Property::$property),*],)*
                };
                properties.contains(&property)
            }
        }
    };
}

// Of two rows that fit a text, the first is used: `{1,0}` is LingerZero.
calls! {
    /// `connect(2)` to the server's address.
    Connect, "connect", "", [TakesError, Waits];
    /// `connect(2)` with `AF_UNSPEC`: dissolves the association, abortively.
    Disconnect, "connect", "AF_UNSPEC", [Aborts];
    /// `accept(2)` on the listener; the new descriptor becomes the server's socket.
    Accept, "accept", "", [Waits];
    /// `read(2)` of at most this number of bytes.
    Read(len: u32), "read", "#", [TakesError, Waits];
    /// `recv(2)` with `MSG_PEEK` of at most this number of bytes.
    Peek(len: u32), "recv", "#, MSG_PEEK", [TakesError, Waits];
    /// `write(2)` of this number of bytes.
    Write(len: u32), "write", "#", [TakesError, Waits];
    /// `send(2)` of one byte with `MSG_OOB`: urgent data.
    WriteUrgent, "send", "1, MSG_OOB", [TakesError, Waits];
    /// `shutdown(2)` with `SHUT_RD`.
    ShutdownRead, "shutdown", "SHUT_RD", [];
    /// `shutdown(2)` with `SHUT_WR`: half-close.
    ShutdownWrite, "shutdown", "SHUT_WR", [SendsFin];
    /// `shutdown(2)` with `SHUT_RDWR`.
    ShutdownBoth, "shutdown", "SHUT_RDWR", [SendsFin];
    /// `shutdown(2)` with `SHUT_RD` on the listener: it stops listening.
    ShutdownListener, "shutdown", "listener, SHUT_RD", [Aborts];
    /// `setsockopt(SO_LINGER, {1, 0})`: the next `close` aborts.
    LingerZero, "setsockopt", "SO_LINGER {1,0}", [];
    /// `setsockopt(SO_LINGER, {1, seconds})`: the next `close` waits up to that time for sent data to be
    /// acknowledged.
    Linger(seconds: u8), "setsockopt", "SO_LINGER {1,#}", [];
    /// `setsockopt(TCP_LINGER2)`: seconds in FIN-WAIT-2 after `close`; negative to skip FIN-WAIT-2.
    Linger2(seconds: i8), "setsockopt", "TCP_LINGER2 #", [];
    /// `setsockopt(TCP_QUICKACK, 0)`: ACKs may be delayed.
    DelayAcks, "setsockopt", "TCP_QUICKACK 0", [];
    /// `setsockopt(SO_RCVTIMEO)`, in milliseconds.
    ReceiveTimeout(ms: u16), "setsockopt", "SO_RCVTIMEO # ms", [];
    /// `setsockopt(SO_SNDTIMEO)`, in milliseconds.
    SendTimeout(ms: u16), "setsockopt", "SO_SNDTIMEO # ms", [];
    /// `setsockopt(TCP_USER_TIMEOUT)`, in milliseconds.
    UserTimeout(ms: u16), "setsockopt", "TCP_USER_TIMEOUT # ms", [];
    /// `setsockopt(TCP_SYNCNT)`: number of retransmissions of a SYN.
    SynCount(count: u8), "setsockopt", "TCP_SYNCNT #", [];
    /// `setsockopt(SO_KEEPALIVE)`: an idle connection is probed.
    KeepAlive, "setsockopt", "SO_KEEPALIVE 1", [];
    /// `setsockopt(TCP_KEEPIDLE)`: seconds until the first probe.
    KeepIdle(seconds: u8), "setsockopt", "TCP_KEEPIDLE #", [];
    /// `setsockopt(TCP_KEEPINTVL)`: seconds between probes.
    KeepInterval(seconds: u8), "setsockopt", "TCP_KEEPINTVL #", [];
    /// `setsockopt(TCP_KEEPCNT)`: number of probes before the connection is dropped.
    KeepCount(count: u8), "setsockopt", "TCP_KEEPCNT #", [];
    /// `setsockopt(IP_RECVERR)`, or `IPV6_RECVERR`: ICMP errors are reported as soon as they arrive.
    ReceiveErrors, "setsockopt", "IP_RECVERR 1", [];
    /// `setsockopt(TCP_FASTOPEN_CONNECT)`: `connect` sends nothing, the first write is sent with the SYN.
    FastOpenConnect, "setsockopt", "TCP_FASTOPEN_CONNECT 1", [];
    /// `setsockopt(TCP_REPAIR)`: the process takes the connection over from the kernel; `close` then sends nothing.
    Repair, "setsockopt", "TCP_REPAIR 1", [];
    /// `setsockopt(SO_ATTACH_FILTER)` with a filter that drops everything: the socket receives nothing any more, as
    /// if its host were unreachable.
    Blackhole, "setsockopt", "SO_ATTACH_FILTER drop", [];
    /// `sendmsg(2)` of `SOCK_DESTROY` to the kernel (`ss -K`): an administrator aborts the connection.
    Destroy, "sendmsg", "SOCK_DESTROY", [];
    /// `setsockopt(SO_RCVBUF)`: before `connect`, it limits the window that the socket advertises.
    ReceiveBuffer(len: u32), "setsockopt", "SO_RCVBUF #", [];
    /// `setsockopt(SO_SNDBUF)`.
    SendBuffer(len: u32), "setsockopt", "SO_SNDBUF #", [];
    /// `fcntl(O_NONBLOCK)`: later calls do not block.
    NonBlocking, "fcntl", "O_NONBLOCK", [];
    /// `getsockopt(SO_ERROR)`: takes the pending error.
    SocketError, "getsockopt", "SO_ERROR", [TakesError];
    /// `getpeername(2)`.
    PeerName, "getpeername", "", [];
    /// `poll(2)` for `POLLIN|POLLOUT|POLLRDHUP` without blocking; the outcome is the mask.
    Poll, "poll", "", [];
    /// `posix_spawn(3)` of a child process that holds a copy of the socket and does nothing with it.
    Spawn, "posix_spawn", "", [];
    /// `kill(2)` of the child process with `SIGKILL`, and `waitpid(2)`: its exit closes its copy of the socket.
    Kill, "kill", "child, SIGKILL", [SendsFin, Aborts];
    /// `kill(2)` of the child process with `SIGTERM`, and `waitpid(2)`: the child calls `exit_group(2)` itself.
    Terminate, "kill", "child, SIGTERM", [SendsFin, Aborts];
    /// `close(2)`.
    Close, "close", "", [Waits, SendsFin, Aborts];
    /// `close(2)` of the listener; of several listeners on one port, the one that holds the connection.
    CloseListener, "close", "listener", [Aborts];
}

impl Op {
    /// Returns the arguments without descriptors and addresses; empty if no others are left.
    #[must_use]
    pub fn arguments(self) -> Cow<'static, str> {
        match self.value() {
            Some(value) => self.pattern().replacen('#', &value.to_string(), 1).into(),
            None => self.pattern().into(),
        }
    }

    /// Returns the operation with this call and these arguments: the inverse of [`Op::call`] and [`Op::arguments`].
    #[must_use]
    pub fn of_call(call: &str, arguments: &str) -> Option<Self> {
        let mut rows = ROWS.iter().filter(|row| row.call == call);
        let op = rows.find_map(|row| (row.op)(row.value(arguments)?))?;
        // `+1` and `01` parse as numbers, but `arguments` never writes them.
        (op.arguments() == arguments).then_some(op)
    }

    /// Returns true if the call reports a pending socket error and clears it. `read` does so only if no data and no
    /// FIN are waiting to be read, which the judge has to take into account.
    #[must_use]
    pub(crate) fn takes_error(self) -> bool {
        self.has(Property::TakesError)
    }

    /// Returns true if the call may wait for the other end.
    #[must_use]
    pub(crate) fn waits(self) -> bool {
        self.has(Property::Waits)
    }

    /// Returns true if the call can send a FIN.
    #[must_use]
    pub(crate) fn sends_fin(self) -> bool {
        self.has(Property::SendsFin)
    }

    /// Returns true if the call can abort a connection.
    #[must_use]
    pub(crate) fn aborts(self) -> bool {
        self.has(Property::Aborts)
    }
}

impl fmt::Display for Op {
    /// Writes the call as strace begins a line: `read(1)`, `close()`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.call(), self.arguments())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_read_back_from_its_text() {
        for row in ROWS {
            // The row of `SO_LINGER` with 0 seconds is LingerZero.
            for value in [1, 7, 127] {
                let op = (row.op)(value).unwrap();
                assert_eq!(op.call(), row.call);
                assert_eq!(Op::of_call(op.call(), &op.arguments()), Some(op), "{op}");
            }
        }
        for op in [
            Op::Read(0),
            Op::Read(65_535),
            Op::Read(4_000_000_000),
            Op::Linger2(-1),
            Op::Linger2(-128),
            Op::Linger(255),
            Op::LingerZero,
        ] {
            assert_eq!(Op::of_call(op.call(), &op.arguments()), Some(op), "{op}");
        }
    }

    /// Saved evidence has these texts, so they must never change.
    #[test]
    fn an_operation_has_its_text() {
        for (op, text) in [
            (Op::Connect, "connect()"),
            (Op::Disconnect, "connect(AF_UNSPEC)"),
            (Op::Accept, "accept()"),
            (Op::Read(65_535), "read(65535)"),
            (Op::Peek(7), "recv(7, MSG_PEEK)"),
            (Op::Write(1), "write(1)"),
            (Op::WriteUrgent, "send(1, MSG_OOB)"),
            (Op::ShutdownRead, "shutdown(SHUT_RD)"),
            (Op::ShutdownWrite, "shutdown(SHUT_WR)"),
            (Op::ShutdownBoth, "shutdown(SHUT_RDWR)"),
            (Op::ShutdownListener, "shutdown(listener, SHUT_RD)"),
            (Op::LingerZero, "setsockopt(SO_LINGER {1,0})"),
            (Op::Linger(1), "setsockopt(SO_LINGER {1,1})"),
            (Op::Linger2(-1), "setsockopt(TCP_LINGER2 -1)"),
            (Op::DelayAcks, "setsockopt(TCP_QUICKACK 0)"),
            (Op::ReceiveTimeout(20), "setsockopt(SO_RCVTIMEO 20 ms)"),
            (Op::SendTimeout(20), "setsockopt(SO_SNDTIMEO 20 ms)"),
            (Op::UserTimeout(500), "setsockopt(TCP_USER_TIMEOUT 500 ms)"),
            (Op::SynCount(1), "setsockopt(TCP_SYNCNT 1)"),
            (Op::KeepAlive, "setsockopt(SO_KEEPALIVE 1)"),
            (Op::KeepIdle(1), "setsockopt(TCP_KEEPIDLE 1)"),
            (Op::KeepInterval(2), "setsockopt(TCP_KEEPINTVL 2)"),
            (Op::KeepCount(3), "setsockopt(TCP_KEEPCNT 3)"),
            (Op::ReceiveErrors, "setsockopt(IP_RECVERR 1)"),
            (Op::FastOpenConnect, "setsockopt(TCP_FASTOPEN_CONNECT 1)"),
            (Op::Repair, "setsockopt(TCP_REPAIR 1)"),
            (Op::Blackhole, "setsockopt(SO_ATTACH_FILTER drop)"),
            (Op::Destroy, "sendmsg(SOCK_DESTROY)"),
            (Op::ReceiveBuffer(4096), "setsockopt(SO_RCVBUF 4096)"),
            (Op::SendBuffer(4096), "setsockopt(SO_SNDBUF 4096)"),
            (Op::NonBlocking, "fcntl(O_NONBLOCK)"),
            (Op::SocketError, "getsockopt(SO_ERROR)"),
            (Op::PeerName, "getpeername()"),
            (Op::Poll, "poll()"),
            (Op::Spawn, "posix_spawn()"),
            (Op::Kill, "kill(child, SIGKILL)"),
            (Op::Terminate, "kill(child, SIGTERM)"),
            (Op::Close, "close()"),
            (Op::CloseListener, "close(listener)"),
        ] {
            assert_eq!(op.to_string(), text);
        }
    }

    #[test]
    fn a_text_that_no_operation_has_is_not_read() {
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
}
