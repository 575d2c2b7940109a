//! JSON format of trials: one document, with one trial per line, written as the trials end.
//!
//! Fields that are known only at the end (`capture`, with its number of dropped frames) come after the trials. The
//! order of fields has no meaning in JSON, and a run of ten thousand trials need not be kept in memory.

use std::io::{self, Write};

use serde::Serialize;

use rstproof_core::report::{CaptureReport, Header, TrialReport};

/// Writer of a JSON document.
pub struct JsonWriter<W: Write> {
    out: W,
    trials: u64,
}

impl<W: Write> JsonWriter<W> {
    /// Starts the document with its header. Fails if `out` cannot be written to.
    pub fn begin(mut out: W, header: &Header) -> io::Result<Self> {
        let mut text = serde_json::to_vec(header)?;
        text.pop(); // the closing brace: trials and capture follow in the same object
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

    /// Flushes the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Completes the document and returns the writer.
    pub fn end(mut self, capture: &CaptureReport) -> io::Result<W> {
        #[derive(Serialize)]
        struct Tail<'a> {
            capture: &'a CaptureReport,
        }
        let tail = serde_json::to_vec(&Tail { capture })?;
        self.out.write_all(b"\n],\n")?;
        // Without the opening brace: the object is open already.
        self.out.write_all(&tail[1..])?;
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}
