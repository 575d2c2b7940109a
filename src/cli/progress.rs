//! How far a run has got, on standard error while that is a terminal.
//!
//! Nothing of it stays on the screen, and lines that are written meanwhile come out above it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line at the bottom of the terminal; nothing where there is none.
pub(super) struct Progress(ProgressBar);

/// Between two looks at the clock that it shows.
pub(super) const PACE: Duration = Duration::from_millis(100);

/// At most 60 columns.
const TEMPLATE: &str = "[{bar:30}] {pos}/{len} trials, {elapsed}";

impl Progress {
    /// Of so many trials.
    pub(super) fn of(trials: u64) -> Self {
        // Draws on standard error, and not at all where that is no terminal.
        let bar = ProgressBar::new(trials);
        // A template that cannot be parsed leaves the usual one.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// So many more have ended. Writes what there is to say of them.
    pub(super) fn advance<T>(&self, by: usize, write: impl FnOnce() -> T) -> T {
        self.0.inc(u64::try_from(by).unwrap_or(u64::MAX));
        self.0.suspend(write)
    }

    /// Time has passed.
    pub(super) fn tick(&self) {
        self.0.tick();
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
