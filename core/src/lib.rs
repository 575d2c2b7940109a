//! Follows TCP connections in captures, explains every RST, and judges which RST a socket error came from.
//!
//! This crate is the part of `rstproof` without access to the host: it opens no socket, reads no clock, queries no
//! kernel and compiles no filter. The same input gives the same result on every machine. The program adds the live
//! parts: packet capture, system calls, the kernel trace and counters.
//!
//! # Explain the RSTs of a capture
//!
//! [`analyze::Analysis`] reads pcap and pcapng from a file, from memory or from a stream, with any number of threads.
//! The [module](analyze) has an example.
//!
//! # Read and write captures
//!
//! [`file::Reader`] iterates over the blocks of a capture in memory, [`file::Content`] decompresses gzip, zstd and lz4,
//! and [`file::pcapng::PcapNg`] and [`file::pcap::Pcap`] write captures.
//!
//! ```
//! use rstproof_core::file::pcapng::{PcapNg, Section};
//! use rstproof_core::file::{Block, Reader};
//! use rstproof_core::packet::Link;
//! use rstproof_core::time::Timestamp;
//!
//! let mut file = PcapNg::begin(&Section {
//!     os: "Linux 6.18",
//!     application: "example",
//!     interfaces: &["lo"],
//!     filter: "",
//!     link: Link::Ethernet,
//!     snaplen: 256,
//!     comments: &[],
//! });
//! file.frame(0, Timestamp(1_700_000_000_000_000_001), 60, &[0; 60], &["padding".to_owned()]);
//!
//! for block in Reader::new(file.bytes())? {
//!     if let Block::Frame(frame) = block? {
//!         assert_eq!(frame.at, Timestamp(1_700_000_000_000_000_001));
//!         assert_eq!(frame.comments, ["padding"]);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Follow one connection
//!
//! [`packet::decode`] decodes a frame, and [`flow::Flow`] follows a connection through its segments: the state of each
//! end, SND.NXT and RCV.NXT as defined by RFC 9293, and for each RST whether it was acceptable to its receiver. The
//! capture must hold the whole connection. If it may begin later or lack frames, use an
//! [`analyze::ConnectionObserver`], which receives the segments of all connections with the states after each.
//!
//! ```
//! use rstproof_core::file::{Block, Reader};
//! use rstproof_core::flow::{Flow, State};
//! use rstproof_core::packet::{Link, Packet, decode};
//! use rstproof_core::transcript::Role;
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures/close-unread-data.ipv4.pcapng");
//! let capture = std::fs::read(path)?;
//! let mut blocks = Reader::new(&capture)?;
//! let (mut flow, mut frames, mut resets) = (None, 0, 0);
//! while let Some(block) = blocks.next() {
//!     let Block::Frame(frame) = block? else { continue };
//!     frames += 1;
//!     let link = blocks.link(frame.interface).and_then(|number| Link::from_number(number.into()));
//!     let Some(link) = link else { continue };
//!     let Packet::Tcp(segment) = decode(link, frames, frame.at, frame.captured) else { continue };
//!     // The first segment is a SYN, and its sender the client.
//!     let flow = flow.get_or_insert_with(|| Flow::new(segment.source, segment.destination));
//!     // `None`: a segment of another connection.
//!     let Some(observed) = flow.observe(&segment) else { continue };
//!     if let Some(reset) = observed.reset {
//!         assert_eq!(reset.from, Role::Server);
//!         assert_eq!(reset.receiver_state, State::Established);
//!         assert!(reset.acceptance.is_acceptable());
//!         resets += 1;
//!     }
//! }
//! assert_eq!(resets, 1);
//! assert_eq!(flow.map(|flow| flow.state(Role::Client)), Some(State::Closed));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Judge evidence
//!
//! [`verdict::judge`] compares the expected results of a [`scenario`] with the [`evidence`] of one trial: the calls
//! with their times and results, the packets, and the kernel's reports, if available.
//!
//! ```
//! use rstproof_core::errno::Errno;
//! use rstproof_core::evidence::{Completeness, Evidence};
//! use rstproof_core::file::{Block, Reader};
//! use rstproof_core::packet::{Link, Packet, decode};
//! use rstproof_core::scenario;
//! use rstproof_core::time::Timestamp;
//! use rstproof_core::transcript::{Call, Op, Outcome, Role};
//! use rstproof_core::verdict::{Verdict, judge};
//!
//! // Packets captured: a SYN to a closed port, and the RST in reply.
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures/connect-closed-port.ipv4.pcapng");
//! let capture = std::fs::read(path)?;
//! let mut packets = Vec::new();
//! for block in Reader::new(&capture)? {
//!     if let Block::Frame(frame) = block? {
//!         let number = packets.len() as u32 + 1;
//!         packets.push(decode(Link::Ethernet, number, frame.at, frame.captured));
//!     }
//! }
//! let [Packet::Tcp(syn), Packet::Tcp(rst), ..] = packets[..] else { panic!("SYN, RST") };
//!
//! // Results of the client's calls. All times are from one clock, in nanoseconds since the Unix epoch.
//! let call = |op, after_rst: i64, errno| Call {
//!     role: Role::Client,
//!     op,
//!     began: if op == Op::Connect { Timestamp(syn.at.0 - 1_000) } else { Timestamp(rst.at.0 + after_rst - 500) },
//!     ended: Timestamp(rst.at.0 + after_rst),
//!     outcome: Outcome::Failed(errno),
//! };
//! let evidence = Evidence {
//!     calls: vec![
//!         call(Op::Connect, 5_000, Errno::ECONNREFUSED),
//!         call(Op::Read(1), 6_000, Errno::ENOTCONN),
//!         call(Op::Write(1), 7_000, Errno::EPIPE),
//!     ],
//!     packets,
//!     // The capture is known to hold everything that was sent.
//!     completeness: Completeness { fence_seen: true, ..Completeness::UNKNOWN },
//!     ..Evidence::new(syn.source, syn.destination, Timestamp(syn.at.0 - 2_000))
//! };
//! let scenario = scenario::find("connect-closed-port").expect("it is in the catalogue");
//! let judgement = judge(scenario, &evidence);
//! assert_eq!(judgement.verdict, Verdict::Confirmed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules
//!
//! The list is ordered from the bottom up: a module uses only those above it.
//!
//! - [`time`], [`errno`], [`transcript`]: points in time, Linux error numbers, calls and their results.
//! - [`packet`]: frames decoded down to TCP and ICMP. [`file`](mod@file): pcap and pcapng.
//! - [`flow`]: one connection, followed segment by segment. [`kernel`]: trace events and counters of a kernel.
//!   [`history`]: changes of Linux that affect resets.
//! - [`scenario`]: the catalogue of ways to break a connection. [`evidence`]: everything recorded during one trial.
//! - [`verdict`]: the judge.
//! - [`report`]: trials as machine-readable reports. [`analyze`]: captures of any origin. [`printable`]: escapes for
//!   untrusted text.

pub mod analyze;
pub mod errno;
pub mod evidence;
pub mod file;
pub mod flow;
pub mod history;
pub mod kernel;
pub mod packet;
mod prefetch;
pub mod printable;
pub mod report;
pub mod scenario;
pub mod schema;
pub mod time;
pub mod transcript;
pub mod verdict;
