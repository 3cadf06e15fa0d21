//! Where the token file is written, and what must be left alone there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;

use super::sign_in::{AuthEnv, agree, get, mode};

const BOTH: &[&str] = &[
    "--credentials",
    "client_secret.json",
    "--config",
    "config.json",
];
const PLACE: &str = "give another path with --token-file";

fn sign_in(desk: &AuthEnv, args: &[&str]) {
    let mut signing = desk.auth(args);
    let url = signing.url();
    get(&agree(&desk.google, &url));
    signing.end().is_well();
}

#[test]
fn an_old_token_file_is_replaced_by_one_for_its_owner_alone() {
    let desk = AuthEnv::new();
    let old = json!({
        "token": "old", "refresh_token": "old", "client_id": "old", "rapt_token": "old", "id_token": "old",
        "refresh_token_expires_at": "2020-01-01T00:00:00.000000Z", "type": "authorized_user",
        "what we do not know": {"stays": [1, 2]},
    });
    desk.write("real.json", &old);
    fs::set_permissions(desk.path("real.json"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("real.json", desk.path("token.json")).unwrap();
    sign_in(&desk, BOTH);
    assert_eq!(
        fs::read_link(desk.path("token.json")).unwrap().to_str(),
        Some("real.json")
    );
    assert_eq!(mode(desk.path("real.json")), 0o600);
    let text = fs::read_to_string(desk.path("token.json")).unwrap();
    assert!(
        !text.contains("\"old\"") && !text.contains("2020"),
        "{text}"
    );
    assert!(desk.token().get("type").is_none());
    assert_eq!(
        desk.token()["what we do not know"],
        old["what we do not know"]
    );
    let mut names: Vec<_> = fs::read_dir(desk.route.dir.path())
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
    let desk = AuthEnv::new();
    fs::write(desk.path("token.json"), "\n").unwrap();
    sign_in(&desk, BOTH);
    assert_eq!(mode(desk.path("token.json")), 0o600);
}

#[test]
fn what_is_no_token_file_is_not_written_over() {
    let desk = AuthEnv::new();
    fs::write(desk.path("notes.txt"), "dear diary").unwrap();
    fs::write(desk.path("list.json"), "[]").unwrap();
    for name in [
        "notes.txt",
        "list.json",
        "client_secret.json",
        "config.json",
    ] {
        let before = fs::read(desk.path(name)).unwrap();
        desk.refuses(
            &[BOTH, &["--token-file", name]].concat(),
            2,
            &format!("{name}: holds something else than a token, and is not written over"),
            "give another --token-file, or move that file away",
        );
        assert_eq!(fs::read(desk.path(name)).unwrap(), before);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_known_before_anybody_signs_in() {
    let desk = AuthEnv::new();
    fs::create_dir(desk.path("folder")).unwrap();
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
        let ended = desk.auth(&[BOTH, &["--token-file", place]].concat()).end();
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
    let mut desk = AuthEnv::new();
    desk.route
        .set("target_token_file", json!(null))
        .set("target_pass", "HUSH");
    desk.refuses(
        BOTH,
        2,
        "config.json: there is no `target_token_file` in it",
        "put `\"target_token_file\": \"token.json\"` there in place of the password, or give --token-file",
    );
    sign_in(&desk, &[BOTH, &["--token-file", "token.json"]].concat());
    assert!(desk.path("token.json").exists());
}

#[test]
fn a_configuration_that_is_wrong_is_said_as_ever() {
    let mut desk = AuthEnv::new();
    desk.route.set("target_usr", "x");
    desk.refuses(
        BOTH,
        2,
        "config.json: unknown key `target_usr`",
        "did you mean `target_user`?",
    );
    desk.route
        .set("target_usr", json!(null))
        .set("target_user", json!(null));
    desk.refuses(
        BOTH,
        2,
        "config.json: `target_user` is missing",
        "config.json.example shows a complete one; docs/configuration.md and `man imap-to-gmail-config` explain every key",
    );
}
