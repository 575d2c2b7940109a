//! What each reported error came from.
//!
//! The error state of one socket is followed through its calls: a RST that comes in puts an error on it, the first
//! call that can report errors takes it away, and a socket that is dead answers in its own way. This is rule 5 and
//! half of rule 7, and it does not look at what the scenario expects.

use crate::flow::{Form, Icmp, Reset, State};
use crate::scenario::Cause;
use crate::transcript::{Call, Errno, Op, Outcome, Role};

/// Where the error of a call came from, by the evidence. Numbers of RSTs are indices into the judge's resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// This RST put the error on the socket, and this call took it.
    Reset(usize),
    /// This RST killed the connection; its error had been taken already, or this call is none that takes it.
    AfterReset(usize),
    /// The caller shut its own sending side down in this call.
    OwnShutdown(usize),
    /// The caller dissolved or cancelled the connection itself in this call.
    OwnDisconnect(usize),
    /// The socket answered with this RST itself, and its owner is told as if it had come from the other end.
    OwnReset(usize),
    /// The socket has no connection, and never had one.
    NotConnected,
    /// The listener was shut down in this call.
    NotListening(usize),
    /// The caller asked in this call not to wait, or not for long.
    WouldBlock(usize),
    /// The caller bounded in this call how long the other end may take to answer, and it did not answer in time.
    TimedOut(usize),
    /// What this end had sent was not acknowledged, and its kernel gave up.
    Unanswered,
    /// This ICMP error (index into the judge's) put the error on the socket.
    Icmp(usize),
    /// An administrator destroyed the socket in this call.
    Destroyed(usize),
    /// This host knows no way to the address, or nobody on the link has it: nothing was sent.
    NoRoute,
    /// This call, of another thread, waits on the same socket.
    InUse(usize),
    /// A RST had come in, but the state of its receiver maps to another errno.
    WrongErrno {
        /// The RST.
        reset: usize,
        /// What it should have been.
        mapped: Errno,
    },
    /// The error of this RST had been taken already, and here it is again.
    ReportedTwice(usize),
    /// Nothing in the evidence explains it.
    Unexplained,
}

impl Blame {
    /// Whether this is the cause that a scenario states; `matched` gives for each RST that it expects the one seen.
    pub(super) fn is(self, cause: Cause, matched: &[Option<usize>]) -> bool {
        let seen = |expected: usize| matched.get(expected).copied().flatten();
        match (self, cause) {
            (Self::Reset(reset), Cause::Reset(expected))
            | (Self::AfterReset(reset), Cause::AfterReset(expected)) => {
                seen(expected) == Some(reset)
            }
            (Self::OwnReset(reset), Cause::OwnReset(expected)) => seen(expected) == Some(reset),
            (Self::OwnShutdown(_), Cause::OwnShutdown)
            | (Self::OwnDisconnect(_), Cause::OwnDisconnect)
            | (Self::NotConnected, Cause::NotConnected)
            | (Self::NotListening(_), Cause::NotListening)
            | (Self::WouldBlock(_), Cause::WouldBlock)
            | (Self::TimedOut(_), Cause::TimedOut)
            | (Self::Unanswered, Cause::Unanswered)
            | (Self::Destroyed(_), Cause::Destroyed)
            | (Self::NoRoute, Cause::NoRoute)
            | (Self::InUse(_), Cause::InUse) => true,
            (Self::Icmp(seen), Cause::Icmp(expected)) => seen == expected,
            _ => false,
        }
    }

    /// Whether it says that there is no connection any more, no RST of the other end having a part in it.
    pub(super) fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::TimedOut(_)
                | Self::OwnReset(_)
                | Self::Unanswered
                | Self::Icmp(_)
                | Self::Destroyed(_)
                | Self::NoRoute
        )
    }
}

/// What errors may come from, beside the caller itself.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    /// RSTs of the connection.
    pub(super) resets: &'a [Reset],
    /// ICMP errors about its segments.
    pub(super) icmp: &'a [Icmp],
    /// How often the client and the server have sent again what was not answered.
    pub(super) unanswered: [u32; 2],
    /// No segment of it is on the wire.
    pub(super) is_silent: bool,
    /// How many bytes of the client and the server are on the wire.
    pub(super) sent: [u32; 2],
}

