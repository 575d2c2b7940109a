//! Evidence from the segments after an RST: an end that has reset a connection does not continue it.

use super::{Context, Indicator, Supports, Weight, milliseconds};
use crate::analyze::stack::Stack;
use crate::flow::{Form, State};
use crate::packet::{Flags, Header};

/// Later segments of the stated sender of an RST.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Aftermath {
    /// First segment whose data lies beyond the RST.
    beyond: Option<After>,
    /// Latest other segment.
    other: Option<After>,
    /// SYN-ACK for the SYN that the RST refused.
    accepts: Option<After>,
    /// True once another connection between the same ends has begun.
    over: bool,
}

#[derive(Clone, Copy, Debug)]
struct After {
    frame: u32,
    ns: i64,
}

impl Aftermath {
    /// Takes in a segment that the sender's address sent after the RST. Further RSTs are skipped, because each has
    /// evidence of its own.
    pub(crate) fn take(&mut self, reset: &Header, header: &Header) {
        if self.over || header.flags.has(Flags::RST) {
            return;
        }
        let after = After {
            frame: header.frame,
            ns: header.at.since(reset.at),
        };
        if header.flags.has(Flags::SYN) {
            let refused = reset.flags.has(Flags::ACK) && header.flags.has(Flags::ACK);
            if refused && header.ack == reset.ack && self.is_empty() {
                self.accepts = Some(after);
            }
            self.over = true;
        } else if header.seq_len() > 0 && header.seq_end().is_after(reset.seq) {
            self.beyond.get_or_insert(after);
        } else {
            self.other = Some(after);
        }
    }

    fn is_empty(&self) -> bool {
        self.beyond.is_none() && self.other.is_none()
    }
}

/// Returns the evidence on the origin of an RST from the later segments of its sender.
///
/// A sender that replies with an RST may keep its connection: in SYN-SENT, SYN-RECEIVED, LISTEN, FIN-WAIT-2 and
/// TIME-WAIT Linux replies and continues, so later segments prove nothing there (`tcp_rcv_state_process()`,
/// `tcp_timewait_state_process()`).
#[must_use]
pub(crate) fn later(reset: &Header, context: &Context, sequel: &Aftermath) -> Vec<Indicator> {
    // An RST without ACK is a reply on any stack, but a Linux host sends none that looks unlike Linux.
    let is_foreign_to_linux = context.differs_from_linux && context.stack == Some(Stack::Linux);
    let is_answer = !is_foreign_to_linux
        && match context.form {
            Some(form) => form.is_answer(),
            None => !reset.flags.has(Flags::ACK),
        };
    let found = if let Some(after) = sequel.accepts {
        (context.form != Some(Form::Active)).then(|| accepted(after))
    } else if is_answer && (context.form == Some(Form::PassiveAck) || survives(context)) {
        None
    } else if let Some(after) = sequel.beyond {
        Some(went_on(reset, is_answer, context, after))
    } else {
        sequel.other.map(|after| still_there(context, after))
    };
    found.into_iter().collect()
}

/// Returns true if the end may have replied with an RST and kept its connection, or if its state is unknown.
fn survives(context: &Context) -> bool {
    !matches!(
        context.sender_state,
        Some(
            State::Established
                | State::CloseWait
                | State::FinWait1
                | State::Closing
                | State::LastAck
        )
    )
}

fn fact(id: &'static str, weight: Weight, message: String) -> Indicator {
    Indicator {
        id,
        supports: Supports::Injection,
        weight,
        message,
    }
}

/// Builds the fact for a SYN-ACK after the refusal. Windows sends a refused SYN again after half a second, which a server
/// that has been started meanwhile accepts.
fn accepted(after: After) -> Indicator {
    const RETRY_NS: i64 = 300_000_000;
    let weight = if after.ns < RETRY_NS {
        Weight::Strong
    } else {
        Weight::Weak
    };
    let message = format!(
        "the SYN that it refuses is accepted in frame {}, {} later",
        after.frame,
        milliseconds(after.ns)
    );
    fact("went-on-accept", weight, message)
}

/// Builds the fact for data beyond the RST.
///
/// The SEQ of an abort is the end's SND.NXT, so the end has sent nothing beyond it. The SEQ of a reply is the ACK of
/// the other end, so data that follows soon may have been in flight (Weaver et al.).
fn went_on(reset: &Header, is_answer: bool, context: &Context, after: After) -> Indicator {
    let weight = if is_answer && is_soon(context, after) {
        Weight::Moderate
    } else {
        Weight::Strong
    };
    let message = format!(
        "its sender goes on: frame {} carries data beyond the RST in frame {}, {} later",
        after.frame,
        reset.frame,
        milliseconds(after.ns)
    );
    fact("went-on-data", weight, message)
}

fn still_there(context: &Context, after: After) -> Indicator {
    let weight = if is_soon(context, after) {
        Weight::Weak
    } else {
        Weight::Moderate
    };
    let message = format!(
        "its sender still sends in frame {}, {} later",
        after.frame,
        milliseconds(after.ns)
    );
    fact("went-on-ack", weight, message)
}

/// Returns true if the segment may have been sent before the RST and overtaken by it.
fn is_soon(context: &Context, after: After) -> bool {
    /// Time allowed in nanoseconds, if the round-trip time is unknown.
    const FAR_NS: i64 = 100_000_000;
    // Below a millisecond scheduling counts for more than the path.
    after.ns <= context.far_ns.map_or(FAR_NS, |far| far.max(1_000_000))
}
