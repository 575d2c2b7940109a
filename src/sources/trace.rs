//! Kernel trace events during trials: a private tracefs instance, shared by all workers of a run.
//!
//! tracefs is not namespaced: events of every namespace and program of the host arrive, and none carries a namespace.
//! So a run has one instance, not one per worker; each event goes to the worker that uses its addresses, and other
//! events are discarded. No thread is woken for an event: a worker that has ended its trial empties all rings, also
//! on behalf of other workers.
//!
//! An instance outlives the process that created it. It is removed when the run ends, whichever way, and the next run
//! removes those of runs that were killed.

pub mod record;
pub mod ring;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::record::{Decoder, EVENTS, Record};
use self::ring::{Head, Page};
use super::format::Format;
use super::tracefs::Tracefs;
use crate::clock::ClockCheck;
use crate::file::names_in;
use rstproof_core::kernel::event::{Coverage, Event, EventKind, Trace};
use rstproof_core::time::Timestamp;

/// Prefix of instance names; the process and its start time follow.
const NAME: &str = "rstproof";

/// Ring size in KiB per CPU: some 40,000 events. Other runs fill the rings too, and a delayed worker must not lose
/// the events of its trial.
pub const RING_KIB: u32 = 4096;

/// Returns the ring size in KiB per CPU that a host with this number of CPUs can afford: all rings together take at
/// most 64 MiB, unless there are very many CPUs.
fn share_kib(ring_kib: u32, cpus: usize) -> u32 {
    const ALL_KIB: usize = 64 * 1024;
    const LEAST_KIB: u32 = 64;
    let share = u32::try_from(ALL_KIB / cpus.max(1)).unwrap_or(u32::MAX);
    ring_kib.min(share.max(LEAST_KIB))
}

/// Open tracefs instance that records events.
#[derive(Debug)]
pub struct TraceSession {
    head: Head,
    decoders: BTreeMap<u16, Decoder>,
    coverage: Coverage,
    /// Rings, one per CPU.
    rings: Vec<Mutex<Ring>>,
    inboxes: Mutex<Vec<Inbox>>,
    /// Instance directory. Dropped after the rings: it cannot be removed while one is open.
    instance: Instance,
    /// Lead of this process's `CLOCK_MONOTONIC` over the trace clock, in nanoseconds.
    clock_offset_ns: i64,
}

/// Directory of the instance, removed on drop.
#[derive(Debug)]
struct Instance {
    /// The tracefs, which keeps the directory reachable.
    tracefs: Tracefs,
    directory: PathBuf,
}

#[derive(Debug)]
struct Ring {
    /// Open ring; `None` once the session is closed.
    pipe: Option<File>,
    page: Vec<u8>,
}

/// Records for one worker.
#[derive(Debug)]
struct Inbox {
    addresses: Vec<IpAddr>,
    records: Vec<Record>,
    /// True if records were lost, which may have belonged to any worker.
    overrun: bool,
}

/// Handle through which a worker receives its events of a session.
#[derive(Debug)]
pub struct Listener {
    session: Arc<TraceSession>,
    nth: usize,
}

/// Selection of the events of one trial.
#[derive(Clone, Copy, Debug)]
pub struct EventFilter {
    /// Address of the client.
    pub client: SocketAddr,
    /// Address of the server.
    pub server: SocketAddr,
    /// Start of the trial.
    pub began: Timestamp,
    /// End of the trial, or capture time of its fence: later events do not belong to it.
    pub fence: Option<Timestamp>,
}

