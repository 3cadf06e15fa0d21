//! Why a ledger cannot be used, in words: what SQLite or the system says, and what is none.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use rusqlite::ErrorCode;

use super::{beside, import, may_write};
use crate::error::{Error, Result};
use crate::place::{FULL, FilePlace, Want};
use crate::text;

/// For one that is there: a new one beside it would send mail again that has no Message-ID.
const MOVE_IT: &str = "move it, with its -wal file if it has one, and say where it is with --state-file or `state_file`; a new ledger would not know what was sent";
pub(super) const OTHER_PLACE: &str = "give another path with --state-file or `state_file`";

pub(super) fn place(path: &Path) -> FilePlace<'_> {
    let there = match fs::metadata(path) {
        Ok(m) => m.is_file() && m.len() > 0,
        Err(e) => !is_absent(&e),
    };
    FilePlace {
        what: "ledger",
        path,
        or: if there { MOVE_IT } else { OTHER_PLACE },
    }
}

/// What may not be looked at is not.
fn is_absent(e: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&e.kind())
}

pub(super) fn must_be_there(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(e) if is_absent(&e) => Err(Error::fatal(format!(
            "{}: there is no ledger here",
            path.display()
        ))
        .hint("if nothing has been copied yet, the first `imap-to-gmail run` makes it; if something has, name its configuration with --config, or the file itself with --state-file")),
        Err(e) => Err(place(path).refused(Want::Read, &e)),
    }
}

/// How `sudo -u` is to call the owner of what keeps a reader from the ledger at `path`.
pub fn owner_alone_reads(path: &Path) -> Option<String> {
    ["", "-wal", "-shm", "-journal"]
        .into_iter()
        .find_map(|suffix| place(&beside(path, suffix)).owner())
}

pub(super) fn damaged(path: &Path, what: &str) -> Error {
    Error::fatal(format!("{}: the ledger is damaged: {what}", path.display())).hint(
        "keep a copy of it, then try `sqlite3 LEDGER .recover`; a new ledger would find what the target has by Message-ID",
    )
}

/// What SQLite could not do, for people.
pub(super) fn explain(e: &rusqlite::Error, at: &Path) -> Error {
    let path = at.display();
    if let rusqlite::Error::FromSqlConversionFailure(_, _, what) = e {
        return damaged(at, &what.to_string());
    }
    match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => damaged(at, &e.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::fatal(format!("{path}: another program keeps the ledger locked"))
                .hint("does a `sqlite3` shell have a transaction open?")
        }
        _ if is_full(e) => Error::fatal(format!("{path}: {}", FULL[0])).hint(FULL[1]),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            // SQLite does not say which of its files, nor why.
            match may_write(at) {
                Err(found) => found,
                Ok(()) => Error::fatal(format!("{path}: the ledger cannot be written: {e}"))
                    .hint("may you write the file and its folder?"),
            }
        }
        _ => Error::fatal(format!("{path}: the ledger failed: {e}"))
            .hint("is the disk in order? `sqlite3 LEDGER 'PRAGMA integrity_check'` looks at the file; nothing was half written"),
    }
}

/// SQLite knows of a full disk only where it writes; where it makes room for its shared memory it
/// calls it a failure of the disk.
fn is_full(e: &rusqlite::Error) -> bool {
    let extended = e.sqlite_error().map(|e| e.extended_code);
    e.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// A JSON file here is the predecessor's state file; anything else that is no database is refused
/// before SQLite sees it.
pub(super) fn refuse_strangers(path: &Path) -> Result<()> {
    let Ok(file) = File::open(path) else {
        return Ok(());
    };
    let mut head = Vec::new();
    file.take(64)
        .read_to_end(&mut head)
        .map_err(|e| place(path).refused(Want::Read, &e))?;
    let plain = text::plain(&head).unwrap_or(&head);
    if matches!(plain.trim_ascii_start(), [b'{' | b'[', ..]) {
        return Err(Error::usage(format!(
            "{}: a JSON file, expected a ledger (SQLite)",
            path.display()
        ))
        .hint(import::taken_over(path)));
    }
    if !head.is_empty() && !head.starts_with(b"SQLite format 3\0") {
        return Err(Error::fatal(format!("{}: not a ledger, and not a database at all", path.display()))
            .hint("give another path with --state-file or `state_file`; if this was the ledger, it is damaged"));
    }
    Ok(())
}
