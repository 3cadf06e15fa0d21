//! What becomes of delivered messages at the source: what may be removed, what was about to be done, what came of it. Not
//! for whether a message may be removed, nor for doing it (`engine::removal`).

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, Row as SqlRow, Transaction, params};

use super::matching::same_spot;
use super::open::{Ledger, Reach};
use super::pace::Count;
use super::removable::Removable;
use super::row::{COLUMNS, Row, place_of, row};
use super::value::{MailboxId, RemovalId, RowId, time};
use crate::error::Result;
use crate::message::{Time, Uid, UidValidity, time_text};

/// How messages are taken away at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalWay {
    /// Marked as deleted, and expunged.
    Delete,
    /// By one command.
    Move,
    /// Into another mailbox besides: the first half of a move.
    Copy,
}

/// A mailbox of the source that messages are moved into, and where it stood before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTo {
    /// On the wire.
    pub mailbox: String,
    pub uid_validity: UidValidity,
    pub uid_next: u32,
}

/// What was about to be done, and nobody has looked what came of it.
#[derive(Clone, Debug)]
pub struct OpenRemoval {
    pub id: RemovalId,
    pub way: RemovalWay,
    pub begun_at: Time,
    pub moved_to: Option<MovedTo>,
    pub rows: Vec<BeingRemoved>,
}

/// A message of those, and the mailbox that it lies in.
#[derive(Clone, Debug)]
pub struct BeingRemoved {
    pub row: Row,
    /// On the wire.
    pub mailbox: String,
    pub uid_validity: UidValidity,
    /// Its UID means something else by now.
    pub retired: bool,
}

/// What came of it for one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalEnd {
    Removed,
    /// The mailbox that it is moved into has it, and so has the one that it lies in.
    Copied,
    /// It is there as before.
    Kept {
        why: String,
        until: Time,
    },
}

/// What `after_delivery` says, as the last run knew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub wanted: String,
    pub begins_at: Time,
}

/// What `after_delivery` has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    pub wish: Option<Wish>,
    pub removed: u64,
}

/// Rows that are looked at in one step.
const STEP: i64 = 2000;

impl RemovalWay {
    fn name(self) -> &'static str {
        match self {
            RemovalWay::Delete => "delete",
            RemovalWay::Move => "move",
            RemovalWay::Copy => "copy",
        }
    }
}

impl FromSql for RemovalWay {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<RemovalWay> {
        let name = value.as_str()?;
        let all = [RemovalWay::Delete, RemovalWay::Move, RemovalWay::Copy];
        let mut known = all.into_iter().filter(|known| known.name() == name);
        known.next().ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for RemovalWay {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

/// What a [`Removable`] is read from, besides `COLUMNS`.
const FACTS: &str = "m.gmail_mailbox, m.gmail_uid_validity, m.gmail_uid, m.proof, m.verified_at IS NOT NULL AS looked_at, m.altered, m.copied_to,
    (SELECT d.spot IN ('\\Junk', '\\Trash') FROM destination d WHERE d.id = m.destination_id) AS thrown_away,
    EXISTS (SELECT 1 FROM label_owed o WHERE o.message_id = m.id) AS owes_labels";

impl Ledger {
    /// Takes note of what `after_delivery` says now; None: nothing is to be removed. Returns from when on something is:
    /// `begins` where it says something else than before.
    pub fn note_after_delivery(
        &mut self,
        wanted: Option<&str>,
        now: Time,
        begins: Time,
    ) -> Result<Option<Time>> {
        match (wanted, self.removals()?.wish) {
            (None, None) => return Ok(None),
            (Some(wanted), Some(wish)) if *wanted == wish.wanted => {
                return Ok(Some(wish.begins_at));
            }
            _ => {}
        }
        self.write(|t| {
            t.execute("DELETE FROM after_delivery", [])?;
            if let Some(wanted) = wanted {
                t.execute(
                    "INSERT INTO after_delivery (id, wanted, since, begins_at) VALUES (1, ?1, ?2, ?3)",
                    params![wanted, time_text(now), time_text(begins)],
                )?;
            }
            Ok(())
        })?;
        Ok(wanted.map(|_| begins))
    }

    /// What is to be removed, and what was so far.
    pub fn removals(&self) -> Result<Removals> {
        self.read(|db| {
            let wish = db
                .prepare_cached("SELECT wanted, begins_at FROM after_delivery")?
                .query_row([], |r| {
                    Ok(Wish {
                        wanted: r.get(0)?,
                        begins_at: time(r, 1)?,
                    })
                })
                .optional()?;
            let removed = db
                .prepare_cached("SELECT count(*) FROM message WHERE removed_at IS NOT NULL")?
                .query_row([], |r| r.get(0))?;
            Ok(Removals { wish, removed })
        })
    }

    /// Messages of a mailbox that were delivered until a moment and that the source has still, above this UID and in a step
    /// that holds up nobody; and the UID that it has come to. None: there are no more. Those of which it is known why they
    /// stay are passed over until they are to be looked at again.
    pub fn removable_from(
        &self,
        mailbox: MailboxId,
        above: u32,
        until: Time,
        now: Time,
    ) -> Result<Option<(Vec<Removable>, u32)>> {
        self.read(|db| {
            let end: Option<u32> = db
                .prepare_cached(
                    "SELECT max(source_uid) FROM (SELECT source_uid FROM message WHERE mailbox_id = ?1 AND source_uid > ?2
                                                   ORDER BY source_uid LIMIT ?3)",
                )?
                .query_row(params![mailbox, above, STEP], |r| r.get(0))?;
            let Some(end) = end else {
                return Ok(None);
            };
            let rows = db
                .prepare_cached(&format!(
                    "SELECT {COLUMNS}, {FACTS} FROM message m
                      WHERE m.mailbox_id = ?1 AND m.source_uid > ?2 AND m.source_uid <= ?3
                        AND m.status = 'delivered' AND m.superseded_by IS NULL AND m.removed_at IS NULL AND m.removal_id IS NULL
                        AND m.delivered_at <= ?4 AND (m.kept_until IS NULL OR m.kept_until <= ?5)
                      ORDER BY m.source_uid"
                ))?
                .query_map(
                    params![mailbox, above, end, time_text(until), time_text(now)],
                    removable,
                )?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Some((rows, end)))
        })
    }

