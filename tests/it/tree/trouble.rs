//! One mailbox's trouble is its own: what waits in a mailbox that nobody looks into any more, a server that falls over one
//! mailbox, a mailbox of the target that somebody deletes, and refusals that pass by themselves.

use gmail_stand_in::{Closed, Fault, Gmail, On, SYSTEM_ERROR};
use serde_json::{Value, json};

use super::{comes_with, labels_of, put, put_at, put_bytes, quiet, run_well};
use crate::testkit::env::{self, DATE, TestEnv};
use crate::testkit::eventually;
use crate::testkit::route::quick;
use crate::testkit::tree_env::{MANY, Running, source_with};

/// Nothing can be sent for now.
fn busy(target: &Gmail) {
    target.fault(On::each("CONNECT"), Fault::CutBefore);
}

/// A message waits in INBOX, and a younger one in a mailbox of which `then` makes something else.
fn waits_in_two(then: impl FnOnce(&mut TestEnv)) {
    let mut env = TestEnv::of_all(source_with(MANY));
    // With several, each would be held up by one message.
    env.set("connections", 1);
    let old = put_at(&env.source, "old", &["INBOX"], 10);
    put_at(&env.source, "young", &["Arbeit"], 5);
    busy(&env.target);
    env.run();
    env.target.clear_faults();
    then(&mut env);
    let _running = Running::start(&env);
    comes_with(&env.target, &old, &["\\Inbox"]);
}

#[test]
fn what_waits_in_a_mailbox_that_is_left_out_and_deleted_holds_up_no_other() {
    waits_in_two(|env| {
        env.source.delete_mailbox("Arbeit");
        env.set("folders", Value::Null);
    });
}

#[test]
fn nor_does_what_waits_in_one_that_is_left_out_and_has_other_uids() {
    waits_in_two(|env| {
        env.source.renumber("Arbeit", 4711);
        env.set("exclude", json!(["Arbeit"]));
    });
    waits_in_two(|env| {
        env.source.renumber("Arbeit", 4711);
        env.set("folders", Value::Null);
    });
}

#[test]
fn what_waits_in_a_mailbox_that_was_not_listed_for_a_while_is_taken_up_again() {
    let env = TestEnv::of_all(source_with(MANY));
    put(&env.source, "first", &["INBOX"]);
    busy(&env.target);
    let _running = Running::start(&env);
    let mail = put(&env.source, "mail", &["Arbeit"]);
    eventually("it is known", || env.status_soon()["pending"] == 2);
    env.source.close("Arbeit", Closed::Noselect);
    eventually("it is given up", || env.status()["gone"] == 1);
    env.source.open("Arbeit");
    env.target.clear_faults();
    comes_with(&env.target, &mail, &["Arbeit"]);
}

#[test]
fn a_server_that_falls_over_one_mailbox_is_asked_about_the_others() {
    let env = TestEnv::of_all(source_with(MANY));
    for name in ["INBOX", "Arbeit", "Zuletzt"] {
        env.source.create(name);
    }
    env.source
        .fault(On::each("EXAMINE").line_with("Arbeit"), Fault::CutBefore);
    let mail = put(&env.source, "mail", &["Zuletzt"]);
    let _running = Running::start(&env);
    comes_with(&env.target, &mail, &["Zuletzt"]);
    for n in 0..3 {
        let mail = put(&env.source, &format!("later-{n}"), &["Zuletzt"]);
        comes_with(&env.target, &mail, &["Zuletzt"]);
    }
}

#[test]
fn a_mailbox_of_the_target_that_somebody_deletes_is_made_again() {
    let mut env = TestEnv::build()
        .plain_target()
        .source(source_with(MANY))
        .start();
    env.set("folders", json!(["*"]));
    for name in ["INBOX", "Arbeit"] {
        put(&env.source, &format!("first-{}", name.len()), &[name]);
    }
    let _running = Running::start(&env);
    quiet(&env, 2);
    env.target.delete_mailbox("Arbeit");
    let again = put(&env.source, "again", &["Arbeit"]);
    comes_with(&env.target, &again, &["Arbeit"]);
    let other = put(&env.source, "other", &["INBOX"]);
    comes_with(&env.target, &other, &["INBOX"]);
}

