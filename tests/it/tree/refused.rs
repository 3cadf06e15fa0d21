//! Labels that Gmail refuses (docs/gmail.md 5.1): names that cannot be labels become others that can, each time the same
//! ones, and said once; where a label is refused for a reason that nobody foresaw, the others go on.

use std::collections::{BTreeMap, BTreeSet};

use gmail_stand_in::{Fault, On};
use serde_json::json;

use super::{appends, labels_of, put, run_well};
use crate::testkit::env::TestEnv;
use crate::testkit::labels::{Dues, Goes, same_name};
use crate::testkit::tree_env::{MANY, source_with};

#[test]
fn names_that_cannot_be_labels_become_others_that_can() {
    let long = "sehr lang ".repeat(30);
    let names = [
        " am Anfang",
        "am Ende ",
        "zwei  Blanks",
        "Ebene / mit Blanks",
        "a^b",
        "a b",
        "Todo",
        "Muted",
        "[Gmail]/Eigenes",
        long.trim_end(),
    ];
    let env = TestEnv::of_all(source_with(MANY));
    let mut mails = BTreeMap::new();
    for (n, name) in names.into_iter().chain(["Gut"]).enumerate() {
        let two = ["one", "two"].map(|which| put(&env.source, &format!("{which}-in-{n}"), &[name]));
        mails.insert(name, two);
    }
    let told = run_well(&env);
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (name, two) in &mails {
        let [one, two] = two
            .clone()
            .map(|mail| labels_of(&env.target, &mail).unwrap());
        assert_eq!(one, two, "{name}: the same label for each");
        let [label] = one.as_slice() else {
            panic!("{name}: {one:?}");
        };
        assert!(
            used.insert(label.to_lowercase()),
            "{name}: {label} is another one's"
        );
        let kept = ["Gut", "a b"];
        assert_eq!(label == name, kept.contains(name), "{name} became {label}");
        let words = format!("\" is \"{label}\": Gmail takes none that is called");
        let said = told.lines().filter(|line| line.contains(&words)).count();
        assert_eq!(
            said,
            usize::from(label != name),
            "{name} became {label}:\n{told}"
        );
    }
    // What comes later goes the same way.
    let later = put(&env.source, "later", &["Todo"]);
    let told = run_well(&env);
    assert!(!told.contains("Gmail takes none"), "again: {told}");
    assert_eq!(
        labels_of(&env.target, &later),
        labels_of(&env.target, &mails["Todo"][0])
    );
}

/// Whether Gmail takes these nobody has shown (docs/gmail.md 5.1).
#[test]
fn names_below_gmails_own_are_labels_and_where_they_are_refused_others_stand_for_them() {
    let names = ["TODO/heute", "Chats/2019", "inbox/Unter", "Sent/2024"];
    for refused in [false, true] {
        let mut env = TestEnv::of_all(source_with(MANY));
        env.set("label", "Spam/alt");
        env.target.knobs(|knobs| knobs.own_names_nowhere = refused);
        for (n, name) in names.into_iter().chain(["Gut"]).enumerate() {
            put(&env.source, &format!("{n}"), &[name]);
        }
        let called = |name: &str| match name.split_once('/') {
            Some((first, rest)) if refused => format!("{first}_/{rest}"),
            _ => name.to_string(),
        };
        let told = run_well(&env);
        for name in names {
            let words = format!("calling it {} instead", called(name));
            let said = told.matches(&words).count();
            assert_eq!(said, usize::from(refused), "{name}: {told}");
        }
        let dues = |env: &TestEnv| {
            Dues::of_source(&env.source, |name| {
                Goes::to(&[&called(name), &called("Spam/alt")])
            })
        };
        dues(&env).assert_met(&env.target);
        // What comes later goes the same way.
        put(&env.source, "later", &["Sent/2024"]);
        run_well(&env);
        dues(&env).assert_met(&env.target);
    }
}

#[test]
fn a_label_that_is_refused_holds_up_no_other() {
    let env = TestEnv::of_all(source_with(MANY));
    for command in ["CREATE", "UID STORE", "APPEND"] {
        let words = "NO [CANNOT] Folder name is not allowed. (Failure)";
        env.target.fault(
            On::each(command).line_with("Pech"),
            Fault::Answer(words.into()),
        );
    }
    for n in 0..5 {
        for name in ["INBOX", "Pech", "Gut"] {
            put(&env.source, &format!("{n}-in-{}", name.len()), &[name]);
        }
    }
    let ran = env.run();
    let dues = Dues::of_source(&env.source, |name| {
        same_name(name).filter(|_| name != "Pech")
    });
    for message in env.target.messages() {
        let labels: Vec<&String> = message.labels.iter().collect();
        let good = [["\\Inbox"], ["Gut"]].iter().any(|l| labels == *l);
        assert!(good, "{labels:?}");
    }
    dues.assert_met(&env.target);
    assert_eq!(
        ran.status,
        3,
        "what is not there is said: {}\n{}",
        ran.err,
        env.dump()
    );
    assert!(ran.err.contains("Pech"), "{}", ran.err);
    // Nothing is lost: when the label can be made, they come.
    env.target.clear_faults();
    env.command(&["retry-failed", "--config", "config.json"]);
    run_well(&env);
    Dues::of_source(&env.source, same_name).assert_met(&env.target);
}

#[test]
fn a_second_label_that_is_refused_is_owed_and_holds_up_nobody() {
    let mut env = TestEnv::of_all(source_with(MANY));
    env.set("label", "alt@example.org");
    let words = "NO [UNAVAILABLE] Temporary System Problem (Failure)";
    env.target.fault(
        On::each("UID STORE").line_with("alt@").times(3),
        Fault::Answer(words.into()),
    );
    for n in 0..5 {
        put(&env.source, &format!("{n}"), &["INBOX"]);
    }
    env.run_until_done(5);
    let dues = Dues::of_source(&env.source, |name| {
        same_name(name).map(|goes| goes.and("alt@example.org"))
    });
    dues.assert_met(&env.target);
    assert_eq!(appends(&env.target), 5, "for a label nothing is sent again");
}

#[test]
fn a_label_that_somebody_deletes_is_made_again_for_what_comes() {
    let mut env = TestEnv::of_all(source_with(MANY));
    env.set("folders", json!(["*"]));
    let first = put(&env.source, "first", &["Arbeit"]);
    run_well(&env);
    env.target.delete_mailbox("Arbeit");
    let second = put(&env.source, "second", &["Arbeit"]);
    run_well(&env);
    assert_eq!(labels_of(&env.target, &second).unwrap(), ["Arbeit"]);
    // What a person took away stays away.
    assert_eq!(
        labels_of(&env.target, &first).unwrap(),
        Vec::<String>::new()
    );
}
