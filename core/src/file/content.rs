//! What is in a file once it is decompressed.
//!
//! A compressed file is a sequence of parts, each of which could be a file: gzip's members, the frames of zstd and lz4.
//! One says what it is by how it begins, never by the file's name. A decoder is made for each part, so that none keeps
//! anything but its window.

mod source;
mod undecodable;
mod zstd;

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use lz4_flex::frame::{Error as Lz4Error, FrameDecoder as Lz4Decoder};

use super::Compression;
use source::Source;
use zstd::Zstd;

pub use undecodable::{Cause, Undecodable};

/// Length of the longest magic number, in bytes.
const MAGIC: usize = 6;

/// The content of a file, decompressed as it is read.
///
/// A file that is not compressed is its own content. One that is cut gives what is before the cut: with gzip all that is
/// left of it, with zstd and lz4 the blocks that are whole. One that is damaged gives what was decoded before the damage
/// was noticed, with gzip but for the last 32 KiB; those bytes may be wrong, too, for it is checksums that notice, and
/// they come last. Then comes an [`Undecodable`], as often as it is asked for more.
///
/// However much comes out, memory is taken for what the decoder keeps: 32 KiB with gzip, 12 MiB with lz4, 128 MiB with
/// zstd, and as much again while that grows.
#[derive(Debug)]
pub struct Content<R: Read> {
    part: Part<R>,
    /// What the file began with.
    compression: Option<Compression>,
    beginning: Beginning,
    /// Bytes that the decoders gave.
    produced: u64,
    failure: Option<Failure>,
}

/// The first bytes of the content, which were looked at before anybody has asked for them.
#[derive(Debug, Default)]
struct Beginning {
    bytes: [u8; MAGIC],
    length: usize,
    /// How many of them have been given.
    given: usize,
}

/// Why there is no more, to be said as often as it is asked for.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// Reading the file failed.
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
    /// Reads as much of a file as it takes to know what it is and how its content begins.
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
            // zstd and lz4 share them. What writes them in front is zstd.
            Some(Magic::Skippable) => self.compression = Some(Compression::Zstd),
            None => self.part = Part::Plain(std::mem::take(source)),
        }
        let mut bytes = [0; MAGIC];
        let mut length = 0;
        while let Ok(read @ 1..) = self.decode(&mut bytes[length..]) {
            length += read;
        }
        self.beginning = Beginning {
            bytes,
            length,
            given: 0,
        };
        let again = Compression::of(&bytes[..length]);
        if let Some(again) = again.filter(|_| self.compression.is_some()) {
            (self.beginning.length, self.produced) = (0, 0);
            self.fail(Cause::Nested(again));
        }
    }

    /// What the file is compressed with, as it begins.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// How the content begins. Enough to recognise a capture by, unless there is no more or a failure before.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning.bytes[..self.beginning.length]
    }

    /// Why there will be no more, if that is known yet.
    pub fn failure(&self) -> Option<io::Error> {
        self.failure.map(io::Error::from)
    }

    /// The file.
    pub fn file(&self) -> Option<&R> {
        self.part.source().get_ref()
    }

    /// Bytes of the file that have been taken in.
    #[must_use]
    pub fn position(&self) -> u64 {
        match &self.part {
            Part::Plain(source) => {
                source.taken() - (self.beginning.length - self.beginning.given) as u64
            }
            other => other.source().taken(),
        }
    }

    /// The next bytes of the content, past its beginning; 0 at its end.
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

    /// A decoder says what it stumbled over. If the file could not be read, or has an end, that is why.
    fn fail(&mut self, cause: Cause) {
        let source = self.part.source_mut();
        if let Some(error) = source.failure() {
            return self.fail_to_read(&error);
        }
        let cause = match cause {
            Cause::Damaged(_) if source.was_exhausted() => Cause::Cut,
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

/// How a part of a compressed file begins.
enum Magic {
    Begins(Compression),
    /// A frame of zstd or lz4 without content (RFC 8878, 3.1.2).
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

    /// Whether these last bytes of a file could have gone on as a magic number.
    fn is_cut(bytes: &[u8]) -> bool {
        let is_skippable = matches!(
            bytes,
            [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d]
        );
        is_skippable || bytes.len() < 4 && Compression::is_cut(bytes)
    }
}

/// The next part that has content; `None` at the end of the file.
fn next<R: Read>(
    source: &mut Source<R>,
    after: Option<Compression>,
) -> Result<Option<Part<R>>, Cause> {
    let failed = |_| Cause::Cut; // the source knows better
    // Tapes have blocks, and gzip has always let their padding pass.
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
                return Err(Cause::Cut);
            }
            None => return Err(Cause::Trailing),
        }
    }
}

/// Skips a frame that says how long it is, and that it has no content.
fn skip(source: &mut Source<impl Read>) -> Result<(), Cause> {
    let failed = |_| Cause::Cut;
    let mut header = [0; 8];
    source.read_exact(&mut header).map_err(failed)?;
    let [.., a, b, c, d] = header;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let skipped = io::copy(&mut source.take(length), &mut io::sink()).map_err(failed)?;
    if skipped < length {
        return Err(Cause::Cut);
    }
    Ok(())
}

/// A part of a file.
#[derive(Debug)]
enum Part<R: Read> {
    /// All of a file that is not compressed.
    Plain(Source<R>),
    /// None has begun since one with this.
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

    /// The next bytes of its content; 0 at its end.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Cause> {
        match self {
            Self::Plain(source) | Self::Next(source, _) => {
                source.read(into).map_err(|_| Cause::Cut)
            }
            Self::Gzip(decoder) => {
                // What it decodes together with damage is lost with it.
                let length = into.len().min(32 << 10);
                let read = decoder.read(&mut into[..length]);
                read.map_err(|_| Cause::Damaged(Compression::Gzip))
            }
            Self::Zstd(zstd) => zstd.read(into),
            Self::Lz4(decoder) => match decoder.read(into) {
                // It takes the end of the file for that of a frame.
                Ok(0) if decoder.get_ref().was_exhausted() => Err(Cause::Cut),
                Ok(read) => Ok(read),
                Err(error) => Err(cause_of_lz4(&error)),
            },
        }
    }
}

fn cause_of_lz4(error: &io::Error) -> Cause {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(Lz4Error::DictionaryNotSupported) => Cause::Dictionary(Compression::Lz4),
        _ => Cause::Damaged(Compression::Lz4),
    }
}
