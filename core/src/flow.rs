//! TCP state of one connection, followed segment by segment from the capture alone.
//!
//! [`Flow`] keeps for each end the state, SND.NXT and RCV.NXT of RFC 9293, as they must be after the segments
//! captured so far: an end has sent the segments captured at that end, and received the segments that arrived there.
//! On loopback one frame shows both; between two hosts there are two frames, and one of them may be missing. These
//! numbers decide whether the receiver of an RST was required to accept it, and in which state: the two facts that
//! determine the error that the application sees. Pure: no clock, no socket, no pcap.

mod endpoint;
mod few;
mod icmp;
mod learn;
mod reply;
mod reset;
mod sent;
mod state;
mod summary;

use std::net::SocketAddr;

use self::endpoint::{Endpoint, KEEPS_TIME_WAIT, RCV_NXT, Receipt, SND_NXT, SND_UNA};
pub(crate) use self::endpoint::{OrderlyEnd, RECENT_SEGMENTS};
use self::few::SmallList;
pub(crate) use self::icmp::errno_of_message;
use self::learn::{learn, may_have_closed};
use self::reply::form_of_any_stack;
pub use self::reset::{Acceptance, FinReceipt, Form, Reset};
pub use self::state::State;
pub(crate) use self::summary::FlowSummary;
use crate::packet::{Flags, Header, IcmpError, Segment, SeqNum, TcpTimestamps};
use crate::time::Timestamp;
use crate::transcript::{Errno, Role};

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

