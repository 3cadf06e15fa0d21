//! What names a message, and what of it is kept, in the forms in which it comes.

use super::*;

fn id(raw: &str) -> MessageId {
    MessageId::parse(raw.as_bytes()).expect("an id")
}

#[test]
fn message_ids_compare_by_what_stands_between_the_brackets() {
    assert_eq!(id("<a@b>").hash, id("a@b").hash);
    assert_eq!(id("\r\n <a@b>").hash, id(" <a@b> (added by x)").hash);
    assert_ne!(id("<a@b>").hash, id("<A@b>").hash);
    assert_eq!(MessageId::parse(b" \r\n\t"), None);
    assert_eq!(MessageId::parse(b"<>"), None);
    let long = id(&format!("<{}>", "x".repeat(5000)));
    assert!(long.text.len() < 260);
    assert_ne!(long.hash, id(&format!("<{}>", "x".repeat(4999))).hash);
    assert!(!id("<a\x07b@\u{202e}>").text.contains('\x07'));
}

#[test]
fn dates_that_differ_stay_different() {
    assert_eq!(
        date_text(b" Mon, 1 Jan\r\n 2024 ").as_deref(),
        Some("Mon, 1 Jan 2024")
    );
    let long = "x".repeat(100);
    assert_ne!(
        date_text(format!("{long}1").as_bytes()),
        date_text(format!("{long}2").as_bytes())
    );
    assert_ne!(date_text(b"\xff"), date_text(b"\xfe"));
    assert_eq!(date_text(b"  "), None);
}

#[test]
fn uid_sets_join_runs() {
    let set = |v: &[u32]| uid_set(&v.iter().map(|&n| Uid(n)).collect::<Vec<_>>());
    assert_eq!(set(&[1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
    assert_eq!(set(&[]), "");
    assert_eq!(set(&[u32::MAX - 1, u32::MAX]), "4294967294:4294967295");
}

#[test]
fn canonical_hash_forgives_what_servers_rewrite_and_no_more() {
    let base = canonical_hash(b"a: b\r\n\r\nx\x80y\r\n");
    assert_eq!(base, canonical_hash(b"a: b\n\nx\0y"));
    assert_eq!(base, canonical_hash(b"a: b\r\n\r\nx\x80y\r\n\r\n"));
    assert_ne!(base, canonical_hash(b"a: b\r\n\r\nx\x80 y\r\n"));
    // Cyrus does so to what is no ASCII in a header, and leaves the text alone.
    let odd = canonical_hash(b"a: \xfc\xe4\r\n\r\nx\xfcy\r\n");
    assert_eq!(odd, canonical_hash(b"a: XX\r\n\r\nx\xfcy"));
    assert_ne!(odd, canonical_hash(b"a: XX\r\n\r\nxXy"));
    assert_ne!(odd, canonical_hash(b"a: XX\n\nx\xe4y"));
}

#[test]
fn what_a_canonical_hash_is_does_not_change() {
    // Ledgers hold it.
    let long = "0123456789abcdef\r\n".repeat(5000);
    let hex = |body: &[u8]| -> String {
        let hash = canonical_hash(body).0;
        hash[..6].iter().map(|b| format!("{b:02x}")).collect()
    };
    assert_eq!(hex(b""), "e3b0c44298fc");
    assert_eq!(hex(b"\n\na\0\x80"), "1e70fc8f6b53");
    assert_eq!(
        hex(b"a: \xfc\0\r\n\r\r\nx\0\xfc\r\r\ny\n\r"),
        "440b6fa9d909"
    );
    assert_eq!(
        hex(format!("a: b\r\n\r\n{long}").as_bytes()),
        "91da2db90a9d"
    );
}

#[test]
fn bare_line_ends_are_found_and_mended() {
    assert!(!has_bare_line_end(b"a\r\nb\r\n"));
    for body in [&b"a\nb"[..], b"a\rb", b"a\r\r\nb", b"a\r", b"\n"] {
        assert!(has_bare_line_end(body), "{body:?}");
        assert!(!has_bare_line_end(&with_crlf(body)), "{body:?}");
    }
    assert_eq!(with_crlf(b"a\nb\rc\r\nd"), b"a\r\nb\r\nc\r\nd");
}

#[test]
fn flags_keep_only_what_is_carried() {
    let mut flags = Flags::default();
    for name in [
        &b"\\SEEN"[..],
        b"\\Deleted",
        b"\\Recent",
        b"$Junk",
        b"\\Draft",
    ] {
        flags.insert(name);
    }
    assert_eq!(flags.to_string(), "\\Seen \\Draft");
    assert_eq!(Flags::parse("\\Seen \\Draft"), flags);
    assert_eq!(flags.outside_drafts().to_string(), "\\Seen");
}
