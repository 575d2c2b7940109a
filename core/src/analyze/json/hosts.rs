//! Hosts in the row of a file.

use std::net::IpAddr;

use serde::Serialize;

use super::super::tally::ResetSource;
use crate::transcript::Role;

/// Number of RSTs with a source address.
#[derive(Serialize)]
pub(super) struct ResetSourceCount {
    pub(super) address: IpAddr,
    /// Port of a server; null for a client, whose ports are counted together.
    port: Option<u16>,
    role: Role,
    count: u64,
}

/// Host with the bytes that it has sent.
#[derive(Serialize)]
pub(super) struct Talker {
    pub(super) address: IpAddr,
    pub(super) ip_bytes: u64,
}

/// Returns the count of a source address.
pub(super) fn reset_source(source: ResetSource, count: u64) -> ResetSourceCount {
    ResetSourceCount {
        address: source.address,
        port: source.port,
        role: source.role(),
        count,
    }
}
