//! `rstproof doctor` where something is in the way: what it finds, what it says mends it, and that nothing is left.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use tempfile::TempDir;

use crate::program;
use crate::run::{PROGRAM, Run, Running, User, rstproof, where_user_namespaces_are_forbidden};
use crate::schema;

const DOCTOR: [&str; 3] = ["doctor", "--format", "json"];

/// What it found, and its exit code.
#[track_caller]
pub(crate) fn examined(command: &mut Command, code: i32) -> Value {
    let run = Run::of(command).quietly(code);
    let document: Value = serde_json::from_str(&run.out).unwrap();
    schema::assert_fits("doctor", &document);
    assert_eq!(document["self_test"]["passed"], code == 0, "{document}");
    document
}

/// The check of this id.
#[track_caller]
pub(crate) fn check<'a>(document: &'a Value, id: &str) -> &'a Value {
    let checks = document["checks"].as_array().unwrap();
    let mut of_it = checks.iter().filter(|check| check["id"] == id);
    let check = of_it.next().unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(of_it.next(), None, "{id} twice");
    check
}

#[track_caller]
pub(crate) fn assert_status(document: &Value, id: &str, status: &str) {
    let check = check(document, id);
    assert_eq!(check["status"], status, "{check}");
    assert_eq!(check["without_it"].is_null(), status == "ok", "{check}");
}

/// A shell in a user namespace of this uid, with all rights in it, runs `script`; `$1` is the program.
fn in_user_namespace(uid: &str, script: &str) -> Command {
    let mut command = Command::new("unshare");
    let map = [format!("--map-user={uid}"), format!("--map-group={uid}")];
    command.args(["--user", "--keep-caps"]).args(map);
    command.args(["sh", "-c", script, "sh", PROGRAM]);
    command
}

#[test]
fn an_ordinary_user_can_run_trials_but_not_on_the_host() {
    let user = User::new();
    let document = examined(&mut user.rstproof(&DOCTOR), 0);
    for id in [
        "user-namespaces",
        "network-namespaces",
        "capture",
        "self-test",
        "counters",
    ] {
        assert_status(&document, id, "ok");
    }
    let verdicts = document["self_test"]["trials"].as_array().unwrap();
    let verdicts: Vec<_> = verdicts
        .iter()
        .map(|tried| (&tried["family"], &tried["verdict"]))
        .collect();
    let confirmed = Value::from("confirmed");
    let [ipv4, ipv6] = ["ipv4", "ipv6"].map(Value::from);
    assert_eq!(verdicts, [(&ipv4, &confirmed), (&ipv6, &confirmed)]);

    assert_status(&document, "cap-net-raw", "missing");
    let program = user.home.path().join("rstproof");
    let setcap = format!("sudo setcap cap_net_raw=ep {}", program.display());
    assert_eq!(check(&document, "cap-net-raw")["fix"], setcap);
    assert_eq!(
        check(&document, "host-capture")["blocked_by"],
        "cap-net-raw"
    );
}

#[test]
fn the_setting_that_forbids_user_namespaces_is_named_with_the_command_that_changes_it() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces || exit 99
                  exec setpriv --inh-caps=-all --ambient-caps=-all \"$1\" doctor --format json";
    let document = examined(&mut in_user_namespace("1000", script), 2);
    assert_status(&document, "user-namespaces", "missing");
    let fix = "sudo sysctl user.max_user_namespaces=15000";
    assert_eq!(check(&document, "user-namespaces")["fix"], fix);
    let job = check(&document, "self-test");
    assert_eq!(job["blocked_by"], "user-namespaces");
    assert_eq!(job["fix"], fix);
    assert_eq!(document["self_test"]["trials"], Value::Array(Vec::new()));
}

#[test]
fn root_is_warned_if_ordinary_users_cannot_create_user_namespaces() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces || exit 99
                  exec \"$1\" doctor --format json";
    let document = examined(&mut in_user_namespace("0", script), 0);
    assert_status(&document, "user-namespaces", "limited");
    let fix = "sysctl user.max_user_namespaces=15000";
    assert_eq!(check(&document, "user-namespaces")["fix"], fix);
    assert_status(&document, "self-test", "ok");
}

