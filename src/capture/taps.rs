//! Captures of one trial: one on loopback, or one at each end of the network between two hosts.
//!
//! Between hosts, a frame that leaves one end and arrives at the other is captured twice, in two rings. One clock
//! stamps both, so the frames are sorted by time. A fence is sent in each direction, and each ring must show both:
//! then everything sent before has been captured.
//!
//! Loopback and veth have a queue of frames per CPU, and a fence follows only the frames in the queue of its own CPU.
//! If a timer may have sent something from any CPU, a fence is sent from each of them.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{CaptureSession, FRAME_TIMEOUT, TrialFrames, cpus, fence_failed, payload};
use crate::error::Error;
use crate::sys;
use rstproof_core::evidence::{Fence, Mark};
use rstproof_core::packet::{Link, Packet};

/// Time after which a fence that has not arrived is sent again.
const FENCE_AGAIN: Duration = Duration::from_millis(100);

/// Captures of a trial.
pub struct Taps {
    sessions: Vec<CaptureSession>,
    /// Number of frames dropped by captures that are closed.
    lost: u64,
    crossing: Option<Crossing>,
    interface: String,
    /// True if the sending thread stays on one CPU.
    stays_on_cpu: bool,
}

/// Sockets at both ends that send fences to each other. Received datagrams are never read.
#[derive(Debug)]
pub struct Crossing {
    /// Socket at the client's end, connected to the server's.
    pub client: UdpSocket,
    /// Socket at the server's end, connected to the client's.
    pub server: UdpSocket,
}

impl Crossing {
    /// Returns the destinations of the fences.
    pub fn destinations(&self) -> Result<Vec<SocketAddr>, Error> {
        let of = |socket: &UdpSocket| socket.local_addr();
        let both = [of(&self.client), of(&self.server)].into_iter();
        both.collect::<io::Result<_>>()
            .map_err(|error| Error::io("create a fence", &error))
    }
}

impl Taps {
    /// Returns the taps of a single capture that shows both ends.
    #[must_use]
    pub fn one(session: CaptureSession) -> Self {
        Self {
            interface: session.interface.clone(),
            sessions: vec![session],
            lost: 0,
            crossing: None,
            stays_on_cpu: true,
        }
    }

    /// Returns these taps for a sending thread that may be on another CPU at any time.
    #[must_use]
    pub fn roaming(mut self) -> Self {
        self.stays_on_cpu = false;
        self
    }

    /// Returns the taps of two captures, one at each end.
    #[must_use]
    pub fn two(client: CaptureSession, server: CaptureSession, crossing: Crossing) -> Self {
        Self {
            interface: format!("{}, {}", client.interface, server.interface),
            sessions: vec![client, server],
            lost: 0,
            crossing: Some(crossing),
            stays_on_cpu: true,
        }
    }

