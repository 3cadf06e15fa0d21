//! The target index: which messages the target holds, as far as it has been looked at.
//!
//! It is a mirror. Mail is deleted behind its back, so a hit counts only once it is confirmed.

use std::collections::HashSet;
use std::sync::LazyLock;

use rusqlite::{OptionalExtension, Row as SqlRow, params};

use super::open::Ledger;
use super::row::{LOOKED_AT, Place};
use super::value::{IndexId, time};
use crate::error::Result;
use crate::message::{Discovered, MessageId, Time, Uid, UidValidity, time_text};

/// `covered_since` of an index that has only looked at what came last: later than any date, since
/// mail may be dated in the future.
const NOTHING_COVERED: &str = "9999-12-31T23:59:59Z";

/// A message `g` of a mailbox `b` that vouches for no row, where it lies or under another label.
pub(super) const FREE: &str = "NOT EXISTS (SELECT 1 FROM message m WHERE m.gmail_mailbox = g.mailbox_id AND m.gmail_uid = g.uid
                                   AND m.gmail_uid_validity = b.uid_validity AND m.superseded_by IS NULL)
                AND NOT EXISTS (SELECT 1 FROM message m WHERE m.gm_msgid = g.gm_msgid AND m.superseded_by IS NULL)";

/// How far one mailbox of the target has been looked at.
#[derive(Clone, Debug)]
pub struct IndexMailbox {
    pub id: IndexId,
    pub name: String,
    pub uid_validity: UidValidity,
    /// Everything from here on is unknown.
    pub next_uid: u32,
    /// Messages with an older INTERNALDATE may be unknown; None: any but the newest may.
    pub covered_since: Option<Time>,
}

/// What named a message of an index mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    pub uid: Uid,
    pub message_id_hash: [u8; 16],
    pub date: Option<String>,
}

impl Ledger {
    /// The index of this mailbox at this UIDVALIDITY. A new one, and one whose UIDs have changed
    /// their meaning, begins empty: it knows what comes from `uid_next` on.
    pub fn index_mailbox(
        &mut self,
        name: &str,
        validity: UidValidity,
        uid_next: u32,
    ) -> Result<IndexMailbox> {
        // It is asked for with each message that is delivered, and nearly always as it was.
        if let Some(index) = self
            .index_known(name)?
            .filter(|i| i.uid_validity == validity)
        {
            return Ok(index);
        }
        self.write(|t| {
            let known: Option<(IndexId, UidValidity)> = t
                .query_row(
                    "SELECT id, uid_validity FROM gmail_mailbox WHERE name = ?1",
                    [name],
                    |r| r.try_into(),
                )
                .optional()?;
            match known {
                Some((_, v)) if v == validity => {}
                Some((id, _)) => {
                    t.execute("DELETE FROM gmail_message WHERE mailbox_id = ?1", [id])?;
                    t.execute(
                        "UPDATE gmail_mailbox SET uid_validity = ?2, next_uid = ?3, covered_since = ?4 WHERE id = ?1",
                        params![id, validity, uid_next, NOTHING_COVERED],
                    )?;
                }
                None => {
                    t.execute(
                        "INSERT INTO gmail_mailbox (name, uid_validity, next_uid, covered_since) VALUES (?1, ?2, ?3, ?4)",
                        params![name, validity, uid_next, NOTHING_COVERED],
                    )?;
                }
            }
            t.query_row(
                "SELECT id, name, uid_validity, next_uid, covered_since FROM gmail_mailbox WHERE name = ?1",
                [name],
                index_row,
            )
        })
    }

    /// The index of this mailbox as it was left, if there is one.
    pub fn index_known(&self, name: &str) -> Result<Option<IndexMailbox>> {
        self.read(|db| {
            db.prepare_cached("SELECT id, name, uid_validity, next_uid, covered_since FROM gmail_mailbox WHERE name = ?1")?
                .query_row([name], index_row)
                .optional()
        })
    }

    /// The number of an index mailbox that has been looked at.
    pub fn index_id(&self, name: &str) -> Result<Option<IndexId>> {
        self.read(|db| {
            db.prepare_cached("SELECT id FROM gmail_mailbox WHERE name = ?1")?
                .query_row([name], |r| r.get(0))
                .optional()
        })
    }

    /// The name of an index mailbox.
    pub fn index_name(&self, id: IndexId) -> Result<Option<String>> {
        self.read(|db| {
            db.prepare_cached("SELECT name FROM gmail_mailbox WHERE id = ?1")?
                .query_row([id], |r| r.get(0))
                .optional()
        })
    }

