//! What is done to mailboxes as a whole: made, named anew, taken away, closed. Names have `/` between levels here,
//! whatever they have on the wire.

use std::sync::Arc;

use super::{Mailbox, Store, What};
use crate::labels;
use crate::names::Use;
use crate::options::Closed;

impl Store {
    /// By name. INBOX may be written in any case, and so may a label: one that differs in nothing else is the same
    /// (docs/gmail.md 5.1). `[Gmail]` is found, too.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let there = |mailbox: &&Mailbox| !mailbox.deleted;
        let at = |same: &dyn Fn(&Mailbox) -> bool| {
            let mut all = self.mailboxes.iter();
            all.position(|mailbox| there(&mailbox) && same(mailbox))
        };
        at(&|mailbox| mailbox.name == name)
            .or_else(|| at(&|m| m.name == "INBOX" && name.eq_ignore_ascii_case("INBOX")))
            .or_else(|| at(&|m| m.purpose == Use::Label && labels::same(&m.name, name)))
    }

    /// The mailbox of this name, made if there is none. A label deleted and made again has a new UIDVALIDITY (1.7).
    pub(crate) fn create(&mut self, name: &str) -> usize {
        self.find(name).unwrap_or_else(|| {
            let purpose = if self.gmail { Use::Label } else { Use::Plain };
            self.open(name.to_string(), purpose)
        })
    }

    /// Takes the label away; the messages stay (docs/gmail.md 5). In plain mode they go with it.
    pub(crate) fn delete_mailbox(&mut self, index: usize, by: u32) {
        let name = self.mailboxes[index].name.clone();
        let ids: Vec<u64> = self.mailboxes[index].by_uid.values().copied().collect();
        for id in ids {
            if self.gmail {
                self.change(id, by, |message| {
                    message.labels.remove(&name);
                });
            } else {
                self.delete(id, by);
            }
        }
        self.mailboxes[index].deleted = true;
        self.revision += 1;
    }

    /// Whether there is a mailbox below this name.
    pub(crate) fn is_parent(&self, name: &str) -> bool {
        let below = format!("{name}/");
        let mut there = self.mailboxes.iter().filter(|m| !m.deleted);
        there.any(|m| m.name.starts_with(&below))
    }

    /// Names a mailbox anew, if there is one, and those below it with it. UIDVALIDITY, UIDs and messages stay.
    pub(crate) fn rename(&mut self, old: &str, name: &str) {
        for at in 0..self.mailboxes.len() {
            let mailbox = &self.mailboxes[at];
            let rest = mailbox.name.strip_prefix(old);
            let below = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
            if let Some(rest) = below.filter(|_| !mailbox.deleted) {
                self.name_anew(at, format!("{name}{rest}"));
            }
        }
        self.revision += 1;
    }

    fn name_anew(&mut self, index: usize, name: String) {
        let old = std::mem::replace(&mut self.mailboxes[index].name, name.clone());
        // Of Gmail's messages, those in Spam and Trash keep their labels, too.
        let named = self
            .messages
            .iter()
            .filter(|(_, m)| m.labels.contains(&old));
        let ids: Vec<u64> = named.map(|(&id, _)| id).collect();
        if self.gmail {
            self.modseq += 1;
        }
        for id in ids {
            let Some(message) = self.messages.get_mut(&id) else {
                continue;
            };
            let message = Arc::make_mut(message);
            message.labels.remove(&old);
            message.labels.insert(name.clone());
            if self.gmail {
                message.modseq = self.modseq;
                for mailbox in &mut self.mailboxes {
                    if let Some(uid) = mailbox.uid_of(id) {
                        mailbox.note(uid, What::Touched, 0);
                    }
                }
            }
        }
    }

    /// It cannot be opened from now on, or can be again.
    pub(crate) fn close(&mut self, index: usize, closed: Option<Closed>) {
        self.mailboxes[index].closed = closed;
        self.revision += 1;
    }

    /// Gives the mailbox another UIDVALIDITY and its messages the UIDs from 1 on.
    pub(crate) fn renumber(&mut self, index: usize, uid_validity: u32) {
        self.revision += 1;
        let mailbox = &mut self.mailboxes[index];
        let ids: Vec<u64> = mailbox.by_uid.values().copied().collect();
        mailbox.uid_validity = uid_validity;
        mailbox.uid_next = 1;
        mailbox.incarnation += 1;
        mailbox.by_uid.clear();
        mailbox.by_id.clear();
        mailbox.journal.clear();
        for id in ids {
            mailbox.add(id, 0);
        }
        self.last_validity = self.last_validity.max(uid_validity);
    }

    /// HIGHESTMODSEQ. Gmail's is taken to be one for the account (docs/gmail.md 1.7), others have one for each mailbox.
    pub(crate) fn highest(&self, index: usize) -> u64 {
        if self.gmail {
            self.modseq
        } else {
            self.mailboxes[index].modseq
        }
    }
}
