//! Output formats of `rstproof analyze`, and the renderer that the command line selects.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::facts::Facts;
use super::human::{self, Human};
use super::json::Json;
use super::screen::{FailureCounts, Look, Row};
use super::width;
use crate::cli::{AnalyzeArgs, AnalyzeFormat};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Event, Preceded, Summary, Totals, json};
use rstproof_core::file::TextClock;

/// Event as a thread of the analysis passes it on.
pub(super) enum Item {
    /// Row of JSON, with its facts if only some rows are shown.
    Json(Option<Box<Facts>>, io::Result<Vec<u8>>),
    /// Failure for people.
    Failure(Box<Row>),
    /// Correction of a failure that was shown while the capture went on: the connection has none.
    Correction(String),
}

impl Item {
    /// Adds the failure of another connection that may have led to this event.
    pub(super) fn add_preceded(&mut self, files: &FileNames, preceded: &Preceded) {
        match self {
            Self::Json(_, Ok(row)) => json::add_preceded(row, files, preceded),
            // Without an explanation there is no room for it.
            Self::Failure(row) if !row.body.is_empty() => {
                row.body += &human::preceded(files, preceded);
            }
            Self::Json(..) | Self::Failure(_) | Self::Correction(_) => {}
        }
    }
}

/// Output format of the analysis. The threads of the analysis share it.
pub(super) trait Renderer: Sync {
    /// Returns true if the output is for people: with styles, and with a line about the copied frames.
    fn is_for_people(&self) -> bool;

    /// Returns the heading of a capture, which precedes a list of its failures; `None` if the format has none.
    fn heading(&self, _files: &FileNames) -> Option<String> {
        None
    }

    /// Returns the item for an event; `None` if the event is not shown.
    fn event(&self, files: &FileNames, event: Event<'_>) -> Option<Item>;

    /// Returns the view of the next capture, whose times have this meaning. `is_live` is true if its input may go on for ever.
    fn view(&self, is_live: bool, clock: TextClock) -> Box<dyn View>;
}

/// Output about one capture: receives its items in order.
pub(super) trait View: Send {
    /// Returns the output for an item, which is empty if the item is shown later or not at all.
    fn take(&mut self, item: Item, totals: &Totals) -> io::Result<Vec<u8>>;

    /// Returns the end of the output. `problem` is the reason why the rest of the capture could not be read.
    fn end(
        &mut self,
        files: &FileNames,
        summary: &Summary,
        problem: Option<&str>,
    ) -> io::Result<Vec<u8>>;

    /// Returns the numbers of all failures of the capture.
    fn counts(&self) -> FailureCounts;
}

/// Returns the renderer for the format and the options of the command line.
pub(super) fn renderer(args: &AnalyzeArgs) -> Box<dyn Renderer> {
    let selection = args.selection.clone();
    match args.format {
        AnalyzeFormat::Human => Box::new(Human {
            look: Look {
                quiet: args.quiet,
                verbose: args.verbose,
                list: args.list,
                group_by: args.group_by,
                utc: args.utc,
                is_live: false,
                width: width::columns(),
                clock: TextClock::Absolute,
            },
            selected_by: selection.name(),
            selection,
            is_crowded: Arc::default(),
            is_live: AtomicBool::new(false),
            explained: AtomicUsize::new(0),
        }),
        AnalyzeFormat::Json => Box::new(Json {
            selection,
            utc: args.utc,
        }),
    }
}
