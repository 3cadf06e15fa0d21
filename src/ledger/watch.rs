//! What the watcher writes: mailboxes, their cursors, and a row for each message before anything
//! is done with it.

use rusqlite::{OptionalExtension, Row as SqlRow, Transaction, params};

use super::Ledger;
use crate::error::{Error, Result};
use crate::message::{Discovered, Time, Uid, UidValidity, parse_time, time_text};

/// A source mailbox in its present incarnation.
#[derive(Clone, Debug)]
pub struct MailboxRow {
    pub id: i64,
    pub name: String,
    pub uid_validity: UidValidity,
    pub incarnation: u32,
    /// Every UID from `history_below` up to here has a row.
    pub next_uid: u32,
    /// Where history ends and new mail begins.
    pub history_below: u32,
    pub since: String,
    pub start: Time,
    pub history_done: bool,
    /// False until what older incarnations know has been taken over.
    pub inherited: bool,
}

/// How far a set of recorded messages brings the watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// New mail up to, not including, this UID.
    NextUid(u32),
    /// Some of the history.
    History,
    /// The last of the history.
    HistoryDone,
}

impl Ledger {
    /// The mailbox of this name, if it has been looked at before.
    pub fn mailbox(&self, name: &str) -> Result<Option<MailboxRow>> {
        self.read(|db| {
            db.query_row(
                "SELECT id, name, uid_validity, incarnation, next_uid, history_below, since, start, history_done, inherited
                   FROM mailbox WHERE name = ?1 AND retired_at IS NULL",
                [name],
                mailbox_row,
            )
            .optional()
        })
    }

    /// The mailbox of this name, which has been looked at before.
    pub fn present_mailbox(&self, name: &str) -> Result<MailboxRow> {
        self.mailbox(name)?.ok_or_else(|| {
            Error::fatal(format!(
                "{}: there is no row for the mailbox {name}",
                self.path.display()
            ))
        })
    }

    /// Begins with a mailbox: what is there now below `uid_next` is history, wanted from `start` on.
    pub fn first_look(
        &mut self,
        name: &str,
        validity: UidValidity,
        uid_next: u32,
        since: &str,
        start: Time,
    ) -> Result<()> {
        self.write(|t| {
            t.execute(
                "INSERT INTO mailbox (name, uid_validity, incarnation, next_uid, history_below, since, start)
                 VALUES (?1, ?2, 1, ?3, ?3, ?4, ?5)",
                params![name, validity.0, uid_next, since, time_text(start)],
            )?;
            Ok(())
        })
    }

