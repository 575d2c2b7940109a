//! Problems of stored captures, and their positions.

use super::foreign::Foreign;

/// Problem that makes a stored capture unreadable, or unreadable from some point on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {problem}")]
pub struct Malformed {
    /// Offset of the broken block, in bytes from the start of the file.
    pub offset: u64,
    /// Problem of that block.
    pub problem: Problem,
}

/// Unit that a stored capture consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Block of pcapng.
    Block,
    /// Record of classic pcap or of snoop.
    Record,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Block => "block",
            Self::Record => "record",
        })
    }
}

/// Problem of a block or a record of a stored capture, or of the header of a classic pcap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The first bytes are not those of a capture.
    #[error("the file is neither pcap, pcapng nor snoop")]
    NotACapture,
    /// The file is a capture in a format that is not read.
    #[error(
        "the file is in the format of {0}, which is not read; convert it with `editcap -F pcap IN OUT`"
    )]
    Foreign(Foreign),
    /// The snoop file has frames of an unsupported kind.
    #[error("snoop's datalink type {0} is not supported")]
    Datalink(
        /// Type of the datalink.
        u32,
    ),
    /// The record of a snoop file is shorter than its frame.
    #[error(
        "the record has a length of {length} bytes, too few for its {captured} bytes of a frame"
    )]
    Record {
        /// Length of the record, in bytes.
        length: u32,
        /// Stated number of bytes of the frame.
        captured: u32,
    },
    /// The file is compressed, and may hold a capture.
    #[error("the file is compressed; decompress it first, with {0} -d")]
    Compressed(Compression),
    /// The version of the format is unknown.
    #[error("version {major}.{minor} of the format is not supported")]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The file ends within the header of a classic pcap.
    #[error("the file ends within its header, which is {length} bytes long")]
    Header {
        /// Length of the header, in bytes.
        length: u64,
    },
    /// The file ends before the length of the block.
    #[error("the file ends before the length of the {0}")]
    Begun(
        /// Unit that has begun.
        Part,
    ),
    /// The file ends before the block does.
    #[error("the {part} has a length of {length} bytes, but only {left} are left")]
    Cut {
        /// Unit that is cut.
        part: Part,
        /// Length of the block, in bytes.
        length: u64,
        /// Number of bytes from the beginning of the block to the end of the file.
        left: u64,
    },
    /// The block is longer than any that is read.
    #[error("the {part} has a length of {length} bytes, more than the maximum of {most}")]
    TooLong {
        /// Unit that is too long.
        part: Part,
        /// Length of the block, in bytes.
        length: u64,
        /// Maximum length of a block, in bytes.
        most: u64,
    },
    /// The byte-order magic of the section is invalid.
    #[error("the section's byte-order magic {0:#010x} is invalid")]
    ByteOrder(
        /// Byte-order magic of the section, read as big-endian.
        u32,
    ),
    /// The length of the block is impossible.
    #[error("the block has a length of {0} bytes, which is not a multiple of 4 of at least 12")]
    Length(
        /// Length of the block, in bytes.
        u32,
    ),
    /// The length before the block's body differs from the one after it.
    #[error("the block has a length of {length} bytes at its start, but {trailer} at its end")]
    Trailer {
        /// Length before the body, in bytes.
        length: u32,
        /// Length after the body, in bytes.
        trailer: u32,
    },
    /// The block ends within its mandatory fields.
    #[error("the block is too short for its fields")]
    Fields,
    /// The frame is longer than the block has room for.
    #[error("the block has {captured} bytes of a frame, but room for only {room}")]
    Captured {
        /// Stated number of bytes of the frame.
        captured: u32,
        /// Number of bytes left in the block.
        room: u64,
    },
    /// The option extends beyond the end of its block.
    #[error("option {code} has a length of {length} bytes, beyond the end of its block")]
    Option {
        /// Code of the option.
        code: u16,
        /// Length of the option, in bytes.
        length: u16,
    },
    /// The option has another length than its code requires.
    #[error("option {code} has an invalid length of {length} bytes")]
    OptionLength {
        /// Code of the option.
        code: u16,
        /// Length of the option, in bytes.
        length: u64,
    },
    /// The block refers to an interface that the section has not declared.
    #[error("interface {interface} is not among the {declared} described in the section so far")]
    Interface {
        /// Number of the interface within the section.
        interface: u32,
        /// Number of interfaces declared so far.
        declared: u64,
    },
    /// The section declares more interfaces than any host has.
    #[error("the section describes more than {0} interfaces")]
    Interfaces(
        /// Maximum number of interfaces.
        usize,
    ),
    /// The time does not fit into nanoseconds since the epoch: it is outside of the years 1677 to 2262.
    #[error(
        "the time {units} cannot be expressed in nanoseconds; is the interface's resolution right?"
    )]
    Time {
        /// Stored time, in units of the interface's resolution.
        units: u64,
    },
}

/// Compression format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952, 2.3.1).
    Gzip,
    /// Zstandard (RFC 8878, 3.1.1).
    Zstd,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
    /// LZ4 frames.
    Lz4,
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
        })
    }
}

/// Magic numbers of compression formats in which captures are commonly kept.
const COMPRESSED: [(&[u8], Compression); 5] = [
    (&[0x1f, 0x8b], Compression::Gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
    (b"BZh", Compression::Bzip2),
    (&[0x04, 0x22, 0x4d, 0x18], Compression::Lz4),
];

impl Compression {
    /// Returns the compression of a file that begins with these bytes.
    pub(in crate::file) fn of(bytes: &[u8]) -> Option<Self> {
        let mut known = COMPRESSED.iter();
        let (_, how) = known.find(|(magic, _)| bytes.starts_with(magic))?;
        Some(*how)
    }

    /// Returns true if these bytes could be the beginning of a compressed file that is cut off.
    pub(in crate::file) fn is_cut(bytes: &[u8]) -> bool {
        COMPRESSED.iter().any(|(magic, _)| magic.starts_with(bytes))
    }
}

/// Returns the problem of a file that does not begin like a capture.
pub(super) fn unrecognised(bytes: &[u8]) -> Problem {
    if bytes.is_empty() {
        return Problem::Empty;
    }
    let compressed = Compression::of(bytes).map(Problem::Compressed);
    compressed
        .or_else(|| Foreign::of(bytes).map(Problem::Foreign))
        .unwrap_or(Problem::NotACapture)
}
