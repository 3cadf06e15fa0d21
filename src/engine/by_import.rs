//! Messages through Gmail's API: intent on disk first, then effect, one message after the other, and what each end of it
//! means. Not for whether the road is open (`imports`), nor for messages of which nobody knows what became (`resolve`).

use std::time::Instant;

use chrono::{TimeDelta, Utc};
use log::{debug, info, warn};

use super::batch::Batch;
use super::budget::limit_reached;
use super::road::Standing;
use super::send::Parcel;
use super::settle::Outcome;
use super::{Engine, index};
use crate::error::{Charge, Error, Fault, Result, Scope};
use crate::folder::{Delivery, Destination, SpecialUse, Spot};
use crate::ledger::{IndexMailbox, Ledger, Mark, RefusedBy};
use crate::message::{Flags, Time};
use crate::target::api::{Imported, Mail, Means, Receipt};
use crate::target::{Account, Road};

/// After so many tries a message that is refused for now goes by APPEND: some are never taken, in the same words
/// (docs/gmail-import.md 4, `Bad Request`).
const TRIES: u32 = 3;

/// What follows from the end of one message for the road.
enum Next {
    /// The others follow.
    Message,
    /// This message is to go by APPEND, and the others follow.
    ByAppend,
    /// The others wait until then.
    Rest(Time),
    /// It is closed until a person acts: the others are claimed again, and go by APPEND.
    Closed,
}

impl Engine {
    /// Sends messages through the API. Returns those that are to go by APPEND after all.
    pub(super) fn send_by_import(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
        parcels: Vec<Parcel>,
        boxes: &[IndexMailbox],
    ) -> Result<Vec<Parcel>> {
        let mut by_append = Vec::new();
        // Their owner may have given labels other names.
        self.imports.forget_labels();
        let marks = index::marks(boxes);
        let mut rest = None;
        for mut parcel in parcels {
            // Another worker may have met that meanwhile.
            let until = match self.import_standing(&account.policy()) {
                Standing::Open => rest,
                Standing::Rests(until) => Some(until),
                Standing::None | Standing::Refused(..) => break,
            };
            if let Some(until) = until {
                batch.settle(&parcel.row, self.held(until))?;
                continue;
            }
            if self.stopping() {
                break;
            }
            match self.import(account, batch, &mut parcel, &marks)? {
                Next::Message => {}
                Next::ByAppend => by_append.push(parcel),
                Next::Rest(until) => rest = Some(until),
                Next::Closed => break,
            }
        }
        Ok(by_append)
    }

    /// Sends one message.
    fn import(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
        parcel: &mut Parcel,
        marks: &[Mark],
    ) -> Result<Next> {
        let labels = match self.labels_there(account, parcel) {
            Ok(labels) => labels,
            Err(e) => return self.without_labels(account, batch, parcel, e),
        };
        let never_mark_spam = self.never_mark_spam(parcel)?;
        let (limit, now) = (self.setup().config.upload_limit_per_day, Utc::now());
        let mark = |l: &mut Ledger| l.mark(&[parcel.intent], marks, limit, now);
        if let (Some(limit), 0) = (limit, self.ledger.step(mark)?) {
            let until = now + TimeDelta::hours(1);
            let why = limit_reached(limit).message;
            info!("{} waits for an hour: {why}", self.named(&parcel.row));
            batch.settle(&parcel.row, Outcome::Held { until, why })?;
            return Ok(Next::Message);
        }
        let begun = Instant::now();
        // From now on it may be in the target.
        batch.leave_in_flight(&parcel.row);
        let mut end = self.post(parcel, &labels, never_mark_spam);
        if let Ok(Imported::Refused(Means::Label, e)) = &end {
            let named = self.named(&parcel.row);
            debug!("{named}: {}", e.then("looking its labels up anew"));
            batch.take_up(&parcel.row);
            self.imports.forget_labels();
            let spot = account.spot().clone();
            account.forget_mailboxes();
            // Where that cannot be had the batch ends: nothing goes anywhere else.
            account
                .deliver_into(&spot)
                .map_err(|e| e.with_fault(Fault::Connection))?;
            let labels = match self.labels_there(account, parcel) {
                Ok(labels) => labels,
                Err(e) => return self.without_labels(account, batch, parcel, e),
            };
            batch.leave_in_flight(&parcel.row);
            end = self.post(parcel, &labels, never_mark_spam);
        }
        match end {
            Ok(Imported::Done(receipt)) => {
                self.settle_imported(batch, parcel, &receipt, begun)?;
                Ok(Next::Message)
            }
            Ok(Imported::Refused(Means::Message | Means::Label, e)) => {
                self.note_imports_open(begun)?;
                batch.take_up(&parcel.row);
                self.settle_refused_import(account, batch, parcel, e)
            }
            Ok(Imported::Unknown(e, upload)) => {
                let named = self.named(&parcel.row);
                warn!("{named}: {}", e.then("looking whether it arrived"));
                self.unresolved.add_import(&parcel.row, e.clone(), upload);
                Ok(Next::Rest(self.close_imports(&e)?))
            }
            // Nothing of it is there.
            Ok(Imported::Refused(Means::Account, e) | Imported::NotSent(e)) | Err(e) => {
                self.close_over(batch, parcel, &e)
            }
        }
    }

    /// The labels of a message cannot be had, so that nothing of it was sent.
    fn without_labels(
        &self,
        account: &Account,
        batch: &mut Batch<'_>,
        parcel: &mut Parcel,
        e: Error,
    ) -> Result<Next> {
        if e.scope() == Scope::Message {
            self.settle_refused_import(account, batch, parcel, e)
        } else if account.usable() {
            self.close_over(batch, parcel, &e)
        } else {
            Err(e)
        }
    }

