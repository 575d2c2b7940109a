//! TCP state of one connection, followed segment by segment from the capture alone.
//!
//! [`Flow`] keeps for each end the state, SND.NXT and RCV.NXT of RFC 9293, as they must be after the segments
//! captured so far: an end has sent the segments captured at that end, and received the segments that arrived there.
//! On loopback one frame shows both; between two hosts there are two frames, and one of them may be missing. These
//! numbers decide whether the receiver of an RST was required to accept it, and in which state: the two facts that
//! determine the error that the application sees. Pure: no clock, no socket, no pcap.

mod few;
mod icmp;

use std::fmt;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use self::few::SmallList;
use crate::packet::{Flags, Header, IcmpError, Segment, SeqNum, TcpTimestamps};
use crate::time::Timestamp;
use crate::transcript::{Errno, Role};

/// State of one end of a connection (RFC 9293, 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the RFC's
pub enum State {
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

impl State {
    /// Returns the name of the state as the RFC spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }

    /// Returns the error that an acceptable RST sets on a socket in this state, as `tcp_reset()` of the Linux kernel
    /// does. `None` if there is no socket to report it to. In SYN-RECEIVED a socket exists only after crossed SYNs or
    /// with TCP Fast Open; otherwise there is only a request, which the listener drops.
    #[must_use]
    pub fn errno_of_reset(self) -> Option<Errno> {
        match self {
            Self::SynSent => Some(Errno::ECONNREFUSED),
            Self::CloseWait => Some(Errno::EPIPE),
            Self::Listen | Self::TimeWait | Self::Closed => None,
            Self::SynReceived
            | Self::Established
            | Self::FinWait1
            | Self::FinWait2
            | Self::Closing
            | Self::LastAck => Some(Errno::ECONNRESET),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Form of an RST, which shows what made the Linux kernel send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Sent by a socket that aborted (`tcp_send_active_reset()`): RST+ACK at SND.NXT with a real window, and
    /// timestamps if they were negotiated.
    Active,
    /// Reply to a segment with ACK (`tcp_v4_send_reset()`): RST alone, SEQ = SEG.ACK, ACK field and window 0.
    Passive,
    /// Reply to a segment without ACK: RST+ACK, SEQ 0, the segment acknowledged, window 0.
    PassiveAck,
}

impl Form {
    /// Returns the form of this RST; `None` if the Linux kernel sends none like it.
    #[must_use]
    pub fn of(reset: &Header) -> Option<Self> {
        let bare = reset.window == 0 && reset.timestamps.is_none();
        if reset.flags.has(Flags::ACK) {
            let answers = bare && reset.seq == SeqNum(0);
            Some(if answers {
                Self::PassiveAck
            } else {
                Self::Active
            })
        } else {
            (bare && reset.ack == SeqNum(0)).then_some(Self::Passive)
        }
    }

    /// Returns true if the RST is a reply to a segment.
    #[must_use]
    pub fn is_answer(self) -> bool {
        self != Self::Active
    }

    /// Returns the name: `active`, `passive` or `passive-ack`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::PassiveAck => "passive-ack",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Acceptability of an RST to its receiver, with the ground for it. Sequence numbers are relative to the sender's
/// initial one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Acceptable: SEQ is exactly the receiver's RCV.NXT (RFC 5961, 3.2).
    Exact {
        /// SEQ of the RST, equal to RCV.NXT.
        seq: u32,
    },
    /// Acceptable in SYN-SENT: the RST acknowledges the SYN (RFC 9293, 3.10.7.3); its SEQ does not matter.
    AcknowledgesSyn,
    /// Acceptable: SEQ is the right edge of the highest block that the receiver has selectively acknowledged
    /// (`tcp_validate_incoming()`, Linux 4.8).
    SackEdge {
        /// SEQ of the RST.
        seq: u32,
    },
    /// Acceptable: SEQ is RCV.NXT − 1 after a FIN (`tcp_reset_check()`, Linux 4.11).
    BeforeFin {
        /// SEQ of the RST.
        seq: u32,
    },
    /// Not acceptable: the receiver has no connection to reset.
    NoConnection,
    /// Not acceptable in SYN-SENT: the RST does not acknowledge the SYN.
    SynNotAcknowledged,
    /// Not acceptable in TIME-WAIT, which no RST ends there (RFC 1337, 3, fix F1; `net.ipv4.tcp_rfc1337`).
    KeepsTimeWait,
    /// Not acceptable: SEQ differs from RCV.NXT.
    WrongSequence {
        /// SEQ of the RST.
        seq: u32,
        /// RCV.NXT of the receiver.
        rcv_nxt: u32,
    },
    /// Not acceptable: the RST never reached its receiver.
    NotArrived,
    /// Undetermined: the capture lacks the segments from which RCV.NXT is computed.
    Unknown,
}

impl Acceptance {
    /// Returns true if the receiver is required to accept the RST.
    #[must_use]
    pub fn is_acceptable(self) -> bool {
        matches!(
            self,
            Self::Exact { .. }
                | Self::AcknowledgesSyn
                | Self::SackEdge { .. }
                | Self::BeforeFin { .. }
        )
    }

    /// Returns true if the receiver may have to send a challenge ACK (RFC 5961, 3.2): SEQ is not exact, and ahead of
    /// RCV.NXT by less than the largest window (RFC 7323, 2.3). An RST outside of that window is dropped without a
    /// reply.
    #[must_use]
    pub fn triggers_challenge(self) -> bool {
        const LARGEST_WINDOW: u32 = 1 << 30;
        matches!(self, Self::WrongSequence { seq, rcv_nxt }
            if seq.wrapping_sub(rcv_nxt) < LARGEST_WINDOW)
    }
}

impl fmt::Display for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { seq } => write!(f, "SEQ {seq} = RCV.NXT"),
            Self::AcknowledgesSyn => f.write_str("it acknowledges the SYN"),
            Self::SackEdge { seq } => write!(f, "SEQ {seq} = right edge of the highest SACK block"),
            Self::BeforeFin { seq } => write!(f, "SEQ {seq} = RCV.NXT - 1 after a FIN"),
            Self::NoConnection => f.write_str("its receiver has no connection left to reset"),
            Self::KeepsTimeWait => f.write_str("no RST ends TIME-WAIT here (RFC 1337)"),
            Self::SynNotAcknowledged => f.write_str("it does not acknowledge the SYN"),
            Self::WrongSequence { seq, rcv_nxt } => write!(f, "SEQ {seq} is not RCV.NXT {rcv_nxt}"),
            Self::NotArrived => f.write_str("it did not reach its receiver"),
            Self::Unknown => f.write_str("RCV.NXT cannot be computed from this capture"),
        }
    }
}