#[test]
fn a_label_that_is_deleted_before_much_mail_comes_charges_none_of_it() {
    let mut env = TestEnv::of_all(source_with(MANY));
    env.set("folders", json!(["*"])).set("connections", 1);
    put(&env.source, "first", &["Arbeit"]);
    put(&env.source, "held", &["INBOX"]);
    let running = Running::start(&env);
    quiet(&env, 2);
    env.target.delete_mailbox("Arbeit");
    let delay = Fault::Delay(std::time::Duration::from_secs(3));
    let hits = env.target.fault(On::nth(1, "APPEND"), delay);
    // All the others come while this one is on its way.
    put(&env.source, "slow", &["INBOX"]);
    eventually("it is on its way", || hits.count() == 1);
    let big = "big ".repeat(3000);
    let mails: Vec<Vec<u8>> = (0..12)
        .map(|n| {
            let text = if n % 2 == 0 { "small" } else { &big };
            let mail = env::mail(&format!("<next-{n}@example.org>"), DATE, text);
            put_bytes(&env.source, mail, &["Arbeit"], 0)
        })
        .collect();
    for mail in &mails {
        comes_with(&env.target, mail, &["Arbeit"]);
    }
    env.assert_nobody_charged();
    assert_eq!(env.status()["troubles"], json!([]));
    let log = running.log();
    assert!(!log.contains("takes no message at all"), "{log}");
}

#[test]
fn a_mailbox_that_does_not_open_for_a_moment_costs_no_label() {
    for (command, mailbox, times) in [
        ("EXAMINE", "Arbeit", 1),
        ("SELECT", "Arbeit", 1),
        ("SELECT", "", 2),
    ] {
        let mut env = TestEnv::of_all(source_with(MANY));
        env.set("label", "alt@example.org");
        env.target.create("Arbeit");
        let hits = env.target.fault(
            On::each(command).line_with(mailbox).times(times),
            Fault::Answer(SYSTEM_ERROR.into()),
        );
        let mail = put(&env.source, "mail", &["Arbeit"]);
        env.run_until_done(3);
        assert_eq!(hits.count(), times, "{command} {mailbox}");
        let labels = labels_of(&env.target, &mail).unwrap();
        assert_eq!(labels, ["Arbeit", "alt@example.org"], "{command} {mailbox}");
    }
}

#[test]
fn what_its_owner_archives_before_it_was_looked_at_gets_its_labels() {
    let mut env = TestEnv::of_all(source_with(MANY));
    env.set("label", "alt@example.org").set("connections", 1);
    let first = put_at(&env.source, "first", &["INBOX"], 0);
    for n in 1..4 {
        put_at(&env.source, &format!("next-{n}"), &["INBOX"], n);
    }
    env.target.fault(
        On::nth(2, "APPEND"),
        Fault::Delay(std::time::Duration::from_secs(5)),
    );
    let running = env.spawn(&[]);
    eventually("the first is there", || {
        labels_of(&env.target, &first).is_some()
    });
    let there = env.target.messages().into_iter().find(|m| m.bytes == first);
    env.target.set_labels(there.unwrap().id, &[]);
    let ran = running.wait_with_output().unwrap();
    assert!(ran.status.success());
    assert_eq!(labels_of(&env.target, &first).unwrap(), ["alt@example.org"]);
    run_well(&env);
}

