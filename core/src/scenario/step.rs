//! Steps of a script, and the events that it waits for.

use std::time::Duration;

use super::{Change, Expect, Forged, ForgedIcmp};
use crate::transcript::{Op, Role};

/// Step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call, with its expected outcome.
    Call(Role, Op, Expect),
    /// Call that is expected to block, on a thread of its own: the script continues once the call sleeps in the kernel.
    Begin(Role, Op, Expect),
    /// Wait for the return of the call that this role has begun.
    End(Role),
    /// Connections of this many other clients, one after the other, which stay open. Clients behind a full queue get no
    /// answer and do not wait for one. Each client sends a byte if the listener defers accepting.
    Others(u8),
    /// Wait until the capture, or the kernel, shows this.
    Await(Awaited),
    /// Segment that a third party sends in the name of an end.
    Inject(Forged),
    /// ICMP error that a third party on the path sends.
    InjectIcmp(ForgedIcmp),
    /// Change of the network.
    Happens(Change),
}

/// Maximum time that a whole script may lose between its steps and in steps that wait for nothing.
///
/// A trial that loses more was held up: the process was stopped, the machine paused or overloaded. The shortest timer
/// that changes what a script predicts is that of a retransmission (`TCP_RTO_MIN`, 200 ms). The timer of a delayed
/// acknowledgment (`TCP_DELACK_MIN`, 40 ms) is shorter, and scripts wait for it where it matters
/// ([`Awaited::Acknowledged`]).
pub const STEP_WINDOW: Duration = Duration::from_millis(150);

/// Maximum time that a call may block. A bound on failure, not a pace.
pub const CALL_BOUND: Duration = Duration::from_secs(5);

/// Maximum time that a script waits for a frame. A bound on failure, not a pace.
pub const FRAME_BOUND: Duration = Duration::from_secs(2);

/// Event that a script waits for, seen in the capture or in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// FIN sent by this end.
    FinFrom(Role),
    /// Acknowledgment by this end of the other end's FIN.
    FinAckedBy(Role),
    /// Data sent by this end and received by the other end's kernel.
    DataFrom(Role),
    /// RST sent by this end that the other end is required to accept.
    ResetFrom(Role),
    /// Disappearance of this end's closed socket, including the remains in FIN-WAIT-2.
    Gone(Role),
    /// Error or end of data on this end's socket, caused by a timer: `POLLERR` or `POLLHUP`.
    Dead(Role),
    /// SYN of the client, while its `connect` still waits.
    SynFrom(Role),
    /// Segment sent by this end since the last forged one.
    AnswerFrom(Role),
    /// Retransmission or probe of this end that had no answer.
    AgainFrom(Role),
    /// Departure of this end's socket from SYN-SENT and SYN-RECEIVED.
    Established(Role),
    /// Acknowledgment by the other end of all segments from this end, received by this end.
    ///
    /// After this wait, no segment in flight can meet a socket that is about to be closed: up to Linux 6.4, a received
    /// segment may be left to ksoftirqd, and a delayed ACK waits for a timer.
    Acknowledged(Role),
    /// ICMP error about the connection.
    Icmp,
}

impl Awaited {
    /// Returns the maximum time that a script waits before it continues without the event.
    #[must_use]
    pub fn bound(self) -> Duration {
        match self {
            Self::Gone(_) | Self::Dead(_) | Self::Established(_) | Self::Acknowledged(_) => {
                CALL_BOUND
            }
            Self::FinFrom(_)
            | Self::FinAckedBy(_)
            | Self::DataFrom(_)
            | Self::ResetFrom(_)
            | Self::SynFrom(_)
            | Self::AnswerFrom(_)
            | Self::AgainFrom(_)
            | Self::Icmp => FRAME_BOUND,
        }
    }

    /// Returns true if the event depends on a kernel timer. Every other event happens at once.
    #[must_use]
    pub fn is_up_to_timers(self) -> bool {
        matches!(
            self,
            Self::Gone(_) | Self::Dead(_) | Self::AgainFrom(_) | Self::Acknowledged(_)
        )
    }
}

/// Order of segments that a scenario is named after. If the order is missed, the trial is that of another scenario, and
/// inconclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Acknowledgment of the server's FIN by the client in a segment of its own, before the client's data.
    DataAfterAckOfFin,
    /// Acknowledgment of the server's FIN by the client's data, which is the first to acknowledge it.
    DataBeforeAckOfFin,
    /// Answer to the first SYN while `connect` is still sending it and holds the socket.
    AnsweredWhileSent,
    /// Answer to the first SYN while `connect` already waits, because processing of the received loopback packet was
    /// deferred.
    AnsweredWhileAwaited,
}
