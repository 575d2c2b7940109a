//! Machine output of `analyze`: one JSON line for each connection, each RST and each file, written as they become
//! known.
//!
//! Unknown values are null, with the reason in a field beside them.

mod hosts;
mod joined;
mod parts;
mod shown;
mod story;
mod text;

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroI64;

use serde::Serialize;

use self::hosts::{ResetSourceCount, Talker, reset_source};
use self::joined::{ElsewhereFields, JoinedFields};
pub use self::parts::process_name;
use self::parts::{
    CommentFields, Ends, GapFields, ProcessFields, RepeatedFields, TranslationFields,
};
pub use self::shown::ShownRows;
use self::story::WordsFields;
pub use self::story::add_preceded;
use self::text::{TextFields, duration, since_epoch};
use super::connections::{Connection, ResetRecord, Totals};
use super::continuation::FileNames;
use super::diagnosis::Diagnostic;
use super::explain::{Cause, Claim, ErrnoCondition, LaterCall, RequiredAction};
use super::failure::FailureKind;
use super::forgery::{Indicator, Sender, SenderVerdict};
use super::icmp::IcmpRecord;
use super::idle_timeouts::IdleTimeouts;
use super::missing::MissingTraffic;
use super::related::Related;
use super::stack::{ErrnoElsewhere, Stack, errno_elsewhere};
use super::tally::Tally;
use super::zeek::ConnState;
use crate::flow::{Form, State};
use crate::packet::link::Unread;
use crate::report::SCHEMA;
use crate::transcript::{Errno, Role};

// Fields are written in the order in which these types list them.
#[derive(Serialize)]
struct ConnectionLine<'a> {
    r#type: &'static str,
    schema: u32,
    file: &'a str,
    connection: u32,
    client: SocketAddr,
    server: SocketAddr,
    /// Addresses of the connection on other sides of a NAT.
    translations: Vec<TranslationFields<'a>>,
    /// Processes of the ends, if the capture states them (`PKTAP`).
    processes: Ends<Option<ProcessFields>>,
    comments: Vec<CommentFields<'a>>,
    conn_state: ConnState,
    history: String,
    /// Number of Zeek's records of the connection; state, history and originator are those of the last one.
    zeek_records: u32,
    /// Originator of the connection, as Zeek determines it.
    originator: Role,
    /// Time of the first packet, in nanoseconds since the Unix epoch.
    began_ns: Option<i64>,
    /// Duration in nanoseconds; null with a single packet, or if all packets have the same time.
    duration_ns: Option<i64>,
    /// Time between the last packet and the one before it, in nanoseconds.
    idle_ns: Option<i64>,
    sent_packets: Ends<u64>,
    /// Bytes of payload by sequence numbers; null where Zeek gives none.
    bytes: Option<Ends<u64>>,
    ip_bytes: Ends<u64>,
    missed_bytes: u64,
    /// Frame numbers of the RSTs; with more than 64, of the first 63 and the last.
    reset_frames: Vec<u32>,
    /// Files of the RSTs, if one of them is not in `file`.
    reset_files: Vec<&'a str>,
    reset_count: u64,
    /// Number of ICMP errors about the connection.
    icmp_count: u64,
    /// Failure of the connection; null if it goes on or was closed in order.
    failure: Option<FailureKind>,
    /// Frame that shows the failure, its file, if that is another one, and its time.
    failure_frame: Option<u32>,
    failure_file: Option<&'a str>,
    failure_at_ns: Option<i64>,
    /// Silence before the segment that the failure followed from.
    silence_before_ns: Option<i64>,
    failure_explanation: Option<String>,
    /// Time from the last data of the server to the FIN or RST with which it ended the connection.
    closed_after_ns: Option<NonZeroI64>,
    idle_timeouts: IdleTimeouts,
    /// Scenario of the catalogue that teaches the failure.
    scenario: Option<&'static str>,
    advice: Option<&'static str>,
    /// Error of each end's application, and its condition.
    client_errno: Option<Errno>,
    client_errno_condition: Option<ErrnoCondition>,
    server_errno: Option<Errno>,
    server_errno_condition: Option<ErrnoCondition>,
    client_last_words: Option<WordsFields<'a>>,
    server_last_words: Option<WordsFields<'a>>,
    capture_gaps: GapFields<'a>,
    /// SYN that the file holds twice, because captures were merged whose clocks differ.
    repeated: Option<RepeatedFields<'a>>,
    /// Likely stacks of the ends; null if unknown.
    stack: Ends<Option<Stack>>,
    /// Null here: `add_preceded` replaces it. It has to be the last field.
    preceded_by: (),
}

