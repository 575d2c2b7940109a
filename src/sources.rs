//! Kernel sources of evidence: trace events, TCP counters and the state of the host.
//!
//! Only this module reads tracefs and the counters in `/proc`. The results are plain data
//! ([`event`](rstproof_core::kernel::event)), which become part of the evidence, and the judge sees nothing else.
//!
//! [`SourceId`] lists the sources. A source of a whole run is part of [`RunSources`], and a source of one network
//! namespace part of [`HostSources`]. [`TrialSources`] reads both for each trial: no other module has to know which
//! sources there are.

pub mod counters;
pub mod format;
pub mod host;
pub mod trace;
pub mod tracefs;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::clock::ClockCheck;
use crate::error::{Error, reason};
use counters::Meter;
use rstproof_core::evidence::{Evidence, SourceId, SourceStatus};
use rstproof_core::kernel::event::CounterDelta;
use rstproof_core::report::EvidenceSources;
use trace::{EventFilter, Listener, TraceSession};
use tracefs::Tracefs;

/// Sources that are opened once for a run and shared by its workers.
#[derive(Clone, Debug, Default)]
pub struct RunSources {
    /// Kernel trace; `None` if it is not available.
    pub trace: Option<Arc<TraceSession>>,
}

impl RunSources {
    /// Opens the sources for trials whose servers use these ports. Returns them with the status of every source.
    /// `has_own_counters` is false if the trials share the counters of their namespace with other traffic. A source
    /// that cannot be opened is missing, with the reason; the proof then uses the other sources.
    #[must_use]
    pub fn open(ports: RangeInclusive<u16>, has_own_counters: bool) -> (Self, EvidenceSources) {
        let mut statuses = EvidenceSources::capture_only();
        let trace = open_trace(ports);
        let status = match &trace {
            Ok(_) => SourceStatus::Available,
            Err(why) => SourceStatus::Missing(Some(why.clone().into())),
        };
        statuses.set(SourceId::KernelTrace, status);
        statuses.set(SourceId::Counters, SourceStatus::of(has_own_counters));
        (Self { trace: trace.ok() }, statuses)
    }

    /// Returns true if closing the sources removes files that may be accessible to root only.
    #[must_use]
    pub fn removes_files(&self) -> bool {
        self.trace.is_some()
    }

    /// Moves the records of shared buffers to the workers that they belong to. A worker that waits for a timer does not
    /// do this, while other trials fill the buffers.
    pub fn empty(&self) {
        if let Some(trace) = &self.trace {
            // Events that cannot be read are reported as missing by the trial that they belong to.
            let _ = trace.empty();
        }
    }

    /// Closes the sources. Not left to the last reference: a worker that did not end in time may hold one.
    pub fn close(&self) {
        if let Some(trace) = &self.trace {
            trace.close();
        }
    }
}

/// Sources of one network namespace. By default there are none: on the host's own network, other connections change
/// the counters, too.
#[derive(Debug, Default)]
pub struct HostSources {
    counters: Option<Meter>,
}

impl HostSources {
    /// Opens the sources of this thread's network namespace.
    #[must_use]
    pub fn open() -> Self {
        Self {
            counters: Meter::open().ok(),
        }
    }
}

/// Sources that the trials of one network read.
#[derive(Debug)]
pub struct TrialSources {
    /// Counters of each host that has some.
    counters: Vec<Meter>,
    trace: Option<Listener>,
}

/// Values of the sources of all hosts at the end of a trial.
#[derive(Debug)]
pub struct HostReadings {
    counters: Option<CounterDelta>,
}

impl TrialSources {
    /// Creates the sources of a network with these hosts, whose trials use these addresses and no others.
    pub fn new(
        run: &RunSources,
        hosts: impl IntoIterator<Item = HostSources>,
        addresses: Vec<IpAddr>,
    ) -> Self {
        let trace = run.trace.as_ref();
        Self {
            counters: hosts.into_iter().filter_map(|it| it.counters).collect(),
            trace: trace.map(|session| session.listen(addresses)),
        }
    }

    /// Adds a host during a trial.
    pub fn add(&mut self, host: HostSources) -> Result<(), Error> {
        if let Some(mut counters) = host.counters {
            counters.begin().map_err(|error| counter_error(&error))?;
            self.counters.push(counters);
        }
        Ok(())
    }

    /// Marks the start of a trial.
    pub fn begin(&mut self) -> Result<(), Error> {
        for counters in &mut self.counters {
            counters.begin().map_err(|error| counter_error(&error))?;
        }
        Ok(())
    }

    /// Reads the sources of the hosts at the end of a trial.
    pub fn read_hosts(&mut self) -> Result<HostReadings, Error> {
        let mut all: Option<CounterDelta> = None;
        for counters in &mut self.counters {
            let moved = counters.moved().map_err(|error| counter_error(&error))?;
            all = Some(match all {
                Some(all) => all.and(&moved),
                None => moved,
            });
        }
        Ok(HostReadings { counters: all })
    }

    /// Adds to the evidence the readings of the hosts, and the records of the trial that ended with them.
    pub fn collect(
        &self,
        readings: HostReadings,
        filter: &EventFilter,
        clocks: ClockCheck,
        evidence: &mut Evidence,
    ) -> Result<(), Error> {
        evidence.counters = readings.counters;
        let taken = self.trace.as_ref().map(|it| it.take(filter, clocks));
        evidence.trace = taken
            .transpose()
            .map_err(|error| Error::io("read the kernel's trace events", &error))?;
        Ok(())
    }
}

fn counter_error(error: &std::io::Error) -> Error {
    Error::io("read the namespace's TCP counters", error)
}

/// Opens the kernel trace. Fails with the reason why it is not available.
fn open_trace(ports: RangeInclusive<u16>) -> Result<Arc<TraceSession>, String> {
    let tracefs = Tracefs::open().map_err(|why| why.to_string())?;
    TraceSession::open(tracefs, ports, trace::RING_KIB)
        .map_err(|error| format!("cannot create a trace instance ({})", reason(&error)))
}
