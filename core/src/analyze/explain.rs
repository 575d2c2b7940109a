//! Explanation of an RST: the receiver's required action, the cause, and the errors that the application receives.
//!
//! The flow determines the receiver's state and whether the RST is acceptable. The cause follows from the form of the
//! RST and from the history of the connection, and each conclusion comes with its explanation. A capture contains
//! packets, not sockets: where it leaves the cause open, the explanation names an observation that would confirm it
//! instead of a guess.

use std::fmt;

use serde::{Serialize, Serializer};

use super::connections::CaptureGaps;
use crate::flow::{Acceptance, Form, Reset, State};
use crate::packet::{Flags, Header, SeqNum};
use crate::time::Timestamp;
use crate::transcript::{Errno, Role};

/// Cause of an RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Connection refused: nothing is listening on the port, or a firewall rejected the SYN.
    Refused,
    /// Socket closed in a way that aborts, or ended by its process or kernel.
    AbortedClose,
    /// Data received for a socket that had been closed in an orderly way.
    DataAfterClose,
    /// Sender without the connection: its host has no socket for the segments of the other end.
    HalfOpenPeer,
    /// Segment received by a listener that opens no connection.
    ListenerAnswer,
    /// Keepalive probe that found no connection, or unanswered keepalive probes.
    Keepalive,
    /// Further RST of a connection that had already been reset.
    Duplicate,
    /// RST from an end that had already sent its FIN.
    ResetAfterFin,
    /// RST that belongs to no connection in the capture.
    Stray,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::AbortedClose,
        Self::DataAfterClose,
        Self::HalfOpenPeer,
        Self::ListenerAnswer,
        Self::Keepalive,
        Self::Duplicate,
        Self::ResetAfterFin,
        Self::Stray,
    ];

    /// Returns the stable id, in kebab-case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::AbortedClose => "aborted-close",
            Self::DataAfterClose => "data-after-close",
            Self::HalfOpenPeer => "half-open-peer",
            Self::ListenerAnswer => "listener-answer",
            Self::Keepalive => "keepalive",
            Self::Duplicate => "duplicate",
            Self::ResetAfterFin => "reset-after-fin",
            Self::Stray => "stray",
        }
    }

    /// Returns the meaning of the cause, as a clause.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Refused => "port closed, or rejected by a firewall",
            Self::AbortedClose => "the sender's socket aborted the connection",
            Self::DataAfterClose => "data arrived for a socket that had been closed",
            Self::HalfOpenPeer => "the sender has no such connection",
            Self::ListenerAnswer => "a listener received a segment that opens no connection",
            Self::Keepalive => "a keepalive probe found no connection",
            Self::Duplicate => "the connection had already been reset",
            Self::ResetAfterFin => "the sender had closed its half, then aborted",
            Self::Stray => "belongs to no connection in this capture",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// Action that the standards require of the receiver of an RST (RFC 9293, 3.10.7; RFC 5961, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredAction {
    /// Reset the connection.
    Accept,
    /// Drop the RST silently.
    Drop,
    /// Answer with a challenge ACK.
    Challenge,
    /// None: the RST did not reach its receiver.
    NotDelivered,
    /// Unknown from this capture.
    Unknown,
}

impl RequiredAction {
    /// Returns the action that follows from the acceptance of an RST.
    #[must_use]
    pub fn of(acceptance: Acceptance) -> Self {
        match acceptance {
            Acceptance::Unknown => Self::Unknown,
            Acceptance::NotArrived => Self::NotDelivered,
            it if it.is_acceptable() => Self::Accept,
            it if it.triggers_challenge() => Self::Challenge,
            _ => Self::Drop,
        }
    }
}

/// Results of a later call of the receiving application, on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Later {
    /// Name of the call.
    pub call: &'static str,
    /// Errno or return value if the call is the first to meet the error.
    pub first: &'static str,
    /// Result of every call after the one that reported the error.
    pub afterwards: &'static str,
}

/// Calls after a reset: `tcp_reset()` sets the error, and the first call clears it (`sock_error()`).
const RESET: [Later; 2] = [
    Later {
        call: "read",
        first: "ECONNRESET",
        afterwards: "0",
    },
    Later {
        call: "write",
        first: "ECONNRESET",
        afterwards: "EPIPE",
    },
];

