//! What a server said: one response (RFC 3501 7), cut into tokens.
//!
//! This parser takes any bytes: 8-bit text, flags that are no atoms, unknown items, deep nesting.
//! What it cannot read becomes `None` for that one response; nothing panics, nothing is read twice.
//! The bytes come framed from `wire`; what the parts mean for a session is said in `session`.

use chrono::{Datelike as _, Timelike as _};

use crate::message::{
    Discovered, Flags, MessageId, Time, Uid, UidValidity, date_text, makes_sense,
};

/// How deep parentheses may nest. Ours need 3; 100,000 would eat the stack.
const MAX_DEPTH: usize = 40;
/// Values in one response: each costs more memory than its bytes on the wire, up to 50 times.
const MAX_TOKENS: usize = 20_000;
/// UIDs in one SEARCH: each takes up to twice the memory of its bytes on the wire.
const MAX_UIDS: usize = 2_000_000;
/// Capabilities of one server. Gmail has 20, Dovecot 40.
const MAX_CAPABILITIES: usize = 500;
/// Of a status text: nobody reads more, and a CAPABILITY code has less.
const MAX_STATUS: usize = 16 << 10;

/// One piece of a framed response: text up to a line end, or a literal's bytes.
#[derive(Debug)]
pub enum Part {
    Text(Vec<u8>),
    Literal(Vec<u8>),
}

/// One value within a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Atom(Vec<u8>),
    /// A quoted string, unescaped, or a literal.
    Text(Vec<u8>),
    List(Vec<Token>),
}

impl Token {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Token::Atom(b) if b.eq_ignore_ascii_case(b"NIL") => None,
            Token::Atom(b) | Token::Text(b) => Some(b),
            Token::List(_) => None,
        }
    }

    fn number<N: std::str::FromStr>(&self) -> Option<N> {
        std::str::from_utf8(self.bytes()?).ok()?.parse().ok()
    }
}

/// The three answers to a command, and the two that come on their own (RFC 3501 7.1).
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
    /// Everything behind the status word, code included: the server's words.
    pub words: Vec<u8>,
}

impl StatusText {
    /// From the bytes behind `*` or the tag: `NO [LIMIT] too big`.
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

    /// The arguments of the response code `name`, when it is that one.
    pub fn code_args(&self, name: &str) -> Option<&[u8]> {
        let (first, rest) = word(self.code.as_deref()?);
        first.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)
    }

    /// The one number behind the response code `name`.
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
    /// The header block of a HEADER.FIELDS item. None when absent or NIL: then the server told nothing
    /// of the header, which is not the same as that it holds none of these fields.
    pub header: Option<Vec<u8>>,
    /// BODY[], None when absent or NIL.
    pub body: Option<Vec<u8>>,
}

impl Fetched {
    /// Takes over what another response about the same message tells beyond this one. Flags are as
    /// told last.
    pub fn complete(&mut self, other: Fetched) {
        self.size = self.size.or(other.size);
        self.gm_msgid = self.gm_msgid.or(other.gm_msgid);
        self.flags = other.flags.or(self.flags);
        self.internal_date = self.internal_date.or(other.internal_date);
        self.header = self.header.take().or(other.header);
        self.body = self.body.take().or(other.body);
    }

    /// As the watcher keeps it; None without a UID (an unsolicited update).
    pub fn discovered(&self) -> Option<Discovered> {
        let header = self.header.as_deref();
        Some(Discovered {
            uid: self.uid?,
            message_id: header
                .and_then(|h| header_value(h, "message-id"))
                .and_then(|v| MessageId::parse(&v)),
            date: header
                .and_then(|h| header_value(h, "date"))
                .and_then(|v| date_text(&v)),
            internal_date: self.internal_date,
            size: self.size,
            flags: self.flags.unwrap_or_default(),
            gm_msgid: self.gm_msgid,
        })
    }
}

