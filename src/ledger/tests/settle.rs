//! What becomes of a row: only of one that is in flight, and what a person does to those that failed.

use super::*;

#[test]
fn every_change_ends_a_flight_and_nothing_else() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>"), mail(2, "<2@x>")]);
    let (one, two) = (desk.id(1, 1), desk.id(1, 2));
    let error = Error::new(Fault::Transient, "not now");
    let at = desk.now;
    let changes = [
        delivered(),
        Change::Retry {
            error,
            first: at,
            at,
        },
        failed(),
        Change::Released { unseen: true },
        Change::Later { at },
        Change::Gone,
        Change::AsBefore { row: two },
    ];
    for change in &changes {
        let refused = desk.settle(one, change).unwrap_err();
        assert_eq!(refused.fault, Fault::Fatal, "{change:?}");
        assert_eq!(desk.status(1, 1), "pending", "{change:?}");
        assert_eq!(desk.state(1, 2), ("pending".into(), None), "{change:?}");
    }
    assert!(desk.mark(one, 1).is_err(), "an intent needs a flight");
    assert_eq!(desk.one::<i64>("SELECT count(*) FROM mark"), 0);
    desk.claim_within(1, 1);
    // Newest first: the second has the flight.
    desk.settle(two, &delivered()).unwrap();
    for change in &changes {
        assert!(desk.settle(two, change).is_err(), "{change:?}");
        assert_eq!(desk.status(1, 2), "delivered", "{change:?}");
    }
    // These verbs pass over a row that is not theirs.
    let about = mail(1, "<other@x>");
    desk.ledger.learn(two, &about).unwrap();
    let ours = Verdict::Ours {
        altered: true,
        merged: false,
        gm_msgid: None,
    };
    desk.ledger.verified(&[(one, ours)], at).unwrap();
    assert_eq!(desk.one::<i64>("SELECT count(*) FROM message WHERE altered OR verified_at IS NOT NULL OR message_id = '<other@x>'"), 0);
}

#[test]
fn failed_messages_are_tried_again_or_given_up_as_asked() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>"), mail(2, "<2@x>"), mail(3, "<3@x>")]);
    desk.claim();
    for uid in [1, 2] {
        let id = desk.id(1, uid);
        desk.settle(id, &failed()).unwrap();
    }
    let (one, two, three, now) = (desk.id(1, 1), desk.id(1, 2), desk.id(1, 3), desk.now);
    for (ids, words) in [
        (vec![one, three], "is in_flight, expected a failed one"),
        (vec![one, RowId(77)], "there is no message 77"),
    ] {
        let refused = desk.ledger.retry_failed(&ids, false, now).unwrap_err();
        assert_eq!(refused.fault, Fault::Usage);
        assert!(refused.message.contains(words), "{refused}");
        assert_eq!(desk.status(1, 1), "failed", "nothing was changed");
    }
    assert_eq!(
        desk.ledger.retry_failed(&[one, one], false, now).unwrap(),
        1
    );
    assert_eq!(desk.ledger.retry_failed(&[], true, now).unwrap(), 1);
    assert_eq!(
        (desk.status(1, 1), desk.status(1, 2)),
        ("pending".into(), "skipped".into())
    );
    assert!(desk.ledger.retry_failed(&[two], false, now).is_err());
    assert_eq!(desk.ledger.retry_failed(&[], false, now).unwrap(), 0);
    let charge: Option<String> = desk.one(&format!(
        "SELECT first_failed_at FROM message WHERE id = {one}"
    ));
    assert_eq!(charge, None, "it has its days again");
}

#[test]
fn a_failed_message_that_its_mailbox_lost_can_be_left_too() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>")]);
    desk.claim();
    let (one, now) = (desk.id(1, 1), desk.now);
    desk.settle(one, &failed()).unwrap();
    desk.renumber(&[]);
    assert!(desk.inherit());
    assert_eq!(desk.ledger.left().unwrap(), (0, 1));
    desk.ledger.retry_failed(&[one], false, now).unwrap();
    assert!(desk.inherit());
    assert_eq!(desk.status(1, 1), "gone", "there is nothing to try it with");
    assert_eq!(desk.ledger.left().unwrap(), (0, 0));
}