/// RST of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Number of its frame in the capture.
    pub frame: u32,
    /// Time at which the frame was stamped.
    pub at: Timestamp,
    /// End whose address is the source address of the RST.
    pub from: Role,
    /// Form of the RST; `None` if the Linux kernel sends none like it.
    pub form: Option<Form>,
    /// State of the receiver when the RST arrives.
    pub receiver_state: State,
    /// Acceptability of the RST to its receiver.
    pub acceptance: Acceptance,
    /// Frame number of the receiver's segment that triggered the RST, if the RST is a reply and that frame was
    /// captured: the latest one whose ACK is the SEQ of the RST, or that the RST acknowledges (RFC 9293, 3.10.7.1).
    pub triggered_by: Option<u32>,
    /// Frame in which the RST left the end that is its stated source; `None` if it never left that end, and so was
    /// injected between the ends.
    pub left: Option<u32>,
    /// True if the receiver is a connection that has not been accepted and has no socket of its own: a request, which
    /// the listener drops.
    pub finds_request: bool,
    /// Number of bytes that the receiver had received before, with none missing before them.
    pub received_before: u32,
    /// Frame number of the challenge ACK with which the receiver replies to an RST that is not acceptable (RFC 5961,
    /// 3.2). If the sender of the RST has no connection, it replies to the challenge with an exact RST. [`Flow`]
    /// leaves this field `None`; the judge sets it.
    pub challenged_by: Option<u32>,
}

impl Reset {
    /// Returns the error that the RST sets on this end's socket; `None` if the RST does not go to that end, is not
    /// acceptable or finds no socket there.
    #[must_use]
    pub fn puts_error_on(&self, role: Role) -> Option<Errno> {
        (self.from == role.peer() && self.acceptance.is_acceptable() && !self.finds_request)
            .then(|| self.receiver_state.errno_of_reset())
            .flatten()
    }

    /// Returns true if the RST arrived at its destination.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.acceptance != Acceptance::NotArrived
    }
}

/// ICMP error about a segment of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Number of its frame in the capture.
    pub frame: u32,
    /// Time at which the frame was stamped.
    pub at: Timestamp,
    /// Type and code of the ICMP message.
    pub kind: (u8, u8),
    /// End that sent the quoted segment.
    pub to: Role,
    /// Error that the kernel maps the message to; `None` if it maps to none.
    pub errno: Option<Errno>,
    /// True if that end has sent the quoted segment and has no acknowledgment for it: `SND.UNA =< SEQ =< SND.NXT`.
    /// Otherwise the message may be forged by anyone (RFC 5927, 4.1).
    pub is_outstanding: bool,
    /// State of that end when the message arrives.
    pub state: State,
}

/// Effect of one segment on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// End that sent the segment.
    pub from: Role,
    /// SEQ relative to the sender's initial number; `None` if that number is unknown.
    pub seq: Option<u32>,
    /// ACK relative to the receiver's initial number; `None` without an ACK, or if that number is unknown.
    pub ack: Option<u32>,
    /// Details of the RST, if the segment is one.
    pub reset: Option<Reset>,
    /// True if the segment acknowledges data that the capture does not hold: a frame is missing.
    pub acknowledges_unseen: bool,
    /// True if the segment is the first to acknowledge the FIN of the other end.
    pub acknowledges_fin: bool,
    /// True if the segment was captured at the end that sent it.
    pub leaves: bool,
    /// True if the segment was captured at the end that it goes to.
    pub arrives: bool,
}

/// Connection, as far as it has been captured.
///
/// There may be a million of them, and then the time goes into waiting for memory. So the fields are ordered by cache
/// lines of 64 bytes: each end's hot fields share a line with a pointer of the connection, and the line after it
/// holds that end's latest segments.
// `repr(C)` keeps the order of the fields: `addresses` (8 bytes) and the first 56 bytes of `client` are the first
// line, its `latest` segments the second; `resets_in_flight` and `server` are the third and fourth in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// Addresses of the client and the server; `None` if the caller keeps track of them.
    addresses: Option<Box<(SocketAddr, SocketAddr)>>,
    client: Endpoint,
    /// RSTs that were captured at their sender's end and have not arrived yet.
    resets_in_flight: SmallList<(Role, Header)>,
    server: Endpoint,
}

const _: () = assert!(size_of::<Flow>() <= 256);

/// Maximum number of RSTs remembered in flight: a hostile capture must not exhaust memory.
const MAX_RESETS_IN_FLIGHT: usize = 64;

