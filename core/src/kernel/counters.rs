//! Names of the TCP counters that trials are judged by, as in `/proc/net/snmp` and `/proc/net/netstat`.

/// Counters of resets and of failed connections, by which a trial is judged.
pub const WATCHED: [&str; 30] = [
    "OutRsts",
    "EstabResets",
    "AttemptFails",
    "EmbryonicRsts",
    "ListenOverflows",
    "ListenDrops",
    "PAWSActive",
    "PAWSEstab",
    "PAWSOldAck",
    "PAWSTimewait",
    "SyncookiesFailed",
    "TCPAbortOnData",
    "TCPAbortOnClose",
    "TCPAbortOnMemory",
    "TCPAbortOnTimeout",
    "TCPAbortOnLinger",
    "TCPAbortFailed",
    "TCPChallengeACK",
    "TCPSYNChallenge",
    "TCPDeferAcceptDrop",
    "TCPReqQFullDrop",
    "TCPMigrateReqSuccess",
    "TCPMigrateReqFailure",
    "TCPMD5NotFound",
    "OutOfWindowIcmps",
    "LockDroppedIcmps",
    "MPRstTx",
    "MPRstRx",
    "MPFastcloseTx",
    "MPFastcloseRx",
];

/// Counters that show that the host ran out of memory or room during a trial. No scenario is judged by them, but an
/// increase may explain why a trial differs from its scenario. Each counts a lack of memory or room, and nothing else
/// that occurs in a trial (`net/ipv4/tcp.c`, `tcp_input.c`, `tcp_output.c`, `tcp_minisocks.c`, `tcp_ipv4.c`,
/// `net/core/filter.c`).
pub const PRESSURE: [&str; 7] = [
    "TCPMemoryPressures",
    "TCPMemoryPressuresChrono",
    "TCPRcvQDrop",
    "TCPBacklogDrop",
    "TCPTimeWaitOverflow",
    "TCPWqueueTooBig",
    "PFMemallocDrop",
];

/// Counters that are read in each trial: [`WATCHED`] and [`PRESSURE`].
pub const COUNTERS: [&str; WATCHED.len() + PRESSURE.len()] = {
    // A loop, because iterators cannot be used in constants.
    let mut all = [""; WATCHED.len() + PRESSURE.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < WATCHED.len() {
            WATCHED[at]
        } else {
            PRESSURE[at - WATCHED.len()]
        };
        at += 1;
    }
    all
};

/// Returns true if a trial's evidence may have a counter of this name.
#[must_use]
pub(crate) fn is_read(name: &str) -> bool {
    COUNTERS.contains(&name)
}
