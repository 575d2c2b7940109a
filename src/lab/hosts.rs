//! Multiple hosts: network namespaces of their own, joined by veth pairs.
//!
//! A host is a thread that has entered a new namespace and runs jobs there. A socket, a capture or a counters file
//! that a job opens belongs to that namespace permanently, and can be used from any thread. When the thread has ended
//! and all of these are closed, the kernel removes the namespace with its links, addresses, routes and rules.

mod addresses;
mod host;
mod links;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;

use self::addresses::{AddressBlock, EndAddresses};
pub(crate) use self::host::LabHost;
use self::links::{exchange, forget_neighbours, give, join, route_by, set_up, turn, unset};
use super::firewall;
use super::forgery::Forgery;
use super::interface::{self, Behaviour, NeighbourTable};
use super::settings::{self, Unmet};
use super::sysctl::{self, Obstacle};
use crate::capture::Crossing;
use crate::error::{Error, reason};
use rstproof_core::packet::{CLIENT, SERVER};
use rstproof_core::scenario::{Change, Family, Network, Scenario};

/// Network of a trial: the hosts of client and server, and possibly a router between them.
#[derive(Debug)]
pub(crate) struct HostNetwork {
    pub(crate) client: Arc<LabHost>,
    pub(crate) server: Arc<LabHost>,
    router: Option<LabHost>,
    /// Addresses of client and server.
    ends: [EndAddresses; 2],
    /// Addresses of the router on the client's link and on the server's.
    gateways: Option<[EndAddresses; 2]>,
    /// Changes that [`repair`](Self::repair) has to undo before a fence can cross.
    broken: Vec<Change>,
    /// Behaviour of the interfaces of both ends.
    end: Behaviour,
    /// Settings that the trial relies on.
    relied_on: Arc<[&'static str]>,
    /// Inherited settings that differ from what scenarios rely on and could not be changed.
    unmet: Vec<Unmet>,
    /// Reason why the router does not forward IPv6; `None` if it does.
    no_forwarding: Option<String>,
}

/// Reason why no network can be built at all.
const NO_VETH: &str = "this kernel cannot connect hosts: it has no veth";

impl HostNetwork {
    /// Builds the network for a trial of this scenario. `firewall` is the first port of servers, if rules are to be
    /// loaded. The inner error is the reason why the network cannot be built here.
    pub(crate) fn build(
        scenario: &Scenario,
        firewall: Option<u16>,
    ) -> Result<Result<Self, String>, Error> {
        // Networks that exist at the same time have different addresses, because trace events show addresses and no
        // namespaces.
        let block = AddressBlock::take()?;
        let client = Arc::new(LabHost::start("client-host")?);
        let server = Arc::new(LabHost::start("server-host")?);
        let router = match scenario.network {
            Network::Loopback | Network::Link => None,
            Network::Routed => Some(LabHost::start("router")?),
        };
        let relied_on: Arc<[&str]> = settings::RELIED_ON
            .iter()
            .filter(|setting| (setting.relied_on_by)(scenario))
            .map(|setting| setting.name)
            .collect();
        let mut unmet = Vec::new();
        for host in [Some(&*client), Some(&*server), router.as_ref()] {
            let Some(host) = host else { continue };
            // Before links are created: interfaces copy some of the settings.
            unmet.extend(restore_settings(host, &relied_on)?);
        }
        // In scenarios that lose the link, its loss has to show before neighbour discovery gives up.
        let end = Behaviour {
            forwards: false,
            gives_up_soon: !scenario.loses_link(),
        };
        let mut hosts = Self {
            client,
            server,
            router: None,
            ends: [block.host(0, 1), block.host(0, 2)],
            gateways: None,
            broken: Vec::new(),
            end,
            relied_on,
            unmet,
            no_forwarding: None,
        };
        if let Some(router) = router {
            let way = Behaviour {
                forwards: true,
                ..end
            };
            let near = [block.host(0, 2), block.host(1, 2)];
            hosts.ends = [block.host(0, 1), block.host(1, 1)];
            hosts.gateways = Some(near);
            for (nth, host, name, inner) in [
                (0, &*hosts.client, CLIENT, "to-client"),
                (1, &*hosts.server, SERVER, "to-server"),
            ] {
                if !join(host, name, &router, inner)? {
                    return Ok(Err(NO_VETH.to_owned()));
                }
                set_up(&router, inner, near[nth], way)?;
                set_up(host, name, hosts.ends[nth], end)?;
                route_by(host, name, near[nth])?;
            }
            // IPv4 forwarding is set per interface, by `set_up`.
            hosts.no_forwarding = router.run(|_| forward_ipv6().err())?;
            hosts.router = Some(router);
        } else {
            if !join(&hosts.client, CLIENT, &hosts.server, SERVER)? {
                return Ok(Err(NO_VETH.to_owned()));
            }
            set_up(&hosts.client, CLIENT, hosts.ends[0], end)?;
            set_up(&hosts.server, SERVER, hosts.ends[1], end)?;
        }
        if let Some(port) = firewall
            && let Err(why) = hosts.load_firewall(port)?
        {
            return Ok(Err(why));
        }
        Ok(Ok(hosts))
    }