impl Flow {
    /// Creates the flow of a connection between these two addresses, before its first segment.
    #[must_use]
    pub fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self {
            addresses: Some(Box::new((client, server))),
            ..Self::learning()
        }
    }

    /// Creates the flow of a connection whose ends the caller knows, in a capture that may begin mid-stream or lack
    /// frames.
    ///
    /// An end is taken to have received what it acknowledges, and both ends are taken to have the connection unless a
    /// segment shows otherwise.
    #[must_use]
    pub fn learning() -> Self {
        Self {
            addresses: None,
            client: Endpoint::new(State::Closed),
            resets_in_flight: SmallList::new(),
            server: Endpoint::new(State::Listen),
        }
    }

    /// Returns true if an end is taken to have received what it acknowledges, even if that was not captured.
    fn learns(&self) -> bool {
        self.addresses.is_none()
    }

    /// Sets whether the ends stay in TIME-WAIT when an RST arrives there.
    #[must_use]
    pub fn keeping_time_wait(mut self, keeping: bool) -> Self {
        self.client.set(KEEPS_TIME_WAIT, keeping);
        self.server.set(KEEPS_TIME_WAIT, keeping);
        self
    }

    /// Returns the end that sent this segment, if the segment belongs to this connection.
    #[must_use]
    pub fn sender(&self, segment: &Segment) -> Option<Role> {
        self.whose(segment.source, segment.destination)
    }

    /// Returns the end that sends from `source` to `destination`.
    fn whose(&self, source: SocketAddr, destination: SocketAddr) -> Option<Role> {
        let (client, server) = **self.addresses.as_ref()?;
        if (source, destination) == (client, server) {
            Some(Role::Client)
        } else if (source, destination) == (server, client) {
            Some(Role::Server)
        } else {
            None
        }
    }

    /// Returns true if the client's SYN has been seen.
    #[must_use]
    pub fn saw_syn(&self) -> bool {
        self.client.iss().is_some()
    }

    /// Returns the state of this end.
    #[must_use]
    pub fn state(&self, role: Role) -> State {
        self.end(role).state
    }

    fn end(&self, role: Role) -> &Endpoint {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }

    /// Returns the sequence number after the last one that this end has sent; `None` if it has sent nothing.
    #[must_use]
    pub fn snd_nxt(&self, role: Role) -> Option<SeqNum> {
        self.end(role).snd_nxt()
    }

    /// Returns the oldest sequence number of this end that is not acknowledged; `None` if it has sent nothing.
    #[must_use]
    pub fn snd_una(&self, role: Role) -> Option<SeqNum> {
        self.end(role).snd_una()
    }

    /// Returns the sequence number that this end expects next; `None` if it has not received a SYN.
    #[must_use]
    pub fn rcv_nxt(&self, role: Role) -> Option<SeqNum> {
        self.end(role).rcv_nxt()
    }

    /// Returns a sequence number of this end relative to its initial one; `None` if that is unknown.
    #[must_use]
    pub fn relative(&self, role: Role, number: SeqNum) -> Option<u32> {
        self.end(role).relative(number)
    }

    /// Returns the timestamps of the latest segment of this end that carried the option.
    #[must_use]
    pub fn timestamps(&self, role: Role) -> Option<TcpTimestamps> {
        self.end(role).timestamps()
    }

    /// Returns the number of retransmissions and probes that this end has sent since the last acknowledgment of new
    /// data.
    #[must_use]
    pub fn unanswered(&self, role: Role) -> u32 {
        self.end(role).unanswered
    }

    /// Returns the effect of an ICMP error on the end whose segment it quotes, if it has arrived there; `None` if it
    /// has not, or is about another connection.
    #[must_use]
    pub fn observe_icmp(&self, error: &IcmpError) -> Option<Icmp> {
        let to = self.whose(error.quoted_source, error.quoted_destination)?;
        let end = self.end(to);
        error.tap.is_at(to).then_some(Icmp {
            frame: error.frame,
            at: error.at,
            kind: (error.kind, error.code),
            to,
            errno: icmp::errno_of(error),
            is_outstanding: error.quoted_seq.is_some_and(|seq| end.is_outstanding(seq)),
            state: end.state,
        })
    }

    /// Returns the number of bytes that this end has sent, each counted once.
    #[must_use]
    pub fn payload_sent(&self, role: Role) -> u32 {
        self.end(role).payload_sent()
    }

    /// Processes the next captured segment. Returns `None`, with the flow unchanged, if it belongs to another
    /// connection.
    pub fn observe(&mut self, segment: &Segment) -> Option<Observed> {
        let from = self.sender(segment)?;
        let header = segment.header();
        // Both directions have the same addresses, so the direction of a segment cannot be determined.
        if self.addresses.as_ref().is_some_and(|ends| ends.0 == ends.1) {
            return Some(self.observe_itself(&header));
        }
        let (leaves, arrives) = (segment.tap.is_at(from), segment.tap.is_at(from.peer()));
        Some(self.observe_at(from, &header, leaves, arrives))
    }

    /// Processes the next segment that this end sent, captured between the two ends. Returns `None` for the usual
    /// segment, which only continues the connection.
    pub fn follow(&mut self, from: Role, header: &Header) -> Option<Observed> {
        if self.fast_path(from, header) {
            return None;
        }
        Some(self.observe_at(from, header, true, true))
    }

    /// Processes the next segment from `from`, captured at the end `at` only.
    pub fn follow_at(&mut self, from: Role, header: &Header, at: Role) -> Observed {
        self.observe_at(from, header, at == from, at != from)
    }

    /// Processes the next segment of a socket that is connected to itself.
    pub fn follow_itself(&mut self, header: &Header) -> Observed {
        self.observe_itself(header)
    }

    /// Fast path for the next segment of a connection from which nothing is missing. Returns false, with the flow
    /// unchanged, if the segment needs the full path; otherwise the result is the same as that of the full path.
    fn fast_path(&mut self, from: Role, header: &Header) -> bool {
        let (sender, receiver) = match from {
            Role::Client => (&mut self.client, &mut self.server),
            Role::Server => (&mut self.server, &mut self.client),
        };
        // The conditions below leave one case: a plain ACK, in order at both ends, that acknowledges no more than was
        // captured. The test `the_short_way_leads_to_where_the_long_one_does` compares both paths.
        let controls = Flags::ACK.0 | Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0;
        let is_usual = header.flags.0 & controls == Flags::ACK.0
            && sender.state == State::Established
            && receiver.state == State::Established
            && sender.is(SND_NXT | RCV_NXT)
            && receiver.is(SND_UNA | SND_NXT | RCV_NXT)
            && sender.numbers.snd_nxt == header.seq
            && receiver.numbers.rcv_nxt == header.seq
            && receiver.out_of_order.is_empty()
            && !header.ack.is_after(sender.numbers.rcv_nxt)
            && !header.ack.is_before(receiver.numbers.snd_una)
            && !header.ack.is_after(receiver.numbers.snd_nxt)
            // The full path compares the end of the segment modulo 2^32, where a huge payload would wrap round.
            && header.payload_len < 1 << 30;
        if !is_usual {
            return false;
        }
        if let Some(TcpTimestamps { value, .. }) = header.timestamps {
            if receiver
                .ts_recent()
                .is_some_and(|recent| SeqNum(value).is_before(recent))
            {
                return false;
            }
            receiver.set_ts_recent(Some(SeqNum(value)));
            sender.set_timestamps(header.timestamps);
        }
        sender.set_sack_edge(header.sack_edge);
        sender.remember(header.frame, true, header.ack);
        // Without payload both numbers have this value already.
        let end = header.seq.plus(header.payload_len);
        sender.numbers.snd_nxt = end;
        receiver.numbers.rcv_nxt = end;
        if receiver.numbers.snd_una != header.ack {
            receiver.numbers.snd_una = header.ack;
            receiver.unanswered = 0;
        }
        true
    }

    fn observe_at(&mut self, from: Role, header: &Header, leaves: bool, arrives: bool) -> Observed {
        let learns = self.learns();
        let (sender, receiver) = match from {
            Role::Client => (&mut self.client, &mut self.server),
            Role::Server => (&mut self.server, &mut self.client),
        };
        let has_ack = header.flags.has(Flags::ACK);
        let mut observed = Observed {
            from,
            seq: None,
            ack: None,
            reset: None,
            acknowledges_unseen: leaves && has_ack && sender.has_not_received(header.ack),
            acknowledges_fin: false,
            leaves,
            arrives,
        };
        if header.flags.has(Flags::RST) {
            let left = left(&mut self.resets_in_flight, from, header, leaves, arrives);
            let reset = reset(sender, receiver, from, header, left, arrives);
            // Anyone can forge an RST with any ACK number, but only an acceptable one is a sign of missing frames.
            observed.acknowledges_unseen &= reset.acceptance.is_acceptable();
            observed.reset = Some(reset);
        } else {
            if learns {
                learn(sender, receiver, header);
            }
            if leaves {
                sender.send(header);
            }
            if arrives {
                observed.acknowledges_fin = has_ack && receiver.take_ack(header.ack);
                receiver.receive(header);
            }
        }
        observed.seq = sender.relative(header.seq);
        observed.ack = has_ack.then(|| receiver.relative(header.ack)).flatten();
        observed
    }
}

