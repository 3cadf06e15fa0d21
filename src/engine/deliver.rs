//! One worker: claims a batch, finds out what the target has of it, fetches the rest, and sends it.
//!
//! Every row of a batch leaves through `settle`, each by itself. Where a session dies, what was not begun is
//! released, and what may have arrived stays in flight and is resolved by looking.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::thread;

use chrono::Utc;
use log::{debug, info};

use super::ahead::Ahead;
use super::batch::Batch;
use super::budget::too_big;
use super::decide::{self, Decision, Limits, decide};
use super::dedup::{Copies, Looked};
use super::fetch::{Came, Fetched};
use super::index::TargetIndex;
use super::pipeline::{Next, Pipeline};
use super::road::{self, Standing, Way, Wish};
use super::send::Parcel;
use super::settle::Outcome;
use super::workers::Seat;
use super::{Engine, lock};
use crate::error::{Again, Error, Fault, Result, Scope};
use crate::folder::Delivery;
use crate::ledger::{Proof, Row, RowId};
use crate::message::{Discovered, Message, Time};
use crate::session::MESSAGE_MAX;
use crate::target::{Account, Policy, Road};

impl Engine {
    /// Delivers batches until nothing is left to claim, a session is lost, or the run is to end.
    pub(super) fn work(&self, seat: &mut Seat<'_>) -> Result<()> {
        let once = self.once.load(Ordering::Relaxed);
        let (account, warm) = match self.enter() {
            // The server lets in no more sessions of ours than are at work already: those will do.
            Err(e) if e.reaction().again == Again::AfterPause && self.sessions.any_at_work() => {
                self.go_on_with_fewer(&e);
                return Ok(());
            }
            end => end?,
        };
        let _session = self.sessions.note_at_work();
        let mut pipeline = Pipeline::new(self, account);
        let mut end = thread::scope(|scope| {
            let mut ahead = Ahead::start(self, scope)?;
            let end = self.deliver_batches(&mut pipeline, warm, &mut ahead, seat);
            pipeline.look_at_copies(end)
        });
        let (account, sent) = pipeline.into_account();
        end = end.and(sent);
        if end.is_ok()
            && let Some(e) = lock(&self.refused_labels).take()
        {
            end = Err(e);
        }
        self.note_shut(&account);
        end = self.unless_fewer_will_do(end);
        if !account.usable() || seat.is_one_too_many() {
            account.logout()
        } else if once {
            self.let_go(account)
        } else {
            let mut account = account;
            account.wait();
            self.sessions.keep(account);
        }
        end
    }

