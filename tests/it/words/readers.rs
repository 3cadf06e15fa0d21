//! `status` for somebody who may not write the ledger: the right figures, nothing made or changed, or whose it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::Value;

use super::WorkDir;
use super::places::as_nobody;
use super::status::{Book, day};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A ledger that everybody may read, with so many that wait.
fn open_to_all(desk: &WorkDir, messages: u32) -> Book {
    let path = desk.path("sync_state.db");
    fs::write(&path, "").unwrap();
    mode(&path, 0o644);
    let mut book = Book::new(&path);
    for n in 0..messages {
        book.pending(&format!("<{n}@x>"), Some(10), day(2));
    }
    book
}

/// How many wait, by the eyes of somebody else; None where nobody else can be had.
fn pending(desk: &WorkDir) -> Option<u64> {
    let files = |desk: &WorkDir| {
        let stamp = |name: &String| {
            let m = fs::metadata(desk.path(name)).unwrap();
            (name.clone(), m.ino(), m.len(), m.mtime(), m.mtime_nsec())
        };
        desk.files().iter().map(stamp).collect::<Vec<_>>()
    };
    let before = files(desk);
    let (status, out, err) = as_nobody(desk, &["status", "--json"])?;
    assert_eq!((status, &*err), (0, ""), "{out}");
    assert_eq!(files(desk), before);
    let all: Value = serde_json::from_str(&out).unwrap();
    all["routes"][0]["pending"].as_u64()
}

#[test]
fn who_may_only_read_the_ledger_is_told_what_stands_in_it() {
    let desk = WorkDir::new();
    let mut book = open_to_all(&desk, 3);
    // What a run has open, with what is still in the log beside it.
    let Some(seen) = pending(&desk) else { return };
    assert_eq!(seen, 3);
    book.pending("<more@x>", Some(10), day(2));
    assert_eq!(pending(&desk), Some(4));
    // As after `kill -9`.
    for (with_shm, name) in [(true, "killed"), (false, "cut")] {
        let other = WorkDir::new();
        for suffix in ["", "-wal", "-shm"] {
            if with_shm || suffix != "-shm" {
                let name = format!("sync_state.db{suffix}");
                fs::copy(desk.path(&name), other.path(&name)).unwrap();
                mode(&other.path(&name), 0o644);
            }
        }
        assert_eq!(pending(&other), Some(4), "{name}");
    }
    // Nobody has it open: there is no log.
    drop(book);
    assert_eq!(desk.files(), ["sync_state.db"]);
    assert_eq!(pending(&desk), Some(4));
}

#[test]
fn who_may_not_read_the_ledger_is_told_whose_it_is_and_what_to_type() {
    let desk = WorkDir::new();
    drop(Book::new(&desk.path("my ledger.db")));
    let Some((status, out, err)) = as_nobody(&desk, &["status", "--state-file", "my ledger.db"])
    else {
        return;
    };
    assert_eq!(
        (status, &*out, &*err),
        (
            1,
            "",
            "error: my ledger.db: the ledger cannot be read: it belongs to root (mode 600), and you are nobody\n\n\
             hint: `sudo -u root imap-to-gmail status --state-file 'my ledger.db'` reads it\n"
        )
    );
    // Nor is what lies in a closed folder taken for absent.
    fs::create_dir(desk.path("data")).unwrap();
    drop(Book::new(&desk.path("data/a.db")));
    mode(&desk.path("data"), 0o700);
    let (_, _, err) = as_nobody(&desk, &["status", "--state-file", "data/a.db"]).unwrap();
    assert_eq!(
        err,
        "error: data/a.db: the ledger cannot be read: the folder data belongs to root (mode 700), and you are nobody\n\n\
         hint: `sudo -u root imap-to-gmail status --state-file data/a.db` reads it\n"
    );
    // Readable itself, but not what a run keeps beside it.
    let desk = WorkDir::new();
    let _book = Book::new(&desk.path("sync_state.db"));
    mode(&desk.path("sync_state.db"), 0o644);
    let (_, _, err) = as_nobody(&desk, &["status"]).unwrap();
    assert!(
        err.contains("sync_state.db-wal: the ledger cannot be read: it belongs to root (mode 600), and you are nobody"),
        "{err}"
    );
    assert!(
        err.contains("hint: `sudo -u root imap-to-gmail status` reads it"),
        "{err}"
    );
}
