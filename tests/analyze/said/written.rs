//! `--write`: the file has the frames, and says what is known of them; it goes over nothing, and is whole or not there.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::{Compression, write::GzEncoder};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use rstproof_core::file::{Block, Reader};
use serde_json::Value;
use tempfile::TempDir;

use super::{capture, complains, lines, rstproof, stdout};
use crate::layout::{Order, Pcap};
use crate::segments::{ACK, Frame, SYN, refused};

/// Names of what is in a directory.
fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What must be the same of an RST, wherever its frame is.
fn meaning(resets: &[Value]) -> Vec<Vec<Value>> {
    const FIELDS: [&str; 10] = [
        "at_ns",
        "source",
        "destination",
        "form",
        "cause",
        "required_action",
        "receiver_state",
        "acceptance",
        "errno",
        "diagnostics",
    ];
    let of = |reset: &Value| {
        let mut fields: Vec<_> = FIELDS.iter().map(|field| reset[field].clone()).collect();
        // Their texts have numbers of frames.
        let marks = reset["indicators"].as_array().unwrap();
        fields.extend(marks.iter().map(|mark| mark["id"].clone()));
        fields
    };
    resets.iter().map(of).collect()
}

/// Columns that tshark reads from a file.
fn tshark(file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-T", "fields", "-E", "separator=|", "-r"]);
    command.arg(file).stdin(Stdio::null());
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let columns = |line: &str| line.split('|').map(str::to_owned).collect();
    text.lines().map(columns).collect()
}

/// Every fourth trial: what is written is analysed as the whole was, and holds the same bytes at the same times.
#[test]
fn an_excerpt_gives_the_same_analysis_as_the_capture() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let captures = capture("x").parent().unwrap().to_owned();
    let mut all: Vec<_> = fs::read_dir(captures)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "pcapng"))
        .collect();
    all.sort();
    let mut resets = 0;
    for path in all.iter().step_by(4) {
        stdout(rstproof().args(["--force", "-w"]).arg(&out).arg(path));
        let whole = lines(path, "reset");
        resets += whole.len();
        let part = lines(&out, "reset");
        assert_eq!(meaning(&part), meaning(&whole), "{}", path.display());
        let states = |file: &Path| -> Vec<_> {
            let connections = lines(file, "connection");
            let reset = connections.into_iter().filter(|it| it["reset_count"] != 0);
            reset
                .map(|it| [&it["conn_state"], &it["history"], &it["packets"]].map(Clone::clone))
                .collect()
        };
        assert_eq!(states(&out), states(path), "{}", path.display());
        let [whole, part] = [path, &out].map(|file| fs::read(file).unwrap());
        let frames = |file: &[u8]| -> Vec<_> {
            let blocks = Reader::new(file).unwrap().map(Result::unwrap);
            let frame = |block| match block {
                Block::Frame(frame) => Some((frame.at, frame.wire_len, frame.captured.to_vec())),
                _ => None,
            };
            blocks.filter_map(frame).collect()
        };
        let whole = frames(&whole);
        assert!(frames(&part).iter().all(|frame| whole.contains(frame)));
    }
    assert!(resets > 50, "{resets}");
}

#[test]
fn tshark_shows_what_is_known_of_each_frame() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let path = capture("close-unread-data.ipv4");
    let said = stdout(rstproof().arg("-w").arg(&out).arg(&path));
    let reset = &lines(&path, "reset")[0];
    let connection = &lines(&path, "connection")[0];
    let rows = tshark(&out, &["tcp.flags.reset", "frame.comment"]);
    let count = format!("{}: {} frames of 1 connection,", out.display(), rows.len());
    assert!(said.lines().last().unwrap().starts_with(&count), "{said}");
    let packets = &connection["sent_packets"];
    let packets = packets["client"].as_u64().unwrap() + packets["server"].as_u64().unwrap();
    assert_eq!(rows.len() as u64, packets);
    let file = path.display();
    let (state, history) = (&connection["conn_state"], &connection["history"]);
    let begins = format!(
        "connection 1 of {file}: conn_state {}, history {}",
        state.as_str().unwrap(),
        history.as_str().unwrap()
    );
    assert!(rows[0][1].contains(&begins), "{}", rows[0][1]);
    let reset_row = rows.iter().find(|row| ["1", "True"].contains(&&*row[0]));
    let comments = &reset_row.unwrap()[1];
    // The copy holds all frames, so the numbers are the same.
    let conclusion = format!(
        "frame {0} ({0} of {file}): RST of the server, aborted-close, active",
        reset["frame"]
    );
    assert!(comments.starts_with(&conclusion), "{comments}");
    for wanted in [
        "client application gets ECONNRESET",
        "must accept it in ESTABLISHED: SEQ",
    ] {
        assert!(comments.contains(wanted), "{wanted}: {comments}");
    }
}

