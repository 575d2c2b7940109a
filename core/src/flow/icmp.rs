//! Mapping of ICMP messages to socket errors.
//!
//! The Linux kernel's own tables: `icmp_err_convert[]` (net/ipv4/icmp.c) with `tcp_v4_err()`, `tab_unreach[]` in
//! `icmpv6_err_convert()` (net/ipv6/icmp.c) with `tcp_v6_err()`.

use crate::packet::IcmpError;
use crate::transcript::Errno;

/// Returns the error that this message sets on a socket. `None` if the message sets no error, or if TCP handles the message
/// itself (a packet that is too big, a redirect, a fragment reassembly timeout).
pub(super) fn errno_of(error: &IcmpError) -> Option<Errno> {
    errno_of_message(!error.source.is_ipv4(), error.kind, error.code)
}

/// Returns the error that a message of this type and code sets, like [`errno_of`].
pub(crate) fn errno_of_message(is_v6: bool, kind: u8, code: u8) -> Option<Errno> {
    if is_v6 {
        errno_of_v6(kind, code)
    } else {
        errno_of_v4(kind, code)
    }
}

fn errno_of_v4(kind: u8, code: u8) -> Option<Errno> {
    Some(match (kind, code) {
        // Destination unreachable (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).
        (3, 0 | 6 | 9 | 11) => Errno::ENETUNREACH,
        // (11, _): time exceeded, but for (11, 1), which `icmp_unreach()` drops.
        (3, 1 | 10 | 12..=15) | (11, 0 | 2..) => Errno::EHOSTUNREACH,
        (3, 2) => Errno::ENOPROTOOPT,
        (3, 3) => Errno::ECONNREFUSED,
        (3, 5) => Errno::EOPNOTSUPP,
        (3, 7) => Errno::EHOSTDOWN,
        (3, 8) => Errno::ENONET,
        // Parameter problem.
        (12, _) => Errno::EPROTO,
        _ => return None,
    })
}

fn errno_of_v6(kind: u8, code: u8) -> Option<Errno> {
    Some(match (kind, code) {
        // Destination unreachable (RFC 4443, 3.1).
        (1, 0) => Errno::ENETUNREACH,
        (1, 1 | 5 | 6) => Errno::EACCES,
        // (3, _): time exceeded.
        (1, 2 | 3) | (3, _) => Errno::EHOSTUNREACH,
        (1, 4) => Errno::ECONNREFUSED,
        // Parameter problem, and codes of unreachable destinations that are newer than `tab_unreach[]`.
        (4, _) | (1, 7..) => Errno::EPROTO,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors of Linux 6.18.44, measured: a peer made of raw packets sent each message about the SYN of `connect()`, and about
    /// data of an established connection. `getsockopt(SO_ERROR)` returned the error in both cases; on the established
    /// connection with `IP_RECVERR` or `IPV6_RECVERR` the next `recv()` failed with it.
    #[test]
    fn errors_are_those_of_the_kernel() {
        let unreachable = [
            Some(Errno::ENETUNREACH),
            Some(Errno::EHOSTUNREACH),
            Some(Errno::ENOPROTOOPT),
            Some(Errno::ECONNREFUSED),
            None,
            Some(Errno::EOPNOTSUPP),
            Some(Errno::ENETUNREACH),
            Some(Errno::EHOSTDOWN),
            Some(Errno::ENONET),
            Some(Errno::ENETUNREACH),
            Some(Errno::EHOSTUNREACH),
            Some(Errno::ENETUNREACH),
            Some(Errno::EHOSTUNREACH),
            Some(Errno::EHOSTUNREACH),
            Some(Errno::EHOSTUNREACH),
            Some(Errno::EHOSTUNREACH),
            None,
        ];
        let unreachable_v6 = [
            Errno::ENETUNREACH,
            Errno::EACCES,
            Errno::EHOSTUNREACH,
            Errno::EHOSTUNREACH,
            Errno::ECONNREFUSED,
            Errno::EACCES,
            Errno::EACCES,
            Errno::EPROTO,
            Errno::EPROTO,
            Errno::EPROTO,
        ];
        for (errno, code) in unreachable.into_iter().zip(0..) {
            assert_eq!(errno_of_message(false, 3, code), errno, "3/{code}");
        }
        for (errno, code) in unreachable_v6.into_iter().zip(0..) {
            assert_eq!(errno_of_message(true, 1, code), Some(errno), "1/{code}");
        }
        for (is_v6, kind, code, errno) in [
            (false, 4, 0, None),
            (false, 11, 0, Some(Errno::EHOSTUNREACH)),
            (false, 11, 1, None),
            (false, 11, 2, Some(Errno::EHOSTUNREACH)),
            (false, 12, 0, Some(Errno::EPROTO)),
            (false, 12, 1, Some(Errno::EPROTO)),
            (false, 12, 2, Some(Errno::EPROTO)),
            (true, 3, 0, Some(Errno::EHOSTUNREACH)),
            (true, 3, 1, Some(Errno::EHOSTUNREACH)),
            (true, 4, 0, Some(Errno::EPROTO)),
            (true, 4, 3, Some(Errno::EPROTO)),
        ] {
            let found = errno_of_message(is_v6, kind, code);
            assert_eq!(found, errno, "{is_v6} {kind}/{code}");
        }
    }
}
