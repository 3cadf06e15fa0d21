//! What its owner did in Gmail with a delivered message stays done, whatever happens at either end.

use gmail_stand_in::{Fault, Mail, On, Use};

use crate::testkit::env::{DATE, TestEnv, mail};

#[test]
fn what_was_deleted_archived_or_moved_does_not_come_back() {
    let env = TestEnv::new();
    for id in ["delete", "archive", "trash", "spam"] {
        for name in [format!("<{id}@x>"), String::new()] {
            env.mail(&name, &format!("to be done: {id}"));
        }
    }
    // Known by name alone, never sent by us.
    let found = env.mail("<found@x>", "delete: put there by hand");
    env.target.add(Mail::new(&found));
    // And one that failed and was tried again.
    env.mail("<failed@x>", "delete: refused at first");
    let bad = Fault::Answer("BAD Invalid Arguments: Unable to parse message".into());
    env.target
        .fault(On::nth(1, "APPEND").message_with("refused at first"), bad);
    assert_eq!(env.run().status, 3);
    assert_eq!(env.command(&["retry-failed"]).status, 0);
    env.run_until_done(1);
    assert_eq!(env.held().len(), 10);
    let holds = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
    for message in env.held() {
        if holds(&message.bytes, "archive") {
            env.target.set_labels(message.id, &[]);
        } else if holds(&message.bytes, "trash") {
            env.target.trash(message.id);
        } else if holds(&message.bytes, "spam") {
            env.target.spam(message.id);
        } else {
            env.target.delete(message.id);
        }
    }
    let after = env.target.messages();
    assert_eq!(after.len(), 6);
    let appends = env.target.transcript().commands("APPEND");
    let unchanged = |when: &str| {
        let ran = env.run();
        assert_eq!(ran.status, 0, "{when}: {}", ran.err);
        assert_eq!(env.target.messages(), after, "{when}: {}", ran.err);
        assert_eq!(
            env.target.transcript().commands("APPEND"),
            appends,
            "{when}"
        );
    };
    unchanged("after a restart");
    env.source.renumber("INBOX", 77);
    unchanged("in a new incarnation of the source");
    env.target.renumber(&env.target.name_of(Use::All), 99);
    env.target.renumber(&env.target.name_of(Use::Trash), 98);
    env.target.renumber("INBOX", 97);
    unchanged("with the index built anew");
    env.command(&["retry-failed"]);
    unchanged("after retry-failed");
    env.source.renumber("INBOX", 12);
    env.target.renumber(&env.target.name_of(Use::All), 199);
    unchanged("with both at once");
    // The trash is emptied.
    for message in env.target.messages() {
        env.target.delete(message.id);
    }
    env.source.renumber("INBOX", 13);
    assert_eq!(env.run().status, 0);
    assert_eq!(env.target.messages(), []);
}

#[test]
fn nor_when_it_was_deleted_before_it_was_looked_at() {
    let mut env = TestEnv::new();
    // One batch, which is sent whole before it is looked at.
    env.set("connections", 1);
    env.mails(4);
    let verification =
        || On::each("UID FETCH").line_with("(UID X-GM-MSGID RFC822.SIZE INTERNALDATE");
    env.target.fault(verification(), Fault::CutBefore);
    assert_eq!(env.run().status, 1);
    let sent = env.held().len() as i64;
    assert!(sent >= 2, "{}", env.dump());
    for message in env.held() {
        env.target.delete(message.id);
    }
    env.target.clear_faults();
    env.source.renumber("INBOX", 7);
    assert_eq!(env.run().status, 0);
    assert_eq!(env.held().len() as i64, 4 - sent, "{}", env.dump());
}

#[test]
fn a_message_that_failed_and_was_given_up_stays_so_in_a_new_incarnation() {
    let env = TestEnv::new();
    let bad = Fault::Answer("BAD Invalid Arguments: Unable to parse message".into());
    env.target.fault(On::nth(1, "APPEND").times(2), bad);
    env.mail("<skipped@x>", "given up for good");
    env.source.add(Mail::new(mail("", DATE, "without a name")));
    assert_eq!(env.run().status, 3);
    assert_eq!(env.command(&["retry-failed", "--skip"]).status, 0);
    env.source.renumber("INBOX", 7);
    assert_eq!(env.run().status, 0);
    assert_eq!(env.status()["skipped"], 2, "{}", env.dump());
    assert_eq!(env.target.messages(), []);
}
