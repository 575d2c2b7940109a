//! Times in front of the lines of a text.
//!
//! tcpdump prints the time of day (default), seconds since the epoch (`-tt`), the time since the packet before (`-ttt`), date and time
//! (`-tttt`), the time since the first packet (`-ttttt`), or nothing (`-t`). Wireshark has the same forms (`-t`). Only seconds
//! since the epoch, and times with a `Z`, name a point in time: of the others, date or time zone are missing.

use serde::Serialize;

/// Meaning of the times in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextClock {
    /// Points in time.
    #[default]
    Absolute,
    /// Date and time of an unknown time zone.
    Local,
    /// Time of day, of an unknown day and time zone.
    TimeOfDay,
    /// Time since the first packet.
    Relative,
    /// No times, or none whose meaning the text shows.
    None,
}

const NS_PER_SEC: i64 = 1_000_000_000;
const NS_PER_DAY: i64 = 86_400 * NS_PER_SEC;

/// Time as it stands in a line, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Point in time.
    Absolute(i64),
    /// Date and time, as if the zone were UTC.
    Local(i64),
    /// `HH:MM:SS`: a time of day, or a duration.
    Clock(i64),
    /// Seconds with a fraction, too few for a point in time.
    Seconds(i64),
}

/// Takes the time off the front of a line. Returns it with the rest of the line.
pub(super) fn split(line: &str) -> Option<(Stamp, &str)> {
    /// Seconds from which on a number is a point in time: the year 1973.
    const MIN_EPOCH: i64 = 100_000_000;
    let (first, rest) = word(line)?;
    if let Some(day) = date(first) {
        let (time, rest) = word(rest)?;
        let (time, is_utc) = match time.strip_suffix('Z') {
            Some(time) => (time, true),
            None => (time, false),
        };
        let at = day.checked_add(clock(time)?)?;
        let stamp = if is_utc {
            Stamp::Absolute(at)
        } else {
            Stamp::Local(at)
        };
        return Some((stamp, rest));
    }
    if let Some(of_day) = clock(first.trim_end_matches('Z')) {
        return Some((Stamp::Clock(of_day), rest));
    }
    let at = seconds(first)?;
    let stamp = if at >= MIN_EPOCH * NS_PER_SEC {
        Stamp::Absolute(at)
    } else {
        Stamp::Seconds(at)
    };
    Some((stamp, rest))
}

/// Returns the first word of a text, and what follows it.
pub(super) fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Parses `SECONDS.FRACTION`, with at least three digits of a fraction: a plain number is something else.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || !(3..=9).contains(&fraction.len()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    whole
        .checked_mul(NS_PER_SEC)?
        .checked_add(billionths(fraction)?)
}

/// Returns the nanoseconds that up to nine digits after a decimal point stand for.
fn billionths(digits: &str) -> Option<i64> {
    let missing = 9_u32.checked_sub(u32::try_from(digits.len()).ok()?)?;
    digits.parse::<i64>().ok()?.checked_mul(10_i64.pow(missing))
}

/// Parses `HH:MM:SS.FRACTION`.
fn clock(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let mut part = |most: i64| {
        let text = parts.next()?;
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| text.parse::<i64>().ok())??;
        (number <= most).then_some(number)
    };
    let (hours, minutes, seconds) = (part(99)?, part(59)?, part(60)?);
    if parts.next().is_some()
        || fraction.is_empty()
        || !fraction.bytes().all(|it| it.is_ascii_digit())
    {
        return None;
    }
    Some((hours * 3_600 + minutes * 60 + seconds) * NS_PER_SEC + billionths(fraction)?)
}

/// Parses `YYYY-MM-DD`. Returns its nanoseconds since 1970-01-01.
fn date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let text = parts.next()?;
        let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok())?
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some()
        || !(1970..=2261).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
    {
        return None;
    }
    // Days of the proleptic Gregorian calendar; a year begins in March, so that the leap day is its last one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    days.checked_mul(NS_PER_DAY)
}

/// Conversion of the times of one text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    kind: Option<TextClock>,
    /// True if each time counts from the packet before.
    is_delta: bool,
    /// Time of the latest packet, and what was added for the days before.
    latest: i64,
    days: i64,
}

