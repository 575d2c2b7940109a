//! Fields about a capture that was printed as text.

use serde::Serialize;

use super::super::continuation::FileNames;
use super::Count;
use crate::file::{TextClock, TextFacts};
use crate::time::Timestamp;

/// Text that a capture was printed as, and what it lacks.
#[derive(Serialize)]
pub(super) struct TextFields {
    tool: &'static str,
    times: TextClock,
    explanation: String,
    missing: Vec<&'static str>,
    /// Packets that were read from hex dumps.
    hex_dumps: u64,
    /// Packets of other protocols than TCP.
    other_protocols: Vec<Count<String>>,
    names: Vec<StandIn>,
    names_count: usize,
    truncated_lines: u64,
    unread_segments: u64,
    unassigned_icmp_errors: u64,
    other_lines: u64,
}

/// Name of a host or a service, and the number that stands for it.
#[derive(Serialize)]
struct StandIn {
    name: String,
    stand_in: String,
}

impl TextFields {
    /// Returns the fields; `None` if the capture is in a file format.
    pub(super) fn of(files: &FileNames) -> Option<Self> {
        let facts: TextFacts = files.text()?;
        let count = |(value, count)| Count { value, count };
        let stand_in = |(name, stand_in)| StandIn { name, stand_in };
        Some(Self {
            tool: facts.tool(),
            times: facts.clock,
            explanation: facts.sentence(),
            missing: facts.missing(),
            hex_dumps: facts.dumped,
            other_protocols: facts.others.into_iter().map(count).collect(),
            names: facts.names.into_iter().map(stand_in).collect(),
            names_count: facts.name_count,
            truncated_lines: facts.cut,
            unread_segments: facts.too_many,
            unassigned_icmp_errors: facts.unassigned_errors,
            other_lines: facts.other_lines,
        })
    }
}

/// Returns a time in nanoseconds since the epoch; `None` if the times of the capture do not count from there.
pub(super) fn since_epoch(files: &FileNames, at: Timestamp) -> Option<i64> {
    (files.clock() == TextClock::Absolute).then_some(at.0)
}

/// Returns a duration in nanoseconds; `None` if the capture has no times.
pub(super) fn duration(files: &FileNames, ns: i64) -> Option<i64> {
    (files.clock() != TextClock::None).then_some(ns)
}
