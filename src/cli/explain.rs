//! `rstproof explain`: the story of a scenario, without running it.

use std::fmt::Write as _;
use std::io::Write as _;

use super::scenario_named;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::flow::Form;
use crate::report::human::{LABEL, wrap};
use crate::scenario::{Awaited, Cause, Expect, ExpectedReset, Scenario, Step};
use crate::transcript::Role;

const WIDTH: usize = 78;

pub(super) fn explain(id: &str) -> Result<ExitCode, Error> {
    let scenario = scenario_named(id)?;
    anstream::stdout()
        .write_all(text(scenario).as_bytes())
        .map_err(Error::output)?;
    Ok(ExitCode::Success)
}

fn text(scenario: &Scenario) -> String {
    let mut out = format!("{LABEL}{}{LABEL:#}\n", scenario.id);
    paragraph(&mut out, scenario.title);
    out.push('\n');
    paragraph(&mut out, scenario.story);
    let _ = writeln!(out, "\n{LABEL}what each call must return{LABEL:#}");
    for step in scenario.steps {
        let _ = writeln!(out, "  {}", step_line(step));
    }
    let _ = writeln!(out, "\n{LABEL}what must be on the wire{LABEL:#}");
    for reset in scenario.resets {
        paragraph(&mut out, &reset_line(*reset));
    }
    if scenario.resets.is_empty() {
        paragraph(&mut out, "no RST of this connection");
    }
    let _ = writeln!(out, "\n{LABEL}elsewhere{LABEL:#}");
    paragraph(&mut out, scenario.elsewhere);
    let _ = writeln!(out, "\n{LABEL}when you meet it{LABEL:#}");
    paragraph(&mut out, scenario.advice);
    let _ = writeln!(
        out,
        "\n{LABEL}see it happen{LABEL:#}\n  rstproof run {}",
        scenario.id
    );
    out
}

fn paragraph(out: &mut String, text: &str) {
    for line in wrap(text, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
}

fn step_line(step: &Step) -> String {
    match step {
        Step::Call(role, op, expect) => {
            let call = op.to_string();
            format!("{:<6}  {call:<27} {}", role.name(), expectation(*expect))
        }
        Step::Begin(role, op, expect) => {
            let call = op.to_string();
            format!(
                "{:<6}  {call:<27} {}   (blocks)",
                role.name(),
                expectation(*expect)
            )
        }
        Step::End(role) => format!("        (wait until the {role}'s blocked call returns)"),
        Step::Others(count) => format!("        ({count} other clients connect, and stay)"),
        Step::Await(Awaited::DataFrom(role)) => {
            format!("        (wait until the {role}'s data has arrived)")
        }
        Step::Await(Awaited::Gone(role)) => {
            format!("        (wait until nothing is left of the {role}'s socket)")
        }
        Step::Await(Awaited::Dead(role)) => {
            format!("        (wait until a timer ends the {role}'s connection)")
        }
        Step::Await(Awaited::SynFrom(role)) => {
            format!("        (wait until the {role}'s SYN is captured)")
        }
        Step::Await(Awaited::FinFrom(role)) => {
            format!("        (wait until the {role}'s FIN is captured)")
        }
        Step::Await(Awaited::FinAckedBy(role)) => {
            format!("        (wait until the {role}'s ACK of the FIN is captured)")
        }
        Step::Await(Awaited::ResetFrom(role)) => {
            format!("        (wait until the {role}'s RST is captured)")
        }
    }
}

fn expectation(expect: Expect) -> String {
    let why = match expect.cause() {
        None => "",
        Some(Cause::Reset(_)) => "   told of the RST",
        Some(Cause::AfterReset(_)) => "   dead since the RST",
        Some(Cause::OwnShutdown | Cause::OwnDisconnect) => "   its own doing",
        Some(Cause::OwnReset(_)) => "   its own RST",
        Some(Cause::NotConnected) => "   not connected",
        Some(Cause::NotListening) => "   not listening",
        Some(Cause::WouldBlock) => "   it does not wait",
        Some(Cause::TimedOut) => "   no answer in time",
    };
    format!("= {expect}{why}")
}

fn reset_line(reset: ExpectedReset) -> String {
    let (from, victim) = (reset.from, reset.from.peer());
    let form = match reset.form {
        Form::Active => "RST+ACK in the active form (a socket aborts: real window, timestamps)",
        Form::Passive => {
            "RST alone, in the passive form (answer to a segment with ACK: SEQ = its ACK, window 0)"
        }
        Form::PassiveAck => {
            "RST+ACK in the passive form (answer to a segment without ACK: SEQ 0, window 0)"
        }
    };
    let errno = reset
        .receiver_state
        .errno_of_reset()
        .map_or_else(String::new, |errno| format!(", which maps to {errno}"));
    let verb = match victim {
        Role::Client => "finds the client in",
        Role::Server => "finds the server in",
    };
    format!(
        "from the {from}: {form}; it {verb} {}{errno}",
        reset.receiver_state
    )
}
