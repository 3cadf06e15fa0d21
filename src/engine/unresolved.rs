//! Rows that no worker holds and that are still in flight, since nobody saw how their APPEND ended: since when
//! that is so, why, and from when on looking for them again may tell something new. The ledger knows which
//! rows they are; the rest begins anew with each process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::lock;
use crate::error::Error;
use crate::ledger::{Row, RowId};
use crate::target::Policy;
use crate::target::api::Upload;

#[derive(Default)]
pub(super) struct Unresolved {
    rows: Mutex<HashMap<RowId, Open>>,
}

/// Why looking for a row tells nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// The target holds a message that it may be and that cannot be read.
    Unreadable,
    /// The place it was sent to does not open, or cannot be made.
    PlaceShut,
}

struct Open {
    last_byte: Instant,
    /// What left it open, unless that was another process: a temporary NO, the end of the
    /// connection, or a worker of ours that broke down over it or another of its batch.
    why: Option<Error>,
    /// It was looked for since: another look shows something new only once its absence counts.
    looked: bool,
    hidden: Option<Hidden>,
    /// The resumable upload that it was sent with: Gmail's API knows what became of it.
    upload: Option<Upload>,
    by_import: bool,
    /// It has no Message-ID or no Date: a target that merges copies would not know a second one for the same message.
    anonymous: bool,
}

impl Open {
    fn new(row: &Row, why: Option<Error>) -> Open {
        Open {
            last_byte: Instant::now(),
            why,
            looked: false,
            hidden: None,
            upload: None,
            by_import: row.by_import,
            anonymous: row.is_anonymous(),
        }
    }

    fn believed_at(&self, target: &Policy) -> Instant {
        self.last_byte + target.late_commit(self.anonymous)
    }
}

impl Unresolved {
    /// Nobody saw how this row's APPEND ended: its time counts from now.
    pub(super) fn add(&self, row: &Row, why: Error) {
        self.rows().insert(row.id, Open::new(row, Some(why)));
    }

    /// The same of a row that was sent through Gmail's API.
    pub(super) fn add_import(&self, row: &Row, why: Error, upload: Option<Upload>) {
        let open = Open {
            upload,
            ..Open::new(row, Some(why))
        };
        self.rows().insert(row.id, open);
    }

    /// Is there a row that was sent through Gmail's API and is to be looked for now?
    pub(super) fn is_import_due(&self, target: &Policy) -> bool {
        let due = |open: &Open| !open.looked || open.believed_at(target) <= Instant::now();
        self.rows()
            .values()
            .any(|open| open.by_import && open.hidden.is_none() && due(open))
    }

    /// The rows that were sent by resumable uploads, and those.
    pub(super) fn uploads(&self) -> Vec<(RowId, Upload)> {
        let rows = self.rows();
        let uploads = rows
            .iter()
            .map(|(id, open)| Some((*id, open.upload.clone()?)));
        uploads.flatten().collect()
    }

    /// Takes in the rows in flight that no worker holds. For those that were not known, time counts from now.
    pub(super) fn adopt(&self, rows: &[Row], why: Option<&Error>) {
        let mut open = self.rows();
        for row in rows {
            open.entry(row.id)
                .or_insert_with(|| Open::new(row, why.cloned()));
        }
    }

    /// It is known what became of this row. Returns what had left it open.
    pub(super) fn remove(&self, id: RowId) -> Option<Error> {
        self.rows().remove(&id)?.why
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }

    /// The rows to look for: not those that were looked for and whose absence does not count yet. Each
    /// look costs a session, and where a message cannot be read several.
    pub(super) fn worth_a_look(&self, target: &Policy) -> Vec<RowId> {
        let rows = self.rows();
        let worth = rows
            .iter()
            .filter(|(_, open)| !open.looked || open.believed_at(target) <= Instant::now());
        worth.map(|(id, _)| *id).collect()
    }

    /// A server may commit late: only after this time is the absence of a message believed.
    pub(super) fn absence_counts(&self, id: RowId, target: &Policy) -> bool {
        self.rows()
            .get(&id)
            .is_some_and(|open| open.believed_at(target) <= Instant::now())
    }

    /// When the next of them is to be looked for. `hidden`: also those of which a look tells nothing now.
    pub(super) fn next_look(&self, target: &Policy, hidden: bool) -> Option<Instant> {
        let rows = self.rows();
        let counted = rows.values().filter(|open| hidden || open.hidden.is_none());
        counted.map(|open| open.believed_at(target)).min()
    }

    /// It was looked for in vain.
    pub(super) fn note_look(&self, id: RowId) {
        if let Some(open) = self.rows().get_mut(&id) {
            open.looked = true;
            open.hidden = None;
        }
    }

    /// A look tells nothing of it now: it is looked for again after as long a time. False when that is known already.
    pub(super) fn note_hidden(&self, id: RowId, by: Hidden) -> bool {
        self.rows().get_mut(&id).is_some_and(|open| {
            open.last_byte = Instant::now();
            open.looked = true;
            open.hidden.replace(by) != Some(by)
        })
    }

    /// A row of which a look tells nothing now.
    pub(super) fn a_hidden_one(&self) -> Option<(RowId, Hidden)> {
        let rows = self.rows();
        let hidden = rows
            .iter()
            .filter_map(|(id, open)| Some((*id, open.hidden?)));
        hidden.min_by_key(|(id, _)| *id)
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<RowId, Open>> {
        lock(&self.rows)
    }
}
