//! Buffered bytes of a file, with look-ahead, a count of the bytes consumed, and a record of end of file and errors.
//!
//! Decoders confuse the end of the file with errors of their own, or hide both. The source keeps both facts apart.

use std::io::{self, BufRead, Read};

/// Number of bytes read at once.
const BUFFER: usize = 64 << 10;

/// Reader with a buffer. The default has no file and is at its end.
#[derive(Debug)]
pub(super) struct Source<R> {
    from: Option<R>,
    buffer: Vec<u8>,
    /// Start of the bytes in the buffer that have not been consumed.
    start: usize,
    end: usize,
    taken: u64,
    is_at_end: bool,
    was_exhausted: bool,
    failure: Option<io::Error>,
}

impl<R> Default for Source<R> {
    fn default() -> Self {
        Self {
            from: None,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            taken: 0,
            is_at_end: true,
            was_exhausted: false,
            failure: None,
        }
    }
}

impl<R: Read> Source<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from: Some(from),
            buffer: vec![0; BUFFER],
            is_at_end: false,
            ..Self::default()
        }
    }

    pub(super) fn get_ref(&self) -> Option<&R> {
        self.from.as_ref()
    }

    /// Returns the number of bytes in the buffer.
    pub(super) fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// Returns the number of bytes consumed.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns true if a reader asked for more bytes than there are.
    pub(super) fn was_exhausted(&self) -> bool {
        self.was_exhausted
    }

    /// Takes the error with which reading the file failed, even if a decoder replaced that error with its own.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Returns the next bytes without consuming them: `length` bytes, or fewer at the end of the file only.
    pub(super) fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.end - self.start < length && self.fill()? > 0 {}
        let length = length.min(self.end - self.start);
        Ok(&self.buffer[self.start..self.start + length])
    }

    /// Reads more into the buffer; 0 if there is no more.
    fn fill(&mut self) -> io::Result<usize> {
        // Moves the rest to the front: `peek` needs contiguous bytes.
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let into = &mut self.buffer[self.end..];
        let read = read(&mut self.from, into, &mut self.is_at_end);
        let read = self.remember(read)?;
        self.end += read;
        Ok(read)
    }

    fn remember(&mut self, read: io::Result<usize>) -> io::Result<usize> {
        read.map_err(|error| {
            // The decoder gets a copy of the kind only, because an `io::Error` cannot be cloned.
            let kind = error.kind();
            self.failure = Some(error);
            kind.into()
        })
    }
}

/// Reads from the file. The first end of file is final, although a pipe could continue after it with another writer.
fn read(from: &mut Option<impl Read>, into: &mut [u8], is_at_end: &mut bool) -> io::Result<usize> {
    let Some(from) = from.as_mut().filter(|_| !*is_at_end) else {
        return Ok(0);
    };
    loop {
        match from.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => {
                *is_at_end = true;
                return Ok(0);
            }
            other => return other,
        }
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end && self.fill()? == 0 {
            self.was_exhausted = true;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.start += amount;
        self.taken += amount as u64;
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // A large read into an empty buffer goes past the buffer, to save the copy.
        if self.start == self.end && into.len() >= self.buffer.len() {
            let read = read(&mut self.from, into, &mut self.is_at_end);
            let read = self.remember(read)?;
            self.was_exhausted |= read == 0 && !into.is_empty();
            self.taken += read as u64;
            return Ok(read);
        }
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `EIO`: I/O error.
    const EIO: i32 = 5;

    /// Reader that returns these pieces, one at a time; an empty one is an end of file that does not last.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.pop() {
                Some(b"!") => Err(io::Error::from_raw_os_error(EIO)),
                Some(b"?") => Err(io::ErrorKind::Interrupted.into()),
                Some(mut piece) => piece.read(into),
                None => Ok(0),
            }
        }
    }

    fn source(pieces: &[&'static [u8]]) -> Source<Pieces> {
        Source::new(Pieces(pieces.iter().rev().copied().collect()))
    }

    #[test]
    fn what_is_looked_at_is_not_taken() {
        let mut source = source(&[b"a", b"?", b"bc", b"def"]);
        assert_eq!(source.peek(2).unwrap(), b"ab");
        assert_eq!(source.taken(), 0);
        source.consume(2);
        assert_eq!(source.peek(9).unwrap(), b"cdef");
        assert!(!source.was_exhausted());
        let mut all = String::new();
        source.read_to_string(&mut all).unwrap();
        assert_eq!((&all[..], source.taken()), ("cdef", 6));
        assert!(source.was_exhausted());
    }

    #[test]
    fn the_end_is_the_end() {
        let mut source = source(&[b"a", b"", b"b"]);
        let mut all = Vec::new();
        source.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"a");
        assert_eq!(source.peek(1).unwrap(), b"");
        assert_eq!(source.read(&mut vec![0; BUFFER]).unwrap(), 0);
        assert_eq!(Source::<Pieces>::default().peek(1).unwrap(), b"");
    }

    #[test]
    fn only_a_read_exhausts_a_source_not_a_peek() {
        let mut source = source(&[]);
        assert_eq!(source.peek(6).unwrap(), b"");
        assert!(!source.was_exhausted());
        assert_eq!(source.read(&mut vec![0; BUFFER]).unwrap(), 0);
        assert!(source.was_exhausted());
    }

    #[test]
    fn a_failure_is_kept() {
        for length in [1, BUFFER] {
            let mut source = source(&[b"a", b"!"]);
            let mut bytes = vec![0; length];
            assert_eq!(source.read(&mut bytes).unwrap(), 1);
            source.read(&mut bytes).unwrap_err();
            let failure = source.failure().unwrap();
            assert_eq!(failure.raw_os_error(), Some(EIO));
            assert!(source.failure().is_none());
        }
    }
}
