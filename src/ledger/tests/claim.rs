//! Which rows are delivered next: in what order, how many, and which never together.

use super::super::claim::claim_query;
use super::*;

#[test]
fn a_batch_is_newest_first_and_bounded() {
    let mut desk = Desk::new();
    let sizes = [40, 40, 500, 10, 10, 10];
    let found: Vec<Discovered> = (1..)
        .zip(sizes)
        .map(|(uid, size)| Discovered {
            size: Some(size),
            internal_date: Some(desk.now - TimeDelta::hours(i64::from(uid))),
            ..mail(uid, &format!("<{uid}@x>"))
        })
        .collect();
    desk.record(&found);
    assert_eq!(desk.claim_within(10, 100), [1, 2]);
    assert_eq!(desk.claim_within(10, 100), [3], "too big for any batch");
    assert_eq!(desk.claim_within(2, 100), [4, 5]);
    assert_eq!(desk.claim_within(2, 100), [6]);
    assert!(desk.claim().is_empty());
    assert_eq!(desk.one::<i64>("SELECT min(attempt) FROM message"), 1);
}

#[test]
fn what_could_be_mistaken_for_each_other_is_not_in_flight_together() {
    let mut desk = Desk::new();
    let nameless = |uid, size| Discovered {
        size: Some(size),
        ..mail(uid, "")
    };
    desk.record(&[
        mail(1, "<a@x>"),
        mail(2, "<a@x>"),
        nameless(3, 7),
        nameless(4, 7),
        nameless(5, 8),
    ]);
    assert_eq!(desk.claim(), [5, 4, 2]);
    assert!(desk.claim().is_empty());
    let open = desk.id(1, 2);
    assert!(desk.ledger.untried().unwrap());
    desk.settle(open, &delivered()).unwrap();
    assert!(desk.claim().is_empty(), "its copy was not looked at");
    desk.look_at(open);
    assert_eq!(desk.claim(), [1]);
    let open = desk.id(1, 4);
    desk.settle(open, &Change::Gone).unwrap();
    assert_eq!(desk.claim(), [3]);
    assert!(!desk.ledger.untried().unwrap());
}

#[test]
fn what_ended_unseen_and_what_has_no_name_go_alone() {
    let mut desk = Desk::new();
    let unknown = |uid| Discovered {
        size: None,
        message_id: None,
        date: None,
        ..mail(uid, "")
    };
    let others: Vec<_> = (1..=3).map(|n| mail(n, &format!("<{n}@x>"))).collect();
    desk.record(&others);
    desk.record(&[unknown(4), unknown(5)]);
    assert_eq!(desk.claim(), [5]);
    assert_eq!(
        desk.claim(),
        [3, 2, 1],
        "of the nameless only one at a time"
    );
    let two = desk.id(1, 2);
    desk.settle(two, &Change::Released { unseen: true })
        .unwrap();
    let three = desk.id(1, 3);
    desk.settle(three, &Change::Released { unseen: false })
        .unwrap();
    assert_eq!(desk.claim(), [3]);
    assert_eq!(desk.claim(), [2]);
    assert!(desk.claim().is_empty());
    let five = desk.id(1, 5);
    desk.ledger.learn(five, &mail(5, "<5@x>")).unwrap();
    desk.settle(five, &Change::Released { unseen: false })
        .unwrap();
    assert_eq!(desk.claim(), [5], "it has a name now");
    assert_eq!(desk.claim(), [4]);
}

#[test]
fn a_run_tries_a_row_once_and_again_only_when_it_was_not_begun() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>")]);
    let one = desk.id(1, 1);
    let at = desk.now + TimeDelta::hours(6);
    assert_eq!(desk.claim(), [1]);
    desk.settle(one, &Change::Released { unseen: false })
        .unwrap();
    assert_eq!(desk.claim(), [1]);
    let error = Error::new(Fault::Transient, "not now");
    desk.settle(
        one,
        &Change::Retry {
            error,
            first: at,
            at,
        },
    )
    .unwrap();
    assert!(desk.claim().is_empty());
    desk.ledger.wake(one).unwrap();
    assert_eq!(desk.claim(), [1], "whatever its backoff");
    desk.settle(one, &Change::Later { at }).unwrap();
    let claim = Claim {
        count: 1,
        bytes: 1,
        once: false,
    };
    assert!(desk.ledger.claim(claim, desk.now).unwrap().is_empty());
    assert_eq!(desk.ledger.claim(claim, at).unwrap().len(), 1);
    assert_eq!(desk.one::<i64>("SELECT attempt FROM message"), 4);
}

#[test]
fn a_clock_that_was_set_back_makes_a_row_due_once() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>")]);
    desk.now -= TimeDelta::days(1);
    let claim = Claim {
        count: 9,
        bytes: u64::MAX,
        once: false,
    };
    assert_eq!(desk.ledger.next_due(desk.now).unwrap(), Some(desk.now));
    assert_eq!(desk.ledger.claim(claim, desk.now).unwrap().len(), 1);
    // Released as it was, it is due as it was.
    let released = Change::Released { unseen: false };
    desk.settle(desk.id(1, 1), &released).unwrap();
    assert_eq!(desk.ledger.claim(claim, desk.now).unwrap().len(), 1);
    let at = desk.now + TimeDelta::minutes(1);
    let error = Error::new(Fault::Transient, "not now");
    desk.settle(
        desk.id(1, 1),
        &Change::Retry {
            error,
            first: at,
            at,
        },
    )
    .unwrap();
    assert_eq!(desk.ledger.next_due(desk.now).unwrap(), Some(at));
    assert_eq!(desk.ledger.claim(claim, desk.now).unwrap().len(), 0);
    desk.now = at;
    assert_eq!(desk.ledger.claim(claim, desk.now).unwrap().len(), 1);
}

#[test]
fn a_claim_neither_sorts_nor_reads_all_that_waits() {
    let mut desk = Desk::new();
    let found: Vec<Discovered> = (1..=100_000)
        .map(|n| mail(n, &format!("<{n}@x>")))
        .collect();
    desk.record(&found);
    for once in [true, false] {
        let plan = desk.plan(&claim_query(once));
        assert!(plan.contains("message_pending"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(desk.claim_within(10, u64::MAX).len(), 10);
    }
    assert!(desk.ledger.untried().unwrap());
    assert!(begun.elapsed().as_millis() < 2000, "{:?}", begun.elapsed());
}
