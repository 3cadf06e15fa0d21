//! The numbers of the ledger's rows, each of a type of its own so that none is taken for another, and how
//! they and other values of this program stand in columns. Not for SQL.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::folder::FolderId;
use crate::message::{CanonicalHash, Sha256, Uid, UidValidity};

/// A message's row: `message.id`, which people see too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// A mailbox of the source in one incarnation: `mailbox.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MailboxId(pub i64);

/// A mailbox of the target: `gmail_mailbox.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexId(pub i64);

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

as_its_content!(RowId MailboxId IndexId MarkId FolderId Uid UidValidity Sha256 CanonicalHash);
