//! The account we fill: looking at what it holds, sending messages to it, looking at what arrived.
//!
//! Any IMAP server serves. What only Gmail has is used where X-GM-EXT-1 is offered: one number per
//! message under all labels, All Mail, and the knowledge that it merges messages; for others that is
//! data, a [`Policy`]. It knows nothing of rows: what a look means is decided in `engine`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::config::{Config, Intervals};
use crate::error::{Error, Fault, Result};
use crate::folder::{INBOX, Spot};
use crate::mailbox::{Mailbox, uids_within};
use crate::message::{Discovered, Time, Uid, uid_set};
use crate::response::Fetched;
use crate::session::{Login, MESSAGE_MAX, Mailboxes, Session, View};

pub mod api;
mod glance;
mod holdings;
mod labels;
mod mailboxes;
mod policy;
mod road;

pub use glance::{Copy, Glance, Glancing, News, Question, Told, Wanted};
pub use holdings::{Held, Holding, Nook};
pub use labels::Labelled;
pub use policy::{Policy, Takes};
pub use road::Road;

/// What can be told of a message without looking into it.
const OUTSIDE: &str = "INTERNALDATE RFC822.SIZE";
/// How often a mailbox is opened anew where it tells of fewer messages than it says it has.
const LISTS_MAX: u32 = 3;
/// The special uses (RFC 6154) of the mailboxes in which Gmail may hold a copy.
pub const COPIES: [&str; 3] = ["\\All", "\\Junk", "\\Trash"];

/// How to open an account.
pub struct Entry<'a> {
    pub config: &'a Config,
    pub login: &'a Login,
    /// When the token of this login is to be replaced: Gmail ends a session with its token
    /// (docs/gmail.md 6).
    pub renew_at: Option<Time>,
    /// Mailboxes that are not looked into for copies now: they did not open.
    pub without: &'a [String],
    /// Asked when the server has greeted us, before it hears who we are. An error ends it there.
    pub ready: &'a dyn Fn() -> Result<()>,
    pub times: &'a Intervals,
}

/// How a mailbox did not open (docs/gmail.md 6: it may hang for half an hour).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// A tagged NO.
    Refused,
    /// Not open in time.
    Stuck,
}

pub struct Account {
    mailbox: Mailbox,
    renew_at: Option<Time>,
    /// Where messages go, and the mailbox that this is.
    spot: Spot,
    delivery: String,
    /// Gmail's, where it is to be had.
    all_mail: Option<String>,
    /// Gmail's mailboxes besides in which a copy of a message may lie.
    besides: Vec<String>,
    /// The one of them that spam is put into.
    junk: Option<String>,
    /// As they were listed last.
    mailboxes: Option<Mailboxes>,
    policy: Policy,
    open_limit: Duration,
    shut: Option<(String, Shut)>,
    /// The mailboxes that this session has opened before.
    looked_at: Vec<String>,
    waited: bool,
    /// Messages that were sent and not heard of.
    on_their_way: usize,
}

impl Account {
    pub fn open(entry: &Entry<'_>) -> Result<Account> {
        let (server, ready) = (&entry.config.target, entry.ready);
        let mut session = Session::open_when(server, entry.login, entry.times, ready)?;
        let policy = Policy::of(&session, entry.times);
        let (mut all_mail, mut besides, mut junk) = (None, Vec::new(), None);
        if policy.labels {
            let found = session.special_use(&COPIES)?.into_iter();
            let mut found = found.map(|name| name.filter(|name| !entry.without.contains(name)));
            all_mail = found.next().flatten();
            junk = found.next().flatten();
            besides.extend(junk.clone().into_iter().chain(found.flatten()));
        }
        // Whatever is asked of a message, its number is asked for as well.
        let always = if policy.labels { "X-GM-MSGID" } else { "" };
        Ok(Account {
            mailbox: Mailbox::new(session, always),
            renew_at: entry.renew_at,
            spot: Spot::Inbox,
            delivery: INBOX.into(),
            all_mail,
            besides,
            junk,
            mailboxes: None,
            policy,
            open_limit: entry.times.all_mail,
            shut: None,
            looked_at: Vec::new(),
            waited: false,
            on_their_way: 0,
        })
    }

