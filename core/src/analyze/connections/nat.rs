//! Connections on both sides of a NAT: their other addresses, and segments that the NAT did not translate like the others.
//!
//! A segment that passes a NAT without translation, or that is translated to other addresses than those before, arrives under addresses that its receiver
//! has no socket for. The receiver's kernel replies with an RST, which ends the connection of the segment's sender, while
//! the receiver's own socket knows of nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::decode::{CapturePoint, FlowKey, SegmentRecord};
use super::super::explain::{Cause, NatFinding};
use super::super::nat::{Candidate, Differs, Initial, Joined, Notice, NoticeKind, PointTtl};
use super::{Connection, ConnectionObserver, DORMANT, Entry, ResetRecord, Table};
use crate::flow::{Form, Reset};
use crate::packet::{Flags, Header, SeqNum};
use crate::time::Timestamp;
use crate::transcript::Role;

/// Maximum number of places where the translations of one connection are remembered.
const MAX_PLACES: usize = 32;

/// Maximum number of stray segments that are remembered for the RSTs that they draw.
const MAX_STRAYS: usize = 8;

/// Addresses of a connection on another side of a NAT.
#[derive(Clone, Debug)]
pub struct Translation {
    /// Number of the translation.
    number: u8,
    /// Ends of the connection in the frames of that side.
    pub(crate) ends: FlowKey,
    /// True if the ends stand in the other order there.
    flips: bool,
    /// True if the NAT gave the connection these addresses after others on the same side.
    is_remapped: bool,
    /// First frame with these addresses.
    pub first: u32,
}

/// Connection that a stray segment continues under other addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continued {
    /// Number of the connection: that of its first frame.
    pub number: u32,
    /// Client of that connection.
    pub client: SocketAddr,
    /// Server of that connection.
    pub server: SocketAddr,
}

/// Segment under addresses that its receiver has no socket for.
#[derive(Clone, Copy, Debug)]
struct Stray {
    frame: u32,
    from: Role,
    ack: SeqNum,
    finding: NatFinding,
}

/// What is known of a connection on both sides of a NAT, and of RSTs between other addresses that concern it.
#[derive(Clone, Debug, Default)]
pub(super) struct Nat {
    translations: Vec<Translation>,
    /// Places of the packets that show the translations, with the number of the translation there and the index of the
    /// sender.
    places: Vec<(u8, usize, PointTtl)>,
    strays: VecDeque<Stray>,
    /// Frame of the RST that has ended an end, although the other end did not send it.
    ended: [Option<u32>; 2],
}

impl Nat {
    /// Returns the other addresses of the connection.
    pub(super) fn translations(&self) -> &[Translation] {
        &self.translations
    }

    fn add_place(&mut self, number: u8, sender: usize, place: PointTtl) {
        let new = (number, sender, place);
        if self.places.len() < MAX_PLACES && !self.places.contains(&new) {
            self.places.push(new);
        }
    }

    /// Returns true if packets of this sender pass the point with the addresses of a translation for which `is_wanted`
    /// holds.
    fn passes(&self, is_wanted: impl Fn(u8) -> bool, sender: usize, point: CapturePoint) -> bool {
        self.places.iter().any(|(number, from, place)| {
            let there = if *from == sender {
                place.point
            } else {
                place.point.reversed()
            };
            is_wanted(*number) && there == point
        })
    }

    /// Returns the finding about a segment under addresses that its receiver has no socket for; `None` for any other.
    fn misdirection(&self, segment: &SegmentRecord) -> Option<NatFinding> {
        let (own, sender) = (segment.translation, segment.sender);
        let point = segment.point.received();
        let is_remapped = self
            .translations
            .iter()
            .any(|it| it.number == own && it.is_remapped);
        if is_remapped {
            return Some(NatFinding::Remapped);
        }
        let is_other = |number| number != own;
        if !self.passes(is_other, sender, point) {
            return None;
        }
        if !self.passes(|number| number == own, sender, point) {
            return Some(NatFinding::NotTranslated);
        }
        // Both sides have one capture point, as in files that were merged: there the number of hops tells them apart.
        let has_ttl = |is_wanted: &dyn Fn(u8) -> bool| {
            let mut places = self.places.iter();
            places.any(|(number, from, place)| {
                is_wanted(*number) && *from == sender && *place == PointTtl::of(segment)
            })
        };
        let is_foreign = has_ttl(&is_other) && !has_ttl(&|number| number == own);
        let is_known = |(number, from, place): &(u8, usize, PointTtl)| {
            *number == own && *from == sender && place.point == point
        };
        (is_foreign && self.places.iter().any(is_known)).then_some(NatFinding::NotTranslated)
    }