    /// Returns the names of the interfaces.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Returns the BPF filter for the frames that are kept.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.sessions.first().map_or("", CaptureSession::filter)
    }

    /// Returns the link type of the frames.
    #[must_use]
    pub fn link(&self) -> Link {
        self.sessions
            .first()
            .map_or(Link::Ethernet, CaptureSession::link)
    }

    /// Returns the number of frames that the kernel dropped since the last call.
    pub fn newly_dropped(&mut self) -> Result<u64, Error> {
        let mut all = std::mem::take(&mut self.lost);
        for session in &mut self.sessions {
            all += session.newly_dropped()?;
        }
        Ok(all)
    }

    /// Replaces the capture at the server's end, after taking its remaining frames.
    pub fn replace_server(
        &mut self,
        server: CaptureSession,
        crossing: Crossing,
        batch: &mut TrialFrames,
    ) -> Result<(), Error> {
        if let [_, old] = &mut self.sessions[..] {
            // The old interface is gone; the error for that comes after the last frame.
            let _ = old.drain(batch);
            self.lost += old.newly_dropped()?;
            *old = server;
        }
        self.crossing = Some(crossing);
        Ok(())
    }

    /// Returns the sockets that send fences between hosts; `None` on loopback.
    #[must_use]
    pub fn crossing(&self) -> Option<&Crossing> {
        self.crossing.as_ref()
    }

    /// Takes all frames from the rings, without waiting.
    pub fn drain(&mut self, batch: &mut TrialFrames) -> Result<(), Error> {
        for session in &mut self.sessions {
            session.drain(batch)?;
        }
        // Each ring is in order of time, but the second one was appended to the first.
        batch.sort();
        Ok(())
    }

    /// Takes frames until `shows` returns true, for at most `bound`. `shows` sees one frame after the other, in
    /// order; `initial` returns its initial state for each pass over the frames. Returns false if the time is
    /// exceeded.
    pub async fn drain_until<W>(
        &mut self,
        batch: &mut TrialFrames,
        bound: Duration,
        initial: impl Fn() -> W,
        shows: impl Fn(&mut W, &Packet) -> bool,
    ) -> Result<bool, Error> {
        if let [session] = &mut self.sessions[..] {
            let mut watch = initial();
            if batch.packets.iter().any(|packet| shows(&mut watch, packet)) {
                return Ok(true);
            }
            return session
                .drain_until(batch, bound, |packet| shows(&mut watch, packet))
                .await;
        }
        let deadline = Instant::now() + bound;
        let mut is_over = false;
        loop {
            self.drain(batch)?;
            // Sorting may have put new frames before older ones, so start again from the first frame.
            let mut watch = initial();
            if batch.packets.iter().any(|packet| shows(&mut watch, packet)) {
                return Ok(true);
            }
            if is_over {
                return Ok(false);
            }
            is_over = !self.wait_for_frames(deadline).await?;
        }
    }

    /// Waits until a ring has a frame. Returns false if none came before the deadline.
    async fn wait_for_frames(&self, deadline: Instant) -> Result<bool, Error> {
        let [client, server] = &self.sessions[..] else {
            return Ok(false);
        };
        let failed = |error: io::Error| client.failed_to_wait(&error);
        let one = sys::readable(client.capture.as_fd()).map_err(failed)?;
        let other = sys::readable(server.capture.as_fd()).map_err(failed)?;
        let either = async {
            tokio::select! {
                result = one.readable() => result.map(drop),
                result = other.readable() => result.map(drop),
            }
        };
        match timeout_at(deadline, either).await {
            Ok(result) => result.map(|()| true).map_err(failed),
            Err(_) => Ok(false),
        }
    }

    /// Sends a fence, or one in each direction, and takes all frames up to it. Returns the last fence and true if all
    /// arrived. The fences bind `commitment` to the frames. `from_any_cpu` is true if timers may have sent something,
    /// not only this thread.
    ///
    /// A fence that does not arrive is sent again: a link that was down loses frames for a moment, and a queue may be
    /// full.
    pub async fn drain_to_fence(
        &mut self,
        batch: &mut TrialFrames,
        commitment: Option<&[u8; 32]>,
        from_any_cpu: bool,
    ) -> Result<(Fence, bool), Error> {
        let mut all_seen = true;
        // Loopback and veth queue frames for each CPU (`enqueue_to_backlog()`). A thread that moved between two sends
        // may see its fence overtake the frames before it.
        if !self.stays_on_cpu {
            cpus::queues_are_empty(FRAME_TIMEOUT);
        }
        // The kernel runs timers of an idle CPU on a busy one. An RST that a timer sends is queued there, and a fence
        // from this CPU may overtake it.
        if from_any_cpu {
            let send = |taps: &mut Self| taps.send_from_other_cpus();
            (_, all_seen) = self.drain_to(batch, send).await?;
        }
        // One after the other, so that the last frame is known.
        if self.crossing.is_some() {
            let send = |taps: &mut Self| taps.send(commitment, true);
            let (_, seen) = self.drain_to(batch, send).await?;
            all_seen &= seen;
        }
        let send = |taps: &mut Self| taps.send(commitment, false);
        let (sent, seen) = self.drain_to(batch, send).await?;
        let [.., last] = sent[..] else {
            return Err(Error::lab("send a fence", &"no capture is open"));
        };
        // Each CPU stamps its frames when it queues them, and puts them into the ring when it gets to its queue: on a busy
        // CPU, after later ones of another CPU.
        batch.sort();
        // Frames that were sent after the last fence belong to no trial.
        batch.cut_after(&last);
        Ok((last, all_seen && seen))
    }

    /// Takes all frames up to these fences, which are sent again until they arrive. Returns the fences of the first round
    /// that arrived and true; otherwise those of the last round and false.
    async fn drain_to(
        &mut self,
        batch: &mut TrialFrames,
        send: impl Fn(&mut Self) -> Result<Vec<Fence>, Error>,
    ) -> Result<(Vec<Fence>, bool), Error> {
        let deadline = Instant::now() + FRAME_TIMEOUT;
        let mut rounds = Rounds::new(self.sessions.len());
        loop {
            let fences = send(self)?;
            if fences.is_empty() || self.sessions.is_empty() {
                return Ok((fences, true));
            }
            // On a busy CPU each round may take longer than the time after which the next one is sent, so a round that
            // arrives late counts as well.
            rounds.sent.push(fences);
            let arrived = Cell::new(None);
            let shows = |seen: &mut Vec<usize>, packet: &Packet| {
                arrived.set(rounds.completed_by(packet, seen));
                arrived.get().is_some()
            };
            self.drain_until(batch, FENCE_AGAIN, || rounds.none_seen(), shows)
                .await?;
            if let Some(round) = arrived.get() {
                return Ok((rounds.take(round), true));
            }
            if Instant::now() >= deadline {
                return Ok((rounds.take(rounds.sent.len() - 1), false));
            }
        }
    }

    /// Sends a fence: on loopback to itself, between hosts from this end to the other.
    fn send(
        &mut self,
        commitment: Option<&[u8; 32]>,
        from_server: bool,
    ) -> Result<Vec<Fence>, Error> {
        if let Some(crossing) = &self.crossing {
            let socket = if from_server {
                &crossing.server
            } else {
                &crossing.client
            };
            return Ok(vec![send_across(socket, commitment, &self.interface)?]);
        }
        let all = self.sessions.iter_mut();
        all.map(|session| session.send_fence(commitment)).collect()
    }

    /// Sends a fence, or one in each direction, from each CPU except this thread's.
    fn send_from_other_cpus(&mut self) -> Result<Vec<Fence>, Error> {
        let mut fences = Vec::new();
        cpus::on_others(|| {
            if self.crossing.is_some() {
                fences.extend(self.send(None, true)?);
            }
            fences.extend(self.send(None, false)?);
            Ok(())
        })?;
        Ok(fences)
    }
}

