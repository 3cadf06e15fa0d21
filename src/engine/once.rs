//! `run --once`: everything that waits is tried once, then it is over. And its rehearsal, the dry run.

use std::sync::Arc;
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use log::warn;

use super::budget::{days, too_big};
use super::{BATCH_MAX, Ended, Engine, backoff, index, recognise};
use crate::error::{Error, Fault, Result};
use crate::ledger::{Change, Claim, Proof, Room};
use crate::source::MAILBOX;
use crate::text::{minute, span};

/// The name of our sign of life in the ledger.
const PART: &str = "run";
/// How often a run begins anew with a source that gives its messages other UIDs each time.
const RENUMBERED_MAX: u32 = 5;

/// What a run would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    pub send: u64,
    pub send_bytes: u64,
    /// In the target already, or copied there by the predecessor.
    pub found: u64,
    /// Bigger than the target takes.
    pub too_big: u64,
    /// Bigger than `upload_limit_per_day`.
    pub over_limit: u64,
    /// How many days pass until the last may go, where there is such a limit.
    pub days: u64,
    /// Left open by an earlier run: whether they arrived is looked at first.
    pub unresolved: u64,
    /// The target is a Gmail.
    pub gmail: bool,
    /// Bytes sent in the last 24 hours, where there is a limit for them, and the limit.
    pub uploaded: Option<(u64, u64)>,
}