    /// How many messages, and bytes of them, would be removed of what was delivered until a moment, as far as the ledger
    /// tells: source and target are not asked.
    pub fn would_be_removed(&self, until: Time, now: Time) -> Result<Count> {
        let mut count = Count::default();
        for folder in self.folders()? {
            let Some(mailbox) = self.mailbox(folder.id)? else {
                continue;
            };
            let mut above = 0;
            while let Some((rows, end)) = self.removable_from(mailbox.id, above, until, now)? {
                above = end;
                for one in rows.iter().filter(|one| one.may_go()) {
                    count.messages += 1;
                    count.bytes += one.row.about.size.unwrap_or(0);
                }
            }
        }
        Ok(count)
    }

    /// A row with the bytes of this one that was delivered by itself and whose copy can stand for it.
    pub fn voucher(&self, of: &Row) -> Result<Option<Removable>> {
        let Some(sha256) = of.sha256 else {
            return Ok(None);
        };
        let stands_for = match self.reach {
            Reach::Account => "1".into(),
            Reach::Mailbox => same_spot("?2"),
        };
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS}, {FACTS} FROM message m INDEXED BY message_by_sha256
                  WHERE m.sha256 = ?1 AND m.id <> ?2 AND {stands_for} AND m.superseded_by IS NULL AND m.status = 'delivered'
                    AND m.proof IN ('appended', 'imported_by_api', 'merged') AND m.verified_at IS NOT NULL AND m.altered = 0
                  ORDER BY thrown_away, m.id LIMIT 1"
            ))?
            .query_row(params![sha256, of.id], removable)
            .optional()
        })
    }

    /// Writes down what is about to be done with these messages, as far as they are delivered still and nothing else is done
    /// with them: with those alone that it returns. None where there is none.
    pub fn begin_removal(
        &mut self,
        rows: &[RowId],
        way: RemovalWay,
        moved_to: Option<&MovedTo>,
        now: Time,
    ) -> Result<Option<(RemovalId, Vec<RowId>)>> {
        self.write(|t| {
            let mut taken = Vec::with_capacity(rows.len());
            t.prepare_cached(
                "INSERT INTO removal (way, begun_at, moved_to, uid_validity, uid_next) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                way,
                time_text(now),
                moved_to.map(|to| &to.mailbox),
                moved_to.map(|to| to.uid_validity),
                moved_to.map(|to| to.uid_next),
            ])?;
            let id = RemovalId(t.last_insert_rowid());
            for row in rows {
                let begun = t
                    .prepare_cached(
                        "UPDATE message SET removal_id = ?2, kept_because = NULL, kept_until = NULL
                          WHERE id = ?1 AND status = 'delivered' AND superseded_by IS NULL AND removed_at IS NULL AND removal_id IS NULL",
                    )?
                    .execute(params![row, id])?;
                if begun == 1 {
                    taken.push(*row);
                }
            }
            if taken.is_empty() {
                t.prepare_cached("DELETE FROM removal WHERE id = ?1")?
                    .execute([id])?;
                return Ok(None);
            }
            Ok(Some((id, taken)))
        })
    }

    /// What was begun and not looked at afterwards, the oldest first.
    pub fn open_removals(&self) -> Result<Vec<OpenRemoval>> {
        self.read(|db| {
            let mut open = db
                .prepare_cached("SELECT id, way, begun_at, moved_to, uid_validity, uid_next FROM removal ORDER BY id")?
                .query_map([], open_removal)?
                .collect::<rusqlite::Result<Vec<OpenRemoval>>>()?;
            for removal in &mut open {
                removal.rows = db
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS}, b.name AS lies_in, b.uid_validity AS lies_in_validity, b.retired_at IS NOT NULL AS retired
                           FROM message m JOIN mailbox b ON b.id = m.mailbox_id
                          WHERE m.removal_id = ?1 ORDER BY m.source_uid"
                    ))?
                    .query_map([removal.id], being_removed)?
                    .collect::<rusqlite::Result<_>>()?;
            }
            Ok(open)
        })
    }

    /// What came of it for these messages. What was begun is forgotten once that is known for all of them.
    pub fn end_removal(
        &mut self,
        id: RemovalId,
        ends: &[(RowId, RemovalEnd)],
        now: Time,
    ) -> Result<()> {
        self.write(|t| {
            for (row, end) in ends {
                let (removed, copied, kept) = match end {
                    RemovalEnd::Removed => (Some(now), false, None),
                    RemovalEnd::Copied => (None, true, None),
                    RemovalEnd::Kept { why, until } => (None, false, Some((why, until))),
                };
                t.prepare_cached(
                    "UPDATE message SET removal_id = NULL, removed_at = ?3,
                            copied_to = iif(?4, (SELECT moved_to FROM removal WHERE id = ?2), copied_to),
                            kept_because = ?5, kept_until = ?6
                      WHERE id = ?1 AND removal_id = ?2",
                )?
                .execute(params![
                    row,
                    id,
                    removed.map(time_text),
                    copied,
                    kept.map(|(why, _)| why),
                    kept.map(|(_, until)| time_text(*until)),
                ])?;
            }
            t.prepare_cached(
                "DELETE FROM removal WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE removal_id = ?1)",
            )?
            .execute([id])?;
            Ok(())
        })
    }

    /// Why these messages stay for now, each until a moment.
    pub fn keep_at_source(&mut self, kept: &[(RowId, String, Time)]) -> Result<()> {
        if kept.is_empty() {
            return Ok(());
        }
        self.write(|t| {
            kept.iter().try_for_each(|(row, why, until)| {
                t.prepare_cached(
                    "UPDATE message SET kept_because = ?2, kept_until = ?3 WHERE id = ?1 AND removal_id IS NULL",
                )?
                .execute(params![row, why, time_text(*until)])
                .map(|_| ())
            })
        })
    }

    /// Those of these UIDs, which must ascend, whose messages had been removed before a moment.
    pub fn removed_among(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
        before: Time,
    ) -> Result<Vec<Row>> {
        let (Some(first), Some(last)) = (uids.first(), uids.last()) else {
            return Ok(Vec::new());
        };
        let mut removed: Vec<Row> = self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM message m
                  WHERE m.mailbox_id = ?1 AND m.source_uid BETWEEN ?2 AND ?3 AND m.removed_at < ?4 ORDER BY m.source_uid"
            ))?
            .query_map(params![mailbox, first, last, time_text(before)], row)?
            .collect()
        })?;
        removed.retain(|row| uids.binary_search(&row.about.uid).is_ok());
        Ok(removed)
    }

    /// These messages, which had been removed, are there again, as when a source was restored from a backup.
    pub fn note_back(&mut self, mailbox: MailboxId, uids: &[Uid]) -> Result<()> {
        if uids.is_empty() {
            return Ok(());
        }
        self.write(|t| uids.iter().try_for_each(|uid| is_back(t, mailbox, *uid)))
    }
}