    /// The newest messages of an index mailbox that could be read, the small ones first.
    pub fn index_readable(&self, mailbox: IndexId) -> Result<Vec<Uid>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT uid FROM (SELECT uid, size FROM gmail_message
                                   WHERE mailbox_id = ?1 AND message_id_hash IS NOT NULL ORDER BY uid DESC LIMIT 20)
                  ORDER BY size",
            )?
            .query_map([mailbox], |r| r.get(0))?
            .collect()
        })
    }

    /// The messages of an index mailbox that have no name, or whose name was not told, and vouch for no
    /// row: their UIDs and sizes.
    pub fn index_sizes_of_nameless(&self, mailbox: IndexId) -> Result<Vec<(Uid, Option<u64>)>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT g.uid, g.size FROM gmail_message g JOIN gmail_mailbox b ON b.id = g.mailbox_id
                  WHERE g.mailbox_id = ?1 AND g.message_id_hash IS NULL AND {FREE} ORDER BY g.uid"
            ))?
            .query_map([mailbox], |r| r.try_into())?
            .collect()
        })
    }

    /// UIDVALIDITY of an index mailbox, and the UID below which all are that are known to be given: to
    /// messages that were seen, or by what the target told of deliveries that nobody has seen there yet.
    pub fn index_given(&self, name: &str) -> Result<Option<(UidValidity, u32)>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT b.uid_validity,
                        min(4294967295, max(b.next_uid, coalesce((SELECT max(m.gmail_uid) + 1 FROM message m
                                                                   WHERE m.gmail_mailbox = b.id AND m.gmail_uid >= b.next_uid
                                                                     AND m.gmail_uid_validity = b.uid_validity), 0)))
                   FROM gmail_mailbox b WHERE b.name = ?1",
            )?
            .query_row([name], |r| r.try_into())
            .optional()
        })
    }

    /// What named the messages of an index mailbox below a UID, the newest first: of as many as it saw, and
    /// of as many that were delivered there and looked at. Both may be known of one UID.
    pub fn index_witnesses(
        &self,
        index: &IndexMailbox,
        below: u32,
        count: usize,
    ) -> Result<Vec<Witness>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT * FROM (SELECT uid, message_id_hash, date_header FROM gmail_message
                                 WHERE mailbox_id = ?1 AND uid < ?3 AND message_id_hash IS NOT NULL
                                 ORDER BY uid DESC LIMIT ?4)
                 UNION
                 SELECT * FROM (SELECT gmail_uid, message_id_hash, date_header FROM message m
                                 WHERE gmail_mailbox = ?1 AND gmail_uid < ?3 AND gmail_uid_validity = ?2
                                   AND message_id_hash IS NOT NULL AND superseded_by IS NULL AND altered = 0
                                   AND {LOOKED_AT}
                                 ORDER BY gmail_uid DESC LIMIT ?4)
                 ORDER BY 1 DESC",
            ))?
            .query_map(
                params![index.id, index.uid_validity, below, count as u64],
                |r| {
                    Ok(Witness {
                        uid: r.get("uid")?,
                        message_id_hash: r.get("message_id_hash")?,
                        date: r.get("date_header")?,
                    })
                },
            )?
            .collect()
        })
    }

    /// The mailbox was put back to an earlier state, in which every UID from `from` on was still to be
    /// given: what is known of those means nothing any more, rows that are under way may lie there, and
    /// what had been deleted below may be there again.
    pub fn index_went_back(&mut self, index: &IndexMailbox, from: u32) -> Result<IndexMailbox> {
        self.write(|t| {
            let given_anew = params![index.id, from];
            t.execute("DELETE FROM gmail_message WHERE mailbox_id = ?1 AND uid >= ?2", given_anew)?;
            t.execute(
                "UPDATE mark_mailbox SET uid_next = min(uid_next, ?2) WHERE gmail_mailbox_id = ?1",
                given_anew,
            )?;
            t.execute(
                "UPDATE message SET gmail_mailbox = NULL, gmail_uid_validity = NULL, gmail_uid = NULL
                  WHERE gmail_mailbox = ?1 AND gmail_uid >= ?2 AND gmail_uid_validity = ?3",
                params![index.id, from, index.uid_validity],
            )?;
            t.execute(
                "UPDATE gmail_mailbox SET next_uid = min(next_uid, ?2), covered_since = ?3 WHERE id = ?1",
                params![index.id, from, NOTHING_COVERED],
            )?;
            t.query_row(
                "SELECT id, name, uid_validity, next_uid, covered_since FROM gmail_mailbox WHERE id = ?1",
                [index.id],
                index_row,
            )
        })
    }

    /// The messages of an index mailbox that have no name.
    pub fn index_nameless(&self, mailbox: IndexId) -> Result<HashSet<Uid>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT uid FROM gmail_message WHERE mailbox_id = ?1 AND message_id_hash IS NULL",
            )?
            .query_map([mailbox], |r| r.get(0))?
            .collect()
        })
    }

    /// Has the last message that is known of an index mailbox no name? Then it may be one that
    /// cannot be read.
    pub fn index_ends_nameless(&self, mailbox: IndexId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT message_id_hash IS NULL FROM gmail_message WHERE mailbox_id = ?1 ORDER BY uid DESC LIMIT 1",
            )?
            .query_row([mailbox], |r| r.get(0))
            .optional()
            .map(|nameless| nameless.unwrap_or(false))
        })
    }

    /// Adds what a look showed and moves the cursors, together. A UID does not change its meaning: a
    /// name that is known stays, also where it could not be read this time.
    pub fn index_record(&mut self, mailbox: &IndexMailbox, seen: &[Discovered]) -> Result<()> {
        self.write(|t| {
            let mut put = t.prepare_cached(
                "INSERT INTO gmail_message (mailbox_id, uid, message_id_hash, date_header, size, gm_msgid)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (mailbox_id, uid) DO UPDATE SET
                    date_header = iif(excluded.message_id_hash IS NULL, coalesce(date_header, excluded.date_header), excluded.date_header),
                    message_id_hash = coalesce(excluded.message_id_hash, message_id_hash),
                    size = coalesce(excluded.size, size), gm_msgid = coalesce(excluded.gm_msgid, gm_msgid)",
            )?;
            for m in seen {
                put.execute(params![
                    mailbox.id,
                    m.uid,
                    m.message_id.as_ref().map(|id| id.hash),
                    m.date,
                    m.size,
                    m.gm_msgid
                ])?;
            }
            t.prepare_cached("UPDATE gmail_mailbox SET next_uid = ?2, covered_since = ?3 WHERE id = ?1 AND uid_validity = ?4")?
                .execute(params![
                    mailbox.id,
                    mailbox.next_uid,
                    mailbox.covered_since.map_or(NOTHING_COVERED.into(), time_text),
                    mailbox.uid_validity
                ])?;
            Ok(())
        })
    }

    /// Messages of the target with this Message-ID and Date that vouch for no row yet.
    pub fn index_hits(&self, message_id: &MessageId, date: Option<&str>) -> Result<Vec<Place>> {
        static HITS: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT g.mailbox_id, b.uid_validity, g.uid, g.gm_msgid
                   FROM gmail_message g JOIN gmail_mailbox b ON b.id = g.mailbox_id
                  WHERE g.message_id_hash = ?1 AND g.date_header IS ?2 AND {FREE}
                  ORDER BY g.uid"
            )
        });
        self.read(|db| {
            db.prepare_cached(&HITS)?
                .query_map(params![message_id.hash, date], |r| {
                    Ok(Place {
                        mailbox: r.get("mailbox_id")?,
                        uid_validity: r.get("uid_validity")?,
                        uid: r.get("uid")?,
                        gm_msgid: r.get("gm_msgid")?,
                    })
                })?
                .collect()
        })
    }

    /// These messages are no longer where the index had them.
    pub fn index_forget(&mut self, gone: &[Place]) -> Result<()> {
        self.write(|t| {
            let mut forget =
                t.prepare_cached("DELETE FROM gmail_message WHERE mailbox_id = ?1 AND uid = ?2")?;
            for place in gone {
                forget.execute(params![place.mailbox, place.uid])?;
            }
            Ok(())
        })
    }
}

fn index_row(r: &SqlRow<'_>) -> rusqlite::Result<IndexMailbox> {
    // The index is a mirror, and filled again where it is not known how far back it reaches.
    let covered = time(r, "covered_since").ok();
    Ok(IndexMailbox {
        id: r.get("id")?,
        name: r.get("name")?,
        uid_validity: r.get("uid_validity")?,
        next_uid: r.get("next_uid")?,
        covered_since: covered.filter(|t| time_text(*t) != NOTHING_COVERED),
    })
}
