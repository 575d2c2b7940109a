//! Payloads of segments, and checksums.

#![allow(clippy::cast_possible_truncation)] // a letter is a byte, a folded sum a word

use super::random::Random;

/// Text that no dissector takes for a protocol, with the sum of each prefix, so that a checksum needs no pass over the
/// payload.
#[derive(Debug)]
pub(super) struct Payload {
    text: Vec<u8>,
    sums: Vec<u64>,
}

/// Range of the payload's text.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    at: usize,
    pub(super) length: usize,
}

impl Stretch {
    pub(super) const NONE: Self = Self { at: 0, length: 0 };
}

impl Payload {
    /// Number of offsets at which a range may begin.
    const BEGINNINGS: usize = 1 << 14;
    /// Maximum length of a range in bytes.
    const MAX_LENGTH: usize = 1 << 11;

    pub(super) fn new() -> Self {
        let mut random = Random::new(26);
        let text: Vec<u8> = (0..Self::BEGINNINGS + Self::MAX_LENGTH)
            .map(|_| b'a' + random.below(26) as u8)
            .collect();
        let mut total = 0;
        let mut sums = vec![0];
        for pair in text.chunks_exact(2) {
            total += sum(pair);
            sums.push(total);
        }
        Self { text, sums }
    }

    /// Returns a range that begins at an even offset, since the sums are of 16-bit words.
    #[allow(clippy::unused_self)] // the text is what it is a stretch of
    pub(super) fn stretch(&self, seed: usize, length: usize) -> Stretch {
        let at = (seed % Self::BEGINNINGS) & !1;
        Stretch { at, length }
    }

    pub(super) fn text(&self, Stretch { at, length }: Stretch) -> &[u8] {
        &self.text[at..at + length]
    }

    pub(super) fn sum(&self, Stretch { at, length }: Stretch) -> u64 {
        let end = at + length;
        // A last odd byte is the high half of a word (RFC 1071).
        let odd = if length % 2 == 1 {
            u64::from(self.text[end - 1]) << 8
        } else {
            0
        };
        self.sums[end / 2] - self.sums[at / 2] + odd
    }
}

/// Returns the sum of the 16-bit words as RFC 1071 adds them, with the carries not yet folded in.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let mut total = 0;
    for word in bytes.chunks(2) {
        total += u64::from(word[0]) << 8;
        total += word.get(1).map_or(0, |low| u64::from(*low));
    }
    total
}

/// Folds the carries and returns the checksum, the complement of the sum.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
