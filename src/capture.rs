//! The live capture: one libpcap session, cut into one batch a trial.
//!
//! The only place that names the pcap crate. Opening a capture takes 12-20 ms and closing it 24-60, all of it RCU grace
//! periods, so a worker keeps one [`Session`] for all its trials. Every setting here has a reason:
//!
//! - immediate mode, or the kernel hands frames over in blocks of up to a second; with it the ring has slots of one
//!   snapshot length each, so the snapshot length is small, or 2 MiB would hold 16 loopback frames;
//! - a filter is always set: it is what enforces the snapshot length. The capture is live once it is set;
//! - never the primitive `inbound`: libpcap then loses the first frames. On loopback each frame passes the tap twice;
//!   `PACKET_IGNORE_OUTGOING` keeps the second copy out of the ring;
//! - the ring is drained on request, never by a thread that is woken for each frame: the wake-up would cost the
//!   sender more than the whole exchange;
//! - a *fence*, a UDP datagram to ourselves, marks the end: when it is met, all that was sent before is in. That no
//!   frame was dropped does not prove that.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::Duration;

use pcap::{Active, BpfProgram, Capture, Precision};
use tokio::time::timeout;

use crate::error::Error;
use crate::packet::{Link, Packet, decode, sample};
use crate::sys;
use crate::time::Timestamp;

/// Longest prefix of a frame that is kept, in bytes: all headers, and of an ICMP error the headers that it quotes.
pub const SNAPLEN: u16 = 256;

/// Ring size in bytes: some 10,000 frames of [`SNAPLEN`].
const RING: i32 = 4 << 20;

/// How long to wait for a frame that must come. A bound on failure, not a pace.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to capture.
#[derive(Clone, Debug)]
pub struct Config {
    /// Interface name.
    pub interface: String,
    /// A BPF filter of the user's own, instead of the usual one.
    pub filter: Option<String>,
    /// The addresses that trials use; the first one also carries the fence.
    pub addresses: Vec<IpAddr>,
    /// The ports that their servers use.
    pub ports: [u16; 2],
}

/// An open capture.
pub struct Session {
    capture: Capture<Active>,
    interface: String,
    filter: String,
    /// Compiled, if it is the user's own: asked whether it lets a connection through.
    users_filter: Option<BpfProgram>,
    link: Link,
    fence: Fence,
    dropped: u32,
}

/// The frames of one trial.
#[derive(Debug, Default)]
pub struct Batch {
    /// Whether to keep the frames' bytes; decoded packets always are.
    keep_bytes: bool,
    /// Frames stamped before belong to what was there earlier.
    since: Timestamp,
    /// Decoded, in capture order: frame `n` is at index `n - 1`.
    pub packets: Vec<Packet>,
    frames: Vec<Frame>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Frame {
    at: Timestamp,
    wire_len: u32,
    bytes: Range<usize>,
}

impl Batch {
    /// An empty batch; `keep_bytes` as in the field.
    #[must_use]
    pub fn new(keep_bytes: bool) -> Self {
        Self {
            keep_bytes,
            ..Self::default()
        }
    }

    /// The captured frames: time, length on the wire in bytes, captured bytes. Empty unless bytes are kept.
    pub fn frames(&self) -> impl Iterator<Item = (Timestamp, u32, &[u8])> {
        self.frames
            .iter()
            .map(|frame| (frame.at, frame.wire_len, &self.bytes[frame.bytes.clone()]))
    }

    /// Forgets all frames, keeps the memory, and takes no frame stamped before `since`: what the tear-down of an
    /// earlier trial sent may still be in the ring.
    pub fn begin(&mut self, since: Timestamp) {
        self.since = since;
        self.packets.clear();
        self.frames.clear();
        self.bytes.clear();
    }

