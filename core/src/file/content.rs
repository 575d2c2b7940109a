//! Decompression of files.
//!
//! A compressed file is a sequence of parts, each of which could be a file of its own: gzip's members, the frames of
//! zstd and lz4. The magic number of a part decides its format, never the name of the file. Each part gets a new
//! decoder, so that no decoder keeps more than its window.

mod source;
mod undecodable;
mod zstd;

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use lz4_flex::frame::{Error as Lz4Error, FrameDecoder as Lz4Decoder};

use super::Compression;
use source::Source;
use zstd::Zstd;

pub use undecodable::{DecodeFailure, Undecodable};

/// Length of the longest magic number of a compression, in bytes.
const MAGIC: usize = 6;

/// Number of bytes at the beginning of the content that are decoded before the first read: enough to recognise any
/// format, and no more than the header of a classic pcap, so that a pipe with an empty capture is not waited for.
const BEGINNING: usize = 24;

/// Content of a file, decompressed as it is read.
///
/// A file that is not compressed is returned as it is. A file that is cut off gives the content before the cut: with
/// gzip everything up to it, with zstd and lz4 the complete blocks. A damaged file gives the content decoded before
/// the damage was detected, with gzip except for the last 32 KiB. These bytes may be wrong as well, because checksums
/// detect damage and come last. Every read after that fails with an [`Undecodable`].
///
/// The memory used depends on the decoder and not on the length of the content: 32 KiB with gzip, 12 MiB with lz4,
/// 128 MiB with zstd, and the same again while zstd's window grows.
#[derive(Debug)]
pub struct Content<R: Read> {
    part: Part<R>,
    /// Compression of the file according to its first bytes.
    compression: Option<Compression>,
    beginning: Beginning,
    /// Number of bytes decoded so far.
    produced: u64,
    failure: Option<Failure>,
}

/// First bytes of the content, which were decoded before the first read.
#[derive(Debug, Default)]
struct Beginning {
    bytes: [u8; BEGINNING],
    length: usize,
    /// Number of these bytes that have been returned.
    given: usize,
}

/// Reason why there is no more content. Every further read fails with it.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// Failure to read the file: kind and error number, because an `io::Error` cannot be cloned.
    Read(io::ErrorKind, Option<i32>),
    Decode(Undecodable),
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Read(_, Some(errno)) => Self::from_raw_os_error(errno),
            Failure::Read(kind, None) => kind.into(),
            Failure::Decode(undecodable) => undecodable.into(),
        }
    }
}

impl<R: Read> Content<R> {
    /// Creates the content of a file, and reads as much of the file as is needed to know its compression and the
    /// first bytes of its content.
    pub fn new(from: R) -> Self {
        let mut content = Self {
            part: Part::Next(Source::new(from), None),
            compression: None,
            beginning: Beginning::default(),
            produced: 0,
            failure: None,
        };
        content.begin();
        content
    }

    /// Determines the compression, and reads the first bytes of the content.
    fn begin(&mut self) {
        let Part::Next(source, _) = &mut self.part else {
            return;
        };
        let magic = match source.peek(MAGIC) {
            Ok(magic) => Magic::of(magic),
            Err(error) => return self.fail_to_read(&error),
        };
        match magic {
            Some(Magic::Begins(compression)) => self.compression = Some(compression),
            // zstd and lz4 share this magic number. Only zstd's tools put such frames first.
            Some(Magic::Skippable) => self.compression = Some(Compression::Zstd),
            None => self.part = Part::Plain(std::mem::take(source)),
        }
        self.read_beginning();
    }

    fn read_beginning(&mut self) {
        let mut bytes = [0; BEGINNING];
        let mut length = 0;
        // A failure here is kept in `failure`, and reported by the read that gets to it.
        while let Ok(read @ 1..) = self.decode(&mut bytes[length..]) {
            length += read;
        }
        self.beginning = Beginning {
            bytes,
            length,
            given: 0,
        };
        // Content that is compressed again is of no use to a reader of captures: nothing of it is returned.
        let again = Compression::of(&bytes[..length]);
        if let Some(again) = again.filter(|_| self.compression.is_some()) {
            (self.beginning.length, self.produced) = (0, 0);
            self.fail(DecodeFailure::Nested(again));
        }
    }

