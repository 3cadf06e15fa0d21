//! Which troubles a person is told of, and was: so that a restart tells of none twice, and of none too late. Not for whether
//! it is time to tell (`alarm`).

use rusqlite::params;

use super::heartbeat::TroubleKind;
use super::open::Ledger;
use super::value::{time, time_or_null};
use crate::error::Result;
use crate::message::{Time, time_text};

/// The time in which a part of a run is in trouble, whatever troubles it in turn, and a while after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    pub part: String,
    pub since: Time,
    /// When the one before it was over, if that was lately.
    pub before: Option<Time>,
    pub over_at: Option<Time>,
    /// A person knows that it is over.
    pub over_told: bool,
    /// How often the command was run for what is to be told now.
    pub tries: u32,
    pub next_try_at: Option<Time>,
    /// What the command was run for, in that order.
    pub told: Vec<Told>,
}

/// A trouble that the command was run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub kind: TroubleKind,
    pub message: String,
    pub hint: Option<String>,
    /// When the command had done its work; none if it never did.
    pub told_at: Option<Time>,
}

impl Episode {
    /// One that begins, of which nobody was told.
    pub fn new(part: &str, since: Time) -> Episode {
        Episode {
            part: part.into(),
            since,
            before: None,
            over_at: None,
            over_told: false,
            tries: 0,
            next_try_at: None,
            told: Vec::new(),
        }
    }
}

impl Ledger {
    /// Each that is not forgotten.
    pub fn episodes(&self) -> Result<Vec<Episode>> {
        self.read(|db| {
            let mut episodes: Vec<Episode> = db
                .prepare_cached("SELECT * FROM alarm ORDER BY part")?
                .query_map([], |r| {
                    Ok(Episode {
                        part: r.get("part")?,
                        since: time(r, "since")?,
                        before: time_or_null(r, "before")?,
                        over_at: time_or_null(r, "over_at")?,
                        over_told: r.get("over_told")?,
                        tries: r.get("tries")?,
                        next_try_at: time_or_null(r, "next_try_at")?,
                        told: Vec::new(),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            let mut told =
                db.prepare_cached("SELECT * FROM alarm_told WHERE part = ?1 ORDER BY id")?;
            for episode in &mut episodes {
                episode.told = told
                    .query_map([&episode.part], |r| {
                        let kind: String = r.get("kind")?;
                        Ok(Told {
                            kind: TroubleKind::of(Some(&kind)),
                            message: r.get("message")?,
                            hint: r.get("hint")?,
                            told_at: time_or_null(r, "told_at")?,
                        })
                    })?
                    .collect::<rusqlite::Result<_>>()?;
            }
            Ok(episodes)
        })
    }

    /// The episode of its part is this one from now on.
    pub fn keep_episode(&mut self, e: &Episode) -> Result<()> {
        self.write(|t| {
            t.execute("DELETE FROM alarm WHERE part = ?1", [&e.part])?;
            t.execute(
                "INSERT INTO alarm (part, since, before, over_at, over_told, tries, next_try_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    e.part,
                    time_text(e.since),
                    e.before.map(time_text),
                    e.over_at.map(time_text),
                    e.over_told,
                    e.tries,
                    e.next_try_at.map(time_text)
                ],
            )?;
            for told in &e.told {
                t.execute(
                    "INSERT INTO alarm_told (part, kind, message, hint, told_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        e.part,
                        told.kind.name(),
                        told.message,
                        told.hint,
                        told.told_at.map(time_text)
                    ],
                )?;
            }
            Ok(())
        })
    }

    /// There is nothing more to be told of this part.
    pub fn forget_episode(&mut self, part: &str) -> Result<()> {
        self.write(|t| {
            t.execute("DELETE FROM alarm WHERE part = ?1", [part])?;
            Ok(())
        })
    }
}
