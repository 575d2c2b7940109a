//! Segments that RSTs reply to, where several have the same number.
//!
//! An RST in reply to a segment carries a number of that segment, and segments that an end sends one after the other may
//! all have it: a socket that is gone sends an RST for each. The RSTs show which one each of them replies to only if there are
//! as many as segments.

use super::ResetRecord;

/// Assigns each RST of a run with the same number to one of the segments that have it, in the order of both, if there are
/// as many of each.
pub(super) fn assign(resets: &mut [ResetRecord]) {
    let mut left = resets;
    while let Some(first) = left.first() {
        let (reset, numbers) = (first.reset, (first.header.seq, first.header.ack));
        let is_alike = |it: &ResetRecord| {
            it.reset.from == reset.from
                && it.reset.form == reset.form
                && (it.header.seq, it.header.ack) == numbers
        };
        let length = left.iter().take_while(|it| is_alike(it)).count();
        let (run, later) = left.split_at_mut(length);
        let segments = run.last().map_or(Vec::new(), |last| last.triggers.clone());
        // With an RST between them, the run is not all of them: a later RST may reply to an earlier segment.
        let is_complete = segments.len() == run.len() && !later.iter().any(is_alike);
        // The list is that before the last RST, and earlier ones cannot reply to what came after them.
        let precede = || (run.iter().zip(&segments)).all(|(it, segment)| *segment < it.reset.frame);
        if is_complete && precede() {
            for (record, segment) in run.iter_mut().zip(segments) {
                record.triggers = vec![segment];
                record.reset.triggered_by = Some(segment);
            }
        }
        left = later;
    }
}
