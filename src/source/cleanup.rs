//! A session with the source that may change it: the one exception to what `source` promises, for `after_delivery` alone.
//!
//! UIDs in, what the server says of them out. What may be removed, and what became of it, is decided in `engine`.

use log::info;

use crate::config::{Disposal, Endpoint, Intervals};
use crate::error::{Error, Fault, Result, Scope, shown};
use crate::folder::{INBOX, Spot};
use crate::mailbox::Mailbox;
use crate::message::{Discovered, Uid, uid_set};
use crate::session::{Login, METADATA_MAX, Mailboxes, SET_MAX, Session, View};

/// What a server can do about single messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// MOVE (RFC 6851).
    pub moves: bool,
    /// UID EXPUNGE (UIDPLUS, RFC 4315).
    pub expunges: bool,
}

/// How a wish is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Delete,
    Move,
    /// Into the other mailbox besides; deleted afterwards.
    Copy,
}

impl Means {
    pub fn of(session: &Session) -> Means {
        Means {
            moves: session.offers("MOVE"),
            expunges: session.offers("UIDPLUS"),
        }
    }

    /// How this is done by a server that can do so much. None: nothing is to be done.
    ///
    /// # Errors
    /// `NeedsUser`: it cannot be done without taking what other programs have marked.
    pub fn manner(self, wish: &Disposal) -> Result<Option<Manner>> {
        match wish {
            Disposal::Keep => Ok(None),
            Disposal::MoveTo(_) if self.moves => Ok(Some(Manner::Move)),
            Disposal::MoveTo(_) if self.expunges => Ok(Some(Manner::Copy)),
            Disposal::Delete if self.expunges => Ok(Some(Manner::Delete)),
            _ => Err(Error::new(
                Fault::NeedsUser,
                "the source cannot remove single messages (it offers no UIDPLUS, RFC 4315), so nothing is removed there",
            )
            .hint("its plain EXPUNGE would take what other programs have marked as well; set `after_delivery` to \"keep\", or ask its operator for UIDPLUS")),
        }
    }
}

pub struct Cleaner {
    mailbox: Mailbox,
    /// As they were listed last.
    mailboxes: Option<Mailboxes>,
}

impl Cleaner {
    /// Signs in. No mailbox is open then.
    pub fn enter(endpoint: &Endpoint, login: &Login, times: &Intervals) -> Result<Cleaner> {
        let session = Session::open(endpoint, login, times)?;
        Ok(Cleaner {
            mailbox: Mailbox::new(session, "FLAGS INTERNALDATE"),
            mailboxes: None,
        })
    }

    pub fn means(&self) -> Means {
        Means::of(&self.mailbox.session)
    }

    pub fn usable(&self) -> bool {
        self.mailbox.session.usable()
    }

    /// Opens a mailbox so that its messages can be removed, in a view of this moment.
    pub fn open(&mut self, name: &str) -> Result<View> {
        self.mailbox.session.select(name)
    }

    /// Opens a mailbox for a look alone, in a view of this moment.
    pub fn look_at(&mut self, name: &str) -> Result<View> {
        self.mailbox.session.examine(name)
    }

    /// Those of these UIDs that the open mailbox has. `uids` must ascend, at most `SET_MAX`.
    pub fn listed(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        self.mailbox.listed(uids)
    }

    /// All messages of the mailbox that was opened last, ascending, and whether these are as many as the server says there are.
    pub fn all(&mut self, view: &View) -> Result<(Vec<Uid>, bool)> {
        let list = self.mailbox.session.list(view, false)?;
        let uids = list.uids.into_iter().map(|(uid, _)| uid);
        Ok((uids.collect(), list.whole))
    }

    /// What names these messages of the open mailbox. `uids` must ascend, at most `SET_MAX`.
    pub fn described(&mut self, uids: &[Uid]) -> Result<Vec<Discovered>> {
        let (found, end) = self.mailbox.metadata(uids);
        end.map(|()| found)
    }

    /// What names the messages from this UID on of the mailbox that was opened last.
    pub fn described_from(&mut self, view: &View, from: u32) -> Result<Vec<Discovered>> {
        if view.exists == 0 || from >= view.uid_next {
            return Ok(Vec::new());
        }
        let all = format!("{from}:{}", view.uid_next - 1);
        let listed = self.mailbox.numbers(&all)?;
        let mut uids: Vec<Uid> = listed.iter().filter_map(|f| f.uid).collect();
        uids.retain(|uid| uid.0 >= from);
        uids.sort_unstable();
        uids.dedup();
        let mut all = Vec::with_capacity(uids.len());
        for set in uids.chunks(SET_MAX) {
            all.extend(self.described(set)?);
        }
        Ok(all)
    }

