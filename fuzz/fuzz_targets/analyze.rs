//! The whole analysis of a capture, over whatever bytes the fuzzer comes up with: they are a capture, or tell what segments
//! a few ends send one another.
//!
//! No panic and no overflow; the answer is the same for any number of threads, any length of pieces, and from a file as from a
//! stream; each connection and each RST is told of once; and no frame is named that is not there. With
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
use rstproof_core::analyze::batch::Wanted;
use rstproof_core::analyze::pieces::{Manner, PIECE, Source, Stopped, read_all};
use rstproof_core::analyze::table::{Audience, Connection, Listener, MOST_CONNECTIONS, Told, Totals};
use rstproof_core::analyze::tally::Tally;
use rstproof_core::analyze::text::{Texts, in_order};
use rstproof_core::analyze::{human, json};

/// Holds each input in its turn.
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
    // Two of each share.
    let most = if mode & 4 == 0 { MOST_CONNECTIONS } else { 8 };
    let wanted = Wanted {
        inside_tunnels: mode & 8 != 0,
        ..Wanted::default()
    };
    // From the shortest there is to 4 KiB.
    let piece = usize::from(piece) * 16;

    let from_stream = |threads, piece| {
        let mut rest = capture;
        let source = Source::Stream(Mutex::new(&mut rest));
        answer(&source, (threads, piece), &wanted, most)
    };
    let from_file = |threads, piece| {
        FILE.write_all_at(capture, 0).expect("it can be written");
        // What is left of a longer one is behind its end.
        let source = Source::File(&FILE, capture.len() as u64);
        answer(&source, (threads, piece), &wanted, most)
    };
    let expected = from_stream(1, PIECE);
    expected.check(capture);
    assert_eq!(from_file(1, piece), expected);
    // To hand over to another thread takes much longer than anything here, so it is not always done, and some times only.
    let piece = piece.max(capture.len() / 12);
    if mode & 0x30 == 0x10 {
        assert_eq!(from_file(3, piece), expected);
    }
    if mode & 0x30 == 0x20 {
        assert_eq!(from_stream(3, piece), expected);
    }
});

/// All that is told of a capture.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    /// Of the file, and of what is in it.
    json: Vec<u8>,
    human: String,
    /// How it ended.
    end: String,
    position: u64,
    totals: Totals,
    connections: u64,
    resets: u64,
    /// The highest frame that was named.
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
        // A record of classic pcap has the shortest header of all.
        assert!(totals.packets <= capture.len() as u64 / 16);
        let lines = self.json.split(|byte| *byte == b'\n').count() as u64;
        assert_eq!(lines, self.connections + self.resets + 2);
    }
}

/// Takes down what it is told of one share of the connections.
#[derive(Default)]
struct Notes {
    json: Texts,
    human: Texts,
    connections: u64,
    resets: u64,
    last: u32,
    tally: Tally,
}

impl Listener for Notes {
    type Said = [Texts; 2];

    fn connection(&mut self, connection: &Connection<'_>, resets: &[Told]) {
        self.tally.connection(connection);
        self.connections += 1;
        let json = |out: &mut Vec<u8>| json::connection(out, "", connection);
        self.json
            .add(connection.order(), json)
            .expect("memory can be written");
        let lost = connection.gaps.lost.into_iter();
        let named = connection.frames.iter().copied().chain(lost);
        self.last = named.chain([connection.number()]).fold(self.last, u32::max);
        self.resets(connection, resets);
    }

    fn resets(&mut self, connection: &Connection<'_>, resets: &[Told]) {
        for told in resets {
            self.tally.reset(connection, told);
            self.resets += 1;
            let json = |out: &mut Vec<u8>| json::reset(out, "", connection, told);
            self.json
                .add(connection.order(), json)
                .expect("memory can be written");
            let human = |out: &mut Vec<u8>| {
                out.extend(human::reset(connection, told, true).into_bytes());
                Ok::<(), ()>(())
            };
            self.human
                .add(connection.order(), human)
                .expect("memory can be written");
            let drawn_by = told.reset.drawn_by.unwrap_or(0);
            self.last = self.last.max(told.reset.frame).max(drawn_by);
            assert!(told.reset.frame > 0 && drawn_by < told.reset.frame);
        }
    }

    fn hand_over(&mut self) -> Self::Said {
        [&mut self.json, &mut self.human].map(std::mem::take)
    }
}

impl Audience<[Texts; 2]> for Answer {
    fn hear(&mut self, said: Vec<[Texts; 2]>, _: u64, _: &Totals) -> ControlFlow<()> {
        let (json, human): (Vec<_>, Vec<_>) =
            said.into_iter().map(|[one, other]| (one, other)).unzip();
        self.json.extend(in_order(&json).concat());
        self.human += std::str::from_utf8(&in_order(&human).concat()).expect("it was text");
        ControlFlow::Continue(())
    }
}

fn answer(
    source: &Source<'_>,
    (threads, piece): (usize, usize),
    wanted: &Wanted,
    most: usize,
) -> Answer {
    let mut answer = Answer::default();
    let manner = Manner {
        threads,
        piece,
        wanted,
        most,
    };
    let ended = read_all(source, manner, Notes::default, &mut answer);
    let mut tally = Tally::default();
    for notes in ended.listeners {
        answer.connections += notes.connections;
        answer.resets += notes.resets;
        answer.last = answer.last.max(notes.last);
        tally.merge(notes.tally);
    }
    (answer.position, answer.end) = match ended.read {
        Ok(position) => (position, String::new()),
        Err(Stopped::Malformed(malformed)) => (malformed.offset, malformed.to_string()),
        Err(other) => panic!("{other:?}"),
    };
    answer.totals = ended.totals;
    let problem = Some(answer.end.as_str());
    json::summary(
        &mut answer.json,
        "",
        &answer.totals,
        &tally,
        answer.position,
        problem,
    )
    .expect("memory can be written");
    answer.human += &human::summary("", &answer.totals, &tally);
    answer
}
