//! What a kernel reports of its TCP, as plain data: trace events, reset reasons, counters, and the state of the host.

pub mod counters;
pub mod event;
pub mod host;
pub mod reason;
