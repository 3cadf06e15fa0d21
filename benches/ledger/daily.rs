//! What a run asks at its start and while it watches, what people ask, and what the index is asked.

use std::path::Path;

use imap_to_gmail::ledger::{Ledger, MailboxRow, Place, Progress, RowId};
use imap_to_gmail::message::{Discovered, MessageId, Uid, UidValidity};

use super::generated::{DATE, fail_a_tenth, mail, name_of};
use super::{ALL_MAIL, Bench, INBOX, reopened, route};

impl Bench {
    /// What a run asks at its start, and between two batches.
    pub(super) fn of_a_run(&mut self, path: &Path) {
        let now = self.now;
        self.measure("open, as `run` does", "flat", 20, |_| reopened(path));
        let mut ledger = reopened(path);
        self.measure("whose it is, signs of life", "flat", 20, |_| {
            ledger.belong_to(&route(), now).unwrap();
            ledger.run_begins(&["watch", "deliver"], now).unwrap();
            ledger.beat(&["watch", "deliver"], now).unwrap();
        });
        self.measure("rows in flight", "flat", 20, |_| {
            ledger.in_flight().unwrap().len()
        });
        self.measure("rows to be verified", "flat", 20, |_| {
            ledger.unverified().unwrap().len()
        });
        self.measure("when is the next row due", "flat", 20, |_| {
            ledger.next_due(now).unwrap()
        });
        self.measure("is a row left untried", "flat", 20, |_| {
            ledger.untried().unwrap()
        });
        self.measure("what is left", "linear", 20, |_| ledger.left().unwrap());
    }

    pub(super) fn of_people(&mut self, path: &Path) {
        let now = self.now;
        self.measure("open, as `status` does", "flat", 20, |_| {
            Ledger::open_existing(path).unwrap()
        });
        let mut ledger = Ledger::open_existing(path).unwrap();
        self.measure("status", "linear", 5, |_| ledger.summary(now, now).unwrap());
        self.measure("status --failed (1 of 2,000 failed)", "linear", 5, |_| {
            ledger.failed().unwrap().len()
        });
        self.measure("retry-failed, one", "flat", 1, |_| {
            let one = ledger.failed().unwrap()[0].id;
            ledger.retry_failed(&[one], false, now).unwrap()
        });
        self.measure("retry-failed --skip, all (1 of 2,000)", "linear", 1, |_| {
            ledger.retry_failed(&[], true, now).unwrap()
        });
        fail_a_tenth(path);
        self.measure("status (1 of 10 failed)", "linear", 5, |_| {
            ledger.summary(now, now).unwrap()
        });
        self.measure("status --failed (1 of 10 failed)", "linear", 1, |_| {
            ledger.failed().unwrap().len()
        });
        self.measure("retry-failed, all (1 of 10)", "linear", 1, |_| {
            ledger.retry_failed(&[], false, now).unwrap()
        });
        let scratch = tempfile::tempdir().unwrap();
        self.measure("a dry run's copy", "linear", 1, |_| {
            Ledger::open_scratch(path, scratch.path()).unwrap()
        });
    }

    pub(super) fn of_the_watcher(&mut self, path: &Path) {
        let (now, rows) = (self.now, self.rows);
        let mut ledger = reopened(path);
        let mailbox = ledger.present_mailbox(INBOX).unwrap();
        self.measure("a look that shows nothing new", "flat", 20, |_| {
            ledger.inherit(INBOX).unwrap()
        });
        let mut next = mailbox.next_uid;
        let mut arrive = |ledger: &mut Ledger, count: u32| {
            let found: Vec<Discovered> = (next..next + count)
                .map(|n| mail(n, &format!("<new.{n}@example.org>"), now))
                .collect();
            next += count;
            ledger
                .record(mailbox.id, &found, Progress::NextUid(next), now)
                .unwrap()
        };
        self.measure("record 1 message", "flat", 20, |_| arrive(&mut ledger, 1));
        self.measure("record 1,000 messages", "flat", 5, |_| {
            arrive(&mut ledger, 1000)
        });
        let mut all: Vec<Uid> = (1..mailbox.next_uid).map(Uid).collect();
        self.measure("which of all UIDs have no row", "linear", 1, |_| {
            let uids = std::mem::take(&mut all);
            ledger.without_row(mailbox.id, uids).unwrap().len()
        });
        let new_one = MailboxRow {
            inherited: false,
            ..mailbox.clone()
        };
        self.measure("how far back, after new UIDs (once)", "linear", 1, |_| {
            ledger.history_from(&new_one).unwrap()
        });
        self.measure("was it known before its new UIDs", "flat", 20, |n| {
            let name = Some(rows / 30 + n).filter(|n| n % 3 != 0).map(name_of);
            let one = mail(n, &name.unwrap_or_default(), now);
            ledger.known_before(&mailbox, &one).unwrap()
        });
    }

    pub(super) fn of_the_index(&mut self, path: &Path) {
        let (now, rows) = (self.now, self.rows);
        let mut ledger = reopened(path);
        let mut index = ledger.index_known(ALL_MAIL).unwrap().unwrap();
        self.measure("index: add 1,000 entries", "flat", 5, |_| {
            let from = index.next_uid;
            let seen: Vec<Discovered> = (from..from + 1000)
                .map(|n| Discovered {
                    gm_msgid: Some(u64::from(n) << 20 | 1),
                    ..mail(n, &format!("<seen.{n}@example.org>"), now)
                })
                .collect();
            index.next_uid += 1000;
            ledger.index_record(&index, &seen).unwrap();
        });
        self.measure("index: 50 ids that it has", "flat", 20, |n| {
            hits(&ledger, (0..50).map(|i| rows / 3 + 50 * n + i).map(name_of))
        });
        self.measure("index: 50 ids that it has not", "flat", 20, |n| {
            hits(&ledger, (0..50).map(|i| format!("<none.{n}.{i}@x>")))
        });
        let place = |uid| Place {
            mailbox: index.id,
            uid_validity: UidValidity(1),
            uid: Uid(uid),
            gm_msgid: Some(u64::from(uid) << 20),
        };
        self.measure("index: does a copy vouch already", "flat", 50, |n| {
            ledger
                .vouches_for_another(RowId(0), place(rows / 4 + n))
                .unwrap()
        });
        self.measure("index: was a copy there before", "flat", 50, |n| {
            let marked = RowId(i64::from(rows / 2));
            ledger
                .known_before_mark(marked, u64::from(rows / 4 + n) << 20)
                .unwrap()
        });
        self.measure("index: forget an entry", "flat", 20, |n| {
            ledger.index_forget(&[place(rows / 5 + n)]).unwrap();
        });
        self.measure("an imported id vouches", "flat", 50, |n| {
            ledger
                .imported_vouches(RowId(i64::from(rows / 3 + n)))
                .unwrap()
        });
    }
}

fn hits(ledger: &Ledger, names: impl Iterator<Item = String>) -> usize {
    names
        .filter_map(|name| MessageId::parse(name.as_bytes()))
        .map(|id| ledger.index_hits(&id, Some(DATE)).unwrap().len())
        .sum()
}
