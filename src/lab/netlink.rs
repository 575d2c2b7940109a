//! Netlink sockets of this thread's network namespace, with a large receive buffer and a bound on every wait.
//!
//! A netlink socket has `net.core.rmem_default` bytes for unread messages. If that is a few KiB, the notification
//! that a link came up overflows it, and the kernel then drops the acknowledgement of the request as well
//! (`netlink_overrun()`, `netlink_attachskb()` in `net/netlink/af_netlink.c`): without a bound, the wait for it never
//! ends.

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

/// Stream of the changes that the kernel reports to a subscribed socket.
pub(super) type News = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// Receive buffer size in bytes: room for some hundred messages.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// Maximum time for the kernel to answer a request. A bound on failure, not a pace.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a socket in this namespace that is subscribed to these groups.
pub(super) fn open(
    groups: &[MulticastGroup],
) -> io::Result<(Connection<RouteNetlinkMessage>, Handle, News)> {
    let (mut connection, handle, news) = rtnetlink::new_multicast_connection(groups)?;
    let socket = connection.socket_mut().socket_ref();
    // SO_RCVBUFFORCE may exceed `net.core.rmem_max`, but needs CAP_NET_ADMIN; older kernels want it in the initial
    // namespace.
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES);
    }
    Ok((connection, handle, news))
}

/// Waits for the kernel's answer, for at most [`ANSWER_TIMEOUT`].
pub(super) async fn answer<T>(
    work: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, Unanswered> {
    match timeout(ANSWER_TIMEOUT, work).await {
        Ok(done) => done.map_err(Unanswered::Refused),
        Err(_) => Err(Unanswered::Late),
    }
}

/// Reason why a request got no answer, or a refusal.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The kernel refused the request.
    Refused(rtnetlink::Error),
    /// No answer arrived within [`ANSWER_TIMEOUT`].
    Late,
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // As an errno message, with a fix if there is one.
            Self::Refused(rtnetlink::Error::NetlinkError(message)) => {
                f.write_str(&reason(&message.to_io()))
            }
            Self::Refused(error) => error.fmt(f),
            Self::Late => {
                let seconds = ANSWER_TIMEOUT.as_secs();
                write!(f, "the kernel did not answer within {seconds} s")?;
                f.write_str(&small_buffers().unwrap_or_default())
            }
        }
    }
}

/// Returns a likely reason for a missing answer: buffers too small for the kernel's messages. `None` if they are not.
fn small_buffers() -> Option<String> {
    /// Default of the kernel on 64-bit machines (`SK_RMEM_MAX` in `include/net/sock.h`).
    const DEFAULT_RECEIVE_BUFFER: u64 = 212_992;
    let text = fs::read_to_string("/proc/sys/net/core/rmem_default").ok()?;
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < DEFAULT_RECEIVE_BUFFER).then(|| {
        format!(
            "; net.core.rmem_default is {bytes}: try `sudo sysctl net.core.rmem_default={DEFAULT_RECEIVE_BUFFER}`"
        )
    })
}