    /// One batch after the other. `warm`: the session had waited for mail.
    fn deliver_batches<'e>(
        &'e self,
        pipeline: &mut Pipeline<'e>,
        mut warm: bool,
        ahead: &mut Ahead<'e>,
        seat: &mut Seat<'_>,
    ) -> Result<()> {
        let mut end = self.resolve_and_verify(pipeline.at_rest()?);
        loop {
            if let Err(e) = &end
                && warm
                && e.scope() == Scope::Session
            {
                // The server had ended it while it waited for mail: that is no trouble.
                debug!("{}", e.then("opening another session"));
                *pipeline.at_rest()? = self.open_account()?;
                warm = false;
                end = self.resolve_and_verify(pipeline.at_rest()?);
            }
            if end.is_err() || self.stopping() || seat.is_one_too_many() {
                return end;
            }
            if self.unresolved.is_import_due(&pipeline.account.policy()) {
                // The end of an import leaves its session as it was, and the backlog may be long. A look that settles
                // nothing is followed by a batch all the same.
                end = self.resolve_and_verify(pipeline.at_rest()?);
                if end.is_err() {
                    continue;
                }
            }
            if pipeline.account.outlived(Utc::now()) {
                let old = std::mem::replace(pipeline.at_rest()?, self.open_account()?);
                old.logout();
            }
            let Some(next) = self.next_batch(pipeline, ahead)? else {
                return Ok(());
            };
            self.promise_transfer(0);
            end = self.deliver(pipeline, next, ahead);
            warm &= end.is_err();
            if end.is_ok() && self.notice_is_due()? {
                self.tell_of_failures(pipeline.at_rest()?)?;
                if !pipeline.account.usable() {
                    *pipeline.at_rest()? = self.open_account()?;
                }
            }
        }
    }

    /// The next batch: the one for which a look is on its way, unless there is new mail, which goes first.
    fn next_batch<'e>(
        &'e self,
        pipeline: &mut Pipeline<'e>,
        ahead: &mut Ahead<'e>,
    ) -> Result<Option<Next<'e>>> {
        if let Some(next) = pipeline.next.take() {
            let gives_way = self.new_mail.load(Ordering::Relaxed);
            if !gives_way || self.holds_new_mail(&next.batch)? {
                return Ok(Some(next));
            }
            pipeline.next = Some(next);
            pipeline.at_rest()?;
            if let Some(next) = pipeline.next.take() {
                ahead.put_off(next.batch);
            }
        }
        // A batch that newer mail goes ahead of is fetched to its end: nothing on its way waits for that.
        pipeline.hear_all_but(0)?;
        let mut batch = ahead.next(&pipeline.account)?;
        if batch.is_none() {
            // What is on its way, or not looked at, keeps others of its name from being claimed.
            pipeline.look_at_copies(Ok(()))?;
            batch = ahead.next(&pipeline.account)?;
        }
        Ok(batch.map(|batch| Next { batch, asked: None }))
    }

    /// A session with the target, and whether it is one that had waited.
    fn enter(&self) -> Result<(Account, bool)> {
        match self.sessions.take_idle() {
            Some((account, waited)) => {
                // In a run that ends by itself, it was opened while the source was looked at: just now.
                let once = self.once.load(Ordering::Relaxed);
                Ok((account, !once || waited >= self.times.keep))
            }
            None => Ok((self.open_after_the_others()?, false)),
        }
    }

    /// The steps of one batch. What becomes of its last messages is heard behind the look for the next one.
    fn deliver<'e>(
        &'e self,
        pipeline: &mut Pipeline<'e>,
        next: Next<'e>,
        ahead: &mut Ahead<'e>,
    ) -> Result<()> {
        let Next { mut batch, asked } = next;
        let looked = match pipeline.glance(Some(&batch), asked)? {
            Some(looked) => Some(looked),
            None => {
                pipeline.look_at_copies(Ok(()))?;
                let account = pipeline.at_rest()?;
                match self.open_destination(account, &mut batch)? {
                    true => self.look_where_it_goes(account, &mut batch)?,
                    false => None,
                }
            }
        };
        let Some((boxes, copies)) = looked else {
            return Ok(());
        };
        self.settle_without_bytes(&pipeline.account, &mut batch, &copies)?;
        let messages = self.messages_of(pipeline, &mut batch, ahead)?;
        self.check_renumbering(&messages)?;
        ahead.prepare_next(&pipeline.account)?;
        let parcels = self.prepare(&mut pipeline.account, &mut batch, messages, &copies)?;
        let (by_import, mut by_append): (Vec<Parcel>, Vec<Parcel>) = parcels
            .into_iter()
            .partition(|parcel| parcel.road == Road::Import);
        if !by_import.is_empty() {
            pipeline.imported = true;
            let account = pipeline.at_rest()?;
            by_append.extend(self.send_by_import(account, &mut batch, by_import, &boxes)?);
        }
        let end =
            pipeline.mark_and_send(&mut batch, by_append, &boxes, |account| ahead.next(account));
        if pipeline.imported {
            pipeline.look_at_copies(end)
        } else {
            end
        }
    }

    /// The messages of the rows that are left in this batch. Those that cannot be had are settled.
    fn messages_of<'e>(
        &'e self,
        pipeline: &mut Pipeline<'e>,
        batch: &mut Batch<'e>,
        ahead: &mut Ahead<'e>,
    ) -> Result<Vec<(Row, Message)>> {
        // What is on its way does not wait for the source: the target may still have to ask for a part of it.
        if !ahead.has_come() {
            pipeline.hear_all_but(0)?;
        }
        let mut fetched = ahead.messages().unwrap_or_else(|| Ok(Vec::new()))?;
        let have: HashSet<RowId> = fetched.iter().map(|f| f.row.id).collect();
        let rest: Vec<Row> = batch
            .rows
            .iter()
            .filter(|r| !have.contains(&r.id))
            .cloned()
            .collect();
        if !rest.is_empty() {
            pipeline.hear_all_but(0)?;
            fetched.extend(self.fetch(&rest)?);
        }
        let left: HashSet<RowId> = batch.rows.iter().map(|row| row.id).collect();
        let mut messages = Vec::with_capacity(fetched.len());
        for Fetched { row, came } in fetched {
            match came {
                // The look has shown that its copy is there.
                _ if !left.contains(&row.id) => {}
                Came::Message(message) => messages.push((row, message)),
                Came::End(outcome) => batch.settle(&row, outcome)?,
            }
        }
        Ok(messages)
    }

    /// Has the account deliver where the rows of this batch go. False where the target does not have that: then they are
    /// settled, and no other message is concerned.
    fn open_destination(&self, account: &mut Account, batch: &mut Batch<'_>) -> Result<bool> {
        let Some(destination) = batch.rows.first().map(|row| row.destination) else {
            return Ok(false);
        };
        let destination = self.ledger.step(|l| l.destination(destination))?;
        let Err(e) = account.deliver_into(&destination.spot) else {
            return Ok(true);
        };
        if e.scope() > Scope::Message {
            return Err(e);
        }
        for row in batch.rows.clone() {
            batch.refuse(&row, e.clone(), b"")?;
        }
        Ok(false)
    }

    /// As [`look_for_copies`](Self::look_for_copies). A mailbox that somebody has deleted meanwhile is made again. None
    /// where it does not open all the same: then the rows are settled, and no other message is concerned.
    fn look_where_it_goes(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
    ) -> Result<Option<Looked>> {
        let refused = |account: &mut Account, e: &Error| {
            TargetIndex::through(self, account).place_is_refused(e)
        };
        match self.look_for_copies(account, batch) {
            Err(e) if refused(account, &e) => debug!("{}", e.then("looking for it anew")),
            end => return end.map(Some),
        }
        account.forget_mailboxes();
        if !self.open_destination(account, batch)? {
            return Ok(None);
        }
        match self.look_for_copies(account, batch) {
            Err(e) if refused(account, &e) => {
                let e = e.with_fault(Fault::Transient);
                for row in batch.rows.clone() {
                    batch.refuse(&row, e.clone(), b"")?;
                }
                Ok(None)
            }
            end => end.map(Some),
        }
    }

    /// Brings the index up to date: where each of its mailboxes stands, and what they hold that may be a copy
    /// of a row of this batch.
    fn look_for_copies(&self, account: &mut Account, batch: &Batch<'_>) -> Result<Looked> {
        let mut index = TargetIndex::through(self, account);
        let mut boxes = index.refresh()?;
        let copies = index.find_copies(&mut boxes, &batch.rows, Utc::now())?;
        self.warn_of_overlap(&boxes)?;
        Ok((boxes, copies))
    }

    /// Puts a message on the road that it is to take; or says until when that rests.
    fn choose_road(&self, account: &Account, parcel: &mut Parcel) -> Result<Option<Time>> {
        let policy = account.policy();
        let row = &parcel.row;
        let about = Discovered {
            flags: parcel.intent.flags,
            ..row.about.clone()
        };
        let wish = Wish {
            by_import: self.is_to_be_imported(row)?,
            refused_by: row.refused_by,
            unfit: road::unfit(&about, &parcel.body, account.spot(), Utc::now()),
            size: parcel.intent.size,
        };
        let append = policy.takes(Road::Append);
        match road::way(wish, &self.import_standing(&policy), append) {
            Way::Wait(until) => return Ok(Some(until)),
            Way::TheOther(road) => parcel.take(road),
            Way::Import(why) => self.take_detour(parcel, Road::Import, None, why)?,
            Way::Append(why) => self.take_detour(parcel, Road::Append, row.refused_by, why)?,
        }
        Ok(None)
    }

    /// Does its folder want this message imported? Mail that was there before is not mail that comes.
    pub(super) fn is_to_be_imported(&self, row: &Row) -> Result<bool> {
        let folder = self.ledger.step(|l| l.folder_of(row.mailbox_id))?;
        Ok(folder.delivery != Delivery::Append && self.ledger.step(|l| l.is_new_mail(row.id))?)
    }

    /// Until when a row waits that its road does not take now: its bytes need not be fetched for that.
    fn waits_for_its_road(&self, account: &Account, row: &Row) -> Result<Option<Time>> {
        let Standing::Rests(until) = self.import_standing(&account.policy()) else {
            return Ok(None);
        };
        let fits = road::unfit(&row.about, b"", account.spot(), Utc::now()).is_none();
        let waits = fits && row.refused_by.is_none() && self.is_to_be_imported(row)?;
        Ok(waits.then_some(until))
    }

    /// Settles rows that need no bytes: the target has them, the predecessor had copied them, or even their
    /// source says that they are more than may be carried. What is only more than the target takes is fetched
    /// all the same: sizes may lie (docs/servers.md 3.9), and its bytes decide.
    fn settle_without_bytes(
        &self,
        account: &Account,
        batch: &mut Batch<'_>,
        copies: &HashMap<RowId, Copies>,
    ) -> Result<()> {
        let limits = Limits {
            takes: MESSAGE_MAX,
            a_day: None,
        };
        let rows = batch.rows.clone();
        // All are decided before any is settled: no two rows of one Message-ID are in one batch (`Ledger::claim`), and
        // what is known of others decides about none.
        let decisions = self.ledger.view(|l| {
            let each = rows.iter().map(|row| {
                let known = decide::known(l, row, copies.get(&row.id))?;
                Ok(decide(row.about.size, known, limits))
            });
            each.collect::<Result<Vec<Decision>>>()
        })?;
        let (mut ended, mut refused) = (Vec::new(), Vec::new());
        let delivered = |proof, place| Outcome::Delivered {
            proof,
            place,
            altered: false,
        };
        for (row, decision) in rows.iter().zip(decisions) {
            match decision {
                Decision::Found(place) => {
                    info!("found {} in the target", self.named(row));
                    ended.push((row, delivered(Proof::Found, Some(place))));
                }
                Decision::Imported => {
                    info!(
                        "{} was copied before: its Message-ID was imported",
                        self.named(row)
                    );
                    ended.push((row, delivered(Proof::Imported, None)));
                }
                Decision::Refuse(error) => refused.push((row, error)),
                Decision::Fetch { .. } => {
                    if let Some(until) = self.waits_for_its_road(account, row)? {
                        ended.push((row, self.held(until)));
                    }
                }
            }
        }
        batch.settle_all(ended)?;
        for (row, error) in refused {
            let folder = self.ledger.step(|l| l.folder_of(row.mailbox_id))?;
            let header = self.reader_at(&folder).envelope(row.about.uid);
            batch.refuse(row, error, &header.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Settles the messages that the target has already or does not take, as their bytes tell; the others are
    /// made ready to be sent.
    fn prepare(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
        messages: Vec<(Row, Message)>,
        copies: &HashMap<RowId, Copies>,
    ) -> Result<Vec<Parcel>> {
        let fetched = messages.into_iter();
        let fetched: Vec<Parcel> = fetched.map(|(row, m)| Parcel::new(row, m)).collect();
        let mut strangers = self.strangers(&fetched, copies)?;
        let mut parcels = Vec::with_capacity(fetched.len());
        for mut parcel in fetched {
            if !strangers.contains(&parcel.row.id) {
                // What becomes of this one may be news of those behind it: they are asked about when it is their turn.
                strangers.clear();
                let copies = copies.get(&parcel.row.id);
                if let Some(outcome) = self.recognise(account, &parcel, copies)? {
                    batch.settle(&parcel.row, outcome)?;
                    continue;
                }
            }
            if let Some(until) = self.choose_road(account, &mut parcel)? {
                batch.settle(&parcel.row, self.held(until))?;
            } else if let Some(error) = self.not_taken(&account.policy(), &parcel) {
                batch.refuse(&parcel.row, parcel.with_detour(error), &parcel.body)?;
            } else {
                self.remember_header(parcel.row.id, &parcel.body);
                parcels.push(parcel);
            }
        }
        Ok(parcels)
    }

    /// Why the target does not take this message, if so.
    fn not_taken(&self, target: &Policy, parcel: &Parcel) -> Option<Error> {
        let takes = target.takes(parcel.road);
        if !takes.nul && parcel.body.contains(&0) {
            return Some(Error::new(
                Fault::Permanent,
                "the message holds a NUL byte, which Gmail does not take",
            ));
        }
        let a_day = self.setup().config.upload_limit_per_day;
        too_big(parcel.intent.size, takes.largest, a_day)
    }
}
