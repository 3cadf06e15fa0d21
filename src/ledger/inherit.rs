//! One message has one row, whatever its mailbox does: when the UIDs of a mailbox change their meaning,
//! the rows of older incarnations move to the UIDs that their messages have now, with all that happened
//! to them. The row that the watcher made for such a UID meanwhile goes, before it was ever claimed.
//!
//! Which rows are one message is decided by Message-ID and Date where exactly one row has them on either
//! side. Where several do, or there is no Message-ID, nothing moves here: delivery finds out by their
//! bytes. What is left in older incarnations goes on vouching for what was delivered; what waits there is
//! `gone`, and waits again when its message is back.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Transaction, params};

use super::discover::MailboxRow;
use super::open::{Ledger, Matching};
use super::row::Status;
use super::value::{MailboxId, RowId, time};
use crate::error::Result;
use crate::folder::FolderId;
use crate::message::{Time, Uid};

/// How far the rows of older incarnations have been matched with what a mailbox holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherited {
    /// It is not wholly recorded, or an old row without a name is still in flight: that must be
    /// resolved first.
    NotYet,
    /// A step of it is done, another one is left.
    InPart,
    Wholly,
}

/// Rows that one transaction moves: others who write wait 10 s at most.
const STEP: usize = 2000;

/// Rows of older incarnations (`b` joined to `m`) that may be messages of the present one. Not those that an incarnation
/// made for its history and that never were matched: older ones stand for these messages.
const OLD: &str = "b.folder_id = ?2 AND b.retired_at IS NOT NULL AND m.superseded_by IS NULL
    AND NOT (b.inherited = 0 AND m.status = 'pending' AND m.attempt = 0 AND m.source_uid < b.history_below AND m.id >= b.first_id
             AND NOT EXISTS (SELECT 1 FROM message o WHERE o.superseded_by = m.id))";

/// Whichever of these is taken for a message of its date and size: it was not sent, and its bytes decide then.
const WAITING_NAMELESS: &str = "m.message_id_hash IS NULL AND m.status IN ('pending', 'gone')";

impl Ledger {
    /// Matches the rows of older incarnations with a new one, once that is wholly recorded.
    ///
    /// One step of it, which no other writer waits for in vain: call it until it is `Wholly` done.
    /// Killed between two steps, or within one, it ends as if it had not been.
    pub fn inherit(&mut self, folder: FolderId) -> Result<Inherited> {
        self.inherit_by(folder, STEP)
    }

    pub(super) fn inherit_by(&mut self, folder: FolderId, step: usize) -> Result<Inherited> {
        let Some(mailbox) = self.mailbox(folder)? else {
            return Ok(Inherited::NotYet);
        };
        if mailbox.inherited {
            // A failed row there may have been given another try since: there is nothing to try it
            // with, what the mailbox holds has rows of its own.
            let end = self.write(|t| drop_waiting(t, folder, step))?;
            return Ok(if end {
                Inherited::Wholly
            } else {
                Inherited::InPart
            });
        }
        if self.is_matched(mailbox.id)? {
            self.write(|t| {
                if drop_waiting(t, folder, step)? {
                    t.execute(
                        "UPDATE mailbox SET inherited = 1 WHERE id = ?1",
                        [mailbox.id],
                    )?;
                }
                Ok(())
            })?;
            return Ok(Inherited::InPart);
        }
        if !mailbox.history_done || self.old_nameless_in_flight(folder)? {
            return Ok(Inherited::NotYet);
        }
        if !self.write(|t| drop_unmatched(t, folder, step))? {
            return Ok(Inherited::InPart);
        }
        self.match_some(&mailbox, step)
    }

    /// All pairs have been found and moved, and what waited may be left.
    fn is_matched(&self, mailbox: MailboxId) -> Result<bool> {
        self.read(|db| {
            db.query_row(
                "SELECT inherited = 2 FROM mailbox WHERE id = ?1",
                [mailbox],
                |r| r.get(0),
            )
            .optional()
            .map(|matched| matched.unwrap_or(false))
        })
    }

