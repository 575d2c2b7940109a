//! Evidence of one trial: system calls, packets, kernel trace and counters.
//!
//! A [`Verdict`](crate::verdict::Verdict) is a function of a scenario and its evidence, and of nothing else.

mod source;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::file::Malformed;
use crate::kernel::event::{CounterDelta, Trace};
use crate::kernel::host::HostState;
use crate::packet::{IcmpError, Packet};
use crate::time::Timestamp;
use crate::transcript::{Errno, Role, Transcript};

pub use self::source::{SourceId, SourceStatus};

/// Evidence of one trial.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Address of the client, to which its socket was bound before it connected.
    pub client: SocketAddr,
    /// Address that the client connected to.
    pub server: SocketAddr,
    /// Time at which the trial began. Earlier frames do not belong to it.
    pub began: Timestamp,
    /// System calls on the sockets.
    pub calls: Transcript,
    /// Times of the steps that are not calls, in the order of the script. Evidence saved by earlier versions has
    /// none.
    pub steps: Vec<StepTimes>,
    /// Captured packets, in the order of capture: frame `n` is at index `n - 1`.
    pub packets: Vec<Packet>,
    /// Completeness of the capture.
    pub completeness: Completeness,
    /// Trace events of the kernel; `None` if they were not available.
    pub trace: Option<Trace>,
    /// Changes of the namespace's counters; `None` if they were not available, or include other activity than this
    /// trial's.
    pub counters: Option<CounterDelta>,
    /// Longest time that this process did not run during the trial, in nanoseconds, if it was long enough to matter.
    pub process_stall_ns: u64,
    /// State of the host, if it may have changed the trial.
    pub host_state: Option<HostState>,
    /// Reason why the evidence is unusable, if it comes from files with missing or wrong content.
    pub flaw: Option<Flaw>,
}

impl Evidence {
    /// Address of an end that is unknown.
    pub const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

    /// Creates the evidence of a connection of which nothing has been recorded yet.
    #[must_use]
    pub fn new(client: SocketAddr, server: SocketAddr, began: Timestamp) -> Self {
        Self {
            client,
            server,
            began,
            calls: Transcript::new(),
            steps: Vec::new(),
            packets: Vec::new(),
            completeness: Completeness::UNKNOWN,
            trace: None,
            counters: None,
            process_stall_ns: 0,
            host_state: None,
            flaw: None,
        }
    }

    /// Returns true if this ICMP error arrived during the trial and quotes a segment of its connection.
    #[must_use]
    pub fn is_about_connection(&self, error: &IcmpError) -> bool {
        // An earlier connection may have had the same addresses.
        error.at >= self.began && self.are_its_ends(error.quoted_source, error.quoted_destination)
    }

    /// Returns true if this packet belongs to the connection: one of its segments, or an ICMP error about one.
    #[must_use]
    pub fn concerns(&self, packet: &Packet) -> bool {
        match packet {
            Packet::Tcp(segment) => self.are_its_ends(segment.source, segment.destination),
            Packet::Icmp(error) => self.is_about_connection(error),
            Packet::Udp { .. } | Packet::Other => false,
        }
    }

    /// Returns the time at which this fence was last captured, if it was.
    #[must_use]
    pub fn fenced_at(&self, fence: &Fence) -> Option<Timestamp> {
        self.packets.iter().rev().find_map(|packet| match packet {
            Packet::Udp { at, .. } if fence.is(packet) => Some(*at),
            _ => None,
        })
    }

    /// Returns the status of a source in this trial.
    #[must_use]
    pub(crate) fn status(&self, source: SourceId) -> SourceStatus {
        match source {
            SourceId::Capture => match self.completeness.dropped {
                0 => SourceStatus::Available,
                dropped => SourceStatus::LostEvents(Some(dropped)),
            },
            SourceId::KernelTrace => match &self.trace {
                // The rings of the CPUs report that they were full, but not by how many events.
                Some(trace) if trace.coverage.overrun => SourceStatus::LostEvents(None),
                trace => SourceStatus::of(trace.is_some()),
            },
            SourceId::Counters => SourceStatus::of(self.counters.is_some()),
        }
    }

    /// Returns the address of this end.
    #[must_use]
    pub(crate) fn address(&self, role: Role) -> SocketAddr {
        match role {
            Role::Client => self.client,
            Role::Server => self.server,
        }
    }

    /// Returns true if these are the addresses of the connection's ends, in either order.
    pub(crate) fn are_its_ends(&self, one: SocketAddr, other: SocketAddr) -> bool {
        [(self.client, self.server), (self.server, self.client)].contains(&(one, other))
    }
}

/// Times of a script's step that is not a call: a wait, an injected segment, a change of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTimes {
    /// Index of the step in the script ([`Scenario::steps`](crate::scenario::Scenario::steps)).
    pub step: usize,
    /// Time at which the step began.
    pub began: Timestamp,
    /// Time at which the step had ended.
    pub ended: Timestamp,
    /// Time at which the segment that ended a wait was captured; `None` if no segment ended the step.
    pub shown: Option<Timestamp>,
    /// True if the step was a wait that ended with its time-out.
    pub gave_up: bool,
}

