//! Ids that the predecessor left: taken over once, each for one message.

use super::*;

#[test]
fn ids_are_imported_all_or_none_and_once() {
    let mut desk = Desk::new();
    let now = desk.now;
    desk.ledger
        .db
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON imported WHEN NEW.message_id = '<3@x>'
             BEGIN SELECT raise(ABORT, 'disk full'); END",
        )
        .unwrap();
    let ids: Vec<MessageId> = (1..=5).map(|n| id(&format!("<{n}@x>"))).collect();
    assert!(desk.ledger.import(&ids, now).is_err());
    assert_eq!(desk.one::<i64>("SELECT count(*) FROM imported"), 0);
    desk.ledger.db.execute_batch("DROP TRIGGER no").unwrap();
    let done = |new, known| Imported { new, known };
    assert_eq!(desk.ledger.import(&ids[..3], now).unwrap(), done(3, 0));
    assert_eq!(desk.ledger.import(&ids, now).unwrap(), done(2, 3));
    assert_eq!(
        desk.ledger
            .import(&[id("5@x"), id("6@x"), id("<6@x>")], now)
            .unwrap(),
        done(1, 2)
    );
}

#[test]
fn an_imported_id_is_used_up_with_the_row_that_it_vouches_for() {
    let mut desk = Desk::new();
    let now = desk.now;
    desk.record(&[mail(1, "<a@x>"), mail(2, "<b@x>"), mail(3, "")]);
    assert!(desk.inherit());
    desk.ledger.import(&[id("a@x")], now).unwrap();
    // Not in flight: neither is changed.
    assert!(desk.settle(RowId(1), &imported()).is_err());
    let used = "SELECT vouched_for FROM imported";
    assert_eq!(desk.one::<Option<i64>>(used), None);
    assert_eq!(desk.claim().len(), 3);
    assert!(desk.ledger.imported_vouches(RowId(1)).unwrap());
    for (row, why) in [(2, "another id"), (3, "no id"), (9, "no row")] {
        let row = RowId(row);
        assert!(!desk.ledger.imported_vouches(row).unwrap(), "{why}");
        assert!(desk.settle(row, &imported()).is_err(), "{why}");
    }
    desk.settle(RowId(1), &imported()).unwrap();
    assert_eq!(desk.one::<Option<i64>>(used), Some(1));
    desk.settle(RowId(2), &delivered()).unwrap();
    desk.settle(RowId(3), &failed()).unwrap();
    // It is not there for a message of the next incarnation either: that one inherits, or is sent.
    desk.renumber(&[mail(8, "<a@x>")]);
    assert!(!desk.ledger.imported_vouches(RowId(4)).unwrap());
    assert!(desk.inherit());
    assert_eq!(desk.status(2, 8), "delivered");
    let proof: String = desk.one("SELECT proof FROM message WHERE source_uid = 8");
    assert_eq!(proof, "imported");
}

#[test]
fn whom_an_imported_id_may_vouch_for_goes_first() {
    let mut desk = Desk::new();
    let now = desk.now;
    let later = parse_time("2024-05-01T13:00:00Z");
    let newer = |m: Discovered| Discovered {
        internal_date: later,
        ..m
    };
    desk.record(&[
        mail(1, "<a@x>"),
        newer(mail(2, "<a@x>")),
        newer(mail(3, "<b@x>")),
        mail(4, "<b@x>"),
        newer(mail(5, "<c@x>")),
        mail(6, "<c@x>"),
    ]);
    assert!(desk.inherit());
    desk.ledger
        .import(&[id("<a@x>"), id("<c@x>")], now)
        .unwrap();
    // Of a: the older one. Of b no id knows; of c the newer has the lowest UID.
    assert_eq!(desk.claim(), [5, 3, 1]);
    for row in [1, 5].map(RowId) {
        assert!(desk.ledger.imported_vouches(row).unwrap());
        desk.settle(row, &imported()).unwrap();
    }
    desk.settle(RowId(3), &delivered()).unwrap();
    desk.look_at(RowId(3));
    assert_eq!(desk.claim(), [2, 6, 4]);
    for row in [2, 6, 4].map(RowId) {
        assert!(!desk.ledger.imported_vouches(row).unwrap());
        let at = now + TimeDelta::hours(1);
        desk.settle(row, &Change::Later { at }).unwrap();
    }
    // Nobody waits for a row that cannot be claimed now.
    desk.record(&[mail(7, "<d@x>"), mail(8, "<d@x>")]);
    desk.ledger.import(&[id("<d@x>")], now).unwrap();
    assert_eq!(desk.claim(), [7]);
    let at = now + TimeDelta::hours(1);
    desk.settle(RowId(7), &Change::Later { at }).unwrap();
    assert_eq!(desk.claim(), [8]);
}
