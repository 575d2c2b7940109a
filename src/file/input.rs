//! Captures to read: files, directories of them, standard input, compressed or not.
//!
//! The first bytes decide what a file is, not its name. A file that a user named must be a capture. A file found in a
//! directory is skipped if it is not a capture, and never waited for: a pipe there may have no writer.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names_in;
use crate::error::{Error, reason};
use rstproof_core::file::{Compression, Content, Format, Problem, Text, TextNotes};

/// Argument that names standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

/// Returns the captures that these arguments name, in order: a file, `-` for standard input, or a directory with all
/// captures below it, sorted by name, without links and hidden files.
///
/// Fails if standard input is named twice. An error about a file takes the file's place in the sequence.
pub fn inputs(paths: &[PathBuf]) -> Result<Inputs, Error> {
    let is_standard_input = |path: &&PathBuf| path.as_os_str() == STANDARD_INPUT;
    if paths.iter().filter(is_standard_input).count() > 1 {
        let text = "standard input can be read only once; give `-` once";
        return Err(Error::Usage(text.to_owned()));
    }
    let pending = paths.iter().rev().cloned().map(Pending::Named).collect();
    Ok(Inputs { pending, given: 0 })
}

/// Iterator over captures, each opened when it is requested.
#[derive(Debug)]
pub struct Inputs {
    /// Work left, in reverse order: the next item is the last.
    pending: Vec<Pending>,
    /// Number of captures and errors returned so far.
    given: u64,
}

#[derive(Debug)]
enum Pending {
    /// Path that the user named.
    Named(PathBuf),
    /// Entry found in a directory.
    Found(PathBuf, FileType),
    /// End of a named directory, with the value of `given` at its start: if that is unchanged, the directory has no
    /// capture.
    Over(PathBuf, u64),
}

impl Iterator for Inputs {
    type Item = Result<Input, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = match self.pending.pop()? {
                Pending::Named(path) => self.named(path),
                Pending::Found(path, kind) => self.found(path, kind),
                Pending::Over(directory, given) if given == self.given => {
                    Err(Error::File {
                        action: "find a capture in",
                        path: directory,
                        reason: "it contains no pcap or pcapng file (symlinks and hidden files are skipped; name them explicitly)"
                            .to_owned(),
                    })
                }
                Pending::Over(..) => Ok(None),
            };
            if let Some(input) = next.transpose() {
                self.given += 1;
                return Some(input);
            }
        }
    }
}

impl Inputs {
    fn named(&mut self, path: PathBuf) -> Result<Option<Input>, Error> {
        if path.as_os_str() == STANDARD_INPUT {
            return standard_input().map(Some);
        }
        let failed = |error| Error::file("read", &path, &error);
        let kind = fs::metadata(&path).map_err(failed)?.file_type();
        if kind.is_dir() {
            self.pending.push(Pending::Over(path.clone(), self.given));
            self.walk(&path)?;
            return Ok(None);
        }
        if let Some(refusal) = refusal(kind) {
            return Err(unreadable(&path, refusal));
        }
        // A nonblocking pipe without a writer would look empty, so opening a named pipe waits for one.
        let flags = if kind.is_fifo() { 0 } else { libc::O_NONBLOCK };
        let (file, metadata) = open(&path, flags).map_err(failed)?;
        if let Some(refusal) = refusal(metadata.file_type()) {
            return Err(unreadable(&path, refusal)); // replaced since its type was read
        }
        Input::new(path, file, &metadata).map(Some)
    }

    fn found(&mut self, path: PathBuf, kind: FileType) -> Result<Option<Input>, Error> {
        if kind.is_dir() {
            self.walk(&path)?;
            return Ok(None);
        }
        if !kind.is_file() {
            return Ok(None);
        }
        let (file, metadata) = match open(&path, libc::O_NONBLOCK | libc::O_NOFOLLOW) {
            Ok(opened) => opened,
            // Removed since, or replaced by a link or a socket.
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(Error::file("read", &path, &error)),
        };
        if !metadata.is_file() {
            return Ok(None);
        }
        let content = Content::new(file);
        match unrecognised(&content) {
            Some(Unrecognised::Problem(Problem::Empty | Problem::NotACapture)) => Ok(None),
            // Not skipped: an unreadable file may be a capture.
            Some(why) => Err(unreadable(&path, why.reason(content.compression()))),
            None => Ok(Some(Input::of(path, Body::Binary(content), &metadata))),
        }
    }

