//! The process while it runs, and what is left of it after.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

/// The sets of capabilities in a `status` file: inheritable, permitted, effective.
fn capabilities(status: &Path) -> [u64; 3] {
    let status = fs::read_to_string(status).unwrap();
    ["CapInh:", "CapPrm:", "CapEff:"].map(|set| {
        let mut lines = status.lines().filter_map(|line| line.strip_prefix(set));
        u64::from_str_radix(lines.next().unwrap().trim(), 16).unwrap()
    })
}

/// Every thread gives up its rights before it does anything else, but on a busy host one may not have run yet when the first trials
/// are there. Each look is at a later trial.
#[track_caller]
fn assert_capabilities_of_all_threads(run: &mut Running, expected: [u64; 3]) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let threads = threads(Path::new(&format!("/proc/{}", run.pid())));
        assert!(threads.len() > 1, "{threads:?}");
        let statuses = threads.iter().map(|thread| thread.join("status"));
        let found: BTreeSet<_> = statuses.map(|status| capabilities(&status)).collect();
        if found == BTreeSet::from([expected]) {
            return;
        }
        assert!(Instant::now() < end, "{found:?}, not {expected:?}");
        run.read_until(TRIAL);
    }
}

#[test]
fn keeps_no_privilege_while_it_works() {
    assert_capabilities_of_all_threads(&mut start(), [0; 3]);
}

/// These have to be run as root: nobody else has anything to give up.
mod as_root {
    use std::process::Command;

    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    use nix::unistd::geteuid;

    use super::*;

    /// Numbers in `capability.h`.
    const CAP_CHOWN: u64 = 1 << 0;
    const CAP_DAC_OVERRIDE: u64 = 1 << 1;

    fn start(command: &mut Command) -> Running {
        assert!(geteuid().is_root(), "this test has to be run as root");
        assert_ne!(capabilities(Path::new("/proc/self/status"))[1], 0);
        Running::start(command)
    }

    #[test]
    fn keeps_what_saving_takes_and_no_more() {
        let home = tempfile::tempdir().unwrap();
        for (user, kept) in [
            (None, CAP_DAC_OVERRIDE),
            (Some("65534"), CAP_DAC_OVERRIDE | CAP_CHOWN),
            (Some("0"), CAP_DAC_OVERRIDE),
        ] {
            let mut command = rstproof(&ENDLESS);
            command.args(["--format", "json", "--force", "-w"]);
            command.arg(home.path());
            for name in ["SUDO_UID", "SUDO_GID"] {
                command.env_remove(name);
                command.envs(user.map(|user| (name, user)));
            }
            let mut run = start(&mut command);
            run.read_until(TRIAL);
            assert_capabilities_of_all_threads(&mut run, [0, kept, kept]);
            run.signal(Signal::SIGKILL);
        }
    }

    /// The right to change its own namespace, or to make others; and the thread that listens to workers has none.
    #[test]
    fn a_worker_keeps_what_its_lab_takes_and_no_more() {
        const CAP_NET_ADMIN: u64 = 1 << 12;
        const CAP_NET_RAW: u64 = 1 << 13;
        const CAP_SYS_ADMIN: u64 = 1 << 21;
        for (scenario, kept) in [
            ("blind-rst-exact", 0),
            ("connect-firewall-reset", 0),
            ("sock-destroy", CAP_NET_ADMIN),
            ("time-wait-rst-rfc1337", CAP_NET_ADMIN),
            (
                "firewall-reset-input",
                CAP_NET_ADMIN | CAP_NET_RAW | CAP_SYS_ADMIN,
            ),
        ] {
            let mut command = rstproof(&["run", "--repeat", "1000000", "--format", "json"]);
            let mut run = start(command.arg(scenario));
            run.read_until(TRIAL);
            let process = format!("/proc/{}", run.pid());
            let main = Path::new(&process).join("status");
            assert_eq!(capabilities(&main), [0; 3], "{scenario}");
            let end = Instant::now() + Duration::from_secs(60);
            loop {
                let [mut permitted, mut workers] = [0, 0];
                for thread in threads(Path::new(&process)) {
                    let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
                    if name.starts_with("capture-") {
                        permitted |= capabilities(&thread.join("status"))[1];
                        workers += 1;
                    }
                }
                assert!(workers > 0, "{scenario}");
                if permitted == kept {
                    break;
                }
                assert!(
                    Instant::now() < end,
                    "{scenario}: {permitted:#x}, not {kept:#x}"
                );
                run.read_until(TRIAL);
            }
            run.signal(Signal::SIGKILL);
        }
    }

    /// More than a pipe holds, so that it waits in the middle until somebody reads on.
    #[test]
    fn check_keeps_no_privilege_while_it_works() {
        let home = tempfile::tempdir().unwrap();
        let mut command = rstproof(&[
            "run",
            "linger-zero-close",
            "--repeat",
            "50",
            "--quiet",
            "-w",
        ]);
        assert_eq!(start(command.arg(home.path())).finish().code, Some(0));
        let mut command = rstproof(&["check", "--format", "json"]);
        let mut run = start(command.arg(home.path()));
        let begun = run.read_until(TRIAL);
        let status = format!("/proc/{}/status", run.pid());
        assert_eq!(capabilities(Path::new(&status)), [0; 3]);
        let run = run.finish();
        assert_eq!(run.code, Some(0), "{}", run.err);
        let out = begun + &run.out;
        // It had not come to its end.
        assert!(out.len() > 2 * 65536, "{}", out.len());
    }

    /// What a process has when it ends shows until its end is waited for.
    #[test]
    fn no_other_command_has_any_privilege_at_its_end() {
        for arguments in [
            &["list"][..],
            &["explain", "close-unread-data"],
            &["check", "/nonexistent"],
            &["man"],
            &["completions", "bash"],
        ] {
            let mut run = start(&mut rstproof(arguments));
            run.read_to_end();
            let ended = waitid(
                Id::Pid(run.pid()),
                WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
            );
            assert!(matches!(ended, Ok(WaitStatus::Exited(..))), "{ended:?}");
            let status = format!("/proc/{}/status", run.pid());
            let left = capabilities(Path::new(&status));
            assert_eq!(left, [0; 3], "{arguments:?}");
        }
    }
}
