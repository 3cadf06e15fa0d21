//! What the rules make of mailboxes.

use super::*;

fn rules(json: &str) -> Rules {
    let base = "\"source_server\":\"s\",\"source_user\":\"u\",\"source_pass\":\"p\",\"target_user\":\"you@gmail.com\",\"target_pass\":\"p\"";
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config.json");
    std::fs::write(&file, format!("{{{base},{json}}}")).expect("a file");
    let now = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000);
    match crate::config::Config::load(&file, now) {
        Ok(config) => config.rules,
        Err(e) => panic!("{e}"),
    }
}

fn mailbox(name: &str) -> Listed {
    Listed {
        wire: name.into(),
        name: name.into(),
        ..Listed::inbox()
    }
}

fn special(name: &str, special: SpecialUse) -> Listed {
    Listed {
        special: Some(special),
        ..mailbox(name)
    }
}

/// The spot, then the labels; or why not.
fn told(rules: &Rules, mailbox: &Listed) -> String {
    match rules.mapping(mailbox) {
        Mapping::Copied { destination, .. } => {
            let mut all = vec![destination.spot.text().to_string()];
            all.extend(destination.labels);
            all.join(" + ")
        }
        Mapping::LeftOut(why) => format!("{why:?}"),
    }
}

#[test]
fn without_a_word_it_is_inbox_alone() {
    for rules in [
        Rules::default(),
        rules("\"since\":\"1d\""),
        rules("\"folders\":[\"inbox\"]"),
    ] {
        assert!(rules.is_default() && rules.inbox_alone());
        assert_eq!(told(&rules, &Listed::inbox()), "INBOX");
        assert_eq!(told(&rules, &mailbox("Work")), "Unmatched");
    }
}

#[test]
fn inbox_is_alone_whatever_becomes_of_it() {
    for (json, alone) in [
        ("\"label\":\"old\"", true),
        (
            "\"folders\":[{\"source\":\"Inbox\",\"target\":\"Old\"}]",
            true,
        ),
        ("\"exclude\":[\"Work\"],\"skip_inbox\":true", true),
        ("\"folders\":[\"INBOX\",\"Work\"]", false),
        ("\"folders\":[\"INBOX*\"]", false),
        ("\"folders\":[\"\\\\Sent\"]", false),
    ] {
        let rules = rules(json);
        assert_eq!(rules.inbox_alone(), alone, "{json}");
        assert!(!rules.is_default(), "{json}");
    }
}

#[test]
fn everything_goes_where_it_belongs() {
    let rules = rules("\"folders\":[\"*\"],\"exclude\":[\"\\\\Trash\",\"Private/*\"]");
    for (mailbox, where_to) in [
        (Listed::inbox(), "INBOX"),
        (mailbox("Work/a"), "Work/a"),
        (special("Gesendet", SpecialUse::Sent), "\\Sent"),
        (special("Spam", SpecialUse::Junk), "\\Junk"),
        (special("Archiv", SpecialUse::Archive), "\\Archive"),
        (special("Papierkorb", SpecialUse::Trash), "Excluded(0)"),
        (mailbox("Private/a/b"), "Excluded(1)"),
        (mailbox("Private"), "Private"),
        (mailbox("Spam"), "Spam_"),
    ] {
        assert_eq!(told(&rules, &mailbox), where_to, "{}", mailbox.name);
    }
}

