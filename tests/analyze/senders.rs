//! Who sent an RST: small captures of the kinds that public captures hold, and what is concluded of each.
//!
//! What an endpoint does is from RFC 9293 and from the kernel; what devices do is from the papers and manuals that each
//! test names.

use std::fs;

use serde_json::Value;

use crate::layout::{Order, Pcap};
use crate::segments::{ACK, FIN, Frame, RST, SYN};
use crate::{analyze, analyze_for_people};

/// A packet of IPv4 and its time in microseconds.
#[derive(Clone, Copy)]
struct Packet<'a> {
    at: u32,
    from: (u8, u16),
    to: (u8, u16),
    ttl: u8,
    id: u16,
    flags: u8,
    seq: u32,
    ack: u32,
    window: u16,
    options: &'a [u8],
    len: u16,
}

const CLIENT: (u8, u16) = (2, 40_000);
const SERVER: (u8, u16) = (1, 80);

/// SYN options of Linux: MSS, SACK, timestamps, NOP, window scale (`tcp_options_write()`).
const LINUX: [u8; 20] = [
    2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
];
/// Those without timestamps.
const LINUX_PLAIN: [u8; 12] = [2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7];
/// Those of Windows (`p0f.fp` 3.09b: `mss,nop,ws,nop,nop,sok`).
const WINDOWS: [u8; 12] = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];

impl Packet<'_> {
    /// Of the client, in the handshake or after it.
    fn up(at: u32, flags: u8, seq: u32, ack: u32) -> Self {
        Self {
            at,
            from: CLIENT,
            to: SERVER,
            ttl: 64,
            id: 0,
            flags,
            seq: 1_000 + seq,
            ack: if flags & ACK == 0 { 0 } else { 5_000 + ack },
            window: 500,
            options: &[],
            len: 0,
        }
    }

    /// Of the server.
    fn down(at: u32, flags: u8, seq: u32, ack: u32) -> Self {
        Self {
            from: SERVER,
            to: CLIENT,
            ttl: 52,
            seq: 5_000 + seq,
            ack: if flags & ACK == 0 { 0 } else { 1_000 + ack },
            ..Self::up(at, flags, 0, 0)
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn len(self, len: u16) -> Self {
        Self { len, ..self }
    }

    fn frame(&self) -> Vec<u8> {
        Frame {
            from: self.from,
            to: self.to,
            ttl: self.ttl,
            id: self.id,
            flags: self.flags,
            seq: self.seq,
            ack: self.ack,
            window: self.window,
            options: self.options,
            len: self.len,
            ..Frame::default()
        }
        .bytes()
    }
}

/// A handshake of two Linux hosts with this round trip, from time 0 on.
fn handshake(rtt: u32) -> Vec<Packet<'static>> {
    vec![
        Packet::up(0, SYN, 0, 0).with(|it| (it.options, it.window, it.id) = (&LINUX, 64_240, 100)),
        Packet::down(rtt, SYN | ACK, 0, 1).with(|it| it.options = &LINUX),
        Packet::up(rtt + 50, ACK, 1, 1).with(|it| it.id = 101),
    ]
}

