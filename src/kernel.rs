//! What the kernel itself can tell: its trace events and its TCP counters.
//!
//! The only door to tracefs and to the counters in `/proc`. Nothing here is asked during a trial yet; `rstproof doctor`
//! tells what could be.

pub mod counters;
pub mod event;
pub mod format;
pub mod trace;
pub mod tracefs;
