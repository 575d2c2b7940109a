//! `rstproof analyze --join`: captures of several points that are read as one.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::captures::{name, refuse_unrepeatable, reopen};
use crate::cli::AnalyzeArgs;
use crate::error::Error;
use crate::file::{Input, inputs};
use rstproof_core::analyze::Stopped;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::join::{
    Bounds, Difference, Elsewhere, Gap, Join, JoinError, JoinInput, Joined, Lead, Member,
};

/// Captures of several points.
pub(super) struct Points {
    join: Join,
    /// Path and identity of each file.
    files: Vec<(PathBuf, (u64, u64))>,
}

impl Points {
    /// Opens the files of the command line and finds out how they belong together.
    pub(super) fn of(args: &AnalyzeArgs) -> Result<Self, Error> {
        for path in &args.files {
            refuse_unrepeatable(path, "--join")?;
        }
        let mut opened = inputs(&args.files)?.collect::<Result<Vec<Input>, Error>>()?;
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
        let inputs = opened.iter_mut().map(|input| JoinInput {
            name: name(input.path()),
            length: input.length().unwrap_or(u64::MAX),
            from: input,
        });
        let join = Join::of(inputs.collect(), args.tunnels).map_err(|error| match error {
            JoinError::Count(count) => Error::Usage(format!(
                "--join needs the captures of 2 to 16 points, and got {count}"
            )),
            error => Error::Usage(format!("cannot join: {error}")),
        })?;
        Ok(Self { join, files })
    }

    pub(super) fn join(&self) -> &Join {
        &self.join
    }

    /// Returns the path of the first file.
    pub(super) fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |it| &it.0)
    }

    pub(super) fn names(&self) -> FileNames {
        self.join.names()
    }

    /// Returns true if one of the captures is stored in this file.
    pub(super) fn are_in(&self, file: (u64, u64)) -> bool {
        self.files.iter().any(|it| it.1 == file)
    }

    /// Returns the number of bytes of all files, decompressed.
    pub(super) fn bytes(&self) -> u64 {
        self.join.members().iter().map(Member::bytes).sum()
    }

    /// Returns the files that could not be read to their ends.
    pub(super) fn stopped(&self) -> impl Iterator<Item = (&Path, &Stopped)> {
        let members = self.files.iter().zip(self.join.members());
        members.filter_map(|((path, _), member)| Some((path.as_path(), member.stopped()?)))
    }

    /// Opens the joined capture.
    pub(super) fn open(&self, is_for_copy: bool) -> Opened {
        let sources = self.files.iter();
        let sources = sources.map(|(path, identity)| reopen(path, *identity));
        match sources.collect::<io::Result<Vec<Input>>>() {
            Ok(sources) => Opened::Ready(Box::new(self.join.open(sources, is_for_copy))),
            Err(error) => Opened::Failed(Some(error)),
        }
    }
}

/// Reader of the joined capture, or the reason why it could not be opened.
pub(super) enum Opened {
    Ready(Box<Joined<Input>>),
    Failed(Option<io::Error>),
}

impl Read for Opened {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Ready(joined) => joined.read(into),
            Self::Failed(error) => Err(error.take().unwrap_or(io::ErrorKind::NotFound.into())),
        }
    }
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
fn time(ns: i64) -> String {
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
    fn times_have_a_unit_that_suits_them() {
        let texts = [0, 999, 1_001, -2_300_000, 3_599_999_999_999].map(time);
        assert_eq!(texts, ["0 ns", "999 ns", "2 µs", "2.300 ms", "3600.000 s"]);
        let texts = [-2_300_000, 6_999_998_400].map(lead_time);
        assert_eq!(texts, ["2.300 ms", "6.999998 s"]);
    }
}
