//! Failed connections: how each of them failed, with or without an RST, and which error the application of each end gets.
//!
//! A connection has failed if an end got an error, or did not get the answer that it asked for. One that was closed in order,
//! or simply goes on, has not. What the packets do not show is no failure: an end that waits for the first time may be answered
//! at any moment.

mod stop;

use std::borrow::Cow;
use std::num::NonZeroI64;

pub(super) use self::stop::{Attempt, Reconnect, Repeated, Stop};
use super::explain::{Cause, ErrnoCondition, Explanation, RequiredAction};
use super::icmp::IcmpRecord;
use super::identified::identified;
use super::idle_timeouts::{self, IdleTimeouts};
use super::last_words::Protocol;
use super::related::{self, Related};
use crate::flow::{Form, Reset, State};
use crate::time::Timestamp;
use crate::transcript::{Errno, PerEnd, Role};

identified! {
    /// Kind of the failure of a connection.
    pub enum FailureKind {
        /// RST in reply to the SYN.
        Refused = "refused", "the connection attempt was refused with an RST";
        /// SYN without any reply.
        NoReply = "no-reply", "the SYN got no reply";
        /// SYN to which the other end has replied from an earlier connection only.
        EarlierConnection = "earlier-connection", "the other end did not accept the SYN: it still had an earlier connection between these ports";
        /// ICMP error that ended the connection attempt.
        RejectedByIcmp = "rejected-by-icmp", "an ICMP error ended the connection attempt";
        /// SYN-ACK that the client never acknowledged.
        HandshakeIncomplete = "handshake-incomplete", "the client never completed the handshake";
        /// Data, a FIN or keepalive probes that were sent several times and never acknowledged.
        TimedOut = "timed-out", "what an end sent was never acknowledged, however often it was repeated";
        /// Large segments that were never acknowledged, while small ones were.
        MtuBlackHole = "mtu-black-hole", "only large segments of an end were lost: their path carries smaller packets";
        /// Receive window that stayed closed.
        ZeroWindow = "zero-window", "an end stopped reading: its receive window stayed closed";
        /// FIN in place of an answer.
        ClosedBeforeResponse = "closed-before-response", "an end closed the connection instead of answering";
        /// RST of a socket that was aborted by its process or its kernel.
        Aborted = "aborted", "an end aborted the connection";
        /// Data for a socket that had been closed.
        DataAfterClose = "data-after-close", "data came for a socket that had been closed";
        /// Abort of a kernel that had no answer to its probes or its data for too long.
        GaveUp = "gave-up", "the kernel of an end gave up: its probes found no answer, or no connection";
        /// RST in reply to the first segment after a silence, from the other end as far as is known.
        ResetAfterIdle = "reset-after-idle", "after a silence the other end had no such connection any more";
        /// RST in reply to the first segment after a silence, probably not from the other end, or a NAT that changed its mapping.
        Forgotten = "forgotten", "a device on the path had forgotten the connection";
        /// RST of a host that has no such connection.
        NoSuchConnection = "no-such-connection", "the other end had no such connection any more";
        /// RST that a third party sent in the name of an end.
        ThirdPartyReset = "third-party-reset", "a third party probably reset the connection in the name of an end";
        /// Other RST.
        Reset = "reset", "the connection was reset";
    }
}

impl FailureKind {
    /// Returns true if an RST or an ICMP error is what shows a failure of this kind.
    #[must_use]
    pub fn has_own_row(self) -> bool {
        !matches!(
            self,
            Self::NoReply
                | Self::EarlierConnection
                | Self::HandshakeIncomplete
                | Self::TimedOut
                | Self::MtuBlackHole
                | Self::ZeroWindow
                | Self::ClosedBeforeResponse
        )
    }
}

/// Error that the application of an end gets, on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndError {
    /// Error of the call.
    pub errno: Errno,
    /// Condition under which the application gets it; `None` if it gets it in any case.
    pub condition: Option<ErrnoCondition>,
}

/// Failure of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Kind of the failure.
    pub kind: FailureKind,
    /// Frame that shows it: the RST, the ICMP error, the FIN, the SYN without a reply, or the last attempt.
    pub frame: u32,
    /// Capture time of that frame.
    pub at: Timestamp,
    /// Error of each end. `None` if its application gets none, or the capture does not show which.
    pub errors: PerEnd<Option<EndError>>,
    /// End that ended the connection with a FIN or an RST; `None` if another event ended it.
    pub by: Option<Role>,
    /// Silence of the connection, in nanoseconds, before the segment that the failure followed from; `None` if it is not known.
    pub silence: Option<i64>,
    /// Explanation: a clause. Frames are named `frame N`.
    pub explanation: Cow<'static, str>,
    /// Scenario that teaches it; `None` if none fits.
    pub related: Option<Related>,
    /// Time from the last data of the server to the FIN or the RST with which it ended the connection, in nanoseconds; `None` if
    /// another event ended it.
    pub closed_after: Option<NonZeroI64>,
    /// Devices or servers with an idle time-out that explains the silence, or the time of the server.
    pub idle_timeouts: IdleTimeouts,
}

/// Shortest silence, in nanoseconds, after which a lost connection is put down to the silence: shorter ones are pauses of a
/// program, and no device forgets a connection so soon.
pub(super) const MIN_IDLE_NS: i64 = 1_000_000_000;

