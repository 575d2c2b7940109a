//! Console of a guest: the tail of its output, and the lines of it to show.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::READ_SIZE;
use rstproof_core::printable::printable;

/// Tail of a stream: its last bytes, at most `max`.
pub(super) struct OutputTail<R> {
    pub(super) from: R,
    pub(super) bytes: VecDeque<u8>,
    pub(super) max: usize,
    pub(super) is_open: bool,
    pub(super) chunk: Vec<u8>,
}

impl<R: AsyncRead + Unpin> OutputTail<R> {
    pub(super) fn new(from: R, max: usize) -> Self {
        Self {
            from,
            bytes: VecDeque::new(),
            max,
            is_open: true,
            chunk: vec![0; READ_SIZE],
        }
    }

    /// Waits for more bytes or the end of the stream.
    pub(super) async fn more(&mut self) {
        match self.from.read(&mut self.chunk).await {
            Ok(0) | Err(_) => self.is_open = false,
            Ok(length) => {
                self.bytes.extend(&self.chunk[..length]);
                let too_many = self.bytes.len().saturating_sub(self.max);
                self.bytes.drain(..too_many);
            }
        }
    }

    /// Reads to the end of the stream. The other end must be gone.
    pub(super) async fn rest(&mut self) {
        while self.is_open {
            self.more().await;
        }
    }
}

pub(super) fn describe_console(console: &[u8]) -> String {
    match last_lines(console) {
        Some(words) => format!("last console output: {words}"),
        None => "no console output".to_owned(),
    }
}

/// Returns true if the kernel was stopped by a breakpoint in its own code (`die("int3", regs, 0)` in `exc_int3()`,
/// `arch/x86/kernel/traps.c`).
pub(in crate::vm) fn is_stale_breakpoint(console: &[u8]) -> bool {
    // Newer releases write "Oops: " before it.
    String::from_utf8_lossy(console)
        .lines()
        .map(|line| without_stamp(line.trim()))
        .any(|line| {
            line.trim_start_matches("Oops: ")
                .starts_with("int3: 0000 [#")
        })
}

/// Extracts the lines of a console to show: the message of a kernel panic, or else the last two lines.
fn last_lines(console: &[u8]) -> Option<String> {
    const MAX_CHARS: usize = 200;
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| without_stamp(line.trim()))
        .filter(|line| !line.is_empty())
        .collect();
    let panic = lines.iter().position(|line| line.contains("Kernel panic"));
    let shown = match panic {
        Some(place) => &lines[place..=place],
        None => &lines[lines.len().saturating_sub(2)..],
    };
    let shown = printable(&shown.join(" | "));
    let cut: String = shown.chars().take(MAX_CHARS).collect();
    (!cut.is_empty()).then_some(cut)
}

/// Removes the kernel's time stamp, `[    1.234567] `.
fn without_stamp(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|it| it.split_once("] "));
    match rest {
        Some((stamp, rest)) if stamp.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_whatever_follows_it() {
        let console = b"[    0.5] Loading\r\n[    1.234567] Kernel panic - not syncing: No working init found.\r\n\
                        [    1.3] CPU: 0 PID: 1\r\n[    1.4] ---[ end Kernel panic ]---\r\n";
        let words = last_lines(console).unwrap();
        assert_eq!(words, "Kernel panic - not syncing: No working init found.");
        assert_eq!(
            last_lines(b"a\r\nb\r\n\r\nc\x1b[2J\r\n").unwrap(),
            "b | c\\u{1b}[2J"
        );
        assert_eq!(last_lines(b"\r\n"), None);
        assert_eq!(last_lines(&[b'x'; 5000]).unwrap().len(), 200);
    }

    #[test]
    fn only_a_breakpoint_in_the_kernel_is_a_fault_of_the_emulator() {
        for console in [
            "[   10.630759] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI\r\n",
            "[    3.1] int3: 0000 [#1] SMP NOPTI\r\n",
        ] {
            assert!(is_stale_breakpoint(console.as_bytes()), "{console}");
        }
        for console in [
            "[    2.0] Oops: general protection fault: 0000 [#1] SMP\r\n",
            "[    2.0] Kernel panic - not syncing: Fatal exception in interrupt\r\n",
            "a program printed: int3: 0000 [#1]\r\n",
        ] {
            assert!(!is_stale_breakpoint(console.as_bytes()), "{console}");
        }
    }
}