/// Fences that were sent again and again, because none arrived.
struct Rounds {
    /// Fences of each round.
    sent: Vec<Vec<Fence>>,
    /// Number of captures that must show each fence: between hosts two, where it is sent and where it arrives.
    captures: usize,
}

impl Rounds {
    fn new(captures: usize) -> Self {
        Self {
            sent: Vec::new(),
            captures,
        }
    }

    /// Returns the number of fences of each round that were seen, before the first frame: zeros.
    fn none_seen(&self) -> Vec<usize> {
        vec![0; self.sent.len()]
    }

    /// Counts this packet if it is a fence. Returns its round if all fences of the round have been seen then.
    fn completed_by(&self, packet: &Packet, seen: &mut [usize]) -> Option<usize> {
        let is_one = |fences: &Vec<Fence>| fences.iter().any(|it| it.is(packet));
        let round = self.sent.iter().position(is_one)?;
        seen[round] += 1;
        (seen[round] == self.sent[round].len() * self.captures).then_some(round)
    }

    /// Returns the fences of this round.
    fn take(&mut self, round: usize) -> Vec<Fence> {
        self.sent.swap_remove(round)
    }
}

/// Sends a fence from this socket to the other end.
fn send_across(
    socket: &UdpSocket,
    commitment: Option<&[u8; 32]>,
    interface: &str,
) -> Result<Fence, Error> {
    let mark = getrandom::u64().map_err(|error| Error::lab("mark a fence", &error))?;
    let from = socket.local_addr();
    let sent = from.and_then(|from| socket.send(&payload(mark, commitment)).map(|_| from));
    match sent {
        Ok(source) => Ok(Fence {
            source,
            payload: Mark(mark),
        }),
        Err(error) => Err(fence_failed(interface, &error)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use rstproof_core::time::Timestamp;

    fn fence(mark: u64) -> Fence {
        Fence {
            source: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
            payload: Mark(mark),
        }
    }

    fn captured(fence: Fence) -> Packet {
        Packet::Udp {
            at: Timestamp::default(),
            source: fence.source,
            mark: Some(fence.payload.0),
            commitment: None,
        }
    }

    /// A fence from each of two CPUs, sent three times; those of the second round are the first that are complete.
    #[test]
    fn a_round_that_arrives_after_the_next_one_was_sent_counts() {
        let mut rounds = Rounds::new(1);
        for round in 0..3 {
            let both = vec![fence(2 * round), fence(2 * round + 1)];
            rounds.sent.push(both);
        }
        let mut seen = rounds.none_seen();
        for (mark, completed) in [(0, None), (2, None), (9, None), (4, None), (3, Some(1))] {
            let packet = captured(fence(mark));
            assert_eq!(rounds.completed_by(&packet, &mut seen), completed, "{mark}");
        }
        assert_eq!(rounds.take(1), [fence(2), fence(3)]);
    }
}