    /// `since` has been configured anew: an earlier start opens the history again, a later one
    /// changes nothing.
    pub fn reconsider_start(&mut self, mailbox: i64, since: &str, start: Time) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE mailbox SET start = ?2, history_done = 0 WHERE id = ?1 AND ?2 < start",
                params![mailbox, time_text(start)],
            )?;
            t.execute(
                "UPDATE mailbox SET since = ?2 WHERE id = ?1",
                params![mailbox, since],
            )?;
            Ok(())
        })
    }

    /// Those of these UIDs, which must ascend, that have no row.
    pub fn without_row(&self, mailbox: i64, mut uids: Vec<Uid>) -> Result<Vec<Uid>> {
        let (Some(&first), Some(&last)) = (uids.first(), uids.last()) else {
            return Ok(uids);
        };
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT source_uid FROM message WHERE mailbox_id = ?1 AND source_uid BETWEEN ?2 AND ?3 ORDER BY source_uid",
            )?;
            let mut known = query
                .query_map(params![mailbox, first.0, last.0], |r| r.get(0).map(Uid))?
                .peekable();
            let mut missing = Vec::new();
            for uid in uids.drain(..) {
                while known.next_if(|k| matches!(k, Ok(k) if *k < uid)).is_some() {}
                match known.peek() {
                    Some(Ok(k)) if *k == uid => {}
                    None | Some(Ok(_)) => missing.push(uid),
                    Some(Err(_)) => break,
                }
            }
            match known.next() {
                Some(Err(e)) => Err(e),
                _ => Ok(missing),
            }
        })
    }

    /// Writes a row for each message and moves the cursor, together. Messages that have a row keep
    /// it. Returns how many are new.
    pub fn record(
        &mut self,
        mailbox: i64,
        found: &[Discovered],
        progress: Progress,
        now: Time,
    ) -> Result<usize> {
        self.write(|t| {
            let mut new = 0;
            let mut insert = t.prepare_cached(
                "INSERT INTO message (mailbox_id, source_uid, message_id, message_id_hash, date_header,
                                      internal_date, size, flags, next_attempt_at, discovered_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
                 ON CONFLICT (mailbox_id, source_uid) DO NOTHING",
            )?;
            for m in found {
                new += insert.execute(params![
                    mailbox,
                    m.uid.0,
                    m.message_id.as_ref().map(|id| &id.text),
                    m.message_id.as_ref().map(|id| id.hash),
                    m.date,
                    time_text(m.internal_date.unwrap_or(now)),
                    m.size,
                    m.flags.to_string(),
                    time_text(now),
                ])?;
            }
            match progress {
                Progress::NextUid(uid) => t.execute(
                    "UPDATE mailbox SET next_uid = max(next_uid, ?2) WHERE id = ?1",
                    params![mailbox, uid],
                )?,
                Progress::HistoryDone => t.execute("UPDATE mailbox SET history_done = 1 WHERE id = ?1", [mailbox])?,
                Progress::History => 0,
            };
            Ok(new)
        })
    }

    /// The UIDs of a mailbox have changed their meaning: a new incarnation takes over its start,
    /// and everything in it is history until its rows are matched with the old ones.
    pub fn new_incarnation(
        &mut self,
        old: &MailboxRow,
        validity: UidValidity,
        uid_next: u32,
        now: Time,
    ) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE mailbox SET retired_at = ?2 WHERE id = ?1",
                params![old.id, time_text(now)],
            )?;
            t.execute(
                "INSERT INTO mailbox (name, uid_validity, incarnation, next_uid, history_below, since, start, inherited)
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, 0)",
                params![
                    old.name,
                    validity.0,
                    old.incarnation + 1,
                    uid_next,
                    old.since,
                    time_text(old.start)
                ],
            )?;
            Ok(())
        })
    }

    /// How far back the history of this mailbox must be looked through: its start, and further
    /// where older incarnations have rows that came as new mail with an older date.
    pub fn history_from(&self, mailbox: &MailboxRow) -> Result<Time> {
        if mailbox.inherited {
            return Ok(mailbox.start);
        }
        let oldest: Option<String> = self.read(|db| {
            db.query_row(
                "SELECT min(m.internal_date) FROM message m JOIN mailbox b ON b.id = m.mailbox_id
                  WHERE b.name = ?1 AND b.retired_at IS NOT NULL AND m.superseded_by IS NULL AND m.status <> 'gone'",
                [&mailbox.name],
                |r| r.get(0),
            )
        })?;
        Ok(oldest
            .and_then(|t| parse_time(&t))
            .map_or(mailbox.start, |t| t.min(mailbox.start)))
    }

    /// Is this a message that an older incarnation of the mailbox had a row for?
    pub fn known_before(&self, mailbox: &MailboxRow, m: &Discovered) -> Result<bool> {
        // Each of the two has an index: a name that may be NULL has none.
        let name = match m.message_id {
            Some(_) => "m.message_id_hash = ?2",
            None => "m.message_id_hash IS NULL AND ?2 IS NULL",
        };
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM message m
                  WHERE m.mailbox_id IN (SELECT id FROM mailbox WHERE name = ?1 AND retired_at IS NOT NULL)
                    AND {name} AND m.date_header IS ?3 AND m.internal_date = ?4 AND m.size IS ?5
                    AND m.superseded_by IS NULL AND m.status <> 'gone')"
            ))?
            .query_row(
                params![
                    mailbox.name,
                    m.message_id.as_ref().map(|id| id.hash),
                    m.date,
                    m.internal_date.map(time_text),
                    m.size
                ],
                |r| r.get(0),
            )
        })
    }

    /// Lets a new incarnation, once it is wholly recorded, take over what the older ones know:
    /// `delivered`, `failed` and `skipped` pass from one old row to one new row that agree in
    /// Message-ID, Date, INTERNALDATE and size; what waited there is superseded. False while an
    /// old row is still in flight: that must be resolved first.
    pub fn inherit(&mut self, mailbox: &MailboxRow) -> Result<bool> {
        if !mailbox.inherited && !mailbox.history_done {
            return Ok(false);
        }
        if mailbox.inherited {
            // A failed row there may have been given another try since: there is nothing to try it
            // with, what the mailbox holds has rows of the new incarnation.
            return self.write(|t| drop_waiting(t, mailbox).map(|()| true));
        }
        self.write(|t| {
            let in_flight: bool = t.query_row(
                "SELECT EXISTS (SELECT 1 FROM message m WHERE m.status = 'in_flight'
                    AND (SELECT b.name = ?1 AND b.retired_at IS NOT NULL FROM mailbox b WHERE b.id = m.mailbox_id))",
                [&mailbox.name],
                |r| r.get(0),
            )?;
            if in_flight {
                return Ok(false);
            }
            pair_rows(t, mailbox)?;
            pass_on(t)?;
            drop_waiting(t, mailbox)?;
            t.execute(
                "UPDATE mailbox SET inherited = 1 WHERE id = ?1",
                [mailbox.id],
            )?;
            t.execute("DROP TABLE temp.pair", [])?;
            Ok(true)
        })
    }
}

