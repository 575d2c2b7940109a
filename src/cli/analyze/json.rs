//! JSON format of `rstproof analyze`: a line for each connection, RST, ICMP error and file.

use std::io;

use super::renderer::Renderer;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Event, Summary, json};

/// JSON lines.
pub(super) struct Json;

/// Capacity that a row starts with, in bytes. A large capture has millions of rows, most of them shorter than this:
/// growing each from nothing took an eighth of the instructions of an analysis.
const ROW_CAPACITY: usize = 1024;

impl Renderer for Json {
    fn is_for_people(&self) -> bool {
        false
    }

    fn event(&self, files: &FileNames, event: Event<'_>) -> Option<io::Result<Vec<u8>>> {
        let mut row = Vec::with_capacity(ROW_CAPACITY);
        let written = match event {
            Event::Connection(connection) => json::connection(&mut row, files, connection),
            Event::Reset(connection, reset) => json::reset(&mut row, files, connection, reset),
            Event::Icmp(connection, record) => json::icmp(&mut row, files, connection, record),
        };
        Some(written.map(|()| row))
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
