//! Live capture: one libpcap session, divided into one batch per trial.
//!
//! Only this module uses the pcap crate. Opening a capture takes 12-20 ms and closing it 24-60, all of it RCU grace
//! periods, so a worker keeps one [`CaptureSession`] for all its trials. Every setting has a reason:
//!
//! - immediate mode, or the kernel delivers frames in blocks of up to a second; with it the ring has slots of one
//!   snapshot length each, so the snapshot length is small, or 2 MiB would hold 16 loopback frames;
//! - a filter is always set: the filter enforces the snapshot length. The capture is live once it is set;
//! - never the primitive `inbound`: libpcap then loses the first frames. On loopback each frame passes the tap twice;
//!   `PACKET_IGNORE_OUTGOING` keeps the second copy out of the ring;
//! - the ring is drained on request, never by a thread that is woken for each frame: the wake-up would cost the
//!   sender more than the whole exchange;
//! - a *fence*, a UDP datagram to the same socket, marks the end: once it is captured, so is everything sent before.
//!   A drop count of 0 does not prove that.

pub mod cpus;
mod taps;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::{Range, RangeInclusive};
use std::os::fd::AsFd;
use std::time::Duration;

use pcap::{Active, BpfProgram, Capture, Precision};
use tokio::time::{Instant, timeout_at};

pub use self::taps::{Crossing, Taps};
use crate::error::{Error, reason, with_fix};
use crate::sys;
use rstproof_core::evidence::{Fence, Mark};
use rstproof_core::packet::{Link, Packet, Tap, decode};
use rstproof_core::scenario::FRAME_BOUND;
use rstproof_core::time::Timestamp;

/// Maximum number of bytes of a frame that are kept: all headers, and of an ICMP error the headers that it quotes.
pub const SNAPLEN: u16 = 256;

/// Ring size in bytes: some 10,000 frames of [`SNAPLEN`].
const RING_BYTES: i32 = 4 << 20;

/// Size of a small ring in bytes: some 1,000 frames of [`SNAPLEN`].
const SMALL_RING_BYTES: i32 = 512 << 10;

/// Maximum time to wait for an expected frame. A bound on failure, not a pace.
pub const FRAME_TIMEOUT: Duration = FRAME_BOUND;

/// Configuration of a capture.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the interface.
    pub interface: String,
    /// BPF filter given by the user: only frames that match it are shown and saved.
    pub filter: Option<String>,
    /// Addresses that trials use; the first one also carries the fence.
    pub addresses: Vec<IpAddr>,
    /// Ports that the trials' servers use.
    pub ports: RangeInclusive<u16>,
    /// True for a small ring: there are many captures, each for one trial at a time.
    pub small_ring: bool,
    /// End, or ends, that the capture shows.
    pub tap: Tap,
    /// Destinations of the fences that cross this capture between two hosts; empty on loopback, where it sends its
    /// own.
    pub crossing: Vec<SocketAddr>,
}

/// Open capture.
pub struct CaptureSession {
    capture: Capture<Active>,
    interface: String,
    filter: String,
    /// Compiled filter of the user: frames that it rejects are neither shown nor saved.
    users_filter: Option<BpfProgram>,
    link: Link,
    tap: Tap,
    /// Socket for fences; `None` if the fences are sent between two hosts.
    fence: Option<FenceSocket>,
    dropped: u32,
}

/// Frames of one trial.
#[derive(Debug, Default)]
pub struct TrialFrames {
    /// True if the bytes of frames are kept; decoded packets always are.
    keep_bytes: bool,
    /// Start of the trial: frames stamped earlier are ignored.
    since: Timestamp,
    /// End of the trial: frames stamped later are ignored, except fences.
    until: Option<Timestamp>,
    /// Decoded packets in capture order: frame `n` is at index `n - 1`.
    pub packets: Vec<Packet>,
    /// Packets that the user's filter rejected: not evidence, but they show that the evidence is incomplete.
    pub hidden: Vec<Packet>,
    /// Capture time of each packet.
    times: Vec<Timestamp>,
    frames: Vec<FrameRecord>,
    bytes: Vec<u8>,
}

/// Captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// Capture time.
    pub at: Timestamp,
    /// End, or ends, at which the frame was captured.
    pub tap: Tap,
    /// Length on the wire, in bytes.
    pub wire_len: u32,
    /// Captured bytes.
    pub bytes: &'a [u8],
}

#[derive(Debug)]
struct FrameRecord {
    at: Timestamp,
    tap: Tap,
    wire_len: u32,
    bytes: Range<usize>,
}

impl TrialFrames {
    /// Returns an empty batch, which keeps the bytes of frames if `keep_bytes` is true.
    #[must_use]
    pub fn new(keep_bytes: bool) -> Self {
        Self {
            keep_bytes,
            ..Self::default()
        }
    }

    /// Returns the captured frames. Their bytes are missing unless they are kept.
    pub fn frames(&self) -> impl Iterator<Item = Captured<'_>> {
        self.frames.iter().map(|frame| Captured {
            at: frame.at,
            tap: frame.tap,
            wire_len: frame.wire_len,
            bytes: &self.bytes[frame.bytes.clone()],
        })
    }

    /// Sorts the packets by time, and renumbers them: those of two captures, or of several CPUs.
    fn sort(&mut self) {
        if self.times.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        // A stable sort: packets with equal times stay in capture order.
        order.sort_by_key(|place| self.times[*place]);
        self.packets = order.iter().map(|place| self.packets[*place]).collect();
        if self.keep_bytes {
            let mut frames: Vec<_> = self.frames.drain(..).map(Some).collect();
            let sorted = order.iter().filter_map(|place| frames[*place].take());
            self.frames = sorted.collect();
        }
        self.times.sort();
        for (packet, number) in self.packets.iter_mut().zip(1..) {
            packet.set_frame(number);
        }
    }

    /// Clears the batch without freeing memory, and ignores frames stamped before `since`: segments from the
    /// tear-down of an earlier trial may still be in the ring.
    pub fn begin(&mut self, since: Timestamp) {
        self.since = since;
        self.until = None;
        self.packets.clear();
        self.hidden.clear();
        self.times.clear();
        self.frames.clear();
        self.bytes.clear();
    }

    /// Ignores frames stamped after `until`, except fences.
    pub fn end(&mut self, until: Timestamp) {
        self.until = Some(until);
    }

    /// Removes everything after the last copy of this fence.
    fn cut_after(&mut self, fence: &Fence) {
        let Some(last) = self.packets.iter().rposition(|packet| fence.is(packet)) else {
            return;
        };
        self.packets.truncate(last + 1);
        self.times.truncate(last + 1);
        self.frames.truncate(last + 1);
    }

    /// Adds a frame. Returns the decoded packet if the frame belongs to this trial.
    fn take(
        &mut self,
        (link, tap): (Link, Tap),
        frame: &pcap::Packet<'_>,
        filter: Option<&BpfProgram>,
    ) -> Option<Packet> {
        let at = stamp(frame.header);
        if at < self.since {
            return None;
        }
        let number = u32::try_from(self.packets.len() + 1).unwrap_or(u32::MAX);
        let packet = decode(link, number, at, frame.data).at_tap(tap);
        let is_fence = matches!(packet, Packet::Udp { mark: Some(_), .. });
        if self.until.is_some_and(|until| at > until) && !is_fence {
            return None;
        }
        if filter.is_some_and(|filter| !filter.filter(frame.data)) {
            self.hidden.push(packet);
            return Some(packet);
        }
        self.packets.push(packet);
        self.times.push(at);
        if self.keep_bytes {
            self.record(frame, at, tap);
        }
        Some(packet)
    }

    /// Keeps the bytes of a frame.
    fn record(&mut self, frame: &pcap::Packet<'_>, at: Timestamp, tap: Tap) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame.data);
        self.frames.push(FrameRecord {
            at,
            tap,
            wire_len: frame.header.len,
            bytes: start..self.bytes.len(),
        });
    }
}

/// Converts the time of a frame: with nanosecond precision libpcap stores nanoseconds in `tv_usec`.
#[allow(clippy::unnecessary_cast)] // 32 bits wide on 32-bit systems
fn stamp(header: &pcap::PacketHeader) -> Timestamp {
    Timestamp(header.ts.tv_sec as i64 * 1_000_000_000 + header.ts.tv_usec as i64)
}

