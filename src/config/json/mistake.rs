//! What a person did wrong who wrote something that is no JSON: judged by what the file says, not by what the
//! parser expected.

use super::tokens::{Kind, Token, is_invisible, tokens};
use super::{BACKSLASH_HINT, plain_json_error};
use crate::config::{EXAMPLE_HINT, KEYS};
use crate::error::shown;
use crate::text::UTF_16_HINT;

const COMMENTS: &str = "JSON has no comments: take them out";
const QUOTES: &str = "JSON knows only the straight quotation mark (\"): put it in the place of each “ and ”, which come from word processors and web pages";
const NO_QUOTES: &str =
    "every key, and every text, stands in quotation marks: \"source_user\": \"you@example.org\"";
const INNER_QUOTE: &str = "if the quotation mark before it belongs to the text, as in a password, write it as \\\"; if not, a comma is missing here, or a quotation mark before";
const ENTRIES: &str = "entries are separated by one comma, and there is none after the last";
const BRACES: &str = "JSON begins with { and ends with }, with keys and text in quotation marks and commas between them: {\"source_server\": \"imap.example.org\", ...}; it is easiest to begin again with a copy of config.json.example";
const CLOSING: &str = "a text ends with a quotation mark in the line in which it began";

/// One mistake, and where it is.
pub(super) struct Mistake {
    pub(super) at: usize,
    pub(super) what: String,
    pub(super) hint: String,
    /// A parser would accept it: it is JSON, but not what was meant.
    pub(super) is_json: bool,
}

impl Mistake {
    fn new(at: usize, what: impl Into<String>, hint: impl Into<String>) -> Mistake {
        Mistake {
            at,
            what: what.into(),
            hint: hint.into(),
            is_json: false,
        }
    }

    pub(super) fn no_utf_8(at: usize) -> Mistake {
        Mistake::new(at, "a character that is not UTF-8", UTF_16_HINT)
    }

    /// `at`: at the end of the key.
    pub(super) fn twice(key: &str, text: &str, at: usize) -> Mistake {
        let all = tokens(text);
        let name = all
            .iter()
            .rfind(|t| t.start <= at && t.kind == Kind::Text(true));
        Mistake {
            is_json: true,
            ..Mistake::new(
                name.map_or(at, |t| t.start),
                format!("`{}` is given twice", shown(key.as_bytes())),
                "delete the wrong one: only one of them would be used",
            )
        }
    }

    /// The mistake because of which the parser gave up at the byte `at`.
    pub(super) fn of(e: &serde_json::Error, text: &str, at: usize) -> Mistake {
        let all = tokens(text);
        let seen = Seen {
            text,
            at,
            before: all
                .iter()
                .rposition(|t| t.end <= at)
                .map(|i| &all[..=i])
                .unwrap_or_default(),
            here: all.iter().find(|t| t.end > at).copied(),
            words: plain_json_error(e),
            is_end: e.is_eof(),
        };
        seen.no_json_at_all(&all)
            .or_else(|| seen.end())
            .or_else(|| seen.within_text())
            .or_else(|| seen.foreign())
            .or_else(|| seen.commas())
            .or_else(|| seen.keys())
            .or_else(|| seen.values())
            .unwrap_or_else(|| Mistake::new(at, seen.words.clone(), EXAMPLE_HINT))
    }
}

/// The file up to where the parser gave up.
struct Seen<'t> {
    text: &'t str,
    at: usize,
    /// The tokens that were understood.
    before: &'t [Token],
    /// The token that was not, or the one that comes next.
    here: Option<Token>,
    words: String,
    is_end: bool,
}

