//! The language of texts, doc comments and documentation, by the rules of CONTRIBUTING.md.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[path = "support/source.rs"]
mod source;

use source::{Kind, Part};

/// Wordings that read as translated or belong to nobody's vocabulary, and better ones. Words are compared without
/// regard to case. `<word` at the beginning: another word is before it. `|` at the end: nothing follows that the last
/// word could belong to.
const WORDINGS: &[(&str, &str)] = &[
    ("a RST", "an RST"),
    ("is told", "fails with, gets, receives"),
    ("are told", "fail with, get, receive"),
    ("was told", "failed with, got, received"),
    ("be told", "fail with, get, receive"),
    ("been told", "failed with, got, received"),
    ("told of", "informed about, shown"),
    ("tells of", "reports, shows"),
    ("tell of", "report, show"),
    ("tells apart", "distinguishes"),
    ("tell apart", "distinguish"),
    ("told apart", "distinguished"),
    ("heals", "recovers"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("beware", "note"),
    ("<there is none|", "is not one, or say what it is"),
    ("<there are none|", "are not, or say what they are"),
    ("is no part of it", "is not included"),
    ("has no part in", "does not cause"),
    ("had no part in", "did not cause"),
    ("has a part in", "contributes to"),
    ("had a part in", "contributed to"),
    ("have a part", "contribute"),
    ("in its midst", "mid-stream"),
    ("rests on", "relies on"),
    ("rest on", "rely on"),
    ("captures of others", "existing captures"),
    ("of the server's|", "of the server"),
    ("of the client's|", "of the client"),
    ("of the kernel's|", "of the kernel"),
    ("of the sender's|", "of the sender"),
    ("of the receiver's|", "of the receiver"),
    ("of the peer's|", "of the peer"),
    ("somebody", "a process, a host, another user"),
    ("somebody's", "a user's"),
    ("leave it away", "omit it"),
    ("leave away", "omit"),
    ("but for", "except"),
    ("comes in|", "arrives"),
    ("come in|", "arrive"),
    ("came in|", "arrived"),
    ("goes on from", "follows, continues"),
    ("had to believe", "had to accept"),
    ("has to believe", "must accept"),
    ("believes", "accepts"),
    ("believed", "accepted"),
    ("bears", "carries, shows"),
    ("lets through", "passes, matches"),
    ("last words", "last output"),
    ("in silence", "silently"),
    ("anew", "again"),
    ("wherever", "everywhere that, whenever"),
    ("may not be opened", "not permitted to open"),
    ("cannot be had", "is not available"),
    ("to be had", "available"),
    ("what it says of", "its report of"),
    ("says of", "reports about"),
    ("say of", "report about"),
    ("what has come of it", "its result"),
];

/// Wordings that are not looked for in some places: beginning of the path, wording or nothing for all of them, reason.
const EXEMPT: [(&str, &str, &str); 1] = [(
    "core/src/scenario",
    "",
    "the texts of scenarios are still to be rewritten",
)];

/// First words that refer to something that was said before: a doc comment is read on its own.
const ANAPHORS: [&str; 23] = [
    "the same",
    "so many",
    "so long",
    "so much",
    "it",
    "its",
    "of it",
    "of them",
    "those",
    "these",
    "they",
    "them",
    "that",
    "such",
    "else",
    "the other",
    "the others",
    "like this",
    "then",
    "there",
    "here",
    "neither",
    "again",
];

/// First words of a doc comment that does not begin with what its item is.
const QUESTIONS: [&str; 5] = ["what", "who", "whether", "where", "how"];

/// Most doc comments that may begin so, in percent.
const MAX_ANAPHORS: f64 = 1.5;
const MAX_QUESTIONS: f64 = 5.0;

/// Rust source: its path below the repository, and its parts without tests.
struct Source {
    path: String,
    parts: Vec<Part>,
}

/// Path below the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// The sources of both packages. Files that hold tests only are left out.
fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let mut paths = files("src", "rs");
        paths.extend(files("core/src", "rs"));
        paths.retain(|path| {
            !["tests.rs", "golden.rs"]
                .iter()
                .any(|it| path.ends_with(it))
        });
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).unwrap();
            let parts = source::without_tests(source::parts(&text));
            Source {
                path: name_of(&path),
                parts,
            }
        };
        paths.into_iter().map(read).collect()
    });
    &SOURCES
}

