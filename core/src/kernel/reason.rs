//! Meaning of each `sk_rst_reason`, with advice for developers.
//!
//! The kernel's names refer to the place in its source where an RST is made, and some of them are misleading.
//! Sources: `include/net/rstreason.h` and its users (`net/ipv4/tcp*.c`, `net/mptcp/`); for `MPTCP_RST_…` RFC 8684,
//! 3.6.

/// Reason of the kernel to send an RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Name in trace events, without `SK_RST_REASON_`.
    pub name: &'static str,
    /// Explanation of the reason: a clause that follows "because".
    pub meaning: &'static str,
    /// Advice to the developer.
    pub advice: &'static str,
    /// Warning, if the name is misleading.
    pub caveat: Option<&'static str>,
}

/// Returns the reason of this name; `None` if it is unknown here, such as one that a later kernel adds.
#[must_use]
pub fn find(name: &str) -> Option<&'static Reason> {
    REASONS.iter().find(|reason| reason.name == name)
}

/// Name of the unspecified reason, which kernels before Linux 6.12 give for every abort.
pub const NOT_SPECIFIED: &str = "NOT_SPECIFIED";

/// Known reasons, in the kernel's order.
pub const REASONS: [Reason; 25] = [
    Reason {
        name: NOT_SPECIFIED,
        meaning: "the kernel gives no reason",
        advice: "Look at the form of the RST and at the counters, or use Linux 6.12 or later.",
        caveat: Some("before Linux 6.12 every abort has this reason"),
    },
    Reason {
        name: "NO_SOCKET",
        meaning: "no socket existed for the segment that the RST replies to",
        advice: "In reply to a SYN: nothing is listening on that address and port. In reply to data: the connection no longer \
                 exists there, because the process or host restarted, or a timer ended it.",
        caveat: None,
    },
    Reason {
        name: "TCP_INVALID_ACK_SEQUENCE",
        meaning: "the reply to a SYN acknowledged something that had not been sent",
        advice: "The peer still has an older connection between the same ports: it did not notice a restart, or a NAT reuses \
                 ports too soon.",
        caveat: None,
    },
    Reason {
        name: "TCP_RFC7323_PAWS",
        meaning: "a TCP timestamp was not acceptable (RFC 7323)",
        advice: "Look for a device on the path that rewrites TCP timestamps, or for several hosts behind one address.",
        caveat: None,
    },
    Reason {
        name: "TCP_TOO_OLD_ACK",
        meaning: "a TCP Fast Open handshake was completed by an ACK that is far too old",
        advice: "Look for duplicated or replayed segments; a correct peer does not send such an ACK.",
        caveat: None,
    },
    Reason {
        name: "TCP_ACK_UNSENT_DATA",
        meaning: "an ACK acknowledged data that had not been sent",
        advice: "Look for the sender of segments that do not belong to this connection: a peer or middlebox with stale state, \
                 or an attacker.",
        caveat: None,
    },
    Reason {
        name: "TCP_FLAGS",
        meaning: "a listener received a segment that opens no connection and belongs to none",
        advice: "The server process is running but has no such connection: it was restarted, or closed this connection long \
                 ago, and the peer did not notice. Let clients open a new connection and try again.",
        caveat: Some("the flags of that segment were valid; it reached the wrong socket"),
    },
    Reason {
        name: "TCP_OLD_ACK",
        meaning: "the handshake was completed by an ACK that is too old",
        advice: "Look for duplicated or reordered segments.",
        caveat: None,
    },
    Reason {
        name: "TCP_ABORT_ON_DATA",
        meaning: "data arrived for a socket that had been closed, or shut down for reading and writing",
        advice: "The receiver closed before the sender had finished: let the sender watch for end of file, or let the receiver \
                 read until end of file before it closes.",
        caveat: Some(
            "the counter of this name, TCPAbortOnData, also counts SO_LINGER 0, whose RST has the reason TCP_STATE",
        ),
    },
    Reason {
        name: "TCP_TIMEWAIT_SOCKET",
        meaning: "data arrived for a connection that had already been closed and only kept its closing state",
        advice: "As with TCP_ABORT_ON_DATA: the sender writes to a peer that has closed. It has not read end of file yet, or \
                 ignores it.",
        caveat: Some("the connection is usually in FIN-WAIT-2, not in TIME-WAIT"),
    },
    Reason {
        name: "INVALID_SYN",
        meaning: "the handshake was not accepted",
        advice: "Check net.ipv4.tcp_abort_on_overflow and the listener's backlog first, then for a SYN inside a connection.",
        caveat: Some(
            "a full accept queue with tcp_abort_on_overflow gives this reason, although no SYN was invalid",
        ),
    },
    Reason {
        name: "TCP_ABORT_ON_CLOSE",
        meaning: "the socket was closed with unread received data",
        advice: "Read until EOF before closing. A process that exits or is killed with unread data resets the connection as \
                 well.",
        caveat: Some(
            "with Multipath TCP, SO_LINGER 0 gives the same reason, even with nothing unread",
        ),
    },
    Reason {
        name: "TCP_ABORT_ON_LINGER",
        meaning: "the socket was closed with a negative TCP_LINGER2, so it did not wait for the peer's FIN",
        advice: "Look for TCP_LINGER2 in the sender, or leave it at its default.",
        caveat: Some("SO_LINGER 0 does not give this reason, but TCP_STATE"),
    },
    Reason {
        name: "TCP_ABORT_ON_MEMORY",
        meaning: "the socket could not close normally: too many orphaned sockets, or too little memory for TCP",
        advice: "Check net.ipv4.tcp_max_orphans and net.ipv4.tcp_mem, and the kernel's log; then look for the program that leaves \
                 so many connections half closed.",
        caveat: None,
    },
    Reason {
        name: "TCP_STATE",
        meaning: "the socket was disconnected while the peer still used the connection",
        advice: "Look in the sender for SO_LINGER 0, connect() with AF_UNSPEC, a listener that was closed with connections in \
                 its queue, and `ss -K`.",
        caveat: Some("the name points to no wrong state; SO_LINGER 0 gives this reason too"),
    },
    Reason {
        name: "TCP_KEEPALIVE_TIMEOUT",
        meaning: "the peer did not answer keepalive probes",
        advice: "The peer or the path to it was unreachable for TCP_KEEPIDLE + TCP_KEEPINTVL x TCP_KEEPCNT. Look for a \
                 firewall or NAT that forgets idle connections.",
        caveat: None,
    },
    Reason {
        name: "TCP_DISCONNECT_WITH_DATA",
        meaning: "the socket was disconnected while it was closing with unsent data",
        advice: "The sender discarded its own data: let it wait until the data is acknowledged.",
        caveat: None,
    },
    Reason {
        name: "MPTCP_RST_EUNSPEC",
        meaning: "Multipath TCP ended this subflow without a specific reason",
        advice: "Look at the connection's other paths (`ss -M`) and at the MPTcp counters.",
        caveat: None,
    },
    Reason {
        name: "MPTCP_RST_EMPTCP",
        meaning: "the Multipath TCP options belong to no known connection",
        advice: "A subflow tried to join a connection that no longer exists, or a middlebox changed the options.",
        caveat: None,
    },
    Reason {
        name: "MPTCP_RST_ERESOURCE",
        meaning: "there were not enough resources for another subflow",
        advice: "Check the limits of the path manager: `ip mptcp limits`.",
        caveat: None,
    },
    Reason {
        name: "MPTCP_RST_EPROHIBIT",
        meaning: "another subflow was prohibited",
        advice: "Check the limits and endpoints of the path manager: `ip mptcp limits`, `ip mptcp endpoint`.",
        caveat: None,
    },
    Reason {
        name: "MPTCP_RST_EWQ2BIG",
        meaning: "too much data sent over this subflow had not been acknowledged at the connection level",
        advice: "The subflow is too slow for its data; the others continue.",
        caveat: None,
    },
    Reason {
        name: "MPTCP_RST_EBADPERF",
        meaning: "this subflow performed too badly",
        advice: "The subflow was closed; the others continue.",
        caveat: None,
    },
    Reason {
        name: "MPTCP_RST_EMIDDLEBOX",
        meaning: "a middlebox interfered with Multipath TCP",
        advice: "Look for a proxy or firewall that rewrites payload or strips options.",
        caveat: None,
    },
    Reason {
        name: "ERROR",
        meaning: "internal kernel error",
        advice: "This is not expected to happen: look at the kernel's log.",
        caveat: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reset_reason_is_found_by_its_name_and_has_an_explanation() {
        for reason in &REASONS {
            assert_eq!(find(reason.name), Some(reason));
            let starts_small = reason.meaning.starts_with(char::is_lowercase)
                || reason.meaning.starts_with("Multipath TCP");
            assert!(
                starts_small && !reason.meaning.ends_with('.'),
                "{}",
                reason.name
            );
            assert!(reason.advice.ends_with(['.', '`']), "{}", reason.name);
        }
        assert_eq!(find("MAX"), None);
        assert_eq!(find(""), None);
    }

    /// Each name was found to mislead in the scenario beside it.
    #[test]
    fn names_that_mislead_are_flagged() {
        for name in [
            "TCP_ABORT_ON_CLOSE",  // mptcp-linger-zero-close
            "TCP_STATE",           // linger-zero-close
            "TCP_ABORT_ON_LINGER", // linger2-negative-half-closed
            "TCP_FLAGS",           // write-after-peer-close-late
            "TCP_TIMEWAIT_SOCKET", // write-after-peer-close
            "INVALID_SYN",         // a full accept queue and tcp_abort_on_overflow
        ] {
            assert!(find(name).unwrap().caveat.is_some(), "{name}");
        }
    }
}
