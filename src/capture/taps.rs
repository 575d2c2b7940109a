//! The captures of one trial: one on loopback, or one at each end of the way between two hosts.
//!
//! Between hosts a frame that leaves one end and one that arrives at the other are two frames, of two rings. They are put into
//! the order of their times: one clock stamps both. A fence crosses the way in each direction, and each ring must show both:
//! then all that was sent before is in.
//!
//! Loopback and veth keep a queue of frames per CPU, and a fence stands behind what is in the queue of the CPU that it was sent
//! from. Where a timer may have sent something, from whichever CPU, each of them sends one.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Batch, PATIENCE, Session, cpus, fence_failed, payload};
use crate::error::Error;
use crate::sys;
use rstproof_core::evidence::{Fence, Mark};
use rstproof_core::packet::{Link, Packet};

/// After this long a fence that has not come is sent again.
const FENCE_AGAIN: Duration = Duration::from_millis(100);

/// What a trial is captured by.
pub struct Taps {
    sessions: Vec<Session>,
    /// Frames that captures lost which are closed by now.
    lost: u64,
    crossing: Option<Crossing>,
    interface: String,
    /// Whether the thread that sends stays on one CPU.
    stays_on_cpu: bool,
}

/// Sockets at the two ends that send fences to each other. What arrives is never read.
#[derive(Debug)]
pub struct Crossing {
    /// At the client's end, connected to the server's.
    pub client: UdpSocket,
    /// At the server's end, connected to the client's.
    pub server: UdpSocket,
}

impl Crossing {
    /// Where they go.
    pub fn destinations(&self) -> Result<Vec<SocketAddr>, Error> {
        let of = |socket: &UdpSocket| socket.local_addr();
        let both = [of(&self.client), of(&self.server)].into_iter();
        both.collect::<io::Result<_>>()
            .map_err(|error| Error::io("make a fence", &error))
    }
}

impl Taps {
    /// One capture that shows both ends.
    #[must_use]
    pub fn one(session: Session) -> Self {
        Self {
            interface: session.interface.clone(),
            sessions: vec![session],
            lost: 0,
            crossing: None,
            stays_on_cpu: true,
        }
    }

    /// The thread that sends may be on another CPU at any time.
    #[must_use]
    pub fn roaming(mut self) -> Self {
        self.stays_on_cpu = false;
        self
    }

    /// One at each end.
    #[must_use]
    pub fn two(client: Session, server: Session, crossing: Crossing) -> Self {
        Self {
            interface: format!("{}, {}", client.interface, server.interface),
            sessions: vec![client, server],
            lost: 0,
            crossing: Some(crossing),
            stays_on_cpu: true,
        }
    }

