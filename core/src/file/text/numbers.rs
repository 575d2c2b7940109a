//! Absolute sequence numbers of segments whose text has relative ones.
//!
//! tcpdump prints the numbers of a segment without ACK as they are. Of the others it prints them as they are in the first one of
//! a connection, and in each SYN-ACK, and then relative to that segment (`tcp_print()` in print-tcp.c): those of its sender to
//! its SEQ, those of the other end to its ACK − 1. With `-S` all are absolute. Wireshark counts from the first number of each
//! end (`base_seq` in packet-tcp.c), also in an RST without ACK.
//!
//! A text may begin in the middle of a connection. What its first line has are relative numbers then, and so are all the others:
//! they fit each other as they are. Which of the forms a connection has shows at its second segment with ACK.

use std::collections::HashMap;
use std::net::IpAddr;

use super::line::TcpFields;
use crate::packet::Flags;

/// Address and port.
pub(super) type End = (IpAddr, u16);

/// Maximum number of connections whose numbers are known; about 30 MiB. Those that are more are not read: their numbers would be
/// wrong.
pub(super) const MAX_CONNECTIONS: usize = 1 << 18;

/// Distance from the expected number from which on numbers are of different bases: no window is larger (RFC 7323, 2.3).
const FAR: u32 = 1 << 30;

/// First number of an end that the text does not state.
const INVENTED: u32 = 0x4000_0000;

/// Relation of the printed numbers to those of the connection's earlier lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// Only one segment with ACK was printed.
    Open,
    /// They count from the first segment.
    Relative,
    /// They are what they are.
    Plain,
}

/// Numbers of one connection.
#[derive(Clone, Debug)]
struct Numbering {
    base: Base,
    /// Numbers that the relative ones count from, by end.
    first: [Option<u32>; 2],
    /// Number after the last one that each end has sent.
    next: [Option<u32>; 2],
    /// True for each end whose first number was not printed, and once another one stands for it.
    is_invented: [bool; 2],
    is_shifted: [bool; 2],
    /// True for each end of which absolute numbers are known.
    is_absolute: [bool; 2],
    /// Shift count of each end's windows: `None` if it is unknown or not used.
    scale: [Option<u8>; 2],
    has_sent: [bool; 2],
    /// Latest ACK and window of each end, and the length of the headers of its latest frame without SYN.
    acked: [Option<(u32, u16)>; 2],
    headers: [Option<u32>; 2],
    /// Number that the SYN-ACK to each end acknowledges; true if a SYN is the latest that the end has sent.
    syn_acked: [Option<u32>; 2],
    has_syn_last: [bool; 2],
    /// True if there was an earlier connection between the same ends.
    is_reused: bool,
    /// True for each end that has sent a segment with ACK.
    has_acked: [bool; 2],
    /// ACK, window and time of the latest empty segment of each end, if the other end has sent nothing but empty ones since.
    empty: [Option<(u32, u32, Option<i64>)>; 2],
}

impl Numbering {
    const NEW: Self = Self {
        base: Base::Open,
        first: [None; 2],
        next: [None; 2],
        is_invented: [false; 2],
        is_shifted: [false; 2],
        is_absolute: [false; 2],
        scale: [None; 2],
        has_sent: [false; 2],
        acked: [None; 2],
        headers: [None; 2],
        syn_acked: [None; 2],
        has_syn_last: [false; 2],
        is_reused: false,
        has_acked: [false; 2],
        empty: [None; 2],
    };

    /// Takes in the end of a segment.
    fn take(&mut self, from: usize, seq: u32, tcp: &TcpFields) {
        // An RST takes no sequence number, and may be forged: what follows does not continue from it.
        self.has_sent[from] = true;
        self.has_acked[from] |= tcp.ack.is_some();
        self.has_syn_last[from] = tcp.flags & Flags::SYN.0 != 0;
        if tcp.flags & Flags::RST.0 != 0 {
            return;
        }
        let end = seq.wrapping_add(length(tcp));
        let is_ahead = self.next[from].is_none_or(|next| end.wrapping_sub(next) < 1 << 31);
        if is_ahead || tcp.flags & Flags::SYN.0 != 0 {
            self.next[from] = Some(end);
        }
    }
}

