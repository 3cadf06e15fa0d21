//! What the source holds, and what the ledger does not know of it.

use gmail_stand_in::{Closed, Mail};
use serde_json::json;

use super::{audit, put};
use crate::testkit::env::{DATE, TestEnv, mail};

#[test]
fn what_is_older_than_since_was_not_asked_for() {
    let mut env = TestEnv::new();
    env.set("since", "30d");
    // From November 2023.
    env.old_mails(3);
    for name in ["new-1", "new-2"] {
        put(&env, name);
    }
    env.run_until_done(1);
    let found = audit(&env);
    found.has(&[("delivered", 2), ("older", 3)]);
    assert_eq!((found.status, &found.route["messages"]), (0, &json!(5)));
    // It is asked for now, and the next run takes it.
    env.set("since", "all");
    let found = audit(&env);
    found.has(&[("delivered", 2), ("unrecorded", 3)]);
    assert_eq!(found.status, 3);
    env.run_until_done(1);
    audit(&env).has(&[("delivered", 5)]);
    // A later one takes nothing back.
    env.set("since", "30d");
    audit(&env).has(&[("delivered", 5)]);
}

#[test]
fn folders_that_are_left_out_are_counted_and_named() {
    let mut env = TestEnv::new();
    env.mails(2);
    for n in 0..3 {
        let bytes = mail(&format!("<{n}@work>"), DATE, "work");
        env.source.add(Mail::new(bytes).in_mailbox("Work"));
    }
    env.run_until_done(1);
    let found = audit(&env);
    found.has(&[("delivered", 2), ("left_out", 3)]);
    assert_eq!(found.status, 0);
    let work = &found.route["folders"][1];
    assert_eq!(
        (&work["name"], &work["messages"], &work["left_out"]),
        (&json!("Work"), &json!(3), &json!(true))
    );
    let text = env.command(&["audit", "--config", "config.json"]).out;
    assert!(text.contains("left out: Work (3)"), "{text}");
    // Once it is asked for, it is to be copied; once it was copied and is left out, what was copied stays accounted for.
    env.set("folders", json!(["*"]));
    audit(&env).has(&[("delivered", 2), ("unrecorded", 3)]);
    env.run_until_done(1);
    env.set("folders", json!(["INBOX"]));
    let bytes = mail("<new@work>", DATE, "work");
    env.source.add(Mail::new(bytes).in_mailbox("Work"));
    let found = audit(&env);
    found.has(&[("delivered", 5), ("left_out", 1)]);
    assert_eq!(found.status, 0);
}

#[test]
fn new_uids_are_for_a_run_to_match() {
    let env = TestEnv::new();
    env.mails(4);
    env.run_until_done(1);
    env.source.renumber("INBOX", 7777);
    let found = audit(&env);
    // The rows are in order, as far as Gmail goes; which of the new UIDs is whose, nobody knows yet.
    found.has(&[("delivered", 4), ("renumbered", 4)]);
    assert_eq!(found.status, 3);
    env.run_until_done(1);
    let found = audit(&env);
    found.has(&[("delivered", 4)]);
    assert_eq!(found.status, 0);
}

/// A source that was put back to an earlier state, and has given the UIDs of later mail to other mail since.
#[test]
fn uids_that_name_other_messages_now_are_noticed() {
    let env = TestEnv::new();
    let (validity, next) = env.source.uids("INBOX");
    env.mails(4);
    env.run_until_done(1);
    env.source.delete_mailbox("INBOX");
    env.source.create("INBOX");
    env.source.number_from("INBOX", validity, next);
    for name in ["a", "b", "c", "d"] {
        put(&env, name);
    }
    let found = audit(&env);
    found.has(&[("delivered", 4), ("renumbered", 4)]);
    env.run_until_done(1);
    assert_eq!(env.held().len(), 8);
    audit(&env).has(&[("delivered", 4), ("left_source", 4)]);
}

#[test]
fn a_folder_that_is_gone_leaves_its_copies_in_order() {
    let mut env = TestEnv::new();
    env.set("folders", json!(["*"]));
    env.mails(1);
    let bytes = mail("<work@x>", DATE, "work");
    env.source.add(Mail::new(bytes).in_mailbox("Work"));
    env.run_until_done(1);
    env.source.delete_mailbox("Work");
    let found = audit(&env);
    found.has(&[("delivered", 1), ("left_source", 1)]);
    assert_eq!(found.status, 0);
    let gone = &found.route["folders"][1];
    assert_eq!(
        (&gone["name"], &gone["gone"]),
        (&json!("Work"), &json!(true))
    );
}

#[test]
fn a_folder_that_does_not_open_makes_the_rest_no_less_known() {
    let mut env = TestEnv::new();
    env.set("folders", json!(["*"]));
    env.mails(2);
    let bytes = mail("<work@x>", DATE, "work");
    env.source.add(Mail::new(bytes).in_mailbox("Work"));
    env.run_until_done(1);
    let closed = Closed::Refused("NO [NOPERM] Permission denied".into());
    env.source.close("Work", closed);
    let found = audit(&env);
    assert_eq!(found.status, 1, "{:#}", found.route);
    // Nobody can tell that its message is gone from there.
    found.has(&[("delivered", 3)]);
    let trouble = &found.route["folders"][1]["trouble"]["message"];
    assert!(trouble.as_str().unwrap().contains("Permission denied"));
    env.source.open("Work");
    assert_eq!(audit(&env).status, 0);
}

#[test]
fn nothing_is_written_and_nothing_is_fetched() {
    let env = TestEnv::new();
    env.mails(3);
    env.run_until_done(1);
    put(&env, "new");
    let before = std::fs::read(env.ledger_file()).unwrap();
    let (lines, sent) = (env.source.lines(), env.target.lines());
    let held = (env.source.messages(), env.target.messages());
    audit(&env);
    assert_eq!(std::fs::read(env.ledger_file()).unwrap(), before);
    assert_eq!((env.source.messages(), env.target.messages()), held);
    for said in [
        env.source.transcript().after(lines),
        env.target.transcript().after(sent),
    ] {
        for command in said.client() {
            for word in [
                "SELECT",
                "STORE",
                "APPEND",
                "COPY",
                "EXPUNGE",
                "BODY.PEEK[]",
                "BODY[",
            ] {
                assert!(!command.contains(word), "{command}");
            }
        }
    }
}