    /// The interfaces' names.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The BPF filter that says which frames are kept.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.sessions.first().map_or("", Session::filter)
    }

    /// How frames begin.
    #[must_use]
    pub fn link(&self) -> Link {
        self.sessions.first().map_or(Link::Ethernet, Session::link)
    }

    /// Frames that the kernel had no room for since this was asked last.
    pub fn newly_dropped(&mut self) -> Result<u64, Error> {
        let mut all = std::mem::take(&mut self.lost);
        for session in &mut self.sessions {
            all += session.newly_dropped()?;
        }
        Ok(all)
    }

    /// The server's end is captured by another one from now on, once all of this one is taken.
    pub fn replace_server(
        &mut self,
        server: Session,
        crossing: Crossing,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        if let [_, old] = &mut self.sessions[..] {
            // Its interface is gone, which is told of once all that it had shown is taken.
            let _ = old.drain(batch);
            self.lost += old.newly_dropped()?;
            *old = server;
        }
        self.crossing = Some(crossing);
        Ok(())
    }

    /// The sockets that send fences, if these cross a link.
    #[must_use]
    pub fn crossing(&self) -> Option<&Crossing> {
        self.crossing.as_ref()
    }

    /// Takes everything that is in the rings, and waits for nothing.
    pub fn drain(&mut self, batch: &mut Batch) -> Result<(), Error> {
        for session in &mut self.sessions {
            session.drain(batch)?;
        }
        batch.sort();
        Ok(())
    }

    /// Takes frames until they show it, waiting for it if need be, but no longer than that. `shows` is asked of one frame after
    /// the other, in order; `anew` before it is asked from the first one again. Whether it came within the bound.
    pub async fn drain_until<W>(
        &mut self,
        batch: &mut Batch,
        patience: Duration,
        anew: impl Fn() -> W,
        shows: impl Fn(&mut W, &Packet) -> bool,
    ) -> Result<bool, Error> {
        if let [session] = &mut self.sessions[..] {
            let mut watch = anew();
            if batch.packets.iter().any(|packet| shows(&mut watch, packet)) {
                return Ok(true);
            }
            return session
                .drain_until(batch, patience, |packet| shows(&mut watch, packet))
                .await;
        }
        let deadline = Instant::now() + patience;
        let mut is_over = false;
        loop {
            self.drain(batch)?;
            let mut watch = anew();
            if batch.packets.iter().any(|packet| shows(&mut watch, packet)) {
                return Ok(true);
            }
            if is_over {
                return Ok(false);
            }
            is_over = !self.wait_for_frames(deadline).await?;
        }
    }

    /// Waits until a ring has a frame; `false` if none came before the deadline.
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

    /// Sends a fence, or one each way, and takes everything up to it. What was sent last, and whether all came. What they
    /// carry beside their mark is bound to the frames by that. `from_any_cpu` if not only this thread can have sent something, but
    /// timers, too.
    ///
    /// One that does not come is sent again: a link that was down takes nothing for a moment, and a queue may be full.
    pub async fn drain_to_fence(
        &mut self,
        batch: &mut Batch,
        commitment: Option<&[u8; 32]>,
        from_any_cpu: bool,
    ) -> Result<(Fence, bool), Error> {
        let mut all_seen = true;
        if !self.stays_on_cpu {
            cpus::queues_are_empty(PATIENCE);
        }
        if from_any_cpu {
            let send = |taps: &mut Self| taps.send_from_other_cpus();
            (_, all_seen) = self.drain_to(batch, send).await?;
        }
        // One after the other, so that it is known which frame is the last.
        if self.crossing.is_some() {
            let send = |taps: &mut Self| taps.send(commitment, true);
            let (_, seen) = self.drain_to(batch, send).await?;
            all_seen &= seen;
        }
        let send = |taps: &mut Self| taps.send(commitment, false);
        let (sent, seen) = self.drain_to(batch, send).await?;
        let [.., last] = sent[..] else {
            return Err(Error::lab("send a fence", &"nothing is captured"));
        };
        if self.crossing.is_some() {
            // Both rings were emptied, and what came meanwhile is of no trial.
            batch.cut_after(&last);
        }
        Ok((last, all_seen && seen))
    }

    /// Takes everything up to these fences, which are sent again if they do not come. Those that were sent last, and whether they
    /// came.
    async fn drain_to(
        &mut self,
        batch: &mut Batch,
        send: impl Fn(&mut Self) -> Result<Vec<Fence>, Error>,
    ) -> Result<(Vec<Fence>, bool), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let fences = send(self)?;
            let wanted = fences.len() * self.sessions.len();
            if wanted == 0 {
                return Ok((fences, true));
            }
            let is_one = |packet: &Packet| fences.iter().any(|fence| fence.is(packet));
            let shows = |seen: &mut usize, packet: &Packet| {
                *seen += usize::from(is_one(packet));
                *seen == wanted
            };
            let seen = self.drain_until(batch, FENCE_AGAIN, || 0, shows).await?;
            if seen || Instant::now() >= deadline {
                return Ok((fences, seen));
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

    /// Sends a fence, or one each way, from each CPU but this thread's.
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

/// Sends a fence by this socket to the other end.
fn send_across(
    socket: &UdpSocket,
    commitment: Option<&[u8; 32]>,
    interface: &str,
) -> Result<Fence, Error> {
    let mark = getrandom::u64().map_err(|error| Error::lab("mark a fence", &error))?;
    let from = socket.local_addr();
    let sent = from.and_then(|from| socket.send(&payload(mark, commitment)).map(|_| from));
    match sent {
        Ok(from) => Ok(Fence {
            from,
            mark: Mark(mark),
        }),
        Err(error) => Err(fence_failed(interface, &error)),
    }
}
