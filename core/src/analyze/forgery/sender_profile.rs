//! Features of packet headers that depend on the stack and the path, and the features common to a sender's packets.

use super::Ttls;
use super::clock::{ClockRate, difference};
use crate::analyze::decode::CapturePoint;
use crate::packet::ip::{Ip, Part};
use crate::packet::link::Protocol;
use crate::packet::wire::{Ipv4Header, Ipv6Header, TCP, TcpHeader};
use crate::packet::{Flags, Header, TcpTimestamps};
use crate::time::Timestamp;

/// Features of a packet's headers that depend on its stack and its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PacketFeatures {
    /// Remaining hops: TTL, or hop limit.
    pub ttl: u8,
    /// IP ID (RFC 6864); IPv6 has none.
    pub ip_id: Option<u16>,
    /// DSCP and ECN: TOS field, or traffic class.
    pub traffic_class: u8,
    /// DF flag; `None` for IPv6, which routers never fragment.
    pub dont_fragment: Option<bool>,
    /// Flow label (RFC 6437); IPv4 has none.
    pub flow_label: Option<u32>,
    /// Window field, not scaled.
    pub window: u16,
    /// Timestamps option (RFC 7323), if present.
    pub timestamps: Option<TcpTimestamps>,
    /// Length of the TCP options in bytes, including padding.
    pub option_bytes: u8,
    /// Length of the TCP payload in bytes according to the IP header, or else its captured length.
    pub payload_len: u32,
}

/// Features of the IP header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpFeatures {
    /// Remaining hops: TTL, or hop limit.
    pub ttl: u8,
    /// DSCP and ECN: TOS field, or traffic class.
    pub traffic_class: u8,
    /// Features that only one version of IP has.
    pub version: IpVersion,
}

/// Version of IP, with the features that only this version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpVersion {
    /// IPv4.
    V4 {
        /// IP ID (RFC 6864).
        id: u16,
        /// DF flag.
        uncuttable: bool,
    },
    /// IPv6.
    V6 {
        /// Flow label (RFC 6437).
        label: u32,
    },
    /// Either; no field of the header is known, because the capture was printed as text.
    Unknown,
}

impl IpFeatures {
    /// Features of a header that is not known.
    pub(in crate::analyze) const UNKNOWN: Self = Self {
        ttl: 0,
        traffic_class: 0,
        version: IpVersion::Unknown,
    };

    /// Returns true if the header is known.
    pub(in crate::analyze) fn is_known(&self) -> bool {
        self.version != IpVersion::Unknown
    }

    /// Reads an IPv4 header.
    #[inline]
    pub(in crate::analyze) fn v4(header: Ipv4Header<'_>) -> Self {
        Self {
            ttl: header.ttl(),
            traffic_class: header.traffic_class(),
            version: IpVersion::V4 {
                id: header.id(),
                uncuttable: header.dont_fragment(),
            },
        }
    }

    /// Reads an IPv6 header.
    #[inline]
    pub(in crate::analyze) fn v6(header: Ipv6Header<'_>) -> Self {
        Self {
            ttl: header.hop_limit(),
            traffic_class: header.traffic_class(),
            version: IpVersion::V6 {
                label: header.flow_label(),
            },
        }
    }

    /// Returns the IP ID; IPv6 has none.
    #[inline]
    pub(in crate::analyze) fn id(&self) -> Option<u16> {
        match self.version {
            IpVersion::V4 { id, .. } => Some(id),
            IpVersion::V6 { .. } | IpVersion::Unknown => None,
        }
    }

    /// Reads the IP header of a packet. Returns `None` if the header is truncated or of another protocol.
    #[must_use]
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        Some(match Protocol::of(packet)? {
            Protocol::Ipv4 => Self::v4(Ipv4Header::split(packet)?.0),
            Protocol::Ipv6 => Self::v6(Ipv6Header::split(packet)?.0),
        })
    }
}

