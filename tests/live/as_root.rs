//! On the host's own loopback, which takes the right to capture there: these have to be run as root.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::geteuid;
use serde_json::Value;

use crate::documented::assert_as_documented;
use crate::run::{Run, Running, TRIAL, rstproof, trials};

fn host(arguments: &[&str]) -> Command {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let mut command = rstproof(&["run", "--host", "--family", "ipv4", "--format", "json"]);
    command.args(arguments);
    command
}

/// A port that nobody uses, nor the one after it.
fn free_port() -> String {
    loop {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < u16::MAX - 1 && TcpListener::bind(("0.0.0.0", port + 1)).is_ok() {
            return port.to_string();
        }
    }
}

#[test]
fn the_hosts_loopback_serves_as_well() {
    let trials = Run::of(&mut host(&["--port", &free_port()]))
        .quietly(0)
        .trials();
    assert_as_documented(&trials, &["ipv4"]);
}

#[test]
fn a_port_in_use_is_named_with_the_option_that_mends_it() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let run = Run::of(&mut host(&["--port", &port]));
    let complaint = run.complaint();
    assert!(
        complaint.contains(&port) && complaint.contains("--port"),
        "{complaint}"
    );
}

/// More datagrams than the ring has room for, while nobody empties it.
#[test]
fn frames_that_the_kernel_drops_make_a_trial_inconclusive() {
    let everything = ["-f", "tcp or udp or icmp or icmp6"];
    let endless = ["close-unread-data", "--repeat", "1000000"];
    let mut command = host(&["--port", &free_port()]);
    let mut run = Running::start(command.args(everything).args(endless));
    let mut out = run.read_until(TRIAL);

    run.signal(Signal::SIGSTOP);
    let stopped = waitpid(run.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(run.pid(), Signal::SIGSTOP));
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    for _ in 0..50_000 {
        sender.send(b"flood").unwrap();
    }
    run.signal(Signal::SIGCONT);

    out += &run.read_until("\"verdict\":\"inconclusive\"");
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert_eq!(run.code, Some(130), "{}", run.err);
    out += &run.out;
    let document: Value = serde_json::from_str(&out).unwrap();
    assert!(document["capture"]["dropped"].as_u64() > Some(0));
    for trial in trials(&out) {
        let gap = if trial["verdict"] == "confirmed" {
            Value::Null
        } else {
            "frames-dropped".into()
        };
        assert_eq!(trial["gap"]["id"], gap, "{trial}");
    }
}
