//! Text of a message, by its protocol: only what identifies the message.

use super::redact::{LEFT_OUT, bounded, error_text, line, reply_text, target};
use super::{Protocol, is_client_hello, is_postgres_error, is_reply};
use crate::transcript::Role;

/// Type of a TLS record with an alert (RFC 8446, 5.1).
pub(super) const ALERT: u8 = 21;

/// What is shown of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) is_cut: bool,
    /// True for the final response to an HTTP request.
    pub(super) is_response: bool,
    /// True for an HTTP request.
    pub(super) is_request: bool,
}

impl Shown {
    fn new(text: &str, is_cut: bool) -> Self {
        let (text, is_long) = bounded(text);
        Self {
            text,
            is_cut: is_cut || is_long,
            is_response: false,
            is_request: false,
        }
    }

    /// Text that may be cut at its end: then a sign replaces its last word.
    fn of_line(text: &str, is_whole: bool) -> Self {
        if is_whole {
            return Self::new(text, false);
        }
        // Half a word may be half a key, too short to look like one.
        let whole = text.rfind(' ').map_or("", |end| &text[..=end]);
        Self::new(&format!("{whole}{LEFT_OUT}"), true)
    }
}

/// Returns what is shown of a message; `None` if it says nothing that may be shown. `is_cut` is true if its segment goes on behind
/// the bytes.
pub(super) fn shown(protocol: Protocol, from: Role, bytes: &[u8], is_cut: bool) -> Option<Shown> {
    let is_server = from == Role::Server;
    match protocol {
        Protocol::Http if is_server => response(bytes, is_cut),
        Protocol::Http => request(bytes, is_cut),
        Protocol::Tls => tls(bytes),
        Protocol::Ssh => {
            let (text, is_whole) = line(bytes);
            let text = String::from_utf8_lossy(text);
            Some(Shown::of_line(&text, is_whole || !is_cut))
        }
        Protocol::SmtpOrFtp if is_server => reply(bytes, is_cut),
        Protocol::Pop3 if is_server => pop3(bytes, is_cut),
        Protocol::Imap if is_server => imap(bytes, is_cut),
        Protocol::Redis if is_server => redis_error(bytes, is_cut),
        Protocol::Postgres if is_server => postgres_error(bytes),
        Protocol::Mysql if is_server => mysql_error(bytes),
        Protocol::SmtpOrFtp | Protocol::Pop3 => verb(bytes),
        Protocol::Imap => {
            let end = bytes.iter().position(|byte| *byte == b' ')?;
            verb(bytes.get(end + 1..)?)
        }
        Protocol::Redis => redis_command(bytes),
        Protocol::Postgres => postgres_request(bytes),
        Protocol::Mysql => mysql_command(bytes),
    }
}

/// Status line: version, status code and reason phrase (RFC 9112, 4).
fn response(bytes: &[u8], is_cut: bool) -> Option<Shown> {
    let (text, is_whole) = line(bytes);
    let [
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        b'0'..=b'9',
        b' ',
        code @ ..,
    ] = text
    else {
        return None;
    };
    let ([first @ b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'], rest) = code.split_first_chunk()? else {
        return None;
    };
    if !matches!(rest, [] | [b' ', ..]) {
        return None;
    }
    let (head, reason) = text.split_at(12);
    let head = String::from_utf8_lossy(head);
    let reason = error_text(&String::from_utf8_lossy(reason));
    let shown = Shown::of_line(&format!("{head}{reason}"), is_whole || !is_cut);
    Some(Shown {
        is_response: *first != b'1',
        ..shown
    })
}

/// Request line without the query, and the field Host (RFC 9112, 3; RFC 9110, 7.2).
fn request(bytes: &[u8], is_cut: bool) -> Option<Shown> {
    let (first, is_whole) = line(bytes);
    let first = std::str::from_utf8(first).ok()?;
    let (method, rest) = first.split_once(' ')?;
    // Other protocols have commands with these names, too.
    let (path, is_whole) = match rest.split_once(' ') {
        Some((path, version)) if version.starts_with("HTTP/1.") => (path, true),
        None if !is_whole && is_cut && rest.starts_with(['/', 'h']) => (rest, false),
        _ => return None,
    };
    let mut text = format!("{method} {}", target(path, is_whole));
    if let Some(host) = host(bytes) {
        text += " (Host ";
        text += host;
        text += ")";
    }
    Some(Shown {
        is_request: true,
        ..Shown::new(&text, !is_whole)
    })
}

/// Returns the value of the field Host, if it is whole and a name or address with a port.
fn host(bytes: &[u8]) -> Option<&str> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').skip(1);
    let found = lines.find(|line| {
        line.get(..5)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"host:"))
    })?;
    let value = found.get(5..)?.strip_suffix(b"\n")?.trim_ascii();
    let is_of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(byte);
    let is_host = !value.is_empty() && value.iter().all(is_of_host);
    std::str::from_utf8(value).ok().filter(|_| is_host)
}

