//! The messages of a batch on their way through one session, several at a time: while the answer to one is waited for, the
//! next ones go out.
//!
//! A message is in one of four states. *To be sent*: its row is in the batch, and is released when the batch goes.
//! *On its way*: its row is in flight and in no batch, so that only an answer, or a look, settles it. *Answered*: settled
//! by that. *Refused in words that a second try may answer*: still in flight, and tried once more when nothing else
//! is on its way. Answers come in the order of the messages, and each is one message's alone; where the session is lost,
//! each message on its way is settled by how much of it the server may have. What is refused for the whole account
//! keeps others from being sent; those on their way are heard of all the same.
//!
//! Not for what goes on disk before (`send`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::Utc;
use log::debug;

use super::Engine;
use super::batch::Batch;
use super::portion::BATCH_TIME;
use super::send::{Delivered, Parcel, Upload};
use super::settle::Outcome;
use crate::error::{Charge, Error, Result, Scope};
use crate::ledger::Ledger;
use crate::message::{canonical_hash, has_bare_line_end, with_crlf};
use crate::session::{Appended, Appending};
use crate::target::Account;
use crate::wire::Sent;

/// Messages on their way through one session at most: so many have to be looked for when it is lost.
const ON_THEIR_WAY_MAX: usize = 100;
/// And their bytes; one more message may be, so that the command for it is not waited for.
const BYTES_ON_THEIR_WAY: u64 = 256 << 10;
/// No more are on their way than are answered within this time: a server that takes long for each gains nothing by more,
/// and mail that has just come would wait behind them.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// A batch begins with no more than so many on their way, however fast those before it went: the target may have become slow.
const FIRST_ON_THEIR_WAY: u32 = 20;

/// Answers that come faster one after the other are settled together, so many at most.
const TOGETHER: Duration = Duration::from_millis(20);
const TOGETHER_MAX: usize = 50;

/// A message on its way.
struct Sending<'p> {
    parcel: &'p Parcel,
    way: Appending,
}

/// A message that was refused and may be sent once more.
struct Doubtful<'p> {
    parcel: &'p Parcel,
    error: Error,
    sent: Sent,
}

/// What one session has under way of a batch.
struct Pipeline<'e, 'b, 'p> {
    engine: &'e Engine,
    account: &'e mut Account,
    batch: &'e mut Batch<'b>,
    upload: &'e mut Upload,
    on_their_way: VecDeque<Sending<'p>>,
    bytes: u64,
    /// When the last answer came, and how long the server takes for one, as far as was seen.
    answered_at: Instant,
    each: Duration,
    /// Answered OK, and not in the ledger yet.
    delivered: Vec<Delivered<'p>>,
    doubtful: Vec<Doubtful<'p>>,
    /// What the session was lost over, with the first of those that were on their way then.
    lost: Option<Error>,
    /// The gravest trouble that keeps others from being sent.
    end: Result<()>,
}

impl Engine {
    /// Sends these messages, whose intents are on disk.
    pub(super) fn send_marked(
        &self,
        account: &mut Account,
        batch: &mut Batch<'_>,
        parcels: &[Parcel],
        upload: &mut Upload,
    ) -> Result<()> {
        let Some(first) = parcels.first() else {
            return Ok(());
        };
        let new = self.ledger.step(|l| l.is_new_mail(first.row.id))?;
        let mut pipeline = Pipeline {
            engine: self,
            account,
            batch,
            upload,
            on_their_way: VecDeque::new(),
            bytes: 0,
            answered_at: Instant::now(),
            each: self
                .workers
                .each()
                .map_or(WAIT_MAX / 2, |each| each.max(WAIT_MAX / FIRST_ON_THEIR_WAY)),
            delivered: Vec::new(),
            doubtful: Vec::new(),
            lost: None,
            end: Ok(()),
        };
        let begun = Instant::now();
        for parcel in parcels {
            pipeline.make_room(parcel)?;
            if pipeline.end.is_err() || pipeline.is_mailbox_in_doubt() {
                break;
            }
            // What has just come goes first: the rest of this batch is claimed again behind it. And a session that ends while
            // a message is sent costs a look for that message: it is given up before.
            let give_way = !new && self.new_mail.load(Ordering::Relaxed);
            let late = begun.elapsed() > BATCH_TIME;
            if give_way || late || self.stopping() || pipeline.account.outlived(Utc::now()) {
                break;
            }
            pipeline.send(parcel);
        }
        while !pipeline.on_their_way.is_empty() {
            pipeline.hear_one()?;
        }
        pipeline.settle_delivered()?;
        pipeline.try_once_more()?;
        pipeline.end
    }
}

