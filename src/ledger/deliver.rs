//! What delivery writes: what became of each message.
//!
//! Every verb that changes a row names the status that it leaves: a row that is not in it is a
//! fault of ours and stops the run before anything worse.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row as SqlRow, Transaction, params};

use super::value::{time, time_or_null};
use super::{IndexId, Ledger, MailboxId, MarkId, RowId, import, inherit};
use crate::error::{Error, Result, shown};
use crate::message::{
    CanonicalHash, Discovered, Flags, MessageId, Sha256, Time, Uid, UidValidity, time_text,
};

/// A row, as delivery needs it.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: RowId,
    pub mailbox_id: MailboxId,
    pub about: Discovered,
    /// INTERNALDATE, or the time of discovery where the source gave none.
    pub internal_date: Time,
    /// Claims so far, this one included.
    pub attempt: u32,
    /// Attempts in a row whose end nobody saw.
    pub unseen: u32,
    pub first_failed_at: Option<Time>,
    /// When this attempt was to be made.
    pub due_at: Time,
    pub sha256: Option<Sha256>,
    pub canonical: Option<CanonicalHash>,
    pub mark: Option<MarkId>,
}

impl Row {
    /// Has it no Message-ID or no Date?
    pub fn is_anonymous(&self) -> bool {
        self.about.message_id.is_none() || self.about.date.is_none()
    }
}

/// What is to be done about a message, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    InFlight,
    Delivered,
    Failed,
    /// A person gave it up for good.
    Skipped,
    /// No longer in the source.
    Gone,
}

impl Status {
    const ALL: [Status; 6] = [
        Status::Pending,
        Status::InFlight,
        Status::Delivered,
        Status::Failed,
        Status::Skipped,
        Status::Gone,
    ];

    /// As the ledger has it, and people who ask for a message by its number.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::InFlight => "in_flight",
            Status::Delivered => "delivered",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
            Status::Gone => "gone",
        }
    }
}

impl FromSql for Status {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Status> {
        let name = value.as_str()?;
        let known = Status::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            let words = format!("`{}` is no status of a message", shown(name.as_bytes()));
            FromSqlError::Other(words.into())
        })
    }
}

impl ToSql for Status {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl ToSql for Proof {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

/// How we know that the target has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Appended,
    Found,
    /// An imported Message-ID vouches for it.
    Imported,
    Same,
    /// The target put it together with an equal message that it had.
    Merged,
}

impl Proof {
    /// As the ledger has it.
    pub fn name(self) -> &'static str {
        match self {
            Proof::Appended => "appended",
            Proof::Found => "found",
            Proof::Imported => "imported",
            Proof::Same => "same",
            Proof::Merged => "merged",
        }
    }
}

/// Where a message lies in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub mailbox: IndexId,
    pub uid_validity: UidValidity,
    pub uid: Uid,
    pub gm_msgid: Option<u64>,
}

/// What becomes of a row that is in flight.
#[derive(Clone, Debug)]
pub enum Change {
    Delivered {
        proof: Proof,
        place: Option<Place>,
        altered: bool,
    },
    /// Charged: tried again at a time. `first`: from when on it counts as tried.
    Retry { error: Error, first: Time, at: Time },
    /// Charged for the last time. Who it was from and about what, so that a person recognises it.
    Failed {
        error: Error,
        sender: Option<String>,
        subject: Option<String>,
    },
    /// Not charged: pending again, as before. `unseen`: the attempt's end was not seen, and it was
    /// found since that the target does not have the message; it goes behind the others then.
    Released { unseen: bool },
    /// Not charged: pending again, but not before this time.
    Later { at: Time },
    /// Not charged, and behind the others: pending again at this time, or as soon as another message
    /// gets through. `unseen`: as above.
    /// `first`: the charges that stand count from here.
    PutOff {
        at: Time,
        first: Option<Time>,
        unseen: bool,
    },
    /// No longer in the source.
    Gone,
    /// It is the message of a row of an older incarnation, which has the same bytes: that row moves to
    /// this one's UID, and this one goes.
    AsBefore { row: RowId },
}

/// What is about to be sent of a row.
#[derive(Clone, Copy, Debug)]
pub struct Intent {
    pub row: RowId,
    pub sha256: Sha256,
    pub canonical: CanonicalHash,
    /// In bytes; RFC822.SIZE may have lied.
    pub size: u64,
    pub flags: Flags,
}

/// Where resolution begins to look, in one index mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub mailbox: IndexId,
    pub uid_validity: UidValidity,
    pub uid_next: u32,
}

