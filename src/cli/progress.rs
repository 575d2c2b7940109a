//! Progress bar of a run, on standard error if that is a terminal.
//!
//! Lines that are written meanwhile appear above the bar. The bar is removed at the end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Progress bar at the bottom of the terminal; invisible if standard error is not a terminal.
pub(super) struct Progress(ProgressBar);

/// Interval at which the elapsed time in the bar is updated.
pub(super) const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Template of the bar, in the syntax of [`ProgressStyle`]. At most 60 columns.
const TEMPLATE: &str = "[{bar:30}] {pos}/{len} trials, {elapsed}";

impl Progress {
    /// Starts a progress bar for this number of trials.
    pub(super) fn of(trials: u64) -> Self {
        // Draws on standard error, and only if that is a terminal.
        let bar = ProgressBar::new(trials);
        // If the template cannot be parsed the default one is used.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// Advances the bar by this number of trials, and calls `write` while the bar is hidden.
    pub(super) fn advance<T>(&self, by: usize, write: impl FnOnce() -> T) -> T {
        self.0.inc(u64::try_from(by).unwrap_or(u64::MAX));
        self.0.suspend(write)
    }

    /// Updates the elapsed time.
    pub(super) fn tick(&self) {
        self.0.tick();
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
