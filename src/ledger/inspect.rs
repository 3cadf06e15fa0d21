//! A look at a ledger that changes nothing: neither the file nor what lies beside it. For `check`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use rustix::fs::Access;

use super::lock::must_have_one_name;
use super::{
    DIRECTORY_HINT, Ledger, MIGRATIONS, Route, Summary, beside, damaged, refuse_strangers,
};
use crate::error::{Error, Result};
use crate::message::Time;

/// What a ledger says of itself.
#[derive(Debug)]
pub struct Inspection {
    pub version: i64,
    /// Of an older program: the next run brings it up to date. No more is looked at then.
    pub outdated: bool,
    /// None before the first look, when it may still become another one's.
    pub route: Option<Route>,
    pub summary: Summary,
    /// The source has been looked at: what the first run takes is decided.
    pub begun: bool,
}

/// Looks at the ledger at `path`, every page of it. None where there is none yet.
///
/// # Errors
/// `Fatal` when no run could use it, `Usage` when it is the predecessor's state file.
pub fn inspect(path: &Path, now: Time) -> Result<Option<Inspection>> {
    refuse_strangers(path)?;
    if size(path).unwrap_or(0) == 0 {
        return Ok(None);
    }
    let way = Way::to(path);
    match look(path, &way, now) {
        // A run has begun meanwhile, and nothing holds of what was taken for unchanging.
        Err(_) if way == Way::Quiet && Way::to(path) != Way::Quiet => look(path, &Way::Beside, now),
        end => end,
    }
}

/// May a run make or change the ledger at `path`, as far as the system tells without a try?
///
/// # Errors
/// `Fatal` when not, or when another run could use it by another name.
pub fn may_write(path: &Path) -> Result<()> {
    must_have_one_name(path)?;
    let real = beside(path, "");
    let folder = match real.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let can = |what: &Path, access| rustix::fs::access(what, access).map_err(std::io::Error::from);
    // SQLite has files of its own beside the ledger.
    can(folder, Access::WRITE_OK | Access::EXEC_OK)
        .and_then(|()| match path.exists() {
            true => can(path, Access::READ_OK | Access::WRITE_OK),
            false => Ok(()),
        })
        .map_err(|e| {
            Error::fatal(format!(
                "{}: the ledger cannot be written: {e}",
                path.display()
            ))
            .hint(DIRECTORY_HINT)
        })
}

/// How a ledger is read without a trace.
#[derive(PartialEq)]
enum Way {
    /// Nobody writes: SQLite is told that nothing changes, and makes no files of its own.
    Quiet,
    /// A run may be writing: SQLite reads beside it, by the files that it made.
    Beside,
    /// Something was left half done, and whoever opens it finishes it: that is done to a copy.
    Copied,
}

impl Way {
    fn to(path: &Path) -> Way {
        let left = |suffix| size(&beside(path, suffix)).is_some_and(|n| n > 0);
        match (left("-wal"), left("-shm")) {
            (true, true) => Way::Beside,
            (true, false) => Way::Copied,
            (false, _) if left("-journal") => Way::Copied,
            _ => Way::Quiet,
        }
    }
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|m| m.len())
}

fn look(path: &Path, way: &Way, now: Time) -> Result<Option<Inspection>> {
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    match way {
        Way::Quiet => {
            let uri = unchanging(path);
            let flags = read_only | OpenFlags::SQLITE_OPEN_URI;
            contents(&Ledger::connect_as(&uri, path, flags)?, now)
        }
        Way::Beside => contents(&Ledger::connect(path, read_only)?, now),
        Way::Copied => {
            let scratch = tempfile::tempdir()
                .map_err(|e| Error::fatal(format!("no temporary directory can be made: {e}")))?;
            let copy = Ledger::copy_to(path, scratch.path())?;
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
            contents(&Ledger::connect_as(&copy, path, flags)?, now)
        }
    }
}

/// The name under which SQLite takes a file for one that nobody changes
/// (<https://www.sqlite.org/uri.html>).
fn unchanging(path: &Path) -> PathBuf {
    let mut uri = String::from("file:");
    for &b in path.as_os_str().as_bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(b));
            }
            _ => uri.push_str(&format!("%{b:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri.into()
}

fn contents(ledger: &Ledger, now: Time) -> Result<Option<Inspection>> {
    if ledger.is_empty()? {
        return Ok(None);
    }
    // Reading only, SQLite looks at pages and indexes and leaves the constraints of rows aside: those
    // held when the rows were written.
    let words: String =
        ledger.read(|db| db.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)))?;
    if words != "ok" {
        return Err(damaged(&ledger.path, &words));
    }
    ledger.check_version(true)?;
    let version = ledger.version()?.unwrap_or_default();
    let outdated = version < MIGRATIONS.len() as i64;
    let mut found = Inspection {
        version,
        outdated,
        route: None,
        summary: Summary::default(),
        begun: true,
    };
    if !outdated {
        found.begun = ledger.has_begun()?;
        found.route = ledger.route()?.filter(|_| found.begun);
        found.summary = ledger.summary(now, now)?;
    }
    Ok(Some(found))
}
