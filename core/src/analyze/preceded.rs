//! Failures that preceded a failure of the same host, as a proxy passes on that its backend has failed.
//!
//! The two connections are followed apart, so that they meet only where the output of all is put in order. A backend without a reply is
//! reported as it was when the server ended its client's connection: a later reply does not make that false.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::connections::{Connection, ResetRecord};
use super::explain::Cause;
use super::failure::{Failure, FailureKind};
use super::icmp::IcmpRecord;
use crate::time::Timestamp;
use crate::transcript::Role;

/// Maximum number of failures that are remembered, and of connections that wait.
const MAX_REMEMBERED: usize = 1_024;

/// Maximum number of failures found for rows that come later.
const MAX_FOUND: usize = 1 << 12;

/// Longest time between the two failures, in nanoseconds.
const MAX_APART_NS: i64 = 1_000_000_000;

/// Slack, in nanoseconds, for the time until a segment is repeated once more.
const SLACK_NS: i64 = 1_000_000_000;

/// Failure of a connection of the same host, as its client, shortly before it ended another one as the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preceded {
    /// Number of the connection: that of its first frame.
    pub connection: u32,
    /// Server of that connection.
    pub server: SocketAddr,
    /// Its failure. `NoReply` and `TimedOut`: it had no reply so far.
    pub failure: FailureKind,
    /// Frame of the RST, the ICMP error or the FIN, or of the first segment without a reply.
    pub frame: u32,
    /// Time from that frame to the end of the other connection, in nanoseconds.
    pub before_ns: i64,
    /// Number of connections that had failed, or waited, like this one. This one is the latest.
    pub candidates: u32,
}

/// Event that may have followed from a failure, or may have led to one.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// End of a connection.
    Ended(Ended),
    /// Segments of a client that have been repeated without a reply, until this time.
    Waits(Ended, Timestamp),
    /// Reply to the client of this connection, which had waited for it.
    Answered(u32),
    /// Row of this connection, whose end came before, in this frame.
    Row(u32, u32),
}

/// End of a connection, or the first segment of a client that has no reply.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub(super) connection: u32,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) began: Timestamp,
    pub(super) at: Timestamp,
    pub(super) frame: u32,
    pub(super) failure: FailureKind,
    /// True if the client's end failed, which its process may pass on.
    pub(super) is_of_client: bool,
    /// True if the server ended the connection by itself.
    pub(super) is_by_server: bool,
}

impl Ended {
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

    /// Returns true if this end may have followed from a failure of another connection.
    fn may_follow(&self, other: &Self) -> bool {
        other.client.ip() == self.server.ip()
            // Another client of the same server has failed like this one.
            && other.server != self.server
            && other.at >= self.began
            && other.at <= self.at
    }
}

impl Link {
    /// Returns the number of its connection.
    pub(super) fn connection(&self) -> u32 {
        match self {
            Self::Ended(ended) | Self::Waits(ended, _) => ended.connection,
            Self::Answered(connection) | Self::Row(connection, _) => *connection,
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
        Some(Self::Ended(Ended {
            is_of_client: is_by_server,
            is_by_server: is_by_server && is_decided,
            ..Ended::new(connection, failure, reset.at, reset.frame)
        }))
    }

    /// Returns the link of an ICMP error.
    pub(super) fn of_icmp(connection: &Connection<'_>, record: &IcmpRecord) -> Option<Self> {
        let failure = Failure::of_icmp(record)?;
        Some(Self::Ended(Ended {
            is_of_client: record.to == Role::Client,
            ..Ended::new(connection, failure.kind, record.at, record.frame)
        }))
    }

    /// Returns the link of the row of a connection whose failure no RST and no ICMP error shows.
    pub(super) fn of_connection(connection: &Connection<'_>) -> Option<Self> {
        let failure = connection.failure.as_ref()?;
        let is_closed = failure.kind == FailureKind::ClosedBeforeResponse;
        is_closed.then(|| Self::Row(connection.number(), failure.frame))
    }
}

/// Latest failures of clients.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Failures, oldest first.
    failures: VecDeque<Ended>,
    /// Clients that wait for a reply, each with the time of its last attempt, in the order of these.
    waiting: VecDeque<(Ended, Timestamp)>,
    /// Failures that ends without a row of their own may have followed from, by connection.
    found: Vec<(u32, Preceded)>,
}

