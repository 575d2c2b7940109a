//! This program as the first process of a guest: it mounts what a run needs, loads modules, runs trials as its own child,
//! sends what came of them over the second serial line, and switches the guest off.
//!
//! It is that only as process 1 of a kernel that was started with its own argument (`MARK`): process 1 of a container is
//! another thing.

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

use super::initramfs::{ARGUMENTS, MODULES, module_file};
use super::parcel;
use crate::error::reason;
use crate::file::names_in;
use crate::trial::pool::runtime;
use crate::trial::this_program;

/// The last of its arguments.
pub(super) const COMMAND: &str = "guest";

/// The kernel argument without which it does nothing; the seconds that the run may take follow.
pub(super) const MARK: &str = "rstproof.guest=";

/// The second serial line.
const LINE: &str = "/dev/ttyS1";

/// Where the run saves its evidence.
const EVIDENCE: &str = "/evidence";

/// The name under which it is sent how the run ended, beside its evidence.
pub(super) const STATUS: &str = "ending";

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Exit(i32),
    /// By a signal.
    Signal(Signal),
    /// It took longer than it may, and was told to end.
    TooLate,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => f.write_str(signal.as_str()),
            Self::TooLate => f.write_str(TOO_LATE),
        }
    }
}

const TOO_LATE: &str = "too late";

impl FromStr for Ending {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix("exit ") {
            Some(code) => code.parse().map(Self::Exit).map_err(drop),
            None if text == TOO_LATE => Ok(Self::TooLate),
            None => text.parse().map(Self::Signal).map_err(drop),
        }
    }
}

/// How long a run that was told to end may take for it. A bound on failure.
const FAREWELL: Duration = Duration::from_secs(15);

/// How many files the run may have open.
const MOST_FILES: u64 = 1 << 16;

/// What is mounted: source, place, type.
const MOUNTS: [(&str, &str, &str); 3] = [
    ("devtmpfs", "/dev", "devtmpfs"),
    ("sysfs", "/sys", "sysfs"),
    ("tracefs", "/sys/kernel/tracing", "tracefs"),
];

/// Whether this program is the first process of a guest that `rstproof kernels` has started. Its kernel hands it what it
/// did not know itself of its command line, in front of what is meant for it.
#[must_use]
pub fn is_meant(mut arguments: impl Iterator<Item = OsString>) -> bool {
    if getpid() != Pid::from_raw(1) || arguments.all(|argument| argument != COMMAND) {
        return false;
    }
    if !Path::new("/proc/cmdline").exists() && mount_at("proc", "/proc", "proc").is_err() {
        return false;
    }
    bound_here().is_some()
}

/// Does all of it, and does not return: a first process that ends is a kernel panic.
pub fn guest() -> ! {
    let bound = bound_here().unwrap_or_default();
    if let Err(why) = work(Duration::from_secs(bound)) {
        complain(&why);
    }
    switch_off()
}

fn bound_here() -> Option<u64> {
    bound(&fs::read_to_string("/proc/cmdline").ok()?)
}

/// What the kernel's command line says of the time that the run may take.
fn bound(line: &str) -> Option<u64> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(MARK))
        .and_then(|seconds| seconds.parse().ok())
}

/// On the console, and for the host.
fn complain(why: &str) {
    eprintln!("rstproof: cannot {why}");
    if let Ok(mut line) = open_line() {
        let _ = parcel::complain(&mut line, why);
        let _ = termios::tcdrain(&line);
    }
}

