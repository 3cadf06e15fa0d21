//! The configuration and its files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::findings::{Checked, check, contents, right};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn where_all_is_right_nothing_is_found() {
    let env = right();
    let checked = check(&env);
    assert_eq!(checked.amiss(), [""; 0], "{checked:#?}");
    assert_eq!(checked.status, 0);
    assert_eq!(
        checked.message("source_mailbox"),
        "INBOX holds 3 messages; the first run takes all of them"
    );
    // It is the only one that was there.
    assert_eq!(env.target.token_requests().len(), 1);
}

#[test]
fn a_file_that_is_no_configuration_is_told_with_its_place() {
    for (content, cause) in [
        (
            &b"{\"source_server\": \"a\",\n}"[..],
            "config.json: not JSON at line 1, column 22",
        ),
        (b"[]", "got a list, expected an object"),
        (b"", "the file is empty"),
    ] {
        let env = right();
        fs::write(env.config_file(), content).unwrap();
        let before = contents(env.dir.path());
        let ran = env.command(&["check", "--config", "config.json", "--json"]);
        assert_eq!(contents(env.dir.path()), before);
        let checked = Checked::read(&ran);
        let amiss = ["configuration problem", "everything_else skipped"];
        checked.finds(2, &amiss, cause, "");
    }
    let env = right();
    let ran = env.command(&["check", "--config", "nowhere.json", "--json"]);
    let amiss = ["configuration problem", "everything_else skipped"];
    Checked::read(&ran).finds(2, &amiss, "nowhere.json: there is no such file", "--config");
}

#[test]
fn a_mistake_hides_neither_the_next_one_nor_the_servers() {
    let mut env = right();
    env.set("sinse", "7d").set("connections", 99);
    let checked = check(&env);
    let amiss = ["configuration problem", "configuration problem"];
    checked.finds(2, &amiss, "unknown key `sinse`", "did you mean `since`?");
}

#[test]
fn a_password_file_that_cannot_be_read_leaves_the_other_side_to_be_tried() {
    let mut env = right();
    env.set("source_pass", Value::Null)
        .set("source_pass_file", "nowhere");
    check(&env).finds(
        2,
        &[
            "configuration problem",
            "source_sign_in skipped",
            "source_mailbox skipped",
            "source_idle skipped",
        ],
        "`source_pass_file`: the file that it names cannot be read: No such file",
        "the file must hold the password",
    );
}

#[test]
fn secrets_that_others_can_read_are_named() {
    let env = right();
    // Nobody else gets into the folder of a test: there a mode does not matter.
    chmod(&env.config_file(), 0o644);
    assert_eq!(check(&env).amiss(), [""; 0]);
    chmod(env.dir.path(), 0o755);
    chmod(&env.dir.path().join("token.json"), 0o600);
    let checked = check(&env);
    let cause = "can read or change config.json (mode 644)";
    checked.finds(
        0,
        &["permissions warning"],
        cause,
        "`chmod 600 config.json`",
    );
    chmod(&env.dir.path().join("token.json"), 0o604);
    let amiss = ["permissions warning", "permissions warning"];
    check(&env).finds(0, &amiss, "config.json", "chmod 600");
    // The group may be the service's own.
    chmod(&env.config_file(), 0o640);
    chmod(&env.dir.path().join("token.json"), 0o640);
    assert_eq!(check(&env).amiss(), [""; 0]);
    chmod(env.dir.path(), 0o777);
    let cause = "can replace the files in";
    check(&env).finds(
        0,
        &["permissions warning", "permissions warning"],
        cause,
        "chmod o-w",
    );
    chmod(env.dir.path(), 0o1777);
    assert_eq!(check(&env).amiss(), [""; 0]);
}

#[test]
fn an_authority_that_is_no_certificate_is_a_mistake_of_the_configuration() {
    let mut env = right();
    let file = env.config_file();
    env.set("source_ca_file", file.to_str().unwrap());
    check(&env).finds(
        2,
        &[
            "source_connection problem",
            "source_sign_in skipped",
            "source_mailbox skipped",
            "source_idle skipped",
        ],
        "no certificates can be read from it",
        "is for a PEM file",
    );
}

#[test]
fn what_is_shown_holds_no_secret() {
    let mut env = right();
    let token: Value =
        serde_json::from_str(&fs::read_to_string(env.dir.path().join("token.json")).unwrap())
            .unwrap();
    env.set("source_pass", "HUSH-HUSH-HUSH");
    for args in [
        &["check", "--config", "config.json"][..],
        &["check", "--config", "config.json", "--json"],
    ] {
        let ran = env.command(args);
        assert_eq!(ran.status, 4, "{ran:?}");
        for secret in ["HUSH", "token", "refresh_token", "client_secret"] {
            let secret = token[secret].as_str().unwrap_or(secret);
            assert!(
                !ran.out.contains(secret) && !ran.err.contains(secret),
                "{ran:?}"
            );
        }
    }
}
