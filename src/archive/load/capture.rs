//! Capture files of trials, as far as they can be read, and those that nothing speaks of.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;

use super::document::Document;
use super::{LONGEST_CAPTURE, Trial, UNKNOWN_COMPLETENESS, read_file, unreadable};
use crate::archive::save::{application, system};
use crate::archive::{TRANSCRIPT, sha256};
use crate::error::Error;
use crate::evidence::{Evidence, Flaw};
use crate::file::{Block, Format, Reader};
use crate::packet::{Flags, Link, Packet, decode};
use crate::report::human::printable;
use crate::report::{CaptureReport, Source};
use crate::scenario::{self, Family};
use crate::time::Timestamp;

/// A capture file, as far as it can be read.
#[derive(Default)]
pub(super) struct Capture {
    pub(super) packets: Vec<Packet>,
    /// Link types by the number of their interface, which the reader counts through the whole file.
    links: Vec<u16>,
    /// Frames that the interface counted.
    received: Option<u64>,
    /// When its first frame was stamped.
    began: Option<Timestamp>,
    interface: Option<String>,
    filter: Option<String>,
    os: Option<String>,
    application: Option<String>,
    /// The hash of the transcript that it was saved with.
    transcript: Option<String>,
    /// Whether it says by itself which transcript it belongs to, if its format can.
    pub(super) is_bound: bool,
    pub(super) dropped: u64,
    pub(super) flaw: Option<Flaw>,
}

impl Capture {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut this = Self::default();
        this.flaw = this.take_all(bytes).err();
        this
    }

    /// Whether it was saved with the transcript of this hash, by the program and on the host that the document names; as
    /// far as it tells.
    pub(super) fn belongs_to(&self, transcript: &str, document: &Document<'_>) -> bool {
        let (tool, host) = (&document.tool, &document.host);
        let is = |saved: &Option<String>, told: &str| saved.as_ref().is_none_or(|it| it == told);
        is(&self.transcript, transcript)
            && is(&self.os, &system(host))
            && is(&self.application, &application(tool, host))
    }

    fn take_all(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let reader = Reader::new(bytes).map_err(Flaw::CaptureMalformed)?;
        let format = reader.format();
        for block in reader {
            self.take(block.map_err(Flaw::CaptureMalformed)?)?;
        }
        self.is_bound = format == Format::Pcap || self.transcript.is_some();
        let (held, received) = (self.packets.len() as u64, self.received);
        if format == Format::PcapNg && received != Some(held) {
            return Err(Flaw::FramesMissing { held, received });
        }
        Ok(())
    }

    fn take(&mut self, block: Block<'_>) -> Result<(), Flaw> {
        match block {
            Block::Section(section) => {
                let mut comments = section.comments.iter();
                let hash = comments.find_map(|text| text.strip_prefix(TRANSCRIPT));
                self.transcript = hash.map(str::to_owned);
                self.os = section.os.map(Cow::into_owned);
                self.application = section.application.map(Cow::into_owned);
            }
            Block::Interface(interface) => {
                self.links.push(interface.link);
                self.interface = interface.name.map(Cow::into_owned);
                self.filter = interface.filter.map(Cow::into_owned);
            }
            Block::Frame(frame) => {
                let index = usize::try_from(frame.interface).unwrap_or(usize::MAX);
                let link = self.links.get(index).copied().unwrap_or_default();
                let link = Link::from_number(link.into()).ok_or(Flaw::LinkType(link))?;
                let number = u32::try_from(self.packets.len() + 1).unwrap_or(u32::MAX);
                self.began.get_or_insert(frame.at);
                let packet = decode(link, number, frame.at, frame.captured);
                self.packets.push(packet);
            }
            Block::Statistics(statistics) => {
                self.received = statistics.received;
                self.dropped = statistics.dropped.unwrap_or(0);
            }
        }
        Ok(())
    }
}

/// A capture that nothing speaks of: what it shows is shown, but of what the sockets said nothing is known.
pub(super) fn orphan(path: &Path) -> Result<Trial, Error> {
    let bytes = read_file(path, LONGEST_CAPTURE).map_err(|error| unreadable(path, &error))?;
    let capture = Capture::read(&bytes);
    let Some((client, server)) = ends(&capture.packets) else {
        return Err(nothing_to_judge(path, &capture));
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
    let (scenario, family, run) = parts_of_stem(stem).unwrap_or((stem, Family::of(client.ip()), 1));
    Ok(Trial {
        scenario: scenario::find(scenario).unwrap_or(&scenario::UNKNOWN),
        family,
        run,
        skipped: None,
        host: None,
        capture: CaptureReport {
            interface: capture.interface.unwrap_or_default(),
            filter: capture.filter.unwrap_or_default(),
            dropped: capture.dropped,
        },
        evidence: Evidence {
            client,
            server,
            began: capture.began.unwrap_or_default(),
            calls: Vec::new(),
            packets: capture.packets,
            completeness: UNKNOWN_COMPLETENESS,
            flaw: Some(Flaw::TranscriptMissing),
        },
        name: printable(scenario),
        capture_file: Some(name.clone().into_owned()),
        capture_sha256: Some(sha256(&bytes)),
        source: Source {
            file: printable(&path.to_string_lossy()),
            ..Source::default()
        },
        recorded: None,
    })
}

fn nothing_to_judge(path: &Path, capture: &Capture) -> Error {
    Error::File {
        action: "read",
        path: path.to_owned(),
        reason: match capture.flaw {
            Some(Flaw::CaptureMalformed(malformed)) => malformed.to_string(),
            Some(flaw @ Flaw::LinkType(_)) => flaw.to_string(),
            _ => "it holds no TCP segment, so there is nothing to judge".to_owned(),
        },
    }
}

/// Client and server: who sends the first SYN and to whom, or who sends the first segment.
fn ends(packets: &[Packet]) -> Option<(SocketAddr, SocketAddr)> {
    let segments = packets.iter().filter_map(|packet| match packet {
        Packet::Tcp(segment) => Some(segment),
        _ => None,
    });
    let opens = |flags: Flags| flags.has(Flags::SYN) && !flags.has(Flags::ACK);
    let first = segments.clone().find(|segment| opens(segment.flags));
    let first = first.or_else(|| segments.clone().next())?;
    Some((first.source, first.destination))
}

/// Scenario, family and run that a trial's files are named after.
pub(super) fn parts_of_stem(stem: &str) -> Option<(&str, Family, u32)> {
    let family = |name| match name {
        "ipv4" => Some(Family::Ipv4),
        "ipv6" => Some(Family::Ipv6),
        _ => None,
    };
    let (rest, last) = stem.rsplit_once('.')?;
    if let Some(family) = family(last) {
        return Some((rest, family, 1));
    }
    let (scenario, name) = rest.rsplit_once('.')?;
    Some((scenario, family(name)?, last.parse().ok()?))
}
