//! Who else may read or replace the files that hold secrets, and which disk the ledger lies on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Finding, folder_of};
use crate::config::Draft;
use crate::error::Error;
use crate::ledger;
use crate::text::{bytes_text, shell_word};

/// With less free space than this the ledger soon has no room to grow.
const LITTLE: u64 = 100_000_000;
/// With less free space than this a run is about to fail: SQLite's log alone may take 16 MB.
const TOO_LITTLE: u64 = 20_000_000;

/// Files that others can read, and folders in which they can replace them.
pub(super) fn permissions(draft: &Draft) -> Vec<Finding> {
    let name = "permissions";
    let mut files = draft.secret_files.clone();
    // The ledger shows who wrote to whom, and about what.
    if let Some(ledger) = &draft.ledger {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            files.push(ledger::beside(&ledger.path, suffix));
        }
    }
    files.retain(|f| f.exists());
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = Vec::new();
    for file in &files {
        if let Some(mode) = mode_for_others(file) {
            let shown = file.display();
            found.push(Finding::warning(
                name,
                format!("others on this machine can read or change {shown} (mode {mode:o})"),
                format!("`chmod 600 {}`", shell_word(&shown.to_string())),
            ));
        }
        let folder = folder_of(file);
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    for folder in folders {
        // With the sticky bit, as on /tmp, users may only replace their own files.
        let mode = mode(&folder).unwrap_or(0);
        if mode & 0o002 != 0 && mode & 0o1000 == 0 && others_get_to(&folder) {
            let shown = folder.display();
            found.push(Finding::warning(
                name,
                format!("others on this machine can replace the files in {shown} (mode {mode:o})"),
                format!("`chmod o-w {}`", shell_word(&shown.to_string())),
            ));
        }
    }
    if found.is_empty() {
        let what = if files.is_empty() {
            "no file with a secret in it is there"
        } else {
            "nobody but their owner and group can read passwords, tokens or the ledger"
        };
        found.push(Finding::ok(name, what));
    }
    found
}

/// The mode of a file that others can read or write.
fn mode_for_others(file: &Path) -> Option<u32> {
    mode(file).filter(|mode| mode & 0o006 != 0 && others_get_to(&folder_of(file)))
}

fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o7777)
}

/// Others who may not pass through one of the folders on the way cannot reach the file.
fn others_get_to(folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else {
        return true;
    };
    folder
        .ancestors()
        .all(|f| mode(f).is_none_or(|m| m & 0o001 != 0))
}

/// Free space and kind of the file system that the ledger lies on, or is to lie on.
pub(super) fn disk(ledger: &Path) -> Vec<Finding> {
    let name = "disk";
    let folder = folder_of(ledger);
    let stat = match rustix::fs::statvfs(&folder) {
        Ok(stat) => stat,
        Err(e) => {
            let why = format!("{}: {}", folder.display(), std::io::Error::from(e));
            return vec![Finding::skipped(name, &why)];
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let sentence = format!("{} free under the ledger", bytes_text(free));
    let hint = "make room: a full disk ends a run, though nothing is lost";
    let mut found = vec![match free {
        ..TOO_LITTLE => Finding::problem(name, &Error::fatal(format!("only {sentence}")), hint),
        TOO_LITTLE..LITTLE => Finding::warning(name, format!("only {sentence}"), hint),
        _ => Finding::ok(name, sentence),
    }];
    if let Some(kind) = network_file_system(&folder) {
        found.push(Finding::warning(
            "file_system",
            format!("the ledger lies on {kind}, a network file system: a commit there is slow, and a lock or a write-ahead log may not hold"),
            "give a path on a disk of this machine as `state_file`",
        ));
    }
    found
}

/// The numbers are in the manual of statfs(2); only Linux has them.
#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    // The field is wider than the number, and signed on some machines.
    match kind as u32 {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("SMB"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x0102_1997 => Some("9P"),
        0x00c3_6400 => Some("Ceph"),
        0x7375_7245 => Some("Coda"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}
