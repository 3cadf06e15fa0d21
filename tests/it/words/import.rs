//! `import-state`: what it says, and what it leaves alone when the file is not what it should be.

use std::fs::{self, File};

use imap_to_gmail::ledger;
use rusqlite::Connection;
use serde_json::json;

use super::ledger::make;
use super::{WorkDir, config};

const WHICH_FILE: &str = "give the path of the Python script's state file, usually sync_state.json";
const CUT_SHORT: &str = "nothing was taken over: if the script was stopped while it wrote this file, use a copy from before";
const NOT_SO: &str = "nothing was taken over: the Python script does not write such a file; usually it is sync_state.json";

const STATE: &str = r#"{
  "synced_message_ids": {
    "<1@example.org>": "2024-11-20T08:00:00+00:00",
    "<2@example.org>": "2024-11-21T09:30:00.250000",
    "3@example.org": null
  },
  "last_source_uid": 3,
  "last_sync": "2024-11-22T07:00:00.000001+00:00"
}"#;

fn ids(path: &std::path::Path) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let mut query = db
        .prepare("SELECT message_id FROM imported ORDER BY message_id")
        .unwrap();
    query
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

const ALL: [&str; 3] = ["3@example.org", "<1@example.org>", "<2@example.org>"];

#[test]
fn what_was_taken_over_is_said() {
    let desk = WorkDir::new();
    desk.file("sync_state.json", STATE);
    desk.run(&["import-state", "sync_state.json"])
        .prints("3 Message-IDs taken over from sync_state.json, 0 known already\n");
    assert_eq!(ids(&desk.path("sync_state.db")), ALL);
    desk.run(&["import-state", "sync_state.json"])
        .prints("0 Message-IDs taken over from sync_state.json, 3 known already\n");
    desk.file(
        "old.json",
        "\u{feff}{\"synced_message_ids\": [\"<4@example.org>\", \"\", \"3@example.org\"], \"last_source_uid\": null, \"host\": {\"a\": [1]}}",
    );
    desk.run(&["import-state", "old.json"])
        .prints("1 Message-ID taken over from old.json, 1 known already, 1 unusable (empty)\n");
    // No run has said whose ledger it is.
    desk.run(&["status"]).prints(
        "NOT RUNNING: sync_state.db\n  no run has used this ledger yet\n\n  delivered          0\n  pending            0\n  failed             0\n",
    );
}

#[test]
fn the_ledger_is_found_as_by_the_other_commands() {
    let desk = WorkDir::new();
    desk.file("sync_state.json", STATE);
    let mut config = config::right();
    config["state_file"] = json!("elsewhere.db");
    // What is not about the ledger is not looked at.
    config["source_pass"] = json!(5);
    desk.file("config.json", config.to_string());
    let said = "3 Message-IDs taken over from sync_state.json, 0 known already\n";
    let import = ["import-state", "sync_state.json", "--config", "config.json"];
    desk.run(&import).prints(said);
    desk.run(&[&import[..], &["--state-file", "this.db"]].concat())
        .prints(said);
    desk.run(&["import-state", "--state-file", "that.db", "sync_state.json"])
        .prints(said);
    assert_eq!(
        desk.files(),
        [
            "config.json",
            "elsewhere.db",
            "sync_state.json",
            "that.db",
            "this.db"
        ]
    );
    desk.run(&["import-state"]).fails(
        2,
        "the following required arguments were not provided: <FILE>",
        super::HELP_HINT,
    );
}

