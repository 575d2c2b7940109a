//! Where a trial runs: a network namespace with a loopback interface of its own, or the host's.
//!
//! A private namespace keeps the host out of the evidence and the evidence out of the host: no stranger's packets,
//! ports that nobody else uses, and everything is gone with the thread that made it. The *user* namespace that an
//! ordinary user needs for it can be entered only while the process has one thread, so [`prepare`] is the first
//! thing that a run does; the *network* namespace belongs to a worker's thread ([`Lab::enter`]).

pub(crate) mod destroy;
pub(crate) mod firewall;
pub(crate) mod forgery;
pub(crate) mod hosts;
mod interface;
mod netlink;
pub mod ports;
pub mod routes;
pub mod settings;
pub(crate) mod sysctl;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use caps::{CapSet, Capability, CapsHashSet};
use futures_util::{StreamExt, TryStreamExt as _};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, getegid, geteuid};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteType};
use rtnetlink::{Handle, LinkUnspec, MulticastGroup};
use tokio::time::timeout;

use self::forgery::Forgery;
use self::netlink::{News, answer};
use self::settings::Unmet;
use self::sysctl::Obstacle;
use crate::error::{Error, program, reason};
use rstproof_core::scenario::{Family, Needs, Scenario};

/// Where trials run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A network namespace of the worker's own.
    Private,
    /// The network namespace that the tool was started in.
    Host,
}

/// What `lo` is called in every namespace, and its index in a new one.
const LOOPBACK: (&str, u32) = ("lo", 1);

/// How long the kernel may take to make an address usable. A bound on failure, not a pace.
const NEWS_BOUND: Duration = Duration::from_secs(2);

/// Makes private namespaces possible for this process: enters a user namespace unless the privilege is there. Call it
/// before any thread exists.
pub fn prepare(place: Place) -> Result<(), Error> {
    // Counters, namespaces, settings and children are all found there.
    if Obstacle::here() == Some(Obstacle::NoProc) {
        return Err(Error::Privilege {
            missing: "/proc is not mounted, and trials need it".to_owned(),
            remedy: Obstacle::NoProc.fix().to_owned(),
        });
    }
    if place == Place::Host || makes_namespaces() {
        return Ok(());
    }
    enter_user_namespace(geteuid(), getegid())
}

/// Whether a network namespace can be made, set up and captured in without a user namespace. One of the three rights
/// without the others is of no use: a binary may have been given any of them.
pub(crate) fn makes_namespaces() -> bool {
    [
        Capability::CAP_SYS_ADMIN,
        Capability::CAP_NET_ADMIN,
        Capability::CAP_NET_RAW,
    ]
    .into_iter()
    .all(has)
}

fn enter_user_namespace(uid: Uid, gid: Gid) -> Result<(), Error> {
    // A binary with file capabilities is not dumpable, and its /proc/self then belongs to root.
    nix::sys::prctl::set_dumpable(true)
        .map_err(|errno| Error::system("make the process dumpable", errno))?;
    unshare(CloneFlags::CLONE_NEWUSER).map_err(no_user_namespace)?;
    let write = |file: &'static str, text: String| {
        fs::write(file, text).map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => no_user_namespace(Errno::EPERM),
            _ => Error::file("write", file.as_ref(), &error),
        })
    };
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Why a network namespace was refused: there are enough of them, or the user namespace is not what it seems.
fn no_network_namespace(errno: Errno) -> Error {
    if errno == Errno::ENOSPC {
        return Error::Privilege {
            missing: "there are as many network namespaces as this host allows".to_owned(),
            remedy:
                "use fewer --jobs, leave --all away, or allow more with `sudo sysctl user.max_net_namespaces=15000`"
                    .to_owned(),
        };
    }
    no_user_namespace(errno)
}

