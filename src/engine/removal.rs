//! `after_delivery`: when messages that are certainly in the target are removed at the source, and what is said of it. One
//! pass (`pass`) is a thread beside everything else, with sessions of its own, so that no mail waits for it.
//!
//! The states of a delivered row, as the ledger has them:
//!
//! ```text
//!   there ── begin_removal: what is about to be done is on disk ──► being removed (removal_id)
//!     ▲                                                                │ the source is looked at, whatever it answered
//!     │ still there: the mark as deleted is taken back                 │
//!     ├────────────────────────────────────────────────────────────────┤
//!     │ the other mailbox has it, the first half of a move             │ not there any more
//!     └─ copied_to: from now on only to be deleted here                ▼
//!                                                                   removed (removed_at)
//! ```
//!
//! An answer is not believed: what came of a command is what the next look shows, in the same pass or, after a cut or a
//! crash, in a later one. So nothing is done twice, and what ended unseen is resolved by looking. A message that is copied
//! is in the other mailbox before anything is marked as deleted, and its copy in the target is looked at within the same
//! minute before either.
//!
//! Not for whether a message may go: that is one rule, `ledger::removable`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use log::{debug, info};

use super::{Engine, backoff, lock};
use crate::config::{AfterDelivery, Disposal};
use crate::error::{Error, Result, Scope};
use crate::ledger::Count;
use crate::message::Time;
use crate::text::{bytes_text, counted, minute};
use crate::threads;

mod copies;
mod outcome;
mod pass;

pub(super) use pass::Tally;

/// What is wrong with removing, as the ledger names that part of a run.
pub(super) const REMOVAL: &str = "after_delivery";
/// So many passes in a row must have lost a session before that is told: others of ours tell of a server that is away.
const LOST_MAX: u32 = 3;

/// What the source has said of a removal before it is looked what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// That it is done.
    Done,
    /// That it will not do it.
    Refused,
    /// Nothing: it may still do it, and that it did not is believed only after a while.
    Nothing,
}

pub(super) struct Removal(Mutex<Course>);

struct Course {
    /// When the run was made ready.
    begun: Instant,
    running: bool,
    /// Passes in a row that ended in trouble.
    troubles: u32,
    /// When the last one ended.
    ended: Option<Instant>,
    /// And when the next one is to begin.
    next: Option<Instant>,
    /// What was wanted then.
    wanted: Option<AfterDelivery>,
    /// From when on something is removed, as it was said.
    told: Option<(String, Time)>,
}

impl Default for Removal {
    fn default() -> Removal {
        Removal(Mutex::new(Course {
            begun: Instant::now(),
            running: false,
            troubles: 0,
            ended: None,
            next: None,
            wanted: None,
            told: None,
        }))
    }
}

impl Removal {
    /// Is a session with the target in use for it?
    pub(super) fn is_running(&self) -> bool {
        lock(&self.0).running
    }
}

impl Engine {
    /// Begins a pass beside whatever goes on, where one is due.
    pub(super) fn remove_beside(self: &Arc<Engine>) {
        if self.removal_due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        match self.is_nothing_to_remove() {
            Ok(false) => {}
            Ok(true) => return,
            Err(e) => return self.end_with(e),
        }
        lock(&self.removal.0).running = true;
        let engine = Arc::clone(self);
        let begun = threads::spawn(move || {
            let end = catch_unwind(AssertUnwindSafe(|| engine.remove_and_tell()));
            match end.unwrap_or_else(|_| engine.note_broken_removal()) {
                Err(e) if e.scope() == Scope::Process => engine.end_with(e),
                _ => engine.wake(),
            }
        });
        if begun.is_err() {
            lock(&self.removal.0).running = false;
        }
    }

    /// When the next pass is due, as far as one is.
    pub(super) fn removal_due(&self) -> Option<Instant> {
        let setup = self.setup();
        let wish = &setup.config.after_delivery;
        let course = lock(&self.removal.0);
        if course.running {
            return None;
        }
        if course.wanted.as_ref() != Some(wish) {
            // At the start others of this process that read the same account may not have begun yet.
            return Some(course.begun + self.times.removal.1);
        }
        let (ended, next) = (course.ended?, course.next?);
        // What need not wait for days goes soon after its delivery.
        let news = wish.after_days == 0 && self.counter.progress_at() > ended;
        let soon = ended + self.times.removal.1;
        Some(if news && course.troubles == 0 {
            next.min(soon)
        } else {
            next
        })
    }

    /// A pass of a run that ends by itself.
    pub(super) fn remove_once(self: &Arc<Engine>) -> Result<()> {
        if self.stopping() || self.is_nothing_to_remove()? {
            return Ok(());
        }
        lock(&self.removal.0).running = true;
        let end = self.all(vec![Box::new(|e: &Engine| e.remove_and_tell())]);
        match end {
            Err(e) if e.scope() == Scope::Process => Err(e),
            _ => Ok(()),
        }
    }

    /// Nothing is wanted, and nothing is open: then there is no pass until that changes.
    fn is_nothing_to_remove(&self) -> Result<bool> {
        let wish = self.setup().config.after_delivery.clone();
        if wish.disposal != Disposal::Keep || !self.ledger.step(|l| l.open_removals())?.is_empty() {
            return Ok(false);
        }
        let now = Utc::now();
        self.ledger
            .step(|l| l.note_after_delivery(None, now, now))?;
        let mut course = lock(&self.removal.0);
        let troubles = std::mem::take(&mut course.troubles);
        (course.ended, course.next, course.told) = (None, None, None);
        course.wanted = Some(wish);
        drop(course);
        if troubles > 0 {
            self.record_trouble(REMOVAL, None, None)?;
        }
        Ok(true)
    }

