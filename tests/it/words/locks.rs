//! One ledger, whatever names lead to it: one lock.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use chrono::Utc;
use imap_to_gmail::ledger::{self, Ledger};

use super::{WorkDir, config};

/// Whoever comes second, by whatever name, finds it taken.
#[track_caller]
fn is_taken(path: &Path) {
    let error = ledger::lock(path).unwrap_err();
    assert!(
        error.message.contains("another imap-to-gmail is running"),
        "{error}"
    );
}

const WAYS: &[&str] = &[
    "absolute.db",
    "relative.db",
    "chain.db",
    "etc/up.db",
    "linked/up.db",
    "store/real.db",
    "through.db",
    "data/real.db",
    "data/../etc/up.db",
];

/// A desk with these ways to `data/real.db`, which is not there yet.
fn desk() -> WorkDir {
    let desk = WorkDir::new();
    fs::create_dir(desk.path("data")).unwrap();
    fs::create_dir(desk.path("etc")).unwrap();
    let real = desk.path("data/real.db");
    for (link, to) in [
        ("absolute.db", real.to_str().unwrap()),
        ("relative.db", "data/real.db"),
        ("chain.db", "relative.db"),
        ("etc/up.db", "../data/real.db"),
        ("linked", "etc"),
        ("store", "data"),
        ("through.db", "store/real.db"),
    ] {
        symlink(to, desk.path(link)).unwrap();
    }
    desk
}

#[test]
fn a_link_to_a_ledger_that_is_not_there_yet_leads_to_the_same_lock_as_later() {
    for first in WAYS {
        let desk = desk();
        let _lock = ledger::lock(&desk.path(first)).unwrap();
        // Before it is made, and after.
        WAYS.iter().for_each(|way| is_taken(&desk.path(way)));
        drop(Ledger::open_or_create(&desk.path(first), true).unwrap());
        WAYS.iter().for_each(|way| is_taken(&desk.path(way)));
        assert!(desk.path("data/real.db.lock").is_file(), "{first}");
    }
}

#[test]
fn a_link_that_leads_in_a_circle_or_nowhere_is_told() {
    let desk = WorkDir::new();
    symlink("b.db", desk.path("a.db")).unwrap();
    symlink("a.db", desk.path("b.db")).unwrap();
    symlink("no/such/folder.db", desk.path("nowhere.db")).unwrap();
    for name in ["a.db", "nowhere.db"] {
        let error = ledger::lock(&desk.path(name)).and_then(|lock| {
            let ledger = Ledger::open_or_create(&desk.path(name), true)?;
            Ok((lock, ledger))
        });
        assert!(error.is_err(), "{name}");
    }
}

/// By two names of one file two runs would each have a lock of their own, and SQLite two logs.
#[test]
fn a_ledger_with_two_names_is_refused() {
    let desk = WorkDir::new();
    desk.file("config.json", config::nowhere(config::right()).to_string());
    drop(Ledger::open_or_create(&desk.path("sync_state.db"), true).unwrap());
    fs::hard_link(desk.path("sync_state.db"), desk.path("other.db")).unwrap();
    desk.run(&["run", "--config", "config.json", "--once"]).fails(
        1,
        "sync_state.db: the ledger has 2 names (hard links), expected one",
        "by another name a second run could use it at the same time: delete the other names, or make this one a file of its own (`cp sync_state.db copy && mv copy sync_state.db`)",
    );
    let checked = desk.run(&["check", "--config", "config.json", "--json"]);
    assert!(
        checked.out.contains("the ledger has 2 names"),
        "{checked:?}"
    );
}

#[test]
fn a_ledger_that_is_replaced_or_removed_under_a_program_is_written_no_more() {
    for replace in [true, false] {
        let desk = WorkDir::new();
        let path = desk.path("sync_state.db");
        let mut ledger = Ledger::open_or_create(&path, true).unwrap();
        ledger.run_begins(&["run"], Utc::now()).unwrap();
        if replace {
            drop(Ledger::open_or_create(&desk.path("backup.db"), true).unwrap());
            fs::rename(desk.path("backup.db"), &path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let error = ledger.beat(&["run"], Utc::now()).unwrap_err();
        let sentence = format!(
            "{}: another file was put in the place of the ledger, or it was taken away, while it was in use",
            path.display()
        );
        assert_eq!(error.message, sentence);
        assert!(error.hint.is_some());
    }
}
