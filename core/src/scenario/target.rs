//! Targets: the socket, rule or route at the server's address.

/// Socket, rule or route at the server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Listening socket that all such trials share.
    Listener,
    /// Closed port, reserved by a socket that does not listen, so that no other process can listen there.
    ClosedPort,
    /// Listening socket of the trial's own, which the script may close.
    OwnListener(Listening),
    /// Client's own address and port.
    Itself,
    /// Listening socket of the trial's own that receives nothing: every segment is dropped before TCP sees it, and none
    /// is answered.
    Blackholed,
    /// Listening socket of the trial's own, behind this firewall rule.
    Firewalled(Rule),
    /// Address that no packet reaches, because of this route.
    NoRoute(Route),
    /// Address on the client's own link that no host has.
    Nobody,
}

/// Firewall rule. Each rule has a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Drop of all incoming segments for the port.
    DropInput,
    /// Drop of all outgoing segments to the port.
    DropOutput,
    /// Reject of all incoming segments for the port with an RST, in the name of the owner of the port.
    RejectWithReset,
    /// Reject of all incoming segments for the port with an ICMP error, port unreachable.
    RejectWithIcmp,
    /// Reject of incoming data for the port with an RST, in the name of the owner of the port.
    RejectData,
    /// Drop of outgoing RSTs from the port.
    DropResets,
    /// Reject of forwarded data for the port with an RST, in the name of the owner of the port.
    RejectForwarded,
    /// Drop of forwarded RSTs of aborting sockets from the port.
    DropForwardedAborts,
    /// Drop of forwarded data from the port.
    DropForwardedData,
}

impl Rule {
    /// Every rule, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::DropInput,
        Self::DropOutput,
        Self::RejectWithReset,
        Self::RejectWithIcmp,
        Self::RejectData,
        Self::DropResets,
        Self::RejectForwarded,
        Self::DropForwardedAborts,
        Self::DropForwardedData,
    ];
}

/// Type of a route over which no packet reaches an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// No route at all.
    Missing,
    /// Route of type `unreachable`.
    Unreachable,
    /// Route of type `prohibit`.
    Prohibit,
    /// Route of type `blackhole`.
    Blackhole,
}

impl Route {
    /// Every type, in the order of declaration.
    pub const ALL: [Self; 4] = [
        Self::Missing,
        Self::Unreachable,
        Self::Prohibit,
        Self::Blackhole,
    ];
}

/// Options of a trial's own listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Backlog. The kernel lets one connection more into the queue.
    pub backlog: u16,
    /// Time of `TCP_DEFER_ACCEPT`, in seconds: only connections that have sent data are accepted.
    pub defer_accept: Option<u8>,
    /// Flag: a second listener shares the port (`SO_REUSEPORT`).
    pub shares_port: bool,
    /// Flag: data that comes with a SYN is accepted (`TCP_FASTOPEN`).
    pub fast_open: bool,
    /// Flag: only segments signed with a key that the client does not have are accepted (`TCP_MD5SIG`).
    pub signed: bool,
}

impl Listening {
    /// Options that most listeners have.
    pub const USUAL: Self = Self {
        backlog: 128,
        defer_accept: None,
        shares_port: false,
        fast_open: false,
        signed: false,
    };
}
