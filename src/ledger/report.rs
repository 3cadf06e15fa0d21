//! What there is, in figures and for people: counts, what failed and why, what is put off. Not for words.

use rusqlite::{Connection, OptionalExtension, params};

use super::by_import::IN_SPAM;
use super::heartbeat::{Part, parts};
use super::open::Ledger;
use super::row::{Proof, Status};
use super::value::{RowId, time, time_or_null};
use crate::error::Result;
use crate::message::{Time, time_text};

/// What there is, and what goes on.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub backlog: Backlog,
    pub in_flight: u64,
    pub delivered: u64,
    /// Of these, since the moment that was asked for.
    pub delivered_since: u64,
    /// Of what was delivered, what was imported and lies in Gmail's Spam.
    pub in_spam: u64,
    pub failed: u64,
    pub skipped: u64,
    pub gone: u64,
    /// When the last message was sent.
    pub last_delivered_at: Option<Time>,
    /// When the last message was found to be in the target, sent or not.
    pub last_progress_at: Option<Time>,
    pub parts: Vec<Part>,
}

/// What is pending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub messages: u64,
    pub bytes: u64,
    /// Of these, what is not due yet.
    pub later: u64,
    pub later_bytes: u64,
    /// When the first of those is due.
    pub next_attempt_at: Option<Time>,
    /// When the longest-waiting message was discovered.
    pub oldest: Option<Time>,
}

/// Why messages failed.
#[derive(Clone, Debug, Default)]
pub struct Reasons {
    /// The commonest, and how many messages each explains.
    pub commonest: Vec<(String, u64)>,
    /// How many there are in all.
    pub all: u64,
}

/// A message that was given up.
#[derive(Clone, Debug)]
pub struct FailedRow {
    pub id: RowId,
    pub internal_date: Time,
    pub size: Option<u64>,
    pub sender: Option<String>,
    pub subject: Option<String>,
    pub message_id: Option<String>,
    pub last_error: String,
}

/// A message that was refused and waits for its next try.
#[derive(Clone, Debug)]
pub struct PutOffRow {
    pub id: RowId,
    pub internal_date: Time,
    pub size: Option<u64>,
    pub message_id: Option<String>,
    pub attempts: u64,
    pub next_attempt_at: Time,
    pub last_error: String,
}

/// As many as a person could want to see; a reason that more of them have is one of the source's or
/// the target's.
const PUT_OFF_MAX: usize = 10_000;

impl Ledger {
    /// Counts and times for `status`, all of one moment. None of it reads the rows themselves, the
    /// failed ones apart: `status` is asked often, and of ledgers with a million rows.
    pub fn summary(&self, since: Time, now: Time) -> Result<Summary> {
        self.read(|db| {
            let db = db.unchecked_transaction()?;
            let count = |rows: &str| {
                db.query_row(&format!("SELECT count(*) FROM message WHERE {rows}"), [], |r| r.get(0))
            };
            let mut s = Summary {
                backlog: backlog(&db, now)?,
                in_flight: count("status = 'in_flight'")?,
                delivered: count("status = 'delivered' AND superseded_by IS NULL")?,
                failed: count("status = 'failed' AND superseded_by IS NULL")?,
                in_spam: db.query_row(&format!("SELECT count(*) FROM {IN_SPAM}"), [], |r| r.get(0))?,
                parts: parts(&db)?,
                ..Summary::default()
            };
            let mut given_up = db.prepare_cached(
                "SELECT status, count(*) FROM message WHERE status IN ('skipped', 'gone') AND superseded_by IS NULL GROUP BY status",
            )?;
            let mut given_up = given_up.query([])?;
            while let Some(r) = given_up.next()? {
                match r.get(0)? {
                    Status::Skipped => s.skipped = r.get(1)?,
                    _ => s.gone = r.get(1)?,
                }
            }
            s.delivered_since = db.query_row(
                "SELECT count(*) FROM message WHERE status = 'delivered' AND superseded_by IS NULL
                    AND proof IN (SELECT name FROM proof) AND delivered_at >= ?1",
                [time_text(since)],
                |r| r.get(0),
            )?;
            for proof in Proof::ALL {
                let last = db
                    .query_row(
                        "SELECT delivered_at FROM message WHERE status = 'delivered' AND superseded_by IS NULL AND proof = ?1
                          ORDER BY delivered_at DESC LIMIT 1",
                        [proof],
                        |r| time(r, 0),
                    )
                    .optional()?;
                s.last_progress_at = s.last_progress_at.max(last);
                if Proof::SENT.contains(&proof) {
                    s.last_delivered_at = s.last_delivered_at.max(last);
                }
            }
            Ok(s)
        })
    }

