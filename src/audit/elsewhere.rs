//! Looks for copies that are not where their rows say: under another label, as another row's with the same bytes, by name,
//! and among what was moved while we looked. Not for what follows from it (`class`).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use chrono::TimeDelta;

use super::class::AtSource;
use super::door::Door;
use super::holdings::{Holdings, Name};
use crate::error::{Result, Scope};
use crate::ledger::{self, AuditedRow, Reach, RowId};
use crate::message::{Discovered, Sha256, Time, Uid, UidValidity, date_header_time};
use crate::session::SET_MAX;
use crate::target::{Account, Nook};

/// Mail may be dated this much before it came.
const DATE_SLACK: TimeDelta = TimeDelta::days(2);

/// A row whose copy is not where the row says.
pub(super) struct Unplaced {
    pub(super) row: AuditedRow,
    pub(super) source: AtSource,
    pub(super) folder: usize,
    /// Where it was found in the end.
    pub(super) copy: Option<usize>,
    /// Its bytes are known to be the copy's, but for line ends.
    pub(super) compared: bool,
}

/// What names the message of a row, and what its bytes are.
#[derive(Clone)]
struct Named {
    name: Option<Name>,
    sha256: Option<Sha256>,
}

pub(super) struct Search<'a> {
    pub(super) ledger: &'a Path,
    pub(super) holdings: &'a mut Holdings,
}

impl Search<'_> {
    pub(super) fn find(
        mut self,
        target: &mut Door<'_, Account>,
        unplaced: &mut [Unplaced],
    ) -> Result<()> {
        if unplaced.is_empty() {
            return Ok(());
        }
        if self.holdings.gmail {
            self.find_numbers(target, unplaced)?;
        }
        let named = self.names(unplaced)?;
        self.find_twins(unplaced, &named)?;
        let wanted = hashes(unplaced, &named);
        if !wanted.is_empty() {
            let since = earliest(unplaced, &named);
            let holdings = &mut self.holdings;
            let by_name = holdings.named(target, self.ledger, &wanted, since)?;
            self.find_names(unplaced, &named, &by_name);
        }
        if unplaced.iter().any(|one| one.copy.is_none()) {
            let wanted = hashes(unplaced, &named);
            let came = self.holdings.catch_up(target, &wanted)?;
            for one in unplaced.iter_mut().filter(|one| one.copy.is_none()) {
                let number = one.row.gm_msgid;
                one.copy = number.and_then(|number| self.holdings.numbered(number));
            }
            self.find_names(unplaced, &named, &came);
            // Those that have just been found vouch for others.
            self.find_twins(unplaced, &named)?;
        }
        Ok(())
    }

    /// A place outside the lists, such as in INBOX, tells the number of what lies there.
    fn find_numbers(
        &mut self,
        target: &mut Door<'_, Account>,
        unplaced: &mut [Unplaced],
    ) -> Result<()> {
        let mut by_mailbox: HashMap<(String, UidValidity), Vec<usize>> = HashMap::new();
        for (n, one) in unplaced.iter().enumerate() {
            // One that was seen has its number.
            if let (Some(place), Some(name), None) =
                (one.row.place, &one.row.mailbox_there, one.row.gm_msgid)
            {
                let mailbox = (name.clone(), place.uid_validity);
                by_mailbox.entry(mailbox).or_default().push(n);
            }
        }
        for ((name, validity), which) in by_mailbox {
            let uid = |n: &usize| unplaced[*n].row.place.map(|place| place.uid);
            let mut uids: Vec<Uid> = which.iter().filter_map(uid).collect();
            uids.sort_unstable();
            uids.dedup();
            let mut numbers: HashMap<Uid, u64> = HashMap::new();
            for set in uids.chunks(SET_MAX) {
                let told = attributes(target, &name, validity, set)?;
                numbers.extend(told.iter().filter_map(|d| Some((d.uid, d.gm_msgid?))));
            }
            for n in which {
                let place = unplaced[n].row.place;
                let number = place.and_then(|place| numbers.get(&place.uid));
                let at = number.and_then(|number| self.holdings.numbered(*number));
                if let Some(at) = at {
                    unplaced[n].copy = Some(at);
                    self.holdings.take(at);
                }
            }
        }
        Ok(())
    }

    fn names(&self, unplaced: &[Unplaced]) -> Result<HashMap<RowId, Named>> {
        ledger::read(self.ledger, |l| {
            let mut names = HashMap::new();
            for one in unplaced.iter().filter(|one| one.copy.is_none()) {
                let Some(row) = l.row(one.row.id)? else {
                    continue;
                };
                let hash = row.about.message_id.map(|id| id.hash);
                let named = Named {
                    name: hash.map(|hash| (hash, row.about.date)),
                    sha256: row.sha256,
                };
                names.insert(row.id, named);
            }
            Ok(names)
        })
    }

    /// Copies that lie where another row with the same bytes says.
    fn find_twins(
        &mut self,
        unplaced: &mut [Unplaced],
        named: &HashMap<RowId, Named>,
    ) -> Result<()> {
        let reach = if self.holdings.gmail {
            Reach::Account
        } else {
            Reach::Mailbox
        };
        let found: HashMap<RowId, usize> = unplaced
            .iter()
            .filter_map(|one| Some((one.row.id, one.copy?)))
            .collect();
        let holdings = &self.holdings;
        let twins = ledger::read(self.ledger, |l| {
            let mut twins = Vec::new();
            for (n, one) in unplaced.iter().enumerate() {
                let sha256 = named.get(&one.row.id).and_then(|named| named.sha256);
                let (Some(sha256), None) = (sha256, one.copy) else {
                    continue;
                };
                for twin in l.vouchers(one.row.id, &sha256, reach)? {
                    let by_number = twin.gm_msgid.and_then(|n| holdings.numbered(n));
                    let by_place = || {
                        let (place, name) = (twin.place?, twin.mailbox_there.as_ref()?);
                        holdings.placed(name, place.uid_validity, place.uid)
                    };
                    let copy = by_number.or_else(|| found.get(&twin.row).copied());
                    let copy = copy.or_else(by_place);
                    twins.extend(copy.map(|copy| (n, copy, twin.compared)));
                }
            }
            Ok(twins)
        })?;
        for (n, copy, compared) in twins {
            let is_live = |at: usize| self.holdings.nook(at) == Nook::Live;
            let known = unplaced[n].copy;
            if known.is_none_or(|known| !is_live(known) && is_live(copy)) {
                (unplaced[n].copy, unplaced[n].compared) = (Some(copy), compared);
            }
        }
        Ok(())
    }

    /// Copies that have a row's Message-ID and Date and are no other row's. One is for one row, or for several with the same
    /// bytes.
    fn find_names(
        &mut self,
        unplaced: &mut [Unplaced],
        named: &HashMap<RowId, Named>,
        by_name: &HashMap<Name, Vec<usize>>,
    ) {
        let mut given: HashMap<usize, Option<Sha256>> = HashMap::new();
        for one in unplaced.iter_mut().filter(|one| one.copy.is_none()) {
            let Some(known) = named.get(&one.row.id) else {
                continue;
            };
            let candidates = known.name.as_ref().and_then(|name| by_name.get(name));
            let free = |at: &usize| {
                let same = |given: &Option<Sha256>| given.is_some() && *given == known.sha256;
                self.holdings.is_free(*at) || given.get(at).is_some_and(same)
            };
            let free = candidates.into_iter().flatten().copied().filter(free);
            // The likeliest: not thrown away, and of its size.
            let best = free.min_by_key(|at| {
                let other_size = self.holdings.size(*at) != one.row.size;
                (self.holdings.nook(*at) != Nook::Live, other_size)
            });
            if let Some(at) = best {
                one.copy = Some(at);
                self.holdings.take(at);
                given.insert(at, known.sha256);
            }
        }
    }
}

