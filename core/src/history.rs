//! Changes of Linux that affect trials, and the releases that contain them. They explain differences between kernels,
//! and restrict expectations to the kernels for which they hold.
//!
//! Fixes are backported: a kernel contains a change if it is of the mainline release or later, or of a stable series
//! from the release on that took the change over. The changes in a vendor's kernel can only be guessed from its
//! version ([`Kernel::is_exact`]).
//!
//! Sources: the commits, the change logs of stable releases, CVE records.

use std::fmt;

/// Release of Linux, such as `7.0.13`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(major, minor, 0) => write!(f, "{major}.{minor}"),
            Self(major, minor, patch) => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

impl Version {
    /// Parses the version at the beginning of a text; a missing part is 0.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|it: char| !it.is_ascii_digit() && it != '.')
            .unwrap_or(text.len());
        let mut parts = text[..end].split('.');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let major = next()?.parse().ok()?;
        let minor = next()?.parse().ok()?;
        let patch = next().map_or(Ok(0), str::parse).ok()?;
        Some(Self(major, minor, patch))
    }

    fn is_of_series(self, other: Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

/// Kernel, as `uname` describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Release of Linux that the kernel is built from; `None` if it is not Linux, or if the release is unknown.
    pub version: Option<Version>,
    /// Number of the release candidate, if the kernel is one.
    pub candidate: Option<u16>,
    /// True if the version determines the changes that the kernel contains. It does not in a vendor's kernel that
    /// remains 5.14.0 while fixes are backported, nor in a release candidate.
    pub is_exact: bool,
}

/// Returns the number that follows `mark` in the text.
fn number_after(text: &str, mark: &str) -> Option<u16> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

impl Kernel {
    /// Creates the kernel from `uname -s`, `-r` and `-v`.
    #[must_use]
    pub fn of(sysname: &str, release: &str, version: &str) -> Self {
        if sysname != "Linux" {
            return Self::default();
        }
        Self::of_debian(version).unwrap_or_else(|| Self::of_release(release))
    }

    /// Creates a kernel of Debian from `uname -v`; `None` for other kernels. Debian up to 6.1 has the number of its own
    /// interface in the release, and the kernel's in the version.
    fn of_debian(version: &str) -> Option<Self> {
        let (_, rest) = version.split_once(" Debian ")?;
        let candidate = number_after(rest, "~rc");
        Some(Self {
            version: Some(Version::parse(rest)?),
            candidate,
            is_exact: candidate.is_none(),
        })
    }

    fn of_release(release: &str) -> Self {
        let parsed = Version::parse(release);
        let suffix = release.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.');
        let is_vendors = VENDORS.iter().any(|mark| suffix.contains(mark));
        let candidate = number_after(suffix, "-rc");
        Self {
            version: parsed,
            candidate,
            is_exact: candidate.is_none()
                // A patch level of 0 with a suffix is the base of a vendor's kernel, whose fixes have numbers of
                // their own.
                && parsed.is_some_and(|version| version.2 != 0 || suffix.is_empty())
                && !is_vendors,
        }
    }

    /// Returns true if the kernel contains this change. Unknown versions are treated as current.
    #[must_use]
    pub fn has(self, patch: &Patch) -> bool {
        let Some(version) = self.version else {
            return patch.reverted_in.is_empty();
        };
        is_in(patch.since, version) && !is_in(patch.reverted_in, version)
    }
}

/// Substrings that mark the release of a vendor's kernel, which contains more than its version states: Red Hat's and
/// Amazon's kernels, the older ones of `SUSE`, Microsoft's and Proxmox's.
const VENDORS: [&str; 5] = [".el", ".amzn", "-default", "-azure", "-pve"];

/// Returns true if a change that came in the releases `since` is in this one.
fn is_in(since: &[Version], version: Version) -> bool {
    // All later mainline releases contain the change; of stable releases only the later ones of the same series do.
    let mainline = since.first();
    mainline.is_some_and(|mainline| version >= *mainline)
        || since
            .iter()
            .any(|stable| version.is_of_series(*stable) && version >= *stable)
}

/// Change of Linux: one commit, or a series of commits.
#[derive(Debug, PartialEq, Eq)]
pub struct Patch {
    /// Stable id, kebab-case.
    pub id: &'static str,
    /// Effect of the change: a sentence.
    pub description: &'static str,
    /// Commit, as twelve digits, and its title; the last commit, if there are several.
    pub commit: (&'static str, &'static str),
    /// First mainline release with the change, then the stable releases that took it over, the first of each series.
    pub since: &'static [Version],
    /// Releases that reverted the change, in the same order; empty if it was not reverted.
    pub reverted_in: &'static [Version],
}

