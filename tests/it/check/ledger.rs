//! The ledger and what it lies on.

use std::fs;
use std::process::Stdio;

use chrono::Utc;
use imap_to_gmail::ledger::{Ledger, Route};
use imap_to_gmail::message::UidValidity;

use super::findings::{Checked, check, contents, right};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::mounts::in_private_mounts;

/// An environment whose three messages have been delivered.
fn delivered() -> TestEnv {
    let env = right();
    env.run_until_done(2);
    env
}

#[test]
fn a_ledger_that_is_whole_is_counted() {
    let env = delivered();
    let checked = check(&env);
    assert_eq!(checked.amiss(), [""; 0], "{checked:#?}");
    let ledger = checked.message("ledger");
    assert!(
        ledger.ends_with("is whole: 3 delivered, 0 pending; no run is using it now"),
        "{ledger}"
    );
    assert_eq!(checked.message("source_mailbox"), "INBOX holds 3 messages");
    assert_eq!(checked.message("target_mailbox"), "INBOX holds 3 messages");
}

/// Whatever a process that was killed left beside the ledger is counted, and stays.
#[test]
fn what_lies_in_the_write_ahead_log_counts() {
    for with_shm in [true, false] {
        let env = delivered();
        let db = env.sql();
        db.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE message SET status = 'skipped', proof = NULL, delivered_at = NULL, gmail_uid = NULL WHERE id = 1")
            .unwrap();
        let beside = |suffix: &str| {
            let mut name = env.ledger_file().into_os_string();
            name.push(suffix);
            std::path::PathBuf::from(name)
        };
        let files = ["", "-wal", "-shm"].map(|s| (beside(s), fs::read(beside(s)).unwrap()));
        drop(db);
        for (path, content) in files.iter().take(if with_shm { 3 } else { 2 }) {
            fs::write(path, content).unwrap();
        }
        let checked = check(&env);
        assert_eq!(checked.amiss(), [""; 0], "{checked:#?}");
        let ledger = checked.message("ledger");
        assert!(
            ledger.contains("2 delivered, 0 pending"),
            "{with_shm}: {ledger}"
        );
    }
}

#[test]
fn a_ledger_of_another_route() {
    let env = right();
    let mut ledger = Ledger::open_or_create(&env.ledger_file(), true).unwrap();
    let other = Route::new(
        "other@example.org",
        "localhost",
        "user@gmail.com",
        "localhost",
    );
    ledger.belong_to(&other, Utc::now()).unwrap();
    // Before its first look it may still become anybody's.
    assert_eq!(check(&env).status, 0);
    ledger
        .first_look(
            imap_to_gmail::folder::FolderId(1),
            UidValidity(1),
            1,
            "7d",
            Utc::now(),
        )
        .unwrap();
    drop(ledger);
    let cause = "this ledger is for other@example.org (localhost) into user@gmail.com";
    check(&env).finds(1, &["ledger problem"], cause, "under another `state_file`");
}

#[test]
fn a_ledger_that_is_damaged() {
    let env = delivered();
    let mut bytes = fs::read(env.ledger_file()).unwrap();
    let end = bytes.len();
    // The first page says what the others are: it stays.
    bytes[4096..end].fill(0x5a);
    fs::write(env.ledger_file(), bytes).unwrap();
    let cause = "the ledger is damaged";
    check(&env).finds(1, &["ledger problem"], cause, "sqlite3 LEDGER .recover");
}

#[test]
fn an_index_that_lost_a_row_is_damage_too() {
    let env = delivered();
    let root: usize =
        env.one("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_message_1'");
    let mut bytes = fs::read(env.ledger_file()).unwrap();
    // Of a page of cells, bytes 3 and 4 are their number (https://www.sqlite.org/fileformat.html, 1.6).
    let count = (root - 1) * 4096 + 3;
    assert_eq!(bytes[count..count + 2], [0, 3]);
    bytes[count + 1] = 2;
    fs::write(env.ledger_file(), bytes).unwrap();
    let cause = "the ledger is damaged: ";
    check(&env).finds(1, &["ledger problem"], cause, "sqlite3 LEDGER .recover");
}

