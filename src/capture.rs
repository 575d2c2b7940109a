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

/// Longest prefix of a frame that is kept, in bytes: all headers, and of an ICMP error the headers that it quotes.
pub const SNAPLEN: u16 = 256;

/// Ring size in bytes: some 10,000 frames of [`SNAPLEN`].
const RING: i32 = 4 << 20;

/// A small one: some 1,000 frames.
const SMALL_RING: i32 = 512 << 10;

/// How long to wait for a frame that must come. A bound on failure, not a pace.
pub const PATIENCE: Duration = FRAME_BOUND;

/// What to capture.
#[derive(Clone, Debug)]
pub struct Config {
    /// Interface name.
    pub interface: String,
    /// A BPF filter of the user's own: only what it lets through is shown and saved.
    pub filter: Option<String>,
    /// The addresses that trials use; the first one also carries the fence.
    pub addresses: Vec<IpAddr>,
    /// The ports that their servers use.
    pub ports: RangeInclusive<u16>,
    /// Whether the ring is to be small: there are many, and each is for one trial at a time.
    pub small_ring: bool,
    /// What it shows.
    pub tap: Tap,
    /// Where fences go that others send across, if it is between two hosts; on loopback it sends its own.
    pub crossing: Vec<SocketAddr>,
}

/// An open capture.
pub struct Session {
    capture: Capture<Active>,
    interface: String,
    filter: String,
    /// The user's own, compiled: what it rejects is neither shown nor saved.
    users_filter: Option<BpfProgram>,
    link: Link,
    tap: Tap,
    /// `None` if fences cross it that others send.
    fence: Option<FenceSocket>,
    dropped: u32,
}

/// The frames of one trial.
#[derive(Debug, Default)]
pub struct Batch {
    /// Whether to keep the frames' bytes; decoded packets always are.
    keep_bytes: bool,
    /// Frames stamped before belong to what was there earlier.
    since: Timestamp,
    /// Frames stamped later belong to no trial, but for fences.
    until: Option<Timestamp>,
    /// Decoded, in capture order: frame `n` is at index `n - 1`.
    pub packets: Vec<Packet>,
    /// What the user's filter rejected: not evidence, but what is missing of it.
    pub hidden: Vec<Packet>,
    /// When each was stamped.
    times: Vec<Timestamp>,
    frames: Vec<Frame>,
    bytes: Vec<u8>,
}

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// When it was stamped.
    pub at: Timestamp,
    /// Where.
    pub tap: Tap,
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

#[derive(Debug)]
struct Frame {
    at: Timestamp,
    tap: Tap,
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

