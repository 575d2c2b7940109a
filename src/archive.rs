//! Evidence in files: what `run -w` leaves behind, and what `check` judges again on any machine.
//!
//! A trial is two files of one stem: its capture, `<stem>.pcapng`, and `<stem>.json`, a document of schema 1 that holds
//! this one trial. `report.json` holds all trials of a run. Two hashes tie them together: the section header of the
//! capture has a comment with the SHA-256 of the [transcript](transcript_sha256), and the trial has that of its
//! capture file, as `sha256sum` prints it. So neither can be changed, cut or swapped without the other telling. The
//! hashes are no signature: whoever makes both files anew can make them say anything that the judge finds consistent.

mod comments;
pub mod load;
pub mod save;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::evidence::Evidence;
use crate::scenario::Family;

/// What the document about a run is called.
pub const REPORT: &str = "report.json";

/// What a capture's comment with the hash of the transcript begins with.
const TRANSCRIPT: &str = "transcript SHA-256 ";

/// What a trial's files are called, without what they end with; `run` if it was repeated.
#[must_use]
pub fn stem(scenario: &str, family: Family, run: Option<u32>) -> String {
    let run = run.map_or_else(String::new, |run| format!(".{run}"));
    format!("{scenario}.{}{run}", family.name())
}

/// SHA-256 of what the sockets said, in hexadecimal digits.
///
/// Of this text, in lines: `scenario family run`, `began` and its nanoseconds since the epoch, both addresses, how far
/// the capture is complete, and for each call `role call(arguments) began ended = outcome`, its times in nanoseconds
/// since the trial's beginning.
#[must_use]
pub fn transcript_sha256(scenario: &str, family: Family, run: u32, evidence: &Evidence) -> String {
    let began = evidence.began;
    let mut text = format!(
        "{scenario} {} {run}\nbegan {}\nclient {}\nserver {}\n",
        family.name(),
        began.0,
        evidence.client,
        evidence.server
    );
    let completeness = evidence.completeness;
    let _ = write!(
        text,
        "fence {} dropped {} unfiltered {} stepped {}",
        completeness.fence_seen,
        completeness.dropped,
        completeness.filter_lets_all_through,
        completeness.clock_step_ns
    );
    if let Some(fence) = completeness.fence {
        let _ = write!(text, " from {} mark {:016x}", fence.from, fence.mark.0);
    }
    for call in &evidence.calls {
        let (began, ended) = (call.began.since(began), call.ended.since(began));
        let (role, op, outcome) = (call.role, call.op, call.outcome);
        let _ = write!(text, "\n{role} {op} {began} {ended} = {outcome}");
    }
    sha256(text.as_bytes())
}

/// SHA-256 of these bytes, in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_what_fips_180_4_says() {
        // The examples of FIPS 180-4 for one block and for none.
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            sha256(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn a_stem_names_scenario_family_and_run() {
        assert_eq!(stem("a-b", Family::Ipv4, None), "a-b.ipv4");
        assert_eq!(stem("a-b", Family::Ipv6, Some(7)), "a-b.ipv6.7");
    }
}