#[test]
fn too_many_network_namespaces_are_mended_by_allowing_more() {
    let script = "echo 0 > /proc/sys/user/max_net_namespaces || exit 99
                  exec \"$1\" doctor --format json";
    let document = examined(&mut in_user_namespace("0", script), 2);
    assert_status(&document, "user-namespaces", "ok");
    assert_status(&document, "network-namespaces", "missing");
    assert_eq!(
        check(&document, "capture")["blocked_by"],
        "network-namespaces"
    );
    for id in ["network-namespaces", "self-test"] {
        let fix = "sysctl user.max_net_namespaces=15000";
        assert_eq!(check(&document, id)["fix"], fix);
    }
}

/// Root of a container may be unable to change anything.
#[test]
fn root_without_capabilities_gets_no_fix_that_would_fail() {
    let mut command = where_user_namespaces_are_forbidden("doctor --format json");
    let document = examined(&mut command, 2);
    for id in ["user-namespaces", "self-test", "cap-net-raw", "tracefs"] {
        assert!(check(&document, id)["fix"].is_null(), "{id}: {document}");
    }
    let user_namespaces = check(&document, "user-namespaces")["detail"]
        .as_str()
        .unwrap();
    assert!(
        user_namespaces.contains("user.max_user_namespaces"),
        "{user_namespaces}"
    );
}

/// As it is in a new network namespace. The trials have one of their own.
#[test]
fn a_loopback_that_is_down_is_in_the_way_of_the_host_only() {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", PROGRAM]);
    let document = examined(command.args(DOCTOR), 0);
    assert_status(&document, "self-test", "ok");
    assert_status(&document, "cap-net-raw", "ok");
    assert_status(&document, "host-capture", "missing");
    let host = check(&document, "host-capture");
    assert_eq!(host["fix"], "ip link set lo up");
    assert_eq!(host["detail"], "cannot open a capture on lo: it is down");
}

#[test]
fn in_a_container_tracefs_is_for_the_hosts_root_only() {
    let script = "mount -t tmpfs none /sys && exec \"$1\" doctor --format json";
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "--net",
        "--pid",
        "--fork",
    ]);
    let document = examined(command.args(["sh", "-c", script, "sh", PROGRAM]), 0);
    assert_eq!(check(&document, "tracefs")["status"], "missing");
    assert!(check(&document, "tracefs")["fix"].is_null());
    let events = document["checks"].as_array().unwrap().iter();
    let events = events.filter(|check| check["blocked_by"] == "tracefs");
    assert_eq!(events.count(), 5);
}

/// A directory of programs that are made for the test, to be all of PATH.
pub(crate) struct Programs(TempDir);

