//! What became of rows whose APPEND ended unseen: they are looked for in the target, and no row is sent
//! again before it is known, or past believing, that it did not arrive.

use std::collections::{HashMap, HashSet};

use chrono::{TimeDelta, Utc};
use log::{debug, info, warn};

use super::Engine;
use super::flight::Flight;
use super::index::{Body, Since, TargetIndex};
use super::recognise::{about, same_name, seen};
use super::settle::Outcome;
use super::whose::Whose;
use crate::error::{Error, Result};
use crate::gmail::Account;
use crate::ledger::{IndexMailbox, Place, Proof, Row, Shared};
use crate::message::{Discovered, Time, Uid, UidValidity};
use crate::session::SET_MAX;

/// How long a message is looked for that may be one of the target which cannot be read.
const UNSEEN_MAX: TimeDelta = TimeDelta::days(1);
/// By how much the target's clock and ours may differ.
const CLOCK_SLACK: TimeDelta = TimeDelta::days(1);

/// A row whose APPEND ended unseen, and what looking found.
struct Resolved {
    row: Row,
    /// Where it is, and whether its bytes differ.
    found: Option<(Place, bool)>,
    /// It was not found, but a message that cannot be read may be it.
    hidden: bool,
}

impl Engine {
    /// What earlier attempts left open comes first.
    pub(super) fn resolve_and_verify(&self, account: &mut Account) -> Result<()> {
        let mut index = TargetIndex::through(self, account);
        // First what was answered OK: then the target's own number says whose those copies are, and
        // none is taken for that of a row whose end nobody saw.
        index.verify()?;
        self.resolve(&mut index)
    }

    /// Rows of earlier attempts that nobody saw the end of.
    fn resolve(&self, index: &mut TargetIndex<'_>) -> Result<()> {
        let gmail = self.known_target.is_gmail();
        let mine = self.unresolved.worth_a_look(gmail);
        if mine.is_empty() {
            return Ok(());
        }
        let in_flight = self.ledger.step(|l| l.in_flight())?;
        let rows: Vec<Row> = in_flight
            .into_iter()
            .filter(|r| mine.contains(&r.id))
            .collect();
        let (marked, unmarked): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|r| r.mark.is_some());
        let mut open = Flight {
            engine: self,
            rows: Vec::new(),
        };
        for row in unmarked {
            // No mark: not a byte of it was sent. Where a worker panicked it goes alone next time,
            // so that the message over which it did is found out.
            let outcome = match self.unresolved.remove(row.id) {
                Some(why) => Outcome::Died(why),
                None => Outcome::NotBegun,
            };
            open.settle(&row, outcome)?;
        }
        if marked.is_empty() {
            return Ok(());
        }
        // Old enough before the look, so that the look is what counts.
        let believed: HashMap<i64, bool> = marked
            .iter()
            .map(|r| (r.id, self.unresolved.absence_counts(r.id, gmail)))
            .collect();
        for set in marked.chunks(SET_MAX) {
            for one in index.looked_for(set.to_vec(), Utc::now())? {
                let (row, hidden) = (one.row, one.hidden);
                match one.found {
                    Some((place, altered)) => {
                        self.unresolved.remove(row.id);
                        info!("{} did arrive", self.named(&row));
                        self.note_arrived()?;
                        open.settle(
                            &row,
                            Outcome::Delivered {
                                proof: Proof::Found,
                                place: Some(place),
                                altered,
                            },
                        )?;
                    }
                    None if hidden && self.is_given_up(&row)? => {
                        self.unresolved.remove(row.id);
                        open.settle(&row, Outcome::NeverSeen)?;
                    }
                    None if hidden => {
                        if self.unresolved.note_hidden(row.id) {
                            warn!(
                                "{} may be a message of the target that cannot be read: it is not sent again before that is known",
                                self.named(&row)
                            );
                        }
                    }
                    None if believed[&row.id] => {
                        info!("{} did not arrive, so it is sent again", self.named(&row));
                        let why = self.unresolved.remove(row.id);
                        open.settle(&row, Outcome::FoundAbsent { why })?;
                    }
                    None => {
                        self.unresolved.note_look(row.id);
                        debug!("{} has not arrived so far", self.named(&row));
                    }
                }
            }
        }
        Ok(())
    }

    /// Has a row been in flight for so long that nobody will see any more how its APPEND ended? By the
    /// ledger: the time passes also while nothing runs.
    fn is_given_up(&self, row: &Row) -> Result<bool> {
        let since = self.ledger.step(|l| l.in_flight_since(row.id))?;
        Ok(since.is_some_and(|since| Utc::now() - since >= UNSEEN_MAX))
    }
}

