//! Point at which a frame was captured.

use crate::file::Frame;
use crate::packet::link::Link;

/// Point of capture: an interface, and on the `any` device the host's own interface with the direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::analyze) struct CapturePoint(u32);

impl CapturePoint {
    // Bits 0 to 15: interface of the file. Bits 16 to 29: interface of the host. Bits 30 and 31: direction, 0 if it is
    // unknown.
    const OWN_SHIFT: u32 = 16;
    const INCOMING: u32 = 1 << 30;
    const OUTGOING: u32 = 2 << 30;
    /// Incoming, and addressed to another host of the link.
    const FOR_OTHER_HOST: u32 = Self::INCOMING | Self::OUTGOING;
    const DIRECTION: u32 = Self::INCOMING | Self::OUTGOING;

    /// Returns the point of a frame.
    pub(in crate::analyze) fn of(link: Link, frame: &Frame<'_>) -> Self {
        let (own, kind) = match (link, frame.captured) {
            // Packet type; then in version 2 the index of the interface at offset 4, and the packet type at offset 10.
            (Link::LinuxCooked, &[_, kind, ..]) => (0, kind),
            (Link::LinuxCooked2, &[_, _, _, _, a, b, c, d, _, _, kind, ..]) => {
                (u32::from_be_bytes([a, b, c, d]) & 0x3fff, kind)
            }
            _ => return Self::of_interface(frame.interface),
        };
        // `PACKET_OTHERHOST` and `PACKET_OUTGOING` (packet(7)); all other types came in for this host. The IP layer drops a
        // frame for another host (`ip_rcv_core()`), so only a bridge of the capturing host takes it on.
        let direction = match kind {
            3 => Self::FOR_OTHER_HOST,
            4 => Self::OUTGOING,
            _ => Self::INCOMING,
        };
        Self(frame.interface & 0xffff | own << Self::OWN_SHIFT | direction)
    }

    /// Returns the point of an interface whose frames have no direction.
    pub(in crate::analyze) fn of_interface(interface: u32) -> Self {
        Self(interface & !Self::DIRECTION)
    }

    /// Returns true if the same interface of the file captured both.
    pub(in crate::analyze) fn is_of_interface(self, other: Self) -> bool {
        self.interface() == other.interface()
    }

    fn interface(self) -> u32 {
        match self.0 & Self::DIRECTION {
            0 => self.0,
            _ => self.0 & 0xffff,
        }
    }

    /// Returns true if both are points of the `any` device, which captures all interfaces of its host at once.
    pub(in crate::analyze) fn is_of_one_capture(self, other: Self) -> bool {
        let has_direction = |it: Self| it.0 & Self::DIRECTION != 0;
        has_direction(self) && has_direction(other) && self.0 & 0xffff == other.0 & 0xffff
    }

    /// Returns the point at which packets of the other direction pass the same interface.
    pub(in crate::analyze) fn reversed(self) -> Self {
        let others = self.0 & !Self::DIRECTION;
        match self.0 & Self::DIRECTION {
            0 => self,
            Self::OUTGOING => Self(others | Self::INCOMING),
            _ => Self(others | Self::OUTGOING),
        }
    }

    /// Returns the point of all frames that arrive by this interface, whoever they are addressed to.
    pub(in crate::analyze) fn received(self) -> Self {
        if self.is_for_other_host() {
            Self(self.0 ^ Self::OUTGOING)
        } else {
            self
        }
    }

    /// Returns true if frames are addressed to another host of the link than the one that captured them.
    pub(in crate::analyze) fn is_for_other_host(self) -> bool {
        self.0 & Self::DIRECTION == Self::FOR_OTHER_HOST
    }
}
