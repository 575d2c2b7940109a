//! Saves trials as they end: for each the capture and the document, complete before the next trial is begun.

use std::fs;
use std::path::{Path, PathBuf};

use super::{TRANSCRIPT, comments, sha256, transcript_sha256};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::file::pcap::Pcap;
use crate::file::pcapng::{PcapNg, Section, Statistics};
use crate::file::{Format, Manner, write_whole};
use crate::packet::Link;
use crate::report::json::JsonWriter;
use crate::report::{CaptureReport, Header, Host, Tool, TrialReport};
use crate::time::Timestamp;
use crate::verdict::Judgement;

/// Where trials are saved, and how.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The directory, which exists.
    pub directory: PathBuf,
    /// The form of the captures.
    pub format: Format,
    /// How the files are made.
    pub manner: Manner,
    /// What the documents begin with.
    pub header: Header,
}

/// A trial that was run, as far as it is saved; its report goes beside it.
pub struct Recording<'a, F> {
    /// What it left behind.
    pub evidence: &'a Evidence,
    /// What the judge says of it.
    pub judgement: &'a Judgement,
    /// Interface, filter and losses.
    pub capture: CaptureReport,
    /// How its frames begin.
    pub link: Link,
    /// Longest prefix of a frame that was kept, in bytes.
    pub snaplen: u16,
    /// Its frames: time, length on the wire in bytes, captured bytes.
    pub frames: F,
}

impl Archive {
    /// Saves one trial under this stem and names its capture in the report. Gives the report's text, which the document
    /// about the run holds as well.
    pub fn save<'a>(
        &self,
        stem: &str,
        recording: Recording<'a, impl Iterator<Item = (Timestamp, u32, &'a [u8])>>,
        report: &mut TrialReport,
    ) -> Result<Vec<u8>, Error> {
        let capture_name = format!("{stem}.{}", self.format.extension());
        let capture_path = self.directory.join(&capture_name);
        let losses = recording.capture.clone();
        let bytes = match self.format {
            Format::PcapNg => self.pcapng(recording, report),
            Format::Pcap => pcap(recording),
        };
        report.capture_file = Some(capture_name);
        report.capture_sha256 = Some(sha256(&bytes));
        let text = serde_json::to_vec(report)
            .map_err(|error| Error::file("write", &capture_path, &error.into()))?;
        if self.manner.replace {
            self.remove_capture_of_other_format(stem);
        }
        write_whole(&capture_path, &bytes, self.manner)?;
        // The document comes last: where there is one, there is a trial to be judged.
        self.write_document(&self.directory.join(format!("{stem}.json")), &text, &losses)
            .inspect_err(|_| drop(fs::remove_file(&capture_path)))?;
        Ok(text)
    }

    /// What was there under this stem is not to be taken for this trial's.
    fn remove_capture_of_other_format(&self, stem: &str) {
        let other = match self.format {
            Format::PcapNg => Format::Pcap,
            Format::Pcap => Format::PcapNg,
        };
        let name = format!("{stem}.{}", other.extension());
        let _ = fs::remove_file(self.directory.join(name));
    }

    fn write_document(
        &self,
        path: &Path,
        trial: &[u8],
        capture: &CaptureReport,
    ) -> Result<(), Error> {
        let document = || {
            let mut json = JsonWriter::begin(Vec::with_capacity(trial.len() + 1024), &self.header)?;
            json.text(trial)?;
            json.end(capture)
        };
        let document = document().map_err(|error| Error::file("write", path, &error))?;
        write_whole(path, &document, self.manner)
    }

    fn pcapng<'a>(
        &self,
        recording: Recording<'a, impl Iterator<Item = (Timestamp, u32, &'a [u8])>>,
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
        let hash = transcript_sha256(scenario, family, run, evidence);
        about.push(format!("{TRANSCRIPT}{hash}"));
        let mut file = PcapNg::begin(&Section {
            os: &system(&self.header.host),
            application: &application(&self.header.tool, &self.header.host),
            interface: &capture.interface,
            filter: &capture.filter,
            link: recording.link,
            snaplen: recording.snaplen,
            comments: &about,
        });
        let mut received = 0;
        let mut ended = evidence.began;
        let facts = comments::of_frames(evidence, judgement);
        for ((at, wire_len, bytes), facts) in recording.frames.zip(facts) {
            file.frame(at, wire_len, bytes, &facts);
            received += 1;
            ended = Timestamp(ended.0.max(at.0));
        }
        file.statistics(Statistics {
            began: evidence.began,
            ended,
            received,
            dropped: capture.dropped,
        });
        file.into_bytes()
    }
}

fn pcap<'a>(recording: Recording<'a, impl Iterator<Item = (Timestamp, u32, &'a [u8])>>) -> Vec<u8> {
    let mut file = Pcap::begin(recording.link, recording.snaplen.into());
    for (at, wire_len, bytes) in recording.frames {
        file.frame(at, wire_len, bytes);
    }
    file.into_bytes()
}

/// Operating system and kernel, as `uname -srvm` has them.
pub(super) fn system(host: &Host) -> String {
    format!(
        "{} {} {} {}",
        host.sysname, host.release, host.version, host.machine
    )
}

/// Program and library that captured.
pub(super) fn application(tool: &Tool, host: &Host) -> String {
    format!("{} {} with {}", tool.name, tool.version, host.libpcap)
}