impl TraceSession {
    /// Creates an instance with rings of `ring_kib` KiB per CPU, or less on hosts with many CPUs, and records the
    /// events of these ports.
    pub fn open(
        tracefs: Tracefs,
        ports: RangeInclusive<u16>,
        ring_kib: u32,
    ) -> io::Result<Arc<Self>> {
        let instances = tracefs.root().join("instances");
        remove_leftovers(&instances);
        let own = process_name(std::process::id()).unwrap_or_default();
        // The salt separates several instances of one process.
        let salt = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))?;
        let directory = instances.join(format!("{NAME}-{own}-{salt:08x}"));
        // `mkdir` in this directory creates rings and switches that no other tracer shares (`instance_mkdir()`).
        fs::create_dir(&directory)?;
        let instance = Instance { tracefs, directory };
        Self::set_up(instance, &ports, ring_kib).map(Arc::new)
    }

    fn set_up(instance: Instance, ports: &RangeInclusive<u16>, ring_kib: u32) -> io::Result<Self> {
        let Instance { tracefs, directory } = &instance;
        let write = |file: &str, text: &str| fs::write(directory.join(file), text);
        // `CLOCK_MONOTONIC`, which ClockCheck relates to the time of frames; the default clock is not global.
        write("trace_clock", "mono")?;
        let cpus = names_in(&directory.join("per_cpu"))?.len();
        write("buffer_size_kb", &share_kib(ring_kib, cpus).to_string())?;
        let head = ring_head(tracefs)?;
        // An event that this kernel lacks is missing from the coverage, which is no error.
        let formats = EVENTS.map(|(system, name)| (system, name, tracefs.format(system, name)));
        let mut session = Self {
            head,
            decoders: BTreeMap::new(),
            coverage: Coverage::default(),
            clock_offset_ns: clock_offset_ns(),
            rings: rings(directory)?,
            inboxes: Mutex::new(Vec::new()),
            instance,
        };
        for (system, name, format) in formats {
            if let Ok(format) = format {
                let enabled = session.enable(system, &format, ports);
                session.coverage = covered(session.coverage, name, enabled.as_ref());
            }
        }
        Ok(session)
    }

    /// Enables this event. Returns its decoder; `None` if the event cannot be recorded.
    fn enable(
        &mut self,
        system: &str,
        format: &Format,
        ports: &RangeInclusive<u16>,
    ) -> Option<Decoder> {
        let decoder = Decoder::new(format)?;
        let id = u16::try_from(format.id).ok()?;
        let event = self
            .instance
            .directory
            .join("events")
            .join(system)
            .join(&format.name);
        // Other connections of this host must not fill the rings. A kernel that rejects the filter records
        // everything.
        // The filter comes before the switch, or the ring would take the events of the moment between them.
        let _ = fs::write(event.join("filter"), filter(format, ports));
        fs::write(event.join("enable"), "1").ok()?;
        self.decoders.insert(id, decoder.clone());
        Some(decoder)
    }

    /// Returns a listener for a worker whose trials use these addresses and no others.
    #[must_use]
    pub fn listen(self: &Arc<Self>, addresses: Vec<IpAddr>) -> Listener {
        let mut inboxes = lock(&self.inboxes);
        inboxes.push(Inbox {
            addresses,
            records: Vec::new(),
            overrun: false,
        });
        Listener {
            session: Arc::clone(self),
            nth: inboxes.len() - 1,
        }
    }

    /// Moves the records of all rings to the inboxes. A worker whose trial waits for a timer does not call this,
    /// while other trials, even of other runs, fill the rings.
    pub fn empty(&self) -> io::Result<()> {
        for ring in &self.rings {
            // Waits for a ring in use: its reader may be delivering records for this worker.
            let mut ring = lock(ring);
            while let Some(length) = ring.read()? {
                self.hand_out(&ring.page[..length]);
            }
        }
        Ok(())
    }

    fn hand_out(&self, page: &[u8]) {
        let mut inboxes = lock(&self.inboxes);
        let Some(page) = Page::new(page, self.head) else {
            inboxes.iter_mut().for_each(|inbox| inbox.overrun = true);
            return;
        };
        if page.missed {
            inboxes.iter_mut().for_each(|inbox| inbox.overrun = true);
        }
        for (at, bytes) in page {
            // Every record begins with `common_type`.
            let id = bytes.first_chunk().map(|id| u16::from_ne_bytes(*id));
            let decoder = id.and_then(|id| self.decoders.get(&id));
            let Some(record) = decoder.and_then(|it| it.decode(at, bytes)) else {
                continue;
            };
            // Trace events come from all network namespaces of the host. The addresses of a worker are its own, so they
            // tell which worker an event belongs to.
            let is_one = |address: &IpAddr| {
                *address == record.source.ip() || *address == record.destination.ip()
            };
            for inbox in inboxes.iter_mut() {
                if inbox.addresses.iter().any(is_one) {
                    inbox.records.push(record.clone());
                }
            }
        }
    }

    /// Removes the instance; no more events arrive.
    pub fn close(&self) {
        for ring in &self.rings {
            // The instance cannot be removed while a pipe is open.
            lock(ring).pipe = None;
        }
        self.instance.remove();
    }
}

