//! Explanation of a scenario: its story, the ladder of its script, and the expected packets and kernel events.

use std::fmt::Write as _;

use super::columns::Columns;
use super::human::{LABEL, wrap};
use rstproof_core::flow::Form;
use rstproof_core::kernel::reason;
use rstproof_core::packet::Flags;
use rstproof_core::scenario::{
    Awaited, Change, Disposition, Expect, ExpectedCause, ExpectedReset, Forged, Number, On, Op,
    Role, Scenario, Sender, Stamp, Step,
};

/// Width of a text in columns, after an indent of two.
const WIDTH: usize = 76;

/// Columns of the ladder, after the same indent.
const COLUMNS: Columns = Columns { width: WIDTH };

/// Returns the explanation of a scenario, with styles; ends with a newline.
#[must_use]
pub fn text(scenario: &Scenario) -> String {
    let mut out = format!("{LABEL}{}{LABEL:#}\n", scenario.id);
    paragraph(&mut out, scenario.title);
    out.push('\n');
    paragraph(&mut out, scenario.story);
    let sides = COLUMNS.sides("client", "server", 2).unwrap_or_default();
    let _ = writeln!(out, "\n{LABEL}  {sides}{LABEL:#}");
    for row in ladder(scenario) {
        let _ = writeln!(out, "  {}", row.trim_end());
    }
    let _ = writeln!(out, "\n{LABEL}Expected packets{LABEL:#}");
    for reset in scenario.resets {
        paragraph(&mut out, &reset_line(*reset));
    }
    if scenario.resets.is_empty() {
        paragraph(&mut out, "no RST of this connection");
    }
    let _ = writeln!(out, "\n{LABEL}Expected kernel events{LABEL:#}");
    for reset in scenario.resets {
        paragraph(&mut out, &origin_line(*reset));
    }
    if scenario.resets.is_empty() {
        paragraph(&mut out, "trace: no RST sent");
    }
    paragraph(&mut out, &counters_line(scenario));
    let exemptions = scenario.exemptions();
    if exemptions.iter().next().is_some() {
        let _ = writeln!(out, "\n{LABEL}Exemptions from the checks{LABEL:#}");
    }
    for exemption in exemptions.iter() {
        paragraph(&mut out, &exemption.to_string());
    }
    if !scenario.otherwise.is_empty() {
        let _ = writeln!(out, "\n{LABEL}Other kernels{LABEL:#}");
    }
    for other in scenario.otherwise {
        let whose = match other.on {
            On::With(_) => "with",
            On::Without(_) => "without",
        };
        let (patch, title) = (other.on.patch(), other.is.title);
        let text = format!("{whose} {}: {title}. {}", patch.source(), patch.description);
        paragraph(&mut out, &text);
    }
    let _ = writeln!(out, "\n{LABEL}Other systems{LABEL:#}");
    paragraph(&mut out, scenario.elsewhere);
    let _ = writeln!(out, "\n{LABEL}What to do{LABEL:#}");
    paragraph(&mut out, scenario.advice);
    let _ = writeln!(
        out,
        "\n{LABEL}Try it{LABEL:#}\n  rstproof run {}",
        scenario.id
    );
    if let Some(needs) = needs(scenario) {
        let _ = writeln!(out, "  ({needs})");
    }
    out
}

