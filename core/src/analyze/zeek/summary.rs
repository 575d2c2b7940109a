//! Summary of Zeek's records of one connection.
//!
//! Zeek ends its record of a connection when a timer expires, and begins another one if the connection continues.
//! Here a connection lasts until a SYN replaces it, so it may have several records.

use super::history::History;
use super::{ConnState, Zeek};
use crate::time::Timestamp;

/// Sum of Zeek's records of one connection: state, history and originator are those of the last record. Pairs are in the
/// order of the connection's [ends](crate::analyze::decode::FlowKey), not in Zeek's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeekSummary {
    began: Timestamp,
    last_time: Timestamp,
    history: History,
    bytes: [u64; 2],
    ip_bytes: [u64; 2],
    packets: [u32; 2],
    /// Fields that most connections do not need.
    rare: Option<Box<Rare>>,
    records: u32,
    state: ConnState,
    originator: u8,
    has_closed: bool,
}

/// Letters for which the history had no room, and the number of missing bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    letters: Box<[u8]>,
    missed: u64,
}

// A capture may have a million dormant connections, with one summary each.
const _: () = assert!(size_of::<ZeekSummary>() <= 80);

impl Zeek {
    /// Returns this record, given the end that side 0 is.
    #[must_use]
    pub(crate) fn summary(&self, first: usize) -> ZeekSummary {
        // Zeek lists the originator first; end `end` is its role `originator ^ end`.
        let originator = (self.originator() ^ first) & 1;
        let by_end = |pair: [u64; 2]| [pair[originator], pair[originator ^ 1]];
        let letters = self.trouble.as_ref().map_or(&[][..], |it| &it.letters);
        let missed = self.missed_bytes();
        let packets = [0, 1].map(|end| self.end_of(originator ^ end).packets);
        ZeekSummary {
            began: self.began,
            last_time: self.last_time,
            history: self.history,
            bytes: by_end(self.sequence_space()),
            ip_bytes: by_end(self.ip_bytes()),
            packets,
            rare: (!letters.is_empty() || missed > 0).then(|| {
                Box::new(Rare {
                    letters: letters.into(),
                    missed,
                })
            }),
            records: 1,
            state: self.conn_state(),
            originator: u8::from(originator == 1),
            has_closed: self.ends.iter().any(|end| end.did_close),
        }
    }
}

impl ZeekSummary {
    /// Adds the records before this one.
    #[must_use]
    pub(crate) fn after(mut self, earlier: &Self) -> Self {
        let sum = |one: [u64; 2], other: [u64; 2]| {
            [0, 1].map(|end: usize| one[end].saturating_add(other[end]))
        };
        self.began = earlier.began;
        self.last_time = self.last_time.max(earlier.last_time);
        self.bytes = sum(self.bytes, earlier.bytes);
        self.ip_bytes = sum(self.ip_bytes, earlier.ip_bytes);
        self.packets =
            [0, 1].map(|end: usize| self.packets[end].saturating_add(earlier.packets[end]));
        self.records = self.records.saturating_add(earlier.records);
        self.has_closed |= earlier.has_closed;
        let missed = earlier.missed_bytes();
        if missed > 0 {
            let rare = self.rare.get_or_insert_default();
            rare.missed = rare.missed.saturating_add(missed);
        }
        self
    }

    /// Returns the number of Zeek's records.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Returns the `conn_state` of the last record, as Zeek would log it if the record were over now.
    #[must_use]
    pub fn conn_state(&self) -> ConnState {
        self.state
    }

    /// Returns the history letters of the last record; those of the originator are capital.
    #[must_use]
    pub fn history(&self) -> String {
        let more = self.rare.as_ref().map_or(&[][..], |it| &it.letters);
        self.history.text(more)
    }

    /// Returns the end that is the originator of the last record.
    #[must_use]
    pub fn originator(&self) -> usize {
        usize::from(self.originator & 1)
    }

    /// Returns the number of bytes of payload that each end has sent, by sequence numbers. As in Zeek, `None` if there is
    /// no duration.
    #[must_use]
    pub fn bytes(&self) -> Option<[u64; 2]> {
        self.duration().map(|_| self.bytes)
    }

    /// Returns the number of packets that each end has sent.
    #[must_use]
    pub fn packets(&self) -> [u64; 2] {
        self.packets.map(u64::from)
    }

    /// Returns the number of bytes of IP that each end has sent.
    #[must_use]
    pub fn ip_bytes(&self) -> [u64; 2] {
        self.ip_bytes
    }

    /// Returns the number of bytes, over both ends, that were acknowledged but not captured.
    #[must_use]
    pub fn missed_bytes(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.missed)
    }

    /// Returns the time of the first packet.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Returns the duration in nanoseconds from the first packet to the last one that Zeek counts. `None` if that packet
    /// is not later than the first.
    #[must_use]
    pub fn duration(&self) -> Option<i64> {
        let duration = self.last_time.since(self.began);
        (duration > 0).then_some(duration)
    }

    /// Returns true if an end has closed in one of the records: it has sent its FIN or RST, and all data before it.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.has_closed
    }
}
