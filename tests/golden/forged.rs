//! Both files were made anew to fit each other, hashes and all: then only what the evidence says can tell.
//!
//! Most of it is tried on the judge alone, over frames that were changed and decoded again, beside calls that may have
//! been; some of it on files with every hash made anew.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::LazyLock;

use rstproof::archive::load;
use rstproof_core::evidence::Evidence;
use rstproof_core::packet::{Link, Packet, decode};
use rstproof_core::scenario::{self, Outcome};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::Errno;
use rstproof_core::verdict::{Judgement, Verdict, judge};

use crate::evidence::{CAPTURES, Golden, Said, all, everything, scratch};
use crate::pcapng::{Frame, add_to_seq, frames, swap_ports, tcp};

/// A trial of which any part can be forged.
pub(crate) struct Forged {
    golden: &'static Golden,
    frames: Vec<Frame>,
    pub(crate) evidence: Evidence,
}

impl Forged {
    /// As if the kernel could not have been asked: what is forged has to show without its word.
    fn from(golden: &'static Golden) -> Self {
        let mut forged = Self::with_kernel(golden);
        forged.evidence.trace = None;
        forged.evidence.counters = None;
        forged
    }

    pub(crate) fn with_kernel(golden: &'static Golden) -> Self {
        Self {
            golden,
            frames: frames(&golden.capture),
            evidence: loaded(golden).clone(),
        }
    }

    pub(crate) fn judged(mut self) -> Judgement {
        let frames = self.frames.iter().zip(1..);
        self.evidence.packets = frames
            .map(|(frame, number)| {
                let at = Timestamp(frame.at_ns.try_into().unwrap());
                decode(Link::Ethernet, number, at, &frame.bytes)
            })
            .collect();
        assert_eq!(self.evidence.flaw, None);
        let fence = self.evidence.completeness.fence.unwrap();
        let last = self.evidence.packets.last();
        self.evidence.completeness.fence_seen = last.is_some_and(|last| fence.is(last));
        judge(
            scenario::find(self.golden.scenario()).unwrap(),
            &self.evidence,
        )
    }

    /// Lets all frames from then on be captured so much later.
    pub(crate) fn delay_frames(&mut self, from: Timestamp, ns: i64) {
        let from = u64::try_from(from.0).unwrap();
        for frame in self.frames.iter_mut().filter(|frame| frame.at_ns >= from) {
            frame.at_ns = frame.at_ns.checked_add_signed(ns).unwrap();
        }
    }

    #[track_caller]
    fn must_not_be_confirmed(self, what: &str) {
        let stem = &self.golden.stem;
        let judgement = self.judged();
        assert_ne!(judgement.verdict, Verdict::Confirmed, "{stem}: {what}");
        assert!(!judgement.findings.is_empty() || judgement.inconclusive_reason.is_some());
    }

    /// Whether another frame takes up the same numbers in the same direction: then one of them counts, whichever.
    fn is_sent_twice(&self, index: usize) -> bool {
        let parts = |frame: &Frame| tcp(&frame.bytes).map(|tcp| frame.bytes[tcp..tcp + 8].to_vec());
        let mut others = self.frames.iter().enumerate();
        let own = parts(&self.frames[index]);
        own.is_some() && others.any(|(other, frame)| other != index && parts(frame) == own)
    }

    /// Indices of the frames that are TCP and for which this holds of the flags.
    fn with_flags(&self, hold: impl Fn(u8) -> bool) -> Vec<usize> {
        let frames = self.frames.iter().enumerate();
        let frames = frames.filter(|(index, _)| self.golden.owns(index + 1));
        frames
            .filter(|(_, frame)| tcp(&frame.bytes).is_some_and(|tcp| hold(frame.bytes[tcp + 13])))
            .map(|(index, _)| index)
            .collect()
    }
}

/// Its evidence as it is loaded from its files, which is done once.
pub(crate) fn loaded(golden: &Golden) -> &'static Evidence {
    static LOADED: LazyLock<BTreeMap<&str, Evidence>> = LazyLock::new(|| {
        let all = everything().iter().map(|golden| {
            let path = format!("{CAPTURES}/{}.json", golden.stem);
            let trial = load::trials_at(path.as_ref())
                .map(Result::unwrap)
                .last()
                .unwrap();
            (&*golden.stem, trial.evidence)
        });
        all.collect()
    });
    &LOADED[&*golden.stem]
}

