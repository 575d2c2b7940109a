//! The emulator: its command line, whether it can use KVM, and one guest from its start to what it sent.
//!
//! A guest has no disk, no network device and no firmware menu; it has a processor, memory, and two serial lines: the
//! console, and the line on which it sends its result. Everything goes through descriptors, so that no file has to be
//! removed, whichever way this process ends.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::guest::{COMMAND, MARK, STATUS};
use super::kernel_image::KernelImage;
use super::parcel::{self, LONGEST_PACKED, Received};
use crate::error::{Error, reason};
use crate::report::human::printable;
use crate::sys;

/// The program for this machine.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// What runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// The emulator.
    Tcg,
}

impl Accelerator {
    /// As the emulator calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// How long a kernel may take until this program runs on it. Bounds on failure: an emulated kernel takes some
    /// seconds alone, and others may be booting beside it.
    fn boot_bound(self) -> Duration {
        match self {
            Self::Kvm => Duration::from_secs(20),
            Self::Tcg => Duration::from_secs(120),
        }
    }
}

/// How long the boot sector that KVM is tried with may take. It takes a tenth of a second.
const PROBE_BOUND: Duration = Duration::from_secs(3);

/// How long a run may take to save what it has, and the line to bring it out, past the bound of the run.
const FAREWELL: Duration = Duration::from_secs(60);

/// A guest says no more than this on its console, and nothing before its greeting is longer.
const LONGEST_CONSOLE: usize = 1 << 20;

/// What is run on a kernel.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The kernel.
    pub image: KernelImage,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: usize,
    /// More arguments for the kernel.
    pub append: Option<String>,
    /// How long its run may take.
    pub bound: Duration,
}

/// What a guest brought out.
#[derive(Debug)]
pub struct Parcel {
    /// Files of evidence, each with its name.
    pub files: Vec<(String, Vec<u8>)>,
    /// Exit code of the run there; 128 and the signal, if one ended it.
    pub code: Option<u8>,
    /// What it said on its console.
    pub console: Vec<u8>,
}

/// Why a guest brought nothing out.
#[derive(Debug)]
pub struct Failure {
    what: String,
    /// What it said on its console.
    pub console: Vec<u8>,
    /// Whether this program never ran there.
    pub never_up: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match last_words(&self.console) {
            Some(words) => write!(f, "; the console's last words: {words}"),
            None => f.write_str("; its console said nothing"),
        }
    }
}

/// How far a guest has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its kernel runs.
    Booting,
    /// Its trials run.
    Running,
    /// Its result comes over the line.
    Sending,
}

/// The emulator that was found.
#[derive(Clone, Debug)]
pub struct Emulator {
    program: PathBuf,
}

