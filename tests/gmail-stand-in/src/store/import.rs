//! What becomes of a message that came through the API (docs/gmail-import.md 3): stored with what import puts in front
//! of it, merged into one that is there, called spam, filed by a filter.

use std::collections::BTreeSet;

use chrono::{DateTime, FixedOffset, Utc};

use super::{New, Store, honoured};
use crate::clock::delta;
use crate::knobs::Knobs;
use crate::message::Place;

/// Where a message lies, and what is on it.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) place: Place,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) flags: BTreeSet<String>,
}

/// A message that came through the API.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) bytes: Vec<u8>,
    /// Lines that are put in front of it.
    pub(crate) trace: String,
    pub(crate) marks: Marks,
    /// Import, which merges and threads; else insert, which does neither.
    pub(crate) delivered: bool,
    /// None: now.
    pub(crate) date: Option<DateTime<FixedOffset>>,
    pub(crate) now: DateTime<Utc>,
}

impl Store {
    /// Gives the id of the message that it became, or became a part of.
    pub(crate) fn import(&mut self, import: Import, knobs: &Knobs) -> u64 {
        let twin = if import.delivered {
            self.twin(&import.bytes, knobs.dedupe.key)
        } else {
            None
        };
        let Marks {
            place,
            labels,
            flags,
        } = import.marks;
        if let Some(twin) = twin {
            self.change(twin, 0, |message| {
                message.place = place;
                message.labels.extend(labels);
            });
            return twin;
        }
        let mut bytes = import.trace.into_bytes();
        bytes.extend_from_slice(&import.bytes);
        let new = New {
            bytes: bytes.into(),
            flags,
            labels,
            place,
            threaded: import.delivered,
            internal_date: honoured(import.date, true, import.now),
            indexed_at: import.now + delta(knobs.index_lag),
        };
        self.insert(new, 0)
    }
}
