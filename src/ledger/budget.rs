//! What has been sent in the last 24 hours, and what a daily limit leaves of it.
//!
//! Bytes are booked before they are sent and given back when they were not: whatever happens in
//! between, too much is booked and never too little.

use chrono::TimeDelta;
use rusqlite::{Connection, Transaction, params};

use super::open::Ledger;
use crate::error::Result;
use crate::message::Time;

/// What `upload_limit_per_day` looks back on.
const DAY: TimeDelta = TimeDelta::hours(24);
/// One part in so many of a day's bytes is kept for new mail.
const KEPT: u64 = 10;

/// Where the bytes of a road are booked: Gmail counts those of its API by themselves (docs/gmail-import.md 5).
pub(super) const BY_APPEND: &str = "upload";
pub(super) const BY_IMPORT: &str = "upload_by_import";

/// How much of a daily limit is used.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub limit: u64,
    pub sent: u64,
}

impl Room {
    /// May a message of so many bytes be sent now, behind others of `batch` bytes together? What was there
    /// before the first look leaves a part of the day to new mail, unless it is itself so big that it would
    /// never go.
    pub fn takes(self, batch: u64, size: u64, new_mail: bool) -> bool {
        let for_all = self.limit - self.limit / KEPT;
        let most = if new_mail || size > for_all {
            self.limit
        } else {
            for_all
        };
        self.sent.saturating_add(batch).saturating_add(size) <= most
    }

    /// How many days pass before the last of so many bytes of history may go, where nothing else is sent.
    pub fn days(self, bytes: u64) -> u64 {
        let a_day = (self.limit - self.limit / KEPT).max(1);
        let days = self.sent.saturating_add(bytes).div_ceil(a_day);
        days.saturating_sub(1)
    }

    pub(super) fn of(
        db: &Connection,
        booked: &str,
        limit: u64,
        now: Time,
    ) -> rusqlite::Result<Room> {
        let sent = in_a_day(db, booked, now)?;
        Ok(Room { limit, sent })
    }
}

impl Ledger {
    /// So many bytes more are about to be sent.
    pub fn book(&mut self, bytes: u64, now: Time) -> Result<()> {
        self.write(|t| book(t, BY_APPEND, bytes, now))
    }

    /// So many of the bytes that were booked then were not sent.
    pub fn give_back(&mut self, bytes: u64, booked: Time) -> Result<()> {
        self.write(|t| {
            t.execute(
                &format!("UPDATE {BY_APPEND} SET bytes = max(bytes - ?2, 0) WHERE hour = ?1"),
                params![hour_text(booked), bytes],
            )?;
            Ok(())
        })
    }

    /// How much of a daily limit is used now.
    pub fn room(&self, limit: u64, now: Time) -> Result<Room> {
        self.read(|db| Room::of(db, BY_APPEND, limit, now))
    }

    /// Bytes sent to the target in the last 24 hours.
    pub fn uploaded(&self, now: Time) -> Result<u64> {
        self.read(|db| uploaded_in_a_day(db, now))
    }
}

pub(super) fn book(
    t: &Transaction<'_>,
    booked: &str,
    bytes: u64,
    now: Time,
) -> rusqlite::Result<()> {
    t.prepare_cached(&format!(
        "INSERT INTO {booked} (hour, bytes) VALUES (?1, ?2) ON CONFLICT (hour) DO UPDATE SET bytes = bytes + excluded.bytes"
    ))?
    .execute(params![hour_text(now), bytes])?;
    Ok(())
}

pub(super) fn hour_text(t: Time) -> String {
    t.format("%Y-%m-%dT%H").to_string()
}

/// Bytes sent to the target by APPEND in the last 24 hours.
pub(super) fn uploaded_in_a_day(db: &Connection, now: Time) -> rusqlite::Result<u64> {
    in_a_day(db, BY_APPEND, now)
}

/// The hour in which the day begins counts whole. What a clock that was set back has written of the future would count
/// for as long as that lasts.
fn in_a_day(db: &Connection, booked: &str, now: Time) -> rusqlite::Result<u64> {
    db.prepare_cached(&format!(
        "SELECT coalesce(sum(bytes), 0) FROM {booked} WHERE hour BETWEEN ?1 AND ?2"
    ))?
    .query_row([hour_text(now - DAY), hour_text(now)], |r| r.get(0))
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn what_was_there_before_leaves_a_tenth_of_each_day() {
        for (sent, bytes, days) in [
            (0, 90, 0),
            (0, 91, 1),
            (0, 180, 1),
            (0, 181, 2),
            (90, 1, 1),
            (45, 45, 0),
            (100, 900, 11),
        ] {
            assert_eq!(
                Room { limit: 100, sent }.days(bytes),
                days,
                "{sent} {bytes}"
            );
        }
        assert_eq!(Room { limit: 1, sent: 0 }.days(3), 2);
    }
}
