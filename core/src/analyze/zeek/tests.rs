//! Tests of connections written as scripts, with Zeek's expected output, and of arbitrary packets, which must not
//! panic.

use std::hint::black_box;
use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::packet::SeqNum;

const WEB: [u16; 2] = [40_000, 80];
const HIGH: [u16; 2] = [40_000, 50_000];
/// Ports of which both are in `likely_server_ports`.
const IRC_WEB: [u16; 2] = [6_669, 80];

/// Initial sequence numbers that each script runs with, including ones that wrap around.
const ISNS: [[u32; 2]; 3] = [[1_000, 5_000], [u32::MAX - 50, u32::MAX], [0, 1 << 31]];

/// Interpreter of scripts. The word `cSA:100@1=201!` is a packet of the client with SYN and ACK, 100 bytes of payload,
/// the sequence number 1, the acknowledgment number 201 and the window 0. Omitted values follow from earlier packets.
struct Script {
    isn: [u32; 2],
    /// Next sequence number of each end, relative to its initial number.
    next: [u32; 2],
    now: i64,
}

impl Script {
    fn new(isn: [u32; 2]) -> Self {
        let (next, now) = ([1, 1], 1_700_000_000 * SECOND);
        Self { isn, next, now }
    }

    /// Returns the packet of a word and its sender. `None` for other words: `c~100` means 100 bytes that are not
    /// captured, `+8` a pause of eight seconds.
    fn packet(&mut self, word: &str) -> Option<(usize, Header)> {
        if let Some(seconds) = word.strip_prefix('+') {
            self.now += seconds.parse::<i64>().unwrap() * SECOND;
            return None;
        }
        let who = usize::from(word.starts_with('s'));
        if let Some(lost) = word[1..].strip_prefix('~') {
            self.next[who] += lost.parse::<u32>().unwrap();
            return None;
        }
        // Packets are 10 ms apart.
        self.now += SECOND / 100;
        let end = word.find([':', '@', '=', '!']).unwrap_or(word.len());
        let flags = Flags(word[1..end].bytes().map(flag).sum());
        // Each value extends from its mark to the next one.
        let number = |mark: char| {
            let (_, rest) = word.split_once(mark)?;
            let end = rest.find([':', '@', '=', '!']).unwrap_or(rest.len());
            Some(rest[..end].parse::<u32>().unwrap())
        };
        let implied = if flags.has(Flags::SYN) {
            0
        } else {
            self.next[who]
        };
        let seq = number('@').unwrap_or(implied);
        let header = Header {
            at: Timestamp(self.now),
            flags,
            window: u16::from(!word.contains('!')),
            seq: SeqNum(self.isn[who].wrapping_add(seq)),
            ack: SeqNum(self.isn[who ^ 1].wrapping_add(number('=').unwrap_or(self.next[who ^ 1]))),
            payload_len: number(':').unwrap_or(0),
            ..Header::default()
        };
        self.next[who] = self.next[who].max(seq.wrapping_add(header.seq_len()));
        Some((who, header))
    }
}

fn flag(letter: u8) -> u8 {
    match letter {
        b'S' => Flags::SYN.0,
        b'F' => Flags::FIN.0,
        b'R' => Flags::RST.0,
        b'A' => Flags::ACK.0,
        b'-' => 0,
        other => panic!("{}", char::from(other)),
    }
}

/// Returns the connections of a script in order, each with the sender of its first packet.
fn connections(ports: [u16; 2], isn: [u32; 2], script: &str) -> Vec<(usize, Zeek)> {
    let mut seen: Vec<(usize, Zeek)> = Vec::new();
    let mut state = Script::new(isn);
    for (who, header) in script
        .split(' ')
        .filter_map(|word| state.packet(word))
        .collect::<Vec<_>>()
    {
        let ip_len = 40 + header.payload_len;
        match seen.last_mut() {
            Some((first, zeek)) if !zeek.is_over_before(&header) => {
                zeek.take(who ^ *first, &header, ip_len);
            }
            _ => {
                let ports = [ports[who], ports[who ^ 1]];
                seen.push((who, Zeek::new(&header, ip_len, ports)));
            }
        }
    }
    seen
}

/// Returns the summary of a record, with pairs that begin with the originator.
fn summary(zeek: &Zeek) -> ZeekSummary {
    zeek.summary(zeek.originator())
}

