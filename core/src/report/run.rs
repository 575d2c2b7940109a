//! Facts common to all trials of a run.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::EvidenceSources;

/// Facts common to all trials of a run, known when the run begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the machine output: [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// Program that wrote the report.
    pub tool: Tool,
    /// Host on which the trials ran.
    pub host: Host,
    /// Evidence sources that were used.
    pub evidence_sources: EvidenceSources,
}

/// Program that wrote a report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tool {
    /// Name of the program: `rstproof`.
    // Strings that this program writes are static, and owned when they are read back: hence `Cow` here and below.
    pub name: Cow<'static, str>,
    /// Version of the program.
    pub version: Cow<'static, str>,
}

/// Host on which trials ran, as reported by `uname(2)` and libpcap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are those of `struct utsname`
pub struct Host {
    pub sysname: String,
    pub release: String,
    pub version: String,
    pub machine: String,
    pub libpcap: String,
}

/// Settings and losses of the packet capture.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CaptureReport {
    /// Interface name.
    pub interface: String,
    /// BPF filter of the first worker; those of other workers differ only in their addresses.
    pub filter: String,
    /// Number of frames that the kernel dropped for lack of buffer space, in all workers together.
    pub dropped: u64,
}