/// Returns the remarks on a scenario: facilities that not every host has, and slowness. `None` if there are none.
#[must_use]
pub fn needs(scenario: &Scenario) -> Option<String> {
    let slow = scenario.slow.then_some("slow: only with --all or by name");
    let needs = scenario.multipath.then_some("needs Multipath TCP");
    let remarks: Vec<&str> = needs.into_iter().chain(slow).collect();
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

fn paragraph(out: &mut String, text: &str) {
    for line in wrap(text, WIDTH) {
        let _ = writeln!(out, "  {line}");
    }
}

/// Returns the lines of the ladder: calls of the client on the left and of the server on the right, and each RST before
/// the first step that depends on it.
fn ladder(scenario: &Scenario) -> Vec<String> {
    let mut rows = Vec::new();
    let mut shown = vec![false; scenario.resets.len()];
    let mut begun = Vec::new();
    for step in scenario.steps {
        // `connect` waits for the reply that it triggers, so the RST is shown between its beginning and its end.
        let waits =
            matches!(step, Step::Call(_, Op::Connect, expect) if reset_of(*expect).is_some());
        if let (Step::Call(role, op, _), true) = (step, waits) {
            rows.push(on_side(*role, &format!("{op} …")));
        }
        for (nth, reset) in scenario.resets.iter().enumerate() {
            // An injected RST has an arrow of its own, at its step.
            if scenario.forges(reset.from) && reset.sender == Sender::Injected {
                shown[nth] = true;
            } else if !shown[nth] && shows(step, &begun, nth, *reset) {
                rows.push(reset_arrow(*reset));
                shown[nth] = true;
            }
        }
        match *step {
            Step::Call(role, op, expect) => {
                let goes_on = if waits { "… " } else { "" };
                rows.push(on_side(
                    role,
                    &format!("{goes_on}{op} {}", expectation(expect)),
                ));
            }
            Step::Begin(role, op, expect) => {
                rows.push(on_side(role, &format!("{op} …")));
                begun.push((role, op, expect));
            }
            Step::End(role) => {
                if let Some(place) = begun.iter().position(|(of, _, _)| *of == role) {
                    let (_, op, expect) = begun.remove(place);
                    rows.push(on_side(role, &format!("… {op} {}", expectation(expect))));
                }
            }
            Step::Others(count) => {
                rows.push(between(&format!(
                    "{count} other clients connect and stay connected"
                )));
            }
            Step::Await(awaited) => {
                rows.push(between(&format!("wait until {}", awaited_text(awaited))));
            }
            Step::Inject(forged) => rows.push(forged_arrow(forged)),
            Step::Happens(change) => rows.push(between(change_text(change))),
            Step::InjectIcmp(forged) => {
                let text = format!("ICMP {} quoting it", icmp_kinds(forged.ipv4, forged.ipv6));
                rows.push(COLUMNS.arrow(forged.to.peer(), &text));
            }
        }
    }
    // RSTs that no step depends on come last.
    let rest = scenario
        .resets
        .iter()
        .zip(shown)
        .filter(|(_, shown)| !shown);
    rows.extend(rest.map(|(reset, _)| reset_arrow(*reset)));
    rows
}

/// Returns true if the step returns the error of this RST or waits for the RST. `begun` are the calls in progress.
fn shows(step: &Step, begun: &[(Role, Op, Expect)], nth: usize, reset: ExpectedReset) -> bool {
    match *step {
        Step::Call(_, _, expect) => reset_of(expect) == Some(nth),
        Step::End(role) => begun
            .iter()
            .any(|(of, _, expect)| *of == role && reset_of(*expect) == Some(nth)),
        Step::Await(Awaited::ResetFrom(role)) => role == reset.from,
        Step::Await(Awaited::AnswerFrom(role)) => {
            role == reset.from && reset.sender != Sender::Injected
        }
        _ => false,
    }
}

/// Returns the index of the RST that causes the expected error of a call, if one does.
fn reset_of(expect: Expect) -> Option<usize> {
    match expect.cause()? {
        ExpectedCause::Reset(nth)
        | ExpectedCause::AfterReset(nth)
        | ExpectedCause::OwnReset(nth) => Some(nth),
        _ => None,
    }
}

fn on_side(role: Role, text: &str) -> String {
    format!("{:indent$}{text}", "", indent = COLUMNS.indent(role, text))
}

fn between(text: &str) -> String {
    COLUMNS.between(&format!("({text})"))
}

fn reset_arrow(reset: ExpectedReset) -> String {
    let flags = match reset.form {
        Some(Form::Passive) | None => "R",
        Some(Form::Active | Form::PassiveAck) => "R.",
    };
    let reason = match reset.sender {
        Sender::Firewall => "by the firewall",
        Sender::Injected => "forged",
        _ => reset.reason,
    };
    COLUMNS.arrow(reset.from, &format!("{flags} {reason}"))
}

/// Returns the arrow of an injected segment, with the offsets of its numbers from the expected ones.
fn forged_arrow(forged: Forged) -> String {
    let off = |number: Number, what: &str| match number {
        Number::Next(0) => String::new(),
        Number::Next(off) => format!(" {what}{off:+}"),
        Number::Exactly(number) => format!(" {what}={number}"),
    };
    let ack = if forged.flags.has(Flags::ACK) {
        off(forged.ack, "ack")
    } else {
        String::new()
    };
    let len = match forged.len {
        0 => String::new(),
        len => format!(" ({len})"),
    };
    let stamp = match forged.stamp {
        Stamp::None => String::new(),
        Stamp::Off { value, echo } => format!(" ts{value:+}/{echo:+}"),
        Stamp::Join => " MP_JOIN".to_owned(),
    };
    let seq = off(forged.seq, "seq");
    let text = format!("{}{seq}{ack}{len}{stamp} forged", forged.flags);
    COLUMNS.arrow(forged.from, &text)
}

/// Formats type and code of an ICMP error over both families.
fn icmp_kinds(ipv4: (u8, u8), ipv6: (u8, u8)) -> String {
    format!("{}/{} (IPv6: {}/{})", ipv4.0, ipv4.1, ipv6.0, ipv6.1)
}

fn change_text(change: Change) -> &'static str {
    match change {
        Change::ServerReboots => "another host takes over the server's address",
        Change::ServerAddressGone => "no host has the server's address any more",
        Change::ClientAddressGone => "the client's host loses its address",
        Change::ServerLinkDown => "the server's link goes down",
    }
}

