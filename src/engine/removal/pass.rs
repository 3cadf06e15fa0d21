//! One pass over what may be removed at the source: what an earlier one left open is looked for, then batch after batch is
//! looked at on both sides, removed, and looked at again. Not for when that is done (`removal`).

use std::collections::HashMap;
use std::time::Instant;

use chrono::Utc;
use log::{debug, info, warn};

use super::{Heard, delivered_until};
use crate::config::{AfterDelivery, Disposal};
use crate::engine::Engine;
use crate::engine::index::TargetIndex;
use crate::engine::setup::Setup;
use crate::error::{Error, Fault, Result, Scope, shown};
use crate::folder::Folder;
use crate::ledger::{
    BeingRemoved, CopyNow, KeptFor, Looks, MailboxRow, MovedTo, OpenRemoval, Proof, Removable,
    RemovalEnd, RemovalVerdict, RemovalWay, RowId, SourceNow,
};
use crate::message::{Discovered, Uid, sha256};
use crate::session::View;
use crate::source::{Cleaner, Manner};
use crate::target::Account;
use crate::text::counted;

/// Messages that are removed with one command at most.
const BATCH: usize = 100;

/// What a pass came to.
#[derive(Default)]
pub(in crate::engine) struct Tally {
    removed: u64,
    kept: HashMap<KeptFor, u64>,
    stubborn: u64,
}

impl Tally {
    /// Says it, where anything happened.
    pub(super) fn say(&self, wish: &AfterDelivery) {
        if self.removed > 0 {
            let what = if wish.disposal == Disposal::Keep {
                "removed".to_string()
            } else {
                wish.done()
            };
            info!(
                "{what} at the source, after their copies were looked at: {}",
                counted(self.removed, "message")
            );
        }
        let mut kept: Vec<(&KeptFor, &u64)> = self.kept.iter().collect();
        kept.sort_by_key(|(why, count)| (std::cmp::Reverse(**count), why.words()));
        for (why, count) in kept {
            info!(
                "stays at the source ({}): {}",
                counted(*count, "message"),
                why.words()
            );
        }
        if self.stubborn > 0 {
            warn!(
                "the source says that it removed messages, and has them still: {}",
                self.stubborn
            );
        }
    }

    /// `done`: the source says that it removed it.
    pub(super) fn note_end(&mut self, end: &RemovalEnd, done: bool) {
        match end {
            RemovalEnd::Removed => self.removed += 1,
            RemovalEnd::Kept { .. } if done => self.stubborn += 1,
            RemovalEnd::Kept { .. } | RemovalEnd::Copied => {}
        }
    }
}

pub(super) struct Pass<'a> {
    pub(super) engine: &'a Engine,
    setup: &'a Setup,
    wish: &'a AfterDelivery,
    source: Option<Cleaner>,
    account: Option<Account>,
    pub(super) tally: &'a mut Tally,
    /// A mailbox with messages that an earlier pass was about to remove is empty, which is not believed yet.
    pub(super) doubtful: bool,
    /// What was refused over one folder holds up no other.
    refused: Option<Error>,
}

impl Engine {
    /// One pass. `begun`: the time has come at which messages may be removed; before, only what is open is looked for.
    pub(super) fn remove(&self, setup: &Setup, begun: bool, tally: &mut Tally) -> Result<()> {
        if begun {
            self.reads_alone()?;
        }
        let mut pass = Pass {
            engine: self,
            setup,
            wish: &setup.config.after_delivery,
            source: None,
            account: None,
            tally,
            doubtful: false,
            refused: None,
        };
        let end = pass.run(begun);
        if let Some(source) = pass.source.take() {
            source.logout();
        }
        if let Some(account) = pass.account.take() {
            self.note_shut(&account);
            account.logout();
        }
        end.and(pass.refused.map_or(Ok(()), Err))
    }
}

