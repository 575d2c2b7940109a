//! Follows TCP connections in captures, explains every RST, and judges which one a socket error came from.

pub mod analyze;
pub mod errno;
pub mod evidence;
pub mod file;
pub mod flow;
pub mod history;
pub mod kernel;
pub mod packet;
mod prefetch;
pub mod printable;
pub mod report;
pub mod scenario;
pub mod time;
pub mod transcript;
pub mod verdict;
