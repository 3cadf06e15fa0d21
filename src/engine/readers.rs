//! Several routes of a process that read one account: what one of them removes there, the others may not have copied yet. Not
//! for routes of other processes, of which nobody here knows.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Engine, lock};
use crate::error::{Error, Fault, Result};

/// The configurations of this process that read one account, whether a run of them goes on or not: what one of them has not
/// copied it may be to copy still.
#[derive(Default)]
pub struct Readers(Mutex<HashSet<PathBuf>>);

impl Readers {
    pub fn join(&self, file: &Path) {
        lock(&self.0).insert(file.to_path_buf());
    }

    pub fn leave(&self, file: &Path) {
        lock(&self.0).remove(file);
    }
}

impl Engine {
    /// This route reads an account that others may read as well.
    pub fn read_beside(&self, readers: Arc<Readers>) {
        let _ = self.readers.set(readers);
    }

    /// # Errors
    /// `NeedsUser`: another route of this process reads the account, too.
    pub(super) fn reads_alone(&self) -> Result<()> {
        let alone = |readers: &Arc<Readers>| lock(&readers.0).len() <= 1;
        if self.readers.get().is_none_or(alone) {
            return Ok(());
        }
        Err(Error::new(
            Fault::NeedsUser,
            "another configuration of this run reads the same account, and may not have copied yet what would be removed after its delivery: nothing is removed",
        )
        .hint("set `after_delivery` to \"keep\" here, and remove by hand what both have copied; or let one configuration read that account"))
    }
}
