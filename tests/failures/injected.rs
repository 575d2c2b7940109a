//! System calls that fail, one at a time: a few of those of `scripts/inject-failures.sh`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{PROGRAM, output};

#[test]
fn a_system_call_that_fails_ends_in_a_line_or_in_the_right_result() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/inject-failures.sh");
    // Fails where strace is missing or may not trace, and says so.
    let (code, out, error) = output(Command::new(script).args(["--fast", PROGRAM]));
    assert_eq!(code, Some(0), "{out}{error}");
    let last = out.lines().last().unwrap();
    let injections = last.split(' ').next().and_then(|it| it.parse().ok());
    assert!(injections > Some(50), "{out}");
}

/// The program where calls fail in this way, as `strace -e inject=` has it.
fn with_failing(what: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
    command.arg(format!("inject={what}"));
    command
}

/// The arguments that save one trial.
const SAVE: [&str; 6] = [
    "run",
    "close-unread-data",
    "--family",
    "ipv4",
    "--quiet",
    "-w",
];

/// As on some network file systems. Another run cannot be kept away, and who would be at risk is told so.
#[test]
fn a_directory_that_cannot_be_locked_is_reported_and_saved_in() {
    let home = tempfile::tempdir().unwrap();
    for errno in ["ENOLCK", "ENOSYS"] {
        let directory = home.path().join(errno);
        let mut command = with_failing(&format!("flock:error={errno}"));
        let (code, _, error) = output(command.arg(PROGRAM).args(SAVE).arg(&directory));
        assert_eq!(code, Some(0), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let expected = format!("rstproof: cannot lock {}: ", directory.display());
        assert!(
            error.starts_with(&expected) && error.contains(errno),
            "{error}"
        );
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3);
    }
}

/// std panics where a directory that was read cannot be closed, and nix where a lock cannot be removed.
#[test]
fn what_cannot_be_closed_or_unlocked_is_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("evidence");
    let mut save = Command::new(PROGRAM);
    let (code, _, error) = output(save.args(SAVE).arg(&directory));
    assert_eq!((code, &*error), (Some(0), ""));
    for command in ["check", "analyze"] {
        let mut strace = with_failing("close:error=EIO");
        strace.arg("-P").arg(&directory).args([PROGRAM, command]);
        let (code, out, error) = output(strace.arg(&directory));
        assert_eq!((code, &*error), (Some(0), ""), "{command}: {out}");
    }
    // Locked first, and unlocked at the end.
    let mut strace = with_failing("flock:error=EIO:when=2+");
    strace.arg("-P").arg(&directory).arg(PROGRAM).args(SAVE);
    let (code, _, error) = output(strace.arg(&directory).arg("--force"));
    assert_eq!((code, &*error), (Some(0), ""));
}
