//! What stays at the source, whatever `after_delivery` says: what the target does not have at that moment, where its owner
//! keeps it.

use gmail_stand_in::{Fault, Mail, On, Options};
use serde_json::json;

use super::{BOTH, UIDPLUS, archive, changes, ids, removed, route};
use crate::testkit::env::{DATE, TestEnv, mail};

/// Why the message with this UID stays, as the ledger has it.
fn why(env: &TestEnv, uid: u32) -> String {
    env.one(&format!(
        "SELECT coalesce(kept_because, '') FROM message WHERE source_uid = {uid}"
    ))
}

/// Delivers what there is and removes nothing yet.
fn deliver(env: &mut TestEnv) {
    let wish = env.key("after_delivery");
    env.set("after_delivery", "keep");
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.set("after_delivery", wish);
}

#[test]
fn what_its_owner_has_put_into_trash_or_deleted_in_gmail() {
    let mut env = route(BOTH, json!("delete"));
    env.mails(4);
    deliver(&mut env);
    let copy = |n: usize| {
        let held = env.held();
        let needle = format!("<{n}@example.org>");
        let copy = held
            .iter()
            .find(|m| String::from_utf8_lossy(&m.bytes).contains(&needle));
        copy.unwrap().id
    };
    let (trashed, spam, deleted) = (copy(0), copy(1), copy(2));
    env.target.trash(trashed);
    env.target.spam(spam);
    env.target.delete(deleted);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(ids(&env.source, "INBOX"), ["0", "1", "2"], "{}", ran.err);
    for uid in 1..=3 {
        assert!(
            why(&env, uid).contains("not in the target now"),
            "{}",
            why(&env, uid)
        );
    }
    assert_eq!(removed(&env), 1);
}

#[test]
fn what_is_flagged_there_unless_that_is_wanted() {
    let mut env = route(BOTH, json!("delete"));
    env.mail("<plain@example.org>", "plain");
    let flagged = mail("<flagged@example.org>", DATE, "flagged");
    env.source.add(Mail::new(flagged).flag("\\Flagged"));
    env.run();
    assert_eq!(ids(&env.source, "INBOX"), ["flagged"]);
    assert!(why(&env, 2).contains("flagged"));
    env.set(
        "after_delivery",
        json!({"delete": true, "flagged_too": true}),
    );
    env.sql()
        .execute("UPDATE message SET kept_until = NULL", [])
        .unwrap();
    env.run();
    assert_eq!(ids(&env.source, "INBOX"), [""; 0]);
}

/// What the target had already is known by its name; nobody has compared bytes.
#[test]
fn what_was_found_by_its_name() {
    let env = route(BOTH, json!("delete"));
    let bytes = env.mail("<there@example.org>", "there");
    env.target.add(Mail::new(&bytes));
    env.mail("<new@example.org>", "new");
    env.run();
    let proof: String = env.one("SELECT proof FROM message WHERE source_uid = 1");
    assert_eq!(proof, "found");
    assert_eq!(ids(&env.source, "INBOX"), ["there"]);
}

#[test]
fn what_goes_into_spam_or_trash() {
    let mut env = route(BOTH, json!("delete"));
    env.set(
        "folders",
        json!(["INBOX", {"source": "Junk", "target": "\\Junk"}]),
    );
    env.mail("<good@example.org>", "good");
    let spam = mail("<spam@example.org>", DATE, "spam");
    env.source.add(Mail::new(spam).in_mailbox("Junk"));
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    let delivered: i64 = env.one("SELECT count(*) FROM message WHERE status = 'delivered'");
    assert_eq!(delivered, 2, "{}", env.dump());
    assert_eq!(ids(&env.source, "INBOX"), [""; 0]);
    assert_eq!(ids(&env.source, "Junk"), ["spam"]);
}

#[test]
fn what_was_not_delivered() {
    let env = route(BOTH, json!("delete"));
    env.mail("<good@example.org>", "good");
    env.source.add(Mail::new("4\r\n"));
    env.run();
    let failed: i64 = env.one("SELECT count(*) FROM message WHERE status = 'failed'");
    assert_eq!((failed, removed(&env)), (1, 1), "{}", env.dump());
    assert_eq!(env.source.mailbox("INBOX").len(), 1);
    let ran = env.command(&[
        "retry-failed",
        "--skip",
        "--config",
        env.config_file().to_str().unwrap(),
    ]);
    assert_eq!(ran.status, 0, "{ran:?}");
    env.run();
    assert_eq!(
        env.source.mailbox("INBOX").len(),
        1,
        "a skipped one is removed"
    );
}

