//! Netlink sockets of this thread's network namespace, with room for what they receive and a bound on every wait.
//!
//! A netlink socket has `net.core.rmem_default` bytes for messages that nobody has read yet. Where that is a few KiB, the news
//! that a link came up overflows it, and the kernel then drops the acknowledgement of the request as well
//! (`netlink_overrun()`, `netlink_attachskb()` in `net/netlink/af_netlink.c`): who waits for it waits for ever.

use std::fs;
use std::io;
use std::time::Duration;

use futures_channel::mpsc::UnboundedReceiver;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::proto::Connection;
use rtnetlink::proto::sys::SocketAddr;
use rtnetlink::sys::AsyncSocket as _;
use rtnetlink::{Handle, MulticastGroup};
use tokio::time::timeout;

use crate::error::reason;

/// Changes that the kernel reports to a socket that subscribes to them.
pub(super) type News = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// Room for unread messages, in bytes: some hundred of them.
const ROOM: usize = 1 << 20;

/// How long the kernel may take to answer. A bound on failure, not a pace.
pub(super) const ANSWER_BOUND: Duration = Duration::from_secs(10);

/// A socket of this namespace that is subscribed to these groups.
pub(super) fn open(
    groups: &[MulticastGroup],
) -> io::Result<(Connection<RouteNetlinkMessage>, Handle, News)> {
    let (mut connection, handle, news) = rtnetlink::new_multicast_connection(groups)?;
    let socket = connection.socket_mut().socket_ref();
    // Beyond `net.core.rmem_max` only for who administers the network; older kernels want the host's administrator.
    if setsockopt(socket, sockopt::RcvBufForce, &ROOM).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &ROOM);
    }
    Ok((connection, handle, news))
}

/// Waits for the kernel's answer, no longer than the bound.
pub(super) async fn answer<T>(
    work: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, Unanswered> {
    match timeout(ANSWER_BOUND, work).await {
        Ok(done) => done.map_err(Unanswered::Refused),
        Err(_) => Err(Unanswered::Late),
    }
}

/// Why there is no answer, or none that helps.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The kernel refused.
    Refused(rtnetlink::Error),
    /// Nothing came within the bound.
    Late,
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // As people know it, with what fixes it.
            Self::Refused(rtnetlink::Error::NetlinkError(message)) => {
                f.write_str(&reason(&message.to_io()))
            }
            Self::Refused(error) => error.fmt(f),
            Self::Late => {
                let seconds = ANSWER_BOUND.as_secs();
                write!(f, "the kernel did not answer within {seconds} s")?;
                f.write_str(&small_buffers().unwrap_or_default())
            }
        }
    }
}

/// What may be the reason: buffers too small for the kernel's answers.
fn small_buffers() -> Option<String> {
    /// What the kernel starts with (`SK_RMEM_MAX` in `include/net/sock.h`), on 64-bit machines.
    const USUAL: u64 = 212_992;
    let text = fs::read_to_string("/proc/sys/net/core/rmem_default").ok()?;
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < USUAL).then(|| {
        format!(
            "; net.core.rmem_default is {bytes}: try `sudo sysctl net.core.rmem_default={USUAL}`"
        )
    })
}
