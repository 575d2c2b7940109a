//! Requests and replies of a connection: which end sent data last, and how much the other end has left unanswered.
//!
//! A connection in which an end closes instead of answering has failed for its other end, although no packet is missing and no
//! RST was sent. The turn of the conversation at the first FIN shows it.

use std::num::NonZeroI64;

use super::last_words::Spoken;
use crate::packet::ip::{Ip, Part, plain_tcp};
use crate::packet::wire::{TCP, TcpHeader};
use crate::packet::{Flags, Header, SeqNum};
use crate::time::Timestamp;
use crate::transcript::{PerEnd, Role};

/// Shortest segment that counts as large: with its headers it is longer than the 576 bytes that every path carries
/// (RFC 1122, 3.3.2), and shorter than what a link of 1,280 bytes, the least of IPv6, leaves.
const MIN_LARGE_LEN: u32 = 1_000;

/// Turn of a conversation: consecutive data of one end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exchange {
    /// End that sent data last.
    speaker: Option<Role>,
    /// Begin of the data of its turn.
    opening: Opening,
    /// True if the first FIN came when the other end had sent data last.
    is_unanswered: bool,
    /// True for each end that has sent data.
    has_sent: PerEnd<bool>,
    /// Capture time of the first segment of the turn.
    began_at: Timestamp,
    /// Frame of that segment.
    frame: u32,
    /// Bytes of the turn; saturates.
    bytes: u32,
    /// First FIN: its end, frame and time, and the silence before it.
    first_fin: Option<(Role, Asked)>,
    /// Sequence number of each end's first large segment.
    first_large: PerEnd<Option<SeqNum>>,
    /// What each end has sent last when all before it was acknowledged.
    asked: PerEnd<Asked>,
    /// Capture time of the server's last data; 0 if it has sent none.
    server_data_at: Timestamp,
    /// What is known of the protocol.
    pub(super) spoken: Spoken,
}

/// First segment of an end after all before it was acknowledged: data or a FIN that may still wait for its acknowledgment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Number of the frame, or 0.
    pub(super) frame: u32,
    /// Capture time.
    pub(super) at: Timestamp,
    /// Silence of the connection before it, in nanoseconds.
    pub(super) silence: i64,
}

/// Begin of a turn's data, if it is a request that its protocol answers in any case: number in [`REQUESTS`] plus 1. Otherwise 0: it
/// may be a message without an answer, such as a farewell.
// A byte, because every connection has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opening(u8);

/// Function that returns true for the begin of a certain request.
type Recognizer = fn(&[u8]) -> bool;

/// Requests that are always answered: name with its article, and what recognizes the data.
const REQUESTS: [(&str, Recognizer); 10] = [
    ("an HTTP request", is_http),
    // RFC 8446, 5.1 and 4: record type handshake, legacy version 3.x, length, and message type client_hello.
    ("a TLS ClientHello", |data| {
        matches!(data, [22, 3, _, _, _, 1, ..])
    }),
    // RFC 9113, 3.4.
    ("an HTTP/2 preface", |data| {
        data.starts_with(b"PRI * HTTP/2")
    }),
    // RFC 4253, 4.2: both ends identify themselves.
    ("an SSH identification", |data| data.starts_with(b"SSH-")),
    // RFC 5321, 4.1.1.1.
    ("an SMTP greeting", |data| {
        data.starts_with(b"EHLO ") || data.starts_with(b"HELO ")
    }),
    // RESP: an array of bulk strings, the form of every command of a client.
    ("a Redis command", |data| {
        matches!(data, [b'*', b'1'..=b'9', ..]) && data.contains(&b'$')
    }),
    ("a PostgreSQL request", is_postgres),
    // Length of the packet in 3 bytes, sequence number 0, and COM_QUERY (3).
    (
        "a MySQL query",
        |data| matches!(data, [a, b, c, 0, 3, ..] if has_length(data, u32::from_le_bytes([*a, *b, *c, 0]), 4)),
    ),
    // MQTT 3.1.1 and 5.0, 3.1: CONNECT, and the name of the protocol after its length.
    ("an MQTT CONNECT", |data| {
        matches!(data, [0x10, ..])
            && data
                .get(..12)
                .is_some_and(|head| head.windows(4).any(|it| it == b"MQTT"))
    }),
    ("an AMQP header", |data| data.starts_with(b"AMQP")),
];

