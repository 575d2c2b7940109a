//! The capture was changed, and the document tells.

use crate::evidence::{Golden, Said, all, sample, scratch};
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
    each_frame_or(change, gap, false)
}

fn has_syns_only(golden: &Golden) -> bool {
    let trial = golden.trial();
    let mut packets = trial["packets"].as_array().unwrap().iter();
    packets.len() == 1 && packets.all(|packet| packet["flags"] == "S")
}

/// The same; with `told_apart_by_hash` what is changed cannot be told from the SYN alone.
fn each_frame_or(
    change: impl Fn(&mut Block) -> bool,
    gap: &str,
    told_apart_by_hash: bool,
) -> usize {
    let mut changed = 0;
    for golden in all() {
        for (index, place) in places(golden).into_iter().enumerate() {
            let mut did = false;
            let tampered = with_blocks(golden, |blocks| did = change(&mut blocks[place]));
            let what = format!("{} frame {}", golden.stem, index + 1);
            did &= tampered.capture != golden.capture;
            if did && golden.owns(index + 1) {
                changed += 1;
                // Numbers are told relative to the SYN's: with nothing else on the wire it is the hash that tells.
                let gap = if gap == "frame-altered" && has_syns_only(golden) && told_apart_by_hash {
                    "capture-altered"
                } else {
                    gap
                };
                tampered.judged().is_inconclusive(gap, &what);
            } else if did {
                // Somebody else's, or the fence: the document says nothing of it.
                let said = tampered.judged();
                assert!(matches!(said, Said::Inconclusive(..)), "{what}: {said:?}");
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

/// RSTs that answer a SYN in all files together.
fn answers_to_syn() -> usize {
    let answers = |golden: &Golden| {
        let trial = golden.trial();
        let resets = trial["resets"].as_array().unwrap().iter();
        resets.filter(|it| it["form"] == "passive-ack").count()
    };
    all().iter().map(answers).sum()
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
            tampered
                .judged()
                .is_inconclusive("frames-missing", &golden.stem);
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
            tampered
                .judged()
                .is_inconclusive("frames-missing", &golden.stem);
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
            // The last one is the fence, which is no packet of the connection's; others may be somebody else's.
            let any_later = (index + 1..=places.len()).any(|frame| golden.owns(frame));
            let gap = if any_later {
                "frame-altered"
            } else {
                "capture-altered"
            };
            tampered.judged().is_inconclusive(gap, &golden.stem);
        }
    }
}

#[test]
fn two_frames_are_in_another_order() {
    for golden in all() {
        for (pair, frame) in places(golden).windows(2).zip(1..) {
            let tampered = with_blocks(golden, |blocks| blocks.swap(pair[0], pair[1]));
            let gap = if golden.owns(frame) || golden.owns(frame + 1) {
                "frame-altered"
            } else {
                "capture-altered"
            };
            tampered.judged().is_inconclusive(gap, &golden.stem);
        }
    }
}

#[test]
fn a_sequence_number_is_another_one() {
    // Of an RST to a SYN the number is 0, and the document has none for it: the hash tells.
    let is_answer_to_syn = |block: &mut Block| {
        let bytes = pcapng::bytes(block);
        pcapng::tcp(bytes).is_some_and(|tcp| bytes[tcp + 4..tcp + 8] == [0; 4])
    };
    for by in [1, u32::MAX, 1 << 31] {
        let add = |block: &mut Block| add_to_seq(pcapng::bytes(block), by);
        let changed = each_frame_or(
            |block| !is_answer_to_syn(block) && add(block),
            "frame-altered",
            true,
        );
        let answers = each_frame(
            |block| is_answer_to_syn(block) && add(block),
            "capture-altered",
        );
        assert_eq!((changed + answers, answers), (segments(), answers_to_syn()));
    }
}

#[test]
fn ports_are_swapped() {
    let changed = each_frame(|block| swap_ports(pcapng::bytes(block)), "frame-altered");
    // Of a socket that is connected to itself both are the same.
    let to_itself = all().iter().filter(|golden| {
        let trial = golden.trial();
        trial["client"] == trial["server"]
    });
    let same = to_itself.map(|golden| golden.trial()["packets"].as_array().unwrap().len());
    assert_eq!(changed, segments() - same.sum::<usize>());
}

#[test]
fn a_frame_came_after_the_error() {
    for golden in all().iter().filter(|golden| golden.has_reset()) {
        let trial = golden.trial();
        let reset = &trial["resets"][0];
        let frame = usize::try_from(reset["frame"].as_u64().unwrap()).unwrap();
        let call = usize::try_from(reset["explains_calls"][0].as_u64().unwrap()).unwrap();
        let ended = trial["began_realtime_ns"].as_u64().unwrap()
            + trial["calls"][call]["ended_ns"].as_u64().unwrap();
        let place = places(golden)[frame - 1];
        let tampered = with_blocks(golden, |blocks| {
            pcapng::set_time(&mut blocks[place], ended + 1);
        });
        tampered
            .judged()
            .is_inconclusive("frame-altered", &golden.stem);
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
            let nothing_of_it = golden.trial()["packets"] == serde_json::json!([]);
            let gap = if nothing_of_it && gap == "frame-altered" {
                "capture-altered"
            } else {
                gap
            };
            tampered.judged().is_inconclusive(gap, &golden.stem);
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
        tampered
            .judged()
            .is_inconclusive("frames-missing", &golden.stem);
        let tampered = with_blocks(golden, |blocks| {
            let body = &mut blocks.last_mut().unwrap().body;
            let dropped = 12 + 12 + 12 + 12 + 4;
            body[dropped..dropped + 8].copy_from_slice(&1_u64.to_ne_bytes());
        });
        tampered
            .judged()
            .is_inconclusive("transcript-altered", &golden.stem);
    }
}

#[test]
fn the_capture_ends_at_any_byte() {
    for golden in sample() {
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
                said.is_inconclusive("frames-missing", &what);
                continue;
            }
            said.is_inconclusive("capture-malformed", &what);
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
    for golden in sample() {
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

#[test]
fn the_captures_of_two_trials_are_swapped() {
    for golden in all() {
        for other in sample().filter(|other| other.stem != golden.stem) {
            let swapped = Golden {
                capture: other.capture.clone(),
                ..golden.clone()
            };
            swapped
                .judged()
                .is_inconclusive("transcript-altered", &golden.stem);
        }
    }
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
        said.is_inconclusive("capture-malformed", "no capture");
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
    tampered
        .judged()
        .is_inconclusive("frames-missing", "header");
}
