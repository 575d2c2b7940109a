//! Plain data that a kernel reports about its TCP: trace events, reset reasons, counters, and the state of the host.

pub mod counters;
pub mod event;
pub mod host;
pub mod reason;
