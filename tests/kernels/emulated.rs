//! An emulator that does what a test tells it: a script that comes first on PATH. What a guest sends, says and becomes is
//! then known without booting anything.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::FsFlags;
use nix::unistd::{Pid, geteuid};
use rustix::fs::{XattrFlags, setxattr};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::program;
use crate::{BOUND, children, complaint, hollow_image, rstproof, text};

/// A directory with an emulator, an image and a parcel.
struct Stage {
    home: TempDir,
}

impl Stage {
    /// With an emulator that does this. `$line` is where its guest's parcel goes, `$accel` what was asked for, `$home` the
    /// directory; standard output is the console. A trial boot of KVM ends as one that works does (`isa-debug-exit`).
    fn new(does: &str) -> Self {
        let this = Self {
            home: program::directory(),
        };
        let script = format!(
            "#!/bin/sh\nhome={}\n\
             for word in \"$@\"; do case $word in\n\
             file,id=line,path=*) line=${{word#*path=}} ;;\n\
             kvm | tcg) accel=$word ;;\n\
             isa-debug-exit,*) probe=1 ;;\n\
             esac; done\n\
             [ -z \"$probe\" ] || exit 67\n\
             {does}\n",
            this.path().display()
        );
        this.emulator(&script);
        hollow_image(this.path(), "6.1.0");
        this
    }

    /// This script, as the emulator.
    fn emulator(&self, script: &str) {
        program::script(self.path(), "qemu-system-x86_64", script);
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn image(&self) -> PathBuf {
        self.path().join("vmlinuz")
    }

    /// The command, with the image and these arguments.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rstproof(&["kernels", self.image().to_str().unwrap()]);
        command.args(arguments).env("PATH", self.path_variable());
        command
    }

