//! What the source holds: each folder that is copied, or was, as a list of all its messages that is counted before it is
//! believed. EXAMINE only. Not for what became of a message (`class`).

use std::collections::HashMap;

use super::door::Door;
use crate::config::{Config, Mapping, Since, Why};
use crate::error::{Again, Error, Fault, Result, Scope, shown};
use crate::folder::{Folder, FolderId, Listed};
use crate::ledger::{Ledger, MailboxRow};
use crate::message::{Discovered, Time, Uid};
use crate::session::{SET_MAX, View};
use crate::source::Source;

/// A list that leaves out messages is asked for so often.
const LISTS_MAX: u32 = 3;

const CLOSED: &str = "the other folders were looked into; if this one is not to be copied, name it under `exclude` in the configuration";

/// A folder as the ledger knows it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) folder: Folder,
    pub(super) mailbox: Option<MailboxRow>,
    /// Its newest rows.
    newest: Vec<Discovered>,
}

impl Known {
    /// Of each folder that there ever was.
    pub(super) fn of(ledger: &Ledger) -> Result<Vec<Known>> {
        let known = ledger.all_folders()?.into_iter().map(|folder| {
            let mailbox = ledger.mailbox(folder.id)?;
            let newest = match &mailbox {
                Some(mailbox) => ledger.newest(mailbox.id)?,
                None => Vec::new(),
            };
            Ok(Known {
                folder,
                mailbox,
                newest: newest.into_iter().map(|row| row.about).collect(),
            })
        });
        known.collect()
    }
}

/// A folder of the source.
#[derive(Debug)]
pub(super) struct SourceFolder {
    /// As people read it.
    pub(super) name: String,
    pub(super) wire: String,
    pub(super) id: Option<FolderId>,
    pub(super) mailbox: Option<MailboxRow>,
    /// The configuration leaves it out.
    pub(super) left_out: bool,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    Told(Told),
    /// It is left out, and the ledger knows nothing of it: so many messages, where the server says so.
    Counted(Option<u64>),
    Gone,
    /// What it holds cannot be had.
    Untold(Error),
}

/// All that a folder holds.
#[derive(Debug)]
pub(super) struct Told {
    /// Ascending, with INTERNALDATE where that decides anything.
    pub(super) uids: Vec<(Uid, Option<Time>)>,
    /// Which of them have a row.
    pub(super) known: Vec<bool>,
    /// What is not in the list and has a UID from here on came since.
    pub(super) next: u32,
    /// Its UIDs mean other messages than the ledger's.
    pub(super) renumbered: bool,
    /// From when on mail is wanted that was there at the first look. Newer is wanted whatever its date.
    pub(super) start: Time,
    pub(super) history_below: u32,
}

impl Told {
    /// Where this UID stands in the list.
    pub(super) fn place(&self, uid: Uid) -> Option<usize> {
        self.uids.binary_search_by_key(&uid, |(uid, _)| *uid).ok()
    }
}

/// Lists all folders that matter.
///
/// # Errors
/// The source lets us not in, or does not tell of its folders. What is wrong with one of them is told with it.
pub(super) fn look(
    door: &mut Door<'_, Source>,
    config: &Config,
    known: Vec<Known>,
    now: Time,
) -> Result<Vec<SourceFolder>> {
    let listed = match door.ask(Source::folders) {
        Ok((listed, _)) => listed,
        // A run that copies nothing else does not ask either.
        Err(e) if e.scope() <= Scope::Message && config.rules.inbox_alone() => {
            vec![Listed::inbox()]
        }
        Err(e) => return Err(e),
    };
    let mut known: HashMap<String, Known> = known
        .into_iter()
        .map(|known| (known.folder.source.clone(), known))
        .collect();
    let mut all = Vec::new();
    let mut uncounted: Vec<usize> = Vec::new();
    for listed in listed {
        let known = known.remove(&listed.wire);
        let mapping = config.rules.mapping(&listed);
        if let Mapping::LeftOut(Why::Virtual | Why::CannotBeOpened) = mapping
            && known.is_none()
        {
            // It shows what lies elsewhere, or nothing.
            continue;
        }
        let since = match mapping {
            Mapping::Copied { since, .. } => Some(since.unwrap_or(config.since)),
            Mapping::LeftOut(_) => None,
        };
        let mut folder = SourceFolder::of(&listed, known.as_ref(), since.is_none());
        if since.is_none() && known.is_none() {
            uncounted.push(all.len());
        } else {
            folder.state = told(door, &folder, known, since.unwrap_or(config.since), now)?;
        }
        all.push(folder);
    }
    count(door, &mut all, &uncounted)?;
    let mut left: Vec<Known> = known.into_values().collect();
    left.sort_by(|a, b| a.folder.name.cmp(&b.folder.name));
    for known in left {
        let listed = Listed {
            wire: known.folder.source.clone(),
            name: known.folder.name.clone(),
            special: None,
            is_virtual: false,
            selectable: true,
        };
        let mut folder = SourceFolder::of(&listed, Some(&known), false);
        // One that opens all the same is there.
        folder.state = match told(door, &folder, Some(known), config.since, now)? {
            State::Untold(_) if does_not_open(door, &folder.wire) => State::Gone,
            state => state,
        };
        all.push(folder);
    }
    Ok(all)
}

impl SourceFolder {
    fn of(listed: &Listed, known: Option<&Known>, left_out: bool) -> SourceFolder {
        SourceFolder {
            name: shown(listed.name.as_bytes()),
            wire: listed.wire.clone(),
            id: known.map(|known| known.folder.id),
            mailbox: known.and_then(|known| known.mailbox.clone()),
            left_out,
            state: State::Counted(None),
        }
    }
}