/// Another row with the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// Delivered, by a proof of its own.
    Delivered,
    /// Its APPEND was answered OK, and nobody has looked at the copy.
    Unverified,
    /// Delivered, failed or skipped in an older incarnation, and not passed on yet.
    Before(RowId),
}

/// A row whose APPEND was answered OK and whose copy has not been looked at.
#[derive(Clone, Debug)]
pub struct Verification {
    pub row: Row,
    pub place: Option<Place>,
    /// It was sent with other line ends than its source has.
    pub altered: bool,
    pub delivered_at: Option<Time>,
}

/// What looking at a copy showed.
#[derive(Clone, Debug)]
pub enum Verdict {
    Ours {
        /// Its bytes differ from what was sent.
        altered: bool,
        /// The target put it together with an equal message that it had.
        merged: bool,
        gm_msgid: Option<u64>,
    },
    /// The target told another message's place for it, which proves nothing of ours but that it lies elsewhere.
    Misplaced,
    /// The target keeps another copy of this message, with its name and other bytes, which vouches for
    /// no other row.
    Found { gm_msgid: Option<u64> },
    /// The target kept another message in its place: ours is not there.
    NotOurs {
        error: Error,
        sender: Option<String>,
        subject: Option<String>,
    },
}

pub(super) const COLUMNS: &str = "m.id, m.mailbox_id, m.source_uid, m.message_id, m.message_id_hash, m.date_header, m.internal_date,
    m.size, m.flags, m.attempt, m.unseen, m.first_failed_at, m.sha256, m.canonical, m.mark_id, m.gm_msgid, m.next_attempt_at";

