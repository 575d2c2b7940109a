//! The few calls that no crate wraps. The only place where `unsafe` is allowed.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Sets `PACKET_IGNORE_OUTGOING` on an `AF_PACKET` socket (Linux 4.20): no second copy of a frame on its way out. Right
/// on the loopback interface, where every frame comes in again; elsewhere it would hide this host's own frames.
pub(crate) fn ignore_outgoing(socket: &impl AsFd) -> Result<(), Errno> {
    const LEN: libc::socklen_t = 4;
    let on: i32 = 1;
    // SAFETY: the descriptor is borrowed, hence open; the option's value is four bytes that outlive the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            LEN,
        )
    };
    Errno::result(result).map(drop)
}

/// States of a TCP socket as the kernel numbers them (`net/tcp_states.h`).
pub(crate) const TCP_ESTABLISHED: u8 = 1;
pub(crate) const TCP_FIN_WAIT1: u8 = 4;

/// The state of a TCP socket, as the first byte of `struct tcp_info` has it.
pub(crate) fn tcp_state(socket: &impl AsFd) -> Result<u8, Errno> {
    let mut state = 0_u8;
    let mut len: libc::socklen_t = 1;
    // SAFETY: the descriptor is borrowed, hence open; the kernel writes at most `len` bytes, and `state` has as many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut len,
        )
    };
    Errno::result(result).map(|_| state)
}

/// Registers a descriptor with the runtime's reactor, to wait until it is readable.
pub(crate) fn readable(fd: BorrowedFd<'_>) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    // SAFETY: the descriptor is borrowed for as long as the registration lives, so it stays open and the same.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

unsafe extern "C" {
    /// Gives a static string; part of libpcap's public interface, missing from the pcap crate.
    fn pcap_lib_version() -> *const c_char;
}

/// What libpcap calls itself: `libpcap version 1.10.3 (with TPACKET_V3)`.
#[must_use]
pub(crate) fn libpcap_version() -> String {
    // SAFETY: libpcap returns a pointer to a NUL-terminated string that it never changes or frees.
    let version = unsafe { CStr::from_ptr(pcap_lib_version()) };
    version.to_string_lossy().into_owned()
}
