//! Errors of decompression.

use std::io;

use super::super::Compression;

/// Failure to decompress a file to its end. It is the inner error of an [`io::Error`], whose kind is `UnexpectedEof`
/// if the file is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "byte {offset} of the compressed file: {cause}; {} decompressed before", bytes(*.produced)
)]
pub struct Undecodable {
    /// Number of bytes of the file that were consumed when the problem was detected.
    pub offset: u64,
    /// Number of bytes decoded before.
    pub produced: u64,
    /// Problem that was detected.
    pub cause: DecodeFailure,
}

/// Largest window of zstd that is accepted, in bytes. `zstd -d` has the same limit (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`).
pub(super) const LARGEST_WINDOW: u64 = 128 << 20;

/// Problem of a compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFailure {
    /// The file ends within the compressed data.
    #[error("the file is cut off")]
    Cut,
    /// The data are invalid, or a checksum does not match the decoded bytes.
    #[error("its {0} data is damaged")]
    Damaged(Compression),
    /// The bytes after the compressed data are neither compressed nor padding.
    #[error("invalid data after its compressed data")]
    Trailing,
    /// The data were compressed with a dictionary.
    #[error("its {0} data needs a dictionary; decompress it first, with {0} -d -D")]
    Dictionary(Compression),
    /// The decoder would need more memory than it is allowed.
    #[error(
        "its zstd data needs a window of {} MiB, more than the maximum of {}; decompress it first, with zstd -d --long=31",
        .0.div_ceil(1 << 20), LARGEST_WINDOW >> 20
    )]
    Window(
        /// Size of the window, in bytes.
        u64,
    ),
    /// The decoded bytes are compressed as well.
    #[error("it is compressed twice; decompress it first, then decompress the result with {0} -d")]
    Nested(Compression),
}

fn bytes(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} byte{plural}")
}

impl From<Undecodable> for io::Error {
    fn from(undecodable: Undecodable) -> Self {
        let kind = match undecodable.cause {
            DecodeFailure::Cut => io::ErrorKind::UnexpectedEof,
            DecodeFailure::Damaged(_) | DecodeFailure::Trailing => io::ErrorKind::InvalidData,
            DecodeFailure::Dictionary(_) | DecodeFailure::Window(_) | DecodeFailure::Nested(_) => {
                io::ErrorKind::Unsupported
            }
        };
        Self::new(kind, undecodable)
    }
}
