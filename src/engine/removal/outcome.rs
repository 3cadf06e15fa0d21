//! What came of what was to be removed: not the answer tells, but a look at the source, in the same pass or in a later one.
//! Not for what is removed (`pass`).

use chrono::{TimeDelta, Utc};
use log::debug;

use super::delta;
use super::pass::{Pass, is_same, refused};
use crate::error::{Result, shown};
use crate::folder::Folder;
use crate::ledger::{
    BeingRemoved, MailboxRow, MovedTo, OpenRemoval, Removable, RemovalEnd, RemovalWay, Row, RowId,
};
use crate::message::{Discovered, Time, Uid, UidValidity};

/// How long a message is left alone that the source has still though it said that it removed it.
const STUBBORN: TimeDelta = TimeDelta::days(1);
/// A mailbox that has other UIDs than the ledger knows is looked at anew by the watcher, for so long.
const RENUMBERED: TimeDelta = TimeDelta::days(1);

impl Pass<'_> {
    /// Looks what came of a removal, and writes it down. `heard`: the source has just said that it is done, or that it will
    /// not do it; else it may still do it, and that it did not is believed only after a while. Returns what was copied.
    pub(super) fn conclude(&mut self, open: &OpenRemoval, heard: bool) -> Result<Vec<RowId>> {
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
                self.tally.note_end(end, heard);
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
        heard: bool,
    ) -> Result<Vec<(RowId, RemovalEnd)>> {
        let now = Utc::now();
        let age = now - open.begun_at;
        let times = &self.engine.times;
        // The ledger has whole seconds.
        let settled = heard || age >= delta(times.late_commit) + TimeDelta::seconds(1);
        let source = self.source()?;
        let view = match source.open(name) {
            Err(e) if source.usable() => {
                // Its messages may be marked as deleted: that is to be taken back first.
                debug!("{}: {e}", shown(name.as_bytes()));
                let given_up = age >= RENUMBERED;
                let why = "its mailbox does not open";
                return Ok(if given_up {
                    all_kept(rows, why, now + STUBBORN)
                } else {
                    Vec::new()
                });
            }
            view => view?,
        };
        if view.uid_validity != validity {
            // The watcher matches its messages with the rows anew; where nobody does, they are not looked for for ever.
            let given_up = age >= RENUMBERED;
            let why = "its mailbox has other UIDs now";
            return Ok(if given_up {
                all_kept(rows, why, now)
            } else {
                Vec::new()
            });
        }
        let uids: Vec<Uid> = rows.iter().map(|one| one.row.about.uid).collect();
        let listed = if view.exists == 0 {
            Vec::new()
        } else {
            source.listed(&uids)?
        };
        let (there, gone): (Vec<&BeingRemoved>, Vec<&BeingRemoved>) = rows
            .iter()
            .partition(|one| listed.contains(&one.row.about.uid));
        let mut ends: Vec<(RowId, RemovalEnd)> = gone
            .iter()
            .map(|one| (one.row.id, RemovalEnd::Removed))
            .collect();
        if there.is_empty() {
            return Ok(ends);
        }
        let again = if heard { now + STUBBORN } else { now };
        let still = "the source has it still";
        if open.way == RemovalWay::Delete {
            if settled {
                let uids: Vec<Uid> = there.iter().map(|one| one.row.about.uid).collect();
                source.spare(&uids).map_err(|e| refused(open.way, &e))?;
                ends.extend(all_kept(&there, still, again));
            }
            return Ok(ends);
        }
        let moved = self.also_moved(open, &there)?;
        for one in there {
            if moved.contains(&one.row.id) {
                ends.push((one.row.id, RemovalEnd::Copied));
            } else if settled {
                ends.extend(all_kept(&[one], still, again));
            }
        }
        Ok(ends)
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
