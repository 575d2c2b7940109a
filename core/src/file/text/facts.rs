//! Facts about a text: what it is, and what it lacks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::names::Names;
use super::time::TextClock;

/// Maximum number of protocols that are counted one by one, and of names that are listed.
const MAX_LISTED: usize = 32;

/// Facts about a text, as far as it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFacts {
    /// True if lines of tcpdump were read.
    pub is_of_tcpdump: bool,
    /// True if lines of tshark or Wireshark were read.
    pub is_of_wireshark: bool,
    /// Meaning of the times.
    pub clock: TextClock,
    /// Number of packets in the text.
    pub packets: u64,
    /// Number of TCP segments and ICMP errors that were read.
    pub read: u64,
    /// Number of packets of any protocol that a hex dump holds.
    pub dumped: u64,
    /// Number of TCP segments and ICMP errors that were read from their lines alone, without a hex dump.
    pub bare: u64,
    /// Number of those whose IP header is printed.
    pub with_ip_header: u64,
    /// Number of packets of other protocols, by their names.
    pub others: BTreeMap<String, u64>,
    /// Number of segments whose line is cut or damaged.
    pub cut: u64,
    /// Number of segments that were not read because there are too many names or connections.
    pub too_many: u64,
    /// Number of ICMP errors whose segment the text does not show.
    pub unassigned_errors: u64,
    /// Number of lines that belong to no packet.
    pub other_lines: u64,
    /// Names in the text, with the numbers that stand for them in the output, and the number of names.
    pub names: Vec<(String, String)>,
    /// Number of names.
    pub name_count: usize,
    /// Number of frames that stand for packets missing in the text.
    pub padding: u64,
}

impl Default for TextFacts {
    fn default() -> Self {
        Self {
            is_of_tcpdump: false,
            is_of_wireshark: false,
            clock: TextClock::None,
            packets: 0,
            read: 0,
            dumped: 0,
            bare: 0,
            with_ip_header: 0,
            others: BTreeMap::new(),
            cut: 0,
            too_many: 0,
            unassigned_errors: 0,
            other_lines: 0,
            names: Vec::new(),
            name_count: 0,
            padding: 0,
        }
    }
}

impl TextFacts {
    /// Returns the name of the program that printed the text.
    #[must_use]
    pub fn tool(&self) -> &'static str {
        match (self.is_of_tcpdump, self.is_of_wireshark) {
            (true, true) => "tcpdump and tshark",
            (false, true) => "tshark",
            _ => "tcpdump",
        }
    }

    /// Returns true if all packets are known byte for byte, from hex dumps, so that they can be written to a capture.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.packets > 0 && self.dumped == self.packets && self.clock != TextClock::None
    }

    /// Returns the properties of packets that the text does not have.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let without_dump = self.bare > 0;
        let has_headers = self.with_ip_header == self.bare;
        if without_dump && !has_headers {
            missing.extend(["TTL", "IP ID"]);
        }
        if without_dump {
            missing.push("payload");
        }
        match self.clock {
            TextClock::Absolute => {}
            TextClock::Local => missing.push("time zone"),
            TextClock::TimeOfDay => missing.push("date"),
            TextClock::Relative => missing.push("time of day"),
            TextClock::None => missing.push("times"),
        }
        missing
    }

    /// Returns a sentence about what the text lacks and what this means.
    #[must_use]
    pub fn sentence(&self) -> String {
        let tool = self.tool();
        let missing = match &self.missing()[..] {
            [] => return format!("text output of {tool}, with all packets as hex dumps"),
            [only] => format!("no {only}"),
            [first @ .., last] => format!("no {} or {last}", first.join(", ")),
        };
        let without_dump = self.bare > 0;
        let has_headers = self.with_ip_header == self.bare;
        let save = "save a capture with `tcpdump -w`";
        match (without_dump, has_headers) {
            (false, _) => format!("text output of {tool} with hex dumps: {missing}"),
            (true, true) => format!("text output of {tool}: {missing}; to see more, {save}"),
            (true, false) => format!(
                "text output of {tool}: {missing}, so hardly anything shows who really sent an RST; {save}"
            ),
        }
    }
}

/// Facts about a text that is being read, shared with whoever prints them.
#[derive(Debug, Default)]
pub struct TextNotes(Mutex<TextFacts>);

impl TextNotes {
    /// Returns the facts so far.
    #[must_use]
    pub fn facts(&self) -> TextFacts {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the meaning of the times.
    #[must_use]
    pub fn clock(&self) -> TextClock {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clock
    }

    /// Changes the facts.
    pub(super) fn change(&self, change: impl FnOnce(&mut TextFacts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl TextFacts {
    /// Counts a packet of another protocol.
    pub(super) fn count_other(&mut self, name: String) {
        let is_listed = self.others.len() < MAX_LISTED || self.others.contains_key(&name);
        let name = if is_listed { name } else { "others".to_owned() };
        *self.others.entry(name).or_default() += 1;
    }

    /// Takes in the names, of which the first are listed.
    pub(super) fn take_names(&mut self, names: &Names) {
        self.name_count = names.len();
        if names.len() <= MAX_LISTED {
            self.names = names.all();
        }
    }
}
