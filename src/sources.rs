//! What the kernel itself can tell: its trace events and its TCP counters.
//!
//! The only door to tracefs and to the counters in `/proc`. What was asked becomes plain data ([`event`](rstproof_core::kernel::event)), which goes
//! into the evidence and is all that the judge sees.

pub mod counters;
pub mod format;
pub mod host;
pub mod trace;
pub mod tracefs;