    /// With its emulator before any other.
    fn path_variable(&self) -> String {
        let path = std::env::var("PATH").unwrap();
        format!("{}:{path}", self.path().display())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What its guest sends once it is up: these files.
    fn sends(&self, files: &[(&str, &[u8])]) {
        fs::write(self.path().join("parcel"), parcel(files)).unwrap();
    }
}

/// The script of an emulator whose guest sends its parcel.
const SENDS: &str = "echo booted; cat $home/parcel > $line";

/// A greeting, and a parcel of files as the other side of the line packs it: cpio's "new ASCII" form
/// (`Documentation/driver-api/early-userspace/buffer-format.rst`), zlib, and a label with length and SHA-256.
fn parcel(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files.iter().chain([&("TRAILER!!!", &b""[..])]) {
        let (mode, length, named) = (0o100_644, content.len(), name.len() + 1);
        let fields = [0, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, named, 0];
        archive.extend_from_slice(b"070701");
        for field in fields {
            archive.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        for part in [format!("{name}\0").as_bytes(), content] {
            archive.extend_from_slice(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&archive).unwrap();
    let packed = packed.finish().unwrap();
    let mut hash = String::new();
    for byte in Sha256::digest(&packed) {
        write!(hash, "{byte:02x}").unwrap();
    }
    let mut parcel = format!(
        "rstproof: guest is up\nrstproof: bundle {} {hash}\n",
        packed.len()
    )
    .into_bytes();
    parcel.extend_from_slice(&packed);
    parcel
}

fn report() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/captures/report.json")).unwrap()
}

/// Whether KVM is there to be tried: what is said below of falling back is not seen without.
fn has_kvm() -> bool {
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    if device.is_err() {
        eprintln!("/dev/kvm cannot be opened: nothing is tried with KVM");
    }
    device.is_ok()
}

#[test]
fn reports_of_a_guest_are_shown_and_saved() {
    let stage = Stage::new(SENDS);
    let report = report();
    stage.sends(&[
        ("report.json", &report),
        ("../escape.json", b"{}"),
        ("ending", b"exit 0"),
    ]);
    let evidence = stage.path().join("evidence");
    let arguments = ["--accel", "tcg", "-w", evidence.to_str().unwrap()];
    let output = stage.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("confirmed"));
    let saved = evidence.join("6.1.0");
    assert_eq!(fs::read(saved.join("report.json")).unwrap(), report);
    assert_eq!(fs::read(saved.join("console.log")).unwrap(), b"booted\n");
    let names: Vec<_> = fs::read_dir(&saved).unwrap().collect();
    assert_eq!(names.len(), 2);
}

/// Each way in which a run can end before all of its trials is told apart.
#[test]
fn the_end_of_a_run_is_reported() {
    let report = report();
    for (ending, why) in [
        (Some("too late"), "allow more with --timeout"),
        (Some("SIGKILL"), "SIGKILL ended its run"),
        (Some("exit 2"), "its run ended early"),
        (Some("nonsense"), "its run ended early"),
        (None, "its run ended early"),
    ] {
        let stage = Stage::new(SENDS);
        let mut files = vec![("report.json", &report[..])];
        files.extend(ending.map(|ending| ("ending", ending.as_bytes())));
        stage.sends(&files);
        let output = stage.run(&["--accel", "tcg"]);
        assert_eq!(output.status.code(), Some(2));
        let line = complaint(&output);
        assert!(line.contains(why), "{line}");
        assert_eq!(
            ending == Some("too late"),
            line.contains("--timeout"),
            "{line}"
        );
    }
}

/// In one line, and with what the console said last, however much it said before.
#[test]
fn the_console_of_a_guest_without_a_report_is_shown() {
    let chatter = "yes chatter | head -c 3000000; echo; echo the last of it";
    for (does, why) in [
        (
            format!("{chatter}; cat $home/parcel > $line"),
            "it sent no report.json",
        ),
        (chatter.to_owned(), "it ended before rstproof started in it"),
        (
            format!(
                "{chatter}; echo 'rstproof: guest is up' > $line; echo 'rstproof: guest cannot fly' > $line"
            ),
            "rstproof cannot fly in it",
        ),
    ] {
        let stage = Stage::new(&does);
        stage.sends(&[("ending", b"exit 0")]);
        let evidence = stage.path().join("evidence");
        let output = stage.run(&["--accel", "tcg", "-w", evidence.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        let line = complaint(&output);
        assert!(
            line.contains(why) && line.contains("the last of it"),
            "{line}"
        );
        assert!(line.len() < 500, "{line}");
        let console = fs::read(evidence.join("6.1.0/console.log")).unwrap();
        assert!(console.ends_with(b"the last of it\n"));
        assert!(console.len() <= 1 << 20);
        // What one boot has left is not found out after the next.
        let again = stage.run(&["--accel", "tcg", "-w", evidence.to_str().unwrap()]);
        let line = complaint(&again);
        assert!(
            line.contains("console.log") && line.contains("--force"),
            "{line}"
        );
        assert!(!text(&again.stderr).contains("the last of it"));
        let forced = stage.run(&[
            "--accel",
            "tcg",
            "--force",
            "-w",
            evidence.to_str().unwrap(),
        ]);
        assert!(complaint(&forced).contains("the last of it"));
    }
}

/// What an emulator complains of is told, and what ran the guest.
#[test]
fn an_emulator_that_does_not_start_says_why() {
    let stage = Stage::new("echo 'qemu: cannot set up guest memory' >&2; exit 1");
    let line = complaint(&stage.run(&["--accel", "tcg"]));
    assert!(line.contains("vmlinuz (tcg): it ended before"), "{line}");
    assert!(
        line.contains("(qemu: cannot set up guest memory)"),
        "{line}"
    );
}

/// The emulator may run a breakpoint of the kernel's that is there no more: that says nothing about the kernel. Any other crash does.
#[test]
fn a_kernel_that_the_emulator_crashes_is_booted_again() {
    let oops = "[   10.630759] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI";
    let panic = "[   10.7] Kernel panic - not syncing: Fatal exception in interrupt";
    let boots = "echo boot >> $home/boots";
    let is_first = "[ $(wc -l < $home/boots) -gt 1 ]";
    // Crashes once, before and after this program ran there; each time; and in another way.
    for (does, code, count) in [
        (
            format!("{boots}; {is_first} || {{ echo '{oops}'; echo '{panic}'; exit; }}; {SENDS}"),
            0,
            2,
        ),
        (
            format!(
                "{boots}; {is_first} || {{ echo 'rstproof: guest is up' > $line; echo '{oops}'; exit; }}; {SENDS}"
            ),
            0,
            2,
        ),
        (
            format!("{boots}; {is_first} || echo '{oops}'; {SENDS}"),
            0,
            2,
        ),
        (format!("{boots}; echo '{oops}'; echo '{panic}'"), 2, 3),
        (
            format!("{boots}; echo 'Oops: general protection fault: 0000 [#1]'; echo '{panic}'"),
            2,
            1,
        ),
    ] {
        let stage = Stage::new(&does);
        stage.sends(&[("report.json", &report()), ("ending", b"exit 0")]);
        let output = stage.run(&["--accel", "tcg"]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{does}: {}",
            text(&output.stderr)
        );
        let boots = fs::read_to_string(stage.path().join("boots")).unwrap();
        assert_eq!(boots.lines().count(), count, "{does}");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(
            said.contains("the emulator crashed the kernel"),
            count > 1,
            "{said}"
        );
    }
}

/// Only who leaves the choice to the program gets another accelerator than was asked for.
#[test]
fn kvm_that_was_asked_for_is_not_replaced() {
    if !has_kvm() {
        return;
    }
    let stage = Stage::new(&format!("[ $accel = tcg ] || exit 1; {SENDS}"));
    stage.sends(&[("report.json", &report()), ("ending", b"exit 0")]);
    let asked = stage.run(&["--accel", "kvm"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(complaint(&asked).contains("(kvm): it ended before"));
    let left = stage.run(&[]);
    assert_eq!(left.status.code(), Some(0), "{}", text(&left.stderr));
    assert!(text(&left.stdout).contains("(tcg, "));
}

/// A megabyte that unpacks to a gigabyte, and a length that lies.
#[test]
fn an_oversized_file_from_a_guest_is_refused() {
    let stage = Stage::new(SENDS);
    let zeros = vec![0; 200 << 20];
    stage.sends(&[("report.json", &zeros)]);
    let line = complaint(&stage.run(&["--accel", "tcg"]));
    assert!(
        line.contains("its result is damaged or too large"),
        "{line}"
    );
    let label = format!("rstproof: guest is up\nrstproof: bundle {} x\n", u64::MAX);
    fs::write(stage.path().join("parcel"), label).unwrap();
    let line = complaint(&stage.run(&["--accel", "tcg"]));
    assert!(
        line.contains("its result is damaged or too large"),
        "{line}"
    );
}

/// Root's own have all capabilities again unless that is seen to (capabilities(7)).
#[test]
fn an_emulator_has_no_rights() {
    let stage = Stage::new(
        "grep -E '^(CapPrm|CapEff|NoNewPrivs)' /proc/self/status | tr '\\n' ' '; exit 1",
    );
    let line = complaint(&stage.run(&["--accel", "tcg"]));
    for held in [
        "CapPrm: 0000000000000000",
        "CapEff: 0000000000000000",
        "NoNewPrivs: 1",
    ] {
        let said = line.replace("\\t", " ").replace('\t', " ");
        assert!(said.contains(held), "{held}: {line}");
    }
}

/// What docs/privileges.md recommends gives the program a capability, and the process then is not dumpable: its objects are
/// found all the same. Nobody can give it one but root.
#[test]
fn a_program_with_a_file_capability_takes_its_objects_along() {
    if !geteuid().is_root() {
        return;
    }
    let stage =
        Stage::new("grep -q libpcap.so /proc/self/fd/0 || exit 1; cat $home/parcel > $line");
    stage.sends(&[("report.json", &report()), ("ending", b"exit 0")]);
    program::open_to_all(stage.path());
    // Where a mount is nosuid, execve(2) gives no file capability.
    let home = program::directory_without(FsFlags::ST_NOEXEC | FsFlags::ST_NOSUID);
    program::open_to_all(home.path());
    let program = home.path().join("rstproof");
    program::copy(Path::new(env!("CARGO_BIN_EXE_rstproof")), &program);
    // `struct vfs_cap_data` (linux/capability.h): revision 2, effective; CAP_NET_RAW (13) permitted, nothing inheritable.
    let mut capability = [0; 20];
    capability[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
    capability[4..8].copy_from_slice(&(1_u32 << 13).to_le_bytes());
    let given = setxattr(
        &program,
        "security.capability",
        &capability,
        XattrFlags::empty(),
    );
    given.unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "1234", "--regid", "1234", "--clear-groups"])
        .arg(&program)
        .arg("kernels")
        .arg(stage.image())
        .args(["--accel", "tcg"])
        .env("PATH", stage.path_variable())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn arguments_that_a_kernel_would_misread_are_refused_before_it_boots() {
    let stage = Stage::new("touch $home/started");
    let long = "x".repeat(2047);
    for (append, why) in [
        ("a -- b", "first process"),
        ("a=\"b", "not closed"),
        (&long, "too long"),
        ("a\nb", "control character"),
    ] {
        let output = stage.run(&["--append", append]);
        assert_eq!(output.status.code(), Some(2));
        let line = complaint(&output);
        assert!(line.contains("--append") && line.contains(why), "{line}");
    }
    assert!(!stage.path().join("started").exists());
}

/// Waits until this holds.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn is_alive(process: i32) -> bool {
    // Dead, even if nobody has taken leave of it yet.
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|it| !it.contains(") Z "))
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// A child of this process that runs this program.
fn child_named(process: &Child, name: &str) -> i32 {
    let mut found = None;
    wait_until(name, || {
        let is_it = |it: &&i32| {
            let told = fs::read_to_string(format!("/proc/{it}/cmdline")).unwrap_or_default();
            told.contains(name)
        };
        found = children(process.id()).iter().find(is_it).copied();
        found.is_some()
    });
    found.unwrap()
}

/// After a signal what waits for its turn does not begin.
#[test]
fn a_signal_cancels_waiting_kernels_too() {
    let stage = Stage::new("echo started >> $home/started; exec sleep 1000");
    let image = stage.image();
    let image = image.to_str().unwrap();
    let mut process = stage
        .command(&["--accel", "tcg", "--jobs", "1", image, image])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = stage.path().join("started");
    // The file is there before anything is in it.
    let has_started = || fs::read(&started).is_ok_and(|it| !it.is_empty());
    wait_until("none has started", has_started);
    signal(&process, Signal::SIGTERM);
    assert_eq!(process.wait().unwrap().code(), Some(143));
    assert_eq!(fs::read_to_string(&started).unwrap(), "started\n");
}

/// Neither the trial boot of KVM nor the run on this host's kernel outlives what has started it, and both notice a signal.
#[test]
fn what_comes_before_the_first_guest_ends_with_it() {
    let hangs = Stage::new("exec sleep 1000");
    // Before the emulator looks what it is started for.
    hangs.emulator("#!/bin/sh\nexec sleep 1000\n");
    for (arguments, name) in [
        (&["--accel", "kvm"][..], "sleep"),
        (&["--accel", "tcg", "--with-running", "--all"], "--format"),
    ] {
        if name == "sleep" && !has_kvm() {
            continue;
        }
        for (number, code) in [(Signal::SIGTERM, Some(143)), (Signal::SIGKILL, None)] {
            let evidence = hangs.path().join(format!("evidence-{name}-{number}"));
            let mut process = hangs
                .command(arguments)
                .args(["-w", evidence.to_str().unwrap()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let child = child_named(&process, name);
            signal(&process, number);
            assert_eq!(process.wait().unwrap().code(), code, "{name} {number}");
            wait_until(&format!("{child} lives on after {number}"), || {
                !is_alive(child)
            });
            if name == "sleep" {
                assert_eq!(evidence.exists(), number == Signal::SIGKILL);
            }
        }
    }
}
