//! One connection, followed segment by segment from the capture alone.
//!
//! [`Flow`] keeps for each end what RFC 9293 calls its state, its SND.NXT and its RCV.NXT, as they must be after the
//! segments captured so far: an end has sent what was captured at that end, and received what arrived there. On loopback
//! that is the same frame; between two hosts it is two, and one of them may be missing. That is enough to say of a RST whether its receiver had to believe it, and which state
//! it found: the two facts that decide what the application is told. Pure: no clock, no socket, no pcap.

mod few;
mod icmp;

use std::fmt;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use self::few::Few;
use crate::packet::{Flags, Header, IcmpError, Segment, SeqNum, TcpTimestamps};
use crate::time::Timestamp;
use crate::transcript::{Errno, Role};

/// The state of one end of a connection (RFC 9293, 3.3.2).
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
    /// The RFC's spelling.
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

    /// The error that an acceptable RST puts on a socket in this state: `tcp_reset()` of the Linux kernel. `None`
    /// where nobody is left to be told. (SYN-RECEIVED has a socket to tell only after crossed SYNs or with TCP Fast Open;
    /// else it is a request that the listener forgets.)
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

/// What a RST of the Linux kernel looks like tells what made it send one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A socket aborted (`tcp_send_active_reset()`): RST+ACK at SND.NXT with a real window, and timestamps if they
    /// were negotiated.
    Active,
    /// Answer to a segment with ACK (`tcp_v4_send_reset()`): RST alone, SEQ = SEG.ACK, ACK field and window 0.
    Passive,
    /// Answer to a segment without ACK: RST+ACK, SEQ 0, the segment acknowledged, window 0.
    PassiveAck,
}

impl Form {
    /// The form that this RST has; `None` if the Linux kernel makes none like it.
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

    /// Whether it answers a segment.
    #[must_use]
    pub fn is_answer(self) -> bool {
        self != Self::Active
    }

    /// `active`, `passive` or `passive-ack`.
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

/// Whether the receiver of a RST had to believe it, and on what ground. Numbers are relative to the sender's
/// initial one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// SEQ is exactly the receiver's RCV.NXT (RFC 5961, 3.2).
    Exact {
        /// SEQ and RCV.NXT.
        seq: u32,
    },
    /// In SYN-SENT: the RST acknowledges the SYN (RFC 9293, 3.10.7.3); its SEQ does not count.
    AcknowledgesSyn,
    /// SEQ is the right edge of the highest block that the receiver has selectively acknowledged
    /// (`tcp_validate_incoming()`, Linux 4.8).
    SackEdge {
        /// SEQ.
        seq: u32,
    },
    /// After a FIN, SEQ is RCV.NXT − 1 (`tcp_reset_check()`, Linux 4.11).
    BeforeFin {
        /// SEQ.
        seq: u32,
    },
    /// Not: there is no connection that it could reset.
    NoConnection,
    /// Not: in SYN-SENT, and it does not acknowledge the SYN.
    SynNotAcknowledged,
    /// Not: in TIME-WAIT, which no RST ends there (RFC 1337, 3, fix F1; `net.ipv4.tcp_rfc1337`).
    KeepsTimeWait,
    /// Not: SEQ is another number than RCV.NXT.
    WrongSequence {
        /// What the RST carries.
        seq: u32,
        /// What its receiver expects.
        rcv_nxt: u32,
    },
    /// Not: it never reached its receiver.
    NotArrived,
    /// Cannot be said: the capture does not hold what RCV.NXT is computed from.
    Unknown,
}

impl Acceptance {
    /// Whether the receiver has to believe the RST.
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