    fn note(&mut self, stray: Stray) {
        if self.strays.len() == MAX_STRAYS {
            self.strays.pop_front();
        }
        self.strays.push_back(stray);
    }
}

impl Translation {
    /// Returns the address of an end, given its index in the ends of the connection.
    #[must_use]
    pub(crate) fn socket(&self, end: usize) -> SocketAddr {
        self.ends.socket(end ^ usize::from(self.flips))
    }
}

impl Connection<'_> {
    /// Returns the addresses of client and server on another side of the NAT.
    #[must_use]
    pub fn translated(&self, translation: &Translation) -> [SocketAddr; 2] {
        [Role::Client, Role::Server].map(|role| translation.socket(self.end(role)))
    }
}

impl ResetRecord {
    /// Gives the RST the cause that a NAT explains, if it does.
    pub(super) fn explain_by_nat(&mut self) {
        if let Some(finding) = self.finding {
            self.explanation.attribute_to_nat(finding);
        }
    }
}

impl Entry {
    pub(super) fn nat(&self) -> Option<&Nat> {
        self.rare.as_ref()?.nat.as_deref()
    }

    fn nat_mut(&mut self) -> &mut Nat {
        self.rare().nat.get_or_insert_default()
    }

    /// Adds the addresses of the connection on another side of a NAT.
    fn join(&mut self, joined: &Joined, frame: u32) {
        let begins_midstream = self.gaps.begins_midstream;
        let nat = self.nat_mut();
        let last = joined.places.last().map(|it| it.1);
        let has_other = last.is_some_and(|place| {
            nat.passes(|number| number != joined.number, joined.sender, place.point)
        });
        // The number may be that of a translation that has ended.
        nat.places.retain(|it| it.0 != joined.number);
        for (number, place) in &joined.places {
            nat.add_place(*number, joined.sender, *place);
        }
        nat.translations.push(Translation {
            number: joined.number,
            ends: joined.own,
            flips: joined.flips,
            is_remapped: !joined.is_syn && !begins_midstream && has_other,
            first: frame,
        });
    }

    /// Takes in a segment of a connection on both sides of a NAT. Returns true if its receiver has no socket for its
    /// addresses, so that it does not arrive there.
    #[inline]
    pub(super) fn is_stray(&mut self, from: Role, segment: &SegmentRecord, is_copy: bool) -> bool {
        let has_nat = self.rare.as_ref().is_some_and(|rare| rare.nat.is_some());
        has_nat && self.is_stray_of_nat(from, segment, is_copy)
    }

    // Out of line: few connections were captured on both sides of a NAT.
    #[inline(never)]
    fn is_stray_of_nat(&mut self, from: Role, segment: &SegmentRecord, is_copy: bool) -> bool {
        let header = &segment.header;
        let nat = self.nat_mut();
        if header.flags.has(Flags::SYN) {
            nat.add_place(segment.translation, segment.sender, PointTtl::of(segment));
            return false;
        }
        if header.flags.has(Flags::RST) {
            return false;
        }
        let Some(finding) = nat.misdirection(segment) else {
            return false;
        };
        if header.flags.has(Flags::ACK) {
            nat.note(Stray {
                frame: header.frame,
                from,
                ack: header.ack,
                finding,
            });
        }
        if !is_copy {
            let side = self.side(segment.sender);
            self.zeek.take(side, header, segment.ip_len);
            self.has_sent[segment.sender] = true;
            self.idle = header.at.since(self.last).max(0);
            self.last = header.at;
        }
        true
    }

