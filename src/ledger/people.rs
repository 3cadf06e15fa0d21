//! What people ask of a ledger and do to it: counts, failures, another try, signs of life.

use rusqlite::{OptionalExtension, params};

use super::Ledger;
use crate::error::{Error, Fault, Result};
use crate::message::{Time, time_text};

/// What there is, and what goes on.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub pending: u64,
    pub in_flight: u64,
    pub delivered: u64,
    pub failed: u64,
    pub skipped: u64,
    pub gone: u64,
    /// When the longest-waiting message was discovered.
    pub oldest_pending: Option<String>,
    /// When the last message was sent.
    pub last_delivered_at: Option<String>,
    /// When the next message that waits is due.
    pub next_attempt_at: Option<String>,
    pub last_sign_of_life: Option<String>,
    /// False also when a part has said that it ended.
    pub alive: bool,
    pub trouble: Option<Trouble>,
}

/// What troubles a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `needs_user`, `throttled` or `transient`.
    pub kind: String,
    pub message: String,
    pub hint: Option<String>,
    pub since: String,
}

/// A message that was given up.
#[derive(Clone, Debug)]
pub struct FailedRow {
    pub id: i64,
    pub internal_date: String,
    pub size: Option<u64>,
    pub sender: Option<String>,
    pub subject: Option<String>,
    pub message_id: Option<String>,
    pub last_error: String,
}

