//! The sockets that servers listen on, and clients' addresses: what is there before a trial begins.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::{errno_of, failed};
use crate::error::Error;
use crate::lab::hosts::Host;
use crate::lab::ports::{closed_port, firewalled_port, own_port, ports};
use crate::lab::routes;
use crate::sys;
use rstproof_core::scenario::{CALL_BOUND, Family, Listening, Role, Target};

/// Clients bind to these ports in turn: outside the range that the kernel picks from by itself (32768-60999), so that
/// it cannot hand one out in between, and many, so that none comes again soon.
const CLIENT_PORTS: RangeInclusive<u16> = 20_000..=32_000;

/// One of them, by a number that may be any.
#[must_use]
pub fn client_port(any: u32) -> u16 {
    let count = u32::from(CLIENT_PORTS.end() - CLIENT_PORTS.start()) + 1;
    let nth = u16::try_from(any % count).unwrap_or(0);
    CLIENT_PORTS.start() + nth
}

/// On a host's own loopback strangers may stand in the queue before the client.
const BACKLOG: i32 = 4096;

/// The two ends: their addresses, and the hosts in which sockets are made if these are others than this one.
#[derive(Clone, Debug)]
pub struct Sites {
    /// The client's address.
    pub client: IpAddr,
    /// The server's.
    pub server: IpAddr,
    /// An address that nobody has, if there is a link on which to look for it.
    pub nobody: Option<IpAddr>,
    /// The client's and the server's host.
    pub(crate) hosts: Option<[Arc<Host>; 2]>,
}

impl Sites {
    /// Both ends on this host, at this address.
    #[must_use]
    pub fn here(ip: IpAddr) -> Self {
        Self {
            client: ip,
            server: ip,
            nobody: None,
            hosts: None,
        }
    }

    /// A socket of this end.
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

/// Two addresses for servers, and the sockets that hold them; kept from trial to trial.
pub struct Stage {
    /// Where clients and servers are.
    sites: Sites,
    listener: Socket,
    listener_address: SocketAddr,
    /// Bound, not listening.
    _holder: Socket,
    closed_address: SocketAddr,
    /// Where a trial's own listeners listen.
    own_address: SocketAddr,
    /// The port that servers listen on.
    port: u16,
    next_client_port: u16,
}

impl Stage {
    /// Listens at the server's end on `port`, and holds the port after it without listening.
    pub fn set_up(sites: Sites, port: u16) -> Result<Self, Error> {
        let ip = sites.server;
        let listener = sites.socket(Role::Server, false)?;
        // Connections of an earlier run that linger in TIME-WAIT do not hold the port.
        listener
            .set_reuse_address(true)
            .map_err(|error| Error::system("set SO_REUSEADDR", errno_of(&error)))?;
        let listener_address = bind(&listener, ip, port)?;
        listener
            .listen(BACKLOG)
            .map_err(|error| failed("listen", listener_address, &error))?;
        // Accepted sockets inherit these.
        set_bounds(&listener, listener_address)?;
        // Without SO_REUSEADDR: with it, somebody else's socket could listen there beside it.
        let holder = sites.socket(Role::Server, false)?;
        let closed_address = bind(&holder, ip, closed_port(port))?;
        Ok(Self {
            sites,
            listener,
            listener_address,
            _holder: holder,
            closed_address,
            own_address: SocketAddr::new(ip, own_port(port)),
            port,
            next_client_port: *CLIENT_PORTS.start(),
        })
    }

    /// The port that the next client binds to.
    #[must_use]
    pub fn next_client_port(&self) -> u16 {
        self.next_client_port
    }

    /// The same, with clients that go on from this port: what an earlier stage has left behind may still be sent to those
    /// that it used.
    #[must_use]
    pub fn going_on_from(mut self, client_port: u16) -> Self {
        self.next_client_port = client_port;
        self
    }

