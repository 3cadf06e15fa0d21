//! What became of messages whose APPEND was answered OK, or that Gmail's API said it took: each copy is looked at once. Not for
//! those of which nobody saw the end (`resolve`).

use std::collections::HashSet;

use chrono::{TimeDelta, Utc};
use log::{debug, info, warn};

use super::Engine;
use super::dedup::{are_anothers, compared, same_name};
use super::index::{Body, TargetIndex};
use super::reader::sender_and_subject;
use super::seen::Seen;
use super::whose::{Bytes, Rivals, Sight, Whose, whose};
use crate::error::{Error, Fault, Result};
use crate::ledger::{
    IndexId, IndexMailbox, Ledger, Place, Row, RowId, Shared, Verdict, Verification,
};
use crate::message::{Time, Uid, UidValidity};
use crate::session::SET_MAX;
use crate::target::{Copy, Told};

impl TargetIndex<'_> {
    /// Looks once at each copy whose APPEND was answered OK. An OK is not yet proof: Gmail may have put
    /// the message together with another one that it took for the same (docs/gmail.md 3.2).
    pub(super) fn verify(&mut self) -> Result<()> {
        let now = Utc::now();
        let waiting = self.engine.ledger.step(|l| l.unverified())?;
        let waiting = if self.look_for_put_back(&waiting)? {
            self.engine.ledger.step(|l| l.unverified())?
        } else {
            waiting
        };
        let waiting = self.place_imported(waiting, now)?;
        for (mailbox, sent) in by_mailbox(waiting) {
            let name = match mailbox {
                Some(id) => self.engine.ledger.step(|l| l.index_name(id))?,
                None => None,
            };
            for set in sent.chunks(SET_MAX) {
                let seen = self.copies_of(set, name.as_deref())?;
                self.record_verdicts(set, &seen, now)?;
            }
        }
        Ok(())
    }

    /// Finds out where copies of what was imported lie, of which Gmail's API gave the number alone. Those that are to be
    /// seen soon are left for another look. After that one is looked for by its name: the API may have told a wrong number.
    fn place_imported(
        &mut self,
        mut waiting: Vec<Verification>,
        now: Time,
    ) -> Result<Vec<Verification>> {
        let is_import = |w: &Verification| w.row.by_import && w.place.is_none();
        if !waiting.iter().any(is_import) {
            return Ok(waiting);
        }
        self.refresh()?;
        for one in waiting.iter_mut().filter(|w| is_import(w)) {
            if let Some(number) = one.row.about.gm_msgid {
                one.place = self.engine.ledger.step(|l| l.place_of_number(number))?;
            }
        }
        let patience = self.account.policy().late_commit(false);
        let patience = TimeDelta::from_std(patience).unwrap_or_default();
        let may_come = |w: &Verification| w.delivered_at.is_some_and(|at| now - at < patience);
        waiting.retain(|w| !(is_import(w) && may_come(w)));
        for one in waiting.iter_mut().filter(|w| is_import(w)) {
            self.place_by_name(one)?;
        }
        self.forget_what_left_spam()?;
        Ok(waiting)
    }

    /// Where a copy lies that has the name of this row, and vouches for no other: the number that the API gave it is nowhere.
    fn place_by_name(&mut self, one: &mut Verification) -> Result<()> {
        for name in self.account.index_mailboxes() {
            let row = one.row.id;
            one.place = self
                .engine
                .ledger
                .step(|l| l.index_place_by_name(&name, row))?;
            if one.place.is_some() {
                return Ok(());
            }
        }
        warn!(
            "message {}: Gmail's API said that it took it, and IMAP does not show it: it was moved at once, or is hidden, or is not there",
            one.row.id
        );
        Ok(())
    }

    /// What was imported and lay in Spam may have been taken out of it by its owner.
    fn forget_what_left_spam(&mut self) -> Result<()> {
        let Some(junk) = self.account.junk().map(str::to_string) else {
            return Ok(());
        };
        let there = self.engine.ledger.step(|l| {
            l.note_junk(&junk)?;
            l.imported_in_spam()
        })?;
        let Some(first) = there.first() else {
            return Ok(());
        };
        let known = self.engine.ledger.step(|l| l.index_known(&junk))?;
        let Some(index) = known.filter(|index| index.id == first.mailbox) else {
            return Ok(());
        };
        for set in there.chunks(SET_MAX) {
            let uids: Vec<Uid> = set.iter().map(|place| place.uid).collect();
            let still = self.dated(&index, &uids)?;
            let mut gone = set.to_vec();
            gone.retain(|p| !still.iter().any(|d| d.uid == p.uid));
            if !gone.is_empty() {
                self.engine.ledger.step(|l| l.index_forget(&gone))?;
            }
        }
        Ok(())
    }

    /// What lies now where a copy lay before its mailbox went back is no copy of ours. True where that was looked for.
    fn look_for_put_back(&mut self, sent: &[Verification]) -> Result<bool> {
        if !self.may_be_put_back() {
            return Ok(false);
        }
        let mut looked = false;
        let mut mailboxes: Vec<IndexId> = sent
            .iter()
            .filter_map(|w| w.place)
            .map(|p| p.mailbox)
            .collect();
        mailboxes.sort_unstable_by_key(|id| id.0);
        mailboxes.dedup();
        for id in mailboxes {
            let name = self.engine.ledger.step(|l| l.index_name(id))?;
            let Some(name) = name.filter(|name| !self.account.has_looked_at(name)) else {
                continue;
            };
            match self.look_afresh(&name) {
                Err(e) if self.is_gone(&name, &e) => {}
                end => {
                    end?;
                    looked = true;
                }
            }
        }
        Ok(looked)
    }

    /// Records whose these copies are, all of one mailbox. Says of which they turned out not to be.
    pub(super) fn record_verdicts(
        &mut self,
        set: &[Verification],
        seen: &Seen,
        now: Time,
    ) -> Result<()> {
        let copy = |w: &Verification| {
            let place = w.place.filter(|p| p.uid_validity == seen.validity);
            place.and_then(|p| seen.copies.get(&p.uid))
        };
        let mut refuted = Vec::new();
        let mut verdicts: Vec<(RowId, Verdict)> = Vec::with_capacity(set.len());
        let mut numbers = HashSet::new();
        let mut open = Vec::new();
        for (w, known) in set.iter().zip(self.known_copies(set, &copy)?) {
            let number = copy(w).and_then(|c| c.gm_msgid);
            let again = number.is_some_and(|number| !numbers.insert(number));
            let by_sight = !known && !again;
            match by_sight
                .then(|| self.verdict_by_sight(w, copy(w), seen))
                .flatten()
            {
                Some(verdict) => verdicts.push((w.row.id, verdict)),
                None => open.push((w, by_sight, again)),
            }
        }
        for (w, by_sight, again) in open {
            if again {
                // The same copy as one before: what was found of that one decides about this one.
                record(self.engine, &mut verdicts, now)?;
            }
            let verdict = self.verdict(w, copy(w), by_sight, seen)?;
            if let Verdict::NotOurs { error, .. } = &verdict {
                refuted.push((w.clone(), error.message.clone()));
            }
            verdicts.push((w.row.id, verdict));
        }
        record(self.engine, &mut verdicts, now)?;
        for (sent, reason) in refuted {
            self.engine.counter.note_refuted(&sent, &reason);
        }
        Ok(())
    }

    /// Of which of these is the copy one that vouches for another row, or was there before? Asked of all in one view.
    fn known_copies<'c>(
        &self,
        set: &[Verification],
        copy: &impl Fn(&Verification) -> Option<&'c Copy>,
    ) -> Result<Vec<bool>> {
        self.engine.ledger.view(|l| {
            let each = set.iter().map(|w| match copy(w).zip(w.place) {
                Some((copy, place)) => Ok(Before::of(l, w, copy, place)?.any()),
                None => Ok(false),
            });
            each.collect()
        })
    }

    /// What is to be thought of a copy that is no other row's and was not there before, where its bytes need no look. One
    /// that is no longer there proves nothing: its owner may have moved it.
    fn verdict_by_sight(
        &self,
        sent: &Verification,
        copy: Option<&Copy>,
        seen: &Seen,
    ) -> Option<Verdict> {
        let Some(copy) = copy.filter(|_| sent.place.is_some()) else {
            // Nobody has seen that it is as it was sent.
            let altered = sent.row.by_import && sent.place.is_none();
            return Some(ours(copy, altered, false));
        };
        let kept = self.engine.take_as_kept(sent, copy, seen.is_sample(sent));
        kept.then(|| {
            ours(
                Some(copy),
                self.engine.note_flags_and_date(sent, copy),
                false,
            )
        })
    }

    /// What lies now where the target said that it put these, and in which incarnation of that mailbox.
    fn copies_of(&mut self, sent: &[Verification], mailbox: Option<&str>) -> Result<Seen> {
        let (wanted, samples) = self.engine.to_be_looked_at(sent);
        let told = match mailbox.filter(|_| !wanted.uids.is_empty()) {
            Some(mailbox) => self.delivered(mailbox, &wanted)?,
            None => Told {
                validity: UidValidity(0),
                copies: Vec::new(),
                bodies: Vec::new(),
            },
        };
        Ok(Seen::of(told, samples))
    }

    /// What is to be thought of a copy, whose bytes are to be looked at. `by_sight`: so it was not taken for kept.
    fn verdict(
        &mut self,
        sent: &Verification,
        copy: Option<&Copy>,
        by_sight: bool,
        seen: &Seen,
    ) -> Result<Verdict> {
        let (Some(copy), Some(place)) = (copy, sent.place) else {
            return Ok(ours(copy, false, false));
        };
        let ours = |altered, merged| ours(Some(copy), altered, merged);
        let ledger = &self.engine.ledger;
        let row = &sent.row;
        let before = ledger.view(|l| Before::of(l, sent, copy, place))?;
        let known = before.any();
        if !known && !by_sight && self.engine.take_as_kept(sent, copy, seen.is_sample(sent)) {
            return Ok(ours(self.engine.note_flags_and_date(sent, copy), false));
        }
        let name = ledger.step(|l| l.index_name(place.mailbox))?;
        let name = name.ok_or_else(|| Error::connection("a mailbox of the target is forgotten"))?;
        let index = ledger.step(|l| l.index_mailbox(&name, place.uid_validity, copy.uid.0))?;
        let body = match seen.bodies.get(&copy.uid) {
            Some(body) => Body::Bytes(body.clone()),
            None => self.body(&index, copy.uid)?,
        };
        let body = match body {
            Body::Bytes(body) => body,
            Body::Gone => return Ok(ours(false, false)),
            Body::Unreadable => {
                warn!(
                    "message {}: its copy in the target ({} UID {}) cannot be compared with what was sent",
                    row.id, index.name, copy.uid
                );
                return Ok(ours(true, known));
            }
        };
        let (bytes, found) = compared(row, &body);
        let other = bytes == Bytes::Other;
        if other && row.by_import && !known {
            // Gmail's API gave it this number, and nothing had that before.
            self.engine.note_bytes_differ(sent, &body, false);
            return Ok(ours(true, false));
        }
        // What was there before it was sent was looked at then, and found to be another message.
        let named =
            other && !before.was_there && self.is_kept_under_its_name(&index, sent, copy.uid)?;
        let sight = Sight {
            bytes,
            named,
            taken: before.taken,
            anothers_bytes: other && are_anothers(ledger, row, &found)?,
            rivals: rivals(ledger, row, named)?,
            kept: self.account.policy().merges,
        };
        Ok(self.engine.judge(sent, copy, &body, &sight, known))
    }

    /// Does a target that merges copies keep this one for a message with our name?
    fn is_kept_under_its_name(
        &mut self,
        index: &IndexMailbox,
        sent: &Verification,
        uid: Uid,
    ) -> Result<bool> {
        if !self.account.policy().merges {
            return Ok(false);
        }
        let (named, _) = self.described(index, &[uid])?;
        Ok(named.iter().any(|d| same_name(d, &sent.row.about)))
    }
}