/// One untagged response, as far as this program knows it.
#[derive(Clone, Debug)]
pub enum Untagged {
    Status(StatusText),
    Capability(Vec<String>),
    Exists(u32),
    Expunge,
    Fetch(Box<Fetched>),
    Search(Vec<Uid>),
    /// STATUS: the mailbox's name, UIDVALIDITY and UIDNEXT.
    Counts {
        name: Vec<u8>,
        uid_validity: Option<u32>,
        uid_next: Option<u32>,
    },
    /// Attributes and name, still in modified UTF-7.
    List {
        attributes: Vec<Vec<u8>>,
        name: Vec<u8>,
    },
    /// QUOTAROOT: the names of the limits that a mailbox is under (RFC 9208 5.2).
    QuotaRoots(Vec<Vec<u8>>),
    /// QUOTA: one of them, and of each of its resources the name, what is used and what there is.
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
        // RFC 4731: not asked for, and so not understood.
        b"ESEARCH" => return Some(Untagged::Unreadable),
        b"STATUS" => {
            let skip = first.len() - rest.len();
            return counts(tokens(parts, skip)?);
        }
        b"LIST" => {
            let skip = first.len() - rest.len();
            return list(&tokens(parts, skip)?);
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
    let (mut uid_validity, mut uid_next) = (None, None);
    for pair in items.chunks_exact(2) {
        match pair[0].bytes()?.to_ascii_uppercase().as_slice() {
            b"UIDVALIDITY" => {
                uid_validity = pair[1].bytes().and_then(UidValidity::parse).map(|v| v.0)
            }
            b"UIDNEXT" => uid_next = pair[1].number(),
            _ => {}
        }
    }
    Some(Untagged::Counts {
        name,
        uid_validity,
        uid_next,
    })
}

fn list(tokens: &[Token]) -> Option<Untagged> {
    let [Token::List(attributes), _delimiter, name, ..] = tokens else {
        return None;
    };
    Some(Untagged::List {
        attributes: attributes
            .iter()
            .filter_map(|t| t.bytes().map(<[u8]>::to_vec))
            .collect(),
        name: match name {
            Token::Atom(b) | Token::Text(b) => b.clone(),
            Token::List(_) => return None,
        },
    })
}

fn quota_roots(tokens: &[Token]) -> Option<Untagged> {
    let (_mailbox, roots) = tokens.split_first()?;
    let roots = roots.iter().map(|t| t.bytes().map(<[u8]>::to_vec));
    Some(Untagged::QuotaRoots(roots.collect::<Option<_>>()?))
}

/// A resource whose figures are none is as good as not told.
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
            // What no message can have is as good as no answer, and must fit the ledger.
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
            name if name.starts_with(b"BODY[HEADER") => out.header = text(value),
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
    // Two digits are read as a year of the first century.
    let date = strict.filter(|t| t.year() > 99).or_else(|| odd_date(text));
    // A leap second (:60) is more than many a server can read, and the ledger's dates.
    date.and_then(|t| t.to_utc().with_nanosecond(0))
        .filter(makes_sense)
}

fn odd_date(text: &str) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    // Whatever the weekday is, it adds nothing, and a wrong one would be refused.
    let text =
        text.trim_start_matches(|c: char| c.is_alphabetic() || c == ',' || c == '.' || c == ' ');
    let time = text.find(':')?;
    let (day, time) = text.split_at(text[..time].rfind(' ')?);
    let text = format!("{}{time}", day.replace('-', " "));
    chrono::DateTime::parse_from_rfc2822(&text)
        .or_else(|_| chrono::DateTime::parse_from_rfc2822(&format!("{text} +0000")))
        .ok()
}

/// A header's raw value from a header block; the first one where there are several. Names are
/// compared without regard to case (imap4d answers in capitals, servers.md 3.10).
pub fn header_value(block: &[u8], name: &str) -> Option<Vec<u8>> {
    // A crafted block costs mailparse quadratic time: nobody's Message-ID and Date need more.
    let block = &block[..block.len().min(64 << 10)];
    let start = block
        .iter()
        .position(|b| !b" \t\r\n".contains(b))
        .unwrap_or(block.len());
    let (headers, _) = mailparse::parse_headers(&block[start..]).ok()?;
    headers
        .iter()
        .find(|h| {
            h.get_key_raw()
                .trim_ascii()
                .eq_ignore_ascii_case(name.as_bytes())
        })
        .map(|h| h.get_value_raw().to_vec())
}

