//! What is about to be sent, on disk before the first byte of it, and where resolution would begin to look.
//! Not for what becomes of it (`settle`).

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::budget::{BY_APPEND, BY_IMPORT, Room, book};
use super::open::Ledger;
use super::row::{RefusedBy, not_in_flight};
use super::value::{IndexId, MarkId, RowId, time};
use crate::error::Result;
use crate::message::{CanonicalHash, Flags, Sha256, Time, UidValidity, time_text};

/// What is about to be sent of a row.
#[derive(Clone, Copy, Debug)]
pub struct Intent {
    pub row: RowId,
    pub sha256: Sha256,
    pub canonical: CanonicalHash,
    /// In bytes; RFC822.SIZE may have lied.
    pub size: u64,
    pub flags: Flags,
    /// It is about to be sent through Gmail's API, else by APPEND.
    pub by_import: bool,
}

/// Where resolution begins to look, in one index mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub mailbox: IndexId,
    pub uid_validity: UidValidity,
    pub uid_next: u32,
}

impl Ledger {
    /// Puts the intent on disk before the first byte of an APPEND: what will be sent of each row,
    /// and where resolution would begin to look. With `limit` no more than so many bytes in any 24
    /// hours by each road: returns how many of the intents may be carried out, from the first on; their bytes
    /// are booked. All of them go by one road.
    pub fn mark(
        &mut self,
        intents: &[Intent],
        marks: &[Mark],
        limit: Option<u64>,
        now: Time,
    ) -> Result<usize> {
        self.write(|t| {
            t.prepare_cached("INSERT INTO mark (made_at) VALUES (?1)")?
                .execute([time_text(now)])?;
            let mark = MarkId(t.last_insert_rowid());
            for m in marks {
                // Another session may have seen since that the mailbox went back to an earlier state.
                t.prepare_cached(
                    "INSERT INTO mark_mailbox (mark_id, gmail_mailbox_id, uid_validity, uid_next) VALUES (?1, ?2, ?3,
                        min(?4, coalesce((SELECT next_uid FROM gmail_mailbox WHERE id = ?2 AND uid_validity = ?3), ?4)))",
                )?
                .execute(params![mark, m.mailbox, m.uid_validity, m.uid_next])?;
            }
            let mut set = t.prepare_cached(
                "UPDATE message SET sha256 = ?2, canonical = ?3, size = ?4, flags = ?5, mark_id = ?6, by_import = ?7
                  WHERE id = ?1 AND status = 'in_flight'",
            )?;
            let by_import = intents.first().is_some_and(|i| i.by_import);
            let booked = if by_import { BY_IMPORT } else { BY_APPEND };
            let room = match limit {
                Some(limit) => Some(Room::of(t, booked, limit, now)?),
                None => None,
            };
            let mut bytes = 0;
            let mut allowed = 0;
            for i in intents {
                if let Some(room) = room
                    && !room.takes(bytes, i.size, is_new(t, i.row)?)
                {
                    // Its source had told another size, or it would not have been claimed.
                    t.execute(
                        "UPDATE message SET size = ?2 WHERE id = ?1",
                        params![i.row, i.size],
                    )?;
                    break;
                }
                bytes += i.size;
                allowed += 1;
                if set.execute(params![
                    i.row,
                    i.sha256,
                    i.canonical,
                    i.size,
                    i.flags.to_string(),
                    mark,
                    i.by_import
                ])? != 1
                {
                    return Err(not_in_flight());
                }
            }
            book(t, booked, bytes, now)?;
            Ok(allowed)
        })
    }

    /// Why a message takes the road that it takes, where that is not its folder's.
    pub fn note_detour(
        &mut self,
        row: RowId,
        refused_by: Option<RefusedBy>,
        why: Option<&str>,
    ) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE message SET refused_by = ?2, detour = ?3 WHERE id = ?1",
                params![row, refused_by, why],
            )?;
            Ok(())
        })
    }

    /// Gmail's API has refused this message for now. Returns how often it has.
    pub fn note_import_refusal(&mut self, row: RowId) -> Result<u32> {
        self.write(|t| {
            t.prepare_cached(
                "UPDATE message SET import_refusals = import_refusals + 1 WHERE id = ?1 RETURNING import_refusals",
            )?
            .query_row([row], |r| r.get(0))
        })
    }

    /// Did this message come after the first look at its mailbox?
    pub fn is_new_mail(&self, id: RowId) -> Result<bool> {
        self.read(|db| is_new(db, id))
    }

    /// The index mailboxes as they were before the APPENDs of this mark.
    pub fn marks(&self, mark: MarkId) -> Result<Vec<Mark>> {
        self.read(|db| {
            db.prepare_cached("SELECT gmail_mailbox_id, uid_validity, uid_next FROM mark_mailbox WHERE mark_id = ?1")?
                .query_map([mark], |r| {
                    Ok(Mark {
                        mailbox: r.get("gmail_mailbox_id")?,
                        uid_validity: r.get("uid_validity")?,
                        uid_next: r.get("uid_next")?,
                    })
                })?
                .collect()
        })
    }

    /// When the APPENDs of this mark were about to begin.
    pub fn marked_at(&self, mark: MarkId) -> Result<Option<Time>> {
        self.read(|db| {
            db.prepare_cached("SELECT made_at FROM mark WHERE id = ?1")?
                .query_row([mark], |r| time(r, 0))
                .optional()
        })
    }
}

/// Did it come after the first look at its mailbox?
fn is_new(t: &Connection, id: RowId) -> rusqlite::Result<bool> {
    t.prepare_cached(
        "SELECT m.source_uid >= b.history_below FROM message m JOIN mailbox b ON b.id = m.mailbox_id WHERE m.id = ?1",
    )?
    .query_row([id], |r| r.get(0))
}

/// Marks are for rows whose end nobody saw, or whose copies nobody looked at: the others are of no
/// more use.
pub(super) fn forget_marks(t: &Transaction<'_>) -> rusqlite::Result<()> {
    t.prepare_cached(
        "DELETE FROM mark_mailbox WHERE mark_id NOT IN (SELECT mark_id FROM message WHERE mark_id IS NOT NULL)",
    )?
    .execute([])?;
    t.prepare_cached(
        "DELETE FROM mark WHERE id NOT IN (SELECT mark_id FROM message WHERE mark_id IS NOT NULL)",
    )?
    .execute([])?;
    Ok(())
}
