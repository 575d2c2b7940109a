//! The emulator (QEMU): its command line, the KVM probe, and one guest from its start to its result.
//!
//! A guest has no disk, network device or firmware menu. It has a processor, memory, and two serial lines: the console,
//! and the line that carries its result. All files are passed as descriptors, so that none has to be removed, however
//! this process ends.

mod arguments;
mod console;
mod running;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

pub use self::arguments::Arguments;
pub(super) use self::console::is_stale_breakpoint;
use self::console::{OutputTail, describe_console};
use self::running::Running;
use super::bundle::Files;
use super::guest::{Ending, STATUS};
use super::kernel_image::KernelImage;
use crate::error::{Error, reason};
use crate::sys;

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
    fn boot_timeout(self) -> Duration {
        match self {
            Self::Kvm => Duration::from_secs(20),
            Self::Tcg => Duration::from_secs(240),
        }
    }
}

/// Time limit of the boot sector that KVM is probed with, which takes a tenth of a second.
const KVM_PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Time past the limit of the run in which the guest saves its evidence and sends it over the line.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

/// Time limit for reading the rest of the output after a guest has ended. A bound on failure.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of bytes kept of a guest's console, its last ones. Also the maximum length of what precedes the
/// ready line and the bundle on the line.
const MAX_CONSOLE_BYTES: usize = 1 << 20;

/// Number of bytes per read.
const READ_SIZE: usize = 64 << 10;

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
pub struct GuestResult {
    /// Evidence files, each with its name.
    pub files: Files,
    /// Way in which the run ended in the guest, if the guest reported it.
    pub ending: Option<Ending>,
    /// Console output of the guest.
    pub console: Vec<u8>,
}

impl GuestResult {
    /// Describes the last lines of the console, or the message of a kernel panic.
    #[must_use]
    pub fn last_lines(&self) -> String {
        describe_console(&self.console)
    }
}

/// Failure of a guest to deliver a result.
#[derive(Debug)]
pub struct GuestFailure {
    reason: String,
    /// Console output of the guest.
    pub console: Vec<u8>,
    /// True if this program never ran in the guest.
    pub never_up: bool,
}

impl GuestFailure {
    /// Failure of a guest that was stopped on request.
    pub(super) fn ended_here() -> Self {
        Self {
            reason: ENDED_HERE.to_owned(),
            console: Vec::new(),
            never_up: false,
        }
    }
}

impl fmt::Display for GuestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, describe_console(&self.console))
    }
}

/// Progress of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestProgress {
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
            // An entry such as `.` would start a program from the current directory.
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
        match timeout(KVM_PROBE_TIMEOUT, tried).await {
            Ok(Ok(status)) if status.code() == Some(EXIT_STATUS) => Ok(()),
            Ok(Ok(_)) => Err("test boot failed".to_owned()),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err(format!(
                "test boot did not finish within {} s",
                KVM_PROBE_TIMEOUT.as_secs()
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
        progress: impl FnMut(GuestProgress),
    ) -> Result<Result<GuestResult, GuestFailure>, Error> {
        if *stop.borrow() {
            return Ok(Err(GuestFailure::ended_here()));
        }
        let failed = |error: &io::Error| Error::start(format!("start {PROGRAM}"), error);
        let mut running = self
            .start(guest, accelerator, media)
            .map_err(|error| failed(&error))?;
        let result = tokio::select! {
            result = running.receive(guest, accelerator, progress) => result,
            // The error (the sender is gone) means stop as well: no request to stop could arrive any more.
            _ = stop.wait_for(|stop| *stop) => Err((ENDED_HERE.to_owned(), false)),
        };
        // Safe: the guest has no state to lose, and would only power itself off.
        let _ = running.child.kill().await;
        // With a time limit: a process that the emulator left behind may still hold the other end.
        let _ = timeout(OUTPUT_TIMEOUT, running.console.rest()).await;
        let console = running.console.bytes.into();
        Ok(match result {
            Ok(files) => {
                let ending = files
                    .get(STATUS)
                    .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
                Ok(GuestResult {
                    files,
                    ending,
                    console,
                })
            }
            Err((reason, never_up)) => Err(GuestFailure {
                reason,
                console,
                never_up,
            }),
        })
    }

    fn start(&self, guest: &Guest, accelerator: Accelerator, media: &Media) -> io::Result<Running> {
        // A duplicate for this guest, so that no other guest's descriptor is inherited.
        let kernel = media.kernel.try_clone()?;
        // A pipe, not a pseudo-terminal: a terminal would change bytes, and end of file means that the emulator has
        // exited.
        let (line, far_end) = std::io::pipe()?;
        let mut command = self.command(accelerator);
        command
            // Two serial ports: the console, and a line that carries nothing but the protocol with the guest.
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
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Running {
            child,
            console: OutputTail::new(console, MAX_CONSOLE_BYTES),
            stderr: OutputTail::new(stderr, MAX_CONSOLE_BYTES),
            line: pipe::Receiver::from_owned_fd(OwnedFd::from(line))?,
            received: Vec::new(),
        })
    }
}

const ENDED_HERE: &str = "it was stopped";
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