/// RFC 9112, 3: a request begins with its method.
pub(super) fn is_http(data: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] = [
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"DELETE ",
        b"OPTIONS ",
        b"PATCH ",
        b"CONNECT ",
        b"TRACE ",
    ];
    data.first().is_some_and(u8::is_ascii_uppercase)
        && METHODS.iter().any(|method| data.starts_with(method))
}

/// Simple query, whose length counts all but the type byte; or a start-up packet of protocol 3.0, or a request for TLS.
fn is_postgres(data: &[u8]) -> bool {
    match data {
        [b'Q', a, b, c, d, ..] => has_length(data, u32::from_be_bytes([*a, *b, *c, *d]), 1),
        [a, b, c, d, 0, 3, 0, 0, ..] => has_length(data, u32::from_be_bytes([*a, *b, *c, *d]), 0),
        [0, 0, 0, 8, 4, 210, 22, 47] => true,
        _ => false,
    }
}

/// Returns true if the data is as long as it says, without so many bytes that its length does not count.
fn has_length(data: &[u8], stated: u32, uncounted: u32) -> bool {
    let stated = stated.checked_add(uncounted);
    stated.is_some_and(|stated| u32::try_from(data.len()) == Ok(stated))
}

impl Opening {
    /// Recognizes the begin of the data.
    fn of(data: &[u8]) -> Self {
        let found = REQUESTS.iter().position(|(_, is_it)| is_it(data));
        Self(
            found
                .and_then(|nth| u8::try_from(nth + 1).ok())
                .unwrap_or(0),
        )
    }

    /// Returns the name of the request, with its article; `None` if it is not recognized.
    pub(super) fn name(self) -> Option<&'static str> {
        let nth = usize::from(self.0).checked_sub(1)?;
        Some(REQUESTS.get(nth)?.0)
    }
}

/// Request that an end has left without an answer when it closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// End that closed.
    pub(super) by: Role,
    /// Its FIN.
    pub(super) fin: Asked,
    /// First frame of the data.
    pub(super) frame: u32,
    /// Number of bytes.
    pub(super) bytes: u32,
    /// Name of the request, with its article.
    pub(super) request: &'static str,
    /// True if the end that closed had never sent anything.
    pub(super) was_silent: bool,
    /// Time from the last data of that end to its FIN, in nanoseconds, if it is a server that has sent data.
    pub(super) quiet: Option<NonZeroI64>,
}

impl Exchange {
    /// Takes in a segment that is not an RST and not a copy. `next` is the sequence number that was expected; `opening` recognizes
    /// the data of the segment. `una` is the oldest number of the end that is not acknowledged, and `last` the time of the packet
    /// before.
    #[inline]
    pub(super) fn take(
        &mut self,
        from: Role,
        header: &Header,
        (next, una, last): (Option<SeqNum>, Option<SeqNum>, Timestamp),
        opening: impl FnOnce() -> Opening,
    ) {
        let has_fin = header.flags.has(Flags::FIN);
        // Most segments without data end here, and so does a retransmission, which says nothing new.
        if header.payload_len == 0 && !has_fin
            || next.is_some_and(|next| !header.seq_end().is_after(next))
        {
            return;
        }
        let now = Asked {
            frame: header.frame,
            at: header.at,
            silence: header.at.since(last).max(0),
        };
        if next == una {
            self.asked[from] = now;
        }
        if header.payload_len > 0 {
            self.take_data(from, header, opening);
        }
        if has_fin && self.first_fin.is_none() {
            self.first_fin = Some((from, now));
            // A client that reads a greeting and goes has only tried whether the server is there.
            self.is_unanswered = from == Role::Server && self.speaker == Some(Role::Client);
        }
    }

