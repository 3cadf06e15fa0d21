//! What the documents promise for the bad day: the ledger is lost, or an old copy of it comes back.

use std::fs;
use std::path::Path;

use gmail_stand_in::{Gmail, Mail};

use super::{Route, document, route, servers};

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

#[test]
fn status_completes_the_ledger_of_a_killed_run() {
    let (source, gmail) = filled();
    let route = route(&source, &gmail);
    assert_eq!(route.run().status, 0);
    let ledger = route.ledger_file();
    let beside = |suffix: &str| format!("{}{suffix}", ledger.display());
    let log = || Path::new(&beside("-wal")).exists();
    // As after `kill -9`: nobody closed it.
    let db = rusqlite::Connection::open(&ledger).unwrap();
    db.execute("UPDATE message SET sender = 'newest'", [])
        .unwrap();
    let left = ["", "-wal", "-shm"].map(|suffix| (suffix, fs::read(beside(suffix)).unwrap()));
    drop(db);
    for (suffix, bytes) in left {
        fs::write(beside(suffix), bytes).unwrap();
    }
    let newest_in_the_file = || {
        let alone = route.dir.path().join("alone.db");
        fs::copy(&ledger, &alone).unwrap();
        let db = rusqlite::Connection::open(&alone).unwrap();
        let sql = "SELECT count(*) > 0 FROM message WHERE sender = 'newest'";
        db.query_row(sql, [], |r| r.get::<_, bool>(0)).unwrap()
    };
    assert!(log() && !newest_in_the_file());
    assert_eq!(
        route.command(&["status", "--config", "config.json"]).status,
        0
    );
    assert!(!log() && newest_in_the_file());
}

/// `check` has no `--state-file`: the page for a service has its configuration name the ledger.
#[test]
fn check_looks_at_the_ledger_that_the_configuration_names() {
    let (source, gmail) = filled();
    let mut route = route(&source, &gmail);
    assert_eq!(route.run().status, 0);
    let dir = route.dir.path().to_path_buf();
    fs::create_dir(dir.join("service")).unwrap();
    let theirs = dir.join("service/sync_state.db");
    fs::rename(route.ledger_file(), &theirs).unwrap();
    let said = |route: &Route| {
        let out = route.command(&["check", "--config", "config.json"]).out;
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let none = said(&route);
    assert!(none.contains("sync_state.db is not there yet"), "{none}");
    let service = document("docs/service.md");
    assert!(service.contains("\"state_file\": \"/var/lib/imap-to-gmail/sync_state.db\",\n"));
    route.set("state_file", theirs.to_str().unwrap());
    let whole = said(&route);
    assert!(
        whole.contains("service/sync_state.db is whole: 6 delivered"),
        "{whole}"
    );
}
