//! Makes the calls of a script and records the result of each.
//!
//! One step is one system call on a descriptor that the runner owns, because the tool observes what happens after an
//! error: a library's `connect` that returns no socket, or a `drop` that hides the result of `close`, would destroy
//! the evidence. A socket error is data; `Err` means that the tool could not do its work.
//!
//! Sockets block, as in ordinary programs. A call that must not hang has a time bound (`SO_RCVTIMEO`, `SO_SNDTIMEO`),
//! far above anything that happens on a working system. A call that blocks while the script goes on has a thread of
//! its own (`blocked`), and a process that is killed is a real one ([`child`]).

mod blocked;
mod call;
pub(crate) mod child;
mod socket_set;
mod wait;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno as SystemErrno;
use socket2::{SockAddr, Socket};

use self::blocked::Blocked;
use self::call::{accept_from, call_on, closed, length, timed};
pub(crate) use self::socket_set::{Endpoints, SocketSet, client_port, no_multipath};
use self::wait::{holds, in_proc, is_hung_up, leaves_state};
use crate::error::Error;
use crate::lab::destroy;
use crate::sys;
use rstproof_core::scenario::{Awaited, Scenario, Target};
use rstproof_core::transcript::{Call, Events, Op, Outcome, Role};

fn failed(action: &str, address: SocketAddr, error: &io::Error) -> Error {
    Error::io(format!("{action} {address}"), error)
}

/// Client and server socket of one trial, while they are open.
struct ConnectionSockets {
    client: Option<Arc<Socket>>,
    server: Option<Arc<Socket>>,
}

impl ConnectionSockets {
    fn of(&self, role: Role) -> Option<&Arc<Socket>> {
        match role {
            Role::Client => self.client.as_ref(),
            Role::Server => self.server.as_ref(),
        }
    }

    /// Takes a socket in order to close it; `None` if there is none, or another thread is in a call on it.
    fn take(&mut self, role: Role) -> Option<Socket> {
        let socket = match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        };
        Arc::into_inner(socket.take()?)
    }
}

/// Sockets and addresses of one trial.
pub(crate) struct Runner<'a> {
    /// Path of the program that child processes run.
    program: &'a Path,
    /// Open listeners that belong to this trial, if it has any.
    own: Vec<Socket>,
    target: Target,
    multipath: bool,
    sockets: ConnectionSockets,
    client_address: SocketAddr,
    server_address: SocketAddr,
    /// Blocking calls, with their indices in the transcript.
    blocked: Vec<(usize, Blocked)>,
    child: Option<Child>,
    /// Sockets of other clients, which only fill queues.
    others: Vec<Socket>,
    buffer: &'a mut Vec<u8>,
    /// Listeners that all trials share. Dropped last.
    socket_set: SocketSet,
}

impl<'a> Runner<'a> {
    /// Prepares the client's socket and the listeners; sends nothing yet. `program` is the program that child
    /// processes run, `buffer` is scratch space.
    pub(crate) fn ready(
        mut socket_set: SocketSet,
        scenario: &Scenario,
        program: &'a Path,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Self, Error> {
        let (client, client_address) = match (scenario.target, scenario.raw) {
            (Target::Itself, _) => socket_set.client_of_itself()?,
            (_, Some(Role::Client)) => socket_set.raw_client()?,
            _ => socket_set.client(scenario.multipath)?,
        };
        let target = scenario.target;
        let own = socket_set.own_listeners(target, scenario.multipath)?;
        // Before anything is sent: filling megabytes takes time.
        let longest = scenario.calls().map(|(_, op, _)| length(op)).max();
        if longest > Some(buffer.len()) {
            buffer.resize(longest.unwrap_or(0), b'x');
        }
        let server_address = match target {
            Target::Itself => client_address,
            _ => socket_set.server_address(target),
        };
        Ok(Self {
            program,
            own,
            target,
            multipath: scenario.multipath,
            sockets: ConnectionSockets {
                client: Some(Arc::new(client)),
                server: None,
            },
            client_address,
            server_address,
            blocked: Vec::new(),
            child: None,
            others: Vec::new(),
            buffer,
            socket_set,
        })
    }

