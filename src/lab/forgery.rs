//! Sends forged IP packets, as a third party might, within this thread's network namespace.
//!
//! Raw sockets, not packet sockets: their packets take the usual output path, so on loopback they are received like
//! any other packet, also from an address of 127/8.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Protocol number for raw sockets whose sender supplies the IP header (`IPPROTO_RAW`).
const RAW: i32 = libc::IPPROTO_RAW;

/// Raw sockets of both families. Needs `CAP_NET_RAW` in the namespace when it is opened, and not later.
#[derive(Debug)]
pub(crate) struct Forgery {
    ipv4: Socket,
    /// IPv6 socket; `None` if the kernel has no IPv6.
    ipv6: Option<Socket>,
}

impl Forgery {
    /// Opens the raw sockets.
    pub(super) fn open() -> io::Result<Self> {
        let socket = |domain| Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)));
        Ok(Self {
            ipv4: socket(Domain::IPV4)?,
            ipv6: socket(Domain::IPV6).ok(),
        })
    }

    /// Sends an IP packet, header included, to this address. Fails with `WriteZero` if only a part was sent.
    pub(crate) fn send(&self, packet: &[u8], to: IpAddr) -> io::Result<()> {
        let socket = match to {
            IpAddr::V4(_) => Some(&self.ipv4),
            IpAddr::V6(_) => self.ipv6.as_ref(),
        };
        let socket = socket.ok_or(io::ErrorKind::Unsupported)?;
        // A raw IPv6 socket expects port 0.
        let sent = socket.send_to(packet, &SockAddr::from(SocketAddr::new(to, 0)))?;
        if sent == packet.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}
