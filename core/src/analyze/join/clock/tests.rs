//! Tests of the lead of a clock, from bounds as segments set them.

use super::*;

const SECOND: i64 = 1_000_000_000;
const MICRO: i64 = 1_000;

/// Frame at this time.
fn frame(at: i64) -> u32 {
    u32::try_from(at / (SECOND / 10)).unwrap() + 1
}

/// Bounds of one exchange per 100 ms, whose delays vary by some microseconds, given the true lead at each time.
fn exchanges(count: i64, lead: impl Fn(i64) -> i64) -> Vec<Bound> {
    let each = (0..count).flat_map(|nth| {
        let at = nth * SECOND / 10;
        let (there, back) = (100 + nth * 7 % 13, 150 + nth * 5 % 11);
        [
            Bound::upper(at, lead(at) + there * MICRO).of([frame(at); 2]),
            Bound::lower(at + SECOND / 1000, lead(at + SECOND / 1000) - back * MICRO)
                .of([frame(at); 2]),
        ]
    });
    each.collect()
}

#[track_caller]
fn clock(bounds: &[Bound]) -> Clock {
    let clock = Clock::of(bounds).unwrap();
    assert!(!clock.leads.is_empty());
    clock
}

/// RFC 5905, 8: half of the difference of the least delays (100 and 150 µs) is the error, half of their sum its bound.
#[test]
fn a_constant_lead_is_in_the_middle_between_the_bounds() {
    for lead in [0, 3_600 * SECOND, -3_600 * SECOND] {
        let clock = clock(&exchanges(100, |_| lead));
        assert_eq!(clock.leads.len(), 1);
        assert_eq!(clock.leads[0].ahead_ns, lead - 25 * MICRO);
        let error = clock.uncertainty_ns.unwrap();
        // The bounds of each part of the time are not the least ones: 100 ppm of a second are 100 µs.
        assert!((125 * MICRO..230 * MICRO).contains(&error), "{error}");
        assert_eq!(
            clock.corrected(9 * SECOND + lead, None),
            9 * SECOND + 25 * MICRO
        );
    }
    assert_eq!(Clock::of(&[]), None);
}

#[test]
fn a_clock_of_another_rate_is_followed() {
    for ppm in [-400, -20, 20, 400] {
        let lead = |at: i64| SECOND + at / 1_000_000 * ppm;
        let clock = clock(&exchanges(6_000, lead));
        assert_eq!(clock.leads.len(), 1, "{ppm}");
        for at in [0, 100 * SECOND, 599 * SECOND] {
            let corrected = clock.corrected(at + lead(at), Some(frame(at)));
            assert!(
                (corrected - at).abs() < 30 * MICRO,
                "{ppm}: {at} {corrected}"
            );
        }
    }
}

/// A clock that is set twice, once back.
#[test]
fn a_clock_that_is_set_has_several_leads() {
    let lead = |at: i64| match at / SECOND {
        0..20 => 5 * SECOND,
        20..40 => -2 * SECOND,
        _ => 9 * SECOND,
    };
    let clock = clock(&exchanges(600, lead));
    let ahead: Vec<i64> = clock.leads.iter().map(|it| it.ahead_ns / SECOND).collect();
    assert_eq!(ahead, [4, -2, 8]); // 25 µs less than the true leads, rounded towards 0
    for at in [SECOND, 19 * SECOND, 25 * SECOND, 55 * SECOND] {
        let corrected = clock.corrected(at + lead(at), Some(frame(at)));
        assert!((corrected - at).abs() < 100 * MICRO, "{at} {corrected}");
    }
}

/// A segment that is taken for an earlier transmission of the same data does not break the lead.
#[test]
fn one_wrong_bound_is_left_out() {
    let mut bounds = exchanges(200, |_| 0);
    bounds[150].ahead = -300_000 * MICRO;
    let clock = clock(&bounds);
    assert_eq!(clock.leads.len(), 1, "{clock:?}");
    assert!(clock.leads[0].ahead_ns.abs() < 100 * MICRO);
}

/// With one direction the shortest delay counts as 0, but no segment passes both points at the same time.
#[test]
fn one_direction_gives_one_bound() {
    let bounds = exchanges(50, |_| SECOND);
    let (uppers, lowers): (Vec<Bound>, Vec<Bound>) = bounds.iter().partition(|it| it.is_upper);
    let upper = clock(&uppers);
    assert_eq!((upper.bounds, upper.uncertainty_ns), (Bounds::Upper, None));
    assert_eq!(upper.leads[0].ahead_ns, SECOND + 100 * MICRO - 1);
    let lower = clock(&lowers);
    assert_eq!((lower.bounds, lower.uncertainty_ns), (Bounds::Lower, None));
    assert_eq!(lower.leads[0].ahead_ns, SECOND - 150 * MICRO + 1);
}

/// Seen from the other file, all is reversed.
#[test]
fn the_other_clock_is_behind_by_as_much() {
    let bounds = exchanges(50, |_| 7 * SECOND);
    let reversed: Vec<Bound> = bounds.iter().map(|it| it.reversed()).collect();
    let (one, other) = (clock(&bounds), clock(&reversed));
    assert_eq!(one.leads[0].ahead_ns, -other.leads[0].ahead_ns);
}

/// No times of a file make the search fail.
#[test]
fn extreme_times_are_taken() {
    let times = [i64::MIN, -1, 0, 1, i64::MAX];
    for at in times {
        for ahead in times {
            let bounds = [
                Bound::upper(at, ahead),
                Bound::lower(0, ahead),
                Bound::upper(1, -1).reversed(),
                Bound::lower(ahead, at).reversed(),
            ];
            let clock = clock(&bounds);
            for own in times {
                let _ = clock.corrected(own, Some(3));
            }
        }
    }
}
