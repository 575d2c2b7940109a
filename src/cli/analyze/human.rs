//! Texts of `rstproof analyze` for people: the words and the explanation of each failure.

mod failures;
pub(super) mod summary;
pub(super) mod text;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use self::failures::{fill_failed, went_on};
use super::facts::Facts;
use super::join::elsewhere as other_points;
use super::renderer::{Item, Renderer, View};
use super::screen::{Look, MAX_EXPLAINED, Row, Screen};
use super::selection::Selection;
use crate::report::human::{BAD, GOOD, LABEL, grouped};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::icmp::{Effect, IcmpRecord};
use rstproof_core::analyze::json::process_name;
use rstproof_core::analyze::{
    Cause, Connection, ErrnoElsewhere, Event, Preceded, RequiredAction, ResetRecord, SenderVerdict,
    Stack, Supports, System, Weight, errno_elsewhere, errno_on, story,
};
use rstproof_core::file::TextClock;
use rstproof_core::flow::State;
use rstproof_core::printable::printable;
use rstproof_core::transcript::Role;

/// Text for people.
pub(super) struct Human {
    pub(super) look: Look,
    pub(super) selection: Selection,
    /// Options that select, as the user wrote them.
    pub(super) selected_by: String,
    /// True once the failures of the current capture are too many to be explained one by one.
    pub(super) is_crowded: Arc<AtomicBool>,
    /// True if the current capture is shown while it is read.
    pub(super) is_live: AtomicBool,
    /// Number of failures of the current capture that are explained.
    pub(super) explained: AtomicUsize,
}

impl Human {
    /// Returns true if a failure may be shown by itself.
    fn needs_text(&self, facts: &Facts) -> bool {
        // Most of the time goes into texts, and those of failures that are counted in groups are not shown.
        let is_crowded = !self.lists_all() && self.is_crowded.load(Ordering::Relaxed);
        !self.look.quiet && !is_crowded && self.selection.may_show(facts)
    }

    /// Returns true if the next failure that may be shown by itself may be explained.
    fn needs_explanation(&self) -> bool {
        let is_list = self.look.list || self.is_live.load(Ordering::Relaxed);
        let explains_all = self.look.verbose;
        let explained = || self.explained.fetch_add(1, Ordering::Relaxed);
        explains_all || !is_list && explained() < MAX_EXPLAINED
    }

    fn lists_all(&self) -> bool {
        self.look.lists_all() || self.is_live.load(Ordering::Relaxed)
    }
}

impl Renderer for Human {
    fn is_for_people(&self) -> bool {
        true
    }

    fn heading(&self, files: &FileNames) -> Option<String> {
        Some(format!("{LABEL}{}{LABEL:#}:", summary::title(files)))
    }

    fn event(&self, files: &FileNames, event: Event<'_>) -> Option<Item> {
        if let Event::Connection(connection) | Event::Failed(connection) = event {
            let failure = connection.failure.as_ref();
            // A failure that was shown when it happened is not repeated at the end.
            if matches!(event, Event::Connection(_)) && connection.was_failure_reported {
                let correction = || Item::Correction(went_on(files, connection));
                return failure.is_none().then(correction);
            }
            failure.filter(|it| !it.kind.has_own_row())?;
        }
        let facts = Facts::of(event);
        let mut row = Row {
            words: String::new(),
            condition: String::new(),
            frame: String::new(),
            body: String::new(),
            facts,
        };
        if self.needs_text(&row.facts) {
            let explains = self.needs_explanation().then_some(self.look.verbose);
            match event {
                Event::Reset(connection, record) => {
                    fill_reset(&mut row, files, connection, record, explains);
                }
                Event::Icmp(connection, record) => {
                    fill_icmp(&mut row, files, connection, record, explains);
                }
                Event::Connection(connection) | Event::Failed(connection) => {
                    if let Some(failure) = &connection.failure {
                        fill_failed(&mut row, files, connection, failure, explains);
                    }
                }
            }
        }
        Some(Item::Failure(Box::new(row)))
    }

