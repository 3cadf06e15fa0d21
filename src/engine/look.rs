//! One look at the source: into which of the folders, and in what order. Not for what a look into one of them records
//! (`watch`).

use chrono::Utc;

use super::daemon::{SLACK, WATCH};
use super::reader::Reader;
use super::watch::{Discovery, Look, Looked, discover};
use super::{Engine, lock};
use crate::error::{Again, Error, Fault, Result};
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
        let order = moved[0].then_some(first).into_iter();
        let order = order
            .chain(moved_others.map(|(folder, _)| folder))
            .chain([first]);
        for folder in order {
            match self.discover_in(&mut discovery, reader, folder) {
                Ok(one) => looked.add(one),
                Err(e) if reader.does_not_open() && e.reaction().again != Again::AfterPause => {
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
        if !looked.matching && looked.new > looked.old {
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
