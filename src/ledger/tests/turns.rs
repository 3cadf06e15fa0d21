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
