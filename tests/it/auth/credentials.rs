//! The credentials file: what people have at hand, and the port that a client is registered for.

use std::fs;
use std::net::TcpListener;

use gmail_stand_in::{CLIENT_ID, CLIENT_SECRET};
use serde_json::{Value, json};

use super::sign_in::{AuthEnv, agree, field, get};

const FILE: &[&str] = &["--credentials", "client_secret.json"];
const DESKTOP: &str = "get that file at https://console.cloud.google.com/auth/clients: make a client of type \"Desktop app\" and download its JSON (docs/google-client.md says how); if you use an app password (`target_pass`), you do not need this file";
const MICROSOFT: &str = "register an app of your own in Microsoft Entra (public client, redirect http://localhost); the file is {\"client_id\": \"...\"}, with `tenant` where it is for one organisation alone";
const OTHER: &str = "the file is {\"auth_uri\": \"https://...\", \"token_uri\": \"https://...\", \"client_id\": \"...\", \"scope\": \"...\"}, with `client_secret`, `device_uri` and `redirect_uri` where the provider has them";

/// The stand-in's client with a change under `installed`; null takes a key out.
fn with(env: &AuthEnv, key: &str, value: Value) -> Value {
    let mut client = env.google.client_secret_json();
    match value {
        Value::Null => client["installed"].as_object_mut().unwrap().remove(key),
        value => client["installed"]
            .as_object_mut()
            .unwrap()
            .insert(key.into(), value),
    };
    client
}

#[test]
fn files_that_are_something_else() {
    let env = AuthEnv::new();
    for (content, what) in [
        ("", "not JSON at line 1, column 1: the file ends too early".to_string()),
        ("{\n  \"installed\": x\n}", "not JSON at line 2, column 16: expected value".into()),
        ("[]", "is not the OAuth client file from Google (client_secret.json), since it holds no JSON object".into()),
        ("{}", "is not the OAuth client file from Google (client_secret.json), since there is no `installed` in it".into()),
        ("{\"installed\": 5}", "is not the OAuth client file from Google (client_secret.json), since `installed` in it is no JSON object".into()),
        (
            "{\"type\": \"service_account\", \"client_id\": \"1\", \"private_key\": \"HUSH\"}",
            "is the key of a service account (which has no mail of its own), not the OAuth client file from Google (client_secret.json)".into(),
        ),
        (
            &env.google.token_json("HUSH", std::time::Duration::ZERO),
            "is a token file (which is what `auth` makes), not the OAuth client file from Google (client_secret.json)".into(),
        ),
        (
            "{\"type\": \"authorized_user\", \"client_id\": \"1\", \"client_secret\": \"HUSH\", \"refresh_token\": \"HUSH\"}",
            "is a token file (which is what `auth` makes), not the OAuth client file from Google (client_secret.json)".into(),
        ),
        (
            &fs::read_to_string(env.path("config.json")).unwrap(),
            "is your configuration, not the OAuth client file from Google (client_secret.json)".into(),
        ),
        (&" ".repeat(70_000), "is not the OAuth client file from Google (client_secret.json), since it is too long".into()),
    ] {
        fs::write(env.path("client_secret.json"), content).unwrap();
        env.refuses(FILE, 2, &format!("client_secret.json: {what}"), DESKTOP);
    }
    fs::write(env.path("client_secret.json"), b"\xff{}").unwrap();
    env.refuses(
        FILE,
        2,
        "client_secret.json: not JSON at line 1, column 1: expected value",
        DESKTOP,
    );
    env.refuses(
        &["--credentials", "missing.json"],
        2,
        "missing.json: there is no such file; expected the OAuth client file from Google (client_secret.json)",
        DESKTOP,
    );
    env.write("client_secret.json", &json!({"client_id": "x"}));
    env.refuses(
        FILE,
        2,
        "client_secret.json: is not the OAuth client file from Google (client_secret.json), since there is no `installed` in it",
        &format!("for another provider say so, with --provider microsoft or --provider other; else: {DESKTOP}"),
    );
    env.write("client_secret.json", &env.google.client_secret_json());
    env.refuses(
        &[FILE, &["--provider", "microsoft"]].concat(),
        2,
        "client_secret.json: is the OAuth client file from Google",
        "leave out --provider to sign in to Google",
    );
}

