//! Compares the rows of the ledger with what both sides hold, so that each message has a class. Not for the rule itself
//! (`class`), nor for how the sides are asked (`at_source`, `holdings`, `elsewhere`).

use std::collections::HashMap;
use std::path::Path;

use chrono::TimeDelta;

use super::at_source::{SourceFolder, State, Told, describe};
use super::class::{AtSource, Class, How, InLedger, InTarget, Sight, Sizes, class};
use super::door::Door;
use super::elsewhere::{Search, Unplaced};
use super::holdings::Holdings;
use super::report::{Difference, Totals};
use crate::error::Result;
use crate::folder::{FolderId, SpecialUse, Spot};
use crate::ledger::{self, AuditedRow, Ledger, Proof, Status};
use crate::message::{Time, Uid};
use crate::session::SET_MAX;
use crate::source::Source;
use crate::target::{Account, Nook};

/// So many messages without a row are told with what names them: that costs a question to the source.
const DESCRIBED_MAX: usize = SET_MAX;

pub(super) struct Comparison<'a> {
    pub(super) ledger: &'a Path,
    pub(super) folders: &'a mut [SourceFolder],
    pub(super) holdings: &'a mut Holdings,
    /// When the target began to be listed.
    pub(super) begun: Time,
    /// How late the target may still show what it took.
    pub(super) late: TimeDelta,
}

/// What was found of all messages.
pub(super) struct Found {
    /// For each folder.
    pub(super) totals: Vec<Totals>,
    pub(super) differences: Vec<Difference>,
}

/// What one reading of all rows came to.
struct Reading {
    found: Found,
    unplaced: Vec<Unplaced>,
    /// Which messages of each folder have a row.
    known: Vec<Vec<bool>>,
    /// Which messages of the target are copies of rows.
    taken: Vec<usize>,
}

