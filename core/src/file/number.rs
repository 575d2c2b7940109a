//! Block types and option codes of pcapng (pcapng draft, 3.5 and 4), for both reader and writer.

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a; // the same in both byte orders
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const OBSOLETE_PACKET: u32 = 2;
pub(super) const SIMPLE_PACKET: u32 = 3;
pub(super) const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
/// One of the types for local use, whose highest bit is set; macOS uses the first of them.
pub(super) const LOCAL_USE: u32 = 0x8fff_ffff;

pub(super) const END_OF_OPTIONS: u16 = 0;
pub(super) const COMMENT: u16 = 1;
pub(super) const SHB_OS: u16 = 3;
pub(super) const SHB_USERAPPL: u16 = 4;
pub(super) const IF_NAME: u16 = 2;
pub(super) const IF_TSRESOL: u16 = 9;
pub(super) const IF_FILTER: u16 = 11;
pub(super) const IF_OS: u16 = 12;
pub(super) const IF_TSOFFSET: u16 = 14;
pub(super) const ISB_STARTTIME: u16 = 2;
pub(super) const ISB_ENDTIME: u16 = 3;
pub(super) const ISB_IFRECV: u16 = 4;
pub(super) const ISB_IFDROP: u16 = 5;
pub(super) const ISB_FILTERACCEPT: u16 = 6;