impl Pass<'_> {
    fn run(&mut self, begun: bool) -> Result<()> {
        if !self.conclude_all()? || !begun {
            return Ok(());
        }
        for folder in self.engine.ledger.step(|l| l.folders())? {
            if self.engine.stopping() {
                break;
            }
            match self.remove_in(&folder) {
                Err(e) if e.scope() == Scope::Message && self.is_usable() => {
                    debug!("{}: {e}", folder.shown());
                    self.refused.get_or_insert(e);
                }
                end => end?,
            }
        }
        Ok(())
    }

    /// Removes what may go of one folder.
    fn remove_in(&mut self, folder: &Folder) -> Result<()> {
        let engine = self.engine;
        let Some(mailbox) = engine.ledger.step(|l| l.mailbox(folder.id))? else {
            return Ok(());
        };
        // Its UIDs hold for a moment only, or are still to be matched with what the ledger knows.
        if mailbox.is_unstable() || !mailbox.inherited {
            return Ok(());
        }
        let mut above = 0;
        loop {
            let now = Utc::now();
            let until = delivered_until(self.wish, now);
            let step = engine
                .ledger
                .step(|l| l.removable_from(mailbox.id, above, until, now))?;
            let Some((mut rows, end)) = step else {
                return Ok(());
            };
            above = end;
            rows.retain(|one| one.may_go());
            // Those without a name are compared by their bytes, which takes longer.
            let nameless = rows.iter().any(|one| one.row.about.message_id.is_none());
            let size = if nameless { BATCH / 10 } else { BATCH };
            for batch in rows.chunks(size) {
                let goes_on = !engine.stopping() && self.is_still_wanted()?;
                if !goes_on || !self.remove_batch(folder, &mailbox, batch)? {
                    return Ok(());
                }
            }
        }
    }

    /// Is it, with each batch? A person may have changed his mind, and another route may have come to read the account.
    fn is_still_wanted(&self) -> Result<bool> {
        self.engine.reads_alone()?;
        Ok(self.engine.setup().config.after_delivery == *self.wish)
    }

    /// Looks at these messages and their copies, and removes those that may go. False where the mailbox is not the one
    /// that the ledger knows.
    fn remove_batch(
        &mut self,
        folder: &Folder,
        mailbox: &MailboxRow,
        batch: &[Removable],
    ) -> Result<bool> {
        let (way, to) = self.way()?;
        if to.as_ref().is_some_and(|to| to.mailbox == folder.source) {
            return Ok(false);
        }
        let Some(view) = self.open(folder, mailbox)? else {
            return Ok(false);
        };
        debug!(
            "{}: looking at {} that may be removed",
            folder.shown(),
            batch.len()
        );
        let begun = Instant::now();
        let here = self.at_source(&view, batch)?;
        let looks = |row: RowId, copy| Looks {
            source: here.get(&row).copied(),
            copy,
            flagged_too: self.wish.flagged_too,
        };
        let may_go = |one: &&Removable| one.judge(looks(one.row.id, None)) == RemovalVerdict::Look;
        let wanted: Vec<&Removable> = batch.iter().filter(may_go).collect();
        let copies = self.copies(&wanted)?;
        let mut going: Vec<&Removable> = Vec::new();
        let mut kept: Vec<(RowId, KeptFor)> = Vec::new();
        for one in batch {
            let copy = copies.get(&one.row.id).copied();
            match one.judge(looks(one.row.id, copy)) {
                RemovalVerdict::Remove => going.push(one),
                RemovalVerdict::Keep(why) => kept.push((one.row.id, why)),
                // Another pass looks at it.
                RemovalVerdict::Look => {}
            }
        }
        self.keep(&kept)?;
        if begun.elapsed() > self.engine.times.removal_look {
            // What was seen is no longer of this minute.
            self.refused.get_or_insert_with(|| {
                Error::connection(
                    "looking at messages at the source and at their copies took longer than a minute, so they were not removed",
                )
            });
            return Ok(true);
        }
        let copied = |one: &&Removable| {
            let to = to.as_ref().map(|to| &to.mailbox);
            to.is_some() && one.copied_to.as_ref() == to
        };
        let (halfway, mut whole): (Vec<&Removable>, Vec<&Removable>) =
            going.into_iter().partition(copied);
        let halfway = self.still_copied(folder, mailbox, halfway, to.as_ref(), &mut whole)?;
        let done = self.act(folder, mailbox, &halfway, RemovalWay::Delete, None);
        let copied = done.and_then(|_| self.act(folder, mailbox, &whole, way, to.as_ref()))?;
        if copied.is_empty() || begun.elapsed() > self.engine.times.removal_look {
            return Ok(true);
        }
        let copied: Vec<&Removable> = whole
            .into_iter()
            .filter(|one| copied.contains(&one.row.id))
            .collect();
        if self.open(folder, mailbox)?.is_some() {
            self.act(folder, mailbox, &copied, RemovalWay::Delete, None)?;
        }
        Ok(true)
    }

    /// How messages are removed at this source, and where they are moved to. That mailbox is open then.
    fn way(&mut self) -> Result<(RemovalWay, Option<MovedTo>)> {
        let disposal = &self.wish.disposal;
        let source = self.source()?;
        let way = match source.means().manner(disposal)? {
            Some(Manner::Move) => RemovalWay::Move,
            Some(Manner::Copy) => RemovalWay::Copy,
            Some(Manner::Delete) | None => RemovalWay::Delete,
        };
        let Disposal::MoveTo(spot) = disposal else {
            return Ok((way, None));
        };
        let mailbox = source.find_or_make(spot)?;
        let folders = self.engine.ledger.step(|l| l.folders())?;
        if folders.iter().any(|folder| folder.source == mailbox) {
            return Err(Error::new(
                Fault::NeedsUser,
                format!(
                    "`after_delivery` moves messages into {}, which is copied itself: they would come again, so nothing is removed",
                    shown(mailbox.as_bytes())
                ),
            )
            .hint("name another mailbox in `move_to`, or leave that one out with `exclude`"));
        }
        let source = self.source()?;
        let view = source.look_at(&mailbox)?;
        let to = MovedTo {
            mailbox,
            uid_validity: view.uid_validity,
            uid_next: view.uid_next,
        };
        Ok((way, Some(to)))
    }

    /// Opens a folder's mailbox. None where it is another incarnation than the one that the ledger knows: the watcher sees
    /// to that.
    pub(super) fn open(&mut self, folder: &Folder, mailbox: &MailboxRow) -> Result<Option<View>> {
        let view = self.source()?.open(&folder.source)?;
        Ok((view.uid_validity == mailbox.uid_validity).then_some(view))
    }

    /// What bears the UIDs of these in the open mailbox.
    fn at_source(&mut self, view: &View, batch: &[Removable]) -> Result<HashMap<RowId, SourceNow>> {
        let uids: Vec<Uid> = batch.iter().map(|one| one.row.about.uid).collect();
        let source = self.source()?;
        let told = if view.exists == 0 {
            Vec::new()
        } else {
            source.described(&uids)?
        };
        let told: HashMap<Uid, Discovered> = told.into_iter().map(|d| (d.uid, d)).collect();
        let mut here = HashMap::new();
        for one in batch {
            let about = &one.row.about;
            let now = match told.get(&about.uid) {
                None => SourceNow::Nothing,
                Some(seen) if !is_same(seen, about) => SourceNow::Another,
                // Date and size alone name no message: its bytes do.
                Some(_) if about.message_id.is_none() && !has_bytes_of(source, one)? => {
                    SourceNow::Another
                }
                Some(seen) => SourceNow::Itself {
                    flagged: seen.flags.flagged,
                },
            };
            here.insert(one.row.id, now);
        }
        Ok(here)
    }

    /// Whether the copies of these are in the target at this moment.
    fn copies(&mut self, wanted: &[&Removable]) -> Result<HashMap<RowId, CopyNow>> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let engine = self.engine;
        // Of equal bytes the target has one copy, which is another row's.
        let mut vouchers: Vec<(RowId, Removable)> = Vec::new();
        for one in wanted {
            let copy = match one.proof {
                Proof::Same => engine.ledger.step(|l| l.voucher(&one.row))?,
                _ => Some((*one).clone()),
            };
            vouchers.extend(
                copy.filter(Removable::may_go)
                    .map(|copy| (one.row.id, copy)),
            );
        }
        if self.account.as_ref().is_none_or(|a| !a.usable()) {
            self.account = Some(engine.open_account()?);
        }
        let Some(account) = &mut self.account else {
            return Ok(HashMap::new());
        };
        let asked: Vec<(RowId, &Removable)> =
            vouchers.iter().map(|(id, copy)| (*id, copy)).collect();
        let there = TargetIndex::through(engine, account).there_now(&asked)?;
        Ok(wanted
            .iter()
            .map(|one| {
                let now = if there.contains(&one.row.id) {
                    CopyNow::There
                } else {
                    CopyNow::NotThere
                };
                (one.row.id, now)
            })
            .collect())
    }

    /// Writes down why these stay, where only another look can show that this has changed.
    fn keep(&mut self, kept: &[(RowId, KeptFor)]) -> Result<()> {
        let now = Utc::now();
        let mut resting = Vec::new();
        for (row, why) in kept {
            *self.tally.kept.entry(*why).or_default() += 1;
            if let Some(rest) = why.rest() {
                resting.push((*row, why.words().to_string(), now + rest));
            }
        }
        self.engine.ledger.step(|l| l.keep_at_source(&resting))
    }

    /// Does one thing with messages of the open mailbox: intent on disk, the commands, and a look at what came of it. Returns
    /// those that the other mailbox has now besides.
    fn act(
        &mut self,
        folder: &Folder,
        mailbox: &MailboxRow,
        going: &[&Removable],
        way: RemovalWay,
        to: Option<&MovedTo>,
    ) -> Result<Vec<RowId>> {
        if going.is_empty() {
            return Ok(Vec::new());
        }
        let (engine, now) = (self.engine, Utc::now());
        let rows: Vec<RowId> = going.iter().map(|one| one.row.id).collect();
        // What somebody has queued again meanwhile stays.
        let Some((id, begun)) = engine
            .ledger
            .step(|l| l.begin_removal(&rows, way, to, now))?
        else {
            return Ok(Vec::new());
        };
        let going: Vec<&Removable> = going
            .iter()
            .copied()
            .filter(|one| begun.contains(&one.row.id))
            .collect();
        let open = OpenRemoval {
            id,
            way,
            begun_at: now,
            moved_to: to.cloned(),
            rows: going
                .iter()
                .map(|one| BeingRemoved {
                    row: one.row.clone(),
                    mailbox: folder.source.clone(),
                    uid_validity: mailbox.uid_validity,
                    retired: false,
                })
                .collect(),
        };
        let uids: Vec<Uid> = going.iter().map(|one| one.row.about.uid).collect();
        let source = self.source()?;
        let said = match (way, to) {
            (RemovalWay::Move, Some(to)) => source.move_to(&uids, &to.mailbox),
            (RemovalWay::Copy, Some(to)) => source.copy(&uids, &to.mailbox),
            _ => source.delete(&uids),
        };
        if !self.is_usable() {
            // What came of it, a look in another session shows.
            return said.map(|()| Vec::new());
        }
        let heard = if said.is_ok() {
            Heard::Done
        } else {
            Heard::Refused
        };
        let seen = self.conclude(&open, heard);
        said.map_err(|e| refused(way, &e))?;
        seen
    }

    /// The session with the source, opened anew when the last one was lost.
    pub(super) fn source(&mut self) -> Result<&mut Cleaner> {
        if !self.is_usable() {
            let (setup, times) = (self.setup, &self.engine.times);
            let entered = setup
                .source
                .enter(|login, _| Cleaner::enter(&setup.config.source, login, times))?;
            self.source = Some(entered);
        }
        self.source
            .as_mut()
            .ok_or_else(|| Error::connection("the source was lost"))
    }

    fn is_usable(&self) -> bool {
        self.source.as_ref().is_some_and(Cleaner::usable)
    }
}