    /// The mailbox in which messages are delivered.
    pub fn delivery(&self) -> &str {
        &self.delivery
    }

    /// Is it time for another session?
    pub fn outlived(&self, now: Time) -> bool {
        self.renew_at.is_some_and(|at| now >= at)
    }

    /// It waits for the next mail from now on. Servers end sessions that wait as they like.
    pub fn wait(&mut self) {
        self.waited = true;
    }

    /// Has nothing been asked of it since it waited?
    pub fn has_waited(&self) -> bool {
        self.waited
    }

    /// The mailbox that Gmail puts spam into, where it is to be had.
    pub fn junk(&self) -> Option<&str> {
        self.junk.as_deref()
    }

    /// What kind of account it is.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Is it a Gmail whose All Mail cannot be looked into?
    pub fn lacks_all_mail(&self) -> bool {
        self.policy.labels && self.all_mail.is_none()
    }

    /// The mailbox of copies that did not open in this session.
    pub fn shut(&self) -> Option<(&str, Shut)> {
        self.shut.as_ref().map(|(name, shut)| (&**name, *shut))
    }

    pub fn usable(&self) -> bool {
        self.mailbox.session.usable()
    }

    /// The mailboxes in which a copy of a message may lie, the one with the arrivals first.
    pub fn index_mailboxes(&self) -> Vec<String> {
        // Without All Mail, hidden or out of order, the delivery mailbox must do.
        let first = self.all_mail.as_ref().unwrap_or(&self.delivery);
        [first].into_iter().chain(&self.besides).cloned().collect()
    }

    /// A view of a mailbox: the open one, or a new one of this moment with `fresh`.
    pub fn view(&mut self, mailbox: &str, fresh: bool) -> Result<View> {
        if let Some(view) = self.mailbox.session.view_of(mailbox).filter(|_| !fresh) {
            return Ok(view);
        }
        let begun = Instant::now();
        let opened = self
            .mailbox
            .session
            .examine_within(mailbox, self.open_limit);
        if opened.is_err() && self.policy.labels && mailbox != self.delivery {
            let shut = if self.usable() {
                Some(Shut::Refused)
            } else if begun.elapsed() >= self.open_limit {
                Some(Shut::Stuck)
            } else {
                // The connection was merely lost.
                None
            };
            self.shut = shut.map(|shut| (mailbox.to_string(), shut));
        }
        let view = opened?;
        if !self.has_looked_at(mailbox) {
            self.looked_at.push(mailbox.to_string());
        }
        Ok(view)
    }

    /// Opens a mailbox in which nothing is looked for. It has no more time than any command.
    pub fn opens(&mut self, mailbox: &str) -> Result<()> {
        match self.mailbox.session.view_of(mailbox) {
            Some(_) => Ok(()),
            None => self.mailbox.session.examine(mailbox).map(|_| ()),
        }
    }

    /// Has this session opened this mailbox before?
    pub fn has_looked_at(&self, mailbox: &str) -> bool {
        self.looked_at.iter().any(|name| name == mailbox)
    }

    /// Opening it does not count as having looked.
    pub fn forget_look(&mut self, mailbox: &str) {
        self.looked_at.retain(|name| name != mailbox);
    }

    /// Is this mailbox open, in a view that may be an old one?
    pub fn has_open(&self, mailbox: &str) -> bool {
        self.mailbox.session.view_of(mailbox).is_some()
    }

    /// The UIDs of the open mailbox from this one on, as of when it was opened.
    pub fn uids_from(&mut self, from: u32) -> Result<Vec<Uid>> {
        let found = self.mailbox.numbers(&format!("{from}:*"))?;
        Ok(uids_within(&found, from..))
    }

    /// UIDs of a mailbox, as of this moment, whose messages may have an INTERNALDATE between these
    /// moments. From a list of all: nobody would notice what a SEARCH leaves out.
    pub fn dated_between(
        &mut self,
        mailbox: &str,
        since: Time,
        before: Option<Time>,
    ) -> Result<Vec<Uid>> {
        let wanted = |t: Time| t >= since && before.is_none_or(|before| t <= before);
        let (_, all) = self.counted(mailbox, "INTERNALDATE", |f| f.internal_date)?;
        let all = all.into_iter();
        let wanted = all.filter(|(_, date)| date.is_none_or(wanted));
        Ok(wanted.map(|(uid, _)| uid).collect())
    }

