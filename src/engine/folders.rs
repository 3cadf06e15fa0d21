//! Which mailboxes of the source are copied: it is asked which it has, the configuration says what becomes of each,
//! and the ledger keeps it. Not for looking into them (`watch`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use log::{debug, info, warn};

use super::reader::Reader;
use super::setup::Setup;
use super::{Engine, backoff, lock};
use crate::config::{Intervals, Mapping, Since};
use crate::error::{Error, Result, Scope, shown};
use crate::folder::{Folder, FolderId, INBOX, Listed};
use crate::ledger::{FolderNews, MailboxRow, Mapped};
use crate::message::Uid;
use crate::session::Standing;

/// Rows of mailboxes that are no more which one transaction gives up.
const GIVEN_UP_AT_ONCE: usize = 2000;

/// The folders as of the last listing.
#[derive(Default)]
pub(super) struct Folders(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// What was listed by the rules of this setup.
    setup: Option<Arc<Setup>>,
    /// How far back the first look reaches, where a rule of its own says so.
    since: HashMap<FolderId, Since>,
    several: bool,
    /// Mailboxes whose names cannot be read.
    unreadable: usize,
    falls: HashMap<FolderId, Fall>,
}

/// The server ended the session over a mailbox.
struct Fall {
    /// So often in a row.
    times: u32,
    error: Error,
    /// It is not looked into before that.
    again_at: Instant,
}

/// So many falls in a row are the mailbox's own trouble. Once may be chance.
const FALLS: u32 = 2;

impl Folders {
    /// Is more than one mailbox copied?
    pub(super) fn are_several(&self) -> bool {
        lock(&self.0).several
    }

    /// Does the server fall over this folder's mailbox each time?
    pub(super) fn falls_over(&self, folder: FolderId) -> bool {
        self.falls(folder) >= FALLS
    }

    /// How often in a row the server has ended the session over this folder's mailbox.
    pub(super) fn falls(&self, folder: FolderId) -> u32 {
        lock(&self.0)
            .falls
            .get(&folder)
            .map_or(0, |fall| fall.times)
    }

    /// Why this folder's mailbox is not looked into now, if so.
    pub(super) fn spared(&self, folder: FolderId) -> Option<Error> {
        let known = lock(&self.0);
        let fall = known.falls.get(&folder).filter(|f| f.times >= FALLS)?;
        (Instant::now() < fall.again_at).then(|| fall.error.clone())
    }

    pub(super) fn note_fall(&self, folder: FolderId, error: &Error, times: &Intervals) {
        let mut known = lock(&self.0);
        let before = known.falls.get(&folder).map_or(0, |fall| fall.times);
        let most = times.reconnect.1;
        let fall = Fall {
            times: before.saturating_add(1),
            error: error.clone(),
            again_at: Instant::now() + backoff(before, (most, most * 12)),
        };
        known.falls.insert(folder, fall);
    }

    pub(super) fn note_open(&self, folder: FolderId) {
        lock(&self.0).falls.remove(&folder);
    }

    /// From when on this folder's mail is wanted.
    pub(super) fn since(&self, folder: FolderId, otherwise: Since) -> Since {
        let known = lock(&self.0);
        known.since.get(&folder).copied().unwrap_or(otherwise)
    }
}

impl Engine {
    /// The folders that are copied, INBOX first, as the source lists its mailboxes now.
    pub(super) fn take_folders(&self, reader: &mut Reader) -> Result<Vec<Folder>> {
        let setup = reader.setup();
        let rules = &setup.config.rules;
        let known = lock(&self.folders.0).setup.clone();
        let listed = if !rules.inbox_alone() {
            match reader.session()?.folders() {
                Ok((listed, unreadable)) => {
                    self.say_unreadable(unreadable);
                    listed
                }
                // What was listed before is looked at all the same.
                Err(e) if e.scope() <= Scope::Message && known.is_some() => {
                    warn!(
                        "{}",
                        e.then("going on with the mailboxes that were listed before")
                    );
                    return self.ledger.step(|l| l.folders());
                }
                Err(e) => return Err(e),
            }
        } else if known.is_some_and(|known| Arc::ptr_eq(&known, &setup)) {
            return self.ledger.step(|l| l.folders());
        } else {
            vec![Listed::inbox()]
        };
        let Listing {
            mut wanted,
            mut left_out,
            since,
            written_otherwise,
        } = Listing::of(&setup, listed);
        if rules.inbox_alone() {
            // Nobody asked whether they are still there.
            let known = self.ledger.step(|l| l.all_folders())?;
            let others = known.into_iter().map(|f| f.source);
            left_out.extend(others.filter(|source| source != INBOX));
        }
        // What cannot be told from a renamed one now waits for another look.
        let undecided = self.take_renamed(reader, &wanted, &left_out)?;
        wanted.retain(|mapped| !undecided.contains(&mapped.wire));
        let now = Utc::now();
        let (news, folders) = self.ledger.step(|l| {
            let news = l.take_listing(&wanted, &left_out, now)?;
            Ok((news, l.folders()?))
        })?;
        for news in &news {
            self.say(news)?;
            if let FolderNews::New(folder) = news {
                // What was given up when it was not listed waits again.
                reader.compare_anew(folder.id);
            }
            if let FolderNews::New(folder) | FolderNews::Remapped(folder) = news
                && let Some((asked, label)) = written_otherwise.get(&folder.source)
            {
                info!(
                    "the label for \"{}\" is \"{}\": Gmail takes none that is called \"{}\"",
                    folder.shown(),
                    shown(label.as_bytes()),
                    shown(asked.as_bytes())
                );
            }
        }
        self.give_up_absent(reader)?;
        let mut known = lock(&self.folders.0);
        known.since = folders
            .iter()
            .filter_map(|f| Some((f.id, *since.get(&f.source)?)))
            .collect();
        known.several = folders.len() > 1;
        known.setup = Some(setup);
        drop(known);
        Ok(folders)
    }

