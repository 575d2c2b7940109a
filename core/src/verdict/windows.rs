//! Whether each step of a script happened within its window.
//!
//! A script means its steps to follow each other at once, or to wait for one thing. If more time passes, because the process was
//! stopped, the machine paused or its CPUs overloaded, the kernel's timers run all the same: it retransmits, gives up,
//! acknowledges, and what the trial does then is no longer what the scenario predicts. Such a trial proves nothing against the
//! scenario. Where nothing differs from the scenario, the time that passed did not matter.
//!
//! All of it is read off the times of the calls, of the steps between them and of the segments that these waited for: what passes
//! between two steps, and in a step that waits for nothing, is added up. The time that a wait in vain takes is meant: an RST that
//! does not come is never excused by the time that was spent waiting for it.

use std::time::Duration;

use crate::evidence::{Evidence, StepTimes};
use crate::packet::Packet;
use crate::scenario::{Awaited, CALL_BOUND, FRAME_BOUND, Network, STEP_WINDOW, Scenario, Step};
use crate::time::Timestamp;
use crate::transcript::{Call, Op, Outcome};

/// The script came to this step too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Which step.
    pub step: Which,
    /// How much time had passed till then that the script does not mean, in milliseconds.
    pub lost_ms: u64,
    /// How much of that there may be, in milliseconds.
    pub window_ms: u64,
}

/// A step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// A call: index into the transcript.
    Call(usize),
    /// Another step: index into the script. One more than it has stands for what follows the last: the counters are read.
    Other(usize),
}

/// The first step that the script came to too late.
#[must_use]
pub fn missed(scenario: &Scenario, evidence: &Evidence) -> Option<Missed> {
    walk(scenario, evidence).err()
}

fn walk(scenario: &Scenario, evidence: &Evidence) -> Result<(), Missed> {
    let waits_for_timers = scenario.waits_for_timers();
    let mut clock = Clock {
        before: Some(evidence.began),
        lost: Duration::ZERO,
    };
    let mut calls = evidence.calls.iter().enumerate();
    let mut begun: Vec<&Call> = Vec::new();
    for (nth, step) in scenario.steps.iter().enumerate() {
        match *step {
            Step::Call(..) => {
                let Some((index, call)) = calls.next() else {
                    break;
                };
                let meant = meant_of_call(call, waits_for_timers, evidence);
                clock.pass(Which::Call(index), (call.began, call.ended), meant)?;
            }
            Step::Begin(..) => {
                let Some((index, call)) = calls.next() else {
                    break;
                };
                clock.pass(Which::Call(index), (call.began, call.began), Duration::ZERO)?;
                begun.push(call);
            }
            // How long its owner has waited for it is not known; the next step shows it.
            Step::End(role) => {
                if let Some(place) = begun.iter().position(|call| call.role == role) {
                    clock.before = clock.before.max(Some(begun.remove(place).ended));
                }
            }
            Step::Others(_)
            | Step::Await(_)
            | Step::Inject(_)
            | Step::InjectIcmp(_)
            | Step::Happens(_) => {
                clock.pass_other(nth, evidence, |times| meant_of_step(*step, times))?;
            }
        }
    }
    // If counters are read late, timers may have moved them. What marks the end of a trial between hosts has to find its way first.
    let meant = match scenario.network {
        Network::Loopback => Duration::ZERO,
        Network::Link | Network::Routed => FRAME_BOUND,
    };
    clock.pass_other(scenario.steps.len(), evidence, |_| meant)
}

/// The call, if there is one, that closed a socket whose FIN was acknowledged before it had returned, where the script sends
/// something to what is left of that socket. A kernel that takes the acknowledgment in while `close()` still holds the
/// socket keeps it whole in FIN-WAIT-2 (`tcp_rcv_state_process()`, where it finds `sock_owned_by_user()`), and it answers otherwise
/// then.
pub(super) fn met_in_close(scenario: &Scenario, evidence: &Evidence) -> Option<usize> {
    let mut steps = scenario.steps.iter().enumerate();
    steps.find_map(|(nth, step)| {
        let Step::Await(Awaited::FinAckedBy(role)) = *step else {
            return None;
        };
        let mut next = scenario.steps[nth..].iter();
        let sends = match next.find(|it| !matches!(it, Step::Await(_)))? {
            Step::Call(caller, Op::Write(_), _) => *caller == role,
            Step::Inject(forged) => forged.from == role,
            _ => false,
        };
        let made = scenario.steps[..nth].iter();
        let made = made.filter(|step| matches!(step, Step::Call(..) | Step::Begin(..)));
        let closes = |call: &Call| call.role == role.peer() && call.op == Op::Close;
        let call = evidence.calls.iter().take(made.count()).position(closes)?;
        let times = evidence.steps.iter().find(|it| it.step == nth)?;
        (sends && times.shown? < evidence.calls[call].ended).then_some(call)
    })
}

