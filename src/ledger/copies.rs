//! Whose copy is it? What the ledger knows of rows that share a name or bytes, of messages of the target
//! that vouch for rows already, and of copies that were sent and are still to be looked at.

use rusqlite::params;

use super::Ledger;
use super::deliver::{
    COLUMNS, Place, Row, Twin, Verdict, Verification, forget_marks, place_of, row,
};
use crate::error::Result;
use crate::message::{Time, parse_time, time_text};

impl Ledger {
    /// Another row with these bytes that decides what becomes of this one.
    pub fn twin(&self, id: i64, sha256: &[u8; 32]) -> Result<Option<Twin>> {
        const BEFORE: &str = "m.sha256 = ?1 AND m.id <> ?2 AND m.superseded_by IS NULL
            AND m.mailbox_id IN (SELECT id FROM mailbox WHERE retired_at IS NOT NULL)";
        self.read(|db| {
            let (before, delivered): (Option<i64>, bool) = db
                .prepare_cached(&format!(
                    "SELECT coalesce((SELECT m.id FROM message m WHERE {BEFORE} AND m.status = 'delivered' LIMIT 1),
                                     (SELECT m.id FROM message m WHERE {BEFORE} AND m.status IN ('failed', 'skipped') LIMIT 1)),
                            EXISTS (SELECT 1 FROM message m WHERE m.sha256 = ?1 AND m.id <> ?2 AND m.superseded_by IS NULL
                                                              AND m.status = 'delivered')"
                ))?
                .query_row(params![sha256, id], |r| Ok((r.get(0)?, r.get(1)?)))?;
            Ok(match before {
                Some(before) => Some(Twin::Before(before)),
                None => delivered.then_some(Twin::Delivered),
            })
        })
    }

    /// Are these the bytes of another row that the target has, or may have?
    pub fn has_bytes_of_another(&self, id: i64, sha256: &[u8; 32]) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message WHERE sha256 = ?1 AND id <> ?2 AND superseded_by IS NULL
                                   AND status IN ('delivered', 'in_flight', 'failed', 'skipped'))",
            )?
            .query_row(params![sha256, id], |r| r.get(0))
        })
    }

    /// Is there another row with the Message-ID and Date of this one whose message is not known to be
    /// gone? It may be the one that a message in the target is a copy of.
    pub fn has_rivals(&self, row: &Row) -> Result<bool> {
        let Some(message_id) = &row.about.message_id else {
            return Ok(false);
        };
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message m WHERE m.message_id_hash = ?1 AND m.date_header IS ?2 AND m.id <> ?3
                                   AND m.superseded_by IS NULL AND m.status <> 'gone')",
            )?
            .query_row(params![message_id.hash, row.about.date, row.id], |r| r.get(0))
        })
    }

    /// Of this row's rivals, those that are delivered and whose bytes nobody has hashed: a message
    /// with their Message-ID and Date may be theirs or another one.
    pub fn unhashed_rivals(&self, of: &Row) -> Result<Vec<(Row, Option<Place>)>> {
        let Some(message_id) = &of.about.message_id else {
            return Ok(Vec::new());
        };
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS}, m.gmail_mailbox, m.gmail_uid_validity, m.gmail_uid, m.gm_msgid FROM message m
                  WHERE m.message_id_hash = ?1 AND m.date_header IS ?2 AND m.id <> ?3 AND m.superseded_by IS NULL
                    AND m.status = 'delivered' AND m.sha256 IS NULL ORDER BY m.id"
            ))?
            .query_map(params![message_id.hash, of.about.date, of.id], |r| {
                Ok((row(r)?, place_of(r, 17)?))
            })?
            .collect()
        })
    }

    /// Does a message of the target vouch for a row already, where it lies or under another label?
    pub fn vouches(&self, place: Place) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message WHERE gmail_mailbox = ?1 AND gmail_uid = ?3 AND gmail_uid_validity = ?2
                                   AND superseded_by IS NULL)
                     OR EXISTS (SELECT 1 FROM message WHERE gm_msgid = ?4 AND superseded_by IS NULL)",
            )?
            .query_row(
                params![place.mailbox, place.uid_validity.0, place.uid.0, place.gm_msgid],
                |r| r.get(0),
            )
        })
    }

    /// Was the message with this X-GM-MSGID in the target before this row was sent: does it belong
    /// to another row, or did the index know it below the row's mark?
    pub fn known_before_mark(&self, row: i64, gm_msgid: u64) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message WHERE gm_msgid = ?2 AND id <> ?1 AND superseded_by IS NULL)
                     OR EXISTS (SELECT 1 FROM message m
                                  JOIN mark_mailbox k ON k.mark_id = m.mark_id
                                  JOIN gmail_message g ON g.mailbox_id = k.gmail_mailbox_id AND g.uid < k.uid_next
                                 WHERE m.id = ?1 AND g.gm_msgid = ?2)",
            )?
            .query_row(params![row, gm_msgid], |r| r.get(0))
        })
    }

    /// Rows whose copies have not been looked at since their APPEND was answered OK.
    pub fn unverified(&self) -> Result<Vec<Verification>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT gmail_mailbox, gmail_uid_validity, gmail_uid, gm_msgid, id, size, sha256, canonical, delivered_at FROM message
                  WHERE proof = 'appended' AND verified_at IS NULL",
            )?
            .query_map([], |r| {
                Ok(Verification {
                    place: place_of(r, 0)?,
                    id: r.get(4)?,
                    size: r.get(5)?,
                    sha256: r.get(6)?,
                    canonical: r.get(7)?,
                    delivered_at: parse_time(&r.get::<_, String>(8)?),
                })
            })?
            .collect()
        })
    }

    /// Writes down what looking at a copy showed.
    pub fn verified(&mut self, looked_at: &[(i64, Verdict)], now: Time) -> Result<()> {
        self.write(|t| {
            let mut good = t.prepare_cached(
                "UPDATE message SET verified_at = ?2, altered = max(altered, ?3), gm_msgid = coalesce(?4, gm_msgid),
                        proof = iif(?5, 'merged', proof), canonical = NULL, mark_id = NULL
                  WHERE id = ?1 AND status = 'delivered'",
            )?;
            let mut other = t.prepare_cached(
                "UPDATE message SET status = 'failed', proof = NULL, delivered_at = NULL, fault = ?3, last_error = ?4,
                        first_failed_at = ?2, gmail_mailbox = NULL, gmail_uid_validity = NULL, gmail_uid = NULL,
                        gm_msgid = NULL, canonical = NULL, mark_id = NULL, sender = ?5, subject = ?6
                  WHERE id = ?1 AND status = 'delivered'",
            )?;
            for (id, verdict) in looked_at {
                match verdict {
                    Verdict::Ours { altered, merged, gm_msgid } => {
                        good.execute(params![id, time_text(now), altered, gm_msgid, merged])?
                    }
                    Verdict::NotOurs { error, sender, subject } => other.execute(params![
                        id,
                        time_text(now),
                        error.fault.name(),
                        error.message,
                        sender,
                        subject
                    ])?,
                };
            }
            forget_marks(t)
        })
    }
}
