//! A first run, in which everything waits, and `import-state`.

use std::path::Path;

use chrono::TimeDelta;
use imap_to_gmail::ledger::{Claim, Progress};
use imap_to_gmail::message::{Discovered, MessageId, UidValidity, time_text};
use rusqlite::Connection;

use super::generated::{came, mail, name_of};
use super::{BATCH, Bench, INBOX, reopened};

impl Bench {
    /// Everything waits.
    pub(super) fn of_a_first_run(&mut self, path: &Path) {
        let (now, rows) = (self.now, self.rows);
        let mut ledger = reopened(path);
        ledger
            .first_look(INBOX, UidValidity(1), rows + 1, "all", now)
            .unwrap();
        let mailbox = ledger.present_mailbox(INBOX).unwrap();
        self.measure("first run: record every message", "linear", 1, |_| {
            for from in (0..rows).step_by(1000) {
                let found: Vec<Discovered> = (from..from + 1000)
                    .map(|n| mail(n + 1, &name_of(n), came(n, rows, now)))
                    .collect();
                ledger
                    .record(mailbox.id, &found, Progress::History, now)
                    .unwrap();
            }
        });
        ledger
            .record(mailbox.id, &[], Progress::HistoryDone, now)
            .unwrap();
        self.measure("first run: when is the next row due", "flat", 5, |_| {
            ledger.next_due(now).unwrap()
        });
        self.measure("first run: what is left", "linear", 5, |_| {
            ledger.left().unwrap()
        });
        self.measure("first run: status", "linear", 3, |_| {
            ledger.summary(now, now).unwrap()
        });
        self.measure(
            "first run: a look that shows nothing new",
            "flat",
            3,
            |_| ledger.inherit(INBOX).unwrap(),
        );
        for once in [false, true] {
            let what = ["first run: claim 50", "first run: claim 50 (--once)"];
            self.measure(what[usize::from(once)], "flat", 10, |_| {
                ledger.claim(Claim { once, ..BATCH }, now).unwrap().len()
            });
        }
        let db = Connection::open(path).unwrap();
        db.execute(
            "UPDATE message SET next_attempt_at = ?1 WHERE status = 'pending' AND source_uid > 1000",
            [time_text(now + TimeDelta::hours(1))],
        )
        .unwrap();
        drop(db);
        self.measure(
            "first run: claim past all that is in backoff",
            "linear",
            3,
            |_| ledger.claim(BATCH, now).unwrap().len(),
        );
    }

    pub(super) fn of_an_import(&mut self, path: &Path) {
        let now = self.now;
        let ids: Vec<MessageId> = (0..self.rows)
            .filter_map(|n| MessageId::parse(name_of(n).as_bytes()))
            .collect();
        let mut ledger = reopened(path);
        self.measure("import as many ids", "linear", 1, |_| {
            ledger.import(&ids, now).unwrap()
        });
        self.measure("import them again", "linear", 1, |_| {
            ledger.import(&ids, now).unwrap()
        });
    }
}
