//! The next batch of a worker: claimed and fetched by a thread of its own while the one before it is sent, and fetched
//! while the target is looked at. Not for what is done with it (`deliver`), nor for how much it is (`portion`).

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;

use super::Engine;
use super::batch::Batch;
use super::dedup::{DATE_SLACK, earliest};
use super::fetch::Fetched;
use super::road::Standing;
use crate::error::{Error, Result};
use crate::ledger::{Claim, Row};
use crate::message::Time;
use crate::target::Account;
use crate::threads;

/// A batch is to be claimed, and fetched as far as nothing speaks against it.
#[derive(Clone, Copy)]
struct Wish {
    claim: Claim,
    /// The index knows what the target holds since then. What may be older is fetched only after a look.
    covered: Option<Time>,
    /// Another batch is sent meanwhile.
    ahead: bool,
}

/// What the thread has done of it.
enum Step<'e> {
    Claimed(Result<Batch<'e>>),
    Came(Result<Vec<Fetched>>),
}

/// What a worker has before it.
pub(super) struct Ahead<'e> {
    engine: &'e Engine,
    wishes: Option<Sender<Wish>>,
    steps: Receiver<Step<'e>>,
    /// A batch was asked for and not taken.
    asked: bool,
    /// What came of the batch that was taken last, unless it is still to come.
    came: Option<Result<Vec<Fetched>>>,
    to_come: bool,
    /// Batches that newer mail went ahead of, and what came of them.
    later: VecDeque<(Batch<'e>, Result<Vec<Fetched>>)>,
}

impl<'e> Ahead<'e> {
    /// Starts the thread, which ends when this goes.
    pub(super) fn start<'s>(engine: &'e Engine, scope: &'s Scope<'s, 'e>) -> Result<Ahead<'e>> {
        let (wishes, wanted) = channel::<Wish>();
        let (done, steps) = channel();
        let work = move || {
            for wish in wanted {
                if engine.fulfil(wish, &done).is_none() {
                    break;
                }
            }
        };
        threads::spawn_within(scope, work)
            .map_err(|e| Error::fatal(format!("no thread can be started: {e}")))?;
        Ok(Ahead {
            engine,
            wishes: Some(wishes),
            steps,
            asked: false,
            came: None,
            to_come: false,
            later: VecDeque::new(),
        })
    }

    /// Has the next batch claimed and fetched meanwhile, where there is plenty left for the other workers.
    pub(super) fn prepare_next(&mut self, account: &Account) -> Result<()> {
        if !self.asked && self.later.is_empty() && self.engine.next_portion()?.plenty {
            self.ask(account, true)?;
        }
        Ok(())
    }

    /// The next batch, without its messages. None: nothing is left to claim.
    ///
    /// # Errors
    /// As [`Engine::claim_batch`].
    pub(super) fn next(&mut self, account: &Account) -> Result<Option<Batch<'e>>> {
        // Of a batch that was given up.
        drop(self.messages());
        let new_mail = self.engine.new_mail.load(Ordering::Relaxed);
        if !new_mail && let Some(batch) = self.take_later() {
            return Ok(Some(batch));
        }
        let was_asked = self.asked;
        self.ask(account, false)?;
        let mut batch = self.claimed()?;
        if was_asked && batch.rows.is_empty() {
            // It was left to a claim of this moment, or others have come since.
            drop(self.messages());
            self.ask(account, false)?;
            batch = self.claimed()?;
        } else if new_mail && was_asked && !self.engine.holds_new_mail(&batch)? {
            self.put_off(batch);
            self.ask(account, false)?;
            batch = self.claimed()?;
        }
        if batch.rows.is_empty() {
            drop(self.messages());
            return Ok(self.take_later());
        }
        Ok(Some(batch))
    }

    /// Newer mail goes ahead of this batch, which was taken last.
    pub(super) fn put_off(&mut self, batch: Batch<'e>) {
        let came = self.messages().unwrap_or_else(|| Ok(Vec::new()));
        self.later.push_back((batch, came));
    }

    fn take_later(&mut self) -> Option<Batch<'e>> {
        let (batch, came) = self.later.pop_front()?;
        self.came = Some(came);
        Some(batch)
    }

    /// Is all there that is fetched ahead of the batch that was taken last?
    pub(super) fn has_come(&mut self) -> bool {
        if self.to_come {
            match self.steps.try_recv() {
                Ok(Step::Came(came)) => (self.came, self.to_come) = (Some(came), false),
                Err(TryRecvError::Empty) => {}
                _ => break_down(),
            }
        }
        !self.to_come
    }

    /// What came of the batch that was taken last. None where that was taken already.
    pub(super) fn messages(&mut self) -> Option<Result<Vec<Fetched>>> {
        if std::mem::take(&mut self.to_come) {
            self.came = Some(match self.steps.recv() {
                Ok(Step::Came(came)) => came,
                _ => break_down(),
            });
        }
        self.came.take()
    }

    fn ask(&mut self, account: &Account, ahead: bool) -> Result<()> {
        if !self.asked {
            let wish = Wish {
                claim: self.engine.next_claim()?,
                covered: self.engine.covered(account)?,
                ahead,
            };
            if self.wishes.as_ref().is_none_or(|w| w.send(wish).is_err()) {
                break_down();
            }
            self.asked = true;
        }
        Ok(())
    }

    fn claimed(&mut self) -> Result<Batch<'e>> {
        self.asked = false;
        match self.steps.recv() {
            Ok(Step::Claimed(claimed)) => {
                self.to_come = claimed.is_ok();
                claimed
            }
            _ => break_down(),
        }
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.wishes = None;
        // What was claimed is released, and the thread has ended when nothing more comes.
        for step in self.steps.iter() {
            drop(step);
        }
    }
}

