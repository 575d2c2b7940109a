//! Stories: what each scenario must lead to, derived by hand. There is one for each scenario, in the file of its topic.
//!
//! Sources: RFC 9293 (numbers: SYN and FIN take up one each, 3.4; handshake: figure 6; reset generation: 3.10.7.1), RFC
//! 2525 2.17 (close with data unread), and measurements of Linux: an active abort is RST+ACK at SND.NXT with a real
//! window and the negotiated options; the reply to a segment with ACK is RST alone at SEG.ACK, and to a segment without
//! ACK it is RST+ACK with SEQ 0, both with window 0 and no options.
//!
//! Calls are written as strace shows them, segments as packetdrill does:
//!
//! ```text
//! client write(2) = 2                  a call and its result; `= ?` if it did not return
//!   > P. 1:3(2) ack 1 win 512 ts       a segment from the client, captured while that call ran
//!   < . 1:1(0) ack 3 win 512 ts        a segment from the server
//!   < icmp 3/3 about >                 an ICMP error quoting the client's SYN
//!   < icmp 3/3,1/4 about > 1           with this type and code over IPv4 and IPv6, quoting sequence number 1
//! ```
//!
//! `connected` expands to the handshake and both ends' calls, `handshake` to the same without `accept`. A `blocked`
//! call returns at the line `end client` or `end server`, which ends the blocked call of that end.
//!
//! `a:b(len)` and `ack` are relative to the initial sequence number of the side that counts them; `=0:0(0)` is the
//! number on the wire. `ts` is the timestamps option, `sack a:b` a block, `win` the window field.
//!
//! Behind a semicolon are expectations that only a real trial can fulfil:
//!
//! ```text
//!   < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
//! client read(1) = ECONNRESET ; RST 1
//! ```
//!
//! An RST has its form (`active`, `passive` in reply to a segment with ACK, `passive-ack` in reply to one without), its
//! sender and the kernel's reason (`socket` or `kernel`; alone: `firewall`, `forged`), and the state of its receiver.
//! `not accepted` marks one without effect, `numbers vary` and `frame varies` what depends on buffers and timers, and
//! `frame 8` the frame if the story leaves out a segment before. `RST 1` marks the call that reports the first RST.
//!
//! The first line may be `[lab, slow, IPv4 only]`: the scenario needs more than sockets, waits for a timer of a second
//! or more, runs over one family. A story that begins with `...` has only the calls that fail, without arguments, and
//! the RSTs. A scenario that needs only sockets has a whole story.

#![allow(dead_code)] // each test file uses a part
#![allow(clippy::unwrap_used)] // the lint's exception for tests does not reach functions that tests share

mod abort;
mod blind;
mod close;
mod connect;
mod firewall;
mod half_open;
mod listener;
mod unreachable;

/// Topics in the order of the catalogue, each with its stories.
const TOPICS: [(&str, &[(&str, &str)]); 8] = [
    ("connect", connect::STORIES),
    ("listener", listener::STORIES),
    ("abort", abort::STORIES),
    ("close", close::STORIES),
    ("unreachable", unreachable::STORIES),
    ("firewall", firewall::STORIES),
    ("half-open", half_open::STORIES),
    ("blind", blind::STORIES),
];

/// Handshake of RFC 9293, figure 6, with the windows of Linux on loopback.
const HANDSHAKE: [&str; 4] = [
    "client connect() = 0",
    "> S 0:0(0) win 65495 ts",
    "< S. 0:0(0) ack 1 win 65483 ts",
    "> . 1:1(0) ack 1 win 512 ts",
];

/// Story of one scenario.
#[derive(Clone, Copy)]
pub(crate) struct WrittenStory {
    pub(crate) topic: &'static str,
    pub(crate) id: &'static str,
    text: &'static str,
}

/// Call of a story.
pub(crate) struct WrittenCall {
    /// End and call, such as `client read(1)`; `client read` in a story that is not whole.
    pub(crate) made: String,
    pub(crate) result: String,
    /// Index of the RST that the call reports.
    pub(crate) reset: Option<usize>,
}

/// RST of a story. A field is `None` if the story does not state it.
#[derive(Default)]
pub(crate) struct WrittenReset {
    pub(crate) from: &'static str,
    /// Frame number, `None` if it varies.
    pub(crate) frame: Option<usize>,
    /// Flags, sequence number and acknowledgment number in a whole story. A number is `None` if there is none, or if
    /// it is relative to an initial number that was not on the wire.
    pub(crate) segment: Option<(String, Option<i64>, Option<i64>)>,
    pub(crate) numbers_vary: bool,
    pub(crate) form: Option<String>,
    pub(crate) sender: Option<String>,
    /// Reason of the kernel that sent it; `None` if no kernel did.
    pub(crate) reason: Option<String>,
    pub(crate) is_not_accepted: bool,
    pub(crate) receiver_state: Option<String>,
}

/// Returns all stories in the order of the catalogue.
pub(crate) fn all() -> impl Iterator<Item = WrittenStory> {
    TOPICS.into_iter().flat_map(|(topic, stories)| {
        let stories = stories.iter();
        stories.map(move |&(id, text)| WrittenStory { topic, id, text })
    })
}

