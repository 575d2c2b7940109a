//! In what the kernel's own word and the other witnesses disagree: rule 6.

use std::fmt;

use crate::flow::State;
use crate::scenario::{Role, Sender};
use crate::transcript::Errno;

/// The kernel says otherwise. Calls are indices into the transcript, frames numbers in the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are named after what they hold; see the text of each
pub enum Disagreement {
    /// The kernel has sent another number of RSTs than were captured.
    ResetsSent { sent: u64, captured: u64 },
    /// A counter of the kernel's moved otherwise.
    Counter {
        name: &'static str,
        expected: u64,
        seen: u64,
    },
    /// The RST was captured, and the kernel that owns its source's address has not sent it.
    NotSent { frame: u32, role: Role },
    /// The kernel has sent a RST that was not captured.
    NotCaptured { role: Role, reason: Option<String> },
    /// Somebody else sent the RST.
    WrongSender {
        frame: u32,
        expected: Sender,
        seen: Sender,
    },
    /// The RST was sent for another reason.
    WrongReason {
        frame: u32,
        expected: &'static str,
        seen: String,
    },
    /// A RST that must be believed has killed no socket of this end.
    NotReceived { frame: u32, role: Role },
    /// A socket of this end was killed by a RST that is not on the wire.
    OtherReceived { role: Role },
    /// The socket that the RST killed was in another state.
    StateDiffers {
        frame: u32,
        role: Role,
        expected: State,
        seen: String,
    },
    /// The error that this call was told of was not put on its socket.
    ErrorNotReported { call: usize, errno: Errno },
    /// An error was put on this end's socket that nothing on the wire or in the calls explains.
    OtherErrorReported { role: Role, errno: Errno },
}

impl Disagreement {
    /// Stable id, kebab-case.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::ResetsSent { .. } => "resets-sent-differ",
            Self::Counter { .. } => "counter-differs",
            Self::NotSent { .. } => "kernel-sent-no-reset",
            Self::NotCaptured { .. } => "kernel-reset-not-captured",
            Self::WrongSender { .. } => "wrong-sender",
            Self::WrongReason { .. } => "wrong-reason",
            Self::NotReceived { .. } => "kernel-received-no-reset",
            Self::OtherReceived { .. } => "kernel-received-other-reset",
            Self::StateDiffers { .. } => "kernel-state-differs",
            Self::ErrorNotReported { .. } => "kernel-reported-no-error",
            Self::OtherErrorReported { .. } => "kernel-reported-other-error",
        }
    }

    /// The frame that it is about, if it is about one.
    #[must_use]
    pub fn frame(&self) -> Option<u32> {
        match *self {
            Self::NotSent { frame, .. }
            | Self::WrongSender { frame, .. }
            | Self::WrongReason { frame, .. }
            | Self::NotReceived { frame, .. }
            | Self::StateDiffers { frame, .. } => Some(frame),
            Self::ResetsSent { .. }
            | Self::Counter { .. }
            | Self::NotCaptured { .. }
            | Self::OtherReceived { .. }
            | Self::ErrorNotReported { .. }
            | Self::OtherErrorReported { .. } => None,
        }
    }
}

