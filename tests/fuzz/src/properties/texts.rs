//! Responses cut into tokens, refusals, headers, and what is shown of them all.

use std::time::Duration;

use imap_to_gmail::config::{Endpoint, Origin, Tls};
use imap_to_gmail::error::{SHOWN_MAX, shown as shown_text, shown_within};
use imap_to_gmail::folder::{LABEL_MAX, Listed, Pattern, decoded, encoded, label};
use imap_to_gmail::message::{
    Flags, MessageId, Uid, canonical_hash, date_text, has_bare_line_end, with_crlf,
};
use imap_to_gmail::response::{
    Fetched, Part, Status, StatusText, Untagged, announced_literal, header_value, untagged,
};
use imap_to_gmail::session::Peer;
use imap_to_gmail::session::{Phase, classify};
use imap_to_gmail::{config, logging};

use super::{assert_printable, assert_same};

/// The input as the wire frames it: responses of lines and the literals that they announce.
fn framed(mut data: &[u8]) -> Vec<Vec<Part>> {
    let mut all = Vec::new();
    let mut parts = Vec::new();
    while !data.is_empty() {
        let end = data.iter().position(|&b| b == b'\n');
        let line = &data[..end.unwrap_or(data.len())];
        data = &data[end.map_or(data.len(), |end| end + 1)..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        parts.push(Part::Text(line.to_vec()));
        match announced_literal(line) {
            Some(len) if len <= data.len() as u64 => {
                let (literal, rest) = data.split_at(len as usize);
                parts.push(Part::Literal(literal.to_vec()));
                data = rest;
            }
            _ => all.push(std::mem::take(&mut parts)),
        }
    }
    all
}

pub(super) fn reply(data: &[u8]) {
    for parts in framed(data) {
        let Some(response) = untagged(parts) else {
            continue;
        };
        match response {
            Untagged::Fetch(fetched) => {
                assert!(fetched.uid.is_none_or(|u| u.0 > 0));
                // They must fit SQLite's numbers.
                assert!(fetched.size.is_none_or(|n| n < 1 << 53));
                assert!(fetched.gm_msgid.is_none_or(|n| i64::try_from(n).is_ok()));
                if let Some(discovered) = fetched.discovered() {
                    if let Some(id) = &discovered.message_id {
                        assert_printable(&id.text, 251);
                    }
                    if let Some(date) = &discovered.date {
                        assert_printable(date, 80);
                    }
                }
                assert_told_again(&fetched);
            }
            Untagged::Search(uids) => assert!(uids.iter().all(|u| u.0 > 0)),
            Untagged::Status(s) => {
                assert!(s.append_uid().is_none_or(|(v, u)| v > 0 && u > 0));
                assert!(s.words.len() <= 16 << 10);
            }
            Untagged::Capability(list) => assert!(list.len() <= 500),
            _ => {}
        }
    }
}

/// What was read of a message, said again in other words and read again, is the same.
fn assert_told_again(fetched: &Fetched) {
    let mut parts = Vec::new();
    let mut line = b"* 1 FETCH (".to_vec();
    let item = |line: &mut Vec<u8>, text: String| line.extend_from_slice(text.as_bytes());
    if let Some(n) = fetched.size {
        item(&mut line, format!("RFC822.SIZE {n} "));
    }
    if let Some(n) = fetched.gm_msgid {
        item(&mut line, format!("x-gm-msgid \"{n}\" "));
    }
    if let Some(flags) = fetched.flags {
        item(&mut line, format!("Flags ({flags}) "));
    }
    if let Some(t) = fetched.internal_date {
        item(
            &mut line,
            format!("INTERNALDATE \"{}\" ", t.format("%d-%b-%Y %H:%M:%S +0000")),
        );
    }
    for (name, literal) in [
        ("BODY[]", &fetched.body),
        ("BODY[HEADER.FIELDS (DATE)]", &fetched.header),
    ] {
        if let Some(bytes) = literal {
            item(&mut line, format!("{name} {{{}}}", bytes.len()));
            parts.push(Part::Text(std::mem::take(&mut line)));
            parts.push(Part::Literal(bytes.clone()));
            line.push(b' ');
        }
    }
    item(&mut line, format!("UID {})", fetched.uid.unwrap_or(Uid(1))));
    parts.push(Part::Text(line));
    let Some(Untagged::Fetch(again)) = untagged(parts) else {
        panic!("cannot be read again: {fetched:?}");
    };
    let year = fetched.internal_date.map(|t| t.format("%Y").to_string());
    // A year of five digits is written with a sign.
    if year.is_none_or(|y| y.len() == 4) {
        assert_same("internal date", fetched.internal_date, again.internal_date);
    }
    assert_same(
        "uid",
        fetched.uid.unwrap_or(Uid(1)),
        again.uid.unwrap_or(Uid(0)),
    );
    assert_same("size", fetched.size, again.size);
    assert_same("X-GM-MSGID", fetched.gm_msgid, again.gm_msgid);
    assert_same("flags", fetched.flags, again.flags);
    assert_same("body", &fetched.body, &again.body);
    assert_same("header", &fetched.header, &again.header);
}

pub(super) fn refusal(data: &[u8]) {
    let Some((&kind, line)) = data.split_first() else {
        return;
    };
    let phase = [
        Phase::Greeting,
        Phase::SignIn,
        Phase::Examine,
        Phase::Fetch,
        Phase::Append,
    ][usize::from(kind % 5)];
    let Some(status) = StatusText::parse(line) else {
        return;
    };
    if matches!(status.status, Status::Ok | Status::PreAuth) {
        return;
    }
    let words = shown_text(&status.words);
    let error = classify(phase, status.status, &peer(), &words);
    // Without its full stop.
    assert!(
        error
            .message
            .contains(words.strip_suffix('.').unwrap_or(&words))
    );
    assert_printable(&error.message, SHOWN_MAX + 100);
    assert!(
        error
            .delay
            .is_none_or(|d| d <= Duration::from_secs(24 * 3600))
    );
    // A message is never given up because of what a server says of anything else, nor while it is being lost.
    if phase != Phase::Append || status.status == Status::Bye {
        assert!(
            error.fault != imap_to_gmail::error::Fault::Permanent,
            "{error:?}"
        );
    }
}

pub(super) fn header(data: &[u8]) {
    for name in ["message-id", "date"] {
        let Some(value) = header_value(data, name) else {
            continue;
        };
        assert!(value.is_empty() || data.windows(value.len()).any(|w| w == value));
        let crlf: Vec<u8> = value.iter().flat_map(|&b| [b'\r', b'\n', b]).collect();
        assert_same(
            "an id, folded",
            MessageId::parse(&value),
            MessageId::parse(&crlf),
        );
        assert_same("a date, folded", date_text(&value), date_text(&crlf));
    }
    if let Some(id) = MessageId::parse(data) {
        assert_printable(&id.text, 251);
        let inner = format!("<{}>", id.text);
        let is_plain = id.text.len() < 200
            && id
                .text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"<>\\".contains(&b));
        if is_plain {
            assert_same(
                "an id in brackets",
                MessageId::parse(inner.as_bytes()).map(|i| i.hash),
                Some(id.hash),
            );
        }
    }
    if let Some(date) = date_text(data) {
        assert_printable(&date, 80);
        assert!(!date.is_empty());
        // What was hashed for its length or its bytes would be hashed again.
        if date.is_ascii() && !date.contains(" #") {
            assert_same("a date of a date", date_text(date.as_bytes()), Some(date));
        }
    }
    let mended = with_crlf(data);
    assert!(!has_bare_line_end(&mended));
    assert_same("mended twice", &with_crlf(&mended), &mended);
    if !data.contains(&b'\r') {
        assert_same(
            "the hash of a mended body",
            canonical_hash(data),
            canonical_hash(&mended),
        );
    }
    let text = String::from_utf8_lossy(data);
    let flags = Flags::parse(&text);
    assert_same("flags", Flags::parse(&flags.to_string()), flags);
}

