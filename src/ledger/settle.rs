//! What delivery writes: what became of each message.
//!
//! Every verb that changes a row names the status that it leaves: a row that is not in it is a
//! fault of ours and stops the run before anything worse.

use rusqlite::{OptionalExtension, Params, Transaction, params};

use super::imported::use_up;
use super::inherit::become_one;
use super::labels::owe;
use super::open::{Ledger, Reach};
use super::row::{Place, Proof, Row, Status, not_in_flight, rows};
use super::value::{MailboxId, RowId};
use crate::error::{Error, Fault, Result};
use crate::message::{CanonicalHash, Discovered, Sha256, Time, Uid, time_text};
use crate::text::shell_word;

/// What becomes of a row that is in flight.
#[derive(Clone, Debug)]
pub enum Change {
    Delivered {
        proof: Proof,
        place: Option<Place>,
        altered: bool,
    },
    /// Gmail's API said yes to our import, and gave the message this number (X-GM-MSGID). It has its labels.
    Imported { gm_msgid: u64 },
    /// Charged: tried again at a time. `first`: from when on it counts as tried.
    Retry { error: Error, first: Time, at: Time },
    /// Charged for the last time. Who it was from and about what, so that a person recognises it.
    Failed {
        error: Error,
        sender: Option<String>,
        subject: Option<String>,
    },
    /// Not charged: pending again, as before. `unseen`: the attempt's end was not seen, and it was
    /// found since that the target does not have the message; it goes behind the others then.
    Released { unseen: bool },
    /// Not charged: pending again, but not before this time.
    Later { at: Time },
    /// The same, because its road rests: and why.
    Held { at: Time, why: String },
    /// Not charged, and behind the others: pending again at this time, or as soon as another message
    /// gets through. `unseen`: as above.
    /// `first`: the charges that stand count from here.
    PutOff {
        at: Time,
        first: Option<Time>,
        unseen: bool,
    },
    /// No longer in the source.
    Gone,
    /// It is the message of a row of an older incarnation, which has the same bytes: that row moves to
    /// this one's UID, and this one goes.
    AsBefore { row: RowId },
}

impl Ledger {
    /// All rows in flight.
    pub fn in_flight(&self) -> Result<Vec<Row>> {
        self.read(|db| rows(db, "m.status = 'in_flight'", params![]))
    }

