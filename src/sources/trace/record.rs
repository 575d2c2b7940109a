//! Decodes the bytes of a trace record, with the event's `format` file.
//!
//! Kernels have moved fields and changed the form of addresses: up to Linux 6.9 `tcp_send_reset` has ports, family
//! and two forms of each address, like the other events; since then it has two `struct sockaddr_in6`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::known_number;
use crate::sources::format::Format;
use rstproof_core::kernel::event::EventKind;

/// Recorded events: system and name.
pub const EVENTS: [(&str, &str); 4] = [
    ("tcp", "tcp_send_reset"),
    ("tcp", "tcp_receive_reset"),
    ("sock", "inet_sk_error_report"),
    ("sock", "inet_sock_set_state"),
];

/// Decoded record. The pointer serves only to distinguish sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Time of `CLOCK_MONOTONIC`, in nanoseconds.
    pub at_ns: u64,
    /// Address of the end that the event is about.
    pub source: SocketAddr,
    /// Address of its peer.
    pub destination: SocketAddr,
    /// Kernel address of the socket; 0 if there is none.
    pub pointer: u64,
    /// `SO_COOKIE` of the socket, if the event has it.
    pub cookie: Option<u64>,
    /// Event that the record describes.
    pub kind: EventKind,
}

/// Decoder for the records of one event.
#[derive(Clone, Debug)]
pub struct Decoder {
    kind: Kind,
    source: Address,
    destination: Address,
    pointer: Option<usize>,
    cookie: Option<usize>,
    reasons: BTreeMap<u64, String>,
}

/// Kind of event, with the offsets of the fields that only this event has.
#[derive(Clone, Copy, Debug)]
enum Kind {
    SendReset {
        state: Option<usize>,
        reason: Option<usize>,
    },
    ReceiveReset,
    ErrorReport {
        error: usize,
    },
    SetState {
        old: usize,
        new: usize,
    },
}

/// Form and offsets of an address in a record.
#[derive(Clone, Copy, Debug)]
enum Address {
    /// `struct sockaddr_in` or `sockaddr_in6` at this offset.
    Whole(usize),
    /// Separate fields. Up to Linux 5.16 there is no family: an IPv4 address is then in both fields, mapped into IPv6
    /// in the second one (`TP_STORE_ADDRS`), and the first one of an IPv6 socket holds garbage.
    Parts {
        family: Option<usize>,
        port: usize,
        ipv4: usize,
        ipv6: usize,
    },
}

impl Decoder {
    /// Returns a decoder for the records of this event; `None` if this kernel's records cannot be correlated with a
    /// connection.
    #[must_use]
    pub fn new(format: &Format) -> Option<Self> {
        let of_size = |name: &str, size: usize| {
            let field = format.field(name).filter(|field| field.size == size)?;
            Some(field.offset)
        };
        let kind = match &*format.name {
            "tcp_send_reset" => Kind::SendReset {
                state: of_size("state", 4),
                reason: of_size("reason", 4),
            },
            "tcp_receive_reset" => Kind::ReceiveReset,
            "inet_sk_error_report" => Kind::ErrorReport {
                error: of_size("error", 4)?,
            },
            "inet_sock_set_state" => Kind::SetState {
                old: of_size("oldstate", 4)?,
                new: of_size("newstate", 4)?,
            },
            _ => return None,
        };
        let address = |whole: &str, port: &str, ipv6: &str| {
            // A field of 28 bytes is a `struct sockaddr_in6`.
            if let Some(offset) = of_size(whole, 28) {
                return Some(Address::Whole(offset));
            }
            Some(Address::Parts {
                family: of_size("family", 2),
                port: of_size(port, 2)?,
                ipv4: of_size(whole, 4)?,
                ipv6: of_size(ipv6, 16)?,
            })
        };
        Some(Self {
            kind,
            source: address("saddr", "sport", "saddr_v6")?,
            destination: address("daddr", "dport", "daddr_v6")?,
            // A field of type `const void *`: 4 bytes on 32-bit kernels.
            pointer: of_size("skaddr", 8).or_else(|| of_size("skaddr", 4)),
            cookie: of_size("sock_cookie", 8),
            reasons: format.symbols("reason"),
        })
    }

