//! Topics of scenarios, by which the catalogue is ordered.

/// Topic of a scenario. Each topic is a file of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Connection set-up.
    Connect,
    /// Listener and its queue of connections.
    Listener,
    /// Abort of an established connection.
    Abort,
    /// Orderly close and its aftermath.
    Close,
    /// Connection attempts without an answer, without a route, or answered by ICMP.
    Unreachable,
    /// Firewalls on the path.
    Firewall,
    /// Half-open connections, of which one end is gone without a notice, and timers.
    HalfOpen,
    /// Segments that a third party aims at a connection, or that belong to no connection.
    Blind,
}

impl Topic {
    /// Returns the stable name for machine-readable output.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Listener => "listener",
            Self::Abort => "abort",
            Self::Close => "close",
            Self::Unreachable => "unreachable",
            Self::Firewall => "firewall",
            Self::HalfOpen => "half-open",
            Self::Blind => "blind",
        }
    }

    /// Returns the heading in `rstproof list`.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Connect => "connection set-up",
            Self::Listener => "listener and accept queue",
            Self::Abort => "abort of an established connection",
            Self::Close => "clean close and its aftermath",
            Self::Unreachable => "no way there: routes and ICMP",
            Self::Firewall => "a firewall on the way",
            Self::HalfOpen => "half-open connections and timers",
            Self::Blind => "segments aimed at a connection",
        }
    }
}
