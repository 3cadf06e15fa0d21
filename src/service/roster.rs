//! The routes of this process as others may look at them, while they come and go: who tells of them all asks here. Not for
//! making them run (`routes`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::Engine;
use crate::error::Error;

/// One route at a moment.
#[derive(Clone)]
pub struct Entry {
    /// Of its configuration.
    pub file: PathBuf,
    /// As the log calls it; empty where there is no other.
    pub name: Arc<str>,
    /// Its ledger, once it is known.
    pub state_file: Option<PathBuf>,
    /// While its run goes on.
    pub engine: Option<Arc<Engine>>,
    /// Why no run of it goes on.
    pub refused: Option<Error>,
}

/// All routes of this process.
#[derive(Clone, Default)]
pub struct Roster(Arc<Mutex<Vec<Entry>>>);

impl Roster {
    /// The one route of a process that has no other.
    pub fn of_one(engine: &Arc<Engine>, file: &Path, state_file: &Path) -> Roster {
        let roster = Roster::default();
        roster.replace(vec![Entry {
            file: file.to_path_buf(),
            name: "".into(),
            state_file: Some(state_file.to_path_buf()),
            engine: Some(Arc::clone(engine)),
            refused: None,
        }]);
        roster
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn replace(&self, entries: Vec<Entry>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *known, entries);
        drop(known);
        // Whoever lets go of a run last may have to wait for it.
        drop(before);
    }
}
