//! Tests of the catalogue as a whole.

use super::*;
use crate::history::Kernel;

/// Returns every form of every scenario, on any kernel.
fn every_form() -> impl Iterator<Item = &'static Scenario> {
    ALL.iter().flat_map(|scenario| scenario.forms())
}

#[test]
fn a_form_of_another_kernel_is_of_the_same_scenario_and_has_a_source() {
    for scenario in ALL {
        for form in scenario.forms() {
            assert_eq!((form.id, form.topic), (scenario.id, scenario.topic));
            assert_eq!(form.families, scenario.families, "{}", scenario.id);
            assert_eq!(form.slow, scenario.slow, "{}", scenario.id);
        }
        for patch in scenario.patches() {
            let (commit, title) = patch.commit;
            assert!(commit.len() == 12 && !title.is_empty(), "{}", patch.id);
            assert!(
                !patch.since.is_empty() && patch.description.ends_with('.'),
                "{}",
                patch.id
            );
        }
    }
}

/// Up to Linux 6.4, a segment that a call sends on loopback may arrive after the call has returned (d15121be7485).
/// So the first call that reports an RST is one that waits for it, or the script has waited for more than a FIN
/// before.
#[test]
fn the_first_call_that_reports_an_rst_has_waited_for_it() {
    for scenario in every_form() {
        let (mut may_block, mut has_waited) = (true, false);
        for step in scenario.steps {
            match *step {
                Step::Await(Awaited::FinFrom(_) | Awaited::FinAckedBy(_)) => {}
                Step::Await(_) | Step::End(_) => has_waited = true,
                Step::Call(_, Op::NonBlocking, _) => may_block = false,
                Step::Call(_, op, expect)
                    if matches!(expect.cause(), Some(ExpectedCause::Reset(_))) =>
                {
                    // With TCP Fast Open, a write waits for the answer to its SYN.
                    let waits = matches!(op, Op::Read(_) | Op::Peek(_) | Op::Connect)
                        || scenario.calls().any(|(_, op, _)| op == Op::FastOpenConnect);
                    assert!(has_waited || (may_block && waits), "{}: {op}", scenario.id);
                    has_waited = true;
                }
                _ => {}
            }
        }
    }
}

/// Each form is selected on some kernel, and a current kernel selects only the forms of the catalogue itself.
#[test]
fn a_form_is_selected_by_the_patches_of_the_kernel() {
    let on = |release: &str| Kernel::of("Linux", release, "");
    for scenario in ALL {
        assert!(
            std::ptr::eq(scenario.on(on("7.3.4")), *scenario),
            "{}",
            scenario.id
        );
    }
    let title = |id: &str, release: &str| find(id).unwrap().on(on(release)).title;
    let before = title("mptcp-linger-zero-close", "6.18.15");
    assert!(before.ends_with("no RST"), "{before}");
    assert!(title("mptcp-linger-zero-close", "6.18.30").contains("MP_FASTCLOSE"));
    // Linux 6.16 lacks two changes of one scenario: the first that applies is used.
    let unread = find("mptcp-close-unread-data").unwrap();
    assert_eq!(unread.on(on("6.16.12")).resets[0].reason, "TCP_STATE");
    let (older, old) = (unread.on(on("6.17.13")), unread.on(on("6.18.9")));
    assert_eq!(older.resets[0].reason, "TCP_ABORT_ON_CLOSE");
    assert_eq!((older.unreported, old.unreported), (&[5][..], &[][..]));
}

#[test]
fn ids_are_unique_kebab_case_and_grouped_by_topic() {
    for (index, scenario) in ALL.iter().enumerate() {
        assert!(
            scenario
                .id
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "{}",
            scenario.id
        );
        assert!(
            ALL[..index].iter().all(|other| other.id != scenario.id),
            "{} twice",
            scenario.id
        );
    }
    assert!(ALL.windows(2).all(|pair| pair[0].topic <= pair[1].topic));
}

#[test]
fn every_accepted_rst_is_reported_once_and_every_cause_exists() {
    for scenario in every_form() {
        // An accepted RST that some call must report.
        let accepted = |reset: &ExpectedReset| {
            reset.disposition == Disposition::Accepted
                && scenario.raw != Some(reset.from.peer())
                && scenario.calls().any(|(role, ..)| role == reset.from.peer())
        };
        let mut reported = vec![false; scenario.resets.len()];
        for (_, _, expect) in scenario.calls() {
            match expect.cause() {
                Some(ExpectedCause::Reset(reset)) => {
                    assert!(
                        !reported[reset],
                        "{}: RST {reset} is reported twice",
                        scenario.id
                    );
                    reported[reset] = true;
                }
                Some(ExpectedCause::AfterReset(reset) | ExpectedCause::OwnReset(reset)) => {
                    assert!(reset < reported.len(), "{}", scenario.id);
                }
                _ => {}
            }
        }
        let unreported = scenario
            .resets
            .iter()
            .zip(reported)
            .filter(|(_, reported)| !reported);
        let silent = scenario.raw.is_some() || scenario.needs().forgery;
        assert!(
            silent || unreported.into_iter().all(|(reset, _)| !accepted(reset)),
            "{}",
            scenario.id
        );
    }
}
