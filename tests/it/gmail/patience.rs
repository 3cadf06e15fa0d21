//! How long a message is tried before it is given up: by its attempts and the time between them, and not by time in
//! which the program did not run.

use gmail_stand_in::{Fault, OUTLOOK_SCOPE, On};
use serde_json::Value;

use super::outlook;
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// Gmail refuses everything for now.
fn refused() -> TestEnv {
    let env = TestEnv::new();
    env.target.fault(
        On::each("APPEND").message_with("poison"),
        Fault::Answer("NO not now".into()),
    );
    env.mail("<0@x>", "poison");
    env
}

fn state(env: &TestEnv) -> String {
    env.one("SELECT status FROM message WHERE message_id = '<0@x>'")
}

/// As if so many seconds had passed since the last attempt.
fn pass(env: &TestEnv, seconds: u32) {
    let sql = format!(
        "UPDATE message SET first_failed_at = strftime('%Y-%m-%dT%H:%M:%SZ', first_failed_at, '-{seconds} seconds'),
                            next_attempt_at = strftime('%Y-%m-%dT%H:%M:%SZ', next_attempt_at, '-{seconds} seconds')"
    );
    env.sql().execute_batch(&sql).unwrap();
}

#[test]
fn days_in_which_nothing_ran_do_not_count_as_patience() {
    let env = refused();
    for days in [3, 30, 2] {
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert_eq!(state(&env), "pending", "{}", env.dump());
        pass(&env, days * 24 * 3600);
    }
}

#[test]
fn it_is_given_up_in_the_end_also_by_a_program_that_runs_now_and_then() {
    let env = refused();
    // `give_up` of these tests is 3 s, and the waits grow from 1 s.
    for attempt in 1..=10 {
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        if state(&env) == "failed" {
            assert!(attempt > 3, "after {attempt} attempts");
            return;
        }
        pass(&env, 3600);
    }
    panic!("{}", env.dump());
}

#[test]
fn how_many_messages_is_said_in_words_that_fit() {
    let env = refused();
    env.mail("<1@x>", "fine");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    for words in [
        "2 messages to copy in INBOX\n",
        "ended with 1 message waiting and 0 failed; `imap-to-gmail status --failed --config /",
        "first look at INBOX: 2 messages; ",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    env.mail("<2@x>", "fine too");
    let ran = env.run();
    assert!(ran.err.contains(" 1 new message in INBOX\n"), "{}", ran.err);
    let env = TestEnv::new();
    env.mails(1);
    let ran = env.run();
    assert!(
        ran.err.contains("first look at INBOX: 1 message; "),
        "{}",
        ran.err
    );
}

#[test]
fn a_moment_in_the_log_has_no_nanoseconds() {
    let ran = refused().run();
    let (_, at) = ran.err.split_once("tried again after ").unwrap();
    let at = at.lines().next().unwrap();
    assert_eq!(at.len(), "2026-11-28 17:20:06 UTC".len(), "{at}");
    assert!(at.ends_with(" UTC") && at.starts_with("20"), "{at}");
}

/// Another process could take the place of a lock that was removed: this one stops before it sends anything more.
#[test]
fn a_lock_that_is_taken_away_ends_the_run() {
    for replace in [false, true] {
        let env = TestEnv::new();
        env.mails(1);
        let mut child = env.spawn_for_good(&[]);
        eventually("it delivers", || env.held().len() == 1);
        let mut lock = env.ledger_file().into_os_string();
        lock.push(".lock");
        std::fs::remove_file(&lock).unwrap();
        if replace {
            std::fs::write(&lock, "").unwrap();
        }
        env.mail("<later@x>", "later");
        let mut status = None;
        eventually("it ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        let mut log = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut log).unwrap();
        assert_eq!(status.unwrap().code(), Some(1), "{log}");
        let words = "the lock of this ledger was taken away or replaced while it was in use";
        assert!(log.contains(words), "{log}");
        assert_eq!(env.held().len(), 1, "nothing more was sent");
        env.run_until_done(1);
        env.assert_complete();
    }
}

#[test]
fn microsoft_is_told_the_scopes_of_the_file_with_a_renewal_and_google_is_not() {
    for scopes in [
        Value::from("offline_access https://outlook.office.com/IMAP.AccessAsUser.All"),
        serde_json::json!([
            "offline_access",
            "https://outlook.office.com/IMAP.AccessAsUser.All"
        ]),
    ] {
        let env = outlook::env_with_scopes(&scopes);
        env.run_until_done(1);
        let requests = env.source.token_requests();
        assert_eq!(
            requests[0].field("scope"),
            Some("offline_access https://outlook.office.com/IMAP.AccessAsUser.All")
        );
    }
    // As its replies have it.
    let env = outlook::env_with_scopes(&OUTLOOK_SCOPE.into());
    env.run_until_done(1);
    let requests = env.source.token_requests();
    let scope = requests[0].field("scope").unwrap();
    assert!(scope.split(' ').any(|s| s == "offline_access"), "{scope}");
    // What Google grants it has granted.
    let mut env = TestEnv::new();
    env.set("target_pass", Value::Null);
    let text = env
        .target
        .token_json("ya29.run-out", std::time::Duration::ZERO);
    let mut token: Value = serde_json::from_str(&text).unwrap();
    token["expiry"] = "2020-01-02T03:04:05Z".into();
    env.write_token(&token);
    env.mails(1);
    env.run_until_done(1);
    assert_eq!(env.target.token_requests()[0].field("scope"), None);
}
