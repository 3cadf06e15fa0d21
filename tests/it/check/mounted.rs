//! Files that a container was given by themselves: seen before anything needs them.

use serde_json::Value;

use super::findings::right;
use crate::testkit::env::TestEnv;
use crate::testkit::mounts::in_private_mounts;

/// What is found where this script mounts what it likes and then calls `check --json`, the program being `$0`; None
/// where this machine lets nobody mount anything.
pub(crate) fn findings_of(env: &TestEnv, script: &str) -> Option<Value> {
    let out = in_private_mounts(script)?
        .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
        .current_dir(env.dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let all: Value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{out:?}", out = out.stderr));
    Some(all["checks"].clone())
}

/// What a check finds where this file is a mount of its own, made so by `options`.
fn findings(env: &TestEnv, name: &str, options: &str) -> Option<Value> {
    let script = format!(
        "mount --bind {name} {name} && {options} exec \"$0\" check --config config.json --json"
    );
    findings_of(env, &script)
}

/// The finding of this name as `result: message`.
#[track_caller]
fn finding(all: &Value, name: &str) -> String {
    let found = all.as_array().unwrap().iter().find(|f| f["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {all:#}"));
    assert!(found["hint"].is_string() || found["result"] == "ok");
    format!(
        "{}: {}",
        found["result"].as_str().unwrap(),
        found["message"].as_str().unwrap()
    )
}

#[test]
fn a_token_file_that_cannot_be_replaced() {
    let Some(all) = findings(&right(), "token.json", "") else {
        return;
    };
    let found = finding(&all, "target_token_file");
    assert!(
        found.starts_with("warning: ") && found.contains("so it is written in place"),
        "{found}"
    );
    assert!(finding(&all, "target_token").starts_with("ok: "));
    let read_only = "mount -o remount,ro,bind token.json &&";
    let all = findings(&right(), "token.json", read_only).unwrap();
    let found = finding(&all, "target_token_file");
    assert!(
        found.starts_with("warning: ")
            && found.contains("cannot be written: Read-only file system"),
        "{found}"
    );
}

#[test]
fn a_ledger_without_its_folder() {
    let env = right();
    assert_eq!(env.run().status, 0);
    let Some(all) = findings(&env, "sync_state.db", "") else {
        return;
    };
    let found = finding(&all, "ledger");
    assert!(
        found.starts_with("problem: ")
            && found.contains("the ledger is mounted as a single file, expected its folder"),
        "{found}"
    );
}
