//! What this host says of the memory for its sockets: it may change what a trial predicts.
//!
//! A kernel that is short of memory for TCP takes less of a write, shrinks windows and delays a FIN. Most of that it counts
//! nowhere: a send buffer that cannot grow leaves no trace in the namespace's counters (`sk_stream_moderate_sndbuf()`,
//! `net/core/sock.c`). What can be read is whether the host is under pressure, and what a control group is allowed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// The memory for sockets, during one trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// TCP was under memory pressure on the whole host when the trial ended (`press` of `/proc/net/protocols`, which is
    /// `tcp_memory_pressure`).
    #[serde(default)]
    pub tcp_pressure: bool,
    /// Pages that TCP uses on the whole host, if they are more than the limit up to which send buffers grow.
    #[serde(default)]
    pub tcp_pages: Option<u64>,
    /// That limit: `tcp_mem[0]` (`tcp_should_expand_sndbuf()`, `net/ipv4/tcp_input.c`).
    #[serde(default)]
    pub tcp_pages_low: Option<u64>,
    /// Bytes that the control group of this process may use for TCP (`memory.kmem.tcp.limit_in_bytes`), if that is limited.
    #[serde(default)]
    pub cgroup_tcp_limit: Option<u64>,
    /// How often the control group has met a limit of its memory during the run (`high` and `max` of `memory.events`).
    #[serde(default)]
    pub cgroup_limit_hits: u64,
}

impl Memory {
    /// Less than this for TCP changes what trials do. One of them fills the buffers of both ends: `tcp_wmem[2]` and `tcp_rmem[2]`, 4
    /// and 6 MiB (32 from Linux 6.18 on), each counted twice over with the kernel's own data, and some run side by side.
    pub const ENOUGH_FOR_TCP: u64 = 512 << 20;

    /// Whether this can have changed what a trial has done.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let is_too_low = |limit: u64| limit < Self::ENOUGH_FOR_TCP;
        self.tcp_pressure
            || self.tcp_pages.is_some()
            || self.cgroup_tcp_limit.is_some_and(is_too_low)
            || self.cgroup_limit_hits > 0
    }
}

/// Reads it again and again.
#[derive(Debug)]
pub struct MemoryWatch {
    protocols: Option<File>,
    sockstat: Option<File>,
    cgroup_tcp_limit: Option<u64>,
    /// `memory.events` of this process's control group.
    events: Option<File>,
    hits_before: u64,
    text: Vec<u8>,
}

impl MemoryWatch {
    /// Opens what there is. Where there is nothing to read, nothing is known.
    #[must_use]
    pub fn open() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut watch = Self {
            protocols: File::open("/proc/thread-self/net/protocols").ok(),
            sockstat: File::open("/proc/thread-self/net/sockstat").ok(),
            cgroup_tcp_limit: tcp_limit(&groups),
            events: events_file(&groups).and_then(|path| File::open(path).ok()),
            hits_before: 0,
            text: vec![0; 8192],
        };
        watch.hits_before = watch.hits();
        watch
    }

    /// As it is now.
    pub fn read(&mut self) -> Memory {
        let hits = self.hits();
        let low = HOST_LIMIT.get().copied().flatten();
        let used = self
            .pages()
            .filter(|used| low.is_some_and(|low| *used > low));
        Memory {
            tcp_pressure: self.protocols().is_some_and(is_under_pressure),
            tcp_pages: used,
            tcp_pages_low: used.and(low),
            cgroup_tcp_limit: self.cgroup_tcp_limit,
            cgroup_limit_hits: hits.saturating_sub(self.hits_before),
        }
    }

    fn protocols(&mut self) -> Option<&str> {
        text(self.protocols.as_ref()?, &mut self.text)
    }

    fn pages(&mut self) -> Option<u64> {
        pages_of_tcp(text(self.sockstat.as_ref()?, &mut self.text)?)
    }

    fn hits(&mut self) -> u64 {
        let events = self.events.as_ref();
        let events = events.and_then(|file| text(file, &mut self.text));
        events.map_or(0, limit_hits)
    }
}

/// `tcp_mem[0]`, which only the first network namespace shows (`ipv4_table`, `net/ipv4/sysctl_net_ipv4.c`).
static HOST_LIMIT: OnceLock<Option<u64>> = OnceLock::new();

/// Reads it, if it is there. Call it on a thread that has not left the host's network namespace.
pub fn read_host_limits() {
    HOST_LIMIT.get_or_init(|| {
        let limits = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").ok()?;
        limits.split_whitespace().next()?.parse().ok()
    });
}

