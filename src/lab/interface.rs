//! Behaviour of an interface between hosts, independent of the settings of the host's own interfaces.
//!
//! A new namespace takes its interface settings from the initial one (`devinet_init_net()` in `net/ipv4/devinet.c`,
//! `neigh_parms_alloc()` in `net/core/neighbour.c`). Settings of a single interface can be changed over rtnetlink,
//! which does not need a writable `/proc/sys`. Only settings that differ are changed.

use futures_util::StreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, LinkAttribute, LinkMessage,
};
use rtnetlink::packet_route::neighbour_table::{
    NeighbourTableAttribute, NeighbourTableMessage, NeighbourTableParameter,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use rstproof_core::scenario::Family;

/// Interval between two neighbour solicitations, in milliseconds, for trials that wait until the last of them fails.
const SHORT_RETRANS_TIME_MS: u64 = 200;

/// Default interval of the kernel, in milliseconds (`RETRANS_TIME` in `arp_tbl` and `nd_tbl`).
const DEFAULT_RETRANS_TIME_MS: u64 = 1000;

/// Required behaviour of an interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behaviour {
    /// True if packets received on the interface for other hosts are forwarded.
    pub(super) forwards: bool,
    /// True if an address that does not answer is given up within a second.
    pub(super) gives_up_soon: bool,
}

/// Configures this interface to behave as required.
pub(super) async fn set(
    handle: &Handle,
    link: &LinkMessage,
    behaviour: Behaviour,
) -> Result<(), rtnetlink::Error> {
    if let Some(specification) = specification(link, behaviour) {
        let mut message = LinkMessage::default();
        message.header.index = link.header.index;
        message.attributes = vec![LinkAttribute::AfSpecUnspec(specification)];
        handle.link().set(message).execute().await?;
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let set = RouteNetlinkMessage::SetNeighbourTable(questions(link, family, behaviour));
        let done = acknowledged(handle, set).await;
        // A kernel without IPv6 has no such table.
        if family == Family::Ipv4 {
            done?;
        }
    }
    Ok(())
}

/// Numbers of `IPV4_DEVCONF_FORWARDING`, `IPV4_DEVCONF_ARP_IGNORE` and `IPV4_DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN`
/// (`linux/ip.h`).
const FORWARDING: u16 = 1;
const ARP_IGNORE: u16 = 19;
const IGNORE_LINKDOWN: u16 = 29;

/// Returns the changes to the interface's `IFLA_AF_SPEC`; `None` if it is right already.
fn specification(link: &LinkMessage, behaviour: Behaviour) -> Option<Vec<AfSpecUnspec>> {
    let seen = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::AfSpecUnspec(all) => Some(all.as_slice()),
            _ => None,
        });
    let mut wanted = Vec::new();
    for specification in seen.unwrap_or_default() {
        match specification {
            AfSpecUnspec::Inet(parts) => wanted.extend(parts.iter().find_map(|part| match part {
                AfSpecInet::DevConf(seen) => ipv4(seen, behaviour),
                _ => None,
            })),
            AfSpecUnspec::Inet6(parts) => wanted.extend(ipv6(parts)),
            _ => {}
        }
    }
    (!wanted.is_empty()).then_some(wanted)
}

fn ipv4(seen: &InetDevConf, behaviour: Behaviour) -> Option<AfSpecUnspec> {
    /// Attribute type `IFLA_INET_CONF` (`linux/if_link.h`) with the flag for nested attributes (`linux/netlink.h`).
    const CONFIGURATION: u16 = 1 | 1 << 15;
    // Only differences are sent: a kernel that refuses a change has nothing to refuse if there is none.
    let mut changes = Vec::new();
    if behaviour.forwards && seen.forwarding != 1 {
        changes.push((FORWARDING, 1_u32));
    }
    // From 3 on, the kernel does not answer for addresses of some scopes (`arp_ignore()`).
    if seen.arp_ignore > 2 {
        changes.push((ARP_IGNORE, 0));
    }
    // With it, a route whose link is down is ignored (`fib_lookup_good_nhc()`), and the error is that of a missing
    // route.
    if seen.ignore_routes_with_linkdown != 0 {
        changes.push((IGNORE_LINKDOWN, 0));
    }
    if changes.is_empty() {
        return None;
    }
    let bytes = changes.into_iter().flat_map(attribute).collect();
    let all = AfSpecInet::Other(DefaultNla::new(CONFIGURATION, bytes));
    Some(AfSpecUnspec::Inet(vec![all]))
}

/// Encodes a netlink attribute of eight bytes: its length, type and value. The rtnetlink crate would omit values of 0.
fn attribute((kind, value): (u16, u32)) -> Vec<u8> {
    let mut bytes = 8_u16.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value.to_ne_bytes());
    bytes
}

/// Returns the change that stops the kernel from generating link-local addresses; `None` if it generates none. `set_up`
/// adds these addresses instead: they then exist whatever `addr_gen_mode` is inherited, and skip duplicate address
/// detection, which takes a second.
fn ipv6(seen: &[AfSpecInet6]) -> Option<AfSpecUnspec> {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    (!seen.contains(&mode)).then(|| AfSpecUnspec::Inet6(vec![mode]))
}

