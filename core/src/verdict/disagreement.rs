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
                "the kernel counted {sent} RSTs sent in this namespace (OutRsts), but {captured} were captured"
            ),
            Self::Counter {
                name,
                expected,
                seen,
            } => write!(
                f,
                "kernel counter {name}: expected +{expected}, got +{seen}"
            ),
            Self::NotSent { frame, role } => write!(
                f,
                "frame {frame}: the RST was captured, but the kernel trace shows that the {role}'s kernel did not send it: \
                 a firewall or a third party did"
            ),
            Self::NotCaptured { role, reason } => write!(
                f,
                "the kernel trace shows an RST sent by the {role} ({}) that was not captured",
                reason.as_deref().unwrap_or("no reason given")
            ),
            Self::WrongSender {
                frame,
                expected,
                seen,
            } => write!(
                f,
                "frame {frame}: expected sender {}, kernel trace shows {}",
                expected.name(),
                seen.name()
            ),
            Self::WrongReason {
                frame,
                expected,
                seen,
            } => write!(
                f,
                "frame {frame}: expected reason {expected}, kernel trace shows {seen}"
            ),
            Self::NotReceived { frame, role } => write!(
                f,
                "frame {frame}: the {role} had to accept the RST, but the kernel trace shows no socket closed by it"
            ),
            Self::OtherReceived { role } => write!(
                f,
                "the kernel trace shows that an RST closed the {role}'s socket, but that RST was not captured"
            ),
            Self::StateDiffers {
                frame,
                role,
                expected,
                seen,
            } => write!(
                f,
                "frame {frame}: the {role} was in {expected} according to the packets, but in {seen} according to the kernel trace"
            ),
            Self::ErrorNotReported { call, errno } => write!(
                f,
                "call {call} returned {errno}, but the kernel trace shows no such error on its socket"
            ),
            Self::OtherErrorReported { role, errno } => write!(
                f,
                "the kernel trace shows {errno} on the {role}'s socket, and nothing else explains it"
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
                "the kernel counted 0 RSTs sent in this namespace (OutRsts), but 1 were captured",
            ),
            (
                Disagreement::Counter {
                    name: "EstabResets",
                    expected: 2,
                    seen: 1,
                },
                "counter-differs",
                "kernel counter EstabResets: expected +2, got +1",
            ),
            (
                Disagreement::NotCaptured { role, reason: None },
                "kernel-reset-not-captured",
                "the kernel trace shows an RST sent by the client (no reason given) that was not captured",
            ),
            (
                Disagreement::WrongSender {
                    frame,
                    expected: Sender::Socket,
                    seen: Sender::Kernel,
                },
                "wrong-sender",
                "frame 6: expected sender socket, kernel trace shows kernel",
            ),
            (
                Disagreement::WrongReason {
                    frame,
                    expected: "TCP_STATE",
                    seen: "99".to_owned(),
                },
                "wrong-reason",
                "frame 6: expected reason TCP_STATE, kernel trace shows 99",
            ),
            (
                Disagreement::StateDiffers {
                    frame,
                    role,
                    expected: State::Established,
                    seen: "TCP_CLOSE_WAIT".to_owned(),
                },
                "kernel-state-differs",
                "frame 6: the client was in ESTABLISHED according to the packets, but in TCP_CLOSE_WAIT according to the kernel trace",
            ),
            (
                Disagreement::ErrorNotReported {
                    call: 5,
                    errno: Errno::EPIPE,
                },
                "kernel-reported-no-error",
                "call 5 returned EPIPE, but the kernel trace shows no such error on its socket",
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
