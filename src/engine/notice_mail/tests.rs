//! The mail as a mail program reads it, whatever a message and a server say.

use chrono::{DateTime, TimeDelta};
use mailparse::MailHeaderMap as _;

use super::*;
use crate::ledger::{FailedRow, RowId};

fn sheet() -> Sheet<'static> {
    Sheet {
        account: "you@gmail.com",
        host: "imap.gmail.com",
        source: "ann@imap.example.org",
        ledger: Path::new("/var/lib/imap-to-gmail/sync_state.db"),
        made_at: DateTime::UNIX_EPOCH + TimeDelta::days(19_000),
    }
}

fn failure(sender: &str, subject: &str, error: &str) -> Failure {
    let text = |text: &str| Some(text.to_string()).filter(|t| !t.is_empty());
    Failure {
        row: FailedRow {
            id: RowId(17),
            internal_date: DateTime::UNIX_EPOCH + TimeDelta::days(18_999),
            size: Some(31_200_000),
            sender: text(sender),
            subject: text(subject),
            message_id: None,
            last_error: error.into(),
        },
        mailbox: Some("INBOX".into()),
    }
}

/// Its header fields by name, and its text; no line is longer than may be, and each ends with CRLF.
fn read(mail: &[u8]) -> (Vec<(String, String)>, String) {
    let text = std::str::from_utf8(mail).expect("ASCII");
    assert!(text.is_ascii() && text.ends_with("\r\n"), "{text}");
    for line in text.split_terminator("\r\n") {
        assert!(!line.contains(['\r', '\n']) && line.len() <= LINE_MAX);
    }
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    // A name cannot be broken.
    let breaks = |line: &&str| {
        !["Message-ID:", "From:", "To:"]
            .iter()
            .any(|n| line.starts_with(n))
    };
    for line in header.lines().filter(breaks) {
        assert!(line.len() <= 78, "{line}");
    }
    let parsed = mailparse::parse_mail(mail).expect("a mail");
    assert_eq!(parsed.ctype.mimetype, "text/plain");
    let fields = parsed.headers.iter();
    let fields = fields.map(|h| (h.get_key(), h.get_value())).collect();
    assert!(parsed.headers.get_first_value("Date").is_some());
    (fields, parsed.get_body().expect("a text"))
}

const FIELDS: [&str; 10] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Imap-To-Gmail-Notice",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(key, _)| key == name);
    found.map_or("", |(_, value)| value)
}

fn single(account: &str, host: &str, failure: &Failure) -> (Vec<(String, String)>, String) {
    let sheet = Sheet {
        account,
        host,
        ..sheet()
    };
    let id = sheet.new_mail_id().expect("an id");
    assert!(id.text.starts_with(NOTICE_MAIL_ID) && id.text.ends_with('>'));
    let (fields, text) = read(&sheet.single(&id, failure));
    let names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, FIELDS, "no field but ours");
    (fields, text)
}

#[test]
fn one_message_is_told_of_in_plain_words() {
    let failure = failure(
        "Ann <ann@example.org>",
        "The holidays",
        "the message has 31200000 bytes, the target takes at most 26214400",
    );
    let (fields, text) = single("you@gmail.com", "imap.gmail.com", &failure);
    assert_eq!(
        field(&fields, "From"),
        "imap-to-gmail <you@gmail.com>",
        "its own address"
    );
    assert_eq!(field(&fields, "Subject"), "Not copied: \"The holidays\"");
    assert_eq!(field(&fields, "Auto-Submitted"), "auto-generated");
    assert_eq!(field(&fields, "Content-Transfer-Encoding"), "7bit");
    let expected = "This message was not copied into you@gmail.com, and is not tried again\r\n\
                    by itself:\r\n\
                    \r\n\
                    \x20 from      Ann <ann@example.org>\r\n\
                    \x20 subject   The holidays\r\n";
    assert!(text.starts_with(expected), "{text}");
    let expected = "\x20 size      31.2 MB\r\n\
                    \x20 lies in   INBOX of ann@imap.example.org\r\n\
                    \x20 reason    the message has 31200000 bytes, the target takes at most\r\n\
                    \x20           26214400\r\n\
                    \x20 id        17\r\n";
    assert!(text.contains(expected), "{text}");
    for command in [
        "status --failed --state-file /var/lib/imap-to-gmail/sync_state.db\r\n",
        "retry-failed --state-file /var/lib/imap-to-gmail/sync_state.db 17\r\n",
        "retry-failed --skip --state-file /var/lib/imap-to-gmail/sync_state.db 17\r\n",
    ] {
        assert!(
            text.contains(&format!("\r\n    imap-to-gmail {command}")),
            "{text}"
        );
    }
}

