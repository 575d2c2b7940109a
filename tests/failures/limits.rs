//! Limits on what a process may have: each ends a command with one line that says what raises it, unless it can do without.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use crate::{User, capture, complains, output};

/// One trial.
const ONE: [&str; 4] = ["run", "close-unread-data", "--family", "ipv4"];

/// A process may be the only one of its user, and so may its thread.
#[test]
fn a_capture_is_read_by_as_many_threads_as_there_may_be() {
    let user = User::new();
    let path = user.path("capture.pcapng");
    fs::copy(capture("blind-rst-exact.ipv4"), &path).unwrap();
    let of = |limit: &str, written: &str, arguments: &[&str]| {
        let mut command = user.limited(limit);
        command.arg("analyze").arg(&path).args(arguments);
        let (code, out, error) = output(command.arg("-w").arg(user.path(written)));
        assert_eq!((code, &*error), (Some(0), ""), "{command:?}");
        (
            out.replace(written, "OUT"),
            fs::read(user.path(written)).unwrap(),
        )
    };
    let alone = of("--nproc=1", "alone", &["--threads", "8"]);
    assert_eq!(alone, of("--core=0", "beside", &["--threads", "8"]));
    assert_eq!(alone, of("--nproc=1", "again", &["--threads", "1"]));
}

#[test]
fn too_few_processes_are_named_with_what_raises_the_limit() {
    let error = complains(User::new().limited("--nproc=1").args(ONE));
    assert!(
        error.contains("EAGAIN") && error.contains("`ulimit -u "),
        "{error}"
    );
}

/// With so few processes there are workers for some trials only, and no other trial may be left out of any output.
#[test]
fn trials_that_have_no_worker_are_reported_as_well() {
    let user = User::new();
    let mut without_worker = 0;
    for most in 2..=8 {
        let limit = format!("--nproc={most}");
        let trials = ["run", "close-unread-data", "reset-lost", "peer-rebooted"];
        let command = || {
            let mut command = user.limited(&limit);
            command.args(trials).args(["--jobs", "1"]);
            command
        };
        let (code, out, error) = output(command().args(["--format", "json"]));
        if code == Some(2) {
            assert!(error.contains("ulimit -u "), "{most}: {error}");
            continue;
        }
        let document: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            document["trials"].as_array().unwrap().len(),
            6,
            "{most}: {out}"
        );
        let (_, out, error) = output(&mut command());
        if out.contains("6 trials") {
            without_worker += usize::from(out.contains("resource-exhausted"));
        } else {
            assert!(error.contains("ulimit -u "), "{most}: {out}{error}");
        }
    }
    // Other users have processes of their own, which count.
    assert!(without_worker > 0 || !nix::unistd::geteuid().is_root());
}

/// From the fewest with which the loader finds the program's libraries. The signals' pair of sockets in tokio is where it
/// panicked.
#[test]
fn too_few_open_files_are_named_with_what_raises_the_limit() {
    let user = User::new();
    for most in 5..=18 {
        for arguments in [&ONE[..], &["doctor"]] {
            let limit = format!("--nofile={most}");
            let (code, out, error) = output(user.limited(&limit).args(arguments));
            // Who asks what is missing may be told so.
            let told = if arguments == ["doctor"] {
                format!("{out}{error}")
            } else {
                error
            };
            assert!(!told.contains("panicked"), "{most}: {told}");
            assert!(
                told.contains("ulimit -n ") || code == Some(0),
                "{most}: {told}"
            );
            assert!(matches!(code, Some(0 | 2)), "{most}: {told}");
        }
    }
    let error = complains(user.limited("--nofile=6").args(ONE));
    assert!(error.contains("EMFILE"), "{error}");
}

/// With less memory than there is in the file: its length is known before.
#[test]
fn a_document_that_is_too_long_is_refused_before_it_is_read() {
    let user = User::new();
    let path = user.path("report.json");
    File::create(&path).unwrap().set_len(8 << 30).unwrap();
    let mut command = Command::new("prlimit");
    command.args(["--as=300000000", crate::PROGRAM, "check"]);
    let error = complains(command.arg(path));
    assert!(error.contains("report.json"), "{error}");
}

/// Nor is there for this block, which is longer than any that is read, and right.
#[test]
fn a_block_of_no_known_kind_needs_no_memory() {
    let user = User::new();
    let path = user.path("capture.pcapng");
    let known = fs::read(capture("blind-rst-exact.ipv4")).unwrap();
    let length: u32 = 600 << 20;
    let file = File::create(&path).unwrap();
    // Behind a section header: of 28 bytes and more, as it says itself.
    let first = u32::from_le_bytes(*known[4..].first_chunk().unwrap());
    let (section, rest) = known.split_at(first as usize);
    file.write_all_at(section, 0).unwrap();
    let block = [0xbad_u32.to_le_bytes(), length.to_le_bytes()].concat();
    file.write_all_at(&block, first.into()).unwrap();
    let end = u64::from(first) + u64::from(length);
    file.write_all_at(&length.to_le_bytes(), end - 4).unwrap();
    file.write_all_at(rest, end).unwrap();
    let of = |path: &std::path::Path, more: &[&str]| {
        let mut command = Command::new("prlimit");
        command.args([
            "--as=300000000",
            crate::PROGRAM,
            "analyze",
            "--threads",
            "1",
        ]);
        let (code, out, error) = output(command.args(more).arg(path));
        assert_eq!((code, &*error), (Some(0), ""), "{out}");
        // Where lines are wrapped depends on the length of the name.
        let out = out.replace(&*path.to_string_lossy(), "FILE");
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let expected = of(&capture("blind-rst-exact.ipv4"), &[]);
    assert!(expected.contains("2 resets"), "{expected}");
    assert_eq!(of(&path, &[]), expected);
    let out = user.path("out.pcapng");
    of(&path, &["-w", out.to_str().unwrap()]);
    assert!(of(&out, &[]).contains("2 resets"));
}
