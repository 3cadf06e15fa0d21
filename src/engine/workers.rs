//! How many workers a pass has at a time, each with a session of its own with the target. Not for how much one of them takes
//! at a time (`portion`), nor for what it does (`deliver`), nor for the threads (`tasks`).
//!
//! ```text
//! a few ── what they get done is measured ──► half as many again ── measured: enough more is done ──► and so on
//!                                                   │
//!                                                   └── not so: as many as before, for a while
//! the target has had enough: one fewer, for a while ── then one more, and again one more
//! ```
//!
//! A server that works for each session by itself gets through more with more of them; one that does all one after the
//! other does not, and each session is one that the person's own programs may lack.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use log::{debug, warn};

use super::portion::{Backlog, Portion, half_share, portion};
use super::{Engine, lock};
use crate::error::{Again, Error, Result};

/// So many begin together. Gmail allows 15 to an account, and a desktop's mail program may keep five, a telephone three.
pub(super) const FEW: usize = 4;
/// A worker for so many messages: to sign in takes as many round trips as these do.
const PER_WORKER: u64 = 4;
/// What is done is measured for at least this time, and so often for each session; what does not look like more then is
/// given so many more before it counts as no more.
const MEASURED: Duration = Duration::from_millis(500);
const ROUNDS: usize = 2;
const ROUNDS_MOST: usize = 8;
/// Others are worth their sign-in where so much is left at the pace of those that are there.
const WORTH: Duration = Duration::from_secs(3);

/// The workers of a route's pass.
pub(super) struct Workers(Mutex<Plan>);

/// How many there are, and what is known of how many would help.
struct Plan {
    /// For how long it stays at fewer.
    a_while: Duration,
    /// `connections`.
    most: usize,
    wanted: usize,
    /// Begun, and not ended.
    there: usize,
    ceiling: Option<Ceiling>,
    /// One ended in trouble: none are added in this pass.
    troubled: bool,
    /// It has been told that the target refused others.
    told: bool,
    /// Messages that nobody has claimed, as far as is known.
    left: u64,
    /// Of one, in bytes, about.
    size: u64,
    /// Each worker had two batches of this size, were all alike.
    share: u64,
    /// How long a session takes for a message, as was last measured.
    each: Option<Duration>,
    /// The same as one session has seen it, which is there sooner.
    seen: Option<Duration>,
    measure: Measure,
    trial: Option<Trial>,
}

/// No more than so many workers.
#[derive(Clone, Copy)]
struct Ceiling {
    workers: usize,
    until: Instant,
    /// Then there may be one more, and so on: the target has refused others. Else it was only that they brought nothing.
    refused: bool,
}

/// What so many sessions get done, from when each has done something.
#[derive(Clone, Copy, Default)]
struct Measure {
    sessions: usize,
    passed_over: usize,
    since: Option<Instant>,
    done: usize,
}

/// What fewer sessions got done, before others were added.
#[derive(Clone, Copy)]
struct Trial {
    sessions: usize,
    rate: f64,
}

impl Trial {
    /// Half of what those that were added would bring if none were in another's way.
    fn is_good(&self, sessions: usize, rate: f64) -> bool {
        let ideal = sessions as f64 / self.sessions as f64;
        rate >= self.rate * f64::midpoint(1.0, ideal)
    }
}

impl Measure {
    /// Takes note of one more message that is done. Messages in a second, and how many for each session they are, where
    /// that can be told now: sessions answer in turns, so only whole rounds are counted.
    fn note_done(&mut self, sessions: usize, now: Instant) -> Option<(f64, usize)> {
        if sessions != self.sessions {
            *self = Measure {
                sessions,
                ..Measure::default()
            };
        }
        let Some(since) = self.since else {
            self.passed_over += 1;
            if self.passed_over >= sessions {
                self.since = Some(now);
            }
            return None;
        };
        self.done += 1;
        let time = now.saturating_duration_since(since);
        let rounds = self.done / sessions;
        if !self.done.is_multiple_of(sessions) || rounds < ROUNDS || time < MEASURED {
            return None;
        }
        let rate = self.done as f64 / time.as_secs_f64();
        if rounds >= ROUNDS_MOST {
            (self.since, self.done) = (Some(now), 0);
        }
        Some((rate, rounds))
    }
}