    /// Returns the frame of the stray segment that an RST replies to, and what is known of that segment.
    pub(super) fn drawn_by_stray(
        &self,
        reset: &Reset,
        segment: &SegmentRecord,
        never_left: bool,
    ) -> Option<(u32, NatFinding)> {
        let nat = self.nat()?;
        let header = &segment.header;
        if header.flags.has(Flags::ACK) || never_left {
            return None;
        }
        let is_it = |it: &&Stray| it.from == reset.from.peer() && it.ack == header.seq;
        let stray = nat.strays.iter().rev().find(is_it)?;
        // The end that has a socket for the latest segment with this number does not reply to that one.
        let is_latest = reset.triggered_by.is_none_or(|frame| frame <= stray.frame);
        let is_outside = nat.misdirection(segment).is_some();
        (is_latest || is_outside).then_some((stray.frame, stray.finding))
    }

    /// Returns the addresses of a frame, those of the sender first, if they are not those of the connection.
    pub(super) fn frame_sockets(&self, segment: &SegmentRecord) -> Option<[SocketAddr; 2]> {
        let number = segment.translation;
        let translations = self.nat()?.translations.iter();
        let translation = translations
            .rev()
            .find(|it| it.number == number && number != 0)?;
        let sender = segment.sender;
        Some([translation.socket(sender), translation.socket(1 - sender)])
    }

    /// Returns true if an RST replies, after a silence, from the address of its stated sender that a NAT changes.
    pub(super) fn is_from_nat(&self, record: &ResetRecord) -> bool {
        /// Shortest silence after which a NAT may have forgotten a connection, in nanoseconds: limits are set in seconds.
        const MIN_SILENCE_NS: i64 = 1_000_000_000;
        let end = self.end(record.reset.from);
        let own = self.ends.socket(end);
        let translations = self.nat().map_or(&[][..], Nat::translations);
        record.reset.form == Some(Form::Passive)
            && record.finding.is_none()
            && record.silence >= MIN_SILENCE_NS
            && translations.iter().any(|it| it.socket(end) != own)
    }

    /// Notes that an RST has ended the end that it goes to, although the other end's socket did not send it.
    pub(super) fn note_ended(&mut self, reset: &Reset) {
        if reset.acceptance.is_acceptable() {
            let end = self.end(reset.from.peer());
            self.nat_mut().ended[end] = Some(reset.frame);
        }
    }

    /// Returns the frame of the RST that has ended this end, although the other end's socket did not send it.
    pub(super) fn ended_by(&self, role: Role) -> Option<u32> {
        self.nat()?.ended[self.end(role)]
    }

    pub(super) fn end(&self, role: Role) -> usize {
        match role {
            Role::Client => usize::from(self.client),
            Role::Server => 1 - usize::from(self.client),
        }
    }

    /// Explains an RST by the connection that the segment before it continues under other addresses, if exactly one of
    /// these fits.
    fn continues(&mut self, frame: u32, candidates: &[Candidate]) {
        let is_it = |it: &ResetRecord| it.reset.frame == frame;
        let pending = self.rare.as_ref().map_or(&[][..], |rare| &rare.pending);
        let Some(record) = pending.iter().rev().find(|it| is_it(it)) else {
            return;
        };
        let (reset, from) = (record.reset, record.reset.from);
        let has_replied = record.history.of(from).packets > 0;
        let is_reply = reset.form == Some(Form::Passive) && reset.triggered_by.is_some();
        if !self.gaps.begins_midstream || has_replied || !is_reply {
            return;
        }
        let fits = |it: &&Candidate| self.fits(&record.header, from.peer(), it);
        let mut fitting = candidates.iter().filter(fits);
        let (Some(candidate), None) = (fitting.next(), fitting.next()) else {
            return;
        };
        let finding = match candidate.differs {
            Differs::Server => NatFinding::ServerDiffers,
            Differs::ClientPort => NatFinding::ClientPortDiffers,
            Differs::Client => NatFinding::ClientDiffers,
        };
        let [client, server] = candidate.sockets;
        let continued = Continued {
            number: candidate.number,
            client,
            server,
        };
        let pending = self.rare.iter_mut().flat_map(|it| &mut it.pending);
        if let Some(record) = pending.rev().find(|it| is_it(it)) {
            record.continues = Some(Box::new(continued));
            // The first RST has ended the connection, and what follows repeats it.
            if record.explanation.cause != Some(Cause::Duplicate) {
                record.finding = Some(finding);
                record.explain_by_nat();
            }
        }
    }