#[derive(Serialize)]
struct ResetLine<'a> {
    r#type: &'static str,
    schema: u32,
    file: &'a str,
    connection: u32,
    /// File that the connection begins in, if that is another one.
    connection_file: Option<&'a str>,
    frame: u32,
    /// Capture time, in nanoseconds since the Unix epoch.
    at_ns: Option<i64>,
    from: Role,
    source: SocketAddr,
    destination: SocketAddr,
    /// Addresses in the frame; null if they are those of the connection.
    frame_source: Option<SocketAddr>,
    frame_destination: Option<SocketAddr>,
    form: Option<Form>,
    /// True if the receiver had to accept the RST; null if unknown from this capture.
    acceptable: Option<bool>,
    required_action: RequiredAction,
    /// Reason for the required action, or for why it is unknown.
    acceptance: &'a str,
    receiver_state: State,
    cause: Option<Cause>,
    explanation: &'static str,
    to_confirm: Option<&'static str>,
    /// Cause that the RST has if its source did send it; null unless the sender is doubtful.
    claim: Option<Claim>,
    /// Conclusion about the sender, with its reason.
    sender: Sender<'a>,
    /// Earlier RST in the receiver's name that is taken for a third party's.
    assumes_forged_frame: Option<u32>,
    errno: Option<Errno>,
    errno_condition: Option<ErrnoCondition>,
    errno_note: Option<&'static str>,
    errno_elsewhere: &'a [ErrnoElsewhere],
    later_calls: &'a [LaterCall],
    triggered_by: Option<u32>,
    triggered_by_file: Option<&'a str>,
    /// Number of captured segments that the RST may be a reply to.
    trigger_candidates: usize,
    /// Silence before the RST, or before the packet that precedes it, in nanoseconds.
    silence_ns: Option<i64>,
    /// Data of the receiver that the sender had not answered: first frame, its file, if that is another one, bytes and age.
    unanswered_frame: Option<u32>,
    unanswered_file: Option<&'a str>,
    unanswered_bytes: u32,
    unanswered_age_ns: Option<i64>,
    /// Bytes of the sender that the receiver had not acknowledged.
    unacknowledged_bytes: u32,
    /// Final response to the last request that the sender had sent before, and its file, if that is another one.
    answered_in: Option<u32>,
    answered_in_file: Option<&'a str>,
    client_last_words: Option<WordsFields<'a>>,
    server_last_words: Option<WordsFields<'a>>,
    closed_after_ns: Option<NonZeroI64>,
    idle_timeouts: IdleTimeouts,
    /// Scenario of the catalogue that teaches the RST.
    scenario: Option<&'static str>,
    advice: Option<&'static str>,
    /// Earlier connection between the same ends that the RST belongs to.
    earlier_connection: Option<u32>,
    earlier_connection_file: Option<&'a str>,
    /// Connection that the segment before the RST continues under other addresses.
    continues_connection: Option<u32>,
    continues_connection_file: Option<&'a str>,
    continues_client: Option<SocketAddr>,
    continues_server: Option<SocketAddr>,
    /// Earlier RST that had ended the sender's end, although the other end's socket did not send it.
    consequence_of: Option<u32>,
    consequence_of_file: Option<&'a str>,
    /// The RST in the captures of other points, if captures were joined.
    elsewhere: Vec<ElsewhereFields<'a>>,
    indicators: Cow<'a, [Indicator]>,
    diagnostics: &'a [Diagnostic],
    comments: Vec<CommentFields<'a>>,
    /// Null here, as in the row of a connection.
    preceded_by: (),
}

