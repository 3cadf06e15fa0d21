//! What delivering costs: a batch, messages of one name, and a mailbox that has new UIDs.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::ledger::{
    Change, IndexMailbox, Inherited, Intent, Mark, Place, Progress, Proof, RowId, Verdict,
};
use imap_to_gmail::message::{
    CanonicalHash, Discovered, Flags, MessageId, Sha256, Uid, UidValidity, parse_time,
};
use rusqlite::Connection;

use super::generated::{hash_of, mail, sizes};
use super::{ALL_MAIL, BATCH, Bench, INBOX, failed, reopened, traffic};

impl Bench {
    /// Claim, tell apart, mark, settle, verify.
    pub(super) fn of_a_batch(&mut self, path: &Path) {
        let now = self.now;
        let mut ledger = reopened(path);
        let mut index = ledger.index_known(ALL_MAIL).unwrap().unwrap();
        let mut flight = Vec::new();
        self.measure("claim 50", "flat", 10, |_| {
            flight.extend(ledger.claim(BATCH, now).unwrap());
        });
        assert_eq!(flight.len(), 500);
        self.measure("a row's rivals", "flat", 500, |n| {
            let row = &flight[n as usize];
            (
                ledger.has_rivals(row).unwrap(),
                ledger.unhashed_rivals(row).unwrap().len(),
            )
        });
        self.measure("a row's twin", "flat", 500, |n| {
            let row = &flight[n as usize];
            ledger.twin(row.id, &Sha256(hash_of(row.id.0, 9))).unwrap()
        });
        self.measure("mark 50", "flat", 10, |n| {
            let intents: Vec<Intent> = flight[50 * n as usize..][..50]
                .iter()
                .map(|row| Intent {
                    row: row.id,
                    sha256: Sha256(hash_of(row.id.0, 9)),
                    canonical: CanonicalHash(hash_of(row.id.0, 8)),
                    size: 5000,
                    flags: Flags::default(),
                    by_import: false,
                })
                .collect();
            ledger
                .mark(&intents, &mark_at(&index), Some(u64::MAX), now)
                .unwrap()
        });
        self.measure("settle one: delivered", "flat", 400, |n| {
            index.next_uid += 1;
            let place = Place {
                mailbox: index.id,
                uid_validity: UidValidity(1),
                uid: Uid(index.next_uid),
                gm_msgid: Some(u64::from(index.next_uid) << 20 | 3),
            };
            let change = Change::Delivered {
                proof: Proof::Appended,
                place: Some(place),
                altered: false,
            };
            ledger.settle(flight[n as usize].id, &change, now).unwrap();
        });
        self.measure("settle one: tried again, failed", "flat", 100, |n| {
            let change = match n % 2 {
                0 => failed(),
                _ => Change::Retry {
                    error: Error::new(Fault::Transient, "not now"),
                    first: now,
                    at: now,
                },
            };
            ledger
                .settle(flight[400 + n as usize].id, &change, now)
                .unwrap();
        });
        self.measure("verify 50", "flat", 8, |n| {
            let looked: Vec<(RowId, Verdict)> = flight[50 * n as usize..][..50]
                .iter()
                .map(|row| {
                    let ours = Verdict::Ours {
                        altered: false,
                        merged: false,
                        gm_msgid: None,
                    };
                    (row.id, ours)
                })
                .collect();
            ledger.verified(&looked, now).unwrap();
        });
    }

    /// Messages of one Message-ID: 1 of 100 of all have it, the newest that wait.
    pub(super) fn of_one_name(&mut self, path: &Path) {
        let (now, count) = (self.now, self.rows / 100);
        let mut ledger = reopened(path);
        let mailbox = ledger.present_mailbox(INBOX).unwrap();
        let found: Vec<Discovered> = (0..count)
            .map(|n| {
                mail(
                    mailbox.next_uid + n,
                    "<always.the.same@example.org>",
                    now + TimeDelta::days(1),
                )
            })
            .collect();
        let next = Progress::NextUid(mailbox.next_uid + count);
        ledger.record(mailbox.id, &found, next, now).unwrap();
        let one = ledger.claim(BATCH, now).unwrap().remove(0);
        self.measure("one id (1 of 100): claim past those", "flat", 5, |_| {
            ledger.claim(BATCH, now).unwrap().len()
        });
        self.measure("one id (1 of 100): a row's rivals", "flat", 5, |_| {
            (
                ledger.has_rivals(&one).unwrap(),
                ledger.unhashed_rivals(&one).unwrap().len(),
            )
        });
        for row in ledger.in_flight().unwrap() {
            let change = Change::Released { unseen: false };
            ledger.settle(row.id, &change, now).unwrap();
        }
    }

