//! Tests of the table of connections: the lists that it bounds.

use super::*;
use crate::file::Statistics;

/// pcapng draft, 4.6: the counts of an interface begin with the capture, so its latest block has its total.
#[test]
fn drops_are_the_sum_of_the_latest_counts_of_all_interfaces() {
    let mut totals = Totals::default();
    assert_eq!(totals.dropped(), 0);
    for (interface, dropped) in [(0, Some(5)), (1, Some(7)), (0, Some(9)), (1, None)] {
        let mut batch = Batch::default();
        batch.count(&Statistics {
            interface,
            dropped,
            ..Statistics::default()
        });
        totals.add(&batch);
    }
    assert_eq!(totals.dropped(), 9 + 7);
    let mut batch = Batch::default();
    for dropped in [10, 11] {
        batch.count(&Statistics {
            dropped: Some(dropped),
            ..Statistics::default()
        });
    }
    totals.add(&batch);
    assert_eq!(totals.dropped(), 11 + 7);
}

#[test]
fn the_first_resets_and_the_last_are_listed() {
    let mut frames = Vec::new();
    for frame in 1..=64 {
        push_bounded(&mut frames, frame);
    }
    assert_eq!(frames, (1..=64).collect::<Vec<_>>());
    push_bounded(&mut frames, 70);
    push_bounded(&mut frames, 99);
    let expected: Vec<_> = (1..=63).chain([99]).collect();
    assert_eq!(frames, expected);
}