impl Seen<'_> {
    fn last(&self) -> Option<&Token> {
        self.before.last()
    }

    /// The brackets that are open here, outermost first: `{` or `[`.
    fn open(&self) -> Vec<u8> {
        let mut open = Vec::new();
        for token in self.before {
            match token.kind {
                Kind::Mark(mark @ (b'{' | b'[')) => open.push(mark),
                Kind::Mark(b'}' | b']') => _ = open.pop(),
                _ => {}
            }
        }
        open
    }

    fn no_json_at_all(&self, all: &[Token]) -> Option<Mistake> {
        let first = all.iter().find(|t| t.kind != Kind::Comment)?;
        if self.text.starts_with("SQLite format 3\0") {
            let what = "this is a database (a ledger?), expected a configuration";
            return Some(Mistake::new(
                0,
                what,
                "the ledger is named with --state-file",
            ));
        }
        let next = all.iter().find(|t| t.start >= first.end);
        let names = matches!(
            first.kind,
            Kind::Word | Kind::Text(_) | Kind::Apostrophes(_)
        );
        let section = first.is(b'[') && next.is_some_and(|t| t.kind == Kind::Word);
        let set = next.is_some_and(|t| t.is(b':') || t.kind == Kind::Other('='));
        let beginning = &self.text[first.start..];
        let dashes = beginning.starts_with("---") || beginning.starts_with("- ");
        if !(section || dashes || (names && set)) {
            return None;
        }
        Some(Mistake::new(
            first.start,
            "this looks like YAML or INI, expected JSON",
            BRACES,
        ))
    }

    fn end(&self) -> Option<Mistake> {
        if !self.is_end {
            return None;
        }
        let all = tokens(self.text);
        if let Some(text) = all.last().filter(|t| t.kind == Kind::Text(false)) {
            return Some(self.no_end(text.start));
        }
        let end = all.last().map_or(0, |t| t.end);
        let last = Seen {
            before: &all,
            ..Seen {
                here: None,
                words: String::new(),
                ..*self
            }
        };
        let closing = match last.open().last()? {
            b'[' => ']',
            _ => '}',
        };
        Some(Mistake::new(
            end,
            format!("the file ends, and its closing {closing} is missing"),
            format!(
                "put {closing} after the last entry; if more is missing, the file was cut short"
            ),
        ))
    }

    fn within_text(&self) -> Option<Mistake> {
        let words = &*self.words;
        if words.starts_with("control character") {
            let text = tokens(&self.text[..self.at]);
            let start = text.last().map_or(self.at, |t| t.start);
            return Some(match self.text[self.at..].chars().next() {
                Some('\n' | '\r') | None => self.no_end(start),
                Some('\t') => Mistake::new(
                    self.at,
                    "a tab within text",
                    "write \\t if it is meant; if the text should end before it, a quotation mark is missing",
                ),
                Some(c) => Mistake::new(
                    self.at,
                    format!("the control character {} within text", c.escape_unicode()),
                    "delete it",
                ),
            });
        }
        let escape = ["invalid escape", "lone", "unexpected end of hex escape"];
        if escape.iter().any(|beginning| words.starts_with(beginning)) {
            let slash = self.text[..self.at].rfind('\\').unwrap_or(self.at);
            return Some(Mistake::new(
                slash,
                "a single backslash within text",
                BACKSLASH_HINT,
            ));
        }
        None
    }

    /// A text that began at `start` and goes on to the end of its line.
    fn no_end(&self, start: usize) -> Mistake {
        let line = self.text[start..].lines().next().unwrap_or_default();
        match line.char_indices().rfind(|(_, c)| is_quote(*c)) {
            // It ends with another quotation mark than it began with.
            Some((n, quote)) => quotation_mark(start + n, quote),
            None => Mistake::new(
                start,
                "this text has no quotation mark at its end",
                if line.contains("\\\"") {
                    BACKSLASH_HINT
                } else {
                    CLOSING
                },
            ),
        }
    }

    /// What other languages write, or web pages.
    fn foreign(&self) -> Option<Mistake> {
        let here = self.here.filter(|t| t.start == self.at)?;
        Some(match here.kind {
            Kind::Comment => Mistake::new(self.at, "a comment", COMMENTS),
            Kind::Apostrophes(_) => quotation_mark(self.at, '\''),
            Kind::Other(c) if is_quote(c) || c == '`' => quotation_mark(self.at, c),
            Kind::Other(c) if is_invisible(c) => Mistake::new(
                self.at,
                format!("a character that cannot be seen (U+{:04X})", u32::from(c)),
                "delete it, and type a blank where one is needed: it comes along when text is copied from a web page",
            ),
            _ => return None,
        })
    }

    fn commas(&self) -> Option<Mistake> {
        let here = self.here.filter(|t| t.start == self.at)?;
        let last = self.last()?;
        let in_list = self.open().last() == Some(&b'[');
        let between = self.words.starts_with("expected `,`");
        Some(match here.kind {
            Kind::Mark(b'}' | b']') if last.is(b',') => Mistake::new(
                last.start,
                "a comma with nothing after it",
                "delete it: entries are separated by one comma, and there is none after the last",
            ),
            Kind::Mark(b',') if last.is(b',') || last.is(b'{') || last.is(b'[') => {
                Mistake::new(self.at, "a comma too many", ENTRIES)
            }
            _ if self.words.starts_with("trailing characters") => Mistake::new(
                self.at,
                "something after the } that ends the configuration",
                "delete it; if it belongs to the configuration, that } stands too early",
            ),
            Kind::Mark(close @ (b'}' | b']')) if between => Mistake::new(
                self.at,
                format!(
                    "got {}, expected {} first",
                    char::from(close),
                    if in_list { ']' } else { '}' }
                ),
                "each { needs its }, and each [ its ]",
            ),
            Kind::Mark(b':') if between => Mistake::new(
                self.at,
                "a colon where a comma should be",
                "a colon stands between a key and its value, a comma between two entries",
            ),
            Kind::Other(c) if between => Mistake::new(
                self.at,
                format!(
                    "got {}, expected a comma or }}",
                    shown(c.to_string().as_bytes())
                ),
                ENTRIES,
            ),
            _ if between && last.kind == Kind::Text(true) && last.end == here.start => {
                Mistake::new(
                    self.at,
                    "something stands right after the closing quotation mark of a text",
                    INNER_QUOTE,
                )
            }
            _ if between => Mistake::new(
                last.end,
                "a comma is missing",
                "put a comma here: entries are separated by one",
            ),
            _ => return None,
        })
    }

    fn keys(&self) -> Option<Mistake> {
        let here = self.here.filter(|t| t.start == self.at)?;
        if self.words.starts_with("expected `:`") {
            let last = self.last()?;
            if last.end == here.start && matches!(here.kind, Kind::Word | Kind::Text(_)) {
                return Some(Mistake::new(
                    self.at,
                    "something stands right after the closing quotation mark of a text",
                    "a quotation mark is missing before it, as after the name of a key",
                ));
            }
            let (at, what) = match here.kind {
                Kind::Other('=') => (self.at, "got =, expected a colon"),
                _ => (last.end, "a colon is missing"),
            };
            return Some(Mistake::new(
                at,
                what,
                "between a key and its value stands a colon: \"connections\": 3",
            ));
        }
        if !self.words.starts_with("key must be a string") {
            return None;
        }
        let word = &self.text[here.start..here.end];
        let hint = if KEYS.contains(&word) {
            format!("write \"{word}\"")
        } else {
            NO_QUOTES.into()
        };
        Some(match here.kind {
            Kind::Word => Mistake::new(self.at, "a key without quotation marks", hint),
            _ => Mistake::new(self.at, "no key where one should be", NO_QUOTES),
        })
    }

    fn values(&self) -> Option<Mistake> {
        // The parser may have read a word, or a part of it.
        let read = self
            .last()
            .filter(|t| t.kind == Kind::Word && t.end == self.at);
        let here = read.copied().or(self.here).filter(|t| t.start <= self.at)?;
        if self.before.is_empty() {
            return Some(Mistake::new(
                self.at,
                "a configuration begins with {",
                BRACES,
            ));
        }
        let python = ["True", "False", "None"];
        let yes_or_no = ["true", "false", "null"];
        let word = &self.text[here.start..here.end];
        let digits = word.trim_start_matches(['+', '-', '.']);
        Some(match here.kind {
            Kind::Word if python.contains(&word) => Mistake::new(
                here.start,
                format!("`{word}` is Python, not JSON"),
                "text stands in quotation marks, like \"none\"; a key that you do not need is left out",
            ),
            Kind::Word if yes_or_no.contains(&word.to_lowercase().as_str()) => Mistake::new(
                here.start,
                format!("`{word}` with capital letters"),
                "JSON writes true, false and null in small letters",
            ),
            Kind::Word if digits.starts_with(|c: char| c.is_ascii_digit()) && is_number(word) => {
                Mistake::new(
                    here.start,
                    "a number that JSON does not know",
                    "a number is written with its digits alone, without zeros before it: 993; everything else is text, in quotation marks",
                )
            }
            Kind::Word => Mistake::new(here.start, "text without quotation marks", NO_QUOTES),
            Kind::Mark(b',' | b'}' | b']') => Mistake::new(
                self.last().map_or(self.at, |t| t.end),
                "a value is missing",
                "after the colon of a key stands its value; a key that you do not need is left out",
            ),
            Kind::Other(c) => Mistake::new(
                self.at,
                format!("got {}, expected a value", shown(c.to_string().as_bytes())),
                NO_QUOTES,
            ),
            _ => return None,
        })
    }
}

fn quotation_mark(at: usize, quote: char) -> Mistake {
    Mistake::new(at, format!("the quotation mark {quote}"), QUOTES)
}

/// Does it consist of digits, signs and points alone?
fn is_number(word: &str) -> bool {
    word.chars()
        .all(|c| c.is_ascii_digit() || "+-.eE".contains(c))
}

/// Is it a quotation mark, in any of the shapes that typesetters know?
fn is_quote(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2039}' | '\u{203a}' | '\u{300c}'..='\u{300f}' | '\u{ff02}')
}
