//! Each verb of the ledger on a file of its own: what the tests have in common.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::Path;

use chrono::TimeDelta;
use rusqlite::Connection;
use rusqlite::types::FromSql;
use tempfile::TempDir;

use super::refusal::damaged;
use super::*;
use crate::error::{Error, Fault, Result};
use crate::folder::{Delivery, Destination, DestinationId, FolderId, SpecialUse, Spot};
use crate::message::{
    CanonicalHash, Discovered, Flags, MessageId, Sha256, Time, Uid, UidValidity, parse_time,
};

mod claim;
mod discover;
mod imported;
mod index;
mod inherit;
mod inspect;
mod intent;
mod notices;
mod open;
mod order;
mod pace;
mod plans;
mod removal;
mod renumbered;
mod settle;
mod turns;
mod views;
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
            by_import: false,
        };
        let now = self.now;
        self.ledger.mark(&[intent], &[], None, now).map(|_| ())
    }

    /// Claims what there is and delivers each row, with a hash of its own; and looks at its copy.
    fn deliver_all(&mut self) {
        self.claim();
        for row in self.ledger.in_flight().unwrap() {
            self.mark(row.id, row.id.0 as u8).unwrap();
            self.settle(row.id, &delivered()).unwrap();
            self.look_at(row.id);
        }
    }

    /// Its copy is what was sent.
    fn look_at(&mut self, id: RowId) {
        let ours = Verdict::Ours {
            altered: false,
            merged: false,
            gm_msgid: None,
        };
        let now = self.now;
        self.ledger.verified(&[(id, ours)], now).unwrap();
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