impl PacketFeatures {
    /// Decodes a packet from the first byte of its IP header on. Returns `None` if the packet is no TCP segment, or if
    /// the 20 fixed bytes of its TCP header were not captured.
    #[must_use]
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let (tcp, len) = segment(packet)?;
        let of_tcp = Self {
            window: tcp.window(),
            option_bytes: tcp.options_len()?,
            timestamps: tcp.captured_options().decode().0,
            payload_len: tcp.payload_len(len)?,
            ..Self::default()
        };
        let ip = IpFeatures::of(packet)?;
        let of_ip = Self {
            ttl: ip.ttl,
            traffic_class: ip.traffic_class,
            ..of_tcp
        };
        Some(match ip.version {
            IpVersion::V4 { id, uncuttable } => Self {
                ip_id: Some(id),
                dont_fragment: Some(uncuttable),
                ..of_ip
            },
            IpVersion::V6 { label } => Self {
                flow_label: Some(label),
                ..of_ip
            },
            IpVersion::Unknown => of_ip,
        })
    }

    /// Returns the features without those of an IP header that is not known.
    #[must_use]
    pub(crate) fn known(self, ip: &IpFeatures) -> Self {
        if ip.is_known() {
            return self;
        }
        Self {
            ttl: 0,
            ip_id: None,
            traffic_class: 0,
            dont_fragment: None,
            flow_label: None,
            ..self
        }
    }

    /// Returns the features of the IP header.
    #[cfg(test)]
    pub(super) fn of_ip(&self) -> IpFeatures {
        let version = match self.flow_label {
            Some(label) => IpVersion::V6 { label },
            None => IpVersion::V4 {
                id: self.ip_id.unwrap_or_default(),
                uncuttable: self.dont_fragment.unwrap_or_default(),
            },
        };
        IpFeatures {
            ttl: self.ttl,
            traffic_class: self.traffic_class,
            version,
        }
    }
}

/// Returns the TCP header in a packet, and the length of the segment in bytes: according to the IP header, or else its
/// captured length.
fn segment(packet: &[u8]) -> Option<(TcpHeader<'_>, u32)> {
    let ip = Ip::of(packet)?;
    if ip.protocol != TCP || ip.part == Part::Later {
        return None;
    }
    let captured = || u32::try_from(ip.payload.len()).ok();
    let len = ip.payload_len.or_else(captured)?;
    Some((TcpHeader::new(ip.payload)?, len))
}

/// Features common to a sender's packets other than RSTs.
///
/// The type takes 52 bytes for each end of each connection, and a few nanoseconds for each packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SenderProfile {
    /// Capture point of the first packet. The TTLs are those of the packets at this point.
    point: CapturePoint,
    ttls: Ttls,
    traffic_class: u8,
    seen: u16,
    /// Latest IP ID other than 0.
    ip_id: u16,
    /// Largest step from one IP ID other than 0 to the next.
    ip_id_step: u16,
    /// Window of the latest segment without SYN.
    window: u16,
    flow_label: u32,
    /// Latest `TSval`, and its time in units of 2^20 ns, about a millisecond.
    clock: (u32, u32),
    /// `TSval` and time of the segment from which the rate of the clock is measured.
    clock_since: (u32, u32),
    clock_rate: ClockRate,
    /// Packets with the first TTL, and those with another one.
    groups: [TtlGroup; 2],
}

/// Packets of a sender that have the same TTL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TtlGroup {
    /// TTL of all of them.
    pub(super) ttl: u8,
    /// Flags: `USED`, `DATA`, `CUTTABLE` and `UNCUTTABLE`.
    bits: u8,
    /// Latest IP ID other than 0.
    pub(super) ip_id: u16,
    /// Window of the latest segment.
    pub(super) window: u16,
}

impl TtlGroup {
    const USED: u8 = 1 << 2;
    const DATA: u8 = 1 << 3;

