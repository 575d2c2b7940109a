//! Runs this program as the first process of a guest: mounts file systems, loads modules, runs trials in a child
//! process, sends the evidence over the second serial line, and powers the guest off.
//!
//! The program does so only as process 1 of a kernel that was started with the argument `MARK`; process 1 of a
//! container is a different case.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::termios::{self, SetArg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::bundle;
use super::initramfs::{ARGUMENTS, MODULES, module_file};
use crate::error::reason;
use crate::file::names_in;
use crate::trial::pool::runtime;
use crate::trial::this_program;

/// Last command-line argument of the guest's first process.
pub(super) const COMMAND: &str = "guest";

/// Kernel argument that marks a guest; the time limit of the run in seconds follows.
pub(super) const MARK: &str = "rstproof.guest=";

/// Device of the second serial line, which carries the result.
const LINE: &str = "/dev/ttyS1";

/// Directory in which the run saves its evidence.
const EVIDENCE: &str = "/evidence";

/// Name of the file that reports how the run ended, sent beside the evidence.
pub(super) const STATUS: &str = "ending";

/// Way in which a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Exited with this code.
    Exit(i32),
    /// Killed by this signal.
    Signal(Signal),
    /// Exceeded its time limit and was terminated.
    TimedOut,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => f.write_str(signal.as_str()),
            Self::TimedOut => f.write_str(TIMED_OUT),
        }
    }
}

const TIMED_OUT: &str = "too late";

impl FromStr for Ending {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix("exit ") {
            Some(code) => code.parse().map(Self::Exit).map_err(drop),
            None if text == TIMED_OUT => Ok(Self::TimedOut),
            None => text.parse().map(Self::Signal).map_err(drop),
        }
    }
}

/// Time that a run has to end after SIGTERM. A bound on failure.
const RUN_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum number of files that the run may have open.
const MAX_OPEN_FILES: u64 = 1 << 16;

/// File systems to mount: source, mount point, type.
const MOUNTS: [(&str, &str, &str); 3] = [
    ("devtmpfs", "/dev", "devtmpfs"),
    // sysfs comes before tracefs, whose mount point is in it.
    ("sysfs", "/sys", "sysfs"),
    ("tracefs", "/sys/kernel/tracing", "tracefs"),
];

/// Returns true if this program is the first process of a guest that `rstproof kernels` started. The kernel hands
/// unknown parameters of its command line to the first process, ahead of the program's own arguments, so `COMMAND` may
/// be at any position.
#[must_use]
pub(crate) fn is_meant(mut arguments: impl Iterator<Item = OsString>) -> bool {
    if getpid() != Pid::from_raw(1) || arguments.all(|argument| argument != COMMAND) {
        return false;
    }
    // The kernel starts its first process with nothing mounted but the unpacked initramfs.
    if !Path::new("/proc/cmdline").exists() && mount_at("proc", "/proc", "proc").is_err() {
        return false;
    }
    bound_here().is_some()
}

/// Runs the trials, sends their evidence and powers the guest off. Does not return: a first process that exits causes a
/// kernel panic.
pub(crate) fn guest() -> ! {
    let bound = bound_here().unwrap_or_default();
    if let Err(why) = work(Duration::from_secs(bound)) {
        report_failure(&why);
    }
    switch_off()
}

fn bound_here() -> Option<u64> {
    bound(&fs::read_to_string("/proc/cmdline").ok()?)
}

/// Returns the time limit of the run, in seconds, from the kernel's command line.
fn bound(line: &str) -> Option<u64> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(MARK))
        .and_then(|seconds| seconds.parse().ok())
}

/// Reports a failure on the console and to the host. `why` continues "cannot".
fn report_failure(why: &str) {
    eprintln!("rstproof: cannot {why}");
    if let Ok(mut line) = open_line() {
        let _ = bundle::send_failure(&mut line, why);
        // Powering off does not wait until the serial port has sent what is buffered.
        let _ = termios::tcdrain(&line);
    }
}