fn is_back(t: &Transaction<'_>, mailbox: MailboxId, uid: Uid) -> rusqlite::Result<()> {
    t.prepare_cached(
        "UPDATE message SET removed_at = NULL, copied_to = NULL WHERE mailbox_id = ?1 AND source_uid = ?2 AND removed_at IS NOT NULL",
    )?
    .execute(params![mailbox, uid])
    .map(|_| ())
}

fn removable(r: &SqlRow<'_>) -> rusqlite::Result<Removable> {
    Ok(Removable {
        row: row(r)?,
        proof: r.get("proof")?,
        looked_at: r.get("looked_at")?,
        altered: r.get("altered")?,
        // A message without a destination was recorded before there was a choice.
        thrown_away: r.get::<_, Option<bool>>("thrown_away")?.unwrap_or(false),
        owes_labels: r.get("owes_labels")?,
        copied_to: r.get("copied_to")?,
        place: place_of(r)?,
    })
}

fn open_removal(r: &SqlRow<'_>) -> rusqlite::Result<OpenRemoval> {
    let moved_to = (
        r.get("moved_to")?,
        r.get("uid_validity")?,
        r.get("uid_next")?,
    );
    Ok(OpenRemoval {
        id: r.get("id")?,
        way: r.get("way")?,
        begun_at: time(r, "begun_at")?,
        moved_to: match moved_to {
            (Some(mailbox), Some(uid_validity), Some(uid_next)) => Some(MovedTo {
                mailbox,
                uid_validity,
                uid_next,
            }),
            _ => None,
        },
        rows: Vec::new(),
    })
}

fn being_removed(r: &SqlRow<'_>) -> rusqlite::Result<BeingRemoved> {
    Ok(BeingRemoved {
        row: row(r)?,
        mailbox: r.get("lies_in")?,
        uid_validity: r.get("lies_in_validity")?,
        retired: r.get("retired")?,
    })
}
