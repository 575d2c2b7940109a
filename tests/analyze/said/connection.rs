//! `--connection`: one connection, segment by segment.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use anstream::adapter::strip_str;
use rstproof_core::file::Interface;
use rstproof_core::file::pcapng::PcapNg;
use rstproof_core::time::Timestamp;

use super::{capture, complains, lines, rstproof, stdout};

#[test]
fn every_segment_has_a_line_and_every_reset_its_explanation() {
    let path = capture("third-party-reset.ipv4");
    let connection = &lines(&path, "connection")[0];
    let number = connection["connection"].to_string();
    let text = stdout(rstproof().args(["--connection", &number]).arg(&path));
    let rows: Vec<&str> = text.lines().filter(|line| is_row(line)).collect();
    // It is known by each of its frames.
    for row in &rows {
        let frame = row.split_whitespace().next().unwrap();
        let same = stdout(rstproof().args(["--connection", frame]).arg(&path));
        assert_eq!(same, text, "{frame}");
    }
    assert_eq!(rows.len(), 11, "{text}");
    assert!(rows[0].contains("--- S seq 0 len 0 win"), "{text}");
    for reset in connection["reset_frames"].as_array().unwrap() {
        assert!(text.contains(&format!("    frame {reset}  ")), "{text}");
    }
    for wanted in ["ESTABLISHED", "SYN-RECEIVED", "CLOSED", "to be sure: "] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // By its ends it is the same, whichever comes first.
    let [client, server] = ["client", "server"].map(|end| connection[end].as_str().unwrap());
    for between in [format!("{client}-{server}"), format!("{server}-{client}")] {
        let same = stdout(rstproof().args(["--connection", &between]).arg(&path));
        assert_eq!(same, text);
    }
}

/// Whether it begins with a frame and a time.
fn is_row(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let frame = words.next().is_some_and(|it| it.parse::<u32>().is_ok());
    frame && words.next().is_some_and(|it| it.parse::<f64>().is_ok())
}

/// But for the path in the heading, which cannot be wrapped.
#[test]
fn it_fits_eighty_columns() {
    let captures = fs::read_dir(capture("x").parent().unwrap()).unwrap();
    let mut all: Vec<_> = captures.map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|it| it == "pcapng"));
    all.sort();
    for path in all.iter().step_by(3) {
        let Some(connection) = lines(path, "connection").into_iter().next() else {
            continue;
        };
        let number = connection["connection"].to_string();
        let mut command = rstproof();
        command.args(["--color", "always", "--connection", &number]);
        let text = stdout(command.arg(path));
        assert!(text.lines().count() > 2, "{}", path.display());
        for line in strip_str(&text).to_string().lines().skip(2) {
            assert!(line.chars().count() <= 80, "{}: {line}", path.display());
        }
    }
}

#[test]
fn a_missing_connection_is_reported_in_one_line() {
    let path = capture("third-party-reset.ipv4");
    let packets = lines(&path, "summary")[0]["packets"].as_u64().unwrap();
    let error = complains(rstproof().args(["--connection", "999"]).arg(&path));
    let wanted = format!("frame 999 does not exist: the capture has {packets}");
    assert!(error.contains(&wanted), "{error}");
    let connection = &lines(&path, "connection")[0];
    let first = connection["connection"].as_u64().unwrap();
    // The last one marks the end of the trial, by UDP.
    let last = packets.to_string();
    let error = complains(rstproof().args(["--connection", &last]).arg(&path));
    let wanted = format!("frame {last} belongs to no analyzed TCP connection");
    assert!(error.contains(&wanted), "{error}");
    // What comes through a pipe is read once, and then its first frame has to be known.
    let piped = |frame: &str| {
        let mut cat = Command::new("cat")
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut command = rstproof();
        command.args(["--connection", frame, "-"]);
        let said = command.stdin(cat.stdout.take().unwrap()).output().unwrap();
        assert!(cat.wait().unwrap().success());
        said
    };
    let by_first = piped(&first.to_string());
    let mut command = rstproof();
    let text = stdout(
        command
            .args(["--connection", &first.to_string()])
            .arg(&path),
    );
    let said = String::from_utf8(by_first.stdout).unwrap();
    let heading = format!("begins with frame {first} of -: ");
    assert!(said.contains(&heading), "{said}");
    assert_eq!(said.lines().last(), text.lines().last());
    let by_next = piped(&(first + 1).to_string());
    assert_eq!(by_next.status.code(), Some(2));
    let error = String::from_utf8(by_next.stderr).unwrap();
    assert!(error.contains("save it to a file"), "{error}");
    let nobody = "10.0.0.1:1-10.0.0.2:2";
    let error = complains(rstproof().args(["--connection", nobody]).arg(&path));
    assert!(error.contains("no connection between"), "{error}");
    for wrong in ["0", "10.0.0.1:1", "x"] {
        let error = complains(rstproof().args(["--connection", wrong]).arg(&path));
        assert!(error.contains("ADDR:PORT-ADDR:PORT"), "{error}");
    }
    let mut command = rstproof();
    let error = complains(
        command
            .args(["--format", "json", "--connection", "1"])
            .arg(&path),
    );
    assert!(
        error.contains("already contains every connection"),
        "{error}"
    );
}

