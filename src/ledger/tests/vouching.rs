//! Who vouches for whom: equal bytes, OKs that turn out to be none, and targets that were put back.

use super::*;

/// Two messages of equal bytes and one of others, all in flight, in the order of their UIDs.
fn three() -> (Desk, [RowId; 3]) {
    let mut desk = Desk::new();
    let (a, b, c) = (mail(1, "<a@x>"), mail(2, "<b@x>"), mail(3, "<c@x>"));
    desk.record(&[a, b, c]);
    desk.claim();
    let ids = [1, 2, 3].map(|uid| desk.id(1, uid));
    for (id, sha) in ids.iter().zip([7, 7, 9]) {
        desk.mark(*id, sha).unwrap();
    }
    (desk, ids)
}

fn same() -> Change {
    Change::Delivered {
        proof: Proof::Same,
        place: None,
        altered: false,
    }
}

fn verdict(desk: &mut Desk, id: RowId, verdict: Verdict) -> usize {
    let now = desk.now;
    desk.ledger.verified(&[(id, verdict)], now).unwrap()
}

fn not_ours() -> Verdict {
    Verdict::NotOurs {
        error: Error::new(Fault::Permanent, "another one is kept"),
        sender: None,
        subject: None,
    }
}

fn ours() -> Verdict {
    Verdict::Ours {
        altered: false,
        merged: false,
        gm_msgid: None,
    }
}

#[test]
fn an_ok_vouches_for_nobody_before_it_was_looked_at() {
    let (mut desk, [a, b, _]) = three();
    desk.settle(a, &delivered()).unwrap();
    let twin = |desk: &Desk, id| desk.ledger.twin(id, &Sha256([7; 32])).unwrap();
    assert_eq!(twin(&desk, b), Some(Twin::Unverified));
    verdict(&mut desk, a, ours());
    assert_eq!(twin(&desk, b), Some(Twin::Delivered));
}

#[test]
fn what_was_delivered_because_of_another_row_vouches_for_nobody() {
    let (mut desk, [a, b, _]) = three();
    desk.settle(b, &same()).unwrap();
    assert_eq!(desk.ledger.twin(a, &Sha256([7; 32])).unwrap(), None);
}

#[test]
fn a_row_that_is_taken_back_takes_back_those_that_it_vouched_for() {
    let (mut desk, [a, b, c]) = three();
    for id in [a, c] {
        desk.settle(id, &delivered()).unwrap();
    }
    desk.settle(b, &same()).unwrap();
    assert_eq!(verdict(&mut desk, a, not_ours()), 1);
    assert_eq!(
        [1, 2, 3].map(|uid| desk.status(1, uid)),
        ["failed", "failed", "delivered"]
    );
    let why: String = desk.one(&format!("SELECT last_error FROM message WHERE id = {b}"));
    assert_eq!(why, "another one is kept");
}

#[test]
fn but_not_those_that_another_one_vouches_for() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<a@x>"), mail(2, "<b@x>"), mail(3, "<c@x>")]);
    desk.claim();
    let [a, b, c] = [1, 2, 3].map(|uid| desk.id(1, uid));
    for id in [a, b, c] {
        desk.mark(id, 7).unwrap();
    }
    desk.settle(a, &delivered()).unwrap();
    desk.settle(c, &delivered()).unwrap();
    desk.settle(b, &same()).unwrap();
    verdict(&mut desk, c, ours());
    assert_eq!(verdict(&mut desk, a, not_ours()), 0);
    assert_eq!(desk.status(1, 2), "delivered");
}

#[test]
fn a_copy_of_another_route_is_found_and_looked_at() {
    let (mut desk, [a, ..]) = three();
    desk.settle(a, &delivered()).unwrap();
    verdict(&mut desk, a, Verdict::Found { gm_msgid: Some(5) });
    let row: String = desk.one(&format!(
        "SELECT status || ' ' || proof || ' ' || altered || ' ' || gm_msgid FROM message WHERE id = {a} AND verified_at IS NOT NULL"
    ));
    assert_eq!(row, "delivered found 1 5");
}

