//! Capture formats that are recognised and not read, by their first bytes.
//!
//! Wireshark's `editcap` converts each of them. The magic numbers are those of its wiretap library
//! (`wiretap/*.c`), checked against files that editcap 4.0 writes.

/// Capture format of another program, which is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Microsoft Network Monitor 1.
    NetMon1,
    /// Microsoft Network Monitor 2.
    NetMon2,
    /// Network General Sniffer for DOS.
    Sniffer,
    /// `NetXRay`, and Network Associates Sniffer for Windows.
    NetXRay,
    /// Visual Networks traffic capture.
    Visual,
    /// Accellent or `InfoVista` 5View.
    FiveView,
    /// Novell `LANalyzer`.
    Lanalyzer,
    /// IBM iptrace.
    IpTrace,
    /// HP-UX nettl.
    Nettl,
    /// Endace ERF.
    Erf,
    /// Modified pcap (Alexey Kuznetsov's), whose records are longer.
    ModifiedPcap,
    /// Pcap of an Ixia analyzer.
    IxiaPcap,
    /// Symbian or Android Bluetooth snoop log.
    BtSnoop,
    /// Shomiti or Finisar Surveyor.
    Shomiti,
    /// `OmniPeek` or `AiroPeek`.
    OmniPeek,
    /// Network Instruments Observer.
    Observer,
    /// Citrix `NetScaler` trace.
    NetScaler,
    /// Tektronix K12.
    K12,
}

impl Foreign {
    /// Returns the name of the format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NetMon1 => "Microsoft Network Monitor 1",
            Self::NetMon2 => "Microsoft Network Monitor 2",
            Self::Sniffer => "Network General Sniffer (DOS)",
            Self::NetXRay => "NetXRay or Sniffer (Windows)",
            Self::Visual => "Visual Networks",
            Self::FiveView => "InfoVista 5View",
            Self::Lanalyzer => "Novell LANalyzer",
            Self::IpTrace => "AIX iptrace",
            Self::Nettl => "HP-UX nettl",
            Self::Erf => "Endace ERF",
            Self::ModifiedPcap => "modified pcap",
            Self::IxiaPcap => "Ixia pcap",
            Self::BtSnoop => "Bluetooth snoop",
            Self::Shomiti => "Shomiti/Finisar Surveyor",
            Self::OmniPeek => "OmniPeek or AiroPeek",
            Self::Observer => "Network Instruments Observer",
            Self::NetScaler => "NetScaler trace",
            Self::K12 => "Tektronix K12",
        }
    }

    /// Returns the format of a file that begins with these bytes; `None` if it is not known. Needs 24 bytes at most.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut known = MAGIC.iter();
        if let Some((_, format)) = known.find(|(magic, _)| bytes.starts_with(magic)) {
            return Some(*format);
        }
        // The signature of a NetScaler trace follows a record header whose length depends on the version.
        if bytes.windows(9).take(16).any(|part| part == b"NetScaler") {
            return Some(Self::NetScaler);
        }
        (is_lanalyzer(bytes))
            .then_some(Self::Lanalyzer)
            .or_else(|| is_erf(bytes).then_some(Self::Erf))
    }
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

const MAGIC: [(&[u8], Foreign); 21] = [
    (b"RTSS", Foreign::NetMon1),
    (b"GMBU", Foreign::NetMon2),
    (b"TRSNIFF data    \x1a", Foreign::Sniffer),
    (b"XCP\0", Foreign::NetXRay),
    (b"VL\0\0", Foreign::NetXRay),
    (b"\x05VNF", Foreign::Visual),
    (&[0xaa; 4], Foreign::FiveView),
    (b"iptrace 1.0", Foreign::IpTrace),
    (b"iptrace 2.0", Foreign::IpTrace),
    (&[0x54, 0x52, 0x00, 0x64, 0x00], Foreign::Nettl),
    (&[0, 0, 0, 1, 0, 0, 0, 0, 0, 7, 0xd0, 0x00], Foreign::Nettl),
    (&[0xa1, 0xb2, 0xcd, 0x34], Foreign::ModifiedPcap),
    (&[0x34, 0xcd, 0xb2, 0xa1], Foreign::ModifiedPcap),
    (&[0x1c, 0x00, 0x01, 0xac], Foreign::IxiaPcap),
    (&[0xac, 0x01, 0x00, 0x1c], Foreign::IxiaPcap),
    (&[0x1c, 0x00, 0x01, 0xab], Foreign::IxiaPcap),
    (&[0xab, 0x01, 0x00, 0x1c], Foreign::IxiaPcap),
    (b"btsnoop\0", Foreign::BtSnoop),
    (b"\x7fver", Foreign::OmniPeek),
    (b"ObserverPktBufferVersion", Foreign::Observer),
    (
        &[0x00, 0x00, 0x02, 0x00, 0x12, 0x05, 0x00, 0x10],
        Foreign::K12,
    ),
];

