//! Captured frames in a report.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::flow::Flow;
use crate::packet::{IcmpError, Packet, Segment, Tap};
use crate::time::Timestamp;
use crate::transcript::Role;

/// One captured frame of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketReport {
    /// Number of the frame in the capture file.
    pub frame: u32,
    /// Interface on which the frame was captured.
    pub interface: String,
    /// Capture time, in nanoseconds since the trial began.
    pub at_ns: i64,
    /// Protocol: `tcp` or `icmp`.
    pub protocol: Cow<'static, str>,
    /// End that sent the frame; `None` if neither did, or for ICMP.
    pub from: Option<Role>,
    /// TCP flags in tcpdump's letters; `None` for ICMP.
    pub flags: Option<String>,
    /// Sequence number, relative to the sender's initial sequence number.
    pub seq: Option<u32>,
    /// Acknowledgment number, relative to the receiver's initial sequence number.
    pub ack: Option<u32>,
    /// Length of the payload in bytes.
    pub len: u32,
    /// Window field, not scaled; `None` for ICMP.
    pub win: Option<u16>,
}

/// Maximum length in characters of an interface name. Linux allows 15, but a hostile file may contain thousands, and
/// every frame repeats the name.
const MAX_INTERFACE: usize = 64;

/// Returns the captured frames of this connection, with sequence numbers relative to the initial ones.
#[must_use]
pub fn packets(evidence: &Evidence, captured: &[Packet], interface: &str) -> Vec<PacketReport> {
    let usual: String = interface.chars().take(MAX_INTERFACE).collect();
    let interface = |tap: Tap| tap.interface().unwrap_or(&usual);
    let mut flow = Flow::new(evidence.client, evidence.server);
    captured
        .iter()
        .filter_map(|packet| match packet {
            // Segments captured before the trial began are not part of it.
            Packet::Tcp(segment) if segment.at >= evidence.began => {
                tcp_report(&mut flow, segment, evidence.began, interface(segment.tap))
            }
            Packet::Icmp(error) if evidence.is_about_connection(error) => {
                Some(icmp_report(error, evidence.began, interface(error.tap)))
            }
            _ => None,
        })
        .collect()
}

fn tcp_report(
    flow: &mut Flow,
    segment: &Segment,
    began: Timestamp,
    interface: &str,
) -> Option<PacketReport> {
    let observed = flow.observe(segment)?;
    Some(PacketReport {
        frame: segment.frame,
        interface: interface.to_owned(),
        at_ns: segment.at.since(began),
        protocol: "tcp".into(),
        from: Some(observed.from),
        flags: Some(segment.flags.to_string()),
        seq: observed.seq,
        ack: observed.ack,
        len: segment.payload_len,
        win: Some(segment.window),
    })
}

fn icmp_report(error: &IcmpError, began: Timestamp, interface: &str) -> PacketReport {
    PacketReport {
        frame: error.frame,
        interface: interface.to_owned(),
        at_ns: error.at.since(began),
        protocol: "icmp".into(),
        from: None,
        flags: None,
        seq: None,
        ack: None,
        len: 0,
        win: None,
    }
}
