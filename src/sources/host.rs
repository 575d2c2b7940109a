//! Host state that may change the outcome of a trial: memory for sockets, and the queues of CPUs.
//!
//! A kernel that is short of TCP memory accepts less of a write, shrinks windows and delays a FIN. It counts hardly
//! any of that: a send buffer that cannot grow changes no counter of the namespace (`sk_stream_moderate_sndbuf()`,
//! `net/core/sock.c`). The host does show memory pressure, and the limits of a control group. A packet that finds the
//! queue of a CPU full is dropped before any capture sees it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rstproof_core::kernel::host::HostState;

/// Open files with the host's state, for repeated reading.
#[derive(Debug)]
pub struct HostWatch {
    protocols: Option<File>,
    sockstat: Option<File>,
    softnet: Option<File>,
    cgroup_tcp: Option<(u64, File)>,
    /// The file `memory.events` of this process's control group.
    events: Option<File>,
    /// Limit hits and dropped packets at the start of the trial.
    before: (u64, u64),
    text: Vec<u8>,
}

impl HostWatch {
    /// Opens the files that exist. State whose file is missing is unknown.
    #[must_use]
    pub fn open() -> Self {
        // The process stays in its control group, so the files are looked up once.
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            protocols: File::open("/proc/thread-self/net/protocols").ok(),
            sockstat: File::open("/proc/thread-self/net/sockstat").ok(),
            softnet: File::open("/proc/thread-self/net/softnet_stat").ok(),
            cgroup_tcp: tcp_limit(&groups),
            events: events_file(&groups).and_then(|path| File::open(path).ok()),
            before: (0, 0),
            text: vec![0; 8192],
        }
    }

    /// Marks the start of a trial.
    pub fn begin(&mut self) {
        self.before = (self.hits(), self.drops());
    }

    /// Returns the state at the end of the trial.
    pub fn read(&mut self) -> HostState {
        let (hits, drops) = (self.hits(), self.drops());
        let low = HOST_LIMIT.get().copied().flatten();
        // Reported only when it matters: evidence is the same on all other hosts.
        let pages = self
            .pages()
            .filter(|used| low.is_some_and(|low| *used > low));
        let peak = self.peak();
        let limit = self.cgroup_tcp.as_ref().map(|(limit, _)| *limit);
        HostState {
            tcp_memory_pressure: self.protocols().is_some_and(is_under_pressure),
            tcp_pages: pages,
            tcp_mem_low_pages: pages.and(low),
            cgroup_tcp_limit_bytes: limit,
            cgroup_tcp_peak_bytes: peak,
            // Hits before the trial cannot have changed it.
            cgroup_memory_limit_hits: hits.saturating_sub(self.before.0),
            softnet_drops: drops.saturating_sub(self.before.1),
            neighbour_table_overflows: 0,
        }
    }

    fn protocols(&mut self) -> Option<&str> {
        text(self.protocols.as_ref()?, &mut self.text)
    }

    fn pages(&mut self) -> Option<u64> {
        tcp_of_sockstat(text(self.sockstat.as_ref()?, &mut self.text)?, "mem")
    }

    fn peak(&mut self) -> Option<u64> {
        let (_, peak) = self.cgroup_tcp.as_ref()?;
        text(peak, &mut self.text)?.trim().parse().ok()
    }

    fn hits(&mut self) -> u64 {
        let events = self.events.as_ref();
        let events = events.and_then(|file| text(file, &mut self.text));
        events.map_or(0, limit_hits)
    }

    fn drops(&mut self) -> u64 {
        let softnet = self.softnet.as_ref();
        let softnet = softnet.and_then(|file| text(file, &mut self.text));
        softnet.map_or(0, dropped_by_queues)
    }
}

/// Value of `tcp_mem[0]`, which only the initial network namespace shows (`ipv4_table`,
/// `net/ipv4/sysctl_net_ipv4.c`).
static HOST_LIMIT: OnceLock<Option<u64>> = OnceLock::new();

/// Reads `tcp_mem[0]`; in a container, takes a lower bound of its default instead. Must be called on a thread that is
/// still in the host's network namespace.
pub fn read_host_limits() {
    HOST_LIMIT.get_or_init(|| {
        let limits = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").ok();
        let low = limits.and_then(|it| it.split_whitespace().next()?.parse().ok());
        low.or_else(|| default_limit(&fs::read_to_string("/proc/meminfo").ok()?))
    });
}

/// Returns a lower bound of the default of `tcp_mem[0]`, in pages, from the text of `/proc/meminfo`. The default is
/// 3/64 of the pages that were free for buffers when the kernel started (`tcp_init_mem()`, `net/ipv4/tcp.c`), which
/// is nearly all memory; the bound is a quarter less.
fn default_limit(meminfo: &str) -> Option<u64> {
    /// Largest page size of Linux in bytes; a smaller one would give more pages.
    const PAGE: u64 = 64 << 10;
    let line = meminfo
        .lines()
        .find_map(|it| it.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let page = page.ok().flatten().and_then(|it| u64::try_from(it).ok());
    Some(kibibytes.saturating_mul(1024) / page.unwrap_or(PAGE) / 64 * 3 / 4 * 3)
}

/// Returns a number from the `TCP` line of `/proc/net/sockstat` (`sockstat_seq_show()`), which has each name before
/// its value: `TCP: inuse 1 orphan 0 tw 0 alloc 13 mem 56`. `mem` counts pages of the whole host, `tw` connections in
/// TIME-WAIT of the namespace.
pub(crate) fn tcp_of_sockstat(sockstat: &str, name: &str) -> Option<u64> {
    let mut lines = sockstat.lines();
    let line = lines.find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == name)?;
    words.next()?.parse().ok()
}

