//! Traffic that a whole capture lacks, as a capture filter leaves it: only RSTs, only one direction, no data.
//!
//! Such a capture is common, because a filter for RSTs looks like the way to find out about RSTs. What it lacks is what
//! would explain them.

use serde::{Serialize, Serializer};

use super::connections::Totals;
use super::decode::Batch;
use super::tally::Tally;
use crate::packet::{Flags, Header};

/// Search for frames among which a capture filter hides all segments without SYN, FIN and RST: those from the first FIN on, if
/// the capture holds no such segment up to them. A connection has some before its FIN.
#[derive(Debug, Default)]
pub(super) struct HiddenPlain {
    first_fin: Option<u32>,
    first_plain: Option<u32>,
}

impl HiddenPlain {
    /// Looks into a batch, of which `before` frames came earlier, and notes there what is known up to it.
    pub(super) fn take(&mut self, batch: &mut Batch, before: u32) {
        let first = |has: fn(&Header) -> bool| {
            let segments = batch.segments.iter().flatten();
            let frames = segments.filter(|it| has(&it.header));
            let first = frames.map(|it| it.header.frame).min();
            first.map(|frame| frame.saturating_add(before).saturating_add(1))
        };
        // Nearly every capture has a plain segment in its first batch, so that later ones are not searched.
        if self.first_plain.is_none() {
            self.first_fin = (self.first_fin).or_else(|| first(|it| it.flags.has(Flags::FIN)));
            if batch.kinds.plain {
                self.first_plain = first(|it| SegmentKinds::of(it).plain);
            }
        }
        let end = self.first_plain.unwrap_or(u32::MAX);
        batch.hidden_plain = self.first_fin.unwrap_or(end)..end;
    }
}

/// Kinds of segments that a capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentKinds {
    /// True if there is a segment without SYN, FIN and RST.
    pub plain: bool,
    /// True if there is a segment with data that is not an RST.
    pub data: bool,
}

impl SegmentKinds {
    /// Returns the kind of one segment.
    fn of(header: &Header) -> Self {
        let mut kinds = Self::default();
        kinds.add(header);
        kinds
    }

    /// Adds a segment.
    #[inline]
    pub(super) fn add(&mut self, header: &Header) {
        self.plain |= header.flags.0 & (Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0) == 0;
        self.data |= header.payload_len > 0 && !header.flags.has(Flags::RST);
    }

    /// Adds the kinds of other segments.
    pub(super) fn merge(&mut self, other: Self) {
        self.plain |= other.plain;
        self.data |= other.data;
    }
}

/// Traffic that a capture lacks as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingTraffic {
    /// All segments except RSTs.
    AllButRst,
    /// All segments except those with SYN, FIN or RST.
    AllButSynFinRst,
    /// One direction of every connection.
    OneDirection,
    /// All segments with data.
    Data,
}

impl MissingTraffic {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::AllButRst,
        Self::AllButSynFinRst,
        Self::OneDirection,
        Self::Data,
    ];

    /// Returns what a capture lacks; `None` if it lacks nothing, or only some segments of one kind or another.
    ///
    /// Refused connections alone leave only SYNs and RSTs, and an end that is down leaves only one direction. So except
    /// for RSTs alone, other segments must show that there was more: an acknowledgment of what was not captured, or an
    /// RST that is ahead of it.
    #[must_use]
    pub fn of(totals: &Totals, tally: &Tally) -> Option<Self> {
        if Self::holds_only_resets(totals) {
            return Some(Self::AllButRst);
        }
        if tally.unseen == 0 {
            return None;
        }
        if !totals.kinds.plain {
            Some(Self::AllButSynFinRst)
        } else if tally.two_sided == 0 {
            Some(Self::OneDirection)
        } else if !totals.kinds.data && tally.unseen > 1 {
            // A single one may be forged.
            Some(Self::Data)
        } else {
            None
        }
    }

    /// Returns true if there are RSTs and no other segments.
    #[must_use]
    pub fn holds_only_resets(totals: &Totals) -> bool {
        totals.tcp > 0 && totals.reset_frames == totals.tcp
    }

    /// Returns the stable id, in kebab-case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::AllButRst => "all-but-rst",
            Self::AllButSynFinRst => "all-but-syn-fin-rst",
            Self::OneDirection => "one-direction",
            Self::Data => "data",
        }
    }

    /// Returns what the capture holds instead: a sentence without full stop.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::AllButRst => {
                "this capture holds only RSTs, so it does not show why they were sent"
            }
            Self::AllButSynFinRst => {
                "this capture holds only segments with SYN, FIN or RST, so it does not show what the RSTs reply to"
            }
            Self::OneDirection => {
                "this capture holds only one direction of each connection, so it does not show what the other end had received"
            }
            Self::Data => {
                "this capture holds no segments with data, although acknowledgments show that data was sent"
            }
        }
    }

    /// Returns the capture filter that records what is missing.
    #[must_use]
    pub fn filter(self) -> &'static str {
        "tcp"
    }
}

impl Serialize for MissingTraffic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
