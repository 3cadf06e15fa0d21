//! Corners where two things meet: a message in the inbox and among spam, a mailbox that goes or is named anew while its
//! messages wait, a server whose notifications end, two runs with a change in between.

use std::time::Duration;

use gmail_stand_in::{Closed, Fault, On, Place};

use super::{appends, comes_with, labels_of, letter, put, quiet, run_well};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::tree_env::{MANY, Running, source_with};

const NOTIFY: &str = "LIST-EXTENDED LIST-STATUS SPECIAL-USE CONDSTORE ENABLE NAMESPACE NOTIFY";

/// Waits until so many messages are known and not delivered.
fn are_known(env: &TestEnv, count: u64) {
    eventually("they are known", || {
        let status = env.status();
        let open = |key: &str| status[key].as_u64().unwrap();
        open("pending") + open("in_flight") == count
    });
}

/// For so long, by its own clock, the target takes nothing, which is charged to nobody.
const HOUR: Duration = Duration::from_secs(3600);

fn place_of(env: &TestEnv, bytes: &[u8]) -> Vec<Place> {
    let all = env.target.messages().into_iter();
    all.filter(|m| m.bytes == bytes).map(|m| m.place).collect()
}

#[test]
fn what_lies_in_the_inbox_too_is_neither_spam_nor_thrown_away() {
    for (attribute, first) in [
        ("\\Junk", true),
        ("\\Junk", false),
        ("\\Trash", true),
        ("\\Trash", false),
    ] {
        let env = TestEnv::of_all(source_with(MANY));
        env.source.special_use("Anders", attribute);
        let other = put(&env.source, "other", &["Anders"]);
        let both = letter("both");
        // In one run, and in two with the worse place first.
        put(&env.source, "both", &["Anders"]);
        if first {
            run_well(&env);
        }
        put(&env.source, "both", &["INBOX"]);
        run_well(&env);
        assert_eq!(
            place_of(&env, &both),
            [Place::Live],
            "{attribute}, in two runs: {first}"
        );
        assert!(
            labels_of(&env.target, &both)
                .unwrap()
                .contains(&"\\Inbox".to_string())
        );
        let away = if attribute == "\\Junk" {
            Place::Spam
        } else {
            Place::Trash
        };
        assert_eq!(place_of(&env, &other), [away]);
    }
}

#[test]
fn what_waits_in_a_mailbox_that_is_deleted_is_gone_and_holds_up_nobody() {
    let env = TestEnv::of_all(source_with(MANY));
    let first = put(&env.source, "first", &["INBOX"]);
    let running = Running::start(&env);
    comes_with(&env.target, &first, &["\\Inbox"]);
    env.target.block(HOUR);
    for n in 0..20 {
        put(&env.source, &format!("{n}"), &["Weg"]);
    }
    are_known(&env, 20);
    env.source.delete_mailbox("Weg");
    env.target.clock().advance(2 * HOUR);
    let last = put(&env.source, "last", &["INBOX"]);
    comes_with(&env.target, &last, &["\\Inbox"]);
    eventually("nothing waits for what is gone", || {
        let status = env.status();
        status["pending"] == 0 && status["in_flight"] == 0 && status["trouble"].is_null()
    });
    assert_eq!(
        env.status()["failed"],
        0,
        "{}\n{}",
        env.dump(),
        running.log()
    );
    // What was in hand already may still be sent.
    let mut sent: Vec<Vec<u8>> = env.target.messages().into_iter().map(|m| m.bytes).collect();
    let count = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), count, "twice");
}

#[test]
fn what_waits_in_a_mailbox_that_is_named_anew_arrives_once() {
    let env = TestEnv::of_all(source_with(MANY));
    let first = put(&env.source, "first", &["INBOX", "Alt"]);
    let running = Running::start(&env);
    comes_with(&env.target, &first, &["Alt", "\\Inbox"]);
    env.target.block(HOUR);
    let waiting: Vec<Vec<u8>> = (0..20)
        .map(|n| put(&env.source, &format!("{n}"), &["Alt"]))
        .collect();
    are_known(&env, 20);
    env.source.rename("Alt", "Neu");
    eventually("the new name is known", || {
        running.log().contains("is called Neu now")
    });
    env.target.clock().advance(2 * HOUR);
    for mail in &waiting {
        comes_with(&env.target, mail, &["Alt"]);
    }
    quiet(&env, 22);
    assert_eq!(env.target.messages().len(), 21);
    env.assert_nobody_charged();
}

/// Longer than it takes in tests until a message is given up.
#[test]
fn what_waits_in_a_mailbox_that_does_not_open_is_charged_to_nobody() {
    for closed in [
        Closed::Noselect,
        Closed::Refused("NO [NOPERM] Permission denied".into()),
    ] {
        let env = TestEnv::of_all(source_with(MANY));
        env.source.create("Auf");
        let first = put(&env.source, "first", &["INBOX"]);
        let _running = Running::start(&env);
        comes_with(&env.target, &first, &["\\Inbox"]);
        env.target.block(HOUR);
        let waiting: Vec<Vec<u8>> = (0..5)
            .map(|n| put(&env.source, &format!("{n}"), &["Zu"]))
            .collect();
        are_known(&env, 5);
        env.source.close("Zu", closed);
        env.target.clock().advance(2 * HOUR);
        // Each of these is looked for by a look of its own, four seconds after the one before it.
        for n in 0..3 {
            let last = put(&env.source, &format!("last-{n}"), &["Auf"]);
            comes_with(&env.target, &last, &["Auf"]);
        }
        env.assert_nobody_charged();
        assert_eq!(env.status()["failed"], 0, "{}", env.dump());
        env.source.open("Zu");
        for mail in &waiting {
            comes_with(&env.target, mail, &["Zu"]);
        }
    }
}

