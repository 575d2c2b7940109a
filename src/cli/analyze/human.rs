//! Human format of `rstproof analyze`: a few lines for each RST, and a summary of each capture.

mod failures;
mod story;

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use self::failures::{failed, open_questions, went_on};
use super::join::{clocks, elsewhere as other_points, time};
use super::renderer::Renderer;
use crate::report::human::{BAD, GOOD, LABEL, grouped};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::icmp::{Effect, IcmpRecord};
use rstproof_core::analyze::json::process_name;
use rstproof_core::analyze::{
    Connection, ErrnoElsewhere, Event, FailureKind, MissingTraffic, Preceded, RequiredAction,
    ResetRecord, ResetSource, SenderVerdict, Stack, Summary, Supports, System, Tally, Totals,
    Weight, errno_elsewhere, errno_on,
};
use rstproof_core::flow::State;
use rstproof_core::packet::link::Unread;
use rstproof_core::printable::printable;
use rstproof_core::transcript::Role;

const NS_PER_SEC: i64 = 1_000_000_000;

/// Maximum number of senders listed in a summary.
const MAX_SHOWN_SENDERS: usize = 5;

/// Maximum number of unsupported link types listed in a summary.
const MAX_SHOWN_LINK_TYPES: usize = 5;

/// Text for people.
pub(super) struct Human {
    /// True if RSTs are left out.
    pub(super) quiet: bool,
    /// True if everything known about an RST is shown.
    pub(super) verbose: bool,
}

impl Renderer for Human {
    fn is_for_people(&self) -> bool {
        true
    }

    fn heading(&self, files: &FileNames) -> Option<String> {
        let name = title(files);
        let clocks = files.join().map_or_else(String::new, |join| clocks(&join));
        Some(
            format!("{LABEL}{name}{LABEL:#}:\n{clocks}")
                .trim_end()
                .to_owned(),
        )
    }

    fn event(&self, files: &FileNames, event: Event<'_>) -> Option<io::Result<Vec<u8>>> {
        match event {
            Event::Reset(connection, record) if !self.quiet => {
                Some(Ok(
                    reset(files, connection, record, self.verbose).into_bytes()
                ))
            }
            Event::Icmp(connection, record) if !self.quiet => {
                Some(Ok(icmp(files, connection, record).into_bytes()))
            }
            // A failure that was reported when it happened is not repeated at the end.
            Event::Connection(connection) if connection.was_failure_reported => {
                let is_over = connection.failure.is_none() && !self.quiet;
                is_over.then(|| Ok(went_on(files, connection).into_bytes()))
            }
            Event::Connection(connection) | Event::Failed(connection) if !self.quiet => {
                let failure = connection.failure.as_ref();
                let failure = failure.filter(|it| !it.kind.has_own_row())?;
                Some(Ok(failed(files, connection, failure).into_bytes()))
            }
            _ => None,
        }
    }

    fn preceded(&self, files: &FileNames, row: &mut Vec<u8>, preceded: &Preceded) {
        row.extend(story::preceded(files, preceded).into_bytes());
    }

    fn notice(&self, totals: &Totals) -> Option<String> {
        let is_shown = MissingTraffic::holds_only_resets(totals) && !self.quiet;
        is_shown.then(|| "only RSTs were captured: see the summary at the end".to_owned())
    }

    fn summary(&self, files: &FileNames, of: &Summary, _: Option<&str>) -> io::Result<Vec<u8>> {
        let text = summary(files, &of.totals, &of.tally);
        let has_failures = other_failures(&of.tally).next().is_some();
        let has_events = has_failures || of.totals.resets + of.totals.errors > 0;
        let is_after_resets = has_events && !self.quiet;
        let text = match files.join() {
            _ if is_after_resets => format!("\n{text}"),
            Some(join) => text + &clocks(&join),
            None => text,
        };
        Ok(text.into_bytes())
    }
}

/// Returns the failures that no RST and no ICMP error shows, with the number of connections.
fn other_failures(tally: &Tally) -> impl Iterator<Item = (FailureKind, u64)> {
    let all = tally.failures.iter().map(|(kind, number)| (*kind, *number));
    all.filter(|(kind, _)| !kind.has_own_row())
}

