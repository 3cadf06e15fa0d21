//! What the target holds: its messages by number, by place and, where that is needed, by name. No body is fetched. Not for
//! whose copy a message is (`compare`).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::door::Door;
use crate::error::{Again, Error, Result, Scope};
use crate::ledger;
use crate::message::{Discovered, Time, Uid, UidValidity};
use crate::session::{SET_MAX, View};
use crate::target::{Account, Held, Holding, Nook};

/// More messages whose names cannot be read are the account's own trouble.
const UNREADABLE_MAX: usize = 100;

/// As many messages of a folder Gmail shows, the newest, where its owner has set a limit (docs/gmail.md 6): what is not among
/// them may be there all the same.
const LIMITS: [usize; 4] = [1_000, 2_000, 5_000, 10_000];
/// So many messages whose names are not known are asked for them without asking first which of them may matter.
const FEW: usize = 2 * SET_MAX;

/// What names a message: the hash of its Message-ID, and its Date.
pub(super) type Name = ([u8; 16], Option<String>);

pub(super) struct Holdings {
    boxes: Vec<Opened>,
    /// By mailbox and UID.
    held: Vec<Copy>,
    /// X-GM-MSGID, and where it is in `held`.
    numbers: HashMap<u64, u32>,
    /// All of the account could be looked into.
    pub(super) whole: bool,
    /// It is a Gmail: one number for each message.
    pub(super) gmail: bool,
    /// Sizes of messages whose names cannot be read.
    unreadable: HashSet<Option<u64>>,
    /// So many are of the lists. What came since stands behind them.
    listed: usize,
}

struct Opened {
    holding: Holding,
    validity: UidValidity,
    next: u32,
}

/// A message of the target.
struct Copy {
    uid: Uid,
    size: Option<u64>,
    mailbox: u32,
    /// A row's copy.
    taken: bool,
}

impl Holdings {
    /// Lists each mailbox.
    pub(super) fn look(door: &mut Door<'_, Account>) -> Result<Holdings> {
        let ((holdings, mut whole), gmail) = door.ask(|account| {
            let gmail = account.policy().labels;
            Ok((account.holdings()?, gmail))
        })?;
        let mut found = Holdings {
            boxes: Vec::new(),
            held: Vec::new(),
            numbers: HashMap::new(),
            whole: false,
            gmail,
            unreadable: HashSet::new(),
            listed: 0,
        };
        for (n, holding) in holdings.into_iter().enumerate() {
            let listed = door.ask(|account| account.held(&holding.name, true));
            let listed = match listed {
                // One message whose size cannot be had may be to blame.
                Err(e) if e.scope() <= Scope::Session => {
                    door.ask(|account| account.held(&holding.name, false))
                }
                listed => listed,
            };
            match listed {
                Ok((view, messages)) => {
                    whole &= !(gmail && LIMITS.contains(&messages.len()));
                    found.add_listed(holding, view, messages);
                }
                // Gmail's own three are as good as the account; another mailbox may be closed to us.
                Err(e) if gmail || n == 0 || !is_closed(door, &holding.name, &e) => return Err(e),
                Err(_) => whole = false,
            }
        }
        found.whole = whole;
        found.listed = found.held.len();
        Ok(found)
    }

    fn add_listed(&mut self, holding: Holding, view: View, messages: Vec<(Uid, Held)>) {
        let mailbox = self.boxes.len() as u32;
        let last = messages.last().map_or(0, |(uid, _)| uid.0);
        self.boxes.push(Opened {
            validity: view.uid_validity,
            next: view.uid_next.max(last.saturating_add(1)),
            holding,
        });
        for (uid, held) in messages {
            self.add(mailbox, uid, held);
        }
    }

    fn add(&mut self, mailbox: u32, uid: Uid, held: Held) {
        let at = self.held.len() as u32;
        self.held.push(Copy {
            uid,
            size: held.size,
            mailbox,
            taken: false,
        });
        if let Some(number) = held.gm_msgid {
            let live = |at: u32| self.nook(at as usize) == Nook::Live;
            let known = self.numbers.get(&number).copied();
            if known.is_none_or(|known| !live(known) && live(at)) {
                self.numbers.insert(number, at);
            }
        }
    }