impl TargetIndex<'_> {
    /// Looks for rows whose APPEND ended unseen, at and above their marks in a view of this moment.
    /// One message of the target for one row.
    fn looked_for(&mut self, rows: Vec<Row>, now: Time) -> Result<Vec<Resolved>> {
        let ledger = &self.engine.ledger;
        let mut resolved: Vec<Resolved> = rows
            .into_iter()
            .map(|row| Resolved {
                row,
                found: None,
                hidden: false,
            })
            .collect();
        let mut taken: HashSet<(i64, Uid)> = HashSet::new();
        for name in self.account.index_mailboxes() {
            // A mailbox that was not looked into when the mark was made has no number yet.
            let (view, index) = self.as_of_now(&name)?;
            let mut looked: HashMap<Option<u32>, Candidates> = HashMap::new();
            for one in resolved.iter_mut().filter(|r| r.found.is_none()) {
                let from = beginning(ledger, &one.row, index.id, view.uid_validity)?;
                let candidates = match looked.get(&from) {
                    Some(candidates) => candidates,
                    None => {
                        let seen = self.candidates(&index, from)?;
                        looked.entry(from).or_insert(seen)
                    }
                };
                let likely = match from {
                    Some(_) => likely(candidates, &one.row),
                    None => self.likely_anywhere(&index, candidates, &one.row)?,
                };
                // Bytes prove more than a name: the others are looked at first.
                let mut by_name = None;
                for candidate in &likely {
                    let place = Place {
                        mailbox: index.id,
                        uid_validity: view.uid_validity,
                        uid: candidate.uid,
                        gm_msgid: candidate.gm_msgid,
                    };
                    if taken.contains(&(index.id, candidate.uid))
                        || ledger.step(|l| l.vouches_for_another(one.row.id, place))?
                    {
                        continue;
                    }
                    let altered = match self.body(&index, candidate.uid)? {
                        Body::Gone => continue,
                        Body::Bytes(body) => {
                            let named = same_name(candidate, &one.row.about);
                            match seen(ledger, &one.row, &body, named)? {
                                Whose::Ours { altered } => Some(altered),
                                Whose::ByName { altered } => {
                                    by_name = by_name.or(Some((place, altered)));
                                    None
                                }
                                Whose::Shared { .. } | Whose::NotOurs | Whose::Undecided => None,
                            }
                        }
                        Body::Unreadable => {
                            let outside = self.size_and_date(&index, candidate.uid)?;
                            match from_outside(candidate, &outside, &one.row, now) {
                                Some(true) => Some(outside.size != one.row.about.size),
                                Some(false) => None,
                                None => {
                                    one.hidden = true;
                                    None
                                }
                            }
                        }
                    };
                    if let Some(altered) = altered {
                        taken.insert((index.id, candidate.uid));
                        one.found = Some((place, altered));
                        break;
                    }
                }
                if one.found.is_none()
                    && let Some((place, altered)) = by_name
                {
                    taken.insert((index.id, place.uid));
                    one.found = Some((place, altered));
                }
            }
        }
        Ok(resolved)
    }

    /// What the mailbox holds from `from` on, as of this moment; None: all of it.
    fn candidates(&mut self, index: &IndexMailbox, from: Option<u32>) -> Result<Candidates> {
        let (mut seen, unreadable) = match from {
            Some(from) => {
                let Since {
                    view,
                    arrived,
                    unreadable,
                    ..
                } = self.since(index, from, &[])?;
                if view.uid_validity != index.uid_validity {
                    return Err(Error::connection(format!(
                        "{} of the target has new UIDs",
                        index.name
                    )));
                }
                (arrived, unreadable)
            }
            None => {
                let uids = self.account.uids(&index.name)?;
                self.described(index, &uids)?
            }
        };
        seen.extend(unreadable);
        Ok(seen)
    }

    /// As [`likely`], of all that a mailbox holds. What our APPEND put there has the date that we gave, or
    /// where the target gives its own, one since then: only such a message is worth a look at its bytes.
    fn likely_anywhere<'a>(
        &mut self,
        index: &IndexMailbox,
        candidates: &'a [Discovered],
        row: &Row,
    ) -> Result<Vec<&'a Discovered>> {
        let all = likely(candidates, row);
        let mut uids: Vec<Uid> = all
            .iter()
            .filter(|c| !same_name(c, &row.about))
            .map(|c| c.uid)
            .collect();
        uids.sort_unstable();
        let sent_at = match row.mark {
            Some(mark) => self.engine.ledger.step(|l| l.marked_at(mark))?,
            None => None,
        };
        let dates: HashMap<Uid, Option<Time>> = self
            .dated(index, &uids)?
            .into_iter()
            .map(|d| (d.uid, d.internal_date))
            .collect();
        let ours = |c: &Discovered| dates.get(&c.uid) == Some(&Some(row.internal_date));
        let mut likely: Vec<&Discovered> = all
            .into_iter()
            .filter(|c| match dates.get(&c.uid) {
                Some(Some(date)) => {
                    *date == row.internal_date || sent_at.is_none_or(|at| *date >= at - CLOCK_SLACK)
                }
                // It tells nothing, or it has our name.
                Some(None) => true,
                None => same_name(c, &row.about),
            })
            .collect();
        likely.sort_by_key(|c| !ours(c));
        Ok(likely)
    }
}

