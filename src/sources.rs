//! Kernel sources of evidence: trace events, TCP counters and the state of the host.
//!
//! Only this module reads tracefs and the counters in `/proc`. The results are plain data
//! ([`event`](rstproof_core::kernel::event)), which become part of the evidence, and the judge sees nothing else.
//!
//! [`SourceId`] lists the sources, and [`Opened`] has the status of each in a run.

pub mod counters;
pub mod format;
pub mod host;
pub mod trace;
pub mod tracefs;

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::reason;
use rstproof_core::evidence::{SourceId, SourceStatus};
use rstproof_core::report::EvidenceSources;
use tracefs::Tracefs;

/// Kernel sources of a run, opened once for all its workers.
pub struct Opened {
    /// Kernel trace; `None` if it is not available.
    pub trace: Option<Arc<trace::TraceSession>>,
    /// Status of each source.
    pub statuses: EvidenceSources,
}

impl Opened {
    /// Opens the sources for trials whose servers use these ports. `has_own_counters` is false if the trials share the
    /// counters of their namespace with other traffic. A source that cannot be opened is missing, with the reason; the
    /// proof then uses the other sources.
    #[must_use]
    pub fn open(ports: RangeInclusive<u16>, has_own_counters: bool) -> Self {
        let mut statuses = EvidenceSources::capture_only();
        let trace = open_trace(ports);
        let status = match &trace {
            Ok(_) => SourceStatus::Available,
            Err(why) => SourceStatus::Missing(Some(why.clone().into())),
        };
        statuses.set(SourceId::KernelTrace, status);
        statuses.set(SourceId::Counters, SourceStatus::of(has_own_counters));
        Self {
            trace: trace.ok(),
            statuses,
        }
    }

    /// Closes the sources. Not left to the last reference: a worker that did not end in time may hold one.
    pub fn close(self) {
        if let Some(trace) = self.trace {
            trace.close();
        }
    }
}

/// Opens the kernel trace. Fails with the reason why it is not available.
fn open_trace(ports: RangeInclusive<u16>) -> Result<Arc<trace::TraceSession>, String> {
    let tracefs = Tracefs::open().map_err(|why| why.to_string())?;
    trace::TraceSession::open(tracefs, ports, trace::RING_KIB)
        .map_err(|error| format!("cannot create a trace instance ({})", reason(&error)))
}
