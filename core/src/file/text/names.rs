//! Hosts and services that a text names instead of their numbers.
//!
//! Each host gets an address of a range for documentation (RFC 5737, RFC 3849), which stands for it in the output. The number of
//! a service is the one that IANA has assigned to it; a service that is not known here gets a number from the end of the range.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::line::{NamedEnd, address};
use super::numbers::End;

/// Addresses that stand for hosts.
const RANGES: [[u8; 3]; 3] = [[203, 0, 113], [198, 51, 100], [192, 0, 2]];

/// Maximum number of services without a known number.
const MAX_SERVICES: u16 = 64;

/// Services by their names, in order (IANA, "Service Name and Transport Protocol Port Number Registry"; `/etc/services` of Debian).
const SERVICES: [(&str, u16); 65] = [
    ("afs3-fileserver", 7000),
    ("amqp", 5672),
    ("amqps", 5671),
    ("bgp", 179),
    ("cslistener", 9000),
    ("discard", 9),
    ("domain", 53),
    ("domain-s", 853),
    ("echo", 7),
    ("epmd", 4369),
    ("finger", 79),
    ("ftp", 21),
    ("ftp-data", 20),
    ("git", 9418),
    ("gopher", 70),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap", 143),
    ("imap2", 143),
    ("imaps", 993),
    ("ipp", 631),
    ("irc", 6667),
    ("ircd", 6667),
    ("ircs-u", 6697),
    ("iscsi-target", 3260),
    ("kerberos", 88),
    ("ldap", 389),
    ("ldaps", 636),
    ("memcache", 11211),
    ("microsoft-ds", 445),
    ("ms-sql-s", 1433),
    ("ms-wbt-server", 3389),
    ("mysql", 3306),
    ("netbios-ssn", 139),
    ("nfs", 2049),
    ("nntp", 119),
    ("omniorb", 8088),
    ("openvpn", 1194),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("printer", 515),
    ("redis", 6379),
    ("rsync", 873),
    ("rtsp", 554),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("smtp", 25),
    ("smtps", 465),
    ("socks", 1080),
    ("squid", 3128),
    ("ssh", 22),
    ("submission", 587),
    ("submissions", 465),
    ("sunrpc", 111),
    ("telnet", 23),
    ("tproxy", 8081),
    ("webcache", 8080),
    ("webmin", 10000),
    ("whois", 43),
    ("x11", 6000),
    ("xmpp-client", 5222),
    ("zabbix-trapper", 10051),
];

/// Numbers that stand for names.
#[derive(Debug, Default)]
pub(super) struct Names {
    v4: BTreeMap<String, Ipv4Addr>,
    v6: BTreeMap<String, Ipv6Addr>,
    services: BTreeMap<String, u16>,
    /// Addresses of the ranges that the text has as numbers.
    taken: BTreeSet<Ipv4Addr>,
}

impl Names {
    /// Returns the numbers of both ends. `None` if one cannot get any: there are too many names, or its number stands for a name.
    pub(super) fn ends(&mut self, ends: &[NamedEnd; 2], is_v6: Option<bool>) -> Option<[End; 2]> {
        let numeric = ends.iter().find_map(|end| address(&end.host));
        let is_v6 = is_v6
            .or_else(|| numeric.map(|it| it.is_ipv6()))
            .unwrap_or(false);
        // Addresses first: no name of this line may get one of them.
        for end in ends.iter().filter(|it| address(&it.host).is_some()) {
            self.host(&end.host, is_v6)?;
        }
        let [from, to] = ends;
        let from = (self.host(&from.host, is_v6)?, self.port(&from.port)?);
        let to = (self.host(&to.host, is_v6)?, self.port(&to.port)?);
        (from.0.is_ipv6() == to.0.is_ipv6()).then_some([from, to])
    }

    /// Returns the address of a host; `None` as in [`Self::ends`].
    pub(super) fn host(&mut self, name: &str, is_v6: bool) -> Option<IpAddr> {
        if let Some(address) = address(name) {
            if let IpAddr::V4(address) = address
                && RANGES
                    .iter()
                    .any(|range| address.octets()[..3] == range[..])
            {
                if self.v4.values().any(|it| *it == address) {
                    return None;
                }
                self.taken.insert(address);
            }
            return Some(address);
        }
        if is_v6 {
            let number = u16::try_from(self.v6.len() + 1).ok()?;
            let new = Ipv6Addr::new(0x2001, 0xdb8, 0x6e61, 0x6d65, 0, 0, 0, number);
            let address = *self.v6.entry(name.to_owned()).or_insert(new);
            return (number < u16::MAX).then_some(IpAddr::V6(address));
        }
        if let Some(address) = self.v4.get(name) {
            return Some(IpAddr::V4(*address));
        }
        let all = RANGES
            .iter()
            .flat_map(|[a, b, c]| (1..=254).map(|last| Ipv4Addr::new(*a, *b, *c, last)));
        let used: BTreeSet<Ipv4Addr> = self.v4.values().copied().collect();
        let address = all
            .into_iter()
            .find(|it| !used.contains(it) && !self.taken.contains(it))?;
        self.v4.insert(name.to_owned(), address);
        Some(IpAddr::V4(address))
    }

    /// Returns the number of a port.
    pub(super) fn port(&mut self, name: &str) -> Option<u16> {
        if name.bytes().all(|it| it.is_ascii_digit()) {
            return name.parse().ok();
        }
        if let Ok(at) = SERVICES.binary_search_by_key(&name, |it| it.0) {
            return SERVICES.get(at).map(|it| it.1);
        }
        let count = u16::try_from(self.services.len()).ok()?;
        if let Some(port) = self.services.get(name) {
            return Some(*port);
        }
        // Hosts give these to clients last.
        let port = u16::MAX
            .checked_sub(count)
            .filter(|_| count < MAX_SERVICES)?;
        self.services.insert(name.to_owned(), port);
        Some(port)
    }

    /// Returns the names with the numbers that stand for them.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let v4 = self
            .v4
            .iter()
            .map(|(name, it)| (name.clone(), it.to_string()));
        let v6 = self
            .v6
            .iter()
            .map(|(name, it)| (name.clone(), it.to_string()));
        let services = self
            .services
            .iter()
            .map(|(name, it)| (name.clone(), format!("port {it}")));
        v4.chain(v6).chain(services).collect()
    }

    /// Returns the number of names.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.services.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_in_order() {
        assert!(SERVICES.is_sorted_by_key(|it| it.0));
    }

    #[test]
    fn a_name_has_one_number_that_no_address_of_the_text_has() {
        let mut names = Names::default();
        let end = |host: &str, port: &str| NamedEnd {
            host: host.into(),
            port: port.into(),
        };
        let mut ends = |one: (&str, &str), other: (&str, &str)| {
            names.ends(&[end(one.0, one.1), end(other.0, other.1)], None)
        };
        let numeric = ends(("203.0.113.1", "80"), ("10.0.0.1", "40000")).unwrap();
        assert_eq!(numeric[0], ("203.0.113.1".parse().unwrap(), 80));
        let named = ends(("localhost", "http-alt"), ("box", "https")).unwrap();
        assert_eq!(named[0], ("203.0.113.2".parse().unwrap(), 8080));
        assert_eq!(named[1], ("203.0.113.3".parse().unwrap(), 443));
        assert_eq!(
            ends(("localhost", "1"), ("box", "2")).unwrap()[0].0,
            named[0].0
        );
        // The number stands for a name already.
        assert_eq!(ends(("203.0.113.2", "1"), ("10.0.0.1", "2")), None);
    }
}
