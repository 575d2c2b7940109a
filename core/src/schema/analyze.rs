//! Schemas of the rows of `analyze`.

mod joined;
mod story;
mod text;

use serde_json::{Value, json};

use super::{
    Field, address, boolean, constant, count, defined, document, errno, field, form, frame,
    integer, list, nullable, object, one_of, optional, role, schema_number, socket, tcp_state,
    text, triggered_by,
};
use crate::analyze::icmp::Effect;
use crate::analyze::{Cause, ErrnoCondition, FailureKind, MissingTraffic, SenderVerdict, Stack};
use crate::packet::tunnel::Kind;

/// Returns the fields that every row of `analyze` begins with.
fn row(kind: &str) -> Vec<Field> {
    vec![
        field("type", constant("Kind of row.", &json!(kind))),
        schema_number(),
        field(
            "file",
            text(
                "Capture file; `-` for standard input. If several files were read as one capture, the file that holds the frame which the row is about; frame numbers are those in their files.",
            ),
        ),
    ]
}

fn conn_state() -> Value {
    // https://docs.zeek.org/en/master/scripts/base/protocols/conn/main.zeek.html lists these values.
    let states = [
        "S0", "S1", "SF", "REJ", "S2", "S3", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR", "OTH",
    ];
    one_of(
        "State of a connection at its end, as in Zeek's conn.log.",
        &states,
    )
}

fn cause() -> Value {
    // From the enum itself, so that no new cause can be missing here.
    let causes = Cause::ALL.map(Cause::id);
    nullable(one_of(
        "Cause of the RST; null if unknown, see `explanation`.",
        &causes,
    ))
}

fn failure() -> Value {
    one_of(
        "Failure of the connection; null if it goes on or was closed in order.",
        &FailureKind::ALL.map(FailureKind::id),
    )
}

fn errno_condition() -> Value {
    one_of(
        "Condition under which the application gets the error; null if it gets it in any case, or if there is no error. `socket-held`: only if the process still \
         holds the socket, since after close() no call reports the error. `fin-received` and `fin-not-received`: if the FIN of the \
         RST's sender, which the receiver has not acknowledged, had arrived or not. `not-time-wait`: only if the older connection \
         that the RST ends is still open. `kernel-gave-up`: only if the kernel gave up, earlier than by default, and not the \
         process. `user-timeout`: only with TCP_USER_TIMEOUT, since the probes are answered. `no-later-reply`: unless a reply came after the end of the capture.",
        &ErrnoCondition::ALL.map(ErrnoCondition::id),
    )
}

fn by_end(description: &str) -> Value {
    object(
        description,
        vec![
            field("client", count("Sent by the client.")),
            field("server", count("Sent by the server.")),
        ],
    )
}

fn processes() -> Value {
    let process = |end: &'static str| {
        let fields = vec![
            field("pid", count("Process id.")),
            field(
                "name",
                text("Name that the process gave itself, with control characters escaped."),
            ),
        ];
        let process = object("A process.", fields);
        field(end, nullable(process))
    };
    object(
        "Process of each end, if the capture states it (PKTAP of macOS); else null.",
        vec![process("client"), process("server")],
    )
}

fn translation() -> Value {
    object(
        "Addresses of a connection on another side of a NAT.",
        vec![
            field("client", socket("Address of the client there.")),
            field("server", socket("Address of the server there.")),
            field("frame", frame("First frame with these addresses.")),
            field(
                "file",
                nullable(text(
                    "File of that frame, if it is another one than that of the row; else null.",
                )),
            ),
        ],
    )
}

fn connection_number() -> Field {
    let number = frame("Number of the connection: that of its first frame.");
    field("connection", number)
}

const CONNECTION: &str = "Connection that is over, or lasts to the end of the capture.";

const FAILURE: &str = "Connection of a live capture that has failed without an RST or an ICMP error, as far as it was captured. A row of \
                       type `connection` follows once it is over.";

