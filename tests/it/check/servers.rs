//! Servers: addresses, encryption, sign-in, and what they can do.

use std::time::{Duration, Instant};

use chrono::{NaiveDate, TimeDelta, Utc};
use gmail_stand_in::{Options, Refusal, Use};
use serde_json::json;

use super::findings::{Checked, check, other_source, right, right_with};
use crate::testkit::env::{SOURCE, TestEnv};
use crate::testkit::{free_port, says};

/// What is not tried where there is no connection with the source.
const NO_SOURCE: [&str; 4] = [
    "source_connection problem",
    "source_sign_in skipped",
    "source_mailbox skipped",
    "source_idle skipped",
];
const NO_SOURCE_SIGN_IN: [&str; 3] = [
    "source_sign_in problem",
    "source_mailbox skipped",
    "source_idle skipped",
];
const NO_TARGET_SIGN_IN: [&str; 6] = [
    "target_sign_in problem",
    "target_mailbox skipped",
    "target_copies skipped",
    "target_uidplus skipped",
    "target_size_limit skipped",
    "target_quota skipped",
];

#[test]
fn a_name_without_an_address() {
    let mut env = right();
    // No name server is asked for a label of more than 63 letters.
    env.set("source_server", format!("{}.invalid", "x".repeat(70)));
    let mut amiss = vec!["source_address problem", "source_connection skipped"];
    amiss.extend(&NO_SOURCE[1..]);
    let mend = "is `source_server` spelled right in ";
    check(&env).finds(1, &amiss, "is not a name that a server can have", mend);
}

#[test]
fn a_port_on_which_nobody_listens() {
    let mut env = right();
    env.set("source_port", free_port());
    let cause = "cannot be reached: nothing answers on port ";
    check(&env).finds(1, &NO_SOURCE, cause, "is `source_port` right in ");
}

#[test]
fn a_port_of_another_service() {
    let mut env = right();
    let port = says(b"220 mail.example.org ESMTP\r\n");
    env.plain("source", port);
    let cause = "is an SMTP server (for sending mail), not an IMAP server (for reading mail); the server said: 220 mail.example.org";
    check(&env).finds(1, &NO_SOURCE, cause, "change `source_port` in ");
    env.set("source_tls", "implicit");
    check(&env).finds(
        1,
        &NO_SOURCE,
        "is an SMTP server",
        "change `source_port` in ",
    );
}

