//! Translation of lines into frames.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::facts::TextNotes;
use super::hex::Dump;
use super::line::{Content, Head, IcmpFields, IpFields, NamedEnd, Record, TcpFields};
use super::names::Names;
use super::numbers::{Conversations, End};
use super::packet::{self, Built, Quoted};
use super::tcpdump::{self, Read};
use super::time::{Clock, Stamp, TextClock};
use super::{Absent, tshark};
use crate::file::Interface;
use crate::file::pcapng::{PcapNg, Statistics};
use crate::packet::ip::Ip;
use crate::packet::link::Link;
use crate::packet::wire::TCP;
use crate::time::Timestamp;

/// Number of interfaces: one for each combination of absent properties.
const INTERFACES: u32 = 33;

/// Maximum number of interfaces of the capturing host that are distinguished.
const MAX_POINTS: usize = 64;

/// Number of segments that an ICMP error is compared with.
const MAX_RECENT: usize = 64;

/// Number of times that show what the times of a text mean.
const MAX_TIMES: usize = 8;

/// Program whose form a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Tcpdump,
    Wireshark,
}

/// Result of looking through the first lines of a text.
#[derive(Debug, Default)]
pub(super) struct Probe {
    times: Vec<Option<Stamp>>,
}

impl Probe {
    /// Returns true if there is a packet.
    pub(super) fn has_packet(&self) -> bool {
        !self.times.is_empty()
    }

    /// Returns the time of the first packet.
    pub(super) fn first(&self) -> Option<Stamp> {
        self.times.first().copied().flatten()
    }

    /// Returns the clock of the text, if a packet was found and the meaning of its time is clear. With `is_all` no more lines are
    /// waited for.
    pub(super) fn clock(&self, is_all: bool) -> Option<Clock> {
        let is_clear = match self.times.first()? {
            Some(Stamp::Clock(at)) => *at != 0,
            Some(Stamp::Seconds(_)) => false,
            _ => true,
        };
        let is_enough = is_clear || is_all || self.times.len() >= MAX_TIMES;
        is_enough.then(|| Clock::of(&self.times))
    }
}

/// Looks through the first lines of a text for packets.
pub(super) fn probe(bytes: &[u8], is_at_end: bool) -> Probe {
    let mut probe = Probe::default();
    let mut head = None;
    let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        // The last line may go on.
        if lines.peek().is_none() && !is_at_end || probe.times.len() >= MAX_TIMES {
            break;
        }
        let line = &line[..line.len().min(super::MAX_LINE)];
        match read_line(unquoted(&String::from_utf8_lossy(line)), head.as_ref()) {
            Some((_, Read::Packet(record))) => {
                probe.times.push(record.head.stamp);
                head = None;
            }
            Some((_, Read::Head(first))) => head = Some(*first),
            _ => {}
        }
    }
    probe
}

/// Returns a line without the marks that mail programs and web pages put in front of quotations.
fn unquoted(line: &str) -> &str {
    line.trim_start_matches(|letter: char| {
        letter.is_whitespace() || matches!(letter, '>' | '|' | '\u{feff}')
    })
    .trim_end()
}

/// Reads a line in the form of either program.
fn read_line(line: &str, head: Option<&Head>) -> Option<(Tool, Read)> {
    // A line of tshark begins with two numbers, which no line of tcpdump does.
    if let Some(record) = tshark::read(line)
        && !line.contains(": Flags [")
    {
        return Some((Tool::Wireshark, Read::Packet(Box::new(record))));
    }
    tcpdump::read(line, head).map(|read| (Tool::Tcpdump, read))
}

/// Packet whose lines are complete.
#[derive(Debug)]
pub(super) struct Finished {
    tool: Tool,
    record: Option<Record>,
    dump: Dump,
    /// Segment that an ICMP error quotes, if its line was printed.
    quoted: Option<([NamedEnd; 2], TcpFields)>,
}

impl Finished {
    fn new(tool: Tool, record: Option<Record>) -> Self {
        Self {
            tool,
            record,
            dump: Dump::default(),
            quoted: None,
        }
    }

