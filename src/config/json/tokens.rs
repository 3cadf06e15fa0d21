//! A text cut into the tokens of JSON, however wrong the text is. Not a parser: it shows what a file consists
//! of that the parser has refused.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of `{ } [ ] : ,`
    Mark(u8),
    /// Text in quotation marks; `false`: its line ends before the closing one.
    Text(bool),
    /// Text in apostrophes, likewise.
    Apostrophes(bool),
    Comment,
    /// Letters, digits and other characters together, without quotation marks.
    Word,
    /// Any other single character.
    Other(char),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    /// Its text without the quotation marks, or without the marks of a comment.
    pub(super) fn inner(&self, text: &str) -> Range<usize> {
        let (open, closed) = match self.kind {
            Kind::Text(closed) | Kind::Apostrophes(closed) => (1, usize::from(closed)),
            Kind::Comment if text[self.start..].starts_with('#') => (1, 0),
            Kind::Comment => (2, 0),
            Kind::Mark(_) | Kind::Word | Kind::Other(_) => (0, 0),
        };
        self.start + open..self.end - closed
    }

    pub(super) fn is(&self, mark: u8) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

/// The last token is whole, or ends where the text does.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        if first.is_ascii_whitespace() {
            start += 1;
            continue;
        }
        let rest = &text[start..];
        let (kind, length) = match first {
            '{' | '}' | '[' | ']' | ':' | ',' => (Kind::Mark(first as u8), 1),
            '"' => quoted(rest, '"', Kind::Text),
            '\'' => quoted(rest, '\'', Kind::Apostrophes),
            _ if is_comment(rest) => (Kind::Comment, comment(rest)),
            _ if is_word(first) => (Kind::Word, word(rest)),
            _ => (Kind::Other(first), first.len_utf8()),
        };
        let end = start + length;
        out.push(Token { kind, start, end });
        start = end;
    }
    out
}

fn quoted(rest: &str, quote: char, kind: impl Fn(bool) -> Kind) -> (Kind, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' | '\r' => return (kind(false), at),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return (kind(true), at + 1),
            _ => {}
        }
    }
    (kind(false), rest.len())
}

fn is_comment(rest: &str) -> bool {
    ["#", "//", "/*"].iter().any(|mark| rest.starts_with(mark))
}

fn comment(rest: &str) -> usize {
    let end = if rest.starts_with("/*") {
        rest.find("*/").map(|at| at + 2)
    } else {
        rest.find(['\n', '\r'])
    };
    end.unwrap_or(rest.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || (c.is_ascii_punctuation() && !"{}[]:,\"'#=;`".contains(c))
}

fn word(rest: &str) -> usize {
    rest.find(|c| !is_word(c)).unwrap_or(rest.len())
}

/// Is it a blank that JSON does not know as one, or a character without width?
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{ad}' | '\u{1680}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{2064}' | '\u{3000}' | '\u{feff}')
}