/// For each call that was told of an error, what it came from.
pub(super) fn attribute(calls: &[Call], facts: &Facts<'_>) -> Vec<(usize, Blame)> {
    let mut client = Socket::new(Role::Client);
    let mut server = Socket::new(Role::Server);
    let mut blames = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let socket = match call.role {
            Role::Client => &mut client,
            Role::Server => &mut server,
        };
        socket.take_in(call, facts.resets);
        if let Some(errno) = call.outcome.errno() {
            let by_another = cancelled(calls, index, errno).or_else(|| in_use(calls, index, errno));
            let blame = by_another.unwrap_or_else(|| {
                let blame = socket.blame(call.op, errno);
                if blame == Blame::Unexplained {
                    socket.blame_others(call, errno, facts)
                } else {
                    blame
                }
            });
            socket.fail(call.op, blame);
            blames.push((index, blame));
        } else {
            socket.succeed(index, call);
        }
    }
    blames
}

/// The call of the same end that cancelled this `connect` while it waited: `shutdown` makes it fail with `ECONNRESET`,
/// `AF_UNSPEC` with `EPIPE` (`tcp_disconnect()`, and since Linux 6.6 `sk_disconnects`), `SOCK_DESTROY` with `ECONNABORTED`
/// (`tcp_abort()`).
fn cancelled(calls: &[Call], index: usize, errno: Errno) -> Option<Blame> {
    let call = calls.get(index).filter(|call| call.op == Op::Connect)?;
    let mut later = calls.iter().enumerate().skip(index + 1);
    let (by, _) = later.find(|(_, other)| {
        let cancels = match other.op {
            Op::ShutdownRead | Op::ShutdownWrite | Op::ShutdownBoth => errno == Errno::ECONNRESET,
            Op::Disconnect => errno == Errno::EPIPE,
            Op::Destroy => errno == Errno::ECONNABORTED,
            _ => false,
        };
        let overlaps = other.began < call.ended;
        cancels && overlaps && other.role == call.role && other.outcome == Outcome::Returned(0)
    })?;
    Some(if calls[by].op == Op::Destroy {
        Blame::Destroyed(by)
    } else {
        Blame::OwnDisconnect(by)
    })
}

/// The call of the same end that waits on the socket while this one would dissolve or shut it: `EBUSY` (`tcp_disconnect()` of
/// Linux 6.4 and 6.5).
fn in_use(calls: &[Call], index: usize, errno: Errno) -> Option<Blame> {
    let call = calls.get(index).filter(|_| errno == Errno::EBUSY)?;
    if !matches!(
        call.op,
        Op::ShutdownBoth | Op::ShutdownRead | Op::ShutdownWrite | Op::Disconnect
    ) {
        return None;
    }
    let waits = |other: &Call| {
        other.role == call.role && other.op == Op::Connect && other.ended > call.ended
    };
    calls[..index].iter().position(waits).map(Blame::InUse)
}

/// The error state of one end's socket, as it must be by what has happened to it so far.
struct Socket {
    role: Role,
    /// RSTs before this index have been looked at.
    looked_at: usize,
    /// An error that no call has taken yet, and the RST that put it there.
    pending: Option<(usize, Errno)>,
    /// The RST that killed the connection and the errno that it stood for, once a call has taken that.
    dead: Option<(usize, Errno)>,
    /// The call that shut the sending side down.
    shutdown: Option<usize>,
    /// The call that shut both sides down.
    shutdown_both: Option<usize>,
    /// The call that dissolved the association.
    disconnected: Option<usize>,
    /// The call that made the listener stop.
    listener_shutdown: Option<usize>,
    /// The call that set a time-out, or `O_NONBLOCK`.
    impatient: Option<usize>,
    /// The call that bounded how long the other end may take.
    bounded: Option<usize>,
    /// What ended the connection, by what a call was told, if it was no RST.
    ended: Option<Blame>,
    /// ICMP errors are told of when they come in.
    hears_icmp: bool,
    /// ICMP errors that have been told of.
    icmp_told: Vec<usize>,
    /// The call that destroyed the socket.
    destroyed: Option<usize>,
    /// Whether a call has begun or taken a connection.
    tried: bool,
    /// `connect` begins none: the first write will.
    defers: bool,
    /// Own RSTs before this index have been told of.
    own_told: usize,
    /// How many bytes it has taken to be sent.
    written: u64,
}

impl Socket {
    fn new(role: Role) -> Self {
        Self {
            role,
            looked_at: 0,
            pending: None,
            dead: None,
            shutdown: None,
            shutdown_both: None,
            disconnected: None,
            listener_shutdown: None,
            impatient: None,
            bounded: None,
            ended: None,
            hears_icmp: false,
            icmp_told: Vec::new(),
            destroyed: None,
            tried: false,
            defers: false,
            own_told: 0,
            written: 0,
        }
    }

