//! Captures in several files: those that continue each other are read as one.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::layout::{Order, Pcap, PcapNg};
use crate::segments::{ACK, RST, SYN, Segment};
use crate::{Said, analyze, analyze_for_people};

/// Segment from the client or the server.
fn segment(from_client: bool, flags: u8, seq: u32, ack: u32) -> Vec<u8> {
    let ports = if from_client {
        [5_000, 80]
    } else {
        [80, 5_000]
    };
    Segment {
        ports,
        flags,
        seq,
        ack,
    }
    .frame()
}

/// A connection: second and frame of each segment. The server aborts after 400 s.
fn connection() -> Vec<(u32, Vec<u8>)> {
    vec![
        (100, segment(true, SYN, 99, 0)),
        (100, segment(false, SYN | ACK, 499, 100)),
        (101, segment(true, ACK, 100, 500)),
        (102, segment(false, ACK, 500, 100)),
        (502, segment(false, RST | ACK, 500, 100)),
    ]
}

fn pcap(frames: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for (second, frame) in frames {
        let length = u32::try_from(frame.len()).unwrap();
        file.record((*second, 0), (length, length), frame);
    }
    file.bytes
}

fn pcapng(frames: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = PcapNg::with_interface(Order::Big, &[(9, &[9])]);
    for (second, frame) in frames {
        file.frame(0, u64::from(*second) * 1_000_000_000, frame, &[]);
    }
    file.bytes
}

fn write(home: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = home.path().join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The row of the only RST.
fn reset(said: &Said) -> Value {
    let [reset] = &said.of("reset")[..] else {
        panic!("{}", said.out)
    };
    reset.clone()
}

/// RFC 9293, 3.10.7.4: the RST is in the window of a connection whose beginning is in another file.
#[test]
fn a_connection_may_go_on_in_the_next_file() {
    for (store, extension) in [
        (pcap as fn(&[(u32, Vec<u8>)]) -> Vec<u8>, "pcap"),
        (pcapng, "pcapng"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let all = connection();
        // Not in the order of their names.
        let second = write(&home, &format!("a.{extension}"), &store(&all[2..4]));
        let first = write(&home, &format!("b.{extension}"), &store(&all[..2]));
        let third = write(&home, &format!("c.{extension}"), &store(&all[4..]));
        for arguments in [
            vec![home.path().to_str().unwrap()],
            vec![&second, &third, &first],
        ] {
            let said = analyze(&arguments).whole();
            let row = reset(&said);
            assert_eq!(
                [
                    &row["file"],
                    &row["frame"],
                    &row["connection_file"],
                    &row["connection"]
                ],
                [&json!(third), &json!(1), &json!(first), &json!(1)]
            );
            assert_eq!(
                [&row["receiver_state"], &row["errno"], &row["cause"]],
                ["ESTABLISHED", "ECONNRESET", "aborted-close"]
            );
            assert_eq!(row["silence_ns"], 400_000_000_000_i64);
            let [row] = &said.of("connection")[..] else {
                panic!("{}", said.out)
            };
            assert_eq!(
                [&row["file"], &row["connection"]],
                [&json!(first), &json!(1)]
            );
            assert_eq!(row["reset_files"], json!([third]));
            assert_eq!(
                (&row["reset_frames"], &row["zeek_records"]),
                (&json!([1]), &json!(2))
            );
            let summary = said.summary();
            assert_eq!(summary["files"], json!([first, second, third]));
            assert_eq!(summary["packets"], 5);
            let sizes = [&first, &second, &third].map(|path| fs::metadata(path).unwrap().len());
            assert_eq!(summary["bytes_read"], sizes.iter().sum::<u64>());
        }
        let said = analyze_for_people(&[&first, &second, &third]).whole();
        let wanted = format!("frame 1 of {third}");
        assert!(said.out.contains(&wanted), "{}", said.out);
        assert!(said.out.contains("after 400 s of silence"), "{}", said.out);
        assert!(said.out.contains("3 files, read as one"), "{}", said.out);
        // Each by itself.
        let said = analyze(&["--separate", &first, &second, &third]).whole();
        assert_eq!(said.of("summary").len(), 3);
        assert_eq!(reset(&said)["cause"], Value::Null);
    }
}

/// What is copied of them is the whole connection.
#[test]
fn a_connection_in_two_files_is_copied_whole() {
    let home = tempfile::tempdir().unwrap();
    let all = connection();
    let first = write(&home, "x.pcap", &pcap(&all[..2]));
    let second = write(&home, "x.pcap1", &pcap(&all[2..]));
    let copy = home.path().join("copy.pcapng");
    let copy = copy.to_str().unwrap();
    analyze(&["-w", copy, &first, &second]).whole();
    let said = analyze(&[copy]).whole();
    assert_eq!(said.summary()["packets"], 5);
    assert_eq!(reset(&said)["errno"], "ECONNRESET");
    let bytes = fs::read(copy).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains(&format!("frame 5 (3 of {second}): RST")),
        "{text}"
    );
    assert!(text.contains(&format!("connection 1 of {first}: ")));
    // One of them is not replaced.
    let said = analyze(&["--force", "-w", &second, &first, &second]);
    assert!(said.complaint().contains("input files"), "{}", said.err);
}

/// The connections of independent captures have other sequence numbers, and a file that lacks its end is not continued.
#[test]
fn other_files_are_captures_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    let all = connection();
    let first = write(&home, "a.pcap", &pcap(&all[..3]));
    let other = [(110, segment(true, ACK, 4_000_000, 9_000_000))];
    let other = write(&home, "b.pcap", &pcap(&other));
    let mut cut = pcap(&all[..3]);
    cut.pop();
    let cut = write(&home, "c.pcap", &cut);
    let last = write(&home, "d.pcap", &pcap(&all[3..]));
    let said = analyze(&[&first, &other]).whole();
    assert_eq!(said.of("summary").len(), 2);
    let said = analyze(&[&cut, &last]);
    assert_eq!(said.of("summary").len(), 2);
    assert!(said.complaint().contains(&cut), "{}", said.err);
}

/// An error names the file that it is in, and where.
#[test]
fn the_last_file_may_be_cut() {
    let home = tempfile::tempdir().unwrap();
    let all = connection();
    let first = write(&home, "x.pcap", &pcap(&all[..3]));
    let mut cut = pcap(&all[3..]);
    let at = cut.len() - 70;
    cut.pop();
    let second = write(&home, "x.pcap1", &cut);
    let said = analyze(&[&first, &second]);
    let line = said.complaint();
    assert!(line.contains(&second), "{line}");
    assert!(line.contains(&format!("byte {at}: ")), "{line}");
    assert_eq!(said.summary()["packets"], 4);
    assert!(Path::new(&first).exists());
}