    /// A row that has a name moves in flight too, and no other of its name is sent meanwhile. Of one
    /// without, only its end tells whether the message is in the target.
    fn old_nameless_in_flight(&self, folder: FolderId) -> Result<bool> {
        self.read(|db| {
            db.query_row(
                "SELECT EXISTS (SELECT 1 FROM message m WHERE m.status = 'in_flight' AND m.message_id_hash IS NULL
                    AND (SELECT b.folder_id = ?1 AND b.retired_at IS NOT NULL FROM mailbox b WHERE b.id = m.mailbox_id))",
                [folder],
                |r| r.get(0),
            )
        })
    }

    /// Looks for the pairs among some rows more, or moves some of those that were found.
    fn match_some(&mut self, mailbox: &MailboxRow, step: usize) -> Result<Inherited> {
        // Where this fails, it begins anew.
        let begun = self.matching.take();
        let mut so_far = begun
            .filter(|m| m.mailbox == mailbox.id && m.start == mailbox.start)
            .unwrap_or(Matching {
                mailbox: mailbox.id,
                start: mailbox.start,
                nameless: false,
                passed: 0,
                pairs: Vec::new(),
            });
        if so_far.pairs.is_empty() && !std::mem::replace(&mut so_far.nameless, true) {
            so_far.pairs = self.pairs_by_rank(mailbox, WAITING_NAMELESS)?;
        } else if so_far.pairs.is_empty() {
            let Some(end) = self.end_of_step(mailbox.id, so_far.passed, step)? else {
                self.write(|t| {
                    t.execute(
                        "UPDATE mailbox SET inherited = 2 WHERE id = ?1",
                        [mailbox.id],
                    )
                })?;
                return Ok(Inherited::InPart);
            };
            (so_far.pairs, so_far.passed) = if mailbox.is_unstable() {
                (self.pairs_by_rank(mailbox, "true")?, u32::MAX)
            } else {
                (self.pairs(mailbox, so_far.passed, end)?, end)
            };
        }
        // One Message-ID may have given any number of them.
        let some = so_far.pairs.len().min(step);
        let now: Vec<(RowId, RowId)> = so_far.pairs.drain(..some).collect();
        if !now.is_empty() {
            self.write(|t| {
                now.iter().try_for_each(|&(old, new)| {
                    become_one(t, old, new, Status::Pending).map(|_| ())
                })
            })?;
        }
        self.matching = Some(so_far);
        Ok(Inherited::InPart)
    }

    /// The UID up to which that many rows lie.
    fn end_of_step(&self, mailbox: MailboxId, after: u32, rows: usize) -> Result<Option<u32>> {
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
    /// seen by halves. What we have removed at the source is there again only where the size is the same, too: else another
    /// message bears its name.
    fn pairs(&self, mailbox: &MailboxRow, after: u32, end: u32) -> Result<Vec<(RowId, RowId)>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT max(m.id) FILTER (WHERE m.mailbox_id <> ?1), max(m.id) FILTER (WHERE m.mailbox_id = ?1)
                   FROM (SELECT DISTINCT message_id_hash AS hash FROM message n
                          WHERE mailbox_id = ?1 AND source_uid > ?3 AND source_uid <= ?4 AND message_id_hash IS NOT NULL
                            AND NOT EXISTS (SELECT 1 FROM message e WHERE e.message_id_hash = n.message_id_hash
                                               AND e.mailbox_id = ?1 AND e.source_uid <= ?3))
                  CROSS JOIN message m ON m.message_id_hash = hash
                  CROSS JOIN mailbox b ON b.id = m.mailbox_id
                  WHERE m.mailbox_id = ?1 OR ({OLD})
                  GROUP BY m.message_id_hash, m.date_header
                 HAVING count(*) FILTER (WHERE m.mailbox_id <> ?1) = 1 AND count(*) FILTER (WHERE m.mailbox_id = ?1) = 1
                    AND max(m.status = 'pending' AND m.attempt = 0) FILTER (WHERE m.mailbox_id = ?1) = 1
                    AND max(m.size) FILTER (WHERE m.mailbox_id = ?1)
                        IS coalesce(max(m.size) FILTER (WHERE m.removed_at IS NOT NULL), max(m.size) FILTER (WHERE m.mailbox_id = ?1))
                  ORDER BY 2"
            ))?
            .query_map(params![mailbox.id, mailbox.folder, after, end], |r| r.try_into())?
            .collect()
        })
    }

    /// (old, new) by what names a message, its date and size where it has no Message-ID. Of several the
    /// first on either side are one, those of the latest incarnation before older ones. For a mailbox that
    /// has other UIDs each time it is opened, so that bodies cannot be compared with each look.
    fn pairs_by_rank(&self, mailbox: &MailboxRow, which: &str) -> Result<Vec<(RowId, RowId)>> {
        type Name = (Option<Vec<u8>>, Option<String>, Option<(Time, u64)>);
        let mut old: HashMap<Name, Vec<RowId>> = HashMap::new();
        let mut new: Vec<(Name, RowId)> = Vec::new();
        self.read(|db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT m.id, m.mailbox_id = ?1, m.message_id_hash, m.date_header, m.internal_date, m.size
                   FROM message m JOIN mailbox b ON b.id = m.mailbox_id
                  WHERE ((m.mailbox_id = ?1 AND m.status = 'pending' AND m.attempt = 0) OR ({OLD})) AND {which}
                  ORDER BY b.incarnation DESC, m.source_uid"
            ))?;
            let mut rows = query.query(params![mailbox.id, mailbox.folder])?;
            while let Some(r) = rows.next()? {
                let (id, is_new): (RowId, bool) = (r.get(0)?, r.get(1)?);
                let hash: Option<Vec<u8>> = r.get("message_id_hash")?;
                let dated = match (&hash, r.get("size")?) {
                    (Some(_), _) => None,
                    (None, Some(size)) => Some((time(r, "internal_date")?, size)),
                    // Nothing is known of it but its UID.
                    (None, None) => continue,
                };
                let name = (hash, r.get("date_header")?, dated);
                if is_new {
                    new.push((name, id));
                } else {
                    old.entry(name).or_default().push(id);
                }
            }
            Ok(())
        })?;
        let mut taken: HashMap<Name, usize> = HashMap::new();
        let mut pairs = Vec::new();
        for (name, new) in new {
            let rank = taken.entry(name.clone()).or_default();
            if let Some(old) = old.get(&name).and_then(|rows| rows.get(*rank)) {
                pairs.push((*old, new));
            }
            *rank += 1;
        }
        Ok(pairs)
    }
}

