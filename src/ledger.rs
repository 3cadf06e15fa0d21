//! The ledger: a SQLite file in which every message is a row, and every SQL statement there is.
//!
//! Callers use verbs (record, claim, mark, settle ...) and never see SQL. Each verb is one
//! transaction; what it needs to know about the moment is passed in. It knows no IMAP: UIDs and
//! hashes are numbers and bytes to it.
//!
//! Each file imports only what stands above it; `tests/order.rs` holds them to that.
//! ```text
//! value      numbers of rows, and how values stand in columns
//! row        a message's row, its status, its proof, where its copy lies
//! file       which file it is, and whether it may be used
//! refusal    why it cannot be used, in words
//! lock       one run per ledger
//! open       made, opened, brought up to date; read and written
//! shared     what several threads use, each for one step
//! route      whose it is
//! budget     what was sent in 24 hours, and what a daily limit leaves
//! intent     what is about to be sent, and where resolution would begin to look
//! folders    which mailboxes are copied, and where their mail goes
//! discover   a row for each message, and how far the source has been looked at
//! imported   the ids that the predecessor left
//! inherit    rows move with their messages when UIDs change their meaning
//! claim      what is delivered next
//! index      what the target holds
//! by_import  the road through Gmail's API: whether it rests, what of it is spam
//! labels     what copies are still to get besides
//! settle     what became of it
//! matching   whose copy is it
//! audit      what an audit reads, and what is queued again
//! overlap    does the target hold already what waits
//! pace       how far an import has come
//! removable  may a message be removed at the source
//! removal    what was to be removed there, and what came of it
//! heartbeat  signs of life, and trouble
//! alarm      what a person was told of
//! report     counts, failures, what is put off
//! notices    the mails that tell of failures
//! inspect    a look that changes nothing
//! choose     which of several files
//! ```

mod value;

mod row;

mod file;

mod refusal;

mod lock;

mod open;

mod shared;

mod route;

mod budget;

mod intent;

mod folders;

mod discover;

mod imported;

mod inherit;

mod claim;

mod index;

mod by_import;

mod labels;

mod settle;

mod matching;

mod audit;

mod overlap;

mod pace;

mod removable;

mod removal;

mod heartbeat;

mod alarm;

mod report;

mod notices;

mod inspect;

mod choose;

pub use alarm::{Episode, Told};
pub use audit::{AuditedRow, IndexedName, Requeue, Voucher};
pub use budget::Room;
pub use choose::{Chosen, choose};
pub use claim::{Claim, Claimed};
pub use discover::{MailboxRow, Progress};
pub use file::{beside, may_write, owner_alone_reads};
pub use folders::{FolderNews, Mapped};
pub use heartbeat::{Look, Part, Trouble, TroubleKind};
pub use imported::Imported;
pub use index::{IndexMailbox, Witness};
pub use inherit::Inherited;
pub use inspect::{Inspection, inspect, read, read_beside_run};
pub use intent::{Intent, Mark};
pub use labels::Debt;
pub use lock::{Lock, is_held, lock};
pub use matching::{Twin, Verdict, Verification};
pub use notices::{Failure, NOTICE_MAIL_ID, Notice, NoticeEnd, NoticeStep};
pub use open::{Ledger, Reach, migrations};
pub use overlap::Overlap;
pub use pace::{Count, History};
pub use removable::{CopyNow, KeptFor, Looks, Removable, SourceNow, Verdict as RemovalVerdict};
pub use removal::{BeingRemoved, MovedTo, OpenRemoval, RemovalEnd, RemovalWay, Removals, Wish};
pub use report::{Backlog, FailedRow, PutOffRow, Reasons, Summary};
pub use route::Route;
pub use row::{Place, Proof, RefusedBy, Row, Status};
pub use settle::Change;
pub use shared::Shared;
pub use value::{IndexId, MailboxId, MarkId, NoticeId, RemovalId, RowId};

#[cfg(test)]
mod tests;
