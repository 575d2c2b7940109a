//! TCP counters of a network namespace, from `/proc/net/snmp` and `/proc/net/netstat`.
//!
//! Reading them needs no privilege. The counters belong to the namespace of the thread that reads them: in a new one they
//! start at 0, so their increases are an exact account of what the kernel did there. Kernels add counters, so any of
//! them may be missing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use rstproof_core::kernel::counters::COUNTERS;
use rstproof_core::kernel::event::CounterDelta;

/// Files with the counters, for the namespace of the thread that opens them.
const FILES: [&str; 2] = [
    // Not `/proc/self`: that is the main thread, whose namespace is not the one of a worker.
    "/proc/thread-self/net/snmp",
    "/proc/thread-self/net/netstat",
];

/// Groups of TCP counters: `Tcp` of RFC 4022, and Linux's own.
const GROUPS: [&str; 3] = ["Tcp", "TcpExt", "MPTcpExt"];

/// TCP counters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Reads the counters of this thread's network namespace.
    pub fn read() -> io::Result<Self> {
        let mut counters = Self::default();
        for file in FILES {
            counters.add(&fs::read_to_string(file)?);
        }
        Ok(counters)
    }

    /// Adds the counters of one file: pairs of lines, one with names and one with values, each after the group's
    /// name.
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
            // `MaxConn` is -1: a setting, not a counter.
            let counted = pairs.filter_map(|(name, value)| Some((name, value.parse().ok()?)));
            self.0
                .extend(counted.map(|(name, value)| (name.to_owned(), value)));
        }
    }

    /// Returns the value of a counter; `None` if this kernel does not have it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }
}

/// Meter of the [`COUNTERS`] of one namespace for repeated reading. The files stay open and the positions of the
/// counters are looked up once, because parsing whole files takes longer than a trial.
#[derive(Debug)]
pub struct Meter {
    files: [Watched; 2],
    /// Values at the start of the trial.
    before: Values,
    unsupported_counters: Vec<String>,
}

/// Value of each of the [`COUNTERS`]; `None` if this kernel does not have it.
type Values = [Option<u64>; COUNTERS.len()];

const NO_VALUES: Values = [None; COUNTERS.len()];

#[derive(Debug)]
struct Watched {
    file: File,
    /// Group, word index in its line and index in [`COUNTERS`] of each counter of this file, in file order. Line
    /// numbers are not stable: the line of `IcmpMsg` exists only after the first message.
    places: Vec<(&'static str, usize, usize)>,
    text: Vec<u8>,
}

impl Meter {
    /// Opens the counters of this thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let [snmp, netstat] = FILES.map(Watched::open);
        let mut watch = Self {
            files: [snmp?, netstat?],
            before: NO_VALUES,
            unsupported_counters: Vec::new(),
        };
        let values = watch.read()?;
        let unknown = COUNTERS.iter().zip(values).filter(|(_, it)| it.is_none());
        watch.unsupported_counters = unknown.map(|(name, _)| (*name).to_owned()).collect();
        Ok(watch)
    }

    /// Marks the start of a trial.
    pub fn begin(&mut self) -> io::Result<()> {
        self.before = self.read()?;
        Ok(())
    }

    /// Returns the increases since the start of the trial.
    pub fn moved(&mut self) -> io::Result<CounterDelta> {
        let now = self.read()?;
        let pairs = COUNTERS.iter().zip(self.before.iter().zip(now));
        let by = pairs.filter_map(|(name, (before, now))| {
            let by = now?.wrapping_sub((*before)?);
            (by > 0).then(|| ((*name).to_owned(), by))
        });
        Ok(CounterDelta {
            by: by.collect(),
            unsupported_counters: self.unsupported_counters.clone(),
        })
    }

    fn read(&mut self) -> io::Result<Values> {
        let mut values = NO_VALUES;
        for file in &mut self.files {
            file.read(&mut values)?;
        }
        Ok(values)
    }
}