    /// Once, and again when there are others.
    fn say_unreadable(&self, names: usize) {
        let before = std::mem::replace(&mut lock(&self.folders.0).unreadable, names);
        if names > 0 && names != before {
            warn!(
                "mailboxes of the source are left out because their names cannot be read: {names}"
            );
        }
    }

    fn say(&self, news: &FolderNews) -> Result<()> {
        match news {
            FolderNews::New(folder) if self.ledger.step(|l| l.mailbox(folder.id))?.is_some() => {
                let goes = self.ledger.step(|l| l.destination(folder.destination))?;
                info!("{} is copied again, to {goes}", folder.shown());
            }
            FolderNews::Remapped(folder)
                if self.ledger.step(|l| l.mailbox(folder.id))?.is_some() =>
            {
                let goes = self.ledger.step(|l| l.destination(folder.destination))?;
                info!(
                    "mail of {} that comes from now on goes to {goes}; what was recorded before goes where it was to go then",
                    folder.shown()
                );
            }
            FolderNews::LeftOut(folder) => info!(
                "{} is left out from now on; what was recorded of it before is still copied",
                folder.shown()
            ),
            FolderNews::Absent(folder) => {
                info!("the source has no mailbox {} any more", folder.shown());
            }
            // The first look at it says so.
            FolderNews::New(_) | FolderNews::Remapped(_) => {}
        }
        Ok(())
    }

    /// What waits in mailboxes that have not been listed for longer than a moment, and do not open either, is gone with
    /// them.
    fn give_up_absent(&self, reader: &mut Reader) -> Result<()> {
        let moment = TimeDelta::from_std(self.times.second_look).unwrap_or_default();
        let absent = self
            .ledger
            .step(|l| l.absent_folders(Utc::now() - moment))?;
        for folder in absent {
            reader.turn_to(&folder);
            match reader.look() {
                Ok(_) => continue,
                Err(_) if reader.does_not_open() => {}
                Err(e) => return Err(e),
            }
            let mut gone = 0;
            loop {
                let some = self
                    .ledger
                    .step(|l| l.give_up_folder(folder.id, GIVEN_UP_AT_ONCE))?;
                gone += some;
                if some < GIVEN_UP_AT_ONCE {
                    break;
                }
            }
            info!("no longer in the source, with {}: {gone}", folder.shown());
        }
        Ok(())
    }

    /// Mailboxes that have another name now: their messages are known, and are not sent again. One that the ledger
    /// has under a name that is no longer listed, and that has the same UIDVALIDITY and messages under a name that it does
    /// not know, is that one.
    fn take_renamed(
        &self,
        reader: &mut Reader,
        wanted: &[Mapped],
        left_out: &HashSet<String>,
    ) -> Result<HashSet<String>> {
        let mut undecided = HashSet::new();
        let folders = self.ledger.step(|l| l.all_folders())?;
        let known: HashSet<&str> = folders.iter().map(|f| &*f.source).collect();
        let mut unknown: Vec<&Mapped> = wanted
            .iter()
            .filter(|m| !known.contains(&*m.wire))
            .collect();
        let listed: HashSet<&str> = wanted.iter().map(|m| &*m.wire).collect();
        let mut vanished: Vec<(Folder, MailboxRow)> = Vec::new();
        for folder in &folders {
            if listed.contains(&*folder.source) || left_out.contains(&folder.source) {
                continue;
            }
            if let Some(mailbox) = self.ledger.step(|l| l.mailbox(folder.id))? {
                vanished.push((folder.clone(), mailbox));
            }
        }
        if unknown.is_empty() || vanished.is_empty() {
            return Ok(undecided);
        }
        let names: Vec<String> = unknown.iter().map(|m| m.wire.clone()).collect();
        let standings = reader.session()?.standings(&names)?;
        for (folder, mailbox) in vanished {
            // Not every server tells all of it (Courier has no UIDNEXT).
            let may_be = |standing: &Option<Standing>| {
                standing.is_none_or(|s| {
                    s.uid_validity == mailbox.uid_validity && s.uid_next >= mailbox.next_uid
                })
            };
            for at in 0..unknown.len() {
                let to = unknown[at];
                let place = names.iter().position(|name| *name == to.wire);
                if undecided.contains(&to.wire)
                    || !place.is_some_and(|place| may_be(&standings[place]))
                {
                    continue;
                }
                let same = self.has_its_messages(reader, &folder, &mailbox, to)?;
                if same.is_none() {
                    undecided.insert(to.wire.clone());
                }
                if same == Some(true) {
                    self.ledger.step(|l| l.rename_folder(folder.id, to))?;
                    info!(
                        "{} of the source is called {} now: its messages are not sent again, and its mail goes where it went",
                        folder.shown(),
                        shown(to.name.as_bytes())
                    );
                    unknown.remove(at);
                    break;
                }
            }
        }
        Ok(undecided)
    }