/// Acknowledgments this far ahead are ignored: no window is larger (RFC 7323, 2.3).
const MAX_ACK_ADVANCE: u32 = 1 << 30;

/// Infers numbers and states of both ends from a segment, where earlier frames were not captured.
fn learn(sender: &mut Endpoint, receiver: &mut Endpoint, header: &Header) {
    let is_syn = header.flags.has(Flags::SYN);
    let has_ack = header.flags.has(Flags::ACK);
    if is_syn && has_ack && receiver.iss().is_none() {
        // A SYN-ACK acknowledges ISS + 1 of the client, whose SYN is missing.
        receiver.pick_up(header.ack.plus(u32::MAX), header.ack);
        receiver.state = State::SynSent;
        return;
    }
    if is_syn {
        return;
    }
    if sender.iss().is_none() {
        // The initial number is unknown here; the number before the first one captured takes its place.
        sender.pick_up(header.seq.plus(u32::MAX), header.seq);
        if matches!(sender.state, State::Closed | State::Listen) {
            sender.state = State::Established;
        }
    }
    if receiver.rcv_nxt().is_none() {
        receiver.set_rcv_nxt(Some(header.seq));
        receiver.set_irs(Some(header.seq.plus(u32::MAX)));
        if matches!(receiver.state, State::Closed | State::Listen) {
            receiver.state = State::Established;
        }
    }
    if !has_ack {
        return;
    }
    if receiver.iss().is_none() {
        receiver.pick_up(header.ack.plus(u32::MAX), header.ack);
    }
    // An end never acknowledges data before it has received them, so an acknowledgment ahead of RCV.NXT shows that
    // frames are missing. One that is very far ahead is not credible.
    let ahead = sender
        .rcv_nxt()
        .map(|rcv_nxt| header.ack.relative_to(rcv_nxt));
    if ahead.is_none_or(|ahead| ahead > 0 && ahead < MAX_ACK_ADVANCE) {
        sender.learn_received(header.ack);
        if receiver
            .snd_nxt()
            .is_none_or(|snd_nxt| header.ack.is_after(snd_nxt))
        {
            receiver.set_snd_nxt(Some(header.ack));
        }
    }
}

/// Returns the frame in which this RST left its sender, now or earlier.
fn left(
    resets_in_flight: &mut SmallList<(Role, Header)>,
    from: Role,
    header: &Header,
    leaves: bool,
    arrives: bool,
) -> Option<u32> {
    if leaves {
        if !arrives && resets_in_flight.len() < MAX_RESETS_IN_FLIGHT {
            resets_in_flight.push((from, *header));
        }
        return Some(header.frame);
    }
    // A copy of the RST that arrives has the same header fields; the frame number and the time differ.
    let is_it = |(sender, sent): &(Role, Header)| {
        (*sender, sent.flags, sent.seq, sent.ack, sent.window)
            == (from, header.flags, header.seq, header.ack, header.window)
    };
    Some(resets_in_flight.remove(is_it)?.1.frame)
}

