//! Does the target still let us in? Asked at the start, and now and then while nothing is delivered that
//! would show it: else a dead sign-in would look well until mail comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use chrono::Utc;
use log::debug;

use super::{Engine, Task};
use crate::error::{Again, Error, Result};

/// What is known of the way into the target.
#[derive(Default)]
pub(super) struct Door {
    /// When it last took a message, or would have taken one.
    open_at: Option<Instant>,
    /// The last try failed, which no pass has answered for yet.
    refused: Option<Error>,
    /// The access token is good, and cannot be renewed when it has run out.
    ends: Option<Error>,
    /// The trouble at hand was met by a try for which no mail waited, and which new mail may make again.
    mail_may_try: bool,
}

impl Door {
    pub(super) fn is_open(&mut self) {
        self.open_at = Some(Instant::now());
    }

    /// What is told while mail still flows.
    pub(super) fn ends(&self) -> Option<&Error> {
        self.ends.as_ref()
    }

    /// Other credentials are there, of which nothing is known.
    pub(super) fn is_another(&mut self) {
        self.open_at = None;
        self.ends = None;
    }

    /// Is the way in to be tried again as soon as mail comes, although the last try failed?
    pub(super) fn mail_may_try(&self) -> bool {
        self.mail_may_try
    }

    /// A new pass begins. True when mail might have begun it.
    pub(super) fn forget_the_try(&mut self) -> bool {
        std::mem::take(&mut self.mail_may_try)
    }
}

impl Engine {
    /// Is it time to try? A refusal that nobody has heard of is enough for now: servers ban whoever tries a
    /// wrong password again and again.
    fn sign_in_is_due(&self) -> bool {
        let state = self.state();
        let door = &state.entrance;
        if let Some(e) = &door.refused
            && e.reaction().needs_person
        {
            return false;
        }
        let most = match door.ends {
            Some(_) => self.times.needs_user,
            None => self.times.sign_in,
        };
        door.open_at.is_none_or(|at| at.elapsed() >= most)
    }

    /// To be done beside the look at the source, where that is waited for anyway: what it finds goes through
    /// this session.
    pub(super) fn sign_in_beside(&self) -> Option<Task> {
        let once = self.once.load(Ordering::Relaxed);
        if !once || self.sessions.any_idle() || !self.sign_in_is_due() {
            return None;
        }
        Some(Box::new(|e: &Engine| {
            let end = e.open_account();
            // What refused an earlier try is over, or it is another one now.
            e.state().entrance.refused = end.as_ref().err().cloned();
            if let Ok(account) = end {
                e.sessions.keep(account);
            }
            Ok(())
        }))
    }

    /// For a pass that has nothing to deliver: the target would take it.
    pub(super) fn signed_in(self: &Arc<Engine>) -> Result<()> {
        self.not_refused()?;
        if !self.sign_in_is_due() {
            return Ok(());
        }
        let end = self.all(vec![Box::new(Engine::try_the_door)]);
        // A person is waited for, and so is the end of a delay that the server stated. Else nothing says that
        // mail would not get in.
        self.state().entrance.mail_may_try = end.as_ref().is_err_and(|e| {
            let passes = matches!(e.reaction().again, Again::Soon | Again::AfterPause);
            passes && e.delay.is_none()
        });
        end
    }

    /// With `--once`: the refusal of the last try, which is not made again in this run.
    pub(super) fn refused_for_good(&self) -> Option<Error> {
        let once = self.once.load(Ordering::Relaxed);
        let refused = self.state().entrance.refused.clone();
        refused.filter(|e| once && e.reaction().needs_person)
    }

    /// Takes note of a try that was made on the way to something else.
    pub(super) fn was_refused(&self, e: &Error) {
        if self.once.load(Ordering::Relaxed) && e.reaction().needs_person {
            self.state().entrance.refused = Some(e.clone());
        }
    }

    /// The refusal of the last try, which is trouble now.
    pub(super) fn not_refused(&self) -> Result<()> {
        self.state().entrance.refused.take().map_or(Ok(()), Err)
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
        self.state().entrance.is_open();
        if once {
            account.logout();
        } else {
            // Saying goodbye may take a while, and nobody waits for it.
            let _ = thread::Builder::new().spawn(move || account.logout());
        }
        Ok(())
    }

    /// A token that is good for an hour more says nothing of the time after it. Each `--once` would renew it
    /// again; the next one that finds it run out will say.
    fn renew(&self) {
        let ends = match self.setup().target.renew(Utc::now()) {
            Ok(()) => None,
            Err(e) if e.reaction().needs_person => Some(e),
            Err(e) => {
                debug!("{}", e.then("going on with the token at hand"));
                return;
            }
        };
        self.state().entrance.ends = ends;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn what_was_known_of_other_credentials_is_forgotten() {
        let mut door = Door::default();
        door.is_open();
        door.ends = Some(Error::new(Fault::NeedsUser, "revoked"));
        door.is_another();
        assert!(door.open_at.is_none() && door.ends().is_none());
    }
}
