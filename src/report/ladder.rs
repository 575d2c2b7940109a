//! Ladder of one trial: calls and packets on one timeline, and the facts that were checked.
//!
//! Lines have at most 80 columns. Client calls are on the left, server calls on the right, and packets between them as
//! arrows. Kernel trace events of an RST, and of the error that it sets, are in square brackets on the side of their
//! socket. Times are relative to the first SYN. Long lists are abridged to their beginning and their end.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anstyle::Style;

use super::columns::{Columns, decimal};
use super::human::{BAD, GOOD, LABEL, UNSURE, abridge, texts, verdict_style, wrap};
use rstproof_core::evidence::SourceId;
use rstproof_core::flow::{Acceptance, Form};
use rstproof_core::kernel::reason::{self, Reason};
use rstproof_core::packet::{CLIENT, SERVER};
use rstproof_core::printable::printable;
use rstproof_core::report::kernel::EventReport;
use rstproof_core::report::{
    CallReport, CauseReport, Host, PacketReport, ResetReport, TrialReport,
};
use rstproof_core::scenario::{Scenario, Sender};
use rstproof_core::transcript::Role;
use rstproof_core::verdict::Verdict;

/// Widths in columns of the time, and of the text that follows after a gap of two.
const TIME: usize = 10;
const BODY: usize = 68;
const COLUMNS: Columns = Columns { width: BODY };

/// Returns the ladder of one trial on this host, with styles; ends with a newline. `directory` is the directory that
/// its frames were saved in, if they were saved.
#[must_use]
pub fn ladder(
    scenario: &Scenario,
    trial: &TrialReport,
    host: &Host,
    directory: Option<&Path>,
) -> String {
    let mut out = String::new();
    heading(&mut out, scenario, trial);
    if trial.skipped.is_some() {
        return out;
    }
    if let (Some(client), Some(server)) = (trial.client, trial.server) {
        let (client, server) = (format!("client {client}"), format!("server {server}"));
        let _ = writeln!(
            out,
            "\n{:>TIME$}  {LABEL}{}{LABEL:#}",
            "µs",
            sides(&client, &server)
        );
        let zero = zero(trial);
        for row in rows(trial) {
            let _ = writeln!(out, "{}", row.text(&trial.resets, zero));
        }
        out.push('\n');
        proof(&mut out, trial);
        reasons(&mut out, trial);
    }
    // The host is unknown if evidence has no record of it.
    if !host.sysname.is_empty() {
        note(&mut out, "this host", &here(trial, host));
    }
    if !scenario.elsewhere.is_empty() {
        note(&mut out, "other OS", scenario.elsewhere);
    }
    if let Some(filter) = wireshark_filter(trial) {
        let _ = writeln!(out, "  {LABEL}wireshark{LABEL:#}\n    {filter}");
    }
    if let Some(source) = &trial.evidence {
        let _ = writeln!(out, "  {LABEL}verified from{LABEL:#}\n    {}", source.file);
        if let Some(text) = source.disagreement(trial.verdict) {
            note(&mut out, "recorded", &text);
        }
    }
    if let (Some(file), Some(directory)) = (&trial.capture_file, directory) {
        // On a line of its own, whatever its length, so that it can be copied.
        let path = directory.join(file);
        let _ = writeln!(out, "  {LABEL}saved in{LABEL:#}\n    {}", path.display());
    }
    out
}

fn heading(out: &mut String, scenario: &Scenario, trial: &TrialReport) {
    let style = verdict_style(trial.verdict);
    let verdict = trial.verdict.map_or("skipped", Verdict::name);
    let _ = writeln!(
        out,
        "{LABEL}{}{LABEL:#} over {}: {style}{verdict}{style:#}",
        trial.scenario,
        trial.family.name()
    );
    for line in wrap(scenario.title, TIME + BODY) {
        let _ = writeln!(out, "  {line}");
    }
    if let Some(why) = &trial.skipped {
        for line in wrap(why, TIME + BODY) {
            let _ = writeln!(out, "  {line}");
        }
    }
}

/// Returns two texts at the two ends of a line, or on two lines if they do not fit side by side.
fn sides(left: &str, right: &str) -> String {
    let side_by_side = COLUMNS.sides(left, right, 2);
    side_by_side.unwrap_or_else(|| format!("{left}\n{right:>width$}", width = TIME + 2 + BODY))
}

