//! Width of the output for people.

use std::io::{self, IsTerminal as _};

/// Width in columns where none is known, as in a pipe.
const DEFAULT: usize = 80;

/// Narrowest and widest output. Below the former, addresses do not fit; beyond the latter, lines are hard to read.
const RANGE: (usize, usize) = (60, 120);

/// Returns the number of columns of a line: that of the terminal, or that of `COLUMNS` if the output is no terminal.
pub(super) fn columns() -> usize {
    let stdout = io::stdout();
    let columns = if stdout.is_terminal() {
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
        size.map(|it| usize::from(it.ws_col)).filter(|it| *it > 0)
    } else {
        // Shells set the variable without exporting it, so it is there only if a user wants it.
        let set = std::env::var("COLUMNS").ok();
        set.and_then(|it| it.parse().ok()).filter(|it| *it > 0)
    };
    columns.unwrap_or(DEFAULT).clamp(RANGE.0, RANGE.1)
}
