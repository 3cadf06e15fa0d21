//! Looks at mailboxes as of this moment, in one flight: EXAMINE and UID FETCH, and STATUS of others. Such a flight may go out
//! behind messages that are on their way. Not for one question about the mailbox that is open already (`uid_fetch`).
//!
//! A server may tell what the second of two UID FETCHes asks for before it ends the first (RFC 3501 5.5; Dovecot 2.3 does). So
//! what is asked of one mailbox is heard together, and whose answer it is shows by what is told of which UID.

use super::exchange::{Begun, Heard, answers_a_fetch};
use super::told::{counts, fetched};
use super::{Phase, Session, View, quoted};
use crate::error::{Error, Fault, Result};
use crate::message::UidValidity;
use crate::response::Fetched;
use crate::wire::Command;

/// What one flight showed.
#[derive(Debug)]
pub struct Look {
    /// The view that the messages are in; an older one where the mailbox was open already.
    pub view: View,
    /// All that was told of a message is in one place.
    pub found: Vec<Fetched>,
    /// UIDVALIDITY and UIDNEXT of the other mailboxes, where the server told them.
    pub moved: Vec<Option<(UidValidity, u32)>>,
}

/// What is asked of some messages of a mailbox.
#[derive(Clone, Debug)]
pub struct Asked {
    /// UIDs, as UID FETCH takes them.
    pub set: String,
    pub items: String,
    /// How many bytes of literals may come.
    pub literals: u64,
}

impl Asked {
    pub fn new(set: impl Into<String>, items: impl Into<String>, literals: u64) -> Asked {
        Asked {
            set: set.into(),
            items: items.into(),
            literals,
        }
    }
}

/// A look that was begun and is still to be heard.
pub struct Looking {
    /// The how many-th opening of a mailbox the last of them is.
    nth: u32,
    mailboxes: Vec<Opening>,
    others: Vec<Begun>,
}

/// What came of it.
#[derive(Debug)]
pub struct Looked {
    /// Of the last of the mailboxes.
    pub view: View,
    /// UIDVALIDITY of each mailbox, and what was told of its messages, all of one in one place.
    pub found: Vec<(UidValidity, Vec<Fetched>)>,
    /// UIDVALIDITY and UIDNEXT of the other mailboxes, where the server told them.
    pub moved: Vec<Option<(UidValidity, u32)>>,
}

/// A mailbox that is opened for a look.
struct Opening {
    mailbox: String,
    examine: Begun,
    fetches: Vec<Begun>,
}

/// What was heard of it.
struct Opened {
    mailbox: String,
    examined: Heard,
    found: Vec<Fetched>,
}

impl Session {
    /// Where the mailboxes `others` stand, and what this one tells of some of its messages, both of this moment,
    /// in one flight: EXAMINE, if another mailbox is open, and UID FETCH, NOOP and STATUS together.
    pub fn look(&mut self, mailbox: &str, asked: &[Asked], others: &[String]) -> Result<Look> {
        if let Some(view) = self.view_of(mailbox) {
            return self.look_at_open(view, asked, others);
        }
        let looking = self.begin_look(&[(mailbox, asked)], others)?;
        let Looked {
            view,
            mut found,
            moved,
        } = self.end_look(looking)?;
        let (_, found) = found.pop().unwrap_or((view.uid_validity, Vec::new()));
        Ok(Look { view, found, moved })
    }

    /// Begins to open each of these mailboxes and to ask this of it, behind all that is under way; and to ask where
    /// `others` stand. The last one stays open.
    ///
    /// # Errors
    /// Nothing of it was sent.
    pub fn begin_look(
        &mut self,
        mailboxes: &[(&str, &[Asked])],
        others: &[String],
    ) -> Result<Looking> {
        self.openings += 1;
        let mut looking = Looking {
            nth: self.openings,
            mailboxes: Vec::with_capacity(mailboxes.len()),
            others: Vec::new(),
        };
        // Also a refused EXAMINE closes what was open (RFC 3501 6.3.1).
        self.leave_mailbox();
        self.told_out_of_turn = false;
        for (mailbox, asked) in mailboxes {
            let limit = self.times.command;
            let examine = Command::new(format!("EXAMINE {}", quoted(mailbox)?), limit, 0);
            looking.mailboxes.push(Opening {
                mailbox: mailbox.to_string(),
                examine: self.begin(Phase::Examine, examine)?,
                fetches: self.begin_to_ask(asked)?,
            });
        }
        looking.others = self.begin_to_count(others)?;
        let last = mailboxes.last().map(|(mailbox, _)| mailbox.to_string());
        self.opening = last.map(|last| (last, looking.nth));
        Ok(looking)
    }

