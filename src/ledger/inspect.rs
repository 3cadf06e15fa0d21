//! A look at a ledger that changes nothing: neither the file nor what lies beside it. For `check`, and for
//! who may not write it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use rustix::fs::Access;

use super::file::{beside, can, can_write, must_be_there, place};
use super::open::{Ledger, MIGRATIONS};
use super::refusal::{damaged, refuse_strangers};
use super::report::Summary;
use super::route::Route;
use crate::error::{Error, Result};
use crate::message::Time;
use crate::place::Want;

/// How often a ledger is read again that was changed meanwhile.
const UNCHANGED_MAX: u32 = 5;

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
    /// Nothing has been delivered with it, and nothing imported.
    pub new: bool,
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
    untouched(path, |ledger| contents(ledger, now))
}

/// Reads in a ledger without leaving a trace.
pub(super) fn untouched<T>(path: &Path, read: impl Fn(&Ledger) -> Result<T>) -> Result<T> {
    for _ in 0..UNCHANGED_MAX {
        let before = standing(path);
        let way = Way::to(path);
        let done = look(path, &way, &read);
        // SQLite's locks keep a reading whole; without them it holds only of what did not change meanwhile.
        let whole = way == Way::Beside && done.is_ok();
        if whole || before.is_some() && before == standing(path) {
            return done;
        }
    }
    // Runs come and go: then by their side.
    look(path, &Way::Beside, &read)
}

/// Reads in an existing ledger, also for who may not write it.
///
/// # Errors
/// `Fatal` when there is none, when it is of another version, or when it may not be read: then it is said
/// whose it is.
pub fn read<T>(path: &Path, work: impl Fn(&Ledger) -> Result<T>) -> Result<T> {
    must_be_there(path)?;
    let mut refused = None;
    if can_write(path).is_ok() {
        // A full disk, on which SQLite cannot make its files beside it, is no reason not to read.
        match Ledger::open_existing(path) {
            Ok(ledger) => return work(&ledger),
            Err(e) => refused = Some(e),
        }
    }
    match read_only(path, work) {
        Err(e) => Err(refused.unwrap_or(e)),
        done => done,
    }
}

/// As [`read`], in a process whose own run may have this ledger open. Nothing but SQLite opens the file then: whoever else
/// opens it lets go, when it closes it, of every lock that SQLite has on it in this process, and another process could take
/// away the write-ahead log of the run (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
///
/// # Errors
/// `Fatal` when there is none, when it is of another version, or when it cannot be read.
pub fn read_beside_run<T>(path: &Path, work: impl FnOnce(&Ledger) -> Result<T>) -> Result<T> {
    must_be_there(path)?;
    let ledger = Ledger::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    ledger.must_be_usable()?;
    work(&ledger)
}

fn read_only<T>(path: &Path, work: impl Fn(&Ledger) -> Result<T>) -> Result<T> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = beside(path, suffix);
        if let Err(e) = can(&file, Access::READ_OK)
            && e.kind() != ErrorKind::NotFound
        {
            return Err(place(&file).refused(Want::Read, &e));
        }
    }
    refuse_strangers(path)?;
    let work = |ledger: &Ledger| {
        ledger.must_be_usable()?;
        work(ledger)
    };
    // With SQLite's own locks where it can have them ...
    if let Ok(ledger) = Ledger::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        return work(&ledger);
    }
    // ... and where it cannot, because a write-ahead log wants files beside it that may not be made here,
    // nobody has the ledger open; unless somebody has it by now.
    untouched(path, work)
}

/// What changes with each change of a ledger that nobody has open: of it and of what lies beside it.
fn standing(path: &Path) -> Option<Vec<Option<(u64, i64, i64)>>> {
    let of = |file: PathBuf| match fs::metadata(file) {
        Ok(m) => Some(Some((m.len(), m.mtime(), m.mtime_nsec()))),
        Err(e) if e.kind() == ErrorKind::NotFound => Some(None),
        Err(_) => None,
    };
    ["", "-wal", "-journal"]
        .into_iter()
        .map(|suffix| of(beside(path, suffix)))
        .collect()
}

/// How a ledger is read without a trace.
#[derive(PartialEq)]
enum Way {
    /// Nobody writes: SQLite is told that nothing changes, and makes no files of its own.
    Quiet,
    /// A run may be writing: SQLite reads beside it, by its locks or by the files that it made.
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
            // A run shows by no file that it has the ledger open.
            (false, _) if has_no_log(path) => Way::Beside,
            (false, _) if left("-journal") => Way::Copied,
            _ => Way::Quiet,
        }
    }
}

/// Is it one that is written without a write-ahead log, as on a network file system
/// (<https://www.sqlite.org/fileformat.html>, 1.3.3)?
fn has_no_log(path: &Path) -> bool {
    let mut versions = [0; 2];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut versions, 18));
    read.is_ok() && versions == [1, 1]
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|m| m.len())
}

fn look<T>(path: &Path, way: &Way, read: impl Fn(&Ledger) -> Result<T>) -> Result<T> {
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    match way {
        Way::Quiet => {
            let uri = unchanging(path);
            let flags = read_only | OpenFlags::SQLITE_OPEN_URI;
            read(&Ledger::connect_as(&uri, path, flags)?)
        }
        Way::Beside => match Ledger::connect(path, read_only) {
            Ok(ledger) => read(&ledger),
            // Its writer is gone, and what it left half done is finished by whoever opens it to write.
            Err(_) if size(&beside(path, "-journal")).is_some_and(|n| n > 0) => {
                look(path, &Way::Copied, read)
            }
            Err(e) => Err(e),
        },
        Way::Copied => {
            let scratch = tempfile::tempdir()
                .map_err(|e| Error::fatal(format!("no temporary directory can be made: {e}")))?;
            let copy = Ledger::copy_to(path, scratch.path())?;
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
            read(&Ledger::connect_as(&copy, path, flags)?)
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
        new: false,
    };
    if !outdated {
        found.begun = ledger.has_begun()?;
        let open = ledger.is_untouched()?;
        found.route = ledger.route()?.filter(|_| !open);
        found.summary = ledger.summary(now, now)?;
        found.new = ledger.has_delivered_nothing()?;
    }
    Ok(Some(found))
}
