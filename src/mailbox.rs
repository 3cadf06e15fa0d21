//! The mailbox that is open in a session, asked about its messages by their UIDs: the same for the one we read and
//! for those of the account we fill. Not for which mailbox is opened, nor for what follows from the answers.

use std::ops::RangeBounds;

use crate::error::Result;
use crate::message::{Discovered, Uid, uid_set};
use crate::response::Fetched;
use crate::session::{METADATA_MAX, Session};

/// What names a message, and its size.
pub const NAME: &str = "RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)]";

pub struct Mailbox {
    pub session: Session,
    /// What is asked of each message besides its UID, whatever the question.
    always: &'static str,
}

impl Mailbox {
    pub fn new(session: Session, always: &'static str) -> Mailbox {
        Mailbox { session, always }
    }

    /// The items of a FETCH that asks for this.
    pub fn items(&self, what: &str) -> String {
        match self.always {
            "" => format!("(UID {what})"),
            always => format!("(UID {always} {what})"),
        }
    }

    /// What the server tells of these messages, as far as it came; those that are no longer there are left out.
    /// `uids` must ascend; `literals`: how many bytes may come.
    pub fn fetch(&mut self, uids: &[Uid], what: &str, literals: u64) -> (Vec<Fetched>, Result<()>) {
        let items = self.items(what);
        self.session.uid_fetch(&uid_set(uids), &items, literals)
    }

    /// UID and sequence number of each message in this set.
    pub fn numbers(&mut self, set: &str) -> Result<Vec<Fetched>> {
        let (found, end) = self.session.uid_fetch(set, "(UID)", 0);
        end.map(|()| found)
    }

    /// Those of these UIDs that the mailbox has.
    pub fn listed(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        let found = self.numbers(&uid_set(uids))?;
        let listed = found.iter().filter_map(|f| f.uid);
        Ok(listed.filter(|uid| uids.contains(uid)).collect())
    }

    /// What names these messages, as far as it came. `uids` must ascend, at most `SET_MAX`.
    pub fn metadata(&mut self, uids: &[Uid]) -> (Vec<Discovered>, Result<()>) {
        let (found, end) = self.fetch(uids, NAME, METADATA_MAX * uids.len() as u64);
        (found.iter().filter_map(named).collect(), end)
    }
}

/// The UIDs among these that lie in this range, ascending, each once. What `n:*` asks for also names the last
/// message when its UID is lower (RFC 3501 6.4.8).
pub fn uids_within(found: &[Fetched], range: impl RangeBounds<u32>) -> Vec<Uid> {
    let told = found.iter().filter_map(|f| f.uid);
    let mut uids: Vec<Uid> = told.filter(|uid| range.contains(&uid.0)).collect();
    uids.sort_unstable();
    uids.dedup();
    uids
}

/// None where the server told nothing of the header, or NIL: that is no message without Message-ID.
pub fn named(found: &Fetched) -> Option<Discovered> {
    found.discovered().filter(|_| found.naming().is_some())
}
