//! `rstproof analyze -w`: the file that frames of resets are written to.
//!
//! It is there when all is in it. What fails before leaves nothing behind, and so does a signal: a thread waits for one, takes
//! the file away, and lets the signal do its work.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt as _, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{process, thread};

use nix::sys::signal::{SigSet, Signal, raise};

use crate::cli::{AnalyzeArgs, AnalyzeFormat};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::file::{Directory, Input, Manner, NewFile, Owner, inputs};
use crate::lab::{self, Kept};
use crate::report::human::grouped;
use crate::sys;
use rstproof_core::analyze::batch::Wanted;
use rstproof_core::analyze::excerpt::{Excerpt, Failed, Target};

/// The file in the making.
pub(super) struct Output {
    path: PathBuf,
    /// The file that it may take the place of.
    before: Option<(u64, u64)>,
    copy: Target<Held>,
    /// Captures that were read.
    captures: usize,
    connections: usize,
    has_failed: bool,
}

/// The file, until it is complete or a signal comes.
type Shared = Arc<Mutex<Option<NewFile>>>;

fn lock(file: &Shared) -> MutexGuard<'_, Option<NewFile>> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What takes it away when it is dropped: the thread that waits for a signal has it, too.
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
        Ok(())
    }
}

impl Output {
    /// Begins the file, and refuses whatever cannot be meant before anything is read. Keeps no more rights than it takes to
    /// save a file in somebody's directory.
    pub(super) fn begin(path: &Path, args: &AnalyzeArgs) -> Result<Self, Error> {
        let owner = Owner::behind_sudo();
        lab::drop_privileges(Kept {
            saves_files: true,
            gives_files_away: owner.is_some(),
            ..Kept::default()
        })?;
        let before = fs::metadata(path).ok();
        let before = before.map(|it| (it.dev(), it.ino()));
        for file in &args.files {
            refuse_unrepeatable(file)?;
            let metadata = fs::metadata(file).ok();
            if before.is_some() && metadata.map(|it| (it.dev(), it.ino())) == before {
                return Err(is_an_input(path));
            }
        }
        let (directory, name) = place(path, args.force)?;
        let manner = Manner {
            replace: args.force,
            owner,
        };
        directory.remove_abandoned(owner);
        let signals = block_signals()?;
        let file = NewFile::create(&directory, &name, manner)?;
        let file = Held(Arc::new(Mutex::new(Some(file))));
        let removed = Arc::clone(&file.0);
        let watch = move || end_by_signal(&signals, &removed);
        if thread::Builder::new().spawn(watch).is_err() {
            // A limit is reached. A signal then does its work at once: a file without a name goes with the program, and one
            // that has a temporary name is removed by who writes there next.
            let unblocked = signals.thread_unblock();
            unblocked.map_err(|errno| Error::system("wait for signals", errno))?;
        }
        Ok(Self {
            path: path.to_owned(),
            before,
            copy: Target::new(file),
            captures: 0,
            connections: 0,
            has_failed: false,
        })
    }

    /// Refuses a capture that would be overwritten.
    pub(super) fn refuse(&mut self, input: &Input) -> Result<(), Error> {
        if self.before == Some(input.identity()) {
            self.has_failed = true;
            return Err(is_an_input(&self.path));
        }
        Ok(())
    }

    /// Whether no file can come of it any more.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Reads a capture once more, and copies what is wanted of it.
    pub(super) fn copy(
        &mut self,
        excerpt: &Excerpt,
        input: Input,
        wanted: &Wanted,
    ) -> Result<(), Error> {
        self.has_failed = true;
        let path = input.path().to_owned();
        let failed = |reason: String| Error::File {
            action: "copy frames of",
            path: path.clone(),
            reason,
        };
        if let Some(refusal) = excerpt.refusal() {
            return Err(failed(refusal));
        }
        let is_same = match input.file() {
            Some((file, _)) => excerpt.copy(&mut FromStart(file, 0), wanted, &mut self.copy),
            None => excerpt.copy(&mut again(input)?, wanted, &mut self.copy),
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

    /// Gives the file its name, unless no capture could be read.
    pub(super) fn end(self, args: &AnalyzeArgs) -> Result<(), Error> {
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
        if args.format == AnalyzeFormat::Human && !args.quiet {
            let count = |number: usize, one: &str| {
                let plural = if number == 1 { "" } else { "s" };
                format!("{} {one}{plural}", grouped(number))
            };
            let (frames, connections) = (
                count(frames, "frame"),
                count(self.connections, "connection"),
            );
            let path = self.path.display();
            let text = format!("{path}: {frames} of {connections}, with comments");
            let text = rstproof_core::printable::printable(&text);
            let written = writeln!(anstream::stdout(), "{text}");
            written.map_err(Error::output)?;
        }
        Ok(())
    }
}

const CHANGED: &str = "it has changed since it was read; wait until nobody writes to it";

fn refused(path: &Path, reason: &str) -> Error {
    Error::File {
        action: "write",
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn is_an_input(path: &Path) -> Error {
    refused(
        path,
        "it is one of the captures that are read; choose another name",
    )
}

/// Refuses what can be read but once.
fn refuse_unrepeatable(file: &Path) -> Result<(), Error> {
    let what = if file.as_os_str() == "-" {
        "standard input"
    } else if fs::metadata(file).is_ok_and(|it| it.file_type().is_fifo()) {
        "a pipe"
    } else {
        return Ok(());
    };
    Err(Error::Usage(format!(
        "{what} can be read but once, and --write reads twice; save the capture in a file first"
    )))
}

/// The directory that the file goes to, and its name there.
fn place(path: &Path, replace: bool) -> Result<(Directory, String), Error> {
    if path.as_os_str() == "-" {
        let text = "--write needs a file: standard output has what was found";
        return Err(Error::Usage(text.to_owned()));
    }
    let is_named_like_a_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let name = path.file_name().filter(|_| !is_named_like_a_directory);
    let Some(name) = name.and_then(OsStr::to_str) else {
        return Err(refused(path, "that is no name of a file in UTF-8"));
    };
    if let Ok(there) = fs::symlink_metadata(path) {
        if !replace {
            let text = "there is a file of that name; choose another one, or add --force";
            return Err(refused(path, text));
        }
        if !there.is_file() && !there.is_symlink() {
            return Err(refused(
                path,
                "what is there is no file; choose another name",
            ));
        }
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((Directory::open(parent)?, name.to_owned()))
}

/// Keeps the signals that end a program from doing so, in this thread and those that it starts.
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

/// Waits for a signal, and ends the program by it when nothing is left of the file.
fn end_by_signal(signals: &SigSet, file: &Shared) {
    let Ok(signal) = signals.wait() else { return };
    // Held to the end: what is being named is named, and nothing more is written.
    let mut file = lock(file);
    drop(file.take());
    if signals.thread_unblock().is_ok() {
        let _ = raise(signal);
    }
    let number = u8::try_from(signal as i32).unwrap_or(u8::MAX);
    process::exit(ExitCode::Signal(number).number().into());
}

/// A file from its first byte, wherever others read it.
struct FromStart<'a>(&'a File, u64);

impl Read for FromStart<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(into, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// The same capture, opened once more.
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
