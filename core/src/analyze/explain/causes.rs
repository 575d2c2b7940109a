//! Causes of an RST: the table of causes, the conclusions that lead to each of them, and the rules that choose one.
//!
//! All that defines a cause is in this file. Facts about earlier packets that a rule needs are in
//! [`ConnectionHistory`].

use super::lacks_answer_to_syn_ack;
use crate::analyze::history::{CaptureGaps, ConnectionHistory};
use crate::analyze::identified::identified;
use crate::flow::{Acceptance, FinReceipt, Form, Reset, State};
use crate::packet::{Flags, Header};

identified! {
    /// Cause of an RST.
    pub enum Cause {
        /// Connection refused: nothing is listening on the port, or a firewall rejected the SYN.
        Refused = "refused", "port closed, or rejected by a firewall";
        /// Connection refused by the server behind a proxy that had completed the handshake.
        RefusedBehindProxy = "refused-behind-proxy", "a proxy connected, and the server behind it refused";
        /// Abort by the sender's socket: closed in a way that aborts, or ended by its process or kernel.
        AbortedClose = "aborted-close", "the sender's socket aborted the connection";
        /// Data received for a socket that had been closed in an orderly way.
        DataAfterClose = "data-after-close", "data arrived for a socket that had been closed";
        /// Sender without the connection: its host has no socket for the segments of the other end.
        HalfOpenPeer = "half-open-peer", "the sender has no such connection";
        /// Sender that is opening a connection, and received a segment of an older one.
        OlderConnection = "older-connection", "the sender is still connecting, and the other end replied from another connection";
        /// SYN-ACK in reply to the sender's own SYN, for which its host has no connecting socket: closed or timed out, or the
        /// SYN came from a scan.
        AbandonedConnect = "abandoned-connect", "the SYN-ACK found no socket that was connecting";
        /// Segment received by a listener that opens no connection.
        ListenerAnswer = "listener-answer", "a listener received a segment that opens no connection";
        /// Keepalive probe that found no connection, or unanswered keepalive probes.
        Keepalive = "keepalive", "keepalive probes found no connection, or no answer";
        /// Further RST of a connection that had already been reset.
        Duplicate = "duplicate", "the connection had already been reset";
        /// RST from an end that had already sent its FIN.
        ResetAfterFin = "reset-after-fin", "the sender had closed its half, then aborted";
        /// Segment that a NAT did not translate: it arrived under addresses that its receiver has no socket for.
        Untranslated = "untranslated", "NAT did not translate the segment that it replies to";
        /// Segment of an open connection that a NAT translated to other addresses than before.
        NatRemapped = "nat-remapped", "NAT gave an open connection another port or address";
        /// RST that a third party probably sent in the name of its source address.
        ThirdParty = "third-party", "probably sent by a third party in the name of the source address";
        /// RST in reply to a segment that its receiver has not sent, in a connection that was captured from its beginning.
        Stray = "stray", "replies to nothing that its receiver has sent";
    }
}

/// Conclusion of a rule.
pub(super) struct Reason {
    /// Cause of the RST; `None` if the capture leaves it open.
    pub(super) cause: Option<Cause>,
    /// Explanation of the cause, or of why it is unknown: a clause.
    pub(super) explanation: &'static str,
    /// Observation that would confirm the cause.
    pub(super) to_confirm: Option<&'static str>,
}

const IDENTIFY_SYSTEM: &str = "identify the operating system of the sender";

const IDENTIFY_SYSTEM_OR_CAPTURE: &str =
    "identify the operating system of the sender, or capture at the sender";

const TRACE_SENDER: &str = "trace the sender: it may have closed with unread data, closed with SO_LINGER 0, or been ended by its process or kernel";

const CHECK_LISTENER: &str = "check ListenOverflows and EmbryonicRsts on the sender's host, and whether its listener was closed";

const CHECK_HOST: &str = "check OutRsts on the sender's host, which increases only if its kernel sent the RST, and whether that host was restarted";

