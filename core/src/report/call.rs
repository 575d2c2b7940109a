//! System calls in a report, with the causes of their errors.

use serde::Serialize;

use crate::time::Timestamp;
use crate::transcript::{Call, ResultReport, Role};
use crate::verdict::{Attribution, Judgement};

/// One system call. Times are nanoseconds since the trial began.
#[derive(Clone, Debug, Serialize)]
pub struct CallReport {
    /// Index of the call among the calls of the trial.
    pub index: usize,
    /// End that made the call.
    pub role: Role,
    /// Name of the system call.
    pub call: &'static str,
    /// Arguments, as text.
    pub arguments: String,
    /// Time at which the call was entered.
    pub began_ns: i64,
    /// Time at which the call had returned.
    pub ended_ns: i64,
    /// Result of the call.
    pub result: ResultReport,
    /// Cause of the error, if the call returned one.
    pub cause: Option<CauseReport>,
}

impl CallReport {
    /// Creates the report of call number `index`.
    pub(super) fn new(index: usize, call: &Call, began: Timestamp, judgement: &Judgement) -> Self {
        // A report must not panic. An index out of range becomes frame 0, which no capture has.
        let frame = |reset: usize| judgement.resets.get(reset).map_or(0, |reset| reset.frame);
        // `attributions` is ordered by call. A linear search for each call would be quadratic for a hostile file.
        let place = judgement
            .attributions
            .binary_search_by_key(&index, |(of, _)| *of);
        let attribution = place
            .ok()
            .and_then(|place| judgement.attributions.get(place));
        Self {
            index,
            role: call.role,
            call: call.op.call(),
            arguments: call.op.arguments().into_owned(),
            began_ns: call.began.since(began),
            ended_ns: call.ended.since(began),
            result: call.outcome.into(),
            cause: attribution.map(|(_, attribution)| match *attribution {
                Attribution::Reset(reset) => CauseReport::Reset(frame(reset)),
                Attribution::AfterReset(reset) => CauseReport::AfterReset(frame(reset)),
                Attribution::OwnShutdown(call) => CauseReport::OwnShutdown(call),
                Attribution::OwnDisconnect(call) => CauseReport::OwnDisconnect(call),
                Attribution::OwnReset(reset) => CauseReport::OwnReset(frame(reset)),
                Attribution::NotConnected => CauseReport::NotConnected,
                Attribution::NotListening(call) => CauseReport::NotListening(call),
                Attribution::WouldBlock(call) => CauseReport::WouldBlock(call),
                Attribution::TimedOut(call) => CauseReport::TimedOut(call),
                Attribution::Unanswered => CauseReport::Unanswered,
                Attribution::Icmp(icmp) => {
                    CauseReport::Icmp(judgement.icmp.get(icmp).map_or(0, |icmp| icmp.frame))
                }
                Attribution::Destroyed(call) => CauseReport::Destroyed(call),
                Attribution::NoRoute => CauseReport::NoRoute,
                Attribution::InUse(call) => CauseReport::InUse(call),
                Attribution::WrongErrno { .. }
                | Attribution::ReportedTwice(_)
                | Attribution::Unexplained => CauseReport::Unexplained,
            }),
        }
    }

    /// Returns the usual name of the call: the system call, or for `getsockopt` the socket option it reads.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.call {
            "getsockopt" => &self.arguments,
            call => call,
        }
    }
}

/// Cause of a call's error. Frames are numbers in the capture file, calls are indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseReport {
    /// RST in this frame, whose error this call reported.
    Reset(u32),
    /// Earlier RST in this frame, which had already closed the connection.
    AfterReset(u32),
    /// Earlier call that shut down the caller's own sending side.
    OwnShutdown(usize),
    /// Call that dissolved or cancelled the caller's own connection.
    OwnDisconnect(usize),
    /// RST in this frame, which the caller's own socket had sent as a reply.
    OwnReset(u32),
    /// Missing connection: the socket is not connected.
    NotConnected,
    /// Earlier call that shut down the listener.
    NotListening(usize),
    /// Earlier call that made the socket non-blocking, or set a short timeout.
    WouldBlock(usize),
    /// Earlier call that set the timeout for the other end, which expired.
    TimedOut(usize),
    /// Missing acknowledgment: the kernel gave up retransmitting what the caller's end had sent.
    Unanswered,
    /// ICMP error in this frame.
    Icmp(u32),
    /// Call in which an administrator destroyed the socket.
    Destroyed(usize),
    /// Missing route: this host has none to the address.
    NoRoute,
    /// Call of another thread that was waiting on the same socket.
    InUse(usize),
    /// No known cause, or an error that does not fit its cause.
    Unexplained,
}
