//! Schema of the output of `compare`.

use serde_json::{Value, json};

use super::{
    Field, boolean, count, defined, document, evidence_sources, family, field, list, nullable,
    object, one_of, optional, schema_number, text, tool,
};

fn kernel_place() -> Value {
    count("Index in `kernels`, from 0.")
}

fn scenario_fields() -> [Field; 2] {
    [
        field("scenario", text("Id of the scenario.")),
        field("family", family()),
    ]
}

fn compared_kernel() -> Value {
    object(
        "A kernel: one report.",
        vec![
            field("label", text("Short name of the kernel.")),
            field("sysname", text("`uname -s`.")),
            field("release", text("`uname -r`.")),
            field("version", text("`uname -v`.")),
            field("machine", text("`uname -m`.")),
            field(
                "linux_version",
                nullable(text(
                    "Linux version that the kernel is made from; null if unknown.",
                )),
            ),
            field(
                "linux_version_exact",
                boolean("Whether `linux_version` is certain."),
            ),
            field("report", text("File of the report.")),
            evidence_sources(),
            field(
                "tool_version",
                text("Version of rstproof that wrote the report."),
            ),
            field("trials", count("Trials in the report.")),
            field("confirmed", count("Trials that were confirmed.")),
            field("refuted", count("Trials that were refuted.")),
            field("inconclusive", count("Trials that were inconclusive.")),
            field("skipped", count("Trials that were skipped.")),
        ],
    )
}

fn difference() -> Value {
    let lines = |description: &str| list(description, &text("One line."));
    let group = object(
        "Kernels that agree.",
        vec![
            field("kernels", list("The kernels.", &kernel_place())),
            field(
                "since",
                nullable(text(
                    "Label of the oldest kernel of the group, if the group is the newest of all; null otherwise.",
                )),
            ),
            field(
                "until",
                nullable(text(
                    "Label of the newest kernel of the group, if the group is the oldest of all; null otherwise.",
                )),
            ),
            field("observed", lines("What was observed on these kernels.")),
        ],
    );
    let aspects = ["ran", "calls", "resets", "reasons", "counters", "verdict"];
    let aspect = object(
        "An aspect that differs.",
        vec![
            field("aspect", one_of("The aspect.", &aspects)),
            field("groups", list("Groups of kernels that agree.", &group)),
        ],
    );
    let kinds = ["behaviour", "observability", "availability"];
    object(
        "A scenario in which kernels differ.",
        vec![
            field("scenario", text("Id of the scenario.")),
            field(
                "families",
                list("Address families, all with the same difference.", &family()),
            ),
            field("kind", one_of("Kind of difference.", &kinds)),
            field("aspects", list("Aspects that differ.", &aspect)),
            field("explained", boolean("Whether the difference is explained.")),
            field(
                "causes",
                list("Known causes of the difference.", &defined("cause")),
            ),
        ],
    )
}

/// Returns the schema of the cause of a difference between kernels.
fn difference_cause() -> Value {
    let releases = |description: &str| list(description, &text("A Linux release."));
    let id = || field("id", text("Stable id, kebab-case."));
    json!({
        "description": "A known cause of a difference.",
        "anyOf": [
            object("A change of Linux.", vec![
                id(),
                field("description", text("What changed.")),
                field("commit", text("Commit.")),
                field("title", text("Title of the commit.")),
                field("since", releases("First releases with the change: mainline, then stable series.")),
                optional("reverted_in", releases("First releases in which the change was reverted.")),
            ]),
            object("Behaviour of another operating system.", vec![
                id(),
                field("description", text("What it does differently.")),
                field("source", text("Source of this information.")),
            ]),
        ],
    })
}

/// Returns the schema of the output of `compare`.
pub(super) fn compare() -> Value {
    let scenario = |description: &str, fields: Vec<Field>| {
        object(
            description,
            scenario_fields().into_iter().chain(fields).collect(),
        )
    };
    let observability = object(
        "A feature of the kernel trace or the counters that some kernels have and others lack.",
        vec![
            field("feature", text("The feature.")),
            field(
                "available_on",
                list("Kernels that have it.", &kernel_place()),
            ),
            field("missing_on", list("Kernels that lack it.", &kernel_place())),
            field("cause", nullable(defined("cause"))),
        ],
    );
    let agreed = scenario(
        "A scenario in which all kernels agree.",
        vec![
            field("kernel_count", count("Number of kernels that ran it.")),
            field(
                "calls",
                list("Calls and their results.", &text("One line.")),
            ),
        ],
    );
    let inconclusive = scenario(
        "A trial that was inconclusive.",
        vec![
            field("kernel", kernel_place()),
            field("message", text("Reason why it was inconclusive.")),
        ],
    );
    let not_compared = scenario(
        "A scenario that fewer than two kernels ran.",
        vec![field(
            "kernel",
            nullable(count(
                "The only kernel that ran it, as an index in `kernels`; null if none did.",
            )),
        )],
    );
    let not_run = scenario(
        "A scenario that this report lacks and another one has.",
        vec![field("kernel", kernel_place())],
    );
    let title = "Output of `rstproof compare --format json`";
    let schema = object(
        title,
        vec![
            schema_number(),
            tool(),
            field("kernels", list("Kernels, by version.", &compared_kernel())),
            field("differences", list("Differences in trials.", &difference())),
            field(
                "observability_differences",
                list(
                    "Differences in the kernel trace and the counters.",
                    &observability,
                ),
            ),
            field(
                "agreed",
                list(
                    "Scenarios in which all kernels agree; empty without `--all`.",
                    &agreed,
                ),
            ),
            field(
                "inconclusive",
                list("Trials that were inconclusive.", &inconclusive),
            ),
            field(
                "not_compared",
                list("Scenarios that fewer than two kernels ran.", &not_compared),
            ),
            field("not_run", list("Scenarios that a report lacks.", &not_run)),
            field(
                "behaviour_differs",
                boolean("Whether any difference is one of behaviour."),
            ),
            field(
                "unexplained_differences",
                count("Number of differences without a known cause."),
            ),
        ],
    );
    document(
        "compare",
        title,
        schema,
        vec![("cause", difference_cause())],
    )
}
