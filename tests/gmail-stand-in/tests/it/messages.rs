//! FETCH, SEARCH, STORE, EXPUNGE, COPY and MOVE (docs/gmail.md 4).

use std::time::Duration;

use crate::client::{Client, mail};
use chrono::DateTime;
use gmail_stand_in::{Gmail, Mail, Options};

const BAD: &str = "A BAD Could not parse command";

fn start(ids: &[&str]) -> (Gmail, Client) {
    let gmail = Gmail::start(Options::default());
    let date = DateTime::parse_from_rfc3339("2013-01-01T23:36:00Z").unwrap();
    for id in ids {
        gmail.add(Mail::new(mail(id, "body")).at(date));
    }
    let mut client = Client::login(&gmail);
    client.run("SELECT INBOX");
    (gmail, client)
}

#[test]
fn items_come_in_gmails_order() {
    let (gmail, mut c) = start(&["1@x"]);
    let message = gmail.messages().remove(0);
    gmail.set_labels(message.id, &["\\Inbox", "\\Important", "Work", "a b"]);
    c.run("NOOP");
    let len = message.bytes.len();
    let modseq = c.run("UID FETCH 1 (MODSEQ)")[0]
        .trim_start_matches("* 1 FETCH (UID 1 MODSEQ (")
        .trim_end_matches("))")
        .to_string();
    let tag = c.start("UID FETCH 1 (BODY.PEEK[] FLAGS INTERNALDATE MODSEQ X-GM-LABELS X-GM-MSGID RFC822.SIZE X-GM-THRID)");
    assert_eq!(
        c.line(),
        format!(
            "* 1 FETCH (X-GM-THRID {id} X-GM-MSGID {id} X-GM-LABELS (Work \"\\\\Important\" \"a b\") UID 1 RFC822.SIZE \
             {len} MODSEQ ({modseq}) INTERNALDATE \"01-Jan-2013 23:36:00 +0000\" FLAGS () BODY[] {{{len}}}",
            id = message.id
        )
    );
    assert_eq!(c.bytes(len), message.bytes);
    assert_eq!(c.answer(&tag), [")", "A OK Success"]);
    c.run("EXAMINE \"[Gmail]/All Mail\"");
    assert_eq!(
        c.run("FETCH 1 X-GM-LABELS")[0],
        "* 1 FETCH (X-GM-LABELS (Work \"\\\\Important\" \"\\\\Inbox\" \"a b\"))"
    );
}

#[test]
fn parts_of_a_message() {
    let (gmail, mut c) = start(&["1@x", "2@x"]);
    assert_eq!(
        c.run("UID FETCH 2:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID Date)])"),
        [
            "* 2 FETCH (UID 2 BODY[HEADER.FIELDS (MESSAGE-ID Date)] {59}",
            "Date: Tue, 1 Jul 2025 10:00:00 +0000",
            "Message-ID: <2@x>",
            "",
            ")",
            "A OK Success",
        ]
    );
    assert_eq!(
        c.run("FETCH 1 BODY.PEEK[TEXT]<1.2>")[0],
        "* 1 FETCH (BODY[TEXT]<1> {2}"
    );
    assert_eq!(c.run("FETCH 1 (BODY.PEEK[HEADER])").len(), 8);
    // `n:*` always reaches the last message.
    assert_eq!(
        c.run("UID FETCH 9:* (UID)"),
        ["* 2 FETCH (UID 2)", "A OK Success"]
    );
    assert_eq!(c.run("UID FETCH 9 (UID)"), ["A OK Success"]);
    assert_eq!(c.run("FETCH 1 (ENVELOPE)"), [BAD]);
    assert!(gmail.messages().iter().all(|m| m.flags.is_empty()));
    assert!(c.run("FETCH 1 BODY[TEXT]")[0].starts_with("* 1 FETCH (FLAGS (\\Seen) BODY[TEXT] {"));
    assert!(c.run("UID FETCH 1 (FLAGS) (CHANGEDSINCE 999)").len() == 1);
}

#[test]
fn searches_and_what_they_miss() {
    let (gmail, mut c) = start(&["1@x", "a{b}@x", "CaSe@x"]);
    let done = "A OK SEARCH completed (Success)";
    let mut search = |keys: &str| c.run(&format!("UID SEARCH {keys}"))[0].clone();
    assert_eq!(search("ALL"), "* SEARCH 1 2 3");
    assert_eq!(search("SINCE 1-Jan-2013"), "* SEARCH 1 2 3");
    assert_eq!(search("BEFORE 1-Jan-2013"), "* SEARCH");
    assert_eq!(search("ON 01-Jan-2013 UID 2:*"), "* SEARCH 2 3");
    assert_eq!(search("HEADER Message-ID <1@x>"), "* SEARCH 1");
    assert_eq!(search("HEADER Message-ID \"1@x\""), "* SEARCH 1");
    assert_eq!(search("HEADER Message-ID 1@"), "* SEARCH");
    assert_eq!(search("HEADER Message-ID \"<a{b}@x>\""), "* SEARCH");
    assert_eq!(search("HEADER Message-ID <case@X>"), "* SEARCH 3");
    assert_eq!(search("HEADER X \"\""), "* SEARCH 1 2 3");
    assert_eq!(
        search("X-GM-RAW \"rfc822msgid:<1@x> OR rfc822msgid:case@x\""),
        "* SEARCH 1 3"
    );
    assert_eq!(search("X-GM-RAW rfc822msgid:1@x"), BAD);
    assert_eq!(search("X-GM-LABELS \\Inbox"), BAD);
    assert_eq!(search("X-GM-LABELS \"\\\\Inbox\""), "* SEARCH 1 2 3");
    assert_eq!(search("SUBJECT é"), BAD);
    assert_eq!(search("CHARSET UTF-8 SUBJECT {2+}\r\né"), "* SEARCH");
    let id = gmail.mailbox("INBOX")[1].1;
    assert_eq!(search(&format!("X-GM-MSGID {id}")), "* SEARCH 2");
    assert_eq!(search("NOT (UID 1:2)"), "* SEARCH 3");
    assert_eq!(search("OR UID 1 UID 3"), "* SEARCH 1 3");
    assert_eq!(search("FROBNICATE"), BAD);
    assert_eq!(
        c.run("UID SEARCH RETURN (ALL) 1:2"),
        ["* ESEARCH (TAG \"A23\") UID ALL 1:2", done]
    );
    gmail.knobs(|knobs| knobs.search_misses = 100);
    assert_eq!(c.run("SEARCH HEADER Message-ID <1@x>"), ["* SEARCH", done]);
}

