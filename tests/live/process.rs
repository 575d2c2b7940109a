//! The process while it runs, and what is left of it after.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::run::{ENDLESS, Running, TRIAL, rstproof};

/// One worker, at work.
fn start() -> Running {
    let mut command = rstproof(&ENDLESS);
    let mut run = Running::start(command.args(["--format", "json", "--jobs", "1"]));
    run.read_until(TRIAL);
    run
}

fn threads(process: &Path) -> Vec<PathBuf> {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten();
    threads.map(|thread| thread.unwrap().path()).collect()
}

/// The network namespaces of all threads of a process that have one that may be seen.
fn namespaces(process: &Path) -> BTreeSet<PathBuf> {
    let threads = threads(process).into_iter();
    threads
        .filter_map(|thread| fs::read_link(thread.join("ns/net")).ok())
        .collect()
}

/// Interfaces and addresses of the host.
fn network() -> (BTreeSet<OsString>, String) {
    let links = fs::read_dir("/sys/class/net").unwrap();
    let links = links.map(|link| link.unwrap().file_name()).collect();
    (links, fs::read_to_string("/proc/net/fib_trie").unwrap())
}

#[test]
fn works_in_namespaces_of_its_own_and_leaves_none_behind() {
    let before = network();
    let run = start();
    let process = PathBuf::from(format!("/proc/{}", run.pid()));
    // Open, so that no other namespace is given the same number.
    let opened = threads(&process)
        .into_iter()
        .map(|thread| File::open(thread.join("ns/net")).unwrap());
    let opened: Vec<File> = opened.collect();
    let mut own = namespaces(&process);
    own.retain(|namespace| !namespaces(Path::new("/proc/self")).contains(namespace));
    assert_eq!(own.len(), 1, "one worker, one namespace: {own:?}");
    run.signal(Signal::SIGINT);
    assert_eq!(run.finish().code, Some(130));

    let processes = fs::read_dir("/proc").unwrap();
    let mut left = processes.flat_map(|process| namespaces(&process.unwrap().path()));
    assert!(!left.any(|namespace| own.contains(&namespace)));
    assert_eq!(network(), before);
    drop(opened);
}

#[test]
fn keeps_no_privilege_while_it_works() {
    let run = start();
    let threads = threads(Path::new(&format!("/proc/{}", run.pid())));
    assert!(threads.len() > 1, "{threads:?}");
    for thread in threads {
        let status = fs::read_to_string(thread.join("status")).unwrap();
        for held in ["CapInh", "CapPrm", "CapEff"] {
            let none = format!("{held}:\t0000000000000000\n");
            assert!(status.contains(&none), "{status}");
        }
    }
}
