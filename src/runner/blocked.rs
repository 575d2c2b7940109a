//! Blocking call on a thread of its own, while the script goes on.

use std::fs;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::clock;
use crate::error::Error;
use crate::sys;
use rstproof_core::scenario::CALL_BOUND;
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Call, Op, Outcome, Role};

/// Call in progress.
pub(super) struct Blocked {
    role: Role,
    op: Op,
    began: Timestamp,
    thread: JoinHandle<Result<Call, Error>>,
}

/// Numbers of the system calls that scripts let block.
const BLOCKING: [libc::c_long; 5] = [
    libc::SYS_connect,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
];

impl Blocked {
    /// Makes the call on a new thread, and returns once the call sleeps in the kernel or has returned.
    pub(super) fn begin(
        role: Role,
        op: Op,
        call: impl FnOnce() -> Result<Call, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (sender, thread_ids) = channel();
        let began = clock::now()?;
        let thread = thread::Builder::new()
            .name(format!("{role}-call"))
            .spawn(move || {
                let _ = sender.send(sys::thread_id());
                call()
            })
            .map_err(|error| Error::start("start a thread for a call that blocks", &error))?;
        let blocked = Self {
            role,
            op,
            began,
            thread,
        };
        blocked.sleeps(&thread_ids);
        Ok(blocked)
    }

    /// Waits until the thread sleeps in a blocking call: `/proc` shows the number of its system call, and "running"
    /// for a thread that runs.
    fn sleeps(&self, thread_ids: &Receiver<i32>) {
        let Ok(id) = thread_ids.recv_timeout(CALL_BOUND) else {
            return; // the thread ended, and joining it returns the error; or it was not given a CPU
        };
        let task = format!("/proc/self/task/{id}");
        let [call, state] = ["syscall", "stat"].map(|name| format!("{task}/{name}"));
        let deadline = Instant::now() + CALL_BOUND;
        while !self.thread.is_finished() && Instant::now() < deadline {
            let sleeps = match fs::read_to_string(&call) {
                Ok(text) => is_blocking(&text),
                // Some kernels lack the file, and sandboxes hide it.
                Err(_) => fs::read_to_string(&state).is_ok_and(|text| is_asleep(&text)),
            };
            if sleeps {
                return;
            }
            thread::yield_now();
        }
    }

    /// Returns the transcript's placeholder for the call until it has returned.
    pub(super) fn so_far(&self) -> Call {
        Call {
            role: self.role,
            op: self.op,
            began: self.began,
            ended: self.began,
            outcome: Outcome::Unfinished,
        }
    }

    /// Waits until the call returns, at the latest at its own time bound.
    pub(super) fn end(self) -> Result<Call, Error> {
        let failed = || Error::lab("wait for a call that blocks", &"its thread ended early");
        self.thread.join().map_err(|_| failed())?
    }
}

/// Returns true if a thread is in one of the [`BLOCKING`] calls, from its `/proc/PID/syscall`.
fn is_blocking(text: &str) -> bool {
    let number = text.split_once(' ').map(|(number, _)| number);
    let number = number.and_then(|number| number.parse::<libc::c_long>().ok());
    number.is_some_and(|number| BLOCKING.contains(&number))
}

/// Returns true if a thread sleeps, from its `/proc/PID/stat`: the state follows the name, which may contain anything
/// and ends at the last parenthesis.
fn is_asleep(text: &str) -> bool {
    let after_name = text.rsplit_once(") ").map(|(_, rest)| rest);
    after_name.is_some_and(|rest| rest.starts_with('S'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_in_a_call_is_distinguished_from_one_that_runs() {
        let read = format!(
            "{} 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffd 0x7f01\n",
            libc::SYS_read
        );
        let futex = format!("{} 0x3 0x7f 0x1\n", libc::SYS_futex);
        assert!(is_blocking(&read));
        assert!(!is_blocking(&futex) && !is_blocking("running\n"));
        assert!(is_asleep("77 (a) R (b) S 1 77"));
        assert!(!is_asleep("77 (S) R 1 77") && !is_asleep(""));
    }
}
