//! Table of kernel settings that scenarios rely on.

use std::ops::RangeInclusive;

use super::Setting;
use rstproof_core::scenario::{Awaited, Family, Network, Op, Scenario, Step, Target};

/// Range of all values.
const ANY: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// All settings that scenarios rely on.
pub(crate) static RELIED_ON: &[Setting] = &[
    Setting {
        name: "net.ipv4.tcp_rmem",
        // The second value is the buffer of a socket that is never read: a script that writes until it blocks must
        // overflow it.
        good: &[ANY, 4096..=2_097_152, ANY],
        usual: "4096 131072 6291456",
        why: "tcp_init_sock(): the receive buffer that a socket starts with",
        inherited: true,
        family: None,
        relied_on_by: writes_much,
    },
    Setting {
        name: "net.ipv4.tcp_wmem",
        // The third value bounds how far tcp_sndbuf_expand() grows the buffer: 60,000 unsent bytes must fit. The
        // buffer has at least the second value.
        good: &[ANY, 4096..=4_194_304, 262_144..=i64::MAX],
        usual: "4096 16384 4194304",
        why: "tcp_init_sock(), tcp_sndbuf_expand(): the send buffer that a socket starts with, and how far it grows",
        inherited: true,
        family: None,
        relied_on_by: writes_much,
    },
    Setting {
        name: "net.ipv4.conf.all.arp_ignore",
        // From 3 on, the kernel does not answer for addresses of some scopes; those of trials have scope `global`.
        good: &[0..=3],
        usual: "0",
        why: "arp_ignore(): whether a host answers requests for its address",
        inherited: true,
        family: Some(Family::Ipv4),
        relied_on_by: is_between_hosts,
    },
    Setting {
        name: "net.ipv4.conf.all.ignore_routes_with_linkdown",
        good: &[0..=0],
        usual: "0",
        why: "fib_lookup_good_nhc(): whether a route survives when its link goes down",
        inherited: true,
        family: Some(Family::Ipv4),
        relied_on_by: Scenario::loses_link,
    },
    Setting {
        name: "net.ipv6.conf.default.ignore_routes_with_linkdown",
        good: &[0..=0],
        usual: "0",
        why: "fib6_ignore_linkdown(): whether an IPv6 route survives (inherited with net.core.devconf_inherit_init_net=1)",
        inherited: true,
        family: Some(Family::Ipv6),
        relied_on_by: Scenario::loses_link,
    },
    Setting {
        name: "net.ipv4.tcp_syncookies",
        good: &[0..=1],
        usual: "1",
        why: "tcp_conn_request(): 2 answers every SYN with a cookie, which keeps no request and no exact segment size",
        inherited: false,
        family: None,
        relied_on_by: |scenario| writes_much(scenario) || defers_accepting(scenario),
    },
    Setting {
        name: "net.ipv4.tcp_abort_on_overflow",
        good: &[0..=0],
        usual: "0",
        why: "tcp_check_req(): 1 resets connections that do not fit into the accept queue",
        inherited: false,
        family: None,
        relied_on_by: fills_queue,
    },
    Setting {
        name: "net.ipv4.tcp_migrate_req",
        good: &[0..=0],
        usual: "0",
        why: "inet_csk_listen_stop(): 1 hands the queue of a closed listener to another one on its port",
        inherited: false,
        family: None,
        relied_on_by: shares_port,
    },
    Setting {
        name: "net.ipv4.tcp_max_tw_buckets",
        // Connections that are in TIME-WAIT on the host already count as well: `no_room_for_time_wait()`.
        good: &[64..=i64::MAX],
        usual: "262144",
        why: "inet_twsk_alloc(): closed connections beyond this number leave no state",
        // Half the size of the new namespace's connection table (`tcp_set_hashinfo()`), which the parent may keep
        // very small.
        inherited: true,
        family: None,
        relied_on_by: closes_in_order,
    },
    Setting {
        name: "net.ipv4.tcp_rto_min_us",
        good: &[1..=200_000],
        usual: "200000",
        why: "tcp_rto_min(), tcp_fin_time(): the minimum interval of retransmissions, and of FIN-WAIT-2",
        inherited: false,
        family: None,
        relied_on_by: waits_for_timer,
    },
    Setting {
        name: "net.core.somaxconn",
        good: &[16..=i64::MAX],
        usual: "4096",
        why: "__sys_listen(): the longest queue that a listener may ask for",
        inherited: false,
        family: None,
        relied_on_by: fills_queue,
    },
    Setting {
        name: "net.ipv4.tcp_notsent_lowat",
        // A disconnected socket counts its old window as unsent, twice when polled: tcp_disconnect() advances the
        // number of the next byte by `max_window`.
        good: &[1_048_576..=i64::MAX],
        usual: "4294967295",
        why: "__tcp_stream_memory_free(): a socket with more unsent data is not writable",
        inherited: false,
        family: None,
        relied_on_by: |scenario| {
            writes_much(scenario) || calls(scenario, |op| op == Op::Disconnect)
        },
    },
];

/// MTU of the host's own loopback: no `sysctl`, but relied on like one. A private namespace has the MTU from
/// `loopback_setup()`.
pub(super) static LOOPBACK_MTU: Setting = Setting {
    name: "MTU of lo",
    good: &[16_384..=i64::MAX],
    usual: "65536",
    why: "tcp_sndbuf_expand(): a send buffer holds ten segments of the largest size",
    inherited: false,
    family: None,
    relied_on_by: writes_much,
};

fn calls(scenario: &Scenario, is_it: impl Fn(Op) -> bool) -> bool {
    scenario.calls().any(|(_, op, _)| is_it(op))
}

/// Returns true if the scenario writes more than one segment at once, so that the result depends on buffer sizes.
fn writes_much(scenario: &Scenario) -> bool {
    calls(scenario, |op| matches!(op, Op::Write(len) if len > 1024))
}

fn waits_for_timer(scenario: &Scenario) -> bool {
    let mut steps = scenario.steps.iter();
    steps.any(|step| {
        matches!(
            step,
            Step::Await(Awaited::Gone(_) | Awaited::AgainFrom(_) | Awaited::Dead(_))
        )
    })
}

fn is_between_hosts(scenario: &Scenario) -> bool {
    scenario.network != Network::Loopback
}

fn defers_accepting(scenario: &Scenario) -> bool {
    matches!(scenario.target, Target::OwnListener(it) if it.defer_accept.is_some())
}

fn shares_port(scenario: &Scenario) -> bool {
    matches!(scenario.target, Target::OwnListener(it) if it.shares_port)
}

/// Returns true if the scenario overflows a queue of connections.
fn fills_queue(scenario: &Scenario) -> bool {
    let mut steps = scenario.steps.iter();
    steps.any(|step| matches!(step, Step::Others(_)))
}

/// Returns true if the kernel has to keep state of a connection that an end closed in order.
fn closes_in_order(scenario: &Scenario) -> bool {
    let mut steps = scenario.steps.iter();
    steps.any(|step| {
        matches!(
            step,
            Step::Await(Awaited::FinFrom(_) | Awaited::FinAckedBy(_) | Awaited::Gone(_))
        )
    })
}
