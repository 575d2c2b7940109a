//! Attribution of each reported error to its cause.
//!
//! The error state of one socket is followed through its calls: an RST that arrives puts an error on the socket, the
//! first call that can report errors takes the error, and later calls fail as on a closed socket. This module
//! implements rule 5 and half of rule 7. It does not look at what the scenario expects.

use thiserror::Error;

use crate::flow::{Form, Icmp, Reset, State};
use crate::scenario::ExpectedCause;
use crate::transcript::{Call, Errno, Op, Outcome, PerEnd, Role};

/// Cause of the error of a call, by the evidence. Its text completes "the call failed:". Numbers of RSTs are indices into [`Judgement::resets`].
///
/// [`Judgement::resets`]: super::Judgement::resets
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Attribution {
    /// Error that this RST put on the socket and that this call took.
    #[error("it was the first call after an RST")]
    Reset(usize),
    /// Failure on a connection that this RST closed: its error was taken before, or the call is not one that takes it.
    #[error("an RST had closed the connection")]
    AfterReset(usize),
    /// Failure because the caller had shut down its own sending side in this call.
    #[error("call {0} had shut down the sending side")]
    OwnShutdown(usize),
    /// Failure because the caller dissolved or cancelled the connection itself in this call.
    #[error("call {0} had disconnected the socket")]
    OwnDisconnect(usize),
    /// Error that the socket put on itself when it answered with this RST, as if the RST had come from the other end.
    #[error("its own socket had replied with an RST")]
    OwnReset(usize),
    /// Failure on a socket that never had a connection.
    #[error("the socket was not connected")]
    NotConnected,
    /// Failure because the listener was shut down in this call.
    #[error("call {0} had shut down the listener")]
    NotListening(usize),
    /// Failure because the caller asked in this call not to wait, or to wait only for a limited time.
    #[error("call {0} had made the socket non-blocking")]
    WouldBlock(usize),
    /// Time-out of a limit that the caller set in this call for the other end's answer.
    #[error("the timeout set by call {0} had expired")]
    TimedOut(usize),
    /// Time-out of the kernel's own: segments that this end had sent were never acknowledged.
    #[error("what it sent was never acknowledged")]
    Unanswered,
    /// Error that this ICMP error (index into [`Judgement::icmp`]) put on the socket.
    ///
    /// [`Judgement::icmp`]: super::Judgement::icmp
    #[error("an ICMP error had arrived")]
    Icmp(usize),
    /// Error that an administrator put on the socket by destroying it in this call.
    #[error("call {0} had destroyed the socket")]
    Destroyed(usize),
    /// Failure without a packet sent: this host has no route to the address, or no host on the link has the address.
    #[error("this host has no route to the address")]
    NoRoute,
    /// Failure because another thread was waiting in this call on the same socket.
    #[error("call {0} was waiting on the same socket")]
    InUse(usize),
    /// Errno other than the one that the receiver's state maps to, after an RST had arrived.
    #[error("an RST that gives {mapped}")]
    WrongErrno {
        /// Index of the RST.
        reset: usize,
        /// Errno that the receiver's state maps to.
        mapped: Errno,
    },
    /// Second report of the error of this RST, which was taken before.
    #[error("an RST whose error had already been reported")]
    ReportedTwice(usize),
    /// Error that nothing in the evidence explains.
    #[error("unknown")]
    Unexplained,
}

