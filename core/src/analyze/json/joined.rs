//! Fields of the rows of joined captures: clocks, and RSTs at other points.

use serde::Serialize;

use crate::analyze::continuation::FileNames;
use crate::analyze::join::{Elsewhere, Join, Member, OtherPoint};

/// RST in the capture of another point.
#[derive(Serialize)]
pub(super) struct ElsewhereFields<'a> {
    file: &'a str,
    /// Side of this point on which that point is: `sender` or `receiver`; null if unknown.
    side: Option<&'static str>,
    /// `captured`, `absent` or `unknown`.
    conclusion: &'static str,
    frame: Option<u32>,
    /// Nanoseconds from the RST of the row to this copy.
    after_ns: Option<i64>,
    /// True if the copy has other addresses or ports.
    translated: Option<bool>,
    /// Reason why the absence shows nothing.
    unknown_because: Option<&'static str>,
}

impl<'a> ElsewhereFields<'a> {
    pub(super) fn of(point: OtherPoint<'a>) -> Self {
        let (conclusion, frame, after_ns, unknown_because, is_translated) = match point.elsewhere {
            Elsewhere::Captured {
                frame,
                after_ns,
                is_translated,
            } => (
                "captured",
                Some(frame),
                Some(after_ns),
                None,
                Some(is_translated),
            ),
            Elsewhere::Absent => ("absent", None, None, None, None),
            Elsewhere::Unknown(gap) => ("unknown", None, None, Some(gap.id()), None),
        };
        Self {
            file: point.file,
            side: point
                .is_nearer
                .map(|is_nearer| if is_nearer { "sender" } else { "receiver" }),
            conclusion,
            frame,
            after_ns,
            translated: is_translated,
            unknown_because,
        }
    }
}

/// File of a joined capture, and the difference of its clock.
#[derive(Serialize)]
pub(super) struct JoinedFields {
    file: String,
    /// File whose clock it is compared with; null for the file whose clock all times are by.
    clock_of: Option<String>,
    /// Nanoseconds by which the clock is ahead, at first.
    ahead_ns: i64,
    uncertainty_ns: Option<i64>,
    /// `both`, or `upper` or `lower` if `ahead_ns` is only a bound.
    bounds: Option<&'static str>,
    common_segments: Option<usize>,
    /// Leads of the clock; more than one if it was set or does not run steadily.
    leads: Vec<LeadFields>,
    /// Corrected times of the first and of the last frame.
    began_ns: Option<i64>,
    ended_ns: Option<i64>,
    packets: u32,
    moved_packets: u32,
    moved_ns: i64,
}

#[derive(Serialize)]
struct LeadFields {
    from_ns: i64,
    ahead_ns: i64,
    rate_ppb: i64,
}

impl JoinedFields {
    /// Returns the fields of all files; none unless they are captures of several points.
    pub(super) fn all(files: &FileNames) -> Vec<Self> {
        files.join().map_or_else(Vec::new, |join| {
            let members = join.members().iter().enumerate();
            members
                .map(|(file, member)| Self::of(&join, file, member))
                .collect()
        })
    }

    fn of(join: &Join, file: usize, member: &Member) -> Self {
        let difference = join.difference(file);
        let clock = difference.map(|it| it.clock);
        let leads = clock.map_or(&[][..], |clock| &clock.leads);
        Self {
            file: member.name.clone(),
            clock_of: difference.map(|it| it.to.to_owned()),
            ahead_ns: leads.first().map_or(0, |lead| lead.ahead_ns),
            uncertainty_ns: clock.and_then(|it| it.uncertainty_ns),
            bounds: clock.map(|it| it.bounds.id()),
            common_segments: difference.map(|it| it.segments),
            leads: (leads.iter())
                .map(|lead| LeadFields {
                    from_ns: lead.from_ns,
                    ahead_ns: lead.ahead_ns,
                    #[allow(clippy::cast_possible_truncation)] // within a million
                    rate_ppb: lead.rate_ppb.round() as i64,
                })
                .collect(),
            began_ns: member.times.map(|it| it.0),
            ended_ns: member.times.map(|it| it.1),
            packets: member.frames(),
            moved_packets: member.moved.0,
            moved_ns: member.moved.1,
        }
    }
}
