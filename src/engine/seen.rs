//! What is asked about messages that were delivered, and what was seen of their copies. Not for what follows from it (`verify`).

use std::collections::{HashMap, HashSet};

use super::Engine;
use crate::ledger::{RowId, Verification};
use crate::message::{Uid, UidValidity};
use crate::target::{Copy, Told, Wanted};

/// What was seen of copies in one mailbox.
pub(super) struct Seen {
    /// Of that mailbox.
    pub(super) validity: UidValidity,
    pub(super) copies: HashMap<Uid, Copy>,
    /// The bytes of those that were asked for along with it.
    pub(super) bodies: HashMap<Uid, Vec<u8>>,
    /// Whose bytes are compared, whatever they look like.
    pub(super) samples: HashSet<RowId>,
}

impl Seen {
    pub(super) fn of(told: Told, samples: HashSet<RowId>) -> Seen {
        Seen {
            validity: told.validity,
            copies: told.copies.into_iter().map(|c| (c.uid, c)).collect(),
            bodies: told.bodies.into_iter().collect(),
            samples,
        }
    }

    pub(super) fn is_sample(&self, sent: &Verification) -> bool {
        self.samples.contains(&sent.row.id)
    }
}

impl Engine {
    /// What is asked about copies in one mailbox, and of which rows they are whose bytes are compared.
    pub(super) fn to_be_looked_at(&self, sent: &[Verification]) -> (Wanted, HashSet<RowId>) {
        let mut wanted = Wanted {
            uids: Vec::with_capacity(sent.len()),
            sampled: Vec::new(),
            sampled_bytes: 0,
        };
        let mut samples = HashSet::new();
        for one in sent {
            let Some(place) = one.place else { continue };
            wanted.uids.push(place.uid);
            if self.is_sample(one.row.about.size) {
                samples.insert(one.row.id);
                wanted.sampled.push(place.uid);
                wanted.sampled_bytes += one.row.about.size.unwrap_or(0);
            }
        }
        for uids in [&mut wanted.uids, &mut wanted.sampled] {
            uids.sort_unstable();
            uids.dedup();
        }
        (wanted, samples)
    }
}