impl Patch {
    /// Returns the commit and the releases with it: `42726ec644cb "tcp: send …", in Linux 7.1 (also 6.18.33,
    /// 7.0.10)`.
    #[must_use]
    pub fn source(&self) -> String {
        let (commit, title) = self.commit;
        let undone = match self.reverted_in {
            [] => String::new(),
            undone => format!("; undone in {}", releases(undone)),
        };
        format!(
            "{commit} \"{title}\", in Linux {}{undone}",
            releases(self.since)
        )
    }
}

/// Formats releases, such as `6.4 (also 5.10.183, 6.1.33)`.
fn releases(since: &[Version]) -> String {
    let Some((mainline, stable)) = since.split_first() else {
        return String::new();
    };
    if stable.is_empty() {
        return mainline.to_string();
    }
    let stable: Vec<_> = stable.iter().map(ToString::to_string).collect();
    format!("{mainline} (also {})", stable.join(", "))
}

/// Operating system other than Linux, with a behaviour that differs.
#[derive(Debug, PartialEq, Eq)]
pub struct System {
    /// Stable id, kebab-case.
    pub id: &'static str,
    /// Name of the system according to `uname -s`.
    pub sysname: &'static str,
    /// Scenario that shows the difference.
    pub scenario: &'static str,
    /// Call that ends differently there, with its result.
    pub call: &'static str,
    /// Behaviour of the system: a sentence.
    pub description: &'static str,
    /// Source of the claim.
    pub source: &'static str,
}

/// Known differences of other systems, in the result of a write after the peer closed with unread data.
pub const SYSTEMS: [System; 2] = [
    System {
        id: "macos-broken-pipe",
        sysname: "Darwin",
        scenario: "close-unread-data-write",
        call: "client write(1) = EPIPE",
        description: "On macOS the first write after an RST fails with EPIPE: it checks whether the sending side is shut down before it checks the error.",
        source: "`sosendcheck()` in xnu's bsd/kern/uipc_socket.c",
    },
    System {
        id: "freebsd-broken-pipe",
        sysname: "FreeBSD",
        scenario: "close-unread-data-write",
        call: "client write(1) = EPIPE",
        description: "FreeBSD sends a FIN when a socket with unread data is closed, and an RST only when more data arrives. The first \
               write after that fails with EPIPE.",
        source: "`tcp_disconnect()` in sys/netinet/tcp_usrreq.c, `sosend_generic()` in sys/kern/uipc_socket.c",
    },
];

/// `tcp_disconnect()` returns `-EBUSY` while a thread waits on the socket. Undone by 419ce133ab92, which not every
/// stable series took.
pub static DISCONNECT_DENIED: Patch = Patch {
    id: "disconnect-denied",
    description: "shutdown() and connect(AF_UNSPEC) were refused with EBUSY while another thread waited in connect(), until 419ce133ab92 \"tcp: allow again tcp_disconnect() when threads are waiting\".",
    commit: (
        "4faeee0cf8a5",
        "tcp: deny tcp_disconnect() when threads are waiting",
    ),
    since: &[
        Version(6, 4, 0),
        Version(4, 19, 285),
        Version(5, 4, 246),
        Version(5, 10, 183),
        Version(5, 15, 116),
        Version(6, 1, 33),
        Version(6, 3, 7),
    ],
    reverted_in: &[Version(6, 6, 0), Version(6, 1, 60), Version(6, 5, 9)],
};

/// `__tcp_close()` looks at `copied_seq`, and not only at the receive queue. (For 5.4, 5.15 and 6.6 the patch was
/// seen in the queues for stable releases; the numbers are those of the releases at that time.)
pub static CLOSE_LOOKS_AT_COPIED: Patch = Patch {
    id: "close-looks-at-copied",
    description: "Data that was already read and is queued again by a retransmission no longer counts as unread on close. Before, it \
           made the kernel send an RST.",
    commit: (
        "5f9238530970",
        "tcp: fix __tcp_close() to only send RST when required",
    ),
    since: &[
        Version(6, 18, 0),
        Version(5, 4, 301),
        Version(5, 10, 246),
        Version(5, 15, 195),
        Version(6, 1, 156),
        Version(6, 6, 112),
        Version(6, 12, 53),
        Version(6, 17, 3),
    ],
    reverted_in: &[],
};

