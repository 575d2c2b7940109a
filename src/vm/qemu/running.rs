//! Running guest: receives its output until its result is complete.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use super::console::Stream;
use super::{Accelerator, CHUNK, FAREWELL, Guest, LAST_WORDS, LONGEST_CONSOLE, Progress};
use crate::vm::parcel::{self, Files, LONGEST_PACKED, Received};
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
    pub(super) console: Stream<tokio::process::ChildStdout>,
    pub(super) own_words: Stream<tokio::process::ChildStderr>,
    pub(super) line: pipe::Receiver,
    /// Bytes received over the line.
    pub(super) came: Vec<u8>,
}

impl Running {
    /// Receives the guest's output until its parcel is complete. Fails with the reason, and with true if this program
    /// never ran in the guest.
    pub(super) async fn attend(
        &mut self,
        guest: &Guest,
        accelerator: Accelerator,
        mut progress: impl FnMut(Progress),
    ) -> Result<Files, (String, bool)> {
        progress(Progress::Booting);
        let mut deadline = Instant::now() + accelerator.boot_bound();
        let (mut is_up, mut is_open) = (false, true);
        // Number of received bytes from which parsing again can change the result.
        let mut enough = 1;
        let most = usize::try_from(LONGEST_PACKED).unwrap_or(usize::MAX);
        loop {
            self.came.reserve(CHUNK);
            let mut chunk = (&mut self.line).take(CHUNK as u64);
            tokio::select! {
                // Each branch is cancel safe: no byte is lost if another branch completes first.
                () = self.console.more(), if self.console.is_open => {}
                () = self.own_words.more(), if self.own_words.is_open => {}
                length = chunk.read_buf(&mut self.came) => is_open = length.is_ok_and(|it| it > 0),
                () = sleep_until(deadline.into()) => {
                    return Err((too_late(guest, accelerator, is_up), !is_up));
                }
            }
            let came = self.came.len();
            if came >= enough {
                enough = came + 1;
                match parcel::look(&self.came) {
                    Received::Up if !is_up => {
                        is_up = true;
                        deadline = Instant::now() + guest.bound + FAREWELL;
                        progress(Progress::Running);
                    }
                    // Bounded, since everything before a parcel is parsed again after each read.
                    Received::Nothing | Received::Up if came > LONGEST_CONSOLE => {
                        return Err((
                            "its second serial line says what this program does not".to_owned(),
                            false,
                        ));
                    }
                    Received::Nothing | Received::Up => {}
                    Received::Sending(missing) if came + missing > most + LONGEST_CONSOLE => {
                        return Err((DAMAGED.to_owned(), false));
                    }
                    Received::Sending(missing) => {
                        progress(Progress::Sending);
                        enough = came.saturating_add(missing);
                    }
                    Received::GaveUp(what) => {
                        return Err((
                            format!("this program cannot {} there", printable(&what)),
                            false,
                        ));
                    }
                    Received::Whole(place, hash) => {
                        let came = std::mem::take(&mut self.came);
                        let unpack = move || Files::unpack(&came[place.clone()], &hash);
                        let files = in_a_thread(unpack).await.flatten();
                        return files.ok_or_else(|| (DAMAGED.to_owned(), false));
                    }
                    Received::Damaged => return Err((DAMAGED.to_owned(), false)),
                }
            }
            if !is_open {
                let ended = if is_up {
                    "it ended before its result was out"
                } else {
                    "it ended before this program ran there"
                };
                let _ = timeout(LAST_WORDS, self.own_words.rest()).await;
                return Err((self.with_own_words(ended), !is_up));
            }
        }
    }

    /// Appends the first error message of the emulator itself.
    fn with_own_words(&self, what: &str) -> String {
        let stderr = Vec::from(self.own_words.bytes.clone());
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
        let bound = guest.bound + FAREWELL;
        return format!("it sent no result within {} s (--timeout)", bound.as_secs());
    }
    format!(
        "this program did not come to run on it within {} s; it may hang, or have no serial console \
         (CONFIG_SERIAL_8250_CONSOLE)",
        accelerator.boot_bound().as_secs()
    )
}

const DAMAGED: &str = "what it sent is damaged, or too much";
