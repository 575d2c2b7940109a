//! What processes that were killed leave behind, and what becomes of it.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::{PROGRAM, capture, output};

/// A temporary name: `.rstproof-`, 16 hexadecimal digits, `.partial`.
const LEFT: &str = ".rstproof-00112233445566ff.partial";

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn hidden(directory: &Path) -> Vec<String> {
    let mut names = names(directory);
    names.retain(|name| name.starts_with('.'));
    names
}

/// Saves the same over and over.
fn saving(directory: &Path, repeat: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args([
        "run",
        "close-unread-data",
        "--family",
        "ipv4",
        "--force",
        "--format",
        "json",
    ]);
    command.args(["--repeat", repeat, "-w"]).arg(directory);
    command.stdin(Stdio::null());
    command
}

/// Starts it, and waits until it has ended a trial.
fn at_work(command: &mut Command) -> Child {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let out = child.stdout.as_mut().unwrap();
    let mut begin = Vec::new();
    while !String::from_utf8_lossy(&begin).contains("\"verdict\"") {
        let mut more = [0; 4096];
        let length = out.read(&mut more).unwrap();
        assert_ne!(length, 0, "{}", String::from_utf8_lossy(&begin));
        begin.extend_from_slice(&more[..length]);
    }
    child
}

#[test]
fn six_runs_that_were_killed_leave_nothing_after_the_next_one() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("evidence");
    for _ in 0..6 {
        let mut child = at_work(&mut saving(&directory, "100000"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // As they leave it where files without a name cannot be had.
    fs::write(directory.join(LEFT), "half").unwrap();
    let (code, _, error) = output(&mut saving(&directory, "1"));
    assert_eq!((code, &*error), (Some(0), ""));
    assert_eq!(hidden(&directory), [""; 0]);
}

/// As for every process of a container: it has the number 1.
#[test]
fn a_reused_process_id_does_not_block_the_clean_up() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let left = ".out.pcapng.1.partial";
    fs::write(home.path().join(left), "").unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--mount-proc",
    ]);
    unshare.args([PROGRAM, "analyze", "--quiet", "--force"]);
    unshare
        .arg(capture("close-unread-data.ipv4"))
        .arg("-w")
        .arg(&out);
    for _ in 0..2 {
        let (code, _, error) = output(&mut unshare);
        assert_eq!((code, &*error), (Some(0), ""), "{unshare:?}");
    }
    assert_eq!(names(home.path()), [left, "out.pcapng"]);
}

/// Two that write to one directory do not lock it. Without /proc there are no files without a name.
#[test]
fn a_file_that_another_process_is_making_stays() {
    let home = tempfile::tempdir().unwrap();
    let (lock, abandoned) = (
        home.path().join(LEFT),
        home.path().join(LEFT.replace("ff", "00")),
    );
    fs::write(&abandoned, "half").unwrap();
    let file = File::options()
        .create_new(true)
        .write(true)
        .mode(0o644)
        .open(&lock)
        .unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let write = |name: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        unshare
            .arg(r#"mount -t tmpfs none /proc && exec "$@""#)
            .arg("sh")
            .arg(PROGRAM);
        unshare
            .args(["analyze", "--quiet", "--force", "-w"])
            .arg(home.path().join(name));
        let (code, _, error) = output(unshare.arg(capture("close-unread-data.ipv4")));
        assert_eq!((code, &*error), (Some(0), ""), "{unshare:?}");
    };
    write("a");
    assert_eq!(names(home.path()), [LEFT, "a"]);
    // Explicit: a child that another test starts has a copy of the descriptor until it executes its program.
    flock(&file, FlockOperation::Unlock).unwrap();
    drop(file);
    write("b");
    assert_eq!(names(home.path()), ["a", "b"]);
    let [a, b]: [PathBuf; 2] = ["a", "b"].map(|name| home.path().join(name));
    assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap());
}
