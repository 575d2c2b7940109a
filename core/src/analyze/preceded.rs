//! Failures that preceded a failure of the same host, as a proxy passes on that its backend has failed.
//!
//! The two connections are followed apart, so that they meet only where the output of all is put in order.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::connections::{Connection, ResetRecord};
use super::explain::Cause;
use super::failure::{Failure, FailureKind};
use super::icmp::IcmpRecord;
use crate::time::Timestamp;
use crate::transcript::Role;

/// Maximum number of failures that are remembered. It bounds the search as well.
const MAX_REMEMBERED: usize = 64;

/// Longest time between the two failures, in nanoseconds.
const MAX_APART_NS: i64 = 1_000_000_000;

/// Failure of a connection of the same host, as its client, shortly before it ended another one as the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preceded {
    /// Number of the connection: that of its first frame.
    pub connection: u32,
    /// Server of that connection.
    pub server: SocketAddr,
    /// Its failure.
    pub failure: FailureKind,
    /// Frame of the RST or the ICMP error.
    pub frame: u32,
    /// Time between the two failures, in nanoseconds.
    pub before_ns: i64,
}

/// Event that may have followed from a failure, or may have led to one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    connection: u32,
    client: SocketAddr,
    server: SocketAddr,
    began: Timestamp,
    at: Timestamp,
    frame: u32,
    failure: FailureKind,
    /// True if the client's end failed, which its process may pass on.
    is_of_client: bool,
    /// True if the server ended the connection by itself.
    is_by_server: bool,
}

impl Link {
    fn new(connection: &Connection<'_>, failure: FailureKind, at: Timestamp, frame: u32) -> Self {
        Self {
            connection: connection.number(),
            client: connection.socket(Role::Client),
            server: connection.socket(Role::Server),
            began: connection.zeek.began(),
            at,
            frame,
            failure,
            is_of_client: false,
            is_by_server: false,
        }
    }

    /// Returns the link of an RST.
    pub(super) fn of_reset(connection: &Connection<'_>, record: &ResetRecord) -> Option<Self> {
        let (reset, cause) = (&record.reset, record.explanation.cause);
        let failure = record.failure?;
        // A kernel that has no socket replies whatever its processes do.
        let is_decided = matches!(
            cause,
            Some(Cause::AbortedClose | Cause::ResetAfterFin | Cause::RefusedBehindProxy)
        );
        let is_by_server = reset.from == Role::Server;
        Some(Self {
            is_of_client: is_by_server,
            is_by_server: is_by_server && is_decided,
            ..Self::new(connection, failure, reset.at, reset.frame)
        })
    }

    /// Returns the link of an ICMP error.
    pub(super) fn of_icmp(connection: &Connection<'_>, record: &IcmpRecord) -> Option<Self> {
        let failure = Failure::of_icmp(record)?;
        Some(Self {
            is_of_client: record.to == Role::Client,
            ..Self::new(connection, failure.kind, record.at, record.frame)
        })
    }

    /// Returns the link of a connection whose failure no RST and no ICMP error shows.
    pub(super) fn of_connection(connection: &Connection<'_>) -> Option<Self> {
        let failure = connection.failure.as_ref()?;
        let is_closed = failure.kind == FailureKind::ClosedBeforeResponse;
        (is_closed && failure.by == Some(Role::Server)).then(|| Self {
            is_by_server: true,
            ..Self::new(connection, failure.kind, failure.at, failure.frame)
        })
    }

    /// Returns the other failure, if this one may have followed from it.
    fn after(&self, other: &Self) -> Option<Preceded> {
        let before_ns = self.at.since(other.at);
        let fits = other.client.ip() == self.server.ip()
            // Another client of the same server has failed like this one.
            && other.server != self.server
            && other.at >= self.began
            && (0..=MAX_APART_NS).contains(&before_ns);
        fits.then_some(Preceded {
            connection: other.connection,
            server: other.server,
            failure: other.failure,
            frame: other.frame,
            before_ns,
        })
    }
}

/// Latest failures of clients, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Link>);

impl Recent {
    /// Takes in an event in the order of the output. Returns the latest failure that it may have followed from.
    pub(super) fn take(&mut self, link: &Link) -> Option<Preceded> {
        let mut latest = self.0.iter().rev();
        let found = if link.is_by_server {
            latest.find_map(|other| link.after(other))
        } else {
            None
        };
        if link.is_of_client {
            if self.0.len() == MAX_REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back(*link);
        }
        found
    }
}
