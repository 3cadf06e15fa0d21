//! What became of rows whose APPEND or import ended unseen: a resumable upload is asked about, the others are looked for in
//! the target, and no row is sent again before it is known, or past believing, that it did not arrive.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use log::{debug, info, warn};

use super::Engine;
use super::batch::Batch;
use super::dedup::{about, same_name, whose_copy};
use super::index::{Body, Since, TargetIndex};
use super::settle::Outcome;
use super::unresolved::Hidden;
use super::whose::Whose;
use crate::error::{Error, Result, Scope};
use crate::folder::{DestinationId, Spot};
use crate::ledger::{IndexId, IndexMailbox, Place, Proof, RefusedBy, Row, RowId, Shared};
use crate::message::{Discovered, Time, Uid, UidValidity};
use crate::session::SET_MAX;
use crate::target::api::Asked;
use crate::target::{Account, Road};

/// How long a message is looked for that may be one of the target which cannot be read.
const UNSEEN_MAX: TimeDelta = TimeDelta::days(1);
/// By how much the target's clock and ours may differ.
const CLOCK_SLACK: TimeDelta = TimeDelta::days(1);

/// A row whose APPEND ended unseen, and what looking found.
struct LookedFor {
    row: Row,
    /// Where it is, and whether its bytes differ.
    found: Option<(Place, bool)>,
    /// A message that cannot be read may be it. This counts where it was not found.
    hidden: bool,
}

impl Engine {
    /// What earlier attempts left open comes first.
    pub(super) fn resolve_and_verify(&self, account: &mut Account) -> Result<()> {
        self.ask_for_imports()?;
        let target = self.known_target.policy();
        if self.sessions.at_work() > 1 && self.unresolved.worth_a_look(&target).is_empty() {
            // Whoever was the first has looked, and what was sent since is looked at by those who sent it.
            return Ok(());
        }
        let mut index = TargetIndex::through(self, account);
        // What was answered OK is looked at first. Then it is known whose those copies are, and none of them is
        // taken for the copy of a row whose end nobody saw.
        index.verify()?;
        self.resolve(&mut index)?;
        index.add_labels_for_now()
    }

