//! What can be wrong with a stored capture, and where.

/// Why a stored capture cannot be read, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {problem}")]
pub struct Malformed {
    /// Where the block begins that is broken, in bytes from the start of the file.
    pub offset: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What a stored capture consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of pcapng.
    Block,
    /// Of classic pcap.
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

/// What is wrong with a block or a record of a stored capture, or with the header of a classic pcap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// It begins like no capture.
    #[error("this is neither pcap nor pcapng")]
    NotACapture,
    /// It may hold a capture, but has to be decompressed first.
    #[error("the file is compressed; decompress it first, with {0} -d")]
    Compressed(Compression),
    /// A version of the format that is not known.
    #[error("this is version {major}.{minor} of the format, which is not known")]
    Version {
        /// Its major number.
        major: u16,
        /// Its minor number.
        minor: u16,
    },
    /// The file ends within the header of a classic pcap.
    #[error("the file ends within its header, which is {length} bytes long")]
    Header {
        /// Length of the header, in bytes.
        length: u64,
    },
    /// The file ends before the length of the block is known.
    #[error("the file ends before the {0} says how long it is")]
    Begun(
        /// What has begun.
        Part,
    ),
    /// The file ends before the block does.
    #[error("the {part} says that it is {length} bytes long, but {left} are left")]
    Cut {
        /// What is cut.
        part: Part,
        /// Length of the block, in bytes.
        length: u64,
        /// Bytes from its beginning to the end of the file.
        left: u64,
    },
    /// A block that is longer than any that is read.
    #[error("the {part} says that it is {length} bytes long, and none of more than {most} is read")]
    TooLong {
        /// What is too long.
        part: Part,
        /// Length of the block, in bytes.
        length: u64,
        /// Length of the longest that is read, in bytes.
        most: u64,
    },
    /// A section in neither byte order.
    #[error("the section's byte-order magic is {0:#010x}, which is none")]
    ByteOrder(
        /// What is there, read as big-endian.
        u32,
    ),
    /// A block whose length cannot be one.
    #[error("the block says that it is {0} bytes long, which is not a multiple of 4 from 12 on")]
    Length(
        /// Length of the block, in bytes.
        u32,
    ),
    /// The length before the block's body is not the one after it.
    #[error("the block says first that it is {length} bytes long, and then {trailer}")]
    Trailer {
        /// The first one, in bytes.
        length: u32,
        /// The second one, in bytes.
        trailer: u32,
    },
    /// The block ends within the fields that each of its kind has.
    #[error("the block is too short for its fields")]
    Fields,
    /// More of a frame than fits the block.
    #[error("{captured} bytes of a frame are said to be in the block, which has room for {room}")]
    Captured {
        /// Bytes of the frame that are said to be there.
        captured: u32,
        /// Bytes that are there.
        room: u64,
    },
    /// An option ends behind the end of its block.
    #[error("option {code} is said to be {length} bytes long and runs over the end of its block")]
    Option {
        /// Its number.
        code: u16,
        /// Its length, in bytes.
        length: u16,
    },
    /// An option of fixed length has another one.
    #[error("option {code} is {length} bytes long, which it cannot be")]
    OptionLength {
        /// Its number.
        code: u16,
        /// Its length, in bytes.
        length: u64,
    },
    /// The block is about an interface that the section has not named.
    #[error("interface {interface} is not among the {declared} that the section has named so far")]
    Interface {
        /// Its number within the section.
        interface: u32,
        /// How many there are.
        declared: u64,
    },
    /// More interfaces than any host has.
    #[error("the section names more than {0} interfaces")]
    Interfaces(
        /// How many it may name.
        usize,
    ),
    /// A time that cannot be counted in nanoseconds: outside of the years 1677 to 2262.
    #[error("the time {units} cannot be told in nanoseconds; is the interface's resolution right?")]
    Time {
        /// The time as it is stored, in units of the interface's resolution.
        units: u64,
    },
}

/// A way to compress files.
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

/// How compressed files begin. People keep captures in them.
const COMPRESSED: [(&[u8], Compression); 5] = [
    (&[0x1f, 0x8b], Compression::Gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
    (b"BZh", Compression::Bzip2),
    (&[0x04, 0x22, 0x4d, 0x18], Compression::Lz4),
];

impl Compression {
    /// What a file that begins like this is compressed with.
    pub(in crate::file) fn of(bytes: &[u8]) -> Option<Self> {
        let mut known = COMPRESSED.iter();
        let (_, how) = known.find(|(magic, _)| bytes.starts_with(magic))?;
        Some(*how)
    }

    /// Whether a compressed file could begin with these bytes and those that are missing.
    pub(in crate::file) fn is_cut(bytes: &[u8]) -> bool {
        COMPRESSED.iter().any(|(magic, _)| magic.starts_with(bytes))
    }
}

/// What it is that begins like no capture.
pub(super) fn unrecognised(bytes: &[u8]) -> Problem {
    if bytes.is_empty() {
        return Problem::Empty;
    }
    Compression::of(bytes).map_or(Problem::NotACapture, Problem::Compressed)
}
