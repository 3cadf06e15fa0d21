//! `status` of a ledger into which mail, servers or anybody else wrote their worst: nothing of it moves the cursor, and damage is
//! called damage.

use imap_to_gmail::error::{Error, Fault, shown};
use imap_to_gmail::ledger::Change;
use rusqlite::Connection;

use super::status::{book, day, everything};

/// A message, its sender and a server do their worst; what is foreign goes through `shown`, as in delivery.
#[test]
fn hostile_mail_cannot_write_on_the_terminal() {
    let (desk, mut b) = book();
    let id = b.claimed("<a\x1b[2J\u{202e}b@x>", Some(7), day(3));
    let change = Change::Failed {
        error: Error::new(
            Fault::Permanent,
            shown(b"NO \x1b]0;pwned\x07 \xff gone\r\n* OK"),
        ),
        sender: Some(shown(b"\x1b[1A\x1b[Kroot\x08\x08")),
        subject: Some(shown(
            "all is well\n  failed   0\u{9b}2J\u{2066}".as_bytes(),
        )),
    };
    b.ledger.settle(id, &change, day(3)).unwrap();
    let status = desk.run(&["status", "--failed"]);
    let failure = &status.out()[status.out().find("id 1,").unwrap()..];
    assert_eq!(
        failure,
        "\
id 1, 2024-11-03 10:00 UTC, 7 bytes
  from       \\u{1b}[1A\\u{1b}[Kroot\\u{8}\\u{8}
  subject    all is well\\u{a}  failed   0\\u{9b}2J\\u{2066}
  message-id <a\\u{1b}[2J\\u{202e}b@x>
  reason     NO \\u{1b}]0;pwned\\u{7} \u{fffd} gone\\u{d}\\u{a}* OK
"
    );
}

/// Anybody may write into the file; nothing that stands there moves the cursor or makes a line longer than the screen.
#[test]
fn a_ledger_that_was_written_by_hand_cannot_write_on_the_terminal() {
    let desk = everything();
    let db = Connection::open(desk.path("sync_state.db")).unwrap();
    let bad = format!("\x1b[2J\r\n\u{9b}1A\u{202e}{}", "w".repeat(5000));
    db.pragma_update(None, "foreign_keys", "OFF").unwrap();
    for change in [
        "UPDATE route SET source_user = ?1, target_user = ?1",
        "UPDATE heartbeat SET part = ?1, kind = ?1, trouble = ?1, hint = ?1",
        "UPDATE message SET sender = ?1, subject = ?1, last_error = ?1",
        "UPDATE message SET message_id = ?1 WHERE message_id IS NOT NULL",
    ] {
        db.execute(change, [&bad]).unwrap();
    }
    for args in [
        &["status", "--failed"][..],
        &["status", "--failed", "--json"],
    ] {
        let ran = desk.run(args);
        let out = ran.out();
        assert!(
            out.chars()
                .all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')),
            "{out}"
        );
        if args.len() == 2 {
            assert!(out.contains("\\u{1b}[2J"), "{out}");
            // But the first, which is to be read alone.
            let long = out.lines().skip(1).find(|l| l.chars().count() > 80);
            assert_eq!(long, None);
            assert!(out.lines().next().unwrap().len() < 800, "{out}");
        }
    }
}

/// No time is anybody's but the program's: one that cannot be read is neither passed over nor shown as it is.
#[test]
fn a_time_that_cannot_be_read_is_damage() {
    for (table, column) in [
        ("heartbeat", "started_at"),
        ("heartbeat", "beat_at"),
        ("heartbeat", "ended_at"),
        ("heartbeat", "since"),
        ("message", "internal_date"),
        ("message", "next_attempt_at"),
        ("message", "discovered_at"),
        ("message", "delivered_at"),
    ] {
        let desk = everything();
        let db = Connection::open(desk.path("sync_state.db")).unwrap();
        let bad = format!("\x1b[2J\r\n\u{9b}1A\u{202e}{}", "w".repeat(5000));
        let given = match column {
            "ended_at" => "true",
            column => &format!("{column} IS NOT NULL"),
        };
        let change = format!("UPDATE {table} SET {column} = ?1 WHERE {given}");
        assert!(db.execute(&change, [&bad]).unwrap() > 0);
        for json in [&[][..], &["--json"]] {
            let ran = desk.run(&[&["status", "--failed"], json].concat());
            assert_eq!((ran.status, &*ran.out), (Some(1), ""), "{column}");
            let begin = "error: sync_state.db: the ledger is damaged: ";
            assert!(ran.err.starts_with(begin), "{column}: {}", ran.err);
            assert!(ran.err.contains(column), "{column}: {}", ran.err);
            let got = " is `\\u{1b}[2J\\u{d}\\u{a}\\u{9b}1A\\u{202e}www";
            assert!(ran.err.contains(got), "{column}: {}", ran.err);
            let hint = "expected a time like 2026-11-23T08:12:09Z\n\nhint: keep a copy of it";
            assert!(ran.err.contains(hint), "{column}: {}", ran.err);
        }
    }
}
