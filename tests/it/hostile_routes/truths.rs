//! Looks at the target that show less than there is: a list that is not whole, a mailbox that went back to an earlier
//! state, a ledger that did, names that are not told, and copies that are not what was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::DateTime;
use gmail_stand_in::{Fault, Mail, On};

use super::restored::put_back;
use crate::testkit::scripted_proxy;

fn text(id: &str, text: &str) -> Vec<u8> {
    let name = match id {
        "" => String::new(),
        id => format!("Message-ID: {id}\r\n"),
    };
    format!(
        "From: Ann <ann@example.org>\r\n{name}Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}

fn dated(bytes: &[u8], second: u32) -> Mail {
    let date = format!("2023-11-14T22:13:{second:02}+00:00");
    Mail::new(bytes).at(DateTime::parse_from_rfc3339(&date).unwrap())
}

#[test]
fn a_target_that_went_back_to_an_earlier_state_does_not_get_a_message_twice() {
    for named in [true, false] {
        let env = super::into_any_server();
        env.old_mails(10);
        env.run_until_done(1);
        // A snapshot is put back: the last five are gone, and their UIDs are given again.
        put_back(&env);
        let id = if named { "<new@example.org>" } else { "" };
        env.source
            .add(Mail::new(text(id, "sent when it was restored")));
        let stored = true;
        env.target
            .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        let held = env.target.messages().len();
        assert_eq!(held, 6, "named {named}: {}\n{}", ran.err, env.dump());
        env.source.add(Mail::new(text("", "and one more")));
        env.run_until_done(1);
        assert_eq!(env.target.messages().len(), 7, "{}", env.dump());
    }
}

#[test]
fn a_search_that_tells_a_part_is_not_believed() {
    for gmail in [true, false] {
        let mut env = if gmail {
            super::into_gmail()
        } else {
            super::into_any_server()
        };
        for i in 0..300 {
            let bytes = text(&format!("<{i}@example.org>"), "there already");
            env.target.add(dated(&bytes, 1));
            env.source.add(dated(&bytes, 2));
        }
        let port = scripted_proxy::changed(env.target.port(), |line| {
            let found = line.strip_prefix("* SEARCH ")?;
            let uids = found.split_whitespace();
            let told: Vec<&str> = uids
                .filter(|uid| uid.parse::<u32>().is_ok_and(|uid| uid > 100))
                .collect();
            Some(format!("* SEARCH {}\r\n", told.join(" ")))
        });
        env.set("target_port", port);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(env.target.transcript().commands("APPEND"), 0);
        assert_eq!(env.target.messages().len(), 300, "Gmail {gmail}");
    }
}

#[test]
fn a_list_that_is_not_whole_is_no_list() {
    let mut env = super::into_any_server();
    for i in 0..300 {
        let bytes = text(&format!("<{i}@example.org>"), "there already");
        env.target.add(dated(&bytes, 1));
        env.source.add(dated(&bytes, 2));
    }
    // Whatever is asked of the first hundred, nothing comes and nothing is said of it.
    let whole = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&whole);
    let port = scripted_proxy::changed(env.target.port(), move |line| {
        let (number, rest) = line.strip_prefix("* ")?.split_once(' ')?;
        let number: u32 = number.parse().ok()?;
        let one = rest.starts_with("FETCH (UID") && rest.trim_end().ends_with(')');
        let hide = one && number <= 100 && !now.load(Ordering::SeqCst);
        hide.then(String::new)
    });
    env.set("target_port", port);
    let ran = env.run();
    assert_eq!(env.target.transcript().commands("APPEND"), 0);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.err.contains("of 300 messages"), "{}", ran.err);
    whole.store(true, Ordering::SeqCst);
    env.run_until_done(1);
    assert_eq!(env.target.messages().len(), 300);
}

#[test]
fn a_ledger_of_yesterday_does_not_double_mail_without_a_name() {
    for gmail in [true, false] {
        let env = if gmail {
            super::into_gmail()
        } else {
            super::into_any_server()
        };
        env.source.add(dated(&text("", "before"), 1));
        env.run_until_done(1);
        let ledger = env.ledger_file();
        let backup = ledger.with_extension("backup");
        std::fs::copy(&ledger, &backup).unwrap();
        for i in 0..12 {
            env.source
                .add(dated(&text("", &format!("later, {i:02}")), i));
        }
        env.run_until_done(1);
        assert_eq!(env.target.messages().len(), 13);
        std::fs::rename(&backup, &ledger).unwrap();
        for beside in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(ledger.with_extension(beside));
        }
        let before = env.target.lines();
        env.run_until_done(1);
        assert_eq!(
            env.target.messages().len(),
            13,
            "Gmail {gmail}: {}",
            env.dump()
        );
        // One body for each row, where sizes are equal and dates are not.
        let said = env.target.transcript().after(before);
        assert!(said.commands("BODY.PEEK[])") <= 12, "{said}");
        let found: i64 = env.one("SELECT count(*) FROM message WHERE proof = 'found'");
        assert_eq!(found, 12, "{}", env.dump());
        // Nor does a new ledger.
        std::fs::remove_file(&ledger).unwrap();
        for beside in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(ledger.with_extension(beside));
        }
        env.run_until_done(1);
        assert_eq!(
            env.target.messages().len(),
            13,
            "Gmail {gmail}: {}",
            env.dump()
        );
    }
}

