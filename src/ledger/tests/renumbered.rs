//! A mailbox whose UIDs change their meaning: what its rows take along, and what they leave.

use super::*;

#[test]
fn a_row_of_an_older_incarnation_holds_up_its_name_until_it_is_resolved() {
    let mut desk = Desk::new();
    let one = mail(1, "<a@x>");
    desk.record(std::slice::from_ref(&one));
    desk.claim();
    // A second one of this name: only bytes could tell which of the two the old row is.
    desk.renumber(&[again(6, &one), again(7, &one), mail(8, "<b@x>")]);
    assert!(desk.inherit());
    assert_eq!(desk.status(1, 1), "in_flight");
    assert_eq!(desk.claim(), [8]);
    let open = desk.id(1, 1);
    desk.settle(open, &Change::Released { unseen: true })
        .unwrap();
    assert!(desk.inherit());
    assert_eq!(desk.state(1, 1), ("gone".into(), None));
    assert_eq!(desk.claim(), [7]);
}

#[test]
fn a_row_in_flight_moves_with_its_message_and_one_without_a_name_is_waited_for() {
    let mut desk = Desk::new();
    let (one, two) = (mail(1, "<a@x>"), mail(2, ""));
    desk.record(std::slice::from_ref(&one));
    desk.claim();
    let open = desk.id(1, 1);
    desk.mark(open, 1).unwrap();
    desk.renumber(&[again(7, &one)]);
    assert!(desk.inherit());
    assert_eq!(desk.state(2, 7), ("in_flight".into(), None));
    assert_eq!(
        desk.id(2, 7),
        open,
        "with its mark, so that it can be resolved"
    );
    desk.settle(open, &delivered()).unwrap();
    desk.record(std::slice::from_ref(&two));
    assert_eq!(desk.claim(), [2]);
    let open = desk.id(2, 2);
    desk.renumber(&[again(17, &one), again(18, &two)]);
    assert!(!desk.inherit(), "the old row is in flight");
    assert!(desk.claim().is_empty(), "nothing is claimed before");
    desk.settle(open, &Change::Released { unseen: true })
        .unwrap();
    assert!(!desk.ledger.untried().unwrap());
    assert!(desk.inherit());
    assert_eq!(desk.status(3, 17), "delivered");
    assert_eq!(desk.claim(), [18]);
}

#[test]
fn a_new_incarnation_takes_over_what_is_known_and_drops_what_waited() {
    let mut desk = Desk::new();
    let old: Vec<_> = (1..=4).map(|n| mail(n, &format!("<{n}@x>"))).collect();
    desk.record(&old);
    assert_eq!(desk.claim_within(3, u64::MAX), [4, 3, 2]);
    for (uid, change) in [(4, delivered()), (3, failed()), (2, failed())] {
        let id = desk.id(1, uid);
        if uid == 4 {
            desk.mark(id, 4).unwrap();
        }
        desk.settle(id, &change).unwrap();
    }
    let now = desk.now;
    let two = desk.id(1, 2);
    assert_eq!(desk.ledger.retry_failed(&[two], true, now).unwrap(), 1);
    let ids = [1, 2, 3, 4].map(|uid| desk.id(1, uid));
    let new: Vec<_> = old.iter().map(|m| again(m.uid.0 + 10, m)).collect();
    desk.renumber(&new);
    desk.record(&[mail(20, "<new@x>")]);
    assert!(desk.inherit());
    for (uid, status) in [
        (11, "pending"),
        (12, "skipped"),
        (13, "failed"),
        (14, "delivered"),
    ] {
        assert_eq!(desk.state(2, uid), (status.into(), None), "{uid}");
        assert_eq!(
            desk.id(2, uid),
            ids[uid as usize - 11],
            "{uid}: the same row"
        );
    }
    assert_eq!(desk.one::<i64>("SELECT count(*) FROM message"), 5);
    assert_eq!(desk.status(2, 20), "pending");
    assert_eq!(desk.claim(), [20, 11]);
    // What the old row knew of the bytes and the place decides for the new one.
    assert_eq!(
        desk.one::<Vec<u8>>(&format!(
            "SELECT sha256 FROM message WHERE id = {}",
            desk.id(2, 14)
        )),
        [4; 32]
    );
    let summary = desk.ledger.summary(now, now).unwrap();
    assert_eq!(
        (summary.delivered, summary.failed, summary.skipped),
        (1, 1, 1),
        "each counted once"
    );
}

