//! Lines about a capture that was printed as text.

use std::fmt::Write as _;

use super::in_digits;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::printable::printable;

/// Maximum number of names, and of protocols, that are listed.
const MAX_LISTED: usize = 8;

/// Returns lines about the text, and what it lacks; empty for a capture.
pub(in crate::cli::analyze) fn about(files: &FileNames) -> String {
    let Some(facts) = files.text() else {
        return String::new();
    };
    let mut text = format!("  {}\n", facts.sentence());
    if facts.name_count > 0 {
        let shown = facts.names.iter().take(MAX_LISTED);
        let shown = shown.map(|(name, number)| format!("{} is {number}", printable(name)));
        let mut shown: Vec<String> = shown.collect();
        let more = facts.name_count - shown.len();
        if more > 0 {
            shown.push(format!("and {} more", in_digits(more as u64)));
        }
        let _ = writeln!(
            text,
            "  names are shown as numbers that stand for them: {}",
            shown.join(", ")
        );
    }
    if !facts.others.is_empty() {
        let mut others: Vec<_> = facts.others.iter().collect();
        others.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
        let mut shown: Vec<String> = (others.iter().take(MAX_LISTED))
            .map(|(name, count)| format!("{} {}", printable(name), in_digits(**count)))
            .collect();
        let rest: u64 = others
            .iter()
            .skip(MAX_LISTED)
            .map(|(_, count)| **count)
            .sum();
        if rest > 0 {
            shown.push(format!("others {}", in_digits(rest)));
        }
        let _ = writeln!(
            text,
            "  packets of other protocols, not read: {}",
            shown.join(", ")
        );
    }
    let mut count = |number: u64, one: &str, more: &str| {
        if number > 0 {
            let what = if number == 1 { one } else { more };
            let _ = writeln!(text, "  {} {what}", in_digits(number));
        }
    };
    count(
        facts.cut,
        "line of a TCP segment is cut or damaged, and was not read",
        "lines of TCP segments are cut or damaged, and were not read",
    );
    count(
        facts.too_many,
        "TCP segment was not read: there are too many names or connections in the text",
        "TCP segments were not read: there are too many names or connections in the text",
    );
    count(
        facts.unassigned_errors,
        "ICMP error was not read: the text does not show which connection it is about",
        "ICMP errors were not read: the text does not show which connections they are about",
    );
    text
}
