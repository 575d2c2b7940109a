//! Names of the TCP counters that trials are judged by, as `/proc/net/snmp` and `/proc/net/netstat` have them.

/// The counters that tell of resets and of connections that fail: those that a trial is judged by.
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

/// Counters that show that the host ran out of memory or room during a trial. No scenario is judged by them, but if one of them
/// increased, that may be why a trial differs from its scenario. Each is counted for want of memory or of room, and for no other reason that
/// a trial gives (`net/ipv4/tcp.c`, `tcp_input.c`, `tcp_output.c`, `tcp_minisocks.c`, `tcp_ipv4.c`, `net/core/filter.c`).
pub const PRESSURE: [&str; 7] = [
    "TCPMemoryPressures",
    "TCPMemoryPressuresChrono",
    "TCPRcvQDrop",
    "TCPBacklogDrop",
    "TCPTimeWaitOverflow",
    "TCPWqueueTooBig",
    "PFMemallocDrop",
];

/// All that are read of each trial.
pub const COUNTERS: [&str; WATCHED.len() + PRESSURE.len()] = {
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

/// Whether a trial's evidence may have a counter of this name.
#[must_use]
pub fn is_read(name: &str) -> bool {
    COUNTERS.contains(&name)
}
