//! Frames with correct lengths and checksums.

#![allow(clippy::cast_possible_truncation)] // clocks and lengths are cut to the width of their field, as on the wire

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::payload::{Payload, Stretch, fold, sum};
use super::recording::Recording;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;

const ETHERNET: usize = 14;
/// Minimum length of a frame that came over a wire, without the frame check sequence.
const MIN_LENGTH: usize = 60;
/// Time of the first frame: 2026-01-01T00:00:00Z, in nanoseconds since 1970.
const EPOCH: u64 = 1_767_225_600_000_000_000;

/// Sender and receiver of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// True if the frame came over the wire, so that it is padded; otherwise the capturing host sent it.
    pub(super) arrives: bool,
    /// IPv4 identification.
    pub(super) id: u16,
}

/// TCP segment without its addresses and ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    /// `TSval` and `TSecr` of the timestamps option.
    pub(super) timestamps: Option<[u32; 2]>,
    /// Length of the payload in bytes.
    pub(super) length: usize,
}

/// Builder of frames, with the capture file and the clock.
#[derive(Debug)]
pub(super) struct Frames {
    recording: Recording,
    /// Current time in nanoseconds since 1970.
    now: u64,
    /// Headers of the frame being built.
    head: Vec<u8>,
    payload: Payload,
}

impl Frames {
    pub(super) fn new(recording: Recording) -> Self {
        Self {
            recording,
            now: EPOCH,
            head: Vec::with_capacity(128),
            payload: Payload::new(),
        }
    }

    /// Returns the number of the frame written last.
    pub(super) fn number(&self) -> u64 {
        self.recording.packets
    }

    pub(super) fn into_recording(self) -> Recording {
        self.recording
    }

    /// Advances the clock.
    pub(super) fn wait(&mut self, nanos: u32) {
        self.now += u64::from(nanos);
    }

    /// Returns the time in milliseconds, the unit of Linux's TCP timestamps.
    pub(super) fn milliseconds(&self) -> u32 {
        (self.now / 1_000_000) as u32
    }

    pub(super) fn tcp(&mut self, route: &Route, segment: &Segment) -> io::Result<()> {
        let options = Options::of(route, segment);
        let header = 20 + options.bytes().len();
        let pseudo = self.ip(route, TCP, header + segment.length);
        let at = self.head.len();
        self.head.extend(route.from.port().to_be_bytes());
        self.head.extend(route.to.port().to_be_bytes());
        self.head.extend(segment.seq.to_be_bytes());
        self.head.extend(segment.ack.to_be_bytes());
        self.head.extend([(header as u8 / 4) << 4, segment.flags]);
        self.head.extend(segment.window.to_be_bytes());
        self.head.extend([0; 4]);
        self.head.extend(options.bytes());
        // A different part of the text for each segment.
        let payload = self.payload.stretch(segment.seq as usize, segment.length);
        self.seal(at, 16, pseudo, payload);
        self.put(payload, route.arrives)
    }

    pub(super) fn udp(&mut self, route: &Route, length: usize) -> io::Result<()> {
        let pseudo = self.ip(route, UDP, 8 + length);
        let at = self.head.len();
        self.head.extend(route.from.port().to_be_bytes());
        self.head.extend(route.to.port().to_be_bytes());
        self.head.extend((8 + length as u16).to_be_bytes());
        self.head.extend([0; 2]);
        let payload = self.payload.stretch(length, length);
        self.seal(at, 6, pseudo, payload);
        if self.head[at + 6..at + 8] == [0; 2] {
            self.head[at + 6..at + 8].fill(0xff); // 0 would mean "no checksum" (RFC 768)
        }
        self.put(payload, route.arrives)
    }

    /// Writes an echo request or reply, of ICMP for IPv4 or IPv6.
    pub(super) fn echo(
        &mut self,
        route: &Route,
        is_reply: bool,
        number: u32,
        length: usize,
    ) -> io::Result<()> {
        let (protocol, kind) = match (route.from, is_reply) {
            (SocketAddr::V4(_), false) => (ICMP, 8),
            (SocketAddr::V4(_), true) => (ICMP, 0),
            (SocketAddr::V6(_), false) => (ICMP6, 128),
            (SocketAddr::V6(_), true) => (ICMP6, 129),
        };
        let pseudo = self.ip(route, protocol, 8 + length);
        let at = self.head.len();
        self.head.extend([kind, 0, 0, 0]);
        self.head.extend(number.to_be_bytes());
        let pseudo = if protocol == ICMP { 0 } else { pseudo };
        let payload = self.payload.stretch(0, length);
        self.seal(at, 2, pseudo, payload);
        self.put(payload, route.arrives)
    }

