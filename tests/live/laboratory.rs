//! What the scenarios of the lab must lead to, written out by hand from what was measured on Linux 6.18: those with ICMP, a
//! firewall, forged segments, timers, and hosts that are not this one.

use serde_json::Value;

/// A scenario, in the words of the tables that it was measured for.
pub(crate) struct Experiment {
    pub(crate) scenario: &'static str,
    /// The families that it is run over: `46`, `4` or `6`.
    families: &'static str,
    /// Errors in the order in which calls told of them, `>` the client's, `<` the server's.
    told: &'static str,
    /// RSTs in the order in which they came, `>` in the client's name, `<` in the server's: the kernel's reason, or `firewall`,
    /// or `forged`. With `~` it has no effect where it is sent to.
    resets: &'static str,
}

impl Experiment {
    pub(crate) fn families(&self) -> impl Iterator<Item = &'static str> {
        let is_one = |(digit, _): &(char, &str)| self.families.contains(*digit);
        let families = [('4', "ipv4"), ('6', "ipv6")].into_iter();
        families.filter(is_one).map(|(_, family)| family)
    }

    /// It went as measured.
    #[track_caller]
    pub(crate) fn assert_is(&self, trial: &Value) {
        assert_eq!(trial["verdict"], "confirmed", "{trial}");
        let calls = trial["calls"].as_array().unwrap().iter();
        let told: Vec<String> = calls
            .filter_map(|call| {
                let arrow = if call["role"] == "client" { '>' } else { '<' };
                let result = &call["result"];
                let error = result["errno"].as_str().or(result["so_error"].as_str())?;
                Some(format!("{arrow}{error}"))
            })
            .collect();
        assert_eq!(told.join(" "), self.told, "{}", self.scenario);

        let is_traced = !trial["trace_coverage"].is_null();
        let resets = trial["resets"].as_array().unwrap().iter();
        let seen: Vec<String> = resets
            .map(|reset| {
                let arrow = if reset["from"] == "client" { '>' } else { '<' };
                let sender = match reset["sender"].as_str().unwrap() {
                    "injected" => "forged",
                    "firewall" => "firewall",
                    _ => reset["kernel_reason"].as_str().unwrap_or("?"),
                };
                let effect = if reset["acceptable"] == true { "" } else { "~" };
                format!("{arrow}{sender}{effect}")
            })
            .collect();
        let expected: Vec<String> = self
            .resets
            .split_whitespace()
            .map(|reset| {
                if is_traced {
                    return reset.to_owned();
                }
                // Without the kernel's trace nobody says who sent it.
                let effect = if reset.ends_with('~') { "~" } else { "" };
                format!("{}?{effect}", &reset[..1])
            })
            .collect();
        assert_eq!(seen, expected, "{}", self.scenario);
    }
}

const fn it(
    scenario: &'static str,
    families: &'static str,
    told: &'static str,
    resets: &'static str,
) -> Experiment {
    Experiment {
        scenario,
        families,
        told,
        resets,
    }
}

/// How many trials these are, each repeated once.
pub(crate) const fn trials(experiments: &[Experiment]) -> usize {
    let mut count = 0;
    let mut nth = 0;
    while nth < experiments.len() {
        count += experiments[nth].families.len();
        nth += 1;
    }
    count
}

