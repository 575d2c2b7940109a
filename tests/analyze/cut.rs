//! Captures that are cut, at any byte: what was before the cut is told of as if nothing had been behind it, and then where the
//! cut is.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rstproof_core::analyze::{
    Analysis, Connection, ConnectionObserver, Ended, Progress, ResetRecord, Sink, Source, Stopped,
    Totals,
};
use rstproof_core::file::{Format, Reader};

use crate::analyze;
use crate::layout::{Order, Pcap, PcapNg};
use crate::segments::{ACK, FIN, Segment, refused};

/// The frames of all RSTs, and how many connections there were.
#[derive(Default)]
pub(crate) struct Frames {
    pub(crate) resets: BTreeSet<u32>,
    connections: u64,
}

impl ConnectionObserver for Frames {
    type Output = ();

    fn connection(&mut self, _: &Connection<'_>, resets: &[ResetRecord]) {
        self.connections += 1;
        self.resets.extend(resets.iter().map(|it| it.reset.frame));
    }

    fn resets(&mut self, _: &Connection<'_>, resets: &[ResetRecord]) {
        self.resets.extend(resets.iter().map(|it| it.reset.frame));
    }

    fn take_output(&mut self) {}
}

/// Listens to nothing, and goes on to the end.
struct Nobody;