pub(super) fn shown(data: &[u8]) {
    assert_printable(&shown_text(data), SHOWN_MAX + 1);
    let Some((&max, rest)) = data.split_first() else {
        return;
    };
    let text = shown_within(rest, usize::from(max));
    assert_printable(&text, usize::from(max) + 1);
    // What is harmless is shown as it is.
    if rest.len() <= usize::from(max) && rest.iter().all(|b| (b' '..=b'~').contains(b)) {
        assert_same("plain text", text.as_bytes(), rest);
    }
    // What was cut off says so.
    let cut = text.ends_with('…') || rest.len() <= usize::from(max) * 4 + 4;
    assert!(cut, "cut off in silence: {text:?}");
}

pub(super) fn size(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let bytes = config::bytes(text);
    if let Some(n) = bytes {
        assert_same("in plain digits", config::bytes(&n.to_string()), Some(n));
        assert_same("with blanks", config::bytes(&format!(" {text} ")), Some(n));
        for (unit, factor) in [("K", 1 << 10), ("m", 1 << 20), ("G", 1u64 << 30)] {
            assert_same(
                "with a unit",
                config::bytes(&format!("{n}{unit}")),
                n.checked_mul(factor),
            );
        }
    }
    assert_same(
        "--log-max-size",
        logging::max_size(text).ok(),
        bytes.filter(|n| *n > 0),
    );
    if let Ok(n) = logging::max_files(text) {
        assert_same("--log-max-files", logging::max_files(&n.to_string()), Ok(n));
    }
}

fn peer() -> Peer {
    Peer {
        endpoint: Endpoint {
            host: "imap.example.org".into(),
            port: 993,
            tls: Tls::Implicit,
            ca_file: None,
            origin: Origin::default(),
        },
        user: "user@example.org".into(),
        is_gmail: false,
    }
}

/// The name of a mailbox, from the wire and to it.
pub(super) fn name(data: &[u8]) {
    let both_ways = |name: &str| {
        let wire = encoded(name);
        assert!(wire.bytes().all(|b| (b' '..=b'~').contains(&b)), "{wire:?}");
        assert_same("a name", decoded(wire.as_bytes()).as_deref(), Some(name));
    };
    if let Some(name) = decoded(data) {
        assert!(name.len() <= 3 * data.len());
        both_ways(&name);
    }
    if let Ok(name) = std::str::from_utf8(data) {
        both_ways(name);
        labelled(name);
        if let Some((pattern, name)) = name.split_once('\n') {
            matched(pattern, name);
        }
    }
}

/// A label is one that Gmail takes, and stays as it is.
fn labelled(name: &str) {
    let told = label(name);
    assert!(!told.is_empty() && told.chars().count() <= LABEL_MAX);
    assert!(!told.contains(|c: char| c == '^' || c.is_control()));
    assert_same("a label", &*label(&told), &*told);
}

/// A pattern that matches is its own text with something in the place of each wildcard.
fn matched(pattern: &str, name: &str) {
    let Some(parsed) = Pattern::of(pattern) else {
        return;
    };
    let mailbox = Listed {
        name: name.into(),
        ..Listed::inbox()
    };
    if parsed.wildcards() == 0 || !parsed.matches(&mailbox) {
        return;
    }
    let mut parts = parsed.parts(name).into_iter();
    let mut built = String::new();
    for c in pattern.chars() {
        match c {
            '*' | '%' => built += &parts.next().unwrap(),
            c => built.push(c),
        }
    }
    assert_same("a name", &*built, name);
}
