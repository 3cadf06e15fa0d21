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

fn file(stage: &TestEnv) -> std::path::PathBuf {
    stage.dir.path().join("token.json")
}

/// The token file, changed.
fn with(changes: Value) -> TestEnv {
    let mut stage = right();
    let mut token: Value =
        serde_json::from_str(&fs::read_to_string(file(&stage)).unwrap()).unwrap();
    let map = token.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => map.remove(key),
            value => map.insert(key.clone(), value.clone()),
        };
    }
    stage.write_token(&token);
    stage
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
        let stage = right();
        match content {
            None => fs::remove_file(file(&stage)).unwrap(),
            Some(content) => fs::write(file(&stage), content).unwrap(),
        }
        let mend = match content {
            None => "An app password is often easier",
            Some(_) => "sign in again",
        };
        check(&stage).finds(4, &NO_TOKEN, cause, mend);
    }
}

#[test]
fn a_token_that_has_run_out_is_renewed_and_the_file_left_as_it_is() {
    let stage = with(json!({"expiry": "2020-01-02T03:04:05.123456Z", "token": "ya29.run-out"}));
    let checked = check(&stage);
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
    let stage = with(json!({"refresh_token": null}));
    let amiss = ["target_token warning", "clock skipped"];
    check(&stage).finds(0, &amiss, "there is no `refresh_token`", "sign in again");
    let stage = with(json!({"client_secret": null}));
    check(&stage).finds(0, &amiss, "there is no `client_secret`", "sign in again");
}

#[test]
fn a_refresh_token_that_is_refused() {
    let stage = right();
    stage
        .target
        .token_trouble(TokenTrouble::ExpiredOrRevoked, 9);
    // The access token in the file is good for another hour: the rest is tried with it.
    let cause = "invalid_grant (Token has been expired or revoked.)";
    check(&stage).finds(4, &["target_token problem"], cause, "still in \"Testing\"");
}

#[test]
fn a_token_endpoint_that_is_down() {
    let stage = with(json!({"token_uri": "http://127.0.0.1:1/token"}));
    let amiss = ["target_token problem", "clock skipped"];
    check(&stage).finds(
        1,
        &amiss,
        "the token cannot be renewed now",
        "try again later",
    );
    let stage = right();
    stage.target.token_trouble(TokenTrouble::ServerError, 9);
    check(&stage).finds(1, &["target_token problem"], "HTTP 500", "try again later");
}

/// A renewal that nobody writes down would be the end of such a sign-in.
#[test]
fn a_refresh_token_that_may_be_used_up_is_not_used() {
    let stage = with(json!({"scopes": ["https://outlook.office.com/IMAP.AccessAsUser.All"]}));
    let checked = check(&stage);
    assert_eq!(checked.amiss(), ["clock skipped"], "{checked:#?}");
    assert!(
        checked
            .message("target_token")
            .contains("it may use up the refresh token")
    );
    let stage = with(json!({
        "scopes": ["https://outlook.office.com/IMAP.AccessAsUser.All"],
        "expiry": "2020-01-02T03:04:05Z",
    }));
    let mut amiss = NO_TOKEN;
    amiss[0] = "target_token warning";
    check(&stage).finds(
        0,
        &amiss,
        "a renewal was not tried",
        "the next run renews it",
    );
    assert_eq!(stage.target.token_requests().len(), 0);
}

#[test]
fn a_refresh_token_that_is_replaced_all_the_same_is_not_lost() {
    let stage = right();
    let old: Value = serde_json::from_str(&fs::read_to_string(file(&stage)).unwrap()).unwrap();
    stage.target.token_trouble(TokenTrouble::Rotate, 1);
    let ran = stage.command(&["check", "--config", "config.json", "--json"]);
    let checked = Checked::read(&ran);
    checked.finds(
        0,
        &["target_token warning"],
        "token.json was written anew",
        "nothing need",
    );
    let new: Value = serde_json::from_str(&fs::read_to_string(file(&stage)).unwrap()).unwrap();
    assert_ne!(new["refresh_token"], old["refresh_token"]);
    assert_eq!(check(&stage).amiss(), [""; 0]);
}

#[test]
fn consent_that_may_end_within_two_days_is_a_warning() {
    for (days, warned) in [(1, false), (4, false), (6, true), (8, false)] {
        let at = Utc::now() - TimeDelta::days(days);
        let stage = with(json!({"consented_at": at.format("%Y-%m-%dT%H:%M:%SZ").to_string()}));
        let checked = check(&stage);
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
    let stage = right();
    stage.target.clock().advance(Duration::from_secs(40));
    assert_eq!(check(&stage).amiss(), [""; 0]);
    stage.target.clock().advance(Duration::from_secs(560));
    let checked = check(&stage);
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
