//! The program where something fails that is none of its own: limits that are reached, processes that were killed, system
//! calls that fail.
//!
//! Needed beside the program: strace, and setpriv, prlimit, unshare and mount of util-linux.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod injected;
mod left_behind;
mod limits;
mod privileges;
#[allow(dead_code)] // other tests install scripts, too
#[path = "../support/program.rs"]
mod program;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::unistd::geteuid;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rstproof");

/// Someone who runs no other process, where root runs the tests.
const SOMEBODY: u32 = 48_151;

/// An ordinary user with a directory of its own, in which there is a copy of the program: root is not limited, and may have
/// built it where nobody else gets to.
struct User {
    home: TempDir,
}

impl User {
    fn new() -> Self {
        let home = program::directory();
        program::copy(Path::new(PROGRAM), &home.path().join("rstproof"));
        if geteuid().is_root() {
            std::os::unix::fs::chown(home.path(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        }
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program under this limit, an option of prlimit(1).
    fn limited(&self, limit: &str) -> Command {
        let mut command = if geteuid().is_root() {
            let mut setpriv = Command::new("setpriv");
            let numbers = [format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}")];
            setpriv.args(numbers).args(["--clear-groups", "prlimit"]);
            setpriv
        } else {
            Command::new("prlimit")
        };
        command.arg(limit).arg(self.path("rstproof"));
        command.stdin(Stdio::null());
        command
    }
}

/// A capture of a trial.
fn capture(name: &str) -> PathBuf {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    captures.join(format!("{name}.pcapng"))
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The one line that it complains with.
#[track_caller]
fn complains(command: &mut Command) -> String {
    let (code, _, error) = output(command);
    assert_eq!(code, Some(2), "{command:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{command:?}: {error}");
    assert!(error.starts_with("rstproof: "), "{error}");
    error
}
