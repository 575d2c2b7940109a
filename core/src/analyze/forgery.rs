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
//! Each [`Indicator`] has a weight and a direction, and [`Sender`] says what they support together: ordinary devices look
//! odd as well, of which the first paper warns. Properties that follow from the [`Form`] of an RST, or from the stack of
//! its sender, do not count against it: replies that Linux builds without a socket have no timestamps, no window and an IP
//! ID of 0 (`ip_send_unicast_reply()`, with `IP_PMTUDISC_DO` since Linux 4.19).

mod aftermath;
mod clock;
mod copied;
mod devices;
#[cfg(test)]
mod golden;
mod hosts;
mod network;
mod numbers;
mod sender;
mod sender_profile;
#[cfg(test)]
mod tests;
mod timing;
mod ttls;

use serde::{Serialize, Serializer};

pub(super) use aftermath::{Aftermath, later};
pub(super) use clock::HostRates;
pub(super) use copied::{ReceiverIds, copied_twice};
pub(super) use hosts::{HostIds, HostSample, Hosts};
pub(super) use sender::reset_both;
pub use sender::{Sender, SenderVerdict};
pub(super) use sender_profile::{
    IpFeatures, IpVersion, PacketFeatures, ProfileSummary, SenderProfile,
};
pub(super) use timing::{ReplySummary, Rtt, Timing};
pub(super) use ttls::{TtlScope, Ttls};