/// Line of the timeline.
enum Row<'a> {
    /// Call with its result, at the time of its beginning.
    Call(&'a CallReport),
    /// Beginning of a call that waited.
    Begin(&'a CallReport),
    /// End of a call that waited, with its result.
    End(&'a CallReport),
    /// Captured packet.
    Packet(&'a PacketReport),
    /// Kernel trace event of this end.
    Event(&'a EventReport, Role),
    /// Text in place of lines that are left out.
    LeftOut(String),
}

/// Returns the lines of the timeline, ordered by time. A call comes before the packets that it caused.
fn rows(trial: &TrialReport) -> Vec<Row<'_>> {
    let arrivals = Arrivals::of(&trial.packets);
    let mut rows = Vec::new();
    for call in &trial.calls {
        if arrivals.show_while_waiting(call) {
            rows.push((call.began_ns, Row::Begin(call)));
            rows.push((call.ended_ns, Row::End(call)));
        } else {
            rows.push((call.began_ns, Row::Call(call)));
        }
    }
    let packets = trial.packets.iter();
    rows.extend(packets.map(|packet| (packet.at_ns, Row::Packet(packet))));
    let events = trial.sources.kernel_events.iter();
    rows.extend(events.filter_map(|event| {
        let role = is_shown(event)
            .then(|| role_of(trial, event.source))
            .flatten()?;
        Some((event.at_ns, Row::Event(event, role)))
    }));
    // The sort is stable: at equal times calls come first, then packets, then events.
    rows.sort_by_key(|(at_ns, _)| *at_ns);
    let mut rows = rows.into_iter().map(|(_, row)| row).collect();
    abridge(&mut rows, Row::LeftOut);
    rows
}

impl Row<'_> {
    /// Returns the text of the line; `zero` is the time that all times are relative to.
    fn text(&self, resets: &[ResetReport], zero: i64) -> String {
        match self {
            Self::Call(call) => {
                let text = format!("{} = {}", called(call), call.result);
                call_text(call, call.began_ns, zero, &text)
            }
            Self::Begin(call) => {
                call_text(call, call.began_ns, zero, &format!("{} …", called(call)))
            }
            Self::End(call) => {
                let text = format!("… {} = {}", called(call), call.result);
                call_text(call, call.ended_ns, zero, &text)
            }
            Self::Packet(packet) => {
                // RSTs are in the order of their frames.
                let frame = |reset: &ResetReport| reset.frame;
                let is_reset = resets.binary_search_by_key(&packet.frame, frame).is_ok();
                packet_text(packet, is_reset, zero)
            }
            Self::Event(event, role) => event_text(event, *role, zero),
            Self::LeftOut(text) => format!("{:TIME$}  {text}", ""),
        }
    }
}

/// Returns true if an event is shown. State changes are not: they would double the lines and repeat what the packets
/// show.
fn is_shown(event: &EventReport) -> bool {
    event.old_state.is_none()
}

/// Returns the end of the trial that has this address; `None` if neither has.
fn role_of(trial: &TrialReport, address: SocketAddr) -> Option<Role> {
    let is = |end: Option<SocketAddr>| end == Some(address);
    if is(trial.client) {
        Some(Role::Client)
    } else {
        is(trial.server).then_some(Role::Server)
    }
}

/// Returns the time at which the first SYN was captured, in nanoseconds; 0 without one.
fn zero(trial: &TrialReport) -> i64 {
    let mut packets = trial.packets.iter();
    packets
        .find(|packet| packet.flags.as_deref() == Some("S"))
        .map_or(0, |packet| packet.at_ns)
}

fn called(call: &CallReport) -> String {
    format!("{}({})", call.call, call.arguments)
}

/// Times at which packets from the other end were captured, in nanoseconds. Sorted here, because the frames of a
/// capture need not be in order.
struct Arrivals {
    client: Vec<i64>,
    server: Vec<i64>,
}

impl Arrivals {
    fn of(packets: &[PacketReport]) -> Self {
        let at = |role: Role| {
            let others = packets.iter().filter(|packet| packet.from != Some(role));
            let mut at: Vec<i64> = others.map(|packet| packet.at_ns).collect();
            at.sort_unstable();
            at
        };
        Self {
            client: at(Role::Client),
            server: at(Role::Server),
        }
    }

    /// Returns true if a packet from the other end arrived while the call was waiting, and the call failed. The end of
    /// the call is then a line of its own, after that packet.
    fn show_while_waiting(&self, call: &CallReport) -> bool {
        let at = match call.role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        };
        let next = at.partition_point(|at| *at < call.began_ns);
        call.result.errno().is_some() && at.get(next).is_some_and(|at| *at < call.ended_ns)
    }
}

/// Formats a time relative to `zero` in microseconds, with one decimal.
fn time(at_ns: i64, zero: i64) -> String {
    decimal(at_ns.saturating_sub(zero) / 100, 1)
}

fn call_text(call: &CallReport, at_ns: i64, zero: i64, text: &str) -> String {
    let style = match (call.result.errno(), call.cause) {
        (None, _) => Style::new(),
        (Some(_), Some(CauseReport::Unexplained)) => UNSURE,
        (Some(_), _) => BAD,
    };
    side_text(call.role, at_ns, zero, style, text)
}

/// Returns a line with its text on the side of this end.
fn side_text(role: Role, at_ns: i64, zero: i64, style: Style, text: &str) -> String {
    let indent = COLUMNS.indent(role, text);
    format!(
        "{:>TIME$}  {:indent$}{style}{text}{style:#}",
        time(at_ns, zero),
        ""
    )
}

fn event_text(event: &EventReport, role: Role, zero: i64) -> String {
    let (name, reason) = (&event.event, event.reason.as_deref());
    let errno = event.errno.map(|errno| errno.to_string());
    let what = reason.or(errno.as_deref()).unwrap_or_default();
    let gap = if what.is_empty() { "" } else { " " };
    let text = printable(&format!("[{name}{gap}{what}]"));
    side_text(role, event.at_ns, zero, Style::new().dimmed(), &text)
}

fn packet_text(packet: &PacketReport, is_reset: bool, zero: i64) -> String {
    let style = if is_reset { BAD } else { Style::new() };
    // Frame number, then an arrow that fills what is left of the line.
    let frame = format!("{:>4} ", packet.frame);
    let label = packet_label(packet);
    let width = BODY - frame.len();
    let whole = Columns { width };
    // A packet that was captured at one end of a link is drawn on the side of that end.
    let part = Columns {
        width: width * 3 / 5,
    };
    let arrow = match (packet.from, &*packet.interface) {
        (Some(role), CLIENT) => part.arrow(role, &label),
        (Some(role), SERVER) => format!("{:>width$}", part.arrow(role, &label)),
        (Some(role), _) => whole.arrow(role, &label),
        (None, _) => whole.between(&label),
    };
    format!(
        "{:>TIME$}  {frame}{style}{arrow}{style:#}",
        time(packet.at_ns, zero)
    )
}

fn packet_label(packet: &PacketReport) -> String {
    // A packet without TCP flags is an ICMP error.
    let Some(flags) = &packet.flags else {
        return format!("{} error about this connection", packet.protocol);
    };
    let mut label = flags.clone();
    if let Some(seq) = packet.seq {
        let _ = write!(label, " seq {seq}");
    }
    if let Some(ack) = packet.ack {
        let _ = write!(label, " ack {ack}");
    }
    if packet.len > 0 {
        let _ = write!(label, " len {}", packet.len);
    }
    if let Some(win) = packet.win {
        let _ = write!(label, " win {win}");
    }
    label
}

fn proof(out: &mut String, trial: &TrialReport) {
    let checked = format!("{GOOD}ok{GOOD:#}");
    let mut facts = facts(trial);
    abridge(&mut facts, |left_out| left_out);
    for fact in &facts {
        item(out, &checked, fact);
    }
    let contradicted = format!("{BAD}no{BAD:#}");
    for finding in texts(&trial.findings) {
        item(out, &contradicted, &finding);
    }
    let missing = format!("{UNSURE}??{UNSURE:#}");
    for gap in texts(&trial.inconclusive_reason) {
        item(out, &missing, &gap);
    }
    for missing in missing_sources(trial) {
        item(out, "--", missing);
    }
}

/// Returns a line for each evidence source that was not available. A missing source does not affect the verdict.
fn missing_sources(trial: &TrialReport) -> impl Iterator<Item = &'static str> {
    let all = SourceId::SHOWN.into_iter();
    let missing = all.filter(|source| !trial.evidence_sources.has(*source));
    missing.filter_map(SourceId::missing)
}

