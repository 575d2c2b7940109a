//! Why a compressed file cannot be decompressed, or not to its end.

use std::io;

use super::super::Compression;
use super::zstd::LARGEST_WINDOW;

/// Why no more of a compressed file comes out. Inside of an [`io::Error`], of kind `UnexpectedEof` if the file was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "byte {offset} of the compressed file: {cause}; {} came out before", bytes(*.produced)
)]
pub struct Undecodable {
    /// How far the file had been taken in when it was noticed, in bytes.
    pub offset: u64,
    /// How many bytes came out before.
    pub produced: u64,
    /// What is wrong.
    pub cause: Cause,
}

/// What is wrong with a compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The compressed data go on behind the end of the file.
    #[error("the file is cut off")]
    Cut,
    /// No encoder writes such data, or a checksum is not that of what came out.
    #[error("its {0} data are damaged")]
    Damaged(Compression),
    /// What follows the compressed data is neither compressed nor padding.
    #[error("what follows its compressed data is none")]
    Trailing,
    /// They were compressed with a dictionary.
    #[error("its {0} data need a dictionary; decompress it first, with {0} -d -D")]
    Dictionary(Compression),
    /// A decoder would have to keep more in memory than it may.
    #[error(
        "its zstd data need a window of {} MiB, and at most {} are lent; decompress it first, with zstd -d --long=31",
        .0.div_ceil(1 << 20), LARGEST_WINDOW >> 20
    )]
    Window(
        /// Size of the window, in bytes.
        u64,
    ),
    /// What came out is compressed in turn.
    #[error("it is compressed twice; decompress it first, then with {0} -d what comes out")]
    Nested(Compression),
}

fn bytes(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} byte{plural}")
}

impl From<Undecodable> for io::Error {
    fn from(undecodable: Undecodable) -> Self {
        let kind = match undecodable.cause {
            Cause::Cut => io::ErrorKind::UnexpectedEof,
            Cause::Damaged(_) | Cause::Trailing => io::ErrorKind::InvalidData,
            Cause::Dictionary(_) | Cause::Window(_) | Cause::Nested(_) => {
                io::ErrorKind::Unsupported
            }
        };
        Self::new(kind, undecodable)
    }
}
