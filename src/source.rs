//! The mailbox we read. EXAMINE and BODY.PEEK only: nothing here can change it. What `after_delivery` asks for is done in
//! sessions of its own (`cleanup`).
//!
//! Not for deciding what is recorded or sent (`engine`); sets of UIDs in, what the server tells
//! of them out.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::{Endpoint, Intervals};
use crate::error::Result;
use crate::folder::Listed;
use crate::mailbox::{Mailbox, NAME, named, uids_within};
use crate::message::{Discovered, Message, MessageId, Time, Uid, date_text, uid_set};
use crate::response::{Fetched, header_value};
pub use crate::session::Meanwhile;
use crate::session::{
    Asked, List, Login, MESSAGE_MAX, METADATA_MAX, SET_MAX, Session, Standing, View,
};

mod cleanup;

pub use cleanup::{Cleaner, Manner, Means};

/// All of a message.
const BODY: &str = "BODY.PEEK[]";

/// A message of the source, and what names it as far as the server told.
pub type Named = (Uid, Option<Discovered>);
/// What Exchange says in place of a message that it cannot convert, or that its virus scanner still has in hand. A
/// number follows.
const NOTICE: &[u8] = b"Retrieval using the IMAP4 protocol failed for the following message";

pub struct Source {
    mailbox: Mailbox,
    /// The mailbox that is open. None: the last one did not open.
    name: Option<String>,
    view: View,
    /// What names the latest messages, as was told with the view.
    latest: Option<Latest>,
    /// A message had fewer bytes than its size said, twice the same ones: the sizes of this server are estimates.
    estimates: bool,
}

/// What was told of the messages with these UIDs.
struct Latest {
    uids: RangeInclusive<u32>,
    found: Vec<Fetched>,
}

impl Source {
    /// Signs in. No mailbox is open then.
    pub fn enter(endpoint: &Endpoint, login: &Login, times: &Intervals) -> Result<Source> {
        let session = Session::open(endpoint, login, times)?;
        Ok(Source {
            mailbox: Mailbox::new(session, "FLAGS INTERNALDATE"),
            name: None,
            view: View::of_nothing(),
            latest: None,
            estimates: false,
        })
    }

    /// The mailboxes that it has, and how many more there are whose names cannot be read.
    pub fn folders(&mut self) -> Result<(Vec<Listed>, usize)> {
        self.mailbox.session.folders()
    }

    /// Where each of these mailboxes stands, as far as it tells, in few flights.
    pub fn standings(&mut self, names: &[String]) -> Result<Vec<Option<Standing>>> {
        self.mailbox.session.standings(names)
    }

    /// Has the server tell of mail in all mailboxes, where it can.
    pub fn notify(&mut self) -> Result<bool> {
        self.mailbox.session.notify()
    }

    pub fn notifies(&self) -> bool {
        self.mailbox.session.notifies()
    }

