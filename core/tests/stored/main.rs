//! Stored captures: what the reader makes of files that are laid out by hand, by the book, by our writers, and by
//! somebody who means harm.

#![allow(clippy::unwrap_used)] // the lint's exception for tests does not reach functions that tests share

mod compress;
mod compressed;
mod hostile;
mod layout;
mod pcap;
mod pcapng;
mod snoop;
mod written;

use proptest::test_runner::{Config, RngSeed};
use rstproof_core::file::{Block, Frame, Malformed, Reader};

/// The seed is fixed: the same cases every time.
fn config() -> Config {
    Config {
        cases: 1024,
        rng_seed: RngSeed::Fixed(1761),
        failure_persistence: None,
        ..Config::default()
    }
}

/// All blocks of a file that has nothing wrong with it.
fn blocks(file: &[u8]) -> Vec<Block<'_>> {
    let blocks: Result<_, _> = Reader::new(file).unwrap().collect();
    blocks.unwrap()
}

/// Its frames.
fn frames(file: &[u8]) -> Vec<Frame<'_>> {
    let frame = |block| match block {
        Block::Frame(frame) => Some(frame),
        _ => None,
    };
    blocks(file).into_iter().filter_map(frame).collect()
}

/// The blocks before something that is wrong, and what that is.
fn blocks_until_wrong(file: &[u8]) -> (Vec<Block<'_>>, Option<Malformed>) {
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(malformed) => return (Vec::new(), Some(malformed)),
    };
    let mut blocks = Vec::new();
    for block in &mut reader {
        match block {
            Ok(block) => blocks.push(block),
            Err(malformed) => {
                assert_eq!(reader.next(), None, "nothing comes after an error");
                return (blocks, Some(malformed));
            }
        }
    }
    assert_eq!(reader.next(), None, "nothing comes after the end");
    (blocks, None)
}

/// What is wrong with a file, in words.
fn wrong(file: &[u8]) -> String {
    blocks_until_wrong(file).1.unwrap().to_string()
}
