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
    let Some(Untagged::List {
        attributes,
        delimiter,
        name,
    }) = line("* LIST (\\HasNoChildren \\ALL) NIL \"a\\\"q\\\\x\"")
    else {
        panic!("not a LIST");
    };
    assert_eq!(name, b"a\"q\\x");
    assert_eq!(delimiter, None);
    assert_eq!(attributes, [b"\\HasNoChildren".to_vec(), b"\\ALL".to_vec()]);
    assert!(
        matches!(line("* LIST () \"/\" NIL"), Some(Untagged::List { name, .. }) if name == b"NIL")
    );
}

#[test]
fn a_list_that_cannot_be_read_is_told_of() {
    for text in [
        "* LIST () \"/\" \"Important",
        "* LIST () \"/\" My Important Mail",
        "* LIST () \"/\"",
        "* LIST",
    ] {
        assert!(
            matches!(line(text), Some(Untagged::UnreadableList)),
            "{text}"
        );
    }
    let extended = line("* LIST () \"/\" a (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    assert!(matches!(extended, Some(Untagged::List { .. })));
    let older = line("* XLIST (\\HasNoChildren \\Inbox) \"/\" \"Posteingang\"");
    assert!(matches!(older, Some(Untagged::List { .. })));
}

#[test]
fn what_our_mailboxes_begin_with_is_read() {
    let prefix = |text: &str| match line(text) {
        Some(Untagged::Namespace { prefix, .. }) => Some(prefix),
        _ => None,
    };
    for (text, told) in [
        ("* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL", Some("INBOX.")),
        ("* NAMESPACE ((\"\" \"/\")) ((\"~\" \"/\")) NIL", Some("")),
        ("* NAMESPACE NIL NIL NIL", None),
        ("* NAMESPACE", None),
        ("* NAMESPACE (NIL) NIL NIL", None),
        ("* NAMESPACE (()) NIL NIL", None),
    ] {
        assert_eq!(prefix(text), told.map(|t| t.as_bytes().to_vec()), "{text}");
    }
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
        header_value(b"MESSAGE-ID:\r\n <a>\r\n\r\n", "message-id").map(|v| v.trim_ascii().to_vec()),
        Some(b"<a>".to_vec())
    );
    assert_eq!(
        header_value(b" \r\nDate : x\r\n\r\n", "date"),
        Some(b"x".to_vec())
    );
    assert_eq!(header_value(b"\r\n", "date"), None);
    assert!(header_value(&b"=?a?b?".repeat(300_000), "date").is_none());
}
