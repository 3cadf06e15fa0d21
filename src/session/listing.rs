//! A list of everything that a mailbox holds, for those who must not miss one.

use super::{LISTED_MAX, MAILBOX_MAX, Phase, Session, View, fetched};
use crate::error::{Error, Fault, Result};
use crate::message::{Time, Uid};

impl Session {
    /// Every message of the open view that the server tells of, with its INTERNALDATE if `dated` and
    /// as far as that can be read. Whether these are as many as there are is for the caller to count.
    pub fn list(&mut self, view: &View, dated: bool) -> Result<Vec<(Uid, Option<Time>)>> {
        if view.exists > MAILBOX_MAX {
            return Err(Error::connection(format!(
                "{} claims that a mailbox holds {} messages",
                self.name(),
                view.exists
            )));
        }
        let items = if dated { "(UID INTERNALDATE)" } else { "(UID)" };
        let mut all = Vec::new();
        let mut first = 1;
        while first <= view.exists {
            let last = first.saturating_add(LISTED_MAX - 1).min(view.exists);
            // By sequence number: UIDs may have gaps of a billion, and no EXPUNGE can come during a
            // FETCH (RFC 3501 7.4.1).
            let command = format!("FETCH {first}:{last} {items}");
            let heard = self.run(Phase::Fetch, &command, self.times.command, 0);
            let whole = heard.whole(Fault::Connection, &self.wire);
            heard.end?;
            whole?;
            let told = fetched(heard.untagged).into_iter();
            all.extend(
                // Updates that nobody asked for may come on top, but not without end.
                told.take(2 * LISTED_MAX as usize)
                    .filter_map(|f| Some((f.uid?, f.internal_date))),
            );
            first = last.saturating_add(1);
        }
        all.sort_unstable();
        all.dedup_by_key(|(uid, _)| *uid);
        Ok(all)
    }
}