/// Calls after a reset in CLOSE-WAIT: read checks `SOCK_DONE` before the error, so it never reports the error.
const RESET_AFTER_FIN: [Later; 2] = [
    Later {
        call: "read",
        first: "0",
        afterwards: "0",
    },
    Later {
        call: "write",
        first: "EPIPE",
        afterwards: "EPIPE",
    },
];

/// Calls after a refused connection, on a non-blocking socket. A blocking socket is unconnected again.
const REFUSED: [Later; 3] = [
    Later {
        call: "connect",
        first: "ECONNREFUSED",
        afterwards: "ECONNABORTED",
    },
    Later {
        call: "read",
        first: "ECONNREFUSED",
        afterwards: "0",
    },
    Later {
        call: "write",
        first: "ECONNREFUSED",
        afterwards: "EPIPE",
    },
];

/// Explanation of one RST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// True if the receiver had to accept the RST; `None` if unknown from this capture.
    pub acceptable: Option<bool>,
    /// Action required of the receiver.
    pub required_action: RequiredAction,
    /// Cause of the RST; `None` if unknown from this capture.
    pub cause: Option<Cause>,
    /// Explanation of the cause, or of why it is unknown: a clause.
    pub explanation: &'static str,
    /// Observation that would confirm the cause.
    pub to_confirm: Option<&'static str>,
    /// Error that the receiving application gets; `None` if the RST sets no error, or no socket is left to report it.
    pub errno: Option<Errno>,
    /// Reason why there is no errno.
    pub errno_note: Option<&'static str>,
    /// Results of later calls of the receiving application.
    pub later: &'static [Later],
}

impl Explanation {
    /// Explains an RST, given the earlier packets of its connection.
    #[must_use]
    pub fn of(
        reset: &Reset,
        header: &Header,
        sender_state: Option<State>,
        past: &ConnectionHistory,
        gaps: &CaptureGaps,
    ) -> Self {
        // In a connection captured midstream, the receiver's state and RCV.NXT are known only after a packet of the
        // sender.
        let is_known = !gaps.begins_midstream || past.of(reset.from).packets > 0;
        let required_action = match RequiredAction::of(reset.acceptance) {
            // Delivery is visible in the capture itself, whatever is known of the connection.
            RequiredAction::NotDelivered => RequiredAction::NotDelivered,
            _ if !is_known => RequiredAction::Unknown,
            known => known,
        };
        let (cause, explanation, to_confirm) = cause(reset, header, sender_state, past, gaps);
        let errno = reset.puts_error_on(reset.from.peer()).filter(|_| is_known);
        let later: &[Later] = match (errno, reset.receiver_state) {
            (None, _) => &[],
            (Some(_), State::CloseWait) => &RESET_AFTER_FIN,
            (Some(_), State::SynSent) => &REFUSED,
            (Some(_), _) => &RESET,
        };
        Self {
            acceptable: match required_action {
                RequiredAction::Unknown => None,
                other => Some(other == RequiredAction::Accept),
            },
            required_action,
            cause,
            explanation,
            to_confirm,
            errno,
            errno_note: errno.is_none().then(|| errno_note(reset, required_action)),
            later,
        }
    }
}

fn errno_note(reset: &Reset, required_action: RequiredAction) -> &'static str {
    match (required_action, reset.receiver_state) {
        (RequiredAction::NotDelivered, _) => {
            "it was captured at its sender, but not at its receiver"
        }
        (RequiredAction::Unknown, _) => {
            "the capture does not show whether the receiver had to accept it"
        }
        (RequiredAction::Drop | RequiredAction::Challenge, _) => "its receiver does not accept it",
        (RequiredAction::Accept, State::TimeWait) => {
            "a connection in TIME-WAIT has no socket that could report it"
        }
        (RequiredAction::Accept, _) => {
            "the connection is still in the SYN or accept queue, and the listener drops it"
        }
    }
}

const FORM_ACTIVE: &str = "carries a window, and timestamps where they are in use, so a socket aborted; it is not a reply to a segment";