#[derive(Serialize)]
struct IcmpLine<'a> {
    r#type: &'static str,
    schema: u32,
    file: &'a str,
    connection: u32,
    /// File that the connection begins in, if it is another one.
    connection_file: Option<&'a str>,
    frame: u32,
    /// Capture time, in nanoseconds since the Unix epoch.
    at_ns: Option<i64>,
    /// Sender of the message.
    source: IpAddr,
    /// End that sent the quoted segment, and its address.
    to: Role,
    destination: SocketAddr,
    icmp_version: u8,
    icmp_type: u8,
    icmp_code: u8,
    name: &'static str,
    /// MTU that a fragmentation-needed or packet-too-big message states.
    mtu: Option<u32>,
    /// Sequence number of the quoted segment, on the wire.
    quoted_seq: Option<u32>,
    /// Frame of the quoted segment, if it is a SYN.
    quoted_frame: Option<u32>,
    quoted_file: Option<&'a str>,
    receiver_state: State,
    effect: &'static str,
    explanation: &'static str,
    errno: Option<Errno>,
    /// Condition under which the application sees the errno.
    errno_if: Option<&'static str>,
    /// First frame in which the receiver carried on with an attempt that the message should have ended.
    went_on_in: Option<u32>,
    went_on_in_file: Option<&'a str>,
    /// Scenario of the catalogue that teaches the error.
    scenario: Option<&'static str>,
    advice: Option<&'static str>,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    r#type: &'static str,
    schema: u32,
    file: &'a str,
    /// Files that were read as one capture, in order.
    files: Vec<&'a str>,
    /// Files with the differences of their clocks, if they are captures of several points.
    joined: Vec<JoinedFields>,
    packets: u64,
    tcp_segments: u64,
    /// Number of RSTs without duplicates; `reset_packets` includes captured copies.
    resets: u64,
    reset_packets: u64,
    connections: u64,
    bytes_read: u64,
    /// True if the file was read to its end.
    complete: bool,
    /// Program that printed the capture as text; null if it is in a file format.
    text: Option<TextFields>,
    /// Reason why the file was not read to its end.
    error: Option<&'a str>,
    causes: Vec<Count<Option<Cause>>>,
    conn_states: Vec<Count<ConnState>>,
    /// Failed connections by their failure.
    failures: Vec<Count<FailureKind>>,
    failed_connections: u64,
    /// Source addresses with the most RSTs.
    reset_sources: Vec<ResetSourceCount>,
    /// Hosts that sent the most bytes of IP over TCP.
    top_talkers: Vec<Talker>,
    /// RSTs by the conclusion about their sender.
    senders: Vec<Count<SenderVerdict>>,
    /// Number of RSTs that a third party probably sent.
    doubtful_resets: u64,
    incomplete_connections: u64,
    /// Connections whose packets the file holds more than once, because captures were merged whose clocks differ.
    repeated_connections: u64,
    /// Traffic that the whole file lacks, as a capture filter leaves it; null if it lacks none.
    missing_traffic: Option<MissingFields>,
    /// Number of ICMP errors about connections, and of those about TCP segments of no connection in the file.
    icmp_errors: u64,
    icmp_errors_unmatched: u64,
    /// Number of connection attempts that an ICMP error ended.
    failed_by_icmp: u64,
    /// Number of frames that did not match the filter.
    filtered_out: u64,
    ip_fragments: u64,
    /// Number of packets that were put together, of fragments whose packets lack others, and of packets that were
    /// discarded because fragments overlap.
    reassembled_packets: u64,
    unassembled_fragments: u64,
    overlapping_packets: u64,
    truncated_segments: u64,
    frames_dropped: u64,
    evicted_connections: u64,
    /// Number of frames whose time cannot be right.
    unusable_times: u64,
    unsupported_link_types: Vec<Count<u16>>,
    /// Tunnelled packets that `--tunnels` would read.
    unread_tunnels: Vec<Count<&'static str>>,
    /// Frames without an IP packet that is read, by `EtherType`.
    unread_ethertypes: Vec<Count<u16>>,
    /// Encrypted frames of 802.11.
    encrypted_frames: u64,
    /// ICMP errors that quote no TCP segment.
    icmp_errors_about_others: u64,
    /// Rows of each kind that options have selected; missing if all are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<ShownRows>,
}

#[derive(Serialize)]
struct MissingFields {
    id: MissingTraffic,
    explanation: &'static str,
    /// Capture filter that records what is missing.
    filter: &'static str,
}

#[derive(Serialize)]
struct Count<T> {
    value: T,
    count: u64,
}

fn line(out: &mut impl Write, row: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, row)?;
    out.write_all(b"\n")
}

/// Returns the number of a frame in its file, and the name of that file if it is another one than `file`.
fn place<'f>(files: &'f FileNames, file: &str, frame: u32) -> (u32, Option<&'f str>) {
    let (other, number) = files.locate(frame);
    (number, (other != file).then_some(other))
}

/// Writes the line of a connection. Fails if `out` cannot be written.
pub fn connection(
    out: &mut impl Write,
    files: &FileNames,
    connection: &Connection<'_>,
) -> io::Result<()> {
    connection_line(out, files, connection, "connection")
}