#[test]
fn the_first_that_matches_decides() {
    let rules = rules(
        "\"folders\":[{\"source\":\"Work/*\",\"target\":\"Old/*\",\"since\":\"all\"},
         {\"source\":\"Work/%\",\"target\":\"archive\"},{\"source\":\"%/Lists/*\",\"target\":\"*/*\"},
         {\"source\":\"\\\\Sent\",\"target\":\"\\\\Trash\"},{\"source\":\"Spam\",\"target\":\"\\\\junk\"}]",
    );
    assert_eq!(told(&rules, &mailbox("Work/a/b")), "Old/a/b");
    assert_eq!(told(&rules, &mailbox("Home/Lists/x/y")), "Home/x/y");
    assert_eq!(told(&rules, &special("x", SpecialUse::Sent)), "\\Trash");
    assert_eq!(told(&rules, &mailbox("Spam")), "\\Junk");
    assert_eq!(told(&rules, &Listed::inbox()), "Unmatched");
    let same = self::rules("\"folders\":[{\"source\":\"*\",\"target\":\"*\"}]");
    assert_eq!(told(&same, &Listed::inbox()), "INBOX");
    let Mapping::Copied {
        since, rule, asked, ..
    } = rules.mapping(&mailbox("Work/a^"))
    else {
        panic!("left out")
    };
    assert_eq!((since, rule), (Some(Since::All), 0));
    assert_eq!(asked.as_deref(), Some("Old/a^"));
    let there = [mailbox("Work/a"), mailbox("Spam")];
    let doubts = rules.doubts(&there).into_iter().map(|note| note.message);
    assert_eq!(
        doubts.collect::<Vec<_>>(),
        [
            "`folders`: `%/Lists/*` matches no mailbox of the source",
            "`folders`: `\\Sent` matches nothing: the source has no mailbox that is known to be for sent mail",
            "`folders`: `Work/%` decides over nothing: every mailbox that it matches is taken by an item before it, or excluded",
        ]
    );
}

#[test]
fn labels_are_put_on_once_and_never_on_their_own_mailbox() {
    let rules = rules(
        "\"label\":\"Old\",\"folders\":[\"INBOX\",{\"source\":\"a\",\"target\":\"archive\"},
         {\"source\":\"b\",\"target\":\"archive\",\"labels\":[\"x\",\"X\",\"old\"]},
         {\"source\":\"c\",\"target\":\"OLD\",\"labels\":[\"spam\"],\"label_found\":true},\"\\\\Sent\",\"old\"]",
    );
    assert_eq!(told(&rules, &Listed::inbox()), "INBOX + Old");
    assert_eq!(told(&rules, &mailbox("a")), "Old");
    assert_eq!(told(&rules, &mailbox("b")), "x + old");
    assert_eq!(told(&rules, &mailbox("c")), "OLD + spam_");
    assert_eq!(told(&rules, &mailbox("old")), "old");
    assert_eq!(
        told(&rules, &special("s", SpecialUse::Sent)),
        "\\Sent + Old"
    );
    assert!(matches!(
        rules.mapping(&mailbox("c")),
        Mapping::Copied { destination, .. } if destination.label_found
    ));
    let doubts = rules.doubts(&[mailbox("a"), mailbox("b"), mailbox("c"), mailbox("old")]);
    assert!(
        doubts
            .iter()
            .any(|note| note.message.ends_with(": `spam` as `spam_`")),
        "{doubts:?}"
    );
    assert_eq!(rules.gmail_only(), Some("label"));
}

#[test]
fn what_would_go_to_inbox_can_be_archived() {
    let rules = rules(
        "\"skip_inbox\":true,\"folders\":[\"INBOX\",{\"source\":\"a\",\"target\":\"inbox\",\"labels\":[\"x\",\"y\"]}]",
    );
    assert_eq!(told(&rules, &Listed::inbox()), "\\Archive");
    assert_eq!(told(&rules, &mailbox("a")), "x + y");
}

#[test]
fn what_shows_others_messages_must_be_named() {
    let all = Listed {
        is_virtual: true,
        ..mailbox("[Gmail]/All Mail")
    };
    assert_eq!(told(&rules("\"folders\":[\"*\"]"), &all), "Virtual");
    let named = rules("\"folders\":[\"*\",\"[Gmail]/All Mail\"]");
    assert_eq!(told(&named, &all), "Gmail/All Mail");
    let excluded = rules("\"folders\":[\"[Gmail]/All Mail\"],\"exclude\":[\"[Gmail]/*\"]");
    assert_eq!(told(&excluded, &all), "Excluded(0)");
    let parent = Listed {
        selectable: false,
        ..mailbox("Work")
    };
    assert_eq!(told(&named, &parent), "CannotBeOpened");
}

#[test]
fn mailboxes_that_become_one_label_are_told() {
    let there = [
        mailbox("Work"),
        mailbox("work"),
        mailbox("a^b"),
        mailbox("a_b"),
        mailbox("c"),
    ];
    let one = |label: &str, names: &[&str]| {
        let names = names.iter().map(ToString::to_string).collect();
        (label.to_string(), names)
    };
    assert_eq!(
        rules("\"folders\":[\"*\"]").collapses(&there),
        [one("Work", &["Work", "work"]), one("a_b", &["a^b", "a_b"])]
    );
    let meant = rules("\"folders\":[{\"source\":\"*\",\"target\":\"Old\"}]");
    assert_eq!(meant.collapses(&there), []);
}