    /// Returns true if a packet of the group carried data.
    pub(super) fn has_data(self) -> bool {
        self.bits & Self::DATA != 0
    }

    /// Returns the DF flag, if all packets have the same.
    fn dont_fragment(self) -> Option<bool> {
        match u16::from(self.bits) & (CUTTABLE | UNCUTTABLE) {
            CUTTABLE => Some(false),
            UNCUTTABLE => Some(true),
            _ => None,
        }
    }

    /// Returns true if something other than the TTL shows that two groups come from different stacks: DF, or IP IDs
    /// that no counter has in common.
    fn is_other_stack(self, other: Self) -> bool {
        /// Distance of two IP IDs that are from different counters.
        const MIN_DISTANCE: u16 = 4096;
        let is_df_other = matches!(
            (self.dont_fragment(), other.dont_fragment()),
            (Some(one), Some(other)) if one != other
        );
        let apart = self.ip_id.wrapping_sub(other.ip_id);
        let is_id_other = self.ip_id != 0
            && other.ip_id != 0
            && (MIN_DISTANCE..=u16::MAX - MIN_DISTANCE).contains(&apart);
        is_df_other || is_id_other
    }

    #[inline]
    fn take(&mut self, header: &Header, bits: u8, ip_id: u16) {
        let data = if header.payload_len > 0 {
            Self::DATA
        } else {
            0
        };
        self.bits |= bits | data | Self::USED;
        if ip_id != 0 {
            self.ip_id = ip_id;
        }
        self.window = header.window;
    }
}

// Flags in `seen`.
const CUTTABLE: u16 = 1;
const UNCUTTABLE: u16 = 1 << 1;
const ID_ZERO: u16 = 1 << 2;
const ID_ONCE: u16 = 1 << 3;
const ID_TWICE: u16 = 1 << 4;
const STAMPED: u16 = 1 << 5;
const UNSTAMPED: u16 = 1 << 6;
const CLOCK: u16 = 1 << 7;
const WINDOW: u16 = 1 << 8;
const CLASSES: u16 = 1 << 9;
const LABEL: u16 = 1 << 10;
const LABELS: u16 = 1 << 11;
/// More than two TTLs.
const MANY_TTLS: u16 = 1 << 12;

/// Smallest and largest TTL of a sender's packets at the point of the first one, and the latest IP ID. All are 0 if there
/// are no packets.
pub(in crate::analyze) type ProfileSummary = (u8, u8, u16);

/// Pattern of a sender's IP IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IpIds {
    /// Unknown or random.
    Unknown,
    /// Always 0, as RFC 6864 allows for packets that are never fragmented.
    Zero,
    /// A single IP ID is known.
    One {
        /// IP ID.
        last: u16,
    },
    /// Increasing counter.
    Counter {
        /// Latest IP ID.
        last: u16,
        /// Largest step from one IP ID to the next.
        step: u16,
    },
}

impl SenderProfile {
    /// Largest step of a counter: the counter may include packets to other hosts.
    const MAX_COUNTER_STEP: u16 = 256;