    /// Returns true if the latest segment of an end, which an RST replies to, has the numbers of this connection.
    fn fits(&self, reset: &Header, role: Role, candidate: &Candidate) -> bool {
        /// Maximum numbers of bytes that the ends have sent: the lower and the higher one. Random numbers are below both in
        /// one of half a million cases.
        const MAX_SENT: [u32; 2] = [1 << 20, 1 << 24];
        /// Maximum numbers if timestamps confirm them. Some hosts have one clock for all connections.
        const MAX_SENT_BY_CLOCK: [u32; 2] = [1 << 20, 1 << 28];
        let [own, other] = candidate.initial;
        let Some(next) = self.flow.snd_nxt(role) else {
            return false;
        };
        let sent = |number: SeqNum, initial: &Initial| number.0.wrapping_sub(initial.seq.0);
        let (acknowledged, sent) = (sent(reset.seq, &own), sent(next, &other));
        let is_within = |most: [u32; 2]| {
            let (lower, higher) = (acknowledged.min(sent), acknowledged.max(sent));
            lower > 0 && lower <= most[0] && higher <= most[1]
        };
        match (self.flow.timestamps(role), own.clock, other.clock) {
            (Some(clock), Some(own_clock), Some(other_clock)) => {
                is_within(MAX_SENT_BY_CLOCK)
                    && has_ticked(clock.value.wrapping_sub(other_clock), other.at, reset.at)
                    && has_ticked(clock.echo.wrapping_sub(own_clock), own.at, reset.at)
            }
            // An end that has no timestamps in its SYN sends none later (RFC 7323, 3.2).
            (Some(_), _, _) => false,
            (None, _, _) => is_within(MAX_SENT),
        }
    }

    /// Takes in that an RST between other addresses goes to an end. It ends that end if its number is outstanding there.
    fn ended_elsewhere(&mut self, end: usize, seq: SeqNum, frame: u32) {
        let from = self.role(end).peer();
        let (una, next) = (self.flow.snd_una(from), self.flow.snd_nxt(from));
        let is_outstanding = una.is_some_and(|una| !seq.is_before(una))
            && next.is_some_and(|next| !seq.is_after(next));
        if is_outstanding && !self.ends.is_self_connection() {
            self.nat_mut().ended[end & 1] = Some(frame);
        }
    }

    /// Explains an RST of an end that an RST of another sender had ended before.
    pub(super) fn explain_consequence(&self, record: &mut ResetRecord) {
        if record.explanation.cause != Some(Cause::HalfOpenPeer) || record.finding.is_some() {
            return;
        }
        if let Some(frame) = self
            .ended_by(record.reset.from)
            .filter(|it| *it < record.reset.frame)
        {
            record.consequence_of = Some(frame);
            record.finding = Some(NatFinding::EndedBefore);
            record.explain_by_nat();
        }
    }
}

/// Returns true if a timestamp clock can have advanced by so many ticks between these times: a tick takes 1 ms to 1 s
/// (RFC 7323, 5.4), and the clocks of host and capture differ.
fn has_ticked(ticks: u32, from: Timestamp, to: Timestamp) -> bool {
    let elapsed = to.since(from).max(0) / 1_000_000;
    i64::from(ticks) <= elapsed + elapsed / 8 + 1_000
}

impl<L: ConnectionObserver> Table<L> {
    /// Takes in a conclusion of the NAT stage.
    pub(super) fn notice(&mut self, notice: &Notice, frame: u32) {
        let found = self.find(notice.hash, &notice.ends);
        let Some(index) = found else {
            return;
        };
        let was_dormant = index & DORMANT != 0;
        let index = self.awake(index);
        if was_dormant {
            self.arm_timer(index);
        }
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        match &notice.kind {
            NoticeKind::Joined(joined) => entry.join(joined, frame),
            NoticeKind::Continues(candidates) => entry.continues(frame, candidates),
            NoticeKind::EndedElsewhere { end, seq } => entry.ended_elsewhere(*end, *seq, frame),
        }
    }
}
