//! Finding captures: what is named, what lies in directories, and what is neither.

#![allow(clippy::unwrap_used)] // the lint's exception for tests does not reach functions that tests share

#[path = "../core/tests/stored/compress.rs"]
mod compress;
#[allow(dead_code)] // captures of other kinds are laid out by it, too
#[path = "../core/tests/stored/layout.rs"]
mod layout;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::{Uid, geteuid, mkfifo, setfsuid};
use rstproof::error::Error;
use rstproof::file::{Input, inputs};
use tempfile::TempDir;

use crate::compress::{capture, gzip, lz4, zstd};

/// What each capture that comes of these is called, or what is wrong in its place.
fn told(paths: &[PathBuf], home: &Path) -> Vec<String> {
    let home = format!("{}/", home.display());
    let told = inputs(paths).unwrap().map(|input| match input {
        Ok(input) => input.path().display().to_string(),
        Err(error) => error.to_string(),
    });
    told.map(|text| text.replace(&home, "")).collect()
}

fn one(path: &Path) -> Result<Input, Error> {
    let mut inputs = inputs(&[path.to_owned()]).unwrap();
    let one = inputs.next().unwrap();
    assert!(inputs.next().is_none());
    one
}

fn refused(path: &Path) -> String {
    let error = one(path).unwrap_err().to_string();
    assert!(!error.ends_with('.') && !error.contains('\n'), "{error}");
    error.replace(&path.display().to_string(), "it")
}

