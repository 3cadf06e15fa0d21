//! What goes on disk before the messages of a batch go out: where looking for them begins, and what they count for of the day.
//! Not for how they go (`pipeline`).

use chrono::Utc;

use super::batch::Batch;
use super::budget::limit_reached;
use super::index;
use super::pipeline::Pipeline;
use super::send::{Parcel, Upload};
use crate::error::Result;
use crate::ledger::{IndexMailbox, Intent};
use crate::target::Account;

impl<'e> Pipeline<'e> {
    /// Intent first, then effect, message by message. `next`: the batch that is sent next.
    pub(super) fn mark_and_send(
        &mut self,
        batch: &mut Batch<'_>,
        mut parcels: Vec<Parcel>,
        boxes: &[IndexMailbox],
        next: impl FnOnce(&Account) -> Result<Option<Batch<'e>>>,
    ) -> Result<()> {
        let Some(first) = parcels.first() else {
            return Ok(());
        };
        let engine = self.engine;
        // What went before may have had the account look for its mailboxes anew.
        let destination = first.row.destination;
        let destination = engine.ledger.step(|l| l.destination(destination))?;
        if *self.account.spot() != destination.spot || self.is_in_trouble() {
            self.at_rest()?.deliver_into(&destination.spot)?;
        }
        let limit = engine.setup().config.upload_limit_per_day;
        let now = Utc::now();
        let intents: Vec<Intent> = parcels.iter().map(|p| p.intent).collect();
        let marked = engine
            .ledger
            .step(|l| l.mark(&intents, &index::marks(boxes), limit, now))?;
        let upload = Upload {
            booked_at: now,
            messages: marked,
            unsent: intents.iter().take(marked).map(|i| i.size).sum(),
        };
        let others = parcels.split_off(marked);
        self.send(batch, parcels, upload, next)?;
        match limit {
            Some(limit) if !others.is_empty() && !engine.stopping() => Err(limit_reached(limit)),
            _ => Ok(()),
        }
    }
}
