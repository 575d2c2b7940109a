//! Kernel sources of evidence: trace events and TCP counters.
//!
//! Only this module reads tracefs and the counters in `/proc`. The results are plain data
//! ([`event`](rstproof_core::kernel::event)), which become part of the evidence, and the judge sees nothing else.

pub mod counters;
pub mod format;
pub mod host;
pub mod trace;
pub mod tracefs;
