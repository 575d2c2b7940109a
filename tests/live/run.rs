//! Running the program: as whom, where, and how it ended.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;
use tempfile::TempDir;

use crate::program;
use crate::schema;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_rstproof");

/// `nobody`, by number: the name is not known everywhere.
const NOBODY: u32 = 65534;

pub(crate) fn rstproof(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    // What a shell may have set, and sudo sets.
    for name in ["CLICOLOR_FORCE", "COLUMNS", "SUDO_UID", "SUDO_GID"] {
        command.env_remove(name);
    }
    command
}

/// Runs `program` in new namespaces of these kinds, as `unshare` spells them. An ordinary user needs a user namespace
/// for that.
pub(crate) fn unshare(kinds: &str, program: &str) -> Command {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args([kinds, program]);
    command
}

/// Runs the program with these arguments as a root that has no rights, where nobody may make a user namespace.
pub(crate) fn where_user_namespaces_are_forbidden(arguments: &str) -> Command {
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces || exit 99
         exec setpriv --inh-caps=-all --bounding-set=-all \"$1\" {arguments}"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c"]);
    command.args([script.as_str(), "sh", PROGRAM]);
    command
}

/// An ordinary user with a directory of its own, in which there is a copy of the program.
pub(crate) struct User {
    pub(crate) home: TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        let home = program::directory();
        program::copy(Path::new(PROGRAM), &home.path().join("rstproof"));
        if geteuid().is_root() {
            std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { home }
    }

    /// A place in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn rstproof(&self, arguments: &[&str]) -> Command {
        let program = self.path("rstproof");
        let mut command = if geteuid().is_root() {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            setpriv.arg(program);
            setpriv
        } else {
            Command::new(program)
        };
        command.args(arguments);
        command
    }
}

/// How it ended.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Runs the command to its end. A run that wrote no files is repeated, twice at most, if a trial was inconclusive
    /// because this host was too busy: that is a true answer, but not what a test is about.
    pub(crate) fn of(command: &mut Command) -> Self {
        const ATTEMPTS: usize = 3;
        let saves = command.get_args().any(|argument| argument == "-w");
        let mut run = Self::once(command);
        for _ in 1..ATTEMPTS {
            if saves || !run.met_a_busy_host() {
                break;
            }
            run = Self::once(command);
        }
        run
    }

    /// True if nothing but the time that this host took made it inconclusive.
    fn met_a_busy_host(&self) -> bool {
        let reasons = self.out.matches("\"inconclusive_reason\":{\"id\":").count();
        let busy = "\"inconclusive_reason\":{\"id\":\"timing-missed\"";
        self.code == Some(3) && reasons > 0 && self.out.matches(busy).count() == reasons
    }

    fn once(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It ended with this code and complained of nothing.
    #[track_caller]
    pub(crate) fn quietly(self, code: i32) -> Self {
        assert_eq!(self.err, "");
        assert_eq!(self.code, Some(code), "{}", self.end());
        self
    }

    /// What went wrong, and the last lines of standard output: as much as a person would read.
    fn end(&self) -> String {
        let signs = [
            ": refuted",
            ": inconclusive",
            "refuted  ",
            "inconclusive  ",
            "  no  ",
            "  ??  ",
        ];
        let is_told = |line: &&str| {
            signs.iter().any(|sign| line.contains(sign))
                || line.contains("\"verdict\":\"refuted\"")
                || line.contains("\"verdict\":\"inconclusive\"")
        };
        let told = self.out.lines().filter(is_told).take(20);
        let last = self.out.lines().count().saturating_sub(5);
        let lines = told.chain(self.out.lines().skip(last));
        let short = |line: &str| line.chars().take(600).collect::<String>();
        lines.map(short).collect::<Vec<_>>().join("\n")
    }

    /// It could not do its work: the one line that it said so with.
    #[track_caller]
    pub(crate) fn complaint(&self) -> &str {
        assert_eq!(self.code, Some(2), "{}{}", self.end(), self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        self.err.trim_end()
    }

    #[track_caller]
    pub(crate) fn trials(&self) -> Vec<Value> {
        trials(&self.out)
    }
}

/// The trials of a complete document.
#[track_caller]
pub(crate) fn trials(document: &str) -> Vec<Value> {
    let document: Value = document.parse().unwrap();
    schema::assert_fits("report", &document);
    document["trials"].as_array().unwrap().clone()
}

/// One that is under way; ended with the test if the test fails.
pub(crate) struct Running {
    child: Child,
    pub(crate) out: Option<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = child.stdout.take().map(BufReader::new);
        Self { child, out }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Reads standard output up to a line that holds `text`.
    pub(crate) fn read_until(&mut self, text: &str) -> String {
        let mut read = String::new();
        loop {
            let begin = read.len();
            let more = self.out.as_mut().unwrap().read_line(&mut read).unwrap();
            assert!(more > 0, "no {text} before the end");
            if read[begin..].contains(text) {
                return read;
            }
        }
    }

    /// Reads what there is on standard output, up to its end.
    pub(crate) fn read_to_end(&mut self) -> String {
        let mut read = String::new();
        if let Some(out) = &mut self.out {
            out.read_to_string(&mut read).unwrap();
        }
        read
    }

    /// Waits for the end; standard output from where it has not been read yet.
    pub(crate) fn finish(mut self) -> Run {
        let (out, mut err) = (self.read_to_end(), String::new());
        let mut errors = self.child.stderr.take().unwrap();
        errors.read_to_string(&mut err).unwrap();
        let code = self.child.wait().unwrap().code();
        Run { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What every trial line of the machine output holds.
pub(crate) const TRIAL: &str = "\"scenario\":";

/// More trials than any test waits for.
pub(crate) const ENDLESS: [&str; 7] = [
    "run",
    "--repeat",
    "1000000",
    "connect-closed-port",
    "close-unread-data",
    "write-after-peer-close",
    "clean-close-eof",
];

/// How many trials that makes, in the words of the program: each over two families.
pub(crate) const ENDLESS_TRIALS: &str = "8000000";