    /// The bytes of a message of the open mailbox, where they come. `bytes`: as many are expected.
    pub fn body(&mut self, uid: Uid, bytes: u64) -> Result<Option<Vec<u8>>> {
        let bound = bytes.saturating_add(METADATA_MAX);
        let session = &mut self.mailbox.session;
        let (found, end) = session.uid_fetch(&uid.to_string(), "(UID BODY.PEEK[])", bound);
        end?;
        let found = found.into_iter().find(|f| f.uid == Some(uid));
        Ok(found.and_then(|f| f.body))
    }

    /// Moves messages of the open mailbox into another one.
    pub fn move_to(&mut self, uids: &[Uid], mailbox: &str) -> Result<()> {
        self.mailbox.session.move_to(&uid_set(uids), mailbox)
    }

    /// Puts messages of the open mailbox into another one besides.
    pub fn copy(&mut self, uids: &[Uid], mailbox: &str) -> Result<()> {
        self.mailbox.session.copy(&uid_set(uids), mailbox)
    }

    /// Takes messages of the open mailbox away for good, and no others.
    pub fn delete(&mut self, uids: &[Uid]) -> Result<()> {
        let (set, session) = (uid_set(uids), &mut self.mailbox.session);
        session.mark_deleted(&set, true)?;
        session.expunge(&set)
    }

    /// These stay: takes away the mark by which somebody else's EXPUNGE would take them.
    pub fn spare(&mut self, uids: &[Uid]) -> Result<()> {
        self.mailbox.session.mark_deleted(&uid_set(uids), false)
    }

    /// The mailbox for this, on the wire, where there is one.
    pub fn find(&mut self, spot: &Spot) -> Result<Option<String>> {
        let mailboxes = self.mailboxes()?;
        Ok(match spot {
            Spot::Inbox => Some(INBOX.into()),
            Spot::Use(special) => {
                let mut listed = mailboxes.listed.iter();
                let own = listed.find(|l| l.special == Some(*special));
                own.map(|l| l.wire.clone())
            }
            Spot::Label(name) => mailboxes.called(name, false),
        })
    }

    /// The same; it is made where it is missing, with those above it.
    ///
    /// # Errors
    /// `NeedsUser`: the source does not make it.
    pub fn find_or_make(&mut self, spot: &Spot) -> Result<String> {
        if let Some(found) = self.find(spot)? {
            return Ok(found);
        }
        let name = match spot {
            Spot::Use(special) => &special.name()[1..],
            other => other.text(),
        };
        let mailboxes = self.mailboxes()?;
        let ends = name.match_indices('/').map(|(at, _)| at);
        let missing: Vec<(String, String)> = ends
            .map(|end| &name[..end])
            .filter(|above| mailboxes.called(above, false).is_none())
            .chain([name])
            .map(|level| (level.to_string(), mailboxes.wire(level)))
            .collect();
        let mut made = String::new();
        for (level, wire) in missing {
            match self.make(&level, &wire) {
                Err(e) if e.scope() >= Scope::Session || !self.usable() => return Err(e),
                Err(e) if level == name => return Err(not_made(name, &e)),
                _ => made = wire,
            }
        }
        self.mailboxes = None;
        Ok(made)
    }

    fn make(&mut self, name: &str, wire: &str) -> Result<()> {
        let session = &mut self.mailbox.session;
        match session.create(wire) {
            Ok(()) => {
                info!("made {} at the source", shown(name.as_bytes()));
                session.subscribe(wire)
            }
            // Another program was faster.
            Err(e) if e.scope() == Scope::Message && session.has(wire)? => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn mailboxes(&mut self) -> Result<&Mailboxes> {
        if self.mailboxes.is_none() {
            self.mailboxes = Some(self.mailbox.session.mailboxes()?);
        }
        Ok(self.mailboxes.get_or_insert_default())
    }

    pub fn logout(self) {
        self.mailbox.session.logout();
    }
}

fn not_made(name: &str, e: &Error) -> Error {
    Error::new(
        Fault::NeedsUser,
        format!(
            "the source does not make the mailbox {} that delivered mail is to be moved to: {e}",
            shown(name.as_bytes())
        ),
    )
    .hint("make it there with a mail program, or name another one in `move_to` of `after_delivery`")
}
