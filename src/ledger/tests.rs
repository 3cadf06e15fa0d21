//! Each verb of the ledger on a file of its own.
#![allow(clippy::unwrap_used)]

use chrono::TimeDelta;
use rusqlite::types::FromSql;
use tempfile::TempDir;

use super::*;
use crate::error::Fault;
use crate::folder::FolderId;
use crate::message::{
    CanonicalHash, Discovered, Flags, MessageId, Sha256, Uid, UidValidity, parse_time,
};

mod inherit;
mod inspect;
mod pace;
mod plans;
mod turns;
mod vouching;

const INBOX: FolderId = FolderId(1);
/// Rows that are taken over in one step.
const FEW: usize = 100;

/// A ledger whose mailbox has been looked at, and the moment at which everything happens.
struct Desk {
    ledger: Ledger,
    now: Time,
    dir: TempDir,
}

impl Desk {
    fn new() -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open_or_create(&dir.path().join("l.db"), true).unwrap();
        let now = parse_time("2024-05-01T12:00:00Z").unwrap();
        ledger
            .first_look(INBOX, UidValidity(1), 1, "all", now - TimeDelta::days(400))
            .unwrap();
        Desk { ledger, now, dir }
    }

    fn mailbox(&self) -> MailboxRow {
        self.ledger.present_mailbox(INBOX).unwrap()
    }

    fn record(&mut self, found: &[Discovered]) {
        let id = self.mailbox().id;
        let now = self.now;
        self.ledger
            .record(id, found, Progress::History, now)
            .unwrap();
    }

    /// The mailbox has new UIDs, and these messages.
    fn renumber(&mut self, found: &[Discovered]) {
        let (old, now) = (self.mailbox(), self.now);
        self.ledger
            .new_incarnation(&old, UidValidity(old.uid_validity.0 + 1), 1000, now)
            .unwrap();
        self.record(found);
    }

    /// Everything there is has a row, and what older incarnations know is taken over.
    fn inherit(&mut self) -> bool {
        let (mailbox, now) = (self.mailbox(), self.now);
        self.ledger
            .record(mailbox.id, &[], Progress::HistoryDone, now)
            .unwrap();
        self.inherit_to_the_end(FEW)
    }

    fn inherit_to_the_end(&mut self, step: usize) -> bool {
        loop {
            match self.ledger.inherit_by(INBOX, step).unwrap() {
                Inherited::NotYet => return false,
                Inherited::InPart => {}
                Inherited::Wholly => return true,
            }
        }
    }

    fn claim(&mut self) -> Vec<u32> {
        self.claim_within(100, u64::MAX)
    }

    fn claim_within(&mut self, count: usize, bytes: u64) -> Vec<u32> {
        let claim = Claim {
            count,
            bytes,
            once: true,
        };
        let rows = self.ledger.claim(claim, self.now).unwrap();
        rows.iter().map(|r| r.about.uid.0).collect()
    }

    fn settle(&mut self, id: RowId, change: &Change) -> Result<()> {
        let now = self.now;
        self.ledger.settle(id, change, now)
    }

    fn mark(&mut self, id: RowId, sha: u8) -> Result<()> {
        let intent = Intent {
            row: id,
            sha256: Sha256([sha; 32]),
            canonical: CanonicalHash([sha; 32]),
            size: 100,
            flags: Flags::default(),
        };
        let now = self.now;
        self.ledger.mark(&[intent], &[], None, now).map(|_| ())
    }

    /// Claims what there is and delivers each row, with a hash of its own.
    fn deliver_all(&mut self) {
        self.claim();
        for row in self.ledger.in_flight().unwrap() {
            self.mark(row.id, row.id.0 as u8).unwrap();
            self.settle(row.id, &delivered()).unwrap();
        }
    }

    fn id(&self, incarnation: u32, uid: u32) -> RowId {
        self.one(&format!(
            "SELECT m.id FROM message m JOIN mailbox b ON b.id = m.mailbox_id
              WHERE incarnation = {incarnation} AND source_uid = {uid}"
        ))
    }

    /// `status` and, where there is one, the row that took this one's place.
    fn state(&self, incarnation: u32, uid: u32) -> (String, Option<RowId>) {
        let id = self.id(incarnation, uid);
        (
            self.one(&format!("SELECT status FROM message WHERE id = {id}")),
            self.one(&format!(
                "SELECT superseded_by FROM message WHERE id = {id}"
            )),
        )
    }

    fn status(&self, incarnation: u32, uid: u32) -> String {
        self.state(incarnation, uid).0
    }

    fn one<T: FromSql>(&self, query: &str) -> T {
        self.ledger.db.query_row(query, [], |r| r.get(0)).unwrap()
    }

    fn plan(&self, query: &str) -> String {
        let mut plan = self
            .ledger
            .db
            .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
            .unwrap();
        let nothing = vec![rusqlite::types::Null; plan.parameter_count()];
        let steps: Vec<String> = plan
            .query_map(rusqlite::params_from_iter(nothing), |r| r.get(3))
            .unwrap()
            .map(|step| step.unwrap())
            .collect();
        steps.join("\n")
    }
}