impl Engine {
    /// What follows from what was seen of a copy, and says it. `known`: the index knew the copy before it was sent, or
    /// it vouches for another row.
    fn judge(
        &self,
        sent: &Verification,
        copy: &Copy,
        body: &[u8],
        sight: &Sight,
        known: bool,
    ) -> Verdict {
        let row = &sent.row;
        let gm_msgid = copy.gm_msgid;
        let ours = |altered, merged| Verdict::Ours {
            altered,
            merged,
            gm_msgid,
        };
        match whose(sight) {
            Whose::Ours { altered } | Whose::Shared { altered } => {
                if altered && !sent.altered {
                    self.note_bytes_differ(sent, body, true);
                }
                let lacks = !known && self.note_flags_and_date(sent, copy);
                ours(altered || lacks, known)
            }
            Whose::ByName { .. } => {
                info!(
                    "message {}: Gmail keeps another copy of it, which another route or tool brought",
                    row.id
                );
                Verdict::Found { gm_msgid }
            }
            Whose::NotOurs | Whose::Undecided if sight.kept => {
                let (sender, subject) = sender_and_subject(body);
                let error = Error::new(
                    Fault::Permanent,
                    "Gmail keeps only one of two messages with this Message-ID and Date",
                );
                warn!("message {} failed: {error}", row.id);
                Verdict::NotOurs {
                    error,
                    sender,
                    subject,
                }
            }
            // Its UID was told wrongly: that proves nothing.
            Whose::NotOurs | Whose::Undecided if sight.taken || sight.anothers_bytes => {
                debug!(
                    "message {}: the target told the place of another message for it",
                    row.id
                );
                Verdict::Misplaced
            }
            Whose::NotOurs | Whose::Undecided => {
                self.note_bytes_differ(sent, body, false);
                ours(true, false)
            }
        }
    }
}

