//! A run was broken off while it removed messages, and afterwards the source shows another picture than before: what it
//! shows then is believed only as far as absence ever is.

use gmail_stand_in::{Fault, Mail, On};
use serde_json::json;

use super::{UIDPLUS, ids, removed, route};
use crate::testkit::env::{DATE, TestEnv, mail};

/// Three messages are marked as deleted, and the source was cut off before they were expunged.
fn broken_off() -> TestEnv {
    let env = route(UIDPLUS, json!("delete"));
    env.mails(3);
    env.source
        .fault(On::nth(1, "UID EXPUNGE"), Fault::CutBefore);
    let _ = env.run();
    assert_eq!((marked(&env), open(&env)), (3, 1), "{}", env.dump());
    env
}

fn marked(env: &TestEnv) -> usize {
    let all = env.source.messages();
    all.iter().filter(|m| m.flags.contains("\\Deleted")).count()
}

fn open(env: &TestEnv) -> i64 {
    env.one("SELECT count(*) FROM removal")
}

/// From now on it is so long ago that it was begun.
fn begun(env: &TestEnv, ago: &str) {
    let sql =
        format!("UPDATE removal SET begun_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '{ago}')");
    assert_eq!(env.sql().execute(&sql, []).unwrap(), 1);
}

/// From now on its mailbox opens with this instead of what it holds.
fn shows(env: &TestEnv, exists: u32, uid_next: u32) {
    let validity: u32 = env.one("SELECT uid_validity FROM mailbox");
    let lines = format!(
        "* {exists} EXISTS\r\n* OK [UIDVALIDITY {validity}] x\r\n* OK [UIDNEXT {uid_next}] x\r\nOK [READ-WRITE] done"
    );
    env.source.fault(On::each("SELECT"), Fault::Answer(lines));
}

#[test]
fn an_empty_mailbox_is_believed_only_after_an_hour() {
    let env = broken_off();
    begun(&env, "+1 hour");
    shows(&env, 0, 4);
    for _ in 0..2 {
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!((open(&env), removed(&env)), (1, 0), "{}", env.dump());
    }
    // The disk is there again: nobody else's EXPUNGE takes what was marked, and it is removed in the end.
    env.source.clear_faults();
    begun(&env, "-1 minute");
    env.source
        .fault(On::each("UID EXPUNGE"), Fault::Answer("NO not now".into()));
    let _ = env.run();
    assert_eq!((marked(&env), removed(&env)), (0, 0), "{}", env.dump());
    env.source.clear_faults();
    env.sql()
        .execute_batch("UPDATE message SET kept_until = NULL")
        .unwrap();
    let ran = env.run();
    assert_eq!(ids(&env.source, "INBOX"), [""; 0], "{}", ran.err);
    assert_eq!(removed(&env), 3, "{}", env.dump());
}

#[test]
fn one_that_stays_empty_is_in_the_end() {
    let env = broken_off();
    shows(&env, 0, 4);
    begun(&env, "-2 hours");
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!((open(&env), removed(&env)), (0, 3), "{}", env.dump());
}

#[test]
fn one_that_will_give_the_same_uids_again_is_another_one() {
    let env = broken_off();
    shows(&env, 0, 1);
    begun(&env, "-2 hours");
    let _ = env.run();
    assert_eq!((open(&env), removed(&env)), (1, 0), "{}", env.dump());
    begun(&env, "-2 days");
    let _ = env.run();
    assert_eq!((open(&env), removed(&env)), (0, 0), "{}", env.dump());
}

/// Which of the lists of a run is the one that tells what came of a removal shows in what comes of it.
#[test]
fn what_a_list_leaves_out_is_not_taken_for_removed() {
    let short = "* 1 FETCH (UID 1)\r\nOK done";
    let spared = (1..5).any(|nth| {
        let env = broken_off();
        begun(&env, "-1 minute");
        env.source
            .fault(On::nth(nth, "FETCH"), Fault::Answer(short.into()));
        let _ = env.run();
        // What is listed is spared, and the others are looked for again.
        if (open(&env), removed(&env), marked(&env)) != (1, 0, 2) {
            return false;
        }
        env.source.clear_faults();
        let _ = env.run();
        assert_eq!((open(&env), marked(&env)), (0, 0), "{}", env.dump());
        true
    });
    assert!(spared);
}

/// A store that was restored to an earlier state gives a UID once more, to another message. More messages than are compared
/// at each look have kept theirs.
#[test]
fn what_bears_the_uid_of_a_removed_message_is_not_taken_for_it() {
    let env = route(UIDPLUS, json!("delete"));
    let add = |id: &str, uid: u32| {
        let mail = Mail::new(mail(&format!("<{id}@example.org>"), DATE, id)).uid(uid);
        env.source.add(if uid > 3 {
            mail.flag("\\Flagged")
        } else {
            mail
        });
    };
    let all = |first: &[(&str, u32)]| {
        first.iter().for_each(|(id, uid)| add(id, *uid));
        (4..34).for_each(|uid| add(&format!("kept{uid}"), uid));
    };
    all(&[("a", 1), ("b", 2), ("c", 3)]);
    assert_eq!(env.run().status, 0);
    assert_eq!((env.held().len(), removed(&env)), (33, 3), "{}", env.dump());
    let long_ago =
        "UPDATE message SET removed_at = '2024-01-01T00:00:00Z' WHERE removed_at IS NOT NULL";
    env.sql().execute_batch(long_ago).unwrap();
    let (validity, _) = env.source.uids("INBOX");
    env.source.empty("INBOX");
    env.source.number_from("INBOX", validity, 1);
    all(&[("a", 1), ("another", 2)]);
    env.run();
    env.run();
    let ran = env.run();
    let there = env.held();
    let arrived = there.iter().any(|m| {
        let text = String::from_utf8_lossy(&m.bytes);
        text.contains("<another@example.org>")
    });
    assert!(arrived, "{}\n{}", ran.err, env.dump());
    assert_eq!(there.len(), 34, "{}", env.dump());
}