/// The lines of this kind on a capture of these packets, which do not depend on the number of threads.
fn rows(packets: &[Packet<'_>], kind: &str) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.pcap");
    write(&path, packets);
    let path = path.to_str().unwrap();
    let rows = analyze(&[path]).whole().of(kind);
    assert_eq!(analyze(&["--threads", "4", path]).whole().of(kind), rows);
    rows
}

fn write(path: &std::path::Path, packets: &[Packet<'_>]) {
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for packet in packets {
        let frame = packet.frame();
        let length = u32::try_from(frame.len()).unwrap();
        let at = (1_700_000_000 + packet.at / 1_000_000, packet.at % 1_000_000);
        file.record(at, (length, length), &frame);
    }
    fs::write(path, &file.bytes).unwrap();
}

fn text(packets: &[Packet<'_>], arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.pcap");
    write(&path, packets);
    let arguments = [arguments, &[path.to_str().unwrap()]].concat();
    analyze_for_people(&arguments).whole().out
}

fn verdicts(resets: &[Value]) -> Vec<&str> {
    let verdict = |it: &'_ Value| it["sender"]["verdict"].as_str().map(str::len);
    assert!(resets.iter().all(|it| verdict(it).is_some()));
    let all = resets.iter();
    all.map(|it| it["sender"]["verdict"].as_str().unwrap())
        .collect()
}

/// The indicators against the end that are not weak, as `id weight`.
fn against(reset: &Value) -> Vec<String> {
    let all = reset["indicators"].as_array().unwrap().iter();
    all.filter(|it| it["supports"] == "injection" && it["weight"] != "weak")
        .map(|it| {
            format!(
                "{} {}",
                it["id"].as_str().unwrap(),
                it["weight"].as_str().unwrap()
            )
        })
        .collect()
}

/// A device in between resets both ends at once (Weaver, Sommer and Paxson, NDSS 2009, 3). The first RST does not show that
/// the server is gone, so the second one is what ends the server's connection.
#[test]
fn a_device_that_resets_both_ends_is_named() {
    for (flags, acks) in [(RST | ACK, true), (RST, false)] {
        let mut packets = handshake(1_000);
        packets.push(Packet::up(2_000, ACK, 1, 1).with(|it| it.id = 102).len(12));
        let foreign = |packet: Packet<'static>, ttl, id| {
            packet.with(|it| {
                (it.ttl, it.id, it.window) = (ttl, id, 0);
                if !acks {
                    it.ack = 0;
                }
            })
        };
        packets.push(foreign(Packet::down(3_000, flags, 1, 13), 200, 7_777));
        packets.push(foreign(Packet::up(4_000, flags, 13, 1), 201, 7_778));
        let resets = rows(&packets, "reset");
        assert_eq!(verdicts(&resets), ["doubtful", "doubtful"]);
        for reset in &resets {
            assert!(against(reset).contains(&"reset-both strong".to_owned()));
            assert_eq!(reset["cause"], "third-party");
            assert_eq!(reset["required_action"], "accept");
            assert_eq!(reset["errno"], "ECONNRESET");
            assert!(reset["claim"]["explanation"].is_string(), "{reset}");
        }
        assert_eq!(resets[1]["receiver_state"], "ESTABLISHED");
        // A server that has aborted, or has replied that it has no socket, would not be reset by frame 6.
        assert_eq!(resets[1]["assumes_forged_frame"], 5);
        let text = text(&packets, &[]);
        for wanted in [
            "frame 5  10.0.0.2:40000 → 10.0.0.1:80  ECONNRESET (client)\n    third-party: RST probably sent by a third party in \
             the name of the server\n",
            "frame 6  10.0.0.2:40000 → 10.0.0.1:80  ECONNRESET (server)\n    third-party: RST probably sent by a third party in \
             the name of the client\n",
            "did these addresses send them: doubtful 2 (first: frame 5)",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}

/// The same where nothing but the server's later data shows that it did not send the first RST.
#[test]
fn a_forged_abort_is_no_evidence_about_its_sender() {
    let mut packets = handshake(1_000);
    packets.push(Packet::up(2_000, ACK, 1, 1).len(12));
    packets.push(Packet::down(3_000, RST | ACK, 1, 13));
    packets.push(Packet::up(3_100, RST | ACK, 13, 1));
    packets.push(Packet::down(9_000, ACK, 1, 13).len(400));
    let resets = rows(&packets, "reset");
    assert_eq!(verdicts(&resets)[0], "doubtful");
    assert_eq!(resets[0]["sender"]["indicator"]["id"], "went-on-data");
    assert_eq!(resets[1]["assumes_forged_frame"], 5);
    assert_eq!(resets[1]["receiver_state"], "ESTABLISHED");
    assert_eq!(resets[1]["errno"], "ECONNRESET");
    // Without that, the server is gone.
    packets.pop();
    let resets = rows(&packets, "reset");
    assert_eq!(resets[1]["required_action"], "drop");
    assert_eq!(resets[1]["assumes_forged_frame"], Value::Null);
}

/// What the verdict assumes of an earlier RST is said where another verdict would follow otherwise, and of the RST that would
/// have ended the connection.
#[test]
fn an_assumption_is_stated_only_where_it_changes_the_verdict() {
    let line = "if the server did not send the RST in frame";
    let with = |more: &[Packet<'static>]| {
        let mut packets = handshake(1_000);
        packets.push(Packet::up(2_000, ACK, 1, 1).len(12));
        packets.extend_from_slice(more);
        let reset = rows(&packets, "reset").pop().unwrap();
        let text = text(&packets, &[]);
        let is_stated = reset["assumes_forged_frame"].is_u64();
        assert_eq!(text.matches(line).count(), usize::from(is_stated), "{text}");
        (reset, text)
    };
    let forged = |at| Packet::down(at, RST | ACK, 1, 13).with(|it| it.ttl = 200);
    let own = Packet::up(5_000, RST | ACK, 13, 1);
    // The first of two would have ended it.
    let (reset, text) = with(&[forged(3_000), forged(3_500), own]);
    assert_eq!(reset["assumes_forged_frame"], 5, "{reset}");
    assert_eq!(reset["required_action"], "accept");
    assert!(text.contains(&format!("{line} 5,")), "{text}");
    // RFC 5961, 3.2: the server ignores a number before its window, whether it still has the connection or not.
    let old = Packet::up(5_000, RST | ACK, 0, 1);
    let (reset, _) = with(&[forged(3_000), old]);
    assert_eq!(reset["required_action"], "drop", "{reset}");
    assert_eq!(reset["assumes_forged_frame"], Value::Null);
    // Its later segment shows that it has the connection.
    let data = Packet::down(4_000, ACK, 1, 13).len(3);
    let (reset, _) = with(&[forged(3_000), data, own]);
    assert_eq!(reset["required_action"], "accept", "{reset}");
    assert_eq!(reset["assumes_forged_frame"], Value::Null);
}

/// No end acknowledges what it has not received: here 7 ms after it was sent, where the round trip takes 318 ms. All else
/// is copied.
#[test]
fn an_rst_that_acknowledges_data_too_early_is_an_indicator() {
    let mut packets = handshake(318_000);
    packets.push(Packet::up(318_600, ACK, 1, 1).len(517));
    packets.push(Packet::down(326_000, RST | ACK, 1, 518));
    let [reset] = &rows(&packets, "reset")[..] else {
        panic!()
    };
    assert_eq!(against(reset), ["too-fast strong"]);
    assert_eq!(reset["sender"]["verdict"], "doubtful");
    // A round trip later it is the server's own.
    packets.last_mut().unwrap().at = 640_000;
    let resets = rows(&packets, "reset");
    assert_eq!(against(&resets[0]), [""; 0]);
}

/// The round trip of a connection is known after ten minutes of silence as well.
#[test]
fn the_round_trip_outlasts_a_silence() {
    let mut packets = handshake(318_000);
    packets.push(Packet::up(600_000_000, ACK, 1, 1).len(517));
    for (at, expected) in [(7_000, &["too-fast strong"][..]), (320_000, &[])] {
        let mut packets = packets.clone();
        packets.push(Packet::down(600_000_000 + at, RST | ACK, 1, 518));
        let [reset] = &rows(&packets, "reset")[..] else {
            panic!()
        };
        assert_eq!(against(reset), expected, "{reset}");
    }
}

/// A handshake may wait for address resolution. Data that were acknowledged sooner show how near the server is.
#[test]
fn a_slow_handshake_makes_later_replies_no_indicator() {
    let mut packets = handshake(15_500);
    for packet in &mut packets {
        packet.ttl = 64;
    }
    let down = |at, flags, seq, ack| Packet::down(at, flags, seq, ack).with(|it| it.ttl = 64);
    packets.push(Packet::up(15_600, ACK, 1, 1).len(22));
    packets.push(down(16_300, ACK, 1, 23));
    packets.push(down(66_000, FIN | ACK, 1, 23));
    packets.push(Packet::up(66_300, ACK, 23, 2));
    packets.push(Packet::up(68_600, ACK, 23, 2).len(16));
    packets.push(Packet::up(68_700, FIN | ACK, 39, 2));
    for at in [69_200, 69_260] {
        packets.push(down(at, RST, 2, 0).with(|it| (it.ack, it.window) = (0, 0)));
    }
    for reset in rows(&packets, "reset") {
        assert_eq!(against(&reset), [""; 0], "{reset}");
        assert_ne!(reset["sender"]["verdict"], "doubtful");
    }
}

/// Windows up to 7 has one counter for all its packets, and aborts with window 0. Nine connections that it closes together
/// have IDs in a row, though each has been silent while the counter went on.
#[test]
fn the_ip_id_counter_of_a_host_covers_all_its_connections() {
    let mut packets = Vec::new();
    let mut id = 100;
    let ends = |nth: u16| (2, 40_000 + nth);
    for nth in 0..9_u16 {
        let at = u32::from(nth) * 10_000;
        let mut packet = |packet: Packet<'static>| {
            id += 1;
            packet.with(|it| (it.from, it.ttl, it.id) = (ends(nth), 128, id))
        };
        let syn = Packet::up(at, SYN, 0, 0).with(|it| (it.options, it.window) = (&WINDOWS, 8192));
        packets.push(packet(syn));
        packets.push(
            Packet::down(at + 20, SYN | ACK, 0, 1)
                .with(|it| (it.to, it.options) = (ends(nth), &LINUX_PLAIN)),
        );
        packets.push(packet(Packet::up(at + 30, ACK, 1, 1)));
        packets.push(packet(Packet::up(at + 40, ACK, 1, 1).len(100)));
        packets.push(packet(Packet::up(at + 80, ACK, 101, 1)));
    }
    // Other traffic that is not in the capture, and 95 seconds.
    id += 1500;
    for nth in 0..9_u16 {
        id += 1;
        packets.push(
            Packet::up(95_000_000 + u32::from(nth) * 100, RST | ACK, 101, 1)
                .with(|it| (it.from, it.ttl, it.id, it.window) = (ends(nth), 128, id, 0)),
        );
    }
    let resets = rows(&packets, "reset");
    assert_eq!(resets.len(), 9);
    for reset in &resets {
        assert_eq!(against(reset), [""; 0], "{reset}");
        let weak = reset["indicators"].as_array().unwrap();
        assert!(weak.iter().all(|it| it["id"] != "window-zero"), "{reset}");
        assert_ne!(reset["sender"]["verdict"], "doubtful");
    }
    // A counter that jumps within milliseconds is not the host's: a device that counts for itself.
    for packet in &mut packets[45..] {
        packet.at -= 94_000_000;
        packet.at -= 909_000;
        packet.id = packet.id.wrapping_add(30_000);
    }
    for reset in rows(&packets, "reset") {
        assert_eq!(against(&reset), ["ip-id-jumps moderate"], "{reset}");
        assert_eq!(reset["sender"]["verdict"], "doubtful");
    }
}

/// Returns a connection whose server counts from 30,000, and whose client has sent three segments with the IP IDs 102 to
/// 104.
fn three_segments() -> Vec<Packet<'static>> {
    let mut packets = handshake(20_000);
    packets[1].id = 29_999;
    packets.push(Packet::up(20_100, ACK, 1, 1).with(|it| it.id = 102).len(9));
    packets.push(Packet::down(40_100, ACK, 1, 10).with(|it| it.id = 30_000));
    packets.push(Packet::up(40_200, ACK, 10, 1).with(|it| it.id = 103).len(9));
    packets.push(Packet::down(60_200, ACK, 1, 19).with(|it| it.id = 30_001));
    packets.push(Packet::up(60_300, ACK, 19, 1).with(|it| it.id = 104).len(9));
    packets
}

/// A device that exchanges the addresses of the segment it saw leaves the IP ID as it is (`tcp_v4_rst()` in Calico's
/// felix/bpf-gpl/tcp4.h). An end counts on, and so does a loopback host with one counter for both ends (RFC 7739, 5).
#[test]
fn an_rst_made_from_its_receivers_segment_is_recognized() {
    let reset = |at, id| Packet::down(at, RST, 1, 0).with(|it| (it.id, it.window) = (id, 0));
    let copied = |resets: &[Packet<'static>]| -> Vec<bool> {
        let rows = rows(&[three_segments(), resets.to_vec()].concat(), "reset");
        assert_eq!(rows.len(), resets.len());
        let of = |it: &Value| against(it).contains(&"ip-id-copied moderate".to_owned());
        rows.iter().map(of).collect()
    };
    assert_eq!(copied(&[reset(62_000, 104)]), [true]);
    // One of a counter may be chance, and so may a device that sends one RST twice.
    assert_eq!(copied(&[reset(62_000, 103)]), [false]);
    let twice = [reset(62_000, 103), reset(63_000, 103)];
    assert_eq!(copied(&twice), [false, false]);
    let all = [102, 103, 104].map(|id| reset(62_000 + 1_000 * u32::from(id - 102), id));
    assert_eq!(copied(&all), [true; 3]);
    // The server's own.
    for id in [0, 30_002, 105, 50_000] {
        assert_eq!(copied(&[reset(62_000, id)]), [false], "{id}");
    }
    let one_host = |mut packet: Packet<'static>| {
        let side = if packet.from == SERVER {
            &mut packet.to
        } else {
            &mut packet.from
        };
        side.0 = SERVER.0;
        packet.ttl = 64;
        packet
    };
    let mut packets = three_segments();
    packets.push(reset(62_000, 104));
    let packets: Vec<_> = packets.into_iter().map(one_host).collect();
    assert_eq!(against(&rows(&packets, "reset")[0]), [""; 0]);
}

/// A firewall that tracks the window rejects a segment beyond it in the server's name; the server itself would acknowledge
/// (RFC 9293, 3.10.7.4), and does so for the segments before.
#[test]
fn a_device_that_tracks_the_window_is_told_from_a_nat() {
    for (id, cause) in [(105, "third-party"), (0, "untranslated")] {
        let mut packets = three_segments();
        packets.push(
            Packet::up(60_400, ACK, 40_000, 1)
                .with(|it| it.id = 105)
                .len(9),
        );
        packets.push(Packet::down(62_000, RST, 1, 0).with(|it| (it.id, it.window) = (id, 0)));
        packets.push(
            Packet::down(300_000, ACK, 1, 28)
                .with(|it| it.id = 30_002)
                .len(5),
        );
        for packet in &mut packets {
            packet.window = packet.window.min(500);
            // Without the scale of the window, 500 is all of it.
            if packet.flags & SYN != 0 {
                packet.options = &[2, 4, 5, 0xb4];
            }
        }
        let [reset] = &rows(&packets, "reset")[..] else {
            panic!()
        };
        assert_eq!(reset["cause"], cause, "{reset}");
        let text = reset["explanation"].as_str().unwrap();
        assert!(text.contains("outside the window"), "{text}");
        assert_eq!(text.contains("firewall"), id != 0, "{text}");
    }
}

/// A load balancer makes the handshake and times the connection out; the data come from the host behind it. 9300 in the
/// window is how a `NetScaler` says so (Citrix CTX200852).
#[test]
fn a_load_balancer_and_the_host_behind_it_are_distinguished() {
    let front = |packet: Packet<'static>, id| packet.with(|it| (it.ttl, it.id) = (245, id));
    for window in [3_840, 9_300] {
        let packets = [
            Packet::up(0, SYN, 0, 0).with(|it| it.options = &LINUX_PLAIN),
            front(Packet::down(14_000, SYN | ACK, 0, 1), 0xb2b1).with(|it| it.window = 3_840),
            Packet::up(14_050, ACK, 1, 1),
            Packet::up(14_100, ACK, 1, 1).len(900),
            front(Packet::down(32_000, ACK, 1, 901), 0xb2b3).with(|it| it.window = 3_840),
            Packet::down(34_000, ACK, 1, 901)
                .with(|it| (it.ttl, it.id, it.window) = (53, 0x1ad7, 33_280))
                .len(715),
            Packet::up(34_100, ACK, 901, 716),
            front(Packet::down(9_200_000, RST | ACK, 716, 901), 0xb7d0)
                .with(|it| it.window = window),
        ];
        let [reset] = &rows(&packets, "reset")[..] else {
            panic!()
        };
        let found = against(reset);
        assert_eq!(found[0], "two-senders moderate");
        let is_code = found.contains(&"netscaler-code moderate".to_owned());
        assert_eq!(is_code, window == 9_300, "{found:?}");
        assert_eq!(reset["sender"]["verdict"], "doubtful");
        assert_eq!(reset["cause"], "third-party");
    }
}

/// TTL and counter of another machine, after an abort of the end itself (`ip_forward()` decrements the TTL).
#[test]
fn resets_of_another_machine_stand_beside_the_own_one() {
    let mut packets = handshake(10_000);
    for nth in 0..4_u16 {
        let at = 11_000 + u32::from(nth) * 1_000;
        packets.push(Packet::up(at, ACK, 1 + 10 * u32::from(nth), 1).len(10));
        packets.last_mut().unwrap().id = 102 + nth;
    }
    let own = Packet::up(20_000, RST | ACK, 41, 1).with(|it| it.id = 106);
    packets.push(own);
    packets.push(own.with(|it| (it.at, it.ttl, it.id) = (36_000, 244, 46_339)));
    let resets = rows(&packets, "reset");
    assert_eq!(verdicts(&resets), ["likely-endpoint", "doubtful"]);
    assert_eq!(resets[0]["cause"], "aborted-close");
    assert_eq!(
        against(&resets[1]),
        ["ttl-differs strong", "ip-id-jumps moderate"]
    );
}

/// A reply takes its SEQ from the segment that it answers (RFC 9293, 3.10.7.1), which may lag behind what its sender has
/// sent. Windows sets ACK in it, and other stacks fill the acknowledgment field without ACK.
#[test]
fn a_delayed_reply_is_no_indicator() {
    let mut packets = handshake(1_000);
    for packet in &mut packets {
        if packet.from == SERVER {
            packet.ttl = 128;
        }
    }
    packets[1].options = &WINDOWS;
    packets[1].window = 8192;
    let down = |at, flags, seq, ack| Packet::down(at, flags, seq, ack).with(|it| it.ttl = 128);
    packets.push(down(2_000, ACK, 1, 1).len(735));
    packets.push(Packet::up(3_000, ACK, 1, 1).len(10));
    for flags in [RST | ACK, RST] {
        let mut packets = packets.clone();
        packets.push(down(3_500, flags, 1, 11).with(|it| (it.ack, it.window) = (1_011, 0)));
        for reset in rows(&packets, "reset") {
            assert_eq!(against(&reset), [""; 0], "{reset}");
        }
    }
}

/// A trigger that was not captured may have been missed.
#[test]
fn a_capture_of_one_direction_shows_no_missing_trigger() {
    let packets = [
        Packet::down(0, ACK, 1, 1).len(10),
        Packet::down(1_000, RST, 11, 0).with(|it| (it.ack, it.window) = (0, 0)),
    ];
    let resets = rows(&packets, "reset");
    let all = resets[0]["indicators"].as_array().unwrap();
    assert!(
        all.iter().all(|it| it["id"] != "answers-nothing"),
        "{all:?}"
    );
}

/// The stacks by their handshakes, and the errors that Windows reports ("Windows Sockets Error Codes").
#[test]
fn stacks_are_named_and_windows_has_its_own_errors() {
    let mut packets = handshake(1_000);
    packets[0].options = &WINDOWS;
    packets[0].window = 64_240;
    packets[0].ttl = 128;
    packets[1].options = &LINUX_PLAIN;
    packets.push(Packet::down(2_000, RST | ACK, 1, 1));
    let [connection] = &rows(&packets, "connection")[..] else {
        panic!()
    };
    assert_eq!(connection["stack"]["client"], "windows");
    assert_eq!(connection["stack"]["server"], "linux");
    let [reset] = &rows(&packets, "reset")[..] else {
        panic!()
    };
    assert_eq!(reset["errno"], "ECONNRESET");
    assert_eq!(reset["errno_elsewhere"][0]["system"], "windows");
    assert_eq!(reset["errno_elsewhere"][0]["errno"], "WSAECONNRESET");
    assert_eq!(reset["errno_elsewhere"][0]["number"], 10054);
    let said = text(&packets, &["-v"]);
    for wanted in [
        "→ ECONNRESET (the client looks like Windows: WSAECONNRESET 10054)",
        "likely stacks: client Windows, server Linux",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // After a FIN the BSDs and macOS report what they report without one (`tcp_do_segment()` of FreeBSD).
    packets.insert(3, Packet::down(1_500, FIN | ACK, 1, 1));
    packets[4].seq += 1;
    let resets = rows(&packets, "reset");
    assert_eq!(resets[0]["errno"], "EPIPE");
    let elsewhere = resets[0]["errno_elsewhere"].as_array().unwrap();
    let all: Vec<_> = elsewhere
        .iter()
        .map(|it| {
            (
                it["system"].as_str().unwrap(),
                it["number"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        all,
        [
            ("windows", 10054),
            ("windows", 10053),
            ("bsd", 54),
            ("macos", 54)
        ]
    );
}

/// The clock of Linux counts milliseconds since 4.13 (`TCP_TS_HZ`), with an offset for each pair of addresses. No clock runs
/// faster than it does, but a host that was suspended has one that seems slow.
#[test]
fn a_timestamp_is_compared_with_the_rate_of_its_host() {
    fn stamps(value: u32) -> &'static [u8] {
        let [a, b, c, d] = value.to_be_bytes();
        Box::leak(Box::new([1, 1, 8, 10, a, b, c, d, 0, 0, 0, 1]))
    }
    // A connection of a server port, from `start` on in milliseconds, with a segment of the server every 1.5 s.
    let connection = |port: u16, start: u32, offset: u32, seconds: u32| -> Vec<Packet<'static>> {
        let mut packets = handshake(1_000);
        for packet in &mut packets {
            packet.at += start * 1_000;
        }
        for nth in 0..seconds {
            let ms = 10 + nth * 1_500;
            packets.push(
                Packet::down(start * 1_000 + ms * 1_000, ACK, 1 + nth, 1)
                    .len(1)
                    .with(|it| it.options = stamps(offset + ms)),
            );
        }
        for packet in &mut packets {
            let end = if packet.from == SERVER {
                &mut packet.to
            } else {
                &mut packet.from
            };
            end.1 = port;
        }
        packets
    };
    let reset = |port: u16, at_ms: u32, seq: u32, value: u32| {
        Packet::down(at_ms * 1_000, RST | ACK, seq, 1)
            .with(|it| (it.options, it.to.1) = (stamps(value), port))
    };
    // Its own rate is known after some seconds.
    for (value, found) in [
        (500_000 + 7_610, vec![]),
        (500_000 + 67_610, vec!["clock-ahead moderate"]),
    ] {
        let mut packets = connection(40_000, 0, 500_000, 6);
        packets.push(reset(40_000, 7_610, 7, value));
        let resets = rows(&packets, "reset");
        assert_eq!(against(&resets[0]), found, "{}", resets[0]);
    }
    // Suspended for four seconds.
    let mut packets = connection(40_000, 0, 500_000, 6);
    packets.push(reset(40_000, 11_710, 7, 500_000 + 7_710));
    let resets = rows(&packets, "reset");
    assert_eq!(against(&resets[0]), [""; 0], "{}", resets[0]);
}

/// A health check aborts in place of the ACK, and the listener drops its request. Where the IP IDs skip a number, the ACK was sent and is
/// missing (`ip_select_ident_segs()` of Linux numbers the packets of a socket one by one).
#[test]
fn a_skipped_ip_id_shows_that_an_ack_is_missing() {
    for (id, errno, condition) in [
        (101, Value::Null, Value::Null),
        (102, "ECONNRESET".into(), "handshake-completed".into()),
    ] {
        let mut packets = handshake(100);
        let abort = Packet::up(250, RST | ACK, 1, 1).with(|it| it.id = id);
        packets[2] = abort;
        let row = &rows(&packets, "reset")[0];
        assert_eq!(row["receiver_state"], "SYN-RECEIVED", "{row}");
        assert_eq!(
            (&row["errno"], &row["errno_condition"]),
            (&errno, &condition),
            "{row}"
        );
    }
}
