//! A line of a configuration for people to look at, with a caret below the place that is meant. Only what is
//! known to be no secret is shown. Text in it cannot move the terminal's cursor, and a long line is cut
//! around the caret.

use std::ops::Range;

use textwrap::core::display_width;

use super::tokens::{Kind, Token, is_invisible};
use crate::config::KEYS;
use crate::error::shown;

/// Columns for a line and the number in front of it.
const ROOM: usize = 64;
/// How many of them are before the caret where a line is cut.
const BEFORE: usize = 40;

/// Keys whose values may be shown: they are neither secrets nor paths to secrets.
const HARMLESS: &[&str] = &[
    "source_server",
    "source_user",
    "source_port",
    "source_tls",
    "target_server",
    "target_user",
    "target_port",
    "target_tls",
    "since",
    "connections",
    "upload_limit_per_day",
];

/// Part of a line: the text that is shown for its bytes from `start` on.
struct Piece {
    start: usize,
    shown: String,
    masked: bool,
}

/// Line `number` of `text`, which spans these bytes, with a caret below the byte `at`. Everything before the
/// byte `sure` was read as JSON.
pub(super) fn excerpt(
    text: &str,
    tokens: &[Token],
    (number, line): (usize, Range<usize>),
    at: usize,
    sure: usize,
) -> String {
    let secret = secrets(text, tokens, line.end, sure);
    let mut secret = secret.iter().peekable();
    let mut pieces: Vec<Piece> = Vec::new();
    let end = line.start + text[line.clone()].trim_end().len();
    for (offset, c) in text[line.start..end].char_indices() {
        let start = line.start + offset;
        while secret.next_if(|bytes| bytes.end <= start).is_some() {}
        let hidden = secret.peek().is_some_and(|bytes| bytes.start <= start);
        if hidden && pieces.last().is_some_and(|p| p.masked) {
            continue;
        }
        pieces.push(Piece {
            start,
            shown: match (hidden, c) {
                (true, _) => "***".into(),
                // One column, as in the line of the caret.
                (false, '\t') => " ".into(),
                (false, c) if is_invisible(c) => c.escape_unicode().to_string(),
                (false, c) => shown(c.encode_utf8(&mut [0; 4]).as_bytes()),
            },
            masked: hidden,
        });
    }
    let caret = if at >= end {
        pieces.len()
    } else {
        // Within a hidden piece it points to the piece's beginning.
        pieces.partition_point(|p| p.start <= at).saturating_sub(1)
    };
    drawn(number, &pieces, caret)
}

/// The line, cut to fit, and the caret below its piece `at`.
fn drawn(number: usize, pieces: &[Piece], at: usize) -> String {
    let width = |pieces: &[Piece]| {
        pieces
            .iter()
            .map(|p| display_width(&p.shown))
            .sum::<usize>()
    };
    // More of a line can never be shown, however long it is.
    let (mut from, mut to) = (at.saturating_sub(ROOM), pieces.len().min(at + ROOM));
    // The beginning is cut off only where it would push the caret out of sight.
    if from > 0 || width(&pieces[from..to]) > ROOM {
        while width(&pieces[from..at]) > BEFORE {
            from += 1;
        }
    }
    while to > at && width(&pieces[from..to]) > ROOM {
        to -= 1;
    }
    let text = |pieces: &[Piece]| pieces.iter().map(|p| &*p.shown).collect::<String>();
    let cut = |there: bool| if there { "…" } else { "" };
    let (begun, ended) = (cut(from > 0), cut(to < pieces.len()));
    let number = number.to_string();
    let margin = " ".repeat(number.len());
    let column = " ".repeat(display_width(begun) + width(&pieces[from..at]));
    let line = format!("{begun}{}{ended}", text(&pieces[from..to]));
    format!("  {number} | {line}\n  {margin} | {column}^\n")
}

/// The bytes up to `line_end` that are not shown: all that are no name of a key, no value of a harmless key
/// and no punctuation of JSON.
fn secrets(text: &str, tokens: &[Token], line_end: usize, sure: usize) -> Vec<Range<usize>> {
    let mut hidden: Vec<Range<usize>> = Vec::new();
    let mut key = "";
    let mut lists = 0;
    let mut before: Option<&Token> = None;
    let shown = tokens.iter().take_while(|t| t.start < line_end);
    for (i, token) in shown.enumerate() {
        let mut inner = token.inner(text);
        let word = &text[inner.clone()];
        let is_value = before.is_some_and(|t| t.is(b':') || t.kind == Kind::Other('='));
        let is_key = !is_value && tokens.get(i + 1).is_some_and(|t| t.is(b':'));
        let is_shown = match token.kind {
            Kind::Mark(mark) => {
                match mark {
                    b',' | b'}' => key = "",
                    b'[' => lists += 1,
                    b']' => lists -= 1,
                    _ => {}
                }
                true
            }
            // Directly beside something hidden, it may be a part of that.
            Kind::Other(_) => hidden.last().is_none_or(|bytes| bytes.end != token.start),
            Kind::Comment => {
                inner.start = inner.end - word.trim_start().len();
                inner.is_empty()
            }
            Kind::Word if word.trim_matches('-').is_empty() => true,
            _ if KEYS.contains(&word) => {
                let before = std::mem::replace(&mut key, word);
                !is_value || HARMLESS.contains(&before)
            }
            // What was read as a key is a key; after the mistake it may be a part of a password.
            _ if is_key => {
                key = "";
                token.end <= sure && lists == 0
            }
            // Where a quotation mark is missing, it may hold more than one value.
            _ => is_value && HARMLESS.contains(&key) && !word.contains([':', '"', '\'']),
        };
        if !is_shown && inner.start >= sure {
            // After the mistake nobody knows which value belongs to which key.
            hidden.push(inner.start..line_end);
            break;
        }
        if !is_shown {
            hidden.push(inner);
        }
        // A quotation mark of another kind may stand between a colon and its value.
        if !matches!(token.kind, Kind::Other(c) if c != '=') {
            before = Some(token);
        }
    }
    hidden
}
