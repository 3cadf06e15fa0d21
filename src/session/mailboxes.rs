//! Which mailboxes an account has (LIST, NAMESPACE). Not for what they hold.

use super::{Phase, Session};
use crate::error::{Error, Result};
use crate::response::Untagged;

/// More than any account has; each costs memory.
const MAILBOXES_MAX: usize = 50_000;

/// A mailbox as LIST shows it (RFC 3501 7.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As it is on the wire.
    pub name: Vec<u8>,
    /// What stands between the levels of the name. None: it has but one.
    pub delimiter: Option<u8>,
    /// It can be opened: it is neither a mere name above others nor one that is no more (RFC 3501 7.2.2,
    /// RFC 9051 7.3.1).
    pub selectable: bool,
}

impl Session {
    /// All mailboxes of the account, in the server's order, and how many more there are of which nothing can
    /// be read.
    ///
    /// # Errors
    /// `Connection` also where there are more than 50,000.
    pub fn mailboxes(&mut self) -> Result<(Vec<Listed>, usize)> {
        let heard = self.run(Phase::Fetch, "LIST \"\" \"*\"", self.times.command, 0);
        heard.end?;
        let (mut all, mut unreadable) = (Vec::new(), 0);
        for response in heard.untagged {
            let (attributes, delimiter, name) = match response {
                Untagged::List {
                    attributes,
                    delimiter,
                    name,
                } => (attributes, delimiter, name),
                Untagged::UnreadableList => {
                    unreadable += 1;
                    continue;
                }
                _ => continue,
            };
            if all.len() == MAILBOXES_MAX {
                return Err(Error::connection(format!(
                    "{} lists more than {MAILBOXES_MAX} mailboxes",
                    self.name()
                )));
            }
            // In any case of letters: imap4d writes \NoSelect (docs/servers.md 3.5).
            let is = |word: &[u8]| attributes.iter().any(|a| a.eq_ignore_ascii_case(word));
            all.push(Listed {
                name,
                delimiter,
                selectable: !(is(b"\\Noselect") || is(b"\\NonExistent")),
            });
        }
        Ok((all, unreadable))
    }

    /// What the names of all our mailboxes but INBOX begin with, such as `INBOX.`; mostly nothing.
    pub fn prefix(&mut self) -> Result<Vec<u8>> {
        if !self.offers("NAMESPACE") {
            return Ok(Vec::new());
        }
        let heard = self.run(Phase::Fetch, "NAMESPACE", self.times.command, 0);
        if let (Err(e), false) = (heard.end, self.usable) {
            return Err(e);
        }
        let mut told = heard.untagged.into_iter().filter_map(|u| match u {
            Untagged::Namespace { prefix } => Some(prefix),
            _ => None,
        });
        Ok(told.next().unwrap_or_default())
    }
}
