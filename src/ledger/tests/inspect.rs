//! A look at a ledger that changes meanwhile, and at one that is written without a write-ahead log.

use std::cell::Cell;
use std::fs;

use super::super::inspect::untouched;
use super::*;

/// As on a network file system.
fn without_a_log(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    let mode =
        db.pragma_update_and_check(None, "journal_mode", "TRUNCATE", |r| r.get::<_, String>(0));
    assert_eq!(mode.unwrap(), "truncate");
    db
}

fn beats(db: &Connection) -> u32 {
    let count = "SELECT count(*) FROM heartbeat";
    db.query_row(count, [], |r| r.get(0)).unwrap()
}

/// Many pages of the ledger are written.
fn write(db: &Connection) {
    db.execute_batch(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
         INSERT INTO heartbeat (part, started_at, beat_at)
         SELECT 'part ' || n, printf('%0200d', n), '2024-05-01T12:00:00Z' FROM n",
    )
    .unwrap();
}

fn seen(ledger: &Ledger) -> Result<u32> {
    let words: String =
        ledger.read(|db| db.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)))?;
    match words.as_str() {
        "ok" => Ok(beats(&ledger.db)),
        words => Err(damaged(&ledger.path, words)),
    }
}

#[test]
fn a_run_without_a_log_may_write_while_it_is_looked_at() {
    let desk = Desk::new();
    let path = desk.dir.path().join("l.db");
    drop(desk.ledger);
    let db = without_a_log(&path);
    let wrote = Cell::new(false);
    let looked = untouched(&path, |ledger| {
        let before = seen(ledger)?;
        if !wrote.replace(true) {
            write(&db);
        }
        Ok((before, seen(ledger)?))
    });
    assert_eq!(looked.unwrap(), (0, 1000));
}

#[test]
fn what_a_killed_run_without_a_log_left_half_done_is_not_seen_and_not_touched() {
    let desk = Desk::new();
    let path = desk.dir.path().join("l.db");
    drop(desk.ledger);
    let db = without_a_log(&path);
    db.execute_batch("PRAGMA cache_size = 5; BEGIN").unwrap();
    write(&db);
    // By the side of who is at it.
    assert_eq!(untouched(&path, seen).unwrap(), 0);
    let killed = desk.dir.path().join("killed.db");
    for suffix in ["", "-journal"] {
        fs::copy(beside(&path, suffix), beside(&killed, suffix)).unwrap();
    }
    let files = || ["", "-journal"].map(|suffix| fs::read(beside(&killed, suffix)).unwrap());
    let before = files();
    assert!(before[0].len() > 40 << 12 && !before[1].is_empty());
    assert_eq!(untouched(&killed, seen).unwrap(), 0);
    assert!(files() == before);
}

#[test]
fn a_ledger_that_a_run_used_meanwhile_is_looked_at_again() {
    let desk = Desk::new();
    let path = desk.dir.path().join("l.db");
    drop(desk.ledger);
    let run = || {
        let ledger = Ledger::open_existing(&path).unwrap();
        write(&ledger.db);
    };
    let looks = Cell::new(0);
    let looked = untouched(&path, |ledger| {
        looks.set(looks.get() + 1);
        if looks.get() == 1 {
            run();
        }
        seen(ledger)
    });
    assert_eq!((looked.unwrap(), looks.get()), (1000, 2));
    assert!(!beside(&path, "-wal").exists());
}

/// However often: then with SQLite's own locks.
#[test]
fn a_ledger_that_runs_use_again_and_again_is_looked_at_in_the_end() {
    let desk = Desk::new();
    let path = desk.dir.path().join("l.db");
    drop(desk.ledger);
    let looks = Cell::new(0);
    let looked = untouched(&path, |ledger| {
        looks.set(looks.get() + 1);
        let before = seen(ledger)?;
        let other = Ledger::open_existing(&path).unwrap();
        other.db.execute("DELETE FROM heartbeat", []).unwrap();
        write(&other.db);
        Ok((before, looks.get()))
    });
    assert_eq!(looked.unwrap(), (1000, 6));
}