    fn take_data(&mut self, from: Role, header: &Header, opening: impl FnOnce() -> Opening) {
        self.has_sent[from] = true;
        // From its FIN on, a server sends no more data of its own.
        if from == Role::Server {
            self.server_data_at = header.at;
        }
        if header.payload_len >= MIN_LARGE_LEN {
            self.first_large[from].get_or_insert(header.seq);
        }
        if self.speaker == Some(from) {
            self.bytes = self.bytes.saturating_add(header.payload_len);
        } else if !self.is_unanswered {
            // What was unanswered at the first FIN stays so. Only a client asks, so that a server's data is not looked at.
            self.speaker = Some(from);
            self.opening = match from {
                Role::Client => opening(),
                Role::Server => Opening::default(),
            };
            (self.began_at, self.frame) = (header.at, header.frame);
            self.bytes = header.payload_len;
        }
    }

    /// Returns the request that an end left unanswered when it closed.
    pub(super) fn unanswered(&self) -> Option<Unanswered> {
        let (by, fin) = self.first_fin.filter(|_| self.is_unanswered)?;
        Some(Unanswered {
            by,
            fin,
            frame: self.frame,
            bytes: self.bytes,
            request: self.opening.name()?,
            was_silent: !self.has_sent[by],
            quiet: self.quiet(by, None),
        })
    }

    /// Returns the time from the last data of a server to its FIN, if the first FIN is its own, or to its abort at this time, in
    /// nanoseconds. `None` for a client, and for a server that has sent no data.
    pub(super) fn quiet(&self, role: Role, aborted: Option<Timestamp>) -> Option<NonZeroI64> {
        if role == Role::Client || self.server_data_at == Timestamp::default() {
            return None;
        }
        let fin = self.first_fin.filter(|(by, _)| *by == Role::Server);
        let closed = fin.map(|(_, fin)| fin.at).or(aborted)?;
        NonZeroI64::new(closed.since(self.server_data_at)).filter(|it| it.is_positive())
    }

    /// Returns true if an end has sent large segments and none of them was acknowledged. `una` is its oldest number that is not
    /// acknowledged.
    pub(super) fn lacks_large(&self, from: Role, una: SeqNum) -> bool {
        self.first_large[from].is_some_and(|first| !una.is_after(first))
    }

    /// Returns what an end has sent last when all before it was acknowledged; `None` if that was not seen.
    pub(super) fn asked(&self, role: Role) -> Option<Asked> {
        let asked = self.asked[role];
        (asked.frame > 0).then_some(asked)
    }

    /// Returns the data of an end that the other one had not answered by this time; `None` if the other one has sent data last.
    pub(super) fn pending(&self, role: Role, at: Timestamp) -> Option<Pending> {
        self.has_last_word(role).then(|| Pending {
            frame: self.frame,
            bytes: self.bytes,
            age: at.since(self.began_at).max(0),
        })
    }

    /// Returns true if an end has sent a FIN.
    pub(super) fn has_closed(&self) -> bool {
        self.first_fin.is_some()
    }

    /// Returns true if this end has sent data last.
    pub(super) fn has_last_word(&self, role: Role) -> bool {
        self.speaker == Some(role)
    }
}

/// Data that an end had sent last, and to which the other end had not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// First frame of the data.
    pub frame: u32,
    /// Number of bytes; saturates.
    pub bytes: u32,
    /// Time since the first frame, in nanoseconds.
    pub age: i64,
}

/// Recognizes the begin of the data in a packet.
pub(super) fn opening(packet: &[u8]) -> Opening {
    let any = || {
        let ip = Ip::of(packet)?;
        (ip.protocol == TCP && ip.part != Part::Later).then_some(ip.payload)
    };
    let tcp = plain_tcp(packet).or_else(any).and_then(TcpHeader::new);
    tcp.map_or_else(Opening::default, |tcp| Opening::of(tcp.payload()))
}