fn write(home: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = home.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_directory_stands_for_the_captures_below_it_in_the_order_of_their_names() {
    let home = tempfile::tempdir().unwrap();
    let content = capture(3);
    for (name, content) in [
        ("b.txt", content.clone()),
        ("a/z/deep", gzip(&content)),
        ("a/c", zstd(&content)),
        ("a.pcap", content.clone()),
        ("c", lz4(&content)),
        ("a/empty.pcap", Vec::new()),
        ("a/notes.txt", b"notes".to_vec()),
        ("a/log.gz", gzip(b"a log")),
        ("a/empty.gz", gzip(b"")),
        (".hidden", content.clone()),
        (".directory/a", content.clone()),
    ] {
        write(&home, name, &content);
    }
    let outside = tempfile::tempdir().unwrap();
    let outside = write(&outside, "outside", &content);
    symlink(&outside, home.path().join("link")).unwrap();
    symlink(outside.parent().unwrap(), home.path().join("a/linked")).unwrap();
    symlink(home.path(), home.path().join("a/circle")).unwrap();
    mkfifo(&home.path().join("a/fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(home.path().join("socket")).unwrap();
    let found = told(&[home.path().to_owned()], home.path());
    assert_eq!(found, ["a/c", "a/z/deep", "a.pcap", "b.txt", "c"]);
    for input in inputs(&[home.path().to_owned()]).unwrap() {
        let mut read = Vec::new();
        input.unwrap().read_to_end(&mut read).unwrap();
        assert!(read == content);
    }
}

#[test]
fn a_named_file_may_be_hidden_or_a_link() {
    let home = tempfile::tempdir().unwrap();
    let hidden = write(&home, ".hidden", &capture(3));
    let directory = write(&home, ".directory/a", &capture(3));
    let link = home.path().join("link");
    symlink(directory.parent().unwrap(), &link).unwrap();
    let to_file = home.path().join("to file");
    symlink(&hidden, &to_file).unwrap();
    let found = told(&[to_file, hidden, link], home.path());
    assert_eq!(found, ["to file", ".hidden", "link/a"]);
}

/// What may hold a capture is not left out in silence.
#[test]
fn an_unreadable_file_is_reported_in_order() {
    let home = tempfile::tempdir().unwrap();
    let content = capture(3);
    write(&home, "a", &content);
    write(&home, "b.xz", b"\xfd7zXZ\0");
    write(&home, "c.gz", &gzip(&content)[..12]);
    write(&home, "d.gz", &gzip(&zstd(&content)));
    write(&home, "e.gz", &gzip(&content)[..100]);
    let found = told(&[home.path().to_owned()], home.path());
    assert_eq!(
        found,
        [
            "a",
            "cannot read b.xz: the file is compressed; decompress it first, with xz -d",
            "cannot read c.gz: byte 12 of the compressed file: the file is cut off; 0 bytes decompressed before",
            &format!(
                "cannot read d.gz: byte {} of the compressed file: it is compressed twice; decompress it first, then decompress the result with zstd -d; 0 bytes decompressed before",
                gzip(&zstd(&content)).len() - 8
            ),
            "e.gz",
        ]
    );
}

#[test]
fn a_file_without_permission_is_reported_and_the_rest_is_read() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    for name in ["a", "b", "c/d", "e"] {
        let path = write(&home, name, &capture(3));
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
    for name in ["b", "c"] {
        fs::set_permissions(home.path().join(name), Permissions::from_mode(0o000)).unwrap();
    }
    let path = home.path().to_owned();
    let found = thread::spawn(move || {
        // Nothing keeps root from reading. This is of one thread alone.
        if geteuid().is_root() {
            setfsuid(Uid::from_raw(65534));
        }
        told(std::slice::from_ref(&path), &path)
    });
    let denied = |name| format!("cannot read {name}: permission denied (EACCES)");
    assert_eq!(
        found.join().unwrap(),
        ["a".to_owned(), denied("b"), denied("c"), "e".to_owned()]
    );
    fs::set_permissions(home.path().join("c"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_named_file_must_be_a_capture() {
    let home = tempfile::tempdir().unwrap();
    let content = capture(3);
    for (content, expected) in [
        (
            b"notes".to_vec(),
            "the file is neither pcap, pcapng nor snoop, nor text output of tcpdump or tshark (default columns)",
        ),
        (
            b"\xd4\xc3\xb2".to_vec(),
            "the file is neither pcap, pcapng nor snoop, nor text output of tcpdump or tshark (default columns)",
        ),
        (Vec::new(), "the file is empty"),
        (
            b"BZh91AY".to_vec(),
            "the file is compressed; decompress it first, with bzip2 -d",
        ),
        (
            gzip(b"a log"),
            "decompressed, the file is neither pcap, pcapng nor snoop, nor text output of tcpdump or tshark (default \
             columns)",
        ),
        (zstd(b""), "decompressed, the file is empty"),
        (
            lz4(b"\x1f"),
            "decompressed, the file is neither pcap, pcapng nor snoop",
        ),
        (
            gzip(b"")[..3].to_vec(),
            "byte 3 of the compressed file: the file is cut off; 0 bytes decompressed before",
        ),
        (
            gzip(&content)
                .into_iter()
                .take(10)
                .chain([0xff; 9])
                .collect(),
            "byte 11 of the compressed file: its gzip data is damaged; 0 bytes decompressed before",
        ),
    ] {
        let path = write(&home, "file", &content);
        assert_eq!(refused(&path), format!("cannot read it: {expected}"));
    }
    let text = "cannot read it: it is a device; expected a file, a pipe, or `-` for standard input";
    assert_eq!(refused(Path::new("/dev/null")), text);
    let socket = home.path().join("socket");
    let _socket = UnixListener::bind(&socket).unwrap();
    assert_eq!(refused(&socket), text.replace("device", "socket"));
    assert_eq!(
        refused(&home.path().join("nothing")),
        "cannot read it: no such file or directory (ENOENT)"
    );
    // Its first bytes are those of no mapping.
    assert_eq!(
        refused(Path::new("/proc/self/mem")),
        "cannot read it: I/O error (EIO)"
    );
    write(&home, "empty/.hidden", &content);
    assert_eq!(
        refused(&home.path().join("empty")),
        "cannot find a capture in it: it contains no pcap or pcapng file (symlinks and hidden files are skipped; name them explicitly)"
    );
}

/// One that is wrong keeps nobody from reading the others.
#[test]
fn named_files_are_read_in_order() {
    let home = tempfile::tempdir().unwrap();
    let content = capture(3);
    let (a, b) = (write(&home, "a", &content), write(&home, "b/b", &content));
    let nothing = home.path().join("nothing");
    let found = told(
        &[b.clone(), nothing, b, home.path().to_owned(), a],
        home.path(),
    );
    let missing = "cannot read nothing: no such file or directory (ENOENT)";
    assert_eq!(found, ["b/b", missing, "b/b", "a", "b/b", "a"]);
    assert!(inputs(&[]).unwrap().next().is_none());
}

#[test]
fn a_plain_file_can_be_read_at_any_place() {
    let home = tempfile::tempdir().unwrap();
    let content = capture(3000);
    let mut input = one(&write(&home, "a", &content)).unwrap();
    assert_eq!(input.position(), 0);
    assert_eq!(input.length(), Some(content.len() as u64));
    let mut read = [0; 100];
    let (file, length) = input.file().unwrap();
    assert_eq!(length, content.len() as u64);
    file.read_exact_at(&mut read, 1000).unwrap();
    assert_eq!(read, content[1000..1100]);
    // And its own order is not lost by that.
    input.read_exact(&mut read).unwrap();
    assert_eq!((&read[..], input.position()), (&content[..100], 100));
    let mut rest = Vec::new();
    input.read_to_end(&mut rest).unwrap();
    assert!(rest == content[100..]);
    assert_eq!(input.position(), content.len() as u64);
}

#[test]
fn progress_is_reported_in_bytes_of_the_file() {
    let home = tempfile::tempdir().unwrap();
    let content = capture(30_000);
    for encoder in [gzip, zstd, lz4] {
        let compressed = encoder(&content);
        let length = compressed.len() as u64;
        let mut input = one(&write(&home, "a", &compressed)).unwrap();
        assert!(input.file().is_none());
        assert!(input.compression().is_some());
        assert_eq!(input.length(), Some(length));
        let (mut read, mut before) = (vec![0; content.len() / 2], 0);
        input.read_exact(&mut read).unwrap();
        assert!(input.position() > length / 4 && input.position() < length);
        while let 1.. = input.read(&mut read).unwrap() {
            assert!(input.position() >= before);
            before = input.position();
        }
        assert_eq!(input.position(), length);
    }
}

#[test]
fn a_named_pipe_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let fifo = home.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let content = capture(3000);
    for file in [content.clone(), gzip(&content)] {
        let to = fifo.clone();
        let writer = thread::spawn(move || {
            let mut pipe = File::create(to).unwrap();
            for piece in file.chunks(1000) {
                pipe.write_all(piece).unwrap();
            }
        });
        let mut input = one(&fifo).unwrap();
        assert!(input.file().is_none());
        assert_eq!(input.length(), None);
        let mut read = Vec::new();
        input.read_to_end(&mut read).unwrap();
        writer.join().unwrap();
        assert!(read == content);
    }
}

const STANDARD_INPUT: &str = "RSTPROOF_TEST_STANDARD_INPUT";

/// What this test says of its standard input when another process runs it.
fn of_standard_input(stdin: Stdio, write: &[u8]) -> String {
    let test = "standard_input_is_a_stream_or_a_file";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(STANDARD_INPUT, "")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(write).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let told = text.split("told: ").nth(1).unwrap();
    told.lines().next().unwrap().to_owned()
}

#[test]
fn standard_input_is_a_stream_or_a_file() {
    if std::env::var_os(STANDARD_INPUT).is_some() {
        let told = match one(Path::new("-")) {
            Err(error) => error.to_string(),
            Ok(mut input) => {
                assert_eq!(input.path().as_os_str(), OsStr::new("-"));
                let is_file = input.file().is_some();
                let length = input.length();
                let mut read = Vec::new();
                input.read_to_end(&mut read).unwrap();
                format!("{} {is_file} {length:?}", read == capture(100))
            }
        };
        println!("told: {told}");
        return;
    }
    let content = capture(100);
    let length = content.len() as u64;
    assert_eq!(
        of_standard_input(Stdio::piped(), &content),
        "true false None"
    );
    assert_eq!(
        of_standard_input(Stdio::piped(), &zstd(&content)),
        "true false None"
    );
    assert_eq!(
        of_standard_input(Stdio::piped(), b"notes"),
        "cannot read standard input: the file is neither pcap, pcapng nor snoop, nor text output of tcpdump or tshark \
         (default columns)"
    );
    assert_eq!(
        of_standard_input(Stdio::null(), b""),
        "cannot read standard input: the file is empty"
    );
    let home = tempfile::tempdir().unwrap();
    let path = write(&home, "a", &content);
    let told = of_standard_input(File::open(path).unwrap().into(), b"");
    assert_eq!(told, format!("true true Some({length})"));
    // Somebody has read a part of it before.
    let path = write(&home, "a", &[b"header", &content[..]].concat());
    let mut file = File::open(path).unwrap();
    file.read_exact(&mut [0; 6]).unwrap();
    assert_eq!(of_standard_input(file.into(), b""), "true false None");
}

#[test]
fn standard_input_can_be_read_once() {
    let twice = ["-", "a", "-"].map(PathBuf::from);
    let error = inputs(&twice).unwrap_err();
    assert!(matches!(error, Error::Usage(_)));
    assert_eq!(
        error.to_string(),
        "standard input can be read only once; give `-` once"
    );
}

#[test]
fn an_input_can_be_sent_to_another_thread() {
    fn sent<T: Send>(_: &T) {}
    let home = tempfile::tempdir().unwrap();
    sent(&one(&write(&home, "a", &gzip(&capture(3)))).unwrap());
}
