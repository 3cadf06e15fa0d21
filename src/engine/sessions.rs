//! Our sessions with the target: how each is opened, how many are at work, and those that wait for the next
//! mail.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;

use super::gate::Gate;
use super::setup::Setup;
use super::{Engine, lock};
use crate::error::Result;
use crate::ledger::Reach;
use crate::message::Time;
use crate::session::Login;
use crate::target::{Account, Entry};
use crate::threads;

#[derive(Default)]
pub(super) struct Sessions(Arc<Shared>);

#[derive(Default)]
struct Shared {
    pool: Mutex<Pool>,
    /// One was opened, or was not, or has left.
    opened: Condvar,
}

#[derive(Default)]
struct Pool {
    at_work: usize,
    /// Being opened for whoever takes them.
    opening: usize,
    /// Saying goodbye.
    leaving: usize,
    /// And since when each waits.
    idle: Vec<(Account, Instant)>,
}

/// One session at work, until this goes.
pub(super) struct AtWork<'a>(&'a Sessions);

/// One session that is being opened, until this goes.
pub(super) struct Opening(Arc<Shared>);

/// One that says goodbye, until this goes.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        lock(&self.0.pool).leaving -= 1;
        self.0.opened.notify_all();
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        lock(&self.0.pool).opening -= 1;
        self.0.opened.notify_all();
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.pool().at_work -= 1;
    }
}

impl Sessions {
    pub(super) fn note_at_work(&self) -> AtWork<'_> {
        self.pool().at_work += 1;
        AtWork(self)
    }

    pub(super) fn at_work(&self) -> usize {
        self.pool().at_work
    }

    pub(super) fn any_at_work(&self) -> bool {
        self.at_work() > 0
    }

    pub(super) fn any_idle(&self) -> bool {
        !self.pool().idle.is_empty()
    }

    pub(super) fn note_opening(&self) -> Opening {
        self.pool().opening += 1;
        Opening(Arc::clone(&self.0))
    }

    /// Waits until none is being opened any more, `most` at the most.
    pub(super) fn await_opened(&self, most: Duration) {
        let opened = &self.0.opened;
        let waited = opened.wait_timeout_while(self.pool(), most, |pool| pool.opening > 0);
        drop(waited);
    }

    /// One that waits and can still be used, and for how long it has waited. Where one is being opened it is waited for.
    pub(super) fn take_idle(&self) -> Option<(Account, Duration)> {
        let is_to_come = |pool: &mut Pool| pool.idle.is_empty() && pool.opening > 0;
        let waited = self.0.opened.wait_while(self.pool(), is_to_come);
        let mut pool = waited.unwrap_or_else(PoisonError::into_inner);
        let (account, since) = pool.idle.pop()?;
        drop(pool);
        let good = account.usable() && !account.outlived(Utc::now());
        good.then(|| (account, since.elapsed()))
    }

    /// This one says goodbye, and nobody waits for it who opens no other one.
    pub(super) fn let_go(&self, account: Account) {
        self.pool().leaving += 1;
        let leaving = Leaving(Arc::clone(&self.0));
        let _ = threads::spawn(move || {
            account.logout();
            drop(leaving);
        });
    }

    /// Waits until all have left that say goodbye: a server may let in no more than there were.
    pub(super) fn await_left(&self) {
        let left = &self.0.opened;
        drop(left.wait_while(self.pool(), |pool| pool.leaving > 0));
    }

    /// This one waits for the next mail.
    pub(super) fn keep(&self, account: Account) {
        self.pool().idle.push((account, Instant::now()));
        self.0.opened.notify_all();
    }

    /// Takes those that have waited for so long.
    pub(super) fn take_idle_for(&self, time: Duration) -> Vec<Account> {
        let mut pool = self.pool();
        let (old, others) = pool
            .idle
            .drain(..)
            .partition(|(_, since)| since.elapsed() >= time);
        pool.idle = others;
        let old: Vec<(Account, Instant)> = old;
        old.into_iter().map(|(account, _)| account).collect()
    }

    /// Takes those that wait but for so many that wait since last.
    pub(super) fn take_all_but(&self, kept: usize) -> Vec<Account> {
        let mut pool = self.pool();
        let surplus = pool.idle.len().saturating_sub(kept);
        let old = pool.idle.drain(..surplus);
        old.map(|(account, _)| account).collect()
    }

    /// Ends those that wait: nothing comes for them any more.
    pub(super) fn end_idle(&self) {
        let idle = self.take_idle_for(Duration::ZERO);
        idle.into_iter().for_each(Account::logout);
    }

    /// Gives up those that wait, without a goodbye: they were opened with what no longer holds.
    pub(super) fn drop_idle(&self) {
        let idle = std::mem::take(&mut self.pool().idle);
        drop(idle);
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.0.pool)
    }
}

impl Engine {
    /// A new session, with a renewed token where the one at hand is refused.
    pub(super) fn open_account(&self) -> Result<Account> {
        self.open_account_when(&|| Ok(()))
    }

    /// The same, which is let in when the gate opens. A token is had, and renewed where it has to be, by whoever goes first.
    pub(super) fn open_account_behind(&self, gate: &Gate) -> Result<Account> {
        if self.setup().target.has_token() {
            gate.pass()?;
        }
        self.open_account_when(&|| gate.pass())
    }

    fn open_account_when(&self, ready: &dyn Fn() -> Result<()>) -> Result<Account> {
        self.sessions.await_left();
        let setup = self.setup();
        let target = &setup.target;
        target.enter(|login, renew_at| self.open_as(&setup, login, renew_at, ready))
    }

    fn open_as(
        &self,
        setup: &Setup,
        login: &Login,
        renew_at: Option<Time>,
        ready: &dyn Fn() -> Result<()>,
    ) -> Result<Account> {
        let without = self.known_target.closed_now();
        let account = Account::open(&Entry {
            config: &setup.config,
            login,
            renew_at,
            without: &without,
            ready,
            times: &self.times,
        })?;
        self.known_target.note_opened(&account, &without);
        let reach = if account.policy().labels {
            Reach::Account
        } else {
            Reach::Mailbox
        };
        self.ledger.step(|l| {
            l.reach(reach);
            Ok(())
        })?;
        Ok(account)
    }

    /// Takes note of a mailbox of copies that did not open in this session, if one did not.
    pub(super) fn note_shut(&self, account: &Account) {
        let a_while = self.times.all_mail_again;
        self.known_target.note_shut(account, a_while);
    }
}