const CAPTURE_AT_SOURCE: &str = "capture at the host whose address it carries, or check OutRsts there, which increases only if its kernel sent the RST";

const COMPARE_TIMEOUTS: &str = "compare the silence with the idle timeouts of NATs, firewalls and load balancers on the path, and check OutRsts on the host whose \
     address it carries, which increases only if its kernel sent the RST";

/// Returns the observation that would confirm a cause, given one that leaves out what is known: the operating system of the
/// sender, or a silence that devices on the path may have timed out.
pub(super) fn refined(
    to_confirm: &'static str,
    is_system_known: bool,
    was_idle: bool,
) -> &'static str {
    match to_confirm {
        IDENTIFY_SYSTEM if is_system_known => TRACE_SENDER,
        IDENTIFY_SYSTEM_OR_CAPTURE if is_system_known => "capture at the sender",
        CHECK_LISTENER | CHECK_HOST | CAPTURE_AT_SOURCE if was_idle => COMPARE_TIMEOUTS,
        other => other,
    }
}

const ALONE_REPLY_WITHOUT_ACK: Reason = Reason {
    cause: None,
    explanation: "only RSTs of this connection were captured; RST with ACK, SEQ 0 and window 0 replies to a segment without ACK, usually a \
             SYN: then the port is closed, or a firewall rejected it",
    to_confirm: Some("capture all TCP segments: record with the filter tcp"),
};

const ALONE_REPLY: Reason = Reason {
    cause: None,
    explanation: "only RSTs of this connection were captured; an RST without ACK replies to a segment whose ACK number is its SEQ: the \
             sender had no socket for that segment, or a device on the path replied in its place",
    to_confirm: Some("capture all TCP segments: record with the filter tcp"),
};

const ALONE_ABORT: Reason = Reason {
    cause: None,
    explanation: "only RSTs of this connection were captured; RST with ACK and a window or timestamps is the abort of a socket, not a \
             reply; why the socket aborted is not in the capture",
    to_confirm: Some("capture all TCP segments: record with the filter tcp"),
};

const ALONE_WITH_WINDOW_0: Reason = Reason {
    cause: None,
    explanation: "only RSTs of this connection were captured; sockets of other systems than Linux abort with ACK and window 0, and so do \
             devices on the path",
    to_confirm: Some("capture all TCP segments: record with the filter tcp"),
};

const ALONE_OF_UNKNOWN_FORM: Reason = Reason {
    cause: None,
    explanation: "only RSTs of this connection were captured; an RST without ACK replies to a segment whose ACK number is its SEQ, unless a \
             socket aborted; the Linux kernel sends none with a window or an acknowledgment number",
    to_confirm: Some("capture all TCP segments: record with the filter tcp"),
};

const REFUSED_SYN: Reason = Reason {
    cause: Some(Cause::Refused),
    explanation: "reply to a SYN: nothing is listening on that port, or a firewall rejected it",
    to_confirm: Some("check OutRsts on that host; it increases only if its kernel sent the RST"),
};

const ALREADY_CLOSED: Reason = Reason {
    cause: Some(Cause::Duplicate),
    explanation: "an earlier RST had already ended the connection",
    to_confirm: None,
};

const UNEXPECTED_REPLY_WITHOUT_ACK: Reason = Reason {
    cause: Some(Cause::Stray),
    explanation: "RST with ACK and SEQ 0 replies to a segment without ACK, and its receiver has sent none that fits",
    to_confirm: None,
};

const UNCAPTURED_SEGMENT_WITHOUT_ACK: Reason = Reason {
    cause: None,
    explanation: "RST with ACK and SEQ 0 replies to a segment without ACK, which is not in this capture",
    to_confirm: Some("capture all TCP segments: record with the filter tcp"),
};

const REJECTED_BY_LISTENER: Reason = Reason {
    cause: Some(Cause::ListenerAnswer),
    explanation: "reply to a segment without ACK that opens no connection: sent by a listener, or for a closed port",
    to_confirm: None,
};

