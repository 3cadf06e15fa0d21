//! What a message is to this program: where it lies, what names it, when it came. No I/O.
//!
//! Identity is (mailbox incarnation, UID). Message-ID and Date only help to recognise a message
//! elsewhere, so they are kept in a form in which equal means equal: unfolded, trimmed, printable
//! and bounded, with a hash in place of what was cut off.

use std::fmt;
use std::sync::OnceLock;

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use sha2::Digest as _;

use crate::error::shown_within;

/// A moment, to the second, in UTC.
pub type Time = DateTime<Utc>;

/// How the ledger and `status` write a moment: text that sorts and reads.
pub fn time_text(t: Time) -> String {
    t.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Reads what [`time_text`] wrote.
pub fn parse_time(text: &str) -> Option<Time> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|t| t.with_timezone(&Utc))
}

/// A message's number in one incarnation of one mailbox (RFC 3501 2.3.1.1): never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);

/// The number that changes when a mailbox's UIDs change their meaning (RFC 3501 2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UidValidity(pub u32);

impl UidValidity {
    /// From its digits. RFC 3501 gives it 32 bits; where a server takes more, mostly milliseconds since 1970, it still
    /// tells one incarnation from the next: what is left of it behind a division by a large prime does too.
    pub fn parse(digits: &[u8]) -> Option<UidValidity> {
        const PRIME: u64 = 4_294_967_291;
        let told: u64 = std::str::from_utf8(digits.trim_ascii())
            .ok()?
            .parse()
            .ok()?;
        let kept = u32::try_from(told).or_else(|_| u32::try_from(told % PRIME));
        kept.ok().map(UidValidity)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// UIDs as an IMAP sequence set (RFC 3501 9), runs joined: `1:3,7`. `uids` must ascend.
pub fn uid_set(uids: &[Uid]) -> String {
    let mut out = String::new();
    let mut i = 0;
    while i < uids.len() {
        let mut j = i;
        while j + 1 < uids.len() && uids[j + 1].0 == uids[j].0 + 1 {
            j += 1;
        }
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&uids[i].to_string());
        if j > i {
            out.push(':');
            out.push_str(&uids[j].to_string());
        }
        i = j + 1;
    }
    out
}

/// The flags that are carried over. Everything else a source says of a message stays there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub seen: bool,
    pub answered: bool,
    pub flagged: bool,
    pub draft: bool,
}

impl Flags {
    /// Takes note of one flag; case does not matter (RFC 3501 9), unknown ones are passed over.
    pub fn insert(&mut self, name: &[u8]) {
        match name.to_ascii_lowercase().as_slice() {
            b"\\seen" => self.seen = true,
            b"\\answered" => self.answered = true,
            b"\\flagged" => self.flagged = true,
            b"\\draft" => self.draft = true,
            _ => {}
        }
    }

    /// Reads what `to_string` wrote.
    pub fn parse(text: &str) -> Flags {
        let mut flags = Flags::default();
        for name in text.split_ascii_whitespace() {
            flags.insert(name.as_bytes());
        }
        flags
    }

    /// These flags as they may stand on a message outside Drafts (docs/gmail.md 3.4).
    #[must_use]
    pub fn outside_drafts(mut self) -> Flags {
        self.draft = false;
        self
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.seen, "\\Seen"),
            (self.answered, "\\Answered"),
            (self.flagged, "\\Flagged"),
            (self.draft, "\\Draft"),
        ];
        let set: Vec<&str> = names.iter().filter(|n| n.0).map(|n| n.1).collect();
        f.write_str(&set.join(" "))
    }
}

/// A Message-ID (RFC 5322 3.6.4): what people read, and what is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId {
    /// Printable, at most 250 characters.
    pub text: String,
    /// Of the raw value, so that no two ids are mixed up by how they are shown.
    pub hash: [u8; 16],
}

impl MessageId {
    /// From a header's raw value. The first `<...>` in it counts, else the whole value; None when
    /// there is nothing. Brackets are no part of what is compared: the predecessor's state file has
    /// ids in both forms.
    pub fn parse(raw: &[u8]) -> Option<MessageId> {
        let value = unfold(raw);
        let inner = match value.iter().position(|&b| b == b'<') {
            Some(open) => match value[open + 1..].iter().position(|&b| b == b'>') {
                Some(len) => &value[open + 1..open + 1 + len],
                None => &value[open + 1..],
            },
            None => &value[..],
        };
        if inner.trim_ascii().is_empty() {
            return None;
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&sha2::Sha256::digest(inner)[..16]);
        Some(MessageId {
            text: shown_within(&value, 250),
            hash,
        })
    }
}