/// Returns the name of a capture: that of its file, or of its first and last file.
fn title(files: &FileNames) -> String {
    let mut names = files.names();
    let count = names.len();
    if files.are_joined() {
        let names: Vec<&str> = files.names().collect();
        return format!("{} (joined)", names.join(", "));
    }
    match (names.next(), names.next_back()) {
        (Some(first), Some(last)) => format!("{first} … {last} ({count} files, read as one)"),
        (first, _) => first.unwrap_or_default().to_owned(),
    }
}

/// Formats a number with thousands separators: `399,600`.
fn in_digits(number: u64) -> String {
    grouped(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Formats a sender: address and port, or the address alone if the port is 0, which stands for all ports of a client.
fn who(source: ResetSource) -> String {
    match source.port {
        Some(port) => SocketAddr::new(source.address, port).to_string(),
        None => format!("{} (as a client)", source.address),
    }
}

/// Returns the explanation of an RST. Unless `verbose`, indicators that do not point to injection with at least
/// moderate weight and further details are left out.
#[must_use]
pub(super) fn reset(
    files: &FileNames,
    connection: &Connection<'_>,
    record: &ResetRecord,
    verbose: bool,
) -> String {
    let (reset, explanation) = (&record.reset, &record.explanation);
    // The addresses that a reader sees in the frame.
    let sockets = record.sockets.as_deref().copied();
    let [from, to] = sockets
        .unwrap_or_else(|| [reset.from, reset.from.peer()].map(|role| connection.socket(role)));
    let form = reset.form.map_or("form unknown", |form| form.name());
    let cause = explanation
        .cause
        .map_or("cause unknown", |cause| cause.id());
    let sender = record.sender();
    let name = if sender.is_doubtful() {
        "sent in the name of "
    } else {
        ""
    };
    let mut text = format!(
        "{LABEL}{}{LABEL:#}  {name}{from} → {to}  {cause}, {form}\n",
        files.frame(reset.frame)
    );
    let receiver = reset.from.peer();
    let elsewhere = errno_elsewhere(explanation.errno, reset.receiver_state);
    let outcome = outcome(record, connection.stack(receiver));
    let _ = writeln!(text, "  {}  {outcome}", record.required_action());
    if let Some(frame) = record.assumes_forged {
        let frame = files.frame(frame);
        let _ = writeln!(
            text,
            "  if the {receiver} did not send the RST in {frame}, as the evidence indicates"
        );
    }
    let _ = writeln!(text, "  {}", explanation.explanation);
    if let Some(claim) = explanation.claim {
        let cause = claim.cause.map_or("cause unknown", |cause| cause.id());
        let from = reset.from;
        let _ = writeln!(
            text,
            "  if the {from} did send it: {cause}: {}",
            claim.explanation
        );
    }
    text += &preceding(files, connection, record);
    text += &open_questions(files, record);
    text += &story::of_reset(files, connection, record);
    text += &translations(files, connection);
    text += &other_points(files, reset.frame);
    text += &processes(connection);
    for diagnostic in &record.diagnostics {
        let _ = writeln!(text, "  it carries: {}", printable(&diagnostic.to_string()));
    }
    for fact in &record.indicators {
        if verbose || fact.indicates_injection(Weight::Moderate) {
            let (style, for_whom) = match fact.supports {
                Supports::Injection => (BAD, "indicates injection"),
                Supports::Endpoint => (GOOD, "supports the stated sender"),
            };
            let _ = writeln!(
                text,
                "  {style}{for_whom}{style:#} ({}): {}",
                fact.weight.name(),
                printable(&files.localized(&fact.message))
            );
        }
    }
    if verbose {
        let name = |role| connection.stack(role).map_or("unknown", Stack::name);
        let _ = writeln!(
            text,
            "  likely stacks: client {}, server {}",
            name(Role::Client),
            name(Role::Server)
        );
        if !elsewhere.is_empty() {
            let _ = writeln!(text, "  on other systems: {}", listed(elsewhere));
        }
        for later in explanation.later {
            let _ = writeln!(
                text,
                "  later {}(): {}, afterwards {}",
                later.call, later.first, later.afterwards
            );
        }
        if let Some(what) = explanation.to_confirm {
            let _ = writeln!(text, "  to be sure: {what}");
        }
    }
    text
}

/// Returns what preceded an RST: the packet that it replies to, silence, and an earlier connection that it belongs to.
fn preceding(files: &FileNames, connection: &Connection<'_>, record: &ResetRecord) -> String {
    let mut text = String::new();
    let reset = &record.reset;
    let or_earlier = if record.triggers.len() > 1 {
        " or an earlier segment with the same number"
    } else {
        ""
    };
    let trigger = reset
        .triggered_by
        .map(|it| format!("{}{or_earlier}", files.frame(it)));
    let trigger_frame = reset.triggered_by.map(|it| files.frame(it));
    let silence = record.silence / NS_PER_SEC;
    let parts = [
        trigger.map(|frame| format!("in reply to {frame}")),
        (silence > 0).then(|| format!("after {silence} s of silence")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if !parts.is_empty() {
        let _ = writeln!(text, "  {}", parts.join(", "));
    }
    if let Some(earlier) = record.earlier {
        let earlier = files.frame(earlier);
        let _ = write!(
            text,
            "  it belongs to the connection that began with {earlier}"
        );
        // A segment with SYN and RST begins a connection of its own.
        if connection.number() != reset.frame {
            let number = files.frame(connection.number());
            let _ = write!(text, ", not to the one that begins with {number}");
        }
        text.push('\n');
    }
    if let (Some(continued), Some(frame)) = (&record.continues, trigger_frame) {
        let _ = writeln!(
            text,
            "  {frame} continues the connection {} → {} that began with {}",
            continued.client,
            continued.server,
            files.frame(continued.number)
        );
    }
    if let Some(frame) = record.consequence_of {
        let frame = files.frame(frame);
        let _ = writeln!(text, "  consequence of the RST in {frame}");
    }
    text
}

/// Returns a line for each pair of addresses that the connection has on other sides of a NAT.
pub(super) fn translations(files: &FileNames, connection: &Connection<'_>) -> String {
    let mut text = String::new();
    let [client, server] = [Role::Client, Role::Server].map(|role| connection.socket(role));
    for translation in connection.translations {
        let [its_client, its_server] = connection.translated(translation);
        let _ = writeln!(
            text,
            "  NAT: the connection {client} → {server} is {its_client} → {its_server} from {} on",
            files.frame(translation.first)
        );
    }
    text
}

/// Returns the error of the receiving application, or why there is none. Where the receiver's likely stack reports
/// another error than Linux, that one stands beside.
fn outcome(record: &ResetRecord, stack: Option<Stack>) -> String {
    let (explanation, state) = (&record.explanation, record.reset.receiver_state);
    match (explanation.errno, explanation.errno_note) {
        (Some(errno), _) => {
            let there: Vec<String> = errno_on(stack, errno_elsewhere(Some(errno), state))
                .map(|it| format!("{} {}", it.errno, it.number))
                .collect();
            let there = match stack.filter(|_| !there.is_empty()) {
                Some(stack) => {
                    let receiver = record.reset.from.peer();
                    format!(
                        " (the {receiver} looks like {stack}: {})",
                        there.join(" or ")
                    )
                }
                None => String::new(),
            };
            let condition = explanation.condition();
            format!("→ {BAD}{errno:?}{BAD:#}{there}{condition}")
        }
        // The action of the receiver has said why.
        (None, _) if explanation.required_action == RequiredAction::Unknown => {
            "→ error unknown".to_owned()
        }
        (None, Some(why)) if explanation.required_action == RequiredAction::Accept => {
            format!("→ no error: {why}")
        }
        (None, _) => "→ no error".to_owned(),
    }
}

/// Lists errors of other systems: `Windows WSAECONNRESET 10054`.
fn listed<'a>(errors: impl IntoIterator<Item = &'a ErrnoElsewhere>) -> String {
    let error = |it: &ErrnoElsewhere| {
        let system = match it.system {
            System::Windows => "Windows",
            System::Bsd => "BSD",
            System::Macos => "macOS",
        };
        format!("{system} {} {}", it.errno, it.number)
    };
    errors.into_iter().map(error).collect::<Vec<_>>().join(", ")
}

/// Returns the explanation of an ICMP error.
#[must_use]
pub(super) fn icmp(files: &FileNames, connection: &Connection<'_>, record: &IcmpRecord) -> String {
    let (from, to) = (
        connection.socket(record.to),
        connection.socket(record.to.peer()),
    );
    let (kind, quoted) = (record.kind, files.localized(&record.quoted()));
    let version = if kind.is_v6 { "ICMPv6" } else { "ICMP" };
    let mut text = format!(
        "{LABEL}{}{LABEL:#}  {version} {} ({}/{}) from {}, about {quoted}  {from} → {to}\n",
        files.frame(record.frame),
        kind.name(),
        kind.kind,
        kind.code,
        record.source,
    );
    let receiver = record.to.name();
    let what = match record.effect {
        Effect::ConnectFails if record.went_on.is_some() => {
            format!("the {receiver}'s connection attempt went on")
        }
        Effect::ConnectFails => format!("the {receiver}'s connection attempt fails"),
        Effect::Recorded => format!("the {receiver} records it"),
        Effect::PathMtu => match record.mtu {
            Some(mtu) => format!("the {receiver} lowers its path MTU to {mtu}"),
            None => format!("the {receiver} lowers its path MTU"),
        },
        Effect::RequestDropped => format!("the {receiver} drops the request"),
        Effect::Ignored => format!("the {receiver} ignores it"),
        Effect::Unknown => format!("its effect on the {receiver} is unknown"),
    };
    let state = match record.state {
        State::Closed | State::Listen => String::new(),
        state => format!(" in {state}"),
    };
    let outcome = match record.errno {
        Some(errno) => format!("  → {BAD}{errno:?}{BAD:#}"),
        None if record.effect == Effect::Unknown => "  → error unknown".to_owned(),
        None => "  → no error".to_owned(),
    };
    let _ = writeln!(text, "  {what}{state}{outcome}");
    if let Some(condition) = record.errno_if() {
        let _ = writeln!(text, "  {condition}");
    }
    if let Some(frame) = record.went_on {
        let _ = writeln!(
            text,
            "  the {receiver} carries on in {}",
            files.frame(frame)
        );
    }
    let _ = writeln!(text, "  {}", record.reason);
    text += &story::of_icmp(record);
    text += &processes(connection);
    text
}

/// Returns a line with the processes of the ends; empty if the capture states none.
fn processes(connection: &Connection<'_>) -> String {
    let named = [Role::Client, Role::Server].into_iter().filter_map(|role| {
        let process = connection.process(role)?;
        let (name, pid) = (process_name(&process), process.pid);
        Some(format!("{} \"{name}\" (pid {pid})", role.name()))
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() {
        return String::new();
    }
    format!("  processes by the capture: {}\n", named.join(", "))
}

/// Returns the summary of a capture: counts, causes, senders and limitations.
#[must_use]
fn summary(files: &FileNames, totals: &Totals, tally: &Tally) -> String {
    let file = title(files);
    let count = |number: u64, one: &str, many: &str| {
        let number_text = in_digits(number);
        format!("{number_text} {}", if number == 1 { one } else { many })
    };
    let mut text = format!(
        "{LABEL}{file}{LABEL:#}: {}, {} of TCP in {}, {}\n",
        count(totals.packets, "packet", "packets"),
        in_digits(totals.tcp),
        count(totals.connections, "connection", "connections"),
        count(totals.resets, "reset", "resets"),
    );
    if let Some(missing) = MissingTraffic::of(totals, tally) {
        let _ = writeln!(text, "  {BAD}{}{BAD:#}", missing.explanation());
        let filter = missing.filter();
        let _ = if totals.filtered > 0 {
            writeln!(
                text,
                "  to see more: omit -f, or record with the filter \"{filter}\""
            )
        } else {
            writeln!(text, "  to see more: record with the filter \"{filter}\"")
        };
    }
    let unknown = ("unknown", "the capture does not show the cause");
    let causes = tally.causes.iter().map(|(cause, number)| {
        let named = cause.map_or(unknown, |it| (it.id(), it.meaning()));
        (named, *number)
    });
    let others = other_failures(tally).map(|(kind, number)| ((kind.id(), kind.meaning()), number));
    let rows: Vec<_> = causes.chain(others).collect();
    let longest = rows.iter().map(|((id, _), _)| id.len()).max();
    let width = longest.unwrap_or(0).max(15);
    for ((id, meaning), number) in rows {
        let number = in_digits(number);
        let _ = writeln!(text, "  {number:>9}  {id:<width$}  {meaning}");
    }
    for (kind, number) in &tally.icmp {
        let version = if kind.is_v6 { "ICMPv6" } else { "ICMP" };
        let number = in_digits(*number);
        let _ = writeln!(text, "  {number:>9}  {version} {}", kind.name());
    }
    let top = tally.reset_sources(MAX_SHOWN_SENDERS);
    if !top.is_empty() {
        let named: Vec<String> = top
            .iter()
            .map(|(source, number)| {
                let number = in_digits(*number);
                format!("{} {number}", who(*source))
            })
            .collect();
        let _ = writeln!(text, "  source addresses: {}", named.join(", "));
        let senders = SenderVerdict::ALL.into_iter().filter_map(|verdict| {
            let number = in_digits(*tally.senders.get(&verdict)?);
            Some(match (verdict, tally.first_doubtful) {
                (SenderVerdict::LikelyEndpoint, _) => format!("likely {number}"),
                (SenderVerdict::Doubtful, Some(frame)) => {
                    format!("doubtful {number} (first: {})", files.frame(frame))
                }
                (SenderVerdict::Doubtful, None) => format!("doubtful {number}"),
                (SenderVerdict::Unknown, _) => format!("unknown {number}"),
            })
        });
        let senders = senders.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "  did these addresses send them: {senders}");
    }
    let talkers = tally.top_talkers(MAX_SHOWN_SENDERS);
    if !talkers.is_empty() {
        let named = talkers.iter().map(|(host, bytes)| {
            let bytes = in_digits(*bytes);
            format!("{host} {bytes}")
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "  TCP bytes from: {named}");
    }
    if !tally.states.is_empty() {
        let states = tally
            .states
            .iter()
            .map(|(state, number)| format!("{state} {}", in_digits(*number)));
        let _ = writeln!(
            text,
            "  conn_state: {}",
            states.collect::<Vec<_>>().join(", ")
        );
    }
    text += &repeated(files, tally);
    unread(&mut text, totals);
    lacks(&mut text, totals, tally);
    text
}

/// Returns a line about connections that the file holds more than once, because captures were merged whose clocks differ;
/// empty if there are none.
fn repeated(files: &FileNames, tally: &Tally) -> String {
    let Some(first) = tally.first_repeated else {
        return String::new();
    };
    let connections = match tally.repeated {
        1 => "the packets of 1 connection are".to_owned(),
        more => format!("the packets of {} connections are", in_digits(more)),
    };
    let direction = if first.apart_ns < 0 {
        "earlier"
    } else {
        "later"
    };
    format!(
        "  {connections} in the file more than once: {} repeats the SYN of {} {} {direction}, as where captures are merged whose clocks differ\n  \
         each capture was analyzed by itself; to compare them, give the separate files to `rstproof analyze --join`\n",
        files.frame(first.copy),
        files.frame(first.frame),
        time(first.apart_ns),
    )
}

/// Appends the counts of whatever limits the analysis: incomplete connections, dropped frames, unsupported links.
fn lacks(text: &mut String, totals: &Totals, tally: &Tally) {
    let mut say = |number: u64, one: &str, more: &str| {
        if number > 0 {
            let what = if number == 1 { one } else { more };
            let number = in_digits(number);
            let _ = writeln!(text, "  {number} {what}");
        }
    };
    say(
        tally.incomplete,
        "connection is incomplete in this capture: its analysis is limited",
        "connections are incomplete in this capture: their analysis is limited",
    );
    say(
        tally.failed_by_icmp,
        "connection attempt failed by an ICMP error, without an RST",
        "connection attempts failed by an ICMP error, without an RST",
    );
    say(
        totals.strange_errors,
        "ICMP error quotes a TCP segment of no connection in this capture",
        "ICMP errors quote TCP segments of no connection in this capture",
    );
    say(
        totals.filtered,
        "packet does not match the filter",
        "packets do not match the filter",
    );
    say(
        totals.dropped(),
        "frame was dropped during the capture",
        "frames were dropped during the capture",
    );
    say(
        totals.cut,
        "TCP segment is cut or malformed, and was skipped",
        "TCP segments are cut or malformed, and were skipped",
    );
    say(
        totals.reassembled.packets,
        "segment was put together from IP fragments, and counts at the frame that completes it",
        "segments were put together from IP fragments, and count at the frames that complete them",
    );
    say(
        totals.unassembled(),
        "IP fragment was not analyzed: others of its packet are missing",
        "IP fragments were not analyzed: others of their packets are missing",
    );
    say(
        totals.reassembled.discarded,
        "packet was discarded, because its IP fragments overlap",
        "packets were discarded, because their IP fragments overlap",
    );
    say(
        totals.unread.other_errors,
        "ICMP error quotes no TCP segment",
        "ICMP errors quote no TCP segment",
    );
    for (kind, number) in &totals.unread.tunnels {
        let name = kind.name();
        say(
            *number,
            &format!("packet of {name}: read it with --tunnels"),
            &format!("packets of {name}: read them with --tunnels"),
        );
    }
    say(
        totals.odd_times,
        "frame has a time that cannot be right (before 1970 or after 2262): its times are not reliable",
        "frames have times that cannot be right (before 1970 or after 2262): their times are not reliable",
    );
    say(
        totals.evicted,
        "connection was dropped from memory: there were too many; a later packet of it counts as a new connection",
        "connections were dropped from memory: there were too many; a later packet of them counts as a new connection",
    );
    let (links, others) = (
        totals.unsupported_link_types.iter(),
        totals.unsupported_link_types.values(),
    );
    for (kind, number) in links.take(MAX_SHOWN_LINK_TYPES) {
        say(
            *number,
            &format!("frame of link type {kind}, which is not supported"),
            &format!("frames of link type {kind}, which is not supported"),
        );
    }
    say(
        others.skip(MAX_SHOWN_LINK_TYPES).sum(),
        "frame of another link type, which is not supported",
        "frames of other link types, which are not supported",
    );
}

/// Appends the frames that hold no IP packet that is read, most frequent first, in one line.
fn unread(text: &mut String, totals: &Totals) {
    let mut frames: Vec<(Unread, u64)> = (totals
        .unread
        .frames
        .iter()
        .map(|(what, number)| (*what, *number)))
    .collect();
    if frames.is_empty() {
        return;
    }
    frames.sort_by_key(|(what, number)| (Reverse(*number), *what));
    let named = frames
        .iter()
        .take(MAX_SHOWN_LINK_TYPES)
        .map(|(what, number)| {
            let number = in_digits(*number);
            match (what.name(), what) {
                (Some(name), Unread::EtherType(kind @ 1..)) => {
                    format!("{number} {name} ({kind:#06x})")
                }
                (None, Unread::EtherType(kind)) => format!("{number} EtherType {kind:#06x}"),
                (name, _) => format!("{number} {}", name.unwrap_or("unknown")),
            }
        });
    let mut named: Vec<String> = named.collect();
    let others = frames
        .iter()
        .skip(MAX_SHOWN_LINK_TYPES)
        .map(|(_, number)| number);
    let others: u64 = others.sum();
    if others > 0 {
        named.push(format!("{} others", in_digits(others)));
    }
    let _ = writeln!(text, "  frames without IP: {}", named.join(", "));
}
