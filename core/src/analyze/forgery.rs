//! Evidence about the sender of an RST: indicators of the end whose address it carries, and indicators of injection.
//!
//! A receiver accepts an RST for its numbers, and whoever sees the packets of a connection can copy those. Firewalls,
//! filters and traffic limiters do so (Weaver, Sommer and Paxson, "Detecting Forged TCP Reset Packets", NDSS 2009;
//! Clayton, Murdoch and Watson, "Ignoring the Great Firewall of China", PET 2006). They rarely copy the rest: the
//! number of hops that the packet has travelled, the counters and the clock of the stack that they imitate, and the
//! earliest time at which that stack could have received the segment it replies to. The end itself does not know of the
//! injected RST, and continues.
//!
//! [`PacketFeatures`] are the header fields of a packet, [`SenderProfile`] the values that the packets of one sender have in common.
//! [`facts`] compares an RST with them, and [`later`] adds the indicators that appear only in the packets after it.
//! Each [`Indicator`] has a weight and a direction. There is no verdict here, because ordinary devices look odd as
//! well, and the first paper warns of it. Properties that follow from the [`Form`] of an RST do not count against it:
//! replies that Linux builds without a socket have no timestamps, no window and an IP ID of 0
//! (`ip_send_unicast_reply()`, with `IP_PMTUDISC_DO` since Linux 4.19).

mod aftermath;
mod clock;
#[cfg(test)]
mod golden;
mod network;
mod numbers;
mod sender_profile;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

pub(super) use aftermath::{Aftermath, later};
pub(super) use sender_profile::{IpFeatures, PacketFeatures, ProfileSummary, SenderProfile};

use crate::flow::{Form, State};
use crate::packet::{Flags, Header, SeqNum};

/// Conclusion that an indicator supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Supports {
    /// Injection: a third party sent the RST, not the end whose address it carries.
    Injection,
    /// Endpoint: the end whose address the RST carries sent it.
    Endpoint,
}

impl Supports {
    /// Returns the name: `injection` or `endpoint`.
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

/// Weight of an indicator, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Common under the opposite conclusion as well.
    Weak,
    /// Rare under the opposite conclusion, but with ordinary causes.
    Moderate,
    /// Nearly impossible under the opposite conclusion.
    Strong,
}

impl Weight {
    /// Returns the name: `weak`, `moderate` or `strong`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Moderate => "moderate",
            Self::Strong => "strong",
        }
    }
}

/// One observation about the sender of an RST.
///
/// Serialised as `{"id", "supports", "weight", "message"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Indicator {
    /// Stable id, in kebab-case.
    pub id: &'static str,
    /// Conclusion that the observation supports.
    pub supports: Supports,
    /// Weight of the observation.
    pub weight: Weight,
    /// Message for people: one line, with the numbers.
    pub message: String,
}

impl Indicator {
    /// Returns true if the indicator supports injection with at least this weight.
    #[must_use]
    pub fn indicates_injection(&self, weight: Weight) -> bool {
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

/// Facts about an RST and its connection at the time it is captured. Unknown facts are `None`, and give no indicator.
///
/// All facts are those of one capture point. Numbers are those before the RST was processed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    /// Form of the RST; `None` if it is unknown.
    pub form: Option<Form>,
    /// True if the Linux kernel sends no RST with these header fields.
    pub differs_from_linux: bool,
    /// State of the end whose address the RST carries.
    pub sender_state: Option<State>,
    /// Next sequence number that the receiver expects.
    pub rcv_nxt: Option<SeqNum>,
    /// Sequence number after the last one that the sender has sent.
    pub snd_nxt: Option<SeqNum>,
    /// Size of the largest segment that the sender sends, in bytes.
    pub mss: Option<u16>,
    /// True if the segment that the RST replies to was captured; relevant only if the RST has the form of a reply.
    pub answers: Option<bool>,
    /// Time in nanoseconds that the sender took to reply in the handshake, including the way from the capture point to
    /// the sender and back: from the SYN to the SYN-ACK, or from the SYN-ACK to the ACK. `None` if a part of the
    /// handshake was sent more than once.
    pub rtt_ns: Option<i64>,
    /// Time in nanoseconds since the capture of the segment that the RST replies to, or is the first to acknowledge.
    pub reaction_ns: Option<i64>,
    /// Previous RST with the same source address in this connection.
    pub previous: Option<Header>,
}

/// RST with everything that it is compared with.
struct Case<'a> {
    reset: &'a PacketFeatures,
    header: &'a Header,
    sender: &'a SenderProfile,
    context: &'a Context,
}

impl Case<'_> {
    /// Returns true if the RST has the form of a reply, which Linux builds without consulting the socket, if there is
    /// one.
    fn is_answer(&self) -> bool {
        self.context.form.is_some_and(Form::is_answer)
    }

    /// Checks the form. The Linux kernel never sends an RST alone with an acknowledgment number, a window or
    /// timestamps.
    fn form(&self) -> Option<Indicator> {
        self.context.differs_from_linux.then(|| {
            Indicator::against(
                "no-linux-form",
                Weight::Weak,
                "the Linux kernel sends no such RST: without ACK, but with an acknowledgment number, a window or timestamps; \
                 other stacks may"
                    .into(),
            )
        })
    }

    /// Checks for data. RFC 9293, 3.5.3, allows data in an RST (SHLD-2); `tcp_send_active_reset()` and
    /// `tcp_v4_send_reset()` send none.
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

    /// Compares the window with that of the sender's last segment: `tcp_send_active_reset()` sends the real window.
    fn window(&self) -> Option<Indicator> {
        /// Largest ordinary ratio of the windows of two consecutive segments.
        const FACTOR: u32 = 4;
        let (window, usual) = (self.header.window, self.sender.window()?);
        // Replies have window 0 by their form, and `form()` covers an RST without ACK.
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

    /// Compares the reaction time with the handshake. No end can reply to a segment before receiving it, and that takes
    /// as long as in the handshake: a faster sender is closer to the capture point.
    fn response_time(&self) -> Option<Indicator> {
        /// Shortest round trip that is compared, in nanoseconds. Below it, scheduling and the capture clock matter more
        /// than the distance.
        const SHORTEST_NS: i64 = 1_000_000;
        /// Round trip from which a reply that is far too fast is strong evidence, in nanoseconds.
        const LONG_NS: i64 = 10_000_000;
        let (rtt, reaction) = (self.context.rtt_ns?, self.context.reaction_ns?);
        // The reaction time is negative if the capture order contradicts the timestamps.
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
            // From 0.9 to 2 round trips, the delay matches the distance. A slower reply fits any sender and gives no
            // indicator.
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

/// Formats a time in milliseconds with three decimals; negative if the capture order contradicts the timestamps.
fn milliseconds(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let microseconds = ns.unsigned_abs() / 1000;
    format!(
        "{sign}{}.{:03} ms",
        microseconds / 1000,
        microseconds % 1000
    )
}

/// Returns the indicators that are known when the RST is captured: those of injection first, the strongest of each
/// conclusion first.
///
/// `reset` and `header` are two decodings of the same packet. `sender` must not yet include that packet.
#[must_use]
pub(super) fn facts(
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
        case.response_time(),
        case.payload(),
    ];
    let mut facts: Vec<Indicator> = found.into_iter().flatten().collect();
    // The sort is stable: equal weights keep the order above.
    facts.sort_by_key(|fact| {
        (
            fact.supports == Supports::Endpoint,
            std::cmp::Reverse(fact.weight),
        )
    });
    facts
}
