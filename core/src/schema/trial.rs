//! Schemas of documents with trials: reports of `run` and `check`, and saved evidence.

use serde_json::{Value, json};

use super::finding::finding;
use super::{
    Field, boolean, count, defined, document, errno, evidence_sources, family, field, form, frame,
    host, integer, list, nullable, object, one_of, optional, remark, role, schema_number, socket,
    tcp_state, text, tool, triggered_by, verdict,
};
use crate::evidence::SourceId;

/// Returns the schema of the result of a call.
pub(super) fn result(description: &str) -> Value {
    json!({
        "description": description,
        "anyOf": [
            object("Return value.", vec![field("ok", integer("Return value."))]),
            object("Error.", vec![field("errno", errno("Error that the call failed with."))]),
            object("Result of `getsockopt(SO_ERROR)`.", vec![
                field("ok", integer("Return value.")),
                field("so_error", nullable(errno("Error that was on the socket; null if there was none."))),
            ]),
            object("Result of `poll`.", vec![
                field("ok", integer("Return value.")),
                field("revents", text("Events, as in `IN|ERR|HUP`; `0` if there were none.")),
            ]),
            object("The call did not return.", vec![field("unfinished", boolean("True."))]),
        ],
    })
}

fn call() -> Value {
    let mut causes: Vec<Value> = vec![json!({
        "type": "string",
        "enum": ["not-connected", "unanswered", "no-route", "unexplained"],
    })];
    for (name, description) in [
        ("reset", "Frame of the RST that caused the error."),
        (
            "after-reset",
            "Frame of the RST that had closed the connection before.",
        ),
        (
            "own-shutdown",
            "Earlier call that shut down the caller's sending side.",
        ),
        (
            "own-disconnect",
            "Earlier call that dissolved the caller's connection.",
        ),
        (
            "own-reset",
            "Frame of the RST that the caller's own socket sent.",
        ),
        ("not-listening", "Earlier call that shut the listener down."),
        (
            "would-block",
            "Earlier call that made the socket non-blocking, or set a timeout.",
        ),
        (
            "timed-out",
            "Earlier call that set the timeout that expired.",
        ),
        ("icmp", "Frame of the ICMP error."),
        ("destroyed", "Call that destroyed the socket."),
        (
            "in-use",
            "Call of another thread that waited on the same socket.",
        ),
    ] {
        causes.push(object(description, vec![field(name, count(description))]));
    }
    let cause =
        json!({"description": "Cause of the error; null if there is no error.", "anyOf": causes});
    object(
        "A system call.",
        vec![
            field("index", count("Index of the call in `calls`.")),
            field("role", role("End that made the call.")),
            field("call", text("Name of the system call.")),
            field("arguments", text("Arguments of the call.")),
            field("began_ns", integer("Time at which the call began.")),
            field("ended_ns", integer("Time at which the call had returned.")),
            field("result", result("Result of the call.")),
            field("cause", nullable(cause)),
        ],
    )
}

fn step() -> Value {
    object(
        "A step of the script that is not a call.",
        vec![
            field("step", count("Index of the step in the script.")),
            field("began_ns", integer("Time at which the step began.")),
            field("ended_ns", integer("Time at which the step had ended.")),
            field(
                "captured_ns",
                nullable(integer(
                    "Capture time of the segment that the step waited for; null if there is none.",
                )),
            ),
            field(
                "timed_out",
                boolean("Whether the step waited until its time limit."),
            ),
        ],
    )
}

fn packet() -> Value {
    object(
        "A captured packet of the connection.",
        vec![
            field("frame", frame("Frame number in the capture file, from 1.")),
            field(
                "interface",
                text("Interface that the packet was captured on."),
            ),
            field("at_ns", integer("Capture time.")),
            field("protocol", one_of("Protocol.", &["tcp", "icmp"])),
            field(
                "from",
                nullable(role("End that sent it; null if neither did.")),
            ),
            field(
                "flags",
                nullable(text(
                    "TCP flags, in tcpdump's letters; null if it is not TCP.",
                )),
            ),
            field(
                "seq",
                nullable(count(
                    "Sequence number, relative to the sender's initial one.",
                )),
            ),
            field(
                "ack",
                nullable(count(
                    "Acknowledgment number, relative to the receiver's initial one.",
                )),
            ),
            field("len", count("Bytes of payload.")),
            field("win", nullable(count("Window field, not scaled."))),
        ],
    )
}

fn trial_reset() -> Value {
    let senders = ["socket", "kernel", "firewall", "injected", "unknown"];
    object(
        "An RST of the connection.",
        vec![
            field("frame", frame("Frame number of the RST.")),
            field("from", role("End whose address is the source of the RST.")),
            field("form", form()),
            field(
                "receiver_state",
                tcp_state("State of the receiver before the RST."),
            ),
            field(
                "acceptable",
                boolean("Whether the receiver was required to accept the RST."),
            ),
            field(
                "acceptance",
                text("Reason why the RST is acceptable or not."),
            ),
            field(
                "sender",
                one_of("Sender of the RST, from the kernel trace.", &senders),
            ),
            field(
                "kernel_reason",
                nullable(text(
                    "Reason for which the RST was sent: a name of `enum sk_rst_reason`; null if unknown.",
                )),
            ),
            triggered_by(),
            field(
                "explains_calls",
                list(
                    "Calls that failed because of the RST.",
                    &count("Index of a call."),
                ),
            ),
        ],
    )
}

