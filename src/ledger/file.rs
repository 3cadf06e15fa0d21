//! The ledger as a file: by which name, which one it is, and whether it is there and may be used. Nothing is
//! opened here.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::error::{Error, Result};
use crate::mount::is_mounted_alone;
use crate::place::{FilePlace, Want};
use crate::text::shell_word;

/// For one that is there: a new one beside it would send mail again that has no Message-ID.
const MOVE_IT: &str = "move it, with its -wal file if it has one, and say where it is with --state-file or `state_file`; a new ledger would not know what was sent";

pub(super) const OTHER_PLACE: &str = "give another path with --state-file or `state_file`";

/// More links than this lead in a circle (as the kernel has it).
const LINKS_MAX: usize = 40;

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

/// Which file it is, by whatever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(file: &Metadata) -> Identity {
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

/// May a run make or change the ledger at `path`, as far as the system tells without a try?
///
/// # Errors
/// `Fatal` when not, or when another run could use it by another name.
pub fn may_write(path: &Path) -> Result<()> {
    must_have_one_name(path)?;
    can_write(path).map_err(|e| place(path).refused(Want::Write, &e))
}

pub(super) fn can(what: &Path, access: Access) -> std::io::Result<()> {
    Ok(rustix::fs::access(what, access)?)
}

pub(super) fn can_write(path: &Path) -> std::io::Result<()> {
    let real = beside(path, "");
    let folder = match real.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // SQLite has files of its own beside the ledger.
    can(folder, Access::WRITE_OK | Access::EXEC_OK)?;
    if path.exists() {
        can(path, Access::READ_OK | Access::WRITE_OK)
    } else {
        Ok(())
    }
}

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
