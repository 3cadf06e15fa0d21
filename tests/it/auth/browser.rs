//! The sign-in that goes well: by browser, by pasting, at Google, Microsoft and others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gmail_stand_in::{CLIENT_ID, CLIENT_SECRET, Mail, Options, SCOPE, TokenTrouble};
use imap_to_gmail::oauth::Tokens;
use serde_json::json;

use super::sign_in::{AuthEnv, BOTH, agree, field, get, mode};
use crate::testkit::eventually;

fn near_now(text: &str, later: TimeDelta) -> bool {
    assert_eq!((text.len(), text.ends_with('Z')), (27, true), "{text}");
    let time: DateTime<Utc> = text.parse().unwrap();
    (time - later - Utc::now()).abs() < TimeDelta::minutes(2)
}

#[test]
fn a_browser_signs_in_and_the_token_is_tried_and_written() {
    let env = AuthEnv::new();
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("scope", "https%3A%2F%2Fmail.google.com%2F"),
        ("code_challenge_method", "S256"),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("login_hint", "user%40gmail.com"),
    ] {
        assert_eq!(field(&url, name), Some(value), "{url}");
    }
    assert!(field(&url, "state").unwrap().len() >= 22, "{url}");
    assert_eq!(field(&url, "code_challenge").unwrap().len(), 43);
    let back = field(&url, "redirect_uri").unwrap();
    assert!(back.starts_with("http%3A%2F%2F127.0.0.1%3A"), "{back}");
    let page = get(&agree(&env.google, &url));
    assert_eq!(page.status, 200);
    let server = format!("localhost:{}", env.google.port());
    for words in [
        "Signed in",
        &format!("{server} lets it in as user@gmail.com."),
        "You can close this window.",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    let ended = signing.end();
    ended.is_well();
    let path = env.path("token.json");
    assert!(
        ended.out.ends_with(&format!(
            "{0} is written: {server} lets it in as user@gmail.com.\n\
             A Google client left in \"Testing\" ends every sign-in after 7 days, this one on {1}. To publish it: in the \
             Google Cloud console, under Google Auth Platform, Audience, choose \"Publish app\"; for your own mail it \
             needs no verification; then sign in once more.\n",
            path.display(),
            (Utc::now() + TimeDelta::days(7)).format("%Y-%m-%d")
        )),
        "{}",
        ended.out
    );
    assert_eq!(mode(path.clone()), 0o600);
    let token = env.token();
    let keys: Vec<&String> = token.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "token",
            "refresh_token",
            "token_uri",
            "client_id",
            "client_secret",
            "scopes",
            "universe_domain",
            "account",
            "expiry",
            "consented_at"
        ]
    );
    assert_eq!(token["token_uri"], env.google.token_url());
    assert_eq!(token["client_id"], CLIENT_ID);
    assert_eq!(token["client_secret"], CLIENT_SECRET);
    assert_eq!(token["scopes"], json!([SCOPE]));
    assert!(near_now(
        token["expiry"].as_str().unwrap(),
        TimeDelta::seconds(3599)
    ));
    assert!(near_now(
        token["consented_at"].as_str().unwrap(),
        TimeDelta::zero()
    ));
    // The program itself renews it.
    let tokens = Tokens::new(&path, Duration::from_secs(60));
    let later = tokens.access(Utc::now() + TimeDelta::hours(2)).unwrap();
    assert!(later.fresh);
}

#[test]
fn the_address_may_be_pasted_and_pasted_wrongly_first() {
    let env = AuthEnv::new();
    let mut signing = env.auth(&[BOTH, &["--no-browser"]].concat());
    let url = signing.url();
    let back = agree(&env.google, &url);
    let redirect = back.split('?').next().unwrap();
    let state = field(&url, "state").unwrap();
    signing.types("");
    signing.types("4/0not-an-address");
    signing.types(&url);
    signing.types(&back.replace(state, "another"));
    signing.types(&"x".repeat(40_000));
    signing.types(&format!("  \"{back}\" "));
    let ended = signing.end();
    assert!(ended.status.success(), "{ended:?}");
    let not_it = format!(
        "warning: this is not the address at which the browser ended: expected one that begins with {} and has `code=` in it\n",
        redirect.trim_end_matches('/')
    );
    assert_eq!(
        ended.err,
        format!(
            "{0}{0}warning: this address is the answer to another sign-in (its `state` is not ours): open the address \
             above and paste where that one ends\n{0}{0}{0}",
            not_it
        )
    );
    assert!(env.token()["refresh_token"].is_string());
}

