//! Whose copy is it? What the ledger knows of rows that share a name or bytes, of messages of the target
//! that vouch for rows already, and of copies that were sent and are still to be looked at.

use std::collections::HashSet;
use std::sync::LazyLock;

use rusqlite::{OptionalExtension, Row as SqlRow, Statement, params};

use super::intent::forget_marks;
use super::open::{Ledger, Reach};
use super::row::{COLUMNS, Place, PlaceColumns, Proof, Row, UNVERIFIED, place_of, row};
use super::value::{IndexId, RowId, time_or_null};
use crate::error::{Error, Result};
use crate::message::{Discovered, Sha256, Time, Uid, UidValidity, time_text};

/// A row `m` that is delivered by a proof of its own, looked at where that needs a look. One whose proof
/// is that another row was delivered vouches for nobody: two of them could vouch for each other.
const BY_ITSELF: &str = "m.status = 'delivered' AND m.superseded_by IS NULL
    AND (m.proof IN ('found', 'imported', 'merged')
         OR (m.proof IN ('appended', 'imported_by_api') AND m.verified_at IS NOT NULL))";
/// A row `m` that may be the one a message of the target is a copy of, when it has the Message-ID (?1)
/// and Date (?2) of another (?3): unless its message is known to be gone.
const RIVAL: &str = "m.message_id_hash = ?1 AND m.date_header IS ?2 AND m.id <> ?3
    AND m.superseded_by IS NULL AND m.status <> 'gone'";

/// A row `m` whose message goes into the mailbox that the message of another row goes into.
pub(super) fn same_spot(row: &str) -> String {
    format!(
        "m.destination_id IN (SELECT d.id FROM destination d JOIN destination o ON o.spot = d.spot
            WHERE o.id = (SELECT destination_id FROM message WHERE id = {row}))"
    )
}

/// A row `m` whose copy can stand for the message of another row, in a Gmail: what was put into Spam or Trash
/// is no copy of what belongs elsewhere.
fn not_thrown_away(row: &str) -> String {
    const THROWN_AWAY: &str = "(SELECT id FROM destination WHERE spot IN ('\\Junk', '\\Trash'))";
    format!(
        "(m.destination_id NOT IN {THROWN_AWAY}
          OR (SELECT destination_id FROM message WHERE id = {row}) IN {THROWN_AWAY})"
    )
}

/// Another row with the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// Delivered, by a proof of its own.
    Delivered,
    /// Its APPEND was answered OK, and nobody has looked at the copy.
    Unverified,
    /// The same of an import, whose copy may take a moment until it is to be seen.
    UnverifiedImport,
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

/// Where a statement has the columns of a [`Verification`].
struct VerificationColumns {
    place: PlaceColumns,
    altered: usize,
    delivered_at: usize,
}

impl VerificationColumns {
    fn of(statement: &Statement<'_>) -> rusqlite::Result<VerificationColumns> {
        Ok(VerificationColumns {
            place: PlaceColumns::of(statement)?,
            altered: statement.column_index("altered")?,
            delivered_at: statement.column_index("delivered_at")?,
        })
    }

    fn verification(&self, r: &SqlRow<'_>) -> rusqlite::Result<Verification> {
        Ok(Verification {
            row: row(r)?,
            place: self.place.place(r)?,
            altered: r.get(self.altered)?,
            delivered_at: time_or_null(r, self.delivered_at)?,
        })
    }
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

/// [`RIVAL`], of rows whose messages go where this one's goes if copies elsewhere are others.
fn rival(reach: Reach) -> String {
    match reach {
        Reach::Account => RIVAL.into(),
        Reach::Mailbox => format!("{RIVAL} AND {}", same_spot("?3")),
    }
}

/// The texts of a statement for each kind of account: made once, for a long text made for each message costs more than what
/// it asks.
struct ByReach(LazyLock<[String; 2]>);

impl ByReach {
    const fn new(texts: fn() -> [String; 2]) -> ByReach {
        ByReach(LazyLock::new(texts))
    }