impl Plan {
    fn new(a_while: Duration) -> Plan {
        Plan {
            a_while,
            most: 1,
            wanted: 0,
            there: 0,
            ceiling: None,
            troubled: false,
            told: false,
            left: 0,
            size: 0,
            share: 0,
            each: None,
            seen: None,
            measure: Measure::default(),
            trial: None,
        }
    }

    fn begin(&mut self, pending: u64, size: u64, most: usize, now: Instant) {
        (self.most, self.there, self.size) = (most, 0, size);
        (self.troubled, self.trial, self.share) = (false, None, 0);
        self.measure = Measure::default();
        self.wanted = useful(pending).min(self.at_most(now));
        self.note_left(pending);
    }

    fn note_left(&mut self, left: u64) {
        self.left = left;
        self.share = self.share.max(half_share(left, self.wanted as u64));
    }

    /// As many as there may be now.
    fn at_most(&mut self, now: Instant) -> usize {
        if let Some(ceiling) = self.ceiling
            && now >= ceiling.until
        {
            let higher = Ceiling {
                workers: ceiling.workers + 1,
                until: now + self.a_while,
                ..ceiling
            };
            let holds = ceiling.refused && higher.workers < self.most;
            self.ceiling = holds.then_some(higher);
            self.told &= holds;
        }
        let ceiling = self.ceiling.map_or(self.most, |c| c.workers);
        ceiling.min(self.most)
    }

    /// True where others are to be added.
    fn note_done(&mut self, sessions: usize, now: Instant) -> bool {
        if sessions == 0 {
            return false;
        }
        let Some((rate, rounds)) = self.measure.note_done(sessions, now) else {
            return false;
        };
        self.each = Some(Duration::from_secs_f64(sessions as f64 / rate));
        if self.wanted != sessions || self.there != sessions {
            return false;
        }
        match self.trial.filter(|trial| trial.sessions < sessions) {
            Some(trial) if trial.is_good(sessions, rate) => self.add(rate, now),
            Some(trial) if rounds >= ROUNDS_MOST => {
                self.be_at_most(trial.sessions, false, now);
                false
            }
            Some(_) => false,
            None => self.add(rate, now),
        }
    }

    fn add(&mut self, rate: f64, now: Instant) -> bool {
        let sessions = self.wanted;
        let more = (sessions + (sessions / 2).max(1)).min(self.at_most(now));
        let worth = self.left as f64 >= rate * WORTH.as_secs_f64();
        if more <= sessions || self.troubled || !worth {
            self.trial = None;
            return false;
        }
        self.trial = Some(Trial { sessions, rate });
        self.wanted = more;
        true
    }

    fn be_at_most(&mut self, workers: usize, refused: bool, now: Instant) {
        self.wanted = workers.max(1);
        self.trial = None;
        let refused = refused || self.ceiling.is_some_and(|c| c.refused);
        self.ceiling = Some(Ceiling {
            workers: self.wanted,
            until: now + self.a_while,
            refused,
        });
    }

    /// The target wants fewer of us. True where that is to be told.
    fn note_enough(&mut self, workers: usize, now: Instant) -> bool {
        let told = self.wanted <= 1 || std::mem::replace(&mut self.told, true);
        self.be_at_most(workers.min(self.wanted), true, now);
        !told
    }

    fn portion(&self) -> Portion {
        portion(Backlog {
            share: self.share,
            left: self.left,
            size: self.size,
            workers: self.wanted as u64,
            each: self.each,
        })
    }

    fn take(&mut self) -> bool {
        let more = self.there < self.wanted;
        self.there += usize::from(more);
        more
    }
}

/// A worker, until this goes.
pub(super) struct Seat<'a> {
    workers: &'a Workers,
    given_up: bool,
    /// It ends as it should.
    pub(super) well: bool,
}

impl Seat<'_> {
    /// Are there more workers than are wanted? Then this one is none any more.
    pub(super) fn is_one_too_many(&mut self) -> bool {
        let mut plan = self.workers.plan();
        if !self.given_up && plan.there > plan.wanted {
            plan.there = plan.there.saturating_sub(1);
            self.given_up = true;
        }
        self.given_up
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut plan = self.workers.plan();
        if !self.given_up {
            plan.there = plan.there.saturating_sub(1);
            plan.wanted = plan.wanted.min(plan.there);
        }
        plan.troubled |= !self.well;
    }
}