/// Returns the number of sequence numbers that a segment takes.
fn length(tcp: &TcpFields) -> u32 {
    let one = |flag: Flags| u32::from(tcp.flags & flag.0 != 0);
    tcp.length
        .wrapping_add(one(Flags::SYN))
        .wrapping_add(one(Flags::FIN))
}

/// Returns the distance of two numbers.
fn distance(one: u32, other: u32) -> u32 {
    let ahead = one.wrapping_sub(other);
    ahead.min(ahead.wrapping_neg())
}

/// Numbers of a segment, as far as the text shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub seq: u32,
    pub ack: u32,
    pub sack: Vec<(u32, u32)>,
    /// Window field, not scaled.
    pub window: u16,
    /// False if the text does not show how SEQ relates to the numbers of the connection.
    pub is_related: bool,
}

/// Numbers of the connections of a text.
#[derive(Debug, Default)]
pub(super) struct Conversations(HashMap<[End; 2], Numbering>);

impl Conversations {
    /// Returns the numbers of a connection, and the index of the sender in it. `None` if there are too many connections.
    fn of(&mut self, from: End, to: End) -> Option<(&mut Numbering, usize)> {
        let (key, sender) = if from <= to {
            ([from, to], 0)
        } else {
            ([to, from], 1)
        };
        if self.0.len() >= MAX_CONNECTIONS && !self.0.contains_key(&key) {
            return None;
        }
        Some((self.0.entry(key).or_insert(Numbering::NEW), sender))
    }

    /// Returns the absolute numbers of a segment that tcpdump has printed. `None` if there are too many connections.
    /// `at` is the time of the segment, if it is known.
    pub(super) fn of_tcpdump(
        &mut self,
        from: End,
        to: End,
        tcp: &TcpFields,
        at: Option<i64>,
    ) -> Option<Numbers> {
        let (it, sender) = self.of(from, to)?;
        let peer = 1 - sender;
        let is_syn = tcp.flags & Flags::SYN.0 != 0;
        let Some(ack) = tcp.ack else {
            return Some(it.without_ack(sender, tcp));
        };
        let expected = |it: &Numbering| {
            // Of two SYNs, the one that was acknowledged counts.
            let acked = it.syn_acked[sender].filter(|_| it.has_syn_last[sender]);
            acked.or(it.next[sender]).unwrap_or(INVENTED)
        };
        let (mut seq, mut absolute) = (tcp.seq.unwrap_or(0), ack);
        if it.first[sender].is_none() || is_syn {
            // What an empty segment does not show continues the numbers of its sender.
            let is_stated = tcp.seq.is_some();
            it.is_invented[sender] = !is_stated && it.next[sender].is_none();
            seq = if is_stated { seq } else { expected(it) };
            it.first[sender] = Some(seq);
            it.first[peer] = Some(ack.wrapping_sub(1));
            it.base = Base::Open;
            // The numbers of an excerpt are small.
            let is_large = |number: u32| number >= 1 << 24;
            it.is_absolute[sender] |= is_syn || is_stated && is_large(seq);
            it.is_absolute[peer] |= is_syn || is_large(ack);
        } else {
            let first = [sender, peer].map(|end| it.first[end].unwrap_or(0));
            if it.base == Base::Open {
                it.base = it.base_of(sender, tcp.seq, ack, first);
            }
            absolute = it.absolute(peer, ack);
            seq = match tcp.seq {
                Some(seq) => it.absolute(sender, seq),
                None => expected(it).wrapping_sub(u32::from(it.is_probe(sender, tcp, at))),
            };
        }
        it.note_empty(sender, tcp, at);
        // The blocks of a selective acknowledgment are relative in the first segment as well.
        let before = match it.base {
            Base::Plain if !it.is_shifted[peer] => 0,
            _ => it.first[peer].unwrap_or(0),
        };
        let sack = tcp
            .sack
            .iter()
            .map(|(left, right)| (left.wrapping_add(before), right.wrapping_add(before)));
        let sack = sack.collect();
        if is_syn {
            it.syn_acked[peer] = Some(absolute);
        }
        it.take(sender, seq, tcp);
        // What an end has sent before the text begins is known from the first ACK for it, and no later ACK is needed: the lines of
        // the end itself are exact.
        if it.next[peer].is_none() {
            it.next[peer] = Some(absolute);
        }
        let window = u16::try_from(tcp.window).unwrap_or(u16::MAX);
        Some(Numbers {
            seq,
            ack: absolute,
            sack,
            window,
            is_related: true,
        })
    }