/// Returns the cause, its explanation, and an observation that would confirm it. The order of the cases matters: the
/// first one that fits is reported.
fn cause(
    reset: &Reset,
    header: &Header,
    sender_state: Option<State>,
    past: &ConnectionHistory,
    gaps: &CaptureGaps,
) -> (Option<Cause>, &'static str, Option<&'static str>) {
    let (sender, receiver) = (past.of(reset.from), past.of(reset.from.peer()));
    let is_first = past.packets == 0;
    if is_first {
        return (
            Some(Cause::Stray),
            "no earlier packet of this connection was captured",
            Some("a capture that starts earlier"),
        );
    }
    let was_reset = sender.reset() || receiver.reset();
    match reset.form {
        Some(Form::PassiveAck) if reset.acceptance == Acceptance::AcknowledgesSyn => (
            Some(Cause::Refused),
            "reply to a SYN: nothing is listening on that port, or a firewall rejected it",
            Some("check OutRsts on that host; it increases only if its kernel sent the RST"),
        ),
        _ if was_reset && reset.receiver_state == State::Closed => (
            Some(Cause::Duplicate),
            "an earlier RST had already closed the connection at its receiver",
            None,
        ),
        Some(Form::PassiveAck) => (
            Some(Cause::Stray),
            "reply to a segment without ACK, but its receiver is not waiting for one",
            None,
        ),
        Some(Form::Passive) => answer(reset, sender_state, past, gaps),
        Some(Form::Active) if sender.reset() => (
            Some(Cause::Duplicate),
            "the same end has already sent an RST",
            None,
        ),
        Some(Form::Active) if sender.fin() => (
            Some(Cause::ResetAfterFin),
            "the sender had sent its FIN, then its socket aborted: it was closed with unread data, or waited too long \
             for the FIN of its peer",
            None,
        ),
        // Any packet of the other end resets `probes`, so these were not answered.
        Some(Form::Active) if sender.probes > 0 => (
            Some(Cause::Keepalive),
            "the sender's keepalive probes were not answered, so its socket gave up",
            None,
        ),
        // Linux puts the real window into an abort, so a window of 0 more often comes from another system.
        Some(Form::Active) if header.window == 0 => (
            Some(Cause::AbortedClose),
            "RST with ACK at the sender's next sequence number: a socket aborted; other systems than Linux send it with window 0",
            Some("identify the operating system of the sender"),
        ),
        Some(Form::Active) => (
            Some(Cause::AbortedClose),
            FORM_ACTIVE,
            Some(
                "trace the sender: it may have closed with unread data, closed with SO_LINGER 0, or been ended by its process or kernel",
            ),
        ),
        None => (
            None,
            "the Linux kernel sends no RST of this form, so the form does not show its cause",
            Some("identify the operating system of the sender, or capture at the sender"),
        ),
    }
}

