//! Where the token file is written, and what must be left alone there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;

use super::sign_in::{AuthEnv, BOTH, agree, get, mode};

const PLACE: &str = "give another path with --token-file";

fn sign_in(env: &AuthEnv, args: &[&str]) {
    let mut signing = env.auth(args);
    let url = signing.url();
    get(&agree(&env.google, &url));
    signing.end().is_well();
}

#[test]
fn an_old_token_file_is_replaced_by_one_for_its_owner_alone() {
    let env = AuthEnv::new();
    let old = json!({
        "token": "old", "refresh_token": "old", "client_id": "old", "rapt_token": "old", "id_token": "old",
        "refresh_token_expires_at": "2020-01-01T00:00:00.000000Z", "type": "authorized_user",
        "what we do not know": {"stays": [1, 2]},
    });
    env.write("real.json", &old);
    fs::set_permissions(env.path("real.json"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("real.json", env.path("token.json")).unwrap();
    sign_in(&env, BOTH);
    assert_eq!(
        fs::read_link(env.path("token.json")).unwrap().to_str(),
        Some("real.json")
    );
    assert_eq!(mode(env.path("real.json")), 0o600);
    let text = fs::read_to_string(env.path("token.json")).unwrap();
    assert!(
        !text.contains("\"old\"") && !text.contains("2020"),
        "{text}"
    );
    assert!(env.token().get("type").is_none());
    assert_eq!(
        env.token()["what we do not know"],
        old["what we do not know"]
    );
    let mut names: Vec<_> = fs::read_dir(env.route.dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "client_secret.json",
            "config.json",
            "real.json",
            "token.json"
        ]
    );
}

#[test]
fn an_empty_file_may_be_filled() {
    let env = AuthEnv::new();
    fs::write(env.path("token.json"), "\n").unwrap();
    sign_in(&env, BOTH);
    assert_eq!(mode(env.path("token.json")), 0o600);
}

#[test]
fn what_is_no_token_file_is_not_written_over() {
    let env = AuthEnv::new();
    fs::write(env.path("notes.txt"), "dear diary").unwrap();
    fs::write(env.path("list.json"), "[]").unwrap();
    for name in [
        "notes.txt",
        "list.json",
        "client_secret.json",
        "config.json",
    ] {
        let before = fs::read(env.path(name)).unwrap();
        env.refuses(
            &[BOTH, &["--token-file", name]].concat(),
            2,
            &format!("{name}: holds something else than a token, and is not written over"),
            "give another --token-file, or move that file away",
        );
        assert_eq!(fs::read(env.path(name)).unwrap(), before);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_known_before_anybody_signs_in() {
    let env = AuthEnv::new();
    fs::create_dir(env.path("folder")).unwrap();
    for (place, what) in [
        (
            "folder",
            "this is a folder, expected a file for the token file",
        ),
        (
            "nowhere/token.json",
            "the folder nowhere for the token file does not exist",
        ),
        (
            "config.json/token.json",
            "config.json is a file, expected a folder for the token file",
        ),
    ] {
        let ended = env.auth(&[BOTH, &["--token-file", place]].concat()).end();
        let err = &ended.err;
        let hint = ended.err.split("\n\n").nth(1).unwrap();
        assert_eq!(ended.status.code(), Some(2));
        assert_eq!(
            err.lines().next().unwrap(),
            format!("error: {place}: {what}")
        );
        let mkdir = if place.starts_with("nowhere") {
            "`mkdir -p nowhere` makes it; or "
        } else {
            ""
        };
        assert_eq!(hint, format!("hint: {mkdir}{PLACE}\n"));
    }
}

#[test]
fn a_configuration_without_a_token_file_needs_one_named() {
    let mut env = AuthEnv::new();
    env.route
        .set("target_token_file", json!(null))
        .set("target_pass", "HUSH");
    env.refuses(
        BOTH,
        2,
        "config.json: there is no `target_token_file` in it",
        "put `\"target_token_file\": \"token.json\"` there in place of the password, or give --token-file",
    );
    sign_in(&env, &[BOTH, &["--token-file", "token.json"]].concat());
    assert!(env.path("token.json").exists());
}

#[test]
fn a_configuration_that_is_wrong_is_said_as_ever() {
    let mut env = AuthEnv::new();
    env.route.set("target_usr", "x");
    env.refuses(
        BOTH,
        2,
        "config.json: unknown key `target_usr`",
        "did you mean `target_user`?",
    );
    env.route
        .set("target_usr", json!(null))
        .set("target_user", json!(null));
    env.refuses(
        BOTH,
        2,
        "config.json: `target_user` is missing",
        "config.json.example shows a complete one; docs/configuration.md and `man imap-to-gmail-config` explain every key",
    );
}
