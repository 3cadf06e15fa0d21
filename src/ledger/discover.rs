//! What the watcher writes: mailboxes, their cursors, and a row for each message before anything
//! is done with it. Not for matching the rows of one incarnation with the next (`inherit`).

use rusqlite::{OptionalExtension, Row as SqlRow, Transaction, params};

use super::open::Ledger;
use super::row::{COLUMNS, Row, row};
use super::value::{MailboxId, RowId, time, time_or_null};
use crate::error::{Error, Result};
use crate::folder::{DestinationId, FolderId};
use crate::message::{Discovered, Time, Uid, UidValidity, time_text};

/// A source mailbox in its present incarnation.
#[derive(Clone, Debug)]
pub struct MailboxRow {
    pub id: MailboxId,
    pub folder: FolderId,
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
    /// False until the rows of older incarnations have been matched with what it holds, all of them.
    pub inherited: bool,
    /// How many incarnations in a row, this one included, were seen only once.
    pub seen_once: u32,
}

/// So many in a row that were seen only once, and there will be no end of them.
const UNSTABLE: u32 = 3;
/// Of the rows with the highest UIDs so many are compared with what bears their UIDs now.
const NEWEST: u32 = 20;

impl MailboxRow {
    /// Are its UIDs other ones each time that it is opened (Courier under EXAMINE as long as nobody has
    /// ever opened the mailbox by SELECT; GNU imap4d)?
    pub fn is_unstable(&self) -> bool {
        self.seen_once >= UNSTABLE
    }
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
    /// The mailbox of a folder, if it has been looked at before.
    pub fn mailbox(&self, folder: FolderId) -> Result<Option<MailboxRow>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT id, name, uid_validity, incarnation, next_uid, history_below, since, start, history_done, inherited = 1 AS inherited, seen_once, folder_id
                   FROM mailbox WHERE folder_id = ?1 AND retired_at IS NULL",
            )?
            .query_row([folder], mailbox_row)
            .optional()
        })
    }

    /// The mailbox of a folder, which has been looked at before.
    pub fn present_mailbox(&self, folder: FolderId) -> Result<MailboxRow> {
        self.mailbox(folder)?.ok_or_else(|| {
            Error::fatal(format!(
                "{}: there is no row for the mailbox of folder {}",
                self.path.display(),
                folder.0
            ))
        })
    }

    /// Has the source been looked at?
    pub fn has_begun(&self) -> Result<bool> {
        self.read(|db| db.query_row("SELECT count(*) > 0 FROM mailbox", [], |r| r.get(0)))
    }

    /// Begins with a mailbox: what is there now below `uid_next` is history, wanted from `start` on.
    pub fn first_look(
        &mut self,
        folder: FolderId,
        validity: UidValidity,
        uid_next: u32,
        since: &str,
        start: Time,
    ) -> Result<()> {
        self.write(|t| {
            t.execute(
                "INSERT INTO mailbox (folder_id, name, uid_validity, incarnation, next_uid, history_below, since, start)
                 VALUES (?1, (SELECT source FROM folder WHERE id = ?1), ?2, 1, ?3, ?3, ?4, ?5)",
                params![folder, validity, uid_next, since, time_text(start)],
            )?;
            Ok(())
        })
    }

    /// `since` has been configured anew: an earlier start opens the history again, a later one
    /// changes nothing.
    pub fn reconsider_start(&mut self, mailbox: MailboxId, since: &str, start: Time) -> Result<()> {
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

    /// Those of these UIDs, which must ascend, that have no row, or only one that was given up as gone.
    pub fn without_row(&self, mailbox: MailboxId, mut uids: Vec<Uid>) -> Result<Vec<Uid>> {
        let (Some(&first), Some(&last)) = (uids.first(), uids.last()) else {
            return Ok(uids);
        };
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT source_uid FROM message WHERE mailbox_id = ?1 AND source_uid BETWEEN ?2 AND ?3
                    AND status <> 'gone' ORDER BY source_uid",
            )?;
            let mut known = query
                .query_map(params![mailbox, first, last], |r| r.get(0))?
                .peekable();
            let mut missing = Vec::new();
            for uid in uids.drain(..) {
                while known.next_if(|k| matches!(k, Ok::<Uid, _>(k) if *k < uid)).is_some() {}
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

    /// The rows with the highest UIDs, and what else has a row between them, ascending.
    pub fn newest(&self, mailbox: MailboxId) -> Result<Vec<Row>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM message m WHERE m.mailbox_id = ?1 AND m.status <> 'gone' AND m.source_uid >=
                        (SELECT min(source_uid) FROM (SELECT source_uid FROM message WHERE mailbox_id = ?1 AND status <> 'gone'
                                                       ORDER BY source_uid DESC LIMIT ?2))
                  ORDER BY m.source_uid"
            ))?
            .query_map(params![mailbox, NEWEST], row)?
            .collect()
        })
    }

    /// Writes a row for each message and moves the cursor, together. Messages that have a row keep
    /// it; one that was given up as gone and is there again waits once more. Returns how many wait now
    /// that did not before.
    pub fn record(
        &mut self,
        mailbox: MailboxId,
        found: &[Discovered],
        progress: Progress,
        now: Time,
    ) -> Result<usize> {
        let mut last_id = self.last_id;
        let new = self.write(|t| {
            let mut new = 0;
            // What a process knows of a row that went must not be taken for news of a new one.
            let highest: RowId = t
                .prepare_cached("SELECT coalesce(max(id), 0) FROM message")?
                .query_row([], |r| r.get(0))?;
            last_id = last_id.max(highest);
            let mut insert = t.prepare_cached(
                "INSERT INTO message (id, mailbox_id, source_uid, message_id, message_id_hash, date_header,
                                      internal_date, size, flags, next_attempt_at, discovered_at, destination_id)
                 VALUES (?10, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?11)
                 ON CONFLICT (mailbox_id, source_uid) DO UPDATE
                    SET status = 'pending', next_attempt_at = excluded.next_attempt_at, message_id = excluded.message_id,
                        message_id_hash = excluded.message_id_hash, date_header = excluded.date_header,
                        internal_date = excluded.internal_date, size = excluded.size, flags = excluded.flags
                  WHERE status = 'gone' AND superseded_by IS NULL
                    AND (message_id_hash IS excluded.message_id_hash OR (message_id_hash IS NULL AND size IS NULL))",
            )?;
            let goes: DestinationId = t
                .prepare_cached("SELECT f.destination_id FROM mailbox b JOIN folder f ON f.id = b.folder_id WHERE b.id = ?1")?
                .query_row([mailbox], |r| r.get(0))?;
            for m in found {
                last_id.0 += 1;
                new += insert.execute(params![
                    mailbox,
                    m.uid,
                    m.message_id.as_ref().map(|id| &id.text),
                    m.message_id.as_ref().map(|id| id.hash),
                    m.date,
                    time_text(m.came_at().unwrap_or(now)),
                    m.size,
                    m.flags.to_string(),
                    time_text(now),
                    last_id,
                    goes,
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
        })?;
        self.last_id = last_id;
        Ok(new)
    }

    /// The mailbox was seen again under the same UIDVALIDITY.
    pub fn seen_again(&mut self, mailbox: MailboxId) -> Result<()> {
        self.write(|t| {
            t.execute("UPDATE mailbox SET seen_once = 0 WHERE id = ?1", [mailbox])?;
            Ok(())
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
        self.forget_folders();
        self.write(|t| {
            retire(t, old, now)?;
            t.execute(
                "INSERT INTO mailbox (folder_id, name, uid_validity, incarnation, next_uid, history_below, since, start, inherited, seen_once, first_id)
                 VALUES (?1, (SELECT source FROM folder WHERE id = ?1), ?2,
                         (SELECT max(incarnation) + 1 FROM mailbox WHERE folder_id = ?1), ?3, ?3, ?4, ?5, 0, ?6,
                         (SELECT coalesce(max(id), 0) + 1 FROM message))",
                params![
                    old.folder,
                    validity,
                    uid_next,
                    old.since,
                    time_text(old.start),
                    old.seen_once.saturating_add(1)
                ],
            )?;
            Ok(())
        })
    }

    /// A UIDVALIDITY that was known before is back (the store of a server was not mounted for a while):
    /// so are its UIDs, and rows of messages that came meanwhile are matched with it. False where there
    /// was none that can have grown into this view.
    pub fn reopen_incarnation(
        &mut self,
        present: &MailboxRow,
        validity: UidValidity,
        uid_next: u32,
        now: Time,
    ) -> Result<bool> {
        self.forget_folders();
        self.write(|t| {
            // Where rows have been superseded, as they once were, others stand for their messages.
            let known: Option<MailboxId> = t
                .query_row(
                    "SELECT id FROM mailbox b
                      WHERE folder_id = ?1 AND uid_validity = ?2 AND retired_at IS NOT NULL AND next_uid <= ?3
                        AND NOT EXISTS (SELECT 1 FROM message WHERE superseded_by IS NOT NULL AND +mailbox_id = b.id)
                      ORDER BY incarnation DESC LIMIT 1",
                    params![present.folder, validity, uid_next],
                    |r| r.get(0),
                )
                .optional()?;
            let Some(known) = known else {
                return Ok(false);
            };
            t.execute(
                "UPDATE mailbox SET retired_at = NULL, history_done = 0, inherited = 3, seen_once = 0, since = ?2, start = ?3
                  WHERE id = ?1",
                params![known, present.since, time_text(present.start)],
            )?;
            // Only now: it may hold no row.
            retire(t, present, now)?;
            Ok(true)
        })
    }

    /// How far back the history of this mailbox must be looked through: its start, and further
    /// where older incarnations have rows that came as new mail with an older date. What waits there
    /// is looked for everywhere: its date may be another one now.
    pub fn history_from(&self, mailbox: &MailboxRow) -> Result<Time> {
        if mailbox.inherited {
            return Ok(mailbox.start);
        }
        let (oldest, waits): (Option<Time>, bool) = self.read(|db| {
            db.query_row(
                "SELECT min(m.internal_date), coalesce(max(m.status IN ('pending', 'in_flight', 'failed')), 0)
                   FROM message m JOIN mailbox b ON b.id = m.mailbox_id
                  WHERE b.folder_id = ?1 AND b.retired_at IS NOT NULL AND m.superseded_by IS NULL",
                [mailbox.folder],
                |r| Ok((time_or_null(r, 0)?, r.get(1)?)),
            )
        })?;
        if waits {
            return Ok(Time::MIN_UTC);
        }
        Ok(oldest.map_or(mailbox.start, |t| t.min(mailbox.start)))
    }

    /// Is this a message that an older incarnation of the mailbox had a row for? A server that moved may
    /// tell another INTERNALDATE or size of it, but for a message without Message-ID they are all there is.
    pub fn known_before(&self, mailbox: &MailboxRow, m: &Discovered) -> Result<bool> {
        // Each of the two has an index: a name that may be NULL has none.
        let name = match m.message_id {
            Some(_) => "m.message_id_hash = ?2 AND ?4 IS ?4 AND ?5 IS ?5",
            None => {
                "m.message_id_hash IS NULL AND ?2 IS NULL AND m.internal_date = ?4 AND m.size IS ?5"
            }
        };
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM message m
                  WHERE m.mailbox_id IN (SELECT id FROM mailbox WHERE folder_id = ?1 AND retired_at IS NOT NULL)
                    AND {name} AND m.date_header IS ?3 AND m.superseded_by IS NULL)"
            ))?
            .query_row(
                params![
                    mailbox.folder,
                    m.message_id.as_ref().map(|id| id.hash),
                    m.date,
                    m.came_at().map(time_text),
                    m.size
                ],
                |r| r.get(0),
            )
        })
    }
}

