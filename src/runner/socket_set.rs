//! Socket set: the listening sockets of servers and the addresses of clients, set up before a trial begins.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::failed;
use crate::error::{Error, reason};
use crate::lab::hosts::LabHost;
use crate::lab::ports::{closed_port, firewalled_port, own_port, ports};
use crate::lab::routes;
use crate::sys;
use rstproof_core::scenario::{CALL_BOUND, Family, Listening, Role, Target};
use rstproof_core::transcript::PerEnd;

/// Ports that clients bind to in turn: outside the kernel's ephemeral range (32768-60999), so that the kernel never
/// assigns one in between, and many, so that none is reused soon.
const CLIENT_PORTS: RangeInclusive<u16> = 20_000..=32_000;

/// Returns a client port chosen by an arbitrary number.
#[must_use]
pub(crate) fn client_port(any: u32) -> u16 {
    let count = u32::from(CLIENT_PORTS.end() - CLIENT_PORTS.start()) + 1;
    let nth = u16::try_from(any % count).unwrap_or(0);
    CLIENT_PORTS.start() + nth
}

/// Backlog of the shared listener: on the host's own loopback other programs may be in the queue before the client.
const BACKLOG: i32 = 4096;

/// Addresses of the two ends, and the hosts on which sockets are created if not on this one.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// Address of the client.
    pub client: IpAddr,
    /// Address of the server.
    pub server: IpAddr,
    /// Unused address, if there is a link on which a host would look for it.
    pub unused_address: Option<IpAddr>,
    /// Hosts of client and server, if they are not this one.
    pub(crate) hosts: Option<[Arc<LabHost>; 2]>,
}

impl Endpoints {
    /// Returns the endpoints of a trial whose ends are both on this host, at these addresses.
    #[must_use]
    pub(crate) fn local(PerEnd { client, server }: PerEnd<IpAddr>) -> Self {
        Self {
            client,
            server,
            unused_address: None,
            hosts: None,
        }
    }

    /// Creates a socket on the host of this end.
    fn socket(&self, role: Role, multipath: bool) -> Result<Socket, Error> {
        let ip = match role {
            Role::Client => self.client,
            Role::Server => self.server,
        };
        let Some([client, server]) = &self.hosts else {
            return tcp_socket(ip, multipath);
        };
        let host = match role {
            Role::Client => client,
            Role::Server => server,
        };
        host.run(move |_| tcp_socket(ip, multipath))?
    }
}

/// Server addresses and the sockets that hold them, kept from trial to trial.
pub(crate) struct SocketSet {
    /// Addresses and hosts of client and server.
    endpoints: Endpoints,
    listener: Socket,
    listener_address: SocketAddr,
    /// Socket that is bound to the closed port and does not listen.
    _holder: Socket,
    closed_address: SocketAddr,
    /// Address of listeners that belong to one trial.
    own_address: SocketAddr,
    /// Port that servers listen on.
    port: u16,
    next_client_port: u16,
}

impl SocketSet {
    /// Listens at the server's end on `port`, and binds the port after it without listening.
    pub(crate) fn open(endpoints: Endpoints, port: u16) -> Result<Self, Error> {
        let ip = endpoints.server;
        let listener = endpoints.socket(Role::Server, false)?;
        // Connections of an earlier run in TIME-WAIT do not block the port.
        listener
            .set_reuse_address(true)
            .map_err(|error| Error::io("set SO_REUSEADDR", &error))?;
        let listener_address = bind(&listener, ip, port)?;
        listener
            .listen(BACKLOG)
            .map_err(|error| failed("listen", listener_address, &error))?;
        // Accepted sockets inherit the bounds.
        set_bounds(&listener, listener_address)?;
        // Without SO_REUSEADDR, which would let another program's socket listen on this port.
        let holder = endpoints.socket(Role::Server, false)?;
        let closed_address = bind(&holder, ip, closed_port(port))?;
        Ok(Self {
            endpoints,
            listener,
            listener_address,
            _holder: holder,
            closed_address,
            own_address: SocketAddr::new(ip, own_port(port)),
            port,
            next_client_port: *CLIENT_PORTS.start(),
        })
    }

