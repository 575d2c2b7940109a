//! RSTs in captures that were printed as text: what the text does not show of them.

use super::super::decode::SegmentRecord;
use super::super::forgery::{self, Context, Indicator, PacketFeatures};
use super::Entry;
use crate::file::Absent;
use crate::flow::{Acceptance, Reset};

/// Parts of an RST that a text shows; a capture shows all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShownByText {
    /// Relation of its SEQ to the other numbers of the connection.
    pub(super) sequence: bool,
    /// Capture point, of a connection whose packets were captured at several.
    point: bool,
    /// Which packets are copies of others: only times tell a copy from a retransmission.
    pub(super) copies: bool,
}

impl ShownByText {
    pub(super) const ALL: Self = Self {
        sequence: true,
        point: true,
        copies: true,
    };
}

impl Entry {
    /// Makes the acceptance of an RST unknown as far as a text does not show what it depends on.
    pub(super) fn limit_by_text(&self, segment: &SegmentRecord, reset: &mut Reset) -> ShownByText {
        let sequence = !segment.absent.has(Absent::SEQUENCE);
        if !sequence {
            // Its number is not on the scale of the others.
            (reset.acceptance, reset.triggered_by) = (Acceptance::Unknown, None);
        }
        // Without times a copy looks like a retransmission.
        let may_have_copies = self.rare.as_ref().is_some_and(|it| it.may_have_copies);
        let is_doubled = self.gaps.doubled || may_have_copies;
        let point = !is_doubled || !segment.absent.has(Absent::POINT);
        if !point {
            // Neither is shown which of several points has the RST, nor which is nearer to its receiver.
            reset.acceptance = Acceptance::PointUnknown;
        }
        let copies = !is_doubled || !segment.absent.has(Absent::TIME);
        ShownByText {
            sequence,
            point,
            copies,
        }
    }

    /// Returns the indicators that are known when an RST is captured.
    pub(super) fn facts(
        &self,
        segment: &SegmentRecord,
        packet: &[u8],
        context: &Context,
        shown: ShownByText,
    ) -> Vec<Indicator> {
        let features = PacketFeatures::of(packet).filter(|_| shown.sequence);
        features.map_or_else(Vec::new, |features| {
            let features = features.known(&segment.ip);
            let sender = &self.profiles[segment.sender];
            forgery::facts(&features, &segment.header, sender, context)
        })
    }
}
