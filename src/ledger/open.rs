//! A ledger is made, opened, brought up to date, read and written here. Not for what stands in it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use log::warn;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::file::{Identity, OTHER_PLACE, beside, must_be_there, place};
use super::lock::Lock;
use super::refusal::{explain, refuse_strangers};
use super::value::{MailboxId, RowId};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::message::Time;
use crate::place::Want;

/// Marks the file as one of ours: "i2gm".
pub(super) const APPLICATION_ID: i32 = 0x6932_676d;

/// Each file of migrations/, in order. A test compares this list with the directory.
pub(super) const MIGRATIONS: &[(&str, &str)] = &[
    (
        "V1__ledger",
        include_str!("../../migrations/V1__ledger.sql"),
    ),
    (
        "V2__second_stage",
        include_str!("../../migrations/V2__second_stage.sql"),
    ),
    (
        "V3__folders",
        include_str!("../../migrations/V3__folders.sql"),
    ),
    (
        "V4__destinations",
        include_str!("../../migrations/V4__destinations.sql"),
    ),
    (
        "V5__import",
        include_str!("../../migrations/V5__import.sql"),
    ),
    ("V6__looks", include_str!("../../migrations/V6__looks.sql")),
    (
        "V7__notices",
        include_str!("../../migrations/V7__notices.sql"),
    ),
    ("V8__alarm", include_str!("../../migrations/V8__alarm.sql")),
    (
        "V9__removal",
        include_str!("../../migrations/V9__removal.sql"),
    ),
];

/// Name and text of each migration, in order.
pub fn migrations() -> &'static [(&'static str, &'static str)] {
    MIGRATIONS
}

/// Memory for pages of the file, in KiB as SQLite has it: negative.
const CACHE: i64 = -2048;
/// Pages that are kept while there is nothing to do. From the first one on, SQLite has room for as many as it may keep, up
/// to twenty.
const PAGES_AT_REST: i64 = 6;
/// How long another's transaction is waited for.
const BUSY: Duration = Duration::from_secs(10);

pub struct Ledger {
    pub(super) db: Connection,
    /// As people know it.
    pub(super) path: PathBuf,
    /// Where it was opened, and which file that was.
    opened: (PathBuf, Option<Identity>),
    lock: Option<Lock>,
    pub(super) matching: Option<Matching>,
    /// The highest id that this process has given to a message.
    pub(super) last_id: RowId,
    pub(super) reach: Reach,
    /// Those that were asked for, where nobody else changes them (`folders`).
    pub(super) folders: RefCell<HashMap<MailboxId, Folder>>,
    /// Dropped last, as the last field: who has this weakly sees when file and lock are free again.
    open: Arc<()>,
}

/// How far a message of the target can stand for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// There is one of it under all labels (Gmail).
    #[default]
    Account,
    /// Each mailbox holds copies of its own.
    Mailbox,
}

/// How far this process has come with taking over an older incarnation (`inherit`). Lost with the process:
/// the next one looks at every row once more and finds those that have moved where they belong.
pub(super) struct Matching {
    pub(super) mailbox: MailboxId,
    /// A history that is opened again brings rows where this has been already.
    pub(super) start: Time,
    /// Rows without a Message-ID that wait have been looked at.
    pub(super) nameless: bool,
    /// Every Message-ID that is first met at a UID up to here has been looked at.
    pub(super) passed: u32,
    /// (old, new), found and not moved yet.
    pub(super) pairs: Vec<(RowId, RowId)>,
}

impl Ledger {
    /// Opens the ledger at `path` for `run` or `import-state`: makes it where there is none, and
    /// with `migrate` brings an older one up to date.
    pub fn open_or_create(path: &Path, migrate: bool) -> Result<Ledger> {
        refuse_strangers(path)?;
        if !path.exists() {
            // SQLite gives -wal and -shm the mode of the file itself.
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(path)
                .map_err(|e| place(path).refused(Want::Write, &e))?;
        }
        let mut ledger = Ledger::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let fresh = ledger.is_empty()?;
        ledger.check_version(fresh || migrate)?;
        ledger.use_wal()?;
        ledger.migrate(fresh)?;
        ledger.prepare_run()?;
        Ok(ledger)
    }

    /// Opens an existing ledger for a look or a small change beside a running `run`.
    ///
    /// # Errors
    /// `Fatal` when there is none, or when it is of another version.
    pub fn open_existing(path: &Path) -> Result<Ledger> {
        must_be_there(path)?;
        refuse_strangers(path)?;
        let ledger = Ledger::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        ledger.must_be_usable()?;
        Ok(ledger)
    }

    pub(super) fn must_be_usable(&self) -> Result<()> {
        if self.is_empty()? {
            return Err(
                Error::fatal(format!("{}: this ledger is empty", self.path.display()))
                    .hint("the first `imap-to-gmail run` fills it"),
            );
        }
        self.check_version(false)
    }

