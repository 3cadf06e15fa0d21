//! How far an import has come, from the rows alone: what is done of what is known, and how fast it went
//! of late. For `status`, which does not know the run.

use rusqlite::{Connection, params_from_iter};

use super::open::Ledger;
use crate::error::Result;
use crate::message::{Time, time_text};

/// Messages, and their bytes as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub messages: u64,
    pub bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(crate) fn take(&mut self, bytes: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// While mail waits that was there before the first look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Whatever is in the target.
    pub done: Count,
    /// Of these, since the moment that was asked for.
    pub lately: Count,
    /// Claimed, and not known to be in the target.
    pub under_way: Count,
    /// The source has not told of all of it yet.
    pub listing: bool,
}

impl Ledger {
    /// How far the import is; None where none is under way: no message waits that was there before the
    /// first look, and all of these are known. `lately`: where the pace is measured from.
    pub fn history(&self, lately: Time, now: Time) -> Result<Option<History>> {
        self.read(|db| {
            let db = db.unchecked_transaction()?;
            // What older incarnations know of it is not taken over yet: most of what waits is there.
            let listing: Option<bool> = db
                .prepare_cached(
                    "SELECT max(history_done = 0) FROM mailbox b
                      WHERE b.retired_at IS NULL AND b.inherited = 1
                        AND (history_done = 0 OR EXISTS
                             (SELECT 1 FROM message m INDEXED BY message_waiting
                               WHERE m.mailbox_id = b.id AND m.status = 'pending' AND m.source_uid < b.history_below))",
                )?
                .query_row([], |r| r.get(0))?;
            let Some(listing) = listing else {
                return Ok(None);
            };
            let done = count(
                &db,
                "SELECT count(*), coalesce(sum(size), 0) FROM message WHERE status = 'delivered' AND superseded_by IS NULL",
                &[],
            )?;
            let lately = count(
                &db,
                "SELECT count(*), coalesce(sum(size), 0) FROM message
                  WHERE proof IN (SELECT name FROM proof) AND delivered_at BETWEEN ?1 AND ?2
                    AND status = 'delivered' AND superseded_by IS NULL",
                &[&time_text(lately), &time_text(now)],
            )?;
            let under_way = count(
                &db,
                "SELECT count(*), coalesce(sum(size), 0) FROM message WHERE status = 'in_flight'",
                &[],
            )?;
            Ok(Some(History {
                done,
                lately,
                under_way,
                listing,
            }))
        })
    }
}

fn count(db: &Connection, sql: &str, between: &[&str]) -> rusqlite::Result<Count> {
    db.prepare_cached(sql)?
        .query_row(params_from_iter(between), |r| {
            Ok(Count {
                messages: r.get(0)?,
                bytes: r.get(1)?,
            })
        })
}
