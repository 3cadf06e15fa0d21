//! The one store of messages behind every session: messages once, labels on them, and a UID space per mailbox.
//!
//! A mailbox is a rule ("has this label", "is in Trash"); after each change the mailboxes are brought in line, and each
//! keeps a journal of what came, went and changed, by which a session catches up. It knows nothing of the wire.

mod append;
mod import;
mod mailboxes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};

pub(crate) use append::Append;
pub(crate) use import::{Import, Marks};

use crate::message::{Message, Place, header};
use crate::names::Use;
use crate::options::Closed;
use crate::{ExpungeBehavior, Locale};

pub(crate) struct Store {
    pub(crate) gmail: bool,
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Another number after whatever was done to a mailbox or to what lies in it.
    pub(crate) revision: u64,
    pub(crate) messages: BTreeMap<u64, Arc<Message>>,
    pub(crate) modseq: u64,
    by_message_id: HashMap<String, Vec<u64>>,
    serial: u64,
    last_validity: u32,
}

pub(crate) struct Mailbox {
    /// UTF-8.
    pub(crate) name: String,
    pub(crate) purpose: Use,
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) by_uid: BTreeMap<u32, u64>,
    pub(crate) deleted: bool,
    /// Why it cannot be opened, if so. Not of Gmail's.
    pub(crate) closed: Option<Closed>,
    /// What it is for, where that is not Gmail: `\Sent`.
    pub(crate) special: Option<String>,
    /// The last MODSEQ of anything in it.
    pub(crate) modseq: u64,
    /// Another number is another mailbox to those who have it selected.
    pub(crate) incarnation: u32,
    pub(crate) journal: Vec<Change>,
    by_id: HashMap<u64, u32>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) uid: u32,
    pub(crate) what: What,
    /// The session that knows of it already; 0 for none.
    pub(crate) by: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Added,
    Removed,
    Touched,
}

/// A message to be put into the store.
pub(crate) struct New {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) flags: BTreeSet<String>,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) place: Place,
    /// It joins the thread of what it answers.
    pub(crate) threaded: bool,
    pub(crate) internal_date: DateTime<FixedOffset>,
    pub(crate) indexed_at: DateTime<Utc>,
}

impl Mailbox {
    fn new(name: String, purpose: Use, uid_validity: u32) -> Mailbox {
        Mailbox {
            name,
            purpose,
            uid_validity,
            uid_next: 1,
            by_uid: BTreeMap::new(),
            deleted: false,
            closed: None,
            special: None,
            modseq: 1,
            incarnation: 0,
            journal: Vec::new(),
            by_id: HashMap::new(),
        }
    }

    pub(crate) fn selectable(&self) -> bool {
        !self.deleted && self.purpose != Use::Root && self.closed != Some(Closed::Noselect)
    }

    pub(crate) fn uid_of(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    fn holds(&self, message: &Message) -> bool {
        if self.deleted {
            return false;
        }
        let live = message.place == Place::Live;
        match self.purpose {
            Use::Root => false,
            Use::All => live,
            Use::Junk => message.place == Place::Spam,
            Use::Trash => message.place == Place::Trash,
            Use::Plain => message.labels.contains(&self.name),
            purpose => {
                live && message
                    .labels
                    .contains(purpose.label().unwrap_or(&self.name))
            }
        }
    }

    fn add(&mut self, id: u64, by: u32) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.by_uid.insert(uid, id);
        self.by_id.insert(id, uid);
        self.note(uid, What::Added, by);
        uid
    }

    fn remove(&mut self, id: u64, by: u32) {
        if let Some(uid) = self.by_id.remove(&id) {
            self.by_uid.remove(&uid);
            self.note(uid, What::Removed, by);
        }
    }

    fn note(&mut self, uid: u32, what: What, by: u32) {
        self.journal.push(Change { uid, what, by });
    }
}

impl Store {
    /// The mailboxes of a Gmail account (docs/gmail.md 1.6); UIDVALIDITY is small and per label (1.7).
    pub(crate) fn gmail(locale: Locale) -> Store {
        let mut store = Store::empty(true);
        store.open("INBOX".into(), Use::Inbox);
        store.open(locale.root().into(), Use::Root);
        for purpose in Use::BELOW_ROOT {
            store.open(locale.name(purpose), purpose);
        }
        store
    }

