//! What the predecessor knew: Message-IDs of messages that it had copied. Each vouches for one
//! message, and is used up in the transaction that delivers it.

use rusqlite::{CachedStatement, Transaction, params};

use super::open::Ledger;
use super::row::{Row, not_in_flight};
use super::value::RowId;
use crate::error::Result;
use crate::message::{MessageId, Time, time_text};

/// What became of ids that were to be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub new: u64,
    pub known: u64,
}

impl Ledger {
    /// Takes over Message-IDs, all or none. One that is known stays as it is, used up or not.
    pub fn import(&mut self, ids: &[MessageId], now: Time) -> Result<Imported> {
        // In the order of the table: in any other, many ids would keep the ledger locked for long.
        let mut sorted: Vec<&MessageId> = ids.iter().collect();
        sorted.sort_unstable_by_key(|id| id.hash);
        self.write(|t| {
            let mut insert = t.prepare_cached(
                "INSERT INTO imported (message_id_hash, message_id, imported_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (message_id_hash) DO NOTHING",
            )?;
            let mut done = Imported::default();
            for id in sorted {
                match insert.execute(params![id.hash, id.text, time_text(now)])? {
                    0 => done.known += 1,
                    _ => done.new += 1,
                }
            }
            Ok(done)
        })
    }

    /// Does an imported id vouch for this row? Only for the one with the lowest UID of all that bear
    /// it, whatever became of that one; and for no new mail while there may be an older one. The predecessor
    /// knew INBOX alone.
    pub fn imported_vouches(&self, row: RowId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM imported) AND EXISTS (SELECT 1 FROM message m
                                  JOIN mailbox b ON b.id = m.mailbox_id
                                  JOIN folder f ON f.id = b.folder_id AND f.name = 'INBOX'
                                  JOIN imported i ON i.message_id_hash = m.message_id_hash
                                 WHERE m.id = ?1 AND i.vouched_for IS NULL
                                   AND (b.history_done = 1 OR m.source_uid < b.history_below)
                                   AND NOT EXISTS (SELECT 1 FROM message o
                                                    WHERE o.message_id_hash = m.message_id_hash
                                                      AND o.mailbox_id = m.mailbox_id AND o.source_uid < m.source_uid))",
            )?
            .query_row([row], |r| r.get(0))
        })
    }

    /// Has no run looked at the source with it, and has nothing been imported?
    pub fn is_untouched(&self) -> Result<bool> {
        self.read(|db| {
            db.query_row(
                "SELECT NOT EXISTS (SELECT 1 FROM mailbox) AND NOT EXISTS (SELECT 1 FROM imported)",
                [],
                |r| r.get(0),
            )
        })
    }
}

/// Uses up the id that vouches for a row which is being delivered.
pub(super) fn use_up(t: &Transaction<'_>, row: RowId) -> rusqlite::Result<()> {
    let used = t
        .prepare_cached(
            "UPDATE imported SET vouched_for = ?1 WHERE vouched_for IS NULL
                AND message_id_hash = (SELECT message_id_hash FROM message WHERE id = ?1)",
        )?
        .execute([row])?;
    if used == 1 {
        Ok(())
    } else {
        Err(not_in_flight())
    }
}

/// Must another row go before one? Where an id may yet vouch for the row with the lowest UID,
/// that one is decided first: the others can then be compared with it.
pub(super) struct AnotherFirst<'t> {
    query: CachedStatement<'t>,
    now: String,
}

impl<'t> AnotherFirst<'t> {
    /// `due`: as in a claim, of `o`.
    pub(super) fn of(t: &'t Transaction<'_>, due: &str, now: Time) -> rusqlite::Result<Self> {
        let query = t.prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM imported WHERE message_id_hash = ?2 AND vouched_for IS NULL)
                AND EXISTS (SELECT 1 FROM message o WHERE o.message_id_hash = ?2 AND o.mailbox_id = ?3
                               AND o.source_uid < ?4 AND o.status = 'pending' AND {due})"
        ))?;
        let now = time_text(now);
        Ok(AnotherFirst { query, now })
    }

    pub(super) fn than(&mut self, row: &Row) -> rusqlite::Result<bool> {
        let Some(id) = &row.about.message_id else {
            return Ok(false);
        };
        let args = params![self.now, id.hash, row.mailbox_id, row.about.uid];
        self.query.query_row(args, |r| r.get(0))
    }
}