/// Whose a copy was before it was looked at.
struct Before {
    /// It vouches for another row.
    taken: bool,
    /// It was there before its row was sent.
    was_there: bool,
}

impl Before {
    fn of(ledger: &Ledger, sent: &Verification, copy: &Copy, place: Place) -> Result<Before> {
        let (row, gm_msgid) = (sent.row.id, copy.gm_msgid);
        Ok(Before {
            taken: ledger.vouches_for_another(row, Place { gm_msgid, ..place })?,
            was_there: match gm_msgid {
                Some(id) => ledger.known_before_mark(row, id)?,
                None => false,
            },
        })
    }

    fn any(&self) -> bool {
        self.taken || self.was_there
    }
}

fn ours(copy: Option<&Copy>, altered: bool, merged: bool) -> Verdict {
    Verdict::Ours {
        altered,
        merged,
        gm_msgid: copy.and_then(|c| c.gm_msgid),
    }
}

/// Who else of this ledger could claim a copy with this row's name.
fn rivals(ledger: &Shared, row: &Row, named: bool) -> Result<Rivals> {
    Ok(if !named || !ledger.step(|l| l.has_rivals(row))? {
        Rivals::None
    } else if ledger.step(|l| l.has_unknown_rivals(row))? {
        Rivals::Unknown
    } else {
        Rivals::Known
    })
}

/// Those without a place are by themselves.
fn by_mailbox(sent: Vec<Verification>) -> Vec<(Option<IndexId>, Vec<Verification>)> {
    let mut groups: Vec<(Option<IndexId>, Vec<Verification>)> = Vec::new();
    for one in sent {
        let mailbox = one.place.map(|p| p.mailbox);
        match groups.iter_mut().find(|(known, _)| *known == mailbox) {
            Some((_, group)) => group.push(one),
            None => groups.push((mailbox, vec![one])),
        }
    }
    groups
}

fn record(engine: &Engine, verdicts: &mut Vec<(RowId, Verdict)>, now: Time) -> Result<()> {
    let verdicts = std::mem::take(verdicts);
    for (id, _) in &verdicts {
        engine.forget_header(*id);
    }
    let with_them = engine.ledger.step(|l| l.verified(&verdicts, now))?;
    if with_them > 0 {
        warn!("failed with it, for their bytes are the same: {with_them}");
    }
    Ok(())
}
