//! Multiple hosts: network namespaces of their own, joined by veth pairs.
//!
//! A host is a thread that has entered a new namespace and runs jobs there. A socket, a capture or a counters file
//! that a job opens belongs to that namespace permanently, and can be used from any thread. When the thread has ended
//! and all of these are closed, the kernel removes the namespace with its links, addresses, routes and rules.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, MulticastGroup, RouteMessageBuilder};
use tokio::runtime::{Builder, Runtime};

use super::forgery::Forgery;
use super::interface::{self, Behaviour};
use super::netlink::{self, News, answer};
use super::settings::{self, Unmet};
use super::sysctl::{self, Obstacle};
use super::{Kept, are_made_usable, drop_privileges, firewall, no_network_namespace, random};
use crate::capture::Crossing;
use crate::error::{Error, reason};
use rstproof_core::packet::{CLIENT, SERVER};
use rstproof_core::scenario::{Change, Family, Network, Scenario};

/// Maximum time for a host to finish a job: longer than all bounds within jobs. A bound on failure, not a pace.
const JOB_BOUND: Duration = Duration::from_secs(60);

type Job = Box<dyn FnOnce(&Runtime) + Send>;

/// Thread in a network namespace of its own.
#[derive(Debug)]
pub(crate) struct Host {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    namespace: File,
    /// True once a job has exceeded [`JOB_BOUND`].
    is_stuck: AtomicBool,
}

impl Host {
    /// Starts a host whose only interface is loopback, which is up: the kernel sends errors to itself over loopback.
    fn start(name: &str) -> Result<Self, Error> {
        let (jobs, todo) = channel::<Job>();
        let (reply, replies) = channel();
        let work = move || {
            let entered = enter();
            let runtime = match entered {
                Ok((namespace, runtime)) => {
                    let _ = reply.send(Ok(namespace));
                    runtime
                }
                Err(error) => {
                    let _ = reply.send(Err(error));
                    return;
                }
            };
            while let Ok(job) = todo.recv() {
                job(&runtime);
            }
        };
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|error| Error::start("start a host", &error))?;
        let namespace = replies.recv_timeout(JOB_BOUND).map_err(|_| ended())??;
        let host = Self {
            jobs: Some(jobs),
            thread: Some(thread),
            namespace,
            is_stuck: AtomicBool::new(false),
        };
        turn(&host, "lo", true)?;
        Ok(host)
    }

    /// Runs a job in the host's namespace and waits for the result. Fails if the thread has ended or after
    /// [`JOB_BOUND`].
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Runtime) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, replies) = channel();
        let job = move |runtime: &Runtime| {
            let _ = reply.send(job(runtime));
        };
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Box::new(job)).map_err(|_| ended())?;
        replies.recv_timeout(JOB_BOUND).map_err(|error| {
            if error == RecvTimeoutError::Disconnected {
                return ended();
            }
            // Relaxed: the flag guards no other data.
            self.is_stuck.store(true, Ordering::Relaxed);
            let late = format!("it did not answer within {} s", JOB_BOUND.as_secs());
            Error::lab("use a host", &late)
        })
    }

    /// Runs a job with a netlink socket of the host's namespace.
    fn netlink<T, F>(
        &self,
        action: &str,
        job: impl FnOnce(Handle) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, rtnetlink::Error>>,
    {
        self.netlink_with_news(action, &[], |handle, _| job(handle))
    }

    /// Like [`netlink`](Self::netlink), with a netlink socket that is subscribed to changes in the namespace.
    fn netlink_with_news<T, F>(
        &self,
        action: &str,
        groups: &'static [MulticastGroup],
        job: impl FnOnce(Handle, News) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, rtnetlink::Error>>,
    {
        let done = self.run(move |runtime| {
            runtime.block_on(async {
                let (connection, handle, news) =
                    netlink::open(groups).map_err(|error| reason(&error))?;
                let pump = tokio::spawn(connection);
                let done = answer(job(handle, news)).await;
                let done = done.map_err(|why| why.to_string());
                pump.abort();
                done
            })
        })?;
        done.map_err(|why| Error::lab(action, &why))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Closing the channel ends the thread's loop.
        self.jobs = None;
        // A stuck thread cannot be joined; it ends with the process.
        if let Some(thread) = self.thread.take()
            && !self.is_stuck.load(Ordering::Relaxed)
        {
            let _ = thread.join();
        }
    }
}

fn ended() -> Error {
    Error::lab("use a host", &"its thread ended early")
}

/// Enters a new network namespace and drops the privileges that are not needed there.
fn enter() -> Result<(File, Runtime), Error> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(no_network_namespace)?;
    // The thread configures networks and needs no access to files.
    drop_privileges(Kept {
        makes_networks: true,
        ..Kept::default()
    })?;
    let failed = |error: io::Error| Error::io("enter a network namespace", &error);
    let namespace = File::open("/proc/thread-self/ns/net").map_err(failed)?;
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(failed)?;
    Ok((namespace, runtime))
}

