//! The environment that a trial runs in: a network namespace with its own loopback interface, or the host's network.
//!
//! A private namespace keeps host and evidence apart: no foreign packets are captured, no port is in use by another
//! program, and the kernel removes everything when the thread that created it ends. An ordinary user also needs a
//! *user* namespace, which can be entered only while the process has a single thread, so [`prepare`] is the first
//! step of a run. The *network* namespace belongs to a worker's thread ([`Lab::enter`]).

pub(crate) mod destroy;
pub(crate) mod firewall;
pub(crate) mod forgery;
pub(crate) mod hosts;
mod interface;
mod netlink;
pub mod ports;
pub(crate) mod routes;
pub(crate) mod settings;
pub(crate) mod sysctl;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
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
use crate::confinement;
use crate::error::{Error, program, reason};
use rstproof_core::scenario::{Family, Needs, Scenario};
use rstproof_core::transcript::PerEnd;

/// Network environment that trials run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A network namespace owned by the worker.
    Private,
    /// The network namespace that the tool was started in.
    Host,
}

/// Name of the loopback interface in every namespace, and its index in a new one.
const LOOPBACK: (&str, u32) = ("lo", 1);

/// Maximum time for the kernel to make an address usable. A bound on failure, not a pace.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes private namespaces possible for this process: enters a user namespace unless the process already has the
/// privileges. Must be called before any thread is started.
pub fn prepare(environment: Environment) -> Result<(), Error> {
    // Counters, namespaces, settings and children are all read from /proc.
    if Obstacle::here() == Some(Obstacle::NoProc) {
        return Err(Error::Privilege {
            missing: "/proc is not mounted, and trials need it".to_owned(),
            remedy: Obstacle::NoProc.fix().to_owned(),
        });
    }
    if environment == Environment::Host || makes_namespaces() {
        return Ok(());
    }
    enter_user_namespace(geteuid(), getegid())
}

/// Returns true if a network namespace can be created, configured and captured in without a user namespace. Requires
/// all three capabilities: a binary may have been given any subset, and one without the others is of no use.
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
    // Before: in a new user namespace every process has all capabilities, and no user is mapped.
    let refusal = Refusal::here();
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| refusal.error(errno))?;
    let write = |file: &'static str, text: String| {
        fs::write(file, text).map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => refusal.error(Errno::EPERM),
            _ => Error::file("write", file.as_ref(), &error),
        })
    };
    // An unprivileged process may write gid_map only after that (user_namespaces(7)).
    write("/proc/self/setgroups", "deny".to_owned())?;
    // Only this user is mapped, as root, so files that a run writes belong to the user who started it.
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Returns the error for a refused network namespace: the limit is reached, or the user namespace lacks the expected
/// privileges.
fn no_network_namespace(errno: Errno) -> Error {
    if errno == Errno::ENOSPC {
        return Error::Privilege {
            missing: "the limit on network namespaces is reached".to_owned(),
            remedy:
                "use fewer --jobs, omit --all, or allow more with `sudo sysctl user.max_net_namespaces=15000`"
                    .to_owned(),
        };
    }
    no_user_namespace(errno)
}

/// Returns the setting by which this host forbids user namespaces to ordinary users, with the value that allows them.
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

/// Returns the error for a refused user or network namespace.
fn no_user_namespace(errno: Errno) -> Error {
    Refusal::here().error(errno)
}

/// Reason why this process may not create namespaces, and what changes that.
struct Refusal {
    problem: &'static str,
    why: &'static str,
    remedy: String,
}

