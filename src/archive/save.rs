//! Writer of saved trials: capture and document of each trial are complete before the next trial starts.

use std::io::{self, Write as _};

use super::{BOTH_ENDS, REPORT, TRANSCRIPT, comments, sha256, transcript_sha256};
use crate::capture::Captured;
use crate::error::Error;
use crate::file::{Directory, NewFile, WriteOptions, write_whole};
use crate::report::json::JsonWriter;
use rstproof_core::evidence::Evidence;
use rstproof_core::file::Format;
use rstproof_core::file::pcap::Pcap;
use rstproof_core::file::pcapng::{PcapNg, Section, Statistics};
use rstproof_core::packet::{Link, Tap};
use rstproof_core::report::{CaptureReport, Header, Host, Tool, TrialReport};
use rstproof_core::time::Timestamp;
use rstproof_core::verdict::Judgement;

/// Destination of saved trials, with format and options.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Directory of the files.
    pub directory: Directory,
    /// File format of the captures.
    pub format: Format,
    /// Options for creating the files.
    pub options: WriteOptions,
    /// Header of the documents.
    pub header: Header,
}

/// Parts of a trial that are saved in its capture; the report is passed separately.
pub struct Recording<'a, F> {
    /// Evidence of the trial.
    pub evidence: &'a Evidence,
    /// Judgement of the evidence.
    pub judgement: &'a Judgement,
    /// Hash of the system calls, which the fence carried.
    pub calls: [u8; 32],
    /// Interface, filter and losses.
    pub capture: CaptureReport,
    /// Link type of the frames.
    pub link: Link,
    /// Maximum number of bytes captured of a frame.
    pub snaplen: u16,
    /// Captured frames, in the order of the file.
    pub frames: F,
}

