//! libpcap is the other implementation of the formats that are written here: it must read back what went in.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::fs;
use std::path::Path;

use pcap::{Capture, Error, Linktype, Precision};
use rstproof_core::file::pcap::Pcap;
use rstproof_core::file::pcapng::{PcapNg, Section, Statistics};
use rstproof_core::packet::Link;
use rstproof_core::time::Timestamp;

fn at(index: u8) -> Timestamp {
    Timestamp(1_700_000_000_123_456_789 + i64::from(index))
}

/// A frame of as many bytes as its number says, each of which is that number, and 99 on the wire.
const LENGTHS: std::ops::Range<u8> = 16..32;

fn assert_reads_back(path: &Path, link: Linktype) {
    let mut read = Capture::from_file_with_precision(path, Precision::Nano).unwrap();
    assert_eq!(read.get_datalink(), link);
    for len in LENGTHS {
        let packet = read.next_packet().unwrap();
        assert_eq!(packet.data, vec![len; len.into()]);
        assert_eq!(packet.header.len, 99);
        let ns = packet.header.ts.tv_sec * 1_000_000_000 + packet.header.ts.tv_usec;
        assert_eq!(Timestamp(ns), at(len));
    }
    assert!(matches!(read.next_packet(), Err(Error::NoMorePackets)));
}

#[test]
fn every_frame_of_classic_pcap() {
    let mut file = Pcap::begin(Link::LinuxCooked, 96);
    for len in LENGTHS {
        file.frame(at(len), 99, &vec![len; len.into()]);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pcap");
    file.write_to(&mut fs::File::create(&path).unwrap())
        .unwrap();
    assert_reads_back(&path, Linktype::LINUX_SLL);
}

#[test]
fn every_frame_of_pcapng_with_comments_and_statistics() {
    let mut file = PcapNg::begin(&Section {
        os: "Linux 6.1",
        application: "rstproof 0",
        interfaces: &["lo"],
        filter: "tcp",
        link: Link::Ethernet,
        snaplen: 256,
        comments: &["on the section".to_owned()],
    });
    for len in LENGTHS {
        let comments = ["one".to_owned(), "two".to_owned()];
        let comments: &[String] = if len == 17 { &comments } else { &[] };
        file.frame(0, at(len), 99, &vec![len; len.into()], comments);
    }
    file.statistics(
        0,
        Statistics {
            began: at(LENGTHS.start),
            ended: at(LENGTHS.end),
            received: 16,
            dropped: 2,
        },
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pcapng");
    file.write_to(&mut fs::File::create(&path).unwrap())
        .unwrap();
    assert_reads_back(&path, Linktype::ETHERNET);
}
