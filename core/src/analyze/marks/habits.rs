//! What a packet's headers show of the stack and the path that it came from, and what a sender's packets have in common.

use crate::packet::ip::{Ip, Part};
use crate::packet::link::Protocol;
use crate::packet::{self, Flags, Header, TcpTimestamps};
use crate::time::Timestamp;

/// What headers of a packet show of the stack and the path that it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Hops that it may still take: TTL, or hop limit.
    pub ttl: u8,
    /// Identification (RFC 6864); IPv6 has none.
    pub ip_id: Option<u16>,
    /// DSCP and ECN: TOS, or traffic class.
    pub traffic_class: u8,
    /// Whether it must not be cut; IPv6 never is on its way.
    pub dont_fragment: Option<bool>,
    /// Flow label (RFC 6437); IPv4 has none.
    pub flow_label: Option<u32>,
    /// Window field, not scaled.
    pub window: u16,
    /// The timestamps option, if it is there (RFC 7323).
    pub timestamps: Option<TcpTimestamps>,
    /// Bytes of TCP options, padding included.
    pub option_bytes: u8,
    /// Bytes of TCP payload by the IP header's reckoning; those that were captured, if it gives none.
    pub payload_len: u32,
}

/// What the IP header alone shows of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpTraits {
    /// Hops that it may still take: TTL, or hop limit.
    pub ttl: u8,
    /// DSCP and ECN: TOS, or traffic class.
    pub traffic_class: u8,
    /// What one version has and the other has not.
    pub version: IpVersion,
}

/// A version of IP, with what only that has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4 {
        /// Identification (RFC 6864).
        id: u16,
        /// Whether it must not be cut.
        uncuttable: bool,
    },
    /// IPv6.
    V6 {
        /// Flow label (RFC 6437).
        label: u32,
    },
}

impl IpTraits {
    /// Reads the first 20 bytes of an IPv4 header.
    #[must_use]
    #[inline]
    pub fn v4(header: &[u8; 20]) -> Self {
        Self {
            ttl: header[8],
            traffic_class: header[1],
            version: IpVersion::V4 {
                id: u16::from_be_bytes([header[4], header[5]]),
                uncuttable: header[6] & 0x40 != 0,
            },
        }
    }

    /// Reads the first 8 bytes of an IPv6 header.
    #[must_use]
    #[inline]
    pub fn v6(header: &[u8; 8]) -> Self {
        let first = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        Self {
            ttl: header[7],
            traffic_class: (first >> 20).to_be_bytes()[3],
            version: IpVersion::V6 {
                label: first & 0x000f_ffff,
            },
        }
    }

    /// Reads an IP header that is there as a whole, options aside.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        Some(match Protocol::of(packet)? {
            Protocol::Ipv4 => Self::v4(packet.first_chunk()?),
            Protocol::Ipv6 => Self::v6(packet.first_chunk()?),
        })
    }
}

/// Protocol number of TCP.
pub(in crate::analyze) const TCP: u8 = 6;

impl Traits {
    /// Reads a packet from the first byte of its IP header on. `None` if it is no TCP segment, or its TCP header without
    /// options was not captured as a whole.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        let (tcp, len) = segment(packet)?;
        let (fixed, rest) = tcp.split_first_chunk::<20>()?;
        let header_len = (fixed[12] >> 4) * 4;
        let option_bytes = header_len.checked_sub(20)?;
        let options = rest.get(..usize::from(option_bytes)).unwrap_or(rest);
        let of_tcp = Self {
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            timestamps: packet::options(options).0,
            option_bytes,
            payload_len: len.checked_sub(header_len.into())?,
            ..Self::default()
        };
        let ip = IpTraits::of(packet)?;
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
        })
    }

    /// What its IP header shows.
    #[cfg(test)]
    pub(super) fn of_ip(&self) -> IpTraits {
        let version = match self.flow_label {
            Some(label) => IpVersion::V6 { label },
            None => IpVersion::V4 {
                id: self.ip_id.unwrap_or_default(),
                uncuttable: self.dont_fragment.unwrap_or_default(),
            },
        };
        IpTraits {
            ttl: self.ttl,
            traffic_class: self.traffic_class,
            version,
        }
    }
}

/// The TCP segment in a packet, and its length by the IP header's reckoning.
fn segment(packet: &[u8]) -> Option<(&[u8], u32)> {
    // Nearly all packets are like this, and have nothing else that would need a look.
    if let [0x45, _, high, low, _, _, 0 | 0x40, 0, _, TCP, ..] = *packet
        && let Some(len) = u16::from_be_bytes([high, low]).checked_sub(20)
    {
        return Some((packet.get(20..)?, len.into()));
    }
    let ip = Ip::of(packet)?;
    if ip.protocol != TCP || ip.part == Part::Later {
        return None;
    }
    let captured = || u32::try_from(ip.payload.len()).ok();
    Some((ip.payload, ip.payload_len.or_else(captured)?))
}

/// What was seen of a sender's other packets.
///
/// Twenty-four bytes for each end of each connection, and a few nanoseconds for each packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// How many, up to as many as it can count.
    packets: u8,
    /// Fewest and most hops left.
    ttl: (u8, u8),
    traffic_class: u8,
    seen: u16,
    /// The last one that is not 0.
    ip_id: u16,
    /// Longest way from one of those to the next.
    ip_id_step: u16,
    /// Of the last one without SYN.
    window: u16,
    flow_label: u32,
    /// The last `TSval`, and when: in units of 2^20 ns, which is about a millisecond.
    clock: (u32, u32),
}