/// Builds the neighbour discovery parameters of this link. `/proc/sys/net/ipv4/neigh` has the same settings, but is
/// not writable everywhere.
fn questions(link: &LinkMessage, family: Family, behaviour: Behaviour) -> NeighbourTableMessage {
    let mut message = NeighbourTableMessage::default();
    let (of, name) = match family {
        Family::Ipv4 => (AddressFamily::Inet, "arp_cache"),
        Family::Ipv6 => (AddressFamily::Inet6, "ndisc_cache"),
    };
    message.header.family = of;
    let pace = if behaviour.gives_up_soon {
        SHORT_RETRANS_TIME_MS
    } else {
        DEFAULT_RETRANS_TIME_MS
    };
    message.attributes = vec![
        NeighbourTableAttribute::Name(name.to_owned()),
        NeighbourTableAttribute::Parms(vec![
            NeighbourTableParameter::Ifindex(link.header.index),
            NeighbourTableParameter::RetransTime(pace),
            // No user-space daemon is queried, and three probes are sent on the link: `arp_tbl`, `nd_tbl`.
            NeighbourTableParameter::AppProbes(0),
            NeighbourTableParameter::McastProbes(3),
            NeighbourTableParameter::UcastProbes(3),
        ]),
    ];
    message
}

async fn acknowledged(
    handle: &Handle,
    message: RouteNetlinkMessage,
) -> Result<(), rtnetlink::Error> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut answers = handle.clone().request(request)?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload {
            return Err(rtnetlink::Error::NetlinkError(error));
        }
    }
    Ok(())
}

/// State of the kernel's neighbour table of one family. One table serves all namespaces of the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct NeighbourTable {
    pub(super) family: Family,
    /// Maximum number of entries (`gc_thresh3`).
    pub(super) limit: u32,
    pub(super) entries: u32,
    /// Number of entries that could not be created because the table was full (`table_fulls`, in `neigh_alloc()`,
    /// `net/core/neighbour.c`).
    pub(super) overflows: u64,
}

impl NeighbourTable {
    /// Extracts the state from one message of a dump; `None` if that is about the parameters of a single interface.
    fn of(message: &NeighbourTableMessage) -> Option<Self> {
        let find = |pick: fn(&NeighbourTableAttribute) -> Option<u64>| {
            message.attributes.iter().find_map(pick)
        };
        let family = message.attributes.iter().find_map(|it| match it {
            NeighbourTableAttribute::Name(name) => match name.as_str() {
                "arp_cache" => Some(Family::Ipv4),
                "ndisc_cache" => Some(Family::Ipv6),
                _ => None,
            },
            _ => None,
        })?;
        let limit = find(|it| match it {
            NeighbourTableAttribute::Threshold3(limit) => Some((*limit).into()),
            _ => None,
        })?;
        let entries = find(|it| match it {
            NeighbourTableAttribute::Config(configuration) => Some(configuration.entries.into()),
            _ => None,
        })?;
        let overflows = find(|it| match it {
            NeighbourTableAttribute::Stats(counts) => Some(counts.table_fulls),
            _ => None,
        });
        Some(Self {
            family,
            limit: u32::try_from(limit).ok()?,
            entries: u32::try_from(entries).ok()?,
            overflows: overflows.unwrap_or(0),
        })
    }
}

/// Reads the neighbour tables.
pub(super) async fn neighbour_tables(
    handle: &Handle,
) -> Result<Vec<NeighbourTable>, rtnetlink::Error> {
    let asked = RouteNetlinkMessage::GetNeighbourTable(NeighbourTableMessage::default());
    let mut request = NetlinkMessage::from(asked);
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut answers = handle.clone().request(request)?;
    let mut tables = Vec::new();
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbourTable(table)) =
            answer.payload
        {
            tables.extend(NeighbourTable::of(&table));
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::Emitable as _;

    use super::*;

    fn link(ipv4: InetDevConf, mode: In6AddrGenMode) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.attributes = vec![LinkAttribute::AfSpecUnspec(vec![
            AfSpecUnspec::Inet(vec![AfSpecInet::DevConf(ipv4)]),
            AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(mode)]),
        ])];
        link
    }

    const END: Behaviour = Behaviour {
        forwards: false,
        gives_up_soon: true,
    };

    #[test]
    fn a_correct_setting_is_not_written() {
        let right = link(InetDevConf::default(), In6AddrGenMode::None);
        assert_eq!(specification(&right, END), None);
    }

    /// Each value, even 0, has to be an attribute of four bytes for `inet_set_link_af()`.
    #[test]
    fn only_settings_that_differ_are_written() {
        let mut seen = InetDevConf::default();
        seen.arp_ignore = 8;
        let router = Behaviour {
            forwards: true,
            ..END
        };
        let wanted = specification(&link(seen, In6AddrGenMode::None), router).unwrap();
        let [specification] = &wanted[..] else {
            panic!("{wanted:?}");
        };
        let mut bytes = vec![0; specification.buffer_len()];
        specification.emit(&mut bytes);
        let attribute = |kind: u16, value: u32| {
            let head = [8_u16.to_ne_bytes(), kind.to_ne_bytes()].concat();
            [head, value.to_ne_bytes().to_vec()].concat()
        };
        // After the headers of AF_INET and of IFLA_INET_CONF.
        let expected = [attribute(1, 1), attribute(19, 0)].concat();
        assert_eq!(bytes[8..], expected);
    }
}
