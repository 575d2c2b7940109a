//! Last messages of the ends: what segments add to them, and the connections that they are kept for.

use super::super::decode::SegmentRecord;
use super::super::failure::Failure;
use super::super::last_words::{Candidate, LastWords, Spoken, WordCache};
use super::Entry;
use crate::packet::Flags;
use crate::transcript::{PerEnd, Role};

/// Last message of each end, if it is known.
pub(super) type Words = PerEnd<Option<LastWords>>;

/// Returns the last messages of a connection; `None` if none is known.
pub(super) fn words_of(cache: &WordCache, connection: u32) -> Option<Box<Words>> {
    let words = PerEnd::of(|role| cache.of(connection, role));
    (words != PerEnd::default()).then(|| Box::new(words))
}

/// Returns the failure with what the protocol of its connection shows.
pub(super) fn completed(failure: Option<Failure>, words: Option<&Words>) -> Option<Failure> {
    failure.map(|mut failure| {
        failure.name_timeouts(words.and_then(protocol));
        failure
    })
}

/// Returns the protocol of a connection.
pub(super) fn protocol(words: &Words) -> Option<super::super::Protocol> {
    let of = |words: &Option<LastWords>| words.as_ref().map(|it| it.protocol);
    of(&words.server).or(of(&words.client))
}

/// Returns the frame of the final response that a server has sent to the last request of its client; `None` if there is none, or if
/// the capture does not show it.
pub(super) fn answer(words: &Words) -> Option<u32> {
    let request = words.client.as_ref().filter(|it| it.is_request)?;
    let response = words.server.as_ref().filter(|it| it.is_response)?;
    (request.frame < response.frame).then_some(response.frame)
}

/// Returns the captured payload of a segment.
pub(super) fn payload<'b>(segment: &SegmentRecord, bytes: &'b [u8]) -> &'b [u8] {
    let packet = segment.packet(bytes);
    let len = segment.header.payload_len;
    let start = segment.ip_len.saturating_sub(len) as usize;
    let end = packet.len().min(segment.ip_len as usize);
    packet.get(start..end).unwrap_or_default()
}

impl Entry {
    /// Takes in the begin of a segment with data, before the segment is taken in.
    #[inline]
    pub(super) fn keep_words(
        &mut self,
        cache: &mut WordCache,
        segment: &SegmentRecord,
        bytes: &[u8],
    ) {
        // Most data follows a request, and most protocols are none of those that are recognized.
        if self.exchange.spoken != Spoken::Other {
            self.keep_message(cache, segment, bytes);
        }
    }

    fn keep_message(&mut self, cache: &mut WordCache, segment: &SegmentRecord, bytes: &[u8]) {
        let header = &segment.header;
        let (from, data) = (self.role(segment.sender), payload(segment, bytes));
        let next = self.flow.snd_nxt(from);
        // The first bytes of a retransmission, or of a copy, begin no message.
        let is_new = next.is_none_or(|next| !header.seq.is_before(next));
        if data.is_empty() || !is_new || header.flags.has(Flags::RST) {
            return;
        }
        let is_first = next.is_none() || self.flow.relative(from, header.seq) == Some(1);
        self.exchange.spoken = cache.take(
            self.exchange.spoken,
            &Candidate {
                connection: self.span.0,
                frame: header.frame,
                from,
                data,
                len: header.payload_len,
                begins_turn: !self.exchange.has_last_word(from),
                may_lack_data: !is_first || self.gaps.begins_midstream || self.gaps.lost.is_some(),
                port: self.ends.port(1 - usize::from(self.client)),
            },
        );
    }

    /// Keeps the last messages of a connection that has probably failed, as long as they are in the cache.
    pub(super) fn note_words(&mut self, cache: &WordCache) {
        let number = self.span.0;
        let rare = self.rare();
        if rare.words.is_none() {
            rare.words = words_of(cache, number);
        }
    }

    /// Returns the last messages that were kept.
    pub(super) fn words(&self) -> Option<&Words> {
        self.rare.as_ref()?.words.as_deref()
    }
}

impl super::Connection<'_> {
    /// Returns the last message of an end that is recognized; `None` if there is none, or if the connection has neither an RST nor a
    /// failure.
    #[must_use]
    pub fn last_words(&self, role: Role) -> Option<&LastWords> {
        self.words.and_then(|words| words[role].as_ref())
    }
}