#[test]
fn the_frame_that_triggers_an_rst_has_a_comment() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let path = capture("connect-closed-port.ipv6");
    stdout(rstproof().arg("-w").arg(&out).arg(&path));
    let reset = &lines(&path, "reset")[0];
    let rows = tshark(&out, &["tcp.flags.syn", "frame.comment"]);
    let drawn = format!("triggers the RST in frame {0} ({0} of", reset["frame"]);
    assert!(rows[0][1].contains(&drawn), "{rows:?}");
}

/// A connection that fails without an RST is copied as well. The numbers of the copy come before those of the capture.
#[test]
fn a_failure_without_an_rst_has_comments() {
    let home = tempfile::tempdir().unwrap();
    let (path, out) = (home.path().join("a.pcap"), home.path().join("out.pcapng"));
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    let mut put = |second: u32, frame: Frame<'_>| {
        let bytes = frame.bytes();
        let length = u32::try_from(bytes.len()).unwrap();
        file.record((second, 0), (length, length), &bytes);
    };
    let other = Frame {
        from: (3, 50_000),
        flags: ACK,
        ..Frame::default()
    };
    let syn = Frame {
        flags: SYN,
        ..Frame::default()
    };
    // Frames 3 and 4 of the capture are the SYN and its retransmission (RFC 6298, 2.1).
    for (second, frame) in [(0, other), (1, other), (2, syn), (3, syn), (9, other)] {
        put(second, frame);
    }
    fs::write(&path, &file.bytes).unwrap();
    let said = stdout(rstproof().arg("-w").arg(&out).arg(&path));
    let last = format!("{}: 2 frames of 1 connection, with comments", out.display());
    assert_eq!(said.lines().last(), Some(&*last));
    let rows = tshark(&out, &["frame.number", "frame.comment"]);
    let begins = format!("frame 1 (3 of {}): no-reply: ", path.display());
    assert!(rows[0][1].starts_with(&begins), "{rows:?}");
    assert!(
        rows[0][1].contains("client application gets ETIMEDOUT"),
        "{rows:?}"
    );
}

/// Every interface of every file has a number of its own, and a comment that names the file; a compressed file is read
/// twice, too.
#[test]
fn interfaces_keep_their_options() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let first = capture("close-unread-data.ipv4");
    let second = home.path().join("second");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let hosts = fs::read(capture("peer-rebooted.ipv4")).unwrap();
    gzip.write_all(&hosts).unwrap();
    fs::write(&second, gzip.finish().unwrap()).unwrap();
    stdout(rstproof().arg("-w").arg(&out).args([&first, &second]));
    let interfaces = |file: &[u8]| -> Vec<_> {
        let blocks = Reader::new(file).unwrap().map(Result::unwrap);
        let interface = |block| match block {
            Block::Interface(it) => Some((it.link, it.snaplen, it.name.map(String::from))),
            _ => None,
        };
        blocks.filter_map(interface).collect()
    };
    let mut wanted = interfaces(&fs::read(&first).unwrap());
    let of_first = wanted.len();
    wanted.extend(interfaces(&hosts));
    let written = fs::read(&out).unwrap();
    assert_eq!(interfaces(&written), wanted);
    let (mut of, mut used) = (Vec::new(), Vec::new());
    for block in Reader::new(&written).unwrap() {
        match block.unwrap() {
            Block::Interface(it) => of.push(it.comments.last().unwrap().to_string()),
            Block::Frame(frame) => used.push(frame.interface),
            _ => {}
        }
    }
    used.dedup();
    assert_eq!(used[..2], [0, u32::try_from(of_first).unwrap()]);
    assert_eq!(*used.iter().max().unwrap() as usize, wanted.len() - 1);
    for (of, file) in [(&of[0], &first), (&of[of_first], &second)] {
        let begins = format!("of {}: ", file.display());
        assert!(of.starts_with(&begins), "{of}");
    }
    let (all, both) = (lines(&out, "reset"), [first, second]);
    let both: Vec<Value> = both.iter().flat_map(|it| lines(it, "reset")).collect();
    assert_eq!(meaning(&all), meaning(&both));
}

