//! Fuzz target for the reader of stored captures.
//!
//! Checks: no panic or overflow; every block consumes bytes of the file, so that iteration ends; frames are slices of
//! the file; an error is the last item. With [cargo-fuzz](https://github.com/rust-fuzz/cargo-fuzz):
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run stored_capture -- -max_total_time=60

#![no_main]

use libfuzzer_sys::fuzz_target;
use rstproof_core::file::{Block, Reader};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(bytes) else {
        return;
    };
    let mut blocks = 0;
    let mut captured = 0;
    while let Some(block) = reader.next() {
        match block {
            Ok(Block::Frame(frame)) => {
                blocks += 1;
                captured += frame.captured.len();
            }
            Ok(_) => blocks += 1,
            Err(malformed) => {
                assert!(malformed.offset <= bytes.len() as u64);
                assert!(!malformed.to_string().is_empty());
                break;
            }
        }
    }
    assert!(reader.next().is_none());
    // Every block takes 12 bytes or more, the shortest pcapng block.
    assert!(blocks <= 2 + bytes.len() / 12);
    assert!(captured <= bytes.len());
});
