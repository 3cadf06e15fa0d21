//! Reads a configuration's JSON, or says what is wrong with it and where. A key that is there twice is wrong
//! too, though JSON allows it: a parser would silently ignore one of the two values.

use std::fmt;
use std::path::Path;
use std::str;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{EXAMPLE_HINT, kind};
use crate::error::{Error, Result};
use crate::text::{self, shell_word};

mod excerpt;
mod mistake;
mod tokens;
mod unread;

use excerpt::excerpt;
use mistake::Mistake;
use tokens::tokens;

/// Marks the error about a key that is there twice on its way through serde.
const TWICE: &str = "given twice: ";

pub(super) const BACKSLASH_HINT: &str = "in JSON a backslash and the letter after it stand for something else: write \\\\ for one that is meant, and \\\" for a quotation mark within text";

pub(super) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let bytes = unread::bytes(path)?;
    let bytes = text::plain(&bytes).ok_or_else(|| {
        Error::usage(format!("{}: {}", path.display(), text::UTF_16)).hint(text::UTF_16_HINT)
    })?;
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let read = &bytes[..e.valid_up_to()];
            let text = str::from_utf8(read).unwrap_or_default();
            let mistake = Mistake::no_utf_8(text.len());
            return Err(mistake.error(path, text, text.len()));
        }
    };
    if text.trim().is_empty() {
        return Err(
            Error::usage(format!("{}: the file is empty", path.display())).hint(format!(
                "`install -m 600 config.json.example {}` makes a complete one, for you to put your accounts into",
                shell_word(&path.display().to_string())
            )),
        );
    }
    let Object(map) = serde_json::from_str(text).map_err(|e| wrong(path, &e, text))?;
    Ok(map)
}

/// The value that `key` probably has in a file that may be no JSON. None where nothing can be read.
pub(super) fn probable_text(path: &Path, key: &str) -> Option<Option<String>> {
    let bytes = unread::bytes(path).ok()?;
    let text = String::from_utf8_lossy(text::plain(&bytes)?);
    let all = tokens(&text);
    let value = all.windows(3).find_map(|three| match three {
        [name, colon, value] if colon.is(b':') && text[name.inner(&text)] == *key => Some(value),
        _ => None,
    });
    let value = value.filter(|value| value.kind == tokens::Kind::Text(true));
    Some(value.and_then(|value| serde_json::from_str(&text[value.start..value.end]).ok()))
}

fn wrong(path: &Path, e: &serde_json::Error, text: &str) -> Error {
    let at = place(e, text);
    if let Some(key) = plain_json_error(e).strip_prefix(TWICE) {
        return Mistake::twice(key, text, at).error(path, text, at);
    }
    if e.is_data() {
        // It is no object. serde_json's sentence about that would quote the value, which may be a secret.
        return match serde_json::from_str::<Value>(text) {
            Err(e) => wrong(path, &e, text),
            Ok(other) => Error::usage(format!(
                "{}: got {}, expected an object like {{\"source_server\": ...}}",
                path.display(),
                kind(&other)
            ))
            .hint(EXAMPLE_HINT),
        };
    }
    Mistake::of(e, text, at).error(path, text, at)
}

impl Mistake {
    /// `sure`: everything before this byte was read as JSON.
    fn error(&self, path: &Path, text: &str, sure: usize) -> Error {
        let start = text[..self.at].rfind('\n').map_or(0, |at| at + 1);
        let end = text[self.at..]
            .find('\n')
            .map_or(text.len(), |n| self.at + n);
        let line = text[..start].matches('\n').count() + 1;
        let column = text[start..self.at].chars().count() + 1;
        let what = if self.is_json { "at" } else { "not JSON at" };
        let mut error = Error::usage(format!(
            "{}: {what} line {line}, column {column}: {}",
            path.display(),
            self.what
        ))
        .hint(&*self.hint);
        let cut = tokens(text);
        error.excerpt = Some(excerpt(text, &cut, (line, start..end), self.at, sure));
        error
    }
}

/// The byte at which serde_json gave up.
fn place(e: &serde_json::Error, text: &str) -> usize {
    let (line, column) = byte_place(e, text.as_bytes());
    let mut lines = text.split('\n').take(line - 1);
    let before: usize = lines.by_ref().map(|l| l.len() + 1).sum();
    let mut at = (before + column - 1).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn line_of(text: &[u8], line: usize) -> &[u8] {
    let mut lines = text.split(|b| *b == b'\n');
    lines.nth(line.saturating_sub(1)).unwrap_or_default()
}

/// To serde_json a line break is column 0 of the next line.
fn byte_place(e: &serde_json::Error, text: &[u8]) -> (usize, usize) {
    match (e.line(), e.column()) {
        (line @ 2.., 0) => (line - 1, line_of(text, line - 1).len() + 1),
        (line, column) => (line.max(1), column.max(1)),
    }
}

/// Line and column as editors count them, in characters.
pub fn json_place(e: &serde_json::Error, text: &[u8]) -> (usize, usize) {
    let (line, column) = byte_place(e, text);
    let before = line_of(text, line);
    let before = &before[..before.len().min(column - 1)];
    let missing = column - 1 - before.len();
    (
        line,
        String::from_utf8_lossy(before).chars().count() + missing + 1,
    )
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

/// An object in which no key is there twice, nor in any object within it.
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

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> std::result::Result<Object, A::Error> {
        whole(entries).map(Object)
    }
}

/// All entries, if no key is there twice.
fn whole<'de, A: MapAccess<'de>>(
    mut entries: A,
) -> std::result::Result<Map<String, Value>, A::Error> {
    let mut map = Map::new();
    while let Some(key) = entries.next_key::<String>()? {
        if map.contains_key(&key) {
            return Err(A::Error::custom(format!("{TWICE}{key}")));
        }
        let Inner(value) = entries.next_value()?;
        map.insert(key, value);
    }
    Ok(map)
}

/// A value within an object.
struct Inner(Value);

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(json: D) -> std::result::Result<Inner, D::Error> {
        json.deserialize_any(InnerVisitor).map(Inner)
    }
}

struct InnerVisitor;

impl<'de> Visitor<'de> for InnerVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Inner(value)) = items.next_element()? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> std::result::Result<Value, A::Error> {
        whole(entries).map(Value::Object)
    }
}
