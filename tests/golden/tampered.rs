//! One of the two files was changed, and the other one tells.

use std::fs;

use rstproof::archive::load;
use rstproof::verdict::Verdict;

use crate::evidence::{Golden, Said, all, judged_in, scratch};
use crate::pcapng::{
    self, Block, FRAME, INTERFACE, SECTION, STATISTICS, add_to_seq, blocks, file, swap_ports,
};

/// The same trial with its capture's blocks changed.
fn with_blocks(golden: &Golden, change: impl FnOnce(&mut Vec<Block>)) -> Golden {
    let mut blocks = blocks(&golden.capture);
    change(&mut blocks);
    Golden {
        capture: file(&blocks),
        ..golden.clone()
    }
}

/// Where the frames are among the blocks.
fn places(golden: &Golden) -> Vec<usize> {
    let blocks = blocks(&golden.capture).into_iter().enumerate();
    let frames = blocks.filter(|(_, block)| block.kind == FRAME);
    frames.map(|(place, _)| place).collect()
}

/// Changes each frame of each file in turn; `change` says whether it did. In how many.
fn each_frame(change: impl Fn(&mut Block) -> bool, gap: &str) -> usize {
    let mut changed = 0;
    for golden in all() {
        for (index, place) in places(golden).into_iter().enumerate() {
            let mut did = false;
            let tampered = with_blocks(golden, |blocks| did = change(&mut blocks[place]));
            if did {
                changed += 1;
                let what = format!("{} frame {}", golden.stem, index + 1);
                tampered.judged().is_gap(gap, &what);
            }
        }
    }
    changed
}

/// Segments in all files together: what is changed in each of them must be found in as many.
fn segments() -> usize {
    let packets = |golden: &Golden| golden.trial()["packets"].as_array().unwrap().len();
    all().iter().map(packets).sum()
}

#[test]
fn taken_apart_and_put_together_it_is_still_confirmed() {
    for golden in all() {
        let same = with_blocks(golden, |_| ());
        assert_eq!(same.capture, golden.capture);
        assert_eq!(same.judged(), Said::Confirmed, "{}", golden.stem);
    }
}

#[test]
fn a_frame_is_missing() {
    for golden in all() {
        for place in places(golden) {
            let tampered = with_blocks(golden, |blocks| drop(blocks.remove(place)));
            tampered.judged().is_gap("frames-missing", &golden.stem);
        }
    }
}

#[test]
fn a_frame_is_there_twice() {
    for golden in all() {
        for place in places(golden) {
            let tampered = with_blocks(golden, |blocks| {
                blocks.insert(place, blocks[place].clone());
            });
            tampered.judged().is_gap("frames-missing", &golden.stem);
        }
    }
}

/// The interface's statistics, whose third option is the number of frames received, are made to fit.
fn set_received(blocks: &mut [Block], received: usize) {
    let body = &mut blocks.last_mut().unwrap().body;
    // Interface and time, 12 bytes; two options of 12 bytes; code and length of the third.
    let value = 12 + 12 + 12 + 4..12 + 12 + 12 + 12;
    body[value].copy_from_slice(&(received as u64).to_ne_bytes());
}

#[test]
fn a_frame_is_missing_and_the_statistics_were_made_to_fit() {
    for golden in all() {
        let places = places(golden);
        for (index, place) in places.iter().enumerate() {
            let tampered = with_blocks(golden, |blocks| {
                blocks.remove(*place);
                set_received(blocks, places.len() - 1);
            });
            // The last one is the fence, which is no packet of the connection's.
            let gap = if index + 1 == places.len() {
                "capture-altered"
            } else {
                "frame-altered"
            };
            tampered.judged().is_gap(gap, &golden.stem);
        }
    }
}

#[test]
fn two_frames_are_in_another_order() {
    for golden in all() {
        for pair in places(golden).windows(2) {
            let tampered = with_blocks(golden, |blocks| blocks.swap(pair[0], pair[1]));
            tampered.judged().is_gap("frame-altered", &golden.stem);
        }
    }
}

