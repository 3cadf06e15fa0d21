//! A ledger that several threads use, each for one step at a time. Not for what a step does.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Transaction, TransactionBehavior};

use super::open::Ledger;
use super::refusal::explain;
use crate::error::Result;

/// A ledger that several threads use, each for one step at a time.
pub struct Shared(Mutex<Ledger>);

impl Shared {
    pub fn new(ledger: Ledger) -> Shared {
        Shared(Mutex::new(ledger))
    }

    pub fn step<T>(&self, work: impl FnOnce(&mut Ledger) -> Result<T>) -> Result<T> {
        // A panic in a step rolled its transaction back: the ledger is as it was before.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Many questions in one step and one transaction: all of them see one state of the ledger, and they cost what
    /// SQLite asks for one. Nothing is written meanwhile, and no server waited for.
    ///
    /// # Errors
    /// When the ledger cannot be read, and what `look` says.
    pub fn view<T>(&self, look: impl FnOnce(&Ledger) -> Result<T>) -> Result<T> {
        self.step(|l| {
            let l = &*l;
            let refused = |e: rusqlite::Error| explain(&e, &l.path);
            let deferred = TransactionBehavior::Deferred;
            let reading = Transaction::new_unchecked(&l.db, deferred).map_err(refused)?;
            let seen = look(l)?;
            reading.finish().map_err(refused)?;
            Ok(seen)
        })
    }
}
