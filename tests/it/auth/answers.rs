//! Sign-ins that do not end well: each in one sentence, with what to do, and the old token file as it was.

use std::fs;
use std::time::Duration;

use gmail_stand_in::{Refusal, TokenTrouble};
use serde_json::json;

use super::sign_in::{AuthEnv, BOTH, Ended, agree, click, get};
use crate::testkit::free_port;

const OLD: &str = "{\"token\": \"old\", \"mine\": 1}";
const AGAIN: &str = "run the same command again";

/// The page and the end of a sign-in to which the person agreed; the old token file must be as it was.
#[track_caller]
fn fails(env: &AuthEnv) -> (String, Ended) {
    fs::write(env.path("token.json"), OLD).unwrap();
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    let page = get(&agree(&env.google, &url));
    assert!(page.body.contains("Not signed in"), "{}", page.body);
    let ended = signing.end();
    assert_eq!(fs::read_to_string(env.path("token.json")).unwrap(), OLD);
    (page.body, ended)
}

#[test]
fn a_person_who_declines() {
    let env = AuthEnv::new();
    let sentence = "the sign-in was declined: Google says access_denied";
    let hint = format!(
        "{AGAIN} and agree; where the client is in \"Testing\", the account must be one of its test users"
    );
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    let page = get(&click(&env.google, &url, "deny"));
    assert!(page.body.contains(sentence), "{}", page.body);
    assert!(page.body.contains("You can close this window."));
    signing.end().says(4, sentence, &hint);
    // Pasted, it is the same.
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    signing.types(&click(&env.google, &url, "deny"));
    signing.end().says(4, sentence, &hint);
    assert!(!env.path("token.json").exists());
}

#[test]
fn what_a_provider_says_is_shown_with_care() {
    let env = AuthEnv::new();
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    let denied = click(&env.google, &url, "deny");
    let page = get(&denied.replace(
        "error=access_denied",
        "error=%3Cscript%3E&error_description=a%1b%5b2Jb%0ac",
    ));
    assert!(page.body.contains("&lt;script&gt;") && !page.body.contains("<script>"));
    signing.end().says(
        4,
        "Google refused the sign-in: <script> (a\\u{1b}[2Jb\\u{a}c)",
        AGAIN,
    );
}

#[test]
fn nobody_comes() {
    let env = AuthEnv::new();
    let mut signing = env.hurried(BOTH);
    signing.url();
    signing.end().says(
        4,
        "nobody has signed in within 1 s",
        "run the same command again when you are at a browser",
    );
}

#[test]
fn another_account() {
    let env = AuthEnv::new();
    env.google
        .token_trouble(TokenTrouble::OtherAccount("other@gmail.com".into()), 1);
    let (page, ended) = fails(&env);
    assert!(
        page.contains("this sign-in does not open the mail of user@gmail.com"),
        "{page}"
    );
    ended.says(
        4,
        "this sign-in does not open the mail of user@gmail.com: the target refused the sign-in of user@gmail.com (`target_token_file`); the server said: [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        &format!(
            "it was probably of another account: {AGAIN} and choose user@gmail.com; nothing was written to {}",
            env.path("token.json").display()
        ),
    );
}

#[test]
fn an_account_that_imap_does_not_open() {
    let env = AuthEnv::new();
    env.google.refuse_login(Refusal::ImapDisabled, 1);
    let (_, ended) = fails(&env);
    assert_eq!(ended.status.code(), Some(4));
    assert!(
        ended.err.contains("not enabled for IMAP use"),
        "{}",
        ended.err
    );
    assert!(
        ended.err.contains("hint: switch IMAP on")
            && ended.err.contains("; nothing was written to "),
        "{}",
        ended.err
    );
}

/// To come again later is what only `run --once` says with 3.
#[test]
fn an_account_with_too_many_connections() {
    let env = AuthEnv::new();
    env.google.refuse_login(Refusal::TooManyConnections, 1);
    let (_, ended) = fails(&env);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.err);
    assert!(ended.err.contains("Too many simultaneous"), "{}", ended.err);
}

#[test]
fn gmail_out_of_reach() {
    let mut env = AuthEnv::new();
    env.route.set("target_port", free_port());
    let (_, ended) = fails(&env);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.err);
    assert!(
        ended.err.contains("; nothing was written to "),
        "{}",
        ended.err
    );
}