/// Does this have the Message-ID, the Date and the size of a row's message?
pub(super) fn is_same(seen: &Discovered, about: &Discovered) -> bool {
    let id = |d: &Discovered| d.message_id.as_ref().map(|id| id.hash);
    id(seen) == id(about)
        && seen.date == about.date
        && seen.size.is_some()
        && seen.size == about.size
}

fn has_bytes_of(source: &mut Cleaner, one: &Removable) -> Result<bool> {
    let size = one.row.about.size.unwrap_or(0);
    let body = source.body(one.row.about.uid, size)?;
    Ok(body.is_some_and(|body| Some(sha256(&body)) == one.row.sha256))
}

/// The source will not do it: no message is to blame, and a person has to know.
pub(super) fn refused(way: RemovalWay, e: &Error) -> Error {
    if e.scope() != Scope::Message {
        return e.clone();
    }
    let what = match way {
        RemovalWay::Move => "move messages",
        RemovalWay::Copy => "copy messages into the mailbox that they are moved to",
        RemovalWay::Delete => "remove messages",
    };
    Error::new(
        Fault::NeedsUser,
        format!("the source refuses to {what} after their delivery: {e}"),
    )
    .hint("may this account change that mailbox? Mail is delivered all the same; set `after_delivery` to \"keep\" if it is to stay there")
}