impl Emulator {
    /// The one on PATH, if there is one.
    #[must_use]
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(PROGRAM))
            .find(|program| program.is_file())
            .map(|program| Self { program })
    }

    /// Whether KVM boots something, and if not, why. That its device is there does not say so: under another hypervisor a
    /// guest may hang at its first instruction.
    pub async fn try_kvm(&self) -> Result<(), String> {
        if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
            return Err(format!("/dev/kvm: {}", reason(&error)));
        }
        let tried = async {
            let sector = memory_file("sector", &boot_sector())?;
            let mut child = self
                .command(Accelerator::Kvm)
                .args(["-device", "isa-debug-exit,iobase=0x501,iosize=1"])
                .args([
                    "-drive",
                    "file=/proc/self/fd/0,format=raw,if=floppy,readonly=on",
                ])
                .stdin(Stdio::from(sector))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            child.wait().await
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
            // Ctrl-C is for this process, which sees to it that the guest ends.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Runs a guest with this first filesystem until it has sent its result. It is ended then, and on every other way out.
    pub async fn run(
        &self,
        guest: &Guest,
        accelerator: Accelerator,
        initramfs: &[u8],
        stop: &mut watch::Receiver<bool>,
        progress: impl FnMut(Progress),
    ) -> Result<Result<Parcel, Failure>, Error> {
        let failed = |error: &io::Error| Error::lab(format!("start {PROGRAM}"), &reason(error));
        let mut running = self
            .start(guest, accelerator, initramfs)
            .map_err(|error| failed(&error))?;
        let result = tokio::select! {
            result = running.attend(guest, accelerator, progress) => result,
            // It is an error when nobody can ask for it any more.
            _ = stop.wait_for(|stop| *stop) => Err(("it was ended here".to_owned(), false)),
        };
        // It has nothing to lose, and what it would do is to switch itself off.
        let _ = running.child.kill().await;
        let console = running.console.bytes;
        Ok(match result {
            Ok(mut files) => {
                let place = files.iter().position(|(name, _)| name == STATUS);
                let code = place.map(|place| files.remove(place).1);
                let code = code.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
                Ok(Parcel {
                    files,
                    code,
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

    fn start(
        &self,
        guest: &Guest,
        accelerator: Accelerator,
        initramfs: &[u8],
    ) -> io::Result<Running> {
        let initramfs = memory_file("initramfs", initramfs)?;
        let (line, far_end) = std::io::pipe()?;
        let mut append = format!(
            "console=ttyS0 panic=-1 quiet random.trust_cpu=on mitigations=off {MARK}{}",
            guest.bound.as_secs()
        );
        if let Some(more) = &guest.append {
            append = format!("{append} {more}");
        }
        append = format!("{append} -- {COMMAND}");
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
            .arg("-kernel")
            .arg(&guest.image.path)
            .args(["-initrd", "/proc/self/fd/0", "-append", &append])
            .stdin(Stdio::from(initramfs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        sys::hand_over(command.as_std_mut(), far_end.into());
        let mut child = command.spawn()?;
        // The command has the far end, and while anybody has it the line does not end.
        drop(command);
        let console = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let own_words = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Running {
            child,
            console: Stream::new(console, LONGEST_CONSOLE),
            own_words: Stream::new(own_words, LONGEST_CONSOLE),
            line: Stream::new(
                pipe::Receiver::from_owned_fd(OwnedFd::from(line))?,
                usize::try_from(LONGEST_PACKED).unwrap_or(usize::MAX),
            ),
        })
    }
}

/// An emulator at work.
struct Running {
    child: Child,
    console: Stream<tokio::process::ChildStdout>,
    own_words: Stream<tokio::process::ChildStderr>,
    line: Stream<pipe::Receiver>,
}

impl Running {
    /// Takes in what the guest says until its parcel is whole. Else what became of it, and whether it never was up.
    async fn attend(
        &mut self,
        guest: &Guest,
        accelerator: Accelerator,
        mut progress: impl FnMut(Progress),
    ) -> Result<Vec<(String, Vec<u8>)>, (String, bool)> {
        progress(Progress::Booting);
        let mut deadline = Instant::now() + accelerator.boot_bound();
        let mut is_up = false;
        // How much has to have come for another look to be of use.
        let mut enough = 1;
        loop {
            tokio::select! {
                () = self.console.more(), if self.console.is_open => {}
                () = self.own_words.more(), if self.own_words.is_open => {}
                () = self.line.more(), if self.line.is_open => {}
                () = sleep_until(deadline.into()) => {
                    return Err((too_late(guest, accelerator, is_up), !is_up));
                }
            }
            let came = self.line.bytes.len();
            if came >= enough {
                enough = came + 1;
                match parcel::look(&self.line.bytes) {
                    Received::Up if !is_up => {
                        is_up = true;
                        deadline = Instant::now() + guest.bound + FAREWELL;
                        progress(Progress::Running);
                    }
                    // What comes before a parcel is looked at again and again.
                    Received::Nothing | Received::Up if came > LONGEST_CONSOLE => {
                        return Err((
                            "its second serial line says what this program does not".to_owned(),
                            false,
                        ));
                    }
                    Received::Nothing | Received::Up => {}
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
                    Received::Parcel(files) => return Ok(files),
                    Received::Damaged => {
                        return Err(("what it sent was damaged on the way".to_owned(), false));
                    }
                }
            }
            if !self.line.is_open {
                let ended = if is_up {
                    "it ended before its result was out"
                } else {
                    "it ended before this program ran there"
                };
                self.console.rest().await;
                self.own_words.rest().await;
                return Err((self.with_own_words(ended), !is_up));
            }
        }
    }

    /// With what the emulator itself has complained of.
    fn with_own_words(&self, what: &str) -> String {
        let said = String::from_utf8_lossy(&self.own_words.bytes);
        // It warns of every feature that this processor does not have.
        let mut lines = said.lines().filter(|line| !line.contains("warning: "));
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

/// What comes from one end, and no more of it than is wanted.
struct Stream<R> {
    from: R,
    bytes: Vec<u8>,
    most: usize,
    is_open: bool,
    chunk: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Stream<R> {
    fn new(from: R, most: usize) -> Self {
        Self {
            from,
            bytes: Vec::new(),
            most,
            is_open: true,
            chunk: vec![0; 64 << 10],
        }
    }

    /// Waits for more, or for the end. What is too much is passed over.
    async fn more(&mut self) {
        match self.from.read(&mut self.chunk).await {
            Ok(0) | Err(_) => self.is_open = false,
            Ok(length) => {
                let room = self.most.saturating_sub(self.bytes.len());
                self.bytes
                    .extend_from_slice(&self.chunk[..length.min(room)]);
            }
        }
    }

    /// What is left, when the other end is known to be gone.
    async fn rest(&mut self) {
        while self.is_open {
            self.more().await;
        }
    }
}

/// A file that is in memory only.
fn memory_file(name: &str, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.write_all(content)?;
    Ok(file)
}

/// What the boot sector writes to the port that ends the emulator, and the exit status that this makes (`isa-debug-exit`).
const EXIT_CODE: u8 = 0x21;
const EXIT_STATUS: i32 = (EXIT_CODE as i32) << 1 | 1;

/// A boot sector that does nothing but say that it runs: `mov dx, 0x501; mov al, CODE; out dx, al; hlt`.
fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    let code = [0xba, 0x01, 0x05, 0xb0, EXIT_CODE, 0xee, 0xf4];
    sector[..code.len()].copy_from_slice(&code);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// What to show of a console: where a kernel panics, what it says then; else its last lines.
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

/// Without `[    1.234567] `.
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
