//! Schemas of the fields of joined captures.

use serde_json::Value;

use super::{boolean, count, field, frame, integer, list, nullable, object, one_of, text};
use crate::analyze::join::Gap;

/// Returns the RST at the other capture points.
pub(super) fn elsewhere() -> Value {
    let point = object(
        "The RST at the capture point of another file.",
        vec![
            field("file", text("File of that point.")),
            field(
                "side",
                nullable(one_of(
                    "Where that point is, seen from the point of `frame`: nearer to the `sender` or to the `receiver`; null if unknown.",
                    &["sender", "receiver"],
                )),
            ),
            field(
                "conclusion",
                one_of(
                    "`captured` if that file has the RST; `absent` if it lacks the RST and would have it if the RST had passed there; `unknown` if its lack of the RST shows nothing.",
                    &["captured", "absent", "unknown"],
                ),
            ),
            field(
                "frame",
                nullable(frame("Frame number in that file; null unless `captured`.")),
            ),
            field(
                "after_ns",
                nullable(integer(
                    "Nanoseconds from the RST to its copy in that file, by the corrected clocks, negative if that is earlier; null unless `captured`.",
                )),
            ),
            field(
                "translated",
                nullable(boolean(
                    "Whether the copy has other addresses or ports; null unless `captured`.",
                )),
            ),
            field(
                "unknown_because",
                nullable(one_of(
                    "Reason why the lack of the RST shows nothing; null unless `unknown`. The file `begins-later`, or `ends-earlier`, or begins or ends about then (`at-edge`); its capture dropped frames (`frames-dropped`); it also lacks other segments of this direction at that time (`others-missing`), or has none in common with the file of `frame` (`nothing-in-common`); there are too many RSTs to compare (`too-many-resets`).",
                    &Gap::IDS,
                )),
            ),
        ],
    );
    list(
        "The RST at other capture points, if captures were joined (`--join`); else empty.",
        &point,
    )
}

/// Returns the files of a joined capture.
pub(super) fn files() -> Value {
    let lead = object(
        "Lead of a clock from a time on.",
        vec![
            field(
                "from_ns",
                integer(
                    "Time by the clock itself from which it has this lead, in nanoseconds since the Unix epoch.",
                ),
            ),
            field(
                "ahead_ns",
                integer("Nanoseconds by which the clock is ahead then, negative if it is behind."),
            ),
            field(
                "rate_ppb",
                integer("Nanoseconds by which the lead grows in a second."),
            ),
        ],
    );
    let file = object(
        "A file of a joined capture.",
        vec![
            field("file", text("File.")),
            field(
                "clock_of",
                nullable(text(
                    "File whose clock this one is compared with; null for the first file, whose clock all times in the output are by.",
                )),
            ),
            field(
                "ahead_ns",
                integer(
                    "Nanoseconds by which the clock is ahead of that one at first, negative if it is behind.",
                ),
            ),
            field(
                "uncertainty_ns",
                nullable(integer(
                    "Largest error of that in nanoseconds, if the clocks differ in rate by less than 100 ppm more than stated; null if there is one bound only.",
                )),
            ),
            field(
                "bounds",
                nullable(one_of(
                    "Bounds that the common segments set: `both`, or only an `upper` or a `lower` one, because all were sent in one direction. `ahead_ns` is then that bound.",
                    &["both", "upper", "lower"],
                )),
            ),
            field(
                "common_segments",
                nullable(count("Number of common segments that set bounds.")),
            ),
            field(
                "leads",
                list(
                    "Leads of the clock in the order of time: several if it was set, or does not run steadily.",
                    &lead,
                ),
            ),
            field(
                "began_ns",
                nullable(integer(
                    "Corrected time of the first frame; null if there is none.",
                )),
            ),
            field(
                "ended_ns",
                nullable(integer(
                    "Corrected time of the latest frame; null if there is none.",
                )),
            ),
            field("packets", count("Packets in the file.")),
            field(
                "moved_packets",
                count(
                    "Packets that were moved behind the copies nearer to their senders, because the corrected clocks would have them come first.",
                ),
            ),
            field(
                "moved_ns",
                integer("Nanoseconds by which they were moved at most."),
            ),
        ],
    );
    list(
        "Files that were joined, with their clocks (`--join`); else empty.",
        &file,
    )
}
