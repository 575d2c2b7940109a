//! The emulator (QEMU): its command line, the KVM probe, and one guest from its start to its result.
//!
//! A guest has no disk, network device or firmware menu. It has a processor, memory, and two serial lines: the console,
//! and the line that carries its result. All files are passed as descriptors, so that none has to be removed, however
//! this process ends.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep_until, timeout};

use super::guest::{COMMAND, Ending, MARK, STATUS};
use super::kernel_image::KernelImage;
use super::parcel::{self, Files, LONGEST_PACKED, Received};
use crate::error::{Error, reason};
use crate::sys;
use rstproof_core::printable::printable;

/// Name of the emulator's program.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Accelerator that runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, through KVM.
    Kvm,
    /// The emulator's own code generator.
    Tcg,
}

impl Accelerator {
    /// Name of the accelerator for QEMU's `-accel`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// Time that a kernel has to boot until this program runs on it. Bounds on failure: an emulated kernel takes some
    /// seconds alone; 49 s were seen where three booted in parallel on two CPUs with a load of 14.
    fn boot_bound(self) -> Duration {
        match self {
            Self::Kvm => Duration::from_secs(20),
            Self::Tcg => Duration::from_secs(240),
        }
    }
}

/// Time limit of the boot sector that KVM is probed with, which takes a tenth of a second.
const PROBE_BOUND: Duration = Duration::from_secs(3);

/// Time past the limit of the run in which the guest saves its evidence and sends it over the line.
const FAREWELL: Duration = Duration::from_secs(60);

/// Time limit for reading the rest of the output after a guest has ended. A bound on failure.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Maximum number of bytes kept of a guest's console, its last ones. Also the maximum length of what precedes the
/// greeting and the parcel on the line.
const LONGEST_CONSOLE: usize = 1 << 20;

/// Number of bytes per read.
const CHUNK: usize = 64 << 10;

/// Length of the kernel's command line buffer, including the terminating NUL (`COMMAND_LINE_SIZE`,
/// arch/x86/include/asm/setup.h).
const LONGEST_COMMAND_LINE: usize = 2048;

/// Configuration of one guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Kernel to boot.
    pub image: KernelImage,
    /// Memory size in MiB.
    pub memory_mib: u32,
    /// Number of processors.
    pub cpus: usize,
    /// Command line of the kernel.
    pub arguments: Arguments,
    /// Time limit of the run.
    pub bound: Duration,
}

/// Kernel command line that starts this program as a guest.
#[derive(Clone, Debug)]
pub struct Arguments(String);

impl Arguments {
    /// Builds the command line, with `more` kernel arguments if given. Fails with a description of the problem if
    /// `more` would change the meaning of the other arguments or exceeds the length.
    pub fn new(bound: Duration, more: Option<&str>) -> Result<Self, &'static str> {
        let more = more.unwrap_or_default();
        if more.contains(char::is_control) {
            return Err("it has a control character");
        }
        if more.matches('"').count() % 2 == 1 {
            return Err(
                "its last quotation mark is not closed, so the kernel would read all that follows as one argument",
            );
        }
        if more.split_whitespace().any(|word| word == "--") {
            return Err(
                "what follows -- is for the kernel's first process, and that is this program",
            );
        }
        // `panic=-1`: with QEMU's `-no-reboot` a panic ends the emulator at once.
        // `no_timer_check`: an emulated guest on a busy machine may get its first timer interrupts too late, and the
        // kernel would consider the timer broken ("IO-APIC + timer doesn't work!"; arch/x86/kernel/apic/io_apic.c).
        let line = format!(
            "console=ttyS0 panic=-1 quiet no_timer_check random.trust_cpu=on mitigations=off {MARK}{} {more} -- {COMMAND}",
            bound.as_secs()
        );
        if line.len() >= LONGEST_COMMAND_LINE {
            return Err(
                "it is too long: the kernel takes 2047 bytes with the arguments that are always there",
            );
        }
        Ok(Self(line))
    }
}