#[test]
fn clients_of_google_that_lack_something() {
    let env = AuthEnv::new();
    for (key, value, what) in [
        ("client_id", json!(null), "`client_id` is missing"),
        ("client_secret", json!(null), "`client_secret` is missing"),
        ("auth_uri", json!(null), "`auth_uri` is missing"),
        (
            "client_id",
            json!(5),
            "`client_id` is not what it should be: expected text",
        ),
        (
            "client_secret",
            json!("HU\nSH"),
            "`client_secret` is not what it should be: expected text",
        ),
        (
            "token_uri",
            json!("http://example.org/token"),
            "`token_uri` is http://example.org/token, expected https",
        ),
        (
            "auth_uri",
            json!("file:///etc/passwd"),
            "`auth_uri` is file:///etc/passwd, expected https",
        ),
    ] {
        env.write("client_secret.json", &with(&env, key, value));
        env.refuses(FILE, 2, &format!("client_secret.json: {what}"), DESKTOP);
    }
}

#[test]
fn a_web_client_comes_back_where_it_is_registered_or_not_at_all() {
    let env = AuthEnv::new();
    let web = |uris: &[&str]| {
        let mut client = env.google.client_secret_json()["installed"].clone();
        client["redirect_uris"] = json!(uris);
        env.write("client_secret.json", &json!({"web": client}));
    };
    for uris in [
        &[][..],
        &["https://example.org/callback"],
        &[
            "https://127.0.0.1:8080/",
            "http://localhost",
            "http://[::1]:8080/",
            "http://localhost.example.org:8080/",
        ],
    ] {
        web(uris);
        env.refuses(
            FILE,
            2,
            "client_secret.json: is of a client of type \"Web application\" that may not send the browser back to this machine",
            "make a client of type \"Desktop app\", or register http://127.0.0.1:8080/ as a redirect URI of this one and download its JSON anew",
        );
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    web(&[
        "https://example.org/callback",
        &format!("http://localhost:{port}/back"),
    ]);
    env.refuses(
        &[FILE, &["--port", "9"]].concat(),
        2,
        &format!("`--port`: got 9, but this client is registered for port {port}"),
        "leave --port away",
    );
    let mut signing = env.auth(FILE);
    let url = signing.url();
    assert_eq!(
        field(&url, "redirect_uri").unwrap(),
        format!("http%3A%2F%2Flocalhost%3A{port}%2Fback")
    );
    let page = get(&agree(&env.google, &url));
    assert!(page.body.contains("Signed in"), "{}", page.body);
    signing.end().is_well();
}

#[test]
fn a_port_of_ones_own_or_one_that_is_taken() {
    let env = AuthEnv::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    env.refuses(
        &[FILE, &["--port", &port]].concat(),
        2,
        &format!(
            "port {port} of 127.0.0.1 cannot be listened on: Address already in use (os error 98)"
        ),
        "another --port, or none, which takes one that is free",
    );
    drop(taken);
    let mut signing = env.auth(&[FILE, &["--port", &port]].concat());
    let back = agree(&env.google, &signing.url());
    assert!(
        back.starts_with(&format!("http://127.0.0.1:{port}/?")),
        "{back}"
    );
    get(&back);
    signing.end().is_well();
}

#[test]
fn files_of_other_providers() {
    let env = AuthEnv::new();
    let full = json!({"client_id": "x", "auth_uri": "https://example.org/a", "token_uri": "https://example.org/t", "scope": "mail"});
    let with = |key: &str, value: Value| {
        let mut file = full.clone();
        match value {
            Value::Null => file.as_object_mut().unwrap().remove(key),
            value => file.as_object_mut().unwrap().insert(key.into(), value),
        };
        file
    };
    for (provider, file, what, hint) in [
        ("other", json!({}), "`client_id` is missing", OTHER),
        (
            "other",
            with("scope", json!(null)),
            "`scope` is missing",
            OTHER,
        ),
        (
            "other",
            with("token_uri", json!(null)),
            "`token_uri` is missing",
            OTHER,
        ),
        (
            "other",
            with("auth_uri", json!("http://example.org")),
            "`auth_uri` is http://example.org, expected https",
            OTHER,
        ),
        (
            "other",
            with("device_uri", json!("x")),
            "`device_uri` is x, expected https",
            OTHER,
        ),
        (
            "other",
            with("tenant", json!("common")),
            "`tenant` is a word of Microsoft's",
            OTHER,
        ),
        (
            "other",
            with("secret", json!("HUSH")),
            "unknown key `secret`",
            OTHER,
        ),
        (
            "other",
            with("redirect_uri", json!("https://example.org/")),
            "`redirect_uri` is https://example.org/, expected http://127.0.0.1 or http://localhost, with a port and a path where they are registered",
            OTHER,
        ),
        ("microsoft", json!({}), "`client_id` is missing", MICROSOFT),
        (
            "microsoft",
            json!({"client_id": "x", "tenant": "a/../b"}),
            "`tenant` is a/../b, expected `common`, `consumers`, `organizations`, or the id or domain of one",
            MICROSOFT,
        ),
    ] {
        env.write("client_secret.json", &file);
        env.refuses(
            &[FILE, &["--provider", provider]].concat(),
            2,
            &format!("client_secret.json: {what}"),
            hint,
        );
    }
}

#[test]
fn microsoft_needs_a_client_id_alone() {
    let env = AuthEnv::new().without_config();
    env.write(
        "client_secret.json",
        &json!({"client_id": "00000000-1111", "tenant": "consumers"}),
    );
    let mut signing = env.auth(&[FILE, &["--provider", "microsoft"]].concat());
    let url = signing.line("/authorize?");
    let start = "https://login.microsoftonline.com/consumers/oauth2/v2.0/authorize?response_type=code&client_id=00000000-1111&";
    assert!(url.starts_with(start), "{url}");
    assert_eq!(
        field(&url, "scope"),
        Some("https%3A%2F%2Foutlook.office.com%2FIMAP.AccessAsUser.All+offline_access")
    );
    assert!(
        field(&url, "redirect_uri")
            .unwrap()
            .starts_with("http%3A%2F%2Flocalhost%3A")
    );
    assert_eq!(field(&url, "access_type"), None);
    signing.child.kill().unwrap();
    signing.end();
}

#[test]
fn another_provider_in_full() {
    let env = AuthEnv::new().without_config();
    env.write(
        "client_secret.json",
        &json!({
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "auth_uri": env.google.web("/auth"),
            "token_uri": env.google.token_url(),
            "scope": "https://mail.google.com/ offline",
            "redirect_uri": "http://127.0.0.1/back",
        }),
    );
    let mut signing = env.auth(&[FILE, &["--provider", "other"]].concat());
    let url = signing.url();
    assert_eq!(field(&url, "prompt"), None);
    let back = agree(&env.google, &url);
    assert!(back.contains("/back?"), "{back}");
    get(&back);
    let ended = signing.end();
    ended.is_well();
    assert!(!ended.out.contains("Google"), "{}", ended.out);
    let token = env.token();
    assert_eq!(
        token["scopes"],
        json!(["https://mail.google.com/", "offline"])
    );
    assert_eq!(token["client_secret"], CLIENT_SECRET);
    assert!(token.get("universe_domain").is_none());
}
