//! `rstproof analyze --join`: captures of several points that are read as one.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::captures::{Capture, Joined, Parts, Plan, name, refuse_unrepeatable};
use crate::cli::AnalyzeArgs;
use crate::error::Error;
use crate::file::{Input, inputs};
use rstproof_core::analyze::Stopped;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::join::{
    self, Bounds, Difference, Elsewhere, Gap, Join, JoinError, JoinInput, Lead, Member,
    share_segments,
};

/// Captures of several points.
pub(super) struct Points {
    join: Join,
    /// Files of each point.
    points: Vec<Parts>,
}

impl Points {
    /// Opens the files of the command line and finds out how they belong together.
    pub(super) fn of(args: &AnalyzeArgs, is_for_people: bool) -> Result<Self, Error> {
        for path in &args.files {
            refuse_unrepeatable(path, "--join")?;
        }
        let opened = inputs(&args.files)?.collect::<Result<Vec<Input>, Error>>()?;
        if let Some(text) = opened.iter().find(|it| it.text().is_some()) {
            return Err(Error::Usage(format!(
                "{} is text output; --join needs captures, as `tcpdump -w` saves them",
                name(text.path())
            )));
        }
        let files: Vec<_> = opened
            .iter()
            .map(|it| (it.path().to_owned(), it.identity()))
            .collect();
        // Compared by inode: a link, or the same path written otherwise, is the same capture.
        for (nth, (path, identity)) in files.iter().enumerate() {
            let earlier = files[..nth].iter().find(|it| it.1 == *identity);
            if let Some((other, _)) = earlier {
                return Err(Error::Usage(format!(
                    "{} and {} are the same file; --join needs the captures of different points",
                    name(other),
                    name(path)
                )));
            }
        }
        let points = by_point(args, opened)?;
        let paths: Vec<&Path> = files.iter().map(|it| it.0.as_path()).collect();
        let short = |path: &Path| short_name(path, &paths);
        let named = |path: &Path| {
            if is_for_people {
                short(path)
            } else {
                name(path)
            }
        };
        let mut sources: Vec<Joined> = points.iter().map(Parts::open).collect();
        let inputs = points
            .iter()
            .zip(&mut sources)
            .map(|(parts, from)| JoinInput {
                files: parts.names_by(named),
                label: parts.title(short),
                length: parts.length(),
                from,
            });
        let join = Join::of(inputs.collect(), args.tunnels).map_err(|error| match error {
            JoinError::Count(count) => Error::Usage(format!(
                "--join needs the captures of 2 to 16 points, and got {count}"
            )),
            error => Error::Usage(format!("cannot join: {error}")),
        })?;
        Ok(Self { join, points })
    }

    pub(super) fn join(&self) -> &Join {
        &self.join
    }

    /// Returns the path of the first file.
    pub(super) fn path(&self) -> &Path {
        self.points.first().map_or(Path::new(""), Parts::first)
    }

    pub(super) fn names(&self) -> FileNames {
        self.join.names()
    }

    /// Returns true if one of the captures is stored in this file.
    pub(super) fn are_in(&self, file: (u64, u64)) -> bool {
        self.points.iter().any(|it| it.is_in(file))
    }

    /// Returns the number of bytes of all files, decompressed.
    pub(super) fn bytes(&self) -> u64 {
        self.join.members().iter().map(Member::bytes).sum()
    }

    /// Returns the files that could not be read to their ends.
    pub(super) fn stopped(&self) -> impl Iterator<Item = (&Path, &Stopped)> {
        let members = self.points.iter().zip(self.join.members());
        members.filter_map(|(parts, member)| Some((parts.last(), member.stopped()?)))
    }

    /// Opens the joined capture.
    pub(super) fn open(&self, is_for_copy: bool) -> join::Joined<Joined> {
        let sources = self.points.iter().map(Parts::open);
        self.join.open(sources.collect(), is_for_copy)
    }
}