    /// Whether the receiver may have to ask back (RFC 5961, 3.2): it is not exact, and ahead by no more than the largest
    /// window (RFC 7323, 2.3). What is outside is not answered at all.
    #[must_use]
    pub fn draws_challenge(self) -> bool {
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

/// A RST of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Number of its frame in the capture.
    pub frame: u32,
    /// When the frame was stamped.
    pub at: Timestamp,
    /// The end whose address it carries as its source.
    pub from: Role,
    /// What it looks like.
    pub form: Option<Form>,
    /// The state in which it finds its receiver.
    pub receiver_state: State,
    /// Whether the receiver had to believe it.
    pub acceptance: Acceptance,
    /// The frame of its receiver's that it answers, if it is an answer and that frame was captured: the latest one
    /// whose ACK is its SEQ, or that it acknowledges (RFC 9293, 3.10.7.1).
    pub drawn_by: Option<u32>,
    /// The frame in which it left the end that it claims to come from; `None` if it never did, and somebody between the
    /// ends made it.
    pub left: Option<u32>,
    /// Its receiver is a connection that nobody has accepted and that has no socket of its own: a request, which the
    /// listener forgets.
    pub finds_request: bool,
    /// How many bytes its receiver had received before, with none missing before them.
    pub received_before: u32,
    /// The ACK with which its receiver answers what it must not believe (RFC 5961, 3.2): what follows is exact, if
    /// there is somebody to send it.
    pub challenged_by: Option<u32>,
}

impl Reset {
    /// The error that it puts on this end's socket, if it reaches that end, is believed and finds somebody to tell.
    #[must_use]
    pub fn puts_error_on(&self, role: Role) -> Option<Errno> {
        (self.from == role.peer() && self.acceptance.is_acceptable() && !self.finds_request)
            .then(|| self.receiver_state.errno_of_reset())
            .flatten()
    }

    /// Whether it arrived where it was sent to.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.acceptance != Acceptance::NotArrived
    }
}

/// An ICMP error about a segment of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Number of its frame in the capture.
    pub frame: u32,
    /// When the frame was stamped.
    pub at: Timestamp,
    /// Type and code.
    pub kind: (u8, u8),
    /// The end whose segment it quotes.
    pub to: Role,
    /// The error that it stands for; `None` if it stands for none.
    pub errno: Option<Errno>,
    /// Whether that end has sent what it quotes and has no acknowledgment for it: `SND.UNA =< SEQ =< SND.NXT`. If not,
    /// anybody may have made it up (RFC 5927, 4.1).
    pub is_outstanding: bool,
    /// The state in which it finds that end.
    pub state: State,
}

/// What one segment of the connection means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The end that sent it.
    pub from: Role,
    /// SEQ relative to the sender's initial number; `None` if that is unknown.
    pub seq: Option<u32>,
    /// ACK relative to the receiver's initial number; `None` if there is no ACK, or that is unknown.
    pub ack: Option<u32>,
    /// Set if it is a RST.
    pub reset: Option<Reset>,
    /// It acknowledges what the capture does not hold: a frame is missing.
    pub acknowledges_unseen: bool,
    /// It is the first to acknowledge the FIN of the other end.
    pub acknowledges_fin: bool,
    /// It was captured at the end that sent it.
    pub leaves: bool,
    /// It was captured at the end that it goes to.
    pub arrives: bool,
}

/// A connection, as far as it has been captured.
///
/// There may be a million of them, and then memory is what is waited for. So each line of 64 bytes holds what is needed
/// together: what one end has come to, with a pointer of the connection's; and after it that end's latest segments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// Of the client and of the server; `None` if they are the caller's affair.
    addresses: Option<Box<(SocketAddr, SocketAddr)>>,
    client: Endpoint,
    /// RSTs that were captured at their sender's end and have not arrived yet.
    under_way: Few<(Role, Header)>,
    server: Endpoint,
}

const _: () = assert!(size_of::<Flow>() <= 256);

/// What is under way is remembered, but not without bound: a capture may be hostile.
const MOST_UNDER_WAY: usize = 64;

