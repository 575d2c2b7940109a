//! Everything that one trial left behind, side by side: what the sockets said and what the wire showed.
//!
//! A [`Verdict`](crate::verdict::Verdict) is a function of a scenario and its evidence, and of nothing else.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::file::Malformed;
use crate::kernel::event::{Moved, Trace};
use crate::kernel::host::HostState;
use crate::packet::{IcmpError, Packet};
use crate::time::Timestamp;
use crate::transcript::{Errno, Role, Transcript};

/// The evidence of one trial.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The client's address, which its socket was bound to before it connected.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub server: SocketAddr,
    /// When the trial began. Frames from before belong to what was there earlier.
    pub began: Timestamp,
    /// What the sockets said.
    pub calls: Transcript,
    /// When the steps of the script that are no calls were made, in the order of the script. Evidence that was saved by
    /// earlier versions has none.
    pub steps: Vec<StepTimes>,
    /// What the wire showed, in the order in which it was captured: frame `n` is at index `n - 1`.
    pub packets: Vec<Packet>,
    /// What may be missing of it.
    pub completeness: Completeness,
    /// What the kernel's trace says; `None` if it could not be asked.
    pub trace: Option<Trace>,
    /// What the namespace's counters say; `None` if they could not be asked, or are not this trial's alone.
    pub counters: Option<Moved>,
    /// The longest time that this process did not run during the trial, in nanoseconds, if it was long enough to matter.
    pub held_up_ns: u64,
    /// What the host says of itself, if that may have changed the trial.
    pub host_state: Option<HostState>,
    /// Why it cannot be relied on, if it comes from files that do not hold what they should.
    pub flaw: Option<Flaw>,
}

impl Evidence {
    /// Whether this ICMP error came in during the trial and quotes a segment of its connection.
    #[must_use]
    pub fn is_about_connection(&self, error: &IcmpError) -> bool {
        error.at >= self.began && self.are_its_ends(error.quoted_source, error.quoted_destination)
    }

    /// Whether this packet has a part in the connection: one of its segments, or an ICMP error about one.
    #[must_use]
    pub fn concerns(&self, packet: &Packet) -> bool {
        match packet {
            Packet::Tcp(segment) => self.are_its_ends(segment.source, segment.destination),
            Packet::Icmp(error) => self.is_about_connection(error),
            Packet::Udp { .. } | Packet::Other => false,
        }
    }

    /// When this fence was last captured, if it was.
    #[must_use]
    pub fn fenced_at(&self, fence: &Fence) -> Option<Timestamp> {
        self.packets.iter().rev().find_map(|packet| match packet {
            Packet::Udp { at, .. } if fence.is(packet) => Some(*at),
            _ => None,
        })
    }

    /// The address of this end.
    #[must_use]
    pub fn address(&self, role: Role) -> SocketAddr {
        match role {
            Role::Client => self.client,
            Role::Server => self.server,
        }
    }

    /// Whether these are the connection's two ends, in either order.
    pub(crate) fn are_its_ends(&self, one: SocketAddr, other: SocketAddr) -> bool {
        [(self.client, self.server), (self.server, self.client)].contains(&(one, other))
    }
}

/// When a step of a script that is no call was made: a wait, a segment made by hand, a change of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTimes {
    /// Its index in the script ([`Scenario::steps`](crate::scenario::Scenario::steps)).
    pub step: usize,
    /// When it began.
    pub began: Timestamp,
    /// When it had ended.
    pub ended: Timestamp,
    /// When the segment that a wait ended with was captured; `None` where it did not end with one.
    pub shown: Option<Timestamp>,
    /// Whether it was a wait that ended with its time bound.
    pub gave_up: bool,
}

/// Whether the capture can be taken for all that there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// The datagram sent after the last call was captured: all that came before it was, too.
    pub fence_seen: bool,
    /// That datagram, by which it can be found in the capture.
    #[serde(default)]
    pub fence: Option<Fence>,
    /// Frames that the kernel had no room for.
    pub dropped: u64,
    /// Whether the user's filter, if there is one, let through every segment of the connection that was captured, and
    /// every ICMP error about it.
    pub filter_lets_all_through: bool,
    /// By how much `CLOCK_REALTIME` was stepped during the trial, in nanoseconds.
    pub clock_step_ns: i64,
}