    /// A server that is not Gmail.
    pub(crate) fn plain() -> Store {
        let mut store = Store::empty(false);
        store.open("INBOX".into(), Use::Plain);
        store
    }

    fn empty(gmail: bool) -> Store {
        Store {
            gmail,
            mailboxes: Vec::new(),
            revision: 0,
            messages: BTreeMap::new(),
            modseq: 1,
            by_message_id: HashMap::new(),
            serial: 0,
            last_validity: 0,
        }
    }

    fn open(&mut self, name: String, purpose: Use) -> usize {
        self.last_validity += 1;
        self.revision += 1;
        self.mailboxes
            .push(Mailbox::new(name, purpose, self.last_validity));
        self.mailboxes.len() - 1
    }

    pub(crate) fn by_purpose(&self, purpose: Use) -> Option<usize> {
        self.mailboxes.iter().position(|m| m.purpose == purpose)
    }

    /// Puts a message into the store and into the mailboxes that its labels say.
    pub(crate) fn insert(&mut self, new: New, by: u32) -> u64 {
        self.serial += 1;
        let mut id = self.serial;
        if self.gmail {
            // X-GM-MSGID >> 20 is the internal date in milliseconds (docs/gmail.md 3.3).
            let ms = u64::try_from(new.internal_date.timestamp_millis()).unwrap_or(0);
            id = (ms << 20) | (self.serial & 0xf_ffff);
        }
        while self.messages.contains_key(&id) {
            id += 1;
        }
        self.revision += 1;
        let message_id = header(&new.bytes, "Message-ID").filter(|value| !value.is_empty());
        let answered = if new.threaded {
            self.thread_of(&new.bytes)
        } else {
            None
        };
        let mut message = Message {
            id,
            thread: answered.unwrap_or(id),
            internal_date: new.internal_date,
            bytes: new.bytes,
            flags: new.flags,
            labels: new.labels,
            place: new.place,
            modseq: 0,
            indexed_at: new.indexed_at,
            message_id: message_id.clone(),
        };
        if self.gmail {
            align_star(&mut message);
        }
        self.modseq += 1;
        message.modseq = self.modseq;
        if let Some(message_id) = message_id {
            self.by_message_id.entry(message_id).or_default().push(id);
        }
        self.messages.insert(id, Arc::new(message));
        self.align(id, by);
        id
    }

    /// The thread of the message that this one answers.
    fn thread_of(&self, bytes: &[u8]) -> Option<u64> {
        let references = header(bytes, "References").unwrap_or_default();
        let answers = header(bytes, "In-Reply-To").unwrap_or_default();
        let known = |id: &str| self.by_message_id.get(id)?.first();
        references
            .split_whitespace()
            .chain(answers.split_whitespace())
            .find_map(known)
            .and_then(|id| self.messages.get(id))
            .map(|message| message.thread)
    }

    /// Changes a message, brings the mailboxes in line and notes it for every session but `by`. False if it is gone.
    pub(crate) fn change(&mut self, id: u64, by: u32, f: impl FnOnce(&mut Message)) -> bool {
        let Some(message) = self.messages.get_mut(&id) else {
            return false;
        };
        self.modseq += 1;
        self.revision += 1;
        let message = Arc::make_mut(message);
        f(message);
        message.modseq = self.modseq;
        self.align(id, by);
        for mailbox in &mut self.mailboxes {
            if let Some(uid) = mailbox.uid_of(id) {
                mailbox.note(uid, What::Touched, by);
                mailbox.modseq = self.modseq;
            }
        }
        true
    }

    /// Sets the flags; the star goes with \Flagged (docs/gmail.md 3.4).
    pub(crate) fn set_flags(&mut self, id: u64, by: u32, flags: BTreeSet<String>) -> bool {
        let gmail = self.gmail;
        self.change(id, by, |message| {
            message.flags = flags;
            if gmail {
                message.labels.remove("\\Starred");
                align_star(message);
            }
        })
    }

    /// Sets the labels, making those that do not exist (docs/gmail.md 4.2), under the names they have (5.1); \Flagged goes with the star.
    pub(crate) fn set_labels(&mut self, id: u64, by: u32, labels: BTreeSet<String>) -> bool {
        let own = |store: &mut Store, label: String| {
            if label.starts_with('\\') {
                return label;
            }
            let index = store.create(&label);
            store.mailboxes[index].name.clone()
        };
        let labels: BTreeSet<String> = labels.into_iter().map(|l| own(self, l)).collect();
        self.change(id, by, |message| {
            message.labels = labels;
            if message.labels.contains("\\Starred") {
                message.flags.insert("\\Flagged".into());
            } else {
                message.flags.remove("\\Flagged");
            }
        })
    }