impl Flow {
    /// Processes a segment of a socket that is connected to itself, which sends and receives every segment: a
    /// simultaneous open with one side (RFC 9293, figure 7).
    fn observe_itself(&mut self, header: &Header) -> Observed {
        let end = &mut self.client;
        let has_ack = header.flags.has(Flags::ACK);
        let mut observed = Observed {
            from: Role::Client,
            seq: None,
            ack: None,
            reset: None,
            acknowledges_unseen: false,
            acknowledges_fin: false,
            leaves: true,
            arrives: true,
        };
        if header.flags.has(Flags::RST) {
            let sender = end.clone();
            let acceptance = end.judge_reset(&sender, header);
            observed.reset = Some(Reset {
                frame: header.frame,
                at: header.at,
                from: Role::Client,
                form: Form::of(header),
                receiver_state: end.state,
                acceptance,
                triggered_by: None,
                left: Some(header.frame),
                finds_request: false,
                received_before: sender.payload_sent(),
                challenged_by: None,
            });
        } else {
            end.send(header);
            observed.acknowledges_unseen = has_ack && end.has_not_received(header.ack);
            observed.acknowledges_fin = has_ack && end.take_ack(header.ack);
            end.receive(header);
        }
        observed.seq = end.relative(header.seq);
        observed.ack = has_ack.then(|| end.relative(header.ack)).flatten();
        observed
    }
}

fn reset(
    sender: &mut Endpoint,
    receiver: &mut Endpoint,
    from: Role,
    header: &Header,
    left: Option<u32>,
    arrives: bool,
) -> Reset {
    let form = Form::of(header);
    let receiver_state = receiver.state;
    let finds_request = receiver.is(IS_REQUEST);
    let triggered_by = form.and_then(|form| receiver.triggered_by(form, header));
    let acceptance = if arrives {
        receiver.judge_reset(sender, header)
    } else {
        Acceptance::NotArrived
    };
    if acceptance.is_acceptable() {
        receiver.state = State::Closed;
        receiver.set(IS_REQUEST, false);
        // An RST that is not acceptable, or that never left its stated sender, may be forged and shows nothing about
        // the sender.
        if form == Some(Form::Active) && left.is_some() {
            sender.state = State::Closed;
        }
    }
    Reset {
        frame: header.frame,
        at: header.at,
        from,
        form,
        receiver_state,
        acceptance,
        triggered_by,
        left,
        finds_request,
        received_before: receiver.payload_received(sender),
        challenged_by: None,
    }
}

/// Number of sent segments remembered per end, to find the one that triggered an RST.
const RECENT_SEGMENTS: usize = 8;

/// Segment that an end has sent, reduced to what identifies an RST in reply to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    frame: u32,
    /// Number that a reply takes from the segment: its acknowledgment number, or without ACK the number after the
    /// last one that it occupies.
    expected_reply: SeqNum,
}

/// Maximum number of out-of-order segments remembered per end: a hostile capture must not exhaust memory.
const MAX_OUT_OF_ORDER: usize = 64;

/// Range of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeqRange {
    start: SeqNum,
    /// Sequence number after the last one of the range.
    end: SeqNum,
    /// True if the last number is that of a FIN.
    fin: bool,
}

/// Sequence numbers of an end. An unknown number is 0 here, so that the derived comparison of two ends is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    /// Sequence number after the last one that this end has sent.
    snd_nxt: SeqNum,
    /// Sequence number that this end expects next from the other end.
    rcv_nxt: SeqNum,
    /// Oldest sequence number of this end that is not acknowledged.
    snd_una: SeqNum,
    /// `TS.Recent` (RFC 7323, 4.3), which is compared like a sequence number.
    ts_recent: SeqNum,
    /// Right edge of the highest SACK block in this end's latest segment.
    sack_edge: SeqNum,
    /// Initial send sequence number of this end.
    iss: SeqNum,
    /// Initial sequence number of the other end.
    irs: SeqNum,
    /// Sequence number after this end's FIN, once sent.
    after_fin: SeqNum,
}

// Layout of `Endpoint::bits`. Bits 0 to 8: which of the numbers and timestamps are known.
const SND_NXT: u16 = 1;
const RCV_NXT: u16 = 1 << 1;
const SND_UNA: u16 = 1 << 2;
const TS_RECENT: u16 = 1 << 3;
const SACK_EDGE: u16 = 1 << 4;
const ISS: u16 = 1 << 5;
const IRS: u16 = 1 << 6;
const AFTER_FIN: u16 = 1 << 7;
const TIMESTAMPS: u16 = 1 << 8;
/// Bit 9: the other end has acknowledged this end's FIN.
const FIN_ACKNOWLEDGED: u16 = 1 << 9;
/// Bit 10: in SYN-RECEIVED, and no socket exists for the connection yet.
const IS_REQUEST: u16 = 1 << 10;
/// Bit 11: an RST does not end TIME-WAIT.
const KEEPS_TIME_WAIT: u16 = 1 << 11;
/// Bits 12 to 14: number of segments put into the ring, modulo [`RECENT_SEGMENTS`].
const ONE_SENT: u16 = 1 << 12;
/// Bit 15: set once every slot of the ring has been written.
const IS_FULL: u16 = 1 << 15;

/// One end of the connection. The fields that most segments touch come first and take 56 bytes, so that they share a
/// cache line of 64 bytes with a pointer of [`Flow`].
#[derive(Clone, Debug, PartialEq, Eq)]
// The order of the fields is their layout; `latest` has to come last.
#[repr(C)]
struct Endpoint {
    /// Segments received beyond `rcv_nxt`.
    out_of_order: SmallList<SeqRange>,
    numbers: Numbers,
    /// Timestamps of the latest segment of this end that carried the option.
    timestamps: TcpTimestamps,
    /// Number of retransmissions and probes since the last acknowledgment of new data.
    unanswered: u32,
    bits: u16,
    state: State,
    /// Bit mask with one bit for each slot of `latest`: set if the segment there has an acknowledgment number.
    with_ack: u8,
    /// Latest segments that this end has sent, in a ring.
    latest: [Sent; RECENT_SEGMENTS],
}