impl Archive {
    /// Saves one trial under this stem, and sets name and hash of its capture in the report. Returns the JSON text of
    /// the report, which the document of the run has as well. Fails if a file cannot be written.
    pub fn save<'a>(
        &self,
        stem: &str,
        recording: Recording<'a, impl Iterator<Item = Captured<'a>>>,
        report: &mut TrialReport,
    ) -> Result<Vec<u8>, Error> {
        // Classic pcap has one interface, so it would lose the end at which a frame was captured, which such a trial
        // needs.
        let is_at_both_ends = recording.capture.interface == BOTH_ENDS;
        let format = if is_at_both_ends {
            Format::PcapNg
        } else {
            self.format
        };
        let capture_name = format!("{stem}.{}", format.extension());
        let document_name = format!("{stem}.json");
        let losses = recording.capture.clone();
        let bytes = if format == Format::PcapNg {
            self.pcapng(recording, report)
        } else {
            pcap(recording)
        };
        report.capture_file = Some(capture_name.clone());
        report.capture_sha256 = Some(sha256(&bytes));
        let failed = |error: io::Error| {
            Error::file("write", &self.directory.path_of(&document_name), &error)
        };
        let text = serde_json::to_vec(report).map_err(|error| failed(error.into()))?;
        let document = self.document(&text, &losses).map_err(failed)?;
        let (capture, document) = ((&*capture_name, &*bytes), (&*document_name, &*document));
        let stale = self.stale(stem);
        if stale.is_empty() {
            write_whole(&self.directory, capture.0, capture.1, self.options)?;
            // The document comes last, so that every document has its capture.
            write_whole(&self.directory, document.0, document.1, self.options)
                // A capture without its document would look like evidence that was tampered with.
                .inspect_err(|_| drop(self.directory.remove(capture.0)))?;
        } else {
            self.replace(&stale, capture, document)?;
        }
        Ok(text)
    }

    /// Returns the names of existing files that must not be mistaken for this trial's, if files may be replaced: those
    /// with this stem, and the report of an earlier run, which may describe it. The trials in that report have their
    /// own documents, so none is lost.
    fn stale(&self, stem: &str) -> Vec<String> {
        if !self.options.replace {
            return Vec::new();
        }
        let of_stem = ["json", Format::PcapNg.extension(), Format::Pcap.extension()];
        let names = of_stem.map(|kind| format!("{stem}.{kind}"));
        let names = std::iter::once(REPORT.to_owned()).chain(names);
        names.filter(|name| self.directory.holds(name)).collect()
    }

    /// Replaces the files of an earlier trial. No old file is touched before both new ones are written. Then the
    /// documents that describe the old trial are removed first: at no time does a document exist beside a capture of
    /// another trial.
    fn replace(
        &self,
        stale: &[String],
        capture: (&str, &[u8]),
        document: (&str, &[u8]),
    ) -> Result<(), Error> {
        let write = |(name, bytes)| {
            let mut file = NewFile::create(&self.directory, name, self.options)?;
            match file.write_all(bytes) {
                Ok(()) => Ok(file),
                Err(error) => Err(file.failed(&error)),
            }
        };
        let (capture_file, document_file) = (write(capture)?, write(document)?);
        for name in stale.iter().filter(|name| *name != capture.0) {
            // A file that cannot be removed cannot be replaced either, and that error is reported.
            let _ = self.directory.remove(name);
        }
        capture_file.commit()?;
        document_file
            .commit()
            .inspect_err(|_| drop(self.directory.remove(capture.0)))
    }

    fn document(&self, trial: &[u8], capture: &CaptureReport) -> io::Result<Vec<u8>> {
        let mut json = JsonWriter::begin(Vec::with_capacity(trial.len() + 1024), &self.header)?;
        json.text(trial)?;
        json.end(capture)
    }

    fn pcapng<'a>(
        &self,
        recording: Recording<'a, impl Iterator<Item = Captured<'a>>>,
        report: &TrialReport,
    ) -> Vec<u8> {
        let Recording {
            evidence,
            judgement,
            capture,
            ..
        } = recording;
        let (scenario, family, run) = (&report.scenario, report.family, report.run);
        let name = format!("{scenario} over {}, run {run}", family.name());
        let mut about = comments::of_trial(&name, evidence, judgement);
        let hash = transcript_sha256(&recording.calls, run, evidence);
        about.push(format!("{TRANSCRIPT}{hash}"));
        let interfaces: Vec<&str> = capture.interface.split(", ").collect();
        let mut file = PcapNg::begin(&Section {
            os: &system(&self.header.host),
            application: &application(&self.header.tool, &self.header.host),
            interfaces: &interfaces,
            filter: &capture.filter,
            link: recording.link,
            snaplen: recording.snaplen,
            comments: &about,
        });
        let mut received = vec![0; interfaces.len()];
        let mut ended = evidence.began;
        let facts = comments::of_frames(evidence, judgement);
        for (frame, facts) in recording.frames.zip(facts) {
            let interface = usize::from(frame.tap == Tap::Server).min(interfaces.len() - 1);
            // At most two interfaces (`BOTH_ENDS`), so the number always fits.
            let number = u32::try_from(interface).unwrap_or(0);
            file.frame(number, frame.at, frame.wire_len, frame.bytes, &facts);
            received[interface] += 1;
            ended = Timestamp(ended.0.max(frame.at.0));
        }
        for (interface, received) in (0..).zip(received) {
            let statistics = Statistics {
                began: evidence.began,
                ended,
                received,
                // The sum over all interfaces: the losses of each are unknown.
                dropped: if interface == 0 { capture.dropped } else { 0 },
            };
            file.statistics(interface, statistics);
        }
        file.into_bytes()
    }
}

fn pcap<'a>(recording: Recording<'a, impl Iterator<Item = Captured<'a>>>) -> Vec<u8> {
    let mut file = Pcap::begin(recording.link, recording.snaplen.into());
    for frame in recording.frames {
        file.frame(frame.at, frame.wire_len, frame.bytes);
    }
    file.into_bytes()
}

/// Returns operating system and kernel, in the form of `uname -srvm`.
fn system(host: &Host) -> String {
    format!(
        "{} {} {} {}",
        host.sysname, host.release, host.version, host.machine
    )
}

/// Returns the names and versions of this program and of libpcap.
fn application(tool: &Tool, host: &Host) -> String {
    format!("{} {} with {}", tool.name, tool.version, host.libpcap)
}