    /// Looks for the rows of earlier attempts whose end nobody saw, as far as a look tells something new.
    fn resolve(&self, index: &mut TargetIndex<'_>) -> Result<()> {
        let target = self.known_target.policy();
        let mine = self.unresolved.worth_a_look(&target);
        if mine.is_empty() {
            return Ok(());
        }
        let in_flight = self.ledger.step(|l| l.in_flight())?;
        let rows: Vec<Row> = in_flight
            .into_iter()
            .filter(|r| mine.contains(&r.id))
            .collect();
        for id in &mine {
            if !rows.iter().any(|row| row.id == *id) {
                self.unresolved.remove(*id);
            }
        }
        let (marked, unmarked): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|r| r.mark.is_some());
        let mut batch = Batch {
            engine: self,
            rows: Vec::new(),
        };
        for row in unmarked {
            self.settle_unmarked(&mut batch, &row)?;
        }
        // Decided before the look: enough time must have passed when it begins.
        let believed: HashMap<RowId, bool> = marked
            .iter()
            .map(|r| (r.id, self.unresolved.absence_counts(r.id, &target)))
            .collect();
        for (destination, rows) in by_destination(marked) {
            let destination = self.ledger.step(|l| l.destination(destination))?;
            for set in rows.chunks(SET_MAX) {
                let looked_for = match index.look_where_it_went(&destination.spot, set) {
                    // They wait until its place is there again.
                    Err(e) if e.scope() == Scope::Message || index.place_is_refused(&e) => {
                        let shut = Hidden::PlaceShut;
                        let note = |r: &&Row| self.unresolved.note_hidden(r.id, shut);
                        if set.iter().filter(note).count() > 0 {
                            warn!("{}", e.then("what was sent there is not looked for now"));
                        }
                        continue;
                    }
                    end => end?,
                };
                for one in looked_for {
                    let absent = believed[&one.row.id];
                    self.settle_looked_for(&mut batch, one, absent)?;
                }
            }
        }
        Ok(())
    }

    /// Asks the API what became of messages that were sent to it by resumable uploads.
    fn ask_for_imports(&self) -> Result<()> {
        for (id, upload) in self.unresolved.uploads() {
            if !self.may_ask_for_imports() {
                break;
            }
            self.promise_transfer(0);
            let begun = Instant::now();
            let asked = self.ask_api(|api, token| Ok(api.ask(token, &upload)));
            let (Ok(Asked::Part(_)) | Ok(Asked::Done(_))) = &asked else {
                if let Ok(Asked::Unknown(e)) | Err(e) = &asked {
                    debug!("message {id}: {}", e.then("looking for it"));
                }
                continue;
            };
            self.note_imports_open(begun)?;
            let Ok(Asked::Done(receipt)) = asked else {
                continue;
            };
            let in_flight = self.ledger.step(|l| l.in_flight())?;
            let Some(row) = in_flight.into_iter().find(|row| row.id == id) else {
                continue;
            };
            self.unresolved.remove(id);
            info!("{} did arrive", self.named(&row));
            self.note_arrived(true)?;
            let mut batch = Batch {
                engine: self,
                rows: Vec::new(),
            };
            let gm_msgid = receipt.msgid;
            batch.settle(&row, Outcome::Imported { gm_msgid })?;
        }
        Ok(())
    }

    /// No mark: not a byte of it was sent. Where a worker panicked it goes alone next time, so that the message over
    /// which it did is found out.
    fn settle_unmarked(&self, batch: &mut Batch<'_>, row: &Row) -> Result<()> {
        let outcome = match self.unresolved.remove(row.id) {
            Some(why) => Outcome::Died(why),
            None => Outcome::NotBegun,
        };
        batch.settle(row, outcome)
    }

    /// `absent`: it counts when it was not found.
    fn settle_looked_for(
        &self,
        batch: &mut Batch<'_>,
        looked_for: LookedFor,
        absent: bool,
    ) -> Result<()> {
        let row = &looked_for.row;
        match looked_for.found {
            Some((place, altered)) => {
                self.unresolved.remove(row.id);
                info!("{} did arrive", self.named(row));
                self.note_arrived(row.by_import)?;
                batch.settle(
                    row,
                    Outcome::Delivered {
                        proof: Proof::Found,
                        place: Some(place),
                        altered,
                    },
                )
            }
            None if looked_for.hidden && self.is_given_up(row)? => {
                self.unresolved.remove(row.id);
                batch.settle(row, Outcome::NeverSeen)
            }
            None if looked_for.hidden => {
                if self.unresolved.note_hidden(row.id, Hidden::Unreadable) {
                    warn!(
                        "{} may be a message of the target that cannot be read: it is not sent again before that is known",
                        self.named(row)
                    );
                }
                Ok(())
            }
            None if absent => {
                info!("{} did not arrive, so it is sent again", self.named(row));
                let why = self.unresolved.remove(row.id);
                if self.is_lost_on_its_road(row) {
                    let why = why.map_or_else(|| "it was lost twice".into(), |why| why.message);
                    let why = format!("not imported, twice: {why}");
                    let refused_by = Some(RefusedBy::Import);
                    self.ledger
                        .step(|l| l.note_detour(row.id, refused_by, Some(&why)))?;
                    return batch.settle(row, Outcome::NotBegun);
                }
                batch.settle(row, Outcome::FoundAbsent { why })
            }
            None => {
                self.unresolved.note_look(row.id);
                debug!("{} has not arrived so far", self.named(row));
                Ok(())
            }
        }
    }

    /// Was it lost for the second time on its way through Gmail's API, so that APPEND is to take it?
    fn is_lost_on_its_road(&self, row: &Row) -> bool {
        let append = self.known_target.policy().takes(Road::Append);
        let fits = row.about.size.is_none_or(|size| size <= append.largest);
        row.by_import && row.unseen > 0 && row.refused_by.is_none() && fits
    }

    /// Has a row been in flight for so long that nobody will see any more how its APPEND ended? The ledger knows
    /// since when: the time passes also while nothing runs.
    fn is_given_up(&self, row: &Row) -> Result<bool> {
        let since = self.ledger.step(|l| l.in_flight_since(row.id))?;
        Ok(since.is_some_and(|since| Utc::now() - since >= UNSEEN_MAX))
    }
}

