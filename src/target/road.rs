//! The roads by which messages get into the target. Not for what is seen of them afterwards: that is looked at over
//! IMAP, whatever the road.

use std::sync::Arc;

use super::Account;
use crate::error::{Error, Fault};
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
    /// single messages.
    fn append(&mut self, flags: Flags, date: Time, body: Arc<Vec<u8>>) -> Appended {
        let end =
            self.mailbox
                .session
                .append(&self.delivery, flags.outside_drafts(), Some(date), body);
        match end {
            Appended::Refused(error, sent) if error.perhaps_missing => {
                match self.mailbox.session.has(&self.delivery) {
                    Ok(true) => Appended::Refused(error, sent),
                    Ok(false) => Appended::Refused(delivery_missing(&error), sent),
                    // Whether it was stored is looked for.
                    Err(e) if sent == Sent::Whole => Appended::Lost(e, sent),
                    // Why it was refused is not known, and no message is charged for that.
                    Err(e) => Appended::Refused(e, sent),
                }
            }
            end => end,
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