    /// A ledger that is thrown away, with what the one at `path` holds, if there is one: for a dry
    /// run, which writes nothing. `scratch` is an empty directory of the caller's.
    pub fn open_scratch(path: &Path, scratch: &Path) -> Result<Ledger> {
        refuse_strangers(path)?;
        let copy = Ledger::copy_to(path, scratch)?;
        let mut ledger = Ledger::open_or_create(&copy, true)?;
        ledger.path = path.to_path_buf();
        Ok(ledger)
    }

    /// A copy of the ledger, with what is still beside it, in an empty directory.
    pub(super) fn copy_to(path: &Path, scratch: &Path) -> Result<PathBuf> {
        let copy = scratch.join("ledger.db");
        for suffix in ["", "-wal", "-journal"] {
            let from = beside(path, suffix);
            if from.exists() {
                fs::copy(&from, beside(&copy, suffix)).map_err(|e| {
                    Error::fatal(format!("{}: cannot be copied: {e}", from.display()))
                        .hint("it is looked at as a copy in the temporary directory: is there room, and may you read the ledger?")
                })?;
            }
        }
        Ok(copy)
    }

    pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Ledger> {
        Ledger::connect_as(path, path, flags)
    }

    /// Opens `file` as the ledger that people know at `path`.
    pub(super) fn connect_as(file: &Path, path: &Path, flags: OpenFlags) -> Result<Ledger> {
        let db = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|e| explain(&e, path))?;
        let ledger = Ledger {
            db,
            path: path.to_path_buf(),
            opened: (file.to_path_buf(), Identity::at(file)),
            lock: None,
            matching: None,
            last_id: RowId(0),
            reach: Reach::default(),
            folders: RefCell::default(),
            open: Arc::default(),
        };
        ledger.configure().map_err(|e| explain(&e, path))?;
        Ok(ledger)
    }

    fn configure(&self) -> rusqlite::Result<()> {
        self.db.busy_timeout(BUSY)?;
        // An intent must be on disk before its effect, also when the power fails.
        self.db.pragma_update(None, "synchronous", "FULL")?;
        self.db.pragma_update(None, "foreign_keys", "ON")?;
        self.db.pragma_update(None, "cache_size", CACHE)?;
        self.db
            .pragma_update(None, "journal_size_limit", 16 << 20)?;
        self.db.set_prepared_statement_cache_capacity(64);
        // Else SQLite prepares most statements anew with each step, as another plan might be better for what is bound now:
        // that was more than half of all that a delivery computes (callgrind, 2026-11). The plans are held by a test.
        self.db
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // The first read shows a damaged or foreign file.
        self.db
            .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    }

    fn use_wal(&self) -> Result<()> {
        let set = |mode: &str| {
            let patience = Instant::now() + BUSY;
            loop {
                let set = self
                    .db
                    .pragma_update_and_check(None, "journal_mode", mode, |r| r.get::<_, String>(0));
                match set {
                    // Only here SQLite does not wait by itself while another process makes the ledger.
                    Err(e)
                        if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                            && Instant::now() < patience =>
                    {
                        thread::sleep(Duration::from_millis(20));
                    }
                    end => return end.map_err(|e| self.explain(&e)),
                }
            }
        };
        if set("WAL")? != "wal" {
            // Network file systems have no shared memory.
            warn!(
                "{}: no write-ahead log is possible here (a network file system?); commits are slower",
                self.path.display()
            );
            set("TRUNCATE")?;
        }
        Ok(())
    }

    /// Also where another process has only begun to make it.
    pub(super) fn is_empty(&self) -> Result<bool> {
        self.db
            .query_row(
                "SELECT count(*) = 0 FROM sqlite_schema WHERE tbl_name <> 'refinery_schema_history'",
                [],
                |r| r.get(0),
            )
            .map_err(|e| self.explain(&e))
    }

    pub(super) fn check_version(&self, migrate: bool) -> Result<()> {
        let found: Option<i64> = if self.is_empty()? {
            None
        } else {
            let id: i32 = self
                .db
                .query_row("PRAGMA application_id", [], |r| r.get(0))
                .map_err(|e| self.explain(&e))?;
            if id != APPLICATION_ID {
                return Err(Error::fatal(format!(
                    "{}: a database of another program, expected a ledger",
                    self.path.display()
                ))
                .hint(OTHER_PLACE));
            }
            self.version()?
        };
        let ours = MIGRATIONS.len() as i64;
        match found {
            Some(version) if version > ours => Err(Error::fatal(format!(
                "{}: the ledger is of version {version}, this program knows up to {ours}",
                self.path.display()
            ))
            .hint("use the newer imap-to-gmail that made it")),
            Some(version) if version < ours && !migrate => Err(Error::fatal(format!(
                "{}: the ledger is of version {version}, this program wants {ours}",
                self.path.display()
            ))
            .hint("the next `imap-to-gmail run` brings it up to date")),
            None if !migrate => Err(Error::fatal(format!(
                "{}: this ledger is empty",
                self.path.display()
            ))
            .hint("the first `imap-to-gmail run` fills it")),
            _ => Ok(()),
        }
    }

    pub(super) fn version(&self) -> Result<Option<i64>> {
        self.db
            .query_row(
                "SELECT max(version) FROM refinery_schema_history",
                [],
                |r| r.get(0),
            )
            .map_err(|e| self.explain(&e))
    }

    fn migrate(&mut self, fresh: bool) -> Result<()> {
        if fresh {
            self.db
                .pragma_update(None, "application_id", APPLICATION_ID)
                .map_err(|e| self.explain(&e))?;
            // Another process may be at the same.
            self.db
                .set_transaction_behavior(TransactionBehavior::Immediate);
        }
        let migrations: Vec<refinery::Migration> = MIGRATIONS
            .iter()
            .map(|(name, sql)| refinery::Migration::unapplied(name, sql))
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| Error::fatal(format!("a migration of this program is wrong: {e}")))?;
        let runner = refinery::Runner::new(&migrations).set_grouped(true);
        let mut end = runner.run(&mut self.db);
        if end.is_err() && fresh {
            // `run` and `import-state` may have begun at the same moment: then it is made now.
            end = runner.run(&mut self.db);
        }
        end.map_err(|e| {
            let cause = std::error::Error::source(&e);
            if let Some(e) = cause.and_then(|e| e.downcast_ref::<rusqlite::Error>()) {
                return self.explain(e);
            }
            let (what, hint) = if fresh {
                ("made", "start again: what was begun is not used")
            } else {
                (
                    "brought up to date",
                    "nothing in it was changed: the program that used it before can go on with it",
                )
            };
            Error::fatal(format!(
                "{}: the ledger cannot be {what}: {e}",
                self.path.display()
            ))
            .hint(hint)
        })?;
        Ok(())
    }

    /// What only a run needs: which rows this run has tried, and which it put behind the others, lives
    /// as long as the connection. In memory, and with it what each change keeps to be undone alone: every page that it touches
    /// would go to a temporary file, which is most of what taking over an older incarnation wrote.
    fn prepare_run(&self) -> Result<()> {
        self.db
            .execute_batch(
                "PRAGMA temp_store = MEMORY;
                 PRAGMA temp.page_size = 512;
                 CREATE TEMP TABLE tried (id INTEGER PRIMARY KEY) STRICT;
                 CREATE TEMP TABLE put_behind (id INTEGER PRIMARY KEY) STRICT",
            )
            .map_err(|e| self.explain(&e))
    }

    /// What is kept in memory only to be faster is let go, until it is needed again.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub fn let_go_of_memory(&mut self) -> Result<()> {
        self.db.flush_prepared_statement_cache();
        self.forget_folders();
        self.db
            .release_memory()
            .and_then(|()| self.db.pragma_update(None, "cache_size", PAGES_AT_REST))
            .map_err(|e| self.explain(&e))
    }

    /// There is something to do again.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub fn take_memory(&mut self) -> Result<()> {
        self.db
            .pragma_update(None, "cache_size", CACHE)
            .map_err(|e| self.explain(&e))
    }

    /// Gone as soon as the file and its lock are free again.
    pub fn when_closed(&self) -> Weak<()> {
        Arc::downgrade(&self.open)
    }

    /// What kind of account the target is.
    pub fn reach(&mut self, reach: Reach) {
        self.reach = reach;
    }

    /// Is it the run that has it open? Nobody else looks at the source for it.
    pub(super) fn is_a_runs(&self) -> bool {
        self.lock.is_some()
    }

    /// A folder, or which mailbox is of which one, may be another than was known.
    pub(super) fn forget_folders(&self) {
        self.folders.borrow_mut().clear();
    }

    /// This run's lock goes with it: a ledger whose lock is gone is written no more.
    #[must_use]
    pub fn locked_by(mut self, lock: Lock) -> Ledger {
        self.lock = Some(lock);
        self
    }

    /// What is written elsewhere than where the next run reads is lost, and so is what another run
    /// does not know of.
    fn must_be_ours(&self) -> Result<()> {
        let (file, identity) = &self.opened;
        let shown = self.path.display();
        if identity.is_some() && Identity::at(file) != *identity {
            return Err(Error::fatal(format!(
                "{shown}: another file was put in the place of the ledger, or it was taken away, while it was in use"
            ))
            .hint("see that the right file is there, then start again; what Gmail has meanwhile is found by its Message-ID"));
        }
        if self.lock.as_ref().is_some_and(|lock| !lock.stands()) {
            return Err(Error::fatal(format!(
                "{shown}: the lock of this ledger was taken away or replaced while it was in use"
            ))
            .hint("another run may have begun meanwhile; start again, and leave the file that ends in .lock alone"));
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One transaction that means to write. IMMEDIATE: a deferred one that reads first fails at
    /// once when somebody else commits in between, whatever the busy timeout.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.must_be_ours()?;
        let path = &self.path;
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| explain(&e, path))?;
        let out = work(&transaction).map_err(|e| explain(&e, path))?;
        transaction.commit().map_err(|e| explain(&e, path))?;
        Ok(out)
    }

    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        work(&self.db).map_err(|e| self.explain(&e))
    }

    fn explain(&self, e: &rusqlite::Error) -> Error {
        explain(e, &self.path)
    }
}
