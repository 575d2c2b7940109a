//! Disagreements between the kernel's counters and trace and the other evidence: rule 6.

use serde::Serialize;
use thiserror::Error;

use crate::flow::State;
use crate::scenario::{Role, Sender};
use crate::transcript::Errno;

/// Disagreement between the kernel and the other evidence. Its text is one line with both sides.
///
/// Calls are indices into the transcript; frames are numbers in the capture.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // the names describe the fields
pub enum KernelMismatch {
    /// Number of RSTs sent by the kernel that differs from the number captured.
    #[error(
        "the kernel counted {sent} RSTs sent in this namespace (OutRsts), but {captured} were captured"
    )]
    ResetsSent { sent: u64, captured: u64 },
    /// Kernel counter that did not change by the expected amount.
    #[error("kernel counter {name}: expected +{expected}, got +{seen}")]
    Counter {
        #[serde(rename = "counter")]
        name: &'static str,
        expected: u64,
        #[serde(rename = "actual")]
        seen: u64,
    },
    /// Captured RST that the kernel at its source address did not send.
    #[error(
        "frame {frame}: the RST was captured, but the kernel trace shows that the {role}'s kernel did not send it: \
         a firewall or a third party did"
    )]
    NotSent { frame: u32, role: Role },
    /// RST that the kernel sent and that was not captured.
    #[error(
        "the kernel trace shows an RST sent by the {role} ({}) that was not captured",
        .reason.as_deref().unwrap_or("no reason given")
    )]
    NotCaptured {
        role: Role,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// RST from a sender other than the expected one.
    #[error("frame {frame}: expected sender {}, kernel trace shows {}", .expected.name(), .seen.name())]
    WrongSender {
        frame: u32,
        expected: Sender,
        #[serde(rename = "actual")]
        seen: Sender,
    },
    /// RST sent for a reason other than the expected one.
    #[error("frame {frame}: expected reason {expected}, kernel trace shows {seen}")]
    WrongReason {
        frame: u32,
        expected: &'static str,
        #[serde(rename = "actual")]
        seen: String,
    },
    /// RST that this end was required to accept and that closed none of its sockets.
    #[error(
        "frame {frame}: the {role} had to accept the RST, but the kernel trace shows no socket closed by it"
    )]
    NotReceived { frame: u32, role: Role },
    /// Socket of this end that was closed by an RST which is not on the wire.
    #[error(
        "the kernel trace shows that an RST closed the {role}'s socket, but that RST was not captured"
    )]
    OtherReceived { role: Role },
    /// Socket that was closed by the RST in a state other than the expected one.
    #[error(
        "frame {frame}: the {role} was in {expected} according to the packets, but in {seen} according to the kernel trace"
    )]
    StateDiffers {
        frame: u32,
        role: Role,
        expected: State,
        #[serde(rename = "actual")]
        seen: String,
    },
    /// Error that this call returned and that was not put on its socket.
    #[error("call {call} returned {errno}, but the kernel trace shows no such error on its socket")]
    ErrorNotReported { call: usize, errno: Errno },
    /// Error on this end's socket that nothing on the wire or in the calls explains.
    #[error("the kernel trace shows {errno} on the {role}'s socket, and nothing else explains it")]
    OtherErrorReported { role: Role, errno: Errno },
}

impl KernelMismatch {
    /// Returns the stable id, in kebab case.
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

    /// Returns the number of the frame that the mismatch is about, if any.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_names_the_expected_and_the_actual_value() {
        let (frame, role) = (6, Role::Client);
        for (mismatch, id, words) in [
            (
                KernelMismatch::ResetsSent {
                    sent: 0,
                    captured: 1,
                },
                "resets-sent-differ",
                "the kernel counted 0 RSTs sent in this namespace (OutRsts), but 1 were captured",
            ),
            (
                KernelMismatch::Counter {
                    name: "EstabResets",
                    expected: 2,
                    seen: 1,
                },
                "counter-differs",
                "kernel counter EstabResets: expected +2, got +1",
            ),
            (
                KernelMismatch::NotCaptured { role, reason: None },
                "kernel-reset-not-captured",
                "the kernel trace shows an RST sent by the client (no reason given) that was not captured",
            ),
            (
                KernelMismatch::WrongSender {
                    frame,
                    expected: Sender::Socket,
                    seen: Sender::Kernel,
                },
                "wrong-sender",
                "frame 6: expected sender socket, kernel trace shows kernel",
            ),
            (
                KernelMismatch::WrongReason {
                    frame,
                    expected: "TCP_STATE",
                    seen: "99".to_owned(),
                },
                "wrong-reason",
                "frame 6: expected reason TCP_STATE, kernel trace shows 99",
            ),
            (
                KernelMismatch::StateDiffers {
                    frame,
                    role,
                    expected: State::Established,
                    seen: "TCP_CLOSE_WAIT".to_owned(),
                },
                "kernel-state-differs",
                "frame 6: the client was in ESTABLISHED according to the packets, but in TCP_CLOSE_WAIT according to the kernel trace",
            ),
            (
                KernelMismatch::ErrorNotReported {
                    call: 5,
                    errno: Errno::EPIPE,
                },
                "kernel-reported-no-error",
                "call 5 returned EPIPE, but the kernel trace shows no such error on its socket",
            ),
        ] {
            assert_eq!((mismatch.id(), mismatch.to_string().as_str()), (id, words));
        }
    }

    #[test]
    fn messages_about_a_frame_name_its_number() {
        let role = Role::Server;
        let about = [
            KernelMismatch::NotSent { frame: 7, role },
            KernelMismatch::NotReceived { frame: 7, role },
        ];
        for mismatch in about {
            assert_eq!(mismatch.frame(), Some(7));
            assert!(mismatch.to_string().starts_with("frame 7: "));
        }
        let errno = Errno::ECONNRESET;
        for mismatch in [
            KernelMismatch::OtherReceived { role },
            KernelMismatch::OtherErrorReported { role, errno },
            KernelMismatch::ResetsSent {
                sent: 0,
                captured: 1,
            },
        ] {
            assert_eq!(mismatch.frame(), None);
        }
    }
}