impl CaptureSession {
    /// Opens a capture in the network namespace of this thread. The capture is live when this returns.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let interface = config.interface.clone();
        let Some(&first) = config.addresses.first() else {
            return Err(Error::Usage("no address to capture on".to_owned()));
        };
        let inactive = Capture::from_device(interface.as_str())
            .map_err(|error| refused("open a capture", &interface, &error))?;
        let capture = inactive
            // Otherwise libpcap uses TPACKET_V3 and hands over whole blocks: the last frame of a trial would wait for
            // its block to fill or time out.
            .immediate_mode(true)
            .promisc(false)
            .snaplen(i32::from(SNAPLEN))
            .buffer_size(if config.small_ring {
                SMALL_RING_BYTES
            } else {
                RING_BYTES
            })
            // Calls and frames are often less than a microsecond apart, and their order is evidence.
            .precision(Precision::Nano)
            .open()
            .map_err(|error| refused("open a capture", &interface, &error))?;
        // Before the filter, which has to let the fence's port through.
        let fence = if config.crossing.is_empty() {
            Some(FenceSocket::new(first, &interface)?)
        } else {
            None
        };
        let link_number = capture.get_datalink().0;
        let link = Link::of_trial(link_number).ok_or_else(|| Error::Capture {
            action: "decode frames".to_owned(),
            interface: interface.clone(),
            reason: format!(
                "its link type {link_number} is not supported; use an Ethernet or loopback interface"
            ),
        })?;
        let mut capture = capture
            .setnonblock()
            .map_err(|error| refused("set up the capture", &interface, &error))?;
        if interface == "lo" {
            sys::ignore_outgoing(&capture)
                .map_err(|errno| Error::system("ignore outgoing copies on lo", errno))?;
        }
        // The judge has to see the whole connection, so the user's filter is applied here and not in the kernel: that
        // shows what it hides.
        let usual = usual_filter(&config.addresses, &config.ports);
        let fences = match &fence {
            Some(fence) => filter_for(&[fence.address]),
            None => filter_for(&config.crossing),
        };
        // Between hosts, ARP explains why nothing was sent: the address was not resolved.
        let usual = if fence.is_none() {
            format!("{usual} or arp")
        } else {
            usual
        };
        let mut filter = format!("({usual}) or ({fences})");
        let mut users_filter = None;
        if let Some(wanted) = &config.filter {
            let kept = format!("({wanted}) or ({fences})");
            let program = capture
                .compile(&kept, true)
                .map_err(|error| bad_filter(wanted, &error))?;
            users_filter = Some(program);
            capture
                .filter(&format!("({kept}) or ({usual})"), true)
                .map_err(|error| bad_filter(wanted, &error))?;
            filter = kept;
        } else {
            capture
                .filter(&filter, true)
                .map_err(|error| refused("set the filter", &interface, &error))?;
        }
        Ok(Self {
            capture,
            interface,
            filter,
            users_filter,
            link,
            tap: config.tap,
            fence,
            dropped: 0,
        })
    }

    /// Returns the name of the interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Returns the BPF filter for the frames that are kept.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Returns the link type of the frames.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// Sends a fence. The fence binds `commitment` to the frames.
    fn send_fence(&mut self, commitment: Option<&[u8; 32]>) -> Result<Fence, Error> {
        let fence = self.fence.as_mut();
        let sent = fence.map_or(Err(io::ErrorKind::Unsupported.into()), |it| {
            it.send(commitment)
        });
        sent.map_err(|error| fence_failed(&self.interface, &error))
    }

    /// Takes all frames from the ring, without waiting.
    pub fn drain(&mut self, batch: &mut TrialFrames) -> Result<(), Error> {
        while self.next(batch)?.is_some() {}
        Ok(())
    }

    /// Takes frames until `is_it` returns true for one, waiting for it if necessary. Returns false after `bound`,
    /// however many other frames arrive.
    pub async fn drain_until(
        &mut self,
        batch: &mut TrialFrames,
        bound: Duration,
        mut is_it: impl FnMut(&Packet) -> bool,
    ) -> Result<bool, Error> {
        /// Number of frames between two readings of the clock.
        const FRAMES_PER_CLOCK_READ: usize = 16_384;
        let mut deadline = None;
        let mut is_over = false;
        loop {
            let mut empty = false;
            for _ in 0..FRAMES_PER_CLOCK_READ {
                match self.next(batch)? {
                    Some(packet) if is_it(&packet) => return Ok(true),
                    Some(_) => {}
                    None => {
                        empty = true;
                        break;
                    }
                }
            }
            if is_over {
                return Ok(false);
            }
            // Usually the frame is in the ring already, so read the clock only now, and register with the reactor
            // only if the ring is empty. A process that was stopped until the deadline checks once more.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + bound);
            is_over =
                Instant::now() >= deadline || (empty && !self.wait_for_frames(deadline).await?);
        }
    }

    /// Returns the number of frames that the kernel dropped since the last call.
    pub fn newly_dropped(&mut self) -> Result<u64, Error> {
        let stats = self
            .capture
            .stats()
            .map_err(|error| refused("read statistics", &self.interface, &error))?;
        // libpcap counts from the opening of the capture, in 32 bits.
        let newly = stats.dropped.wrapping_sub(self.dropped);
        self.dropped = stats.dropped;
        Ok(u64::from(newly))
    }

    /// Takes the next frame of the trial; `None` if the ring is empty.
    fn next(&mut self, batch: &mut TrialFrames) -> Result<Option<Packet>, Error> {
        loop {
            match self.capture.next_packet() {
                Ok(frame) => {
                    let taken =
                        batch.take((self.link, self.tap), &frame, self.users_filter.as_ref());
                    if taken.is_some() {
                        return Ok(taken);
                    }
                }
                Err(error) => return ended(&self.interface, error).map(|()| None),
            }
        }
    }

    /// Waits until the ring has a frame. Returns false if none came before the deadline.
    async fn wait_for_frames(&self, deadline: Instant) -> Result<bool, Error> {
        let ready =
            sys::readable(self.capture.as_fd()).map_err(|error| self.failed_to_wait(&error))?;
        match timeout_at(deadline, ready.readable()).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) => Err(self.failed_to_wait(&error)),
            Err(_) => Ok(false),
        }
    }

    fn failed_to_wait(&self, error: &io::Error) -> Error {
        Error::Capture {
            action: "wait for frames".to_owned(),
            interface: self.interface.clone(),
            reason: reason(error),
        }
    }
}