impl Workers {
    /// `a_while`: how long there are fewer where fewer are better.
    pub(super) fn new(a_while: Duration) -> Workers {
        Workers(Mutex::new(Plan::new(a_while)))
    }

    /// A pass begins, over so many messages of about this size in bytes.
    pub(super) fn begin(&self, pending: u64, size: u64, most: usize) {
        self.plan().begin(pending, size, most, Instant::now());
    }

    /// How many would begin with so many messages.
    pub(super) fn useful(&self, pending: u64, most: usize) -> usize {
        let mut plan = self.plan();
        plan.most = most;
        useful(pending).min(plan.at_most(Instant::now())).max(1)
    }

    /// Is one more to begin? It counts as there from now on.
    pub(super) fn take(&self) -> bool {
        self.plan().take()
    }

    /// One that was taken begins.
    pub(super) fn seat(&self) -> Seat<'_> {
        Seat {
            workers: self,
            given_up: false,
            well: false,
        }
    }

    /// One that was taken does not begin: others have the sessions that there may be.
    pub(super) fn give_back(&self) {
        let mut plan = self.plan();
        plan.there = plan.there.saturating_sub(1);
        plan.wanted = plan.there;
        plan.trial = None;
    }

    /// How long a session takes for a message, as far as that is known.
    pub(super) fn each(&self) -> Option<Duration> {
        let plan = self.plan();
        plan.each.or(plan.seen)
    }

    /// A session has seen how long it takes for one.
    pub(super) fn note_each(&self, each: Duration) {
        self.plan().seen = Some(each);
    }

    pub(super) fn any(&self) -> bool {
        self.plan().there > 0
    }

    pub(super) fn note_claimed(&self, rows: usize) {
        let mut plan = self.plan();
        plan.left = plan.left.saturating_sub(rows as u64);
    }

    /// A session was refused, or ended, because there are too many. True where that is to be told.
    pub(super) fn note_refused(&self) -> bool {
        let mut plan = self.plan();
        let others = plan.there.saturating_sub(1);
        plan.note_enough(others, Instant::now())
    }

    /// The target asks for patience. True where it is to be told that there are fewer.
    pub(super) fn note_throttled(&self) -> bool {
        let mut plan = self.plan();
        let fewer = plan.wanted.saturating_sub(1);
        plan.note_enough(fewer, Instant::now())
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        lock(&self.0)
    }
}

fn useful(pending: u64) -> usize {
    pending.div_ceil(PER_WORKER).clamp(1, FEW as u64) as usize
}

impl Engine {
    /// There are too many sessions with the target: those that others have will do.
    pub(super) fn go_on_with_fewer(&self, e: &Error) {
        let fewer = e.then("going on with fewer connections");
        if self.workers.note_refused() {
            warn!("{fewer}");
        } else {
            debug!("{fewer}");
        }
    }

    /// A session was let in, and was ended as one too many: that is no trouble where others are at work.
    pub(super) fn unless_fewer_will_do(&self, end: Result<()>) -> Result<()> {
        match end {
            Err(e) if is_about_sessions(&e) && self.sessions.at_work() > 1 => {
                self.go_on_with_fewer(&e);
                Ok(())
            }
            end => end,
        }
    }

    /// How much a worker takes next. Where all that were counted are claimed, others may have come since.
    pub(super) fn next_portion(&self) -> Result<Portion> {
        if self.workers.plan().left == 0 {
            let left = self.ledger.step(|l| {
                let (in_flight, _) = l.under_way()?;
                Ok(l.left()?.0.saturating_sub(in_flight))
            })?;
            self.workers.plan().note_left(left);
        }
        Ok(self.workers.plan().portion())
    }

    /// Takes note of a message that the target has answered, or that needs nothing more, and has others help where that is
    /// of use.
    pub(super) fn note_done(&self) {
        let sessions = self.sessions.at_work();
        let more = self.workers.plan().note_done(sessions, Instant::now());
        if more {
            self.wake();
        }
    }
}

/// Does a server say that there are too many sessions, and not that too much was sent?
fn is_about_sessions(error: &Error) -> bool {
    let lower = error.message.to_lowercase();
    error.reaction().again == Again::AfterPause
        && lower.contains("too many")
        && ["connection", "session"].iter().any(|n| lower.contains(n))
}

#[cfg(test)]
mod tests;
