//! Replies to SYNs of late.

use super::super::decode::FlowKey;
use crate::packet::SeqNum;

/// Maximum number of replies that are remembered. If there are more, the oldest is forgotten.
const MAX_REPLIES: usize = 1 << 13;

/// Acknowledgment numbers of the latest replies to SYNs, by the addresses of the frames.
///
/// Every connection adds one, and only a SYN that looks like the copy of another one asks for them. So they are not indexed,
/// but searched; their hashes are apart from the rest, which makes that fast.
#[derive(Debug, Default)]
pub(super) struct Replies {
    hashes: Vec<u32>,
    entries: Vec<(FlowKey, SeqNum)>,
    /// Place of the oldest reply once there are as many as can be.
    oldest: usize,
}

impl Replies {
    /// Adds a reply, given the hash of its ends.
    pub(super) fn add(&mut self, hash: u32, ends: FlowKey, ack: SeqNum) {
        if self.hashes.len() < MAX_REPLIES {
            self.hashes.push(hash);
            self.entries.push((ends, ack));
            return;
        }
        (self.hashes[self.oldest], self.entries[self.oldest]) = (hash, (ends, ack));
        self.oldest = (self.oldest + 1) % MAX_REPLIES;
    }

    /// Returns the acknowledgment number of the latest reply between these ends, given their hash.
    pub(super) fn latest(&self, hash: u32, ends: &FlowKey) -> Option<SeqNum> {
        let (newer, older) = (0..self.oldest, self.oldest..self.hashes.len());
        let find = |places: std::ops::Range<usize>| {
            let is_it =
                |place: &usize| self.hashes[*place] == hash && self.entries[*place].0 == *ends;
            // Almost no search finds a reply, so all hashes are compared first, without a branch for each.
            let hashes = self.hashes[places.clone()].iter();
            let count: u32 = hashes.map(|it| u32::from(*it == hash)).sum();
            (count > 0).then(|| places.rev().find(is_it)).flatten()
        };
        let place = find(newer).or_else(|| find(older))?;
        Some(self.entries[place].1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn the_latest_reply_is_found_until_it_is_overwritten() {
        let ends = |nth: usize| {
            let port = u16::try_from(nth % 60_000).unwrap();
            let address = |last| IpAddr::from(Ipv4Addr::new(192, 0, 2, last));
            FlowKey::of((address(1), port), (address(2), 80)).0
        };
        let mut replies = Replies::default();
        let ack = |nth: usize| SeqNum(u32::try_from(nth).unwrap());
        // All hashes are equal, so that only the ends tell the replies apart.
        for nth in 0..3 * MAX_REPLIES {
            replies.add(7, ends(nth), ack(nth));
            assert_eq!(replies.latest(7, &ends(nth)), Some(ack(nth)));
            assert_eq!(replies.latest(8, &ends(nth)), None);
            if let Some(old) = nth.checked_sub(MAX_REPLIES) {
                assert_eq!(replies.latest(7, &ends(old)), None);
                assert_eq!(replies.latest(7, &ends(old + 1)), Some(ack(old + 1)));
            }
        }
        replies.add(7, ends(1), ack(1));
        replies.add(7, ends(1), ack(2));
        assert_eq!(replies.latest(7, &ends(1)), Some(ack(2)));
    }
}