/// Maps the end of a read: an empty ring is fine, anything else is an error.
fn ended(interface: &str, error: pcap::Error) -> Result<(), Error> {
    match error {
        pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets => Ok(()),
        other => Err(refused("read the capture", interface, &other)),
    }
}

/// Returns the filter for segments of trials: on the host's own loopback, other programs' connections are not
/// captured.
fn usual_filter(addresses: &[IpAddr], ports: &RangeInclusive<u16>) -> String {
    let hosts = addresses.iter().map(|ip| format!("host {ip}"));
    let hosts = hosts.collect::<Vec<_>>().join(" or ");
    let (first, last) = (ports.start(), ports.end());
    format!("((tcp and portrange {first}-{last}) or icmp or icmp6) and ({hosts})")
}

/// Compiled BPF filter for frames of a file, for one link type.
pub struct StoredFilter(BpfProgram);

impl StoredFilter {
    /// Compiles a filter for frames of this link type, a number of the `LINKTYPE_` registry.
    pub fn new(filter: &str, link: u16) -> Result<Self, Error> {
        let program = Capture::dead(pcap::Linktype(link.into()))
            .and_then(|capture| capture.compile(filter, true))
            .map_err(|error| bad_filter(filter, &error))?;
        Ok(Self(program))
    }

    /// Returns true if the filter matches this frame.
    #[must_use]
    pub fn lets_through(&self, frame: &[u8]) -> bool {
        self.0.filter(frame)
    }
}

fn bad_filter(filter: &str, error: &pcap::Error) -> Error {
    Error::Usage(format!(
        "the BPF filter '{filter}' does not compile: {}",
        words(error)
    ))
}