    /// Returns the numbers of a segment that Wireshark has printed. `None` if there are too many connections.
    pub(super) fn of_wireshark(&mut self, from: End, to: End, tcp: &TcpFields) -> Option<Numbers> {
        let (it, sender) = self.of(from, to)?;
        let peer = 1 - sender;
        let has = |flag: Flags| tcp.flags & flag.0 != 0;
        let shown = tcp.seq.unwrap_or(0);
        if tcp.is_port_reused {
            // Another connection: its numbers have nothing to do with those of the earlier one.
            let before = it
                .first
                .map(|first| first.unwrap_or(0).wrapping_add(0x1000_0000));
            *it = Numbering {
                is_reused: true,
                first: before.map(Some),
                ..Numbering::NEW
            };
        }
        // Without relative numbers a SYN shows its own.
        if it.base == Base::Open && (has(Flags::SYN) || it.next == [None; 2]) {
            it.base = if has(Flags::SYN) && shown > 1 {
                Base::Plain
            } else {
                Base::Relative
            };
        }
        let first = |it: &Numbering, end: usize| match it.base {
            Base::Plain => 0,
            _ => it.first[end].unwrap_or(INVENTED + 0x2000_0000 * u32::from(end == 1)),
        };
        let mut is_related = true;
        let mut seq = shown.wrapping_add(first(it, sender));
        let is_first = !it.has_sent[sender] && it.next[sender].is_none();
        if has(Flags::RST) && !has(Flags::SYN) && is_first && it.base == Base::Relative {
            // It counts from its own number, so it always shows 1. RFC 9293, 3.10.7.1: the reply to a segment without ACK
            // has 0; whether it is accepted in SYN-SENT depends on its ACK alone.
            let is_reply = has(Flags::ACK) && it.has_sent[peer] && !it.has_acked[peer];
            if is_reply && tcp.window == 0 && !tcp.has_timestamps {
                seq = 0;
            } else {
                is_related = is_reply;
            }
        }
        // The reply to a SYN, and a number before the base, may be of the earlier connection, whose base has nothing to do with
        // this one.
        let is_earlier = is_first || shown >= 1 << 31;
        is_related &= !(it.is_reused && has(Flags::RST) && is_earlier);
        // What Multipath TCP says about the RST is not printed.
        is_related &= !(tcp.is_multipath && has(Flags::RST));
        let base = first(it, peer);
        let ack = tcp.ack.map_or(0, |ack| ack.wrapping_add(base));
        let sack = tcp
            .sack
            .iter()
            .map(|(left, right)| (left.wrapping_add(base), right.wrapping_add(base)));
        let sack = sack.collect();
        if has(Flags::SYN) {
            it.scale[sender] = tcp.scale;
            if has(Flags::ACK) && (tcp.scale.is_none() || it.scale[peer].is_none()) {
                it.scale = [None; 2]; // `verify_tcp_window_scaling()`
            }
        }
        let shift = it.scale[sender].filter(|_| !has(Flags::SYN)).unwrap_or(0);
        let window = u16::try_from(tcp.window >> shift.min(14)).unwrap_or(u16::MAX);
        it.take(sender, seq, tcp);
        if has(Flags::ACK) && !has(Flags::RST) {
            it.acked[sender] = Some((ack, window));
        }
        let is_plain = !has(Flags::SYN) && tcp.sack.is_empty();
        if let Some(frame_len) = tcp.frame_len.filter(|_| is_plain) {
            it.headers[sender] = frame_len.checked_sub(tcp.length);
        }
        if has(Flags::ACK) && it.next[peer].is_none() {
            it.next[peer] = Some(ack);
        }
        Some(Numbers {
            seq,
            ack,
            sack,
            window,
            is_related,
        })
    }
}