    /// How many rows are in flight, and their bytes.
    pub fn under_way(&self) -> Result<(u64, u64)> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT count(*), coalesce(sum(size), 0) FROM message WHERE status = 'in_flight'",
            )?
            .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))
        })
    }

    /// Metadata that could not be fetched before and came with the body.
    pub fn learn(&mut self, id: RowId, about: &Discovered) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE message SET message_id = ?2, message_id_hash = ?3, date_header = ?4, size = ?5, flags = ?6,
                        internal_date = coalesce(?7, internal_date)
                  WHERE id = ?1 AND status = 'in_flight'",
                params![
                    id,
                    about.message_id.as_ref().map(|m| &m.text),
                    about.message_id.as_ref().map(|m| m.hash),
                    about.date,
                    about.size,
                    about.flags.to_string(),
                    about.internal_date.map(time_text)
                ],
            )?;
            Ok(())
        })
    }

    /// The hashes of a message whose body came to hand outside its own delivery.
    pub fn set_hashes(
        &mut self,
        id: RowId,
        sha256: &Sha256,
        canonical: &CanonicalHash,
    ) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE message SET sha256 = ?2, canonical = ?3 WHERE id = ?1",
                params![id, sha256, canonical],
            )?;
            Ok(())
        })
    }

    /// Ends a row's flight. An imported id that vouches for it is used up with that.
    pub fn settle(&mut self, id: RowId, change: &Change, now: Time) -> Result<()> {
        let (now, reach) = (time_text(now), self.reach);
        self.write(|t| end_flight(t, id, change, reach, &now))
    }

    /// The same for several rows, together.
    pub fn settle_all(&mut self, ended: &[(RowId, Change)], now: Time) -> Result<()> {
        let (now, reach) = (time_text(now), self.reach);
        self.write(|t| {
            ended
                .iter()
                .try_for_each(|(id, change)| end_flight(t, *id, change, reach, &now))
        })
    }

    /// UIDs of messages that this mailbox has handed over, of the latest ones the smallest; then of
    /// some that wait and were never charged.
    pub fn others_to_fetch(&self, mailbox: MailboxId) -> Result<Vec<Uid>> {
        self.read(|db| {
            let mut delivered = db.prepare_cached(
                "SELECT source_uid FROM (SELECT source_uid, size FROM message
                                          WHERE status = 'delivered' AND superseded_by IS NULL AND proof = ?2
                                            AND +mailbox_id = ?1 AND removed_at IS NULL
                                          ORDER BY delivered_at DESC LIMIT 20)
                  ORDER BY size LIMIT 3",
            )?;
            let mut waiting = db.prepare_cached(
                "SELECT source_uid FROM (SELECT source_uid, size, first_failed_at FROM message
                                          WHERE status = 'pending' AND +mailbox_id = ?1
                                          ORDER BY internal_date DESC, id DESC LIMIT 20)
                  WHERE first_failed_at IS NULL ORDER BY size LIMIT 2",
            )?;
            let uids = |r: &rusqlite::Row<'_>| r.get(0);
            let mut found: Vec<Uid> = Vec::new();
            for road in [Proof::Appended, Proof::ImportedByApi] {
                let some = delivered.query_map(params![mailbox, road], uids)?;
                found.extend(some.collect::<rusqlite::Result<Vec<Uid>>>()?);
            }
            let waiting = waiting.query_map([mailbox], uids)?;
            found.extend(waiting.collect::<rusqlite::Result<Vec<Uid>>>()?);
            Ok(found)
        })
    }

    /// What a run has left: (pending or in flight, failed).
    pub fn left(&self) -> Result<(u64, u64)> {
        self.read(|db| {
            db.query_row(
                "SELECT (SELECT count(*) FROM message WHERE status = 'pending' AND superseded_by IS NULL)
                      + (SELECT count(*) FROM message WHERE status = 'in_flight'),
                        (SELECT count(*) FROM message WHERE status = 'failed' AND superseded_by IS NULL)",
                [],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
        })
    }

    /// Messages at most that were there at a first look, and are to be copied, whatever their date: not all are recorded.
    pub fn history_ahead(&self) -> Result<u64> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT coalesce(sum(history_below - 1), 0) FROM mailbox WHERE history_done = 0 AND retired_at IS NULL AND since = 'all'",
            )?
            .query_row([], |r| r.get(0))
        })
    }

    /// The mean size of some of those that wait, in bytes.
    pub fn usual_size(&self) -> Result<u64> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT CAST(coalesce(avg(size), 0) AS INTEGER)
                   FROM (SELECT size FROM message WHERE status = 'pending' ORDER BY internal_date DESC LIMIT 50)",
            )?
            .query_row([], |r| r.get(0))
        })
    }

    /// Gives failed messages another try (`skip`: gives them up for good); all of them when `ids`
    /// is empty. Returns how many. Nothing changes when one of the ids is not a failed message.
    ///
    /// # Errors
    /// `Usage` for an id that is unknown or not failed.
    pub fn retry_failed(&mut self, ids: &[RowId], skip: bool, now: Time) -> Result<usize> {
        for id in ids {
            let status: Option<Status> = self.read(|db| {
                db.query_row(
                    "SELECT status FROM message WHERE id = ?1 AND superseded_by IS NULL",
                    [id],
                    |r| r.get(0),
                )
                .optional()
            })?;
            let found = match status {
                Some(Status::Failed) => continue,
                Some(other) => {
                    format!("message {id} is {}, expected a failed one", other.name())
                }
                None => format!("there is no message {id}"),
            };
            return Err(Error::usage(found).hint(format!(
                "`imap-to-gmail status --failed --state-file {}` lists the failed messages and their ids",
                shell_word(&self.path.display().to_string())
            )));
        }
        let change = if skip {
            "UPDATE message SET status = 'skipped' WHERE status = 'failed' AND superseded_by IS NULL AND ?1 = ?1"
        } else {
            "UPDATE message SET status = 'pending', next_attempt_at = ?1, first_failed_at = NULL, subject = NULL, sender = NULL,
                    refused_by = NULL, detour = NULL, import_refusals = 0
                  WHERE status = 'failed' AND superseded_by IS NULL"
        };
        self.write(|t| {
            if ids.is_empty() {
                return t.execute(change, [time_text(now)]);
            }
            let mut one = t.prepare(&format!("{change} AND id = ?2"))?;
            let mut changed = 0;
            for id in ids {
                changed += one.execute(params![time_text(now), id])?;
            }
            Ok(changed)
        })
    }
}