#[test]
fn a_name_that_is_not_told_is_not_the_lack_of_one() {
    for answer in ["NIL", "absent"] {
        let mut env = super::into_any_server();
        for i in 0..5 {
            let bytes = text(&format!("<{i}@example.org>"), &format!("there already {i}"));
            env.target.add(dated(&bytes, 1));
            env.source.add(dated(&bytes, 1));
        }
        let withheld = Arc::new(AtomicBool::new(true));
        let now = Arc::clone(&withheld);
        // Of the message with UID 3 the header is not told, and what it held does not follow.
        let dropping = AtomicBool::new(false);
        let port = scripted_proxy::changed(env.target.port(), move |line| {
            if dropping.load(Ordering::SeqCst) {
                dropping.store(line.trim_end() != ")", Ordering::SeqCst);
                return Some(String::new());
            }
            let (before, _) = line.split_once(" BODY[HEADER.FIELDS (MESSAGE-ID DATE)]")?;
            if !(now.load(Ordering::SeqCst) && before.contains("UID 3 ")) {
                return None;
            }
            dropping.store(true, Ordering::SeqCst);
            Some(match answer {
                "NIL" => format!("{before} BODY[HEADER.FIELDS (MESSAGE-ID DATE)] NIL)\r\n"),
                _ => format!("{before})\r\n"),
            })
        });
        env.set("target_port", port);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{answer}: {}", ran.err);
        assert_eq!(
            env.target.messages().len(),
            5,
            "{answer}: {}\n{}",
            ran.err,
            env.dump()
        );
        // Nor once it is told: by name then, whatever its bytes are.
        withheld.store(false, Ordering::SeqCst);
        env.source
            .add(dated(&text("<3@example.org>", "another one"), 1));
        env.run_until_done(1);
        assert_eq!(env.target.messages().len(), 6, "{answer}: {}", env.dump());
    }
}

#[test]
fn a_target_that_alters_is_told_of_once_for_each_way() {
    type Change = fn(&str) -> Option<String>;
    let ways: [(&str, &str, Change); 4] = [
        // As Cyrus does with 8-bit bytes in a header: the size stays.
        ("headers", "the header", |line| {
            line.contains("Subject: J")
                .then(|| line.replace("Subject: Jxger", "Subject: JXger"))
        }),
        ("bodies", "the text", |line| {
            line.contains("footer")
                .then(|| line.replace("footer", "FOOTER"))
        }),
        ("flags", "flags", |line| {
            line.contains("FLAGS (\\Seen)")
                .then(|| line.replace("FLAGS (\\Seen)", "FLAGS ()"))
        }),
        ("dates", "date", |line| {
            let kept = "INTERNALDATE \"14-Nov-2023 22:13:01 +0000\"";
            line.contains(kept)
                .then(|| line.replace("14-Nov-2023", "15-Nov-2023"))
        }),
    ];
    for (name, words, change) in ways {
        let mut env = super::into_any_server();
        env.set("connections", 1);
        for i in 0..6 {
            let bytes = text(&format!("<{i}@example.org>"), "footer");
            let bytes = [b"Subject: Jxger\r\n", &bytes[..]].concat();
            env.source.add(dated(&bytes, 1).seen());
        }
        let port = scripted_proxy::changed(env.target.port(), change);
        env.set("target_port", port);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{name}: {}", ran.err);
        assert_eq!(env.target.messages().len(), 6, "{name}");
        let altered: i64 = env.one("SELECT sum(altered) FROM message");
        let told: Vec<&str> = ran
            .err
            .lines()
            .filter(|l| l.contains("the target does not keep"))
            .collect();
        assert_eq!(told.len(), 1, "{name}: {}", ran.err);
        assert!(told[0].contains(words), "{name}: {told:?}");
        // Of what a sample shows, the messages before it stay unlooked at.
        assert!(
            altered >= if name == "bodies" { 3 } else { 6 },
            "{name}: {altered}"
        );
    }
    let env = super::into_any_server();
    env.old_mails(6);
    let ran = env.run();
    assert!(!ran.err.contains("does not keep"), "{}", ran.err);
    assert_eq!(env.one::<i64>("SELECT sum(altered) FROM message"), 0);
}
