//! How far an import has come and how long it may still take, in words.

use chrono::TimeDelta;

use crate::error::Result;
use crate::ledger::{Backlog, Count, History, Ledger, Room};
use crate::message::Time;
use crate::text::{bytes_text, counted, span, thousands};

/// The pace is that of so long.
const WINDOW: TimeDelta = TimeDelta::minutes(10);
/// Before this a pace would be a guess.
const PACE_AFTER: TimeDelta = TimeDelta::seconds(30);
const DAY: u64 = 86_400;

/// An import at one moment.
pub(super) struct Import {
    done: Count,
    /// What is known of, with what is done.
    all: Count,
    /// What can be tried now or is being tried.
    left: Count,
    pub(super) listing: bool,
    /// Done in so many seconds.
    pace: Option<(Count, u64)>,
    /// Of what is sent in a day, where that has a limit.
    room: Option<Room>,
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
        let left = Count {
            messages: waits.messages - waits.later + under_way.messages,
            bytes: waits.bytes - waits.later_bytes + under_way.bytes,
        };
        if left.messages == 0 && !listing {
            // What was put off is told of as such.
            return Ok(None);
        }
        let pace = from
            .map(|from| now - from)
            .filter(|time| *time >= PACE_AFTER && lately.messages > 0)
            .map(|time| (lately, time.num_seconds().unsigned_abs()));
        let room = match limit {
            Some(limit) => Some(ledger.room(limit, now)?),
            None => None,
        };
        Ok(Some(Import {
            done,
            all: Count {
                messages: done.messages + waits.messages + under_way.messages,
                bytes: done.bytes + waits.bytes + under_way.bytes,
            },
            left,
            listing,
            pace,
            room,
        }))
    }

    pub(super) fn done(&self) -> Count {
        self.done
    }

    pub(super) fn all(&self) -> Count {
        self.all
    }

    /// In seconds, for what is known of, as far as pace and limit tell.
    pub(super) fn seconds_left(&self) -> Option<u64> {
        let (done, time) = self.pace?;
        let takes = |left: u64, done: u64| left.saturating_mul(time).checked_div(done);
        let by_pace = takes(self.left.messages, done.messages)?
            .max(takes(self.left.bytes, done.bytes).unwrap_or(0));
        Some(by_pace.max(self.days() * DAY))
    }

    /// How many days the limit makes of it.
    fn days(&self) -> u64 {
        self.room.map_or(0, |room| room.days(self.left.bytes))
    }

    /// `1,234 of 5,000 messages (24 %), 120.3 of 850.1 MB; about 12 min left at the pace of the last 10 min`
    pub(super) fn text(&self) -> String {
        let (done, all) = (self.done, self.all);
        let listing = "the source has not told yet of all that it has";
        if all.messages == 0 {
            return format!("nothing; {listing}");
        }
        let at_least = if self.listing { "at least " } else { "" };
        let mut out = format!(
            "{} of {at_least}{}",
            thousands(done.messages),
            counted(all.messages, "message")
        );
        if !self.listing {
            let percent = done.messages * 100 / all.messages.max(1);
            out += &format!(" ({percent} %)");
        }
        if all.bytes >= 50_000 {
            let (unit, name) = match all.bytes {
                1_000_000_000.. => (1e9, "GB"),
                _ => (1e6, "MB"),
            };
            out += &format!(
                ", {:.1} of {at_least}{:.1} {name}",
                done.bytes as f64 / unit,
                all.bytes as f64 / unit
            );
        }
        if self.listing {
            out += &format!("; {listing}");
        }
        if let (Some(seconds), Some((_, time))) = (self.seconds_left(), self.pace) {
            let how = match (self.room, self.days()) {
                (Some(room), 1..) => {
                    format!("under the limit of {} in 24 hours", bytes_text(room.limit))
                }
                _ => format!("at the pace of the last {}", span(time)),
            };
            out += &format!("; {at_least}about {} left {how}", span(seconds));
        }
        out
    }
}
