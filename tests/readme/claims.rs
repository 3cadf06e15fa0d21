//! What the documents promise for the bad day: the ledger is lost, or an old copy of it comes back.

use std::fs;

use gmail_stand_in::{Gmail, Mail};

use super::{route, servers};

/// What Gmail takes, with a Message-ID and without; two with one Message-ID; two that are the same.
fn mails() -> Vec<String> {
    let dated = |id: &str, body: &str| {
        format!(
            "Message-ID: <{id}@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: a@example.org\r\n\r\n{body}\r\n"
        )
    };
    vec![
        dated("plain", "plain"),
        dated("twice", "the same"),
        dated("twice", "the same"),
        "From: scanner@example.org\r\nSubject: without a Message-ID\r\n\r\npage 1\r\n".into(),
        "Message-ID: <list@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: a@example.org\r\n\r\nby the list\r\n".into(),
        "Message-ID: <list@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:21 +0000\r\nFrom: a@example.org\r\n\r\ndirect\r\n".into(),
    ]
}

/// Both sides, with the mail in the one.
fn filled() -> (Gmail, Gmail) {
    let (source, gmail) = servers();
    for mail in mails() {
        source.add(Mail::new(mail));
    }
    (source, gmail)
}

#[test]
fn a_run_without_its_ledger_sends_nothing_that_gmail_still_has() {
    let (source, gmail) = filled();
    let route = route(&source, &gmail);
    assert_eq!(route.run().status, 0);
    let before = gmail.messages().len();
    assert_eq!(before, 5);
    fs::remove_file(route.ledger_file()).unwrap();
    let again = route.run();
    assert_eq!(again.status, 0, "{again:?}");
    assert_eq!(gmail.messages().len(), before, "{}", route.dump());
    assert_eq!(
        route.one::<i64>("SELECT count(*) FROM message WHERE proof = 'appended'"),
        0,
        "{}",
        route.dump()
    );
}

#[test]
fn an_old_copy_of_the_ledger_sends_nothing_that_came_since() {
    let (source, gmail) = filled();
    let route = route(&source, &gmail);
    assert_eq!(route.run().status, 0);
    // All of it is in the one file when a run has ended.
    assert!(!route.dir.path().join("sync_state.db-wal").exists());
    let copy = route.dir.path().join("backup.db");
    fs::copy(route.ledger_file(), &copy).unwrap();
    for mail in mails() {
        source.add(Mail::new(
            mail.replace("@example.org>", ".later@example.org>")
                .replace("page 1", "page 2"),
        ));
    }
    assert_eq!(route.run().status, 0);
    let before = gmail.messages().len();
    fs::copy(copy, route.ledger_file()).unwrap();
    let again = route.run();
    assert_eq!(again.status, 0, "{again:?}");
    assert_eq!(gmail.messages().len(), before, "{}", route.dump());
}