impl<'p> Pipeline<'_, '_, 'p> {
    /// Waits until this message may go out besides those that are on their way.
    fn make_room(&mut self, parcel: &Parcel) -> Result<()> {
        let size = parcel.body.len() as u64;
        while self.on_their_way.len() > 1
            && (self.on_their_way.len() >= self.at_a_time()
                || self.bytes + size > BYTES_ON_THEIR_WAY)
        {
            self.hear_one()?;
        }
        // One at a time, and each after a wait.
        if self.engine.pause.is_throttled() {
            while !self.on_their_way.is_empty() {
                self.hear_one()?;
            }
            self.settle_delivered()?;
            self.engine.wait_if_throttled();
        }
        Ok(())
    }

    /// Was one refused because its mailbox is missing? Then others would be, too.
    fn is_mailbox_in_doubt(&self) -> bool {
        self.doubtful.iter().any(|d| d.error.perhaps_missing)
    }

    fn at_a_time(&self) -> usize {
        let within = WAIT_MAX.as_micros() / self.each.as_micros().max(1);
        within.clamp(2, ON_THEIR_WAY_MAX as u128) as usize
    }

    fn note_answer(&mut self) {
        let took = self.answered_at.elapsed();
        self.answered_at = Instant::now();
        self.each = (self.each * 2 + took) / 3;
    }

    fn send(&mut self, parcel: &'p Parcel) {
        let (row, flags) = (&parcel.row, parcel.intent.flags);
        let body = Arc::clone(&parcel.body);
        let sent = self.account.send(flags, row.internal_date, body);
        match sent {
            Ok(way) => {
                // From now on it may be in the target.
                self.batch.leave_in_flight(row);
                self.bytes += parcel.body.len() as u64;
                self.on_their_way.push_back(Sending { parcel, way });
            }
            // Nothing of it was said: it is released with the others.
            Err(e) => self.note(Err(e)),
        }
    }

    /// Hears of the message that has been on its way for longest, and settles it.
    ///
    /// # Errors
    /// What concerns the process: those that are still on their way stay in flight then, to be looked for.
    fn hear_one(&mut self) -> Result<()> {
        let Some(Sending { parcel, way }) = self.on_their_way.pop_front() else {
            return Ok(());
        };
        let size = parcel.body.len() as u64;
        self.bytes -= size;
        self.engine.promise_transfer(self.bytes + size);
        let end = self.account.hear(way);
        self.note_answer();
        self.count_handed_over();
        match end {
            Appended::Refused(error, sent)
                if error.perhaps_missing || may_be_cured(&error, parcel) =>
            {
                self.doubtful.push(Doubtful {
                    parcel,
                    error,
                    sent,
                });
                Ok(())
            }
            Appended::Done(place) => {
                self.delivered.push(Delivered {
                    parcel,
                    place,
                    altered: false,
                });
                // Where answers come fast, several share what a step of the ledger costs.
                if self.each > TOGETHER || self.delivered.len() >= TOGETHER_MAX {
                    self.settle_delivered()?;
                }
                self.engine.note_throttled(self.account.throttled());
                Ok(())
            }
            end => {
                self.settle_delivered()?;
                let (end, behind) = self.note_lost(end);
                self.settle(parcel, end, behind)
            }
        }
    }

    /// Takes note of what the session was lost over. Those behind the first do not hear it, and where it is the
    /// account's fault it is none of theirs.
    fn note_lost(&mut self, end: Appended) -> (Appended, bool) {
        let Appended::Lost(error, sent) = end else {
            return (end, false);
        };
        match &self.lost {
            None => {
                self.lost = Some(error.clone());
                (Appended::Lost(error, sent), false)
            }
            Some(first) if first.scope() != Scope::Session => {
                (Appended::Lost(first.clone(), sent), true)
            }
            Some(_) => (Appended::Lost(error, sent), true),
        }
    }

    /// Settles what was answered OK.
    fn settle_delivered(&mut self) -> Result<()> {
        let delivered = std::mem::take(&mut self.delivered);
        if delivered.is_empty() {
            return Ok(());
        }
        let settled = self
            .engine
            .settle_delivered(self.account, self.batch, &delivered);
        self.note_unless_fatal(settled)
    }

