//! Evidence sources in a report: those that a run had, and what they reported about one trial.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::evidence::{Evidence, SourceId, SourceStatus};
use crate::kernel::counters::is_read;
use crate::kernel::event::{CounterDelta, Coverage, Trace};
use crate::kernel::host::HostState;
use crate::printable::printable;
use crate::report::kernel::EventReport;
use crate::time::Timestamp;

/// Evidence sources of a run or of one trial, besides the system calls. Empty, as for a trial that was not run, it has
/// no source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceSources(BTreeMap<SourceId, SourceStatus>);

impl EvidenceSources {
    /// Returns captured packets as the only source.
    #[must_use]
    pub fn capture_only() -> Self {
        Self(BTreeMap::from([(
            SourceId::Capture,
            SourceStatus::Available,
        )]))
    }

    /// Returns the sources of this evidence.
    #[must_use]
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let all = SourceId::ALL.into_iter();
        Self(
            all.map(|source| (source, evidence.status(source)))
                .collect(),
        )
    }

    /// Sets the status of a source.
    pub fn set(&mut self, source: SourceId, status: SourceStatus) {
        self.0.insert(source, status);
    }

    /// Returns true if the source is available.
    #[must_use]
    pub fn has(&self, source: SourceId) -> bool {
        self.0.get(&source).is_some_and(SourceStatus::is_available)
    }

    /// Returns the reason why a source is not available, if it is known.
    #[must_use]
    pub fn reason(&self, source: SourceId) -> Option<&str> {
        self.0.get(&source)?.reason()
    }

    /// Returns the reasons of all sources that are not available and have one.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter_map(SourceStatus::reason)
    }

    /// Returns the sources with their reasons escaped for output: a report may come from anyone.
    #[must_use]
    pub fn printable(self) -> Self {
        let escaped = |status| match status {
            SourceStatus::Missing(Some(reason)) => {
                SourceStatus::Missing(Some(printable(&reason).into()))
            }
            other => other,
        };
        let all = self.0.into_iter();
        Self(
            all.map(|(source, status)| (source, escaped(status)))
                .collect(),
        )
    }

    /// Returns the flags of the sources in the form that hashes of saved evidence cover: true or false for each source
    /// of every report, then the names of the newer ones that were available.
    #[must_use]
    pub fn hashed(&self) -> Vec<serde_json::Value> {
        let flag = |source: SourceId| {
            if source.is_in_every_report() {
                Some(self.has(source).into())
            } else {
                self.has(source).then(|| source.field().into())
            }
        };
        SourceId::ALL.into_iter().filter_map(flag).collect()
    }
}

impl Serialize for EvidenceSources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        for source in SourceId::ALL {
            fields.serialize_entry(source.field(), &self.has(source))?;
        }
        for source in SourceId::ALL {
            if let (Some(field), Some(reason)) = (source.reason_field(), self.reason(source)) {
                fields.serialize_entry(field, reason)?;
            }
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for EvidenceSources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EvidenceSourcesVisitor)
    }
}

struct EvidenceSourcesVisitor;

