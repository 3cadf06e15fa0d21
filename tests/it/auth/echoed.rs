//! An endpoint that repeats what it was sent, in whatever form: nothing of it is shown, on no road to a token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use gmail_stand_in::{CLIENT_ID, TokenTrouble};
use serde_json::{Value, json};

use super::device;
use super::sign_in::{AuthEnv, BOTH, Ended, agree, click, get};

/// With what a form, an address and Base64 each write in their own way.
const SECRET: &str = "GOCSPX-8Q~n/x+y=z a*b.HUSHhush";
/// The code of the first sign-in at a stand-in.
const CODE: &str = "4/0stand-in-code-000002";

/// As a form has it (and `upper` or lower digits).
fn in_a_form(text: &str, upper: bool) -> String {
    text.bytes()
        .map(|b| match b {
            b' ' => "+".into(),
            b if b.is_ascii_alphanumeric() || b"*-._".contains(&b) => char::from(b).to_string(),
            b if upper => format!("%{b:02X}"),
            b => format!("%{b:02x}"),
        })
        .collect()
}

/// Every form in which a secret may come back.
fn forms(secret: &str) -> Vec<String> {
    let within = format!("{CLIENT_ID}:{secret}");
    vec![
        secret.into(),
        in_a_form(secret, true),
        in_a_form(secret, false),
        in_a_form(secret, true).replace('+', "%20"),
        STANDARD.encode(secret),
        URL_SAFE.encode(secret),
        STANDARD.encode(within),
        STANDARD.encode(in_a_form(secret, true)),
    ]
}

/// Nothing of a secret that could be put together again.
#[track_caller]
fn says_nothing_of(ended: &Ended, secret: &str) {
    let said = format!("{}{}", ended.out, ended.err);
    for form in forms(secret) {
        for piece in form.as_bytes().windows(8) {
            let piece = String::from_utf8_lossy(piece);
            // The client's id, which is no secret, stands in front of one.
            let public = STANDARD.encode(format!("{CLIENT_ID}:"));
            assert!(
                !said.contains(&*piece) || public.contains(&*piece),
                "{piece} of {form} is said: {ended:?}"
            );
        }
    }
}

fn prepared() -> AuthEnv {
    let env = AuthEnv::new();
    let mut file = env.google.client_secret_json();
    file["installed"]["client_secret"] = SECRET.into();
    env.write("client_secret.json", &file);
    env
}

fn echo(error: &str, words: &str) -> TokenTrouble {
    let body = json!({"error": error, "error_description": words});
    TokenTrouble::Status(400, body.to_string())
}

#[test]
fn of_the_exchange_of_a_code() {
    for (secret, form) in [SECRET, CODE]
        .iter()
        .flat_map(|s| forms(s).into_iter().map(move |f| (*s, f)))
    {
        let env = prepared();
        env.google
            .token_trouble(echo("invalid_grant", &format!("got {form} here")), 1);
        let mut signing = env.auth(BOTH);
        let url = signing.url();
        let page = get(&agree(&env.google, &url));
        let ended = signing.end();
        assert!(ended.err.contains("invalid_grant (got "), "{ended:?}");
        says_nothing_of(&ended, secret);
        assert!(!page.body.contains(&form), "{}", page.body);
        // The word for the error is the endpoint's too.
        env.google
            .token_trouble(echo(&in_a_form(SECRET, true), ""), 1);
        let mut signing = env.auth(BOTH);
        let url = signing.url();
        get(&agree(&env.google, &url));
        says_nothing_of(&signing.end(), SECRET);
    }
}

#[test]
fn of_the_answer_that_the_browser_brings() {
    let env = prepared();
    for form in forms(SECRET) {
        let mut signing = env.auth(BOTH);
        let url = signing.url();
        let denied = click(&env.google, &url, "deny");
        let words = in_a_form(&format!("not {form} here"), true);
        let page = get(&denied.replace(
            "error=access_denied",
            &format!("error=access_denied&error_description={words}"),
        ));
        let ended = signing.end();
        assert!(ended.err.contains("access_denied (not "), "{ended:?}");
        says_nothing_of(&ended, SECRET);
        assert!(!page.body.contains(&form), "{}", page.body);
    }
}

#[test]
fn of_the_sign_in_on_another_device() {
    let env = device::prepared();
    let mut file: Value =
        serde_json::from_slice(&std::fs::read(env.path("microsoft.json")).unwrap()).unwrap();
    file["client_secret"] = SECRET.into();
    env.write("microsoft.json", &file);
    for form in forms(SECRET) {
        // The code is handed out as ever, and the question that follows it is answered with this.
        env.google
            .token_trouble(TokenTrouble::Slow(Duration::ZERO), 1);
        env.google.token_trouble(
            echo("bad_verification_code", &format!("got {form} here")),
            1,
        );
        let mut signing = env.auth(device::DEVICE);
        signing.line("enter the code ");
        let ended = signing.end();
        assert!(
            ended.err.contains("bad_verification_code (got "),
            "{ended:?}"
        );
        says_nothing_of(&ended, SECRET);
    }
}
