//! Ports that servers use: the chosen one, and those next to it.

use std::ops::RangeInclusive;

use rstproof_core::scenario::Rule;

/// Returns the port next to `port` on which no socket listens.
#[must_use]
pub fn closed_port(port: u16) -> u16 {
    port.checked_add(1).unwrap_or_else(|| port - 1)
}

/// Returns the port for listeners that a trial opens itself.
#[must_use]
pub fn own_port(port: u16) -> u16 {
    // At the end of the range of ports, those before are used.
    port.checked_add(2).unwrap_or_else(|| port - 2)
}

/// Returns the server port that this firewall rule matches.
#[must_use]
pub fn firewalled_port(port: u16, rule: Rule) -> u16 {
    let nth = Rule::ALL.iter().position(|it| *it == rule).unwrap_or(0);
    let away = 3 + u16::try_from(nth).unwrap_or(0);
    port.checked_add(away).unwrap_or_else(|| port - away)
}

/// Returns the range that covers all ports of servers, `port` included.
#[must_use]
pub fn ports(port: u16) -> RangeInclusive<u16> {
    let rules = Rule::ALL.map(|rule| firewalled_port(port, rule));
    let all = [port, closed_port(port), own_port(port)]
        .into_iter()
        .chain(rules);
    all.clone().min().unwrap_or(port)..=all.max().unwrap_or(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ports_differ_and_lie_in_the_range() {
        for port in [1, 1024, 8080, 65_529, 65_530, 65_534, 65_535] {
            // The command line rejects ports for which this would reach 0.
            let rules = Rule::ALL.map(|rule| firewalled_port(port, rule));
            let all = [&[port, closed_port(port), own_port(port)][..], &rules].concat();
            for (nth, one) in all.iter().enumerate() {
                assert!(ports(port).contains(one), "{port}: {one}");
                assert!(!all[..nth].contains(one), "{port}: {one} twice");
            }
        }
    }
}
