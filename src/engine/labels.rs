//! Labels that copies are still to get: given in one step for all that lie in one mailbox and lack the same ones. The
//! ledger knows what is owed before anything is done about it; to give a label twice does no harm, so that whatever
//! ends a run, the next one does it again.

use std::collections::HashMap;

use log::{debug, info, warn};

use super::index::TargetIndex;
use super::lock;
use crate::error::{Error, Fault, Result, Scope};
use crate::folder::Spot;
use crate::ledger::{Debt, Place, RowId};
use crate::message::{Uid, UidValidity};
use crate::target::Labelled;

/// Copies that are given labels with one command at most.
const AT_ONCE: usize = 500;

/// Copies in one mailbox that lack the same labels.
struct Group {
    mailbox: String,
    uid_validity: UidValidity,
    labels: Vec<Spot>,
    debts: Vec<Debt>,
}

impl TargetIndex<'_> {
    /// As [`add_labels_owed`](Self::add_labels_owed). What is refused for now holds up no message: it is the end of this
    /// pass alone.
    pub(super) fn add_labels_for_now(&mut self) -> Result<()> {
        let end = self.add_labels_owed();
        let mut refused = lock(&self.engine.refused_labels);
        *refused = match end {
            Err(e) if e.scope() <= Scope::Session && self.account.usable() => {
                debug!("{}", e.then("labels are given later"));
                Some(e)
            }
            end => {
                end?;
                None
            }
        };
        Ok(())
    }

    /// Gives all copies the labels that they lack.
    pub(super) fn add_labels_owed(&mut self) -> Result<()> {
        let mut after = RowId(0);
        let mut refused = None;
        loop {
            let owed = self.engine.ledger.step(|l| l.labels_owed(AT_ONCE, after))?;
            let Some(last) = owed.last() else {
                return refused.map_or(Ok(()), Err);
            };
            after = last.row;
            let elsewhere = self.add_labels_to_all(owed, &mut refused)?;
            if elsewhere.is_empty() {
                continue;
            }
            // Where its owner has moved it meanwhile, All Mail has it under the same number.
            let found = self.found_in_all_mail(elsewhere)?;
            let lost = self.add_labels_to_all(found, &mut refused)?;
            for debt in &lost {
                info!(
                    "the copy of message {} was taken away in the target, and gets no labels any more",
                    debt.row
                );
            }
            self.engine.ledger.step(|l| l.settle_labels(&lost))?;
        }
    }

    /// Gives these copies their labels. Returns those that are not where they were. What is refused for now is noted, and
    /// the others get theirs all the same.
    fn add_labels_to_all(
        &mut self,
        debts: Vec<Debt>,
        refused: &mut Option<Error>,
    ) -> Result<Vec<Debt>> {
        let mut elsewhere = Vec::new();
        for group in groups(debts, &mut elsewhere) {
            match self.add_labels_to(group) {
                Err(e) if e.scope() <= Scope::Session && self.account.usable() => {
                    refused.get_or_insert(e);
                }
                end => elsewhere.extend(end?),
            }
        }
        Ok(elsewhere)
    }

    /// Gives the copies of a group their labels. Returns those that are not where they were.
    fn add_labels_to(&mut self, group: Group) -> Result<Vec<Debt>> {
        self.reopen()?;
        let place = |debt: &Debt| debt.place.map(|p| p.uid);
        let mut uids: Vec<Uid> = group.debts.iter().filter_map(place).collect();
        uids.sort_unstable();
        uids.dedup();
        let there = match self.add_labels(&group, &uids, &group.labels) {
            Err(e) if e.fault == Fault::Permanent => self.add_labels_singly(&group, &uids)?,
            Err(e) if self.is_gone(&group.mailbox, &e) => None,
            there => there?,
        };
        let there: HashMap<Uid, Option<u64>> = there.into_iter().flatten().collect();
        let (given, elsewhere): (Vec<Debt>, Vec<Debt>) =
            group.debts.into_iter().partition(|debt| {
                let seen = place(debt).and_then(|uid| there.get(&uid));
                seen.is_some_and(|number| debt.gm_msgid.is_none() || *number == debt.gm_msgid)
            });
        self.engine.ledger.step(|l| l.settle_labels(&given))?;
        Ok(elsewhere)
    }

    /// One label after the other: one that is refused is done without, and that is said.
    fn add_labels_singly(&mut self, group: &Group, uids: &[Uid]) -> Result<Option<Vec<Labelled>>> {
        let mut there = Some(Vec::new());
        for label in &group.labels {
            there = match self.add_labels(group, uids, std::slice::from_ref(label)) {
                Err(e) if e.fault == Fault::Permanent => {
                    let rows: Vec<RowId> = group.debts.iter().map(|d| d.row).collect();
                    warn!(
                        "the label {label} is refused for {} (message {} is the first), which stay without it: {e}",
                        crate::text::counted(rows.len(), "message"),
                        rows.first().copied().unwrap_or(RowId(0)),
                    );
                    self.add_labels(group, uids, &[])?
                }
                there => there?,
            };
        }
        Ok(there)
    }

    fn add_labels(
        &mut self,
        group: &Group,
        uids: &[Uid],
        labels: &[Spot],
    ) -> Result<Option<Vec<Labelled>>> {
        let account = &mut *self.account;
        account.add_labels(&group.mailbox, group.uid_validity, uids, labels)
    }

    /// These debts, each with the place where All Mail has its copy now; without one where it has it no longer.
    fn found_in_all_mail(&mut self, debts: Vec<Debt>) -> Result<Vec<Debt>> {
        let Some(all_mail) = self.account.all_mail().map(str::to_string) else {
            return Ok(without_places(debts));
        };
        self.refresh()?;
        // Its owner may have moved a copy before anybody looked at it: then its number is not known.
        let places = self.engine.ledger.view(|l| {
            let each = debts.iter().map(|debt| match debt.gm_msgid {
                Some(number) => l.index_place(&all_mail, number),
                None => l.index_place_by_name(&all_mail, debt.row),
            });
            each.collect::<Result<Vec<Option<Place>>>>()
        })?;
        let found = |(debt, place): (Debt, Option<Place>)| Debt {
            place,
            gm_msgid: debt.gm_msgid.or(place.and_then(|p| p.gm_msgid)),
            mailbox: place.map(|_| all_mail.clone()),
            ..debt
        };
        Ok(debts.into_iter().zip(places).map(found).collect())
    }
}

fn without_places(debts: Vec<Debt>) -> Vec<Debt> {
    let without = |debt| Debt {
        place: None,
        mailbox: None,
        ..debt
    };
    debts.into_iter().map(without).collect()
}

/// Those that have a place, by mailbox and labels; the others are added to `elsewhere`.
fn groups(debts: Vec<Debt>, elsewhere: &mut Vec<Debt>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for debt in debts {
        let (Some(Place { uid_validity, .. }), Some(mailbox)) = (debt.place, debt.mailbox.clone())
        else {
            elsewhere.push(debt);
            continue;
        };
        let same = |g: &&mut Group| {
            g.mailbox == mailbox && g.uid_validity == uid_validity && g.labels == debt.labels
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.debts.push(debt),
            None => groups.push(Group {
                mailbox,
                uid_validity,
                labels: debt.labels.clone(),
                debts: vec![debt],
            }),
        }
    }
    groups
}