/// Two rows are one message. The old one moves to the UID of the new one, which leaves this status, and
/// waits again if it had been gone; while it is not delivered, date and size are as they are told now.
/// Returns how many rows moved.
pub(super) fn become_one(
    t: &Transaction<'_>,
    old: RowId,
    new: RowId,
    leaves: Status,
) -> rusqlite::Result<usize> {
    let slot: Option<(MailboxId, Uid)> = t
        .prepare_cached("SELECT mailbox_id, source_uid FROM message WHERE id = ?1 AND status = ?2")?
        .query_row(params![new, leaves], |r| r.try_into())
        .optional()?;
    let Some((mailbox, uid)) = slot else {
        return Ok(0);
    };
    t.prepare_cached(
        "UPDATE message SET (internal_date, size, flags, next_attempt_at)
              = (SELECT n.internal_date, coalesce(n.size, message.size), n.flags,
                        iif(message.status = 'gone', n.next_attempt_at, message.next_attempt_at)
                   FROM message n WHERE n.id = ?2)
          WHERE id = ?1 AND status IN ('pending', 'failed', 'gone')",
    )?
    .execute([old, new])?;
    t.prepare_cached("UPDATE message SET superseded_by = ?1 WHERE superseded_by = ?2")?
        .execute([old, new])?;
    t.prepare_cached("DELETE FROM message WHERE id = ?1")?
        .execute([new])?;
    t.prepare_cached(
        // The source has it, though we removed it once: it was put back.
        "UPDATE message SET mailbox_id = ?2, source_uid = ?3, status = iif(status = 'gone', 'pending', status),
                removal_id = iif(removed_at IS NULL, removal_id, NULL), removed_at = NULL, kept_until = NULL
          WHERE id = ?1",
    )?
    .execute(params![old, mailbox, uid])
}

/// What an incarnation recorded of its history and never matched goes: older rows, or those of the
/// present incarnation, stand for these messages. True when none is left.
fn drop_unmatched(t: &Transaction<'_>, folder: FolderId, rows: usize) -> rusqlite::Result<bool> {
    let dropped = t
        .prepare_cached(
            "DELETE FROM message WHERE id IN
                (SELECT m.id FROM mailbox b JOIN message m ON m.mailbox_id = b.id
                  WHERE b.folder_id = ?1 AND b.retired_at IS NOT NULL AND b.inherited = 0
                    AND m.status = 'pending' AND m.attempt = 0 AND +m.source_uid < b.history_below AND m.id >= b.first_id
                    AND NOT EXISTS (SELECT 1 FROM message o WHERE o.superseded_by = m.id) LIMIT ?2)",
        )?
        .execute(params![folder, rows as i64])?;
    Ok(dropped < rows)
}

/// What waits in older incarnations is no longer in the mailbox, so many rows of it. True when none is
/// left.
fn drop_waiting(t: &Transaction<'_>, folder: FolderId, rows: usize) -> rusqlite::Result<bool> {
    let dropped = t
        .prepare_cached(
            "UPDATE message SET status = 'gone' WHERE id IN
                (SELECT id FROM message WHERE status = 'pending' AND mailbox_id IN
                    (SELECT id FROM mailbox WHERE folder_id = ?1 AND retired_at IS NOT NULL) LIMIT ?2)",
        )?
        .execute(params![folder, rows as i64])?;
    Ok(dropped < rows)
}
