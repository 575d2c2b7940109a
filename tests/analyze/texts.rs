//! Texts in a capture, and its name, are shown escaped everywhere, and explain nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rstproof_core::file::{Block, Reader};
use serde_json::Value;

use crate::layout::{Order, PcapNg};
use crate::segments::{Segment, refused};

/// Text that a terminal obeys: it clears the screen, sets the title, ends the line and turns the direction.
const HOSTILE: &str = "EVIL\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{9b}31m\u{202e}";

/// Frame of macOS with the process that it belongs to (XNU, bsd/net/pktap.h).
fn tapped(frame: &[u8], is_outgoing: bool) -> Vec<u8> {
    let mut header = vec![0; 156];
    header[..12].copy_from_slice(&[156, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    header[12..18].copy_from_slice(b"EVIL\x1b[");
    header[36] = if is_outgoing { 2 } else { 1 };
    header[52..54].copy_from_slice(&[0x39, 5]);
    header[56..64].copy_from_slice(b"EVIL\x1b[m\n");
    header.extend(frame);
    header
}

/// A refused connection, with such texts in every option that holds text.
fn capture() -> Vec<u8> {
    let text = HOSTILE.as_bytes();
    let mut file = PcapNg::new(Order::Little);
    // pcapng draft: comment, hardware, os, userappl; name and description, filter (with its type) and os of an interface.
    file.section(&[(1, text), (2, text), (3, text), (4, text)]);
    let filter = [&[0][..], text].concat();
    file.interface(
        258,
        0,
        &[(1, text), (2, text), (3, text), (11, &filter), (12, text)],
    );
    for (nth, segment) in (1..).zip(refused(5_000).map(Segment::frame)) {
        let mut frame = tapped(&segment, nth == 1);
        if nth == 2 {
            // RFC 9293, 3.5.3: an RST may hold a text.
            let length = u16::try_from(40 + text.len()).unwrap();
            frame[156 + 16..156 + 18].copy_from_slice(&length.to_be_bytes());
            frame.extend(text);
        }
        file.frame(0, 1_000_000 * nth, &frame, &[(1, text)]);
    }
    file.statistics(0, &[(1, text)]);
    file.bytes
}

fn rstproof(arguments: &[&str], directory: &Path) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rstproof"))
        .arg("analyze")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// Everything except the ends of lines is to be shown, not obeyed.
fn is_harmless(text: &str, of: &str) {
    let obeyed = |letter: char| {
        letter != '\n' && letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter)
    };
    assert!(!text.contains(obeyed), "{of}: {text:?}");
}

#[test]
fn texts_of_a_capture_are_escaped_and_explain_nothing() {
    let home = tempfile::tempdir().unwrap();
    let name = "EVIL\u{1b}[31m\nx\u{202e}.pcapng";
    fs::write(home.path().join(name), capture()).unwrap();
    let directory = home.path();
    for arguments in [
        &[name][..],
        &["-v", name],
        &["-q", name],
        &["--format", "json", name],
        &["--connection", "1", name],
        &["--connection", "9", name],
        &[".", "no-such\u{1b}[1m\nfile"],
    ] {
        let (out, err) = rstproof(arguments, directory);
        is_harmless(&out, &format!("{arguments:?}"));
        is_harmless(&err, &format!("{arguments:?}"));
    }
    let (out, _) = rstproof(&["--format", "json", name], directory);
    let rows: Vec<Value> = out.lines().map(|line| line.parse().unwrap()).collect();
    let reset = rows.iter().find(|row| row["type"] == "reset").unwrap();
    assert_eq!(reset["cause"], "refused");
    for field in [
        "acceptance",
        "explanation",
        "to_confirm",
        "claim",
        "errno_note",
        "indicators",
        "errno_elsewhere",
        "later_calls",
    ] {
        assert!(
            !reset[field].to_string().contains("EVIL"),
            "{field}: {reset}"
        );
    }
}

/// The comments that `-w` adds name the file, and texts of the RST: escaped. The comments of the capture stay as they are.
#[test]
fn comments_that_are_written_are_escaped() {
    let home = tempfile::tempdir().unwrap();
    let name = "EVIL\u{1b}[31m\nx.pcapng";
    fs::write(home.path().join(name), capture()).unwrap();
    let (out, err) = rstproof(&["-w", "out.pcapng", name], home.path());
    assert_eq!(err, "");
    is_harmless(&out, "-w");
    let bytes = fs::read(home.path().join("out.pcapng")).unwrap();
    let mut count = 0;
    for block in Reader::new(&bytes).unwrap() {
        let comments = match block.unwrap() {
            Block::Frame(frame) => frame
                .comments
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            Block::Interface(it) => it.comments.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        for comment in comments.into_iter().filter(|it| !it.starts_with("EVIL")) {
            count += 1;
            is_harmless(&comment, "comment");
        }
    }
    assert!(count > 3, "{count}");
}

/// Comments of the capture on the frames of a connection are quoted where one connection is explained, and are fields of rows.
#[test]
fn comments_of_the_capture_are_quoted() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("some.pcapng"), capture()).unwrap();
    for arguments in [&["-v"][..], &["--connection", "1"]] {
        let arguments = [arguments, &["some.pcapng"]].concat();
        let (out, _) = rstproof(&arguments, home.path());
        is_harmless(&out, "report");
        let unwrapped = out.split_whitespace().collect::<Vec<_>>().join(" ");
        // The escape that clears a screen, as text.
        assert!(unwrapped.contains("comment in the file"), "{out}");
        assert!(unwrapped.contains("EVIL\\u{1b}[2J"), "{out}");
    }
    let (short, _) = rstproof(&["some.pcapng"], home.path());
    assert!(!short.contains("comment in the file"), "{short}");
    let (rows, _) = rstproof(&["--format", "json", "some.pcapng"], home.path());
    let mut rows = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let row = rows.find(|row| row["type"] == "connection").unwrap();
    let comments = row["comments"].as_array().unwrap();
    let frames: Vec<_> = comments.iter().map(|it| it["frame"].as_u64()).collect();
    assert_eq!(frames, [Some(1), Some(2)], "{row}");
    // Escaped like names of processes: what reads the rows may print them.
    let text = comments[1]["text"].as_str().unwrap();
    assert!(text.starts_with("EVIL\\u{1b}[2J"), "{row}");
}