const REJECTED_SYN: Reason = Reason {
    cause: None,
    explanation: "reply to a segment without ACK, such as another SYN between the same ports: the sender rejects that segment; it may be \
             forged, or the receiver has begun a new connection",
    to_confirm: Some("check whether the receiver sent the segment that the RST replies to"),
};

const REPLY_TO_UNCAPTURED: Reason = Reason {
    cause: None,
    explanation: "an RST without ACK replies to a segment whose ACK number is its SEQ; the capture holds no segment of the other end",
    to_confirm: Some("capture all TCP segments: record with the filter tcp"),
};

const ABORT_AFTER_RESET: Reason = Reason {
    cause: Some(Cause::Duplicate),
    explanation: "the same end has already sent an RST",
    to_confirm: None,
};

const ABORT_AFTER_FIN: Reason = Reason {
    cause: Some(Cause::ResetAfterFin),
    explanation: "the sender had sent its FIN, then its socket aborted: it was closed with unread data, or waited too long \
             for the FIN of its peer",
    to_confirm: None,
};

const ABORT_AFTER_CLOSE: Reason = Reason {
    cause: Some(Cause::ResetAfterFin),
    explanation: "both ends had closed the connection before (FIN), so the RST changes nothing for the application",
    to_confirm: None,
};

const UNANSWERED_PROBES: Reason = Reason {
    cause: Some(Cause::Keepalive),
    explanation: "the sender's keepalive probes were not answered, so its socket gave up",
    to_confirm: None,
};

const ABORT_OF_NOTHING: Reason = Reason {
    cause: None,
    explanation: "it has the form of an abort, but its sender has sent nothing else in this capture, and so has no connection to abort",
    to_confirm: Some("capture at the host whose address it carries"),
};

const ABORT_WITHOUT_ACK: Reason = Reason {
    cause: Some(Cause::AbortedClose),
    explanation: "RST at the sender's next sequence number, which replies to no captured segment: a socket aborted; Linux sends such \
             an RST with ACK",
    to_confirm: Some(IDENTIFY_SYSTEM),
};

const ABORT_AFTER_EMPTY_SEGMENTS: Reason = Reason {
    cause: None,
    explanation: "a socket aborted; the empty segments before may have been keepalive probes that were not answered, because the SEQ \
             of the RST is one after theirs",
    to_confirm: Some("a capture that starts earlier"),
};

const ABORT_WITH_WINDOW_0: Reason = Reason {
    cause: Some(Cause::AbortedClose),
    explanation: "RST with ACK at the sender's next sequence number: a socket aborted; other systems than Linux send it with window 0",
    to_confirm: Some(IDENTIFY_SYSTEM),
};

const ABORT: Reason = Reason {
    cause: Some(Cause::AbortedClose),
    explanation: "carries a window, and timestamps where they are in use, so a socket aborted; it is not a reply to a segment",
    to_confirm: Some(TRACE_SENDER),
};

const UNKNOWN_FORM: Reason = Reason {
    cause: None,
    explanation: "the Linux kernel sends no RST of this form, so the form does not show its cause",
    to_confirm: Some(IDENTIFY_SYSTEM_OR_CAPTURE),
};

const ANSWERED_PROBE: Reason = Reason {
    cause: Some(Cause::Keepalive),
    explanation: "reply to a keepalive probe: the sender no longer has a socket for this connection",
    to_confirm: Some(
        "check whether the sender's host was restarted, or its socket closed without a captured packet",
    ),
};

const DATA_FOR_CLOSED_SOCKET: Reason = Reason {
    cause: Some(Cause::DataAfterClose),
    explanation: "the sender had already closed (FIN); data arrived for a socket that no longer exists",
    to_confirm: None,
};

const SEGMENT_FOR_CLOSED_SOCKET: Reason = Reason {
    cause: Some(Cause::ResetAfterFin),
    explanation: "the sender had already closed (FIN); a segment arrived for a socket that no longer exists",
    to_confirm: None,
};