/// Kernel and first filesystem of a guest in memory, readable by descriptor after privileges have been dropped.
#[derive(Debug)]
pub struct Media {
    kernel: File,
    initramfs: File,
}

impl Media {
    /// Copies this kernel and this first filesystem into memory.
    pub fn new(kernel: &[u8], initramfs: &[u8]) -> io::Result<Self> {
        Ok(Self {
            kernel: memory_file("kernel", kernel)?,
            initramfs: memory_file("initramfs", initramfs)?,
        })
    }
}

/// Result of a guest.
#[derive(Debug)]
pub struct Parcel {
    /// Evidence files, each with its name.
    pub files: Files,
    /// Way in which the run ended in the guest, if the guest reported it.
    pub ending: Option<Ending>,
    /// Console output of the guest.
    pub console: Vec<u8>,
}

impl Parcel {
    /// Describes the last lines of the console, or the message of a kernel panic.
    #[must_use]
    pub fn last_words(&self) -> String {
        describe_console(&self.console)
    }
}

/// Failure of a guest to deliver a result.
#[derive(Debug)]
pub struct Failure {
    what: String,
    /// Console output of the guest.
    pub console: Vec<u8>,
    /// True if this program never ran in the guest.
    pub never_up: bool,
}

impl Failure {
    /// Failure of a guest that was stopped on request.
    pub(super) fn ended_here() -> Self {
        Self {
            what: ENDED_HERE.to_owned(),
            console: Vec::new(),
            never_up: false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, describe_console(&self.console))
    }
}

fn describe_console(console: &[u8]) -> String {
    match last_words(console) {
        Some(words) => format!("the console's last words: {words}"),
        None => "its console said nothing".to_owned(),
    }
}

/// Progress of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The kernel is booting.
    Booting,
    /// The trials are running.
    Running,
    /// The result is being received.
    Sending,
}

/// Installed emulator.
#[derive(Clone, Debug)]
pub struct Emulator {
    program: PathBuf,
}

