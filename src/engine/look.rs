//! One look at the source: into which of the folders, and in what order. Not for what a look into one of them records
//! (`watch`).

use chrono::Utc;

use super::parts::{SLACK, WATCH};
use super::reader::Reader;
use super::watch::{Discovery, Look, Looked, discover};
use super::{Engine, lock};
use crate::error::{Again, Error, Fault, Result, Scope};
use crate::folder::Folder;

impl Engine {
    /// Looks through the source for what is new, one at a time. Of several folders those are looked into that
    /// may hold something; the first of them last, so that it is open in the end.
    pub(super) fn discover(&self, reader: &mut Reader) -> Result<Looked> {
        let mut discovery = lock(&self.discovery);
        let folders = self.take_folders(reader)?;
        let mut looked = Looked::default();
        let (first, others) = match &folders[..] {
            [] => {
                looked.nothing = true;
                return Ok(looked);
            }
            [only] => return self.discover_in(&mut discovery, reader, only),
            [first, others @ ..] => (first, others),
        };
        let moved = self.moved(reader, &folders)?;
        let moved_others = others.iter().zip(&moved[1..]).filter(|(_, moved)| **moved);
        let mut moved_others: Vec<&Folder> = moved_others.map(|(folder, _)| folder).collect();
        // A mailbox over which the server ended the session keeps none of the others from its look.
        moved_others.sort_by_key(|folder| self.folders.falls(folder.id));
        let order = moved[0].then_some(first).into_iter();
        let order = order.chain(moved_others).chain([first]);
        for folder in order {
            if let Some(e) = self
                .folders
                .spared(folder.id)
                .filter(|_| folder.id != first.id)
            {
                looked.add(Looked {
                    trouble: Some(does_not_open(folder, &e)),
                    ..Looked::default()
                });
                continue;
            }
            match self.discover_in(&mut discovery, reader, folder) {
                Ok(one) => {
                    self.folders.note_open(folder.id);
                    looked.add(one);
                }
                Err(e) if reader.does_not_open() && e.reaction().again != Again::AfterPause => {
                    looked.add(Looked {
                        trouble: Some(does_not_open(folder, &e)),
                        ..Looked::default()
                    });
                }
                Err(e) if e.scope() == Scope::Session && folder.id != first.id => {
                    self.folders.note_fall(folder.id, &e, &self.times);
                    if !self.folders.falls_over(folder.id) {
                        return Err(e);
                    }
                    looked.add(Looked {
                        trouble: Some(does_not_open(folder, &e)),
                        ..Looked::default()
                    });
                }
                Err(e) => return Err(e),
            }
            self.promise(WATCH, self.times.batch + SLACK);
        }
        Ok(looked)
    }

    /// Looks into one folder.
    fn discover_in(
        &self,
        discovery: &mut Discovery,
        reader: &mut Reader,
        folder: &Folder,
    ) -> Result<Looked> {
        let look = Look {
            since: self.folders.since(folder.id, reader.setup().config.since),
            reconcile: self.times.reconcile,
            now: Utc::now(),
        };
        let known = self.ledger.step(|l| l.mailbox(folder.id))?;
        if known.is_some_and(|known| known.is_unstable() && known.history_done && !known.inherited)
            && !self.inherit_in(folder.id)?
        {
            // Each look would add all of the mailbox once more.
            return Ok(Looked {
                matching: true,
                ..Looked::default()
            });
        }
        reader.turn_to(folder);
        let mut looked = discover(discovery, reader, &self.ledger, look)?;
        looked.new_there = looked.new;
        looked.say(&folder.shown());
        // Also what was there before the first look at a mailbox may be newer than what is under way.
        if !looked.matching && looked.new > 0 {
            self.note_new_mail();
        }
        Ok(looked)
    }
}

/// The source lists a mailbox and does not open it. The others are looked into.
fn does_not_open(folder: &Folder, e: &Error) -> Error {
    Error::new(
        Fault::Transient,
        format!("{} cannot be looked into: {e}", folder.shown()),
    )
    .hint("the other mailboxes are copied; if it is not to be, name it under `exclude` in the configuration")
}