    /// Does the mailbox of this name hold the messages that are known of a folder? The newest are compared. None: it does
    /// not open now.
    fn has_its_messages(
        &self,
        reader: &mut Reader,
        folder: &Folder,
        mailbox: &MailboxRow,
        to: &Mapped,
    ) -> Result<Option<bool>> {
        let newest = self.ledger.step(|l| l.newest(mailbox.id))?;
        if newest.is_empty() {
            // Nothing tells it from any other.
            return Ok(Some(false));
        }
        let renamed = Folder {
            source: to.wire.clone(),
            name: to.name.clone(),
            ..folder.clone()
        };
        reader.turn_to(&renamed);
        let uids: Vec<Uid> = newest.iter().map(|row| row.about.uid).collect();
        match reader.look() {
            Ok(view) if view.uid_validity != mailbox.uid_validity => return Ok(Some(false)),
            Ok(_) => {}
            Err(e) if reader.does_not_open() => {
                debug!("{}", e.then("not compared"));
                return Ok(None);
            }
            Err(e) => return Err(e),
        }
        let mut same = 0;
        for told in &reader.metadata(&uids)?.found {
            let known = newest.iter().find(|row| row.about.uid == told.uid);
            let Some(known) = known.map(|row| &row.about) else {
                continue;
            };
            if told.contradicts(known) {
                return Ok(Some(false));
            }
            same += u32::from(told.message_id.is_some() && told.has_id_of(known));
        }
        Ok(Some(same > 0))
    }

    /// Which of these folders may hold something new since they were last looked at. The source is asked about all of
    /// them at once.
    pub(super) fn moved(&self, reader: &mut Reader, folders: &[Folder]) -> Result<Vec<bool>> {
        let names: Vec<String> = folders.iter().map(|f| f.source.clone()).collect();
        let standings = reader.session()?.standings(&names)?;
        let reconcile = self.times.reconcile;
        Ok(folders
            .iter()
            .zip(standings)
            .map(|(folder, standing)| {
                let known = reader.known_of(folder.id);
                let settled = known
                    .filter(|k| !k.is_due(reconcile))
                    .and_then(|k| k.settled);
                settled.zip(standing).is_none_or(|(view, now)| {
                    (view.uid_validity, view.uid_next, view.exists)
                        != (now.uid_validity, now.uid_next, now.messages)
                })
            })
            .collect())
    }
}

/// What the rules say of each mailbox that the source lists.
#[derive(Default)]
struct Listing {
    wanted: Vec<Mapped>,
    /// Names on the wire.
    left_out: HashSet<String>,
    /// From when on mail is wanted, where a rule of its own says so.
    since: HashMap<String, Since>,
    /// The label that was asked for, and the one that stands for it.
    written_otherwise: HashMap<String, (String, String)>,
}

impl Listing {
    fn of(setup: &Setup, listed: Vec<Listed>) -> Listing {
        let mut listing = Listing::default();
        for one in listed.into_iter().filter(|one| one.selectable) {
            match setup.config.rules.mapping(&one) {
                Mapping::Copied {
                    destination,
                    delivery,
                    since,
                    asked,
                    ..
                } => {
                    let wire = || one.wire.clone();
                    listing.since.extend(since.map(|since| (wire(), since)));
                    let label = destination.spot.text().to_string();
                    let otherwise = asked.map(|asked| (wire(), (asked, label)));
                    listing.written_otherwise.extend(otherwise);
                    listing.wanted.push(Mapped {
                        wire: one.wire,
                        name: one.name,
                        destination,
                        delivery,
                    });
                }
                Mapping::LeftOut(_) => {
                    listing.left_out.insert(one.wire);
                }
            }
        }
        listing
    }
}