impl Conversations {
    /// Returns the segment with the payload of a frame of this length, which continues what its sender has sent. `None` if the
    /// lines before do not show its numbers.
    pub(super) fn payload(
        &mut self,
        from: End,
        to: End,
        frame_len: u32,
    ) -> Option<(TcpFields, Numbers)> {
        let (it, sender) = self.of(from, to)?;
        let headers = it.headers[sender].or(it.headers[1 - sender])?;
        let seq = it.next[sender]?;
        let (ack, window) = it.acked[sender].or(it.next[1 - sender].map(|next| (next, u16::MAX)))?;
        let length = frame_len.checked_sub(headers).filter(|it| *it > 0)?;
        let tcp = TcpFields {
            flags: Flags::ACK.and(Flags::PSH).0,
            ack: Some(ack),
            length,
            ..TcpFields::default()
        };
        it.take(sender, seq, &tcp);
        let numbers = Numbers {
            seq,
            ack,
            sack: Vec::new(),
            window,
            is_related: true,
        };
        Some((tcp, numbers))
    }
}

impl Numbering {
    /// Returns the numbers of a segment without ACK, which tcpdump prints as they are.
    fn without_ack(&mut self, sender: usize, tcp: &TcpFields) -> Numbers {
        let has = |flag: Flags| tcp.flags & flag.0 != 0;
        let seq = tcp.seq.or(self.next[sender]).unwrap_or(INVENTED);
        if has(Flags::SYN) {
            self.is_absolute[sender] = true;
        }
        // In an excerpt the other numbers are relative, and this one is not.
        let is_near = |next: u32| distance(seq, next) < FAR;
        let is_related = match self.next[sender] {
            Some(next) => self.is_absolute[sender] || self.base == Base::Plain && is_near(next),
            None => true,
        };
        if is_related {
            self.take(sender, seq, tcp);
        }
        let window = u16::try_from(tcp.window).unwrap_or(u16::MAX);
        Numbers {
            seq,
            ack: 0,
            sack: Vec::new(),
            window,
            is_related,
        }
    }

    /// Returns the absolute number for one of an end that is printed after the first segment. Where the first number of the end
    /// was not printed, and another one stands for it, the first one that is printed continues from there.
    fn absolute(&mut self, end: usize, shown: u32) -> u32 {
        if std::mem::take(&mut self.is_invented[end])
            && let Some(next) = self.next[end]
        {
            (self.first[end], self.is_shifted[end]) = (Some(next.wrapping_sub(shown)), true);
        }
        match self.base {
            Base::Plain if !self.is_shifted[end] => shown,
            _ => shown.wrapping_add(self.first[end].unwrap_or(0)),
        }
    }

    /// Returns the base of the numbers by the second segment with ACK: that by which they are nearer to the numbers before.
    fn base_of(&self, sender: usize, seq: Option<u32>, ack: u32, first: [u32; 2]) -> Base {
        // ACK first: the SEQ of an RST may have nothing to do with the numbers before.
        let by_ack = self.next[1 - sender].map(|next| (ack, next, first[1]));
        let by_seq = seq.zip(self.next[sender]);
        let by_seq = by_seq.map(|(seq, next)| (seq, next, first[0]));
        let Some((shown, expected, first)) = by_ack.or(by_seq) else {
            return Base::Open;
        };
        let relative = distance(shown.wrapping_add(first), expected);
        if distance(shown, expected) < relative {
            Base::Plain
        } else {
            Base::Relative
        }
    }

    /// Returns true if an empty segment, whose SEQ is not printed, is a probe (RFC 9293, 3.8.4: SEQ is SND.NXT - 1): it repeats the
    /// latest segment of its sender although nothing has come that it could acknowledge.
    fn is_probe(&self, sender: usize, tcp: &TcpFields, at: Option<i64>) -> bool {
        /// Shortest time between probes in nanoseconds: `TCP_RTO_MIN` of Linux.
        const MIN_NS: i64 = 200_000_000;
        let Some((ack, window, since)) = self.empty[sender].filter(|_| tcp.length == 0) else {
            return false;
        };
        let is_late = at
            .zip(since)
            .is_none_or(|(at, since)| at.saturating_sub(since) >= MIN_NS);
        let has_answered = self.has_sent[1 - sender];
        has_answered && is_late && (Some(ack), window) == (tcp.ack, tcp.window)
    }

    /// Takes in a segment with ACK, for [`Self::is_probe`].
    fn note_empty(&mut self, sender: usize, tcp: &TcpFields, at: Option<i64>) {
        let is_empty = length(tcp) == 0;
        self.empty[sender] = (tcp.ack.filter(|_| is_empty)).map(|ack| (ack, tcp.window, at));
        if !is_empty {
            self.empty[1 - sender] = None;
        }
    }
}