/// The datagram that marks the end of a trial in its capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The socket that sent it, to itself.
    pub from: SocketAddr,
    /// Its payload.
    pub mark: Mark,
}

impl Fence {
    /// Whether this packet is the datagram.
    #[must_use]
    pub fn is(&self, packet: &Packet) -> bool {
        matches!(packet, Packet::Udp { source, mark: Some(mark), .. }
            if *source == self.from && *mark == self.mark.0)
    }
}

/// Eight bytes of payload, big-endian; stored as 16 hexadecimal digits, since JSON's numbers are not that exact.
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

/// What saved evidence lacks or contradicts itself in. Nothing is judged from such evidence; a live trial has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is a capture, and nothing that says what the sockets said.
    TranscriptMissing,
    /// There is a transcript, and no capture.
    CaptureMissing,
    /// The capture is there and cannot be read, for this reason.
    CaptureNotRead(NotRead),
    /// The capture is no capture, or not whole.
    CaptureMalformed(Malformed),
    /// The capture's frames begin in a way that is not known here: number of the link type.
    LinkType(u16),
    /// The capture says that another number of frames was received than it holds, or does not say how many.
    FramesMissing {
        /// Frames in the file.
        held: u64,
        /// Frames received, by the interface's statistics.
        received: Option<u64>,
    },
    /// The transcript is not the one that the capture was saved with.
    TranscriptAltered,
    /// This frame is not what the transcript's own list of packets says of it, or only one of the two has it.
    FrameAltered(u32),
    /// The capture is not the file that was saved with the transcript, though its frames are the same.
    CaptureAltered,
    /// What else was recorded of the trial, its verdict perhaps, does not follow from its evidence.
    RecordAltered,
    /// Another trial of the same document claims the same capture.
    CaptureUsedTwice,
    /// The trial's own document and the run's report do not say the same.
    CopiesDiffer,
    /// This version knows no scenario of that name.
    ScenarioUnknown,
}

impl Flaw {
    /// Stable id, kebab-case.
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

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TranscriptMissing => {
                f.write_str("there is no record of the calls beside the capture, without which it proves nothing")
            }
            Self::CaptureMissing => f.write_str("there is no capture beside the record of the calls"),
            Self::CaptureNotRead(why) => write!(f, "the capture cannot be read: {why}"),
            Self::CaptureMalformed(malformed) => write!(f, "the capture is not whole: {malformed}"),
            Self::LinkType(number) => {
                write!(f, "the capture's link type {number} is none that is known here")
            }
            Self::FramesMissing { held, received: Some(received) } => write!(
                f,
                "the capture holds {held} frames, and its statistics say that {received} were received"
            ),
            Self::FramesMissing { held, received: None } => write!(
                f,
                "the capture holds {held} frames and ends without saying how many were received"
            ),
            Self::TranscriptAltered => {
                f.write_str("the record of the calls is not the one that the capture was saved with")
            }
            Self::FrameAltered(frame) => {
                write!(f, "frame {frame} of the capture is not what was recorded of it")
            }
            Self::CaptureAltered => f.write_str(
                "the capture is not byte for byte the file that was saved (its SHA-256 differs)",
            ),
            Self::RecordAltered => f.write_str(
                "what was recorded of the trial is not what its evidence leads to; one of them was changed",
            ),
            Self::CaptureUsedTwice => {
                f.write_str("another trial of the same document claims the same capture")
            }
            Self::CopiesDiffer => {
                f.write_str("the trial's own record and report.json do not say the same of it")
            }
            Self::ScenarioUnknown => f.write_str(
                "this version does not know the scenario; judge it with the version that recorded it",
            ),
        }
    }
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRead {
    /// The kernel refuses.
    Refused(Errno),
    /// It is a directory, a pipe or a device.
    NotRegular,
    /// It is longer than so many bytes, and none that is written here is.
    TooLong(u64),
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => errno.fmt(f),
            Self::NotRegular => f.write_str("it is no regular file"),
            Self::TooLong(most) => write!(f, "it is longer than the {most} bytes that are allowed"),
        }
    }
}
