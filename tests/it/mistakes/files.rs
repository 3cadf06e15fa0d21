//! Files and folders: missing, of another kind, in use.

use std::process::Stdio;

use super::user::{Said, User};
use crate::testkit::mounts::in_private_mounts;

pub(crate) fn all() -> Vec<Said> {
    let mut out = Vec::new();
    let mut one = |mistake, key: &str, json: &str, typed: &str| {
        let mut user = User::new();
        user.set(key, json);
        out.push(user.types(mistake, typed));
    };
    one(
        "The ledger in a folder that does not exist",
        "state_file",
        "\"data/sync_state.db\"",
        "imap-to-gmail run --once",
    );
    let mut script = User::new();
    script.file(
        "sync_state.json",
        "{\"synced_message_ids\": [\"<1@example.org>\"]}",
    );
    script.set("state_file", "\"sync_state.json\"");
    out.push(script.types(
        "The script's state as the ledger",
        "imap-to-gmail run --once",
    ));
    let user = User::new();
    out.push(user.types(
        "The log in a folder that does not exist",
        "imap-to-gmail run --log logs/sync.log",
    ));
    out.push(user.types("Status before anything ran", "imap-to-gmail status"));
    let mut user = User::new();
    user.without("source_pass")
        .set("source_pass_file", "\"pass.txt\"");
    out.push(user.types("A password file that is not there", "imap-to-gmail check"));
    let mut user = User::new();
    user.without("source_pass")
        .set("source_pass_command", "[\"pass\", \"show\", \"mail\"]");
    out.push(user.types(
        "A password manager that is not installed",
        "imap-to-gmail check",
    ));
    let mut user = User::new();
    user.without("target_pass")
        .set("target_token_file", "\"token.json\"");
    out.push(user.types("No sign-in yet", "imap-to-gmail run --once"));
    let mut user = User::new();
    user.set("source_ca_file", "\"ca.pem\"");
    out.push(user.types(
        "A certificate file that is not there",
        "imap-to-gmail check",
    ));
    let user = User::new();
    user.types("", "imap-to-gmail run --once");
    out.push(user.types(
        "The id of no failed message",
        "imap-to-gmail retry-failed 99",
    ));
    out.push(user.types(
        "Not the script's state file",
        "imap-to-gmail import-state config.json",
    ));
    out.push(user.types(
        "The download of another program as Google client",
        "imap-to-gmail auth --credentials config.json",
    ));
    out.push(user.types("No Google client", "imap-to-gmail auth"));
    out.push(user.while_it_runs("Started a second time", "imap-to-gmail run --once"));
    let mut other = user;
    other.set("source_user", "\"bob@example.org\"");
    out.push(other.types(
        "Another account with the ledger of the first",
        "imap-to-gmail run --once",
    ));
    out
}

/// None where this machine lets nobody mount.
pub(crate) fn full_disk() -> Option<Said> {
    let mut user = User::new();
    std::fs::create_dir(user.path("data")).unwrap();
    user.set("state_file", "\"data/sync_state.db\"");
    let fill = "mount -t tmpfs -o size=64k tmpfs data && { head -c 70000 /dev/zero > data/full 2>/dev/null; exec \"$0\" run --once; }";
    let mut command = in_private_mounts(fill)?;
    let output = command
        .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
        .current_dir(user.path(""))
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(user.said(
        "The disk is full",
        "imap-to-gmail run --once",
        &String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
    ))
}