    /// How many messages were sent to the target in each of these spans, from the first moment of each up to its second. What
    /// was found there, or came with equal bytes, was not sent.
    pub fn sent_within(&self, spans: &[(Time, Time)]) -> Result<Vec<u64>> {
        self.read(|db| {
            let db = db.unchecked_transaction()?;
            let mut query = db.prepare_cached(
                "SELECT count(*) FROM message WHERE status = 'delivered' AND superseded_by IS NULL
                    AND proof IN (?1, ?2) AND delivered_at >= ?3 AND delivered_at < ?4",
            )?;
            let sent = |(from, to): &(Time, Time)| {
                let [appended, imported] = Proof::SENT;
                let span = params![appended, imported, time_text(*from), time_text(*to)];
                query.query_row(span, |r| r.get(0))
            };
            spans.iter().map(sent).collect()
        })
    }

    /// What is pending.
    pub fn backlog(&self, now: Time) -> Result<Backlog> {
        self.read(|db| backlog(db, now))
    }

    /// Why messages failed: the `most` commonest reasons.
    pub fn reasons(&self, most: usize) -> Result<Reasons> {
        self.read(|db| {
            let mut reasons = Reasons::default();
            let mut query = db.prepare_cached(
                "SELECT last_error, count(*) AS messages, count(*) OVER () AS reasons FROM message
                  WHERE status = 'failed' AND superseded_by IS NULL
                  GROUP BY last_error ORDER BY messages DESC, max(id) DESC LIMIT ?1",
            )?;
            let mut rows = query.query([most])?;
            while let Some(r) = rows.next()? {
                let reason = (r.get("last_error")?, r.get("messages")?);
                reasons.commonest.push(reason);
                reasons.all = r.get("reasons")?;
            }
            Ok(reasons)
        })
    }

    /// The messages that were given up, newest first.
    pub fn failed(&self) -> Result<Vec<FailedRow>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT id, internal_date, size, sender, subject, message_id, last_error FROM message
                  WHERE status = 'failed' AND superseded_by IS NULL ORDER BY internal_date DESC, id DESC",
            )?
            .query_map([], |r| {
                Ok(FailedRow {
                    id: r.get("id")?,
                    internal_date: time(r, "internal_date")?,
                    size: r.get("size")?,
                    sender: r.get("sender")?,
                    subject: r.get("subject")?,
                    message_id: r.get("message_id")?,
                    last_error: r.get("last_error")?,
                })
            })?
            .collect()
        })
    }

    /// The messages that were refused for now, newest first.
    pub fn put_off(&self) -> Result<Vec<PutOffRow>> {
        self.read(|db| {
            // What was never charged waits since it was discovered: its row need not be read.
            db.prepare_cached(
                "SELECT id, internal_date, size, message_id, attempt, next_attempt_at, last_error FROM message
                  WHERE status = 'pending' AND next_attempt_at <> discovered_at AND last_error IS NOT NULL
                  ORDER BY internal_date DESC, id DESC LIMIT ?1",
            )?
            .query_map([PUT_OFF_MAX], |r| {
                Ok(PutOffRow {
                    id: r.get("id")?,
                    internal_date: time(r, "internal_date")?,
                    size: r.get("size")?,
                    message_id: r.get("message_id")?,
                    attempts: r.get("attempt")?,
                    next_attempt_at: time(r, "next_attempt_at")?,
                    last_error: r.get("last_error")?,
                })
            })?
            .collect()
        })
    }
}

/// A message never becomes superseded while it is pending, and the index that counts these does not
/// know of it.
fn backlog(db: &Connection, now: Time) -> rusqlite::Result<Backlog> {
    db.prepare_cached(
        "SELECT count(*), coalesce(sum(size), 0), count(*) FILTER (WHERE next_attempt_at > ?1),
                coalesce(sum(size) FILTER (WHERE next_attempt_at > ?1), 0),
                min(next_attempt_at) FILTER (WHERE next_attempt_at > ?1), min(discovered_at)
           FROM message WHERE status = 'pending'",
    )?
    .query_row([time_text(now)], |r| {
        Ok(Backlog {
            messages: r.get(0)?,
            bytes: r.get(1)?,
            later: r.get(2)?,
            later_bytes: r.get(3)?,
            next_attempt_at: time_or_null(r, 4)?,
            oldest: time_or_null(r, 5)?,
        })
    })
}