    /// Returns the reason why trials of this scenario over this family cannot run between these hosts; `None` if they
    /// can. Sends datagrams in both directions, over IPv4 also for IPv6, because fences use IPv4.
    pub(crate) fn lacks(
        &self,
        scenario: &Scenario,
        family: Family,
    ) -> Result<Option<String>, Error> {
        let mut unmet = self.unmet.iter();
        let unmet =
            unmet.find(|it| it.concerns(scenario, Family::Ipv4) || it.concerns(scenario, family));
        if let Some(unmet) = unmet {
            return Ok(Some(unmet.reason()));
        }
        if let (Family::Ipv6, Some(why)) = (family, &self.no_forwarding) {
            return Ok(Some(why.clone()));
        }
        let mut families = vec![Family::Ipv4];
        if family == Family::Ipv6 {
            families.push(family);
        }
        for family in families {
            if let Some(why) = self.do_not_reach_each_other(family)? {
                let family = family.proper_name();
                return Ok(Some(format!(
                    "its hosts cannot reach each other over {family}: {why}"
                )));
            }
        }
        Ok(None)
    }

    /// Returns the reason why no datagram crosses in both directions; `None` if one does.
    fn do_not_reach_each_other(&self, family: Family) -> Result<Option<String>, Error> {
        let [client, server] = self.ends.map(|pair| pair.of(family));
        let bind = |host: &LabHost, ip: IpAddr| host.run(move |_| UdpSocket::bind((ip, 0)));
        let result = match (bind(&self.client, client)?, bind(&self.server, server)?) {
            (Ok(client), Ok(server)) => exchange(&client, &server),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let Err(error) = result else { return Ok(None) };
        // An entry that the table has no room for fails like an address that does not answer, so look for the cause.
        let tables = self.neighbour_tables().unwrap_or_default();
        let full = |table: &&NeighbourTable| table.family == family && table.entries >= table.limit;
        if let Some(NeighbourTable { limit, .. }) = tables.iter().find(full) {
            let family = family.name();
            return Ok(Some(format!(
                "the host's neighbour table is full; allow more than {limit} entries on the host with `sudo sysctl \
                 net.{family}.neigh.default.gc_thresh3=8192`"
            )));
        }
        Ok(Some(if error.kind() == io::ErrorKind::WouldBlock {
            "a datagram that was sent did not arrive".to_owned()
        } else {
            reason(&error)
        }))
    }

    fn neighbour_tables(&self) -> Result<Vec<NeighbourTable>, Error> {
        let read = |handle| async move { interface::neighbour_tables(&handle).await };
        self.client.netlink("look at the neighbour tables", read)
    }

    /// Returns the number of entries for which the neighbour tables of this machine had no room so far. Packets to an
    /// address without an entry are dropped.
    pub(crate) fn neighbour_table_overflows(&self) -> Result<u64, Error> {
        Ok(self.neighbour_tables()?.iter().map(|it| it.overflows).sum())
    }

    /// Loads the firewall rules on all hosts. The inner error is the reason why there are none.
    fn load_firewall(&self, port: u16) -> Result<Result<(), String>, Error> {
        let hosts = [
            Some(&*self.client),
            Some(&*self.server),
            self.router.as_ref(),
        ];
        for host in hosts.into_iter().flatten() {
            if let Err(why) = host.run(move |_| firewall::load(port))?? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    /// Changes these settings on the hosts of both ends, without restoring them.
    pub(crate) fn change_settings(
        &self,
        settings: &'static [(&'static str, &'static str)],
    ) -> Result<(), Error> {
        for host in [&self.client, &self.server] {
            // Dropping `Changed` would restore the settings at once; they end with the namespace.
            host.run(move |_| sysctl::Changed::make(settings).map(std::mem::forget))??;
        }
        Ok(())
    }

    /// Returns the address of one end.
    pub(crate) fn address(&self, is_server: bool, family: Family) -> IpAddr {
        self.ends[usize::from(is_server)].of(family)
    }

    /// Returns all addresses of both ends.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let pairs = self.ends.iter().flat_map(|pair| pair.both());
        pairs.map(|(address, _)| address).collect()
    }

    /// Returns an unused address on the client's link.
    pub(crate) fn unused_address(&self, family: Family) -> IpAddr {
        match self.ends[0].of(family) {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                // Host 6 of the link; ends and routers are hosts 1 and 2.
                Ipv4Addr::new(a, b, c, d & !7 | 6).into()
            }
            IpAddr::V6(ip) => {
                let mut segments = ip.segments();
                segments[7] = 77;
                Ipv6Addr::from(segments).into()
            }
        }
    }

    /// Returns connected sockets that send fences across.
    pub(crate) fn crossing(&self) -> Result<Crossing, Error> {
        let [client, server] = self.ends.map(|pair| pair.of(Family::Ipv4));
        let failed = |error: io::Error| Error::io("create sockets for a fence", &error);
        let bind = |host: &LabHost, ip: IpAddr| host.run(move |_| UdpSocket::bind((ip, 0)));
        let client = bind(&self.client, client)?.map_err(failed)?;
        let server = bind(&self.server, server)?.map_err(failed)?;
        let join = |one: &UdpSocket, other: &UdpSocket| one.connect(other.local_addr()?);
        join(&client, &server).map_err(failed)?;
        join(&server, &client).map_err(failed)?;
        Ok(Crossing { client, server })
    }

    /// Returns the fence sockets for a replaced server host, at the same ports, so that captures still show fences.
    pub(crate) fn crossing_again(&self, old: &Crossing) -> Result<Crossing, Error> {
        let failed = |error: io::Error| Error::io("create sockets for a fence", &error);
        let server = old.client.peer_addr().map_err(failed)?;
        let bound = self.server.run(move |_| UdpSocket::bind(server))?;
        let server = bound.map_err(failed)?;
        let client = old.client.try_clone().map_err(failed)?;
        let address = client.local_addr().map_err(failed)?;
        server.connect(address).map_err(failed)?;
        Ok(Crossing { client, server })
    }

    /// Opens raw sockets for forged packets: on the router, or on the server's host if there is no router.
    pub(crate) fn forgery(&self) -> Result<Forgery, Error> {
        let host = self.router.as_ref().unwrap_or(&*self.server);
        let opened = host.run(|_| Forgery::open())?;
        opened.map_err(|error| Error::io("open raw sockets", &error))
    }

    /// Applies a change to the network. [`repair`](Self::repair) restores what fences need.
    pub(crate) fn apply(&mut self, change: Change) -> Result<(), Error> {
        match change {
            // Afterwards the network is as before, so there is nothing to repair.
            Change::ServerReboots => return self.reboot_server(),
            Change::ServerAddressGone => {
                unset(&self.server, SERVER, self.ends[1])?;
                // The neighbour has cached the link address: without a flush it would go on sending to it and never ask
                // again.
                let near = self
                    .router
                    .as_ref()
                    .map_or((&*self.client, CLIENT), |router| (router, "to-server"));
                forget_neighbours(near.0, near.1)?;
            }
            Change::ClientAddressGone => unset(&self.client, CLIENT, self.ends[0])?,
            Change::ServerLinkDown => turn(&self.server, SERVER, false)?,
        }
        self.broken.push(change);
        Ok(())
    }

    /// Replaces the server's host by a new one with the same addresses, which knows no connection.
    fn reboot_server(&mut self) -> Result<(), Error> {
        if self.router.is_some() {
            return Err(Error::lab(
                "reboot a server",
                &"there is a router before it",
            ));
        }
        let new = Arc::new(LabHost::start("server-host")?);
        // A setting that cannot be changed here could not be changed on the old host either.
        restore_settings(&new, &self.relied_on)?;
        give(&self.server, SERVER, &new)?;
        set_up(&new, SERVER, self.ends[1], self.end)?;
        // Sockets of the old host may still be open, but its link is gone.
        self.server = new;
        Ok(())
    }

    /// Returns true if the network is interrupted, so that nothing can cross.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Undoes the changes that interrupt the network.
    pub(crate) fn repair(&mut self) -> Result<(), Error> {
        for change in std::mem::take(&mut self.broken) {
            match change {
                Change::ServerReboots => {}
                Change::ServerAddressGone => self.give_back(true)?,
                Change::ClientAddressGone => self.give_back(false)?,
                Change::ServerLinkDown => turn(&self.server, SERVER, true)?,
            }
        }
        Ok(())
    }

    /// Restores the addresses of an end, and the routes that the kernel removed with them.
    fn give_back(&self, is_server: bool) -> Result<(), Error> {
        let (host, name) = if is_server {
            (&self.server, SERVER)
        } else {
            (&self.client, CLIENT)
        };
        let nth = usize::from(is_server);
        set_up(host, name, self.ends[nth], self.end)?;
        match self.gateways {
            Some(gateways) => route_by(host, name, gateways[nth]),
            None => Ok(()),
        }
    }
}

/// Restores these settings on a new host if it has inherited other values. Returns those that could not be changed.
fn restore_settings(host: &LabHost, names: &Arc<[&'static str]>) -> Result<Vec<Unmet>, Error> {
    let names = Arc::clone(names);
    host.run(move |_| settings::restore(|setting| names.contains(&setting.name)))
}

/// Enables IPv6 forwarding on the host of this thread. No single interface can have that alone (`ip6_forward()`).
/// Fails with the reason why the host does not forward.
fn forward_ipv6() -> Result<(), String> {
    const NAME: &str = "net.ipv6.conf.all.forwarding";
    // A kernel without IPv6 has no such setting, and no trials that need it.
    if sysctl::read(NAME).is_ok_and(|value| value == "1") {
        return Ok(());
    }
    let Err(error) = sysctl::write(NAME, "1") else {
        return Ok(());
    };
    Err(match Obstacle::here() {
        Some(obstacle) => format!(
            "its router does not forward IPv6, which needs {NAME}=1, but {}; {}",
            obstacle.found(),
            obstacle.fix()
        ),
        None => format!(
            "its router does not forward IPv6: {NAME} cannot be set: {}",
            reason(&error)
        ),
    })
}
