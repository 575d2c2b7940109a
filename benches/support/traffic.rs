//! Simulation of connections from the SYN to the end, many at a time, interleaved in an order that depends on the seed
//! only.

#![allow(clippy::cast_possible_truncation)] // no length here exceeds a segment's

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::connection::{CLIENT, Connection, End, Endpoint, Phase, SERVER, endpoints};
use super::frame::{ACK, FIN, Frames, PSH, RST, Route, SYN, Segment};
use super::random::Random;
use super::recording::Recording;
use super::{Cause, Habits, Recipe, Reset, Truth};

/// State of the simulation.
pub(super) struct Traffic {
    frames: Frames,
    random: Random,
    habits: &'static Habits,
    truth: Truth,
}

impl Traffic {
    pub(super) fn begin(path: &Path, recipe: Recipe) -> io::Result<Self> {
        let recording = Recording::create(path, recipe.format, recipe.resolution)?;
        Ok(Self {
            frames: Frames::new(recording),
            random: Random::new(recipe.kind.connections().into()),
            habits: recipe.kind.habits(),
            truth: Truth::default(),
        })
    }

    pub(super) fn finish(self) -> io::Result<Truth> {
        let recording = self.frames.into_recording();
        let truth = Truth {
            bytes: recording.bytes,
            packets: recording.packets,
            ..self.truth
        };
        recording.finish()?;
        Ok(truth)
    }

    /// Runs until all connections have begun and ended, except the long-lived ones that are left open.
    pub(super) fn run(&mut self, connections: u32) -> io::Result<()> {
        let long_lived = self.habits.long_lived.min(connections);
        let mut long: Vec<Connection> = (0..long_lived).map(|it| self.long_lived(it)).collect();
        let mut begun = long_lived;
        let mut alive = Vec::new();
        while begun < connections || !alive.is_empty() {
            if begun < connections && alive.len() < self.habits.alive {
                alive.push(self.open(begun));
                begun += 1;
            }
            if self.random.per_mille(self.habits.noise) {
                self.noise()?;
            }
            if self.random.per_mille(self.habits.of_long_lived) {
                let chosen = self.choose(long.len());
                self.step(&mut long[chosen])?;
            }
            let chosen = self.choose(alive.len());
            self.step(&mut alive[chosen])?;
            if alive[chosen].phase == Phase::Over {
                alive.swap_remove(chosen);
            }
        }
        for connection in &mut long {
            self.end_of_long_lived(connection)?;
        }
        Ok(())
    }

    fn choose(&mut self, count: usize) -> usize {
        self.random.next() as usize % count
    }

    /// Opens a long-lived connection. Every second one will be reset; the others are left open.
    fn long_lived(&mut self, number: u32) -> Connection {
        let end = match number % 6 {
            0 => End::Reset(Cause::Abort),
            2 => End::Reset(Cause::AfterClose),
            4 => End::Reset(Cause::HalfOpen),
            _ => End::Closed,
        };
        Connection {
            end,
            exchanges: u32::MAX,
            ..self.open(number)
        }
    }

    fn end_of_long_lived(&mut self, connection: &mut Connection) -> io::Result<()> {
        let has_begun = connection.phase != Phase::Syn;
        if has_begun && connection.end == End::Closed {
            self.truth.open += 1;
            return Ok(());
        }
        connection.exchanges = 1;
        while connection.phase != Phase::Over {
            self.step(connection)?;
        }
        Ok(())
    }

    fn open(&mut self, number: u32) -> Connection {
        let is_ipv6 = self.random.per_mille(110);
        let [client, server] = endpoints(number, self.random.below(16), is_ipv6);
        let endpoint = |random: &mut Random, address, window| Endpoint {
            address,
            // Every 64th connection starts so high that it wraps. All are even, since tshark takes an ACK of 0 for a
            // window update.
            next: (random.next() | if number % 64 == 7 { 0xffff_ff00 } else { 0 }) & !1,
            window,
            clock: random.next(),
            echo: 0,
            id: (random.next() & 0xffff) as u16,
        };
        Connection {
            ends: [
                endpoint(&mut self.random, client, 502),
                endpoint(&mut self.random, server, 509),
            ],
            has_timestamps: !self.random.per_mille(self.habits.untimed),
            end: self.end_of(number),
            phase: Phase::Syn,
            exchanges: self.draw(self.habits.exchanges),
            turn: CLIENT,
            burst: [0; 3],
            burst_length: 0,
        }
    }