    /// Rule 4: what came in before this call returned can have a part in how it ended.
    fn take_in(&mut self, call: &Call, resets: &[Reset]) {
        while let Some(reset) = resets.get(self.looked_at) {
            match reset.puts_error_on(self.role) {
                Some(_) if reset.at >= call.ended => break,
                Some(errno) => self.pending = Some((self.looked_at, errno)),
                None => {}
            }
            self.looked_at += 1;
        }
    }

    fn blame(&mut self, op: Op, errno: Errno) -> Blame {
        // No RST puts these on a socket.
        let waits = [Errno::EAGAIN, Errno::EINPROGRESS, Errno::EALREADY];
        if let Some(by) = self.impatient.filter(|_| waits.contains(&errno)) {
            return Blame::WouldBlock(by);
        }
        if let Some((reset, mapped)) = self.pending
            && op.takes_error()
        {
            if errno != mapped {
                return Blame::WrongErrno { reset, mapped };
            }
            self.pending = None;
            self.dead = Some((reset, mapped));
            return Blame::Reset(reset);
        }
        if let Some((reset, taken)) = self.dead.or(self.pending) {
            return if how_dead_socket_answers(op, taken) == Some(errno) {
                Blame::AfterReset(reset)
            } else if errno == taken {
                Blame::ReportedTwice(reset)
            } else {
                Blame::Unexplained
            };
        }
        match (self.shutdown, op) {
            (Some(call), Op::Write(_) | Op::WriteUrgent) if errno == Errno::EPIPE => {
                Blame::OwnShutdown(call)
            }
            _ => Blame::Unexplained,
        }
    }

    /// What explains the error, no RST of the other end having a part in it.
    fn blame_others(&self, call: &Call, errno: Errno, facts: &Facts<'_>) -> Blame {
        let op = call.op;
        if op == Op::Accept {
            return match self.listener_shutdown {
                Some(by) if errno == Errno::EINVAL => Blame::NotListening(by),
                _ => Blame::Unexplained,
            };
        }
        if let Some(blame) = self.ended.filter(|_| op != Op::SocketError) {
            let is_aftermath = how_unconnected_socket_answers(op) == Some(errno);
            return if is_aftermath {
                blame
            } else {
                Blame::Unexplained
            };
        }
        if op.takes_error()
            && let Some(blame) = self.blame_error(call, errno, facts)
        {
            return blame;
        }
        self.blame_itself(call, errno, facts)
    }

    /// What put this error on the socket.
    fn blame_error(&self, call: &Call, errno: Errno, facts: &Facts<'_>) -> Option<Blame> {
        let end = usize::from(self.role == Role::Server);
        let gave_up = facts.unanswered[end] > 0;
        let icmp = facts.icmp.iter().enumerate();
        // A soft error is told of by SO_ERROR, or when the kernel gives up; a hard one by anything (RFC 1122, 4.2.3.9).
        let is_hard = |icmp: &Icmp| icmp.state == State::SynSent || self.hears_icmp || gave_up;
        let mut icmp = icmp.filter(|(index, icmp)| {
            let counts = icmp.is_outstanding && icmp.errno == Some(errno) && icmp.to == self.role;
            let is_told = call.op == Op::SocketError || is_hard(icmp);
            counts && icmp.at < call.ended && is_told && !self.icmp_told.contains(index)
        });
        if let Some((index, _)) = icmp.next_back() {
            return Some(Blame::Icmp(index));
        }
        if let Some(by) = self.destroyed.filter(|_| errno == Errno::ECONNABORTED) {
            return Some(Blame::Destroyed(by));
        }
        if errno == Errno::ETIMEDOUT {
            return self
                .bounded
                .map(Blame::TimedOut)
                .or_else(|| gave_up.then_some(Blame::Unanswered));
        }
        // Nothing of it has got to the wire.
        let is_held_back = if call.op == Op::Connect {
            facts.is_silent
        } else {
            u64::from(facts.sent[end]) < self.written
        };
        (is_held_back && is_routing_error(errno)).then_some(Blame::NoRoute)
    }

