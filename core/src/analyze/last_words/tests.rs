//! Messages of each protocol. Their formats are those of the documents named beside them; the texts are made up.

use super::*;

/// First data of an end, from the begin of a connection on.
fn candidate(from: Role, data: &[u8]) -> Candidate<'_> {
    Candidate {
        connection: 1,
        frame: 4,
        from,
        data,
        len: u32::try_from(data.len()).unwrap(),
        begins_turn: true,
        may_lack_data: false,
        port: 1,
    }
}

/// Last message of connection 1; empty if it says nothing.
fn shown(cache: &WordCache, from: Role) -> String {
    cache.of(1, from).map(|it| it.text).unwrap_or_default()
}

/// Last message of an end that has sent these segments, each a turn of its own, to a port.
fn said(from: Role, port: u16, segments: &[&[u8]]) -> String {
    let mut cache = WordCache::default();
    let mut spoken = Spoken::Unknown;
    for data in segments {
        let segment = Candidate {
            port,
            ..candidate(from, data)
        };
        spoken = cache.take(spoken, &segment);
    }
    shown(&cache, from)
}

fn client(data: &[u8]) -> String {
    said(Role::Client, 1, &[data])
}

fn server(data: &[u8]) -> String {
    said(Role::Server, 1, &[data])
}

/// Answer of a server whose protocol its client, or its greeting, has shown.
fn answer(protocol: Protocol, data: &[u8]) -> String {
    let mut cache = WordCache::default();
    cache.take(Spoken::Known(protocol), &candidate(Role::Server, data));
    shown(&cache, Role::Server)
}

fn command(protocol: Protocol, data: &[u8]) -> String {
    let mut cache = WordCache::default();
    cache.take(Spoken::Known(protocol), &candidate(Role::Client, data));
    shown(&cache, Role::Client)
}

/// RFC 9112, 3 and 4.
#[test]
fn http_messages_show_line_and_host() {
    assert_eq!(
        client(b"POST /upload?key=SECRET#part HTTP/1.1\r\nAccept: */*\r\nHost: example.org:8080\r\nCookie: SECRET\r\n\r\n"),
        "POST /upload (Host example.org:8080)"
    );
    assert_eq!(
        client(b"GET http://user:SECRET@example.org/a/b;SECRET?SECRET HTTP/1.0\r\n\r\n"),
        "GET http://example.org/a/b…"
    );
    assert_eq!(
        client(b"CONNECT example.org:443 HTTP/1.1\r\n\r\n"),
        "CONNECT example.org:443"
    );
    assert_eq!(
        server(b"HTTP/1.1 413 Content Too Large\r\nSet-Cookie: SECRET\r\n\r\nSECRET"),
        "HTTP/1.1 413 Content Too Large"
    );
    assert_eq!(server(b"HTTP/1.1 200\r\n\r\n"), "HTTP/1.1 200");
    assert_eq!(server(b"HTTP/1.1 20x\r\n\r\n"), "");
    // A value that is no host may be anything.
    assert_eq!(
        client(b"GET / HTTP/1.1\r\nHost: SECRET@example.org\r\n\r\n"),
        "GET /"
    );
}

/// Keys in paths: Base64, Base64url, hexadecimal, UUIDs and tokens of bots.
#[test]
fn keys_in_paths_are_left_out() {
    for key in [
        "aGVsbG8gd29ybGQgaGVsbG8=",
        "Zm9vYmFyYmF6cXV4-_Zm9v",
        "d41d8cd98f00",
        "123e4567-e89b-12d3-a456-426614174000",
        "bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "a1B2c3D4e5",
    ] {
        let request = format!("GET /v1/{key}/items HTTP/1.1\r\n\r\n");
        assert_eq!(client(request.as_bytes()), "GET /v1/…/items", "{key}");
    }
    assert_eq!(
        client(b"GET /articles/2026/how-to-do-it HTTP/1.1\r\n\r\n"),
        "GET /articles/2026/how-to-do-it"
    );
    // The end of a path that was not captured may be that of a key.
    let mut segment = candidate(Role::Client, b"GET /v1/d41d8c");
    segment.len = 900;
    let mut cache = WordCache::default();
    cache.take(Spoken::Unknown, &segment);
    let words = cache.of(1, Role::Client).unwrap();
    assert_eq!((words.text.as_str(), words.is_cut), ("GET /v1/…", true));
}

/// The parts of a body follow a status line, and the next line replaces it.
#[test]
fn a_body_does_not_hide_the_status_line() {
    let body: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"GET SECRET",
        b"\x16\x03\x01 body",
    ];
    assert_eq!(said(Role::Server, 80, body), "HTTP/1.1 200 OK");
    let next: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"body",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
    ];
    assert_eq!(said(Role::Server, 80, next), "HTTP/1.1 404 Not Found");
}

