//! One line at the bottom of a terminal, which stays whole while other lines are written above it.
//!
//! The cursor stays after its last letter: the `^C` that a terminal echoes appears on this line, and is
//! erased with it. (At the right edge, where progress bars usually leave the cursor, it would appear on the
//! next line.)

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use terminal_size::{Width, terminal_size_of};
use textwrap::core::display_width;

/// Moves the cursor to the beginning of the line and erases it.
const CLEAR: &str = "\r\x1b[K";
/// Columns left free for the echo of `^C`.
const SPARE: usize = 3;

/// The line at the bottom of stderr. Every clone is the same line.
#[derive(Clone, Debug)]
pub struct Bottom(Arc<Mutex<String>>);

impl Bottom {
    /// None where stderr is no terminal, or one that cannot move its cursor.
    pub fn new() -> Option<Bottom> {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t.is_empty() || t == "dumb");
        (!dumb && io::stderr().is_terminal()).then(|| Bottom(Arc::default()))
    }

    /// Shows this in place of the line before; an empty text erases it.
    pub fn show(&self, text: &str) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !(shown.is_empty() && text.is_empty()) {
            draw(text);
        }
        text.clone_into(&mut shown);
    }

    /// Runs this: what it writes to the same terminal appears above the line.
    pub(super) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_empty() {
            return write();
        }
        draw("");
        let end = write();
        draw(&shown);
        end
    }
}

/// Errors are ignored: the program goes on when its terminal is closed.
fn draw(text: &str) {
    let width = terminal_size_of(io::stderr()).map_or(80, |(Width(w), _)| usize::from(w));
    let text = cut(text, width.saturating_sub(SPARE));
    let _ = io::stderr().write_all(format!("{CLEAR}{text}").as_bytes());
}

/// The part of the text that fits into so many columns.
fn cut(text: &str, columns: usize) -> String {
    if display_width(text) <= columns {
        return text.to_string();
    }
    let mut out = text.to_string();
    while display_width(&out) + 1 > columns && out.pop().is_some() {}
    out + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(cut("12 of 34", 8), "12 of 34");
        assert_eq!(cut("12 of 345", 8), "12 of 3…");
        assert_eq!(cut("日本語です", 7), "日本語…");
        assert_eq!(cut("日本語です", 0), "…");
    }
}