fn awaited_text(awaited: Awaited) -> String {
    match awaited {
        Awaited::DataFrom(role) => format!("the {role}'s data has arrived"),
        Awaited::Gone(role) => format!("the {role}'s socket no longer exists"),
        Awaited::Dead(role) => format!("a timer ends the {role}'s connection"),
        Awaited::SynFrom(role) => format!("the {role}'s SYN is captured"),
        Awaited::AnswerFrom(role) => format!("the {role} has replied"),
        Awaited::AgainFrom(role) => format!("the {role} retransmits or sends a probe"),
        Awaited::Established(role) => format!("the {role} is connected"),
        Awaited::Acknowledged(role) => format!("everything the {role} sent is acknowledged"),
        Awaited::Icmp => "the ICMP error is captured".to_owned(),
        Awaited::FinFrom(role) => format!("the {role}'s FIN is captured"),
        Awaited::FinAckedBy(role) => format!("the {role}'s ACK of the FIN is captured"),
        Awaited::ResetFrom(role) => format!("the {role}'s RST is captured"),
    }
}

fn expectation(expect: Expect) -> String {
    let why = match expect.cause() {
        None => "",
        Some(ExpectedCause::Reset(_)) => "  (because of the RST)",
        Some(ExpectedCause::AfterReset(_)) => "  (closed by the RST)",
        Some(ExpectedCause::OwnShutdown | ExpectedCause::OwnDisconnect) => "  (by its own call)",
        Some(ExpectedCause::OwnReset(_)) => "  (its own RST)",
        Some(ExpectedCause::NotConnected) => "  (not connected)",
        Some(ExpectedCause::NotListening) => "  (not listening)",
        Some(ExpectedCause::WouldBlock) => "  (non-blocking)",
        Some(ExpectedCause::TimedOut) => "  (timeout)",
        Some(ExpectedCause::Unanswered) => "  (no reply, and the kernel gave up)",
        Some(ExpectedCause::Icmp(_)) => "  (because of the ICMP error)",
        Some(ExpectedCause::Destroyed) => "  (socket destroyed from outside)",
        Some(ExpectedCause::NoRoute) => "  (no route)",
        Some(ExpectedCause::InUse) => "  (another thread is waiting on the socket)",
    };
    format!("= {expect}{why}")
}

/// Returns the expected kernel trace of an RST: its sender, and its reason with an explanation.
fn origin_line(reset: ExpectedReset) -> String {
    let from = reset.from;
    let who = match reset.sender {
        Sender::Socket => format!("RST sent by a {from} socket"),
        Sender::Kernel => format!("RST sent by the {from}'s kernel, for no socket"),
        Sender::Firewall => "RST sent by a firewall".to_owned(),
        Sender::Injected => "RST sent by a third party".to_owned(),
        Sender::Unknown => "RST sent by an unknown sender".to_owned(),
    };
    if reset.reason.is_empty() {
        return format!("trace: nothing ({who}, not by a kernel)");
    }
    let Some(reason) = reason::find(reset.reason) else {
        return format!("trace: {who} ({})", reset.reason);
    };
    let caveat = reason
        .caveat
        .map_or_else(String::new, |it| format!(" Note: {it}."));
    format!(
        "trace: {who}, reason {}: {}.{caveat}",
        reason.name, reason.meaning
    )
}

fn counters_line(scenario: &Scenario) -> String {
    let counters = scenario.counters.iter();
    let all: Vec<String> = counters.map(|(name, by)| format!("{name} +{by}")).collect();
    if all.is_empty() {
        return "counters: no counter of resets or failures increases".to_owned();
    }
    format!("counters: {}", all.join(", "))
}

fn reset_line(reset: ExpectedReset) -> String {
    let (from, victim, state) = (reset.from, reset.from.peer(), reset.receiver_state);
    let (form, effect) = (describe_form(reset.form), describe_effect(reset));
    format!("from the {from}: {form}; it finds the {victim} in {state}{effect}")
}

fn describe_form(form: Option<Form>) -> &'static str {
    match form {
        None => "RST in a form that no Linux kernel sends",
        Some(Form::Active) => "RST+ACK from a socket that aborts (with window and timestamps)",
        Some(Form::Passive) => {
            "RST without ACK, in reply to a segment with ACK (SEQ = its ACK, window 0)"
        }
        Some(Form::PassiveAck) => "RST+ACK in reply to a segment without ACK (SEQ 0, window 0)",
    }
}

/// Describes the effect of an RST on its receiver, as the end of a sentence; empty if there is none.
fn describe_effect(reset: ExpectedReset) -> String {
    match reset.disposition {
        Disposition::Accepted => reset
            .receiver_state
            .errno_of_reset()
            .map_or_else(String::new, |errno| format!(", which gives {errno}")),
        Disposition::Ignored => ", which must ignore it".to_owned(),
        Disposition::Challenged => ", which must reply with a challenge ACK".to_owned(),
        Disposition::Lost => ", but does not reach it".to_owned(),
        Disposition::DroppedAtSender => ", but is dropped before it can be captured".to_owned(),
    }
}