use super::stack::Stack;
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

    /// Returns the next lower weight.
    fn lighter(self) -> Self {
        match self {
            Self::Strong => Self::Moderate,
            Self::Moderate | Self::Weak => Self::Weak,
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
    /// True if the receiver has no connection any more, or if the capture does not show what it expects.
    pub expects_nothing: bool,
    /// Sequence number after the last one that the sender has sent.
    pub snd_nxt: Option<SeqNum>,
    /// Size of the largest segment that the sender sends, in bytes.
    pub mss: Option<u16>,
    /// True if the segment that the RST replies to was captured; relevant only if the RST has the form of a reply.
    /// `None` if it was not, and the capture may lack it.
    pub answers: Option<bool>,
    /// Latest two acknowledgment numbers of the receiver, which a reply to it takes as its SEQ (RFC 9293, 3.10.7.1).
    pub asked_for: [Option<SeqNum>; 2],
    /// Shortest time that the sender took to acknowledge a segment of this connection.
    pub rtt: Option<Rtt>,
    /// Longest time in nanoseconds that the sender had for the RST, see [`Timing::reaction`].
    pub reaction_ns: Option<i64>,
    /// Time in nanoseconds in which segments of the sender may still be under way: a round trip of the handshake.
    pub far_ns: Option<i64>,
    /// Time in nanoseconds since the sender's latest packet.
    pub idle_ns: Option<i64>,
    /// IP IDs of the sender's host over all its connections.
    pub host: HostIds,
    /// IP IDs of the receiver in this connection; unknown if both ends are one host.
    pub receiver_ids: ReceiverIds,
    /// Packets whose TTLs the RST is compared with.
    pub ttls: TtlScope,
    /// Likely stack of the sender.
    pub stack: Option<Stack>,
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
    /// one. An RST without ACK is one on any stack (RFC 9293, 3.10.7.1).
    fn is_answer(&self) -> bool {
        self.context.form.is_some_and(Form::is_answer) || !self.header.flags.has(Flags::ACK)
    }

    /// Checks the form. The Linux kernel never sends an RST alone with an acknowledgment number, a window or
    /// timestamps (`tcp_v4_send_reset()`, `tcp_send_active_reset()`). On another stack, or an unknown one, this is no mark.
    /// The handshake may be that of a device in front of the end, so it is no strong mark either.
    fn form(&self) -> Option<Indicator> {
        let is_linux = self.context.stack == Some(Stack::Linux);
        (is_linux && self.context.differs_from_linux).then(|| {
            Indicator::against(
                "no-linux-form",
                Weight::Moderate,
                "the Linux kernel sends no such RST, and the sender's SYN looks like that of Linux"
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
        } else if window == 0 && self.context.stack != Some(Stack::Linux) {
            None // the usual window of other stacks
        } else if window == 0 {
            let message = format!(
                "window 0, but the sender's last segment had {usual}; aborts of Linux carry the window"
            );
            Some(Indicator::against("window-zero", Weight::Weak, message))
        } else if u32::from(large) > FACTOR * u32::from(small) {
            let message = format!("window {window}, but the sender's last segment had {usual}");
            Some(Indicator::against("window-differs", Weight::Weak, message))
        } else {
            None
        }
    }

    /// Compares the reaction time with the shortest round trip. No end can reply to a segment, or acknowledge it, before
    /// receiving it: a faster sender is closer to the capture point.
    fn response_time(&self) -> Option<Indicator> {
        /// Shortest round trip that is compared, in nanoseconds. Below it, scheduling and the capture clock matter more
        /// than the distance.
        const MIN_NS: i64 = 1_000_000;
        /// Longest round trip after which an RST without ACK is known to reply to the segments before it.
        const MAX_NS: i64 = 500_000_000;
        let (rtt, reaction) = (self.context.rtt?, self.context.reaction_ns?);
        let least = rtt.least_ns;
        let acknowledges = self.header.flags.has(Flags::ACK);
        // The reaction time is negative if the capture order contradicts the timestamps.
        if least < MIN_NS || reaction < 0 || !acknowledges && least > MAX_NS {
            return None;
        }
        let what = if acknowledges {
            "what it acknowledges"
        } else {
            "what it answers"
        };
        let took = format!(
            "{} after {what}, where the shortest round trip took {}",
            milliseconds(reaction),
            milliseconds(least)
        );
        // Half, since the other half may have been the end's own time.
        if reaction >= least / 2 {
            // From 0.9 to 2 round trips, the delay matches the distance. A slower reply fits any sender and gives no
            // indicator.
            let in_time = reaction >= least / 10 * 9 && reaction / 2 <= least;
            return in_time.then(|| Indicator::supports("in-time", Weight::Weak, took));
        }
        let weight = self.weight_of_haste(rtt, reaction);
        Some(Indicator::against("too-fast", weight, took))
    }

    /// Returns the weight of a reaction time that is less than half of the round trip.
    fn weight_of_haste(&self, rtt: Rtt, reaction: i64) -> Weight {
        /// Round trip that interrupt coalescing does not reach, in nanoseconds.
        const SHORT_NS: i64 = 4_000_000;
        /// Round trip from which a reply that is far too fast is strong evidence, in nanoseconds.
        const LONG_NS: i64 = 20_000_000;
        /// Round trip that is longer than any wait for address resolution or a busy host in a handshake.
        const VERY_LONG_NS: i64 = 50_000_000;
        let is_sure = rtt.replies >= 2 || rtt.least_ns >= VERY_LONG_NS;
        let is_far_too_fast = reaction < rtt.least_ns / 4;
        if !self.header.flags.has(Flags::ACK) {
            // Linux sends such an RST as a reply only. Another sender may have sent it for a reason of its own.
            let is_reply = self.context.stack == Some(Stack::Linux);
            return if is_reply && is_sure && is_far_too_fast {
                Weight::Moderate
            } else {
                Weight::Weak
            };
        }
        if is_sure && is_far_too_fast && rtt.least_ns >= LONG_NS {
            Weight::Strong
        } else if is_sure && rtt.least_ns >= SHORT_NS || is_far_too_fast && rtt.least_ns >= LONG_NS
        {
            Weight::Moderate
        } else {
            Weight::Weak
        }
    }
}

/// Returns the indicator of an RST that was captured on the side of its receiver, and not where the packets of its stated
/// sender come from.
///
/// `is_captured` is true if that other point is known to have captured packets at the time, `is_foreign` if the TTL is
/// not that of the sender's packets.
pub(super) fn never_left(is_captured: bool, is_foreign: bool) -> Indicator {
    let message = "captured on its way to the receiver only, and not where the sender's other packets were captured first: ";
    let (weight, conclusion) = if is_captured || is_foreign {
        (
            Weight::Strong,
            "a device between these points sent it, perhaps the capturing host",
        )
    } else {
        (
            Weight::Weak,
            "a device between these points sent it, or the capture there had stopped",
        )
    };
    Indicator::against("never-left", weight, format!("{message}{conclusion}"))
}

/// Returns the indicator of a reply to a segment that was captured only where it left its own sender.
pub(super) fn trigger_not_arrived(trigger: u32, is_captured: bool) -> Indicator {
    let message = format!(
        "it replies to frame {trigger}, which was captured where it left and not where packets arrive at the RST's stated sender"
    );
    // A capture may lack a single frame.
    let (weight, but) = if is_captured {
        (Weight::Moderate, "")
    } else {
        (Weight::Weak, ", unless the capture there had stopped")
    };
    Indicator::against("trigger-not-arrived", weight, format!("{message}{but}"))
}

/// Sorts indicators: those of injection first, the strongest of each conclusion first. Equal weights keep their order.
pub(super) fn sort(indicators: &mut [Indicator]) {
    indicators.sort_by_key(|it| {
        (
            it.supports == Supports::Endpoint,
            std::cmp::Reverse(it.weight),
        )
    });
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
        case.two_senders(),
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
        case.netscaler(),
    ];
    let mut facts: Vec<Indicator> = found.into_iter().flatten().collect();
    let is_numbered = facts
        .iter()
        .any(|fact| fact.id == "ip-id-continues" && fact.weight == Weight::Strong);
    if is_numbered {
        // The counter shows the stack that built the packet; what differs in other fields is more likely its way.
        for fact in &mut facts {
            if ["ttl-differs", "df-differs"].contains(&fact.id) {
                fact.weight = fact.weight.lighter();
            }
        }
    }
    sort(&mut facts);
    facts
}
