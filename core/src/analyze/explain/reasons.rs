//! Texts of all explanations: a row for each rule that finds a cause, or that finds none.

use super::Cause;

/// Conclusion of a rule.
pub(super) struct Reason {
    /// Cause of the RST; `None` if the capture leaves it open.
    pub(super) cause: Option<Cause>,
    /// Explanation of the cause, or of why it is unknown: a clause.
    pub(super) explanation: &'static str,
    /// Observation that would confirm the cause.
    pub(super) to_confirm: Option<&'static str>,
}

pub(super) const NO_EARLIER_PACKET: Reason = Reason {
    cause: Some(Cause::Stray),
    explanation: "no earlier packet of this connection was captured",
    to_confirm: Some("a capture that starts earlier"),
};

pub(super) const REFUSED_SYN: Reason = Reason {
    cause: Some(Cause::Refused),
    explanation: "reply to a SYN: nothing is listening on that port, or a firewall rejected it",
    to_confirm: Some("check OutRsts on that host; it increases only if its kernel sent the RST"),
};

pub(super) const ALREADY_CLOSED: Reason = Reason {
    cause: Some(Cause::Duplicate),
    explanation: "an earlier RST had already ended the connection",
    to_confirm: None,
};

pub(super) const UNEXPECTED_REPLY_WITHOUT_ACK: Reason = Reason {
    cause: Some(Cause::Stray),
    explanation: "reply to a segment without ACK, but its receiver is not waiting for one",
    to_confirm: None,
};

pub(super) const ABORT_AFTER_RESET: Reason = Reason {
    cause: Some(Cause::Duplicate),
    explanation: "the same end has already sent an RST",
    to_confirm: None,
};

pub(super) const ABORT_AFTER_FIN: Reason = Reason {
    cause: Some(Cause::ResetAfterFin),
    explanation: "the sender had sent its FIN, then its socket aborted: it was closed with unread data, or waited too long \
             for the FIN of its peer",
    to_confirm: None,
};

pub(super) const UNANSWERED_PROBES: Reason = Reason {
    cause: Some(Cause::Keepalive),
    explanation: "the sender's keepalive probes were not answered, so its socket gave up",
    to_confirm: None,
};

pub(super) const ABORT_WITH_WINDOW_0: Reason = Reason {
    cause: Some(Cause::AbortedClose),
    explanation: "RST with ACK at the sender's next sequence number: a socket aborted; other systems than Linux send it with window 0",
    to_confirm: Some("identify the operating system of the sender"),
};

pub(super) const ABORT: Reason = Reason {
    cause: Some(Cause::AbortedClose),
    explanation: "carries a window, and timestamps where they are in use, so a socket aborted; it is not a reply to a segment",
    to_confirm: Some(
        "trace the sender: it may have closed with unread data, closed with SO_LINGER 0, or been ended by its process or kernel",
    ),
};

pub(super) const UNKNOWN_FORM: Reason = Reason {
    cause: None,
    explanation: "the Linux kernel sends no RST of this form, so the form does not show its cause",
    to_confirm: Some("identify the operating system of the sender, or capture at the sender"),
};

pub(super) const ANSWERED_PROBE: Reason = Reason {
    cause: Some(Cause::Keepalive),
    explanation: "reply to a keepalive probe: the sender no longer has a socket for this connection",
    to_confirm: Some(
        "check whether the sender's host was restarted, or its socket closed without a captured packet",
    ),
};

pub(super) const DATA_FOR_CLOSED_SOCKET: Reason = Reason {
    cause: Some(Cause::DataAfterClose),
    explanation: "the sender had already closed (FIN); data arrived for a socket that no longer exists",
    to_confirm: None,
};

pub(super) const SEGMENT_FOR_CLOSED_SOCKET: Reason = Reason {
    cause: Some(Cause::ResetAfterFin),
    explanation: "the sender had already closed (FIN); a segment arrived for a socket that no longer exists",
    to_confirm: None,
};