/// No copy came before its message was written, but for what clocks differ.
fn earliest(unplaced: &[Unplaced], named: &HashMap<RowId, Named>) -> Time {
    let open = unplaced.iter().filter(|one| one.copy.is_none());
    let written = open.map(|one| {
        let name = named.get(&one.row.id).and_then(|named| named.name.as_ref());
        let date = name.and_then(|(_, date)| date_header_time(date.as_deref()?));
        date.map_or(one.row.internal_date, |date| {
            date.min(one.row.internal_date)
        })
    });
    written.min().unwrap_or(Time::UNIX_EPOCH) - DATE_SLACK
}

/// The Message-IDs of those that are still to be found.
fn hashes(unplaced: &[Unplaced], named: &HashMap<RowId, Named>) -> HashSet<[u8; 16]> {
    let open = unplaced.iter().filter(|one| one.copy.is_none());
    let names = open.filter_map(|one| named.get(&one.row.id)?.name.as_ref());
    names.map(|(hash, _)| *hash).collect()
}

/// What a mailbox tells of these messages; nothing where it is not what it was. `uids` must ascend.
fn attributes(
    target: &mut Door<'_, Account>,
    name: &str,
    validity: UidValidity,
    uids: &[Uid],
) -> Result<Vec<Discovered>> {
    let told = target.ask(|account| {
        if account.view(name, true)?.uid_validity != validity {
            return Ok(Vec::new());
        }
        let (told, end) = account.attributes(uids);
        end.map(|()| told)
    });
    match told {
        // A label that was taken away: its messages are looked for by name.
        Err(e) if e.scope() <= Scope::Message => Ok(Vec::new()),
        told => told,
    }
}