#[test]
fn what_a_mail_or_a_server_wrote_stays_where_it_belongs() {
    let long = "\u{1f680}x ".repeat(2000);
    for evil in [
        "a\r\nBcc: everybody@example.org\r\n\r\nbuy",
        "\r\n.\r\n",
        "\0\x07\x1b[2J\u{202e}txt",
        "=?utf-8?Q?=0D=0ABcc:_x?=",
        "J\u{e4}germeister \u{20ac} \u{65e5}\u{672c}\u{8a9e}\u{306e}\u{30e1}\u{30fc}\u{30eb}",
        "a ` b ` c `",
        &long,
        &"x".repeat(5000),
    ] {
        let (fields, text) = single("you@gmail.com", "x", &failure(evil, evil, evil));
        let subject = field(&fields, "Subject");
        assert!(subject.starts_with("Not copied: \""), "{subject}");
        assert!(subject.chars().count() < SUBJECT_MAX + 20, "{subject}");
        assert!(!subject.chars().any(char::is_control), "{subject}");
        let controls = text.replace("\r\n", "");
        assert!(!controls.chars().any(char::is_control), "{text}");
        assert!(text.chars().count() < 4000, "{text}");
        let shown = shown_within(evil.as_bytes(), SUBJECT_MAX);
        assert_eq!(subject, format!("Not copied: \"{shown}\""));
    }
}

#[test]
fn a_message_of_which_little_is_known_is_told_of_all_the_same() {
    let mut little = failure("", "", "it cannot be fetched");
    (little.row.size, little.mailbox) = (None, None);
    let (fields, text) = single("you@gmail.com", "x", &little);
    assert!(
        field(&fields, "Subject").starts_with("Not copied: a message of 20"),
        "{fields:?}"
    );
    assert!(!text.contains("  from") && text.contains("  lies in   a mailbox of ann@"));
}

#[test]
fn it_is_from_the_account_whatever_that_is_called() {
    for (account, host, address) in [
        (
            "first.last+x@example.org",
            "h.org",
            "first.last+x@example.org",
        ),
        (" you@gmail.com ", "imap.gmail.com", "you@gmail.com"),
        ("bob", "mail.example.org", "bob@mail.example.org"),
        ("bob", "127.0.0.1", "bob@[127.0.0.1]"),
        ("bob", "::1", "bob@[IPv6:::1]"),
        (
            "DOMAIN\\bob",
            "mail.example.org",
            "imap-to-gmail@mail.example.org",
        ),
        (
            "b\u{f6}b@example.org",
            "mail.example.org",
            "imap-to-gmail@mail.example.org",
        ),
        ("a@b\r\nBcc: c@d", "evil\r\nhost", "imap-to-gmail@localhost"),
        ("a@b@c", "h", "imap-to-gmail@h"),
    ] {
        let (fields, _) = single(account, host, &failure("a", "b", "c"));
        assert_eq!(
            field(&fields, "From"),
            format!("imap-to-gmail <{address}>"),
            "{account}"
        );
        assert_eq!(field(&fields, "To"), format!("<{address}>"), "{account}");
    }
}

#[test]
fn a_path_of_any_kind_is_one_that_a_shell_takes() {
    let at = |ledger: &str| {
        let sheet = Sheet {
            ledger: Path::new(ledger),
            ..sheet()
        };
        let id = sheet.new_mail_id().expect("an id");
        read(&sheet.single(&id, &failure("a", "b", "c"))).1
    };
    assert!(at("/srv/my mail/l.db").contains(" --state-file '/srv/my mail/l.db' 17\r\n"));
    assert!(at("/srv/gr\u{f6}\u{df}e.db").contains(" --state-file /srv/gr\u{f6}\u{df}e.db 17\r\n"));
    let deep = format!("/{}l.db", "folder/".repeat(500));
    assert!(at(&deep).contains(&format!(" --state-file {deep} 17\r\n")));
    assert!(!at("/a\nb").contains("/a\r\nb"));
}

#[test]
fn a_digest_lists_the_first_and_counts_the_rest() {
    let id = sheet().new_mail_id().expect("an id");
    let some = vec![failure(&"Ann ".repeat(80), &"sub ".repeat(80), &"why ".repeat(80)); LISTED];
    let mail = sheet().digest(&id, &some, 4_995);
    assert!(mail.len() < 64 << 10, "{}", mail.len());
    let (fields, text) = read(&mail);
    assert_eq!(field(&fields, "Subject"), "Not copied: 4,995 messages");
    assert_eq!(field(&fields, "X-Imap-To-Gmail-Notice"), "digest");
    assert!(text.contains("... and 4,945 messages more.\r\n"), "{text}");
    assert_eq!(text.matches("  reason    why").count(), LISTED);
    let (fields, text) = read(&sheet().digest(&id, &some[..1], 1));
    assert_eq!(field(&fields, "Subject"), "Not copied: 1 message");
    assert!(!text.contains("... and"), "{text}");
}

#[test]
fn no_two_have_one_message_id() {
    let ids: std::collections::HashSet<String> = (0..1000)
        .filter_map(|_| sheet().new_mail_id().map(|id| id.text))
        .collect();
    assert_eq!(ids.len(), 1000);
}