/// Returns the row of a connection that is over, or of one of a live capture that has failed: `connection` or `failure`.
fn connection_row(kind: &'static str, description: &str) -> Value {
    let gaps = object(
        "Parts of the connection that are missing in the capture, or are in it twice.",
        vec![
            field(
                "begins_midstream",
                boolean("Whether the capture has no SYN of the connection."),
            ),
            field(
                "lost_before_frame",
                nullable(frame(
                    "First frame that acknowledges data that was not captured; null if there is none.",
                )),
            ),
            field(
                "lost_before_file",
                nullable(text(
                    "File of that frame, if it is another one than `file`; else null.",
                )),
            ),
            field(
                "one_sided",
                boolean("Whether the capture has one direction only."),
            ),
            field(
                "captured_twice",
                boolean("Whether packets were captured more than once."),
            ),
        ],
    );
    let stack = || {
        let ids = Stack::ALL.map(Stack::id);
        nullable(one_of(
            "Likely TCP stack, by the SYN or SYN-ACK: its options, window and TTL; null if unknown.",
            &ids,
        ))
    };
    let stacks = object(
        "Likely TCP stacks of the ends.",
        vec![field("client", stack()), field("server", stack())],
    );
    let mut fields = row(kind);
    let [scenario, advice] = story::scenario("the failure");
    fields.extend([
        connection_number(),
        field("client", socket("Address of the client.")),
        field("server", socket("Address of the server.")),
        field("translations", list("Addresses of the connection on other sides of a NAT, if packets were captured on several sides.", &translation())),
        field("processes", processes()),
        text::comments("Comments of the file on frames of the connection, at most two of a frame and 16 in all."),
        field("conn_state", conn_state()),
        field("history", text("Zeek's history of the connection.")),
        field("zeek_records", count("Number of records that Zeek writes of the connection, because its timers end a record; `conn_state`, `history` and `originator` are those of the last one.")),
        field("originator", role("End that Zeek takes for the originator.")),
        field("began_ns", nullable(integer("Time of the first packet, in nanoseconds since the Unix epoch; null if the capture is a text without points in time."))),
        field("duration_ns", nullable(integer("Nanoseconds from the first packet to the last; null if there is one packet only, or all have the same time."))),
        field("idle_ns", nullable(integer("Nanoseconds from the last packet but one to the last packet; null if the capture is a text without times."))),
        field("sent_packets", by_end("Packets that each end sent.")),
        field("bytes", nullable(by_end("Bytes of payload, by sequence numbers; null if unknown."))),
        field("ip_bytes", by_end("Bytes of IP packets.")),
        field("missed_bytes", count("Bytes of payload missing in the capture.")),
        field("reset_frames", list("Frames of the RSTs; with more than 64, the first 63 and the last.", &frame("Frame number."))),
        field("reset_files", list("Files of the RSTs, if one of them is not in `file`; else empty.", &text("File name."))),
        field("reset_count", count("Number of RSTs.")),
        field("icmp_count", count("Number of ICMP errors about the connection.")),
        field("failure", nullable(failure())),
        field("failure_frame", nullable(frame("Frame that shows the failure: the RST, the ICMP error, the FIN, the SYN without a reply, or the last attempt. Null if there is no failure."))),
        field("failure_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        field("failure_at_ns", nullable(integer("Capture time of that frame, in nanoseconds since the Unix epoch; null if there is no failure."))),
        field("silence_before_ns", nullable(integer("Silence of the connection, in nanoseconds, before the RST, the FIN or the first segment that was not acknowledged, or before the packet that the RST replies to; null if unknown or if there is no failure."))),
        field("failure_explanation", nullable(text("Explanation of the failure; null without a failure."))),
        story::closed_after(),
        story::idle_timeouts(),
        scenario,
        advice,
        field("client_errno", nullable(errno("Error that the client's application gets on Linux; null if it gets none, or if the capture does not show which."))),
        field("client_errno_condition", nullable(errno_condition())),
        field("server_errno", nullable(errno("Error that the server's application gets on Linux; null if it gets none, or if the capture does not show which."))),
        field("server_errno_condition", nullable(errno_condition())),
        story::last_words("client"),
        story::last_words("server"),
        field("capture_gaps", gaps),
        field("repeated", nullable(repeated())),
        field("stack", stacks),
        story::preceded_by(),
    ]);
    object(description, fields)
}

fn repeated() -> Value {
    object(
        "SYN that the file holds twice, because captures of several points were merged whose clocks differ; null otherwise.",
        vec![
            field("frame", frame("First frame of the connection.")),
            field("copy_frame", frame("Frame that repeats its SYN.")),
            field(
                "copy_file",
                nullable(text(
                    "File of that frame, if it is another one than `file`; else null.",
                )),
            ),
            field(
                "apart_ns",
                integer("Nanoseconds from the first frame to that one."),
            ),
        ],
    )
}

fn later_call() -> Value {
    object(
        "A call that the receiving application may make after the RST, on Linux.",
        vec![
            field("call", text("System call.")),
            field(
                "first",
                text(
                    "Result if it is the first call after the RST: an errno, or the return value.",
                ),
            ),
            field("afterwards", text("Result of every call after the first.")),
        ],
    )
}

fn indicator() -> Value {
    object(
        "An observation that points to the sender of the RST.",
        vec![
            field("id", text("Stable id, kebab-case.")),
            field(
                "supports",
                one_of(
                    "Conclusion: the RST was injected by a third party, or sent by the endpoint that it names.",
                    &["injection", "endpoint"],
                ),
            ),
            field(
                "weight",
                one_of(
                    "Weight of the observation.",
                    &["weak", "moderate", "strong"],
                ),
            ),
            field("message", text("One line for people.")),
        ],
    )
}

fn claim() -> Value {
    let claim = object(
        "Cause of the RST if its source did send it. Null unless `sender` is `doubtful`.",
        vec![
            field("cause", cause()),
            field(
                "explanation",
                text("Explanation of this cause, or of why it is unknown."),
            ),
        ],
    );
    nullable(claim)
}

fn sender_verdict() -> Value {
    one_of(
        "Conclusion about the sender: probably the end whose address the RST carries (`likely-endpoint`), probably a third \
         party in its name (`doubtful`), or `unknown`.",
        &SenderVerdict::ALL.map(SenderVerdict::id),
    )
}

fn sender() -> Value {
    object(
        "Sender of the RST, as far as the indicators support a conclusion.",
        vec![
            field("verdict", sender_verdict()),
            field("indicator", nullable(indicator())),
        ],
    )
}

fn errno_elsewhere() -> Value {
    object(
        "An error that another system reports where Linux reports `errno`.",
        vec![
            field("system", one_of("System.", &["windows", "bsd", "macos"])),
            field("errno", text("Name of the error on that system.")),
            field("number", count("Number of the error on that system.")),
        ],
    )
}

fn diagnostic() -> Value {
    let kind = |id: &str, description: &str, fields: Vec<Field>| {
        let mut all = vec![
            field("id", constant("Kind of diagnostic.", &json!(id))),
            field("message", text("One line for people.")),
        ];
        all.extend(fields);
        object(description, all)
    };
    let len = || field("len", count("Bytes of payload."));
    json!({
        "description": "Information that the RST itself carries, in its payload or in TCP options.",
        "anyOf": [
            kind("payload-text", "Payload that is text.", vec![
                field("text", text("Beginning of the text, with control characters escaped.")),
                len(),
                field("complete", boolean("Whether `text` is all of it.")),
            ]),
            kind("payload-bytes", "Payload that is not text.", vec![
                field("hex", text("Beginning of the payload, in hexadecimal digits.")),
                len(),
            ]),
            kind("payload-reason", "Diagnostic payload (draft-ietf-tcpm-rst-diagnostic-payload).", vec![
                field("code", nullable(count("Code of the cause; null if there is none."))),
                field("pen", count("Private Enterprise Number of the registry that the code is from; 0 for IANA's.")),
                field("name", nullable(text("Name of the code in the registry TCP Failure Causes; null if unknown."))),
                field("description", nullable(text("Description of the cause; null if there is none."))),
            ]),
            kind("mptcp-reset", "Option MP_TCPRST (RFC 8684, 3.6).", vec![
                field("code", count("Reason code of the option.")),
                field("name", nullable(text("Name of the code; null if unknown."))),
                field("transient", boolean("Whether the problem is expected to be gone soon (flag T).")),
                field("flags", count("Flags U, V, W and T.")),
            ]),
            kind("mptcp-fastclose", "Option MP_FASTCLOSE (RFC 8684, 3.5).", vec![
                field("key", text("Key of the receiver, as 16 hexadecimal digits.")),
            ]),
            kind("mptcp-fail", "Option MP_FAIL (RFC 8684, 3.7).", vec![
                field("data_seq", text("Data sequence number of the failure, in decimal digits.")),
            ]),
            kind("malformed", "Malformed header, option or payload.", vec![
                field("part", one_of("Malformed part.", &["header", "options", "mptcp-option", "diagnostic-payload"])),
                field("error", text("Description of the error.")),
            ]),
        ],
    })
}

fn reset_row() -> Value {
    let actions = ["accept", "drop", "challenge", "not-delivered", "unknown"];
    let mut fields = row("reset");
    let [scenario, advice] = story::scenario("the RST");
    fields.extend([
        connection_number(),
        field("connection_file", nullable(text("File that the connection begins in, if it is another one than `file`; else null."))),
        field("frame", frame("Frame number of the RST, from 1.")),
        field("at_ns", nullable(integer("Capture time, in nanoseconds since the Unix epoch; null if the capture is a text without points in time."))),
        field("from", role("End whose address is the source of the RST.")),
        field("source", socket("Source address of the RST.")),
        field("destination", socket("Destination address of the RST.")),
        field("frame_source", nullable(socket("Source address in the frame, if it is that of another side of a NAT; else null."))),
        field("frame_destination", nullable(socket("Destination address in the frame, if it is that of another side of a NAT; else null."))),
        field("form", form()),
        field("acceptable", nullable(boolean("Whether the receiver is required to accept the RST; null if unknown."))),
        field("required_action", one_of("Action required of the receiver: `accept` the RST, `drop` it, send a `challenge` ACK; \
                 `not-delivered` if the RST did not reach the receiver.", &actions)),
        field("acceptance", text("Reason for the required action, or why it is unknown.")),
        field("receiver_state", tcp_state("State of the receiver before the RST.")),
        field("cause", cause()),
        field("explanation", text("Explanation of the cause, or of why it is unknown.")),
        field("to_confirm", nullable(text("Observation that would confirm the cause; null if none is needed."))),
        field("claim", claim()),
        field("sender", sender()),
        field("assumes_forged_frame", nullable(frame("Frame of an earlier RST in the receiver's name whose sender is `doubtful`: `required_action` assumes that the receiver did not send it, and would be another one if it did. Null if there is none."))),
        field("errno", nullable(errno("Error that the receiving application sees on Linux; null if none, see `errno_note`."))),
        field("errno_condition", nullable(errno_condition())),
        field("errno_note", nullable(text("Reason why there is no errno; null if there is one."))),
        field("errno_elsewhere", list("Errors of other systems, where they have another name. Of two errors of one system, either may be reported.", &errno_elsewhere())),
        field("later_calls", list("Results of later calls of the receiving application on Linux.", &later_call())),
        triggered_by(),
        field("triggered_by_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        field("trigger_candidates", integer("Number of captured segments that have the number from which the RST was made: it replies to the last of them, `triggered_by`, or to another. At most 8 are remembered.")),
        field("silence_ns", nullable(integer("Nanoseconds of silence of the connection before the RST, or before the packet that precedes it, whichever is longer; null if the capture is a text without times."))),
        field("unanswered_frame", nullable(frame("First frame of the data that the receiver had sent last and that the sender had not answered with data; null if the sender has sent data last, or if there was none."))),
        field("unanswered_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        field("unanswered_bytes", count("Bytes of that data.")),
        field("unanswered_age_ns", nullable(integer("Nanoseconds from that frame to the RST; null without such data."))),
        field("unacknowledged_bytes", count("Bytes that the sender had sent and that the receiver had not acknowledged.")),
        field("answered_in", nullable(frame("Frame of the final HTTP response that the sender, a server, had sent to the last request of the client before the RST; null if it had sent none, or if the capture does not show it."))),
        field("answered_in_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        story::last_words("client"),
        story::last_words("server"),
        story::closed_after(),
        story::idle_timeouts(),
        scenario,
        advice,
        field("earlier_connection", nullable(frame("Number of the earlier connection between the same ends that the RST belongs to, if no end has accepted the SYN of `connection` yet; else null."))),
        field("earlier_connection_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        field("continues_connection", nullable(frame("Number of the connection that the segment before the RST continues under other addresses, because a NAT did not translate it, or translated it to other addresses than before; else null."))),
        field("continues_connection_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        field("continues_client", nullable(socket("Address of the client of that connection; else null."))),
        field("continues_server", nullable(socket("Address of the server of that connection; else null."))),
        field("consequence_of", nullable(frame("Frame of an earlier RST that had ended the sender's end of the connection, although the socket of the other end did not send it; else null."))),
        field("consequence_of_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        field("elsewhere", joined::elsewhere()),
        field("indicators", list("Observations that point to the sender of the RST.", &indicator())),
        field("diagnostics", list("Information that the RST itself carries.", &diagnostic())),
        text::comments("Comments of the file on this frame, at most two."),
        story::preceded_by(),
    ]);
    object("An RST.", fields)
}

fn icmp_row() -> Value {
    let effects = Effect::ALL.map(Effect::id);
    let mut fields = row("icmp");
    let [scenario, advice] = story::scenario("the error");
    fields.extend([
        connection_number(),
        field("connection_file", nullable(text("File that the connection begins in, if it is another one than `file`; else null."))),
        field("frame", frame("Frame number of the ICMP message, from 1.")),
        field("at_ns", nullable(integer("Capture time, in nanoseconds since the Unix epoch; null if the capture is a text without points in time."))),
        field("source", address("Sender of the message.")),
        field("to", role("End that sent the quoted segment, which the message goes to.")),
        field("destination", socket("Address of that end.")),
        field("icmp_version", count("4 for ICMP, 6 for ICMPv6.")),
        field("icmp_type", count("Type of the message.")),
        field("icmp_code", count("Code of the message.")),
        field("name", text("Name of the type and code.")),
        field("mtu", nullable(count("MTU that the message states; null if it states none."))),
        field("quoted_seq", nullable(count("Sequence number of the quoted segment, on the wire; null if it is not quoted."))),
        field("quoted_frame", nullable(frame("Frame of the quoted segment; null unless it is a SYN in the capture."))),
        field("quoted_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        field("receiver_state", tcp_state("State of the receiver before the message.")),
        field("effect", one_of("Effect on a Linux receiver: the attempt fails (`connect-fails`), the error is only `recorded`, \
                 the path MTU is lowered (`path-mtu`), a listener forgets a request (`request-dropped`), or the message is \
                 `ignored`.", &effects)),
        field("explanation", text("Reason for the effect.")),
        field("errno", nullable(errno("Error that the receiving application may see on Linux; null if none."))),
        field("errno_if", nullable(text("Condition under which it sees the error; null if it always does."))),
        field("went_on_in", nullable(frame("First frame in which the receiver carried on with an attempt that the message should have ended."))),
        field("went_on_in_file", nullable(text("File of that frame, if it is another one than `file`; else null."))),
        scenario,
        advice,
    ]);
    object(
        "An ICMP error that quotes a segment of a connection.",
        fields,
    )
}

fn counted(description: &str, value: Value) -> Value {
    let item = object(
        "A value and its count.",
        vec![
            field("value", value),
            field("count", count("Number of occurrences.")),
        ],
    );
    list(description, &item)
}

/// Returns the counts of what ended connections without an RST, of what limits the analysis and of what was not read.
fn limits() -> Vec<Field> {
    vec![
        field(
            "icmp_errors",
            count("ICMP errors about connections, each counted once."),
        ),
        field(
            "icmp_errors_unmatched",
            count("ICMP errors that quote a TCP segment of no connection in the file."),
        ),
        field(
            "failed_by_icmp",
            count("Connection attempts that an ICMP error ended."),
        ),
        field("filtered_out", count("Packets that the filter rejected.")),
        field(
            "ip_fragments",
            count("IP fragments of packets that may hold TCP segments."),
        ),
        field(
            "reassembled_packets",
            count(
                "Packets that were put together from fragments; each counts at the frame that completes it.",
            ),
        ),
        field(
            "unassembled_fragments",
            count("IP fragments that were not put together, because others are missing."),
        ),
        field(
            "overlapping_packets",
            count("Packets that were discarded because their fragments overlap, as Linux does."),
        ),
        field(
            "truncated_segments",
            count("TCP segments whose header is truncated or malformed."),
        ),
        field(
            "frames_dropped",
            count("Packets that were dropped during the capture, by the file's own statistics."),
        ),
        field(
            "evicted_connections",
            count("Connections that were forgotten before their end because there were too many."),
        ),
        field(
            "unusable_times",
            count("Packets whose time cannot be right: before 1970 or after 2262."),
        ),
        field(
            "unsupported_link_types",
            counted(
                "Packets by link type that rstproof cannot read.",
                count("Number of the link type."),
            ),
        ),
        field(
            "unread_tunnels",
            counted(
                "Tunnelled packets by tunnel, which `--tunnels` reads.",
                one_of("Tunnel.", &Kind::ALL.map(Kind::id)),
            ),
        ),
        field(
            "unread_ethertypes",
            counted(
                "Packets without IP, by EtherType.",
                count("EtherType; 0 for IEEE 802.3 with LLC."),
            ),
        ),
        field(
            "encrypted_frames",
            count("Encrypted frames of a wireless LAN."),
        ),
        field(
            "icmp_errors_about_others",
            count("ICMP errors that quote no TCP segment."),
        ),
    ]
}

fn summary_row() -> Value {
    let source = object(
        "An address that RSTs carry as their source.",
        vec![
            field("address", address("IP address.")),
            field(
                "port",
                nullable(count(
                    "Port of a server; null for a client, whose ports are counted together.",
                )),
            ),
            field("role", role("Role of the end that has the address.")),
            field("count", count("Number of RSTs.")),
        ],
    );
    let talker = object(
        "A host.",
        vec![
            field("address", address("IP address.")),
            field(
                "ip_bytes",
                count("Bytes of IP packets with TCP that it sent."),
            ),
        ],
    );
    let mut fields = row("summary");
    fields.extend([
        field("files", list("Files that were read as one capture, in order: `file` alone, unless files continue each other.", &text("File name."))),
        field("joined", joined::files()),
        field("packets", count("Packets in the file.")),
        field("tcp_segments", count("Packets that hold a TCP segment.")),
        field("resets", count("RSTs, each counted once.")),
        field(
            "reset_packets",
            count("Packets that hold an RST, copies included."),
        ),
        field("connections", count("Connections.")),
        field("bytes_read", count("Bytes of the file that were read.")),
        field("complete", boolean("Whether the file was read to its end.")),
        field(
            "error",
            nullable(text("Reason why it was not; null if it was.")),
        ),
        field("causes", counted("RSTs by cause.", cause())),
        field(
            "conn_states",
            counted("Connections by state.", conn_state()),
        ),
        field(
            "failures",
            counted("Failed connections by their failure.", failure()),
        ),
        field("failed_connections", count("Number of failed connections.")),
        field(
            "reset_sources",
            list(
                "Addresses that the most RSTs carry as their source, at most 20.",
                &source,
            ),
        ),
        field(
            "top_talkers",
            list("Hosts that sent the most bytes, at most 20.", &talker),
        ),
        field(
            "senders",
            counted(
                "RSTs by the conclusion about their sender.",
                sender_verdict(),
            ),
        ),
        field(
            "doubtful_resets",
            count("RSTs that a third party probably sent."),
        ),
        field(
            "incomplete_connections",
            count("Connections that are incomplete in the file."),
        ),
        field(
            "repeated_connections",
            count("Number of connections whose packets the file holds more than once, because captures were merged whose clocks differ."),
        ),
        field("missing_traffic", missing_traffic()),
        field("text", text::of_text()),
        optional("shown", shown()),
    ]);
    fields.extend(limits());
    object("The summary of a file: its last row.", fields)
}

fn shown() -> Value {
    object(
        "Numbers of the rows that `--from`, `--to`, `--failure`, `--errno`, `--since` and `--until` have selected. Missing without \
         these options: all rows are shown then.",
        vec![
            field("connections", count("Connections.")),
            field("resets", count("RSTs.")),
            field("icmp_errors", count("ICMP errors.")),
        ],
    )
}

fn missing_traffic() -> Value {
    let ids = MissingTraffic::ALL.map(MissingTraffic::id);
    nullable(object(
        "Traffic that the whole file lacks, as a capture filter leaves it. Null if it lacks none.",
        vec![
            field("id", one_of("What is missing.", &ids)),
            field("explanation", text("What the file holds instead.")),
            field(
                "filter",
                text("Capture filter that records what is missing."),
            ),
        ],
    ))
}

/// Returns the schema of a row of `analyze`.
pub(super) fn analyze() -> Value {
    let rows = ["connection", "failure", "reset", "icmp", "summary"].map(defined);
    let schema = json!({"description": "One row: each line of the output is one JSON object.", "anyOf": rows});
    let definitions = vec![
        ("connection", connection_row("connection", CONNECTION)),
        ("failure", connection_row("failure", FAILURE)),
        ("reset", reset_row()),
        ("icmp", icmp_row()),
        ("summary", summary_row()),
    ];
    document(
        "analyze",
        "A line of `rstproof analyze --format json`",
        schema,
        definitions,
    )
}
