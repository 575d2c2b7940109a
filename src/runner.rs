//! Makes the calls of a script and writes down how each one ended.
//!
//! One step is one system call on a descriptor that the runner owns, because the aftermath of an error is what we are
//! here to see: a library's `connect` that gives no socket back, or a `drop` that hides what `close` returned, would
//! destroy the evidence. A socket error is data; `Err` means that the tool could not do its work.
//!
//! Sockets block, as in the programs that people write. A call that must not hang has a time bound instead
//! (`SO_RCVTIMEO`, `SO_SNDTIMEO`), far above anything that happens on a working system.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno as SystemErrno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::Error;
use crate::scenario::{Awaited, Target};
use crate::sys;
use crate::time::Timestamp;
use crate::transcript::{Call, Errno, Op, Outcome, Role};

/// How long a call may block. A bound on failure, not a pace.
const CALL_BOUND: Duration = Duration::from_secs(5);

/// Clients bind to these ports in turn: outside the range that the kernel picks from by itself (32768-60999), so that
/// it cannot hand one out in between, and many, so that none comes again soon.
const CLIENT_PORTS: std::ops::RangeInclusive<u16> = 20_000..=32_000;

/// On a host's own loopback strangers may stand in the queue before the client.
const BACKLOG: i32 = 4096;

/// The port that nobody listens on, beside the one that servers listen on.
#[must_use]
pub fn closed_port(port: u16) -> u16 {
    port.checked_add(1).unwrap_or(port - 1)
}

/// Two addresses for servers, and the sockets that hold them; kept from trial to trial.
pub struct Stage {
    ip: IpAddr,
    listener: Socket,
    listener_address: SocketAddr,
    /// Bound, not listening.
    _holder: Socket,
    closed_address: SocketAddr,
    next_client_port: u16,
}

impl Stage {
    /// Listens on `ip` at `port`, and holds the port after it without listening.
    pub fn set_up(ip: IpAddr, port: u16) -> Result<Self, Error> {
        let listener = tcp_socket(ip)?;
        // Connections of an earlier run that linger in TIME-WAIT do not hold the port.
        listener
            .set_reuse_address(true)
            .map_err(|error| Error::system("set SO_REUSEADDR", errno_of(&error)))?;
        let listener_address = bind(&listener, ip, port)?;
        listener
            .listen(BACKLOG)
            .map_err(|error| failed("listen", listener_address, &error))?;
        // Accepted sockets inherit these.
        set_bounds(&listener, listener_address)?;
        // Without SO_REUSEADDR: with it, somebody else's socket could listen there beside it.
        let holder = tcp_socket(ip)?;
        let closed_address = bind(&holder, ip, closed_port(port))?;
        Ok(Self {
            ip,
            listener,
            listener_address,
            _holder: holder,
            closed_address,
            next_client_port: *CLIENT_PORTS.start(),
        })
    }

    /// The address that a client connects to for this target.
    #[must_use]
    pub fn server_address(&self, target: Target) -> SocketAddr {
        match target {
            Target::Listener | Target::OwnListener(_) | Target::Itself => self.listener_address,
            Target::ClosedPort => self.closed_address,
        }
    }

    /// A client's socket, bound to an address and port that are its own: its side of the four-tuple is known from the
    /// process, not learned from the capture.
    fn client(&mut self) -> Result<(Socket, SocketAddr), Error> {
        let socket = tcp_socket(self.ip)?;
        let mut in_use = None;
        for _ in CLIENT_PORTS {
            let port = self.next_client_port;
            self.next_client_port = if port == *CLIENT_PORTS.end() {
                *CLIENT_PORTS.start()
            } else {
                port + 1
            };
            let address = SocketAddr::new(self.ip, port);
            match socket.bind(&SockAddr::from(address)) {
                Ok(()) => {
                    set_bounds(&socket, address)?;
                    return Ok((socket, address));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => in_use = Some(error),
                Err(error) => return Err(failed("bind", address, &error)),
            }
        }
        let error = in_use.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        let last = SocketAddr::new(self.ip, self.next_client_port);
        Err(failed("bind", last, &error))
    }
}

fn tcp_socket(ip: IpAddr) -> Result<Socket, Error> {
    let domain = if ip.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
        .map_err(|error| Error::system("make a TCP socket", errno_of(&error)))
}

fn bind(socket: &Socket, ip: IpAddr, port: u16) -> Result<SocketAddr, Error> {
    let address = SocketAddr::new(ip, port);
    match socket.bind(&SockAddr::from(address)) {
        Ok(()) => Ok(address),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::Usage(format!(
            "port {port} is in use on {ip}; choose another with --port"
        ))),
        Err(error) => Err(failed("bind", address, &error)),
    }
}