/// The thread has panicked, and the worker does as well: nobody knows over which of the rows, so that all that it holds stay in
/// flight, and the one that is to blame is found out.
fn break_down() -> ! {
    resume_unwind(Box::new("the thread that fetches panicked"))
}

impl Engine {
    /// None where nobody waits for it any more.
    fn fulfil<'e>(&'e self, wish: Wish, done: &Sender<Step<'e>>) -> Option<()> {
        // What has come is not to wait until the batch is through that is sent now: that one gives way to it, and the claim
        // after it takes it.
        let gives_way = wish.ahead && self.new_mail.load(Ordering::Relaxed);
        let claimed = if gives_way {
            Ok(Vec::new())
        } else {
            self.claim_batch(wish.claim)
        };
        let rows = match claimed {
            Ok(rows) => rows,
            Err(e) => return done.send(Step::Claimed(Err(e))).ok(),
        };
        self.workers.note_claimed(rows.len());
        // Asked before the worker has the batch: it uses an imported id up, which then vouches for nothing here.
        let wanted = self.to_be_fetched_now(&rows, wish.covered);
        let batch = Batch { engine: self, rows };
        if wish.ahead && self.holds_new_mail(&batch).unwrap_or(false) {
            // It is not to wait until the batch is through that is sent now.
            self.note_new_mail();
        }
        done.send(Step::Claimed(Ok(batch))).ok()?;
        let came = wanted.and_then(|rows| self.fetch(&rows));
        done.send(Step::Came(came)).ok()
    }

    /// Those of these of which the target is known to hold nothing, as far as was seen: the others wait for the look.
    fn to_be_fetched_now(&self, rows: &[Row], covered: Option<Time>) -> Result<Vec<Row>> {
        let Some(covered) = covered else {
            return Ok(Vec::new());
        };
        if let Standing::Rests(_) = self.import_standing(&self.known_target.policy()) {
            return Ok(Vec::new());
        }
        let known = |row: &&Row| earliest(row) - DATE_SLACK >= covered;
        self.ledger.view(|l| {
            let mut wanted = Vec::new();
            for row in rows.iter().filter(known) {
                let named = match &row.about.message_id {
                    Some(id) => !l.index_hits(id, row.about.date.as_deref())?.is_empty(),
                    None => false,
                };
                if !named && !l.imported_vouches(row.id)? {
                    wanted.push(row.clone());
                }
            }
            Ok(wanted)
        })
    }

    /// Is mail in it that has come, and was not there before?
    pub(super) fn holds_new_mail(&self, batch: &Batch<'_>) -> Result<bool> {
        let Some(first) = batch.rows.first() else {
            return Ok(false);
        };
        self.ledger.step(|l| {
            let folder = l.folder_of(first.mailbox_id)?;
            let mailbox = l.present_mailbox(folder.id)?;
            let is_new = |row: &Row| row.about.uid.0 >= mailbox.history_below;
            Ok(mailbox.id == first.mailbox_id && batch.rows.iter().any(is_new))
        })
    }

    /// Since when the index knows all that the target holds, as of the last look.
    fn covered(&self, account: &Account) -> Result<Option<Time>> {
        let mut covered = Some(Time::MIN_UTC);
        for name in account.index_mailboxes() {
            let known = self.ledger.step(|l| l.index_known(&name))?;
            let since = known.and_then(|index| index.covered_since);
            covered = covered.zip(since).map(|(all, this)| all.max(this));
        }
        Ok(covered)
    }

    fn next_claim(&self) -> Result<Claim> {
        let portion = self.next_portion()?;
        Ok(Claim {
            count: portion.count,
            bytes: portion.bytes,
            once: self.once.load(Ordering::Relaxed),
        })
    }
}
