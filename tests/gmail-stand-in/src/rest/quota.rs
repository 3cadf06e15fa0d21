//! How much the API does for the account: units a minute, requests at a time, bytes a day (docs/gmail-import.md 5).
//! All of it is the API's own: what goes over IMAP does not count here.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::knobs::ApiKnobs;
use super::refusals::ApiRefusal;
use crate::clock::delta;

#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// Units that were used, and when.
    used: VecDeque<(DateTime<Utc>, u32)>,
    busy: usize,
    /// Bytes of messages that came, and how many of them when the last block ended.
    pub(crate) bytes: u64,
    since: u64,
    pub(crate) blocked_until: Option<DateTime<Utc>>,
    /// Requests that came while the account was blocked.
    pub(crate) early: usize,
    /// The most requests that were under way together.
    pub(crate) busiest: usize,
}

impl Quota {
    /// A request of so many units begins, unless it is one too many.
    pub(super) fn enter(
        &mut self,
        units: u32,
        now: DateTime<Utc>,
        knobs: &ApiKnobs,
    ) -> Result<(), ApiRefusal> {
        if let Some(until) = self.blocked(now, knobs) {
            return Err(ApiRefusal::RetryAfter(knobs.block_status, until));
        }
        if knobs.concurrent.is_some_and(|most| self.busy >= most) {
            return Err(ApiRefusal::Concurrent);
        }
        self.used
            .retain(|(at, _)| now - *at < TimeDelta::minutes(1));
        let used: u32 = self.used.iter().map(|(_, units)| units).sum();
        if knobs.units_per_minute.is_some_and(|all| used + units > all) {
            return Err(ApiRefusal::QueriesPerMinute);
        }
        self.used.push_back((now, units));
        self.busy += 1;
        self.busiest = self.busiest.max(self.busy);
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.busy -= 1;
    }

    /// Until when, where it is now. That it was asked makes it later.
    fn blocked(&mut self, now: DateTime<Utc>, knobs: &ApiKnobs) -> Option<DateTime<Utc>> {
        if let Some(until) = self.blocked_until {
            if now < until {
                self.early += 1;
                let later = until + delta(knobs.moves_out);
                self.blocked_until = Some(later);
                return Some(later);
            }
            self.blocked_until = None;
            self.since = self.bytes;
        }
        let spent = |budget| self.bytes - self.since >= budget;
        if !knobs.upload_budget.is_some_and(spent) {
            return None;
        }
        let until = now + delta(knobs.blocked_for);
        self.blocked_until = Some(until);
        Some(until)
    }
}
