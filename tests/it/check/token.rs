//! The token file, and the clock.

use std::fs;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use gmail_stand_in::TokenTrouble;
use serde_json::{Value, json};

use super::findings::{Checked, check, right};
use crate::testkit::env::TestEnv;

/// What is not tried where there is no token.
const NO_TOKEN: [&str; 8] = [
    "target_token problem",
    "clock skipped",
    "target_sign_in skipped",
    "target_mailbox skipped",
    "target_copies skipped",
    "target_uidplus skipped",
    "target_size_limit skipped",
    "target_quota skipped",
];

fn file(env: &TestEnv) -> std::path::PathBuf {
    env.dir.path().join("token.json")
}

/// The token file, changed.
fn with(changes: Value) -> TestEnv {
    let mut env = right();
    let mut token: Value = serde_json::from_str(&fs::read_to_string(file(&env)).unwrap()).unwrap();
    let map = token.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => map.remove(key),
            value => map.insert(key.clone(), value.clone()),
        };
    }
    env.write_token(&token);
    env
}

#[test]
fn a_file_that_cannot_be_used() {
    for (content, cause) in [
        (
            None,
            "not signed in to Google yet: token.json (`target_token_file`) does not exist in ",
        ),
        (Some("{\"token\": "), "token.json: not JSON at line 1"),
        (Some("[]"), "there is no `token` in it"),
        (Some("{\"refresh_token\": \"x\"}"), "nor what makes one"),
    ] {
        let env = right();
        match content {
            None => fs::remove_file(file(&env)).unwrap(),
            Some(content) => fs::write(file(&env), content).unwrap(),
        }
        let mend = match content {
            None => "An app password is often easier",
            Some(_) => "sign in again",
        };
        check(&env).finds(4, &NO_TOKEN, cause, mend);
    }
}

#[test]
fn a_token_that_has_run_out_is_renewed_and_the_file_left_as_it_is() {
    let env = with(json!({"expiry": "2020-01-02T03:04:05.123456Z", "token": "ya29.run-out"}));
    let checked = check(&env);
    assert_eq!(checked.amiss(), [""; 0], "{checked:#?}");
    assert!(
        checked
            .message("target_token")
            .contains("can be renewed (tried, and not written down)")
    );
    assert!(
        checked
            .message("target_token")
            .contains("ended 2020-01-02 03:04 UTC")
    );
}

#[test]
fn a_file_without_a_refresh_token_does_for_an_hour() {
    let env = with(json!({"refresh_token": null}));
    let amiss = ["target_token warning", "clock skipped"];
    check(&env).finds(0, &amiss, "there is no `refresh_token`", "sign in again");
    let env = with(json!({"client_secret": null}));
    check(&env).finds(0, &amiss, "there is no `client_secret`", "sign in again");
}

#[test]
fn a_refresh_token_that_is_refused() {
    let env = right();
    env.target.token_trouble(TokenTrouble::ExpiredOrRevoked, 9);
    // The access token in the file is good for another hour: the rest is tried with it.
    let cause = "invalid_grant (Token has been expired or revoked.)";
    check(&env).finds(4, &["target_token problem"], cause, "still in \"Testing\"");
}

#[test]
fn a_token_endpoint_that_is_down() {
    let env = with(json!({"token_uri": "http://127.0.0.1:1/token"}));
    let amiss = ["target_token problem", "clock skipped"];
    check(&env).finds(
        1,
        &amiss,
        "the token cannot be renewed now",
        "try again later",
    );
    let env = right();
    env.target.token_trouble(TokenTrouble::ServerError, 9);
    check(&env).finds(1, &["target_token problem"], "HTTP 500", "try again later");
}

/// A renewal that nobody writes down would be the end of such a sign-in.
#[test]
fn a_refresh_token_that_may_be_used_up_is_not_used() {
    let env = with(json!({"scopes": ["https://outlook.office.com/IMAP.AccessAsUser.All"]}));
    let checked = check(&env);
    assert_eq!(checked.amiss(), ["clock skipped"], "{checked:#?}");
    assert!(
        checked
            .message("target_token")
            .contains("it may use up the refresh token")
    );
    let env = with(json!({
        "scopes": ["https://outlook.office.com/IMAP.AccessAsUser.All"],
        "expiry": "2020-01-02T03:04:05Z",
    }));
    let mut amiss = NO_TOKEN;
    amiss[0] = "target_token warning";
    check(&env).finds(
        0,
        &amiss,
        "a renewal was not tried",
        "the next run renews it",
    );
    assert_eq!(env.target.token_requests().len(), 0);
}

#[test]
fn a_refresh_token_that_is_replaced_all_the_same_is_not_lost() {
    let env = right();
    let old: Value = serde_json::from_str(&fs::read_to_string(file(&env)).unwrap()).unwrap();
    env.target.token_trouble(TokenTrouble::Rotate, 1);
    let ran = env.command(&["check", "--config", "config.json", "--json"]);
    let checked = Checked::read(&ran);
    checked.finds(
        0,
        &["target_token warning"],
        "token.json was written anew",
        "nothing need",
    );
    let new: Value = serde_json::from_str(&fs::read_to_string(file(&env)).unwrap()).unwrap();
    assert_ne!(new["refresh_token"], old["refresh_token"]);
    assert_eq!(check(&env).amiss(), [""; 0]);
}

#[test]
fn consent_that_may_end_within_two_days_is_a_warning() {
    for (days, warned) in [(1, false), (4, false), (6, true), (8, false)] {
        let at = Utc::now() - TimeDelta::days(days);
        let env = with(json!({"consented_at": at.format("%Y-%m-%dT%H:%M:%SZ").to_string()}));
        let checked = check(&env);
        if warned {
            let cause = "is still in \"Testing\", this sign-in ends";
            checked.finds(0, &["target_token warning"], cause, "Publish app");
        } else {
            assert_eq!(checked.amiss(), [""; 0], "{days} days: {checked:#?}");
        }
    }
}

#[test]
fn a_clock_that_is_wrong() {
    let env = right();
    env.target.clock().advance(Duration::from_secs(40));
    assert_eq!(check(&env).amiss(), [""; 0]);
    env.target.clock().advance(Duration::from_secs(560));
    let checked = check(&env);
    checked.finds(
        0,
        &["clock warning"],
        "behind the token endpoint's",
        "set it",
    );
    let message = checked.message("clock");
    assert!(
        message.contains(" 599 s ") || message.contains(" 600 s "),
        "{message}"
    );
}