    /// Writes an ARP request or reply. Writes nothing between IPv6 hosts.
    pub(super) fn arp(&mut self, route: &Route, is_reply: bool) -> io::Result<()> {
        let (IpAddr::V4(from), IpAddr::V4(to)) = (route.from.ip(), route.to.ip()) else {
            return Ok(());
        };
        let target = if is_reply {
            mac(route.to.ip())
        } else {
            [0xff; 6]
        };
        self.head.clear();
        self.head.extend(target);
        self.head.extend(mac(route.from.ip()));
        self.head
            .extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1 + u8::from(is_reply)]);
        self.head.extend(mac(route.from.ip()));
        self.head.extend(from.octets());
        self.head.extend(if is_reply { target } else { [0; 6] });
        self.head.extend(to.octets());
        self.put(Stretch::NONE, route.arrives)
    }

    /// Begins a frame with its Ethernet and IP headers. Returns the sum of the pseudo-header.
    fn ip(&mut self, route: &Route, protocol: u8, length: usize) -> u64 {
        self.head.clear();
        self.head.extend(mac(route.to.ip()));
        self.head.extend(mac(route.from.ip()));
        // A frame from the wire has passed routers.
        let hops = if route.arrives { 57 } else { 64 };
        match (route.from.ip(), route.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                // EtherType, version and header length, DSCP; then length, identification, DF, TTL, protocol and
                // checksum.
                self.head.extend([0x08, 0x00, 0x45, 0]);
                self.head.extend((20 + length as u16).to_be_bytes());
                self.head.extend(route.id.to_be_bytes());
                self.head.extend([0x40, 0, hops, protocol, 0, 0]);
                self.head.extend(from.octets());
                self.head.extend(to.octets());
                let checksum = fold(sum(&self.head[ETHERNET..]));
                self.head[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&checksum.to_be_bytes());
                sum(&self.head[ETHERNET + 12..]) + u64::from(protocol) + length as u64
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                // EtherType, version, traffic class and flow label; then payload length, next header and hop limit.
                self.head.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                self.head.extend((length as u16).to_be_bytes());
                self.head.extend([protocol, hops]);
                self.head.extend(from.octets());
                self.head.extend(to.octets());
                sum(&self.head[ETHERNET + 8..]) + u64::from(protocol) + length as u64
            }
            // There is no route from one family to the other.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
        }
    }

    /// Writes the checksum into the transport header, which begins at `at`, at offset `checksum`.
    fn seal(&mut self, at: usize, checksum: usize, pseudo: u64, payload: Stretch) {
        // The checksum field is still 0, so the sum may run over it.
        let total = pseudo + sum(&self.head[at..]) + self.payload.sum(payload);
        let checksum = at + checksum..at + checksum + 2;
        self.head[checksum].copy_from_slice(&fold(total).to_be_bytes());
    }

    fn put(&mut self, payload: Stretch, is_padded: bool) -> io::Result<()> {
        let padding = if is_padded {
            MIN_LENGTH.saturating_sub(self.head.len() + payload.length)
        } else {
            0
        };
        let padding = &[0; MIN_LENGTH][..padding];
        let parts = [&self.head, self.payload.text(payload), padding];
        self.recording.record(self.now, parts)
    }
}

/// TCP options in the order of Linux.
struct Options {
    bytes: [u8; 20],
    length: usize,
}

impl Options {
    fn of(route: &Route, segment: &Segment) -> Self {
        let mss: u16 = if route.from.is_ipv4() { 1460 } else { 1440 };
        let [high, low] = mss.to_be_bytes();
        let scale = if route.arrives { 8 } else { 7 };
        let [value, echo] = segment.timestamps.unwrap_or_default().map(u32::to_be_bytes);
        let [v0, v1, v2, v3] = value;
        let [e0, e1, e2, e3] = echo;
        // Kinds: 2 MSS, 4 SACK permitted, 8 timestamps, 3 window scale; 1 is padding.
        let (bytes, length) = match (segment.flags & SYN != 0, segment.timestamps.is_some()) {
            (true, true) => (
                [
                    2, 4, high, low, 4, 2, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3, 1, 3, 3, scale,
                ],
                20,
            ),
            (true, false) => (
                [
                    2, 4, high, low, 1, 1, 4, 2, 1, 3, 3, scale, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                12,
            ),
            (false, true) => (
                [
                    1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                12,
            ),
            (false, false) => ([0; 20], 0),
        };
        Self { bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Returns the Ethernet address of the host with this address: locally administered, from its last four bytes.
fn mac(address: IpAddr) -> [u8; 6] {
    let [.., a, b, c, d] = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    [2, 0, a, b, c, d]
}
