//! Ledgers that cannot be used, and why; and who may read the files.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use imap_to_gmail::folder::FolderId;
use imap_to_gmail::ledger::{self, Ledger, Progress, Route};
use imap_to_gmail::message::{Discovered, Flags, MessageId, Uid, UidValidity};
use rusqlite::Connection;
use serde_json::json;

use super::{WorkDir, config};

const RUN: [&str; 4] = ["run", "--config", "config.json", "--once"];
const PATH_HINT: &str = "give another path with --state-file or `state_file`";

/// The route of [`config::right`].
pub(crate) fn route() -> Route {
    Route::new(
        "user@example.org",
        "imap.example.org",
        "you@gmail.com",
        "imap.gmail.com",
    )
}

/// A desk with a configuration and no ledger.
fn desk() -> WorkDir {
    let desk = WorkDir::new();
    desk.file("config.json", config::right().to_string());
    desk
}

/// A ledger with so many messages that wait.
pub(crate) fn make(path: &Path, messages: u32) -> Ledger {
    make_of(&route(), path, messages)
}

pub(crate) fn make_of(route: &Route, path: &Path, messages: u32) -> Ledger {
    let now = Utc::now();
    let mut ledger = Ledger::open_or_create(path, true).unwrap();
    ledger.belong_to(route, now).unwrap();
    ledger
        .first_look(FolderId(1), UidValidity(1), messages + 1, "7d", now)
        .unwrap();
    let mailbox = ledger.present_mailbox(FolderId(1)).unwrap();
    let found: Vec<Discovered> = (1..=messages)
        .map(|n| Discovered {
            uid: Uid(n),
            message_id: MessageId::parse(format!("<{n}@example.org>").as_bytes()),
            date: None,
            internal_date: Some(now),
            size: Some(1000),
            flags: Flags::default(),
            gm_msgid: None,
        })
        .collect();
    ledger
        .record(mailbox.id, &found, Progress::HistoryDone, now)
        .unwrap();
    ledger
}

/// Both commands that need a ledger, and `run`, say the same of it.
#[track_caller]
fn all_refuse(desk: &WorkDir, status: i32, sentence: &str, hint: &str) {
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["retry-failed"],
        &RUN,
    ] {
        desk.run(args).fails(status, sentence, hint);
    }
}

#[test]
fn no_ledger_is_no_status() {
    let desk = desk();
    let hint = "if nothing has been copied yet, the first `imap-to-gmail run` makes it; if something has, name its configuration with --config, or the file itself with --state-file";
    desk.run(&["status"])
        .fails(1, "sync_state.db: there is no ledger here", hint);
    desk.run(&["retry-failed"])
        .fails(1, "sync_state.db: there is no ledger here", hint);
    desk.run(&["status", "--state-file", "no/such.db"]).fails(
        1,
        "no/such.db: there is no ledger here",
        hint,
    );
    let mut config = config::right();
    config["state_file"] = json!("elsewhere.db");
    // What is not about the ledger is not looked at: no password is asked for.
    config["source_pass"] = json!(5);
    desk.file("config.json", config.to_string());
    desk.run(&["status", "--config", "config.json"]).fails(
        1,
        "elsewhere.db: there is no ledger here",
        hint,
    );
    desk.run(&[
        "status",
        "--config",
        "config.json",
        "--state-file",
        "this.db",
    ])
    .fails(1, "this.db: there is no ledger here", hint);
    assert_eq!(desk.files(), ["config.json"], "none is made by looking");
}

#[test]
fn an_empty_file_is_an_empty_ledger() {
    let desk = desk();
    desk.file("sync_state.db", "");
    for args in [&["status"][..], &["retry-failed"]] {
        desk.run(args).fails(
            1,
            "sync_state.db: this ledger is empty",
            "the first `imap-to-gmail run` fills it",
        );
    }
}

#[test]
fn the_state_file_of_the_script_is_recognised() {
    let hint = "is it the state file of the Python script? Then `imap-to-gmail import-state sync_state.db --state-file sync_state.ledger.db` makes a ledger from it, once; then give that as `state_file` in the configuration";
    for json in ["{\"a\": 1}", "\n  [\"<1@example.org>\"]"] {
        let desk = desk();
        desk.file("sync_state.db", json);
        all_refuse(
            &desk,
            2,
            "sync_state.db: a JSON file, expected a ledger (SQLite)",
            hint,
        );
        desk.run(&["run", "--config", "config.json", "--dry-run"])
            .fails(
                2,
                "sync_state.db: a JSON file, expected a ledger (SQLite)",
                hint,
            );
        assert_eq!(
            desk.files(),
            ["config.json", "sync_state.db"],
            "no lock is left"
        );
        assert_eq!(
            fs::read_to_string(desk.path("sync_state.db")).unwrap(),
            json
        );
    }
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let desk = desk();
    desk.file("sync_state.db", "Dear diary");
    all_refuse(
        &desk,
        1,
        "sync_state.db: not a ledger, and not a database at all",
        "give another path with --state-file or `state_file`; if this was the ledger, it is damaged",
    );
    assert_eq!(
        fs::read_to_string(desk.path("sync_state.db")).unwrap(),
        "Dear diary"
    );

    fs::remove_file(desk.path("sync_state.db")).unwrap();
    fs::create_dir(desk.path("sync_state.db")).unwrap();
    all_refuse(
        &desk,
        1,
        "sync_state.db: this is a folder, expected a file for the ledger",
        PATH_HINT,
    );

    fs::remove_dir(desk.path("sync_state.db")).unwrap();
    let db = Connection::open(desk.path("sync_state.db")).unwrap();
    db.execute_batch("CREATE TABLE message (text TEXT); INSERT INTO message VALUES ('mine')")
        .unwrap();
    all_refuse(
        &desk,
        1,
        "sync_state.db: a database of another program, expected a ledger",
        PATH_HINT,
    );
    let tables: String = db
        .query_row("SELECT group_concat(name) FROM sqlite_schema", [], |r| {
            r.get(0)
        })
        .unwrap();
    assert_eq!(tables, "message");
}

