//! A message as the store keeps it, and the little of RFC 5322 that Gmail's behaviour depends on: the header block and
//! single fields of it. No MIME.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, Utc};

/// Where a message lies (docs/gmail.md 4.4: Spam and Trash are not in All Mail).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In All Mail, and in the mailboxes of its labels.
    Live,
    /// In Spam alone.
    Spam,
    /// In Trash alone.
    Trash,
}

#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// X-GM-MSGID; in plain mode just a number.
    pub(crate) id: u64,
    pub(crate) thread: u64,
    pub(crate) internal_date: DateTime<FixedOffset>,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) flags: BTreeSet<String>,
    /// System labels as `\Inbox`, labels of users as their UTF-8 names; in plain mode the name of the one mailbox.
    pub(crate) labels: BTreeSet<String>,
    pub(crate) place: Place,
    pub(crate) modseq: u64,
    /// When SEARCH begins to see it (docs/gmail.md 4.5).
    pub(crate) indexed_at: DateTime<Utc>,
    pub(crate) message_id: Option<String>,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.bytes, name)
    }
}

/// The header block with the blank line that ends it, and what follows.
pub(crate) fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        at += line.len();
        if line == b"\n" || line == b"\r\n" {
            break;
        }
    }
    bytes.split_at(at)
}

/// The fields of the header block with their continuation lines.
fn fields(bytes: &[u8]) -> Vec<&[u8]> {
    let (head, _) = split(bytes);
    let mut fields: Vec<&[u8]> = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in head.split_inclusive(|&b| b == b'\n') {
        if !(line.starts_with(b" ") || line.starts_with(b"\t")) {
            fields.push(&head[start..at]);
            start = at;
        }
        at += line.len();
    }
    fields.push(&head[start..at]);
    fields.retain(|field| field_name(field).is_some());
    fields
}

fn field_name(field: &[u8]) -> Option<&str> {
    let colon = field.iter().position(|&b| b == b':')?;
    let name = std::str::from_utf8(&field[..colon]).ok()?.trim_end();
    let valid = !name.is_empty() && name.bytes().all(|b| (33..=126).contains(&b));
    valid.then_some(name)
}

/// The values of the fields of this name, as they stand there.
pub(crate) fn raw_header<'a>(bytes: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named =
        move |field: &&[u8]| field_name(field).is_some_and(|n| n.eq_ignore_ascii_case(name));
    let fields = fields(bytes).into_iter().filter(named);
    fields.map(|field| &field[field.iter().position(|&b| b == b':').unwrap_or(0) + 1..])
}

/// The first field of this name: unfolded, trimmed, and decoded as far as it is UTF-8.
pub(crate) fn header(bytes: &[u8], name: &str) -> Option<String> {
    let field = fields(bytes)
        .into_iter()
        .find(|field| field_name(field).is_some_and(|n| n.eq_ignore_ascii_case(name)))?;
    let colon = field.iter().position(|&b| b == b':')?;
    let value = String::from_utf8_lossy(&field[colon + 1..]).replace(['\r', '\n'], "");
    Some(value.trim().to_string())
}

/// What BODY[HEADER.FIELDS (...)] holds: these fields in the order of the message, and a blank line.
pub(crate) fn header_fields(bytes: &[u8], names: &[String], wanted: bool) -> Vec<u8> {
    let named = |field: &[u8]| {
        field_name(field).is_some_and(|name| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
    };
    let mut out = fields(bytes)
        .into_iter()
        .filter(|field| named(field) == wanted)
        .collect::<Vec<_>>()
        .concat();
    out.extend_from_slice(b"\r\n");
    out
}

/// Whether it begins with a header field (docs/gmail.md 3.6: `Unable to parse message` without).
pub(crate) fn has_header(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    field_name(line).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_folded_and_in_any_case() {
        let mail = b"From: a\r\nmessage-id:\r\n <1@x>\r\nDate: d\r\n\r\nSubject: no\r\n";
        assert_eq!(header(mail, "Message-ID").unwrap(), "<1@x>");
        assert_eq!(header(mail, "Subject"), None);
        let both = header_fields(mail, &["DATE".into(), "MESSAGE-ID".into()], true);
        assert_eq!(both, b"message-id:\r\n <1@x>\r\nDate: d\r\n\r\n");
        assert_eq!(header_fields(mail, &["x".into()], true), b"\r\n");
        assert!(has_header(mail) && !has_header(b"4") && !has_header(b""));
    }
}