impl<'de> Visitor<'de> for EvidenceSourcesVisitor {
    type Value = EvidenceSources;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("struct EvidenceSources")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<EvidenceSources, A::Error> {
        let mut flags = BTreeMap::new();
        let mut reasons = BTreeMap::new();
        while let Some(name) = fields.next_key::<Cow<'_, str>>()? {
            let of = |field: fn(SourceId) -> Option<&'static str>| {
                SourceId::ALL
                    .into_iter()
                    .find(|it| field(*it) == Some(&*name))
            };
            if let Some(source) = of(|it| Some(it.field())) {
                once(&flags, source, source.field())?;
                flags.insert(source, fields.next_value::<bool>()?);
            } else if let Some(source) = of(SourceId::reason_field) {
                once(&reasons, source, source.reason_field().unwrap_or_default())?;
                reasons.insert(source, fields.next_value::<Option<String>>()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        let mut sources = EvidenceSources(BTreeMap::new());
        for source in SourceId::ALL {
            let flag = flags.get(&source).copied();
            let reason = reasons.remove(&source).flatten();
            sources.set(source, status(source, flag, reason)?);
        }
        Ok(sources)
    }
}

/// Returns the status of a source with these fields. Fails if its flag is missing, although every report has it.
fn status<E: serde::de::Error>(
    source: SourceId,
    flag: Option<bool>,
    reason: Option<String>,
) -> Result<SourceStatus, E> {
    match flag {
        Some(true) => Ok(SourceStatus::Available),
        Some(false) => Ok(SourceStatus::Missing(reason.map(Cow::from))),
        None if source.is_in_every_report() => Err(E::missing_field(source.field())),
        None => Ok(SourceStatus::Missing(None)),
    }
}

/// Returns an error if the field of this source was read before.
fn once<T, E: serde::de::Error>(
    read: &BTreeMap<SourceId, T>,
    source: SourceId,
    field: &'static str,
) -> Result<(), E> {
    if read.contains_key(&source) {
        return Err(E::duplicate_field(field));
    }
    Ok(())
}

/// Reports of the evidence sources about one trial, besides system calls and packets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceReports {
    /// Trace events of the kernel.
    pub kernel_events: Vec<EventReport>,
    /// Facts that the trace events cover; `None` if the trace was not available.
    pub trace_coverage: Option<Coverage>,
    /// Increases of the kernel's counters, by name; unchanged counters are left out.
    pub counters: BTreeMap<String, u64>,
    /// Counters that this kernel does not have; `None` if the counters were not read.
    pub unsupported_counters: Option<Vec<String>>,
    /// Longest time in nanoseconds for which the process did not run during the trial; 0 if too short to matter.
    #[serde(skip_serializing_if = "is_zero")]
    pub process_stall_ns: u64,
    /// State of the host, if it may have affected the trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_state: Option<HostState>,
}

/// Predicate for `skip_serializing_if`: true if the number is 0. Takes a reference because serde passes one.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Maximum number of trace events in a trial. A genuine trial has some dozens.
const MAX_EVENTS: usize = 10_000;

impl SourceReports {
    /// Creates the reports about a trial from its evidence.
    #[must_use]
    pub fn new(evidence: &Evidence) -> Self {
        let events = evidence.trace.iter().flat_map(|trace| &trace.events);
        let counters = evidence.counters.as_ref();
        Self {
            kernel_events: events
                .map(|event| EventReport::new(event, evidence.began))
                .collect(),
            trace_coverage: evidence.trace.as_ref().map(|trace| trace.coverage),
            counters: counters.map_or_else(BTreeMap::new, |moved| moved.by.clone()),
            unsupported_counters: counters.map(|moved| moved.unsupported_counters.clone()),
            process_stall_ns: evidence.process_stall_ns,
            host_state: evidence.host_state,
        }
    }

    /// Restores the evidence that the reports were created from. `evidence.began` must be known.
    pub fn restore(&self, evidence: &mut Evidence) {
        let began = evidence.began;
        evidence.trace = self.trace_coverage.map(|coverage| Trace {
            events: self
                .kernel_events
                .iter()
                .filter_map(|event| event.event(began))
                .collect(),
            coverage,
        });
        evidence.counters = self
            .unsupported_counters
            .as_ref()
            .map(|unsupported_counters| CounterDelta {
                by: self.counters.clone(),
                unsupported_counters: unsupported_counters.clone(),
            });
        evidence.process_stall_ns = self.process_stall_ns;
        evidence.host_state = self.host_state;
    }

    /// Checks reports from an untrusted file. Fails with the reason if a list is too long, or something in it is
    /// unknown to this version.
    pub fn check(&self) -> Result<(), String> {
        let events = self.kernel_events.len();
        if events > MAX_EVENTS {
            return Err(format!(
                "a trial has {events} trace events, more than {MAX_EVENTS}"
            ));
        }
        let began = Timestamp::default();
        let mut events = self.kernel_events.iter();
        if let Some(event) = events.find(|it| it.event(began).is_none()) {
            return Err(format!("unknown trace event '{}'", printable(&event.event)));
        }
        let unsupported = self.unsupported_counters.iter().flatten();
        let mut names = self.counters.keys().chain(unsupported);
        if let Some(name) = names.find(|name| !is_read(name)) {
            return Err(format!("unknown counter '{}'", printable(name)));
        }
        Ok(())
    }

