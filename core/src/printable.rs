//! Escapes for text from untrusted sources, such as files, file names and other programs.

/// Returns the text with every character that a terminal would interpret escaped.
pub fn printable(text: &str) -> String {
    spelled_out(text, is_obeyed)
}

/// Returns true if a terminal interprets the character instead of showing it: control characters, and those that change
/// the direction of writing, which make a line look different from its content.
#[must_use]
pub fn is_obeyed(letter: char) -> bool {
    // ARABIC LETTER MARK, the marks LRM and RLM, embeddings and overrides, and isolates (Unicode Standard Annex 9).
    let turns = matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns || letter.is_control()
}

/// Returns the text with the matching characters escaped as in Rust source.
pub fn spelled_out(text: &str, are_they: impl Fn(char) -> bool) -> String {
    let mut spelled = String::with_capacity(text.len());
    for letter in text.chars() {
        if are_they(letter) {
            spelled.extend(letter.escape_default());
        } else {
            spelled.push(letter);
        }
    }
    spelled
}

/// Formats a number with thousands separators: `399,600`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