/// Returns the cause of an RST that replies to a segment with ACK, its explanation, and an observation that would
/// confirm it.
fn answer(
    reset: &Reset,
    sender_state: Option<State>,
    past: &ConnectionHistory,
    gaps: &CaptureGaps,
) -> (Option<Cause>, &'static str, Option<&'static str>) {
    let (sender, receiver) = (past.of(reset.from), past.of(reset.from.peer()));
    // `probes` is not 0 only if the receiver's latest segment was a probe, so the RST has to reply to that one.
    let drawn = reset.triggered_by;
    let is_latest = drawn.is_some() && drawn == receiver.latest().map(|it| it.frame);
    if is_latest && receiver.probes > 0 {
        return (
            Some(Cause::Keepalive),
            "reply to a keepalive probe: the sender no longer has a socket for this connection",
            Some(
                "check whether the sender's host was restarted, or its socket closed without a captured packet",
            ),
        );
    }
    if sender.fin() {
        return if receiver.data_after_fin() {
            (
                Some(Cause::DataAfterClose),
                "the sender had already closed (FIN); data arrived for a socket that no longer exists",
                None,
            )
        } else {
            (
                Some(Cause::ResetAfterFin),
                "the sender had already closed (FIN); a segment arrived for a socket that no longer exists",
                None,
            )
        };
    }
    if sender.reset() {
        return (
            Some(Cause::Duplicate),
            "the same end has already sent an RST; this one replies to a segment that was still in flight",
            None,
        );
    }
    // `reset()` is false here, so the receiver did not accept the earlier RST.
    if sender.previous.is_some() {
        return (
            Some(Cause::Duplicate),
            "the same end has already sent an RST that its receiver did not accept or receive, and repeats it",
            None,
        );
    }
    if receiver.reset() {
        return (
            Some(Cause::HalfOpenPeer),
            "the sender accepted an earlier RST from the other end's address and no longer has a socket; the other end goes on \
             as if it had not sent that RST",
            Some("capture at the end whose address the first RST carries: did it send that RST?"),
        );
    }
    if sender_state == Some(State::SynSent) {
        return (
            Some(Cause::HalfOpenPeer),
            "the sender is still connecting, and replies to a segment of another connection than the one it asked for",
            Some(
                "check whether the other end still has an old connection between these ports, or whether its reply was forged",
            ),
        );
    }
    match reset.receiver_state {
        State::SynReceived => (
            Some(Cause::HalfOpenPeer),
            "reply to a SYN-ACK: the sender sent no SYN, or no longer has that connection (a scan, a forged source address, \
             an old connection)",
            Some("capture at the sender"),
        ),
        // In a connection captured midstream, earlier packets of the sender may be missing from the capture.
        _ if sender.packets == 0 && !gaps.begins_midstream => (
            Some(Cause::ListenerAnswer),
            "reply to a segment with ACK from an end that it has never replied to before: sent by a listener, or for a closed port",
            None,
        ),
        _ if sender.packets == 1 && !gaps.begins_midstream => (
            Some(Cause::HalfOpenPeer),
            "the sender completed its part of the handshake and sent nothing since; now it has no socket: the connection was \
             never accepted, or its socket closed without a captured packet",
            Some(
                "check ListenOverflows and EmbryonicRsts on the sender's host, and whether its listener was closed",
            ),
        ),
        _ => (
            Some(Cause::HalfOpenPeer),
            "SEQ is the ACK number of the segment it replies to, without window and timestamps: the sender's kernel found no \
             socket, or a device on the path replied in its place",
            Some(
                "check OutRsts on the sender's host, which increases only if its kernel sent the RST, and whether that host was restarted",
            ),
        ),
    }
}

/// History of one end of a connection.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct EndpointHistory {
    /// Latest RST of this end.
    // Boxed, because few connections have an RST and a `Header` would dominate the size of all others.
    pub previous: Option<Box<Header>>,
    /// Capture time of the latest segment. This field and the frame number are valid only if `packets` is not 0.
    latest_at: Timestamp,
    latest_frame: u32,
    /// Number of packets that this end has sent, without RSTs; saturates at `u8::MAX`.
    // One byte is enough: only 0, 1 and more are distinguished.
    pub packets: u8,
    /// Number of keepalive probes of this end since the last packet of the other end.
    pub probes: u8,
    /// Bits: `FIN`, `RESET` and `DATA_AFTER_FIN`.
    deeds: u8,
}

impl EndpointHistory {
    const FIN: u8 = 1;
    const RESET: u8 = 1 << 1;
    const DATA_AFTER_FIN: u8 = 1 << 2;

    /// Returns true if this end has sent a FIN.
    #[must_use]
    pub fn fin(&self) -> bool {
        self.deeds & Self::FIN != 0
    }

    /// Returns true if this end has sent an RST that was accepted.
    #[must_use]
    pub fn reset(&self) -> bool {
        self.deeds & Self::RESET != 0
    }

    /// Returns true if this end has sent data after the other end's FIN.
    #[must_use]
    pub fn data_after_fin(&self) -> bool {
        self.deeds & Self::DATA_AFTER_FIN != 0
    }

    /// Returns the latest segment of this end.
    #[must_use]
    pub fn latest(&self) -> Option<Latest> {
        (self.packets > 0).then_some(Latest {
            frame: self.latest_frame,
            at: self.latest_at,
        })
    }

    fn note(&mut self, deed: u8, is_done: bool) {
        self.deeds |= if is_done { deed } else { 0 };
    }
}

/// Frame number and time of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Latest {
    /// Number of the frame.
    pub frame: u32,
    /// Capture time.
    pub at: Timestamp,
}