    /// The whole mailbox has new UIDs.
    pub(super) fn of_a_new_incarnation(&mut self, path: &Path) {
        let (now, rows) = (self.now, self.rows);
        let db = Connection::open(path).unwrap();
        let again: Vec<Discovered> = db
            .prepare(
                "SELECT message_id, date_header, internal_date, size FROM message
                  WHERE mailbox_id = 3 AND source_uid < ?1",
            )
            .unwrap()
            .query_map([rows], |r| {
                let name: Option<String> = r.get(0)?;
                let came: String = r.get(2)?;
                Ok(Discovered {
                    uid: Uid(1),
                    message_id: name.and_then(|n| MessageId::parse(n.as_bytes())),
                    date: r.get(1)?,
                    internal_date: parse_time(&came),
                    size: r.get(3)?,
                    flags: Flags::default(),
                    gm_msgid: None,
                })
            })
            .unwrap()
            .map(|d| d.unwrap())
            .collect();
        drop(db);
        let mut ledger = reopened(path);
        let old = ledger.present_mailbox(INBOX).unwrap();
        for row in ledger.in_flight().unwrap() {
            let change = Change::Released { unseen: false };
            ledger.settle(row.id, &change, now).unwrap();
        }
        ledger
            .new_incarnation(&old, UidValidity(4), rows + 1, now)
            .unwrap();
        let mailbox = ledger.present_mailbox(INBOX).unwrap();
        self.measure("new UIDs: record every message again", "linear", 1, |_| {
            for (n, set) in again.chunks(1000).enumerate() {
                let set: Vec<Discovered> = set
                    .iter()
                    .zip(1000 * n as u32 + 1..)
                    .map(|(m, uid)| Discovered {
                        uid: Uid(uid),
                        ..m.clone()
                    })
                    .collect();
                ledger
                    .record(mailbox.id, &set, Progress::History, now)
                    .unwrap();
            }
        });
        drop(again);
        self.measure("new UIDs: is a row due meanwhile", "flat", 5, |_| {
            (ledger.next_due(now).unwrap(), ledger.untried().unwrap())
        });
        self.measure("new UIDs: claim nothing meanwhile", "flat", 1, |_| {
            ledger.claim(BATCH, now).unwrap().len()
        });
        ledger
            .record(mailbox.id, &[], Progress::HistoryDone, now)
            .unwrap();
        let mut longest = (Duration::ZERO, 0);
        let mut steps = 0;
        self.measure("new UIDs: inherit", "linear", 1, |_| {
            loop {
                let (begun, written) = (Instant::now(), traffic().1);
                let end = ledger.inherit(INBOX).unwrap();
                let most = (begun.elapsed(), traffic().1 - written);
                longest = (longest.0.max(most.0), longest.1.max(most.1));
                steps += 1;
                match end {
                    Inherited::InPart => {}
                    Inherited::Wholly => break,
                    Inherited::NotYet => panic!("everything is recorded"),
                }
            }
        });
        println!(
            "  taken over in {steps} steps, the longest of {:.0} ms, the largest of {} pages",
            longest.0.as_secs_f64() * 1000.0,
            longest.1 / 4096
        );
        self.measure("new UIDs: a look afterwards", "flat", 20, |_| {
            ledger.inherit(INBOX).unwrap()
        });
        drop(ledger);
        sizes(path);
    }
}

fn mark_at(index: &IndexMailbox) -> Vec<Mark> {
    vec![Mark {
        mailbox: index.id,
        uid_validity: index.uid_validity,
        uid_next: index.next_uid,
    }]
}
