//! The look at the target before a batch, in passing: it goes out behind the messages of the batch before, and brings what became
//! of those that were answered until then. So a session that sends waits for no look. Where anything is out of the
//! ordinary nothing is concluded from it, and the index is looked at by itself (`index`, `dedup`).

use std::collections::HashSet;

use chrono::Utc;
use log::debug;

use super::asked::{Asked, Before};
use super::batch::Batch;
use super::bisect::may_be_a_messages;
use super::dedup::Looked;
use super::index::{TargetIndex, is_behind};
use super::pipeline::{Next, Pipeline};
use super::put_back::{ASKED, compared, uids};
use super::seen::Seen;
use crate::error::Result;
use crate::ledger::{IndexMailbox, RowId, Verification};
use crate::session::SET_MAX;
use crate::target::{Glance, News, Question};

impl<'e> Pipeline<'e> {
    /// Has the look for this batch, which is to be sent next, go out before the messages that are still to be sent.
    pub(super) fn ask_ahead(&mut self, batch: Batch<'e>) {
        let is_alone = batch.rows.iter().any(|row| row.unseen > 0);
        let asked = if is_alone || self.is_in_trouble() {
            None
        } else {
            // Where that goes wrong it is asked once more when it is needed.
            self.ask(Some(&batch)).unwrap_or_default()
        };
        self.next = Some(Next { batch, asked });
    }

    /// What a look shows that goes out behind what is on its way: of what was delivered, and of what may be copies of these
    /// rows. `asked`: where it is on its way already. None: the target is to be looked at by itself.
    ///
    /// # Errors
    /// What became of the messages that were on their way, where it concerns others.
    pub(super) fn glance(
        &mut self,
        batch: Option<&Batch<'_>>,
        asked: Option<Asked>,
    ) -> Result<Option<Looked>> {
        let asked = match asked {
            Some(asked) => Some(asked),
            None => self.ask(batch)?,
        };
        let Some(Asked {
            before,
            samples,
            glancing,
            behind,
        }) = asked
        else {
            return Ok(None);
        };
        self.hear_all_but(behind)?;
        let answer = self.account.end_glance(glancing);
        if self.is_in_trouble() {
            self.at_rest()?;
        }
        let glance = match answer {
            Ok(glance) => glance,
            Err(e) => {
                debug!("{}", e.then("looking at the target by itself"));
                let mut index = TargetIndex::through(self.engine, self.at_rest()?);
                if may_be_a_messages(&e) {
                    index.reopen()?;
                }
                return Ok(None);
            }
        };
        let engine = self.engine;
        let mut index = TargetIndex::through(engine, &mut self.account);
        let Some(mut boxes) = index.record_news(&before, &glance)? else {
            index.account.forget_look(&before.index.name);
            return Ok(None);
        };
        let looked_at: HashSet<RowId> = before.copies.iter().map(|w| w.row.id).collect();
        index.record_copies(&before, glance, samples)?;
        index.add_labels_for_now()?;
        let rows = batch.map_or(&[][..], |batch| &batch.rows);
        let copies = index.find_copies(&mut boxes, rows, Utc::now())?;
        drop(index);
        engine.warn_of_overlap(&boxes)?;
        self.unseen.retain(|id| !looked_at.contains(id));
        Ok(Some((boxes, copies)))
    }

    /// Asks behind what is on its way. None: it cannot be asked in passing.
    fn ask(&mut self, batch: Option<&Batch<'_>>) -> Result<Option<Asked>> {
        let Some(before) = self.known_before(batch)? else {
            return Ok(None);
        };
        let (delivered, samples) = self.engine.to_be_looked_at(&before.copies);
        let question = Question {
            delivered: &delivered,
            witnesses: &uids(&before.witnesses),
            from: before.index.next_uid,
            spare_last: before.spare_last,
        };
        let asked = self.account.begin_glance(&question).ok();
        Ok(asked.map(|glancing| Asked {
            before,
            samples,
            glancing,
            behind: 0,
        }))
    }

