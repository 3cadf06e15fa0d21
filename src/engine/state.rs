//! What a run knows and the ledger need not: who was not seen to end, who was absent, how the target
//! bears us. All of it begins anew with the process.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use log::{debug, warn};

use super::blame::{Blame, Evidence};
use super::daemon::DELIVER;
use super::settle::Outcome;
use super::{BROKE_DOWN, Engine, backoff};
use crate::error::{Charge, Error, Fault, Result, shown};
use crate::gmail::{Account, Shut, all_mail_hidden};
use crate::ledger::{Change, Row};

/// In bytes per second; `wire` gives up what is slower.
const SLOWEST: u64 = 8 << 10;
/// How often a mailbox of copies may refuse to open before it is done without.
const REFUSALS_MAX: u32 = 3;

/// A mailbox of the target that did not open.
#[derive(Default)]
pub(super) struct Closed {
    refusals: u32,
    /// It is done without until then.
    until: Option<Instant>,
}

impl Engine {
    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What a person should know although the run goes on.
    pub(super) fn notice(&self) -> Option<Error> {
        let noticed = {
            let state = self.state();
            state.blame.trouble().or_else(|| state.notice.clone())
        };
        self.held_up().or(noticed).or_else(|| {
            let (setup, now) = (self.setup(), Utc::now());
            let ends = self.state().entrance.ends().cloned();
            let ends_soon = ends.or_else(|| setup.target.ends_soon(now));
            ends_soon.or_else(|| setup.source.ends_soon(now))
        })
    }

    pub(super) fn was_absent(&self, id: i64) -> bool {
        self.state().absent.contains_key(&id)
    }

    pub(super) fn not_absent(&self, id: i64) {
        self.state().absent.remove(&id);
    }

    /// Takes note that a message is not in the source. True when that was seen before, long enough
    /// ago.
    pub(super) fn absent(&self, id: i64) -> bool {
        let mut state = self.state();
        let first = *state.absent.entry(id).or_insert_with(Instant::now);
        first.elapsed() >= self.times.second_look
    }

    /// The deliverer is heard of again when so many bytes have gone over the slowest link that is
    /// waited for.
    pub(super) fn promise_transfer(&self, bytes: u64) {
        let transfer = Duration::from_secs(bytes / SLOWEST);
        self.promise(DELIVER, self.times.batch + transfer);
    }

    /// A server that says [THROTTLED] with its OKs is given more time from message to message.
    pub(super) fn mind_throttle(&self, throttled: bool) {
        let tries = {
            let mut state = self.state();
            state.throttled_in_a_row = if throttled {
                state.throttled_in_a_row + 1
            } else {
                0
            };
            state.throttled_in_a_row
        };
        if tries > 0 {
            debug!("the target asks for patience");
            thread::sleep(backoff(tries - 1, self.times.throttled));
        }
    }

    /// A mailbox of copies that hangs, or refuses again and again, is done without for a while.
    pub(super) fn mind_shut(&self, account: &Account) {
        let Some((name, shut)) = account.shut() else {
            return;
        };
        let mut state = self.state();
        let closed = state.closed.entry(name.to_string()).or_default();
        closed.refusals = match shut {
            Shut::Refused => closed.refusals + 1,
            Shut::Stuck => REFUSALS_MAX,
        };
        if closed.refusals < REFUSALS_MAX {
            return;
        }
        closed.refusals = 0;
        closed.until = Some(Instant::now() + self.times.all_mail_again);
        let name = shown(name.as_bytes());
        if account.index_mailboxes().first().map(String::as_str) == account.shut().map(|s| s.0) {
            warn!(
                "{name} does not open; looking for copies in {} instead for a while",
                shown(account.delivery().as_bytes())
            )
        } else {
            warn!("{name} does not open; looking for no copies there for a while")
        }
    }