/// Splits a text into lines with single spaces, without empty lines, and expands `connected` and `handshake`.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .flat_map(|line| match &*line {
            "handshake" => HANDSHAKE.map(str::to_owned).to_vec(),
            "connected" => [&HANDSHAKE[..], &["server accept() = 0"]]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            _ => vec![line],
        })
        .collect()
}

/// Splits a line into its evidence and its expectations.
fn parts(line: &str) -> (&str, &str) {
    line.split_once(" ; ").unwrap_or((line, ""))
}

fn is_segment(line: &str) -> bool {
    line.starts_with(['>', '<'])
}

impl WrittenStory {
    /// Returns true if this is in the brackets of the first line.
    fn is(self, property: &str) -> bool {
        let lines = lines(self.text);
        let first = lines.first().and_then(|line| line.strip_prefix('['));
        let properties = first.and_then(|line| line.strip_suffix(']'));
        properties.is_some_and(|it| it.split(", ").any(|it| it == property))
    }

    pub(crate) fn is_slow(self) -> bool {
        self.is("slow")
    }

    pub(crate) fn needs_lab(self) -> bool {
        self.is("lab")
    }

    /// Returns true if the story has every call and segment.
    pub(crate) fn is_whole(self) -> bool {
        !lines(self.text).iter().any(|line| line == "...")
    }

    /// Returns the names of the address families that the scenario runs over.
    pub(crate) fn families(self) -> impl Iterator<Item = &'static str> {
        let only = [("ipv4", "IPv6 only"), ("ipv6", "IPv4 only")].into_iter();
        only.filter(move |(_, other)| !self.is(other))
            .map(|(family, _)| family)
    }

    /// Returns the lines with their expectations, without brackets and ellipsis.
    fn annotated(self) -> impl Iterator<Item = String> {
        let lines = lines(self.text).into_iter();
        lines.filter(|line| !line.starts_with('[') && line != "...")
    }

    /// Returns the lines of the evidence.
    pub(crate) fn evidence(self) -> Vec<String> {
        let lines = self.annotated();
        lines.map(|line| parts(&line).0.to_owned()).collect()
    }

    /// Returns the calls in the order in which they begin.
    pub(crate) fn calls(self) -> Vec<WrittenCall> {
        let lines = self.annotated();
        let calls = lines.filter(|line| !is_segment(line) && !line.starts_with("end "));
        calls
            .map(|line| {
                let (call, reported) = parts(&line);
                let (made, result) = call
                    .strip_prefix("blocked ")
                    .unwrap_or(call)
                    .split_once(" = ")
                    .unwrap_or_else(|| panic!("{}: {line}?", self.id));
                let number = reported.strip_prefix("RST ");
                WrittenCall {
                    made: made.to_owned(),
                    result: result.to_owned(),
                    reset: number.map(|number| number.parse::<usize>().unwrap() - 1),
                }
            })
            .collect()
    }

    /// Returns the RSTs in the order in which they are captured.
    pub(crate) fn resets(self) -> Vec<WrittenReset> {
        let segments = self.annotated().filter(|line| is_segment(line));
        let mut syns = Vec::new();
        let mut resets = Vec::new();
        for (line, frame) in segments.zip(1..) {
            let (segment, expectations) = parts(&line);
            let words: Vec<&str> = segment.split(' ').collect();
            if words[1].starts_with('S') {
                syns.push(words[0].to_owned());
            }
            if !words[1].starts_with('R') {
                continue;
            }
            let from = if words[0] == ">" { "client" } else { "server" };
            let peer = if words[0] == ">" { "<" } else { ">" };
            let mut reset = WrittenReset {
                from,
                frame: Some(frame),
                ..WrittenReset::default()
            };
            if let [_, flags, range, rest @ ..] = &words[..] {
                // The first number of `a:b(len)`, which is no relative one after `=`.
                let known = |side: &str| syns.iter().any(|it| it == side);
                let first = range.split(':').next().unwrap();
                let seq = first.parse().ok().filter(|_| known(words[0]));
                let ack = rest.iter().position(|word| *word == "ack");
                let ack = ack.and_then(|at| rest[at + 1].parse().ok());
                reset.segment = Some(((*flags).to_owned(), seq, ack.filter(|_| known(peer))));
            }
            for expectation in expectations.split(", ").filter(|it| !it.is_empty()) {
                reset.expect(expectation, self.id);
            }
            resets.push(reset);
        }
        resets
    }
}

impl WrittenReset {
    fn expect(&mut self, expectation: &str, id: &str) {
        match expectation.split_once(' ') {
            None if expectation == "firewall" => self.sender = Some("firewall".to_owned()),
            None if expectation == "forged" => self.sender = Some("injected".to_owned()),
            None => self.form = Some(expectation.to_owned()),
            Some(("not", "accepted")) => self.is_not_accepted = true,
            Some(("numbers", "vary")) => self.numbers_vary = true,
            Some(("frame", "varies")) => self.frame = None,
            Some(("frame", number)) => self.frame = Some(number.parse().unwrap()),
            Some(("to", state)) => self.receiver_state = Some(state.to_owned()),
            Some((sender @ ("socket" | "kernel"), reason)) => {
                self.sender = Some(sender.to_owned());
                self.reason = Some(reason.to_owned());
            }
            Some(_) => panic!("{id}: {expectation}?"),
        }
    }
}