/// What waits in older incarnations is superseded.
fn drop_waiting(t: &Transaction<'_>, mailbox: &MailboxRow) -> rusqlite::Result<()> {
    t.execute(
        "UPDATE message SET status = 'gone' WHERE status = 'pending' AND mailbox_id IN
            (SELECT id FROM mailbox WHERE name = ?1 AND retired_at IS NOT NULL)",
        [&mailbox.name],
    )?;
    Ok(())
}

/// Fills temp.pair with (old, new) where exactly one row stands on either side. Rows of an
/// incarnation that ended before it took over anything are no side: they waited all the time, for
/// messages that older rows speak of.
fn pair_rows(t: &Transaction<'_>, mailbox: &MailboxRow) -> rusqlite::Result<()> {
    t.execute_batch("DROP TABLE IF EXISTS temp.pair; CREATE TEMP TABLE pair (old INTEGER PRIMARY KEY, new INTEGER UNIQUE) STRICT")?;
    t.execute(
        "WITH old AS (
             SELECT max(m.id) AS id, count(*) AS n, message_id_hash AS h, date_header AS d, internal_date AS i, size AS s
               FROM message m JOIN mailbox b ON b.id = m.mailbox_id
              WHERE b.name = ?1 AND b.retired_at IS NOT NULL AND m.superseded_by IS NULL AND m.status <> 'gone'
                AND message_id_hash IS NOT NULL AND NOT (b.inherited = 0 AND m.status = 'pending')
              GROUP BY 3, 4, 5, 6),
         new AS (
             SELECT max(id) AS id, count(*) AS n, message_id_hash AS h, date_header AS d, internal_date AS i, size AS s
               FROM message WHERE mailbox_id = ?2 AND message_id_hash IS NOT NULL
              GROUP BY 3, 4, 5, 6)
         INSERT INTO temp.pair
         SELECT old.id, new.id FROM old JOIN new
             ON new.h = old.h AND new.d IS old.d AND new.i = old.i AND new.s IS old.s
          WHERE old.n = 1 AND new.n = 1",
        params![mailbox.name, mailbox.id],
    )?;
    Ok(())
}

fn pass_on(t: &Transaction<'_>) -> rusqlite::Result<()> {
    t.execute(
        "UPDATE message SET (status, proof, delivered_at, verified_at, sha256, canonical, altered, fault, last_error,
                             subject, sender, first_failed_at, gmail_mailbox, gmail_uid_validity, gmail_uid, gm_msgid)
              = (SELECT status, proof, delivered_at, verified_at, sha256, canonical, altered, fault, last_error,
                        subject, sender, first_failed_at, gmail_mailbox, gmail_uid_validity, gmail_uid, gm_msgid
                   FROM message o JOIN temp.pair p ON p.old = o.id WHERE p.new = message.id)
          WHERE id IN (SELECT new FROM temp.pair p JOIN message o ON o.id = p.old
                        WHERE o.status IN ('delivered', 'failed', 'skipped'))
            AND status = 'pending'",
        [],
    )?;
    t.execute(
        "UPDATE message SET superseded_by = (SELECT new FROM temp.pair WHERE old = message.id)
          WHERE id IN (SELECT old FROM temp.pair)",
        [],
    )?;
    Ok(())
}

fn mailbox_row(r: &SqlRow<'_>) -> rusqlite::Result<MailboxRow> {
    let start: String = r.get(7)?;
    Ok(MailboxRow {
        id: r.get(0)?,
        name: r.get(1)?,
        uid_validity: UidValidity(r.get(2)?),
        incarnation: r.get(3)?,
        next_uid: r.get(4)?,
        history_below: r.get(5)?,
        since: r.get(6)?,
        start: parse_time(&start).unwrap_or(Time::UNIX_EPOCH),
        history_done: r.get(8)?,
        inherited: r.get(9)?,
    })
}
