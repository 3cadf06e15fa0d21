//! The token file: how it is read, locked against others who renew it, and written; and the words for what is
//! wrong with it. Not for what it says (`contents`) nor for when it is renewed (`tokens`).

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::Access;
use serde_json::{Map, Value};

use super::contents::Contents;
use super::provider::Provider;
use crate::config::{Origin, Secret, Side, json_place};
use crate::error::{Error, Fault, Result, shown};
use crate::message::{Sha256, sha256};
use crate::mount::is_mounted_alone;
use crate::place::{FilePlace, Want, folder_name};
use crate::text;

/// More than any token file has.
pub(super) const FILE_MAX: u64 = 1 << 20;

/// One token file of a configuration.
pub(super) struct TokenFile {
    path: PathBuf,
    origin: Origin,
    seen: Mutex<Seen>,
}

/// Which file lay there when it was last looked at.
struct Seen {
    file: Option<(u64, SystemTime)>,
    edition: u64,
}

impl TokenFile {
    pub(super) fn new(path: &Path) -> TokenFile {
        TokenFile {
            path: path.to_path_buf(),
            origin: Origin {
                token_file: Some(path.to_path_buf()),
                ..Origin::default()
            },
            seen: Mutex::new(Seen {
                file: file_at(path),
                edition: 0,
            }),
        }
    }

    /// Where in which configuration the file is named: for words about how to sign in again.
    pub(super) fn named_by(&mut self, origin: &Origin) {
        self.origin = origin.clone();
    }

    /// The command with which a person signs in again; the provider is the file's, where that can be read.
    pub(super) fn sign_in_command(&self, provider: Option<Provider>) -> String {
        self.origin.sign_in(provider.map(Provider::name))
    }

    /// How a person signs in again.
    pub(super) fn sign_in(&self, provider: Option<Provider>) -> String {
        format!(
            "sign in again with {}; a run that goes on picks the new sign-in up by itself",
            self.sign_in_command(provider)
        )
    }

    /// The error where the file is missing, as it is before the first sign-in.
    fn not_signed_in(&self) -> Error {
        let origin = &self.origin;
        let (whom, easier) = match origin.side {
            Side::Source => ("the source", String::new()),
            Side::Target => (
                "Google",
                format!(
                    ". An app password is often easier (2-Step Verification must be on): make one at https://myaccount.google.com/apppasswords and put it into {} as `{}`, in place of `{}`",
                    origin.file(),
                    origin.key("pass"),
                    origin.key("token_file")
                ),
            ),
        };
        let name = self.path.file_name().unwrap_or_default();
        Error::new(
            Fault::NeedsUser,
            format!(
                "not signed in to {whom} yet: {} (`{}`) does not exist in {}",
                shown(name.as_encoded_bytes()),
                origin.key("token_file"),
                folder_name(&self.path)
            ),
        )
        .hint(format!(
            "sign in with {}; a run that goes on picks it up by itself{easier}",
            origin.sign_in(None)
        ))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// This number changes whenever somebody else has put another file in place.
    pub(super) fn edition(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = file_at(&self.path);
        if std::mem::replace(&mut seen.file, now) != now {
            seen.edition += 1;
        }
        seen.edition
    }

    /// A lock that keeps others who share the file from renewing it at the same time, until it is dropped.
    /// A renewal puts another file in this one's place, so who has waited for the lock looks whether it is
    /// still on the file that lies there. None where there are no locks, or another holds it for longer than
    /// `limit`, the time that an exchange may take.
    pub(super) fn alone(&self, limit: Duration) -> Option<File> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            let file = File::open(&self.path).ok()?;
            match file.try_lock() {
                Ok(()) => {
                    let (ours, there) = (file.metadata().ok()?, fs::metadata(&self.path).ok()?);
                    if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
                        return Some(file);
                    }
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(50)),
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }

    pub(super) fn error(&self, fault: Fault, what: impl std::fmt::Display) -> Error {
        Error::new(fault, format!("{}: {what}", self.path.display()))
    }

    pub(super) fn read(&self) -> Result<Contents> {
        let bytes = fs::read(&self.path).map_err(|e| {
            let place = FilePlace {
                what: "token file",
                path: &self.path,
                or: "name another path in the configuration and sign in there, with `imap-to-gmail auth`",
            };
            if e.kind() == ErrorKind::NotFound && place.has_folder() {
                self.not_signed_in()
            } else {
                place.refused(Want::Read, &e).with_fault(Fault::NeedsUser)
            }
        })?;
        let bytes = Secret::new(bytes);
        let text = text::plain(bytes.reveal()).ok_or_else(|| {
            self.error(Fault::NeedsUser, text::UTF_16)
                .hint(text::UTF_16_HINT)
        })?;
        let value: Value = serde_json::from_slice(text).map_err(|e| {
            let (line, column) = json_place(&e, text);
            self.error(
                Fault::NeedsUser,
                format!("not JSON at line {line}, column {column}"),
            )
            .hint(self.sign_in(None))
        })?;
        let Value::Object(map) = value else {
            return Err(self
                .error(Fault::NeedsUser, "there is no `token` in it")
                .hint(self.sign_in(None)));
        };
        self.contents(map, sha256(bytes.reveal()))
    }