pub(super) const SEGMENT_AFTER_UNSEEN_FIN: Reason = Reason {
    cause: Some(Cause::DataAfterClose),
    explanation: "the sender's FIN is probably missing from the capture: one number after all captured data was acknowledged, and \
             nothing followed; now a segment arrived for a socket that no longer exists",
    to_confirm: Some("capture without loss: is there a FIN?"),
};

pub(super) const REFUSED_BEHIND_PROXY: Reason = Reason {
    cause: Some(Cause::RefusedBehindProxy),
    explanation: "the SYN-ACK had window 0 and nothing but this RST followed it: a proxy completed the handshake, and passes on \
             that the server behind it refused the connection",
    to_confirm: Some("capture between the proxy and the server"),
};

pub(super) const IN_FLIGHT_AFTER_RESET: Reason = Reason {
    cause: Some(Cause::Duplicate),
    explanation: "the same end has already sent an RST; this one replies to a segment that was still in flight",
    to_confirm: None,
};

pub(super) const REPEATED_RESET: Reason = Reason {
    cause: Some(Cause::Duplicate),
    explanation: "the same end has already sent an RST that its receiver did not accept or receive, and repeats it",
    to_confirm: None,
};

pub(super) const RESET_BY_OTHER_END: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "the sender accepted an earlier RST from the other end's address and no longer has a socket; the other end goes on \
             as if it had not sent that RST",
    to_confirm: Some(
        "capture at the end whose address the first RST carries: did it send that RST?",
    ),
};

pub(super) const OLDER_CONNECTION: Reason = Reason {
    cause: Some(Cause::OlderConnection),
    explanation: "the sender is still connecting, and the other end has replied from an older connection between the same ports: \
             the RST ends that one, and the SYN will be sent again",
    to_confirm: None,
};

pub(super) const STILL_CONNECTING: Reason = Reason {
    cause: Some(Cause::OlderConnection),
    explanation: "the sender is still connecting, and replies to a segment of another connection than the one it asked for",
    to_confirm: Some(
        "check whether the other end still has an old connection between these ports, or whether its reply was forged",
    ),
};

pub(super) const UNKNOWN_SYN_ACK: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "reply to a SYN-ACK: the sender sent no SYN, or no longer has that connection (a scan, a forged source address, \
             an old connection)",
    to_confirm: Some("capture at the sender"),
};

pub(super) const ABANDONED_CONNECT: Reason = Reason {
    cause: Some(Cause::AbandonedConnect),
    explanation: "reply to a SYN-ACK that acknowledges the sender's SYN: its socket was closed or timed out before, or the SYN came \
             from a scan or with a forged source address; the packets do not show which",
    to_confirm: Some(
        "check on the sender's host whether connect() was cancelled or timed out before the SYN-ACK arrived",
    ),
};

pub(super) const NEVER_REPLIED: Reason = Reason {
    cause: Some(Cause::ListenerAnswer),
    explanation: "reply to a segment with ACK from an end that it has never replied to before: sent by a listener, or for a closed port",
    to_confirm: None,
};

pub(super) const NEVER_ACCEPTED: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "the sender completed its part of the handshake and sent nothing since; now it has no socket: the connection was \
             never accepted, or its socket closed without a captured packet",
    to_confirm: Some(
        "check ListenOverflows and EmbryonicRsts on the sender's host, and whether its listener was closed",
    ),
};

pub(super) const NO_SOCKET: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "SEQ is the ACK number of the segment it replies to, without window and timestamps: the sender's kernel found no \
             socket, or a device on the path replied in its place",
    to_confirm: Some(
        "check OutRsts on the sender's host, which increases only if its kernel sent the RST, and whether that host was restarted",
    ),
};

pub(super) const THIRD_PARTY: Reason = Reason {
    cause: Some(Cause::ThirdParty),
    explanation: "the evidence indicates that a third party sent it in the name of its source address",
    to_confirm: Some(
        "capture at the host whose address it carries, or check OutRsts there, which increases only if its kernel sent the RST",
    ),
};
