//! Files that cannot be joined, or only in part.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::wire::{MILLI, Packet, SECOND, Wire, conversation, pcap};
use super::{exists, second};
use crate::layout::{Order, PcapNg};
use crate::segments::{ACK, RST};
use crate::{analyze, analyze_within};

#[test]
fn what_cannot_be_joined_is_refused_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let wire = Wire::default();
    let [a, b] = wire.write(home.path(), &conversation(0, 12));
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (copy, other, arp, empty, one_way) = (
        path("copy.pcap"),
        path("other.pcap"),
        path("arp.pcap"),
        path("empty.pcap"),
        path("x.pcap"),
    );
    fs::copy(&a, &copy).unwrap();
    fs::copy(wire.one(home.path(), &conversation(SECOND, 12)), &other).unwrap();
    let frame = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
    fs::write(&arp, pcap(&[(SECOND, frame)])).unwrap();
    fs::write(&empty, pcap(&[])).unwrap();
    let link = path("link.pcap");
    std::os::unix::fs::symlink(&a, &link).unwrap();
    // The same TTL, and one direction: nothing shows who is nearer.
    let flat = Wire {
        hops: 0,
        only: Some(true),
        ..wire
    };
    let far = tempfile::tempdir().unwrap();
    let [_, flat] = flat.write(far.path(), &conversation(0, 12));
    fs::copy(flat, &one_way).unwrap();
    for (files, wanted) in [
        (vec![&a], "--join needs the captures of 2 to 16 points"),
        (vec![&a, &a], "are the same file"),
        (vec![&a, &link], "are the same file"),
        (vec![&a, &copy], "copies of one capture"),
        (vec![&a, &other], "no segment is in both"),
        (vec![&a, &arp], "has no TCP segment"),
        (vec![&a, &empty], "has no TCP segment"),
        (vec![&a, &one_way], "nearer to the senders"),
        (vec![&a, &b, &other], "no segment is in both"),
    ] {
        let arguments: Vec<&str> = files.iter().map(|it| it.as_str()).collect();
        let said = analyze(&[&["--join"][..], &arguments].concat());
        assert!(said.complaint().contains(wanted), "{wanted}: {}", said.err);
        assert_eq!(said.out, "");
    }
    for arguments in [
        &["--join", "-", &a][..],
        &["--join", "--separate", &a, &b],
        &["--join", "--connection", "1", &a, &b],
    ] {
        let said = analyze_within(300, arguments, Stdio::null());
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains("--join"), "{}", said.err);
    }
}

/// Formats, compressions and times in any unit are those of any other analysis.
#[test]
fn files_may_be_of_any_format() {
    let home = tempfile::tempdir().unwrap();
    let wire = Wire {
        ahead: 3_600 * SECOND,
        ..Wire::default()
    };
    let [a, b] = wire.write(home.path(), &conversation(0, 12));
    let compressed = home.path().join("b.pcap.gz");
    let mut out = GzEncoder::new(fs::File::create(&compressed).unwrap(), Compression::fast());
    out.write_all(&fs::read(&b).unwrap()).unwrap();
    out.finish().unwrap();
    let mut ng = PcapNg::with_interface(Order::Big, &[(9, &[9])]);
    let bytes = fs::read(&a).unwrap();
    let mut rest = &bytes[24..];
    while !rest.is_empty() {
        let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let at = u64::from(number(0)) * 1_000_000_000 + u64::from(number(4));
        let length = number(8) as usize;
        ng.frame(0, at, &rest[16..16 + length], &[]);
        rest = &rest[16 + length..];
    }
    let big = home.path().join("a.pcapng");
    fs::write(&big, &ng.bytes).unwrap();
    let plain = analyze(&["--join", &a, &b]).whole();
    let said = analyze(&[
        "--join",
        big.to_str().unwrap(),
        compressed.to_str().unwrap(),
    ])
    .whole();
    assert_eq!(second(&plain)["ahead_ns"], second(&said)["ahead_ns"]);
    assert_eq!(
        plain.of("connection")[0]["packets"],
        said.of("connection")[0]["packets"]
    );
}

/// A file that is cut anywhere is read as far as it goes, and the rest is reported.
#[test]
fn a_cut_file_is_joined_as_far_as_it_goes() {
    let home = tempfile::tempdir().unwrap();
    let wire = Wire::default();
    let mut packets = conversation(0, 6);
    let last = *packets.last().unwrap();
    packets.push(
        Packet::down(RST | ACK, 1, 1)
            .following(&last)
            .at(30 * MILLI),
    );
    let [a, b] = wire.write(home.path(), &packets);
    let bytes = fs::read(&b).unwrap();
    for length in (24..bytes.len()).step_by(29) {
        fs::write(&b, &bytes[..length]).unwrap();
        let said = analyze(&["--join", &a, &b]);
        assert_eq!(said.code, Some(2), "{length}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        let is_refused = said.err.contains("no segment is in both")
            || said.err.contains("nearer to the senders")
            || said.err.contains("has no TCP segment");
        if !is_refused {
            assert!(said.err.contains("b.pcap: byte"), "{}", said.err);
            let summary = said.summary();
            assert_eq!(summary["complete"], false);
            let row = &said.of("reset")[0];
            assert_eq!(row["errno"], "ECONNRESET", "{length}: {row}");
            assert_ne!(row["sender"]["verdict"], "doubtful", "{length}: {row}");
        }
    }
}

/// The output may not be one of the inputs.
#[test]
fn no_input_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let wire = Wire::default();
    let [a, b] = wire.write(home.path(), &conversation(0, 6));
    for output in [&a, &b] {
        let said = analyze(&["--join", "--force", "-w", output, &a, &b]);
        assert!(
            said.complaint().contains("one of the input files"),
            "{}",
            said.err
        );
        assert!(exists(output));
    }
}
