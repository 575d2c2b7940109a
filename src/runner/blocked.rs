//! A call that blocks, on a thread of its own, while the script goes on.

use std::fs;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::error::Error;
use crate::scenario::CALL_BOUND;
use crate::sys;
use crate::time::Timestamp;
use crate::transcript::{Call, Op, Outcome, Role};

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
        let began = Timestamp::now()?;
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
        let Ok(id) = told.recv() else {
            return; // it is gone, and joining it will tell why
        };
        let path = format!("/proc/self/task/{id}/syscall");
        let deadline = Instant::now() + CALL_BOUND;
        while !self.thread.is_finished() && Instant::now() < deadline {
            let number = fs::read_to_string(&path).ok().and_then(|text| {
                let (number, _) = text.split_once(' ')?;
                number.parse::<libc::c_long>().ok()
            });
            if number.is_some_and(|number| BLOCKING.contains(&number)) {
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
