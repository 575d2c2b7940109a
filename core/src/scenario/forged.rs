//! Segments and ICMP errors that somebody else sends, as a script says what is to be in them.
//!
//! Numbers are taken from the live connection when the script gets there: what is said here is how far off they are.

use super::Role;
use crate::packet::Flags;

/// A segment made by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged {
    /// The end in whose name it is sent; the other one receives it.
    pub from: Role,
    /// Control bits.
    pub flags: Flags,
    /// Its sequence number.
    pub seq: Number,
    /// Its acknowledgment number, which stands there even if ACK is not set.
    pub ack: Number,
    /// Bytes of payload.
    pub len: u16,
    /// Its options.
    pub stamp: Stamp,
}

/// A number of a segment made by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Right, or so far off. Of a sequence number: the number after the last one that this end has sent, or some initial
    /// one if it has sent nothing. Of an acknowledgment number: the number after the last one that the other end has sent.
    Next(i32),
    /// This number as it stands.
    Exactly(u32),
}

/// The options of a segment made by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// None.
    None,
    /// Timestamps, this much after the latest one of the end in whose name it is sent; they echo what the other end sent
    /// last, and this much more.
    Off {
        /// Of `TSval`.
        value: i32,
        /// Of `TSecr`.
        echo: i32,
    },
    /// `MP_JOIN` with a token that nobody has given out.
    Join,
}

impl Forged {
    /// A segment with these bits and the right numbers, nothing in it.
    #[must_use]
    pub const fn new(from: Role, flags: Flags) -> Self {
        Self {
            from,
            flags,
            seq: Number::Next(0),
            ack: Number::Next(0),
            len: 0,
            stamp: Stamp::None,
        }
    }

    /// The same with its sequence number so far off.
    #[must_use]
    pub const fn off(self, by: i32) -> Self {
        Self {
            seq: Number::Next(by),
            ..self
        }
    }

    /// The same with its acknowledgment number so far off.
    #[must_use]
    pub const fn ack_off(self, by: i32) -> Self {
        Self {
            ack: Number::Next(by),
            ..self
        }
    }

    /// The same with so many bytes of payload.
    #[must_use]
    pub const fn with(self, len: u16) -> Self {
        Self { len, ..self }
    }

    /// The same with timestamps that are so far off.
    #[must_use]
    pub const fn stamped(self, value: i32, echo: i32) -> Self {
        Self {
            stamp: Stamp::Off { value, echo },
            ..self
        }
    }
}

/// An ICMP error made by hand, about a segment that an end has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgedIcmp {
    /// The end whose segment it quotes, and that receives it.
    pub to: Role,
    /// Type and code over IPv4.
    pub ipv4: (u8, u8),
    /// Type and code over IPv6.
    pub ipv6: (u8, u8),
    /// How far the quoted sequence number is off the oldest one that is not acknowledged.
    pub off: i32,
}
