//! System calls that no crate wraps. The only module in which `unsafe` is allowed.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, c_char};
use std::io;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use rstproof_core::errno::Errno as Known;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::exit_code::ExitCode;

/// Sets `PACKET_IGNORE_OUTGOING` on an `AF_PACKET` socket (Linux 4.20), which suppresses the second copy of an
/// outgoing frame. Correct on loopback, where every frame is received as well; elsewhere it would hide this host's
/// own frames.
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

/// Returns true if the signal is ignored, as after `nohup` or in a shell's background job.
pub(crate) fn is_ignored(signal: nix::sys::signal::Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed; the kernel writes to `action`, which is as large, and of which zeroes are a value.
    unsafe {
        let result = libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr());
        result == 0 && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Raises the limit on the stack of the main thread where it is small: a container or a shell may leave as little as 64 KiB, and
/// the command line alone takes more than that in a debug build. The kernel compares with the limit whenever the stack grows
/// (`acct_stack_growth()`, mm/vma.c), so it counts at once. Where it cannot be raised nothing changes.
pub(crate) fn raise_stack_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    /// Default stack limit of a process on Linux, in bytes (`_STK_LIM`).
    const DEFAULT_STACK_BYTES: u64 = 8 << 20;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_STACK) else {
        return;
    };
    if soft < DEFAULT_STACK_BYTES
        && setrlimit(
            Resource::RLIMIT_STACK,
            DEFAULT_STACK_BYTES,
            hard.max(DEFAULT_STACK_BYTES),
        )
        .is_err()
        && soft < hard
    {
        // Only root may raise the hard limit.
        let _ = setrlimit(Resource::RLIMIT_STACK, hard.min(DEFAULT_STACK_BYTES), hard);
    }
}

/// Makes all threads share one heap if the address space of this process is limited. By default glibc reserves 64 MiB of
/// address space for the heap of each thread (`HEAP_MAX_SIZE`, malloc/arena.c), and the limit counts what is reserved.
/// Must be called before any thread is started.
pub(crate) fn share_heap_if_limited() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    let is_limited = getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY);
    if is_limited {
        // SAFETY: mallopt(3) takes two numbers, and there is one thread.
        #[cfg(target_env = "gnu")]
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

/// Allocator of the program: that of the system. If there is no memory, the process ends with a line that says so and the
/// exit code of an environment error, where Rust would abort it.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: every call is passed on unchanged, and a null pointer is never returned.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        there_is(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        there_is(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        there_is(unsafe { System.realloc(old, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Returns the allocated memory; ends the process if there is none.
#[inline]
fn there_is(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() {
        end_without_memory(size);
    }
    memory
}

/// Ends the process because `size` bytes could not be allocated. Allocates nothing.
#[cold]
fn end_without_memory(size: usize) -> ! {
    static ENDS: AtomicBool = AtomicBool::new(false);
    // Relaxed: one thread reports; the others wait for it to end the process.
    if ENDS.swap(true, Ordering::Relaxed) {
        loop {
            nix::unistd::pause();
        }
    }
    let mut line = [0; 256];
    let mut rest = &mut line[..];
    let fix = Known::ENOMEM.fix().unwrap_or_default();
    let _ = writeln!(
        rest,
        "rstproof: cannot allocate {size} bytes: out of memory (ENOMEM); {fix}"
    );
    let unused = rest.len();
    let text = &line[..line.len() - unused];
    // Neither locks nor handlers of this process: they may need memory, or be held by this very thread.
    // SAFETY: the bytes are initialised and outlive the call.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    // SAFETY: _exit(2) does not return, and touches no memory of this process.
    unsafe { libc::_exit(ExitCode::Failure.number().into()) }
}

/// Sets the signal dispositions that the tool relies on, whatever it has inherited. A process that ignores `SIGCHLD`
/// cannot wait for its children (waitpid(2)), and a write beyond the file size limit has to fail with `EFBIG`.
pub(crate) fn settle_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for (of, action) in [
        (Signal::SIGCHLD, SigHandler::SigDfl),
        (Signal::SIGXFSZ, SigHandler::SigIgn),
    ] {
        // SAFETY: neither is a function of this program, so nothing of it runs at a time that it does not expect.
        let _ = unsafe { signal(of, action) };
    }
}

/// Numbers of TCP socket states (`net/tcp_states.h`).
pub(crate) const TCP_ESTABLISHED: u8 = 1;
pub(crate) const TCP_SYN_SENT: u8 = 2;
pub(crate) const TCP_SYN_RECV: u8 = 3;
pub(crate) const TCP_FIN_WAIT1: u8 = 4;