/// A message with a Message-ID of its own, or with none.
fn mail(uid: u32, name: &str) -> Discovered {
    Discovered {
        uid: Uid(uid),
        message_id: MessageId::parse(name.as_bytes()),
        date: Some("Wed, 1 May 2024 12:00:00 +0000".into()),
        internal_date: parse_time("2024-05-01T12:00:00Z"),
        size: Some(100),
        flags: Flags::default(),
        gm_msgid: None,
    }
}

/// The same message under another UID.
fn again(uid: u32, m: &Discovered) -> Discovered {
    Discovered {
        uid: Uid(uid),
        ..m.clone()
    }
}

fn delivered() -> Change {
    Change::Delivered {
        proof: Proof::Appended,
        place: None,
        altered: false,
    }
}

fn failed() -> Change {
    Change::Failed {
        error: Error::new(Fault::Permanent, "too big"),
        sender: None,
        subject: None,
    }
}

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
    assert_eq!(desk.claim(), [1]);
    let open = desk.id(1, 4);
    desk.settle(open, &Change::Gone).unwrap();
    assert_eq!(desk.claim(), [3]);
    assert!(!desk.ledger.untried().unwrap());
}

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
fn what_was_sent_by_a_clock_that_was_set_back_uses_up_no_limit_for_good() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>")]);
    desk.claim();
    desk.mark(desk.id(1, 1), 1).unwrap();
    assert_eq!(desk.ledger.uploaded(desk.now).unwrap(), 100);
    desk.now -= TimeDelta::days(365);
    assert_eq!(desk.ledger.uploaded(desk.now).unwrap(), 0);
}

#[test]
fn a_name_that_is_known_is_not_forgotten_when_it_cannot_be_read() {
    let mut desk = Desk::new();
    let index = desk.ledger.index_mailbox("All", UidValidity(1), 1).unwrap();
    let known = mail(7, "<7@x>");
    desk.ledger
        .index_record(&index, std::slice::from_ref(&known))
        .unwrap();
    let unreadable = Discovered {
        message_id: None,
        date: None,
        size: None,
        ..known.clone()
    };
    desk.ledger.index_record(&index, &[unreadable]).unwrap();
    let hits = desk
        .ledger
        .index_hits(&id("<7@x>"), known.date.as_deref())
        .unwrap();
    assert_eq!(hits.len(), 1);
    assert!(!desk.ledger.index_ends_nameless(index.id).unwrap());
}