impl Engine {
    /// One pass over everything: what an earlier process left in flight is resolved, new mail is
    /// recorded, and every pending row is tried once.
    ///
    /// # Errors
    /// The fault of an account, or of a connection that stayed out of reach for `once_patience`.
    pub fn run_once(self: &Arc<Engine>) -> Result<Ended> {
        self.begins(&[PART], true)?;
        let end = self.until_done();
        self.let_go_of_all();
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
        let mut waits = 0;
        let mut failing_since = None;
        let mut discovered = false;
        let mut renumbered = 0;
        loop {
            let pass = self.pass(&mut discovered);
            if self.stopping() {
                return Ok(Ended::Stopped);
            }
            // A worker that panicked could not say what it held.
            self.adopt_in_flight(true)?;
            if self.reader().renumbered {
                // The next look begins with the new UIDs.
                discovered = false;
                renumbered += 1;
                if renumbered > RENUMBERED_MAX {
                    return Err(Error::connection(format!(
                        "{MAILBOX} of the source gives its messages other UIDs again and again"
                    ))
                    .hint(
                        "its operator should look into it; what was delivered is not sent twice",
                    ));
                }
            }
            let pass = match pass {
                Err(e) if e.fault == Fault::Throttled && discovered && !self.anything_open()? => {
                    let then = match self.state().tally.delivered.messages {
                        0 => "nothing waits for it",
                        _ => "all was delivered through fewer connections",
                    };
                    warn!("{}", e.then(then));
                    Ok(())
                }
                pass => pass,
            };
            match pass {
                // A refusal that is no message's own passes as a lost connection does.
                Err(e)
                    if matches!(
                        e.fault,
                        Fault::Connection | Fault::Transient | Fault::Permanent
                    ) =>
                {
                    let patience = self.times.once_patience;
                    let progress = self.state().last_progress;
                    let since = failing_since
                        .filter(|t| *t >= progress)
                        .unwrap_or_else(Instant::now);
                    let left = patience.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        return Err(e);
                    }
                    let e = e.advised();
                    let wait = backoff(waits, self.times.reconnect).min(patience);
                    waits += 1;
                    let last = Utc::now() + TimeDelta::from_std(left).unwrap_or_default();
                    let then = format!(
                        "trying again in {}, until {}",
                        span(wait.as_secs()),
                        minute(last)
                    );
                    // What can be done about it is said once.
                    match failing_since.replace(since) {
                        Some(before) if before == since => warn!("{}", e.then(&then)),
                        _ => warn!("{}", e.in_full(&then)),
                    }
                    self.ledger
                        .step(|l| l.trouble(PART, Some(&e), Utc::now()))?;
                    let until = Instant::now() + wait;
                    self.state().goes_on_at = Some(until);
                    self.wait(until, false)?;
                    self.state().goes_on_at = None;
                    continue;
                }
                Err(e) => return Err(e),
                Ok(()) => {
                    if failing_since.take().is_some() {
                        self.ledger.step(|l| l.trouble(PART, None, Utc::now()))?;
                    }
                    waits = 0;
                }
            }
            match self.next_step(discovered)? {
                Next::Now => {}
                Next::At(at) => self.wait(at, false)?,
                Next::Over => break,
            }
        }
        self.reader().logout();
        let (pending, failed) = self.ledger.step(|l| l.left())?;
        Ok(match (pending, failed) {
            (0, 0) => Ended::Done,
            _ => Ended::Left { pending, failed },
        })
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
        let due: Vec<i64> = {
            let mut state = self.state();
            let (due, later) = state.later.drain(..).partition(|(at, _)| *at <= now);
            state.later = later;
            due.into_iter().map(|(_, id): (Instant, i64)| id).collect()
        };
        self.ledger
            .step(|l| due.iter().try_for_each(|id| l.wake(*id)))?;
        if self.ledger.step(|l| l.untried())? && self.state().unseen.is_empty() {
            return Ok(Next::Now);
        }
        let state = self.state();
        let unseen = state
            .unseen
            .values()
            // Another look in this run would show the same.
            .filter(|u| !u.hidden)
            .map(|u| u.last_byte + self.patience(u, state.gmail));
        let later = state.later.iter().map(|(at, _)| *at);
        Ok(unseen.chain(later).min().map_or(Next::Over, Next::At))
    }

    /// What a run would do, found out without writing anywhere. The ledger must be a scratch one.
    pub fn forecast(self: &Arc<Engine>) -> Result<Forecast> {
        let mut forecast = Forecast {
            unresolved: self.ledger.step(|l| l.in_flight())?.len() as u64,
            ..Forecast::default()
        };
        let a_day = self.setup().config.upload_limit_per_day;
        if let Some(limit) = a_day {
            let sent = self.ledger.step(|l| l.uploaded(Utc::now()))?;
            forecast.uploaded = Some((sent, limit));
        }
        let looked = self.discover(&mut self.reader())?;
        if let Some(trouble) = looked.trouble {
            warn!("{trouble}");
        }
        self.reader().logout();
        if !self.inherited()? {
            return Ok(forecast);
        }
        let mut account = self.open_account()?;
        let takes = account.size_limit();
        let history_below = self
            .ledger
            .step(|l| l.present_mailbox(MAILBOX))?
            .history_below;
        let mut to_send = Vec::new();
        forecast.gmail = account.is_gmail();
        let claim = Claim {
            count: BATCH_MAX,
            bytes: u64::MAX,
            once: true,
        };
        loop {
            let now = Utc::now();
            let rows = self.ledger.step(|l| l.claim(claim, now))?;
            if rows.is_empty() {
                break;
            }
            let mut boxes = index::refresh(&mut account, self)?;
            let copies = recognise::copies(&mut account, self, &mut boxes, &rows, now)?;
            for row in &rows {
                let found = copies.get(&row.id);
                let place = recognise::by_name(&self.ledger, row, found)?;
                let shown = found.is_some_and(|c| !c.named.is_empty());
                let size = row.about.size.unwrap_or(0);
                let change = match place {
                    Some(_) => {
                        forecast.found += 1;
                        Change::Delivered {
                            proof: Proof::Found,
                            place,
                            altered: false,
                        }
                    }
                    None if !shown && self.ledger.step(|l| l.imported_vouches(row.id))? => {
                        forecast.found += 1;
                        Change::Delivered {
                            proof: Proof::Imported,
                            place,
                            altered: false,
                        }
                    }
                    _ => {
                        if too_big(size, takes, None).is_some() {
                            forecast.too_big += 1;
                        } else if too_big(size, takes, a_day).is_some() {
                            forecast.over_limit += 1;
                        } else {
                            to_send.push((size, row.about.uid.0 >= history_below));
                        }
                        Change::Later { at: now }
                    }
                };
                self.ledger.step(|l| l.settle(row.id, &change, now))?;
            }
        }
        account.logout();
        // New mail first.
        to_send.sort_by_key(|(_, new)| !new);
        forecast.send = to_send.len() as u64;
        forecast.send_bytes = to_send.iter().map(|(size, _)| size).sum();
        if let Some((sent, limit)) = forecast.uploaded {
            forecast.days = days(Room { limit, sent }, &to_send);
        }
        Ok(forecast)
    }
}

enum Next {
    Now,
    At(Instant),
    Over,
}