/// A row in flight is delivered. Returns how many were.
fn deliver(
    t: &Transaction<'_>,
    id: RowId,
    proof: Proof,
    place: Option<Place>,
    gm_msgid: Option<u64>,
    altered: bool,
    now: &str,
) -> rusqlite::Result<usize> {
    // What is still to be looked at keeps its mark.
    t.prepare_cached(
        "UPDATE message SET status = 'delivered', proof = ?2, delivered_at = ?3, altered = ?4, unseen = 0, there_before = ?2 = 'found' AND mark_id IS NULL AND unseen = 0,
                gmail_mailbox = ?5, gmail_uid_validity = ?6, gmail_uid = ?7, gm_msgid = ?8,
                mark_id = iif(?2 IN ('appended', 'imported_by_api'), mark_id, NULL), first_failed_at = NULL, fault = NULL, last_error = NULL,
                subject = NULL, sender = NULL
          WHERE id = ?1 AND status = 'in_flight'",
    )?
    .execute(params![
        id,
        proof,
        now,
        altered,
        place.map(|p| p.mailbox),
        place.map(|p| p.uid_validity),
        place.map(|p| p.uid),
        gm_msgid
    ])
}

/// Runs a statement that is run for one row after the other.
fn execute(t: &Transaction<'_>, sql: &str, args: impl Params) -> rusqlite::Result<usize> {
    t.prepare_cached(sql)?.execute(args)
}

/// Ends the flight of one row.
fn end_flight(
    t: &Transaction<'_>,
    id: RowId,
    change: &Change,
    reach: Reach,
    now: &str,
) -> rusqlite::Result<()> {
    execute(t, "DELETE FROM temp.put_behind WHERE id = ?1", [id])?;
    if let Change::Released { unseen: true } | Change::PutOff { .. } = change {
        execute(t, "INSERT INTO temp.put_behind (id) VALUES (?1)", [id])?;
    }
    let changed = match change {
        Change::Delivered { proof, place, altered } => {
            if *proof == Proof::Imported {
                use_up(t, id)?;
            }
            // Only now is it known whether it was sent: its mark goes. One whose end was not seen may have come when
            // nobody expected it any more.
            if reach == Reach::Account {
                owe(t, id, *proof)?;
            }
            deliver(t, id, *proof, *place, place.and_then(|p| p.gm_msgid), *altered, now)?
        }
        Change::Imported { gm_msgid } => {
            deliver(t, id, Proof::ImportedByApi, None, Some(*gm_msgid), false, now)?
        }
        Change::Retry { error, first, at } => execute(
            t,
            "UPDATE message SET status = 'pending', next_attempt_at = ?2, first_failed_at = ?3,
                    fault = ?4, last_error = ?5, unseen = 0, mark_id = NULL
              WHERE id = ?1 AND status = 'in_flight'",
            params![id, time_text(*at), time_text(*first), error.fault.name(), error.message],
        )?,
        Change::Failed { error, sender, subject } => execute(
            t,
            "UPDATE message SET status = 'failed', first_failed_at = coalesce(first_failed_at, ?2), fault = ?3,
                    last_error = ?4, sender = ?5, subject = ?6, unseen = 0, mark_id = NULL
              WHERE id = ?1 AND status = 'in_flight'",
            params![id, now, error.fault.name(), error.message, sender, subject],
        )?,
        Change::Released { unseen } => {
            execute(t, "DELETE FROM temp.tried WHERE id = ?1", [id])?;
            // The wait after a charge ended with this try, however early it came: what was left of it
            // never counts as time for which the message has been tried.
            execute(
                t,
                "UPDATE message SET status = 'pending', unseen = unseen + ?2, mark_id = NULL,
                        next_attempt_at = iif(?2 AND unseen = 0, min(next_attempt_at, ?3), next_attempt_at)
                  WHERE id = ?1 AND status = 'in_flight'",
                params![id, unseen, now],
            )?
        }
        Change::PutOff { at, first, unseen } => execute(
            t,
            "UPDATE message SET status = 'pending', next_attempt_at = ?2, unseen = unseen + ?3,
                    first_failed_at = coalesce(?4, first_failed_at), mark_id = NULL
              WHERE id = ?1 AND status = 'in_flight'",
            params![id, time_text(*at), unseen, first.map(time_text)],
        )?,
        Change::Later { at } => execute(
            t,
            "UPDATE message SET status = 'pending', next_attempt_at = ?2, mark_id = NULL WHERE id = ?1 AND status = 'in_flight'",
            params![id, time_text(*at)],
        )?,
        Change::Held { at, why } => execute(
            t,
            "UPDATE message SET status = 'pending', next_attempt_at = ?2, mark_id = NULL, fault = ?3, last_error = ?4
              WHERE id = ?1 AND status = 'in_flight'",
            params![id, time_text(*at), Fault::Throttled.name(), why],
        )?,
        Change::Gone => execute(
            t,
            "UPDATE message SET status = 'gone', mark_id = NULL WHERE id = ?1 AND status = 'in_flight'",
            [id],
        )?,
        Change::AsBefore { row } => become_one(t, *row, id, Status::InFlight)?,
    };
    if changed == 1 {
        Ok(())
    } else {
        Err(not_in_flight())
    }
}