    /// Returns the lines about these reports in the text that the hash of a trial's transcript covers. Each begins with
    /// a line feed.
    #[must_use]
    pub fn hashed(&self) -> String {
        let mut text = String::new();
        // Results of writing are ignored: writing to a `String` cannot fail.
        if let Some(unsupported) = &self.unsupported_counters {
            let counters = serde_json::json!([self.counters, unsupported]);
            let _ = write!(text, "\ncounters {counters}");
        }
        if self.process_stall_ns > 0 {
            let _ = write!(text, "\nheld-up {}", self.process_stall_ns);
        }
        if let Some(state) = &self.host_state {
            let _ = write!(text, "\nhost {}", serde_json::json!(state));
        }
        if let Some(coverage) = &self.trace_coverage {
            let trace = serde_json::json!([coverage, self.kernel_events]);
            let _ = write!(text, "\ntrace {trace}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<EvidenceSources, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn sources_are_read_back() {
        let text = r#"{"capture":true,"kernel_trace":false,"counters":true,"kernel_trace_note":"no tracefs"}"#;
        let sources = read(text).unwrap();
        assert!(sources.has(SourceId::Capture) && sources.has(SourceId::Counters));
        assert!(!sources.has(SourceId::KernelTrace));
        assert_eq!(sources.reason(SourceId::KernelTrace), Some("no tracefs"));
        assert_eq!(serde_json::to_string(&sources).unwrap(), text);
    }

    #[test]
    fn unknown_fields_are_ignored_and_known_ones_occur_once() {
        let of = |more: &str| read(&format!(r#"{{"capture":true,"counters":true{more}}}"#));
        assert!(of(r#","kernel_trace":true,"later":[{}],"kernel_trace_note":null"#).is_ok());
        for (more, error) in [
            ("", "missing field `kernel_trace`"),
            (r#","kernel_trace":1"#, "expected a boolean"),
            (r#","counters":true"#, "duplicate field `counters`"),
            (
                r#","kernel_trace_note":"","kernel_trace_note":"""#,
                "duplicate field `kernel_trace_note`",
            ),
        ] {
            let text = of(more).unwrap_err();
            assert!(text.contains(error), "{more}: {text}");
        }
    }

    #[test]
    fn hashes_cover_the_flags_and_no_reason() {
        let mut sources = EvidenceSources::capture_only();
        let missing = SourceStatus::Missing(Some("no tracefs".into()));
        sources.set(SourceId::KernelTrace, missing);
        assert_eq!(json!(sources.hashed()), json!([true, false, false]));
    }

    #[test]
    fn reports_restore_the_evidence_that_they_were_made_from() {
        let reports = SourceReports {
            trace_coverage: Some(Coverage {
                overrun: true,
                ..Coverage::default()
            }),
            counters: BTreeMap::from([("OutRsts".to_owned(), 1)]),
            unsupported_counters: Some(vec!["PAWSOldAck".to_owned()]),
            process_stall_ns: 7,
            host_state: Some(HostState::default()),
            ..SourceReports::default()
        };
        let mut evidence = crate::evidence::Evidence::new(
            crate::evidence::Evidence::NOWHERE,
            crate::evidence::Evidence::NOWHERE,
            Timestamp::default(),
        );
        let sources = EvidenceSources::of(&evidence);
        assert_eq!(json!(sources), json!(EvidenceSources::capture_only()));
        reports.restore(&mut evidence);
        assert_eq!(json!(SourceReports::new(&evidence)), json!(reports));
        assert_eq!(
            evidence.status(SourceId::KernelTrace),
            SourceStatus::LostEvents(None)
        );
        assert_eq!(evidence.status(SourceId::Counters), SourceStatus::Available);
    }
}
