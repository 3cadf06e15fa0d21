//! The ledger is lost, or comes from a backup: nothing is sent twice, and an audit agrees. As docs/restore.md has it.

use std::fs;
use std::process::Command;

use gmail_stand_in::Mail;
use serde_json::json;

use super::{audit, copy_of, put};
use crate::testkit::env::TestEnv;
use crate::testkit::in_ci;
use crate::testkit::tree_env::Running;

fn appends(env: &TestEnv) -> usize {
    env.target.transcript().commands(" APPEND ")
}

/// Mail as there is: in several folders, twice, without a name, archived, thrown away.
fn filled() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("folders", json!(["*"]));
    for n in 0..20 {
        let bytes = put(&env, &format!("m{n}"));
        if n % 5 == 0 {
            env.source.add(Mail::new(bytes).in_mailbox("Work"));
        }
    }
    env.source.add(Mail::new(
        "From: scanner@example.org\r\nSubject: without a name\r\n\r\npage 1\r\n",
    ));
    env.run_until_done(1);
    env.target.set_labels(copy_of(&env, "m1"), &[]);
    env.target.set_labels(copy_of(&env, "m2"), &["Own label"]);
    env.target.trash(copy_of(&env, "m3"));
    env
}

#[test]
fn a_run_without_its_ledger_sends_nothing_and_an_audit_agrees() {
    let env = filled();
    let before = (env.target.messages(), appends(&env));
    audit(&env).has(&[("delivered", 24), ("in_trash", 1)]);
    fs::remove_file(env.ledger_file()).unwrap();
    // Without a ledger nobody knows what was to be there.
    let none = env.command(&["audit", "--config", "config.json"]);
    assert_eq!((none.status, &*none.out), (1, ""), "{none:?}");
    assert!(none.err.contains("there is no ledger here"), "{none:?}");
    assert!(!env.ledger_file().exists());
    env.run_until_done(1);
    assert_eq!((env.target.messages(), appends(&env)), before);
    let found = audit(&env);
    found.has(&[("delivered", 24), ("in_trash", 1)]);
    assert_eq!(found.status, 0);
}

fn sqlite3(env: &TestEnv, script: &str) -> bool {
    let ran = Command::new("sh")
        .args(["-c", script])
        .current_dir(env.dir.path())
        .output()
        .unwrap();
    if !ran.status.success() && Command::new("sqlite3").arg("--version").output().is_err() {
        assert!(!in_ci(), "sqlite3 is not installed");
        println!("skipped: sqlite3 is not installed");
        return false;
    }
    assert!(ran.status.success(), "{ran:?}");
    true
}

#[test]
fn a_backup_made_beside_a_run_comes_back() {
    let env = filled();
    let running = Running::start(&env);
    crate::testkit::eventually("it runs", || env.status_soon()["running"] == true);
    put(&env, "before");
    crate::testkit::eventually("it is written down", || {
        let done: i64 = env.one("SELECT count(*) FROM message WHERE status = 'delivered'");
        done == 26
    });
    // As the documents tell to do it.
    if !sqlite3(&env, "sqlite3 sync_state.db \".backup backup.db\"") {
        return;
    }
    for n in 0..10 {
        put(&env, &format!("since{n}"));
    }
    crate::testkit::eventually("all of it is there", || env.held().len() == 31);
    drop(running);
    let before = (env.target.messages(), appends(&env));
    // What the newer ledger left beside it is none of the backup's.
    for suffix in ["-wal", "-shm"] {
        fs::write(
            format!("{}{suffix}", env.ledger_file().display()),
            "of the newer one",
        )
        .unwrap();
    }
    let restore = "cp backup.db sync_state.db.new && mv sync_state.db.new sync_state.db && rm -f sync_state.db-wal sync_state.db-shm";
    assert!(sqlite3(&env, restore));
    // Before a run has looked, the backup does not know of what came since.
    let found = audit(&env);
    found.has(&[("delivered", 25), ("in_trash", 1), ("unrecorded", 10)]);
    assert_eq!(found.status, 3);
    env.run_until_done(1);
    assert_eq!(
        (env.target.messages(), appends(&env)),
        before,
        "{}",
        env.dump()
    );
    let found = audit(&env);
    found.has(&[("delivered", 35), ("in_trash", 1)]);
    assert_eq!(found.status, 0);
}

/// A backup from the middle of a delivery: what was under way is looked for.
#[test]
fn a_backup_of_what_was_under_way_comes_back() {
    let env = filled();
    for n in 0..3 {
        put(&env, &format!("under-way{n}"));
    }
    env.run_until_done(1);
    let before = (env.target.messages(), appends(&env));
    // As it stood on disk when the messages were about to be sent.
    env.sql()
        .execute_batch(
            "INSERT INTO mark (made_at) VALUES (strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 hour'));
             INSERT INTO mark_mailbox SELECT last_insert_rowid(), id, uid_validity, 1 FROM gmail_mailbox;
             UPDATE message SET status = 'in_flight', proof = NULL, delivered_at = NULL, verified_at = NULL, gmail_uid = NULL,
                    gmail_mailbox = NULL, gmail_uid_validity = NULL, gm_msgid = NULL, mark_id = (SELECT max(id) FROM mark)
              WHERE message_id LIKE '<under-way%'",
        )
        .unwrap();
    audit(&env).has(&[("delivered", 24), ("in_trash", 1), ("open", 3)]);
    env.run_until_done(2);
    assert_eq!(
        (env.target.messages(), appends(&env)),
        before,
        "{}",
        env.dump()
    );
    audit(&env).has(&[("delivered", 27), ("in_trash", 1)]);
}
