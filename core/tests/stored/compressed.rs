//! Compressed files: whole, cut, damaged, hostile, and made by the programs that people compress captures with.

use std::fs;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;
use rstproof_core::file::{Content, DecodeFailure, Undecodable};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::compress::{capture, gzip, lz4, lz4_of, zstd};
use crate::config;

fn gzip_with_names(content: &[u8]) -> Vec<u8> {
    let header = GzBuilder::new().filename("a.pcap").comment("of mine");
    let header = header.extra(*b"AB\x02\0cd").mtime(1);
    let mut encoder = header.write(Vec::new(), Compression::none());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd_stored(content: &[u8]) -> Vec<u8> {
    compress_to_vec(content, CompressionLevel::Uncompressed)
}

fn lz4_linked(content: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_size(BlockSize::Max64KB)
        .content_size(Some(content.len() as u64));
    lz4_of(info, content)
}

fn lz4_large(content: &[u8]) -> Vec<u8> {
    lz4_of(FrameInfo::new().block_size(BlockSize::Max4MB), content)
}

/// A frame of zstd, or lz4, that is to be skipped.
fn skippable(number: u8, length: u32) -> Vec<u8> {
    let mut frame = vec![0x50 + number, 0x2a, 0x4d, 0x18];
    frame.extend(length.to_le_bytes());
    frame.resize(8 + length as usize, 0x28);
    frame
}

type Encoder = fn(&[u8]) -> Vec<u8>;

const ENCODERS: [Encoder; 6] = [gzip, gzip_with_names, zstd, zstd_stored, lz4, lz4_linked];

/// Those whose formats tell every damage.
const WITH_CHECKSUMS: [Encoder; 4] = [gzip, gzip_with_names, zstd, lz4];

/// All that comes out, and what it ends with, read so many bytes at once.
fn read_by(file: impl Read, at_once: usize) -> (Vec<u8>, Option<io::Error>) {
    let mut content = Content::new(file);
    let (mut all, mut bytes) = (Vec::new(), vec![0; at_once]);
    loop {
        assert_eq!(
            content.read(&mut []).unwrap_or(0),
            0,
            "nothing was asked for"
        );
        match content.read(&mut bytes) {
            Ok(0) => {
                assert_eq!(content.read(&mut bytes).unwrap(), 0, "the end stays one");
                return (all, None);
            }
            Ok(read) => all.extend_from_slice(&bytes[..read]),
            Err(error) => {
                let again = content.read(&mut bytes).unwrap_err();
                assert_eq!(again.to_string(), error.to_string());
                assert_eq!(again.kind(), error.kind());
                return (all, Some(error));
            }
        }
    }
}

fn read(file: &[u8]) -> (Vec<u8>, Option<io::Error>) {
    read_by(file, 1000)
}

fn undecodable(error: &io::Error) -> Undecodable {
    *error.get_ref().unwrap().downcast_ref().unwrap()
}

/// What a file gives that is wrong, and what is wrong with it.
fn wrong(file: &[u8]) -> (Vec<u8>, Undecodable) {
    let (content, error) = read(file);
    let why = undecodable(&error.unwrap());
    assert_eq!(why.produced, content.len() as u64);
    assert!(why.offset <= file.len() as u64);
    let text = why.to_string();
    assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
    (content, why)
}

fn whole(file: &[u8]) -> Vec<u8> {
    let (content, error) = read(file);
    assert!(error.is_none(), "{error:?}");
    content
}

#[test]
fn what_was_compressed_comes_out_again() {
    let large = capture(20_000);
    for length in [0, 1, 3, 4, 5, 6, 7, 100, 70_000, large.len()] {
        let content = &large[..length];
        for encoder in ENCODERS.into_iter().chain([lz4_large as Encoder]) {
            let file = encoder(content);
            for at_once in [1, 7, 4096, 1 << 20] {
                if at_once > 1 || length < 1000 {
                    let (read, error) = read_by(&file[..], at_once);
                    assert!(error.is_none(), "{error:?}");
                    assert!(read == content, "{length} bytes, {at_once} at once");
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_not_compressed_is_its_own_content() {
    for length in [0, 1, 5, 6, 7, 100_000, 200_000] {
        let file = &capture(4000)[..length];
        let mut content = Content::new(file);
        let (mut all, mut bytes) = (Vec::new(), [0; 4]);
        while let read @ 1.. = content.read(&mut bytes).unwrap() {
            all.extend_from_slice(&bytes[..read]);
            assert_eq!(content.position(), all.len() as u64);
        }
        assert!(all == file);
        assert!(read_by(file, 1 << 20).0 == file);
    }
}

/// Gives a byte at a time, and not at every time.
struct Dribble<'a>(&'a [u8], bool);

impl Read for Dribble<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = into.len().min(1);
        self.0.read(&mut into[..length])
    }
}

#[test]
fn a_pipe_may_give_as_little_at_once_as_it_likes() {
    let content = capture(100);
    for encoder in ENCODERS {
        let file = encoder(&content);
        let (read, error) = read_by(Dribble(&file, false), 1000);
        assert!(error.is_none(), "{error:?}");
        assert!(read == content);
    }
    assert!(read_by(Dribble(&content, false), 1 << 20).0 == content);
}

#[test]
fn parts_follow_each_other() {
    let content = capture(50);
    let (a, b) = content.split_at(1001);
    for first in ENCODERS {
        for second in ENCODERS {
            let file = [first(a), second(b"")].concat();
            assert!(whole(&[&file[..], &second(b)].concat()) == content);
        }
    }
}

#[test]
fn frames_that_are_to_be_skipped_are() {
    let content = capture(50);
    let (a, b) = content.split_at(1001);
    for encoder in [zstd, lz4] {
        let file = [
            skippable(0, 0),
            skippable(15, 100_000),
            encoder(a),
            skippable(7, 3),
            encoder(b),
            skippable(0, 5),
        ];
        let file = file.concat();
        assert!(whole(&file) == content);
        let (left, why) = wrong(&file[..file.len() - 1]);
        assert!(left == content && why.cause == DecodeFailure::Cut);
    }
    assert!(whole(&skippable(0, 9)).is_empty());
}

#[test]
fn what_follows_the_compressed_data_must_be_compressed_data() {
    let content = capture(50);
    for encoder in ENCODERS {
        for rest in [&b"\n"[..], b"rest of a disk", b"BZh91AY", b"\xfd7zXZ\0"] {
            let file = encoder(&content);
            let (left, why) = wrong(&[&file, rest].concat());
            assert!(left == content);
            assert_eq!(why.cause, DecodeFailure::Trailing);
            assert_eq!(why.offset, file.len() as u64);
        }
        for begun in [&[0x1f][..], &[0x28, 0xb5], &[4, 0x22, 0x4d], &[0x5f, 0x2a]] {
            let (left, why) = wrong(&[&encoder(&content), begun].concat());
            assert!(left == content);
            assert_eq!(why.cause, DecodeFailure::Cut);
        }
    }
    // As on tapes; other formats have never had that.
    assert!(whole(&[gzip(&content), vec![0; 100_000]].concat()) == content);
    let (_, why) = wrong(&[gzip(&content), vec![0, 0, 1]].concat());
    assert_eq!(why.cause, DecodeFailure::Trailing);
    let (_, why) = wrong(&[zstd(&content), vec![0; 100_000]].concat());
    assert_eq!(why.cause, DecodeFailure::Trailing);
}

#[test]
fn a_cut_file_gives_what_is_before_the_cut_and_then_an_error() {
    let content = capture(12);
    let (a, b) = content.split_at(501);
    for encoder in ENCODERS {
        let (first, second) = (encoder(a), encoder(b));
        let file = [&first[..], &second].concat();
        let mut most = 0;
        for cut in 6..file.len() {
            let (left, error) = read(&file[..cut]);
            assert!(content.starts_with(&left));
            assert!(left.len() >= most, "more of the file gives no less");
            assert!(cut < first.len() || left.starts_with(a));
            most = left.len();
            if cut == first.len() {
                assert!(error.is_none(), "{error:?}");
                continue;
            }
            let error = error.unwrap();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "at {cut}");
            let why = undecodable(&error);
            assert_eq!(why.cause, DecodeFailure::Cut);
            assert_eq!((why.offset, why.produced), (cut as u64, left.len() as u64));
        }
        assert!(most == content.len(), "only the end was missing");
    }
}

/// The decoder of zstd keeps a window back, and that of lz4 takes the end of the file for that of a frame.
#[test]
fn all_blocks_before_a_cut_come_out() {
    let content = capture(6000);
    for (encoder, block) in [(zstd as Encoder, 128 << 10), (lz4, 64 << 10)] {
        let blocks = content.len() / block * block;
        let file = encoder(&content);
        let (left, why) = wrong(&file[..file.len() - 100]);
        assert!(left == content[..blocks]);
        assert_eq!(why.cause, DecodeFailure::Cut);
    }
    // Three bytes later deflate has these three, or what they stand for.
    let file = gzip_with_names(&content);
    let less = |cut| wrong(&file[..file.len() - cut]).0.len();
    assert_eq!(less(1000) - less(1003), 3);
}

#[test]
fn damaged_data_never_passes_as_content() {
    let content = capture(4);
    for encoder in WITH_CHECKSUMS {
        let mut file = encoder(&content);
        for index in 4..file.len() {
            for bit in 0..8 {
                file[index] ^= 1 << bit;
                let (read, error) = read(&file);
                assert!(error.is_some() || read == content, "byte {index} bit {bit}");
                if let Some(error) = error {
                    let why = undecodable(&error);
                    assert_eq!(why.produced, read.len() as u64);
                    assert!(!matches!(why.cause, DecodeFailure::Nested(_)));
                }
                file[index] ^= 1 << bit;
            }
        }
    }
    for encoder in ENCODERS {
        let mut file = encoder(&content);
        for index in 0..file.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let right = std::mem::replace(&mut file[index], byte);
                let _ = read(&file);
                file[index] = right;
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_may_follow_a_magic_number(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        at_once in 1_usize..300,
    ) {
        for magic in [
            &b"\x1f\x8b"[..],
            b"\x1f\x8b\x08\0\0\0\0\0\0\0",
            b"\x28\xb5\x2f\xfd",
            b"\x28\xb5\x2f\xfd\0\0",
            b"\x28\xb5\x2f\xfd\0\0\x84\0\0", // the last block is compressed
            b"\x04\x22\x4d\x18",
            b"\x04\x22\x4d\x18\x60\x40\x82", // independent blocks
            b"\x04\x22\x4d\x18\x40\x40\xc0", // blocks that go on
            b"\x5a\x2a\x4d\x18",
            b"",
        ] {
            let _ = read_by(&[magic, &bytes].concat()[..], at_once);
        }
    }

    /// Where there is no checksum, damage gets as far into a decoder as it can.
    #[test]
    fn any_bytes_may_be_any_others(
        which in 0..ENCODERS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut file = ENCODERS[which](&capture(60));
        for (index, byte) in changes {
            let index = index.index(file.len());
            file[index] = byte;
        }
        let _ = read(&file);
    }
}

#[test]
fn a_window_has_a_limit() {
    // Exponent and mantissa (RFC 8878, 3.1.1.1.2), and an empty last block.
    let frame = |window| [&[0x28, 0xb5, 0x2f, 0xfd, 0, window], &[1, 0, 0][..]].concat();
    assert!(whole(&frame(17 << 3)).is_empty());
    let (_, why) = wrong(&frame((17 << 3) + 1));
    assert_eq!(why.cause, DecodeFailure::Window(144 << 20));
    assert_eq!(
        why.to_string(),
        "byte 6 of the compressed file: its zstd data needs a window of 144 MiB, more than the maximum of 128; decompress it first, with zstd -d --long=31; 0 bytes decompressed before"
    );
    for window in (17 << 3) + 1..=u8::MAX {
        let (_, why) = wrong(&frame(window));
        assert!(matches!(why.cause, DecodeFailure::Window(_)), "{why}");
    }
    // A single segment, whose window is its content.
    let file = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0], &[0xff; 8][..]].concat();
    assert_eq!(wrong(&file).1.cause, DecodeFailure::Window(u64::MAX));
}

#[test]
fn what_needs_a_dictionary_says_so() {
    let file = [0x28, 0xb5, 0x2f, 0xfd, 1, 0, 7, 1, 0, 0];
    assert_eq!(
        wrong(&file).1.to_string(),
        "byte 7 of the compressed file: its zstd data needs a dictionary; decompress it first, with zstd -d -D; 0 bytes decompressed before"
    );
    // One of the checksums is that of the header.
    let causes = (0..=u8::MAX).map(|sum| {
        let file = [4, 0x22, 0x4d, 0x18, 0x61, 0x40, 7, 0, 0, 0, sum, 0, 0, 0, 0];
        wrong(&file).1.cause
    });
    let is_dictionary = |cause: &DecodeFailure| matches!(cause, DecodeFailure::Dictionary(_));
    assert_eq!(causes.filter(is_dictionary).count(), 1);
}

#[test]
fn what_is_compressed_twice_is_refused() {
    let content = capture(50);
    for outer in ENCODERS {
        for inner in ENCODERS {
            let (left, why) = wrong(&outer(&inner(&content)));
            assert!(left.is_empty());
            assert!(matches!(why.cause, DecodeFailure::Nested(_)), "{why}");
        }
        let (_, why) = wrong(&outer(b"\xfd7zXZ\0"));
        let text = why.to_string();
        assert!(text.contains("compressed twice"), "{text}");
        assert!(
            text.contains("decompress the result with xz -d; 0 bytes"),
            "{text}"
        );
    }
}

/// Gives these bytes, and then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::Error::from_raw_os_error(5)); // EIO
        }
        self.0.read(into)
    }
}

