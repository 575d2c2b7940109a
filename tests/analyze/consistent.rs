//! Fields and words of each RST agree with each other, in all recorded captures and in generated ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rstproof_core::file::{Block, Reader};
use serde_json::Value;

use crate::generate::{Format, Kind, Recipe, generate};
use crate::{analyze, analyze_for_people};

/// Largest distance between numbers of one connection that is printed: no window is larger (RFC 7323, 2.3).
const MAX_APART: i64 = 1 << 30;

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

/// Checks a sentence without full stop.
fn is_clause(clause: &str, of: &str) {
    let ending = clause.chars().next_back();
    let ends_well = ending.is_some_and(|it| it.is_alphanumeric() || ")\"'?%".contains(it));
    assert!(ends_well, "{of}: {clause:?}");
    assert!(
        !clause.contains("  ") && clause.trim() == clause && !clause.contains(" ,"),
        "{of}: {clause:?}"
    );
}

/// Numbers after a word.
fn numbers_after(text: &str, word: &str) -> Vec<u64> {
    let parts = text.split(word).skip(1);
    let number = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    parts.filter_map(number).collect()
}

/// Rules between the fields of a row.
fn fields_agree(row: &Value, of: &str) {
    let action = text(row, "required_action");
    let (errno, note) = (&row["errno"], text(row, "errno_note"));
    // An RST that is accepted sets an error, or a note says why not. Any other sets none.
    assert_eq!(errno.is_null(), row["errno_note"].is_string(), "{of}");
    match action {
        "accept" => assert_eq!(row["acceptable"], true, "{of}"),
        "unknown" => {
            assert!(row["acceptable"].is_null() && errno.is_null(), "{of}");
            assert!(note.contains("unknown"), "{of}: {note}");
        }
        "drop" | "challenge" | "not-delivered" => {
            assert!(row["acceptable"] == false && errno.is_null(), "{of}");
        }
        other => panic!("{of}: {other}"),
    }
    if errno.is_null() {
        assert_eq!(row["later_calls"], Value::Array(Vec::new()), "{of}");
        assert!(row["errno_condition"].is_null(), "{of}");
    }
    let is_doubtful = row["sender"]["verdict"] == "doubtful";
    assert_eq!(row["cause"] == "third-party", is_doubtful, "{of}");
    assert_eq!(row["claim"].is_object(), is_doubtful, "{of}");
    for field in ["acceptance", "explanation"] {
        is_clause(text(row, field), of);
    }
    for field in ["errno_note", "to_confirm"] {
        if let Some(clause) = row[field].as_str() {
            is_clause(clause, of);
        }
    }
    for indicator in row["indicators"].as_array().unwrap() {
        is_clause(text(indicator, "message"), of);
    }
    for number in numbers_after(text(row, "acceptance"), "SEQ ") {
        let number = i64::try_from(number).unwrap();
        // Relative to the initial number; a difference of numbers that have nothing to do with each other is larger.
        assert!(number <= 1 << 31, "{of}: {row}");
    }
    let seq = numbers_after(text(row, "acceptance"), "SEQ ");
    let rcv_nxt = numbers_after(text(row, "acceptance"), "RCV.NXT ");
    if let ([seq], [rcv_nxt]) = (&seq[..], &rcv_nxt[..]) {
        let apart = i64::try_from(*seq).unwrap() - i64::try_from(*rcv_nxt).unwrap();
        assert!(apart.abs() <= MAX_APART, "{of}: {row}");
    }
    let is_reply = row["form"] != "active";
    let frame = row["frame"].as_u64();
    if let Some(trigger) = row["triggered_by"].as_u64() {
        assert!(is_reply && Some(trigger) < frame, "{of}");
    }
    if let Some(forged) = row["assumes_forged_frame"].as_u64() {
        assert!(Some(forged) < frame, "{of}");
        // Without a connection the receiver would ignore the RST, so only another action needs the assumption.
        assert!(["accept", "challenge", "unknown"].contains(&action), "{of}");
    }
}

/// Lines for people about each RST, by file and frame.
fn blocks(out: &str) -> BTreeMap<(String, u64), Vec<String>> {
    let mut blocks: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let (mut file, mut key) = (String::new(), None);
    for line in out.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|_| line.contains(".pcap")) {
            (file, key) = (name.to_owned(), None);
        } else if let Some((_, rest)) =
            (line.split_once("  frame ")).filter(|_| !line.starts_with(' '))
        {
            let number = rest.split(' ').next().unwrap().parse().unwrap();
            key = Some((file.clone(), number));
            if let Some(key) = &key {
                blocks.insert(key.clone(), vec![line.to_owned()]);
            }
        } else if !line.starts_with("  ") {
            key = None;
        } else if let Some(key) = &key {
            blocks.get_mut(key).unwrap().push(line.to_owned());
        }
    }
    blocks
}