impl Instance {
    fn remove(&self) {
        // `rmdir` removes an instance with everything in it (`instance_rmdir()`).
        let _ = fs::remove_dir(&self.directory);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(inbox) = lock(&self.session.inboxes).get_mut(self.nth) {
            // Emptied, not removed: other listeners refer to theirs by index.
            inbox.addresses = Vec::new();
            inbox.records = Vec::new();
        }
    }
}

/// Returns the lead of this process's `CLOCK_MONOTONIC` over the host's, which the trace uses: time namespaces have
/// an offset (`time_namespaces(7)`), for example in containers that were restored from a checkpoint.
fn clock_offset_ns() -> i64 {
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    monotonic_offset_ns(&offsets).unwrap_or(0)
}

/// Returns the offset of the line `monotonic SECONDS NANOSECONDS`, in nanoseconds.
fn monotonic_offset_ns(offsets: &str) -> Option<i64> {
    let mut lines = offsets.lines().map(str::split_whitespace);
    let mut words = lines.find_map(|mut words| (words.next()? == "monotonic").then_some(words))?;
    let seconds: i64 = words.next()?.parse().ok()?;
    let nanoseconds: i64 = words.next()?.parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

impl Listener {
    /// Returns the events of a trial that has ended, with the times that `clocks` converts them to.
    pub fn take(&self, filter: &EventFilter, clocks: ClockCheck) -> io::Result<Trace> {
        // The rings are shared: this may deliver records to other workers, and others may have delivered some to this
        // one.
        self.session.empty()?;
        let mut inboxes = lock(&self.session.inboxes);
        let Some(inbox) = inboxes.get_mut(self.nth) else {
            return Ok(Trace::default());
        };
        let coverage = Coverage {
            overrun: std::mem::take(&mut inbox.overrun),
            ..self.session.coverage
        };
        let mut sockets = Sockets::default();
        let records = inbox.records.drain(..);
        let mut events: Vec<Event> = records
            .filter(|record| filter.concerns(record))
            .filter_map(|record| {
                let at = clocks.realtime_of(record.at_ns);
                let at = Timestamp(at.0.saturating_add(self.session.clock_offset_ns));
                (at >= filter.began && filter.fence.is_none_or(|fence| at <= fence))
                    .then(|| sockets.event(record, at))
            })
            .collect();
        // Each CPU has its own ring, so the events are sorted only now.
        events.sort_by_key(|event| event.at);
        Ok(Trace { events, coverage })
    }
}

impl EventFilter {
    /// Returns true if the record belongs to the connection, or to an RST from its listener.
    fn concerns(&self, record: &Record) -> bool {
        let ends = (record.source, record.destination);
        if ends == (self.client, self.server) || ends == (self.server, self.client) {
            return true;
        }
        // A listener has no peer.
        let is_listener = record.source == self.server
            && record.destination.ip().is_unspecified()
            && record.destination.port() == 0;
        is_listener && matches!(record.kind, EventKind::SendReset { .. })
    }
}

/// Numbering of sockets, which replaces their pointers.
#[derive(Default)]
struct Sockets(Vec<u64>);

impl Sockets {
    fn event(&mut self, record: Record, at: Timestamp) -> Event {
        let socket = (record.pointer != 0).then(|| self.number(record.pointer));
        Event {
            at,
            source: record.source,
            destination: record.destination,
            socket,
            cookie: record.cookie,
            kind: record.kind,
        }
    }

    fn number(&mut self, pointer: u64) -> u32 {
        let place = self.0.iter().position(|known| *known == pointer);
        let place = place.unwrap_or_else(|| {
            self.0.push(pointer);
            self.0.len() - 1
        });
        u32::try_from(place + 1).unwrap_or(u32::MAX)
    }
}

impl Ring {
    /// Reads a page; `None` if the ring is empty or closed.
    fn read(&mut self) -> io::Result<Option<usize>> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(None);
        };
        match pipe.read(&mut self.page) {
            Ok(0) => Ok(None),
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.read(),
            Err(error) => Err(error),
        }
    }
}

