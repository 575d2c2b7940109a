//! Fuzz target for the reader of text output: the input is a text.
//!
//! Checks: no panic or overflow; what comes out is a whole pcapng, however the text is read; the same analysis for pieces of any
//! length. With [cargo-fuzz](https://github.com/rust-fuzz/cargo-fuzz):
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run text fuzz/seeds/text -- -max_total_time=60

#![no_main]

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Mutex;

use libfuzzer_sys::fuzz_target;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Analysis, Event, Source, json};
use rstproof_core::file::{Text, TextFacts};

/// Reader that returns a few bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(self.1);
        self.0.read(&mut into[..most])
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, text)) = bytes.split_first() else {
        return;
    };
    let whole = rows(text, usize::MAX);
    assert_eq!(rows(text, 1 + usize::from(piece)), whole);
});

/// Returns the rows of the analysis of a text that is read in pieces, and the facts about it; `None` if it has no packet.
fn rows(text: &[u8], piece: usize) -> Option<(Vec<u8>, TextFacts)> {
    let mut text = Text::new(Pieces(text, piece))?;
    let notes = text.notes();
    let files = FileNames::one("text").of_text(Some(notes.clone()));
    let mut rows = Vec::new();
    let row = |event: Event<'_>| {
        let mut row = Vec::new();
        let written = match event {
            Event::Connection(connection) => json::connection(&mut row, &files, connection),
            Event::Reset(connection, reset) => json::reset(&mut row, &files, connection, reset),
            Event::Icmp(connection, record) => json::icmp(&mut row, &files, connection, record),
            Event::Failed(_) => return None,
        };
        written.ok().map(|()| row)
    };
    let summary = Analysis::new().text(true).read(
        &Source::Stream(Mutex::new(&mut text)),
        row,
        |part| {
            rows.extend(part.items.into_iter().flatten());
            ControlFlow::Continue(())
        },
    );
    summary.read.expect("what is written can be read");
    Some((rows, notes.facts()))
}
