//! Ladder of one connection for `rstproof analyze`: a line for each segment, the states where they change, and each RST
//! explained below its segment, as is each ICMP error.
//!
//! Lines are as wide as the terminal, at most 120 columns. A long connection is abridged: its beginning and its end are shown, and in between
//! only RSTs and the segments that triggered them. No other segments are kept while the capture is read.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::str::FromStr;

use anstyle::Style;

use super::human;
use super::times::Zone;
use crate::report::columns::{Columns, decimal};
use crate::report::human::{BAD, LABEL, grouped, wrap};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Connection, ConnectionObserver, FlowKey, ResetRecord, Step};
use rstproof_core::file::TextClock;
use rstproof_core::flow::State;
use rstproof_core::packet::{Flags, Header};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::Role;

/// Maximum number of segments shown at the beginning of a connection, and at its end.
const MAX_ROWS_AT_EACH_END: usize = 200;

/// Maximum number of segments kept in between: RSTs, and the segments that triggered them.
const MAX_ROWS_BETWEEN: usize = 4096;

/// Width in columns of the part before the arrow.
const BEFORE: usize = 20;

/// Width of a line in columns from which on flags are words.
const WIDE: usize = 100;

/// Layout of the lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Width of a line in columns.
    pub(crate) width: usize,
    /// True if times of day are in UTC.
    pub(crate) utc: bool,
    /// Meaning of the times.
    pub(crate) clock: TextClock,
}

impl Layout {
    fn columns(self) -> Columns {
        Columns {
            width: self.width - BEFORE,
        }
    }
}

/// Selection of the connections to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Connection that the frame with this number belongs to.
    Frame(u32),
    /// All connections between these endpoints.
    Between(SocketAddr, SocketAddr),
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str =
            "expected a frame number or ADDR:PORT-ADDR:PORT, with IPv6 addresses in brackets";
        if let Ok(frame) = text.parse() {
            return if frame == 0 {
                Err(WANTED)
            } else {
                Ok(Self::Frame(frame))
            };
        }
        let (one, other) = text.split_once('-').ok_or(WANTED)?;
        match (one.parse(), other.parse()) {
            (Ok(one), Ok(other)) => Ok(Self::Between(one, other)),
            _ => Err(WANTED),
        }
    }
}

/// Line of the ladder: a segment.
#[derive(Clone, Debug)]
struct Row {
    /// Index of the segment in the connection, from 0.
    nth: u64,
    step: Step,
    /// True if the segment is the first one or changed the state of an end.
    has_changed: bool,
    /// True if the segment is an RST or triggered one.
    is_kept: bool,
}

/// Listener that finds the connection that a frame belongs to.
#[derive(Debug)]
pub(crate) struct Finder {
    frame: u32,
    first: Option<u32>,
}

impl Finder {
    /// Creates a finder for the frame with this number.
    #[must_use]
    pub(crate) fn new(frame: u32) -> Self {
        Self { frame, first: None }
    }
}

impl ConnectionObserver for Finder {
    /// First frame of the connection; `None` until it is found.
    type Output = Option<u32>;

    const OBSERVES_SEGMENTS: bool = true;

    fn segment(&mut self, step: &Step) {
        if step.header.frame == self.frame {
            self.first = Some(step.connection);
        }
    }

    fn connection(&mut self, connection: &Connection<'_>, _: &[ResetRecord]) {
        if connection.errors.iter().any(|it| it.frame == self.frame) {
            self.first = Some(connection.number());
        }
    }

    fn resets(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]) {
        self.connection(connection, resets);
    }

    fn take_output(&mut self) -> Option<u32> {
        self.first
    }
}

/// Listener that finds the connections that have these ends on another side of a NAT.
#[derive(Debug)]
pub(crate) struct TranslatedFinder {
    ends: FlowKey,
    found: Vec<u32>,
}

impl TranslatedFinder {
    /// Maximum number of connections.
    const MAX_FOUND: usize = 1 << 16;

    /// Creates a finder for connections between these sockets.
    #[must_use]
    pub(crate) fn new(one: SocketAddr, other: SocketAddr) -> Self {
        Self {
            ends: between(one, other),
            found: Vec::new(),
        }
    }

    /// Returns the first frames of the connections.
    #[must_use]
    pub(crate) fn into_found(self) -> Vec<u32> {
        self.found
    }
}

impl ConnectionObserver for TranslatedFinder {
    type Output = ();

    fn connection(&mut self, connection: &Connection<'_>, _: &[ResetRecord]) {
        let sockets = (connection.translations.iter()).map(|it| connection.translated(it));
        let mut ends = sockets.map(|[client, server]| between(client, server));
        if ends.any(|ends| ends == self.ends) && self.found.len() < Self::MAX_FOUND {
            self.found.push(connection.number());
        }
    }

