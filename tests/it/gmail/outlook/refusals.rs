//! What Microsoft and Exchange refuse, in their own words: what a person is told, and when it is tried again.

use std::time::{Duration, Instant};

use chrono::Utc;
use gmail_stand_in::{Fault, Gmail, OUTLOOK_SCOPE, On, Refusal, TokenTrouble};
use imap_to_gmail::oauth::Tokens;
use serde_json::{Value, json};

use super::{HOUR, LIMIT, Running, arrives, expired, file, prepared, read, write};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

fn microsoft(error: &str, description: &str) -> TokenTrouble {
    let body = json!({"error": error, "error_description": description, "error_codes": [0],
        "timestamp": "2026-11-23 08:00:00Z", "trace_id": "7d-trace", "correlation_id": "9b"});
    TokenTrouble::Status(400, body.to_string())
}

#[test]
fn microsofts_refusals_end_the_run_with_what_to_do() {
    let tail = " Trace ID: 7d-trace Correlation ID: 9b Timestamp: 2026-11-23 08:00:00Z";
    for (error, description, hint) in [
        (
            "invalid_grant",
            "AADSTS700082: The refresh token has expired due to inactivity.",
            "90 days without use",
        ),
        (
            "invalid_grant",
            "AADSTS70000: The user could not be authenticated or the grant is expired.",
            "sign in again",
        ),
        (
            "interaction_required",
            "AADSTS50076: You must use multi-factor authentication.",
            "sign in again",
        ),
        (
            "invalid_client",
            "AADSTS7000218: The request body must contain: 'client_assertion' or 'client_secret'.",
            "Allow public client flows",
        ),
        (
            "unauthorized_client",
            "AADSTS700016: Application was not found in the directory.",
            "app registration",
        ),
    ] {
        let env = prepared();
        let words = format!("{description}{tail}");
        env.source.token_trouble(microsoft(error, &words), 99);
        let ran = env.run();
        assert_eq!(ran.status, 4, "{}", ran.err);
        let want = format!(
            "the token cannot be renewed; the server said: {error} ({description})\n\nhint: "
        );
        let (_, after) = ran.err.split_once(&want).expect(&ran.err);
        assert!(after.contains(hint), "{}", ran.err);
        assert!(!after.contains("Google"), "{}", ran.err);
        env.source.clear_faults();
        env.run_until_done(1);
        env.assert_complete();
    }
}

