//! Options that select which failures are shown: `--from`, `--to`, `--failure`, `--errno`, `--since` and `--until`.
//!
//! They select from what was analyzed. Everything is read and counted, so that an explanation never depends on them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::facts::{Facts, UNKNOWN};
use super::times::{TimeArg, Zone};
use rstproof_core::analyze::icmp::Effect;
use rstproof_core::analyze::{Cause, FailureKind};
use rstproof_core::time::Timestamp;

/// Errors that a failure may have: those of RSTs, of time-outs, and of ICMP messages (`icmp_err_convert[]`,
/// `tab_unreach[]`).
const ERRORS: [&str; 12] = [
    "EACCES",
    "ECONNREFUSED",
    "ECONNRESET",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ENONET",
    "ENOPROTOOPT",
    "EOPNOTSUPP",
    "EPIPE",
    "EPROTO",
    "ETIMEDOUT",
];

/// Returns the parser of `--failure`: the ids of failures, of causes and of effects of ICMP errors.
fn failures() -> PossibleValuesParser {
    let causes = Cause::ALL.map(Cause::id);
    let kinds = FailureKind::ALL.map(FailureKind::id);
    let effects = Effect::ALL.map(Effect::id);
    let all: BTreeSet<&str> = causes.into_iter().chain(kinds).chain(effects).collect();
    PossibleValuesParser::new(all.into_iter().chain([UNKNOWN]).collect::<BTreeSet<_>>())
}

/// Returns the parser of `--errno`.
fn errors() -> PossibleValuesParser {
    PossibleValuesParser::new(ERRORS)
}

/// Options that select what is shown.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Select what is shown (everything is analyzed)")]
pub(crate) struct Selection {
    /// Connections whose client has this address
    #[arg(long, value_name = "ADDR[:PORT|/BITS]")]
    from: Option<EndArg>,
    /// Connections whose server has this address
    #[arg(long, value_name = "ADDR[:PORT|/BITS]")]
    to: Option<EndArg>,
    /// Failures, causes of RSTs, or effects of ICMP errors with this id, as the output shows it
    #[arg(long, value_name = "ID", value_parser = failures(), hide_possible_values = true)]
    failure: Option<String>,
    /// Failures that give an end this error
    #[arg(long, value_name = "NAME", value_parser = errors(), ignore_case = true, hide_possible_values = true)]
    errno: Option<String>,
    /// Failures at this time or later: RFC 3339, HH:MM:SS[.FRACTION] on the first day of the capture, or +SECONDS after its
    /// first frame
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArg>,
    /// Failures at this time or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,
}

/// Address of an end on the command line: with a port, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndArg {
    address: IpAddr,
    port: Option<u16>,
    /// Number of bits of the address that count.
    bits: u8,
}

impl FromStr for EndArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "expected ADDR, ADDR:PORT or ADDR/BITS, such as 10.0.0.1:443, 10.0.0.0/8 or [2001:db8::1]:443";
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Ok(Self {
                address: socket.ip(),
                port: Some(socket.port()),
                bits: most_bits(socket.ip()),
            });
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| WANTED)?;
        let bits = bits.map_or(Ok(most_bits(address)), |it| it.parse().map_err(|_| WANTED))?;
        if bits > most_bits(address) {
            return Err(WANTED);
        }
        Ok(Self {
            address,
            port: None,
            bits,
        })
    }
}

impl fmt::Display for EndArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            port,
            bits,
        } = *self;
        match port {
            Some(port) => SocketAddr::new(address, port).fmt(f),
            None if bits == most_bits(address) => address.fmt(f),
            None => write!(f, "{address}/{bits}"),
        }
    }
}

/// Returns the number of bits of an address.
fn most_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl EndArg {
    fn is_of(self, socket: SocketAddr) -> bool {
        let is_in_network = match (self.address, socket.ip()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.bits.into()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.bits.into()
            }
            _ => false,
        };
        is_in_network && self.port.is_none_or(|port| port == socket.port())
    }
}

