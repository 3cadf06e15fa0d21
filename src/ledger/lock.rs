//! One run per ledger, whatever names lead to it: where its lock and its other files lie, and whether
//! it is still the file that was opened.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{DIRECTORY_HINT, refuse_strangers};
use crate::error::{Error, Result};
use crate::mount::is_mounted_alone;
use crate::text::shell_word;

/// More links than this lead in a circle (as the kernel has it).
const LINKS_MAX: usize = 40;

/// The lock of the one `run` that a ledger can have. It goes with the process.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Takes the lock beside the ledger at `path`.
///
/// # Errors
/// `Fatal` when another process has it, or could have one of its own.
pub fn lock(path: &Path) -> Result<Lock> {
    // No lock is left beside what is not ours.
    refuse_strangers(path)?;
    must_have_one_name(path)?;
    let lock_path = beside(path, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|e| {
            Error::fatal(format!(
                "{}: the ledger's lock cannot be made: {e}",
                lock_path.display()
            ))
            .hint(DIRECTORY_HINT)
        })?;
    let lock = Lock {
        file,
        path: lock_path,
    };
    match lock.file.try_lock() {
        // Between the two somebody may have taken the file away.
        Ok(()) if lock.stands() => Ok(lock),
        Ok(()) | Err(TryLockError::WouldBlock) => Err(Error::fatal(format!(
            "{}: another imap-to-gmail is running with this ledger",
            path.display()
        ))
        .hint(format!(
            "`imap-to-gmail status --state-file {}` shows it; one process per ledger is enough",
            shell_word(&path.display().to_string())
        ))),
        Err(TryLockError::Error(e)) => Err(Error::fatal(format!(
            "{}: cannot be locked: {e}",
            lock.path.display()
        ))
        .hint("a file system without locks cannot hold a ledger: give another path with --state-file or `state_file`")),
    }
}

impl Lock {
    /// Would another process meet this very lock?
    pub(super) fn stands(&self) -> bool {
        let ours = self.file.metadata().ok().map(|m| Identity::of(&m));
        ours.is_some() && ours == Identity::at(&self.path)
    }
}

/// Which file it is, by whatever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(file: &Metadata) -> Identity {
        Identity {
            device: file.dev(),
            inode: file.ino(),
        }
    }

    pub(super) fn at(path: &Path) -> Option<Identity> {
        fs::metadata(path).ok().map(|m| Identity::of(&m))
    }
}

/// A second name of the same file leads to another lock and to another write-ahead log.
pub(super) fn must_have_one_name(path: &Path) -> Result<()> {
    // A folder's count is of what lies in it.
    let file = fs::metadata(path).ok().filter(Metadata::is_file);
    let names = file.map_or(1, |m| m.nlink());
    let shown = path.display();
    let word = shell_word(&shown.to_string());
    if names > 1 {
        return Err(Error::fatal(format!(
            "{shown}: the ledger has {names} names (hard links), expected one"
        ))
        .hint(format!("by another name a second run could use it at the same time: delete the other names, or make this one a file of its own (`cp {word} copy && mv copy {word}`)")));
    }
    if is_mounted_alone(path) {
        return Err(Error::fatal(format!(
            "{shown}: the ledger is mounted as a single file, expected its folder"
        ))
        .hint("what SQLite keeps beside it would be lost with the container, and a run outside would not meet its lock: mount the folder that it lies in"));
    }
    Ok(())
}

/// The file beside the ledger, whatever link it was reached by, and also where that leads to nothing
/// yet: SQLite has its own there too, and all names of one ledger must meet at one lock.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = real(path).into_os_string();
    name.push(suffix);
    name.into()
}

/// Where the links end. Links among the folders are the kernel's affair: they lead to one place by
/// themselves.
fn real(path: &Path) -> PathBuf {
    let mut at = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&at) {
            // A relative one begins where the link lies.
            Ok(to) => at = at.parent().map_or(to.clone(), |folder| folder.join(&to)),
            Err(_) => return at,
        }
    }
    path.to_path_buf()
}
