//! Gmail has the messages already: nothing is sent, and their labels stay as they are, unless `label_found` wants
//! otherwise.

use gmail_stand_in::Mail;
use serde_json::json;

use super::{appends, label_stores, labels_of, letter, put, run_well};
use crate::testkit::env::TestEnv;
use crate::testkit::labels::{Dues, same_name};
use crate::testkit::tree::Tree;
use crate::testkit::tree_env::{MANY, source_with};

#[test]
fn what_is_there_under_the_same_labels_costs_nothing() {
    let Some(tree) = Tree::small() else { return };
    let env = TestEnv::of_all(source_with(MANY));
    tree.fill_stand_in(&env.source);
    for placed in &tree.mails {
        let (first, others) = placed.mailboxes.split_first().unwrap();
        let mail = Mail::new(&placed.bytes)
            .in_mailbox(first)
            .at(placed.internal_date());
        let mail = if placed.seen { mail.seen() } else { mail };
        let label = |name: &&str| if *name == "INBOX" { "\\Inbox" } else { *name }.to_string();
        env.target.add(
            others
                .iter()
                .fold(mail, |mail, name| mail.label(&label(name))),
        );
    }
    run_well(&env);
    assert_eq!((appends(&env.target), label_stores(&env.target)), (0, 0));
    Dues::of_tree(&tree, same_name).assert_met(&env.target);
    let found: usize = env.one("SELECT count(*) FROM message WHERE status = 'delivered'");
    assert_eq!(found, tree.copies());
}

/// Three messages that somebody brought before: archived, under another label, and in the trash.
fn brought_before(env: &TestEnv) -> [Vec<u8>; 3] {
    let brought = ["archived", "elsewhere", "in-trash"].map(letter);
    let date = chrono::DateTime::parse_from_rfc3339("2023-11-14T22:13:20+00:00").unwrap();
    for (bytes, labels) in brought.iter().zip([&[][..], &["Anderswo"], &[]]) {
        let id = env.target.add(Mail::new(bytes).at(date));
        env.target.set_labels(id, labels);
        if *bytes == brought[2] {
            env.target.trash(id);
        }
    }
    for name in ["archived", "elsewhere", "in-trash"] {
        put(&env.source, name, &["Arbeit"]);
    }
    put(&env.source, "archived", &["INBOX"]);
    brought
}

#[test]
fn what_is_found_keeps_its_labels() {
    let env = TestEnv::of_all(source_with(MANY));
    let [archived, elsewhere, in_trash] = brought_before(&env);
    let new = put(&env.source, "new", &["Arbeit"]);
    run_well(&env);
    let labels = |bytes: &[u8]| labels_of(&env.target, bytes).unwrap();
    assert_eq!(labels(&archived), Vec::<String>::new());
    assert_eq!(labels(&elsewhere), ["Anderswo"]);
    assert_eq!(labels(&in_trash), Vec::<String>::new());
    assert_eq!(labels(&new), ["Arbeit"]);
    assert_eq!((appends(&env.target), label_stores(&env.target)), (1, 0));
}

#[test]
fn and_gets_those_that_are_due_where_that_is_wanted() {
    let mut env = TestEnv::of_all(source_with(MANY));
    let [archived, elsewhere, in_trash] = brought_before(&env);
    env.set(
        "folders",
        json!([{"source": "Arbeit", "label_found": true}, "*"]),
    );
    run_well(&env);
    let labels = |bytes: &[u8]| labels_of(&env.target, bytes).unwrap();
    // INBOX has no such rule: what is found there is not put into the inbox.
    assert_eq!(labels(&archived), ["Arbeit"]);
    assert_eq!(labels(&elsewhere), ["Anderswo", "Arbeit"]);
    // What somebody threw away stays away.
    let trash = env.target.mailbox("[Gmail]/Trash");
    assert_eq!(trash.len(), 1, "{:?}", labels(&in_trash));
    assert_eq!(appends(&env.target), 0);
}

#[test]
fn nothing_that_was_there_is_put_back_into_the_inbox() {
    let mut env = TestEnv::of_all(source_with(MANY));
    let [archived, ..] = brought_before(&env);
    env.set(
        "folders",
        json!([{"source": "INBOX", "labels": ["alt"], "label_found": true}]),
    );
    run_well(&env);
    assert_eq!(labels_of(&env.target, &archived).unwrap(), ["alt"]);
    assert_eq!(appends(&env.target), 0);
}

#[test]
fn what_was_delivered_before_there_were_folders_is_not_sent_again() {
    let mut env = TestEnv::of_all(source_with(MANY));
    env.set("folders", serde_json::Value::Null);
    let both = put(&env.source, "in-both", &["INBOX", "Arbeit"]);
    let only = put(&env.source, "only-there", &["Arbeit"]);
    run_well(&env);
    assert_eq!(labels_of(&env.target, &both).unwrap(), ["\\Inbox"]);
    env.set("folders", json!(["*"]));
    run_well(&env);
    assert_eq!(
        labels_of(&env.target, &both).unwrap(),
        ["Arbeit", "\\Inbox"]
    );
    assert_eq!(labels_of(&env.target, &only).unwrap(), ["Arbeit"]);
    assert_eq!(appends(&env.target), 2);
}

#[test]
fn a_label_that_a_person_takes_away_does_not_come_back() {
    let env = TestEnv::of_all(source_with(MANY));
    let mail = put(&env.source, "mail", &["INBOX", "Arbeit"]);
    run_well(&env);
    let id = env.target.messages()[0].id;
    env.target.set_labels(id, &[]);
    put(&env.source, "another", &["Arbeit"]);
    run_well(&env);
    assert_eq!(labels_of(&env.target, &mail).unwrap(), Vec::<String>::new());
}
