//! `after_delivery`: what is removed at the source, and in which way; what is not, in `kept`; broken off at every line, in
//! `crash`. In short intervals nothing waits for a day; that it does is in `first_use`.

mod crash;
mod first_use;
mod kept;
mod real;
mod store_away;
mod wish;

use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::{Value, json};

use crate::testkit::env::{DATE, TestEnv, mail};

/// What a source can do about single messages, besides what every source of the tests can.
const NEITHER: &str = "IMAP4rev1 LITERAL+ IDLE SASL-IR AUTH=PLAIN";
const UIDPLUS: &str = "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN";
const MOVE: &str = "IMAP4rev1 LITERAL+ MOVE IDLE SASL-IR AUTH=PLAIN";
const BOTH: &str = "IMAP4rev1 LITERAL+ UIDPLUS MOVE IDLE SASL-IR AUTH=PLAIN";

/// A source that can do this, and what becomes of what was delivered.
fn route(capabilities: &str, after_delivery: Value) -> TestEnv {
    let mut env = TestEnv::build()
        .source(Options::plain(capabilities))
        .start();
    env.set("after_delivery", after_delivery);
    env
}

fn archive() -> Value {
    json!({"move_to": "Archive"})
}

/// Names of the messages in a mailbox of a stand-in, in their order there.
fn ids(server: &Gmail, mailbox: &str) -> Vec<String> {
    if !server.mailboxes().iter().any(|name| name == mailbox) {
        return Vec::new();
    }
    let there = server.mailbox(mailbox).into_iter();
    let bytes = there.map(|(_, id)| server.message(id).unwrap().bytes);
    bytes
        .map(|bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let id = text.split("Message-ID: <").nth(1).unwrap_or("-@");
            id.split('@').next().unwrap().to_string()
        })
        .collect()
}

fn removed(env: &TestEnv) -> i64 {
    env.one("SELECT count(*) FROM message WHERE removed_at IS NOT NULL AND removal_id IS NULL")
}

/// What was said to the source that could change it.
fn changes(env: &TestEnv) -> Vec<String> {
    let said = env.source.transcript();
    let verbs = ["STORE", "EXPUNGE", "COPY", "MOVE", "SELECT", "CREATE"];
    let changes = said.client().into_iter();
    let changes = changes.filter(|line| verbs.iter().any(|verb| line.contains(verb)));
    changes
        .filter_map(|line| Some(line.split_once(' ')?.1.to_string()))
        .collect()
}

#[test]
fn what_was_delivered_is_deleted_and_nothing_else() {
    let env = route(UIDPLUS, json!("delete"));
    env.mails(3);
    // Somebody else has marked this one, and it is not ours to expunge.
    let others = env.source.add(
        Mail::new(mail("<marked@example.org>", DATE, "marked"))
            .in_mailbox("Elsewhere")
            .flag("\\Deleted"),
    );
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(ids(&env.source, "INBOX"), [""; 0], "{}", ran.err);
    assert!(env.source.message(others).is_some());
    assert_eq!((env.held().len(), removed(&env)), (3, 3), "{}", env.dump());
    let changes = changes(&env);
    assert_eq!(
        changes,
        [
            "SELECT \"INBOX\"",
            "UID STORE 1:3 +FLAGS.SILENT (\\Deleted)",
            "UID EXPUNGE 1:3",
            "SELECT \"INBOX\"",
        ]
    );
    assert!(ran.err.contains("deleted at the source"), "{}", ran.err);
    // Nothing of it comes back, and nothing is sent again.
    let again = env.run();
    assert_eq!(again.status, 0, "{}", again.err);
    assert_eq!(env.held().len(), 3);
    let open: i64 = env.one("SELECT count(*) FROM message WHERE status <> 'delivered'");
    assert_eq!(open, 0, "{}", env.dump());
}

#[test]
fn what_was_delivered_is_moved_in_the_way_that_the_source_knows() {
    for (capabilities, verbs) in [
        (MOVE, &["MOVE"][..]),
        (BOTH, &["MOVE"]),
        (UIDPLUS, &["COPY", "STORE", "EXPUNGE"]),
    ] {
        let env = route(capabilities, archive());
        env.mails(3);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(ids(&env.source, "INBOX"), [""; 0], "{}", ran.err);
        assert_eq!(ids(&env.source, "Archive"), ["0", "1", "2"], "{}", ran.err);
        assert_eq!((env.held().len(), removed(&env)), (3, 3), "{}", env.dump());
        let said = changes(&env);
        let said: Vec<&str> = said
            .iter()
            .filter_map(|line| line.strip_prefix("UID ")?.split(' ').next())
            .collect();
        assert_eq!(said, verbs, "{capabilities}");
    }
}