impl Attribution {
    /// Returns the stable id, in kebab case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Reset(_) => "reset",
            Self::AfterReset(_) => "after-reset",
            Self::OwnShutdown(_) => "own-shutdown",
            Self::OwnDisconnect(_) => "own-disconnect",
            Self::OwnReset(_) => "own-reset",
            Self::NotConnected => "not-connected",
            Self::NotListening(_) => "not-listening",
            Self::WouldBlock(_) => "would-block",
            Self::TimedOut(_) => "timed-out",
            Self::Unanswered => "unanswered",
            Self::Icmp(_) => "icmp",
            Self::Destroyed(_) => "destroyed",
            Self::NoRoute => "no-route",
            Self::InUse(_) => "in-use",
            Self::WrongErrno { .. } => "wrong-errno",
            Self::ReportedTwice(_) => "error-reported-twice",
            Self::Unexplained => "unexplained",
        }
    }

    /// Returns true if this is the cause that a scenario states. `matched` holds, for each expected RST, the index of
    /// the captured one.
    pub(super) fn is(self, cause: ExpectedCause, matched: &[Option<usize>]) -> bool {
        let seen = |expected: usize| matched.get(expected).copied().flatten();
        match (self, cause) {
            (Self::Reset(reset), ExpectedCause::Reset(expected))
            | (Self::AfterReset(reset), ExpectedCause::AfterReset(expected))
            | (Self::OwnReset(reset), ExpectedCause::OwnReset(expected)) => {
                seen(expected) == Some(reset)
            }
            (Self::OwnShutdown(_), ExpectedCause::OwnShutdown)
            | (Self::OwnDisconnect(_), ExpectedCause::OwnDisconnect)
            | (Self::NotConnected, ExpectedCause::NotConnected)
            | (Self::NotListening(_), ExpectedCause::NotListening)
            | (Self::WouldBlock(_), ExpectedCause::WouldBlock)
            | (Self::TimedOut(_), ExpectedCause::TimedOut)
            | (Self::Unanswered, ExpectedCause::Unanswered)
            | (Self::Destroyed(_), ExpectedCause::Destroyed)
            | (Self::NoRoute, ExpectedCause::NoRoute)
            | (Self::InUse(_), ExpectedCause::InUse) => true,
            (Self::Icmp(seen), ExpectedCause::Icmp(expected)) => seen == expected,
            _ => false,
        }
    }

    /// Returns true if the error shows that the connection no longer exists for a reason other than the other end's
    /// RST.
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

/// Facts that errors are attributed to, apart from the caller's own calls.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    /// RSTs of the connection, in capture order.
    pub(super) resets: &'a [Reset],
    /// ICMP errors about segments of the connection, in capture order.
    pub(super) icmp: &'a [Icmp],
    /// Number of unanswered retransmissions and probes of each end.
    pub(super) unanswered: PerEnd<u32>,
    /// Flag: no segment of the connection is on the wire.
    pub(super) is_silent: bool,
    /// Number of payload bytes of each end on the wire.
    pub(super) sent: PerEnd<u32>,
}

/// Attributes the error of each call that failed or reported one. Returns the index of each such call with its cause.
pub(super) fn attribute(calls: &[Call], facts: &Facts<'_>) -> Vec<(usize, Attribution)> {
    let mut sockets = PerEnd::of(Socket::new);
    let mut attributions = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let socket = &mut sockets[call.role];
        socket.process_resets(call, facts.resets);
        if let Some(errno) = call.outcome.errno() {
            // A call of another thread explains the error without regard to the socket's error state.
            let by_another = cancelled(calls, index, errno).or_else(|| in_use(calls, index, errno));
            let attribution = by_another.unwrap_or_else(|| {
                let attribution = socket.attribute(call.op, errno);
                if attribution == Attribution::Unexplained {
                    socket.attribute_to_others(call, errno, facts)
                } else {
                    attribution
                }
            });
            socket.fail(call.op, attribution);
            attributions.push((index, attribution));
        } else {
            socket.succeed(index, call);
        }
    }
    attributions
}

/// Returns the attribution to a call of the same end that cancelled this `connect` while it waited: `shutdown` makes
/// `connect` fail with `ECONNRESET`, `AF_UNSPEC` with `EPIPE` (`tcp_disconnect()`, and since Linux 6.6
/// `sk_disconnects`), `SOCK_DESTROY` with `ECONNABORTED` (`tcp_abort()`).
fn cancelled(calls: &[Call], index: usize, errno: Errno) -> Option<Attribution> {
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
        Attribution::Destroyed(by)
    } else {
        Attribution::OwnDisconnect(by)
    })
}