/// The setting by which this host forbids ordinary users to make user namespaces, with the value that mends it.
pub(crate) fn forbidding_setting() -> Option<&'static str> {
    let setting = |name: &str| {
        fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/")))
            .ok()
            .map(|value| value.trim().to_owned())
    };
    if setting("user.max_user_namespaces").as_deref() == Some("0") {
        Some("user.max_user_namespaces=15000")
    } else if setting("kernel.unprivileged_userns_clone").as_deref() == Some("0") {
        Some("kernel.unprivileged_userns_clone=1")
    } else if setting("kernel.apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        Some("kernel.apparmor_restrict_unprivileged_userns=0")
    } else {
        None
    }
}

/// Why a user namespace was refused, with the setting that mends it on this host.
fn no_user_namespace(errno: Errno) -> Error {
    // One in which nobody is mapped: sudo cannot work there either.
    if fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.trim().is_empty()) {
        return Error::Privilege {
            missing: format!(
                "in this user namespace no user is mapped, so nothing can be set up ({errno:?})"
            ),
            remedy: "start it with a mapping, as `unshare --user --map-root-user` does".to_owned(),
        };
    }
    let sysctl = forbidding_setting().map_or_else(String::new, |mend| {
        format!("allow user namespaces with `sudo sysctl {mend}`, or ")
    });
    let host = if has(Capability::CAP_NET_RAW) {
        "use the loopback that is here with --host, or "
    } else {
        ""
    };
    Error::Privilege {
        missing: format!("this host does not let you make a private network namespace ({errno:?})"),
        remedy: format!("{sysctl}{host}run `sudo {} …`", program()),
    }
}

/// Whether this thread has it, in its user namespace.
pub(crate) fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Rights that root may keep: what a later step needs them for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Files are saved, perhaps in a directory that belongs to somebody else.
    pub saves_files: bool,
    /// Files are read, perhaps from a directory that belongs to somebody else.
    pub reads_files: bool,
    /// Those files that are saved are given to somebody else.
    pub gives_files_away: bool,
    /// An instance of tracefs is to be removed that root alone may reach otherwise.
    pub removes_trace: bool,
    /// Trials change what only the namespace's administrator may.
    pub administers: bool,
    /// Trials make networks of their own.
    pub makes_networks: bool,
}

/// Gives up the privileges of this thread, except for what is kept. Namespace and capture stay open.
pub fn drop_privileges(kept: Kept) -> Result<(), Error> {
    let failed = |error: caps::errors::CapsError| Error::lab("drop privileges", &error);
    let held = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: CapsHashSet = held
        .into_iter()
        .filter(|capability| match capability {
            Capability::CAP_DAC_OVERRIDE => kept.saves_files || kept.removes_trace,
            Capability::CAP_DAC_READ_SEARCH => kept.reads_files,
            Capability::CAP_NET_ADMIN => kept.administers || kept.makes_networks,
            Capability::CAP_NET_RAW | Capability::CAP_SYS_ADMIN => kept.makes_networks,
            Capability::CAP_CHOWN => kept.saves_files && kept.gives_files_away,
            _ => false,
        })
        .collect();
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)
}

/// The place of this worker's trials: its addresses, and what there is to change.
#[derive(Debug)]
pub struct Lab {
    ipv4: Ipv4Addr,
    /// Or why there is none.
    ipv6: Result<Ipv6Addr, String>,
    /// Or why there is none.
    firewall: Result<(), String>,
    /// Or why there are none.
    routes: Result<(), String>,
    /// Or why there is none.
    forgery: Result<Forgery, String>,
    /// Why sockets cannot be destroyed, if they cannot.
    no_destruction: Option<String>,
    /// Settings that are not as scenarios rely on.
    unmet: Vec<Unmet>,
    place: Place,
}