/// A Date header's value in the form in which it is kept and compared: unfolded, trimmed,
/// printable; None when empty.
pub fn date_text(raw: &[u8]) -> Option<String> {
    let value = unfold(raw);
    if value.is_empty() {
        return None;
    }
    let printable = value.iter().all(|&b| (b' '..=b'~').contains(&b));
    if printable && value.len() <= 80 {
        return String::from_utf8(value).ok();
    }
    let digest = sha2::Sha256::digest(&value);
    let hash: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
    Some(format!("{} #{hash}", shown_within(&value, 60)))
}

/// Header folding undone (RFC 5322 2.2.3), blanks at both ends dropped.
fn unfold(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    for &b in raw {
        if b == b'\t' {
            out.push(b' ');
        } else if b != b'\r' && b != b'\n' {
            out.push(b);
        }
    }
    out.trim_ascii().to_vec()
}

/// What a look at a mailbox tells of one message, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    pub uid: Uid,
    pub message_id: Option<MessageId>,
    /// As [`date_text`] gives it.
    pub date: Option<String>,
    /// None where the server gave none that can be read.
    pub internal_date: Option<Time>,
    /// RFC822.SIZE in bytes; None when the server would not tell (the message's metadata could
    /// not be fetched: they are taken from its body later).
    pub size: Option<u64>,
    pub flags: Flags,
    /// Gmail's own number of the message, the same under each label (X-GM-MSGID, docs/gmail.md 4.1).
    pub gm_msgid: Option<u64>,
}

impl Discovered {
    /// A message that is there, and of which nothing else was told.
    pub fn nothing_told(uid: Uid) -> Discovered {
        Discovered {
            uid,
            message_id: None,
            date: None,
            internal_date: None,
            size: None,
            flags: Flags::default(),
            gm_msgid: None,
        }
    }

    /// Do these two name one message? Its UID alone does not, where UIDs are given anew.
    pub fn has_id_of(&self, other: &Discovered) -> bool {
        self.message_id.as_ref().map(|m| m.hash) == other.message_id.as_ref().map(|m| m.hash)
    }

    /// Is what is told now certainly another message than the one that was known under this UID? A name that is missing
    /// on one side proves nothing: servers have answered without it once in a while.
    pub fn contradicts(&self, known: &Discovered) -> bool {
        match (&self.message_id, &known.message_id) {
            (Some(told), Some(known)) => told.hash != known.hash,
            (None, None) => {
                let other =
                    |a: Option<Time>, b: Option<Time>| a.zip(b).is_some_and(|(a, b)| a != b);
                self.size.zip(known.size).is_some_and(|(a, b)| a != b)
                    && (self.date != known.date || other(self.internal_date, known.internal_date))
            }
            _ => false,
        }
    }

    /// When it came: INTERNALDATE, and where the server told none that makes sense its Date header.
    pub fn came_at(&self) -> Option<Time> {
        self.internal_date
            .or_else(|| self.date.as_deref().and_then(date_header_time))
    }
}

/// The moment that a Date header names; None where it cannot be read or lies before 1970.
pub fn date_header_time(text: &str) -> Option<Time> {
    // mailparse answers 0 for some of what it cannot read.
    let seconds = mailparse::dateparse(text).ok().filter(|t| *t > 0)?;
    Time::from_timestamp(seconds, 0).filter(makes_sense)
}

/// No mail came before 1970: a server that says so has no date (some send `01-Jan-1900`). A year of
/// five digits could neither be sent on nor sorted in the ledger.
pub fn makes_sense(t: &Time) -> bool {
    *t >= Time::UNIX_EPOCH && t.year() <= 9999
}

/// A message with its body, ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    pub about: Discovered,
    pub body: Vec<u8>,
    /// Of the body, which stays as it is once somebody has asked for it.
    sha256: OnceLock<Sha256>,
}

impl Message {
    pub fn new(about: Discovered, body: Vec<u8>) -> Message {
        let sha256 = OnceLock::new();
        Message {
            about,
            body,
            sha256,
        }
    }

