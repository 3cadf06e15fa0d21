//! What the watcher writes: mailboxes, their cursors, and a row for each message before anything
//! is done with it.

use rusqlite::{OptionalExtension, Row as SqlRow, Transaction, params};

use super::{Ledger, deliver};
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
    /// False until what older incarnations know has been taken over, all of it.
    pub inherited: bool,
}

/// How far a new incarnation has taken over what the older ones know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherited {
    /// It is not wholly recorded, or an old row is still in flight: that must be resolved first.
    NotYet,
    /// A step of it is done, another one is left.
    InPart,
    Wholly,
}

/// How far this process has come with it. Lost with the process: the next one looks at every row
/// once more and finds those that were passed on already superseded.
pub(super) struct TakingOver {
    mailbox: i64,
    /// A history that is opened again brings rows where this has been already.
    start: Time,
    /// Every Message-ID that is first met at a UID up to here has been looked at.
    passed: u32,
    /// (old, new), found and not passed on yet.
    pairs: Vec<(i64, i64)>,
}

/// Rows that one transaction takes over: others who write wait 10 s at most.
const STEP: usize = 2000;

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
                "SELECT id, name, uid_validity, incarnation, next_uid, history_below, since, start, history_done, inherited = 1
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
    /// Message-ID, Date, INTERNALDATE and size; what waited there is superseded.
    ///
    /// One step of it, which no other writer waits for in vain: call it until it is `Wholly` done.
    /// Killed between two steps, or within one, it ends as if it had not been.
    pub fn inherit(&mut self, name: &str) -> Result<Inherited> {
        self.inherit_by(name, STEP)
    }

    pub(super) fn inherit_by(&mut self, name: &str, step: usize) -> Result<Inherited> {
        let Some(mailbox) = self.mailbox(name)? else {
            return Ok(Inherited::NotYet);
        };
        if mailbox.inherited {
            // A failed row there may have been given another try since: there is nothing to try it
            // with, what the mailbox holds has rows of the new incarnation.
            let end = self.write(|t| drop_waiting(t, name, mailbox.incarnation, step))?;
            return Ok(if end {
                Inherited::Wholly
            } else {
                Inherited::InPart
            });
        }
        // Pairs count rows that wait, so these are dropped only when all pairs are found, and before
        // those of the next incarnation are looked for.
        if let Some((id, incarnation)) = self.dropping(name)? {
            self.write(|t| {
                if drop_waiting(t, name, incarnation, step)? {
                    t.execute("UPDATE mailbox SET inherited = 1 WHERE id = ?1", [id])?;
                }
                Ok(())
            })?;
            return Ok(Inherited::InPart);
        }
        if !mailbox.history_done || self.old_in_flight(name)? {
            return Ok(Inherited::NotYet);
        }
        self.take_over(&mailbox, step)
    }

    /// The incarnation that has taken over all, but for what waited in those before it.
    fn dropping(&self, name: &str) -> Result<Option<(i64, u32)>> {
        self.read(|db| {
            db.query_row(
                "SELECT id, incarnation FROM mailbox WHERE name = ?1 AND inherited = 2 ORDER BY incarnation",
                [name],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .optional()
        })
    }

    fn old_in_flight(&self, name: &str) -> Result<bool> {
        self.read(|db| {
            db.query_row(
                "SELECT EXISTS (SELECT 1 FROM message m WHERE m.status = 'in_flight'
                    AND (SELECT b.name = ?1 AND b.retired_at IS NOT NULL FROM mailbox b WHERE b.id = m.mailbox_id))",
                [name],
                |r| r.get(0),
            )
        })
    }

    /// Looks for the pairs among some rows more, or passes on some of those that were found.
    fn take_over(&mut self, mailbox: &MailboxRow, step: usize) -> Result<Inherited> {
        // Where this fails, it begins anew.
        let begun = self.taking_over.take();
        let mut so_far = begun
            .filter(|t| t.mailbox == mailbox.id && t.start == mailbox.start)
            .unwrap_or(TakingOver {
                mailbox: mailbox.id,
                start: mailbox.start,
                passed: 0,
                pairs: Vec::new(),
            });
        if so_far.pairs.is_empty() {
            let Some(end) = self.end_of_step(mailbox.id, so_far.passed, step)? else {
                self.write(|t| {
                    t.execute(
                        "UPDATE mailbox SET inherited = 2 WHERE id = ?1",
                        [mailbox.id],
                    )
                })?;
                return Ok(Inherited::InPart);
            };
            so_far.pairs = self.pairs(mailbox, so_far.passed, end)?;
            so_far.passed = end;
        }
        // One Message-ID may have given any number of them.
        let some = so_far.pairs.len().min(step);
        let now: Vec<(i64, i64)> = so_far.pairs.drain(..some).collect();
        if !now.is_empty() {
            self.write(|t| pass_on(t, &now))?;
        }
        self.taking_over = Some(so_far);
        Ok(Inherited::InPart)
    }

    /// The UID up to which that many rows lie.
    fn end_of_step(&self, mailbox: i64, after: u32, rows: usize) -> Result<Option<u32>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT max(source_uid) FROM (SELECT source_uid FROM message WHERE mailbox_id = ?1 AND source_uid > ?2
                                               ORDER BY source_uid LIMIT ?3)",
            )?
            .query_row(params![mailbox, after, rows as i64], |r| r.get(0))
        })
    }

    /// (old, new) where exactly one row stands on either side, of the Message-IDs that are first met
    /// after `after` and up to `end`: with all their rows, wherever these lie, so that no group is
    /// seen by halves. Rows of an incarnation that ended before it took over all are no side while
    /// they wait: they waited all the time, for messages that older rows speak of.
    fn pairs(&self, mailbox: &MailboxRow, after: u32, end: u32) -> Result<Vec<(i64, i64)>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT max(m.id) FILTER (WHERE m.mailbox_id <> ?1), max(m.id) FILTER (WHERE m.mailbox_id = ?1)
                   FROM (SELECT DISTINCT message_id_hash AS hash FROM message n
                          WHERE mailbox_id = ?1 AND source_uid > ?3 AND source_uid <= ?4 AND message_id_hash IS NOT NULL
                            AND NOT EXISTS (SELECT 1 FROM message e WHERE e.message_id_hash = n.message_id_hash
                                               AND e.mailbox_id = ?1 AND e.source_uid <= ?3))
                  CROSS JOIN message m ON m.message_id_hash = hash
                  CROSS JOIN mailbox b ON b.id = m.mailbox_id
                  WHERE m.mailbox_id = ?1
                     OR (b.name = ?2 AND b.retired_at IS NOT NULL AND m.superseded_by IS NULL AND m.status <> 'gone'
                         AND NOT (b.inherited = 0 AND m.status = 'pending'))
                  GROUP BY m.message_id_hash, m.date_header, m.internal_date, m.size
                 HAVING count(*) FILTER (WHERE m.mailbox_id <> ?1) = 1 AND count(*) FILTER (WHERE m.mailbox_id = ?1) = 1
                  ORDER BY 2",
            )?
            .query_map(params![mailbox.id, mailbox.name, after, end], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })?
            .collect()
        })
    }
}

/// What waits in incarnations before this one is superseded, so many rows of it. True when none is
/// left.
fn drop_waiting(
    t: &Transaction<'_>,
    name: &str,
    before: u32,
    rows: usize,
) -> rusqlite::Result<bool> {
    let dropped = t.execute(
        "UPDATE message SET status = 'gone' WHERE id IN
            (SELECT id FROM message WHERE status = 'pending' AND mailbox_id IN
                (SELECT id FROM mailbox WHERE name = ?1 AND incarnation < ?2) LIMIT ?3)",
        params![name, before, rows as i64],
    )?;
    Ok(dropped < rows)
}

/// Each new row becomes what its old one is now, and takes its place.
fn pass_on(t: &Transaction<'_>, pairs: &[(i64, i64)]) -> rusqlite::Result<()> {
    let mut known = t.prepare_cached(
        "SELECT status IN ('delivered', 'failed', 'skipped') FROM message WHERE id = ?1",
    )?;
    for &(old, new) in pairs {
        match known.query_row([old], |r| r.get(0))? {
            true => deliver::as_before(t, new, "pending", old)?,
            false => deliver::supersede(t, old, new)?,
        };
    }
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
