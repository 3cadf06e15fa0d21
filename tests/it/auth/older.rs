//! Which token file a sign-in writes where the configuration lies in another folder than the current one.

use std::fs;

use serde_json::json;

use super::sign_in::{AuthEnv, agree, get};

const ARGS: &[&str] = &[
    "--credentials",
    "client_secret.json",
    "--config",
    "etc/config.json",
];

/// With the configuration in a folder below the current one.
fn prepared() -> AuthEnv {
    let mut env = AuthEnv::new();
    env.route.set("target_token_file", json!("token.json"));
    fs::create_dir(env.path("etc")).unwrap();
    fs::rename(env.path("config.json"), env.path("etc/config.json")).unwrap();
    env
}

/// Signs in and returns what was said on stdout and stderr.
fn sign_in(env: &AuthEnv, args: &[&str]) -> (String, String) {
    let mut signing = env.auth(args);
    let url = signing.url();
    get(&agree(&env.google, &url));
    let ended = signing.end();
    assert!(ended.status.success(), "{ended:?}");
    (ended.out, ended.err)
}

#[test]
fn the_token_file_lies_where_the_configuration_says() {
    let env = prepared();
    let (out, err) = sign_in(&env, ARGS);
    assert!(
        out.contains("etc/token.json is written: localhost"),
        "{out}"
    );
    assert_eq!(err, "");
    assert!(env.path("etc/token.json").exists() && !env.path("token.json").exists());
    // On the command line, a path begins at the current folder.
    let (out, err) = sign_in(&env, &[ARGS, &["--token-file", "mine.json"]].concat());
    assert!(out.contains("mine.json is written: localhost"), "{out}");
    assert_eq!(err, "");
    assert!(env.path("mine.json").exists());
}

#[test]
fn one_that_a_run_uses_in_the_current_folder_is_the_one_that_is_written() {
    let env = prepared();
    let old = json!({"token": "old", "refresh_token": "old"}).to_string();
    fs::write(env.path("token.json"), &old).unwrap();
    let (out, err) = sign_in(&env, ARGS);
    let folder = env.path("").canonicalize().unwrap();
    let (new, used) = (folder.join("etc/token.json"), folder.join("token.json"));
    assert!(
        out.contains(&format!("{} is written: localhost", used.display())),
        "{out}"
    );
    assert_eq!(
        err,
        format!(
            "warning: `target_token_file`: {} is not there, so {} is used; a relative path in a configuration begins at the folder of that file: move it there, or write its whole path\n",
            new.display(),
            used.display()
        )
    );
    assert!(!new.exists());
    assert!(!fs::read_to_string(&used).unwrap().contains("\"old\""));
    // Where there are both, a run uses the new one.
    fs::write(&new, &old).unwrap();
    fs::write(&used, &old).unwrap();
    let (out, err) = sign_in(&env, ARGS);
    assert!(out.contains("etc/token.json is written"), "{out}");
    assert_eq!(err, "");
    assert_eq!(fs::read_to_string(&used).unwrap(), old);
}

#[test]
fn the_configuration_of_the_current_folder_need_not_be_named() {
    let env = AuthEnv::new();
    let (out, _) = sign_in(&env, &["--credentials", "client_secret.json"]);
    assert!(out.contains("token.json is written: localhost"), "{out}");
    // Without one, the token is not tried.
    fs::remove_file(env.path("config.json")).unwrap();
    let (out, _) = sign_in(&env, &["--credentials", "client_secret.json"]);
    assert!(out.contains("was not tried; with --config it is"), "{out}");
}

/// The token of one side is not written over that of the other.
#[test]
fn a_configuration_that_names_no_token_file_for_this_side_needs_one_named() {
    let env = AuthEnv::new();
    env.write("client.json", &json!({"client_id": "00000000-1111"}));
    env.refuses(
        &["--credentials", "client.json", "--provider", "microsoft"],
        2,
        "config.json: there is no `source_token_file` in it",
        "put `\"source_token_file\": \"token.json\"` there in place of the password, or give --token-file",
    );
}

/// Whose token it is to be nobody has said: it is shown to none of the two servers.
#[test]
fn a_token_file_that_is_named_alone_is_of_no_configuration() {
    let env = AuthEnv::new();
    assert!(env.path("config.json").exists());
    let args = [
        "--credentials",
        "client_secret.json",
        "--token-file",
        "mine.json",
    ];
    let before = env.google.lines();
    let (out, err) = sign_in(&env, &args);
    assert!(
        out.contains("mine.json is written. Whether it opens "),
        "{out}"
    );
    assert_eq!(err, "");
    assert!(env.path("mine.json").exists() && !env.path("token.json").exists());
    assert_eq!(env.google.lines(), before, "nobody signed in by IMAP");
}
