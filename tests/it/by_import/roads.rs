//! Which message takes which road, and what it is like when it has arrived.

use gmail_stand_in::{ApiFault, Mail, On, Place};
use serde_json::{Value, json};

use super::{
    assert_all_once, comes, copies, copy, detour, imports, is_imported, letter, proved,
    through_the_api,
};
use crate::testkit::env::TestEnv;

#[test]
fn new_mail_is_imported_and_history_is_as_it_was() {
    let mut env = TestEnv::new();
    through_the_api(&mut env);
    env.old_mails(3);
    env.run_until_done(1);
    let history: Vec<Vec<u8>> = env.source.messages().into_iter().map(|m| m.bytes).collect();
    assert_eq!(proved(&env, "appended"), 3);
    let new: Vec<Vec<u8>> = (0..3)
        .map(|n| comes(&env, &format!("new-{n}"), "x"))
        .collect();
    env.run_until_done(1);
    assert_all_once(&env);
    assert_eq!(
        (proved(&env, "appended"), proved(&env, "imported_by_api")),
        (3, 3)
    );
    for bytes in &history {
        let copy = copy(&env, bytes);
        assert_eq!(copy.bytes, *bytes);
        assert_eq!(
            copy.internal_date.timestamp(),
            1_700_000_000,
            "the source's date"
        );
    }
    for bytes in &new {
        let copy = copy(&env, bytes);
        assert!(is_imported(&copy, bytes));
        assert!(copy.labels.contains("\\Inbox") && !copy.flags.contains("\\Seen"));
        let header = String::from_utf8_lossy(bytes);
        let date = header
            .split("Date: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap();
        let date = chrono::DateTime::parse_from_rfc2822(date).unwrap();
        assert_eq!(copy.internal_date.timestamp(), date.timestamp());
    }
    assert_eq!(env.target.transcript().commands("APPEND"), 3);
    // Nothing of it is found anew by those who run it again, nor by a ledger that knows nothing.
    env.run_until_done(1);
    std::fs::remove_file(env.ledger_file()).unwrap();
    env.run_until_done(1);
    assert_eq!(env.target.messages().len(), 6);
    assert_eq!(proved(&env, "found"), 6, "{}", env.dump());
}

#[test]
fn flags_become_labels_and_what_has_none_goes_by_append() {
    let env = imports();
    let put = |id: &str, flags: &[&str]| {
        let bytes = letter(id, id);
        let mail = Mail::new(&bytes);
        env.source
            .add(flags.iter().fold(mail, |mail, flag| mail.flag(flag)));
        bytes
    };
    let read = put("read", &["\\Seen"]);
    let starred = put("starred", &["\\Flagged"]);
    let answered = put("answered", &["\\Seen", "\\Answered"]);
    env.run_until_done(1);
    assert_all_once(&env);
    let copy = |bytes: &[u8]| copy(&env, bytes);
    assert!(copy(&read).flags.contains("\\Seen") && is_imported(&copy(&read), &read));
    assert!(
        copy(&starred).flags.contains("\\Flagged"),
        "{:?}",
        copy(&starred)
    );
    assert_eq!(copy(&answered).bytes, answered);
    assert!(copy(&answered).flags.contains("\\Answered"));
    assert!(
        detour(&env).contains("cannot mark mail as answered"),
        "{}",
        detour(&env)
    );
}

#[test]
fn a_date_that_gmail_may_not_understand_goes_by_append() {
    let env = imports();
    let dated = |date: &str| {
        let bytes = format!("From: a@example.org\r\nMessage-ID: <d>\r\n{date}\r\nx\r\n");
        env.source.add(Mail::new(&bytes));
        bytes.into_bytes()
    };
    let bytes = dated("Date: 27 Jan 00 15:03:00\r\n  PDT\r\n");
    env.run_until_done(1);
    assert_all_once(&env);
    assert_eq!(copy(&env, &bytes).bytes, bytes);
    assert!(detour(&env).contains("Date header"), "{}", detour(&env));
}

#[test]
fn labels_are_given_by_name_with_the_import() {
    let mut env = imports();
    env.source.create("Work/Old");
    env.set("folders", json!(["INBOX", "Work/*", "\\Junk"]))
        .set("label", "alt@example.org");
    env.source.create("Spam");
    env.run_until_done(1);
    let before = env.target.lines();
    let put = |id: &str, mailbox: &str| {
        let bytes = letter(id, id);
        env.source.add(Mail::new(&bytes).in_mailbox(mailbox));
        bytes
    };
    let (inbox, work, junk) = (put("i", "INBOX"), put("w", "Work/Old"), put("j", "Spam"));
    env.run_until_done(1);
    assert_all_once(&env);
    let labels = |bytes: &[u8]| {
        let mut all: Vec<String> = copy(&env, bytes).labels.into_iter().collect();
        all.sort();
        all
    };
    assert_eq!(labels(&inbox), ["\\Inbox", "alt@example.org"]);
    assert_eq!(labels(&work), ["Work/Old", "alt@example.org"]);
    assert_eq!(copy(&env, &junk).place, Place::Spam);
    let said = env.target.transcript().after(before);
    assert!(
        !said.client().iter().any(|line| line.contains("STORE")),
        "{said}"
    );
    assert_eq!(proved(&env, "imported_by_api"), 3);
}

#[test]
fn a_folder_may_take_another_road_than_the_rest() {
    let mut env = imports();
    env.source.create("Lists");
    env.set("delivery", Value::Null).set(
        "folders",
        json!([{"source": "INBOX", "delivery": "import", "never_mark_spam": true}, "Lists"]),
    );
    env.target.knobs(|k| k.api.spam.push("buy".into()));
    env.run_until_done(1);
    let inbox = comes(&env, "inbox", "buy");
    let lists = letter("lists", "lists");
    env.source.add(Mail::new(&lists).in_mailbox("Lists"));
    env.run_until_done(1);
    assert_all_once(&env);
    let imported = copy(&env, &inbox);
    assert!(is_imported(&imported, &inbox) && imported.place == Place::Live);
    assert_eq!(copy(&env, &lists).bytes, lists);
}

#[test]
fn what_is_too_big_for_append_is_imported() {
    let mut env = TestEnv::new();
    through_the_api(&mut env);
    env.set("delivery", Value::Null);
    env.target.knobs(|k| k.append_limit = 1000);
    let big = letter("big", &"x".repeat(2000));
    let old = chrono::DateTime::parse_from_rfc3339("2023-11-14T22:13:20+00:00").unwrap();
    env.source.add(Mail::new(&big).at(old));
    env.mail("<small@example.org>", "small");
    env.run_until_done(1);
    assert_all_once(&env);
    assert!(is_imported(&copy(&env, &big), &big));
    assert_eq!(detour(&env), "too big for APPEND");
    assert_eq!(
        (proved(&env, "appended"), proved(&env, "imported_by_api")),
        (1, 1)
    );
}

#[test]
fn an_import_beside_a_password_is_a_mistake() {
    let mut env = TestEnv::new();
    env.set("delivery", "import");
    let ran = env.run();
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("needs a Google sign-in"), "{}", ran.err);
    assert!(ran.err.contains("`imap-to-gmail auth`"), "{}", ran.err);
}