/// The tokens of a response from byte `skip` of its first part on.
fn tokens(parts: Vec<Part>, skip: usize) -> Option<Vec<Token>> {
    let mut open: Vec<Vec<Token>> = vec![Vec::new()];
    let mut room = MAX_TOKENS;
    let last = parts.len() - 1;
    for (i, part) in parts.into_iter().enumerate() {
        match part {
            Part::Literal(bytes) => open.last_mut()?.push(Token::Text(bytes)),
            Part::Text(line) => {
                let line = if i == 0 { line.get(skip..)? } else { &line };
                // Behind a literal: what else stands there is the rest of one announced too short.
                if i > 0 && !matches!(line.first(), None | Some(b' ' | b')')) {
                    return None;
                }
                text_tokens(line, i < last, &mut open, &mut room)?;
            }
        }
    }
    match open.len() {
        1 => open.pop(),
        _ => None,
    }
}

/// The tokens of one line; with `before_literal` its closing `{n}` is left out.
fn text_tokens(
    line: &[u8],
    before_literal: bool,
    open: &mut Vec<Vec<Token>>,
    room: &mut usize,
) -> Option<()> {
    let line = match before_literal {
        true => &line[..literal_start(line)?],
        false => line,
    };
    let mut at = 0;
    while let Some(&b) = line.get(at) {
        if b != b' ' {
            *room = room.checked_sub(1)?;
        }
        match b {
            b' ' => at += 1,
            b'(' => {
                if open.len() > MAX_DEPTH {
                    return None;
                }
                open.push(Vec::new());
                at += 1;
            }
            b')' => {
                let list = open.pop()?;
                open.last_mut()?.push(Token::List(list));
                at += 1;
            }
            b'"' => {
                let (text, len) = quoted(&line[at + 1..])?;
                open.last_mut()?.push(Token::Text(text));
                at += 1 + len;
            }
            _ => {
                let len = atom_len(&line[at..]);
                open.last_mut()?
                    .push(Token::Atom(line[at..at + len].to_vec()));
                at += len;
            }
        }
    }
    Some(())
}

/// A quoted string from behind its opening quote: its text, and the bytes it took.
fn quoted(line: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        match *line.get(at)? {
            b'"' => return Some((text, at + 1)),
            b'\\' => {
                text.push(*line.get(at + 1)?);
                at += 2;
            }
            b => {
                text.push(b);
                at += 1;
            }
        }
    }
}

/// Up to a blank or parenthesis, sections in brackets included: `BODY[HEADER.FIELDS (DATE)]<0>`.
/// A bracket that never closes is an ordinary byte, as in Gmail's flag `OIB-Seen-[Gmail]/All`.
fn atom_len(line: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&b) = line.get(at) {
        match b {
            b' ' | b'(' | b')' => break,
            b'[' if line[..at].eq_ignore_ascii_case(b"BODY") => {
                match line[at..].iter().position(|&b| b == b']') {
                    Some(len) => at += len + 1,
                    None => at += 1,
                }
            }
            _ => at += 1,
        }
    }
    at.max(1)
}

/// Where the `{n}` (also `{n+}`, `~{n}`) at the end of a line begins.
fn literal_start(line: &[u8]) -> Option<usize> {
    let open = line.iter().rposition(|&b| b == b'{')?;
    Some(if open > 0 && line[open - 1] == b'~' {
        open - 1
    } else {
        open
    })
}

