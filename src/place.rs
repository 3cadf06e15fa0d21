//! Why a file cannot be made, read or written, and what to do about it: which folder is missing, or which
//! user owns it and as which user we run. The ledger, the log and the token file all use these sentences.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::process::geteuid;

use crate::error::{Error, shown};
use crate::text::shell_word;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Read,
    /// To write it, or to make it if it is missing.
    Write,
}

/// A file of ours that the system refuses.
#[derive(Clone, Copy, Debug)]
pub struct FilePlace<'a> {
    /// As people call it: `ledger`.
    pub what: &'a str,
    pub path: &'a Path,
    /// How a person chooses another place instead, as the end of a hint.
    pub or: &'a str,
}

impl FilePlace<'_> {
    /// What the system's refusal means here.
    pub fn refused(&self, want: Want, e: &io::Error) -> Error {
        let (sentence, hint) = self.words(want, e);
        Error::fatal(format!("{}: {sentence}", self.path.display())).hint(hint)
    }

    /// Does the folder exist in which it is to lie?
    pub fn has_folder(&self) -> bool {
        folder_of(self.path).exists()
    }

    fn words(&self, want: Want, e: &io::Error) -> (String, String) {
        let (what, or) = (self.what, self.or);
        let folder = folder_of(self.path);
        let named = name(&folder);
        match e.kind() {
            ErrorKind::NotFound if !folder.exists() => (
                format!("the folder {named} for the {what} does not exist"),
                format!("`mkdir -p {}` makes it; or {or}", quoted(&folder)),
            ),
            ErrorKind::NotADirectory => (
                format!(
                    "{} is a file, expected a folder for the {what}",
                    name(&not_a_folder(&folder))
                ),
                or.into(),
            ),
            ErrorKind::IsADirectory => (
                format!("this is a folder, expected a file for the {what}"),
                or.into(),
            ),
            ErrorKind::PermissionDenied => self.denied(want, &folder),
            ErrorKind::ReadOnlyFilesystem => (
                format!(
                    "the folder {named} for the {what} can only be read: its file system is mounted so"
                ),
                format!(
                    "mount it so that it can be written (read-only file systems in a container: `:ro`, `--read-only`); or {or}"
                ),
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (FULL[0].into(), FULL[1].into()),
            _ => (
                match want {
                    Want::Read => format!("the {what} cannot be read: {e}"),
                    Want::Write => format!("the {what} cannot be written: {e}"),
                },
                or.into(),
            ),
        }
    }

    /// The sentence that says whose it is, and as which user we run.
    fn denied(&self, want: Want, folder: &Path) -> (String, String) {
        let what = self.what;
        let done = match want {
            Want::Read => "read",
            Want::Write => "written",
        };
        let Some((culprit, owner)) = self.culprit(want, folder) else {
            return (
                format!("the {what} cannot be {done}: the system does not permit it"),
                format!(
                    "the rights of the file would do: does SELinux, AppArmor or the sandbox of a service forbid it? Or {}",
                    self.or
                ),
            );
        };
        let me = geteuid().as_raw();
        let thing = if culprit == self.path {
            "it".to_string()
        } else {
            format!("the folder {}", name(&culprit))
        };
        let mode = fs::metadata(&culprit).map_or(0, |m| m.permissions().mode() & 0o7777);
        // A folder that holds other things should not change its owner for this.
        let fresh = fs::read_dir(&culprit).is_ok_and(|mut all| all.next().is_none());
        let give = if fresh {
            format!(
                "make it yours (`sudo chown {} {}`), or ",
                login(me).trim_matches(['\'', '#']),
                quoted(&culprit)
            )
        } else {
            String::new()
        };
        (
            format!(
                "the {what} cannot be {done}: {thing} belongs to {} (mode {mode:o}), and you are {}",
                user(owner),
                user(me)
            ),
            format!(
                "{give}do this as {} (`sudo -u {} imap-to-gmail ...`); or {}",
                user(owner),
                login(owner),
                self.or
            ),
        )
    }

    /// The first file or folder on the path that we may not use, and its owner.
    fn culprit(&self, want: Want, folder: &Path) -> Option<(PathBuf, u32)> {
        let may = |path: &Path, access| rustix::fs::access(path, access).is_ok();
        let owned = |path: &Path| Some((path.to_path_buf(), fs::metadata(path).ok()?.uid()));
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.retain(|f| !f.as_os_str().is_empty());
        for on_the_way in way.into_iter().rev() {
            if !may(on_the_way, Access::EXEC_OK) {
                return owned(on_the_way);
            }
        }
        let access = match want {
            Want::Read => Access::READ_OK,
            Want::Write => Access::READ_OK | Access::WRITE_OK,
        };
        if self.path.exists() && !may(self.path, access) {
            return owned(self.path);
        }
        if want == Want::Write && !may(folder, Access::WRITE_OK) {
            return owned(folder);
        }
        None
    }

    /// The owner, as `sudo -u` takes it, where we may not read the file.
    pub fn owner(&self) -> Option<String> {
        let (_, owner) = self.culprit(Want::Read, &folder_of(self.path))?;
        Some(login(owner))
    }
}

/// Sentence and hint.
pub const FULL: [&str; 2] = [
    "the disk is full",
    "make room (`df -h` shows which disk is full; do not delete the ledger), then start again: nothing is lost",
];

/// The folder in which the file lies or will be made: links are followed.
fn folder_of(path: &Path) -> PathBuf {
    let folder = |path: &Path| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => ".".into(),
    };
    match fs::read_link(path) {
        Ok(to) => folder(&folder(path).join(to)),
        Err(_) => folder(path),
    }
}

fn not_a_folder(folder: &Path) -> PathBuf {
    let file = folder.ancestors().find(|f| f.is_file());
    file.unwrap_or(folder).to_path_buf()
}

/// The current folder has a name too.
fn name(folder: &Path) -> String {
    let here = (folder == Path::new("."))
        .then(std::env::current_dir)
        .and_then(io::Result::ok);
    shown(
        here.as_deref()
            .unwrap_or(folder)
            .as_os_str()
            .as_encoded_bytes(),
    )
}

/// The folder in which this file lies, or is to lie.
pub fn folder_name(file: &Path) -> String {
    name(&folder_of(file))
}

fn quoted(path: &Path) -> String {
    shell_word(&name(path))
}

/// A user of this machine, for people: `ann`, or `user 1000`.
pub fn user(id: u32) -> String {
    user_name(id).unwrap_or_else(|| format!("user {id}"))
}

/// As `sudo -u` takes it.
pub fn login(id: u32) -> String {
    user_name(id).unwrap_or_else(|| format!("'#{id}'"))
}

/// Only /etc/passwd is asked: users from elsewhere (LDAP) are called by their number.
fn user_name(id: u32) -> Option<String> {
    let all = fs::read_to_string("/etc/passwd").ok()?;
    let line = all
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&id.to_string()))?;
    let name = line.split(':').next()?;
    (!name.is_empty()).then(|| shown(name.as_bytes()))
}