/// Writes the row of a connection of a live capture that has failed and is not over: its fields are those of a connection so far.
pub fn failed(
    out: &mut impl Write,
    files: &FileNames,
    connection: &Connection<'_>,
) -> io::Result<()> {
    connection_line(out, files, connection, "failure")
}

fn connection_line(
    out: &mut impl Write,
    files: &FileNames,
    connection: &Connection<'_>,
    kind: &'static str,
) -> io::Result<()> {
    let (file, number) = files.locate(connection.number());
    let resets = connection.frames.iter().map(|frame| files.locate(*frame));
    let (reset_files, reset_frames): (Vec<_>, Vec<_>) = resets.unzip();
    let are_elsewhere = reset_files.iter().any(|other| *other != file);
    let lost = connection.gaps.lost.map(|frame| place(files, file, frame));
    let zeek = &connection.zeek;
    let originator = if zeek.originator() == connection.client {
        Role::Client
    } else {
        Role::Server
    };
    let by_end = |pair: [u64; 2]| Ends {
        client: pair[connection.client],
        server: pair[1 - connection.client],
    };
    let gaps = connection.gaps;
    let failure = connection.failure.as_ref();
    let related = failure.and_then(|it| it.related);
    let shown_in = failure.map(|it| place(files, file, it.frame));
    let error = |role: Role| failure.and_then(|it| it.errors[role]);
    line(
        out,
        &ConnectionLine {
            r#type: kind,
            schema: SCHEMA,
            file,
            connection: number,
            client: connection.socket(Role::Client),
            server: connection.socket(Role::Server),
            translations: (connection.translations.iter())
                .map(|translation| {
                    let [client, server] = connection.translated(translation);
                    let (frame, file) = place(files, file, translation.first);
                    TranslationFields {
                        client,
                        server,
                        frame,
                        file,
                    }
                })
                .collect(),
            processes: Ends::of(|role| connection.process(role).map(ProcessFields::of)),
            comments: CommentFields::of(files, file, connection.comments, |_| true),
            conn_state: zeek.conn_state(),
            history: zeek.history(),
            zeek_records: zeek.records(),
            originator,
            began_ns: since_epoch(files, zeek.began()),
            duration_ns: zeek.duration(),
            idle_ns: duration(files, connection.idle),
            sent_packets: by_end(zeek.packets()),
            bytes: zeek.bytes().map(by_end),
            ip_bytes: by_end(zeek.ip_bytes()),
            missed_bytes: zeek.missed_bytes(),
            reset_frames,
            reset_files: if are_elsewhere {
                reset_files
            } else {
                Vec::new()
            },
            reset_count: connection.resets,
            icmp_count: connection.error_count,
            failure: failure.map(|it| it.kind),
            failure_frame: shown_in.map(|it| it.0),
            failure_file: shown_in.and_then(|it| it.1),
            failure_at_ns: failure.and_then(|it| since_epoch(files, it.at)),
            silence_before_ns: (failure.and_then(|it| it.silence))
                .and_then(|it| duration(files, it)),
            failure_explanation: failure.map(|it| files.localized(&it.explanation)),
            closed_after_ns: failure.and_then(|it| it.closed_after),
            idle_timeouts: failure.map_or_else(IdleTimeouts::default, |it| it.idle_timeouts),
            scenario: related.map(Related::scenario),
            advice: related.map(Related::advice),
            client_last_words: WordsFields::of(files, file, connection, Role::Client),
            server_last_words: WordsFields::of(files, file, connection, Role::Server),
            client_errno: error(Role::Client).map(|it| it.errno),
            client_errno_condition: error(Role::Client).and_then(|it| it.condition),
            server_errno: error(Role::Server).map(|it| it.errno),
            server_errno_condition: error(Role::Server).and_then(|it| it.condition),
            capture_gaps: GapFields {
                begins_midstream: gaps.begins_midstream,
                lost_before_frame: lost.map(|it| it.0),
                lost_before_file: lost.and_then(|it| it.1),
                one_sided: gaps.one_sided,
                captured_twice: gaps.doubled,
            },
            repeated: connection.repeated.map(|repeated| {
                let (copy_frame, copy_file) = place(files, file, repeated.copy);
                RepeatedFields {
                    frame: number,
                    copy_frame,
                    copy_file,
                    apart_ns: repeated.apart_ns,
                }
            }),
            stack: Ends::of(|role| connection.stack(role)),
            preceded_by: (),
        },
    )
}

