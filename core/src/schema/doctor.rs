//! Schema of the output of `doctor`.

use serde_json::{Value, json};

use super::{
    boolean, count, document, family, field, host, list, nullable, object, one_of, remark,
    schema_number, text, tool, verdict,
};

fn facts() -> Value {
    let trace_field = object(
        "A field of the event.",
        vec![
            field("name", text("Name.")),
            field("type", text("C type.")),
            field("offset", count("Offset in bytes.")),
            field("size", count("Size in bytes.")),
            field("signed", boolean("Whether it is signed.")),
        ],
    );
    let names = |description: &str| list(description, &text("A name."));
    json!({
        "description": "More facts about the check, by its kind.",
        "anyOf": [
            object("Capture.", vec![
                field("libpcap", text("Version of libpcap, in its own words.")),
                field("timestamps", nullable(text("Resolution of timestamps; null if no packet was captured."))),
            ]),
            object("tracefs.", vec![
                field("mounted_on", nullable(text("Mount point; null if it is not mounted."))),
            ]),
            object("A kernel trace event.", vec![
                field("fields", list("Fields of the event.", &trace_field)),
                field("missing_fields", names("Fields that this kernel lacks.")),
                field("named_reasons", count("Number of reset reasons that have a name.")),
            ]),
            object("Kernel counters.", vec![
                field("supported", names("Counters that this kernel has.")),
                field("unsupported", names("Counters that this kernel lacks.")),
            ]),
            object("A program.", vec![
                field("path", text("Path of the program.")),
                field("version", nullable(text("First line of its version output; null if it prints none."))),
            ]),
        ],
    })
}

/// Returns the schema of the output of `doctor`.
pub(super) fn doctor() -> Value {
    let attempt = object(
        "A trial.",
        vec![
            field("scenario", text("Id of the scenario.")),
            field("family", family()),
            field(
                "verdict",
                verdict("Verdict; null if the trial was skipped."),
            ),
            field(
                "skipped",
                nullable(text("Reason why it was skipped; null if it was run.")),
            ),
            field(
                "inconclusive_reason",
                nullable(remark("Reason why it is inconclusive; null if it is not.")),
            ),
            field(
                "findings",
                list("Differences from the scenario.", &remark("A finding.")),
            ),
        ],
    );
    let self_test = object(
        "Trials that were run to find out whether trials can run.",
        vec![
            field(
                "passed",
                boolean("Whether trials can run: at least one was confirmed, and none failed."),
            ),
            field(
                "trials",
                list(
                    "The trials; fewer than two if they could not be run.",
                    &attempt,
                ),
            ),
        ],
    );
    let check = object(
        "A check.",
        vec![
            field("id", text("Stable id, kebab-case.")),
            field("name", text("Name for people.")),
            field(
                "group",
                one_of(
                    "Purpose: trials in a private namespace, `run --host`, the kernel trace and counters, other programs.",
                    &["trials", "host", "kernel", "programs"],
                ),
            ),
            field("status", one_of("Result.", &["ok", "limited", "missing"])),
            field("detail", text("What was found.")),
            field(
                "without_it",
                nullable(text("What is lost without it; null if nothing is missing.")),
            ),
            field(
                "fix",
                nullable(text(
                    "Command that fixes it on this system; null if there is none.",
                )),
            ),
            field(
                "blocked_by",
                nullable(text(
                    "Id of the check that must be fixed first; null if there is none.",
                )),
            ),
            field("facts", nullable(facts())),
        ],
    );
    let title = "Output of `rstproof doctor --format json`";
    let schema = object(
        title,
        vec![
            schema_number(),
            tool(),
            host(),
            field(
                "distribution",
                text("Name of the distribution; empty if unknown."),
            ),
            field("uid", count("Effective user id.")),
            field("self_test", self_test),
            field("checks", list("All checks.", &check)),
        ],
    );
    document("doctor", title, schema, Vec::new())
}
