//! Packets between a client and a server, and what is captured of them at both ends.

use std::fs;
use std::path::Path;

use crate::layout::{Order, Pcap};
use crate::segments::{ACK, RST, SYN};

pub(crate) const MICRO: i64 = 1_000;
pub(crate) const MILLI: i64 = 1_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

/// Time at which the client's clock begins: 2023-11-14.
const BEGIN: i64 = 1_700_000_000 * SECOND;

/// Where a packet is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Both,
    /// It is lost on the way.
    Left,
    /// It was made on the way.
    Arrived,
}

/// Packet: its numbers are relative to the initial ones of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    /// Time at which it leaves, by the client's clock.
    at: i64,
    /// Port of the client, which names the connection.
    port: u16,
    pub(crate) is_up: bool,
    flags: u8,
    seq: u32,
    ack: u32,
    len: u16,
    pub(crate) has_clock: bool,
    pub(crate) id: u16,
    seen: Seen,
}

impl Packet {
    /// Packet of the client.
    pub(crate) const fn up(flags: u8, seq: u32, ack: u32) -> Self {
        Self {
            at: 0,
            port: 40_000,
            is_up: true,
            flags,
            seq,
            ack,
            len: 0,
            has_clock: true,
            id: 0,
            seen: Seen::Both,
        }
    }

    /// Packet of the server.
    pub(crate) const fn down(flags: u8, seq: u32, ack: u32) -> Self {
        Self {
            is_up: false,
            ..Self::up(flags, seq, ack)
        }
    }

    pub(crate) const fn at(self, at: i64) -> Self {
        Self { at, ..self }
    }

    pub(crate) const fn len(self, len: u16) -> Self {
        Self { len, ..self }
    }

    pub(crate) const fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// It is captured at its sender only.
    pub(crate) const fn lost(self) -> Self {
        Self {
            seen: Seen::Left,
            ..self
        }
    }

    /// It is captured at its receiver only.
    pub(crate) const fn never_left(self) -> Self {
        Self {
            seen: Seen::Arrived,
            ..self
        }
    }

    /// The packet as one that follows another one, a millisecond later. Its numbers go on from those of that packet, which is
    /// the last one of the connection.
    pub(crate) fn following(self, last: &Self) -> Self {
        let end = last.seq + u32::from(last.len);
        let next = if last.is_up == self.is_up {
            (end, last.ack)
        } else {
            (last.ack, end)
        };
        let has_ack = self.flags & ACK != 0;
        Self {
            at: last.at + MILLI,
            port: last.port,
            seq: next.0 + self.seq - 1,
            ack: if has_ack { next.1 + self.ack - 1 } else { 0 },
            ..self
        }
    }
}

/// Connection that begins at this time: handshake, and then some packets of data, each acknowledged. Its last packet has
/// all acknowledged.
pub(crate) fn conversation(begin: i64, count: u32) -> Vec<Packet> {
    let port = 40_000 + u16::try_from(begin / (20 * MILLI) % 20_000).unwrap();
    let mut packets = vec![
        Packet::up(SYN, 0, 0),
        Packet::down(SYN | ACK, 0, 1),
        Packet::up(ACK, 1, 1),
    ];
    for nth in 0..count / 2 {
        let seq = 1 + nth * 10;
        packets.push(Packet::up(ACK, seq, 1).len(10));
        packets.push(Packet::down(ACK, 1, seq + 10));
    }
    let numbered = packets.into_iter().zip(0_i64..);
    let timed = numbered.map(|(packet, nth)| {
        let id = u16::try_from(nth).unwrap() + 1;
        let packet = Packet { id, ..packet };
        packet.at(begin + nth * MILLI).port(port)
    });
    timed.collect()
}

/// Path between both points, and the clock of the second one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    /// Lead of the server's clock.
    pub(crate) ahead: i64,
    /// Rate by which it gains.
    pub(crate) gain_ppm: i64,
    /// Time at which it is set, and by how much.
    pub(crate) step: Option<(i64, i64)>,
    /// Delays of the packets of client and server.
    pub(crate) delays: [i64; 2],
    /// Routers between the points.
    pub(crate) hops: u8,
    pub(crate) is_v6: bool,
    /// The server sees the client under another address and port.
    pub(crate) is_translated: bool,
    /// The server's point captures only the packets of the client, or of the server.
    pub(crate) only: Option<bool>,
    /// Times in which each point captures, by the client's clock.
    pub(crate) lasts: [(i64, i64); 2],
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            ahead: 0,
            gain_ppm: 0,
            step: None,
            delays: [200 * MICRO; 2],
            hops: 1,
            is_v6: false,
            is_translated: false,
            only: None,
            lasts: [(i64::MIN, i64::MAX); 2],
        }
    }
}

/// Files of the client and of the server.
pub(crate) fn paths(home: &Path) -> [String; 2] {
    ["a.pcap", "b.pcap"].map(|name| home.join(name).to_str().unwrap().to_owned())
}

