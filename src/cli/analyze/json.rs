//! JSON format of `rstproof analyze`: a line for each connection, RST, ICMP error and file.

use std::cell::RefCell;
use std::io;

use super::facts::{EventKind, Facts};
use super::renderer::{Item, Renderer, View};
use super::screen::FailureCounts;
use super::selection::Selection;
use super::times::Zone;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::json::ShownRows;
use rstproof_core::analyze::{Event, Summary, Totals, json};
use rstproof_core::file::TextClock;

/// JSON lines.
pub(super) struct Json {
    pub(super) selection: Selection,
    /// True if times of day on the command line are in UTC.
    pub(super) utc: bool,
}

thread_local! {
    /// Buffer that rows are written to. A large capture has millions of rows: growing each from nothing took an eighth of the
    /// instructions of an analysis. Thousands of them may wait for an RST of an earlier frame, so each is copied into a vector of
    /// its size.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Renderer for Json {
    fn is_for_people(&self) -> bool {
        false
    }

    fn event(&self, files: &FileNames, event: Event<'_>) -> Option<Item> {
        // The time of the first frame, which the selection may need, is known only where items are in order.
        let facts = (!self.selection.is_all()).then(|| Box::new(Facts::of(event)));
        SCRATCH.with_borrow_mut(|row| {
            row.clear();
            let written = match event {
                Event::Connection(connection) => json::connection(row, files, connection),
                Event::Reset(connection, reset) => json::reset(row, files, connection, reset),
                Event::Failed(connection) => json::failed(row, files, connection),
                Event::Icmp(connection, record) => json::icmp(row, files, connection, record),
            };
            Some(Item::Json(facts, written.map(|()| row.clone())))
        })
    }

    fn view(&self, _: bool, clock: TextClock) -> Box<dyn View> {
        Box::new(Rows {
            selection: self.selection.clone(),
            utc: self.utc,
            clock,
            zone: None,
            shown: (!self.selection.is_all()).then(ShownRows::default),
        })
    }
}

/// Rows of one capture.
struct Rows {
    selection: Selection,
    utc: bool,
    clock: TextClock,
    /// Zone of the times on the command line, once the first frame is known.
    zone: Option<Zone>,
    /// Numbers of the selected rows; `None` if all are shown.
    shown: Option<ShownRows>,
}

impl View for Rows {
    fn take(&mut self, item: Item, totals: &Totals) -> io::Result<Vec<u8>> {
        let Item::Json(facts, row) = item else {
            return Ok(Vec::new());
        };
        if let (Some(facts), Some(shown)) = (facts, &mut self.shown) {
            let began = totals.began.unwrap_or(facts.at);
            let (utc, clock) = (self.utc, self.clock);
            let zone = *self
                .zone
                .get_or_insert_with(|| Zone::of_clock(began, utc, clock));
            if !self.selection.shows(&facts, began, zone) {
                return Ok(Vec::new());
            }
            match facts.kind {
                EventKind::Connection => shown.connections += 1,
                EventKind::Reset => shown.resets += 1,
                EventKind::Icmp => shown.icmp_errors += 1,
            }
        }
        row
    }

    fn end(
        &mut self,
        files: &FileNames,
        summary: &Summary,
        problem: Option<&str>,
    ) -> io::Result<Vec<u8>> {
        let (totals, tally) = (&summary.totals, &summary.tally);
        let (position, shown) = (summary.position, self.shown);
        let mut row = Vec::new();
        json::summary(&mut row, files, totals, tally, position, problem, shown)?;
        Ok(row)
    }

    fn counts(&self) -> FailureCounts {
        FailureCounts::default()
    }
}
