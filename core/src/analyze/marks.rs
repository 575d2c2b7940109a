//! Who made a RST: what speaks for the end whose address it bears, and what for somebody else.
//!
//! A RST is believed for its numbers, and whoever sees a connection pass by can copy those: firewalls, filters and limiters
//! of traffic do (Weaver, Sommer and Paxson, "Detecting Forged TCP Reset Packets", NDSS 2009; Clayton, Murdoch and Watson,
//! "Ignoring the Great Firewall of China", PET 2006). What they rarely copy is the rest: how many hops the packet has come,
//! the counters and the clock of the stack that it pretends to be, and when that stack could have known what it answers.
//! And the end itself does not know that it has been reset, and goes on.
//!
//! [`PacketFeatures`] are what a packet's headers tell, [`SenderProfile`] what those of one sender have in common, [`facts`] what a RST looks
//! like beside them, and [`later`] what is known only from what follows it. Each [`Indicator`] has a weight and a direction; there
//! is no verdict here, for ordinary devices look odd as well, and the paper warns of it. What the [`Form`] of a RST explains
//! is not held against it: answers that Linux makes without a socket have no timestamps, no window and an IP ID of 0
//! (`ip_send_unicast_reply()`, with `IP_PMTUDISC_DO` since Linux 4.19).

mod after;
mod clock;
#[cfg(test)]
mod golden;
mod habits;
mod network;
mod numbers;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

pub use after::{Aftermath, later};
pub(super) use habits::TCP;
pub use habits::{IpFeatures, PacketFeatures, SenderProfile};

use crate::flow::{Form, State};
use crate::packet::{Flags, Header, SeqNum};

/// For whom a fact speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Supports {
    /// Injection: somebody else than the end whose address the RST carries sent it.
    Injection,
    /// Endpoint: that end sent it.
    Endpoint,
}

impl Supports {
    /// `injection` or `endpoint`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Injection => "injection",
            Self::Endpoint => "endpoint",
        }
    }
}

impl Serialize for Supports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How much a fact says, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Common on the other side as well.
    Weak,
    /// Has ordinary causes on the other side, and they are rare.
    Moderate,
    /// Hardly to be had on the other side.
    Strong,
}

/// One thing that tells who made a RST.
///
/// For machines: `{"id", "supports", "weight", "message"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Indicator {
    /// Stable name, in kebab-case.
    pub id: &'static str,
    /// Conclusion that it supports.
    pub supports: Supports,
    /// How much it says.
    pub weight: Weight,
    /// One line, with the numbers.
    pub message: String,
}

impl Indicator {
    /// Whether it speaks for somebody else, and says as much as this or more.
    #[must_use]
    pub fn accuses(&self, weight: Weight) -> bool {
        self.supports == Supports::Injection && self.weight >= weight
    }

    fn against(id: &'static str, weight: Weight, message: String) -> Self {
        Self {
            id,
            supports: Supports::Injection,
            weight,
            message,
        }
    }

    fn supports(id: &'static str, weight: Weight, message: String) -> Self {
        Self {
            id,
            supports: Supports::Endpoint,
            weight,
            message,
        }
    }
}

/// What is known of a RST and its connection when it passes; whatever is not known is `None`, and nothing is concluded from it.
///
/// All of it is as seen at one point of capture. Numbers are those before the RST was taken in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// The form that the RST has; `None` if the Linux kernel makes none like it.
    pub form: Option<Form>,
    /// The state of the end that it claims to come from.
    pub sender_state: Option<State>,
    /// What its receiver expects next.
    pub rcv_nxt: Option<SeqNum>,
    /// The number after the last one that its sender has sent.
    pub snd_nxt: Option<SeqNum>,
    /// Largest segment that its sender sends, in bytes.
    pub mss: Option<u16>,
    /// Whether a segment was seen that it answers, if its form is an answer's.
    pub answers: Option<bool>,
    /// Nanoseconds that its sender took to answer in the handshake, the way there and back from here included: from the SYN to
    /// the SYN-ACK, or from there to the ACK. Not of a handshake with anything sent twice.
    pub rtt_ns: Option<i64>,
    /// Nanoseconds since the segment passed here that it answers, or that it is the first to acknowledge.
    pub reaction_ns: Option<i64>,
    /// The RST before it in the same sender's name.
    pub previous: Option<Header>,
}

/// A RST beside all that is known.
struct Case<'a> {
    reset: &'a PacketFeatures,
    header: &'a Header,
    sender: &'a SenderProfile,
    context: &'a Context,
}