    /// One pass, and what troubled it: in the ledger and in the log. Only what ends the process is an error.
    fn remove_and_tell(&self) -> Result<()> {
        let end = self.remove_some_and_tell();
        let mut course = lock(&self.removal.0);
        course.running = false;
        course.ended = Some(Instant::now());
        let trouble = match end {
            Ok(next) => {
                (course.troubles, course.next) = (0, Some(Instant::now() + next));
                None
            }
            Err(e) if e.scope() == Scope::Process => return Err(e),
            Err(e) => {
                course.troubles = course.troubles.saturating_add(1);
                Some(e)
            }
        };
        let tries = course.troubles;
        drop(course);
        let Some(e) = trouble else {
            return self.record_trouble(REMOVAL, None, None);
        };
        let wait = self.wait_after_removal(&e, tries - 1);
        lock(&self.removal.0).next = Some(Instant::now() + wait);
        let once = self.once.load(Ordering::Relaxed);
        let away = e.scope() == Scope::Session && tries < LOST_MAX && !once;
        if away || self.stopping() {
            debug!(
                "{}",
                e.then("nothing more is removed at the source for now")
            );
            return Ok(());
        }
        self.record_trouble(REMOVAL, Some(&e), (!once).then_some(wait))
    }

    /// A pass panicked. What it had begun is looked for by the next one.
    fn note_broken_removal(&self) -> Result<()> {
        let now = Instant::now();
        let wait = self.times.removal.0;
        let mut course = lock(&self.removal.0);
        (course.running, course.ended, course.next) = (false, Some(now), Some(now + wait));
        drop(course);
        let e = Error::connection(
            "removing messages at the source broke down: this is a defect of imap-to-gmail; what it had under way is looked for",
        );
        self.record_trouble(REMOVAL, Some(&e), Some(wait))
    }

    fn wait_after_removal(&self, e: &Error, tries: u32) -> Duration {
        match e.scope() {
            Scope::Message => backoff(tries, (self.times.removal.1, self.times.removal.0)),
            _ => self.wait_after(e, tries),
        }
    }

    /// One pass. Returns after how long the next one is due.
    fn remove_some_and_tell(&self) -> Result<Duration> {
        let setup = self.setup();
        let wish = &setup.config.after_delivery;
        let now = Utc::now();
        let wanted = wish.wanted();
        let first = now + delta(self.times.first_removal);
        let begins = self
            .ledger
            .step(|l| l.note_after_delivery(wanted.as_deref(), now, first))?;
        lock(&self.removal.0).wanted = Some(wish.clone());
        let open = !self.ledger.step(|l| l.open_removals())?.is_empty();
        let regular = self.times.removal.0;
        let waits = begins.is_some_and(|begins| begins > now);
        if let Some(begins) = begins.filter(|_| waits) {
            self.say_what_would_go(wish, begins, now)?;
        }
        let begun = begins.is_some() && !waits;
        if begun || open {
            let mut tally = Tally::default();
            let end = self.remove(&setup, begun, &mut tally);
            tally.say(wish);
            end?;
        }
        let left = begins.filter(|_| waits).map(|begins| begins - now);
        let left = left.and_then(|left| left.to_std().ok());
        Ok(left.map_or(regular, |left| left.min(regular)))
    }

    /// Says once what is to be removed and from when on.
    fn say_what_would_go(&self, wish: &AfterDelivery, begins: Time, now: Time) -> Result<()> {
        let told = (wish.wanted().unwrap_or_default(), begins);
        if lock(&self.removal.0).told.replace(told.clone()).as_ref() == Some(&told) {
            return Ok(());
        }
        let would = self.would_be_removed(wish, now)?;
        info!(
            "`after_delivery` is new, or says something else than before: from {} on delivered messages are {} at the source, {} ({}) as of now; until then nothing is changed there",
            minute(begins),
            wish.done(),
            counted(would.messages, "message"),
            bytes_text(would.bytes),
        );
        Ok(())
    }

    /// What would be removed, and from when on.
    pub(super) fn forecast_removal(&self, now: Time) -> Result<(Count, Option<Time>)> {
        let setup = self.setup();
        let wish = &setup.config.after_delivery;
        let known = self.ledger.step(|l| l.removals())?.wish;
        let begins = known.filter(|known| Some(&known.wanted) == wish.wanted().as_ref());
        let begins = match begins {
            Some(known) => known.begins_at,
            None => now + delta(self.times.first_removal),
        };
        let would = self.would_be_removed(wish, now)?;
        Ok((would, (wish.disposal != Disposal::Keep).then_some(begins)))
    }

    /// What would go now, as far as the ledger tells.
    fn would_be_removed(&self, wish: &AfterDelivery, now: Time) -> Result<Count> {
        if wish.disposal == Disposal::Keep {
            return Ok(Count::default());
        }
        let until = delivered_until(wish, now);
        self.ledger.step(|l| l.would_be_removed(until, now))
    }
}

/// What was delivered until then may go now.
fn delivered_until(wish: &AfterDelivery, now: Time) -> Time {
    now - TimeDelta::days(i64::from(wish.after_days))
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}