#[test]
fn a_sign_in_that_is_taken_back_is_mended_by_a_new_file() {
    let mut env = prepared();
    let running = Running(env.spawn_for_good(&[]));
    arrives(&env, 3);
    let dead = read(&file(&env));
    for key in ["token", "refresh_token"] {
        env.source.revoke(dead[key].as_str().unwrap());
    }
    env.source.cut_connections();
    eventually("a person is asked for", || {
        env.status()["trouble"]["kind"] == "needs_user"
    });
    env.mail("<meanwhile@x>", "text");
    let mut token = expired(&env.source);
    token["refresh_token"] = env.source.grant().into();
    write(&mut env, &token);
    arrives(&env, 4);
    eventually("all is well again", || env.status()["trouble"].is_null());
    drop(running);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_token_of_another_account_is_a_persons_affair_and_not_renewed_over_and_over() {
    let other = || TokenTrouble::OtherAccount("other@outlook.com".into());
    let env = prepared();
    env.source.token_trouble(other(), 999);
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    for words in [
        "AUTHENTICATE failed",
        "hint: sign in again, with the account",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    let _running = Running(env.spawn_for_good(&[]));
    assert_slow(&env.source);
}

#[test]
fn nor_is_it_at_the_target() {
    let mut env = prepared();
    env.set("target_pass", Value::Null);
    let text = env.target.token_json("ya29.x", HOUR);
    env.write_token(&serde_json::from_str(&text).unwrap());
    let other = TokenTrouble::OtherAccount("other@gmail.com".into());
    env.target.token_trouble(other, 999);
    let _running = Running(env.spawn_for_good(&[]));
    assert_slow(&env.target);
}

/// Our own renewals must not look like a person's new file: attempts are two seconds apart here.
fn assert_slow(server: &Gmail) {
    let requests = || server.token_requests().len();
    let begun = requests();
    eventually("it is tried", || requests() > begun);
    let (since, from) = (Instant::now(), requests());
    eventually("it is tried again", || requests() >= from + 2);
    let took = since.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_scope_that_was_not_granted_is_said_and_the_new_refresh_token_kept() {
    let env = prepared();
    env.source
        .token_trouble(TokenTrouble::Scope("openid".into()), 1);
    let before = read(&file(&env));
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    let said = format!("the scope {OUTLOOK_SCOPE} was not granted");
    assert!(ran.err.contains(&said), "{}", ran.err);
    let after = read(&file(&env));
    assert_ne!(after["refresh_token"], before["refresh_token"]);
    assert_eq!(after["token"], before["token"]);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_mailbox_that_is_not_connected_is_no_success_and_passes() {
    const WORDS: &str = "BAD User is authenticated but not connected.";
    for command in ["AUTHENTICATE", "EXAMINE", "UID FETCH"] {
        let env = prepared();
        env.source
            .fault(On::each(command), Fault::Answer(WORDS.into()));
        let ran = env.run();
        assert_eq!(ran.status, 4, "{command}: {}", ran.err);
        for words in [
            "does not open the mailbox; the server said: User is authenticated but not connected\n",
            "hint: it may pass by itself",
        ] {
            assert!(ran.err.contains(words), "{command}: {}", ran.err);
        }
        assert_eq!(env.source.token_requests().len(), 1, "{command}");
        assert!(env.held().is_empty());
        env.source.clear_faults();
        env.run_until_done(1);
        env.assert_complete();
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0);
    }
}

#[test]
fn a_password_for_microsoft_is_answered_with_what_it_wants() {
    let env = TestEnv::new();
    let words = "NO Basic authentication is disabled.";
    env.source.refuse_login(Refusal::Other(words.into()), 99);
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    let (error, hint) = ran.err.split_once("\n\nhint: ").unwrap();
    assert!(error.ends_with("(`source_pass`); the server said: Basic authentication is disabled"));
    assert!(hint.contains("put `\"source_token_file\": "), "{hint}");
}

#[test]
fn a_stated_delay_is_kept_at_either_side() {
    let throttle = "BAD Request is throttled. Suggested Backoff Time: 2500 milliseconds";
    for (source, command) in [(true, "EXAMINE"), (false, "APPEND")] {
        let env = prepared();
        let server = if source { &env.source } else { &env.target };
        // Of messages, those behind it are on their way too.
        let throttled = if source {
            On::nth(1, command)
        } else {
            On::each(command)
        };
        let hits = server.fault(throttled, Fault::Answer(throttle.into()));
        let _running = Running(env.spawn_for_good(&[]));
        eventually("it is throttled", || hits.count() >= 1);
        let since = Instant::now();
        // What another route makes of the file that they share is no reason to come back sooner.
        let tokens = Tokens::new(&file(&env), LIMIT);
        let access = tokens.access(Utc::now()).unwrap();
        tokens.instead_of(&access, Utc::now()).unwrap();
        eventually("it is said", || {
            env.status_soon()["trouble"]["kind"] == "throttled"
        });
        server.clear_faults();
        arrives(&env, 1);
        let took = since.elapsed();
        assert!(took > Duration::from_millis(2300), "{command}: {took:?}");
        arrives(&env, 3);
    }
}

#[test]
fn a_throttled_look_for_new_mail_is_not_repeated_at_once() {
    let env = prepared();
    let _running = Running(env.spawn_for_good(&[]));
    arrives(&env, 3);
    let throttle = "BAD Request is throttled. Suggested Backoff Time: 2500 milliseconds";
    let hits = env
        .source
        .fault(On::nth(1, "UID FETCH"), Fault::Answer(throttle.into()));
    env.mail("<new@x>", "text");
    eventually("it is throttled", || hits.count() == 1);
    let since = Instant::now();
    arrives(&env, 4);
    let took = since.elapsed();
    assert!(took > Duration::from_millis(2300), "{took:?}");
}

#[test]
fn a_throttle_that_asks_for_no_delay_gets_one() {
    let env = prepared();
    let throttle = "BAD Request is throttled. Suggested Backoff Time: 0 milliseconds";
    let hits = env
        .source
        .fault(On::each("EXAMINE"), Fault::Answer(throttle.into()));
    let _running = Running(env.spawn_for_good(&[]));
    eventually("it is throttled", || hits.count() >= 1);
    let since = Instant::now();
    eventually("again and again", || hits.count() >= 13);
    let took = since.elapsed();
    assert!(took > Duration::from_millis(600), "{took:?}");
}