#[test]
fn a_sequence_number_is_another_one() {
    // Of a RST to a SYN the number is 0, and the document has none for it: the hash tells.
    let is_answer_to_syn = |block: &mut Block| {
        let bytes = pcapng::bytes(block);
        pcapng::tcp(bytes).is_some_and(|tcp| bytes[tcp + 4..tcp + 8] == [0; 4])
    };
    for by in [1, u32::MAX, 1 << 31] {
        let add = |block: &mut Block| add_to_seq(pcapng::bytes(block), by);
        let changed = each_frame(
            |block| !is_answer_to_syn(block) && add(block),
            "frame-altered",
        );
        let answers = each_frame(
            |block| is_answer_to_syn(block) && add(block),
            "capture-altered",
        );
        assert_eq!((changed + answers, answers), (segments(), 2));
    }
}

#[test]
fn ports_are_swapped() {
    let changed = each_frame(|block| swap_ports(pcapng::bytes(block)), "frame-altered");
    assert_eq!(changed, segments());
}

#[test]
fn a_frame_came_after_the_error() {
    for golden in all().iter().filter(|golden| golden.has_reset()) {
        let trial = golden.trial();
        let reset = &trial["resets"][0];
        let frame = usize::try_from(reset["frame"].as_u64().unwrap()).unwrap();
        let call = usize::try_from(reset["explains"][0].as_u64().unwrap()).unwrap();
        let ended = trial["began_realtime_ns"].as_u64().unwrap()
            + trial["calls"][call]["ended_ns"].as_u64().unwrap();
        let place = places(golden)[frame - 1];
        let tampered = with_blocks(golden, |blocks| {
            pcapng::set_time(&mut blocks[place], ended + 1);
        });
        tampered.judged().is_gap("frame-altered", &golden.stem);
    }
}

#[test]
fn a_time_is_a_nanosecond_off() {
    let changed = each_frame(
        |block| {
            let at = pcapng::frames(&file(std::slice::from_ref(block)))[0].at_ns;
            pcapng::set_time(block, at + 1);
            pcapng::tcp(pcapng::bytes(block)).is_some()
        },
        "frame-altered",
    );
    assert_eq!(changed, segments());
}

#[test]
fn the_link_type_is_another_one() {
    for golden in all() {
        for (number, gap) in [
            (0_u16, "link-type"),
            (101, "link-type"),
            (113, "frame-altered"),
        ] {
            let tampered = with_blocks(golden, |blocks| {
                assert_eq!(blocks[1].kind, INTERFACE);
                blocks[1].body[..2].copy_from_slice(&number.to_ne_bytes());
            });
            tampered.judged().is_gap(gap, &golden.stem);
        }
    }
}

#[test]
fn a_comment_says_something_else() {
    let changed = each_frame(
        |block| {
            let text = b"this RST is why";
            let found = block.body.windows(text.len()).position(|it| it == text);
            found.is_some_and(|at| {
                block.body[at] = b'T';
                true
            })
        },
        "capture-altered",
    );
    let with_reset = all().iter().filter(|golden| golden.has_reset());
    assert_eq!(changed, with_reset.count());
}

#[test]
fn the_statistics_are_gone_or_tell_of_losses() {
    for golden in all() {
        let tampered = with_blocks(golden, |blocks| {
            assert_eq!(blocks.pop().unwrap().kind, STATISTICS);
        });
        tampered.judged().is_gap("frames-missing", &golden.stem);
        let tampered = with_blocks(golden, |blocks| {
            let body = &mut blocks.last_mut().unwrap().body;
            let dropped = 12 + 12 + 12 + 12 + 4;
            body[dropped..dropped + 8].copy_from_slice(&1_u64.to_ne_bytes());
        });
        tampered.judged().is_gap("capture-altered", &golden.stem);
    }
}

