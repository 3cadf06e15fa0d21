//! Does the target have a message already, as its bytes tell? Asked of what was fetched, right before it would be sent.
//! Not for what its name alone tells (`dedup`, `decide`).

use std::collections::{HashMap, HashSet};

use chrono::{TimeDelta, Utc};
use log::info;

use super::Engine;
use super::dedup::{Copies, whose_copy};
use super::index::TargetIndex;
use super::send::Parcel;
use super::settle::Outcome;
use super::whose::Whose;
use crate::error::Result;
use crate::ledger::{Intent, Place, Proof, Row, RowId, Twin};
use crate::message::{Message, canonical_hash, sha256};
use crate::target::Account;

impl Engine {
    /// Those of these messages that [`recognise`](Self::recognise) would know nothing of: no other row has their bytes, or
    /// their name and bytes that nobody knows, and the target nothing that may be a copy of them. For nearly all mail that
    /// is so, and it is asked in one view.
    pub(super) fn strangers(
        &self,
        parcels: &[Parcel],
        copies: &HashMap<RowId, Copies>,
    ) -> Result<HashSet<RowId>> {
        self.ledger.view(|l| {
            let mut strangers = HashSet::with_capacity(parcels.len());
            for Parcel { row, intent, .. } in parcels {
                if !copies.contains_key(&row.id)
                    && l.unhashed_rivals(row)?.is_empty()
                    && l.twin(row.id, &intent.sha256)?.is_none()
                {
                    strangers.insert(row.id);
                }
            }
            Ok(strangers)
        })
    }

    /// What becomes of a message whose bytes the target has already. Equal bytes are delivered once; messages
    /// that share a name with others are told apart by their bytes.
    pub(super) fn recognise(
        &self,
        account: &mut Account,
        parcel: &Parcel,
        copies: Option<&Copies>,
    ) -> Result<Option<Outcome>> {
        let row = &parcel.row;
        self.hash_rivals(account, row)?;
        let delivered = |proof, place, altered| Outcome::Delivered {
            proof,
            place,
            altered,
        };
        Ok(match self.twin(account, &parcel.intent)? {
            Some(Twin::Delivered) => {
                info!(
                    "{} has the same bytes as a message that was delivered",
                    self.named(row)
                );
                self.record_hashes(&parcel.intent)?;
                Some(delivered(Proof::Same, None, false))
            }
            Some(Twin::Before(before)) => {
                info!(
                    "{} is known from before its mailbox had new UIDs",
                    self.named(row)
                );
                Some(Outcome::KnownBefore { row: before })
            }
            // Another worker has just sent it: the row waits until that copy has been looked at.
            Some(Twin::Unverified) => Some(Outcome::NotBegun),
            Some(Twin::UnverifiedImport) => {
                let wait = account.policy().late_commit(false);
                let until = Utc::now() + TimeDelta::from_std(wait).unwrap_or_default();
                let why =
                    "a message with the same bytes was just imported, and is not to be seen yet"
                        .into();
                Some(Outcome::Held { until, why })
            }
            None => match self.copy_with_bytes(account, row, copies)? {
                Some((place, altered)) => {
                    info!("found {} in the target", self.named(row));
                    self.record_hashes(&parcel.intent)?;
                    Some(delivered(Proof::Found, Some(place), altered))
                }
                None => None,
            },
        })
    }

    /// Another row with these bytes. One that was only answered OK vouches for nobody before its copy has been
    /// looked at, which is done first.
    fn twin(&self, account: &mut Account, sent: &Intent) -> Result<Option<Twin>> {
        let twin = || self.ledger.step(|l| l.twin(sent.row, &sent.sha256));
        match twin()? {
            Some(Twin::Unverified | Twin::UnverifiedImport) => {
                TargetIndex::through(self, account).verify()?;
                twin()
            }
            known => Ok(known),
        }
    }

    fn record_hashes(&self, sent: &Intent) -> Result<()> {
        self.ledger
            .step(|l| l.set_hashes(sent.row, &sent.sha256, &sent.canonical))
    }

    /// Other rows with this row's Message-ID and Date were recognised by those alone, and now it matters which
    /// bytes they have. Their messages are hashed, or their copies where the source has them no longer.
    fn hash_rivals(&self, account: &mut Account, row: &Row) -> Result<()> {
        let rivals = self.ledger.step(|l| l.unhashed_rivals(row))?;
        if rivals.is_empty() {
            return Ok(());
        }
        let others = || self.ledger.step(|l| l.others_to_fetch(row.mailbox_id));
        let folder = self.ledger.step(|l| l.folder_of(row.mailbox_id))?;
        for (rival, place) in rivals {
            let mut body = None;
            if rival.mailbox_id == row.mailbox_id {
                let got = self.reader_at(&folder).messages(
                    &[rival.about.uid],
                    rival.about.size.unwrap_or(0),
                    false,
                    &others,
                )?;
                // What comes with another Message-ID is not the rival's message: its hash would make the rival
                // vouch for bytes that nobody delivered.
                let rivals_own = |m: &Message| m.about.has_id_of(&rival.about);
                body = got.found.into_iter().find(rivals_own).map(|m| m.body);
            }
            if body.is_none()
                && let Some(place) = place
            {
                body = TargetIndex::through(self, account).body_at(place)?;
            }
            if let Some(body) = body {
                self.ledger
                    .step(|l| l.set_hashes(rival.id, &sha256(&body), &canonical_hash(&body)))?;
            }
        }
        Ok(())
    }

    /// The copy among these that has these bytes, and whether the target altered it.
    fn copy_with_bytes(
        &self,
        account: &mut Account,
        row: &Row,
        copies: Option<&Copies>,
    ) -> Result<Option<(Place, bool)>> {
        for place in copies.iter().flat_map(|c| c.named.iter().chain(&c.alike)) {
            // Another row of this batch may have it by now.
            if self
                .ledger
                .step(|l| l.vouches_for_another(row.id, *place))?
            {
                continue;
            }
            // Where the name decides, it has done so before the bytes were fetched.
            let named = false;
            if let Some(body) = TargetIndex::through(self, account).body_at(*place)?
                && let Whose::Ours { altered } = whose_copy(&self.ledger, row, &body, named)?
            {
                return Ok(Some((*place, altered)));
            }
        }
        Ok(None)
    }
}