    fn resets(&mut self, _: &Connection<'_>, _: &[ResetRecord]) {}

    fn take_output(&mut self) {}
}

/// Returns the key of the connections between two sockets.
fn between(one: SocketAddr, other: SocketAddr) -> FlowKey {
    let socket = |it: SocketAddr| (it.ip(), it.port());
    FlowKey::of(socket(one), socket(other)).0
}

/// Listener that shows connections, segment by segment.
#[derive(Debug)]
pub(crate) struct Ladder {
    file: String,
    layout: Layout,
    /// First frames of the selected connections, if selected by frame, or by their endpoints on another side of a NAT.
    first: HashSet<u32>,
    /// Endpoints of the selected connections, if selected by endpoints.
    ends: Option<FlowKey>,
    /// Text of the connections that have ended, until it is handed over.
    text: String,
    /// First frame of the current connection.
    number: u32,
    /// Number of segments of the current connection so far.
    count: u64,
    /// States of client and server after the last segment.
    states: Option<[State; 2]>,
    /// First segments, at most [`MAX_ROWS_AT_EACH_END`].
    beginning: Vec<Row>,
    /// RSTs and their triggers between `beginning` and `last`, at most [`MAX_ROWS_BETWEEN`].
    kept: Vec<Row>,
    /// Last segments, at most [`MAX_ROWS_AT_EACH_END`].
    last: VecDeque<Row>,
    /// Explanations of RSTs, by frame.
    resets: HashMap<u32, String>,
    /// Explanations of ICMP errors, with their frames in order.
    errors: Vec<(u32, String)>,
    /// Number of connections shown so far.
    pub shown: u64,
}

impl Ladder {
    /// Creates a ladder for the selected connections of this file. A frame number selects the connection that begins
    /// with that frame. Connections that begin with one of the frames in `more` are selected as well.
    #[must_use]
    pub(crate) fn new(file: &str, layout: Layout, which: Which, more: &[u32]) -> Self {
        let mut first: HashSet<u32> = more.iter().copied().collect();
        let ends = match which {
            Which::Frame(frame) => {
                first.insert(frame);
                None
            }
            Which::Between(one, other) => Some(between(one, other)),
        };
        Self {
            file: file.to_owned(),
            layout,
            first,
            ends,
            text: String::new(),
            number: 0,
            count: 0,
            states: None,
            beginning: Vec::new(),
            kept: Vec::new(),
            last: VecDeque::new(),
            resets: HashMap::new(),
            errors: Vec::new(),
            shown: 0,
        }
    }

    fn is_meant(&self, number: u32, ends: &FlowKey) -> bool {
        self.first.contains(&number) || self.ends.as_ref() == Some(ends)
    }

    /// Adds a segment. Segments that leave `last` are kept only if they are RSTs or triggered one.
    fn take(&mut self, step: &Step) {
        if self.number != step.connection {
            self.begin(step.connection);
        }
        let row = Row {
            nth: self.count,
            step: *step,
            has_changed: self.states != Some(step.states),
            is_kept: step.header.flags.has(Flags::RST),
        };
        self.count += 1;
        self.states = Some(step.states);
        // A trigger in `beginning` is shown anyway, and one that has left `last` unmarked is gone.
        if let Some(frame) = step.triggered_by
            && let Some(row) =
                (self.last.iter_mut().rev()).find(|row| row.step.header.frame == frame)
        {
            row.is_kept = true;
        }
        if self.beginning.len() < MAX_ROWS_AT_EACH_END {
            self.beginning.push(row);
            return;
        }
        self.last.push_back(row);
        if self.last.len() > MAX_ROWS_AT_EACH_END
            && let Some(row) = self.last.pop_front()
            && row.is_kept
            && self.kept.len() < MAX_ROWS_BETWEEN
        {
            self.kept.push(row);
        }
    }

    fn begin(&mut self, number: u32) {
        (self.number, self.count, self.states) = (number, 0, None);
        self.beginning.clear();
        self.kept.clear();
        self.last.clear();
        self.resets.clear();
        self.errors.clear();
    }

    fn explain(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]) {
        for record in resets {
            // As many as there may be rows: a hostile capture may have any number of RSTs.
            if self.resets.len() < MAX_ROWS_BETWEEN + 2 * MAX_ROWS_AT_EACH_END {
                let text = human::reset(&FileNames::one(&self.file), connection, record, true);
                self.resets.insert(record.reset.frame, text);
            }
        }
    }

