//! The lab changes firewalls, settings, links, addresses and routes, and none of the host's: not while it runs, nor after any
//! end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use crate::run::{Running, TRIAL, rstproof};

/// One for each thing that the lab changes: in a worker's namespace, and in those of other hosts.
const CHANGING: [&[&str]; 2] = [
    &[
        "connect-firewall-reset",
        "time-wait-rst-rfc1337",
        "accept-queue-abort-on-overflow",
        "connect-route-missing",
        "sock-destroy",
        "blind-rst-exact",
    ],
    &[
        "peer-rebooted",
        "firewall-reset-input",
        "reset-lost",
        "established-link-down",
        "established-address-gone",
    ],
];

/// Everything under here that can be read.
fn contents(of: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(of).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            contents(&path, into);
        } else if let Ok(text) = fs::read_to_string(&path) {
            into.insert(path, text);
        }
    }
}

/// What the lab changes, of the host.
fn host() -> BTreeMap<PathBuf, String> {
    let mut host = BTreeMap::new();
    for family in ["ipv4", "ipv6"] {
        contents(&Path::new("/proc/sys/net").join(family), &mut host);
    }
    for link in fs::read_dir("/sys/class/net").unwrap() {
        let link = link.unwrap().path();
        for about in ["address", "flags", "operstate"] {
            let path = link.join(about);
            host.insert(path.clone(), fs::read_to_string(path).unwrap_or_default());
        }
    }
    for table in ["fib_trie", "if_inet6", "route"] {
        let path = Path::new("/proc/net").join(table);
        host.insert(path.clone(), fs::read_to_string(path).unwrap_or_default());
    }
    let mounts = PathBuf::from("/proc/self/mountinfo");
    host.insert(mounts.clone(), fs::read_to_string(mounts).unwrap());
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names: Vec<_> = names.map(|it| it.file_name()).collect();
    host.insert("/run/netns".into(), format!("{names:?}"));

    // Without counters and the like: those of rules that the host has move at any time.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let mut nft = Command::new("nft");
    let rules = nft
        .env("PATH", path)
        .args(["--stateless", "list", "ruleset"])
        .output();
    let rules = rules.unwrap();
    assert!(rules.status.success(), "{rules:?}");
    host.insert("ruleset".into(), String::from_utf8(rules.stdout).unwrap());
    host
}

/// The network namespaces of a process's threads, held open so that no other is given the same number.
fn namespaces(process: i32) -> Vec<File> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let files = threads.filter_map(|thread| File::open(thread.unwrap().path().join("ns/net")).ok());
    files.collect()
}

fn numbers(namespaces: &[File]) -> BTreeSet<u64> {
    let number = |file: &File| file.metadata().unwrap().ino();
    namespaces.iter().map(number).collect()
}

#[test]
fn the_host_is_as_it_was_while_the_lab_is_at_work_and_after_any_end() {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let before = host();
    let own = namespaces(std::process::id().try_into().unwrap());
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL];
    for (signal, changing) in signals
        .into_iter()
        .flat_map(|signal| CHANGING.map(|changing| (signal, changing)))
    {
        let mut command = rstproof(&["run", "--repeat", "1000000", "--format", "json"]);
        let mut run = Running::start(command.args(changing));
        run.read_until(TRIAL);
        let process = run.pid().as_raw();
        let namespaces = namespaces(process);
        let mut theirs = numbers(&namespaces);
        theirs.retain(|number| !numbers(&own).contains(number));
        assert!(theirs.len() >= 2, "one a worker: {theirs:?}");
        assert_eq!(host(), before, "at work");

        run.signal(signal);
        run.finish();
        assert_eq!(host(), before, "after {signal}");
        for process in fs::read_dir("/proc").unwrap() {
            let name = process.unwrap().file_name().into_string().unwrap();
            let Ok(process) = name.parse::<i32>() else {
                continue;
            };
            let Ok(file) = File::open(format!("/proc/{process}/ns/net")) else {
                continue;
            };
            let number = file.metadata().unwrap().ino();
            assert!(!theirs.contains(&number), "{process} is still there");
        }
    }
}