#[test]
fn tokens_that_are_of_no_use() {
    let env = AuthEnv::new();
    for (trouble, status, sentence, hint) in [
        (
            TokenTrouble::Scope("openid https://www.googleapis.com/auth/gmail.modify".into()),
            4,
            "Google gave a token that does not allow mail: the scope https://mail.google.com/ was not granted",
            "run the same command again and leave the box for mail ticked",
        ),
        (
            TokenTrouble::NoRefresh,
            4,
            "Google gave no refresh token, so this sign-in would end within the hour",
            "take this client's access away at https://myaccount.google.com/connections and run the same command again",
        ),
        (
            TokenTrouble::Status(
                200,
                json!({"access_token": "a b", "token_type": "Bearer"}).to_string(),
            ),
            1,
            "Google gave something else than an access token",
            "run the same command again in a while",
        ),
    ] {
        env.google.token_trouble(trouble, 1);
        fails(&env).1.says(status, sentence, hint);
    }
}

#[test]
fn a_token_endpoint_that_refuses_or_is_out_of_order() {
    let env = AuthEnv::new();
    let client = "the OAuth client is wrong or gone: download its file anew, or make a new client";
    let account = "the account or its administrator does not allow this client to read mail";
    let later = "run the same command again in a while";
    let something =
        "Google gives no token now: the token endpoint answers with something else than a token";
    for (trouble, status, sentence, hint) in [
        (
            TokenTrouble::BadGrant,
            4,
            "Google gives no token: invalid_grant (Bad Request)".to_string(),
            "the browser's answer was used before or is too old: run the same command again",
        ),
        (
            TokenTrouble::InvalidClient,
            4,
            "Google gives no token: invalid_client (The OAuth client was not found.)".into(),
            client,
        ),
        (
            TokenTrouble::DeletedClient,
            4,
            "Google gives no token: deleted_client (The OAuth client was deleted.)".into(),
            client,
        ),
        (
            TokenTrouble::UnauthorizedClient,
            4,
            "Google gives no token: unauthorized_client (Unauthorized)".into(),
            client,
        ),
        (
            TokenTrouble::OrgInternal,
            4,
            "Google gives no token: org_internal (This client is restricted to users within its organization.)".into(),
            account,
        ),
        (
            TokenTrouble::InvalidScope,
            4,
            "Google gives no token: invalid_scope (Bad Request)".into(),
            account,
        ),
        (
            TokenTrouble::InvalidRequest,
            4,
            "Google gives no token: invalid_request (Missing required parameter: refresh_token)".into(),
            AGAIN,
        ),
        (
            TokenTrouble::ServerError,
            1,
            "Google gives no token now: the token endpoint answers with HTTP 500".into(),
            later,
        ),
        (
            TokenTrouble::TooManyRequests(None),
            1,
            "Google gives no token now: the token endpoint answers with HTTP 429".into(),
            later,
        ),
        (TokenTrouble::HtmlOk, 1, format!("{something} (HTTP 200)"), later),
        (
            TokenTrouble::Status(302, String::new()),
            1,
            format!("{something} (HTTP 302)"),
            later,
        ),
    ] {
        env.google.token_trouble(trouble, 1);
        fails(&env).1.says(status, &sentence, hint);
    }
    env.google.token_trouble(TokenTrouble::Close, 1);
    let ended = fails(&env).1;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(
        ended.err.starts_with("error: Google gives no token now: "),
        "{}",
        ended.err
    );
}

#[test]
fn an_endpoint_that_echoes_what_it_was_sent() {
    let env = AuthEnv::new();
    // The code of the first sign-in at this stand-in, and the client's secret: `end` looks for both.
    let echo = json!({"error": "invalid_grant", "error_description":
        "code 4/0stand-in-code-000002 then GOCSPX-stand-in-secret"});
    env.google
        .token_trouble(TokenTrouble::Status(400, echo.to_string()), 1);
    fails(&env).1.says(
        4,
        "Google gives no token: invalid_grant (code *** then ***)",
        "the browser's answer was used before or is too old: run the same command again",
    );
}

#[test]
fn a_code_that_was_used_or_is_too_old() {
    let env = AuthEnv::new();
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    let back = agree(&env.google, &url);
    env.google.clock().advance(Duration::from_secs(11 * 60));
    get(&back);
    signing.end().says(
        4,
        "Google gives no token: invalid_grant (Bad Request)",
        "the browser's answer was used before or is too old: run the same command again",
    );
}