#[test]
fn a_disk_that_fails_is_no_damage() {
    let content = capture(50);
    let encoders = ENCODERS.into_iter().map(|encoder| encoder(&content));
    for file in encoders.chain([content.clone()]) {
        for cut in 0..file.len() {
            let (left, error) = read_by(Failing(&file[..cut]), 1000);
            assert!(content.starts_with(&left));
            assert_eq!(error.unwrap().raw_os_error(), Some(5));
        }
    }
}

/// What a program makes of a file. `None`, and a word on it, if there is no such program here.
fn made_by(program: &str, arguments: &[&str], content: &[u8]) -> Option<Vec<u8>> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("capture");
    fs::write(&path, content).unwrap();
    let made = Command::new(program)
        .args(arguments)
        .arg("-c")
        .arg(&path)
        .stderr(Stdio::null())
        .output();
    match made {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("not tested: there is no {program} here");
            None
        }
        made => {
            let made = made.unwrap();
            assert!(made.status.success(), "{program} {arguments:?}");
            Some(made.stdout)
        }
    }
}

#[test]
fn what_the_programs_make_is_read() {
    let content = capture(12_000);
    for (program, arguments) in [
        ("gzip", &["-1"][..]),
        ("gzip", &["-9", "-n"]),
        ("zstd", &["-1"]),
        ("zstd", &["-19", "--no-check"]),
        ("zstd", &["--ultra", "-22", "--long=27"]),
        ("zstd", &["-3", "-T2", "-B100000"]),
        ("zstd", &["--fast=5", "--no-content-size"]),
        ("lz4", &["-1"]),
        ("lz4", &["-9", "-B4", "-BD"]),
        ("lz4", &["-B7", "-BX", "--content-size"]),
        ("lz4", &["-B5", "--no-frame-crc"]),
    ] {
        let Some(file) = made_by(program, arguments, &content) else {
            continue;
        };
        assert!(file.len() < content.len());
        assert!(whole(&file) == content, "{program} {arguments:?}");
        assert!(whole(&[&file[..], &file].concat()) == content.repeat(2));
        let (left, why) = wrong(&file[..file.len() - 1]);
        assert!(content.starts_with(&left) && why.cause == DecodeFailure::Cut);
        let (left, why) = wrong(&file[..file.len() / 2]);
        assert!(content.starts_with(&left) && why.cause == DecodeFailure::Cut);
    }
    if let Some(file) = made_by("zstd", &["--ultra", "-22", "--long=28"], &content) {
        // It says how long the content is, and so takes no larger window than that.
        assert!(whole(&file) == content);
    }
}

