//! Shortest time in which each end of a connection replied, and the time that it had for an RST.
//!
//! No end can reply to a segment before it has received it. The *least* reply of an end is the bound: the handshake
//! may have waited for address resolution or for a busy host, and data may have been acknowledged much sooner.

use crate::packet::{Flags, Header, SeqNum};
use crate::time::Timestamp;
use crate::transcript::Role;

/// Times of both ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    ends: [EndTiming; 2],
}

/// Shortest reply of an end, and how often it took about as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rtt {
    /// Time in nanoseconds, including the way from the capture point to the end and back.
    pub least_ns: i64,
    /// Number of replies that took at most a quarter longer, up to 255. A single one may have waited for something.
    pub replies: u8,
}

/// Times of one end. Times are in units of 2^14 ns, modulo 2^32 units, which is 19 hours.
#[derive(Clone, Copy, Debug, Default)]
struct EndTiming {
    /// Sequence number after the highest one sent, and the time at which it was captured first.
    highest: SeqNum,
    highest_at: u32,
    /// Sequence number whose acknowledgment is awaited, and the time at which it was captured.
    timed: SeqNum,
    timed_at: u32,
    /// Times of the first and the latest segment since this end was last silent for [`SILENCE`].
    burst_at: u32,
    latest_at: u32,
    /// Latest two acknowledgment numbers that differ.
    acks: [SeqNum; 2],
    /// Shortest time that this end took for an acknowledgment.
    least: u32,
    replies: u8,
    bits: u8,
}

const HIGHEST: u8 = 1;
const TIMED: u8 = 1 << 1;
const SENT: u8 = 1 << 2;
const ACK: u8 = 1 << 3;
/// The connection has rested since its shortest reply.
const RESTORED: u8 = 1 << 4;

/// Length of the unit of time in nanoseconds, as a power of 2.
const UNIT: u32 = 14;

/// Time without a segment after which no earlier segment can be what an RST replies to: a second, in units.
const SILENCE: u32 = 1_000_000_000 >> UNIT;

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the cast is the modulo
fn units(at: Timestamp) -> u32 {
    (at.0 >> UNIT) as u32
}

fn nanoseconds(units: u32) -> i64 {
    i64::from(units) << UNIT
}

impl EndTiming {
    /// Takes in the time of a reply.
    fn reply(&mut self, took: u32) {
        // Captured before what it replies to: the clocks differ, and nothing is known about the time.
        let took = if took > u32::MAX / 2 { 0 } else { took };
        if self.replies == 0 || took < self.least - self.least / 4 {
            (self.least, self.replies) = (took, 1);
        } else if took <= self.least.saturating_add(self.least / 4) {
            self.least = self.least.min(took);
            self.replies = self.replies.saturating_add(1);
        }
    }
}

/// Shortest replies of both ends, in the order client, server: what is kept while a connection is dormant. 0 if unknown;
/// otherwise the bits are, from the highest: 5 of the exponent, 10 of the mantissa, and whether more than one reply took
/// about as long. Rounded down, so that no reply seems too fast for it. 0 itself, which fits no bits, is a short time.
pub(in crate::analyze) type ReplySummary = [u16; 2];

/// Number of bits of the mantissa, without its highest one.
const MANTISSA: u32 = 10;

fn pack(end: &EndTiming) -> u16 {
    if end.replies == 0 {
        return 0;
    }
    let least = end.least.max(1);
    let exponent = least.ilog2();
    let mantissa = if exponent >= MANTISSA {
        least >> (exponent - MANTISSA)
    } else {
        least << (MANTISSA - exponent)
    };
    let bits = exponent << (MANTISSA + 1)
        | (mantissa & ((1 << MANTISSA) - 1)) << 1
        | u32::from(end.replies > 1);
    // All bits are 0 for one reply of one unit.
    u16::try_from(bits).unwrap_or(0).max(1)
}

fn unpack(bits: u16) -> EndTiming {
    if bits == 0 {
        return EndTiming::default();
    }
    let bits = u32::from(bits);
    let exponent = bits >> (MANTISSA + 1);
    let mantissa = 1 << MANTISSA | bits >> 1 & ((1 << MANTISSA) - 1);
    EndTiming {
        least: if exponent >= MANTISSA {
            mantissa << (exponent - MANTISSA)
        } else {
            mantissa >> (MANTISSA - exponent)
        },
        replies: 1 + u8::from(bits & 1 == 1),
        bits: RESTORED,
        ..EndTiming::default()
    }
}

impl Timing {
    /// Returns what is kept while the connection is dormant.
    #[must_use]
    pub(in crate::analyze) fn summary(&self) -> ReplySummary {
        self.ends.each_ref().map(pack)
    }

    /// Returns the times of a connection that speaks again.
    #[must_use]
    pub(in crate::analyze) fn restored(kept: ReplySummary) -> Self {
        Self {
            ends: kept.map(unpack),
        }
    }

