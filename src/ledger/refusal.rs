//! Why a ledger cannot be used, in words: what SQLite or the system says, and what is none.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rusqlite::ErrorCode;

use super::file::{may_write, place};
use crate::error::{Error, Result};
use crate::place::{FULL, Want};
use crate::text::{self, shell_word};

pub(super) fn damaged(path: &Path, what: &str) -> Error {
    Error::fatal(format!("{}: the ledger is damaged: {what}", path.display())).hint(
        "keep a copy of it, then try `sqlite3 LEDGER .recover`; a new ledger would find what the target has by Message-ID",
    )
}

/// What SQLite could not do, for people.
pub(super) fn explain(e: &rusqlite::Error, at: &Path) -> Error {
    let path = at.display();
    if let rusqlite::Error::FromSqlConversionFailure(_, _, what) = e {
        return damaged(at, &what.to_string()).hint(
            "keep a copy of it; another program wrote that value: put back a backup of the ledger, or correct the value with `sqlite3` (a new ledger would send mail without a Message-ID again)",
        );
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
        .hint(taken_over(path)));
    }
    if !head.is_empty() && !head.starts_with(b"SQLite format 3\0") {
        return Err(Error::fatal(format!("{}: not a ledger, and not a database at all", path.display()))
            .hint("give another path with --state-file or `state_file`; if this was the ledger, it is damaged"));
    }
    Ok(())
}

/// How the predecessor's state file becomes a ledger, which has another name.
fn taken_over(script: &Path) -> String {
    let ledger = match script.extension() {
        Some(extension) if extension == "db" => script.with_extension("ledger.db"),
        _ => script.with_extension("db"),
    };
    let [script, ledger] = [script, &ledger].map(|p| shell_word(&p.display().to_string()));
    format!(
        "is it the state file of the Python script? Then `imap-to-gmail import-state {script} --state-file {ledger}` makes a ledger from it, once; then give that as `state_file` in the configuration"
    )
}
