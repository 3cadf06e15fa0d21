//! Does the target still let us in? Asked at the start, and now and then while nothing is delivered that
//! would show it: else a dead sign-in would look well until mail comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use chrono::Utc;
use log::debug;

use super::{Engine, Task};
use crate::error::{Error, Fault, Result};
use crate::gmail::DELIVERY;

/// What is known of the way into the target.
#[derive(Default)]
pub(super) struct Door {
    /// When it last took a message, or would have taken one.
    open_at: Option<Instant>,
    /// The last try failed, which no pass has answered for yet.
    refused: Option<Error>,
    /// The access token is good, and cannot be renewed when it has run out.
    ends: Option<Error>,
}

impl Door {
    pub(super) fn is_open(&mut self) {
        self.open_at = Some(Instant::now());
    }

    /// What is told while mail still flows.
    pub(super) fn ends(&self) -> Option<&Error> {
        self.ends.as_ref()
    }

    /// Other credentials are there.
    pub(super) fn is_another(&mut self) {
        self.open_at = None;
    }
}

impl Engine {
    /// Is it time to try? A refusal that nobody has heard of is enough for now: servers ban whoever tries a
    /// wrong password again and again.
    fn sign_in_is_due(&self) -> bool {
        let state = self.state();
        let door = &state.entrance;
        if let Some(e) = &door.refused
            && e.fault == Fault::NeedsUser
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
        if !once || !self.state().warm.is_empty() || !self.sign_in_is_due() {
            return None;
        }
        Some(Box::new(|e: &Engine| {
            let end = e.open_account();
            let mut state = e.state();
            match end {
                Ok(account) => state.warm.push((account, Instant::now())),
                Err(error) => state.entrance.refused = Some(error),
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
        self.all(vec![Box::new(Engine::try_the_door)])
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
        let beside = once.then(|| self.state().warm.pop()).flatten();
        let mut account = match beside {
            Some((account, _)) => account,
            None => self.open_account()?,
        };
        if self.work_is_due()? {
            // It has come meanwhile, and shows the rest.
            account.wait();
            self.state().warm.push((account, Instant::now()));
            return Ok(());
        }
        // No work goes through this session any more: the index looks into each mailbox anew.
        account.view(DELIVERY, false)?;
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
            Err(e) if e.fault == Fault::NeedsUser => Some(e),
            Err(e) => {
                debug!("{}", e.then("going on with the token at hand"));
                return;
            }
        };
        self.state().entrance.ends = ends;
    }

    /// Sessions with the target that wait for nothing any more.
    pub(super) fn let_go_of_all(&self) {
        let warm = std::mem::take(&mut self.state().warm);
        warm.into_iter().for_each(|(account, _)| account.logout());
    }
}