impl Ledger {
    /// Is there a row that a claim could take now or later in this run, beside those in flight?
    pub fn untried(&self) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message m JOIN mailbox b ON b.id = m.mailbox_id
                  WHERE m.status = 'pending' AND b.retired_at IS NULL AND b.inherited = 1
                    AND m.id NOT IN (SELECT id FROM temp.tried))",
            )?
            .query_row([], |r| r.get(0))
        })
    }

    /// When the next row that a claim could take is due.
    pub fn next_due(&self, now: Time) -> Result<Option<Time>> {
        // As `due`, each part by an index of its own.
        self.read(|db| {
            db.prepare_cached(
                "SELECT min(iif(EXISTS (SELECT 1 FROM message m WHERE m.status = 'pending' AND m.discovered_at > ?1 AND +m.mailbox_id = b.id)
                             OR EXISTS (SELECT 1 FROM message m WHERE m.status = 'pending' AND m.in_flight_since > ?1 AND +m.mailbox_id = b.id),
                                ?1,
                                (SELECT min(m.next_attempt_at) FROM message m WHERE m.status = 'pending' AND m.mailbox_id = b.id)))
                   FROM mailbox b WHERE b.retired_at IS NULL AND b.inherited = 1",
            )?
            .query_row([time_text(now)], |r| time_or_null(r, 0))
        })
    }

    /// A row that waited for a time within this run may be claimed again.
    pub fn wake(&mut self, id: RowId) -> Result<()> {
        self.write(|t| {
            t.execute("DELETE FROM temp.tried WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// All rows in flight.
    pub fn in_flight(&self) -> Result<Vec<Row>> {
        self.read(|db| rows(db, "m.status = 'in_flight'", params![]))
    }

    /// How many rows are in flight, and their bytes.
    pub fn under_way(&self) -> Result<(u64, u64)> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT count(*), coalesce(sum(size), 0) FROM message WHERE status = 'in_flight'",
            )?
            .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))
        })
    }

    /// Metadata that could not be fetched before and came with the body.
    pub fn learn(&mut self, id: RowId, about: &Discovered) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE message SET message_id = ?2, message_id_hash = ?3, date_header = ?4, size = ?5, flags = ?6,
                        internal_date = coalesce(?7, internal_date)
                  WHERE id = ?1 AND status = 'in_flight'",
                params![
                    id,
                    about.message_id.as_ref().map(|m| &m.text),
                    about.message_id.as_ref().map(|m| m.hash),
                    about.date,
                    about.size,
                    about.flags.to_string(),
                    about.internal_date.map(time_text)
                ],
            )?;
            Ok(())
        })
    }

    /// The index mailboxes as they were before the APPENDs of this mark.
    pub fn marks(&self, mark: MarkId) -> Result<Vec<Mark>> {
        self.read(|db| {
            db.prepare_cached("SELECT gmail_mailbox_id, uid_validity, uid_next FROM mark_mailbox WHERE mark_id = ?1")?
                .query_map([mark], |r| {
                    Ok(Mark {
                        mailbox: r.get("gmail_mailbox_id")?,
                        uid_validity: r.get("uid_validity")?,
                        uid_next: r.get("uid_next")?,
                    })
                })?
                .collect()
        })
    }

    /// The hashes of a message whose body came to hand outside its own delivery.
    pub fn set_hashes(
        &mut self,
        id: RowId,
        sha256: &Sha256,
        canonical: &CanonicalHash,
    ) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE message SET sha256 = ?2, canonical = ?3 WHERE id = ?1",
                params![id, sha256, canonical],
            )?;
            Ok(())
        })
    }

    /// Ends a row's flight. An imported id that vouches for it is used up with that.
    pub fn settle(&mut self, id: RowId, change: &Change, now: Time) -> Result<()> {
        let now = time_text(now);
        self.write(|t| {
            t.prepare_cached("DELETE FROM temp.put_behind WHERE id = ?1")?.execute([id])?;
            if let Change::Released { unseen: true } | Change::PutOff { .. } = change {
                t.execute("INSERT INTO temp.put_behind (id) VALUES (?1)", [id])?;
            }
            let changed = match change {
                Change::Delivered { proof, place, altered } => {
                    if *proof == Proof::Imported {
                        import::use_up(t, id)?;
                    }
                    t.prepare_cached(
                        "UPDATE message SET status = 'delivered', proof = ?2, delivered_at = ?3, altered = ?4, unseen = 0,
                                gmail_mailbox = ?5, gmail_uid_validity = ?6, gmail_uid = ?7, gm_msgid = ?8,
                                mark_id = iif(?2 = 'appended', mark_id, NULL), first_failed_at = NULL, fault = NULL, last_error = NULL, subject = NULL, sender = NULL
                          WHERE id = ?1 AND status = 'in_flight'",
                    )?
                    .execute(params![
                        id,
                        proof,
                        now,
                        altered,
                        place.map(|p| p.mailbox),
                        place.map(|p| p.uid_validity),
                        place.map(|p| p.uid),
                        place.and_then(|p| p.gm_msgid)
                    ])?
                }
                Change::Retry { error, first, at } => t.execute(
                    "UPDATE message SET status = 'pending', next_attempt_at = ?2, first_failed_at = ?3,
                            fault = ?4, last_error = ?5, unseen = 0, mark_id = NULL
                      WHERE id = ?1 AND status = 'in_flight'",
                    params![id, time_text(*at), time_text(*first), error.fault.name(), error.message],
                )?,
                Change::Failed { error, sender, subject } => t.execute(
                    "UPDATE message SET status = 'failed', first_failed_at = coalesce(first_failed_at, ?2), fault = ?3,
                            last_error = ?4, sender = ?5, subject = ?6, unseen = 0, mark_id = NULL
                      WHERE id = ?1 AND status = 'in_flight'",
                    params![id, now, error.fault.name(), error.message, sender, subject],
                )?,
                Change::Released { unseen } => {
                    t.execute("DELETE FROM temp.tried WHERE id = ?1", [id])?;
                    // The wait after a charge ended with this try, however early it came: what was left of it
                    // never counts as time for which the message has been tried.
                    t.execute(
                        "UPDATE message SET status = 'pending', unseen = unseen + ?2, mark_id = NULL,
                                next_attempt_at = iif(?2 AND unseen = 0, min(next_attempt_at, ?3), next_attempt_at)
                          WHERE id = ?1 AND status = 'in_flight'",
                        params![id, unseen, now],
                    )?
                }
                Change::PutOff { at, first, unseen } => t.execute(
                    "UPDATE message SET status = 'pending', next_attempt_at = ?2, unseen = unseen + ?3,
                            first_failed_at = coalesce(?4, first_failed_at), mark_id = NULL
                      WHERE id = ?1 AND status = 'in_flight'",
                    params![id, time_text(*at), unseen, first.map(time_text)],
                )?,
                Change::Later { at } => t.execute(
                    "UPDATE message SET status = 'pending', next_attempt_at = ?2, mark_id = NULL WHERE id = ?1 AND status = 'in_flight'",
                    params![id, time_text(*at)],
                )?,
                Change::Gone => t.execute(
                    "UPDATE message SET status = 'gone', mark_id = NULL WHERE id = ?1 AND status = 'in_flight'",
                    [id],
                )?,
                Change::AsBefore { row } => inherit::become_one(t, *row, id, Status::InFlight)?,
            };
            if changed == 1 { Ok(()) } else { Err(not_in_flight()) }
        })
    }

    /// UIDs of messages that this mailbox has handed over, of the latest ones the smallest; then of
    /// some that wait and were never charged.
    pub fn others_to_fetch(&self, mailbox: MailboxId) -> Result<Vec<Uid>> {
        self.read(|db| {
            let mut delivered = db.prepare_cached(
                "SELECT source_uid FROM (SELECT source_uid, size FROM message
                                          WHERE status = 'delivered' AND superseded_by IS NULL AND proof = 'appended'
                                            AND +mailbox_id = ?1
                                          ORDER BY delivered_at DESC LIMIT 20)
                  ORDER BY size LIMIT 3",
            )?;
            let mut waiting = db.prepare_cached(
                "SELECT source_uid FROM (SELECT source_uid, size, first_failed_at FROM message
                                          WHERE status = 'pending' AND +mailbox_id = ?1
                                          ORDER BY internal_date DESC, id DESC LIMIT 20)
                  WHERE first_failed_at IS NULL ORDER BY size LIMIT 2",
            )?;
            let uids = |r: &SqlRow<'_>| r.get(0);
            delivered
                .query_map([mailbox], uids)?
                .chain(waiting.query_map([mailbox], uids)?)
                .collect()
        })
    }

    /// What a run has left: (pending or in flight, failed).
    pub fn left(&self) -> Result<(u64, u64)> {
        self.read(|db| {
            db.query_row(
                "SELECT (SELECT count(*) FROM message WHERE status = 'pending' AND superseded_by IS NULL)
                      + (SELECT count(*) FROM message WHERE status = 'in_flight'),
                        (SELECT count(*) FROM message WHERE status = 'failed' AND superseded_by IS NULL)",
                [],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
        })
    }
}

