//! JSON format of `rstproof analyze`: a line for each connection, RST, ICMP error and file.

use std::cell::RefCell;
use std::io;

use super::renderer::Renderer;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Event, Preceded, Summary, json};

/// JSON lines.
pub(super) struct Json;

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

    fn event(&self, files: &FileNames, event: Event<'_>) -> Option<io::Result<Vec<u8>>> {
        SCRATCH.with_borrow_mut(|row| {
            row.clear();
            let written = match event {
                Event::Connection(connection) => json::connection(row, files, connection),
                Event::Reset(connection, reset) => json::reset(row, files, connection, reset),
                Event::Failed(connection) => json::failed(row, files, connection),
                Event::Icmp(connection, record) => json::icmp(row, files, connection, record),
            };
            Some(written.map(|()| row.clone()))
        })
    }

    fn preceded(&self, files: &FileNames, output: &mut Vec<u8>, preceded: &Preceded) {
        json::add_preceded(output, files, preceded);
    }

    fn summary(
        &self,
        files: &FileNames,
        summary: &Summary,
        problem: Option<&str>,
    ) -> io::Result<Vec<u8>> {
        let (totals, tally) = (&summary.totals, &summary.tally);
        let mut row = Vec::new();
        json::summary(&mut row, files, totals, tally, summary.position, problem)?;
        Ok(row)
    }
}
