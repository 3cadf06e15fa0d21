//! One configuration, started from several folders: one ledger, and everything once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use gmail_stand_in::Options;
use serde_json::Value;

use crate::testkit::env::{SOURCE, TestEnv};

/// A source with mail that nothing but the ledger can recognise, and a target that is no Gmail.
fn stage() -> TestEnv {
    let mut stage = TestEnv::build().target(Options::plain(SOURCE)).start();
    stage.mail("", "one that bears no name");
    stage.set("state_file", Value::Null);
    stage
}

/// A folder to start it from.
fn folder(stage: &TestEnv, name: &str) -> PathBuf {
    let path = stage.dir.path().join(name);
    fs::create_dir(&path).unwrap();
    path.canonicalize().unwrap()
}

/// `run --once`, started there: its log.
#[track_caller]
fn run_from(stage: &TestEnv, folder: &Path) -> String {
    let out = stage
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
    let stage = stage();
    let (first, second) = (folder(&stage, "first"), folder(&stage, "second"));
    run_from(&stage, &first);
    assert_eq!(stage.held().len(), 1);
    // What came meanwhile is delivered, and that alone.
    stage.mail("", "another one");
    let log = run_from(&stage, &second);
    assert!(!log.contains("WARN"), "{log}");
    assert_eq!(stage.held().len(), 2, "{log}");
    assert_eq!((ledgers(&first), ledgers(&second)), (vec![], vec![]));
    assert_eq!(ledgers(stage.dir.path()), ["sync_state.db"]);
    stage.assert_complete();
}

#[test]
fn the_ledger_that_an_earlier_version_had_elsewhere_is_still_the_ledger() {
    let mut stage = stage();
    let (old, new) = (
        folder(&stage, "old"),
        stage.dir.path().canonicalize().unwrap(),
    );
    let (old_ledger, new_ledger) = (old.join("sync_state.db"), new.join("sync_state.db"));
    stage.set("state_file", old_ledger.to_str().unwrap());
    run_from(&stage, &old);
    stage.set("state_file", Value::Null);
    // The script's way to start it: in the folder in which its files are.
    stage.mail("", "another one");
    let log = run_from(&stage, &old);
    let said = format!(
        " WARN  there is no ledger at {}, so the one of these accounts at {} is used; a relative path in a configuration begins at the folder of that file",
        new_ledger.display(),
        old_ledger.display()
    );
    assert!(log.contains(&said), "{log}");
    assert_eq!(stage.held().len(), 2, "{log}");
    assert!(!new_ledger.exists());
    // Moved as the words say, it is found from everywhere.
    fs::rename(&old_ledger, &new_ledger).unwrap();
    for folder in [&old, &folder(&stage, "third")] {
        let log = run_from(&stage, folder);
        assert!(!log.contains("WARN"), "{log}");
    }
    assert_eq!(stage.held().len(), 2);
    stage.assert_complete();
    // A second one is said, and not used.
    fs::copy(&new_ledger, &old_ledger).unwrap();
    let log = run_from(&stage, &old);
    let said = format!(
        " WARN  {} is used, and {} is a second ledger of the same accounts, which is not used; ",
        new_ledger.display(),
        old_ledger.display()
    );
    assert!(log.contains(&said), "{log}");
    assert_eq!(stage.held().len(), 2);
}

#[test]
fn the_ledger_of_other_accounts_is_none_of_ours() {
    let (theirs, stage) = (stage(), stage());
    let here = theirs.dir.path().canonicalize().unwrap();
    run_from(&theirs, &here);
    let before = fs::read(here.join("sync_state.db")).unwrap();
    let mut stage = stage;
    // The stand-ins have the same names.
    stage.set("target_user", "somebody@example.org");
    let out = stage
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
    let stage = stage();
    let here = folder(&stage, "script");
    fs::write(here.join("sync_state.json"), "{\"synced_message_ids\": []}").unwrap();
    let log = run_from(&stage, &here);
    let config = stage.config_file();
    let said = format!(
        " WARN  sync_state.json is not taken over yet: if it is of these accounts, `imap-to-gmail import-state sync_state.json --config {}` makes known",
        config.display()
    );
    assert!(log.contains(&said), "{log}");
}
