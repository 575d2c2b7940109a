//! The bytes of a file in order: looked at before they are taken, counted as they are, and with the end of them known.
//!
//! Decoders tell the end of the file and its own errors apart badly, or not at all. Here both are kept.

use std::io::{self, BufRead, Read};

/// How much is read at once, in bytes.
const BUFFER: usize = 64 << 10;

/// Bytes that are read through a buffer. The default has none.
#[derive(Debug)]
pub(super) struct Source<R> {
    from: Option<R>,
    buffer: Vec<u8>,
    /// What of the buffer has not been taken.
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

    /// Bytes that were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether somebody wanted to take more than there is.
    pub(super) fn was_exhausted(&self) -> bool {
        self.was_exhausted
    }

    /// What reading the file failed with, whatever a decoder has made of that.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// The next bytes without taking them: as many as this, fewer at the end alone.
    pub(super) fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.end - self.start < length && self.fill()? > 0 {}
        let length = length.min(self.end - self.start);
        Ok(&self.buffer[self.start..self.start + length])
    }

    /// Reads more into the buffer; 0 if there is no more.
    fn fill(&mut self) -> io::Result<usize> {
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
            let kind = error.kind();
            self.failure = Some(error);
            kind.into()
        })
    }
}

/// Whoever is at the end stays there: a pipe could go on with another writer.
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

    /// I/O error.
    const EIO: i32 = 5;

    /// Gives these pieces, one at a time; an empty one is the end, for now.
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
    fn nothing_asked_for_exhausts_nothing() {
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
