//! What our writers write, our reader reads.

use proptest::prelude::*;
use rstproof_core::file::pcap::Pcap;
use rstproof_core::file::pcapng::{PcapNg, Section};
use rstproof_core::packet::Link;
use rstproof_core::time::Timestamp;

use crate::{config, frames};

/// A frame: time, length on the wire, what was captured, comments.
type Written = (i64, u32, Vec<u8>, Vec<String>);

fn written() -> impl Strategy<Value = Vec<Written>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    let comments = prop::collection::vec("[^\0]{0,20}", 0..3);
    prop::collection::vec((0..=i64::MAX, any::<u32>(), bytes, comments), 0..8)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_pcapng_file_is_read_back(written in written()) {
        let mut file = PcapNg::begin(&Section {
            os: "os",
            application: "program",
            interfaces: &["lo"],
            filter: "",
            link: Link::Ethernet,
            snaplen: 256,
            comments: &[],
        });
        for (at, wire_len, captured, comments) in &written {
            file.frame(0, Timestamp(*at), *wire_len, captured, comments);
        }
        let read: Vec<Written> = frames(file.bytes())
            .iter()
            .map(|frame| {
                let comments = frame.comments.iter().map(|text| text.clone().into_owned());
                (frame.at.0, frame.wire_len, frame.captured.to_vec(), comments.collect())
            })
            .collect();
        prop_assert_eq!(read, written);
    }

    /// Seconds are 32 bits there.
    #[test]
    fn a_pcap_file_is_read_back(written in written()) {
        let mut file = Pcap::begin(Link::Ethernet, 256);
        for (at, wire_len, captured, _) in &written {
            file.frame(Timestamp(*at / 4), *wire_len, captured);
        }
        let read = frames(file.bytes());
        prop_assert_eq!(read.len(), written.len());
        for (read, (at, wire_len, captured, _)) in read.iter().zip(&written) {
            prop_assert_eq!(read.at, Timestamp(*at / 4));
            prop_assert_eq!(read.wire_len, *wire_len);
            prop_assert_eq!(read.captured, captured);
        }
    }
}