fn item(out: &mut String, mark: &str, text: &str) {
    for (index, line) in wrap(text, TIME + BODY - 6).iter().enumerate() {
        let _ = if index == 0 {
            writeln!(out, "  {mark}  {line}")
        } else {
            writeln!(out, "      {line}")
        };
    }
}

fn note(out: &mut String, label: &str, text: &str) {
    for (index, line) in wrap(text, TIME + BODY - 11).iter().enumerate() {
        let _ = if index == 0 {
            writeln!(out, "  {LABEL}{label:<9}{LABEL:#}  {line}")
        } else {
            writeln!(out, "             {line}")
        };
    }
}

/// Returns the host's kernel with the errors that it returned, in the order of the calls.
fn here(trial: &TrialReport, host: &Host) -> String {
    let mut errors: Vec<String> = trial
        .calls
        .iter()
        .filter_map(|call| Some(format!("{} {}", call.name(), call.result.errno()?)))
        .collect();
    abridge(&mut errors, |left_out| left_out);
    let errors = if errors.is_empty() {
        "no error".to_owned()
    } else {
        errors.join(", then ")
    };
    format!("{} {}: {errors}", host.sysname, host.release)
}

/// Returns the facts that were checked and hold, in the order of the rules of [`rstproof_core::verdict`]. Empty unless
/// the trial is confirmed: the findings of other trials are shown instead.
fn facts(trial: &TrialReport) -> Vec<String> {
    if trial.verdict != Some(Verdict::Confirmed) {
        return Vec::new();
    }
    let mut facts =
        vec!["the capture is complete: fence seen, no packets dropped, SYN captured".to_owned()];
    for reset in &trial.resets {
        facts.extend(facts_of_reset(trial, reset));
    }
    if trial.resets.is_empty() {
        facts.push("no RST of this connection was captured".to_owned());
        if trial
            .sources
            .trace_coverage
            .is_some_and(|trace| trace.tcp_send_reset)
        {
            facts.push("kernel trace: no RST was sent".to_owned());
        }
    }
    for call in &trial.calls {
        if let (Some(errno), Some(cause)) = (call.result.errno(), call.cause)
            && let Some(why) = local_cause(cause)
        {
            let name = call.name();
            facts.push(format!(
                "{name} {errno} was not caused by an RST from the peer: {why}"
            ));
        }
    }
    if trial.evidence_sources.has(SourceId::Counters) {
        facts.push(counted(trial));
    }
    facts.push(format!(
        "all {} calls returned what is documented, and no error was reported twice",
        trial.calls.len()
    ));
    facts.push("nothing else explains it: no ICMP error, no other acceptable RST".to_owned());
    facts
}