// What `seen` holds.
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

/// How the IP IDs of a sender go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IpIds {
    /// Not known, or as chance has it.
    Unknown,
    /// All 0, as RFC 6864 allows where nothing is ever cut.
    Zero,
    /// Only one is known.
    One {
        /// That one.
        last: u16,
    },
    /// They count upwards.
    Counter {
        /// The last one.
        last: u16,
        /// Longest way from one to the next.
        step: u16,
    },
}

impl Habits {
    /// Longest way between two values of what is taken for a counter: it may count packets that go elsewhere.
    const LONGEST_STEP: u16 = 256;

    /// Takes in a packet of this sender; the two are readings of the same one. RSTs are passed over: they are what is in
    /// question.
    #[inline]
    pub fn take(&mut self, ip: &IpTraits, header: &Header) {
        if header.flags.has(Flags::RST) {
            return;
        }
        let mut seen = self.seen;
        let class = ip.traffic_class & DSCP;
        if self.packets == 0 {
            self.ttl = (ip.ttl, ip.ttl);
            self.traffic_class = class;
        }
        self.ttl = (self.ttl.0.min(ip.ttl), self.ttl.1.max(ip.ttl));
        seen |= flag(self.traffic_class != class, CLASSES);
        self.packets = self.packets.saturating_add(1);
        let is_syn = header.flags.has(Flags::SYN);
        match ip.version {
            IpVersion::V4 { id, uncuttable } => {
                seen |= if uncuttable { UNCUTTABLE } else { CUTTABLE };
                // A SYN-ACK is made before there is a socket to count: Linux gives it 0.
                if !(is_syn && header.flags.has(Flags::ACK)) {
                    seen |= self.identify(id);
                }
            }
            IpVersion::V6 { label } => {
                seen |= flag(seen & LABEL != 0 && self.flow_label != label, LABELS) | LABEL;
                self.flow_label = label;
            }
        }
        if let Some(stamps) = header.timestamps {
            self.clock = (stamps.value, ticks(header.at));
            seen |= CLOCK;
        }
        if !is_syn {
            self.window = header.window;
            let stamped = header.timestamps.is_some();
            seen |= WINDOW | if stamped { STAMPED } else { UNSTAMPED };
        }
        self.seen = seen;
    }

    /// Takes in an identification. What is seen by it.
    #[inline]
    fn identify(&mut self, id: u16) -> u16 {
        if id == 0 {
            return ID_ZERO;
        }
        let mut seen = ID_ONCE;
        if self.has_seen(ID_ONCE) {
            self.ip_id_step = self.ip_id_step.max(id.wrapping_sub(self.ip_id));
            seen |= ID_TWICE;
        }
        self.ip_id = id;
        seen
    }

    fn has_seen(&self, what: u16) -> bool {
        self.seen & what != 0
    }

    /// How many packets, up to 255; fewest and most hops that they had left. `None` if there were none.
    pub(super) fn ttl(&self) -> Option<(u8, u8, u8)> {
        (self.packets > 0).then_some((self.packets, self.ttl.0, self.ttl.1))
    }

    pub(super) fn ip_ids(&self) -> IpIds {
        let last = self.ip_id;
        if self.has_seen(ID_TWICE) {
            let step = self.ip_id_step;
            if (1..=Self::LONGEST_STEP).contains(&step) {
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

    /// Whether its packets may not be cut, if they are all alike in that.
    pub(super) fn dont_fragment(&self) -> Option<bool> {
        match self.seen & (CUTTABLE | UNCUTTABLE) {
            CUTTABLE => Some(false),
            UNCUTTABLE => Some(true),
            _ => None,
        }
    }

    /// DSCP, if all its packets have the same.
    pub(super) fn dscp(&self) -> Option<u8> {
        (self.packets > 0 && !self.has_seen(CLASSES)).then_some(self.traffic_class >> 2)
    }

    /// Flow label, if all its packets have the same.
    pub(super) fn flow_label(&self) -> Option<u32> {
        (self.has_seen(LABEL) && !self.has_seen(LABELS)).then_some(self.flow_label)
    }

    /// Window field of its last segment that was no SYN.
    pub(super) fn window(&self) -> Option<u16> {
        self.has_seen(WINDOW).then_some(self.window)
    }

    /// Whether its segments have timestamps, if they are all alike in that; a SYN only offers them.
    pub(super) fn is_stamped(&self) -> Option<bool> {
        match self.seen & (STAMPED | UNSTAMPED) {
            STAMPED => Some(true),
            UNSTAMPED => Some(false),
            _ => None,
        }
    }

    /// What its clock showed last, and how many milliseconds ago, 5 in a hundred less.
    pub(super) fn clock(&self, now: Timestamp) -> Option<(u32, u32)> {
        let (value, at) = self.clock;
        let elapsed = ticks(now).wrapping_sub(at);
        self.has_seen(CLOCK).then_some((value, elapsed))
    }
}

/// The upper six bits of the traffic class (RFC 2474, 3). The two of ECN change with every packet.
pub(super) const DSCP: u8 = 0xfc;

#[inline]
fn flag(is_set: bool, what: u16) -> u16 {
    if is_set { what } else { 0 }
}

/// Units of 2^20 ns, modulo 2^32 of them, which is 52 days.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // modulo is what is meant
fn ticks(at: Timestamp) -> u32 {
    (at.0 >> 20) as u32
}