/// Returns the attribution to a `connect` of the same end that was waiting on the socket while this call tried to
/// dissolve it or shut it down: `EBUSY` (`tcp_disconnect()` of Linux 6.4 and 6.5).
fn in_use(calls: &[Call], index: usize, errno: Errno) -> Option<Attribution> {
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
    calls[..index]
        .iter()
        .position(waits)
        .map(Attribution::InUse)
}

/// Error state of one end's socket, derived from the events so far.
struct Socket {
    role: Role,
    /// Index of the first RST that was not processed yet.
    processed: usize,
    /// Error that no call has taken yet, with the RST that put it on the socket.
    pending: Option<(usize, Errno)>,
    /// RST that closed the connection and its errno, once a call has taken the error.
    dead: Option<(usize, Errno)>,
    /// Call that shut down the sending side.
    shutdown: Option<usize>,
    /// Call that shut down both sides.
    shutdown_both: Option<usize>,
    /// Call that dissolved the association.
    disconnected: Option<usize>,
    /// Call that shut down the listener.
    listener_shutdown: Option<usize>,
    /// Call that set a time-out or `O_NONBLOCK`.
    nonblocking: Option<usize>,
    /// Call that limited the time for the other end's answer.
    bounded: Option<usize>,
    /// Cause of the connection's end, as a call reported it, if the cause was not an RST.
    ended: Option<Attribution>,
    /// Flag: ICMP errors are reported as they arrive (`IP_RECVERR`).
    receives_icmp: bool,
    /// Indices of the ICMP errors that were reported before.
    icmp_reported: Vec<usize>,
    /// Call that destroyed the socket.
    destroyed: Option<usize>,
    /// Flag: a call began or accepted a connection.
    has_connected: bool,
    /// Flag: `connect` does not begin the connection, but the first write does (TCP Fast Open).
    defers_syn: bool,
    /// Index of the first RST of this end's own that was not reported yet.
    own_reported: usize,
    /// Number of bytes that writes accepted.
    written: u64,
}

impl Socket {
    fn new(role: Role) -> Self {
        Self {
            role,
            processed: 0,
            pending: None,
            dead: None,
            shutdown: None,
            shutdown_both: None,
            disconnected: None,
            listener_shutdown: None,
            nonblocking: None,
            bounded: None,
            ended: None,
            receives_icmp: false,
            icmp_reported: Vec::new(),
            destroyed: None,
            has_connected: false,
            defers_syn: false,
            own_reported: 0,
            written: 0,
        }
    }

    /// Processes the RSTs that arrived before the call returned. By rule 4, only these can have affected its outcome.
    fn process_resets(&mut self, call: &Call, resets: &[Reset]) {
        while let Some(reset) = resets.get(self.processed) {
            match reset.puts_error_on(self.role) {
                Some(_) if reset.at >= call.ended => break,
                Some(errno) => self.pending = Some((self.processed, errno)),
                None => {}
            }
            self.processed += 1;
        }
    }

    fn attribute(&mut self, op: Op, errno: Errno) -> Attribution {
        // These errors are never put on a socket by an RST.
        let waits = [Errno::EAGAIN, Errno::EINPROGRESS, Errno::EALREADY];
        if let Some(by) = self.nonblocking.filter(|_| waits.contains(&errno)) {
            return Attribution::WouldBlock(by);
        }
        if let Some((reset, mapped)) = self.pending
            && op.takes_error()
        {
            if errno != mapped {
                return Attribution::WrongErrno { reset, mapped };
            }
            self.pending = None;
            self.dead = Some((reset, mapped));
            return Attribution::Reset(reset);
        }
        if let Some((reset, taken)) = self.dead.or(self.pending) {
            return attribute_after_reset(op, errno, reset, taken);
        }
        match (self.shutdown, op) {
            (Some(call), Op::Write(_) | Op::WriteUrgent) if errno == Errno::EPIPE => {
                Attribution::OwnShutdown(call)
            }
            _ => Attribution::Unexplained,
        }
    }

