//! Sources of evidence besides the system calls: their names, and whether a run or a trial had them.
//!
//! Everything that only asks which sources there were (reports, saved evidence, `doctor`, the JSON Schemas) loops over
//! [`SourceId::ALL`].

use std::borrow::Cow;

/// Source of evidence besides the system calls, which every trial records. Declared in the order of the fields of a
/// report, which hashes of saved evidence cover: a new source comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceId {
    /// Captured packets.
    Capture,
    /// Kernel trace events.
    KernelTrace,
    /// Kernel counters.
    Counters,
}

/// Names of an evidence source.
struct Names {
    /// Field of a report that states if the source was available.
    field: &'static str,
    /// Field of a report with the reason why the source is not available, if a report can give one.
    reason_field: Option<&'static str>,
    /// Noun for people.
    name: &'static str,
    /// Sentence that describes the flag in a report.
    description: &'static str,
    /// Line of a ladder for a trial without the source; `None` if another line reports it.
    missing: Option<&'static str>,
    /// True if every report has the field; false for sources that were added after the first release of the schema.
    is_in_every_report: bool,
}

impl SourceId {
    /// All sources, in the order of the fields of a report.
    pub const ALL: [Self; 3] = [Self::Capture, Self::KernelTrace, Self::Counters];

    /// All sources, in the order in which people read them.
    pub const SHOWN: [Self; 3] = [Self::Capture, Self::Counters, Self::KernelTrace];

    const fn names(self) -> Names {
        match self {
            Self::Capture => Names {
                field: "capture",
                reason_field: None,
                name: "packets",
                description: "Captured packets.",
                // Without packets a trial is inconclusive, and the reason is shown.
                missing: None,
                is_in_every_report: true,
            },
            Self::KernelTrace => Names {
                field: "kernel_trace",
                reason_field: Some("kernel_trace_note"),
                name: "kernel trace",
                description: "Kernel trace events.",
                missing: Some("kernel trace (who sent an RST, and why): not available"),
                is_in_every_report: true,
            },
            Self::Counters => Names {
                field: "counters",
                reason_field: None,
                name: "kernel counters",
                description: "Kernel counters.",
                missing: Some("kernel counters: not available (other traffic counts too)"),
                is_in_every_report: true,
            },
        }
    }

    /// Returns the field of a report that states if the source was available.
    #[must_use]
    pub(crate) const fn field(self) -> &'static str {
        self.names().field
    }

    /// Returns the field of a report with the reason why the source is not available; `None` if a report gives none.
    #[must_use]
    pub(crate) const fn reason_field(self) -> Option<&'static str> {
        self.names().reason_field
    }

    /// Returns the noun for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.names().name
    }

    /// Returns the sentence that describes the flag in a report.
    #[must_use]
    pub(crate) const fn description(self) -> &'static str {
        self.names().description
    }

    /// Returns the line of a ladder for a trial without the source; `None` if another line reports it.
    #[must_use]
    pub const fn missing(self) -> Option<&'static str> {
        self.names().missing
    }

    /// Returns true if every report of this schema has the field. A source that was added later has no field in older
    /// reports.
    #[must_use]
    pub(crate) const fn is_in_every_report(self) -> bool {
        self.names().is_in_every_report
    }
}

/// Status of an evidence source in a run or in one trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceStatus {
    /// Available.
    Available,
    /// Available, but events were lost, so a missing event proves nothing. Holds the number of lost events if the
    /// source counts them.
    LostEvents(Option<u64>),
    /// Not available, with the reason if it is known.
    Missing(Option<Cow<'static, str>>),
}

impl SourceStatus {
    /// Returns `Available` or, without a known reason, `Missing`.
    #[must_use]
    pub fn of(is_available: bool) -> Self {
        if is_available {
            Self::Available
        } else {
            Self::Missing(None)
        }
    }

    /// Returns true if the source is available, even if it lost events.
    #[must_use]
    pub(crate) fn is_available(&self) -> bool {
        !matches!(self, Self::Missing(_))
    }

    /// Returns the reason why the source is not available, if it is known.
    #[must_use]
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Missing(reason) => reason.as_deref(),
            Self::Available | Self::LostEvents(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_have_every_source_once() {
        let mut shown = SourceId::SHOWN;
        shown.sort();
        assert_eq!(shown, SourceId::ALL);
    }

    #[test]
    fn fields_are_unique() {
        let fields = SourceId::ALL.into_iter().map(SourceId::field);
        let reasons = SourceId::ALL.into_iter().filter_map(SourceId::reason_field);
        let mut all: Vec<_> = fields.chain(reasons).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
