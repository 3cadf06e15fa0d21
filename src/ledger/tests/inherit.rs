//! What older incarnations know is taken over in steps: as in one go, however large each is and
//! wherever a process ends between two of them.

use rusqlite::types::Value;

use super::*;

/// The rules as one transaction that looks at everything at once.
fn in_one_go(db: &Connection) {
    db.execute_batch(
        "DELETE FROM message WHERE status = 'pending' AND attempt = 0 AND mailbox_id IN
            (SELECT id FROM mailbox WHERE retired_at IS NOT NULL AND inherited = 0);
         CREATE TEMP TABLE pair AS
         WITH present AS (SELECT id FROM mailbox WHERE retired_at IS NULL),
         old AS (
             SELECT max(m.id) AS id, count(*) AS n, message_id_hash AS h, date_header AS d
               FROM message m JOIN mailbox b ON b.id = m.mailbox_id
              WHERE b.retired_at IS NOT NULL AND message_id_hash IS NOT NULL
              GROUP BY 3, 4),
         new AS (
             SELECT max(id) AS id, count(*) AS n, message_id_hash AS h, date_header AS d
               FROM message WHERE mailbox_id IN present AND message_id_hash IS NOT NULL
              GROUP BY 3, 4)
         SELECT old.id AS old, m.* FROM old JOIN new ON new.h = old.h AND new.d IS old.d JOIN message m ON m.id = new.id
          WHERE old.n = 1 AND new.n = 1;
         WITH waits AS (
             SELECT m.id, b.retired_at IS NULL AS new, date_header AS d, internal_date AS i, size AS s,
                    row_number() OVER (PARTITION BY b.retired_at IS NULL, date_header, internal_date, size
                                           ORDER BY b.incarnation DESC, m.source_uid) AS k
               FROM message m JOIN mailbox b ON b.id = m.mailbox_id
              WHERE message_id_hash IS NULL AND status IN ('pending', 'gone') AND size IS NOT NULL)
         INSERT INTO temp.pair
         SELECT old.id, m.* FROM waits old
           JOIN waits new ON new.new AND NOT old.new AND new.d IS old.d AND new.i = old.i AND new.s = old.s AND new.k = old.k
           JOIN message m ON m.id = new.id;
         DELETE FROM message WHERE id IN (SELECT id FROM temp.pair);
         UPDATE message SET (internal_date, size, flags) =
                (SELECT internal_date, coalesce(p.size, message.size), flags FROM temp.pair p WHERE old = message.id)
          WHERE id IN (SELECT old FROM temp.pair) AND status IN ('pending', 'failed', 'gone');
         UPDATE message SET status = 'pending' WHERE id IN (SELECT old FROM temp.pair) AND status = 'gone';
         UPDATE message SET (mailbox_id, source_uid) =
                (SELECT mailbox_id, source_uid FROM temp.pair WHERE old = message.id)
          WHERE id IN (SELECT old FROM temp.pair);
         UPDATE message SET status = 'gone'
          WHERE status = 'pending' AND mailbox_id IN (SELECT id FROM mailbox WHERE retired_at IS NOT NULL);
         UPDATE mailbox SET inherited = 1 WHERE retired_at IS NULL",
    )
    .unwrap();
}

/// Mailboxes and messages, every column.
fn tables(desk: &Desk) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for table in ["mailbox", "message"] {
        let mut rows = desk
            .ledger
            .db
            .prepare(&format!("SELECT * FROM {table} ORDER BY id"))
            .unwrap();
        let columns = rows.column_count();
        let rows = rows
            .query_map([], |r| (0..columns).map(|c| r.get(c)).collect())
            .unwrap();
        all.extend(rows.map(|row| row.unwrap()));
    }
    all
}

