//! Filling the target index downwards: how far back it knows each message. Not for what comes (`index`).

use chrono::TimeDelta;
use log::debug;

use super::bisect::may_be_a_messages;
use super::index::TargetIndex;
use crate::config;
use crate::error::Result;
use crate::ledger::IndexMailbox;
use crate::message::Time;
use crate::session::SET_MAX;

/// How far the index reaches back at least. Each time that this is not enough, twice as far.
const FIRST_REACH: TimeDelta = TimeDelta::days(30);

impl TargetIndex<'_> {
    /// Fills the index downwards as far as it reaches at least.
    pub(super) fn cover_latest(&mut self, index: &mut IndexMailbox, now: Time) -> Result<()> {
        self.cover(index, now - FIRST_REACH, now)
    }

    /// Fills the index downwards until it knows every message dated since `needed`.
    pub(super) fn cover(
        &mut self,
        index: &mut IndexMailbox,
        needed: Time,
        now: Time,
    ) -> Result<()> {
        // No message is older than that, and no older date can be written down.
        let beginning = config::Since::All.start(now);
        let needed = needed.max(beginning);
        if index.covered_since.is_some_and(|covered| needed >= covered) {
            return Ok(());
        }
        let reach = index
            .covered_since
            .map_or(FIRST_REACH, |covered| (now - covered) * 2);
        let since = needed.min(now - reach.max(FIRST_REACH)).max(beginning);
        let mut uids = match self
            .account
            .dated_between(&index.name, since, index.covered_since)
        {
            Err(e) if may_be_a_messages(&e) => {
                // A message whose date cannot be had may be to blame: the list is asked for without dates.
                debug!("{}: {}", index.name, e.then("looking at all its messages"));
                self.reopen()?;
                self.account.uids(&index.name)?
            }
            uids => uids?,
        };
        // Messages that the index knows without a name are not asked for their names again: they may be the ones
        // that cannot be read.
        let nameless = self.engine.ledger.step(|l| l.index_nameless(index.id))?;
        uids.retain(|uid| !nameless.contains(uid));
        for set in uids.rchunks(SET_MAX) {
            let (mut seen, unreadable) = self.described(index, set)?;
            seen.extend(unreadable);
            self.engine.ledger.step(|l| l.index_record(index, &seen))?;
        }
        index.covered_since = Some(since);
        self.engine.ledger.step(|l| l.index_record(index, &[]))
    }
}
