//! The token file in each of its forms, and every way in which it can fail.

use std::fs;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use gmail_stand_in::{Fault, On, SESSION_EXPIRED, TokenTrouble};
use imap_to_gmail::oauth::Tokens;
use serde_json::{Value, json};

use crate::testkit::env::TestEnv;

const HOUR: Duration = Duration::from_secs(3600);

/// Gmail is entered with this token file.
fn prepared(token: &Value) -> TestEnv {
    let mut env = TestEnv::new();
    env.mails(3);
    env.set("target_pass", Value::Null);
    env.write_token(token);
    env
}

/// A file as google-auth writes it, whose access token has run out.
fn expired(env: &TestEnv) -> Value {
    let text = env.target.token_json("ya29.run-out", Duration::ZERO);
    let mut token: Value = serde_json::from_str(&text).unwrap();
    token["expiry"] = "2020-01-02T03:04:05.123456Z".into();
    token
}

fn file(env: &TestEnv) -> PathBuf {
    env.dir.path().join("token.json")
}

#[test]
fn a_token_that_has_run_out_is_renewed_and_the_file_kept_as_others_read_it() {
    let mut env = prepared(&json!({"token": "x"}));
    let mut token = expired(&env);
    token["what we do not know"] = json!({"stays": [1, 2]});
    env.write_token(&token);
    env.run_until_done(1);
    env.assert_complete();
    let after: Value = serde_json::from_str(&fs::read_to_string(file(&env)).unwrap()).unwrap();
    for key in [
        "refresh_token",
        "client_id",
        "client_secret",
        "scopes",
        "universe_domain",
        "what we do not know",
    ] {
        assert_eq!(after[key], token[key], "{key}");
    }
    assert_ne!(after["token"], token["token"]);
    let expiry = after["expiry"].as_str().unwrap();
    // google-auth reads nothing else: naive UTC, a Z at the end.
    assert_eq!(
        (expiry.len(), expiry.ends_with('Z')),
        (27, true),
        "{expiry}"
    );
    let mode = fs::metadata(file(&env)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The next run uses it as it is.
    env.mail("<later@x>", "later");
    env.run_until_done(1);
    assert_eq!(env.target.token_requests().len(), 1);
}

#[test]
fn every_form_of_the_file_is_read() {
    let base = prepared(&json!({"token": "x"}));
    let good = base.target.issue_token(HOUR);
    let soon = (Utc::now() + chrono::TimeDelta::minutes(30)).naive_utc();
    let with = |token: &Value, changes: Value| {
        let mut token = token.clone();
        for (key, value) in changes.as_object().unwrap() {
            token[key] = value.clone();
        }
        token
    };
    let full = expired(&base);
    let mut no_token = full.clone();
    no_token.as_object_mut().unwrap().remove("token");
    no_token.as_object_mut().unwrap().remove("expiry");
    let forms = [
        (
            "google-auth's",
            with(
                &full,
                json!({"token": good, "expiry": soon.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()}),
            ),
            0,
        ),
        (
            "the script's own",
            with(
                &full,
                json!({"token": good, "expiry": soon.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()}),
            ),
            0,
        ),
        (
            "an expiry that cannot be read",
            with(&full, json!({"token": good, "expiry": "soon"})),
            1,
        ),
        (
            "scopes as one string",
            with(&full, json!({"scopes": "https://mail.google.com/"})),
            1,
        ),
        (
            "gcloud's, without a token",
            with(&no_token, json!({"type": "authorized_user"})),
            1,
        ),
        ("a token alone", json!({"token": good}), 0),
    ];
    for (name, form, renewals) in forms {
        let mut env = prepared(&json!({"token": "x"}));
        // Tokens and endpoints are each stand-in's own.
        let mut form = form;
        for key in ["refresh_token", "token_uri", "client_id", "client_secret"] {
            if form.get(key).is_some() {
                form[key] = expired(&env)[key].clone();
            }
        }
        if form
            .get("token")
            .is_some_and(|t| t == &Value::from(good.clone()))
        {
            form["token"] = env.target.issue_token(HOUR).into();
        }
        env.write_token(&form);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{name}: {}", ran.err);
        env.assert_complete();
        assert_eq!(env.target.token_requests().len(), renewals, "{name}");
    }
}

#[test]
fn a_token_that_gmail_refuses_is_renewed_once() {
    let mut env = prepared(&json!({"token": "x"}));
    let revoked = env.target.issue_token(HOUR);
    env.target.revoke(&revoked);
    let token: Value = serde_json::from_str(&env.target.token_json(&revoked, HOUR)).unwrap();
    env.write_token(&token);
    env.run_until_done(1);
    env.assert_complete();
    assert_eq!(env.target.token_requests().len(), 1);
}

#[test]
fn a_fresh_token_that_is_refused_is_a_persons_affair() {
    let mut env = prepared(&json!({"token": "x"}));
    let token = expired(&env);
    env.write_token(&token);
    env.target
        .token_trouble(TokenTrouble::OtherAccount("other@gmail.com".into()), 99);
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(
        ran.err
            .contains("[AUTHENTICATIONFAILED] Invalid credentials"),
        "{}",
        ran.err
    );
    assert_eq!(env.status()["trouble"]["kind"], "needs_user");
    assert_eq!(env.status()["pending"], 3, "what is there is recorded");
}

#[test]
fn refusals_of_the_token_endpoint_end_the_run_with_what_to_do() {
    for (trouble, words, hint) in [
        (
            TokenTrouble::ExpiredOrRevoked,
            "invalid_grant (Token has been expired or revoked.)",
            "sign in again",
        ),
        (
            TokenTrouble::BadGrant,
            "invalid_grant (Bad Request)",
            "sign in again",
        ),
        (
            TokenTrouble::AccountDeleted,
            "invalid_grant (Account has been deleted)",
            "sign in again",
        ),
        (TokenTrouble::InvalidRapt, "invalid_grant", "sign in again"),
        (
            TokenTrouble::InvalidClient,
            "invalid_client (The OAuth client was not found.)",
            "OAuth client",
        ),
        (
            TokenTrouble::DeletedClient,
            "deleted_client (The OAuth client was deleted.)",
            "OAuth client",
        ),
        (
            TokenTrouble::UnauthorizedClient,
            "unauthorized_client (Unauthorized)",
            "OAuth client",
        ),
        (
            TokenTrouble::AdminPolicy,
            "admin_policy_enforced",
            "administrator",
        ),
        (TokenTrouble::OrgInternal, "org_internal", "administrator"),
        (TokenTrouble::AccessDenied, "access_denied", "administrator"),
        (TokenTrouble::InvalidScope, "invalid_scope", "administrator"),
        (
            TokenTrouble::InvalidRequest,
            "invalid_request",
            "sign in again",
        ),
        (
            TokenTrouble::Scope("openid".into()),
            "the scope https://mail.google.com/ was not granted",
            "ticked",
        ),
    ] {
        let mut env = prepared(&json!({"token": "x"}));
        let token = expired(&env);
        env.write_token(&token);
        env.target.token_trouble(trouble, 99);
        let ran = env.run();
        assert_eq!(ran.status, 4, "{}", ran.err);
        let (error, after) = ran.err.split_once("\n\nhint: ").expect(&ran.err);
        assert!(
            error.contains("error: ") && error.contains(words),
            "{words}: {}",
            ran.err
        );
        assert!(after.contains(hint), "{words}: {}", ran.err);
        let status = env.status();
        assert_eq!(
            (&status["trouble"]["kind"], &status["pending"]),
            (&"needs_user".into(), &3.into())
        );
        // A person puts a new file in its place.
        env.target.clear_faults();
        env.run_until_done(1);
        env.assert_complete();
    }
}

#[test]
fn a_token_endpoint_that_is_out_of_order_is_tried_again() {
    for trouble in [
        TokenTrouble::InternalFailure,
        TokenTrouble::ServerError,
        TokenTrouble::TemporarilyUnavailable,
        TokenTrouble::TooManyRequests(Some(1)),
        TokenTrouble::Status(500, "{}".into()),
        TokenTrouble::Html,
        TokenTrouble::HtmlOk,
        TokenTrouble::Slow(Duration::from_millis(300)),
        TokenTrouble::Close,
        TokenTrouble::CutInBody,
    ] {
        let mut env = prepared(&json!({"token": "x"}));
        let token = expired(&env);
        env.write_token(&token);
        env.target.token_trouble(trouble.clone(), 2);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{trouble:?}: {}", ran.err);
        env.assert_complete();
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0);
    }
}

