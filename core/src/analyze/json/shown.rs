//! Rows of an analysis that options have selected.

use serde::Serialize;

/// Numbers of the rows that are shown, if only some of them are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShownRows {
    /// Number of connections.
    pub connections: u64,
    /// Number of RSTs.
    pub resets: u64,
    /// Number of ICMP errors.
    pub icmp_errors: u64,
}
