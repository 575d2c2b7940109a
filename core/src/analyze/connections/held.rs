//! RSTs that are held until later segments have given their evidence, and when they are reported at the latest.

use super::{Connection, ConnectionObserver, MAX_FRAMES_HELD, Table};

impl<L: ConnectionObserver> Table<L> {
    /// Reports the RSTs of a connection that have not been reported, during frame `at`.
    pub(super) fn report_resets(&mut self, index: u32, at: u32) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if let Some(since) = entry.pending_since() {
            self.pending.remove(&since);
        }
        let (pending, errors) = entry.take_events();
        self.buffered -= pending.len() + errors.len();
        if !pending.is_empty() || !errors.is_empty() {
            let connection = Connection {
                errors: &errors,
                ..entry.report(at)
            };
            self.observer.resets(&connection, &pending);
        }
    }

    /// Notes that a connection has RSTs that have not been reported, the first of them in this frame.
    pub(super) fn hold(&mut self, frame: u32, index: u32) {
        self.pending.insert(frame, index);
        let overdue = frame.saturating_add(MAX_FRAMES_HELD);
        self.next_overdue = self.next_overdue.min(overdue);
    }

    /// Reports the RSTs that were held for [`MAX_FRAMES_HELD`] before this frame.
    #[inline]
    pub(super) fn report_overdue(&mut self, frame: u32) {
        if frame >= self.next_overdue {
            self.report_held(frame);
        }
    }

    /// Reports the RSTs that are held since this frame or an earlier one, each during the frame that `at` returns for it.
    pub(super) fn report_held_since(&mut self, through: u32, at: impl Fn(u32) -> u32) {
        while let Some((first, index)) = self.pending.first_key_value()
            && *first <= through
        {
            let (first, index) = (*first, *index);
            self.pending.pop_first();
            self.report_resets(index, at(first));
        }
    }

    fn report_held(&mut self, frame: u32) {
        if let Some(through) = frame.checked_sub(MAX_FRAMES_HELD) {
            // The frame does not depend on when this is noticed, nor does the result.
            self.report_held_since(through, |first| first.saturating_add(MAX_FRAMES_HELD));
        }
        let first = self.pending.first_key_value();
        self.next_overdue =
            first.map_or(u32::MAX, |(first, _)| first.saturating_add(MAX_FRAMES_HELD));
    }
}
