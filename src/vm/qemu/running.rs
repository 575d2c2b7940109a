//! Running guest: receives its output until its result is complete.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use super::console::OutputTail;
use super::{
    Accelerator, Guest, GuestProgress, MAX_CONSOLE_BYTES, OUTPUT_TIMEOUT, READ_SIZE,
    SHUTDOWN_TIMEOUT,
};
use crate::vm::bundle::{self, Files, MAX_COMPRESSED_BYTES, Received};
use rstproof_core::printable::printable;

/// Runs `work` in a thread, so that other guests are served meanwhile; in the current thread if none can be started.
/// `None` if the thread ended without a result.
async fn in_a_thread<T: Send + 'static>(work: impl Fn() -> T + Send + Sync + 'static) -> Option<T> {
    let work = Arc::new(work);
    let (sender, receiver) = oneshot::channel();
    let there = Arc::clone(&work);
    match thread::Builder::new().spawn(move || drop(sender.send(there()))) {
        Ok(_) => receiver.await.ok(),
        Err(_) => Some(work()),
    }
}

/// Running emulator.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) console: OutputTail<tokio::process::ChildStdout>,
    pub(super) stderr: OutputTail<tokio::process::ChildStderr>,
    pub(super) line: pipe::Receiver,
    /// Bytes received over the line.
    pub(super) received: Vec<u8>,
}

impl Running {
    /// Receives the guest's output until its bundle is complete. Fails with the reason, and with true if this program
    /// never ran in the guest.
    pub(super) async fn receive(
        &mut self,
        guest: &Guest,
        accelerator: Accelerator,
        mut progress: impl FnMut(GuestProgress),
    ) -> Result<Files, (String, bool)> {
        progress(GuestProgress::Booting);
        let mut deadline = Instant::now() + accelerator.boot_timeout();
        let (mut is_up, mut is_open) = (false, true);
        // Number of received bytes from which parsing again can change the result.
        let mut enough = 1;
        let max = usize::try_from(MAX_COMPRESSED_BYTES).unwrap_or(usize::MAX);
        loop {
            self.received.reserve(READ_SIZE);
            let mut chunk = (&mut self.line).take(READ_SIZE as u64);
            tokio::select! {
                // Each branch is cancel safe: no byte is lost if another branch completes first.
                () = self.console.more(), if self.console.is_open => {}
                () = self.stderr.more(), if self.stderr.is_open => {}
                length = chunk.read_buf(&mut self.received) => is_open = length.is_ok_and(|it| it > 0),
                () = sleep_until(deadline.into()) => {
                    return Err((too_late(guest, accelerator, is_up), !is_up));
                }
            }
            let length = self.received.len();
            if length >= enough {
                enough = length + 1;
                match bundle::parse(&self.received) {
                    Received::Up if !is_up => {
                        is_up = true;
                        deadline = Instant::now() + guest.bound + SHUTDOWN_TIMEOUT;
                        progress(GuestProgress::Running);
                    }
                    // Bounded, since everything before a bundle is parsed again after each read.
                    Received::Nothing | Received::Up if length > MAX_CONSOLE_BYTES => {
                        return Err((
                            "unexpected output on its second serial line".to_owned(),
                            false,
                        ));
                    }
                    Received::Nothing | Received::Up => {}
                    Received::Sending(missing) if length + missing > max + MAX_CONSOLE_BYTES => {
                        return Err((DAMAGED.to_owned(), false));
                    }
                    Received::Sending(missing) => {
                        progress(GuestProgress::Sending);
                        enough = length.saturating_add(missing);
                    }
                    Received::Failed(what) => {
                        return Err((format!("rstproof cannot {} in it", printable(&what)), false));
                    }
                    Received::Complete(range, hash) => {
                        let received = std::mem::take(&mut self.received);
                        let unpack = move || Files::unpack(&received[range.clone()], &hash);
                        let files = in_a_thread(unpack).await.flatten();
                        return files.ok_or_else(|| (DAMAGED.to_owned(), false));
                    }
                    Received::Damaged => return Err((DAMAGED.to_owned(), false)),
                }
            }
            if !is_open {
                let ended = if is_up {
                    "it ended before its result was complete"
                } else {
                    "it ended before rstproof started in it"
                };
                let _ = timeout(OUTPUT_TIMEOUT, self.stderr.rest()).await;
                return Err((self.with_emulator_error(ended), !is_up));
            }
        }
    }

    /// Appends the first error message of the emulator itself.
    fn with_emulator_error(&self, what: &str) -> String {
        let stderr = Vec::from(self.stderr.bytes.clone());
        let stderr = String::from_utf8_lossy(&stderr);
        // With `-cpu max`, QEMU warns of every feature that this processor does not have.
        let mut lines = stderr.lines().filter(|line| !line.contains("warning: "));
        match lines.next() {
            Some(line) => format!("{what} ({})", printable(line.trim())),
            None => what.to_owned(),
        }
    }
}

fn too_late(guest: &Guest, accelerator: Accelerator, is_up: bool) -> String {
    if is_up {
        let bound = guest.bound + SHUTDOWN_TIMEOUT;
        return format!("it sent no result within {} s (--timeout)", bound.as_secs());
    }
    format!(
        "rstproof did not start in it within {} s; it may hang, or have no serial console (CONFIG_SERIAL_8250_CONSOLE)",
        accelerator.boot_timeout().as_secs()
    )
}

const DAMAGED: &str = "its result is damaged or too large";