    fn count_handed_over(&mut self) {
        let unsent = &mut self.upload.unsent;
        *unsent -= self.account.handed_over().min(*unsent);
    }

    fn settle(&mut self, parcel: &Parcel, end: Appended, behind: bool) -> Result<()> {
        let settled = self
            .engine
            .settle_sent(self.account, self.batch, parcel, end, behind);
        self.note_unless_fatal(settled)
    }

    fn note_unless_fatal(&mut self, settled: Result<()>) -> Result<()> {
        match settled {
            Err(e) if e.scope() == Scope::Process => Err(e),
            settled => {
                self.note(settled);
                Ok(())
            }
        }
    }

    /// The gravest trouble is the batch's.
    fn note(&mut self, settled: Result<()>) {
        let graver = match (&settled, &self.end) {
            (Ok(()), _) => false,
            (Err(_), Ok(())) => true,
            (Err(new), Err(known)) => new.gravity() > known.gravity(),
        };
        if graver {
            self.end = settled;
        }
    }

    /// Messages that were refused in words that a second try may answer, one after the other.
    fn try_once_more(&mut self) -> Result<()> {
        let mut made_again = false;
        for Doubtful {
            parcel,
            error,
            sent,
        } in std::mem::take(&mut self.doubtful)
        {
            if !self.account.usable() || self.end.is_err() {
                // It has its second try another time.
                self.release(parcel, error, sent)?;
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
                    None => {
                        let size = parcel.body.len() as u64;
                        self.book(size)?;
                        self.send_alone(parcel, Arc::clone(&parcel.body))
                    }
                };
                self.settle(parcel, end, false)?;
            } else {
                self.send_with_crlf(parcel, &error)?;
            }
        }
        Ok(())
    }

    fn release(&mut self, parcel: &Parcel, error: Error, sent: Sent) -> Result<()> {
        if sent != Sent::Whole || !error.reaction().leaves_open {
            return self.batch.settle(&parcel.row, Outcome::NotBegun);
        }
        // Where its mailbox is missing that is not the message's fault: what was found to be the matter is.
        let why = match &self.end {
            Err(e) if error.perhaps_missing && e.reaction().charge == Charge::Nothing => e.clone(),
            _ => return self.settle(parcel, Appended::Refused(error, sent), true),
        };
        self.engine.unresolved.add(&parcel.row, why);
        self.batch.leave_in_flight(&parcel.row);
        Ok(())
    }

    /// Once more, with CRLF line ends, where it was refused for the ones that it has.
    fn send_with_crlf(&mut self, parcel: &'p Parcel, refused: &Error) -> Result<()> {
        let row = &parcel.row;
        debug!(
            "{}: tried again with CRLF line ends: {refused}",
            self.engine.named(row)
        );
        let mended = with_crlf(&parcel.body);
        // Resolution has to know what it looks for: a lone CR has become a line end.
        let canonical = canonical_hash(&mended);
        let again = mended.len() as u64;
        let step = |l: &mut Ledger| l.set_hashes(row.id, &parcel.intent.sha256, &canonical);
        self.engine.ledger.step(step)?;
        self.book(again)?;
        match self.send_alone(parcel, Arc::new(mended)) {
            Appended::Done(place) => {
                self.delivered.push(Delivered {
                    parcel,
                    place,
                    altered: true,
                });
                self.settle_delivered()
            }
            end => self.settle(parcel, end, false),
        }
    }

    /// Books bytes that are sent besides.
    fn book(&mut self, bytes: u64) -> Result<()> {
        let booked_at = self.upload.booked_at;
        self.engine.ledger.step(|l| l.book(bytes, booked_at))?;
        self.upload.unsent += bytes;
        Ok(())
    }

    fn send_alone(&mut self, parcel: &Parcel, body: Arc<Vec<u8>>) -> Appended {
        self.engine.promise_transfer(body.len() as u64);
        let (date, flags) = (parcel.row.internal_date, parcel.intent.flags);
        let end = self.account.send_alone(flags, date, body);
        self.count_handed_over();
        end
    }
}

/// May the message be taken with other line ends?
fn may_be_cured(refused: &Error, parcel: &Parcel) -> bool {
    refused.reaction().charge == Charge::Failure
        && is_about_form(refused)
        && has_bare_line_end(&parcel.body)
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
