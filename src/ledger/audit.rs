//! What an audit reads of the rows, and the one thing that it writes: rows that a person has queued again. Not for what
//! became of a message (`crate::audit`).

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::intent::forget_marks;
use super::matching::same_spot;
use super::open::{Ledger, Reach};
use super::row::{COLUMNS, Place, Proof, Row, Status, place_of, row, rows};
use super::value::{MailboxId, RowId, time, time_or_null};
use crate::error::Result;
use crate::folder::{FolderId, Spot};
use crate::message::{Sha256, Time, Uid, UidValidity, time_text};

/// A row as an audit sees it.
#[derive(Clone, Debug)]
pub struct AuditedRow {
    pub id: RowId,
    pub folder: FolderId,
    pub mailbox: MailboxId,
    pub uid: Uid,
    pub status: Status,
    /// Of a row that is delivered.
    pub proof: Option<Proof>,
    pub size: Option<u64>,
    pub internal_date: Time,
    pub delivered_at: Option<Time>,
    pub verified: bool,
    /// The copy differs from what was sent, or was never seen by IMAP.
    pub altered: bool,
    pub by_import: bool,
    /// The index has seen its number.
    pub indexed: bool,
    pub place: Option<Place>,
    /// The name of the place's mailbox.
    pub mailbox_there: Option<String>,
    pub gm_msgid: Option<u64>,
    /// Where it was to go.
    pub spot: Spot,
}

/// Where another row's copy lies, as far as that row knows.
#[derive(Clone, Debug)]
pub struct Voucher {
    pub row: RowId,
    pub place: Option<Place>,
    pub mailbox_there: Option<String>,
    pub gm_msgid: Option<u64>,
    /// The copy's bytes were compared with those of the row, and are the same but for line ends.
    pub compared: bool,
}

/// A row that is to be queued again, as it was when that was decided.
#[derive(Clone, Copy, Debug)]
pub struct Requeue {
    pub id: RowId,
    pub status: Status,
    pub delivered_at: Option<Time>,
}

/// What names a message of an index mailbox.
pub type IndexedName = (Uid, [u8; 16], Option<String>);

