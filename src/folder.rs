//! A folder: a mailbox of the source, and where its messages go in the target. Data, which the ledger
//! keeps; not for opening either.

use crate::error::shown;

mod utf7;

pub use utf7::{decoded, encoded};

/// The mailbox that every account has (RFC 3501 5.1).
pub const INBOX: &str = "INBOX";

/// The folder's row in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FolderId(pub i64);

/// Both names as they are on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub id: FolderId,
    /// The mailbox that is read.
    pub source: String,
    /// The mailbox that messages are appended to.
    pub target: String,
}

impl Folder {
    /// The source's mailbox, for people.
    pub fn name(&self) -> String {
        shown(self.source.as_bytes())
    }
}