/// Completeness of a capture: the facts from which missing frames are inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// True if the datagram sent after the last call was captured, and so every frame before it.
    pub fence_seen: bool,
    /// Source and payload of that datagram, by which it is found in the capture.
    #[serde(default)]
    pub fence: Option<Fence>,
    /// Number of frames that the kernel dropped for lack of room.
    pub dropped: u64,
    /// True if the user's filter passes every captured segment of the connection and every ICMP error about it, or if
    /// there is no filter.
    pub filter_passes_all: bool,
    /// Step of `CLOCK_REALTIME` during the trial, in nanoseconds.
    pub clock_step_ns: i64,
}

impl Completeness {
    /// Completeness of a capture of which nothing is known.
    pub const UNKNOWN: Self = Self {
        fence_seen: false,
        fence: None,
        dropped: 0,
        filter_passes_all: true,
        clock_step_ns: 0,
    };
}

/// Datagram that marks the end of a trial in its capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Address of the socket that sent the datagram, to itself.
    pub source: SocketAddr,
    /// Payload of the datagram.
    pub payload: Mark,
}

impl Fence {
    /// Returns true if this packet is the datagram.
    #[must_use]
    pub fn is(&self, packet: &Packet) -> bool {
        matches!(packet, Packet::Udp { source, mark: Some(mark), .. }
            if *source == self.source && *mark == self.payload.0)
    }
}

/// Eight bytes of payload, big-endian. Stored as 16 hexadecimal digits, since numbers in JSON may lose precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u64);

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| de::Error::custom("a mark is 16 hexadecimal digits"))
    }
}

/// Defect of saved evidence: missing or contradictory content. No verdict is reached from such evidence; a live trial
/// has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// The capture exists, but no transcript of the system calls.
    #[error("the record of the calls is missing, and the capture alone proves nothing")]
    TranscriptMissing,
    /// The transcript exists, but no capture.
    #[error("the capture is missing")]
    CaptureMissing,
    /// The capture exists and cannot be read, for this reason.
    #[error("the capture cannot be read: {0}")]
    CaptureNotRead(NotRead),
    /// The capture file is not a capture, or not complete.
    #[error("the capture is damaged: {0}")]
    CaptureMalformed(Malformed),
    /// The link type of the capture is unknown here. Holds its number.
    #[error("the capture's link type {0} is not supported")]
    LinkType(u16),
    /// The capture states another number of received frames than it holds, or does not state it.
    #[error("the capture has {held} frames{}", stated(*.received))]
    FramesMissing {
        /// Number of frames in the file.
        held: u64,
        /// Number of frames received, according to the interface's statistics.
        received: Option<u64>,
    },
    /// The transcript is not the one that the capture was saved with.
    #[error("the record of the calls does not belong to this capture")]
    TranscriptAltered,
    /// The frame of this number differs from the entry in the transcript's list of packets, or only one of the two
    /// has it.
    #[error("frame {0} of the capture differs from the record")]
    FrameAltered(u32),
    /// The capture is not the file that was saved with the transcript, although its frames are the same.
    #[error("the capture is not the file that was saved (its SHA-256 differs)")]
    CaptureAltered,
    /// A recorded result of the trial, such as its verdict, does not follow from its evidence.
    #[error("the recorded results do not follow from the evidence; one of them was changed")]
    RecordAltered,
    /// The capture is that of another trial of the same document as well.
    #[error("another trial of the same document claims the same capture")]
    CaptureUsedTwice,
    /// The trial's own document and the run's report contradict each other.
    #[error("the trial's own record and report.json differ")]
    CopiesDiffer,
    /// The scenario does not exist in this version.
    #[error("unknown scenario; check it with the version that recorded it")]
    ScenarioUnknown,
}

impl Flaw {
    /// Returns the stable id, kebab-case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::TranscriptMissing => "transcript-missing",
            Self::CaptureMissing => "capture-missing",
            Self::CaptureNotRead(_) => "capture-not-read",
            Self::CaptureMalformed(_) => "capture-malformed",
            Self::LinkType(_) => "link-type",
            Self::FramesMissing { .. } => "frames-missing",
            Self::TranscriptAltered => "transcript-altered",
            Self::FrameAltered(_) => "frame-altered",
            Self::CaptureAltered => "capture-altered",
            Self::RecordAltered => "record-altered",
            Self::CaptureUsedTwice => "capture-used-twice",
            Self::CopiesDiffer => "copies-differ",
            Self::ScenarioUnknown => "scenario-unknown",
        }
    }
}

/// Returns the text for the number of frames that a capture states; `None` if it states none.
fn stated(received: Option<u64>) -> String {
    received.map_or_else(
        || ", but no statistics of how many were received".to_owned(),
        |received| format!(", but its statistics show {received} received"),
    )
}

/// Reason why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotRead {
    /// The kernel returned an error.
    #[error("{0}")]
    Refused(Errno),
    /// The file is a directory, a pipe or a device.
    #[error("it is not a regular file")]
    NotRegular,
    /// The file is longer than this maximum in bytes, which no file written by this tool exceeds.
    #[error("it is longer than the maximum of {0} bytes")]
    TooLong(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_that_dropped_frames_has_lost_them() {
        let (client, server) = (Evidence::NOWHERE, Evidence::NOWHERE);
        let mut evidence = Evidence::new(client, server, Timestamp::default());
        assert_eq!(evidence.status(SourceId::Capture), SourceStatus::Available);
        evidence.completeness.dropped = 3;
        let lost = SourceStatus::LostEvents(Some(3));
        assert_eq!(evidence.status(SourceId::Capture), lost);
    }
}
