//! How far a run has come: what it counts as messages are settled, and what the ledger says waits.
//! Not for wording it: who prints asks for a [`Progress`] now and then.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::parts::route;
use super::{Engine, lock};
use crate::error::Result;
use crate::ledger::{Backlog, Change, Count, Proof, Row, Trouble, Verification};
use crate::message::{Time, parse_time, time_text};

/// Different reasons that are told apart; a run with more has no common ones.
const REASONS_MAX: usize = 50;

/// What became of messages in this run.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Sent.
    pub delivered: Count,
    /// Recognised: in the target already, or equal to a message that is.
    pub found: Count,
    pub failed: Count,
    /// No longer in the source.
    pub gone: Count,
    /// Why messages failed, and how many for each reason.
    pub reasons: Vec<(String, u64)>,
    /// How long there was work under way.
    pub at_work: Duration,
    begun_at: Time,
}

impl Counts {
    fn new() -> Counts {
        Counts {
            delivered: Count::default(),
            found: Count::default(),
            failed: Count::default(),
            gone: Count::default(),
            reasons: Vec::new(),
            at_work: Duration::ZERO,
            // As the ledger keeps times.
            begun_at: parse_time(&time_text(Utc::now())).unwrap_or_default(),
        }
    }

    /// What this run is done with.
    pub fn done(&self) -> Count {
        let all = [self.delivered, self.found, self.failed, self.gone];
        Count {
            messages: all.iter().map(|c| c.messages).sum(),
            bytes: all.iter().map(|c| c.bytes).sum(),
        }
    }

    fn add_settled(&mut self, row: &Row, change: &Change) {
        let bytes = row.about.size.unwrap_or(0);
        match change {
            Change::Imported { .. }
            | Change::Delivered {
                proof: Proof::Appended,
                ..
            } => self.delivered.add(bytes),
            Change::Delivered { .. } | Change::AsBefore { .. } => self.found.add(bytes),
            Change::Failed { error, .. } => self.add_failed(bytes, &error.message),
            Change::Gone => self.gone.add(bytes),
            Change::Retry { .. }
            | Change::Later { .. }
            | Change::Held { .. }
            | Change::Released { .. }
            | Change::PutOff { .. } => {}
        }
    }

    fn move_to_failed(&mut self, sent: &Verification, reason: &str) {
        let bytes = sent.row.about.size.unwrap_or(0);
        if sent.delivered_at.is_some_and(|at| at >= self.begun_at) {
            self.delivered.take(bytes);
        }
        self.add_failed(bytes, reason);
    }

    fn add_failed(&mut self, bytes: u64, reason: &str) {
        self.failed.add(bytes);
        if let Some((_, n)) = self.reasons.iter_mut().find(|(known, _)| known == reason) {
            *n += 1;
        } else if self.reasons.len() < REASONS_MAX {
            self.reasons.push((reason.into(), 1));
        }
    }
}

/// The counts of a run under way.
pub(super) struct Counter(Mutex<Counting>);

struct Counting {
    counts: Counts,
    /// When the run last got anywhere with a message.
    progress_at: Instant,
}

impl Counter {
    pub(super) fn new() -> Counter {
        Counter(Mutex::new(Counting {
            counts: Counts::new(),
            progress_at: Instant::now(),
        }))
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.0).counts.clone()
    }

    pub(super) fn progress_at(&self) -> Instant {
        lock(&self.0).progress_at
    }

    pub(super) fn add_time_at_work(&self, time: Duration) {
        lock(&self.0).counts.at_work += time;
    }

    /// A message that had been answered OK is not in the target after all.
    pub(super) fn note_refuted(&self, sent: &Verification, reason: &str) {
        lock(&self.0).counts.move_to_failed(sent, reason);
    }

    fn note_settled(&self, row: &Row, change: &Change) {
        let mut counting = lock(&self.0);
        if !matches!(
            change,
            Change::Released { .. } | Change::Held { .. } | Change::PutOff { .. }
        ) {
            counting.progress_at = Instant::now();
        }
        counting.counts.add_settled(row, change);
    }
}

/// What was there before a run.
#[derive(Clone, Debug)]
pub struct Before {
    /// As people read it.
    pub source: String,
    /// There was no look at the source yet.
    pub first: bool,
    pub waiting: u64,
    pub delivered: u64,
    pub failed: u64,
    /// Given up for good by a person.
    pub skipped: u64,
}

/// A run at one moment.
#[derive(Clone, Debug)]
pub struct Progress {
    pub counts: Counts,
    pub waiting: Backlog,
    pub in_flight: Count,
    /// What troubles it, the gravest first.
    pub troubles: Vec<Trouble>,
    /// After trouble: when it goes on.
    pub goes_on_in: Option<Duration>,
    /// Bytes sent in the last 24 hours, where there is a limit for them, and the limit.
    pub uploaded: Option<(u64, u64)>,
}

impl Progress {
    /// What is done and what is not.
    pub fn all(&self) -> Count {
        let done = self.counts.done();
        Count {
            messages: done.messages + self.waiting.messages + self.in_flight.messages,
            bytes: done.bytes + self.waiting.bytes + self.in_flight.bytes,
        }
    }

    /// What is not done and not put off.
    pub fn due(&self) -> Count {
        let waiting = &self.waiting;
        Count {
            messages: (waiting.messages - waiting.later) + self.in_flight.messages,
            bytes: (waiting.bytes - waiting.later_bytes) + self.in_flight.bytes,
        }
    }
}

impl Engine {
    /// Takes note that a message has been settled.
    pub(super) fn note_settled(&self, row: &Row, change: &Change) {
        self.blame(row.by_import).note_settled(row, change);
        let was_appended = matches!(
            change,
            Change::Delivered {
                proof: Proof::Appended,
                ..
            }
        );
        if !was_appended && !matches!(change, Change::Imported { .. }) {
            self.forget_header(row.id);
        }
        if let Change::Delivered { .. }
        | Change::Imported { .. }
        | Change::Failed { .. }
        | Change::Gone
        | Change::AsBefore { .. } = change
        {
            // A message that is back after it was gone is looked for twice again.
            self.absent.forget(row.id);
            // With the answer to its APPEND it was noted as done, which was up to `UNSETTLED_MAX` ago.
            if !was_appended {
                self.note_done();
            }
        }
        self.counter.note_settled(row, change);
    }

    /// What it finds when it begins.
    pub fn before(&self) -> Result<Before> {
        let setup = self.setup();
        let source = route(&setup.config).source();
        let now = Utc::now();
        self.ledger.step(|l| {
            let s = l.summary(now, now)?;
            Ok(Before {
                source: source.clone(),
                first: !l.has_begun()?,
                waiting: s.backlog.messages + s.in_flight,
                delivered: s.delivered,
                failed: s.failed,
                skipped: s.skipped,
            })
        })
    }

    /// How far it has come.
    pub fn progress(&self) -> Result<Progress> {
        let limit = self.setup().config.upload_limit_per_day;
        let (counts, goes_on_in) = (self.counter.counts(), self.pause.goes_on_in());
        let now = Utc::now();
        self.ledger.step(|l| {
            let (messages, bytes) = l.under_way()?;
            let uploaded = match limit {
                Some(limit) => Some((l.uploaded(now)?, limit)),
                None => None,
            };
            Ok(Progress {
                counts,
                waiting: l.backlog(now)?,
                in_flight: Count { messages, bytes },
                troubles: l.parts()?.into_iter().filter_map(|p| p.trouble).collect(),
                goes_on_in,
                uploaded,
            })
        })
    }
}
