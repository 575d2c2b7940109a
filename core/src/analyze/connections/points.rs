//! Capture points of a connection: where the packets of each end are captured, and how many hops they have left there.
//!
//! A point shows what passes there, and no more: TTL, order and absence hold for that point. A packet that is captured
//! at two points leaves its sender at one of them and arrives at the other. The points are two interfaces, or one
//! interface whose frames were captured at two places: captures that were merged into one, or a router that sends a
//! packet back over the link on which it came. There the TTL tells them apart, since each router decrements it (RFC 791,
//! 3.2): the higher one is nearer to the sender.
//!
//! A packet may pass more points. Then the outermost ones count: those with the highest and the lowest TTL and, in one
//! capture, the first and the last. What lies between shows that a packet went on, and no more.

use super::super::decode::{CapturePoint, SegmentRecord};
use super::super::forgery::{TtlScope, Ttls};
use super::Entry;
use super::copies::Latest;
use crate::time::Timestamp;

/// Time in nanoseconds by which the clocks of two points of one host may differ: packets that pass both on different
/// processors may be stamped in either order.
const JITTER_NS: i64 = 100_000;

/// Place on the way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) enum Place {
    /// Capture point that the packets of an end pass first.
    Departure,
    /// Capture point that they pass before they arrive at the other end.
    Arrival,
}

impl Place {
    /// Returns the end at which this place is, for packets of `sender`.
    pub(super) fn end(self, sender: usize) -> usize {
        match self {
            Self::Departure => sender & 1,
            Self::Arrival => (sender & 1) ^ 1,
        }
    }
}

/// Way of one end's packets past two capture points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Way {
    leave: CapturePoint,
    arrive: CapturePoint,
    /// TTLs where the packets leave and where they arrive.
    ttls: [Ttls; 2],
    /// True if packets pass other points as well.
    has_more: bool,
    /// Number of packets that were captured in this order, less those in the other order. 0 if the way is known from
    /// packets of the other end only.
    order: i8,
    /// Number of copies of a packet up to the one at `arrive`.
    count: u8,
}

impl Way {
    /// Returns true if only the TTL tells the points apart.
    fn is_unmarked(&self) -> bool {
        self.leave == self.arrive
    }

    /// Creates the way of a packet that was captured twice.
    fn between(near: &Latest, far: &Latest, count: u8) -> Self {
        let mut way = Self {
            leave: near.point,
            arrive: far.point,
            order: 1,
            count,
            ..Self::default()
        };
        way.add(near.ttl, far.ttl);
        way
    }

    /// Returns the place of a packet; `None` if it was captured at another point, or fits neither.
    fn place(&self, point: CapturePoint, ttl: u8) -> Option<Place> {
        if self.is_unmarked() {
            let [leaving, arriving] = self.ttls;
            return match point == self.leave {
                true if leaving.covers(ttl) => Some(Place::Departure),
                true if arriving.covers(ttl) => Some(Place::Arrival),
                _ => None,
            };
        }
        if self.is_at(self.leave, point) {
            Some(Place::Departure)
        } else {
            self.is_at(self.arrive, point).then_some(Place::Arrival)
        }
    }

    /// Returns true if a point is this one of the way. A way that is known from the other end's packets does not show whom
    /// frames are addressed to.
    fn is_at(&self, own: CapturePoint, point: CapturePoint) -> bool {
        own == point || self.order == 0 && own.received() == point.received()
    }

