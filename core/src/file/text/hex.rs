//! Hex dumps below the lines of packets: `tcpdump -x` and `-X` print the packet from its IP header on, `-xx` and `-XX` the frame, as
//! does `tshark -x`.

use crate::packet::ip::Ip;
use crate::packet::wire::TCP;

/// Number of bytes of a dump that are kept: as many as tcpdump captures of a packet.
const MAX: usize = 262_144;

/// Hex dump of one packet, as far as it has been read.
#[derive(Clone, Debug, Default)]
pub(super) struct Dump(Vec<u8>);

impl Dump {
    /// Takes in a line. Returns false if it is no line of a dump, or does not continue this one.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let line = line.trim();
        let Some((offset, rest)) = offset(line) else {
            return false;
        };
        if offset != self.0.len() || offset >= MAX {
            return false;
        }
        let before = self.0.len();
        // Sixteen bytes, in groups of one or two. What follows two spaces is text.
        let digits = rest.split("  ").next().unwrap_or("");
        for group in digits.split(' ') {
            let bytes: Option<Vec<u8>> = match group.len() {
                2 | 4 => (0..group.len() / 2)
                    .map(|nth| u8::from_str_radix(group.get(2 * nth..2 * nth + 2)?, 16).ok())
                    .collect(),
                _ => None,
            };
            let Some(bytes) = bytes.filter(|_| self.0.len() < before + 16) else {
                break;
            };
            self.0.extend(bytes);
        }
        self.0.len() > before
    }

    /// Returns the IP packet in the dump, and its length according to its header; `None` if there is none.
    pub(super) fn packet(&self) -> Option<(&[u8], u32)> {
        // A frame has a header of Ethernet, Linux cooked (v1 or v2), or a tag of a VLAN beside.
        [0, 14, 16, 18, 20].iter().find_map(|start| {
            let packet = self.0.get(*start..)?;
            let is_typed = *start == 0 || is_type(&self.0, *start);
            let ip = Ip::of(packet).filter(|_| is_typed)?;
            let headers = ip.payload.as_ptr().addr() - packet.as_ptr().addr();
            let length = u32::try_from(headers).ok()?.checked_add(ip.payload_len?)?;
            let is_version = match packet.first()? >> 4 {
                4 => ip.source.is_ipv4(),
                6 => ip.source.is_ipv6(),
                _ => false,
            };
            // What follows the packet in its frame is padding.
            let captured = packet
                .get(..usize::try_from(length).ok()?)
                .unwrap_or(packet);
            let is_tcp = ip.protocol == TCP;
            (is_version && (!is_tcp || ip.payload.len() >= 20)).then_some((captured, length))
        })
    }
}

/// Returns true if the bytes before this offset end with the `EtherType` of IP; version 2 of Linux cooked begins with it.
fn is_type(frame: &[u8], start: usize) -> bool {
    let at = if start == 20 { 0 } else { start - 2 };
    matches!(frame.get(at..at + 2), Some([0x08, 0x00] | [0x86, 0xdd]))
}

/// Takes the offset off a line of a dump: `0x0010:  `, or `0010  `.
fn offset(line: &str) -> Option<(usize, &str)> {
    let (digits, rest) = match line.strip_prefix("0x") {
        Some(rest) => rest.split_once(':')?,
        None => line.split_once("  ")?,
    };
    let is_offset = (4..=8).contains(&digits.len());
    let offset = usize::from_str_radix(digits, 16)
        .ok()
        .filter(|_| is_offset)?;
    Some((offset, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_dump_follow_each_other() {
        let mut dump = Dump::default();
        // An RST of 40 bytes with the addresses 10.0.0.1 and 10.0.0.2.
        assert!(dump.take("\t0x0000:  4500 0028 0000 4000 4006 0000 0a00 0001  E..(..@.@......."));
        assert!(!dump.take("\t0x0000:  4500 0028 0000 4000 4006 0000 0a00 0001  E..(..@.@......."));
        assert!(dump.take("0x0010:  0a00 0002 0050 9c40 0000 0001 0000 0000  .....P.@........"));
        assert!(!dump.take("garbage"));
        assert!(dump.take("0x0020:  5004 0000 0000 0000                      P......."));
        let (packet, length) = dump.packet().unwrap();
        assert_eq!((packet.len(), length), (40, 40));
        assert_eq!(&packet[12..20], [10, 0, 0, 1, 10, 0, 0, 2]);
    }

    #[test]
    fn a_dump_of_a_frame_has_its_packet_behind_the_link_header() {
        let mut dump = Dump::default();
        assert!(
            dump.take("0000  00 00 00 00 00 00 00 00 00 00 00 00 08 00 45 00   ..............E.")
        );
        assert!(
            dump.take("0010  00 28 00 00 40 00 40 06 00 00 0a 00 00 01 0a 00   .(..@.@.........")
        );
        assert!(
            dump.take("0020  00 02 00 50 9c 40 00 00 00 01 00 00 00 00 50 04   ...P.@........P.")
        );
        assert!(dump.take("0030  00 00 00 00 00 00 de ad be ef                     .........."));
        assert_eq!(dump.packet().unwrap().0.len(), 40);
    }
}
