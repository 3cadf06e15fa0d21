//! Mails of our own that tell a person which messages failed: each failure in one of them, and when each was made. That a
//! message failed is written by the schema itself (migrations/V7__notices.sql). Not for what they say
//! (`engine::notice_mail`), nor for sending them (`engine::notices`).

use rusqlite::{OptionalExtension, params};

use super::budget::{BY_APPEND, Room, book};
use super::open::Ledger;
use super::report::FailedRow;
use super::value::{NoticeId, time, time_or_null};
use crate::error::Result;
use crate::message::{MessageId, Time, time_text};

/// How every Message-ID of such a mail begins. The schema knows it too: such a mail is never told of by another one.
pub const NOTICE_MAIL_ID: &str = "<imap-to-gmail-notice.";

/// A message that failed and of which nobody was told.
#[derive(Clone, Debug)]
pub struct Failure {
    pub row: FailedRow,
    /// Its mailbox, as people know it.
    pub mailbox: Option<String>,
}

/// A mail that is still to get there.
#[derive(Clone, Debug)]
pub struct Notice {
    pub id: NoticeId,
    pub made_at: Time,
    pub mail: Vec<u8>,
    /// It was begun to be sent, and nobody saw how that ended.
    pub begun: bool,
    pub attempts: u32,
    pub first_refused_at: Option<Time>,
    pub next_attempt_at: Time,
}

/// May a mail be sent now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeStep {
    /// It may, and its bytes are booked.
    Send,
    /// The day's bytes are used up.
    NoRoom,
    /// None of its messages is a failed one any more.
    Withdrawn,
}

/// How an attempt at such a mail ended.
#[derive(Clone, Debug)]
pub enum NoticeEnd {
    /// The target has it, or had it.
    Told,
    /// The target certainly does not have it; tried again at a time. `first`: from when on it counts as refused.
    Later {
        at: Time,
        first: Option<Time>,
        error: Option<String>,
    },
    /// The target will never take it.
    GivenUp(String),
}

