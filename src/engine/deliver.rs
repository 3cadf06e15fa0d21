//! One worker: claims a batch, finds out what the target has of it, fetches the rest, and sends it.
//!
//! Every row of a batch leaves through `settle`, each by itself. Where a session dies, what was not begun is
//! released, and what may have arrived stays in flight and is resolved by looking.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use chrono::{TimeDelta, Utc};
use log::{debug, info, warn};

use super::batch::Batch;
use super::budget::too_big;
use super::decide::{self, Decision, Limits, decide};
use super::dedup::{Copies, whose_copy};
use super::index::TargetIndex;
use super::road::{self, Standing, Way, Wish};
use super::send::Parcel;
use super::settle::Outcome;
use super::whose::Whose;
use super::{Engine, lock};
use crate::error::{Again, Error, Fault, Result, Scope};
use crate::folder::Delivery;
use crate::ledger::{Claim, IndexMailbox, Intent, Place, Proof, Row, RowId, Twin};
use crate::message::{Discovered, Message, Time, canonical_hash, sha256};
use crate::session::MESSAGE_MAX;
use crate::target::{Account, Policy, Road};

/// Bytes of messages that a batch may hold; a bigger message goes alone.
const BATCH_BYTES: u64 = 8 << 20;

/// Where each index mailbox stands, and what may be copies.
type Looked = (Vec<IndexMailbox>, HashMap<RowId, Copies>);