#[test]
fn the_capture_ends_at_any_byte() {
    for golden in all() {
        let dir = scratch();
        let mut ends = vec![0];
        for block in blocks(&golden.capture) {
            ends.push(ends.last().unwrap() + block.body.len() + 12);
        }
        for length in 0..golden.capture.len() {
            let cut = Golden {
                capture: golden.capture[..length].to_vec(),
                ..golden.clone()
            };
            let what = format!("{} cut at {length}", golden.stem);
            let said = cut.judged_in(dir.path());
            if length > 0 && ends.contains(&length) {
                said.is_gap("frames-missing", &what);
                continue;
            }
            said.is_gap("capture-malformed", &what);
            // It names where the block begins that is cut.
            let begin = ends.iter().rev().find(|end| **end <= length).unwrap();
            let Said::Inconclusive(_, words) = said else {
                unreachable!()
            };
            assert!(
                words.contains(&format!("byte {begin}: ")),
                "{what}: {words}"
            );
        }
    }
}

#[test]
fn any_byte_of_the_capture_is_another_one() {
    for golden in all() {
        let dir = scratch();
        for at in 0..golden.capture.len() {
            let mut tampered = golden.clone();
            tampered.capture[at] ^= 1;
            let said = tampered.judged_in(dir.path());
            assert!(
                matches!(said, Said::Inconclusive(..)),
                "{} byte {at}: {said:?}",
                golden.stem
            );
        }
    }
}

/// The document with this text, which is there once, replaced.
fn with_text(golden: &Golden, old: &str, new: &str) -> Golden {
    assert_eq!(golden.document.matches(old).count(), 1, "{old}");
    Golden {
        document: golden.document.replace(old, new),
        ..golden.clone()
    }
}

/// The document with one value changed.
fn with_value(golden: &Golden, change: impl FnOnce(&mut serde_json::Value)) -> Golden {
    let mut document = serde_json::from_str(&golden.document).unwrap();
    change(&mut document);
    Golden {
        document: document.to_string(),
        ..golden.clone()
    }
}

#[test]
fn laid_out_otherwise_the_document_says_the_same() {
    for golden in all() {
        let same = with_value(golden, |_| ());
        assert_ne!(same.document, golden.document);
        assert_eq!(same.judged(), Said::Confirmed, "{}", golden.stem);
    }
}

#[test]
fn a_call_ended_otherwise_or_at_another_time() {
    for golden in all() {
        let calls = golden.trial()["calls"].as_array().unwrap().len();
        for call in 0..calls {
            type Change = fn(&mut serde_json::Value);
            let changes: [Change; 6] = [
                |call| call["result"] = serde_json::json!({ "errno": "ETIMEDOUT" }),
                |call| call["result"] = serde_json::json!({ "ok": 77 }),
                |call| call["result"] = serde_json::json!({ "unfinished": true }),
                |call| call["began_ns"] = (call["began_ns"].as_i64().unwrap() - 1).into(),
                |call| call["ended_ns"] = (call["ended_ns"].as_i64().unwrap() + 1).into(),
                |call| {
                    let role = if call["role"] == "client" {
                        "server"
                    } else {
                        "client"
                    };
                    call["role"] = role.into();
                },
            ];
            for change in changes {
                let tampered = with_value(golden, |document| {
                    change(&mut document["trials"][0]["calls"][call]);
                });
                let what = format!("{} call {call}", golden.stem);
                tampered.judged().is_gap("transcript-altered", &what);
            }
        }
    }
}