#[test]
fn without_a_configuration_it_says_what_it_could_not_try() {
    let env = AuthEnv::new().without_config();
    let mut signing = env.auth(&[
        "--credentials",
        "client_secret.json",
        "--token-file",
        "mine.json",
    ]);
    let url = signing.url();
    assert_eq!(field(&url, "login_hint"), None);
    get(&agree(&env.google, &url));
    let ended = signing.end();
    ended.is_well();
    assert!(
        ended.out.contains(
            "\nmine.json is written. Whether it opens the mail of the right account was not tried; with --config it is.\n"
        ),
        "{}",
        ended.out
    );
    assert_eq!(mode(env.path("mine.json")), 0o600);
    assert!(!env.path("token.json").exists());
}

#[test]
fn a_second_answer_is_told_that_it_comes_too_late() {
    let env = AuthEnv::new();
    env.google
        .token_trouble(TokenTrouble::Slow(Duration::from_secs(2)), 1);
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    let back = agree(&env.google, &url);
    let first = thread::spawn({
        let back = back.clone();
        move || get(&back)
    });
    eventually("the code is exchanged", || {
        !env.google.token_requests().is_empty()
    });
    let second = get(&back);
    assert_eq!(second.status, 200);
    assert!(second.body.contains("Already answered"), "{}", second.body);
    assert!(second.body.contains("You can close this window."));
    // Typed, it is late as well.
    signing.types(&back);
    assert!(first.join().unwrap().body.contains("Signed in"));
    signing.end().is_well();
    assert_eq!(env.google.token_requests().len(), 1, "one exchange");
}

#[test]
fn a_browser_is_opened_where_there_is_a_screen() {
    let env = AuthEnv::new();
    let bin = env.path("bin");
    fs::create_dir(&bin).unwrap();
    let script = bin.join("xdg-open");
    fs::write(
        &script,
        "#!/bin/sh\necho to stdout\necho to stderr >&2\nprintf %s \"$1\" > opened.part\nmv opened.part opened\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |extra: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"));
        command.arg("auth").args(BOTH).args(extra);
        env.start(command.env("DISPLAY", ":99").env("PATH", &path))
    };
    let mut signing = run(&[]);
    let url = signing.url();
    eventually("a browser is opened", || env.path("opened").exists());
    assert_eq!(fs::read_to_string(env.path("opened")).unwrap(), url);
    get(&agree(&env.google, &url));
    let ended = signing.end();
    ended.is_well();
    assert!(
        ended.out.starts_with("A browser is being opened;"),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("to stdout"));
    fs::remove_file(env.path("opened")).unwrap();
    let mut signing = run(&["--no-browser"]);
    let url = signing.url();
    get(&agree(&env.google, &url));
    let ended = signing.end();
    ended.is_well();
    assert!(ended.out.starts_with("Open this address"), "{}", ended.out);
    assert!(!env.path("opened").exists());
}

#[test]
fn a_lifetime_that_google_states_is_kept_and_told() {
    let env = AuthEnv::new();
    env.google
        .token_trouble(TokenTrouble::RefreshExpiresIn(604_799), 1);
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    get(&agree(&env.google, &url));
    let ended = signing.end();
    ended.is_well();
    let day = (Utc::now() + TimeDelta::seconds(604_799)).format("%Y-%m-%d");
    assert!(
        ended
            .out
            .contains(&format!("\nGoogle ends this sign-in on {day}. If that is")),
        "{}",
        ended.out
    );
    let token = env.token();
    assert!(near_now(
        token["refresh_token_expires_at"].as_str().unwrap(),
        TimeDelta::seconds(604_799)
    ));
}

#[test]
fn the_token_is_good_for_a_run() {
    let mut env = AuthEnv::new();
    let source = gmail_stand_in::Gmail::start(Options::plain("IMAP4rev1 LITERAL+ UIDPLUS IDLE"));
    source.add(Mail::new("Message-ID: <1@example.org>\r\n\r\nhello\r\n"));
    env.route
        .set("source_port", source.port())
        .set("source_ca_file", source.ca_file().to_str().unwrap())
        .set("source_user", source.account())
        .set("source_pass", source.password())
        .set("source_pass_file", json!(null));
    let mut signing = env.auth(BOTH);
    let url = signing.url();
    get(&agree(&env.google, &url));
    signing.end().is_well();
    let ran = env
        .route
        .command(&["run", "--config", "config.json", "--once"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(env.google.messages().len(), 1);
}