/// Returns the name of the server in a `ClientHello` (RFC 8446, 4.1.2; RFC 6066, 3); `None` if it is not in this segment.
pub(super) fn server_name(data: &[u8]) -> Option<&[u8]> {
    if !is_client_hello(data) {
        return None;
    }
    // Behind the headers of record and handshake, the version, and the random number.
    let mut rest = data.get(5 + 4 + 2 + 32..)?;
    take(&mut rest, 1)?; // session id
    take(&mut rest, 2)?; // cipher suites
    take(&mut rest, 1)?; // compression methods
    let len = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
    rest = rest.get(2..)?;
    rest = rest.get(..len).unwrap_or(rest);
    loop {
        let kind = [*rest.first()?, *rest.get(1)?];
        rest = rest.get(2..)?;
        let mut value = take(&mut rest, 2)?;
        if kind == [0, 0] {
            let mut names = take(&mut value, 2)?;
            let (kind, mut name) = names.split_first()?;
            names = take(&mut name, 2)?;
            let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
            let is_name = *kind == 0 && !names.is_empty() && names.iter().all(is_of_name);
            return Some(names).filter(|_| is_name);
        }
    }
}

/// Removes and returns a vector of bytes whose length is in the first `width` bytes.
fn take<'a>(bytes: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_at_checked(width)?;
    let len = len
        .iter()
        .fold(0, |len, byte| len << 8 | usize::from(*byte));
    let (value, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    Some(value)
}

pub(super) fn client_hello(name: Option<&[u8]>) -> Shown {
    match name {
        Some(name) => Shown::new(
            &format!("TLS ClientHello for {}", String::from_utf8_lossy(name)),
            false,
        ),
        None => Shown::new("TLS ClientHello", false),
    }
}

fn tls(bytes: &[u8]) -> Option<Shown> {
    match bytes {
        [ALERT, 3, _, 0, 2, level, description, ..] => {
            let level = match level {
                1 => "warning",
                2 => "fatal",
                _ => return None,
            };
            let text = match alert(*description) {
                Some(name) => format!("TLS alert {level} {name}"),
                None => format!("TLS alert {level} {description}"),
            };
            Some(Shown::new(&text, false))
        }
        [ALERT, 3, _, _, _, ..] => Some(Shown::new("TLS alert (encrypted)", false)),
        _ if is_client_hello(bytes) => Some(client_hello(None)),
        _ => None,
    }
}

/// RFC 8446, 6; those of older versions by RFC 5246, 7.2.
fn alert(description: u8) -> Option<&'static str> {
    Some(match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}

/// Reply of SMTP or FTP: code and text.
fn reply(bytes: &[u8], is_cut: bool) -> Option<Shown> {
    let (text, is_whole) = line(bytes);
    if !is_reply(text) {
        return None;
    }
    let (code, text) = text.split_at(3);
    let code = String::from_utf8_lossy(code);
    // Replies about the syntax may repeat the command (RFC 5321, 4.2.1), those about a login name the user (RFC 959, 5.4), and 334
    // carries a challenge (RFC 4954, 4).
    if matches!(&*code, "334" | "230" | "331" | "332") || code.starts_with("50") {
        return Some(Shown::new(&code, false));
    }
    let text = reply_text(&String::from_utf8_lossy(&text[1..]));
    Some(Shown::of_line(
        &format!("{code} {text}"),
        is_whole || !is_cut,
    ))
}

fn pop3(bytes: &[u8], is_cut: bool) -> Option<Shown> {
    let (text, is_whole) = line(bytes);
    let text = String::from_utf8_lossy(text);
    // The text of a greeting has a challenge (RFC 1939, 7).
    if text == "+OK" || text.starts_with("+OK ") {
        return Some(Shown::new("+OK", false));
    }
    let rest = text.strip_prefix("-ERR")?;
    let (code, rest) = response_code(rest);
    let text = format!("-ERR{code}{}", reply_text(rest));
    Some(Shown::of_line(&text, is_whole || !is_cut))
}

