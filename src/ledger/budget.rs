//! What has been sent in the last 24 hours, and what a daily limit leaves of it.
//!
//! Bytes are booked before they are sent and given back when they were not: whatever happens in
//! between, too much is booked and never too little.

use chrono::TimeDelta;
use rusqlite::{Connection, Transaction, params};

use super::claim::due;
use super::deliver::{Intent, Mark, not_in_flight};
use super::{Ledger, MarkId, RowId};
use crate::error::Result;
use crate::message::{Time, time_text};

/// What `upload_limit_per_day` looks back on.
const DAY: TimeDelta = TimeDelta::hours(24);
/// One part in so many of a day's bytes is kept for new mail.
const KEPT: u64 = 10;

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

    pub(super) fn of(db: &Connection, limit: u64, now: Time) -> rusqlite::Result<Room> {
        let sent = uploaded_in_a_day(db, now)?;
        Ok(Room { limit, sent })
    }
}

impl Ledger {
    /// Puts the intent on disk before the first byte of an APPEND: what will be sent of each row,
    /// and where resolution would begin to look. With `limit` no more than so many bytes in any 24
    /// hours: returns how many of the intents may be carried out, from the first on; their bytes
    /// are booked.
    pub fn mark(
        &mut self,
        intents: &[Intent],
        marks: &[Mark],
        limit: Option<u64>,
        now: Time,
    ) -> Result<usize> {
        self.write(|t| {
            t.execute("INSERT INTO mark (made_at) VALUES (?1)", [time_text(now)])?;
            let mark = MarkId(t.last_insert_rowid());
            for m in marks {
                // Another session may have seen since that the mailbox went back to an earlier state.
                t.execute(
                    "INSERT INTO mark_mailbox (mark_id, gmail_mailbox_id, uid_validity, uid_next) VALUES (?1, ?2, ?3,
                        min(?4, coalesce((SELECT next_uid FROM gmail_mailbox WHERE id = ?2 AND uid_validity = ?3), ?4)))",
                    params![mark, m.mailbox, m.uid_validity, m.uid_next],
                )?;
            }
            let mut set = t.prepare_cached(
                "UPDATE message SET sha256 = ?2, canonical = ?3, size = ?4, flags = ?5, mark_id = ?6
                  WHERE id = ?1 AND status = 'in_flight'",
            )?;
            let room = match limit {
                Some(limit) => Some(Room::of(t, limit, now)?),
                None => None,
            };
            let mut bytes = 0;
            let mut allowed = 0;
            for i in intents {
                if let Some(room) = room
                    && !room.takes(bytes, i.size, is_new(t, i.row)?)
                {
                    // Its source had told another size, or it would not have been claimed.
                    t.execute(
                        "UPDATE message SET size = ?2 WHERE id = ?1",
                        params![i.row, i.size],
                    )?;
                    break;
                }
                bytes += i.size;
                allowed += 1;
                if set.execute(params![
                    i.row,
                    i.sha256,
                    i.canonical,
                    i.size,
                    i.flags.to_string(),
                    mark
                ])? != 1
                {
                    return Err(not_in_flight());
                }
            }
            book(t, bytes, now)?;
            Ok(allowed)
        })
    }

    /// So many bytes more are about to be sent.
    pub fn book(&mut self, bytes: u64, now: Time) -> Result<()> {
        self.write(|t| book(t, bytes, now))
    }

    /// So many of the bytes that were booked then were not sent.
    pub fn give_back(&mut self, bytes: u64, booked: Time) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE upload SET bytes = max(bytes - ?2, 0) WHERE hour = ?1",
                params![hour_text(booked), bytes],
            )?;
            Ok(())
        })
    }

    /// How much of a daily limit is used now.
    pub fn room(&self, limit: u64, now: Time) -> Result<Room> {
        self.read(|db| Room::of(db, limit, now))
    }

    /// Bytes sent to the target in the last 24 hours.
    pub fn uploaded(&self, now: Time) -> Result<u64> {
        self.read(|db| uploaded_in_a_day(db, now))
    }

    /// Is there new mail that fits into what is left of the day, and was not tried since room was last
    /// made? Bytes come free by the hour.
    pub fn new_mail_fits(&self, limit: u64, now: Time) -> Result<bool> {
        let due = due(false, "m");
        self.read(|db| {
            let Some(left) = limit.checked_sub(uploaded_in_a_day(db, now)?) else {
                return Ok(false);
            };
            db.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM mailbox b CROSS JOIN message m INDEXED BY message_waiting ON m.mailbox_id = b.id
                  WHERE m.status = 'pending' AND m.source_uid >= b.history_below AND b.retired_at IS NULL AND b.inherited = 1
                    AND coalesce(m.size, 0) <= ?3 AND {due}
                    AND (m.in_flight_since IS NULL OR m.in_flight_since < ?2 OR m.next_attempt_at > m.in_flight_since))"
            ))?
            .query_row(params![time_text(now), hour_text(now), left], |r| r.get(0))
        })
    }
}

/// Did it come after the first look at its mailbox?
fn is_new(t: &Transaction<'_>, id: RowId) -> rusqlite::Result<bool> {
    t.prepare_cached(
        "SELECT m.source_uid >= b.history_below FROM message m JOIN mailbox b ON b.id = m.mailbox_id WHERE m.id = ?1",
    )?
    .query_row([id], |r| r.get(0))
}

fn book(t: &Transaction<'_>, bytes: u64, now: Time) -> rusqlite::Result<()> {
    t.execute(
        "INSERT INTO upload (hour, bytes) VALUES (?1, ?2) ON CONFLICT (hour) DO UPDATE SET bytes = bytes + excluded.bytes",
        params![hour_text(now), bytes],
    )?;
    Ok(())
}

fn hour_text(t: Time) -> String {
    t.format("%Y-%m-%dT%H").to_string()
}

/// Bytes sent to the target in the last 24 hours; the hour in which they begin counts whole. What a
/// clock that was set back has written of the future would count for as long as that lasts.
fn uploaded_in_a_day(db: &Connection, now: Time) -> rusqlite::Result<u64> {
    db.query_row(
        "SELECT coalesce(sum(bytes), 0) FROM upload WHERE hour BETWEEN ?1 AND ?2",
        [hour_text(now - DAY), hour_text(now)],
        |r| r.get(0),
    )
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