/// A frame of Ethernet, IPv4 and TCP, from one of two ends to the other.
fn frame(from_client: bool, flags: u8, seq: u32, ack: u32, payload: usize) -> Vec<u8> {
    let (from, to) = if from_client { (1, 2) } else { (2, 1) };
    let ports = if from_client {
        [40_000_u16, 80]
    } else {
        [80, 40_000]
    };
    let length = u16::try_from(40 + payload).unwrap().to_be_bytes();
    let mut frame = vec![0; 12];
    frame.extend([
        8, 0, 0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, 6, 0, 0,
    ]);
    frame.extend([10, 0, 0, from, 10, 0, 0, to]);
    frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    frame.extend(seq.to_be_bytes());
    frame.extend(ack.to_be_bytes());
    let window = if flags == 0x04 { [0, 0] } else { [2, 0] };
    frame.extend([0x50, flags, window[0], window[1], 0, 0, 0, 0]);
    frame.resize(frame.len() + payload, 7);
    frame
}

/// An RST in the midst that is not believed, and what drew it, are shown; what is around them is not.
#[test]
fn of_a_long_connection_the_middle_is_left_out() {
    const SEGMENTS: u32 = 2_000;
    let mut file = PcapNg::begin_anywhere(None, "test", &[]);
    let interface = Interface {
        link: 1,
        ..Interface::default()
    };
    file.interface(&interface, &[]);
    let mut at = 0;
    let mut add = |bytes: &[u8]| {
        at += 1_000_000;
        let length = u32::try_from(bytes.len()).unwrap();
        file.frame(0, Timestamp(at), length, bytes, &[]);
    };
    add(&frame(true, 0x02, 99, 0, 0));
    add(&frame(false, 0x12, 499, 100, 0));
    add(&frame(true, 0x10, 100, 500, 0));
    for nth in 0..SEGMENTS {
        add(&frame(true, 0x18, 100 + 10 * nth, 500, 10));
        if nth == 1_000 {
            // SEQ is that segment's ACK: it answers it, and is what is expected next.
            add(&frame(false, 0x04, 500, 0, 0));
        }
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("long");
    fs::write(&path, file.bytes()).unwrap();
    let text = stdout(rstproof().args(["--connection", "1"]).arg(&path));
    let frames: Vec<u32> = text
        .lines()
        .filter(|line| is_row(line))
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    let mut wanted: Vec<u32> = (1..=200).collect();
    wanted.extend([1_004, 1_005]);
    wanted.extend(SEGMENTS + 4 - 199..=SEGMENTS + 4);
    assert_eq!(frames, wanted);
    let mut gaps = String::new();
    for line in text.lines().filter(|line| line.contains(" more …")) {
        writeln!(gaps, "{}", line.trim()).unwrap();
    }
    assert_eq!(gaps, "… 803 more …\n… 799 more …\n");
    assert!(text.contains("    frame 1005  10.0.0.2:80"), "{text}");
}