const UNCAPTURED_SEGMENT_FOR_CLOSED_SOCKET: Reason = Reason {
    cause: None,
    explanation: "the sender had already closed (FIN); a segment that is not in this capture arrived for a socket that no longer exists",
    to_confirm: Some("capture all TCP segments: record with the filter tcp"),
};

const SEGMENT_AFTER_UNSEEN_FIN: Reason = Reason {
    cause: Some(Cause::DataAfterClose),
    explanation: "the sender's FIN is probably missing from the capture: one number after all captured data was acknowledged, and \
             nothing followed; now a segment arrived for a socket that no longer exists",
    to_confirm: Some("capture without loss: is there a FIN?"),
};

const REFUSED_BEHIND_PROXY: Reason = Reason {
    cause: Some(Cause::RefusedBehindProxy),
    explanation: "the SYN-ACK had window 0 and nothing but this RST followed it: a proxy completed the handshake, and passes on \
             that the server behind it refused the connection",
    to_confirm: Some("capture between the proxy and the server"),
};

const IN_FLIGHT_AFTER_RESET: Reason = Reason {
    cause: Some(Cause::Duplicate),
    explanation: "the same end has already sent an RST; this one replies to a segment whose sender had not received that RST",
    to_confirm: None,
};

const REPEATED_RESET: Reason = Reason {
    cause: Some(Cause::Duplicate),
    explanation: "the same end has already sent an RST that its receiver did not accept or receive, and repeats it",
    to_confirm: None,
};

const RESET_BY_OTHER_END: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "the sender accepted an earlier RST from the other end's address and no longer has a socket; the other end goes on \
             as if it had not sent that RST",
    to_confirm: Some(
        "capture at the end whose address the first RST carries: did it send that RST?",
    ),
};

const OLDER_CONNECTION: Reason = Reason {
    cause: Some(Cause::OlderConnection),
    explanation: "the sender is still connecting, and the other end has replied from an older connection between the same ports: \
             the RST ends that one, and the SYN will be sent again",
    to_confirm: None,
};

const STILL_CONNECTING: Reason = Reason {
    cause: Some(Cause::OlderConnection),
    explanation: "the sender is still connecting, and rejects a reply that does not fit its SYN (acknowledgment number or timestamp), as \
             one from another connection",
    to_confirm: Some(
        "check whether the other end still has an old connection between these ports, or whether its reply was forged",
    ),
};

const UNKNOWN_SYN_ACK: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "reply to a SYN-ACK: the sender sent no SYN, or no longer has that connection (a scan, a forged source address, \
             an old connection)",
    to_confirm: Some("capture at the sender"),
};

const ABANDONED_CONNECT: Reason = Reason {
    cause: Some(Cause::AbandonedConnect),
    explanation: "reply to a SYN-ACK that acknowledges the sender's SYN: its socket was closed or timed out before, or the SYN came \
             from a scan or with a forged source address; the packets do not show which",
    to_confirm: Some(
        "check on the sender's host whether connect() was cancelled or timed out before the SYN-ACK arrived",
    ),
};

const NEVER_REPLIED: Reason = Reason {
    cause: Some(Cause::ListenerAnswer),
    explanation: "reply to a segment with ACK from an end that it has never replied to before: sent by a listener, or for a closed port",
    to_confirm: None,
};

const NEVER_ACCEPTED: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "the sender completed its part of the handshake and sent nothing since; now it has no socket: the connection was \
             never accepted, its socket closed without a captured packet, or a device on the path replied in its place",
    to_confirm: Some(CHECK_LISTENER),
};

const NO_SOCKET: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "SEQ is the ACK number of the segment it replies to, without window and timestamps: the sender's kernel found no \
             socket, or a device on the path replied in its place",
    to_confirm: Some(CHECK_HOST),
};

pub(super) const UNPLACED: Reason = Reason {
    cause: None,
    explanation: "what preceded it is not known, because the packets of each point are in the order of another clock",
    to_confirm: Some(
        "join the separate captures with `rstproof analyze --join`, which corrects their clocks",
    ),
};

