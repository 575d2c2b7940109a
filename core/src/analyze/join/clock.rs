//! Difference of two clocks, from segments that passed both.
//!
//! A segment takes time from one point to the next, so the difference of its two times is an upper bound for the lead of
//! the second clock if it passed the second point later, and a lower bound if it passed it first. As in NTP (RFC 5905, 8)
//! the least delays of both directions count: the lead is taken to be in the middle between the bounds.
//!
//! Clocks run at different rates, and they are set. The bounds are therefore collected for parts of the time. The lead is
//! constant where a constant is within all bounds; else it changes steadily where a line is, and else it jumps.

/// Number of parts that the time is divided into.
const PARTS: i64 = 1_024;

/// Largest difference of rates, in parts per million: 500 by which NTP corrects a clock, and as much by which it errs.
const MAX_RATE_PPM: f64 = 1_000.0;

/// Difference of rates, in parts per million, that may go unnoticed. Crystals err by less.
const UNNOTICED_PPM: f64 = 100.0;

/// Number of steps of the search for a rate.
const STEPS: usize = 80;

/// Bound for the lead of the second clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// Time by the first clock.
    at: i64,
    ahead: i64,
    is_upper: bool,
    /// Frames of the segment in both files.
    frames: [u32; 2],
}

impl Bound {
    pub(super) fn upper(at: i64, ahead: i64) -> Self {
        Self {
            at,
            ahead,
            is_upper: true,
            frames: [0; 2],
        }
    }

    pub(super) fn lower(at: i64, ahead: i64) -> Self {
        Self {
            is_upper: false,
            ..Self::upper(at, ahead)
        }
    }

    /// Returns the bound, as one of the segment in these frames.
    pub(super) fn of(self, frames: [u32; 2]) -> Self {
        Self { frames, ..self }
    }

    /// Returns the bound for the lead of the first clock over the second one.
    pub(super) fn reversed(self) -> Self {
        Self {
            at: self.at.saturating_add(self.ahead),
            ahead: self.ahead.saturating_neg(),
            is_upper: !self.is_upper,
            frames: [self.frames[1], self.frames[0]],
        }
    }
}

/// Lead of a clock for a part of the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lead {
    /// First frame of the file for which this lead holds. A clock that is set back shows some times twice.
    from_frame: u32,
    /// First time by the clock for which this lead holds, in nanoseconds since the epoch.
    pub from_ns: i64,
    /// Time by the clock at which it is ahead by `ahead_ns`.
    pub at_ns: i64,
    /// Time in nanoseconds by which the clock is ahead of the other one.
    pub ahead_ns: i64,
    /// Nanoseconds by which the lead grows per second of the other clock.
    pub rate_ppb: f64,
}

impl Lead {
    /// Returns the lead at a time by the clock itself.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // differences of some years at most
    fn at(&self, own: i64) -> i64 {
        let rate = self.rate_ppb / 1e9;
        let since = own.saturating_sub(self.at_ns) as f64;
        self.ahead_ns
            .saturating_add((since * rate / (1.0 + rate)).round() as i64)
    }
}

/// Known bounds of the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// The lead has both bounds: segments of both directions are common.
    Both,
    /// The clock is ahead by no more than stated: the common segments came to this file later.
    Upper,
    /// The clock is ahead by at least as much as stated: the common segments left from this file.
    Lower,
}

impl Bounds {
    /// Stable id.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Upper => "upper",
            Self::Lower => "lower",
        }
    }
}

/// Difference of the clock of one file to that of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    /// Leads of the clock, in the order of time. There is at least one.
    pub leads: Vec<Lead>,
    /// Known bounds.
    pub bounds: Bounds,
    /// Largest error of the leads in nanoseconds; `None` if only one bound is known.
    pub uncertainty_ns: Option<i64>,
}

/// Closest bounds of a part of the time.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    upper: Option<Point>,
    lower: Option<Point>,
    /// First frame in the second file; 0 without one.
    frame: u32,
}

/// Time and lead, relative to the first bound. As numbers of this kind they are exact up to a hundred days.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: f64,
    ahead: f64,
}

