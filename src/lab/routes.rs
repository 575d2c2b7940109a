//! Unreachable addresses, with the routes that refuse or discard packets to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_route::route::RouteType;
use rtnetlink::{Handle, RouteMessageBuilder};

use rstproof_core::scenario::{Family, Route};

/// Returns the address that this route leads to: one reserved for documentation (RFC 5737, RFC 3849), so no real host
/// has it.
#[must_use]
pub(crate) fn destination(route: Route, family: Family) -> IpAddr {
    let nth = Route::ALL.iter().position(|it| *it == route).unwrap_or(0);
    let nth = u8::try_from(nth).unwrap_or(0) + 1;
    match family {
        Family::Ipv4 => Ipv4Addr::new(198, 51, 100, nth).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, nth.into()).into(),
    }
}

/// Adds all routes to the namespace of this handle; those over IPv6 only if `ipv6` is true.
pub(super) async fn add(handle: &Handle, ipv6: bool) -> Result<(), rtnetlink::Error> {
    for route in Route::ALL {
        let kind = match route {
            Route::Missing => continue,
            Route::Unreachable => RouteType::Unreachable,
            Route::Prohibit => RouteType::Prohibit,
            Route::Blackhole => RouteType::BlackHole,
        };
        for family in [Family::Ipv4, Family::Ipv6] {
            let message = match destination(route, family) {
                IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new()
                    .destination_prefix(ip, 32)
                    .kind(kind)
                    .build(),
                IpAddr::V6(_) if !ipv6 => continue,
                IpAddr::V6(ip) => RouteMessageBuilder::<Ipv6Addr>::new()
                    .destination_prefix(ip, 128)
                    .kind(kind)
                    .build(),
            };
            handle.route().add(message).execute().await?;
        }
    }
    Ok(())
}