#[test]
fn the_ledger_itself_refuses_what_can_never_be() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>")]);
    for (change, constraint) in [
        ("status = 'delivered'", "delivered_has_proof"),
        ("proof = 'found', delivered_at = 'x'", "delivered_has_proof"),
        ("status = 'failed'", "failed_has_reason"),
        ("status = 'in_flight'", "in_flight_since_when"),
        ("mark_id = 1", "mark_until_seen"),
        (
            "mark_id = 1, status = 'in_flight', in_flight_since = 'x'",
            "mark_until_seen",
        ),
        ("message_id = NULL", "hash_with_message_id"),
        ("message_id_hash = NULL", "hash_with_message_id"),
        ("status = 'lost'", "FOREIGN KEY"),
        ("fault = 'bad luck'", "FOREIGN KEY"),
        ("mailbox_id = 77", "FOREIGN KEY"),
        ("size = 'big'", "cannot store TEXT value in INTEGER column"),
    ] {
        let refused = desk
            .ledger
            .db
            .execute(&format!("UPDATE message SET {change}"), [])
            .unwrap_err();
        assert!(
            refused.to_string().contains(constraint),
            "{change}: {refused}"
        );
    }
    let twice = "INSERT INTO message (mailbox_id, source_uid, internal_date, flags, next_attempt_at, discovered_at)
                 SELECT mailbox_id, source_uid, '', '', '', '' FROM message";
    assert!(desk.ledger.db.execute(twice, []).is_err());
    let route = "INSERT INTO route VALUES (2, 'a', 'b', 'c', 'd', 'e')";
    assert!(desk.ledger.db.execute(route, []).is_err());
}

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
    assert_eq!(twin, Some(Twin::Unverified));
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

#[test]
fn a_ledger_with_two_names_is_one_ledger() {
    let desk = Desk::new();
    let (real, link) = (
        desk.dir.path().join("l.db"),
        desk.dir.path().join("link.db"),
    );
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let held = lock(&real).unwrap();
    assert!(lock(&link).is_err());
    drop(held);
    let _held = lock(&link).unwrap();
    assert!(lock(&real).is_err());
    // What is not yet in the file itself is in the log beside it.
    let scratch = tempfile::tempdir().unwrap();
    let copy = Ledger::open_scratch(&link, scratch.path()).unwrap();
    assert!(copy.mailbox(INBOX).unwrap().is_some());
}

