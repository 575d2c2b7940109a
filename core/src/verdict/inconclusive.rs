//! Reasons why no verdict is possible: comparable values with stable ids.

use std::fmt;

use thiserror::Error;

use crate::evidence::Flaw;
use crate::kernel::host::HostState;
use crate::scenario::Timing;
use crate::transcript::Errno;
use crate::verdict::{Missed, Which};

/// Id of the gap of a trial that was limited by a resource of the process or of the host.
pub const RESOURCE_EXHAUSTED: &str = "resource-exhausted";

/// Counter of closed connections for which no TIME-WAIT state could be kept (`tcp_time_wait()`,
/// `net/ipv4/tcp_minisocks.c`).
const TIME_WAIT_OVERFLOW: &str = "TCPTimeWaitOverflow";

/// Counter of sockets that were aborted on close because of too many orphans or too little memory
/// (`tcp_out_of_resources()` and `__tcp_close()`, net/ipv4).
pub(super) const ABORTED_FOR_MEMORY: &str = "TCPAbortOnMemory";

/// Id of the gap of a trial whose script the tool could not run to the end.
pub const NOT_PLAYED: &str = "not-played";

/// Reason why no verdict is possible. Its text is one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InconclusiveReason {
    /// Flaw of the saved files that hold the evidence.
    #[error("{0}")]
    Flawed(Flaw),
    /// Number of frames that the kernel dropped because the capture buffer was full.
    #[error("the capture lost {0} frame{plural}, so no verdict is possible", plural = if *.0 == 1 { "" } else { "s" })]
    FramesDropped(u64),
    /// Missing datagram that marks the end of the capture.
    #[error("the datagram sent after the last call was not captured")]
    FenceMissing,
    /// Missing datagram that marks the end of the capture, on a host whose date is beyond the range of capture time
    /// stamps.
    #[error(
        "the host's clock is beyond the year 2106, and the kernel stamps captured packets with 32 bits of seconds; set the clock"
    )]
    DateBeyondCapture,
    /// Capture filter of the user that hid part of the connection.
    #[error("the capture filter hid frames of the connection")]
    FilterHides,
    /// Step of the clock during the trial, in nanoseconds.
    #[error("the clock was stepped by {0} ns during the trial")]
    ClockStepped(i64),
    /// Missing first segment of the connection, its SYN.
    #[error("the connection's SYN was not captured")]
    SynMissing,
    /// Missing segment that a captured frame acknowledges.
    #[error("frame {frame} acknowledges a segment that was not captured")]
    SegmentMissing {
        /// Number of the frame that acknowledges the missing segment.
        frame: u32,
    },
    /// Order on the wire that the scenario depends on and that did not come about: the other order was captured.
    #[error("{}", timing_missed(*.0))]
    TimingMissed(Timing),
    /// Order on the wire that the scenario depends on and that the capture does not show.
    #[error("no captured segment of the client acknowledges the server's FIN")]
    FinNotAcknowledged,
    /// Call whose recorded times are impossible.
    #[error("call {call} has a time that contradicts the calls and packets around it")]
    TimesDisordered {
        /// Index of the call in the transcript.
        call: usize,
    },
    /// Loss of kernel trace events because the trace buffer was full.
    #[error("the kernel trace lost events, so missing events prove nothing")]
    TraceOverrun,
    /// Step that came too late or took too long, which may explain the differences from the scenario.
    #[error("{0}")]
    WindowMissed(Missed),
    /// FIN of a `close` that was acknowledged before the call returned.
    #[error(
        "call {call}: its FIN was acknowledged before close() returned; Linux then keeps the whole socket, which replies \
         differently"
    )]
    MetInClose {
        /// Index of the call in the transcript.
        call: usize,
    },
    /// Call that waited to its bound for a time-out whose error came right after.
    #[error(
        "call {call} waited to its bound, and its error came right after: the CPU with the kernel's timers did not run in the \
         meantime"
    )]
    TimedOutLate {
        /// Index of the call in the transcript.
        call: usize,
    },
    /// Time for which this process did not run during the trial, in milliseconds, which may explain the differences
    /// from the scenario.
    #[error(
        "this process did not run for {0} ms: it was stopped, or the machine was paused or overloaded; TCP timers may have \
         run in the meantime"
    )]
    HeldUp(u64),
    /// Name of a counter that shows that the host had no room for some segment or socket of the trial.
    #[error("{}", out_of_room(.0))]
    OutOfRoom(&'static str),
    /// Lack of socket memory or full queues on the host, which may explain the differences from the scenario.
    #[error("{0}")]
    Host(HostState),
    /// Call that failed for lack of descriptors or memory.
    #[error("call {call} failed with {errno}, which is not TCP behaviour: {}", .errno.fix().unwrap_or(""))]
    Exhausted {
        /// Index of the call in the transcript.
        call: usize,
        /// Errno that the call returned.
        errno: Errno,
    },
    /// Child process of the scenario that could not be started.
    #[error("call {call}: {}", not_started(*.errno))]
    ChildNotStarted {
        /// Index of the call in the transcript.
        call: usize,
        /// Errno of the failed start; `None` if the child was started but ended before it was ready.
        errno: Option<Errno>,
    },
    /// Child process that did not end when requested.
    #[error("call {call}: the child process did not end in time, which is not TCP behaviour")]
    ChildNotEnded {
        /// Index of the call in the transcript.
        call: usize,
    },
    /// Call that a signal, or a stop and continue, interrupted before it had a result (`EINTR`).
    #[error("call {call} was interrupted before it could end")]
    CallInterrupted {
        /// Index of the call in the transcript.
        call: usize,
    },
}