/// Groups of each kind, whose rows lie far apart: (old rows, new rows) of one Message-ID, Date,
/// INTERNALDATE and size; each old status; names that several groups share; and an incarnation that
/// ended before it took over anything.
fn renumbered() -> Desk {
    let mut desk = Desk::new();
    let group = |n: u32| {
        let name = match n % 7 {
            0 => String::new(),
            1 => "<shared@x>".into(),
            _ => format!("<{n}@x>"),
        };
        Discovered {
            internal_date: Some(desk.now + TimeDelta::seconds(n.into())),
            size: (n % 5 != 2).then_some(100),
            date: (n % 4 != 3).then(|| "Wed, 1 May 2024 12:00:00 +0000".into()),
            ..mail(1, &name)
        }
    };
    const GROUPS: u32 = 45;
    let stands = |most: &[u32], from: u32| -> Vec<Discovered> {
        let rounds = 0..*most.iter().max().unwrap();
        let uids = rounds
            .flat_map(|round| (0..GROUPS).filter(move |n| round < most[*n as usize % most.len()]));
        (from..)
            .zip(uids)
            .map(|(uid, n)| again(uid, &group(n)))
            .collect()
    };
    let (old, between, new) = (
        stands(&[1, 2, 1, 0, 1, 2, 1, 1, 1], 1),
        stands(&[1, 1, 0], 201),
        stands(&[1, 1, 2, 1, 0, 2, 1, 1], 401),
    );
    desk.record(&old);
    desk.renumber(&between);
    desk.renumber(&new);
    let id = desk.mailbox().id;
    let now = desk.now;
    desk.ledger
        .record(id, &[], Progress::HistoryDone, now)
        .unwrap();
    desk.ledger
        .db
        .execute_batch(
            "UPDATE message SET status = 'delivered', proof = 'appended', delivered_at = '2024-04-01T00:00:00Z', gm_msgid = id,
                    sha256 = CAST(printf('%032d', id) AS BLOB) WHERE mailbox_id = 1 AND source_uid % 3 = 0;
             UPDATE message SET status = 'failed', last_error = 'no', subject = id WHERE mailbox_id = 1 AND source_uid % 6 = 1;
             UPDATE message SET status = 'skipped', last_error = 'no' WHERE mailbox_id = 1 AND source_uid % 12 = 4;
             UPDATE message SET status = 'gone' WHERE mailbox_id = 1 AND source_uid % 12 = 10",
        )
        .unwrap();
    desk
}

/// As after a kill: the same file, and nothing that the process knew.
fn killed(desk: Desk) -> Desk {
    let Desk { ledger, now, dir } = desk;
    drop(ledger);
    let ledger = Ledger::open_or_create(&dir.path().join("l.db"), true).unwrap();
    Desk { ledger, now, dir }
}

#[test]
fn taken_over_in_steps_is_as_taken_over_in_one_go() {
    let whole = renumbered();
    in_one_go(&whole.ledger.db);
    let expected = tables(&whole);
    let moved: i64 = whole.one("SELECT count(*) FROM temp.pair");
    let left: i64 =
        whole.one("SELECT count(*) FROM message WHERE mailbox_id = 1 AND status <> 'gone'");
    assert!(moved > 10 && left > 5, "{moved}, {left}");
    for step in [4, 15, 1000] {
        let mut kills = 0;
        loop {
            let mut desk = renumbered();
            let mut done = Inherited::InPart;
            for _ in 0..kills {
                done = desk.ledger.inherit_by(INBOX, step).unwrap();
                let waits: i64 = desk.one(
                    "SELECT count(*) FROM message WHERE status = 'pending' AND mailbox_id < 3",
                );
                if waits > 0 {
                    assert!(desk.claim().is_empty(), "step {step}, after {kills}");
                }
            }
            if done == Inherited::Wholly {
                break;
            }
            let mut desk = killed(desk);
            assert!(desk.inherit_to_the_end(step));
            assert!(
                tables(&desk) == expected,
                "steps of {step}, killed after {kills}"
            );
            kills += 1;
        }
        assert!(kills > 3, "{kills} steps of {step}");
    }
}

#[test]
fn killed_after_each_step_it_still_comes_to_its_end() {
    let whole = renumbered();
    in_one_go(&whole.ledger.db);
    // All pairs of a name are found at once, so that a process that always lives as long as the
    // first of these would never come to the second.
    let mut desk = renumbered();
    let mut lives = 1;
    loop {
        let mut left = lives;
        let mut done = Inherited::InPart;
        while left > 0 && done == Inherited::InPart {
            done = desk.ledger.inherit_by(INBOX, 3).unwrap();
            left -= 1;
        }
        if done == Inherited::Wholly {
            break;
        }
        desk = killed(desk);
        lives += 1;
    }
    assert!(tables(&desk) == tables(&whole));
}