impl Case<'_> {
    /// Whether it has the form of an answer, which Linux makes without asking the socket, if there is one.
    fn is_answer(&self) -> bool {
        self.context.form.is_some_and(Form::is_answer)
    }

    /// The Linux kernel makes none like it: RST alone with an acknowledgment number, a window or timestamps.
    fn form(&self) -> Option<Indicator> {
        self.context.form.is_none().then(|| {
            Indicator::against(
                "no-linux-form",
                Weight::Weak,
                "the Linux kernel sends no such RST: without ACK, but with an acknowledgment number, a window or timestamps; \
                 other stacks may"
                    .into(),
            )
        })
    }

    /// RFC 9293, 3.5.3, allows data in a RST (SHLD-2); `tcp_send_active_reset()` and `tcp_v4_send_reset()` put none in.
    fn payload(&self) -> Option<Indicator> {
        let len = self.reset.payload_len;
        (len > 0).then(|| {
            Indicator::against(
                "payload",
                Weight::Weak,
                format!("{len} bytes of payload: Linux puts none into an RST, some devices do"),
            )
        })
    }

    /// `tcp_send_active_reset()` states the real window.
    fn window(&self) -> Option<Indicator> {
        /// What a window may do between two segments.
        const FACTOR: u32 = 4;
        let (window, usual) = (self.header.window, self.sender.window()?);
        if self.is_answer() || !self.header.flags.has(Flags::ACK) {
            return None;
        }
        let (small, large) = (window.min(usual), window.max(usual));
        if window == usual {
            let message = format!("window {window}, same as the sender's last segment");
            Some(Indicator::supports("window-same", Weight::Weak, message))
        } else if window == 0 {
            let message = format!(
                "window 0, but the sender's last segment had {usual}; Linux aborts carry the window, other stacks send 0"
            );
            Some(Indicator::against("window-zero", Weight::Weak, message))
        } else if u32::from(large) > FACTOR * u32::from(small) {
            let message = format!("window {window}, but the sender's last segment had {usual}");
            Some(Indicator::against("window-differs", Weight::Weak, message))
        } else {
            None
        }
    }

    /// Nobody answers what it has not received, and that takes as long as it took in the handshake: who is faster stands
    /// nearer.
    fn haste(&self) -> Option<Indicator> {
        /// Below this, scheduling and the clock of the capture count for more than the way.
        const SHORTEST_NS: i64 = 1_000_000;
        const LONG_NS: i64 = 10_000_000;
        let (rtt, reaction) = (self.context.rtt_ns?, self.context.reaction_ns?);
        if rtt < SHORTEST_NS || reaction < 0 {
            return None;
        }
        let took = format!(
            "{} after what it answers, where the handshake took {}",
            milliseconds(reaction),
            milliseconds(rtt)
        );
        // Half, since the other half may have been the end's own time in the handshake.
        if reaction >= rtt / 2 {
            let in_time = reaction >= rtt / 10 * 9 && reaction / 2 <= rtt;
            return in_time.then(|| Indicator::supports("in-time", Weight::Weak, took));
        }
        let far_too_fast = rtt >= LONG_NS && reaction < rtt / 4;
        let weight = if far_too_fast {
            Weight::Strong
        } else {
            Weight::Moderate
        };
        Some(Indicator::against("too-fast", weight, took))
    }
}

/// With three digits behind the point; negative if the capture has them in another order than their stamps.
fn milliseconds(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let microseconds = ns.unsigned_abs() / 1000;
    format!(
        "{sign}{}.{:03} ms",
        microseconds / 1000,
        microseconds % 1000
    )
}

/// What is known of who made this RST as it passes, those facts first that speak for somebody else, and the weightiest of them
/// first.
///
/// `reset` and `header` are two readings of the same packet. `sender` must not have taken it in.
#[must_use]
pub fn facts(
    reset: &PacketFeatures,
    header: &Header,
    sender: &SenderProfile,
    context: &Context,
) -> Vec<Indicator> {
    let case = Case {
        reset,
        header,
        sender,
        context,
    };
    let found = [
        case.hops(),
        case.ip_id(),
        case.fragmentation(),
        case.traffic_class(),
        case.flow_label(),
        case.form(),
        case.window(),
        case.timestamps(),
        case.sequence(),
        case.answered(),
        case.repetition(),
        case.haste(),
        case.payload(),
    ];
    let mut facts: Vec<Indicator> = found.into_iter().flatten().collect();
    facts.sort_by_key(|fact| {
        (
            fact.supports == Supports::Endpoint,
            std::cmp::Reverse(fact.weight),
        )
    });
    facts
}
