//! What happens to mailboxes of the source while the program runs: they appear, are named anew, go, are emptied, and can no
//! longer be opened. Each is taken up, and the others go on. Once with a server that is asked in intervals, once with one that
//! tells of it in each of two ways.

use gmail_stand_in::{Closed, Gmail, Options};

use super::{appends, comes_with, put, quiet};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::tree_env::{MANY, Running, source_with};

/// What the source can do besides.
const KINDS: [&str; 3] = [
    "",
    MANY,
    "LIST-EXTENDED LIST-STATUS SPECIAL-USE CONDSTORE ENABLE NAMESPACE NOTIFY",
];

/// A running program that has copied a message from each of three mailboxes.
struct Trial {
    running: Running,
    env: TestEnv,
}

/// Tries it with each kind of source.
fn with_each(trial: impl Fn(&Trial) + Sync) {
    let trials: Vec<Options> = KINDS.map(source_with).into();
    crate::testkit::at_a_time(trials, |source| {
        let env = TestEnv::of_all(source);
        for name in ["INBOX", "Arbeit", "Familie/Fotos"] {
            put(&env.source, &format!("first-in-{}", name.len()), &[name]);
        }
        let running = Running::start(&env);
        quiet(&env, 3);
        trial(&Trial { running, env });
    });
}

impl Trial {
    fn source(&self) -> &Gmail {
        &self.env.source
    }

    fn target(&self) -> &Gmail {
        &self.env.target
    }

    /// New mail still comes from the mailboxes that nothing happened to.
    fn others_go_on(&self, name: &str) {
        for mailbox in ["INBOX", "Familie/Fotos"] {
            let label = if mailbox == "INBOX" {
                "\\Inbox"
            } else {
                mailbox
            };
            let mail = put(
                self.source(),
                &format!("{name}-{}", mailbox.len()),
                &[mailbox],
            );
            comes_with(self.target(), &mail, &[label]);
        }
    }

    /// Nothing is failed, and nothing was charged for what happened.
    fn nobody_is_charged(&self) {
        self.env.assert_nobody_charged();
        assert_eq!(self.env.status()["failed"], 0, "{}", self.env.dump());
    }
}

#[test]
fn a_mailbox_that_appears_is_taken_up() {
    with_each(|trial| {
        let mail = put(trial.source(), "in-new", &["Neu/日本語"]);
        comes_with(trial.target(), &mail, &["Neu/日本語"]);
        trial.source().create("Leer");
        trial.others_go_on("meanwhile");
        let mail = put(trial.source(), "in-empty", &["Leer"]);
        comes_with(trial.target(), &mail, &["Leer"]);
        trial.nobody_is_charged();
    });
}

#[test]
fn a_mailbox_that_appears_has_a_past_of_its_own() {
    let mut env = TestEnv::of_all(source_with(MANY));
    env.set("since", "7d");
    put(&env.source, "recent", &["INBOX"]);
    let _running = Running::start(&env);
    quiet(&env, 1);
    // Its first look has a past of its own: what is older than `since` stays there.
    let old = super::put_at(&env.source, "old", &["Neu"], 400);
    let recent = super::put_at(&env.source, "young", &["Neu"], 1);
    comes_with(&env.target, &recent, &["Neu"]);
    // What comes after it was seen is new, whatever its date.
    let late = super::put_at(&env.source, "old-but-late", &["Neu"], 400);
    comes_with(&env.target, &late, &["Neu"]);
    quiet(&env, 3);
    assert_eq!(env.target.messages().len(), 3);
    assert!(super::labels_of(&env.target, &old).is_none());
}

#[test]
fn a_mailbox_that_is_named_anew_sends_nothing_again() {
    with_each(|trial| {
        let sent = appends(trial.target());
        let old = put(trial.source(), "before", &["Arbeit"]);
        comes_with(trial.target(), &old, &["Arbeit"]);
        trial.source().rename("Arbeit", "Büro/Arbeit");
        let new = put(trial.source(), "after", &["Büro/Arbeit"]);
        // It is the same mailbox, and its mail goes where it went.
        comes_with(trial.target(), &new, &["Arbeit"]);
        trial.others_go_on("meanwhile");
        quiet(&trial.env, 7);
        comes_with(trial.target(), &old, &["Arbeit"]);
        assert_eq!(appends(trial.target()) - sent, 4);
        assert_eq!(trial.target().messages().len(), 7);
        trial.nobody_is_charged();
    });
}

