//! Where mail goes: what `folders`, `exclude`, `label` and `skip_inbox` say of a mailbox decides the labels of each of its messages.

use serde_json::{Value, json};

use super::{label_stores, put, run_well};
use crate::testkit::env::TestEnv;
use crate::testkit::labels::{Dues, Goes, same_name};
use crate::testkit::tree_env::{MANY, source_with};

/// A message in each of these mailboxes.
fn with(folders: Value, mailboxes: &[&str]) -> TestEnv {
    let mut env = TestEnv::of_all(source_with(MANY));
    env.set("folders", folders);
    for (n, name) in mailboxes.iter().enumerate() {
        put(&env.source, &format!("only-in-{n}"), &[name]);
    }
    env
}

#[track_caller]
fn assert_goes(env: &TestEnv, goes: impl Fn(&str) -> Option<Goes>) {
    run_well(env);
    Dues::of_source(&env.source, goes).assert_met(&env.target);
}

#[test]
fn inbox_alone_is_copied_where_nothing_is_said() {
    let mut env = with(json!(["*"]), &["INBOX", "Work"]);
    env.set("folders", Value::Null);
    assert_goes(&env, |name| same_name(name).filter(|_| name == "INBOX"));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let folders = json!([
        {"source": "Arbeit/Alt", "target": "archive"},
        {"source": "Arbeit/*", "target": "Büro/*", "labels": ["Beruf"]},
        {"source": "Rechnungen", "target": "INBOX", "labels": ["Steuer", "Geld/Wichtig"]},
        "inbox",
        "%",
    ]);
    let mailboxes = [
        "INBOX",
        "Arbeit/Alt",
        "Arbeit/2024/日本語",
        "Rechnungen",
        "Familie",
        "Familie/Fotos",
    ];
    let env = with(folders, &mailboxes);
    assert_goes(&env, |name| match name {
        "INBOX" => Goes::to(&["\\Inbox"]),
        "Arbeit/Alt" => Goes::to(&[]),
        "Arbeit/2024/日本語" => Goes::to(&["Büro/2024/日本語", "Beruf"]),
        "Rechnungen" => Goes::to(&["\\Inbox", "Steuer", "Geld/Wichtig"]),
        "Familie" => Goes::to(&["Familie"]),
        _ => None,
    });
}

#[test]
fn what_is_excluded_is_left_out_whatever_folders_says() {
    let mailboxes = ["INBOX", "Privat", "Privat/Tagebuch", "Privates", "Arbeit"];
    let mut env = with(json!(["Privat", "*"]), &mailboxes);
    env.set("exclude", json!(["Privat", "Privat/*"]));
    assert_goes(&env, |name| {
        same_name(name).filter(|_| name != "Privat" && !name.starts_with("Privat/"))
    });
}

#[test]
fn every_message_gets_the_label_of_the_route() {
    let mut env = with(json!(["*"]), &["INBOX", "Arbeit", "Arbeit/日本語"]);
    env.set("label", "old@example.org");
    put(&env.source, "in-two", &["INBOX", "Arbeit"]);
    assert_goes(&env, |name| {
        same_name(name).map(|goes| goes.and("old@example.org"))
    });
}

#[test]
fn what_would_go_to_inbox_is_archived_where_inbox_is_skipped() {
    for label in [None, Some("old@example.org")] {
        let folders = json!([{"source": "Wichtig", "target": "INBOX", "labels": ["W"]}, "*"]);
        let mut env = with(folders, &["INBOX", "Wichtig", "Arbeit"]);
        env.set("skip_inbox", true);
        if let Some(label) = label {
            env.set("label", label);
        }
        put(&env.source, "in-both", &["INBOX", "Arbeit"]);
        assert_goes(&env, |name| {
            let goes = match name {
                "INBOX" => Goes::to(&[]),
                "Wichtig" => Goes::to(&["W"]),
                other => Goes::to(&[other]),
            };
            goes.map(|goes| label.into_iter().fold(goes, Goes::and))
        });
    }
}

#[test]
fn one_message_in_three_mailboxes_gets_the_labels_of_all() {
    let folders = json!([{"source": "A", "labels": ["from A"]}, {"source": "B", "target": "archive", "labels": ["from B"]}, "*"]);
    let env = with(folders, &["A", "B", "C"]);
    put(&env.source, "in-all", &["A", "B", "C", "INBOX"]);
    let goes = |name: &str| match name {
        "A" => Goes::to(&["A", "from A"]),
        "B" => Goes::to(&["from B"]),
        "C" => Goes::to(&["C"]),
        _ => Goes::to(&["\\Inbox"]),
    };
    assert_goes(&env, goes);
    // Nothing is left to be done: a second run changes no label.
    let before = label_stores(&env.target);
    assert_goes(&env, goes);
    assert_eq!(label_stores(&env.target), before);
}

#[test]
fn labels_exist_in_no_other_case_than_gmail_has_them() {
    let env = with(json!(["*"]), &["Arbeit", "ARBEIT", "INBOX"]);
    // Two mailboxes of the source, one label of Gmail's (docs/gmail.md 5.1).
    env.target.create("arbeit");
    put(&env.source, "in-either", &["Arbeit", "ARBEIT"]);
    assert_goes(&env, |name| match name {
        "INBOX" => Goes::to(&["\\Inbox"]),
        _ => Goes::to(&["arbeit"]),
    });
}

#[test]
fn labels_need_a_target_that_has_them() {
    let mut env = TestEnv::build().plain_target().start();
    env.mails(1);
    env.set("label", "old@example.org");
    let checked = env.command(&["check", "--config", "config.json"]);
    let said = format!("{}{}", checked.out, checked.err);
    assert_ne!(checked.status, 0, "{said}");
    assert!(said.contains("`label`"), "{said}");
}

#[test]
fn where_there_are_none_mail_is_copied_without_them() {
    let mut env = TestEnv::build()
        .plain_target()
        .source(source_with(MANY))
        .start();
    env.set("folders", json!(["*"]))
        .set("label", "old@example.org");
    let both = put(&env.source, "in-both", &["INBOX", "Arbeit", "Arbeit"]);
    run_well(&env);
    let held = env.target.messages();
    assert_eq!(held.iter().filter(|m| m.bytes == both).count(), 2);
    let said = env.target.transcript();
    assert_eq!(said.commands("STORE"), 0, "{said}");
    assert_eq!(said.commands("CREATE"), 1, "{said}");
}

#[test]
fn a_changed_mapping_holds_for_what_comes_from_then_on() {
    let mut env = with(json!(["*"]), &["INBOX", "Arbeit"]);
    run_well(&env);
    let before: Vec<_> = env.target.messages();
    env.set(
        "folders",
        json!(["INBOX", {"source": "Arbeit", "target": "Büro"}]),
    );
    let new = put(&env.source, "new", &["Arbeit"]);
    run_well(&env);
    assert_eq!(super::labels_of(&env.target, &new).unwrap(), ["Büro"]);
    for old in before {
        assert_eq!(env.target.message(old.id).unwrap().labels, old.labels);
    }
    assert_eq!(env.target.messages().len(), 3);
}
