//! Captures that are read while they are made, as from `tcpdump -U -w - | rstproof analyze -`.
//!
//! A pipe that is empty has to be analyzed, too: silence is what shows that a connection has timed out. So a read waits for a
//! fraction of a second only. Ctrl-C reaches both programs of the pipeline: the other one writes what it still has, and it is read
//! to its end before the summary is printed.

use std::io::{self, IsTerminal, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{SFlag, fstat};

use crate::cli::complain;
use crate::error::Error;
use crate::file::Input;
use crate::sys;
use rstproof_core::analyze::{LiveRead, LiveSource};

/// Maximum time that a read waits for the first byte.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// Time after which the writer of an empty pipe is supposed to keep back what it has captured.
const EMPTY_TIME: Duration = Duration::from_secs(5);

/// Maximum time for which the pipe is read after the first SIGINT.
const READ_ON_TIME: Duration = Duration::from_secs(2);

/// Minimum room for another read. [`Input`] reads into a buffer of its own if there is less, where `poll` cannot see the bytes.
const MIN_ROOM: usize = 64 << 10;

/// SIGINT, for as long as a capture is read live.
pub(super) struct Interrupts {
    /// Readable while a SIGINT waits to be taken.
    signals: SignalFd,
    /// Time of the first SIGINT.
    first: Mutex<Option<Instant>>,
    /// True if reading ended although more might have come.
    was_cut_off: AtomicBool,
}

impl Interrupts {
    /// Blocks SIGINT. The calling thread must be the only one: threads that it starts later inherit the blocked signal. Returns
    /// `None` if SIGINT is ignored, and stays so.
    pub(super) fn begin() -> Result<Option<Self>, Error> {
        if sys::is_ignored(Signal::SIGINT) {
            return Ok(None);
        }
        let failed = |errno| Error::system("wait for signals", errno);
        let signals = sigint();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let interrupts = Self {
            signals: SignalFd::with_flags(&signals, flags).map_err(failed)?,
            first: Mutex::new(None),
            was_cut_off: AtomicBool::new(false),
        };
        // After the descriptor exists: what came before has its default effect.
        signals.thread_block().map_err(failed)?;
        Ok(Some(interrupts))
    }

    /// Returns true if there was a SIGINT.
    pub(super) fn has_come(&self) -> bool {
        self.first().is_some()
    }

    /// Returns true if reading ended although more might have come, so that the last packet may be incomplete.
    pub(super) fn has_cut_off(&self) -> bool {
        self.was_cut_off.load(Ordering::Relaxed)
    }

    /// Returns the time of the first SIGINT. Takes it, if it waits: the second one then ends the program at once.
    fn first(&self) -> Option<Instant> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() && matches!(self.signals.read_signal(), Ok(Some(_))) {
            *first = Some(Instant::now());
            // One thread without the block is enough for the signal to have its default effect.
            let _ = sigint().thread_unblock();
        }
        *first
    }
}

fn sigint() -> SigSet {
    [Signal::SIGINT].into_iter().collect()
}

/// Returns true if the capture may be under way: it comes through a pipe, not compressed.
pub(super) fn is_live(input: &Input) -> bool {
    input.pipe().is_some()
}

/// Returns true if standard input is neither a regular file nor a terminal.
pub(super) fn is_piped() -> bool {
    let stdin = io::stdin();
    let is_regular =
        fstat(&stdin).is_ok_and(|it| it.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits());
    !is_regular && !stdin.is_terminal()
}

/// Waits for the first bytes from standard input, or its end, or SIGINT. If it stays empty for 5 seconds, says so.
pub(super) fn await_first_bytes(interrupts: Option<&Interrupts>) {
    let stdin = io::stdin();
    let is_readable = |wake, most| is_readable(stdin.as_fd(), wake, most);
    let wake = || interrupts.map(|it| it.signals.as_fd());
    let is_interrupted = || interrupts.is_some_and(Interrupts::has_come);
    if is_readable(wake(), EMPTY_TIME) {
        return;
    }
    if !is_interrupted() {
        complain(NOTHING_CAME);
    }
    while !is_interrupted() {
        if is_readable(wake(), EMPTY_TIME) {
            return;
        }
    }
    if let Some(interrupts) = interrupts.filter(|_| !is_readable(None, READ_ON_TIME)) {
        interrupts.was_cut_off.store(true, Ordering::Relaxed);
    }
}

/// Line for a pipe that stays empty.
const NOTHING_CAME: &str = "nothing has come from standard input for 5 s; if tcpdump writes to it, add -U, so that it writes \
                            each packet at once";

/// Capture under way.
pub(super) struct LiveInput<'a> {
    input: &'a mut Input,
    interrupts: Option<&'a Interrupts>,
    began: Instant,
    /// Time at which the last bytes arrived.
    arrived: Instant,
}

impl<'a> LiveInput<'a> {
    /// Begins to read a capture that comes through a pipe.
    pub(super) fn begin(input: &'a mut Input, interrupts: Option<&'a Interrupts>) -> Self {
        let now = Instant::now();
        Self {
            input,
            interrupts,
            began: now,
            arrived: now,
        }
    }

    /// Waits until there is something to read, for at most this time. Returns true if there is.
    fn waits(&self, most: Duration) -> bool {
        let wake = self.interrupts.filter(|it| it.first().is_none());
        let wake = wake.map(|it| it.signals.as_fd());
        let pipe = self.input.pipe();
        pipe.is_none_or(|pipe| is_readable(pipe, wake, most))
    }

    /// Returns true if the time to read on after a SIGINT is over.
    fn is_over(&self) -> bool {
        let first = self.interrupts.and_then(Interrupts::first);
        first.is_some_and(|first| first.elapsed() >= READ_ON_TIME)
    }

    fn part(&self, length: usize) -> LiveRead {
        LiveRead::Part {
            length,
            elapsed: self.began.elapsed(),
            silent: self.arrived.elapsed(),
        }
    }
}

impl LiveSource for LiveInput<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<LiveRead> {
        if self.is_over() {
            if let Some(interrupts) = self.interrupts {
                interrupts.was_cut_off.store(true, Ordering::Relaxed);
            }
            return Ok(LiveRead::End);
        }
        if !self.input.is_buffered() && !self.waits(MAX_WAIT) {
            return Ok(self.part(0));
        }
        // A blocking read: `poll` has seen bytes, or the end.
        let mut length = self.input.read(into)?;
        if length == 0 {
            return Ok(LiveRead::End);
        }
        // What is already there is read at once: a capture that is only copied comes in many small pieces.
        while into.len() - length >= MIN_ROOM && self.waits(Duration::ZERO) {
            match self.input.read(&mut into[length..]) {
                // The next read returns the same.
                Ok(0) | Err(_) => break,
                Ok(more) => length += more,
            }
        }
        self.arrived = Instant::now();
        Ok(self.part(length))
    }
}

/// Waits until a descriptor is readable or its other end is closed, for at most this time, or until another one is readable.
/// Returns true if a read from the first one would not block.
fn is_readable(from: BorrowedFd<'_>, wake: Option<BorrowedFd<'_>>, most: Duration) -> bool {
    let ended = Instant::now() + most;
    loop {
        let left = ended.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let fds = [Some(from), wake].into_iter().flatten();
        let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Ok(0) => return false,
            Ok(_) => return fds[0].any().unwrap_or(true),
            // A stop and continue. The read reports any other error.
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}