impl Emulator {
    /// Finds the emulator on PATH. Relative directories are skipped.
    #[must_use]
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(PROGRAM))
            .find(|program| program.is_file())
            .map(|program| Self { program })
    }

    /// Boots a test sector with KVM and returns the reason if that fails. An existing /dev/kvm is no proof: under
    /// another hypervisor a guest may hang at its first instruction.
    pub async fn try_kvm(&self) -> Result<(), String> {
        if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
            return Err(format!("/dev/kvm: {}", reason(&error)));
        }
        let tried = async {
            let sector = memory_file("sector", &boot_sector())?;
            let mut command = self.command(Accelerator::Kvm);
            command
                .args(["-device", "isa-debug-exit,iobase=0x501,iosize=1"])
                .args([
                    "-drive",
                    "file=/proc/self/fd/0,format=raw,if=floppy,readonly=on",
                ])
                .stdin(Stdio::from(sector))
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.spawn()?.wait().await
        };
        match timeout(PROBE_BOUND, tried).await {
            Ok(Ok(status)) if status.code() == Some(EXIT_STATUS) => Ok(()),
            Ok(Ok(_)) => Err("it does not run a boot sector".to_owned()),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err(format!(
                "it has not run a boot sector within {} s",
                PROBE_BOUND.as_secs()
            )),
        }
    }

    fn command(&self, accelerator: Accelerator) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["-accel", accelerator.name(), "-cpu", "max"])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-nic", "none", "-no-reboot"])
            .env("LC_ALL", "C")
            // Keeps Ctrl-C from the emulator: this process ends the guest.
            .process_group(0)
            .kill_on_drop(true);
        sys::without_capabilities(command.as_std_mut());
        sys::end_with_parent(command.as_std_mut());
        command
    }

    /// Runs a guest until it has sent its result. The guest is killed then, and on every other way out.
    pub async fn run(
        &self,
        guest: &Guest,
        accelerator: Accelerator,
        media: &Media,
        stop: &mut watch::Receiver<bool>,
        progress: impl FnMut(Progress),
    ) -> Result<Result<Parcel, Failure>, Error> {
        if *stop.borrow() {
            return Ok(Err(Failure::ended_here()));
        }
        let failed = |error: &io::Error| Error::start(format!("start {PROGRAM}"), error);
        let mut running = self
            .start(guest, accelerator, media)
            .map_err(|error| failed(&error))?;
        let result = tokio::select! {
            result = running.attend(guest, accelerator, progress) => result,
            // The error (the sender is gone) means stop as well: no request to stop could arrive any more.
            _ = stop.wait_for(|stop| *stop) => Err((ENDED_HERE.to_owned(), false)),
        };
        // Safe: the guest has no state to lose, and would only power itself off.
        let _ = running.child.kill().await;
        // With a time limit: a process that the emulator left behind may still hold the other end.
        let _ = timeout(LAST_WORDS, running.console.rest()).await;
        let console = running.console.bytes.into();
        Ok(match result {
            Ok(files) => {
                let ending = files
                    .get(STATUS)
                    .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
                Ok(Parcel {
                    files,
                    ending,
                    console,
                })
            }
            Err((what, never_up)) => Err(Failure {
                what,
                console,
                never_up,
            }),
        })
    }

    fn start(&self, guest: &Guest, accelerator: Accelerator, media: &Media) -> io::Result<Running> {
        // A duplicate for this guest, so that no other guest's descriptor is inherited.
        let kernel = media.kernel.try_clone()?;
        let (line, far_end) = std::io::pipe()?;
        let mut command = self.command(accelerator);
        command
            .args(["-m", &guest.memory_mib.to_string()])
            .args(["-smp", &guest.cpus.to_string()])
            .args(["-chardev", "file,id=console,path=/proc/self/fd/1"])
            .args(["-serial", "chardev:console"])
            .args([
                "-chardev",
                &format!("file,id=line,path=/proc/self/fd/{}", far_end.as_raw_fd()),
            ])
            .args(["-serial", "chardev:line"])
            .args(["-kernel", &format!("/proc/self/fd/{}", kernel.as_raw_fd())])
            .args(["-initrd", "/proc/self/fd/0"])
            .args(["-append", &guest.arguments.0])
            .stdin(Stdio::from(media.initramfs.try_clone()?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        sys::hand_over(command.as_std_mut(), kernel.into());
        sys::hand_over(command.as_std_mut(), far_end.into());
        let mut child = command.spawn()?;
        // The command holds the far end, and the line has no end of file while any process holds that.
        drop(command);
        let console = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let own_words = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Running {
            child,
            console: Stream::new(console, LONGEST_CONSOLE),
            own_words: Stream::new(own_words, LONGEST_CONSOLE),
            line: pipe::Receiver::from_owned_fd(OwnedFd::from(line))?,
            came: Vec::new(),
        })
    }
}

/// Runs `work` in a thread, so that other guests are served meanwhile; in the current thread if none can be started.
/// `None` if the thread ended without a result.
async fn in_a_thread<T: Send + 'static>(work: impl Fn() -> T + Send + Sync + 'static) -> Option<T> {
    let work = Arc::new(work);
    let (sender, receiver) = oneshot::channel();
    let there = Arc::clone(&work);
    match thread::Builder::new().spawn(move || drop(sender.send(there()))) {
        Ok(_) => receiver.await.ok(),
        Err(_) => Some(work()),
    }
}

/// Running emulator.
struct Running {
    child: Child,
    console: Stream<tokio::process::ChildStdout>,
    own_words: Stream<tokio::process::ChildStderr>,
    line: pipe::Receiver,
    /// Bytes received over the line.
    came: Vec<u8>,
}