    fn known_before(&self, batch: Option<&Batch<'_>>) -> Result<Option<Before>> {
        let (engine, account) = (self.engine, &self.account);
        let first = batch.and_then(|batch| batch.rows.first());
        let name = account.index_mailboxes().remove(0);
        if !account.usable() || !engine.known_target.is_caught_up(&name) {
            return Ok(None);
        }
        let compares = !account.has_looked_at(&name) && account.policy().may_go_back;
        let (spot, delivery) = (account.spot().clone(), account.delivery().to_string());
        // Read before the view is taken: others are sent meanwhile.
        let put_backs = engine.known_target.put_backs();
        let unseen = &self.unseen;
        if unseen.len() > SET_MAX {
            return Ok(None);
        }
        engine.ledger.view(|l| {
            let Some(index) = l.index_known(&name)? else {
                return Ok(None);
            };
            if let Some(first) = first
                && l.destination(first.destination)?.spot != spot
            {
                return Ok(None);
            }
            let witnesses = if compares {
                l.index_witnesses(&index, u32::MAX, ASKED)?
            } else {
                Vec::new()
            };
            let here = l.index_id(&delivery)?;
            let copies = l.unverified_among(unseen)?;
            let is_here = |w: &Verification| w.place.is_some_and(|p| Some(p.mailbox) == here);
            if !copies.iter().all(is_here) {
                return Ok(None);
            }
            Ok(Some(Before {
                given: l.index_given(&name)?,
                spare_last: l.index_ends_nameless(index.id)?,
                index,
                put_backs,
                witnesses,
                copies,
            }))
        })
    }

    /// Looks at the copies of all that was delivered, unless it ended in a trouble that speaks against it.
    pub(super) fn look_at_copies(&mut self, end: Result<()>) -> Result<()> {
        let end = match (self.at_rest().map(|_| ()), end) {
            (Err(heard), Err(e)) if heard.gravity() < e.gravity() => Err(e),
            (Ok(()), end) => end,
            (heard, _) => heard,
        };
        if end.as_ref().is_err_and(|e| !e.own_limit) {
            return end;
        }
        let imported = std::mem::take(&mut self.imported);
        if !imported && !self.unseen.is_empty() {
            self.glance(None, None)?;
        }
        // What others have sent they look at themselves, and the last one at work looks at what is left.
        let others = self.engine.sessions.at_work() > 1;
        let all_seen = !imported && self.unseen.is_empty();
        let mut index = TargetIndex::through(self.engine, self.at_rest()?);
        if !(all_seen && others) {
            index.verify()?;
        }
        index.add_labels_for_now()?;
        drop(index);
        self.unseen.clear();
        end
    }
}

impl TargetIndex<'_> {
    /// Brings the index up to the moment of the glance. None where it shows a mailbox that is not what it was.
    fn record_news(
        &mut self,
        before: &Before,
        glance: &Glance,
    ) -> Result<Option<Vec<IndexMailbox>>> {
        let (engine, name) = (self.engine, &before.index.name);
        let News { view, arrived, .. } = &glance.news;
        let same = compared(&before.witnesses, &glance.witnesses);
        let known = engine.ledger.step(|l| l.index_known(name))?;
        let known = known.filter(|known| {
            known.id == before.index.id
                && known.uid_validity == view.uid_validity
                && engine.known_target.put_backs() == before.put_backs
        });
        let Some(mut index) = known else {
            return Ok(None);
        };
        if is_behind(view, before.given) || same.into_values().any(|same| !same) {
            return Ok(None);
        }
        if let Some(last) = arrived.iter().map(|d| d.uid.0).max() {
            // Others may have seen more meanwhile.
            index.next_uid = index.next_uid.max(last.saturating_add(1));
            engine.ledger.step(|l| l.index_record(&index, arrived))?;
        }
        engine.known_target.note_caught_up(name);
        let others = self.account.index_mailboxes().split_off(1);
        let boxes = self.catch_up_others(index, &others, &glance.news.others)?;
        Ok(Some(boxes))
    }

    /// Those of which another session has not recorded meanwhile what became of them.
    fn record_copies(
        &mut self,
        before: &Before,
        glance: Glance,
        samples: HashSet<RowId>,
    ) -> Result<()> {
        let ids: Vec<RowId> = before.copies.iter().map(|w| w.row.id).collect();
        let open = self.engine.ledger.view(|l| l.unverified_among(&ids))?;
        self.record_verdicts(&open, &Seen::of(glance.delivered, samples), Utc::now())
    }
}
