//! A user's Maildir from behind Dovecot's back: files put there for Dovecot to find, indexes taken away. What is in a
//! mailbox is not read here but by IMAP.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::unix_now;

/// The Maildir of one user; its top is the INBOX. It need not exist yet.
#[derive(Debug)]
pub(crate) struct Maildir<'a> {
    pub(crate) path: PathBuf,
    pub(crate) owner: &'a Owner,
}

/// Messages whose body Dovecot cannot serve: each FETCH of it ends the connection, every time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poison {
    /// RFC822.SIZE says 10, the file has 434 bytes: the connection ends within the body, and for a header field too.
    SizeTooSmall,
    /// A literal of 99,999 bytes is announced, 434 come: the connection ends within it. Header fields can be had.
    SizeTooBig,
    /// The file may not be read: the connection ends for RFC822.SIZE and header fields too; FLAGS and INTERNALDATE
    /// can be had.
    Unreadable,
}

impl Maildir<'_> {
    /// Puts a message into INBOX. `sizes` goes into the file name, where Dovecot believes it; `flags` are the letters.
    pub(crate) fn plant(
        &self,
        bytes: &[u8],
        sizes: &str,
        flags: &str,
        internal_date: i64,
    ) -> PathBuf {
        if !self.path.join("cur").exists() {
            ["", "cur", "new", "tmp"]
                .iter()
                .for_each(|sub| self.owner.create_dir(&self.path.join(sub)));
        }
        let name = unique_name();
        let temporary = self.path.join("tmp").join(&name);
        let mut file = File::create_new(&temporary).unwrap();
        file.write_all(bytes).unwrap();
        file.set_modified(system_time(internal_date)).unwrap();
        self.owner.take(&temporary);
        let mut flags: Vec<char> = flags.chars().collect();
        flags.sort_unstable();
        let file_name = format!("{name}{sizes}:2,{}", String::from_iter(flags));
        let path = self.path.join("cur").join(file_name);
        fs::rename(&temporary, &path).unwrap();
        path
    }

    /// Puts a message into INBOX that cannot be fetched.
    pub(crate) fn plant_poison(&self, kind: Poison) -> PathBuf {
        let sizes = match kind {
            Poison::SizeTooSmall => ",S=10,W=10",
            Poison::SizeTooBig => ",S=99999,W=99999",
            Poison::Unreadable => "",
        };
        let now = i64::try_from(unix_now()).unwrap();
        let path = self.plant(&poison_message(), sizes, "S", now);
        if kind == Poison::Unreadable {
            fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        }
        path
    }

    /// The greatest UIDVALIDITY that a mailbox of this user has. Dovecot must have seen the Maildir.
    pub(crate) fn newest_uid_validity(&self) -> u64 {
        let hex = fs::read_to_string(self.path.join("dovecot-uidvalidity")).unwrap();
        u64::from_str_radix(hex.trim(), 16).unwrap()
    }

    /// Deletes what Dovecot knows UIDs and UIDVALIDITY from, in all mailboxes.
    pub(crate) fn remove_indexes(&self) {
        remove_indexes(&self.path);
    }
}

/// Whom mail belongs to: `nobody` when root runs the tests, otherwise the caller.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    root: bool,
}

impl Owner {
    /// Asks who runs the tests.
    pub(crate) fn find() -> Owner {
        let caller = fs::metadata("/proc/self").unwrap();
        if caller.uid() != 0 {
            return Owner {
                uid: caller.uid(),
                gid: caller.gid(),
                root: false,
            };
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let nobody: Vec<&str> = passwd
            .lines()
            .map(|line| line.split(':').collect())
            .find(|fields: &Vec<&str>| fields[0] == "nobody")
            .expect("user nobody");
        Owner {
            uid: nobody[2].parse().unwrap(),
            gid: nobody[3].parse().unwrap(),
            root: true,
        }
    }

    fn take(&self, path: &Path) {
        if self.root {
            chown(path, Some(self.uid), Some(self.gid)).unwrap();
        }
    }

    /// Makes a directory of theirs.
    pub(crate) fn create_dir(&self, path: &Path) {
        fs::create_dir_all(path).unwrap();
        self.take(path);
    }

    /// What dovecot.conf has to say: without root Dovecot can neither change its user nor its root directory.
    pub(crate) fn configuration(&self) -> String {
        if self.root {
            return String::new();
        }
        let (user, group) = (id_name("-un"), id_name("-gn"));
        format!(
            "default_internal_user = {user}\ndefault_login_user = {user}\ndefault_internal_group = {group}\n"
        )
    }
}

fn id_name(option: &str) -> String {
    let output = Command::new("id").arg(option).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const INDEXES: [&str; 4] = [
    "dovecot-uidlist",
    "dovecot-uidvalidity",
    "dovecot.index",
    "dovecot.list.index",
];

fn remove_indexes(mailbox: &Path) {
    for entry in fs::read_dir(mailbox).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name.starts_with('.') {
            remove_indexes(&path);
        } else if INDEXES.iter().any(|index| name.starts_with(index)) {
            fs::remove_file(&path).unwrap();
        }
    }
}

/// A Maildir file name like Dovecot's own, later than any before it: new files get UIDs in the order of their names.
pub(crate) fn unique_name() -> String {
    static LAST: Mutex<Duration> = Mutex::new(Duration::ZERO);
    let mut last = LAST.lock().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    *last = now.max(*last + Duration::from_micros(1));
    format!(
        "{}.M{:06}P{}.fixture",
        last.as_secs(),
        last.subsec_micros(),
        std::process::id()
    )
}

fn system_time(unix: i64) -> SystemTime {
    let distance = Duration::from_secs(unix.unsigned_abs());
    if unix < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}

/// 434 bytes with CRLF line ends.
fn poison_message() -> Vec<u8> {
    let mut message =
        b"From: a@example.org\r\nSubject: poison\r\nMessage-ID: <poison@example.org>\r\n\r\n"
            .to_vec();
    message.resize(432, b'x');
    message.extend_from_slice(b"\r\n");
    message
}