impl Ledger {
    /// Tells each row, those of one mailbox in the order of their UIDs.
    pub fn each_row(&self, tell: &mut dyn FnMut(AuditedRow)) -> Result<()> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT m.id, m.mailbox_id, b.folder_id, m.source_uid, m.status, m.proof, m.size, m.internal_date, m.delivered_at,
                        m.verified_at IS NOT NULL AS verified, m.altered, m.by_import, m.gmail_mailbox, m.gmail_uid_validity,
                        m.gmail_uid, m.gm_msgid, i.name AS mailbox_there, coalesce(d.spot, 'INBOX') AS spot,
                        m.proof = 'imported_by_api' AND EXISTS (SELECT 1 FROM gmail_message g WHERE g.gm_msgid = m.gm_msgid) AS indexed
                   FROM mailbox b CROSS JOIN message m ON m.mailbox_id = b.id
                   LEFT JOIN gmail_mailbox i ON i.id = m.gmail_mailbox
                   LEFT JOIN destination d ON d.id = m.destination_id
                  WHERE m.superseded_by IS NULL ORDER BY b.id, m.source_uid",
            )?;
            let mut found = query.query([])?;
            while let Some(r) = found.next()? {
                let proof: Option<String> = r.get("proof")?;
                let spot: String = r.get("spot")?;
                let indexed: Option<bool> = r.get("indexed")?;
                tell(AuditedRow {
                    id: r.get("id")?,
                    folder: r.get("folder_id")?,
                    mailbox: r.get("mailbox_id")?,
                    uid: r.get("source_uid")?,
                    status: r.get("status")?,
                    proof: proof.and_then(|name| Proof::named(&name)),
                    size: r.get("size")?,
                    internal_date: time(r, "internal_date")?,
                    delivered_at: time_or_null(r, "delivered_at")?,
                    verified: r.get("verified")?,
                    altered: r.get("altered")?,
                    by_import: r.get("by_import")?,
                    indexed: indexed.unwrap_or(false),
                    place: place_of(r)?,
                    mailbox_there: r.get("mailbox_there")?,
                    gm_msgid: r.get("gm_msgid")?,
                    spot: Spot::of(&spot),
                });
            }
            Ok(())
        })
    }

    /// The whole of a row.
    pub fn row(&self, id: RowId) -> Result<Option<Row>> {
        self.read(|db| Ok(rows(db, "m.id = ?1", params![id])?.pop()))
    }

    /// What the index knows of the names of a mailbox's messages at this UIDVALIDITY.
    pub fn each_index_name(
        &self,
        mailbox: &str,
        validity: UidValidity,
        tell: &mut dyn FnMut(IndexedName),
    ) -> Result<()> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT g.uid, g.message_id_hash, g.date_header FROM gmail_mailbox b CROSS JOIN gmail_message g ON g.mailbox_id = b.id
                  WHERE b.name = ?1 AND b.uid_validity = ?2 AND g.message_id_hash IS NOT NULL",
            )?;
            let mut found = query.query(params![mailbox, validity])?;
            while let Some(r) = found.next()? {
                tell(r.try_into()?);
            }
            Ok(())
        })
    }

    /// Where the copies of other delivered rows with these bytes lie. Where copies in another mailbox are others, only
    /// those of rows whose messages go where this one's goes.
    pub fn vouchers(&self, of: RowId, sha256: &Sha256, reach: Reach) -> Result<Vec<Voucher>> {
        let stands_for = match reach {
            Reach::Account => "1".into(),
            Reach::Mailbox => same_spot("?2"),
        };
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT m.id, m.gmail_mailbox, m.gmail_uid_validity, m.gmail_uid, m.gm_msgid, i.name AS mailbox_there,
                        m.proof = 'merged' AND m.verified_at IS NOT NULL AS compared
                   FROM message m LEFT JOIN gmail_mailbox i ON i.id = m.gmail_mailbox
                  WHERE m.sha256 = ?1 AND m.id <> ?2 AND m.superseded_by IS NULL AND m.status = 'delivered' AND {stands_for}"
            ))?
            .query_map(params![sha256, of], |r| {
                Ok(Voucher {
                    row: r.get("id")?,
                    place: place_of(r)?,
                    mailbox_there: r.get("mailbox_there")?,
                    gm_msgid: r.get("gm_msgid")?,
                    compared: r.get("compared")?,
                })
            })?
            .collect()
        })
    }

    /// What people are told of a row: its Message-ID, and its last error.
    pub fn row_words(&self, id: RowId) -> Result<(Option<String>, Option<String>)> {
        self.read(|db| {
            db.prepare_cached("SELECT message_id, last_error FROM message WHERE id = ?1")?
                .query_row([id], |r| r.try_into())
                .optional()
                .map(Option::unwrap_or_default)
        })
    }

    /// Delivered rows with these bytes.
    pub fn delivered_with(&self, sha256: &Sha256) -> Result<Vec<Row>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM message m WHERE m.sha256 = ?1 AND m.superseded_by IS NULL AND m.status = 'delivered'"
            ))?
            .query_map([sha256], row)?
            .collect()
        })
    }

    /// These rows wait again, as if they had never been tried: a run looks for each in the target, and sends what is not there.
    /// One of an older incarnation, which no run claims, is gone instead: it vouches for nobody then. Returns those that were as
    /// they were told to be; what has changed meanwhile is left alone.
    pub fn queue_again(&mut self, chosen: &[Requeue], now: Time) -> Result<Vec<RowId>> {
        let now = time_text(now);
        self.write(|t| {
            let mut queued = Vec::with_capacity(chosen.len());
            for one in chosen {
                if queue_one(t, one, &now)? {
                    queued.push(one.id);
                }
            }
            forget_marks(t)?;
            Ok(queued)
        })
    }
}

fn queue_one(t: &Transaction<'_>, one: &Requeue, now: &str) -> rusqlite::Result<bool> {
    let changed = t
        .prepare_cached(
            "UPDATE message SET status = iif((SELECT retired_at IS NULL FROM mailbox b WHERE b.id = message.mailbox_id), 'pending', 'gone'),
                    proof = NULL, delivered_at = NULL, verified_at = NULL, altered = 0, there_before = 0, unseen = 0,
                    canonical = NULL, mark_id = NULL, gmail_mailbox = NULL, gmail_uid_validity = NULL, gmail_uid = NULL, gm_msgid = NULL,
                    next_attempt_at = ?4, first_failed_at = NULL, fault = NULL, last_error = NULL, subject = NULL, sender = NULL,
                    refused_by = NULL, detour = NULL, import_refusals = 0,
                    removed_at = NULL, copied_to = NULL, kept_because = NULL, kept_until = NULL
              WHERE id = ?1 AND status = ?2 AND delivered_at IS ?3 AND status IN ('delivered', 'failed', 'skipped')
                AND superseded_by IS NULL AND removal_id IS NULL",
        )?
        .execute(params![one.id, one.status, one.delivered_at.map(time_text), now])?;
    if changed == 1 {
        t.prepare_cached("DELETE FROM label_owed WHERE message_id = ?1")?
            .execute([one.id])?;
    }
    Ok(changed == 1)
}