impl Engine {
    /// Delivers batches until nothing is left to claim, a session is lost, or the run is to end.
    pub(super) fn work(&self, count: usize) -> Result<()> {
        let once = self.once.load(Ordering::Relaxed);
        let (mut account, mut warm) = match self.enter() {
            // The server lets in no more sessions of ours than are at work already: those will do.
            Err(e) if e.reaction().again == Again::AfterPause && self.sessions.any_at_work() => {
                warn!("{}", e.then("going on with fewer connections"));
                return Ok(());
            }
            end => end?,
        };
        let _session = self.sessions.note_at_work();
        let mut end = self.resolve_and_verify(&mut account);
        loop {
            if let Err(e) = &end
                && warm
                && e.scope() == Scope::Session
            {
                // The server had ended it while it waited for mail: that is no trouble.
                debug!("{}", e.then("opening another session"));
                (account, warm) = (self.open_account()?, false);
                end = self.resolve_and_verify(&mut account);
            }
            if end.is_err() || self.stopping() {
                break;
            }
            if self.unresolved.is_import_due(&account.policy()) {
                // The end of an import leaves its session as it was, and the backlog may be long. A look that settles
                // nothing is followed by a batch all the same.
                end = self.resolve_and_verify(&mut account);
                if end.is_err() {
                    continue;
                }
            }
            if account.outlived(Utc::now()) {
                account.logout();
                account = self.open_account()?;
            }
            let claim = Claim {
                count,
                bytes: BATCH_BYTES,
                once,
            };
            let rows = match self.claim_batch(claim) {
                Ok(rows) if rows.is_empty() => break,
                Ok(rows) => rows,
                // No fault of the session: it is kept for when more may be sent.
                Err(e) if e.own_limit => {
                    end = Err(e);
                    break;
                }
                Err(e) => return Err(e),
            };
            self.promise_transfer(0);
            end = self.deliver(&mut account, rows);
            warm &= end.is_err();
            if end.is_ok() {
                self.tell_of_failures(&mut account)?;
                if !account.usable() {
                    account = self.open_account()?;
                }
            }
        }
        if end.is_ok()
            && let Some(e) = lock(&self.refused_labels).take()
        {
            end = Err(e);
        }
        self.note_shut(&account);
        if once || !account.usable() {
            account.logout()
        } else {
            account.wait();
            self.sessions.keep(account);
        }
        end
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

    /// The steps of one batch.
    fn deliver(&self, account: &mut Account, rows: Vec<Row>) -> Result<()> {
        let mut batch = Batch { engine: self, rows };
        if !self.open_destination(account, &mut batch)? {
            return Ok(());
        }
        let Some((boxes, copies)) = self.look_where_it_goes(account, &mut batch)? else {
            return Ok(());
        };
        self.settle_without_bytes(account, &mut batch, &copies)?;
        let messages = self.fetch(&mut batch)?;
        self.check_renumbering(&messages)?;
        let ids: Vec<RowId> = messages.iter().map(|(row, _)| row.id).collect();
        let end = self.send_and_verify(account, &mut batch, messages, &copies, &boxes);
        self.forget_headers(&ids);
        end
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
        for row in batch.rows.clone() {
            let known = decide::known(&self.ledger, &row, copies.get(&row.id))?;
            let (proof, place) = match decide(row.about.size, known, limits) {
                Decision::Found(place) => {
                    info!("found {} in the target", self.named(&row));
                    (Proof::Found, Some(place))
                }
                Decision::Imported => {
                    info!(
                        "{} was copied before: its Message-ID was imported",
                        self.named(&row)
                    );
                    (Proof::Imported, None)
                }
                Decision::Refuse(error) => {
                    let folder = self.ledger.step(|l| l.folder_of(row.mailbox_id))?;
                    let header = self.reader_at(&folder).envelope(row.about.uid);
                    let header = header.unwrap_or_default();
                    batch.refuse(&row, error, &header)?;
                    continue;
                }
                Decision::Fetch { .. } => {
                    if let Some(until) = self.waits_for_its_road(account, &row)? {
                        batch.settle(&row, self.held(until))?;
                    }
                    continue;
                }
            };
            batch.settle(
                &row,
                Outcome::Delivered {
                    proof,
                    place,
                    altered: false,
                },
            )?;
        }
        Ok(())
    }

    fn send_and_verify(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
        messages: Vec<(Row, Message)>,
        copies: &HashMap<RowId, Copies>,
        boxes: &[IndexMailbox],
    ) -> Result<()> {
        let parcels = self.prepare(account, batch, messages, copies)?;
        let (by_import, mut by_append): (Vec<Parcel>, Vec<Parcel>) = parcels
            .into_iter()
            .partition(|parcel| parcel.road == Road::Import);
        by_append.extend(self.send_by_import(account, batch, by_import, boxes)?);
        let end = self.send(account, batch, by_append, boxes);
        if end.as_ref().is_err_and(|e| !e.own_limit) {
            return end;
        }
        let mut index = TargetIndex::through(self, account);
        index.verify()?;
        index.add_labels_for_now()?;
        end
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
        let mut parcels = Vec::with_capacity(messages.len());
        for (row, message) in messages {
            let mut parcel = Parcel::new(row, message);
            let copies = copies.get(&parcel.row.id);
            if let Some(outcome) = self.recognise(account, &parcel, copies)? {
                batch.settle(&parcel.row, outcome)?;
                continue;
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

    /// What becomes of a message whose bytes the target has already. Equal bytes are delivered once; messages
    /// that share a name with others are told apart by their bytes.
    fn recognise(
        &self,
        account: &mut Account,
        parcel: &Parcel,
        copies: Option<&Copies>,
    ) -> Result<Option<Outcome>> {
        let row = &parcel.row;
        self.hash_rivals(account, row)?;
        let delivered = |proof, place, altered| Outcome::Delivered {
            proof,
            place,
            altered,
        };
        Ok(match self.twin(account, &parcel.intent)? {
            Some(Twin::Delivered) => {
                info!(
                    "{} has the same bytes as a message that was delivered",
                    self.named(row)
                );
                self.record_hashes(&parcel.intent)?;
                Some(delivered(Proof::Same, None, false))
            }
            Some(Twin::Before(before)) => {
                info!(
                    "{} is known from before its mailbox had new UIDs",
                    self.named(row)
                );
                Some(Outcome::KnownBefore { row: before })
            }
            // Another worker has just sent it: the row waits until that copy has been looked at.
            Some(Twin::Unverified) => Some(Outcome::NotBegun),
            Some(Twin::UnverifiedImport) => {
                let wait = account.policy().late_commit(false);
                let until = Utc::now() + TimeDelta::from_std(wait).unwrap_or_default();
                let why =
                    "a message with the same bytes was just imported, and is not to be seen yet"
                        .into();
                Some(Outcome::Held { until, why })
            }
            None => match self.copy_with_bytes(account, row, copies)? {
                Some((place, altered)) => {
                    info!("found {} in the target", self.named(row));
                    self.record_hashes(&parcel.intent)?;
                    Some(delivered(Proof::Found, Some(place), altered))
                }
                None => None,
            },
        })
    }

    /// Another row with these bytes. One that was only answered OK vouches for nobody before its copy has been
    /// looked at, which is done first.
    fn twin(&self, account: &mut Account, sent: &Intent) -> Result<Option<Twin>> {
        let twin = || self.ledger.step(|l| l.twin(sent.row, &sent.sha256));
        match twin()? {
            Some(Twin::Unverified | Twin::UnverifiedImport) => {
                TargetIndex::through(self, account).verify()?;
                twin()
            }
            known => Ok(known),
        }
    }

    fn record_hashes(&self, sent: &Intent) -> Result<()> {
        self.ledger
            .step(|l| l.set_hashes(sent.row, &sent.sha256, &sent.canonical))
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

    /// Other rows with this row's Message-ID and Date were recognised by those alone, and now it matters which
    /// bytes they have. Their messages are hashed, or their copies where the source has them no longer.
    fn hash_rivals(&self, account: &mut Account, row: &Row) -> Result<()> {
        let rivals = self.ledger.step(|l| l.unhashed_rivals(row))?;
        if rivals.is_empty() {
            return Ok(());
        }
        let others = || self.ledger.step(|l| l.others_to_fetch(row.mailbox_id));
        let folder = self.ledger.step(|l| l.folder_of(row.mailbox_id))?;
        for (rival, place) in rivals {
            let mut body = None;
            if rival.mailbox_id == row.mailbox_id {
                let got = self.reader_at(&folder).messages(
                    &[rival.about.uid],
                    rival.about.size.unwrap_or(0),
                    false,
                    &others,
                )?;
                // What comes with another Message-ID is not the rival's message: its hash would make the rival
                // vouch for bytes that nobody delivered.
                let rivals_own = |m: &Message| m.about.has_id_of(&rival.about);
                body = got.found.into_iter().find(rivals_own).map(|m| m.body);
            }
            if body.is_none()
                && let Some(place) = place
            {
                body = TargetIndex::through(self, account).body_at(place)?;
            }
            if let Some(body) = body {
                self.ledger
                    .step(|l| l.set_hashes(rival.id, &sha256(&body), &canonical_hash(&body)))?;
            }
        }
        Ok(())
    }

    /// The copy among these that has these bytes, and whether the target altered it.
    fn copy_with_bytes(
        &self,
        account: &mut Account,
        row: &Row,
        copies: Option<&Copies>,
    ) -> Result<Option<(Place, bool)>> {
        for place in copies.iter().flat_map(|c| c.named.iter().chain(&c.alike)) {
            // Another row of this batch may have it by now.
            if self
                .ledger
                .step(|l| l.vouches_for_another(row.id, *place))?
            {
                continue;
            }
            // Where the name decides, it has done so before the bytes were fetched.
            let named = false;
            if let Some(body) = TargetIndex::through(self, account).body_at(*place)?
                && let Whose::Ours { altered } = whose_copy(&self.ledger, row, &body, named)?
            {
                return Ok(Some((*place, altered)));
            }
        }
        Ok(None)
    }
}
