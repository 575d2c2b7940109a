//! Light states compared with entries that have taken in the same segments.

use std::time::Duration;

use super::super::super::decode::Batch;
use super::super::traffic::{Traffic, follow, state};
use super::super::{Connection, ConnectionObserver, Entry, ResetRecord, Table, Tick};
use super::*;

/// Takes in a segment as a table does: with a light state as long as it accepts segments, and then with the entry.
fn follow_lightly(
    light: &mut Option<Light>,
    entry: &mut Option<Entry>,
    segment: &SegmentRecord,
) -> String {
    if let Some(before) = light {
        if before.take(segment, &[], &mut WordCache::default()) {
            return state(&before.expand());
        }
        (*entry, *light) = (Some(before.expand()), None);
    }
    if entry.as_ref().is_none_or(|it| it.is_replaced_by(segment)) && Light::may_begin_with(segment)
    {
        let mut new = Light::before(segment);
        new.begin(segment, &[]);
        let expanded = state(&new.expand());
        (*entry, *light) = (None, Some(new));
        return expanded;
    }
    follow(entry, segment, |it, is_new| {
        it.take(segment, &[], is_new);
    })
}

/// Losses, copies, changed fields, reordered segments, jumps of time, and connections that are closed in all orders.
#[test]
fn a_light_state_expands_to_the_entry_that_the_long_way_gives() {
    let (mut light_segments, mut closed) = (0, 0);
    for seed in 0..1_200 {
        let mut traffic = Traffic::new(seed);
        let (mut light, mut entry, mut long) = (None, None, None);
        for _ in 0..60 {
            let segment = traffic.next();
            let expanded = follow_lightly(&mut light, &mut entry, &segment);
            let full = follow(&mut long, &segment, |it, is_new| {
                it.take_alone(&segment, &[], is_new);
            });
            assert_eq!(
                expanded, full,
                "seed {seed}, frame {}",
                segment.header.frame
            );
            let (Some(light), Some(long)) = (&light, &long) else {
                continue;
            };
            assert_eq!(light.dormant_at(), long.dormant_at());
            assert!(light.may_have_stopped() || long.stop().is_none());
            light_segments += 1;
            closed += u32::from(light.has(BOTH_CLOSED));
        }
    }
    assert!(
        light_segments > 10_000,
        "only {light_segments} of 72,000 segments"
    );
    assert!(closed > 100, "only {closed} segments after the close");
}

/// Observer that notes what is reported. One that observes segments makes its table keep full states only.
struct Notes<const FULL: bool>(Vec<String>);

impl<const FULL: bool> ConnectionObserver for Notes<FULL> {
    type Output = ();
    const OBSERVES_SEGMENTS: bool = FULL;

    fn connection(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]) {
        self.0.push(format!("{connection:?} {resets:?}"));
    }

    fn resets(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]) {
        self.0.push(format!("resets of {connection:?} {resets:?}"));
    }

    fn failed(&mut self, connection: &Connection<'_>) {
        self.0.push(format!("failed: {connection:?}"));
    }

    fn take_output(&mut self) {}
}

/// Returns the segments of many connections at a time, in batches of a few.
fn batches(seed: u32) -> Vec<Vec<SegmentRecord>> {
    let mut traffics: Vec<(Traffic, i64)> = (0..40)
        .map(|nth| (Traffic::new(seed * 1_000 + nth), 1_700_000_000_000_000_000))
        .collect();
    let mut clock = 1_700_000_000_000_000_000;
    let mut chosen = seed;
    let batches = 0..60;
    let batch = |size: u32| {
        let of_batch = 0..size;
        let segments = of_batch.map(|frame| {
            chosen = chosen.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let nth = (chosen >> 16) % 40;
            let (traffic, last) = &mut traffics[nth as usize];
            let mut segment = traffic.next();
            clock += segment.header.at.0 - *last;
            *last = segment.header.at.0;
            (segment.header.at, segment.header.frame) = (Timestamp(clock), frame);
            let port = 40_000 + u16::try_from(nth).unwrap();
            let client = (std::net::Ipv4Addr::new(192, 0, 2, 1).into(), port);
            let server = (std::net::Ipv4Addr::new(192, 0, 2, 2).into(), 80);
            segment.ends = FlowKey::of(client, server).0;
            // Some connections have one hash.
            segment.hash = nth % 30;
            segment
        });
        segments.collect()
    };
    batches.map(|nth| 5 + nth % 50).map(batch).collect()
}

/// Returns what a table of this size reports about these segments.
fn reported<const FULL: bool>(batches: &[Vec<SegmentRecord>], max_open: usize) -> Vec<String> {
    let mut table = Table::new(Notes::<FULL>(Vec::new()), max_open);
    let mut before = 0;
    for segments in batches {
        let mut batch = Batch::default();
        batch.segments[0].clone_from(segments);
        table.take(&mut batch, 0, &[], before);
        before += u32::try_from(segments.len()).unwrap();
        let elapsed = Duration::from_secs(before.into());
        table.report_live(&Tick {
            frame: before,
            latest: table.now(),
            elapsed,
            silent: Duration::ZERO,
        });
    }
    let mut open = table.end(table.now());
    open.sort_unstable();
    for (_, index) in open {
        table.finish(index);
    }
    table.into_listener().0
}

/// Connections that become dormant, continue, are evicted or fail are reported alike, in the same order.
#[test]
fn a_table_with_light_states_reports_what_one_without_them_does() {
    for seed in 0..40 {
        let batches = batches(seed);
        for max_open in [8, 1_000] {
            let (light, full) = (
                reported::<false>(&batches, max_open),
                reported::<true>(&batches, max_open),
            );
            assert!(full.len() > 40);
            for (nth, (light, full)) in light.iter().zip(&full).enumerate() {
                assert_eq!(light, full, "seed {seed}, {max_open} at most, report {nth}");
            }
            assert_eq!(light.len(), full.len());
        }
    }
}
