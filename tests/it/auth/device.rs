//! The sign-in on another device, as Microsoft has it, and Microsoft's rotation.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use gmail_stand_in::{CLIENT_ID, Knobs, OUTLOOK_SCOPE, Options, TokenTrouble};
use serde_json::json;

use super::sign_in::{AuthEnv, Signing, agree, field, get};
use crate::testkit::eventually;

pub(crate) const DEVICE: &[&str] = &[
    "--credentials",
    "microsoft.json",
    "--provider",
    "microsoft",
    "--device",
];

/// A Microsoft.
pub(crate) fn prepared() -> AuthEnv {
    let env = AuthEnv::with(Options {
        knobs: Knobs {
            scope: OUTLOOK_SCOPE.into(),
            rotate: true,
            public_client: true,
            ..Knobs::default()
        },
        ..Options::default()
    })
    .without_config();
    env.write(
        "microsoft.json",
        &json!({
            "client_id": CLIENT_ID,
            "auth_uri": env.google.web("/auth"),
            "token_uri": env.google.token_url(),
            "device_uri": env.google.web("/devicecode"),
        }),
    );
    env
}

/// The code to enter.
fn code(signing: &mut Signing) -> String {
    signing.line("https://microsoft.com/devicelogin");
    let line = signing.line("enter the code ");
    line.split(' ').nth(3).unwrap().to_string()
}

fn enter(env: &AuthEnv, code: &str, answer: &str) {
    let page = get(&env
        .google
        .web(&format!("/device?user_code={code}&answer={answer}")));
    assert_eq!(page.status, 200, "{}", page.body);
}

/// How often the token was asked for.
fn asked(env: &AuthEnv) -> usize {
    let requests = env.google.token_requests();
    requests
        .iter()
        .filter(|r| r.field("device_code").is_some())
        .count()
}

#[test]
fn a_code_is_entered_elsewhere_while_it_asks_and_waits() {
    let env = prepared();
    let slow = json!({"error": "slow_down", "error_description": "too fast"}).to_string();
    let mut signing = env.auth(DEVICE);
    let code = code(&mut signing);
    eventually("it has been told to wait", || asked(&env) >= 1);
    env.google.token_trouble(TokenTrouble::Status(400, slow), 1);
    eventually("it has been told to slow down", || asked(&env) >= 2);
    enter(&env, &code, "allow");
    let ended = signing.end();
    ended.is_well();
    assert!(
        ended
            .out
            .contains("\ntoken.json is written. Whether it opens "),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("Google"), "{}", ended.out);
    let token = env.token();
    assert_eq!(token["scopes"], json!([OUTLOOK_SCOPE]));
    assert!(token.get("client_secret").is_none());
    assert!(token["consented_at"].is_string() && token["refresh_token"].is_string());
    for request in env.google.token_requests() {
        assert_eq!(request.field("client_secret"), None);
        assert_eq!(request.field("client_id"), Some(CLIENT_ID));
    }
}

#[test]
fn a_code_that_is_declined() {
    let env = prepared();
    let mut signing = env.auth(DEVICE);
    let code = code(&mut signing);
    enter(&env, &code, "deny");
    signing.end().says(
        4,
        "Microsoft gives no token: authorization_declined (AADSTS: see the error)",
        "run the same command again and agree",
    );
    assert!(!env.path("token.json").exists());
}

#[test]
fn a_code_that_runs_out() {
    let env = prepared();
    let mut signing = env.auth(DEVICE);
    code(&mut signing);
    env.google.clock().advance(Duration::from_secs(16 * 60));
    signing.end().says(
        4,
        "Microsoft gives no token: expired_token (AADSTS: see the error)",
        "run the same command again; the code must be entered in time",
    );
}

#[test]
fn providers_without_it_and_out_of_order() {
    let env = prepared();
    env.refuses(
        &["--credentials", "client_secret.json", "--device"],
        2,
        "`--device`: Google has no such sign-in for mail",
        "use --no-browser: the sign-in is then done in a browser anywhere, and the address at which it ends is pasted here",
    );
    let patience = json!({"device_code": "x", "user_code": "x", "verification_uri": "https://example.org",
        "expires_in": u64::MAX, "interval": u64::MAX});
    env.google
        .token_trouble(TokenTrouble::Status(200, patience.to_string()), 1);
    env.refuses(
        DEVICE,
        1,
        "Microsoft asks for too much patience: a question every 18446744073709551615 s for 18446744073709551615 s",
        "use --no-browser in place of --device",
    );
    env.google.token_trouble(TokenTrouble::Html, 1);
    env.refuses(
        DEVICE,
        1,
        "Microsoft gives no token now: the token endpoint answers with HTTP 502",
        "run the same command again in a while",
    );
}

#[test]
fn microsoft_in_a_browser_without_a_secret() {
    let env = prepared();
    let mut signing = env.auth(&DEVICE[..4]);
    let url = signing.url();
    assert!(
        field(&url, "redirect_uri")
            .unwrap()
            .starts_with("http%3A%2F%2Flocalhost%3A")
    );
    let page = get(&agree(&env.google, &url));
    assert!(page.body.contains("Signed in"), "{}", page.body);
    signing.end().is_well();
    let requests = env.google.token_requests();
    assert_eq!(
        (requests.len(), requests[0].field("client_secret")),
        (1, None)
    );
    let expiry = env.token()["expiry"].as_str().unwrap().to_string();
    let expiry: chrono::DateTime<Utc> = expiry.parse().unwrap();
    assert!(expiry > Utc::now() + TimeDelta::minutes(50));
}

/// Microsoft's scopes stand under several hosts, and it may answer with another one than was asked for.
#[test]
fn a_scope_that_is_answered_under_another_host_is_the_same() {
    let env = prepared();
    let scope = "https://outlook.office365.com/IMAP.AccessAsUser.All";
    env.google
        .token_trouble(TokenTrouble::Scope(scope.into()), 1);
    let mut signing = env.auth(&DEVICE[..4]);
    let url = signing.url();
    get(&agree(&env.google, &url));
    signing.end().is_well();
    assert_eq!(env.token()["scopes"], json!([scope]));
}

#[test]
fn microsoft_without_the_box_for_mail() {
    let env = prepared();
    env.google
        .token_trouble(TokenTrouble::Scope("openid profile".into()), 1);
    let mut signing = env.auth(&DEVICE[..4]);
    let url = signing.url();
    get(&agree(&env.google, &url));
    signing.end().says(
        4,
        "Microsoft gave a token that does not allow mail: the scope https://outlook.office.com/IMAP.AccessAsUser.All was not granted",
        "run the same command again and leave the box for mail ticked",
    );
}