#[test]
fn nothing_is_overwritten_unless_it_is_meant() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    fs::write(&out, "precious").unwrap();
    let path = capture("close-unread-data.ipv4");
    let refused = complains(rstproof().arg("-w").arg(&out).arg(&path));
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    stdout(rstproof().arg("--force").arg("-w").arg(&out).arg(&path));
    assert_eq!(lines(&out, "reset").len(), 1);
    assert_eq!(names(&home), ["out.pcapng"]);
}

#[test]
fn no_capture_is_overwritten_that_is_read() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.pcapng");
    let bytes = fs::read(capture("close-unread-data.ipv4")).unwrap();
    fs::write(&path, &bytes).unwrap();
    let other = home.path().join("b.pcapng");
    fs::hard_link(&path, &other).unwrap();
    for input in [&path, &other, &home.path().to_owned()] {
        let refused = complains(rstproof().args(["--force", "-w"]).args([&path, input]));
        assert!(refused.contains("one of the input files"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(names(&home), ["a.pcapng", "b.pcapng"]);
    }
}

#[test]
fn writing_an_excerpt_of_a_pipe_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let pipe = home.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    for (input, what) in [(Path::new("-"), "standard input"), (&pipe, "a pipe")] {
        let refused = complains(rstproof().arg("-w").arg(&out).arg(input));
        assert!(refused.contains(what), "{refused}");
    }
    let path = capture("close-unread-data.ipv4");
    let refused = complains(rstproof().args(["-w", "-"]).arg(&path));
    assert!(refused.contains("needs a file"), "{refused}");
    let refused = complains(rstproof().args(["--force", "-w", "/dev/null"]).arg(&path));
    assert!(refused.contains("not a regular file"), "{refused}");
    assert_eq!(names(&home), ["pipe"]);
}

#[test]
fn a_run_without_input_leaves_no_file_behind() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let mut command = rstproof();
    complains(command.arg("--force").arg("-w").arg(&out).arg(home.path()));
    assert_eq!(names(&home).len(), 0);
}

/// What came before the place where a capture is broken is written.
#[test]
fn a_capture_that_is_cut_gives_what_it_holds() {
    let home = tempfile::tempdir().unwrap();
    let [out, cut] = ["out.pcapng", "cut"].map(|name| home.path().join(name));
    let mut bytes = fs::read(capture("close-unread-data.ipv4")).unwrap();
    bytes.extend(&bytes.clone()[..200]);
    fs::write(&cut, bytes).unwrap();
    let error = complains(rstproof().arg("-w").arg(&out).arg(&cut));
    assert!(error.contains("packets analyzed before it: "), "{error}");
    assert_eq!(lines(&out, "reset").len(), 1);
}

#[test]
fn it_is_written_though_nobody_reads_on() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let mut command = rstproof();
    command.arg("-w").arg(&out).args([
        capture("close-unread-data.ipv4"),
        capture("close-unread-data.ipv6"),
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(lines(&out, "reset").len(), 2);
}

/// All of it, however much is said before the end.
#[test]
fn it_is_written_as_a_whole_though_nobody_reads_on() {
    const CONNECTIONS: u16 = 4_000;
    let home = tempfile::tempdir().unwrap();
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for nth in 0..CONNECTIONS {
        for segment in refused(10_000 + nth) {
            let frame = segment.frame();
            let length = u32::try_from(frame.len()).unwrap();
            file.record((1, nth.into()), (length, length), &frame);
        }
    }
    let all = home.path().join("all.pcap");
    fs::write(&all, &file.bytes).unwrap();
    let out = home.path().join("more.pcapng");
    let mut command = rstproof();
    command.args(["--format", "json", "-w"]).arg(&out).arg(&all);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(lines(&out, "reset").len(), usize::from(CONNECTIONS));
}

#[test]
fn a_signal_leaves_nothing_behind() {
    for (signal, force) in [(Signal::SIGTERM, true), (Signal::SIGINT, false)] {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("out.pcapng");
        let mut command = rstproof();
        if force {
            command.arg("--force");
        }
        command.args(["--format", "json", "-w"]).arg(&out);
        command.arg(capture("x").parent().unwrap());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // More than a pipe takes is written, so it waits in the midst of it.
        let mut first = [0];
        let stdout = child.stdout.as_mut().unwrap();
        stdout.read_exact(&mut first).unwrap();
        assert!(!out.exists());
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal as i32), "{status}");
        assert_eq!(names(&home).len(), 0);
    }
}
