//! Waits for sockets to reach a state, each with a bound.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::time::Instant;

use nix::errno::Errno as SystemErrno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

use crate::sys;
use rstproof_core::scenario::CALL_BOUND;

/// Waits until a socket is dead, for at most [`CALL_BOUND`]. Returns true if it is. POLLHUP is always reported,
/// without being requested.
pub(super) fn is_hung_up(socket: &Socket) -> Result<bool, SystemErrno> {
    let bound = PollTimeout::try_from(CALL_BOUND).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(
            &mut [PollFd::new(socket.as_fd(), PollFlags::empty())],
            bound,
        ) {
            Ok(ready) => return Ok(ready > 0),
            Err(SystemErrno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits until a socket has left this state, for at most [`CALL_BOUND`]. Polls, because no event reports it and it
/// takes microseconds.
pub(super) fn leaves_state(socket: &Socket, state: u8) -> Result<bool, SystemErrno> {
    holds(|| Ok(sys::tcp_state(socket)? != state))
}

/// Polls until the condition holds, for at most [`CALL_BOUND`]. Returns true if it does.
pub(super) fn holds(is_so: impl Fn() -> Result<bool, SystemErrno>) -> Result<bool, SystemErrno> {
    let deadline = Instant::now() + CALL_BOUND;
    while !is_so()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::yield_now();
    }
    Ok(true)
}

/// Formats an address as in `/proc/net/tcp`: words in native byte order in hexadecimal digits, then the port.
pub(super) fn in_proc(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(word);
        format!("{:08X}", u32::from_ne_bytes(bytes))
    });
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}