pub(super) const THIRD_PARTY: Reason = Reason {
    cause: Some(Cause::ThirdParty),
    explanation: "the evidence indicates that a third party sent it in the name of its source address",
    to_confirm: Some(CAPTURE_AT_SOURCE),
};

const CONNTRACK_INVALID: &str = "check on the NAT: `conntrack -S` counts segments outside the window as invalid=, and those pass without \
             translation; net.netfilter.nf_conntrack_tcp_be_liberal=1 has them translated, a firewall rule can drop state INVALID";

pub(super) const NOT_TRANSLATED: Reason = Reason {
    cause: Some(Cause::Untranslated),
    explanation: "NAT did not translate the segment that it replies to: the sender's kernel has no socket for its addresses, and \
             the socket of the connection did not send the RST",
    to_confirm: Some(CONNTRACK_INVALID),
};

pub(super) const REMAPPED: Reason = Reason {
    cause: Some(Cause::NatRemapped),
    explanation: "NAT gave the segment that it replies to other addresses than those before: the sender's kernel has no \
             socket for these, and the socket of the connection did not send the RST",
    to_confirm: Some(NAT_EXPIRED),
};

pub(super) const OUTSIDE_WINDOW: Reason = Reason {
    cause: Some(Cause::Untranslated),
    explanation: "it replies to a segment outside the window of its stated sender, whose socket would have sent an ACK, and that \
             end goes on: a NAT on the path probably did not translate the segment, so that the kernel which received it found no socket",
    to_confirm: Some(CONNTRACK_INVALID),
};

pub(super) const DEVICE_TRACKS_WINDOW: Reason = Reason {
    cause: Some(Cause::ThirdParty),
    explanation: "it replies to a segment outside the window of its stated sender, whose socket would have sent an ACK, and it was made \
             from that segment: a device on the path that tracks the window, such as a firewall, probably sent it",
    to_confirm: Some(CAPTURE_AT_SOURCE),
};

pub(super) const SENT_AT_NAT: Reason = Reason {
    cause: Some(Cause::ThirdParty),
    explanation: "sent at the NAT or just outside it: after a silence the segment that it replies to did not pass the NAT any more, and the \
             RST comes from the address that the NAT gave its stated sender; the NAT had probably forgotten the connection, unless a \
             firewall rule there rejects the segment",
    to_confirm: Some(NAT_EXPIRED),
};

const NAT_EXPIRED: &str = "check whether the NAT had forgotten the connection: compare the silence with \
             net.netfilter.nf_conntrack_tcp_timeout_established there; keepalive at shorter intervals keeps the entry";

pub(super) const SERVER_DIFFERS: Reason = Reason {
    cause: Some(Cause::Untranslated),
    explanation: "the segment that it replies to has the numbers of another connection of the same client socket, but does not come \
             from the server of that connection: NAT did not translate its address back, and the client's kernel has no socket for it",
    to_confirm: Some(CONNTRACK_INVALID),
};

pub(super) const CLIENT_PORT_DIFFERS: Reason = Reason {
    cause: Some(Cause::NatRemapped),
    explanation: "the segment that it replies to has the numbers of a connection from another port of the same client: NAT \
             translated it to another port than before, and the server's kernel has no socket for it",
    to_confirm: Some(NAT_EXPIRED),
};

pub(super) const CLIENT_DIFFERS: Reason = Reason {
    cause: Some(Cause::Untranslated),
    explanation: "the segment that it replies to has the numbers of a connection from the same port of another client address: NAT \
             did not translate it, or translated it to another address, and the server's kernel has no socket for it",
    to_confirm: Some(CONNTRACK_INVALID),
};

pub(super) const ENDED_BEFORE: Reason = Reason {
    cause: Some(Cause::HalfOpenPeer),
    explanation: "an earlier RST had ended the sender's end, so it has no socket; the other end goes on, because its kernel sent \
             that RST in reply to a segment under other addresses",
    to_confirm: None,
};

