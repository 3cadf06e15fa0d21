//! What a server said: one response (RFC 3501 7), cut into tokens.
//!
//! This parser takes any bytes: 8-bit text, flags that are no atoms, unknown items, deep nesting.
//! What it cannot read becomes `None` for that one response; nothing panics, and no byte is read twice.
//! The bytes come framed from `wire`; what the parts mean for a session is said in `session`.

use chrono::{Datelike as _, Timelike as _};

use crate::message::{
    Discovered, Flags, MessageId, Time, Uid, UidValidity, date_text, makes_sense,
};

mod token;

use token::tokens;
pub use token::{Part, Token, announced_literal};

/// UIDs in one SEARCH: each takes up to twice the memory of its bytes on the wire.
const MAX_UIDS: usize = 2_000_000;
/// Capabilities of one server. Gmail has 20, Dovecot 40.
const MAX_CAPABILITIES: usize = 500;
/// How much of a status text is kept: nobody reads more, and a CAPABILITY code is shorter.
const MAX_STATUS: usize = 16 << 10;

/// The three answers to a command, and the two that a server sends unasked (RFC 3501 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// A status response's text, its code in brackets apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusText {
    pub status: Status,
    /// What stood in the brackets, as sent.
    pub code: Option<Vec<u8>>,
    /// The server's words: everything after the status word, code included.
    pub words: Vec<u8>,
}

impl StatusText {
    /// Reads the bytes after `*` or the tag: `NO [LIMIT] too big`.
    pub fn parse(line: &[u8]) -> Option<StatusText> {
        let (word, rest) = word(line);
        let status = match word.to_ascii_uppercase().as_slice() {
            b"OK" => Status::Ok,
            b"NO" => Status::No,
            b"BAD" => Status::Bad,
            b"PREAUTH" => Status::PreAuth,
            b"BYE" => Status::Bye,
            _ => return None,
        };
        let words = rest[..rest.len().min(MAX_STATUS)].trim_ascii();
        let code = words.strip_prefix(b"[").and_then(|w| {
            w.iter()
                .position(|&b| b == b']')
                .map(|end| w[..end].to_vec())
        });
        Some(StatusText {
            status,
            code,
            words: words.to_vec(),
        })
    }

    /// The arguments of the response code, if it is the one with this name.
    pub fn code_args(&self, name: &str) -> Option<&[u8]> {
        let (first, rest) = word(self.code.as_deref()?);
        first.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)
    }

    /// The one number in the response code with this name.
    pub fn code_number(&self, name: &str) -> Option<u32> {
        ascii_number(self.code_args(name)?)
    }

    /// UIDVALIDITY and UID of an APPENDUID code (RFC 4315 3).
    pub fn append_uid(&self) -> Option<(u32, u32)> {
        let (validity, uid) = word(self.code_args("APPENDUID")?);
        Some((UidValidity::parse(validity)?.0, ascii_number(uid)?))
            .filter(|(v, u)| *v > 0 && *u > 0)
    }
}

fn ascii_number(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes.trim_ascii()).ok()?.parse().ok()
}

/// The first word and what follows its blank.
pub fn word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&b| b == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}

/// What one message of a FETCH response tells (RFC 3501 7.4.2). Items nobody asked for are dropped.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The message's number in the mailbox, from 1 on (RFC 3501 2.3.1.2).
    pub number: u32,
    pub uid: Option<Uid>,
    pub size: Option<u64>,
    /// X-GM-MSGID.
    pub gm_msgid: Option<u64>,
    pub flags: Option<Flags>,
    /// None when absent, NIL or unreadable.
    pub internal_date: Option<Time>,
    /// BODY[HEADER], None when absent or NIL.
    pub header: Option<Vec<u8>>,
    /// The header block of a HEADER.FIELDS item. None when absent or NIL: then the server told nothing
    /// of these fields, which is not the same as that the header holds none of them.
    pub fields: Option<Vec<u8>>,
    /// BODY[], None when absent or NIL.
    pub body: Option<Vec<u8>>,
}

impl Fetched {
    /// Adds what another response says about the same message. Of flags the later ones count.
    pub fn complete(&mut self, other: Fetched) {
        self.size = self.size.or(other.size);
        self.gm_msgid = self.gm_msgid.or(other.gm_msgid);
        self.flags = other.flags.or(self.flags);
        self.internal_date = self.internal_date.or(other.internal_date);
        self.header = self.header.take().or(other.header);
        self.fields = self.fields.take().or(other.fields);
        self.body = self.body.take().or(other.body);
    }

