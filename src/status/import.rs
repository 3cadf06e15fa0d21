//! How far an import has come and how long it may still take, in words.

use chrono::TimeDelta;
use serde::Serialize;

use crate::error::Result;
use crate::ledger::{Backlog, Count, History, Ledger};
use crate::message::Time;
use crate::text::{bytes_text, counted, span, thousands};

/// The pace is that of so long.
const WINDOW: TimeDelta = TimeDelta::minutes(10);
/// Before this a pace would be a guess.
const PACE_AFTER: TimeDelta = TimeDelta::seconds(30);
const DAY: u64 = 86_400;

/// An import at one moment, as `status --json` has it.
#[derive(Debug, Serialize)]
pub struct Import {
    pub done: u64,
    pub done_bytes: u64,
    /// What is known of, with what is done.
    pub all: u64,
    pub all_bytes: u64,
    /// The source has not told of all of it yet.
    pub listing: bool,
    /// For what is known of, as far as pace and limit tell.
    pub seconds_left: Option<u64>,
    /// The pace is that of so many seconds.
    #[serde(skip)]
    window: u64,
    /// Bytes that may be sent in a day, where it is this limit that makes it last.
    #[serde(skip)]
    limit: Option<u64>,
}

impl Import {
    /// None where none is under way. `running_since`: of a run that goes on.
    pub(super) fn of(
        ledger: &Ledger,
        waits: &Backlog,
        running_since: Option<Time>,
        limit: Option<u64>,
        now: Time,
    ) -> Result<Option<Import>> {
        let from = running_since.map(|since| since.max(now - WINDOW));
        let Some(history) = ledger.history(from.unwrap_or(now), now)? else {
            return Ok(None);
        };
        let History {
            done,
            lately,
            under_way,
            listing,
        } = history;
        // What can be tried now or is being tried.
        let left = Count {
            messages: waits.messages - waits.later + under_way.messages,
            bytes: waits.bytes - waits.later_bytes + under_way.bytes,
        };
        if left.messages == 0 && !listing {
            // What was put off is told of as such.
            return Ok(None);
        }
        let time = from.map_or(TimeDelta::zero(), |from| now - from);
        let window = time.num_seconds().unsigned_abs();
        let room = match limit {
            Some(limit) => Some(ledger.room(limit, now)?),
            None => None,
        };
        // How many days the limit makes of it.
        let days = room.map_or(0, |room| room.days(left.bytes));
        Ok(Some(Import {
            done: done.messages,
            done_bytes: done.bytes,
            all: done.messages + waits.messages + under_way.messages,
            all_bytes: done.bytes + waits.bytes + under_way.bytes,
            listing,
            seconds_left: (time >= PACE_AFTER)
                .then(|| at_pace(left, lately, window))
                .flatten()
                .map(|seconds| seconds.max(days * DAY)),
            window,
            limit: limit.filter(|_| days > 0),
        }))
    }

    /// `1,234 of 5,000 messages (24 %), 120.3 of 850.1 MB; about 12 min left at the pace of the last 10 min`
    pub fn text(&self) -> String {
        let (done, all) = (self.done, self.all);
        let (done_bytes, all_bytes) = (self.done_bytes, self.all_bytes);
        let listing = "the source has not told yet of all that it has";
        if all == 0 {
            return format!("nothing; {listing}");
        }
        let at_least = if self.listing { "at least " } else { "" };
        let mut out = format!(
            "{} of {at_least}{}",
            thousands(done),
            counted(all, "message")
        );
        if !self.listing {
            let percent = done * 100 / all.max(1);
            out += &format!(" ({percent} %)");
        }
        if all_bytes >= 50_000 {
            let (unit, name) = match all_bytes {
                1_000_000_000.. => (1e9, "GB"),
                _ => (1e6, "MB"),
            };
            out += &format!(
                ", {:.1} of {at_least}{:.1} {name}",
                done_bytes as f64 / unit,
                all_bytes as f64 / unit
            );
        }
        if self.listing {
            out += &format!("; {listing}");
        }
        if let Some(seconds) = self.seconds_left {
            let how = match self.limit {
                Some(limit) => format!("under the limit of {} in 24 hours", bytes_text(limit)),
                None => format!("at the pace of the last {}", span(self.window)),
            };
            out += &format!("; {at_least}about {} left {how}", span(seconds));
        }
        out
    }
}

/// How many seconds `left` takes where `done` took so many. None where nothing was done.
fn at_pace(left: Count, done: Count, seconds: u64) -> Option<u64> {
    let takes = |left: u64, done: u64| left.saturating_mul(seconds).checked_div(done);
    let by_messages = takes(left.messages, done.messages)?;
    Some(by_messages.max(takes(left.bytes, done.bytes).unwrap_or(0)))
}
