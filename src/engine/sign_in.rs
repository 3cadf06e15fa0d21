//! Does the target still let us in? Asked at the start, and now and then while nothing is delivered that
//! would show it: else a dead sign-in would look well until mail comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use chrono::Utc;
use log::debug;

use super::{Engine, Task};
use crate::error::{Error, Fault, Result};
use crate::gmail::Account;

/// What is known of the way into the target.
#[derive(Default)]
pub(super) struct Door {
    /// When it last let us in, or took a message.
    open_at: Option<Instant>,
    /// It did not at the last try, which no pass has answered for yet.
    refused: Option<Error>,
    /// The access token is good, and cannot be renewed when it has run out.
    ends: Option<Error>,
}

impl Door {
    pub(super) fn is_open(&mut self) {
        self.open_at = Some(Instant::now());
        self.refused = None;
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

    /// To be done beside the look at the source, where that is waited for anyway.
    pub(super) fn sign_in_beside(&self) -> Option<Task> {
        let beside = self.once.load(Ordering::Relaxed) && self.sign_in_is_due();
        beside.then(|| -> Task {
            Box::new(|e: &Engine| {
                e.sign_in();
                Ok(())
            })
        })
    }

    /// For a pass that has nothing to deliver: the target lets us in.
    pub(super) fn signed_in(self: &Arc<Engine>) -> Result<()> {
        if self.sign_in_is_due() {
            self.all(vec![Box::new(|e: &Engine| {
                e.sign_in();
                // Mail that came meanwhile goes through this session.
                if !e.once.load(Ordering::Relaxed) && !e.work_is_due()? {
                    e.sessions.end_idle();
                }
                Ok(())
            })])?;
        }
        self.not_refused()
    }

    /// The refusal of the last try, which is trouble now.
    pub(super) fn not_refused(&self) -> Result<()> {
        self.state().entrance.refused.take().map_or(Ok(()), Err)
    }

    fn sign_in(&self) {
        let end = self.enter_and_look();
        match end {
            Ok(account) => self.sessions.keep(account),
            Err(e) => {
                let mut state = self.state();
                // Also where it let us in and does not open the mailbox.
                state.entrance.open_at = None;
                state.entrance.refused = Some(e);
            }
        }
    }

    fn enter_and_look(&self) -> Result<Account> {
        self.renew();
        let mut account = self.open_account()?;
        let delivery = account.delivery().to_string();
        account.view(&delivery, false)?;
        account.wait();
        Ok(account)
    }

    /// A token that is good for an hour more says nothing of the time after it. Each `--once` would renew it
    /// again; the next one that finds it run out will say.
    fn renew(&self) {
        if self.once.load(Ordering::Relaxed) {
            return;
        }
        let end = self.setup().target.renew(Utc::now());
        let ends = match end {
            Ok(()) => None,
            Err(e) if e.fault == Fault::NeedsUser => Some(e),
            Err(e) => {
                debug!("{}", e.then("going on with the token at hand"));
                return;
            }
        };
        self.state().entrance.ends = ends;
    }
}