/// Returns the conclusion about an RST. The order of the rules matters: the first one that fits is reported.
pub(super) fn reason(
    reset: &Reset,
    header: &Header,
    sender_state: Option<State>,
    past: &ConnectionHistory,
    gaps: &CaptureGaps,
) -> &'static Reason {
    let (sender, receiver) = (past.of(reset.from), past.of(reset.from.peer()));
    if past.holds_only_resets() {
        return header_alone(header);
    }
    let was_reset = sender.reset() || receiver.reset();
    match reset.form {
        Some(Form::PassiveAck | Form::Active)
            if reset.acceptance == Acceptance::AcknowledgesSyn =>
        {
            &REFUSED_SYN
        }
        Some(Form::Active) if is_from_proxy(reset, header, past) => &REFUSED_BEHIND_PROXY,
        _ if was_reset && reset.receiver_state == State::Closed => &ALREADY_CLOSED,
        Some(Form::PassiveAck) => answer_without_ack(reset, past, gaps),
        Some(Form::Passive) => answer(reset, sender_state, past, gaps),
        Some(Form::Active) if sender.reset() => &ABORT_AFTER_RESET,
        // Windows answers such data with RST+ACK and window 0.
        Some(Form::Active) if sender.fin() && receiver.data_after_fin() && header.window == 0 => {
            &DATA_FOR_CLOSED_SOCKET
        }
        Some(Form::Active)
            if sender.fin() && matches!(reset.receiver_state, State::Closed | State::TimeWait) =>
        {
            &ABORT_AFTER_CLOSE
        }
        Some(Form::Active) if sender.fin() => &ABORT_AFTER_FIN,
        // Any packet of the other end resets `probes`, so these were not answered.
        Some(Form::Active) if sender.probes > 0 => &UNANSWERED_PROBES,
        Some(Form::Active) if sender.may_have_probed() => &ABORT_AFTER_EMPTY_SEGMENTS,
        // An end aborts a connection that it has.
        Some(Form::Active) if sender.packets == 0 && !gaps.begins_midstream => &ABORT_OF_NOTHING,
        Some(Form::Active) if !header.flags.has(Flags::ACK) => &ABORT_WITHOUT_ACK,
        // Linux puts the real window into an abort, so a window of 0 more often comes from another system.
        Some(Form::Active) if header.window == 0 => &ABORT_WITH_WINDOW_0,
        Some(Form::Active) => &ABORT,
        None => &UNKNOWN_FORM,
    }
}

/// Returns what the header of an RST shows, where nothing else of its connection was captured.
fn header_alone(header: &Header) -> &'static Reason {
    match Form::of(header) {
        Some(Form::PassiveAck) => &ALONE_REPLY_WITHOUT_ACK,
        Some(Form::Active) if header.window == 0 && header.timestamps.is_none() => {
            &ALONE_WITH_WINDOW_0
        }
        Some(Form::Active) => &ALONE_ABORT,
        Some(Form::Passive) => &ALONE_REPLY,
        None => &ALONE_OF_UNKNOWN_FORM,
    }
}

/// Returns the conclusion about an RST that replies to a segment without ACK, and is no refusal of its receiver's SYN.
fn answer_without_ack(
    reset: &Reset,
    past: &ConnectionHistory,
    gaps: &CaptureGaps,
) -> &'static Reason {
    let (sender, receiver) = (past.of(reset.from), past.of(reset.from.peer()));
    let may_lack_segment = gaps.begins_midstream || gaps.lost.is_some() || receiver.packets == 0;
    match reset.triggered_by {
        Some(_) if sender.packets == 0 => &REJECTED_BY_LISTENER,
        Some(_) => &REJECTED_SYN,
        None if may_lack_segment => &UNCAPTURED_SEGMENT_WITHOUT_ACK,
        None => &UNEXPECTED_REPLY_WITHOUT_ACK,
    }
}

/// Returns true for the RST of a proxy that completes handshakes itself, and passes on the RST with which the server
/// behind it refused the connection: the proxy's SYN-ACK closes the window until the server has replied.
fn is_from_proxy(reset: &Reset, header: &Header, past: &ConnectionHistory) -> bool {
    let has_sent_only_syn_ack = past.of(reset.from).packets == 1;
    reset.opened_with_window_0 && has_sent_only_syn_ack && header.window == 0
}