#[test]
fn replies_that_rotate_or_say_no_expiry_are_taken() {
    for trouble in [TokenTrouble::Rotate, TokenTrouble::NoExpiry] {
        let mut env = prepared(&json!({"token": "x"}));
        let token = expired(&env);
        env.write_token(&token);
        env.target.token_trouble(trouble.clone(), 1);
        env.run_until_done(1);
        env.assert_complete();
        let after: Value = serde_json::from_str(&fs::read_to_string(file(&env)).unwrap()).unwrap();
        match trouble {
            TokenTrouble::Rotate => assert_ne!(after["refresh_token"], token["refresh_token"]),
            _ => assert!(
                after.get("expiry").is_none(),
                "an old expiry would be a lie: {after}"
            ),
        }
    }
}

#[test]
fn a_session_that_ends_with_its_token_in_the_middle_of_an_append_costs_nothing() {
    for fault in [
        Fault::ByeAfterGoAhead(SESSION_EXPIRED.into()),
        Fault::ByeAfterLiteral {
            text: SESSION_EXPIRED.into(),
            stored: true,
        },
        Fault::ByeAfterLiteral {
            text: SESSION_EXPIRED.into(),
            stored: false,
        },
        Fault::Bye(SESSION_EXPIRED.into()),
    ] {
        let mut env = prepared(&json!({"token": "x"}));
        let token = expired(&env);
        env.write_token(&token);
        env.mail("<big@x>", &"more than 4096 bytes\r\n".repeat(1000));
        env.target
            .fault(On::nth(1, "APPEND").times(2), fault.clone());
        let ran = env.run();
        assert_eq!(ran.status, 0, "{fault:?}: {}", ran.err);
        env.assert_complete();
    }
}