/// Writes the line of an RST. Fails if `out` cannot be written.
pub fn reset(
    out: &mut impl Write,
    files: &FileNames,
    connection: &Connection<'_>,
    record: &ResetRecord,
) -> io::Result<()> {
    let (reset, explanation) = (&record.reset, &record.explanation);
    let (file, frame) = files.locate(reset.frame);
    let (number, connection_file) = place(files, file, connection.number());
    let triggered_by = reset.triggered_by.map(|it| place(files, file, it));
    let earlier = record.earlier.map(|it| place(files, file, it));
    let answer = record.answer.map(|it| place(files, file, it));
    let unanswered = record.unanswered.map(|it| place(files, file, it.frame));
    let continued = record
        .continues
        .as_ref()
        .map(|it| place(files, file, it.number));
    let consequence = record.consequence_of.map(|it| place(files, file, it));
    let mut indicators = Cow::Borrowed(&record.indicators[..]);
    if files.are_several() {
        for indicator in indicators.to_mut() {
            indicator.message = files.localized(&indicator.message);
        }
    }
    line(
        out,
        &ResetLine {
            r#type: "reset",
            schema: SCHEMA,
            file,
            connection: number,
            connection_file,
            frame,
            at_ns: since_epoch(files, reset.at),
            from: reset.from,
            source: connection.socket(reset.from),
            destination: connection.socket(reset.from.peer()),
            frame_source: record.sockets.as_ref().map(|it| it[0]),
            frame_destination: record.sockets.as_ref().map(|it| it[1]),
            form: reset.form,
            acceptable: explanation.acceptable,
            required_action: explanation.required_action,
            acceptance: &explanation.acceptance,
            receiver_state: reset.receiver_state,
            cause: explanation.cause,
            explanation: explanation.explanation,
            to_confirm: explanation.to_confirm,
            claim: explanation.claim,
            sender: record.sender(),
            assumes_forged_frame: record.assumes_forged,
            errno: explanation.errno,
            errno_condition: explanation.errno_condition,
            errno_note: explanation.errno_note,
            errno_elsewhere: errno_elsewhere(explanation.errno, reset.receiver_state),
            later_calls: explanation.later,
            triggered_by: triggered_by.map(|it| it.0),
            triggered_by_file: triggered_by.and_then(|it| it.1),
            trigger_candidates: record.triggers.len(),
            silence_ns: duration(files, record.silence),
            unanswered_frame: unanswered.map(|it| it.0),
            unanswered_file: unanswered.and_then(|it| it.1),
            unanswered_bytes: record.unanswered.map_or(0, |it| it.bytes),
            unanswered_age_ns: (record.unanswered).and_then(|it| duration(files, it.age)),
            unacknowledged_bytes: record.unacknowledged,
            answered_in: answer.map(|it| it.0),
            answered_in_file: answer.and_then(|it| it.1),
            client_last_words: WordsFields::of(files, file, connection, Role::Client),
            server_last_words: WordsFields::of(files, file, connection, Role::Server),
            closed_after_ns: record.closed_after,
            idle_timeouts: record.idle_timeouts,
            scenario: record.related.map(Related::scenario),
            advice: record.related.map(Related::advice),
            earlier_connection: earlier.map(|it| it.0),
            earlier_connection_file: earlier.and_then(|it| it.1),
            continues_connection: continued.map(|it| it.0),
            continues_connection_file: continued.and_then(|it| it.1),
            continues_client: record.continues.as_ref().map(|it| it.client),
            continues_server: record.continues.as_ref().map(|it| it.server),
            consequence_of: consequence.map(|it| it.0),
            consequence_of_file: consequence.and_then(|it| it.1),
            elsewhere: (files.elsewhere(reset.frame).into_iter())
                .map(ElsewhereFields::of)
                .collect(),
            indicators,
            diagnostics: &record.diagnostics,
            comments: CommentFields::of(files, file, connection.comments, |it| it == reset.frame),
            preceded_by: (),
        },
    )
}

