//! A child process that holds a copy of a socket: this program again, under a hidden command.
//!
//! What becomes of a connection is decided by the last descriptor, and the exit of a process closes its own as any
//! `close` does. A real process shows that; it does nothing but wait for the signal that ends it, and ends with the
//! thread that started it, whatever ends that.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getppid, pause};

use super::CALL_BOUND;
use crate::error::Error;

/// The hidden command's name.
pub const COMMAND: &str = "hold-socket";

/// Starts a child whose standard input is this socket.
pub(super) fn spawn(program: &Path, socket: OwnedFd) -> std::io::Result<Child> {
    Command::new(program)
        .arg(COMMAND)
        .arg(std::process::id().to_string())
        // Ctrl-C is for this process, which sees to it that the child ends.
        .process_group(0)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Ends it and waits until it is gone, its descriptors closed; no longer than a call may take. Whether it is.
pub(super) fn kill(child: &mut Child) -> std::io::Result<bool> {
    child.kill()?;
    let deadline = Instant::now() + CALL_BOUND;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::yield_now();
    }
    Ok(true)
}

/// What the child does: nothing, until it is killed. `parent` is who started it. It has given its privileges up.
pub fn hold(parent: i32) -> Result<(), Error> {
    let failed = |errno: Errno| Error::system("hold a socket", errno);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed)?;
    // Before that it may have been too late.
    while getppid().as_raw() == parent {
        pause();
    }
    Ok(())
}