    fn explain_errors(&mut self, connection: &Connection<'_>) {
        for error in connection.errors {
            if self.errors.len() < MAX_ROWS_BETWEEN {
                let text = human::icmp(&FileNames::one(&self.file), connection, error);
                self.errors.push((error.frame, text));
            }
        }
    }

    fn show(&mut self, connection: &Connection<'_>) {
        let layout = self.layout;
        let zero = self.beginning.first().map(|row| row.step.header.at);
        let mut text = heading(&self.file, connection, zero, layout);
        let mut next = 0;
        let mut errors = self.errors.iter().peekable();
        for row in self.beginning.iter().chain(&self.kept).chain(&self.last) {
            // A gap in the indices means that segments were not kept.
            if row.nth > next {
                let left_out = grouped(usize::try_from(row.nth - next).unwrap_or(usize::MAX));
                let _ = writeln!(text, "{:BEFORE$}… {left_out} more …", "");
            }
            next = row.nth + 1;
            while let Some((_, error)) = errors.next_if(|(frame, _)| *frame < row.step.header.frame)
            {
                explanation(&mut text, error, layout);
            }
            segment(&mut text, &row.step, zero.unwrap_or_default(), layout);
            if row.has_changed {
                states(&mut text, row.step.states, layout);
            }
            if let Some(reset) = self.resets.get(&row.step.header.frame) {
                explanation(&mut text, reset, layout);
            }
        }
        for (_, error) in errors {
            explanation(&mut text, error, layout);
        }
        if self.resets.is_empty() {
            // Of an RST they stand in its explanation.
            let files = FileNames::one(&self.file);
            let comments = human::comments(&files, connection, |_| true);
            explanation(&mut text, &comments, layout);
        }
        self.text += &text;
    }
}

impl ConnectionObserver for Ladder {
    type Output = String;

    const OBSERVES_SEGMENTS: bool = true;

    fn segment(&mut self, step: &Step) {
        if self.is_meant(step.connection, &step.ends) {
            self.take(step);
        }
    }

