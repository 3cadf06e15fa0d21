//! What was to be removed at the source, and what came of it.

use super::*;

/// Two messages, delivered and looked at.
fn two() -> (Desk, [RowId; 2]) {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<a@x>"), mail(2, "<b@x>")]);
    desk.deliver_all();
    let ids = [1, 2].map(|uid| desk.id(1, uid));
    let ours = || Verdict::Ours {
        altered: false,
        merged: false,
        gm_msgid: None,
    };
    let now = desk.now;
    let verdicts = ids.map(|id| (id, ours()));
    desk.ledger.verified(&verdicts, now).unwrap();
    (desk, ids)
}

fn to() -> MovedTo {
    MovedTo {
        mailbox: "Archive".into(),
        uid_validity: UidValidity(7),
        uid_next: 12,
    }
}

/// UIDs of what may be removed.
fn removable(desk: &Desk) -> Vec<u32> {
    let (mailbox, now) = (desk.mailbox().id, desk.now);
    let step = desk.ledger.removable_from(mailbox, 0, now, now).unwrap();
    let (rows, _) = step.unwrap();
    rows.iter().map(|one| one.row.about.uid.0).collect()
}

fn remove(desk: &mut Desk, id: RowId) {
    let now = desk.now;
    let removal = desk
        .ledger
        .begin_removal(&[id], RemovalWay::Delete, None, now)
        .unwrap()
        .unwrap()
        .0;
    desk.ledger
        .end_removal(removal, &[(id, RemovalEnd::Removed)], now)
        .unwrap();
}

#[test]
fn what_is_begun_is_known_until_it_was_looked_at() {
    let (mut desk, [a, b]) = two();
    let now = desk.now;
    assert_eq!(removable(&desk), [1, 2]);
    let l = &mut desk.ledger;
    let id = l
        .begin_removal(&[a, b], RemovalWay::Copy, Some(&to()), now)
        .unwrap()
        .unwrap()
        .0;
    // Nothing else is done with them meanwhile.
    assert_eq!(
        l.begin_removal(&[a], RemovalWay::Delete, None, now)
            .unwrap(),
        None
    );
    let open = l.open_removals().unwrap();
    assert_eq!((open.len(), open[0].rows.len()), (1, 2));
    assert_eq!(open[0].moved_to, Some(to()));
    l.end_removal(id, &[(a, RemovalEnd::Copied)], now).unwrap();
    assert_eq!(l.open_removals().unwrap()[0].rows.len(), 1);
    let until = now + TimeDelta::days(1);
    let kept = RemovalEnd::Kept {
        why: "x".into(),
        until,
    };
    l.end_removal(id, &[(b, kept)], now).unwrap();
    assert!(l.open_removals().unwrap().is_empty());
    // The one that is copied is only to be deleted; the other one is left alone for a day.
    assert_eq!(removable(&desk), [1]);
    let copied: String = desk.one("SELECT copied_to FROM message WHERE source_uid = 1");
    assert_eq!(copied, "Archive");
    desk.now = until;
    assert_eq!(removable(&desk), [1, 2]);
    remove(&mut desk, a);
    assert_eq!(removable(&desk), [2]);
    assert_eq!(desk.ledger.removals().unwrap().removed, 1);
}

#[test]
fn what_is_not_delivered_is_not_removed() {
    let (mut desk, _) = two();
    desk.record(&[mail(3, "<c@x>")]);
    let (id, now) = (desk.id(1, 3), desk.now);
    let begun = desk
        .ledger
        .begin_removal(&[id], RemovalWay::Delete, None, now);
    assert_eq!(begun.unwrap(), None);
    assert_eq!(removable(&desk), [1, 2]);
    assert!(desk.ledger.open_removals().unwrap().is_empty());
}

#[test]
fn whatever_changes_in_the_wish_begins_the_day_anew() {
    let (mut desk, _) = two();
    let (l, now) = (&mut desk.ledger, desk.now);
    let later = |hours| now + TimeDelta::hours(hours);
    let mut note = |wanted, at| {
        l.note_after_delivery(wanted, at, at + TimeDelta::days(1))
            .unwrap()
    };
    assert_eq!(note(None, now), None);
    assert_eq!(note(Some("delete"), now), Some(later(24)));
    assert_eq!(note(Some("delete"), later(30)), Some(later(24)));
    assert_eq!(
        note(Some("delete after 3 days"), later(31)),
        Some(later(55))
    );
    assert_eq!(note(None, later(32)), None);
    assert_eq!(
        note(Some("delete after 3 days"), later(33)),
        Some(later(57))
    );
}