    /// Returns the port that the next trial's client binds to.
    #[must_use]
    pub(crate) fn next_client_port(&self) -> u16 {
        self.socket_set.next_client_port()
    }

    /// Returns the address of this end and of its peer.
    fn ends(&self, role: Role) -> (SocketAddr, SocketAddr) {
        match role {
            Role::Client => (self.client_address, self.server_address),
            Role::Server => (self.server_address, self.client_address),
        }
    }

    /// Returns the client's address and the address that it connects to.
    #[must_use]
    pub(crate) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.client_address, self.server_address)
    }

    /// Makes one call. Returns `None` if the descriptor for it does not exist, because an earlier call deviated from
    /// the script.
    pub(crate) fn call(&mut self, role: Role, op: Op) -> Result<Option<Call>, Error> {
        match op {
            Op::Accept => {
                let listener = match self.target {
                    Target::Listener => Some(self.socket_set.listener()),
                    _ => self.own.first(),
                };
                let Some(listener) = listener else {
                    return Ok(None);
                };
                let client = self.client_address;
                let accepted = &mut self.sockets.server;
                timed(role, op, || {
                    *accepted = Some(Arc::new(accept_from(listener, client)?));
                    Ok(Outcome::Returned(0))
                })
            }
            Op::ShutdownListener => {
                let Some(listener) = self.own.first() else {
                    return Ok(None);
                };
                timed(role, op, || {
                    listener.shutdown(std::net::Shutdown::Read)?;
                    Ok(Outcome::Returned(0))
                })
            }
            Op::CloseListener => {
                let Some(listener) = self.take_listener()? else {
                    return Ok(None);
                };
                timed(role, op, || closed(listener))
            }
            Op::Close => {
                let Some(socket) = self.sockets.take(role) else {
                    return Ok(None);
                };
                timed(role, op, || closed(socket))
            }
            Op::Spawn => {
                let Some(socket) = self.sockets.of(role) else {
                    return Ok(None);
                };
                let copy = socket.try_clone();
                let (program, child) = (self.program, &mut self.child);
                timed(role, op, || {
                    match child::spawn(program, copy?.into()) {
                        Ok(started) => *child = Some(started),
                        // The child ended before it was ready; no error number describes that.
                        Err(error) if error.raw_os_error().is_none() => {
                            return Ok(Outcome::Unfinished);
                        }
                        Err(error) => return Err(error),
                    }
                    Ok(Outcome::Returned(0))
                })
            }
            Op::Kill | Op::Terminate => {
                let Some(child) = &mut self.child else {
                    return Ok(None);
                };
                let call = timed(role, op, || {
                    Ok(if child::end(child, op == Op::Terminate)? {
                        Outcome::Returned(0)
                    } else {
                        Outcome::Unfinished
                    })
                })?;
                self.child = self
                    .child
                    .take()
                    .filter(|_| call.outcome == Outcome::Unfinished);
                Ok(call)
            }
            Op::Destroy => {
                let (own, peer) = self.ends(role);
                timed(role, op, || {
                    destroy::socket_between(own, peer)?;
                    Ok(Outcome::Returned(0))
                })
            }
            _ => {
                let Some(socket) = self.sockets.of(role) else {
                    return Ok(None);
                };
                let buffer = self.buffer.get_mut(..length(op)).unwrap_or_default();
                let server = SockAddr::from(self.server_address);
                timed(role, op, || call_on(socket, op, &server, buffer))
            }
        }
        .map(Some)
    }

    /// Starts a blocking call; `nth` is its index in the transcript. Returns its placeholder there until
    /// [`end`](Self::end).
    pub(crate) fn begin(&mut self, role: Role, op: Op, nth: usize) -> Result<Option<Call>, Error> {
        let Some(socket) = self.sockets.of(role).cloned() else {
            return Ok(None);
        };
        let server = SockAddr::from(self.server_address);
        // A buffer of its own, because the script goes on and uses the runner's.
        let mut buffer = vec![b'x'; length(op)];
        let blocked = Blocked::begin(role, op, move || {
            timed(role, op, || call_on(&socket, op, &server, &mut buffer))
        })?;
        let call = blocked.so_far();
        self.blocked.push((nth, blocked));
        Ok(Some(call))
    }

    /// Waits until the blocking call of this role returns. Returns its index in the transcript, and the result.
    pub(crate) fn end(&mut self, role: Role) -> Result<Option<(usize, Call)>, Error> {
        let is_it = |(_, blocked): &(usize, Blocked)| blocked.so_far().role == role;
        let Some(place) = self.blocked.iter().position(is_it) else {
            return Ok(None);
        };
        let (nth, blocked) = self.blocked.remove(place);
        Ok(Some((nth, blocked.end()?)))
    }

    /// Begins to connect another client, without waiting for the end of the handshake.
    fn connect_other(&mut self) -> Result<Socket, Error> {
        let (socket, address) = self.socket_set.client(false)?;
        // A connection that does not fit into the queue must not block the script.
        socket
            .set_nonblocking(true)
            .map_err(|error| failed("set O_NONBLOCK on", address, &error))?;
        match socket.connect(&SockAddr::from(self.server_address)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                Err(failed("connect", self.server_address, &error))
            }
            _ => Ok(socket),
        }
    }

    /// Makes other clients connect and stay connected. Waits until each is in the queue of the trial's listener before
    /// the next one connects: loopback may defer receive processing. Returns false if one of these waits was in vain.
    pub(crate) fn others(&mut self, count: u8, sends: bool) -> Result<bool, Error> {
        let ask = |errno| Error::system("read the queue length of a listener", errno);
        let mut has_come = true;
        for waiting in 1..=u32::from(count) {
            let socket = self.connect_other()?;
            if sends {
                has_come &=
                    holds(|| Ok(sys::tcp_state(&socket)? == sys::TCP_ESTABLISHED)).map_err(ask)?;
                let _ = socket.send(b"x");
            }
            self.others.push(socket);
            if !self.own.is_empty() {
                let all = || -> Result<u32, SystemErrno> {
                    let own = self.own.iter();
                    own.map(sys::waiting_to_be_accepted).sum()
                };
                has_come &= holds(|| Ok(all()? >= waiting)).map_err(ask)?;
            }
        }
        Ok(has_come)
    }

    /// Takes the listener to close: of several, the one in whose queue a connection waits.
    fn take_listener(&mut self) -> Result<Option<Socket>, Error> {
        // Two listeners share the port, and the kernel chooses by a hash which of them gets a connection
        // (`reuseport_select_sock()`).
        let mut holding = 0;
        if self.own.len() > 1 {
            for (index, listener) in self.own.iter().enumerate() {
                let waiting = sys::waiting_to_be_accepted(listener)
                    .map_err(|errno| Error::system("read the queue length of a listener", errno))?;
                if waiting > 0 {
                    holding = index;
                }
            }
        }
        Ok((holding < self.own.len()).then(|| self.own.remove(holding)))
    }

    /// Waits, for at most [`CALL_BOUND`], until the receiving socket has processed the segment that the capture has
    /// shown. Returns true if it has. The tap comes before TCP, which may be running on another CPU. Neither query
    /// clears a pending socket error.
    pub(crate) fn settle(&self, awaited: Awaited) -> Result<bool, Error> {
        let receiver = |role: Role| self.sockets.of(role.peer());
        match awaited {
            Awaited::FinFrom(role) => {
                receiver(role).map_or(Ok(true), |it| leaves_state(it, sys::TCP_ESTABLISHED))
            }
            Awaited::FinAckedBy(role) => match receiver(role) {
                Some(receiver) => leaves_state(receiver, sys::TCP_FIN_WAIT1),
                // A timer on another CPU may have sent the ACK, and its kernel code may still be running.
                None => holds(|| Ok(self.kept_state(role.peer()) != Some(sys::TCP_FIN_WAIT1))),
            },
            Awaited::ResetFrom(role) => receiver(role).map_or(Ok(true), |it| {
                // Closing the socket and shutting it down are two steps (`tcp_done()`), and another CPU may be
                // between them.
                let is_shut = || Ok(self.multipath || sys::poll_now(it)? & Events::RDHUP.0 != 0);
                Ok(is_hung_up(it)? && holds(is_shut)?)
            }),
            Awaited::DataFrom(role) => match receiver(role) {
                Some(receiver) => holds(|| sys::has_data(receiver)),
                None if self.own.is_empty() => Ok(true),
                None => holds(|| {
                    let mut own = self.own.iter();
                    own.try_fold(false, |any, it| {
                        Ok(any | (sys::waiting_to_be_accepted(it)? > 0))
                    })
                }),
            },
            Awaited::SynFrom(_)
            | Awaited::Dead(_)
            | Awaited::Gone(_)
            | Awaited::AnswerFrom(_)
            | Awaited::AgainFrom(_)
            | Awaited::Acknowledged(_)
            | Awaited::Icmp
            | Awaited::Established(_) => Ok(true),
        }
        .map_err(|errno| Error::system("read the state of a socket", errno))
    }

    /// Returns true if this end has a socket of its own.
    #[must_use]
    pub(crate) fn has_socket(&self, role: Role) -> bool {
        self.sockets.of(role).is_some()
    }

    /// Waits until everything that this end's socket has sent is acknowledged. Returns false if the bound was
    /// exceeded.
    pub(crate) fn is_acknowledged(&self, role: Role) -> Result<bool, Error> {
        let Some(socket) = self.sockets.of(role) else {
            return Ok(true);
        };
        holds(|| sys::has_nothing_in_flight(socket))
            .map_err(|errno| Error::system("read the unacknowledged data of a socket", errno))
    }

    /// Waits until this end's connection is established or has failed. Returns false if the bound was exceeded.
    pub(crate) fn is_established(&self, role: Role) -> Result<bool, Error> {
        let Some(socket) = self.sockets.of(role) else {
            return Ok(true);
        };
        leaves_state(socket, sys::TCP_SYN_SENT)
            .and_then(|left| Ok(left & leaves_state(socket, sys::TCP_SYN_RECV)?))
            .map_err(|errno| Error::system("read the state of a socket", errno))
    }

    /// Waits until a timer ends this end's connection, for at most [`CALL_BOUND`], which is longer than any timer of
    /// the catalogue. Returns true if one did.
    pub(crate) fn dies(&self, role: Role) -> Result<bool, Error> {
        let Some(socket) = self.sockets.of(role) else {
            return Ok(true);
        };
        is_hung_up(socket).map_err(|errno| Error::system("wait for a socket to close", errno))
    }

    /// Returns true if the kernel still keeps state of the connection on this end's side, whose socket was closed.
    pub(crate) fn is_kept(&self, role: Role) -> Result<bool, Error> {
        let path = self.table();
        let table = fs::read_to_string(path).map_err(|error| Error::file("read", path, &error))?;
        Ok(self.state_in(&table, role).is_some())
    }

    /// Returns the state of what the kernel keeps of the connection on this end's side; `None` if there is nothing or
    /// it cannot be read.
    fn kept_state(&self, role: Role) -> Option<u8> {
        let table = fs::read_to_string(self.table()).ok()?;
        self.state_in(&table, role)
    }

    /// Returns the path of the kernel's socket table for this family.
    fn table(&self) -> &'static Path {
        Path::new(if self.client_address.is_ipv4() {
            "/proc/thread-self/net/tcp"
        } else {
            "/proc/thread-self/net/tcp6"
        })
    }

    /// Returns the state of this end's socket in that table: two hexadecimal digits after the two addresses
    /// (`get_tcp4_sock()`).
    fn state_in(&self, table: &str, role: Role) -> Option<u8> {
        let (own, peer) = self.ends(role);
        let ends = format!(" {} {} ", in_proc(own), in_proc(peer));
        let (_, rest) = table.split_once(&ends)?;
        u8::from_str_radix(rest.get(..2)?, 16).ok()
    }

    /// Closes everything that is still open, with an abort, so that nothing of this trial is sent later. Returns the
    /// socket set for the next trial.
    pub(crate) fn tear_down(mut self) -> SocketSet {
        if let Some(child) = &mut self.child {
            let _ = child::end(child, false);
        }
        let open = [self.sockets.client.take(), self.sockets.server.take()];
        for (_, blocked) in self.blocked.drain(..) {
            // The call returns when its socket is shut down.
            for socket in open.iter().flatten() {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
            let _ = blocked.end();
        }
        for socket in open.iter().flatten().map(Arc::as_ref).chain(&self.others) {
            // Fails on a socket that is dead already, which sends nothing more.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        self.socket_set
    }
}
