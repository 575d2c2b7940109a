//! Fuzz target for the frame decoder, with every link type.
//!
//! Checks: no panic or overflow; the IP packet is a part of the frame, and a tunnelled packet a part of the packet; a
//! frame without an IP packet, or with a later fragment, is not decoded. With
//! [cargo-fuzz](https://github.com/rust-fuzz/cargo-fuzz):
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run frame -- -max_total_time=60

#![no_main]

use libfuzzer_sys::fuzz_target;
use rstproof_core::packet::ip::{Ip, Part};
use rstproof_core::packet::link::{Protocol, network};
use rstproof_core::packet::tunnel::{MAX_TUNNEL_DEPTH, layers};
use rstproof_core::packet::{Link, Packet, decode, decode_inside, decode_ip};
use rstproof_core::time::Timestamp;

const AT: Timestamp = Timestamp(0);

fuzz_target!(|bytes: &[u8]| {
    let Some((which, frame)) = bytes.split_first() else {
        return;
    };
    let link = Link::ALL[usize::from(*which) % Link::ALL.len()];
    let outside = decode(link, 1, AT, frame);
    let inside = decode_inside(link, 1, AT, frame);
    let Some(network) = network(link, frame) else {
        assert_eq!([outside, inside], [Packet::Other; 2]);
        return;
    };
    assert_eq!(network.range.end, frame.len());
    let packet = &frame[network.range];
    assert_eq!(Protocol::of(packet), Some(network.protocol));
    assert_eq!(decode_ip(1, AT, packet), outside);
    let (mut innermost, mut depth) = (packet, 0);
    for inner in layers(packet) {
        assert!(inner.packet.len() + 20 <= innermost.len());
        innermost = inner.packet;
        depth += 1;
    }
    assert!(depth <= MAX_TUNNEL_DEPTH);
    assert_eq!(decode_ip(1, AT, innermost), inside);
    if Ip::of(packet).is_none_or(|ip| ip.part == Part::Later) {
        assert_eq!(outside, Packet::Other);
    }
});