    /// Returns the time in nanoseconds in which segments of an end may still be under way, given the round trip of the
    /// handshake if it is known. The shortest reply is no measure of that once the connection has rested.
    #[must_use]
    pub(in crate::analyze) fn far_ns(&self, of: Role, handshake: Option<i64>) -> Option<i64> {
        let was_restored = self.end(of).bits & RESTORED != 0;
        let least = self.rtt(of).filter(|_| !was_restored);
        handshake.max(least.map(|rtt| rtt.least_ns))
    }

    fn ends(&mut self, from: Role) -> (&mut EndTiming, &mut EndTiming) {
        let [client, server] = &mut self.ends;
        match from {
            Role::Client => (client, server),
            Role::Server => (server, client),
        }
    }

    fn end(&self, role: Role) -> &EndTiming {
        match role {
            Role::Client => &self.ends[0],
            Role::Server => &self.ends[1],
        }
    }

    /// Takes in a segment that is not an RST.
    #[inline]
    pub(crate) fn take(&mut self, from: Role, header: &Header) {
        let now = units(header.at);
        let (sender, receiver) = self.ends(from);
        if sender.bits & SENT == 0 || now.wrapping_sub(sender.latest_at) > SILENCE {
            sender.burst_at = now;
        }
        sender.latest_at = now;
        sender.bits |= SENT;
        if header.flags.has(Flags::ACK) {
            if sender.bits & ACK == 0 {
                sender.acks = [header.ack; 2];
                sender.bits |= ACK;
            } else if sender.acks[0] != header.ack {
                sender.acks = [header.ack, sender.acks[0]];
            }
            if receiver.bits & TIMED != 0 && !header.ack.is_before(receiver.timed) {
                receiver.bits &= !TIMED;
                sender.reply(now.wrapping_sub(receiver.timed_at));
            }
        }
        if header.seq_len() > 0 {
            let end = header.seq_end();
            if sender.bits & HIGHEST == 0 || end.is_after(sender.highest) {
                (sender.highest, sender.highest_at) = (end, now);
                sender.bits |= HIGHEST;
                if sender.bits & TIMED == 0 {
                    (sender.timed, sender.timed_at) = (end, now);
                    sender.bits |= TIMED;
                }
            } else if !sender.timed.is_after(end) {
                // An acknowledgment cannot be distinguished from one of the original (Karn's algorithm).
                sender.bits &= !TIMED;
            }
        }
    }

    /// Returns the shortest time that an end took to acknowledge a segment; `None` if none was timed.
    #[must_use]
    pub(crate) fn rtt(&self, of: Role) -> Option<Rtt> {
        let end = self.end(of);
        (end.replies > 0).then(|| Rtt {
            least_ns: nanoseconds(end.least),
            replies: end.replies,
        })
    }

    /// Returns the time in nanoseconds since an end sent its highest sequence number, which is that of its FIN if it has
    /// sent one; `None` if it is unknown.
    #[must_use]
    pub(in crate::analyze) fn since_highest(&self, of: Role, now: Timestamp) -> Option<i64> {
        let end = self.end(of);
        let age = units(now).wrapping_sub(end.highest_at);
        let is_known = end.bits & HIGHEST != 0 && age < u32::MAX / 2;
        is_known.then(|| nanoseconds(age))
    }

    /// Returns the latest acknowledgment number of the other end, if that end has sent a segment this long after `of` sent
    /// its highest sequence number.
    #[must_use]
    pub(in crate::analyze) fn late_ack(&self, of: Role, after_ns: i64) -> Option<SeqNum> {
        let (end, other) = (self.end(of), self.end(of.peer()));
        let later = other.latest_at.wrapping_sub(end.highest_at);
        let is_late = later < u32::MAX / 2 && nanoseconds(later) > after_ns;
        let is_known = end.bits & HIGHEST != 0 && other.bits & ACK != 0;
        (is_known && is_late).then_some(other.acks[0])
    }

    /// Returns the time that an end had for an RST that carries its address, at most: since the segment was captured
    /// that the RST acknowledges, or since the first of the segments that it may reply to. `None` if unknown.
    #[must_use]
    pub(crate) fn reaction(&self, from: Role, reset: &Header) -> Option<i64> {
        let receiver = self.end(from.peer());
        let since = if reset.flags.has(Flags::ACK) {
            let is_latest = receiver.bits & HIGHEST != 0 && receiver.highest == reset.ack;
            is_latest.then_some(receiver.highest_at)
        } else {
            // The SEQ of such an RST is the acknowledgment number of what it replies to, which many segments share.
            (receiver.bits & SENT != 0).then_some(receiver.burst_at)
        }?;
        Some(nanoseconds(units(reset.at).wrapping_sub(since)))
    }