/// Ends an incarnation. Those of which no row is left are forgotten: a mailbox that is another one each
/// time would add one with each look.
fn retire(t: &Transaction<'_>, mailbox: &MailboxRow, now: Time) -> rusqlite::Result<()> {
    t.execute(
        "UPDATE mailbox SET retired_at = ?2 WHERE id = ?1",
        params![mailbox.id, time_text(now)],
    )?;
    t.execute(
        "DELETE FROM mailbox WHERE folder_id = ?1 AND retired_at IS NOT NULL AND id <> ?2
            AND NOT EXISTS (SELECT 1 FROM message WHERE mailbox_id = mailbox.id)",
        params![mailbox.folder, mailbox.id],
    )?;
    Ok(())
}

fn mailbox_row(r: &SqlRow<'_>) -> rusqlite::Result<MailboxRow> {
    Ok(MailboxRow {
        id: r.get("id")?,
        folder: r.get("folder_id")?,
        name: r.get("name")?,
        uid_validity: r.get("uid_validity")?,
        incarnation: r.get("incarnation")?,
        next_uid: r.get("next_uid")?,
        history_below: r.get("history_below")?,
        since: r.get("since")?,
        start: time(r, "start")?,
        history_done: r.get("history_done")?,
        inherited: r.get("inherited")?,
        seen_once: r.get("seen_once")?,
    })
}