    /// The message with this number.
    pub(super) fn numbered(&self, number: u64) -> Option<usize> {
        self.numbers.get(&number).map(|at| *at as usize)
    }

    /// The message at this place.
    pub(super) fn placed(&self, mailbox: &str, validity: UidValidity, uid: Uid) -> Option<usize> {
        let mut boxes = self.boxes.iter();
        let at = boxes.position(|b| b.holding.name == mailbox && b.validity == validity)?;
        self.in_box(at as u32, uid)
    }

    fn in_box(&self, mailbox: u32, uid: Uid) -> Option<usize> {
        let listed = &self.held[..self.listed];
        let place = |copy: &Copy| (copy.mailbox, copy.uid);
        let found = listed.binary_search_by_key(&(mailbox, uid), place).ok();
        found.or_else(|| {
            let mut came = self.held.iter().skip(self.listed);
            let at = came.position(|copy| place(copy) == (mailbox, uid))?;
            Some(self.listed + at)
        })
    }

    pub(super) fn size(&self, at: usize) -> Option<u64> {
        self.held[at].size
    }

    pub(super) fn nook(&self, at: usize) -> Nook {
        self.boxes[self.held[at].mailbox as usize].holding.nook
    }

    pub(super) fn take(&mut self, at: usize) {
        self.held[at].taken = true;
    }

    pub(super) fn is_free(&self, at: usize) -> bool {
        !self.held[at].taken
    }

    /// May a message that cannot be read be one of this size?
    pub(super) fn may_be_unreadable(&self, size: Option<u64>) -> bool {
        let any = !self.unreadable.is_empty();
        any && (size.is_none()
            || self.unreadable.contains(&None)
            || self.unreadable.contains(&size))
    }

    /// Where the messages are that have one of these Message-IDs and came since a moment. What the ledger's index knows of
    /// their names is taken from there: a UID does not change its meaning.
    pub(super) fn named(
        &mut self,
        door: &mut Door<'_, Account>,
        ledger: &Path,
        wanted: &HashSet<[u8; 16]>,
        since: Time,
    ) -> Result<HashMap<Name, Vec<usize>>> {
        let mut found: HashMap<Name, Vec<usize>> = HashMap::new();
        let mut told = vec![false; self.held.len()];
        for mailbox in 0..self.boxes.len() as u32 {
            let Opened {
                holding, validity, ..
            } = &self.boxes[mailbox as usize];
            let indexed = ledger::read(ledger, |l| {
                let (mut named, mut others) = (Vec::new(), Vec::new());
                l.each_index_name(&holding.name, *validity, &mut |(uid, hash, date)| {
                    if wanted.contains(&hash) {
                        named.push((uid, (hash, date)));
                    } else {
                        others.push(uid);
                    }
                })?;
                Ok((named, others))
            })?;
            for at in indexed
                .1
                .into_iter()
                .filter_map(|uid| self.in_box(mailbox, uid))
            {
                told[at] = true;
            }
            for (uid, name) in indexed.0 {
                if let Some(at) = self.in_box(mailbox, uid) {
                    told[at] = true;
                    found.entry(name).or_default().push(at);
                }
            }
        }
        for mailbox in 0..self.boxes.len() as u32 {
            let silent = self
                .held
                .iter()
                .zip(&told)
                .filter(|(copy, told)| copy.mailbox == mailbox && !**told);
            let mut silent: Vec<Uid> = silent.map(|(copy, _)| copy.uid).collect();
            if silent.len() > FEW {
                let name = &self.boxes[mailbox as usize].holding.name;
                let dated = door.ask(|account| account.dated_between(name, since, None))?;
                silent.retain(|uid| dated.binary_search(uid).is_ok());
            }
            for set in silent.chunks(SET_MAX) {
                for told in self.described(door, mailbox, set)? {
                    self.put_name(mailbox, &told, wanted, &mut found);
                }
            }
        }
        Ok(found)
    }

