//! The TCP counters of a network namespace, as `/proc/net/snmp` and `/proc/net/netstat` have them.
//!
//! They need no privilege and belong to the namespace of the thread that reads them: in a new one they start at 0, so
//! their changes are an exact account of what the kernel did there. Kernels add counters; none may be taken for granted.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// The groups that are about TCP: `Tcp` of RFC 4022, and Linux's own.
const GROUPS: [&str; 3] = ["Tcp", "TcpExt", "MPTcpExt"];

/// The counters that tell of resets and of connections that fail: those that a trial is judged by.
pub const WATCHED: [&str; 27] = [
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
    "MPRstTx",
    "MPRstRx",
    "MPFastcloseTx",
    "MPFastcloseRx",
];

/// The TCP counters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Those of the network namespace that this thread is in.
    pub fn read() -> io::Result<Self> {
        let mut counters = Self::default();
        for file in [
            "/proc/thread-self/net/snmp",
            "/proc/thread-self/net/netstat",
        ] {
            counters.add(&fs::read_to_string(file)?);
        }
        Ok(counters)
    }

    /// Takes in the text of one file: pairs of lines, one with names and one with values, both after their group.
    pub fn add(&mut self, text: &str) {
        let mut lines = text.lines();
        while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
            let (Some((group, names)), Some((same, values))) =
                (names.split_once(':'), values.split_once(':'))
            else {
                continue;
            };
            if group != same || !GROUPS.contains(&group) {
                continue;
            }
            let pairs = names.split_whitespace().zip(values.split_whitespace());
            // `MaxConn` is -1: a setting, no counter.
            let counted = pairs.filter_map(|(name, value)| Some((name, value.parse().ok()?)));
            self.0
                .extend(counted.map(|(name, value)| (name.to_owned(), value)));
        }
    }

    /// The value of this one; `None` if this kernel does not count it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
                        Tcp: RtoAlgorithm MaxConn EstabResets OutRsts\nTcp: 1 -1 14 16\n";
    const NETSTAT: &str = "TcpExt: TCPAbortOnData TCPAbortOnClose\nTcpExt: 1 18446744073709551615\n\
                           MPTcpExt: MPRstTx\nMPTcpExt: 5\n";

    #[test]
    fn both_files_give_tcps_counters_and_no_others() {
        let mut counters = Counters::default();
        counters.add(SNMP);
        counters.add(NETSTAT);
        assert_eq!(counters.get("OutRsts"), Some(16));
        assert_eq!(counters.get("EstabResets"), Some(14));
        assert_eq!(counters.get("TCPAbortOnData"), Some(1));
        assert_eq!(counters.get("TCPAbortOnClose"), Some(u64::MAX));
        assert_eq!(counters.get("MPRstTx"), Some(5));
        for other in ["DefaultTTL", "MaxConn", "TCPChallengeACK"] {
            assert_eq!(counters.get(other), None, "{other}");
        }
    }

    #[test]
    fn a_file_that_is_cut_short_or_no_such_file_gives_what_it_can() {
        let mut counters = Counters::default();
        counters.add("Tcp: A B C\nTcp: 1 2\nTcp: D\n");
        counters.add("Tcp: E\nTcpExt: 3\nnothing of the kind\nat all\n");
        assert_eq!(counters.get("A"), Some(1));
        assert_eq!(counters.get("B"), Some(2));
        for absent in ["C", "D", "E"] {
            assert_eq!(counters.get(absent), None, "{absent}");
        }
    }

    #[test]
    fn this_kernel_counts_the_resets_it_sends() {
        assert!(Counters::read().unwrap().get("OutRsts").is_some());
    }
}