impl Flow {
    /// The connection between these two addresses, before its first segment.
    #[must_use]
    pub fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self {
            addresses: Some(Box::new((client, server))),
            ..Self::learning()
        }
    }

    /// A connection whose ends the caller knows, in a capture that may begin in the midst of it or lack frames: an end is
    /// believed that it has received what it acknowledges, and both that the connection is there if nothing says otherwise.
    #[must_use]
    pub fn learning() -> Self {
        Self {
            addresses: None,
            client: Endpoint::new(State::Closed),
            under_way: Few::new(),
            server: Endpoint::new(State::Listen),
        }
    }

    /// Whether ends are believed that they have received what they acknowledge, captured or not.
    fn learns(&self) -> bool {
        self.addresses.is_none()
    }

    /// The same, with ends that no RST takes out of TIME-WAIT.
    #[must_use]
    pub fn keeping_time_wait(mut self, keeping: bool) -> Self {
        self.client.set(KEEPS_TIME_WAIT, keeping);
        self.server.set(KEEPS_TIME_WAIT, keeping);
        self
    }

    /// The end that sent this segment, if it is one of this connection.
    #[must_use]
    pub fn sender(&self, segment: &Segment) -> Option<Role> {
        self.whose(segment.source, segment.destination)
    }

    /// The end that sends from here to there.
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

    /// Whether the client's SYN has been seen.
    #[must_use]
    pub fn saw_syn(&self) -> bool {
        self.client.iss().is_some()
    }

    /// The state of this end.
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

    /// The sequence number after the last one that this end has sent; `None` if it has sent nothing.
    #[must_use]
    pub fn snd_nxt(&self, role: Role) -> Option<SeqNum> {
        self.end(role).snd_nxt()
    }

    /// The oldest sequence number of this end that is not acknowledged; `None` if it has sent nothing.
    #[must_use]
    pub fn snd_una(&self, role: Role) -> Option<SeqNum> {
        self.end(role).snd_una()
    }

    /// The sequence number that this end expects next; `None` if it has not received a SYN.
    #[must_use]
    pub fn rcv_nxt(&self, role: Role) -> Option<SeqNum> {
        self.end(role).rcv_nxt()
    }

    /// A sequence number of this end relative to its initial one; `None` if that is unknown.
    #[must_use]
    pub fn relative(&self, role: Role, number: SeqNum) -> Option<u32> {
        self.end(role).relative(number)
    }

    /// The timestamps of the latest segment of this end that had any.
    #[must_use]
    pub fn timestamps(&self, role: Role) -> Option<TcpTimestamps> {
        self.end(role).timestamps()
    }

    /// How often this end has sent again what is not acknowledged, or has probed, and has heard nothing since.
    #[must_use]
    pub fn unanswered(&self, role: Role) -> u32 {
        self.end(role).unanswered
    }

    /// What an ICMP error means to the end whose segment it quotes, if it has arrived there. `None` if it is about another
    /// connection.
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

    /// How many bytes this end has sent, each counted once.
    #[must_use]
    pub fn payload_sent(&self, role: Role) -> u32 {
        self.end(role).payload_sent()
    }

    /// Takes in the next captured segment. `None` if it belongs to another connection, which changes nothing here.
    pub fn observe(&mut self, segment: &Segment) -> Option<Observed> {
        let from = self.sender(segment)?;
        let header = segment.header();
        if self.addresses.as_ref().is_some_and(|ends| ends.0 == ends.1) {
            return Some(self.observe_itself(&header));
        }
        let (leaves, arrives) = (segment.tap.is_at(from), segment.tap.is_at(from.peer()));
        Some(self.observe_at(from, &header, leaves, arrives))
    }

    /// Takes in the next segment that this end sent, captured between the two. What of it there is to say, if that is more
    /// than that the connection goes on.
    pub fn follow(&mut self, from: Role, header: &Header) -> Option<Observed> {
        if self.goes_on(from, header) {
            return None;
        }
        Some(self.observe_at(from, header, true, true))
    }

    /// The same for a segment that was captured at this end only.
    pub fn follow_at(&mut self, from: Role, header: &Header, at: Role) -> Observed {
        self.observe_at(from, header, at == from, at != from)
    }

    /// The same for one of a socket that is connected to itself.
    pub fn follow_itself(&mut self, header: &Header) -> Observed {
        self.observe_itself(header)
    }

    /// The usual case, and what there is to do then: the next segment of a connection from which nothing is missing. In all
    /// that it does it is like the long way.
    fn goes_on(&mut self, from: Role, header: &Header) -> bool {
        let (sender, receiver) = match from {
            Role::Client => (&mut self.client, &mut self.server),
            Role::Server => (&mut self.server, &mut self.client),
        };
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
        // Both are that already if there is no payload.
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
            let left = left(&mut self.under_way, from, header, leaves, arrives);
            let reset = reset(sender, receiver, from, header, left, arrives);
            // Anybody may make up a RST, but not one that is believed.
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

/// An acknowledgment that is as far ahead is none.
const FAR: u32 = 1 << 30;

/// What a segment tells of what was not captured before it.
fn learn(sender: &mut Endpoint, receiver: &mut Endpoint, header: &Header) {
    let is_syn = header.flags.has(Flags::SYN);
    let has_ack = header.flags.has(Flags::ACK);
    if is_syn && has_ack && receiver.iss().is_none() {
        // The answer to a SYN.
        receiver.pick_up(header.ack.plus(u32::MAX), header.ack);
        receiver.state = State::SynSent;
        return;
    }
    if is_syn {
        return;
    }
    if sender.iss().is_none() {
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
    // What it has received it does not acknowledge too early; an acknowledgment that is far off is none.
    let ahead = sender
        .rcv_nxt()
        .map(|rcv_nxt| header.ack.relative_to(rcv_nxt));
    if ahead.is_none_or(|ahead| ahead > 0 && ahead < FAR) {
        sender.learn_received(header.ack);
        if receiver
            .snd_nxt()
            .is_none_or(|snd_nxt| header.ack.is_after(snd_nxt))
        {
            receiver.set_snd_nxt(Some(header.ack));
        }
    }
}

/// The frame in which this RST left its sender, now or earlier.
fn left(
    under_way: &mut Few<(Role, Header)>,
    from: Role,
    header: &Header,
    leaves: bool,
    arrives: bool,
) -> Option<u32> {
    if leaves {
        if !arrives && under_way.len() < MOST_UNDER_WAY {
            under_way.push((from, *header));
        }
        return Some(header.frame);
    }
    let is_it = |(sender, sent): &(Role, Header)| {
        (*sender, sent.flags, sent.seq, sent.ack, sent.window)
            == (from, header.flags, header.seq, header.ack, header.window)
    };
    Some(under_way.remove(is_it)?.1.frame)
}

impl Flow {
    /// A socket that is connected to itself sends every segment and receives it: a simultaneous open with one side
    /// (RFC 9293, figure 7).
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
                drawn_by: None,
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
    let drawn_by = form.and_then(|form| receiver.draws(form, header));
    let acceptance = if arrives {
        receiver.judge_reset(sender, header)
    } else {
        Acceptance::NotArrived
    };
    if acceptance.is_acceptable() {
        receiver.state = State::Closed;
        receiver.set(IS_REQUEST, false);
        // One that is not believed may be made up, and then says nothing of the end that it claims to come from; nor does
        // one that never left it.
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
        drawn_by,
        left,
        finds_request,
        received_before: receiver.payload_received(sender),
        challenged_by: None,
    }
}

/// What an end has sent is remembered so far back, to find the segment that drew a RST.
const LATEST: usize = 8;

/// A segment that an end has sent, as far as an answer to it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    frame: u32,
    /// What an answer to it has from it: its acknowledgment number; if it has none, the number after the last one that it
    /// takes up.
    answered_by: SeqNum,
}

/// Segments that came in ahead of a hole are kept, but not without bound: a capture may be hostile.
const MOST_OUT_OF_ORDER: usize = 64;

/// A range of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    start: SeqNum,
    /// The number after the last one.
    end: SeqNum,
    /// Whether the last one is a FIN.
    fin: bool,
}

