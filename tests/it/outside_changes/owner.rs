//! What its owner did in Gmail with a delivered message stays done, whatever happens at either end.

use gmail_stand_in::{Fault, Mail, On, Use};

use crate::testkit::env::{DATE, TestEnv, mail};

#[test]
fn what_was_deleted_archived_or_moved_does_not_come_back() {
    let stage = TestEnv::new();
    for id in ["delete", "archive", "trash", "spam"] {
        for name in [format!("<{id}@x>"), String::new()] {
            stage.mail(&name, &format!("to be done: {id}"));
        }
    }
    // Known by name alone, never sent by us.
    let found = stage.mail("<found@x>", "delete: put there by hand");
    stage.target.add(Mail::new(&found));
    // And one that failed and was tried again.
    stage.mail("<failed@x>", "delete: refused at first");
    let bad = Fault::Answer("BAD Invalid Arguments: Unable to parse message".into());
    stage
        .target
        .fault(On::nth(1, "APPEND").message_with("refused at first"), bad);
    assert_eq!(stage.run().status, 3);
    assert_eq!(stage.command(&["retry-failed"]).status, 0);
    stage.run_until_done(1);
    assert_eq!(stage.held().len(), 10);
    let holds = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
    for message in stage.held() {
        if holds(&message.bytes, "archive") {
            stage.target.set_labels(message.id, &[]);
        } else if holds(&message.bytes, "trash") {
            stage.target.trash(message.id);
        } else if holds(&message.bytes, "spam") {
            stage.target.spam(message.id);
        } else {
            stage.target.delete(message.id);
        }
    }
    let after = stage.target.messages();
    assert_eq!(after.len(), 6);
    let appends = stage.target.transcript().commands("APPEND");
    let unchanged = |when: &str| {
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{when}: {}", ran.err);
        assert_eq!(stage.target.messages(), after, "{when}: {}", ran.err);
        assert_eq!(
            stage.target.transcript().commands("APPEND"),
            appends,
            "{when}"
        );
    };
    unchanged("after a restart");
    stage.source.renumber("INBOX", 77);
    unchanged("in a new incarnation of the source");
    stage.target.renumber(&stage.target.name_of(Use::All), 99);
    stage.target.renumber(&stage.target.name_of(Use::Trash), 98);
    stage.target.renumber("INBOX", 97);
    unchanged("with the index built anew");
    stage.command(&["retry-failed"]);
    unchanged("after retry-failed");
    stage.source.renumber("INBOX", 12);
    stage.target.renumber(&stage.target.name_of(Use::All), 199);
    unchanged("with both at once");
    // The trash is emptied.
    for message in stage.target.messages() {
        stage.target.delete(message.id);
    }
    stage.source.renumber("INBOX", 13);
    assert_eq!(stage.run().status, 0);
    assert_eq!(stage.target.messages(), []);
}

#[test]
fn nor_when_it_was_deleted_before_it_was_looked_at() {
    let mut stage = TestEnv::new();
    // One batch, which is sent whole before it is looked at.
    stage.set("connections", 1);
    stage.mails(4);
    let verification =
        || On::each("UID FETCH").line_with("(UID X-GM-MSGID RFC822.SIZE INTERNALDATE");
    stage.target.fault(verification(), Fault::CutBefore);
    assert_eq!(stage.run().status, 1);
    let sent = stage.held().len() as i64;
    assert!(sent >= 2, "{}", stage.dump());
    for message in stage.held() {
        stage.target.delete(message.id);
    }
    stage.target.clear_faults();
    stage.source.renumber("INBOX", 7);
    assert_eq!(stage.run().status, 0);
    assert_eq!(stage.held().len() as i64, 4 - sent, "{}", stage.dump());
}

#[test]
fn a_message_that_failed_and_was_given_up_stays_so_in_a_new_incarnation() {
    let stage = TestEnv::new();
    let bad = Fault::Answer("BAD Invalid Arguments: Unable to parse message".into());
    stage.target.fault(On::nth(1, "APPEND").times(2), bad);
    stage.mail("<skipped@x>", "given up for good");
    stage
        .source
        .add(Mail::new(mail("", DATE, "without a name")));
    assert_eq!(stage.run().status, 3);
    assert_eq!(stage.command(&["retry-failed", "--skip"]).status, 0);
    stage.source.renumber("INBOX", 7);
    assert_eq!(stage.run().status, 0);
    assert_eq!(stage.status()["skipped"], 2, "{}", stage.dump());
    assert_eq!(stage.target.messages(), []);
}
