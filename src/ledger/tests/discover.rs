//! A row for each message, cursors that never move back, and messages and UIDs that are back.

use super::*;

#[test]
fn a_cursor_moves_with_its_rows_and_never_back() {
    let mut desk = Desk::new();
    let (id, now) = (desk.mailbox().id, desk.now);
    let new = desk
        .ledger
        .record(id, &[mail(5, "<5@x>")], Progress::NextUid(6), now)
        .unwrap();
    assert_eq!((new, desk.mailbox().next_uid), (1, 6));
    desk.claim();
    // Told once more: the row stays as it is.
    let new = desk
        .ledger
        .record(id, &[mail(5, "<other@x>")], Progress::NextUid(3), now)
        .unwrap();
    assert_eq!((new, desk.mailbox().next_uid), (0, 6));
    assert_eq!(desk.status(1, 5), "in_flight");
    assert_eq!(
        desk.one::<String>("SELECT message_id FROM message"),
        "<5@x>"
    );
    let unrecorded = desk.ledger.record(
        MailboxId(77),
        &[mail(9, "<9@x>")],
        Progress::NextUid(10),
        now,
    );
    assert!(unrecorded.is_err());
    let uids = |all: &[u32]| all.iter().copied().map(Uid).collect();
    for (asked, without) in [
        (&[][..], &[][..]),
        (&[5], &[]),
        (&[4, 5, 6], &[4, 6]),
        (&[9], &[9]),
    ] {
        let answer: Vec<Uid> = desk.ledger.without_row(id, uids(asked)).unwrap();
        assert_eq!(answer, uids(without), "{asked:?}");
    }
}

#[test]
fn a_message_that_was_gone_waits_again_when_it_is_back() {
    let mut desk = Desk::new();
    let one = mail(1, "<a@x>");
    desk.record(std::slice::from_ref(&one));
    desk.claim();
    let id = desk.id(1, 1);
    desk.settle(id, &Change::Gone).unwrap();
    // Under its UID.
    assert_eq!(
        desk.ledger.without_row(MailboxId(1), vec![Uid(1)]).unwrap(),
        [Uid(1)]
    );
    desk.record(&[mail(1, "<another@x>")]);
    assert_eq!(desk.status(1, 1), "gone", "that is another message");
    desk.record(std::slice::from_ref(&one));
    assert_eq!(desk.status(1, 1), "pending");
    // Under another one.
    desk.ledger.wake(id).unwrap();
    desk.claim();
    desk.settle(id, &Change::Gone).unwrap();
    desk.renumber(&[again(5, &one)]);
    assert!(desk.inherit());
    assert_eq!(desk.status(2, 5), "pending");
    assert_eq!(desk.id(2, 5), id);
}

#[test]
fn a_uidvalidity_that_is_back_brings_its_rows_back() {
    let mut desk = Desk::new();
    let (one, two, three) = (mail(1, "<a@x>"), mail(2, "<b@x>"), mail(3, ""));
    desk.record(&[one.clone(), two.clone(), three.clone()]);
    let ids = [1, 2, 3].map(|uid| desk.id(1, uid));
    // For a while there is an empty mailbox in its place, then one with one of the messages.
    desk.renumber(&[]);
    assert!(desk.inherit());
    assert_eq!(desk.status(1, 1), "gone");
    desk.renumber(&[again(9, &two)]);
    assert!(desk.inherit());
    assert_eq!(desk.id(3, 9), ids[1]);
    let (present, now) = (desk.mailbox(), desk.now);
    assert!(
        !desk
            .ledger
            .reopen_incarnation(&present, UidValidity(7), 99, now)
            .unwrap()
    );
    assert!(
        !desk
            .ledger
            .reopen_incarnation(&present, UidValidity(1), 0, now)
            .unwrap(),
        "it has shrunk"
    );
    assert!(
        desk.ledger
            .reopen_incarnation(&present, UidValidity(1), 4, now)
            .unwrap()
    );
    assert_eq!(desk.mailbox().incarnation, 1);
    let missing = desk
        .ledger
        .without_row(MailboxId(1), vec![Uid(1), Uid(2), Uid(3)])
        .unwrap();
    assert_eq!(missing.len(), 3, "two were gone, one had moved");
    desk.record(&[one, two, three]);
    assert!(desk.inherit());
    for (uid, id) in [1, 2, 3].into_iter().zip(ids) {
        assert_eq!(
            (desk.id(1, uid), desk.status(1, uid)),
            (id, "pending".into())
        );
    }
    assert_eq!(desk.one::<i64>("SELECT count(*) FROM message"), 3);
    assert_eq!(
        desk.one::<i64>("SELECT count(*) FROM mailbox"),
        2,
        "what holds nothing is forgotten in time"
    );
}