#[test]
fn the_index_is_late_and_fetch_is_not() {
    let (gmail, mut c) = start(&[]);
    gmail.knobs(|knobs| knobs.index_lag = Duration::from_secs(60));
    c.append("INBOX", &mail("1@x", ""));
    assert_eq!(c.run("UID SEARCH HEADER Message-ID <1@x>")[0], "* SEARCH");
    assert_eq!(c.run("UID FETCH 1 (UID)")[0], "* 1 FETCH (UID 1)");
    gmail.clock().advance(Duration::from_secs(61));
    assert_eq!(c.run("UID SEARCH HEADER Message-ID <1@x>")[0], "* SEARCH 1");
}

#[test]
fn flags_and_labels_are_stored() {
    let (gmail, mut c) = start(&["1@x"]);
    let labels = || {
        gmail.messages()[0]
            .labels
            .iter()
            .cloned()
            .collect::<Vec<_>>()
    };
    let stored = c.run("UID STORE 1 +X-GM-LABELS (foo \"a b\" \\Starred)");
    assert!(
        stored[0]
            .starts_with("* 1 FETCH (X-GM-LABELS (\"\\\\Starred\" \"a b\" foo) UID 1 MODSEQ (")
    );
    assert!(stored[1].ends_with(" FLAGS (\\Flagged))"), "{stored:?}");
    assert_eq!(labels(), ["\\Inbox", "\\Starred", "a b", "foo"]);
    assert_eq!(gmail.mailbox("foo").len(), 1);
    assert!(c.run("STORE 1 -FLAGS (\\Flagged)")[0].starts_with("* 1 FETCH (MODSEQ ("));
    assert_eq!(labels(), ["\\Inbox", "a b", "foo"]);
    // The label of the selected mailbox stays.
    assert_eq!(
        c.run("UID STORE 1 -X-GM-LABELS.SILENT (\\Inbox foo)"),
        ["A OK Success"]
    );
    assert_eq!(labels(), ["\\Inbox", "a b"]);
    assert_eq!(
        c.run("UID STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)"),
        ["A OK [MODIFIED 1] Conditional Store Failed (Success)"]
    );
    assert_eq!(c.run("UID STORE 1 +FLAGS.SILENT ($Junk)"), ["A OK Success"]);
    assert_eq!(
        gmail.messages()[0].flags.iter().collect::<Vec<_>>(),
        ["$Junk"]
    );
    c.run("EXAMINE INBOX");
    assert!(c.run("UID STORE 1 +FLAGS (\\Seen)")[0].starts_with("A NO "));
}

#[test]
fn deleted_messages_are_archived_or_gone() {
    let (gmail, mut c) = start(&["1@x", "2@x"]);
    let stored = c.run("STORE 1 +FLAGS (\\Deleted)");
    assert!(stored[0].ends_with("FLAGS (\\Deleted))"), "{stored:?}");
    assert_eq!(stored[1..], ["* 1 EXPUNGE", "A OK Success"]);
    assert_eq!(gmail.mailbox("[Gmail]/All Mail").len(), 2);
    gmail.knobs(|knobs| knobs.auto_expunge = false);
    c.run("UID STORE 2 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(gmail.mailbox("INBOX").len(), 1);
    assert_eq!(c.run("UID EXPUNGE 1"), ["A OK Success"]);
    assert_eq!(c.run("UID EXPUNGE 2"), ["* 1 EXPUNGE", "A OK Success"]);
    assert!(gmail.mailbox("INBOX").is_empty());
    gmail.trash(gmail.messages()[0].id);
    c.run("SELECT [Gmail]/Trash");
    c.run("STORE 1 +FLAGS (\\Deleted)");
    assert_eq!(c.run("EXPUNGE"), ["* 1 EXPUNGE", "A OK Success"]);
    assert_eq!(gmail.messages().len(), 1);
}

#[test]
fn messages_are_copied_and_moved() {
    let (gmail, mut c) = start(&["1@x", "2@x"]);
    gmail.create("Work");
    let validity = gmail.uids("Work").0;
    assert_eq!(
        c.run("UID COPY 1:2 Work"),
        [format!("A OK [COPYUID {validity} 1:2 1:2] (Success)")]
    );
    assert_eq!(gmail.messages().len(), 2);
    let moved = c.run("UID MOVE 1 [Gmail]/Trash");
    assert_eq!(moved[0], "* 1 EXPUNGE");
    assert_eq!(gmail.mailbox("[Gmail]/Trash").len(), 1);
    assert_eq!(gmail.mailbox("INBOX").len(), 1);
    assert_eq!(
        c.run("COPY 1 Nowhere"),
        ["A NO [TRYCREATE] Folder doesn't exist. (Failure)"]
    );
}