    /// What came to the mailboxes since they were listed: what was moved within the account meanwhile is there again under
    /// another UID. Returns where the messages are that have one of these Message-IDs.
    pub(super) fn catch_up(
        &mut self,
        door: &mut Door<'_, Account>,
        wanted: &HashSet<[u8; 16]>,
    ) -> Result<HashMap<Name, Vec<usize>>> {
        let mut found = HashMap::new();
        for mailbox in 0..self.boxes.len() as u32 {
            let Opened {
                holding,
                validity,
                next,
            } = &self.boxes[mailbox as usize];
            let came = door.ask(|account| account.held_since(&holding.name, *validity, *next))?;
            let Some(came) = came else {
                return Err(Error::connection(format!(
                    "{} of the target has new UIDs since it was looked into",
                    holding.name
                ))
                .hint("audit once more"));
            };
            for set in came.chunks(SET_MAX) {
                for told in self.described(door, mailbox, set)? {
                    let held = Held {
                        size: told.size,
                        gm_msgid: told.gm_msgid,
                    };
                    self.add(mailbox, told.uid, held);
                    self.put_name(mailbox, &told, wanted, &mut found);
                }
            }
        }
        Ok(found)
    }

    fn put_name(
        &self,
        mailbox: u32,
        told: &Discovered,
        wanted: &HashSet<[u8; 16]>,
        found: &mut HashMap<Name, Vec<usize>>,
    ) {
        let hash = told.message_id.as_ref().map(|id| id.hash);
        let hash = hash.filter(|hash| wanted.contains(hash));
        if let (Some(hash), Some(at)) = (hash, self.in_box(mailbox, told.uid)) {
            found.entry((hash, told.date.clone())).or_default().push(at);
        }
    }

    /// What names these messages of a mailbox; one that cannot be read holds up none of the others.
    fn described(
        &mut self,
        door: &mut Door<'_, Account>,
        mailbox: u32,
        uids: &[Uid],
    ) -> Result<Vec<Discovered>> {
        let Opened {
            holding, validity, ..
        } = &self.boxes[mailbox as usize];
        let (name, validity) = (holding.name.clone(), *validity);
        let mut all = Vec::with_capacity(uids.len());
        let mut work = vec![uids.to_vec()];
        while let Some(set) = work.pop() {
            let asked = door.ask(|account| {
                if account.view(&name, false)?.uid_validity != validity {
                    return Err(Error::connection(format!(
                        "{name} of the target has new UIDs since it was looked into"
                    )));
                }
                let (found, end) = account.metadata(&set);
                end.map(|()| found)
            });
            match asked {
                Ok(found) => {
                    let silent = |uid: &Uid| !found.iter().any(|d| d.uid == *uid);
                    if found.len() < set.len() {
                        let silent: Vec<Uid> = set.into_iter().filter(silent).collect();
                        self.note_unreadable(mailbox, &silent);
                    }
                    all.extend(found);
                }
                Err(e) if e.scope() > Scope::Session => return Err(e),
                Err(e) if set.len() == 1 => {
                    if self.unreadable.len() == UNREADABLE_MAX {
                        return Err(e);
                    }
                    self.note_unreadable(mailbox, &set);
                }
                Err(_) => {
                    let (first, rest) = set.split_at(set.len() / 2);
                    work.extend([rest.to_vec(), first.to_vec()]);
                }
            }
        }
        Ok(all)
    }

    fn note_unreadable(&mut self, mailbox: u32, uids: &[Uid]) {
        for uid in uids {
            let copy = self.in_box(mailbox, *uid);
            self.unreadable
                .insert(copy.and_then(|at| self.held[at].size));
        }
    }
}

/// Has the target just refused to open this mailbox, in a session that goes on?
fn is_closed(door: &Door<'_, Account>, mailbox: &str, e: &Error) -> bool {
    let refused = door
        .session()
        .is_some_and(|account| !account.has_open(mailbox));
    refused && e.reaction().again != Again::AfterPause
}