    /// Attributes an error that did not come from the other end's RST.
    fn attribute_to_others(&self, call: &Call, errno: Errno, facts: &Facts<'_>) -> Attribution {
        let op = call.op;
        if op == Op::Accept {
            return match self.listener_shutdown {
                Some(by) if errno == Errno::EINVAL => Attribution::NotListening(by),
                _ => Attribution::Unexplained,
            };
        }
        if let Some(attribution) = self.ended.filter(|_| op != Op::SocketError) {
            let is_aftermath = errno_of_unconnected_socket(op) == Some(errno);
            return if is_aftermath {
                attribution
            } else {
                Attribution::Unexplained
            };
        }
        if op.takes_error()
            && let Some(attribution) = self.attribute_error(call, errno, facts)
        {
            return attribution;
        }
        self.attribute_to_owner(call, errno, facts)
    }

    /// Returns the cause that put this error on the socket.
    fn attribute_error(&self, call: &Call, errno: Errno, facts: &Facts<'_>) -> Option<Attribution> {
        let gave_up = facts.unanswered[self.role] > 0;
        if let Some(index) = self.reported_icmp(call, errno, facts) {
            return Some(Attribution::Icmp(index));
        }
        if let Some(by) = self.destroyed.filter(|_| errno == Errno::ECONNABORTED) {
            return Some(Attribution::Destroyed(by));
        }
        if errno == Errno::ETIMEDOUT {
            return self
                .bounded
                .map(Attribution::TimedOut)
                .or_else(|| gave_up.then_some(Attribution::Unanswered));
        }
        // Not every segment reached the wire.
        let is_held_back = if call.op == Op::Connect {
            facts.is_silent
        } else {
            u64::from(facts.sent[self.role]) < self.written
        };
        (is_held_back && is_routing_error(errno)).then_some(Attribution::NoRoute)
    }

    /// Returns the index of the latest ICMP error that this call reports.
    fn reported_icmp(&self, call: &Call, errno: Errno, facts: &Facts<'_>) -> Option<usize> {
        let gave_up = facts.unanswered[self.role] > 0;
        let icmp = facts.icmp.iter().enumerate();
        // A soft error is reported by SO_ERROR, or when the kernel gives up; a hard one by any call (RFC 1122,
        // 4.2.3.9).
        let is_hard = |icmp: &Icmp| icmp.state == State::SynSent || self.receives_icmp || gave_up;
        let mut icmp = icmp.filter(|(index, icmp)| {
            let counts = icmp.is_outstanding && icmp.errno == Some(errno) && icmp.to == self.role;
            let is_reported = call.op == Op::SocketError || is_hard(icmp);
            counts && icmp.at < call.ended && is_reported && !self.icmp_reported.contains(index)
        });
        icmp.next_back().map(|(index, _)| index)
    }

    /// Attributes the error to an action of the socket's owner.
    fn attribute_to_owner(&self, call: &Call, errno: Errno, facts: &Facts<'_>) -> Attribution {
        let op = call.op;
        if let Some(by) = self.disconnected {
            // tcp_disconnect() leaves ECONNRESET on the socket for the first SO_ERROR.
            let is_reported = op == Op::SocketError && errno == Errno::ECONNRESET;
            return if is_reported || errno_of_unconnected_socket(op) == Some(errno) {
                Attribution::OwnDisconnect(by)
            } else {
                Attribution::Unexplained
            };
        }
        if self.shutdown_both.is_some()
            && op.takes_error()
            && errno == Errno::ECONNRESET
            && let Some(reset) = self.own_reset(call, facts)
        {
            return Attribution::OwnReset(reset);
        }
        if !self.has_connected && errno_of_unconnected_socket(op) == Some(errno) {
            return Attribution::NotConnected;
        }
        Attribution::Unexplained
    }