    /// Returns the number of the packet, if the text has one.
    pub(super) fn number(&self) -> Option<u32> {
        self.record.as_ref()?.head.number
    }

    fn is_icmp(&self) -> bool {
        (self.record.as_ref()).is_some_and(|it| matches!(it.content, Content::Icmp(_)))
    }
}

/// Translator of the lines of one text.
#[derive(Debug)]
pub(super) struct Translator {
    clock: Clock,
    out: PcapNg,
    frames: u32,
    /// Packet whose lines may go on.
    pending: Option<Finished>,
    /// First line of a packet that takes two.
    head: Option<Head>,
    conversations: Conversations,
    names: Names,
    /// Names of the capturing host's interfaces; their indexes are counted from 1.
    points: Vec<String>,
    /// Latest segments, which an ICMP error may be about.
    recent: VecDeque<[End; 2]>,
    /// True if there were more connections than `recent` holds.
    has_forgotten: bool,
    /// Number of packets that the kernel dropped, by the last lines of tcpdump.
    dropped: u64,
    /// True once a packet without an IP header was read.
    lacks_headers: bool,
    notes: Arc<TextNotes>,
}

impl Default for Translator {
    fn default() -> Self {
        Self {
            clock: Clock::of(&[]),
            out: PcapNg::begin_anywhere(None, "text", &[]),
            frames: 0,
            pending: None,
            head: None,
            conversations: Conversations::default(),
            names: Names::default(),
            points: Vec::new(),
            recent: VecDeque::new(),
            has_forgotten: false,
            dropped: 0,
            lacks_headers: false,
            notes: Arc::default(),
        }
    }
}

impl Translator {
    /// Begins the output, with the clock of the text and the time of its first packet.
    pub(super) fn begin(&mut self, clock: Clock, first: Option<Stamp>) {
        self.clock = clock;
        let mut clock = clock;
        clock.take(first);
        self.notes.change(|facts| facts.clock = clock.kind());
        // All of them, although a text uses a few: an interface has to precede its frames, and which ones follow is not known
        // yet.
        for number in 0..INTERFACES {
            let lacks_point = Absent::of_interface(number).has(Absent::POINT);
            let link = if lacks_point {
                Link::Raw
            } else {
                Link::LinuxCooked2
            };
            let interface = Interface {
                link: link.number(),
                ..Interface::default()
            };
            self.out.interface(&interface, &[]);
        }
    }

    pub(super) fn notes(&self) -> Arc<TextNotes> {
        Arc::clone(&self.notes)
    }