/// A word, its place, and what separates it from the word before.
struct Word<'a> {
    text: String,
    at: usize,
    gap: &'a str,
}

impl Word<'_> {
    fn follows(&self) -> bool {
        self.gap.chars().all(char::is_whitespace)
    }

    /// A sentence, or a part of it, ends before this word.
    fn begins_part(&self) -> bool {
        self.gap.contains(['.', ',', ';', ':', ')', '!', '?'])
    }
}

fn words(text: &str) -> Vec<Word<'_>> {
    let is_part = |it: char| it.is_alphanumeric() || "'’_-".contains(it);
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut end = 0;
    while let Some(at) = text[end..].find(is_part).map(|at| end + at) {
        let gap = &text[end..at];
        end = text[at..]
            .find(|it| !is_part(it))
            .map_or(text.len(), |it| at + it);
        let text = text[at..end].trim_matches('\'').to_lowercase();
        words.push(Word { text, at, gap });
    }
    words
}

/// The words that may follow a noun which the phrase before must not leave out.
const CLOSING: [&str; 15] = [
    "that", "which", "who", "is", "was", "are", "were", "and", "or", "in", "on", "to", "at", "by",
    "after",
];

/// The places in a text at which a wording is found.
fn found(wording: &str, words: &[Word<'_>]) -> Vec<usize> {
    let mut phrase: Vec<&str> = wording.trim_end_matches('|').split(' ').collect();
    let before = phrase[0].strip_prefix('<');
    if before.is_some() {
        phrase.remove(0);
    }
    let mut found = Vec::new();
    for (nth, window) in words.windows(phrase.len()).enumerate() {
        let is_same = window
            .iter()
            .zip(&phrase)
            .all(|(word, it)| word.text.eq_ignore_ascii_case(it))
            && window[1..].iter().all(Word::follows);
        let is_after = before.is_some_and(|it| nth > 0 && words[nth - 1].text == *it);
        let is_last = words
            .get(nth + phrase.len())
            .is_none_or(|it| it.begins_part() || (it.follows() && CLOSING.contains(&&*it.text)));
        if is_same && !is_after && (is_last || !wording.ends_with('|')) {
            found.push(window[0].at);
        }
    }
    found
}

/// The lines of a text that have a wording of the list, one for each: `file:line: wording: better`.
fn complaints(path: &str, line: usize, text: &str) -> Vec<String> {
    let words = words(text);
    let mut all = Vec::new();
    for (wording, better) in WORDINGS {
        let is_exempt = |(file, it, _): &(&str, &str, &str)| {
            path.starts_with(file) && (it.is_empty() || it == wording)
        };
        if EXEMPT.iter().any(is_exempt) {
            continue;
        }
        for at in found(wording, &words) {
            let line = line + text[..at].matches('\n').count();
            let wording = wording.trim_end_matches('|');
            all.push(format!("{path}:{line}: {wording:?}: better {better:?}"));
        }
    }
    all
}

#[track_caller]
fn none(complaints: &[String]) {
    let mut text = String::new();
    for line in complaints {
        let _ = writeln!(text, "{line}");
    }
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{text}",
        complaints.len()
    );
}

#[test]
fn of_the_program_is_plain() {
    let mut all = Vec::new();
    for source in sources() {
        for part in &source.parts {
            if matches!(part.kind, Kind::Text | Kind::Doc) {
                all.extend(complaints(&source.path, part.line, &part.text));
            }
        }
    }
    none(&all);
}

#[test]
fn of_the_pages_is_plain() {
    let mut paths = files("docs", "md");
    paths.extend(
        [
            "README.md",
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "captures/README.md",
        ]
        .map(|it| root().join(it)),
    );
    let mut all = Vec::new();
    for path in paths {
        all.extend(complaints(
            &name_of(&path),
            1,
            &fs::read_to_string(&path).unwrap(),
        ));
    }
    none(&all);
}

