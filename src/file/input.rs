//! Where captures are read from: files, directories of them, standard input, compressed or not.
//!
//! A file is what it begins like; its name tells nothing. What somebody has named must be a capture. What merely lies in
//! a directory is passed over if it is none, and never waited for: a pipe there may have nobody at its other end.

use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::names_in;
use crate::error::{Error, reason};
use rstproof_core::file::{Compression, Content, Format, Problem};

/// What stands for standard input where files are named.
const STANDARD_INPUT: &str = "-";

/// The captures that these arguments stand for, in their order: a file, `-` for standard input, or a directory with all
/// captures below it in the order of their names, but for links and for what is hidden.
///
/// Fails if standard input is named twice. What is wrong with a file comes in its place.
pub fn inputs(paths: &[PathBuf]) -> Result<Inputs, Error> {
    let is_standard_input = |path: &&PathBuf| path.as_os_str() == STANDARD_INPUT;
    if paths.iter().filter(is_standard_input).count() > 1 {
        let text = "standard input can be read but once; name `-` once";
        return Err(Error::Usage(text.to_owned()));
    }
    let pending = paths.iter().rev().cloned().map(Pending::Named).collect();
    Ok(Inputs { pending, given: 0 })
}

/// Captures, each opened when its turn comes.
#[derive(Debug)]
pub struct Inputs {
    /// What is to be done, the next thing last.
    pending: Vec<Pending>,
    /// How many captures and errors there were.
    given: u64,
}

#[derive(Debug)]
enum Pending {
    /// Somebody named it.
    Named(PathBuf),
    /// It lies in a directory.
    Found(PathBuf, FileType),
    /// All of a directory that was named has been looked at. So many were given before.
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
                        reason: "no file below it begins like one; links and hidden files are not looked at, name them"
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
        // Without a writer a pipe has to be waited for, or it would seem to be at its end.
        let flags = if kind.is_fifo() { 0 } else { libc::O_NONBLOCK };
        let (file, metadata) = open(&path, flags).map_err(failed)?;
        if let Some(refusal) = refusal(metadata.file_type()) {
            return Err(unreadable(&path, refusal)); // another one has taken its place
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
            // It is gone, or a link or a socket has taken its place.
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(Error::file("read", &path, &error)),
        };
        if !metadata.is_file() {
            return Ok(None);
        }
        let content = Content::new(file);
        match unrecognised(&content) {
            Some(Unrecognised::Problem(Problem::Empty | Problem::NotACapture)) => Ok(None),
            // It may well hold one.
            Some(why) => Err(unreadable(&path, why.reason(content.compression()))),
            None => Ok(Some(Input::of(path, content, &metadata))),
        }
    }

    /// Puts what is in a directory next.
    fn walk(&mut self, directory: &Path) -> Result<(), Error> {
        let entries = entries(directory).map_err(|error| Error::file("read", directory, &error))?;
        let found = entries
            .into_iter()
            .rev()
            .map(|(name, kind)| Pending::Found(directory.join(name), kind));
        self.pending.extend(found);
        Ok(())
    }
}

/// Names and kinds of what is in a directory and not hidden, by name.
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
        .custom_flags(flags | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Why what is of this kind is not read, be it named.
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
        "it is a {what}; name a file, a pipe or, for standard input, `-`"
    ))
}

fn standard_input() -> Result<Input, Error> {
    let path = Path::new("standard input");
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let text = "it is a terminal; pipe a capture into it".to_owned();
        return Err(unreadable(path, text));
    }
    // Nothing else here reads it, so that nothing is left in the library's buffer.
    let opened = || {
        let file = File::from(stdin.as_fd().try_clone_to_owned()?);
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (mut file, metadata) = opened().map_err(|error| Error::file("read", path, &error))?;
    let is_at_start = metadata.is_file() && file.stream_position().is_ok_and(|at| at == 0);
    let mut input = Input::new(path.to_owned(), file, &metadata)?;
    input.length = input.length.filter(|_| is_at_start);
    input.path = PathBuf::from(STANDARD_INPUT);
    Ok(input)
}

/// A capture to be read.
///
/// Reading gives its content, decompressed as that of a [`Content`]. An error is one of reading the file, or an
/// [`Undecodable`](rstproof_core::file::Undecodable).
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    content: Content<File>,
    length: Option<u64>,
    identity: (u64, u64),
}

impl Input {
    /// A file that was named: it must be a capture.
    fn new(path: PathBuf, file: File, metadata: &Metadata) -> Result<Self, Error> {
        let content = Content::new(file);
        match unrecognised(&content) {
            None => Ok(Self::of(path, content, metadata)),
            Some(why) => Err(unreadable(&path, why.reason(content.compression()))),
        }
    }

    fn of(path: PathBuf, content: Content<File>, metadata: &Metadata) -> Self {
        // Files that the kernel makes up have no length, and yet a content.
        let length = Some(metadata.len()).filter(|length| metadata.is_file() && *length > 0);
        Self {
            path,
            content,
            length,
            identity: (metadata.dev(), metadata.ino()),
        }
    }

    /// Device and inode of the file, by which it is known under any name.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Where it is; `-` for standard input.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is compressed with.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.content.compression()
    }

    /// The file and its length in bytes, if its bytes are the content and can be read at any place. Its own place is that
    /// of this reader.
    #[must_use]
    pub fn file(&self) -> Option<(&File, u64)> {
        let length = self.length.filter(|_| self.compression().is_none())?;
        Some((self.content.file()?, length))
    }

    /// Whether it can be read once more: it is in a file, and does not come through a pipe.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.file().is_some() || self.length.is_some() && self.path != Path::new(STANDARD_INPUT)
    }

    /// How many bytes of the file have been read: on the disk, not of the content.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.content.position()
    }

    /// How many bytes the file had when it was opened, if it is one that has a length.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.content.read(into)
    }
}

/// Why something is not taken for a capture.
enum Unrecognised {
    /// Its beginning cannot be had.
    Failure(io::Error),
    /// It begins like something else.
    Problem(Problem),
}

impl Unrecognised {
    fn reason(&self, compression: Option<Compression>) -> String {
        match (self, compression) {
            (Self::Failure(error), _) => reason(error),
            (Self::Problem(problem), None) => problem.to_string(),
            (Self::Problem(problem), Some(_)) => format!("decompressed, {problem}"),
        }
    }
}

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