#[test]
fn damage_is_named_as_such() {
    let hint = "keep a copy of it, then try `sqlite3 LEDGER .recover`; a new ledger would find what the target has by Message-ID";
    let desk = desk();
    let path = desk.path("sync_state.db");
    drop(make(&path, 3000));
    let size = fs::metadata(&path).unwrap().len();
    assert!(size > 40 * 4096, "{size} bytes");
    let mut file = File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(20 * 4096)).unwrap();
    file.write_all(&vec![0xaa; (size - 20 * 4096) as usize])
        .unwrap();
    desk.run(&["status"]).fails(
        1,
        "sync_state.db: the ledger is damaged: database disk image is malformed",
        hint,
    );

    let mut header = b"SQLite format 3\0".to_vec();
    header.resize(8192, 0xaa);
    fs::write(&path, header).unwrap();
    all_refuse(
        &desk,
        1,
        "sync_state.db: the ledger is damaged: file is not a database",
        hint,
    );
}

#[test]
fn versions_that_do_not_fit_are_named() {
    let desk = desk();
    let path = desk.path("sync_state.db");
    drop(make(&path, 1));
    let ours = ledger::migrations().len();
    let set = |version: usize| {
        let db = Connection::open(&path).unwrap();
        db.execute(
            "UPDATE refinery_schema_history SET version = ?1 WHERE version = (SELECT max(version) FROM refinery_schema_history)",
            [version],
        )
        .unwrap();
    };
    set(ours + 1);
    all_refuse(
        &desk,
        1,
        &format!(
            "sync_state.db: the ledger is of version {}, this program knows up to {ours}",
            ours + 1
        ),
        "use the newer imap-to-gmail that made it",
    );
    // Only `run` brings an older one up to date.
    set(0);
    for args in [&["status"][..], &["retry-failed"]] {
        desk.run(args).fails(
            1,
            &format!(
                "sync_state.db: the ledger is of version {}, this program wants {ours}",
                ours - 1
            ),
            "the next `imap-to-gmail run` brings it up to date",
        );
    }
}

#[test]
fn a_ledger_belongs_to_two_accounts() {
    let desk = desk();
    drop(make(&desk.path("sync_state.db"), 1));
    let mut other = config::right();
    other["source_user"] = json!("Somebody");
    other["target_user"] = json!("Else@GMail.com");
    desk.file("config.json", other.to_string());
    desk.run(&RUN).fails(
        1,
        "sync_state.db: this ledger is for user@example.org (imap.example.org) into you@gmail.com (imap.gmail.com), \
         the configuration says somebody (imap.example.org) into else@gmail.com (imap.gmail.com)",
        "is a name in the configuration mistyped? If not, these accounts need a ledger of their own, under another `state_file`; do not delete this one: it remembers what was copied",
    );
}

#[test]
fn one_run_has_the_ledger() {
    let desk = desk();
    drop(make(&desk.path("sync_state.db"), 0));
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(desk.path("sync_state.db.lock"))
        .unwrap();
    lock.try_lock().unwrap();
    desk.run(&RUN).fails(
        1,
        "sync_state.db: another imap-to-gmail is running with this ledger",
        "`imap-to-gmail status --state-file sync_state.db` shows what it does. One is enough: if this one is to run, end the other first (Ctrl-C in its window, or stop its service)",
    );
    // The others work beside it.
    desk.run(&["status"]).out();
    desk.run(&["retry-failed"]).out();
}

/// Takes the ten seconds for which the program waits.
#[test]
fn an_open_transaction_is_waited_for_and_then_named() {
    let desk = desk();
    let path = desk.path("sync_state.db");
    drop(make(&path, 0));
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    thread::scope(|s| {
        for args in [&["retry-failed"][..], &RUN] {
            let desk = &desk;
            s.spawn(move || {
                let ran = desk.run(args);
                // What it finds can be read all the while.
                let ran = if args == RUN { ran.begun() } else { ran };
                ran.fails(
                    1,
                    "sync_state.db: another program keeps the ledger locked",
                    "does a `sqlite3` shell have a transaction open?",
                );
            });
        }
        desk.run(&["status"]).out();
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "looking needs no waiting"
        );
    });
    assert!(
        began.elapsed() > Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn nobody_else_may_read_the_ledger() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let desk = desk();
    // A run that ends before it connects, and has made its files by then.
    let mut config = config::right();
    config["source_ca_file"] = json!("missing.pem");
    desk.file("config.json", config.to_string());
    let ran = desk.run_unmasked(&RUN);
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert_eq!(
        desk.files(),
        ["config.json", "sync_state.db", "sync_state.db.lock"]
    );
    for name in ["sync_state.db", "sync_state.db.lock"] {
        assert_eq!(mode(&desk.path(name)), 0o600, "{name}");
    }
    // While a ledger is open there is more beside it.
    let path = desk.path("open.db");
    let _lock = ledger::lock(&path).unwrap();
    let _ledger = make(&path, 1);
    for name in ["open.db", "open.db-wal", "open.db-shm", "open.db.lock"] {
        assert_eq!(mode(&desk.path(name)), 0o600, "{name}");
    }
}
