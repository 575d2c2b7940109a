//! What `rstproof kernels` says of other kernels, and what it leaves behind: of images that are none (here), of an emulator
//! that does what a test tells it (`emulated`), and of kernels that are booted for real (`booted`).
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod booted;
mod emulated;
#[path = "../support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How long anything here may take: a bound on failure.
const BOUND: Duration = Duration::from_secs(300);

fn rstproof(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    command.args(arguments).stdin(Stdio::null());
    command.env_remove("CLICOLOR_FORCE");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The one line that it complains with, besides what is said of KVM.
fn complaint(output: &Output) -> String {
    let error = text(&output.stderr);
    let lines = error
        .lines()
        .filter(|line| !line.contains("KVM is unavailable"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{error}");
    lines[0].to_owned()
}

/// A file that has the header of a bzImage of this release (`Documentation/arch/x86/boot.rst`), and nothing to boot.
fn hollow_image(directory: &Path, release: &str) -> PathBuf {
    let mut image = vec![0; 0x400];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x0100_u16.to_le_bytes());
    image[0x236..0x238].copy_from_slice(&1_u16.to_le_bytes());
    let text = format!("{release} (who@where) #1\0");
    image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
    let path = directory.join("vmlinuz");
    fs::write(&path, image).unwrap();
    path
}

#[test]
fn a_file_that_is_no_kernel_is_refused_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    for (content, why) in [
        (&b""[..], "it is empty"),
        (b"#!/bin/sh\nexit\n", "it is not a Linux kernel image"),
        (
            &[0x7f, b'E', b'L', b'F', 2, 1],
            "it is a kernel for another machine",
        ),
    ] {
        fs::write(&file, content).unwrap();
        let output = rstproof(&["kernels", file.to_str().unwrap()])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(error.contains(why), "{error}");
        assert!(
            error.ends_with("none of the images can be booted\n"),
            "{error}"
        );
    }
    for (words, why) in [
        (vec!["close-unread-data"], "no kernel image given"),
        (
            vec!["close-unread-dat"],
            "did you mean 'close-unread-data'?",
        ),
        (
            vec!["/nonexistent/vmlinuz"],
            "no such file or directory (ENOENT)",
        ),
    ] {
        let arguments: Vec<&str> = ["kernels"].into_iter().chain(words).collect();
        let output = rstproof(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(
            text(&output.stderr).contains(why),
            "{}",
            text(&output.stderr)
        );
    }
}

/// Where there is no emulator, its package is named; nothing is left behind.
#[test]
fn without_qemu_its_package_is_named() {
    let home = tempfile::tempdir().unwrap();
    let image = hollow_image(home.path(), "6.1.0");
    let evidence = home.path().join("evidence");
    let output = rstproof(&[
        "kernels",
        image.to_str().unwrap(),
        "-w",
        evidence.to_str().unwrap(),
    ])
    .env("PATH", "/nonexistent")
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = complaint(&output);
    assert!(line.contains("qemu-system-x86_64 is not on PATH"), "{line}");
    assert!(line.contains("install"), "{line}");
    assert!(!evidence.exists());
}

/// Who is no guest cannot be made one by its arguments.
#[test]
fn the_guest_command_is_refused_outside_a_guest() {
    let output = rstproof(&["guest"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("unrecognized subcommand"));
}

/// The children that a process has just now.
fn children(process: u32) -> Vec<i32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    children
        .split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect()
}
