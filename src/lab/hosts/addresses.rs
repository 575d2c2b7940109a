//! Addresses of the hosts of a network, from a block that no other network of this process has.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::lab::random;
use rstproof_core::scenario::Family;

/// Addresses of one end, with their prefix lengths.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndAddresses {
    pub(super) ipv4: (Ipv4Addr, u8),
    pub(super) ipv6: (Ipv6Addr, u8),
}

impl EndAddresses {
    pub(super) fn of(self, family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => self.ipv4.0.into(),
            Family::Ipv6 => self.ipv6.0.into(),
        }
    }

    /// Returns the link-local address, with its prefix length.
    pub(super) fn link_local(self) -> (Ipv6Addr, u8) {
        let [.., link, host] = self.ipv6.0.segments();
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, link, host), 64)
    }

    pub(super) fn both(self) -> [(IpAddr, u8); 2] {
        [
            (self.ipv4.0.into(), self.ipv4.1),
            (self.ipv6.0.into(), self.ipv6.1),
        ]
    }
}

/// Address block for two links with up to six hosts each.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressBlock([u8; 4]);

impl AddressBlock {
    /// Reserves a block that no other network of this process has used: kernel trace events carry addresses, but no
    /// namespace.
    pub(super) fn take() -> Result<Self, Error> {
        static TAKEN: Mutex<BTreeSet<[u8; 3]>> = Mutex::new(BTreeSet::new());
        loop {
            let [a, b, c, d] = random()?;
            let block = [a, b, c & 0xf0];
            let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.insert(block) {
                return Ok(Self([a, b, c & 0xf0, d]));
            }
            // Bounds the set: blocks may repeat after 65,536 networks.
            if taken.len() > 1 << 16 {
                taken.clear();
            }
        }
    }

    /// Returns the addresses of a host on one of the links.
    pub(super) fn host(self, link: u8, host: u8) -> EndAddresses {
        let Self([a, b, c, d]) = self;
        // `take` leaves the low four bits of `c` free: one for the link and three for the host, hence a prefix of 29.
        // `d` only makes the IPv6 prefix more random.
        let ipv4 = Ipv4Addr::new(10, a, b, c | link << 3 | host);
        let [prefix, subnet] = [[0xfd, a], [b, c]].map(u16::from_be_bytes);
        let (link, host) = (u16::from(link), u16::from(host));
        let ipv6 = Ipv6Addr::new(prefix, subnet, d.into(), 0, 0, 0, link, host);
        EndAddresses {
            ipv4: (ipv4, 29),
            ipv6: (ipv6, 112),
        }
    }
}