    /// Whether it is one of this trial.
    fn take(&mut self, link: Link, frame: &pcap::Packet<'_>) -> bool {
        let at = stamp(frame.header);
        if at < self.since {
            return false;
        }
        let number = u32::try_from(self.packets.len() + 1).unwrap_or(u32::MAX);
        self.packets.push(decode(link, number, at, frame.data));
        if self.keep_bytes {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(frame.data);
            self.frames.push(Frame {
                at,
                wire_len: frame.header.len,
                bytes: start..self.bytes.len(),
            });
        }
        true
    }
}

/// With nanosecond precision libpcap puts nanoseconds into the field that is named after microseconds.
#[allow(clippy::unnecessary_cast)] // 32 bits wide on 32-bit systems
fn stamp(header: &pcap::PacketHeader) -> Timestamp {
    Timestamp(header.ts.tv_sec as i64 * 1_000_000_000 + header.ts.tv_usec as i64)
}

impl Session {
    /// Opens a capture in the network namespace of this thread. It is live when this returns.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let interface = config.interface.clone();
        let Some(&first) = config.addresses.first() else {
            return Err(Error::Usage("no address to capture on".to_owned()));
        };
        let inactive = Capture::from_device(interface.as_str())
            .map_err(|error| refused("open a capture", &interface, &error))?;
        let capture = inactive
            .immediate_mode(true)
            .promisc(false)
            .snaplen(i32::from(SNAPLEN))
            .buffer_size(RING)
            .precision(Precision::Nano)
            .open()
            .map_err(|error| refused("open a capture", &interface, &error))?;
        let fence = Fence::new(first, &interface)?;
        let link_number = capture.get_datalink().0;
        let link = Link::from_number(link_number).ok_or_else(|| Error::Capture {
            action: "decode frames".to_owned(),
            interface: interface.clone(),
            reason: format!(
                "its link type {link_number} is none that is known here; use an Ethernet or loopback interface"
            ),
        })?;
        let mut capture = capture
            .setnonblock()
            .map_err(|error| refused("set up the capture", &interface, &error))?;
        if interface == "lo" {
            sys::ignore_outgoing(&capture)
                .map_err(|errno| Error::system("ignore outgoing copies on lo", errno))?;
        }
        let wanted = config
            .filter
            .clone()
            .unwrap_or_else(|| usual_filter(&config.addresses, config.ports));
        let filter = format!("({wanted}) or ({})", fence.filter());
        capture
            .filter(&filter, true)
            .map_err(|error| bad_filter(&wanted, &error))?;
        let users_filter = match &config.filter {
            Some(_) => Some(
                capture
                    .compile(&filter, true)
                    .map_err(|error| bad_filter(&wanted, &error))?,
            ),
            None => None,
        };
        Ok(Self {
            capture,
            interface,
            filter,
            users_filter,
            link,
            fence,
            dropped: 0,
        })
    }

    /// The interface's name.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The BPF filter in force.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// How its frames begin.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// Sends a fence and takes everything up to it, waiting for it if need be. Whether it came.
    pub async fn drain_to_fence(&mut self, batch: &mut Batch) -> Result<bool, Error> {
        let mark = self
            .fence
            .send()
            .map_err(|error| fence_failed(&self.interface, &error))?;
        let source = self.fence.address;
        self.drain_until(batch, |packet| {
            matches!(packet, Packet::Udp { source: from, mark: Some(seen) }
                if *from == source && *seen == mark)
        })
        .await
    }

    /// Takes frames until one `is_it`, waiting for it if need be. Whether it came within the bound.
    pub async fn drain_until(
        &mut self,
        batch: &mut Batch,
        mut is_it: impl FnMut(&Packet) -> bool,
    ) -> Result<bool, Error> {
        loop {
            while self.next(batch)? {
                if batch.packets.last().is_some_and(&mut is_it) {
                    return Ok(true);
                }
            }
            // Nothing more in the ring. Only now is it worth registering with the reactor.
            if !self.wait_for_frames().await? {
                return Ok(false);
            }
        }
    }

    /// Frames that the kernel had no room for since this was asked last.
    pub fn newly_dropped(&mut self) -> Result<u64, Error> {
        let stats = self
            .capture
            .stats()
            .map_err(|error| refused("read statistics", &self.interface, &error))?;
        let newly = stats.dropped.wrapping_sub(self.dropped);
        self.dropped = stats.dropped;
        Ok(u64::from(newly))
    }

    /// Whether the filter lets the whole connection between these two through, and ICMP.
    #[must_use]
    pub fn lets_through(&self, client: SocketAddr, server: SocketAddr) -> bool {
        let Some(filter) = &self.users_filter else {
            return true;
        };
        self.link == Link::Ethernet
            && sample::frames(client, server)
                .iter()
                .chain(&sample::frames(server, client))
                .all(|frame| filter.filter(frame))
    }

