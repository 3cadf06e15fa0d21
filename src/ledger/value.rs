//! The numbers of the ledger's rows, each of a type of its own so that none is taken for another, and how
//! they and other values of this program stand in columns. Not for SQL.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Error, Row as SqlRow, RowIndex};

use crate::error::shown;
use crate::folder::{DestinationId, FolderId};
use crate::message::{CanonicalHash, Sha256, Time, Uid, UidValidity, parse_time};

/// A message's row: `message.id`, which people see too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// A mailbox of the source in one incarnation: `mailbox.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MailboxId(pub i64);

/// A mailbox of the target: `gmail_mailbox.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexId(pub i64);

/// A mail of ours that tells of failures: `notice.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoticeId(pub i64);

/// What was about to be done with some messages of the source: `removal.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemovalId(pub i64);

/// Where resolution begins to look: `mark.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MarkId(pub i64);

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// They stand in a column as what they are made of.
macro_rules! as_its_content {
    ($($value:ident)*) => {$(
        impl FromSql for $value {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$value> {
                FromSql::column_result(value).map($value)
            }
        }

        impl ToSql for $value {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }
    )*};
}

as_its_content!(RowId MailboxId IndexId MarkId NoticeId RemovalId FolderId DestinationId Uid UidValidity Sha256 CanonicalHash);

/// Reads a moment. Nobody but this program writes one: a text that is none is damage.
pub(super) fn time(r: &SqlRow<'_>, column: impl RowIndex) -> rusqlite::Result<Time> {
    let at = column.idx(r.as_ref())?;
    time_or_null(r, at)?.ok_or_else(|| no_time(r, at, "NULL"))
}

/// As [`time`], of a column that may be empty.
pub(super) fn time_or_null(
    r: &SqlRow<'_>,
    column: impl RowIndex,
) -> rusqlite::Result<Option<Time>> {
    let at = column.idx(r.as_ref())?;
    let Some(text) = r.get::<_, Option<String>>(at)? else {
        return Ok(None);
    };
    match parse_time(&text) {
        Some(time) => Ok(Some(time)),
        None => Err(no_time(r, at, &format!("`{}`", shown(text.as_bytes())))),
    }
}

fn no_time(r: &SqlRow<'_>, at: usize, got: &str) -> Error {
    let column = r.as_ref().column_name(at).unwrap_or("a column");
    let words = format!("{column} is {got}, expected a time like 2026-11-23T08:12:09Z");
    Error::FromSqlConversionFailure(at, Type::Text, words.into())
}