    /// Returns the latest two acknowledgment numbers of an end.
    #[must_use]
    pub(crate) fn latest_acks(&self, of: Role) -> [Option<SeqNum>; 2] {
        let end = self.end(of);
        let is_known = end.bits & ACK != 0;
        end.acks.map(|ack| is_known.then_some(ack))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(us: i64, flags: Flags, seq: u32, ack: u32, len: u32) -> Header {
        Header {
            at: Timestamp(1_700_000_000_000_000_000 + us * 1_000),
            flags,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            payload_len: len,
            ..Header::default()
        }
    }

    fn about(ns: Option<i64>, us: i64) -> bool {
        ns.is_some_and(|ns| (ns - us * 1_000).abs() <= 2 << UNIT)
    }

    /// The handshake took 15 ms, but data were acknowledged in 0.7 ms.
    fn slow_handshake() -> Timing {
        let mut timing = Timing::default();
        let both = Flags::SYN.and(Flags::ACK);
        timing.take(Role::Client, &segment(0, Flags::SYN, 0, 0, 0));
        timing.take(Role::Server, &segment(15_500, both, 0, 1, 0));
        timing.take(Role::Client, &segment(15_700, Flags::ACK, 1, 1, 0));
        timing.take(Role::Client, &segment(15_800, Flags::ACK, 1, 1, 22));
        timing.take(Role::Server, &segment(16_500, Flags::ACK, 1, 23, 0));
        timing
    }

    #[test]
    fn the_shortest_reply_counts() {
        let timing = slow_handshake();
        let rtt = timing.rtt(Role::Server).unwrap();
        assert!(about(Some(rtt.least_ns), 700), "{rtt:?}");
        assert_eq!(rtt.replies, 1, "the handshake took longer");
        assert!(about(timing.rtt(Role::Client).map(|it| it.least_ns), 200));
    }

    /// The clocks of two capture points, or of two processors, may differ.
    #[test]
    fn a_reply_that_seems_to_precede_its_cause_makes_nothing_too_fast() {
        let mut timing = Timing::default();
        timing.take(Role::Client, &segment(100, Flags::SYN, 0, 0, 0));
        let both = Flags::SYN.and(Flags::ACK);
        timing.take(Role::Server, &segment(60, both, 0, 1, 0));
        assert!(about(timing.rtt(Role::Server).map(|it| it.least_ns), 0));
    }

    #[test]
    fn a_rest_keeps_the_shortest_reply_rounded_down() {
        for (least, replies) in [
            (0, 1),
            (1, 1),
            (1, 2),
            (42, 7),
            (1_023, 1),
            (1_025, 1),
            (2_047, 2),
            (2_049, 1),
            (19_409, 3),
            (1 << 20, 1),
            ((1 << 20) - 1, 2),
            (u32::MAX, 255),
        ] {
            let end = EndTiming {
                least,
                replies,
                ..EndTiming::default()
            };
            let kept = Timing {
                ends: [end, EndTiming::default()],
            };
            let restored = Timing::restored(kept.summary());
            let rtt = restored.rtt(Role::Client).unwrap();
            let units = u32::try_from(rtt.least_ns >> UNIT).unwrap();
            assert!(units <= least.max(1), "{units} of {least}");
            assert!(units >= least - least / 1_000, "{units} of {least}");
            // One reply of one unit has no code of its own, and such a time is compared with nothing.
            assert!((rtt.replies > 1) == (replies > 1) || least <= 1);
            assert_eq!(restored.rtt(Role::Server), None);
            assert_eq!(restored.far_ns(Role::Client, None), None);
        }
    }

    #[test]
    fn what_was_sent_twice_is_not_timed() {
        let mut timing = slow_handshake();
        timing.take(Role::Client, &segment(20_000, Flags::ACK, 23, 1, 10));
        timing.take(Role::Client, &segment(90_000, Flags::ACK, 23, 1, 10));
        timing.take(Role::Server, &segment(90_010, Flags::ACK, 1, 33, 0));
        assert_eq!(timing.rtt(Role::Server).unwrap().replies, 1);
        // What it acknowledges may have been the first copy.
        let reset = segment(90_020, Flags::RST.and(Flags::ACK), 1, 33, 0);
        assert!(about(timing.reaction(Role::Server, &reset), 70_020));
    }

    #[test]
    fn a_reply_has_had_the_time_since_the_first_segment_that_it_may_answer() {
        let mut timing = slow_handshake();
        timing.take(Role::Client, &segment(20_000, Flags::ACK, 23, 1, 10));
        timing.take(
            Role::Client,
            &segment(22_000, Flags::FIN.and(Flags::ACK), 33, 1, 0),
        );
        let reset = segment(22_100, Flags::RST, 1, 0, 0);
        assert!(about(timing.reaction(Role::Server, &reset), 22_100));
        // After a silence, it cannot be an answer to what came before.
        timing.take(Role::Client, &segment(4_000_000, Flags::ACK, 34, 1, 10));
        let reset = segment(4_003_000, Flags::RST, 1, 0, 0);
        assert!(about(timing.reaction(Role::Server, &reset), 3_000));
        let old = segment(4_003_000, Flags::RST.and(Flags::ACK), 1, 1, 0);
        assert_eq!(timing.reaction(Role::Server, &old), None);
    }
}
