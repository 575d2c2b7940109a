//! Check that each step of a script happened within its time window.
//!
//! Steps of a script follow each other at once or wait for one thing. If more time passes, because the process was
//! stopped, the machine paused or its CPUs overloaded, the kernel's timers run all the same: it retransmits, gives up
//! or acknowledges, and the trial no longer does what the scenario predicts. Such a trial proves nothing against the
//! scenario. If nothing differs from the scenario, the lost time did not matter.
//!
//! The lost time is computed from the times of the calls, of the steps between them and of the awaited segments: it is
//! the sum of the time between steps and in steps that wait for nothing. The time of a wait in vain is not lost time,
//! so the time spent waiting never excuses an RST that does not arrive.

use std::time::Duration;

use crate::evidence::{Evidence, StepTimes};
use crate::packet::Packet;
use crate::scenario::{
    Awaited, CALL_BOUND, Exemption, Expect, ExpectedCause, FRAME_BOUND, Network, STEP_WINDOW,
    Scenario, Step,
};
use crate::time::Timestamp;
use crate::transcript::{Call, Op, Outcome, Role};

/// Step that the script reached too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Step that came too late.
    pub step: Which,
    /// Time lost before the end of the step, in milliseconds: time in which the script does not wait for anything.
    pub lost_ms: u64,
    /// Maximum of lost time, in milliseconds.
    pub window_ms: u64,
}

/// Step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Call, by index into the transcript.
    Call(usize),
    /// Step other than a call, by index into the script. The index after the last step is the reading of the counters.
    Other(usize),
}

/// Returns the first step that the script reached too late, if any.
#[must_use]
pub fn missed(scenario: &Scenario, evidence: &Evidence) -> Option<Missed> {
    walk(scenario, evidence).err()
}

fn walk(scenario: &Scenario, evidence: &Evidence) -> Result<(), Missed> {
    let waits_for_timers = scenario.exemptions().has(Exemption::TimerWaits);
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
                let meant = if waits_for_timers && call.outcome != Outcome::Unfinished {
                    Duration::MAX
                } else {
                    wait_allowed_for_call(
                        call,
                        own_bound(call.role, &evidence.calls[..index]),
                        evidence,
                    )
                };
                clock.pass(Which::Call(index), (call.began, call.ended), meant)?;
            }
            Step::Begin(..) => {
                let Some((index, call)) = calls.next() else {
                    break;
                };
                clock.pass(Which::Call(index), (call.began, call.began), Duration::ZERO)?;
                begun.push(call);
            }
            // The time that its owner has waited for the call is unknown; the next step shows it.
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
                clock.pass_other(nth, evidence, |times| wait_allowed_for_step(*step, times))?;
            }
        }
    }
    // If counters are read late, timers may have changed them. The datagram that marks the end of a trial between hosts
    // has to cross the network first.
    let meant = match scenario.network {
        Network::Loopback => Duration::ZERO,
        Network::Link | Network::Routed => FRAME_BOUND,
    };
    clock.pass_other(scenario.steps.len(), evidence, |_| meant)
}

/// Returns the call, if any, that closed a socket whose FIN was acknowledged before the call returned, in a script that
/// then sends to the remains of that socket.
///
/// A kernel that processes the acknowledgment while `close()` still holds the socket keeps a full socket in FIN-WAIT-2
/// (`tcp_rcv_state_process()` on `sock_owned_by_user()`), which answers differently.
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
        // Only a call that began before the wait can have closed the socket.
        let made = scenario.steps[..nth].iter();
        let made = made.filter(|step| matches!(step, Step::Call(..) | Step::Begin(..)));
        let closes = |call: &Call| call.role == role.peer() && call.op == Op::Close;
        let call = evidence.calls.iter().take(made.count()).position(closes)?;
        let times = evidence.steps.iter().find(|it| it.step == nth)?;
        (sends && times.shown? < evidence.calls[call].ended).then_some(call)
    })
}

/// Returns the call, if any, that waited to its bound for a time-out of the kernel whose error the next call of the same end
/// reports: the error came when the bound was over.
///
/// Both are timers of one kernel, and that of the connection is due first. If the CPU that it is armed on does not run for a
/// while, as happens in a virtual machine, both expire at once, and the call finds its own bound
/// (`inet_wait_for_connect()`). A kernel that never gives up reports no error afterwards.
pub(super) fn timed_out_late(scenario: &Scenario, evidence: &Evidence) -> Option<usize> {
    let expected = scenario.steps.iter().filter_map(|step| match *step {
        Step::Call(_, _, expected) | Step::Begin(_, _, expected) => Some(expected),
        _ => None,
    });
    let mut calls = evidence.calls.iter().enumerate().zip(expected);
    calls.find_map(|((index, call), expected)| {
        let Expect::Fails(errno, ExpectedCause::TimedOut) = expected else {
            return None;
        };
        let mut later = evidence.calls.get(index + 1..)?.iter();
        let next = later.find(|it| it.role == call.role)?;
        let has_come =
            [Outcome::SocketError(Some(errno)), Outcome::Failed(errno)].contains(&next.outcome);
        (call.outcome == Outcome::Unfinished && has_come).then_some(index)
    })
}