impl Clock {
    /// Creates the clock of a text, given the times of its first packets.
    pub(super) fn of(times: &[Option<Stamp>]) -> Self {
        /// Number of durations that do not all increase by chance.
        const SURE: usize = 6;
        let mut clock = Self {
            kind: None,
            is_delta: false,
            latest: 0,
            days: 0,
        };
        let durations: Vec<i64> = times
            .iter()
            .map_while(|it| match it {
                Some(Stamp::Clock(at) | Stamp::Seconds(at)) => Some(*at),
                _ => None,
            })
            .collect();
        // Durations begin with 0; so does a time of day at midnight, but hardly ever to the microsecond.
        let are_durations = match times.first() {
            Some(Some(Stamp::Clock(first))) => *first == 0,
            Some(Some(Stamp::Seconds(_))) => true,
            _ => false,
        };
        if are_durations {
            clock.is_delta = durations.windows(2).any(|it| it[1] < it[0]);
            let is_unclear = !clock.is_delta && (3..SURE).contains(&durations.len());
            // Of two packets both forms are the same.
            clock.kind = Some(match times.first() {
                Some(Some(Stamp::Clock(_))) if is_unclear => TextClock::None,
                _ => TextClock::Relative,
            });
        }
        clock
    }

    /// Returns the meaning of the times.
    pub(super) fn kind(&self) -> TextClock {
        self.kind.unwrap_or(TextClock::None)
    }

    /// Returns the time of the latest packet.
    pub(super) fn latest(&self) -> i64 {
        self.latest
    }

    /// Returns the time of the next packet in nanoseconds: since the epoch, or since the beginning of an unknown day, or since the
    /// first packet. A line without a usable time has that of the packet before.
    pub(super) fn take(&mut self, stamp: Option<Stamp>) -> i64 {
        let kind = *self.kind.get_or_insert(match stamp {
            None => TextClock::None,
            Some(Stamp::Absolute(_)) => TextClock::Absolute,
            Some(Stamp::Local(_)) => TextClock::Local,
            Some(Stamp::Clock(_)) => TextClock::TimeOfDay,
            Some(Stamp::Seconds(_)) => TextClock::Relative,
        });
        let at = match (kind, stamp) {
            (TextClock::Absolute, Some(Stamp::Absolute(at)))
            | (TextClock::Local, Some(Stamp::Local(at))) => at,
            (TextClock::TimeOfDay, Some(Stamp::Clock(at))) => self.of_day(at),
            (TextClock::Relative, Some(Stamp::Clock(at) | Stamp::Seconds(at))) => {
                let since = if self.is_delta { self.latest } else { 0 };
                since.saturating_add(at)
            }
            _ => self.latest,
        };
        self.latest = at;
        at
    }

    /// Returns a time of day that is more than half a day before the latest one on the next day.
    fn of_day(&mut self, at: i64) -> i64 {
        let on_this_day = at.saturating_add(self.days);
        if self.latest.saturating_sub(on_this_day) > NS_PER_DAY / 2 {
            self.days = self.days.saturating_add(NS_PER_DAY);
        }
        at.saturating_add(self.days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_time_is_read() {
        // 20,787 days lie between 1970-01-01 and 2026-11-30 (`date -u -d 2026-11-30 +%s` is 1795996800).
        let day = 20_787 * NS_PER_DAY;
        let time = (7 * 3_600 + 49 * 60 + 1) * NS_PER_SEC + 867_621_000;
        for (text, expected) in [
            ("07:49:01.867621 IP", Stamp::Clock(time)),
            ("2026-11-30 07:49:01.867621 IP", Stamp::Local(day + time)),
            (
                "2026-11-30 07:49:01.867621Z IP",
                Stamp::Absolute(day + time),
            ),
            (
                "1796024941.867621 IP",
                Stamp::Absolute(1_796_024_941_867_621_000),
            ),
            ("0.000011237 IP", Stamp::Seconds(11_237)),
        ] {
            assert_eq!(split(text), Some((expected, " IP")), "{text}");
        }
        for text in [
            "",
            "12",
            "IP",
            "7:49:01.1",
            "07:61:00.1",
            "2026-13-01 00:00:00",
            "1.5",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_follows_midnight() {
        let mut clock = Clock::of(&[]);
        let at = |hours: i64| Some(Stamp::Clock(hours * 3_600 * NS_PER_SEC));
        let taken = [23, 0, 1].map(|hours| clock.take(at(hours)) / NS_PER_SEC / 3_600);
        assert_eq!(taken, [23, 24, 25]);
        assert_eq!(clock.kind(), TextClock::TimeOfDay);
    }

    #[test]
    fn times_that_decrease_count_from_the_packet_before() {
        let times = [0, 5, 3].map(|ns| Some(Stamp::Clock(ns)));
        let mut clock = Clock::of(&times);
        assert_eq!(times.map(|it| clock.take(it)), [0, 5, 8]);
        let times = [0, 1, 2, 3, 4, 5].map(|ns| Some(Stamp::Clock(ns)));
        let mut clock = Clock::of(&times);
        assert_eq!(times.map(|it| clock.take(it)), [0, 1, 2, 3, 4, 5]);
        // Three times may be either: no time is better than a wrong one.
        let times = [0, 1, 2].map(|ns| Some(Stamp::Clock(ns)));
        assert_eq!(Clock::of(&times).kind(), TextClock::None);
    }
}
