//! Last messages of each end of a connection: status lines, error replies, TLS alerts and the like.
//!
//! They are shown only for connections that fail, and which ones fail is known only afterwards. So the begin of each recent message
//! is kept in a cache of fixed size, and read if its connection fails: another connection costs a look at its first bytes.
//!
//! Of a message only what identifies it is read. Bodies, credentials and parameters stay in the capture.

mod message;
mod redact;

use self::message::Shown;
use super::exchange::is_http;
use super::identified::identified;
use crate::transcript::Role;

identified! {
    /// Protocol of a connection, recognized by its first data.
    pub enum Protocol {
        /// HTTP/1.0 and HTTP/1.1 (RFC 9112).
        Http = "http", "HTTP/1";
        /// TLS records (RFC 8446, 5.1).
        Tls = "tls", "TLS";
        /// SSH before its encryption (RFC 4253, 4.2).
        Ssh = "ssh", "SSH";
        /// Replies of three digits, as of SMTP (RFC 5321, 4.2) and FTP (RFC 959, 4.2).
        SmtpOrFtp = "smtp-or-ftp", "SMTP or FTP";
        /// POP3 (RFC 1939).
        Pop3 = "pop3", "POP3";
        /// IMAP (RFC 9051).
        Imap = "imap", "IMAP";
        /// RESP, the protocol of Redis.
        Redis = "redis", "Redis";
        /// Frontend/Backend protocol of `PostgreSQL`, version 3.
        Postgres = "postgresql", "PostgreSQL";
        /// Client/Server protocol of `MySQL` and `MariaDB`.
        Mysql = "mysql", "MySQL";
    }
}

/// What is known of the protocol of a connection.
// A byte, because every connection has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Spoken {
    /// No data has shown it yet.
    #[default]
    Unknown,
    /// The data of the client is of none that is recognized, and the server has sent none.
    UnknownToServer,
    /// The first data of neither end is of one that is recognized.
    Other,
    /// Recognized protocol.
    Known(Protocol),
}

/// Last message of an end that is recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWords {
    /// Frame that the message begins in.
    pub frame: u32,
    /// Protocol of the message.
    pub protocol: Protocol,
    /// Text for people, printable and short. `…` stands for what is left out.
    pub text: String,
    /// True if the message goes on behind what was captured or kept of its line.
    pub is_cut: bool,
    /// True for the final response to an HTTP request: not 1xx.
    pub(super) is_response: bool,
    /// True for an HTTP request.
    pub(super) is_request: bool,
}

/// Largest number of bytes of a message that are kept: a request line and the header field Host are among them in most cases.
const KEPT: usize = 232;

/// Number of messages that one set of the cache holds.
const WAYS: usize = 4;

/// Number of sets.
const SETS: usize = 1 << 10;

/// Begin of a message.
#[derive(Clone, Copy)]
struct Begin {
    /// Number of the connection.
    connection: u32,
    /// Number of the frame; 0 in a slot without a message.
    frame: u32,
    from: Role,
    protocol: Protocol,
    /// True if the bytes are the name of the server in a `ClientHello`.
    is_server_name: bool,
    /// True if the segment goes on behind the bytes.
    is_cut: bool,
    len: u8,
    bytes: [u8; KEPT],
}

const EMPTY: Begin = Begin {
    connection: 0,
    frame: 0,
    from: Role::Client,
    protocol: Protocol::Http,
    is_server_name: false,
    is_cut: false,
    len: 0,
    bytes: [0; KEPT],
};

/// Recent messages of the connections of a table. Older ones give way: their connections then have none.
// Connections are found by their numbers, whose distribution does not depend on a run: what gives way is the same each time.
#[derive(Default)]
pub(super) struct WordCache {
    /// Allocated with the first message, since many captures hold none.
    slots: Vec<Begin>,
}

/// Segment that may begin a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// Number of the connection.
    pub(super) connection: u32,
    /// Number of the frame.
    pub(super) frame: u32,
    /// Sender.
    pub(super) from: Role,
    /// Captured part of the payload; not empty.
    pub(super) data: &'a [u8],
    /// Length of the payload.
    pub(super) len: u32,
    /// True if the other end, or no end, has sent data last.
    pub(super) begins_turn: bool,
    /// True if earlier data of the connection may be missing in the capture.
    pub(super) may_lack_data: bool,
    /// Port of the server.
    pub(super) port: u16,
}

