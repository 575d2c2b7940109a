//! Transcript of a trial: every system call on its sockets, with its start, its end and its result.
//!
//! A socket error is data here. The error of one RST is returned by exactly one call and changes the result of every
//! later call, so the whole transcript is kept, not one errno.

mod op;
mod role;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::op::Op;
pub use self::role::{PerEnd, Role};
pub use crate::errno::Errno;
use crate::time::Timestamp;

/// Result of a call. Serialised as a [`ResultReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "ResultReport")]
pub enum Outcome {
    /// The call returned this value. A new descriptor is stored as 0: its number is unrelated to the connection.
    Returned(i64),
    /// The call returned −1 and set this errno.
    Failed(Errno),
    /// `getsockopt(SO_ERROR)` returned 0 and reported this error, or none.
    SocketError(Option<Errno>),
    /// `poll` returned this mask.
    Polled(Events),
    /// The call had not returned when the time limit of a call was reached.
    Unfinished,
}

/// Event mask of `poll`. The bits are those of Linux on all architectures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(pub u16);

impl Events {
    /// Data, the end of file or an error can be read.
    pub const IN: Self = Self(0x001);
    /// A write would not block.
    pub const OUT: Self = Self(0x004);
    /// An error is pending on the socket.
    pub const ERR: Self = Self(0x008);
    /// The connection is shut down in both directions.
    pub const HUP: Self = Self(0x010);
    /// The peer has shut down its sending direction.
    pub const RDHUP: Self = Self(0x2000);
    /// Urgent data can be read.
    pub const PRI: Self = Self(0x002);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::IN, "IN"),
        (Self::PRI, "PRI"),
        (Self::OUT, "OUT"),
        (Self::ERR, "ERR"),
        (Self::HUP, "HUP"),
        (Self::RDHUP, "RDHUP"),
    ];

    /// Returns the union of both masks.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Parses a mask as [`Display`](fmt::Display) writes it.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let named = |word: &str| Self::NAMES.iter().find(|(_, name)| *name == word);
        let mut mask = Self::default();
        // The text of an empty mask is 0, which is not the name of an event.
        for word in text.split('|').filter(|_| text != "0") {
            mask = mask.and(named(word)?.0);
        }
        // One mask has one text only: other orders and repetitions are not accepted.
        (mask.to_string() == text).then_some(mask)
    }
}

impl fmt::Display for Events {
    /// Writes the names of the events, such as `IN|OUT|RDHUP`; `0` if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (event, name) in Self::NAMES {
            if self.0 & event.0 != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if separator.is_empty() {
            f.write_str("0")?;
        }
        Ok(())
    }
}

impl Outcome {
    /// Returns the error that the caller received, as an errno or through `SO_ERROR`.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed(errno) | Self::SocketError(Some(errno)) => Some(errno),
            Self::Returned(_) | Self::SocketError(None) | Self::Polled(_) | Self::Unfinished => {
                None
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(value) => write!(f, "{value}"),
            Self::Failed(errno) | Self::SocketError(Some(errno)) => write!(f, "{errno}"),
            Self::SocketError(None) => f.write_str("0"),
            Self::Polled(events) => write!(f, "{events}"),
            Self::Unfinished => f.write_str("did not return"),
        }
    }
}

/// Form of an [`Outcome`] in the machine output.
#[derive(Clone, Copy, Debug, Serialize)]
// The field names identify the variant, so the JSON needs no tag.
#[serde(untagged)]
#[allow(missing_docs)] // the fields are named after what they hold
pub enum ResultReport {
    Ok {
        ok: i64,
    },
    Failed {
        errno: Errno,
    },
    /// `getsockopt(SO_ERROR)` returned 0 and this error; `None` if no error was on the socket.
    SocketError {
        ok: i64,
        so_error: Option<Errno>,
    },
    /// `poll` returned 1 with these events, or 0 if there were none.
    Polled {
        ok: i64,
        revents: Events,
    },
    Unfinished {
        unfinished: bool,
    },
}

impl From<Outcome> for ResultReport {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Returned(ok) => Self::Ok { ok },
            Outcome::Failed(errno) => Self::Failed { errno },
            Outcome::SocketError(so_error) => Self::SocketError { ok: 0, so_error },
            Outcome::Polled(revents) => Self::Polled {
                ok: (revents != Events::default()).into(),
                revents,
            },
            Outcome::Unfinished => Self::Unfinished { unfinished: true },
        }
    }
}

impl ResultReport {
    /// Returns the error that the call reported: as its own failure, or as the value of `SO_ERROR`.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed { errno } => Some(errno),
            Self::SocketError { so_error, .. } => so_error,
            Self::Ok { .. } | Self::Polled { .. } | Self::Unfinished { .. } => None,
        }
    }
}

impl fmt::Display for ResultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.errno()) {
            (_, Some(errno)) => write!(f, "{errno}"),
            (Self::Ok { ok }, None) => write!(f, "{ok}"),
            (Self::Polled { revents, .. }, None) => write!(f, "{revents}"),
            (Self::Unfinished { .. }, None) => f.write_str("(did not return)"),
            (Self::Failed { .. } | Self::SocketError { .. }, None) => f.write_str("0"),
        }
    }
}

impl Serialize for Events {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::of_text(&text)
            .ok_or_else(|| de::Error::custom(format_args!("there is no poll mask '{text}'")))
    }
}

/// System call as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// End on whose socket the call was made.
    pub role: Role,
    /// Operation.
    pub op: Op,
    /// Time read just before the call was entered.
    pub began: Timestamp,
    /// Time read just after the call had returned.
    pub ended: Timestamp,
    /// Result of the call.
    pub outcome: Outcome,
}

/// Calls of a trial, in the order in which they were made.
pub type Transcript = Vec<Call>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits of include/uapi/asm-generic/poll.h; 0x201d is the mask of a socket that an RST has closed.
    #[test]
    fn a_poll_mask_is_what_it_is_shown_as() {
        let text = "IN|OUT|ERR|HUP|RDHUP";
        assert_eq!(Events(0x201d).to_string(), text);
        assert_eq!(Events::of_text(text), Some(Events(0x201d)));
        assert_eq!(Events::of_text("0"), Some(Events(0)));
        for text in ["", "OUT|IN", "IN|IN", "in", "IN|", "FOO"] {
            assert_eq!(Events::of_text(text), None, "{text}");
        }
    }
}
