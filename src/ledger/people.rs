//! What people ask of a ledger and do to it: counts, failures, another try, signs of life.

use rusqlite::{Connection, OptionalExtension, params};

use super::value::{time, time_or_null};
use super::{Ledger, RowId, Status, deliver};
use crate::error::{Error, Fault, Result};
use crate::message::{Time, time_text};
use crate::text::shell_word;

/// What there is, and what goes on.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub backlog: Backlog,
    pub in_flight: u64,
    pub delivered: u64,
    /// Of these, since the moment that was asked for.
    pub delivered_since: u64,
    pub failed: u64,
    pub skipped: u64,
    pub gone: u64,
    /// When the last message was sent.
    pub last_delivered_at: Option<Time>,
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

/// A part of the last run, or of the one that goes on.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: String,
    pub started_at: Time,
    pub beat_at: Time,
    /// Where it has said that it ended.
    pub ended_at: Option<Time>,
    pub trouble: Option<Trouble>,
}

/// What troubles a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: TroubleKind,
    pub message: String,
    pub hint: Option<String>,
    pub since: Time,
}

/// What it takes to end a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// A person.
    NeedsUser,
    /// That a limit passes.
    Throttled,
    /// Another try.
    Transient,
}

impl TroubleKind {
    /// As `status --json` has it.
    pub fn name(self) -> &'static str {
        match self {
            TroubleKind::NeedsUser => Fault::NeedsUser.name(),
            TroubleKind::Throttled => Fault::Throttled.name(),
            TroubleKind::Transient => Fault::Transient.name(),
        }
    }

    /// Of a fault, by its name in the ledger. Every other one is tried again.
    fn of(fault: Option<&str>) -> TroubleKind {
        let kinds = [TroubleKind::NeedsUser, TroubleKind::Throttled];
        let named = kinds.into_iter().find(|kind| fault == Some(kind.name()));
        named.unwrap_or(TroubleKind::Transient)
    }
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
            s.last_delivered_at = db
                .query_row(
                    "SELECT delivered_at FROM message WHERE status = 'delivered' AND superseded_by IS NULL AND proof = 'appended'
                      ORDER BY delivered_at DESC LIMIT 1",
                    [],
                    |r| time(r, 0),
                )
                .optional()?;
            Ok(s)
        })
    }

    /// What is pending.
    pub fn backlog(&self, now: Time) -> Result<Backlog> {
        self.read(|db| backlog(db, now))
    }

    /// The parts of the last run, those in trouble first, and of these the gravest.
    pub fn parts(&self) -> Result<Vec<Part>> {
        self.read(parts)
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

    /// Gives failed messages another try (`skip`: gives them up for good); all of them when `ids`
    /// is empty. Returns how many. Nothing changes when one of the ids is not a failed message.
    ///
    /// # Errors
    /// `Usage` for an id that is unknown or not failed.
    pub fn retry_failed(&mut self, ids: &[RowId], skip: bool, now: Time) -> Result<usize> {
        for id in ids {
            let status: Option<Status> = self.read(|db| {
                db.query_row(
                    "SELECT status FROM message WHERE id = ?1 AND superseded_by IS NULL",
                    [id],
                    |r| r.get(0),
                )
                .optional()
            })?;
            let found = match status {
                Some(Status::Failed) => continue,
                Some(other) => {
                    format!("message {id} is {}, expected a failed one", other.name())
                }
                None => format!("there is no message {id}"),
            };
            return Err(Error::usage(found).hint(format!(
                "`imap-to-gmail status --failed --state-file {}` lists the failed messages and their ids",
                shell_word(&self.path.display().to_string())
            )));
        }
        let change = if skip {
            "UPDATE message SET status = 'skipped' WHERE status = 'failed' AND superseded_by IS NULL AND ?1 = ?1"
        } else {
            "UPDATE message SET status = 'pending', next_attempt_at = ?1, first_failed_at = NULL, subject = NULL, sender = NULL
                  WHERE status = 'failed' AND superseded_by IS NULL"
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
            deliver::forget_marks(t)
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

fn parts(db: &Connection) -> rusqlite::Result<Vec<Part>> {
    db.prepare_cached(
        "SELECT part, started_at, beat_at, ended_at, kind, trouble, hint, since FROM heartbeat
          ORDER BY trouble IS NULL, kind = 'needs_user' DESC, kind = 'throttled' DESC, since, part",
    )?
    .query_map([], |r| {
        let kind: Option<String> = r.get("kind")?;
        let trouble = match r.get("trouble")? {
            Some(message) => Some(Trouble {
                kind: TroubleKind::of(kind.as_deref()),
                message,
                hint: r.get("hint")?,
                since: time(r, "since")?,
            }),
            None => None,
        };
        Ok(Part {
            name: r.get("part")?,
            started_at: time(r, "started_at")?,
            beat_at: time(r, "beat_at")?,
            ended_at: time_or_null(r, "ended_at")?,
            trouble,
        })
    })?
    .collect()
}

/// The vocabulary has no word for wrong usage: such a run does not begin.
fn known_kind(fault: Fault) -> &'static str {
    match fault {
        Fault::Usage => Fault::Fatal.name(),
        other => other.name(),
    }
}
