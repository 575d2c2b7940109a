//! The program on hosts that are hostile in one way each: the host never changes a verdict.
//!
//! Each trial is confirmed, or it is skipped or inconclusive for a reason that names what the host lacks. Where nothing can
//! run, one line of error names it. A refuted trial, a hang, a panic or a run that ends half-way is a failure. This is the
//! fast part of `scripts/hostile-hosts.sh`, which tries many more conditions, some of them in guests.
//!
//! A condition is one entry of a table below: how a shell makes it, what runs there, how much of what a plain host confirms
//! must be confirmed there, and what a reason has to name. Needed beside the program: bash, coreutils (timeout) and
//! util-linux (unshare, mount, setpriv); those in `as_root` need root.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[allow(dead_code)] // other tests install scripts, too
#[path = "support/program.rs"]
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::unistd::geteuid;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rstproof");

/// Seconds that anything here may take. A bound on failure: what does not end is a hang.
const BOUND: &str = "120";

/// What a trial may end like where it is not confirmed, and the error line where nothing can run.
#[derive(Clone, Copy)]
enum Unless {
    /// All must be confirmed. On a busy machine 1 % may have missed their moment.
    Never,
    /// The reason contains one of these.
    Names(&'static [&'static str]),
}

/// A host that is hostile in one way.
struct Condition {
    /// Bash that makes the condition and runs `"$@"`, the program with its arguments. `$saved` is a directory that does
    /// not exist yet.
    how: &'static str,
    /// The program's arguments, apart from the form of the output.
    arguments: &'static [&'static str],
    /// How many percent of what a plain host confirms must be confirmed here, too.
    least: usize,
    unless: Unless,
}

