//! The licences of the dependencies, and the crates that come in more than one version: from `cargo metadata`, offline, for all
//! packages that are built on this host, those of tests and build scripts included.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// Licence expressions that dependencies may have, as their manifests write them. Each allows distribution under MIT OR
/// Apache-2.0 in source and binary form on the condition that its text is kept. Read a licence before you add it.
const LICENCES: [&str; 16] = [
    "(MIT OR Apache-2.0) AND Unicode-3.0",
    "0BSD OR MIT OR Apache-2.0",
    "Apache-2.0",
    "Apache-2.0 / MIT",
    "Apache-2.0 OR BSD-3-Clause",
    "Apache-2.0 OR MIT",
    "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
    "Apache-2.0/MIT",
    "BSD-2-Clause OR Apache-2.0 OR MIT",
    "ISC",
    "MIT",
    "MIT OR Apache-2.0",
    "MIT OR Zlib OR Apache-2.0",
    "MIT/Apache-2.0",
    "Unlicense OR MIT",
    "Zlib",
];

/// Crates that come in several versions, each of which is compiled: name, versions as Cargo tells compatible ones apart, reason.
const DUPLICATES: [(&str, &[&str], &str); 3] = [
    ("bitflags", &["1", "2"], "pcap needs 1, all others need 2"),
    (
        "errno",
        &["0.2", "0.3"],
        "pcap needs 0.2, signal-hook-registry (of tokio) needs 0.3",
    ),
    (
        "syn",
        &["2", "3"],
        "zerocopy-derive (of netlink-packet-route) needs 2, all others need 3",
    ),
];

/// The packages that are built on this host, this one among them.
fn packages() -> &'static [Value] {
    static PACKAGES: LazyLock<Vec<Value>> = LazyLock::new(|| {
        let version = cargo(&["-vV"]);
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        // For all platforms, it needs packages that only Windows builds download.
        let mut document: Value = cargo(&[
            "metadata",
            "--format-version=1",
            "--offline",
            "--locked",
            "--filter-platform",
            host.unwrap(),
        ])
        .parse()
        .unwrap();
        let nodes = document["resolve"]["nodes"].as_array().unwrap();
        let used: BTreeSet<String> = nodes.iter().map(|it| text(it, "id").to_owned()).collect();
        let Value::Array(mut packages) = document["packages"].take() else {
            panic!("no packages");
        };
        packages.retain(|it| used.contains(text(it, "id")));
        packages
    });
    &PACKAGES
}

/// The output of the cargo that runs this test.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command.args(arguments);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[test]
fn all_packages_are_there() {
    let names: BTreeSet<&str> = packages().iter().map(|it| text(it, "name")).collect();
    // One of each kind: this one, direct, of another, of tests, and of a build script.
    for name in ["rstproof", "pcap", "libc", "proptest", "pkg-config"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
}

#[test]
fn every_licence_is_allowed() {
    let mut unused: BTreeSet<&str> = LICENCES.into();
    for package in packages() {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        assert!(
            LICENCES.contains(&licence),
            "{name}: its licence is {licence:?}, which is not in LICENCES"
        );
        unused.remove(licence);
    }
    // What no dependency has any more must not come back unread. What another architecture needs may differ.
    if cfg!(target_arch = "x86_64") {
        assert!(unused.is_empty(), "not needed any more: {unused:?}");
    }
}

#[test]
fn everything_comes_from_the_registry() {
    for package in packages() {
        let expected = match text(package, "name") {
            "rstproof" | "rstproof-core" => "",
            _ => "registry+https://github.com/rust-lang/crates.io-index",
        };
        assert_eq!(text(package, "source"), expected, "{}", package["id"]);
    }
}

/// What judges and analyzes must not depend on the host that it runs on. These are the doors to a host: to its packets, its system
/// calls and its event loop.
#[test]
fn the_core_names_no_host() {
    let features = ["--no-default-features", "--all-features"];
    for features in features {
        let arguments = [
            "tree",
            "-p",
            "rstproof-core",
            "-e",
            "normal",
            "--prefix",
            "depth",
            "--locked",
            features,
        ];
        let tree = cargo(&arguments);
        // `1etherparse v0.21.0`: how deep, and which.
        let lines = tree.lines().map(|line| {
            let package = line.trim_start_matches(|it: char| it.is_ascii_digit());
            let depth = &line[..line.len() - package.len()];
            (depth, package.split(' ').next().unwrap())
        });
        let lines: Vec<(&str, &str)> = lines.collect();
        // The tree is what it is taken for: the crate itself, and something that it needs.
        assert_eq!(lines[0], ("0", "rstproof-core"), "{tree}");
        assert!(lines.contains(&("1", "etherparse")), "{tree}");
        for (depth, name) in &lines {
            assert!(
                !["pcap", "nix", "rustix", "socket2", "tokio", "mio"].contains(name),
                "{tree}"
            );
            assert!(*depth != "1" || *name != "libc", "{tree}");
        }
    }
}

#[test]
fn each_duplicate_has_its_reason() {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let of_it = versions.entry(text(package, "name")).or_default();
        of_it.insert(compatible(text(package, "version")));
    }
    versions.retain(|_, of_it| of_it.len() > 1);
    let listed: BTreeMap<&str, BTreeSet<String>> = DUPLICATES
        .iter()
        .map(|(name, of_it, _)| (*name, of_it.iter().map(|&it| it.to_owned()).collect()))
        .collect();
    assert_eq!(versions, listed, "found, and listed in DUPLICATES");
}

/// The part of a version that has to be the same in two that are compatible: up to the first number that is not 0 (The Cargo
/// Book, "Specifying Dependencies"). Cargo.lock never has two that are.
fn compatible(version: &str) -> String {
    let numbers: Vec<&str> = version.split(['.', '-', '+']).take(3).collect();
    let first = numbers.iter().position(|it| *it != "0").unwrap_or(2);
    numbers[..=first].join(".")
}

#[test]
fn the_first_number_that_is_not_0_decides_compatibility() {
    for (version, expected) in [
        ("1.3.2", "1"),
        ("2.13.2", "2"),
        ("0.2.8", "0.2"),
        ("0.0.7", "0.0.7"),
        ("3.0.0-rc.1+x", "3"),
    ] {
        assert_eq!(compatible(version), expected);
    }
}