impl TargetIndex<'_> {
    /// As [`look_for`](Self::look_for), of rows that went to this place. One that somebody has deleted meanwhile is made
    /// again: nothing lies there then.
    fn look_where_it_went(&mut self, spot: &Spot, rows: &[Row]) -> Result<Vec<LookedFor>> {
        self.account.deliver_into(spot)?;
        match self.look_for(rows.to_vec(), Utc::now()) {
            Err(e) if self.place_is_refused(&e) => debug!("{}", e.then("looking for it anew")),
            end => return end,
        }
        self.account.forget_mailboxes();
        self.account.deliver_into(spot)?;
        self.look_for(rows.to_vec(), Utc::now())
    }

    /// Looks for rows whose APPEND ended unseen, at and above their marks in a view of this moment.
    /// No message of the target is taken for two rows.
    fn look_for(&mut self, rows: Vec<Row>, now: Time) -> Result<Vec<LookedFor>> {
        let mut all: Vec<LookedFor> = rows
            .into_iter()
            .map(|row| LookedFor {
                row,
                found: None,
                hidden: false,
            })
            .collect();
        let mut taken: HashSet<(IndexId, Uid)> = HashSet::new();
        for name in self.account.index_mailboxes() {
            // This also begins the index of a mailbox that was not looked into when the mark was made.
            let (view, index) = self.look_afresh(&name)?;
            let mut looked: HashMap<Option<u32>, Candidates> = HashMap::new();
            for one in all.iter_mut().filter(|one| one.found.is_none()) {
                let ledger = &self.engine.ledger;
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
                self.look_among(&index, &likely, one, &mut taken, now)?;
            }
        }
        Ok(all)
    }

    /// Looks for one row among these messages of an index mailbox. Bytes prove more than a name: one that is the
    /// row's by its name alone is taken only where none is by its bytes.
    fn look_among(
        &mut self,
        index: &IndexMailbox,
        likely: &[&Discovered],
        one: &mut LookedFor,
        taken: &mut HashSet<(IndexId, Uid)>,
        now: Time,
    ) -> Result<()> {
        let ledger = &self.engine.ledger;
        let mut by_name = None;
        for candidate in likely {
            let place = Place {
                mailbox: index.id,
                uid_validity: index.uid_validity,
                uid: candidate.uid,
                gm_msgid: candidate.gm_msgid,
            };
            if taken.contains(&(index.id, candidate.uid))
                || ledger.step(|l| l.vouches_for_another(one.row.id, place))?
            {
                continue;
            }
            match self.compare(index, candidate, &one.row, now)? {
                Seen::Ours { altered } => {
                    one.found = Some((place, altered));
                    break;
                }
                Seen::ByName { altered } => by_name = by_name.or(Some((place, altered))),
                Seen::NobodyCanTell => one.hidden = true,
                Seen::NotOurs => {}
            }
        }
        one.found = one.found.or(by_name);
        if let Some((place, _)) = one.found {
            taken.insert((index.id, place.uid));
        }
        Ok(())
    }

    /// Is this message of an index mailbox the row's?
    fn compare(
        &mut self,
        index: &IndexMailbox,
        candidate: &Discovered,
        row: &Row,
        now: Time,
    ) -> Result<Seen> {
        Ok(match self.body(index, candidate.uid)? {
            Body::Gone => Seen::NotOurs,
            Body::Bytes(body) => {
                let named = same_name(candidate, &row.about);
                match whose_copy(&self.engine.ledger, row, &body, named)? {
                    Whose::Ours { altered } => Seen::Ours { altered },
                    Whose::ByName { altered } => Seen::ByName { altered },
                    Whose::Shared { .. } | Whose::NotOurs | Whose::Undecided => Seen::NotOurs,
                }
            }
            Body::Unreadable => {
                let outside = self.size_and_date(index, candidate.uid)?;
                from_outside(candidate, &outside, row, now)
            }
        })
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

    /// As [`likely`], of all that a mailbox holds. What our APPEND put there has the date that we gave, or, where the
    /// target gives its own dates, one from after it was sent: the bytes of others are not looked at.
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
        let given = row.date_there();
        let ours = |c: &Discovered| dates.get(&c.uid) == Some(&Some(given));
        let mut likely: Vec<&Discovered> = all
            .into_iter()
            .filter(|c| match dates.get(&c.uid) {
                Some(Some(date)) => {
                    *date == given || sent_at.is_none_or(|at| *date >= at - CLOCK_SLACK)
                }
                // It does not tell its date.
                Some(None) => true,
                // It was not asked for its date where it has the row's name.
                None => same_name(c, &row.about),
            })
            .collect();
        likely.sort_by_key(|c| !ours(c));
        Ok(likely)
    }
}

fn by_destination(rows: Vec<Row>) -> Vec<(DestinationId, Vec<Row>)> {
    let mut groups: Vec<(DestinationId, Vec<Row>)> = Vec::new();
    for row in rows {
        match groups
            .iter_mut()
            .find(|(known, _)| *known == row.destination)
        {
            Some((_, group)) => group.push(row),
            None => groups.push((row.destination, vec![row])),
        }
    }
    groups
}

/// Messages of an index mailbox among which a row may be, the unreadable ones too.
type Candidates = Vec<Discovered>;

/// What a look at one message of the target tells about a row.
enum Seen {
    Ours {
        altered: bool,
    },
    /// By its name alone.
    ByName {
        altered: bool,
    },
    NotOurs,
    NobodyCanTell,
}

/// Is a message that cannot be read the row's? It came after the row was sent. With that its name
/// decides, or its size together with the date that our APPEND gave it.
fn from_outside(candidate: &Discovered, outside: &Discovered, row: &Row, now: Time) -> Seen {
    if outside.size.is_some_and(|size| !about(row).contains(&size)) {
        return Seen::NotOurs;
    }
    let ours = Seen::Ours {
        altered: !row.by_import && outside.size != row.about.size,
    };
    if same_name(candidate, &row.about) {
        return ours;
    }
    // Gmail replaces other dates by its own (docs/gmail.md 3.3), and reads the Date header of what is imported as it likes.
    let given = row.date_there();
    let honoured = !row.by_import && (Time::UNIX_EPOCH..=now).contains(&given);
    match outside.internal_date {
        Some(date) if date == given => ours,
        Some(_) if honoured => Seen::NotOurs,
        _ => Seen::NobodyCanTell,
    }
}

/// Where to begin looking for a row in this mailbox: at the UIDNEXT of its mark. None, for everywhere: where the
/// mailbox has had new UIDs since then, and where the mark knows nothing of it, since All Mail was hidden then, or
/// the delivery mailbox serves in its place now.
fn beginning(
    ledger: &Shared,
    row: &Row,
    index: IndexId,
    validity: UidValidity,
) -> Result<Option<u32>> {
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