    /// The address that a client connects to for this target.
    #[must_use]
    pub fn server_address(&self, target: Target) -> SocketAddr {
        match target {
            Target::Listener | Target::Itself => self.listener_address,
            Target::OwnListener(_) | Target::Deaf => self.own_address,
            Target::Firewalled(rule) => {
                SocketAddr::new(self.sites.server, firewalled_port(self.port, rule))
            }
            Target::NoRoute(route) => {
                let family = Family::of(self.sites.client);
                SocketAddr::new(routes::destination(route, family), self.port)
            }
            Target::Nobody => {
                SocketAddr::new(self.sites.nobody.unwrap_or(self.sites.server), self.port)
            }
            Target::ClosedPort => self.closed_address,
        }
    }

    /// The listener that all trials share.
    pub(super) fn listener(&self) -> &Socket {
        &self.listener
    }

    /// Listeners for one trial of this target: one, or two that share the port; none if it needs none.
    pub(super) fn own_listeners(
        &self,
        target: Target,
        multipath: bool,
    ) -> Result<Vec<Socket>, Error> {
        let listening = match target {
            Target::OwnListener(listening) => listening,
            Target::Deaf | Target::Firewalled(_) => Listening::USUAL,
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
                let listener = self.sites.socket(Role::Server, multipath)?;
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
                    // The key is for a peer that nobody here is: whoever else comes has none.
                    sys::sign_segments(&listener, self.sites.client)
                        .map_err(|errno| failed(errno.into()))?;
                }
                if target == Target::Deaf {
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

    /// What holds the address and port of a client that has no socket of its own: it takes nothing in, so that what is
    /// sent there is heard by nobody and answered by nobody.
    pub(super) fn raw_client(&mut self) -> Result<(Socket, SocketAddr), Error> {
        let (socket, address) = self.client(false)?;
        let held = drop_all(&socket).and_then(|()| socket.listen(1));
        held.map_err(|error| failed("hold", address, &error))?;
        Ok((socket, address))
    }

    /// A client's socket that is bound where its segments are captured though no server has a part in them.
    pub(super) fn client_of_itself(&self) -> Result<(Socket, SocketAddr), Error> {
        let socket = self.sites.socket(Role::Client, false)?;
        let address = self.own_address;
        socket
            .set_reuse_address(true)
            .map_err(|error| failed("set SO_REUSEADDR on", address, &error))?;
        bind(&socket, address.ip(), address.port())?;
        set_bounds(&socket, address)?;
        Ok((socket, address))
    }

    /// A client's socket, bound to an address and port that are its own: its side of the four-tuple is known from the
    /// process, not learned from the capture.
    pub(super) fn client(&mut self, multipath: bool) -> Result<(Socket, SocketAddr), Error> {
        let socket = self.sites.socket(Role::Client, multipath)?;
        let mut in_use = None;
        for _ in CLIENT_PORTS {
            let port = self.next_client_port;
            self.next_client_port = if port == *CLIENT_PORTS.end() {
                *CLIENT_PORTS.start()
            } else {
                port + 1
            };
            // What is sent to those of servers may be meant for a firewall's rule.
            if ports(self.port).contains(&port) {
                continue;
            }
            let address = SocketAddr::new(self.sites.client, port);
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
        let last = SocketAddr::new(self.sites.client, self.next_client_port);
        Err(failed("bind", last, &error))
    }
}

/// Attaches a filter that lets nothing through.
pub(super) fn drop_all(socket: &Socket) -> io::Result<()> {
    /// Accept so many bytes of a packet (linux/filter.h).
    const RETURN: u16 = 0x06;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
}

/// Why there are no sockets of Multipath TCP in this namespace, if there are none.
#[must_use]
pub fn no_multipath(family: Family) -> Option<String> {
    let domain = match family {
        Family::Ipv4 => Domain::IPV4,
        Family::Ipv6 => Domain::IPV6,
    };
    let error = Socket::new(domain, Type::STREAM, Some(Protocol::MPTCP)).err()?;
    Some(match errno_of(&error) {
        Errno::ENOPROTOOPT => {
            "it is switched off; `sudo sysctl net.mptcp.enabled=1` mends it".to_owned()
        }
        Errno::EPROTONOSUPPORT | Errno::EINVAL => "this kernel has none".to_owned(),
        other => other.to_string(),
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
        .map_err(|error| Error::system("make a TCP socket", errno_of(&error)))
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