/// Returns the state of a TCP socket, the first byte of `struct tcp_info`.
pub(crate) fn tcp_state(socket: &impl AsFd) -> Result<u8, Errno> {
    let mut state = 0_u8;
    // The kernel copies no more of the structure than this.
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
    /// Returns a static string; part of libpcap's public interface, missing from the pcap crate.
    fn pcap_lib_version() -> *const c_char;
}

/// Returns libpcap's version text: `libpcap version 1.10.3 (with TPACKET_V3)`.
#[must_use]
pub(crate) fn libpcap_version() -> String {
    // SAFETY: libpcap returns a pointer to a NUL-terminated string that it never changes or frees.
    let version = unsafe { CStr::from_ptr(pcap_lib_version()) };
    version.to_string_lossy().into_owned()
}

/// Passes this descriptor, with the same number, to the program that the command starts. The descriptor is closed
/// here when the command is dropped.
pub(crate) fn hand_over(command: &mut Command, given: OwnedFd) {
    let prepare = move || {
        // SAFETY: the call is async-signal-safe (signal-safety(7)) and gets numbers only.
        let result = unsafe { libc::fcntl(given.as_raw_fd(), libc::F_SETFD, 0) };
        Errno::result(result).map(drop).map_err(io::Error::from)
    };
    // SAFETY: between fork and exec `prepare` makes async-signal-safe calls only and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Makes the program that the command starts die with the thread that starts it.
pub(crate) fn end_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: both calls are async-signal-safe and get numbers only.
        let (result, now) = unsafe {
            (
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
                libc::getppid(),
            )
        };
        Errno::result(result)?;
        // A parent that died before prctl() sends no signal.
        if u32::try_from(now).is_ok_and(|now| now == parent) {
            Ok(())
        } else {
            Err(Errno::ESRCH.into())
        }
    };
    // SAFETY: between fork and exec `prepare` makes async-signal-safe calls only and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Makes the program that the command starts have no capabilities and gain none: root would regain all of them at
/// `execve` (capabilities(7)), whatever its parent has dropped.
pub(crate) fn without_capabilities(command: &mut Command) {
    // SAFETY: between fork and exec `drop_capabilities` makes async-signal-safe calls only and allocates nothing.
    unsafe {
        command.pre_exec(drop_capabilities);
    }
}

/// Drops all capabilities of this process, and prevents `execve` from granting any.
fn drop_capabilities() -> io::Result<()> {
    /// `struct __user_cap_header_struct` (linux/capability.h).
    #[repr(C)]
    struct CapabilityHeader {
        version: u32,
        process: libc::c_int,
    }
    /// `_LINUX_CAPABILITY_VERSION_3`, whose sets have two words each.
    const VERSION: u32 = 0x2008_0522;
    let header = CapabilityHeader {
        version: VERSION,
        process: 0,
    };
    // Effective, permitted and inheritable set, each in two words.
    let none = [0_u32; 6];
    // SAFETY: both calls are async-signal-safe; the header and the three sets of two words outlive theirs.
    let results = unsafe {
        [
            libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()),
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into(),
        ]
    };
    for result in results {
        Errno::result(result)?;
    }
    Ok(())
}

/// Sets a socket option whose value is an `int`.
pub(crate) fn set_option(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
    const LEN: libc::socklen_t = 4;
    // SAFETY: the descriptor is borrowed, hence open; the option's value is four bytes that outlive the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            LEN,
        )
    };
    Errno::result(result).map(drop)
}

/// Sets `TCP_MD5SIG` (RFC 2385) for segments from and to `peer`: unsigned segments are dropped.
pub(crate) fn sign_segments(socket: &impl AsFd, peer: IpAddr) -> Result<(), Errno> {
    /// Size of `struct tcp_md5sig` (linux/tcp.h): an address of 128 bytes, flags, prefix length, length of the key in
    /// two bytes, interface in four, and 80 bytes for the key.
    const LEN: usize = 128 + 8 + 80;
    // The key of one end only: what the other end sends is not signed.
    const KEY: &[u8] = b"nobody else has it";
    let mut signature = [0_u8; LEN];
    // `sin_addr` is at 4 in `sockaddr_in`, `sin6_addr` at 8 in `sockaddr_in6`.
    let family = match peer {
        IpAddr::V4(peer) => {
            signature[4..8].copy_from_slice(&peer.octets());
            libc::AF_INET
        }
        IpAddr::V6(peer) => {
            signature[8..24].copy_from_slice(&peer.octets());
            libc::AF_INET6
        }
    };
    let family = u16::try_from(family).unwrap_or(0);
    signature[..2].copy_from_slice(&family.to_ne_bytes());
    let length = u16::try_from(KEY.len()).unwrap_or(0);
    signature[130..132].copy_from_slice(&length.to_ne_bytes());
    signature[136..136 + KEY.len()].copy_from_slice(KEY);
    let len = libc::socklen_t::try_from(LEN).unwrap_or(0);
    // SAFETY: the descriptor is borrowed, hence open; the option's value outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_MD5SIG,
            signature.as_ptr().cast(),
            len,
        )
    };
    Errno::result(result).map(drop)
}