    /// Takes in a packet of the sender, given as two readings of the same packet. RSTs are skipped, because they are
    /// what is to be judged.
    #[inline]
    pub(crate) fn take(&mut self, ip: &IpFeatures, header: &Header, point: CapturePoint) {
        if header.flags.has(Flags::RST) {
            return;
        }
        if !ip.is_known() {
            return self.take_tcp(header, point);
        }
        let mut seen = self.seen;
        let class = ip.traffic_class & DSCP;
        if self.ttls.packets() == 0 {
            self.point = point;
            self.traffic_class = class;
        }
        let is_at_first = self.point == point;
        if is_at_first {
            self.ttls.add(ip.ttl);
        }
        seen |= flag(self.traffic_class != class, CLASSES);
        let is_syn = header.flags.has(Flags::SYN);
        let (bits, id) = match ip.version {
            IpVersion::V4 { id, uncuttable } => (if uncuttable { 2 } else { 1 }, id),
            IpVersion::V6 { .. } | IpVersion::Unknown => (0, 0),
        };
        let [first, other] = &mut self.groups;
        if !is_at_first {
            // Its TTL has nothing to do with those at the first point.
        } else if first.bits == 0 || first.ttl == ip.ttl {
            first.ttl = ip.ttl;
            first.take(header, bits, id);
        } else if other.bits == 0 || other.ttl == ip.ttl {
            other.ttl = ip.ttl;
            other.take(header, bits, id);
        } else {
            seen |= MANY_TTLS;
        }
        match ip.version {
            IpVersion::V4 { id, uncuttable } => {
                seen |= if uncuttable { UNCUTTABLE } else { CUTTABLE };
                // A SYN-ACK is sent before a socket exists that counts its packets, so Linux gives it 0.
                if !(is_syn && header.flags.has(Flags::ACK)) {
                    seen |= self.identify(id);
                }
            }
            IpVersion::V6 { label } => {
                seen |= flag(seen & LABEL != 0 && self.flow_label != label, LABELS) | LABEL;
                self.flow_label = label;
            }
            IpVersion::Unknown => {}
        }
        self.seen = seen | self.tcp_of(header);
    }

    /// Takes in a packet of which only the TCP header is known.
    #[cold]
    fn take_tcp(&mut self, header: &Header, point: CapturePoint) {
        if self.seen == 0 {
            self.point = point;
        }
        self.seen |= self.tcp_of(header);
    }

    /// Takes in the TCP header of a packet. Returns the flags that it adds to `seen`.
    #[inline]
    fn tcp_of(&mut self, header: &Header) -> u16 {
        let mut seen = 0;
        if let Some(stamps) = header.timestamps {
            seen |= self.time(stamps, header.at);
        }
        if !header.flags.has(Flags::SYN) {
            self.window = header.window;
            let stamped = header.timestamps.is_some();
            seen |= WINDOW | if stamped { STAMPED } else { UNSTAMPED };
        }
        seen
    }

    /// Returns true if a packet is of the point and has the TTL of the first one, for [`Self::take_usual`].
    #[inline]
    pub(in crate::analyze) fn is_usual(&self, ip: &IpFeatures, point: CapturePoint) -> bool {
        let [first, _] = self.groups;
        // A profile with a group has packets, and its TTLs cover those of the group.
        self.point == point && first.ttl == ip.ttl && first.bits != 0
    }

    /// Returns the window field of the latest segment, if all had the TTL of the first one.
    #[inline]
    pub(in crate::analyze) fn latest_window(&self) -> u16 {
        self.groups[0].window
    }

    /// Returns the latest `TSval`; `None` if no segment had any.
    #[inline]
    pub(in crate::analyze) fn clock_value(&self) -> Option<u32> {
        self.has_seen(CLOCK).then_some(self.clock.0)
    }

    /// Takes in a packet without SYN and RST for which [`Self::is_usual`] holds, as [`take`](Self::take) does.
    #[inline]
    pub(in crate::analyze) fn take_usual(&mut self, ip: &IpFeatures, header: &Header) {
        self.ttls.count();
        let other_class = flag(self.traffic_class != ip.traffic_class & DSCP, CLASSES);
        let mut seen = self.seen | other_class | WINDOW;
        let (bits, id) = match ip.version {
            IpVersion::V4 { id, uncuttable } => {
                let bits = if uncuttable { UNCUTTABLE } else { CUTTABLE };
                seen |= bits | self.identify(id);
                (if uncuttable { 2 } else { 1 }, id)
            }
            IpVersion::V6 { label } => {
                seen |= flag(seen & LABEL != 0 && self.flow_label != label, LABELS) | LABEL;
                self.flow_label = label;
                (0, 0)
            }
            IpVersion::Unknown => (0, 0),
        };
        self.groups[0].take(header, bits, id);
        self.window = header.window;
        if let Some(stamps) = header.timestamps {
            seen |= STAMPED | self.time(stamps, header.at);
        } else {
            seen |= UNSTAMPED;
        }
        self.seen = seen;
    }

