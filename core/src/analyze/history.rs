//! History of a connection before an RST: the facts that its explanation depends on, and the gaps of the capture.

use crate::flow::Reset;
use crate::packet::{Flags, Header, SeqNum};
use crate::time::Timestamp;
use crate::transcript::Role;

/// Missing parts of a connection in the capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureGaps {
    /// True if the capture lacks the beginning of the connection.
    pub begins_midstream: bool,
    /// Number of the first frame that acknowledges data missing in the capture.
    pub lost: Option<u32>,
    /// Number of segments that show that the capture lacks others while it lasts; at most [`CaptureGaps::MOST_UNSEEN`].
    pub unseen: u8,
    /// True if packets of only one end were captured.
    pub one_sided: bool,
    /// True if packets were captured twice.
    pub doubled: bool,
    /// True if the capture is known to lack segments without SYN, FIN and RST before the latest RST: a filter hides them, or
    /// the IP IDs of its sender skip them.
    pub lacks_plain: bool,
}

impl CaptureGaps {
    /// Largest number that `unseen` counts to.
    pub const MOST_UNSEEN: u8 = 3;

    /// Counts a segment that shows that the capture lacks others.
    pub(crate) fn count_unseen(&mut self) {
        self.unseen = (self.unseen + 1).min(Self::MOST_UNSEEN);
    }
}

/// History of one end of a connection.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct EndpointHistory {
    /// Latest RST of this end.
    // Boxed, because few connections have an RST and a `Header` would dominate the size of all others.
    pub previous: Option<Box<Header>>,
    /// Capture time of the latest segment. This field and the frame number are valid only if `packets` is not 0.
    latest_at: Timestamp,
    latest_frame: u32,
    /// Number of packets that this end has sent, without RSTs; saturates at `u8::MAX`.
    // One byte is enough: only 0, 1 and more are distinguished.
    pub packets: u8,
    /// Number of keepalive probes of this end since the last packet of the other end.
    pub probes: u8,
    /// Bits: `FIN`, `RESET`, `DATA_AFTER_FIN` and `MAY_HAVE_PROBED`.
    events: u8,
    /// Number of empty segments in a row that this end has sent at one number, since the last packet of the other end.
    empties: u8,
}

impl EndpointHistory {
    const FIN: u8 = 1;
    const RESET: u8 = 1 << 1;
    const DATA_AFTER_FIN: u8 = 1 << 2;
    const MAY_HAVE_PROBED: u8 = 1 << 3;

    /// Returns true if this end has sent a FIN.
    #[must_use]
    pub(crate) fn fin(&self) -> bool {
        self.events & Self::FIN != 0
    }

    /// Returns true if this end has sent an RST that was accepted.
    #[must_use]
    pub(crate) fn reset(&self) -> bool {
        self.events & Self::RESET != 0
    }

    /// Returns true if this end has sent data after the other end's FIN.
    #[must_use]
    pub(crate) fn data_after_fin(&self) -> bool {
        self.events & Self::DATA_AFTER_FIN != 0
    }

    /// Returns true if the empty segments of this end before its RST may have been keepalive probes.
    #[must_use]
    pub(crate) fn may_have_probed(&self) -> bool {
        self.events & Self::MAY_HAVE_PROBED != 0
    }

    /// Returns the latest segment of this end.
    #[must_use]
    pub(crate) fn latest(&self) -> Option<Latest> {
        (self.packets > 0).then_some(Latest {
            frame: self.latest_frame,
            at: self.latest_at,
        })
    }

    fn note(&mut self, event: u8, has_happened: bool) {
        self.events |= if has_happened { event } else { 0 };
    }
}

/// Frame number and time of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latest {
    /// Number of the frame.
    pub frame: u32,
    /// Capture time.
    pub at: Timestamp,
}

/// History of a connection before an RST, as far as the explanation depends on it.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct ConnectionHistory {
    ends: [EndpointHistory; 2],
    /// Number of packets that both ends have sent, including RSTs.
    pub packets: u64,
    /// Bits: one for each part of the handshake that was captured, and `PLAIN`.
    captured: u8,
    /// True if a part of the handshake was sent more than once.
    is_repeated: bool,
    /// Capture times of the parts: the SYN, its reply, and the next segment.
    parts: [Timestamp; 3],
}

