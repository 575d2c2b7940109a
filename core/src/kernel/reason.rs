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
    pub says: &'static str,
    /// Advice to the developer.
    pub advice: &'static str,
    /// Warning, if the name is misleading.
    pub beware: Option<&'static str>,
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
        says: "the kernel gives no reason",
        advice: "Look at the form of the RST and at the counters, or use Linux 6.12 or later.",
        beware: Some("before Linux 6.12 every abort says this"),
    },
    Reason {
        name: "NO_SOCKET",
        says: "no socket was there for the segment that it answers",
        advice: "If it answers a SYN, nobody listens on that address and port. If it answers data, the connection is \
                 gone there: the process or the host restarted, or a timer gave it up.",
        beware: None,
    },
    Reason {
        name: "TCP_INVALID_ACK_SEQUENCE",
        says: "the answer to its SYN acknowledged something that it had not sent",
        advice: "Something answers for an older connection between the same ports: a peer that did not notice a restart, or \
                 a NAT that reuses ports too soon.",
        beware: None,
    },
    Reason {
        name: "TCP_RFC7323_PAWS",
        says: "a time stamp was one that cannot be (RFC 7323)",
        advice: "Look for something between the ends that rewrites TCP timestamps, or for several hosts behind one \
                 address.",
        beware: None,
    },
    Reason {
        name: "TCP_TOO_OLD_ACK",
        says: "the handshake of a connection that was opened with data was ended by an ACK that is far too old",
        advice: "Look for duplicated or replayed segments; a peer does not send such an ACK.",
        beware: None,
    },
    Reason {
        name: "TCP_ACK_UNSENT_DATA",
        says: "an ACK was for data that had not been sent",
        advice: "Somebody sends segments that are not from this connection: a peer or a middlebox with stale state, or an \
                 attacker.",
        beware: None,
    },
    Reason {
        name: "TCP_FLAGS",
        says: "a listener was sent a segment that opens no connection, and it knows of none that it belongs to",
        advice: "The server's process is up and has no such connection: it was restarted, or has closed this one long ago, \
                 and its peer did not notice. Let clients open a new connection and try again.",
        beware: Some("the flags of that segment were in order, it came to the wrong socket"),
    },
    Reason {
        name: "TCP_OLD_ACK",
        says: "the handshake was ended by an ACK that is too old",
        advice: "Look for duplicated or reordered segments.",
        beware: None,
    },
    Reason {
        name: "TCP_ABORT_ON_DATA",
        says: "data came in for a socket that its owner had closed, or had shut down for reading and writing",
        advice: "The receiver said that it wants no more before the sender had finished: let the sender watch for the end \
                 of file, or let the receiver read to the end before it closes.",
        beware: Some(
            "the counter of this name, TCPAbortOnData, also counts SO_LINGER with a time of 0, whose RST says TCP_STATE",
        ),
    },
    Reason {
        name: "TCP_TIMEWAIT_SOCKET",
        says: "data came in for a connection of which only the closing state was left",
        advice: "As with TCP_ABORT_ON_DATA: the sender writes to a peer that has closed. It has not read the end of file \
                 yet, or ignores it.",
        beware: Some("what is left is most often in FIN-WAIT-2 and not in TIME-WAIT"),
    },
    Reason {
        name: "INVALID_SYN",
        says: "the handshake was not accepted",
        advice: "Check net.ipv4.tcp_abort_on_overflow and the listener's backlog first, then for a SYN inside a connection.",
        beware: Some(
            "a full accept queue with tcp_abort_on_overflow says this, and no SYN was invalid",
        ),
    },
    Reason {
        name: "TCP_ABORT_ON_CLOSE",
        says: "the socket was closed while data that had come in was unread",
        advice: "Let the owner read to the end of file before it closes. It may also have been killed: a process that ends \
                 closes its sockets.",
        beware: Some(
            "over Multipath TCP SO_LINGER with a time of 0 says this, too, with nothing unread",
        ),
    },
    Reason {
        name: "TCP_ABORT_ON_LINGER",
        says: "the socket was closed with a negative TCP_LINGER2: it was not to wait for the other end's FIN",
        advice: "Look for TCP_LINGER2 in the sender, or leave it at its default.",
        beware: Some("SO_LINGER with a time of 0 does not say this, it says TCP_STATE"),
    },
    Reason {
        name: "TCP_ABORT_ON_MEMORY",
        says: "too many sockets without an owner, or too little memory for TCP, did not let it close in good order",
        advice: "Check net.ipv4.tcp_max_orphans and net.ipv4.tcp_mem, and the kernel's log; then look for what leaves so \
                 many connections half closed.",
        beware: None,
    },
    Reason {
        name: "TCP_STATE",
        says: "the connection was dissolved while the other end still used it",
        advice: "Look in the sender for SO_LINGER with a time of 0, connect() to AF_UNSPEC, a listener that was closed with \
                 connections in its queue, and `ss -K`.",
        beware: Some(
            "it names no state that would be wrong; SO_LINGER with a time of 0 says this, too",
        ),
    },
    Reason {
        name: "TCP_KEEPALIVE_TIMEOUT",
        says: "the other end did not answer keepalive probes",
        advice: "The peer or the path to it was gone for as long as TCP_KEEPIDLE and TCP_KEEPINTVL times TCP_KEEPCNT \
                 allow. Look for a firewall or NAT that forgets idle connections.",
        beware: None,
    },
    Reason {
        name: "TCP_DISCONNECT_WITH_DATA",
        says: "the connection was dissolved while it was closing and data was still to be sent",
        advice: "The sender gave up on its own data: let it wait until that is acknowledged.",
        beware: None,
    },
    Reason {
        name: "MPTCP_RST_EUNSPEC",
        says: "Multipath TCP ended this path for no reason that it names",
        advice: "Look at the connection's other paths (`ss -M`) and at the MPTcp counters.",
        beware: None,
    },
    Reason {
        name: "MPTCP_RST_EMPTCP",
        says: "the options of Multipath TCP were not those of a connection that is known",
        advice: "A path was to join a connection that does not exist any more, or a middlebox changed the options.",
        beware: None,
    },
    Reason {
        name: "MPTCP_RST_ERESOURCE",
        says: "there were not enough resources for another path",
        advice: "Check the limits of the path manager: `ip mptcp limits`.",
        beware: None,
    },
    Reason {
        name: "MPTCP_RST_EPROHIBIT",
        says: "another path was forbidden",
        advice: "Check the limits and endpoints of the path manager: `ip mptcp limits`, `ip mptcp endpoint`.",
        beware: None,
    },
    Reason {
        name: "MPTCP_RST_EWQ2BIG",
        says: "too much sent over this path had not been acknowledged for the connection",
        advice: "The path is too slow for what is sent over it; the others go on.",
        beware: None,
    },
    Reason {
        name: "MPTCP_RST_EBADPERF",
        says: "this path performed too badly",
        advice: "The path is given up, the others go on.",
        beware: None,
    },
    Reason {
        name: "MPTCP_RST_EMIDDLEBOX",
        says: "something on the way interfered with Multipath TCP",
        advice: "Look for a proxy or firewall that rewrites payload or strips options.",
        beware: None,
    },
    Reason {
        name: "ERROR",
        says: "the kernel met an error of its own",
        advice: "This is not expected to happen: look at the kernel's log.",
        beware: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_has_something_to_say() {
        for reason in &REASONS {
            assert_eq!(find(reason.name), Some(reason));
            let starts_small = reason.says.starts_with(char::is_lowercase)
                || reason.says.starts_with("Multipath TCP");
            assert!(
                starts_small && !reason.says.ends_with('.'),
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
            assert!(find(name).unwrap().beware.is_some(), "{name}");
        }
    }
}