#[test]
fn a_label_that_is_refused_for_long_holds_up_no_message_and_no_other_label() {
    let mut env = TestEnv::of_all(source_with(MANY));
    let folders =
        json!([{"source": "Arbeit", "labels": ["Pech"]}, {"source": "INBOX", "labels": ["Gut"]}]);
    env.set("folders", folders);
    env.target.fault(
        On::each("UID STORE").line_with("Pech"),
        Fault::Answer(SYSTEM_ERROR.into()),
    );
    let owed = put(&env.source, "owed", &["Arbeit"]);
    let _running = Running::start(&env);
    comes_with(&env.target, &owed, &["Arbeit"]);
    for n in 0..2 {
        let mail = put(&env.source, &format!("later-{n}"), &["INBOX"]);
        comes_with(&env.target, &mail, &["Gut", "\\Inbox"]);
    }
    eventually("it is said", || !env.status()["trouble"].is_null());
    env.target.clear_faults();
    comes_with(&env.target, &owed, &["Arbeit", "Pech"]);
    eventually("it is over", || env.status()["trouble"].is_null());
}

/// One was sent into a mailbox of a server without labels, nobody saw what became of it, and the mailbox does not open any
/// more.
fn left_in_flight_where_nothing_opens(stored: bool) -> (TestEnv, Vec<u8>) {
    let build = TestEnv::build().source(source_with(MANY));
    let mut env = build.plain_target().start();
    env.set("folders", json!(["*"]));
    env.target.create("Arbeit");
    let open = put(&env.source, "open", &["Arbeit"]);
    env.target
        .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
    let no = Fault::Answer("NO [AUTHENTICATIONFAILED] Invalid credentials".into());
    env.target.fault(On::nth(2, "AUTHENTICATE").times(99), no);
    assert_eq!(env.run().status, 4);
    assert_eq!(env.status()["in_flight"], 1);
    env.target.clear_faults();
    let refusal = "NO [NOPERM] Permission denied";
    env.target.close("Arbeit", Closed::Refused(refusal.into()));
    (env, open)
}

#[test]
fn where_a_place_does_not_open_a_run_ends_and_says_what_waits_for_it() {
    for stored in [false, true] {
        let (env, open) = left_in_flight_where_nothing_opens(stored);
        let other = put(&env.source, "other", &["INBOX"]);
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        let waits = "what was sent there is not looked for now";
        assert_eq!(ran.err.matches(waits).count(), 1, "{}", ran.err);
        let trouble = env.status()["trouble"]["message"].clone();
        assert!(
            trouble
                .as_str()
                .unwrap_or_default()
                .contains("does not open"),
            "{trouble}"
        );
        assert_eq!(labels_of(&env.target, &other).unwrap(), ["INBOX"]);
        env.target.open("Arbeit");
        run_well(&env);
        let there = env.target.messages();
        assert_eq!(there.iter().filter(|m| m.bytes == open).count(), 1);
        assert!(env.status()["trouble"].is_null());
    }
}

#[test]
fn where_a_place_does_not_open_a_daemon_looks_now_and_then() {
    let (env, open) = left_in_flight_where_nothing_opens(false);
    let asked = env.target.fault(
        On::each("EXAMINE").line_with("Arbeit").times(usize::MAX),
        Fault::Delay(std::time::Duration::ZERO),
    );
    let _running = Running::start(&env);
    eventually("it is said", || !env.status_soon()["trouble"].is_null());
    let (before, begun) = (asked.count(), std::time::Instant::now());
    for n in 0..3 {
        let mail = put(&env.source, &format!("later-{n}"), &["INBOX"]);
        comes_with(&env.target, &mail, &["INBOX"]);
    }
    // Each look asks twice, and comes when the absence of a message would be believed.
    let late = quick().late_commit.as_millis();
    let looks = begun.elapsed().as_millis() / late + 1;
    let asked = (asked.count() - before) as u128;
    assert!(asked <= looks * 2, "{asked} in {looks} looks");
    env.target.open("Arbeit");
    comes_with(&env.target, &open, &["Arbeit"]);
}
