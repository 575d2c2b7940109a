//! Summary of a capture: counts, causes, senders and limitations.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::in_digits;
use crate::cli::analyze::join::time;
use crate::report::human::{BAD, LABEL};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{
    FailureKind, MAX_COUNTED_SENDERS, MissingTraffic, ResetSource, SenderVerdict, Tally, Totals,
};
use rstproof_core::packet::link::Unread;

/// Maximum number of addresses listed in a summary.
const MAX_SHOWN_SENDERS: usize = 5;

/// Maximum number of unsupported link types listed in a summary.
const MAX_SHOWN_LINK_TYPES: usize = 5;

/// Returns the failures that no RST and no ICMP error shows, with the number of connections.
fn other_failures(tally: &Tally) -> impl Iterator<Item = (FailureKind, u64)> {
    let all = tally.failures.iter().map(|(kind, number)| (*kind, *number));
    all.filter(|(kind, _)| !kind.has_own_row())
}

/// Returns the name of a capture: that of its file, or of its first and last file.
pub(in crate::cli::analyze) fn title(files: &FileNames) -> String {
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

/// Formats a sender: address and port, or the address alone if the port is 0, which stands for all ports of a client.
fn who(source: ResetSource) -> String {
    match source.port {
        Some(port) => SocketAddr::new(source.address, port).to_string(),
        None => format!("{} (as a client)", source.address),
    }
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        in_digits(number),
        if number == 1 { one } else { many }
    )
}

/// Returns the first line of a summary: what the capture holds.
pub(in crate::cli::analyze) fn head(files: &FileNames, totals: &Totals, others: u64) -> String {
    let mut text = format!(
        "{LABEL}{}{LABEL:#}: {}, {} of TCP in {}, {}",
        title(files),
        counted(totals.packets, "packet", "packets"),
        in_digits(totals.tcp),
        counted(totals.connections, "connection", "connections"),
        counted(totals.resets, "reset", "resets"),
    );
    for (number, one, many) in [
        (totals.errors, "ICMP error", "ICMP errors"),
        (others, "other failure", "other failures"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {}", counted(number, one, many));
        }
    }
    text + "\n"
}

/// Returns lines about traffic that the whole capture lacks; empty if it lacks none.
pub(in crate::cli::analyze) fn missing(totals: &Totals, tally: &Tally) -> String {
    let Some(missing) = MissingTraffic::of(totals, tally) else {
        return String::new();
    };
    let filter = missing.filter();
    let instead = if totals.filtered > 0 {
        "omit -f, or record"
    } else {
        "record"
    };
    format!(
        "  {BAD}{}{BAD:#}\n  to see more: {instead} with the filter \"{filter}\"\n",
        missing.explanation()
    )
}

/// Returns the counts of all causes, failures and ICMP errors.
fn table(tally: &Tally) -> String {
    let mut text = String::new();
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
    text
}

/// Returns the rest of a summary: sources, senders, states, and what limits the analysis. `has_table` adds what a page of failures
/// shows otherwise.
pub(in crate::cli::analyze) fn foot(
    files: &FileNames,
    totals: &Totals,
    tally: &Tally,
    has_table: bool,
) -> String {
    let mut text = if has_table {
        table(tally)
    } else {
        String::new()
    };
    text += &sources(files, tally);
    let talkers = if has_table {
        tally.top_talkers(usize::MAX)
    } else {
        Vec::new()
    };
    let talkers = talkers
        .into_iter()
        .map(|(host, bytes)| (host.to_string(), bytes));
    if let Some(named) = largest(&talkers.collect::<Vec<_>>(), None) {
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

/// Lists the largest counts, and how many more there are; `None` without a count. Counts come largest first. `total` is the sum of
/// all counts, if it is known: there may be more than are counted one by one.
fn largest(counts: &[(String, u64)], total: Option<u64>) -> Option<String> {
    let (shown, others) = counts.split_at(counts.len().min(MAX_SHOWN_SENDERS));
    let sum = |counts: &[(String, u64)]| counts.iter().map(|(_, count)| count).sum::<u64>();
    let named = shown
        .iter()
        .map(|(name, count)| format!("{name} {}", in_digits(*count)));
    let mut named = named.collect::<Vec<_>>().join(", ");
    if !others.is_empty() {
        let rest = total.map_or_else(|| sum(others), |total| total.saturating_sub(sum(shown)));
        let is_cut = rest > sum(others) || counts.len() >= MAX_COUNTED_SENDERS;
        let at_least = if is_cut { "at least " } else { "" };
        let number = in_digits(others.len() as u64);
        let _ = write!(named, " and {at_least}{number} more: {}", in_digits(rest));
    }
    (!named.is_empty()).then_some(named)
}

/// Returns the source addresses of RSTs, and whether they did send them.
fn sources(files: &FileNames, tally: &Tally) -> String {
    let mut text = String::new();
    let total = tally.causes.values().sum();
    let all = tally.reset_sources(usize::MAX).into_iter();
    let all = all.map(|(source, number)| (who(source), number));
    let Some(named) = largest(&all.collect::<Vec<_>>(), Some(total)) else {
        return text;
    };
    let _ = writeln!(text, "  source addresses: {named}");
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
