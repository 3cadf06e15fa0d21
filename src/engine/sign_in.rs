//! Does the target still let us in? Asked at the start, and now and then while nothing is delivered that
//! would show it: else a dead sign-in would look well until mail comes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::Utc;
use log::debug;

use super::gate::{Gate, Keeper};
use super::index::TargetIndex;
use super::tasks::Task;
use super::{Engine, lock};
use crate::config::Since;
use crate::error::{Again, Error, Result};
use crate::target::Account;
use crate::threads;

/// Where so many messages are to come more sessions than one are opened, and the target is looked at, while the source is.
const MANY: u64 = 100;

/// The way into the target.
#[derive(Default)]
pub(super) struct Entrance {
    known: Mutex<Known>,
    first: Mutex<FirstSession>,
    /// Others are opened beside the first session, and nobody has decided yet whether they are let in.
    keeper: Mutex<Option<Keeper>>,
}

/// What is known of it.
#[derive(Default)]
struct Known {
    /// When it last took a message, or would have taken one.
    open_at: Option<Instant>,
    /// The last try failed, which no pass has answered for yet.
    refused: Option<Error>,
    /// The access token is good, and cannot be renewed when it has run out.
    ends: Option<Error>,
    /// The trouble at hand was met by a try for which no mail waited, and which new mail may make again.
    mail_may_try: bool,
}

/// Held by whoever opens the first session of a pass: what refused it, if so.
#[derive(Default)]
struct FirstSession {
    refused: Option<Error>,
}

impl Entrance {
    /// The target takes messages, or would.
    pub(super) fn note_open(&self) {
        lock(&self.known).open_at = Some(Instant::now());
    }

    /// What is told while mail still flows.
    pub(super) fn ends(&self) -> Option<Error> {
        lock(&self.known).ends.clone()
    }

    /// Other credentials are there, of which nothing is known.
    pub(super) fn note_other_credentials(&self) {
        let mut known = lock(&self.known);
        known.open_at = None;
        known.ends = None;
    }

    /// Is the way in to be tried again as soon as mail comes, although the last try failed?
    pub(super) fn mail_may_try(&self) -> bool {
        lock(&self.known).mail_may_try
    }

    /// A new pass begins. True when mail might have begun it.
    pub(super) fn take_mail_may_try(&self) -> bool {
        std::mem::take(&mut lock(&self.known).mail_may_try)
    }

    /// Nobody has tried yet in this pass.
    pub(super) fn forget_first_session(&self) {
        lock(&self.first).refused = None;
    }

    fn decide_about_others(&self, opens: impl FnOnce() -> bool) {
        if let Some(keeper) = lock(&self.keeper).take() {
            keeper.decide(opens());
        }
    }

    fn refused(&self) -> Option<Error> {
        lock(&self.known).refused.clone()
    }

    fn note_refused(&self, refused: Option<Error>) {
        lock(&self.known).refused = refused;
    }
}

impl Engine {
    /// One session first: what is refused to one worker is not tried by the others as well, since servers ban
    /// whoever tries a wrong password again and again.
    pub(super) fn open_after_the_others(&self) -> Result<Account> {
        let mut first = lock(&self.entrance.first);
        if self.sessions.any_at_work() {
            drop(first);
            return self.open_account();
        }
        if let Some(error) = first.refused.clone() {
            return Err(error);
        }
        let opened = self.open_account();
        first.refused = opened.as_ref().err().cloned();
        opened
    }

    /// Is it time to try? Not while a refusal is still to be reported: servers ban whoever tries a wrong
    /// password again and again.
    fn sign_in_is_due(&self) -> bool {
        let known = lock(&self.entrance.known);
        if let Some(e) = &known.refused
            && e.reaction().needs_person
        {
            return false;
        }
        let most = if known.ends.is_some() {
            self.times.needs_user
        } else {
            self.times.sign_in
        };
        known.open_at.is_none_or(|at| at.elapsed() >= most)
    }

    /// With `--once`: opens a session with the target while the source is looked at, which takes its time
    /// anyway. What is found there goes through this session.
    pub(super) fn sign_in_beside(self: &Arc<Engine>) -> Option<Task> {
        let once = self.once.load(Ordering::Relaxed);
        if !once || self.sessions.any_idle() || !self.sign_in_is_due() {
            return None;
        }
        let engine = Arc::clone(self);
        let (gate, keeper) = Gate::new();
        *lock(&self.entrance.keeper) = Some(keeper);
        Some(Box::new(move |e: &Engine| {
            let expected = e.many_are_likely()?;
            if expected {
                engine.open_beside(&gate);
            }
            let end = e.open_account();
            // What refused an earlier try is over, or it is another one now.
            e.entrance.note_refused(end.as_ref().err().cloned());
            let Ok(mut account) = end else {
                e.entrance.decide_about_others(|| false);
                return Ok(());
            };
            if e.many_are_to_come()? {
                e.entrance.decide_about_others(|| true);
                if !expected {
                    engine.open_beside(&gate);
                }
                e.look_beside(&mut account);
            }
            if account.usable() {
                e.sessions.keep(account);
            }
            Ok(())
        }))
    }

    /// The source was looked at: whether others are needed besides the first session is known by now.
    pub(super) fn decide_about_others(&self) {
        let many = || self.many_are_to_come().unwrap_or(false);
        self.entrance.decide_about_others(many);
    }