/// Generates a getter and a setter for each sequence number, which may be unknown.
macro_rules! numbers {
    ($($name:ident, $set:ident, $bit:ident;)*) => {
        $(
            fn $name(&self) -> Option<SeqNum> {
                self.is($bit).then_some(self.numbers.$name)
            }

            fn $set(&mut self, number: Option<SeqNum>) {
                self.numbers.$name = number.unwrap_or_default();
                self.set($bit, number.is_some());
            }
        )*
    };
}

impl Endpoint {
    fn new(state: State) -> Self {
        Self {
            out_of_order: SmallList::new(),
            numbers: Numbers::default(),
            timestamps: TcpTimestamps::default(),
            unanswered: 0,
            bits: 0,
            state,
            with_ack: 0,
            latest: [Sent::default(); RECENT_SEGMENTS],
        }
    }

    /// Returns true if all these bits are set.
    fn is(&self, bits: u16) -> bool {
        self.bits & bits == bits
    }

    fn set(&mut self, bit: u16, is_set: bool) {
        if is_set {
            self.bits |= bit;
        } else {
            self.bits &= !bit;
        }
    }

    numbers! {
        snd_nxt, set_snd_nxt, SND_NXT;
        rcv_nxt, set_rcv_nxt, RCV_NXT;
        snd_una, set_snd_una, SND_UNA;
        ts_recent, set_ts_recent, TS_RECENT;
        sack_edge, set_sack_edge, SACK_EDGE;
        iss, set_iss, ISS;
        irs, set_irs, IRS;
        after_fin, set_after_fin, AFTER_FIN;
    }

    fn timestamps(&self) -> Option<TcpTimestamps> {
        self.is(TIMESTAMPS).then_some(self.timestamps)
    }

    fn set_timestamps(&mut self, timestamps: Option<TcpTimestamps>) {
        self.timestamps = timestamps.unwrap_or_default();
        self.set(TIMESTAMPS, timestamps.is_some());
    }

    /// Returns true if this number is of something that this end has sent and that may not have arrived.
    fn is_outstanding(&self, seq: SeqNum) -> bool {
        self.snd_una().is_some_and(|una| !seq.is_before(una))
            && self.snd_nxt().is_some_and(|snd_nxt| !seq.is_after(snd_nxt))
    }

    /// Returns a number of this end's own sequence space, relative to its initial one.
    fn relative(&self, number: SeqNum) -> Option<u32> {
        self.iss().map(|iss| number.relative_to(iss))
    }

    /// Returns true if this number lies beyond what has been captured on its way to this end.
    fn has_not_received(&self, number: SeqNum) -> bool {
        self.rcv_nxt()
            .is_none_or(|rcv_nxt| number.is_after(rcv_nxt))
    }

    /// Returns true if this number acknowledges the SYN of this end: ISS < SEG.ACK =< SND.NXT (RFC 9293, 3.10.7.3).
    fn is_syn_acknowledged_by(&self, ack: SeqNum) -> bool {
        self.iss().is_some_and(|iss| ack.is_after(iss))
            && self.snd_nxt().is_some_and(|snd_nxt| !ack.is_after(snd_nxt))
    }

    /// Puts a sent segment into the ring, in place of the oldest.
    fn remember(&mut self, frame: u32, has_ack: bool, expected_reply: SeqNum) {
        let place = self.next();
        self.latest[place] = Sent {
            frame,
            expected_reply,
        };
        self.with_ack = self.with_ack & !(1 << place) | u8::from(has_ack) << place;
        // When the counter wraps, its carry sets IS_FULL. A carry into an IS_FULL that is set would clear it, hence
        // the OR.
        self.bits = self.bits.wrapping_add(ONE_SENT) | self.bits & IS_FULL;
    }

    /// Returns the ring index at which the next segment goes.
    fn next(&self) -> usize {
        usize::from(self.bits / ONE_SENT) % RECENT_SEGMENTS
    }

    /// Sets the initial number and, where unknown, SND.NXT and SND.UNA of an end that is first seen mid-stream.
    fn pick_up(&mut self, iss: SeqNum, snd_nxt: SeqNum) {
        self.set_iss(Some(iss));
        self.set_snd_nxt(self.snd_nxt().or(Some(snd_nxt)));
        self.set_snd_una(self.snd_una().or(Some(snd_nxt)));
    }

    /// Sets RCV.NXT to a number that this end has acknowledged.
    fn learn_received(&mut self, rcv_nxt: SeqNum) {
        self.set_rcv_nxt(Some(rcv_nxt));
        self.set_irs(self.irs().or(Some(rcv_nxt.plus(u32::MAX))));
        self.out_of_order
            .retain(|range| range.end.is_after(rcv_nxt));
        self.advance_over_out_of_order();
    }

    /// Processes a segment without RST that this end sends.
    fn send(&mut self, header: &Header) {
        self.set_sack_edge(header.sack_edge);
        let end = header.seq_end();
        let has_ack = header.flags.has(Flags::ACK);
        let expected_reply = if has_ack { header.ack } else { end };
        self.remember(header.frame, has_ack, expected_reply);
        if header.timestamps.is_some() {
            self.set_timestamps(header.timestamps);
        }
        if header.flags.has(Flags::SYN) && self.iss().is_some_and(|iss| iss != header.seq) {
            return; // from another connection between these ends, or injected
        }
        if self.snd_nxt().is_none_or(|snd_nxt| end.is_after(snd_nxt)) {
            self.set_snd_nxt(Some(end));
        } else if header.seq_len() > 0 || self.snd_una() == Some(header.seq.plus(1)) {
            // A retransmission; or a keepalive probe, which has no data and the number before the expected one.
            self.unanswered += 1;
        }
        if header.flags.has(Flags::SYN) && self.iss().is_none() {
            self.set_iss(Some(header.seq));
            self.set_snd_una(Some(header.seq));
            if has_ack && self.state == State::Listen {
                // Data in the SYN counts as received only if the SYN-ACK acknowledges it (RFC 7413, 2).
                self.set_rcv_nxt(Some(header.ack));
                // A SYN-ACK that acknowledges data of the SYN comes from a socket (Fast Open); any other comes from a
                // request.
                let is_request = self.irs().is_some_and(|irs| irs.plus(1) == header.ack);
                self.set(IS_REQUEST, is_request);
            }
            self.state = if has_ack || self.rcv_nxt().is_some() {
                State::SynReceived
            } else {
                State::SynSent
            };
        }
        if header.flags.has(Flags::FIN) && self.after_fin().is_none() {
            self.set_after_fin(Some(end));
            self.state = match self.state {
                State::CloseWait => State::LastAck,
                State::Established | State::SynReceived => State::FinWait1,
                other => other,
            };
        }
    }