    fn begin_to_ask(&mut self, asked: &[Asked]) -> Result<Vec<Begun>> {
        // What one brings may come before the end of another.
        let literals = asked.iter().map(|asked| asked.literals).sum();
        let mut begun = Vec::with_capacity(asked.len());
        for Asked { set, items, .. } in asked {
            let fetch = format!("UID FETCH {set} {items}");
            let fetch = Command::new(fetch, self.times.command, literals);
            begun.push(self.begin(Phase::Fetch, fetch)?);
        }
        Ok(begun)
    }

    fn begin_to_count(&mut self, others: &[String]) -> Result<Vec<Begun>> {
        let mut begun = Vec::with_capacity(others.len());
        for other in others {
            let status = format!("STATUS {} (UIDNEXT UIDVALIDITY)", quoted(other)?);
            let status = Command::new(status, self.times.command, 0);
            begun.push(self.begin(Phase::Fetch, status)?);
        }
        Ok(begun)
    }

    /// What these FETCHes bring, and whether the server said meanwhile that there are more messages.
    fn hear_fetches(&mut self, fetches: Vec<Begun>) -> Result<(Vec<Fetched>, bool)> {
        let heard: Vec<Heard> = fetches.into_iter().map(|f| self.hear(f)).collect();
        let more_came = heard.iter().any(Heard::exists);
        let mut told = Vec::new();
        for fetch in heard {
            let whole = fetch.whole(Fault::Transient, &self.connection);
            fetch.end.and(whole)?;
            told.extend(fetch.untagged);
        }
        Ok((fetched(told), more_came))
    }

    /// Hears what came of it.
    pub fn end_look(&mut self, looking: Looking) -> Result<Looked> {
        // What was asked is heard to its end, whatever comes of a part of it.
        let opened: Vec<Result<Opened>> = looking
            .mailboxes
            .into_iter()
            .map(|opening| self.hear_opening(opening))
            .collect();
        let others: Vec<Heard> = looking.others.into_iter().map(|o| self.hear(o)).collect();
        let with_others = others.iter().flat_map(|o| &o.untagged).any(answers_a_fetch);
        if self.told_out_of_turn || with_others {
            let name = self.name();
            // Nobody knows what else was taken for another answer.
            return Err(Error::new(
                Fault::Transient,
                format!("{name} mixes the answers to several commands"),
            ));
        }
        let mut found = Vec::with_capacity(opened.len());
        let mut last = None;
        for one in opened {
            let Opened {
                mailbox,
                examined,
                found: here,
            } = one?;
            found.push((self.validity(&mailbox, &examined.untagged)?, here));
            last = Some((mailbox, examined));
        }
        let nothing = || Error::connection("no mailbox was looked at");
        let (mailbox, examined) = last.ok_or_else(nothing)?;
        let is_open = self.opening.take_if(|(_, nth)| *nth == looking.nth);
        let view = self.opened(&mailbox, examined)?;
        if is_open.is_none() {
            // It was closed meanwhile, or another one opened.
            self.selected = None;
        }
        let moved = others.iter().map(|h| counts(&h.untagged)).collect();
        for other in others {
            other.end?;
        }
        Ok(Looked { view, found, moved })
    }

    fn hear_opening(&mut self, opening: Opening) -> Result<Opened> {
        // What it is told after that, while the messages are, is news.
        self.exists = 0;
        let examined = self.hear(opening.examine);
        let fetches = self.hear_fetches(opening.fetches);
        if let Err(e) = &examined.end {
            return Err(e.clone());
        }
        let (found, _) = fetches?;
        Ok(Opened {
            mailbox: opening.mailbox,
            examined,
            found,
        })
    }

    fn look_at_open(&mut self, view: View, asked: &[Asked], others: &[String]) -> Result<Look> {
        let fetches = self.begin_to_ask(asked)?;
        let noop = Command::new("NOOP", self.times.command, 0);
        let noop = self.begin(Phase::Fetch, noop)?;
        let statuses = self.begin_to_count(others)?;
        let fetched_now = self.hear_fetches(fetches);
        let noop = self.hear(noop);
        let statuses: Vec<Heard> = statuses.into_iter().map(|s| self.hear(s)).collect();
        let (mut found, grew) = fetched_now?;
        let more_came = grew || noop.exists();
        noop.end?;
        let mut moved = Vec::with_capacity(statuses.len());
        for status in statuses {
            moved.push(counts(&status.untagged));
            status.end?;
        }
        if more_came {
            // The view was an old one and is new now (Dovecot answers, then says EXISTS).
            let again = self.begin_to_ask(asked)?;
            found = self.hear_fetches(again)?.0;
        }
        Ok(Look { view, found, moved })
    }
}
