//! Files of saved evidence: whose they are, who may write them, and that nothing leads them elsewhere.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::run::{ENDLESS, PROGRAM, Run, Running, TRIAL, User, rstproof};
use crate::saved::{contents, names, save};

/// One trial, which makes three files.
const ONE: [&str; 4] = ["run", "close-unread-data", "--family", "ipv4"];
const FILES: [&str; 3] = [
    "close-unread-data.ipv4.pcapng",
    "close-unread-data.ipv4.json",
    "report.json",
];

fn saving_one(dir: &Path) -> Command {
    let mut command = rstproof(&ONE);
    command.arg("--quiet").arg("-w").arg(dir);
    command
}

/// The directory and all its files.
fn all(dir: &Path) -> Vec<PathBuf> {
    let files = names(dir).into_iter().map(|name| dir.join(name));
    files.chain([dir.to_owned()]).collect()
}

#[track_caller]
fn assert_owned(dir: &Path, uid: u32, gid: u32) {
    assert_eq!(names(dir).len(), FILES.len());
    for path in all(dir) {
        let file = path.metadata().unwrap();
        assert_eq!((file.uid(), file.gid()), (uid, gid), "{}", path.display());
    }
}

#[test]
fn belong_to_the_user_who_ran_it() {
    let user = User::new();
    let home = user.home.path().metadata().unwrap();
    let dir = user.path("evidence");
    let mut command = user.rstproof(&ONE);
    // Anybody may set these; it is no gift.
    command.env("SUDO_UID", "12345").env("SUDO_GID", "12345");
    Run::of(command.arg("--quiet").arg("-w").arg(&dir)).quietly(0);
    assert_owned(&dir, home.uid(), home.gid());
}

