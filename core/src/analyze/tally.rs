//! Counts over a whole capture: RSTs by what they mean and by who sends them, connections by how they ended.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::explain::Cause;
use super::table::{Connection, ResetRecord};
use super::zeek::ConnState;
use crate::transcript::Role;

/// So many senders are counted one by one. A capture may hold any number, and nobody reads more.
const MOST_SENDERS: usize = 1 << 16;

/// Address that RSTs carry as their source: of a server with its port, of a client for all its ports together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResetSource {
    /// Its IP address.
    pub address: IpAddr,
    /// Its port; `None` for a client.
    pub port: Option<u16>,
}

impl ResetSource {
    /// Role of the end that has this address.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.port {
            Some(_) => Role::Server,
            None => Role::Client,
        }
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// RSTs by their cause; `None` where that is not known.
    pub causes: BTreeMap<Option<Cause>, u64>,
    /// Connections by their end, as Zeek has it.
    pub states: BTreeMap<ConnState, u64>,
    /// RSTs by the address that they carry as their source.
    sources: HashMap<ResetSource, u64>,
    /// Bytes of IP that each host has sent over TCP.
    talkers: HashMap<IpAddr, u64>,
    /// RSTs that bear a strong mark of a third party.
    pub doubtful: u64,
    /// Connections that the capture does not hold as a whole.
    pub incomplete: u64,
}

impl Tally {
    /// Counts a connection.
    pub fn connection(&mut self, connection: &Connection<'_>) {
        *self.states.entry(connection.zeek.conn_state()).or_default() += 1;
        // Zeek counts the originator's first, and its sides from the sender of the first packet.
        let originator = connection.first ^ connection.zeek.originator();
        let sent = connection.zeek.ip_bytes();
        for (nth, bytes) in sent.into_iter().enumerate() {
            let end = originator ^ nth;
            let host = connection.ends.socket(end).ip();
            if bytes > 0 {
                add(&mut self.talkers, host, bytes);
            }
        }
        let gaps = connection.gaps;
        if gaps.begins_midstream || gaps.lost.is_some() || gaps.one_sided {
            self.incomplete += 1;
        }
    }

    /// Counts a RST.
    pub fn reset(&mut self, connection: &Connection<'_>, told: &ResetRecord) {
        *self.causes.entry(told.explanation.cause).or_default() += 1;
        self.doubtful += u64::from(told.is_marked());
        let socket = connection.socket(told.reset.from);
        let source = ResetSource {
            address: socket.ip(),
            port: (told.reset.from == Role::Server).then_some(socket.port()),
        };
        add(&mut self.sources, source, 1);
    }

    /// Adds what was counted of other connections.
    pub fn merge(&mut self, other: Self) {
        for (cause, number) in other.causes {
            *self.causes.entry(cause).or_default() += number;
        }
        for (state, number) in other.states {
            *self.states.entry(state).or_default() += number;
        }
        for (source, number) in other.sources {
            *self.sources.entry(source).or_default() += number;
        }
        for (host, bytes) in other.talkers {
            *self.talkers.entry(host).or_default() += bytes;
        }
        self.doubtful += other.doubtful;
        self.incomplete += other.incomplete;
    }

    /// The hosts that have sent the most, and how many bytes of IP.
    #[must_use]
    pub fn top_talkers(&self, most: usize) -> Vec<(IpAddr, u64)> {
        largest(&self.talkers, most)
    }

    /// Addresses that the most RSTs carry as their source, with the number of RSTs.
    #[must_use]
    pub fn reset_sources(&self, most: usize) -> Vec<(ResetSource, u64)> {
        largest(&self.sources, most)
    }
}

/// Counts for somebody, while there is room for another one.
fn add<T: Eq + Hash>(counts: &mut HashMap<T, u64>, who: T, by: u64) {
    let has_room = counts.len() < MOST_SENDERS;
    if let Some(count) = counts.get_mut(&who) {
        *count += by;
    } else if has_room {
        counts.insert(who, by);
    }
}

/// Those who have the most, the most first.
fn largest<T: Copy + Ord>(counts: &HashMap<T, u64>, most: usize) -> Vec<(T, u64)> {
    let mut all: Vec<_> = counts.iter().map(|(who, count)| (*who, *count)).collect();
    all.sort_by_key(|(who, count)| (Reverse(*count), *who));
    all.truncate(most);
    all
}
