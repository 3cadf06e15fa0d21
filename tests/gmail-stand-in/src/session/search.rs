//! SEARCH, with what it fails to find (docs/gmail.md 4.4) and what it does not know yet (4.5).

use chrono::{DateTime, NaiveDate, Utc};
use sha2::{Digest as _, Sha256};

use super::view::Row;
use super::{BAD, Command, Session};
use crate::message::{Message, Place};
use crate::syntax::{Token, as_set, quote};

/// What a message must be.
enum Key {
    All,
    Not(Box<Key>),
    Or(Box<Key>, Box<Key>),
    And(Vec<Key>),
    /// Positions in the view.
    At(Vec<usize>),
    Flag(&'static str),
    Date(std::cmp::Ordering, NaiveDate),
    Header(String, String),
    /// As RFC 3501 has it, and Gmail has not.
    Substring(String, String),
    Id(u64),
    Thread(u64),
    Label(String),
    Raw(String),
    Nothing,
}

impl Session {
    pub(super) fn search(&mut self, command: &Command, args: &[Token]) {
        let by_uid = command.name.starts_with("UID");
        let mut args = args;
        let mut wanted = None;
        if let [word, Token::List(options), rest @ ..] = args
            && word.is_atom("RETURN")
        {
            wanted = Some(options.as_slice());
            args = rest;
        }
        let charset = args.first().is_some_and(|word| word.is_atom("CHARSET"));
        if charset {
            args = args.get(2..).unwrap_or_default();
        }
        let Some(key) = self.keys(args, charset) else {
            self.answer(&command.tag, BAD);
            return;
        };
        let now = self.shared.clock.now();
        let misses = self.knobs().search_misses;
        let view = self.view.as_ref().expect("only with a mailbox selected");
        let numbers: Vec<u32> = view
            .rows
            .iter()
            .enumerate()
            .filter(|(at, row)| known(row, now) && holds(&key, *at, &row.message, misses))
            .map(|(at, row)| if by_uid { row.uid } else { at as u32 + 1 })
            .collect();
        let line = match wanted {
            Some(wanted) => extended(&command.tag, by_uid, wanted, &numbers),
            None => {
                let numbers = numbers.iter().map(|number| format!(" {number}"));
                format!("* SEARCH{}", numbers.collect::<String>())
            }
        };
        self.wire.say(&line);
        self.ok(&command.tag, "OK SEARCH completed (Success)");
    }

    fn keys(&self, args: &[Token], charset: bool) -> Option<Key> {
        let mut rest = args;
        let mut keys = Vec::new();
        while !rest.is_empty() {
            keys.push(self.key(&mut rest, charset)?);
        }
        (!keys.is_empty()).then_some(Key::And(keys))
    }

    fn key(&self, rest: &mut &[Token], charset: bool) -> Option<Key> {
        let (word, after) = rest.split_first()?;
        *rest = after;
        if let Token::List(keys) = word {
            return self.keys(keys, charset);
        }
        let Token::Atom(word) = word else { return None };
        let word = word.to_ascii_uppercase();
        let flag = |flag| Some(Key::Flag(flag));
        let without = |flag| Some(Key::Not(Box::new(Key::Flag(flag))));
        match word.as_str() {
            "ALL" | "OLD" => return Some(Key::All),
            "NEW" | "RECENT" => return Some(Key::Nothing),
            "NOT" => return Some(Key::Not(Box::new(self.key(rest, charset)?))),
            "OR" => {
                let first = Box::new(self.key(rest, charset)?);
                return Some(Key::Or(first, Box::new(self.key(rest, charset)?)));
            }
            "SEEN" => return flag("\\Seen"),
            "UNSEEN" => return without("\\Seen"),
            "ANSWERED" => return flag("\\Answered"),
            "FLAGGED" => return flag("\\Flagged"),
            "UNFLAGGED" => return without("\\Flagged"),
            "DELETED" => return flag("\\Deleted"),
            "UNDELETED" => return without("\\Deleted"),
            "DRAFT" => return flag("\\Draft"),
            _ => {}
        }
        let view = self.view.as_ref()?;
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '*') {
            return Some(Key::At(view.chosen(&word, false)?));
        }
        let (argument, after) = rest.split_first()?;
        *rest = after;
        let text = argument.text()?;
        let gmail = self.shared.gmail();
        let quoted = matches!(argument, Token::Text(_));
        if !charset && !text.is_ascii() {
            return None;
        }
        Some(match word.as_str() {
            "UID" => Key::At(view.chosen(&text, true)?),
            "SINCE" => Key::Not(Box::new(Key::Date(std::cmp::Ordering::Less, day(&text)?))),
            "BEFORE" => Key::Date(std::cmp::Ordering::Less, day(&text)?),
            "ON" => Key::Date(std::cmp::Ordering::Equal, day(&text)?),
            "FROM" | "TO" | "SUBJECT" | "CC" if gmail => Key::Header(word, text),
            "FROM" | "TO" | "SUBJECT" | "CC" => Key::Substring(word, text),
            "HEADER" => {
                let (value, after) = rest.split_first()?;
                *rest = after;
                let value = value.text()?;
                if gmail {
                    Key::Header(text, value)
                } else {
                    Key::Substring(text, value)
                }
            }
            "X-GM-MSGID" if gmail => Key::Id(text.parse().ok()?),
            "X-GM-THRID" if gmail => Key::Thread(text.parse().ok()?),
            // A bare \Inbox is refused (docs/gmail.md 4.3), and so are unquoted ids (4.4).
            "X-GM-LABELS" if gmail && (quoted || !text.starts_with('\\')) => Key::Label(text),
            "X-GM-RAW" if gmail && (quoted || !text.contains(['@', '+', '<'])) => Key::Raw(text),
            _ => return None,
        })
    }
}

