//! Child process that holds a copy of a socket: this program again, with a hidden command.
//!
//! A connection ends with its last descriptor, and the exit of a process closes its descriptors as `close` does. A
//! real process shows that. The child only waits for the signal that ends it, and dies with the thread that started
//! it, however that thread ends.

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

/// Name of the hidden command.
pub(crate) const COMMAND: &str = "hold-socket";

/// Starts a child with this socket as its standard input, and returns once the child holds no other descriptor of
/// this process. Until then it has copies of all descriptors, so no other trial may be running.
pub(super) fn spawn(program: &Path, socket: OwnedFd) -> io::Result<Child> {
    let mut child = Command::new(program)
        .arg(COMMAND)
        .arg(std::process::id().to_string())
        // Ctrl-C is for this process, which ends the child itself.
        .process_group(0)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::piped())
        // The child's messages are not needed, but a pipe, unlike Stdio::null(), works without /dev/null.
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stderr.take());
    // Close-on-exec descriptors may still be open when exec lets the parent continue, so wait for the child's byte.
    if let Err(error) = wait_for_byte(&mut child) {
        end(&mut child, false)?;
        return Err(error);
    }
    Ok(child)
}

/// Waits until the child writes a byte, for at most [`CALL_BOUND`].
fn wait_for_byte(child: &mut Child) -> io::Result<()> {
    let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    if !comes_before(&stdout, Instant::now() + CALL_BOUND)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stdout.read_exact(&mut [0])
}

/// Kills the child, or asks it to exit by itself, and waits until it is gone and its descriptors are closed, for at
/// most [`CALL_BOUND`]. Returns true if it is gone.
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

/// Runs the child: waits until it is killed or receives SIGTERM. `parent` is the process that started it. The
/// privileges are dropped already.
pub(crate) fn hold(parent: i32) -> Result<(), Error> {
    let failed = |errno: Errno| Error::system("hold a socket", errno);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed)?;
    // Blocked and waited for, so that SIGTERM makes the process exit by itself instead of killing it.
    let signals: SigSet = [Signal::SIGTERM].into_iter().collect();
    signals.thread_block().map_err(failed)?;
    let mut ready = io::stdout();
    ready
        .write_all(b"\n")
        .and_then(|()| ready.flush())
        .map_err(Error::output)?;
    // A parent that died before PR_SET_PDEATHSIG was set sends no signal.
    if getppid().as_raw() == parent {
        signals.wait().map_err(failed)?;
    }
    Ok(())
}