const SYN: u8 = 2;
const RST: u8 = 4;

fn each_forged(forge: impl Fn(&mut Forged, usize), flags: impl Fn(u8) -> bool, what: &str) {
    let mut count = 0;
    for golden in all() {
        for index in Forged::from(golden).with_flags(&flags) {
            let mut forged = Forged::from(golden);
            forge(&mut forged, index);
            forged.must_not_be_confirmed(&format!("frame {} {what}", index + 1));
            count += 1;
        }
    }
    assert!(count >= all().len() / 2);
}

#[test]
fn nothing_forged_is_confirmed() {
    for golden in all() {
        for forged in [Forged::from(golden), Forged::with_kernel(golden)] {
            let judgement = forged.judged();
            assert_eq!(judgement.verdict, Verdict::Confirmed, "{}", golden.stem);
        }
    }
}

#[test]
fn the_rst_or_the_syn_is_gone() {
    let gone = |forged: &mut Forged, index: usize| {
        if !forged.is_sent_twice(index) {
            drop(forged.frames.remove(index));
            return;
        }
        // If a SYN was sent twice it has to be both.
        let parts = |frame: &Frame| tcp(&frame.bytes).map(|tcp| frame.bytes[tcp..tcp + 8].to_vec());
        let own = parts(&forged.frames[index]);
        forged.frames.retain(|frame| parts(frame) != own);
    };
    each_forged(gone, |flags| flags & RST != 0, "gone");
    each_forged(gone, |flags| flags & (SYN | 0x10) == SYN, "gone");
}

#[test]
fn the_fence_is_gone_or_not_the_last() {
    for golden in all() {
        let mut forged = Forged::from(golden);
        forged.frames.pop();
        forged.must_not_be_confirmed("no fence");
        let mut forged = Forged::from(golden);
        let last = forged.frames.len() - 1;
        if last == 0 {
            continue;
        }
        forged.frames.swap(last, last - 1);
        forged.must_not_be_confirmed("a frame after the fence");
    }
}

#[test]
fn a_segment_that_counts_is_gone() {
    // Data, FIN and the SYN that answers take up sequence numbers: what acknowledges them tells, or the bytes that the
    // calls speak of.
    for golden in all() {
        // Where some bytes are not sent, how many are is not known.
        if scenario::find(golden.scenario()).unwrap().unsent.is_some() {
            continue;
        }
        let count = Forged::from(golden).frames.len();
        for index in 0..count {
            let mut forged = Forged::from(golden);
            let frame = forged.frames.remove(index);
            let Packet::Tcp(segment) = decode(Link::Ethernet, 1, Timestamp(0), &frame.bytes) else {
                continue;
            };
            let again = Forged::from(golden).is_sent_twice(index);
            if segment.seq_len() > 0 && golden.owns(index + 1) && !again {
                forged.must_not_be_confirmed(&format!("frame {} gone", index + 1));
            }
        }
    }
}

#[test]
fn the_sequence_number_of_the_rst_is_another_one() {
    for by in [1, u32::MAX, 2, 1000, 1 << 31] {
        let add = |forged: &mut Forged, index: usize| {
            let bytes = &mut forged.frames[index].bytes;
            assert!(add_to_seq(bytes, by));
        };
        for golden in all() {
            for index in Forged::from(golden).with_flags(|flags| flags & RST != 0) {
                let mut forged = Forged::from(golden);
                add(&mut forged, index);
                // After a FIN Linux believes RCV.NXT - 1, too: that is another proof, not a false one.
                let after_fin = golden.trial()["resets"][0]["receiver_state"] == "CLOSE-WAIT";
                if !(after_fin && by == u32::MAX) {
                    forged.must_not_be_confirmed(&format!("frame {} + {by}", index + 1));
                }
            }
        }
    }
}

#[test]
fn the_rst_goes_the_other_way() {
    let swap = |forged: &mut Forged, index: usize| {
        assert!(swap_ports(&mut forged.frames[index].bytes));
    };
    each_forged(swap, |flags| flags & RST != 0, "the other way");
}

