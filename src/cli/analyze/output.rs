//! `rstproof analyze -w`: writes the frames of connections that failed or got an RST to a file.
//!
//! The file gets its name only when it is complete. An earlier failure leaves no file behind, nor does a signal: a
//! thread waits for signals, removes the file, and then lets the signal end the program.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{process, thread};

use nix::sys::signal::{SigSet, Signal, raise};

use super::captures::{Capture, refuse_unrepeatable, reopen};
use crate::cli::AnalyzeArgs;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::file::{Directory, Input, NewFile, Owner, WriteOptions, inputs};
use crate::lab::{self, RetainedPrivileges};
use crate::report::human::grouped;
use crate::sys;
use rstproof_core::analyze::Analysis;
use rstproof_core::analyze::excerpt::{Excerpt, Failed, Target};

/// Output file that is being written.
pub(super) struct Output {
    path: PathBuf,
    /// Device and inode of the existing file that may be replaced.
    before: Option<(u64, u64)>,
    copy: Target<Held>,
    /// Number of captures copied from.
    captures: usize,
    /// Number of reset connections copied.
    connections: usize,
    /// True if all frames were copied.
    is_whole: bool,
    /// True if the file cannot be completed any more.
    has_failed: bool,
}

/// File shared with the thread that waits for signals; `None` once it is complete or removed.
type Shared = Arc<Mutex<Option<NewFile>>>;

fn lock(file: &Shared) -> MutexGuard<'_, Option<NewFile>> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns true if each packet of a text has a hex dump. Reads all of it, before anything is written.
fn is_exact(input: &Input) -> io::Result<bool> {
    let mut text = reopen(&input.path().to_owned(), input.identity())?;
    io::copy(&mut text, &mut io::sink())?;
    Ok(text.text().is_some_and(|it| it.facts().is_exact()))
}

/// Handle that removes the file when dropped, although the thread that waits for signals shares it.
struct Held(Shared);

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.0).take();
    }
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *lock(&self.0) {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is buffered here.
        Ok(())
    }
}

impl Output {
    /// Creates the file. Fails, before anything is read, if an input cannot be read twice or would be overwritten.
    /// Drops all privileges except those needed to save a file in another user's directory.
    pub(super) fn begin(path: &Path, args: &AnalyzeArgs) -> Result<Self, Error> {
        let owner = Owner::behind_sudo();
        lab::drop_privileges(RetainedPrivileges {
            saves_files: true,
            gives_files_away: owner.is_some(),
            ..RetainedPrivileges::default()
        })?;
        let before = fs::metadata(path).ok();
        let before = before.map(|it| (it.dev(), it.ino()));
        // Compared by inode, since a file may have many paths. Captures in directories are compared in `refuse`.
        for file in &args.files {
            refuse_unrepeatable(file, "--write")?;
            let metadata = fs::metadata(file).ok();
            if before.is_some() && metadata.map(|it| (it.dev(), it.ino())) == before {
                return Err(is_an_input(path));
            }
        }
        let (directory, name) = place(path, args.force)?;
        let options = WriteOptions {
            replace: args.force,
            owner,
        };
        directory.remove_abandoned(owner);
        // Before the file exists, so that no signal can leave it behind.
        let signals = block_signals()?;
        let file = NewFile::create(&directory, &name, options)?;
        let file = Held(Arc::new(Mutex::new(Some(file))));
        let removed = Arc::clone(&file.0);
        let watch = move || end_by_signal(&signals, &removed);
        if thread::Builder::new().spawn(watch).is_err() {
            // A thread limit is reached. A signal then ends the program at once: the kernel frees a file without a
            // name, and the next writer in the directory removes a file with a temporary name.
            let unblocked = signals.thread_unblock();
            unblocked.map_err(|errno| Error::system("wait for signals", errno))?;
        }
        Ok(Self {
            path: path.to_owned(),
            before,
            copy: Target::new(file),
            captures: 0,
            connections: 0,
            is_whole: args.join,
            has_failed: false,
        })
    }

