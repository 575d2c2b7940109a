//! `tcpdump -w - | rstproof analyze -`: a real capture that is analyzed while it is made.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::run::PROGRAM;

/// A pipeline on a loopback of its own, and a client for a closed port that connects when it is told to. The shell goes on after
/// Ctrl-C, to report the exit code of `rstproof`.
const PIPELINE: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
trap : INT
exec 5<&0
{ read -r _ <&5; exec 6<>/dev/tcp/127.0.0.1/9; } >/dev/null 2>&1 &
tcpdump -i lo -U --immediate-mode -w - tcp </dev/null | "$1" analyze - --format json
exit "${PIPESTATUS[1]}"
"#;

#[test]
fn tcpdump_shows_a_refusal_at_once_and_ctrl_c_ends_both() {
    let mut child = Command::new("unshare")
        // As root, tcpdump would change to another user, which no user namespace of one user has.
        .args(["--user", "--map-user=1", "--map-group=1", "--keep-caps"])
        .args(["--net", "bash", "-c"])
        .args([PIPELINE, "bash", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C goes to the whole foreground process group.
        .process_group(0)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let listens = said.any(|line| line.unwrap().contains("listening on lo"));
    assert!(listens, "tcpdump did not begin");
    let mut go = child.stdin.take().unwrap();
    go.write_all(b"\n").unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut row = || -> Value { rows.next().unwrap().unwrap().parse().unwrap() };
    // The capture goes on: nothing but the RST itself can have brought this about.
    let reset = row();
    assert_eq!(reset["type"], "reset");
    assert_eq!(reset["cause"], "refused");
    assert_eq!(reset["errno"], "ECONNREFUSED");
    let group = Pid::from_raw(child.id().try_into().unwrap());
    killpg(group, Signal::SIGINT).unwrap();
    assert_eq!(row()["type"], "connection");
    let summary = row();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["resets"], 1);
    assert_eq!(summary["complete"], true);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
