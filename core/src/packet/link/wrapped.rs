//! Headers that capturing systems put in front of a frame or a packet: firewall logs, process information, 802.11.
//!
//! Each function returns the rest of the frame from the inner header on, with what that header is.

use super::Link;

/// Process that sent or received a frame, as macOS states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Name, cut by the system to 16 bytes and filled with zeros. It is the process's own choice.
    pub name: [u8; 16],
    /// True if the process sent the frame, and false if it received the frame.
    pub is_sender: bool,
}

/// Payload of a `PKTAP` frame: its link, the frame behind the header, and the process.
pub(super) type Pktap<'a> = (Link, &'a [u8], Option<Process>);

/// Skips the header of `PKTAP` (`bsd/net/pktap.h` of XNU; all numbers are little-endian).
pub(super) fn pktap(frame: &[u8]) -> Option<Pktap<'_>> {
    /// Length of the header up to the name of the effective process, in bytes.
    const MIN_LENGTH: usize = 105;
    const MAX_LENGTH: usize = 1_024;
    const IS_OUTGOING: u32 = 2;
    /// The data behind the header are a packet.
    const PACKET: u32 = 1;

    let header = frame.get(..MIN_LENGTH)?;
    let word = |at: usize| {
        let bytes = header.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let length = usize::try_from(word(0)?).ok()?;
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) || word(4)? != PACKET {
        return None;
    }
    let link = Link::from_number(i32::try_from(word(8)?).ok()?)?;
    if link == Link::Pktap {
        return None;
    }
    let pid = word(52)?;
    let process = Process {
        pid,
        name: *header.get(56..)?.first_chunk()?,
        is_sender: word(36)? & IS_OUTGOING != 0,
    };
    // Without a process the number is -1 or 0.
    let process = (pid != 0 && pid != u32::MAX).then_some(process);
    Some((link, frame.get(length..)?, process))
}

/// Skips the header of PFLOG, which states its own length without padding (`net/if_pflog.h` of OpenBSD). Returns the
/// address family and the packet.
pub(super) fn pflog(frame: &[u8]) -> Option<(u32, &[u8])> {
    /// Length of the oldest header, in bytes.
    const MIN_LENGTH: usize = 28;

    let [length, family, ..] = frame else {
        return None;
    };
    let length = usize::from(*length).next_multiple_of(4);
    if length < MIN_LENGTH {
        return None;
    }
    Some((u32::from(*family), frame.get(length..)?))
}

/// Finds the packet in a frame of NFLOG: family, version 0 and resource; then attributes, each with length and type in
/// the byte order of the capturing host (`linux/netfilter/nfnetlink_log.h`). Returns the family and the packet with all
/// that follows it.
pub(super) fn nflog(frame: &[u8]) -> Option<(u32, &[u8])> {
    /// Type of the attribute that holds the packet (`NFULA_PAYLOAD`).
    const PAYLOAD: u16 = 9;
    /// Maximum number of attributes: there are fewer types than that.
    const MAX_ATTRIBUTES: usize = 64;

    let (header, mut rest) = frame.split_first_chunk::<4>()?;
    if header[1] != 0 {
        return None;
    }
    for _ in 0..MAX_ATTRIBUTES {
        let (length, kind) = nflog_attribute(*rest.first_chunk()?);
        if length < 4 {
            return None;
        }
        if kind == PAYLOAD {
            return Some((u32::from(header[0]), rest.get(4..)?));
        }
        rest = rest.get(usize::from(length).next_multiple_of(4)..)?;
    }
    None
}

/// Returns length and type of an attribute of NFLOG. All types are below 256, and none is 0, so that one of the bytes
/// shows the order.
fn nflog_attribute([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    if d == 0 {
        (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
    } else {
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }
}

/// Skips the header of radiotap: version 0, padding, length in little-endian order, then words that state which fields
/// follow. Returns the frame of 802.11, and true if its header is padded to words of four bytes.
pub(super) fn radiotap(frame: &[u8]) -> Option<(&[u8], bool)> {
    const HAS_CLOCK: u32 = 1;
    const HAS_FLAGS: u32 = 2;
    const HAS_MORE: u32 = 1 << 31;
    const IS_PADDED: u8 = 0x20;
    /// Maximum number of words that state which fields follow.
    const MAX_WORDS: usize = 16;

    let [0, _, low, high, ..] = frame else {
        return None;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let header = frame.get(..length)?;
    let word = |nth: usize| {
        let bytes = header.get(4 + 4 * nth..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let first = word(0)?;
    let mut words = 1;
    while word(words - 1)? & HAS_MORE != 0 && words < MAX_WORDS {
        words += 1;
    }
    let mut at = 4 + 4 * words;
    if first & HAS_CLOCK != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    let is_padded = first & HAS_FLAGS != 0 && header.get(at)? & IS_PADDED != 0;
    Some((frame.get(length..)?, is_padded))
}

/// Skips the header of a data frame of IEEE 802.11 (9.2.3 and 9.3.2.1). Returns the payload from the LLC header on.
/// `None` if it is another frame, has no payload, or is encrypted.
pub(super) fn wlan(frame: &[u8], is_padded: bool) -> Option<&[u8]> {
    const TYPE: u8 = 0x0c;
    const DATA: u8 = 0x08;
    const WITHOUT_DATA: u8 = 0x40;
    const QOS: u8 = 0x80;
    const BOTH_DS: u8 = 0x03;
    const ENCRYPTED: u8 = 0x40;
    const HAS_HT_CONTROL: u8 = 0x80;
    const AGGREGATE: u8 = 0x80;

    let (control, flags) = (*frame.first()?, *frame.get(1)?);
    if control & TYPE != DATA || control & WITHOUT_DATA != 0 || flags & ENCRYPTED != 0 {
        return None;
    }
    let mut length = 24;
    if flags & BOTH_DS == BOTH_DS {
        length += 6;
    }
    let mut is_aggregate = false;
    if control & QOS != 0 {
        is_aggregate = frame.get(length)? & AGGREGATE != 0;
        length += 2;
        if flags & HAS_HT_CONTROL != 0 {
            length += 4;
        }
    }
    if is_padded {
        length = usize::next_multiple_of(length, 4);
    }
    if is_aggregate {
        // Addresses and length of the first of several subframes; the others are not read.
        length += 14;
    }
    frame.get(length..)
}

/// Returns true if this is a data frame of 802.11 whose payload is encrypted.
pub(super) fn is_encrypted_wlan(frame: &[u8]) -> bool {
    matches!(frame, [control, flags, ..] if control & 0x4c == 0x08 && flags & 0x40 != 0)
}