/// A source that is restored from a backup, with the UIDs that it had and with others.
#[test]
fn what_was_removed_and_is_back_is_there_like_any_other() {
    let (mut desk, [a, b]) = two();
    remove(&mut desk, a);
    remove(&mut desk, b);
    assert_eq!(removable(&desk), [0; 0]);
    let (mailbox, now) = (desk.mailbox().id, desk.now);
    let uids = [Uid(1), Uid(9)];
    // A list that may be older than the removal proves nothing.
    let back = |desk: &Desk, before| {
        let back = desk.ledger.removed_among(mailbox, &uids, before).unwrap();
        back.iter().map(|row| row.about.uid).collect::<Vec<_>>()
    };
    assert_eq!(back(&desk, now), [Uid(0); 0]);
    let later = now + TimeDelta::hours(1);
    assert_eq!(back(&desk, later), [Uid(1)]);
    desk.ledger.note_back(mailbox, &[Uid(1)]).unwrap();
    assert_eq!(removable(&desk), [1]);
    desk.renumber(&[mail(11, "<a@x>"), mail(12, "<b@x>")]);
    assert!(desk.inherit());
    assert_eq!(removable(&desk), [11, 12]);
    assert_eq!(desk.status(2, 12), "delivered");
    assert_eq!(desk.ledger.removals().unwrap().removed, 0);
}

/// Another message that bears the name of one that we removed is none of ours.
#[test]
fn what_has_the_name_of_a_removed_message_and_another_size_is_another_message() {
    let (mut desk, [a, b]) = two();
    remove(&mut desk, a);
    remove(&mut desk, b);
    let mut other = mail(11, "<a@x>");
    other.size = other.size.map(|size| size + 100);
    desk.renumber(&[other, mail(12, "<b@x>")]);
    assert!(desk.inherit());
    assert_eq!(desk.status(2, 11), "pending");
    assert_eq!(desk.status(2, 12), "delivered");
}

/// What was begun moves with its message.
#[test]
fn what_is_open_stays_open_when_uids_change() {
    let (mut desk, [a, _]) = two();
    let now = desk.now;
    desk.ledger
        .begin_removal(&[a], RemovalWay::Copy, Some(&to()), now)
        .unwrap();
    desk.renumber(&[mail(11, "<a@x>"), mail(12, "<b@x>")]);
    let open = desk.ledger.open_removals().unwrap();
    assert!(open[0].rows[0].retired);
    assert!(desk.inherit());
    let open = desk.ledger.open_removals().unwrap();
    assert_eq!(open[0].rows[0].row.about.uid, Uid(11));
    assert!(!open[0].rows[0].retired);
}

/// Equal bytes have one copy, which a row that was delivered by itself vouches for.
#[test]
fn who_vouches_for_equal_bytes() {
    let (mut desk, [a, b]) = two();
    desk.record(&[mail(3, "<c@x>")]);
    desk.claim();
    let c = desk.id(1, 3);
    desk.mark(c, 1).unwrap();
    let same = Change::Delivered {
        proof: Proof::Same,
        place: None,
        altered: false,
    };
    desk.settle(c, &same).unwrap();
    let update = |column: &str, id: RowId| {
        let sha = format!(
            "UPDATE message SET sha256 = (SELECT sha256 FROM message WHERE id = {}), {column} WHERE id = {}",
            c.0, id.0
        );
        desk.ledger.db.execute(&sha, []).unwrap();
    };
    let row = || {
        desk.ledger
            .removable_from(desk.mailbox().id, 2, desk.now, desk.now)
    };
    let row = row().unwrap().unwrap().0.remove(0).row;
    let voucher = || desk.ledger.voucher(&row).unwrap().map(|one| one.row.id);
    update("altered = 1", a);
    update("verified_at = NULL", b);
    assert_eq!(voucher(), None);
    update("verified_at = '2024-05-01T12:00:00Z'", b);
    assert_eq!(voucher(), Some(b));
}
