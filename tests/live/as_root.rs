//! On the host's own loopback, which takes the right to capture there: these have to be run as root.

mod containment;
mod doctor;
mod host_settings;
mod trace;

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::geteuid;
use rstproof::lab::ports::ports;
use serde_json::Value;

use crate::container::{DEFAULT_CAPABILITIES, under_dockers_filter};
use crate::documented::{assert_are, ids, plain};
use crate::run::{PROGRAM, Run, Running, TRIAL, User, rstproof, trials};

fn host(arguments: &[&str]) -> Command {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let mut command = rstproof(&["run", "--host", "--family", "ipv4", "--format", "json"]);
    command.args(arguments);
    command
}

/// A port that nobody uses, nor those beside it that a run needs. Each test has its own, and the kernel gives none of them to a
/// client, as those above do.
fn free_port() -> String {
    const FIRST: u16 = 5_000;
    const APART: u16 = 32;
    static NEXT: AtomicU16 = AtomicU16::new(FIRST);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let lowest: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let is_free = |port| {
        let any = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let mut tried = any
            .map(|any: IpAddr| TcpListener::bind((any, port)).err())
            .into_iter();
        !tried.any(|error| error.is_some_and(|it| it.kind() == ErrorKind::AddrInUse))
    };
    loop {
        let port = NEXT.fetch_add(APART, Ordering::Relaxed);
        let end = if lowest > FIRST { lowest } else { u16::MAX };
        assert!(port < end - APART, "no port is free from {FIRST} to {end}");
        if ports(port).all(is_free) {
            return port.to_string();
        }
    }
}

#[test]
fn the_hosts_loopback_serves_as_well() {
    let port = free_port();
    let arguments = [&["--port", &port][..], &ids(&plain())].concat();
    let trials = Run::of(&mut host(&arguments)).quietly(0).trials();
    assert_are(&plain(), &trials, &["ipv4"]);
}

/// What would change the host is not done there, and said so.
#[test]
fn the_hosts_loopback_has_no_lab() {
    let mut command = host(&["--port", &free_port()]);
    let lab = [
        "connect-firewall-reset",
        "reset-lost",
        "connect-route-missing",
        "time-wait-rst-rfc1337",
        "blind-rst-exact",
    ];
    let trials = Run::of(command.args(lab)).quietly(0).trials();
    assert_eq!(trials.len(), lab.len());
    for trial in trials {
        let why = trial["skipped"].as_str().unwrap_or_default();
        assert!(why.contains("--host"), "{trial}");
    }
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
        assert_eq!(trial["inconclusive_reason"]["id"], gap, "{trial}");
    }
}

/// There is one IPv6 loopback address for everybody on a host, and anybody may connect to it.
#[test]
fn a_strangers_connection_is_not_taken_for_the_clients() {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let port = free_port();
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port.parse().unwrap()));
    let mut command = rstproof(&["run", "clean-close-eof", "--host", "--family", "ipv6"]);
    let run = Running::start(command.args(["--repeat", "1000000", "--quiet", "--port", &port]));
    let strangers: Vec<TcpStream> = (0..100_000)
        .filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok())
        .take(1000)
        .collect();
    assert_eq!(strangers.len(), 1000);
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert_eq!(run.code, Some(130), "{}", run.err);
    assert_eq!(run.out, "", "only what is not confirmed is shown");
}

/// One of each kind that puts a filter on a TCP socket: a client that is made by hand, a port that is dark, and a socket that
/// goes deaf. Linux lets only who administers the network do that, and no other scenario beside it asks for the right.
const DEAF: [&str; 3] = ["syn-received-rst", "connect-user-timeout", "user-timeout"];

#[test]
fn a_scenario_runs_alone_as_root() {
    assert!(geteuid().is_root(), "this test has to be run as root");
    for scenario in DEAF {
        let command = &mut rstproof(&["run", scenario, "--format", "json"]);
        for trial in Run::of(command).quietly(0).trials() {
            assert_eq!(trial["verdict"], "confirmed", "{trial}");
        }
    }
}

/// There the right is not kept.
#[test]
fn what_filters_a_tcp_socket_is_skipped_on_the_host() {
    for scenario in DEAF {
        let trials = Run::of(&mut host(&[scenario])).quietly(0).trials();
        assert_eq!(trials.len(), 1);
        let why = trials[0]["skipped"].as_str().unwrap();
        assert!(why.contains("--host"), "{why}");
    }
}

/// As Docker starts a container: without namespaces, and with 14 capabilities, of which a capture needs one.
#[test]
fn with_the_defaults_of_docker_the_loopback_serves_all_the_same() {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let port = free_port();
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set", DEFAULT_CAPABILITIES]);
    command.args([PROGRAM, "run", "--host", "--port", &port]);
    command.args(["--family", "ipv4", "--format", "json"]);
    command.args(ids(&plain()));
    let trials = under_dockers_filter(command).quietly(0).trials();
    assert_are(&plain(), &trials, &["ipv4"]);
}

/// Capabilities from the binary's file, or from a container's runtime for a user other than root, are not those of a
/// program that it starts.
#[test]
fn a_firewall_is_loaded_with_the_capabilities_of_an_ordinary_user() {
    const HELD: &str = "-all,+net_admin,+net_raw,+sys_admin";
    assert!(geteuid().is_root(), "this test has to be run as root");
    let user = User::new();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args([
        "--inh-caps",
        HELD,
        "--ambient-caps",
        HELD,
        "--bounding-set",
        HELD,
    ]);
    command.arg(user.path("rstproof"));
    command.args([
        "run",
        "--format",
        "json",
        "connect-firewall-reset",
        "firewall-reset-forward",
    ]);
    let trials = Run::of(&mut command).quietly(0).trials();
    assert_eq!(trials.len(), 4);
    for trial in trials {
        assert_eq!(trial["verdict"], "confirmed", "{trial}");
    }
}