/// History of a connection before an RST, as far as the explanation depends on it.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct ConnectionHistory {
    done: [EndpointHistory; 2],
    /// Number of packets that both ends have sent, including RSTs.
    pub packets: u64,
    /// Bits: one for each part of the handshake that was captured.
    captured: u8,
    /// True if a part of the handshake was sent more than once.
    is_repeated: bool,
    /// Capture times of the parts: the SYN, its reply, and the next segment.
    parts: [Timestamp; 3],
}

// A capture may have a million connections with one `Past` each, so its size matters. Fields that every packet changes
// come first.
const _: () = assert!(size_of::<ConnectionHistory>() <= 88);

impl ConnectionHistory {
    const SYN: usize = 0;
    const SYN_ACK: usize = 1;
    const NEXT: usize = 2;

    /// Returns the history of an end.
    #[must_use]
    pub fn of(&self, role: Role) -> &EndpointHistory {
        match role {
            Role::Client => &self.done[0],
            Role::Server => &self.done[1],
        }
    }

    /// Adds a segment that is not an RST. `next` is the sequence number that the flow expected.
    #[inline]
    pub fn take(&mut self, from: Role, header: &Header, next: Option<SeqNum>) {
        self.packets += 1;
        let flags = header.flags;
        // A handshake is among the first packets. A bound saves the check for all the others.
        if self.packets <= 8 {
            self.time_handshake(flags, header.at);
        }
        let [client, server] = &mut self.done;
        let (sender, other) = match from {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        sender.packets = sender.packets.saturating_add(1);
        sender.note(EndpointHistory::FIN, flags.has(Flags::FIN));
        sender.note(
            EndpointHistory::DATA_AFTER_FIN,
            other.fin() && header.payload_len > 0,
        );
        // RFC 9293, 3.8.4: a probe has a sequence number one below the next one, and either no data or one byte that
        // the other end already has.
        let is_probe = header.payload_len <= 1
            && flags.has(Flags::ACK)
            && flags.0 & (Flags::SYN.0 | Flags::FIN.0) == 0
            && next.is_some_and(|next| header.seq.plus(1) == next);
        sender.probes = if is_probe {
            sender.probes.saturating_add(1)
        } else {
            0
        };
        // Any packet shows that this end is alive, so it answers the probes of the other end.
        other.probes = 0;
        sender.latest_frame = header.frame;
        sender.latest_at = header.at;
    }

    fn time_handshake(&mut self, flags: Flags, at: Timestamp) {
        let part = match (flags.has(Flags::SYN), flags.has(Flags::ACK)) {
            (true, false) => Self::SYN,
            (true, true) => Self::SYN_ACK,
            (false, _) if self.part(Self::NEXT).is_none() => Self::NEXT,
            (false, _) => return,
        };
        self.is_repeated |= self.part(part).is_some();
        self.captured |= 1 << part;
        self.parts[part] = at;
    }

    /// Returns the time at which a part of the handshake was captured.
    fn part(&self, part: usize) -> Option<Timestamp> {
        (self.captured >> part & 1 == 1).then_some(self.parts[part])
    }

    /// Adds an RST.
    pub fn take_reset(&mut self, reset: &Reset, header: &Header) {
        self.packets += 1;
        let done = match reset.from {
            Role::Client => &mut self.done[0],
            Role::Server => &mut self.done[1],
        };
        done.note(EndpointHistory::RESET, reset.acceptance.is_acceptable());
        done.previous = Some(Box::new(*header));
    }

    /// Returns the time in nanoseconds that an end took to reply in the handshake, including the way from the capture
    /// point to that end and back. `None` if a part is missing or was sent more than once.
    #[must_use]
    pub fn rtt(&self, of: Role) -> Option<i64> {
        // A reply to a retransmission cannot be told from a reply to the original (Karn's algorithm).
        if self.is_repeated {
            return None;
        }
        match of {
            Role::Server => Some(self.part(Self::SYN_ACK)?.since(self.part(Self::SYN)?)),
            Role::Client => Some(self.part(Self::NEXT)?.since(self.part(Self::SYN_ACK)?)),
        }
    }

    /// Returns the time in nanoseconds since a frame was captured, if it is the latest frame of this end.
    #[must_use]
    pub fn since(&self, frame: u32, of: Role, now: Timestamp) -> Option<i64> {
        let latest = self.of(of).latest()?;
        (latest.frame == frame).then(|| now.since(latest.at))
    }
}