impl Lab {
    /// Puts this thread into its place and sets up what is needed there, for servers whose first port is this one. Needs
    /// a tokio runtime with I/O.
    pub async fn enter(place: Place, needs: Needs, port: u16) -> Result<Self, Error> {
        let ipv4 = random_loopback_address()?;
        let none = || NOT_ASKED_FOR.to_owned();
        let mut routes = Err(none());
        let unmet;
        let ipv6 = match place {
            Place::Host => {
                unmet = settings::unmet_here(mtu_of_loopback().await);
                Ok(Ipv6Addr::LOCALHOST)
            }
            Place::Private => {
                unshare(CloneFlags::CLONE_NEWNET).map_err(no_network_namespace)?;
                // Sockets take some of them over when they are made.
                unmet = settings::restore(settings::is_of_sockets);
                let (ipv6, added) = set_up_loopback(needs.routes).await?;
                routes = added;
                ipv6
            }
        };
        let is_private = place == Place::Private;
        let firewall = if needs.firewall && is_private {
            firewall::load(port)?
        } else {
            Err(none())
        };
        let forgery = if needs.forgery && is_private {
            Forgery::open()
                .map_err(|error| format!("no packets can be made by hand: {}", reason(&error)))
        } else {
            Err(none())
        };
        let no_destruction = if needs.destruction && is_private {
            destroy::missing(ipv4.into())
        } else {
            None
        };
        let ipv6 = ipv6.and_then(|address| {
            std::net::UdpSocket::bind((address, 0))
                .map(|_| address)
                .map_err(|error| format!("{address} is not there: {}", reason(&error)))
        });
        Ok(Self {
            ipv4,
            ipv6,
            firewall,
            routes,
            forgery,
            no_destruction,
            unmet,
            place,
        })
    }

    /// Why trials of this scenario over this family cannot run in this place, if they cannot.
    #[must_use]
    pub fn lacks(&self, scenario: &Scenario, family: Family) -> Option<String> {
        let needs = scenario.needs();
        if needs.any() && self.place == Place::Host {
            return Some(
                "it changes the network that it runs in, so it needs one of its own; leave --host away"
                    .to_owned(),
            );
        }
        let mut unmet = self.unmet.iter();
        if let Some(unmet) = unmet.find(|unmet| unmet.concerns(scenario, family)) {
            return Some(unmet.reason());
        }
        let mut missing = scenario.sysctls.iter();
        let missing = missing.find_map(|(name, value)| sysctl::missing(name, value));
        let lack = |needed: bool, why: Option<&String>| why.filter(|_| needed).cloned();
        missing
            .or_else(|| lack(needs.firewall, self.firewall.as_ref().err()))
            .or_else(|| lack(needs.routes, self.routes.as_ref().err()))
            .or_else(|| lack(needs.forgery, self.forgery.as_ref().err()))
            .or_else(|| lack(needs.destruction, self.no_destruction.as_ref()))
    }

    /// What sends packets that are made by hand.
    pub(crate) fn forgery(&self) -> Option<&Forgery> {
        self.forgery.as_ref().ok()
    }

    /// The address of this family that trials use, or why there is none.
    pub fn address(&self, family: Family) -> Result<IpAddr, &str> {
        match (family, &self.ipv6) {
            (Family::Ipv4, _) => Ok(self.ipv4.into()),
            (Family::Ipv6, Ok(address)) => Ok((*address).into()),
            (Family::Ipv6, Err(why)) => Err(why),
        }
    }

    /// All of them, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let ipv6 = self.ipv6.as_ref().ok().copied().map(IpAddr::from);
        std::iter::once(self.ipv4.into()).chain(ipv6).collect()
    }
}

/// Why there is nothing of what no trial needs.
const NOT_ASKED_FOR: &str = "it was not asked for when the namespace was set up";

