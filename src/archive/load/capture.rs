//! Capture files of trials, as far as they can be read, including captures without a document.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;

use super::read::{Links, MAX_CAPTURE, read_file, unreadable};
use super::trial::Trial;
use crate::archive::{TRANSCRIPT, parts_of_stem, sha256};
use crate::error::Error;
use rstproof_core::evidence::{Evidence, Flaw};
use rstproof_core::file::{Block, Format, Reader};
use rstproof_core::history::Kernel;
use rstproof_core::packet::{CLIENT, Flags, Link, Packet, SERVER, Tap, decode};
use rstproof_core::printable::printable;
use rstproof_core::report::{CaptureReport, SavedEvidence};
use rstproof_core::scenario::{self, Family};
use rstproof_core::time::Timestamp;

/// Content of a capture file, as far as it can be read.
#[derive(Default)]
pub(super) struct Capture {
    pub(super) packets: Vec<Packet>,
    /// Link type and tap of each interface, by interface number. The reader counts interfaces through the whole file,
    /// not within each section as pcapng does.
    links: Vec<(u16, Tap)>,
    /// Number of frames that the interface statistics claim, if there are any.
    received: Option<u64>,
    /// Capture time of the first frame.
    began: Option<Timestamp>,
    pub(super) interface: Option<String>,
    pub(super) filter: Option<String>,
    /// Hash of the transcript that the capture was saved with, from a comment; `None` if the file has no such comment.
    transcript: Option<String>,
    format: Option<Format>,
    pub(super) dropped: u64,
    pub(super) flaw: Option<Flaw>,
}

impl Capture {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut this = Self::default();
        this.flaw = this.take_all(bytes).err();
        this
    }

    /// Returns true if the hashes in the capture, as far as there are any, are those of the transcript.
    pub(super) fn belongs_to(&self, calls: &[u8; 32], transcript: &str) -> bool {
        let last = self.packets.last();
        let is_calls = commitment(last).is_none_or(|committed| committed == *calls);
        let named = self.transcript.as_ref();
        is_calls && named.is_none_or(|named| named == transcript)
    }

    /// Returns true if the capture has all hashes that its format can hold: in the fence, and in pcapng in a comment.
    pub(super) fn is_bound(&self) -> bool {
        let names = self.format == Some(Format::Pcap) || self.transcript.is_some();
        names && commitment(self.packets.last()).is_some()
    }

    fn take_all(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let reader = Reader::new(bytes).map_err(Flaw::CaptureMalformed)?;
        let format = reader.format();
        self.format = Some(format);
        for block in reader {
            self.take(block.map_err(Flaw::CaptureMalformed)?)?;
        }
        let (held, received) = (self.packets.len() as u64, self.received);
        // Classic pcap has no statistics to compare with.
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
            }
            Block::Interface(interface) => {
                let name = interface.name.map(Cow::into_owned);
                let tap = name.as_deref().map_or(Tap::Both, tap_of);
                self.links.push((interface.link, tap));
                // Joined as in `BOTH_ENDS`, to compare with the document.
                self.interface = match (self.interface.take(), name) {
                    // No trial has more than two interfaces, but a hostile file may have any number, which must not
                    // take memory.
                    (Some(one), Some(other)) if self.links.len() <= 2 => {
                        Some(format!("{one}, {other}"))
                    }
                    (one, other) => one.or(other),
                };
                self.filter = interface.filter.map(Cow::into_owned);
            }
            Block::Frame(frame) => {
                let index = usize::try_from(frame.interface).unwrap_or(usize::MAX);
                let (link, tap) = self.links.get(index).copied().unwrap_or_default();
                let link = Link::of_trial(link.into()).ok_or(Flaw::LinkType(link))?;
                // Frame numbers start at 1, as in Wireshark.
                let number = u32::try_from(self.packets.len() + 1).unwrap_or(u32::MAX);
                self.began.get_or_insert(frame.at);
                let packet = decode(link, number, frame.at, frame.captured).at_tap(tap);
                self.packets.push(packet);
            }
            Block::Statistics(statistics) => {
                let counted = statistics.received;
                self.received = match (self.received, counted) {
                    (Some(one), Some(other)) => Some(one.saturating_add(other)),
                    (one, other) => one.or(other),
                };
                let dropped = statistics.dropped.unwrap_or(0);
                self.dropped = self.dropped.saturating_add(dropped);
            }
        }
        Ok(())
    }
}

/// Returns the end of the connection at which an interface of this name captures.
fn tap_of(name: &str) -> Tap {
    match name {
        CLIENT => Tap::Client,
        SERVER => Tap::Server,
        _ => Tap::Both,
    }
}

/// Returns the hash of the system calls that the fence carries; `None` if this packet carries none.
fn commitment(fence: Option<&Packet>) -> Option<[u8; 32]> {
    match fence? {
        Packet::Udp { commitment, .. } => *commitment,
        _ => None,
    }
}

/// Loads a capture without a document: the packets are known, but none of the system calls. Fails if the file cannot be
/// read, or if it has no TCP segment, unless it is a damaged file named like the capture of a trial.
pub(super) fn orphan(path: &Path, links: Links) -> Result<Trial, Error> {
    let bytes = read_file(path, MAX_CAPTURE, links).map_err(|why| unreadable(path, why))?;
    let capture = Capture::read(&bytes);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
    let parts = parts_of_stem(stem);
    let (client, server, flaw) = match (ends(&capture.packets), capture.flaw) {
        (Some((client, server)), _) => (client, server, Flaw::TranscriptMissing),
        // Named like the capture of a trial: probably the run was killed while it wrote the file.
        (None, Some(flaw)) if parts.is_some() => (Evidence::NOWHERE, Evidence::NOWHERE, flaw),
        (None, _) => return Err(nothing_to_judge(path, &capture)),
    };
    let (scenario, family, run) = parts.unwrap_or((stem, Family::of(client.ip()), 1));
    Ok(Trial {
        scenario: scenario::find(scenario).unwrap_or(&scenario::UNKNOWN),
        kernel: Kernel::default(),
        family,
        run,
        skipped: None,
        host: None,
        evidence_sources: None,
        capture: CaptureReport {
            interface: capture.interface.unwrap_or_default(),
            filter: capture.filter.unwrap_or_default(),
            dropped: capture.dropped,
        },
        evidence: Evidence {
            packets: capture.packets,
            flaw: Some(flaw),
            ..Evidence::new(client, server, capture.began.unwrap_or_default())
        },
        name: printable(scenario),
        capture_file: Some(name.clone().into_owned()),
        capture_sha256: Some(sha256(&bytes)),
        content: Some(sha256(&bytes)),
        source: SavedEvidence {
            file: printable(&path.to_string_lossy()),
            ..SavedEvidence::default()
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
            _ => "it contains no TCP segment".to_owned(),
        },
    }
}

/// Returns client and server: source and destination of the first SYN without ACK, or else of the first segment.
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