    /// Schedules a directory's entries to come next, in order of name.
    fn walk(&mut self, directory: &Path) -> Result<(), Error> {
        let entries = entries(directory).map_err(|error| Error::file("read", directory, &error))?;
        let found = entries
            .into_iter()
            // The list of pending entries is a stack, so the first entry has to be pushed last.
            .rev()
            .map(|(name, kind)| Pending::Found(directory.join(name), kind));
        self.pending.extend(found);
        Ok(())
    }
}

/// Returns the names and types of a directory's entries that are not hidden, sorted by name.
fn entries(directory: &Path) -> io::Result<Vec<(OsString, FileType)>> {
    let mut entries = Vec::new();
    for name in names_in(directory)? {
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        match fs::symlink_metadata(directory.join(&name)) {
            Ok(metadata) => entries.push((name, metadata.file_type())),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ELOOP | libc::ENXIO)
    )
}

fn open(path: &Path, flags: i32) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new()
        .read(true)
        // A terminal that is named by mistake must not become the controlling one.
        .custom_flags(flags | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Returns the reason why files of this type are not read even if named. `None` if they are.
fn refusal(kind: FileType) -> Option<String> {
    let what = if kind.is_file() || kind.is_fifo() {
        return None;
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_dir() {
        "directory"
    } else {
        "device"
    };
    Some(format!(
        "it is a {what}; expected a file, a pipe, or `-` for standard input"
    ))
}

fn standard_input() -> Result<Input, Error> {
    let path = Path::new("standard input");
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let text = "it is a terminal; pipe a capture into it".to_owned();
        return Err(unreadable(path, text));
    }
    // Bypasses the buffer of `io::Stdin`, which is empty since nothing else reads standard input.
    let opened = || {
        let file = File::from(stdin.as_fd().try_clone_to_owned()?);
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (mut file, metadata) = opened().map_err(|error| Error::file("read", path, &error))?;
    // A shell may have read a part of the file before; how much is left is then unknown.
    let is_at_start = metadata.is_file() && file.stream_position().is_ok_and(|at| at == 0);
    let mut input = Input::new(path.to_owned(), file, &metadata)?;
    input.length = input.length.filter(|_| is_at_start);
    input.path = PathBuf::from(STANDARD_INPUT);
    Ok(input)
}

/// Form of a capture.
#[derive(Debug)]
enum Body {
    /// Capture in a file format.
    Binary(Content<File>),
    /// Text output of a program.
    Text(Box<Text<Content<File>>>),
}

/// Capture to read.
///
/// Reading returns its content, decompressed like that of a [`Content`]. An error is one of reading the file, or an
/// [`Undecodable`](rstproof_core::file::Undecodable).
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    body: Body,
    length: Option<u64>,
    /// True if the file is not a regular one.
    is_pipe: bool,
    identity: (u64, u64),
}

impl Input {
    /// Opens a named file. Fails if it is not a capture.
    fn new(path: PathBuf, file: File, metadata: &Metadata) -> Result<Self, Error> {
        let content = Content::new(file);
        match unrecognised(&content) {
            None => Ok(Self::of(path, Body::Binary(content), metadata)),
            Some(Unrecognised::Problem(Problem::NotACapture))
                if Text::<File>::may_begin(content.beginning()) =>
            {
                let is_compressed = content.compression().is_some();
                match Text::new(content) {
                    Some(text) => Ok(Self::of(path, Body::Text(Box::new(text)), metadata)),
                    None => Err(unreadable(&path, decompressed(NO_PACKET, is_compressed))),
                }
            }
            Some(why) => Err(unreadable(&path, why.reason(content.compression()))),
        }
    }

    fn of(path: PathBuf, body: Body, metadata: &Metadata) -> Self {
        // Files that the kernel generates (/proc) report a length of 0 and yet have content.
        let length = Some(metadata.len()).filter(|length| metadata.is_file() && *length > 0);
        Self {
            path,
            body,
            length,
            is_pipe: !metadata.is_file(),
            identity: (metadata.dev(), metadata.ino()),
        }
    }

    /// Returns the device and inode of the file, which identify it under any name.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Returns the path of the file; `-` for standard input.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the compression of the file. `None` if it is not compressed.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.content().compression()
    }

    /// Returns the file and its length in bytes if the file is uncompressed and can be read at any offset. The file
    /// shares its own offset with this reader.
    #[must_use]
    pub fn file(&self) -> Option<(&File, u64)> {
        let is_plain = self.compression().is_none() && self.text().is_none();
        let length = self.length.filter(|_| is_plain)?;
        Some((self.content().file()?, length))
    }

    fn content(&self) -> &Content<File> {
        match &self.body {
            Body::Binary(content) => content,
            Body::Text(text) => text.get_ref(),
        }
    }

    /// Returns what is known of the text that the capture was printed as; `None` if it is in a file format.
    #[must_use]
    pub fn text(&self) -> Option<Arc<TextNotes>> {
        match &self.body {
            Body::Binary(_) => None,
            Body::Text(text) => Some(text.notes()),
        }
    }

    /// Returns the pipe, or other file without a length, that an uncompressed capture comes through. `None` for a regular file.
    #[must_use]
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        let is_pipe = self.is_pipe && self.compression().is_none();
        is_pipe.then(|| self.content().file().map(AsFd::as_fd))?
    }

    /// Returns true if bytes of an uncompressed capture have been read from the file and not been returned.
    #[must_use]
    pub fn is_buffered(&self) -> bool {
        let is_ready = match &self.body {
            Body::Binary(_) => false,
            Body::Text(text) => text.is_ready(),
        };
        is_ready || self.content().buffered() > 0
    }

    /// Returns true if the capture can be read again: it is a file and not a pipe.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.file().is_some() || self.length.is_some() && self.path != Path::new(STANDARD_INPUT)
    }

    /// Returns the number of bytes read from the file: bytes on disk, not of the decompressed content.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.content().position()
    }

    /// Returns the file's length in bytes when it was opened. `None` if it has none, like a pipe.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Binary(content) => content.read(into),
            Body::Text(text) => text.read(into),
        }
    }
}

