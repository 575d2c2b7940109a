//! Times of day for people, and the times of `--since` and `--until`.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike as _, FixedOffset, Local, NaiveDate, NaiveDateTime, NaiveTime, Offset as _,
    TimeZone as _, Utc,
};
use rstproof_core::file::TextClock;
use rstproof_core::time::Timestamp;

const NS_PER_SEC: i64 = 1_000_000_000;

/// Time zone of the output. One offset serves a whole capture, that at its first frame: lines of two offsets could not be
/// compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone {
    offset: FixedOffset,
    /// Day of the first frame in this zone.
    day: NaiveDate,
    /// Meaning of the times: a text may have others than points in time.
    clock: TextClock,
}

impl Zone {
    /// Returns the zone for a capture that begins at this time. It is UTC if `is_utc`, and where the host has no time zone
    /// data.
    pub(super) fn of(began: Timestamp, is_utc: bool) -> Self {
        let began = utc(began);
        let offset = if is_utc {
            Utc.fix()
        } else {
            Local.offset_from_utc_datetime(&began).fix()
        };
        Self {
            offset,
            day: (began + offset).date(),
            clock: TextClock::Absolute,
        }
    }

    /// Returns the zone for a capture whose times have this meaning. Those of a text are shown as they stand there.
    pub(super) fn of_clock(began: Timestamp, is_utc: bool, clock: TextClock) -> Self {
        let zone = Self::of(began, is_utc || clock != TextClock::Absolute);
        Self { clock, ..zone }
    }

    /// Returns a clause about the times.
    pub(super) fn caption(self) -> String {
        match self.clock {
            TextClock::Absolute => format!("times are {}, {}", self.name(), self.day()),
            TextClock::Local => format!("times are of an unknown time zone, {}", self.day()),
            TextClock::TimeOfDay => "times are of an unknown day and time zone".to_owned(),
            TextClock::Relative => "times are seconds after the first packet".to_owned(),
            TextClock::None => "the text has no times, or does not show what they mean".to_owned(),
        }
    }

    /// Returns the clock of the times.
    pub(super) fn clock(self) -> TextClock {
        self.clock
    }

    /// Returns the name of the zone: `UTC`, or `UTC+02:00`.
    pub(super) fn name(self) -> String {
        if self.offset.local_minus_utc() == 0 {
            "UTC".to_owned()
        } else {
            format!("UTC{}", self.offset)
        }
    }

    /// Returns the day of the first frame.
    pub(super) fn day(self) -> NaiveDate {
        self.day
    }

    /// Formats a time of day with so many digits of a second, and with the date if it is not that of the first frame.
    pub(super) fn time(self, at: Timestamp, digits: usize) -> String {
        if at == Timestamp::UNUSABLE {
            return "time unknown".to_owned();
        }
        if self.clock == TextClock::None {
            return "no time".to_owned();
        }
        if self.clock == TextClock::Relative {
            let (seconds, ns) = (at.0.div_euclid(NS_PER_SEC), at.0.rem_euclid(NS_PER_SEC));
            return format!("{seconds}.{}", &format!("{ns:09}")[..digits.clamp(1, 9)]);
        }
        let at = utc(at) + self.offset;
        // The digits are cut, not rounded: a rounded time may lie after a later one that is shown with more digits.
        let time = at.format("%H:%M:%S%.9f").to_string();
        let time = &time[..time.len() - (9 - digits.clamp(1, 9))];
        if at.date() == self.day {
            time.to_owned()
        } else if self.clock == TextClock::TimeOfDay {
            let days = (at.date() - self.day).num_days();
            format!("{days:+} d {time}")
        } else if at.year() == self.day.year() {
            format!("{} {time}", at.format("%m-%d"))
        } else {
            format!("{} {time}", at.format("%Y-%m-%d"))
        }
    }

    /// Returns the start of the minute that holds a time, in minutes since the epoch.
    pub(super) fn minute(at: Timestamp) -> i64 {
        at.0.div_euclid(60 * NS_PER_SEC)
    }

    /// Returns the time at which a minute since the epoch begins.
    pub(super) fn of_minute(minute: i64) -> Timestamp {
        Timestamp(minute.saturating_mul(60 * NS_PER_SEC))
    }
}

/// Returns a time in UTC. Every time in nanoseconds has a date: the years 1677 to 2262.
fn utc(at: Timestamp) -> NaiveDateTime {
    DateTime::from_timestamp_nanos(at.0).naive_utc()
}

/// Time on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TimeArg {
    /// Point in time, by RFC 3339.
    At(Timestamp),
    /// Time of day, on the first day of the capture, in the zone of the output.
    OfDay(NaiveTime),
    /// Nanoseconds after the first frame.
    After(i64),
}

impl FromStr for TimeArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "expected a time of RFC 3339 (2024-05-01T14:03:22.5+02:00), HH:MM:SS[.FRACTION] on the first day of the \
                              capture, or +SECONDS after its first frame";
        if let Some(seconds) = text.strip_prefix('+') {
            return nanoseconds(seconds).map(Self::After).ok_or(WANTED);
        }
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            let at = at.timestamp_nanos_opt().ok_or(WANTED)?;
            return Ok(Self::At(Timestamp(at)));
        }
        let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f");
        time.map(Self::OfDay).map_err(|_| WANTED)
    }
}

