//! The roads by which messages get into the target. Not for what is seen of them afterwards: that is looked at over
//! IMAP, whatever the road.

use std::sync::Arc;

use super::Account;
use crate::error::{Error, Fault, Result};
use crate::folder::{SpecialUse, Spot};
use crate::message::{Flags, Time};
use crate::session::{Appended, Appending, Sent};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// IMAP APPEND: bytes, date and flags stay what they are, and an app password will do.
    Append,
    /// Gmail's API ([`Api`](super::api::Api)): Gmail scans and sorts it as mail that came, puts lines of its own in front and
    /// dates it by its Date header.
    Import,
}

impl Account {
    /// Begins to send a message by APPEND to where messages go now. Several may be on their way, each of which is heard of
    /// ([`hear`](Self::hear)). What else is asked of the account meanwhile is answered behind them.
    ///
    /// # Errors
    /// Nothing of it was sent.
    pub fn send(&mut self, flags: Flags, date: Time, body: Arc<Vec<u8>>) -> Result<Appending> {
        let flags = self.flags_there(flags);
        let session = &mut self.mailbox.session;
        let sent = session.begin_append(&self.delivery, flags, Some(date), body)?;
        self.on_their_way += 1;
        Ok(sent)
    }

    /// Is a message on its way?
    pub fn any_on_their_way(&self) -> bool {
        self.on_their_way > 0
    }

    /// Sends one message, while no other is on its way, and hears of it.
    pub fn send_alone(&mut self, flags: Flags, date: Time, body: Arc<Vec<u8>>) -> Appended {
        let flags = self.flags_there(flags);
        let session = &mut self.mailbox.session;
        session.append(&self.delivery, flags, Some(date), body)
    }

    fn flags_there(&self, flags: Flags) -> Flags {
        if self.spot == Spot::Use(SpecialUse::Drafts) {
            flags
        } else {
            flags.outside_drafts()
        }
    }

    /// Hears what became of a message that is on its way.
    pub fn hear(&mut self, sent: Appending) -> Appended {
        self.on_their_way = self.on_their_way.saturating_sub(1);
        self.mailbox.session.hear_append(sent)
    }

    /// Why a message was refused, where the server's words sound as if the delivery mailbox were missing. That is believed
    /// only after a look: servers say so of single messages. Where it is one of ours to make it is made again: None, and the
    /// message may be sent once more. No message may be on its way.
    pub fn why_refused(&mut self, error: Error, sent: Sent) -> Option<Appended> {
        match self.mailbox.session.has(&self.delivery) {
            Ok(true) => Some(Appended::Refused(error, sent)),
            Ok(false) => match &self.spot {
                Spot::Label(name) => match self.make(&name.clone()) {
                    Ok(made) => {
                        self.delivery = made;
                        None
                    }
                    Err(e) => Some(Appended::Refused(e, sent)),
                },
                Spot::Inbox | Spot::Use(_) => {
                    Some(Appended::Refused(delivery_missing(&error), sent))
                }
            },
            // Whether it was stored is looked for.
            Err(e) if sent == Sent::Whole => Some(Appended::Lost(e, sent)),
            // Why it was refused is not known, and no message is charged for that.
            Err(e) => Some(Appended::Refused(e, sent)),
        }
    }

    /// Bytes of the last message that was sent, or was to be, that may have left us.
    pub fn handed_over(&self) -> u64 {
        self.mailbox.session.handed_over()
    }

    /// Did the server add to an OK that it is short of breath (docs/gmail.md 2.3)?
    pub fn throttled(&self) -> bool {
        self.mailbox.session.throttled()
    }
}

fn delivery_missing(refusal: &Error) -> Error {
    Error::new(
        Fault::NeedsUser,
        format!("the delivery mailbox is missing: {refusal}"),
    )
    .hint("create it in the target account; delivery goes on by itself")
}
