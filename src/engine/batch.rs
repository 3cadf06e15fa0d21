//! The rows of a batch, from claim to the end of each: whatever ends the batch, each row is settled, or stays in
//! flight to be resolved by looking. Not for the steps in between (`deliver`, `fetch`, `send`).

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use chrono::Utc;
use log::{debug, info, warn};

use super::Engine;
use super::reader::sender_and_subject;
use super::settle::{Outcome, settle};
use crate::error::{Error, Result};
use crate::ledger::{Change, Row, RowId};
use crate::text::{bytes_text, minute, moment};

/// The rows of a batch that are still in flight. Whatever ends the batch, what was not begun is
/// released when this goes.
pub(super) struct Batch<'a> {
    pub(super) engine: &'a Engine,
    pub(super) rows: Vec<Row>,
}

impl Batch<'_> {
    pub(super) fn settle(&mut self, row: &Row, outcome: Outcome) -> Result<()> {
        self.settle_all(vec![(row, outcome)])
    }

    /// Several together, in one step of the ledger.
    pub(super) fn settle_all(&mut self, ended: Vec<(&Row, Outcome)>) -> Result<()> {
        if ended.is_empty() {
            return Ok(());
        }
        let (now, engine) = (Utc::now(), self.engine);
        let mut rows = Vec::with_capacity(ended.len());
        let mut changes = Vec::with_capacity(ended.len());
        for (row, outcome) in ended {
            let evidence = engine.note_outcome(row, &outcome);
            // Of a mailbox that does not open the look tells, once for all its messages; of a road that rests its trouble.
            let shut = matches!(outcome, Outcome::Shut | Outcome::Held { .. });
            let change = settle(outcome, row, evidence, now, &engine.times);
            if !shut {
                tell(|| engine.named(row), &change);
                if let Change::Later { .. } = change {
                    engine.wake_row_at(row.id, Instant::now() + engine.times.second_look);
                }
            }
            if let Change::Held { at, .. } = change
                && engine.once.load(Ordering::Relaxed)
                && engine.is_tried_again(at)
            {
                let wait = (at - now).to_std().unwrap_or_default();
                engine.wake_row_at(row.id, Instant::now() + wait);
            }
            rows.push(row);
            changes.push((row.id, change));
        }
        // Taken out first: where the ledger cannot be written the rows stay in flight, since their messages may be in
        // the target, and only a look may release them.
        let ids: HashSet<RowId> = changes.iter().map(|(id, _)| *id).collect();
        self.rows.retain(|r| !ids.contains(&r.id));
        engine.ledger.step(|l| l.settle_all(&changes, now))?;
        for (row, (_, change)) in rows.into_iter().zip(&changes) {
            engine.note_settled(row, change);
        }
        Ok(())
    }

    /// The target does not have this message and will not. Sender and subject go with it, so that a person
    /// recognises it.
    pub(super) fn refuse(&mut self, row: &Row, error: Error, header: &[u8]) -> Result<()> {
        let (sender, subject) = sender_and_subject(header);
        self.settle(
            row,
            Outcome::Refused {
                error,
                sender,
                subject,
            },
        )
    }

    /// It is the batch's again: the target certainly does not have it.
    pub(super) fn take_up(&mut self, row: &Row) {
        self.rows.push(row.clone());
    }

    /// Its end is not known: only a look may settle it.
    pub(super) fn leave_in_flight(&mut self, row: &Row) {
        self.rows.retain(|r| r.id != row.id);
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody knows what was under way: the supervisor has these rows looked for.
            return;
        }
        let rows = std::mem::take(&mut self.rows);
        let released = rows.iter().map(|row| (row, Outcome::NotBegun)).collect();
        if let Err(e) = self.settle_all(released) {
            // They stay in flight, and the next run resolves them.
            debug!("{} messages could not be released: {e}", rows.len());
        }
    }
}

fn tell(message: impl Fn() -> String, change: &Change) {
    match change {
        Change::Retry { error, at, .. } => {
            let again = format!("tried again after {}", moment(*at));
            warn!("{}: {}", message(), error.then(&again));
        }
        Change::Failed { error, .. } => warn!("{} failed: {error}", message()),
        Change::Gone => info!("{} is no longer in the source", message()),
        Change::Later { .. } => {
            info!(
                "{} is not in the source now; looking once more later",
                message()
            );
        }
        Change::PutOff { .. } => info!("{} goes behind the others", message()),
        Change::Delivered { .. }
        | Change::Imported { .. }
        | Change::Held { .. }
        | Change::Released { .. }
        | Change::AsBefore { .. } => {}
    }
}

impl Engine {
    /// A message in the log, so that a person recognises it: no subject, no sender.
    pub(super) fn named(&self, row: &Row) -> String {
        let folder = self.ledger.step(|l| l.folder_of(row.mailbox_id));
        let folder = folder.map_or_else(|_| "?".into(), |folder| folder.shown());
        let id = row
            .about
            .message_id
            .as_ref()
            .map_or("no Message-ID", |m| &m.text);
        format!(
            "the mail of {}, {} ({folder} UID {}, message {}, {id})",
            minute(row.internal_date),
            bytes_text(row.about.size.unwrap_or(0)),
            row.about.uid,
            row.id
        )
    }
}
