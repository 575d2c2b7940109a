//! Positioned reads of a capture, from any thread.

use std::fs::File;
use std::io;

/// Source of bytes that many threads can read at any offset at once: a file, or bytes in memory.
pub trait ReadAt: Sync {
    /// Reads into `bytes` from `offset` on, and returns the number of bytes read; 0 at the end. As with
    /// [`std::io::Read::read`], that may be fewer bytes than there are.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
}

#[cfg(unix)]
impl ReadAt for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, bytes, offset)
    }
}

#[cfg(windows)]
impl ReadAt for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        // Unlike its Unix counterpart, `seek_read` also moves the file's cursor.
        std::os::windows::fs::FileExt::seek_read(self, bytes, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let length = bytes.len().min(self.len() - start);
        bytes[..length].copy_from_slice(&self[start..start + length]);
        Ok(length)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(bytes, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_memory_are_read_up_to_their_end() {
        let content = b"0123456789".to_vec();
        let mut bytes = [0; 4];
        for (offset, expected) in [(0, 4), (7, 3), (10, 0), (u64::MAX, 0)] {
            assert_eq!(content.read_at(&mut bytes, offset).unwrap(), expected);
        }
        content.read_at(&mut bytes, 3).unwrap();
        assert_eq!(&bytes, b"3456");
    }
}
