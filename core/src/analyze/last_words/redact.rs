//! Removal of secrets from text that an end has sent.
//!
//! The text of an error may repeat what the other end has sent, and a path may hold a key. What looks like either is left out, even
//! where it is harmless: nobody can see from outside which it is.

use crate::printable::printable;

/// Sign for what is left out.
pub(super) const LEFT_OUT: &str = "…";

/// Largest number of characters of a text.
const MAX_CHARS: usize = 120;

/// Length from which a run of letters and digits counts as a key, whatever it looks like: 20 characters of Base64 are 120 bits.
const MIN_KEY: usize = 20;

/// Returns the first line of the bytes, and true if it is whole.
pub(super) fn line(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        Some(end) => (&bytes[..end], true),
        None => (bytes, false),
    }
}

/// Returns the text of bytes for people: escaped, and of limited length. The second value is true if it was too long.
pub(super) fn bounded(text: &str) -> (String, bool) {
    let text = printable(text);
    match text.char_indices().nth(MAX_CHARS - 1) {
        Some((end, _)) if text.len() > end => {
            let is_last = text[end..].chars().nth(1).is_none();
            if is_last {
                (text, false)
            } else {
                (format!("{}{LEFT_OUT}", &text[..end]), true)
            }
        }
        _ => (text, false),
    }
}

/// Returns true if a word looks like a key: it has a run of many letters and digits, or a shorter one that only a machine writes.
fn is_key(word: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-+=%~".contains(letter);
    word.split(|letter| !is_part(letter)).any(|run| {
        let has = |is_it: fn(&char) -> bool| run.chars().any(|letter| is_it(&letter));
        let is_mixed = has(char::is_ascii_lowercase)
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_digit);
        let is_hex = run.chars().all(|letter| letter.is_ascii_hexdigit());
        run.len() >= MIN_KEY
            || run.len() >= 10 && is_mixed
            || run.len() >= 12 && is_hex && has(char::is_ascii_digit)
    })
}

/// Returns the path of a request target without its query, its fragment and the credentials of an authority, and with each segment
/// left out that looks like a key. A target that is not whole loses its last segment.
pub(super) fn target(target: &str, is_whole: bool) -> String {
    let end = target.find(['?', '#']);
    let path = &target[..end.unwrap_or(target.len())];
    // What follows a cut may be the rest of a key.
    let lacks_end = end.is_none() && !is_whole;
    let (before, path) = match path.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            (format!("{scheme}://{host}"), path)
        }
        None => (String::new(), path),
    };
    let count = path.split('/').count();
    let segments: Vec<String> = (path.split('/').enumerate())
        .map(|(nth, segment)| {
            if lacks_end && nth + 1 == count {
                LEFT_OUT.to_owned()
            } else {
                segment_of_path(segment)
            }
        })
        .collect();
    before + &segments.join("/")
}

/// Returns a segment of a path without parameters and credentials.
fn segment_of_path(segment: &str) -> String {
    if is_key(segment) || segment.contains('@') {
        return LEFT_OUT.to_owned();
    }
    match segment.find([';', '=']) {
        Some(end) => format!("{}{LEFT_OUT}", &segment[..end]),
        None => segment.to_owned(),
    }
}

/// Returns the text of an error without what it may repeat: all between quotation marks, keys, and the parameters of links.
pub(super) fn error_text(text: &str) -> String {
    let text = without_quoted(text);
    let words: Vec<String> = text.split(' ').map(word).collect();
    words.join(" ")
}

fn word(word: &str) -> String {
    if word.contains("://") {
        target(word, true)
    } else if is_key(word) {
        LEFT_OUT.to_owned()
    } else {
        word.to_owned()
    }
}

/// Returns the text without all from the first quotation mark to the last one: what is quoted may contain such marks itself.
fn without_quoted(text: &str) -> String {
    let letters: Vec<(usize, char)> = text.char_indices().collect();
    let is_letter = |nth: Option<usize>| {
        nth.and_then(|nth| letters.get(nth))
            .is_some_and(|(_, letter)| letter.is_alphanumeric())
    };
    let is_mark = |nth: usize, letter: char| match letter {
        // An apostrophe is between two letters.
        '\'' | '\u{2019}' => !(is_letter(nth.checked_sub(1)) && is_letter(Some(nth + 1))),
        '"' | '`' | '«' | '»' | '‹' | '›' | '\u{2018}' | '\u{201a}' | '\u{201c}' | '\u{201d}'
        | '\u{201e}' => true,
        _ => false,
    };
    let mut marks = letters
        .iter()
        .enumerate()
        .filter(|(nth, (_, letter))| is_mark(*nth, *letter))
        .map(|(_, (at, letter))| (*at, *letter));
    let Some((first, opening)) = marks.next() else {
        return text.to_owned();
    };
    match marks.next_back() {
        Some((last, closing)) => {
            let after = &text[last + closing.len_utf8()..];
            format!("{}{opening}{LEFT_OUT}{closing}{after}", &text[..first])
        }
        // The end of the quotation was not captured.
        None => format!("{}{opening}{LEFT_OUT}", &text[..first]),
    }
}

/// Returns the text of a reply that may repeat a command, without what follows the first word that announces it.
pub(super) fn reply_text(text: &str) -> String {
    const ANNOUNCING: [&str; 10] = [
        "command",
        "argument",
        "args",
        "parameter",
        "syntax",
        "unrecogni",
        "unknown",
        "invalid",
        "unexpected",
        "pars",
    ];
    let text = error_text(text);
    let lower = text.to_ascii_lowercase();
    let first = ANNOUNCING.iter().filter_map(|it| lower.find(it)).min();
    let Some(first) = first else {
        return text;
    };
    let rest = &text[first..];
    let end = rest.find([' ', ':', ',']).unwrap_or(rest.len());
    if end == rest.len() {
        return text;
    }
    format!("{} {LEFT_OUT}", &text[..first + end])
}
