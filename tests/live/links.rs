//! Frames of every kind of link, as Wireshark's own dissector reads them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rstproof_core::file::pcap::Pcap;
use rstproof_core::packet::Link;
use rstproof_core::time::Timestamp;

use crate::wireshark::wireshark;

#[path = "../../core/tests/packets/by_hand.rs"]
#[allow(dead_code)] // each of the two uses a part
mod by_hand;

use by_hand::{PORTS, SEQ, Sample, samples};

/// Of the innermost packet: its sender, the ports, sequence number and length.
fn by_tshark(file: &Path) -> Vec<[String; 6]> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file);
    // Fragments as they are, and a port that is none of Wireshark's.
    command.args(["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]);
    command.args(["-d", "udp.port==8472,vxlan"]);
    command.args(["-d", "mpls.label==48,pwethcw"]);
    command.args(["-d", "mpls.label==64,pwethnocw"]);
    command.args(["-T", "fields", "-E", "occurrence=l"]);
    for field in [
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
        "tcp.dstport",
        "tcp.seq_raw",
        "tcp.len",
    ] {
        command.args(["-e", field]);
    }
    let lines = wireshark(&mut command);
    let fields = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        [(); 6].map(|()| fields.next().unwrap())
    };
    lines.lines().map(fields).collect()
}

/// A capture of these frames, all of which have this number for their link.
fn capture(link: u16, samples: &[&Sample]) -> Vec<u8> {
    let known = Link::from_number(link.into()).unwrap();
    let mut file = Pcap::begin(known, 65_535);
    for (sample, at) in samples.iter().zip(1..) {
        let len = sample.bytes.len().try_into().unwrap();
        file.frame(Timestamp(at), len, &sample.bytes);
    }
    // Some numbers are other names of one.
    let mut bytes = file.into_bytes();
    bytes[20..24].copy_from_slice(&u32::from(link).to_ne_bytes());
    bytes
}

#[test]
fn frames_of_every_kind_are_read_as_wireshark_reads_them() {
    let mut samples = samples();
    // An address family of Linux, which it does not know.
    samples.retain(|sample| !matches!(sample.bytes[..4], [0, 0, 0, 10] | [10, 0, 0, 0]));
    let mut links: Vec<u16> = samples.iter().map(|sample| sample.link).collect();
    links.sort_unstable();
    links.dedup();
    let mut differ = Vec::new();
    let directory = tempfile::tempdir().unwrap();
    for link in links {
        let of_link: Vec<&Sample> = samples.iter().filter(|it| it.link == link).collect();
        let file = directory.path().join(format!("{link}.pcap"));
        fs::write(&file, capture(link, &of_link)).unwrap();
        let read = by_tshark(&file);
        assert_eq!(read.len(), of_link.len());
        for (sample, [v4, v6, from, to, seq, len]) in of_link.into_iter().zip(read) {
            let source = match sample.source {
                SocketAddr::V4(_) => v4,
                SocketAddr::V6(_) => v6,
            };
            let len_is_told = !sample.name.starts_with("fragment");
            let expected = (
                sample.source.ip().to_string(),
                [PORTS.0, PORTS.1].map(|port| port.to_string()),
                SEQ.to_string(),
                if len_is_told {
                    sample.payload_len.to_string()
                } else {
                    String::new()
                },
            );
            if (source, [from, to], seq, len) != expected {
                differ.push((link, sample.name, &sample.bytes[..4]));
            }
        }
    }
    assert_eq!(differ, []);
}