#[test]
fn are_writable_by_nobody_else_whatever_the_umask() {
    for (umask, of_file, of_directory) in [
        ("000", 0o644, 0o755),
        ("022", 0o644, 0o755),
        ("077", 0o600, 0o700),
    ] {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("evidence");
        for force in ["--quiet", "--force"] {
            let mut command = Command::new("sh");
            command.args(["-c", r#"umask "$1"; shift; exec "$@""#, "sh", umask]);
            command.arg(PROGRAM).args(ONE).arg(force);
            let run = Run::of(command.arg("-w").arg(&dir));
            assert_eq!(run.code, Some(0), "{}", run.err);
            assert_eq!(names(&dir).len(), FILES.len());
            for path in all(&dir) {
                let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
                let expected = if path == dir { of_directory } else { of_file };
                assert_eq!(mode, expected, "{mode:o} {}", path.display());
            }
        }
    }
}

/// What may stand at the name of a file, each with what is to be left untouched.
fn put_in_the_way(kind: &str, path: &Path, target: &Path) {
    match kind {
        "a link that leads nowhere" => symlink(target, path).unwrap(),
        "a link to a file" => {
            fs::write(target, "precious").unwrap();
            symlink(target, path).unwrap();
        }
        "a FIFO" => mkfifo(path, Mode::S_IRWXU).unwrap(),
        "a directory" => fs::create_dir(path).unwrap(),
        other => panic!("{other}"),
    }
}

const IN_THE_WAY: [&str; 4] = [
    "a link that leads nowhere",
    "a link to a file",
    "a FIFO",
    "a directory",
];

/// For every file of a run and all that may stand there already.
fn with_each_in_the_way(then: impl Fn(&str, &str, &Path, &dyn Fn())) {
    for name in FILES {
        for kind in IN_THE_WAY {
            let home = tempfile::tempdir().unwrap();
            let (dir, target) = (home.path().join("evidence"), home.path().join("target"));
            fs::create_dir(&dir).unwrap();
            put_in_the_way(kind, &dir.join(name), &target);
            let is_untouched = || {
                if kind == "a link to a file" {
                    assert_eq!(fs::read(&target).unwrap(), b"precious", "{name}");
                } else {
                    assert!(!target.exists(), "{kind} at {name} was followed");
                }
            };
            then(name, kind, &dir, &is_untouched);
        }
    }
}

#[test]
fn are_not_written_through_a_symbolic_link() {
    with_each_in_the_way(|name, kind, dir, is_untouched| {
        let before = dir.join(name).symlink_metadata().unwrap();
        let run = Run::of(&mut saving_one(dir));
        let complaint = run.complaint();
        assert!(complaint.contains(name), "{kind} at {name}: {complaint}");
        is_untouched();
        // Nor is anything of the run left.
        assert_eq!(names(dir).len(), 1, "{kind} at {name}");
        let after = dir.join(name).symlink_metadata().unwrap();
        assert_eq!(after.ino(), before.ino(), "{kind} at {name}");
    });
}

#[test]
fn replace_a_symbolic_link_only_with_force_and_not_its_target() {
    with_each_in_the_way(|name, kind, dir, is_untouched| {
        let run = Run::of(saving_one(dir).arg("--force"));
        is_untouched();
        if kind == "a directory" {
            let complaint = run.complaint();
            assert!(complaint.contains(name), "{kind} at {name}: {complaint}");
            assert!(complaint.contains("EISDIR"), "{complaint}");
            assert!(dir.join(name).is_dir());
            return;
        }
        run.quietly(0);
        assert_eq!(names(dir), FILES.map(str::to_owned).into());
        for name in FILES {
            let file = dir.join(name).symlink_metadata().unwrap();
            assert!(file.is_file(), "{kind} at {name}");
        }
        let mut check = rstproof(&["check", "--quiet"]);
        assert_eq!(Run::of(check.arg(dir)).quietly(0).out, "");
    });
}

#[test]
fn of_one_format_replace_those_of_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let one = &ONE[1..];
    save(dir.path(), one);
    for (format, capture) in [
        (&["--pcap"][..], "close-unread-data.ipv4.pcap"),
        (&[], "close-unread-data.ipv4.pcapng"),
    ] {
        let run = Run::of(saving_one(dir.path()).arg("--force").args(format));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let expected = [capture, FILES[1], FILES[2]].map(str::to_owned);
        assert_eq!(names(dir.path()), expected.into());
    }
}

/// As after `sudo`: these have to be run as root.
mod as_root {
    use super::*;
    use nix::unistd::geteuid;

    /// `program` with its arguments, as if somebody had become root by `sudo`.
    fn sudo(mut command: Command, uid: &str, gid: &str) -> Command {
        assert!(geteuid().is_root(), "this test has to be run as root");
        command.env("SUDO_UID", uid).env("SUDO_GID", gid);
        command
    }

    #[test]
    fn belong_to_who_became_root() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("evidence");
        for more in ["--color=never", "--force", "--force"] {
            let mut command = sudo(saving_one(&dir), "65534", "65533");
            Run::of(command.arg(more)).quietly(0);
            assert_owned(&dir, 65534, 65533);
        }
        // A directory that was there already stays whose it was.
        let dir = home.path().join("roots");
        fs::create_dir(&dir).unwrap();
        Run::of(&mut sudo(saving_one(&dir), "65534", "65533")).quietly(0);
        assert_eq!(dir.metadata().unwrap().uid(), 0);
        for name in FILES {
            assert_eq!(dir.join(name).metadata().unwrap().uid(), 65534);
        }
    }

    #[test]
    fn belong_to_root_if_who_became_root_is_nobody() {
        for (uid, gid) in [
            ("", "65534"),
            ("nobody", "65534"),
            ("-1", "65534"),
            ("65534 ", "65534"),
            ("4294967295", "65534"),
            ("4294967296", "65534"),
            ("65534", "x"),
            ("0", "65534"),
        ] {
            let home = tempfile::tempdir().unwrap();
            let dir = home.path().join("evidence");
            Run::of(&mut sudo(saving_one(&dir), uid, gid)).quietly(0);
            assert_owned(&dir, 0, 0);
        }
    }

    #[test]
    fn that_cannot_be_given_away_are_not_made() {
        let without_chown = |dir: &Path| {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--bounding-set=-chown", "--inh-caps=-chown", PROGRAM]);
            setpriv.args(ONE).arg("--quiet").arg("-w").arg(dir);
            sudo(setpriv, "65534", "65534")
        };
        let home = tempfile::tempdir().unwrap();
        let (new, old) = (home.path().join("new"), home.path().join("old"));
        fs::create_dir(&old).unwrap();
        for dir in [&new, &old] {
            let run = Run::of(&mut without_chown(dir));
            let complaint = run.complaint();
            assert!(complaint.contains("SUDO_UID"), "{complaint}");
            assert!(complaint.contains("EPERM"), "{complaint}");
        }
        assert_eq!(names(home.path()), ["old".to_owned()].into());
        assert_eq!(names(&old).len(), 0);

        // What they would have replaced stays.
        Run::of(&mut saving_one(&old)).quietly(0);
        let before = contents(&old);
        let run = Run::of(without_chown(&old).arg("--force"));
        assert!(run.complaint().contains("SUDO_UID"), "{}", run.err);
        assert!(contents(&old) == before, "it was changed");
        // Nor is there anything to give away if nobody became root.
        let mut command = without_chown(&old);
        Run::of(command.arg("--force").env_remove("SUDO_UID")).quietly(0);
    }
}

#[test]
fn are_of_one_run_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().to_str().unwrap();
    let mut command = rstproof(&ENDLESS);
    let mut first = Running::start(command.args(["--format", "json", "-w", directory]));
    first.read_until(TRIAL);
    for more in ["--quiet", "--force"] {
        let second = Run::of(&mut rstproof(&["run", "-w", directory, more]));
        let complaint = second.complaint();
        assert!(
            complaint.contains("another run") && complaint.contains(directory),
            "{more}: {complaint}"
        );
    }
    // To judge what is there already is no run.
    let check = Run::of(&mut rstproof(&["check", "--quiet", directory]));
    assert!(!check.err.contains("another run"), "{}", check.err);
    first.signal(Signal::SIGINT);
    assert_eq!(first.finish().code, Some(130));
    Run::of(&mut rstproof(&["run", "-w", directory, "--force", "-q"])).quietly(0);
}

#[test]
fn without_a_capture_are_evidence_that_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let document = dir.path().join("close-unread-data.ipv4.json");
    fs::write(&document, "precious").unwrap();
    let run = Run::of(&mut rstproof(&["run", "-w", dir.path().to_str().unwrap()]));
    assert!(run.complaint().contains("--force"), "{}", run.err);
    assert_eq!(fs::read(&document).unwrap(), b"precious");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
