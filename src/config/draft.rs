//! A configuration that may be wrong in places: the parts of it that are right, and each mistake by itself, so
//! that one does not hide the others. Not for a run, which takes the whole or nothing
//! ([`Config::load`](super::Config::load)).

use std::path::{Path, PathBuf};

use super::{
    Address, AfterDelivery, Endpoint, Key, LedgerPlace, NotifyCommand, PingUrl, Reader, Rules,
    Since, read_object,
};
use crate::error::{Error, Note, Result};
use crate::message::Time;

/// As much of a configuration as is right.
pub struct Draft {
    pub mistakes: Vec<Error>,
    pub source: Option<Endpoint>,
    pub source_user: Option<String>,
    pub source_key: Option<Key>,
    pub target: Option<Endpoint>,
    pub target_user: Option<String>,
    pub target_key: Option<Key>,
    pub gmail_api: Option<Address>,
    pub since: Option<Since>,
    pub rules: Option<Rules>,
    pub after_delivery: Option<AfterDelivery>,
    pub ledger: Option<LedgerPlace>,
    pub ping_url: Option<PingUrl>,
    pub notify_command: Option<NotifyCommand>,
    /// Files that were found only where earlier versions looked for them.
    pub moved: Vec<Note>,
    /// The files that hold secrets: those that it names, and the configuration itself where a secret is in it.
    pub secret_files: Vec<PathBuf>,
}

impl Draft {
    /// Reads the file at `path`, the files it names and the output of its password command.
    ///
    /// # Errors
    /// `Usage` when it is no JSON object: then nothing of it can be used.
    pub fn load(path: &Path, now: Time) -> Result<Draft> {
        let map = read_object(path)?;
        let read = Reader { path, map: &map };
        let mut mistakes = Vec::new();
        let m = &mut mistakes;
        right(read.known_keys(), m);
        let rules = right(read.rules(now), m);
        let draft = Draft {
            after_delivery: right(read.after_delivery(rules.as_ref()), m),
            source: right(read.source(), m),
            source_user: right(read.user("source_user"), m),
            source_key: right(read.source_key(), m),
            target: right(read.target(), m),
            target_user: right(read.user("target_user"), m),
            target_key: right(read.target_key(), m),
            gmail_api: right(read.gmail_api(), m).flatten(),
            since: right(read.since(now), m),
            rules,
            ledger: right(read.ledger(), m),
            ping_url: right(read.ping_url(), m).flatten(),
            notify_command: right(read.notify_command(), m).flatten(),
            moved: read.moved(""),
            secret_files: secret_files(&read),
            mistakes: Vec::new(),
        };
        right(read.connections(), m);
        right(read.upload_limit(), m);
        right(read.notices(), m);
        Ok(Draft { mistakes, ..draft })
    }
}

/// The value, if it is right; if it is not, the error is added to the mistakes.
pub(super) fn right<T>(part: Result<T>, mistakes: &mut Vec<Error>) -> Option<T> {
    part.map_err(|e| mistakes.push(e)).ok()
}

fn secret_files(read: &Reader<'_>) -> Vec<PathBuf> {
    let has = |key: &&str| read.map.contains_key(*key);
    let mut files = Vec::new();
    // Whoever reads the last two can say that all is well, or learns what the command signs in with.
    let keys = ["source_pass", "target_pass", "ping_url", "notify_command"];
    if keys.iter().any(has) {
        files.push(read.path.to_path_buf());
    }
    for key in [
        "source_pass_file",
        "source_token_file",
        "target_pass_file",
        "target_token_file",
    ] {
        files.extend(read.file(key).ok().flatten());
    }
    files
}
