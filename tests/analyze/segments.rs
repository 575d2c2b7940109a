//! TCP segments over IPv4 and Ethernet, byte by byte.

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

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
        let word = |bytes: usize| u8::try_from(bytes / 4).unwrap();
        let total = u16::try_from(40 + of_ip.len() + of_tcp.len()).unwrap();
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0x00]);
        frame.extend([0x45 + word(of_ip.len()), 0]);
        frame.extend(total.to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        // The low port is the server's.
        let host = |port: u16| [10, 0, 0, if port < 1024 { 1 } else { 2 }];
        frame.extend(host(self.ports[0]));
        frame.extend(host(self.ports[1]));
        frame.extend(of_ip);
        frame.extend(self.ports[0].to_be_bytes());
        frame.extend(self.ports[1].to_be_bytes());
        frame.extend(self.seq.to_be_bytes());
        frame.extend(self.ack.to_be_bytes());
        frame.extend([0x50 + (word(of_tcp.len()) << 4), self.flags]);
        // `tcp_v4_send_reset()` sends no window.
        let window = if self.flags == RST { 0 } else { 0xff };
        frame.extend([window, 0, 0, 0, 0, 0]);
        frame.extend(of_tcp);
        frame
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