    /// What was told of the header fields that name it.
    pub fn naming(&self) -> Option<&[u8]> {
        self.fields.as_deref().or(self.header.as_deref())
    }

    /// What the watcher records of the message; None if there is no UID (the server sent the update unasked).
    pub fn discovered(&self) -> Option<Discovered> {
        let [message_id, date] = self
            .naming()
            .map(|h| header_values(h, ["message-id", "date"]))
            .unwrap_or_default();
        Some(Discovered {
            uid: self.uid?,
            message_id: message_id.and_then(|v| MessageId::parse(&v)),
            date: date.and_then(|v| date_text(&v)),
            internal_date: self.internal_date,
            size: self.size,
            flags: self.flags.unwrap_or_default(),
            gm_msgid: self.gm_msgid,
        })
    }
}

/// One untagged response of a kind that this program uses.
#[derive(Clone, Debug)]
pub enum Untagged {
    Status(StatusText),
    Capability(Vec<String>),
    Exists(u32),
    Expunge,
    Fetch(Box<Fetched>),
    Search(Vec<Uid>),
    /// STATUS: the mailbox's name, how many messages it has, UIDVALIDITY and UIDNEXT.
    Counts {
        name: Vec<u8>,
        messages: Option<u32>,
        uid_validity: Option<u32>,
        uid_next: Option<u32>,
    },
    /// LIST or XLIST: attributes, what stands between the levels of a name (None: there are no levels), and the
    /// name as it is on the wire.
    List {
        attributes: Vec<Vec<u8>>,
        delimiter: Option<u8>,
        name: Vec<u8>,
    },
    /// A LIST that cannot be read: there is a mailbox more than is told of.
    UnreadableList,
    /// NAMESPACE: what the names of our own mailboxes begin with (RFC 2342 5), of the first such namespace; and
    /// what those of other people's and shared ones begin with.
    Namespace {
        prefix: Vec<u8>,
        others: Vec<Vec<u8>>,
    },
    /// QUOTAROOT: the names of the limits that a mailbox is under (RFC 9208 5.2).
    QuotaRoots(Vec<Vec<u8>>),
    /// QUOTA: one of these limits; of each of its resources the name, how much is used, and the limit.
    Quota {
        root: Vec<u8>,
        resources: Vec<(Vec<u8>, u64, u64)>,
    },
    /// A SEARCH or FETCH that cannot be read: what it told is missing, which is not the same as
    /// that there was nothing to tell.
    Unreadable,
    Other,
}

/// Reads one untagged response, the leading `* ` included. None: not a response we can read.
pub fn untagged(parts: Vec<Part>) -> Option<Untagged> {
    let Some(Part::Text(first)) = parts.first() else {
        return None;
    };
    let line = first.strip_prefix(b"* ")?;
    if let Some(status) = StatusText::parse(line) {
        return Some(Untagged::Status(status));
    }
    let (head, rest) = word(line);
    match head.to_ascii_uppercase().as_slice() {
        b"CAPABILITY" => return Some(Untagged::Capability(words(rest))),
        b"SEARCH" => {
            return Some(search(rest).map_or(Untagged::Unreadable, Untagged::Search));
        }
        // The form of RFC 4731 is not read, as it is never asked for.
        b"ESEARCH" => return Some(Untagged::Unreadable),
        b"STATUS" => {
            let skip = first.len() - rest.len();
            return counts(tokens(parts, skip)?);
        }
        b"LIST" | b"XLIST" => {
            let skip = first.len() - rest.len();
            let listed = tokens(parts, skip).and_then(|tokens| list(&tokens));
            return Some(listed.unwrap_or(Untagged::UnreadableList));
        }
        b"NAMESPACE" => {
            let skip = first.len() - rest.len();
            return namespace(&tokens(parts, skip)?);
        }
        b"QUOTAROOT" => {
            let skip = first.len() - rest.len();
            return quota_roots(&tokens(parts, skip)?);
        }
        b"QUOTA" => {
            let skip = first.len() - rest.len();
            return quota(&tokens(parts, skip)?);
        }
        _ => {}
    }
    let Some(number) = ascii_number(head) else {
        return Some(Untagged::Other);
    };
    let (kind, _) = word(rest);
    if kind.eq_ignore_ascii_case(b"EXISTS") {
        return Some(Untagged::Exists(number));
    }
    if kind.eq_ignore_ascii_case(b"EXPUNGE") {
        return Some(Untagged::Expunge);
    }
    if !kind.eq_ignore_ascii_case(b"FETCH") {
        return Some(Untagged::Other);
    }
    let skip = first.len() - rest.len() + kind.len();
    let items = tokens(parts, skip).and_then(|t| t.into_iter().next());
    let fetched = match items {
        Some(Token::List(items)) => fetched(items),
        _ => None,
    };
    Some(fetched.map_or(Untagged::Unreadable, |f| {
        Untagged::Fetch(Box::new(Fetched { number, ..f }))
    }))
}

