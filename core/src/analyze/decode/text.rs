//! Frames that were made from text.

use super::{Batch, FrameDecoder};
use crate::file::{Absent, Frame};

impl FrameDecoder<'_> {
    /// Decodes a frame of a text. Its interface shows what it lacks, and is no capture point.
    #[cold]
    pub(super) fn decode_text(
        &mut self,
        batch: &mut Batch,
        kind: u16,
        frame: &Frame<'_>,
        bytes: &[u8],
    ) {
        let absent = Absent::of_interface(frame.interface);
        if absent.is_padding() {
            batch.frames = batch.frames.saturating_add(1);
            batch.padding += 1;
            return;
        }
        let frame = Frame {
            interface: 0,
            comments: Vec::new(),
            ..*frame
        };
        self.decode_as(batch, kind, &frame, bytes, absent);
    }
}
