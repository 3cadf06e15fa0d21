//! What becomes of an appended message: stored, or merged into one that is there (docs/gmail.md 3.2).

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, Utc};

use super::{New, Store, honoured};
use crate::clock::delta;
use crate::knobs::{DedupeKey, Knobs, SameMailbox};
use crate::message::{Place, header};
use crate::names::Use;

pub(crate) struct Append {
    pub(crate) mailbox: usize,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) flags: BTreeSet<String>,
    pub(crate) date: Option<DateTime<FixedOffset>>,
    pub(crate) now: DateTime<Utc>,
}

/// Where it is now.
pub(crate) struct Appended {
    pub(crate) uid_validity: u32,
    pub(crate) uid: u32,
}

impl Store {
    pub(crate) fn append(&mut self, append: Append, knobs: &Knobs) -> Appended {
        let mut flags = append.flags.clone();
        flags.retain(|flag| !flag.eq_ignore_ascii_case("\\Recent"));
        let vanishes = self.gmail && flags.remove("\\Deleted");
        let twin = if self.gmail {
            self.twin(&append.bytes, knobs.dedupe.key)
        } else {
            None
        };
        let id = match twin {
            Some(twin) => {
                self.merge(twin, append.mailbox, flags, knobs);
                twin
            }
            None => self.store_new(&append, flags, knobs),
        };
        let mailbox = &self.mailboxes[append.mailbox];
        let appended = Appended {
            uid_validity: mailbox.uid_validity,
            uid: mailbox.uid_of(id).expect("it was just put there"),
        };
        if vanishes {
            self.expunge(append.mailbox, id, 0, knobs.expunge_behavior);
        }
        appended
    }

    fn store_new(&mut self, append: &Append, flags: BTreeSet<String>, knobs: &Knobs) -> u64 {
        let (place, label) = self.target(append.mailbox);
        let new = New {
            bytes: Arc::clone(&append.bytes),
            flags,
            labels: label.into_iter().collect(),
            place,
            threaded: true,
            internal_date: honoured(append.date, self.gmail, append.now),
            indexed_at: append.now + delta(knobs.index_lag),
        };
        self.insert(new, 0)
    }

    /// What being in this mailbox means (docs/gmail.md 3.7).
    pub(crate) fn target(&self, mailbox: usize) -> (Place, Option<String>) {
        let mailbox = &self.mailboxes[mailbox];
        match mailbox.purpose {
            Use::Trash => (Place::Trash, None),
            Use::Junk => (Place::Spam, None),
            Use::All => (Place::Live, None),
            purpose => {
                let label = purpose.label().unwrap_or(&mailbox.name);
                (Place::Live, Some(label.to_string()))
            }
        }
    }

    /// The message that this one counts as. Without a Message-ID there is none.
    pub(super) fn twin(&self, bytes: &[u8], key: DedupeKey) -> Option<u64> {
        let names: &[&str] = match key {
            DedupeKey::Off => return None,
            DedupeKey::MessageIdDate | DedupeKey::WholeMessage => &["Date"],
            DedupeKey::MessageIdDateFromSubject => &["Date", "From", "Subject"],
        };
        let ids = self.by_message_id.get(&header(bytes, "Message-ID")?)?;
        ids.iter().copied().find(|id| {
            let Some(old) = self.messages.get(id) else {
                return false;
            };
            let same_fields = names
                .iter()
                .all(|name| old.header(name) == header(bytes, name));
            same_fields && (key != DedupeKey::WholeMessage || *old.bytes == *bytes)
        })
    }

    /// Keeps the old bytes and INTERNALDATE; the label is added, and Trash or Spam given up for it.
    fn merge(&mut self, id: u64, target: usize, flags: BTreeSet<String>, knobs: &Knobs) {
        let (place, label) = self.target(target);
        let there = self.mailboxes[target].uid_of(id).is_some();
        if there && knobs.dedupe.same_mailbox == SameMailbox::Silent {
            return;
        }
        if there {
            self.mailboxes[target].remove(id, 0);
        }
        self.change(id, 0, |message| {
            message.place = place;
            message.labels.extend(label);
            if knobs.dedupe.merge_flags {
                message.flags.extend(flags);
            }
        });
    }
}