impl Running {
    /// Receives the guest's output until its parcel is complete. Fails with the reason, and with true if this program
    /// never ran in the guest.
    async fn attend(
        &mut self,
        guest: &Guest,
        accelerator: Accelerator,
        mut progress: impl FnMut(Progress),
    ) -> Result<Files, (String, bool)> {
        progress(Progress::Booting);
        let mut deadline = Instant::now() + accelerator.boot_bound();
        let (mut is_up, mut is_open) = (false, true);
        // Number of received bytes from which parsing again can change the result.
        let mut enough = 1;
        let most = usize::try_from(LONGEST_PACKED).unwrap_or(usize::MAX);
        loop {
            self.came.reserve(CHUNK);
            let mut chunk = (&mut self.line).take(CHUNK as u64);
            tokio::select! {
                // Each branch is cancel safe: no byte is lost if another branch completes first.
                () = self.console.more(), if self.console.is_open => {}
                () = self.own_words.more(), if self.own_words.is_open => {}
                length = chunk.read_buf(&mut self.came) => is_open = length.is_ok_and(|it| it > 0),
                () = sleep_until(deadline.into()) => {
                    return Err((too_late(guest, accelerator, is_up), !is_up));
                }
            }
            let came = self.came.len();
            if came >= enough {
                enough = came + 1;
                match parcel::look(&self.came) {
                    Received::Up if !is_up => {
                        is_up = true;
                        deadline = Instant::now() + guest.bound + FAREWELL;
                        progress(Progress::Running);
                    }
                    // Bounded, since everything before a parcel is parsed again after each read.
                    Received::Nothing | Received::Up if came > LONGEST_CONSOLE => {
                        return Err((
                            "its second serial line says what this program does not".to_owned(),
                            false,
                        ));
                    }
                    Received::Nothing | Received::Up => {}
                    Received::Sending(missing) if came + missing > most + LONGEST_CONSOLE => {
                        return Err((DAMAGED.to_owned(), false));
                    }
                    Received::Sending(missing) => {
                        progress(Progress::Sending);
                        enough = came.saturating_add(missing);
                    }
                    Received::GaveUp(what) => {
                        return Err((
                            format!("this program cannot {} there", printable(&what)),
                            false,
                        ));
                    }
                    Received::Whole(place, hash) => {
                        let came = std::mem::take(&mut self.came);
                        let unpack = move || Files::unpack(&came[place.clone()], &hash);
                        let files = in_a_thread(unpack).await.flatten();
                        return files.ok_or_else(|| (DAMAGED.to_owned(), false));
                    }
                    Received::Damaged => return Err((DAMAGED.to_owned(), false)),
                }
            }
            if !is_open {
                let ended = if is_up {
                    "it ended before its result was out"
                } else {
                    "it ended before this program ran there"
                };
                let _ = timeout(LAST_WORDS, self.own_words.rest()).await;
                return Err((self.with_own_words(ended), !is_up));
            }
        }
    }

    /// Appends the first error message of the emulator itself.
    fn with_own_words(&self, what: &str) -> String {
        let stderr = Vec::from(self.own_words.bytes.clone());
        let stderr = String::from_utf8_lossy(&stderr);
        // With `-cpu max`, QEMU warns of every feature that this processor does not have.
        let mut lines = stderr.lines().filter(|line| !line.contains("warning: "));
        match lines.next() {
            Some(line) => format!("{what} ({})", printable(line.trim())),
            None => what.to_owned(),
        }
    }
}

fn too_late(guest: &Guest, accelerator: Accelerator, is_up: bool) -> String {
    if is_up {
        let bound = guest.bound + FAREWELL;
        return format!("it sent no result within {} s (--timeout)", bound.as_secs());
    }
    format!(
        "this program did not come to run on it within {} s; it may hang, or have no serial console \
         (CONFIG_SERIAL_8250_CONSOLE)",
        accelerator.boot_bound().as_secs()
    )
}

