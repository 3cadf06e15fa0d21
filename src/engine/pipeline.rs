//! One session with the target, and the messages on their way through it, several at a time: while the answer to one is waited
//! for, the next ones go out. Also while the batch after them is prepared: they are heard of when something else is to be asked
//! of the session.
//!
//! A message is in one of four states. *To be sent*: its row is in the batch, and is released when the batch goes.
//! *On its way*: its row is in flight and in no batch, so that only an answer, or a look, settles it. *Answered*: settled
//! by that. *Refused in words that a second try may answer*: still in flight, and tried once more when nothing else
//! is on its way. Answers come in the order of the messages, and each is one message's alone; where the session is lost,
//! each message on its way is settled by how much of it the server may have. What is refused for the whole account
//! keeps others from being sent; those on their way are heard of all the same.
//!
//! ```text
//!  batch 1           batch 2                batch 3
//!  messages, look ── messages, look ─────── messages, last look        out
//!                 └─ answers, what it saw └─ answers, what it saw      in
//! ```
//!
//! Not for what goes on disk before (`send`), nor for what a look shows (`glance`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::Engine;
use super::asked::Asked;
use super::batch::Batch;
use super::portion::BATCH_TIME;
use super::send::{Delivered, Doubtful, Parcel, Upload, may_be_cured};
use crate::error::{Error, Result, Scope};
use crate::ledger::RowId;
use crate::session::{Appended, Appending};
use crate::target::Account;

/// Messages on their way through one session at most: so many have to be looked for when it is lost.
const ON_THEIR_WAY_MAX: usize = 100;
/// And their bytes; one more message may be, so that the command for it is not waited for.
const BYTES_ON_THEIR_WAY: u64 = 256 << 10;
/// No more are on their way than are answered within this time: a server that takes long for each gains nothing by more,
/// and mail that has just come would wait behind them.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// After a rest it begins with no more than so many, however fast those before it went: the target may have become slow.
const FIRST_ON_THEIR_WAY: u32 = 20;
/// And so many once two answers have told how fast it is: as many as are in a batch then.
const SECOND_ON_THEIR_WAY: u32 = 64;

/// Answers that come faster one after the other are settled together, so many at most.
const TOGETHER: Duration = Duration::from_millis(100);
const TOGETHER_MAX: usize = 50;
/// And no later than with the first answer that comes so long after the first of them: what is not settled when the process dies
/// has to be looked for.
const UNSETTLED_MAX: Duration = Duration::from_millis(200);

/// A message on its way.
struct Sending {
    parcel: Parcel,
    way: Appending,
}

/// A session, and what it has under way.
pub(super) struct Pipeline<'e> {
    pub(super) engine: &'e Engine,
    pub(super) account: Account,
    /// Settles what is on its way, and holds none of it.
    pub(super) sent: Batch<'e>,
    /// Of the batches of which something is on its way, oldest first.
    uploads: VecDeque<Upload>,
    on_their_way: VecDeque<Sending>,
    bytes: u64,
    /// When the last answer came, and how long the server takes for one, as far as was seen.
    answered_at: Option<Instant>,
    each: Option<Duration>,
    /// Answered OK, and not in the ledger yet; and when the first of them was.
    pub(super) delivered: Vec<Delivered>,
    unsettled_since: Instant,
    pub(super) doubtful: Vec<Doubtful>,
    /// What the session was lost over, with the first of those that were on their way then.
    lost: Option<Error>,
    /// The gravest trouble that keeps others from being sent.
    pub(super) end: Result<()>,
    /// Answered OK, and their copies are not looked at.
    pub(super) unseen: Vec<RowId>,
    /// Others were imported, and are to be looked for.
    pub(super) imported: bool,
    /// The batch that is sent next, and the look for it, which is on its way.
    pub(super) next: Option<Next<'e>>,
}

/// A batch, and what was asked about it.
pub(super) struct Next<'e> {
    pub(super) batch: Batch<'e>,
    pub(super) asked: Option<Asked>,
}

