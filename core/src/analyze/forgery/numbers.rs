//! Evidence from the sequence number of an RST, and from the RST before it.

use super::{Case, Indicator, Weight, milliseconds};
use crate::analyze::stack::Stack;
use crate::flow::Form;
use crate::packet::{Flags, Header, SeqNum};

/// Payload of a full segment on Ethernet, in bytes. Injectors that do not know the MSS use multiples of it.
const USUAL_MSS: u32 = 1460;

impl Case<'_> {
    /// Checks the sequence number.
    ///
    /// An end that aborts uses its own SND.NXT (`tcp_acceptable_seq()`), and a reply uses the number that the
    /// triggering segment asked for. An on-path observer knows only the numbers of earlier packets, which are outdated
    /// when its RST arrives, so the SEQ is too low or guessed ahead (Weaver et al.).
    pub(super) fn sequence(&self) -> Option<Indicator> {
        let seq = self.header.seq;
        let rcv_nxt = self.context.rcv_nxt?;
        let snd_nxt = self.context.snd_nxt.unwrap_or(rcv_nxt);
        if self.context.form == Some(Form::PassiveAck) {
            return None; // always 0
        }
        if seq == rcv_nxt && self.context.expects_nothing {
            return None;
        }
        if seq == rcv_nxt {
            let message =
                "SEQ is exactly what the receiver expects (an on-path attacker could know it)"
                    .into();
            return Some(Indicator::supports("seq-exact", Weight::Weak, message));
        }
        if seq == snd_nxt {
            let message =
                "SEQ is what the sender would send next, though not what the receiver expects";
            return Some(Indicator::supports("seq-own", Weight::Weak, message.into()));
        }
        // The triggering segment asked for this number, whether it was captured or not. Other stacks than Linux set ACK
        // in such a reply as well.
        if self.is_answer() || self.context.asked_for.contains(&Some(seq)) {
            return None;
        }
        let highest = if snd_nxt.is_after(rcv_nxt) {
            snd_nxt
        } else {
            rcv_nxt
        };
        if seq.is_after(highest) {
            Some(self.ahead(seq.relative_to(highest)))
        } else if seq.is_before(rcv_nxt) {
            Some(self.behind(rcv_nxt))
        } else {
            None
        }
    }

    /// Builds the fact for a SEQ ahead of all data. The data in between may be lost, or missing in the capture.
    fn ahead(&self, by: u32) -> Indicator {
        let segments = match self.segments(by) {
            Some((count, size)) => format!(", {count} times {size}"),
            None => String::new(),
        };
        let message = format!(
            "SEQ is {by} ahead of everything the sender was seen to send{segments}: guessed by an injector, or data was lost"
        );
        Indicator::against("seq-ahead", Weight::Weak, message)
    }

    /// Builds the fact for a SEQ that is too low. After a FIN some stacks send an RST with the FIN's number
    /// (`tcp_reset_check()`, Linux 4.11).
    fn behind(&self, rcv_nxt: SeqNum) -> Indicator {
        let by = rcv_nxt.relative_to(self.header.seq);
        // Other stacks than Linux set ACK in replies as well, whose SEQ is the number that they were asked for.
        let weight = if by == 1 || self.context.stack != Some(Stack::Linux) {
            Weight::Weak
        } else {
            Weight::Moderate
        };
        let message = format!("SEQ is {by} behind what the sender has already sent");
        Indicator::against("seq-behind", weight, message)
    }

    /// Returns the number of full segments that these bytes fill exactly, and their size.
    fn segments(&self, bytes: u32) -> Option<(u32, u32)> {
        let mss = self.context.mss.map(u32::from).filter(|mss| *mss > 0);
        // An injector may use the MSS of the connection, or the usual one.
        let sizes = [mss.unwrap_or(USUAL_MSS), USUAL_MSS];
        let size = sizes.into_iter().find(|size| bytes.is_multiple_of(*size))?;
        (bytes > 0).then_some((bytes / size, size))
    }

    /// Checks that a reply has a trigger. The capture may have missed it.
    pub(super) fn answered(&self) -> Option<Indicator> {
        let form = self.context.form.filter(|form| form.is_answer())?;
        (self.context.answers == Some(false)).then(|| {
            let message =
                format!("has the form of a reply ({form}), but replies to no captured segment");
            Indicator::against("answers-nothing", Weight::Weak, message)
        })
    }

    /// Checks for bursts of RSTs.
    ///
    /// An end that aborts sends one RST, and Linux sends one reply to each segment. Injectors send several RSTs at
    /// once, each further ahead, in case data overtakes them: the Great Firewall 0, 1460 and 4380 (Clayton et al.;
    /// Weaver et al.).
    pub(super) fn repetition(&self) -> Option<Indicator> {
        /// Maximum distance of RSTs that a program sends together, in nanoseconds.
        const AT_ONCE_NS: i64 = 1_000_000;
        /// Maximum distance of RSTs of one burst, in nanoseconds.
        const BURST_NS: i64 = 1_000_000_000;
        let previous = self.context.previous.as_ref()?;
        if self.is_answer() && self.context.answers != Some(false)
            || self.context.asked_for.contains(&Some(self.header.seq))
        {
            return None;
        }
        let gap = self.header.at.since(previous.at);
        // One built differently has another reason: it may be the reply of another connection.
        let is_alike = previous.flags.has(Flags::ACK) == self.header.flags.has(Flags::ACK);
        if self.header.seq.is_after(previous.seq) {
            return (is_alike && gap < BURST_NS).then(|| self.raised(previous, gap));
        }
        (gap < AT_ONCE_NS && self.header.seq == previous.seq).then(|| {
            let message = format!(
                "repeats the RST in frame {}, {} after it, and replies to no captured segment",
                previous.frame,
                milliseconds(gap)
            );
            Indicator::against("repeated", Weight::Weak, message)
        })
    }

    fn raised(&self, previous: &Header, gap: i64) -> Indicator {
        let by = self.header.seq.relative_to(previous.seq);
        let (weight, segments) = match self.segments(by) {
            Some((count, size)) => (Weight::Strong, format!(", {count} times {size}")),
            None => (Weight::Moderate, String::new()),
        };
        let message = format!(
            "SEQ is {by} ahead of the RST in frame {}{segments}, {} after it",
            previous.frame,
            milliseconds(gap)
        );
        Indicator::against("seq-raised", weight, message)
    }
}