impl Watched {
    fn open(path: &str) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut watched = Self {
            file,
            places: Vec::new(),
            text: vec![0; 4096],
        };
        let len = watched.fill()?;
        watched.places = places(&String::from_utf8_lossy(&watched.text[..len]));
        Ok(watched)
    }

    /// Reads the file again. Returns its length in bytes.
    fn fill(&mut self) -> io::Result<usize> {
        let mut len = 0;
        // procfs may return less than fits, so read until the end.
        loop {
            if len == self.text.len() {
                self.text.resize(2 * len, 0);
            }
            match self.file.read_at(&mut self.text[len..], len as u64)? {
                0 => return Ok(len),
                more => len += more,
            }
        }
    }

    fn read(&mut self, values: &mut Values) -> io::Result<()> {
        let len = self.fill()?;
        let mut lines = self.text[..len].split(|byte| *byte == b'\n');
        let mut places = self.places.iter().peekable();
        while let Some((group, _, _)) = places.peek() {
            let group = *group;
            // A line of names, then the line of their values.
            let Some((_, text)) = next_pair(&mut lines, group) else {
                break;
            };
            let mut words = text.split(|byte| *byte == b' ').enumerate();
            while let Some((_, word, name)) = places.next_if(|(of, _, _)| *of == group) {
                let found = words.find(|(at, _)| at == word);
                values[*name] = found.and_then(|(_, digits)| number(digits));
            }
        }
        Ok(())
    }
}

/// Returns the next pair of lines of this group.
fn next_pair<'a>(
    lines: &mut impl Iterator<Item = &'a [u8]>,
    group: &str,
) -> Option<(&'a [u8], &'a [u8])> {
    loop {
        let pair = (lines.next()?, lines.next()?);
        let rest = pair.0.strip_prefix(group.as_bytes());
        if rest.is_some_and(|rest| rest.first() == Some(&b':')) {
            return Some(pair);
        }
    }
}

/// Returns the positions of the watched counters: the names are on one line, their values on the next.
fn places(text: &str) -> Vec<(&'static str, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.chunks_exact(2);
    let of_tcp = pairs.filter_map(|pair| {
        let group = pair[0].split(':').next()?;
        let group = GROUPS.iter().find(|known| **known == group)?;
        Some((*group, pair[0]))
    });
    of_tcp
        .flat_map(|(group, names)| {
            let words = names.split(' ').enumerate();
            words.filter_map(move |(word, name)| {
                let watched = COUNTERS.iter().position(|watched| *watched == name)?;
                Some((group, word, watched))
            })
        })
        .collect()
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
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

    /// Values are on the line after the names, in the same order.
    #[test]
    fn the_watched_ones_are_found_by_their_names() {
        let text = "Ip: OutRsts\nIp: 99\nTcp: MaxConn EstabResets OutRsts\nTcp: -1 14 16\n";
        let place = |name| COUNTERS.iter().position(|it| *it == name).unwrap();
        let expected = [
            ("Tcp", 2, place("EstabResets")),
            ("Tcp", 3, place("OutRsts")),
        ];
        assert_eq!(places(text), expected);
        assert_eq!(places("Tcp: OutRsts\n"), []);
    }

    /// `/proc/net/snmp` has lines of `IcmpMsg` only after the first message (`icmpmsg_put()`).
    #[test]
    fn lines_that_come_in_between_change_nothing() {
        let before = "Icmp: InMsgs\nIcmp: 0\nTcp: MaxConn EstabResets OutRsts\nTcp: -1 1 2\n";
        let after = "Icmp: InMsgs\nIcmp: 1\nIcmpMsg: InType3\nIcmpMsg: 1\n\
                     Tcp: MaxConn EstabResets OutRsts\nTcp: -1 3 4\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), before).unwrap();
        let mut watched = Watched::open(file.path().to_str().unwrap()).unwrap();
        std::fs::write(file.path(), after).unwrap();
        let mut values = NO_VALUES;
        watched.read(&mut values).unwrap();
        let value = |name| values[COUNTERS.iter().position(|it| *it == name).unwrap()];
        assert_eq!((value("EstabResets"), value("OutRsts")), (Some(3), Some(4)));
    }

    /// Counters of this namespace do not increase for resets in other namespaces. A refused connect increases two of
    /// them (RFC 4022: a transition from SYN-SENT to CLOSED, an RST sent).
    #[test]
    fn increases_are_reported_by_name() {
        let mut watch = Meter::open().unwrap();
        watch.begin().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        std::net::TcpStream::connect(address).unwrap_err();
        let moved = watch.moved().unwrap();
        // Tests run concurrently on the host's own loopback, so the increase may be larger.
        for name in ["OutRsts", "AttemptFails"] {
            assert!(moved.get(name).unwrap() >= 1, "{name}: {moved:?}");
        }
        assert_eq!(moved.get("TCPAbortOnMemory"), Some(0));
    }

    #[test]
    fn this_kernel_counts_the_resets_it_sends() {
        assert!(Counters::read().unwrap().get("OutRsts").is_some());
    }
}
