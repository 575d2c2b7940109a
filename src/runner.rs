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
            Target::Listener => self.listener_address,
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

/// The two sockets of one trial.
pub struct Runner<'a> {
    stage: &'a Stage,
    client: Option<Socket>,
    server: Option<Socket>,
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
            client: Some(client),
            server: None,
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
        let len = match op {
            Op::Read(len) | Op::Write(len) => usize::from(len),
            _ => 0,
        };
        if self.buffer.len() < len {
            self.buffer.resize(len, b'x');
        }
        if op == Op::Close {
            return self.close(role);
        }
        let accepting = op == Op::Accept;
        let slot = match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        };
        let socket = if accepting {
            &self.stage.listener
        } else if let Some(socket) = slot {
            socket
        } else {
            return Ok(None);
        };
        let server = SockAddr::from(self.server_address);
        let buffer = self.buffer.get_mut(..len).unwrap_or_default();
        let mut accepted = None;
        let began = Timestamp::now()?;
        let result = match op {
            Op::Connect => socket.connect(&server).map(|()| 0),
            Op::Accept => accept_from(socket, self.client_address).map(|socket| {
                accepted = Some(socket);
                0
            }),
            Op::Read(_) => nix::unistd::read(socket, buffer).map_err(io::Error::from),
            Op::Write(_) => nix::unistd::write(socket, buffer).map_err(io::Error::from),
            Op::ShutdownWrite => socket.shutdown(std::net::Shutdown::Write).map(|()| 0),
            Op::LingerZero => socket.set_linger(Some(Duration::ZERO)).map(|()| 0),
            Op::DelayAcks => socket.set_tcp_quickack(false).map(|()| 0),
            Op::SocketError => return socket_error(socket, role).map(Some),
            Op::Close => Ok(0), // see above
        };
        let ended = Timestamp::now()?;
        if accepting {
            self.server = accepted;
        }
        Ok(Some(Call {
            role,
            op,
            began,
            ended,
            outcome: outcome_of(result, began, ended),
        }))
    }

    /// The capture has shown it; waits until the socket that it is for has taken it in, too. The tap comes before TCP,
    /// and another CPU may be at it. Neither way of asking takes an error away.
    pub fn settle(&self, awaited: Awaited) -> Result<(), Error> {
        let (Awaited::FinFrom(role) | Awaited::FinAckedBy(role) | Awaited::ResetFrom(role)) =
            awaited;
        let slot = match role.peer() {
            Role::Client => &self.client,
            Role::Server => &self.server,
        };
        let Some(socket) = slot else {
            return Ok(()); // closed: nobody can be asked
        };
        match awaited {
            Awaited::FinFrom(_) => leaves_state(socket, sys::TCP_ESTABLISHED),
            Awaited::FinAckedBy(_) => leaves_state(socket, sys::TCP_FIN_WAIT1),
            Awaited::ResetFrom(_) => is_hung_up(socket),
        }
        .map_err(|errno| Error::system("ask a socket for its state", errno))
    }

    fn close(&mut self, role: Role) -> Result<Option<Call>, Error> {
        let slot = match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        };
        let Some(socket) = slot.take() else {
            return Ok(None);
        };
        let began = Timestamp::now()?;
        let result = nix::unistd::close(socket);
        let ended = Timestamp::now()?;
        let result = result.map(|()| 0).map_err(io::Error::from);
        Ok(Some(Call {
            role,
            op: Op::Close,
            began,
            ended,
            outcome: outcome_of(result, began, ended),
        }))
    }

    /// Closes whatever is still open, abortively, so that nothing of this trial is left to send later on.
    pub fn tear_down(self) {
        for socket in [self.client, self.server].into_iter().flatten() {
            // Fails on a socket that is dead already, and such a one sends nothing more.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

fn socket_error(socket: &Socket, role: Role) -> Result<Call, Error> {
    let began = Timestamp::now()?;
    let result = socket.take_error();
    let ended = Timestamp::now()?;
    Ok(Call {
        role,
        op: Op::SocketError,
        began,
        ended,
        outcome: match result {
            Ok(error) => Outcome::SocketError(error.map(|error| errno_of(&error).into())),
            Err(error) => outcome_of(Err(error), began, ended),
        },
    })
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

fn outcome_of(result: io::Result<usize>, began: Timestamp, ended: Timestamp) -> Outcome {
    match result {
        Ok(value) => Outcome::Returned(i64::try_from(value).unwrap_or(i64::MAX)),
        Err(error) => {
            let errno = errno_of(&error);
            // How the time bound shows: EAGAIN, and EINPROGRESS from connect.
            let bounded = matches!(errno, SystemErrno::EAGAIN | SystemErrno::EINPROGRESS);
            let spent = u128::from(ended.since(began).unsigned_abs());
            if bounded && spent >= CALL_BOUND.as_nanos() / 2 {
                Outcome::Unfinished
            } else {
                Outcome::Failed(Errno::from(errno))
            }
        }
    }
}