#[test]
fn files_that_are_no_ledger() {
    for (content, status, cause, mend) in [
        (
            &b"{\"synced_message_ids\": []}"[..],
            2,
            "a JSON file, expected a ledger",
            "import-state",
        ),
        (
            b"hello, world, this is no ledger",
            1,
            "not a ledger",
            "give another path",
        ),
    ] {
        let env = right();
        fs::write(env.ledger_file(), content).unwrap();
        check(&env).finds(status, &["ledger problem"], cause, mend);
    }
    let env = right();
    let db = env.sql();
    db.execute_batch("CREATE TABLE x (y)").unwrap();
    drop(db);
    let cause = "a database of another program";
    check(&env).finds(1, &["ledger problem"], cause, "give another path");
}

#[test]
fn a_ledger_of_a_newer_program() {
    let env = delivered();
    let db = env.sql();
    db.execute("UPDATE refinery_schema_history SET version = 99 WHERE version = (SELECT max(version) FROM refinery_schema_history)", [])
        .unwrap();
    drop(db);
    let cause = "the ledger is of version 99";
    check(&env).finds(1, &["ledger problem"], cause, "newer imap-to-gmail");
}

#[test]
fn a_folder_that_is_not_there() {
    let mut env = right();
    env.set("state_file", "nowhere/sync_state.db");
    let amiss = ["ledger problem", "disk skipped"];
    check(&env).finds(
        1,
        &amiss,
        "the folder nowhere for the ledger does not exist",
        "`mkdir -p nowhere` makes it",
    );
}

/// The check in a name space of its own where the folder `small` is such a file system; None where this machine
/// does not allow that.
fn on_file_system(env: &mut TestEnv, options: &str) -> Option<Checked> {
    fs::create_dir(env.dir.path().join("small")).unwrap();
    env.set("state_file", "small/sync_state.db");
    let mount = format!("mount -t tmpfs -o {options} tmpfs small");
    let script = format!("{mount} && exec \"$0\" check --config config.json --json");
    let output = in_private_mounts(&script)?
        .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
        .current_dir(env.dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(Checked::read(&crate::testkit::route::Ran {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }))
}

#[test]
fn a_disk_that_is_all_but_full() {
    for (size, amiss, status) in [("1m", "disk problem", 1), ("50m", "disk warning", 0)] {
        if let Some(checked) = on_file_system(&mut right(), &format!("size={size}")) {
            checked.finds(status, &[amiss], "free under the ledger", "make room");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written() {
    if let Some(checked) = on_file_system(&mut right(), "ro,size=200m") {
        let cause =
            "the folder small for the ledger can only be read: its file system is mounted so";
        checked.finds(
            1,
            &["ledger problem"],
            cause,
            "mount it so that it can be written",
        );
    }
}

#[test]
fn a_run_goes_on_while_it_is_checked() {
    let env = right();
    let mut run = env.spawn_for_good(&[]);
    eventually("the run has delivered what there is", || {
        let status = env.status_soon();
        status["running"] == true && status["delivered"] == 3
    });
    let names = |env: &TestEnv| contents(env.dir.path()).into_keys().collect::<Vec<_>>();
    let before = names(&env);
    let ran = env.command(&["check", "--config", "config.json", "--json"]);
    let checked = Checked::read(&ran);
    assert_eq!(checked.amiss(), [""; 0], "{checked:#?}");
    let ledger = checked.message("ledger");
    assert!(
        ledger.ends_with("3 delivered, 0 pending; a run is using it now"),
        "{ledger}"
    );
    assert_eq!(names(&env), before);
    env.mail("<after@example.org>", "after the check");
    eventually("the run delivers on", || env.status()["delivered"] == 4);
    run.kill().unwrap();
    run.wait().unwrap();
    env.assert_complete();
}
