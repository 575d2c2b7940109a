//! Decoder of fuzzer input into TCP segments between a few endpoints, so that most inputs contain connections.

use std::iter::Copied;
use std::slice::Iter;

/// Builds a capture of the segments that the bytes encode, as classic pcap or as pcapng with two interfaces.
pub(crate) fn capture(bytes: &[u8], is_pcap: bool) -> Vec<u8> {
    let mut made = Made {
        bytes: bytes.iter().copied(),
        file: Vec::new(),
        is_pcap,
        now: 1_700_000_000_000_000_000,
        flows: [[0x1000, 0xffff_fff0]; 8],
        previous: Vec::new(),
    };
    made.begin();
    while made.add().is_some() {}
    made.file
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// Common combinations of flags.
const USUAL: [u8; 8] = [
    SYN,
    SYN | ACK,
    ACK,
    PSH | ACK,
    FIN | ACK,
    RST | ACK,
    RST,
    ACK,
];

/// Capture being built.
struct Made<'a> {
    bytes: Copied<Iter<'a, u8>>,
    file: Vec<u8>,
    is_pcap: bool,
    /// Current time in nanoseconds since 1970.
    now: u64,
    /// SND.NXT of both ends of each connection.
    flows: [[u32; 2]; 8],
    /// Previous frame.
    previous: Vec<u8>,
}