/// Returns the coverage after this event was enabled, or could not be.
fn covered(mut coverage: Coverage, name: &str, decoder: Option<&Decoder>) -> Coverage {
    let is_there = decoder.is_some();
    match name {
        "tcp_send_reset" => {
            coverage.tcp_send_reset = is_there;
            coverage.resets_without_socket = decoder.is_some_and(Decoder::tells_without_socket);
            coverage.reset_reasons = decoder.is_some_and(Decoder::gives_reasons);
        }
        "tcp_receive_reset" => coverage.tcp_receive_reset = is_there,
        "inet_sk_error_report" => coverage.inet_sk_error_report = is_there,
        "inet_sock_set_state" => coverage.inet_sock_set_state = is_there,
        _ => {}
    }
    coverage
}

/// Reads the layout of the ring buffer's pages.
fn ring_head(tracefs: &Tracefs) -> io::Result<Head> {
    let text = read_at_once(&tracefs.root().join("events/header_page"))?;
    ring::head(&text).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "unknown layout of this kernel's trace ring buffer",
        )
    })
}

/// Reads a tracefs file that returns its whole text to the first read, and nothing to a second one.
fn read_at_once(path: &Path) -> io::Result<String> {
    let mut text = vec![0; 4096];
    let length = File::open(path)?.read(&mut text)?;
    text.truncate(length);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Returns the filter for the records of an event, as far as its fields allow one.
fn filter(format: &Format, ports: &RangeInclusive<u16>) -> String {
    let mut terms = Vec::new();
    let (first, last) = (ports.start(), ports.end());
    if format.field("sport").is_some() && format.field("dport").is_some() {
        terms.push(format!(
            "(sport >= {first} && sport <= {last} || dport >= {first} && dport <= {last})"
        ));
    }
    // Subflows of Multipath TCP are TCP, but their parent socket is not.
    if format.field("protocol").is_some() {
        terms.push(format!("protocol == {}", libc::IPPROTO_TCP));
    }
    // The event is also recorded when the error is cleared.
    if format.field("error").is_some() {
        terms.push("error != 0".to_owned());
    }
    if terms.is_empty() {
        // The text `0` removes the filter.
        return "0".to_owned();
    }
    terms.join(" && ")
}

/// Opens the ring of each CPU.
fn rings(directory: &Path) -> io::Result<Vec<Mutex<Ring>>> {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
    let page = page.and_then(|size| usize::try_from(size).ok());
    let size = page.unwrap_or(4096);
    let mut rings = Vec::new();
    let cpus = directory.join("per_cpu");
    for cpu in names_in(&cpus)? {
        let pipe = OpenOptions::new()
            .read(true)
            // A read of an empty ring would wait for events.
            .custom_flags(libc::O_NONBLOCK)
            .open(cpus.join(cpu).join("trace_pipe_raw"))?;
        rings.push(Mutex::new(Ring {
            pipe: Some(pipe),
            page: vec![0; size],
        }));
    }
    Ok(rings)
}

/// Returns a name that identifies a process, even after its number was reused: its number and its start time.
fn process_name(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold anything; field 22 is the start time (proc(5)).
    let (_, fields) = stat.rsplit_once(") ")?;
    let began = fields.split(' ').nth(19)?;
    Some(format!("{process}-{began}"))
}

/// Removes instances whose processes have ended. An instance in use cannot be removed: its pipes are open.
fn remove_leftovers(instances: &Path) {
    for name in names_in(instances).unwrap_or_default() {
        let Some(maker) = name
            .to_str()
            .and_then(|name| name.strip_prefix(NAME)?.strip_prefix('-')?.rsplit_once('-'))
            .map(|(maker, _)| maker)
        else {
            continue;
        };
        let process = maker.split('-').next().and_then(|it| it.parse().ok());
        if process.and_then(process_name).as_deref() != Some(maker) {
            let _ = fs::remove_dir(instances.join(name));
        }
    }
}

/// Locks a mutex, also after another thread panicked: no update here can be left incomplete.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Format of `proc_timens_show_offsets()`, kernel/time/namespace.c.
    #[test]
    fn the_offset_of_a_time_namespace_is_read() {
        let offsets = "monotonic           100         5\nboottime          -7200         0\n";
        assert_eq!(monotonic_offset_ns(offsets), Some(100_000_000_005));
        assert_eq!(
            monotonic_offset_ns("monotonic -3 999999999\n"),
            Some(-2_000_000_001)
        );
        for none in [
            "",
            "boottime 1 2",
            "monotonic",
            "monotonic x 0",
            "monotonic 9223372036854775807 0",
        ] {
            assert_eq!(monotonic_offset_ns(none), None, "{none}");
        }
    }

    #[test]
    fn rings_take_what_is_asked_or_their_share_of_64_mib() {
        for (asked, cpus, expected) in [
            (RING_KIB, 1, 4096),
            (RING_KIB, 64, 1024),
            (RING_KIB, 128, 512),
            (RING_KIB, 8192, 64),
            (8, 2, 8),
            (8, 8192, 8),
            (RING_KIB, 0, 4096),
        ] {
            assert_eq!(share_kib(asked, cpus), expected, "{asked} {cpus}");
        }
    }

    /// Field 22 of stat, after a name that may hold blanks and brackets (proc(5)).
    #[test]
    fn a_process_is_distinguished_from_others_with_the_same_id() {
        let own = process_name(std::process::id()).unwrap();
        let (process, began) = own.split_once('-').unwrap();
        assert_eq!(process, std::process::id().to_string());
        assert!(began.parse::<u64>().unwrap() > 0);
        assert_eq!(process_name(u32::MAX), None);
    }

    /// Instances with other names stay, and so do those of running processes, this one included.
    #[test]
    fn only_what_dead_processes_have_left_is_removed() {
        let instances = tempfile::tempdir().unwrap();
        let own = process_name(std::process::id()).unwrap();
        let alive = format!("{NAME}-{own}-00000000");
        let other_time = format!("{NAME}-{}-1-00000000", std::process::id());
        let dead = format!("{NAME}-{}-5-00000000", u32::MAX);
        let kept = [alive.as_str(), "rstproof", "rstproof-x", "somebodys"];
        for name in kept.into_iter().chain([&*other_time, &dead]) {
            fs::create_dir(instances.path().join(name)).unwrap();
        }
        remove_leftovers(instances.path());
        let left = fs::read_dir(instances.path()).unwrap();
        let mut left: Vec<_> = left.map(|it| it.unwrap().file_name()).collect();
        left.sort();
        let mut kept = kept.map(std::ffi::OsString::from);
        kept.sort();
        assert_eq!(left, kept);
    }

    /// Events of a kernel without the field are not filtered by the kernel, but when they are delivered.
    #[test]
    fn a_filter_asks_only_for_what_the_event_has() {
        let format = |text: &str| Format::parse(text).unwrap();
        let ports = 8080..=8082;
        let of = |text: &str| filter(&format(text), &ports);
        let sent = include_str!("../../tests/formats/tcp_send_reset-6.18");
        assert_eq!(of(sent), "0");
        let by_port = "(sport >= 8080 && sport <= 8082 || dport >= 8080 && dport <= 8082)";
        let received = include_str!("../../tests/formats/tcp_receive_reset-6.18");
        assert_eq!(of(received), by_port);
        let error = include_str!("../../tests/formats/inet_sk_error_report-6.18");
        assert_eq!(
            of(error),
            format!("{by_port} && protocol == 6 && error != 0")
        );
    }
}