    /// The road is closed for now, and nothing of this message is there.
    fn close_over(&self, batch: &mut Batch<'_>, parcel: &Parcel, e: &Error) -> Result<Next> {
        if e.scope() == Scope::Process {
            return Err(e.clone());
        }
        let until = self.close_imports(e)?;
        if let Standing::Rests(until) = self.import_standing(&self.known_target.policy()) {
            batch.settle(&parcel.row, self.held(until))?;
            return Ok(Next::Rest(until));
        }
        debug!("{}: not imported before {until}", self.named(&parcel.row));
        batch.settle(&parcel.row, Outcome::NotBegun)?;
        Ok(Next::Closed)
    }

    /// One request, and one more where the token had to be renewed for it.
    fn post(&self, parcel: &Parcel, labels: &[String], never_mark_spam: bool) -> Result<Imported> {
        self.promise_transfer(parcel.intent.size);
        self.ask_api(|api, token| {
            let mail = Mail {
                body: &parcel.body,
                labels,
                never_mark_spam,
            };
            match api.import(token, &mail) {
                Imported::Refused(Means::Account, e) if e.credentials_refused => Err(e),
                end => Ok(end),
            }
        })
    }

    fn settle_imported(
        &self,
        batch: &mut Batch<'_>,
        parcel: &Parcel,
        receipt: &Receipt,
        begun: Instant,
    ) -> Result<()> {
        let gm_msgid = receipt.msgid;
        batch.settle(&parcel.row, Outcome::Imported { gm_msgid })?;
        info!("imported {}", self.named(&parcel.row));
        self.note_imports_open(begun)?;
        self.note_got_through(true)
    }

    /// The API refuses this message for what it is. Where that may pass it is tried again a few times; else APPEND may
    /// take it.
    fn settle_refused_import(
        &self,
        account: &Account,
        batch: &mut Batch<'_>,
        parcel: &mut Parcel,
        e: Error,
    ) -> Result<Next> {
        let row = parcel.row.id;
        let passes = e.reaction().charge != Charge::Failure && e.scope() == Scope::Message;
        let too_big = parcel.intent.size > account.policy().takes(Road::Append).largest;
        let refused = |l: &mut Ledger| l.note_import_refusal(row);
        if passes && (self.ledger.step(refused)? < TRIES || too_big) {
            batch.refuse(&parcel.row, e, &parcel.body)?;
            return Ok(Next::Message);
        }
        if too_big || parcel.row.refused_by == Some(RefusedBy::Append) {
            let e = parcel.with_detour(e.with_fault(Fault::Permanent));
            batch.refuse(&parcel.row, e, &parcel.body)?;
            return Ok(Next::Message);
        }
        warn!(
            "{}: {}",
            self.named(&parcel.row),
            e.then("sending it by APPEND")
        );
        let why = Some(format!("not imported: {}", e.message));
        self.take_detour(parcel, Road::Append, Some(RefusedBy::Import), why)?;
        Ok(Next::ByAppend)
    }

    /// Takes note of the road that a message takes, and why where that is not its folder's.
    pub(super) fn take_detour(
        &self,
        parcel: &mut Parcel,
        road: Road,
        refused_by: Option<RefusedBy>,
        why: Option<String>,
    ) -> Result<()> {
        let row = &mut parcel.row;
        if (refused_by, &why) != (row.refused_by, &row.detour) {
            self.ledger
                .step(|l| l.note_detour(row.id, refused_by, why.as_deref()))?;
        }
        (row.refused_by, row.detour) = (refused_by, why);
        parcel.take(road);
        Ok(())
    }

    fn never_mark_spam(&self, parcel: &Parcel) -> Result<bool> {
        let folder = self.ledger.step(|l| l.folder_of(parcel.row.mailbox_id))?;
        Ok(match folder.delivery {
            Delivery::Import { never_mark_spam } => never_mark_spam,
            // It is too big for the road of its folder, on which nothing looks for spam.
            Delivery::Append => true,
        })
    }

    /// The ids of the labels that a message is to have, as its destination and its flags say.
    fn labels_there(&self, account: &mut Account, parcel: &Parcel) -> Result<Vec<String>> {
        let destination = self
            .ledger
            .step(|l| l.destination(parcel.row.destination))?;
        let mut names = Vec::new();
        for label in &destination.labels {
            names.push(account.label_of(&Spot::Label(label.clone()))?);
        }
        if let Spot::Label(_) = destination.spot {
            names.push(account.label_of(&destination.spot)?);
        }
        let mut ids = self.label_ids(&names)?;
        ids.extend(system_labels(&destination, parcel.intent.flags));
        Ok(ids)
    }
}

/// Those of Gmail's own labels that a message is to have: at most one of INBOX, SPAM and TRASH
/// (docs/gmail-import.md 3).
fn system_labels(destination: &Destination, flags: Flags) -> Vec<String> {
    let place = match destination.spot {
        Spot::Inbox => Some("INBOX"),
        Spot::Use(SpecialUse::Junk) => Some("SPAM"),
        Spot::Use(SpecialUse::Trash) => Some("TRASH"),
        Spot::Use(_) | Spot::Label(_) => None,
    };
    let unread = (!flags.seen).then_some("UNREAD");
    let starred = flags.flagged.then_some("STARRED");
    let all = [place, unread, starred].into_iter().flatten();
    all.map(str::to_string).collect()
}