fn words(line: &[u8]) -> Vec<String> {
    line.split(|&b| b == b' ')
        .filter(|w| !w.is_empty())
        .take(MAX_CAPABILITIES)
        .map(|w| String::from_utf8_lossy(w).to_ascii_uppercase())
        .collect()
}

/// `1 5 9`, and whatever a server appends in parentheses (MODSEQ) passed over.
fn search(rest: &[u8]) -> Option<Vec<Uid>> {
    let numbers = rest.split(|&b| b == b'(').next().unwrap_or_default();
    let uids: Option<Vec<Uid>> = numbers
        .split(|&b| b == b' ')
        .filter(|w| !w.is_empty())
        .take(MAX_UIDS + 1)
        .map(|w| ascii_number(w).filter(|n| *n > 0).map(Uid))
        .collect();
    uids.filter(|uids| uids.len() <= MAX_UIDS)
}

fn counts(tokens: Vec<Token>) -> Option<Untagged> {
    let mut tokens = tokens.into_iter();
    let (Some(Token::Atom(name) | Token::Text(name)), Some(Token::List(items))) =
        (tokens.next(), tokens.next())
    else {
        return None;
    };
    let (mut messages, mut uid_validity, mut uid_next) = (None, None, None);
    for pair in items.chunks_exact(2) {
        match pair[0].bytes()?.to_ascii_uppercase().as_slice() {
            b"UIDVALIDITY" => {
                uid_validity = pair[1].bytes().and_then(UidValidity::parse).map(|v| v.0)
            }
            b"UIDNEXT" => uid_next = pair[1].number(),
            b"MESSAGES" => messages = pair[1].number(),
            _ => {}
        }
    }
    Some(Untagged::Counts {
        name,
        messages,
        uid_validity,
        uid_next,
    })
}

fn list(tokens: &[Token]) -> Option<Untagged> {
    // Behind the name there may be more in parentheses (RFC 5258 6), and nothing else.
    let ([Token::List(attributes), delimiter, name]
    | [Token::List(attributes), delimiter, name, Token::List(_)]) = tokens
    else {
        return None;
    };
    Some(Untagged::List {
        attributes: attributes
            .iter()
            .filter_map(|t| t.bytes().map(<[u8]>::to_vec))
            .collect(),
        delimiter: delimiter.bytes().and_then(|d| d.first().copied()),
        name: match name {
            Token::Atom(b) | Token::Text(b) => b.clone(),
            Token::List(_) => return None,
        },
    })
}

/// `(("INBOX." ".")) NIL NIL`: of one's own mailboxes, other users', shared ones.
fn namespace(tokens: &[Token]) -> Option<Untagged> {
    let prefixes = |kind: &Token| -> Vec<Vec<u8>> {
        let Token::List(all) = kind else {
            return Vec::new();
        };
        let prefix = |one: &Token| match one {
            Token::List(parts) => parts.first()?.bytes().map(<[u8]>::to_vec),
            _ => None,
        };
        all.iter().filter_map(prefix).collect()
    };
    let (own, others) = tokens.split_first()?;
    Some(Untagged::Namespace {
        prefix: prefixes(own).into_iter().next()?,
        others: others.iter().flat_map(prefixes).collect(),
    })
}

fn quota_roots(tokens: &[Token]) -> Option<Untagged> {
    let (_mailbox, roots) = tokens.split_first()?;
    let roots = roots.iter().map(|t| t.bytes().map(<[u8]>::to_vec));
    Some(Untagged::QuotaRoots(roots.collect::<Option<_>>()?))
}

/// A resource whose figures are no numbers is left out.
fn quota(tokens: &[Token]) -> Option<Untagged> {
    let [root, Token::List(items), ..] = tokens else {
        return None;
    };
    let resource = |item: &[Token]| {
        let [name, used, all] = item else {
            return None;
        };
        Some((name.bytes()?.to_vec(), used.number()?, all.number()?))
    };
    Some(Untagged::Quota {
        root: root.bytes()?.to_vec(),
        resources: items.chunks_exact(3).filter_map(resource).collect(),
    })
}

