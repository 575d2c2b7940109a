//! The document was changed, and the capture tells.

use std::fs;

use rstproof::archive::load;
use rstproof_core::verdict::Verdict;

use crate::evidence::{Golden, Said, all, judged_in, sample, scratch};

#[test]
fn a_reformatted_document_gives_the_same_verdict() {
    for golden in all() {
        let same = golden.with_value(|_| ());
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
            let is_poll = golden.trial()["calls"][call]["call"] == "poll";
            for (nth, change) in changes.into_iter().enumerate() {
                // That would be no result of poll, and then the document cannot be read.
                if is_poll && nth == 1 {
                    continue;
                }
                let tampered = golden.with_value(|document| {
                    change(&mut document["trials"][0]["calls"][call]);
                });
                if tampered.trial() == golden.trial() {
                    continue; // that is how it ended
                }
                let what = format!("{} call {call}", golden.stem);
                tampered
                    .judged()
                    .is_inconclusive("transcript-altered", &what);
            }
        }
    }
}

#[test]
fn calls_are_missing_or_in_another_order() {
    for golden in all() {
        let count = golden.trial()["calls"].as_array().unwrap().len();
        for call in 0..count {
            let tampered = golden.with_value(|document| {
                let calls = document["trials"][0]["calls"].as_array_mut().unwrap();
                calls.remove(call);
            });
            tampered
                .judged()
                .is_inconclusive("transcript-altered", &golden.stem);
            let tampered = golden.with_value(|document| {
                let calls = document["trials"][0]["calls"].as_array_mut().unwrap();
                calls.swap(call, (call + 1) % count);
            });
            tampered
                .judged()
                .is_inconclusive("transcript-altered", &golden.stem);
        }
    }
}

#[test]
fn the_transcript_is_of_another_trial_time_place_or_kernel() {
    let golden = Golden::read("close-unread-data.ipv4");
    let trial = golden.trial();
    let text = |name: &str| trial[name].to_string();
    let swapped = |one: &str, other: &str| {
        golden.with_value(|document| {
            let trial = &mut document["trials"][0];
            let kept = trial[one].take();
            trial[one] = trial[other].take();
            trial[other] = kept;
        })
    };
    for (what, tampered) in [
        (
            "scenario",
            golden.with_text(
                r#""scenario":"close-unread-data""#,
                r#""scenario":"linger-zero-close""#,
            ),
        ),
        (
            "family",
            golden.with_text(r#""family":"ipv4""#, r#""family":"ipv6""#),
        ),
        ("run", golden.with_text(r#""run":1"#, r#""run":2"#)),
        ("ends", swapped("client", "server")),
        (
            "began",
            golden.with_text(&text("began_realtime_ns"), "1700000000000000000"),
        ),
        (
            "kernel",
            golden.with_text(r#""release":"#, r#""release":"5.10.0","was":"#),
        ),
        (
            "libpcap",
            golden.with_text(r#""libpcap":"#, r#""libpcap":"libpcap version 2","was":"#),
        ),
    ] {
        tampered
            .judged()
            .is_inconclusive("transcript-altered", what);
    }
}

#[test]
fn what_the_document_says_of_its_evidence_is_not_what_it_leads_to() {
    let golden = Golden::read("close-unread-data.ipv4");
    for (old, new) in [
        (r#""verdict":"confirmed""#, r#""verdict":"refuted""#),
        (r#""cause":{"reset":6}"#, r#""cause":"unexplained""#),
        (r#""form":"active""#, r#""form":"passive""#),
        (r#""sender":"socket""#, r#""sender":"firewall""#),
        (
            r#""kernel_reason":"TCP_ABORT_ON_CLOSE""#,
            r#""kernel_reason":null"#,
        ),
        (r#""explains_calls":[5]"#, r#""explains_calls":[7]"#),
        (
            r#""findings":[]"#,
            r#""findings":[{"id":"no-reset","message":""}]"#,
        ),
    ] {
        golden
            .with_text(old, new)
            .judged()
            .is_inconclusive("record-altered", new);
    }
    let tampered = golden.with_text(r#""flags":"R.""#, r#""flags":"F.""#);
    tampered
        .judged()
        .is_inconclusive("frame-altered", "packets");
}

#[test]
fn changed_kernel_records_are_detected() {
    let golden = Golden::read("close-unread-data.ipv4");
    for (old, new) in [
        (r#""OutRsts":1"#, r#""OutRsts":2"#),
        (
            r#""TCPAbortOnClose":1"#,
            r#""TCPAbortOnClose":1,"EmbryonicRsts":1"#,
        ),
        (
            r#""unsupported_counters":[]"#,
            r#""unsupported_counters":["OutRsts"]"#,
        ),
        (
            r#""unsupported_counters":[]"#,
            r#""unsupported_counters":null"#,
        ),
        (
            r#""reason":"TCP_ABORT_ON_CLOSE""#,
            r#""reason":"TCP_STATE""#,
        ),
        (
            r#""event":"tcp_receive_reset""#,
            r#""event":"tcp_send_reset""#,
        ),
        (r#""reset_reasons":true"#, r#""reset_reasons":false"#),
        (r#""trace_coverage":{"#, r#""no_trace_coverage":{"#),
    ] {
        golden
            .with_text(old, new)
            .judged()
            .is_inconclusive("transcript-altered", new);
    }
    for (old, new, reason) in [
        (
            r#""OutRsts":1"#,
            r#""OutRstz":1"#,
            "unknown counter 'OutRstz'",
        ),
        (
            r#""unsupported_counters":[]"#,
            r#""unsupported_counters":["\u001b"]"#,
            r"unknown counter '\u{1b}'",
        ),
        (
            r#""event":"tcp_receive_reset""#,
            r#""event":"tcp_receive_rezet""#,
            "'tcp_receive_rezet'",
        ),
    ] {
        let Said::Error(line) = golden.with_text(old, new).judged() else {
            panic!("{new} was read");
        };
        assert!(line.contains(reason), "{line}");
    }
}

/// Whether each byte of a document's trial counts. What stands around it is no evidence of the trial.
#[test]
fn any_byte_of_the_trial_is_another_one() {
    for golden in sample() {
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
    for golden in sample() {
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
                said if length == 0 => said.is_inconclusive("transcript-missing", &what),
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
    let said: Vec<_> = load::trials_at(dir.path())
        .map(|trial| trial.map(|trial| trial.report().inconclusive_reason.map(|gap| gap.id)))
        .collect();
    // The document speaks of a file that is not there, and nothing speaks of the file that is.
    let gaps: Vec<_> = said.into_iter().map(|gap| gap.unwrap().unwrap()).collect();
    assert_eq!(gaps, ["capture-missing", "transcript-missing"]);
}

#[test]
fn the_report_and_the_trials_own_document_differ() {
    let golden = Golden::read("close-unread-data.ipv4");
    let dir = scratch();
    fs::write(dir.path().join("report.json"), &golden.document).unwrap();
    assert_eq!(golden.judged_in(dir.path()), Said::Confirmed);
    let tampered = golden.with_text(r#""run":1"#, r#""run":2"#);
    tampered
        .judged_in(dir.path())
        .is_inconclusive("copies-differ", "own document");
    let broken = Golden {
        document: "{".to_owned(),
        ..golden
    };
    broken
        .judged_in(dir.path())
        .is_inconclusive("copies-differ", "own document");
}
