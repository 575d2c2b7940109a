//! Schema of the fields about a capture that was printed as text.

use serde_json::Value;

use super::super::{Field, count, field, frame, list, nullable, object, one_of, text};

/// Returns the field with the comments of a file on frames.
pub(super) fn comments(description: &str) -> Field {
    let comment = object(
        "Comment.",
        vec![
            field("frame", frame("Frame that it is on.")),
            field(
                "file",
                nullable(text(
                    "File of that frame, if it is another one than `file`; else null.",
                )),
            ),
            field(
                "text",
                text(
                    "Text in the file, cut to 240 bytes, with control characters escaped. Whoever wrote the file chose it: nothing is concluded from it.",
                ),
            ),
        ],
    );
    field("comments", list(description, &comment))
}

/// Returns the schema of the text that a capture was printed as.
pub(super) fn of_text() -> Value {
    let name = object(
        "Name with its stand-in.",
        vec![
            field("name", text("Name of a host or a service.")),
            field(
                "stand_in",
                text(
                    "Address for documentation (RFC 5737, RFC 3849), or port, that stands for the name in all rows.",
                ),
            ),
        ],
    );
    let other = object(
        "Protocol.",
        vec![
            field("value", text("Name of the protocol.")),
            field("count", count("Number of packets.")),
        ],
    );
    nullable(object(
        "Text output that was read as a capture. Null if the file is a capture.",
        vec![
            field(
                "tool",
                one_of(
                    "Program that printed it.",
                    &["tcpdump", "tshark", "tcpdump and tshark"],
                ),
            ),
            field(
                "times",
                one_of(
                    "Meaning of the times. `absolute`: points in time; `local`: date and time of an unknown time zone; `time-of-day`: of \
                     an unknown day; `relative`: since the first packet; `none`: the text has none. Unless it is `absolute`, all times \
                     since the epoch are null; with `none`, durations are null as well.",
                    &["absolute", "local", "time-of-day", "relative", "none"],
                ),
            ),
            field(
                "explanation",
                text("What the text lacks, and what that means: a sentence."),
            ),
            field(
                "missing",
                list(
                    "Properties of packets that the text lacks.",
                    &text("Property."),
                ),
            ),
            field(
                "hex_dumps",
                count("Number of packets that were read from hex dumps, byte for byte."),
            ),
            field(
                "other_protocols",
                list("Packets of other protocols, which were not read.", &other),
            ),
            field(
                "names",
                list(
                    "Names in the text that stand for addresses or ports, at most 32.",
                    &name,
                ),
            ),
            field("names_count", count("Number of such names.")),
            field(
                "truncated_lines",
                count("Number of TCP segments whose line is cut or damaged."),
            ),
            field(
                "unread_segments",
                count(
                    "Number of TCP segments that were not read, because there are too many names or connections.",
                ),
            ),
            field(
                "unassigned_icmp_errors",
                count("Number of ICMP errors whose segment the text does not show."),
            ),
            field(
                "other_lines",
                count("Number of lines that belong to no packet."),
            ),
        ],
    ))
}