/// Marks are for rows whose end nobody saw, or whose copies nobody looked at: the others are of no
/// more use.
pub(super) fn forget_marks(t: &Transaction<'_>) -> rusqlite::Result<()> {
    t.execute(
        "DELETE FROM mark_mailbox WHERE mark_id NOT IN (SELECT mark_id FROM message WHERE mark_id IS NOT NULL)",
        [],
    )?;
    t.execute(
        "DELETE FROM mark WHERE id NOT IN (SELECT mark_id FROM message WHERE mark_id IS NOT NULL)",
        [],
    )?;
    Ok(())
}

/// A row was not in the status that a verb leaves. rusqlite has a word for it.
pub(super) fn not_in_flight() -> rusqlite::Error {
    rusqlite::Error::StatementChangedRows(0)
}

/// From `gmail_mailbox`, `gmail_uid_validity`, `gmail_uid` and `gm_msgid` of a row.
pub(super) fn place_of(r: &SqlRow<'_>) -> rusqlite::Result<Option<Place>> {
    let gm_msgid = r.get("gm_msgid")?;
    let place = (
        r.get("gmail_mailbox")?,
        r.get("gmail_uid_validity")?,
        r.get("gmail_uid")?,
    );
    Ok(match place {
        (Some(mailbox), Some(uid_validity), Some(uid)) => Some(Place {
            mailbox,
            uid_validity,
            uid,
            gm_msgid,
        }),
        _ => None,
    })
}

pub(super) fn rows(
    db: &rusqlite::Connection,
    condition: &str,
    args: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Row>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM message m WHERE {condition} ORDER BY m.id"
    ))?
    .query_map(args, row)?
    .collect()
}

/// From `COLUMNS`.
pub(super) fn row(r: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let text: Option<String> = r.get("message_id")?;
    let hash: Option<[u8; 16]> = r.get("message_id_hash")?;
    let internal_date = time(r, "internal_date")?;
    let flags: String = r.get("flags")?;
    Ok(Row {
        id: r.get("id")?,
        mailbox_id: r.get("mailbox_id")?,
        about: Discovered {
            uid: r.get("source_uid")?,
            message_id: text.zip(hash).map(|(text, hash)| MessageId { text, hash }),
            date: r.get("date_header")?,
            internal_date: Some(internal_date),
            size: r.get("size")?,
            flags: Flags::parse(&flags),
            gm_msgid: r.get("gm_msgid")?,
        },
        internal_date,
        attempt: r.get("attempt")?,
        unseen: r.get("unseen")?,
        first_failed_at: time_or_null(r, "first_failed_at")?,
        due_at: time(r, "next_attempt_at")?,
        sha256: r.get("sha256")?,
        canonical: r.get("canonical")?,
        mark: r.get("mark_id")?,
    })
}