    /// Returns true if the records carry reset reasons.
    #[must_use]
    pub fn gives_reasons(&self) -> bool {
        matches!(
            self.kind,
            Kind::SendReset {
                reason: Some(_),
                ..
            }
        )
    }

    /// Returns true if the event also covers resets that no full socket sends: kernels with whole socket addresses in
    /// this event do that (Linux 6.10).
    #[must_use]
    pub fn tells_without_socket(&self) -> bool {
        matches!(self.source, Address::Whole(_))
    }

    /// Decodes a record; `None` if it is cut short or reports no event.
    #[must_use]
    pub fn decode(&self, at_ns: u64, record: &[u8]) -> Option<Record> {
        let kind = match self.kind {
            Kind::SendReset { state, reason } => EventKind::SendReset {
                state: state
                    .and_then(|at| number(record, at))
                    // 0 is no state of TCP: the event had no socket.
                    .filter(|state| *state != 0)
                    .map(state_name),
                reason: reason.and_then(|at| number(record, at)).map(|reason| {
                    // Releases insert reasons in the middle of the enum, so numbers differ. The format of the event has
                    // the names of this kernel.
                    let named = self.reasons.get(&u64::from(reason));
                    named.map_or_else(|| reason.to_string(), String::clone)
                }),
            },
            Kind::ReceiveReset => EventKind::ReceiveReset,
            Kind::ErrorReport { error } => {
                let error = number(record, error)?;
                // The event is also recorded when the error is cleared.
                let errno = i32::try_from(error).ok().filter(|errno| *errno != 0)?;
                EventKind::ErrorReport(known_number(errno))
            }
            Kind::SetState { old, new } => EventKind::SetState {
                old: state_name(number(record, old)?),
                new: state_name(number(record, new)?),
            },
        };
        Some(Record {
            at_ns,
            source: self.source.read(record)?,
            destination: self.destination.read(record)?,
            pointer: self.pointer.and_then(|at| pointer(record, at)).unwrap_or(0),
            cookie: self.cookie.and_then(|at| long(record, at)),
            kind,
        })
    }
}

impl Address {
    fn read(self, record: &[u8]) -> Option<SocketAddr> {
        match self {
            Self::Whole(at) => sockaddr(record, at),
            Self::Parts {
                family,
                port,
                ipv4,
                ipv6,
            } => {
                let ipv4 = Ipv4Addr::from(bytes::<4>(record, ipv4)?);
                let ipv6 = Ipv6Addr::from(bytes::<16>(record, ipv6)?);
                let ip = match family.and_then(|at| short(record, at)).map(i32::from) {
                    Some(libc::AF_INET) => IpAddr::V4(ipv4),
                    Some(_) => IpAddr::V6(ipv6),
                    None => ipv6.to_canonical(),
                };
                // The event has converted the port to native order (`ntohs()` in `TP_fast_assign`).
                Some(SocketAddr::new(ip, short(record, port)?))
            }
        }
    }
}

/// Reads a `struct sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)): the port is at 2, `sin_addr` at 4, `sin6_addr` at 8,
/// all in network order.
fn sockaddr(record: &[u8], at: usize) -> Option<SocketAddr> {
    let family = short(record, at)?;
    let port = u16::from_be_bytes(bytes(record, at + 2)?);
    let ip = match i32::from(family) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::from(bytes::<4>(record, at + 4)?)),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(bytes::<16>(record, at + 8)?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Returns the name of a state as numbered in `include/net/tcp_states.h`.
fn state_name(state: u32) -> String {
    const NAMES: [&str; 14] = [
        "TCP_ESTABLISHED",
        "TCP_SYN_SENT",
        "TCP_SYN_RECV",
        "TCP_FIN_WAIT1",
        "TCP_FIN_WAIT2",
        "TCP_TIME_WAIT",
        "TCP_CLOSE",
        "TCP_CLOSE_WAIT",
        "TCP_LAST_ACK",
        "TCP_LISTEN",
        "TCP_CLOSING",
        "TCP_NEW_SYN_RECV",
        "TCP_BOUND_INACTIVE",
        "TCP_MAX_STATES",
    ];
    let index = usize::try_from(state).ok().and_then(|it| it.checked_sub(1));
    let name = index.and_then(|index| NAMES.get(index));
    name.map_or_else(|| state.to_string(), |name| (*name).to_owned())
}

fn bytes<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..at + N)?.try_into().ok()
}