fn set_bounds(socket: &Socket, address: SocketAddr) -> Result<(), Error> {
    socket
        .set_read_timeout(Some(CALL_BOUND))
        .and_then(|()| socket.set_write_timeout(Some(CALL_BOUND)))
        .map_err(|error| failed("bound calls on", address, &error))
}

fn failed(action: &str, address: SocketAddr, error: &io::Error) -> Error {
    Error::system(format!("{action} {address}"), errno_of(error))
}

fn errno_of(error: &io::Error) -> SystemErrno {
    error
        .raw_os_error()
        .map_or(SystemErrno::UnknownErrno, SystemErrno::from_raw)
}

/// The two sockets of one trial, while they are open.
struct Sockets {
    client: Option<Socket>,
    server: Option<Socket>,
}

impl Sockets {
    fn of(&self, role: Role) -> Option<&Socket> {
        match role {
            Role::Client => self.client.as_ref(),
            Role::Server => self.server.as_ref(),
        }
    }

    fn take(&mut self, role: Role) -> Option<Socket> {
        match role {
            Role::Client => self.client.take(),
            Role::Server => self.server.take(),
        }
    }
}

/// One trial's sockets and addresses.
pub struct Runner<'a> {
    stage: &'a Stage,
    sockets: Sockets,
    client_address: SocketAddr,
    server_address: SocketAddr,
    buffer: &'a mut Vec<u8>,
}

