//! Settings that make no difference to any scenario, each with the reason.
//!
//! A test compares both tables with the settings of the running kernel, so that a new setting is not overlooked.

/// TCP settings that no scenario relies on, each with the reason.
pub(super) const IRRELEVANT: &[(&str, &str)] = &[
    (
        "tcp_adv_win_scale",
        "size of the offered window; no scenario expects a size, and data that must exceed it is larger than any",
    ),
    ("tcp_allowed_congestion_control", "read-only list"),
    (
        "tcp_app_win",
        "size of the offered window; no scenario expects a size, and data that must exceed it is larger than any",
    ),
    (
        "tcp_autocorking",
        "size and time of segments; the judge counts bytes, not segments",
    ),
    ("tcp_available_congestion_control", "read-only list"),
    ("tcp_available_ulp", "read-only list"),
    (
        "tcp_backlog_ack_defer",
        "when ACKs are sent; scripts wait for the segments that they need",
    ),
    (
        "tcp_base_mss",
        "the size of segments on paths with a smaller MTU; all links of a trial have one MTU",
    ),
    (
        "tcp_challenge_ack_limit",
        "a new namespace has no limit since Linux 6.2; scenarios with a challenge ACK forge segments, and run in new namespaces only",
    ),
    (
        "tcp_child_ehash_entries",
        "socket lookup and packet marks; trials use no VRF and no marks",
    ),
    (
        "tcp_comp_sack_delay_ns",
        "when ACKs are sent; scripts wait for the segments that they need",
    ),
    (
        "tcp_comp_sack_nr",
        "when ACKs are sent; scripts wait for the segments that they need",
    ),
    (
        "tcp_comp_sack_slack_ns",
        "when ACKs are sent; scripts wait for the segments that they need",
    ),
    (
        "tcp_congestion_control",
        "sending rate beyond ten segments; all algorithms let a socket buffer at most three times that (sndbuf_expand)",
    ),
    (
        "tcp_dsack",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_early_demux",
        "socket lookup and packet marks; trials use no VRF and no marks",
    ),
    (
        "tcp_early_retrans",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_ecn",
        "bits of a SYN and of the IP header that no verdict depends on",
    ),
    (
        "tcp_ecn_fallback",
        "bits of a SYN and of the IP header that no verdict depends on",
    ),
    (
        "tcp_ecn_option",
        "bits of a SYN and of the IP header that no verdict depends on",
    ),
    (
        "tcp_ecn_option_beacon",
        "bits of a SYN and of the IP header that no verdict depends on",
    ),
    (
        "tcp_ehash_entries",
        "socket lookup and packet marks; trials use no VRF and no marks",
    ),
    (
        "tcp_fack",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_fastopen",
        "scenarios that depend on it set it themselves",
    ),
    (
        "tcp_fastopen_blackhole_timeout_sec",
        "a new namespace has no black hole and no key",
    ),
    (
        "tcp_fastopen_key",
        "a new namespace has no black hole and no key",
    ),
    (
        "tcp_fin_timeout",
        "duration of FIN-WAIT-2 without a socket; scenarios that wait for its end set TCP_LINGER2",
    ),
    (
        "tcp_frto",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_fwmark_accept",
        "socket lookup and packet marks; trials use no VRF and no marks",
    ),
    (
        "tcp_invalid_ratelimit",
        "rate of ACKs for out-of-window segments; scripts send one at a time, in a new namespace",
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
        "socket lookup and packet marks; trials use no VRF and no marks",
    ),
    (
        "tcp_limit_output_bytes",
        "size and time of segments; the judge counts bytes, not segments",
    ),
    (
        "tcp_low_latency",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_max_orphans",
        "limits of the whole host; evidence shows whether they were reached",
    ),
    (
        "tcp_max_reordering",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_max_syn_backlog",
        "without cookies a quarter of it is reserved for known peers; trials never have as many requests",
    ),
    (
        "tcp_mem",
        "limits of the whole host; evidence shows whether they were reached",
    ),
    (
        "tcp_min_rtt_wlen",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_min_snd_mss",
        "the size of segments on paths with a smaller MTU; all links of a trial have one MTU",
    ),
    (
        "tcp_min_tso_segs",
        "size and time of segments; the judge counts bytes, not segments",
    ),
    (
        "tcp_moderate_rcvbuf",
        "size of the offered window; no scenario expects a size, and data that must exceed it is larger than any",
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
        "data cached per destination; a new namespace has none",
    ),
    (
        "tcp_no_ssthresh_metrics_save",
        "data cached per destination; a new namespace has none",
    ),
    (
        "tcp_orphan_retries",
        "retransmissions after a socket is closed; trials end before",
    ),
    (
        "tcp_pacing_ca_ratio",
        "size and time of segments; the judge counts bytes, not segments",
    ),
    (
        "tcp_pacing_ss_ratio",
        "size and time of segments; the judge counts bytes, not segments",
    ),
    (
        "tcp_pingpong_thresh",
        "when ACKs are sent; scripts wait for the segments that they need",
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
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_reflect_tos",
        "socket lookup and packet marks; trials use no VRF and no marks",
    ),
    (
        "tcp_reordering",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_retrans_collapse",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_retries1",
        "retransmissions until the route is looked up again; there is no other route",
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
        "times of retransmissions; scripts wait for them, and set TCP_USER_TIMEOUT or TCP_SYNCNT where the end matters",
    ),
    (
        "tcp_sack",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_shrink_window",
        "size of the offered window; no scenario expects a size, and data that must exceed it is larger than any",
    ),
    (
        "tcp_slow_start_after_idle",
        "size and time of segments; the judge counts bytes, not segments",
    ),
    (
        "tcp_stdurg",
        "meaning of the urgent pointer; sender and receiver have the same one",
    ),
    (
        "tcp_syn_linear_timeouts",
        "times of retransmissions; scripts wait for them, and set TCP_USER_TIMEOUT or TCP_SYNCNT where the end matters",
    ),
    (
        "tcp_syn_retries",
        "number of SYN or SYN-ACK retransmissions; scenarios that wait for the last one set TCP_SYNCNT",
    ),
    (
        "tcp_synack_retries",
        "number of SYN or SYN-ACK retransmissions; scenarios that wait for the last one set TCP_SYNCNT",
    ),
    (
        "tcp_thin_linear_timeouts",
        "recovery of lost data; in trials, data either arrives or never does",
    ),
    (
        "tcp_timestamps",
        "an option of all segments; the judge follows what was negotiated",
    ),
    (
        "tcp_tso_rtt_log",
        "size and time of segments; the judge counts bytes, not segments",
    ),
    (
        "tcp_tso_win_divisor",
        "size and time of segments; the judge counts bytes, not segments",
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
        "size of the offered window; no scenario expects a size, and data that must exceed it is larger than any",
    ),
    (
        "tcp_workaround_signed_windows",
        "size of the offered window; no scenario expects a size, and data that must exceed it is larger than any",
    ),
];