    /// Returns the number of frames that were written.
    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    /// Returns the output since the last call.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        let out = self.out.bytes().to_vec();
        self.out.clear();
        out
    }

    /// Takes in a line. Returns the packet before it, if the line does not belong to that one.
    pub(super) fn line(&mut self, raw: &str) -> Option<Finished> {
        let line = unquoted(raw);
        if line.is_empty() {
            return None;
        }
        if let Some(pending) = &mut self.pending
            && pending.dump.take(line)
        {
            return None;
        }
        // The second line follows the first one at once: what stands in between, such as the text of a report, ends the packet, so
        // that its header does not go to another one.
        let head = self.head.take();
        let Some((tool, read)) = read_line(line, head.as_ref()) else {
            self.take_trailer(line);
            return None;
        };
        match read {
            Read::Head(first) => {
                self.head = Some(*first);
                None
            }
            Read::Cut => self.pending.replace(Finished::new(tool, None)),
            Read::Packet(record) => {
                if self.quotes(raw, &record)
                    && let Some(pending) = &mut self.pending
                {
                    if let (Some(ends), Content::Tcp(tcp)) = (record.ends, record.content) {
                        pending.quoted = Some((ends, tcp));
                    }
                    return None;
                }
                self.pending.replace(Finished::new(tool, Some(*record)))
            }
        }
    }

    /// Returns true if a packet is quoted by the ICMP error before it: with `-v`, tcpdump prints it without a time and indented.
    fn quotes(&self, raw: &str, record: &Record) -> bool {
        let Some(pending) = self.pending.as_ref().filter(|it| it.is_icmp()) else {
            return false;
        };
        let has_time = (pending.record.as_ref()).is_some_and(|it| it.head.stamp.is_some());
        let is_indented = raw.starts_with(['\t', ' ']) && self.clock.kind() == TextClock::None;
        record.head.stamp.is_none() && (has_time || is_indented)
    }

    /// Takes in a line that belongs to no packet, such as tcpdump's counts.
    fn take_trailer(&mut self, line: &str) {
        if let Some((number, what)) = line.split_once(' ')
            && what.starts_with("packet")
            && what.ends_with("dropped by kernel")
            && let Ok(dropped) = number.parse::<u64>()
        {
            self.dropped = self.dropped.saturating_add(dropped);
            return;
        }
        self.notes.change(|facts| facts.other_lines += 1);
    }

    /// Returns the last packet of the text.
    pub(super) fn finish(&mut self) -> Option<Finished> {
        self.pending.take()
    }

    /// Writes frames for packets that are missing in the text.
    pub(super) fn pad(&mut self, count: u32) {
        for _ in 0..count {
            // Without a byte: the frame is counted for its number alone.
            self.out.frame(Absent::PADDING.0, Timestamp(0), 0, &[], &[]);
        }
        self.frames = self.frames.saturating_add(count);
        self.notes.change(|facts| facts.padding += u64::from(count));
    }

    /// Writes a block that readers skip.
    pub(super) fn fill_in(&mut self) {
        self.out.nothing();
    }

    /// Writes what the program has counted.
    pub(super) fn write_end(&mut self) {
        if self.dropped > 0 {
            let none = Timestamp(0);
            let dropped = self.dropped;
            self.out.statistics(
                0,
                Statistics {
                    began: none,
                    ended: none,
                    received: 0,
                    dropped,
                },
            );
        }
    }

    /// Writes the frame of a packet.
    pub(super) fn write(&mut self, finished: Finished) {
        // Also for a line that is not read: the time of the next one may count from it (`-ttt`).
        let stamp = finished.record.as_ref().and_then(|it| it.head.stamp);
        let at = Timestamp(self.clock.take(stamp));
        let clock = self.clock.kind();
        let tool = finished.tool;
        self.notes.change(|facts| {
            facts.packets += 1;
            facts.clock = clock;
            facts.is_of_tcpdump |= tool == Tool::Tcpdump;
            facts.is_of_wireshark |= tool == Tool::Wireshark;
        });
        let point = finished
            .record
            .as_ref()
            .and_then(|it| it.head.point.clone());
        let (built, mut absent) = self.build(finished);
        if clock == TextClock::None {
            absent = absent.and(Absent::TIME);
        }
        let mut frame = Vec::with_capacity(20 + built.bytes.len());
        if let Some((name, kind)) = point {
            frame.extend(self.cooked_header(&name, kind, &built.bytes));
        } else {
            absent = absent.and(Absent::POINT);
        }
        let wire_len = built
            .wire_len
            .saturating_add(u32::try_from(frame.len()).unwrap_or(0));
        frame.extend(&built.bytes);
        self.out.odd_frame(absent.0, at, wire_len, &frame, &[]);
        self.frames = self.frames.saturating_add(1);
    }

    /// Returns a header of Linux cooked v2 (`LINKTYPE_LINUX_SLL2`).
    fn cooked_header(&mut self, name: &str, kind: u8, packet: &[u8]) -> [u8; 20] {
        let known = self.points.iter().position(|it| it == name);
        let index = known.unwrap_or_else(|| {
            if self.points.len() < MAX_POINTS {
                self.points.push(name.to_owned());
            }
            self.points.len() - 1
        });
        let mut header = [0; 20];
        let is_v6 = packet.first().is_some_and(|it| it >> 4 == 6);
        (header[0], header[1]) = if is_v6 { (0x86, 0xdd) } else { (0x08, 0x00) };
        let index = u32::try_from(index + 1).unwrap_or(0).to_be_bytes();
        header[4..8].copy_from_slice(&index);
        header[10] = kind;
        header
    }

    /// Builds the packet, and returns what is absent in it.
    fn build(&mut self, finished: Finished) -> (Built, Absent) {
        let Some(record) = finished.record else {
            self.notes.change(|facts| facts.cut += 1);
            return (packet::other(), Absent::default());
        };
        if let Some((bytes, wire_len)) = finished.dump.packet()
            && agrees(bytes, &record.content)
        {
            let is_other = matches!(record.content, Content::Other(_));
            self.notes.change(|facts| {
                facts.dumped += 1;
                facts.read += u64::from(!is_other);
            });
            return (
                Built {
                    bytes: bytes.to_vec(),
                    wire_len,
                },
                Absent::default(),
            );
        }
        let ip = record.head.ip;
        match (record.content, record.ends) {
            (Content::Tcp(tcp), Some(ends)) => {
                let built = self.segment(&ends, record.head.is_v6, &tcp, (finished.tool, ip));
                if built.is_none() {
                    self.notes.change(|facts| facts.too_many += 1);
                }
                built.unwrap_or_else(|| (packet::other(), Absent::default()))
            }
            (Content::Icmp(icmp), Some(ends)) => {
                let built = self.error(&ends, &icmp, finished.quoted, ip);
                if built.is_none() {
                    self.notes.change(|facts| facts.unassigned_errors += 1);
                }
                let built = built.unwrap_or_else(packet::other);
                let absent = if ip.is_some() {
                    Absent::default()
                } else {
                    Absent::IP_HEADER
                };
                (built, absent)
            }
            (
                Content::Payload {
                    protocol,
                    frame_len,
                },
                Some(ends),
            ) => {
                let built = self.payload(&ends, frame_len);
                if built.is_none() {
                    self.notes.change(|facts| facts.count_other(protocol));
                }
                built.unwrap_or_else(|| (packet::other(), Absent::default()))
            }
            (Content::Other(name), _) => {
                self.notes.change(|facts| facts.count_other(name));
                (packet::other(), Absent::default())
            }
            _ => (packet::other(), Absent::default()),
        }
    }

    /// Builds a segment. `None` if it cannot be given numbers.
    fn segment(
        &mut self,
        ends: &[NamedEnd; 2],
        is_v6: Option<bool>,
        tcp: &TcpFields,
        (tool, ip): (Tool, Option<IpFields>),
    ) -> Option<(Built, Absent)> {
        let names = self.names.len();
        let ends = self.names.ends(ends, is_v6)?;
        if self.names.len() != names {
            self.notes.change(|facts| facts.take_names(&self.names));
        }
        let [from, to] = ends;
        let numbers = match tool {
            Tool::Tcpdump => {
                let at = (self.clock.kind() != TextClock::None).then(|| self.clock.latest());
                self.conversations.of_tcpdump(from, to, tcp, at)?
            }
            Tool::Wireshark => self.conversations.of_wireshark(from, to, tcp)?,
        };
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
            self.has_forgotten = true;
        }
        // The latest is last, and each pair of ends stands there once, so that the list holds as many connections as it has room
        // for.
        self.recent.retain(|it| *it != ends);
        self.recent.push_back(ends);
        let ip = self.header(ip);
        let mut absent = if ip.is_some() {
            Absent::default()
        } else {
            Absent::IP_HEADER
        };
        if !tcp.are_options_exact {
            absent = absent.and(Absent::OPTIONS);
        }
        if !numbers.is_related {
            absent = absent.and(Absent::SEQUENCE);
        }
        self.notes.change(|facts| {
            (facts.read, facts.bare) = (facts.read + 1, facts.bare + 1);
            facts.with_ip_header += u64::from(ip.is_some());
        });
        let built = packet::segment(ends, tcp, &numbers, ip.unwrap_or_default());
        Some((built, absent))
    }

    /// Builds the segment of a payload that is shown without ports. `None` unless the text has exactly one connection between its
    /// hosts.
    fn payload(&mut self, ends: &[NamedEnd; 2], frame_len: u32) -> Option<(Built, Absent)> {
        let [from, to] = [&ends[0], &ends[1]].map(|it| super::line::address(&it.host));
        let (from, to) = (from?, to?);
        let among = |[one, other]: &[End; 2]| match (one.0, other.0) {
            hosts if hosts == (from, to) => Some([*one, *other]),
            hosts if hosts == (to, from) => Some([*other, *one]),
            _ => None,
        };
        let mut found = self.recent.iter().filter_map(among);
        let first = found.next().filter(|_| from != to && !self.has_forgotten)?;
        if found.any(|it| it != first) {
            return None;
        }
        let (tcp, numbers) = self.conversations.payload(first[0], first[1], frame_len)?;
        self.header(None);
        self.notes
            .change(|facts| (facts.read, facts.bare) = (facts.read + 1, facts.bare + 1));
        let absent = Absent::IP_HEADER.and(Absent::OPTIONS);
        let built = packet::segment(first, &tcp, &numbers, IpFields::default());
        Some((built, absent))
    }

    /// Returns the IP header of a packet. Once one without a header was read there is none: a header that some packets of a
    /// connection lack would make them look different.
    fn header(&mut self, ip: Option<IpFields>) -> Option<IpFields> {
        self.lacks_headers |= ip.is_none();
        ip.filter(|_| !self.lacks_headers)
    }

    /// Builds an ICMP error. `None` if the text does not show which segment it is about.
    fn error(
        &mut self,
        ends: &[NamedEnd; 2],
        icmp: &IcmpFields,
        quoted: Option<([NamedEnd; 2], TcpFields)>,
        ip: Option<IpFields>,
    ) -> Option<Built> {
        let from = self.names.host(&ends[0].host, icmp.is_v6)?;
        let to = self.names.host(&ends[1].host, icmp.is_v6)?;
        let quoted = match quoted {
            Some((ends, tcp)) => {
                let ends = self.names.ends(&ends, Some(icmp.is_v6))?;
                // Only numbers of segments without ACK are printed as they are.
                Quoted {
                    ends,
                    seq: tcp.seq.filter(|_| tcp.ack.is_none()),
                }
            }
            None => Quoted {
                ends: self.likely_subject(to, icmp)?,
                seq: None,
            },
        };
        let is_one_version = [from, to, quoted.ends[0].0]
            .iter()
            .all(|it| it.is_ipv6() == icmp.is_v6);
        if !is_one_version {
            return None;
        }
        self.notes.change(|facts| {
            (facts.read, facts.bare) = (facts.read + 1, facts.bare + 1);
            facts.with_ip_header += u64::from(ip.is_some());
        });
        Some(packet::icmp(from, to, icmp, quoted, ip.unwrap_or_default()))
    }

    /// Returns the ends of the segments that an ICMP error to a host may be about, if they are all of one connection.
    fn likely_subject(&mut self, to: IpAddr, icmp: &IcmpFields) -> Option<[End; 2]> {
        let host = icmp.host.as_deref().and_then(super::line::address);
        let port = icmp.port.as_deref().map(|it| self.names.port(it));
        let mut found = self.recent.iter().filter(|[from, target]| {
            from.0 == to
                && host.is_none_or(|host| target.0 == host)
                && port.is_none_or(|port| Some(target.1) == port)
        });
        let subject = found.next()?;
        found.next().is_none().then_some(*subject)
    }
}

/// Returns true if the packet of a hex dump is the one that the line above it states.
fn agrees(packet: &[u8], content: &Content) -> bool {
    let Some(ip) = Ip::of(packet) else {
        return false;
    };
    match content {
        Content::Tcp(tcp) => ip.protocol == TCP && ip.payload.get(13) == Some(&tcp.flags),
        Content::Payload { .. } => ip.protocol == TCP,
        Content::Icmp(_) | Content::Other(_) => ip.protocol != TCP,
    }
}
