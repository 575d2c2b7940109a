//! Aborts a TCP socket of this network namespace from outside, as `ss -K` does: `SOCK_DESTROY` of `sock_diag(7)`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;

use netlink_packet_sock_diag::constants::IPPROTO_TCP;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};

use crate::error::reason;

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

/// Builds the request to destroy the socket with these addresses.
fn request(own: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let family = if own.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // Fields in the order of the structure; numbers of the kernel in its byte order, ports and addresses in that of the
    // network.
    encode(InetRequest {
        family: u8::try_from(family).unwrap_or(0),
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::from_bits_retain(u32::MAX), // any, even those that the crate has no name for
        socket_id: SocketId {
            source_port: own.port(),
            destination_port: peer.port(),
            source_address: own.ip(),
            destination_address: peer.ip(),
            interface_id: 0,      // any
            cookie: [u8::MAX; 8], // any
        },
    })
}

/// Encodes the request: a netlink header and `struct inet_diag_req_v2` (`linux/inet_diag.h`).
fn encode(socket: InetRequest) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    header.sequence_number = 1;
    let destroy = SockDiagDestroy::new(SockDiagMessage::InetRequest(socket));
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(destroy));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Decodes the kernel's reply; fails with the error in it, or with `InvalidData` if it is no acknowledgement.
fn verdict(answer: &[u8]) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let message = NetlinkMessage::<SockDiagMessage>::deserialize(answer).map_err(|_| invalid())?;
    match message.payload {
        NetlinkPayload::Error(error) if error.code.is_none() => Ok(()),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(invalid()),
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
        // SOCK_DESTROY (linux/sock_diag.h), then NLM_F_REQUEST | NLM_F_ACK (linux/netlink.h).
        assert_eq!(message[4..6], 21_u16.to_ne_bytes());
        assert_eq!(message[6..8], 5_u16.to_ne_bytes());
        assert_eq!(message[16..18], [2, 6]);
        assert_eq!(message[24..28], [0x1f, 0x90, 0x4e, 0x20]);
        assert_eq!(message[28..32], [127, 1, 2, 3]);
        assert_eq!(message[44..48], [127, 1, 2, 3]);
        // Any state, any interface, whatever its cookie.
        assert_eq!(message[20..24], [0xff; 4]);
        assert_eq!(message[60..64], [0; 4]);
        assert_eq!(message[64..], [0xff; 8]);
    }

    #[test]
    fn an_invalid_answer_is_an_error() {
        // `struct nlmsghdr` with type NLMSG_ERROR, a negated error number, and the header of the request.
        let mut good = vec![0; 36];
        good[..4].copy_from_slice(&36_u32.to_ne_bytes());
        good[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        assert!(verdict(&good).is_ok());
        good[16..20].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        assert_eq!(
            verdict(&good).unwrap_err().raw_os_error(),
            Some(libc::ENOENT)
        );
        for len in 0..good.len() {
            assert!(verdict(&good[..len]).is_err(), "{len}");
        }
    }
}