impl Refusal {
    /// Returns the reason that applies to this process as it is now.
    fn here() -> Self {
        // A user namespace without any mapping: sudo cannot work there either.
        if fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.trim().is_empty()) {
            return Self {
                problem: "this user namespace maps no user, so no trial can be set up",
                why: "",
                remedy: "create it with a mapping, as `unshare --user --map-root-user` does"
                    .to_owned(),
            };
        }
        let setting = forbidding_setting();
        let sysctl = setting.map_or_else(String::new, |setting| {
            format!("allow user namespaces with `sudo sysctl {setting}`, or ")
        });
        let host = if has(Capability::CAP_NET_RAW) {
            "use this host's loopback with --host, or "
        } else {
            ""
        };
        let start = confinement::remedy()
            .map_or_else(|| format!("run `sudo {} …`", program()), ToOwned::to_owned);
        let mut refusal = Self {
            problem: "not permitted to create a private network namespace",
            why: "",
            remedy: format!("{sysctl}{host}{start}"),
        };
        if setting.is_some() {
            // The setting is the reason.
        } else if confinement::is_filtered() {
            refusal.why = ", and a seccomp filter restricts this process";
        } else if geteuid().is_root() && !has(Capability::CAP_SETFCAP) {
            // Since Linux 5.12 (user_namespaces(7)).
            refusal.why = ": without CAP_SETFCAP root may not map itself into a user namespace";
            refusal.remedy.push_str(", or with `--cap-add SETFCAP`");
        }
        refusal
    }

    fn error(&self, errno: Errno) -> Error {
        Error::Privilege {
            missing: format!("{} ({errno:?}){}", self.problem, self.why),
            remedy: self.remedy.clone(),
        }
    }
}

/// Returns true if this thread has the capability in its user namespace.
pub(crate) fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Later steps that need a privilege of root, which [`drop_privileges`] then keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetainedPrivileges {
    /// True if files are saved, perhaps in a directory that belongs to another user.
    pub saves_files: bool,
    /// True if files are read, perhaps from a directory that belongs to another user.
    pub reads_files: bool,
    /// True if the saved files are given to another user.
    pub gives_files_away: bool,
    /// True if a tracefs instance has to be removed that may be accessible to root only.
    pub removes_trace: bool,
    /// True if trials change settings that only the administrator of the namespace may change.
    pub administers: bool,
    /// True if trials create their own networks.
    pub makes_networks: bool,
}

/// Drops the privileges of this thread, except for those in `privileges`. Open namespaces and captures stay open.
pub fn drop_privileges(privileges: RetainedPrivileges) -> Result<(), Error> {
    let failed = |error: caps::errors::CapsError| Error::lab("drop privileges", &error);
    let held = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: CapsHashSet = held
        .into_iter()
        .filter(|capability| match capability {
            Capability::CAP_DAC_OVERRIDE => privileges.saves_files || privileges.removes_trace,
            Capability::CAP_DAC_READ_SEARCH => privileges.reads_files,
            Capability::CAP_NET_ADMIN => privileges.administers || privileges.makes_networks,
            Capability::CAP_NET_RAW | Capability::CAP_SYS_ADMIN => privileges.makes_networks,
            Capability::CAP_CHOWN => privileges.saves_files && privileges.gives_files_away,
            _ => false,
        })
        .collect();
    // An executed program regains the inheritable capabilities that are also set on its file (capabilities(7)).
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    // Effective before permitted: the kernel rejects an effective set that exceeds the permitted one.
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)
}

/// Environment of this worker's trials: its addresses, and needed for trials there.
#[derive(Debug)]
pub struct Lab {
    ipv4: PerEnd<IpAddr>,
    /// IPv6 addresses, or the reason why there are none.
    ipv6: Result<PerEnd<IpAddr>, String>,
    /// Result of loading the firewall rules; the error is the reason why there are none.
    firewall: Result<(), String>,
    /// Result of adding the routes; the error is the reason why there are none.
    routes: Result<(), String>,
    /// Raw sockets, or the reason why there are none.
    forgery: Result<Forgery, String>,
    /// Reason why sockets cannot be destroyed; `None` if they can.
    no_destruction: Option<String>,
    /// Settings that differ from what scenarios rely on.
    unmet: Vec<Unmet>,
    environment: Environment,
}