/// Messages of an index mailbox among which a row may be, the unreadable ones too.
type Candidates = Vec<Discovered>;

/// Is a message that cannot be read the row's? It came after the row was sent; with that its name
/// decides, or the date that our APPEND gave it, and its size. None: nobody can tell.
fn from_outside(
    candidate: &Discovered,
    outside: &Discovered,
    row: &Row,
    now: Time,
) -> Option<bool> {
    if outside.size.is_some_and(|size| !about(row).contains(&size)) {
        return Some(false);
    }
    if same_name(candidate, &row.about) {
        return Some(true);
    }
    // Gmail replaces other dates by its own (docs/gmail.md 3.3).
    let honoured = (Time::UNIX_EPOCH..=now).contains(&row.internal_date);
    match outside.internal_date {
        Some(date) if date == row.internal_date => Some(true),
        Some(_) if honoured => Some(false),
        _ => None,
    }
}

/// Where to begin looking for a row in this mailbox: at the mark's UIDNEXT; everywhere (None) with
/// new UIDs since then, and where the mark knows nothing of this mailbox: All Mail was hidden then,
/// or the delivery mailbox serves in its place now.
fn beginning(ledger: &Shared, row: &Row, index: i64, validity: UidValidity) -> Result<Option<u32>> {
    let Some(mark) = row.mark else {
        return Ok(None);
    };
    let marks = ledger.step(|l| l.marks(mark))?;
    Ok(marks
        .into_iter()
        .find(|m| m.mailbox == index && m.uid_validity == validity)
        .map(|m| m.uid_next))
}

/// Candidates for a row, best first: those that bear its name, then any of about its size, since a
/// server may show a malformed header otherwise. Their bytes decide.
fn likely<'a>(candidates: &'a [Discovered], row: &Row) -> Vec<&'a Discovered> {
    let (mut named, others): (Vec<_>, Vec<_>) =
        candidates.iter().partition(|c| same_name(c, &row.about));
    let about = about(row);
    named.extend(
        others
            .into_iter()
            .filter(|c| c.size.is_none_or(|s| about.contains(&s))),
    );
    named
}