/// Returns the conclusion about an RST that replies to a segment with ACK.
fn answer(
    reset: &Reset,
    sender_state: Option<State>,
    past: &ConnectionHistory,
    gaps: &CaptureGaps,
) -> &'static Reason {
    let (sender, receiver) = (past.of(reset.from), past.of(reset.from.peer()));
    // `probes` is not 0 only if the receiver's latest segment was a probe, so the RST has to reply to that one.
    let trigger = reset.triggered_by;
    let is_latest = trigger.is_some() && trigger == receiver.latest().map(|it| it.frame);
    if is_latest && receiver.probes > 0 {
        return &ANSWERED_PROBE;
    }
    let is_connecting = sender_state == Some(State::SynSent);
    // An end that is connecting has sent its FIN in an earlier connection.
    if sender.fin() && !is_connecting {
        let may_lack_segment = receiver.packets == 0 || !past.holds_plain_segments();
        return if receiver.data_after_fin() {
            &DATA_FOR_CLOSED_SOCKET
        } else if trigger.is_none() && may_lack_segment {
            &UNCAPTURED_SEGMENT_FOR_CLOSED_SOCKET
        } else {
            &SEGMENT_FOR_CLOSED_SOCKET
        };
    }
    if sender.reset() {
        return &IN_FLIGHT_AFTER_RESET;
    }
    if reset.fin == FinReceipt::Inferred {
        return &SEGMENT_AFTER_UNSEEN_FIN;
    }
    // `reset()` is false here, so the receiver did not accept the earlier RST.
    if sender.previous.is_some() {
        return &REPEATED_RESET;
    }
    if receiver.reset() {
        return &RESET_BY_OTHER_END;
    }
    // Nothing shows what its receiver sent, and so what it replies to.
    if receiver.packets == 0 {
        return &REPLY_TO_UNCAPTURED;
    }
    if is_connecting {
        // An end that accepts the RST of an end in SYN-SENT has another connection, unless it has answered this SYN.
        let is_accepted =
            reset.acceptance.is_acceptable() && reset.receiver_state != State::SynReceived;
        return if reset.finds_older || is_accepted {
            &OLDER_CONNECTION
        } else {
            &STILL_CONNECTING
        };
    }
    if lacks_answer_to_syn_ack(reset, past) || gaps.lacks_plain && !past.holds_plain_segments() {
        return &NO_SOCKET;
    }
    match reset.receiver_state {
        // In SYN-SENT a SYN-ACK that acknowledges the SYN establishes the connection (RFC 9293, 3.10.7.3), so the sender
        // was not in SYN-SENT any more. CLOSE in SYN-SENT deletes the connection and sends nothing (3.10.4; `new_state` of
        // `tcp_close_state()`), and so does a timeout (`tcp_write_timeout()`). The SYN-ACK then gets the RST of a closed
        // port, <SEQ=SEG.ACK> (3.10.7.1; `tcp_v4_rcv()` finds no socket). A SYN from a raw socket gets the same reply.
        State::SynReceived
            if trigger.is_some()
                && sender_state == Some(State::Established)
                && past.is_syn_and_reply()
                && !gaps.begins_midstream =>
        {
            &ABANDONED_CONNECT
        }
        State::SynReceived => &UNKNOWN_SYN_ACK,
        // In a connection captured midstream, earlier packets of the sender may be missing from the capture.
        _ if sender.packets == 0 && !gaps.begins_midstream => &NEVER_REPLIED,
        _ if sender.packets == 1
            // Its SEQ would be ahead if the sender had sent anything else.
            && (reset.acceptance.is_acceptable() || reset.acceptance == Acceptance::NotArrived)
            && !gaps.begins_midstream
            && gaps.lost.is_none()
            && past.holds_plain_segments() =>
        {
            &NEVER_ACCEPTED
        }
        _ => &NO_SOCKET,
    }
}