/// Writes the line of an ICMP error. Fails if `out` cannot be written.
pub fn icmp(
    out: &mut impl Write,
    files: &FileNames,
    connection: &Connection<'_>,
    record: &IcmpRecord,
) -> io::Result<()> {
    let (file, frame) = files.locate(record.frame);
    let (number, connection_file) = place(files, file, connection.number());
    let quoted = record.quoted_frame.map(|it| place(files, file, it));
    let related = record.related();
    let went_on = record.went_on.map(|it| place(files, file, it));
    line(
        out,
        &IcmpLine {
            r#type: "icmp",
            schema: SCHEMA,
            file,
            connection: number,
            connection_file,
            frame,
            at_ns: since_epoch(files, record.at),
            source: record.source,
            to: record.to,
            destination: connection.socket(record.to),
            icmp_version: if record.kind.is_v6 { 6 } else { 4 },
            icmp_type: record.kind.kind,
            icmp_code: record.kind.code,
            name: record.kind.name(),
            mtu: record.mtu,
            quoted_seq: record.quoted_seq.map(|seq| seq.0),
            quoted_frame: quoted.map(|it| it.0),
            quoted_file: quoted.and_then(|it| it.1),
            receiver_state: record.state,
            effect: record.effect.id(),
            explanation: record.reason,
            errno: record.errno,
            errno_if: record.errno_if(),
            went_on_in: went_on.map(|it| it.0),
            went_on_in_file: went_on.and_then(|it| it.1),
            scenario: related.map(Related::scenario),
            advice: related.map(Related::advice),
        },
    )
}

/// Writes the line of a file. Fails if `out` cannot be written.
pub fn summary(
    out: &mut impl Write,
    files: &FileNames,
    totals: &Totals,
    tally: &Tally,
    bytes_read: u64,
    error: Option<&str>,
    shown: Option<ShownRows>,
) -> io::Result<()> {
    line(
        out,
        &SummaryLine {
            r#type: "summary",
            schema: SCHEMA,
            file: files.names().next().unwrap_or_default(),
            files: files.names().collect(),
            joined: JoinedFields::all(files),
            packets: totals.packets,
            tcp_segments: totals.tcp,
            resets: totals.resets,
            reset_packets: totals.reset_frames,
            connections: totals.connections,
            bytes_read,
            complete: error.is_none(),
            text: TextFields::of(files),
            error,
            causes: counted(tally.causes.clone()),
            conn_states: counted(tally.states.clone()),
            failures: counted(tally.failures.clone()),
            failed_connections: tally.failures.values().sum(),
            reset_sources: (tally.reset_sources(MAX_LISTED_HOSTS).into_iter())
                .map(|(source, count)| reset_source(source, count))
                .collect(),
            top_talkers: (tally.top_talkers(MAX_LISTED_HOSTS).into_iter())
                .map(|(address, ip_bytes)| Talker { address, ip_bytes })
                .collect(),
            senders: counted(tally.senders.clone()),
            doubtful_resets: tally.doubtful(),
            incomplete_connections: tally.incomplete,
            repeated_connections: tally.repeated,
            missing_traffic: MissingTraffic::of(totals, tally).map(|missing| MissingFields {
                id: missing,
                explanation: missing.explanation(),
                filter: missing.filter(),
            }),
            icmp_errors: totals.errors,
            icmp_errors_unmatched: totals.strange_errors,
            failed_by_icmp: tally.failed_by_icmp,
            filtered_out: totals.filtered,
            ip_fragments: totals.fragments,
            reassembled_packets: totals.reassembled.packets,
            unassembled_fragments: totals.unassembled(),
            overlapping_packets: totals.reassembled.discarded,
            truncated_segments: totals.cut,
            frames_dropped: totals.dropped(),
            evicted_connections: totals.evicted,
            unusable_times: totals.odd_times,
            unsupported_link_types: counted(totals.unsupported_link_types.clone()),
            unread_tunnels: counted(
                (totals.unread.tunnels.iter()).map(|(kind, count)| (kind.id(), *count)),
            ),
            unread_ethertypes: counted(totals.unread.frames.iter().filter_map(|(what, count)| {
                match what {
                    Unread::EtherType(number) => Some((*number, *count)),
                    Unread::EncryptedWlan => None,
                }
            })),
            encrypted_frames: (totals.unread.frames.get(&Unread::EncryptedWlan))
                .copied()
                .unwrap_or(0),
            icmp_errors_about_others: totals.unread.other_errors,
            shown,
        },
    )
}

/// Maximum number of hosts listed in `reset_sources` and `top_talkers`.
const MAX_LISTED_HOSTS: usize = 20;

fn counted<T>(all: impl IntoIterator<Item = (T, u64)>) -> Vec<Count<T>> {
    let count = |(value, count)| Count { value, count };
    all.into_iter().map(count).collect()
}
