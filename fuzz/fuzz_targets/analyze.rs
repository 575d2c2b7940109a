//! Fuzz target for the whole analysis. The input is a capture, or encodes the segments that a few endpoints send each
//! other.
//!
//! Checks: no panic or overflow; the same result for any number of threads, any chunk length, and from a file as from a
//! stream; each connection and each RST reported once; no frame number beyond the capture. With
//! [cargo-fuzz](https://github.com/rust-fuzz/cargo-fuzz):
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run analyze -- -max_total_time=60

#![no_main]

#[path = "analyze/segments.rs"]
mod segments;

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Analysis, Event, Source, Stopped, Totals, json};

/// File that is overwritten with each input.
static FILE: LazyLock<File> =
    LazyLock::new(|| tempfile::tempfile().expect("a temporary file can be made"));

fuzz_target!(|bytes: &[u8]| {
    let Some((&[mode, piece], rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let made;
    let capture = match mode & 3 {
        0 => rest,
        how => {
            made = segments::capture(rest, how == 1);
            &made
        }
    };
    let mut analysis = Analysis::new().inside_tunnels(mode & 8 != 0);
    if mode & 4 != 0 {
        // Two per partition, so that connections are evicted.
        analysis = analysis.max_connections(8);
    }
    // From the minimum to 4 KiB.
    let piece = usize::from(piece) * 16;

    let analyze = |source: &Source<'_>, threads, piece| {
        answer(source, &analysis.clone().threads(threads).chunk_len(piece))
    };
    let from_stream = |threads, piece| {
        let mut rest = capture;
        analyze(&Source::Stream(Mutex::new(&mut rest)), threads, piece)
    };
    let from_file = |threads, piece| {
        FILE.write_all_at(capture, 0).expect("it can be written");
        // A longer earlier input leaves bytes after the end, which the length given here excludes.
        analyze(&Source::File(&*FILE, capture.len() as u64), threads, piece)
    };
    let expected = from_stream(1, 512 << 10);
    expected.check(capture);
    assert_eq!(from_file(1, piece), expected);
    // Passing chunks to another thread takes much longer than the rest of an iteration, so it is done for some inputs
    // only, and for at most 12 chunks or so.
    let piece = piece.max(capture.len() / 12);
    if mode & 0x30 == 0x10 {
        assert_eq!(from_file(3, piece), expected);
    }
    if mode & 0x30 == 0x20 {
        assert_eq!(from_stream(3, piece), expected);
    }
});

/// Complete result of an analysis, for comparison.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    /// JSON lines of all events and of the summary.
    json: Vec<u8>,
    /// Error that ended the analysis; empty if there was none.
    end: String,
    /// Number of bytes read, or the offset of the error.
    position: u64,
    totals: Totals,
    connections: u64,
    resets: u64,
    icmp: u64,
    /// Highest frame number in any event.
    last: u32,
}

impl Answer {
    fn check(&self, capture: &[u8]) {
        let totals = &self.totals;
        assert!(u64::from(self.last) <= totals.packets);
        assert!(totals.resets <= totals.reset_frames);
        assert!(totals.reset_frames <= totals.tcp && totals.tcp <= totals.packets);
        assert_eq!(totals.resets, self.resets);
        assert_eq!(totals.connections, self.connections);
        assert!(self.position <= capture.len() as u64);
        assert!(!self.end.contains('\n') && !self.end.ends_with('.'));
        // A record header of classic pcap, 16 bytes, is the shortest of all formats.
        assert!(totals.packets <= capture.len() as u64 / 16);
        let lines = self.json.split(|byte| *byte == b'\n').count() as u64;
        assert_eq!(lines, self.connections + self.resets + self.icmp + 2);
        assert_eq!(totals.errors, self.icmp);
    }
}

/// Summary of one event.
struct Note {
    row: Vec<u8>,
    is_reset: bool,
    is_icmp: bool,
    /// Highest frame number in the event.
    last: u32,
}

fn note(event: Event<'_>) -> Option<Note> {
    let mut row = Vec::new();
    let last = match event {
        Event::Connection(connection) => {
            json::connection(&mut row, &FileNames::one(""), connection).expect("memory can be written");
            let lost = connection.gaps.lost.into_iter();
            let named = connection.frames.iter().copied().chain(lost);
            named.chain([connection.number()]).max()
        }
        Event::Reset(connection, record) => {
            json::reset(&mut row, &FileNames::one(""), connection, record).expect("memory can be written");
            let triggered_by = record.reset.triggered_by.unwrap_or(0);
            assert!(record.reset.frame > 0 && triggered_by < record.reset.frame);
            Some(record.reset.frame)
        }
        Event::Icmp(connection, record) => {
            json::icmp(&mut row, &FileNames::one(""), connection, record).expect("memory can be written");
            assert!(record.frame > 0 && record.went_on.is_none_or(|frame| frame > record.frame));
            Some(record.frame)
        }
        // Of live captures only.
        Event::Failed(_) => return None,
    };
    Some(Note {
        row,
        is_reset: matches!(event, Event::Reset(..)),
        is_icmp: matches!(event, Event::Icmp(..)),
        last: last.unwrap_or(0),
    })
}

fn answer(source: &Source<'_>, analysis: &Analysis) -> Answer {
    let mut answer = Answer::default();
    let summary = analysis.read(source, note, |part| {
        for note in part.items {
            answer.json.extend(note.row);
            answer.connections += u64::from(!note.is_reset && !note.is_icmp);
            answer.icmp += u64::from(note.is_icmp);
            answer.resets += u64::from(note.is_reset);
            answer.last = answer.last.max(note.last);
        }
        ControlFlow::Continue(())
    });
    (answer.position, answer.end) = match summary.read {
        Ok(position) => (position, String::new()),
        Err(Stopped::Malformed(malformed)) => (malformed.offset, malformed.to_string()),
        Err(other) => panic!("{other:?}"),
    };
    answer.totals = summary.totals;
    let problem = Some(answer.end.as_str());
    let (totals, tally) = (&answer.totals, &summary.tally);
    json::summary(&mut answer.json, &FileNames::one(""), totals, tally, answer.position, problem, None)
        .expect("memory can be written");
    answer
}