/// Those that no timer holds up.
#[rustfmt::skip]
pub(crate) const EXPERIMENTS: &[Experiment] = &[
    // Set-up, listeners, aborts.
    it("connect-sock-destroy", "46", ">ECONNABORTED >ENOTCONN", ""),
    it("fast-open-connect-refused", "46", ">ENOTCONN >ECONNREFUSED", "<NO_SOCKET"),
    it("reuseport-migrate", "46", "", ""),
    it("accept-queue-abort-on-overflow", "46", ">ECONNRESET >EPIPE", "<INVALID_SYN"),
    it("sock-destroy", "46", "<ECONNABORTED <EPIPE >ECONNRESET >EPIPE", "<TCP_STATE"),
    it("fast-open-close-unread", "46", ">ECONNRESET >EPIPE", "<TCP_ABORT_ON_CLOSE"),
    // Routes of this host, and ICMP: the errno of each code in SYN-SENT, and a soft error afterwards.
    it("connect-route-missing", "46", ">ENETUNREACH >ENOTCONN", ""),
    it("connect-route-unreachable", "46", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-route-prohibit", "46", ">EACCES >ENOTCONN", ""),
    it("connect-route-blackhole", "46", ">EINVAL >ENOTCONN", ""),
    it("connect-icmp-net-unreachable", "46", ">ENETUNREACH >ENOTCONN", ""),
    it("connect-icmp-host-unreachable", "46", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-icmp-protocol-unreachable", "4", ">ENOPROTOOPT >ENOTCONN", ""),
    it("connect-icmp-port-unreachable", "46", ">ECONNREFUSED >ENOTCONN", ""),
    it("connect-icmp-source-route-failed", "4", ">EOPNOTSUPP >ENOTCONN", ""),
    it("connect-icmp-net-unknown", "4", ">ENETUNREACH >ENOTCONN", ""),
    it("connect-icmp-host-unknown", "4", ">EHOSTDOWN >ENOTCONN", ""),
    it("connect-icmp-source-isolated", "4", ">ENONET >ENOTCONN", ""),
    it("connect-icmp-net-prohibited", "4", ">ENETUNREACH >ENOTCONN", ""),
    it("connect-icmp-host-prohibited", "4", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-icmp-net-service", "4", ">ENETUNREACH >ENOTCONN", ""),
    it("connect-icmp-host-service", "4", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-icmp-admin-prohibited", "4", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-icmp-precedence-violation", "4", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-icmp-precedence-cutoff", "4", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-icmp-ttl-exceeded", "46", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-icmp-parameter-problem", "46", ">EPROTO >ENOTCONN", ""),
    it("connect-icmpv6-prohibited", "6", ">EACCES >ENOTCONN", ""),
    it("connect-icmpv6-beyond-scope", "6", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-icmpv6-source-policy", "6", ">EACCES >ENOTCONN", ""),
    it("connect-icmpv6-reject-route", "6", ">EACCES >ENOTCONN", ""),
    it("connect-icmp-ignored", "46", ">EINPROGRESS >EALREADY", ""),
    it("connect-icmp-bad-sequence", "46", ">EINPROGRESS >EALREADY", ""),
    it("icmp-established", "46", ">ECONNREFUSED", ""),
    it("icmp-established-recverr", "46", ">ECONNREFUSED", ""),
    // Firewalls, and who has sent it when captured at both ends.
    it("connect-firewall-reset", "46", ">ECONNREFUSED >ENOTCONN >EPIPE", "<firewall"),
    it("firewall-reset-input", "46", ">ECONNRESET >EPIPE", "<firewall"),
    it("firewall-reset-forward", "46", ">ECONNRESET >EPIPE <ECONNRESET <EPIPE", "<firewall >NO_SOCKET"),
    it("reset-lost", "46", ">ECONNRESET >EPIPE", "<TCP_STATE~ <TCP_FLAGS"),
    it("reset-never-left", "46", "", ""),
    it("reset-ahead-of-lost-data", "46", ">ECONNRESET >EPIPE", "<TCP_STATE~ <TCP_FLAGS"),
    it("third-party-reset", "46", ">ECONNRESET >EPIPE <ECONNRESET <EPIPE", "<forged >NO_SOCKET"),
    // An end that is gone.
    it("half-open-peer-vanished", "46", ">ECONNRESET >EPIPE", "<NO_SOCKET"),
    it("half-open-server-restarted", "46", ">ECONNRESET >EPIPE", "<TCP_FLAGS"),
    it("half-open-reconnect", "46", "<ECONNRESET <EPIPE", ">NO_SOCKET"),
    it("peer-rebooted", "46", ">ECONNRESET >EPIPE", "<NO_SOCKET"),
    // RFC 5961 and RFC 7323, in ESTABLISHED and after.
    it("blind-rst-old", "46", "", "<forged~"),
    it("blind-rst-outside", "46", "", "<forged~"),
    it("blind-rst-in-window", "46", "", "<forged~"),
    it("blind-rst-exact", "46", ">ECONNRESET <ECONNRESET <EPIPE", "<forged >NO_SOCKET"),
    it("blind-rst-sack-edge", "46", ">ECONNRESET >EPIPE", "<forged"),
    it("blind-rst-after-fin", "46", ">EPIPE >EPIPE", "<forged"),
    it("blind-syn", "46", "", ""),
    it("blind-ack-unsent", "46", "", ""),
    it("blind-ack-too-old", "46", "", ""),
    it("paws-old-data", "46", "", ""),
    it("paws-old-rst", "46", ">ECONNRESET >EPIPE", "<forged"),
    it("time-wait-rst", "46", "", "<forged >NO_SOCKET~"),
    it("time-wait-rst-rfc1337", "46", "", "<forged~ <TCP_FLAGS~"),
    it("time-wait-rst-inexact", "46", "", "<forged~ <TCP_FLAGS"),
    it("fin-wait-2-syn", "46", "", "<TCP_TIMEWAIT_SOCKET~"),
    // The handshake.
    it("syn-sent-bad-ack", "46", ">EINPROGRESS", ">TCP_INVALID_ACK_SEQUENCE~"),
    it("syn-sent-bad-timestamp", "46", ">EINPROGRESS", ">TCP_RFC7323_PAWS~"),
    it("syn-sent-blind-rst", "46", ">EINPROGRESS >ECONNREFUSED", "<forged~ <forged~ <forged"),
    it("syn-sent-close", "46", ">EINPROGRESS", ">NO_SOCKET~"),
    it("connect-established-then-reset", "46", ">EINPROGRESS >ECONNRESET >EPIPE", "<forged"),
    it("simultaneous-open-rst", "46", ">EINPROGRESS >ECONNRESET >EPIPE", "<forged"),
    it("syn-received-bad-ack", "46", "", "<TCP_FLAGS~"),
    it("syn-received-second-syn", "46", "", "<INVALID_SYN~ <TCP_FLAGS~"),
    it("syn-received-rst", "46", "", ">forged <TCP_FLAGS~"),
    it("syn-received-rst-inexact", "46", "", ">forged~"),
    it("syn-cookie-bad-ack", "46", "", "<TCP_FLAGS~"),
    // RFC 2525, 2.17: nothing is lost, so it is FIN (5f9238530970).
    it("close-repeated-data", "46", "", ""),
    it("fast-open-bad-ack", "46", "", "<TCP_ACK_UNSENT_DATA~"),
    it("fast-open-old-ack", "46", "", "<TCP_TOO_OLD_ACK~"),
    it("fast-open-rst", "46", "<ECONNRESET <EPIPE", ">forged"),
    it("fast-open-second-syn", "46", "", "<INVALID_SYN~"),
    it("fast-open-close-unread-early", "46", "", "<TCP_ABORT_ON_CLOSE~"),
    it("mptcp-join-bad-token", "46", "", "<MPTCP_RST_EMPTCP~"),
    // Segments of no connection.
    it("stray-ack-listener", "46", "", "<TCP_FLAGS~"),
    it("stray-syn-ack-listener", "46", "", "<TCP_FLAGS~"),
    it("stray-fin-ack-listener", "46", "", "<TCP_FLAGS~"),
    it("stray-ack-closed-port", "46", "", "<NO_SOCKET~"),
    it("stray-syn-ack-closed-port", "46", "", "<NO_SOCKET~"),
    it("stray-data-closed-port", "46", "", "<NO_SOCKET~"),
    it("stray-fin-closed-port", "46", "", "<NO_SOCKET~"),
    it("stray-null-closed-port", "46", "", "<NO_SOCKET~"),
    it("stray-silent-listener", "46", "", ">forged~ >forged~ <TCP_FLAGS~"),
    it("stray-rst-closed-port", "46", "", ">forged~ >forged~ <NO_SOCKET~"),
];

/// Those that have to wait.
#[rustfmt::skip]
pub(crate) const SLOW_EXPERIMENTS: &[Experiment] = &[
    it("connect-md5-missing", "46", ">ETIMEDOUT", ""),
    it("connect-blackholed", "46", ">ETIMEDOUT >ENOTCONN", ""),
    it("connect-user-timeout", "46", ">ETIMEDOUT >ENOTCONN", ""),
    it("connect-icmp-reject", "46", ">ECONNREFUSED >ECONNREFUSED >ENOTCONN", ""),
    it("connect-no-neighbour", "46", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-router-unreachable", "46", ">EHOSTUNREACH >ENOTCONN", ""),
    it("connect-firewall-drop", "46", ">ETIMEDOUT", ""),
    it("connect-firewall-output-drop", "46", ">ETIMEDOUT", ""),
    it("keepalive-half-open", "46", ">ECONNRESET >EPIPE", "<NO_SOCKET"),
    it("keepalive-timeout", "46", ">ETIMEDOUT >EPIPE", ">TCP_KEEPALIVE_TIMEOUT~"),
    it("keepalive-icmp", "46", ">ETIMEDOUT >EPIPE", ">TCP_KEEPALIVE_TIMEOUT~"),
    it("retransmission-timeout", "46", ">ETIMEDOUT >EPIPE", ""),
    it("user-timeout", "46", ">ETIMEDOUT >EPIPE", ""),
    it("icmp-then-timeout", "46", ">EHOSTUNREACH >EPIPE", ""),
    it("linger-timeout-close", "46", "", ""),
    it("established-neighbour-gone", "46", ">EHOSTUNREACH >EPIPE", ""),
    it("established-link-down", "46", ">ETIMEDOUT >EPIPE", ""),
    it("established-address-gone", "4", ">ETIMEDOUT >EPIPE", ""),
    it("established-address-gone-ipv6", "6", ">ENETUNREACH >EPIPE", ""),
];

/// These are the trials of these experiments, over all families of each, and each went as measured.
#[track_caller]
pub(crate) fn assert_were(experiments: &[Experiment], seen: &[&Value]) {
    assert_eq!(seen.len(), trials(experiments));
    for experiment in experiments {
        for family in experiment.families() {
            let is_it = |trial: &&&Value| {
                trial["scenario"] == experiment.scenario && trial["family"] == family
            };
            let Some(trial) = seen.iter().find(is_it) else {
                panic!("no trial of {} over {family}", experiment.scenario);
            };
            experiment.assert_is(trial);
        }
    }
}