impl InconclusiveReason {
    /// Returns the stable id, in kebab case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Flawed(flaw) => flaw.id(),
            Self::FramesDropped(_) => "frames-dropped",
            Self::FenceMissing => "fence-missing",
            Self::DateBeyondCapture => "clock-out-of-range",
            Self::FilterHides => "filter-hides",
            Self::ClockStepped(_) => "clock-stepped",
            Self::SynMissing => "syn-missing",
            Self::SegmentMissing { .. } => "segment-missing",
            Self::TimingMissed(_)
            | Self::WindowMissed(_)
            | Self::HeldUp(_)
            | Self::MetInClose { .. }
            | Self::TimedOutLate { .. } => "timing-missed",
            // Lack of room in TIME-WAIT has an id of its own, because another setting fixes it.
            Self::OutOfRoom(TIME_WAIT_OVERFLOW) => "time-wait-full",
            Self::Host(state) if !state.is_short_of_memory() => "packets-dropped",
            Self::OutOfRoom(_) | Self::Host(_) => "memory-short",
            Self::Exhausted { .. } => RESOURCE_EXHAUSTED,
            Self::ChildNotStarted { .. } => "child-not-started",
            Self::ChildNotEnded { .. } => "child-not-ended",
            Self::FinNotAcknowledged => "fin-not-acknowledged",
            Self::TimesDisordered { .. } => "times-disordered",
            Self::TraceOverrun => "trace-overrun",
            Self::CallInterrupted { .. } => "call-interrupted",
        }
    }
}

/// Returns the text for a trial for which the host had no room, as this counter shows.
fn out_of_room(counter: &str) -> String {
    match counter {
        TIME_WAIT_OVERFLOW => "the kernel had no room in TIME-WAIT for a closed connection (TCPTimeWaitOverflow); allow more with \
             `sudo sysctl net.ipv4.tcp_max_tw_buckets=262144`"
            .to_owned(),
        ABORTED_FOR_MEMORY => "the kernel aborted a socket because this host had too many orphaned sockets \
             (net.ipv4.tcp_max_orphans) or too little memory for TCP (net.ipv4.tcp_mem): TCPAbortOnMemory increased"
            .to_owned(),
        counter => format!(
            "this host ran out of room for the trial's segments or sockets: kernel counter {counter} increased; run it again \
             with fewer --jobs, or when the host has more memory"
        ),
    }
}

/// Returns the text for a child process that could not be started, from the colon on.
fn not_started(errno: Option<Errno>) -> String {
    let Some(errno) = errno else {
        return "the child process ended before it was ready".to_owned();
    };
    let fix = errno.fix_of_start().map(|fix| format!("; {fix}"));
    let fix = fix.unwrap_or_default();
    format!("the child process could not be started: {errno}{fix}")
}