#[test]
fn a_mailbox_below_others_is_made_with_their_names_as_the_source_has_them() {
    let mut env = TestEnv::build()
        .source(Options::plain(&format!("{BOTH} NAMESPACE")).with_names('.', "INBOX."))
        .start();
    env.set("after_delivery", json!({"move_to": "Kept/Übrig"}));
    env.mails(1);
    let ran = env.run();
    let made = env.source.mailboxes();
    assert_eq!(
        ids(&env.source, "Kept/Übrig"),
        ["0"],
        "{made:?}\n{}",
        ran.err
    );
}

#[test]
fn a_source_that_cannot_remove_single_messages_is_left_alone_and_that_is_said() {
    for wish in [json!("delete"), archive()] {
        let env = route(NEITHER, wish);
        env.mails(2);
        let ran = env.run();
        // Mail is delivered all the same.
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!((env.held().len(), ids(&env.source, "INBOX").len()), (2, 2));
        assert_eq!(changes(&env), [""; 0]);
        assert!(ran.err.contains("offers no UIDPLUS"), "{}", ran.err);
        let status = env.status();
        let trouble = status["trouble"]["message"].as_str().unwrap();
        assert!(trouble.contains("offers no UIDPLUS"), "{status}");
    }
}

#[test]
fn a_source_that_refuses_holds_up_no_mail_and_is_told_of() {
    use gmail_stand_in::{Fault, On};
    let env = route(UIDPLUS, json!("delete"));
    env.mails(2);
    let no = Fault::Answer("NO [NOPERM] not yours".into());
    env.source.fault(On::each("UID STORE"), no);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!((env.held().len(), removed(&env)), (2, 0));
    let status = env.status();
    let trouble = status["trouble"]["message"].as_str().unwrap();
    assert!(trouble.contains("refuses to remove messages"), "{status}");
    env.source.clear_faults();
    env.sql()
        .execute("UPDATE message SET kept_until = NULL", [])
        .unwrap();
    // What was refused is looked for first, and that takes as long as a server may do it late.
    crate::testkit::eventually("they are gone", || {
        env.run();
        (removed(&env), ids(&env.source, "INBOX").len()) == (2, 0)
    });
    assert!(env.status()["trouble"].is_null());
}

#[test]
fn a_running_daemon_removes_what_it_delivers() {
    let env = route(BOTH, json!("delete"));
    let mut child = env.spawn_for_good(&[]);
    env.mails(1);
    crate::testkit::eventually("the first one is gone", || {
        ids(&env.source, "INBOX").is_empty() && env.held().len() == 1
    });
    env.mail("<later@example.org>", "later");
    crate::testkit::eventually("the later one is gone", || {
        ids(&env.source, "INBOX").is_empty() && env.held().len() == 2
    });
    crate::testkit::eventually("it is on record", || removed(&env) == 2);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn it_is_done_so_many_days_after_the_delivery() {
    let mut env = route(BOTH, json!("delete"));
    env.set("after_days", 3);
    env.mails(2);
    env.run();
    assert_eq!((env.held().len(), ids(&env.source, "INBOX").len()), (2, 2));
    env.sql()
        .execute(
            "UPDATE message SET delivered_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-73 hours') WHERE source_uid = 1",
            [],
        )
        .unwrap();
    env.run();
    assert_eq!(ids(&env.source, "INBOX"), ["1"]);
}

/// Equal bytes are one message in Gmail, which stands for each of them; of one Message-ID there may be several.
#[test]
fn equal_messages_and_namesakes_go_each_by_itself() {
    let env = route(BOTH, json!("delete"));
    env.mail("<same@example.org>", "the same");
    env.mail("<same@example.org>", "the same");
    env.source
        .add(Mail::new("Subject: no name\r\n\r\nnobody\r\n"));
    env.run();
    let ran = env.run();
    assert_eq!(ids(&env.source, "INBOX"), [""; 0], "{}", ran.err);
    assert_eq!((env.held().len(), removed(&env)), (2, 3), "{}", env.dump());
}

/// A source whose mailbox shrinks, is emptied, and gives its messages new UIDs afterwards.
#[test]
fn a_mailbox_that_shrinks_is_the_same_mailbox() {
    let env = route(BOTH, json!("delete"));
    env.mails(5);
    env.run();
    env.run();
    env.mail("<next@example.org>", "next");
    env.run();
    let incarnations: i64 = env.one("SELECT count(*) FROM mailbox");
    assert_eq!((incarnations, env.held().len()), (1, 6), "{}", env.dump());
    let (validity, _) = env.source.uids("INBOX");
    // Restored from a backup, all of it: nothing is sent again, and what is there again is removed again.
    env.mails(5);
    env.source.renumber("INBOX", validity + 1);
    env.run();
    let ran = env.run();
    assert_eq!(env.held().len(), 6, "{}", env.dump());
    assert_eq!(
        ids(&env.source, "INBOX"),
        [""; 0],
        "{}\n{}",
        ran.err,
        env.dump()
    );
}
