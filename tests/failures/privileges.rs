//! Whether a process can gain privileges by the programs that it starts.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::{PROGRAM, capture};

/// A pipe that nothing more can be written to: who writes to it waits.
fn full() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[0; 4096]).is_ok() {}
    while writer.write(&[0]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// Looks at the process while it waits to say what it has to say.
fn gains_none(arguments: &[&str]) -> bool {
    let ((_out, to_out), (_error, to_error)) = (full(), full());
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(to_out)
        .stderr(to_error)
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    // A bound on failure.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut gains_none = false;
    while !gains_none && Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&status).unwrap();
        gains_none = status.lines().any(|line| line == "NoNewPrivs:\t1");
        thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    gains_none
}

#[test]
fn commands_without_need_gain_no_privileges() {
    let (capture, report) = (capture("close-unread-data.ipv4"), "report.json");
    let capture = capture.to_str().unwrap();
    assert!(Path::new(capture).exists());
    for arguments in [
        &["list"][..],
        &["explain", "close-unread-data"],
        &["check", capture],
        &["check", "/nothing"],
        &["analyze", capture],
        &["compare", report, report],
        &["completions", "bash"],
        &["man"],
        &["doctor"],
        &["run", "close-unread-data", "--family", "ipv4"],
    ] {
        assert!(gains_none(arguments), "{arguments:?}");
    }
}