    /// Is this the mailbox that is open?
    pub fn has_open(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// The open mailbox as it was when it was last opened.
    pub fn view(&self) -> View {
        self.view
    }

    /// Opens a mailbox, also one that is open, for a view of this moment.
    pub fn look_at(&mut self, name: &str) -> Result<View> {
        (self.name, self.latest) = (None, None);
        self.view = self.mailbox.session.examine(name)?;
        self.name = Some(name.into());
        Ok(self.view)
    }

    /// The same, and asks in the same flight what [`metadata_from`](Self::metadata_from) will ask for: what names the messages
    /// with these UIDs.
    pub fn look_at_latest(&mut self, name: &str, uids: RangeInclusive<u32>) -> Result<View> {
        (self.name, self.latest) = (None, None);
        let set = format!("{}:{}", uids.start(), uids.end());
        let most = u64::from(uids.end().saturating_sub(*uids.start()).saturating_add(1));
        let asked = Asked::new(
            set,
            self.mailbox.items(NAME),
            METADATA_MAX * most.min(SET_MAX as u64),
        );
        let session = &mut self.mailbox.session;
        let looking = session.begin_look(&[(name, &[asked])], &[])?;
        let looked = session.end_look(looking)?;
        self.view = looked.view;
        self.name = Some(name.into());
        let found = looked
            .found
            .into_iter()
            .flat_map(|(_, found)| found)
            .collect();
        self.latest = Some(Latest { uids, found });
        Ok(self.view)
    }

    /// Asks for the UID of the view's last message, where UIDNEXT may not keep up with it: some servers
    /// tell of more messages and leave UIDNEXT as it was, or let it go back.
    pub fn look_past_uid_next(&mut self) -> Result<View> {
        let last = match self.view.exists {
            0 => None,
            exists => self.mailbox.session.uid_at(exists)?,
        };
        if let Some(last) = last.filter(|last| last.0 >= self.view.uid_next) {
            self.view.uid_next = last.0.saturating_add(1);
            self.view.uid_next_stated = false;
        }
        Ok(self.view)
    }

    pub fn usable(&self) -> bool {
        self.mailbox.session.usable()
    }

    /// All messages of the view, as far as the server tells of them: UID, and INTERNALDATE where
    /// `dated`. They are listed, not searched for: Yahoo's SEARCH has told 1,000 of 10,000 (2023).
    pub fn list(&mut self, dated: bool) -> Result<List> {
        let view = self.view;
        self.mailbox.session.list(&view, dated)
    }

    /// UIDs of messages that may have come since `start`, by SEARCH. It may leave some out.
    pub fn searched(&mut self, start: Time) -> Result<Vec<Uid>> {
        self.mailbox.session.searched(start)
    }

    /// UIDs from `from` on that the view holds, and whether the list is whole.
    pub fn uids_from(&mut self, from: u32) -> Result<(Vec<Uid>, bool)> {
        let found = self.mailbox.numbers(&self.set_from(from))?;
        let whole = self.reaches_down_to(&found, from)?;
        Ok((uids_within(&found, from..self.view.uid_next), whole))
    }

    /// What names the messages from `from` on that the view holds, and whether the list is whole: in one round trip,
    /// for few messages. Of some only the UID may be told.
    pub fn metadata_from(&mut self, from: u32) -> Result<(Vec<Named>, bool)> {
        let told = self.latest.take_if(|latest| {
            *latest.uids.start() == from
                && *latest.uids.end() >= self.view.uid_next.saturating_sub(1)
        });
        let found = match told {
            Some(latest) => latest.found,
            None => self.ask_from(from)?,
        };
        let whole = self.reaches_down_to(&found, from)?;
        let range = from..self.view.uid_next;
        let uids = found.iter().filter_map(|f| Some((f.uid?, f)));
        let named = uids
            .filter(|(uid, _)| range.contains(&uid.0))
            .map(|(uid, f)| (uid, named(f)))
            .collect();
        Ok((named, whole))
    }

    fn ask_from(&mut self, from: u32) -> Result<Vec<Fetched>> {
        let expected = u64::from(self.view.uid_next.saturating_sub(from)).min(SET_MAX as u64);
        let (set, items) = (self.set_from(from), self.mailbox.items(NAME));
        let (found, end) = self
            .mailbox
            .session
            .uid_fetch(&set, &items, METADATA_MAX * expected);
        end.map(|()| found)
    }

    /// Are these all the messages of the view from `from` on? They are where their sequence numbers go up to the last
    /// of the view without a gap, and the message before them has a UID below `from`.
    fn reaches_down_to(&mut self, found: &[Fetched], from: u32) -> Result<bool> {
        let view = self.view;
        let range = from..view.uid_next;
        let mut numbers: Vec<u32> = found
            .iter()
            .filter(|f| f.uid.is_some_and(|uid| range.contains(&uid.0)))
            .map(|f| f.number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let first = view
            .exists
            .saturating_add(1)
            .saturating_sub(numbers.len() as u32);
        if !numbers.iter().copied().eq(first..=view.exists) {
            return Ok(false);
        }
        let is_at = |number: u32| {
            let told = found.iter().find(|f| f.number == number);
            told.and_then(|f| f.uid)
        };
        let below = first.saturating_sub(1);
        if below == 0 || is_at(first) == Some(Uid(from)) {
            return Ok(true);
        }
        let uid = match is_at(below) {
            Some(uid) => Some(uid),
            None => self.mailbox.session.uid_at(below)?,
        };
        Ok(uid.is_some_and(|uid| uid.0 < from))
    }

    /// The set of all UIDs of the view from `from` on. Not `n:*`: where the last message has gone that names one that is
    /// lower (RFC 3501 6.4.8), and Tencent refuses sets that descend.
    fn set_from(&self, from: u32) -> String {
        format!("{from}:{}", self.view.uid_next.saturating_sub(1).max(from))
    }

    /// Those of these UIDs that the mailbox has.
    pub fn listed(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        self.mailbox.listed(uids)
    }

    /// What names these messages, as far as it came. `uids` must ascend, at most `SET_MAX`.
    pub fn metadata(&mut self, uids: &[Uid]) -> (Vec<Discovered>, Result<()>) {
        self.mailbox.metadata(uids)
    }

    /// Can the server tell of new mail by itself (RFC 2177)?
    pub fn can_idle(&self) -> bool {
        self.mailbox.session.offers("IDLE")
    }

    /// Waits until the server tells of new mail, `limit` at the most, and does this meanwhile. True when it told of some.
    pub fn idle(&mut self, limit: Duration, meanwhile: Option<Meanwhile>) -> Result<bool> {
        self.mailbox.session.idle(limit, meanwhile)
    }

    /// Whole messages, as far as they came; `bytes`: what is expected of them together. With
    /// `plain` the header fields are read from the body, for a message whose metadata the server
    /// cannot tell.
    pub fn messages(
        &mut self,
        uids: &[Uid],
        bytes: u64,
        plain: bool,
    ) -> (Vec<Message>, Result<()>) {
        let what = if plain {
            BODY.into()
        } else {
            format!("{NAME} {BODY}")
        };
        // Sizes may lie (docs/servers.md 3.9): what a server announces too low is still taken.
        let bound = bytes.max(MESSAGE_MAX) + METADATA_MAX * uids.len() as u64;
        let (found, end) = if uids.last().is_some_and(|last| last.0 >= self.view.uid_next) {
            self.fetch_in_a_view_of_now(uids, &what, bound)
        } else {
            self.mailbox.fetch(uids, &what, bound)
        };
        if let Some(last) = found.iter().filter_map(|f| f.uid).max() {
            self.view.uid_next = self.view.uid_next.max(last.0.saturating_add(1));
        }
        let mut messages = Vec::with_capacity(found.len());
        for (told, message) in found
            .into_iter()
            .filter_map(|f| Some((f.size, message(f)?)))
        {
            match self.whole(told, message) {
                Ok(message) => messages.extend(message),
                Err(e) => return (messages, end.and(Err(e))),
            }
        }
        (messages, end)
    }

    /// A message as it came, where that may be all of it. Servers under load hand messages over empty or cut short, and
    /// a minute later whole: one that came with fewer bytes than the server says it has is asked for once more. Where
    /// it comes so again its size is an estimate, unless there is nothing in it. None: not handed over.
    fn whole(&mut self, told: Option<u64>, mut message: Message) -> Result<Option<Message>> {
        let came = message.body.len() as u64;
        let short = told.filter(|told| came < *told);
        if let Some(told) = short.filter(|told| !self.estimates || came <= told / 2) {
            let uid = message.about.uid;
            let (again, end) =
                self.mailbox
                    .session
                    .uid_fetch(&uid.to_string(), "(UID BODY.PEEK[])", MESSAGE_MAX);
            end?;
            let again = again.into_iter().find(|f| f.uid == Some(uid));
            match again.and_then(|f| f.body) {
                Some(body) if body == message.body => self.estimates |= came > 0,
                Some(body) if body.len() as u64 >= told => message.body = body,
                _ => return Ok(None),
            }
        }
        let nothing = message.body.is_empty() && told != Some(0);
        Ok(Some(message).filter(|m| !nothing && !is_notice(&m.body)))
    }

    /// Mail that came since this session looked: another one of ours told us of it. What a server
    /// answered from its old view is asked for once more.
    fn fetch_in_a_view_of_now(
        &mut self,
        uids: &[Uid],
        what: &str,
        bound: u64,
    ) -> (Vec<Fetched>, Result<()>) {
        let items = self.mailbox.items(what);
        let session = &mut self.mailbox.session;
        let (mut found, grew, end) = session.uid_fetch_now(&uid_set(uids), &items, bound);
        let had = |uid: &Uid| {
            found
                .iter()
                .any(|f| f.uid == Some(*uid) && f.body.is_some())
        };
        let missing: Vec<Uid> = uids.iter().copied().filter(|uid| !had(uid)).collect();
        if end.is_err() || !grew || missing.is_empty() {
            return (found, end);
        }
        let (more, end) = self.mailbox.fetch(&missing, what, bound);
        found.retain(|f| f.body.is_some());
        found.extend(more);
        (found, end)
    }

    /// Sender and subject, for a person to recognise a message that failed; None where they
    /// cannot be had.
    pub fn envelope(&mut self, uid: Uid) -> Option<Vec<u8>> {
        let items = "(UID BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])";
        let (found, _) = self
            .mailbox
            .session
            .uid_fetch(&uid.to_string(), items, METADATA_MAX);
        let told = found.iter().find(|f| f.uid == Some(uid))?;
        told.naming().map(<[u8]>::to_vec)
    }

    pub fn logout(self) {
        self.mailbox.session.logout();
    }
}

/// Is this Exchange's notice that it could not hand the message over? Its subject is folded where it pleases.
fn is_notice(body: &[u8]) -> bool {
    let from_exchange = header_value(body, "from")
        .is_some_and(|from| from.trim_ascii().starts_with(b"Microsoft Exchange Server"));
    from_exchange
        && header_value(body, "subject").is_some_and(|subject| {
            let unfolded: Vec<u8> = subject
                .into_iter()
                .filter(|b| !b"\r\n".contains(b))
                .collect();
            unfolded.trim_ascii().starts_with(NOTICE)
        })
}

fn message(mut found: Fetched) -> Option<Message> {
    let body = found.body.take()?;
    let mut about = found.discovered()?;
    // What the body itself says counts where a server's own answer leaves it out.
    if about.message_id.is_none() {
        about.message_id = header_value(&body, "message-id").and_then(|v| MessageId::parse(&v));
    }
    if about.date.is_none() {
        about.date = header_value(&body, "date").and_then(|v| date_text(&v));
    }
    about.size = Some(about.size.unwrap_or(body.len() as u64));
    Some(Message::new(about, body))
}