/// Returns the text for a missed order of segments.
fn timing_missed(timing: Timing) -> &'static str {
    match timing {
        Timing::DataAfterAckOfFin => "the FIN was not acknowledged before the client wrote",
        Timing::DataBeforeAckOfFin => "the FIN was acknowledged before the client wrote",
        Timing::AnsweredWhileSent => {
            "the SYN was answered only after connect() had begun to wait: this host delayed it"
        }
        Timing::AnsweredWhileAwaited => "the SYN was answered while connect() was still sending it",
    }
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_short_of_memory() && self.softnet_drops == 0 {
            return f.write_str(
                "the neighbour table of this machine was full during the trial, so packets between its hosts may have been dropped; allow \
                 more entries with `sudo sysctl net.ipv4.neigh.default.gc_thresh3=8192 net.ipv6.neigh.default.gc_thresh3=8192`",
            );
        }
        if !self.is_short_of_memory() {
            return write!(
                f,
                "full CPU queues on this host dropped {} packets during the trial, possibly some of its own; raise the limit with `sudo sysctl \
                 net.core.netdev_max_backlog=10000`",
                self.softnet_drops
            );
        }
        f.write_str("this host is short of socket memory, which changes how TCP behaves: ")?;
        write_memory_limit(self, f)
    }
}

/// Writes which limit of socket memory was reached, and where to raise it.
fn write_memory_limit(host: &HostState, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if host.tcp_memory_pressure {
        f.write_str("TCP is under memory pressure on this host (`press` in /proc/net/protocols); see net.ipv4.tcp_mem")
    } else if let (true, Some(used), Some(low)) = (
        host.has_no_room_to_grow(),
        host.tcp_pages,
        host.tcp_mem_low_pages,
    ) {
        write!(
            f,
            "TCP uses {used} pages on this host; above {low} send buffers may not grow (net.ipv4.tcp_mem)"
        )
    } else if let (true, Some(limit)) = (host.is_near_tcp_limit(), host.cgroup_tcp_limit_bytes) {
        write!(
            f,
            "this control group is limited to {limit} bytes for TCP and reached that; raise memory.kmem.tcp.limit_in_bytes"
        )
    } else {
        f.write_str("this control group reached its memory limit during the trial (memory.events); raise memory.high and memory.max")
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Which::Call(call) => write!(f, "call {call}")?,
            Which::Other(step) => write!(f, "step {step} of the script")?,
        }
        let Self {
            lost_ms, window_ms, ..
        } = self;
        write!(
            f,
            ": the script was {lost_ms} ms late by then, and at most {window_ms} ms are allowed; TCP timers may have run in the \
             meantime"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_id_and_its_message() {
        for (gap, id, words) in [
            (
                InconclusiveReason::FramesDropped(1),
                "frames-dropped",
                "the capture lost 1 frame, so no verdict is possible",
            ),
            (
                InconclusiveReason::FramesDropped(2),
                "frames-dropped",
                "the capture lost 2 frames, so no verdict is possible",
            ),
            (
                InconclusiveReason::FenceMissing,
                "fence-missing",
                "the datagram sent after the last call was not captured",
            ),
            (
                InconclusiveReason::FilterHides,
                "filter-hides",
                "the capture filter hid frames of the connection",
            ),
            (
                InconclusiveReason::ClockStepped(-7),
                "clock-stepped",
                "the clock was stepped by -7 ns during the trial",
            ),
            (
                InconclusiveReason::TraceOverrun,
                "trace-overrun",
                "the kernel trace lost events, so missing events prove nothing",
            ),
            (
                InconclusiveReason::SynMissing,
                "syn-missing",
                "the connection's SYN was not captured",
            ),
            (
                InconclusiveReason::SegmentMissing { frame: 4 },
                "segment-missing",
                "frame 4 acknowledges a segment that was not captured",
            ),
            (
                InconclusiveReason::FinNotAcknowledged,
                "fin-not-acknowledged",
                "no captured segment of the client acknowledges the server's FIN",
            ),
            (
                InconclusiveReason::TimesDisordered { call: 5 },
                "times-disordered",
                "call 5 has a time that contradicts the calls and packets around it",
            ),
            (
                InconclusiveReason::CallInterrupted { call: 5 },
                "call-interrupted",
                "call 5 was interrupted before it could end",
            ),
            (
                InconclusiveReason::TimingMissed(Timing::DataAfterAckOfFin),
                "timing-missed",
                "the FIN was not acknowledged before the client wrote",
            ),
            (
                InconclusiveReason::TimingMissed(Timing::DataBeforeAckOfFin),
                "timing-missed",
                "the FIN was acknowledged before the client wrote",
            ),
            (
                InconclusiveReason::TimingMissed(Timing::AnsweredWhileSent),
                "timing-missed",
                "the SYN was answered only after connect() had begun to wait: this host delayed it",
            ),
            (
                InconclusiveReason::TimingMissed(Timing::AnsweredWhileAwaited),
                "timing-missed",
                "the SYN was answered while connect() was still sending it",
            ),
        ] {
            assert_eq!((gap.id(), gap.to_string().as_str()), (id, words));
        }
    }
}