#[test]
fn sessions_are_renewed_before_their_token_ends() {
    let mut env = prepared(&json!({"token": "x"}));
    env.set("connections", 1);
    env.target.knobs(|k| k.token_life = Duration::from_secs(8));
    let token = expired(&env);
    env.write_token(&token);
    env.mails(240);
    // At most twenty messages a second: more than one token's life in all.
    let slow = Fault::Delay(Duration::from_millis(50));
    env.target.fault(On::each("APPEND"), slow);
    env.run_until_done(1);
    env.assert_complete();
    assert!(env.target.token_requests().len() >= 2);
    let expired = env
        .target
        .transcript()
        .server()
        .iter()
        .filter(|l| l.contains(SESSION_EXPIRED))
        .count();
    assert_eq!(expired, 0, "no session was left to run out");
}

#[test]
fn a_file_that_cannot_be_written_costs_one_refresh_all_the_same() {
    let env = prepared(&json!({"token": "x"}));
    // A file without a name can be read through its descriptor, but nothing can be put in its place.
    let mut nameless = tempfile::tempfile().unwrap();
    nameless
        .write_all(expired(&env).to_string().as_bytes())
        .unwrap();
    let path = format!("/proc/self/fd/{}", nameless.as_raw_fd());
    let tokens = Tokens::new(path.as_ref(), Duration::from_secs(5));
    let first = tokens.access(Utc::now()).unwrap();
    let second = tokens.access(Utc::now()).unwrap();
    assert_eq!(first.token.reveal(), second.token.reveal());
    assert_eq!(env.target.token_requests().len(), 1);
}

#[test]
fn another_route_that_shares_the_file_saves_a_refresh() {
    let mut env = prepared(&json!({"token": "x"}));
    let token = expired(&env);
    env.write_token(&token);
    let (one, two) = (
        Tokens::new(&file(&env), Duration::from_secs(5)),
        Tokens::new(&file(&env), Duration::from_secs(5)),
    );
    let first = one.access(Utc::now()).unwrap();
    assert_eq!(
        two.access(Utc::now()).unwrap().token.reveal(),
        first.token.reveal()
    );
    assert_eq!(env.target.token_requests().len(), 1);
    // Refused, though another token is in the file by now: that one is used.
    let newer = two.instead_of(&first, Utc::now()).unwrap();
    assert_eq!(
        one.instead_of(&first, Utc::now()).unwrap().token.reveal(),
        newer.token.reveal()
    );
    assert_eq!(env.target.token_requests().len(), 2);
}

#[test]
fn a_token_that_outlives_the_calendar_is_a_token() {
    let mut env = prepared(&json!({"token": "x"}));
    let token = expired(&env);
    env.write_token(&token);
    let good = env.target.issue_token(HOUR);
    let reply = json!({"access_token": good, "token_type": "Bearer", "expires_in": 9_000_000_000_000_000_u64});
    env.target
        .token_trouble(TokenTrouble::Status(200, reply.to_string()), 1);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    // A worker that breaks down is helped by the next one.
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    env.assert_complete();
}