impl<'e> Pipeline<'e> {
    pub(super) fn new(engine: &'e Engine, account: Account) -> Pipeline<'e> {
        Pipeline {
            engine,
            account,
            sent: Batch {
                engine,
                rows: Vec::new(),
            },
            uploads: VecDeque::new(),
            on_their_way: VecDeque::new(),
            bytes: 0,
            answered_at: None,
            each: None,
            delivered: Vec::new(),
            unsettled_since: Instant::now(),
            doubtful: Vec::new(),
            lost: None,
            end: Ok(()),
            unseen: Vec::new(),
            imported: false,
            next: None,
        }
    }

    /// The account when nothing is on its way any more.
    ///
    /// # Errors
    /// What became of messages that were, where it concerns others.
    pub(super) fn at_rest(&mut self) -> Result<&mut Account> {
        self.hear_all_but(0)?;
        if let Some(asked) = self.next.as_mut().and_then(|next| next.asked.take()) {
            // What it shows is of before, and asked for once more.
            let _ = self.account.end_glance(asked.glancing);
        }
        self.try_once_more()?;
        self.lost = None;
        std::mem::replace(&mut self.end, Ok(()))?;
        Ok(&mut self.account)
    }

    /// The account, whatever became of the messages that were on their way.
    pub(super) fn into_account(mut self) -> (Account, Result<()>) {
        let end = self.at_rest().map(|_| ());
        (self.account, end)
    }

    /// Sends these messages, whose intents are on disk, and with the last one the look for the batch that `next` names. What
    /// becomes of the last ones is heard when something is wanted of the session.
    pub(super) fn send(
        &mut self,
        batch: &mut Batch<'_>,
        parcels: Vec<Parcel>,
        upload: Upload,
        next: impl FnOnce(&Account) -> Result<Option<Batch<'e>>>,
    ) -> Result<()> {
        let Some(first) = parcels.first() else {
            return self.engine.give_back(&upload);
        };
        self.uploads.push_back(upload);
        let new = self.engine.ledger.step(|l| l.is_new_mail(first.row.id))?;
        if self.answered_at.is_none_or(|at| at.elapsed() >= WAIT_MAX) {
            let known = self.each.or(self.engine.workers.each());
            self.each = known.map(|each| each.max(WAIT_MAX / FIRST_ON_THEIR_WAY));
        }
        if self.on_their_way.is_empty() {
            self.answered_at = None;
        }
        // One whose end was not seen before has the session for itself: else nobody knows over which it is lost.
        let alone = first.row.unseen > 0;
        let begun = Instant::now();
        let mut left = parcels.len();
        let mut next = Some(next);
        let mut end = Ok(());
        for parcel in parcels {
            self.make_room(&parcel)?;
            if self.end.is_err() || self.is_mailbox_in_doubt() {
                break;
            }
            // What has just come goes first: the rest of this batch is claimed again behind it. And a session that ends while
            // a message is sent costs a look for that message: it is given up before.
            let give_way = !new && self.engine.new_mail.load(Ordering::Relaxed);
            let late = begun.elapsed() > BATCH_TIME;
            if give_way || late || self.engine.stopping() || self.account.outlived(Utc::now()) {
                break;
            }
            // Where newer mail is there, it is seen to when this batch is out.
            if left == 1
                && !alone
                && !self.engine.new_mail.load(Ordering::Relaxed)
                && let Some(next) = next.take()
            {
                // Whatever keeps others from being claimed, this one is sent.
                match next(&self.account) {
                    Ok(Some(next)) => self.ask_ahead(next),
                    Ok(None) => {}
                    Err(e) => end = Err(e),
                }
            }
            left -= usize::from(self.send_one(batch, parcel));
        }
        if let Some(upload) = self.uploads.back_mut() {
            upload.messages -= left;
        }
        self.end_uploads()?;
        if alone || self.end.is_err() {
            self.at_rest()?;
        }
        end
    }

    /// Hears of all that are on their way, but of so many that were sent last.
    pub(super) fn hear_all_but(&mut self, last: usize) -> Result<()> {
        while self.on_their_way.len() > last {
            self.hear_one()?;
        }
        self.settle_delivered()
    }

    /// Is there trouble with what was sent, which keeps others from being sent?
    pub(super) fn is_in_trouble(&self) -> bool {
        self.end.is_err() || !self.doubtful.is_empty() || !self.account.usable()
    }

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
            self.hear_all_but(0)?;
            self.engine.wait_if_throttled();
        }
        Ok(())
    }

    /// Was one refused because its mailbox is missing? Then others would be, too.
    fn is_mailbox_in_doubt(&self) -> bool {
        self.doubtful.iter().any(|d| d.error.perhaps_missing)
    }

    fn at_a_time(&self) -> usize {
        let each = self.each.unwrap_or(WAIT_MAX / 2);
        let within = WAIT_MAX.as_micros() / each.as_micros().max(1);
        within.clamp(2, ON_THEIR_WAY_MAX as u128) as usize
    }

    /// The first answer tells how long the way is; from the second on they tell how fast the server is.
    fn note_answer(&mut self) {
        let Some(before) = self.answered_at.replace(Instant::now()) else {
            return;
        };
        let took = before.elapsed();
        self.each = Some(match self.each {
            Some(each) => (each * 2 + took) / 3,
            None => {
                let each = took.max(WAIT_MAX / SECOND_ON_THEIR_WAY);
                // Those that begin now need not find out for themselves.
                self.engine.workers.note_each(each);
                each
            }
        });
    }

    /// True where it is on its way.
    fn send_one(&mut self, batch: &mut Batch<'_>, parcel: Parcel) -> bool {
        let (row, flags) = (&parcel.row, parcel.intent.flags);
        let body = Arc::clone(&parcel.body);
        let sent = self.account.send(flags, row.internal_date, body);
        match sent {
            Ok(way) => {
                // From now on it may be in the target.
                batch.leave_in_flight(row);
                self.bytes += parcel.body.len() as u64;
                self.on_their_way.push_back(Sending { parcel, way });
                if let Some(asked) = self.next.as_mut().and_then(|next| next.asked.as_mut()) {
                    asked.behind += 1;
                }
                true
            }
            // Nothing of it was said: it is released with the others.
            Err(e) => {
                self.note(Err(e));
                false
            }
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
        if let Some(upload) = self.uploads.front_mut() {
            upload.note_sent(&self.account);
            upload.messages -= 1;
        }
        self.end_uploads()?;
        match end {
            Appended::Refused(error, sent)
                if error.perhaps_missing || may_be_cured(&error, &parcel) =>
            {
                self.doubtful.push(Doubtful {
                    parcel,
                    error,
                    sent,
                });
                Ok(())
            }
            Appended::Done(place) => {
                self.engine.note_done();
                self.delivered.push(Delivered {
                    row: parcel.row,
                    place,
                    altered: false,
                });
                if self.delivered.len() == 1 {
                    self.unsettled_since = Instant::now();
                }
                // Where answers come fast, several share what a step of the ledger costs.
                let fast = self.each.is_some_and(|each| each <= TOGETHER);
                let enough = self.delivered.len() >= TOGETHER_MAX;
                if !fast || enough || self.unsettled_since.elapsed() >= UNSETTLED_MAX {
                    self.settle_delivered()?;
                }
                self.engine.note_throttled(self.account.throttled());
                Ok(())
            }
            end => {
                self.settle_delivered()?;
                let (end, behind) = self.note_lost(end);
                self.settle(&parcel, end, behind)
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
    pub(super) fn settle_delivered(&mut self) -> Result<()> {
        let delivered = std::mem::take(&mut self.delivered);
        if delivered.is_empty() {
            return Ok(());
        }
        self.unseen.extend(delivered.iter().map(|one| one.row.id));
        let settled = self
            .engine
            .settle_delivered(&self.account, &mut self.sent, &delivered);
        self.note_unless_fatal(settled)
    }

    /// Gives back what was booked for batches of which nothing is on its way any more.
    fn end_uploads(&mut self) -> Result<()> {
        while self.uploads.front().is_some_and(|u| u.messages == 0)
            && let Some(upload) = self.uploads.pop_front()
        {
            self.engine.give_back(&upload)?;
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, parcel: &Parcel, end: Appended, behind: bool) -> Result<()> {
        if let Appended::Done(_) = end {
            self.unseen.push(parcel.row.id);
        }
        let settled = self
            .engine
            .settle_sent(&self.account, &mut self.sent, parcel, end, behind);
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
}
