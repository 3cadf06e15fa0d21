//! The APPENDs of a batch: intent on disk first, then effect, and what each end of it means.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::Utc;
use log::{debug, info, warn};

use super::batch::Batch;
use super::budget::limit_reached;
use super::settle::Outcome;
use super::{Engine, index};
use crate::error::{Charge, Error, Result, Scope};
use crate::ledger::{IndexMailbox, Intent, Place, Proof, Row};
use crate::message::{
    Message, Time, Uid, UidValidity, canonical_hash, has_bare_line_end, sha256, with_crlf,
};
use crate::session::Appended;
use crate::target::{Account, Road};
use crate::wire::Sent;

/// A message that is about to be sent, and how.
pub(super) struct Parcel {
    pub(super) row: Row,
    pub(super) road: Road,
    pub(super) body: Arc<Vec<u8>>,
    pub(super) intent: Intent,
}

impl Parcel {
    pub(super) fn new(mut row: Row, message: Message) -> Parcel {
        let (sha256, canonical) = (sha256(&message.body), canonical_hash(&message.body));
        (row.sha256, row.canonical) = (Some(sha256), Some(canonical));
        let intent = Intent {
            row: row.id,
            sha256,
            canonical,
            size: message.body.len() as u64,
            flags: message.about.flags,
        };
        Parcel {
            row,
            road: Road::Append,
            body: Arc::new(message.body),
            intent,
        }
    }
}

/// What is booked of the day's bytes for a batch.
struct Upload {
    booked_at: Time,
    /// Booked and not handed over so far: given back at the end. Where the process ends before that, the day
    /// counts for more than was sent, never for less.
    unsent: u64,
}

impl Engine {
    /// Intent first, then effect, message by message.
    pub(super) fn send(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
        parcels: Vec<Parcel>,
        boxes: &[IndexMailbox],
    ) -> Result<()> {
        let intents: Vec<Intent> = parcels.iter().map(|p| p.intent).collect();
        if intents.is_empty() {
            return Ok(());
        }
        let limit = self.setup().config.upload_limit_per_day;
        let now = Utc::now();
        let marked = self
            .ledger
            .step(|l| l.mark(&intents, &index::marks(boxes), limit, now))?;
        let mut upload = Upload {
            booked_at: now,
            unsent: intents.iter().take(marked).map(|i| i.size).sum(),
        };
        let end = self.send_marked(account, batch, &parcels[..marked], &mut upload);
        if upload.unsent > 0 {
            self.ledger
                .step(|l| l.give_back(upload.unsent, upload.booked_at))?;
        }
        end?;
        match limit {
            Some(limit) if marked < parcels.len() && !self.stopping() => Err(limit_reached(limit)),
            _ => Ok(()),
        }
    }

    fn send_marked(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
        parcels: &[Parcel],
        upload: &mut Upload,
    ) -> Result<()> {
        let row = parcels.first().map(|parcel| parcel.row.id);
        let new = match row {
            Some(row) => self.ledger.step(|l| l.is_new_mail(row))?,
            None => return Ok(()),
        };
        for parcel in parcels {
            // What has just come goes first: the rest of this batch is claimed again behind it.
            if !new && self.new_mail.load(Ordering::Relaxed) {
                break;
            }
            // A session that ends while a message is sent costs a look for that message: it is given up before.
            if self.stopping() || account.outlived(Utc::now()) {
                break;
            }
            self.send_one(account, batch, parcel, upload)?;
            self.wait_if_throttled(account.throttled());
        }
        Ok(())
    }

    fn send_one(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
        parcel: &Parcel,
        upload: &mut Upload,
    ) -> Result<()> {
        self.promise_transfer(parcel.body.len() as u64);
        let (end, altered) = self.hand_over(account, parcel, upload)?;
        match end {
            Appended::Done(place) => {
                self.settle_delivered(account, batch, &parcel.row, place, altered)
            }
            // RFC 3501 knows no temporary NO: a server that has the message and says "not now", or
            // "not so fast", may have stored it all the same.
            Appended::Refused(error, Sent::Whole) if error.reaction().leaves_open => {
                self.leave_unresolved(batch, &parcel.row, error)
            }
            Appended::Refused(error, _) => self.settle_refused(batch, parcel, error),
            Appended::Lost(error, sent) => self.settle_lost(batch, &parcel.row, error, sent),
        }
    }

