//! One run per ledger, whatever names lead to it: its lock, and whether a run has it now.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::file::{Identity, OTHER_PLACE, beside, may_write, must_have_one_name};
use super::refusal::refuse_strangers;
use crate::error::{Error, Result};
use crate::place::{FilePlace, Want};
use crate::text::shell_word;

/// How often a run looks again while others only ask whether there is one.
const ASKED_MAX: u32 = 200;
/// More than a note in a lock file has.
const NOTE_MAX: u64 = 200;

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
        // A network file system shares no lock of what cannot be read.
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|e| {
            // Its folder is the ledger's.
            may_write(path).err().unwrap_or_else(|| {
                let place = FilePlace {
                    what: "ledger's lock",
                    path: &lock_path,
                    or: OTHER_PLACE,
                };
                place.refused(Want::Write, &e)
            })
        })?;
    let lock = Lock {
        file,
        path: lock_path,
    };
    match take(&lock.file) {
        // Between the two somebody may have taken the file away.
        Ok(()) if lock.stands() => {
            lock.note();
            Ok(lock)
        }
        Ok(()) | Err(TryLockError::WouldBlock) => Err(Error::fatal(format!(
            "{}: another imap-to-gmail is running with this ledger",
            path.display()
        ))
        .hint(format!(
            "`imap-to-gmail status --state-file {}` shows what it does. One is enough: if this one is to run, end the other first (Ctrl-C in its window, or stop its service)",
            shell_word(&path.display().to_string())
        ))),
        Err(TryLockError::Error(e)) => Err(Error::fatal(format!(
            "{}: cannot be locked: {e}",
            lock.path.display()
        ))
        .hint("a file system without locks cannot hold a ledger: give another path with --state-file or `state_file`")),
    }
}

/// A run's lock is exclusive. Who only asks ([`is_held`]) shares it for a moment: a run that meets that
/// looks again, and is told of another run only where there is one.
fn take(file: &File) -> std::result::Result<(), TryLockError> {
    for _ in 0..ASKED_MAX {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            end => return end,
        }
        if file.try_lock_shared().is_err() {
            return Err(TryLockError::WouldBlock);
        }
        let _ = file.unlock();
        // Two runs that begin together do not go on meeting each other.
        thread::sleep(Duration::from_micros(fastrand::u64(100..5_000)));
    }
    file.try_lock()
}

/// Has a run the ledger at `path`? None where that cannot be known from here: the lock file may not be
/// read, or looks free and was made by another kernel (a network file system, a virtual machine), which may
/// keep its locks to itself. No run that begins at this moment is kept from it.
pub fn is_held(path: &Path) -> Option<bool> {
    let file = File::open(beside(path, ".lock")).ok()?;
    let mut note = String::new();
    let read = (&file).take(NOTE_MAX).read_to_string(&mut note);
    let seen_from_here = read.is_ok() && note_of(&file).is_some_and(|ours| ours == note);
    match file.try_lock_shared() {
        Ok(()) => seen_from_here.then_some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Which file this is on which running kernel. None where the system does not say.
fn note_of(file: &File) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let meta = file.metadata().ok()?;
    Some(format!(
        "boot {} device {} inode {}\n",
        boot.trim(),
        meta.dev(),
        meta.ino()
    ))
}

impl Lock {
    /// Says in the lock file by whose eyes it can be seen whether it is held. Without room for that nobody
    /// can ask, and nothing else is lost.
    fn note(&self) {
        if self.file.set_len(0).is_ok()
            && let Some(note) = note_of(&self.file)
        {
            let _ = self.file.write_all_at(note.as_bytes(), 0);
        }
    }

    /// Would another process meet this very lock?
    pub(super) fn stands(&self) -> bool {
        let ours = self.file.metadata().ok().map(|m| Identity::of(&m));
        ours.is_some() && ours == Identity::at(&self.path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Over NFS a lock is shared only by who may read the file.
    #[test]
    fn a_lock_is_open_to_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let lock = lock(&folder.path().join("l.db")).unwrap();
        let mut note = [0; 5];
        lock.file.read_exact_at(&mut note, 0).unwrap();
        assert_eq!(&note, b"boot ");
    }
}
