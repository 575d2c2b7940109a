//! The form for people: a ladder for one trial, a line each for many, and a summary.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::TrialReport;
use crate::scenario::{Family, Scenario};
use crate::verdict::Verdict;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const UNSURE: Style = AnsiColor::Yellow.on_default();
pub(crate) const LABEL: Style = Style::new().bold();

pub(super) fn verdict_style(verdict: Option<Verdict>) -> Style {
    match verdict {
        Some(Verdict::Confirmed) => GOOD,
        Some(Verdict::Refuted) => BAD,
        Some(Verdict::Inconclusive) | None => UNSURE,
    }
}

/// Lines of at most `width` columns. Ids and addresses are not cut at their hyphens.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<Cow<'_, str>> {
    let options = textwrap::Options::new(width)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(text, options)
}

/// Text in one line that is what it looks like: what came from a file, a file name or another program may hold anything.
pub(crate) fn printable(text: &str) -> String {
    spelled_out(text, misleads)
}

/// Text with these letters spelled out.
pub(super) fn spelled_out(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut spelled = String::with_capacity(text.len());
    for letter in text.chars() {
        if which(letter) {
            spelled.extend(letter.escape_default());
        } else {
            spelled.push(letter);
        }
    }
    spelled
}

/// Whether a terminal would obey this letter, or turn what stands beside it round (Unicode's bidirectional controls).
pub(super) fn misleads(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many trials ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // a count of each
pub struct Tally {
    pub confirmed: u64,
    pub refuted: u64,
    pub inconclusive: u64,
    pub skipped: u64,
}

impl Tally {
    /// Counts one more.
    pub fn count(&mut self, verdict: Option<Verdict>) {
        match verdict {
            Some(Verdict::Confirmed) => self.confirmed += 1,
            Some(Verdict::Refuted) => self.refuted += 1,
            Some(Verdict::Inconclusive) => self.inconclusive += 1,
            None => self.skipped += 1,
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.confirmed + self.refuted + self.inconclusive + self.skipped
    }

    /// The worst of them; `None` if all were skipped.
    #[must_use]
    pub fn worst(&self) -> Option<Verdict> {
        if self.refuted > 0 {
            Some(Verdict::Refuted)
        } else if self.inconclusive > 0 {
            Some(Verdict::Inconclusive)
        } else if self.confirmed > 0 {
            Some(Verdict::Confirmed)
        } else {
            None
        }
    }

    /// `16 confirmed, 1 refuted`, with styles.
    fn words(&self) -> String {
        let counts = [
            (self.confirmed, "confirmed", GOOD),
            (self.refuted, "refuted", BAD),
            (self.inconclusive, "inconclusive", UNSURE),
            (self.skipped, "skipped", UNSURE),
        ];
        let words: Vec<String> = counts
            .iter()
            .filter(|(count, _, _)| *count > 0)
            .map(|(count, word, style)| format!("{style}{count} {word}{style:#}"))
            .collect();
        words.join(", ")
    }
}

/// Findings of one trial that people are shown; machines get all of them.
pub(super) const MOST_FINDINGS: usize = 20;

/// What is said instead of the others.
pub(super) fn more_findings(trial: &TrialReport) -> Option<String> {
    let more = trial.findings.len().checked_sub(MOST_FINDINGS)?;
    (more > 0).then(|| format!("and {more} more findings; --format json has them all"))
}

/// Columns before what a line says of its trials.
const WHAT: usize = 50;

/// A line for the trials of one scenario over one family, and under it what went wrong in those that are shown.
#[must_use]
pub fn line(scenario: &Scenario, family: Family, tally: &Tally, shown: &[TrialReport]) -> String {
    let style = verdict_style(tally.worst());
    let word = tally.worst().map_or("skipped", Verdict::name);
    let what = if tally.total() == 1 {
        shown.first().map_or_else(String::new, in_a_few_words)
    } else {
        tally.words()
    };
    let mut out = format!(
        "{style}{word:<12}{style:#}  {:<28}  {}  {}\n",
        scenario.id,
        family.name(),
        wrap(&what, 80 - WHAT).join(&format!("\n{:WHAT$}", ""))
    );
    for trial in shown {
        let run = if tally.total() == 1 {
            String::new()
        } else {
            format!("run {}: ", trial.run)
        };
        let findings = trial.findings.iter().take(MOST_FINDINGS);
        let mut texts: Vec<String> = findings
            .chain(&trial.gap)
            .map(|remark| format!("{run}{} [{}]", remark.message, remark.id))
            .collect();
        texts.extend(more_findings(trial));
        if let Some(source) = trial.evidence.as_ref().filter(|_| !texts.is_empty()) {
            texts.insert(0, format!("{}:", source.file));
            let recorded = source.disagreement(trial.verdict);
            texts.extend(recorded.map(|recorded| format!("recorded {recorded}")));
        }
        for text in texts {
            for line in wrap(&text, 74) {
                let _ = writeln!(out, "      {line}");
            }
        }
    }
    out
}

/// What a single trial showed, for the end of its line.
fn in_a_few_words(trial: &TrialReport) -> String {
    if let Some(why) = &trial.skipped {
        // The details are for the ladder and for machines.
        return why.split(':').next().unwrap_or(why).to_owned();
    }
    if trial.calls.is_empty() {
        return String::new(); // a capture that nothing speaks of
    }
    if let Some((reset, call)) = trial.proof() {
        return format!("{} {}, RST #{}", call.name(), call.result, reset.frame);
    }
    let error = trial
        .calls
        .iter()
        .find_map(|call| Some((call.name(), call.result.errno()?)));
    // A capture that is not complete is no witness to an absence.
    let no_reset = trial.resets.is_empty() && trial.gap.is_none();
    match error {
        Some((call, errno)) if no_reset => format!("{call} {errno}, no RST"),
        Some((call, errno)) => format!("{call} {errno}"),
        None if no_reset => "no error, no RST".to_owned(),
        None => "no error".to_owned(),
    }
}

/// The last line of a run over several trials.
#[must_use]
pub fn summary(tally: &Tally, elapsed: Duration) -> String {
    let total = tally.total();
    let plural = if total == 1 { "" } else { "s" };
    format!(
        "{total} trial{plural} in {:.2} s: {}\n",
        elapsed.as_secs_f64(),
        tally.words()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_mislead_is_spelled_out_and_nothing_else() {
        assert_eq!(
            printable("close-unread-data é 数 µs"),
            "close-unread-data é 数 µs"
        );
        assert_eq!(printable("a\nb\tc\r"), r"a\nb\tc\r");
        assert_eq!(printable("\u{1b}[2J\u{9b}"), r"\u{1b}[2J\u{9b}");
        assert_eq!(printable("\u{202e}x\u{2066}"), r"\u{202e}x\u{2066}");
    }
}
