//! The account we fill: looking at what it holds, adding messages, looking at what was added.
//!
//! Any IMAP server serves. What only Gmail has is used where it is offered; so far that is its
//! size limit. It knows nothing of rows: what a look means is decided in `engine`.

use std::sync::Arc;

use crate::config::{Config, Intervals};
use crate::error::Result;
use crate::message::{Discovered, Flags, Time, Uid, uid_set};
use crate::reply::Fetched;
use crate::session::{Appended, Login, MESSAGE_MAX, METADATA_MAX, SET_MAX, Session, View};

/// Where messages are delivered.
pub const DELIVERY: &str = "INBOX";
/// What is known of a message of the target.
const ITEMS: &str = "(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)])";

pub struct Account {
    session: Session,
    /// When the token that opened it ends, or soon before.
    renew_at: Option<Time>,
}

impl Account {
    /// `renew_at`: when the token of this login is to be replaced. Gmail ends a session with its
    /// token (gmail.md 6).
    pub fn open(
        config: &Config,
        login: &Login,
        renew_at: Option<Time>,
        times: &Intervals,
    ) -> Result<Account> {
        let session = Session::open(&config.target, login, times)?;
        Ok(Account { session, renew_at })
    }

    /// Is it time for another session?
    pub fn outlived(&self, now: Time) -> bool {
        self.renew_at.is_some_and(|at| now >= at)
    }

    /// The largest message that it takes, in bytes.
    pub fn size_limit(&self) -> u64 {
        self.session
            .append_limit()
            .unwrap_or(u64::MAX)
            .min(MESSAGE_MAX)
    }

    pub fn usable(&self) -> bool {
        self.session.usable()
    }

    /// The mailboxes in which a copy of a message may lie.
    pub fn index_mailboxes(&self) -> &'static [&'static str] {
        &[DELIVERY]
    }

    /// A view of a mailbox: the open one, or a new one of this moment with `fresh`.
    pub fn view(&mut self, mailbox: &str, fresh: bool) -> Result<View> {
        match self.session.view_of(mailbox) {
            Some(view) if !fresh => Ok(view),
            _ => self.session.examine(mailbox),
        }
    }

    /// The UIDs of the open mailbox from this one on, as of when it was opened.
    pub fn uids_from(&mut self, from: u32) -> Result<Vec<Uid>> {
        let (found, end) = self.session.uid_fetch(&format!("{from}:*"), "(UID)", 0);
        end?;
        let mut uids: Vec<Uid> = found
            .iter()
            .filter_map(|f| f.uid)
            .filter(|u| u.0 >= from)
            .collect();
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// Messages of the open mailbox from this UID on, as of this moment.
    pub fn from(&mut self, from: u32) -> Result<Vec<Discovered>> {
        let found = self.session.uid_fetch_fresh(
            &format!("{from}:*"),
            ITEMS,
            METADATA_MAX * SET_MAX as u64,
        )?;
        Ok(discovered(&found, from))
    }

    /// UIDs of the open mailbox whose messages may have an INTERNALDATE between these moments.
    pub fn dated_between(
        &mut self,
        view: &View,
        since: Time,
        before: Option<Time>,
    ) -> Result<Vec<Uid>> {
        self.session.uids_between(view, Some(since), before)
    }

    /// What names these messages; those that are no longer there are left out. `uids` must ascend.
    pub fn metadata(&mut self, uids: &[Uid]) -> Result<Vec<Discovered>> {
        let mut all = Vec::new();
        for set in uids.chunks(SET_MAX) {
            let (found, end) =
                self.session
                    .uid_fetch(&uid_set(set), ITEMS, METADATA_MAX * set.len() as u64);
            end?;
            all.extend(discovered(&found, 1));
        }
        Ok(all)
    }

    /// The sizes of these messages of a mailbox, as of this moment; those that are no longer there
    /// are left out. `uids` must ascend.
    pub fn sizes(&mut self, mailbox: &str, uids: &[Uid]) -> Result<Vec<(Uid, Option<u64>)>> {
        self.view(mailbox, false)?;
        let found = self
            .session
            .uid_fetch_fresh(&uid_set(uids), "(UID RFC822.SIZE)", 0)?;
        Ok(found
            .iter()
            .filter_map(|f| Some((f.uid?, f.size)))
            .collect())
    }

    /// The bytes of one message of the open mailbox; None when it is no longer there.
    pub fn body(&mut self, uid: Uid) -> Result<Option<Vec<u8>>> {
        let (found, end) =
            self.session
                .uid_fetch(&uid.to_string(), "(UID BODY.PEEK[])", MESSAGE_MAX);
        end?;
        Ok(found
            .into_iter()
            .find(|f| f.uid == Some(uid))
            .and_then(|f| f.body))
    }

    /// Adds a message to the delivery mailbox.
    pub fn append(&mut self, flags: Flags, date: Time, body: Arc<Vec<u8>>) -> Appended {
        self.session
            .append(DELIVERY, flags.outside_drafts(), Some(date), body)
    }

    pub fn logout(self) {
        self.session.logout();
    }
}

/// `n:*` also names the last message when its UID is lower (RFC 3501 6.4.8).
fn discovered(found: &[Fetched], from: u32) -> Vec<Discovered> {
    found
        .iter()
        .filter_map(Fetched::discovered)
        .filter(|d| d.uid.0 >= from)
        .collect()
}