impl Ledger {
    /// Counts and times for `status`. A sign of life counts when it came after `alive_after`.
    pub fn summary(&self, alive_after: Time) -> Result<Summary> {
        self.read(|db| {
            let mut s = Summary::default();
            let mut counts = db.prepare_cached("SELECT status, count(*) FROM message WHERE superseded_by IS NULL GROUP BY status")?;
            let mut counts = counts.query([])?;
            while let Some(r) = counts.next()? {
                let n = r.get(1)?;
                match r.get_ref(0)?.as_str().unwrap_or_default() {
                    "pending" => s.pending = n,
                    "in_flight" => s.in_flight = n,
                    "delivered" => s.delivered = n,
                    "failed" => s.failed = n,
                    "skipped" => s.skipped = n,
                    "gone" => s.gone = n,
                    _ => {}
                }
            }
            (s.oldest_pending, s.next_attempt_at) = db.query_row(
                "SELECT (SELECT min(discovered_at) FROM message WHERE status = 'pending'),
                        min((SELECT min(next_attempt_at) FROM message WHERE status = 'pending' AND mailbox_id = b.id))
                   FROM mailbox b",
                [],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?;
            s.last_delivered_at =
                db.query_row("SELECT max(delivered_at) FROM message WHERE proof = 'appended'", [], |r| r.get(0))?;
            (s.last_sign_of_life, s.alive) = db.query_row(
                "SELECT max(beat_at), coalesce(max(ended_at IS NULL AND beat_at >= ?1), 0) FROM heartbeat",
                [time_text(alive_after)],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?;
            s.trouble = db
                .query_row(
                    "SELECT kind, trouble, hint, since FROM heartbeat WHERE trouble IS NOT NULL
                      ORDER BY kind = 'needs_user' DESC, kind = 'throttled' DESC LIMIT 1",
                    [],
                    |r| {
                        let kind: String = r.get(0)?;
                        Ok(Trouble {
                            kind: match kind.as_str() {
                                "needs_user" | "throttled" => kind,
                                _ => "transient".into(),
                            },
                            message: r.get(1)?,
                            hint: r.get(2)?,
                            since: r.get(3)?,
                        })
                    },
                )
                .optional()?;
            Ok(s)
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
                    id: r.get(0)?,
                    internal_date: r.get(1)?,
                    size: r.get(2)?,
                    sender: r.get(3)?,
                    subject: r.get(4)?,
                    message_id: r.get(5)?,
                    last_error: r.get(6)?,
                })
            })?
            .collect()
        })
    }

    /// Gives failed messages another try (`skip`: gives them up for good); all of them when `ids`
    /// is empty. Returns how many. Nothing changes when one of the ids is not a failed message.
    ///
    /// # Errors
    /// `Usage` for an id that is unknown or not failed.
    pub fn retry_failed(&mut self, ids: &[i64], skip: bool, now: Time) -> Result<usize> {
        for id in ids {
            let status: Option<String> = self.read(|db| {
                db.query_row(
                    "SELECT status FROM message WHERE id = ?1 AND superseded_by IS NULL",
                    [id],
                    |r| r.get(0),
                )
                .optional()
            })?;
            let found = match status.as_deref() {
                Some("failed") => continue,
                Some(other) => format!("message {id} is {other}, expected a failed one"),
                None => format!("there is no message {id}"),
            };
            return Err(Error::usage(found)
                .hint("`imap-to-gmail status --failed` lists the failed messages and their ids"));
        }
        let change = match skip {
            true => "UPDATE message SET status = 'skipped' WHERE status = 'failed' AND superseded_by IS NULL AND ?1 = ?1",
            false => {
                "UPDATE message SET status = 'pending', next_attempt_at = ?1, first_failed_at = NULL, subject = NULL, sender = NULL
                  WHERE status = 'failed' AND superseded_by IS NULL"
            }
        };
        self.write(|t| {
            if ids.is_empty() {
                return t.execute(change, [time_text(now)]);
            }
            let mut one = t.prepare(&format!("{change} AND id = ?2"))?;
            let mut changed = 0;
            for id in ids {
                changed += one.execute(params![time_text(now), id])?;
            }
            Ok(changed)
        })
    }

    /// A run of these parts begins. What an earlier one had to say is past.
    pub fn run_begins(&mut self, parts: &[&str], now: Time) -> Result<()> {
        self.write(|t| {
            t.execute("DELETE FROM heartbeat", [])?;
            for part in parts {
                t.execute(
                    "INSERT INTO heartbeat (part, started_at, beat_at) VALUES (?1, ?2, ?2)",
                    params![part, time_text(now)],
                )?;
            }
            Ok(())
        })
    }

    /// A sign of life of these parts.
    pub fn beat(&mut self, parts: &[&str], now: Time) -> Result<()> {
        self.write(|t| {
            for part in parts {
                t.execute(
                    "UPDATE heartbeat SET beat_at = ?2 WHERE part = ?1",
                    params![part, time_text(now)],
                )?;
            }
            Ok(())
        })
    }

    /// What troubles a part, or that nothing does. The same trouble keeps its first time. True when
    /// that is news.
    pub fn trouble(&mut self, part: &str, trouble: Option<&Error>, now: Time) -> Result<bool> {
        self.write(|t| {
            let changed = match trouble {
                None => t.execute(
                    "UPDATE heartbeat SET kind = NULL, trouble = NULL, hint = NULL, since = NULL
                      WHERE part = ?1 AND trouble IS NOT NULL",
                    [part],
                )?,
                Some(e) => t.execute(
                    "UPDATE heartbeat SET since = ?5, kind = ?2, trouble = ?3, hint = ?4
                      WHERE part = ?1 AND NOT (kind IS ?2 AND trouble IS ?3)",
                    params![part, known_kind(e.fault), e.message, e.hint, time_text(now)],
                )?,
            };
            Ok(changed > 0)
        })
    }

    /// A run ends as it should. Its trouble stays to be read.
    pub fn run_ends(&mut self, now: Time) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE heartbeat SET beat_at = ?1, ended_at = ?1",
                [time_text(now)],
            )?;
            Ok(())
        })
    }
}

/// The vocabulary has no word for wrong usage: such a run does not begin.
fn known_kind(fault: Fault) -> &'static str {
    match fault {
        Fault::Usage => Fault::Fatal.name(),
        other => other.name(),
    }
}
