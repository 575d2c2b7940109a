//! Secrets in the data of connections that fail: no format shows one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rstproof_core::file::{Block, Reader};

use super::{CLIENT, Frames, MS, SECOND, SERVER, Talk};

/// Messages of an end, in order.
type Messages = Vec<Vec<u8>>;

/// Port of the server, what the client sends, and what the server sends.
type Dialog = (u16, Messages, Messages);

fn text(all: &[&str]) -> Messages {
    all.iter().map(|it| it.as_bytes().to_vec()).collect()
}

/// Protocols of text that hold secrets in every place that may hold one.
fn dialogs_of_text() -> Vec<Dialog> {
    vec![
        (
            80,
            text(&[
                "POST /a?token=SECRET#SECRET HTTP/1.1\r\nHost: example.org\r\nAuthorization: Bearer SECRET\r\nCookie: a=SECRET\r\n\r\nSECRET=SECRET",
                "GET /SECRETSECRETSECRETSECRET/SECRETa1b2c3 HTTP/1.1\r\nHost: SECRET@b\r\n\r\n",
                "GET http://SECRET:SECRET@example.org/x;id=SECRET HTTP/1.1\r\n\r\n",
                "SECRET body of the request",
            ]),
            text(&["HTTP/1.1 401 \"SECRET\" Unauthorized\r\nSet-Cookie: a=SECRET\r\n\r\nSECRET"]),
        ),
        (
            25,
            text(&[
                "EHLO SECRET\r\n",
                "AUTH PLAIN SECRET\r\n",
                "SECRET\r\n",
                "MAIL FROM:<SECRET>\r\n",
                "SECRET text of a mail\r\n",
            ]),
            text(&[
                "220 example.org\r\n",
                "334 SECRET\r\n",
                "535 5.7.8 invalid credentials SECRET\r\n",
                "502 5.5.2 Error: command not recognized: SECRET\r\n",
            ]),
        ),
        (
            21,
            text(&["USER SECRET\r\n", "PASS SECRET\r\n", "STOR SECRET\r\n"]),
            text(&[
                "220 FTP\r\n",
                "331 Password required for \"SECRET\"\r\n",
                "530 Login incorrect: unknown user SECRET\r\n",
            ]),
        ),
        (
            110,
            text(&["APOP SECRET SECRET\r\n", "PASS SECRET\r\n"]),
            text(&[
                "+OK ready <SECRET@b>\r\n",
                "-ERR unknown command PASSS SECRET\r\n",
            ]),
        ),
        (
            143,
            text(&["SECRET LOGIN SECRET SECRET\r\n", "a2 SELECT SECRET\r\n"]),
            text(&[
                "* OK ready SECRET\r\n",
                "SECRET BAD invalid argument SECRET\r\n",
            ]),
        ),
        (
            6379,
            text(&[
                "*2\r\n$4\r\nAUTH\r\n$6\r\nSECRET\r\n",
                "*3\r\n$3\r\nSET\r\n$6\r\nSECRET\r\n$6\r\nSECRET\r\n",
            ]),
            text(&[
                "-ERR unknown command 'SECRET', with args beginning with: 'SECRET' \r\n",
                "$6\r\nSECRET\r\n",
                "-WRONGPASS 'SECRET' is wrong\r\n",
            ]),
        ),
        (
            22,
            text(&["SSH-2.0-client\r\n", "SECRET"]),
            text(&["SSH-2.0-server\r\n", "SECRET"]),
        ),
    ]
}

/// Protocols of binary messages.
fn dialogs_of_databases() -> Vec<Dialog> {
    let postgres = |kind: u8, body: &[u8]| {
        let len = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &len, body].concat()
    };
    let mysql = |nth: u8, body: &[u8]| {
        let len = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&len[..3], &[nth], body].concat()
    };
    let startup = [&[0, 0, 0, 24, 0, 3, 0, 0][..], b"user\0SECRET\0\0\0\0\0"].concat();
    vec![
        (
            5432,
            vec![
                startup,
                postgres(b'p', b"SECRET\0"),
                postgres(b'Q', b"SELECT 'SECRET'\0"),
            ],
            vec![
                postgres(b'R', b"\0\0\0\x05SECRET"),
                postgres(
                    b'E',
                    b"SERROR\0VERROR\0C42601\0Msyntax error at or near \"SECRET\"\0DSECRET\0\0",
                ),
            ],
        ),
        (
            3306,
            vec![
                mysql(1, b"\x85SECRET\0SECRET"),
                mysql(0, b"\x03SELECT 'SECRET'"),
            ],
            vec![
                mysql(0, b"\x0a8.0.36\0abcdSECRETabcdefghijklmnop"),
                mysql(
                    1,
                    b"\xff\x28\x04#42000You have an error in your SQL syntax near 'SECRET' at line 1",
                ),
            ],
        ),
    ]
}

/// Capture of these dialogs: each stops at every message of each end, and is aborted then.
fn secret_capture() -> Frames {
    let mut frames = Frames::default();
    let mut port = 30_000;
    let dialogs = [dialogs_of_text(), dialogs_of_databases()].concat();
    for (server, asked, answered) in dialogs {
        for count in 1..=asked.len().max(answered.len()) {
            for by in [CLIENT, SERVER] {
                port += 1;
                let at = u64::from(port) * SECOND;
                let mut talk = Talk::open(&mut frames, at, (2, port), (1, server));
                // These servers speak first.
                let is_server_first = matches!(server, 21 | 25 | 110 | 143 | 3306);
                let order = if is_server_first {
                    [SERVER, CLIENT]
                } else {
                    [CLIENT, SERVER]
                };
                for nth in 0..count {
                    for from in order {
                        let all = if from == CLIENT { &asked } else { &answered };
                        if let Some(data) = all.get(nth) {
                            talk.say(&mut frames, at + (nth as u64 + 1) * MS, from, data);
                        }
                    }
                }
                talk.abort(&mut frames, at + 99 * MS, by);
            }
        }
    }
    frames
}

fn rstproof(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rstproof"))
        .arg("analyze")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.stderr, b"");
    String::from_utf8(output.stdout).unwrap()
}

/// No format repeats a secret: header fields, queries, bodies, passwords, SQL, keys in paths, and errors that quote one.
#[test]
fn no_format_shows_a_secret() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    secret_capture().write(&directory.join("a.pcapng"));
    let json = rstproof(directory, &["--format", "json", "a.pcapng"]);
    // It is not silent, either.
    for shown in [
        "POST /a (Host example.org)",
        "HTTP/1.1 401",
        "502",
        "USER",
        "-ERR unknown",
        "LOGIN",
        "ERROR 42601",
        "1064 (42000)",
        "COM_QUERY",
        "SSH-2.0-server",
    ] {
        assert!(json.contains(shown), "{shown}");
    }
    let human = rstproof(directory, &["a.pcapng"]);
    let verbose = rstproof(directory, &["-v", "a.pcapng"]);
    assert!(verbose.contains("last message of the client"), "{verbose}");
    for text in [&json, &human, &verbose] {
        let line = text.lines().find(|line| line.contains("SECRET"));
        assert_eq!(line, None);
    }
    rstproof(directory, &["-w", "out.pcapng", "a.pcapng"]);
    let bytes = fs::read(directory.join("out.pcapng")).unwrap();
    let mut count = 0;
    for block in Reader::new(&bytes).unwrap() {
        if let Block::Frame(frame) = block.unwrap() {
            for comment in &frame.comments {
                count += 1;
                assert!(!comment.to_string().contains("SECRET"), "{comment}");
            }
        }
    }
    assert!(count > 50, "{count}");
}