/// Returns `history conn_state orig_bytes/resp_bytes orig_pkts/resp_pkts`, and `missed_bytes` if there are any.
fn line(zeek: &Zeek) -> String {
    let zeek = summary(zeek);
    let bytes = zeek
        .bytes()
        .map_or("-".to_owned(), |[orig, resp]| format!("{orig}/{resp}"));
    let [orig, resp] = zeek.packets();
    let missed = match zeek.missed_bytes() {
        0 => String::new(),
        missed => format!(" missed {missed}"),
    };
    let (history, state) = (zeek.history(), zeek.conn_state());
    format!("{history} {state} {bytes} {orig}/{resp}{missed}")
}

fn lines(ports: [u16; 2], isn: [u32; 2], script: &str) -> Vec<String> {
    connections(ports, isn, script)
        .iter()
        .map(|(_, zeek)| line(zeek))
        .collect()
}

fn one(ports: [u16; 2], script: &str) -> Zeek {
    let mut seen = connections(ports, ISNS[0], script);
    assert_eq!(seen.len(), 1, "{script}");
    seen.remove(0).1
}

/// Example: origin, ports, script, expected lines. The origin is `B`, a baseline of Zeek's tests, with its name; `L`, a
/// line of a `conn.log`; or `D`, derived from Zeek's source.
type Example = (
    &'static str,
    [u16; 2],
    &'static str,
    &'static [&'static str],
);