impl<'a> Runner<'a> {
    /// Gets a client's socket ready; nothing is on the wire yet. `buffer` is scratch space.
    pub fn ready(
        stage: &'a mut Stage,
        target: Target,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Self, Error> {
        let (client, client_address) = stage.client()?;
        let server_address = stage.server_address(target);
        Ok(Self {
            stage,
            sockets: Sockets {
                client: Some(client),
                server: None,
            },
            client_address,
            server_address,
            buffer,
        })
    }

    /// The client's address and the one that it connects to.
    #[must_use]
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.client_address, self.server_address)
    }

    /// Makes one call. `None` if there is no descriptor to make it on, because an earlier call went otherwise than
    /// the script says.
    pub fn call(&mut self, role: Role, op: Op) -> Result<Option<Call>, Error> {
        match op {
            Op::Accept => {
                let (listener, client) = (&self.stage.listener, self.client_address);
                let accepted = &mut self.sockets.server;
                timed(role, op, || {
                    *accepted = Some(accept_from(listener, client)?);
                    Ok(Outcome::Returned(0))
                })
            }
            Op::Close => {
                let Some(socket) = self.sockets.take(role) else {
                    return Ok(None);
                };
                timed(role, op, || {
                    returned(nix::unistd::close(socket).map(|()| 0))
                })
            }
            _ => {
                let Some(socket) = self.sockets.of(role) else {
                    return Ok(None);
                };
                let len = match op {
                    Op::Read(len) | Op::Write(len) => usize::try_from(len).unwrap_or(0),
                    _ => 0,
                };
                if self.buffer.len() < len {
                    self.buffer.resize(len, b'x');
                }
                let buffer = self.buffer.get_mut(..len).unwrap_or_default();
                let server = SockAddr::from(self.server_address);
                timed(role, op, || call_on(socket, op, &server, buffer))
            }
        }
        .map(Some)
    }

    /// The capture has shown it; waits until the socket that it is for has taken it in, too. The tap comes before TCP,
    /// and another CPU may be at it. Neither way of asking takes an error away.
    pub fn settle(&self, awaited: Awaited) -> Result<(), Error> {
        let (Awaited::FinFrom(role) | Awaited::FinAckedBy(role) | Awaited::ResetFrom(role)) =
            awaited
        else {
            return Ok(());
        };
        let Some(socket) = self.sockets.of(role.peer()) else {
            return Ok(()); // closed: nobody can be asked
        };
        match awaited {
            Awaited::FinFrom(_) => leaves_state(socket, sys::TCP_ESTABLISHED),
            Awaited::FinAckedBy(_) => leaves_state(socket, sys::TCP_FIN_WAIT1),
            Awaited::ResetFrom(_) => is_hung_up(socket),
            _ => Ok(()),
        }
        .map_err(|errno| Error::system("ask a socket for its state", errno))
    }

    /// Closes whatever is still open, abortively, so that nothing of this trial is left to send later on.
    pub fn tear_down(self) {
        for socket in [self.sockets.client, self.sockets.server]
            .into_iter()
            .flatten()
        {
            // Fails on a socket that is dead already, and such a one sends nothing more.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

/// Makes a call and writes down when it was entered, when it had returned, and how it ended.
fn timed(role: Role, op: Op, call: impl FnOnce() -> io::Result<Outcome>) -> Result<Call, Error> {
    let began = Timestamp::now()?;
    let result = call();
    let ended = Timestamp::now()?;
    Ok(Call {
        role,
        op,
        began,
        ended,
        outcome: result.unwrap_or_else(|error| failure(&error, began, ended)),
    })
}

/// A call on a connection's own socket, which stays open.
fn call_on(socket: &Socket, op: Op, server: &SockAddr, buffer: &mut [u8]) -> io::Result<Outcome> {
    let done = Outcome::Returned(0);
    match op {
        Op::Connect => socket.connect(server).map(|()| done),
        Op::Read(_) => returned(nix::unistd::read(socket, buffer)),
        Op::Write(_) => returned(nix::unistd::write(socket, buffer)),
        Op::ShutdownWrite => socket.shutdown(std::net::Shutdown::Write).map(|()| done),
        Op::LingerZero => socket.set_linger(Some(Duration::ZERO)).map(|()| done),
        Op::DelayAcks => socket.set_tcp_quickack(false).map(|()| done),
        Op::SocketError => socket
            .take_error()
            .map(|error| Outcome::SocketError(error.map(|error| errno_of(&error).into()))),
        _ => Err(io::ErrorKind::Unsupported.into()), // not on such a socket
    }
}

fn returned(result: Result<usize, SystemErrno>) -> io::Result<Outcome> {
    let value = result.map_err(io::Error::from)?;
    Ok(Outcome::Returned(i64::try_from(value).unwrap_or(i64::MAX)))
}

/// Waits until a socket is dead; no longer than a call may take. POLLHUP is reported whether asked for or not.
fn is_hung_up(socket: &Socket) -> Result<(), SystemErrno> {
    let bound = PollTimeout::try_from(CALL_BOUND).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(
            &mut [PollFd::new(socket.as_fd(), PollFlags::empty())],
            bound,
        ) {
            Ok(_) => return Ok(()),
            Err(SystemErrno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits until a socket is no longer in this state; no longer than a call may take. No event tells of it, and it is a
/// matter of microseconds.
fn leaves_state(socket: &Socket, state: u8) -> Result<(), SystemErrno> {
    let deadline = Instant::now() + CALL_BOUND;
    while sys::tcp_state(socket)? == state && Instant::now() < deadline {
        std::thread::yield_now();
    }
    Ok(())
}

/// Accepts this client's connection. On a host's own loopback anybody may connect: others are hung up on.
fn accept_from(listener: &Socket, client: SocketAddr) -> io::Result<Socket> {
    loop {
        let (socket, peer) = listener.accept()?;
        if peer.as_socket() == Some(client) {
            return Ok(socket);
        }
    }
}

fn failure(error: &io::Error, began: Timestamp, ended: Timestamp) -> Outcome {
    let errno = errno_of(error);
    // How the time bound shows: EAGAIN, and EINPROGRESS from connect.
    let bounded = matches!(errno, SystemErrno::EAGAIN | SystemErrno::EINPROGRESS);
    let spent = u128::from(ended.since(began).unsigned_abs());
    if bounded && spent >= CALL_BOUND.as_nanos() / 2 {
        Outcome::Unfinished
    } else {
        Outcome::Failed(Errno::from(errno))
    }
}
