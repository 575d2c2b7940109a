//! Settings that make no difference to any scenario, each with the reason.
//!
//! A test compares both tables with the settings of the running kernel, so that a new setting is not overlooked.

/// TCP settings that no scenario relies on, each with the reason.
pub(super) const IRRELEVANT: &[(&str, &str)] = &[
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