/// The length of the literal that this line announces at its end (RFC 3501 4.3, RFC 7888).
pub fn announced_literal(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&b| b == b'{')?;
    let digits = inner[open + 1..]
        .strip_suffix(b"+")
        .unwrap_or(&inner[open + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number that does not fit is still an announcement: of more than we take.
    Some(
        std::str::from_utf8(digits)
            .ok()?
            .parse()
            .unwrap_or(u64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<Untagged> {
        untagged(vec![Part::Text(text.as_bytes().to_vec())])
    }

    fn fetch(parts: Vec<Part>) -> Fetched {
        match untagged(parts) {
            Some(Untagged::Fetch(f)) => *f,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fetch_is_read_whatever_the_order_and_the_strangers_in_it() {
        let f = fetch(vec![
            Part::Text(b"* 7 FETCH (X-GM-LABELS (\"\\\\Inbox\" foo) BODY[HEADER.FIELDS (\"MESSAGE-ID\" Date)] {38}".to_vec()),
            Part::Literal(b"MESSAGE-ID: <a@b>\r\nDate: Thu\r\n\r\n".to_vec()),
            Part::Text(b" RFC822.SIZE 44 FLAGS (\\Seen OIB-Seen-[Gmail]/All Mail $x \\flagged) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] {3}".to_vec()),
            Part::Literal(b"a\0b".to_vec()),
            Part::Text(b" UID 12)".to_vec()),
        ]);
        assert_eq!(f.uid, Some(Uid(12)));
        assert_eq!(f.size, Some(44));
        assert_eq!(
            f.flags.map(|f| f.to_string()).as_deref(),
            Some("\\Seen \\Flagged")
        );
        assert_eq!(f.internal_date.map(|t| t.timestamp()), Some(837_596_665));
        assert_eq!(f.body.as_deref(), Some(&b"a\0b"[..]));
        let d = f.discovered().expect("has a UID");
        assert_eq!(d.message_id.map(|m| m.text).as_deref(), Some("<a@b>"));
        assert_eq!(d.date.as_deref(), Some("Thu"));
    }

    #[test]
    fn dates_are_read_in_the_forms_in_which_servers_send_them() {
        for text in [
            "17-Jul-1996 02:44:25 -0700",
            " 17-Jul-1996 09:44:25 +0000",
            "17-JUL-1996 09:44:25 GMT",
            "Wed, 17 Jul 1996 02:44:25 -0700",
            "Wed, 17 Jul 1996 09:44:25 GMT",
            "Mon, 17 Jul 1996 02:44:25 -0700 (PDT)",
            "Wed 17-Jul-1996 09:44:25 +0000",
            "17-Jul-96 02:44:25 -0700",
            "17 Jul 96 09:44:25 UT",
            "17-Jul-1996 09:44:25",
        ] {
            let read = internal_date(text.as_bytes()).map(|t| t.timestamp());
            assert_eq!(read, Some(837_596_665), "{text}");
        }
        for text in [
            "00-Jan-0000 00:00:00 +0000",
            "01-Jan-1899 00:00:00 +0000",
            "31-Dec-1969 23:59:59 +0000",
            "17-Jul-19960 02:44:25 -0700",
            "yesterday",
            ":",
            "",
        ] {
            assert_eq!(internal_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn bodies_come_quoted_or_nil_too() {
        let f = fetch(vec![Part::Text(
            b"* 1 FETCH (BODY[] \"a \\\"b\\\" \xe9\" UID 3 INTERNALDATE NIL)".to_vec(),
        )]);
        assert_eq!(f.body.as_deref(), Some(&b"a \"b\" \xe9"[..]));
        assert_eq!(f.internal_date, None);
        let f = fetch(vec![Part::Text(
            b"* 1 FETCH (BODY[] NIL UID 3 RFC822.SIZE 99999999999999999999)".to_vec(),
        )]);
        assert_eq!((f.body, f.size), (None, None));
    }

    #[test]
    fn a_body_that_looks_like_a_response_stays_a_body() {
        let body = b")\r\na5 OK done\r\n* BYE\r\n{99999}\r\n".to_vec();
        let f = fetch(vec![
            Part::Text(b"* 1 FETCH (UID 3 BODY[] {30}".to_vec()),
            Part::Literal(body.clone()),
            Part::Text(b")".to_vec()),
        ]);
        assert_eq!(f.body, Some(body));
    }

    #[test]
    fn nesting_and_rubbish_are_refused_not_followed() {
        assert!(matches!(
            line(&format!("* 1 FETCH (BODYSTRUCTURE {}", "(".repeat(100_000))),
            Some(Untagged::Unreadable)
        ));
        for text in [
            "* 1 FETCH (",
            "* 1 FETCH )",
            "* 1 FETCH \"",
            "* LIST",
            "* LIST () \"/\"",
            "* SEARCH 1 x",
            "x",
        ] {
            assert!(
                matches!(line(text), None | Some(Untagged::Unreadable)),
                "{text}"
            );
        }
        assert!(matches!(
            line("* 99999999999 EXISTS"),
            Some(Untagged::Other)
        ));
        assert!(matches!(line("* "), Some(Untagged::Other)));
    }

    #[test]
    fn names_come_unescaped_from_lists() {
        let Some(Untagged::List { attributes, name }) =
            line("* LIST (\\HasNoChildren \\ALL) NIL \"a\\\"q\\\\x\"")
        else {
            panic!("not a LIST");
        };
        assert_eq!(name, b"a\"q\\x");
        assert_eq!(attributes, [b"\\HasNoChildren".to_vec(), b"\\ALL".to_vec()]);
        assert!(
            matches!(line("* LIST () \"/\" NIL"), Some(Untagged::List { name, .. }) if name == b"NIL")
        );
    }

    #[test]
    fn a_quota_is_read_as_far_as_it_makes_sense() {
        let figures = |text: &str| match line(text) {
            Some(Untagged::Quota { root, resources }) => Some((root, resources)),
            _ => None,
        };
        let storage = |used, all| (b"STORAGE".to_vec(), used, all);
        assert_eq!(
            figures("* QUOTA \"\" (STORAGE 450 15728640)"),
            Some((Vec::new(), vec![storage(450, 15_728_640)]))
        );
        assert_eq!(
            figures("* QUOTA x (STORAGE -1 5 MESSAGE 99999999999999999999 9 STORAGE 1 2 odd)"),
            Some((b"x".to_vec(), vec![storage(1, 2)]))
        );
        assert_eq!(figures("* QUOTA \"\" ()"), Some((Vec::new(), Vec::new())));
        for text in ["* QUOTA", "* QUOTA ()", "* QUOTA \"\" 5 6", "* QUOTA x (("] {
            assert_eq!(figures(text), None, "{text}");
        }
        assert!(
            matches!(line("* QUOTAROOT INBOX \"\" \"User\""), Some(Untagged::QuotaRoots(roots)) if roots == [b"".to_vec(), b"User".to_vec()])
        );
        assert!(line("* QUOTAROOT").is_none());
    }

    #[test]
    fn codes_are_found_in_status_texts() {
        let s = StatusText::parse(b"OK [APPENDUID 641429830 111](Success)").expect("status");
        assert_eq!(s.append_uid(), Some((641_429_830, 111)));
        let s = StatusText::parse(
            b"no [NONEXISTENT] Unknown Mailbox: [Gmail] (now in authenticated state) (Failure)",
        )
        .expect("status");
        assert_eq!(
            (s.status, s.code.as_deref()),
            (Status::No, Some(&b"NONEXISTENT"[..]))
        );
        assert!(s.words.ends_with(b"(Failure)"));
        assert_eq!(
            StatusText::parse(b"OK [UIDNEXT 5] x").and_then(|s| s.code_number("uidnext")),
            Some(5)
        );
        assert_eq!(StatusText::parse(b"OK [UIDNEXT").and_then(|s| s.code), None);
        assert!(StatusText::parse(b"OKAY then").is_none());
    }

    #[test]
    fn literals_are_recognised_at_the_end_of_a_line() {
        assert_eq!(announced_literal(b"BODY[] {30}"), Some(30));
        assert_eq!(announced_literal(b"{5+}"), Some(5));
        assert_eq!(
            announced_literal(b"{99999999999999999999999}"),
            Some(u64::MAX)
        );
        for line in [&b"{}"[..], b"{x}", b"5}", b"{5} "] {
            assert_eq!(announced_literal(line), None);
        }
    }

    #[test]
    fn searches_tell_uids_and_pass_over_the_rest() {
        assert!(
            matches!(line("* SEARCH 2 84 882 (MODSEQ 917162500)"), Some(Untagged::Search(u)) if u.len() == 3)
        );
        assert!(matches!(line("* SEARCH"), Some(Untagged::Search(u)) if u.is_empty()));
    }

    #[test]
    fn odd_headers_are_read() {
        assert_eq!(
            header_value(b"MESSAGE-ID:\r\n <a>\r\n\r\n", "message-id")
                .map(|v| v.trim_ascii().to_vec()),
            Some(b"<a>".to_vec())
        );
        assert_eq!(
            header_value(b" \r\nDate : x\r\n\r\n", "date"),
            Some(b"x".to_vec())
        );
        assert_eq!(header_value(b"\r\n", "date"), None);
        assert!(header_value(&b"=?a?b?".repeat(300_000), "date").is_none());
    }
}