    /// Sends the message, and once more with CRLF line ends where it was refused for the ones that it has. True where
    /// that was done.
    fn hand_over(
        &self,
        account: &mut Account,
        parcel: &Parcel,
        upload: &mut Upload,
    ) -> Result<(Appended, bool)> {
        let (row, body, flags) = (&parcel.row, &parcel.body, parcel.intent.flags);
        let mut send = |body| {
            let end = account.send(parcel.road, flags, row.internal_date, body);
            (end, account.handed_over())
        };
        let (end, handed_over) = send(Arc::clone(body));
        upload.unsent -= handed_over.min(upload.unsent);
        match &end {
            Appended::Refused(error, _)
                if error.reaction().charge == Charge::Failure
                    && is_about_form(error)
                    && has_bare_line_end(body) =>
            {
                debug!(
                    "{}: tried again with CRLF line ends: {error}",
                    self.named(row)
                );
            }
            _ => return Ok((end, false)),
        }
        let mended = with_crlf(body);
        // Resolution has to know what it looks for: a lone CR has become a line end.
        let canonical = canonical_hash(&mended);
        self.ledger
            .step(|l| l.set_hashes(row.id, &parcel.intent.sha256, &canonical))?;
        let again = mended.len() as u64;
        self.ledger.step(|l| l.book(again, upload.booked_at))?;
        upload.unsent += again;
        let (end, handed_over) = send(Arc::new(mended));
        upload.unsent -= handed_over.min(upload.unsent);
        Ok((end, true))
    }

    /// `place`: where the server says that it put it.
    fn settle_delivered(
        &self,
        account: &Account,
        batch: &mut Batch<'_>,
        row: &Row,
        place: Option<(UidValidity, Uid)>,
        altered: bool,
    ) -> Result<()> {
        // It is there, so its row is not released, also where this cannot be written down.
        batch.leave_in_flight(row);
        let place = match place {
            Some((uid_validity, uid)) => Some(Place {
                mailbox: self
                    .ledger
                    .step(|l| l.index_mailbox(account.delivery(), uid_validity, uid.0))?
                    .id,
                uid_validity,
                uid,
                gm_msgid: None,
            }),
            None => None,
        };
        batch.settle(
            row,
            Outcome::Delivered {
                proof: Proof::Appended,
                place,
                altered,
            },
        )?;
        info!("delivered {}", self.named(row));
        self.note_got_through()
    }

    /// The server has the whole message, and says that it does not take it now.
    fn leave_unresolved(&self, batch: &mut Batch<'_>, row: &Row, error: Error) -> Result<()> {
        warn!(
            "{}: {}",
            self.named(row),
            error.then("looking whether it arrived")
        );
        self.unresolved.add(row, error.clone());
        batch.leave_in_flight(row);
        if error.reaction().charge == Charge::Attempt {
            self.note_refused(row, &error)
        } else {
            Err(error)
        }
    }

    fn settle_refused(&self, batch: &mut Batch<'_>, parcel: &Parcel, error: Error) -> Result<()> {
        let of_all = match error.reaction().charge {
            Charge::Attempt => self.note_refused(&parcel.row, &error),
            Charge::Failure => Ok(()),
            Charge::Nothing => Err(error.clone()),
        };
        batch.refuse(&parcel.row, error, &parcel.body)?;
        of_all
    }

    /// No answer came. Only a message that the server may have as a whole has to be looked for.
    fn settle_lost(
        &self,
        batch: &mut Batch<'_>,
        row: &Row,
        error: Error,
        sent: Sent,
    ) -> Result<()> {
        match sent {
            Sent::Whole => {
                self.unresolved.add(row, error.clone());
                batch.leave_in_flight(row);
            }
            // What is the account's fault is no message's: the row is released with the others.
            _ if error.scope() != Scope::Session => {}
            Sent::Nothing => batch.settle(row, Outcome::NotTaken(error.clone()))?,
            Sent::Part => batch.settle(row, Outcome::Died(error.clone()))?,
        }
        Err(error)
    }
}

/// Refusals that CRLF line ends may cure.
fn is_about_form(error: &Error) -> bool {
    let lower = error.message.to_lowercase();
    [
        "bare newline",
        "unable to parse",
        "invalid arguments",
        "invalid header",
    ]
    .iter()
    .any(|n| lower.contains(n))
}