    /// The captured frames. Their bytes are empty unless those are kept.
    pub fn frames(&self) -> impl Iterator<Item = Captured<'_>> {
        self.frames.iter().map(|frame| Captured {
            at: frame.at,
            tap: frame.tap,
            wire_len: frame.wire_len,
            bytes: &self.bytes[frame.bytes.clone()],
        })
    }

    /// Puts what was captured at two ends into the order of time, and numbers it anew.
    fn sort(&mut self) {
        if self.times.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        // Keeps the order of equals.
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

    /// Forgets all frames, keeps the memory, and takes no frame stamped before `since`: what the tear-down of an
    /// earlier trial sent may still be in the ring.
    pub fn begin(&mut self, since: Timestamp) {
        self.since = since;
        self.until = None;
        self.packets.clear();
        self.hidden.clear();
        self.times.clear();
        self.frames.clear();
        self.bytes.clear();
    }

    /// Takes no frame any more that is stamped after `until`, but fences.
    pub fn end(&mut self, until: Timestamp) {
        self.until = Some(until);
    }

    /// Forgets what came after the last of these fences.
    fn cut_after(&mut self, fence: &Fence) {
        let Some(last) = self.packets.iter().rposition(|packet| fence.is(packet)) else {
            return;
        };
        self.packets.truncate(last + 1);
        self.times.truncate(last + 1);
        self.frames.truncate(last + 1);
    }

    /// Takes a frame in. What it is, if it is one of this trial.
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
            let start = self.bytes.len();
            self.bytes.extend_from_slice(frame.data);
            self.frames.push(Frame {
                at,
                tap,
                wire_len: frame.header.len,
                bytes: start..self.bytes.len(),
            });
        }
        Some(packet)
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
            .buffer_size(if config.small_ring { SMALL_RING } else { RING })
            .precision(Precision::Nano)
            .open()
            .map_err(|error| refused("open a capture", &interface, &error))?;
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
        // The judge has to see the whole connection, so the user's filter is asked here and not in the kernel: then it
        // is known what it hid.
        let usual = usual_filter(&config.addresses, &config.ports);
        let fences = match &fence {
            Some(fence) => filter_for(&[fence.address]),
            None => filter_for(&config.crossing),
        };
        // Between hosts it says why nothing was sent: nobody has answered.
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

    /// The interface's name.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The BPF filter that says which frames are kept.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// How its frames begin.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// Sends a fence. What it carries beside its mark is bound to the frames by that.
    fn send_fence(&mut self, commitment: Option<&[u8; 32]>) -> Result<Fence, Error> {
        let fence = self.fence.as_mut();
        let sent = fence.map_or(Err(io::ErrorKind::Unsupported.into()), |it| {
            it.send(commitment)
        });
        sent.map_err(|error| fence_failed(&self.interface, &error))
    }

    /// Takes everything that is in the ring, and waits for nothing.
    pub fn drain(&mut self, batch: &mut Batch) -> Result<(), Error> {
        while self.next(batch)?.is_some() {}
        Ok(())
    }

    /// Takes frames until one `is_it`, waiting for it if need be. Whether it came within the bound, however many
    /// others come.
    pub async fn drain_until(
        &mut self,
        batch: &mut Batch,
        patience: Duration,
        mut is_it: impl FnMut(&Packet) -> bool,
    ) -> Result<bool, Error> {
        /// Frames between two looks at the clock.
        const STRETCH: usize = 16_384;
        let mut deadline = None;
        let mut is_over = false;
        loop {
            let mut empty = false;
            for _ in 0..STRETCH {
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
            // Most often it is in the ring already. Only now is it worth looking at the clock, and only if the ring
            // is empty worth registering with the reactor. A process that was stopped till then looks once more.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
            is_over =
                Instant::now() >= deadline || (empty && !self.wait_for_frames(deadline).await?);
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

    /// Takes one frame of the trial; `None` if the ring is empty.
    fn next(&mut self, batch: &mut Batch) -> Result<Option<Packet>, Error> {
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

    /// Waits until the ring has a frame; `false` if none came before the deadline.
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

/// What ends a run of frames: an empty ring is fine, anything else is an error.
fn ended(interface: &str, error: pcap::Error) -> Result<(), Error> {
    match error {
        pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets => Ok(()),
        other => Err(refused("read the capture", interface, &other)),
    }
}

/// Trials and nothing else: on a host's own loopback other people's conversations are none of our business.
fn usual_filter(addresses: &[IpAddr], ports: &RangeInclusive<u16>) -> String {
    let hosts = addresses.iter().map(|ip| format!("host {ip}"));
    let hosts = hosts.collect::<Vec<_>>().join(" or ");
    let (first, last) = (ports.start(), ports.end());
    format!("((tcp and portrange {first}-{last}) or icmp or icmp6) and ({hosts})")
}

/// A filter for frames that were captured earlier, as libpcap compiles it for a link type.
pub struct StoredFilter(BpfProgram);

impl StoredFilter {
    /// Compiles a filter for frames of this number of the `LINKTYPE_` registry.
    pub fn new(filter: &str, link: u16) -> Result<Self, Error> {
        let program = Capture::dead(pcap::Linktype(link.into()))
            .and_then(|capture| capture.compile(filter, true))
            .map_err(|error| bad_filter(filter, &error))?;
        Ok(Self(program))
    }

    /// Whether it lets this frame through.
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
        with_fix(text)
    };
    Error::Capture {
        action: action.to_owned(),
        interface: interface.to_owned(),
        reason,
    }
}

/// A UDP socket that sends to itself. What it receives is never read: the frame on the wire is what counts.
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

    /// Sends a datagram with a mark of its own.
    fn send(&mut self, commitment: Option<&[u8; 32]>) -> io::Result<Fence> {
        self.mark = self.mark.wrapping_add(1);
        self.socket.send(&payload(self.mark, commitment))?;
        Ok(Fence {
            from: self.address,
            mark: Mark(self.mark),
        })
    }
}

/// What a fence carries.
fn payload(mark: u64, commitment: Option<&[u8; 32]>) -> Vec<u8> {
    let mut payload = mark.to_be_bytes().to_vec();
    payload.extend(commitment.into_iter().flatten());
    payload
}

/// Datagrams to these addresses.
fn filter_for(fences: &[SocketAddr]) -> String {
    // `and` and `or` bind equally strongly.
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
