//! Tables of kernel settings: those that scenarios rely on, and those that make no difference to any scenario.

use std::ops::RangeInclusive;

use super::Setting;
use rstproof_core::scenario::{Awaited, Family, Network, Op, Scenario, Step, Target};

/// Range of all values.
const ANY: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// All settings that scenarios rely on.
pub static RELIED_ON: &[Setting] = &[
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
        why: "arp_ignore(): whether a host answers who asks for its address",
        inherited: true,
        family: Some(Family::Ipv4),
        relied_on_by: is_between_hosts,
    },
    Setting {
        name: "net.ipv4.conf.all.ignore_routes_with_linkdown",
        good: &[0..=0],
        usual: "0",
        why: "fib_lookup_good_nhc(): whether a route survives that the link goes down",
        inherited: true,
        family: Some(Family::Ipv4),
        relied_on_by: Scenario::loses_link,
    },
    Setting {
        name: "net.ipv6.conf.default.ignore_routes_with_linkdown",
        good: &[0..=0],
        usual: "0",
        why: "fib6_ignore_linkdown(): the same over IPv6 (inherited with net.core.devconf_inherit_init_net=1)",
        inherited: true,
        family: Some(Family::Ipv6),
        relied_on_by: Scenario::loses_link,
    },
    Setting {
        name: "net.ipv4.tcp_syncookies",
        good: &[0..=1],
        usual: "1",
        why: "tcp_conn_request(): 2 answers every SYN with a cookie, which keeps neither a request nor the real segment size",
        inherited: false,
        family: None,
        relied_on_by: |scenario| writes_much(scenario) || defers_accepting(scenario),
    },
    Setting {
        name: "net.ipv4.tcp_abort_on_overflow",
        good: &[0..=0],
        usual: "0",
        why: "tcp_check_req(): 1 resets what does not fit into the accept queue",
        inherited: false,
        family: None,
        relied_on_by: fills_queue,
    },
    Setting {
        name: "net.ipv4.tcp_migrate_req",
        good: &[0..=0],
        usual: "0",
        why: "inet_csk_listen_stop(): 1 hands a closed listener's queue to another one of its port",
        inherited: false,
        family: None,
        relied_on_by: shares_port,
    },
    Setting {
        name: "net.ipv4.tcp_max_tw_buckets",
        // Connections that are in TIME-WAIT on the host already count as well: `no_room_for_time_wait()`.
        good: &[64..=i64::MAX],
        usual: "262144",
        why: "inet_twsk_alloc(): beyond that many, nothing is kept of a connection that was closed",
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
        why: "tcp_rto_min(), tcp_fin_time(): how soon something is sent again, and how long FIN-WAIT-2 lasts at least",
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
        why: "__tcp_stream_memory_free(): a socket is not writable while more than that is unsent",
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

/// TCP settings that no scenario relies on, each with the reason.
pub const IRRELEVANT: &[(&str, &str)] = &[
    (
        "tcp_adv_win_scale",
        "how large a window is offered; no scenario expects a size, and what must not be read at once is larger than all",
    ),
    ("tcp_allowed_congestion_control", "a list of what there is"),
    (
        "tcp_app_win",
        "how large a window is offered; no scenario expects a size, and what must not be read at once is larger than all",
    ),
    (
        "tcp_autocorking",
        "how much goes into a segment and when it leaves; the judge counts bytes, not segments",
    ),
    (
        "tcp_available_congestion_control",
        "a list of what there is",
    ),
    ("tcp_available_ulp", "a list of what there is"),
    (
        "tcp_backlog_ack_defer",
        "when an ACK is sent; scripts wait for the segments that they need",
    ),
    (
        "tcp_base_mss",
        "the size of segments on paths with a smaller MTU; all links of a trial have one MTU",
    ),
    (
        "tcp_challenge_ack_limit",
        "a namespace of its own starts without a limit since Linux 6.2; scenarios that want a challenge ACK make segments by hand, and run in one only",
    ),
    (
        "tcp_child_ehash_entries",
        "how sockets are looked up and packets are marked; one namespace, no VRF, no marks",
    ),
    (
        "tcp_comp_sack_delay_ns",
        "when an ACK is sent; scripts wait for the segments that they need",
    ),
    (
        "tcp_comp_sack_nr",
        "when an ACK is sent; scripts wait for the segments that they need",
    ),
    (
        "tcp_comp_sack_slack_ns",
        "when an ACK is sent; scripts wait for the segments that they need",
    ),
    (
        "tcp_congestion_control",
        "how fast it sends, once more than ten segments are to be sent; all of them let a socket buffer at most three times that (sndbuf_expand)",
    ),
    (
        "tcp_dsack",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_early_demux",
        "how sockets are looked up and packets are marked; one namespace, no VRF, no marks",
    ),
    (
        "tcp_early_retrans",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_ecn",
        "bits of a SYN and of the IP header that no verdict looks at",
    ),
    (
        "tcp_ecn_fallback",
        "bits of a SYN and of the IP header that no verdict looks at",
    ),
    (
        "tcp_ecn_option",
        "bits of a SYN and of the IP header that no verdict looks at",
    ),
    (
        "tcp_ecn_option_beacon",
        "bits of a SYN and of the IP header that no verdict looks at",
    ),
    (
        "tcp_ehash_entries",
        "how sockets are looked up and packets are marked; one namespace, no VRF, no marks",
    ),
    (
        "tcp_fack",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_fastopen",
        "scenarios that depend on it set it themselves",
    ),
    (
        "tcp_fastopen_blackhole_timeout_sec",
        "a namespace of its own starts without a black hole and without a key",
    ),
    (
        "tcp_fastopen_key",
        "a namespace of its own starts without a black hole and without a key",
    ),
    (
        "tcp_fin_timeout",
        "how long FIN-WAIT-2 lasts without a socket; scenarios that wait for its end set TCP_LINGER2",
    ),
    (
        "tcp_frto",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_fwmark_accept",
        "how sockets are looked up and packets are marked; one namespace, no VRF, no marks",
    ),
    (
        "tcp_invalid_ratelimit",
        "how often an ACK answers out-of-window segments; scripts make one at a time, and in a namespace of its own",
    ),
    (
        "tcp_keepalive_intvl",
        "scenarios with keepalive set TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT",
    ),
    (
        "tcp_keepalive_probes",
        "scenarios with keepalive set TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT",
    ),
    (
        "tcp_keepalive_time",
        "scenarios with keepalive set TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT",
    ),
    (
        "tcp_l3mdev_accept",
        "how sockets are looked up and packets are marked; one namespace, no VRF, no marks",
    ),
    (
        "tcp_limit_output_bytes",
        "how much goes into a segment and when it leaves; the judge counts bytes, not segments",
    ),
    (
        "tcp_low_latency",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_max_orphans",
        "limits of the whole host: whether they were met is a matter of evidence, not of this table",
    ),
    (
        "tcp_max_reordering",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_max_syn_backlog",
        "without cookies a quarter of it is kept for known peers; there are never as many requests",
    ),
    (
        "tcp_mem",
        "limits of the whole host: whether they were met is a matter of evidence, not of this table",
    ),
    (
        "tcp_min_rtt_wlen",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_min_snd_mss",
        "the size of segments on paths with a smaller MTU; all links of a trial have one MTU",
    ),
    (
        "tcp_min_tso_segs",
        "how much goes into a segment and when it leaves; the judge counts bytes, not segments",
    ),
    (
        "tcp_moderate_rcvbuf",
        "how large a window is offered; no scenario expects a size, and what must not be read at once is larger than all",
    ),
    (
        "tcp_mtu_probe_floor",
        "the size of segments on paths with a smaller MTU; all links of a trial have one MTU",
    ),
    (
        "tcp_mtu_probing",
        "the size of segments on paths with a smaller MTU; all links of a trial have one MTU",
    ),
    (
        "tcp_no_metrics_save",
        "what is remembered of a destination; a namespace of its own starts with nothing",
    ),
    (
        "tcp_no_ssthresh_metrics_save",
        "what is remembered of a destination; a namespace of its own starts with nothing",
    ),
    (
        "tcp_orphan_retries",
        "how often the last data of a closed socket is sent again; trials end before",
    ),
    (
        "tcp_pacing_ca_ratio",
        "how much goes into a segment and when it leaves; the judge counts bytes, not segments",
    ),
    (
        "tcp_pacing_ss_ratio",
        "how much goes into a segment and when it leaves; the judge counts bytes, not segments",
    ),
    (
        "tcp_pingpong_thresh",
        "when an ACK is sent; scripts wait for the segments that they need",
    ),
    ("tcp_plb_cong_thresh", "flow labels of congested paths"),
    ("tcp_plb_enabled", "flow labels of congested paths"),
    (
        "tcp_plb_idle_rehash_rounds",
        "flow labels of congested paths",
    ),
    ("tcp_plb_rehash_rounds", "flow labels of congested paths"),
    ("tcp_plb_suspend_rto_sec", "flow labels of congested paths"),
    (
        "tcp_probe_interval",
        "the size of segments on paths with a smaller MTU; all links of a trial have one MTU",
    ),
    (
        "tcp_probe_threshold",
        "the size of segments on paths with a smaller MTU; all links of a trial have one MTU",
    ),
    (
        "tcp_recovery",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_reflect_tos",
        "how sockets are looked up and packets are marked; one namespace, no VRF, no marks",
    ),
    (
        "tcp_reordering",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_retrans_collapse",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_retries1",
        "after how many retransmissions the route is looked up again; there is no other route",
    ),
    (
        "tcp_retries2",
        "scenarios that depend on it set it themselves",
    ),
    (
        "tcp_rfc1337",
        "scenarios that depend on it set it themselves",
    ),
    (
        "tcp_rto_max_ms",
        "when something is sent again; scripts wait for it, and set TCP_USER_TIMEOUT or TCP_SYNCNT where its end matters",
    ),
    (
        "tcp_sack",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_shrink_window",
        "how large a window is offered; no scenario expects a size, and what must not be read at once is larger than all",
    ),
    (
        "tcp_slow_start_after_idle",
        "how much goes into a segment and when it leaves; the judge counts bytes, not segments",
    ),
    (
        "tcp_stdurg",
        "where an urgent pointer points; sender and receiver read it in the same way",
    ),
    (
        "tcp_syn_linear_timeouts",
        "when something is sent again; scripts wait for it, and set TCP_USER_TIMEOUT or TCP_SYNCNT where its end matters",
    ),
    (
        "tcp_syn_retries",
        "how often a SYN or a SYN+ACK is sent again; scenarios that wait for the end of it set TCP_SYNCNT",
    ),
    (
        "tcp_synack_retries",
        "how often a SYN or a SYN+ACK is sent again; scenarios that wait for the end of it set TCP_SYNCNT",
    ),
    (
        "tcp_thin_linear_timeouts",
        "recovery of data that was lost and is acknowledged later; nothing is lost but what never arrives",
    ),
    (
        "tcp_timestamps",
        "an option of all segments; the judge follows what was negotiated",
    ),
    (
        "tcp_tso_rtt_log",
        "how much goes into a segment and when it leaves; the judge counts bytes, not segments",
    ),
    (
        "tcp_tso_win_divisor",
        "how much goes into a segment and when it leaves; the judge counts bytes, not segments",
    ),
    (
        "tcp_tw_reuse",
        "whether connect takes a port in TIME-WAIT; clients bind theirs",
    ),
    (
        "tcp_tw_reuse_delay",
        "whether connect takes a port in TIME-WAIT; clients bind theirs",
    ),
    (
        "tcp_window_scaling",
        "how large a window is offered; no scenario expects a size, and what must not be read at once is larger than all",
    ),
    (
        "tcp_workaround_signed_windows",
        "how large a window is offered; no scenario expects a size, and what must not be read at once is larger than all",
    ),
];

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