#[test]
fn a_mailbox_that_went_back_forgets_what_it_gives_anew() {
    let (mut desk, [a, b, c]) = three();
    let mut index = desk.ledger.index_mailbox("All", UidValidity(1), 1).unwrap();
    let seen: Vec<Discovered> = (1..=9)
        .map(|uid| mail(uid, &format!("<{uid}@y>")))
        .collect();
    index.next_uid = 10;
    index.covered_since = Some(desk.now);
    desk.ledger.index_record(&index, &seen).unwrap();
    let to = |uid| Change::Delivered {
        proof: Proof::Found,
        place: Some(Place {
            mailbox: index.id,
            uid_validity: UidValidity(1),
            uid: Uid(uid),
            gm_msgid: None,
        }),
        altered: false,
    };
    desk.settle(a, &to(5)).unwrap();
    desk.settle(b, &to(6)).unwrap();
    let intent = Intent {
        row: c,
        sha256: Sha256([9; 32]),
        canonical: CanonicalHash([9; 32]),
        size: 100,
        flags: Flags::default(),
        by_import: false,
    };
    let mark = Mark {
        mailbox: index.id,
        uid_validity: UidValidity(1),
        uid_next: 10,
    };
    let now = desk.now;
    desk.ledger.mark(&[intent], &[mark], None, now).unwrap();
    let index = desk.ledger.index_went_back(&index, 6).unwrap();
    assert_eq!(index.next_uid, 6);
    assert_eq!(
        index.covered_since, None,
        "what was deleted may be there again"
    );
    assert_eq!(desk.one::<i64>("SELECT max(uid) FROM gmail_message"), 5);
    assert_eq!(desk.one::<i64>("SELECT max(uid_next) FROM mark_mailbox"), 6);
    let places: i64 = desk.one("SELECT sum(gmail_uid) FROM message");
    assert_eq!(places, 5, "what lies below still vouches");
    // Nor does the mark of one that had looked before.
    desk.ledger.mark(&[intent], &[mark], None, now).unwrap();
    assert_eq!(desk.one::<i64>("SELECT max(uid_next) FROM mark_mailbox"), 6);
    let known = desk.ledger.index_known("All").unwrap().unwrap();
    assert_eq!(known.next_uid, 6);
}

#[test]
fn what_was_given_and_what_it_was() {
    let (mut desk, [a, b, _]) = three();
    assert_eq!(desk.ledger.index_given("All").unwrap(), None);
    let mut index = desk.ledger.index_mailbox("All", UidValidity(1), 1).unwrap();
    index.next_uid = 4;
    let seen = [mail(2, "<2@y>"), mail(3, "")];
    desk.ledger.index_record(&index, &seen).unwrap();
    let given = |desk: &Desk| desk.ledger.index_given("All").unwrap();
    assert_eq!(given(&desk), Some((UidValidity(1), 4)));
    let to = |uid, validity| Change::Delivered {
        proof: Proof::Appended,
        place: Some(Place {
            mailbox: index.id,
            uid_validity: UidValidity(validity),
            uid: Uid(uid),
            gm_msgid: None,
        }),
        altered: false,
    };
    desk.settle(a, &to(9, 2)).unwrap();
    let other_uids = "of other UIDs";
    assert_eq!(given(&desk), Some((UidValidity(1), 4)), "{other_uids}");
    desk.settle(b, &to(u32::MAX, 1)).unwrap();
    assert_eq!(given(&desk), Some((UidValidity(1), u32::MAX)));
    let witnesses = |desk: &Desk, below, count| -> Vec<u32> {
        let all = desk.ledger.index_witnesses(&index, below, count).unwrap();
        all.into_iter().map(|w| w.uid.0).collect()
    };
    assert_eq!(witnesses(&desk, u32::MAX, 10), [2]);
    let db = &desk.ledger.db;
    db.execute("UPDATE message SET gmail_uid = 7 WHERE id = ?1", [b])
        .unwrap();
    let nobody_looked = witnesses(&desk, 10, 10);
    assert_eq!(nobody_looked, [2]);
    let ours = Verdict::Ours {
        altered: false,
        merged: false,
        gm_msgid: None,
    };
    verdict(&mut desk, b, ours);
    assert_eq!(witnesses(&desk, 10, 10), [7, 2]);
    assert_eq!(witnesses(&desk, 7, 10), [2]);
    verdict(&mut desk, b, Verdict::Misplaced);
    assert_eq!(witnesses(&desk, 10, 10), [2]);
}