/// The time that a script has lost.
struct Clock {
    /// When the step before had ended, if that is known.
    before: Option<Timestamp>,
    /// What has passed and was not meant.
    lost: Duration,
}

impl Clock {
    /// A step that began and ended then, and may have waited for so long.
    fn pass(
        &mut self,
        step: Which,
        (began, ended): (Timestamp, Timestamp),
        meant: Duration,
    ) -> Result<(), Missed> {
        let before = self.before.replace(ended).unwrap_or(began);
        let lost = span(before, began) + span(began, ended).saturating_sub(meant);
        self.lost += lost;
        let ms = |time: Duration| time.as_millis().try_into().unwrap_or(u64::MAX);
        if self.lost <= STEP_WINDOW {
            return Ok(());
        }
        Err(Missed {
            step,
            lost_ms: ms(self.lost),
            window_ms: ms(STEP_WINDOW),
        })
    }

    /// Step number `nth`, which is no call.
    fn pass_other(
        &mut self,
        nth: usize,
        evidence: &Evidence,
        meant: impl Fn(&StepTimes) -> Duration,
    ) -> Result<(), Missed> {
        let Some(times) = evidence.steps.iter().find(|it| it.step == nth) else {
            // Evidence that an earlier version has saved does not say.
            self.before = None;
            return Ok(());
        };
        let meant = meant(times);
        self.pass(Which::Other(nth), (times.began, times.ended), meant)
    }
}

/// How long this call is meant to take at most.
fn meant_of_call(call: &Call, waits_for_timers: bool, evidence: &Evidence) -> Duration {
    let waits = matches!(
        call.op,
        Op::Connect
            | Op::Accept
            | Op::Read(_)
            | Op::Peek(_)
            | Op::Write(_)
            | Op::WriteUrgent
            | Op::Close
    );
    match call.outcome {
        _ if !waits => Duration::ZERO,
        // It has waited for what did not come.
        Outcome::Unfinished => latest_bound(),
        _ if waits_for_timers => Duration::MAX,
        // Until the segment came that it waited for: when the kernel sends that is what is judged.
        _ => {
            let within = |at: &Timestamp| (call.began..=call.ended).contains(at);
            let segments = evidence.packets.iter().filter_map(|packet| match packet {
                Packet::Tcp(segment) => Some(segment.at),
                _ => None,
            });
            let latest = segments.filter(within).max();
            latest.map_or(Duration::ZERO, |at| span(call.began, at))
        }
    }
}

/// What a call's bound may come to: the kernel's timers are late by up to an eighth of their time (kernel/time/timer.c, "the levels
/// of the wheel").
fn latest_bound() -> Duration {
    CALL_BOUND + CALL_BOUND / 8
}

/// The time between two points, none if the second one is earlier.
fn span(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::from_nanos(later.since(earlier).try_into().unwrap_or(0))
}

/// How long this step is meant to take at most.
fn meant_of_step(step: Step, times: &StepTimes) -> Duration {
    let awaited = match step {
        Step::Await(awaited) => awaited,
        // Whoever finds no room in a queue waits for it. And a network is changed while no timer runs.
        Step::Others(_) | Step::Happens(_) => return CALL_BOUND,
        _ => return Duration::ZERO,
    };
    let until = |shown: Timestamp| span(times.began, shown);
    match (times.gave_up, times.shown) {
        (true, None) => awaited.bound(),
        // It was captured, and did not get to the socket.
        (true, Some(shown)) => until(shown) + latest_bound(),
        (false, None) if awaited.is_up_to_timers() => Duration::MAX,
        (false, None) => Duration::ZERO,
        (false, Some(shown)) => until(shown),
    }
}
