//! The machine form: one JSON document, its trials written as they end, one a line.
//!
//! What is known only at the end (`capture`, with its drops) comes after the trials; order means nothing in JSON, and a
//! run of ten thousand trials need not be kept in memory.

use std::io::{self, Write};

use serde::Serialize;

use rstproof_core::report::{CaptureReport, Header, TrialReport};

/// Writes one document.
pub struct JsonWriter<W: Write> {
    out: W,
    trials: u64,
}

impl<W: Write> JsonWriter<W> {
    /// Begins the document.
    pub fn begin(mut out: W, header: &Header) -> io::Result<Self> {
        let mut text = serde_json::to_vec(header)?;
        text.pop(); // the brace that closes it: the document goes on
        out.write_all(&text)?;
        out.write_all(b",\n\"trials\":[")?;
        Ok(Self { out, trials: 0 })
    }

    /// Adds a trial.
    pub fn trial(&mut self, trial: &TrialReport) -> io::Result<()> {
        self.separate()?;
        serde_json::to_writer(&mut self.out, trial)?;
        Ok(())
    }

    /// Adds a trial that has been serialised already.
    pub fn text(&mut self, trial: &[u8]) -> io::Result<()> {
        self.separate()?;
        self.out.write_all(trial)
    }

    fn separate(&mut self) -> io::Result<()> {
        let separator: &[u8] = if self.trials == 0 { b"\n" } else { b",\n" };
        self.trials += 1;
        self.out.write_all(separator)
    }

    /// Hands on what has been written so far.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the document and gives the writer back.
    pub fn end(mut self, capture: &CaptureReport) -> io::Result<W> {
        #[derive(Serialize)]
        struct Tail<'a> {
            capture: &'a CaptureReport,
        }
        let tail = serde_json::to_vec(&Tail { capture })?;
        self.out.write_all(b"\n],\n")?;
        self.out.write_all(&tail[1..])?;
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}
