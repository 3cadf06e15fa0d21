//! One configuration, started from several folders: one ledger, and everything once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use gmail_stand_in::Options;
use serde_json::Value;

use crate::testkit::env::{SOURCE, TestEnv};

/// A source with mail that nothing but the ledger can recognise, and a target that is no Gmail.
fn prepared() -> TestEnv {
    let mut env = TestEnv::build().target(Options::plain(SOURCE)).start();
    env.mail("", "one that bears no name");
    env.set("state_file", Value::Null);
    env
}

/// A folder to start it from.
fn folder(env: &TestEnv, name: &str) -> PathBuf {
    let path = env.dir.path().join(name);
    fs::create_dir(&path).unwrap();
    path.canonicalize().unwrap()
}

/// `run --once`, started there: its log.
#[track_caller]
fn run_from(env: &TestEnv, folder: &Path) -> String {
    let out = env
        .child(&["--once"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{log}");
    log
}

fn ledgers(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.ends_with(".db")).collect()
}

#[test]
fn a_configuration_that_is_started_from_two_folders_delivers_once() {
    let env = prepared();
    let (first, second) = (folder(&env, "first"), folder(&env, "second"));
    run_from(&env, &first);
    assert_eq!(env.held().len(), 1);
    // What came meanwhile is delivered, and that alone.
    env.mail("", "another one");
    let log = run_from(&env, &second);
    assert!(!log.contains("WARN"), "{log}");
    assert_eq!(env.held().len(), 2, "{log}");
    assert_eq!((ledgers(&first), ledgers(&second)), (vec![], vec![]));
    assert_eq!(ledgers(env.dir.path()), ["sync_state.db"]);
    env.assert_complete();
}

#[test]
fn the_ledger_that_an_earlier_version_had_elsewhere_is_still_the_ledger() {
    let mut env = prepared();
    let (old, new) = (folder(&env, "old"), env.dir.path().canonicalize().unwrap());
    let (old_ledger, new_ledger) = (old.join("sync_state.db"), new.join("sync_state.db"));
    env.set("state_file", old_ledger.to_str().unwrap());
    run_from(&env, &old);
    env.set("state_file", Value::Null);
    // The script's way to start it: in the folder in which its files are.
    env.mail("", "another one");
    let log = run_from(&env, &old);
    let said = format!(
        " WARN  there is no ledger at {}, so the one of these accounts at {} is used; a relative path in a configuration begins at the folder of that file",
        new_ledger.display(),
        old_ledger.display()
    );
    assert!(log.contains(&said), "{log}");
    assert_eq!(env.held().len(), 2, "{log}");
    assert!(!new_ledger.exists());
    // Moved as the words say, it is found from everywhere.
    fs::rename(&old_ledger, &new_ledger).unwrap();
    for folder in [&old, &folder(&env, "third")] {
        let log = run_from(&env, folder);
        assert!(!log.contains("WARN"), "{log}");
    }
    assert_eq!(env.held().len(), 2);
    env.assert_complete();
    // A second one is said, and not used.
    fs::copy(&new_ledger, &old_ledger).unwrap();
    let log = run_from(&env, &old);
    let said = format!(
        " WARN  {} is used, and {} is a second ledger of the same accounts, which is not used; ",
        new_ledger.display(),
        old_ledger.display()
    );
    assert!(log.contains(&said), "{log}");
    assert_eq!(env.held().len(), 2);
}

#[test]
fn the_ledger_of_other_accounts_is_none_of_ours() {
    let (theirs, env) = (prepared(), prepared());
    let here = theirs.dir.path().canonicalize().unwrap();
    run_from(&theirs, &here);
    let before = fs::read(here.join("sync_state.db")).unwrap();
    let mut env = env;
    // The stand-ins have the same names.
    env.set("target_user", "somebody@example.org");
    let out = env
        .child(&["--once", "--dry-run"])
        .current_dir(&here)
        .output()
        .unwrap();
    let log = String::from_utf8(out.stderr).unwrap();
    // Signing in as somebody else is refused; their ledger is no part of that.
    assert_eq!(out.status.code(), Some(4), "{log}");
    assert!(!log.contains("ledger"), "{log}");
    assert_eq!(fs::read(here.join("sync_state.db")).unwrap(), before);
}

/// The script had its state in the folder in which it was started.
#[test]
fn what_the_script_left_in_the_current_folder_is_mentioned() {
    let env = prepared();
    let here = folder(&env, "script");
    fs::write(here.join("sync_state.json"), "{\"synced_message_ids\": []}").unwrap();
    let log = run_from(&env, &here);
    let config = env.config_file();
    let said = format!(
        " WARN  sync_state.json is not taken over yet: if it is of these accounts, `imap-to-gmail import-state sync_state.json --config {}` makes known",
        config.display()
    );
    assert!(log.contains(&said), "{log}");
}
