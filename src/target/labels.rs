//! Labels on messages that are in a Gmail already (docs/gmail.md 4.2). Not for which messages lack which.

use super::Account;
use crate::error::{Error, Fault, Result, Scope};
use crate::folder::{SpecialUse, Spot};
use crate::message::{Uid, UidValidity, uid_set};
use crate::response::Fetched;
use crate::session::quoted;

/// A message that is there, and its number (X-GM-MSGID).
pub type Labelled = (Uid, Option<u64>);

/// What is refused to a label that is to be made is refused to it each time.
fn refused_for_good(e: Error) -> Error {
    if e.scope() == Scope::Message {
        e.with_fault(Fault::Permanent)
    } else {
        e
    }
}

impl Account {
    /// Puts labels on messages of a mailbox. Returns those of them that are there, each with its number; None where
    /// the mailbox has other UIDs than these. Labels that they have already are no matter. `uids` must ascend.
    ///
    /// # Errors
    /// `Permanent`: a label is refused.
    pub fn add_labels(
        &mut self,
        mailbox: &str,
        validity: UidValidity,
        uids: &[Uid],
        labels: &[Spot],
    ) -> Result<Option<Vec<Labelled>>> {
        let mut names = Vec::new();
        let mut copies = Vec::new();
        for label in labels {
            match label {
                Spot::Inbox => names.push("\\Inbox".to_string()),
                // Made like those that mail goes into, with those above it.
                Spot::Label(_) => {
                    let made = self.mailbox_of(label).map_err(refused_for_good)?;
                    names.push(quoted(&made)?);
                }
                // Whether its label can be given like any other is not known; a message that is put into this mailbox
                // has it.
                Spot::Use(SpecialUse::Sent | SpecialUse::Drafts) => copies.push(label.clone()),
                Spot::Use(_) => {}
            }
        }
        let set = uid_set(uids);
        let mut into: Vec<String> = Vec::new();
        for label in &copies {
            into.push(self.mailbox_of(label)?);
        }
        let session = &mut self.mailbox.session;
        if session.select(mailbox)?.uid_validity != validity {
            return Ok(None);
        }
        for mailbox in into {
            session.copy(&set, &mailbox)?;
        }
        let items = self.mailbox.items("FLAGS");
        let found = if names.is_empty() {
            let (found, end) = self.mailbox.fetch(uids, "FLAGS", 0);
            end.map(|()| found)
        } else {
            let session = &mut self.mailbox.session;
            session.label(&set, &names.join(" "), &items)
        };
        let there = |f: &Fetched| Some((f.uid?, f.gm_msgid));
        found.map(|found| Some(found.iter().filter_map(there).collect()))
    }

    /// Gmail's All Mail, where it is to be had.
    pub fn all_mail(&self) -> Option<&str> {
        self.all_mail.as_deref()
    }
}