impl Failure {
    /// Returns the failure that an RST brings about; `None` if it changes nothing for an application. `silence` is that of the
    /// connection before it in nanoseconds; `cuts_off` is true if the receiver of the RST waited for an answer, or for the rest of
    /// one.
    pub(super) fn of_reset(
        reset: &Reset,
        explanation: &Explanation,
        silence: Option<i64>,
        cuts_off: bool,
    ) -> Option<Self> {
        let has_given_up =
            explanation.cause == Some(Cause::Keepalive) && reset.form == Some(Form::Active);
        let is_over = matches!(
            reset.receiver_state,
            State::Closed | State::Listen | State::TimeWait
        );
        let error = explanation.errno.map(|errno| EndError {
            errno,
            condition: explanation.errno_condition,
        });
        let is_failure = match explanation.required_action {
            // An end that has closed in order does not care, unless it waits for an answer.
            RequiredAction::Accept => match error {
                Some(error) => error.condition != Some(ErrnoCondition::SocketHeld) || cuts_off,
                None => has_given_up,
            },
            RequiredAction::Unknown => !is_over,
            RequiredAction::Drop | RequiredAction::Challenge | RequiredAction::NotDelivered => {
                false
            }
        };
        if !is_failure {
            return None;
        }
        let mut errors = PerEnd::default();
        errors[reset.from.peer()] = error;
        if has_given_up {
            errors[reset.from] = Some(EndError {
                errno: Errno::ETIMEDOUT,
                condition: None,
            });
        }
        Some(Self {
            kind: kind_of_reset(explanation, silence.is_some_and(|it| it >= MIN_IDLE_NS))?,
            frame: reset.frame,
            at: reset.at,
            errors,
            by: Some(reset.from),
            silence,
            explanation: explanation.explanation.into(),
            // They depend on more than the RST.
            related: None,
            closed_after: None,
            idle_timeouts: IdleTimeouts::default(),
        })
    }

    /// Returns the failure that an ICMP error brings about; `None` if the connection goes on.
    pub(super) fn of_icmp(record: &IcmpRecord) -> Option<Self> {
        let errno = record.errno.filter(|_| record.ends_attempt())?;
        let mut errors = PerEnd::default();
        errors[record.to] = Some(EndError {
            errno,
            condition: None,
        });
        Some(Self {
            kind: FailureKind::RejectedByIcmp,
            frame: record.frame,
            at: record.at,
            errors,
            by: None,
            silence: None,
            explanation: record.reason.into(),
            related: related::of_icmp(record),
            closed_after: None,
            idle_timeouts: IdleTimeouts::default(),
        })
    }

    /// Names the idle time-outs that explain the failure, given the protocol of the connection if it is known.
    pub(super) fn name_timeouts(&mut self, protocol: Option<Protocol>) {
        // The RST itself has shown them.
        if self.idle_timeouts.are_of_resets() {
            return;
        }
        let found = match self.kind {
            // A device that has forgotten the connection rejects or drops what comes then.
            FailureKind::ResetAfterIdle | FailureKind::Forgotten | FailureKind::TimedOut => {
                self.silence.map(idle_timeouts::of_silence)
            }
            FailureKind::ClosedBeforeResponse
            | FailureKind::Aborted
            | FailureKind::DataAfterClose => self
                .closed_after
                .map(|quiet| idle_timeouts::of_server(quiet.get(), protocol)),
            _ => None,
        };
        self.idle_timeouts = found.unwrap_or_default();
    }

    /// Adds the error that a later event brings to an end that had none.
    pub(super) fn add(&mut self, later: &Self) {
        for role in [Role::Client, Role::Server] {
            self.errors[role] = self.errors[role].or(later.errors[role]);
        }
    }
}

/// Returns the kind of failure that an RST brings about; `None` if the RST belongs to another connection, or to one that is over.
fn kind_of_reset(explanation: &Explanation, was_idle: bool) -> Option<FailureKind> {
    let kind = match explanation.cause {
        Some(Cause::Refused | Cause::RefusedBehindProxy) => FailureKind::Refused,
        Some(Cause::AbortedClose | Cause::ResetAfterFin) => FailureKind::Aborted,
        Some(Cause::DataAfterClose) => FailureKind::DataAfterClose,
        Some(Cause::Keepalive) => FailureKind::GaveUp,
        Some(Cause::HalfOpenPeer) if was_idle => FailureKind::ResetAfterIdle,
        Some(Cause::HalfOpenPeer) => FailureKind::NoSuchConnection,
        Some(Cause::NatRemapped) => FailureKind::Forgotten,
        Some(Cause::ThirdParty) => {
            let claims = explanation.claim.and_then(|claim| claim.cause);
            if was_idle && claims == Some(Cause::HalfOpenPeer) {
                FailureKind::Forgotten
            } else {
                FailureKind::ThirdPartyReset
            }
        }
        Some(Cause::OlderConnection) => return None,
        Some(
            Cause::AbandonedConnect
            | Cause::Duplicate
            | Cause::ListenerAnswer
            | Cause::Stray
            | Cause::Untranslated,
        )
        | None => FailureKind::Reset,
    };
    Some(kind)
}
