//! Our sessions with the target: how many are at work, and those that wait for the next mail.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;

use crate::target::Account;

#[derive(Default)]
pub(super) struct Sessions(Mutex<Pool>);

#[derive(Default)]
struct Pool {
    at_work: usize,
    /// And since when each waits.
    idle: Vec<(Account, Instant)>,
}

/// One session at work, until this goes.
pub(super) struct AtWork<'a>(&'a Sessions);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.pool().at_work -= 1;
    }
}

impl Sessions {
    pub(super) fn count(&self) -> AtWork<'_> {
        self.pool().at_work += 1;
        AtWork(self)
    }

    pub(super) fn any_at_work(&self) -> bool {
        self.pool().at_work > 0
    }

    pub(super) fn any_idle(&self) -> bool {
        !self.pool().idle.is_empty()
    }

    /// One that waits and can still be used, and for how long it has waited.
    pub(super) fn take_idle(&self) -> Option<(Account, Duration)> {
        let (account, since) = self.pool().idle.pop()?;
        let good = account.usable() && !account.outlived(Utc::now());
        good.then(|| (account, since.elapsed()))
    }

    /// This one waits for the next mail.
    pub(super) fn keep(&self, account: Account) {
        self.pool().idle.push((account, Instant::now()));
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

    /// Those that wait, wait for nothing any more.
    pub(super) fn end_idle(&self) {
        let idle = self.take_idle_for(Duration::ZERO);
        idle.into_iter().for_each(Account::logout);
    }

    /// Those that wait were opened with what no longer holds.
    pub(super) fn drop_idle(&self) {
        let idle = std::mem::take(&mut self.pool().idle);
        drop(idle);
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
