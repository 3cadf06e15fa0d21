//! The second try of a message that was refused in words that it may answer: its mailbox was missing and is made again, or its line
//! ends are mended. One after the other, while nothing else is on its way through the session.

use std::sync::Arc;

use chrono::Utc;
use log::debug;

use super::pipeline::Pipeline;
use super::send::{Delivered, Doubtful, Parcel, Upload};
use super::settle::Outcome;
use crate::error::{Charge, Error, Result};
use crate::ledger::Ledger;
use crate::message::{canonical_hash, with_crlf};
use crate::session::Appended;
use crate::wire::Sent;

impl Pipeline<'_> {
    /// Messages that were refused in words that a second try may answer, one after the other.
    pub(super) fn try_once_more(&mut self) -> Result<()> {
        let mut made_again = false;
        for Doubtful {
            parcel,
            error,
            sent,
        } in std::mem::take(&mut self.doubtful)
        {
            if !self.account.usable() || self.end.is_err() {
                // It has its second try another time.
                self.release(&parcel, error, sent)?;
            } else if error.perhaps_missing {
                // Where the mailbox was missing, it was for all of them.
                let why = if made_again {
                    None
                } else {
                    self.account.why_refused(error, sent)
                };
                made_again |= why.is_none();
                let end = match why {
                    Some(end) => end,
                    None => self.send_alone(&parcel, Arc::clone(&parcel.body))?,
                };
                self.settle(&parcel, end, false)?;
            } else {
                self.send_with_crlf(&parcel, &error)?;
            }
        }
        Ok(())
    }

    fn release(&mut self, parcel: &Parcel, error: Error, sent: Sent) -> Result<()> {
        if sent != Sent::Whole || !error.reaction().leaves_open {
            return self.sent.settle(&parcel.row, Outcome::NotBegun);
        }
        // Where its mailbox is missing that is not the message's fault: what was found to be the matter is.
        let why = match &self.end {
            Err(e) if error.perhaps_missing && e.reaction().charge == Charge::Nothing => e.clone(),
            _ => return self.settle(parcel, Appended::Refused(error, sent), true),
        };
        self.engine.unresolved.add(&parcel.row, why);
        Ok(())
    }

    /// Once more, with CRLF line ends, where it was refused for the ones that it has.
    fn send_with_crlf(&mut self, parcel: &Parcel, refused: &Error) -> Result<()> {
        let row = &parcel.row;
        debug!(
            "{}: tried again with CRLF line ends: {refused}",
            self.engine.named(row)
        );
        let mended = with_crlf(&parcel.body);
        // Resolution has to know what it looks for: a lone CR has become a line end.
        let canonical = canonical_hash(&mended);
        let step = |l: &mut Ledger| l.set_hashes(row.id, &parcel.intent.sha256, &canonical);
        self.engine.ledger.step(step)?;
        match self.send_alone(parcel, Arc::new(mended))? {
            Appended::Done(place) => {
                self.delivered.push(Delivered {
                    row: parcel.row.clone(),
                    place,
                    altered: true,
                });
                self.settle_delivered()
            }
            end => self.settle(parcel, end, false),
        }
    }

    /// Sends it once more, with a booking of its own.
    fn send_alone(&mut self, parcel: &Parcel, body: Arc<Vec<u8>>) -> Result<Appended> {
        let (engine, unsent) = (self.engine, body.len() as u64);
        let mut upload = Upload {
            booked_at: Utc::now(),
            messages: 1,
            unsent,
        };
        engine.ledger.step(|l| l.book(unsent, upload.booked_at))?;
        engine.promise_transfer(unsent);
        let (date, flags) = (parcel.row.internal_date, parcel.intent.flags);
        let end = self.account.send_alone(flags, date, body);
        upload.note_sent(&self.account);
        engine.give_back(&upload)?;
        Ok(end)
    }
}