    /// All UIDs of a mailbox, as of this moment.
    pub fn uids(&mut self, mailbox: &str) -> Result<Vec<Uid>> {
        let (_, all) = self.counted(mailbox, "", |_| ())?;
        Ok(all.into_iter().map(|(uid, ())| uid).collect())
    }

    /// A list of a mailbox in which nothing is missing. It has as many messages as the mailbox says it holds. Or, since
    /// its owner may be deleting mail meanwhile: as many as the mailbox still holds afterwards, all of which the list
    /// before this one had as well. And the view in which it was told.
    fn counted<T>(
        &mut self,
        mailbox: &str,
        items: &str,
        pick: impl Fn(&Fetched) -> T,
    ) -> Result<(View, Vec<(Uid, T)>)> {
        let mut told = (0, 0);
        let mut before: Option<(View, HashSet<Uid>)> = None;
        for _ in 0..LISTS_MAX {
            let view = self.view(mailbox, true)?;
            let list = self.mailbox.session.list_with(&view, items, &pick)?;
            if list.whole {
                return Ok((view, list.uids));
            }
            let later = self.view(mailbox, true)?;
            let came = later.uid_next.saturating_sub(view.uid_next);
            let same = later.uid_validity == view.uid_validity && later.uid_next >= view.uid_next;
            told = (list.uids.len(), view.exists);
            if !same || (list.uids.len() as u64) < u64::from(later.exists.saturating_sub(came)) {
                before = None;
                continue;
            }
            let lacked = |(then, known): &(View, HashSet<Uid>)| {
                let old = |uid: &Uid| uid.0 < then.uid_next;
                let mut uids = list.uids.iter().map(|(uid, _)| uid);
                then.uid_validity != view.uid_validity
                    || uids.any(|uid| old(uid) && !known.contains(uid))
            };
            if before.as_ref().is_some_and(|before| !lacked(before)) {
                return Ok((view, list.uids));
            }
            before = Some((view, list.uids.into_iter().map(|(uid, _)| uid).collect()));
        }
        Err(Error::connection(format!(
            "the target tells of {} of {} messages in {mailbox}",
            told.0, told.1
        )))
    }

    /// Those of these UIDs that the open mailbox has.
    pub fn listed(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        self.mailbox.listed(uids)
    }

    /// What names these messages of the open mailbox, as far as it came. `uids` must ascend, at most `SET_MAX`.
    pub fn metadata(&mut self, uids: &[Uid]) -> (Vec<Discovered>, Result<()>) {
        self.mailbox.metadata(uids)
    }

    /// What the open mailbox tells of messages without looking into them, as far as it came. `uids`
    /// must ascend, at most `SET_MAX`.
    pub fn attributes(&mut self, uids: &[Uid]) -> (Vec<Discovered>, Result<()>) {
        let (found, end) = self.mailbox.fetch(uids, OUTSIDE, 0);
        let told = found.iter().filter_map(Fetched::discovered);
        (told.collect(), end)
    }

    /// The bytes of these messages of the open mailbox, as far as they came.
    pub fn bodies(&mut self, uids: &[Uid]) -> (Vec<(Uid, Vec<u8>)>, Result<()>) {
        let session = &mut self.mailbox.session;
        let (found, end) = session.uid_fetch(&uid_set(uids), "(UID BODY.PEEK[])", MESSAGE_MAX);
        let bodies = found.into_iter().filter_map(|f| Some((f.uid?, f.body?)));
        (bodies.collect(), end)
    }

    pub fn logout(self) {
        self.mailbox.session.logout();
    }
}

/// What a person should know of a Gmail that shows no All Mail.
pub fn all_mail_hidden() -> Error {
    Error::new(
        Fault::NeedsUser,
        "Gmail's All Mail is hidden from IMAP, so copies that are archived there are not recognised",
    )
    .hint("in Gmail's settings, under Labels, tick \"Show in IMAP\" for All Mail")
}
