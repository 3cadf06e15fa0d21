//! Which rows are queued again, of those that a person names. Nothing is deleted, and nothing is sent here: a run looks for
//! each message in the target, and sends what is not there.

use std::collections::{HashMap, HashSet};

use super::class::Class;
use super::report::{Audit, Difference, Repaired};
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Requeue, RowId, Status};
use crate::message::Time;

/// What a person names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Row(RowId),
    /// All of a class that can be queued again and that the source still has.
    Class(Class),
}

impl Audit {
    /// Queues again what is named, in the ledger that was audited.
    ///
    /// # Errors
    /// `Usage` for an id that cannot be queued again: nothing is changed then.
    pub fn repair(&self, wanted: &[Wanted], now: Time) -> Result<Repaired> {
        let by_row: HashMap<RowId, &Difference> = self
            .differences
            .iter()
            .filter_map(|difference| Some((difference.row?, difference)))
            .collect();
        let mut repaired = Repaired::default();
        let mut chosen: Vec<&Difference> = Vec::new();
        for wanted in wanted {
            match wanted {
                Wanted::Row(id) => chosen.push(self.named(*id, &by_row)?),
                Wanted::Class(class) => {
                    let all = self.differences.iter().filter(|d| d.class == *class);
                    let (here, left): (Vec<_>, Vec<_>) = all.partition(|d| d.at_source);
                    repaired.not_at_source += left.len();
                    chosen.extend(here);
                }
            }
        }
        let mut seen = HashSet::new();
        chosen.retain(|difference| seen.insert(difference.row));
        if chosen.is_empty() {
            return Ok(repaired);
        }
        let mut ledger = Ledger::open_existing(&self.state_file)?;
        let named = chosen.len();
        let twins = twins(&ledger, &chosen, &by_row)?;
        let requeues: Vec<Requeue> = chosen
            .into_iter()
            .chain(twins)
            .filter_map(requeue)
            .collect();
        repaired.queued = ledger.queue_again(&requeues, now)?;
        repaired.with_them = requeues.len() - named;
        repaired.changed = requeues.len() - repaired.queued.len();
        Ok(repaired)
    }

    /// The message of this id, which can be queued again.
    fn named<'a>(
        &self,
        id: RowId,
        by_row: &HashMap<RowId, &'a Difference>,
    ) -> Result<&'a Difference> {
        let lists = format!(
            "`imap-to-gmail audit` lists what can be queued again: messages that are {}, and that the source still has",
            repairable()
        );
        let Some(difference) = by_row.get(&id) else {
            return Err(Error::usage(format!(
                "message {id} is in order, or there is none: nothing was changed"
            ))
            .hint(lists));
        };
        let class = difference.class.name();
        if difference.class == Class::InTrash {
            return Err(Error::usage(format!(
                "message {id} is {class}: it is in the target, and is not sent again; nothing was changed"
            ))
            .hint("take it out of Trash there"));
        }
        if !difference.class.is_repairable() {
            return Err(Error::usage(format!(
                "message {id} is {class}, which is not mended by sending it again: nothing was changed"
            ))
            .hint(lists));
        }
        if !difference.at_source {
            return Err(Error::usage(format!(
                "message {id} is {class}, and the source has it no longer, or it cannot be told: nothing was changed"
            ))
            .hint(lists));
        }
        Ok(difference)
    }
}

/// The classes that can be named.
pub fn repairable() -> String {
    let names = Class::ALL.into_iter().filter(|class| class.is_repairable());
    names.map(Class::name).collect::<Vec<_>>().join(", ")
}

/// Delivered rows with the bytes of these, whose own copy is nowhere either: a run takes equal bytes for delivered as long as
/// one such row is.
fn twins<'a>(
    ledger: &Ledger,
    chosen: &[&'a Difference],
    by_row: &HashMap<RowId, &'a Difference>,
) -> Result<Vec<&'a Difference>> {
    let mut named: HashSet<RowId> = chosen.iter().filter_map(|d| d.row).collect();
    let mut twins = Vec::new();
    for difference in chosen {
        let row = difference.row.map(|id| ledger.row(id)).transpose()?;
        let Some(sha256) = row.flatten().and_then(|row| row.sha256) else {
            continue;
        };
        for twin in ledger.delivered_with(&sha256)? {
            let absent = by_row.get(&twin.id).filter(|d| is_absent(d.class));
            let new = absent.filter(|_| named.insert(twin.id));
            twins.extend(new.copied());
        }
    }
    Ok(twins)
}

fn is_absent(class: Class) -> bool {
    matches!(
        class,
        Class::Deleted | Class::Lost | Class::VoucherGone | Class::GoneFromBoth
    )
}

fn requeue(difference: &Difference) -> Option<Requeue> {
    Some(Requeue {
        id: difference.row?,
        status: difference.status?,
        delivered_at: difference
            .delivered_at
            .filter(|_| difference.status == Some(Status::Delivered)),
    })
}