impl WordCache {
    /// Takes in a segment with data that was not sent before. Returns what is known of the protocol then.
    pub(super) fn take(&mut self, spoken: Spoken, segment: &Candidate<'_>) -> Spoken {
        let data = segment.data;
        let protocol = match spoken {
            Spoken::Known(protocol) if begins_message(protocol, segment) => protocol,
            // STARTTLS, a tunnel through a proxy, and the like.
            Spoken::Known(_) if is_client_hello(data) => Protocol::Tls,
            Spoken::Other => return spoken,
            Spoken::Known(_) | Spoken::UnknownToServer if segment.from == Role::Client => {
                return spoken;
            }
            Spoken::Known(_) => match unexpected_reply(segment) {
                Some(protocol) => protocol,
                None => return spoken,
            },
            Spoken::UnknownToServer => match unexpected_reply(segment) {
                Some(protocol) => protocol,
                None => return Spoken::Other,
            },
            Spoken::Unknown => match recognized(segment) {
                Some(protocol) => protocol,
                None if segment.may_lack_data || is_proxy_header(data) => return spoken,
                None if segment.from == Role::Client => return Spoken::UnknownToServer,
                None => return Spoken::Other,
            },
        };
        let name = if protocol == Protocol::Tls {
            message::server_name(data)
        } else {
            None
        };
        // A ServerHello says nothing of a failure, and would only displace other messages.
        if protocol != Protocol::Tls || data[0] == message::ALERT || is_client_hello(data) {
            let kept = name.unwrap_or(data);
            self.keep(segment, protocol, kept, name.is_some());
        }
        Spoken::Known(protocol)
    }

    fn keep(
        &mut self,
        segment: &Candidate<'_>,
        protocol: Protocol,
        data: &[u8],
        is_server_name: bool,
    ) {
        if self.slots.is_empty() {
            self.slots = vec![EMPTY; SETS * WAYS];
        }
        let start = set_of(segment.connection);
        let set = &mut self.slots[start..start + WAYS];
        let is_own = |it: &Begin| it.connection == segment.connection && it.from == segment.from;
        let own = set.iter().position(is_own);
        let oldest = || (0..WAYS).min_by_key(|nth| set[*nth].frame);
        let Some(slot) = own.or_else(oldest).and_then(|nth| set.get_mut(nth)) else {
            return;
        };
        let len = data.len().min(KEPT);
        slot.bytes[..len].copy_from_slice(&data[..len]);
        slot.len = u8::try_from(len).unwrap_or(u8::MAX);
        slot.connection = segment.connection;
        slot.frame = segment.frame;
        slot.from = segment.from;
        slot.protocol = protocol;
        slot.is_server_name = is_server_name;
        slot.is_cut = !is_server_name && (len as u64) < u64::from(segment.len);
    }

    /// Returns the last message of an end of a connection; `None` if it is not known, or says nothing that may be shown.
    pub(super) fn of(&self, connection: u32, from: Role) -> Option<LastWords> {
        let start = set_of(connection);
        let set = self.slots.get(start..start + WAYS)?;
        let is_own = |it: &&Begin| it.frame > 0 && it.connection == connection && it.from == from;
        let begin = set.iter().find(is_own)?;
        let bytes = begin.bytes.get(..begin.len.into())?;
        let Shown {
            text,
            is_cut,
            is_response,
            is_request,
        } = if begin.is_server_name {
            message::client_hello(Some(bytes))
        } else {
            message::shown(begin.protocol, from, bytes, begin.is_cut)?
        };
        Some(LastWords {
            frame: begin.frame,
            protocol: begin.protocol,
            text,
            is_cut,
            is_response,
            is_request,
        })
    }
}

/// Returns the index of the first slot of a connection's set.
fn set_of(connection: u32) -> usize {
    // Fibonacci hashing: neighbouring numbers are spread over all sets.
    let mixed = connection.wrapping_mul(0x9E37_79B1) >> (u32::BITS - SETS.trailing_zeros());
    mixed as usize * WAYS
}

/// Returns true if a segment of a connection with this protocol begins a message whose text may be shown, or one after which an
/// earlier message is not the last one any more.
fn begins_message(protocol: Protocol, segment: &Candidate<'_>) -> bool {
    let (data, is_server) = (segment.data, segment.from == Role::Server);
    match protocol {
        // The parts of a body follow each other without end, and may interrupt a turn.
        Protocol::Http if is_server => data.starts_with(b"HTTP/1."),
        Protocol::Http => is_http(data),
        Protocol::Tls => data[0] == message::ALERT || is_client_hello(data),
        Protocol::Ssh => data.starts_with(b"SSH-"),
        Protocol::SmtpOrFtp if is_server => is_reply(data),
        // A server may end the connection without having been asked.
        Protocol::Imap if is_server => segment.begins_turn || data.starts_with(b"* BYE"),
        Protocol::Postgres if is_server => segment.begins_turn || is_postgres_error(data),
        Protocol::Mysql if is_server => segment.begins_turn || is_mysql_error(data),
        Protocol::SmtpOrFtp
        | Protocol::Pop3
        | Protocol::Imap
        | Protocol::Redis
        | Protocol::Postgres
        | Protocol::Mysql => segment.begins_turn,
    }
}

