//! A message's row: what is known of it, in which status it is, and where its copy lies. Not for changing it.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row as SqlRow};

use super::value::{IndexId, MailboxId, MarkId, RowId, time, time_or_null};
use crate::error::shown;
use crate::folder::DestinationId;
use crate::message::{
    CanonicalHash, Discovered, Flags, MessageId, Sha256, Time, Uid, UidValidity, date_header_time,
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
    /// Where its message goes.
    pub destination: DestinationId,
    /// It was last sent through Gmail's API: its copy has lines of Gmail's own in front.
    pub by_import: bool,
    /// The road that has refused it for what it is.
    pub refused_by: Option<RefusedBy>,
    /// Why it does not take the road of its folder.
    pub detour: Option<String>,
}

impl Row {
    /// Has it no Message-ID or no Date?
    pub fn is_anonymous(&self) -> bool {
        self.about.message_id.is_none() || self.about.date.is_none()
    }

    /// The date that the road by which it was last sent gives its copy: what is imported has that of its Date header
    /// (docs/gmail-import.md 3).
    pub fn date_there(&self) -> Time {
        let header = self.about.date.as_deref().filter(|_| self.by_import);
        header
            .and_then(date_header_time)
            .unwrap_or(self.internal_date)
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

/// A road that has refused a message for what it is: the other one may take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    Append,
    Import,
}

impl RefusedBy {
    fn name(self) -> &'static str {
        match self {
            RefusedBy::Append => "append",
            RefusedBy::Import => "import",
        }
    }
}

impl FromSql for RefusedBy {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<RefusedBy> {
        let name = value.as_str()?;
        let known = [RefusedBy::Append, RefusedBy::Import].into_iter();
        let mut known = known.filter(|known| known.name() == name);
        known.next().ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for RefusedBy {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

/// How we know that the target has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Appended,
    /// Gmail's API said yes to our import, and gave its number.
    ImportedByApi,
    Found,
    /// An imported Message-ID vouches for it.
    Imported,
    Same,
    /// The target put it together with an equal message that it had.
    Merged,
}

impl Proof {
    pub const ALL: [Proof; 6] = [
        Proof::Appended,
        Proof::ImportedByApi,
        Proof::Found,
        Proof::Imported,
        Proof::Same,
        Proof::Merged,
    ];
    /// Those of what we sent.
    pub const SENT: [Proof; 2] = [Proof::Appended, Proof::ImportedByApi];

    /// As the ledger has it.
    pub fn name(self) -> &'static str {
        match self {
            Proof::Appended => "appended",
            Proof::ImportedByApi => "imported_by_api",
            Proof::Found => "found",
            Proof::Imported => "imported",
            Proof::Same => "same",
            Proof::Merged => "merged",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Proof> {
        Proof::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl FromSql for Proof {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Proof> {
        let name = value.as_str()?;
        let known = Proof::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            let words = format!("`{}` is no proof of a delivery", shown(name.as_bytes()));
            FromSqlError::Other(words.into())
        })
    }
}

impl ToSql for Proof {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
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

pub(super) const COLUMNS: &str = "m.id, m.mailbox_id, m.source_uid, m.message_id, m.message_id_hash, m.date_header, m.internal_date,
    m.size, m.flags, m.attempt, m.unseen, m.first_failed_at, m.sha256, m.canonical, m.mark_id, m.gm_msgid, m.next_attempt_at, m.destination_id, m.by_import, m.refused_by, m.detour";

pub(super) fn rows(
    db: &Connection,
    condition: &str,
    args: impl Params,
) -> rusqlite::Result<Vec<Row>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM message m WHERE {condition} ORDER BY m.id"
    ))?
    .query_map(args, row)?
    .collect()
}

/// A row `m` whose copy the target said yes to, and nobody has looked at.
pub(super) const UNVERIFIED: &str =
    "m.proof IN ('appended', 'imported_by_api') AND m.verified_at IS NULL";
/// A row `m` whose copy was looked at, where that is needed.
pub(super) const LOOKED_AT: &str =
    "(m.proof NOT IN ('appended', 'imported_by_api') OR m.verified_at IS NOT NULL)";

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
        destination: r.get("destination_id")?,
        by_import: r.get("by_import")?,
        refused_by: r.get("refused_by")?,
        detour: r.get("detour")?,
    })
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

/// A row was not in the status that a verb leaves. rusqlite has a word for it.
pub(super) fn not_in_flight() -> rusqlite::Error {
    rusqlite::Error::StatementChangedRows(0)
}
