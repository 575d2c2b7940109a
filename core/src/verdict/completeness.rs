//! Rule 1: the conditions under which no verdict is possible.
//!
//! A [gap] in the evidence makes a verdict impossible, whatever else it shows. A condition of the host
//! [excuses](Case::excuse) differences from the scenario, and does not matter without any.
//!
//! [gap]: Case::inconclusive_reason

use std::time::Duration;

use super::inconclusive::{ABORTED_FOR_MEMORY, InconclusiveReason};
use super::{Case, windows};
use crate::evidence::Completeness;
use crate::kernel::counters::PRESSURE;
use crate::kernel::host::HostState;
use crate::scenario::{Exemption, Extent, STEP_WINDOW};
use crate::time::Timestamp;
use crate::transcript::{Call, Errno, Op, Outcome, PerEnd, Role};

/// Maximum step of `CLOCK_REALTIME` during a trial, in nanoseconds. After a larger step the order of events is unknown.
const CLOCK_STEP_LIMIT_NS: u64 = 10_000;

/// Maximum disagreement between times of frames and calls, in nanoseconds. Both come from one clock, but CPUs may
/// differ, and a clock step within its limit adds to that; 41 µs were seen between two senders on one host.
const SLACK_NS: i64 = 60_000;

/// Maximum delay of the capture of a segment after a call that does not wait for an answer, in nanoseconds. Up to Linux
/// 6.4 (until d15121be7485), received loopback packets are left to ksoftirqd while it is running, and they are captured
/// there. 1.6 ms were seen on an emulated 6.1 kernel.
const DEFERRED_NS: i64 = 50_000_000;

/// Returns how long after the call returned, in nanoseconds, a segment that the call sent may still be captured.
fn capture_delay(call: &Call) -> i64 {
    match call.outcome.errno() {
        Some(Errno::EINPROGRESS) => DEFERRED_NS,
        _ => SLACK_NS,
    }
}

/// Returns true if the second time is not before the first one, as far as clocks agree.
fn is_in_order(earlier: Timestamp, later: Timestamp) -> bool {
    later.since(earlier) >= -SLACK_NS
}

