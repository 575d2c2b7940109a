//! A call that blocks, on a thread of its own, while the script goes on.

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

/// A call under way.
pub(super) struct Blocked {
    role: Role,
    op: Op,
    began: Timestamp,
    thread: JoinHandle<Result<Call, Error>>,
}

/// System calls that scripts let block.
const BLOCKING: [libc::c_long; 5] = [
    libc::SYS_connect,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
];

impl Blocked {
    /// Makes the call on a thread of its own, and returns once it sleeps in the kernel, or has returned already.
    pub(super) fn begin(
        role: Role,
        op: Op,
        call: impl FnOnce() -> Result<Call, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (tell, told) = channel();
        let began = clock::now()?;
        let thread = thread::Builder::new()
            .name(format!("{role}-call"))
            .spawn(move || {
                let _ = tell.send(sys::thread_id());
                call()
            })
            .map_err(|error| Error::start("start a thread for a call that blocks", &error))?;
        let blocked = Self {
            role,
            op,
            began,
            thread,
        };
        blocked.sleeps(&told);
        Ok(blocked)
    }

    /// `/proc` shows the number of the system call that a sleeping thread is in, and "running" for one that runs.
    fn sleeps(&self, told: &Receiver<i32>) {
        let Ok(id) = told.recv_timeout(CALL_BOUND) else {
            return; // it is gone, and joining it will tell why; or it was not given a CPU
        };
        let task = format!("/proc/self/task/{id}");
        let [call, state] = ["syscall", "stat"].map(|name| format!("{task}/{name}"));
        let deadline = Instant::now() + CALL_BOUND;
        while !self.thread.is_finished() && Instant::now() < deadline {
            let sleeps = match fs::read_to_string(&call) {
                Ok(text) => is_blocking(&text),
                // Not every kernel has it, and sandboxes hide it.
                Err(_) => fs::read_to_string(&state).is_ok_and(|text| is_asleep(&text)),
            };
            if sleeps {
                return;
            }
            thread::yield_now();
        }
    }

    /// What stands for the call until it has returned.
    pub(super) fn so_far(&self) -> Call {
        Call {
            role: self.role,
            op: self.op,
            began: self.began,
            ended: self.began,
            outcome: Outcome::Unfinished,
        }
    }

    /// Waits until it returns, which its own time bound sees to.
    pub(super) fn end(self) -> Result<Call, Error> {
        let failed = || Error::lab("wait for a call that blocks", &"its thread ended early");
        self.thread.join().map_err(|_| failed())?
    }
}

/// Whether a thread is in one of the calls that scripts let block, by its `/proc/PID/syscall`.
fn is_blocking(text: &str) -> bool {
    let number = text.split_once(' ').map(|(number, _)| number);
    let number = number.and_then(|number| number.parse::<libc::c_long>().ok());
    number.is_some_and(|number| BLOCKING.contains(&number))
}

/// Whether a thread sleeps, by its `/proc/PID/stat`: the state stands after its name, which may have anything in it but ends with
/// the last parenthesis.
fn is_asleep(text: &str) -> bool {
    let after_name = text.rsplit_once(") ").map(|(_, rest)| rest);
    after_name.is_some_and(|rest| rest.starts_with('S'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_in_a_call_is_told_from_one_that_runs() {
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
