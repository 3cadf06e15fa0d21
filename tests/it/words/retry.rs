//! `retry-failed`: what it changes, what it says, and when it changes nothing.

use imap_to_gmail::ledger::Change;
use rusqlite::Connection;

use super::WorkDir;
use super::status::{book, day};

const HINT: &str = "`imap-to-gmail status --failed --state-file sync_state.db` lists the failed messages and their ids";

/// Failed: 1, 2 and 5; gone: 3; pending: 4; and 6 failed in an older incarnation, which 5 stands for.
fn desk() -> WorkDir {
    let (desk, mut b) = book();
    b.failed(day(1), "no");
    b.failed(day(2), "no");
    b.settled("<3@x>", day(3), &Change::Gone);
    let later = Change::Later { at: day(9) };
    b.settled("<4@x>", day(4), &later);
    b.failed(day(5), "no");
    b.failed(day(6), "no");
    Connection::open(&b.path)
        .unwrap()
        .execute("UPDATE message SET superseded_by = 5 WHERE id = 6", [])
        .unwrap();
    desk
}

/// Every row's status, and what of a failure is kept.
fn rows(desk: &WorkDir) -> Vec<String> {
    let db = Connection::open(desk.path("sync_state.db")).unwrap();
    let mut query = db
        .prepare(
            "SELECT id || ' ' || status || iif(subject IS NULL, '', ' ' || subject)
                 || iif(first_failed_at IS NULL, '', ' since ' || first_failed_at) FROM message ORDER BY id",
        )
        .unwrap();
    query
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

const BEFORE: [&str; 6] = [
    "1 failed Holiday pictures since 2024-11-01T10:01:00Z",
    "2 failed Holiday pictures since 2024-11-02T10:01:00Z",
    "3 gone",
    "4 pending",
    "5 failed Holiday pictures since 2024-11-05T10:01:00Z",
    "6 failed Holiday pictures since 2024-11-06T10:01:00Z",
];

/// `BEFORE` with these rows changed.
fn changed(rows: &[(usize, &'static str)]) -> Vec<&'static str> {
    let mut all = BEFORE.to_vec();
    for (id, row) in rows {
        all[id - 1] = row;
    }
    all
}

#[test]
fn all_that_failed_is_tried_again() {
    let desk = desk();
    assert_eq!(rows(&desk), BEFORE);
    desk.run(&["retry-failed"])
        .prints("3 messages pending again; a run that is under way tries them within a minute, else the next one does\n");
    assert_eq!(
        rows(&desk),
        changed(&[(1, "1 pending"), (2, "2 pending"), (5, "5 pending")])
    );
    for args in [&["retry-failed"][..], &["retry-failed", "--skip"]] {
        desk.run(args)
            .prints("no message has failed: nothing was changed\n");
    }
}

#[test]
fn some_are_tried_again() {
    let desk = desk();
    desk.run(&["retry-failed", "2"])
        .prints("1 message pending again; a run that is under way tries it within a minute, else the next one does\n");
    assert_eq!(rows(&desk), changed(&[(2, "2 pending")]));
    desk.run(&["retry-failed", "5", "1", "5"])
        .prints("2 messages pending again; a run that is under way tries them within a minute, else the next one does\n");
    assert_eq!(
        rows(&desk),
        changed(&[(1, "1 pending"), (2, "2 pending"), (5, "5 pending")])
    );
}

#[test]
fn some_or_all_are_given_up_for_good() {
    let desk = desk();
    desk.run(&["retry-failed", "--skip", "1"])
        .prints("1 message skipped for good\n");
    let one = "1 skipped Holiday pictures since 2024-11-01T10:01:00Z";
    assert_eq!(rows(&desk), changed(&[(1, one)]));
    desk.run(&["retry-failed", "--skip"])
        .prints("2 messages skipped for good\n");
    assert_eq!(
        rows(&desk),
        changed(&[
            (1, one),
            (2, "2 skipped Holiday pictures since 2024-11-02T10:01:00Z"),
            (5, "5 skipped Holiday pictures since 2024-11-05T10:01:00Z"),
        ])
    );
}

#[test]
fn one_wrong_id_and_nothing_changes() {
    let desk = desk();
    for (ids, what) in [
        (&["99"][..], "there is no message 99"),
        (&["0"], "there is no message 0"),
        (&["3"], "message 3 is gone, expected a failed one"),
        (&["4"], "message 4 is pending, expected a failed one"),
        (&["6"], "there is no message 6"),
        (&["1", "2", "99"], "there is no message 99"),
        (
            &["1", "4", "99"],
            "message 4 is pending, expected a failed one",
        ),
        (
            &["--skip", "1", "3"],
            "message 3 is gone, expected a failed one",
        ),
    ] {
        desk.run(&[&["retry-failed"], ids].concat())
            .fails(2, what, HINT);
        assert_eq!(rows(&desk), BEFORE, "{ids:?}");
    }
}
