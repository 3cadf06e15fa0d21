//! A real server as the source: Dovecot, with MOVE and without, under a run and under one that is killed. The other servers are
//! tried in `servers::removing`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::testkit::dovecot::Dovecot;
use crate::testkit::dovecot_env::{ALICE, BOB, DovecotEnv};
use crate::testkit::env::{DATE, TestEnv, mail};

const WITHOUT_MOVE: &str = "IMAP4rev1 SASL-IR LITERAL+ ENABLE IDLE NAMESPACE UIDPLUS UNSELECT";
const T0: i64 = 1_700_000_000;
/// In which all must be moved.
const PATIENCE: Duration = Duration::from_secs(30);

/// Six messages, one of them flagged. The target is no Gmail, so that copies are known by their places.
fn env(capability: Option<&str>, wish: Value) -> Option<DovecotEnv> {
    let mut source = Dovecot::build();
    if let Some(capability) = capability {
        source = source.capability(capability);
    }
    let mut env = TestEnv::dovecot_with(source, Dovecot::build().xoauth2(true))?;
    env.set("after_delivery", wish);
    for n in 0..6 {
        let bytes = mail(&format!("<{n}@example.org>"), DATE, &format!("text {n}"));
        let flags = if n == 3 { "F" } else { "" };
        env.source.plant(ALICE, &bytes, flags, T0 + 60 * n);
    }
    Some(env)
}

fn subjects(env: &DovecotEnv, mailbox: &str) -> usize {
    env.source.mailbox(ALICE, mailbox).len()
}

#[test]
fn what_was_delivered_is_deleted_and_what_is_flagged_stays() {
    let Some(env) = env(None, json!("delete")) else {
        return;
    };
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    let left = env.source.mailbox(ALICE, "INBOX");
    assert_eq!(left.len(), 1, "{}", ran.err);
    assert_eq!(left[0].flags, ["\\Flagged"]);
    assert_eq!(env.target.mailbox(BOB, "INBOX").len(), 6);
    // What comes afterwards is new mail of the same mailbox.
    let later = mail("<later@example.org>", DATE, "later");
    env.source.plant(ALICE, &later, "", T0);
    assert_eq!(env.run().status, 0);
    assert_eq!(env.target.mailbox(BOB, "INBOX").len(), 7);
    assert_eq!(env.one::<i64>("SELECT count(*) FROM mailbox"), 1);
    assert_eq!(subjects(&env, "INBOX"), 1);
}

#[test]
fn what_was_delivered_is_moved_with_move_and_without() {
    for capability in [None, Some(WITHOUT_MOVE)] {
        let Some(env) = env(capability, json!({"move_to": "Alt/Übrig"})) else {
            return;
        };
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(subjects(&env, "INBOX"), 1, "{}", ran.err);
        let moved = env.source.mailbox(ALICE, "Alt/&ANw-brig");
        assert_eq!(moved.len(), 5, "{}", ran.err);
        assert_eq!(env.target.mailbox(BOB, "INBOX").len(), 6);
        let copied: i64 = env.one("SELECT count(*) FROM message WHERE copied_to IS NOT NULL");
        assert_eq!(copied, if capability.is_some() { 5 } else { 0 });
    }
}

/// Killed again and again, at moments that nobody chose.
#[test]
fn killed_while_it_moves_nothing_is_lost_or_twice() {
    let Some(env) = env(Some(WITHOUT_MOVE), json!({"move_to": "Copied"})) else {
        return;
    };
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..6 {
        let mut child = env.spawn(&[]);
        std::thread::sleep(Duration::from_millis(random.u64(50..500)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // What was there already when nobody had seen that it got there is known by its name alone, and stays; so does what is
    // flagged.
    let stays = "(proof IS 'found' OR flags LIKE '%Flagged%')";
    let left = &format!("SELECT count(*) FROM message WHERE removed_at IS NULL AND NOT {stays}");
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        if env.one::<i64>(left) == 0 {
            break;
        }
    }
    assert_eq!(env.one::<i64>(left), 0, "{}", env.dump());
    let stay: usize = env.one(&format!("SELECT count(*) FROM message WHERE {stays}"));
    assert_eq!(env.target.mailbox(BOB, "INBOX").len(), 6);
    let there = (subjects(&env, "INBOX"), subjects(&env, "Copied"));
    assert_eq!(there, (stay, 6 - stay), "{}", env.dump());
}