fn kernel_event() -> Value {
    object(
        "A kernel trace event.",
        vec![
            field("at_ns", integer("Time of the event.")),
            field(
                "event",
                one_of(
                    "Name of the event.",
                    &[
                        "tcp_send_reset",
                        "tcp_receive_reset",
                        "inet_sk_error_report",
                        "inet_sock_set_state",
                    ],
                ),
            ),
            field("source", socket("End that the event is about.")),
            field(
                "destination",
                socket("Its peer; unspecified for a listener."),
            ),
            field(
                "socket",
                nullable(count(
                    "Number of the socket, from 1; null if the kernel names none.",
                )),
            ),
            optional("cookie", count("`SO_COOKIE` of the socket.")),
            optional("state", text("State of the socket that sends the RST.")),
            optional(
                "reason",
                text("Reason for the RST: a name of `enum sk_rst_reason`."),
            ),
            optional("errno", errno("Error that was set on the socket.")),
            optional("old_state", text("State that the socket leaves.")),
            optional("new_state", text("State that the socket enters.")),
        ],
    )
}

fn trace_coverage() -> Value {
    object(
        "Facts that the trace of this kernel can show; null if there is no trace.",
        vec![
            field(
                "overrun",
                boolean("Whether events were lost because the trace buffer was full."),
            ),
            field("tcp_send_reset", boolean("Whether the event exists.")),
            field(
                "resets_without_socket",
                boolean(
                    "Whether `tcp_send_reset` covers RSTs sent without a full socket (Linux 6.10).",
                ),
            ),
            field(
                "reset_reasons",
                boolean(
                    "Whether `tcp_send_reset` has a reason (Linux 6.10 for replies, 6.12 for aborts).",
                ),
            ),
            field("tcp_receive_reset", boolean("Whether the event exists.")),
            field(
                "inet_sk_error_report",
                boolean("Whether the event exists (Linux 5.14)."),
            ),
            field("inet_sock_set_state", boolean("Whether the event exists.")),
        ],
    )
}

fn host_state() -> Value {
    object(
        "State of the host that may have changed the trial.",
        vec![
            field(
                "tcp_memory_pressure",
                boolean("Whether TCP was under memory pressure on the whole host."),
            ),
            field(
                "tcp_pages",
                nullable(count("Memory pages that TCP used on the whole host.")),
            ),
            field(
                "tcp_mem_low_pages",
                nullable(count("First value of `net.ipv4.tcp_mem`, in pages.")),
            ),
            field(
                "cgroup_tcp_limit_bytes",
                nullable(count("TCP memory limit of the control group, in bytes.")),
            ),
            field(
                "cgroup_tcp_peak_bytes",
                nullable(count("Peak TCP memory use of the control group, in bytes.")),
            ),
            field(
                "cgroup_memory_limit_hits",
                count(
                    "Number of times that the control group reached a memory limit during the trial.",
                ),
            ),
            field(
                "softnet_drops",
                count(
                    "Packets that full CPU queues dropped during the trial (`/proc/net/softnet_stat`).",
                ),
            ),
            field(
                "neighbour_table_overflows",
                count(
                    "Entries for which the neighbour tables of the machine had no room during a trial between hosts \
                     (`table_fulls`).",
                ),
            ),
        ],
    )
}

fn completeness() -> Value {
    let fence = object(
        "Datagram that ends the trial in its capture.",
        vec![
            field("source", socket("Socket that sent it, to itself.")),
            field(
                "payload",
                text("First eight bytes of its payload, as 16 hexadecimal digits."),
            ),
        ],
    );
    object(
        "Completeness of the capture of the trial; null if the trial was skipped or could not be run.",
        vec![
            field(
                "fence_seen",
                boolean(
                    "Whether the fence, the datagram sent after the last call, was captured: everything before it was captured, too.",
                ),
            ),
            field("fence", nullable(fence)),
            field(
                "dropped",
                count("Packets that the kernel dropped because the capture buffer was full."),
            ),
            field(
                "filter_passes_all",
                boolean("Whether the user's filter passes every packet of the connection."),
            ),
            field(
                "clock_step_ns",
                integer("Step of `CLOCK_REALTIME` during the trial, in nanoseconds."),
            ),
        ],
    )
}

/// Returns the fields of a trial with the reports of this source, apart from `packets` and `resets`.
fn source_fields(source: SourceId) -> Vec<Field> {
    match source {
        SourceId::Capture => Vec::new(),
        SourceId::KernelTrace => vec![
            field(
                "kernel_events",
                list("Kernel trace events.", &defined("kernel_event")),
            ),
            field("trace_coverage", nullable(trace_coverage())),
        ],
        SourceId::Counters => counter_fields(),
    }
}

