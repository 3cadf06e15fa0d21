//! Rows whose message was not in the source when it was last looked for, and since when. Only a second
//! look that is empty, a while after the first, makes such a row `gone`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;
use crate::ledger::RowId;

#[derive(Default)]
pub(super) struct Absent(Mutex<HashMap<RowId, Instant>>);

impl Absent {
    /// Takes note that a message is not in the source. True when that was seen before, so long ago.
    pub(super) fn note(&self, row: RowId, apart: Duration) -> bool {
        let mut rows = lock(&self.0);
        let first = *rows.entry(row).or_insert_with(Instant::now);
        first.elapsed() >= apart
    }

    /// The message is there, or done with: the next look that is empty will be the first.
    pub(super) fn forget(&self, row: RowId) {
        lock(&self.0).remove(&row);
    }

    pub(super) fn contains(&self, row: RowId) -> bool {
        lock(&self.0).contains_key(&row)
    }
}
