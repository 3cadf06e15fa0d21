//! Signs of life of a run, part by part, and what troubles each.

use rusqlite::{Connection, Row, params};

use super::intent::forget_marks;
use super::open::Ledger;
use super::value::{time, time_or_null};
use crate::error::{Error, Fault, Result};
use crate::message::{Time, time_text};

/// A part of the last run, or of the one that goes on.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: String,
    pub started_at: Time,
    pub beat_at: Time,
    /// Where it has said that it ended.
    pub ended_at: Option<Time>,
    pub trouble: Option<Trouble>,
    /// Its last look at the source, where it looks.
    pub look: Option<Look>,
    /// In this run it has said whether anything troubles it.
    pub heard: bool,
}

/// A look at the source that went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub at: Time,
    /// The next one is to have come by then.
    pub next_by: Time,
}

/// What troubles a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: TroubleKind,
    pub message: String,
    pub hint: Option<String>,
    pub since: Time,
    /// It is nothing but a limit that the configuration itself sets.
    pub own_limit: bool,
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
    pub(super) fn of(fault: Option<&str>) -> TroubleKind {
        let kinds = [TroubleKind::NeedsUser, TroubleKind::Throttled];
        let named = kinds.into_iter().find(|kind| fault == Some(kind.name()));
        named.unwrap_or(TroubleKind::Transient)
    }
}

impl Ledger {
    /// The parts of the last run, those in trouble first, and of these the gravest.
    pub fn parts(&self) -> Result<Vec<Part>> {
        self.read(parts)
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
            forget_marks(t)
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

    /// This part has looked at the source.
    pub fn note_look(&mut self, part: &str, look: Look) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE heartbeat SET looked_at = ?2, look_due_at = ?3 WHERE part = ?1",
                params![part, time_text(look.at), time_text(look.next_by)],
            )?;
            Ok(())
        })
    }

    /// What troubles a part, or that nothing does. The same trouble keeps its first time. True when
    /// that is news.
    pub fn trouble(&mut self, part: &str, trouble: Option<&Error>, now: Time) -> Result<bool> {
        self.write(|t| {
            let changed = match trouble {
                None => t.execute(
                    "UPDATE heartbeat SET kind = NULL, trouble = NULL, hint = NULL, since = NULL, own_limit = 0
                      WHERE part = ?1 AND trouble IS NOT NULL",
                    [part],
                )?,
                Some(e) => t.execute(
                    "UPDATE heartbeat SET since = ?5, kind = ?2, trouble = ?3, hint = ?4, own_limit = ?6
                      WHERE part = ?1 AND NOT (kind IS ?2 AND trouble IS ?3)",
                    params![part, known_kind(e.fault), e.message, e.hint, time_text(now), e.own_limit],
                )?,
            };
            t.execute(
                "UPDATE heartbeat SET heard_at = ?2 WHERE part = ?1 AND heard_at IS NULL",
                params![part, time_text(now)],
            )?;
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

pub(super) fn parts(db: &Connection) -> rusqlite::Result<Vec<Part>> {
    db.prepare_cached(
        "SELECT part, started_at, beat_at, ended_at, kind, trouble, hint, since, looked_at, look_due_at, heard_at, own_limit
           FROM heartbeat
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
                own_limit: r.get("own_limit")?,
            }),
            None => None,
        };
        Ok(Part {
            name: r.get("part")?,
            started_at: time(r, "started_at")?,
            beat_at: time(r, "beat_at")?,
            ended_at: time_or_null(r, "ended_at")?,
            trouble,
            look: look(r)?,
            heard: time_or_null(r, "heard_at")?.is_some(),
        })
    })?
    .collect()
}

fn look(r: &Row<'_>) -> rusqlite::Result<Option<Look>> {
    let (at, next_by) = (
        time_or_null(r, "looked_at")?,
        time_or_null(r, "look_due_at")?,
    );
    Ok(at.zip(next_by).map(|(at, next_by)| Look { at, next_by }))
}

/// The vocabulary has no word for wrong usage: such a run does not begin.
fn known_kind(fault: Fault) -> &'static str {
    match fault {
        Fault::Usage => Fault::Fatal.name(),
        other => other.name(),
    }
}
