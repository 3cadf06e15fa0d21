//! Where the files lie that a configuration names. A relative path begins at the configuration's folder,
//! wherever the program is started: otherwise one configuration could have two ledgers, and a message without
//! Message-ID would be sent by each.
//!
//! The folder is that of the path as it was typed. Where that is a link, its owner put the link where
//! the other files are to be: what a dotfile manager links to is a repository, and what Kubernetes
//! links to is replaced by another folder with each change. A configuration without a folder of its
//! own (a pipe, `/dev/stdin`, a file that was mounted alone into a container) leaves the current one.
//!
//! In earlier versions a relative path began at the current folder. A file that is missing at the new place and
//! lies there (or in the folder that a link to the configuration leads to) is used there, and the user is told.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{self, Path, PathBuf};

use serde_json::Value;

use super::json::probable_text;
use super::{Endpoint, Reader, read_object};
use crate::error::{Note, Result};
use crate::mount::is_mounted_alone;

/// The ledger, where the configuration names none.
pub const DEFAULT_LEDGER: &str = "sync_state.db";

const FILES: &[&str] = &[
    "source_pass_file",
    "source_token_file",
    "source_ca_file",
    "target_pass_file",
    "target_token_file",
    "target_ca_file",
];

const MOVE_HINT: &str = "a relative path in a configuration begins at the folder of that file: move it there, or write its whole path";

/// Where a configuration has its ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerPlace {
    pub path: PathBuf,
    /// Where an older one may lie, to be used as long as there is none at `path`. The caller must check that it
    /// belongs to the same accounts.
    pub older: Vec<PathBuf>,
}

/// User and host of either side.
#[derive(Clone, Debug, PartialEq)]
pub struct Accounts {
    pub source: (String, String),
    pub target: (String, String),
}

/// Where the configuration at `path` has its ledger, and the accounts that the ledger must belong to. Nothing
/// else is looked at: no password is read and no command is run.
pub fn ledger_place(path: &Path) -> Result<(LedgerPlace, Result<Accounts>)> {
    let map = read_object(path)?;
    let reader = Reader { path, map: &map };
    reader.known_keys()?;
    let accounts = || {
        let host = |endpoint: Endpoint| endpoint.host;
        Ok(Accounts {
            source: (reader.user("source_user")?, host(reader.source()?)),
            target: (reader.user("target_user")?, host(reader.target()?)),
        })
    };
    Ok((reader.ledger()?, accounts()))
}

/// Where a faulty configuration seems to have its ledger: for commands that only look at that.
pub(super) fn probable_ledger(path: &Path) -> Option<PathBuf> {
    let named = probable_text(path, "state_file")?;
    let base = Base::of(path);
    Some(base.folder.join(named.as_deref().unwrap_or(DEFAULT_LEDGER)))
}

/// Where relative paths begin.
struct Base {
    folder: PathBuf,
    older: Vec<PathBuf>,
}

impl Base {
    fn of(config: &Path) -> Base {
        let folder = match config.parent() {
            Some(folder) if has_folder(config, folder) => folder.to_path_buf(),
            _ => PathBuf::new(),
        };
        let beside = |file: PathBuf| file.parent().map(Path::to_path_buf);
        let linked = config.canonicalize().ok().and_then(beside);
        let mut known = vec![real(&folder)];
        let mut older = Vec::new();
        for place in [linked, env::current_dir().ok()].into_iter().flatten() {
            let real = real(&place);
            if !known.contains(&real) {
                known.push(real);
                older.push(place);
            }
        }
        Base { folder, older }
    }

    /// Where the file with this name lies, and whether that is an older place.
    fn find(&self, named: &str) -> (PathBuf, bool) {
        let place = self.folder.join(named);
        if is_there(&place) {
            return (place, false);
        }
        let mut older = self.older(named).into_iter();
        match older.find(|file| fs::symlink_metadata(file).is_ok()) {
            Some(found) => (found, true),
            None => (place, false),
        }
    }