    /// Processes an acknowledgment up to `ack` of what this end has sent. Returns true if it is the first
    /// acknowledgment of this end's FIN.
    fn take_ack(&mut self, ack: SeqNum) -> bool {
        if self.state == State::SynReceived && self.is_syn_acknowledged_by(ack) {
            self.state = State::Established;
            self.set(IS_REQUEST, false);
        }
        if self.is_outstanding(ack) && self.snd_una() != Some(ack) {
            self.set_snd_una(Some(ack));
            self.unanswered = 0;
        }
        if self.is(FIN_ACKNOWLEDGED) || self.after_fin() != Some(ack) {
            return false;
        }
        self.set(FIN_ACKNOWLEDGED, true);
        self.state = match self.state {
            State::FinWait1 => State::FinWait2,
            State::Closing => State::TimeWait,
            State::LastAck => State::Closed,
            other => other,
        };
        true
    }

    /// Processes a segment without RST that reaches this end.
    fn receive(&mut self, header: &Header) {
        if header.flags.has(Flags::SYN) {
            self.receive_syn(header);
            return;
        }
        let Some(rcv_nxt) = self.rcv_nxt() else {
            return;
        };
        if let Some(TcpTimestamps { value, .. }) = header.timestamps {
            if self
                .ts_recent()
                .is_some_and(|recent| SeqNum(value).is_before(recent))
            {
                return; // old duplicate or forged: PAWS drops it (RFC 7323, 5.3)
            }
            // Only a segment at the left edge of the window updates TS.Recent (RFC 7323, 4.3).
            if !header.seq.is_after(rcv_nxt) {
                self.set_ts_recent(Some(SeqNum(value)));
            }
        }
        let range = SeqRange {
            start: header.seq,
            end: header.seq_end(),
            fin: header.flags.has(Flags::FIN),
        };
        if range.start.is_after(rcv_nxt) {
            if range.start != range.end && self.out_of_order.len() < MAX_OUT_OF_ORDER {
                self.out_of_order.push(range);
            }
            return;
        }
        self.advance(range);
        self.advance_over_out_of_order();
    }

    fn receive_syn(&mut self, header: &Header) {
        if self.rcv_nxt().is_some() {
            return; // a retransmission or injected: the first SYN counts
        }
        if self.state == State::SynSent {
            if header
                .timestamps
                .is_some_and(|it| self.has_not_sent(it.echo))
            {
                return; // the kernel replies with an RST and drops the segment
            }
            self.state = if !header.flags.has(Flags::ACK) {
                State::SynReceived // simultaneous open: figure 7
            } else if self.is_syn_acknowledged_by(header.ack) {
                State::Established
            } else {
                return; // the kernel replies with an RST and drops the segment
            };
        }
        self.set_rcv_nxt(Some(header.seq_end()));
        self.set_irs(Some(header.seq));
        self.set_ts_recent(header.timestamps.map(|it| SeqNum(it.value)));
    }

    /// Returns true if `TSecr` in a reply to this end's SYN is a value that its clock has not reached.
    // `TSecr` 0 passes, as in `tcp_rcv_synsent_state_process()` of Linux.
    fn has_not_sent(&self, echo: u32) -> bool {
        echo != 0
            && self
                .timestamps()
                .is_some_and(|sent| SeqNum(echo).is_after(SeqNum(sent.value)))
    }

    fn advance_over_out_of_order(&mut self) {
        while let Some(rcv_nxt) = self.rcv_nxt()
            && let Some(range) = self
                .out_of_order
                .swap_remove(|range| !range.start.is_after(rcv_nxt))
        {
            self.advance(range);
        }
    }

    /// Advances RCV.NXT over a range that begins at or before it. After a FIN there is no more data (RFC 9293,
    /// 3.10.7.4, seventh).
    fn advance(&mut self, range: SeqRange) {
        let is_over = matches!(
            self.state,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        );
        if is_over {
            return;
        }
        if !self
            .rcv_nxt()
            .is_some_and(|rcv_nxt| range.end.is_after(rcv_nxt))
        {
            return;
        }
        self.set_rcv_nxt(Some(range.end));
        if range.fin {
            self.state = match self.state {
                State::Established | State::SynReceived => State::CloseWait,
                State::FinWait1 => State::Closing,
                State::FinWait2 => State::TimeWait,
                other => other,
            };
        }
    }

    /// Returns the frame of this end's latest segment that an RST of this form would be a reply to.
    fn triggered_by(&self, form: Form, reset: &Header) -> Option<u32> {
        let (has_ack, number) = match form {
            Form::Active => return None,
            Form::Passive => (true, reset.seq),
            Form::PassiveAck => (false, reset.ack),
        };
        let next = self.next();
        let count = if self.is(IS_FULL) {
            RECENT_SEGMENTS
        } else {
            next
        };
        let is_answered = |place: &usize| {
            (self.with_ack >> place & 1 == 1) == has_ack
                && self.latest[*place].expected_reply == number
        };
        // Newest first: of several segments with the same number, the kernel has replied to the last one.
        let mut newest_first =
            (1..=count).map(|back| (next + RECENT_SEGMENTS - back) % RECENT_SEGMENTS);
        let place = newest_first.find(is_answered)?;
        Some(self.latest[place].frame)
    }

