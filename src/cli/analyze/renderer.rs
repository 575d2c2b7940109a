//! Output formats of `rstproof analyze`, and the renderer that the command line selects.

use std::io;

use super::human::Human;
use super::json::Json;
use crate::cli::{AnalyzeArgs, AnalyzeFormat};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Event, Preceded, Summary, Totals};

/// Output format of the analysis. The threads of the analysis share it.
pub(super) trait Renderer: Sync {
    /// Returns true if the output is for people: with styles, and with a line about the copied frames.
    fn is_for_people(&self) -> bool;

    /// Returns the heading of a capture, which precedes its first event; `None` if the format has none.
    fn heading(&self, _files: &FileNames) -> Option<String> {
        None
    }

    /// Returns a line that precedes the first event, if the whole capture is known by then; `None` if there is none.
    fn notice(&self, _totals: &Totals) -> Option<String> {
        None
    }

    /// Returns the output for an event; `None` if the event is not shown.
    fn event(&self, files: &FileNames, event: Event<'_>) -> Option<io::Result<Vec<u8>>>;

    /// Adds the failure of another connection that may have led to the event of this output.
    fn preceded(&self, files: &FileNames, output: &mut Vec<u8>, preceded: &Preceded);

    /// Returns the summary of a capture. `problem` is the reason why the rest of it could not be read.
    fn summary(
        &self,
        files: &FileNames,
        summary: &Summary,
        problem: Option<&str>,
    ) -> io::Result<Vec<u8>>;
}

/// Returns the renderer for the format and the options of the command line.
pub(super) fn renderer(args: &AnalyzeArgs) -> Box<dyn Renderer> {
    match args.format {
        AnalyzeFormat::Human => Box::new(Human {
            quiet: args.quiet,
            verbose: args.verbose,
        }),
        AnalyzeFormat::Json => Box::new(Json),
    }
}