fn short(record: &[u8], at: usize) -> Option<u16> {
    bytes(record, at).map(u16::from_ne_bytes)
}

fn number(record: &[u8], at: usize) -> Option<u32> {
    bytes(record, at).map(u32::from_ne_bytes)
}

fn long(record: &[u8], at: usize) -> Option<u64> {
    bytes(record, at).map(u64::from_ne_bytes)
}

fn pointer(record: &[u8], at: usize) -> Option<u64> {
    let width = size_of::<usize>();
    if width == 8 {
        long(record, at)
    } else {
        number(record, at).map(u64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(text: &str) -> Decoder {
        Decoder::new(&Format::parse(text).unwrap()).unwrap()
    }

    /// Returns a record of `length` bytes with these parts at their offsets.
    fn record(length: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut record = vec![0; length];
        for (at, bytes) in parts {
            record[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        record
    }

    fn family(number: libc::c_int) -> [u8; 2] {
        u16::try_from(number).unwrap().to_ne_bytes()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Offsets from the `format` file: skaddr 16, state 24, reason 28, saddr 32, daddr 60; in a `struct sockaddr_in`
    /// the port is big-endian at 2 and the address at 4, in a `sockaddr_in6` the address is at 8.
    #[test]
    fn a_sent_rst_is_decoded_with_its_reason_and_both_addresses() {
        let decoder = decoder(include_str!("../../../tests/formats/tcp_send_reset-6.18"));
        assert!(decoder.gives_reasons() && decoder.tells_without_socket());
        let inet = family(libc::AF_INET);
        let bytes = record(
            88,
            &[
                (16, &7_u64.to_ne_bytes()),
                (24, &1_u32.to_ne_bytes()),
                (28, &11_u32.to_ne_bytes()),
                (32, &inet),
                (34, &8080_u16.to_be_bytes()),
                (36, &[127, 7, 0, 1]),
                (60, &inet),
                (62, &40_000_u16.to_be_bytes()),
                (64, &[127, 7, 0, 2]),
            ],
        );
        let expected = Record {
            at_ns: 5,
            source: address("127.7.0.1:8080"),
            destination: address("127.7.0.2:40000"),
            pointer: 7,
            cookie: None,
            kind: EventKind::SendReset {
                state: Some("TCP_ESTABLISHED".to_owned()),
                reason: Some("TCP_ABORT_ON_CLOSE".to_owned()),
            },
        };
        assert_eq!(decoder.decode(5, &bytes), Some(expected));
        let inet6 = family(libc::AF_INET6);
        let ip = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).octets();
        let bytes = record(
            88,
            &[
                (28, &99_u32.to_ne_bytes()),
                (32, &inet6),
                (34, &1_u16.to_be_bytes()),
                (40, &ip),
                (60, &inet6),
                (62, &2_u16.to_be_bytes()),
                (68, &ip),
            ],
        );
        let decoded = decoder.decode(5, &bytes).unwrap();
        assert_eq!(decoded.source, address("[fd00::1]:1"));
        assert_eq!(decoded.destination, address("[fd00::1]:2"));
        let kind = EventKind::SendReset {
            state: None,
            reason: Some("99".to_owned()),
        };
        assert_eq!((decoded.pointer, decoded.kind), (0, kind));
    }

    /// Offsets: skaddr 16, state 24, sport 28, dport 30, family 32, saddr 34, daddr 38.
    #[test]
    fn events_of_linux_up_to_6_9_have_ports_and_no_reason() {
        let decoder = decoder(include_str!("../../../tests/formats/tcp_send_reset-6.9"));
        assert!(!decoder.gives_reasons() && !decoder.tells_without_socket());
        let bytes = record(
            74,
            &[
                (24, &10_u32.to_ne_bytes()),
                (28, &8080_u16.to_ne_bytes()),
                (30, &40_000_u16.to_ne_bytes()),
                (32, &family(libc::AF_INET)),
                (34, &[127, 7, 0, 1]),
                (38, &[127, 7, 0, 2]),
            ],
        );
        let decoded = decoder.decode(5, &bytes).unwrap();
        assert_eq!(decoded.source, address("127.7.0.1:8080"));
        assert_eq!(decoded.destination, address("127.7.0.2:40000"));
        let kind = EventKind::SendReset {
            state: Some("TCP_LISTEN".to_owned()),
            reason: None,
        };
        assert_eq!(decoded.kind, kind);
    }

    /// Offsets: sport 16, family 20, `saddr_v6` 30, `daddr_v6` 46, `sock_cookie` 64; the IPv4 fields of such a socket
    /// hold garbage.
    #[test]
    fn a_received_rst_is_decoded_with_the_cookie() {
        let decoder = decoder(include_str!(
            "../../../tests/formats/tcp_receive_reset-6.18"
        ));
        let ip = Ipv6Addr::LOCALHOST.octets();
        let bytes = record(
            72,
            &[
                (8, &9_u64.to_ne_bytes()),
                (16, &1_u16.to_ne_bytes()),
                (18, &2_u16.to_ne_bytes()),
                (20, &family(libc::AF_INET6)),
                (22, &[127, 0, 0, 6]),
                (30, &ip),
                (46, &ip),
                (64, &77_u64.to_ne_bytes()),
            ],
        );
        let expected = Record {
            at_ns: 5,
            source: address("[::1]:1"),
            destination: address("[::1]:2"),
            pointer: 9,
            cookie: Some(77),
            kind: EventKind::ReceiveReset,
        };
        assert_eq!(decoder.decode(5, &bytes), Some(expected));
        for length in 0..62 {
            assert_eq!(decoder.decode(5, &bytes[..length]), None);
        }
    }

    /// Offsets: sport 16, dport 18, `saddr` 20, `saddr_v6` 28, `daddr_v6` 44. An IPv4 address is also in the longer
    /// fields, mapped into IPv6, and an IPv6 socket has 127.0.0.6 in the shorter one (`LOOPBACK4_IPV6`).
    #[test]
    fn without_a_family_the_longer_form_of_an_address_counts() {
        let decoder = decoder(include_str!(
            "../../../tests/formats/tcp_receive_reset-5.10"
        ));
        let decoded = |short: Ipv4Addr, long: Ipv6Addr| {
            let (short, long) = (short.octets(), long.octets());
            let bytes = record(
                72,
                &[
                    (16, &1_u16.to_ne_bytes()),
                    (18, &2_u16.to_ne_bytes()),
                    (20, &short),
                    (24, &short),
                    (28, &long),
                    (44, &long),
                ],
            );
            let decoded = decoder.decode(5, &bytes).unwrap();
            (decoded.source, decoded.destination)
        };
        let ipv4 = Ipv4Addr::new(127, 7, 0, 1);
        assert_eq!(
            decoded(ipv4, ipv4.to_ipv6_mapped()),
            (address("127.7.0.1:1"), address("127.7.0.1:2"))
        );
        assert_eq!(
            decoded(Ipv4Addr::new(127, 0, 0, 6), Ipv6Addr::LOCALHOST),
            (address("[::1]:1"), address("[::1]:2"))
        );
    }

    /// Offsets: error 8; oldstate 16, newstate 20.
    #[test]
    fn errors_and_states_are_decoded_and_zero_is_no_error() {
        let errors = decoder(include_str!(
            "../../../tests/formats/inet_sk_error_report-6.18"
        ));
        let of = |error: i32| {
            let inet = family(libc::AF_INET);
            let bytes = record(60, &[(8, &error.to_ne_bytes()), (16, &inet)]);
            errors.decode(5, &bytes).map(|decoded| decoded.kind)
        };
        assert_eq!(
            of(libc::EPIPE),
            Some(EventKind::ErrorReport(rstproof_core::errno::Errno::EPIPE))
        );
        assert_eq!(of(0), None);
        let states = decoder(include_str!(
            "../../../tests/formats/inet_sock_set_state-6.18"
        ));
        let bytes = record(
            72,
            &[
                (16, &1_u32.to_ne_bytes()),
                (20, &7_u32.to_ne_bytes()),
                (28, &family(libc::AF_INET)),
            ],
        );
        let kind = EventKind::SetState {
            old: "TCP_ESTABLISHED".to_owned(),
            new: "TCP_CLOSE".to_owned(),
        };
        assert_eq!(states.decode(5, &bytes).unwrap().kind, kind);
        for length in 0..24 {
            assert_eq!(states.decode(5, &bytes[..length]), None);
        }
    }
}