/// Returns true if the file begins with the header record of a `LANalyzer` trace: type 0x1001 or 0x1007, its length, and
/// a version below 2.
fn is_lanalyzer(bytes: &[u8]) -> bool {
    match bytes {
        [0x01 | 0x07, 0x10, low, high, major, ..] => {
            let length = u16::from_le_bytes([*low, *high]);
            (2..4096).contains(&length) && *major < 2
        }
        _ => false,
    }
}

/// Returns true if the file begins with a plausible ERF record. The format has no magic number: time in little-endian
/// order, type, flags, length of the record, losses, length of the frame.
fn is_erf(bytes: &[u8]) -> bool {
    /// Length of the header of a record.
    const HEADER: u16 = 16;
    /// Years 1996 to 2096, in seconds since 1970.
    const TIMES: std::ops::Range<u32> = 820_454_400..3_976_214_400;
    let Some(header) = bytes.first_chunk::<16>() else {
        return false;
    };
    let seconds = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let [length, wire] = [10, 14].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    // Types with frames of Ethernet, HDLC or ATM. The highest bit announces extension headers; the two upper flags are
    // reserved. Records are aligned to 8 bytes.
    matches!(header[8] & 0x7f, 1 | 2 | 3 | 4 | 11 | 16 | 19 | 20 | 21)
        && header[9] & 0xc0 == 0
        && TIMES.contains(&seconds)
        && length > HEADER
        && length.is_multiple_of(8)
        && (14..=9_600).contains(&wire)
        && length <= wire.saturating_add(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognized_by_their_first_bytes() {
        // The first 24 bytes of files that editcap 4.0.17 writes with -F.
        for (beginning, format) in [
            (
                "aaaaaaaa20000000000001001800000000100018000000",
                Foreign::FiveView,
            ),
            (
                "01104c000105547261636520446973706c617920547261",
                Foreign::Lanalyzer,
            ),
            (
                "34cdb2a10200040000000000000000000000040001000000",
                Foreign::ModifiedPcap,
            ),
            (
                "5254535301010100ea070b0001001e000700310001006303",
                Foreign::NetMon1,
            ),
            (
                "474d425500020100ea070b0001001e000700310001006303",
                Foreign::NetMon2,
            ),
            (
                "5452006400000000000000802f746d702f77697265736861",
                Foreign::Nettl,
            ),
            (
                "5452534e4946462064617461202020201a01001200000000",
                Foreign::Sniffer,
            ),
            (
                "584350003030322e303031006d2a0d6b0700000000000000",
                Foreign::NetXRay,
            ),
            (
                "4f62736572766572506b7442756666657256657273696f6e",
                Foreign::Observer,
            ),
            (
                "05564e46070000006d2a0d6b0600ffff0100010000000000",
                Foreign::Visual,
            ),
            ("6274736e6f6f700000000001000003ea", Foreign::BtSnoop),
            // Endace's ERF types document: 2015-12-01, type 2, flags 4, 88 bytes, no loss, 66 on the wire.
            ("0000000080e85c5602040058000000420000", Foreign::Erf),
        ] {
            let byte = |at: usize| u8::from_str_radix(&beginning[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..beginning.len() / 2).map(|nth| byte(2 * nth)).collect();
            assert_eq!(Foreign::of(&bytes), Some(format), "{beginning}");
        }
        for other in [
            &b"the quick brown fox jumps over the lazy dog"[..],
            b"a\tb\nc\td\ne\tf\ng\th\ni\tj\n",
            b"{\"schema\":1,\"verdict\":\"confirmed\"}",
            &[0; 32],
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(Foreign::of(other), None, "{other:?}");
        }
    }
}