/// It says OK to every message and keeps none.
#[test]
fn what_a_target_says_ok_to_and_does_not_keep() {
    for (labels, appenduid) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut builder = TestEnv::build().source(Options::plain(BOTH));
        if !labels {
            builder = builder.plain_target();
        }
        let mut env = builder.start();
        env.set("after_delivery", json!("delete"));
        env.mails(3);
        // What it keeps for somebody else lies where it says that ours lies.
        let other = mail("<0@example.org>", DATE, "another text");
        env.target.add(Mail::new(&other));
        let (validity, _) = env.target.uids("INBOX");
        let text = if appenduid {
            format!("OK [APPENDUID {validity} 1] (Success)")
        } else {
            "OK (Success)".into()
        };
        let hits = env.target.fault(
            On::each("APPEND"),
            Fault::AnswerAfterLiteral {
                text,
                stored: false,
            },
        );
        env.run();
        env.run();
        assert!(hits.count() > 0);
        let what = format!("labels {labels}, APPENDUID {appenduid}");
        assert_eq!(
            env.source.mailbox("INBOX").len(),
            3,
            "{what}\n{}",
            env.dump()
        );
        let changes = changes(&env);
        let told = changes.iter().any(|line| line.contains("STORE"));
        assert!(!told, "{what}: {changes:?}");
    }
}

/// A source that says OK and does nothing is not believed either, and one that has another message under the UID is left.
#[test]
fn what_the_source_does_not_let_go_and_what_it_has_in_its_place() {
    let env = route(UIDPLUS, json!("delete"));
    env.mails(2);
    let ok = Fault::Answer("OK done".into());
    env.source.fault(On::each("UID EXPUNGE"), ok);
    let ran = env.run();
    assert_eq!(removed(&env), 0, "{}", env.dump());
    assert!(ran.err.contains("and has them still: 2"), "{}", ran.err);
    // Nobody else's EXPUNGE takes them meanwhile.
    for message in env.source.messages() {
        assert!(!message.flags.contains("\\Deleted"));
    }
}

/// It says OK to COPY and copies nothing: what is only in INBOX stays there.
#[test]
fn what_the_source_says_it_copied_and_did_not() {
    let env = route(UIDPLUS, archive());
    env.mails(2);
    let ok = Fault::Answer("OK done".into());
    env.source.fault(On::each("UID COPY"), ok);
    let ran = env.run();
    assert_eq!(
        (removed(&env), ids(&env.source, "INBOX").len()),
        (0, 2),
        "{}",
        ran.err
    );
    assert!(!changes(&env).iter().any(|line| line.contains("STORE")));
}

#[test]
fn what_has_another_size_or_name_under_its_uid() {
    let mut env = route(BOTH, json!("delete"));
    env.mails(3);
    deliver(&mut env);
    let (validity, next) = env.source.uids("INBOX");
    env.source.empty("INBOX");
    env.source.number_from("INBOX", validity, 1);
    env.mail("<0@example.org>", "another text of another size");
    env.mail("<other@example.org>", "text 1");
    env.mail("<2@example.org>", "text 2");
    assert_eq!(env.source.uids("INBOX"), (validity, next));
    let ran = env.run();
    // The one with the name of another one is sent, looked at, and removed like any other.
    assert_eq!(env.held().len(), 4, "{}", env.dump());
    assert_eq!(
        ids(&env.source, "INBOX"),
        ["0"],
        "{}\n{}",
        ran.err,
        env.dump()
    );
    assert!(why(&env, 1).contains("another message"), "{}", why(&env, 1));
}

#[test]
fn what_lies_in_a_folder_that_is_not_copied_any_more() {
    let mut env = route(BOTH, archive());
    env.set("folders", json!(["INBOX", "Work"]));
    let work = mail("<work@example.org>", DATE, "work");
    env.source.add(Mail::new(work).in_mailbox("Work"));
    env.mail("<inbox@example.org>", "inbox");
    deliver(&mut env);
    env.set("folders", json!(["INBOX"]));
    let ran = env.run();
    assert_eq!(ids(&env.source, "Work"), ["work"], "{}", ran.err);
    assert_eq!(ids(&env.source, "Archive"), ["inbox"], "{}", ran.err);
}
