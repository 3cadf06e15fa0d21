//! How far an import has come, and what it costs to ask.

use super::*;

/// A message of a large ledger has half a kilobyte of row, and most of a hundred thousand are on no page in memory.
#[test]
fn what_is_done_is_counted_in_an_index_alone() {
    let desk = Desk::new();
    for sql in [
        "SELECT count(*), coalesce(sum(size), 0) FROM message WHERE status = 'delivered' AND superseded_by IS NULL",
        "SELECT count(*), coalesce(sum(size), 0) FROM message
          WHERE proof IN (SELECT name FROM proof) AND delivered_at BETWEEN ?1 AND ?2
            AND status = 'delivered' AND superseded_by IS NULL",
    ] {
        let plan = desk.plan(sql);
        assert!(plan.contains("COVERING INDEX message_delivered"), "{plan}");
    }
}

#[test]
fn the_days_of_a_limit_leave_a_part_to_new_mail() {
    let days = |sent, bytes| Room { limit: 1000, sent }.days(bytes);
    assert_eq!(days(0, 0), 0);
    assert_eq!(days(0, 900), 0);
    assert_eq!(days(0, 901), 1);
    assert_eq!(days(900, 900), 1);
    assert_eq!(days(1000, 9000), 11);
    assert_eq!(Room { limit: 1, sent: 0 }.days(u64::MAX), u64::MAX - 1);
}