    fn many_are_to_come(&self) -> Result<bool> {
        self.ledger
            .step(|l| Ok(l.left()?.0 + l.history_ahead()? >= MANY))
    }

    /// A mailbox holds many, as a rule, when it is looked at for the first time. Later it is known, and a server that refused us
    /// then sees no more of us than it has to.
    fn many_are_likely(&self) -> Result<bool> {
        let all = self.setup().config.since == Since::All;
        Ok(all && self.ledger.step(|l| l.is_untouched())?)
    }

    /// Opens others for the workers to come, up to the gate, and further when that opens. Where several routes share the account
    /// each waits for its turn.
    fn open_beside(self: &Arc<Engine>, gate: &Gate) {
        if self.crowd.get().is_some() {
            return;
        }
        for _ in 1..self.workers.useful(MANY, self.connections()) {
            let (opening, engine) = (self.sessions.note_opening(), Arc::clone(self));
            let gate = gate.clone();
            let begun = threads::spawn(move || {
                // Whoever hears that it is open may end the process: the ledger is to be closed by then.
                let (_opening, engine) = (opening, engine);
                match engine.open_account_behind(&gate) {
                    Ok(account) => engine.sessions.keep(account),
                    // Whoever needs it tries again, and says so.
                    Err(e) => debug!("{}", e.then("going on without this session for now")),
                }
            });
            if begun.is_err() {
                break;
            }
        }
    }

    /// Looks at what the account holds, which the first batch needs. Whoever sends it meets what goes wrong here, too.
    fn look_beside(&self, account: &mut Account) {
        let mut index = TargetIndex::through(self, account);
        let looked = index.refresh().and_then(|mut boxes| {
            boxes
                .iter_mut()
                .try_for_each(|index_mailbox| index.cover_latest(index_mailbox, Utc::now()))
        });
        if let Err(e) = looked {
            debug!("{}", e.then("looking again later"));
        }
        drop(index);
        self.note_shut(account);
    }

    /// For a pass that has nothing to deliver: makes sure, now and then, that the target would take it.
    pub(super) fn sign_in(self: &Arc<Engine>) -> Result<()> {
        self.take_refusal()?;
        if !self.sign_in_is_due() {
            return Ok(());
        }
        let end = self.all(vec![Box::new(Engine::try_the_door)]);
        // A person is waited for, and so is the end of a delay that the server stated. Else nothing says that
        // mail would not get in.
        let mail_may_try = end.as_ref().is_err_and(|e| {
            let passes = matches!(e.reaction().again, Again::Soon | Again::AfterPause);
            passes && e.delay.is_none()
        });
        lock(&self.entrance.known).mail_may_try = mail_may_try;
        end
    }

    /// With `--once`: the refusal of the last try, which is not made again in this run.
    pub(super) fn refused_for_good(&self) -> Option<Error> {
        let once = self.once.load(Ordering::Relaxed);
        self.entrance
            .refused()
            .filter(|e| once && e.reaction().needs_person)
    }

    /// Takes note of a try that was made on the way to something else.
    pub(super) fn note_refused_entry(&self, e: &Error) {
        if self.once.load(Ordering::Relaxed) && e.reaction().needs_person {
            self.entrance.note_refused(Some(e.clone()));
        }
    }

    /// The refusal of the last try, which this pass answers for: as an error, if there is one.
    pub(super) fn take_refusal(&self) -> Result<()> {
        let refused = lock(&self.entrance.known).refused.take();
        refused.map_or(Ok(()), Err)
    }

    fn try_the_door(&self) -> Result<()> {
        let once = self.once.load(Ordering::Relaxed);
        if !once {
            self.renew();
        }
        let beside = once.then(|| self.sessions.take_idle()).flatten();
        let mut account = match beside {
            Some((account, _)) => account,
            None => self.open_account()?,
        };
        if self.work_is_due()? {
            // It has come meanwhile, and shows the rest.
            account.wait();
            self.sessions.keep(account);
            return Ok(());
        }
        // No work goes through this session any more: the index looks into each mailbox anew.
        let delivery = account.delivery().to_string();
        account.opens(&delivery)?;
        self.entrance.note_open();
        if once {
            account.logout();
        } else {
            // Saying goodbye may take a while, and nobody waits for it.
            let _ = threads::spawn(move || account.logout());
        }
        Ok(())
    }

    /// Renews the token before its time: that it is good for an hour more does not say that it can be renewed
    /// then. Not with `--once`, where each run would renew it again, and the first that finds it run out says so.
    fn renew(&self) {
        let ends = match self.setup().target.renew(Utc::now()) {
            Ok(()) => None,
            Err(e) if e.reaction().needs_person => Some(e),
            Err(e) => {
                debug!("{}", e.then("going on with the token at hand"));
                return;
            }
        };
        lock(&self.entrance.known).ends = ends;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn what_was_known_of_other_credentials_is_forgotten() {
        let entrance = Entrance::default();
        entrance.note_open();
        lock(&entrance.known).ends = Some(Error::new(Fault::NeedsUser, "revoked"));
        entrance.note_other_credentials();
        assert!(lock(&entrance.known).open_at.is_none() && entrance.ends().is_none());
    }
}
