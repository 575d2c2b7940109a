//! Counts over a whole capture: RSTs by what they mean and by who sends them, connections by how they ended.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use super::explain::Cause;
use super::table::{Connection, Told};
use super::zeek::ConnState;
use crate::transcript::Role;

/// So many senders are counted one by one. A capture may hold any number, and nobody reads more.
const MOST_SENDERS: usize = 1 << 16;

/// What is counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// RSTs by their cause; `None` where that is not known.
    pub causes: BTreeMap<Option<Cause>, u64>,
    /// Connections by their end, as Zeek has it.
    pub states: BTreeMap<ConnState, u64>,
    /// RSTs by the end that they claim to come from: servers by address and port, clients by address alone (port 0).
    senders: HashMap<SocketAddr, u64>,
    /// Bytes of IP that each host has sent over TCP.
    talkers: HashMap<IpAddr, u64>,
    /// RSTs that bear a strong mark of a third party.
    pub marked: u64,
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
    pub fn reset(&mut self, connection: &Connection<'_>, told: &Told) {
        *self.causes.entry(told.explanation.cause).or_default() += 1;
        self.marked += u64::from(told.is_marked());
        let mut sender = connection.socket(told.reset.from);
        if told.reset.from == Role::Client {
            sender.set_port(0);
        }
        add(&mut self.senders, sender, 1);
    }

    /// Adds what was counted of other connections.
    pub fn merge(&mut self, other: Self) {
        for (cause, number) in other.causes {
            *self.causes.entry(cause).or_default() += number;
        }
        for (state, number) in other.states {
            *self.states.entry(state).or_default() += number;
        }
        for (sender, number) in other.senders {
            *self.senders.entry(sender).or_default() += number;
        }
        for (host, bytes) in other.talkers {
            *self.talkers.entry(host).or_default() += bytes;
        }
        self.marked += other.marked;
        self.incomplete += other.incomplete;
    }

    /// The hosts that have sent the most, and how many bytes of IP.
    #[must_use]
    pub fn talkers(&self, most: usize) -> Vec<(IpAddr, u64)> {
        largest(&self.talkers, most)
    }

    /// Those that have sent the most RSTs, and how many.
    #[must_use]
    pub fn top(&self, most: usize) -> Vec<(SocketAddr, u64)> {
        largest(&self.senders, most)
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