impl Selection {
    /// Returns true if everything is shown.
    pub(super) fn is_all(&self) -> bool {
        let Self {
            from,
            to,
            failure,
            errno,
            since,
            until,
        } = self;
        let ends = [from, to].into_iter().all(Option::is_none);
        let texts = [failure, errno].into_iter().all(Option::is_none);
        ends && texts && [since, until].into_iter().all(Option::is_none)
    }

    /// Returns the options as on the command line.
    pub(super) fn name(&self) -> String {
        let options = [
            self.from.map(|it| format!("--from {it}")),
            self.to.map(|it| format!("--to {it}")),
            self.failure.as_ref().map(|it| format!("--failure {it}")),
            self.errno.as_ref().map(|it| format!("--errno {it}")),
            self.since.map(|it| format!("--since {it}")),
            self.until.map(|it| format!("--until {it}")),
        ];
        let options: Vec<String> = options.into_iter().flatten().collect();
        options.join(" ")
    }

    /// Returns true if `--failure` selects this id.
    pub(super) fn is_failure(&self, id: &str) -> bool {
        self.failure.as_deref() == Some(id)
    }

    /// Returns true if an event is shown, unless its time is against it.
    pub(super) fn may_show(&self, facts: &Facts) -> bool {
        let is_named = |id: &String| facts.ids.iter().flatten().any(|it| it == id);
        let has_error = |name: &String| {
            let mut errors = facts.outcome.errors();
            errors.any(|(errno, _)| errno.to_string().eq_ignore_ascii_case(name))
        };
        is_between(facts, self.from, self.to)
            && self.failure.as_ref().is_none_or(is_named)
            && self.errno.as_ref().is_none_or(has_error)
    }

    /// Returns true if an event is shown. `began` is the time of the first frame.
    pub(super) fn shows(&self, facts: &Facts, began: Timestamp, zone: Zone) -> bool {
        let resolve = |time: Option<TimeArg>| time.map(|it| it.resolve(began, zone));
        self.may_show(facts)
            && resolve(self.since).is_none_or(|since| facts.lasts.1 >= since)
            && resolve(self.until).is_none_or(|until| facts.lasts.0 <= until)
    }

    /// Returns true if an event would be shown with the ends exchanged.
    pub(super) fn shows_reversed(&self, facts: &Facts, began: Timestamp, zone: Zone) -> bool {
        // An RST of a server has its address as source, so `--from` is a natural mistake for `--to`.
        let reversed = Self {
            from: self.to,
            to: self.from,
            ..self.clone()
        };
        (self.from.is_some() || self.to.is_some()) && reversed.shows(facts, began, zone)
    }
}

/// Returns true if the client and the server are these, by the addresses on any side of a NAT.
fn is_between(facts: &Facts, from: Option<EndArg>, to: Option<EndArg>) -> bool {
    let mut ends = facts.other_ends.iter().chain([&facts.ends]);
    ends.any(|[client, server]| {
        from.is_none_or(|it| it.is_of(*client)) && to.is_none_or(|it| it.is_of(*server))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_an_address_a_socket_or_a_network() {
        let is_of = |end: &str, socket: &str| {
            let end: EndArg = end.parse().unwrap();
            end.is_of(socket.parse().unwrap())
        };
        for (end, yes, no) in [
            ("10.0.0.1", "10.0.0.1:80", "10.0.0.2:80"),
            ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:81"),
            ("10.0.0.0/30", "10.0.0.3:80", "10.0.0.4:80"),
            ("0.0.0.0/0", "1.2.3.4:5", "[::1]:5"),
            ("::/0", "[::1]:5", "1.2.3.4:5"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443", "[2001:db8::1]:80"),
            (
                "2001:db8::/32",
                "[2001:db8:ffff::1]:443",
                "[2001:db9::1]:443",
            ),
        ] {
            assert!(is_of(end, yes), "{end} {yes}");
            assert!(!is_of(end, no), "{end} {no}");
        }
        for wrong in [
            "",
            "x",
            "10.0.0.1/33",
            "::1/129",
            "10.0.0.1:x",
            "10.0.0/8",
            "10.0.0.1:80/8",
        ] {
            assert!(wrong.parse::<EndArg>().is_err(), "{wrong}");
        }
    }
}