const GIBIBYTE: u64 = 1 << 30;

/// Blocks of 128 KiB that are one byte repeated, four bytes each.
fn zstd_bomb(window: u8) -> Vec<u8> {
    let mut file = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    for block in 1..=GIBIBYTE >> 17 {
        let last = u32::from(block == GIBIBYTE >> 17);
        let header: u32 = (128 << 10 << 3) | (1 << 1) | last;
        file.extend_from_slice(&header.to_le_bytes()[..3]);
        file.push(0);
    }
    file
}

fn bomb(kind: &str) -> Vec<u8> {
    let zeros = &mut io::repeat(0).take(GIBIBYTE);
    match kind {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            io::copy(zeros, &mut encoder).unwrap();
            encoder.finish().unwrap()
        }
        "lz4" => {
            let info = FrameInfo::new()
                .block_size(BlockSize::Max4MB)
                .block_mode(BlockMode::Linked);
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            io::copy(zeros, &mut encoder).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd_bomb(13 << 3),
        "zstd with the largest window" => zstd_bomb(17 << 3),
        other => panic!("{other}"),
    }
}

/// The most memory that this process has ever had, in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() / 1024
}

const BOMB: &str = "RSTPROOF_TEST_BOMB";

/// Each in a process of its own, whose memory is that of nothing else.
#[test]
fn memory_is_bounded_however_much_comes_out() {
    if let Ok(kind) = std::env::var(BOMB) {
        let file = bomb(&kind);
        let (zeros, mut bytes, mut all) = (vec![0; 1 << 20], vec![0; 1 << 20], 0);
        let _ = fs::write("/proc/self/clear_refs", "5"); // the peak begins anew, where the kernel can do that
        let before = peak();
        let mut content = Content::new(&file[..]);
        while let read @ 1.. = content.read(&mut bytes).unwrap() {
            assert!(bytes[..read] == zeros[..read]);
            all += read as u64;
        }
        assert_eq!(all, GIBIBYTE);
        println!("took {} MiB", peak() - before);
        return;
    }
    let children = [
        ("gzip", 8),
        ("lz4", 24),
        ("zstd", 24),
        ("zstd with the largest window", 270),
    ];
    let children = children.map(|(kind, most)| {
        let test = "compressed::memory_is_bounded_however_much_comes_out";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(BOMB, kind)
            .stdout(Stdio::piped())
            .spawn();
        (kind, most, child.unwrap())
    });
    for (kind, most, child) in children {
        let child = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{kind}: {text}");
        let took = text.split("took ").nth(1).unwrap();
        let took: u64 = took.split(' ').next().unwrap().parse().unwrap();
        assert!(took <= most, "{kind} took {took} MiB");
    }
}
