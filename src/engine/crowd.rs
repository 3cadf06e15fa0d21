//! Several routes into one account: how many sessions they have with it together. Not for what they do in them.

use std::sync::{Arc, Mutex};

use super::workers::FEW;
use super::{Engine, lock};
use crate::target::Account;
use crate::threads;

/// The sessions of all routes into one account beside the one that each may always have.
#[derive(Default)]
pub struct Crowd(Mutex<usize>);

/// A session that a route may have besides its first, until this is dropped.
pub(super) struct Extra(Option<Arc<Crowd>>);

impl Crowd {
    /// One more, as long as all routes together have no more than `most`.
    fn take(self: Arc<Crowd>, most: usize) -> Option<Extra> {
        let mut taken = lock(&self.0);
        if *taken >= most {
            return None;
        }
        *taken += 1;
        drop(taken);
        Some(Extra(Some(self)))
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        if let Some(crowd) = &self.0 {
            *lock(&crowd.0) -= 1;
        }
    }
}

impl Engine {
    /// This route is one of several into its target, which share its connections from now on.
    pub fn share(&self, crowd: Arc<Crowd>) {
        let _ = self.crowd.set(crowd);
    }

    /// One more session besides the first of a pass, where there may be one.
    pub(super) fn take_session(&self) -> Option<Extra> {
        match self.crowd.get() {
            Some(crowd) => {
                let most = self.setup().config.connections.saturating_sub(1);
                Arc::clone(crowd).take(most)
            }
            None => Some(Extra(None)),
        }
    }

    /// Nothing more goes through this session. Where other routes may want to come in it is gone when this returns.
    pub(super) fn let_go(&self, account: Account) {
        if self.crowd.get().is_some() {
            account.logout();
        } else {
            self.sessions.let_go(account);
        }
    }

    /// After a pass: idle sessions are let go, but for a few, and for one where other routes may want to come in.
    pub(super) fn leave_room(&self) {
        let kept = if self.crowd.get().is_some() { 1 } else { FEW };
        let surplus = self.sessions.take_all_but(kept);
        if !surplus.is_empty() {
            // Saying goodbye may take a while, and nobody waits for it.
            let _ = threads::spawn(move || surplus.into_iter().for_each(Account::logout));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_have_no_more_than_the_one_with_the_most() {
        let crowd = Arc::new(Crowd::default());
        let take = |wanted: usize, most| -> Vec<Extra> {
            let take = || Arc::clone(&crowd).take(most);
            std::iter::from_fn(take).take(wanted).collect()
        };
        let first = take(3, 3);
        assert_eq!(first.len(), 3);
        // Who may have more in all gets what is left of that.
        let second = take(5, 4);
        assert_eq!((second.len(), take(1, 3).len()), (1, 0));
        drop(first);
        assert_eq!(take(3, 3).len(), 2);
        drop(second);
        assert_eq!(take(3, 3).len(), 3);
    }
}
