//! What `analyze` concludes from a capture alone against what `run` has proven with all sources: for every trial, after the
//! comments that `run` wrote into its capture are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use crate::evidence::{Golden, everything};
use crate::pcapng::{self, Block};

/// The file without comments: option 1 of every block (pcapng draft, 3.5).
fn without_comments(file: &[u8]) -> Vec<u8> {
    let mut blocks = pcapng::blocks(file);
    for block in &mut blocks {
        let options = match block.kind {
            pcapng::SECTION => 16,
            pcapng::INTERFACE => 8,
            pcapng::STATISTICS => 12,
            pcapng::FRAME => 20 + pcapng::bytes(block).len().next_multiple_of(4),
            _ => continue,
        };
        let kept = kept_options(&block.body[options..]);
        block.body.truncate(options);
        block.body.extend(kept);
    }
    let stripped = pcapng::file(&blocks);
    assert!(
        pcapng::frames(&stripped)
            .iter()
            .all(|frame| frame.comments.is_empty())
    );
    stripped
}

fn kept_options(mut options: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    while options.len() >= 4 {
        let half = |at| u16::from_ne_bytes([options[at], options[at + 1]]);
        let (option, rest) = options.split_at(4 + usize::from(half(2)).next_multiple_of(4));
        if half(0) != 1 {
            kept.extend(option);
        }
        options = rest;
    }
    kept
}

/// Rows of `analyze` on all captures, each with the stem of its trial. The captures are analyzed once for all tests.
pub(crate) fn analyzed() -> impl Iterator<Item = (String, Value)> {
    static ROWS: LazyLock<Vec<(String, Value)>> = LazyLock::new(analyze_all);
    ROWS.iter().cloned()
}

fn analyze_all() -> Vec<(String, Value)> {
    let home = tempfile::tempdir().unwrap();
    for Golden { stem, capture, .. } in everything() {
        let path = home.path().join(format!("{stem}.pcapng"));
        fs::write(path, without_comments(capture)).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_rstproof"))
        .args(["analyze", "--separate", "--format", "json"])
        .arg(home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let row: Value = line.parse().unwrap();
        let file = row["file"].as_str().unwrap();
        let (_, name) = file.rsplit_once('/').unwrap();
        (name.strip_suffix(".pcapng").unwrap().to_owned(), row)
    };
    text.lines().map(row).collect()
}

/// RSTs by the stem of the trial and their frame, as `analyze` explains them.
fn explained() -> BTreeMap<(String, u64), Value> {
    let resets = analyzed().filter(|(_, row)| row["type"] == "reset");
    resets
        .map(|(stem, row)| ((stem, row["frame"].as_u64().unwrap()), row))
        .collect()
}

/// Calls whose error the capture alone does not foretell, by scenario, with the reason.
const OTHER_ERRNO: [(&str, &str); 0] = [];

#[test]
fn the_error_of_every_call_that_an_rst_explains_is_foretold() {
    let explained = explained();
    let (mut count, mut others) = (0, BTreeSet::new());
    for golden in everything() {
        let trial = golden.trial();
        let scenario = trial["scenario"].as_str().unwrap();
        for call in trial["calls"].as_array().unwrap() {
            let Some(frame) = call["cause"]["reset"].as_u64() else {
                continue;
            };
            count += 1;
            let result = &call["result"];
            let met = match &result["errno"] {
                Value::Null => &result["so_error"],
                errno => errno,
            };
            let reset = explained.get(&(golden.stem.clone(), frame));
            let foretold = reset.map(|it| &it["errno"]);
            if foretold == Some(met) {
                continue;
            }
            let is_listed = OTHER_ERRNO.iter().any(|it| it.0 == scenario);
            assert!(is_listed, "{}: {call} {reset:?}", golden.stem);
            others.insert(scenario.to_owned());
        }
    }
    assert!(count > 120, "{count}");
    let listed: BTreeSet<String> = OTHER_ERRNO.iter().map(|it| it.0.to_owned()).collect();
    assert_eq!(others, listed, "stale entries");
}

/// Why no packet shows that another host sent an RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undetectable {
    /// It is the first packet with its source address and port: there is nothing to compare it with.
    FirstPacket,
    /// The trial sends the other packets of that end from the same raw socket: TTL, IP ID, window and place are theirs, and
    /// the end that it imitates does not exist.
    SameSender,
    /// A firewall on the end's own host sends it (`nf_send_reset()`): TTL, IP ID and place are those of the host, and its form
    /// is that of a reply of the kernel. The socket is silent afterwards. Over IPv6 the flow label is missing.
    OwnHost,
}

const BOTH: &[&str] = &["ipv4", "ipv6"];

/// RSTs of a firewall or a forger that are not `doubtful`: scenario, address families, their number in each trial, and the
/// reason.
const UNDETECTABLE: [(&str, &[&str], usize, Undetectable); 10] = [
    (
        "connect-established-then-reset",
        BOTH,
        1,
        Undetectable::SameSender,
    ),
    ("connect-firewall-reset", BOTH, 1, Undetectable::FirstPacket),
    ("fast-open-rst", BOTH, 1, Undetectable::SameSender),
    ("firewall-reset-input", &["ipv4"], 1, Undetectable::OwnHost),
    ("simultaneous-open-rst", BOTH, 1, Undetectable::SameSender),
    ("stray-rst-closed-port", BOTH, 2, Undetectable::FirstPacket),
    ("stray-silent-listener", BOTH, 2, Undetectable::SameSender),
    ("syn-received-rst", BOTH, 1, Undetectable::SameSender),
    (
        "syn-received-rst-inexact",
        BOTH,
        1,
        Undetectable::SameSender,
    ),
    ("syn-sent-blind-rst", BOTH, 3, Undetectable::FirstPacket),
];