impl Programs {
    pub(crate) fn new() -> Self {
        let directory = program::directory();
        program::open_to_all(directory.path());
        Self(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn add(&self, name: &str, script: &str) {
        program::script(self.0.path(), name, &format!("#!/bin/sh\n{script}\n"));
    }

    pub(crate) fn doctor(&self) -> Command {
        let mut command = rstproof(&DOCTOR);
        command.env("PATH", self.0.path());
        command
    }
}

#[test]
fn a_program_is_there_if_it_is_on_path_and_says_its_version() {
    let programs = Programs::new();
    programs.add(
        "tshark",
        "[ \"$*\" = --version ] && echo 'TShark 9.9' && echo more",
    );
    programs.add("nft", "exit 1");
    let document = examined(&mut programs.doctor(), 0);
    let tshark = check(&document, "tshark");
    assert_eq!(tshark["status"], "ok");
    assert_eq!(tshark["detail"], "TShark 9.9");
    assert_eq!(tshark["facts"]["version"], "TShark 9.9");
    let path = programs.path("tshark");
    assert_eq!(tshark["facts"]["path"], path.to_str().unwrap());
    assert_status(&document, "nft", "limited");

    fs::remove_file(path).unwrap();
    let document = examined(&mut programs.doctor(), 0);
    assert_status(&document, "tshark", "missing");
}

/// A program that hangs, with a child that hangs. Both hold the pipe `NAME.pipe` open, and have written to it.
const HANGS: &str = "exec 3> \"$0.pipe\"; echo >&3; /bin/sleep 60 & wait";

/// The other end of that pipe.
struct Held(File);

impl Held {
    fn by(program: &Path) -> Self {
        let pipe = program.with_extension("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let mut options = File::options();
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        Self(options.open(pipe).unwrap())
    }

    /// Waits until the program has come so far, or until nobody holds the pipe any more.
    #[track_caller]
    fn wait_for(&mut self, event: PollFlags) {
        let mut polled = [PollFd::new(self.0.as_fd(), event)];
        let bound = PollTimeout::from(10_000_u16);
        assert_eq!(poll(&mut polled, bound), Ok(1), "not in time: {event:?}");
        assert!(polled[0].revents().unwrap().contains(event));
    }

    fn wait_for_start(&mut self) {
        self.wait_for(PollFlags::POLLIN);
        self.0.read_exact(&mut [0]).unwrap();
    }

    fn wait_for_end(&mut self) {
        self.wait_for(PollFlags::POLLHUP);
    }
}

#[test]
fn a_program_that_hangs_is_ended_with_its_children() {
    let programs = Programs::new();
    programs.add("tshark", HANGS);
    let mut held = Held::by(&programs.path("tshark"));
    let document = examined(&mut programs.doctor(), 0);
    assert_status(&document, "tshark", "limited");
    let detail = check(&document, "tshark")["detail"].as_str().unwrap();
    assert!(detail.contains("within"), "{detail}");
    held.wait_for_start();
    held.wait_for_end();
}

#[test]
fn a_signal_ends_it_and_the_program_that_hangs() {
    let programs = Programs::new();
    programs.add("tshark", HANGS);
    let mut held = Held::by(&programs.path("tshark"));
    let run = Running::start(&mut programs.doctor());
    held.wait_for_start();
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(143), "", "")
    );
    held.wait_for_end();
}

#[test]
fn other_programs_run_without_privileges() {
    let programs = Programs::new();
    programs.add(
        "tshark",
        "while read line; do echo \"$line\"; done < /proc/self/status > \"$0.status\"; echo 1",
    );
    let document = examined(&mut programs.doctor(), 0);
    assert_status(&document, "tshark", "ok");
    let status = fs::read_to_string(programs.path("tshark.status")).unwrap();
    for nothing in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let held = status.lines().find_map(|line| line.strip_prefix(nothing));
        assert_eq!(
            held.unwrap().trim_matches([':', '\t', ' ', '0']),
            "",
            "{status}"
        );
    }
}

#[test]
fn the_table_fits_eighty_columns_and_ends_with_the_verdict() {
    let programs = Programs::new();
    let mut command = rstproof(&["doctor"]);
    let run = Run::of(command.env("PATH", programs.path(""))).quietly(0);
    let last = run.out.lines().next_back().unwrap();
    assert_eq!(
        last,
        "trials can run here: close-unread-data confirmed over IPv4 and IPv6"
    );
    assert!(!run.out.contains('\u{1b}'), "{}", run.out);
    for line in run.out.lines().filter(|line| !line.contains(PROGRAM)) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_closed_standard_output_is_a_quiet_end() {
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let programs = Programs::new();
    let output = programs.doctor().stdout(write).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn nothing_is_left_behind() {
    let state = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let links: Vec<_> = fs::read_dir("/sys/class/net")
            .unwrap()
            .map(|link| link.unwrap().file_name())
            .collect();
        (mounts, links)
    };
    let programs = Programs::new();
    let directory = tempfile::tempdir().unwrap();
    let before = state();
    let mut command = programs.doctor();
    command.current_dir(directory.path());
    command.env("TMPDIR", directory.path());
    let run = Running::start(&mut command);
    // Others, of other tests too, may make instances meanwhile.
    let own = format!("rstproof-{}-", run.pid());
    run.finish().quietly(0);
    assert_eq!(state(), before);
    let instances = fs::read_dir("/sys/kernel/tracing/instances");
    let names = instances.into_iter().flatten().flatten();
    let mut names = names.map(|it| it.file_name().into_string().unwrap());
    assert!(!names.any(|name| name.starts_with(&own)), "{own}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
