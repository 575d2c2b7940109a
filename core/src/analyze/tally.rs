//! Counts over a whole capture: RSTs by cause and by sender, connections by their final state.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::connections::{Connection, RepeatedSyn, ResetRecord};
use super::explain::Cause;
use super::failure::FailureKind;
use super::forgery::SenderVerdict;
use super::icmp::IcmpRecord;
use super::zeek::ConnState;
use crate::packet::icmp::IcmpKind;
use crate::transcript::Role;

/// Maximum number of senders that are counted individually. A capture may contain any number of them, and a report
/// shows only the largest.
pub const MAX_COUNTED_SENDERS: usize = 1 << 16;

/// Source address of RSTs: a server with its port, or a client with all its ports together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResetSource {
    /// IP address.
    pub address: IpAddr,
    /// Port of a server; `None` for a client.
    pub port: Option<u16>,
}

impl ResetSource {
    /// Returns the role of the end that has this address.
    #[must_use]
    pub(crate) fn role(&self) -> Role {
        match self.port {
            Some(_) => Role::Server,
            None => Role::Client,
        }
    }
}

/// Counts of RSTs, connections and senders.
#[derive(Debug, Default)]
pub struct Tally {
    /// Number of RSTs by cause; `None` if the cause is unknown.
    pub causes: BTreeMap<Option<Cause>, u64>,
    /// Number of connections by Zeek's `conn_state`.
    pub states: BTreeMap<ConnState, u64>,
    /// Number of failed connections by their failure.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Number of ICMP errors about connections, by type and code.
    pub icmp: BTreeMap<IcmpKind, u64>,
    /// Number of connection attempts that an ICMP error ended.
    pub failed_by_icmp: u64,
    /// Number of RSTs by the source address that they carry.
    sources: HashMap<ResetSource, u64>,
    /// Number of bytes of IP that each host has sent over TCP.
    talkers: HashMap<IpAddr, u64>,
    /// Number of RSTs by the conclusion about their sender.
    pub senders: BTreeMap<SenderVerdict, u64>,
    /// First frame with an RST that a third party probably sent.
    pub first_doubtful: Option<u32>,
    /// Number of connections that are incomplete in the capture.
    pub incomplete: u64,
    /// Number of connections of which both directions were captured.
    pub two_sided: u64,
    /// Number of segments that show that the capture lacks others while it lasts, at most a few per connection.
    pub unseen: u64,
    /// Number of connections whose packets the file holds more than once, because captures were merged whose clocks
    /// differ.
    pub repeated: u64,
    /// First of these connections.
    pub first_repeated: Option<RepeatedSyn>,
}

impl Tally {
    /// Counts a connection.
    pub(crate) fn connection(&mut self, connection: &Connection<'_>) {
        *self.states.entry(connection.zeek.conn_state()).or_default() += 1;
        if let Some(failure) = &connection.failure {
            *self.failures.entry(failure.kind).or_default() += 1;
        }
        for (end, bytes) in connection.zeek.ip_bytes().into_iter().enumerate() {
            let host = connection.ends.socket(end).ip();
            if bytes > 0 {
                add(&mut self.talkers, host, bytes);
            }
        }
        let gaps = connection.gaps;
        // Nothing is missing of an attempt without a reply.
        let failure = connection.failure.as_ref().map(|it| it.kind);
        let is_attempt = matches!(
            failure,
            Some(FailureKind::NoReply | FailureKind::RejectedByIcmp)
        );
        let lacks_side = gaps.one_sided && !is_attempt;
        if gaps.begins_midstream || gaps.lost.is_some() || lacks_side {
            self.incomplete += 1;
        }
        self.two_sided += u64::from(!gaps.one_sided);
        self.unseen += u64::from(gaps.unseen);
        self.repeated += u64::from(connection.repeated.is_some());
        self.note_repeated(connection.repeated);
    }

    fn note_repeated(&mut self, other: Option<RepeatedSyn>) {
        let both = self.first_repeated.into_iter().chain(other);
        self.first_repeated = both.min_by_key(|it| it.frame);
    }

    /// Counts an RST.
    pub(crate) fn reset(&mut self, connection: &Connection<'_>, record: &ResetRecord) {
        *self.causes.entry(record.explanation.cause).or_default() += 1;
        let verdict = record.sender().verdict;
        *self.senders.entry(verdict).or_default() += 1;
        if verdict == SenderVerdict::Doubtful {
            let frames = self.first_doubtful.into_iter();
            self.first_doubtful = frames.chain([record.reset.frame]).min();
        }
        let socket = connection.socket(record.reset.from);
        let source = ResetSource {
            address: socket.ip(),
            // A client's ports are ephemeral: counting each of them would hide which host the RSTs come from.
            port: (record.reset.from == Role::Server).then_some(socket.port()),
        };
        add(&mut self.sources, source, 1);
    }

