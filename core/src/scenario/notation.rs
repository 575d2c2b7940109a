//! Constructors and constants that the scripts of the catalogue are written with.

use super::{Disposition, Expect, ExpectedCause, ExpectedReset, Sender, Step};
use crate::flow::{Form, State};
use crate::transcript::{Errno, Events, Op, Role};

/// Setting that enables TCP Fast Open for clients (1) and servers (2), without a cookie on either side (4, 0x200): one
/// trial leaves no state for the next.
pub(super) const FAST_OPEN: (&str, &str) = ("tcp_fastopen", "519");

/// Returns an RST of a socket of this end that aborts.
pub(super) const fn abort(
    from: Role,
    receiver_state: State,
    reason: &'static str,
) -> ExpectedReset {
    ExpectedReset {
        from,
        form: Some(Form::Active),
        disposition: Disposition::Accepted,
        receiver_state,
        sender: Sender::Socket,
        reason,
    }
}

/// Returns the RST with which this end answers a segment that has ACK.
pub(super) const fn answer(
    from: Role,
    receiver_state: State,
    sender: Sender,
    reason: &'static str,
) -> ExpectedReset {
    ExpectedReset {
        from,
        form: Some(Form::Passive),
        disposition: Disposition::Accepted,
        receiver_state,
        sender,
        reason,
    }
}

/// Returns the RST with which this end answers a SYN or another segment without ACK.
pub(super) const fn answer_without_ack(
    from: Role,
    receiver_state: State,
    sender: Sender,
    reason: &'static str,
) -> ExpectedReset {
    ExpectedReset {
        form: Some(Form::PassiveAck),
        ..answer(from, receiver_state, sender, reason)
    }
}

/// Returns an RST that a third party sends in the name of this end.
pub(super) const fn injected(from: Role, receiver_state: State) -> ExpectedReset {
    ExpectedReset {
        from,
        form: None,
        disposition: Disposition::Accepted,
        receiver_state,
        sender: Sender::Injected,
        reason: "",
    }
}

/// Marks an RST as one that its receiver must ignore.
pub(super) const fn ignored(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        disposition: Disposition::Ignored,
        ..reset
    }
}

/// Marks an RST as one that is lost on the path.
pub(super) const fn lost(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        disposition: Disposition::Lost,
        ..reset
    }
}

/// Marks an RST as one that never reaches the wire.
pub(super) const fn dropped_at_sender(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        disposition: Disposition::DroppedAtSender,
        ..reset
    }
}

/// Marks an RST as one that its receiver answers with a challenge ACK.
pub(super) const fn challenged(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        disposition: Disposition::Challenged,
        ..reset
    }
}

pub(super) const fn client(op: Op, expect: Expect) -> Step {
    Step::Call(Role::Client, op, expect)
}

pub(super) const fn server(op: Op, expect: Expect) -> Step {
    Step::Call(Role::Server, op, expect)
}

pub(super) const fn returns(value: i64) -> Expect {
    Expect::Returns(value)
}

/// Expects a failure with the error of RST number `reset` of the scenario.
pub(super) const fn fails_from_reset(errno: Errno, reset: usize) -> Expect {
    Expect::Fails(errno, ExpectedCause::Reset(reset))
}

/// Expects a failure on the socket that RST number `reset` closed, after an earlier call reported the error.
pub(super) const fn fails_after_reset(errno: Errno, reset: usize) -> Expect {
    Expect::Fails(errno, ExpectedCause::AfterReset(reset))
}

pub(super) const fn polls(events: Events) -> Expect {
    Expect::Polls(events)
}

/// Expects a report by `SO_ERROR` of the error of RST number `reset` of the scenario.
pub(super) const fn so_error_from_reset(errno: Errno, reset: usize) -> Expect {
    Expect::Reports(errno, ExpectedCause::Reset(reset))
}

pub(super) const fn would_block(errno: Errno) -> Expect {
    Expect::Fails(errno, ExpectedCause::WouldBlock)
}

/// Expects a failure because another thread waits on the socket.
pub(super) const fn busy() -> Expect {
    Expect::Fails(Errno::EBUSY, ExpectedCause::InUse)
}

pub(super) const fn not_connected(errno: Errno) -> Expect {
    Expect::Fails(errno, ExpectedCause::NotConnected)
}

// Events that poll reports for a socket (tcp_poll()).

/// Events of a connected socket without data to read.
pub(super) const OPEN: Events = Events::OUT;
/// Events of a socket whose peer has sent FIN, or whose own receiving side is shut down.
pub(super) const PEER_CLOSED: Events = Events::IN.and(Events::OUT).and(Events::RDHUP);
/// Events of a closed connection whose error was taken.
pub(super) const DEAD: Events = PEER_CLOSED.and(Events::HUP);
/// Events of a closed connection whose error was not taken yet.
pub(super) const DEAD_WITH_ERROR: Events = DEAD.and(Events::ERR);
/// Events of a socket without a connection.
pub(super) const UNCONNECTED: Events = Events::OUT.and(Events::HUP);
/// Events of a socket that no longer has a connection and whose error was not taken yet.
pub(super) const UNCONNECTED_WITH_ERROR: Events = UNCONNECTED.and(Events::ERR);
