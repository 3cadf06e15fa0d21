//! Several routes of a process that read one account: what one of them removes there, the others may not have copied yet. Not
//! for routes of other processes, of which nobody here knows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Engine, lock};
use crate::error::{Error, Fault, Result, shown};

/// The accounts that the configurations of this process read, whether a run of them goes on or not: what one of them has not
/// copied it may be to copy still.
#[derive(Default)]
pub struct Readers(Mutex<HashMap<PathBuf, Reads>>);

/// What a configuration reads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reads {
    /// Server and user.
    Account(String, String),
    /// It was not looked at yet, and may read any account.
    Unread,
    /// It was, in vain, and may read any account still.
    Unreadable,
}

impl Readers {
    /// This configuration reads this account, until it is no more or reads another one.
    pub fn reads(&self, file: &Path, server: &str, user: &str) {
        let account = Reads::Account(server.to_lowercase(), user.to_lowercase());
        lock(&self.0).insert(file.to_path_buf(), account);
    }

    /// Nobody has looked yet what this configuration reads, unless that is known from before.
    pub fn is_to_be_read(&self, file: &Path) {
        let mut all = lock(&self.0);
        all.entry(file.to_path_buf()).or_insert(Reads::Unread);
    }

    /// This configuration says now what nobody understands.
    pub fn cannot_be_read(&self, file: &Path) {
        lock(&self.0).insert(file.to_path_buf(), Reads::Unreadable);
    }

    /// This configuration could not be taken up. What it was seen to read it reads all the same.
    pub fn is_refused(&self, file: &Path) {
        let mut all = lock(&self.0);
        match all.get_mut(file) {
            Some(reads) if *reads == Reads::Unread => *reads = Reads::Unreadable,
            _ => {}
        }
    }

    /// This configuration is no more.
    pub fn leave(&self, file: &Path) {
        lock(&self.0).remove(file);
    }

    /// # Errors
    /// Another configuration reads, or may read, what this one does.
    fn must_be_alone(&self, file: &Path) -> Result<()> {
        let all = lock(&self.0);
        let own = all.get(file);
        let mut unknown = None;
        for (other, reads) in all.iter().filter(|(other, _)| *other != file) {
            match reads {
                Reads::Account(..) if Some(reads) != own => {}
                Reads::Account(..) => return Err(another()),
                // What a person must mend is told rather than what passes.
                Reads::Unread => unknown = unknown.or(Some(unread())),
                Reads::Unreadable => unknown = Some(unreadable(other)),
            }
        }
        unknown.map_or(Ok(()), Err)
    }
}

fn another() -> Error {
    Error::new(
        Fault::NeedsUser,
        "another configuration of this run reads the same account, and may not have copied yet what would be removed after its delivery: nothing is removed",
    )
    .hint("set `after_delivery` to \"keep\" here, and remove by hand what both have copied; or let one configuration read that account")
}

fn unread() -> Error {
    Error::connection(
        "another configuration of this run was not read yet, and may read the same account: nothing is removed until it was",
    )
}

fn unreadable(other: &Path) -> Error {
    let other = shown(other.display().to_string().as_bytes());
    Error::new(
        Fault::NeedsUser,
        format!("{other} cannot be read, and may be a configuration that reads the same account: nothing is removed until it can"),
    )
    .hint("mend that file, of which the log says more, or take it away")
}

impl Engine {
    /// This route, of this configuration, reads an account that others may read as well.
    pub fn read_beside(&self, readers: Arc<Readers>, file: &Path) {
        let _ = self.readers.set((readers, file.to_path_buf()));
    }

    /// # Errors
    /// `NeedsUser`: another route of this process reads the account, too, or has a configuration that may; `Connection`: its
    /// configuration was not read yet.
    pub(super) fn reads_alone(&self) -> Result<()> {
        let beside = self.readers.get();
        beside.map_or(Ok(()), |(all, file)| all.must_be_alone(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_read_an_account_keeps_what_is_there() {
        let all = Readers::default();
        let [own, other] = ["own.json", "other.json"].map(Path::new);
        let alone = || all.must_be_alone(own).map_err(|e| e.fault);
        all.reads(own, "imap.example.org", "Anna");
        assert_eq!(alone(), Ok(()));
        all.is_to_be_read(other);
        assert_eq!(alone(), Err(Fault::Connection));
        all.is_refused(other);
        assert_eq!(alone(), Err(Fault::NeedsUser));
        // Looked at again in vain, it is as unknown as before.
        all.is_to_be_read(other);
        assert_eq!(alone(), Err(Fault::NeedsUser));
        all.reads(other, "imap.example.org", "ben");
        assert_eq!(alone(), Ok(()));
        // A run that does not begin reads that account still.
        all.is_refused(other);
        all.is_to_be_read(other);
        assert_eq!(alone(), Ok(()));
        all.reads(other, "IMAP.example.org", "anna");
        assert_eq!(alone(), Err(Fault::NeedsUser));
        all.cannot_be_read(other);
        assert_eq!(alone(), Err(Fault::NeedsUser));
        all.leave(other);
        assert_eq!(alone(), Ok(()));
    }
}