impl Lab {
    /// Moves this thread into the environment and sets up what `needs` lists, for servers whose first port is `port`.
    /// Needs a tokio runtime with I/O.
    pub async fn enter(environment: Environment, needs: Needs, port: u16) -> Result<Self, Error> {
        let ipv4;
        let none = || NOT_ASKED_FOR.to_owned();
        let mut routes = Err(none());
        let unmet;
        let ipv6 = match environment {
            Environment::Host => {
                unmet = settings::unmet_here(mtu_of_loopback().await);
                // What is bound to 127/8 needs no change of the host; an address of IPv6 would have to be added to `lo`.
                ipv4 = same_address(random_loopback_address()?);
                Ok(same_address(Ipv6Addr::LOCALHOST))
            }
            Environment::Private => {
                unshare(CloneFlags::CLONE_NEWNET).map_err(no_network_namespace)?;
                // Before any socket is made: sockets copy some of the settings when they are created.
                unmet = settings::restore(settings::is_of_sockets);
                ipv4 = loopback_ends()?;
                let (ipv6, added) = set_up_loopback(needs.routes).await?;
                routes = added;
                ipv6
            }
        };
        let is_private = environment == Environment::Private;
        let firewall = if needs.firewall && is_private {
            firewall::load(port)?
        } else {
            Err(none())
        };
        let forgery = if needs.forgery && is_private {
            Forgery::open().map_err(|error| format!("cannot open raw sockets: {}", reason(&error)))
        } else {
            Err(none())
        };
        let no_destruction = if needs.destruction && is_private {
            destroy::missing(ipv4.server)
        } else {
            None
        };
        let ipv6 = ipv6.and_then(|ends| {
            for address in addresses(ends) {
                std::net::UdpSocket::bind((address, 0))
                    .map_err(|error| format!("{address} is not available: {}", reason(&error)))?;
            }
            Ok(ends)
        });
        Ok(Self {
            ipv4,
            ipv6,
            firewall,
            routes,
            forgery,
            no_destruction,
            unmet,
            environment,
        })
    }

    /// Returns the reason why trials of this scenario over this family cannot run here; `None` if they can.
    #[must_use]
    pub fn lacks(&self, scenario: &Scenario, family: Family) -> Option<String> {
        let needs = scenario.needs();
        if needs.any() && self.environment == Environment::Host {
            return Some(
                "it changes the network, so it needs a private namespace; omit --host".to_owned(),
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

    /// Returns the raw sockets that send forged packets; `None` if there are none.
    pub(crate) fn forgery(&self) -> Option<&Forgery> {
        self.forgery.as_ref().ok()
    }

    /// Returns the addresses of this family that trials use; fails with the reason why there are none.
    pub fn ends(&self, family: Family) -> Result<PerEnd<IpAddr>, &str> {
        match (family, &self.ipv6) {
            (Family::Ipv4, _) => Ok(self.ipv4),
            (Family::Ipv6, Ok(ends)) => Ok(*ends),
            (Family::Ipv6, Err(why)) => Err(why),
        }
    }

    /// Returns all addresses that trials use, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let all = std::iter::once(self.ipv4).chain(self.ipv6.as_ref().ok().copied());
        all.flat_map(addresses).collect()
    }
}

/// Reason given for a facility that no trial needs.
const NOT_ASKED_FOR: &str = "not requested when the namespace was set up";

/// Brings `lo` up, gives it two random unique local addresses (RFC 4193) and, if needed, adds the routes that refuse.
/// Returns the addresses and the outcome of adding routes, each with the reason if it failed.
async fn set_up_loopback(
    needs_routes: bool,
) -> Result<(Result<PerEnd<IpAddr>, String>, Result<(), String>), Error> {
    // An IPv6 address becomes usable some time after the kernel has accepted it, so listen for the news.
    let (connection, handle, mut news) = netlink::open(&[MulticastGroup::Ipv6Route])
        .map_err(|error| Error::io("open a netlink socket", &error))?;
    let pump = tokio::spawn(connection);
    let up = LinkUnspec::new_with_index(LOOPBACK.1).up().build();
    let brought_up = answer(handle.link().set(up).execute()).await;
    let ipv6 = match unique_local_addresses() {
        Ok(ends) => add_to_loopback(&handle, ends, &mut news).await,
        Err(error) => Err(error.to_string()),
    };
    let mut routes = Err(NOT_ASKED_FOR.to_owned());
    if needs_routes {
        let added = answer(routes::add(&handle, ipv6.is_ok())).await;
        routes = added.map_err(|error| format!("cannot add routes: {error}"));
    }
    pump.abort();
    brought_up.map_err(|error| Error::lab(format!("bring {} up", LOOPBACK.0), &error))?;
    Ok((ipv6, routes))
}

async fn add_to_loopback(
    handle: &Handle,
    [client, server]: [Ipv6Addr; 2],
    news: &mut News,
) -> Result<PerEnd<IpAddr>, String> {
    for address in [client, server] {
        let added = handle.address().add(LOOPBACK.1, address.into(), 128);
        answer(added.execute())
            .await
            .map_err(|error| format!("lo cannot have an IPv6 address: {error}"))?;
    }
    // A process that was stopped meanwhile checks once more: an address that is not usable yet cannot be bound to.
    let are_there = || {
        let mut both = [client, server].into_iter();
        both.all(|address| std::net::UdpSocket::bind((address, 0)).is_ok())
    };
    if are_made_usable(&[client, server], news).await || are_there() {
        Ok(PerEnd {
            client: client.into(),
            server: server.into(),
        })
    } else {
        Err("the kernel did not make its IPv6 addresses usable".to_owned())
    }
}

/// Returns the MTU of this namespace's `lo`, in bytes; `None` if it cannot be queried.
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

/// Waits until the kernel reports that all new addresses are usable, which is some time after it has accepted them,
/// or until [`ADDRESS_TIMEOUT`]. Returns true if it reported all of them.
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
    timeout(ADDRESS_TIMEOUT, usable).await.unwrap_or(false)
}

/// Returns true if the message announces the route that delivers packets for `address` on this host.
fn makes_local(message: &NetlinkMessage<RouteNetlinkMessage>, address: Ipv6Addr) -> bool {
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = &message.payload
    else {
        return false;
    };
    let destination = RouteAttribute::Destination(RouteAddress::Inet6(address));
    route.header.kind == RouteType::Local && route.attributes.contains(&destination)
}

/// Returns a random address of 127/8 that is unlikely to be in use, so that events of two runs can be distinguished.
fn random_loopback_address() -> Result<Ipv4Addr, Error> {
    let [a, b, c, _] = random()?;
    // Not 127.0.x.y, where local services usually listen, and no host part of 0 or 255.
    Ok(Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 254)))
}

