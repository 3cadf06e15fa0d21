//! `run --once`: everything that waits is tried once, then it is over.

use std::sync::Arc;
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use log::warn;

use super::imports::IMPORT;
use super::removal::REMOVAL;
use super::{Ended, Engine, backoff};
use crate::error::{Again, Error, Result, Scope};
use crate::text::{minute, span};

/// The name of our sign of life in the ledger.
const PART: &str = "run";
/// How often a run begins anew with a source that gives its messages other UIDs each time.
const RENUMBERED_MAX: u32 = 5;

impl Engine {
    /// One pass over everything: what an earlier process left in flight is resolved, new mail is
    /// recorded, and every pending row is tried once.
    ///
    /// # Errors
    /// The fault of an account, or of a connection that stayed out of reach for `once_patience`.
    pub fn run_once(self: &Arc<Engine>) -> Result<Ended> {
        self.begin_run(&[PART, IMPORT, REMOVAL], true)?;
        let end = self.until_done();
        self.sessions.await_opened(self.times.farewell);
        self.sessions.end_idle();
        self.sessions.await_left();
        let notice = self.notice();
        let trouble = end.as_ref().err().or(notice.as_ref()).map(Error::advised);
        self.ledger.step(|l| {
            l.trouble(PART, trouble.as_ref(), Utc::now())?;
            l.run_ends(Utc::now())
        })?;
        end
    }

    fn until_done(self: &Arc<Engine>) -> Result<Ended> {
        self.adopt_in_flight(false)?;
        let mut course = Course::default();
        loop {
            let pass = self.pass(&mut course.discovered);
            if self.stopping() {
                return Ok(Ended::Stopped);
            }
            // A worker that panicked could not say what it held.
            self.adopt_in_flight(true)?;
            if self.reader().renumbered() {
                self.begin_anew(&mut course)?;
            }
            let pass = match pass {
                // Nothing is left to deliver, so nothing waits until the target has had its pause.
                Err(e)
                    if e.reaction().again == Again::AfterPause
                        && course.discovered
                        && !self.anything_open()? =>
                {
                    let then = if self.counter.counts().delivered.messages == 0 {
                        "nothing waits for it"
                    } else {
                        "all was delivered through fewer connections"
                    };
                    warn!("{}", e.then(then));
                    Ok(())
                }
                pass => pass,
            };
            match pass {
                // A refusal that is no message's own passes as a lost connection does.
                Err(e) if e.scope() <= Scope::Session => {
                    self.wait_for_another_try(&mut course, e)?;
                    continue;
                }
                Err(e) => return Err(e),
                Ok(()) => {
                    if course.failing_since.take().is_some() {
                        self.ledger.step(|l| l.trouble(PART, None, Utc::now()))?;
                    }
                    course.waits = 0;
                }
            }
            match self.next_step(course.discovered)? {
                Next::Now => {}
                Next::At(at) => {
                    self.wait(at, false)?;
                }
                Next::Over => {
                    self.remove_once()?;
                    self.tell_of_the_rest()?;
                    break;
                }
            }
        }
        self.reader().logout();
        let (pending, failed) = self.ledger.step(|l| l.left())?;
        Ok(if (pending, failed) == (0, 0) {
            Ended::Done
        } else {
            Ended::Left { pending, failed }
        })
    }

    /// The source has new UIDs: the next look begins with them. A few times that is no trouble.
    fn begin_anew(&self, course: &mut Course) -> Result<()> {
        course.discovered = false;
        course.renumbered += 1;
        if course.renumbered <= RENUMBERED_MAX {
            return Ok(());
        }
        Err(Error::connection(format!(
            "{} of the source gives its messages other UIDs again and again",
            self.reader().name()
        ))
        .hint("its operator should look into it; what was delivered is not sent twice"))
    }

    /// Waits after a trouble that may pass; an error when it has lasted too long.
    fn wait_for_another_try(&self, course: &mut Course, e: Error) -> Result<()> {
        let patience = self.times.once_patience;
        let progress = self.counter.progress_at();
        let since = course
            .failing_since
            .filter(|t| *t >= progress)
            .unwrap_or_else(Instant::now);
        let left = patience.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(e);
        }
        let e = e.advised();
        let wait = backoff(course.waits, self.times.reconnect).min(patience);
        course.waits += 1;
        let last = Utc::now() + TimeDelta::from_std(left).unwrap_or_default();
        let then = format!(
            "trying again in {}, until {}",
            span(wait.as_secs()),
            minute(last)
        );
        // What can be done about it is said once.
        if course.failing_since.replace(since) == Some(since) {
            warn!("{}", e.then(&then));
        } else {
            warn!("{}", e.in_full(&then));
        }
        self.ledger
            .step(|l| l.trouble(PART, Some(&e), Utc::now()))?;
        let until = Instant::now() + wait;
        self.pause.set(Some(until));
        self.wait(until, false)?;
        self.pause.set(None);
        Ok(())
    }

    /// Is there a row whose message waits, is under way, or was sent and not looked at?
    fn anything_open(&self) -> Result<bool> {
        self.ledger
            .step(|l| Ok(l.left()?.0 > 0 || !l.unverified()?.is_empty()))
    }

    fn next_step(&self, discovered: bool) -> Result<Next> {
        if !discovered {
            return Ok(Next::Now);
        }
        let now = Instant::now();
        let due = self.pause.take_due(now);
        self.ledger
            .step(|l| due.iter().try_for_each(|id| l.wake(*id)))?;
        if self.ledger.step(|l| l.untried())? && self.unresolved.is_empty() {
            return Ok(Next::Now);
        }
        // Two workers that end at the same moment leave it to each other to look at what a third had sent.
        let unseen = self.ledger.step(|l| l.unverified())?;
        if unseen.iter().any(|sent| !sent.row.by_import) {
            return Ok(Next::Now);
        }
        // Of what may be hidden another look in this run would show the same.
        let unresolved = self
            .unresolved
            .next_look(&self.known_target.policy(), false);
        let next = unresolved.into_iter().chain(self.pause.next_due()).min();
        Ok(next.map_or(Next::Over, Next::At))
    }
}

/// How a run has gone so far.
#[derive(Default)]
struct Course {
    /// The source was looked through for new mail.
    discovered: bool,
    /// How often it had new UIDs since.
    renumbered: u32,
    /// Waits since a pass last went well.
    waits: u32,
    /// No message got anywhere since then.
    failing_since: Option<Instant>,
}

enum Next {
    Now,
    At(Instant),
    Over,
}
