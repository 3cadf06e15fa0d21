//! A script that uses each verb of the ledger, so that what its statements cost is seen.

use super::*;

fn claim_of(count: usize) -> Claim {
    Claim {
        count,
        bytes: u64::MAX,
        once: false,
    }
}

/// Uses every verb. What they answer is of no interest here. `older`: a row of the older incarnation.
pub(super) fn use_every_verb(desk: &mut Desk, rows: u32, older: RowId) {
    let now = desk.now;
    let l = &mut desk.ledger;
    let route = Route::new("a", "b", "c", "d");
    for _ in 0..2 {
        l.belong_to(&route, now).unwrap();
    }
    l.has_begun().unwrap();
    l.run_begins(&["watch"], now).unwrap();
    l.beat(&["watch"], now).unwrap();
    let look = Look {
        at: now,
        next_by: now,
    };
    l.note_look("watch", look).unwrap();
    let trouble = Error::new(Fault::NeedsUser, "x");
    l.trouble("watch", Some(&trouble), now).unwrap();
    l.trouble("watch", None, now).unwrap();
    let mut episode = Episode::new("watch", now);
    episode.told.push(Told {
        kind: TroubleKind::NeedsUser,
        message: "x".into(),
        hint: None,
        told_at: Some(now),
    });
    l.keep_episode(&episode).unwrap();
    assert_eq!(l.episodes().unwrap(), [episode]);
    l.forget_episode("watch").unwrap();
    l.is_untouched().unwrap();
    l.has_delivered_nothing().unwrap();
    l.delivered_nameless().unwrap();
    l.overlap(now - TimeDelta::days(10_000)).unwrap();

    // A look.
    let mailbox = l.mailbox(INBOX).unwrap().unwrap();
    l.reconsider_start(mailbox.id, "9d", now).unwrap();
    let asked = [rows + 1, 2 * rows, 2 * rows + 7].map(Uid);
    for around in [&asked[..1], &asked[1..]] {
        l.without_row(mailbox.id, around.to_vec()).unwrap();
    }
    for n in [1, 9, 10 * rows] {
        l.known_before(&mailbox, &message(1, n)).unwrap();
        l.newest(mailbox.id).unwrap();
    }
    l.history_from(&mailbox).unwrap();
    let new: Vec<Discovered> = (1..=20)
        .map(|n| message(2 * rows + n, 2 * rows + n))
        .collect();
    let next = Progress::NextUid(2 * rows + 21);
    l.record(mailbox.id, &new, next, now).unwrap();
    assert_eq!(l.inherit(INBOX).unwrap(), Inherited::Wholly);

    // A batch.
    l.import(
        &[MessageId::parse(format!("<{}@example.org>", 2 * rows + 20).as_bytes()).unwrap()],
        now,
    )
    .unwrap();
    l.next_due(now).unwrap();
    l.untried().unwrap();
    let mut flight = Vec::new();
    for once in [true, false] {
        let claim = Claim {
            count: 10,
            bytes: u64::MAX,
            once,
        };
        flight.extend(l.claim(claim, now).unwrap());
    }
    assert_eq!(flight.len(), 20);
    l.new_mail_fits(1 << 30, now).unwrap();
    for once in [true, false] {
        let claim = Claim {
            count: 1,
            bytes: u64::MAX,
            once,
        };
        // Put behind the others, one after the other.
        for _ in 0..2 {
            let one = l.claim_within(1 << 30, claim, now).unwrap().rows.remove(0);
            let behind = Change::PutOff {
                at: now,
                first: None,
                unseen: false,
            };
            l.settle(one.id, &behind, now).unwrap();
            l.claim(claim, now).unwrap().iter().for_each(|one| {
                l.settle(one.id, &Change::Released { unseen: false }, now)
                    .unwrap();
            });
            l.uncharge(&[one.id], now).unwrap();
        }
        l.call_back(now).unwrap();
    }
    l.wake(flight[0].id).unwrap();
    l.in_flight().unwrap();
    let mut index = l.index_known("All").unwrap().unwrap();
    l.index_id("All").unwrap();
    let arrived: Vec<Discovered> = new.iter().map(|m| seen(m, m.uid.0)).collect();
    l.index_record(&index, &arrived).unwrap();
    index.next_uid += 20;
    for row in &flight {
        if let Some(id) = &row.about.message_id {
            l.index_hits(id, row.about.date.as_deref()).unwrap();
        }
        l.has_rivals(row).unwrap();
        l.may_have_a_twin(row).unwrap();
        l.has_unknown_rivals(row).unwrap();
        l.unhashed_rivals(row).unwrap();
        l.imported_vouches(row.id).unwrap();
        l.twin(row.id, &Sha256([7; 32])).unwrap();
    }
    let place = |uid| Place {
        mailbox: index.id,
        uid_validity: UidValidity(1),
        uid: Uid(uid),
        gm_msgid: Some(uid.into()),
    };
    for uid in [1, rows, 3 * rows] {
        l.vouches_for_another(RowId(1), place(uid)).unwrap();
    }
    let vouched = flight
        .iter()
        .position(|r| l.imported_vouches(r.id).unwrap())
        .unwrap();
    let vouched = flight.remove(vouched);
    l.settle(vouched.id, &imported(), now).unwrap();
    l.learn(flight[1].id, &flight[1].about.clone()).unwrap();
    l.set_hashes(flight[1].id, &Sha256([3; 32]), &CanonicalHash([3; 32]))
        .unwrap();
    let intents: Vec<Intent> = (0..)
        .zip(&flight)
        .map(|(n, row)| Intent {
            row: row.id,
            sha256: Sha256([n; 32]),
            canonical: CanonicalHash([n; 32]),
            size: 100,
            flags: Flags::default(),
            by_import: false,
        })
        .collect();
    let mark = Mark {
        mailbox: index.id,
        uid_validity: UidValidity(1),
        uid_next: index.next_uid,
    };
    l.mark(&intents, &[mark], Some(u64::MAX), now).unwrap();
    assert_eq!(l.mark(&intents, &[mark], Some(1), now).unwrap(), 0);
    l.book(7, now).unwrap();
    l.give_back(7, now).unwrap();
    l.note_import_refusal(RowId(1)).unwrap();
    l.note_detour(RowId(1), Some(RefusedBy::Append), Some("x"))
        .unwrap();
    let mark = l.in_flight().unwrap()[0].mark.unwrap();
    l.marks(mark).unwrap();
    l.marked_at(mark).unwrap();
    l.in_flight_since(flight[0].id).unwrap();
    for uid in [1, rows, 3 * rows] {
        l.known_before_mark(flight[0].id, uid.into()).unwrap();
    }
    let error = || Error::new(Fault::Transient, "not now");
    let to = |uid| Change::Delivered {
        proof: Proof::Appended,
        place: Some(place(uid)),
        altered: false,
    };
    let changes = [
        to(9 * rows),
        to(9 * rows + 1),
        failed(),
        failed(),
        Change::Retry {
            error: error(),
            first: now,
            at: now,
        },
        Change::Released { unseen: true },
        Change::Later { at: now },
        Change::Held {
            at: now,
            why: "x".into(),
        },
        Change::Gone,
        Change::AsBefore { row: older },
    ];
    for (row, change) in flight.iter().zip(&changes) {
        l.settle(row.id, change, now).unwrap();
    }
    l.unverified().unwrap();
    l.unverified_among(&[older]).unwrap();
    let verdicts = [
        Verdict::Ours {
            altered: false,
            merged: false,
            gm_msgid: None,
        },
        Verdict::NotOurs {
            error: error(),
            sender: None,
            subject: None,
        },
        Verdict::Misplaced,
    ];
    let looked: Vec<(RowId, Verdict)> = flight.iter().map(|r| r.id).zip(verdicts).collect();
    l.verified(&looked, now).unwrap();
    let all = l.index_id("All").unwrap().unwrap();
    l.index_readable(all).unwrap();
    l.looked_at(all, UidValidity(1)).unwrap();
    l.index_nameless(all).unwrap();
    l.index_sizes_of_nameless(all).unwrap();
    l.index_ends_nameless(all).unwrap();
    l.index_forget(&[place(5)]).unwrap();
    l.index_given("All").unwrap();
    l.index_witnesses(&index, index.next_uid, 10).unwrap();
    l.index_went_back(&index, index.next_uid - 3).unwrap();
    l.left().unwrap();
    l.usual_size().unwrap();
    l.history_ahead().unwrap();

    // Afterwards, at the source.
    let (far, first) = (now + TimeDelta::days(2), now + TimeDelta::days(1));
    for wanted in [Some("delete"), None, Some("move")] {
        l.note_after_delivery(wanted, now, first).unwrap();
    }
    let (rows_there, _) = l
        .removable_from(mailbox.id, 2 * rows, far, now)
        .unwrap()
        .unwrap();
    let there = rows_there
        .into_iter()
        .map(|one| one.row)
        .find(|row| row.sha256.is_some())
        .unwrap();
    l.voucher(&there).unwrap();
    let to = MovedTo {
        mailbox: "Archive".into(),
        uid_validity: UidValidity(1),
        uid_next: 1,
    };
    let ends = [
        RemovalEnd::Copied,
        RemovalEnd::Kept {
            why: "x".into(),
            until: now,
        },
        RemovalEnd::Removed,
    ];
    for end in ends {
        let id = l
            .begin_removal(&[there.id], RemovalWay::Copy, Some(&to), now)
            .unwrap()
            .unwrap()
            .0;
        assert_eq!(l.open_removals().unwrap().len(), 1);
        l.end_removal(id, &[(there.id, end)], now).unwrap();
    }
    l.keep_at_source(&[(RowId(1), "x".into(), now)]).unwrap();
    l.removals().unwrap();
    let uids = [there.about.uid];
    let back = l.removed_among(mailbox.id, &uids, far).unwrap();
    assert_eq!(back.len(), 1);
    l.note_back(mailbox.id, &uids).unwrap();

    // People.
    l.summary(now, now).unwrap();
    l.sent_within(&[
        (now, now + TimeDelta::days(1)),
        (now - TimeDelta::days(1), now),
    ])
    .unwrap();
    l.reasons(5).unwrap();
    l.backlog(now).unwrap();
    l.first_folder().unwrap();
    l.is_left_out(INBOX).unwrap();
    l.folder_of(mailbox.id).unwrap();
    l.pause_import(now, "x").unwrap();
    l.import_pause(now).unwrap();
    l.place_of_number(7).unwrap();
    l.note_junk("x").unwrap();
    l.imported_in_spam().unwrap();
    l.is_new_mail(RowId(1)).unwrap();
    let one = Claim {
        count: 1,
        bytes: 1 << 20,
        once: false,
    };
    for row in l.claim_new(one, now).unwrap() {
        l.settle(row.id, &Change::Released { unseen: false }, now)
            .unwrap();
    }
    let mapped = |name: &str, spot: Spot| Mapped {
        wire: name.into(),
        name: name.into(),
        destination: Destination {
            spot,
            labels: vec!["old@example.org".into()],
            label_found: true,
        },
        delivery: Delivery::Append,
    };
    let inbox = mapped("INBOX", Spot::Inbox);
    let archive = mapped("Archive", Spot::Label("Archive".into()));
    l.take_listing(&[inbox.clone(), archive], &HashSet::new(), now)
        .unwrap();
    let old = l.folders().unwrap()[1].id;
    l.rename_folder(old, &mapped("Old", Spot::Use(SpecialUse::Trash)))
        .unwrap();
    l.take_listing(&[inbox], &HashSet::from(["Old".into()]), now)
        .unwrap();
    let imported = Mapped {
        delivery: Delivery::Import {
            never_mark_spam: false,
        },
        ..mapped("INBOX", Spot::Inbox)
    };
    l.take_listing(&[imported], &HashSet::new(), now).unwrap();
    l.absent_folders(now).unwrap();
    l.give_up_folder(old, 10).unwrap();
    assert!(l.folder_of(mailbox.id).unwrap().destination != DestinationId(1));
    l.owes_labels().unwrap();
    l.labels_owed(10, RowId(0)).unwrap();
    let debt = Debt {
        row: RowId(1),
        place: None,
        mailbox: None,
        gm_msgid: None,
        labels: vec![Spot::Inbox],
    };
    l.settle_labels(&[debt]).unwrap();
    for proof in [Proof::Found, Proof::Same] {
        let row = l.claim(one, now).unwrap().remove(0);
        l.db.execute(
            "UPDATE message SET destination_id = 2 WHERE id = ?1",
            [row.id],
        )
        .unwrap();
        let change = Change::Delivered {
            proof,
            place: None,
            altered: false,
        };
        l.settle(row.id, &change, now).unwrap();
    }
    l.index_name(all).unwrap();
    l.index_place("All", 5).unwrap();
    l.index_place_by_name("All", RowId(1)).unwrap();
    l.history(now, now).unwrap();
    // All of it is listed again.
    let long_ago = now - TimeDelta::days(9000);
    l.reconsider_start(mailbox.id, "all", long_ago).unwrap();
    assert!(l.history(now, now).unwrap().unwrap().listing);
    l.room(1 << 30, now).unwrap();
    l.parts().unwrap();
    l.under_way().unwrap();
    let present = l.present_mailbox(INBOX).unwrap();
    l.others_to_fetch(present.id).unwrap();
    l.has_bytes_of_another(RowId(1), &Sha256([0; 32])).unwrap();
    l.twins_beside(&flight[0], &Sha256([0; 32])).unwrap();
    l.put_off().unwrap();
    let name = |n: u32| MessageId::parse(format!("<{n}@notice>").as_bytes()).unwrap();
    for (n, digest) in [(1, false), (2, true)] {
        assert!(l.untold_since().unwrap().is_some());
        let write = |_: &[Failure], _: u64| vec![0; 10];
        l.make_notice(&name(n), digest, 2, now, write).unwrap();
        l.notices_made(digest, now - TimeDelta::days(1), now, 5)
            .unwrap();
    }
    let notices = l.open_notices().unwrap();
    for (notice, limit) in [
        (&notices[0], Some(1)),
        (&notices[0], None),
        (&notices[1], None),
    ] {
        l.begin_notice(notice, limit, now, now).unwrap();
        l.notice_is_there(notice.id).unwrap();
    }
    for end in [
        NoticeEnd::Later {
            at: now,
            first: None,
            error: None,
        },
        NoticeEnd::Told,
    ] {
        l.settle_notice(notices[0].id, &end, now).unwrap();
    }
    let end = NoticeEnd::GivenUp("x".into());
    l.settle_notice(notices[1].id, &end, now).unwrap();
    let given_up = l.failed().unwrap();
    let one = [given_up[0].id];
    l.retry_failed(&one, false, now).unwrap();
    l.retry_failed(&[given_up[1].id], true, now).unwrap();
    l.retry_failed(&[], false, now).unwrap();
    l.retry_failed(&[], true, now).unwrap();
    audit(l, now);
    // A mail of which nothing holds any more; and nobody wants any.
    let row = l.claim(claim_of(1), now).unwrap().remove(0);
    l.settle(row.id, &failed(), now).unwrap();
    let write = |_: &[Failure], _: u64| vec![0; 10];
    l.make_notice(&name(3), false, 1, now, write).unwrap();
    l.retry_failed(&[row.id], true, now).unwrap();
    let notices = l.open_notices().unwrap();
    let end = l.begin_notice(&notices[0], None, now, now).unwrap();
    assert_eq!(end, NoticeStep::Withdrawn);
    let row = l.claim(claim_of(1), now).unwrap().remove(0);
    l.settle(row.id, &failed(), now).unwrap();
    l.tell_nobody(now).unwrap();
    l.run_ends(now).unwrap();

    // What comes once in years. Nothing of the batch may be in flight then.
    for row in l.in_flight().unwrap() {
        l.settle(row.id, &Change::Released { unseen: false }, now)
            .unwrap();
    }
    // Its mark goes.
    l.run_begins(&["watch"], now).unwrap();
    assert!(l.marks(mark).unwrap().is_empty());
    for (name, validity) in [("All", 1), ("All", 2), ("Spam", 1)] {
        l.index_mailbox(name, UidValidity(validity), 1).unwrap();
    }
    let again: Vec<Discovered> = (1..=rows).map(|n| message(n, n)).collect();
    desk.renumber(&again);
    let mailbox = desk.mailbox();
    desk.ledger.history_from(&mailbox).unwrap();
    desk.ledger.seen_again(mailbox.id).unwrap();
    assert!(desk.inherit());
    // Back to the numbers before the last ones, and then to others each time.
    let (present, now) = (desk.mailbox(), desk.now);
    let validity = UidValidity(present.uid_validity.0 - 1);
    desk.ledger
        .reopen_incarnation(&present, validity, u32::MAX, now)
        .unwrap();
    for n in 0..4 {
        desk.renumber(&[message(n + 1, 3)]);
    }
    assert!(desk.inherit());
}

/// What an audit reads, and what it has queued again.
fn audit(l: &mut Ledger, now: Time) {
    let mut rows = Vec::new();
    l.each_row(&mut |row| rows.push(row)).unwrap();
    let is_delivered = |row: &&AuditedRow| row.status == Status::Delivered;
    let row = rows.iter().find(is_delivered).unwrap();
    l.each_index_name("All", UidValidity(1), &mut |_| {})
        .unwrap();
    l.row_words(row.id).unwrap();
    let sha256 = l.row(row.id).unwrap().unwrap().sha256;
    let sha256 = sha256.unwrap_or(Sha256([0; 32]));
    for reach in [Reach::Account, Reach::Mailbox] {
        l.vouchers(row.id, &sha256, reach).unwrap();
    }
    l.delivered_with(&sha256).unwrap();
    let again = Requeue {
        id: row.id,
        status: row.status,
        delivered_at: row.delivered_at,
    };
    assert_eq!(l.queue_again(&[again], now).unwrap(), [row.id]);
    // It is not what it was any more.
    assert!(l.queue_again(&[again], now).unwrap().is_empty());
}
