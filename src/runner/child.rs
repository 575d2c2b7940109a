//! A child process that holds a copy of a socket: this program again, under a hidden command.
//!
//! What becomes of a connection is decided by the last descriptor, and the exit of a process closes its own as any
//! `close` does. A real process shows that; it does nothing but wait for the signal that ends it, and ends with the
//! thread that started it, whatever ends that.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{self, SigSet, Signal};
use nix::unistd::{Pid, getppid};

use crate::error::Error;
use crate::lab::firewall::comes_before;
use rstproof_core::scenario::CALL_BOUND;

/// The hidden command's name.
pub const COMMAND: &str = "hold-socket";

/// Starts a child whose standard input is this socket, and returns once it holds that and nothing else of this process.
/// While it comes into being it has a copy of every descriptor here, those of other trials included: none may be under
/// way.
pub(super) fn spawn(program: &Path, socket: OwnedFd) -> io::Result<Child> {
    let mut child = Command::new(program)
        .arg(COMMAND)
        .arg(std::process::id().to_string())
        // Ctrl-C is for this process, which sees to it that the child ends.
        .process_group(0)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::piped())
        // Nobody reads what it may have to say; /dev/null need not be there for that.
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stderr.take());
    // Descriptors that are closed on exec still are open when exec has let the parent go on.
    let mut ready = [0];
    let told = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))
        .and_then(|mut told| {
            if !comes_before(&told, Instant::now() + CALL_BOUND)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            told.read_exact(&mut ready)
        });
    if let Err(error) = told {
        end(&mut child, false)?;
        return Err(error);
    }
    Ok(child)
}

/// Ends it, or lets it end itself, and waits until it is gone, its descriptors closed; no longer than a call may take.
/// Whether it is.
pub(super) fn end(child: &mut Child, itself: bool) -> io::Result<bool> {
    if itself {
        let process = i32::try_from(child.id()).map_err(io::Error::other)?;
        signal::kill(Pid::from_raw(process), Signal::SIGTERM)?;
    } else {
        child.kill()?;
    }
    let deadline = Instant::now() + CALL_BOUND;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::yield_now();
    }
    Ok(true)
}

/// What the child does: nothing, until it is killed, or told to end by SIGTERM. `parent` is who started it. It has given
/// its privileges up.
pub fn hold(parent: i32) -> Result<(), Error> {
    let failed = |errno: Errno| Error::system("hold a socket", errno);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed)?;
    let told: SigSet = [Signal::SIGTERM].into_iter().collect();
    told.thread_block().map_err(failed)?;
    let mut ready = io::stdout();
    ready
        .write_all(b"\n")
        .and_then(|()| ready.flush())
        .map_err(Error::output)?;
    // Before that it may have been too late.
    if getppid().as_raw() == parent {
        told.wait().map_err(failed)?;
    }
    Ok(())
}