    fn text(&self, reach: Reach) -> &str {
        let [account, mailbox] = &*self.0;
        match reach {
            Reach::Account => account,
            Reach::Mailbox => mailbox,
        }
    }
}

/// For each kind of account.
fn by_reach(text: impl Fn(Reach) -> String) -> [String; 2] {
    [Reach::Account, Reach::Mailbox].map(text)
}

fn twin_query(reach: Reach) -> String {
    // What an older incarnation of the same folder had is this very message, wherever it went.
    const BEFORE: &str = "m.sha256 = ?1 AND m.id <> ?2 AND m.superseded_by IS NULL
        AND m.mailbox_id IN (SELECT b.id FROM mailbox b WHERE b.retired_at IS NOT NULL AND b.folder_id =
            (SELECT n.folder_id FROM message o JOIN mailbox n ON n.id = o.mailbox_id WHERE o.id = ?2))";
    let stands_for = match reach {
        Reach::Account => not_thrown_away("?2"),
        Reach::Mailbox => same_spot("?2"),
    };
    format!(
        "SELECT coalesce((SELECT m.id FROM message m WHERE {BEFORE} AND m.status = 'delivered' LIMIT 1),
                         (SELECT m.id FROM message m WHERE {BEFORE} AND m.status IN ('failed', 'skipped') LIMIT 1)),
                EXISTS (SELECT 1 FROM message m INDEXED BY message_by_sha256 WHERE m.sha256 = ?1 AND m.id <> ?2 AND {BY_ITSELF}
                           AND {stands_for}),
                EXISTS (SELECT 1 FROM message m INDEXED BY message_by_sha256 WHERE m.sha256 = ?1 AND m.id <> ?2 AND m.superseded_by IS NULL
                           AND m.status = 'delivered' AND {UNVERIFIED} AND {stands_for}),
                EXISTS (SELECT 1 FROM message m INDEXED BY message_by_sha256 WHERE m.sha256 = ?1 AND m.id <> ?2 AND m.superseded_by IS NULL
                           AND m.status = 'delivered' AND {UNVERIFIED} AND m.by_import = 1)
          WHERE EXISTS (SELECT 1 FROM message m INDEXED BY message_by_sha256
                         WHERE m.sha256 = ?1 AND m.id <> ?2 AND m.superseded_by IS NULL)"
    )
}

fn unhashed_query(reach: Reach) -> String {
    format!(
        "SELECT {COLUMNS}, m.gmail_mailbox, m.gmail_uid_validity, m.gmail_uid FROM message m
          WHERE {} AND m.status = 'delivered' AND m.sha256 IS NULL ORDER BY m.id",
        rival(reach)
    )
}

impl Ledger {
    /// Another row with these bytes that decides what becomes of this one.
    pub fn twin(&self, id: RowId, sha256: &Sha256) -> Result<Option<Twin>> {
        static TWIN: ByReach = ByReach::new(|| by_reach(twin_query));
        self.read(|db| {
            // Of most messages there is no other with these bytes.
            let twin: Option<(Option<RowId>, bool, bool, bool)> = db
                .prepare_cached(TWIN.text(self.reach))?
                .query_row(params![sha256, id], |r| r.try_into())
                .optional()?;
            let Some((before, delivered, unverified, by_import)) = twin else {
                return Ok(None);
            };
            Ok(match before {
                Some(before) => Some(Twin::Before(before)),
                None if delivered => Some(Twin::Delivered),
                None if unverified && by_import => Some(Twin::UnverifiedImport),
                None => unverified.then_some(Twin::Unverified),
            })
        })
    }

