//! What is on disk before the first byte is sent: marks, and bytes that are booked.

use super::*;

#[test]
fn a_mark_is_kept_as_long_as_a_row_needs_it() {
    let mut desk = Desk::new();
    let now = desk.now;
    let index = desk.ledger.index_mailbox("All", UidValidity(1), 7).unwrap();
    let place = Mark {
        mailbox: index.id,
        uid_validity: UidValidity(1),
        uid_next: 7,
    };
    desk.record(&[mail(1, "<1@x>"), mail(2, "<2@x>"), mail(3, "<3@x>")]);
    for row in [3, 2, 1] {
        assert_eq!(desk.claim_within(1, 1), [row]);
        let intent = Intent {
            row: RowId(row.into()),
            sha256: Sha256([row as u8; 32]),
            canonical: CanonicalHash([row as u8; 32]),
            size: 100,
            flags: Flags::default(),
            by_import: false,
        };
        desk.ledger.mark(&[intent], &[place], None, now).unwrap();
    }
    let marks = |desk: &Desk| -> (i64, i64) {
        (
            desk.one("SELECT count(*) FROM mark"),
            desk.one("SELECT count(*) FROM mark_mailbox"),
        )
    };
    desk.settle(RowId(3), &delivered()).unwrap();
    desk.settle(RowId(2), &delivered()).unwrap();
    desk.ledger.run_begins(&["run"], now).unwrap();
    assert_eq!(marks(&desk), (3, 3), "one in flight, two to be looked at");
    let ours = Verdict::Ours {
        altered: false,
        merged: false,
        gm_msgid: None,
    };
    desk.ledger.verified(&[(RowId(3), ours)], now).unwrap();
    assert_eq!(marks(&desk), (2, 2));
    let open = desk.ledger.in_flight().unwrap()[0].mark.unwrap();
    assert_eq!(desk.ledger.marks(open).unwrap(), [place]);
    desk.settle(RowId(1), &failed()).unwrap();
    desk.ledger.run_begins(&["run"], now).unwrap();
    assert_eq!(marks(&desk), (1, 1));
    let of: i64 = desk.one("SELECT m.id FROM message m JOIN mark k ON k.id = m.mark_id");
    assert_eq!(of, 2);
}

#[test]
fn what_was_sent_by_a_clock_that_was_set_back_uses_up_no_limit_for_good() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>")]);
    desk.claim();
    desk.mark(desk.id(1, 1), 1).unwrap();
    assert_eq!(desk.ledger.uploaded(desk.now).unwrap(), 100);
    desk.now -= TimeDelta::days(365);
    assert_eq!(desk.ledger.uploaded(desk.now).unwrap(), 0);
}
