//! Kernel settings that scenarios rely on, in addition to those that they set themselves.
//!
//! A new network namespace has the kernel's default for most settings, but inherits some from the initial namespace:
//! buffer sizes (`tcp_sk_init()` in `net/ipv4/tcp_ipv4.c`) and those of IPv4 interfaces (`devinet_init_net()` in
//! `net/ipv4/devinet.c`). An administrator may have changed these. In a private namespace they are set to the values
//! that scenarios rely on; if one cannot be written, the scenarios that rely on it are skipped. The host's own
//! loopback is used unchanged (`--host`), so the whole table is checked there and nothing is written.
//!
//! A setting whose value is as good as the default is never written.

use std::io;
use std::ops::RangeInclusive;

use super::sysctl::{self, Obstacle};
use crate::sources::host::tcp_of_sockstat;
use rstproof_core::scenario::{Awaited, Family, Network, Op, Scenario, Step, Target};

/// Kernel setting, its acceptable values, and the scenarios that rely on it.
#[derive(Debug)]
pub struct Setting {
    /// Name as in `sysctl`.
    pub name: &'static str,
    /// Values that give the results that scenarios expect: a range for each word of the setting.
    pub good: &'static [RangeInclusive<i64>],
    /// Default of the kernel, written if the value is not a good one.
    pub usual: &'static str,
    /// Effect of the setting, and the kernel function that reads it.
    pub why: &'static str,
    /// True if a new network namespace inherits the value of the initial one instead of the kernel's default.
    pub inherited: bool,
    /// Address family that the setting applies to; `None` for both.
    pub family: Option<Family>,
    /// Returns true for scenarios that rely on the setting.
    pub relied_on_by: fn(&Scenario) -> bool,
}

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
static LOOPBACK_MTU: Setting = Setting {
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

/// Setting whose value is not a good one, and is not changed.
#[derive(Clone, Debug)]
pub struct Unmet {
    setting: &'static Setting,
    /// Value in this namespace.
    value: String,
    /// Reason why the value was not changed.
    cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// The setting belongs to the host, whose settings are never changed.
    OfTheHost,
    /// The kernel refused to change the value, for this reason.
    Unwritable(String),
}

impl Unmet {
    /// Returns true if this scenario relies on the setting over this family.
    pub(crate) fn concerns(&self, scenario: &Scenario, family: Family) -> bool {
        self.setting.family.is_none_or(|of| of == family) && (self.setting.relied_on_by)(scenario)
    }

    /// Returns the reason why a trial is skipped, with the fix.
    pub(crate) fn reason(&self) -> String {
        let Self { setting, value, .. } = self;
        let (name, usual) = (setting.name, setting.usual);
        let command = if name == LOOPBACK_MTU.name {
            format!("`sudo ip link set lo mtu {usual}`")
        } else if usual.contains(' ') {
            format!("`sudo sysctl '{name}={usual}'`")
        } else {
            format!("`sudo sysctl {name}={usual}`")
        };
        match &self.cause {
            Cause::OfTheHost => {
                format!(
                    "it relies on the kernel's usual {name}, which is {value} here; set it with {command}, or leave --host away"
                )
            }
            Cause::Unwritable(why) => {
                format!(
                    "it relies on the kernel's usual {name}, which is {value} here, inherited from the host, and {why}; set it on the host with {command}"
                )
            }
        }
    }
}

impl Setting {
    /// Returns true if this value is as good as the kernel's default.
    fn is_met_by(&self, value: &str) -> bool {
        let mut words = value.split_whitespace();
        self.good.iter().all(|range| {
            let word = words.next().and_then(|word| word.parse().ok());
            word.is_some_and(|number| range.contains(&number))
        })
    }

    /// Returns the value in this namespace if it is not a good one. A setting that cannot be read, or that this
    /// kernel does not have, is assumed to have its default.
    fn unmet_value(&self, read: impl Fn(&str) -> io::Result<String>) -> Option<String> {
        let value = read(self.name).ok()?;
        (!self.is_met_by(&value)).then_some(value)
    }
}

/// Restores, in the namespace of this thread, the kernel's default of inherited settings that differ, for those that
/// `relying` selects. Returns those that could not be changed.
pub(crate) fn restore(relying: impl Fn(&Setting) -> bool) -> Vec<Unmet> {
    let inherited = RELIED_ON.iter().filter(|it| it.inherited && relying(it));
    inherited
        .filter_map(|setting| {
            let value = setting.unmet_value(sysctl::read)?;
            let error = sysctl::write(setting.name, setting.usual).err()?;
            let why = match Obstacle::here() {
                Some(obstacle) => format!("{} in here", obstacle.found()),
                None => format!("it cannot be set here: {}", crate::error::reason(&error)),
            };
            Some(Unmet {
                setting,
                value,
                cause: Cause::Unwritable(why),
            })
        })
        .collect()
}

/// Returns the settings of this thread's namespace that scenarios cannot rely on; `mtu` is that of its `lo`, if
/// known. Changes nothing.
pub(crate) fn unmet_here(mtu: Option<u32>) -> Vec<Unmet> {
    let read = |name: &str| match mtu {
        Some(mtu) if name == LOOPBACK_MTU.name => Ok(mtu.to_string()),
        _ => sysctl::read(name),
    };
    let unmet = |setting: &'static Setting| {
        let value = setting.unmet_value(read)?;
        Some(Unmet {
            setting,
            value,
            cause: Cause::OfTheHost,
        })
    };
    let all = RELIED_ON.iter().chain(std::iter::once(&LOOPBACK_MTU));
    let mut unmet: Vec<Unmet> = all.filter_map(unmet).collect();
    unmet.extend(no_room_for_time_wait());
    unmet
}

