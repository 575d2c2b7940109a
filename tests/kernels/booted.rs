//! Kernels that are booted for real: ignored unless asked for, for they need QEMU, and in `RSTPROOF_TEST_KERNELS` the images,
//! a colon between two. `scripts/test.sh` sees to both.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

use crate::program;
use crate::{BOUND, children, complaint, hollow_image, rstproof, text};

/// The images to boot.
fn images() -> Vec<String> {
    let images = std::env::var("RSTPROOF_TEST_KERNELS").unwrap();
    let images: Vec<String> = images
        .split(':')
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect();
    assert!(!images.is_empty());
    images
}

/// The whole matrix: every trial of every kernel is as that kernel must have it, every difference has its cause, and the
/// evidence that was brought out is judged here as it was there.
#[test]
#[ignore = "boots kernels"]
fn every_kernel_behaves_as_its_version_predicts() {
    let home = tempfile::tempdir().unwrap();
    let evidence = home.path().join("evidence");
    let images = images();
    let mut arguments = vec![
        "kernels",
        "--with-running",
        "--format",
        "json",
        "-w",
        evidence.to_str().unwrap(),
    ];
    arguments.extend(images.iter().map(String::as_str));
    let output = rstproof(&arguments).output().unwrap();
    let error = text(&output.stderr);
    let document: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let kernels = document["kernels"].as_array().unwrap();
    assert_eq!(kernels.len(), images.len() + 1, "{error}");
    let differences = document["differences"].as_array().unwrap();
    for difference in differences {
        assert_eq!(difference["explained"], true, "{difference}");
    }
    // So old a kernel differs from that of today, whichever that is.
    assert_eq!(document["behaviour_differs"], true);
    assert_eq!(output.status.code(), Some(1), "{error}");
    for kernel in kernels {
        assert_eq!(
            kernel["evidence_sources"]["kernel_trace"],
            geteuid().is_root() || kernel["label"] != kernels.last().unwrap()["label"]
        );
        let directory = Path::new(kernel["report"].as_str().unwrap())
            .parent()
            .unwrap();
        let report: Value =
            serde_json::from_slice(&fs::read(directory.join("report.json")).unwrap()).unwrap();
        for trial in report["trials"].as_array().unwrap() {
            // Of an emulated kernel on a busy host some trial may be inconclusive: that says nothing against it.
            let is_against = trial["verdict"] == "refuted";
            assert!(!is_against, "{}: {trial}", kernel["release"]);
        }
        let checked = rstproof(&["check", "-q", directory.to_str().unwrap()])
            .output()
            .unwrap();
        let code = checked.status.code();
        assert!(matches!(code, Some(0 | 3)), "{}", text(&checked.stdout));
    }
}

/// One kernel that panics is told of in one line, with its last words, and the other goes on.
#[test]
#[ignore = "boots kernels"]
fn the_console_of_a_panicking_kernel_is_shown_and_the_others_continue() {
    let home = tempfile::tempdir().unwrap();
    let hollow = hollow_image(home.path(), "6.1.0");
    let image = &images()[0];
    let output = rstproof(&[
        "kernels",
        image,
        "close-unread-data",
        "--append",
        "rdinit=/nonexistent",
    ])
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = complaint(&output);
    assert!(line.contains("Kernel panic - not syncing"), "{line}");
    let output = rstproof(&[
        "kernels",
        hollow.to_str().unwrap(),
        image,
        "close-unread-data",
    ])
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = complaint(&output);
    assert!(
        line.contains("it ended before rstproof started in it"),
        "{line}"
    );
    assert!(
        text(&output.stdout).contains("2 trials, 2 confirmed"),
        "{}",
        text(&output.stdout)
    );
}

/// What was measured when the time was up is brought out, and it is said that it is not all: the slow scenarios alone take
/// longer than that. On a busy host it may be nothing, and that is said, too.
#[test]
#[ignore = "boots kernels"]
fn a_run_that_exceeds_its_time_limit_is_ended_and_reported() {
    let image = &images()[0];
    let output = rstproof(&["kernels", image, "--all", "--timeout", "5"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let (line, said) = (complaint(&output), text(&output.stdout));
    if said.is_empty() {
        assert!(
            line.contains("cannot run a trial within 5 s (--timeout)"),
            "{line}"
        );
    } else {
        assert!(line.contains("allow more with --timeout"), "{line}");
        assert!(said.contains(" trial"), "{said}");
    }
}

/// An ordinary user needs no right but to read the image.
#[test]
#[ignore = "boots kernels"]
fn an_ordinary_user_may_boot_one() {
    if !geteuid().is_root() {
        return; // the other tests were run by one
    }
    let home = program::directory();
    program::open_to_all(home.path());
    let mine = home.path().join("vmlinuz");
    fs::copy(&images()[0], &mine).unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o644)).unwrap();
    let program = home.path().join("rstproof");
    program::copy(Path::new(env!("CARGO_BIN_EXE_rstproof")), &program);
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "1234",
            "--regid",
            "1234",
            "--clear-groups",
            "--inh-caps=-all",
        ])
        .arg(&program)
        .args(["kernels", mine.to_str().unwrap(), "close-unread-data"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(
        said.contains("2 trials, 2 confirmed"),
        "{said}{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0));
}

/// Whatever ends it, its guests end with it; what it was asked to save in is gone if nothing was.
#[test]
#[ignore = "boots kernels"]
fn guests_end_with_the_program() {
    let images = images();
    for (signal, code) in [
        (Signal::SIGINT, Some(130)),
        (Signal::SIGTERM, Some(143)),
        (Signal::SIGKILL, None),
    ] {
        let home = tempfile::tempdir().unwrap();
        let evidence = home.path().join("evidence");
        let mut process = rstproof(&[
            "kernels",
            "--accel",
            "tcg",
            "-w",
            evidence.to_str().unwrap(),
        ])
        .args(&images)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        let deadline = Instant::now() + BOUND;
        let guests = loop {
            let guests = children(process.id());
            // `ldd` has run by then, and is none.
            let are_guests = guests.iter().all(|it| {
                let name = fs::read_to_string(format!("/proc/{it}/comm")).unwrap_or_default();
                name.starts_with("qemu")
            });
            if !guests.is_empty() && are_guests {
                break guests;
            }
            assert!(Instant::now() < deadline, "no guest was started");
            std::thread::yield_now();
        };
        kill(Pid::from_raw(i32::try_from(process.id()).unwrap()), signal).unwrap();
        assert_eq!(process.wait().unwrap().code(), code);
        for guest in guests {
            // Dead, even if nobody has taken leave of it yet.
            let is_alive = || {
                fs::read_to_string(format!("/proc/{guest}/stat"))
                    .is_ok_and(|it| !it.contains(") Z "))
            };
            while is_alive() {
                assert!(Instant::now() < deadline, "{guest} lives on after {signal}");
                std::thread::yield_now();
            }
        }
        assert_eq!(evidence.exists(), signal == Signal::SIGKILL);
    }
}