impl Ledger {
    /// When the first of the failures happened of which nobody was told.
    pub fn untold_since(&self) -> Result<Option<Time>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT failed_at FROM failure WHERE notice_id IS NULL ORDER BY id LIMIT 1",
            )?
            .query_row([], |r| time(r, 0))
            .optional()
        })
    }

    /// When the mails of this kind were made, of those between these moments: the newest first, so many at the most.
    pub fn notices_made(
        &self,
        digest: bool,
        since: Time,
        now: Time,
        most: usize,
    ) -> Result<Vec<Time>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT made_at FROM notice WHERE digest = ?1 AND made_at > ?2 AND made_at <= ?3 ORDER BY made_at DESC LIMIT ?4",
            )?
            .query_map(params![digest, time_text(since), time_text(now), most as i64], |r| time(r, 0))?
            .collect()
        })
    }

    /// Makes a mail of the oldest failure of which nobody was told, or with `digest` of all of them. `write` has its words, from
    /// the first `shown` of them and their number. None where there is nothing to tell.
    pub fn make_notice(
        &mut self,
        mail_id: &MessageId,
        digest: bool,
        shown: usize,
        now: Time,
        write: impl FnOnce(&[Failure], u64) -> Vec<u8>,
    ) -> Result<Option<Notice>> {
        let made_at = now;
        let now = time_text(now);
        self.write(|t| {
            let some: Vec<(i64, Failure)> = t
                .prepare_cached(
                    "SELECT x.id AS failure, m.id, m.internal_date, m.size, m.sender, m.subject, m.message_id, m.last_error, f.name
                       FROM failure x CROSS JOIN message m ON m.id = x.message_id
                      CROSS JOIN mailbox b ON b.id = m.mailbox_id LEFT JOIN folder f ON f.id = b.folder_id
                      WHERE x.notice_id IS NULL ORDER BY x.id LIMIT ?1",
                )?
                .query_map([if digest { shown as i64 } else { 1 }], |r| {
                    let row = FailedRow {
                        id: r.get("id")?,
                        internal_date: time(r, "internal_date")?,
                        size: r.get("size")?,
                        sender: r.get("sender")?,
                        subject: r.get("subject")?,
                        message_id: r.get("message_id")?,
                        last_error: r.get::<_, Option<String>>("last_error")?.unwrap_or_default(),
                    };
                    let mailbox = r.get("name")?;
                    Ok((r.get("failure")?, Failure { row, mailbox }))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let (numbers, failures): (Vec<i64>, Vec<Failure>) = some.into_iter().unzip();
            let Some(first) = numbers.first() else {
                return Ok(None);
            };
            let last = if digest { i64::MAX } else { *first };
            let all: u64 = t
                .prepare_cached("SELECT count(*) FROM failure WHERE notice_id IS NULL AND id <= ?1")?
                .query_row([last], |r| r.get(0))?;
            let mail = write(&failures, all);
            t.prepare_cached(
                "INSERT INTO notice (digest, mail_id, mail_id_hash, made_at, mail, next_attempt_at) VALUES (?1, ?2, ?3, ?4, ?5, ?4)",
            )?
            .execute(params![digest, mail_id.text, mail_id.hash, now, mail])?;
            let id = NoticeId(t.last_insert_rowid());
            t.prepare_cached("UPDATE failure SET notice_id = ?1 WHERE notice_id IS NULL AND id <= ?2")?
                .execute(params![id, last])?;
            Ok(Some(Notice {
                id,
                made_at,
                mail,
                begun: false,
                attempts: 0,
                first_refused_at: None,
                next_attempt_at: made_at,
            }))
        })
    }

    /// The mails that are still to get there, or to be looked for.
    pub fn open_notices(&self) -> Result<Vec<Notice>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT id, made_at, mail, status = 'sending' AS begun, attempt, first_refused_at, next_attempt_at FROM notice
                  WHERE status IN ('waiting', 'sending') ORDER BY id",
            )?
            .query_map([], |r| {
                Ok(Notice {
                    id: r.get("id")?,
                    made_at: time(r, "made_at")?,
                    mail: r.get("mail")?,
                    begun: r.get("begun")?,
                    attempts: r.get("attempt")?,
                    first_refused_at: time_or_null(r, "first_refused_at")?,
                    next_attempt_at: time(r, "next_attempt_at")?,
                })
            })?
            .collect()
        })
    }

    /// Puts on disk that this mail is about to be sent, before its first byte is: from now on it may be there. With `limit`
    /// no more than so many bytes are sent in any 24 hours; where there is no room now it waits until `later`.
    pub fn begin_notice(
        &mut self,
        notice: &Notice,
        limit: Option<u64>,
        now: Time,
        later: Time,
    ) -> Result<NoticeStep> {
        let size = notice.mail.len() as u64;
        self.write(|t| {
            let stands: bool = t
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM failure x CROSS JOIN message m ON m.id = x.message_id
                                     WHERE x.notice_id = ?1 AND m.status = 'failed')",
                )?
                .query_row([notice.id], |r| r.get(0))?;
            if !stands {
                t.prepare_cached("UPDATE notice SET status = 'withdrawn', mail = NULL, settled_at = ?2 WHERE id = ?1")?
                    .execute(params![notice.id, time_text(now)])?;
                return Ok(NoticeStep::Withdrawn);
            }
            if let Some(limit) = limit
                && !Room::of(t, BY_APPEND, limit, now)?.takes(0, size, true)
            {
                t.prepare_cached("UPDATE notice SET next_attempt_at = ?2 WHERE id = ?1")?
                    .execute(params![notice.id, time_text(later)])?;
                return Ok(NoticeStep::NoRoom);
            }
            book(t, BY_APPEND, size, now)?;
            t.prepare_cached("UPDATE notice SET status = 'sending', attempt = attempt + 1 WHERE id = ?1")?
                .execute([notice.id])?;
            Ok(NoticeStep::Send)
        })
    }

    /// Does the index know a message with the Message-ID of this mail? It has no other than it.
    pub fn notice_is_there(&self, notice: NoticeId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM gmail_message
                                 WHERE message_id_hash = (SELECT mail_id_hash FROM notice WHERE id = ?1))",
            )?
            .query_row([notice], |r| r.get(0))
        })
    }

    /// Ends an attempt at a mail.
    pub fn settle_notice(&mut self, notice: NoticeId, end: &NoticeEnd, now: Time) -> Result<()> {
        let now = time_text(now);
        self.write(|t| {
            match end {
                NoticeEnd::Told => t
                    .prepare_cached(
                        "UPDATE notice SET status = 'told', mail = NULL, settled_at = ?2, last_error = NULL WHERE id = ?1",
                    )?
                    .execute(params![notice, now])?,
                NoticeEnd::Later { at, first, error } => t
                    .prepare_cached(
                        "UPDATE notice SET status = 'waiting', next_attempt_at = ?2, first_refused_at = ?3, last_error = ?4 WHERE id = ?1",
                    )?
                    .execute(params![notice, time_text(*at), first.map(time_text), error])?,
                NoticeEnd::GivenUp(error) => t
                    .prepare_cached(
                        "UPDATE notice SET status = 'given_up', mail = NULL, settled_at = ?2, last_error = ?3 WHERE id = ?1",
                    )?
                    .execute(params![notice, now, error])?,
            };
            Ok(())
        })
    }

    /// Nobody wants to be told: neither of what failed so far, nor by the mails that are not there yet.
    pub fn tell_nobody(&mut self, now: Time) -> Result<()> {
        if self.untold_since()?.is_none() && self.open_notices()?.is_empty() {
            return Ok(());
        }
        self.write(|t| {
            t.prepare_cached("DELETE FROM failure WHERE notice_id IS NULL")?
                .execute([])?;
            t.prepare_cached(
                "UPDATE notice SET status = 'withdrawn', mail = NULL, settled_at = ?1 WHERE status IN ('waiting', 'sending')",
            )?
            .execute([time_text(now)])?;
            Ok(())
        })
    }
}
