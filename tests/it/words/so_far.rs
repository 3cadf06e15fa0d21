//! How far an import has come, told by the ledger alone, and how long it may take.

use chrono::{TimeDelta, Utc};
use imap_to_gmail::folder::FolderId;
use imap_to_gmail::ledger::{Ledger, Progress};
use imap_to_gmail::message::{Discovered, Flags, Time, Uid, UidValidity, time_text};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::ledger::route;
use super::{WorkDir, config};

const ALL: u32 = 5000;
const SIZE: u64 = 170_020;

fn ago(minutes: i64) -> Time {
    Utc::now() - TimeDelta::minutes(minutes)
}

/// So many messages were there at the first look, and so much of the list has come.
fn desk(progress: Progress) -> (WorkDir, Ledger) {
    let desk = WorkDir::new();
    let mut ledger = Ledger::open_or_create(&desk.path("sync_state.db"), true).unwrap();
    let began = ago(120);
    ledger.belong_to(&route(), began).unwrap();
    ledger
        .first_look(FolderId(1), UidValidity(1), ALL + 1, "all", began)
        .unwrap();
    let mailbox = ledger.present_mailbox(FolderId(1)).unwrap();
    let found: Vec<Discovered> = (1..=ALL)
        .map(|n| Discovered {
            uid: Uid(n),
            message_id: None,
            date: None,
            internal_date: Some(began),
            size: Some(SIZE),
            flags: Flags::default(),
            gm_msgid: None,
        })
        .collect();
    ledger.record(mailbox.id, &found, progress, began).unwrap();
    (desk, ledger)
}

/// The rows of these UIDs were delivered so many minutes ago.
fn delivered(desk: &WorkDir, uids: std::ops::RangeInclusive<u32>, minutes: i64) {
    let db = Connection::open(desk.path("sync_state.db")).unwrap();
    db.execute(
        "UPDATE message SET status = 'delivered', proof = 'appended', delivered_at = ?3 WHERE source_uid BETWEEN ?1 AND ?2",
        params![uids.start(), uids.end(), time_text(ago(minutes))],
    )
    .unwrap();
}

/// What `status` says of it, in one line; empty where nothing.
fn said(desk: &WorkDir, args: &[&str]) -> String {
    let text = desk.run(&[&["status"], args].concat()).out().to_string();
    let told = text.split_once("so far: ").map_or("", |(_, rest)| rest);
    let told = told.split("\n\n").next().unwrap();
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn import(desk: &WorkDir) -> Value {
    let ran = desk.run(&["status", "--json"]);
    let mut all: Value = serde_json::from_str(ran.out()).unwrap();
    all["routes"][0]["import"].take()
}

#[test]
fn an_import_says_how_far_it_is_and_how_long_it_takes() {
    let (desk, mut ledger) = desk(Progress::HistoryDone);
    assert_eq!(
        said(&desk, &[]),
        "0 of 5,000 messages (0 %), 0.0 of 850.1 MB"
    );
    delivered(&desk, 1..=34, 60);
    delivered(&desk, 35..=1234, 5);
    let counts = "1,234 of 5,000 messages (24 %), 209.8 of 850.1 MB";
    // A run that is over has no pace.
    assert_eq!(said(&desk, &[]), counts);
    assert_eq!(
        import(&desk),
        json!({"done": 1234, "done_bytes": 1234 * SIZE, "all": 5000, "all_bytes": 5000 * SIZE,
            "listing": false, "seconds_left": null})
    );
    ledger.run_begins(&["watch"], ago(90)).unwrap();
    ledger.beat(&["watch"], Utc::now()).unwrap();
    let pace = "; about 31 min left at the pace of the last 10 min";
    assert_eq!(said(&desk, &[]), format!("{counts}{pace}"));
    assert_eq!(import(&desk)["seconds_left"], 3766 * 600 / 1200);
    // A limit for a day is in the configuration, and keeps a tenth for new mail.
    let mut config = config::right();
    config["upload_limit_per_day"] = json!("100M");
    desk.file("config.json", config.to_string());
    ledger.book(100_000_000, Utc::now()).unwrap();
    let limit = "; about 7 days left under the limit of 104.9 MB in 24 hours";
    assert_eq!(
        said(&desk, &["--config", "config.json"]),
        format!("{counts}{limit}")
    );
    config["upload_limit_per_day"] = json!("10G");
    desk.file("config.json", config.to_string());
    assert_eq!(
        said(&desk, &["--config", "config.json"]),
        format!("{counts}{pace}")
    );
}

#[test]
fn a_run_of_a_few_minutes_is_measured_by_these() {
    let (desk, mut ledger) = desk(Progress::HistoryDone);
    // Of an earlier run.
    delivered(&desk, 1..=1000, 6);
    delivered(&desk, 1001..=1110, 1);
    ledger.run_begins(&["watch"], ago(3)).unwrap();
    ledger.beat(&["watch"], Utc::now()).unwrap();
    let told = said(&desk, &[]);
    assert!(
        told.ends_with("; about 1 h left at the pace of the last 3 min"),
        "{told}"
    );
    // Nothing is guessed from seconds.
    ledger.run_begins(&["watch"], Utc::now()).unwrap();
    assert!(said(&desk, &[]).ends_with(" MB"));
}

#[test]
fn what_the_source_has_not_told_yet_is_not_counted_and_that_is_said() {
    let (desk, _ledger) = desk(Progress::History);
    delivered(&desk, 1..=1234, 5);
    assert_eq!(
        said(&desk, &[]),
        "1,234 of at least 5,000 messages, 209.8 of at least 850.1 MB; the source has not told yet of all that it has"
    );
    assert_eq!(import(&desk)["listing"], true);
    let db = Connection::open(desk.path("sync_state.db")).unwrap();
    db.execute("DELETE FROM message", []).unwrap();
    assert_eq!(
        said(&desk, &[]),
        "nothing; the source has not told yet of all that it has"
    );
}

#[test]
fn where_no_old_mail_waits_there_is_no_import() {
    let (desk, _ledger) = desk(Progress::HistoryDone);
    let db = Connection::open(desk.path("sync_state.db")).unwrap();
    // What was refused for now is told of as such.
    db.execute(
        "UPDATE message SET next_attempt_at = '2999-01-01T00:00:00Z', last_error = 'x' WHERE source_uid <= 10",
        [],
    )
    .unwrap();
    delivered(&desk, 11..=ALL, 5);
    assert_eq!(said(&desk, &[]), "");
    assert_eq!(import(&desk), Value::Null);
    delivered(&desk, 1..=10, 5);
    assert_eq!(said(&desk, &[]), "");
}