/// History of one end of an orderly connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderlyHistory {
    /// Frame and time of its latest packet.
    pub(super) latest: (u32, Timestamp),
    /// Number of its packets.
    pub(super) packets: u32,
    /// Number of its latest packets that were empty, with none of the other end between them.
    pub(super) empties: u8,
    /// True if it has sent a FIN.
    pub(super) has_fin: bool,
    /// True if it has sent data after the FIN of the other end.
    pub(super) has_data_after_fin: bool,
}

impl OrderlyHistory {
    fn of_end(self) -> EndpointHistory {
        let mut end = EndpointHistory {
            previous: None,
            latest_at: self.latest.1,
            latest_frame: self.latest.0,
            packets: u8::try_from(self.packets).unwrap_or(u8::MAX),
            probes: 0,
            events: 0,
            empties: self.empties,
        };
        end.note(EndpointHistory::FIN, self.has_fin);
        end.note(EndpointHistory::DATA_AFTER_FIN, self.has_data_after_fin);
        end
    }
}

/// Compact form of a [`ConnectionHistory`] for a dormant connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistorySummary {
    /// Of the client and of the server: number of packets; numbers of probes and of empty segments up to 15, in the lower
    /// and the upper half; `events` bits, and `HOLDS_PLAIN` for both.
    ends: [[u8; 3]; 2],
    packets: u8,
}

// A capture may have a million connections with one history each, so its size matters. Fields that every packet changes
// come first.
const _: () = assert!(size_of::<ConnectionHistory>() <= 88);

impl HistorySummary {
    /// Returns the number of SYNs of a client that has sent nothing else and got no reply; `None` otherwise.
    pub(super) fn syns_without_reply(self) -> Option<u8> {
        let [[client, _, events], [server, ..]] = self.ends;
        (client > 0 && server == 0 && events == 0).then_some(client)
    }
}

impl ConnectionHistory {
    const SYN: usize = 0;
    const SYN_ACK: usize = 1;
    const NEXT: usize = 2;
    /// Bit of `captured` for a segment without SYN, FIN and RST.
    const PLAIN: u8 = 1 << 7;
    /// Bit of a summary's `events` for the same.
    const HOLDS_PLAIN: u8 = 1 << 7;
    /// Number of packets that are checked for a handshake, which is among the first. A bound saves the check for all the
    /// others.
    const HANDSHAKE_PACKETS: u64 = 8;

    /// Creates the history of an orderly connection, given the times of the parts of its handshake that were captured, in their order,
    /// and whether a segment without SYN and FIN was.
    #[must_use]
    pub(super) fn orderly(
        ends: &[OrderlyHistory; 2],
        parts: &[Timestamp],
        holds_plain: bool,
    ) -> Self {
        let mut history = Self {
            ends: ends.map(OrderlyHistory::of_end),
            packets: ends.iter().map(|end| u64::from(end.packets)).sum(),
            captured: if holds_plain { Self::PLAIN } else { 0 },
            ..Self::default()
        };
        for (part, at) in parts.iter().enumerate().take(history.parts.len()) {
            history.captured |= 1 << part;
            history.parts[part] = *at;
        }
        history
    }

    /// Returns the history of an end.
    #[must_use]
    pub(crate) fn of(&self, role: Role) -> &EndpointHistory {
        match role {
            Role::Client => &self.ends[0],
            Role::Server => &self.ends[1],
        }
    }

