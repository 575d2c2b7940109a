//! What the end does after a RST in its name: who has reset a connection has none to go on with.

use super::{Context, Direction, Fact, Weight, milliseconds};
use crate::flow::{Form, State};
use crate::packet::{Flags, Header};

/// What was seen of the same sender after a RST in its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequel {
    /// The first segment with something in it that lies beyond the RST.
    beyond: Option<After>,
    /// The last other one.
    other: Option<After>,
    /// A SYN-ACK of the SYN that the RST has refused.
    accepts: Option<After>,
    /// Another connection with the same ends has begun.
    over: bool,
}

#[derive(Clone, Copy, Debug)]
struct After {
    frame: u32,
    ns: i64,
}

impl Sequel {
    /// Takes in a segment of the sender that was captured after its RST. Further RSTs are passed over: each has facts of its
    /// own.
    pub fn take(&mut self, reset: &Header, header: &Header) {
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

/// What is known of who made this RST from what its sender did after it.
///
/// An answer may leave the connection alone: in SYN-SENT, SYN-RECEIVED, LISTEN, FIN-WAIT-2 and TIME-WAIT Linux sends one and
/// goes on, and so nothing follows from it there (`tcp_rcv_state_process()`, `tcp_timewait_state_process()`).
#[must_use]
pub fn later(reset: &Header, context: &Context, sequel: &Sequel) -> Vec<Fact> {
    let is_answer = context.form.is_some_and(Form::is_answer);
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

/// Whether the end may have sent an answer and kept its connection; so it may if nobody knows.
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

fn fact(id: &'static str, weight: Weight, message: String) -> Fact {
    Fact {
        id,
        direction: Direction::Against,
        weight,
        message,
    }
}

fn accepted(after: After) -> Fact {
    let message = format!(
        "the SYN that it refuses is accepted in frame {}, {} later",
        after.frame,
        milliseconds(after.ns)
    );
    fact("went-on-accept", Weight::Strong, message)
}

/// The number of an abort is the end's SND.NXT: it has sent nothing beyond. That of an answer is what the other end
/// had, and what comes soon after may have been under way (Weaver et al.).
fn went_on(reset: &Header, is_answer: bool, context: &Context, after: After) -> Fact {
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

fn still_there(context: &Context, after: After) -> Fact {
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

/// Whether it may have been sent before the RST, and been overtaken.
fn is_soon(context: &Context, after: After) -> bool {
    /// If nobody knows how far it is.
    const FAR_NS: i64 = 100_000_000;
    after.ns <= context.rtt_ns.map_or(FAR_NS, |rtt| rtt.max(1_000_000))
}