/// Splits off the response code, ` [CODE]`, of which only the name is returned (RFC 9051, 7.1; RFC 2449, 8).
fn response_code(text: &str) -> (&str, &str) {
    let is_of_name = |letter: char| letter.is_ascii_uppercase() || "-/".contains(letter);
    let end = text.strip_prefix(" [").and_then(|code| code.find(']'));
    match end.map(|end| text.split_at(end + 3)) {
        Some((code, rest)) if code[2..code.len() - 1].chars().all(is_of_name) => (code, rest),
        _ => ("", text),
    }
}

/// Status response with or without a tag (RFC 9051, 7.1).
fn imap(bytes: &[u8], is_cut: bool) -> Option<Shown> {
    let (text, is_whole) = line(bytes);
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once(' ')?;
    let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
    match status {
        "OK" | "PREAUTH" => Some(Shown::new(status, false)),
        "NO" | "BAD" | "BYE" => {
            let text = format!("{status} {text}");
            let (code, text) = response_code(&text[status.len()..]);
            let text = format!("{status}{code}{}", reply_text(text));
            Some(Shown::of_line(text.trim_end(), is_whole || !is_cut))
        }
        _ => None,
    }
}

/// Verb of a command of SMTP, FTP, POP3 or IMAP, without its arguments.
fn verb(bytes: &[u8]) -> Option<Shown> {
    // Others may be the begin of a text.
    const VERBS: [&str; 67] = [
        "ABOR",
        "ACCT",
        "ALLO",
        "APOP",
        "APPE",
        "APPEND",
        "AUTH",
        "AUTHENTICATE",
        "BDAT",
        "CAPA",
        "CAPABILITY",
        "CDUP",
        "CLOSE",
        "COPY",
        "CREATE",
        "CWD",
        "DATA",
        "DELE",
        "DELETE",
        "EHLO",
        "ENABLE",
        "EPRT",
        "EPSV",
        "EXAMINE",
        "EXPUNGE",
        "FEAT",
        "FETCH",
        "HELO",
        "HELP",
        "IDLE",
        "LIST",
        "LOGIN",
        "LOGOUT",
        "LSUB",
        "MAIL",
        "MDTM",
        "MKD",
        "MODE",
        "NLST",
        "NOOP",
        "OPTS",
        "PASS",
        "PASV",
        "PBSZ",
        "PORT",
        "PROT",
        "PWD",
        "QUIT",
        "RCPT",
        "REST",
        "RETR",
        "RMD",
        "RNFR",
        "RNTO",
        "RSET",
        "SEARCH",
        "SELECT",
        "SIZE",
        "STARTTLS",
        "STAT",
        "STATUS",
        "STLS",
        "STOR",
        "STORE",
        "SYST",
        "UID",
        "USER",
    ];
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic();
    let end = bytes.iter().position(|byte| !is_letter(byte));
    let word = bytes[..end?].to_ascii_uppercase();
    let found = VERBS.into_iter().find(|it| it.as_bytes() == word)?;
    matches!(bytes[end?], b' ' | b'\r' | b'\n').then(|| Shown::new(found, false))
}

/// Error reply: `-`, and text to the end of the line.
fn redis_error(bytes: &[u8], is_cut: bool) -> Option<Shown> {
    let (text, is_whole) = line(bytes);
    if !matches!(text, [b'-', b'A'..=b'Z', ..]) {
        return None;
    }
    let text = reply_text(&String::from_utf8_lossy(text));
    Some(Shown::of_line(&text, is_whole || !is_cut))
}

/// Name of a command: the first element of an array of bulk strings.
fn redis_command(bytes: &[u8]) -> Option<Shown> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (count, len, name) = (lines.next()?, lines.next()?, lines.next()?);
    if !count.starts_with(b"*") || !len.starts_with(b"$") {
        return None;
    }
    let name = name.strip_suffix(b"\r")?;
    let is_name = (1..=20).contains(&name.len()) && name.iter().all(u8::is_ascii_alphabetic);
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    is_name.then(|| Shown::new(&name, false))
}

/// Returns true for a start-up packet of protocol 3.x, or a request for TLS or GSSAPI encryption.
pub(super) fn is_postgres_startup(data: &[u8]) -> bool {
    matches!(
        data,
        [0, 0, _, _, 0, 3, 0, 0 | 2, ..] | [0, 0, 0, 8, 4, 210, 22, 46..=48]
    )
}