    /// Counts an ICMP error.
    pub fn icmp(&mut self, record: &IcmpRecord) {
        *self.icmp.entry(record.kind).or_default() += 1;
        self.failed_by_icmp += u64::from(record.ends_attempt());
    }

    /// Adds the counts of other connections.
    pub(crate) fn merge(&mut self, other: Self) {
        add_counts(&mut self.causes, other.causes);
        add_counts(&mut self.states, other.states);
        add_counts(&mut self.failures, other.failures);
        add_counts(&mut self.icmp, other.icmp);
        add_counts(&mut self.senders, other.senders);
        self.failed_by_icmp += other.failed_by_icmp;
        for (source, number) in other.sources {
            *self.sources.entry(source).or_default() += number;
        }
        for (host, bytes) in other.talkers {
            *self.talkers.entry(host).or_default() += bytes;
        }
        keep_largest(&mut self.sources);
        keep_largest(&mut self.talkers);
        let frames = self.first_doubtful.into_iter();
        self.first_doubtful = frames.chain(other.first_doubtful).min();
        self.incomplete += other.incomplete;
        self.two_sided += other.two_sided;
        self.unseen += other.unseen;
        self.repeated += other.repeated;
        self.note_repeated(other.first_repeated);
    }

    /// Returns the number of RSTs that a third party probably sent.
    #[must_use]
    pub fn doubtful(&self) -> u64 {
        let count = self.senders.get(&SenderVerdict::Doubtful);
        count.copied().unwrap_or_default()
    }

    /// Returns the hosts that sent the most bytes of IP, with the number of bytes: at most `most` hosts, largest first.
    #[must_use]
    pub fn top_talkers(&self, most: usize) -> Vec<(IpAddr, u64)> {
        largest(&self.talkers, most)
    }

    /// Returns the source addresses with the most RSTs, with the number of RSTs: at most `most` addresses, largest
    /// first.
    #[must_use]
    pub fn reset_sources(&self, most: usize) -> Vec<(ResetSource, u64)> {
        largest(&self.sources, most)
    }
}

/// Adds these counts to those of the same keys.
fn add_counts<K: Ord>(counts: &mut BTreeMap<K, u64>, others: BTreeMap<K, u64>) {
    for (key, number) in others {
        *counts.entry(key).or_default() += number;
    }
}

/// Adds to the count of a key. A new key is ignored once `MAX_COUNTED_SENDERS` keys are counted.
fn add<T: Eq + Hash>(counts: &mut HashMap<T, u64>, who: T, by: u64) {
    let has_room = counts.len() < MAX_COUNTED_SENDERS;
    // A known key is always counted, so a full table does not make its counts wrong.
    if let Some(count) = counts.get_mut(&who) {
        *count += by;
    } else if has_room {
        counts.insert(who, by);
    }
}

/// Removes the smallest counts beyond `MAX_COUNTED_SENDERS`.
fn keep_largest<T: Copy + Ord + Hash>(counts: &mut HashMap<T, u64>) {
    if counts.len() > MAX_COUNTED_SENDERS {
        *counts = largest(counts, MAX_COUNTED_SENDERS).into_iter().collect();
    }
}

/// Returns the `most` entries with the largest counts, largest first.
fn largest<T: Copy + Ord>(counts: &HashMap<T, u64>, most: usize) -> Vec<(T, u64)> {
    let mut all: Vec<_> = counts.iter().map(|(who, count)| (*who, *count)).collect();
    // Equal counts are ordered by key: the iteration order of a hash map differs from run to run.
    all.sort_by_key(|(who, count)| (Reverse(*count), *who));
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_merged_tally_counts_no_more_senders_than_any_other() {
        let part = |first: u32, bytes: u64| {
            let mut tally = Tally::default();
            for nth in 0..=u32::try_from(MAX_COUNTED_SENDERS).unwrap() {
                let host = Ipv4Addr::from_bits(first + nth).into();
                add(&mut tally.talkers, host, bytes);
                let source = ResetSource {
                    address: host,
                    port: None,
                };
                add(&mut tally.sources, source, bytes);
            }
            tally
        };
        let mut tally = part(0, 1);
        tally.merge(part(1 << 24, 2));
        let talkers = tally.top_talkers(usize::MAX);
        assert_eq!(talkers.len(), MAX_COUNTED_SENDERS);
        assert!(talkers.iter().all(|(_, bytes)| *bytes == 2));
        let sources = tally.reset_sources(usize::MAX);
        assert_eq!(sources.len(), MAX_COUNTED_SENDERS);
        assert!(sources.iter().all(|(_, resets)| *resets == 2));
    }
}
