//! Text from hostile sources, made safe to show.

/// Text with what a terminal would obey spelled out: what came from a file, a file name or another program may hold
/// anything.
pub fn printable(text: &str) -> String {
    spelled_out(text, is_obeyed)
}

/// Whether a terminal does something else with it than to show it: control characters, and those that turn the direction
/// of writing, with which a line reads otherwise than it is.
#[must_use]
pub fn is_obeyed(letter: char) -> bool {
    let turns = matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns || letter.is_control()
}

/// Text with these letters as Rust would write them.
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