#[test]
fn two_mailboxes_that_swap_their_names_send_nothing_again() {
    with_each(|trial| {
        let in_fotos = put(trial.source(), "in-fotos", &["Familie/Fotos"]);
        comes_with(trial.target(), &in_fotos, &["Familie/Fotos"]);
        let sent = appends(trial.target());
        let source = trial.source();
        source.rename("Arbeit", "Zwischen");
        source.rename("Familie/Fotos", "Arbeit");
        source.rename("Zwischen", "Familie/Fotos");
        let new = put(source, "in-work", &["Arbeit"]);
        comes_with(trial.target(), &new, &["Arbeit"]);
        let other = put(source, "in-photos", &["Familie/Fotos"]);
        comes_with(trial.target(), &other, &["Familie/Fotos"]);
        assert_eq!(appends(trial.target()) - sent, 2);
        trial.nobody_is_charged();
    });
}

#[test]
fn a_mailbox_that_is_deleted_takes_nothing_with_it() {
    with_each(|trial| {
        let kept = put(trial.source(), "kept", &["Arbeit"]);
        comes_with(trial.target(), &kept, &["Arbeit"]);
        trial.source().delete_mailbox("Arbeit");
        trial.others_go_on("afterwards");
        comes_with(trial.target(), &kept, &["Arbeit"]);
        // Made again it is another mailbox, and the same label.
        let again = put(trial.source(), "again", &["Arbeit"]);
        comes_with(trial.target(), &again, &["Arbeit"]);
        assert_eq!(trial.target().messages().len(), 7);
        trial.nobody_is_charged();
        eventually("there is no trouble", || {
            trial.env.status()["trouble"].is_null()
        });
    });
}

#[test]
fn a_mailbox_that_is_emptied_is_as_good_as_before() {
    with_each(|trial| {
        trial.source().empty("Arbeit");
        trial.others_go_on("meanwhile");
        let mail = put(trial.source(), "into-the-empty-one", &["Arbeit"]);
        comes_with(trial.target(), &mail, &["Arbeit"]);
        assert_eq!(trial.target().messages().len(), 6);
        trial.nobody_is_charged();
        eventually("there is no trouble", || {
            trial.env.status()["trouble"].is_null()
        });
    });
}

fn cannot_be_opened(closed: &Closed) {
    with_each(|trial| {
        trial.source().close("Arbeit", closed.clone());
        let waits = put(trial.source(), "waits", &["Arbeit"]);
        trial.others_go_on("meanwhile");
        trial.others_go_on("and-still");
        assert!(super::labels_of(trial.target(), &waits).is_none());
        trial.source().open("Arbeit");
        comes_with(trial.target(), &waits, &["Arbeit"]);
        assert_eq!(trial.target().messages().len(), 8);
        trial.nobody_is_charged();
        eventually("there is no trouble", || {
            trial.env.status()["trouble"].is_null()
        });
        let log = trial.running.log();
        // Once when it begins, and then only as a reminder that it lasts: not at each look.
        let warned = log
            .lines()
            .filter(|line| line.contains("Arbeit") && line.contains("WARN"));
        let said = warned.filter(|line| !line.contains("WARN  still, "));
        assert!(said.count() <= 1, "{log}");
    });
}

#[test]
fn a_mailbox_that_becomes_noselect_holds_up_no_other() {
    cannot_be_opened(&Closed::Noselect);
}

#[test]
fn nor_does_one_that_may_not_be_opened_any_more() {
    let words = "NO [NOPERM] Permission denied";
    cannot_be_opened(&Closed::Refused(words.into()));
}

#[test]
fn a_mailbox_with_other_uids_sends_nothing_again() {
    with_each(|trial| {
        let old = put(trial.source(), "old", &["Arbeit"]);
        comes_with(trial.target(), &old, &["Arbeit"]);
        quiet(&trial.env, 4);
        let sent = appends(trial.target());
        trial.source().renumber("Arbeit", 4711);
        let new = put(trial.source(), "new", &["Arbeit"]);
        comes_with(trial.target(), &new, &["Arbeit"]);
        trial.others_go_on("meanwhile");
        assert_eq!(appends(trial.target()) - sent, 3);
        trial.nobody_is_charged();
    });
}

#[test]
fn a_message_that_is_moved_on_gets_the_other_label_and_is_not_sent_again() {
    with_each(|trial| {
        let mail = put(trial.source(), "moves", &["INBOX"]);
        comes_with(trial.target(), &mail, &["\\Inbox"]);
        let sent = appends(trial.target());
        let there = trial
            .source()
            .messages()
            .into_iter()
            .find(|m| m.bytes == mail)
            .unwrap();
        trial.source().delete(there.id);
        let at = there.internal_date;
        let moved = gmail_stand_in::Mail::new(&mail).in_mailbox("Arbeit").at(at);
        trial.source().add(moved);
        comes_with(trial.target(), &mail, &["Arbeit", "\\Inbox"]);
        trial.others_go_on("meanwhile");
        assert_eq!(appends(trial.target()) - sent, 2);
        trial.nobody_is_charged();
    });
}