#[test]
fn the_rst_came_after_the_error() {
    for golden in all().iter().filter(|golden| golden.has_reset()) {
        let mut forged = Forged::from(golden);
        let trial = golden.trial();
        let told =
            usize::try_from(trial["resets"][0]["explains_calls"][0].as_u64().unwrap()).unwrap();
        let index = forged.with_flags(|flags| flags & RST != 0)[0];
        forged.frames[index].at_ns = forged.evidence.calls[told].ended.0.try_into().unwrap();
        forged.must_not_be_confirmed("an RST after the error");
    }
}

#[test]
fn a_call_was_made_at_another_time() {
    // Far beyond what clocks of two CPUs may differ by, and longer than any call takes.
    const FAR_NS: i64 = 20_000_000_000;
    for golden in all() {
        let all_calls = |by: i64| {
            let mut forged = Forged::from(golden);
            for call in &mut forged.evidence.calls {
                call.began.0 += by;
                call.ended.0 += by;
            }
            forged
        };
        all_calls(FAR_NS).must_not_be_confirmed("all calls later");
        all_calls(-FAR_NS).must_not_be_confirmed("all calls earlier");
        for index in 0..Forged::from(golden).evidence.calls.len() {
            let mut forged = Forged::from(golden);
            forged.evidence.calls[index].ended.0 -= FAR_NS;
            forged.must_not_be_confirmed(&format!("call {index} ends before it begins"));
        }
    }
}

#[test]
fn a_call_ended_otherwise() {
    for golden in all() {
        for index in 0..Forged::from(golden).evidence.calls.len() {
            let was = Forged::from(golden).evidence.calls[index].outcome;
            for outcome in [
                Outcome::Returned(0),
                Outcome::Returned(1),
                Outcome::Failed(Errno::ECONNRESET),
                Outcome::Failed(Errno::EPIPE),
                Outcome::SocketError(None),
                Outcome::SocketError(Some(Errno::ECONNRESET)),
                Outcome::Unfinished,
            ] {
                if outcome != was {
                    let mut forged = Forged::from(golden);
                    forged.evidence.calls[index].outcome = outcome;
                    forged.must_not_be_confirmed(&format!("call {index} = {outcome}"));
                }
            }
        }
    }
}

#[test]
fn calls_are_missing_or_made_twice() {
    for golden in all() {
        for index in 0..Forged::from(golden).evidence.calls.len() {
            let mut forged = Forged::from(golden);
            forged.evidence.calls.remove(index);
            forged.must_not_be_confirmed(&format!("call {index} gone"));
            let mut forged = Forged::from(golden);
            let call = forged.evidence.calls[index];
            forged.evidence.calls.insert(index, call);
            forged.must_not_be_confirmed(&format!("call {index} twice"));
        }
    }
}

#[test]
fn what_another_version_recorded_in_its_own_words_is_judged_by_its_evidence() {
    for golden in all() {
        let other = golden.forged(|document| {
            let trial = &mut document["trials"][0];
            trial["field_of_that_version"] = 1.into();
            for field in [
                "kernel_events",
                "trace_coverage",
                "counters",
                "unsupported_counters",
            ] {
                trial.as_object_mut().unwrap().remove(field);
            }
        });
        assert_eq!(other.judged(), Said::Confirmed, "{}", golden.stem);
    }
}

#[test]
fn a_record_that_its_evidence_does_not_bear_out_is_refuted() {
    // As if the server had set SO_LINGER: its script has another call there, and no data.
    let golden = Golden::read("close-unread-data.ipv4");
    let other = golden.forged(|document| {
        document["trials"][0]["scenario"] = "linger-zero-close".into();
    });
    let Said::Refuted(findings) = other.judged() else {
        panic!("{:?}", other.judged());
    };
    assert!(findings.contains(&"other-call"), "{findings:?}");

    let dir = scratch();
    other.put_into(dir.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    let output = command.arg("check").arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.starts_with("linger-zero-close over ipv4: refuted"),
        "{out}"
    );
    assert!(
        out.contains("recorded   as confirmed by version 0.0.9"),
        "{out}"
    );
}