/// Runs the trials and sends their evidence. Every error text continues "cannot".
fn work(bound: Duration) -> Result<(), String> {
    for (source, place, kind) in MOUNTS {
        // Not fatal: the run reports which evidence is unavailable without this mount.
        if let Err(errno) = mount_at(source, place, kind) {
            eprintln!("rstproof: cannot mount {place}: {errno}");
        }
    }
    let mut line = open_line()?;
    // From here on the time limit of the trials applies, no longer that of the boot.
    bundle::send_ready(&mut line)
        .map_err(|error| format!("write to {LINE}: {}", reason(&error)))?;
    load_modules();
    let arguments = fs::read_to_string(ARGUMENTS)
        .map_err(|error| format!("read {ARGUMENTS}: {}", reason(&error)))?;
    // Like a service manager: concurrent trials hold many files open.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, MAX_OPEN_FILES, MAX_OPEN_FILES);
    let mut child = Command::new(this_program())
        .args(["run", "--quiet", "--color", "never", "--write", EVIDENCE])
        .args(arguments.lines())
        .stdin(Stdio::null())
        // Piped, since the console is a terminal and the run would draw its progress on it.
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("start the run: {}", reason(&error)))?;
    let copies = [
        repeat_on_console(child.stdout.take())?,
        repeat_on_console(child.stderr.take())?,
    ];
    let ending = runtime()
        .map_err(|error| error.to_string())?
        .block_on(until_it_ends(&child, bound))?;
    for end in copies {
        // With a time limit: a process that outlives the run may still hold the other end.
        let _ = end.recv_timeout(RUN_SHUTDOWN_TIMEOUT);
    }
    let mut files = evidence().map_err(|error| format!("read {EVIDENCE}: {}", reason(&error)))?;
    if files.is_empty() {
        return Err(match ending {
            Ending::TimedOut => format!("run a trial within {} s (--timeout)", bound.as_secs()),
            Ending::Signal(signal) => format!("run a trial: the run was ended by {signal}"),
            Ending::Exit(_) => "run a trial (its console says why)".to_owned(),
        });
    }
    files.push((STATUS.to_owned(), ending.to_string().into_bytes()));
    bundle::send_bundle(&mut line, &files)
        .map_err(|error| format!("write to {LINE}: {}", reason(&error)))?;
    termios::tcdrain(&line).map_err(|errno| format!("write to {LINE}: {errno}"))
}

/// Copies a stream to the console in a thread. Returns a receiver that is notified at the end of the stream.
fn repeat_on_console(stream: Option<impl Read + Send + 'static>) -> Result<Receiver<()>, String> {
    let (ended, end) = channel();
    if let Some(mut stream) = stream {
        let repeat = move || {
            let _ = io::copy(&mut stream, &mut io::stderr());
            let _ = ended.send(());
        };
        let started = thread::Builder::new().spawn(repeat);
        started.map_err(|error| format!("start a thread: {}", reason(&error)))?;
    }
    Ok(end)
}

fn mount_at(source: &str, place: &str, kind: &str) -> Result<(), Errno> {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some(source), place, Some(kind), safe, None::<&str>)
}

/// Opens the serial line in raw mode, so that the terminal driver translates no byte.
fn open_line() -> Result<File, String> {
    let failed = |error: &io::Error| format!("open {LINE}: {}", reason(error));
    let line = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(LINE)
        .map_err(|error| failed(&error))?;
    let raw = || -> Result<(), Errno> {
        let mut settings = termios::tcgetattr(&line)?;
        termios::cfmakeraw(&mut settings);
        termios::tcsetattr(&line, SetArg::TCSANOW, &settings)
    };
    raw().map_err(|errno| failed(&errno.into()))?;
    Ok(line)
}

/// Loads the modules of the guest. A failure is printed and not fatal: the run reports which evidence is unavailable.
fn load_modules() {
    let names = fs::read_to_string(MODULES).unwrap_or_default();
    for name in names.lines() {
        let loaded = File::open(module_file(name))
            .map_err(|error| reason(&error))
            .and_then(|file| {
                finit_module(&file, c"", ModuleInitFlags::empty()).map_err(|it| it.to_string())
            });
        if let Err(why) = loaded {
            eprintln!("rstproof: cannot load the module {name}: {why}");
        }
    }
}

