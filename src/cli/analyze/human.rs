//! Human format of `rstproof analyze`: a few lines for each RST, and a summary of each capture.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use super::renderer::Renderer;
use crate::report::human::{BAD, GOOD, LABEL, grouped};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{
    Connection, Event, RequiredAction, ResetRecord, ResetSource, Summary, Supports, Tally, Totals,
    Weight,
};
use rstproof_core::printable::printable;

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
        Some(format!("{LABEL}{name}{LABEL:#}:"))
    }

    fn event(&self, files: &FileNames, event: Event<'_>) -> Option<io::Result<Vec<u8>>> {
        match event {
            Event::Reset(connection, told) if !self.quiet => {
                Some(Ok(reset(files, connection, told, self.verbose).into_bytes()))
            }
            _ => None,
        }
    }

    fn summary(&self, files: &FileNames, of: &Summary, _: Option<&str>) -> io::Result<Vec<u8>> {
        let text = summary(files, &of.totals, &of.tally);
        let is_after_resets = of.totals.resets > 0 && !self.quiet;
        let text = if is_after_resets {
            format!("\n{text}")
        } else {
            text
        };
        Ok(text.into_bytes())
    }
}

/// Returns the name of a capture: that of its file, or of its first and last file.
fn title(files: &FileNames) -> String {
    let mut names = files.names();
    let count = names.len();
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
    told: &ResetRecord,
    verbose: bool,
) -> String {
    let (reset, explanation) = (&told.reset, &told.explanation);
    let (from, to) = (
        connection.socket(reset.from),
        connection.socket(reset.from.peer()),
    );
    let form = reset
        .form
        .map_or("not a form that Linux sends", |form| form.name());
    let cause = explanation
        .cause
        .map_or("cause unknown", |cause| cause.id());
    let mut text = format!(
        "{LABEL}{}{LABEL:#}  {from} → {to}  {cause}, {form}\n",
        files.frame(reset.frame)
    );
    let outcome = match (explanation.errno, explanation.errno_note) {
        (Some(errno), _) => format!("→ {BAD}{errno:?}{BAD:#}{}", explanation.condition()),
        (None, Some(why)) if explanation.required_action == RequiredAction::Unknown => {
            format!("→ error unknown: {why}")
        }
        (None, Some(why)) => format!("→ no error: {why}"),
        (None, None) => String::new(),
    };
    let _ = writeln!(text, "  {}  {outcome}", told.required_action());
    let _ = writeln!(text, "  {}", explanation.explanation);
    let silence = told.silence / NS_PER_SEC;
    let silence = (silence > 0).then(|| format!("after {silence} s of silence"));
    match (reset.triggered_by.map(|it| files.frame(it)), silence) {
        (Some(frame), Some(silence)) => {
            let _ = writeln!(text, "  in reply to {frame}, {silence}");
        }
        (Some(frame), None) => {
            let _ = writeln!(text, "  in reply to {frame}");
        }
        (None, Some(silence)) => {
            let _ = writeln!(text, "  {silence}");
        }
        (None, None) => {}
    }
    if let Some(earlier) = told.earlier {
        let (earlier, number) = (files.frame(earlier), files.frame(connection.number()));
        let _ = writeln!(
            text,
            "  it belongs to the connection that began with {earlier}, not to the one that begins with {number}"
        );
    }
    for said in &told.diagnostics {
        let _ = writeln!(text, "  it carries: {}", printable(&said.to_string()));
    }
    for fact in &told.indicators {
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
    for (cause, number) in &tally.causes {
        let (id, says) = cause.map_or(("unknown", "the capture does not show the cause"), |it| {
            (it.id(), it.says())
        });
        let number = in_digits(*number);
        let _ = writeln!(text, "  {number:>9}  {id:<16} {says}");
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
        let _ = writeln!(text, "  sent by: {}", named.join(", "));
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
    lacks(&mut text, totals, tally);
    text
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
        tally.doubtful,
        "RST shows strong signs of a third party (see its indicators)",
        "RSTs show strong signs of a third party (see their indicators)",
    );
    say(
        tally.incomplete,
        "connection is incomplete in this capture: its analysis is limited",
        "connections are incomplete in this capture: their analysis is limited",
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
        totals.fragments,
        "IP fragment: only the first fragment of a packet is analyzed",
        "IP fragments: only the first fragment of a packet is analyzed",
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
