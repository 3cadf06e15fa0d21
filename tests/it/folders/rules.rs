//! Rules of a configuration, as `folders` and `check` tell of them; and those that README.md gives.

use std::fs;

use gmail_stand_in::{Fault, On};
use serde_json::{Value, json};

use super::lists::{Listing, folder};
use super::{FOLDERS, gmail_as_source, rows};
use crate::testkit::dovecot::Dovecot;
use crate::testkit::dovecot_env::ALICE;
use crate::testkit::env::TestEnv;

/// A source with these mailboxes, slashes between their levels.
fn with(names: &[&str]) -> TestEnv {
    let mut list = String::from("CAPABILITY NAMESPACE\n* NAMESPACE ((\"\" \"/\")) NIL NIL\n");
    for name in names {
        list += &format!("* LIST () \"/\" \"{name}\"\n");
    }
    Listing::read(&list).served()
}

fn told(env: &TestEnv) -> Vec<String> {
    let ran = env.command(FOLDERS);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    rows(&ran.out)
}

#[test]
fn a_rule_is_told_with_what_it_decides() {
    let mut env = with(&["INBOX", "Sent", "Work/2024", "Private", "Spam", "a^b"]);
    env.set(
        "folders",
        json!([
            {"source": "INBOX", "labels": ["new"]},
            {"source": "Work/*", "target": "Old/*"},
            "*"
        ]),
    )
    .set("exclude", json!(["Private", "\\Junk"]))
    .set("label", "old@example.org")
    .set("skip_inbox", true);
    assert_eq!(
        told(&env),
        [
            "2 2 INBOX labels new, old@example.org (by INBOX)",
            "2 2 a^b labels a_b, old@example.org (by *)",
            "2 2 Private left out (excluded by Private)",
            "2 2 Sent Sent, label old@example.org (by *)",
            "2 2 Spam left out (excluded by \\Junk)",
            "2 2 Work/2024 labels Old/2024, old@example.org (by Work/*)",
            "",
            "Gmail does not take every name for a label; written in another way: `a^b` as",
            "`a_b`",
            "hint: nothing need be done; another name can be given with `target`",
        ]
    );
}

#[test]
fn what_matches_nothing_and_what_becomes_one_is_told() {
    let mut env = with(&["INBOX", "Work", "work", "Home"]);
    env.set("folders", json!(["INBOX", "INBOX.Home", "*", "Work"]));
    let ran = env.command(FOLDERS);
    let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        "`folders`: `INBOX.Home` matches no mailbox of the source hint: did you mean `Home`?",
        "`folders`: `Work` decides over nothing",
        "`Work` and `work` become one label, `Work`",
    ] {
        assert!(text.contains(sentence), "{sentence}: {}", ran.out);
    }
    let ran = env.command(&["folders", "--config", "config.json", "--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        told["become_one_label"],
        json!([{"label": "Work", "mailboxes": ["Work", "work"]}])
    );
    assert_eq!(told["doubts"].as_array().map(Vec::len), Some(3));
}

