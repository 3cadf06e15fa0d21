//! Several routes into one account: how many sessions they have with it together. Not for what they do in them.

use std::sync::{Arc, Mutex};

use super::{Engine, lock};
use crate::target::Account;
use crate::threads;

/// The sessions of all routes into one account beside the one that each may always have.
#[derive(Default)]
pub struct Crowd(Mutex<usize>);

/// Sessions that a route may have besides its first, until this is dropped.
pub(super) struct Extra {
    crowd: Option<Arc<Crowd>>,
    pub(super) sessions: usize,
}

impl Crowd {
    /// As many as are wanted, as long as all routes together have no more than `most`.
    fn take(self: Arc<Crowd>, wanted: usize, most: usize) -> Extra {
        let mut taken = lock(&self.0);
        let sessions = wanted.min(most.saturating_sub(*taken));
        *taken += sessions;
        drop(taken);
        Extra {
            crowd: Some(self),
            sessions,
        }
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        if let Some(crowd) = &self.crowd {
            *lock(&crowd.0) -= self.sessions;
        }
    }
}

impl Engine {
    /// This route is one of several into its target, which share its connections from now on.
    pub fn share(&self, crowd: Arc<Crowd>) {
        let _ = self.crowd.set(crowd);
    }

    /// The sessions besides its first that a pass may have, of those that it could make use of.
    pub(super) fn take_sessions(&self, wanted: usize) -> Extra {
        match self.crowd.get() {
            Some(crowd) => {
                let most = self.setup().config.connections.saturating_sub(1);
                Arc::clone(crowd).take(wanted, most)
            }
            None => Extra {
                crowd: None,
                sessions: wanted,
            },
        }
    }

    /// After a pass: where others may want to come in, one idle session is kept and the rest let go.
    pub(super) fn leave_room(&self) {
        if self.crowd.get().is_none() {
            return;
        }
        let surplus = self.sessions.take_all_but_one();
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
        let take = |wanted, most| Arc::clone(&crowd).take(wanted, most);
        let first = take(3, 3);
        assert_eq!(first.sessions, 3);
        // Who may have more in all gets what is left of that.
        let second = take(5, 4);
        assert_eq!((second.sessions, take(1, 3).sessions), (1, 0));
        drop(first);
        assert_eq!(take(3, 3).sessions, 2);
        drop(second);
        assert_eq!(take(3, 3).sessions, 3);
    }
}
