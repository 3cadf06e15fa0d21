//! The roads by which messages get into the target. Not for what is seen of them afterwards: that is looked at over
//! IMAP, whatever the road.

use std::sync::Arc;

use super::Account;
use crate::error::{Error, Fault};
use crate::folder::{SpecialUse, Spot};
use crate::message::{Flags, Time};
use crate::session::{Appended, Sent};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// IMAP APPEND: bytes, date and flags stay what they are, and an app password will do.
    Append,
}

impl Account {
    /// Sends a message into the delivery mailbox.
    pub fn send(&mut self, road: Road, flags: Flags, date: Time, body: Arc<Vec<u8>>) -> Appended {
        match road {
            Road::Append => self.append(flags, date, body),
        }
    }

    /// That the delivery mailbox is missing is believed only after a look: servers say so, in their words, of
    /// single messages. It is made again then, where it is one of ours to make.
    fn append(&mut self, flags: Flags, date: Time, body: Arc<Vec<u8>>) -> Appended {
        let end = self.append_once(flags, date, Arc::clone(&body));
        let Appended::Refused(error, sent) = end else {
            return end;
        };
        if !error.perhaps_missing {
            return Appended::Refused(error, sent);
        }
        match self.mailbox.session.has(&self.delivery) {
            Ok(true) => Appended::Refused(error, sent),
            Ok(false) => match &self.spot {
                Spot::Label(name) => {
                    let name = name.clone();
                    match self.make(&name) {
                        Ok(made) => {
                            self.delivery = made;
                            self.append_once(flags, date, body)
                        }
                        Err(e) => Appended::Refused(e, sent),
                    }
                }
                Spot::Inbox | Spot::Use(_) => Appended::Refused(delivery_missing(&error), sent),
            },
            // Whether it was stored is looked for.
            Err(e) if sent == Sent::Whole => Appended::Lost(e, sent),
            // Why it was refused is not known, and no message is charged for that.
            Err(e) => Appended::Refused(e, sent),
        }
    }

    fn append_once(&mut self, flags: Flags, date: Time, body: Arc<Vec<u8>>) -> Appended {
        let flags = if self.spot == Spot::Use(SpecialUse::Drafts) {
            flags
        } else {
            flags.outside_drafts()
        };
        let session = &mut self.mailbox.session;
        session.append(&self.delivery, flags, Some(date), body)
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