    /// Takes one frame of the trial; `false` if the ring is empty.
    fn next(&mut self, batch: &mut Batch) -> Result<bool, Error> {
        loop {
            match self.capture.next_packet() {
                Ok(frame) if batch.take(self.link, &frame) => return Ok(true),
                Ok(_) => {}
                Err(error) => return ended(&self.interface, error).map(|()| false),
            }
        }
    }

    /// Waits until the ring has a frame; `false` if none came within the bound.
    async fn wait_for_frames(&self) -> Result<bool, Error> {
        let ready =
            sys::readable(self.capture.as_fd()).map_err(|error| self.failed_to_wait(&error))?;
        match timeout(PATIENCE, ready.readable()).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) => Err(self.failed_to_wait(&error)),
            Err(_) => Ok(false),
        }
    }

    fn failed_to_wait(&self, error: &io::Error) -> Error {
        Error::Capture {
            action: "wait for frames".to_owned(),
            interface: self.interface.clone(),
            reason: error.to_string(),
        }
    }
}

/// What ends a run of frames: an empty ring is fine, anything else is an error.
fn ended(interface: &str, error: pcap::Error) -> Result<(), Error> {
    match error {
        pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets => Ok(()),
        other => Err(refused("read the capture", interface, &other)),
    }
}

/// Trials and nothing else: on a host's own loopback other people's conversations are none of our business.
fn usual_filter(addresses: &[IpAddr], [port, other]: [u16; 2]) -> String {
    let hosts: Vec<String> = addresses.iter().map(|ip| format!("host {ip}")).collect();
    let hosts = hosts.join(" or ");
    format!("((tcp and (port {port} or port {other})) or icmp or icmp6) and ({hosts})")
}

fn bad_filter(filter: &str, error: &pcap::Error) -> Error {
    Error::Usage(format!(
        "the BPF filter '{filter}' does not compile: {}",
        words(error)
    ))
}

/// libpcap's words, in one line.
fn words(error: &pcap::Error) -> String {
    let text = match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// libpcap's refusal with what mends it.
fn refused(action: &str, interface: &str, error: &pcap::Error) -> Error {
    let text = words(error);
    let lower = text.to_lowercase();
    if lower.contains("permission") || lower.contains("not permitted") {
        return Error::may_not_capture(interface);
    }
    let reason = if lower.contains("no such device") {
        "there is no such interface; a private namespace has only lo, --host uses this host's \
         (`ip link` lists them)"
            .to_owned()
    } else if lower.contains("not up") || lower.contains("is down") {
        format!("it is down; bring it up with `sudo ip link set {interface} up`")
    } else {
        text
    };
    Error::Capture {
        action: action.to_owned(),
        interface: interface.to_owned(),
        reason,
    }
}

/// A UDP socket that sends to itself. What it receives is never read: the frame on the wire is what counts.
struct Fence {
    socket: UdpSocket,
    address: SocketAddr,
    mark: u64,
}

impl Fence {
    fn new(ip: IpAddr, interface: &str) -> Result<Self, Error> {
        let failed = |error: io::Error| fence_failed(interface, &error);
        let socket = UdpSocket::bind((ip, 0)).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        socket.connect(address).map_err(failed)?;
        let mark = getrandom::u64().map_err(|error| Error::Capture {
            action: "draw a random number for the fence".to_owned(),
            interface: interface.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            socket,
            address,
            mark,
        })
    }

    fn filter(&self) -> String {
        format!(
            "udp and dst host {} and dst port {}",
            self.address.ip(),
            self.address.port()
        )
    }

    /// Sends a datagram with a mark of its own, and gives the mark.
    fn send(&mut self) -> io::Result<u64> {
        self.mark = self.mark.wrapping_add(1);
        self.socket.send(&self.mark.to_be_bytes())?;
        Ok(self.mark)
    }
}

fn fence_failed(interface: &str, error: &io::Error) -> Error {
    let reason = match error.raw_os_error() {
        Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL) => {
            "the loopback interface is down; bring it up with `sudo ip link set lo up`".to_owned()
        }
        _ => error.to_string(),
    };
    Error::Capture {
        action: "send the fence".to_owned(),
        interface: interface.to_owned(),
        reason,
    }
}
