//! Which messages a mailbox holds: all of them, counted, or those that a SEARCH tells of.

use chrono::TimeDelta;

use super::{FOUND_MAX, LISTED_MAX, MAILBOX_MAX, Phase, Session, View, fetched};
use crate::error::{Error, Fault, Result};
use crate::message::{Time, Uid};
use crate::response::{Fetched, Untagged};

/// The messages of a view, each with what was asked of it: mostly its INTERNALDATE, where that can be read.
#[derive(Debug)]
pub struct List<T = Option<Time>> {
    /// Ascending.
    pub uids: Vec<(Uid, T)>,
    /// As many were told of as the view holds: only then is what is not in it not in the mailbox.
    pub whole: bool,
}

impl Session {
    /// What the server tells of all messages of the open view, counted: answers have left out messages
    /// and still ended with OK (Yahoo, 2023).
    pub fn list(&mut self, view: &View, dated: bool) -> Result<List> {
        let items = if dated { "INTERNALDATE" } else { "" };
        self.list_with(view, items, |f| f.internal_date)
    }

    /// The same, with what is picked out of these items of each message.
    pub fn list_with<T>(
        &mut self,
        view: &View,
        items: &str,
        pick: impl Fn(&Fetched) -> T,
    ) -> Result<List<T>> {
        if view.exists > MAILBOX_MAX {
            return Err(Error::connection(format!(
                "{} claims that a mailbox holds {} messages",
                self.name(),
                view.exists
            )));
        }
        let items = match items {
            "" => "(UID)".into(),
            items => format!("(UID {items})"),
        };
        let mut uids = Vec::new();
        let mut first = 1;
        while first <= view.exists {
            let last = first.saturating_add(LISTED_MAX - 1).min(view.exists);
            // By sequence number: UIDs may have gaps of a billion, and no EXPUNGE can come during a
            // FETCH (RFC 3501 7.4.1).
            let command = format!("FETCH {first}:{last} {items}");
            let heard = self.run(Phase::Fetch, &command, self.times.command, 0);
            let readable = heard.whole(Fault::Connection, &self.connection);
            heard.end?;
            readable?;
            // Updates that nobody asked for may come on top, but not without end.
            uids.extend(
                fetched(heard.untagged)
                    .into_iter()
                    .filter(|f| (first..=last).contains(&f.number))
                    .take(2 * LISTED_MAX as usize)
                    .filter_map(|f| Some((f.uid?, pick(&f)))),
            );
            first = last.saturating_add(1);
        }
        uids.sort_unstable_by_key(|(uid, _)| *uid);
        uids.dedup_by_key(|(uid, _)| *uid);
        Ok(List {
            whole: uids.len() == view.exists as usize,
            uids,
        })
    }

    /// The UIDs in the open view whose INTERNALDATE may lie after this moment: for a first estimate, since
    /// a SEARCH may leave some out. One that finds nothing in a mailbox that holds something is not
    /// believed (docs/servers.md 3.3): the messages are listed instead.
    pub fn uids_since(&mut self, view: &View, since: Option<Time>) -> Result<Vec<Uid>> {
        if let Some(since) = since {
            let found = self.searched(since)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let slack = TimeDelta::days(1);
        let wanted = |t: Time| since.is_none_or(|since| t >= since - slack);
        let all = self.list(view, since.is_some())?.uids.into_iter();
        let wanted = all.filter(|(_, date)| date.is_none_or(wanted));
        Ok(wanted.map(|(uid, _)| uid).collect())
    }

    /// What a SEARCH tells of messages whose INTERNALDATE may lie after this moment, ascending: a day more,
    /// since SEARCH compares days in the server's time zone (RFC 3501 6.4.4).
    pub fn searched(&mut self, since: Time) -> Result<Vec<Uid>> {
        let day = (since - TimeDelta::days(1)).format("%d-%b-%Y");
        let command = format!("UID SEARCH SINCE {day}");
        let heard = self.run(Phase::Fetch, &command, self.times.command, 0);
        let readable = heard.whole(Fault::Connection, &self.connection);
        heard.end?;
        let mut found = Vec::new();
        if readable.is_err() {
            return Ok(found);
        }
        for response in heard.untagged {
            if let Untagged::Search(uids) = response {
                if found.len() + uids.len() > FOUND_MAX {
                    return Ok(Vec::new());
                }
                found.extend(uids);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// What the server tells of some messages of the open view, by their numbers in it.
    pub fn numbers_fetch(&mut self, set: &str, items: &str, literals: u64) -> Result<Vec<Fetched>> {
        let command = format!("FETCH {set} {items}");
        let heard = self.run(Phase::Fetch, &command, self.times.command, literals);
        heard.end?;
        Ok(fetched(heard.untagged))
    }

    /// The UID of the message with this sequence number in the open view.
    pub fn uid_at(&mut self, number: u32) -> Result<Option<Uid>> {
        let command = format!("FETCH {number} (UID)");
        let heard = self.run(Phase::Fetch, &command, self.times.command, 0);
        heard.end?;
        let told = fetched(heard.untagged);
        Ok(told.iter().find(|f| f.number == number).and_then(|f| f.uid))
    }
}