    /// Returns the number of bytes between this end's SYN and its FIN.
    fn payload_sent(&self) -> u32 {
        let (Some(iss), Some(snd_nxt)) = (self.iss(), self.snd_nxt()) else {
            return 0;
        };
        // SYN and FIN occupy a sequence number each.
        let controls = 1 + u32::from(self.after_fin().is_some());
        snd_nxt.relative_to(iss).saturating_sub(controls)
    }

    /// Returns the number of bytes of `sender` that this end has received, with none missing before them.
    fn payload_received(&self, sender: &Self) -> u32 {
        let (Some(irs), Some(rcv_nxt)) = (self.irs(), self.rcv_nxt()) else {
            return 0;
        };
        let has_fin = sender.after_fin() == Some(rcv_nxt);
        rcv_nxt
            .relative_to(irs)
            .saturating_sub(1 + u32::from(has_fin))
    }

    /// Returns the acceptability of this RST from `sender` to this end in its current state.
    fn judge_reset(&self, sender: &Self, reset: &Header) -> Acceptance {
        match self.state {
            State::Listen | State::Closed => return Acceptance::NoConnection,
            State::SynSent => {
                let acknowledged = self.is_syn_acknowledged_by(reset.ack);
                return if reset.flags.has(Flags::ACK) && acknowledged {
                    Acceptance::AcknowledgesSyn
                } else {
                    Acceptance::SynNotAcknowledged
                };
            }
            State::TimeWait if self.is(KEEPS_TIME_WAIT) => return Acceptance::KeepsTimeWait,
            _ => {}
        }
        let (Some(rcv_nxt), Some(iss)) = (self.rcv_nxt(), sender.iss()) else {
            return Acceptance::Unknown;
        };
        let seq = reset.seq.relative_to(iss);
        let fin_received = matches!(
            self.state,
            State::CloseWait | State::LastAck | State::Closing
        );
        if reset.seq == rcv_nxt {
            Acceptance::Exact { seq }
        } else if fin_received && reset.seq.plus(1) == rcv_nxt {
            Acceptance::BeforeFin { seq }
        } else if self.sack_edge() == Some(reset.seq) && reset.seq.is_after(rcv_nxt) {
            Acceptance::SackEdge { seq }
        } else {
            let rcv_nxt = rcv_nxt.relative_to(iss);
            Acceptance::WrongSequence { seq, rcv_nxt }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fast path is taken by most segments of a complete connection, and gives the same result as the full path
    /// for any segments in any order.
    #[test]
    fn the_short_way_leads_to_where_the_long_one_does() {
        let mut number = 1_u32;
        // xorshift32 (Marsaglia, 2003).
        let mut random = move |below: u32| {
            number ^= number << 13;
            number ^= number >> 17;
            number ^= number << 5;
            number % below
        };
        let mut short_ways = 0;
        for _ in 0..2_000 {
            let (mut short, mut long) = (Flow::learning(), Flow::learning());
            let mut next = [SeqNum(random(10)), SeqNum(u32::MAX - random(10))];
            for frame in 1..40 {
                let from = random(2) as usize;
                let role = [Role::Client, Role::Server][from];
                let flags = match (frame, random(30)) {
                    (1, _) => Flags::SYN,
                    (2, _) => Flags::SYN.and(Flags::ACK),
                    (_, 0) => Flags::FIN.and(Flags::ACK),
                    (_, 1) => Flags::RST,
                    (_, 2) => Flags(0),
                    _ => Flags::ACK,
                };
                let off = |random: &mut dyn FnMut(u32) -> u32| match random(10) {
                    0 => u32::MAX,
                    1 => 3,
                    _ => 0,
                };
                let header = Header {
                    frame,
                    flags,
                    seq: next[from].plus(off(&mut random)),
                    ack: next[1 - from].plus(off(&mut random)),
                    payload_len: random(3) * 5,
                    timestamps: (random(4) > 0).then(|| TcpTimestamps {
                        value: frame + random(2) * 3,
                        echo: frame,
                    }),
                    sack_edge: (random(9) == 0).then_some(SeqNum(random(50))),
                    ..Header::default()
                };
                if header.seq == next[from] {
                    next[from] = header.seq_end();
                }
                short_ways += u32::from(short.follow(role, &header).is_none());
                long.observe_at(role, &header, true, true);
                assert_eq!(short, long, "{header:?}");
            }
        }
        assert!(short_ways > 1_000, "{short_ways}");
    }

    /// A slot of the ring that was never written matches no RST. Among the written ones the latest match is found,
    /// and none that has left the ring.
    #[test]
    fn only_a_segment_that_was_sent_draws_a_reset() {
        let mut end = Endpoint::new(State::Established);
        let reset = |number| Header {
            seq: SeqNum(number),
            ack: SeqNum(number),
            ..Header::default()
        };
        for form in [Form::Active, Form::Passive, Form::PassiveAck] {
            assert_eq!(end.triggered_by(form, &reset(0)), None);
        }
        let (mut with_ack, mut without) = (Vec::new(), Vec::new());
        for frame in 0..40 {
            let has_ack = frame % 3 > 0;
            end.remember(frame, has_ack, SeqNum(frame / 6));
            let sent = if has_ack { &mut with_ack } else { &mut without };
            sent.push(frame);
            for number in 0..8 {
                let latest = |sent: &[u32]| {
                    let fits = |it: &&u32| **it + 8 > frame && **it / 6 == number;
                    sent.iter().copied().rev().find(|it| fits(&it))
                };
                assert_eq!(
                    end.triggered_by(Form::Passive, &reset(number)),
                    latest(&with_ack)
                );
                assert_eq!(
                    end.triggered_by(Form::PassiveAck, &reset(number)),
                    latest(&without)
                );
                assert_eq!(end.triggered_by(Form::Active, &reset(number)), None);
            }
        }
        assert_eq!(end.bits & (ONE_SENT - 1), 0);
    }
}