/// Tail of a stream: its last bytes, at most `most`.
struct Stream<R> {
    from: R,
    bytes: VecDeque<u8>,
    most: usize,
    is_open: bool,
    chunk: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Stream<R> {
    fn new(from: R, most: usize) -> Self {
        Self {
            from,
            bytes: VecDeque::new(),
            most,
            is_open: true,
            chunk: vec![0; CHUNK],
        }
    }

    /// Waits for more bytes or the end of the stream.
    async fn more(&mut self) {
        match self.from.read(&mut self.chunk).await {
            Ok(0) | Err(_) => self.is_open = false,
            Ok(length) => {
                self.bytes.extend(&self.chunk[..length]);
                let too_many = self.bytes.len().saturating_sub(self.most);
                self.bytes.drain(..too_many);
            }
        }
    }

    /// Reads to the end of the stream. The other end must be gone.
    async fn rest(&mut self) {
        while self.is_open {
            self.more().await;
        }
    }
}

const ENDED_HERE: &str = "it was ended here";
const DAMAGED: &str = "what it sent is damaged, or too much";

/// Creates a file that exists in memory only.
fn memory_file(name: &str, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.write_all(content)?;
    Ok(file)
}

/// Byte that the boot sector writes to the port that ends the emulator.
const EXIT_CODE: u8 = 0x21;
/// Exit status of the emulator after that byte (`isa-debug-exit`: `byte << 1 | 1`).
const EXIT_STATUS: i32 = (EXIT_CODE as i32) << 1 | 1;

/// Builds a boot sector that only signals that it runs: `mov dx, 0x501; mov al, CODE; out dx, al; hlt`.
fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    let code = [0xba, 0x01, 0x05, 0xb0, EXIT_CODE, 0xee, 0xf4];
    sector[..code.len()].copy_from_slice(&code);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Extracts the lines of a console to show: the message of a kernel panic, or else the last two lines.
fn last_words(console: &[u8]) -> Option<String> {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| without_stamp(line.trim()))
        .filter(|line| !line.is_empty())
        .collect();
    let panic = lines.iter().position(|line| line.contains("Kernel panic"));
    let shown = match panic {
        Some(place) => &lines[place..=place],
        None => &lines[lines.len().saturating_sub(2)..],
    };
    let shown = printable(&shown.join(" | "));
    let cut: String = shown.chars().take(MOST).collect();
    (!cut.is_empty()).then_some(cut)
}

/// Removes the kernel's time stamp, `[    1.234567] `.
fn without_stamp(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|it| it.split_once("] "));
    match rest {
        Some((stamp, rest)) if stamp.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `no_timer_check` is an argument of the kernel: after `--` it would be one of the first process.
    #[test]
    fn no_guest_tests_its_timer() {
        let Ok(arguments) = Arguments::new(Duration::from_secs(1), Some("x=1")) else {
            panic!("these are good arguments")
        };
        let (kernels, _) = arguments.0.split_once(" -- ").unwrap();
        assert!(
            kernels.split(' ').any(|it| it == "no_timer_check"),
            "{kernels}"
        );
    }

    #[test]
    fn a_panic_is_the_last_word_whatever_comes_after_it() {
        let console = b"[    0.5] Loading\r\n[    1.234567] Kernel panic - not syncing: No working init found.\r\n\
                        [    1.3] CPU: 0 PID: 1\r\n[    1.4] ---[ end Kernel panic ]---\r\n";
        let words = last_words(console).unwrap();
        assert_eq!(words, "Kernel panic - not syncing: No working init found.");
        assert_eq!(
            last_words(b"a\r\nb\r\n\r\nc\x1b[2J\r\n").unwrap(),
            "b | c\\u{1b}[2J"
        );
        assert_eq!(last_words(b"\r\n"), None);
        assert_eq!(last_words(&[b'x'; 5000]).unwrap().len(), 200);
    }
}