impl Part {
    fn add(&mut self, point: Point, is_upper: bool) {
        let slot = if is_upper {
            &mut self.upper
        } else {
            &mut self.lower
        };
        let is_closer = slot.is_none_or(|it| (point.ahead < it.ahead) == is_upper);
        if is_closer {
            *slot = Some(point);
        }
    }

    fn is_possible(&self) -> bool {
        match (self.upper, self.lower) {
            (Some(upper), Some(lower)) => lower.ahead <= upper.ahead + drift(upper.at - lower.at),
            _ => true,
        }
    }
}

/// Change of the lead in a time that may go unnoticed.
fn drift(time: f64) -> f64 {
    time.abs() * UNNOTICED_PPM / 1e6
}

/// Lead as a line: its value at time 0, and its rate.
#[derive(Clone, Copy, Debug)]
struct Line {
    ahead: f64,
    rate: f64,
}

/// Returns the line of this rate in the middle of the bounds, and the distance between the bounds, negative if no line is
/// within them.
fn middle(parts: &[Part], rate: f64) -> (Line, f64) {
    let rest = |point: &Point| point.ahead - rate * point.at;
    let uppers = parts.iter().filter_map(|it| it.upper.as_ref()).map(rest);
    let lowers = parts.iter().filter_map(|it| it.lower.as_ref()).map(rest);
    let (upper, lower) = (
        uppers.fold(f64::INFINITY, f64::min),
        lowers.fold(f64::NEG_INFINITY, f64::max),
    );
    // One nanosecond, so that the segment that sets the bound does not pass both points at the same time.
    let ahead = match (upper.is_finite(), lower.is_finite()) {
        (true, true) => f64::midpoint(upper, lower),
        (true, false) => upper - 1.0,
        (false, true) => lower + 1.0,
        (false, false) => 0.0,
    };
    (Line { ahead, rate }, upper - lower)
}

/// Returns the line within all bounds of these parts; `None` if no line is.
fn fit(parts: &[Part]) -> Option<Line> {
    let (constant, width) = middle(parts, 0.0);
    if width >= 0.0 {
        return Some(constant);
    }
    // The distance between the bounds is a concave function of the rate.
    let (mut low, mut high) = (-MAX_RATE_PPM / 1e6, MAX_RATE_PPM / 1e6);
    for _ in 0..STEPS {
        let (one, other) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if middle(parts, one).1 < middle(parts, other).1 {
            low = one;
        } else {
            high = other;
        }
    }
    // The rate in the middle is the best one to some parts per trillion.
    let (line, width) = middle(parts, f64::midpoint(low, high));
    (width >= 0.0).then_some(line)
}

/// Returns the largest distance of the line from where the lead can be, at the times of the bounds.
fn uncertainty(parts: &[Part], line: Line) -> f64 {
    let points = || parts.iter().flat_map(|it| [it.upper, it.lower]).flatten();
    let mut largest = 0.0_f64;
    for at in points().map(|point| point.at) {
        // Around a bound the lead can differ from the line by what may go unnoticed.
        let room = |point: &Point| {
            let there = line.ahead + line.rate * point.at;
            (point.ahead - there).abs() + drift(point.at - at)
        };
        let closest = |bound: fn(&Part) -> Option<Point>| {
            let rooms = parts.iter().filter_map(bound).map(|it| room(&it));
            rooms.fold(f64::INFINITY, f64::min)
        };
        let (upper, lower) = (closest(|it| it.upper), closest(|it| it.lower));
        let known = [upper, lower].into_iter().filter(|it| it.is_finite());
        largest = known.fold(largest, f64::max);
    }
    largest
}