impl fmt::Display for TimeArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(f, "{}", utc(*at).and_utc().format("%+")),
            Self::OfDay(time) => write!(f, "{time}"),
            Self::After(ns) => {
                let fraction = format!("{:09}", ns % NS_PER_SEC);
                let fraction = fraction.trim_end_matches('0');
                let point = if fraction.is_empty() { "" } else { "." };
                write!(f, "+{}{point}{fraction}", ns / NS_PER_SEC)
            }
        }
    }
}

/// Parses seconds with a decimal fraction of at most nine digits.
fn nanoseconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole.checked_mul(NS_PER_SEC)?.checked_add(fraction)
}

impl TimeArg {
    /// Returns the point in time, for a capture that begins at `began`.
    pub(super) fn resolve(self, began: Timestamp, zone: Zone) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::OfDay(time) => {
                // With a fixed offset each time of day exists once, on days when the clocks change as well.
                let local = zone.day.and_time(time);
                let at = zone.offset.from_local_datetime(&local).single();
                let at = at.and_then(|it| it.timestamp_nanos_opt());
                Timestamp(at.unwrap_or(i64::MAX))
            }
            Self::After(ns) => Timestamp(began.0.saturating_add(ns)),
        }
    }
}

/// Formats a duration in nanoseconds with three significant digits: `0.51 s`, `26.3 s`, `12 min`.
pub(super) fn duration(ns: i64) -> String {
    #[allow(clippy::cast_precision_loss)] // three digits are shown
    let seconds = ns.max(0) as f64 / 1e9;
    match ns {
        ..1_000_000 => format!("{} µs", ns.max(0) / 1_000),
        1_000_000..1_000_000_000 => {
            let digits = if seconds < 0.01 { 4 } else { 3 };
            trimmed(&format!("{seconds:.digits$}")) + " s"
        }
        1_000_000_000..10_000_000_000 => trimmed(&format!("{seconds:.2}")) + " s",
        10_000_000_000..120_000_000_000 => trimmed(&format!("{seconds:.1}")) + " s",
        120_000_000_000..7_200_000_000_000 => format!("{:.0} min", seconds / 60.0),
        _ => trimmed(&format!("{:.1}", seconds / 3600.0)) + " h",
    }
}

/// Returns a decimal fraction without trailing zeros.
fn trimmed(number: &str) -> String {
    let number = number.trim_end_matches('0').trim_end_matches('.');
    number.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-05-01T12:03:22.000000500Z: 19,844 days after the epoch (`date -d 2024-05-01 +%s` is 1714521600).
    const BEGAN: Timestamp =
        Timestamp((1_714_521_600 + 12 * 3_600 + 3 * 60 + 22) * NS_PER_SEC + 500);

    #[test]
    fn times_are_those_of_the_command_line() {
        let zone = Zone::of(BEGAN, true);
        let resolved = |text: &str| text.parse().map(|it: TimeArg| it.resolve(BEGAN, zone));
        let at = |seconds: i64, ns: i64| {
            Ok(Timestamp(
                1_714_521_600 * NS_PER_SEC + seconds * NS_PER_SEC + ns,
            ))
        };
        assert_eq!(resolved("2024-05-01T02:00:01.5+02:00"), at(1, 500_000_000));
        assert_eq!(resolved("00:01:01.25"), at(61, 250_000_000));
        assert_eq!(resolved("23:59:59"), at(86_399, 0));
        assert_eq!(resolved("+12.5"), Ok(Timestamp(BEGAN.0 + 12_500_000_000)));
        for wrong in [
            "",
            "+",
            "+-1",
            "12:00",
            "25:00:00",
            "yesterday",
            "+1.2.3",
            "2024-05-01",
        ] {
            assert!(wrong.parse::<TimeArg>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_day_has_its_date() {
        let zone = Zone::of(BEGAN, true);
        assert_eq!(zone.name(), "UTC");
        assert_eq!(zone.time(BEGAN, 3), "12:03:22.000");
        assert_eq!(zone.time(BEGAN, 9), "12:03:22.000000500");
        let next_day = Timestamp(BEGAN.0 + 86_400 * NS_PER_SEC);
        assert_eq!(zone.time(next_day, 3), "05-02 12:03:22.000");
        assert_eq!(zone.time(Timestamp(0), 3), "1970-01-01 00:00:00.000");
        assert_eq!(zone.time(Timestamp::UNUSABLE, 3), "time unknown");
    }

    #[test]
    fn durations_have_few_digits() {
        let texts = [
            35_000,
            1_500_000,
            510_000_000,
            4_000_000_000,
            26_320_000_000,
            900_000_000_000,
        ];
        let texts = texts.map(duration);
        assert_eq!(
            texts,
            ["35 µs", "0.0015 s", "0.51 s", "4 s", "26.3 s", "15 min"]
        );
    }
}
