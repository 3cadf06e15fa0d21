//! The messages of a batch, as the source hands them over: whether each is the one that its row speaks
//! of, and what becomes of those that cannot be had. Not for what is done with them (`deliver`).

use std::collections::HashMap;

use super::Engine;
use super::bisect::Got;
use super::reader::Reader;
use super::settle::Outcome;
use crate::error::{Again, Error, Fault, Result, Scope};
use crate::folder::Folder;
use crate::ledger::{MailboxRow, Row};
use crate::message::{Discovered, Message, Uid};
use crate::session::SET_MAX;

/// What came of asking for the message of a row.
pub(super) struct Fetched {
    pub(super) row: Row,
    pub(super) came: Came,
}

pub(super) enum Came {
    Message(Message),
    /// It cannot be had, or is no longer there: what the row is to be settled by.
    End(Outcome),
}

/// How long the trouble of one folder may last.
#[derive(Clone, Copy)]
enum ItsOwn {
    /// It is looked into again and again.
    ForNow,
    /// Nobody looks into it any more.
    ForGood,
}

impl Engine {
    /// The messages themselves, or what keeps each from being had. Of some rows nothing may be known.
    pub(super) fn fetch(&self, rows: &[Row]) -> Result<Vec<Fetched>> {
        let Some(id) = rows.first().map(|row| row.mailbox_id) else {
            return Ok(Vec::new());
        };
        let folder = self.ledger.step(|l| l.folder_of(id))?;
        let mailbox = self.ledger.step(|l| l.present_mailbox(folder.id))?;
        if mailbox.id != id {
            // Its UIDs have got another meaning since these rows were claimed.
            return Ok(Vec::new());
        }
        let (got, its_own) = self.bodies(rows, &folder, &mailbox)?;
        let got = match (got, its_own) {
            // Where there are others they go on.
            (Err(e), Some(own)) => return Ok(rows.iter().map(|row| shut(row, own, &e)).collect()),
            (got, _) => got?,
        };
        let Got {
            found,
            poison,
            left,
        } = got;
        let mut messages: HashMap<Uid, Message> =
            found.into_iter().map(|m| (m.about.uid, m)).collect();
        let poison: HashMap<Uid, Error> = poison.into_iter().collect();
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            let came = match (messages.remove(&row.about.uid), poison.get(&row.about.uid)) {
                (Some(message), _) => self.accept(row, message)?,
                (None, Some(error)) => Came::End(Outcome::Unreadable(error.clone())),
                (None, None) if left.contains(&row.about.uid) => Came::End(Outcome::NotBegun),
                (None, None) => {
                    let second = self.absent.note(row.id, self.times.second_look);
                    Came::End(Outcome::Absent { second })
                }
            };
            out.push(Fetched {
                row: row.clone(),
                came,
            });
        }
        Ok(out)
    }

    /// Asks the source for the messages of these rows. Says where an error is the folder's own trouble, and there are
    /// other folders, which go on: the source does not open its mailbox, or falls over it each time; or its UIDs are
    /// other ones, and nobody looks into it any more.
    fn bodies(
        &self,
        rows: &[Row],
        folder: &Folder,
        mailbox: &MailboxRow,
    ) -> Result<(Result<Got<Message>>, Option<ItsOwn>)> {
        let left_out = self.ledger.step(|l| l.is_left_out(folder.id))?;
        let mut reader = self.reader_at(folder);
        let got = self.bodies_through(&mut reader, rows, mailbox);
        let Err(e) = &got else {
            return Ok((got, None));
        };
        // Asked before anybody else turns the reader to another folder.
        let shut = reader.does_not_open() && e.reaction().again != Again::AfterPause;
        let falls = e.scope() == Scope::Session && self.folders.falls_over(folder.id);
        let lost = left_out && std::mem::take(&mut reader.here.renumbered);
        let others = left_out || self.folders.are_several();
        let own = if left_out {
            ItsOwn::ForGood
        } else {
            ItsOwn::ForNow
        };
        Ok((got, Some(own).filter(|_| others && (shut || falls || lost))))
    }

    fn bodies_through(
        &self,
        reader: &mut Reader,
        rows: &[Row],
        mailbox: &MailboxRow,
    ) -> Result<Got<Message>> {
        let mut uids: Vec<Uid> = rows.iter().map(|r| r.about.uid).collect();
        uids.sort_unstable();
        let bytes = rows.iter().filter_map(|r| r.about.size).sum();
        let nameless = rows.iter().any(|r| r.about.size.is_none());
        let others = || self.ledger.step(|l| l.others_to_fetch(mailbox.id));
        self.promise_transfer(bytes);
        reader.expect(mailbox)?;
        if rows.iter().any(|r| self.absent.contains(r.id)) {
            reader.refresh_if_stable()?;
        }
        reader.messages(&uids, bytes, nameless, &others)
    }

    /// The message that came for a row, where it is the one that the row speaks of and nothing new is known of it.
    fn accept(&self, row: &Row, message: Message) -> Result<Came> {
        self.absent.forget(row.id);
        // Exchange lists what its virus scanner still has in hand without a name.
        let named_now = row.about.message_id.is_none()
            && message.about.message_id.is_some()
            && message.about.internal_date == row.about.internal_date;
        if row.about.size.is_none() || named_now {
            // Now that it has a name it may be recognised: it goes back to be claimed.
            self.ledger.step(|l| l.learn(row.id, &message.about))?;
            Ok(Came::End(Outcome::NotBegun))
        } else if !message.about.has_id_of(&row.about) {
            Ok(Came::End(self.another(row, &message.about)?))
        } else {
            Ok(Came::Message(message))
        }
    }

    /// Another message came than the row speaks of: nothing of it is sent. Either the mailbox has
    /// new UIDs, or its server names this one message in two ways.
    fn another(&self, row: &Row, came: &Discovered) -> Result<Outcome> {
        let folder = self.ledger.step(|l| l.folder_of(row.mailbox_id))?;
        let mut reader = self.reader_at(&folder);
        if reader.names_another(&row.about, came)? {
            return Err(note_changed_meaning(&mut reader, row.about.uid));
        }
        drop(reader);
        let error = Error::new(
            Fault::Transient,
            "the source hands over a message with another Message-ID than it lists",
        );
        Ok(Outcome::Unreadable(error))
    }

    /// Fails where UIDs of the source name other messages than they did. A message with the bytes of another one in
    /// the same mailbox may be that one itself: Courier gives UIDs provisionally as long as nobody opens the mailbox
    /// by SELECT, and a message that comes in between pushes others up without a word. So the UIDs of those others
    /// are looked at.
    pub(super) fn check_renumbering(&self, messages: &[(Row, Message)]) -> Result<()> {
        let mut twins: Vec<Discovered> = Vec::new();
        self.ledger.view(|l| {
            for (row, message) in messages {
                twins.extend(l.twins_beside(row, &message.sha256())?);
            }
            Ok(())
        })?;
        twins.sort_unstable_by_key(|d| d.uid);
        twins.dedup_by_key(|d| d.uid);
        let Some((row, _)) = messages.first() else {
            return Ok(());
        };
        let folder = self.ledger.step(|l| l.folder_of(row.mailbox_id))?;
        for set in twins.chunks(SET_MAX) {
            let mut reader = self.reader_at(&folder);
            if reader.name_others(set)? {
                return Err(note_changed_meaning(&mut reader, set[0].uid));
            }
        }
        Ok(())
    }
}

/// The folder does not open: what each of its rows is settled by.
fn shut(row: &Row, own: ItsOwn, error: &Error) -> Fetched {
    let outcome = match own {
        ItsOwn::ForNow => Outcome::Shut,
        ItsOwn::ForGood => Outcome::Unreadable(error.clone()),
    };
    Fetched {
        row: row.clone(),
        came: Came::End(outcome),
    }
}

/// Takes note that UIDs of the source name other messages than they did: the next look takes them for new ones.
fn note_changed_meaning(reader: &mut Reader, uid: Uid) -> Error {
    (reader.here.renumbered, reader.here.reused) = (true, true);
    Error::connection(format!(
        "{} UID {uid} of the source is another message now: its UIDs have changed their meaning",
        reader.name()
    ))
}