    /// Takes in another packet with this copy. Returns false if it contradicts the way.
    fn confirm(&mut self, first: &Latest, copy: &Latest, count: u8) -> bool {
        let (near, far) = nearer(first, copy);
        let passed = (near.point, far.point);
        if self.is_unmarked() {
            return near.point != far.point
                || near.point != self.leave
                || self.confirm_unmarked(near.ttl, far.ttl, count);
        }
        let is_clear = copy.at.since(first.at) >= JITTER_NS;
        if self.order == 0
            && self.is_at(self.leave, near.point)
            && self.is_at(self.arrive, far.point)
        {
            (self.leave, self.arrive) = passed;
        }
        if passed == (self.leave, self.arrive) {
            self.order = self.order.saturating_add(1);
            self.add(near.ttl, far.ttl);
        } else if passed == (self.arrive, self.leave) && is_clear {
            self.order = self.order.saturating_sub(1);
        } else if self.order == 0 && !first.point.is_of_one_capture(copy.point) {
            // Packets of its own show more than those of the other end.
            if first.point != copy.point {
                *self = Self::between(near, far, count);
            }
        } else if first.point != copy.point && first.point != self.arrive {
            if first.point.is_of_one_capture(copy.point) {
                self.extend(first.point, copy.point, count);
            } else {
                self.extend_by_ttl(near, far);
            }
        }
        self.order >= 0
    }

    /// Takes in a packet that was captured twice at the one interface of the way. Returns false if it contradicts the way.
    fn confirm_unmarked(&mut self, high: u8, low: u8, count: u8) -> bool {
        let [leaving, arriving] = &mut self.ttls;
        // One packet has been at three points.
        if count > 1 && leaving.covers(high) && !arriving.covers(low) {
            if low < arriving.least() {
                *arriving = Ttls::default();
                arriving.add(low);
            }
            self.has_more = true;
            return true;
        }
        if self.has_more && leaving.covers(high) && low > arriving.most() && low < leaving.least() {
            return true;
        }
        self.add(high, low)
    }

    /// Extends the way by a third point, if its TTL shows that it is farther out.
    fn extend_by_ttl(&mut self, near: &Latest, far: &Latest) {
        self.has_more = true;
        let [leaving, arriving] = &mut self.ttls;
        let is_known = *leaving != Ttls::default();
        if near.point == self.leave && is_known && far.ttl < arriving.least() {
            (self.arrive, *arriving) = (far.point, Ttls::default());
            arriving.add(far.ttl);
        } else if far.point == self.arrive && is_known && near.ttl > leaving.most() {
            (self.leave, *leaving) = (near.point, Ttls::default());
            leaving.add(near.ttl);
        }
    }

    /// Extends the way by a third point of the same capture, whose clock shows that it is farther out. `count` is the
    /// number of copies up to the one at `copy`.
    fn extend(&mut self, first: CapturePoint, copy: CapturePoint, count: u8) {
        // The capturing host hears it again, and does not take it on.
        if copy.is_for_other_host() {
            return;
        }
        if first == self.leave && count > self.count {
            (self.arrive, self.count) = (copy, count);
        } else if copy == self.leave {
            (self.leave, self.count) = (first, self.count.saturating_add(1));
        }
    }

    /// Adds the TTLs of a packet that was captured twice at one interface. Returns false if they do not tell its places
    /// apart.
    fn add(&mut self, high: u8, low: u8) -> bool {
        let [leaving, arriving] = &mut self.ttls;
        leaving.add(high);
        arriving.add(low);
        leaving.least() > arriving.most()
    }
}

/// Returns both captures of a packet, the one nearer to the sender first: it has more hops left, whatever the clocks of the
/// points say.
fn nearer<'a>(first: &'a Latest, copy: &'a Latest) -> (&'a Latest, &'a Latest) {
    if copy.ttl > first.ttl {
        (copy, first)
    } else {
        (first, copy)
    }
}

/// State of the knowledge about the way of one end's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Knowledge {
    /// No packet of this end was captured at two points.
    #[default]
    Unknown,
    /// The points and their order are known.
    Known(Way),
    /// The evidence contradicts itself.
    Void,
}