/// Each wrong file, with a ledger and without: it is named, and nothing has changed.
#[test]
fn a_file_that_cannot_be_used_changes_nothing() {
    let deep = format!("{{\"x\": {}", "[".repeat(100_000));
    let deep_ids = format!("{{\"synced_message_ids\": {}", "[".repeat(100_000));
    let cases: Vec<(&[u8], &str, &str)> = vec![
        (
            b"",
            "not JSON at line 1, column 1: the file ends too early",
            CUT_SHORT,
        ),
        (
            &STATE.as_bytes()[..100],
            "not JSON at line 4, column 20: the file ends too early",
            CUT_SHORT,
        ),
        (
            b"{\"synced_message_ids\": [\"<1@example.org>\"]}}",
            "not JSON at line 1, column 44: trailing characters",
            CUT_SHORT,
        ),
        (
            b"{\"synced_message_ids\": [\"<\xff@example.org>\"]}",
            "not JSON at line 1, column 27: invalid unicode code point",
            CUT_SHORT,
        ),
        (
            b"Message-ID: <1@example.org>\n",
            "not JSON at line 1, column 1: expected value",
            CUT_SHORT,
        ),
        (
            b"{}",
            "this is not the Python script's state file: it has no `synced_message_ids`",
            WHICH_FILE,
        ),
        (
            b"{\"source_server\": \"imap.example.org\"}",
            "this is not the Python script's state file: it has no `synced_message_ids`",
            WHICH_FILE,
        ),
        (
            b"[\"<1@example.org>\"]",
            "line 1: got a list, expected an object with `synced_message_ids` (and `last_source_uid` and `last_sync`)",
            NOT_SO,
        ),
        (
            b"{\"synced_message_ids\": \"<1@example.org>\"}",
            "line 1: got string \"<1@example.org>\", expected Message-IDs, as a list or as an object with a time for each",
            NOT_SO,
        ),
        (
            b"{\"synced_message_ids\": null}",
            "line 1: got null, expected Message-IDs, as a list or as an object with a time for each",
            NOT_SO,
        ),
        (
            b"{\"synced_message_ids\": [\n\"<1@example.org>\",\n17\n]}",
            "line 3: got integer `17`, expected a string",
            NOT_SO,
        ),
        (
            b"{\"synced_message_ids\": [\"<1@example.org>\", [\"<2@example.org>\"]]}",
            "line 1: got a list, expected a string",
            NOT_SO,
        ),
        (
            b"{\"synced_message_ids\": {\"<1@example.org>\": {}}}",
            "line 1: got an object, expected a string",
            NOT_SO,
        ),
        (
            b"{\"synced_message_ids\": {\"<1@example.org>\": 1700000000}}",
            "line 1: got integer `1700000000`, expected a string",
            NOT_SO,
        ),
        (
            b"{\"synced_message_ids\": [], \"last_source_uid\": \"3\"}",
            "line 1: got string \"3\", expected a JSON number",
            NOT_SO,
        ),
        (
            b"{\"synced_message_ids\": [], \"last_sync\": false}",
            "line 1: got boolean `false`, expected a string",
            NOT_SO,
        ),
        (
            deep.as_bytes(),
            "not JSON at line 1, column 133: recursion limit exceeded",
            CUT_SHORT,
        ),
        (
            deep_ids.as_bytes(),
            "line 1: got a list, expected a string",
            NOT_SO,
        ),
        (
            b"SQLite format 3\0 and so on",
            "a database (a ledger?), expected the state file of the Python script (JSON)",
            "give the script's file, usually sync_state.json; the ledger is named with --state-file or --config",
        ),
    ];
    let bare = WorkDir::new();
    let desk = WorkDir::new();
    desk.file("sync_state.json", STATE);
    desk.run(&["import-state", "sync_state.json"]).out();
    let before = fs::read(desk.path("sync_state.db")).unwrap();
    for (content, sentence, hint) in cases {
        for desk in [&bare, &desk] {
            desk.file("damaged.json", content);
            desk.run(&["import-state", "damaged.json"]).fails(
                2,
                &format!("damaged.json: {sentence}"),
                hint,
            );
        }
        assert_eq!(bare.files(), ["damaged.json"], "no ledger is made");
        assert!(fs::read(desk.path("sync_state.db")).unwrap() == before);
    }
    assert_eq!(ids(&desk.path("sync_state.db")), ALL);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let desk = WorkDir::new();
    desk.run(&["import-state", "nowhere.json"]).fails(
        2,
        "nowhere.json: cannot be read: No such file or directory (os error 2)",
        WHICH_FILE,
    );
    desk.run(&["import-state", "."]).fails(
        2,
        ".: cannot be read: Is a directory (os error 21)",
        WHICH_FILE,
    );
    // A hole takes no room.
    let file = File::create(desk.path("huge.json")).unwrap();
    file.set_len((256 << 20) + 1).unwrap();
    desk.run(&["import-state", "huge.json"]).fails(
        2,
        "huge.json: more than 256 MiB, expected the state file of the Python script",
        WHICH_FILE,
    );
    assert_eq!(desk.files(), ["huge.json"]);
}

#[test]
fn a_ledger_that_cannot_be_used_is_left_as_it_is() {
    let desk = WorkDir::new();
    desk.file("script.json", STATE);
    // Given as the ledger, the script's file is not overwritten.
    desk.run(&["import-state", "script.json", "--state-file", "script.json"])
        .fails(
            2,
            "script.json: a JSON file, expected a ledger (SQLite)",
            "is it the state file of the Python script? Then `imap-to-gmail import-state script.json --state-file script.db` makes a ledger from it, once; then give that as `state_file` in the configuration",
        );
    assert_eq!(fs::read_to_string(desk.path("script.json")).unwrap(), STATE);
    desk.run(&["import-state", "script.json", "--state-file", "no/such.db"])
        .fails(
            1,
            "no/such.db: the folder no for the ledger does not exist",
            "`mkdir -p no` makes it; or give another path with --state-file or `state_file`",
        );
    // Only `run` brings an older one up to date.
    let path = desk.path("sync_state.db");
    drop(make(&path, 1));
    let db = Connection::open(&path).unwrap();
    db.execute(
        "UPDATE refinery_schema_history SET version = version - ?1",
        [ledger::migrations().len()],
    )
    .unwrap();
    desk.run(&["import-state", "script.json"]).fails(
        1,
        &format!(
            "sync_state.db: the ledger is of version 0, this program wants {}",
            ledger::migrations().len()
        ),
        "the next `imap-to-gmail run` brings it up to date",
    );
    assert_eq!(ids(&path), [""; 0]);
}

#[test]
fn an_empty_or_half_made_ledger_is_made() {
    for begun in [
        "",
        "PRAGMA application_id = 1764910957",
        "PRAGMA application_id = 1764910957; CREATE TABLE refinery_schema_history (
             version INT4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255))",
    ] {
        let desk = WorkDir::new();
        desk.file("sync_state.json", STATE);
        desk.file("sync_state.db", "");
        let db = Connection::open(desk.path("sync_state.db")).unwrap();
        db.execute_batch(begun).unwrap();
        drop(db);
        desk.run(&["import-state", "sync_state.json"])
            .prints("3 Message-IDs taken over from sync_state.json, 0 known already\n");
        assert_eq!(ids(&desk.path("sync_state.db")), ALL);
    }
}

/// `run` and `import-state` may make it at the same moment; so may several of the latter, which is quicker to try.
#[test]
fn a_ledger_that_many_make_at_once_is_one_ledger() {
    for _ in 0..60 {
        let desk = WorkDir::new();
        desk.file("sync_state.json", STATE);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| desk.run(&["import-state", "sync_state.json"]).out().len());
            }
        });
        assert_eq!(ids(&desk.path("sync_state.db")), ALL);
    }
}