/// Returns the files of each point. Files that continue each other, as a ring does, are captures of one point.
fn by_point(args: &AnalyzeArgs, opened: Vec<Input>) -> Result<Vec<Parts>, Error> {
    // Two files are two points, and need not be read for that.
    let mut plan = if opened.len() > 2 {
        Plan::of(&args.files)?
    } else {
        Plan::default()
    };
    let mut points = Vec::new();
    for input in opened {
        let alone = Parts::alone(&input);
        match plan.capture(input) {
            Some(Capture::Several(parts)) => {
                // Clocks that differ by much make captures of two points look like successive ones.
                let mut sources: Vec<Joined> = parts.single().iter().map(Parts::open).collect();
                let sources = sources.iter_mut().map(|it| it as &mut dyn Read);
                if share_segments(sources.collect(), args.tunnels) {
                    points.extend(parts.single());
                } else {
                    points.push(parts);
                }
            }
            Some(_) => points.push(alone),
            None => {}
        }
    }
    Ok(points)
}

/// Returns the name of a file, as short as it differs from those of all other files: the last parts of its path.
fn short_name(path: &Path, all: &[&Path]) -> String {
    let others: Vec<&Path> = all.iter().copied().filter(|it| *it != path).collect();
    let mut short = PathBuf::new();
    for part in path.components().rev() {
        short = if short.as_os_str().is_empty() {
            PathBuf::from(part.as_os_str())
        } else {
            Path::new(part.as_os_str()).join(short)
        };
        if !others.iter().any(|other| other.ends_with(&short)) {
            return name(&short);
        }
    }
    name(path)
}

/// Returns a line about each clock that differs, and one about frames that were moved.
pub(super) fn clocks(join: &Join) -> String {
    let mut text = String::new();
    for (nth, member) in join.members().iter().enumerate() {
        if let Some(difference) = join.difference(nth) {
            let _ = writeln!(text, "  clock of {}: {}", member.name, clock(&difference));
        }
        let (count, longest) = member.moved;
        if count > 0 {
            let frames = if count == 1 { "frame" } else { "frames" };
            let _ = writeln!(
                text,
                "  {count} {frames} of {} moved by up to {}: no copy comes before the one nearer to the sender",
                member.name,
                time(longest)
            );
        }
    }
    text
}

/// Describes the difference of a clock: `2.300 ms ahead of client.pcap, ±40 µs, from 118 common segments`.
fn clock(difference: &Difference<'_>) -> String {
    let Difference {
        to,
        clock,
        segments,
    } = difference;
    let side = |ahead: i64| if ahead < 0 { "behind" } else { "ahead of" };
    let first = clock.leads.first().map_or(0, |lead| lead.ahead_ns);
    let least = clock.leads.iter().map(|it| it.ahead_ns).min().unwrap_or(0);
    let most = clock.leads.iter().map(|it| it.ahead_ns).max().unwrap_or(0);
    let common = if *segments == 1 {
        "segment"
    } else {
        "segments"
    };
    let mut text = match (clock.bounds, &clock.leads[..]) {
        (Bounds::Upper, _) => {
            let limit = if first < 0 { "at least" } else { "at most" };
            format!("{limit} {} {} {to}", lead_time(first), side(first))
        }
        (Bounds::Lower, _) => {
            let limit = if first < 0 { "at most" } else { "at least" };
            format!("{limit} {} {} {to}", lead_time(first), side(first))
        }
        (Bounds::Both, [lead]) => {
            let rate = rate(lead);
            format!("{} {} {to}{rate}", lead_time(first), side(first))
        }
        (Bounds::Both, leads) => format!(
            "from {} {} to {} {} {to}, in {} steps",
            lead_time(least),
            side(least).trim_end_matches(" of"),
            lead_time(most),
            side(most),
            leads.len() - 1
        ),
    };
    if let Some(error) = clock.uncertainty_ns {
        let _ = write!(text, ", ±{}", time(error));
    }
    let _ = write!(text, ", from {segments} common {common}");
    if clock.bounds != Bounds::Both {
        text += " of one direction: their shortest delay counts as 0";
    }
    text
}

/// Describes the rate of a clock, if it differs noticeably from that of the other one.
fn rate(lead: &Lead) -> String {
    if lead.rate_ppb == 0.0 {
        return String::new();
    }
    let what = if lead.rate_ppb > 0.0 {
        "gains"
    } else {
        "loses"
    };
    format!(" at first, and {what} {:.1} ppm", lead.rate_ppb.abs() / 1e3)
}

