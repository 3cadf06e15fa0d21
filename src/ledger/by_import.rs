//! The road through Gmail's API: whether it rests, and what lies in Spam of what took it. Not for the ids that the
//! predecessor left (`imported`).

use rusqlite::{OptionalExtension, params};

use super::open::Ledger;
use super::row::Place;
use super::value::time;
use crate::error::Result;
use crate::message::{Time, time_text};

impl Ledger {
    /// Until when the API is to be left alone, and what it said, where that is not over.
    pub fn import_pause(&self, now: Time) -> Result<Option<(Time, String)>> {
        self.read(|db| {
            db.prepare_cached("SELECT until, why FROM import_pause WHERE id = 1 AND until > ?1")?
                .query_row([time_text(now)], |r| Ok((time(r, "until")?, r.get("why")?)))
                .optional()
        })
    }

    /// The API is left alone until then, also by runs that are still to begin.
    pub fn pause_import(&mut self, until: Time, why: &str) -> Result<()> {
        self.write(|t| {
            t.execute(
                "INSERT INTO import_pause (id, until, why) VALUES (1, ?1, ?2)
                     ON CONFLICT (id) DO UPDATE SET until = excluded.until, why = excluded.why",
                params![time_text(until), why],
            )?;
            Ok(())
        })
    }

    /// Where the index has seen a message last, by its X-GM-MSGID: in whichever mailbox.
    pub fn place_of_number(&self, gm_msgid: u64) -> Result<Option<Place>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT g.mailbox_id, b.uid_validity, g.uid FROM gmail_message g JOIN gmail_mailbox b ON b.id = g.mailbox_id
                  WHERE g.gm_msgid = ?1 ORDER BY b.id, g.uid DESC LIMIT 1",
            )?
            .query_row([gm_msgid], |r| {
                Ok(Place {
                    mailbox: r.get(0)?,
                    uid_validity: r.get(1)?,
                    uid: r.get(2)?,
                    gm_msgid: Some(gm_msgid),
                })
            })
            .optional()
        })
    }

    /// This index mailbox is the one that Gmail puts spam into.
    pub fn note_junk(&mut self, name: &str) -> Result<()> {
        self.write(|t| {
            t.prepare_cached(
                "INSERT INTO spam_mailbox (id, mailbox_id) SELECT 1, id FROM gmail_mailbox WHERE name = ?1
                     ON CONFLICT (id) DO UPDATE SET mailbox_id = excluded.mailbox_id",
            )?
            .execute([name])?;
            Ok(())
        })
    }

    /// Where copies of what was imported lie in Spam, as the index last saw it.
    pub fn imported_in_spam(&self) -> Result<Vec<Place>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT g.mailbox_id, b.uid_validity, g.uid, g.gm_msgid FROM {IN_SPAM} ORDER BY g.uid"
            ))?
            .query_map([], |r| {
                Ok(Place {
                    mailbox: r.get(0)?,
                    uid_validity: r.get(1)?,
                    uid: r.get(2)?,
                    gm_msgid: r.get(3)?,
                })
            })?
            .collect()
        })
    }
}

/// What was imported and lies in Spam: `b` the mailbox, `g` what the index knows of the copy, `m` the row.
pub(super) const IN_SPAM: &str = "spam_mailbox s CROSS JOIN gmail_mailbox b ON b.id = s.mailbox_id
    CROSS JOIN gmail_message g ON g.mailbox_id = b.id
    CROSS JOIN message m ON m.gm_msgid = g.gm_msgid AND m.by_import = 1 AND m.status = 'delivered' AND m.superseded_by IS NULL";