/// Returns the limit of connections in TIME-WAIT if other connections leave too little of it: those that exist count,
/// too.
fn no_room_for_time_wait() -> Option<Unmet> {
    const NAME: &str = "net.ipv4.tcp_max_tw_buckets";
    let setting = RELIED_ON.iter().find(|it| it.name == NAME)?;
    let limit: i64 = sysctl::read(NAME).ok()?.parse().ok()?;
    let sockstat = std::fs::read_to_string("/proc/thread-self/net/sockstat").ok()?;
    let in_use = i64::try_from(tcp_of_sockstat(&sockstat, "tw")?).ok()?;
    let is_full = setting.is_met_by(&limit.to_string())
        && !setting.is_met_by(&limit.saturating_sub(in_use).to_string());
    is_full.then(|| Unmet {
        setting,
        value: format!("{limit} with {in_use} in use"),
        cause: Cause::OfTheHost,
    })
}

/// Returns true if the setting applies to sockets, not to the network between hosts.
pub(crate) fn is_of_sockets(setting: &Setting) -> bool {
    setting.name.starts_with("net.ipv4.tcp_")
}

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use rstproof_core::scenario::ALL;

    /// Names below `/proc/sys/net/ipv4` that begin with `tcp_`, in the initial namespace of Linux 6.18.44.
    const NAMES: &str = include_str!("settings-linux-6.18.txt");

    fn is_known(name: &str) -> bool {
        let relied_on = RELIED_ON.iter();
        let mut relied_on = relied_on.filter_map(|it| it.name.strip_prefix("net.ipv4."));
        relied_on.any(|it| it == name) || IRRELEVANT.iter().any(|(it, _)| *it == name)
    }

    #[test]
    fn each_setting_of_tcp_is_relied_on_or_irrelevant_for_a_reason() {
        let unknown: Vec<_> = NAMES.lines().filter(|name| !is_known(name)).collect();
        assert_eq!(unknown, [""; 0]);
        let irrelevant: BTreeSet<_> = IRRELEVANT.iter().map(|(name, _)| *name).collect();
        assert_eq!(irrelevant.len(), IRRELEVANT.len(), "one is there twice");
        for (name, why) in IRRELEVANT {
            assert!(!why.is_empty(), "{name}");
            let relied_on = RELIED_ON.iter().any(|it| it.name.ends_with(name));
            assert!(!relied_on, "{name} is relied on as well");
        }
    }

    /// Settings that only a newer kernel has are worth a look, but no failure.
    #[test]
    fn this_kernel_may_have_settings_that_nobody_has_looked_at() {
        let here = fs::read_dir("/proc/sys/net/ipv4").into_iter().flatten();
        for entry in here.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("tcp_") && !is_known(&name) {
                eprintln!(
                    "note: this kernel has a setting that src/lab/settings.rs does not know: {name}"
                );
            }
        }
    }

    #[test]
    fn each_setting_has_somebody_who_relies_on_it_and_a_usual_value_that_will_do() {
        for setting in RELIED_ON.iter().chain([&LOOPBACK_MTU]) {
            let name = setting.name;
            assert!(setting.is_met_by(setting.usual), "{name}");
            let mut forms = ALL.iter().flat_map(|it| it.forms());
            assert!(forms.any(setting.relied_on_by), "{name}");
        }
    }

    fn setting(name: &str) -> &'static Setting {
        RELIED_ON.iter().find(|it| it.name == name).unwrap()
    }

    /// Values that `tcp_init()` computes from little and much memory, values that tuning guides advise, and values
    /// that break scenarios: a buffer that 60,000 bytes do not fit into, or that 8,000,000 do.
    #[test]
    fn buffers_of_usual_sizes_will_do_and_extreme_ones_will_not() {
        let [read, written] = ["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"].map(setting);
        for good in [
            "4096\t131072\t131072",
            "4096 131072 6291456",
            "4096 87380 134217728",
            "4096 4096 4096",
        ] {
            assert!(read.is_met_by(good), "{good}");
        }
        for good in [
            "4096 16384 1048576",
            "4096\t65536\t134217728",
            "4096 1048576 134217728",
        ] {
            assert!(written.is_met_by(good), "{good}");
        }
        assert!(!read.is_met_by("4096 16777216 33554432"));
        assert!(!written.is_met_by("4096 16777216 33554432"));
        assert!(!written.is_met_by("4096 4096 4096"));
        for nonsense in ["", "4096", "a b c"] {
            assert!(!written.is_met_by(nonsense), "{nonsense}");
        }
    }

    /// Scenarios that differ only in the settings that they rely on.
    #[test]
    fn only_those_that_rely_on_it_are_concerned() {
        let concerned = |name: &str| -> Vec<&str> {
            let relying = ALL.iter().filter(|it| (setting(name).relied_on_by)(it));
            relying.map(|it| it.id).collect()
        };
        assert!(concerned("net.ipv4.tcp_wmem").contains(&"linger-zero-unsent"));
        assert!(!concerned("net.ipv4.tcp_wmem").contains(&"close-unread-data"));
        assert!(concerned("net.ipv4.tcp_migrate_req").contains(&"reuseport-close"));
        assert!(concerned("net.ipv4.tcp_max_tw_buckets").contains(&"write-after-peer-close"));
        assert!(concerned("net.ipv4.conf.all.arp_ignore").contains(&"peer-rebooted"));
    }

    #[test]
    fn connections_in_time_wait_are_counted() {
        let text =
            "sockets: used 113\nTCP: inuse 5 orphan 0 tw 3 alloc 6 mem 1\nUDP: inuse 1 mem 0\n";
        assert_eq!(tcp_of_sockstat(text, "tw"), Some(3));
        assert_eq!(tcp_of_sockstat("UDP: inuse 1\n", "tw"), None);
    }

    #[test]
    fn a_reason_names_the_setting_its_value_and_the_command() {
        let unmet = |cause| Unmet {
            setting: setting("net.ipv4.tcp_wmem"),
            value: "4096 4096 4096".to_owned(),
            cause,
        };
        for cause in [
            Cause::OfTheHost,
            Cause::Unwritable("/proc/sys is read-only".to_owned()),
        ] {
            let reason = unmet(cause).reason();
            assert!(
                reason.contains("net.ipv4.tcp_wmem, which is 4096 4096 4096"),
                "{reason}"
            );
            assert!(
                reason.contains("`sudo sysctl 'net.ipv4.tcp_wmem=4096 16384 4194304'`"),
                "{reason}"
            );
        }
    }
}