/// Polls one descriptor for `POLLIN|POLLOUT|POLLRDHUP` without waiting; nix has no `POLLRDHUP`.
pub(crate) fn poll_now(socket: &impl AsFd) -> Result<u16, Errno> {
    let mut one = libc::pollfd {
        fd: socket.as_fd().as_raw_fd(),
        events: libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: `one` is a single valid entry, and the descriptor is borrowed, hence open.
    let result = unsafe { libc::poll(&raw mut one, 1, 0) };
    Errno::result(result).map(|_| u16::from_ne_bytes(one.revents.to_ne_bytes()))
}

/// Returns true if nothing that this TCP socket has sent is in flight: its unacknowledged bytes (`SIOCOUTQ`) are all
/// unsent (`SIOCOUTQNSD`).
pub(crate) fn has_nothing_in_flight(socket: &impl AsFd) -> Result<bool, Errno> {
    /// Request number from `linux/sockios.h`.
    const SIOCOUTQNSD: libc::Ioctl = 0x894b;
    let fd = socket.as_fd().as_raw_fd();
    let (mut unacknowledged, mut unsent): (libc::c_int, libc::c_int) = (0, 0);
    // SAFETY: the descriptor is borrowed, hence open; the kernel writes one `int`.
    Errno::result(unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut unacknowledged) })?;
    // SAFETY: as above.
    Errno::result(unsafe { libc::ioctl(fd, SIOCOUTQNSD, &raw mut unsent) })?;
    Ok(unacknowledged == unsent)
}

/// Returns true if the receive queue of a TCP socket has data, including an urgent byte, which `FIONREAD` does not
/// count.
pub(crate) fn has_data(socket: &impl AsFd) -> Result<bool, Errno> {
    let mut unread: libc::c_int = 0;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed, hence open; the kernel writes one `int`.
    Errno::result(unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut unread) })?;
    let mut one = libc::pollfd {
        fd,
        events: libc::POLLPRI,
        revents: 0,
    };
    // SAFETY: `one` is a single valid entry, and the descriptor is borrowed, hence open.
    Errno::result(unsafe { libc::poll(&raw mut one, 1, 0) })?;
    Ok(unread > 0 || one.revents & libc::POLLPRI != 0)
}

/// Calls `connect(2)` with `AF_UNSPEC`, which dissolves the association.
pub(crate) fn disconnect(socket: &impl AsFd) -> Result<(), Errno> {
    let unspecified = libc::sockaddr {
        sa_family: 0, // AF_UNSPEC
        sa_data: [0; 14],
    };
    let len = libc::socklen_t::try_from(size_of_val(&unspecified)).unwrap_or(0);
    // SAFETY: the descriptor is borrowed, hence open; `unspecified` is a whole address that outlives the call.
    let result = unsafe { libc::connect(socket.as_fd().as_raw_fd(), &raw const unspecified, len) };
    Errno::result(result).map(drop)
}

/// Returns the number of connections in a listener's accept queue, which the kernel reports in `tcpi_unacked` of
/// `struct tcp_info`.
pub(crate) fn waiting_to_be_accepted(listener: &impl AsFd) -> Result<u32, Errno> {
    // Offset of `tcpi_unacked`, after eight bytes and four fields of four.
    const UNACKED: usize = 8 + 4 * 4;
    let mut info = [0_u8; UNACKED + 4];
    let mut len = libc::socklen_t::try_from(info.len()).unwrap_or(0);
    // SAFETY: the descriptor is borrowed, hence open; the kernel writes at most `len` bytes, and `info` has as many.
    let result = unsafe {
        libc::getsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Errno::result(result)?;
    let mut waiting = [0; 4];
    waiting.copy_from_slice(&info[UNACKED..]);
    Ok(u32::from_ne_bytes(waiting))
}

/// Returns the number of the calling thread, as in `/proc/self/task`.
pub(crate) fn thread_id() -> i32 {
    nix::unistd::gettid().as_raw()
}
