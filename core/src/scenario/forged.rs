//! Segments and ICMP errors that a third party sends, as a script describes them.
//!
//! Sequence numbers and timestamps are taken from the live connection at that step of the script. A script states only
//! their offsets.

use super::Role;
use crate::packet::Flags;

/// Forged segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged {
    /// End in whose name the segment is sent; the other end receives it.
    pub from: Role,
    /// Control bits of the segment.
    pub flags: Flags,
    /// Sequence number of the segment.
    pub seq: Number,
    /// Acknowledgment number of the segment, which is filled in even if ACK is not set.
    pub ack: Number,
    /// Number of payload bytes.
    pub len: u16,
    /// Options of the segment.
    pub stamp: Stamp,
}

/// Sequence or acknowledgment number of a forged segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Offset from the correct number.
    ///
    /// For a sequence number, the correct one follows the last number that the stated end has sent, or is some initial
    /// number if it has sent nothing. For an acknowledgment number, it follows the last number that the other end has
    /// sent.
    Next(i32),
    /// Absolute number.
    Exactly(u32),
}

/// Options of a forged segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// No options.
    None,
    /// Timestamps, as offsets from the latest ones: `TSval` from that of the stated end, `TSecr` from the other end's
    /// last `TSval`.
    Off {
        /// Offset of `TSval`.
        value: i32,
        /// Offset of `TSecr`.
        echo: i32,
    },
    /// `MP_JOIN` with a token that no host has issued.
    Join,
}

impl Forged {
    /// Returns an empty segment with these control bits and the correct numbers.
    #[must_use]
    pub(crate) const fn new(from: Role, flags: Flags) -> Self {
        Self {
            from,
            flags,
            seq: Number::Next(0),
            ack: Number::Next(0),
            len: 0,
            stamp: Stamp::None,
        }
    }

    /// Sets the offset of the sequence number.
    #[must_use]
    pub(crate) const fn off(self, by: i32) -> Self {
        Self {
            seq: Number::Next(by),
            ..self
        }
    }

    /// Sets the offset of the acknowledgment number.
    #[must_use]
    pub(crate) const fn ack_off(self, by: i32) -> Self {
        Self {
            ack: Number::Next(by),
            ..self
        }
    }

    /// Sets the number of payload bytes.
    #[must_use]
    pub(crate) const fn with(self, len: u16) -> Self {
        Self { len, ..self }
    }

    /// Adds timestamps with these offsets.
    #[must_use]
    pub(crate) const fn stamped(self, value: i32, echo: i32) -> Self {
        Self {
            stamp: Stamp::Off { value, echo },
            ..self
        }
    }
}

/// Forged ICMP error about a segment that an end has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgedIcmp {
    /// End whose segment the ICMP error quotes, and that receives it.
    pub to: Role,
    /// Type and code over IPv4.
    pub ipv4: (u8, u8),
    /// Type and code over IPv6.
    pub ipv6: (u8, u8),
    /// Offset of the quoted sequence number from the oldest unacknowledged one.
    pub off: i32,
}