impl Wire {
    /// Writes what is captured at the client and at the server.
    pub(crate) fn write(&self, home: &Path, packets: &[Packet]) -> [String; 2] {
        let paths = paths(home);
        for (point, path) in paths.iter().enumerate() {
            let mut frames = Vec::new();
            for packet in packets {
                let is_sender = packet.is_up == (point == 0);
                let other = if is_sender { Seen::Left } else { Seen::Arrived };
                let is_filtered = point == 1 && self.only.is_some_and(|only| only != packet.is_up);
                if packet.seen != Seen::Both && packet.seen != other || is_filtered {
                    continue;
                }
                let delay = self.delays[usize::from(!packet.is_up)];
                let at = packet.at + if is_sender { 0 } else { delay };
                if at >= self.lasts[point].0 && at <= self.lasts[point].1 {
                    frames.push((at, self.frame(packet, point, is_sender)));
                }
            }
            frames.sort_by_key(|it| it.0);
            for (at, _) in &mut frames {
                *at = self.stamp(point, *at);
            }
            fs::write(path, pcap(&frames)).unwrap();
        }
        paths
    }

    /// Writes what one point would capture at which all packets leave and arrive.
    pub(crate) fn one(&self, home: &Path, packets: &[Packet]) -> String {
        let frames: Vec<(i64, Vec<u8>)> = (packets.iter())
            .map(|packet| (BEGIN + packet.at, self.frame(packet, 0, true)))
            .collect();
        let path = home.join("one.pcap");
        fs::write(&path, pcap(&frames)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn stamp(&self, point: usize, at: i64) -> i64 {
        if point == 0 {
            return BEGIN + at;
        }
        let step = self
            .step
            .filter(|(time, _)| at >= *time)
            .map_or(0, |it| it.1);
        BEGIN + at + self.ahead + at * self.gain_ppm / 1_000_000 + step
    }

    fn frame(&self, packet: &Packet, point: usize, is_sender: bool) -> Vec<u8> {
        let port = packet.port + u16::from(self.is_translated && point == 1) * 1_000;
        let client = if self.is_translated && point == 1 {
            9
        } else {
            2
        };
        let ends = [(client, port), (1, 80)];
        let (from, to) = if packet.is_up {
            (ends[0], ends[1])
        } else {
            (ends[1], ends[0])
        };
        let ttl = 64 - if is_sender { 0 } else { self.hops };
        let options: u16 = if packet.has_clock { 12 } else { 0 };
        let length = 20 + options + packet.len;
        let mut frame = vec![2; 12];
        if self.is_v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([6, ttl]);
            for host in [from.0, to.0] {
                frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            }
        } else {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((20 + length).to_be_bytes());
            frame.extend(packet.id.to_be_bytes());
            frame.extend([0x40, 0, ttl, 6, 0, 0]);
            frame.extend([10, 0, 0, from.0, 10, 0, 0, to.0]);
        }
        frame.extend(from.1.to_be_bytes());
        frame.extend(to.1.to_be_bytes());
        // Each connection has initial numbers of its own (RFC 6528).
        let initial = u32::from(packet.port).wrapping_mul(0x9e37_79b9);
        let numbers = [initial, initial.rotate_left(16)];
        let own = numbers[usize::from(!packet.is_up)];
        let other = numbers[usize::from(packet.is_up)];
        // `tcp_v4_send_reset()`: no window, and SEQ 0 in reply to a segment without ACK.
        let is_refusal = packet.flags == RST | ACK && packet.seq == 0;
        let seq = if is_refusal {
            0
        } else {
            own.wrapping_add(packet.seq)
        };
        frame.extend(seq.to_be_bytes());
        let has_ack = packet.flags & ACK != 0;
        let ack = if has_ack {
            other.wrapping_add(packet.ack)
        } else {
            0
        };
        frame.extend(ack.to_be_bytes());
        let offset = u8::try_from((20 + options) / 4).unwrap() << 4;
        let window = if is_refusal { 0 } else { 0xfa };
        frame.extend([offset, packet.flags, window, 0, 0, 0, 0, 0]);
        if packet.has_clock {
            let value = u32::try_from(packet.at / MILLI).unwrap() + 5_000;
            frame.extend([1, 1, 8, 10]);
            frame.extend(value.to_be_bytes());
            frame.extend(if has_ack { value - 1 } else { 0 }.to_be_bytes());
        }
        frame.resize(frame.len() + usize::from(packet.len), b'x');
        frame
    }
}

/// Classic pcap with nanoseconds.
pub(crate) fn pcap(frames: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Pcap::new(Order::Little, 0xa1b2_3c4d, (2, 4), 1);
    for (at, frame) in frames {
        let time = |number: i64| u32::try_from(number).unwrap();
        let length = u32::try_from(frame.len()).unwrap();
        let stamp = (time(at / SECOND), time(at % SECOND));
        file.record(stamp, (length, length), frame);
    }
    file.bytes
}