/// A `ClientHello` (RFC 8446, 4.1.2) with the extension `server_name` (RFC 6066, 3) as the second one.
fn hello(name: &[u8]) -> Vec<u8> {
    let with_len = |bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&len[..], bytes].concat()
    };
    let names = with_len(&[&[0][..], &with_len(name)].concat());
    let extensions = [&[0, 23, 0, 0][..], &[0, 0], &with_len(&names)].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[2, 9, 9],
        &with_len(&[0x13, 1]),
        &[1, 0],
        &with_len(&extensions),
    ]
    .concat();
    let handshake = [&[1, 0][..], &with_len(&body)].concat();
    [&[22, 3, 1][..], &with_len(&handshake)].concat()
}

/// RFC 8446, 6: alerts have two bytes before they are encrypted.
#[test]
fn tls_shows_name_and_alerts() {
    let whole = hello(b"example.org");
    assert_eq!(client(&whole), "TLS ClientHello for example.org");
    // A name of which a part is in the next segment is not shown.
    assert_eq!(client(&whole[..whole.len() - 3]), "TLS ClientHello");
    assert_eq!(client(&hello(b"a\x1b[2J")), "TLS ClientHello");
    assert_eq!(
        server(&[21, 3, 3, 0, 2, 2, 40]),
        "TLS alert fatal handshake_failure"
    );
    let alert = |data: &[u8]| answer(Protocol::Tls, data);
    assert_eq!(
        alert(&[21, 3, 3, 0, 2, 1, 0]),
        "TLS alert warning close_notify"
    );
    assert_eq!(alert(&[21, 3, 3, 0, 26, 9, 9]), "TLS alert (encrypted)");
    assert_eq!(alert(&[23, 3, 3, 0, 2, 1, 1]), "");
}