    /// Returns the port that the next client binds to.
    #[must_use]
    pub(crate) fn next_client_port(&self) -> u16 {
        self.next_client_port
    }

    /// Returns this set with `client_port` as the next client port: segments of an earlier set may still arrive
    /// at the ports before.
    #[must_use]
    pub(crate) fn with_next_client_port(mut self, client_port: u16) -> Self {
        self.next_client_port = client_port;
        self
    }

    /// Returns the address that a client connects to for this target.
    #[must_use]
    pub(crate) fn server_address(&self, target: Target) -> SocketAddr {
        match target {
            Target::Listener | Target::Itself => self.listener_address,
            Target::OwnListener(_) | Target::Blackholed => self.own_address,
            Target::Firewalled(rule) => {
                SocketAddr::new(self.endpoints.server, firewalled_port(self.port, rule))
            }
            Target::NoRoute(route) => {
                let family = Family::of(self.endpoints.client);
                SocketAddr::new(routes::destination(route, family), self.port)
            }
            Target::Nobody => SocketAddr::new(
                self.endpoints
                    .unused_address
                    .unwrap_or(self.endpoints.server),
                self.port,
            ),
            Target::ClosedPort => self.closed_address,
        }
    }

    /// Returns the listener that all trials share.
    pub(super) fn listener(&self) -> &Socket {
        &self.listener
    }

    /// Creates the listeners for one trial of this target: one, or two that share the port; none if the target needs
    /// none.
    pub(super) fn own_listeners(
        &self,
        target: Target,
        multipath: bool,
    ) -> Result<Vec<Socket>, Error> {
        let listening = match target {
            Target::OwnListener(listening) => listening,
            Target::Blackholed | Target::Firewalled(_) => Listening::USUAL,
            Target::Listener
            | Target::ClosedPort
            | Target::Itself
            | Target::NoRoute(_)
            | Target::Nobody => return Ok(Vec::new()),
        };
        let address = self.server_address(target);
        let failed = |error: io::Error| failed("listen on", address, &error);
        let count = if listening.shares_port { 2 } else { 1 };
        (0..count)
            .map(|_| {
                let listener = self.endpoints.socket(Role::Server, multipath)?;
                listener.set_reuse_address(true).map_err(failed)?;
                if listening.shares_port {
                    listener.set_reuse_port(true).map_err(failed)?;
                }
                bind(&listener, address.ip(), address.port())?;
                if let Some(seconds) = listening.defer_accept {
                    let name = libc::TCP_DEFER_ACCEPT;
                    sys::set_option(&listener, libc::IPPROTO_TCP, name, seconds.into())
                        .map_err(|errno| failed(errno.into()))?;
                }
                if listening.signed {
                    // The listener requires signatures from the client's address, and the client has no key.
                    sys::sign_segments(&listener, self.endpoints.client)
                        .map_err(|errno| failed(errno.into()))?;
                }
                if target == Target::Blackholed {
                    drop_all(&listener).map_err(failed)?;
                }
                listener.listen(listening.backlog.into()).map_err(failed)?;
                if listening.fast_open {
                    const QUEUE: libc::c_int = 16;
                    let name = libc::TCP_FASTOPEN;
                    sys::set_option(&listener, libc::IPPROTO_TCP, name, QUEUE)
                        .map_err(|errno| failed(errno.into()))?;
                }
                set_bounds(&listener, address)?;
                Ok(listener)
            })
            .collect()
    }

    /// Creates the socket that holds the address and port of a client without a socket of its own. It drops
    /// everything, so segments to that port are neither received nor answered.
    pub(super) fn raw_client(&mut self) -> Result<(Socket, SocketAddr), Error> {
        let (socket, address) = self.client(false)?;
        let held = drop_all(&socket).and_then(|()| socket.listen(1));
        held.map_err(|error| failed("hold", address, &error))?;
        Ok((socket, address))
    }