#[test]
fn what_stands_several_times_is_inherited_by_its_bytes_alone() {
    let mut desk = Desk::new();
    let one = mail(1, "<a@x>");
    desk.record(&[one.clone(), again(2, &one), mail(3, "")]);
    desk.deliver_all();
    desk.deliver_all();
    assert_eq!(desk.ledger.left().unwrap(), (0, 0));
    desk.renumber(&[again(11, &one), again(12, &one), mail(13, "")]);
    assert!(desk.inherit());
    for uid in 11..=13 {
        assert_eq!(desk.status(2, uid), "pending", "{uid}");
    }
    assert_eq!(desk.state(1, 1), ("delivered".into(), None));
    // Their bodies come, and tell.
    assert_eq!(desk.claim(), [13, 12]);
    let (new, old) = (desk.id(2, 12), desk.id(1, 1));
    let twin = desk.ledger.twin(new, &Sha256([old.0 as u8; 32])).unwrap();
    assert_eq!(twin, Some(Twin::Before(old)));
    desk.settle(new, &Change::AsBefore { row: old }).unwrap();
    assert_eq!(desk.status(2, 12), "delivered");
    assert_eq!(desk.id(2, 12), old, "it moves to where its message is now");
    let left: i64 = desk.one(&format!("SELECT count(*) FROM message WHERE id = {new}"));
    assert_eq!(left, 0);
    // A second message with those bytes: the first one vouches for it, the old row no longer.
    assert_eq!(desk.claim(), [11]);
    let last = desk.id(2, 11);
    let twin = desk.ledger.twin(last, &Sha256([old.0 as u8; 32])).unwrap();
    assert_eq!(twin, Some(Twin::Delivered));
    assert_eq!(desk.ledger.twin(last, &Sha256([99; 32])).unwrap(), None);
}

#[test]
fn a_message_of_another_name_or_date_is_another_one() {
    let mut desk = Desk::new();
    let one = mail(1, "<a@x>");
    desk.record(std::slice::from_ref(&one));
    desk.deliver_all();
    let others = [
        Discovered {
            date: None,
            ..again(12, &one)
        },
        Discovered {
            message_id: MessageId::parse(b"<b@x>"),
            ..again(14, &one)
        },
    ];
    desk.renumber(&others);
    assert!(desk.inherit());
    assert_eq!(desk.state(1, 1), ("delivered".into(), None));
    let pending: i64 = desk.one("SELECT count(*) FROM message WHERE status = 'pending'");
    assert_eq!(pending, 2);
}

#[test]
fn a_server_that_moved_tells_another_size_and_date_of_the_same_message() {
    let mut desk = Desk::new();
    let (one, two) = (mail(1, "<a@x>"), mail(2, "<b@x>"));
    desk.record(std::slice::from_ref(&one));
    desk.deliver_all();
    desk.record(std::slice::from_ref(&two));
    let moved = |uid, m: &Discovered| Discovered {
        size: Some(101),
        internal_date: Some(desk.now + TimeDelta::seconds(1)),
        ..again(uid, m)
    };
    let (one, two) = (moved(11, &one), moved(12, &two));
    desk.renumber(&[one, two]);
    assert!(desk.inherit());
    assert_eq!(desk.status(2, 11), "delivered");
    assert_eq!(desk.claim(), [12]);
    let row = &desk.ledger.in_flight().unwrap()[0];
    assert_eq!(row.about.size, Some(101), "what waits is as it is told now");
    assert_eq!(row.internal_date, desk.now + TimeDelta::seconds(1));
}

