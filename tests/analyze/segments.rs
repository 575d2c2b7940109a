//! TCP segments over IPv4 and Ethernet: the bytes of a frame, for all tests that build captures.

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// Fields of a frame. An end is the last byte of its address, and its port.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) from: (u8, u16),
    pub(crate) to: (u8, u16),
    pub(crate) ttl: u8,
    pub(crate) id: u16,
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    /// Options of IPv4 and of TCP, each a number of 32-bit words long.
    pub(crate) ip_options: &'a [u8],
    pub(crate) options: &'a [u8],
    /// Number of bytes of payload.
    pub(crate) len: u16,
}

impl Default for Frame<'_> {
    fn default() -> Self {
        Self {
            from: (2, 40_000),
            to: (1, 80),
            ttl: 64,
            id: 0,
            flags: 0,
            seq: 0,
            ack: 0,
            window: 0,
            ip_options: &[],
            options: &[],
            len: 0,
        }
    }
}

impl Frame<'_> {
    /// Ethernet, IPv4 with DF, and TCP, without checksums.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let words = |bytes: &[u8]| u8::try_from(bytes.len() / 4).unwrap();
        let options = u16::try_from(self.ip_options.len() + self.options.len()).unwrap();
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0x00]);
        frame.extend([0x45 + words(self.ip_options), 0]);
        frame.extend((40 + options + self.len).to_be_bytes());
        frame.extend(self.id.to_be_bytes());
        frame.extend([0x40, 0, self.ttl, 6, 0, 0]);
        frame.extend([10, 0, 0, self.from.0, 10, 0, 0, self.to.0]);
        frame.extend(self.ip_options);
        frame.extend(self.from.1.to_be_bytes());
        frame.extend(self.to.1.to_be_bytes());
        frame.extend(self.seq.to_be_bytes());
        frame.extend(self.ack.to_be_bytes());
        frame.extend([0x50 + (words(self.options) << 4), self.flags]);
        frame.extend(self.window.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(self.options);
        frame.resize(frame.len() + usize::from(self.len), b'x');
        frame
    }
}

/// A segment from one port to another.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) ports: [u16; 2],
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
}

impl Segment {
    pub(crate) fn frame(self) -> Vec<u8> {
        self.with(&[], &[])
    }

    /// With these options of IPv4 and of TCP, each some words long.
    pub(crate) fn with(self, of_ip: &[u8], of_tcp: &[u8]) -> Vec<u8> {
        // The low port is the server's.
        let end = |port: u16| (if port < 1024 { 1 } else { 2 }, port);
        Frame {
            from: end(self.ports[0]),
            to: end(self.ports[1]),
            flags: self.flags,
            seq: self.seq,
            ack: self.ack,
            // `tcp_v4_send_reset()` sends no window.
            window: if self.flags == RST { 0 } else { 0xff00 },
            ip_options: of_ip,
            options: of_tcp,
            ..Frame::default()
        }
        .bytes()
    }
}

/// A connection from this port that is refused.
pub(crate) fn refused(port: u16) -> [Segment; 2] {
    let syn = Segment {
        ports: [port, 80],
        flags: SYN,
        seq: 1_000,
        ack: 0,
    };
    let rst = Segment {
        ports: [80, port],
        flags: RST | ACK,
        seq: 0,
        ack: 1_001,
    };
    [syn, rst]
}