    /// Returns the compression of the file according to its first bytes.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Returns the first bytes of the content: enough to recognise a capture, unless the content is shorter or
    /// decoding failed before.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning.bytes[..self.beginning.length]
    }

    /// Returns the reason why there is no more content, if it is known yet.
    pub fn failure(&self) -> Option<io::Error> {
        self.failure.map(io::Error::from)
    }

    /// Returns the file.
    pub fn file(&self) -> Option<&R> {
        self.part.source().get_ref()
    }

    /// Returns the number of bytes that can be read without reading the file, if the content is not compressed; 0 otherwise.
    #[must_use]
    pub fn buffered(&self) -> usize {
        match &self.part {
            Part::Plain(source) => self.beginning.length - self.beginning.given + source.buffered(),
            _ => 0,
        }
    }

    /// Returns the number of bytes of the file that have been consumed.
    #[must_use]
    pub fn position(&self) -> u64 {
        match &self.part {
            Part::Plain(source) => {
                // Bytes of the beginning that were not returned yet are read from the file, but do not count as
                // consumed.
                source.taken() - (self.beginning.length - self.beginning.given) as u64
            }
            other => other.source().taken(),
        }
    }

    /// Decodes the next bytes of the content, after its beginning; 0 at its end.
    fn decode(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(failure) = self.failure {
                return Err(failure.into());
            }
            if let Part::Next(source, after) = &mut self.part {
                match next(source, *after) {
                    Ok(Some(part)) => self.part = part,
                    Ok(None) => return Ok(0),
                    Err(cause) => self.fail(cause),
                }
                continue;
            }
            match self.part.read(into) {
                Ok(0) => {
                    let Some(compression) = self.part.compression() else {
                        return Ok(0);
                    };
                    // The buffer of the source may hold the beginning of the next part, so the source moves on to the
                    // next decoder.
                    let source = std::mem::take(self.part.source_mut());
                    self.part = Part::Next(source, Some(compression));
                }
                Ok(read) => {
                    self.produced += read as u64;
                    return Ok(read);
                }
                Err(cause) => self.fail(cause),
            }
        }
    }

    /// Records the failure that a decoder reports. A read error of the file takes precedence, and damage at the end
    /// of the file counts as a cut.
    fn fail(&mut self, cause: DecodeFailure) {
        let source = self.part.source_mut();
        if let Some(error) = source.failure() {
            return self.fail_to_read(&error);
        }
        let cause = match cause {
            // Decoders report an early end of input as damage, each in its own words.
            DecodeFailure::Damaged(_) if source.was_exhausted() => DecodeFailure::Cut,
            other => other,
        };
        self.failure = Some(Failure::Decode(Undecodable {
            offset: source.taken(),
            produced: self.produced,
            cause,
        }));
    }

    fn fail_to_read(&mut self, error: &io::Error) {
        let of_file = self.part.source_mut().failure();
        let error = of_file.as_ref().unwrap_or(error);
        self.failure = Some(Failure::Read(error.kind(), error.raw_os_error()));
    }
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut beginning = &self.beginning.bytes[self.beginning.given..self.beginning.length];
        if beginning.is_empty() {
            return self.decode(into);
        }
        let given = beginning.read(into)?;
        self.beginning.given += given;
        Ok(given)
    }
}

/// Magic number of a part of a compressed file.
enum Magic {
    Begins(Compression),
    /// Frame of zstd or lz4 without content (RFC 8878, 3.1.2).
    Skippable,
}

impl Magic {
    fn of(bytes: &[u8]) -> Option<Self> {
        match (Compression::of(bytes), bytes) {
            (Some(Compression::Xz | Compression::Bzip2), _) => None,
            (Some(compression), _) => Some(Self::Begins(compression)),
            (None, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) => Some(Self::Skippable),
            (None, _) => None,
        }
    }

    /// Returns true if these last bytes of a file could be the beginning of a magic number.
    fn is_cut(bytes: &[u8]) -> bool {
        let is_skippable = matches!(
            bytes,
            [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d]
        );
        is_skippable || bytes.len() < 4 && Compression::is_cut(bytes)
    }
}