/// Capture points of a connection. The default holds for one that was captured at one point for each end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Points {
    ways: [Knowledge; 2],
    /// Point at which packets of each end were captured beside that of its first packet, with their TTLs.
    second: [Option<(CapturePoint, Ttls)>; 2],
    /// Frame of the newest packet that was captured at each end, and of the newest one at all.
    reached: [u32; 2],
    newest: u32,
    /// Time of the newest one.
    newest_at: Timestamp,
    /// Largest number of copies of one packet.
    copies: u8,
    /// True if packets have copies that were captured at the same point with the same TTL.
    in_place: bool,
}

impl Points {
    fn way(&self, sender: usize) -> Option<&Way> {
        match &self.ways[sender & 1] {
            Knowledge::Known(way) => Some(way),
            Knowledge::Unknown | Knowledge::Void => None,
        }
    }

    /// Returns the place at which the first copy of a packet was captured; `None` if it is unknown.
    pub(super) fn place(&self, segment: &SegmentRecord) -> Option<Place> {
        let way = self.way(segment.sender)?;
        way.place(segment.point, segment.ip.ttl)
    }

    /// Returns the place of a packet that was captured at this point with this TTL; `None` if it is unknown.
    pub(super) fn place_of(&self, sender: usize, captured: &Latest) -> Option<Place> {
        self.way(sender)?.place(captured.point, captured.ttl)
    }

    /// Returns true if one capture holds both points of the way, so that it cannot have been over at one of them.
    pub(super) fn is_one_capture(&self, sender: usize) -> bool {
        self.way(sender)
            .is_some_and(|way| way.leave.is_of_one_capture(way.arrive))
    }

    /// Returns true if packets of an end that arrived were captured more often than this.
    pub(super) fn has_more_copies(&self, sender: usize, copies: u8) -> bool {
        let has_more = self.way(sender).is_some_and(|way| way.has_more);
        has_more && !self.in_place && copies < self.copies
    }

    /// Returns true if packets have copies at one point with one TTL, so that neither shows a copy.
    pub(super) fn has_copies_in_place(&self) -> bool {
        self.in_place
    }

    /// Returns the number of copies that each packet has, as far as is known.
    pub(super) fn copies(&self) -> u8 {
        self.copies.max(1)
    }

    /// Takes in a copy, given its original and the number of copies so far. Returns the place at which the copy was
    /// captured; `None` if it is unknown, or was unknown when the original was taken in.
    pub(super) fn take_copy(
        &mut self,
        sender: usize,
        first: &Latest,
        copy: &Latest,
        count: u8,
    ) -> Option<Place> {
        self.copies = self.copies.max(count);
        if first.point == copy.point && first.ttl == copy.ttl {
            self.in_place = true;
            return None;
        }
        let known = self.way(sender).copied();
        if first.point != copy.point || copy.is_unmistakable() {
            self.learn(sender, first, copy, count);
        }
        let way = known?;
        if way.is_unmarked() && first.point == copy.point && !way.has_more {
            let is_farther = copy.ttl < first.ttl;
            return Some(if is_farther {
                Place::Arrival
            } else {
                Place::Departure
            });
        }
        way.place(copy.point, copy.ttl)
    }