/// Addresses of one end, with their prefix lengths.
#[derive(Clone, Copy, Debug)]
struct Pair {
    ipv4: (Ipv4Addr, u8),
    ipv6: (Ipv6Addr, u8),
}

impl Pair {
    fn of(self, family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => self.ipv4.0.into(),
            Family::Ipv6 => self.ipv6.0.into(),
        }
    }

    /// Returns the link-local address, with its prefix length.
    fn link_local(self) -> (Ipv6Addr, u8) {
        let [.., link, host] = self.ipv6.0.segments();
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, link, host), 64)
    }

    fn both(self) -> [(IpAddr, u8); 2] {
        [
            (self.ipv4.0.into(), self.ipv4.1),
            (self.ipv6.0.into(), self.ipv6.1),
        ]
    }
}

/// Address block for two links with up to six hosts each.
#[derive(Clone, Copy, Debug)]
struct Block([u8; 4]);

impl Block {
    /// Reserves a block that no other network of this process has used: kernel trace events carry addresses, but no
    /// namespace.
    fn take() -> Result<Self, Error> {
        static TAKEN: Mutex<BTreeSet<[u8; 3]>> = Mutex::new(BTreeSet::new());
        loop {
            let [a, b, c, d] = random()?;
            let block = [a, b, c & 0xf0];
            let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.insert(block) {
                return Ok(Self([a, b, c & 0xf0, d]));
            }
            // Bounds the set: blocks may repeat after 65,536 networks.
            if taken.len() > 1 << 16 {
                taken.clear();
            }
        }
    }

    /// Returns the addresses of a host on one of the links.
    fn host(self, link: u8, host: u8) -> Pair {
        let Self([a, b, c, d]) = self;
        // `take` leaves the low four bits of `c` free: one for the link and three for the host, hence a prefix of 29.
        // `d` only makes the IPv6 prefix more random.
        let ipv4 = Ipv4Addr::new(10, a, b, c | link << 3 | host);
        let [prefix, subnet] = [[0xfd, a], [b, c]].map(u16::from_be_bytes);
        let (link, host) = (u16::from(link), u16::from(host));
        let ipv6 = Ipv6Addr::new(prefix, subnet, d.into(), 0, 0, 0, link, host);
        Pair {
            ipv4: (ipv4, 29),
            ipv6: (ipv6, 112),
        }
    }
}