#[test]
fn of_the_scripts_is_plain() {
    let mut all = Vec::new();
    for path in files("scripts", "sh") {
        let text = fs::read_to_string(&path).unwrap();
        for (nth, line) in text.lines().enumerate() {
            all.extend(complaints(&name_of(&path), nth + 1, line));
        }
    }
    none(&all);
}
/// The doc comments that begin with one of these, and their share of all in percent.
fn beginning_with(begins: &[&str]) -> (Vec<String>, f64) {
    let mut all = 0_u32;
    let mut such = Vec::new();
    for source in sources() {
        for doc in source.parts.iter().filter(|it| it.kind == Kind::Doc) {
            all += 1;
            let words = words(&doc.text);
            let is_first = |it: &&&str| found(it, &words).first() == words.first().map(|it| &it.at);
            if let Some(begin) = begins.iter().find(is_first) {
                let first = doc.text.lines().next().unwrap_or_default();
                such.push(format!("{}:{}: {begin:?}: {first}", source.path, doc.line));
            }
        }
    }
    let share = f64::from(u32::try_from(such.len()).unwrap()) * 100.0 / f64::from(all);
    (such, share)
}

#[test]
fn doc_comments_are_understood_on_their_own() {
    for (begins, most) in [(&ANAPHORS[..], MAX_ANAPHORS), (&QUESTIONS, MAX_QUESTIONS)] {
        let (such, share) = beginning_with(begins);
        assert!(
            share <= most,
            "{share:.1} % of doc comments, more than {most} %:\n{}",
            such.join("\n")
        );
    }
}

/// The complaints about a text, without their reasons.
fn found_in(text: &str) -> Vec<String> {
    let all = complaints("file", 1, text);
    let short = all.iter().filter_map(|it| it.split(": better").next());
    short.map(str::to_owned).collect()
}

#[test]
fn wordings_are_found_across_lines_and_not_across_sentences() {
    assert_eq!(found_in("The client sends A\n RST."), ["file:1: \"a RST\""]);
    assert_eq!(found_in("one\ntwo is\ntold"), ["file:2: \"is told\""]);
    for good in [
        "an RST",
        "a rsta",
        "as it is. Told otherwise",
        "untold of",
        "is `told`",
    ] {
        assert_eq!(found_in(good), [""; 0], "{good}");
    }
}

#[test]
fn a_wording_may_depend_on_its_neighbours() {
    for bad in ["it is none.", "a result which is none", "are none"] {
        assert_eq!(found_in(bad).len(), 1, "{bad}");
    }
    for good in ["`None` if there is none", "is none of these"] {
        assert_eq!(found_in(good), [""; 0], "{good}");
    }
    assert_eq!(found_in("a socket of the server's, which").len(), 1);
    assert_eq!(found_in("the address of the server's host").len(), 0);
    assert_eq!(found_in("data comes in after that").len(), 1);
    assert_eq!(found_in("comes in two versions").len(), 0);
}

#[test]
fn comments_strings_and_code_are_distinguished() {
    let text = r##"
//! Module
//! docs.
// why
/* also /* why */ so */
fn f<'a>(it: &'a str) -> char {
    let _ = ('"', '\'', b'\n', r#"raw "is told" so"#, "a\"b\nc \
        d"); // end
    /// Doc.
    let _ = br"x";
}
#[cfg(test)]
mod tests {
    const TEXT: &str = "{ } }";
    fn g() { h("is told") }
}
/// After.
struct S;
"##;
    let all = source::without_tests(source::parts(text));
    let of = |kind| -> Vec<(usize, &str)> {
        let such = all.iter().filter(|it| it.kind == kind);
        such.map(|it| (it.line, &*it.text)).collect()
    };
    assert_eq!(
        of(Kind::Doc),
        [(2, "Module\ndocs."), (9, "Doc."), (17, "After.")]
    );
    assert_eq!(
        of(Kind::Comment),
        [(4, "why"), (5, "/* also /* why */ so */"), (8, "end")]
    );
    let texts = [
        (7, "raw \"is told\" so"),
        (7, "a\\\"b c \n        d"),
        (10, "x"),
    ];
    assert_eq!(of(Kind::Text), texts);
    let code: String = of(Kind::Code).iter().map(|it| it.1).collect();
    assert!(
        code.contains("fn f<'a>(it: &'a str)") && code.contains("struct S;"),
        "{code}"
    );
    assert!(!code.contains("TEXT"), "{code}");
}