/// Returns the number of packets dropped at full queues, from `/proc/net/softnet_stat`: a line for each CPU, in
/// hexadecimal digits, the second column (`softnet_seq_show()`, `net/core/net-procfs.c`).
fn dropped_by_queues(softnet: &str) -> u64 {
    let columns = softnet
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    columns
        .filter_map(|it| u64::from_str_radix(it, 16).ok())
        .sum()
}

/// Reads a whole file. The buffer grows with it: a host may have many CPUs.
fn text<'a>(file: &File, buffer: &'a mut Vec<u8>) -> Option<&'a str> {
    let mut len = 0;
    loop {
        if len == buffer.len() {
            buffer.resize(2 * len, 0);
        }
        match file.read_at(&mut buffer[len..], len as u64) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(_) => return None,
        }
    }
    std::str::from_utf8(&buffer[..len]).ok()
}

/// Returns true if TCP is under memory pressure, from `/proc/net/protocols`: columns name, size, sockets, memory,
/// press (`proto_seq_printf()`). `TCPv6` shares its memory account with TCP.
fn is_under_pressure(protocols: &str) -> bool {
    let mut lines = protocols.lines().map(str::split_whitespace);
    lines.any(|mut words| words.next() == Some("TCP") && words.nth(3) == Some("yes"))
}

/// Returns the number of limit hits, from `memory.events`: pairs of a name and a number.
fn limit_hits(events: &str) -> u64 {
    let pairs = events.lines().filter_map(|line| line.split_once(' '));
    let counted = pairs.filter(|(name, _)| matches!(*name, "high" | "max"));
    counted
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

/// Returns the TCP memory limit of the control group (version 1) in `/proc/self/cgroup`, and the file with its peak
/// usage; `None` if there is no limit.
fn tcp_limit(groups: &str) -> Option<(u64, File)> {
    /// Lower bound of values that mean "no limit": `PAGE_COUNTER_MAX` pages, on 64 bits some pages below `i64::MAX`.
    /// No host has that much memory.
    const NO_LIMIT: u64 = 1 << 62;
    let own = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let is_memory = controllers.split(',').any(|it| it == "memory");
        parts.next().filter(|_| is_memory)
    })?;
    let file = |name| below("/sys/fs/cgroup/memory", own, name);
    let limit = fs::read_to_string(file("memory.kmem.tcp.limit_in_bytes")?).ok()?;
    let limit = limit
        .trim()
        .parse::<u64>()
        .ok()
        .filter(|limit| *limit < NO_LIMIT)?;
    let peak = File::open(file("memory.kmem.tcp.max_usage_in_bytes")?).ok()?;
    Some((limit, peak))
}

/// Returns the path of `memory.events` of the control group (version 2) in `/proc/self/cgroup`.
fn events_file(groups: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    roots
        .into_iter()
        .find_map(|root| below(root, own, "memory.events"))
}

/// Returns the path of a file of this control group. In a container the mount may begin at the group itself, whatever
/// its path outside.
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

    /// Columns of `proto_seq_printf()`, net/core/sock.c.
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
        assert_eq!(tcp_of_sockstat(text, "mem"), Some(56));
        assert_eq!(
            tcp_of_sockstat("UDP: inuse 0 mem 7\nTCP: inuse 1\n", "mem"),
            None
        );
    }

    /// Default of 3/64 of 256 MiB, less what the kernel reserves for itself.
    #[test]
    fn the_default_limit_is_taken_too_low_rather_than_too_high() {
        let low = default_limit("MemTotal:         262144 kB\nMemFree: 9 kB\n").unwrap();
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        let pages = (256 << 20) / u64::try_from(page.unwrap().unwrap()).unwrap();
        assert!(low < pages * 3 / 64 && low > pages / 64, "{low}");
        for other in ["", "MemTotal:", "MemTotal: many kB", "MemFree: 1 kB"] {
            assert_eq!(default_limit(other), None, "{other}");
        }
        assert!(default_limit(&format!("MemTotal: {} kB", u64::MAX)).is_some());
    }

    #[test]
    fn only_limits_that_were_met_count() {
        let events = "low 7\nhigh 2\nmax 3\noom 1\noom_kill 0\nsock_throttled 0\n";
        assert_eq!(limit_hits(events), 5);
        assert_eq!(limit_hits("high\nmax x\n"), 0);
    }

    #[test]
    fn drops_are_in_the_second_column_of_each_cpu() {
        let text = "0000a1b2 0000000f 00000003 00000000 00000000\n00000010 00000001 00000000 00000000 00000000\n";
        assert_eq!(dropped_by_queues(text), 16);
        assert_eq!(dropped_by_queues("\nx y z\n"), 0);
    }

    #[test]
    fn a_limit_matters_once_it_is_near() {
        let limited = |limit, peak| HostState {
            cgroup_tcp_limit_bytes: Some(limit),
            cgroup_tcp_peak_bytes: Some(peak),
            ..HostState::default()
        };
        assert!(!HostState::default().may_matter());
        assert!(!limited(4096, 0).may_matter());
        assert!(limited(4096, 16_384).is_short_of_memory());
        assert!(limited(4096, 3072).may_matter());
        assert!(!limited(u64::MAX, 1 << 30).may_matter());
    }
}