impl Comparison<'_> {
    pub(super) fn compare(
        self,
        source: &mut Door<'_, Source>,
        target: &mut Door<'_, Account>,
    ) -> Result<Found> {
        for folder in ledger::read(self.ledger, |l| changed(l, self.folders))? {
            if let State::Told(told) = &mut self.folders[folder].state {
                told.renumbered = true;
            }
        }
        // All rows are of one moment, later than either list: what a run did meanwhile shows in them.
        let reading = ledger::read(self.ledger, |l| self.read(l))?;
        for (folder, known) in self.folders.iter_mut().zip(reading.known) {
            if let State::Told(told) = &mut folder.state {
                told.known = known;
            }
        }
        reading
            .taken
            .into_iter()
            .for_each(|at| self.holdings.take(at));
        let (mut found, mut unplaced) = (reading.found, reading.unplaced);
        let search = Search {
            ledger: self.ledger,
            holdings: self.holdings,
        };
        search.find(target, &mut unplaced)?;
        for one in unplaced {
            let copy = one.copy.map(|at| (at, one.compared));
            self.add(&one.row, one.source, one.folder, copy, &mut found);
        }
        self.add_rowless(source, &mut found)?;
        self.name(&mut found)?;
        Ok(found)
    }

    /// Gives a class to each row whose copy is where the row says, or that has none.
    fn read(&self, l: &Ledger) -> Result<Reading> {
        let at: HashMap<FolderId, usize> = self
            .folders
            .iter()
            .enumerate()
            .filter_map(|(n, folder)| Some((folder.id?, n)))
            .collect();
        let mut reading = Reading {
            found: Found {
                totals: vec![Totals::default(); self.folders.len()],
                differences: Vec::new(),
            },
            unplaced: Vec::new(),
            known: self.folders.iter().map(none_known).collect(),
            taken: Vec::new(),
        };
        l.each_row(&mut |row| {
            // A folder that was made since is for the next audit.
            let Some(folder) = at.get(&row.folder).copied() else {
                return;
            };
            let source = at_source(&self.folders[folder], &row, &mut reading.known[folder]);
            let copy = match row.status {
                Status::Delivered => self.own_copy(&row),
                _ => None,
            };
            if row.status == Status::Delivered && copy.is_none() {
                reading.unplaced.push(Unplaced {
                    row,
                    source,
                    folder,
                    copy,
                    compared: false,
                });
                return;
            }
            reading.taken.extend(copy);
            let compared = row.proof == Some(Proof::Merged) && row.verified;
            let copy = copy.map(|at| (at, compared));
            self.add(&row, source, folder, copy, &mut reading.found);
        })?;
        Ok(reading)
    }

    /// The copy that the row itself knows.
    fn own_copy(&self, row: &AuditedRow) -> Option<usize> {
        let by_number = row.gm_msgid.and_then(|n| self.holdings.numbered(n));
        by_number.or_else(|| {
            let (place, name) = (row.place?, row.mailbox_there.as_ref()?);
            self.holdings.placed(name, place.uid_validity, place.uid)
        })
    }

    fn add(
        &self,
        row: &AuditedRow,
        source: AtSource,
        folder: usize,
        copy: Option<(usize, bool)>,
        found: &mut Found,
    ) {
        let ledger = match row.status {
            Status::Pending => InLedger::Pending,
            Status::InFlight => InLedger::InFlight,
            Status::Failed => InLedger::Failed,
            Status::Skipped => InLedger::Skipped,
            Status::Gone => InLedger::Gone,
            Status::Delivered => InLedger::Delivered(self.how(row)),
        };
        let class = class(Sight::Row {
            source,
            ledger,
            target: self.in_target(row, copy),
        });
        // Such a message of the source is told of as one without a row.
        if class == Class::Unrecorded {
            return;
        }
        found.totals[folder].add(class);
        if class.is_listed() {
            found.differences.push(Difference {
                class,
                folder,
                row: Some(row.id),
                uid: row.uid,
                at_source: source == AtSource::Here,
                date: Some(row.internal_date),
                size: row.size,
                message_id: None,
                status: Some(row.status),
                error: None,
                delivered_at: row.delivered_at,
            });
        }
    }

    /// How it is known that this row was delivered.
    fn how(&self, row: &AuditedRow) -> How {
        let seen = match row.proof {
            Some(Proof::Merged) => true,
            // A look that found nothing says so by no number.
            Some(Proof::Appended) => {
                row.verified && (!self.holdings.gmail || row.gm_msgid.is_some())
            }
            // Its number is what the API said, and no proof that anybody saw it.
            Some(Proof::ImportedByApi) => row.verified && (!row.altered || row.indexed),
            Some(Proof::Found | Proof::Imported | Proof::Same) | None => true,
        };
        let patience = if seen { TimeDelta::zero() } else { self.late };
        let lately = |at: Time| at >= self.begun - patience;
        let sent = matches!(
            row.proof,
            Some(Proof::Appended | Proof::ImportedByApi | Proof::Merged)
        );
        if row.delivered_at.is_some_and(lately) {
            How::Lately
        } else if !sent {
            How::Vouched
        } else if seen {
            How::Seen
        } else {
            How::Unseen
        }
    }

    /// `copy`: where it is, and whether its bytes are known to be the row's.
    fn in_target(&self, row: &AuditedRow, copy: Option<(usize, bool)>) -> InTarget {
        let Some((at, compared)) = copy else {
            let may_hide = !self.holdings.whole || self.holdings.may_be_unreadable(row.size);
            return if may_hide {
                InTarget::OutOfSight
            } else {
                InTarget::Nowhere
            };
        };
        match (self.holdings.nook(at), &row.spot) {
            // That is where it was to go.
            (Nook::Spam, Spot::Use(SpecialUse::Junk))
            | (Nook::Trash, Spot::Use(SpecialUse::Trash))
            | (Nook::Live, _) => {}
            (Nook::Spam, _) => return InTarget::Spam,
            (Nook::Trash, _) => return InTarget::Trash,
        }
        let not_as_sent = !matches!(row.proof, Some(Proof::Appended | Proof::Merged));
        let sizes = Sizes {
            source: row.size,
            target: self.holdings.size(at),
            lines_in_front: not_as_sent || row.by_import,
            compared,
        };
        if sizes.agree() {
            InTarget::There
        } else {
            InTarget::OtherSize
        }
    }

    /// Gives a class to what the source holds and the ledger does not know.
    fn add_rowless(&self, source: &mut Door<'_, Source>, found: &mut Found) -> Result<()> {
        let mut described = 0;
        for (n, folder) in self.folders.iter().enumerate() {
            let told = match &folder.state {
                State::Told(told) => told,
                State::Counted(messages) => {
                    found.totals[n].add_many(Class::LeftOut, messages.unwrap_or(0));
                    continue;
                }
                State::Gone | State::Untold(_) => continue,
            };
            let dates = dates_of_undated(source, folder, told)?;
            let first = found.differences.len();
            for (uid, date) in rowless(told) {
                let date = date.or_else(|| dates.get(&uid).copied().flatten());
                let above = uid.0 >= told.history_below;
                let class = class(Sight::NoRow {
                    wanted: above || date.is_none_or(|date| date >= told.start),
                    left_out: folder.left_out,
                    renumbered: told.renumbered,
                });
                found.totals[n].add(class);
                if class.is_listed() {
                    let difference = Difference::rowless(class, n, uid, date);
                    found.differences.push(difference);
                }
            }
            let listed = &mut found.differences[first..];
            let some = listed.len().min(DESCRIBED_MAX - described);
            described += some;
            let uids: Vec<Uid> = listed[..some].iter().map(|d| d.uid).collect();
            for told in describe(source, &folder.wire, &uids)? {
                if let Ok(at) = uids.binary_search(&told.uid) {
                    let difference = &mut listed[at];
                    difference.size = told.size;
                    difference.date = difference.date.or_else(|| told.came_at());
                    difference.message_id = told.message_id.map(|id| id.text);
                }
            }
        }
        Ok(())
    }

    /// Adds what names each difference that has a row, and why it failed.
    fn name(&self, found: &mut Found) -> Result<()> {
        let differences = &found.differences;
        let words = ledger::read(self.ledger, |l| {
            let rows = differences.iter().map(|difference| difference.row);
            let words = rows.map(|row| row.map(|id| l.row_words(id)).transpose());
            words.collect::<Result<Vec<_>>>()
        })?;
        for (difference, words) in found.differences.iter_mut().zip(words) {
            if let Some((message_id, error)) = words {
                difference.message_id = message_id;
                difference.error = error;
            }
        }
        Ok(())
    }
}