fn counter_fields() -> Vec<Field> {
    vec![
        field(
            "counters",
            json!({
                "description": "Kernel counters that increased during the trial, and by how much.",
                "type": "object",
                "additionalProperties": {"type": "integer", "minimum": 0},
            }),
        ),
        field(
            "unsupported_counters",
            nullable(list(
                "Counters that this kernel does not have; null if counters were not read.",
                &text("Name of a counter."),
            )),
        ),
    ]
}

/// Returns the fields of a trial about the host and the capture.
fn host_fields() -> Vec<Field> {
    vec![
        optional(
            "process_stall_ns",
            count("Longest time that rstproof itself did not run during the trial."),
        ),
        optional("host_state", nullable(host_state())),
        field("completeness", nullable(completeness())),
    ]
}

fn saved_evidence() -> Value {
    object(
        "Saved evidence that `check` judged.",
        vec![
            field("file", text("File of the evidence.")),
            field(
                "recorded_verdict",
                verdict("Verdict that was recorded; null if there is none."),
            ),
            field(
                "kernel_release",
                nullable(text(
                    "Kernel release that it was recorded on; null if unknown.",
                )),
            ),
            field(
                "tool_version",
                nullable(text(
                    "Version of rstproof that recorded it; null if unknown.",
                )),
            ),
        ],
    )
}

/// Returns the schema of a trial. With `is_checked`, it has the fields that `check` adds.
fn trial(is_checked: bool) -> Value {
    let nanoseconds = "Nanoseconds since the Unix epoch at which the trial began; all other times of the trial are nanoseconds \
                       since then.";
    let mut fields = vec![
        field("scenario", text("Id of the scenario.")),
        field("family", family()),
        field(
            "run",
            json!({"description": "Number of the repetition, from 1.", "type": "integer", "minimum": 1}),
        ),
        field(
            "verdict",
            verdict("Verdict; null if the trial was skipped."),
        ),
        field(
            "skipped",
            nullable(text(
                "Reason why the trial was skipped; null if it was run.",
            )),
        ),
        field(
            "inconclusive_reason",
            nullable(remark(
                "Reason why the trial is inconclusive; null if it is not.",
            )),
        ),
        field(
            "findings",
            list(
                "Differences from the scenario; empty unless the trial is refuted.",
                &defined("finding"),
            ),
        ),
        field(
            "capture_file",
            nullable(text(
                "Capture file, relative to this document; null if it was not saved.",
            )),
        ),
        field(
            "capture_sha256",
            nullable(text("SHA-256 of the capture file, in hexadecimal digits.")),
        ),
        field("began_realtime_ns", integer(nanoseconds)),
        field("client", nullable(socket("Address of the client."))),
        field("server", nullable(socket("Address of the server."))),
        field("calls", list("System calls, by index.", &defined("call"))),
        optional(
            "steps",
            list("Steps of the script that are not calls.", &defined("step")),
        ),
        field(
            "packets",
            list("Captured packets of the connection.", &defined("packet")),
        ),
        field("resets", list("RSTs among the packets.", &defined("reset"))),
    ];
    fields.extend(SourceId::ALL.into_iter().flat_map(source_fields));
    fields.extend(host_fields());
    // Only `check` has saved evidence to refer to.
    if is_checked {
        fields.push(optional("evidence", saved_evidence()));
    }
    object(
        "A trial: one run of a scenario over one address family.",
        fields,
    )
}

fn trials_document(file: &str, title: &str, is_report: bool) -> Value {
    // Saved evidence has the form of a report with exactly one trial.
    let mut trials = list("Trials.", &defined("trial"));
    if !is_report {
        trials["minItems"] = json!(1);
        trials["maxItems"] = json!(1);
    }
    let capture = object(
        "Capture of the trials.",
        vec![
            field("interface", text("Interface, or interfaces.")),
            field("filter", text("BPF filter of the first worker.")),
            field(
                "dropped",
                count(
                    "Packets that the kernel dropped because the capture buffer was full, in all workers.",
                ),
            ),
        ],
    );
    let schema = object(
        title,
        vec![
            schema_number(),
            tool(),
            host(),
            evidence_sources(),
            field("trials", trials),
            field("capture", capture),
        ],
    );
    let definitions = vec![
        ("trial", trial(is_report)),
        ("finding", finding()),
        ("call", call()),
        ("step", step()),
        ("packet", packet()),
        ("reset", trial_reset()),
        ("kernel_event", kernel_event()),
    ];
    document(file, title, schema, definitions)
}

/// Returns the schema of the output of `run` and `check`.
pub(super) fn report() -> Value {
    let title = "Output of `rstproof run` and `rstproof check`, and the file report.json";
    trials_document("report", title, true)
}

/// Returns the schema of the saved evidence of one trial.
pub(super) fn evidence() -> Value {
    let title = "Saved evidence of one trial: the .json file beside a capture";
    trials_document("evidence", title, false)
}
