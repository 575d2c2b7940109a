//! The story of a failure in the comments of `--write`: as tshark shows them, in the order and the words of the report.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{CLIENT, Frames, HOST, MS, SECOND, SERVER, Talk, WEB};
use crate::analyze_for_people;

/// Comments of each frame that has some.
fn comments(path: &Path) -> Vec<(u32, String)> {
    let mut command = Command::new("tshark");
    command.args(["-T", "fields", "-E", "separator=|", "-e", "frame.number"]);
    command.args(["-e", "frame.comment", "-Y", "frame.comment", "-r"]);
    let output = command.arg(path).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let (frame, comments) = line.split_once('|').unwrap();
        (frame.parse().unwrap(), comments.to_owned())
    };
    text.lines().map(row).collect()
}

/// Writes the excerpt of a capture. Returns the comments of this frame of the copy, and the report.
fn written(frames: &mut Frames, frame: u32) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    let (path, out) = (home.path().join("a.pcapng"), home.path().join("out.pcapng"));
    frames.write(&path);
    let arguments = ["-w", out.to_str().unwrap(), path.to_str().unwrap()];
    let report = analyze_for_people(&arguments).whole().out;
    let found = comments(&out).into_iter().find(|it| it.0 == frame);
    let text = found.unwrap().1;
    (text.replace(&format!("{}", path.display()), "F"), report)
}

/// Asserts that these texts follow each other, perhaps with others between them.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let (_, after) = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("{part} is not where it should be in {text}"));
        rest = after;
    }
}

/// Frames of another connection come first, so that the numbers of the copy differ from those of the capture. A text that an end has
/// sent keeps its own.
#[test]
fn the_story_of_an_abort_is_in_the_comments() {
    let mut frames = Frames::default();
    let mut other = Talk::open(&mut frames, SECOND, (7, 700), (8, 800));
    other.say(&mut frames, SECOND + MS, CLIENT, b"question");
    let mut talk = Talk::open(&mut frames, 10 * SECOND, HOST, WEB);
    let request = b"POST /upload?key=SECRET HTTP/1.1\r\nHost: example.org\r\n\r\n";
    talk.say(&mut frames, 10 * SECOND + MS, CLIENT, request);
    // A backend of this host, as the client of another one, is refused.
    frames.refuse(10 * SECOND + 5 * MS, (1, 50_000), (3, 5432));
    let answer = b"HTTP/1.1 502 see frame 3 of the log\r\n\r\n";
    talk.say(&mut frames, 10 * SECOND + 6 * MS, SERVER, answer);
    talk.say(&mut frames, 10 * SECOND + 7 * MS, CLIENT, b"more");
    talk.abort(&mut frames, 12 * SECOND + 900 * MS, SERVER);
    let (text, _) = written(&mut frames, 9);
    assert_in_order(
        &text,
        &[
            "frame 9 (13 of F): RST of the server, aborted-close",
            "must accept it in ESTABLISHED",
            "the client application gets ECONNRESET",
            "after 2 s of silence",
            "the last 4 bytes of the client, since frame 8 (12 of F), 2.8 s before, had no answer",
            "last message of the client in frame 4 (8 of F): POST /upload (Host example.org)",
            "the server had answered in frame 7 (11 of F) (HTTP/1.1 502 see frame 3 of the log); ",
            "rstproof explain close-unread-data-response: read the response before giving up",
            "to be sure: ",
        ],
    );
    assert!(!text.contains("SECRET"), "{text}");
}

/// The sentence about the failure of a backend comes last, as in the report.
#[test]
fn the_failure_of_a_backend_is_in_the_comments() {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, WEB);
    talk.say(&mut frames, SECOND + MS, CLIENT, b"GET / HTTP/1.1\r\n\r\n");
    frames.refuse(SECOND + 5 * MS, (1, 50_000), (3, 5432));
    talk.fin(&mut frames, SECOND + 6 * MS, SERVER);
    let (text, report) = written(&mut frames, 7);
    let story = [
        "closed-before-response: ",
        "last message of the client in frame 4",
        "1 ms before, a connection of this server's address to 10.0.0.3:5432 was refused (frame 6",
    ];
    assert_in_order(&text, &story);
    assert_in_order(&report, &story);
    assert!(text.contains("(frame 6 (6 of F))"), "{text}");
}

/// A device resets at its time-out, which is published (Azure Load Balancer: 4 minutes, with TCP reset).
#[test]
fn a_silence_is_in_the_comments() {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, (1, 5432));
    talk.say(&mut frames, SECOND + MS, CLIENT, b"question");
    talk.say(&mut frames, SECOND + 2 * MS, SERVER, b"answer");
    talk.ack(&mut frames, SECOND + 3 * MS, CLIENT);
    talk.abort(&mut frames, 241 * SECOND + 4 * MS, SERVER);
    let (text, report) = written(&mut frames, 7);
    let story = [
        "after 240 s of silence",
        "240 s is the default idle time-out of Azure Load Balancer: if one is on the path and set up to send RSTs then, it may have \
         reset both ends",
    ];
    assert_in_order(&text, &story);
    assert_in_order(&report, &story);
}
