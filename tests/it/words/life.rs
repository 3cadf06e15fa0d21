//! The first line of `status`, which is read alone, and what the lock knows that the signs of life do not.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use chrono::{TimeDelta, Utc};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::ledger;
use imap_to_gmail::message::Time;
use serde_json::Value;

use super::WorkDir;
use super::status::{Book, book, day};
use crate::testkit;

fn ago(seconds: i64) -> Time {
    Utc::now() - TimeDelta::seconds(seconds)
}

fn first_line(desk: &WorkDir) -> String {
    let ran = desk.run(&["status"]);
    ran.out().lines().next().unwrap().to_string()
}

fn json(desk: &WorkDir) -> Value {
    let ran = desk.run(&["status", "--json"]);
    serde_json::from_str::<Value>(ran.out()).unwrap()["routes"][0].take()
}

/// The first line, and what programs read of it.
#[track_caller]
fn says(desk: &WorkDir, words: &str, state: &str, running: bool) {
    assert_eq!(
        first_line(desk),
        format!("{words}: user@example.org into you@gmail.com")
    );
    let all = json(desk);
    assert_eq!(all["state"], state);
    assert_eq!(all["running"], running);
}

fn trouble(book: &mut Book, part: &str, fault: Option<Fault>) {
    let error = fault.map(|fault| Error::new(fault, "x"));
    book.ledger.trouble(part, error.as_ref(), ago(5)).unwrap();
}

#[test]
fn the_first_line_says_alone_whether_all_is_well() {
    let (desk, mut b) = book();
    says(&desk, "NOT RUNNING", "not_running", false);
    b.ledger.run_begins(&["watch", "deliver"], ago(0)).unwrap();
    says(&desk, "RUNNING, all is well", "running", true);
    trouble(&mut b, "watch", Some(Fault::Connection));
    says(&desk, "TROUBLE, trying again", "trouble", true);
    trouble(&mut b, "deliver", Some(Fault::Throttled));
    says(&desk, "PAUSED, waiting for a limit to pass", "paused", true);
    trouble(&mut b, "watch", Some(Fault::NeedsUser));
    says(&desk, "TROUBLE, it needs you", "trouble", true);
    for part in ["watch", "deliver"] {
        trouble(&mut b, part, None);
    }
    b.failed(day(3), "no");
    says(&desk, "RUNNING, but 1 message failed", "running", true);
    b.failed(day(4), "no");
    says(&desk, "RUNNING, but 2 messages failed", "running", true);
    b.ledger.beat(&["watch"], ago(7200)).unwrap();
    says(
        &desk,
        "TROUBLE, a part of it gives no sign of life",
        "trouble",
        true,
    );
    b.ledger.run_ends(ago(0)).unwrap();
    says(&desk, "NOT RUNNING", "not_running", false);
    let text = desk.run(&["status"]).out().to_string();
    let second = text.lines().nth(1).unwrap();
    let age = second.strip_prefix("  the last run ended ").unwrap();
    assert!(age == "just now" || age.ends_with(" s ago"), "{text}");
}

#[test]
fn the_first_line_is_one_line_however_long_the_names_are() {
    let desk = WorkDir::new();
    let mut ledger = ledger::Ledger::open_or_create(&desk.path("sync_state.db"), true).unwrap();
    let (source, target) = ("firstname.lastname@a-company.example", "x".repeat(64));
    let target = format!("{target}@gmail.com");
    let route = ledger::Route::new(source, "imap.example.org", &target, "imap.gmail.com");
    ledger.belong_to(&route, day(1)).unwrap();
    assert_eq!(
        first_line(&desk),
        format!("NOT RUNNING: {source} into {target}")
    );
}

/// As after `kill -9`: no end was recorded, and the last sign of life is of a moment ago.
#[test]
fn a_run_that_was_killed_is_not_running_at_once() {
    let (desk, mut b) = book();
    let lock = ledger::lock(&b.path).unwrap();
    b.ledger.run_begins(&["watch"], ago(0)).unwrap();
    says(&desk, "RUNNING, all is well", "running", true);
    drop(lock);
    // `running` is what the signs of life say.
    says(&desk, "NOT RUNNING", "not_running", true);
    let text = desk.run(&["status"]).out().to_string();
    assert!(
        text.contains("no end of the run was recorded. Was"),
        "{text}"
    );
    assert_eq!(json(&desk)["running_since"], Value::Null);
}

#[test]
fn a_run_that_holds_its_lock_and_gives_no_sign_of_life_is_trouble() {
    let (desk, mut b) = book();
    let _lock = ledger::lock(&b.path).unwrap();
    says(&desk, "STARTING", "starting", false);
    b.ledger.run_begins(&["watch"], ago(3600)).unwrap();
    says(&desk, "TROUBLE, it gives no sign of life", "trouble", false);
    let text = desk.run(&["status"]).out().to_string();
    let told = "\n  a run holds this ledger, and the last sign of life came 1 h ago: it may hang,\n  or it has only just begun; if it stays so, restart it: nothing is lost\n";
    assert!(text.contains(told), "{text}");
    b.ledger.run_ends(ago(1800)).unwrap();
    says(&desk, "STARTING", "starting", false);
    let text = desk.run(&["status"]).out().to_string();
    let told = "\n  a run holds this ledger: it has only just begun, or is just ending\n";
    assert!(text.contains(told), "{text}");
}

/// Another machine's lock, seen over a network file system, or one in a virtual machine, looks free from here.
#[test]
fn where_the_lock_cannot_be_asked_the_signs_of_life_decide() {
    let (desk, mut b) = book();
    drop(ledger::lock(&b.path).unwrap());
    b.ledger.run_begins(&["watch"], ago(0)).unwrap();
    says(&desk, "NOT RUNNING", "not_running", true);
    let file = desk.path("sync_state.db.lock");
    let ours = fs::read_to_string(&file).unwrap();
    let (boot, rest) = ours.strip_prefix("boot ").unwrap().split_once(' ').unwrap();
    for note in [
        String::new(),
        format!("boot 00000000-0000-4000-8000-000000000000 {rest}"),
        format!("boot {boot} device 1 inode 1\n"),
        "x".repeat(5000),
        ours.trim_end().into(),
    ] {
        fs::write(&file, &note).unwrap();
        says(&desk, "RUNNING, all is well", "running", true);
    }
    // A copy of the ledger elsewhere has no lock at all.
    fs::remove_file(&file).unwrap();
    says(&desk, "RUNNING, all is well", "running", true);
}

/// Whatever stands in its file, or nothing, as where the system did not say which kernel this is.
#[test]
fn a_lock_that_is_refused_is_held() {
    let (desk, _b) = book();
    let lock = ledger::lock(&desk.path("sync_state.db")).unwrap();
    fs::write(desk.path("sync_state.db.lock"), "").unwrap();
    says(&desk, "STARTING", "starting", false);
    drop(lock);
    says(&desk, "NOT RUNNING", "not_running", false);
}

/// A process of its own: what other tests start would have the lock with them until they are what they are to be.
#[test]
fn asking_keeps_no_run_from_beginning() {
    testkit::alone(
        "words::life::asking_keeps_no_run_from_beginning",
        ask_again_and_again,
    );
}

fn ask_again_and_again() {
    let desk = WorkDir::new();
    let path = desk.path("sync_state.db");
    let over = AtomicBool::new(false);
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    ledger::is_held(&path);
                }
            });
        }
        let mut wrong = 0;
        for _ in 0..1000 {
            let lock = ledger::lock(&path);
            let second = ledger::lock(&path);
            wrong += u32::from(lock.is_err() || second.is_ok());
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(wrong, 0);
    });
}