/// Reason why a file is not recognised as a capture.
enum Unrecognised {
    /// The first bytes could not be read or decompressed.
    Failure(io::Error),
    /// The first bytes are not those of a capture.
    Problem(Problem),
}

impl Unrecognised {
    fn reason(&self, compression: Option<Compression>) -> String {
        match (self, compression) {
            (Self::Failure(error), _) => reason(error),
            (Self::Problem(problem), _) => decompressed(problem, compression.is_some()),
        }
    }
}

/// Returns a text about the content of a file, which says so if the file is compressed.
fn decompressed(what: impl fmt::Display, is_compressed: bool) -> String {
    let prefix = if is_compressed { "decompressed, " } else { "" };
    format!("{prefix}{what}")
}

/// Reason why a text is not read.
const NO_PACKET: &str = "the file is neither pcap, pcapng nor snoop, nor text output of tcpdump or tshark (default columns)";

fn unrecognised(content: &Content<File>) -> Option<Unrecognised> {
    let problem = Format::of_beginning(content.beginning()).err()?;
    let failure = content.failure().map(Unrecognised::Failure);
    Some(failure.unwrap_or(Unrecognised::Problem(problem)))
}

fn unreadable(path: &Path, reason: String) -> Error {
    Error::File {
        action: "read",
        path: path.to_owned(),
        reason,
    }
}