/// The first four retransmission time-outs of a SYN are one second each (`net.ipv4.tcp_syn_linear_timeouts`).
pub static SYN_LINEAR_TIMEOUTS: Patch = Patch {
    id: "syn-linear-timeouts",
    description: "An unanswered SYN is sent again every second, four times, and then at growing intervals. Before, the interval doubled \
           from the start, so fewer SYNs are sent in the same time.",
    commit: (
        "ccce324dabfe",
        "tcp: make the first N SYN RTO backoffs linear",
    ),
    since: &[Version(6, 5, 0)],
    reverted_in: &[],
};

/// `tcp_validate_incoming()` accepts the SYN-ACK of a simultaneous open in SYN-RECEIVED.
pub static SIMULTANEOUS_CONNECT: Patch = Patch {
    id: "simultaneous-connect",
    description: "A SYN-ACK that reaches a socket in SYN-RECEIVED completes a simultaneous open at once. Before, it triggered a challenge ACK, and that completed it.",
    commit: (
        "23e89e8ee7be",
        "tcp: Don't drop SYN+ACK for simultaneous connect().",
    ),
    since: &[
        Version(6, 11, 0),
        Version(6, 1, 110),
        Version(6, 6, 51),
        Version(6, 10, 10),
    ],
    reverted_in: &[],
};

/// `tcp_ack()` replies to an ACK of data that were never sent as RFC 9293, 3.10.7.4 requires.
pub static ACK_UNSENT_CHALLENGE: Patch = Patch {
    id: "ack-unsent-challenge",
    description: "An ACK of data never sent triggers a challenge ACK. Before, it was dropped silently.",
    commit: (
        "42726ec644cb",
        "tcp: send a challenge ACK on SEG.ACK > SND.NXT",
    ),
    since: &[Version(7, 1, 0), Version(6, 18, 33), Version(7, 0, 10)],
    reverted_in: &[],
};

/// `tcp_check_req()` follows RFC 5961, 3.2 (CVE-2026-68118).
pub static SYN_RECEIVED_CHALLENGE: Patch = Patch {
    id: "syn-received-challenge",
    description: "An inexact RST within the window of a half-open connection triggers a challenge ACK. Before, the request was dropped (CVE-2026-68118).",
    commit: (
        "a28c4fcbf774",
        "tcp: challenge ACK for non-exact RST in SYN-RECEIVED",
    ),
    since: &[
        Version(7, 2, 0),
        Version(6, 1, 191),
        Version(6, 6, 153),
        Version(6, 12, 105),
        Version(6, 18, 42),
        Version(7, 1, 6),
    ],
    reverted_in: &[],
};

/// `inet_csk_listen_stop()` and `reuseport_migrate_sock()` migrate connections to another listener. Stable 5.10.188
/// took the setting (f9ac779f881c) and nothing else.
pub static REUSEPORT_MIGRATION: Patch = Patch {
    id: "reuseport-migration",
    description: "With net.ipv4.tcp_migrate_req, another listener on the port takes over the queue of a listener that is closed. 5.10 has the setting since 5.10.188, but without effect.",
    commit: (
        "54b92e841937",
        "tcp: Migrate TCP_ESTABLISHED/TCP_SYN_RECV sockets in accept queues.",
    ),
    since: &[Version(5, 14, 0)],
    reverted_in: &[],
};

/// `__mptcp_subflow_disconnect()` and `mptcp_do_fastclose()` send the RST. Before, the subflow got `SO_LINGER` 0 and
/// was disconnected, which gives the reason `TCP_STATE`.
pub static MPTCP_FASTCLOSE_ONCE: Patch = Patch {
    id: "mptcp-fastclose-once",
    description: "A fast close sends its own RST, with the reason TCP_ABORT_ON_CLOSE. Before, it disconnected the subflow, whose RST has the reason TCP_STATE.",
    commit: ("ae155060247b", "mptcp: fix duplicate reset on fastclose"),
    since: &[
        Version(6, 18, 0),
        Version(6, 1, 159),
        Version(6, 12, 60),
        Version(6, 17, 10),
    ],
    reverted_in: &[],
};

/// `subflow_error_report()` no longer takes the error off the subflow before `inet_sk_error_report` reports it.
pub static MPTCP_ERROR_REPORT: Patch = Patch {
    id: "mptcp-error-report",
    description: "inet_sk_error_report shows the error of a subflow. Before, it showed none.",
    commit: (
        "dccf46179ddd",
        "mptcp: only reset subflow errors when propagated",
    ),
    since: &[
        Version(6, 19, 0),
        Version(6, 1, 162),
        Version(6, 6, 123),
        Version(6, 12, 69),
        Version(6, 18, 9),
    ],
    reverted_in: &[],
};

