//! Single calls: make one on a socket, and record its start, its end and its result.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::errno::Errno as SystemErrno;
use socket2::{SockAddr, Socket};

use super::socket_set::drop_all;
use crate::clock;
use crate::error::{Error, known_of};
use crate::sys;
use rstproof_core::scenario::CALL_BOUND;
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Call, Events, Op, Outcome, Role};

/// Returns the number of bytes that a call reads or writes.
pub(super) fn length(op: Op) -> usize {
    match op {
        Op::Read(len) | Op::Peek(len) | Op::Write(len) => usize::try_from(len).unwrap_or(0),
        Op::WriteUrgent => 1,
        _ => 0,
    }
}

pub(super) fn closed(socket: Socket) -> io::Result<Outcome> {
    returned(nix::unistd::close(socket).map(|()| 0))
}

/// Makes a call and records its start, its end and its result.
pub(super) fn timed(
    role: Role,
    op: Op,
    call: impl FnOnce() -> io::Result<Outcome>,
) -> Result<Call, Error> {
    let began = clock::now()?;
    let result = call();
    let ended = clock::now()?;
    Ok(Call {
        role,
        op,
        began,
        ended,
        outcome: result.unwrap_or_else(|error| failure(&error, began, ended)),
    })
}

/// Makes a call on a connection's own socket, which stays open.
pub(super) fn call_on(
    socket: &Socket,
    op: Op,
    server: &SockAddr,
    buffer: &mut [u8],
) -> io::Result<Outcome> {
    let time = |ms: u16| Some(Duration::from_millis(ms.into()));
    let number = |value: u32| libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX);
    let tcp_option = |name, value: libc::c_int| {
        sys::set_option(socket, libc::IPPROTO_TCP, name, value).map_err(io::Error::from)
    };
    let socket_option = |name, value: u32| {
        sys::set_option(socket, libc::SOL_SOCKET, name, number(value)).map_err(io::Error::from)
    };
    match op {
        Op::Connect => socket.connect(server)?,
        Op::Disconnect => sys::disconnect(socket)?,
        Op::Read(_) => return returned(nix::unistd::read(socket, buffer)),
        Op::Peek(_) => return received(socket, buffer, libc::MSG_PEEK),
        Op::Write(_) => return returned(nix::unistd::write(socket, buffer)),
        Op::WriteUrgent => return sent(socket.send_out_of_band(buffer)),
        Op::ShutdownRead => socket.shutdown(std::net::Shutdown::Read)?,
        Op::ShutdownWrite => socket.shutdown(std::net::Shutdown::Write)?,
        Op::ShutdownBoth => socket.shutdown(std::net::Shutdown::Both)?,
        Op::LingerZero => socket.set_linger(Some(Duration::ZERO))?,
        Op::Linger(seconds) => socket.set_linger(Some(Duration::from_secs(seconds.into())))?,
        Op::KeepAlive => socket.set_keepalive(true)?,
        Op::KeepIdle(seconds) => tcp_option(libc::TCP_KEEPIDLE, seconds.into())?,
        Op::KeepInterval(seconds) => tcp_option(libc::TCP_KEEPINTVL, seconds.into())?,
        Op::KeepCount(count) => tcp_option(libc::TCP_KEEPCNT, count.into())?,
        Op::ReceiveErrors => {
            let (level, name) = match server.as_socket() {
                Some(SocketAddr::V6(_)) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
                _ => (libc::IPPROTO_IP, libc::IP_RECVERR),
            };
            sys::set_option(socket, level, name, 1).map_err(io::Error::from)?;
        }
        Op::FastOpenConnect => tcp_option(libc::TCP_FASTOPEN_CONNECT, 1)?,
        Op::Repair => tcp_option(libc::TCP_REPAIR, 1)?,
        Op::Blackhole => drop_all(socket)?,
        Op::Linger2(seconds) => tcp_option(libc::TCP_LINGER2, seconds.into())?,
        Op::DelayAcks => socket.set_tcp_quickack(false)?,
        Op::ReceiveTimeout(ms) => socket.set_read_timeout(time(ms))?,
        Op::SendTimeout(ms) => socket.set_write_timeout(time(ms))?,
        Op::UserTimeout(ms) => tcp_option(libc::TCP_USER_TIMEOUT, ms.into())?,
        Op::SynCount(count) => tcp_option(libc::TCP_SYNCNT, count.into())?,
        Op::ReceiveBuffer(len) => socket_option(libc::SO_RCVBUF, len)?,
        Op::SendBuffer(len) => socket_option(libc::SO_SNDBUF, len)?,
        Op::NonBlocking => socket.set_nonblocking(true)?,
        Op::SocketError => {
            let error = socket.take_error()?;
            return Ok(Outcome::SocketError(error.map(|error| known_of(&error))));
        }
        Op::PeerName => {
            socket.peer_addr()?;
        }
        Op::Poll => return Ok(Outcome::Polled(Events(sys::poll_now(socket)?))),
        Op::Accept
        | Op::ShutdownListener
        | Op::CloseListener
        | Op::Spawn
        | Op::Kill
        | Op::Terminate
        | Op::Destroy
        | Op::Close => return Err(io::ErrorKind::Unsupported.into()), // not on such a socket
    }
    Ok(Outcome::Returned(0))
}

fn received(socket: &Socket, buffer: &mut [u8], flags: i32) -> io::Result<Outcome> {
    use std::os::fd::AsRawFd as _;
    let flags = nix::sys::socket::MsgFlags::from_bits_truncate(flags);
    returned(nix::sys::socket::recv(socket.as_raw_fd(), buffer, flags))
}

fn sent(result: io::Result<usize>) -> io::Result<Outcome> {
    let value = result?;
    Ok(Outcome::Returned(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn returned(result: Result<usize, SystemErrno>) -> io::Result<Outcome> {
    let value = result.map_err(io::Error::from)?;
    Ok(Outcome::Returned(i64::try_from(value).unwrap_or(i64::MAX)))
}

/// Accepts this client's connection. On the host's own loopback other programs may connect: their connections are
/// closed, for at most [`CALL_BOUND`].
pub(super) fn accept_from(listener: &Socket, client: SocketAddr) -> io::Result<Socket> {
    let deadline = Instant::now() + CALL_BOUND;
    loop {
        let (socket, peer) = listener.accept()?;
        if peer.as_socket() == Some(client) {
            return Ok(socket);
        }
        if Instant::now() >= deadline {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN)); // as the bound of one call shows
        }
    }
}

fn failure(error: &io::Error, began: Timestamp, ended: Timestamp) -> Outcome {
    // A call that reaches its time bound fails with EAGAIN, or EINPROGRESS from connect.
    let bounded = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINPROGRESS));
    let spent = u128::from(ended.since(began).unsigned_abs());
    // The bound never ends early, except for rounding to the ticks of the kernel's clock.
    if bounded && spent >= CALL_BOUND.as_nanos() * 49 / 50 {
        Outcome::Unfinished
    } else {
        Outcome::Failed(known_of(error))
    }
}