#[rustfmt::skip]
const EXAMPLES: &[Example] = &[
    ("1 B conn_state-RST-behavior", WEB, "cR", &["R OTH - 1/0"]),
    ("2 B conn_state-RST-behavior", WEB, "cS cR", &["SR RSTOS0 0/0 2/0"]),
    ("3 B conn_state-RST-behavior", WEB, "cS sA@7000=900 cR@900", &["SaR RSTOS0 0/0 2/1"]),
    ("4 B conn_state-RST-behavior", WEB, "cS sA@7000=900 cFA cR", &["SaFR OTH 898/0 3/1"]),
    ("5 B core.tcp.fin-rst-timeout", WEB, "cS sSA cA cA:10 sA sA:20 sA:20@1 cFA cR sFA sR",
        &["ShADadtFRfr SF 10/20 5/6"]),
    ("6 B core.tcp.missing-syn", WEB, "sSA cA cA:10 sA:20 cFA sA sFA", &["^hADdFaf SF 10/20 3/4"]),
    ("7 B core.tcp.flip-without-syn", IRC_WEB, "sSA cA cA:10 sA sA:20 cFA sFA", &["^hADadFf SF 10/20 3/4"]),
    ("8 B core.tcp.miss-end-data", WEB, "cS sSA cA cA:100 sA s~2902 sFA cA cFA",
        &["ShADafgF SF 100/2902 5/3 missed 2902"]),
    // The baseline has other numbers, because a snapshot length truncated all its payloads.
    ("9 B core.tcp.rxmit-history", WEB, "cS sSA cA cA:100 c~374 sA s~83 sA:100 cA sA:50@1 cRA",
        &["ShADaGdgtR RSTO 474/183 5/4 missed 457"]),
    ("10 B core.tcp.rxmit-history", WEB, "cA:463 sA:350 cA", &["DdA OTH 463/350 2/1"]),
    ("10 B core.tcp.rxmit-history", WEB, "sSA", &["^h OTH - 0/1"]),
    ("10 B core.tcp.rxmit-history", WEB, "cS sSA cA cA:10 sA sA:10", &["ShADad S1 10/10 3/3"]),
    ("11 B core.tcp.large-file-reassembly", WEB, "cS sSA cA sA:9000 cA sA:9000 sFA cFA cA@2=18002 sA",
        &["ShAdfFa SF 0/18000 5/5"]),
    ("12 L", WEB, "cS sSA cR", &["ShR RSTO 0/0 2/1"]),
    ("13 L", WEB, "cS sRA@4294962296 cS sRA@4294962296", &["Sr REJ 0/0 1/1", "Sr REJ 0/0 1/1"]),
    ("14 L", WEB, "cS +1 cS +2 cS +4 cS", &["S S0 0/0 3/0", "S S0 - 1/0"]),
    ("15 L, all checksums taken for good", WEB, "cS sR", &["Sr REJ 0/0 1/1"]),
    ("16 L", WEB, "cS sSA cA cA:10 cA:10@1 sA:20 sA:20@1 sR", &["ShADTdtr RSTR 10/20 4/4"]),
    ("17 D", WEB, "cS sSA cA cA:100 sA sA:200 cFA sFA cA", &["ShADadFf SF 100/200 5/4"]),
    ("17 D, never a pure ACK", WEB, "cS sSA cA cA:100 sA:200 cFA sFA cA", &["ShADdFf SF 100/200 5/3"]),
    ("18 D", WEB, "cS sSA cA sA:20 cA cA:10 sFA:50 cFA sA", &["ShAdDfFa SF 10/70 5/4"]),
    ("19 D", WEB, "cS sSA cA cA:10 sA:5 cRA", &["ShADdR RSTO 10/5 4/2"]),
    ("19 D", WEB, "cS sSA cA cA:10 sA:5 sFA cRA", &["ShADdfR RSTO 10/5 4/3"]),
    ("19 D", WEB, "cS sSA cA cFA sRA", &["ShAFr RSTR 0/0 3/2"]),
    ("20 D", WEB, "cS sSA cA cRA sRA", &["ShARr REJ 0/0 3/2"]),
    ("20 D", WEB, "cS sSA cA cA:10 cRA sRA", &["ShADRr RSTR 10/0 4/2"]),
    ("21 D", WEB, "cS sSA cA cFA sA:30", &["ShAFd S2 0/30 3/2"]),
    ("22 D", WEB, "cS cFA", &["SF SH 0/0 2/0"]),
    ("22 D, one direction", WEB, "cS cA cA:10 cFA", &["SADF SH 10/0 4/0"]),
    ("22 D, for longer", WEB, "cS cA cA:10 +6 cA:10 cFA", &["SAD S0 10/0 3/0", "DF SH 10/0 2/0"]),
    ("23 D", WEB, "cS cA cA:10 sA:20", &["SADd OTH 10/20 3/1"]),
    ("24 D", WEB, "cA:100 sA sA:50", &["Dad OTH 100/50 1/2"]),
    ("24 D", WEB, "sA:50 cA", &["^dA OTH 0/50 1/1"]),
    ("24 D", HIGH, "sA:50 cA", &["Da OTH 50/0 1/1"]),
    ("24 D", WEB, "cA:100 sFA cFA", &["DfF SF 100/0 2/1"]),
    ("25 D", WEB, "cFA", &["F SH - 1/0"]),
    ("25 D", WEB, "sFA", &["^f SHR - 0/1"]),
    ("25 D", WEB, "sR", &["^r RSTRH - 0/1"]),
    ("25 D", HIGH, "sR", &["R OTH - 1/0"]),
    ("26 D", WEB, "sSA sR", &["^hr RSTRH 0/0 0/2"]),
    ("26 D", WEB, "sSA sFA", &["^hf SHR 0/0 0/2"]),
    ("26 D", HIGH, "sSA", &["H OTH - 1/0"]),
    ("26 D", HIGH, "sSA cR", &["Hr REJ 0/0 1/1"]),
    ("26 D", WEB, "sSA cR", &["^hR RSTO 0/0 1/1"]),
    ("27 D", HIGH, "sSA cA cA:10 sA:10", &["^hADd OTH 10/10 2/2"]),
    ("27 D", HIGH, "sSA cA cA:10 sA:10 sFA cFA", &["^hADdfF SF 10/10 3/3"]),
    ("28 D", HIGH, "sSA cS cA cA:5", &["Hs^AD S1 5/0 3/1"]),
    ("29 D", WEB, "cS:50 sSA cA", &["SThA S1 50/0 2/1"]),
    ("30 D", WEB, "cSF sRA@4294962296", &["Qr RSTR 0/0 1/1"]),
    ("30 D", WEB, "cSR", &["Q OTH - 1/0"]),
    ("30 D", WEB, "cS sSA cA cFRA", &["ShAI RSTO 0/0 3/1"]),
    ("30 D, FIN scan", WEB, "cF sRA", &["Fr RSTR 0/0 1/1"]),
    ("30 D, ACK scan", WEB, "cA sR", &["Ar RSTRH 0/0 1/1"]),
    ("30 D, null scan", WEB, "c- sRA", &["r RSTRH 0/0 1/1"]),
    ("31 D", WEB, "cS sSA cA cA:10 cA:10@1 cA:10@1 cA:10@1 cA:10@1 cA:10@1 cA:10@1 cA:10@1 cA:10@1 cA:10@1 cA:10@1",
        &["ShADTT S1 10/0 13/1"]),
    ("31 D, out of order", WEB, "cS sSA cA cA:10@11 cA:10@1 sA", &["ShADTa S1 20/0 4/2"]),
    ("31 D, probed", WEB, "cS sSA cA cA:10 sA cA:1@10", &["ShADaT S1 10/0 4/2"]),
    ("32 D", WEB, "cS sSA cA cA:10 s~100 sA:10 cA", &["ShADdg S1 10/110 4/2 missed 100"]),
    ("32 D, a FIN", WEB, "cS sSA cA cA:10 sA:10 s~1 cA", &["ShADdg S1 10/11 4/2 missed 1"]),
    ("33 D", WEB, "cS sSA cA cA:10 sA!", &["ShADaw S1 10/0 3/2"]),
    ("34 D", WEB, "cS sSA cA cFA sFA cA +8 cR", &["ShAFf SF 0/0 4/2", "R OTH - 1/0"]),
    ("34 D", WEB, "cS sSA cA cFA sFA cA +1 cS sRA", &["ShAFf SF 0/0 4/2", "Sr REJ 0/0 1/1"]),
    ("34 D", WEB, "cS sSA cA cS@90000", &["ShA S1 0/0 2/1", "S S0 - 1/0"]),
    // Further cases of the rules.
    ("both at once: two connections", HIGH, "cS sS cSA sSA", &["S S0 - 1/0", "Sh S1 0/0 2/1"]),
    ("RSTs at different numbers", WEB, "cS sSA cA cFA sA:10 cR@2 sA:10 cR@3 cR@3", &["ShAFdRR RSTO 0/20 6/3"]),
    ("a second SYN+ACK after the end", WEB, "cS sSA cA cFA sFA sSA@9 sSA@9", &["ShAFfh SF 0/8 3/4"]),
    ("both a FIN and a FIN elsewhere", WEB, "cS sSA cA cFA cFA@1 sA cFA@9", &["ShAFaF S2 8/0 5/2"]),
    ("a SYN after what follows it", HIGH, "cA:10 cS", &["DS S0 0/0 2/0"]),
    ("holes and what waits between them", WEB, "cS sSA cA cA:10@11 cA:10@31 cA:10@21 cA:5@50 sA=60",
        &["ShADTaG S1 59/0 6/2 missed 24"]),
    ("a hole that is filled", WEB, "cS sSA cA cA:10@11 cA:10@31 cA:10@1 cA:10@21 sA=41", &["ShADTa S1 40/0 6/2"]),
    ("nobody acknowledges, more than 16 KiB wait", WEB, "cS sSA cA cA:9000@11 cA:9000@9011 sA=18011",
        &["ShADa S1 18010/0 4/2"]),
    ("nobody acknowledges, 16 KiB wait", WEB, "cS sSA cA cA:8192@11 cA:8192@8203 sA=16395",
        &["ShADaG S1 16394/0 4/2 missed 10"]),
    ("a SYN that is sent again after data", WEB, "cS cA:10 cS", &["SD S0 10/0 3/0"]),
    ("a SYN+ACK that begins anew", WEB, "cS cSA@9", &["S S0 0/0 2/0"]),
    ("SYN+ACK again", WEB, "cS sSA cA sSA cA:10 sA", &["ShADa S1 10/0 3/3"]),
    ("an RST from far away", WEB, "cS sSA cA cR@3000000", &["ShAR RSTO 0/0 3/1"]),
    ("an RST from not so far away", WEB, "cS sSA cA cR@1048577", &["ShAR RSTO 1048576/0 3/1"]),
    ("an RST from ahead", WEB, "cS sSA cA cR@1001", &["ShAR RSTO 1000/0 3/1"]),
    ("a FIN after more than 2 GiB that were missed", WEB, "cS sSA cA cFA@3000000000", &["ShAF S2 2999999999/0 3/1"]),
    ("a FIN from before, in the same place", WEB, "cS sSA cA cA:10 cFA@3000000000", &["ShADF S2 9/0 4/1"]),
    ("a FIN and then an RST", WEB, "cS sSA cA sFA sR", &["ShAfr RSTR 0/0 2/3"]),
    ("two SYN+ACKs", HIGH, "sSA cSA", &["Hh OTH 0/0 1/1"]),
    ("a SYN+ACK after data", HIGH, "cA:10 cSA", &["DH OTH 0/0 2/0"]),
    ("not what the SYN+ACK answered", HIGH, "sSA cS@9", &["H OTH - 1/0", "S S0 - 1/0"]),
    ("a FIN from far away", WEB, "cS sSA cA cFA@3000000", &["ShAF S2 2999999/0 3/1"]),
    ("a SYN+ACK begins anew what only an RST began", WEB, "cS sR@7 sSA@100 sA:10@101", &["Srhd REJ 0/0 1/3"]),
    ("but not what was established", WEB, "cS sSA cA sR sSA@9", &["ShArh RSTR 0/0 2/3"]),
    ("half a connection: its SYN+ACK again", WEB, "sSA sSA", &["^h OTH 0/0 0/2"]),
    ("and another", WEB, "sSA sSA@99", &["^h OTH - 0/1", "^h OTH - 0/1"]),
    ("and after its end", WEB, "sSA sFA sSA", &["^hf SHR 0/0 0/2", "^h OTH - 0/1"]),
    ("a gap of one byte", WEB, "cS sSA cA s~1 cA", &["ShAg S1 0/1 3/1 missed 1"]),
    ("none if it began before the capture", WEB, "cS sA@0 sSA cA s~1 cA", &["SahA S1 0/1 3/2"]),
    ("but one of two", WEB, "cS sA@0 sSA cA s~2 cA", &["SahAg S1 0/2 3/2 missed 2"]),
    ("no gap where an end is half known", WEB, "cA:10 sA s~100 cA", &["DaA OTH 10/100 2/1"]),
    ("zero windows, eleven of them", WEB, "cS sSA cA sA! sA! sA! sA! sA! sA! sA! sA! sA! sA! sA!", &["ShAaww S1 0/0 2/12"]),
    ("no window is missed by who has closed", WEB, "cS sSA cA cFA sA!", &["ShAFa S2 0/0 3/2"]),
    ("nor believed of who was reset", WEB, "cS sSA cA sR sA!", &["ShAra RSTR 0/0 2/3"]),
    ("but by who has not", WEB, "cS sSA cA sFA sA!", &["ShAfaw S3 0/0 2/3"]),
    ("an RST has no window", WEB, "cS sRA!", &["Sr REJ 0/0 1/1"]),
    ("RST of an originator that was seen to be closed", WEB, "cS sSA cA sFA cRA!", &["ShAfR RSTO 0/0 3/2"]),
    ("closed by the responder alone", WEB, "cS sSA cA sFA cA:5", &["ShAfD S3 5/0 3/2"]),
    ("data in an RST", WEB, "cS sSA cA sRA:20", &["ShArt RSTR 0/0 2/2"]),
];

