//! Which copies does the target hold at this moment, where their owner keeps them? Looked at anew each time, whatever the
//! ledger has: mail is deleted behind its back. Not for what follows from it (`pass`).

use std::collections::{HashMap, HashSet};

use crate::engine::index::TargetIndex;
use crate::error::Result;
use crate::ledger::{IndexId, Place, Removable, RowId};
use crate::message::{Discovered, Uid};
use crate::session::SET_MAX;

impl TargetIndex<'_> {
    /// Those of these whose copies are there now, by number or place, Message-ID, Date and size: in All Mail, which has
    /// neither Spam nor Trash in it, or where they were put. What its owner has put into Trash is not kept.
    pub(super) fn there_now(&mut self, wanted: &[(RowId, &Removable)]) -> Result<HashSet<RowId>> {
        // What was delivered a moment ago is in the index after this.
        self.refresh()?;
        let mut by_mailbox: HashMap<IndexId, Vec<(RowId, &Removable, Place)>> = HashMap::new();
        for (id, copy) in wanted {
            for place in self.places_of(copy)? {
                let there = by_mailbox.entry(place.mailbox).or_default();
                there.push((*id, copy, place));
            }
        }
        let mut seen = HashSet::new();
        for (mailbox, copies) in by_mailbox {
            let Some(name) = self.engine.ledger.step(|l| l.index_name(mailbox))? else {
                continue;
            };
            seen.extend(self.seen_in(&name, &copies)?);
        }
        Ok(seen)
    }

    /// Where the copy of this may lie.
    fn places_of(&self, copy: &Removable) -> Result<Vec<Place>> {
        let names = self.account.index_mailboxes();
        let Some((first, thrown_away)) = names.split_first() else {
            return Ok(Vec::new());
        };
        let ledger = &self.engine.ledger;
        let in_use = |place: &Place| -> Result<bool> {
            let name = ledger.step(|l| l.index_name(place.mailbox))?;
            Ok(name.is_some_and(|name| !thrown_away.contains(&name)))
        };
        if self.account.policy().labels {
            // Without a number nobody has ever seen it there.
            let Some(number) = copy.row.about.gm_msgid else {
                return Ok(Vec::new());
            };
            if let Some(place) = ledger.step(|l| l.index_place(first, number))? {
                return Ok(vec![place]);
            }
        }
        if let Some(place) = copy.place {
            return Ok(if in_use(&place)? {
                vec![place]
            } else {
                Vec::new()
            });
        }
        // The target told no place. By its name alone it is known where no other message has that.
        let Some(name) = &copy.row.about.message_id else {
            return Ok(Vec::new());
        };
        if self.account.policy().labels || ledger.step(|l| l.has_rivals(&copy.row))? {
            return Ok(Vec::new());
        }
        let hits = ledger.step(|l| l.index_hits(name, copy.row.about.date.as_deref()))?;
        Ok(if hits.len() == 1 { hits } else { Vec::new() })
    }

    /// Those of these that this mailbox has, in a view of this moment: an old one may show what is gone.
    fn seen_in(&mut self, name: &str, copies: &[(RowId, &Removable, Place)]) -> Result<Vec<RowId>> {
        self.reopen()?;
        let view = match self.account.view(name, true) {
            Err(e) if self.does_not_open(name, &e) => return Ok(Vec::new()),
            view => view?,
        };
        let here: Vec<_> = copies
            .iter()
            .filter(|(_, _, place)| place.uid_validity == view.uid_validity)
            .collect();
        let mut uids: Vec<Uid> = here.iter().map(|(_, _, place)| place.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        let (Some(last), true) = (uids.last(), view.exists > 0) else {
            return Ok(Vec::new());
        };
        let index = self
            .engine
            .ledger
            .step(|l| l.index_mailbox(name, view.uid_validity, last.0))?;
        let mut there: HashMap<Uid, Discovered> = HashMap::new();
        for set in uids.chunks(SET_MAX) {
            let (found, _) = self.described(&index, set)?;
            there.extend(found.into_iter().map(|d| (d.uid, d)));
        }
        let kept = here.iter().filter(|(_, copy, place)| {
            let seen = there.get(&place.uid);
            seen.is_some_and(|seen| is_copy(seen, copy, self.account.policy().labels))
        });
        Ok(kept.map(|(id, _, _)| *id).collect())
    }
}

/// Is this the copy of a message? What was imported has lines of Gmail's own in front of it, and its bytes were compared
/// when it was verified; of anything else the size is that of what was sent.
fn is_copy(seen: &Discovered, copy: &Removable, numbered: bool) -> bool {
    let about = &copy.row.about;
    let id = |d: &Discovered| d.message_id.as_ref().map(|id| id.hash);
    let size = match (seen.size, about.size) {
        (Some(there), Some(sent)) if copy.row.by_import => there >= sent,
        (Some(there), Some(sent)) => there == sent,
        _ => false,
    };
    let number = !numbered || (seen.gm_msgid.is_some() && seen.gm_msgid == about.gm_msgid);
    size && number && id(seen) == id(about) && seen.date == about.date
}
