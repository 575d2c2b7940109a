//! Fuzz target for the decompressor of captures.
//!
//! Checks: no panic; the same content for any read size, except at the end of damaged input; and the same error again
//! after an error.
//! With [cargo-fuzz](https://github.com/rust-fuzz/cargo-fuzz):
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run compressed -- -max_total_time=60

#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use rstproof_core::file::Content;

/// Maximum number of bytes decompressed per input: a few bytes can expand to gibibytes.
const MOST: usize = 1 << 22;

fuzz_target!(|bytes: &[u8]| {
    let (all, error) = read(bytes, 1 << 16);
    if all.len() < MOST {
        let (again, error_again) = read(bytes, 997);
        assert_eq!(error.is_some(), error_again.is_some());
        assert!(again.starts_with(&all) || all.starts_with(&again));
        assert!(error.is_some() || again.len() == all.len());
    }
});

/// Reads with a buffer of `at_once` bytes. Returns the content and the error that ended it, if any.
fn read(file: &[u8], at_once: usize) -> (Vec<u8>, Option<String>) {
    let mut content = Content::new(file);
    let (mut all, mut bytes) = (Vec::new(), vec![0; at_once]);
    while all.len() < MOST {
        match content.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => all.extend_from_slice(&bytes[..read]),
            Err(error) => {
                let error = error.to_string();
                let again = content.read(&mut bytes).map_err(|again| again.to_string());
                assert_eq!(again, Err(error.clone()));
                return (all, Some(error));
            }
        }
        assert!(content.position() <= file.len() as u64);
    }
    (all, None)
}
