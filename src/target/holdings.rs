//! What the account holds, all of it: a list of each mailbox that is counted before it is believed, without a look into any
//! message. Not for what it means for a row (`crate::audit`).

use super::Account;
use crate::error::Result;
use crate::folder::{INBOX, Listed, SpecialUse};
use crate::message::{Uid, UidValidity};
use crate::session::View;

/// What is thrown away or unwanted lies apart from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nook {
    Live,
    Spam,
    Trash,
}

/// A mailbox in which copies may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// On the wire.
    pub name: String,
    pub nook: Nook,
}

/// What is told of a message that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub size: Option<u64>,
    pub gm_msgid: Option<u64>,
}

impl Account {
    /// The mailboxes in which copies may lie, and whether these are all of them: Gmail's All Mail, Spam and Trash hold each
    /// message once, and one that is hidden from IMAP is not to be had. Elsewhere, and where All Mail is hidden, all mailboxes
    /// that there are.
    pub fn holdings(&mut self) -> Result<(Vec<Holding>, bool)> {
        let apart = self.besides.clone().into_iter().map(|name| Holding {
            nook: if self.junk.as_ref() == Some(&name) {
                Nook::Spam
            } else {
                Nook::Trash
            },
            name,
        });
        let apart: Vec<Holding> = apart.collect();
        if let Some(all_mail) = &self.all_mail {
            let all_mail = Holding {
                name: all_mail.clone(),
                nook: Nook::Live,
            };
            let whole = apart.len() == 2;
            return Ok(([all_mail].into_iter().chain(apart).collect(), whole));
        }
        let labels = self.policy.labels;
        let listed = &self.mailboxes()?.listed;
        let mut all: Vec<Holding> = listed.iter().filter_map(holding).collect();
        // Deliveries first.
        all.sort_by_key(|holding| holding.name != INBOX);
        Ok((all, !labels))
    }

    /// Each message of a mailbox, ascending, and the view in which it was told: a list in which nothing is missing. `sized`:
    /// their sizes are asked for.
    pub fn held(&mut self, mailbox: &str, sized: bool) -> Result<(View, Vec<(Uid, Held)>)> {
        let items = self.outside(sized);
        self.counted(mailbox, &items, |f| Held {
            size: f.size,
            gm_msgid: f.gm_msgid,
        })
    }

    /// What came to a mailbox since it was listed, in a view of this moment; None where its UIDs have changed their meaning.
    pub fn held_since(
        &mut self,
        mailbox: &str,
        validity: UidValidity,
        from: u32,
    ) -> Result<Option<Vec<Uid>>> {
        let view = self.view(mailbox, true)?;
        if view.uid_validity != validity {
            return Ok(None);
        }
        if view.exists == 0 || (view.uid_next_stated && view.uid_next <= from) {
            return Ok(Some(Vec::new()));
        }
        self.uids_from(from).map(Some)
    }

    /// What can be told of a message without looking into it.
    fn outside(&self, sized: bool) -> String {
        let number = if self.policy.labels { "X-GM-MSGID" } else { "" };
        let size = if sized { "RFC822.SIZE" } else { "" };
        format!("{number} {size}").trim().into()
    }
}

/// None for what shows messages of other mailboxes, or holds none.
fn holding(listed: &Listed) -> Option<Holding> {
    if !listed.selectable || listed.is_virtual {
        return None;
    }
    Some(Holding {
        name: listed.wire.clone(),
        nook: match listed.special {
            Some(SpecialUse::Junk) => Nook::Spam,
            Some(SpecialUse::Trash) => Nook::Trash,
            Some(SpecialUse::Sent | SpecialUse::Drafts | SpecialUse::Archive) | None => Nook::Live,
        },
    })
}
