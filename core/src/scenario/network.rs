//! Network between the two ends of a trial: its address family, its hosts, and its changes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Address family of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Returns the family of the address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Returns the proper name: `IPv4` or `IPv6`.
    #[must_use]
    pub fn proper_name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// Returns the lower-case name: `ipv4` or `ipv6`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Network between the two ends of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback interface of one host with both ends; one capture sees both.
    Loopback,
    /// Link between two hosts, captured at each end.
    Link,
    /// Router between two links. The client and the server are each captured at their own end.
    Routed,
}

/// Change of the network during a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Reboot of the server's host: the shutdown sends nothing, and no connection survives it.
    ServerReboots,
    /// Removal of the server's address: ARP and NDP requests for it fail, and the neighbour entry is deleted.
    ServerAddressGone,
    /// Removal of the client's address.
    ClientAddressGone,
    /// Link down at the server.
    ServerLinkDown,
}