/// `ErrorResponse`: severity, SQLSTATE and message, from its fields S, V, C and M.
fn postgres_error(bytes: &[u8]) -> Option<Shown> {
    if !is_postgres_error(bytes) {
        return None;
    }
    let len = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    let end = usize::try_from(len).ok()?.checked_add(1)?;
    let fields = bytes.get(5..end.min(bytes.len()))?;
    let (mut severity, mut state, mut text) = (None, None, None);
    let mut is_cut = false;
    let mut rest = fields;
    while let [kind, value @ ..] = rest
        && *kind != 0
    {
        let end = value.iter().position(|byte| *byte == 0);
        is_cut = end.is_none();
        let end = end.unwrap_or(value.len());
        let field = String::from_utf8_lossy(&value[..end]);
        match kind {
            // V is S in English, from version 9.6 on.
            b'S' if !is_cut => severity = severity.or(Some(field)),
            b'V' if !is_cut => severity = Some(field),
            b'C' if !is_cut => state = Some(field),
            b'M' => {
                text = Some(field);
                break;
            }
            _ => {}
        }
        rest = value.get(end + 1..).unwrap_or_default();
    }
    let is_state = |it: &str| it.len() == 5 && it.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let state = state.filter(|it| is_state(it))?;
    let severity = error_text(&severity?);
    let text = text.map_or_else(String::new, |text| format!(": {}", error_text(&text)));
    Some(Shown::of_line(
        &format!("{severity} {state}{text}"),
        !is_cut,
    ))
}

/// Type of a message of the client, without its content.
fn postgres_request(bytes: &[u8]) -> Option<Shown> {
    let name = match bytes {
        [0, 0, 0, 8, 4, 210, 22, 47] => "SSLRequest",
        [0, 0, 0, 8, 4, 210, 22, 48] => "GSSENCRequest",
        [0, 0, 0, _, 4, 210, 22, 46, ..] => "CancelRequest",
        _ if is_postgres_startup(bytes) => "StartupMessage",
        [kind, 0, _, _, _, ..] => match kind {
            b'Q' => "Query",
            b'P' => "Parse",
            b'B' => "Bind",
            b'E' => "Execute",
            b'D' => "Describe",
            b'C' => "Close",
            b'S' => "Sync",
            b'H' => "Flush",
            b'F' => "FunctionCall",
            b'X' => "Terminate",
            // Password, SASL or GSSAPI.
            b'p' => "authentication",
            _ => return None,
        },
        _ => return None,
    };
    Some(Shown::new(name, false))
}

/// `ERR_Packet`: code, SQLSTATE and message. Before the handshake it has no SQLSTATE.
fn mysql_error(bytes: &[u8]) -> Option<Shown> {
    let [a, b, c, _, 0xff, low, high, rest @ ..] = bytes else {
        return None;
    };
    let code = u16::from_le_bytes([*low, *high]);
    // Header, code, and what follows.
    let len = usize::try_from(u32::from_le_bytes([*a, *b, *c, 0])).ok()?;
    let len = len.checked_sub(3)?;
    let (rest, is_whole) = match rest.get(..len) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let (state, text) = if rest.starts_with(b"#") {
        let (state, text) = rest.get(1..)?.split_at_checked(5)?;
        (format!(" ({})", String::from_utf8_lossy(state)), text)
    } else {
        (String::new(), rest)
    };
    if !(1_000..0xff00).contains(&code)
        || !state
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return None;
    }
    let text = error_text(&String::from_utf8_lossy(text));
    Some(Shown::of_line(&format!("{code}{state}: {text}"), is_whole))
}

/// Name of a command of the client, without its content.
fn mysql_command(bytes: &[u8]) -> Option<Shown> {
    let [_, _, _, 0, command, ..] = bytes else {
        return None;
    };
    let name = match command {
        1 => "COM_QUIT",
        2 => "COM_INIT_DB",
        3 => "COM_QUERY",
        4 => "COM_FIELD_LIST",
        14 => "COM_PING",
        17 => "COM_CHANGE_USER",
        22 => "COM_STMT_PREPARE",
        23 => "COM_STMT_EXECUTE",
        25 => "COM_STMT_CLOSE",
        31 => "COM_RESET_CONNECTION",
        _ => return None,
    };
    Some(Shown::new(name, false))
}