#[test]
fn one_on_its_way_waits_for_no_other_worker() {
    let mut env = imports();
    env.set("connections", 4);
    for n in 0..12 {
        comes(&env, &format!("m{n}"), &format!("text {n}"));
    }
    env.run_until_done(1);
    assert_all_once(&env);
    assert!(env.target.busiest() <= 4, "{}", env.target.busiest());
}

/// Two messages of one Message-ID and Date: Gmail keeps one copy for both, and its yes to the second proves nothing.
#[test]
fn what_gmail_merges_is_believed_by_its_bytes_alone() {
    let env = imports();
    let second = letter("one", "the same");
    let first = [b"X-List: a\r\n", &second[..]].concat();
    let third = letter("one", "another text");
    for bytes in [&first, &second, &third] {
        env.source.add(Mail::new(bytes));
        env.run();
    }
    let all = env.target.messages();
    assert_eq!(all.len(), 1, "{}", env.dump());
    assert!(all[0].bytes.ends_with(&first));
    let told = |uid: u32, column: &str| -> Option<String> {
        env.one(&format!(
            "SELECT {column} FROM message WHERE source_uid = {uid}"
        ))
    };
    assert_eq!(
        told(1, "proof").as_deref(),
        Some("imported_by_api"),
        "{}",
        env.dump()
    );
    assert_eq!(
        told(2, "proof").as_deref(),
        Some("merged"),
        "{}",
        env.dump()
    );
    assert_eq!(
        told(3, "status").as_deref(),
        Some("failed"),
        "{}",
        env.dump()
    );
    let why = told(3, "last_error").unwrap();
    assert!(why.contains("keeps only one of two messages"), "{why}");
}

/// An API that gives the number of another message, of none, or the same one twice.
#[test]
fn a_number_that_is_another_messages_proves_nothing() {
    let env = imports();
    let first = comes(&env, "first", "one");
    env.run_until_done(1);
    let taken = copy(&env, &first).id;
    for (n, number) in [format!("{taken:x}"), "fffffff".into()]
        .into_iter()
        .enumerate()
    {
        let bytes = comes(&env, &format!("next-{n}"), "two");
        let body = json!({"id": number, "threadId": number}).to_string();
        let lie = ApiFault::Answer {
            status: 200,
            body,
            stored: true,
        };
        env.target.api_fault(On::nth(1, "IMPORT"), lie);
        env.run();
        assert_eq!(copies(&env.target, &bytes).len(), 1);
    }
    // A lie costs no message: none is lost, and none is sent again.
    env.run();
    assert_eq!(env.target.messages().len(), 3, "{}", env.dump());
    assert_eq!(env.target.api_requests("POST /upload"), 3);
}