/// Returns the fact about the kernel counters: those that increased, and by how much.
fn counted(trial: &TrialReport) -> String {
    let increased = trial.sources.counters.iter();
    let increased: Vec<String> = increased
        .map(|(name, by)| format!("{name} +{by}"))
        .collect();
    if increased.is_empty() {
        return "kernel counters: no counter of resets or failures increased, as expected"
            .to_owned();
    }
    format!(
        "kernel counters increased as expected: {}",
        increased.join(", ")
    )
}

/// Describes the cause of an error that no RST of the other end caused; `None` if one did, or if the cause is unknown.
fn local_cause(cause: CauseReport) -> Option<String> {
    Some(match cause {
        CauseReport::OwnShutdown(call) => format!("call {call} had shut down its own sending side"),
        CauseReport::OwnDisconnect(call) => {
            format!("call {call} had disconnected the socket")
        }
        CauseReport::OwnReset(frame) => {
            format!("its own socket sent the RST in frame {frame}")
        }
        CauseReport::NotConnected => "the socket is not connected".to_owned(),
        CauseReport::NotListening(call) => format!("call {call} had shut down the listener"),
        CauseReport::WouldBlock(call) => format!("call {call} had made the socket non-blocking"),
        CauseReport::TimedOut(call) => format!("the timeout set by call {call} had expired"),
        CauseReport::Unanswered => "what it sent was never acknowledged".to_owned(),
        CauseReport::Icmp(frame) => format!("the ICMP error in frame {frame}"),
        CauseReport::Destroyed(call) => format!("call {call} had destroyed the socket"),
        CauseReport::NoRoute => "this host has no route to the address".to_owned(),
        CauseReport::InUse(call) => format!("call {call} was waiting on the same socket"),
        CauseReport::Reset(_) | CauseReport::AfterReset(_) | CauseReport::Unexplained => {
            return None;
        }
    })
}