const _: () = assert!(size_of::<Flow>() <= 304);

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
    pub(crate) fn learning() -> Self {
        Self {
            addresses: None,
            client: Endpoint::new(State::Closed),
            resets_in_flight: SmallList::new(),
            server: Endpoint::new(State::Listen),
        }
    }

    /// Creates the flow of an orderly connection, given its client and its server.
    #[must_use]
    pub(crate) fn orderly(client: &OrderlyEnd<'_>, server: &OrderlyEnd<'_>) -> Self {
        Self {
            addresses: None,
            client: Endpoint::orderly(client, server),
            resets_in_flight: SmallList::new(),
            server: Endpoint::orderly(server, client),
        }
    }

    /// Returns true if an end is taken to have received what it acknowledges, even if that was not captured.
    fn learns(&self) -> bool {
        self.addresses.is_none()
    }

    /// Sets whether the ends stay in TIME-WAIT when an RST arrives there.
    #[must_use]
    pub(crate) fn keeping_time_wait(mut self, keeping: bool) -> Self {
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

    /// Sets an end back to an earlier state, which an RST that it did not send had ended.
    pub(crate) fn restore(&mut self, role: Role, state: State) {
        match role {
            Role::Client => self.client.restore(state),
            Role::Server => self.server.restore(state),
        }
    }

    fn end(&self, role: Role) -> &Endpoint {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }

    /// Returns true if this end is a request at a listener: in SYN-RECEIVED, without a socket of its own.
    #[must_use]
    pub fn is_request(&self, role: Role) -> bool {
        self.end(role).is_request()
    }

    /// Returns the frame of this end's latest SYN without ACK that ends before this sequence number, if it is among its
    /// latest segments.
    #[must_use]
    pub fn frame_of_syn(&self, role: Role, next: SeqNum) -> Option<u32> {
        let ack = Header {
            ack: next,
            ..Header::default()
        };
        // An RST with ACK answers a segment without ACK, by the number after it.
        self.end(role).triggered_by(Form::PassiveAck, &ack)
    }

    /// Returns the frames of the segments that an RST may be a reply to, oldest first; none if it replies to no captured
    /// segment. They have the number that the RST took from one of them, and came after its sender's latest segment, if
    /// any of them did.
    pub(crate) fn triggers(&self, reset: &Reset, header: &Header) -> Vec<u32> {
        let (Some(form), Some(_)) = (reset.form, reset.triggered_by) else {
            return Vec::new();
        };
        let receiver = self.end(reset.from.peer());
        let mut frames: Vec<u32> = receiver.triggers(form, header).collect();
        frames.reverse();
        let last_sign = self.end(reset.from).latest().map_or(0, |(frame, _)| frame);
        let unanswered = frames.partition_point(|frame| *frame <= last_sign);
        if unanswered < frames.len() {
            frames.drain(..unanswered);
        }
        frames
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
    pub(crate) fn relative(&self, role: Role, number: SeqNum) -> Option<u32> {
        self.end(role).relative(number)
    }

    /// Returns the timestamps of the latest segment of this end that carried the option.
    #[must_use]
    pub fn timestamps(&self, role: Role) -> Option<TcpTimestamps> {
        self.end(role).timestamps()
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
    pub(crate) fn follow(&mut self, from: Role, header: &Header) -> Option<Observed> {
        if self.fast_path(from, header) {
            return None;
        }
        Some(self.observe_at(from, header, true, true))
    }

    /// Processes the next segment from `from`, captured at the end `at` only.
    pub(crate) fn follow_at(&mut self, from: Role, header: &Header, at: Role) -> Observed {
        self.observe_at(from, header, at == from, at != from)
    }

    /// Processes the next segment of a socket that is connected to itself.
    pub(crate) fn follow_itself(&mut self, header: &Header) -> Observed {
        self.observe_itself(header)
    }

    /// Processes the next segment as [`follow`](Self::follow) does, if it is the usual one. Returns false, with the flow unchanged,
    /// for any other.
    #[inline]
    pub(crate) fn follow_usual(&mut self, from: Role, header: &Header) -> bool {
        self.fast_path(from, header)
    }

    /// Fast path for the next segment of a connection from which nothing is missing. Returns false, with the flow
    /// unchanged, if the segment needs the full path; otherwise the result is the same as that of the full path.
    fn fast_path(&mut self, from: Role, header: &Header) -> bool {
        let (sender, receiver) = match from {
            Role::Client => (&mut self.client, &mut self.server),
            Role::Server => (&mut self.server, &mut self.client),
        };
        // The conditions below leave one case: a plain ACK, in order at both ends, that acknowledges no more than was
        // captured. The test `the_fast_path_gives_the_same_flow_as_the_slow_one` compares both paths.
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
        let outstanding = receiver.numbers.snd_nxt.is_after(header.ack);
        sender.advertise(header, outstanding);
        sender.remember(header.frame, true, header.ack);
        // Without payload both numbers have this value already.
        let end = header.seq.plus(header.payload_len);
        if header.payload_len > 0 {
            sender.note_latest();
            if sender.snd_una() == Some(header.seq) {
                sender.unanswered = 0;
            }
        }
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
            let reset = reset(
                sender,
                receiver,
                header,
                &Passage {
                    from,
                    left,
                    arrives,
                    learns,
                },
            );
            // Anyone can forge an RST with any ACK number, but only an acceptable one is a sign of missing frames.
            observed.acknowledges_unseen &= reset.acceptance.is_acceptable();
            observed.reset = Some(reset);
        } else {
            if learns {
                learn(sender, receiver, header);
            }
            if leaves {
                let outstanding = receiver.snd_nxt().is_some_and(|it| it.is_after(header.ack));
                sender.advertise(header, outstanding);
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
            let acceptance = end.judge_reset(&sender, header, Receipt::Captured);
            observed.reset = Some(Reset {
                frame: header.frame,
                at: header.at,
                from: Role::Client,
                form: Form::of(header),
                receiver_state: end.state,
                acceptance,
                window: window(end, &sender),
                triggered_by: None,
                left: Some(header.frame),
                finds_request: false,
                on_linux: false,
                finds_older: false,
                finds_subflow: false,
                opened_with_window_0: false,
                fin: FinReceipt::NotSent,
                may_lack_fin: false,
                may_find_closed: false,
                received_before: sender.payload_sent(),
                challenged_by: None,
            });
        } else {
            end.advertise(header, false);
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

/// Passage of an RST, and how the flow is followed.
struct Passage {
    from: Role,
    /// Frame in which the RST left its sender, now or earlier.
    left: Option<u32>,
    /// True if it has arrived at its receiver.
    arrives: bool,
    /// True if the capture may lack frames.
    learns: bool,
}

fn reset(
    sender: &mut Endpoint,
    receiver: &mut Endpoint,
    header: &Header,
    passage: &Passage,
) -> Reset {
    let &Passage {
        from,
        left,
        arrives,
        learns,
    } = passage;
    let (form, triggered_by) = if learns {
        form_of_any_stack(sender, receiver, header)
    } else {
        let form = Form::of(header);
        (
            form,
            form.and_then(|form| receiver.triggered_by(form, header)),
        )
    };
    let fin = sender.fin_receipt(receiver);
    let receiver_state = match (fin, receiver.state) {
        // The receiver has acknowledged a FIN that was not captured.
        (FinReceipt::Inferred, State::Established) => State::CloseWait,
        (FinReceipt::Inferred, State::FinWait1) => State::Closing,
        // An end whose FIN is acknowledged has closed, and cannot abort: what its other end acknowledged was data.
        (FinReceipt::Inferred, State::FinWait2) if form == Some(Form::Active) => State::FinWait2,
        (FinReceipt::Inferred, State::FinWait2) => State::TimeWait,
        (_, state) => state,
    };
    // The sender has acknowledged a FIN of the receiver that was not captured.
    let receiver_state = match receiver_state {
        State::Established | State::SynReceived if receiver.is_fin_inferred() => State::FinWait2,
        State::CloseWait if receiver.is_fin_inferred() => State::LastAck,
        state => state,
    };
    let finds_request = receiver.is_request();
    let receipt = if learns {
        let is_answer = triggered_by.is_some();
        Receipt::Inferred { is_answer }
    } else {
        Receipt::Captured
    };
    let acceptance = if arrives {
        receiver.judge_reset(sender, header, receipt)
    } else {
        Acceptance::NotArrived
    };
    let reset = Reset {
        frame: header.frame,
        at: header.at,
        from,
        form,
        receiver_state,
        acceptance,
        window: window(receiver, sender),
        triggered_by,
        left,
        finds_request,
        // Trials run on Linux; a capture may be of any system.
        on_linux: !learns,
        finds_older: receiver.is_older(),
        finds_subflow: receiver.is_multipath()
            && sender.is_multipath()
            && !header.options.has_fast_close(),
        opened_with_window_0: sender.has_opened_with_window_0(),
        fin,
        may_lack_fin: learns && sender.lacks_latest(),
        may_find_closed: learns && may_have_closed(receiver, header, form),
        received_before: receiver.payload_received(sender),
        challenged_by: None,
    };
    if acceptance.is_acceptable() {
        if receiver.is_older() {
            // The older connection is over, and its address listens for the SYN that will be sent again.
            *receiver = Endpoint::new(State::Listen);
        } else {
            receiver.close(header.at);
        }
        // An RST that is not acceptable, or that never left its stated sender, may be forged and shows nothing about
        // the sender.
        if form == Some(Form::Active) && left.is_some() {
            sender.leave(header.at);
        }
    }
    // The reply shows that its sender has no connection, except in the states in which an unacceptable segment is
    // answered in this way, and the connection goes on (RFC 9293, 3.10.7.3 and 3.10.7.4).
    let has_no_socket = learns
        && form == Some(Form::Passive)
        && triggered_by.is_some()
        && !matches!(
            sender.state,
            State::SynSent | State::SynReceived | State::Listen
        );
    if has_no_socket {
        sender.leave(header.at);
    }
    reset
}

/// Returns the size of the window of an end, from RCV.NXT on; `None` if it is unknown.
fn window(receiver: &Endpoint, sender: &Endpoint) -> Option<u32> {
    let end = receiver.window_end(sender)?;
    let size = end.relative_to(receiver.rcv_nxt()?);
    // The other end may have sent more than was advertised.
    Some(if size < 1 << 31 { size } else { 0 })
}

#[cfg(test)]
mod tests;