/// Brings `lo` up and gives it a random unique local address (RFC 4193), or says why it has none. Then adds routes that
/// refuse, if they are needed, or says why it cannot.
async fn set_up_loopback(
    needs_routes: bool,
) -> Result<(Result<Ipv6Addr, String>, Result<(), String>), Error> {
    // An IPv6 address becomes usable some time after the kernel has accepted it, so listen for the news.
    let (connection, handle, mut news) = netlink::open(&[MulticastGroup::Ipv6Route])
        .map_err(|error| Error::io("open a netlink socket", &error))?;
    let pump = tokio::spawn(connection);
    let up = LinkUnspec::new_with_index(LOOPBACK.1).up().build();
    let brought_up = answer(handle.link().set(up).execute()).await;
    let ipv6 = match random_unique_local_address() {
        Ok(address) => add_to_loopback(&handle, address, &mut news).await,
        Err(error) => Err(error.to_string()),
    };
    let mut routes = Err(NOT_ASKED_FOR.to_owned());
    if needs_routes {
        let added = answer(routes::add(&handle, ipv6.is_ok())).await;
        routes = added.map_err(|error| format!("no routes can be added: {error}"));
    }
    pump.abort();
    brought_up.map_err(|error| Error::lab(format!("bring {} up", LOOPBACK.0), &error))?;
    Ok((ipv6, routes))
}

async fn add_to_loopback(
    handle: &Handle,
    address: Ipv6Addr,
    news: &mut News,
) -> Result<Ipv6Addr, String> {
    let added = handle.address().add(LOOPBACK.1, address.into(), 128);
    answer(added.execute())
        .await
        .map_err(|error| format!("this kernel gives lo no IPv6 address: {error}"))?;
    // A process that was stopped meanwhile looks once more: an address that is not usable yet cannot be bound to.
    let is_there = || std::net::UdpSocket::bind((address, 0)).is_ok();
    if are_made_usable(&[address], news).await || is_there() {
        Ok(address)
    } else {
        Err("the kernel did not make its IPv6 address usable".to_owned())
    }
}

/// The largest packet on this namespace's `lo`; `None` if it cannot be asked for.
async fn mtu_of_loopback() -> Option<u32> {
    let (connection, handle, _news) = netlink::open(&[]).ok()?;
    let pump = tokio::spawn(connection);
    let mut links = handle
        .link()
        .get()
        .match_name(LOOPBACK.0.to_owned())
        .execute();
    let link = answer(links.try_next()).await;
    pump.abort();
    let attributes = link.ok().flatten()?.attributes;
    attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(mtu),
            _ => None,
        })
}

/// Waits until the kernel reports that new addresses can be used, some time after it has accepted them, or until [`NEWS_BOUND`].
/// Whether it reported all of them.
async fn are_made_usable(addresses: &[Ipv6Addr], news: &mut News) -> bool {
    let usable = async {
        let mut left = addresses.to_vec();
        while !left.is_empty() {
            let Some((message, _)) = news.next().await else {
                return false;
            };
            left.retain(|address| !makes_local(&message, *address));
        }
        true
    };
    timeout(NEWS_BOUND, usable).await.unwrap_or(false)
}

/// Whether this is the route by which packets for `address` are delivered on this host.
fn makes_local(message: &NetlinkMessage<RouteNetlinkMessage>, address: Ipv6Addr) -> bool {
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = &message.payload
    else {
        return false;
    };
    let destination = RouteAttribute::Destination(RouteAddress::Inet6(address));
    route.header.kind == RouteType::Local && route.attributes.contains(&destination)
}

/// Some address of 127/8 that hardly anybody else uses: events of two runs can be told apart by it.
fn random_loopback_address() -> Result<Ipv4Addr, Error> {
    let [a, b, c, _] = random()?;
    // Not 127.0.x.y, where people's own services live, and no host part of 0 or 255.
    Ok(Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 254)))
}

fn random_unique_local_address() -> Result<Ipv6Addr, Error> {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..5].copy_from_slice(&random()?);
    octets[5] = random()?[0];
    octets[15] = 1;
    Ok(octets.into())
}

fn random() -> Result<[u8; 4], Error> {
    getrandom::u32()
        .map(u32::to_ne_bytes)
        .map_err(|error| Error::lab("draw a random address", &error))
}
