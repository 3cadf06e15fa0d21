//! Several routes of a process that read one account: what one of them removes there, the others may not have copied yet. Not
//! for routes of other processes, of which nobody here knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Engine;
use crate::error::{Error, Fault, Result};

/// How many routes of this process read one account.
#[derive(Default)]
pub struct Readers(AtomicUsize);

/// A route that reads it, until this is dropped.
pub(super) struct Reading(Arc<Readers>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine {
    /// This route reads an account that others may read as well.
    pub fn read_beside(&self, readers: Arc<Readers>) {
        readers.0.fetch_add(1, Ordering::SeqCst);
        let _ = self.reading.set(Reading(readers));
    }

    /// # Errors
    /// `NeedsUser`: another route of this process reads the account, too.
    pub(super) fn reads_alone(&self) -> Result<()> {
        let readers = self.reading.get().map(|reading| &reading.0.0);
        if readers.is_none_or(|readers| readers.load(Ordering::SeqCst) <= 1) {
            return Ok(());
        }
        Err(Error::new(
            Fault::NeedsUser,
            "another configuration of this run reads the same account, and may not have copied yet what would be removed after its delivery: nothing is removed",
        )
        .hint("set `after_delivery` to \"keep\" here, and remove by hand what both have copied; or let one configuration read that account"))
    }
}