impl Clock {
    /// Finds the lead of the second clock from its bounds; `None` without bounds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // differences of some years at most
    pub(super) fn of(bounds: &[Bound]) -> Option<Self> {
        let base = bounds.first()?;
        let begin = bounds.iter().map(|it| it.at).min()?;
        let end = bounds.iter().map(|it| it.at).max()?;
        // Rounded up, so that the last bound is in the last part.
        let length = end.saturating_sub(begin) / PARTS + 1;
        let mut parts = vec![Part::default(); PARTS as usize + 1];
        for bound in bounds {
            let index = usize::try_from(bound.at.saturating_sub(begin) / length).unwrap_or(0);
            let point = Point {
                at: bound.at.saturating_sub(begin) as f64,
                ahead: bound.ahead.saturating_sub(base.ahead) as f64,
            };
            if let Some(part) = parts.get_mut(index) {
                part.add(point, bound.is_upper);
                let frame = bound.frames[1];
                part.frame = if part.frame == 0 {
                    frame
                } else {
                    part.frame.min(frame)
                };
            }
        }
        let has = |is_upper| bounds.iter().any(|it| it.is_upper == is_upper);
        let kind = match (has(true), has(false)) {
            (true, false) => Bounds::Upper,
            (false, true) => Bounds::Lower,
            _ => Bounds::Both,
        };
        // An idle connection leaves most parts without a bound.
        parts.retain(|part| part.upper.or(part.lower).is_some());
        // A clock that was set within a part, or a segment that was taken for another one.
        let possible: Vec<Part> = parts.iter().copied().filter(Part::is_possible).collect();
        let parts = if possible.is_empty() { parts } else { possible };
        let mut leads = Vec::new();
        let mut largest = 0.0_f64;
        for (part, line) in lines(parts) {
            largest = largest.max(uncertainty(&part, line));
            let first = part.first().and_then(|it| it.upper.or(it.lower));
            let at = first.map_or(0.0, |it| it.at);
            let here = begin.saturating_add(at as i64);
            let ahead = (line.ahead + line.rate * at).round() as i64;
            let ahead = base.ahead.saturating_add(ahead);
            let own = here.saturating_add(ahead);
            leads.push(Lead {
                from_frame: part.first().map_or(0, |it| it.frame),
                from_ns: own,
                at_ns: own,
                ahead_ns: ahead,
                rate_ppb: line.rate * 1e9,
            });
        }
        Some(Self {
            leads,
            bounds: kind,
            uncertainty_ns: (kind == Bounds::Both).then_some(largest.ceil() as i64),
        })
    }

    /// Returns the time by the other clock, given a time by this clock and the frame that has it, if it is known.
    pub(super) fn corrected(&self, own: i64, frame: Option<u32>) -> i64 {
        let next = match frame {
            Some(frame) => self.leads.partition_point(|it| it.from_frame <= frame),
            None => self.leads.partition_point(|it| it.from_ns <= own),
        };
        let lead = self.leads.get(next.saturating_sub(1));
        lead.map_or(own, |lead| own.saturating_sub(lead.at(own)))
    }
}

/// Returns successive parts of the time, each with the line that is within its bounds.
fn lines(parts: Vec<Part>) -> Vec<(Vec<Part>, Line)> {
    let mut found = Vec::new();
    let mut left = parts;
    while !left.is_empty() {
        let length = longest_fit(&left);
        // A segment that was taken for another one: without it the line goes on.
        let without: Vec<Part> = (left.iter().take(length + 3).enumerate())
            .filter(|(nth, _)| *nth != length)
            .map(|(_, part)| *part)
            .collect();
        if without.len() == length + 2 && fit(&without).is_some() {
            left.remove(length);
            continue;
        }
        let rest = left.split_off(length);
        let line = fit(&left).unwrap_or_else(|| middle(&left, 0.0).0);
        found.push((left, line));
        left = rest;
    }
    found
}

/// Returns the number of parts at the beginning that a line fits, at least one. If a line fits some parts, it fits fewer
/// as well.
fn longest_fit(parts: &[Part]) -> usize {
    let (mut fits, mut fails) = (1, parts.len() + 1);
    let mut length = parts.len();
    while fits + 1 < fails {
        if fit(&parts[..length]).is_some() {
            fits = length;
        } else {
            fails = length;
        }
        length = usize::midpoint(fits, fails);
    }
    fits
}

#[cfg(test)]
mod tests;