/// Returns libpcap's error text in one line.
fn words(error: &pcap::Error) -> String {
    let text = match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the error for a failed libpcap call, with its fix if known.
fn refused(action: &str, interface: &str, error: &pcap::Error) -> Error {
    let text = words(error);
    let lower = text.to_lowercase();
    if lower.contains("permission") || lower.contains("not permitted") {
        return Error::may_not_capture(interface);
    }
    let reason = if lower.contains("no such device") {
        "no such interface; a private namespace has only lo, --host uses this host's interfaces \
         (`ip link` lists them)"
            .to_owned()
    } else if lower.contains("not up") || lower.contains("is down") {
        format!("it is down; bring it up with `sudo ip link set {interface} up`")
    } else {
        with_fix(text)
    };
    Error::Capture {
        action: action.to_owned(),
        interface: interface.to_owned(),
        reason,
    }
}

/// UDP socket that sends to itself. The received datagrams are never read: only the captured frames matter.
struct FenceSocket {
    socket: UdpSocket,
    address: SocketAddr,
    mark: u64,
}

impl FenceSocket {
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

    /// Sends a datagram with a new mark.
    fn send(&mut self, commitment: Option<&[u8; 32]>) -> io::Result<Fence> {
        self.mark = self.mark.wrapping_add(1);
        self.socket.send(&payload(self.mark, commitment))?;
        Ok(Fence {
            source: self.address,
            payload: Mark(self.mark),
        })
    }
}

/// Returns the payload of a fence: the mark, then the commitment.
fn payload(mark: u64, commitment: Option<&[u8; 32]>) -> Vec<u8> {
    let mut payload = mark.to_be_bytes().to_vec();
    payload.extend(commitment.into_iter().flatten());
    payload
}

/// Returns the filter for datagrams to these addresses.
fn filter_for(fences: &[SocketAddr]) -> String {
    // In libpcap's syntax `and` and `or` have equal precedence.
    let one =
        |to: &SocketAddr| format!("(udp and dst host {} and dst port {})", to.ip(), to.port());
    let all: Vec<String> = fences.iter().map(one).collect();
    all.join(" or ")
}

fn fence_failed(interface: &str, error: &io::Error) -> Error {
    let reason = match error.raw_os_error() {
        Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL) => {
            "the loopback interface is down; bring it up with `sudo ip link set lo up`".to_owned()
        }
        _ => reason(error),
    };
    Error::Capture {
        action: "send the fence".to_owned(),
        interface: interface.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rstproof_core::packet::IcmpError;

    use super::*;

    fn packet(frame: u32, at: Timestamp) -> Packet {
        let end = (Ipv4Addr::LOCALHOST, 1).into();
        Packet::Icmp(IcmpError {
            frame,
            at,
            tap: Tap::Both,
            source: Ipv4Addr::LOCALHOST.into(),
            kind: 3,
            code: 3,
            quoted_source: end,
            quoted_destination: end,
            quoted_seq: None,
        })
    }

    #[test]
    fn frames_are_sorted_with_their_bytes_and_numbered_again() {
        let mut batch = TrialFrames::new(true);
        for (at, number) in [(10, 1), (30, 2), (20, 3), (20, 4)] {
            let at = Timestamp(at);
            batch.packets.push(packet(number, at));
            batch.times.push(at);
            let start = batch.bytes.len();
            batch.bytes.push(u8::try_from(number).unwrap());
            batch.frames.push(FrameRecord {
                at,
                tap: Tap::Both,
                wire_len: number,
                bytes: start..start + 1,
            });
        }
        batch.sort();
        let frames = batch.frames().map(|it| (it.at.0, it.wire_len, it.bytes[0]));
        // Equal times keep the order of the capture.
        let expected = [(10, 1, 1), (20, 3, 3), (20, 4, 4), (30, 2, 2)];
        assert_eq!(frames.collect::<Vec<_>>(), expected);
        let numbered = [(10, 1), (20, 2), (20, 3), (30, 4)];
        let numbered = numbered.map(|(at, number)| packet(number, Timestamp(at)));
        assert_eq!(batch.packets, numbered);
    }
}