    /// Takes in the timestamps of a packet. Returns the flag that it adds to `seen`.
    #[inline]
    fn time(&mut self, stamps: TcpTimestamps, at: Timestamp) -> u16 {
        let now = ticks(at);
        if self.seen & CLOCK == 0 {
            self.clock_since = (stamps.value, now);
        } else if now.wrapping_sub(self.clock_since.1) >= MEASURED_TICKS {
            self.measure_clock(stamps.value, now);
        }
        self.clock = (stamps.value, now);
        CLOCK
    }

    /// Measures the rate of the clock over the time since the last measurement.
    fn measure_clock(&mut self, value: u32, now: u32) {
        let (earlier, since) = self.clock_since;
        let elapsed = i64::from(now.wrapping_sub(since)) * NS_PER_TICK / 1_000_000;
        let rate = ClockRate::measure(difference(value, earlier), elapsed);
        self.clock_rate = self.clock_rate.and(rate);
        self.clock_since = (value, now);
    }

    /// Returns the rate of the clock, as far as this connection shows it.
    pub(in crate::analyze) fn clock_rate(&self) -> ClockRate {
        self.clock_rate
    }

    /// Takes in an IP ID. Returns the flags that it adds to `seen`.
    #[inline]
    fn identify(&mut self, id: u16) -> u16 {
        if id == 0 {
            return ID_ZERO;
        }
        // An ID that decreases wraps around to a large step, which rules out a counter.
        let mut seen = ID_ONCE;
        if self.has_seen(ID_ONCE) {
            self.ip_id_step = self.ip_id_step.max(id.wrapping_sub(self.ip_id));
            seen |= ID_TWICE;
        }
        self.ip_id = id;
        seen
    }

    /// Returns the features that are kept for a dormant connection: the smallest and largest TTL, and the latest IP ID. All
    /// are 0 if there are no packets.
    pub(in crate::analyze) fn summary(&self) -> ProfileSummary {
        (self.ttls.least(), self.ttls.most(), self.ip_id)
    }

    /// Returns the profile of a sender whose connection continues after dormancy, and the capture point of its first packet;
    /// `None` if that is not known any more. Other features are not known, either.
    pub(in crate::analyze) fn restored(kept: ProfileSummary, point: Option<CapturePoint>) -> Self {
        let (smallest, largest, ip_id) = kept;
        let ttls = match point {
            Some(_) if largest > 0 => Ttls::new(1, smallest, largest),
            _ => Ttls::default(),
        };
        Self {
            point: point.unwrap_or_default(),
            ttls,
            // The traffic class counts as changed, because it is not known.
            seen: CLASSES | flag(ip_id > 0, ID_ONCE),
            ip_id,
            ..Self::default()
        }
    }

    fn has_seen(&self, what: u16) -> bool {
        self.seen & what != 0
    }

    /// Returns the TTLs of the packets at the point that captured the first one.
    pub(in crate::analyze) fn ttls(&self) -> Ttls {
        self.ttls
    }

    /// Returns the point that captured the first packet.
    pub(in crate::analyze) fn point(&self) -> CapturePoint {
        self.point
    }

    /// Returns true if this point captured the first packet, or if there are no packets.
    #[inline]
    pub(in crate::analyze) fn is_of_point(&self, point: CapturePoint) -> bool {
        self.point == point || self.ttls.packets() == 0
    }

