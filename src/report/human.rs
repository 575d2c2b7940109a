//! Human format of trials: a line for each scenario and family, evidence sources, and a summary. A single trial is
//! shown by [`ladder`](super::ladder).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use rstproof_core::evidence::SourceId;
use rstproof_core::printable::printable;
use rstproof_core::report::{EvidenceSources, Remark, TrialReport};
use rstproof_core::scenario::{Family, Scenario};
use rstproof_core::verdict::Verdict;

/// Style of confirmed results and of facts that support the stated sender.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Style of refuted results, RSTs, errors and signs of injection.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Style of inconclusive and skipped results.
pub(crate) const UNSURE: Style = AnsiColor::Yellow.on_default();
/// Style of headings and labels.
pub(crate) const LABEL: Style = Style::new().bold();

pub(super) fn verdict_style(verdict: Option<Verdict>) -> Style {
    match verdict {
        Some(Verdict::Confirmed) => GOOD,
        Some(Verdict::Refuted) => BAD,
        Some(Verdict::Inconclusive) | None => UNSURE,
    }
}

/// Wraps text into lines of at most `width` columns. Ids and addresses are not broken at their hyphens.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<Cow<'_, str>> {
    let options = textwrap::Options::new(width)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(text, options)
}

/// Maximum number of items shown at the beginning of a list, and at its end. Real trials have a tenth of that.
const MAX_AT_EACH_END: usize = 200;

/// Replaces the middle of a list that is too long to read by a single item, which `stand_in` makes from the text
/// `… 7 more …`. Files that are judged may be hostile and have lists of any length.
pub(super) fn abridge<T>(all: &mut Vec<T>, stand_in: impl FnOnce(String) -> T) {
    let left_out = all.len().saturating_sub(2 * MAX_AT_EACH_END);
    if left_out > 0 {
        let middle = MAX_AT_EACH_END..MAX_AT_EACH_END + left_out;
        let text = format!("… {} more …", grouped(left_out));
        all.splice(middle, [stand_in(text)]);
    }
}

/// Formats a number with thousands separators: `399,600`.
pub(crate) fn grouped(number: usize) -> String {
    rstproof_core::printable::grouped(number as u64)
}

/// Returns a text for each finding or gap, with its id; abridged if there are too many.
pub(super) fn texts<'a>(remarks: impl IntoIterator<Item = &'a Remark>) -> Vec<String> {
    let remarks = remarks.into_iter();
    let mut texts = remarks
        .map(|remark| format!("{} [{}]", remark.message, remark.id))
        .collect();
    abridge(&mut texts, |left_out| left_out);
    texts
}

/// Number of trials by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // each field is the number of trials with that verdict
pub struct Tally {
    pub confirmed: u64,
    pub refuted: u64,
    pub inconclusive: u64,
    pub skipped: u64,
}

impl Tally {
    /// Counts a trial with this verdict; `None` if it was skipped.
    pub fn count(&mut self, verdict: Option<Verdict>) {
        match verdict {
            Some(Verdict::Confirmed) => self.confirmed += 1,
            Some(Verdict::Refuted) => self.refuted += 1,
            Some(Verdict::Inconclusive) => self.inconclusive += 1,
            None => self.skipped += 1,
        }
    }

    /// Returns the number of all trials, including skipped ones.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.confirmed + self.refuted + self.inconclusive + self.skipped
    }

    /// Returns the worst verdict; `None` if all trials were skipped.
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

    /// Formats the counts that are not zero, with styles: `16 confirmed, 1 refuted`.
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

/// Column at which the result of the trials begins in a line.
const WHAT: usize = 54;

/// Returns the line for the trials of one scenario over one family, followed by the findings and gaps of the trials in
/// `shown`.
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
        "{style}{word:<12}{style:#}  {:<32}  {}  {}\n",
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
        let mut texts = texts(trial.findings.iter().chain(&trial.inconclusive_reason));
        for text in &mut texts {
            text.insert_str(0, &run);
        }
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

