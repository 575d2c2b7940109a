//! `rstproof doctor` with what only root can give it: a tracefs, some capabilities and not others.

use std::process::Command;

use nix::unistd::geteuid;
use serde_json::Value;

use crate::doctor::{assert_status, check, examined};
use crate::run::{PROGRAM, Run, User};

/// The events that are looked at, and a field that each has in every kernel that has the event.
const EVENTS: [(&str, &str); 5] = [
    ("event-tcp-send-reset", "state"),
    ("event-tcp-receive-reset", "sport"),
    ("event-inet-sk-error-report", "error"),
    ("event-inet-sock-set-state", "newstate"),
    ("event-kfree-skb", "skbaddr"),
];

/// Mounts tracefs on /sys/kernel/tracing and nowhere else. Most hosts have it there already, some have others: with debugfs
/// comes one on its directory `tracing` (Documentation/trace/ftrace.rst).
pub(crate) const MOUNT_TRACEFS: &str =
    "umount --all --types tracefs && mount -t tracefs nodev /sys/kernel/tracing";

/// A shell in a mount namespace of its own, where tracefs is mounted, runs `script`; `$1` is the program.
fn with_tracefs(script: &str, program: &str) -> Command {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let script = format!("{MOUNT_TRACEFS} && {script}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh", program]);
    command
}

#[test]
fn reads_the_events_where_tracefs_is_mounted() {
    let mut command = with_tracefs("exec \"$1\" doctor --format json", PROGRAM);
    let document = examined(&mut command, 0);
    assert_status(&document, "tracefs", "ok");
    let place = &check(&document, "tracefs")["facts"]["mounted_on"];
    assert_eq!(place, "/sys/kernel/tracing");
    for (id, field) in EVENTS {
        let check = check(&document, id);
        assert_ne!(check["status"], "missing", "{check}");
        let fields = check["facts"]["fields"].as_array().unwrap().iter();
        let names: Vec<&Value> = fields.map(|field| &field["name"]).collect();
        assert!(names.contains(&&Value::from(field)), "{check}");
    }
}

#[test]
fn reports_that_only_root_can_use_tracefs() {
    let user = User::new();
    let script =
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$1\" doctor --format json";
    let program = user.home.path().join("rstproof");
    let mut command = with_tracefs(script, program.to_str().unwrap());
    let document = examined(&mut command, 0);
    assert_status(&document, "tracefs", "limited");
    let tracefs = check(&document, "tracefs");
    assert!(
        tracefs["detail"].as_str().unwrap().contains("EACCES"),
        "{tracefs}"
    );
    assert_eq!(tracefs["fix"], format!("sudo {} doctor", program.display()));
    for (id, _) in EVENTS {
        assert_eq!(check(&document, id)["blocked_by"], "tracefs");
    }
}

/// What hides a mount makes it as good as gone, and each run then has a mount of its own.
#[test]
fn treats_a_hidden_tracefs_as_missing() {
    let script = "mount -t tmpfs none /sys && exec \"$1\" doctor --format json";
    let document = examined(&mut with_tracefs(script, PROGRAM), 0);
    assert_status(&document, "tracefs", "ok");
    let tracefs = check(&document, "tracefs");
    assert!(tracefs["facts"]["mounted_on"].is_null(), "{tracefs}");
}

/// An ordinary user with these capabilities, as a binary that was given them has them.
fn with_capabilities(user: &User, capabilities: &str, arguments: &[&str]) -> Command {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(format!("--inh-caps={capabilities}"));
    command.arg(format!("--ambient-caps={capabilities}"));
    command.arg(user.home.path().join("rstproof"));
    command.args(arguments);
    command
}

#[test]
fn finds_the_hosts_loopback_within_reach_of_the_right_to_capture() {
    let user = User::new();
    let mut command = with_capabilities(&user, "+net_raw", &["doctor", "--format", "json"]);
    let document = examined(&mut command, 0);
    assert_status(&document, "cap-net-raw", "ok");
    assert_ne!(check(&document, "host-capture")["status"], "missing");
    assert_status(&document, "self-test", "ok");
}

/// With these a network namespace can be made, but its lo cannot be brought up.
#[test]
fn some_missing_capabilities_do_not_matter() {
    let user = User::new();
    let some = "+net_raw,+sys_admin";
    let doctor = ["doctor", "--format", "json"];
    let document = examined(&mut with_capabilities(&user, some, &doctor), 0);
    assert_status(&document, "network-namespaces", "ok");
    let run = ["run", "close-unread-data", "--quiet"];
    Run::of(&mut with_capabilities(&user, some, &run)).quietly(0);
}

#[test]
fn root_without_some_capabilities_can_run_trials() {
    assert!(geteuid().is_root(), "this test has to be run as root");
    for without in ["-net_raw", "-net_raw,-sys_admin"] {
        let mut command = Command::new("setpriv");
        command.arg(format!("--bounding-set={without}"));
        command.arg(format!("--inh-caps={without}"));
        command.args([PROGRAM, "doctor", "--format", "json"]);
        let document = examined(&mut command, 0);
        assert_status(&document, "self-test", "ok");
        assert_status(&document, "cap-net-raw", "missing");
        // Capabilities of the file would not come through the bounding set.
        assert!(check(&document, "cap-net-raw")["fix"].is_null());
    }
}