/// How many messages these hold, in few flights.
fn count(door: &mut Door<'_, Source>, all: &mut [SourceFolder], which: &[usize]) -> Result<()> {
    let names: Vec<String> = which.iter().map(|at| all[*at].wire.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let standings = door.ask(|source| source.standings(&names))?;
    for (at, standing) in which.iter().zip(standings) {
        all[*at].state = State::Counted(standing.map(|s| u64::from(s.messages)));
    }
    Ok(())
}

/// All that one folder holds, compared with what the ledger knows of its UIDs.
///
/// # Errors
/// Of the account, which no folder is to blame for.
fn told(
    door: &mut Door<'_, Source>,
    folder: &SourceFolder,
    known: Option<Known>,
    since: Since,
    now: Time,
) -> Result<State> {
    let start = match &folder.mailbox {
        Some(mailbox) if mailbox.since == since.text() => mailbox.start,
        // The next look takes it over, and it only moves back.
        Some(mailbox) => mailbox.start.min(since.start(now)),
        None => since.start(now),
    };
    let dated = start >= Time::UNIX_EPOCH;
    let (view, uids) = match whole_list(door, folder, dated) {
        Ok(list) => list,
        Err(e) if e.reaction().again == Again::AfterPause => return Err(e),
        // What is refused to this one need not be to the others.
        Err(e) if e.scope() <= Scope::Session || does_not_open(door, &folder.wire) => {
            let hint = e.hint.clone().filter(|_| e.scope() <= Scope::Session);
            let hint = hint.unwrap_or_else(|| CLOSED.into());
            return Ok(State::Untold(e.with_fault(Fault::Transient).hint(hint)));
        }
        Err(e) => return Err(e),
    };
    let renumbered = match (&folder.mailbox, known) {
        (Some(mailbox), Some(known)) => is_renumbered(door, folder, mailbox, &known, &view, &uids)?,
        _ => false,
    };
    let last = uids.last().map_or(0, |(uid, _)| uid.0);
    Ok(State::Told(Told {
        known: vec![false; uids.len()],
        next: view.uid_next.max(last.saturating_add(1)),
        renumbered,
        start,
        history_below: folder
            .mailbox
            .as_ref()
            .map_or(u32::MAX, |mailbox| mailbox.history_below),
        uids,
    }))
}

/// Has the source just refused to open this folder, in a session that goes on?
fn does_not_open(door: &Door<'_, Source>, wire: &str) -> bool {
    door.session().is_some_and(|source| !source.has_open(wire))
}

type Uids = Vec<(Uid, Option<Time>)>;

fn whole_list(
    door: &mut Door<'_, Source>,
    folder: &SourceFolder,
    dated: bool,
) -> Result<(View, Uids)> {
    let next = folder.mailbox.as_ref().map_or(0, |m| m.next_uid);
    let mut dated = dated;
    let mut told = (0, 0);
    for _ in 0..LISTS_MAX {
        let asked = door.ask(|source| {
            let mut view = source.look_at(&folder.wire)?;
            if view.uid_next < next {
                view = source.look_past_uid_next()?;
            }
            Ok((view, source.list(dated)?))
        });
        let (view, list) = match asked {
            // One message whose date cannot be had may be to blame.
            Err(e) if dated && e.scope() <= Scope::Session => {
                dated = false;
                continue;
            }
            asked => asked?,
        };
        if list.whole {
            return Ok((view, list.uids));
        }
        told = (list.uids.len(), view.exists);
        dated = false;
    }
    Err(Error::new(
        Fault::Connection,
        format!(
            "the source tells of {} of the {} messages that it says {} holds",
            told.0, told.1, folder.name
        ),
    )
    .hint("what it does not tell of cannot be accounted for: try again later; if it stays so, its operator should look into the mailbox"))
}

/// Do the UIDs of this view mean other messages than those of the rows? UIDVALIDITY says so, or a UIDNEXT that went back, or
/// the newest messages themselves.
fn is_renumbered(
    door: &mut Door<'_, Source>,
    folder: &SourceFolder,
    mailbox: &MailboxRow,
    known: &Known,
    view: &View,
    uids: &[(Uid, Option<Time>)],
) -> Result<bool> {
    let went_back = view.uid_next_stated && view.uid_next < mailbox.next_uid && view.exists > 0;
    if view.uid_validity != mailbox.uid_validity || went_back || !mailbox.inherited {
        return Ok(true);
    }
    let there = |uid: &Uid| uids.binary_search_by_key(uid, |(uid, _)| *uid).is_ok();
    let asked: Vec<Uid> = known.newest.iter().map(|d| d.uid).filter(there).collect();
    let told = describe(door, &folder.wire, &asked)?;
    Ok(told.iter().any(|told| {
        let row = known.newest.iter().find(|row| row.uid == told.uid);
        row.is_some_and(|row| told.contradicts(row))
    }))
}

/// What names these messages, as far as the source tells. `uids` must ascend.
///
/// # Errors
/// Of the account.
pub(super) fn describe(
    door: &mut Door<'_, Source>,
    wire: &str,
    uids: &[Uid],
) -> Result<Vec<Discovered>> {
    let mut all = Vec::with_capacity(uids.len());
    for set in uids.chunks(SET_MAX) {
        let asked = door.ask(|source| {
            if !source.has_open(wire) {
                source.look_at(wire)?;
            }
            let (found, end) = source.metadata(set);
            match end {
                Err(e) if e.scope() >= Scope::Session && found.is_empty() => Err(e),
                // What came will do.
                _ => Ok(found),
            }
        });
        match asked {
            Ok(found) => all.extend(found),
            Err(e) if e.scope() >= Scope::Account => return Err(e),
            Err(_) => {}
        }
    }
    Ok(all)
}