    /// Adds a segment that is not an RST. `next` is the sequence number that the flow expected, and `una` the oldest one
    /// that the other end had not acknowledged.
    #[inline]
    pub(crate) fn take(
        &mut self,
        from: Role,
        header: &Header,
        next: Option<SeqNum>,
        una: Option<SeqNum>,
    ) {
        self.packets += 1;
        let flags = header.flags;
        if self.packets <= Self::HANDSHAKE_PACKETS {
            self.time_handshake(flags, header.at);
        }
        if flags.0 & (Flags::SYN.0 | Flags::FIN.0) == 0 {
            self.captured |= Self::PLAIN;
        }
        let [client, server] = &mut self.ends;
        let (sender, other) = match from {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        sender.packets = sender.packets.saturating_add(1);
        sender.note(EndpointHistory::FIN, flags.has(Flags::FIN));
        sender.note(
            EndpointHistory::DATA_AFTER_FIN,
            other.fin() && header.payload_len > 0,
        );
        // RFC 9293, 3.8.4: a probe has a sequence number one below the next one, and either no data or one byte that
        // the other end already has.
        let is_small = header.payload_len <= 1
            && flags.has(Flags::ACK)
            && flags.0 & (Flags::SYN.0 | Flags::FIN.0) == 0;
        let is_probe = is_small
            && next.is_some_and(|next| header.seq.plus(1) == next)
            // Otherwise it repeats a byte that was lost.
            && (header.payload_len == 0 || una == next);
        let is_empty = is_small && header.payload_len == 0;
        sender.empties = match next {
            Some(next) if next != header.seq => 0,
            _ if is_empty => sender.empties.saturating_add(1),
            _ => 0,
        };
        sender.probes = if is_probe {
            sender.probes.saturating_add(1)
        } else {
            0
        };
        // Any packet shows that this end is alive, so it answers the probes of the other end.
        (other.probes, other.empties) = (0, 0);
        sender.latest_frame = header.frame;
        sender.latest_at = header.at;
    }

    /// Adds an ACK without SYN, FIN and RST that begins at the sequence number that the flow expected, as [`take`](Self::take)
    /// does.
    #[inline]
    pub(crate) fn take_usual(&mut self, from: Role, header: &Header) {
        self.packets += 1;
        if self.packets <= Self::HANDSHAKE_PACKETS {
            self.time_handshake(header.flags, header.at);
        }
        self.captured |= Self::PLAIN;
        let [client, server] = &mut self.ends;
        let (sender, other) = match from {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        sender.packets = sender.packets.saturating_add(1);
        if header.payload_len > 0 {
            sender.note(EndpointHistory::DATA_AFTER_FIN, other.fin());
            sender.empties = 0;
        } else {
            sender.empties = sender.empties.saturating_add(1);
        }
        (sender.probes, other.probes, other.empties) = (0, 0, 0);
        sender.latest_frame = header.frame;
        sender.latest_at = header.at;
    }

    fn time_handshake(&mut self, flags: Flags, at: Timestamp) {
        let part = match (flags.has(Flags::SYN), flags.has(Flags::ACK)) {
            (true, false) => Self::SYN,
            (true, true) => Self::SYN_ACK,
            (false, _) if self.part(Self::NEXT).is_none() => Self::NEXT,
            (false, _) => return,
        };
        self.is_repeated |= self.part(part).is_some();
        self.captured |= 1 << part;
        self.parts[part] = at;
    }

    /// Returns the time at which a part of the handshake was captured.
    fn part(&self, part: usize) -> Option<Timestamp> {
        (self.captured >> part & 1 == 1).then_some(self.parts[part])
    }

    /// Returns true if the SYN and its reply were captured, and nothing after them except retransmissions.
    #[must_use]
    pub(crate) fn is_syn_and_reply(&self) -> bool {
        let has = |part| self.part(part).is_some();
        self.packets <= Self::HANDSHAKE_PACKETS
            && has(Self::SYN)
            && has(Self::SYN_ACK)
            && !has(Self::NEXT)
    }

    /// Returns true if no segment but RSTs was captured.
    #[must_use]
    pub(crate) fn holds_only_resets(&self) -> bool {
        self.ends.iter().all(|end| end.packets == 0)
    }

    /// Returns true if a segment without SYN, FIN and RST was captured. An established connection has some, unless a
    /// capture filter hides them.
    #[must_use]
    pub(crate) fn holds_plain_segments(&self) -> bool {
        self.captured & Self::PLAIN != 0
    }

    /// Checks whether the end that aborts has sent keepalive probes, in a connection that was captured midstream: there an
    /// empty segment may be a probe, whose number is one below that of the RST. `idle` is the time in nanoseconds between
    /// the latest two packets.
    ///
    /// Probes are sent at equal intervals, and so is the RST (`tcp_keepalive_timer()`).
    pub(crate) fn find_probes(&mut self, reset: &Reset, header: &Header, next: SeqNum, idle: i64) {
        /// Shortest interval of probes, in nanoseconds: Linux and others set it in seconds.
        const MIN_INTERVAL_NS: i64 = 500_000_000;
        let sender = match reset.from {
            Role::Client => &mut self.ends[0],
            Role::Server => &mut self.ends[1],
        };
        if sender.empties == 0 || header.seq != next.plus(1) {
            return;
        }
        sender.note(EndpointHistory::MAY_HAVE_PROBED, true);
        let waited = reset.at.since(sender.latest_at);
        let is_regular = idle >= MIN_INTERVAL_NS && (waited - idle).abs() <= idle / 4;
        if sender.empties > 1 && is_regular {
            sender.probes = sender.empties;
        }
    }

    /// Adds an RST.
    pub(crate) fn take_reset(&mut self, reset: &Reset, header: &Header) {
        self.packets += 1;
        let sender = match reset.from {
            Role::Client => &mut self.ends[0],
            Role::Server => &mut self.ends[1],
        };
        sender.note(EndpointHistory::RESET, reset.acceptance.is_acceptable());
        sender.previous = Some(Box::new(*header));
    }

    /// Returns the time in nanoseconds that an end took to reply in the handshake, including the way from the capture
    /// point to that end and back. `None` if a part is missing or was sent more than once.
    #[must_use]
    pub(crate) fn rtt(&self, of: Role) -> Option<i64> {
        // A reply to a retransmission cannot be distinguished from a reply to the original (Karn's algorithm).
        if self.is_repeated {
            return None;
        }
        match of {
            Role::Server => Some(self.part(Self::SYN_ACK)?.since(self.part(Self::SYN)?)),
            Role::Client => Some(self.part(Self::NEXT)?.since(self.part(Self::SYN_ACK)?)),
        }
    }

    /// Returns the compact form of the history for a dormant connection.
    #[must_use]
    pub(super) fn summary(&self) -> HistorySummary {
        let plain = if self.holds_plain_segments() {
            Self::HOLDS_PLAIN
        } else {
            0
        };
        let end = |end: &EndpointHistory| {
            // Rules ask for none, one or more of them, so four bits are enough.
            let idle = end.probes.min(15) | end.empties.min(15) << 4;
            [end.packets, idle, end.events | plain]
        };
        HistorySummary {
            ends: [end(&self.ends[0]), end(&self.ends[1])],
            packets: u8::try_from(self.packets).unwrap_or(u8::MAX),
        }
    }

    /// Returns the history of a connection that continues after dormancy, given the last frames of its client and server,
    /// and the time of its last packet. The round-trip time is not known any more.
    #[must_use]
    pub(super) fn restored(kept: HistorySummary, frames: [u32; 2], last: Timestamp) -> Self {
        let end = |nth: usize| {
            let [packets, idle, events] = kept.ends[nth];
            EndpointHistory {
                previous: None,
                latest_at: last,
                latest_frame: frames[nth],
                packets,
                probes: idle & 15,
                events: events & !Self::HOLDS_PLAIN,
                empties: idle >> 4,
            }
        };
        let holds_plain = kept.ends[0][2] & Self::HOLDS_PLAIN != 0;
        Self {
            ends: [end(0), end(1)],
            packets: kept.packets.into(),
            captured: if holds_plain { Self::PLAIN } else { 0 },
            is_repeated: true,
            ..Self::default()
        }
    }

    /// Removes and returns the latest RST of each end that its receiver did not accept.
    pub(super) fn take_previous(&mut self) -> [Option<Box<Header>>; 2] {
        let [client, server] = &mut self.ends;
        [client, server].map(|end| {
            end.previous
                .take()
                .filter(|_| end.events & EndpointHistory::RESET == 0)
        })
    }

    /// Sets the latest RST of each end.
    pub(super) fn set_previous(&mut self, previous: [Option<Box<Header>>; 2]) {
        for (end, previous) in self.ends.iter_mut().zip(previous) {
            end.previous = previous;
        }
    }
}