    fn end_of(&mut self, number: u32) -> End {
        if number % 100 == 61 {
            let turn = number as usize / 100;
            return End::Reset(Cause::TURN[turn % Cause::TURN.len()]);
        }
        if !self.random.per_mille(self.habits.unanswered) {
            return End::Closed;
        }
        if self.random.per_mille(500) {
            End::UnansweredSyn
        } else {
            End::UnansweredSynAck
        }
    }

    fn draw(&mut self, shares: &[(u32, (u32, u32))]) -> u32 {
        let mut chance = self.random.below(1_000);
        for (share, range) in shares {
            if chance < *share {
                return self.random.among(*range);
            }
            chance -= share;
        }
        0
    }

    /// Executes the connection's next step.
    fn step(&mut self, it: &mut Connection) -> io::Result<()> {
        it.phase = match it.phase {
            Phase::Syn => {
                self.truth.connections += 1;
                self.truth.ipv6_connections += u64::from(it.ends[CLIENT].address.is_ipv6());
                self.send(it, CLIENT, SYN, 0)?;
                if it.end == End::UnansweredSyn {
                    self.truth.unanswered_syns += 1;
                    Phase::Over
                } else {
                    Phase::SynAck
                }
            }
            Phase::SynAck if it.end == End::Reset(Cause::Refused) => {
                self.refuse(it)?;
                self.reset()
            }
            Phase::SynAck => {
                self.send(it, SERVER, SYN | ACK, 0)?;
                match it.end {
                    End::UnansweredSynAck => {
                        self.truth.unanswered_syn_acks += 1;
                        Phase::Over
                    }
                    End::Reset(Cause::SynAck) => Phase::Ending(0),
                    // The request is the handshake's last segment (`TCP_DEFER_ACCEPT`, or simply at once).
                    End::Closed if self.habits.is_brief && self.random.per_mille(950) => {
                        Phase::Talk
                    }
                    _ => Phase::Ack,
                }
            }
            Phase::Ack => {
                self.send(it, CLIENT, ACK, 0)?;
                Phase::Talk
            }
            Phase::Talk if self.is_brief(it) => {
                let length = self.length(it);
                self.send(it, CLIENT, FIN | PSH | ACK, length)?;
                Phase::Answer
            }
            Phase::Answer if self.is_brief(it) => {
                let length = self.length(it);
                self.send(it, SERVER, FIN | PSH | ACK, length)?;
                Phase::Ending(2)
            }
            Phase::Talk => {
                self.talk(it, self.habits.burst)?;
                Phase::Answer
            }
            Phase::Answer => self.answer(it)?,
            Phase::Ending(done) => self.end(it, done)?,
            Phase::Over => Phase::Over,
        };
        Ok(())
    }

    fn is_brief(&self, it: &Connection) -> bool {
        self.habits.is_brief && it.end == End::Closed && it.exchanges == 1
    }

    /// Sends a burst of data from the end whose turn it is.
    fn talk(&mut self, it: &mut Connection, burst: (u32, u32)) -> io::Result<()> {
        let length = self.length(it);
        it.burst_length = self.random.among(burst) as usize;
        for index in 0..it.burst_length {
            let is_last = index + 1 == it.burst_length;
            let flags = if is_last { PSH | ACK } else { ACK };
            self.send(it, it.turn, flags, length)?;
            it.burst[index] = it.ends[it.turn].next;
        }
        Ok(())
    }

