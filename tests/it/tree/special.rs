//! Mailboxes with a use of their own, told by attribute or by the usual names: each goes to Gmail's mailbox of that use.

use gmail_stand_in::{Mail, Place};
use serde_json::json;

use super::{letter, put, run_well};
use crate::testkit::env::TestEnv;
use crate::testkit::labels::{Dues, Goes};
use crate::testkit::tree_env::{MANY, source_with};

fn of_use(attribute: &str) -> Option<Goes> {
    match attribute {
        "\\Sent" => Goes::to(&["\\Sent"]),
        "\\Drafts" => Goes::to(&["\\Draft"]),
        "\\Junk" => Goes::into(Place::Spam),
        "\\Trash" => Goes::into(Place::Trash),
        _ => Goes::to(&[]),
    }
}

/// The mailboxes bear these names; where `marked`, their attributes tell what they are for.
fn assert_each(source: &str, names: [(&str, &str); 5], marked: bool) {
    let env = TestEnv::of_all(source_with(source));
    for (name, attribute) in names {
        env.source.create(name);
        if marked {
            env.source.special_use(name, attribute);
        }
        put(
            &env.source,
            &format!("in{}", attribute.trim_start_matches('\\')),
            &[name],
        );
    }
    put(&env.source, "in-inbox", &["INBOX"]);
    run_well(&env);
    let dues = Dues::of_source(&env.source, |name| {
        let known = names.iter().find(|(n, _)| *n == name);
        known.map_or(Goes::to(&["\\Inbox"]), |(_, attribute)| of_use(attribute))
    });
    dues.assert_met(&env.target);
}

#[test]
fn told_by_attribute() {
    let names = [
        ("Ausgang", "\\Sent"),
        ("Unfertig", "\\Drafts"),
        ("Ramsch", "\\Junk"),
        ("Weg/Damit", "\\Trash"),
        ("Regal", "\\Archive"),
    ];
    assert_each(MANY, names, true);
}

#[test]
fn attributes_count_in_any_case_of_letters() {
    let names = [
        ("S", "\\sent"),
        ("D", "\\DRAFTS"),
        ("J", "\\junk"),
        ("T", "\\trash"),
        ("A", "\\archive"),
    ];
    let upper = |attribute: &'static str| match attribute {
        "\\sent" => "\\Sent",
        "\\DRAFTS" => "\\Drafts",
        "\\junk" => "\\Junk",
        "\\trash" => "\\Trash",
        other => other,
    };
    let env = TestEnv::of_all(source_with(MANY));
    for (name, attribute) in names {
        env.source.special_use(name, attribute);
        put(&env.source, &format!("in-{name}"), &[name]);
    }
    run_well(&env);
    let use_of = |name: &str| {
        names
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, a)| upper(a))
    };
    Dues::of_source(&env.source, |name| use_of(name).and_then(of_use)).assert_met(&env.target);
}

#[test]
fn told_by_german_names() {
    let names = [
        ("Gesendet", "\\Sent"),
        ("Entwürfe", "\\Drafts"),
        ("Spam", "\\Junk"),
        ("Papierkorb", "\\Trash"),
        ("Archiv", "\\Archive"),
    ];
    assert_each("", names, false);
}

#[test]
fn told_by_english_names() {
    let names = [
        ("Sent Items", "\\Sent"),
        ("Drafts", "\\Drafts"),
        ("Junk", "\\Junk"),
        ("Deleted Items", "\\Trash"),
        ("Archive", "\\Archive"),
    ];
    assert_each("", names, false);
}

#[test]
fn a_rule_may_name_a_use_on_either_side() {
    let mut env = TestEnv::of_all(source_with(MANY));
    let folders = json!([
        {"source": "\\Sent", "target": "Altes/Gesendet"},
        {"source": "Verdächtig", "target": "\\Junk"},
        {"source": "Müll*", "target": "\\Trash"},
        "INBOX",
    ]);
    env.set("folders", folders);
    env.source.special_use("Ausgang", "\\Sent");
    env.source.special_use("Unfertig", "\\Drafts");
    let mailboxes = ["INBOX", "Ausgang", "Unfertig", "Verdächtig", "Müll 2019"];
    for (n, name) in mailboxes.into_iter().enumerate() {
        put(&env.source, &format!("number-{n}"), &[name]);
    }
    run_well(&env);
    let dues = Dues::of_source(&env.source, |name| match name {
        "INBOX" => Goes::to(&["\\Inbox"]),
        "Ausgang" => Goes::to(&["Altes/Gesendet"]),
        "Verdächtig" => Goes::into(Place::Spam),
        "Müll 2019" => Goes::into(Place::Trash),
        _ => None,
    });
    dues.assert_met(&env.target);
}

#[test]
fn a_draft_is_one_only_among_drafts() {
    let env = TestEnv::of_all(source_with(MANY));
    env.source.special_use("Unfertig", "\\Drafts");
    let (draft, other) = (letter("draft"), letter("other"));
    env.source.add(
        Mail::new(&draft)
            .in_mailbox("Unfertig")
            .flag("\\Draft")
            .seen(),
    );
    env.source.add(
        Mail::new(&other)
            .in_mailbox("Arbeit")
            .flag("\\Draft")
            .seen(),
    );
    run_well(&env);
    let flags = |bytes: &[u8]| {
        let found = env.target.messages().into_iter().find(|m| m.bytes == bytes);
        found.unwrap().flags.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(flags(&draft), ["\\Draft", "\\Seen"]);
    assert_eq!(flags(&other), ["\\Seen"]);
}

#[test]
fn what_shows_messages_of_other_mailboxes_makes_no_label() {
    let env = TestEnv::of_all(source_with(MANY));
    for (name, attribute) in [("Alles", "\\All"), ("Markiert", "\\Flagged")] {
        env.source.special_use(name, attribute);
    }
    put(&env.source, "shown", &["INBOX", "Alles", "Markiert"]);
    run_well(&env);
    let mut dues = Dues::of_source(&env.source, |_| Goes::to(&[]));
    dues.get_mut(&letter("shown"))
        .labels
        .insert("\\Inbox".into());
    dues.assert_met(&env.target);
}

#[test]
fn a_gmail_as_source_into_another() {
    let env = TestEnv::of_all(gmail_stand_in::Options::default());
    env.source.create("Work");
    let archived = letter("archived");
    let id = env.source.add(Mail::new(&archived));
    env.source.set_labels(id, &["Work", "\\Important"]);
    env.source.add(
        Mail::new(letter("sent"))
            .in_mailbox("[Gmail]/Sent Mail")
            .seen(),
    );
    run_well(&env);
    assert_eq!(super::labels_of(&env.target, &archived).unwrap(), ["Work"]);
    assert_eq!(
        super::labels_of(&env.target, &letter("sent")).unwrap(),
        ["\\Sent"]
    );
    assert_eq!(env.target.messages().len(), 2);
}
