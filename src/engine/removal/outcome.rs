//! What came of what was to be removed: not the answer tells, but a look at the source, in the same pass or in a later one.
//! Not for what is removed (`pass`).

use chrono::{TimeDelta, Utc};
use log::debug;

use super::pass::{Pass, is_same, refused};
use super::{Heard, delta};
use crate::error::{Error, Result, shown};
use crate::folder::Folder;
use crate::ledger::{
    BeingRemoved, MailboxRow, MovedTo, OpenRemoval, Removable, RemovalEnd, RemovalWay, Row, RowId,
};
use crate::message::{Discovered, Time, Uid, UidValidity};
use crate::session::View;

/// How long a message is left alone that the source has still though it said that it removed it.
const STUBBORN: TimeDelta = TimeDelta::days(1);
/// A mailbox that has other UIDs than the ledger knows is looked at anew by the watcher, for so long.
const RENUMBERED: TimeDelta = TimeDelta::days(1);

/// What a look at a mailbox shows of some messages.
struct Shown<'r> {
    there: Vec<&'r BeingRemoved>,
    gone: Vec<&'r BeingRemoved>,
    /// The list leaves out messages, and may leave out these.
    untold: Vec<&'r BeingRemoved>,
}

impl Pass<'_> {
    /// Looks what came of whatever an earlier pass left open. False where something still is: it could be mistaken for what
    /// is done from now on.
    pub(super) fn conclude_all(&mut self) -> Result<bool> {
        for open in self.engine.ledger.step(|l| l.open_removals())? {
            self.conclude(&open, Heard::Nothing)?;
        }
        let open = self.engine.ledger.step(|l| l.open_removals())?;
        if open.is_empty() || self.doubtful {
            return Ok(open.is_empty());
        }
        Err(Error::connection(
            "nobody saw what came of removing some messages at the source, and a look cannot tell yet",
        ))
    }

    /// Looks what came of a removal, and writes it down. Returns what was copied.
    pub(super) fn conclude(&mut self, open: &OpenRemoval, heard: Heard) -> Result<Vec<RowId>> {
        let mut mailboxes: Vec<(&str, UidValidity, bool)> = open
            .rows
            .iter()
            .map(|one| (&*one.mailbox, one.uid_validity, one.retired))
            .collect();
        mailboxes.dedup();
        let mut copied = Vec::new();
        let now = Utc::now();
        if mailboxes.is_empty() {
            self.engine
                .ledger
                .step(|l| l.end_removal(open.id, &[], now))?;
        }
        for (name, validity, retired) in mailboxes {
            let rows: Vec<&BeingRemoved> = open
                .rows
                .iter()
                .filter(|one| {
                    (&*one.mailbox, one.uid_validity, one.retired) == (name, validity, retired)
                })
                .collect();
            let ends = if retired && now - open.begun_at < RENUMBERED {
                // With its message it moves to another UID.
                Vec::new()
            } else if retired {
                all_kept(&rows, "its UID means something else by now", now)
            } else {
                self.ends_of(open, name, validity, &rows, heard)?
            };
            for (row, end) in &ends {
                self.tally.note_end(end, heard == Heard::Done);
                if *end == RemovalEnd::Copied {
                    copied.push(*row);
                }
            }
            self.engine
                .ledger
                .step(|l| l.end_removal(open.id, &ends, now))?;
        }
        Ok(copied)
    }

    /// What became of messages of one mailbox, as far as a look tells now.
    fn ends_of(
        &mut self,
        open: &OpenRemoval,
        name: &str,
        validity: UidValidity,
        rows: &[&BeingRemoved],
        heard: Heard,
    ) -> Result<Vec<(RowId, RemovalEnd)>> {
        let now = Utc::now();
        let age = now - open.begun_at;
        let given_up = age >= RENUMBERED;
        let view = match self.view_of(name, validity, rows, heard)? {
            Ok(view) => view,
            Err((why, rest)) if given_up => return Ok(all_kept(rows, why, now + rest)),
            Err(_) => return Ok(Vec::new()),
        };
        let Shown {
            there,
            gone,
            untold,
        } = self.shown(&view, rows, heard, age)?;
        let removed = |one: &&BeingRemoved| (one.row.id, RemovalEnd::Removed);
        let mut ends: Vec<(RowId, RemovalEnd)> = gone.iter().map(removed).collect();
        if given_up {
            let why = "its mailbox is not listed as a whole";
            ends.extend(all_kept(&untold, why, now + STUBBORN));
        }
        if !there.is_empty() {
            ends.extend(self.ends_of_those_there(open, &there, heard, now)?);
        }
        Ok(ends)
    }

    /// Opens the mailbox of these messages. Where it is none that they can be looked for in: why, and for how long they are
    /// left alone once that is given up.
    fn view_of(
        &mut self,
        name: &str,
        validity: UidValidity,
        rows: &[&BeingRemoved],
        heard: Heard,
    ) -> Result<std::result::Result<View, (&'static str, TimeDelta)>> {
        let source = self.source()?;
        let view = match source.open(name) {
            Err(e) if source.usable() => {
                // Its messages may be marked as deleted: that is to be taken back first.
                debug!("{}: {e}", shown(name.as_bytes()));
                return Ok(Err(("its mailbox does not open", STUBBORN)));
            }
            view => view?,
        };
        let highest = rows.iter().map(|one| one.row.about.uid.0).max();
        // A server that has just removed the last one may begin anew with its UIDs.
        let fell_back = view.uid_next_stated
            && heard != Heard::Done
            && highest.is_some_and(|uid| uid >= view.uid_next);
        if view.uid_validity != validity || fell_back {
            // The watcher matches its messages with the rows anew; where nobody does, they are not looked for for ever.
            return Ok(Err(("its mailbox has other UIDs now", TimeDelta::zero())));
        }
        Ok(Ok(view))
    }

    /// What became of messages that the open mailbox has still.
    fn ends_of_those_there(
        &mut self,
        open: &OpenRemoval,
        there: &[&BeingRemoved],
        heard: Heard,
        now: Time,
    ) -> Result<Vec<(RowId, RemovalEnd)>> {
        let heard_of = heard != Heard::Nothing;
        // The ledger has whole seconds.
        let late = delta(self.engine.times.late_commit) + TimeDelta::seconds(1);
        let settled = heard_of || now - open.begun_at >= late;
        let again = if heard_of { now + STUBBORN } else { now };
        let still = "the source has it still";
        if open.way == RemovalWay::Delete {
            if !settled {
                return Ok(Vec::new());
            }
            let uids: Vec<Uid> = there.iter().map(|one| one.row.about.uid).collect();
            let spared = self.source()?.spare(&uids);
            spared.map_err(|e| refused(open.way, &e))?;
            return Ok(all_kept(there, still, again));
        }
        let mut ends = Vec::new();
        let moved = self.also_moved(open, there)?;
        for &one in there {
            if moved.contains(&one.row.id) {
                ends.push((one.row.id, RemovalEnd::Copied));
            } else if settled {
                ends.extend(all_kept(&[one], still, again));
            }
        }
        Ok(ends)
    }

    /// Which of these the open mailbox has, and which it has no more. The server that has just said that they are removed is
    /// believed that they are not there; else that counts as any other absence does: in a list that was counted, and not in
    /// a mailbox that is empty all of a sudden, as one is whose disk is missing after a crash. Where that comes back later,
    /// the daily comparison finds what is there again.
    fn shown<'r>(
        &mut self,
        view: &View,
        rows: &[&'r BeingRemoved],
        heard: Heard,
        age: TimeDelta,
    ) -> Result<Shown<'r>> {
        let source = self.source()?;
        let (listed, whole) = match heard {
            _ if view.exists == 0 => (Vec::new(), true),
            Heard::Done => {
                let uids: Vec<Uid> = rows.iter().map(|one| one.row.about.uid).collect();
                (source.listed(&uids)?, true)
            }
            Heard::Refused | Heard::Nothing => source.all(view)?,
        };
        let is_listed = |one: &&BeingRemoved| listed.contains(&one.row.about.uid);
        let (there, absent): (Vec<_>, Vec<_>) = rows.iter().copied().partition(is_listed);
        let (mut gone, mut untold) = (absent, Vec::new());
        let emptied = view.exists == 0 && heard != Heard::Done;
        if emptied && age < delta(self.engine.times.removal.0) {
            debug!(
                "a mailbox with messages that were about to be removed is empty, which is not believed yet"
            );
            self.doubtful = true;
            gone.clear();
        } else if !whole {
            std::mem::swap(&mut gone, &mut untold);
        }
        Ok(Shown {
            there,
            gone,
            untold,
        })
    }

    /// Those of these that the mailbox which they are moved into has as well: one message there for one of ours, and only
    /// what came since.
    fn also_moved(&mut self, open: &OpenRemoval, rows: &[&BeingRemoved]) -> Result<Vec<RowId>> {
        let Some(to) = &open.moved_to else {
            return Ok(Vec::new());
        };
        let source = self.source()?;
        let view = source.look_at(&to.mailbox)?;
        let from = if view.uid_validity == to.uid_validity {
            to.uid_next
        } else {
            1
        };
        let rows: Vec<&Row> = rows.iter().map(|one| &one.row).collect();
        self.found_in(&to.mailbox, from, &rows)
    }

    /// Those of these that the mailbox which they are moved into has still. The others are to be moved as a whole: somebody
    /// has emptied it. The folder is open afterwards.
    pub(super) fn still_copied<'r>(
        &mut self,
        folder: &Folder,
        mailbox: &MailboxRow,
        halfway: Vec<&'r Removable>,
        to: Option<&MovedTo>,
        whole: &mut Vec<&'r Removable>,
    ) -> Result<Vec<&'r Removable>> {
        let (Some(to), false) = (to, halfway.is_empty()) else {
            return Ok(halfway);
        };
        let rows = halfway.iter().map(|one| &one.row).collect::<Vec<_>>();
        let there = self.found_in(&to.mailbox, 1, &rows)?;
        let (still, not): (Vec<_>, Vec<_>) = halfway
            .into_iter()
            .partition(|one| there.contains(&one.row.id));
        whole.extend(not);
        if self.open(folder, mailbox)?.is_none() {
            whole.clear();
            return Ok(Vec::new());
        }
        Ok(still)
    }

    /// Those of these that this mailbox has from a UID on: one message there for one of ours.
    pub(super) fn found_in(
        &mut self,
        mailbox: &str,
        from: u32,
        rows: &[&Row],
    ) -> Result<Vec<RowId>> {
        let source = self.source()?;
        let view = source.look_at(mailbox)?;
        let mut came = source.described_from(&view, from)?;
        let mut found = Vec::new();
        for row in rows {
            let is_it = |seen: &Discovered| {
                is_same(seen, &row.about)
                    && (seen.message_id.is_some() || seen.internal_date == Some(row.internal_date))
            };
            if let Some(at) = came.iter().position(is_it) {
                came.swap_remove(at);
                found.push(row.id);
            }
        }
        Ok(found)
    }
}

fn all_kept(rows: &[&BeingRemoved], why: &str, until: Time) -> Vec<(RowId, RemovalEnd)> {
    let kept = |one: &&BeingRemoved| {
        let why = why.to_string();
        (one.row.id, RemovalEnd::Kept { why, until })
    };
    rows.iter().map(kept).collect()
}