/// `__mptcp_close()` honours `SO_LINGER`.
pub static MPTCP_LINGER_FASTCLOSE: Patch = Patch {
    id: "mptcp-linger-fastclose",
    description: "Closing a Multipath TCP socket with a linger time of 0 is a fast close with an RST. Before, the linger time was ignored and the socket was closed normally.",
    commit: ("f14d6e9c3678", "mptcp: fastclose msk when linger time is 0"),
    since: &[
        Version(7, 1, 0),
        Version(6, 1, 176),
        Version(6, 6, 140),
        Version(6, 12, 88),
        Version(6, 18, 30),
        Version(7, 0, 7),
    ],
    reverted_in: &[],
};

/// `trace_tcp_send_reset()` is called for RSTs that are sent without a full socket.
pub static TRACE_WITHOUT_SOCKET: Patch = Patch {
    id: "trace-without-socket",
    description: "tcp_send_reset reports RSTs that are sent without a full socket.",
    commit: (
        "19822a980e19",
        "trace: tcp: fully support trace_tcp_send_reset",
    ),
    since: &[Version(6, 10, 0)],
    reverted_in: &[],
};

/// `tcp_send_reset` has the field `reason`.
pub static TRACE_REASON: Patch = Patch {
    id: "trace-reason",
    description: "tcp_send_reset gives a reason.",
    commit: ("b533fb9cf4f7", "rstreason: make it work in trace world"),
    since: &[Version(6, 10, 0)],
    reverted_in: &[],
};

/// `tcp_send_active_reset()` passes its reason on; before, every abort was traced as `NOT_SPECIFIED`.
pub static TRACE_ABORT_REASON: Patch = Patch {
    id: "trace-abort-reason",
    description: "tcp_send_reset also gives the reason of an abort. Before, it was NOT_SPECIFIED.",
    commit: (
        "ba0ca286c919",
        "tcp: rstreason: let it work finally in tcp_send_active_reset()",
    ),
    since: &[Version(6, 12, 0)],
    reverted_in: &[],
};

/// The event `inet_sk_error_report` exists.
pub static TRACE_ERROR_REPORT: Patch = Patch {
    id: "trace-error-report",
    description: "The event inet_sk_error_report exists.",
    commit: ("e6a3e4434000", "net: sock: add trace for socket errors"),
    since: &[Version(5, 14, 0)],
    reverted_in: &[],
};

/// The counters `MPFastcloseTx` and `MPFastcloseRx` exist.
pub static MPTCP_COUNT_FASTCLOSE: Patch = Patch {
    id: "mptcp-count-fastclose",
    description: "MP_FASTCLOSE is counted.",
    commit: ("1e75629cb964", "mptcp: add the mibs for MP_FASTCLOSE"),
    since: &[Version(5, 18, 0)],
    reverted_in: &[],
};

/// The counters `MPRstTx` and `MPRstRx` exist.
pub static MPTCP_COUNT_RST: Patch = Patch {
    id: "mptcp-count-rst",
    description: "MP_TCPRST is counted.",
    commit: ("e40dd439d6da", "mptcp: add the mibs for MP_RST"),
    since: &[Version(5, 18, 0)],
    reverted_in: &[],
};

/// The counter `PAWSOldAck` exists.
pub static PAWS_COUNT_OLD_ACK: Patch = Patch {
    id: "paws-count-old-ack",
    description: "An old pure ACK has its own counter.",
    commit: (
        "d16b34479064",
        "tcp: add LINUX_MIB_PAWS_OLD_ACK SNMP counter",
    ),
    since: &[Version(6, 14, 0)],
    reverted_in: &[],
};

/// The counter `PAWSTimewait` exists.
pub static PAWS_COUNT_TIME_WAIT: Patch = Patch {
    id: "paws-count-time-wait",
    description: "Segments that TIME-WAIT rejects because of their timestamp have their own counter.",
    commit: (
        "c449d5f3a3d7",
        "tcp: add LINUX_MIB_PAWS_TW_REJECTED counter",
    ),
    since: &[Version(6, 16, 0)],
    reverted_in: &[],
};