    /// Acknowledges every second segment and the last from the other end, or lets the other end send data instead.
    fn answer(&mut self, it: &mut Connection) -> io::Result<Phase> {
        let other = 1 - it.turn;
        it.exchanges -= 1;
        let has_to_say = it.exchanges > 0 && self.random.per_mille(400);
        if !has_to_say {
            for index in 0..it.burst_length {
                if index % 2 == 1 || index + 1 == it.burst_length {
                    self.send_at(it, other, ACK, 0, it.burst[index])?;
                }
            }
        }
        if has_to_say || self.random.per_mille(500) {
            it.turn = other;
        }
        Ok(if it.exchanges == 0 {
            Phase::Ending(0)
        } else {
            Phase::Talk
        })
    }

    fn length(&mut self, it: &Connection) -> usize {
        let [ipv4, ipv6] = self.habits.longest;
        let is_ipv6 = it.ends[CLIENT].address.is_ipv6();
        let longest = if is_ipv6 { ipv6 } else { ipv4 };
        let of_options = if it.has_timestamps { 12 } else { 0 };
        let mss = if is_ipv6 { 1_440 } else { 1_460 };
        let drawn = self.draw(self.habits.lengths);
        drawn.min(longest).min(mss - of_options) as usize
    }

    fn end(&mut self, it: &mut Connection, done: u8) -> io::Result<Phase> {
        let (one, other) = (it.turn, 1 - it.turn);
        match it.end {
            End::Reset(cause) => self.end_by_reset(it, cause, done),
            _ if done == 0 => {
                self.send(it, one, FIN | ACK, 0)?;
                Ok(Phase::Ending(1))
            }
            _ if done == 1 => {
                // Usually the other end closes at once, with an ACK in its FIN.
                if self.random.per_mille(300) {
                    self.send(it, other, ACK, 0)?;
                }
                self.send(it, other, FIN | ACK, 0)?;
                Ok(Phase::Ending(2))
            }
            _ => {
                self.send(it, one, ACK, 0)?;
                self.truth.closed += 1;
                Ok(Phase::Over)
            }
        }
    }

    /// Executes a step of a reset. The end whose turn it is sends the RST.
    fn end_by_reset(&mut self, it: &mut Connection, cause: Cause, done: u8) -> io::Result<Phase> {
        let (one, other) = (it.turn, 1 - it.turn);
        match (cause, done) {
            // With data that stays unread, or without (`SO_LINGER` 0).
            (Cause::Abort, 0) => {
                if self.random.per_mille(500) {
                    it.turn = other;
                    self.talk(it, (1, 1))?;
                    it.turn = one;
                }
            }
            (Cause::Abort, 1) => {
                let flags = RST | ACK;
                self.send(it, one, flags, 0)?;
                self.note(it, one, Cause::Abort);
                // More data was in flight.
                if self.random.per_mille(250) {
                    return Ok(Phase::Ending(2));
                }
                return Ok(self.reset());
            }
            (Cause::AfterClose, 0) => self.send(it, one, FIN | ACK, 0)?,
            (Cause::AfterClose, 1) => self.send(it, other, ACK, 0)?,
            (Cause::AfterClose | Cause::Abort, 2) => {
                it.turn = other;
                self.talk(it, (1, 3))?;
                it.turn = one;
            }
            (Cause::HalfOpen, 0) => {
                it.turn = other;
                self.talk(it, (1, 1))?;
                it.turn = one;
            }
            (Cause::SynAck, _) => {
                self.answer_with_reset(it, CLIENT, cause)?;
                return Ok(self.reset());
            }
            (Cause::HalfOpen, _) => {
                self.answer_with_reset(it, one, cause)?;
                return Ok(self.reset());
            }
            (Cause::AfterClose | Cause::Abort | Cause::Refused, _) => {
                for _ in 0..it.burst_length {
                    self.answer_with_reset(it, one, Cause::AfterClose)?;
                }
                return Ok(self.reset());
            }
        }
        Ok(Phase::Ending(done + 1))
    }

    fn reset(&mut self) -> Phase {
        self.truth.reset += 1;
        Phase::Over
    }

