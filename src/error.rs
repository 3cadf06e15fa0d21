//! What went wrong, whom it concerns, and the words for it.
//!
//! An [`Error`] is made where the cause is known (the server's words, the file's name) and printed
//! once, by `cli`, or kept in the ledger. What follows from it is said by one table, [`Reaction`], which
//! is asked by its [`Fault`]. Not for logging: that is `cli`'s and the engine's.

use std::fmt;
use std::time::Duration;

mod fault;

pub use fault::{Again, Charge, Fault, Reaction, Scope};

/// One trouble: a sentence that says what, where, got and expected, and what a person can do.
#[derive(Clone, Debug)]
pub struct Error {
    pub fault: Fault,
    pub message: String,
    pub hint: Option<String>,
    /// The line of a file that is meant, with what points at the place: for a screen, in lines of their own.
    pub excerpt: Option<String>,
    /// How long the server asked us to wait, when it said so.
    pub delay: Option<Duration>,
    /// A server refused who we say we are: with a token, one more try with a renewed one is due. Or a
    /// token endpoint knows the refresh token no more.
    pub credentials_refused: bool,
    /// A server said that it ends the session (BYE), as it may at any moment.
    pub goodbye: bool,
    /// A message is listed and not handed over: mostly it is in a moment.
    pub withheld: bool,
    /// A server's words sound as if the mailbox were not there. They are said of messages too.
    pub perhaps_missing: bool,
    /// It is the daily limit of our own configuration: new mail may still fit.
    pub own_limit: bool,
}

/// What a person should know, though nothing was kept from working by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub message: String,
    pub hint: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.hint)
    }
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(fault: Fault, message: impl Into<String>) -> Error {
        Error {
            fault,
            message: message.into(),
            hint: None,
            excerpt: None,
            delay: None,
            credentials_refused: false,
            goodbye: false,
            withheld: false,
            perhaps_missing: false,
            own_limit: false,
        }
    }

    pub fn connection(message: impl Into<String>) -> Error {
        Error::new(Fault::Connection, message)
    }

    pub fn fatal(message: impl Into<String>) -> Error {
        Error::new(Fault::Fatal, message)
    }

    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(Fault::Usage, message)
    }

    /// How far it reaches.
    pub fn scope(&self) -> Scope {
        self.fault.scope()
    }

    /// What follows from it.
    pub fn reaction(&self) -> Reaction {
        self.fault.reaction()
    }

    /// Of several troubles at once the gravest is told.
    pub fn gravity(&self) -> u8 {
        // Whatever else goes wrong is tried again before a day is over.
        if self.own_limit {
            0
        } else {
            self.reaction().gravity
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a hint, also where the cause alone gave none.
    #[must_use]
    pub fn advised(&self) -> Error {
        let mut error = self.clone();
        if error.hint.is_none() && error.scope() == Scope::Session {
            error.hint = Some(OUT_OF_REACH.into());
        }
        error
    }

    /// For a line of the log: what went wrong, and what is done about it.
    pub fn then(&self, what: &str) -> String {
        joined(&[&self.message, what])
    }

    /// The same, and what a person can do.
    pub fn in_full(&self, what: &str) -> String {
        let hint = self.hint.as_ref().map(|h| format!("hint: {h}"));
        joined(&[&self.message, what, hint.as_deref().unwrap_or_default()])
    }

    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Error {
        self.fault = fault;
        self
    }
}

const OUT_OF_REACH: &str = "nothing is lost; if it lasts: is the server up, is this machine online, and are the server's name and port right in the configuration?";

/// One line out of several sentences: a server's words often end with a stop of their own.
fn joined(parts: &[&str]) -> String {
    let mut out = String::new();
    for part in parts.iter().map(|p| p.trim_end_matches(['.', ';', ' '])) {
        if !(out.is_empty() || part.is_empty()) {
            out += if out.ends_with(['?', '!']) { " " } else { "; " };
        }
        out += part;
    }
    out
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The most characters of foreign text that one sentence, log line or row holds.
pub const SHOWN_MAX: usize = 400;

/// Foreign bytes (a server's words, a header) as text that is safe to print: one line, control
/// characters and invisible direction marks escaped, at most [`SHOWN_MAX`] characters.
pub fn shown(bytes: &[u8]) -> String {
    shown_within(bytes, SHOWN_MAX)
}

/// As [`shown`], with a bound of `max` characters; `…` stands for what is left out.
pub fn shown_within(bytes: &[u8], max: usize) -> String {
    // A character has at most 4 bytes, so nothing past this can be shown anyway.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(max.saturating_mul(4) + 4)]);
    let mut out = String::new();
    let mut room = max;
    for c in text.chars() {
        let escaped = (c.is_control() || is_direction_mark(c)) && c != '\t';
        let takes = if escaped {
            c.escape_unicode().count()
        } else {
            1
        };
        let Some(left) = room.checked_sub(takes) else {
            out.push('…');
            break;
        };
        room = left;
        match c {
            '\t' => out.push(' '),
            c if escaped => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Unicode's bidirectional controls and line separators can make a line read as another one.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_a_line_are_joined_by_one_mark() {
        let e = Error::connection("a server: NO failed.").hint("look there");
        assert_eq!(e.then("trying again"), "a server: NO failed; trying again");
        assert_eq!(e.in_full(""), "a server: NO failed; hint: look there");
        let e = Error::connection("is it there?");
        assert_eq!(e.then("looking again"), "is it there? looking again");
        let e = Error::connection("out of reach");
        assert_eq!(
            e.in_full("next try in 5 s"),
            "out of reach; next try in 5 s"
        );
        assert!(
            e.advised()
                .in_full("")
                .contains("out of reach; hint: nothing is lost")
        );
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor_or_grow() {
        assert_eq!(shown(b"a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\u{d}\\u{a}");
        assert_eq!(
            shown("abc\u{202e}txt".as_bytes()),
            "abc\\u{202e}txt".to_string()
        );
        assert_eq!(shown(b"J\xf6rg"), "J\u{fffd}rg");
        assert_eq!(shown_within(b"abcdef", 3), "abc…");
        assert!(shown(&vec![b'x'; 1 << 20]).len() < SHOWN_MAX + 8);
        // An escape counts for as many characters as it has, and none is cut in two.
        assert_eq!(shown_within(b"ab\x07cd", 7), "ab\\u{7}…");
        assert_eq!(shown_within(b"ab\x07cd", 6), "ab…");
        assert!(shown(&vec![0; 1 << 20]).len() < SHOWN_MAX + 8);
    }
}
