//! Lays files out by hand, field by field as the drafts draw them, in either byte order.

/// How the bytes of a number stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

pub(crate) const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// An option: its number and its value.
pub(crate) type Opt<'a> = (u16, &'a [u8]);

/// A pcapng file in the making.
#[derive(Clone, Debug)]
pub(crate) struct PcapNg {
    pub(crate) order: Order,
    pub(crate) bytes: Vec<u8>,
    /// Where blocks end.
    pub(crate) ends: Vec<usize>,
}

impl PcapNg {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            order,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// A file that begins with a section and an interface (Ethernet, no limit) with these options.
    pub(crate) fn with_interface(order: Order, options: &[Opt<'_>]) -> Self {
        let mut file = Self::new(order);
        file.section(&[]);
        file.interface(1, 0, options);
        file
    }

    pub(crate) fn block(&mut self, kind: u32, body: &[u8]) {
        assert!(body.len().is_multiple_of(4));
        let length = self.order.u32(u32::try_from(12 + body.len()).unwrap());
        self.bytes.extend(self.order.u32(kind));
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.extend(length);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn section(&mut self, options: &[Opt<'_>]) {
        self.section_of(1, 0, -1, options);
    }

    /// A section of this version that says that it is so long.
    pub(crate) fn section_of(&mut self, major: u16, minor: u16, length: i64, options: &[Opt<'_>]) {
        let order = self.order;
        let mut body = Vec::new();
        body.extend(order.u32(0x1a2b_3c4d));
        body.extend(order.u16(major));
        body.extend(order.u16(minor));
        body.extend(order.u64(length.cast_unsigned()));
        body.extend(self.options(options));
        self.block(0x0a0d_0d0a, &body);
    }

    pub(crate) fn interface(&mut self, link: u16, snaplen: u32, options: &[Opt<'_>]) {
        let order = self.order;
        let mut body = Vec::new();
        body.extend(order.u16(link));
        body.extend(order.u16(0));
        body.extend(order.u32(snaplen));
        body.extend(self.options(options));
        self.block(1, &body);
    }

    /// An enhanced packet block of an untruncated frame.
    pub(crate) fn frame(&mut self, interface: u32, units: u64, frame: &[u8], options: &[Opt<'_>]) {
        let mut body = self.order.u32(interface).to_vec();
        body.extend(self.packet(units, frame.len(), frame, options));
        self.block(6, &body);
    }

    /// The same as the obsolete packet block, with a count of lost frames.
    pub(crate) fn obsolete(&mut self, interface: u16, units: u64, frame: &[u8], opts: &[Opt<'_>]) {
        let mut body = self.order.u16(interface).to_vec();
        body.extend(self.order.u16(7));
        body.extend(self.packet(units, frame.len(), frame, opts));
        self.block(2, &body);
    }

    pub(crate) fn simple(&mut self, wire_len: u32, captured: &[u8]) {
        let mut body = self.order.u32(wire_len).to_vec();
        body.extend(padded(captured));
        self.block(3, &body);
    }

    pub(crate) fn statistics(&mut self, interface: u32, options: &[Opt<'_>]) {
        let mut body = self.order.u32(interface).to_vec();
        body.extend([0; 8]);
        body.extend(self.options(options));
        self.block(5, &body);
    }

    /// Time, lengths, frame and options, where it says that `captured` bytes of the frame are there.
    pub(crate) fn packet(
        &self,
        units: u64,
        captured: usize,
        frame: &[u8],
        options: &[Opt<'_>],
    ) -> Vec<u8> {
        let order = self.order;
        let mut body = Vec::new();
        body.extend(order.u32(u32::try_from(units >> 32).unwrap()));
        body.extend(order.u32(u32::try_from(units & 0xffff_ffff).unwrap()));
        body.extend(order.u32(u32::try_from(captured).unwrap()));
        body.extend(order.u32(u32::try_from(frame.len()).unwrap()));
        body.extend(padded(frame));
        body.extend(self.options(options));
        body
    }

    fn options(&self, options: &[Opt<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, value) in options {
            bytes.extend(self.order.u16(*code));
            bytes.extend(self.order.u16(u16::try_from(value.len()).unwrap()));
            bytes.extend(padded(value));
        }
        if !options.is_empty() {
            bytes.extend([0; 4]);
        }
        bytes
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

/// A classic pcap file in the making.
#[derive(Clone, Debug)]
pub(crate) struct Pcap {
    order: Order,
    pub(crate) bytes: Vec<u8>,
    /// Where header and records end.
    pub(crate) ends: Vec<usize>,
}

impl Pcap {
    pub(crate) fn new(order: Order, magic: u32, version: (u16, u16), link: u32) -> Self {
        let mut bytes = Vec::new();
        bytes.extend(order.u32(magic));
        bytes.extend(order.u16(version.0));
        bytes.extend(order.u16(version.1));
        bytes.extend([0; 8]);
        bytes.extend(order.u32(262_144));
        bytes.extend(order.u32(link));
        assert_eq!(bytes.len(), 24);
        Self {
            order,
            bytes,
            ends: vec![24],
        }
    }

    /// A record: seconds, parts of a second, both lengths as they stand in the file, the frame.
    pub(crate) fn record(&mut self, time: (u32, u32), lengths: (u32, u32), frame: &[u8]) {
        for number in [time.0, time.1, lengths.0, lengths.1] {
            self.bytes.extend(self.order.u32(number));
        }
        self.bytes.extend(frame);
        self.ends.push(self.bytes.len());
    }
}
