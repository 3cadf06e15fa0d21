//! A configuration's JSON: read, or what is wrong with it and where. Beside what JSON itself calls
//! wrong: a key that is given twice, of which a parser would ignore one.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{EXAMPLE_HINT, kind};
use crate::error::{Error, Result, shown};
use crate::text;

/// What a key that stands there twice is called on its way through serde.
const TWICE: &str = "given twice: ";

pub(super) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let bytes = fs::read(path).map_err(|e| {
        Error::usage(format!("{}: cannot be read: {e}", path.display())).hint(
            "give the path of your configuration with --config; `cp config.json.example config.json` makes a first one",
        )
    })?;
    let bytes = text::plain(&bytes).ok_or_else(|| {
        Error::usage(format!("{}: {}", path.display(), text::UTF_16)).hint(text::UTF_16_HINT)
    })?;
    let Object(map) = serde_json::from_slice(bytes).map_err(|e| wrong(path, &e, bytes))?;
    Ok(map)
}

fn wrong(path: &Path, e: &serde_json::Error, text: &[u8]) -> Error {
    let (line, column) = json_place(e, text);
    let what = plain_json_error(e);
    if let Some(key) = what.strip_prefix(TWICE) {
        let column = start_of_key(text, line, column);
        return Error::usage(format!(
            "{}: line {line}, column {column}: `{}` is given twice",
            path.display(),
            shown(key.as_bytes())
        ))
        .hint("one of them would be ignored: delete the one that does not hold");
    }
    if e.is_data() {
        // No object. The sentence about that would have what stands there in it.
        return match serde_json::from_slice::<Value>(text) {
            Err(e) => wrong(path, &e, text),
            Ok(other) => Error::usage(format!(
                "{}: got {}, expected an object like {{\"source_server\": ...}}",
                path.display(),
                kind(&other)
            ))
            .hint(EXAMPLE_HINT),
        };
    }
    let (what, hint) = match misunderstood(line_of(text, line), column) {
        Some((Misunderstood::Comment, column)) => (
            format!("line {line}, column {column}: a comment"),
            "JSON has no comments: take them out",
        ),
        Some((Misunderstood::Quote(quote), column)) => (
            format!("line {line}, column {column}: the quotation mark {quote}"),
            "JSON knows only the straight quotation mark (\"): word processors and web pages put others in its place",
        ),
        None => (
            format!("line {line}, column {column}: {what}"),
            "a comma too many or too few, or a missing quotation mark, is the usual cause",
        ),
    };
    Error::usage(format!("{}: not JSON at {what}", path.display())).hint(hint)
}

/// What people write that is no JSON.
enum Misunderstood {
    Comment,
    Quote(char),
}

/// What stands at this column of a line, if it is that, and its column. A text that began with a
/// straight quotation mark and ended with another one goes on to the end of its line.
fn misunderstood(line: &[u8], column: usize) -> Option<(Misunderstood, usize)> {
    let here = String::from_utf8_lossy(line.get(column - 1..)?);
    if here.starts_with('#') || here.starts_with("//") || here.starts_with("/*") {
        return Some((Misunderstood::Comment, column));
    }
    let first = here.chars().next();
    if let Some(quote) = first.filter(|c| is_quote(*c) || *c == '\'') {
        return Some((Misunderstood::Quote(quote), column));
    }
    let before = String::from_utf8_lossy(line.get(..column - 1)?);
    let open = before.matches('"').count() % 2 == 1;
    let at = before.rfind(is_quote).filter(|_| open && first.is_none())?;
    let quote = before[at..].chars().next()?;
    Some((Misunderstood::Quote(quote), at + 1))
}

/// In any of the shapes that typesetters know.
fn is_quote(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2039}' | '\u{203a}' | '\u{300c}'..='\u{300f}' | '\u{ff02}')
}

/// serde_json stops behind the key.
fn start_of_key(text: &[u8], line: usize, column: usize) -> usize {
    let line = line_of(text, line);
    let line = &line[..line.len().min(column)];
    let mut quotes = (0..line.len()).rev().filter(|&at| line[at] == b'"');
    quotes.nth(1).map_or(column, |at| at + 1)
}

fn line_of(text: &[u8], line: usize) -> &[u8] {
    let mut lines = text.split(|b| *b == b'\n');
    lines.nth(line.saturating_sub(1)).unwrap_or_default()
}

/// Line and column as editors count them; to serde_json a line break is column 0 of the next line.
pub fn json_place(e: &serde_json::Error, text: &[u8]) -> (usize, usize) {
    match (e.line(), e.column()) {
        (line @ 2.., 0) => (line - 1, line_of(text, line - 1).len() + 1),
        (line, column) => (line, column.max(1)),
    }
}

/// serde_json's sentence without the position that it appends.
pub fn plain_json_error(e: &serde_json::Error) -> String {
    if e.is_eof() {
        return "the file ends too early".into();
    }
    let text = e.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}

/// An object each key of which stands there once.
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(json: D) -> std::result::Result<Object, D::Error> {
        json.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Object, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("{TWICE}{key}")));
            }
            map.insert(key, entries.next_value()?);
        }
        Ok(Object(map))
    }
}