    /// Moves it between All Mail, Spam and Trash.
    pub(crate) fn put(&mut self, id: u64, by: u32, place: Place) -> bool {
        self.change(id, by, |message| {
            if place != Place::Live {
                message.labels.remove("\\Inbox");
            }
            message.place = place;
        })
    }

    /// Deletes it for good.
    pub(crate) fn delete(&mut self, id: u64, by: u32) -> bool {
        let Some(message) = self.messages.remove(&id) else {
            return false;
        };
        if let Some(message_id) = &message.message_id
            && let Some(ids) = self.by_message_id.get_mut(message_id)
        {
            ids.retain(|&other| other != id);
        }
        self.modseq += 1;
        self.revision += 1;
        for mailbox in &mut self.mailboxes {
            if mailbox.uid_of(id).is_some() {
                mailbox.remove(id, by);
                mailbox.modseq = self.modseq;
            }
        }
        true
    }

    /// What EXPUNGE does to a message in this mailbox (docs/gmail.md 6). From All Mail it goes to Trash: a guess.
    pub(crate) fn expunge(&mut self, mailbox: usize, id: u64, by: u32, behavior: ExpungeBehavior) {
        let Mailbox { purpose, name, .. } = &self.mailboxes[mailbox];
        let (purpose, label) = (*purpose, purpose.label().unwrap_or(name).to_string());
        match (purpose, behavior) {
            (Use::Plain | Use::Trash | Use::Junk, _) | (_, ExpungeBehavior::DeleteForever) => {
                self.delete(id, by);
            }
            (Use::All, _) | (_, ExpungeBehavior::Trash) => {
                self.change(id, by, |m| {
                    m.flags.remove("\\Deleted");
                });
                self.put(id, by, Place::Trash);
            }
            (_, ExpungeBehavior::Archive) => {
                self.change(id, by, |message| {
                    message.flags.remove("\\Deleted");
                    message.labels.remove(&label);
                });
            }
        }
    }

    /// What a mailbox shows: `maxFolderSize` (docs/gmail.md 6) hides the oldest, by internal date.
    pub(crate) fn shown(&self, index: usize, limit: Option<usize>) -> Vec<(u32, Arc<Message>)> {
        let mailbox = &self.mailboxes[index];
        let mut all: Vec<(u32, Arc<Message>)> = mailbox
            .by_uid
            .iter()
            .filter_map(|(&uid, id)| Some((uid, Arc::clone(self.messages.get(id)?))))
            .collect();
        if let Some(limit) = limit
            && all.len() > limit
        {
            all.sort_by_key(|(uid, message)| (message.internal_date, *uid));
            all.drain(..all.len() - limit);
            all.sort_by_key(|(uid, _)| *uid);
        }
        all
    }

    fn align(&mut self, id: u64, by: u32) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        for mailbox in &mut self.mailboxes {
            match (mailbox.holds(message), mailbox.uid_of(id)) {
                (true, None) => {
                    mailbox.add(id, by);
                    mailbox.modseq = self.modseq;
                }
                (false, Some(_)) => {
                    mailbox.remove(id, by);
                    mailbox.modseq = self.modseq;
                }
                _ => {}
            }
        }
    }
}

/// \Flagged is the label \Starred, and the other way round (docs/gmail.md 3.4).
fn align_star(message: &mut Message) {
    if message.flags.contains("\\Flagged") {
        message.labels.insert("\\Starred".into());
    } else if message.labels.contains("\\Starred") {
        message.flags.insert("\\Flagged".into());
    }
}

/// What INTERNALDATE becomes: dates before 1970 or in the future are replaced by now (docs/gmail.md 3.3).
fn honoured(
    date: Option<DateTime<FixedOffset>>,
    gmail: bool,
    now: DateTime<Utc>,
) -> DateTime<FixedOffset> {
    // A clock that is a minute fast is no future.
    let latest = now + TimeDelta::minutes(1);
    match date {
        Some(date) if !gmail => date,
        Some(date) if date >= DateTime::UNIX_EPOCH && date <= latest => {
            date.with_timezone(&Utc).fixed_offset()
        }
        _ => now.fixed_offset(),
    }
}
