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

/// A desk with the configuration in a folder below the current one.
fn desk() -> AuthEnv {
    let mut desk = AuthEnv::new();
    desk.route.set("target_token_file", json!("token.json"));
    fs::create_dir(desk.path("etc")).unwrap();
    fs::rename(desk.path("config.json"), desk.path("etc/config.json")).unwrap();
    desk
}

/// Signs in and returns what was said on stdout and stderr.
fn sign_in(desk: &AuthEnv, args: &[&str]) -> (String, String) {
    let mut signing = desk.auth(args);
    let url = signing.url();
    get(&agree(&desk.google, &url));
    let ended = signing.end();
    assert!(ended.status.success(), "{ended:?}");
    (ended.out, ended.err)
}

#[test]
fn the_token_file_lies_where_the_configuration_says() {
    let desk = desk();
    let (out, err) = sign_in(&desk, ARGS);
    assert!(
        out.contains("etc/token.json is written: localhost"),
        "{out}"
    );
    assert_eq!(err, "");
    assert!(desk.path("etc/token.json").exists() && !desk.path("token.json").exists());
    // On the command line, a path begins at the current folder.
    let (out, err) = sign_in(&desk, &[ARGS, &["--token-file", "mine.json"]].concat());
    assert!(out.contains("mine.json is written: localhost"), "{out}");
    assert_eq!(err, "");
    assert!(desk.path("mine.json").exists());
}

#[test]
fn one_that_a_run_uses_in_the_current_folder_is_the_one_that_is_written() {
    let desk = desk();
    let old = json!({"token": "old", "refresh_token": "old"}).to_string();
    fs::write(desk.path("token.json"), &old).unwrap();
    let (out, err) = sign_in(&desk, ARGS);
    let folder = desk.path("").canonicalize().unwrap();
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
    let (out, err) = sign_in(&desk, ARGS);
    assert!(out.contains("etc/token.json is written"), "{out}");
    assert_eq!(err, "");
    assert_eq!(fs::read_to_string(&used).unwrap(), old);
}

#[test]
fn the_configuration_of_the_current_folder_need_not_be_named() {
    let desk = AuthEnv::new();
    let (out, _) = sign_in(&desk, &["--credentials", "client_secret.json"]);
    assert!(out.contains("token.json is written: localhost"), "{out}");
    // Without one, the token is not tried.
    fs::remove_file(desk.path("config.json")).unwrap();
    let (out, _) = sign_in(&desk, &["--credentials", "client_secret.json"]);
    assert!(out.contains("was not tried; with --config it is"), "{out}");
}

/// The token of one side is not written over that of the other.
#[test]
fn a_configuration_that_names_no_token_file_for_this_side_needs_one_named() {
    let desk = AuthEnv::new();
    desk.write("client.json", &json!({"client_id": "00000000-1111"}));
    desk.refuses(
        &["--credentials", "client.json", "--provider", "microsoft"],
        2,
        "config.json: there is no `source_token_file` in it",
        "put `\"source_token_file\": \"token.json\"` there in place of the password, or give --token-file",
    );
}

/// Whose token it is to be nobody has said: it is shown to none of the two servers.
#[test]
fn a_token_file_that_is_named_alone_is_of_no_configuration() {
    let desk = AuthEnv::new();
    assert!(desk.path("config.json").exists());
    let args = [
        "--credentials",
        "client_secret.json",
        "--token-file",
        "mine.json",
    ];
    let before = desk.google.lines();
    let (out, err) = sign_in(&desk, &args);
    assert!(
        out.contains("mine.json is written. Whether it opens "),
        "{out}"
    );
    assert_eq!(err, "");
    assert!(desk.path("mine.json").exists() && !desk.path("token.json").exists());
    assert_eq!(desk.google.lines(), before, "nobody signed in by IMAP");
}