    /// Sends a segment that acknowledges all that the other end has sent.
    fn send(
        &mut self,
        it: &mut Connection,
        side: usize,
        flags: u8,
        length: usize,
    ) -> io::Result<()> {
        self.send_at(it, side, flags, length, it.ends[1 - side].next)
    }

    fn send_at(
        &mut self,
        it: &mut Connection,
        side: usize,
        flags: u8,
        length: usize,
        ack: u32,
    ) -> io::Result<()> {
        let has_ack = flags & ACK != 0;
        let from = &mut it.ends[side];
        let value = self.frames.milliseconds().wrapping_add(from.clock);
        let timestamps = [value, if has_ack { from.echo } else { 0 }];
        let segment = Segment {
            flags,
            seq: from.next,
            ack: if has_ack { ack } else { 0 },
            window: if flags & SYN == 0 {
                from.window
            } else {
                64_240
            },
            timestamps: it.has_timestamps.then_some(timestamps),
            length,
        };
        let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        from.next = from.next.wrapping_add(length as u32 + counted);
        from.id = from.id.wrapping_add(1);
        let id = from.id;
        it.ends[1 - side].echo = value;
        self.emit(it, side, id, &segment)
    }

    /// Sends the RST to a SYN (`tcp_v4_send_reset()`): SEQ 0, acknowledging the SYN.
    fn refuse(&mut self, it: &Connection) -> io::Result<()> {
        let segment = Segment {
            flags: RST | ACK,
            seq: 0,
            ack: it.ends[CLIENT].next,
            window: 0,
            timestamps: None,
            length: 0,
        };
        self.emit(it, SERVER, 0, &segment)?;
        self.note(it, SERVER, Cause::Refused);
        Ok(())
    }

    /// Sends the RST to a segment with ACK (`tcp_v4_send_reset()`) at SEG.ACK, which is SND.NXT here: all segments of
    /// the other end acknowledge everything.
    fn answer_with_reset(&mut self, it: &Connection, side: usize, cause: Cause) -> io::Result<()> {
        let segment = Segment {
            flags: RST,
            seq: it.ends[side].next,
            ack: 0,
            window: 0,
            timestamps: None,
            length: 0,
        };
        self.emit(it, side, 0, &segment)?;
        self.note(it, side, cause);
        Ok(())
    }

    fn emit(&mut self, it: &Connection, side: usize, id: u16, segment: &Segment) -> io::Result<()> {
        let route = Route {
            from: it.ends[side].address,
            to: it.ends[1 - side].address,
            arrives: side == CLIENT,
            id,
        };
        self.pause();
        self.truth.tcp_packets += 1;
        self.frames.tcp(&route, segment)
    }

    /// Records that the frame just written is an RST.
    fn note(&mut self, it: &Connection, side: usize, cause: Cause) {
        self.truth.resets.push(Reset {
            frame: self.frames.number(),
            cause,
            from: it.ends[side].address,
            to: it.ends[1 - side].address,
        });
    }

    fn pause(&mut self) {
        let nanos = self.random.among((700, 23_000));
        self.frames.wait(nanos);
    }

    /// Writes a packet of another protocol and its answer.
    fn noise(&mut self) -> io::Result<()> {
        let (what, number) = (self.random.below(10), self.random.below(1 << 24));
        let [client, server] = endpoints(number, self.random.below(16), what % 4 == 0);
        // Ports without a registered protocol.
        let client = SocketAddr::new(client.ip(), 40_999);
        let server = SocketAddr::new(server.ip(), 41_000);
        let length = self.random.among((16, self.habits.longest_noise)) as usize;
        for (from, to, is_reply) in [(client, server, false), (server, client, true)] {
            let route = Route {
                from,
                to,
                arrives: !is_reply,
                id: (self.random.next() & 0xffff) as u16,
            };
            self.pause();
            match what {
                0 | 1 => self.frames.echo(&route, is_reply, number, length)?,
                2 => self.frames.arp(&route, is_reply)?,
                _ => self.frames.udp(&route, length)?,
            }
        }
        Ok(())
    }
}
