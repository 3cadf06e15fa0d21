//! A message's row: what is known of it, in which status it is, and where its copy lies. Not for changing it.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row as SqlRow, Statement};

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

/// The columns of a row `m` that a [`Row`] is read from, first in each statement that does: text and places are made of
/// one list, so that no name is looked for in each row.
macro_rules! columns {
    ($first:ident $($column:ident)*) => {
        pub(super) const COLUMNS: &str = concat!("m.", stringify!($first) $(, ", m.", stringify!($column))*);

        /// Where they stand.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy)]
        enum Column {
            $first,
            $($column),*
        }

        const NAMES: &[&str] = &[stringify!($first), $(stringify!($column)),*];
    };
}

columns!(
    id mailbox_id source_uid message_id message_id_hash date_header internal_date size flags attempt unseen
    first_failed_at sha256 canonical mark_id gm_msgid next_attempt_at destination_id by_import refused_by detour
);

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
    debug_assert!(stand_first(r), "a row is read from what stands first");
    let text: Option<String> = get(r, Column::message_id)?;
    let hash: Option<[u8; 16]> = get(r, Column::message_id_hash)?;
    let internal_date = time(r, Column::internal_date as usize)?;
    let flags = r.get_ref(Column::flags as usize)?.as_str()?;
    Ok(Row {
        id: get(r, Column::id)?,
        mailbox_id: get(r, Column::mailbox_id)?,
        about: Discovered {
            uid: get(r, Column::source_uid)?,
            message_id: text.zip(hash).map(|(text, hash)| MessageId { text, hash }),
            date: get(r, Column::date_header)?,
            internal_date: Some(internal_date),
            size: get(r, Column::size)?,
            flags: Flags::parse(flags),
            gm_msgid: get(r, Column::gm_msgid)?,
        },
        internal_date,
        attempt: get(r, Column::attempt)?,
        unseen: get(r, Column::unseen)?,
        first_failed_at: time_or_null(r, Column::first_failed_at as usize)?,
        due_at: time(r, Column::next_attempt_at as usize)?,
        sha256: get(r, Column::sha256)?,
        canonical: get(r, Column::canonical)?,
        mark: get(r, Column::mark_id)?,
        destination: get(r, Column::destination_id)?,
        by_import: get(r, Column::by_import)?,
        refused_by: get(r, Column::refused_by)?,
        detour: get(r, Column::detour)?,
    })
}

fn get<T: FromSql>(r: &SqlRow<'_>, column: Column) -> rusqlite::Result<T> {
    r.get(column as usize)
}

/// Are the first columns of its statement those of `COLUMNS`?
fn stand_first(r: &SqlRow<'_>) -> bool {
    let there = |at: usize| r.as_ref().column_name(at).ok();
    (0..).zip(NAMES).all(|(at, name)| there(at) == Some(*name))
}

/// Where a statement has `gmail_mailbox`, `gmail_uid_validity`, `gmail_uid` and `gm_msgid` of a row: looked for once, where
/// it gives many.
pub(super) struct PlaceColumns([usize; 4]);

impl PlaceColumns {
    pub(super) fn of(statement: &Statement<'_>) -> rusqlite::Result<PlaceColumns> {
        let at = |name| statement.column_index(name);
        let names = [
            at("gmail_mailbox")?,
            at("gmail_uid_validity")?,
            at("gmail_uid")?,
            at("gm_msgid")?,
        ];
        Ok(PlaceColumns(names))
    }

    pub(super) fn place(&self, r: &SqlRow<'_>) -> rusqlite::Result<Option<Place>> {
        let [mailbox, uid_validity, uid, gm_msgid] = self.0;
        let gm_msgid = r.get(gm_msgid)?;
        let place = (r.get(mailbox)?, r.get(uid_validity)?, r.get(uid)?);
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
}

/// From `gmail_mailbox`, `gmail_uid_validity`, `gmail_uid` and `gm_msgid` of a row.
pub(super) fn place_of(r: &SqlRow<'_>) -> rusqlite::Result<Option<Place>> {
    PlaceColumns::of(r.as_ref())?.place(r)
}

/// A row was not in the status that a verb leaves. rusqlite has a word for it.
pub(super) fn not_in_flight() -> rusqlite::Error {
    rusqlite::Error::StatementChangedRows(0)
}
