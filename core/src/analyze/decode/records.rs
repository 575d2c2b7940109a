//! What frames hold besides whole segments: fragments, ICMP errors, processes, and what is not read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::FlowKey;
use crate::file::Statistics;
use crate::packet::icmp::AboutSegment;
use crate::packet::link::{Process, Unread};
use crate::packet::tunnel;
use crate::time::Timestamp;

/// IP fragment of a packet that may hold a TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FragmentRecord {
    /// Number of the frame. It counts from 0 within the batch.
    pub frame: u32,
    /// Time at which the frame was stamped.
    pub at: Timestamp,
    /// Index of the interface in the file that captured the frame.
    pub interface: u32,
    /// Offset of the IP packet in the bytes of the batch, and its captured length.
    pub(super) location: (u32, u32),
}

impl FragmentRecord {
    /// Returns the captured part of the IP packet, given the bytes of the batch.
    #[must_use]
    pub(crate) fn packet<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let (start, length) = (self.location.0 as usize, self.location.1 as usize);
        bytes.get(start..start + length).unwrap_or_default()
    }
}

/// Number of dropped frames that each interface has reported last.
///
/// An interface reports its total since the beginning of the capture each time (pcapng draft, 4.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DroppedFrames(BTreeMap<u32, u64>);

impl DroppedFrames {
    /// Takes in the statistics of an interface.
    pub(crate) fn take(&mut self, counted: &Statistics<'_>) {
        if let Some(dropped) = counted.dropped {
            self.0.insert(counted.interface, dropped);
        }
    }

    /// Takes in later reports.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.0.extend(&later.0);
    }

    /// Forgets all reports.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the number of frames over all interfaces.
    pub(crate) fn sum(&self) -> u64 {
        let counts = self.0.values();
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// Counts of frames whose content is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreadCounts<N> {
    /// Tunnelled packets, by the kind of the tunnel, if the inside of tunnels is not analyzed.
    pub tunnels: BTreeMap<tunnel::Kind, N>,
    /// Frames without an IP packet that is read, by the reason.
    pub frames: BTreeMap<Unread, N>,
    /// ICMP errors that quote no TCP segment.
    pub other_errors: N,
}

impl UnreadCounts<u64> {
    /// Adds the counts of one chunk.
    pub(in crate::analyze) fn add(&mut self, other: &UnreadCounts<u32>) {
        for (kind, count) in &other.tunnels {
            *self.tunnels.entry(*kind).or_default() += u64::from(*count);
        }
        for (what, count) in &other.frames {
            *self.frames.entry(*what).or_default() += u64::from(*count);
        }
        self.other_errors += u64::from(other.other_errors);
    }
}

/// Maximum number of comments of a frame that are kept.
pub(in crate::analyze) const MAX_FRAME_COMMENTS: usize = 2;

/// Maximum length of a comment that is kept, in bytes.
const MAX_COMMENT: usize = 240;

/// Comment on a frame of a connection, as it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct CommentRecord {
    /// Ends of the connection.
    pub ends: FlowKey,
    /// Hash of `ends` by the hasher of [`FrameSelection`](super::FrameSelection).
    pub hash: u32,
    /// Number of the frame. It counts from 0 within the batch.
    pub frame: u32,
    /// Text, cut to a few lines.
    pub text: Box<str>,
}

impl CommentRecord {
    /// Cuts a comment.
    pub(super) fn cut(text: &str) -> Box<str> {
        if text.len() <= MAX_COMMENT {
            return text.into();
        }
        let mut end = MAX_COMMENT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}…", &text[..end]).into()
    }
}

/// Process that an end of a connection belongs to, as stated by one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessRecord {
    /// Ends of the connection.
    pub ends: FlowKey,
    /// Hash of `ends` by the hasher of [`FrameSelection`](super::FrameSelection).
    pub hash: u32,
    /// Index in `ends` of the process's end.
    pub end: usize,
    /// Number of the frame. It counts from 0 within the batch.
    pub frame: u32,
    /// Process.
    pub process: Process,
}

/// ICMP error about a TCP segment, as decoded from one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorRecord {
    /// Ends of the connection whose segment is quoted.
    pub ends: FlowKey,
    /// Hash of `ends` by the hasher of [`FrameSelection`](super::FrameSelection).
    pub hash: u32,
    /// Index in `ends` of the end that sent the quoted segment.
    pub to: usize,
    /// Number of the frame. It counts from 0 within the batch.
    pub frame: u32,
    /// Time at which the frame was stamped.
    pub at: Timestamp,
    /// Sender of the message.
    pub source: IpAddr,
    /// IP ID of the message; `None` over IPv6.
    pub ip_id: Option<u16>,
    /// Message and quoted segment.
    pub about: AboutSegment,
}