    fn view(&self, is_live: bool, clock: TextClock) -> Box<dyn View> {
        // The captures before may have had many failures.
        self.is_crowded.store(false, Ordering::Relaxed);
        self.explained.store(0, Ordering::Relaxed);
        self.is_live.store(is_live, Ordering::Relaxed);
        let look = Look {
            is_live,
            clock,
            ..self.look.clone()
        };
        let selected_by = self.selected_by.clone();
        let is_crowded = Arc::clone(&self.is_crowded);
        Box::new(Screen::new(
            look,
            self.selection.clone(),
            selected_by,
            is_crowded,
        ))
    }
}

/// Formats a number with thousands separators: `399,600`.
pub(super) fn in_digits(number: u64) -> String {
    grouped(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Adds the texts of an RST to its row, with the explanation if `explains` is given: whether it has every detail.
fn fill_reset(
    row: &mut Row,
    files: &FileNames,
    connection: &Connection<'_>,
    record: &ResetRecord,
    explains: Option<bool>,
) {
    let (reset, explanation) = (&record.reset, &record.explanation);
    let label = row.facts.label;
    let (from, receiver) = (reset.from, reset.from.peer());
    let sender = match record.sender().verdict {
        SenderVerdict::LikelyEndpoint => format!("RST probably sent by the {from}"),
        SenderVerdict::Unknown => format!("RST from the address of the {from}"),
        SenderVerdict::Doubtful => format!("RST in the name of the {from}"),
    };
    let words = match explanation.cause {
        Some(Cause::ThirdParty) => {
            format!("third-party: RST probably sent by a third party in the name of the {from}")
        }
        _ => format!("{}: {}; {sender}", label.name(), label.meaning()),
    };
    let mut condition = match (explanation.errno, explanation.required_action) {
        (Some(errno), _) => (explanation.errno_condition)
            .map_or_else(String::new, |it| format!("; {errno} {}", it.meaning())),
        (None, RequiredAction::Drop) => format!("; the {receiver} ignores it"),
        (None, RequiredAction::Challenge) => format!("; the {receiver} challenges it"),
        (None, RequiredAction::NotDelivered) => format!("; it did not reach the {receiver}"),
        (None, RequiredAction::Accept | RequiredAction::Unknown) => String::new(),
    };
    if let Some(frame) = record.assumes_forged {
        let frame = files.frame(frame);
        let _ = write!(
            condition,
            "; if the {receiver} did not send the RST in {frame}"
        );
    }
    (row.words, row.condition) = (words, condition);
    row.frame = files.frame(reset.frame);
    if let Some(verbose) = explains {
        row.body = reset_body(files, connection, record, verbose);
    }
}

/// Adds the texts of an ICMP error to its row.
fn fill_icmp(
    row: &mut Row,
    files: &FileNames,
    connection: &Connection<'_>,
    record: &IcmpRecord,
    explains: Option<bool>,
) {
    let condition = record.errno_if();
    let errno = record.errno.map_or_else(String::new, |it| it.to_string());
    row.words = icmp_words(files, record);
    row.condition = condition.map_or_else(
        || format!("; {}", icmp_effect(record)),
        |it| format!("; {errno} {it}"),
    );
    row.frame = files.frame(record.frame);
    if explains.is_some() {
        row.body = icmp_body(files, connection, record);
    }
}

/// Returns the explanation of an RST with a heading: its frame, its addresses and its cause.
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
    let cause = explanation
        .cause
        .map_or("cause unknown", |cause| cause.id());
    let name = if record.sender().is_doubtful() {
        "sent in the name of "
    } else {
        ""
    };
    format!(
        "{LABEL}{}{LABEL:#}  {name}{from} → {to}  {cause}\n{}",
        files.frame(reset.frame),
        reset_body(files, connection, record, verbose)
    )
}

/// Returns the explanation of an RST. Unless `verbose`, indicators that do not point to injection with at least
/// moderate weight and further details are left out.
fn reset_body(
    files: &FileNames,
    connection: &Connection<'_>,
    record: &ResetRecord,
    verbose: bool,
) -> String {
    let (reset, explanation) = (&record.reset, &record.explanation);
    let receiver = reset.from.peer();
    let elsewhere = errno_elsewhere(explanation.errno, reset.receiver_state);
    let mut text = String::new();
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
    text += &lines_of(files, story::of_reset(connection, record));
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
        let shown = [Some(reset.frame), reset.triggered_by];
        text += &comments(files, connection, |it| shown.contains(&Some(it)));
        let name = |role| connection.stack(role).map_or("unknown", Stack::name);
        let form = reset.form.map_or("unknown", |form| form.name());
        let _ = writeln!(text, "  form: {form}");
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

/// Returns the lines of a story: each sentence in one, with the frames as they are named here.
fn lines_of(files: &FileNames, story: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for sentence in story {
        let sentence = files.localized(&sentence);
        let _ = match sentence.split_once(": ") {
            Some((command, advice)) if command.starts_with("rstproof explain ") => {
                writeln!(text, "  {LABEL}{command}{LABEL:#}: {advice}")
            }
            _ => writeln!(text, "  {sentence}"),
        };
    }
    text
}

/// Returns the line about the failure of another connection that may have led to this one.
pub(super) fn preceded(files: &FileNames, preceded: &Preceded) -> String {
    lines_of(files, [preceded.sentence()])
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

/// Returns the explanation of an ICMP error with a heading.
#[must_use]
pub(super) fn icmp(files: &FileNames, connection: &Connection<'_>, record: &IcmpRecord) -> String {
    let (from, to) = (
        connection.socket(record.to),
        connection.socket(record.to.peer()),
    );
    format!(
        "{LABEL}{}{LABEL:#}  {}  {from} → {to}\n{}",
        files.frame(record.frame),
        icmp_words(files, record),
        icmp_body(files, connection, record)
    )
}

/// Returns the message of an ICMP error, its sender and the segment that it is about.
fn icmp_words(files: &FileNames, record: &IcmpRecord) -> String {
    let (kind, quoted) = (record.kind, files.localized(&record.quoted()));
    let version = if kind.is_v6 { "ICMPv6" } else { "ICMP" };
    format!(
        "{version} {} ({}/{}) from {}, about {quoted}",
        kind.name(),
        kind.kind,
        kind.code,
        record.source,
    )
}

/// Returns the effect of an ICMP error: a clause.
fn icmp_effect(record: &IcmpRecord) -> String {
    let receiver = record.to.name();
    match record.effect {
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
    }
}

/// Returns the explanation of an ICMP error.
fn icmp_body(files: &FileNames, connection: &Connection<'_>, record: &IcmpRecord) -> String {
    let (receiver, what) = (record.to.name(), icmp_effect(record));
    let state = match record.state {
        State::Closed | State::Listen => String::new(),
        state => format!(" in {state}"),
    };
    let outcome = match record.errno {
        Some(errno) => format!("  → {BAD}{errno:?}{BAD:#}"),
        None if record.effect == Effect::Unknown => "  → error unknown".to_owned(),
        None => "  → no error".to_owned(),
    };
    let mut text = format!("  {what}{state}{outcome}\n");
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
    text += &lines_of(files, story::of_icmp(record));
    text += &processes(connection);
    text
}

/// Returns lines with the comments of the file on frames of the connection: quotations, on which nothing is built.
pub(super) fn comments(
    files: &FileNames,
    connection: &Connection<'_>,
    is_shown: impl Fn(u32) -> bool,
) -> String {
    let mut text = String::new();
    for comment in connection.comments.iter().filter(|it| is_shown(it.frame)) {
        let quoted = printable(&comment.text).replace('"', "\\\"");
        let frame = files.frame(comment.frame);
        let _ = writeln!(text, "  comment in the file on {frame}: \"{quoted}\"");
    }
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
