//! TTLs of a sender's packets, where they were captured.

/// Range of the TTLs, or hop limits, of packets that were captured at one point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::analyze) struct Ttls {
    /// Number of packets, up to 255.
    packets: u8,
    least: u8,
    most: u8,
}

impl Ttls {
    /// Creates the range of packets whose smallest and largest TTL are known.
    pub(super) fn new(packets: u8, least: u8, most: u8) -> Self {
        Self {
            packets,
            least,
            most,
        }
    }

    /// Takes in the TTL of a packet.
    #[inline]
    pub(in crate::analyze) fn add(&mut self, ttl: u8) {
        if self.packets == 0 {
            (self.least, self.most) = (ttl, ttl);
        } else {
            (self.least, self.most) = (self.least.min(ttl), self.most.max(ttl));
        }
        self.count();
    }

    /// Takes in a packet whose TTL is covered.
    #[inline]
    pub(super) fn count(&mut self) {
        self.packets = self.packets.saturating_add(1);
    }

    /// Returns the number of packets, up to 255.
    pub(super) fn packets(self) -> u8 {
        self.packets
    }

    /// Returns the smallest TTL.
    pub(in crate::analyze) fn least(self) -> u8 {
        self.least
    }

    /// Returns the largest TTL.
    pub(in crate::analyze) fn most(self) -> u8 {
        self.most
    }

    /// Returns true if a packet had this TTL, or one above and another one below it.
    pub(in crate::analyze) fn covers(self, ttl: u8) -> bool {
        self.packets > 0 && (self.least..=self.most).contains(&ttl)
    }

    /// Returns true if all packets had the same TTL.
    pub(super) fn is_steady(self) -> bool {
        self.least == self.most
    }

    /// Returns the distance of a TTL from the range.
    pub(super) fn distance(self, ttl: u8) -> u8 {
        // At most one of the two differences is not 0.
        self.least
            .saturating_sub(ttl)
            .max(ttl.saturating_sub(self.most))
    }
}

impl std::fmt::Display for Ttls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_steady() {
            write!(f, "{}", self.most)
        } else {
            write!(f, "{} to {}", self.least, self.most)
        }
    }
}

/// Packets of its sender with whose TTLs that of an RST is compared: a TTL is that at the point of capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::analyze) enum TtlScope {
    /// All of them: they were captured at the same point as the RST.
    #[default]
    Sender,
    /// TTLs at the point that captured the RST.
    Point(Ttls),
    /// TTLs at two points that share an interface. The RST has a TTL of neither.
    Either([Ttls; 2]),
    /// None: no other packet of the sender was captured at that point.
    Unknown,
}