/// Sequence numbers of an end. One that is not known is 0 here, so that two ends that know the same are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    /// The one after the last one that it has sent.
    snd_nxt: SeqNum,
    /// What it expects next from the other end.
    rcv_nxt: SeqNum,
    /// What it has sent is acknowledged up to here.
    snd_una: SeqNum,
    /// `TS.Recent` (RFC 7323, 4.3), which is compared like a sequence number.
    ts_recent: SeqNum,
    /// Right edge of the highest SACK block in its latest segment.
    sack_edge: SeqNum,
    /// Its initial send sequence number.
    iss: SeqNum,
    /// The other end's initial sequence number.
    irs: SeqNum,
    /// The one after its FIN, once sent.
    after_fin: SeqNum,
}

// The bits of an end. The lowest nine: which of its numbers are known.
const SND_NXT: u16 = 1;
const RCV_NXT: u16 = 1 << 1;
const SND_UNA: u16 = 1 << 2;
const TS_RECENT: u16 = 1 << 3;
const SACK_EDGE: u16 = 1 << 4;
const ISS: u16 = 1 << 5;
const IRS: u16 = 1 << 6;
const AFTER_FIN: u16 = 1 << 7;
const TIMESTAMPS: u16 = 1 << 8;
/// The other end has acknowledged its FIN.
const FIN_ACKNOWLEDGED: u16 = 1 << 9;
/// In SYN-RECEIVED: nobody has a socket for it yet.
const IS_REQUEST: u16 = 1 << 10;
/// No RST takes it out of TIME-WAIT.
const KEEPS_TIME_WAIT: u16 = 1 << 11;
/// The three bits from here on count, modulo [`LATEST`], what was put into the ring,
const ONE_SENT: u16 = 1 << 12;
/// and this one is set once all its places were written.
const IS_FULL: u16 = 1 << 15;