#[test]
fn a_mailbox_that_was_named_anew_between_two_runs_sends_nothing_again() {
    for capabilities in ["", MANY, NOTIFY] {
        let env = TestEnv::of_all(source_with(capabilities));
        for n in 0..10 {
            put(&env.source, &format!("{n}"), &["Alt/Tief"]);
        }
        run_well(&env);
        env.source.rename("Alt/Tief", "Ganz/Anders");
        let new = put(&env.source, "new", &["Ganz/Anders"]);
        // Another one takes its name.
        let other = put(&env.source, "other", &["Alt/Tief"]);
        run_well(&env);
        assert_eq!(appends(&env.target), 12);
        assert_eq!(env.target.messages().len(), 12);
        assert!(labels_of(&env.target, &new).is_some());
        assert_eq!(labels_of(&env.target, &other).unwrap(), ["Alt/Tief"]);
    }
}

#[test]
fn a_server_whose_notifications_end_is_looked_at_all_the_same() {
    let env = TestEnv::of_all(source_with(NOTIFY));
    env.source.create("Arbeit");
    env.source.create("R&D/日本語");
    let first = put(&env.source, "first", &["INBOX"]);
    let _running = Running::start(&env);
    comes_with(&env.target, &first, &["\\Inbox"]);
    env.source.knobs(|knobs| knobs.notify_overflows = true);
    let mail = put(&env.source, "second", &["Arbeit"]);
    comes_with(&env.target, &mail, &["Arbeit"]);
    for n in 0..3 {
        let mail = put(&env.source, &format!("third-{n}"), &["R&D/日本語"]);
        comes_with(&env.target, &mail, &["R&D/日本語"]);
    }
    env.assert_nobody_charged();
}

#[test]
fn names_in_notifications_may_be_written_in_either_way() {
    for in_utf8 in [true, false] {
        let env = TestEnv::of_all(source_with(NOTIFY).with_names('.', "INBOX."));
        env.source.knobs(|knobs| knobs.notify_in_utf8 = in_utf8);
        env.source.create("R&D/日本語");
        let first = put(&env.source, "first", &["INBOX"]);
        let _running = Running::start(&env);
        comes_with(&env.target, &first, &["\\Inbox"]);
        for n in 0..3 {
            let mail = put(&env.source, &format!("told-of-{n}"), &["R&D/日本語"]);
            comes_with(&env.target, &mail, &["R&D/日本語"]);
        }
        quiet(&env, 4);
        assert_eq!(appends(&env.target), 4);
    }
}

#[test]
fn a_source_that_hides_all_but_inbox_for_a_while_loses_nothing() {
    let env = TestEnv::of_all(source_with(MANY));
    put(&env.source, "first", &["INBOX"]);
    put(&env.source, "second", &["Arbeit"]);
    let _running = Running::start(&env);
    quiet(&env, 2);
    let listed = "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\nOK Success";
    let hits = env
        .source
        .fault(On::each("LIST"), Fault::Answer(listed.into()));
    let waits = put(&env.source, "waits", &["Arbeit"]);
    eventually("it was looked at twice", || hits.count() >= 2);
    let inbox = put(&env.source, "in-inbox", &["INBOX"]);
    comes_with(&env.target, &inbox, &["\\Inbox"]);
    env.source.clear_faults();
    comes_with(&env.target, &waits, &["Arbeit"]);
    quiet(&env, 4);
    assert_eq!(appends(&env.target), 4);
    env.assert_nobody_charged();
}

/// IDLE tells of the mailbox that is open alone: that it is silent of the others says nothing about it.
#[test]
fn mail_that_only_looks_find_does_not_end_the_use_of_idle() {
    // One mailbox that is there from the beginning, and three that appear one after the other.
    for mailboxes in [["Arbeit"; 3], ["Eins", "Zwei", "Drei"]] {
        let env = TestEnv::of_all(source_with(MANY));
        if mailboxes[0] == mailboxes[1] {
            env.source.create(mailboxes[0]);
        }
        let first = put(&env.source, "first", &["INBOX"]);
        let running = Running::start(&env);
        comes_with(&env.target, &first, &["\\Inbox"]);
        for (n, name) in mailboxes.iter().enumerate() {
            let mail = put(&env.source, &format!("{n}"), &[name]);
            comes_with(&env.target, &mail, &[name]);
        }
        let log = running.log();
        assert!(
            !log.contains("did not tell of new mail"),
            "{mailboxes:?}\n{log}"
        );
        eventually("it idles again", || {
            let said = env.source.transcript();
            said.client()
                .last()
                .is_some_and(|line| line.ends_with(" IDLE"))
        });
        let mail = put(&env.source, "told-of", &["INBOX"]);
        comes_with(&env.target, &mail, &["\\Inbox"]);
    }
}