impl Made<'_> {
    fn begin(&mut self) {
        let words: &[u32] = if self.is_pcap {
            &[0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 1]
        } else {
            &[
                // A section header block.
                0x0a0d_0d0a,
                28,
                0x1a2b_3c4d,
                1,
                u32::MAX,
                u32::MAX,
                28,
                // Two interface description blocks with nanosecond timestamps.
                1,
                32,
                1,
                0,
                0x0001_0009,
                9,
                0,
                32,
                1,
                32,
                1,
                0,
                0x0001_0009,
                9,
                0,
                32,
            ]
        };
        self.words(words);
    }

    fn words(&mut self, words: &[u32]) {
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        self.file.extend(words);
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes.next()
    }

    fn word(&mut self) -> Option<u32> {
        let bytes = [self.byte()?, self.byte()?, self.byte()?, self.byte()?];
        Some(u32::from_be_bytes(bytes))
    }

    /// Returns a number near this one, or an arbitrary one.
    fn near(&mut self, number: u32) -> Option<u32> {
        let by = self.byte()?;
        Some(match by {
            0..=127 => number,
            128..=191 => number.wrapping_add(u32::from(by - 128)),
            192..=247 => number.wrapping_sub(u32::from(by - 191)),
            _ => self.word()?,
        })
    }

    /// Appends the next frame. `None` at the end of the input.
    fn add(&mut self) -> Option<()> {
        let (what, when) = (self.byte()?, self.byte()?);
        // Steps of 1 ns to more than an hour, forward or back.
        let by = 1_u64 << (when & 0x3f).min(42);
        self.now = match when >> 6 {
            0 | 1 => self.now.wrapping_add(by),
            2 => self.now,
            _ => self.now.wrapping_sub(by),
        };
        let frame = match what & 7 {
            0 => self.previous.clone(),
            1 => self.error()?,
            2 => self.fragment(what >> 3)?,
            _ => self.segment(what >> 3)?,
        };
        self.record(u32::from(what >> 7), &frame);
        self.previous = frame;
        Some(())
    }

    /// Builds a frame with a TCP segment; `which`, of 5 bits, selects the connection and the sending end.
    fn segment(&mut self, which: u8) -> Option<Vec<u8>> {
        let how = self.byte()?;
        let (flow, side) = (usize::from(which & 7), usize::from(which >> 3 & 1));
        let flags = match how & 15 {
            usual @ 0..8 => USUAL[usize::from(usual)],
            _ => self.byte()?,
        };
        let [mine, other] = [self.flows[flow][side], self.flows[flow][1 - side]];
        let seq = if how & 16 == 0 {
            mine
        } else {
            self.near(mine)?
        };
        let ack = match how & 32 {
            0 if flags & ACK == 0 => 0,
            0 => other,
            _ => self.near(other)?,
        };
        let len = if how & 64 == 0 { 0 } else { self.byte()? };
        let mut options = Vec::new();
        let mut window = if flags & (RST | ACK) == RST { 0 } else { 512 };
        if how & 128 != 0 {
            let kind = self.byte()?;
            if kind & 1 != 0 {
                options.extend([1, 1, 8, 10]);
                let clock = u32::try_from(self.now >> 20 & 0xffff_ffff).unwrap_or(0);
                let value = self.near(clock)?;
                options.extend(value.to_be_bytes());
                options.extend(self.near(value)?.to_be_bytes());
            }
            if kind & 2 != 0 {
                options.extend([1, 1, 5, 10]);
                let start = self.near(other)?;
                options.extend(start.to_be_bytes());
                options.extend(self.near(start)?.to_be_bytes());
            }
            if kind & 4 != 0 {
                for _ in 0..4 {
                    options.push(self.byte()?);
                }
            }
            if kind & 8 != 0 {
                window = u16::from(self.byte()?) << 4;
            }
        }
        let ends = u32::from(len) + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.flows[flow][side] = seq.wrapping_add(ends);
        let mut tcp = Vec::new();
        for port in ports(flow, side) {
            tcp.extend(port.to_be_bytes());
        }
        tcp.extend(seq.to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        let words = u8::try_from(options.len() / 4).unwrap_or(0);
        tcp.extend([(5 + words) << 4, flags]);
        tcp.extend(window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        tcp.extend(std::iter::repeat_n(b'x', len.into()));
        Some(packet(flow, side, 6, &tcp))
    }

    /// Builds one of the two fragments of a segment, cut after some words of eight bytes; over IPv6 the whole segment.
    fn fragment(&mut self, which: u8) -> Option<Vec<u8>> {
        const HEADERS: usize = 34;
        let how = self.byte()?;
        let frame = self.segment(which)?;
        if frame[13] != 0 {
            return Some(frame);
        }
        let words = usize::from(how & 7);
        let cut = (HEADERS + 8 * words).min(frame.len());
        let (payload, word) = if how & 8 == 0 {
            (&frame[HEADERS..cut], 0x2000)
        } else {
            (&frame[cut..], u16::try_from(words).unwrap_or(0))
        };
        let mut fragment = [&frame[..HEADERS], payload].concat();
        let total = u16::try_from(20 + payload.len()).unwrap_or(0);
        fragment[16..18].copy_from_slice(&total.to_be_bytes());
        fragment[18..20].copy_from_slice(&[0, how >> 4]);
        fragment[20..22].copy_from_slice(&word.to_be_bytes());
        Some(fragment)
    }

    /// Builds an ICMP error that quotes the previous frame.
    fn error(&mut self) -> Option<Vec<u8>> {
        let (kind, code) = (self.byte()?, self.byte()?);
        let quoted = self.previous.get(14..)?;
        let mut icmp = vec![kind, code, 0, 0, 0, 0, 0, 0];
        icmp.extend(&quoted[..quoted.len().min(68)]);
        Some(packet(
            usize::from(kind & 7),
            usize::from(code & 1),
            1,
            &icmp,
        ))
    }

    fn record(&mut self, interface: u32, frame: &[u8]) {
        let length = u32::try_from(frame.len()).unwrap_or(0);
        let (high, low) = (self.now >> 32, self.now & 0xffff_ffff);
        let word = |number: u64| u32::try_from(number).unwrap_or(0);
        if self.is_pcap {
            let (seconds, rest) = (self.now / 1_000_000_000, self.now % 1_000_000_000);
            self.words(&[word(seconds), word(rest), length, length]);
            self.file.extend(frame);
            return;
        }
        let padded = frame.len().next_multiple_of(4);
        let block = 32 + u32::try_from(padded).unwrap_or(0);
        self.words(&[6, block, interface, word(high), word(low), length, length]);
        self.file.extend(frame);
        self.file.extend(&[0; 3][..padded - frame.len()]);
        self.words(&[block]);
    }
}

/// Returns the source and destination port of one end of a connection. The last connection is a socket connected to
/// itself.
fn ports(flow: usize, side: usize) -> [u16; 2] {
    const SERVERS: [u16; 8] = [80, 22, 443, 50_001, 80, 9_000, 23, 50_000];
    let client = if flow == 7 { 50_000 } else { 50_002 };
    let mut ports = [client, SERVERS[flow]];
    ports.rotate_left(side);
    ports
}

/// Builds an Ethernet frame. Some connections use IPv6.
fn packet(flow: usize, side: usize, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(0);
    let hosts = if flow == 7 {
        [1, 1]
    } else {
        [[1, 2], [2, 1]][side]
    };
    let mut frame = vec![2; 12];
    if flow % 3 == 2 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([if protocol == 1 { 58 } else { protocol }, 64]);
        for host in hosts {
            frame.extend([0xfd; 15]);
            frame.push(host);
        }
    } else {
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((20 + length).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        for host in hosts {
            frame.extend([10, 0, 0, host]);
        }
    }
    frame.extend(payload);
    frame
}