/// Returns the protocol of the first data of a connection, or of the first one that was captured.
fn recognized(segment: &Candidate<'_>) -> Option<Protocol> {
    let (data, is_server) = (segment.data, segment.from == Role::Server);
    if data.starts_with(b"SSH-") {
        return Some(Protocol::Ssh);
    }
    if is_server {
        if data.starts_with(b"HTTP/1.") {
            return Some(Protocol::Http);
        }
        // The only record with this length and type is an alert before encryption.
        if matches!(data, [message::ALERT, 3, _, 0, 2, 1 | 2, _]) {
            return Some(Protocol::Tls);
        }
        return greeting(segment);
    }
    if is_http(data) {
        Some(Protocol::Http)
    } else if is_client_hello(data) {
        Some(Protocol::Tls)
    } else if matches!(data, [b'*', b'1'..=b'9', ..]) && data.contains(&b'$') {
        Some(Protocol::Redis)
    } else if message::is_postgres_startup(data) {
        Some(Protocol::Postgres)
    } else if data.starts_with(b"EHLO ") || data.starts_with(b"HELO ") {
        Some(Protocol::SmtpOrFtp)
    } else {
        None
    }
}

/// Returns the protocol of the first data of a server whose client has spoken before, in another protocol or in none that is
/// recognized: only of data that no other protocol begins with.
fn unexpected_reply(segment: &Candidate<'_>) -> Option<Protocol> {
    if segment.may_lack_data {
        return None;
    }
    let (data, port) = (segment.data, segment.port);
    // Of other codes the port has to show whether they are of mail or FTP: NNTP, for example, has codes as well.
    let is_greeting = [&b"220 "[..], b"220-", b"421 ", b"554 "];
    if is_reply(data) && !is_greeting.iter().any(|it| data.starts_with(it)) {
        return [21, 25, 465, 587]
            .contains(&port)
            .then_some(Protocol::SmtpOrFtp);
    }
    // A server of POP3 greets before its client has spoken (RFC 1939, 4).
    if data.starts_with(b"-ERR ") || data.starts_with(b"-NOAUTH ") {
        return (port != 110).then_some(Protocol::Redis);
    }
    recognized(segment)
}

/// Returns the protocol of a server that sends data first, or whose client was not recognized. In the midst of a connection these
/// messages look like much else, so that the port has to agree.
fn greeting(segment: &Candidate<'_>) -> Option<Protocol> {
    let (data, port) = (segment.data, segment.port);
    let fits = |ports: &[u16]| !segment.may_lack_data || ports.contains(&port);
    if is_reply(data) && fits(&[21, 25, 465, 587]) {
        Some(Protocol::SmtpOrFtp)
    } else if data.starts_with(b"+OK") && fits(&[110]) || data.starts_with(b"-ERR") && port == 110 {
        Some(Protocol::Pop3)
    } else if is_imap_greeting(data) && fits(&[143]) {
        Some(Protocol::Imap)
    } else if data.starts_with(b"-") && (port == 6379 || data.starts_with(b"-DENIED ")) {
        Some(Protocol::Redis)
    } else if is_postgres_error(data) && port == 5432 {
        Some(Protocol::Postgres)
    } else if (is_mysql_greeting(data) || is_mysql_error(data)) && fits(&[3306]) {
        Some(Protocol::Mysql)
    } else {
        None
    }
}

/// RFC 8446, 5.1 and 4: record type handshake, legacy version 3.x, length, and message type `client_hello`.
fn is_client_hello(data: &[u8]) -> bool {
    matches!(data, [22, 3, _, _, _, 1, ..])
}

/// Three digits, of which the first is 1 to 5, and a blank or, if more lines follow, a hyphen (RFC 5321, 4.2; RFC 959, 4.2).
fn is_reply(data: &[u8]) -> bool {
    matches!(
        data,
        [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..]
    )
}

/// RFC 9051, 7.1: `* OK`, `* PREAUTH` and `* BYE`.
fn is_imap_greeting(data: &[u8]) -> bool {
    [&b"* OK "[..], b"* PREAUTH ", b"* BYE "]
        .iter()
        .any(|it| data.starts_with(it))
}

/// PROXY protocol, versions 1 and 2: it precedes the data of the client.
fn is_proxy_header(data: &[u8]) -> bool {
    data.starts_with(b"PROXY ") || data.starts_with(b"\r\n\r\n\0\r\nQUIT\n")
}

/// `ErrorResponse`: type, length, and the field with the severity first.
fn is_postgres_error(data: &[u8]) -> bool {
    matches!(data, [b'E', 0, _, _, _, b'S', b'A'..=b'Z' | 0x80.., ..])
}

/// Packet with the sequence number 0 and protocol version 10, which is as long as it says, and text as the server version.
fn is_mysql_greeting(data: &[u8]) -> bool {
    matches!(data, [len, 0, 0, 0, 10, b'0'..=b'9', ..] if *len > 30)
}

/// `ERR_Packet`: header 0xff, an error code from 1000 on, and the mark of the SQLSTATE; without that mark as the first packet, before
/// the capabilities are known.
fn is_mysql_error(data: &[u8]) -> bool {
    matches!(
        data,
        [_, _, 0, _, 0xff, _, 3..=0xfe, b'#', ..]
            | [_, _, 0, 0, 0xff, _, 3..=0xfe, b'A'..=b'Z', ..]
    )
}

#[cfg(test)]
mod tests;
