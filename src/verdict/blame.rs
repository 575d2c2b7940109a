//! What each reported error came from.
//!
//! The error state of one socket is followed through its calls: a RST that comes in puts an error on it, the first
//! call that can report errors takes it away, and a socket that is dead answers in its own way. This is rule 5 and
//! half of rule 7, and it does not look at what the scenario expects.

use crate::flow::Reset;
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
            (Self::OwnShutdown(_), Cause::OwnShutdown) => true,
            _ => false,
        }
    }
}

/// For each call that was told of an error, what it came from.
pub(super) fn attribute(calls: &[Call], resets: &[Reset]) -> Vec<(usize, Blame)> {
    let mut client = Socket::new(Role::Client);
    let mut server = Socket::new(Role::Server);
    let mut blames = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let socket = match call.role {
            Role::Client => &mut client,
            Role::Server => &mut server,
        };
        socket.take_in(call, resets);
        if let Some(errno) = call.outcome.errno() {
            blames.push((index, socket.blame(call.op, errno)));
        } else {
            socket.succeed(index, call);
        }
    }
    blames
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
}

impl Socket {
    fn new(role: Role) -> Self {
        Self {
            role,
            looked_at: 0,
            pending: None,
            dead: None,
            shutdown: None,
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
            (Some(call), Op::Write(_)) if errno == Errno::EPIPE => Blame::OwnShutdown(call),
            _ => Blame::Unexplained,
        }
    }

    fn succeed(&mut self, index: usize, call: &Call) {
        if call.op == Op::ShutdownWrite && call.outcome == Outcome::Returned(0) {
            self.shutdown = Some(index);
        }
    }
}

/// How a socket fails a call once its error has been taken: `EPIPE` to a write, `ENOTCONN` to `shutdown`. A `read`
/// then gives 0 and does not fail, except after a refused blocking `connect`, which puts the socket back to
/// unconnected.
fn how_dead_socket_answers(op: Op, taken: Errno) -> Option<Errno> {
    match op {
        Op::Write(_) => Some(Errno::EPIPE),
        Op::ShutdownWrite => Some(Errno::ENOTCONN),
        Op::Read(_) if taken == Errno::ECONNREFUSED => Some(Errno::ENOTCONN),
        _ => None,
    }
}