/// Returns the facts about an RST: its form and sender, its effect, and the calls that failed because of it.
fn facts_of_reset(trial: &TrialReport, reset: &ResetReport) -> Vec<String> {
    let frame = reset.frame;
    let victim = reset.from.peer();
    if !reset.acceptable {
        let text = if reset.acceptance == Acceptance::NotArrived.to_string() {
            format!(
                "frame {frame}: RST from the {} that does not reach the {victim}",
                reset.from
            )
        } else {
            format!(
                "frame {frame}: RST that the {victim} ignores: {}",
                reset.acceptance
            )
        };
        return std::iter::once(text).chain(origin(reset)).collect();
    }
    let form = match reset.form {
        Some(Form::Active) => "sent by a socket that aborted, not in reply to a segment",
        Some(Form::Passive) => "in reply to a segment with ACK",
        Some(Form::PassiveAck) => "in reply to a segment without ACK",
        None => "in a form that Linux does not send",
    };
    let mut facts = vec![format!(
        "frame {frame}: RST from the {}, {form}",
        reset.from
    )];
    facts.extend(origin(reset));
    facts.push(format!(
        "the {victim} was in {} and had to accept it: {}",
        reset.receiver_state, reset.acceptance
    ));
    let told = trial
        .sources
        .trace_coverage
        .is_some_and(|trace| trace.tcp_receive_reset && trace.inet_sk_error_report);
    if let Some(errno) = reset.receiver_state.errno_of_reset().filter(|_| told) {
        facts.push(format!(
            "kernel trace: it closed the {victim}'s socket with {errno}"
        ));
    }
    let place = trial
        .packets
        .binary_search_by_key(&frame, |packet| packet.frame);
    let packet = place.ok().and_then(|place| trial.packets.get(place));
    let at_ns = packet.map_or(0, |packet| packet.at_ns);
    for call in reset
        .explains_calls
        .iter()
        .filter_map(|call| trial.calls.get(*call))
    {
        let Some(errno) = call.result.errno() else {
            continue;
        };
        facts.push(format!(
            "{}({}) returned {errno} {} µs later, as expected for a reset in {}",
            call.call,
            call.arguments,
            time(call.ended_ns, at_ns),
            reset.receiver_state
        ));
    }
    facts
}

/// Returns the fact about the sender and the reason of an RST, from the kernel trace; `None` if the sender is unknown.
fn origin(reset: &ResetReport) -> Option<String> {
    let from = reset.from;
    let who = match reset.sender {
        Sender::Socket => format!("a {from} socket"),
        Sender::Kernel => format!("the {from}'s kernel, for no socket"),
        Sender::Firewall => "a firewall".to_owned(),
        Sender::Injected => "a third party".to_owned(),
        Sender::Unknown => return None,
    };
    let why = reset.kernel_reason.as_deref();
    let why = why.map_or_else(String::new, |reason| {
        format!(", reason {}", printable(reason))
    });
    Some(format!("kernel trace: sent by {who}{why}"))
}

/// Appends, for each reason that the kernel gave: its meaning, advice, and a note if it is misleading.
fn reasons(out: &mut String, trial: &TrialReport) {
    let given = trial
        .resets
        .iter()
        .filter_map(|it| it.kernel_reason.as_deref());
    let mut known: Vec<&Reason> = Vec::new();
    for reason in given.filter_map(reason::find) {
        if !known.contains(&reason) {
            known.push(reason);
        }
    }
    for reason in known {
        note(out, "why", &format!("{}: {}", reason.name, reason.meaning));
        note(out, "advice", reason.advice);
        if let Some(caveat) = reason.caveat {
            note(out, "note", caveat);
        }
    }
}

/// Returns a Wireshark display filter for the RSTs of this connection, or for the connection if it has none.
fn wireshark_filter(trial: &TrialReport) -> Option<String> {
    let (client, server) = (trial.client?, trial.server?);
    // The client's port tells connections apart; the server's port is the same for many trials.
    let ip = if server.is_ipv4() { "ip" } else { "ipv6" };
    let reset = if trial.resets.is_empty() {
        ""
    } else {
        "tcp.flags.reset == 1 && "
    };
    Some(format!(
        "{reset}{ip}.addr == {} && tcp.port == {}",
        server.ip(),
        client.port()
    ))
}