    /// What the socket's owner has done to it that explains the error.
    fn blame_itself(&self, call: &Call, errno: Errno, facts: &Facts<'_>) -> Blame {
        let op = call.op;
        if let Some(by) = self.disconnected {
            // tcp_disconnect() leaves ECONNRESET for whoever asks first.
            let is_told = op == Op::SocketError && errno == Errno::ECONNRESET;
            return if is_told || how_unconnected_socket_answers(op) == Some(errno) {
                Blame::OwnDisconnect(by)
            } else {
                Blame::Unexplained
            };
        }
        if self.shutdown_both.is_some() && op.takes_error() && errno == Errno::ECONNRESET {
            let own = facts.resets.iter().enumerate().skip(self.own_told);
            // It is an answer to what came in: anybody may make up another in its name.
            let is_answer =
                |reset: &Reset| reset.form.is_some_and(Form::is_answer) && reset.drawn_by.is_some();
            let mut own = own.filter(|(_, reset)| {
                reset.from == self.role && reset.at < call.ended && is_answer(reset)
            });
            if let Some((reset, _)) = own.next_back() {
                return Blame::OwnReset(reset);
            }
        }
        if !self.tried && how_unconnected_socket_answers(op) == Some(errno) {
            return Blame::NotConnected;
        }
        Blame::Unexplained
    }

    /// What this failure leaves behind.
    fn fail(&mut self, op: Op, blame: Blame) {
        self.tried |= op == Op::Connect && blame != Blame::NoRoute;
        match blame {
            Blame::TimedOut(_) | Blame::Unanswered | Blame::Destroyed(_) => {
                self.ended = Some(blame);
            }
            Blame::NoRoute if op != Op::Connect => self.ended = Some(blame),
            Blame::Icmp(index) => {
                self.icmp_told.push(index);
                if op != Op::SocketError && !self.hears_icmp {
                    self.ended = Some(blame);
                }
            }
            _ => {}
        }
        if let Blame::OwnReset(reset) = blame {
            self.own_told = reset + 1;
        }
    }

    fn succeed(&mut self, index: usize, call: &Call) {
        if let (Op::Write(_) | Op::WriteUrgent, Outcome::Returned(count)) = (call.op, call.outcome)
        {
            let count = u64::try_from(count).unwrap_or(0);
            self.written = self.written.saturating_add(count);
        }
        if call.outcome != Outcome::Returned(0) {
            return;
        }
        match call.op {
            Op::ShutdownWrite => self.shutdown = Some(index),
            Op::ShutdownBoth => {
                self.shutdown = Some(index);
                self.shutdown_both = Some(index);
            }
            Op::Disconnect => self.disconnected = Some(index),
            Op::ShutdownListener => self.listener_shutdown = Some(index),
            Op::NonBlocking | Op::ReceiveTimeout(_) | Op::SendTimeout(_) => {
                self.impatient = Some(index);
            }
            Op::UserTimeout(_) | Op::SynCount(_) | Op::KeepCount(_) => self.bounded = Some(index),
            Op::ReceiveErrors => self.hears_icmp = true,
            Op::Destroy => self.destroyed = Some(index),
            Op::FastOpenConnect => self.defers = true,
            Op::Connect => self.tried = !self.defers,
            Op::Accept => self.tried = true,
            _ => {}
        }
    }
}

/// Errors that come from this host's own routing table (`ip_route_connect()`, `inet6_csk_xmit()`), by the type of the route:
/// none or `throw`, `unreachable`, `prohibit`, `blackhole`; the second also from a neighbour that does not answer
/// (`ipv4_link_failure()`).
pub(super) fn is_routing_error(errno: Errno) -> bool {
    [
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::EACCES,
        Errno::EINVAL,
    ]
    .contains(&errno)
}

/// How a socket fails a call that has no connection and no error to tell of.
fn how_unconnected_socket_answers(op: Op) -> Option<Errno> {
    match op {
        Op::Write(_) | Op::WriteUrgent => Some(Errno::EPIPE),
        Op::Read(_)
        | Op::Peek(_)
        | Op::PeerName
        | Op::ShutdownRead
        | Op::ShutdownWrite
        | Op::ShutdownBoth => Some(Errno::ENOTCONN),
        _ => None,
    }
}

/// How a socket fails a call once its error has been taken: `EPIPE` to a write, `ENOTCONN` to `shutdown` and
/// `getpeername`, `ECONNABORTED` to the `connect` that learns of it (`__inet_stream_connect()`). A `read` then gives 0
/// and does not fail, except after a refused blocking `connect`, which puts the socket back to unconnected.
fn how_dead_socket_answers(op: Op, taken: Errno) -> Option<Errno> {
    match op {
        Op::Connect if taken == Errno::ECONNREFUSED => Some(Errno::ECONNABORTED),
        Op::Read(_) | Op::Peek(_) if taken != Errno::ECONNREFUSED => None,
        _ => how_unconnected_socket_answers(op),
    }
}