#[test]
fn a_claim_neither_sorts_nor_reads_all_that_waits() {
    let mut desk = Desk::new();
    let found: Vec<Discovered> = (1..=100_000)
        .map(|n| mail(n, &format!("<{n}@x>")))
        .collect();
    desk.record(&found);
    for once in [true, false] {
        let plan = desk.plan(&claim::claim_query(once));
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

fn id(text: &str) -> MessageId {
    MessageId::parse(text.as_bytes()).unwrap()
}

fn imported() -> Change {
    Change::Delivered {
        proof: Proof::Imported,
        place: None,
        altered: false,
    }
}

#[test]
fn ids_are_imported_all_or_none_and_once() {
    let mut desk = Desk::new();
    let now = desk.now;
    desk.ledger
        .db
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON imported WHEN NEW.message_id = '<3@x>'
             BEGIN SELECT raise(ABORT, 'disk full'); END",
        )
        .unwrap();
    let ids: Vec<MessageId> = (1..=5).map(|n| id(&format!("<{n}@x>"))).collect();
    assert!(desk.ledger.import(&ids, now).is_err());
    assert_eq!(desk.one::<i64>("SELECT count(*) FROM imported"), 0);
    desk.ledger.db.execute_batch("DROP TRIGGER no").unwrap();
    let done = |new, known| Imported { new, known };
    assert_eq!(desk.ledger.import(&ids[..3], now).unwrap(), done(3, 0));
    assert_eq!(desk.ledger.import(&ids, now).unwrap(), done(2, 3));
    assert_eq!(
        desk.ledger
            .import(&[id("5@x"), id("6@x"), id("<6@x>")], now)
            .unwrap(),
        done(1, 2)
    );
}

#[test]
fn an_imported_id_is_used_up_with_the_row_that_it_vouches_for() {
    let mut desk = Desk::new();
    let now = desk.now;
    desk.record(&[mail(1, "<a@x>"), mail(2, "<b@x>"), mail(3, "")]);
    assert!(desk.inherit());
    desk.ledger.import(&[id("a@x")], now).unwrap();
    // Not in flight: neither is changed.
    assert!(desk.settle(RowId(1), &imported()).is_err());
    let used = "SELECT vouched_for FROM imported";
    assert_eq!(desk.one::<Option<i64>>(used), None);
    assert_eq!(desk.claim().len(), 3);
    assert!(desk.ledger.imported_vouches(RowId(1)).unwrap());
    for (row, why) in [(2, "another id"), (3, "no id"), (9, "no row")] {
        let row = RowId(row);
        assert!(!desk.ledger.imported_vouches(row).unwrap(), "{why}");
        assert!(desk.settle(row, &imported()).is_err(), "{why}");
    }
    desk.settle(RowId(1), &imported()).unwrap();
    assert_eq!(desk.one::<Option<i64>>(used), Some(1));
    desk.settle(RowId(2), &delivered()).unwrap();
    desk.settle(RowId(3), &failed()).unwrap();
    // It is not there for a message of the next incarnation either: that one inherits, or is sent.
    desk.renumber(&[mail(8, "<a@x>")]);
    assert!(!desk.ledger.imported_vouches(RowId(4)).unwrap());
    assert!(desk.inherit());
    assert_eq!(desk.status(2, 8), "delivered");
    let proof: String = desk.one("SELECT proof FROM message WHERE source_uid = 8");
    assert_eq!(proof, "imported");
}

#[test]
fn whom_an_imported_id_may_vouch_for_goes_first() {
    let mut desk = Desk::new();
    let now = desk.now;
    let later = parse_time("2024-05-01T13:00:00Z");
    let newer = |m: Discovered| Discovered {
        internal_date: later,
        ..m
    };
    desk.record(&[
        mail(1, "<a@x>"),
        newer(mail(2, "<a@x>")),
        newer(mail(3, "<b@x>")),
        mail(4, "<b@x>"),
        newer(mail(5, "<c@x>")),
        mail(6, "<c@x>"),
    ]);
    assert!(desk.inherit());
    desk.ledger
        .import(&[id("<a@x>"), id("<c@x>")], now)
        .unwrap();
    // Of a: the older one. Of b no id knows; of c the newer has the lowest UID.
    assert_eq!(desk.claim(), [5, 3, 1]);
    for row in [1, 5].map(RowId) {
        assert!(desk.ledger.imported_vouches(row).unwrap());
        desk.settle(row, &imported()).unwrap();
    }
    desk.settle(RowId(3), &delivered()).unwrap();
    assert_eq!(desk.claim(), [2, 6, 4]);
    for row in [2, 6, 4].map(RowId) {
        assert!(!desk.ledger.imported_vouches(row).unwrap());
        let at = now + TimeDelta::hours(1);
        desk.settle(row, &Change::Later { at }).unwrap();
    }
    // Nobody waits for a row that cannot be claimed now.
    desk.record(&[mail(7, "<d@x>"), mail(8, "<d@x>")]);
    desk.ledger.import(&[id("<d@x>")], now).unwrap();
    assert_eq!(desk.claim(), [7]);
    let at = now + TimeDelta::hours(1);
    desk.settle(RowId(7), &Change::Later { at }).unwrap();
    assert_eq!(desk.claim(), [8]);
}

#[test]
fn a_ledger_is_untouched_until_a_look_or_an_import() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_or_create(&dir.path().join("l.db"), false).unwrap();
    let now = parse_time("2024-05-01T12:00:00Z").unwrap();
    assert!(ledger.is_untouched().unwrap());
    ledger
        .belong_to(&Route::new("a", "b", "c", "d"), now)
        .unwrap();
    ledger.import(&[], now).unwrap();
    assert!(ledger.is_untouched().unwrap());
    // A name that was mistyped is mended.
    let mended = Route::new("a", "b", "c", "e");
    ledger.belong_to(&mended, now).unwrap();
    assert_eq!(ledger.route().unwrap(), Some(mended));
    ledger.import(&[id("<a@x>")], now).unwrap();
    assert!(!ledger.is_untouched().unwrap());
    // The ids are those of these accounts: for others they would vouch for mail that nobody copied.
    let others = Route::new("z", "b", "c", "e");
    assert!(ledger.belong_to(&others, now).is_err());
    assert!(!Desk::new().ledger.is_untouched().unwrap());
}