/// Fields of a packet that show its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    frame: u64,
    interface: u32,
    source: (Vec<u8>, u16),
    ttl: u8,
    /// IP ID; for IPv6 the flow label.
    id: u32,
    window: u16,
    flags: u8,
}

/// The TCP segments of a capture.
fn looks(capture: &[u8]) -> Vec<Look> {
    let blocks: Vec<Block> = pcapng::blocks(capture)
        .into_iter()
        .filter(|block| block.kind == pcapng::FRAME)
        .collect();
    let look = |(nth, mut block): (u64, Block)| {
        let interface = u32::from_ne_bytes(block.body[..4].try_into().unwrap());
        let frame = pcapng::bytes(&mut block);
        let tcp = pcapng::tcp(frame)?;
        let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let is_v4 = frame[14] >> 4 == 4;
        let label = u32::from_be_bytes(frame[14..18].try_into().unwrap()) & 0xf_ffff;
        Some(Look {
            frame: nth,
            interface,
            source: (
                frame[if is_v4 { 26..30 } else { 22..38 }].to_vec(),
                half(tcp),
            ),
            ttl: frame[if is_v4 { 22 } else { 21 }],
            id: if is_v4 { half(18).into() } else { label },
            window: half(tcp + 14),
            flags: frame[tcp + 13],
        })
    };
    (1..).zip(blocks).filter_map(look).collect()
}

/// Checks as far as a capture shows it that an RST looks like a packet of the end itself.
fn looks_like_the_end(reason: Undetectable, all: &[Look], frame: u64, of: &str) {
    const RST: u8 = 4;
    let reset = all.iter().find(|it| it.frame == frame).unwrap();
    let others: Vec<&Look> = all
        .iter()
        .filter(|it| it.source == reset.source && it.flags & RST == 0)
        .collect();
    let before = others.iter().filter(|it| it.frame < frame);
    match reason {
        Undetectable::FirstPacket => assert_eq!(before.count(), 0, "{of}"),
        Undetectable::SameSender => {
            // All of them have one TTL, one IP ID or flow label, and one window.
            assert!(!others.is_empty(), "{of}");
            for other in others {
                let of_other = (other.interface, other.ttl, other.id, other.window);
                let of_reset = (reset.interface, reset.ttl, reset.id, reset.window);
                assert_eq!(of_other, of_reset, "{of}: {other:?}");
            }
        }
        Undetectable::OwnHost => {
            // The first copy of it is where the end's packets begin, and the end sends nothing after it.
            let first = all
                .iter()
                .find(|it| it.source == reset.source && it.flags & RST != 0);
            let begins = others.first().map(|it| it.interface);
            assert_eq!(first.map(|it| it.interface), begins, "{of}");
            assert!(others.iter().all(|it| it.frame < frame), "{of}");
            let of_place = others.iter().filter(|it| it.interface == reset.interface);
            for other in of_place {
                assert_eq!(other.ttl, reset.ttl, "{of}: {other:?}");
                // Replies without a socket have an IP ID of 0 (`ip_send_unicast_reply()`), and so has a SYN-ACK.
                assert_eq!(other.id, reset.id, "{of}: {other:?}");
            }
            assert_eq!(reset.window, 0, "{of}");
        }
    }
}

#[test]
fn every_forged_rst_is_doubtful_unless_it_looks_like_the_end_itself() {
    let explained = explained();
    let (mut forged, mut doubtful, mut own) = (0, 0, 0);
    for golden in everything() {
        let trial = golden.trial();
        let scenario = trial["scenario"].as_str().unwrap();
        let family = trial["family"].as_str().unwrap();
        let mut listed = UNDETECTABLE.iter();
        let listed = listed.find(|it| it.0 == scenario && it.1.contains(&family));
        let mut count = 0;
        for reset in trial["resets"].as_array().unwrap() {
            let frame = reset["frame"].as_u64().unwrap();
            let of = format!("{}, frame {frame}", golden.stem);
            let Some(row) = explained.get(&(golden.stem.clone(), frame)) else {
                panic!("{of}: not explained")
            };
            let verdict = row["sender"]["verdict"].as_str().unwrap();
            if ["socket", "kernel"].contains(&reset["sender"].as_str().unwrap()) {
                own += 1;
                assert_ne!(verdict, "doubtful", "{of}: {row}");
                let mut against = row["indicators"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|it| it["supports"] == "injection" && it["weight"] != "weak");
                assert_eq!(against.next(), None, "{of}: {row}");
                continue;
            }
            forged += 1;
            if verdict == "doubtful" {
                doubtful += 1;
                assert_eq!(row["cause"], "third-party", "{of}");
                continue;
            }
            assert_eq!(verdict, "unknown", "{of}: {row}");
            let Some((_, _, _, reason)) = listed else {
                panic!("{of}: not doubtful: {row}")
            };
            count += 1;
            looks_like_the_end(*reason, &looks(&golden.capture), frame, &of);
        }
        // An entry that is stale fails: each trial has as many as it says.
        let wanted = listed.map_or(0, |it| it.2);
        assert_eq!(count, wanted, "{}", golden.stem);
    }
    assert!(
        own > 170 && forged > 40 && doubtful > 20,
        "{own} {forged} {doubtful}"
    );
}