/// Plain comments: least and most lines of them, in percent of all lines that are not blank.
const COMMENTS: (f64, f64) = (2.0, 4.0);
/// Most names of types that several types share, in percent of all names.
const MAX_SHARED_NAMES: f64 = 20.0;
/// Most lines of a file.
const MAX_LINES: usize = 700;
/// Files that may be longer, each with the reason.
const LONG_FILES: [(&str, &str); 2] = [
    (
        "core/src/scenario/abort.rs",
        "a table: the scenarios of one topic",
    ),
    (
        "core/src/scenario/blind.rs",
        "a table: the scenarios of one topic",
    ),
];

fn percent(part: usize, whole: usize) -> f64 {
    let number = |it| f64::from(u32::try_from(it).unwrap());
    number(part) * 100.0 / number(whole)
}

#[test]
fn plain_comments_are_neither_rare_nor_everywhere() {
    let (mut comments, mut lines) = (0, 0);
    for source in sources() {
        // A line of code may have several parts.
        let mut known = BTreeSet::new();
        for part in &source.parts {
            let own = (part.line..).zip(part.text.lines());
            let own = own.filter(|(_, it)| !it.trim().is_empty()).map(|it| it.0);
            if part.kind == Kind::Comment {
                comments += own.clone().count();
            }
            known.extend(own);
        }
        lines += known.len();
    }
    let share = percent(comments, lines);
    let (least, most) = COMMENTS;
    assert!(
        (least..=most).contains(&share),
        "{comments} of {lines} lines are plain comments: {share:.2} %"
    );
}

/// The names of types that a source declares. Associated types are not counted: they are indented `type` items.
fn declared(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for line in code.lines() {
        let item = line.trim_start();
        let is_indented = item.len() < line.len();
        let item = item.strip_prefix("pub").map_or(item, |rest| {
            rest.find(") ")
                .filter(|_| rest.starts_with('('))
                .map_or(rest, |end| &rest[end + 1..])
        });
        let Some((kind, rest)) = item.trim_start().split_once(' ') else {
            continue;
        };
        let is_type = ["struct", "enum", "union", "trait"].contains(&kind);
        if is_type || (kind == "type" && !is_indented) {
            let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_');
            names.push(&rest[..end.unwrap_or(rest.len())]);
        }
    }
    names
}

#[test]
fn names_of_types_are_their_own() {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in sources() {
        for part in source.parts.iter().filter(|it| it.kind == Kind::Code) {
            for name in declared(&part.text) {
                places.entry(name).or_default().push(&source.path);
            }
        }
    }
    let mut shared: Vec<_> = places.iter().filter(|(_, files)| files.len() > 1).collect();
    shared.sort_by_key(|(_, files)| std::cmp::Reverse(files.len()));
    let share = percent(shared.len(), places.len());
    let mut list = String::new();
    for (name, files) in &shared {
        let _ = writeln!(list, "{name}: {}", files.join(", "));
    }
    assert!(
        share <= MAX_SHARED_NAMES,
        "{} of {} names of types are shared, {share:.1} %:\n{list}",
        shared.len(),
        places.len()
    );
}

#[test]
fn files_are_of_a_size_that_is_read() {
    let mut long = Vec::new();
    for path in [files("src", "rs"), files("core/src", "rs")].concat() {
        let name = name_of(&path);
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        if lines > MAX_LINES && !LONG_FILES.iter().any(|(it, _)| *it == name) {
            long.push(format!("{name}: {lines} lines, more than {MAX_LINES}"));
        }
    }
    none(&long);
}

#[test]
fn declarations_of_types_are_found() {
    let code = "pub(in crate::file) struct A<'a> {\n    type Output = u8;\n}\npub enum B {}\ntype C = u8;\n\
                pub(crate) trait D: E {}\n    struct F;\nlet structure = G;\nunion H {}\n";
    assert_eq!(declared(code), ["A", "B", "C", "D", "F", "H"]);
}