fn day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%d-%b-%Y").ok()
}

/// The index is behind (docs/gmail.md 4.5); FETCH is not.
fn known(row: &Row, now: DateTime<Utc>) -> bool {
    row.message.indexed_at <= now
}

fn holds(key: &Key, at: usize, message: &Message, misses: u8) -> bool {
    let holds = |key| holds(key, at, message, misses);
    match key {
        Key::All => true,
        Key::Nothing => false,
        Key::Not(key) => !holds(key),
        Key::Or(one, other) => holds(one) || holds(other),
        Key::And(keys) => keys.iter().all(holds),
        Key::At(places) => places.binary_search(&at).is_ok(),
        Key::Flag(flag) => message.flags.contains(*flag),
        Key::Date(order, day) => message.internal_date.date_naive().cmp(day) == *order,
        Key::Header(name, value) => header_holds(message, name, value, misses),
        Key::Substring(name, value) => message
            .header(name)
            .is_some_and(|header| header.to_lowercase().contains(&value.to_lowercase())),
        Key::Id(id) => message.id == *id,
        Key::Thread(thread) => message.thread == *thread,
        Key::Label(label) => message.labels.contains(label),
        Key::Raw(query) => raw_holds(message, query, misses),
    }
}

/// Gmail searches words, not substrings, finds nothing by References, everything by "", and not every Message-ID.
fn header_holds(message: &Message, name: &str, value: &str, misses: u8) -> bool {
    if value.is_empty() {
        return true;
    }
    if name.eq_ignore_ascii_case("References") {
        return false;
    }
    let Some(header) = message.header(name) else {
        return false;
    };
    if name.eq_ignore_ascii_case("Message-ID") {
        return same_id(&header, value)
            && !value.contains(['{', '}', '!', '&'])
            && !missed(&header, misses);
    }
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let there = words(&header);
    words(value).iter().all(|word| there.contains(word))
}

fn same_id(one: &str, other: &str) -> bool {
    let bare = |id: &str| id.trim_matches(['<', '>']).to_lowercase();
    bare(one) == bare(other)
}

/// Always the same ones.
fn missed(id: &str, percent: u8) -> bool {
    Sha256::digest(id.as_bytes())[0] % 100 < percent
}

/// The query language of the web, as far as a copier might use it: terms, OR between them, `rfc822msgid:`, `label:`.
/// `in:anywhere` changes nothing: only the selected mailbox is searched.
fn raw_holds(message: &Message, query: &str, misses: u8) -> bool {
    let mut groups: Vec<bool> = Vec::new();
    let mut or = false;
    for term in query.split_whitespace() {
        if term == "OR" {
            or = true;
            continue;
        }
        let held = term_holds(message, term, misses);
        match groups.last_mut() {
            Some(group) if or => *group |= held,
            _ => groups.push(held),
        }
        or = false;
    }
    groups.into_iter().all(|group| group)
}

fn term_holds(message: &Message, term: &str, misses: u8) -> bool {
    let (operator, value) = term.split_once(':').unwrap_or(("", term));
    match operator {
        "rfc822msgid" => message
            .message_id
            .as_ref()
            .is_some_and(|id| same_id(id, value) && !missed(id, misses)),
        "label" => message.labels.iter().any(|label| {
            let label = label.trim_start_matches('\\').replace([' ', '/'], "-");
            label.eq_ignore_ascii_case(value)
        }),
        "in" => match value {
            "spam" => message.place == Place::Spam,
            "trash" => message.place == Place::Trash,
            "inbox" => message.labels.contains("\\Inbox"),
            _ => true,
        },
        _ => String::from_utf8_lossy(&message.bytes)
            .to_lowercase()
            .contains(&term.to_lowercase()),
    }
}

/// `* ESEARCH (TAG "A1") UID ALL 1:3,5` (docs/gmail.md 1.8)
fn extended(tag: &str, by_uid: bool, wanted: &[Token], numbers: &[u32]) -> String {
    let mut line = format!("* ESEARCH (TAG {})", quote(tag));
    if by_uid {
        line.push_str(" UID");
    }
    let asks = |word: &str| wanted.iter().any(|option| option.is_atom(word));
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
        if asks("MIN") {
            line.push_str(&format!(" MIN {first}"));
        }
        if asks("MAX") {
            line.push_str(&format!(" MAX {last}"));
        }
        if asks("ALL") || wanted.is_empty() {
            line.push_str(&format!(" ALL {}", as_set(numbers)));
        }
    }
    if asks("COUNT") {
        line.push_str(&format!(" COUNT {}", numbers.len()));
    }
    line
}
