//! The ports that servers use: one that is chosen, and those beside it.

use std::ops::RangeInclusive;

use rstproof_core::scenario::Rule;

/// The port that nobody listens on, beside the one that servers listen on.
#[must_use]
pub fn closed_port(port: u16) -> u16 {
    port.checked_add(1).unwrap_or_else(|| port - 1)
}

/// The port that a trial's own listeners listen on.
#[must_use]
pub fn own_port(port: u16) -> u16 {
    port.checked_add(2).unwrap_or_else(|| port - 2)
}

/// The port that this rule of the firewall is about.
#[must_use]
pub fn firewalled_port(port: u16, rule: Rule) -> u16 {
    let nth = Rule::ALL.iter().position(|it| *it == rule).unwrap_or(0);
    let away = 3 + u16::try_from(nth).unwrap_or(0);
    port.checked_add(away).unwrap_or_else(|| port - away)
}

/// All ports that servers use beside this one, and that one, lowest and highest.
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
            // What would be port 0 or less is refused where the port is chosen.
            let rules = Rule::ALL.map(|rule| firewalled_port(port, rule));
            let all = [&[port, closed_port(port), own_port(port)][..], &rules].concat();
            for (nth, one) in all.iter().enumerate() {
                assert!(ports(port).contains(one), "{port}: {one}");
                assert!(!all[..nth].contains(one), "{port}: {one} twice");
            }
        }
    }
}