    /// Returns an error if the output file would overwrite this capture.
    pub(super) fn refuse(&mut self, capture: &Capture) -> Result<(), Error> {
        if self.before.is_some_and(|before| capture.is_in(before)) {
            self.has_failed = true;
            return Err(is_an_input(&self.path));
        }
        if let Capture::Alone(input) = capture
            && input.text().is_some()
            && !is_exact(input).map_err(|error| Error::file("read", input.path(), &error))?
        {
            self.has_failed = true;
            return Err(Error::File {
                action: "copy frames of",
                path: input.path().to_owned(),
                reason: "it is text output without a hex dump of each packet, which tcpdump prints with -x; save a capture with `tcpdump -w`"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// Returns true if the file cannot be completed any more.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Reads a capture again and copies the frames of its excerpt. Fails if the capture has changed.
    pub(super) fn copy(
        &mut self,
        excerpt: &mut Excerpt,
        capture: Capture,
        analysis: &Analysis,
    ) -> Result<(), Error> {
        // Until the copy is complete: after part of one, the file is of no use.
        self.has_failed = true;
        let path = capture.path().to_owned();
        let failed = |reason: String| Error::File {
            action: "copy frames of",
            path: path.clone(),
            reason,
        };
        if let Some(refusal) = excerpt.refusal() {
            return Err(failed(refusal));
        }
        let to = &mut self.copy;
        let is_same = match capture {
            Capture::Several(parts) => copied(excerpt, || parts.open(), analysis, to),
            Capture::Joined(points) => copied(excerpt, || points.open(true), analysis, to),
            Capture::Alone(input) => {
                if let Some((file, _)) = input.file() {
                    copied(excerpt, || FromStart(file, 0), analysis, to)
                } else {
                    let mut input = again(input)?;
                    let numbered = excerpt.number(&mut input, analysis, to);
                    let mut input = again(input)?;
                    numbered.and_then(|()| excerpt.copy(&mut input, analysis, to))
                }
            }
        };
        match is_same {
            Ok(true) => {}
            Ok(false) => return Err(failed(CHANGED.to_owned())),
            Err(Failed::Read(error)) => return Err(Error::file("read", &path, &error)),
            Err(Failed::Write(error)) => return Err(Error::file("write", &self.path, &error)),
        }
        self.captures += 1;
        self.connections += excerpt.connections;
        self.has_failed = false;
        Ok(())
    }

    /// Completes the file and gives it its name, unless no capture could be read. Prints a line about it if
    /// `is_announced`.
    pub(super) fn end(self, is_announced: bool) -> Result<(), Error> {
        if self.captures == 0 {
            return Ok(());
        }
        let frames = usize::try_from(self.copy.frames).unwrap_or(usize::MAX);
        let held = (self.copy.end()).map_err(|error| Error::file("write", &self.path, &error))?;
        let mut file = lock(&held.0);
        if let Some(file) = file.take() {
            file.commit()?;
        }
        drop(file);
        if is_announced {
            let count = |number: usize, one: &str| {
                let plural = if number == 1 { "" } else { "s" };
                format!("{} {one}{plural}", grouped(number))
            };
            let (frames, connections) = (
                count(frames, "frame"),
                count(self.connections, "connection"),
            );
            let path = self.path.display();
            let text = if self.is_whole {
                format!("{path}: {frames}, with comments on {connections} that failed")
            } else {
                format!("{path}: {frames} of {connections}, with comments")
            };
            let text = rstproof_core::printable::printable(&text);
            let written = writeln!(anstream::stdout(), "{text}");
            written.map_err(Error::output)?;
        }
        Ok(())
    }
}

const CHANGED: &str = "it has changed since it was read; wait until it is no longer written to";

fn refused(path: &Path, reason: &str) -> Error {
    Error::File {
        action: "write",
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn is_an_input(path: &Path) -> Error {
    refused(path, "it is one of the input files; choose another name")
}

/// Returns the directory and the name of the output file. Fails if a file of that name exists and `replace` is false.
fn place(path: &Path, replace: bool) -> Result<(Directory, String), Error> {
    if path.as_os_str() == "-" {
        let text = "--write needs a file: standard output has the results";
        return Err(Error::Usage(text.to_owned()));
    }
    let is_named_like_a_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let name = path.file_name().filter(|_| !is_named_like_a_directory);
    let Some(name) = name.and_then(OsStr::to_str) else {
        return Err(refused(path, "it is not a file name in UTF-8"));
    };
    // Of a symbolic link the link itself is replaced, not the file that it points to.
    if let Ok(there) = fs::symlink_metadata(path) {
        if !replace {
            let text = "the file exists; choose another name, or add --force";
            return Err(refused(path, text));
        }
        if !there.is_file() && !there.is_symlink() {
            return Err(refused(
                path,
                "it is not a regular file; choose another name",
            ));
        }
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((Directory::open(parent)?, name.to_owned()))
}

/// Blocks the signals that end a program, in this thread and in threads that it starts. Signals that the parent ignores
/// stay ignored.
fn block_signals() -> Result<SigSet, Error> {
    let ending = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let signals: SigSet = ending
        .into_iter()
        .filter(|signal| !sys::is_ignored(*signal))
        .collect();
    let blocked = signals.thread_block();
    blocked.map_err(|errno| Error::system("wait for signals", errno))?;
    Ok(signals)
}

/// Waits for a signal, removes the file, and ends the program by that signal.
fn end_by_signal(signals: &SigSet, file: &Shared) {
    let Ok(signal) = signals.wait() else { return };
    // The lock is held to the end: a commit under way is completed first, and nothing is written after.
    let mut file = lock(file);
    drop(file.take());
    if signals.thread_unblock().is_ok() {
        let _ = raise(signal);
    }
    let number = u8::try_from(signal as i32).unwrap_or(u8::MAX);
    process::exit(ExitCode::Signal(number).number().into());
}

/// Numbers the frames of an excerpt and copies them, each in a pass over the capture of its own. Returns `Ok(false)` if the capture
/// has changed.
fn copied<R: Read>(
    excerpt: &mut Excerpt,
    open: impl Fn() -> R,
    analysis: &Analysis,
    to: &mut Target<Held>,
) -> Result<bool, Failed> {
    excerpt.number(&mut open(), analysis, to)?;
    excerpt.copy(&mut open(), analysis, to)
}

/// Reader of a file from its first byte, with an offset of its own: the file's offset is shared.
struct FromStart<'a>(&'a File, u64);

impl Read for FromStart<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(into, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// Reopens a capture. Fails if the path now leads to another file.
pub(super) fn again(input: Input) -> Result<Input, Error> {
    let (path, identity) = (input.path().to_owned(), input.identity());
    drop(input);
    let mut all = inputs(std::slice::from_ref(&path))?;
    match all.next() {
        Some(Ok(again)) if again.identity() == identity => Ok(again),
        Some(Err(error)) => Err(error),
        _ => Err(Error::File {
            action: "read",
            path,
            reason: CHANGED.to_owned(),
        }),
    }
}