/// Returns the ends of a connection within one address.
fn same_address(ip: impl Into<IpAddr>) -> PerEnd<IpAddr> {
    let ip = ip.into();
    PerEnd::of(|_| ip)
}

/// Returns the addresses of both ends, client first; one if they are the same.
fn addresses(ends: PerEnd<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let server = (ends.server != ends.client).then_some(ends.server);
    std::iter::once(ends.client).chain(server)
}

/// Returns 127.x.y.1 for the client and 127.x.y.2 for the server: Wireshark's flow graphs, endpoints and address
/// filters need two addresses. No two workers of this process have the same, and workers of two processes rarely have.
fn loopback_ends() -> Result<PerEnd<IpAddr>, Error> {
    /// Number of values of x and y. 127.0 is left out, where local services usually listen.
    const NETWORKS: u32 = 254 << 8;
    static FIRST: OnceLock<u32> = OnceLock::new();
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let random = random()?;
    let first = *FIRST.get_or_init(|| u32::from_ne_bytes(random));
    let nth = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % NETWORKS;
    let [_, _, x, y] = nth.to_be_bytes();
    let end = |host| Ipv4Addr::new(127, x + 1, y, host).into();
    Ok(PerEnd {
        client: end(1),
        server: end(2),
    })
}

/// Returns the addresses `::1` and `::2` of a random prefix, for the client and the server.
fn unique_local_addresses() -> Result<[Ipv6Addr; 2], Error> {
    let mut octets = [0; 16];
    // A locally assigned prefix, then 40 random bits of global ID (RFC 4193, 3.1).
    octets[0] = 0xfd;
    octets[1..5].copy_from_slice(&random()?);
    octets[5] = random()?[0];
    Ok([1, 2].map(|host| {
        octets[15] = host;
        octets.into()
    }))
}

fn random() -> Result<[u8; 4], Error> {
    getrandom::u32()
        .map(u32::to_ne_bytes)
        .map_err(|error| Error::lab("draw a random address", &error))
}