    fn connection(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]) {
        if self.is_meant(connection.number(), &connection.ends) {
            self.explain(connection, resets);
            self.explain_errors(connection);
            self.shown += 1;
            self.show(connection);
        }
    }

    fn resets(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]) {
        if self.is_meant(connection.number(), &connection.ends) {
            self.explain(connection, resets);
            self.explain_errors(connection);
        }
    }

    fn take_output(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

fn heading(
    file: &str,
    connection: &Connection<'_>,
    zero: Option<Timestamp>,
    layout: Layout,
) -> String {
    let [client, server] = [Role::Client, Role::Server].map(|role| connection.socket(role));
    let (number, zeek) = (connection.number(), &connection.zeek);
    let state = zeek.conn_state();
    let text = format!(
        "the connection that begins with frame {number} of {file}: conn_state {state}, history {}",
        zeek.history()
    );
    let mut heading = String::new();
    for line in wrap(&text, layout.width) {
        let _ = writeln!(heading, "{LABEL}{line}{LABEL:#}");
    }
    for line in human::translations(&FileNames::one(file), connection).lines() {
        for line in wrap(line.trim_start(), layout.width) {
            let _ = writeln!(heading, "{line}");
        }
    }
    if let Some(zero) = zero {
        let zone = Zone::of_clock(zero, layout.utc, layout.clock);
        let (day, time, name) = (zone.day(), zone.time(zero, 6), zone.name());
        let zero = match zone.clock() {
            TextClock::Absolute => format!("seconds after {day} {time} {name}"),
            TextClock::Local => format!("seconds after {day} {time} of an unknown time zone"),
            TextClock::TimeOfDay => format!("seconds after {time} of an unknown day"),
            TextClock::Relative => format!("seconds after {time} s from the first packet"),
            TextClock::None => "unknown".to_owned(),
        };
        let _ = writeln!(heading, "times are {zero}");
    }
    let (client, server) = (format!("client {client}"), format!("server {server}"));
    let sides = layout
        .columns()
        .sides(&client, &server, 1)
        .unwrap_or_else(|| {
            let _ = writeln!(heading, "{:BEFORE$}{LABEL}{client}{LABEL:#}", "");
            format!("{server:>width$}", width = layout.columns().width)
        });
    let columns = format!("{:>7} {:>11}", "frame", "s");
    let _ = writeln!(heading, "{columns} {LABEL}{sides}{LABEL:#}");
    heading
}

/// Appends a segment: frame, time and arrow. Acknowledgment, length and window go to a second line if the arrow has no
/// room for them.
fn segment(text: &mut String, step: &Step, zero: Timestamp, layout: Layout) {
    let header = &step.header;
    let style = if header.flags.has(Flags::RST) {
        BAD
    } else {
        Style::new()
    };
    let (numbers, rest) = label(step, layout);
    let columns = layout.columns();
    let whole = format!("{numbers}{rest}");
    let fits = columns.fits_arrow(&whole);
    let shown = if fits { &whole } else { &numbers };
    let before = format!("{:>7} {:>11}", header.frame, time(header.at, zero));
    let arrow = columns.arrow(step.from, shown);
    let _ = writeln!(text, "{before} {style}{arrow}{style:#}");
    if !fits {
        let _ = writeln!(text, "{:BEFORE$}   {style}{rest}{style:#}", "");
    }
}

/// Returns flags and sequence numbers, and the other fields. Flags are in tcpdump's notation, or where there is room in
/// Wireshark's. Numbers are relative to the initial
/// sequence number, or those on the wire if it is unknown.
fn label(step: &Step, layout: Layout) -> (String, String) {
    const TAKES_A_NUMBER: [Flags; 3] = [Flags::SYN, Flags::FIN, Flags::RST];
    let Header {
        flags,
        seq,
        ack,
        payload_len,
        window,
        ..
    } = step.header;
    let mut numbers = if layout.width >= WIDE {
        in_words(flags)
    } else {
        flags.to_string()
    };
    let first = step.seq.unwrap_or(seq.0);
    if payload_len > 0 {
        let _ = write!(numbers, " seq {first}:{}", first.wrapping_add(payload_len));
    } else if TAKES_A_NUMBER.iter().any(|flag| flags.has(*flag)) {
        let _ = write!(numbers, " seq {first}");
    }
    let mut rest = String::new();
    if flags.has(Flags::ACK) {
        let _ = write!(rest, " ack {}", step.ack.unwrap_or(ack.0));
    }
    let _ = write!(rest, " len {payload_len} win {window}");
    (numbers, rest)
}

/// Returns the names of flags, as Wireshark shows them: `[SYN, ACK]`.
fn in_words(flags: Flags) -> String {
    // In the order of the bits, lowest first (RFC 9293, 3.1), as Wireshark lists them.
    const NAMES: [(Flags, &str); 8] = [
        (Flags::FIN, "FIN"),
        (Flags::SYN, "SYN"),
        (Flags::RST, "RST"),
        (Flags::PSH, "PSH"),
        (Flags::ACK, "ACK"),
        (Flags(0x20), "URG"),
        (Flags(0x40), "ECE"),
        (Flags(0x80), "CWR"),
    ];
    let set = NAMES.iter().filter(|(flag, _)| flags.has(*flag));
    let names: Vec<&str> = set.map(|(_, name)| *name).collect();
    format!("[{}]", names.join(", "))
}

/// Formats a time relative to `zero`, in seconds, to the microsecond. Negative if the capture's clock went back.
fn time(at: Timestamp, zero: Timestamp) -> String {
    decimal(at.since(zero) / 1_000, 6)
}

/// Appends a line with the client's state on the left and the server's on the right.
fn states(text: &mut String, [client, server]: [State; 2], layout: Layout) {
    let style = Style::new().dimmed();
    let sides = layout.columns().sides(client.name(), server.name(), 0);
    let _ = writeln!(
        text,
        "{:BEFORE$}{style}{}{style:#}",
        "",
        sides.unwrap_or_default()
    );
}

fn explanation(text: &mut String, reset: &str, layout: Layout) {
    const INDENT: usize = 4;
    for line in reset.lines() {
        // Continuation lines are indented by two more, for which room is left in every line.
        let deeper = line.len() - line.trim_start().len();
        for (nth, part) in wrap(line.trim_start(), layout.width - INDENT - deeper - 2)
            .iter()
            .enumerate()
        {
            let indent = INDENT + deeper + if nth == 0 { 0 } else { 2 };
            let _ = writeln!(text, "{:indent$}{part}", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_named_by_number_or_ends() {
        let between = |one: &str, other: &str| {
            Ok(Which::Between(one.parse().unwrap(), other.parse().unwrap()))
        };
        assert_eq!("7".parse(), Ok(Which::Frame(7)));
        assert_eq!(
            "10.0.0.1:80-10.0.0.2:9".parse(),
            between("10.0.0.1:80", "10.0.0.2:9")
        );
        assert_eq!("[::1]:80-[::2]:9".parse(), between("[::1]:80", "[::2]:9"));
        for wrong in ["0", "", "-1", "10.0.0.1-10.0.0.2", "::1:80-::2:9", "x"] {
            assert!(wrong.parse::<Which>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_may_go_back() {
        let at = |ns| time(Timestamp(ns), Timestamp(5_000_000_000));
        assert_eq!(at(6_000_001_999), "1.000001");
        assert_eq!(at(4_999_000_000), "-0.001000");
    }
}