impl fmt::Display for Disagreement {
    /// One line: both sides.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResetsSent { sent, captured } => write!(
                f,
                "the kernel counts {sent} RSTs sent in this namespace (OutRsts), and {captured} were captured"
            ),
            Self::Counter {
                name,
                expected,
                seen,
            } => write!(
                f,
                "the kernel's counter {name}: expected to move by {expected}, moved by {seen}"
            ),
            Self::NotSent { frame, role } => write!(
                f,
                "frame {frame}: the RST is on the wire, and by the kernel's trace the {role}'s kernel did not send it: \
                 a firewall or somebody else did"
            ),
            Self::NotCaptured { role, reason } => write!(
                f,
                "by the kernel's trace the {role} sent a RST ({}), and it was not captured",
                reason.as_deref().unwrap_or("no reason given")
            ),
            Self::WrongSender {
                frame,
                expected,
                seen,
            } => write!(
                f,
                "frame {frame}: sender expected {}, by the kernel's trace {}",
                expected.name(),
                seen.name()
            ),
            Self::WrongReason {
                frame,
                expected,
                seen,
            } => write!(
                f,
                "frame {frame}: reason expected {expected}, by the kernel's trace {seen}"
            ),
            Self::NotReceived { frame, role } => write!(
                f,
                "frame {frame}: the {role} had to believe the RST, and by the kernel's trace it killed no socket there"
            ),
            Self::OtherReceived { role } => write!(
                f,
                "by the kernel's trace a RST killed the {role}'s socket that is not on the wire"
            ),
            Self::StateDiffers {
                frame,
                role,
                expected,
                seen,
            } => write!(
                f,
                "frame {frame}: the {role} was in {expected} by the wire, and in {seen} by the kernel's trace"
            ),
            Self::ErrorNotReported { call, errno } => write!(
                f,
                "call {call} was told {errno}, and by the kernel's trace no such error was put on its socket"
            ),
            Self::OtherErrorReported { role, errno } => write!(
                f,
                "by the kernel's trace {errno} was put on the {role}'s socket, and nothing else explains that"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_names_both_sides() {
        let (frame, role) = (6, Role::Client);
        for (disagreement, id, words) in [
            (
                Disagreement::ResetsSent {
                    sent: 0,
                    captured: 1,
                },
                "resets-sent-differ",
                "the kernel counts 0 RSTs sent in this namespace (OutRsts), and 1 were captured",
            ),
            (
                Disagreement::Counter {
                    name: "EstabResets",
                    expected: 2,
                    seen: 1,
                },
                "counter-differs",
                "the kernel's counter EstabResets: expected to move by 2, moved by 1",
            ),
            (
                Disagreement::NotCaptured { role, reason: None },
                "kernel-reset-not-captured",
                "by the kernel's trace the client sent a RST (no reason given), and it was not captured",
            ),
            (
                Disagreement::WrongSender {
                    frame,
                    expected: Sender::Socket,
                    seen: Sender::Kernel,
                },
                "wrong-sender",
                "frame 6: sender expected socket, by the kernel's trace kernel",
            ),
            (
                Disagreement::WrongReason {
                    frame,
                    expected: "TCP_STATE",
                    seen: "99".to_owned(),
                },
                "wrong-reason",
                "frame 6: reason expected TCP_STATE, by the kernel's trace 99",
            ),
            (
                Disagreement::StateDiffers {
                    frame,
                    role,
                    expected: State::Established,
                    seen: "TCP_CLOSE_WAIT".to_owned(),
                },
                "kernel-state-differs",
                "frame 6: the client was in ESTABLISHED by the wire, and in TCP_CLOSE_WAIT by the kernel's trace",
            ),
            (
                Disagreement::ErrorNotReported {
                    call: 5,
                    errno: Errno::EPIPE,
                },
                "kernel-reported-no-error",
                "call 5 was told EPIPE, and by the kernel's trace no such error was put on its socket",
            ),
        ] {
            assert_eq!(
                (disagreement.id(), disagreement.to_string().as_str()),
                (id, words)
            );
        }
    }

    #[test]
    fn what_is_about_a_frame_names_it() {
        let role = Role::Server;
        let about = [
            Disagreement::NotSent { frame: 7, role },
            Disagreement::NotReceived { frame: 7, role },
        ];
        for disagreement in about {
            assert_eq!(disagreement.frame(), Some(7));
            assert!(disagreement.to_string().starts_with("frame 7: "));
        }
        let errno = Errno::ECONNRESET;
        for disagreement in [
            Disagreement::OtherReceived { role },
            Disagreement::OtherErrorReported { role, errno },
            Disagreement::ResetsSent {
                sent: 0,
                captured: 1,
            },
        ] {
            assert_eq!(disagreement.frame(), None);
        }
    }
}