/// Finds the next part that has content; `None` at the end of the file.
fn next<R: Read>(
    source: &mut Source<R>,
    after: Option<Compression>,
) -> Result<Option<Part<R>>, DecodeFailure> {
    let failed = |_| DecodeFailure::Cut; // `Content::fail` takes the error from the source
    // gzip ignores zero padding between members: tapes consist of whole blocks.
    while after == Some(Compression::Gzip) && source.peek(1).map_err(failed)? == [0] {
        source.consume(1);
    }
    loop {
        let begin = source.peek(MAGIC).map_err(failed)?;
        if begin.is_empty() {
            return Ok(None);
        }
        match Magic::of(begin) {
            Some(Magic::Begins(compression)) => {
                return Ok(Part::new(compression, std::mem::take(source)));
            }
            Some(Magic::Skippable) => skip(source)?,
            None if Magic::is_cut(begin) => {
                let begun = begin.len();
                source.consume(begun);
                return Err(DecodeFailure::Cut);
            }
            None => return Err(DecodeFailure::Trailing),
        }
    }
}

/// Skips a skippable frame, whose header states its length.
fn skip(source: &mut Source<impl Read>) -> Result<(), DecodeFailure> {
    let failed = |_| DecodeFailure::Cut;
    let mut header = [0; 8];
    source.read_exact(&mut header).map_err(failed)?;
    let [.., a, b, c, d] = header;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let skipped = io::copy(&mut source.take(length), &mut io::sink()).map_err(failed)?;
    if skipped < length {
        return Err(DecodeFailure::Cut);
    }
    Ok(())
}

/// Part of a file.
#[derive(Debug)]
enum Part<R: Read> {
    /// Whole file that is not compressed.
    Plain(Source<R>),
    /// No part: the next one has not begun. Holds the compression of the previous part, if there was one.
    Next(Source<R>, Option<Compression>),
    Gzip(Box<GzDecoder<Source<R>>>),
    Zstd(Box<Zstd<R>>),
    Lz4(Box<Lz4Decoder<Source<R>>>),
}

impl<R: Read> Part<R> {
    fn new(compression: Compression, source: Source<R>) -> Option<Self> {
        match compression {
            Compression::Gzip => Some(Self::Gzip(Box::new(GzDecoder::new(source)))),
            Compression::Zstd => Some(Self::Zstd(Box::new(Zstd::new(source)))),
            Compression::Lz4 => Some(Self::Lz4(Box::new(Lz4Decoder::new(source)))),
            Compression::Xz | Compression::Bzip2 => None,
        }
    }

    fn compression(&self) -> Option<Compression> {
        match self {
            Self::Plain(_) | Self::Next(..) => None,
            Self::Gzip(_) => Some(Compression::Gzip),
            Self::Zstd(_) => Some(Compression::Zstd),
            Self::Lz4(_) => Some(Compression::Lz4),
        }
    }

    fn source(&self) -> &Source<R> {
        match self {
            Self::Plain(source) | Self::Next(source, _) => source,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(zstd) => zstd.get_ref(),
            Self::Lz4(decoder) => decoder.get_ref(),
        }
    }

    fn source_mut(&mut self) -> &mut Source<R> {
        match self {
            Self::Plain(source) | Self::Next(source, _) => source,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(zstd) => zstd.get_mut(),
            Self::Lz4(decoder) => decoder.get_mut(),
        }
    }

    /// Reads the next bytes of the part's content; 0 at its end.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, DecodeFailure> {
        match self {
            Self::Plain(source) | Self::Next(source, _) => {
                source.read(into).map_err(|_| DecodeFailure::Cut)
            }
            Self::Gzip(decoder) => {
                // Bytes that are decoded in the same call as damage are lost, so a call decodes few.
                let length = into.len().min(32 << 10);
                let read = decoder.read(&mut into[..length]);
                read.map_err(|_| DecodeFailure::Damaged(Compression::Gzip))
            }
            Self::Zstd(zstd) => zstd.read(into),
            Self::Lz4(decoder) => match decoder.read(into) {
                // The decoder takes the end of the file for the end of a frame.
                Ok(0) if decoder.get_ref().was_exhausted() => Err(DecodeFailure::Cut),
                Ok(read) => Ok(read),
                Err(error) => Err(cause_of_lz4(&error)),
            },
        }
    }
}

fn cause_of_lz4(error: &io::Error) -> DecodeFailure {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(Lz4Error::DictionaryNotSupported) => DecodeFailure::Dictionary(Compression::Lz4),
        _ => DecodeFailure::Damaged(Compression::Lz4),
    }
}
