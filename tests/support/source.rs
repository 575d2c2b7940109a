//! A lexer for Rust sources that keeps comments: it splits a file into code, string literals, doc comments and plain
//! comments.

/// Kind of a part of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything that is neither a literal of text nor a comment.
    Code,
    /// String literal, without quotes. Escaped white space is white space; other escapes stay.
    Text,
    /// Doc comment: consecutive lines, without the slashes.
    Doc,
    /// Plain comment: one line, without the slashes.
    Comment,
}

/// Part of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Kind of the part.
    pub(crate) kind: Kind,
    /// Line that the part begins in, from 1.
    pub(crate) line: usize,
    /// Text, with a line feed for each line feed of the source.
    pub(crate) text: String,
}

/// Splits a source into its parts.
pub(crate) fn parts(source: &str) -> Vec<Part> {
    let mut lexer = Lexer {
        rest: source,
        line: 1,
        parts: Vec::new(),
    };
    while !lexer.rest.is_empty() {
        lexer.next();
    }
    lexer.parts
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    parts: Vec<Part>,
}

impl Lexer<'_> {
    fn next(&mut self) {
        if self.rest.starts_with("//") {
            self.line_comment();
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if let Some((prefix, end)) = self.raw_string() {
            self.take(Kind::Code, prefix);
            let length = self.rest.find(&end).unwrap_or(self.rest.len());
            self.take(Kind::Text, length);
            self.take(Kind::Code, end.len().min(self.rest.len()));
        } else if self.rest.starts_with('"') {
            self.take(Kind::Code, 1);
            self.string();
            self.take(Kind::Code, 1.min(self.rest.len()));
        } else if let Some(length) = self.char_literal() {
            // A brace in it must not count as one of the code.
            self.rest = &self.rest[length..];
            self.code("' '");
        } else {
            // An identifier at once: the `r` at its end begins no raw string.
            let word = |it: char| it.is_alphanumeric() || it == '_';
            let length = self.rest.find(|it| !word(it)).unwrap_or(self.rest.len());
            let first = self.rest.chars().next().map_or(0, char::len_utf8);
            self.take(Kind::Code, length.max(first));
        }
    }

    /// Moves so many bytes from the rest to a part; code is appended to code.
    fn take(&mut self, kind: Kind, length: usize) {
        let (text, rest) = self.rest.split_at(length);
        let line = self.line;
        self.rest = rest;
        if kind == Kind::Code {
            self.code(text);
        } else {
            let text = text.to_owned();
            self.parts.push(Part { kind, line, text });
        }
        self.line += text.matches('\n').count();
    }

    fn code(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(last) if last.kind == Kind::Code => last.text.push_str(text),
            _ => self.parts.push(Part {
                kind: Kind::Code,
                line: self.line,
                text: text.to_owned(),
            }),
        }
    }

    fn line_comment(&mut self) {
        let length = self.rest.find('\n').unwrap_or(self.rest.len());
        let comment = &self.rest[..length];
        let is_doc = (comment.starts_with("///") && !comment.starts_with("////"))
            || comment.starts_with("//!");
        let (kind, slashes) = if is_doc {
            (Kind::Doc, 3)
        } else {
            (Kind::Comment, 2)
        };
        let text = comment[slashes..].trim().to_owned();
        let before = self.parts.len();
        // The part of code between two lines of one comment is blank.
        if let [.., doc, blank] = &mut self.parts[..]
            && is_doc
            && doc.kind == Kind::Doc
            && blank.text.trim().is_empty()
            && blank.text.matches('\n').count() == 1
        {
            doc.text.push('\n');
            doc.text.push_str(&text);
            self.parts.truncate(before - 1);
        } else {
            let line = self.line;
            self.parts.push(Part { kind, line, text });
        }
        self.rest = &self.rest[length..];
    }

    /// Block comments may contain others.
    fn block_comment(&mut self) {
        let mut depth = 0;
        let mut length = 0;
        while length < self.rest.len() {
            let rest = &self.rest[length..];
            if rest.starts_with("/*") {
                (depth, length) = (depth + 1, length + 2);
            } else if rest.starts_with("*/") {
                (depth, length) = (depth - 1, length + 2);
            } else {
                length += rest.chars().next().map_or(1, char::len_utf8);
            }
            if depth == 0 {
                break;
            }
        }
        self.take(Kind::Comment, length);
    }

    /// The length of `r##"` and its counterpart, if a raw string begins here.
    fn raw_string(&self) -> Option<(usize, String)> {
        let rest = self.rest;
        let prefix = ["br", "cr", "r"]
            .into_iter()
            .find(|it| rest.starts_with(it))?;
        let hashes = rest[prefix.len()..]
            .bytes()
            .take_while(|it| *it == b'#')
            .count();
        let length = prefix.len() + hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        (rest.as_bytes().get(length - 1) == Some(&b'"')).then_some((length, end))
    }

    fn string(&mut self) {
        let line = self.line;
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        let mut length = self.rest.len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    length = at;
                    break;
                }
                '\\' => match letters.next().map(|(_, it)| it) {
                    Some('\n') => text.push('\n'),
                    Some('n' | 't' | 'r') => text.push(' '),
                    Some(other) => text.extend(['\\', other]),
                    None => {}
                },
                other => text.push(other),
            }
        }
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
        let kind = Kind::Text;
        self.parts.push(Part { kind, line, text });
    }

    /// The length of a character literal. A quote that begins a lifetime begins none.
    fn char_literal(&self) -> Option<usize> {
        let mut letters = self.rest.strip_prefix('\'')?.char_indices();
        match letters.next()? {
            (_, '\\') => {
                letters.next();
                let end = letters.find(|(_, it)| *it == '\'')?;
                Some(end.0 + 2)
            }
            _ => letters
                .next()
                .filter(|(_, it)| *it == '\'')
                .map(|(at, _)| at + 2),
        }
    }
}

/// Removes the items that are compiled for tests only: from `#[cfg(test)]` on, up to the end of the body.
pub(crate) fn without_tests(parts: Vec<Part>) -> Vec<Part> {
    let mut kept = Vec::new();
    let mut depth: Option<i32> = None;
    for mut part in parts {
        if part.kind != Kind::Code {
            if depth.is_none() {
                kept.push(part);
            }
            continue;
        }
        let mut text = String::new();
        let mut rest = &part.text[..];
        loop {
            if let Some(open) = &mut depth {
                let Some(at) = rest.find(['{', '}']) else {
                    break;
                };
                *open += if rest.as_bytes()[at] == b'{' { 1 } else { -1 };
                rest = &rest[at + 1..];
                if *open == 0 {
                    depth = None;
                }
            } else {
                let Some(at) = test_item(rest) else {
                    text.push_str(rest);
                    break;
                };
                text.push_str(&rest[..at]);
                rest = &rest[at..];
                depth = Some(0);
            }
        }
        part.text = text;
        kept.push(part);
    }
    kept
}

/// The place where an item with a body begins that is compiled for tests only.
fn test_item(code: &str) -> Option<usize> {
    let mark = "#[cfg(test)]";
    let is_item = |(at, _): &(usize, &str)| {
        let item = &code[at + mark.len()..];
        let end = item.find(['{', ';']);
        end.is_some_and(|end| item.as_bytes()[end] == b'{')
    };
    code.match_indices(mark).find(is_item).map(|(at, _)| at)
}
