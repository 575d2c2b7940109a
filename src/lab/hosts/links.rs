//! Links between hosts: veth pairs, their addresses and the routes through them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, MulticastGroup, RouteMessageBuilder};

use super::addresses::EndAddresses;
use super::host::LabHost;
use crate::error::Error;
use crate::lab::are_made_usable;
use crate::lab::interface::{self, Behaviour};

/// Returns the link with this name in the namespace of the handle.
async fn link(handle: &Handle, name: &str) -> Result<LinkMessage, rtnetlink::Error> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    let found = links.try_next().await?;
    found.ok_or(rtnetlink::Error::RequestFailed)
}

/// Joins two hosts with a veth pair. Returns false if this kernel has no veth.
pub(super) fn join(
    one: &LabHost,
    name: &'static str,
    other: &LabHost,
    other_name: &'static str,
) -> Result<bool, Error> {
    let is_joined = one.netlink("create a veth pair", move |handle| async move {
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
pub(super) fn give(from: &LabHost, name: &'static str, to: &LabHost) -> Result<(), Error> {
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
pub(super) fn set_up(
    host: &LabHost,
    name: &'static str,
    addresses: EndAddresses,
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

/// Sends datagrams from one socket to the other and back until they arrive; fails after `MAX_ATTEMPTS` attempts.
pub(super) fn exchange(one: &UdpSocket, other: &UdpSocket) -> io::Result<()> {
    /// Time to wait before sending again: a host may drop datagrams while it resolves the neighbour's address.
    const RESEND_INTERVAL: Duration = Duration::from_millis(100);
    /// Maximum number of attempts: by then three neighbour solicitations are unanswered. A bound on failure.
    const MAX_ATTEMPTS: usize = 20;
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    for (from, to) in [(one, other), (other, one)] {
        to.set_read_timeout(Some(RESEND_INTERVAL))?;
        let mut result = Ok(0);
        for _ in 0..MAX_ATTEMPTS {
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
pub(super) fn unset(
    host: &LabHost,
    name: &'static str,
    addresses: EndAddresses,
) -> Result<(), Error> {
    host.netlink("remove addresses", move |handle| async move {
        let index = link(&handle, name).await?.header.index;
        let mut found = handle
            .address()
            .get()
            .set_link_index_filter(index)
            .execute();
        let mut gone = Vec::new();
        while let Some(message) = found.try_next().await? {
            let is_listed = |(address, _): &(IpAddr, u8)| {
                let wanted = AddressAttribute::Address(*address);
                message.attributes.contains(&wanted)
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
pub(super) fn turn(host: &LabHost, name: &'static str, up: bool) -> Result<(), Error> {
    host.netlink("turn a link", move |handle| async move {
        let index = link(&handle, name).await?.header.index;
        let link = LinkUnspec::new_with_index(index);
        let link = if up { link.up() } else { link.down() };
        handle.link().set(link.build()).execute().await
    })
}

/// Adds default routes by way of this gateway.
pub(super) fn route_by(
    host: &LabHost,
    name: &'static str,
    gateway: EndAddresses,
) -> Result<(), Error> {
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
pub(super) fn forget_neighbours(host: &LabHost, name: &'static str) -> Result<(), Error> {
    host.netlink("remove neighbours", move |handle| async move {
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