    fn learn(&mut self, sender: usize, first: &Latest, copy: &Latest, count: u8) {
        let (near, far) = nearer(first, copy);
        let (there, back) = (sender & 1, (sender & 1) ^ 1);
        match &mut self.ways[there] {
            Knowledge::Void => {}
            Knowledge::Unknown => {
                let way = Way::between(near, far, count);
                if near.point != far.point && self.ways[back] == Knowledge::Unknown {
                    // The packets of the other end take the way back.
                    self.ways[back] = Knowledge::Known(Way {
                        leave: far.point.reversed(),
                        arrive: near.point.reversed(),
                        ..Way::default()
                    });
                }
                self.ways[there] = Knowledge::Known(way);
            }
            Knowledge::Known(way) => {
                let is_marked = !way.is_unmarked();
                let is_consistent = way.confirm(first, copy, count);
                let (leave, arrive) = (way.leave, way.arrive);
                if !is_consistent {
                    self.ways[there] = Knowledge::Void;
                }
                if !is_marked {
                    return;
                }
                match &mut self.ways[back] {
                    // The order of the other direction is from the same clocks.
                    back if !is_consistent => *back = Knowledge::Void,
                    Knowledge::Known(back) if back.order == 0 => {
                        (back.leave, back.arrive) = (arrive.reversed(), leave.reversed());
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes in the place of a packet: of its original, whose frame is `frame`, or of a copy of it.
    pub(super) fn mark(&mut self, sender: usize, place: Place, frame: u32) {
        let reached = &mut self.reached[place.end(sender)];
        *reached = (*reached).max(frame);
    }

    /// Takes in the original of a packet whose place is known.
    pub(super) fn take_first(&mut self, segment: &SegmentRecord, place: Place) {
        (self.newest, self.newest_at) = (segment.header.frame, segment.header.at);
        self.mark(segment.sender, place, segment.header.frame);
    }

    /// Returns the newest packet of which the place is known: its frame and its time.
    pub(super) fn newest(&self) -> (u32, Timestamp) {
        (self.newest, self.newest_at)
    }

    /// Returns true if this frame, or a newer one, was captured at this end.
    pub(super) fn has_reached(&self, end: usize, frame: u32) -> bool {
        frame > 0 && self.reached[end & 1] >= frame
    }

    /// Takes in the TTL of a packet that was not captured at the point of its sender's first packet.
    pub(super) fn take_ttl(&mut self, segment: &SegmentRecord) {
        let (point, ttls) =
            self.second[segment.sender & 1].get_or_insert((segment.point, Ttls::default()));
        if *point == segment.point {
            ttls.add(segment.ip.ttl);
        }
    }

    /// Returns the TTLs with which an RST is compared if another point than that of its sender's first packet captured
    /// it, or if points share an interface; `None` if all packets of its sender are compared.
    pub(super) fn ttls(&self, segment: &SegmentRecord, is_at_first: bool) -> Option<TtlScope> {
        let (point, ttl) = (segment.point, segment.ip.ttl);
        if let Some(way) = self.way(segment.sender)
            && way.is_unmarked()
            && way.leave == point
        {
            return Some(match way.place(point, ttl) {
                Some(Place::Departure) => TtlScope::Point(way.ttls[0]),
                Some(Place::Arrival) => TtlScope::Point(way.ttls[1]),
                // A point between the two.
                None if way.has_more && ttl > way.ttls[1].most() && ttl < way.ttls[0].least() => {
                    TtlScope::Unknown
                }
                None => TtlScope::Either(way.ttls),
            });
        }
        if is_at_first {
            return None;
        }
        let known = self.second[segment.sender & 1].filter(|(second, _)| *second == point);
        Some(known.map_or(TtlScope::Unknown, |(_, ttls)| TtlScope::Point(ttls)))
    }
}

/// Capture points of the connections that rest in one table, which refer to them by number.
#[derive(Debug, Default)]
pub(super) struct PointList(Vec<CapturePoint>);

impl PointList {
    /// Number of a point that is not in the list, because there are too many.
    const UNKNOWN: u8 = u8::MAX;

    /// Returns the number of a point.
    pub(super) fn number(&mut self, point: CapturePoint) -> u8 {
        let place = self.0.iter().position(|it| *it == point);
        let number = place.unwrap_or_else(|| {
            if self.0.len() < usize::from(Self::UNKNOWN) {
                self.0.push(point);
                self.0.len() - 1
            } else {
                usize::from(Self::UNKNOWN)
            }
        });
        u8::try_from(number).unwrap_or(Self::UNKNOWN)
    }

    /// Returns the point with this number; `None` if it is unknown.
    pub(super) fn point(&self, number: u8) -> Option<CapturePoint> {
        self.0.get(usize::from(number)).copied()
    }
}

impl Entry {
    /// Returns the packets whose TTLs an RST is compared with. `is_at_first` is true if the point of its sender's first
    /// packet captured it.
    pub(super) fn ttl_scope(&self, segment: &SegmentRecord, is_at_first: bool) -> TtlScope {
        if let Some(ttls) = self.ttls_of_views(segment) {
            return ttls;
        }
        let points = self.rare.as_ref().map(|it| it.points).unwrap_or_default();
        points.ttls(segment, is_at_first).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Frame;
    use crate::packet::link::Link;

    /// Point of the `any` device: an interface of the host, and the packet type.
    fn cooked(own: u8, kind: u8) -> CapturePoint {
        let header = [8, 0, 0, 0, 0, 0, 0, own, 0, 1, kind, 6];
        let frame = Frame {
            interface: 0,
            at: Timestamp(0),
            wire_len: 60,
            captured: &header,
            comments: Vec::new(),
        };
        CapturePoint::of(Link::LinuxCooked2, &frame)
    }

    fn seen(point: CapturePoint, ttl: u8, us: i64) -> Latest {
        let mut latest = Latest::acknowledgment(7);
        (latest.at, latest.point, latest.ttl) = (Timestamp(us * 1_000), point, ttl);
        latest
    }

    fn place(points: &Points, sender: usize, point: CapturePoint, ttl: u8) -> Option<Place> {
        points.way(sender)?.place(point, ttl)
    }

    const DEPARTURE: Option<Place> = Some(Place::Departure);
    const ARRIVAL: Option<Place> = Some(Place::Arrival);

    #[test]
    fn the_way_back_passes_the_same_points_in_the_other_order() {
        let [five, seven, nine] = [5, 7, 9].map(CapturePoint::of_interface);
        let mut points = Points::default();
        points.take_copy(1, &seen(five, 64, 0), &seen(nine, 64, 9), 1);
        assert_eq!(place(&points, 1, five, 64), DEPARTURE);
        assert_eq!(place(&points, 1, nine, 64), ARRIVAL);
        assert_eq!(place(&points, 0, nine, 64), DEPARTURE);
        assert_eq!(place(&points, 0, five, 64), ARRIVAL);
        assert_eq!(place(&points, 0, seven, 64), None);
        assert!(!points.is_one_capture(0));
        // A router: in at one interface and out of the other.
        let (incoming, outgoing) = (|own| cooked(own, 0), |own| cooked(own, 4));
        let mut points = Points::default();
        points.take_copy(0, &seen(incoming(3), 64, 0), &seen(outgoing(4), 63, 9), 1);
        assert_eq!(place(&points, 1, incoming(4), 64), DEPARTURE);
        assert_eq!(place(&points, 1, outgoing(3), 63), ARRIVAL);
        assert_eq!(place(&points, 1, incoming(3), 64), None);
        assert!(points.is_one_capture(0) && points.is_one_capture(1));
    }

    /// A host with a bridge: three interfaces of one capture. What counts is the way from the first to the last.
    #[test]
    fn a_third_point_of_one_capture_is_farther_out() {
        let (incoming, outgoing) = (|own| cooked(own, 0), |own| cooked(own, 4));
        let mut points = Points::default();
        let way = [incoming(1), incoming(2), outgoing(3)];
        for _ in 0..3 {
            for count in 1..3 {
                let copy = seen(way[usize::from(count)], 64, count.into());
                points.take_copy(0, &seen(way[0], 64, 0), &copy, count);
            }
            let places = way.map(|point| place(&points, 0, point, 64));
            assert_eq!(places, [DEPARTURE, None, ARRIVAL]);
            let back = way.map(|point| place(&points, 1, point.reversed(), 64));
            assert_eq!(back, [ARRIVAL, None, DEPARTURE]);
        }
        // The first packets were captured at the last two only.
        let mut points = Points::default();
        points.take_copy(0, &seen(way[1], 64, 0), &seen(way[2], 64, 1), 1);
        for _ in 0..3 {
            for count in 1..3 {
                let copy = seen(way[usize::from(count)], 64, count.into());
                points.take_copy(0, &seen(way[0], 64, 0), &copy, count);
            }
            let places = way.map(|point| place(&points, 0, point, 64));
            assert_eq!(places, [DEPARTURE, None, ARRIVAL]);
        }
    }

    /// RFC 791, 3.2: each module that processes a datagram decrements its time to live.
    #[test]
    fn the_higher_ttl_is_nearer_to_the_sender_in_any_order() {
        let one = CapturePoint::of_interface(0);
        for (first, second) in [(64, 63), (63, 64)] {
            let mut points = Points::default();
            let copies = [seen(one, first, 0), seen(one, second, 900)];
            assert_eq!(points.take_copy(0, &copies[0], &copies[1], 1), None);
            assert_eq!(place(&points, 0, one, 64), DEPARTURE);
            assert_eq!(place(&points, 0, one, 63), ARRIVAL);
            assert_eq!(place(&points, 0, one, 128), None);
            assert_eq!(points.way(1), None, "nothing is known of the other end");
            let known = points.take_copy(0, &copies[0], &copies[1], 1);
            assert_eq!(known, if second == 63 { ARRIVAL } else { DEPARTURE });
            // Another pair of values contradicts it.
            points.take_copy(0, &seen(one, 128, 0), &seen(one, 64, 9), 1);
            assert_eq!(points.way(0), None);
        }
        let [near, far] = [0, 1].map(CapturePoint::of_interface);
        let mut points = Points::default();
        points.take_copy(0, &seen(far, 63, 0), &seen(near, 64, 900), 1);
        assert_eq!(place(&points, 0, near, 64), DEPARTURE);
        assert_eq!(place(&points, 1, far, 64), DEPARTURE);
    }

    /// Two equal acknowledgments that took two routes are no packet that was captured at two points.
    #[test]
    fn packets_without_a_number_show_no_points_of_one_interface() {
        let one = CapturePoint::of_interface(0);
        let mut points = Points::default();
        let plain = |ttl| {
            let mut latest = Latest::acknowledgment(0);
            (latest.point, latest.ttl) = (one, ttl);
            latest
        };
        points.take_copy(0, &plain(64), &plain(63), 1);
        assert_eq!(points.way(0), None);
    }

    #[test]
    fn clocks_that_disagree_show_no_order() {
        let [one, two] = [0, 1].map(CapturePoint::of_interface);
        for (apart, is_known) in [(20, true), (3_000, false)] {
            let mut points = Points::default();
            // Packets of both ends are first at the same point.
            points.take_copy(0, &seen(one, 64, 0), &seen(two, 64, apart), 1);
            points.take_copy(1, &seen(one, 64, 50), &seen(two, 64, 50 + apart), 1);
            let known = [0, 1].map(|sender| points.way(sender).is_some());
            assert_eq!(known, [is_known; 2], "{apart}");
        }
    }

    #[test]
    fn the_list_of_points_is_bounded() {
        let mut list = PointList::default();
        for interface in 0..300 {
            list.number(CapturePoint::of_interface(interface));
        }
        for (interface, number) in [(0, 0), (254, 254), (255, 255), (299, 255)] {
            let point = CapturePoint::of_interface(interface);
            assert_eq!(list.number(point), number);
            let found = list.point(number);
            assert_eq!(found, (interface < 255).then_some(point));
        }
    }

    #[test]
    fn copies_at_one_point_with_one_ttl_show_no_place() {
        let one = CapturePoint::of_interface(0);
        let mut points = Points::default();
        for count in 1..3 {
            let copy = points.take_copy(0, &seen(one, 64, 0), &seen(one, 64, 9), count);
            assert_eq!(copy, None);
        }
        assert_eq!((points.way(0), points.copies()), (None, 2));
        assert!(points.has_copies_in_place());
    }
}