/// Each finding as `name result: message`.
fn findings(env: &TestEnv) -> Vec<String> {
    let ran = env.command(&["check", "--config", "config.json", "--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let told = told["checks"].as_array().unwrap();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    told.iter()
        .map(|f| {
            format!(
                "{} {}: {}",
                text(&f["name"]),
                text(&f["result"]),
                text(&f["message"])
            )
        })
        .collect()
}

#[test]
fn check_says_what_is_wrong_with_a_rule() {
    let mut env = with(&["INBOX", "Work", "work", "a^b"]);
    let silent = findings(&env);
    assert!(!silent.iter().any(|f| f.contains("_folders")), "{silent:?}");
    env.set("folders", json!(["*", "Holidays", "\\Sent"]));
    let told = findings(&env);
    let told: Vec<&String> = told.iter().filter(|f| f.contains("_folders")).collect();
    assert_eq!(
        told,
        [
            "source_folders ok: of 4 mailboxes, 4 are copied; they hold 8 messages",
            "source_folders warning: `folders`: `Holidays` matches no mailbox of the source",
            "source_folders warning: `folders`: `\\Sent` matches nothing: the source has no mailbox that is known to be for sent mail",
            "source_folders warning: Gmail does not take every name for a label; written in another way: `a^b` as `a_b`",
            "source_folders warning: `Work` and `work` become one label, `Work`",
        ]
    );
    env.set("folders", json!(["Holidays"]));
    let told = findings(&env);
    let problem = "source_folders problem: none of the source's 4 mailboxes is copied";
    assert!(told.iter().any(|f| f == problem), "{told:?}");
}

#[test]
fn check_tries_each_mailbox_that_is_copied() {
    let mut env = gmail_as_source();
    env.source.create("Refused");
    env.source.create("Left out");
    let refused = Fault::Answer("NO [NOPERM] not for you".into());
    env.source
        .fault(On::each("EXAMINE").line_with("Refused"), refused);
    env.set("folders", json!(["*"]))
        .set("exclude", json!(["Left out"]));
    let told = findings(&env);
    let problem = told.iter().find(|f| f.contains("source_folders problem"));
    let problem = problem.unwrap_or_else(|| panic!("{told:?}"));
    assert!(problem.contains("Refused: "), "{problem}");
    let transcript = env.source.transcript();
    let asked = transcript.client();
    assert!(!asked.iter().any(|l| l.contains("Left out")), "{asked:?}");
    assert!(!asked.iter().any(|l| l.contains("All Mail")), "{asked:?}");
}

#[test]
fn labels_need_gmail() {
    for (key, value) in [
        ("label", json!("old")),
        ("folders", json!([{"source": "INBOX", "labels": ["old"]}])),
    ] {
        let mut env = TestEnv::build().plain_target().start();
        env.set(key, value);
        let told = findings(&env);
        let key = if key == "label" { "label" } else { "labels" };
        let problem = format!(
            "target_labels problem: `{key}` of the configuration needs Gmail: this server knows no labels (X-GM-EXT-1)"
        );
        assert!(told.contains(&problem), "{told:?}");
        let mut env = TestEnv::new();
        env.set("label", "old");
        let told = findings(&env);
        assert!(
            !told.iter().any(|f| f.contains("target_labels")),
            "{told:?}"
        );
    }
}

/// The three blocks of README.md, each put into a configuration, for an account as Dovecot has it and a German one.
#[test]
fn what_readme_advises_does_what_it_says() {
    let readme = fs::read_to_string(folder().join("../../../../README.md")).unwrap();
    let section = readme.split("## Folders and labels").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        match line.strip_prefix("       ") {
            Some(line) => {
                let last = blocks.len() - 1;
                blocks[last] += line;
            }
            None if blocks.last().is_some_and(|b| !b.is_empty()) => blocks.push(String::new()),
            None => {}
        }
    }
    blocks.retain(|block| block.starts_with('"'));
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    let becomes = |block: &str| {
        let mut env = with(&[
            "INBOX",
            "Entw&APw-rfe",
            "Gesendet",
            "Papierkorb",
            "Spamverdacht",
            "Familie/Oma",
        ]);
        let block = block.trim_end().trim_end_matches(',');
        let keys: Value = serde_json::from_str(&format!("{{{block}}}")).unwrap();
        for (key, value) in keys.as_object().unwrap() {
            env.set(key, value.clone());
        }
        let rows = told(&env);
        let rows = rows.iter().map(|row| row.trim_start_matches("2 2 "));
        rows.map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(
        becomes(&blocks[0]),
        [
            "INBOX INBOX, label old@example.org (by INBOX)",
            "Entwürfe left out",
            "Familie/Oma left out",
            "Gesendet left out",
            "Papierkorb left out",
            "Spamverdacht left out",
        ]
    );
    assert_eq!(
        becomes(&blocks[1]),
        [
            "INBOX INBOX (by *)",
            "Entwürfe Drafts (by *)",
            "Familie/Oma label Familie/Oma (by *)",
            "Gesendet Sent (by *)",
            "Papierkorb left out (excluded by \\Trash)",
            "Spamverdacht left out (excluded by \\Junk)",
        ]
    );
    assert_eq!(
        becomes(&blocks[2]),
        [
            "INBOX label Old mail (by INBOX)",
            "Entwürfe left out (excluded by \\Drafts)",
            "Familie/Oma label Old mail/Familie/Oma (by *)",
            "Gesendet Sent, label Old mail/Sent mail (by \\Sent)",
            "Papierkorb left out (excluded by \\Trash)",
            "Spamverdacht left out (excluded by \\Junk)",
        ]
    );
}

#[test]
fn a_real_dovecot_tells_what_its_mailboxes_are_for() {
    if !crate::testkit::dovecot::available() {
        return;
    }
    for (separator, prefix) in [("/", ""), (".", "INBOX.")] {
        let namespace = format!(
            "namespace inbox {{\n  separator = {separator}\n  prefix = {prefix}\n  mailbox Gesendet {{\n    special_use = \\Sent\n    auto = create\n  }}\n  mailbox Sent {{\n    auto = create\n  }}\n}}"
        );
        let Some(mut env) = TestEnv::dovecot_with(
            Dovecot::build().extra(&namespace),
            Dovecot::build().xoauth2(true),
        ) else {
            return;
        };
        let mut client = env.source.client(ALICE);
        client.command(&format!("CREATE \"{prefix}Work{separator}a\""));
        env.set("folders", json!(["\\Sent", "Work/%"]));
        let ran = env.command(FOLDERS);
        assert_eq!((ran.status, &*ran.err), (0, ""));
        let rows = rows(&ran.out);
        for row in [
            "0 0 Gesendet Sent (by \\Sent)",
            "0 0 Sent left out",
            "0 0 Work/a label Work/a (by Work/%)",
        ] {
            assert!(rows.iter().any(|r| r == row), "{row}: {}", ran.out);
        }
    }
}

#[test]
fn a_server_that_refuses_to_tell_the_uses_is_believed_by_its_names() {
    let mut env = Listing::read(
        "CAPABILITY XLIST\n* LIST () \"/\" INBOX\n* LIST () \"/\" Sent\nXLIST\nTAG NO not today",
    )
    .served();
    env.set("folders", json!(["\\Sent"]));
    let rows = told(&env);
    assert!(
        rows.contains(&"2 2 Sent Sent (by \\Sent)".to_string()),
        "{rows:?}"
    );
}

#[test]
fn a_source_of_which_nothing_is_wanted_but_inbox_is_checked_as_ever() {
    let mut env = TestEnv::new();
    let before = findings(&env);
    env.set("folders", json!(["inbox"]))
        .set("exclude", json!([]));
    assert_eq!(findings(&env), before);
    let lists = env.source.transcript();
    let lists = lists.client();
    assert!(!lists.iter().any(|l| l.contains(" LIST ")), "{lists:?}");
}