/// None when the items are not pairs of name and value: a literal that was longer than announced
/// leaves its rest there.
fn fetched(items: Vec<Token>) -> Option<Fetched> {
    let mut out = Fetched::default();
    let mut items = items.into_iter();
    while let Some(name) = items.next() {
        let (Token::Atom(name), value) = (name, items.next()?) else {
            return None;
        };
        let name = name.to_ascii_uppercase();
        match name.as_slice() {
            b"UID" => out.uid = value.number().filter(|n| *n > 0).map(Uid),
            // A size that no message can have counts as no answer; and the ledger could not hold it.
            b"RFC822.SIZE" => out.size = value.number().filter(|n| *n < 1 << 53),
            b"X-GM-MSGID" => out.gm_msgid = value.number().filter(|n| *n < 1 << 63),
            b"INTERNALDATE" => out.internal_date = value.bytes().and_then(internal_date),
            b"FLAGS" => {
                let mut flags = Flags::default();
                if let Token::List(names) = &value {
                    names
                        .iter()
                        .filter_map(Token::bytes)
                        .for_each(|n| flags.insert(n));
                }
                out.flags = Some(flags);
            }
            b"BODY[]" => out.body = text(value),
            b"BODY[HEADER]" => out.header = text(value),
            name if name.starts_with(b"BODY[HEADER") => out.fields = text(value),
            _ => {}
        }
    }
    Some(out)
}

fn text(value: Token) -> Option<Vec<u8>> {
    match value {
        Token::Text(bytes) => Some(bytes),
        _ => None,
    }
}

/// `17-Jul-1996 02:44:25 -0700` (RFC 3501 9, date-time), and what servers send in its place: the form
/// of a Date header, a weekday in front, two digits of the year, a zone by name or none. None for what
/// is no date (`00-Jan-0000 00:00:00 +0000`) or lies before mail.
fn internal_date(bytes: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let strict = chrono::DateTime::parse_from_str(text, "%d-%b-%Y %H:%M:%S %z").ok();
    // chrono reads a year of two digits as one of the first century.
    let date = strict.filter(|t| t.year() > 99).or_else(|| odd_date(text));
    // Neither many servers nor the ledger's dates can hold a leap second (:60).
    date.and_then(|t| t.to_utc().with_nanosecond(0))
        .filter(makes_sense)
}

fn odd_date(text: &str) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    // The weekday is dropped: it adds nothing, and with a wrong one the date would be refused.
    let text =
        text.trim_start_matches(|c: char| c.is_alphabetic() || c == ',' || c == '.' || c == ' ');
    let time = text.find(':')?;
    let (day, time) = text.split_at(text[..time].rfind(' ')?);
    let text = format!("{}{time}", day.replace('-', " "));
    chrono::DateTime::parse_from_rfc2822(&text)
        .or_else(|_| chrono::DateTime::parse_from_rfc2822(&format!("{text} +0000")))
        .ok()
}

/// A header's raw value from a header block: see [`header_values`].
pub fn header_value(block: &[u8], name: &str) -> Option<Vec<u8>> {
    let [value] = header_values(block, [name]);
    value
}

/// The raw values of headers from a header block; of each the first one where there are several. Names are
/// compared without regard to case (imap4d answers in capitals, docs/servers.md 3.10).
pub fn header_values<const N: usize>(block: &[u8], names: [&str; N]) -> [Option<Vec<u8>>; N] {
    // mailparse takes quadratic time for a hostile block: no real Message-ID and Date need more than this.
    let block = &block[..block.len().min(64 << 10)];
    let start = block
        .iter()
        .position(|b| !b" \t\r\n".contains(b))
        .unwrap_or(block.len());
    let headers = mailparse::parse_headers(&block[start..]);
    let headers = headers.map_or_else(|_| Vec::new(), |(headers, _)| headers);
    names.map(|name| {
        let is_it = |h: &&mailparse::MailHeader<'_>| {
            let key = h.get_key_raw().trim_ascii();
            key.eq_ignore_ascii_case(name.as_bytes())
        };
        let header = headers.iter().find(is_it)?;
        Some(header.get_value_raw().to_vec())
    })
}

#[cfg(test)]
mod tests;