    /// Returns the index of the latest RST that this end itself sent before the call returned, and that was not reported
    /// yet.
    fn own_reset(&self, call: &Call, facts: &Facts<'_>) -> Option<usize> {
        let own = facts.resets.iter().enumerate().skip(self.own_reported);
        // The RST is an answer to a captured segment; any other may be forged in this end's name.
        let is_answer =
            |reset: &Reset| reset.form.is_some_and(Form::is_answer) && reset.triggered_by.is_some();
        let mut own = own.filter(|(_, reset)| {
            reset.from == self.role && reset.at < call.ended && is_answer(reset)
        });
        own.next_back().map(|(index, _)| index)
    }

    /// Updates the socket state after a call that failed.
    fn fail(&mut self, op: Op, attribution: Attribution) {
        self.has_connected |= op == Op::Connect && attribution != Attribution::NoRoute;
        match attribution {
            Attribution::TimedOut(_) | Attribution::Unanswered | Attribution::Destroyed(_) => {
                self.ended = Some(attribution);
            }
            Attribution::NoRoute if op != Op::Connect => self.ended = Some(attribution),
            Attribution::Icmp(index) => {
                self.icmp_reported.push(index);
                if op != Op::SocketError && !self.receives_icmp {
                    self.ended = Some(attribution);
                }
            }
            _ => {}
        }
        if let Attribution::OwnReset(reset) = attribution {
            self.own_reported = reset + 1;
        }
    }

    /// Counts the bytes that a write accepted.
    fn count_written(&mut self, call: &Call) {
        if let (Op::Write(_) | Op::WriteUrgent, Outcome::Returned(count)) = (call.op, call.outcome)
        {
            let count = u64::try_from(count).unwrap_or(0);
            self.written = self.written.saturating_add(count);
        }
    }

    /// Updates the socket state after a call that succeeded.
    fn succeed(&mut self, index: usize, call: &Call) {
        self.count_written(call);
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
                self.nonblocking = Some(index);
            }
            Op::UserTimeout(_) | Op::SynCount(_) | Op::KeepCount(_) => self.bounded = Some(index),
            Op::ReceiveErrors => self.receives_icmp = true,
            Op::Destroy => self.destroyed = Some(index),
            Op::FastOpenConnect => self.defers_syn = true,
            Op::Connect => self.has_connected = !self.defers_syn,
            Op::Accept => self.has_connected = true,
            _ => {}
        }
    }
}

/// Attributes an error on a socket that an RST closed and whose error `taken` was reported, or waits to be.
fn attribute_after_reset(op: Op, errno: Errno, reset: usize, taken: Errno) -> Attribution {
    if errno_of_closed_socket(op, taken) == Some(errno) {
        Attribution::AfterReset(reset)
    } else if errno == taken {
        Attribution::ReportedTwice(reset)
    } else {
        Attribution::Unexplained
    }
}

/// Returns true for errors that come from this host's own routing table (`ip_route_connect()`, `inet6_csk_xmit()`), by
/// route type: none or `throw`, `unreachable`, `prohibit`, `blackhole`. The second error also comes from a neighbour
/// that does not answer (`ipv4_link_failure()`).
pub(super) fn is_routing_error(errno: Errno) -> bool {
    [
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::EACCES,
        Errno::EINVAL,
    ]
    .contains(&errno)
}

/// Returns the errno of a call on a socket that has no connection and no pending error; `None` if the call does not
/// fail.
fn errno_of_unconnected_socket(op: Op) -> Option<Errno> {
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

/// Returns the errno of a call on a socket whose error was taken before: `EPIPE` for a write, `ENOTCONN` for `shutdown`
/// and `getpeername`, `ECONNABORTED` for the `connect` that finds the failure (`__inet_stream_connect()`).
///
/// A `read` then returns 0 and does not fail, except after a refused blocking `connect`, which makes the socket
/// unconnected again.
fn errno_of_closed_socket(op: Op, taken: Errno) -> Option<Errno> {
    match op {
        Op::Connect if taken == Errno::ECONNREFUSED => Some(Errno::ECONNABORTED),
        Op::Read(_) | Op::Peek(_) if taken != Errno::ECONNREFUSED => None,
        _ => errno_of_unconnected_socket(op),
    }
}