/// The folders whose mailbox became another one since the source was listed.
fn changed(l: &Ledger, folders: &[SourceFolder]) -> Result<Vec<usize>> {
    let mut changed = Vec::new();
    for (n, folder) in folders.iter().enumerate() {
        let Some(id) = folder.id else { continue };
        let now = l.mailbox(id)?.map(|mailbox| mailbox.id);
        if now != folder.mailbox.as_ref().map(|mailbox| mailbox.id) {
            changed.push(n);
        }
    }
    Ok(changed)
}

fn none_known(folder: &SourceFolder) -> Vec<bool> {
    match &folder.state {
        State::Told(told) => vec![false; told.uids.len()],
        State::Counted(_) | State::Gone | State::Untold(_) => Vec::new(),
    }
}

/// Where the message of a row stands at the source. `known`: which messages of its folder have a row; this one is added.
fn at_source(folder: &SourceFolder, row: &AuditedRow, known: &mut [bool]) -> AtSource {
    let present = folder.mailbox.as_ref().map(|mailbox| mailbox.id) == Some(row.mailbox);
    match &folder.state {
        State::Gone => AtSource::FolderGone,
        State::Untold(_) | State::Counted(_) => AtSource::Here,
        State::Told(told) if told.renumbered => AtSource::Renumbered,
        State::Told(_) if !present => AtSource::NotHere,
        State::Told(told) => match told.place(row.uid) {
            Some(at) => {
                // One that was given up as gone and is back is taken up like a new one.
                known[at] |= row.status != Status::Gone;
                AtSource::Here
            }
            None if row.uid.0 >= told.next => AtSource::Here,
            None => AtSource::NotHere,
        },
    }
}

/// What the list has and no row is for.
fn rowless(told: &Told) -> impl Iterator<Item = (Uid, Option<Time>)> {
    let all = told.uids.iter().zip(&told.known);
    all.filter(|(_, known)| !**known).map(|(one, _)| *one)
}

/// The dates of what was there at the first look and has none in the list, where its date decides.
fn dates_of_undated(
    source: &mut Door<'_, Source>,
    folder: &SourceFolder,
    told: &Told,
) -> Result<HashMap<Uid, Option<Time>>> {
    if told.start < Time::UNIX_EPOCH || folder.left_out {
        return Ok(HashMap::new());
    }
    let undated = rowless(told).filter(|(uid, date)| date.is_none() && uid.0 < told.history_below);
    let undated: Vec<Uid> = undated.map(|(uid, _)| uid).collect();
    let told = describe(source, &folder.wire, &undated)?;
    Ok(told.into_iter().map(|d| (d.uid, d.came_at())).collect())
}