/// A test for each entry: name, how it is made, arguments, least percentage, what a reason must name.
macro_rules! conditions {
    ($($(#[$comment:meta])* $name:ident: $how:expr, $arguments:expr, $least:expr, $unless:expr;)+) => {$(
        $(#[$comment])*
        #[test]
        fn $name() {
            Condition { how: $how, arguments: &$arguments, least: $least, unless: $unless }.check();
        }
    )+};
}

use Unless::{Names, Never};

/// The whole catalogue over one family; all that do not wait for slow timers.
const RUN: [&str; 3] = ["run", "--family", "ipv4"];
/// The slow ones, too: all of them at once need most descriptors.
const ALL: [&str; 2] = ["run", "--all"];
/// Those that wait for timers of a second or two while nothing else is to happen.
const TIMERS: [&str; 4] = [
    "run",
    "keepalive-icmp",
    "write-after-peer-close-early",
    "close-unread-data",
];

/// In a mount namespace, after some preparation: root makes one, others need a user namespace for it.
macro_rules! mounts {
    ($setup:literal) => {
        concat!(
            "own() { if [ $EUID = 0 ]; then unshare -m \"$@\"; else unshare -Urm \"$@\"; fi; }; ",
            "own bash -ec '",
            $setup,
            "; exec \"$@\"' - \"$@\""
        )
    };
}

conditions! {
    nothing_hostile: "exec \"$@\"", RUN, 99, Never;

    // RLIMIT_NOFILE.
    descriptors_6: "ulimit -n 6; exec \"$@\"", RUN, 0, Names(&["ulimit -n"]);
    descriptors_32: "ulimit -n 32; exec \"$@\"", RUN, 0, Names(&["ulimit -n"]);
    descriptors_128: "ulimit -n 128; exec \"$@\"", RUN, 0, Names(&["ulimit -n"]);
    descriptors_256_slow: "ulimit -n 256; exec \"$@\"", ALL, 0, Names(&["ulimit -n"]);

    // RLIMIT_AS. Where few workers fit, fewer run side by side.
    address_space_64_mib: "ulimit -v 65536; exec \"$@\"", RUN, 0, Names(&["ulimit -v"]);
    address_space_200_mib: "ulimit -v 204800; exec \"$@\"", RUN, 99, Never;
    address_space_500_mib: "ulimit -v 512000; exec \"$@\"", RUN, 99, Never;

    // The defaults of Docker, Podman and Kubernetes, and worse.
    proc_sys_read_only: mounts!("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys"),
        RUN, 90, Names(&["/proc/sys"]);
    proc_sys_hidden: mounts!("mount -t tmpfs none /proc/sys"), RUN, 85, Names(&["/proc/sys"]);
    proc_hidden: mounts!("mount -t tmpfs none /proc"), RUN, 0, Names(&["/proc"]);
    sys_hidden: mounts!("mount -t tmpfs none /sys"), RUN, 99, Never;
    rootless_container: "exec unshare -Urnmpiuf --mount-proc bash -ec 'mount -t sysfs -o ro sysfs /sys; mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; exec \"$@\"' - \"$@\"",
        RUN, 90, Names(&["/proc/sys"]);
    first_process_of_a_pid_namespace: "exec unshare -Urpf --mount-proc \"$@\"", RUN, 99, Never;

    // What a process starts with.
    all_standard_descriptors_closed: "exec \"$@\" -w \"$saved\" <&- >&- 2>&-", RUN, 99, Never;
    no_environment: "exec env -i \"$@\"", RUN, 99, Never;
    signals_ignored_and_directory_gone: "trap '' INT TERM HUP PIPE CHLD; d=$(mktemp -d); cd \"$d\"; rmdir \"$d\"; exec \"$@\"",
        RUN, 99, Never;

    /// As under SIGSTOP, a paused virtual machine or a suspended laptop: a timer of TCP ends what a script meant to end.
    time_stops: "\"$@\" & sleep 0.8; kill -STOP $!; sleep 4; kill -CONT $!; wait $!",
        TIMERS, 0, Names(&["timing-missed", "clock-stepped"]);
}

/// These change what only root may.
mod as_root {
    use super::*;

    /// In a network namespace of its own, whose loopback then is "the host's".
    macro_rules! host {
        ($setup:literal) => {
            concat!(
                "exec unshare -n bash -ec 'ip link set lo up; ",
                $setup,
                "; exec \"$@\"' - \"$@\""
            )
        };
    }

    const HOST: [&str; 4] = ["run", "--host", "--family", "ipv4"];

    conditions! {
        processes_16: "exec setpriv --reuid=54321 --regid=54321 --clear-groups bash -c 'ulimit -u 16; exec \"$@\"' - \"$@\"",
            RUN, 0, Names(&["ulimit -u"]);
        time_namespace: "exec unshare -T --boottime 400000000 --monotonic 400000000 \"$@\"", RUN, 99, Never;
        host_syncookies_always: host!("echo 2 > /proc/sys/net/ipv4/tcp_syncookies"), HOST, 80, Names(&["tcp_syncookies"]);
        host_abort_on_overflow: host!("echo 1 > /proc/sys/net/ipv4/tcp_abort_on_overflow"), HOST, 80, Names(&["tcp_abort_on_overflow"]);
        host_no_time_wait: host!("echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets"), HOST, 70, Names(&["tcp_max_tw_buckets"]);
        host_without_ipv6: host!("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"), ["run", "--host"], 45, Names(&["IPv6"]);
        host_on_nothing_hostile: host!(":"), HOST, 99, Never;
    }
}

/// No memory is left in the middle of an analysis: one line, no abort.
#[test]
fn without_memory_the_program_ends_with_one_line() {
    let home = tempfile::tempdir().unwrap();
    let capture = home.path().join("many.pcap");
    fs::write(&capture, resets_of_many_connections()).unwrap();
    let mut command = Command::new("bash");
    command.args([
        "-c",
        "ulimit -v 65536; exec \"$@\"",
        "-",
        PROGRAM,
        "analyze",
    ]);
    command
        .arg(&capture)
        .arg("-w")
        .arg(home.path().join("out.pcapng"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(
        err.contains("(ENOMEM)") && err.contains("`ulimit -v unlimited`"),
        "{err}"
    );
}

/// A capture of raw IPv4 packets: one RST each of so many connections that their table outgrows 64 MiB.
fn resets_of_many_connections() -> Vec<u8> {
    const CONNECTIONS: u32 = 400_000;
    const RAW_IPV4: u32 = 228;
    let mut file = Vec::new();
    for field in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, RAW_IPV4] {
        file.extend_from_slice(&u32::to_le_bytes(field));
    }
    for nth in 0..CONNECTIONS {
        for field in [1_700_000_000, 0, 40, 40] {
            file.extend_from_slice(&u32::to_le_bytes(field));
        }
        let client = 0x0a00_0000 + nth;
        // IPv4: TCP, time to live 64, from `client` to 10.255.0.1. TCP: from port 1024 to port 80, RST.
        for word in [
            0x4500_0028,
            0,
            0x4006_0000,
            client,
            0x0aff_0001,
            0x0400_0050,
            nth,
            0,
            0x5004_0000,
            0,
        ] {
            file.extend_from_slice(&u32::to_be_bytes(word));
        }
    }
    file
}

/// How a trial ended, and why if it was not confirmed.
#[derive(Clone, Debug)]
struct Ended {
    verdict: String,
    why: String,
}

type Trials = BTreeMap<(String, String), Ended>;

/// How the program ended.
struct Ending {
    code: Option<i32>,
    err: String,
    trials: Trials,
}

/// Runs this bash, with the program and its arguments as `"$@"`.
fn run(how: &str, arguments: &[&str]) -> Ending {
    let home = tempfile::tempdir().unwrap();
    let copy = copy(&home);
    let saved = home.path().join("saved");
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", BOUND, "bash", "-c", how, "-"]);
    command.arg(copy).args(arguments).args(["--format", "json"]);
    command.env("saved", &saved).stdin(Stdio::null());
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let report = fs::read_to_string(saved.join("report.json")).unwrap_or(out);
    Ending {
        code: output.status.code(),
        err: String::from_utf8(output.stderr).unwrap(),
        trials: trials(&report),
    }
}

/// What these arguments lead to where nothing is hostile. Run once.
fn plain(arguments: &'static [&'static str]) -> Trials {
    static KNOWN: Mutex<BTreeMap<&[&str], Trials>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let trials = known.entry(arguments).or_insert_with(|| {
        let how = if arguments.contains(&"--host") {
            "exec unshare -n bash -c 'ip link set lo up; exec \"$@\"' - \"$@\""
        } else {
            "exec \"$@\""
        };
        let ending = run(how, arguments);
        // On a busy machine a trial that waits may have missed its moment.
        assert!(
            matches!(ending.code, Some(0 | 3)),
            "on a plain host: {}",
            ending.err
        );
        ending.trials
    });
    trials.clone()
}

/// Where any user may run it.
fn copy(home: &TempDir) -> impl AsRef<OsStr> + use<> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = home.path().join("rstproof");
    if fs::hard_link(PROGRAM, &copy).is_err() {
        program::copy(Path::new(PROGRAM), &copy);
    }
    copy
}

/// One line each, whether or not the document was ended.
fn trials(document: &str) -> Trials {
    let lines = document
        .lines()
        .filter(|line| line.starts_with("{\"scenario\""));
    let trial = |line: &str| {
        let trial: Value = serde_json::from_str(line.trim_end_matches(',')).unwrap();
        let text = |name: &str| trial[name].as_str().unwrap().to_owned();
        let mut why = Vec::new();
        for field in ["skipped", "inconclusive_reason", "findings"] {
            texts(&trial[field], &mut why);
        }
        let ended = Ended {
            verdict: trial["verdict"].as_str().unwrap_or("skipped").to_owned(),
            why: why.join("; "),
        };
        ((text("scenario"), text("family")), ended)
    };
    lines.map(trial).collect()
}

/// All texts in a value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

impl Condition {
    #[track_caller]
    fn check(&self) {
        let how = self.how;
        if how.contains("unshare -n ") || how.contains("--reuid") || how.contains("unshare -T") {
            assert!(geteuid().is_root(), "this test has to be run as root");
        }
        let plain = plain(self.arguments);
        let here = run(how, self.arguments);
        let told = || format!("{how}\nexit {:?}\n{}", here.code, here.err);

        assert!(!here.err.contains("panicked at"), "{}", told());
        let refuted: Vec<_> = here
            .trials
            .iter()
            .filter(|(_, it)| it.verdict == "refuted")
            .collect();
        assert!(refuted.is_empty(), "{refuted:#?}\n{}", told());
        match here.code {
            Some(0 | 3) => {
                let all: BTreeSet<_> = plain.keys().collect();
                assert_eq!(
                    here.trials.keys().collect::<BTreeSet<_>>(),
                    all,
                    "{}",
                    told()
                );
                self.check_reasons(&plain, &here.trials);
                let confirmed = |trials: &Trials| {
                    trials
                        .values()
                        .filter(|it| it.verdict == "confirmed")
                        .count()
                };
                let (normal, here) = (confirmed(&plain), confirmed(&here.trials));
                assert!(
                    here * 100 >= normal * self.least,
                    "{here} of {normal} confirmed: {how}"
                );
            }
            // Nothing can run: then nothing has.
            Some(2) => {
                assert!(
                    self.least == 0 && here.trials.is_empty(),
                    "{} trials; {}",
                    here.trials.len(),
                    told()
                );
                assert_eq!(here.err.lines().count(), 1, "{}", told());
                assert!(self.names(&here.err), "{}", told());
            }
            Some(124 | 137) => panic!("it hangs: {}", told()),
            _ => panic!("{}", told()),
        }
    }

    /// What is not to be had on a plain host is no fault of the condition.
    #[track_caller]
    fn check_reasons(&self, plain: &Trials, here: &Trials) {
        for (trial, ended) in here {
            let is_usual = ended.verdict == "skipped" && plain[trial].verdict == "skipped";
            if ended.verdict != "confirmed" && !is_usual {
                assert!(self.names(&ended.why), "{trial:?}: {ended:?}\n{}", self.how);
            }
        }
    }

    /// Whether a reason names the condition.
    fn names(&self, reason: &str) -> bool {
        match self.unless {
            Never => reason.contains("timing-missed"),
            Names(names) => names.iter().any(|name| reason.contains(name)),
        }
    }
}