/// One end of the connection: first, in less than a line of 64 bytes, all that most segments have to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
struct Endpoint {
    /// Received beyond `rcv_nxt`.
    out_of_order: Few<Text>,
    numbers: Numbers,
    /// Of its latest segment that had any.
    timestamps: TcpTimestamps,
    /// What it has sent again, and its probes, since it last heard of the other end.
    unanswered: u32,
    bits: u16,
    state: State,
    /// For each place of `latest`, whether the segment there has an acknowledgment number.
    with_ack: u8,
    /// Its latest segments, in a ring.
    latest: [Sent; LATEST],
}

/// How each of the numbers is got and set, as one that may not be known.
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
            out_of_order: Few::new(),
            numbers: Numbers::default(),
            timestamps: TcpTimestamps::default(),
            unanswered: 0,
            bits: 0,
            state,
            with_ack: 0,
            latest: [Sent::default(); LATEST],
        }
    }

    /// Whether all these bits are set.
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

    /// Whether this is the number of something that it has sent and that may not have arrived.
    fn is_outstanding(&self, seq: SeqNum) -> bool {
        self.snd_una().is_some_and(|una| !seq.is_before(una))
            && self.snd_nxt().is_some_and(|snd_nxt| !seq.is_after(snd_nxt))
    }

    /// A number of this end's own sequence space, relative to its initial one.
    fn relative(&self, number: SeqNum) -> Option<u32> {
        self.iss().map(|iss| number.relative_to(iss))
    }

    /// Whether this number lies beyond what has been captured on its way to this end.
    fn has_not_received(&self, number: SeqNum) -> bool {
        self.rcv_nxt()
            .is_none_or(|rcv_nxt| number.is_after(rcv_nxt))
    }

    /// Whether this acknowledges the SYN of this end: ISS < SEG.ACK =< SND.NXT (RFC 9293, 3.10.7.3).
    fn is_syn_acknowledged_by(&self, ack: SeqNum) -> bool {
        self.iss().is_some_and(|iss| ack.is_after(iss))
            && self.snd_nxt().is_some_and(|snd_nxt| !ack.is_after(snd_nxt))
    }

    /// The next segment goes into the place of the oldest.
    fn remember(&mut self, frame: u32, has_ack: bool, answered_by: SeqNum) {
        let place = self.next();
        self.latest[place] = Sent { frame, answered_by };
        self.with_ack = self.with_ack & !(1 << place) | u8::from(has_ack) << place;
        // What is carried beyond the count says that the ring is full, and stays.
        self.bits = self.bits.wrapping_add(ONE_SENT) | self.bits & IS_FULL;
    }

    /// Where in the ring the next segment goes.
    fn next(&self) -> usize {
        usize::from(self.bits / ONE_SENT) % LATEST
    }

    /// This end is met in the midst of a connection: its initial number, and the next.
    fn pick_up(&mut self, iss: SeqNum, snd_nxt: SeqNum) {
        self.set_iss(Some(iss));
        self.set_snd_nxt(self.snd_nxt().or(Some(snd_nxt)));
        self.set_snd_una(self.snd_una().or(Some(snd_nxt)));
    }

    /// This end says that it has received all up to here.
    fn learn_received(&mut self, rcv_nxt: SeqNum) {
        self.set_rcv_nxt(Some(rcv_nxt));
        self.set_irs(self.irs().or(Some(rcv_nxt.plus(u32::MAX))));
        self.out_of_order.retain(|text| text.end.is_after(rcv_nxt));
        self.advance_over_what_waited();
    }

    /// This end sends a segment that is no RST.
    fn send(&mut self, header: &Header) {
        self.set_sack_edge(header.sack_edge);
        let end = header.seq_end();
        let has_ack = header.flags.has(Flags::ACK);
        let answered_by = if has_ack { header.ack } else { end };
        self.remember(header.frame, has_ack, answered_by);
        if header.timestamps.is_some() {
            self.set_timestamps(header.timestamps);
        }
        if header.flags.has(Flags::SYN) && self.iss().is_some_and(|iss| iss != header.seq) {
            return; // of another connection with the same ends, or somebody else's
        }
        if self.snd_nxt().is_none_or(|snd_nxt| end.is_after(snd_nxt)) {
            self.set_snd_nxt(Some(end));
        } else if header.seq_len() > 0 || self.snd_una() == Some(header.seq.plus(1)) {
            // The same once more; or nothing, one before what is expected, which is a probe.
            self.unanswered += 1;
        }
        if header.flags.has(Flags::SYN) && self.iss().is_none() {
            self.set_iss(Some(header.seq));
            self.set_snd_una(Some(header.seq));
            if has_ack && self.state == State::Listen {
                // Data of the SYN is its own only if it says so (RFC 7413, 2).
                self.set_rcv_nxt(Some(header.ack));
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

    /// This end is acknowledged up to `ack`. Whether that is the first acknowledgment of its FIN.
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

    /// A segment that is no RST reaches this end.
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
                return; // from before the numbers wrapped, or made up (RFC 7323, 5.3: PAWS)
            }
            if !header.seq.is_after(rcv_nxt) {
                self.set_ts_recent(Some(SeqNum(value)));
            }
        }
        let text = Text {
            start: header.seq,
            end: header.seq_end(),
            fin: header.flags.has(Flags::FIN),
        };
        if text.start.is_after(rcv_nxt) {
            if text.start != text.end && self.out_of_order.len() < MOST_OUT_OF_ORDER {
                self.out_of_order.push(text);
            }
            return;
        }
        self.advance(text);
        self.advance_over_what_waited();
    }

    fn receive_syn(&mut self, header: &Header) {
        if self.rcv_nxt().is_some() {
            return; // again, or somebody else's: the first one counts
        }
        if self.state == State::SynSent {
            if header
                .timestamps
                .is_some_and(|it| self.has_not_sent(it.echo))
            {
                return; // answered with a RST, and forgotten
            }
            self.state = if !header.flags.has(Flags::ACK) {
                State::SynReceived // both at once: figure 7
            } else if self.is_syn_acknowledged_by(header.ack) {
                State::Established
            } else {
                return; // answered with a RST, and forgotten
            };
        }
        self.set_rcv_nxt(Some(header.seq_end()));
        self.set_irs(Some(header.seq));
        self.set_ts_recent(header.timestamps.map(|it| SeqNum(it.value)));
    }

    /// Whether `TSecr` of an answer to its SYN is none of its own clock's values.
    fn has_not_sent(&self, echo: u32) -> bool {
        echo != 0
            && self
                .timestamps()
                .is_some_and(|sent| SeqNum(echo).is_after(SeqNum(sent.value)))
    }

    fn advance_over_what_waited(&mut self) {
        while let Some(rcv_nxt) = self.rcv_nxt()
            && let Some(text) = self
                .out_of_order
                .swap_remove(|text| !text.start.is_after(rcv_nxt))
        {
            self.advance(text);
        }
    }

    /// Moves RCV.NXT over text that begins at or before it. After a FIN there is none (RFC 9293, 3.10.7.4, seventh).
    fn advance(&mut self, text: Text) {
        let is_over = matches!(
            self.state,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        );
        if is_over {
            return;
        }
        if !self
            .rcv_nxt()
            .is_some_and(|rcv_nxt| text.end.is_after(rcv_nxt))
        {
            return;
        }
        self.set_rcv_nxt(Some(text.end));
        if text.fin {
            self.state = match self.state {
                State::Established | State::SynReceived => State::CloseWait,
                State::FinWait1 => State::Closing,
                State::FinWait2 => State::TimeWait,
                other => other,
            };
        }
    }

    /// The latest segment of this end that a RST of this form would answer.
    fn draws(&self, form: Form, reset: &Header) -> Option<u32> {
        let (has_ack, number) = match form {
            Form::Active => return None,
            Form::Passive => (true, reset.seq),
            Form::PassiveAck => (false, reset.ack),
        };
        let next = self.next();
        let count = if self.is(IS_FULL) { LATEST } else { next };
        let is_answered = |place: &usize| {
            (self.with_ack >> place & 1 == 1) == has_ack
                && self.latest[*place].answered_by == number
        };
        let mut newest_first = (1..=count).map(|back| (next + LATEST - back) % LATEST);
        let place = newest_first.find(is_answered)?;
        Some(self.latest[place].frame)
    }

    /// Bytes between its SYN and its FIN.
    fn payload_sent(&self) -> u32 {
        let (Some(iss), Some(snd_nxt)) = (self.iss(), self.snd_nxt()) else {
            return 0;
        };
        let controls = 1 + u32::from(self.after_fin().is_some());
        snd_nxt.relative_to(iss).saturating_sub(controls)
    }

    /// How many bytes of `sender` it has received, with none missing before them.
    fn payload_received(&self, sender: &Self) -> u32 {
        let (Some(irs), Some(rcv_nxt)) = (self.irs(), self.rcv_nxt()) else {
            return 0;
        };
        let has_fin = sender.after_fin() == Some(rcv_nxt);
        rcv_nxt
            .relative_to(irs)
            .saturating_sub(1 + u32::from(has_fin))
    }

    /// Whether this end, in its state, has to believe this RST from `sender`.
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

    /// The short way is taken by most segments of a connection from which nothing is missing, and leads to where the long one
    /// does: of any segments, in any order.
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

    /// An answer to nothing finds nothing: a place of the ring that was never written is like no segment. Of those that were,
    /// the latest that fits is found, and none that has left the ring.
    #[test]
    fn only_a_segment_that_was_sent_draws_a_reset() {
        let mut end = Endpoint::new(State::Established);
        let reset = |number| Header {
            seq: SeqNum(number),
            ack: SeqNum(number),
            ..Header::default()
        };
        for form in [Form::Active, Form::Passive, Form::PassiveAck] {
            assert_eq!(end.draws(form, &reset(0)), None);
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
                assert_eq!(end.draws(Form::Passive, &reset(number)), latest(&with_ack));
                assert_eq!(
                    end.draws(Form::PassiveAck, &reset(number)),
                    latest(&without)
                );
                assert_eq!(end.draws(Form::Active, &reset(number)), None);
            }
        }
        assert_eq!(end.bits & (ONE_SENT - 1), 0);
    }
}
