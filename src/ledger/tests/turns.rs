//! Which rows go next.

use super::*;

#[test]
fn under_a_daily_limit_new_mail_goes_first_and_what_is_claimed_takes_its_room() {
    let mut desk = Desk::new();
    let sized = |uid, size| Discovered {
        size: Some(size),
        ..mail(uid, &format!("<{uid}@x>"))
    };
    let old: Vec<_> = (1..=20).map(|uid| sized(uid, 10)).collect();
    desk.record(&old);
    desk.ledger
        .db
        .execute("UPDATE mailbox SET history_below = 21", [])
        .unwrap();
    let now = desk.now;
    let claim = |desk: &mut Desk, count| {
        let claim = Claim {
            count,
            bytes: u64::MAX,
            once: false,
        };
        let claimed = desk.ledger.claim_within(100, claim, now).unwrap();
        let uids: Vec<u32> = claimed.rows.iter().map(|r| r.about.uid.0).collect();
        (uids, claimed.held_back)
    };
    assert_eq!(claim(&mut desk, 4), (vec![20, 19, 18, 17], false));
    desk.record(&[sized(21, 55), sized(22, 70), sized(23, 101), sized(24, 5)]);
    // 40 of 100 are claimed; what is over the limit is claimed to be refused.
    assert_eq!(claim(&mut desk, 1), (vec![24], false));
    assert_eq!(claim(&mut desk, 1), (vec![23], false));
    desk.settle(desk.id(1, 23), &failed()).unwrap();
    assert_eq!(claim(&mut desk, 1), (vec![21], true), "45 + 55");
    assert_eq!(claim(&mut desk, 1), (vec![], true), "22 waits for its turn");
    desk.settle(desk.id(1, 21), &Change::Released { unseen: false })
        .unwrap();
    desk.ledger
        .db
        .execute(
            "UPDATE message SET status = 'gone' WHERE source_uid IN (21, 22)",
            [],
        )
        .unwrap();
    // A tenth is kept: 45 of 90 are claimed.
    assert_eq!(claim(&mut desk, 9), (vec![16, 15, 14, 13], true));
    assert_eq!(claim(&mut desk, 9), (vec![], true));
}

/// The row of UID 1, and for how long it has been tried as far as its two times tell.
fn tried(desk: &Desk) -> TimeDelta {
    let times = |column: &str| -> String {
        let sql = format!("SELECT {column} FROM message WHERE source_uid = 1");
        desk.ledger.db.query_row(&sql, [], |r| r.get(0)).unwrap()
    };
    let time = |column| parse_time(&times(column)).unwrap();
    time("next_attempt_at") - time("first_failed_at")
}

/// The next run claims the row.
fn next_run_claims(desk: &mut Desk) {
    let forget = "DELETE FROM temp.tried";
    desk.ledger.db.execute(forget, []).unwrap();
    assert_eq!(desk.claim(), [1]);
}

/// Charged an hour ago, and to be tried again in an hour.
fn charged() -> Desk {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>")]);
    let hour = TimeDelta::hours(1);
    assert_eq!(desk.claim(), [1]);
    let change = Change::Retry {
        error: Error::new(Fault::Transient, "no"),
        first: desk.now - hour,
        at: desk.now + hour,
    };
    desk.settle(desk.id(1, 1), &change).unwrap();
    desk
}

#[test]
fn who_is_called_back_has_been_tried_for_as_long_as_before() {
    let mut desk = charged();
    next_run_claims(&mut desk);
    let hour = TimeDelta::hours(1);
    let behind = Change::PutOff {
        at: desk.now + hour * 6,
        first: Some(desk.now + hour * 5),
        unseen: true,
    };
    desk.settle(desk.id(1, 1), &behind).unwrap();
    let now = desk.now + TimeDelta::minutes(1);
    desk.ledger.call_back(now).unwrap();
    assert_eq!(tried(&desk), hour);
    assert_eq!(desk.ledger.next_due(now).unwrap(), Some(now));
}

/// A run with `--once` does not wait for the time of a try.
#[test]
fn what_was_left_of_a_wait_does_not_count() {
    let mut desk = charged();
    next_run_claims(&mut desk);
    desk.settle(desk.id(1, 1), &Change::Released { unseen: true })
        .unwrap();
    assert_eq!(tried(&desk), TimeDelta::hours(1));
    // Alone, it is given up for another reason: that wait is none of its own.
    next_run_claims(&mut desk);
    let later = desk.now + TimeDelta::hours(1);
    let behind = Change::PutOff {
        at: later,
        first: Some(desk.now),
        unseen: false,
    };
    desk.settle(desk.id(1, 1), &behind).unwrap();
    next_run_claims(&mut desk);
    desk.settle(desk.id(1, 1), &Change::Released { unseen: true })
        .unwrap();
    assert_eq!(tried(&desk), TimeDelta::hours(1));
}
