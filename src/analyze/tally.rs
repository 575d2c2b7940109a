//! Counts over a whole capture: RSTs by what they mean and by who sends them, connections by how they ended.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::explain::{Cause, Duty};
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
    /// RSTs by what their receivers have to do with them.
    pub duties: BTreeMap<Option<Duty>, u64>,
    /// Connections by their end, as Zeek has it.
    pub states: BTreeMap<ConnState, u64>,
    /// RSTs by the end that they claim to come from: servers by address and port, clients by address alone (port 0).
    senders: HashMap<SocketAddr, u64>,
    /// Bytes of IP that each host has sent over TCP.
    talkers: HashMap<IpAddr, u64>,
    /// RSTs of senders that are not counted one by one.
    pub other_senders: u64,
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
            let has_room = self.talkers.len() < MOST_SENDERS;
            if let Some(all) = self.talkers.get_mut(&host) {
                *all += bytes;
            } else if has_room && bytes > 0 {
                self.talkers.insert(host, bytes);
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
        *self.duties.entry(told.explanation.duty).or_default() += 1;
        self.marked += u64::from(told.is_marked());
        let (from_server, server) = (
            told.reset.from == Role::Server,
            connection.ends.socket(1 - connection.client),
        );
        let sender = if from_server {
            server
        } else {
            SocketAddr::new(connection.ends.socket(connection.client).ip(), 0)
        };
        let has_room = self.senders.len() < MOST_SENDERS;
        match self.senders.get_mut(&sender) {
            Some(count) => *count += 1,
            None if has_room => {
                self.senders.insert(sender, 1);
            }
            None => self.other_senders += 1,
        }
    }

    /// The hosts that have sent the most, and how many bytes of IP.
    #[must_use]
    pub fn talkers(&self, most: usize) -> Vec<(IpAddr, u64)> {
        let all = self.talkers.iter();
        let mut all: Vec<_> = all.map(|(who, bytes)| (*who, *bytes)).collect();
        all.sort_by_key(|(who, bytes)| (std::cmp::Reverse(*bytes), *who));
        all.truncate(most);
        all
    }

    /// Those that have sent the most RSTs, and how many.
    #[must_use]
    pub fn top(&self, most: usize) -> Vec<(SocketAddr, u64)> {
        let mut all: Vec<_> = self
            .senders
            .iter()
            .map(|(who, count)| (*who, *count))
            .collect();
        all.sort_by_key(|(who, count)| (std::cmp::Reverse(*count), *who));
        all.truncate(most);
        all
    }
}