/// Each of its errors continues "cannot".
fn work(bound: Duration) -> Result<(), String> {
    for (source, place, kind) in MOUNTS {
        // Where something is missing the run says what it does without.
        if let Err(errno) = mount_at(source, place, kind) {
            eprintln!("rstproof: cannot mount {place}: {errno}");
        }
    }
    let mut line = open_line()?;
    parcel::greet(&mut line).map_err(|error| format!("write to {LINE}: {}", reason(&error)))?;
    load_modules();
    let arguments = fs::read_to_string(ARGUMENTS)
        .map_err(|error| format!("read {ARGUMENTS}: {}", reason(&error)))?;
    // As a service manager would allow it: trials that wait have many files open together.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, MOST_FILES, MOST_FILES);
    let mut child = Command::new(this_program())
        .args(["run", "--quiet", "--color", "never", "--write", EVIDENCE])
        .args(arguments.lines())
        .stdin(Stdio::null())
        // The console is a terminal, on which progress would be drawn.
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("start the run: {}", reason(&error)))?;
    let said = [
        repeat_on_console(child.stdout.take())?,
        repeat_on_console(child.stderr.take())?,
    ];
    let ending = runtime()
        .map_err(|error| error.to_string())?
        .block_on(until_it_ends(&child, bound))?;
    for end in said {
        // A bound, for what the run has left behind may still hold the other end.
        let _ = end.recv_timeout(FAREWELL);
    }
    let mut files = evidence().map_err(|error| format!("read {EVIDENCE}: {}", reason(&error)))?;
    if files.is_empty() {
        return Err(match ending {
            Ending::TooLate => format!("run a trial within {} s (--timeout)", bound.as_secs()),
            Ending::Signal(signal) => format!("run a trial: {signal} has ended the run"),
            Ending::Exit(_) => "run a trial (its console says why)".to_owned(),
        });
    }
    files.push((STATUS.to_owned(), ending.to_string().into_bytes()));
    parcel::send(&mut line, &files)
        .map_err(|error| format!("write to {LINE}: {}", reason(&error)))?;
    termios::tcdrain(&line).map_err(|errno| format!("write to {LINE}: {errno}"))
}

/// Copies a stream to the console in a thread. Gives what receives the news when the stream has ended.
fn repeat_on_console(said: Option<impl Read + Send + 'static>) -> Result<Receiver<()>, String> {
    let (ended, end) = channel();
    if let Some(mut said) = said {
        let repeat = move || {
            let _ = io::copy(&mut said, &mut io::stderr());
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

/// The line as it is: no character stands for another one.
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

/// What a module is missing for the run finds out by itself.
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

/// Waits for the run, and for whatever else has become this process's child. Past the bound the run is told to end, which
/// saves what it has measured.
async fn until_it_ends(child: &Child, bound: Duration) -> Result<Ending, String> {
    let mut ended = signal(SignalKind::child()).map_err(|error| error.to_string())?;
    let run = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    let run = Pid::from_raw(run);
    let mut is_late = false;
    for (bound, signal) in [(bound, Signal::SIGTERM), (FAREWELL, Signal::SIGKILL)] {
        let deadline = sleep(bound);
        tokio::pin!(deadline);
        loop {
            if let Some(ending) = how_ended(run) {
                return Ok(if is_late { Ending::TooLate } else { ending });
            }
            tokio::select! {
                _ = ended.recv() => {}
                () = &mut deadline => break,
            }
        }
        eprintln!(
            "rstproof: the run did not end in {} s: {signal}",
            bound.as_secs()
        );
        let _ = kill(run, signal);
        is_late = true;
    }
    Ok(Ending::TooLate)
}

/// Takes leave of every child that has ended. How this one has, if it has.
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

/// All that the run has saved.
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
    for mode in [RebootMode::RB_POWER_OFF, RebootMode::RB_AUTOBOOT] {
        let _ = reboot(mode);
    }
    // What is left is to wait until the host has enough of it.
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
            Ending::TooLate,
        ] {
            assert_eq!(ending.to_string().parse(), Ok(ending));
        }
        for other in ["", "exit", "exit x", "SIGNONE", "0"] {
            assert_eq!(other.parse::<Ending>(), Err(()), "{other}");
        }
    }

    /// This test's process is not the first one.
    #[test]
    fn elsewhere_it_is_not_meant() {
        assert!(!is_meant([OsString::from(COMMAND)].into_iter()));
    }
}