    /// Some of the other rows of this row's mailbox that have these bytes.
    pub fn twins_beside(&self, of: &Row, sha256: &Sha256) -> Result<Vec<Discovered>> {
        static BESIDE: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT {COLUMNS} FROM message m WHERE m.sha256 = ?1 AND m.mailbox_id = ?2 AND m.id <> ?3
                    AND m.superseded_by IS NULL LIMIT 5"
            )
        });
        self.read(|db| {
            db.prepare_cached(&BESIDE)?
                .query_map(params![sha256, of.mailbox_id, of.id], |r| Ok(row(r)?.about))?
                .collect()
        })
    }

    /// Are these the bytes of another row that the target has, or may have?
    pub fn has_bytes_of_another(&self, id: RowId, sha256: &Sha256) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message WHERE sha256 = ?1 AND id <> ?2 AND superseded_by IS NULL
                                   AND status IN ('delivered', 'in_flight', 'failed', 'skipped'))",
            )?
            .query_row(params![sha256, id], |r| r.get(0))
        })
    }

    /// Is there another row with the Message-ID and Date of this one whose message is not known to be
    /// gone? It may be the one that a message in the target is a copy of.
    pub fn has_rivals(&self, row: &Row) -> Result<bool> {
        let Some(message_id) = &row.about.message_id else {
            return Ok(false);
        };
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM message m WHERE {})",
                rival(self.reach)
            ))?
            .query_row(params![message_id.hash, row.about.date, row.id], |r| {
                r.get(0)
            })
        })
    }

    /// May this row, which has a name, have the bytes of one that is delivered, or that this run has tried?
    /// Bytes hold the name and the date.
    pub fn may_have_a_twin(&self, row: &Row) -> Result<bool> {
        let Some(message_id) = &row.about.message_id else {
            return Ok(false);
        };
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM message m WHERE {}
                                   AND (m.status = 'delivered' OR m.id IN (SELECT id FROM temp.tried)))",
                rival(self.reach)
            ))?
            .query_row(params![message_id.hash, row.about.date, row.id], |r| {
                r.get(0)
            })
        })
    }

    /// Size and Date of each delivered row without a name: what has other ones has other bytes.
    pub fn delivered_nameless(&self) -> Result<HashSet<(Option<u64>, Option<String>)>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT m.size, m.date_header FROM message m
                  WHERE m.message_id_hash IS NULL AND m.status = 'delivered' AND m.superseded_by IS NULL",
            )?
            .query_map([], |r| r.try_into())?
            .collect()
        })
    }

    /// Is there a rival of this row whose bytes nobody knows?
    pub fn has_unknown_rivals(&self, row: &Row) -> Result<bool> {
        let Some(message_id) = &row.about.message_id else {
            return Ok(false);
        };
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM message m WHERE {} AND m.sha256 IS NULL)",
                rival(self.reach)
            ))?
            .query_row(params![message_id.hash, row.about.date, row.id], |r| {
                r.get(0)
            })
        })
    }

    /// Of this row's rivals, those that are delivered and whose bytes nobody has hashed: a message
    /// with their Message-ID and Date may be theirs or another one.
    pub fn unhashed_rivals(&self, of: &Row) -> Result<Vec<(Row, Option<Place>)>> {
        static UNHASHED: ByReach = ByReach::new(|| by_reach(unhashed_query));
        let Some(message_id) = &of.about.message_id else {
            return Ok(Vec::new());
        };
        self.read(|db| {
            db.prepare_cached(UNHASHED.text(self.reach))?
                .query_map(params![message_id.hash, of.about.date, of.id], |r| {
                    Ok((row(r)?, place_of(r)?))
                })?
                .collect()
        })
    }

    /// Does a message of the target vouch for another row than this one, where it lies or under
    /// another label?
    pub fn vouches_for_another(&self, row: RowId, place: Place) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message WHERE gmail_mailbox = ?1 AND gmail_uid = ?3 AND gmail_uid_validity = ?2
                                   AND superseded_by IS NULL AND id <> ?5)
                     OR EXISTS (SELECT 1 FROM message WHERE gm_msgid = ?4 AND superseded_by IS NULL AND id <> ?5)",
            )?
            .query_row(
                params![place.mailbox, place.uid_validity, place.uid, place.gm_msgid, row],
                |r| r.get(0),
            )
        })
    }

    /// Was the message with this X-GM-MSGID in the target before this row was sent: did the index
    /// know it below the row's mark?
    pub fn known_before_mark(&self, row: RowId, gm_msgid: u64) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message m
                                  JOIN mark_mailbox k ON k.mark_id = m.mark_id
                                  JOIN gmail_message g ON g.mailbox_id = k.gmail_mailbox_id AND g.uid < k.uid_next
                                 WHERE m.id = ?1 AND g.gm_msgid = ?2)",
            )?
            .query_row(params![row, gm_msgid], |r| r.get(0))
        })
    }

    /// Since when a row is in flight: it was claimed then, whichever process did.
    pub fn in_flight_since(&self, id: RowId) -> Result<Option<Time>> {
        self.read(|db| {
            db.prepare_cached("SELECT in_flight_since FROM message WHERE id = ?1")?
                .query_row([id], |r| time_or_null(r, 0))
        })
    }

    /// Rows whose copies have not been looked at since their APPEND was answered OK.
    pub fn unverified(&self) -> Result<Vec<Verification>> {
        self.read(|db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT {COLUMNS}, m.gmail_mailbox, m.gmail_uid_validity, m.gmail_uid, m.altered, m.delivered_at
                   FROM message m WHERE {UNVERIFIED}",
            ))?;
            let columns = VerificationColumns::of(&query)?;
            query.query_map([], |r| columns.verification(r))?.collect()
        })
    }

    /// Those of these rows whose copies have not been looked at.
    pub fn unverified_among(&self, ids: &[RowId]) -> Result<Vec<Verification>> {
        self.read(|db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT {COLUMNS}, m.gmail_mailbox, m.gmail_uid_validity, m.gmail_uid, m.altered, m.delivered_at
                   FROM message m WHERE m.id = ?1 AND {UNVERIFIED}",
            ))?;
            let columns = VerificationColumns::of(&query)?;
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                found.extend(query.query_row([id], |r| columns.verification(r)).optional()?);
            }
            Ok(found)
        })
    }

    /// Messages of the delivery mailbox that have been looked at before, of the latest ones the smallest.
    pub fn looked_at(&self, mailbox: IndexId, validity: UidValidity) -> Result<Vec<Uid>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT gmail_uid FROM (SELECT gmail_uid, size FROM message
                                         WHERE gmail_mailbox = ?1 AND gmail_uid IS NOT NULL AND gmail_uid_validity = ?2
                                           AND verified_at IS NOT NULL AND superseded_by IS NULL
                                         ORDER BY gmail_uid DESC LIMIT 20)
                  ORDER BY size LIMIT 5",
            )?
            .query_map(params![mailbox, validity], |r| r.get(0))?
            .collect()
        })
    }

    /// Writes down what looking at a copy showed. A row that is taken back takes back those that were
    /// delivered because of it: returns how many.
    pub fn verified(&mut self, looked_at: &[(RowId, Verdict)], now: Time) -> Result<usize> {
        self.write(|t| {
            let mut good = t.prepare_cached(
                "UPDATE message SET verified_at = ?2, altered = max(altered, ?3), gm_msgid = coalesce(?4, gm_msgid),
                        proof = coalesce(?5, proof), canonical = NULL, mark_id = NULL
                  WHERE id = ?1 AND status = 'delivered'",
            )?;
            let mut twins = t.prepare_cached(
                "UPDATE message SET status = 'failed', proof = NULL, delivered_at = NULL, fault = ?3, last_error = ?4,
                        first_failed_at = ?2, canonical = NULL, sender = ?5, subject = ?6
                  WHERE sha256 = (SELECT sha256 FROM message WHERE id = ?1) AND id <> ?1 AND superseded_by IS NULL
                    AND status = 'delivered' AND proof = 'same'
                    AND NOT EXISTS (SELECT 1 FROM message o WHERE o.sha256 = message.sha256 AND o.superseded_by IS NULL
                                       AND o.id <> ?1 AND o.status = 'delivered' AND o.proof <> 'same')",
            )?;
            let mut misplaced = t.prepare_cached(
                "UPDATE message SET verified_at = ?2, gmail_mailbox = NULL, gmail_uid_validity = NULL, gmail_uid = NULL,
                        canonical = NULL, mark_id = NULL
                  WHERE id = ?1 AND status = 'delivered'",
            )?;
            let mut refuted = 0;
            let mut other = t.prepare_cached(
                "UPDATE message SET status = 'failed', proof = NULL, delivered_at = NULL, fault = ?3, last_error = ?4,
                        first_failed_at = ?2, gmail_mailbox = NULL, gmail_uid_validity = NULL, gmail_uid = NULL,
                        gm_msgid = NULL, canonical = NULL, mark_id = NULL, sender = ?5, subject = ?6
                  WHERE id = ?1 AND status = 'delivered'",
            )?;
            let mut no_labels = t.prepare_cached("DELETE FROM label_owed WHERE message_id = ?1")?;
            for (id, verdict) in looked_at {
                match verdict {
                    Verdict::Ours { altered, merged, gm_msgid } => {
                        let proof = merged.then_some(Proof::Merged);
                        good.execute(params![id, time_text(now), altered, gm_msgid, proof])?;
                    }
                    Verdict::Misplaced => {
                        misplaced.execute(params![id, time_text(now)])?;
                    }
                    Verdict::Found { gm_msgid } => {
                        good.execute(params![id, time_text(now), true, gm_msgid, Proof::Found])?;
                    }
                    Verdict::NotOurs { error, sender, subject } => {
                        no_labels.execute([id])?;
                        for (n, statement) in [&mut twins, &mut other].into_iter().enumerate() {
                            let changed = statement.execute(params![
                                id,
                                time_text(now),
                                error.fault.name(),
                                error.message,
                                sender,
                                subject
                            ])?;
                            refuted += if n == 0 { changed } else { 0 };
                        }
                    }
                };
            }
            forget_marks(t)?;
            Ok(refuted)
        })
    }
}
