//! Adding a message to a mailbox (RFC 3501 6.3.11), and how that ends.

use std::sync::Arc;

use super::exchange::Begun;
use super::{Phase, Session, quoted};
use crate::error::{Error, Fault, Result};
use crate::message::{Flags, Time, Uid, UidValidity};
use crate::wire::{Command, Sent};

/// A literal that goes out without waiting to be asked for (LITERAL-, RFC 7888 5).
const LITERAL_MINUS_MAX: usize = 4096;

/// How an APPEND ended.
#[derive(Debug)]
pub enum Appended {
    /// OK, with APPENDUID where the server knows UIDPLUS.
    Done(Option<(UidValidity, Uid)>),
    /// A tagged NO or BAD. `Sent` tells whether the server had the literal.
    Refused(Error, Sent),
    /// No answer came. Nobody knows what the server did, unless `Sent` says that it cannot have
    /// the whole message.
    Lost(Error, Sent),
}

/// An APPEND that was begun, and the closing of the open mailbox ahead of it, if that is not heard yet.
pub struct Appending {
    close: Option<Begun>,
    append: Begun,
}

impl Session {
    /// Adds one message to a mailbox, while no other is on its way.
    pub fn append(
        &mut self,
        mailbox: &str,
        flags: Flags,
        date: Option<Time>,
        body: Arc<Vec<u8>>,
    ) -> Appended {
        self.handed_over = 0;
        match self.begin_append(mailbox, flags, date, body) {
            Ok(appending) => self.hear_append(appending),
            Err(e) => Appended::Lost(e, Sent::Nothing),
        }
    }

    /// Begins to add a message to a mailbox. Several may be under way, each of which is heard
    /// ([`hear_append`](Self::hear_append)): small ones go out together (LITERAL-, RFC 7888), and of others the command of the
    /// next goes out with the message before it.
    ///
    /// # Errors
    /// Nothing of it was sent.
    pub fn begin_append(
        &mut self,
        mailbox: &str,
        flags: Flags,
        date: Option<Time>,
        body: Arc<Vec<u8>>,
    ) -> Result<Appending> {
        self.in_step()?;
        let size = body.len();
        let at_once =
            size <= LITERAL_MINUS_MAX && self.offers("LITERAL-") || self.offers("LITERAL+");
        let date = date.map_or_else(String::new, |t| {
            format!("\"{}\" ", t.format("%d-%b-%Y %H:%M:%S +0000"))
        });
        let name = quoted(mailbox)?;
        let line = format!("APPEND {name} ({flags}) {date}");
        let command = Command::new(line, self.times.append, 0).literal(body, at_once);
        let opens = |(opening, _): &(String, u32)| opening == mailbox;
        if self.view_of(mailbox).is_some() || self.opening.as_ref().is_some_and(opens) {
            return self.begin_behind_close(command);
        }
        if self.connection.is_idle() {
            self.tell_who_we_are()?;
        }
        Ok(Appending {
            close: None,
            append: self.begin(Phase::Append, command)?,
        })
    }

    /// Hears how one of the APPENDs under way ended. Also where the session was lost meanwhile: what the server may
    /// have of it is known all the same.
    pub fn hear_append(&mut self, appending: Appending) -> Appended {
        if let Some(close) = appending.close {
            // Where it is refused the mailbox stays open, and most servers add to it all the same.
            let _ = self.hear(close);
        }
        let heard = if self.usable {
            self.hear(appending.append)
        } else {
            self.hear_no_more(appending.append)
        };
        let (sent, answered) = (heard.sent, heard.answered);
        self.handed_over = heard.handed_over;
        match heard.end {
            Ok(status) if sent == Sent::Whole => {
                Appended::Done(status.append_uid().map(|(v, u)| (UidValidity(v), Uid(u))))
            }
            // Whatever was answered OK, it was not our message.
            Ok(_) => {
                self.usable = false;
                let name = self.name();
                Appended::Lost(
                    Error::connection(format!("{name} said OK before it had the message")),
                    sent,
                )
            }
            Err(e) if answered => Appended::Refused(e, sent),
            Err(e) => Appended::Lost(e, sent),
        }
    }

    /// Bytes of the last message that was added, or was to be, that may have left us.
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Is there a mailbox of this name, as of this moment?
    pub fn has(&mut self, mailbox: &str) -> Result<bool> {
        let command = format!("STATUS {} (UIDNEXT)", quoted(mailbox)?);
        let heard = self.run(Phase::Examine, &command, self.times.command, 0);
        match heard.end {
            Ok(_) => Ok(true),
            Err(e) if e.fault == Fault::NeedsUser => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Closes the open view, and begins this APPEND behind that. Courier adds nothing to a mailbox that the
    /// session has open by EXAMINE. Nothing is expunged: CLOSE does not where a mailbox was opened by
    /// EXAMINE (RFC 3501 6.4.2), UNSELECT never does (RFC 3691).
    fn begin_behind_close(&mut self, append: Command) -> Result<Appending> {
        let close = if self.offers("UNSELECT") {
            "UNSELECT"
        } else {
            "CLOSE"
        };
        self.leave_mailbox();
        let close = Command::new(close, self.times.command, 0);
        let close = self.begin(Phase::Change, close)?;
        // Where the server asks for the literal while it is still closing, that is minded (`wire`).
        Ok(Appending {
            close: Some(close),
            append: self.begin(Phase::Append, append)?,
        })
    }
}
