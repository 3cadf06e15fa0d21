//! Which of several files is the ledger of a route, where earlier versions may have left one elsewhere.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::file::Identity;
use super::inspect::untouched;
use super::open::APPLICATION_ID;
use super::refusal::refuse_strangers;
use super::route::Route;
use crate::error::{Error, Note, Result};

const CHOICE_HINT: &str = "it is asked because no other ledger of these accounts is where the configuration has it: move it away if it is of others, or give the path of the right one as `state_file`";

/// The ledger to use, and what a person should know of the choice.
#[derive(Debug)]
pub struct Chosen {
    pub path: PathBuf,
    pub notes: Vec<Note>,
}

/// The ledger of `route`: at `path`, or where there is none, at the first of the `older` places that
/// has one of the same accounts. Nothing is changed.
///
/// # Errors
/// Those of `route`, where it must be known; and of a file at an older place that cannot be read while
/// `path` has none: a second ledger would send again what the first has sent.
pub fn choose(
    path: &Path,
    older: &[PathBuf],
    route: impl FnOnce() -> Result<Route>,
) -> Result<Chosen> {
    let mut chosen = Chosen {
        path: path.to_path_buf(),
        notes: Vec::new(),
    };
    let is_same = |other: &Path| Identity::at(other) == Identity::at(&chosen.path);
    let others: Vec<&PathBuf> = older
        .iter()
        .filter(|other| holds(other) == Some(true) && !is_same(other))
        .collect();
    if others.is_empty() {
        return Ok(chosen);
    }
    // What may not be looked at is not taken for absent.
    let mut found = holds(path) != Some(false);
    let route = match route() {
        // Which one is used does not hang on it.
        Err(_) if found => return Ok(chosen),
        route => route?,
    };
    let of_others = found && matches!(owner(path), Ok(Owner::Route(of)) if of != route);
    found &= !of_others;
    for other in others {
        let (shown, place) = (other.display(), absolute(path));
        let place = place.display();
        match owner(other) {
            Err(_) if found => {}
            Err(e) => return Err(e.hint(CHOICE_HINT)),
            Ok(Owner::Route(of)) if of == route && found => chosen.notes.push(Note {
                message: format!(
                    "{} is used, and {shown} is a second ledger of the same accounts, which is not used",
                    absolute(&chosen.path).display()
                ),
                hint: "what only the second one knows may be sent again: keep the one that knows more (`imap-to-gmail status --state-file FILE` tells), and move the other one away".into(),
            }),
            Ok(Owner::Route(of)) if of == route => {
                found = true;
                chosen.path.clone_from(other);
                chosen.notes.push(if of_others {
                    Note {
                        message: format!("the ledger at {place} is of other accounts, so the one of these at {shown} is used"),
                        hint: "each pair of accounts needs a `state_file` of its own in its configuration: write the whole path of this one there".into(),
                    }
                } else {
                    Note {
                        message: format!("there is no ledger at {place}, so the one of these accounts at {shown} is used"),
                        hint: "a relative path in a configuration begins at the folder of that file: move the ledger there while nothing uses it, or write its whole path as `state_file`".into(),
                    }
                });
            }
            // A new one beside it would send again what it knows.
            Ok(Owner::Importer) if !found => {
                return Err(Error::usage(format!(
                    "{shown} holds the ids that were imported, there is no ledger at {place}, and it does not say of which accounts it is"
                ))
                .hint(format!(
                    "if it is of these accounts, move it to {place}; if not, move it away from there"
                )));
            }
            Ok(Owner::Nobody) if !found => chosen.notes.push(Note {
                message: format!("{shown} is a ledger that no run has used yet, and it is not used: it does not say of which accounts it is"),
                hint: format!("if it is of these, move it to {place}"),
            }),
            Ok(_) => {}
        }
    }
    Ok(chosen)
}

/// Is there anything in this file? None where that cannot be told.
fn holds(path: &Path) -> Option<bool> {
    match fs::metadata(path) {
        Ok(file) => Some(file.len() > 0),
        Err(e) => {
            let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind());
            absent.then_some(false)
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// Whose a file is.
enum Owner {
    /// It is no ledger.
    Stranger,
    /// No run has used it.
    Nobody,
    /// Nor this one, but what a predecessor had copied is in it.
    Importer,
    Route(Route),
}

fn owner(path: &Path) -> Result<Owner> {
    if refuse_strangers(path).is_err() {
        return Ok(Owner::Stranger);
    }
    untouched(path, |ledger| {
        let id: i32 = ledger.read(|db| db.query_row("PRAGMA application_id", [], |r| r.get(0)))?;
        if id != APPLICATION_ID {
            return Ok(Owner::Stranger);
        }
        // Of every version there is.
        if ledger.is_empty()? {
            return Ok(Owner::Nobody);
        }
        Ok(match ledger.route()? {
            Some(route) => Owner::Route(route),
            None if ledger.is_untouched()? => Owner::Nobody,
            None => Owner::Importer,
        })
    })
}