    /// SHA-256 of its body: several ask for it, and of a large message it takes as long as its way through TLS.
    pub fn sha256(&self) -> Sha256 {
        *self.sha256.get_or_init(|| sha256(&self.body))
    }
}

/// SHA-256 of all bytes of something, mostly of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

/// A hash that a copy keeps whatever a server did to it: see [`canonical_hash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalHash(pub [u8; 32]);

/// A hash of a message's header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeaderHash(pub [u8; 32]);

/// SHA-256 of a message's bytes: equal bytes are delivered once per route.
pub fn sha256(body: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(body).into())
}

/// Bytes that are cleaned before they are hashed together.
const CLEANED: usize = 16 << 10;

/// A hash that a copy keeps whatever a server did to its line ends, NULs and header: CRs are dropped, NUL
/// counts as 0x80 (what Dovecot stores in its place), 8-bit bytes of the header as X (Cyrus), line ends at
/// the end do not count.
pub fn canonical_hash(body: &[u8]) -> CanonicalHash {
    let mut end = body.len();
    while end > 0 && matches!(body[end - 1], b'\r' | b'\n') {
        end -= 1;
    }
    let body = &body[..end];
    let mut hash = sha2::Sha256::new();
    let mut cleaned = Vec::with_capacity(CLEANED + 80);
    let header = hash_header(body, &mut cleaned, &mut hash);
    let mut rest = &body[header..];
    while let Some(at) = memchr::memchr2(b'\r', 0, rest) {
        cleaned.extend_from_slice(&rest[..at]);
        if rest[at] == 0 {
            cleaned.push(0x80);
        }
        rest = &rest[at + 1..];
        if cleaned.len() >= CLEANED {
            hash.update(&cleaned);
            cleaned.clear();
        }
    }
    hash.update(&cleaned);
    hash.update(rest);
    CanonicalHash(hash.finalize().into())
}

/// Hashes the header, its empty line included, but for its end, which is left cleaned. Returns its length.
fn hash_header(body: &[u8], cleaned: &mut Vec<u8>, hash: &mut sha2::Sha256) -> usize {
    let mut line_is_empty = false;
    for (at, &b) in body.iter().enumerate() {
        if b == b'\r' {
            continue;
        }
        if b == b'\n' && line_is_empty {
            cleaned.push(b);
            return at + 1;
        }
        line_is_empty = b == b'\n';
        cleaned.push(if matches!(b, 0 | 0x80..) { b'X' } else { b });
        if cleaned.len() >= CLEANED {
            hash.update(&*cleaned);
            cleaned.clear();
        }
    }
    body.len()
}

/// What may have been a message before somebody put fields in front of its header: the rest of it from each field on, but
/// the first; of so many fields.
pub fn without_first_fields(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    const FIELDS_MAX: usize = 64;
    let mut at = 0;
    let lines = message.split_inclusive(|&b| b == b'\n');
    let header = lines.take_while(|line| !matches!(line, [b'\n'] | [b'\r', b'\n']));
    let rests = header.filter_map(move |line| {
        let begin = at;
        at += line.len();
        // A folded line goes on with the field before it.
        let is_field = !line.starts_with(b" ") && !line.starts_with(b"\t");
        (begin > 0 && is_field).then(|| &message[begin..])
    });
    rests.take(FIELDS_MAX)
}

/// Of a message's header, up to its first empty line.
pub fn header_hash(message: &[u8]) -> HeaderHash {
    let mut end = 0;
    for line in message.split_inclusive(|&b| b == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        end += line.len();
    }
    HeaderHash(sha2::Sha256::digest(message[..end].trim_ascii_end()).into())
}

/// Has this body a CR or LF that is not part of a CRLF?
pub fn has_bare_line_end(body: &[u8]) -> bool {
    let mut before = 0;
    for &b in body {
        if (b == b'\n') != (before == b'\r') {
            return true;
        }
        before = b;
    }
    before == b'\r'
}

/// The body with every line end as CRLF.
pub fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 32);
    let mut rest = body.iter().copied().peekable();
    while let Some(b) = rest.next() {
        match b {
            b'\r' => {
                if rest.peek() == Some(&b'\n') {
                    rest.next();
                }
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            b => out.push(b),
        }
    }
    out
}

#[cfg(test)]
mod tests;