/// New UIDs once more, after so many steps of taking over what was known before the last ones.
#[test]
fn renumbered_between_two_steps() {
    let mut steps = 0;
    loop {
        let mut desk = Desk::new();
        let all: Vec<Discovered> = (1..=9).map(|n| mail(n, &format!("<{n}@x>"))).collect();
        // Of 4 there are two, the second of which waits; for a while the mailbox has neither.
        desk.record(&all);
        desk.record(&[again(14, &all[3])]);
        desk.ledger
            .db
            .execute_batch(
                "UPDATE message SET status = 'delivered', proof = 'appended', delivered_at = '2024-04-01T00:00:00Z' WHERE source_uid < 8",
            )
            .unwrap();
        let anew =
            |from| -> Vec<Discovered> { all.iter().map(|m| again(from + m.uid.0, m)).collect() };
        desk.renumber(&[&anew(100)[..3], &anew(100)[4..]].concat());
        let (id, now) = (desk.mailbox().id, desk.now);
        desk.ledger
            .record(id, &[], Progress::HistoryDone, now)
            .unwrap();
        let mut done = Inherited::InPart;
        for _ in 0..steps {
            done = desk.ledger.inherit_by(INBOX, 2).unwrap();
        }
        desk.renumber(&anew(200));
        assert!(desk.inherit());
        for n in 1..=9 {
            let status = match n {
                8 | 9 => "pending",
                // Of the two that there were only bytes can tell which one it is.
                4 => "pending",
                _ => "delivered",
            };
            assert_eq!(desk.status(3, 200 + n), status, "{n} after {steps} steps");
        }
        let open: i64 =
            desk.one("SELECT count(*) FROM message WHERE status = 'pending' AND mailbox_id < 3");
        assert_eq!(open, 0, "after {steps} steps");
        if done == Inherited::Wholly {
            break;
        }
        steps += 1;
    }
    assert!(steps > 6, "{steps}");
}

/// An earlier `since` brings rows where the taking over has been already.
#[test]
fn history_opened_again_between_two_steps() {
    let mut desk = Desk::new();
    let all: Vec<Discovered> = (1..=9).map(|n| mail(n, &format!("<{n}@x>"))).collect();
    desk.record(&all);
    desk.deliver_all();
    let anew: Vec<Discovered> = all.iter().map(|m| again(100 + m.uid.0, m)).collect();
    desk.renumber(&anew[1..]);
    let (id, now) = (desk.mailbox().id, desk.now);
    desk.ledger
        .record(id, &[], Progress::HistoryDone, now)
        .unwrap();
    for _ in 0..3 {
        let done = desk.ledger.inherit_by(INBOX, 2).unwrap();
        assert_eq!(done, Inherited::InPart);
    }
    let earlier = now - TimeDelta::days(4000);
    desk.ledger
        .reconsider_start(id, "earlier", earlier)
        .unwrap();
    desk.record(&anew[..1]);
    assert!(desk.inherit());
    assert_eq!(desk.status(2, 101), "delivered");
}

#[test]
fn ten_thousand_messages_are_taken_over_in_small_transactions() {
    let mut desk = Desk::new();
    const ROWS: u32 = 10_000;
    // One in three waits; of the first thousand all have one name, and only their bytes would tell.
    let all = |from: u32| -> Vec<Discovered> {
        (0..ROWS)
            .map(|n| Discovered {
                internal_date: Some(desk.now + TimeDelta::seconds(n.into())),
                ..mail(
                    from + n,
                    &match n {
                        0..1000 => "<shared@x>".into(),
                        _ => format!("<{n}@x>"),
                    },
                )
            })
            .collect()
    };
    let (old, new) = (all(1), all(20_001));
    desk.record(&old);
    desk.ledger
        .db
        .execute_batch(
            "UPDATE message SET status = 'delivered', proof = 'appended', delivered_at = '2024-04-01T00:00:00Z' WHERE source_uid % 3 > 0",
        )
        .unwrap();
    desk.renumber(&new);
    let (id, now) = (desk.mailbox().id, desk.now);
    desk.ledger
        .record(id, &[], Progress::HistoryDone, now)
        .unwrap();
    let mut steps = 0;
    loop {
        let before = desk.ledger.db.total_changes();
        let done = desk.ledger.inherit_by(INBOX, FEW).unwrap();
        let changed = desk.ledger.db.total_changes() - before;
        // An old row and a new one, twice.
        assert!(
            changed <= 4 * FEW as u64,
            "{changed} changes in step {steps}"
        );
        assert!(desk.ledger.db.is_autocommit(), "others may write now");
        steps += 1;
        if done == Inherited::Wholly {
            break;
        }
        assert_eq!(done, Inherited::InPart);
    }
    // The pairs, and what waited and was not one of them.
    let few = FEW as u32;
    assert!(steps <= 2 * ROWS / few + 20, "{steps} steps");
    let summary = desk.ledger.summary(now, now).unwrap();
    assert_eq!(summary.delivered, u64::from(ROWS - ROWS / 3));
    let undecided = 1000 - 1000 / 3;
    assert_eq!(summary.backlog.messages, u64::from(ROWS / 3 + undecided));
}