/// Sum of the time that a script has lost.
struct Clock {
    /// Time at which the previous step ended, if known.
    before: Option<Timestamp>,
    /// Time lost so far.
    lost: Duration,
}

impl Clock {
    /// Adds the time lost before and in a step, which may wait for `meant`. Fails if the sum exceeds [`STEP_WINDOW`].
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

    /// Adds the time lost before and in step number `nth`, which is not a call.
    fn pass_other(
        &mut self,
        nth: usize,
        evidence: &Evidence,
        meant: impl Fn(&StepTimes) -> Duration,
    ) -> Result<(), Missed> {
        let Some(times) = evidence.steps.iter().find(|it| it.step == nth) else {
            // Evidence saved by earlier versions has no step times.
            self.before = None;
            return Ok(());
        };
        let meant = meant(times);
        self.pass(Which::Other(nth), (times.began, times.ended), meant)
    }
}

/// Returns the longest time for which an end lets its calls wait, given the calls so far: a time-out of the socket.
fn own_bound(role: Role, calls: &[Call]) -> Duration {
    let bounds = calls.iter().filter(|call| call.role == role);
    let bounds = bounds.filter_map(|call| match call.op {
        Op::SendTimeout(ms) | Op::ReceiveTimeout(ms) => Some(Duration::from_millis(ms.into())),
        Op::Linger(seconds) => Some(Duration::from_secs(seconds.into())),
        _ => None,
    });
    // Kernel timers are late: see `latest_bound`.
    bounds.max().map_or(Duration::ZERO, |it| it + it / 8)
}

/// Returns the maximum time that the script allows this call to wait, given a time-out of its socket.
fn wait_allowed_for_call(call: &Call, bound: Duration, evidence: &Evidence) -> Duration {
    match call.outcome {
        _ if !call.op.waits() => Duration::ZERO,
        // The call waited for something that never came.
        Outcome::Unfinished => latest_bound(),
        // The call may wait until the awaited segment was captured. The kernel decides when it sends, and that is
        // judged elsewhere.
        _ => {
            let within = |at: &Timestamp| (call.began..=call.ended).contains(at);
            let segments = evidence.packets.iter().filter_map(|packet| match packet {
                Packet::Tcp(segment) => Some(segment.at),
                _ => None,
            });
            let mut segments: Vec<_> = segments.filter(within).collect();
            segments.sort_unstable();
            span(call.began, busy_until(call.began, &segments)).max(bound)
        }
    }
}

/// Returns the time up to which segments followed one another, from a list in order. A segment that comes after a longer pause was sent
/// by a timer, which is no event that a call of a fast scenario waits for: a SYN is sent again after a second, while
/// the process does not run.
fn busy_until(began: Timestamp, segments: &[Timestamp]) -> Timestamp {
    let mut until = began;
    for at in segments {
        if span(until, *at) > STEP_WINDOW {
            break;
        }
        until = *at;
    }
    until
}

/// Returns the actual bound of a call that blocks: kernel timers are late by up to an eighth of their time
/// (kernel/time/timer.c, "the levels of the wheel").
fn latest_bound() -> Duration {
    CALL_BOUND + CALL_BOUND / 8
}

/// Returns the time between two points, or zero if the second one is earlier.
fn span(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::from_nanos(later.since(earlier).try_into().unwrap_or(0))
}

/// Returns the maximum time that the script allows this step to wait.
fn wait_allowed_for_step(step: Step, times: &StepTimes) -> Duration {
    let awaited = match step {
        Step::Await(awaited) => awaited,
        // A connection enters a queue at once. If that takes a second, its SYN has been sent again, and so may the SYN of
        // the client have been before the queue is full. Only a wait in vain is long by itself.
        Step::Others(count) if times.gave_up => return CALL_BOUND * u32::from(count),
        // No timer is running while the network changes.
        Step::Happens(_) => return CALL_BOUND,
        _ => return Duration::ZERO,
    };
    let until = |shown: Timestamp| span(times.began, shown);
    match (times.gave_up, times.shown) {
        (true, None) => awaited.bound(),
        // The segment was captured but did not reach the socket.
        (true, Some(shown)) => until(shown) + latest_bound(),
        (false, None) if awaited.is_up_to_timers() => Duration::MAX,
        (false, None) => Duration::ZERO,
        (false, Some(shown)) => until(shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6298, 2.1: a SYN is sent again after a second; data on loopback at the earliest after 200 ms (`TCP_RTO_MIN`).
    #[test]
    fn a_segment_that_a_timer_has_sent_is_not_what_a_call_waits_for() {
        let at = |ms: &[i64]| {
            ms.iter()
                .map(|ms| Timestamp(ms * 1_000_000))
                .collect::<Vec<_>>()
        };
        for (segments, until) in [
            (&[][..], 0),
            (&[1, 2, 3], 3),
            (&[1, 140, 280], 280),
            (&[1, 1_001], 1),
            (&[1, 201, 202], 1),
            (&[1_001], 0),
        ] {
            let until = Timestamp(until * 1_000_000);
            assert_eq!(
                busy_until(Timestamp(0), &at(segments)),
                until,
                "{segments:?}"
            );
        }
    }
}
