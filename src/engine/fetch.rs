//! The messages of a batch, as the source hands them over: whether each is the one that its row speaks
//! of, and what becomes of those that cannot be had. Not for what is done with them (`deliver`).

use std::collections::HashMap;

use super::Engine;
use super::flight::Flight;
use super::piecemeal::Got;
use super::reader::{Reader, same_message_id};
use super::settle::Outcome;
use crate::error::{Error, Fault, Result};
use crate::ledger::Row;
use crate::message::{Discovered, Message, Uid, sha256};
use crate::session::SET_MAX;

impl Engine {
    /// The messages themselves. What cannot be had, or is no longer there, is settled here.
    pub(super) fn fetch(&self, open: &mut Flight<'_>) -> Result<Vec<(Row, Message)>> {
        if open.rows.is_empty() {
            return Ok(Vec::new());
        }
        let folder = self.setup().folder.id;
        let mailbox = self.ledger.step(|l| l.present_mailbox(folder))?;
        if open.rows.iter().any(|r| r.mailbox_id != mailbox.id) {
            // Its UIDs have got another meaning since these rows were claimed.
            return Ok(Vec::new());
        }
        let mut uids: Vec<Uid> = open.rows.iter().map(|r| r.about.uid).collect();
        uids.sort_unstable();
        let bytes = open.rows.iter().filter_map(|r| r.about.size).sum();
        let nameless = open.rows.iter().any(|r| r.about.size.is_none());
        let others = || self.ledger.step(|l| l.others_to_fetch(mailbox.id));
        let Got {
            found,
            poison,
            left,
        } = {
            self.promise_transfer(bytes);
            let mut reader = self.reader();
            reader.expect(&mailbox)?;
            if open.rows.iter().any(|r| self.absent.contains(r.id)) {
                reader.refresh_if_stable()?;
            }
            reader.messages(&uids, bytes, nameless, &others)?
        };
        let mut messages: HashMap<Uid, Message> =
            found.into_iter().map(|m| (m.about.uid, m)).collect();
        let poison: HashMap<Uid, Error> = poison.into_iter().collect();
        let mut out = Vec::with_capacity(messages.len());
        for row in open.rows.clone() {
            match (messages.remove(&row.about.uid), poison.get(&row.about.uid)) {
                (Some(message), _) => {
                    self.absent.forget(row.id);
                    // Exchange lists what its virus scanner still has in hand without a name.
                    let named_now = row.about.message_id.is_none()
                        && message.about.message_id.is_some()
                        && message.about.internal_date == row.about.internal_date;
                    if row.about.size.is_none() || named_now {
                        // Now that it has a name it may be recognised: it goes back to be claimed.
                        self.ledger.step(|l| l.learn(row.id, &message.about))?;
                        open.settle(&row, Outcome::NotBegun)?;
                        continue;
                    }
                    if !same_message_id(&message.about, &row.about) {
                        self.another_message(open, &row, &message.about)?;
                        continue;
                    }
                    out.push((row, message));
                }
                (None, Some(error)) => open.settle(&row, Outcome::Unreadable(error.clone()))?,
                (None, None) if left.contains(&row.about.uid) => {
                    open.settle(&row, Outcome::NotBegun)?;
                }
                (None, None) => {
                    let second = self.absent.note(row.id, self.times.second_look);
                    open.settle(&row, Outcome::Absent { second })?;
                }
            }
        }
        Ok(out)
    }

    /// Another message came than the row speaks of: nothing of it is sent. Either the mailbox has
    /// new UIDs, or its server tells two stories of this one message.
    fn another_message(&self, open: &mut Flight<'_>, row: &Row, came: &Discovered) -> Result<()> {
        let mut reader = self.reader();
        if reader.names_another(&row.about, came)? {
            return Err(changed_meaning(&mut reader, row.about.uid));
        }
        drop(reader);
        let error = Error::new(
            Fault::Transient,
            "the source hands over a message with another Message-ID than it lists",
        );
        open.settle(row, Outcome::Unreadable(error))
    }

    /// A message with the bytes of another one in the same mailbox may be that one itself: Courier gives
    /// UIDs provisionally as long as nobody opens the mailbox by SELECT, and a message that comes in
    /// between pushes others up without a word. So the UIDs of those others are looked at.
    pub(super) fn mind_renumbering(&self, messages: &[(Row, Message)]) -> Result<()> {
        let mut twins: Vec<Discovered> = Vec::new();
        self.ledger.step(|l| {
            for (row, message) in messages {
                twins.extend(l.twins_beside(row, &sha256(&message.body))?);
            }
            Ok(())
        })?;
        twins.sort_unstable_by_key(|d| d.uid);
        twins.dedup_by_key(|d| d.uid);
        for set in twins.chunks(SET_MAX) {
            let mut reader = self.reader();
            if reader.name_others(set)? {
                return Err(changed_meaning(&mut reader, set[0].uid));
            }
        }
        Ok(())
    }
}

/// UIDs of the source name other messages: the next look begins with new ones.
fn changed_meaning(reader: &mut Reader, uid: Uid) -> Error {
    (reader.renumbered, reader.reused) = (true, true);
    Error::connection(format!(
        "{} UID {uid} of the source is another message now: its UIDs have changed their meaning",
        reader.setup().folder.name()
    ))
}
