//! A warning before the first message is sent: that the target holds most of what waits already. Not for what
//! follows from it: delivery goes on.

use std::sync::atomic::Ordering;

use log::warn;

use super::Engine;
use super::dedup::DATE_SLACK;
use crate::error::Result;
use crate::ledger::{IndexMailbox, Overlap};

impl Engine {
    /// Warns where the target holds most of what waits. Once in a run, and only where the ledger is a new one. The
    /// index is not filled further for it.
    pub(super) fn warn_of_overlap(&self, boxes: &[IndexMailbox]) -> Result<()> {
        if self.compared.load(Ordering::Relaxed) {
            return Ok(());
        }
        let covered = boxes.iter().map(|b| b.covered_since);
        let Some(covered) = covered.collect::<Option<Vec<_>>>() else {
            return Ok(());
        };
        let Some(covered) = covered.into_iter().max() else {
            return Ok(());
        };
        self.compared.store(true, Ordering::Relaxed);
        if !self.ledger.step(|l| l.has_delivered_nothing())? {
            return Ok(());
        }
        let (overlap, path) = self
            .ledger
            .step(|l| Ok((l.overlap(covered + DATE_SLACK)?, l.path().to_path_buf())))?;
        if overlap.is_telling() {
            warn!("{}", overlap.sentence(&self.setup().config.target_user));
            warn!("{}", Overlap::hint(&path));
        }
        Ok(())
    }
}