    pub(super) fn contents(&self, map: Map<String, Value>, hash: Sha256) -> Result<Contents> {
        Contents::new(map, hash)
            .map_err(|what| self.error(Fault::NeedsUser, what).hint(self.sign_in(None)))
    }

    /// Writes the file anew.
    pub(super) fn write(&self, map: &Map<String, Value>) -> io::Result<Sha256> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Written { hash, .. } = write(&self.path, map)?;
        // What we write ourselves does not count as another file.
        seen.file = file_at(&self.path);
        Ok(hash)
    }
}

/// Which file lies there (its inode), and when it was last written: either alone may be the same as before.
fn file_at(path: &Path) -> Option<(u64, SystemTime)> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.modified().ok()?))
}

/// How a token file can be written.
#[derive(Debug)]
pub enum Keeping {
    /// By a new file in its place: nothing is lost whatever happens.
    InAnother,
    InPlace,
    NotAtAll(io::Error),
}

/// How a token file was written.
pub(super) struct Written {
    /// The hash of what was written.
    pub(super) hash: Sha256,
    pub(super) in_place: bool,
}

/// Writes a token file by renaming a new one over it; the new one has mode 0600 before its first byte. A file
/// that cannot be replaced (it is mounted by itself, or its folder is not ours to write to) is overwritten in
/// place: the tokens in it may be dead already, so there is nothing to lose.
pub(super) fn write(path: &Path, map: &Map<String, Value>) -> io::Result<Written> {
    let path = target(path)?;
    let text = Secret::new(serde_json::to_string_pretty(map)?);
    let bytes = text.reveal().as_bytes();
    let in_place = match replace(&path, bytes) {
        Ok(()) => false,
        Err(e) if may_be_written_in_place(&e) => {
            // If that fails too, the first error says more.
            write_in_place(&path, bytes).map_err(|_| e)?;
            true
        }
        Err(e) => return Err(e),
    };
    Ok(Written {
        hash: sha256(bytes),
        in_place,
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder(path))?;
    file.write_all(bytes)?;
    // Run by root, for once, it stays its owner's; nobody else may give files away.
    if let Ok(old) = fs::metadata(path) {
        let _ = fchown(file.as_file(), Some(old.uid()), Some(old.gid()));
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    // So that the rename survives a power cut; some file systems cannot promise it.
    let _ = File::open(folder(path)).and_then(|dir| dir.sync_all());
    Ok(())
}

/// May the file be overwritten in place after this error? Not when the disk is full: then the old file must
/// survive.
fn may_be_written_in_place(e: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(
        e.kind(),
        CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy
    )
}

/// The new text is padded with blanks to the length of the old one and written at once. If the process ends
/// before the file is cut to size, it is still valid JSON.
fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let length = file.metadata()?.len();
    let spare = length.saturating_sub(bytes.len() as u64).min(FILE_MAX);
    let mut text = Secret::new(bytes.to_vec());
    // Only the owner may change the mode; others who may write the file still write it.
    let _ = file.set_permissions(Permissions::from_mode(0o600));
    text.reveal_mut()
        .resize(bytes.len() + usize::try_from(spare).unwrap_or(0), b' ');
    file.write_all(text.reveal())?;
    file.sync_all()?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// Can a file be written at `path`? It is tried without changing a file that is there.
pub(super) fn try_place(path: &Path) -> io::Result<()> {
    let path = target(path)?;
    match tempfile::NamedTempFile::new_in(folder(&path)) {
        Err(e) if may_be_written_in_place(&e) && path.exists() => {
            File::options().write(true).open(path).map(|_| ())
        }
        end => end.map(|_| ()),
    }
}

/// How new tokens could be written at `path`, as far as that can be told without writing.
pub(super) fn keeping(path: &Path) -> Keeping {
    let can = |what: &Path, access| rustix::fs::access(what, access).map_err(io::Error::from);
    let path = match target(path) {
        Ok(path) => path,
        Err(e) => return Keeping::NotAtAll(e),
    };
    let replaced = can(folder(&path), Access::WRITE_OK | Access::EXEC_OK);
    match replaced {
        Ok(()) if !is_mounted_alone(&path) => Keeping::InAnother,
        _ => match can(&path, Access::WRITE_OK) {
            Ok(()) => Keeping::InPlace,
            Err(e) => Keeping::NotAtAll(e),
        },
    }
}

/// What a link points to is replaced, not the link.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        // There is no file yet, and no link to a missing one.
        Err(_) if fs::symlink_metadata(path).is_err() => Ok(path.to_path_buf()),
        end => end,
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon of another user reads it afterwards. Only root can be put to this test.
    #[test]
    fn a_file_stays_its_owners_when_root_writes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token.json");
        fs::write(&path, "{}").expect("written");
        let given = std::os::unix::fs::chown(&path, Some(65534), Some(65534));
        write(&path, &Map::new()).expect("written anew");
        let file = fs::metadata(&path).expect("there");
        assert_eq!(file.mode() & 0o777, 0o600);
        let owner = (file.uid(), file.gid());
        assert_eq!(given.is_ok(), owner == (65534, 65534), "{owner:?}");
    }
}