impl Sink<()> for Nobody {
    fn accept(&mut self, _: Vec<()>, _: &Progress<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

fn read_from(
    source: &Source<'_>,
    threads: usize,
    piece: usize,
) -> (Result<u64, Stopped>, Totals, Frames) {
    let analysis = Analysis::new().threads(threads).chunk_len(piece);
    let Ended {
        read,
        totals,
        observers,
        ..
    } = analysis.observe(source, Frames::default, &mut Nobody);
    let mut all = Frames::default();
    for told in observers {
        all.connections += told.connections;
        all.resets.extend(told.resets);
    }
    (read, totals, all)
}

/// Reads it in this process, which takes less time than to start another, and in pieces that hold no more than a frame.
fn read(bytes: &[u8], threads: usize) -> (Result<u64, Stopped>, Totals, Frames) {
    read_in_pieces(bytes, threads, 64)
}

pub(crate) fn read_in_pieces(
    mut bytes: &[u8],
    threads: usize,
    piece: usize,
) -> (Result<u64, Stopped>, Totals, Frames) {
    let source = Source::Stream(Mutex::new(&mut bytes));
    read_from(&source, threads, piece)
}

/// Two captures of trials, one behind the other: a file of two sections.
fn sections() -> Vec<u8> {
    let of = |name| {
        let path = format!("{}/captures/{name}.pcapng", env!("CARGO_MANIFEST_DIR"));
        fs::read(path).unwrap()
    };
    let mut bytes: Vec<u8> = of("close-unread-data.ipv4");
    bytes.extend(of("connect-closed-port.ipv6"));
    bytes
}

/// A connection that is refused, and one that goes on.
fn pcap() -> Vec<u8> {
    let mut file = Pcap::new(Order::Big, 0xa1b2_c3d4, (2, 4), 1);
    let [syn, rst] = refused(5_000);
    let fin = Segment {
        ports: [6_000, 80],
        flags: FIN | ACK,
        seq: 1,
        ack: 1,
    };
    for (nth, segment) in (0..).zip([syn, rst, fin, syn, rst]) {
        let frame = segment.frame();
        file.record((nth, 0), (54, 54), &frame);
    }
    file.bytes
}

/// Blocks of a kind that is skipped, shorter and longer than a piece, in sections of either byte order: whoever went by the
/// order of the section before would not find where they end. In one of them there is what looks like blocks.
fn unknown() -> Vec<u8> {
    const CUSTOM: u32 = 0xbad;
    let [syn, rst] = refused(5_000).map(Segment::frame);
    let mut bytes = Vec::new();
    for order in [Order::Little, Order::Big] {
        let mut file = PcapNg::with_interface(order, &[]);
        for (nth, length) in (0..).zip([0, 4, 64, 300]) {
            file.block(CUSTOM, &vec![0xa5; length]);
            file.frame(0, nth, &syn, &[]);
            file.block(CUSTOM + 1, &sections()[..400]);
            file.frame(0, nth, &rst, &[]);
        }
        // It is in the piece with the header of the next section.
        file.block(CUSTOM, &[]);
        bytes.extend(file.bytes);
    }
    bytes
}

/// Where blocks end, and how many frames there are up to then.
fn ends(bytes: &[u8]) -> Vec<(usize, u64)> {
    let mut reader = Reader::new(bytes).unwrap();
    let mut ends = vec![(reader.offset(), 0)];
    let mut frames = 0;
    while let Some(block) = reader.next() {
        if let rstproof_core::file::Block::Frame(_) = block.unwrap() {
            frames += 1;
        }
        ends.push((reader.offset(), frames));
    }
    ends.push((bytes.len(), frames));
    ends.dedup_by_key(|it| it.0);
    if reader.format() == Format::PcapNg {
        let ends_of_skipped = ends
            .windows(2)
            .flat_map(|it| skipped(bytes, it[0], it[1].0));
        let skipped: Vec<_> = ends_of_skipped.collect();
        ends.extend(skipped);
        ends.sort_unstable();
    }
    ends
}

/// Where blocks end before the one that ends at `last`: the reader passes over those that are skipped.
fn skipped(bytes: &[u8], from: (usize, u64), last: usize) -> Vec<(usize, u64)> {
    let mut ends = Vec::new();
    let mut at = from.0;
    loop {
        let length = *bytes[at + 4..].first_chunk().unwrap();
        let lengths = [u32::from_le_bytes(length), u32::from_be_bytes(length)];
        // In the other byte order it is longer than any file here.
        at += *lengths.iter().min().unwrap() as usize;
        if at == last {
            return ends;
        }
        ends.push((at, from.1));
    }
}

#[test]
fn a_truncated_file_is_analyzed_up_to_its_end_and_the_error_has_the_offset() {
    for bytes in [sections(), pcap(), unknown()] {
        let (whole, totals, all) = read(&bytes, 1);
        assert_eq!(whole.unwrap(), bytes.len() as u64);
        assert!(all.resets.len() >= 2 && totals.resets == all.resets.len() as u64);
        let ends = ends(&bytes);
        for cut in 0..bytes.len() {
            let (read, totals, told) = read(&bytes[..cut], 1 + cut % 2);
            let before = ends.iter().rfind(|it| it.0 <= cut && it.0 > 0);
            let (end, frames) = before.copied().unwrap_or_default();
            assert_eq!(totals.packets, frames, "cut at {cut}");
            let is_before = |frame: &&u32| u64::from(**frame) <= frames;
            let expected: BTreeSet<u32> = all.resets.iter().filter(is_before).copied().collect();
            assert_eq!(told.resets, expected, "cut at {cut}");
            assert_eq!(totals.connections, told.connections, "cut at {cut}");
            match read {
                Ok(position) => assert_eq!((position, end), (cut as u64, cut)),
                Err(Stopped::Malformed(malformed)) => {
                    assert_eq!(malformed.offset, end as u64, "cut at {cut}");
                    assert!(end < cut || cut == 0, "cut at {cut}");
                    // As when it is read as a whole.
                    let problem = match Reader::new(&bytes[..cut]) {
                        Ok(reader) => reader.map(Result::err).last().flatten(),
                        Err(malformed) => Some(malformed),
                    };
                    assert_eq!(problem, Some(malformed), "cut at {cut}");
                }
                Err(other) => panic!("cut at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_truncated_file_is_reported_in_one_line_with_the_offset() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("cut");
    for bytes in [sections(), pcap(), unknown()] {
        let ends = ends(&bytes);
        let beside = ends
            .iter()
            .flat_map(|it| [it.0.saturating_sub(1), it.0, it.0 + 1, it.0 + 9]);
        for cut in beside.filter(|cut| (4..=bytes.len()).contains(cut)) {
            fs::write(&path, &bytes[..cut]).unwrap();
            let said = analyze(&[path.to_str().unwrap()]);
            let before = ends.iter().rfind(|it| it.0 <= cut && it.0 > 0);
            let (end, frames) = before.copied().unwrap_or_default();
            let summary = said.summary();
            assert_eq!(summary["packets"], frames, "cut at {cut}");
            assert_eq!(summary["bytes_read"], end, "cut at {cut}");
            assert_eq!(summary["complete"], cut == end, "cut at {cut}");
            if cut == end {
                said.whole();
            } else {
                let line = said.complaint();
                assert!(line.contains(&format!("byte {end}: ")), "{line}");
            }
        }
    }
}

/// In pieces of any length, by as many threads as one likes: and a block that is not what it says first is where it ends.
#[test]
fn a_block_that_is_skipped_is_skipped_in_pieces_of_any_length() {
    let bytes = unknown();
    let (_, totals, all) = read_in_pieces(&bytes, 1, 1 << 20);
    assert_eq!((totals.packets, all.resets.len()), (16, 8));
    let ends = ends(&bytes);
    for piece in 64..600 {
        let (read, there, told) = read_in_pieces(&bytes, 1 + piece % 3, piece);
        assert_eq!(read.unwrap(), bytes.len() as u64, "pieces of {piece}");
        assert_eq!(
            (there, told.resets),
            (totals.clone(), all.resets.clone()),
            "pieces of {piece}"
        );
    }
    for at in ends {
        // Its length once more, behind it.
        let mut wrong = bytes.clone();
        let Some(trailer) = at.0.checked_sub(1) else {
            continue;
        };
        wrong[trailer] ^= 0x40;
        let expected = Reader::new(&wrong).unwrap().find_map(Result::err).unwrap();
        for piece in [64, 65, 100, 333, 4096] {
            match read_in_pieces(&wrong, 1 + piece % 3, piece) {
                (Err(Stopped::Malformed(malformed)), ..) => {
                    assert_eq!(malformed, expected, "pieces of {piece}");
                }
                other => panic!("pieces of {piece}: {:?}", other.0),
            }
        }
    }
}

/// Gives this many bytes, then says once that there are no more, and then goes on: a file that somebody writes to, or a source that
/// fails for a while.
struct Pauses<'a> {
    before: &'a [u8],
    after: &'a [u8],
    has_paused: bool,
    fails: bool,
}

impl Read for Pauses<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.before.is_empty() {
            return self.before.read(into);
        }
        if self.has_paused {
            return self.after.read(into);
        }
        self.has_paused = true;
        if self.fails {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(0)
    }
}

/// A thread that has read more by then waits for nobody.
#[test]
fn nothing_is_read_after_a_read_error() {
    const CHUNK_LEN: usize = 64;
    let bytes = pcap();
    let (done, is_done) = mpsc::channel();
    let all = thread::spawn(move || {
        for at in (CHUNK_LEN..bytes.len()).step_by(CHUNK_LEN) {
            let (before, after) = bytes.split_at(at);
            let (_, expected, _) = read(before, 1);
            for nth in 0..100 {
                let fails = nth % 2 == 0;
                let mut source = Pauses {
                    before,
                    after,
                    has_paused: false,
                    fails,
                };
                let source = Source::Stream(Mutex::new(&mut source));
                let (read, totals, _) = read_from(&source, 4, CHUNK_LEN);
                assert_eq!(totals, expected);
                assert_eq!(matches!(read, Err(Stopped::Io(..))), fails, "{read:?}");
            }
        }
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(Duration::from_secs(120));
    assert_ne!(ended, Err(RecvTimeoutError::Timeout), "it waits for ever");
    all.join().unwrap();
}

/// Between two blocks, so that nothing else tells.
#[test]
fn a_file_truncated_while_it_is_read_is_reported_as_incomplete() {
    let bytes = pcap();
    let ends = ends(&bytes);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let all = bytes.len() as u64;
    for (end, frames) in ends {
        let left = end as u64;
        file.set_len(left).unwrap();
        for piece in [64, 512] {
            let (read, totals, _) = read_from(&Source::File(&file, all), 2, piece);
            assert_eq!(totals.packets, frames);
            match read {
                Ok(position) => assert_eq!((position, left), (all, all)),
                Err(Stopped::Io(error, position)) => {
                    assert_eq!(position, left);
                    assert!(error.to_string().contains("shorter"), "{error}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        file.set_len(0).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }
}
