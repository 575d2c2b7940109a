//! Sends whole packets that somebody else might have sent, within this thread's network namespace.
//!
//! Raw sockets, not packet sockets: what they send takes the usual way out, so on loopback it comes in again like any other
//! packet, also from an address of 127/8.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// `IPPROTO_RAW`: the sender makes the IP header.
const RAW: i32 = libc::IPPROTO_RAW;

/// Sockets for both families; needs `CAP_NET_RAW` in the namespace when it is made, and not later.
#[derive(Debug)]
pub(crate) struct Forgery {
    ipv4: Socket,
    /// `None` where the kernel has no IPv6.
    ipv6: Option<Socket>,
}

impl Forgery {
    /// Opens them.
    pub(super) fn open() -> io::Result<Self> {
        let socket = |domain| Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)));
        Ok(Self {
            ipv4: socket(Domain::IPV4)?,
            ipv6: socket(Domain::IPV6).ok(),
        })
    }

    /// Sends an IP packet to this address.
    pub(crate) fn send(&self, packet: &[u8], to: IpAddr) -> io::Result<()> {
        let socket = match to {
            IpAddr::V4(_) => Some(&self.ipv4),
            IpAddr::V6(_) => self.ipv6.as_ref(),
        };
        let socket = socket.ok_or(io::ErrorKind::Unsupported)?;
        // A raw socket of IPv6 wants no port.
        let sent = socket.send_to(packet, &SockAddr::from(SocketAddr::new(to, 0)))?;
        if sent == packet.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}