/// As of a mailbox that is another one with each look, of POP users for instance.
#[test]
fn a_mailbox_that_is_another_one_each_time_does_not_grow() {
    let mut desk = Desk::new();
    let all = |from: u32| {
        let twins = [mail(from, "<a@x>"), again(from + 1, &mail(1, "<a@x>"))];
        let others = [
            mail(from + 2, "<b@x>"),
            mail(from + 3, ""),
            again(from + 4, &mail(1, "")),
        ];
        [&twins[..], &others[..]].concat()
    };
    let mut fetched = Vec::new();
    for n in 0..20 {
        let from = 100 * n + 1;
        if n == 0 {
            desk.record(&all(from));
        } else {
            desk.renumber(&all(from));
        }
        assert!(desk.inherit());
        // What its name does not tell apart is told apart by its bytes.
        let mut bodies = 0;
        while !desk.claim().is_empty() {
            for row in desk.ledger.in_flight().unwrap() {
                bodies += 1;
                let sha = (row.about.uid.0 - from) as u8;
                let change = match desk.ledger.twin(row.id, &Sha256([sha; 32])).unwrap() {
                    Some(Twin::Before(row)) => Change::AsBefore { row },
                    Some(twin) => panic!("no two have the same bytes: {twin:?}"),
                    None => {
                        desk.mark(row.id, sha).unwrap();
                        delivered()
                    }
                };
                desk.settle(row.id, &change).unwrap();
                if let Change::Delivered { .. } = change {
                    desk.look_at(row.id);
                }
            }
        }
        fetched.push(bodies);
    }
    assert_eq!(fetched[..4], [5, 4, 4, 0], "{fetched:?}");
    assert_eq!(fetched.iter().sum::<i32>(), 13, "{fetched:?}");
    assert!(desk.mailbox().is_unstable());
    let rows: i64 = desk.one("SELECT count(*) FROM message");
    assert_eq!(rows, 5);
    let waits: i64 = desk.one("SELECT count(*) FROM message WHERE status = 'pending'");
    assert_eq!(waits, 0);
    let mailboxes: i64 = desk.one("SELECT count(*) FROM mailbox");
    assert!(mailboxes <= 2, "{mailboxes} mailboxes");
    let id = desk.mailbox().id;
    desk.ledger.seen_again(id).unwrap();
    assert!(!desk.mailbox().is_unstable());
}

#[test]
fn renumbered_before_the_last_time_was_dealt_with() {
    let mut desk = Desk::new();
    let (one, two) = (mail(1, "<a@x>"), mail(2, "<b@x>"));
    desk.record(&[one.clone(), two.clone()]);
    desk.claim_within(1, 1);
    let sent = desk.id(1, 2);
    desk.settle(sent, &delivered()).unwrap();
    // The second incarnation was recorded in part, and nothing was taken over before the third.
    let late = Discovered {
        internal_date: Some(desk.now - TimeDelta::days(4000)),
        ..mail(13, "<moved here from elsewhere@x>")
    };
    desk.renumber(&[again(11, &one), again(12, &two), late.clone()]);
    desk.renumber(&[]);
    let third = desk.mailbox();
    assert!(desk.ledger.history_from(&third).unwrap() <= late.internal_date.unwrap());
    assert!(desk.ledger.known_before(&third, &again(23, &late)).unwrap());
    desk.record(&[again(21, &one), again(22, &two), again(23, &late)]);
    assert!(desk.inherit());
    assert_eq!(
        desk.status(3, 22),
        "delivered",
        "it was sent two incarnations ago"
    );
    assert_eq!(desk.claim(), [21, 23]);
    let open: i64 = desk.one("SELECT count(*) FROM message WHERE status = 'pending'");
    assert_eq!(open, 0, "nothing waits in a mailbox that is no more");
}

#[test]
fn several_incarnations_pass_on_what_they_know_one_to_the_next() {
    let mut desk = Desk::new();
    let one = mail(1, "<a@x>");
    desk.record(std::slice::from_ref(&one));
    desk.deliver_all();
    for incarnation in 2..6 {
        desk.renumber(&[again(incarnation * 10, &one)]);
        assert!(desk.inherit());
        assert_eq!(desk.status(incarnation, incarnation * 10), "delivered");
    }
    let known: i64 = desk.one("SELECT count(*) FROM message WHERE superseded_by IS NULL");
    assert_eq!(known, 1);
    assert!(desk.claim().is_empty());
}