    /// The mailboxes of copies that are done without now.
    pub(super) fn closed_now(&self) -> Vec<String> {
        let now = Instant::now();
        let state = self.state();
        let closed = state
            .closed
            .iter()
            .filter(|(_, c)| c.until.is_some_and(|until| now < until));
        let mut names: Vec<String> = closed.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// What kind of account the target is, and what a person should know of it.
    pub(super) fn note_target(&self, account: &Account, without: &[String]) {
        let mut state = self.state();
        state.gmail = account.is_gmail();
        state.notice = if !without.is_empty() {
            let names = shown(without.join(", ").as_bytes());
            Some(Error::new(
                Fault::Transient,
                format!(
                    "{names} of the target does not open now, so copies in it are not recognised"
                ),
            ))
        } else if account.lacks_all_mail() {
            Some(all_mail_hidden())
        } else {
            None
        };
    }

    /// What holds up a message, and perhaps more, and is no fault of a server or an account.
    fn held_up(&self) -> Option<Error> {
        let id = self.unresolved.a_hidden_one()?;
        Some(
            Error::new(
                Fault::Transient,
                format!("nobody saw how the delivery of message {id} ended, and the target holds a message that it may be and that cannot be read"),
            )
            .hint("it is looked for until a day has passed, and listed as failed then; where the source has given its messages new UIDs, they wait as long"),
        )
    }

    pub(super) fn wake_later(&self, id: i64, at: Instant) {
        if !self.once.load(Ordering::Relaxed) {
            // The ledger has its time.
            return;
        }
        self.state().later.push((at, id));
    }

    /// What this run has seen that tells whose fault the end of this attempt is.
    pub(super) fn evidence(&self, row: &Row, outcome: &Outcome) -> Evidence {
        let mut state = self.state();
        match outcome {
            Outcome::Refused { .. } => state.blame.of_all(row.id),
            Outcome::FoundAbsent { why: Some(e) } if e.reaction().charge == Charge::Attempt => {
                state.blame.of_all(row.id)
            }
            Outcome::Died(e) | Outcome::NotTaken(e) | Outcome::FoundAbsent { why: Some(e) } => {
                let mut evidence = state.blame.died(row.id, row.unseen > 0, e);
                // That was no connection's fault.
                evidence.another_got_through |= e.message == BROKE_DOWN;
                evidence
            }
            _ => Evidence::default(),
        }
    }

    /// A message got through: those that may have been refused or cut off for no fault of theirs have
    /// their turn again.
    pub(super) fn got_through(&self) -> Result<()> {
        self.takes_messages(Blame::got_through)
    }

    /// The same of one that was sent at another time, perhaps by another process.
    pub(super) fn did_arrive(&self) -> Result<()> {
        self.takes_messages(Blame::arrived)
    }

    fn takes_messages(&self, note: fn(&mut Blame) -> bool) -> Result<()> {
        let mut state = self.state();
        state.entrance.is_open();
        let call_back = note(&mut state.blame);
        drop(state);
        if call_back {
            self.ledger.step(|l| l.call_back(Utc::now()))?;
        }
        Ok(())
    }

    /// A row was refused with an error that may be its own. An error when every message gets it: then
    /// none is charged.
    pub(super) fn mind_refusal(&self, row: &Row, error: &Error) -> Result<()> {
        let charged_before = row.first_failed_at.is_some();
        let of_all = self.state().blame.refused(row.id, charged_before, error);
        match of_all {
            Some((trouble, wrongly)) => {
                self.ledger.step(|l| l.uncharge(&wrongly, Utc::now()))?;
                self.state().blame.puts_behind(false);
                Err(trouble)
            }
            None => Ok(()),
        }
    }

    /// A message has been settled.
    pub(super) fn count(&self, row: &Row, change: &Change) {
        let mut state = self.state();
        match change {
            Change::Released { unseen: false } => {}
            Change::Released { unseen: true } => state.blame.puts_behind(false),
            Change::PutOff { .. } => state.blame.puts_behind(true),
            Change::Retry { .. } | Change::Later { .. } => {
                state.last_progress = Instant::now();
                state.blame.charged(row.id);
            }
            Change::Delivered { .. }
            | Change::Failed { .. }
            | Change::Gone
            | Change::AsBefore { .. } => {
                state.last_progress = Instant::now();
                state.blame.done(row.id);
                // A message that is back after it was gone is looked for twice again.
                state.absent.remove(&row.id);
            }
        }
        state.tally.settled(row, change);
    }
}
