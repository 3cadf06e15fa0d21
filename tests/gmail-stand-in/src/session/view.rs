//! What a session sees of its mailbox: a picture that stays as it was until the session catches up with the others.
//!
//! So a message that another session has appended is not there, and one that it has deleted still is, until NOOP, IDLE
//! or a new EXAMINE.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Session;
use crate::knobs::Knobs;
use crate::message::Message;
use crate::store::{Store, What};
use crate::syntax::set;

pub(super) struct View {
    pub(super) mailbox: usize,
    pub(super) read_only: bool,
    pub(super) rows: Vec<Row>,
    incarnation: u32,
    /// How much of the mailbox's journal it has seen.
    read: usize,
}

#[derive(Clone)]
pub(super) struct Row {
    pub(super) uid: u32,
    pub(super) message: Arc<Message>,
}

impl View {
    pub(super) fn new(store: &Store, mailbox: usize, read_only: bool, knobs: &Knobs) -> View {
        let shown = store.shown(mailbox, knobs.max_folder_size);
        View {
            mailbox,
            read_only,
            rows: shown
                .into_iter()
                .map(|(uid, message)| Row { uid, message })
                .collect(),
            incarnation: store.mailboxes[mailbox].incarnation,
            read: store.mailboxes[mailbox].journal.len(),
        }
    }

    pub(super) fn position(&self, uid: u32) -> Option<usize> {
        self.rows.binary_search_by_key(&uid, |row| row.uid).ok()
    }

    /// The positions of a set of UIDs or sequence numbers.
    pub(super) fn chosen(&self, text: &str, by_uid: bool) -> Option<Vec<usize>> {
        let len = self.rows.len();
        let last = if by_uid {
            self.rows.last().map_or(0, |row| row.uid)
        } else {
            u32::try_from(len).unwrap_or(u32::MAX)
        };
        let mut chosen = Vec::new();
        for range in set(text, last)? {
            let (from, to) = range.into_inner();
            let (first, end) = if by_uid {
                (
                    self.rows.partition_point(|row| row.uid < from),
                    self.rows.partition_point(|row| row.uid <= to),
                )
            } else {
                (from.saturating_sub(1) as usize, len.min(to as usize))
            };
            chosen.extend(first..end);
        }
        chosen.sort_unstable();
        chosen.dedup();
        Some(chosen)
    }

    pub(super) fn behind(&self, store: &Store) -> bool {
        let mailbox = &store.mailboxes[self.mailbox];
        mailbox.incarnation == self.incarnation && mailbox.journal.len() > self.read
    }

    /// Takes in what happened since, and tells it in the order EXPUNGE, EXISTS, FETCH.
    fn catch_up(&mut self, store: &Store, session: u32, limit: Option<usize>) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.behind(store) {
            return lines;
        }
        let mailbox = &store.mailboxes[self.mailbox];
        let (mut added, mut touched) = (BTreeSet::new(), BTreeSet::new());
        for change in &mailbox.journal[self.read..] {
            let uid = change.uid;
            let now = mailbox.by_uid.get(&uid);
            let message = now.and_then(|id| store.messages.get(id));
            match (change.what, self.position(uid), message) {
                (What::Removed, Some(at), _) => {
                    self.rows.remove(at);
                    lines.push(format!("* {} EXPUNGE", at + 1));
                }
                (What::Added, None, Some(message)) if !self.hides(message, limit) => {
                    self.rows.push(Row {
                        uid,
                        message: Arc::clone(message),
                    });
                    added.insert(uid);
                }
                (What::Touched, Some(at), Some(message)) => {
                    self.rows[at].message = Arc::clone(message);
                    if change.by != session {
                        touched.insert(uid);
                    }
                }
                _ => {}
            }
        }
        self.read = mailbox.journal.len();
        if !added.is_empty() {
            lines.push(format!("* {} EXISTS", self.rows.len()));
        }
        for uid in touched.difference(&added) {
            if let Some(at) = self.position(*uid) {
                lines.push(flags_line(at, &self.rows[at]));
            }
        }
        lines
    }

    /// A full folder takes in only what is newer than the oldest that it shows.
    fn hides(&self, message: &Message, limit: Option<usize>) -> bool {
        if limit.is_none_or(|limit| self.rows.len() < limit) {
            return false;
        }
        let dates = self.rows.iter().map(|row| row.message.internal_date);
        dates
            .min()
            .is_some_and(|oldest| message.internal_date <= oldest)
    }
}

/// `* 1 FETCH (UID 1360 MODSEQ (79128) FLAGS ())` (docs/gmail.md 3.2)
fn flags_line(at: usize, row: &Row) -> String {
    let flags: Vec<&str> = row.message.flags.iter().map(String::as_str).collect();
    format!(
        "* {} FETCH (UID {} MODSEQ ({}) FLAGS ({}))",
        at + 1,
        row.uid,
        row.message.modseq,
        flags.join(" ")
    )
}

impl Session {
    /// Shows the session what others have done to its mailbox.
    pub(super) fn catch_up(&mut self) {
        // Who has asked for news of other mailboxes alone is told none of this one (RFC 5465 5).
        if self.watch.as_ref().is_some_and(|watch| !watch.selected) {
            return;
        }
        let Some(view) = &mut self.view else { return };
        let limit = self.shared.knobs.lock().unwrap().max_folder_size;
        let lines = view.catch_up(&self.shared.store.lock().unwrap(), self.number, limit);
        for line in lines {
            self.wire.say(&line);
        }
    }

    /// Whether there is something to catch up with.
    pub(super) fn is_behind(&self) -> bool {
        let store = self.shared.store.lock().unwrap();
        self.view.as_ref().is_some_and(|view| view.behind(&store))
    }
}