    /// Returns two groups of packets that come from different senders, if their TTLs and something else differ: the one
    /// that carried data second.
    pub(super) fn two_senders(&self) -> Option<(TtlGroup, TtlGroup)> {
        /// Smallest difference of two TTLs that no change of the route explains.
        const MIN_DISTANCE: u8 = 5;
        let [first, other] = self.groups;
        if self.has_seen(MANY_TTLS)
            || other.bits == 0
            || first.ttl.abs_diff(other.ttl) < MIN_DISTANCE
            || !first.is_other_stack(other)
        {
            return None;
        }
        match (first.has_data(), other.has_data()) {
            (false, true) => Some((first, other)),
            (true, false) => Some((other, first)),
            _ => None,
        }
    }

    /// Returns the latest IP ID, that of a SYN-ACK included: other than 0 if any is. `None` if none is known.
    pub(in crate::analyze) fn latest_ip_id(&self) -> Option<u16> {
        let [first, _] = self.groups;
        if self.has_seen(ID_ONCE) {
            Some(self.ip_id)
        } else {
            (first.bits != 0).then_some(first.ip_id)
        }
    }

    pub(super) fn ip_ids(&self) -> IpIds {
        let last = self.ip_id;
        if self.has_seen(ID_TWICE) {
            let step = self.ip_id_step;
            if (1..=Self::MAX_COUNTER_STEP).contains(&step) {
                IpIds::Counter { last, step }
            } else {
                IpIds::Unknown
            }
        } else if self.has_seen(ID_ONCE) {
            IpIds::One { last }
        } else if self.has_seen(ID_ZERO) {
            IpIds::Zero
        } else {
            IpIds::Unknown
        }
    }

    /// Returns the DF flag, if all packets have the same.
    pub(super) fn dont_fragment(&self) -> Option<bool> {
        match self.seen & (CUTTABLE | UNCUTTABLE) {
            CUTTABLE => Some(false),
            UNCUTTABLE => Some(true),
            _ => None,
        }
    }

    /// Returns the DSCP, if all packets have the same.
    pub(super) fn dscp(&self) -> Option<u8> {
        (self.ttls.packets() > 0 && !self.has_seen(CLASSES)).then_some(self.traffic_class >> 2)
    }

    /// Returns the flow label, if all packets have the same.
    pub(super) fn flow_label(&self) -> Option<u32> {
        (self.has_seen(LABEL) && !self.has_seen(LABELS)).then_some(self.flow_label)
    }

    /// Returns the window field of the latest segment without SYN.
    pub(super) fn window(&self) -> Option<u16> {
        self.has_seen(WINDOW).then_some(self.window)
    }

    /// Returns true if all segments have timestamps, false if none has. A SYN is not counted, because it only offers
    /// them.
    pub(super) fn is_stamped(&self) -> Option<bool> {
        match self.seen & (STAMPED | UNSTAMPED) {
            STAMPED => Some(true),
            UNSTAMPED => Some(false),
            _ => None,
        }
    }

    /// Returns the latest `TSval`, and its age in milliseconds.
    pub(super) fn clock(&self, now: Timestamp) -> Option<(u32, i64)> {
        let (value, at) = self.clock;
        let elapsed = i64::from(ticks(now).wrapping_sub(at)) * NS_PER_TICK / 1_000_000;
        self.has_seen(CLOCK).then_some((value, elapsed))
    }
}

/// Length of the unit in which a profile stores times, in nanoseconds.
const NS_PER_TICK: i64 = 1 << 20;

/// Shortest time over which the rate of a clock is measured, in these units. A time that goes back is a very long one,
/// over which no clock has a usual rate.
const MEASURED_TICKS: u32 = 2_048;

/// Upper six bits of the traffic class (RFC 2474, 3). The two lower bits, ECN, change with every packet.
pub(super) const DSCP: u8 = 0xfc;

#[inline]
fn flag(is_set: bool, what: u16) -> u16 {
    if is_set { what } else { 0 }
}

/// Returns the time in units of 2^20 ns, modulo 2^32 units, which is 52 days.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the cast is the modulo
fn ticks(at: Timestamp) -> u32 {
    (at.0 >> 20) as u32
}