/// Returns the change that introduced this counter, if it is known.
#[must_use]
pub fn of_counter(name: &str) -> Option<&'static Patch> {
    match name {
        "TCPMigrateReqSuccess" | "TCPMigrateReqFailure" => Some(&REUSEPORT_MIGRATION),
        "PAWSOldAck" => Some(&PAWS_COUNT_OLD_ACK),
        "PAWSTimewait" => Some(&PAWS_COUNT_TIME_WAIT),
        "MPRstTx" | "MPRstRx" => Some(&MPTCP_COUNT_RST),
        "MPFastcloseTx" | "MPFastcloseRx" => Some(&MPTCP_COUNT_FASTCLOSE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux(release: &str, version: &str) -> Kernel {
        Kernel::of("Linux", release, version)
    }

    #[test]
    fn a_version_is_what_a_release_begins_with() {
        let parse = Version::parse;
        assert_eq!(
            parse("6.12.107+deb13-cloud-amd64"),
            Some(Version(6, 12, 107))
        );
        assert_eq!(parse("7.3"), Some(Version(7, 3, 0)));
        assert_eq!(parse("7.1-rc2"), Some(Version(7, 1, 0)));
        for text in ["", "x", "7", "7.", "7.x", ".1", "99999.1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    /// Releases of kernels of these distributions.
    #[test]
    fn what_a_kernel_is_made_of_is_known_for_certain_or_not() {
        let smp = "#1 SMP PREEMPT_DYNAMIC";
        let debian = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-10)";
        for (release, version, expected, is_exact) in [
            ("6.1.0-56-cloud-amd64", debian, Version(6, 1, 192), true),
            (
                "6.12.118+deb13-amd64",
                "#1 SMP Debian 6.12.118-1 (2026-11-20)",
                Version(6, 12, 118),
                true,
            ),
            ("6.18.44", smp, Version(6, 18, 44), true),
            ("7.1.0", smp, Version(7, 1, 0), true),
            ("6.17.9-arch1-1", smp, Version(6, 17, 9), true),
            ("6.17.8-300.fc43.x86_64", smp, Version(6, 17, 8), true),
            (
                "6.8.0-45-generic",
                "#45-Ubuntu SMP",
                Version(6, 8, 0),
                false,
            ),
            ("5.14.0-503.el9.x86_64", smp, Version(5, 14, 0), false),
            (
                "5.10.240-238.959.amzn2.x86_64",
                smp,
                Version(5, 10, 240),
                false,
            ),
            ("6.4.0-150600.23-default", smp, Version(6, 4, 0), false),
            ("6.8.12-15-pve", smp, Version(6, 8, 12), false),
        ] {
            let expected = Kernel {
                version: Some(expected),
                candidate: None,
                is_exact,
            };
            assert_eq!(linux(release, version), expected, "{release}");
        }
        assert_eq!(Kernel::of("Darwin", "25.1.0", ""), Kernel::default());
        // A change in the last candidate is not in the first one.
        let debians = "#1 SMP Debian 7.1~rc2-1~exp1 (2026-05-01)";
        for (release, version) in [("7.1.0-rc2", smp), ("7.1-rc2", smp), ("7.1-amd64", debians)] {
            let expected = Kernel {
                version: Some(Version(7, 1, 0)),
                candidate: Some(2),
                is_exact: false,
            };
            assert_eq!(linux(release, version), expected, "{release}");
        }
    }

    /// The stable series with a28c4fcbf774 took it over in the releases that the record of CVE-2026-68118 names.
    #[test]
    fn a_change_is_in_mainline_releases_and_in_the_stable_ones_that_took_it_over() {
        let has = |release: &str| linux(release, "").has(&SYN_RECEIVED_CHALLENGE);
        for release in [
            "7.2.0", "7.3.4", "7.1.6", "6.18.42", "6.12.105", "6.1.191", "8.0.0",
        ] {
            assert!(has(release), "{release}");
        }
        for release in [
            "7.1.5", "7.0.13", "6.19.14", "6.18.41", "6.12.104", "6.16.12", "5.10.262",
        ] {
            assert!(!has(release), "{release}");
        }
    }

    /// 4faeee0cf8a5 went into Linux 6.4, and 419ce133ab92 undid it in 6.6; 5.10 took the first and not the second.
    #[test]
    fn a_change_that_was_undone_is_gone() {
        let has = |release: &str| linux(release, "").has(&DISCONNECT_DENIED);
        for release in ["6.4.0", "6.5.8", "6.1.33", "6.1.59", "5.10.183", "5.10.262"] {
            assert!(has(release), "{release}");
        }
        for release in [
            "6.3.6", "6.6.0", "6.5.9", "6.1.60", "6.1.32", "5.10.182", "7.3.4",
        ] {
            assert!(!has(release), "{release}");
        }
    }

    /// Unknown versions are treated as current.
    #[test]
    fn a_kernel_of_unknown_version_has_what_was_not_undone() {
        assert!(Kernel::default().has(&SYN_RECEIVED_CHALLENGE));
        assert!(!Kernel::default().has(&DISCONNECT_DENIED));
    }
}