#[test]
fn every_example_has_the_line_that_zeek_writes() {
    let mut wrong = Vec::new();
    for (source, ports, script, expected) in EXAMPLES {
        for isn in ISNS {
            let found = lines(*ports, isn, script);
            if found != *expected {
                wrong.push(format!(
                    "{source} {isn:?}: {script}\n  {expected:?}\n  {found:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_acknowledgment_of_0_far_away_is_ignored() {
    for (missed, is_believed) in [(1, true), (1 << 20, true), ((1 << 20) + 1, false)] {
        let script = format!("cS sSA cA s~{missed} cA");
        let expected = if is_believed {
            format!("ShAg S1 0/{missed} 3/1 missed {missed}")
        } else {
            "ShA S1 0/0 3/1".to_owned()
        };
        let isn = |after_0: u32| [1_000, after_0.wrapping_sub(missed + 1)];
        assert_eq!(lines(WEB, isn(0), &script), [expected]);
        let expected = format!("ShAg S1 0/{missed} 3/1 missed {missed}");
        assert_eq!(lines(WEB, isn(1), &script), [expected]);
    }
}

#[test]
fn the_originator_is_that_of_zeek() {
    for (ports, script, expected) in [
        (WEB, "cS", 0),
        (WEB, "cA", 0),
        (WEB, "sA", 1),
        (WEB, "sS", 0),
        (WEB, "sSA", 1),
        (HIGH, "sSA", 0),
        (HIGH, "sSA cA", 1),
        (HIGH, "sSA sA", 1),
        (HIGH, "sSA cS", 1),
        ([80, 80], "sA", 0),
        (IRC_WEB, "cA", 0),
        (IRC_WEB, "sA", 1),
        (IRC_WEB, "sSA", 0),
    ] {
        assert_eq!(one(ports, script).originator(), expected, "{script}");
    }
}

#[test]
fn a_connection_ends_when_its_timer_expires() {
    const SSH: [u16; 2] = [40_000, 22];
    const FROM_SSH: [u16; 2] = [22, 40_000];
    for (ports, script, seconds) in [
        (WEB, "cS", 5),
        (WEB, "cS +3 cS", 2),
        (HIGH, "sSA", 5),
        (WEB, "cS sA@7000=900", 5),
        (WEB, "cA:10 cS", 60),
        (WEB, "cS sSA", 300),
        (SSH, "cS sSA", 3600),
        (FROM_SSH, "cS sSA", 300),
        (SSH, "cA sA", 300),
        (WEB, "cA", 300),
        (WEB, "cS sR", 5),
        (WEB, "cS sSA cA cFA", 300),
        (WEB, "cS sSA cA cFA sFA", 5),
        (WEB, "cS sSA cA cFA sFA +3 cA", 2),
        (WEB, "cS cFA", 5),
        (WEB, "cS sSA cA sRA", 5),
        (WEB, "cS sSA cA sRA +3 cA +1 cA", 1),
        (WEB, "cS sSA cA cFA +9 cR", 5),
        // Reset while data is missing.
        (WEB, "cS sSA cA s~100 sRA", 300),
        (SSH, "sSA cA", 3600),
        (WEB, "cS sSA cA cFA sA:10 sFA", 5),
        (WEB, "cS sSA cA c~100 cFA sA sFA", 5),
        (WEB, "cS sSA cA sR@101 sA:100@1", 5),
        (WEB, "cS sSA cA sFA", 300),
        (WEB, "cS sSA cA s~100 sFA cA cFA", 5),
        (WEB, "cS sSA cA cFA s~100 sFA cA=1 cA", 5),
        // Zeek remembers that a close is deferred, but not whose.
        (WEB, "cS sSA cA s~100 sFA cFA=1 cA", 300),
        // The end closes before it has acknowledged all data, and acknowledges it afterwards.
        (WEB, "cS sSA cA sA:10 cFA=1 cA sFA", 5),
    ] {
        let zeek = one(ports, script);
        let left = seconds * SECOND - SECOND / 2..=seconds * SECOND;
        let last = Script::new(ISNS[0]).last(script);
        assert!(
            left.contains(&zeek.expires().since(last)),
            "{script}: {}",
            zeek.expires().since(last)
        );
        let next = |at| Header {
            at,
            ..Header::default()
        };
        let before = Timestamp(zeek.expires().0 - 1);
        assert!(!zeek.is_over_before(&next(before)), "{script}");
        assert!(zeek.is_over_before(&next(zeek.expires())), "{script}");
        assert!(!zeek.is_over_before(&next(Timestamp(0))), "{script}");
    }
}

impl Script {
    fn last(mut self, script: &str) -> Timestamp {
        for word in script.split(' ') {
            let _ = self.packet(word);
        }
        Timestamp(self.now)
    }
}

#[test]
fn its_duration_ends_when_both_ends_have_closed() {
    for (script, hundredths) in [
        ("cS", None),
        ("cS sSA cA", Some(2)),
        ("cS sSA cA cFA sFA cA", Some(4)),
        ("cS sSA cA cFA +1 cA", Some(104)),
        ("cS sSA cA sRA cA", Some(4)),
        ("cS sSA cA sA:10 cFA=1 sFA cA", Some(6)), // the client closes too late
    ] {
        let expected = hundredths.map(|it| it * SECOND / 100);
        assert_eq!(summary(&one(WEB, script)).duration(), expected, "{script}");
    }
    let began = Timestamp(1_700_000_000 * SECOND + SECOND / 100);
    assert_eq!(summary(&one(WEB, "cS sSA")).began(), began);
}

#[test]
fn a_clock_that_runs_backwards_leaves_no_duration() {
    let at = |at| Header {
        at: Timestamp(at),
        flags: Flags::SYN,
        ..Header::default()
    };
    let mut zeek = Zeek::new(&at(SECOND), 40, WEB);
    zeek.take(0, &at(0), 40);
    let zeek = summary(&zeek);
    assert_eq!(
        (zeek.duration(), zeek.bytes(), zeek.packets()),
        (None, None, [2, 0])
    );
}

#[test]
fn packets_are_counted_for_the_final_originator() {
    let zeek = summary(&one(HIGH, "sSA cA cA:10 sA"));
    assert_eq!((zeek.packets(), zeek.ip_bytes()), ([2, 2], [90, 80]));
}

#[test]
fn states_are_spelled_as_zeek_does() {
    let states = [
        (ConnState::S0, "S0"),
        (ConnState::S1, "S1"),
        (ConnState::SF, "SF"),
        (ConnState::Rej, "REJ"),
        (ConnState::S2, "S2"),
        (ConnState::S3, "S3"),
        (ConnState::Rsto, "RSTO"),
        (ConnState::Rstr, "RSTR"),
        (ConnState::Rstos0, "RSTOS0"),
        (ConnState::Rstrh, "RSTRH"),
        (ConnState::Sh, "SH"),
        (ConnState::Shr, "SHR"),
        (ConnState::Oth, "OTH"),
    ];
    for (state, name) in states {
        assert_eq!(state.to_string(), name);
        assert!(name.parse::<f64>().is_err());
    }
}

// Cost

#[test]
fn the_state_of_a_connection_is_small() {
    assert_eq!(size_of::<Zeek>(), 160);
    assert!(size_of::<Trouble>() <= 112);
}

/// Returns packets of a client that sends data, and of a server that acknowledges every other one.
fn transfer(rounds: u32) -> impl Iterator<Item = (usize, Header)> {
    (0..rounds).flat_map(|round| {
        let at = Timestamp(i64::from(round) * 1000);
        let data = |nth: u32| Header {
            at,
            flags: Flags::ACK,
            window: 1,
            seq: SeqNum(1_001).plus((2 * round + nth) * 1_000),
            ack: SeqNum(5_001),
            payload_len: 1_000,
            ..Header::default()
        };
        let ack = Header {
            seq: SeqNum(5_001),
            ack: data(1).seq_end(),
            payload_len: 0,
            ..data(1)
        };
        [(0, data(0)), (0, data(1)), (1, ack)]
    })
}

#[test]
fn the_fast_path_is_used_for_most_packets() {
    for (script, letters) in [("cS sSA cA", 2), ("cA sA", 1)] {
        let mut zeek = one(WEB, script);
        let mut long = 0;
        for (side, header) in transfer(1_000) {
            if !zeek.take_expected(side, &header) {
                zeek.take_any(side, &header);
                long += 1;
            }
        }
        assert_eq!(long, letters, "{script}"); // D, and a if it is news
        assert_eq!(zeek.sequence_space(), [2_000_000, 0]);
        assert!(zeek.trouble.is_none());
    }
}

#[test]
fn the_short_way_stays_open_where_nobody_acknowledges() {
    let mut zeek = one(WEB, "cA sA");
    let long = transfer(20_000)
        .filter(|(side, _)| *side == 0)
        .filter(|(side, header)| {
            let is_long = !zeek.take_expected(*side, header);
            if is_long {
                zeek.take_any(*side, header);
            }
            is_long
        })
        .count();
    assert_eq!(long, 2); // the first one, and the one with which it gives up
    assert!(zeek.ends[0].gave_up);
}

#[test]
fn filled_holes_are_forgotten() {
    let zeek = one(WEB, "cS sSA cA cA:10@11 cA:10@31 cA:10@1 cA:10@21 sA=41");
    assert!(zeek.ends.iter().all(|end| !end.has_hole));
    assert!(zeek.trouble.unwrap().is_empty());
}

#[test]
fn hostile_captures_fill_no_memory() {
    let mut zeek = one(WEB, "cS sSA cA cA:1 sA");
    for nth in 1..100_000 {
        let header = Header {
            flags: if nth % 2 == 0 { Flags::ACK } else { Flags::RST },
            seq: SeqNum(2_000 + 2 * nth),
            payload_len: 1,
            ..Header::default()
        };
        zeek.take(1, &header, 41);
        zeek.take(0, &header, 41);
        assert!(zeek.trouble.as_ref().unwrap().is_bounded());
        assert!(!zeek.ends[1].gave_up || !zeek.waits()[1]);
    }
    assert!(zeek.ends[1].gave_up);
    assert_eq!(zeek.history().len(), 268);
}

/// Measurement; run it with `cargo test --release --lib zeek -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and asserts nothing"]
fn what_a_packet_costs() {
    const PACKETS: u32 = 3_000; // few enough for the cache
    let packets: Vec<_> = transfer(PACKETS / 3).collect();
    let start = one(WEB, "cS sSA cA");
    let least_ns = |take: fn(&mut Zeek, usize, &Header)| {
        let round = |_| {
            let mut zeek = start.clone();
            let began = Instant::now();
            for (side, header) in black_box(&packets) {
                take(&mut zeek, *side, header);
            }
            black_box(&zeek);
            began.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS)
        };
        (0..1_000).map(round).fold(f64::INFINITY, f64::min)
    };
    let take = least_ns(|zeek, side, header| zeek.take(side, header, 1_040));
    let long = least_ns(Zeek::take_any);
    let both = least_ns(|zeek, side, header| {
        if !zeek.is_over_before(header) {
            zeek.take(side, header, 1_040);
        }
    });
    println!("take {take:.1} ns, the long way {long:.1} ns, is_over_before and take {both:.1} ns");
}

// Arbitrary packets

/// Generates packets much as TCP sends them, of which some are lost, duplicated, reordered or invalid.
fn likely() -> impl Strategy<Value = Vec<(usize, Header)>> {
    let flags = select(vec![0x10; 24]);
    let flags =
        prop_oneof![8 => flags, 1 => select(vec![0x02, 0x12, 0x11, 0x14, 0x04]), 1 => 0..32_u8];
    let jump = prop_oneof![12 => Just(0_i32), 1 => -300..300, 1 => any::<i32>()];
    let packet = (
        0..2_usize,
        flags,
        jump.clone(),
        jump,
        select(vec![0, 0, 0, 100, 100, 1_000]),
        0..20_u16,
        0..60_i64,
    );
    let isns = prop_oneof![
        Just([0, 0]),
        Just([u32::MAX - 500, 1 << 31]),
        any::<[u32; 2]>()
    ];
    (isns, any::<bool>(), prop::collection::vec(packet, 1..60)).prop_map(
        |(isn, shakes_hands, packets)| {
            let mut script = Script::new(isn);
            let mut all = Vec::new();
            if shakes_hands {
                all.extend(["cS", "sSA", "cA"].map(|word| script.packet(word).unwrap()));
            }
            for (side, flags, seq_jump, ack_jump, payload_len, window, tenths) in packets {
                script.now += tenths * tenths * SECOND / 1_000;
                let seq = script.next[side].wrapping_add_signed(seq_jump);
                let header = Header {
                    at: Timestamp(script.now),
                    flags: Flags(flags),
                    window,
                    seq: SeqNum(isn[side].wrapping_add(seq)),
                    ack: SeqNum(
                        isn[side ^ 1]
                            .wrapping_add(script.next[side ^ 1])
                            .wrapping_add_signed(ack_jump),
                    ),
                    payload_len,
                    ..Header::default()
                };
                script.next[side] = seq.wrapping_add(header.seq_len());
                all.push((side, header));
            }
            all
        },
    )
}

/// Generates random packets.
fn any_packets() -> impl Strategy<Value = Vec<(usize, Header)>> {
    let number = prop_oneof![any::<u32>(), 0..300_u32, u32::MAX - 300..=u32::MAX];
    let len = prop_oneof![4 => 0..300_u32, 1 => any::<u32>()];
    let packet = (
        0..2_usize,
        any::<i64>(),
        any::<u8>(),
        number.clone(),
        number,
        len,
    );
    let packet = packet.prop_map(|(side, at, flags, seq, ack, payload_len)| {
        let header = Header {
            at: Timestamp(at),
            flags: Flags(flags),
            window: u16::from(at % 8 != 0),
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            payload_len,
            ..Header::default()
        };
        (side, header)
    });
    prop::collection::vec(packet, 1..60)
}

proptest! {
    #[test]
    fn the_fast_path_gives_the_same_result_as_the_slow_one(
        packets in prop_oneof![4 => likely(), 1 => any_packets()],
        ports in select(vec![WEB, HIGH, IRC_WEB, [22, 80]]),
    ) {
        let mut zeek: Option<Zeek> = None;
        for (side, header) in packets {
            if let Some(zeek) = &zeek {
                let later = Header { flags: Flags::ACK, ..header };
                prop_assert_eq!(zeek.is_over_before(&later), header.at >= zeek.expires());
            }
            let Some(before) = zeek.take().filter(|zeek| !zeek.is_over_before(&header)) else {
                zeek = Some(Zeek::new(&header, 40, ports));
                continue;
            };
            let (mut long, mut short) = (before.clone(), before.clone());
            long.take_any(side, &header);
            if short.take_expected(side, &header) {
                prop_assert_eq!(&short, &long);
            } else {
                prop_assert_eq!(&short, &before);
            }
            let mut both = before;
            both.take(side, &header, 40);
            prop_assert!(both.trouble.as_ref().is_none_or(|trouble| trouble.is_bounded()));
            prop_assert_eq!(both.history(), long.history());
            prop_assert_eq!(both.conn_state(), long.conn_state());
            prop_assert!(both.expires() <= later(both.last_time, INTERACTIVE_TIMEOUT));
            prop_assert_eq!(both.ends.each_ref().map(|end| end.has_hole), both.waits());
            zeek = Some(both);
        }
    }

    /// Only relative sequence numbers affect the result.
    #[test]
    fn where_its_numbers_start_does_not_matter(isn in any::<[u32; 2]>(), nth in 0..EXAMPLES.len()) {
        prop_assume!(isn[0] != isn[1]); // two SYNs may then be one
        let (_, ports, script, expected) = EXAMPLES[nth];
        prop_assert_eq!(lines(ports, isn, script), expected);
    }
}

impl Zeek {
    /// Returns true for each side that has waiting data.
    fn waits(&self) -> [bool; 2] {
        self.trouble
            .as_ref()
            .map_or([false; 2], |trouble| trouble.waits())
    }
}