impl Recent {
    /// Takes in an event in the order of the output. Returns the failure that its row shows, if it has one, with the frame of its own.
    pub(super) fn take(&mut self, link: &Link) -> Option<(u32, Preceded)> {
        match link {
            Link::Ended(ended) => {
                let found = ended.is_by_server.then(|| self.before(ended)).flatten();
                if ended.is_of_client {
                    self.keep(*ended);
                }
                if ended.failure != FailureKind::ClosedBeforeResponse {
                    return found.map(|it| (ended.frame, it));
                }
                // The row of its connection comes when that is over.
                if let (Some(found), Err(at)) = (found, self.place_of(ended.connection))
                    && self.found.len() < MAX_FOUND
                {
                    self.found.insert(at, (ended.connection, found));
                }
            }
            Link::Waits(ended, last) => {
                self.forget(ended.connection);
                if self.waiting.len() == MAX_REMEMBERED {
                    self.waiting.pop_front();
                }
                self.waiting.push_back((*ended, *last));
            }
            Link::Answered(connection) => self.forget(*connection),
            Link::Row(connection, frame) => {
                let at = self.place_of(*connection).ok()?;
                return Some((*frame, self.found.get(at)?.1));
            }
        }
        None
    }

    /// Returns the index of what was found for a connection, or that at which it would be.
    fn place_of(&self, connection: u32) -> Result<usize, usize> {
        self.found.binary_search_by_key(&connection, |it| it.0)
    }

    /// Removes a client that waits no longer. The latest ones are the likeliest.
    fn forget(&mut self, connection: u32) {
        let is_it = |(it, _): &(Ended, Timestamp)| it.connection == connection;
        if let Some(at) = self.waiting.iter().rposition(is_it) {
            self.waiting.remove(at);
        }
    }

    fn keep(&mut self, ended: Ended) {
        // An RST and an ICMP error may show one failure.
        let is_same = |it: &Ended| it.connection == ended.connection;
        if self.failures.back().is_some_and(is_same) {
            self.failures.pop_back();
        } else if self.failures.len() == MAX_REMEMBERED {
            self.failures.pop_front();
        }
        self.failures.push_back(ended);
    }

    /// Returns the latest failure that an end may have followed from, with the number of all of them.
    fn before(&self, ended: &Ended) -> Option<Preceded> {
        let is_recent = |it: &&Ended| ended.at.since(it.at) <= MAX_APART_NS;
        // Frames may be stamped out of order, but not by a second.
        let is_near = |it: &&Ended| ended.at.since(it.at) <= 2 * MAX_APART_NS;
        let failures = self.failures.iter().rev().take_while(is_near);
        let failures = failures.filter(is_recent);
        // A wait that is not repeated in time was given up before, for another reason.
        let waiting = self.waiting.iter().rev().filter(|(it, last)| {
            let tried = last.since(it.at).max(0);
            ended.at.since(*last) <= tried.saturating_add(SLACK_NS)
        });
        let waiting = waiting.map(|(it, _)| it);
        let mut fitting = failures
            .chain(waiting)
            .filter(|other| ended.may_follow(other));
        let latest = fitting.next()?;
        let others = fitting.count();
        Some(Preceded {
            connection: latest.connection,
            server: latest.server,
            failure: latest.failure,
            frame: latest.frame,
            before_ns: ended.at.since(latest.at),
            candidates: u32::try_from(others + 1).unwrap_or(u32::MAX),
        })
    }
}
