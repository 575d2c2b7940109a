//! Aborts a TCP socket of this network namespace from outside, as `ss -K` does: `SOCK_DESTROY` of `sock_diag(7)`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::error::reason;

/// Message type of a destroy request (`linux/sock_diag.h`).
const SOCK_DESTROY: u16 = 21;
/// `NLM_F_REQUEST | NLM_F_ACK` (linux/netlink.h).
const REQUEST_AND_ACK: u16 = 0x01 | 0x04;
/// Message type of the kernel's reply.
const NLMSG_ERROR: u16 = 2;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// Destroys the socket with this local address and this peer. Needs `CAP_NET_ADMIN` in the namespace.
pub(crate) fn socket_between(own: SocketAddr, peer: SocketAddr) -> io::Result<()> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let request = request(own, peer);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &request, &kernel, MsgFlags::empty())?;
    // The kernel answers within sendto().
    let mut answer = [0; 256];
    let len = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    verdict(answer.get(..len).unwrap_or_default())
}

/// Returns the reason why sockets cannot be destroyed in this network namespace; `None` if they can. Tries it on a
/// spare listener: for a nonexistent socket the kernel returns the same error as without TCP diagnostics.
pub(crate) fn missing(ip: IpAddr) -> Option<String> {
    let listener = TcpListener::bind((ip, 0)).ok()?;
    let own = listener.local_addr().ok()?;
    let no_peer = SocketAddr::new(unspecified(ip), 0);
    let error = socket_between(own, no_peer).err()?;
    Some(match error.raw_os_error() {
        Some(libc::ENOENT) => "this kernel cannot destroy sockets: it has no tcp_diag".to_owned(),
        Some(libc::EOPNOTSUPP) => {
            "this kernel cannot destroy sockets: it is built without CONFIG_INET_DIAG_DESTROY"
                .to_owned()
        }
        _ => format!("cannot destroy sockets: {}", reason(&error)),
    })
}

fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Builds a request: `struct nlmsghdr` and `struct inet_diag_req_v2` (`linux/inet_diag.h`).
fn request(own: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    const TCP: u8 = 6;
    let family = if own.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // Family, protocol, no extensions, padding.
    let mut body = vec![u8::try_from(family).unwrap_or(0), TCP, 0, 0];
    body.extend(u32::MAX.to_ne_bytes()); // in any state
    body.extend(own.port().to_be_bytes());
    body.extend(peer.port().to_be_bytes());
    for ip in [own.ip(), peer.ip()] {
        let mut words = [0; 16];
        match ip {
            IpAddr::V4(ip) => words[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => words.copy_from_slice(&ip.octets()),
        }
        body.extend(words);
    }
    body.extend(0_u32.to_ne_bytes()); // on any interface
    body.extend([u8::MAX; 8]); // whatever its cookie
    let len = u32::try_from(HEADER + body.len()).unwrap_or(0);
    let mut message = len.to_ne_bytes().to_vec();
    message.extend(SOCK_DESTROY.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes()); // sequence number
    message.extend(0_u32.to_ne_bytes()); // from whom
    message.extend(body);
    message
}

/// Decodes the kernel's reply; fails with the error in it, or with `InvalidData` if it is not a whole `NLMSG_ERROR`.
fn verdict(answer: &[u8]) -> io::Result<()> {
    // `nlmsg_type`, and after the header a negated error number.
    let kind = answer.get(4..6).and_then(|it| it.try_into().ok());
    let code = answer
        .get(HEADER..HEADER + 4)
        .and_then(|it| it.try_into().ok());
    match (kind.map(u16::from_ne_bytes), code.map(i32::from_ne_bytes)) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as in `linux/inet_diag.h`: 56 bytes of `struct inet_diag_req_v2`.
    #[test]
    fn a_request_is_laid_out_as_the_kernel_reads_it() {
        let own = "127.1.2.3:8080".parse().unwrap();
        let peer = "127.1.2.3:20000".parse().unwrap();
        let message = request(own, peer);
        assert_eq!(message.len(), 16 + 56);
        assert_eq!(message[..4], 72_u32.to_ne_bytes());
        assert_eq!(message[16..18], [2, 6]);
        assert_eq!(message[24..28], [0x1f, 0x90, 0x4e, 0x20]);
        assert_eq!(message[28..32], [127, 1, 2, 3]);
        assert_eq!(message[44..48], [127, 1, 2, 3]);
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        let mut good = vec![0; 20];
        good[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        assert!(verdict(&good).is_ok());
        good[16..20].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        assert_eq!(
            verdict(&good).unwrap_err().raw_os_error(),
            Some(libc::ENOENT)
        );
        for len in 0..20 {
            assert!(verdict(&good[..len]).is_err(), "{len}");
        }
    }
}