/// Pages that TCP uses, by `/proc/net/sockstat`: `TCP: inuse 1 orphan 0 tw 0 alloc 13 mem 56` (`sockstat_seq_show()`).
fn pages_of_tcp(sockstat: &str) -> Option<u64> {
    let line = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

/// What a file holds now, as far as the buffer goes: these are shorter.
fn text<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let mut len = 0;
    loop {
        match file.read_at(&mut buffer[len..], len as u64) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(_) => return None,
        }
    }
    std::str::from_utf8(&buffer[..len]).ok()
}

/// Whether TCP is, by `/proc/net/protocols`: name, size, sockets, memory, press, in columns (`proto_seq_printf()`). `TCPv6` shares
/// its account with TCP.
fn is_under_pressure(protocols: &str) -> bool {
    let mut lines = protocols.lines().map(str::split_whitespace);
    lines.any(|mut words| words.next() == Some("TCP") && words.nth(3) == Some("yes"))
}

/// How often a limit was met, by `memory.events`: pairs of a name and a number.
fn limit_hits(events: &str) -> u64 {
    let pairs = events.lines().filter_map(|line| line.split_once(' '));
    let counted = pairs.filter(|(name, _)| matches!(*name, "high" | "max"));
    counted
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

/// The limit for TCP of the control group (version 1) that `/proc/self/cgroup` names, if there is one.
fn tcp_limit(groups: &str) -> Option<u64> {
    /// `PAGE_COUNTER_MAX` pages, what no limit reads as on 64 bits, is some pages below `i64::MAX`; this is no memory's size.
    const NO_LIMIT: u64 = 1 << 62;
    let own = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let is_memory = controllers.split(',').any(|it| it == "memory");
        parts.next().filter(|_| is_memory)
    })?;
    let file = below(
        "/sys/fs/cgroup/memory",
        own,
        "memory.kmem.tcp.limit_in_bytes",
    )?;
    let limit = fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()?;
    (limit < NO_LIMIT).then_some(limit)
}

/// `memory.events` of the control group (version 2) that `/proc/self/cgroup` names.
fn events_file(groups: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    roots
        .into_iter()
        .find_map(|root| below(root, own, "memory.events"))
}

/// A file of this control group. In a container the mount may begin at the group itself, whatever path it has outside.
fn below(root: &str, group: &str, file: &str) -> Option<PathBuf> {
    let root = Path::new(root);
    let own = root.join(group.trim_start_matches('/')).join(file);
    [own, root.join(file)]
        .into_iter()
        .find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of `proto_seq_printf()`, net/core/sock.c.
    const PROTOCOLS: &str = "protocol  size sockets  memory press maxhdr  slab module     cl\n\
                             MPTCP     1904      0      56   yes      0   yes  kernel      y\n\
                             UDP       1152      2       0   NI       0   yes  kernel      y\n\
                             TCP       2304      7      56   no     320   yes  kernel      y\n";

    #[test]
    fn pressure_is_that_of_tcp_and_of_nobody_else() {
        assert!(!is_under_pressure(PROTOCOLS));
        assert!(is_under_pressure(
            &PROTOCOLS.replace("56   no ", "56   yes")
        ));
        for other in ["", "TCP", "TCP 1 2 3", "\n\n", "TCP yes yes yes no"] {
            assert!(!is_under_pressure(other), "{other}");
        }
    }

    #[test]
    fn pages_are_those_of_tcp() {
        let text =
            "sockets: used 27\nTCP: inuse 1 orphan 0 tw 0 alloc 13 mem 56\nUDP: inuse 0 mem 7\n";
        assert_eq!(pages_of_tcp(text), Some(56));
        assert_eq!(pages_of_tcp("UDP: inuse 0 mem 7\nTCP: inuse 1\n"), None);
    }

    #[test]
    fn only_limits_that_were_met_count() {
        let events = "low 7\nhigh 2\nmax 3\noom 1\noom_kill 0\nsock_throttled 0\n";
        assert_eq!(limit_hits(events), 5);
        assert_eq!(limit_hits("high\nmax x\n"), 0);
    }

    #[test]
    fn a_host_with_room_is_not_short() {
        assert!(!Memory::default().is_short());
        let limited = |bytes| Memory {
            cgroup_tcp_limit: Some(bytes),
            ..Memory::default()
        };
        assert!(limited(4096).is_short());
        assert!(!limited(Memory::ENOUGH_FOR_TCP).is_short());
    }
}