#[test]
fn a_server_that_wants_starttls_on_a_port_for_tls() {
    let mut env = right();
    let port = says(b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hello\r\n");
    env.set("source_port", port);
    check(&env).finds(
        1,
        &NO_SOURCE,
        "begins unencrypted, and the configuration (`source_tls`) expects encryption from the start",
        "add `\"source_tls\": \"starttls\",`",
    );
}

#[test]
fn whoever_never_answers_is_waited_for_less_than_a_minute() {
    let mut env = right();
    let silent = says(b"");
    env.set("source_port", silent).set("target_port", silent);
    let mut token =
        json!({"token": "x", "refresh_token": "y", "client_id": "z", "client_secret": "s"});
    token["scopes"] = json!(["https://mail.google.com/"]);
    token["token_uri"] = format!("http://127.0.0.1:{silent}/token").into();
    env.write_token(&token);
    let begun = Instant::now();
    let checked = check(&env);
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    let mut amiss = NO_SOURCE.to_vec();
    amiss.extend([
        "target_connection problem",
        "target_token problem",
        "clock skipped",
    ]);
    amiss.push("target_sign_in skipped");
    amiss.extend(&NO_TARGET_SIGN_IN[1..]);
    checked.finds(1, &amiss, "cannot be renewed now", "try again later");
    for name in ["source_connection", "target_connection"] {
        let cause = "it said nothing for ";
        assert!(checked.message(name).contains(cause), "{checked:#?}");
    }
}

/// A source whose certificate is like this.
fn certified(turn: impl FnOnce(&mut Options)) -> TestEnv {
    let mut env = right();
    let mut options = Options::plain(SOURCE);
    turn(&mut options);
    other_source(&mut env, options);
    env
}

#[test]
fn certificates_that_are_refused() {
    let expired = certified(|o| o.certificate_ends = NaiveDate::from_ymd_opt(2020, 1, 1));
    let cause = "it has expired (it was valid until 2020-01-01 ";
    check(&expired).finds(
        4,
        &NO_SOURCE,
        cause,
        "the certificate must be renewed on the server",
    );
    let misnamed = certified(|o| o.names = vec!["elsewhere.example".into()]);
    check(&misnamed).finds(
        4,
        &NO_SOURCE,
        "it is for elsewhere.example, not for localhost (`source_server`)",
        "source_ca_file",
    );
    let mut foreign = right();
    let other = foreign.target.ca_file();
    foreign.set("source_ca_file", other.to_str().unwrap());
    check(&foreign).finds(
        4,
        &NO_SOURCE,
        "it is signed by an authority that this machine does not know",
        "source_ca_file",
    );
}

#[test]
fn a_certificate_that_ends_within_two_weeks_is_a_warning() {
    let day = |days| (Utc::now() + TimeDelta::days(days)).date_naive();
    let soon = certified(|o| o.certificate_ends = Some(day(6)));
    let text = format!("ends in 5 days, on {}", day(6));
    check(&soon).finds(0, &["source_connection warning"], &text, "must renew it");
    let later = certified(|o| o.certificate_ends = Some(day(16)));
    let checked = check(&later);
    assert_eq!(checked.amiss(), [""; 0]);
    let text = format!(
        "localhost:{} answers with TLS 1.3; its certificate is of an authority in `source_ca_file` and lasts 15 days, until {}",
        later.source.port(),
        day(16)
    );
    assert_eq!(checked.message("source_connection"), text);
}

#[test]
fn a_source_password_that_is_wrong() {
    let mut env = right();
    env.set("source_pass", "wrong");
    let cause =
        "the source refused the sign-in of user@example.org (`source_pass`); the server said: ";
    check(&env).finds(4, &NO_SOURCE_SIGN_IN, cause, "check user name and password");
}

#[test]
fn refusals_at_gmail_keep_its_words() {
    for (refusal, cause, mend) in [
        (
            Refusal::InvalidCredentials,
            "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            "sign in again",
        ),
        (
            Refusal::ImapDisabled,
            "Your account is not enabled for IMAP use",
            "switch IMAP on",
        ),
        (
            Refusal::WebLoginRequired,
            "log in via your web browser",
            "in a web browser",
        ),
    ] {
        let env = right();
        env.target.refuse_login(refusal, 9);
        check(&env).finds(4, &NO_TARGET_SIGN_IN, cause, mend);
    }
    let env = right();
    env.target.refuse_login(Refusal::Unavailable, 9);
    check(&env).finds(1, &NO_TARGET_SIGN_IN, "[UNAVAILABLE]", "try again");
    let env = right();
    env.target.refuse_login(Refusal::TooManyConnections, 9);
    check(&env).finds(1, &NO_TARGET_SIGN_IN, "asks us to slow down", "try again");
}

#[test]
fn an_app_password_that_is_wrong_and_one_that_is_right() {
    for (password, status) in [("abcd efgh ijkl mnop", 0), ("wrong wrong", 4)] {
        let mut env = right();
        env.set("target_token_file", serde_json::Value::Null)
            .set("target_pass", password);
        let ran = env.command(&["check", "--config", "config.json", "--json"]);
        let checked = Checked::read(&ran);
        // No token endpoint is asked then.
        assert!(!checked.has("clock"), "{checked:#?}");
        let mut amiss = Vec::new();
        if status == 4 {
            amiss.extend(NO_TARGET_SIGN_IN.map(str::to_string));
            amiss.sort();
            let words = "Invalid credentials";
            assert!(
                checked.message("target_sign_in").contains(words),
                "{checked:#?}"
            );
        }
        assert_eq!(
            (checked.amiss(), checked.status),
            (amiss, status),
            "{checked:#?}"
        );
    }
}

#[test]
fn a_google_password_where_an_app_password_should_be() {
    let mut env = right();
    env.set("target_token_file", serde_json::Value::Null)
        .set("target_pass", "Tr0ub4dor&3");
    env.target.refuse_login(Refusal::AppPasswordRequired, 9);
    let ran = env.command(&["check", "--config", "config.json", "--json"]);
    let cause = "Application-specific password required";
    Checked::read(&ran).finds(
        4,
        &NO_TARGET_SIGN_IN,
        cause,
        "Gmail takes only an app password here",
    );
}

#[test]
fn mailboxes_that_gmail_hides() {
    for (hidden, cause) in [
        (vec![Use::All], "Gmail's All Mail is hidden from IMAP"),
        (vec![Use::Trash], "Gmail's Trash is hidden from IMAP"),
        (
            vec![Use::Junk, Use::Trash],
            "Gmail's Spam and Trash are hidden from IMAP",
        ),
    ] {
        let env = right();
        env.target.knobs(|k| k.hidden = hidden);
        check(&env).finds(0, &["target_copies warning"], cause, "Show in IMAP");
    }
}

#[test]
fn a_target_that_can_do_little() {
    let mut target =
        Options::plain("IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2 APPENDLIMIT=1000000");
    target.knobs.append_limit = 1_000_000;
    let env = right_with(target);
    let amiss = ["target_uidplus warning", "target_size_limit warning"];
    let checked = check(&env);
    checked.finds(0, &amiss, "no UIDPLUS", "nothing need be done");
    let text = "messages of more than 1.0 MB are refused";
    assert_eq!(checked.message("target_size_limit"), text);
    assert!(checked.message("target_copies").starts_with("not Gmail"));
}

#[test]
fn a_source_that_does_not_tell_of_new_mail() {
    let mut env = right();
    other_source(
        &mut env,
        Options::plain("IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN"),
    );
    let cause = "does not tell of new mail by itself";
    check(&env).finds(0, &["source_idle warning"], cause, "--poll-interval");
}

#[test]
fn a_source_that_offers_idle_and_refuses_it() {
    use gmail_stand_in::{Fault, On};
    let env = right();
    env.source
        .fault(On::each("IDLE"), Fault::Answer("NO not today".into()));
    check(&env).finds(1, &["source_idle problem"], "not today", "--no-idle");
}

#[test]
fn both_sides_may_be_broken_at_once() {
    let mut env = right();
    env.set("source_pass", "wrong")
        .set("target_port", free_port());
    let mut amiss = NO_SOURCE_SIGN_IN.to_vec();
    amiss.extend(["target_connection problem", "target_sign_in skipped"]);
    amiss.extend(&NO_TARGET_SIGN_IN[1..]);
    // 1 comes before 4.
    check(&env).finds(
        1,
        &amiss,
        "the source refused the sign-in of user@example.org",
        "",
    );
}
