//! A mailbox of the target that was put back to an earlier state, as from a snapshot.
//!
//! Its UIDVALIDITY stays, and the UIDs that were given after that state are given again, to other messages. From the
//! first of these on, nothing that was known of places holds any more: not what the index knows, not where a copy of
//! a row lay, not where a mark says to begin looking. It shows by a UIDNEXT below UIDs that were given already, or,
//! where the mailbox has grown again since, by UIDs whose messages have other names than before.

use std::collections::{BTreeMap, HashMap};

use log::{debug, warn};

use super::bisect::may_be_a_messages;
use super::index::{Given, TargetIndex, begin_at, is_behind};
use crate::error::Result;
use crate::ledger::{IndexMailbox, Witness};
use crate::message::{Discovered, Uid};
use crate::session::{SET_MAX, View};

/// How many messages, of those that came last, are asked whether they are what they were.
pub(super) const ASKED: usize = 10;

impl TargetIndex<'_> {
    /// Which UIDs are known to be given in a mailbox. A view that is compared with it must be taken afterwards, since
    /// other sessions of ours add messages all the time.
    pub(super) fn given(&self, name: &str) -> Result<Given> {
        self.engine.ledger.step(|l| l.index_given(name))
    }

    /// Only then is it worth asking, which costs one more question at each session.
    pub(super) fn may_be_put_back(&self) -> bool {
        self.account.policy().may_go_back
    }

    /// Opens a mailbox anew. Its index comes with the view, without what no longer holds where the mailbox was put
    /// back.
    pub(super) fn look_afresh(&mut self, name: &str) -> Result<(View, IndexMailbox)> {
        let given = self.given(name)?;
        let view = self.account.view(name, true)?;
        let latest = begin_at(&view);
        let index = self
            .engine
            .ledger
            .step(|l| l.index_mailbox(name, view.uid_validity, latest))?;
        if is_behind(&view, given) {
            let expected = given.map_or(0, |(_, next)| next);
            warn!(
                "{name} of the target went back to an earlier state: its next message has UID {}, expected {expected} or more",
                view.uid_next
            );
        } else if self.may_be_put_back()
            && let Some(uid) = self.changed_its_meaning(&index, &view)?
        {
            warn!(
                "{name} of the target went back to an earlier state: UID {uid} is another message than it was"
            );
        } else {
            return Ok((view, index));
        }
        self.engine.known_target.note_put_back();
        let from = self.first_given_anew(&index, &view)?;
        let index = self
            .engine
            .ledger
            .step(|l| l.index_went_back(&index, from))?;
        Ok((view, index))
    }

    /// Among the messages that came last, the newest that is another one than it was. Those that are gone, or whose
    /// name is not told, prove nothing.
    fn changed_its_meaning(&mut self, index: &IndexMailbox, view: &View) -> Result<Option<Uid>> {
        let witnesses = self
            .engine
            .ledger
            .step(|l| l.index_witnesses(index, view.uid_next, ASKED))?;
        if witnesses.is_empty() {
            return Ok(None);
        }
        let (told, end) = self.account.metadata(&uids(&witnesses));
        match end {
            Err(e) if may_be_a_messages(&e) => {
                debug!(
                    "{}: {}",
                    index.name,
                    e.then("not compared with what it held")
                );
                self.reopen()?;
                self.account.view(&index.name, true)?;
            }
            end => end?,
        }
        let same = compared(&witnesses, &told);
        Ok(same.into_iter().rev().find(|(_, same)| !same).map(|s| s.0))
    }

    /// The first of the UIDs that are given anew: just above the newest message that is what it was and has no
    /// changed one below it.
    fn first_given_anew(&mut self, index: &IndexMailbox, view: &View) -> Result<u32> {
        let mut below = view.uid_next;
        loop {
            let witnesses = self
                .engine
                .ledger
                .step(|l| l.index_witnesses(index, below, SET_MAX / 2))?;
            let Some(last) = witnesses.last() else {
                return Ok(1);
            };
            below = last.uid.0;
            let (told, _) = self.described(index, &uids(&witnesses))?;
            let mut agreed = None;
            for (uid, same) in compared(&witnesses, &told).into_iter().rev() {
                agreed = if same { agreed.or(Some(uid)) } else { None };
            }
            if let Some(uid) = agreed {
                return Ok(uid.0.saturating_add(1));
            }
        }
    }
}

/// In ascending order, each once.
pub(super) fn uids(witnesses: &[Witness]) -> Vec<Uid> {
    let mut uids: Vec<Uid> = witnesses.iter().map(|w| w.uid).collect();
    uids.sort_unstable();
    uids.dedup();
    uids
}

/// For each of these UIDs whose message tells its name: is it the name that every witness knows?
pub(super) fn compared(witnesses: &[Witness], told: &[Discovered]) -> BTreeMap<Uid, bool> {
    let told: HashMap<Uid, &Discovered> = told.iter().map(|d| (d.uid, d)).collect();
    let mut same = BTreeMap::new();
    for w in witnesses {
        let Some(now) = told.get(&w.uid) else {
            continue;
        };
        if let Some(id) = &now.message_id {
            let agrees = id.hash == w.message_id_hash && now.date == w.date;
            same.entry(w.uid)
                .and_modify(|same| *same &= agrees)
                .or_insert(agrees);
        }
    }
    same
}