#[test]
fn calls_are_missing_or_in_another_order() {
    for golden in all() {
        let count = golden.trial()["calls"].as_array().unwrap().len();
        for call in 0..count {
            let tampered = with_value(golden, |document| {
                let calls = document["trials"][0]["calls"].as_array_mut().unwrap();
                calls.remove(call);
            });
            tampered.judged().is_gap("transcript-altered", &golden.stem);
            let tampered = with_value(golden, |document| {
                let calls = document["trials"][0]["calls"].as_array_mut().unwrap();
                calls.swap(call, (call + 1) % count);
            });
            tampered.judged().is_gap("transcript-altered", &golden.stem);
        }
    }
}

#[test]
fn the_transcript_is_of_another_trial_time_place_or_kernel() {
    let golden = Golden::read("close-unread-data.ipv4");
    let trial = golden.trial();
    let text = |name: &str| trial[name].to_string();
    let swapped = |one: &str, other: &str| {
        with_value(&golden, |document| {
            let trial = &mut document["trials"][0];
            let kept = trial[one].take();
            trial[one] = trial[other].take();
            trial[other] = kept;
        })
    };
    for (what, tampered) in [
        (
            "scenario",
            with_text(
                &golden,
                r#""scenario":"close-unread-data""#,
                r#""scenario":"linger-zero-close""#,
            ),
        ),
        (
            "family",
            with_text(&golden, r#""family":"ipv4""#, r#""family":"ipv6""#),
        ),
        ("run", with_text(&golden, r#""run":1"#, r#""run":2"#)),
        ("ends", swapped("client", "server")),
        (
            "began",
            with_text(&golden, &text("began_realtime_ns"), "1700000000000000000"),
        ),
        (
            "kernel",
            with_text(&golden, r#""release":"#, r#""release":"5.10.0","was":"#),
        ),
        (
            "libpcap",
            with_text(
                &golden,
                r#""libpcap":"#,
                r#""libpcap":"libpcap version 2","was":"#,
            ),
        ),
    ] {
        tampered.judged().is_gap("transcript-altered", what);
    }
}

#[test]
fn what_the_document_says_of_its_evidence_is_not_what_it_leads_to() {
    let golden = Golden::read("close-unread-data.ipv4");
    for (old, new) in [
        (r#""verdict":"confirmed""#, r#""verdict":"refuted""#),
        (r#""cause":{"reset":6}"#, r#""cause":"unexplained""#),
        (r#""form":"active""#, r#""form":"passive""#),
        (r#""sender":"unknown""#, r#""sender":"firewall""#),
        (
            r#""kernel_reason":null"#,
            r#""kernel_reason":"TCP_ABORT_ON_CLOSE""#,
        ),
        (r#""counters":{}"#, r#""counters":{"OutRsts":1}"#),
        (r#""explains":[5]"#, r#""explains":[7]"#),
        (
            r#""findings":[]"#,
            r#""findings":[{"id":"no-reset","message":""}]"#,
        ),
    ] {
        with_text(&golden, old, new)
            .judged()
            .is_gap("record-altered", new);
    }
    let tampered = with_text(&golden, r#""flags":"R.""#, r#""flags":"F.""#);
    tampered.judged().is_gap("frame-altered", "packets");
}

/// Whether each byte of a document's trial counts. What stands around it is no evidence of the trial.
#[test]
fn any_byte_of_the_trial_is_another_one() {
    for golden in all() {
        let dir = scratch();
        let begin = golden.document.find(r#"{"scenario""#).unwrap();
        let end = golden.document.rfind("],\n\"capture\"").unwrap();
        for at in begin..end {
            let mut bytes = golden.document.clone().into_bytes();
            bytes[at] ^= 1;
            let tampered = Golden {
                document: String::from_utf8(bytes).unwrap(),
                ..golden.clone()
            };
            tampered.put_into(dir.path());
            // Another name for the capture makes two of them: one that is missing, and one that nothing speaks of.
            for said in judged_in(dir.path()) {
                let verdict = said.map(|report| report.verdict.unwrap());
                assert!(
                    !matches!(verdict, Ok(Verdict::Confirmed)),
                    "{} byte {at}",
                    golden.stem
                );
            }
        }
    }
}

#[test]
fn the_document_ends_at_any_byte() {
    for golden in all() {
        let dir = scratch();
        // A line end more or less says nothing.
        for length in 0..golden.document.trim_end().len() {
            let cut = Golden {
                document: golden.document[..length].to_owned(),
                ..golden.clone()
            };
            let what = format!("{} cut at {length}", golden.stem);
            match cut.judged_in(dir.path()) {
                // As a run that was killed leaves it.
                said if length == 0 => said.is_gap("transcript-missing", &what),
                Said::Error(line) => {
                    let offset = line.rsplit_once(" byte ").unwrap().1;
                    let offset: usize = offset.split(':').next().unwrap().parse().unwrap();
                    assert!(offset.abs_diff(length) <= 1, "{what}: {line}");
                }
                said => panic!("{what}: {said:?}"),
            }
        }
    }
}

#[test]
fn the_captures_of_two_trials_are_swapped() {
    for golden in all() {
        for other in all().iter().filter(|other| other.stem != golden.stem) {
            let swapped = Golden {
                capture: other.capture.clone(),
                ..golden.clone()
            };
            swapped.judged().is_gap("transcript-altered", &golden.stem);
        }
    }
}

#[test]
fn a_trial_goes_under_the_name_of_another() {
    let golden = Golden::read("close-unread-data.ipv4");
    let renamed = Golden {
        stem: "clean-close-eof.ipv4".to_owned(),
        ..golden
    };
    let dir = scratch();
    for (kind, bytes) in [
        ("pcapng", &renamed.capture[..]),
        ("json", renamed.document.as_bytes()),
    ] {
        fs::write(dir.path().join(format!("{}.{kind}", renamed.stem)), bytes).unwrap();
    }
    let mut said = Vec::new();
    load::each(dir.path(), &mut |trial| {
        said.push(trial.map(|trial| trial.report().gap.map(|gap| gap.id)));
        Ok(())
    })
    .unwrap();
    // The document speaks of a file that is not there, and nothing speaks of the file that is.
    let gaps: Vec<_> = said.into_iter().map(|gap| gap.unwrap().unwrap()).collect();
    assert_eq!(gaps, ["capture-missing", "transcript-missing"]);
}

#[test]
fn the_file_is_no_capture_at_all() {
    let golden = Golden::read("close-unread-data.ipv4");
    let elf = b"\x7fELF\x02\x01\x01\0".as_slice();
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0".as_slice();
    for bytes in [
        b"".as_slice(),
        b"hello",
        b"{}",
        golden.document.as_bytes(),
        elf,
        gzip,
        &[0; 4096],
    ] {
        let tampered = Golden {
            capture: bytes.to_vec(),
            ..golden.clone()
        };
        let said = tampered.judged();
        said.is_gap("capture-malformed", "no capture");
        let Said::Inconclusive(_, words) = said else {
            unreachable!()
        };
        assert!(words.contains("byte 0: "), "{words}");
    }
    // The section header alone is one, but without anything in it.
    let tampered = with_blocks(&golden, |blocks| {
        blocks.truncate(1);
        assert_eq!(blocks[0].kind, SECTION);
    });
    tampered.judged().is_gap("frames-missing", "header");
}

#[test]
fn the_report_and_the_trials_own_document_differ() {
    let golden = Golden::read("close-unread-data.ipv4");
    let dir = scratch();
    fs::write(dir.path().join("report.json"), &golden.document).unwrap();
    assert_eq!(golden.judged_in(dir.path()), Said::Confirmed);
    let tampered = with_text(&golden, r#""run":1"#, r#""run":2"#);
    tampered
        .judged_in(dir.path())
        .is_gap("copies-differ", "own document");
    let broken = Golden {
        document: "{".to_owned(),
        ..golden
    };
    broken
        .judged_in(dir.path())
        .is_gap("copies-differ", "own document");
}
