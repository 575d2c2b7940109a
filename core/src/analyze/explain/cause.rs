//! Causes of an RST, with their ids and meanings.

use std::fmt;

use serde::{Serialize, Serializer};

/// Defines [`Cause`] from a table with one entry per cause: variant, stable id in kebab-case, and meaning as a clause.
macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $says:literal;)*) => {
        /// Cause of an RST.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Cause {
            $($(#[$doc])* $variant,)*
        }

        impl Cause {
            /// All causes.
            pub const ALL: [Self; [$($id),*].len()] = [$(Self::$variant),*];

            /// Returns the stable id, in kebab-case.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// Returns the meaning of the cause, as a clause.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self {
                    $(Self::$variant => $says,)*
                }
            }
        }
    };
}

causes! {
    /// Connection refused: nothing is listening on the port, or a firewall rejected the SYN.
    Refused = "refused", "port closed, or rejected by a firewall";
    /// Connection refused by the server behind a proxy that had completed the handshake.
    RefusedBehindProxy = "refused-behind-proxy", "a proxy connected, and the server behind it refused";
    /// Socket closed in a way that aborts, or ended by its process or kernel.
    AbortedClose = "aborted-close", "the sender's socket aborted the connection";
    /// Data received for a socket that had been closed in an orderly way.
    DataAfterClose = "data-after-close", "data arrived for a socket that had been closed";
    /// Sender without the connection: its host has no socket for the segments of the other end.
    HalfOpenPeer = "half-open-peer", "the sender has no such connection";
    /// Sender that is opening a connection, and received a segment of an older one.
    OlderConnection = "older-connection", "the sender is still connecting, and the other end replied from another connection";
    /// SYN-ACK in reply to the sender's own SYN, for which its host has no connecting socket.
    AbandonedConnect = "abandoned-connect", "the SYN-ACK found no socket that was connecting";
    /// Segment received by a listener that opens no connection.
    ListenerAnswer = "listener-answer", "a listener received a segment that opens no connection";
    /// Keepalive probe that found no connection, or unanswered keepalive probes.
    Keepalive = "keepalive", "keepalive probes found no connection, or no answer";
    /// Further RST of a connection that had already been reset.
    Duplicate = "duplicate", "the connection had already been reset";
    /// RST from an end that had already sent its FIN.
    ResetAfterFin = "reset-after-fin", "the sender had closed its half, then aborted";
    /// RST that a third party probably sent in the name of its source address.
    ThirdParty = "third-party", "probably sent by a third party in the name of the source address";
    /// RST that belongs to no connection in the capture.
    Stray = "stray", "belongs to no connection in this capture";
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