/// Rules between the fields of a row and the lines for people.
fn words_agree(row: &Value, lines: &[String], of: &str) {
    let action = text(row, "required_action");
    let all = lines.join("\n");
    let has = |wanted: &str| all.contains(wanted);
    assert_eq!(
        has("must accept it") && !has("is unknown"),
        action == "accept",
        "{of}: {all}"
    );
    assert_eq!(
        has("does not receive it"),
        action == "not-delivered",
        "{of}: {all}"
    );
    assert_eq!(
        has("→ no error"),
        row["errno"].is_null() && action != "unknown",
        "{of}: {all}"
    );
    assert_eq!(has("→ error unknown"), action == "unknown", "{of}: {all}");
    let is_doubtful = row["sender"]["verdict"] == "doubtful";
    assert_eq!(
        has("RST probably sent by a third party in the name of"),
        is_doubtful,
        "{of}: {all}"
    );
    assert_eq!(
        has("as the evidence indicates"),
        row["assumes_forged_frame"].is_u64(),
        "{of}: {all}"
    );
    if row["cause"].is_null() {
        assert!(
            has("unknown: the capture does not show the cause"),
            "{of}: {all}"
        );
    }
    for line in lines {
        // The outcome follows its reason after two spaces.
        for part in line.trim_start().split("  ") {
            is_clause(part.trim_start_matches("→ "), of);
        }
    }
}

/// Ports of the TCP segment in an Ethernet frame, lower one first, with the addresses that belong to them.
fn ends(frame: &[u8]) -> Option<[Vec<u8>; 2]> {
    let (addresses, tcp) = match frame.get(12..14)? {
        [0x08, 0x00] if frame.get(23) == Some(&6) => {
            let length = usize::from(frame[14] & 15) * 4;
            ([&frame[26..30], &frame[30..34]], &frame[14 + length..])
        }
        [0x86, 0xdd] if frame.get(20) == Some(&6) => {
            ([&frame[22..38], &frame[38..54]], &frame[54..])
        }
        _ => return None,
    };
    let mut ends = [0, 1].map(|end| [&tcp[end * 2..end * 2 + 2], addresses[end]].concat());
    ends.sort();
    Some(ends)
}

/// Checks that a frame that is named belongs to the connection of the RST.
fn frames_are_of_the_connection(path: &Path, row: &Value, lines: &[String]) {
    let bytes = fs::read(path).unwrap();
    let frames: Vec<_> = (Reader::new(&bytes).unwrap())
        .filter_map(|block| match block.unwrap() {
            Block::Frame(frame) => Some(ends(frame.captured)),
            _ => None,
        })
        .collect();
    let of = |number: u64| frames[usize::try_from(number).unwrap() - 1].clone();
    let own = of(row["frame"].as_u64().unwrap());
    assert!(own.is_some(), "{}", path.display());
    for number in lines.iter().flat_map(|line| numbers_after(line, "frame ")) {
        assert_eq!(of(number), own, "{}: {lines:?}", path.display());
    }
}

/// Checks every RST of these files. Returns how many there are.
fn all_agree(paths: &[&str], is_small: bool) -> usize {
    let rows = analyze(&[&["--separate"], paths].concat())
        .whole()
        .of("reset");
    let said = analyze_for_people(&[&["--separate", "-v"], paths].concat()).whole();
    for line in said.out.lines().filter(|line| line.contains("is unknown")) {
        assert!(!line.contains("no error"), "{line}");
    }
    let blocks = blocks(&said.out);
    let several = blocks.keys().any(|(file, _)| !file.is_empty());
    let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &rows {
        let (file, frame) = (text(row, "file"), row["frame"].as_u64().unwrap());
        let of = format!("{file}, frame {frame}");
        let before = latest.insert(file, frame).unwrap_or(0);
        assert!(before < frame, "{of}: after {before}");
        fields_agree(row, &of);
        let key = if several { file } else { "" };
        let lines = &blocks[&(key.to_owned(), frame)];
        words_agree(row, lines, &of);
        if is_small {
            frames_are_of_the_connection(Path::new(file), row, lines);
        }
    }
    rows.len()
}

#[test]
fn fields_and_words_agree_in_all_captures() {
    let captures = concat!(env!("CARGO_MANIFEST_DIR"), "/captures");
    let count = all_agree(&[captures], true);
    assert!(count > 200, "{count}");
}

#[test]
fn fields_and_words_agree_in_generated_captures() {
    let home = tempfile::tempdir().unwrap();
    for kind in Kind::ALL {
        let path = home.path().join(format!("{}.pcap", kind.name()));
        let recipe = Recipe {
            connections: 400,
            format: Format::Pcap,
            ..Recipe::new(kind)
        };
        generate(&path, recipe).unwrap();
        assert!(all_agree(&[path.to_str().unwrap()], false) > 0);
    }
}