/// Formats a time without its sign: `12 µs`, `2.300 ms`, `4.000 s`.
pub(super) fn time(ns: i64) -> String {
    let ns = ns.unsigned_abs();
    let with = |unit: u64, name: &str| {
        let thousandths = ns.saturating_add(unit / 2_000) / (unit / 1_000);
        format!("{}.{:03} {name}", thousandths / 1_000, thousandths % 1_000)
    };
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} µs", ns.div_ceil(1_000)),
        1_000_000..1_000_000_000 => with(1_000_000, "ms"),
        _ => with(1_000_000_000, "s"),
    }
}

/// Formats the lead of a clock without its sign, with microseconds.
fn lead_time(ns: i64) -> String {
    if ns.unsigned_abs() < 1_000_000_000 {
        return time(ns);
    }
    let micros = (ns.unsigned_abs() + 500) / 1_000;
    format!("{}.{:06} s", micros / 1_000_000, micros % 1_000_000)
}

/// Returns a line about each other capture point of the RST in this frame; empty if the files are not joined.
pub(super) fn elsewhere(files: &FileNames, frame: u32) -> String {
    let mut text = String::new();
    for point in files.elsewhere(frame) {
        let name = point.file;
        let side = match point.is_nearer {
            Some(true) => ", nearer to the sender",
            Some(false) => ", nearer to the receiver",
            None => "",
        };
        // What follows if it did not pass there.
        let conclusion = match point.is_nearer {
            Some(true) => "a device between the two points sent it",
            Some(false) => "it was lost or dropped between the two points",
            None => "it did not pass there",
        };
        let line = match point.elsewhere {
            Elsewhere::Captured {
                frame,
                after_ns,
                is_translated,
            } => {
                let when = if after_ns < 0 { "earlier" } else { "later" };
                let translated = if is_translated {
                    ", with translated addresses"
                } else {
                    ""
                };
                let after = time(after_ns);
                format!("also frame {frame} of {name}{side}, {after} {when}{translated}")
            }
            Elsewhere::Absent => format!(
                "not in {name}{side}, which lacks no other segment of this direction around it: {conclusion}"
            ),
            Elsewhere::Unknown(Gap::EndsEarlier(by)) => format!(
                "not in {name}{side}, whose last frame is {} earlier: if that capture still ran, {conclusion}",
                time(by)
            ),
            Elsewhere::Unknown(gap) => format!(
                "not in {name}{side}; whether it passed there is unknown: {}",
                reason(gap)
            ),
        };
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn reason(gap: Gap) -> String {
    match gap {
        Gap::BeginsLater(by) => format!("that file begins {} later", time(by)),
        Gap::EndsEarlier(by) => format!(
            "the last frame of that file is {} earlier, and it may have ended there",
            time(by)
        ),
        Gap::AtEdge => "the RST is too close to the beginning or the end of that file".to_owned(),
        Gap::Dropped(1) => "that capture dropped a frame".to_owned(),
        Gap::Dropped(frames) => format!("that capture dropped {frames} frames"),
        Gap::OthersMissing => {
            "that file also lacks other segments of this direction at that time".to_owned()
        }
        Gap::NothingInCommon => {
            "the files have no other segment of this direction in common".to_owned()
        }
        Gap::TooMany => "there are too many RSTs to compare all of them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_they_differ() {
        let paths = ["/x/client/a.pcap", "/x/server/a.pcap", "y/b.pcap", "a.pcap"].map(Path::new);
        let short = paths.map(|path| short_name(path, &paths));
        assert_eq!(
            short,
            ["client/a.pcap", "server/a.pcap", "b.pcap", "a.pcap"]
        );
    }

    #[test]
    fn times_have_a_unit_that_suits_them() {
        let texts = [0, 999, 1_001, -2_300_000, 3_599_999_999_999].map(time);
        assert_eq!(texts, ["0 ns", "999 ns", "2 µs", "2.300 ms", "3600.000 s"]);
        let texts = [-2_300_000, 6_999_998_400].map(lead_time);
        assert_eq!(texts, ["2.300 ms", "6.999998 s"]);
    }
}