/// Network of a trial: the hosts of client and server, and possibly a router between them.
#[derive(Debug)]
pub(crate) struct Hosts {
    pub(crate) client: Arc<Host>,
    pub(crate) server: Arc<Host>,
    router: Option<Host>,
    /// Addresses of client and server.
    ends: [Pair; 2],
    /// Addresses of the router on the client's link and on the server's.
    gateways: Option<[Pair; 2]>,
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
const NO_VETH: &str = "this kernel cannot join hosts: it has no veth";

impl Hosts {
    /// Builds the network for a trial of this scenario. `firewall` is the first port of servers, if rules are to be
    /// loaded. The inner error is the reason why this kernel cannot build the network.
    pub(crate) fn build(
        scenario: &Scenario,
        firewall: Option<u16>,
    ) -> Result<Result<Self, String>, Error> {
        let block = Block::take()?;
        let client = Arc::new(Host::start("client-host")?);
        let server = Arc::new(Host::start("server-host")?);
        let router = match scenario.network {
            Network::Loopback | Network::Link => None,
            Network::Routed => Some(Host::start("router")?),
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
        if let Some(port) = firewall {
            hosts.load_firewall(port)?;
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
                    "its hosts do not reach each other over {family}: {why}"
                )));
            }
        }
        Ok(None)
    }

    /// Returns the reason why no datagram crosses in both directions; `None` if one does.
    fn do_not_reach_each_other(&self, family: Family) -> Result<Option<String>, Error> {
        let [client, server] = self.ends.map(|pair| pair.of(family));
        let bind = |host: &Host, ip: IpAddr| host.run(move |_| UdpSocket::bind((ip, 0)));
        let result = match (bind(&self.client, client)?, bind(&self.server, server)?) {
            (Ok(client), Ok(server)) => exchange(&client, &server),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let Err(error) = result else { return Ok(None) };
        let full = self
            .client
            .netlink("look at the neighbour table", move |handle| async move {
                interface::full_neighbour_table(&handle, family).await
            });
        if let Ok(Some(limit)) = full {
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

    fn load_firewall(&mut self, port: u16) -> Result<(), Error> {
        let hosts = [
            Some(&*self.client),
            Some(&*self.server),
            self.router.as_ref(),
        ];
        for host in hosts.into_iter().flatten() {
            host.run(move |_| firewall::load(port))??
                .map_err(|why| Error::lab("load firewall rules", &why))?;
        }
        Ok(())
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
    pub(crate) fn nobody(&self, family: Family) -> IpAddr {
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
        let failed = |error: io::Error| Error::io("make sockets for a fence", &error);
        let bind = |host: &Host, ip: IpAddr| host.run(move |_| UdpSocket::bind((ip, 0)));
        let client = bind(&self.client, client)?.map_err(failed)?;
        let server = bind(&self.server, server)?.map_err(failed)?;
        let join = |one: &UdpSocket, other: &UdpSocket| one.connect(other.local_addr()?);
        join(&client, &server).map_err(failed)?;
        join(&server, &client).map_err(failed)?;
        Ok(Crossing { client, server })
    }

    /// Returns the fence sockets for a replaced server host, at the same ports, so that captures still show fences.
    pub(crate) fn crossing_again(&self, old: &Crossing) -> Result<Crossing, Error> {
        let failed = |error: io::Error| Error::io("make sockets for a fence", &error);
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
        opened.map_err(|error| Error::io("make packets by hand", &error))
    }

    /// Applies a change to the network. [`repair`](Self::repair) restores what fences need.
    pub(crate) fn happens(&mut self, change: Change) -> Result<(), Error> {
        match change {
            Change::ServerReboots => {
                if self.router.is_some() {
                    return Err(Error::lab(
                        "reboot a server",
                        &"there is a router before it",
                    ));
                }
                let new = Arc::new(Host::start("server-host")?);
                // A setting that cannot be changed here could not be changed on the old host either.
                restore_settings(&new, &self.relied_on)?;
                give(&self.server, SERVER, &new)?;
                set_up(&new, SERVER, self.ends[1], self.end)?;
                // Sockets of the old host may still be open, but its link is gone.
                self.server = new;
                return Ok(());
            }
            Change::ServerAddressGone => {
                unset(&self.server, SERVER, self.ends[1])?;
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

/// Returns the link with this name in the namespace of the handle.
async fn link(handle: &Handle, name: &str) -> Result<LinkMessage, rtnetlink::Error> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    let found = links.try_next().await?;
    found.ok_or(rtnetlink::Error::RequestFailed)
}

/// Joins two hosts with a veth pair. Returns false if this kernel has no veth.
fn join(
    one: &Host,
    name: &'static str,
    other: &Host,
    other_name: &'static str,
) -> Result<bool, Error> {
    let is_joined = one.netlink("make a veth pair", move |handle| async move {
        let pair = LinkVeth::new(name, other_name).build();
        match handle.link().add(pair).execute().await {
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::EOPNOTSUPP => {
                Ok(false)
            }
            made => made.map(|()| true),
        }
    })?;
    if is_joined {
        give(one, other_name, other)?;
    }
    Ok(is_joined)
}

/// Moves a link to the namespace of another host.
fn give(from: &Host, name: &'static str, to: &Host) -> Result<(), Error> {
    let namespace = to.namespace.as_raw_fd();
    from.netlink("move a link", move |handle| async move {
        let index = link(&handle, name).await?.header.index;
        let moved = LinkUnspec::new_with_index(index)
            .setns_by_fd(namespace)
            .build();
        handle.link().set(moved).execute().await
    })
}

/// Configures a link, brings it up and adds its addresses, and waits until they are usable.
fn set_up(
    host: &Host,
    name: &'static str,
    addresses: Pair,
    behaviour: Behaviour,
) -> Result<(), Error> {
    let groups = &[MulticastGroup::Ipv6Route];
    host.netlink_with_news(
        "set a link up",
        groups,
        move |handle, mut news| async move {
            let link = link(&handle, name).await?;
            let index = link.header.index;
            interface::set(&handle, &link, behaviour).await?;
            let up = LinkUnspec::new_with_index(index).up().build();
            handle.link().set(up).execute().await?;
            let (ipv4, prefix) = addresses.ipv4;
            let add = handle.address().add(index, ipv4.into(), prefix);
            add.execute().await?;
            let mut new = Vec::new();
            for (ip, prefix) in [addresses.link_local(), addresses.ipv6] {
                let mut add = handle.address().add(index, ip.into(), prefix);
                // No other host has this address, so skip duplicate address detection.
                let flags = AddressAttribute::Flags(AddressFlags::Nodad);
                add.message_mut().attributes.push(flags);
                match add.execute().await {
                    Ok(()) => new.push(ip),
                    // Not an error: `unset` leaves the link-local address in place.
                    Err(rtnetlink::Error::NetlinkError(error))
                        if error.raw_code() == -libc::EEXIST => {}
                    // A kernel without IPv6 has no such addresses, and no trials over it.
                    Err(_) => return Ok(()),
                }
            }
            // The result is ignored: an address that is still unusable fails when it is used.
            are_made_usable(&new, &mut news).await;
            Ok(())
        },
    )
}

/// Restores these settings on a new host if it has inherited other values. Returns those that could not be changed.
fn restore_settings(host: &Host, names: &Arc<[&'static str]>) -> Result<Vec<Unmet>, Error> {
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
            "its router does not forward IPv6, which takes {NAME}=1, and {}; {}",
            obstacle.found(),
            obstacle.fix()
        ),
        None => format!(
            "its router does not forward IPv6: {NAME} cannot be set here: {}",
            reason(&error)
        ),
    })
}

/// Sends datagrams from one socket to the other and back until they arrive; fails after `TIMES` attempts.
fn exchange(one: &UdpSocket, other: &UdpSocket) -> io::Result<()> {
    /// Time to wait before sending again: a host may drop datagrams while it resolves the neighbour's address.
    const PACE: Duration = Duration::from_millis(100);
    /// Maximum number of attempts: by then three neighbour solicitations are unanswered. A bound on failure.
    const TIMES: usize = 20;
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    for (from, to) in [(one, other), (other, one)] {
        to.set_read_timeout(Some(PACE))?;
        let mut result = Ok(0);
        for _ in 0..TIMES {
            // send() also reports an ICMP error that an earlier datagram caused.
            from.send(b"?")?;
            result = to.recv(&mut [0]);
            if result.is_ok() {
                break;
            }
        }
        result?;
    }
    Ok(())
}

/// Removes the addresses of a link, except the link-local one.
fn unset(host: &Host, name: &'static str, addresses: Pair) -> Result<(), Error> {
    host.netlink("take addresses away", move |handle| async move {
        let index = link(&handle, name).await?.header.index;
        let mut found = handle
            .address()
            .get()
            .set_link_index_filter(index)
            .execute();
        let mut gone = Vec::new();
        while let Some(message) = found.try_next().await? {
            let is_listed = |(address, _): &(IpAddr, u8)| {
                message.attributes.iter().any(|attribute| {
                    matches!(attribute, rtnetlink::packet_route::address::AddressAttribute::Address(it)
                        if it == address)
                })
            };
            if addresses.both().iter().any(is_listed) {
                gone.push(message);
            }
        }
        for message in gone {
            handle.address().del(message).execute().await?;
        }
        Ok(())
    })
}

/// Brings a link up or down.
fn turn(host: &Host, name: &'static str, up: bool) -> Result<(), Error> {
    host.netlink("turn a link", move |handle| async move {
        let index = link(&handle, name).await?.header.index;
        let link = LinkUnspec::new_with_index(index);
        let link = if up { link.up() } else { link.down() };
        handle.link().set(link.build()).execute().await
    })
}

/// Adds default routes by way of this gateway.
fn route_by(host: &Host, name: &'static str, gateway: Pair) -> Result<(), Error> {
    host.netlink("add routes", move |handle| async move {
        let index = link(&handle, name).await?.header.index;
        let ipv4 = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway.ipv4.0)
            .output_interface(index)
            .build();
        handle.route().add(ipv4).execute().await?;
        let ipv6 = RouteMessageBuilder::<Ipv6Addr>::new()
            .gateway(gateway.ipv6.0)
            .output_interface(index)
            .build();
        // A kernel without IPv6 refuses the route, and has no trials over it.
        let _ = handle.route().add(ipv6).execute().await;
        Ok(())
    })
}

/// Clears a host's neighbour entries for this link.
fn forget_neighbours(host: &Host, name: &'static str) -> Result<(), Error> {
    host.netlink("forget neighbours", move |handle| async move {
        let index = link(&handle, name).await?.header.index;
        let mut found = handle.neighbours().get().execute();
        let mut known = Vec::new();
        while let Some(message) = found.try_next().await? {
            if message.header.ifindex == index {
                known.push(message);
            }
        }
        for message in known {
            handle.neighbours().del(message).execute().await?;
        }
        Ok(())
    })
}