impl Case<'_> {
    /// Returns the reason, if any, that makes a verdict impossible: rule 1 or the scenario's own timing does not hold.
    pub(super) fn inconclusive_reason(&self) -> Option<InconclusiveReason> {
        let flaw = self.evidence.flaw.map(InconclusiveReason::Flawed);
        let gap = flaw
            .or_else(|| self.exhausted())
            .or_else(|| self.incomplete_capture())
            .or_else(|| self.trace_overrun())
            .or_else(|| self.missing_segment())
            .or_else(|| self.unusable_call())
            .or_else(|| self.missed_timing())?;
        let is_maybe_memory = matches!(
            gap,
            InconclusiveReason::TimingMissed(_) | InconclusiveReason::FenceMissing
        );
        let state = self.evidence.host_state.filter(|_| is_maybe_memory);
        // A shortage of memory explains why the fence is missing or the timing was missed.
        let state = state.filter(HostState::is_short_of_memory);
        Some(state.map_or(gap, InconclusiveReason::Host))
    }

    /// Returns the gap for a call that failed for lack of a resource unrelated to TCP: descriptors, memory or a process.
    fn exhausted(&self) -> Option<InconclusiveReason> {
        let mut calls = self.evidence.calls.iter().enumerate();
        calls.find_map(|(call, made)| match (made.op, made.outcome) {
            (Op::Spawn, Outcome::Failed(errno)) => Some(InconclusiveReason::ChildNotStarted {
                call,
                errno: Some(errno),
            }),
            (Op::Spawn, Outcome::Unfinished) => {
                Some(InconclusiveReason::ChildNotStarted { call, errno: None })
            }
            (Op::Kill | Op::Terminate, Outcome::Unfinished) => {
                Some(InconclusiveReason::ChildNotEnded { call })
            }
            (_, outcome) => {
                let errno = outcome.errno().filter(|errno| errno.is_exhaustion());
                errno.map(|errno| InconclusiveReason::Exhausted { call, errno })
            }
        })
    }

    /// Returns the gap of a capture that may lack frames, or whose times are unreliable.
    fn incomplete_capture(&self) -> Option<InconclusiveReason> {
        let Completeness {
            dropped,
            filter_passes_all,
            fence_seen,
            clock_step_ns,
            ..
        } = self.evidence.completeness;
        if dropped > 0 {
            Some(InconclusiveReason::FramesDropped(dropped))
        } else if !filter_passes_all {
            Some(InconclusiveReason::FilterHides)
        } else if !fence_seen {
            Some(self.missing_fence())
        } else if clock_step_ns.unsigned_abs() > CLOCK_STEP_LIMIT_NS {
            Some(InconclusiveReason::ClockStepped(clock_step_ns))
        } else {
            None
        }
    }

    fn missing_fence(&self) -> InconclusiveReason {
        /// Largest time stamp in seconds: `tpacket3_hdr` has 32 bits for it (`linux/if_packet.h`).
        const MAX_SECONDS: i64 = u32::MAX as i64;
        if self.evidence.began.0 / 1_000_000_000 > MAX_SECONDS {
            InconclusiveReason::DateBeyondCapture
        } else {
            InconclusiveReason::FenceMissing
        }
    }

    fn trace_overrun(&self) -> Option<InconclusiveReason> {
        let trace = self.evidence.trace.as_ref();
        let is_overrun = trace.is_some_and(|trace| trace.coverage.overrun);
        is_overrun.then_some(InconclusiveReason::TraceOverrun)
    }

    fn missing_segment(&self) -> Option<InconclusiveReason> {
        if !self.wire.saw_syn && self.scenario.extent == Extent::Connection {
            return Some(InconclusiveReason::SynMissing);
        }
        let frame = self.wire.acknowledges_unseen;
        frame.map(|frame| InconclusiveReason::SegmentMissing { frame })
    }

    /// Returns the gap for a call whose times are impossible, or that was interrupted.
    fn unusable_call(&self) -> Option<InconclusiveReason> {
        if let Some(call) = self.impossible_call() {
            return Some(InconclusiveReason::TimesDisordered { call });
        }
        let interrupted = |call: &Call| call.outcome.errno() == Some(Errno::EINTR);
        let call = self.evidence.calls.iter().position(interrupted)?;
        Some(InconclusiveReason::CallInterrupted { call })
    }

    /// Returns the gap if another order of segments was captured than the one that the scenario is named after.
    fn missed_timing(&self) -> Option<InconclusiveReason> {
        let meant = self.scenario.timing?;
        let is_missed = self.wire.timing.is_some_and(|seen| seen != meant);
        is_missed.then_some(InconclusiveReason::TimingMissed(meant))
    }

    /// Returns the first call whose recorded times are impossible: it ends before it begins, begins before the previous
    /// call has ended, or a segment that only this call can have sent was captured before it began.
    fn impossible_call(&self) -> Option<usize> {
        self.disordered_call().or_else(|| {
            // Segments forged in an end's name were not sent by any of its calls.
            let mut ends = Role::BOTH.into_iter();
            ends.find_map(|role| {
                let is_forged = self.is_exempt(Exemption::ForgedSegments(role));
                (!is_forged).then(|| self.call_contradicting_wire(role))?
            })
        })
    }

    /// Returns the first call whose times contradict each other, those of the trial, or those of the previous call of
    /// its end.
    fn disordered_call(&self) -> Option<usize> {
        let mut last: PerEnd<Option<Timestamp>> = PerEnd::default();
        self.evidence
            .calls
            .iter()
            .enumerate()
            .position(|(index, call)| {
                let last = &mut last[call.role];
                let is_within = is_in_order(self.evidence.began, call.began)
                    && (self.wire.fence).is_none_or(|fence| is_in_order(call.ended, fence));
                let follows = last.is_none_or(|last| is_in_order(last, call.began));
                // While a call blocks on a thread of its own, the same end may make other calls.
                let blocks = self.is_exempt(Exemption::Overlap(index));
                *last = Some(if blocks { call.began } else { call.ended });
                !is_in_order(call.began, call.ended) || !follows || !is_within
            })
    }

    /// Returns the call of this end, if any, that began after a segment that only this call can have sent, or that
    /// returned before its SYN was captured.
    fn call_contradicting_wire(&self, role: Role) -> Option<usize> {
        let firsts = self.wire.firsts[role];
        let caused_by = |sent: Option<Timestamp>, can_send: fn(Op) -> bool| {
            let (index, call) = self.first_call(role, can_send)?;
            (call.began.since(sent?) > SLACK_NS).then_some(index)
        };
        let is_write = |op| matches!(op, Op::Write(_) | Op::WriteUrgent);
        self.connect_before_syn(role)
            .or_else(|| caused_by(firsts.syn, |op| op == Op::Connect))
            .or_else(|| caused_by(firsts.data, is_write))
            .or_else(|| caused_by(firsts.fin, Op::sends_fin))
            .or_else(|| caused_by(firsts.abort, Op::aborts))
    }

    /// Returns the `connect` of this end, if it returned before its SYN was captured: it sends the SYN before it
    /// returns, whether or not it waits for the answer.
    fn connect_before_syn(&self, role: Role) -> Option<usize> {
        // With TCP Fast Open, the first write sends the SYN.
        if self.defers_syn(role) {
            return None;
        }
        let (index, connect) = self.first_call(role, |op| op == Op::Connect)?;
        let late = self.wire.firsts[role].syn?.since(connect.ended);
        (late > capture_delay(connect)).then_some(index)
    }

    /// Returns the first call of this end that is one of these, with its index.
    fn first_call(&self, role: Role, is_it: fn(Op) -> bool) -> Option<(usize, &Call)> {
        let mut calls = self.evidence.calls.iter().enumerate();
        calls.find(|(_, call)| call.role == role && is_it(call.op))
    }

    /// Returns true if the first write of this end sends its SYN (TCP Fast Open).
    pub(super) fn defers_syn(&self, role: Role) -> bool {
        self.first_call(role, |op| op == Op::FastOpenConnect)
            .is_some()
    }

    /// Returns the condition of this host, if any, that may have changed the trial.
    pub(super) fn excuse(&self) -> Option<InconclusiveReason> {
        if let Some(counter) = self.pressure() {
            return Some(InconclusiveReason::OutOfRoom(counter));
        }
        if let Some(state) = self.evidence.host_state.filter(HostState::may_matter) {
            return Some(InconclusiveReason::Host(state));
        }
        if let Some(missed) = windows::missed(self.scenario, self.evidence) {
            return Some(InconclusiveReason::WindowMissed(missed));
        }
        if let Some(call) = windows::met_in_close(self.scenario, self.evidence) {
            return Some(InconclusiveReason::MetInClose { call });
        }
        if let Some(call) = windows::timed_out_late(self.scenario, self.evidence) {
            return Some(InconclusiveReason::TimedOutLate { call });
        }
        self.stall().map(InconclusiveReason::HeldUp)
    }

    /// Returns the first counter, not expected by the scenario, that increases only if the host lacks room or memory.
    fn pressure(&self) -> Option<&'static str> {
        let counters = self.evidence.counters.as_ref()?;
        let expected = self.scenario.counters;
        let is_meant = |name: &str| expected.iter().any(|(meant, _)| *meant == name);
        let mut names = PRESSURE.into_iter().chain([ABORTED_FOR_MEMORY]);
        names.find(|name| !is_meant(name) && counters.get(name).is_some_and(|by| by > 0))
    }

    /// Returns the time in milliseconds for which this process did not run, if it was long enough to change the trial.
    fn stall(&self) -> Option<u64> {
        let stall = Duration::from_nanos(self.evidence.process_stall_ns);
        // A wait that ends in vain lasts so long that a busy machine is delayed at some point; the delay does not
        // explain it.
        let has_waited_in_vain = self.evidence.steps.iter().any(|step| step.gave_up)
            || (self.evidence.calls.iter()).any(|call| call.outcome == Outcome::Unfinished);
        let ms = stall.as_millis().try_into().unwrap_or(u64::MAX);
        (stall > STEP_WINDOW && !has_waited_in_vain).then_some(ms)
    }
}