/// RFC 4253, 4.2.
#[test]
fn ssh_shows_its_identification() {
    assert_eq!(
        server(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        "SSH-2.0-OpenSSH_9.2p1 Debian-2"
    );
}

/// RFC 5321, 4.2; RFC 4954, 4; RFC 959, 4.2.
#[test]
fn replies_show_code_and_text() {
    assert_eq!(
        server(b"220 mx.example.org ESMTP\r\n"),
        "220 mx.example.org ESMTP"
    );
    let reply = |data: &[u8]| answer(Protocol::SmtpOrFtp, data);
    assert_eq!(
        reply(b"421 4.4.2 mx.example.org Error: timeout exceeded\r\n"),
        "421 4.4.2 mx.example.org Error: timeout exceeded"
    );
    assert_eq!(reply(b"334 U0VDUkVU\r\n"), "334");
    assert_eq!(reply(b"500 5.5.1 Command unrecognized: SECRET\r\n"), "500");
    assert_eq!(reply(b"550 unknown user SECRET\r\n"), "550 unknown …");
    let verb = |data: &[u8]| command(Protocol::SmtpOrFtp, data);
    assert_eq!(verb(b"PASS SECRET\r\n"), "PASS");
    assert_eq!(verb(b"AUTH PLAIN SECRET\r\n"), "AUTH");
    assert_eq!(verb(b"rcpt to:<SECRET@example.org>\r\n"), "RCPT");
    // Text of a mail, and the second half of a login.
    assert_eq!(verb(b"Dear SECRET\r\n"), "");
    assert_eq!(verb(b"U0VDUkVU\r\n"), "");
}

/// RFC 1939, 3 and 7; RFC 9051, 7.1.
#[test]
fn mailboxes_show_the_status() {
    assert_eq!(server(b"+OK POP3 ready <SECRET@example.org>\r\n"), "+OK");
    let pop3 = |data: &[u8]| answer(Protocol::Pop3, data);
    assert_eq!(
        pop3(b"-ERR [AUTH] Authentication failed.\r\n"),
        "-ERR [AUTH] Authentication failed."
    );
    assert_eq!(pop3(b"-ERR Unknown command: SECRET\r\n"), "-ERR Unknown …");
    assert_eq!(server(b"* OK IMAP4rev2 ready\r\n"), "OK");
    let imap = |data: &[u8]| answer(Protocol::Imap, data);
    assert_eq!(
        imap(b"a1 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"),
        "NO [AUTHENTICATIONFAILED] Authentication failed."
    );
    assert_eq!(imap(b"* BYE Autologout\r\n"), "BYE Autologout");
    assert_eq!(imap(b"a1 BAD Unknown command SECRET\r\n"), "BAD Unknown …");
    assert_eq!(
        command(Protocol::Imap, b"a1 LOGIN SECRET SECRET\r\n"),
        "LOGIN"
    );
    assert_eq!(command(Protocol::Imap, b"a1 SECRET x\r\n"), "");
}

/// RESP: arrays of bulk strings, and errors.
#[test]
fn redis_shows_command_and_error() {
    assert_eq!(client(b"*2\r\n$4\r\nAUTH\r\n$6\r\nSECRET\r\n"), "AUTH");
    let error = |data: &[u8]| answer(Protocol::Redis, data);
    assert_eq!(
        error(b"-NOAUTH Authentication required.\r\n"),
        "-NOAUTH Authentication required."
    );
    assert_eq!(
        error(b"-ERR unknown command 'AUHT', with args beginning with: 'SECRET' \r\n"),
        "-ERR unknown …"
    );
    assert_eq!(error(b"$6\r\nSECRET\r\n"), "");
}

/// `PostgreSQL`, message formats: `ErrorResponse`, and the type of a request.
#[test]
fn postgres_shows_type_and_error() {
    let error = |text: &str| {
        let fields = format!("SFATAL\0VFATAL\0C28P01\0M{text}\0Fauth.c\0\0");
        let len = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
        answer(
            Protocol::Postgres,
            &[&b"E"[..], &len, fields.as_bytes()].concat(),
        )
    };
    assert_eq!(
        error("password authentication failed for user \"SECRET\""),
        "FATAL 28P01: password authentication failed for user \"…\""
    );
    // What is quoted may contain the sign itself.
    assert_eq!(
        error("syntax error at or near \"SECRET\" SECRET\" here"),
        "FATAL 28P01: syntax error at or near \"…\" here"
    );
    assert_eq!(client(&[0, 0, 0, 8, 4, 210, 22, 47]), "SSLRequest");
    let request = |data: &[u8]| command(Protocol::Postgres, data);
    assert_eq!(request(b"Q\0\0\0\x10SELECT SECRET"), "Query");
    assert_eq!(request(b"p\0\0\0\x0bSECRET\0"), "authentication");
}

/// `MySQL`, `ERR_Packet` and the command byte.
#[test]
fn mysql_shows_command_and_error() {
    let error = |text: &str| {
        let packet = [&[0xff, 0x15, 4][..], b"#28000", text.as_bytes()].concat();
        let len = u8::try_from(packet.len()).unwrap();
        answer(Protocol::Mysql, &[&[len, 0, 0, 2][..], &packet].concat())
    };
    assert_eq!(
        error("Access denied for user 'SECRET'@'10.0.0.2' (using password: YES)"),
        "1045 (28000): Access denied for user '…' (using password: YES)"
    );
    assert_eq!(
        error("Table 'SECRET.t' doesn't exist"),
        "1045 (28000): Table '…' doesn't exist"
    );
    // ER_HOST_NOT_PRIVILEGED, before the greeting.
    let text_before = b"Host 'SECRET' is not allowed to connect to this MySQL server";
    let packet = [&[0xff, 0x6a, 4][..], text_before].concat();
    let len = u8::try_from(packet.len()).unwrap();
    assert_eq!(
        server(&[&[len, 0, 0, 0][..], &packet].concat()),
        "1130: Host '…' is not allowed to connect to this MySQL server"
    );
    assert_eq!(
        command(Protocol::Mysql, b"\x10\0\0\0\x03SELECT SECRET"),
        "COM_QUERY"
    );
    // The reply to the greeting holds the proof of the password.
    assert_eq!(command(Protocol::Mysql, b"\x10\0\0\x01\x03SECRET"), "");
}

/// Data of another protocol is not looked at any more, so that what looks like a message later is not taken for one.
#[test]
fn other_protocols_say_nothing() {
    let segments: &[&[u8]] = &[b"\x01\x02binary", b"HTTP/1.1 200 SECRET\r\n"];
    assert_eq!(said(Role::Server, 80, segments), "");
    // A PROXY header precedes the data.
    let segments: &[&[u8]] = &[
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    assert_eq!(said(Role::Client, 80, segments), "GET /");
    // Commands of other protocols have such names.
    assert_eq!(client(b"GET SECRET\r\n"), "");
    assert_eq!(client(b"PUT SECRET SECRET\r\n"), "");
}

/// In the midst of a connection the port has to agree with what looks like a reply.
#[test]
fn weak_signs_need_the_port() {
    let middle = |port: u16, data: &[u8]| {
        let mut cache = WordCache::default();
        let segment = Candidate {
            may_lack_data: true,
            port,
            ..candidate(Role::Server, data)
        };
        cache.take(Spoken::Unknown, &segment);
        shown(&cache, Role::Server)
    };
    assert_eq!(middle(25, b"421 closing\r\n"), "421 closing");
    assert_eq!(middle(8080, b"421 closing\r\n"), "");
    assert_eq!(middle(8080, b"HTTP/1.1 503 x\r\n"), "HTTP/1.1 503 x");
}

/// The text is printable and short, whatever was sent.
#[test]
fn texts_are_bounded_and_printable() {
    let long = format!("HTTP/1.1 200 {}\r\n", "a b\u{1b}".repeat(60));
    let shown = server(long.as_bytes());
    assert!(shown.chars().count() <= 120, "{shown}");
    assert!(!shown.contains(char::is_control), "{shown}");
    assert!(shown.ends_with('…'));
    let mut cache = WordCache::default();
    for len in 0..260_u32 {
        let data = vec![b'"'; len as usize];
        for protocol in Protocol::ALL {
            for from in [Role::Client, Role::Server] {
                if !data.is_empty() {
                    cache.take(Spoken::Known(protocol), &candidate(from, &data));
                    let _ = cache.of(1, from);
                }
            }
        }
    }
}

/// A full set gives up the oldest message, and a later message of the same end replaces its earlier one.
#[test]
fn the_oldest_message_gives_way() {
    let mut cache = WordCache::default();
    let request = |connection: u32, frame: u32| Candidate {
        connection,
        frame,
        ..candidate(Role::Client, b"GET / HTTP/1.1\r\n\r\n")
    };
    // Numbers of one set.
    let numbers: Vec<u32> = (0..)
        .filter(|it| set_of(*it) == set_of(1))
        .take(WAYS + 1)
        .collect();
    for (frame, number) in (1..).zip(&numbers) {
        cache.take(Spoken::Unknown, &request(*number, frame));
    }
    assert_eq!(cache.of(numbers[0], Role::Client), None);
    for number in &numbers[1..] {
        assert!(cache.of(*number, Role::Client).is_some());
    }
    cache.take(Spoken::Unknown, &request(numbers[1], 99));
    assert_eq!(cache.of(numbers[1], Role::Client).unwrap().frame, 99);
    assert!(cache.of(numbers[2], Role::Client).is_some());
}

/// Last message of the server whose client has spoken first.
fn answered(port: u16, question: &[u8], segments: &[&[u8]]) -> String {
    let mut cache = WordCache::default();
    let to = |from, data| Candidate {
        port,
        ..candidate(from, data)
    };
    let mut spoken = cache.take(Spoken::Unknown, &to(Role::Client, question));
    for (nth, data) in segments.iter().enumerate() {
        let segment = Candidate {
            may_lack_data: nth > 0,
            ..to(Role::Server, data)
        };
        spoken = cache.take(spoken, &segment);
    }
    shown(&cache, Role::Server)
}

/// RFC 9112, 4; RFC 4253, 4.2; RFC 8446, 6; RFC 5321, 4.2; RESP. A client that has taken the server for another one gets its reply all
/// the same.
#[test]
fn a_reply_is_recognized_though_the_request_is_not() {
    let unknown = b"HELLO WORLD\r\n";
    let bad = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_eq!(answered(80, unknown, &[bad]), "HTTP/1.1 400 Bad Request");
    // A ClientHello for a server without TLS, and one for a server that has it.
    let hello = [22, 3, 1, 0, 4, 1, 0, 0, 0];
    assert_eq!(answered(80, &hello, &[bad]), "HTTP/1.1 400 Bad Request");
    let alert: &[u8] = &[21, 3, 1, 0, 2, 2, 10];
    assert_eq!(
        answered(443, unknown, &[alert]),
        "TLS alert fatal unexpected_message"
    );
    let get = b"GET / HTTP/1.1\r\n\r\n";
    assert_eq!(
        answered(22, get, &[b"SSH-2.0-server\r\n"]),
        "SSH-2.0-server"
    );
    let full = b"-ERR max number of clients reached\r\n";
    for question in [&unknown[..], get] {
        assert_eq!(
            answered(6380, question, &[full]),
            "-ERR max number of clients reached"
        );
    }
    assert_eq!(
        answered(2525, unknown, &[b"554 no service here\r\n"]),
        "554 no service here"
    );
    assert_eq!(answered(25, unknown, &[b"500 what?\r\n"]), "500");
}

/// What another protocol may begin with as well, or what comes later, is not taken for a message.
#[test]
fn an_ambiguous_reply_is_not_recognized() {
    let unknown = b"HELLO WORLD\r\n";
    // NNTP has replies of three digits as well (RFC 3977, 3.2).
    assert_eq!(answered(119, unknown, &[b"500 What?\r\n"]), "");
    assert_eq!(answered(110, unknown, &[b"-ERR no\r\n"]), "");
    let bad = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_eq!(answered(80, unknown, &[b"\0\x01", bad]), "");
    let mut cache = WordCache::default();
    let lacking = Candidate {
        may_lack_data: true,
        ..candidate(Role::Server, bad)
    };
    assert_eq!(cache.take(Spoken::UnknownToServer, &lacking), Spoken::Other);
}