/// Returns a short description of the result of a single trial, for the end of its line.
fn in_a_few_words(trial: &TrialReport) -> String {
    if let Some(why) = &trial.skipped {
        // The whole reason is shown once at the end, in the ladder, and in the formats for programs.
        return why.split([':', ';']).next().unwrap_or(why).to_owned();
    }
    if trial.calls.is_empty() {
        return String::new(); // a capture without a record of the calls
    }
    if let Some((reset, call)) = trial.proof() {
        return format!("{} {}, RST #{}", call.name(), call.result, reset.frame);
    }
    let error = trial
        .calls
        .iter()
        .find_map(|call| Some((call.name(), call.result.errno()?)));
    // An incomplete capture cannot show that there was no RST.
    let no_reset = trial.resets.is_empty() && trial.inconclusive_reason.is_none();
    match error {
        Some((call, errno)) if no_reset => format!("{call} {errno}, no RST"),
        Some((call, errno)) => format!("{call} {errno}"),
        None if no_reset => "no error, no RST".to_owned(),
        None => "no error".to_owned(),
    }
}

/// Returns the last line of a run: number of trials, time, and verdicts.
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

/// Returns a paragraph for each reason why trials were skipped, with the number of trials.
#[must_use]
pub fn skips(reasons: &BTreeMap<String, u64>) -> String {
    let mut out = String::new();
    for (why, count) in reasons {
        let plural = if *count == 1 { "" } else { "s" };
        out.push_str(&paragraph(&format!("{count} trial{plural} skipped: "), why));
    }
    out
}

/// Returns the evidence sources that the verdicts of a run are based on, and those that are not available.
#[must_use]
pub fn evidence_sources(sources: &EvidenceSources) -> String {
    let (available, missing): (Vec<SourceId>, Vec<SourceId>) = SourceId::SHOWN
        .into_iter()
        .partition(|source| sources.has(*source));
    let available = available.into_iter().map(SourceId::name);
    let names: Vec<_> = iter::once("system calls").chain(available).collect();
    let mut out = paragraph("evidence from: ", &names.join(", "));
    let missing = missing.into_iter().map(|source| {
        let name = source.name();
        sources.reason(source).map_or_else(
            || name.to_owned(),
            |reason| format!("{name} ({})", printable(reason)),
        )
    });
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        out.push_str(&paragraph("not available: ", &missing.join(", ")));
    }
    out
}

/// Returns a paragraph of at most 80 columns after a label, indented by the width of the label.
fn paragraph(label: &str, text: &str) -> String {
    let inset = label.len();
    let text = wrap(text, 80 - inset).join(&format!("\n{:inset$}", ""));
    format!("{label}{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            printable("a\nb\u{1b}[31m\u{7f}\u{9b}"),
            r"a\nb\u{1b}[31m\u{7f}\u{9b}"
        );
        for turns in "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}".chars() {
            let spelled = format!("lo\\u{{{:x}}}gol", u32::from(turns));
            assert_eq!(printable(&format!("lo{turns}gol")), spelled);
        }
        let harmless = "µs … é ‐ \u{5d0} \u{1f480} \u{200d} \u{2029} \u{206a} \\";
        assert_eq!(printable(harmless), harmless);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let numbers = [7, 999, 1_000, 399_600, 1_234_567].map(grouped);
        assert_eq!(numbers, ["7", "999", "1,000", "399,600", "1,234,567"]);
    }

    #[test]
    fn of_a_long_list_the_middle_is_left_out() {
        let abridged = |len: usize| {
            let mut list: Vec<String> = (0..len).map(|index| index.to_string()).collect();
            abridge(&mut list, |left_out| left_out);
            list
        };
        for len in [0, 1, 400] {
            assert_eq!(abridged(len).len(), len);
        }
        for (len, left_out) in [(401, "… 1 more …"), (1_000_400, "… 1,000,000 more …")] {
            let list = abridged(len);
            assert_eq!((list.len(), &*list[200]), (401, left_out));
            let ends = [&list[199], &list[201], &list[400]];
            assert_eq!(
                ends,
                [199, len - 200, len - 1].map(|i| i.to_string()).each_ref()
            );
        }
    }
}
