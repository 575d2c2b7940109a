//! The captures of one trial: one on loopback, or one at each end of the way between two hosts.
//!
//! Between hosts a frame that leaves one end and one that arrives at the other are two frames, of two rings. They are put into
//! the order of their times: one clock stamps both. A fence crosses the way in each direction, and each ring must show both:
//! then all that was sent before is in.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;

use tokio::time::{Instant, timeout_at};

use super::{Batch, PATIENCE, Session, fence_failed, payload};
use crate::error::Error;
use crate::evidence::{Fence, Mark};
use crate::packet::{Link, Packet};
use crate::sys;

/// What a trial is captured by.
pub struct Taps {
    sessions: Vec<Session>,
    /// Frames that captures lost which are closed by now.
    lost: u64,
    crossing: Option<Crossing>,
    interface: String,
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
            .map_err(|error| Error::lab("make a fence", &error))
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
        }
    }

    /// One at each end.
    #[must_use]
    pub fn two(client: Session, server: Session, crossing: Crossing) -> Self {
        Self {
            interface: format!("{}, {}", client.interface, server.interface),
            sessions: vec![client, server],
            lost: 0,
            crossing: Some(crossing),
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

    /// Takes frames until they show it, waiting for it if need be. `shows` is asked of one frame after the other, in order;
    /// `anew` before it is asked from the first one again. Whether it came within the bound.
    pub async fn drain_until<W>(
        &mut self,
        batch: &mut Batch,
        anew: impl Fn() -> W,
        shows: impl Fn(&mut W, &Packet) -> bool,
    ) -> Result<bool, Error> {
        if let [session] = &mut self.sessions[..] {
            let mut watch = anew();
            if batch.packets.iter().any(|packet| shows(&mut watch, packet)) {
                return Ok(true);
            }
            return session
                .drain_until(batch, |packet| shows(&mut watch, packet))
                .await;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.drain(batch)?;
            let mut watch = anew();
            if batch.packets.iter().any(|packet| shows(&mut watch, packet)) {
                return Ok(true);
            }
            if !self.wait_for_frames(deadline).await? {
                return Ok(false);
            }
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
    /// carry beside their mark is bound to the frames by that.
    pub async fn drain_to_fence(
        &mut self,
        batch: &mut Batch,
        commitment: Option<&[u8; 32]>,
    ) -> Result<(Fence, bool), Error> {
        let Some(crossing) = self.crossing.take() else {
            return match &mut self.sessions[..] {
                [session] => session.drain_to_fence(batch, commitment).await,
                _ => Err(Error::lab("send a fence", &"nothing is captured")),
            };
        };
        let result = self.cross(&crossing, batch, commitment).await;
        self.crossing = Some(crossing);
        result
    }

    async fn cross(
        &mut self,
        crossing: &Crossing,
        batch: &mut Batch,
        commitment: Option<&[u8; 32]>,
    ) -> Result<(Fence, bool), Error> {
        let interface = self.interface.clone();
        let failed = |error: io::Error| fence_failed(&interface, &error);
        let mark = getrandom::u64().map_err(|error| Error::lab("mark a fence", &error))?;
        let bytes = payload(mark, commitment);
        let fence = |socket: &UdpSocket| {
            let from = socket.local_addr().map_err(failed)?;
            let mark = Mark(mark);
            Ok(Fence { from, mark })
        };
        // One after the other, so that it is known which frame is the last.
        let mut all_seen = true;
        for socket in [&crossing.server, &crossing.client] {
            let fence = fence(socket)?;
            socket.send(&bytes).map_err(failed)?;
            all_seen &= self.shows_twice(batch, fence).await?;
        }
        // Both rings were emptied, and what came meanwhile is of no trial.
        let last = fence(&crossing.client)?;
        batch.cut_after(&last);
        Ok((last, all_seen))
    }

    /// Takes frames until this fence was captured at both ends.
    async fn shows_twice(&mut self, batch: &mut Batch, fence: Fence) -> Result<bool, Error> {
        self.drain_until(
            batch,
            || 0,
            |seen, packet| {
                *seen += u32::from(fence.is(packet));
                *seen == 2
            },
        )
        .await
    }
}