    fn older(&self, named: &str) -> Vec<PathBuf> {
        if Path::new(named).is_absolute() {
            return Vec::new();
        }
        self.older.iter().map(|folder| folder.join(named)).collect()
    }
}

/// Is the folder one in which a person keeps this file?
fn has_folder(config: &Path, folder: &Path) -> bool {
    let streams = ["/dev", "/dev/fd"].iter().any(|f| folder == Path::new(f));
    let stream = streams || folder.starts_with("/proc");
    !stream && fs::metadata(config).is_ok_and(|m| m.is_file()) && !is_mounted_alone(config)
}

fn real(folder: &Path) -> PathBuf {
    let named = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    named.canonicalize().unwrap_or_else(|_| named.into())
}

pub(super) fn absolute(path: &Path) -> PathBuf {
    let named = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    std::path::absolute(named).unwrap_or_else(|_| named.into())
}

/// A file that we may not look at is not taken for absent.
fn is_there(file: &Path) -> bool {
    let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory];
    !fs::symlink_metadata(file).is_err_and(|e| absent.contains(&e.kind()))
}

impl Reader<'_> {
    /// The file that a key names.
    pub(super) fn file(&self, key: &str) -> Result<Option<PathBuf>> {
        let Some(named) = self.text(key)? else {
            return Ok(None);
        };
        self.must_be_no_shorthand(key, &named)?;
        Ok(Some(Base::of(self.path).find(&named).0))
    }

    pub(super) fn required_file(&self, key: &str) -> Result<PathBuf> {
        self.file(key)?.ok_or_else(|| self.missing(&[key]))
    }

    /// The program that a command begins with: with a slash in it, it is a path like others.
    pub(super) fn program(&self, key: &str, named: &str) -> Result<String> {
        self.must_be_no_shorthand(key, named)?;
        let found = || Base::of(self.path).find(named).0.into_os_string();
        Ok(if named.contains('/') {
            // The folder in front of it may be no UTF-8: then it can only be run as it was named.
            found().into_string().unwrap_or_else(|_| named.into())
        } else {
            named.into()
        })
    }

    /// The configuration's folder, wherever the process goes.
    pub(super) fn folder(&self) -> PathBuf {
        absolute(&Base::of(self.path).folder)
    }

    pub(super) fn ledger(&self) -> Result<LedgerPlace> {
        let named = self.text("state_file")?;
        let named = named.unwrap_or_else(|| DEFAULT_LEDGER.into());
        self.must_be_no_shorthand("state_file", &named)?;
        let base = Base::of(self.path);
        Ok(LedgerPlace {
            path: base.folder.join(&named),
            older: base.older(&named),
        })
    }

    /// Each file that was found at an older place; with `side`, of that side only.
    pub(super) fn moved(&self, side: &str) -> Vec<Note> {
        let base = Base::of(self.path);
        let key = "source_pass_command";
        let argv = self.map.get(key).and_then(Value::as_array);
        let program = argv.and_then(|argv| argv.first()?.as_str());
        let program = program.filter(|name| name.contains('/'));
        FILES
            .iter()
            .filter_map(|key| Some((*key, self.map.get(*key)?.as_str()?)))
            .chain(program.map(|name| (key, name)))
            .filter(|(key, _)| key.starts_with(side))
            .filter_map(|(key, named)| {
                let (found, moved) = base.find(named);
                let place = base.folder.join(named);
                let whole = |path: PathBuf| path::absolute(&path).unwrap_or(path);
                let (place, found) = (whole(place), whole(found));
                moved.then(|| Note {
                    message: format!(
                        "`{key}`: {} is not there, so {} is used",
                        place.display(),
                        found.display()
                    ),
                    hint: MOVE_HINT.into(),
                })
            })
            .collect()
    }

    /// No shell expands what a configuration says.
    fn must_be_no_shorthand(&self, key: &str, named: &str) -> Result<()> {
        if named != "~" && !named.starts_with("~/") {
            return Ok(());
        }
        Err(self
            .error(key, "got a path that begins with ~, expected one without")
            .hint("only a shell knows what ~ stands for: write the whole path of your home folder"))
    }
}