/// Waits for the run, reaping every other child that is reparented to this process. After `bound` the run gets SIGTERM,
/// upon which it saves what it has measured, and later SIGKILL.
async fn until_it_ends(child: &Child, bound: Duration) -> Result<Ending, String> {
    // Registered before the first check, so that no SIGCHLD is missed between a check and the wait after it.
    let mut ended = signal(SignalKind::child()).map_err(|error| error.to_string())?;
    let run = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    let run = Pid::from_raw(run);
    let mut is_late = false;
    for (bound, signal) in [
        (bound, Signal::SIGTERM),
        (RUN_SHUTDOWN_TIMEOUT, Signal::SIGKILL),
    ] {
        if let Some(ending) = ended_within(bound, run, &mut ended).await {
            return Ok(if is_late { Ending::TimedOut } else { ending });
        }
        eprintln!(
            "rstproof: the run did not end in {} s: {signal}",
            bound.as_secs()
        );
        let _ = kill(run, signal);
        is_late = true;
    }
    Ok(Ending::TimedOut)
}

/// Waits until the run ends, for at most `bound`. Returns `None` if it has not ended. `child_ended` receives SIGCHLD.
async fn ended_within(
    bound: Duration,
    run: Pid,
    child_ended: &mut tokio::signal::unix::Signal,
) -> Option<Ending> {
    let deadline = sleep(bound);
    tokio::pin!(deadline);
    loop {
        if let Some(ending) = how_ended(run) {
            return Some(ending);
        }
        tokio::select! {
            _ = child_ended.recv() => {}
            () = &mut deadline => return None,
        }
    }
}

/// Reaps every child that has exited. Returns how the run ended, if it has.
fn how_ended(run: Pid) -> Option<Ending> {
    let mut ending = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(child, status)) if child == run => {
                ending = Some(Ending::Exit(status));
            }
            Ok(WaitStatus::Signaled(child, signal, _)) if child == run => {
                ending = Some(Ending::Signal(signal));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return ending,
            Ok(_) => {}
        }
    }
}

/// Reads all files that the run has saved, without hidden ones, sorted by name.
fn evidence() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let directory = Path::new(EVIDENCE);
    let names = match names_in(directory) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error),
    };
    for name in names {
        if let Ok(name) = name.into_string()
            && !name.starts_with('.')
        {
            let bytes = fs::read(directory.join(&name))?;
            files.push((name, bytes));
        }
    }
    files.sort();
    Ok(files)
}

fn switch_off() -> ! {
    let _ = io::stderr().flush();
    // A kernel without ACPI cannot power off. A reset ends the emulator as well (`-no-reboot`).
    for mode in [RebootMode::RB_POWER_OFF, RebootMode::RB_AUTOBOOT] {
        let _ = reboot(mode);
    }
    // Neither power-off nor reset works: waits until the host kills the emulator.
    loop {
        let _ = SigSet::all().wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_on_the_command_line_bounds_the_run() {
        assert_eq!(
            bound("console=ttyS0 rstproof.guest=120 -- guest\n"),
            Some(120)
        );
        for other in [
            "",
            "console=ttyS0",
            "rstproof.guest=soon",
            "xrstproof.guest=3",
        ] {
            assert_eq!(bound(other), None, "{other}");
        }
    }

    #[test]
    fn how_a_run_ended_is_understood_at_the_other_end() {
        for ending in [
            Ending::Exit(0),
            Ending::Exit(143),
            Ending::Signal(Signal::SIGKILL),
            Ending::TimedOut,
        ] {
            assert_eq!(ending.to_string().parse(), Ok(ending));
        }
        for other in ["", "exit", "exit x", "SIGNONE", "0"] {
            assert_eq!(other.parse::<Ending>(), Err(()), "{other}");
        }
    }

    /// The process of a test is not process 1.
    #[test]
    fn elsewhere_it_is_not_meant() {
        assert!(!is_meant([OsString::from(COMMAND)].into_iter()));
    }
}