    /// Creates a client socket that is bound to a captured port although no server takes part.
    pub(super) fn client_of_itself(&self) -> Result<(Socket, SocketAddr), Error> {
        let socket = self.endpoints.socket(Role::Client, false)?;
        let address = self.own_address;
        socket
            .set_reuse_address(true)
            .map_err(|error| failed("set SO_REUSEADDR on", address, &error))?;
        bind(&socket, address.ip(), address.port())?;
        set_bounds(&socket, address)?;
        Ok((socket, address))
    }

    /// Creates a client socket, bound to an address and port of its own: its side of the four-tuple is known from the
    /// process, not learned from the capture.
    pub(super) fn client(&mut self, multipath: bool) -> Result<(Socket, SocketAddr), Error> {
        let socket = self.endpoints.socket(Role::Client, multipath)?;
        let mut in_use = None;
        for _ in CLIENT_PORTS {
            let port = self.next_client_port;
            self.next_client_port = if port == *CLIENT_PORTS.end() {
                *CLIENT_PORTS.start()
            } else {
                port + 1
            };
            // A firewall rule may match segments to servers' ports.
            if ports(self.port).contains(&port) {
                continue;
            }
            let address = SocketAddr::new(self.endpoints.client, port);
            match socket.bind(&SockAddr::from(address)) {
                Ok(()) => {
                    set_bounds(&socket, address)?;
                    return Ok((socket, address));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => in_use = Some(error),
                Err(error) => return Err(failed("bind", address, &error)),
            }
        }
        let error = in_use.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        let last = SocketAddr::new(self.endpoints.client, self.next_client_port);
        Err(failed("bind", last, &error))
    }
}

/// Attaches a filter that drops every packet.
pub(super) fn drop_all(socket: &Socket) -> io::Result<()> {
    /// Opcode that accepts the given number of bytes of a packet (linux/filter.h).
    const RETURN: u16 = 0x06;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
}

/// Returns the reason why this namespace has no Multipath TCP sockets; `None` if it has.
#[must_use]
pub(crate) fn no_multipath(family: Family) -> Option<String> {
    let domain = match family {
        Family::Ipv4 => Domain::IPV4,
        Family::Ipv6 => Domain::IPV6,
    };
    let error = Socket::new(domain, Type::STREAM, Some(Protocol::MPTCP)).err()?;
    Some(match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => {
            "it is disabled; enable it with `sudo sysctl net.mptcp.enabled=1`".to_owned()
        }
        Some(libc::EPROTONOSUPPORT | libc::EINVAL) => "the kernel does not support it".to_owned(),
        _ => reason(&error),
    })
}

fn tcp_socket(ip: IpAddr, multipath: bool) -> Result<Socket, Error> {
    let domain = if ip.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let protocol = if multipath {
        Protocol::MPTCP
    } else {
        Protocol::TCP
    };
    Socket::new(domain, Type::STREAM, Some(protocol))
        .map_err(|error| Error::io("create a TCP socket", &error))
}

fn bind(socket: &Socket, ip: IpAddr, port: u16) -> Result<SocketAddr, Error> {
    let address = SocketAddr::new(ip, port);
    match socket.bind(&SockAddr::from(address)) {
        Ok(()) => Ok(address),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::Usage(format!(
            "port {port} is in use on {ip}; choose another with --port"
        ))),
        Err(error) => Err(failed("bind", address, &error)),
    }
}

fn set_bounds(socket: &Socket, address: SocketAddr) -> Result<(), Error> {
    socket
        .set_read_timeout(Some(CALL_BOUND))
        .and_then(|()| socket.set_write_timeout(Some(CALL_BOUND)))
        .map_err(|error| failed("bound calls on", address, &error))
}
