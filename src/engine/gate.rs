//! Where sessions that are opened beside the first one wait, connected and greeted, until that one is let in: so a wrong password
//! is tried once. Not for how they are opened (`sessions`), nor for how many (`sign_in`).

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::lock;
use crate::error::{Error, Result};

#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// None: nobody knows yet.
    opens: Mutex<Option<bool>>,
    decided: Condvar,
}

/// Who decides about the gate. It is shut when this goes before it has.
pub(super) struct Keeper(Gate);

impl Gate {
    pub(super) fn new() -> (Gate, Keeper) {
        let gate = Gate::default();
        (gate.clone(), Keeper(gate))
    }

    /// Waits until it is known whether they may go on.
    ///
    /// # Errors
    /// They may not.
    pub(super) fn pass(&self) -> Result<()> {
        let opens = lock(&self.0.opens);
        let known = self.0.decided.wait_while(opens, |opens| opens.is_none());
        match *known.unwrap_or_else(PoisonError::into_inner) {
            Some(true) => Ok(()),
            _ => Err(Error::connection("no other session is needed")),
        }
    }
}

impl Keeper {
    /// Only what was decided first counts.
    pub(super) fn decide(&self, opens: bool) {
        lock(&self.0.0.opens).get_or_insert(opens);
        self.0.0.decided.notify_all();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.decide(false);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_waits_goes_on_when_it_opens_and_turns_back_when_nobody_keeps_it() {
        for opens in [true, false] {
            let (gate, keeper) = Gate::new();
            let waiting = thread::spawn(move || (gate.pass().is_ok(), gate.pass().is_ok()));
            if opens {
                keeper.decide(true);
            }
            drop(keeper);
            assert_eq!(waiting.join().ok(), Some((opens, opens)));
        }
    }
}
