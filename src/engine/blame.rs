//! Whose fault is it: a message's, its connection's, or the account's?
//!
//! A connection that dies over a message may have died anyway, and a server that refuses one may be
//! about to refuse them all. What tells is whether another message got through since.

use std::collections::HashMap;
use std::sync::MutexGuard;

use chrono::Utc;

use super::settle::{Evidence, Outcome};
use super::{BROKE_DOWN, Engine, lock};
use crate::error::{Charge, Error, Fault, Result};
use crate::ledger::{Change, Row, RowId};

/// After so many different messages in a row that were refused with the same words it is the account.
const REFUSED_ALIKE: usize = 5;

/// What a run has seen of messages that got through and of those that did not.
#[derive(Debug, Default)]
pub(super) struct Blame {
    /// Messages that got through.
    through: u64,
    /// Rows over which a connection died: how many messages had got through when it first did.
    died: HashMap<RowId, u64>,
    /// The same of rows that were refused.
    refused: HashMap<RowId, u64>,
    /// What the last refusals in a row said, all of them.
    words: String,
    /// The rows that they were said of, and whether each had been charged with something before.
    alike: HashMap<RowId, bool>,
    /// What the last connection that died over a message died of.
    last: Option<Error>,
    /// Rows wait behind the others until one gets through.
    behind: bool,
    /// Why rows that are charged with nothing wait all the same.
    held_up: Option<Error>,
}

impl Blame {
    /// A message got through. True when others wait for that.
    pub(super) fn note_got_through(&mut self) -> bool {
        self.through += 1;
        self.note_arrived()
    }

    /// A message turned out to have got through earlier, so that says nothing of what others have met since.
    /// True when others wait for it.
    pub(super) fn note_arrived(&mut self) -> bool {
        self.words.clear();
        self.alike.clear();
        self.held_up = None;
        std::mem::take(&mut self.behind)
    }

    /// A connection died over this row. `before`: another one had already done so, perhaps in an earlier run.
    pub(super) fn note_died(&mut self, row: RowId, before: bool, why: &Error) -> Evidence {
        self.last = Some(why.clone());
        // What got through in this run did so after what happened in an earlier one.
        let first = if before { 0 } else { self.through };
        let since = *self.died.entry(row).or_insert(first);
        Evidence {
            another_got_through: self.through > since,
            ..Evidence::default()
        }
    }

    /// This row was refused with an error that may be its own. Where every message is refused so, it is the
    /// account's: then what is to be said of it, and the rows that were charged wrongly.
    pub(super) fn note_refused(
        &mut self,
        row: RowId,
        charged_before: bool,
        error: &Error,
    ) -> Option<(Error, Vec<RowId>)> {
        let since = *self.refused.entry(row).or_insert(self.through);
        if self.through > since {
            return None;
        }
        let words = without_numbers(&error.message);
        if words != self.words {
            self.words = words;
            self.alike.clear();
        }
        self.alike.entry(row).or_insert(charged_before);
        if self.alike.len() < REFUSED_ALIKE {
            return None;
        }
        let trouble = of_all(error);
        self.held_up = Some(trouble.clone());
        let wrongly = self.alike.iter().filter(|(_, before)| !**before);
        Some((trouble, wrongly.map(|(id, _)| *id).collect()))
    }

    /// Is what this row was refused with what every message gets?
    pub(super) fn evidence(&self, row: RowId) -> Evidence {
        Evidence {
            all_refused: self.alike.len() >= REFUSED_ALIKE && self.alike.contains_key(&row),
            ..Evidence::default()
        }
    }

    /// A row waits behind the others; with `put_off` it is also tried less often.
    pub(super) fn note_behind(&mut self, put_off: bool) {
        self.behind = true;
        if put_off && self.held_up.is_none() {
            self.held_up.clone_from(&self.last);
        }
    }

    /// A row was charged: for the next charge another message must get through again.
    pub(super) fn note_charged(&mut self, row: RowId) {
        self.died.remove(&row);
    }

    /// A row is done with.
    pub(super) fn forget(&mut self, row: RowId) {
        self.died.remove(&row);
        self.refused.remove(&row);
        self.alike.remove(&row);
        if self.died.is_empty() && self.refused.is_empty() && self.alike.is_empty() {
            self.held_up = None;
        }
    }

    /// A row was settled.
    pub(super) fn note_settled(&mut self, row: &Row, change: &Change) {
        match change {
            Change::Released { unseen: false } | Change::Held { .. } => {}
            Change::Released { unseen: true } => self.note_behind(false),
            Change::PutOff { .. } => self.note_behind(true),
            Change::Retry { .. } | Change::Later { .. } => self.note_charged(row.id),
            Change::Delivered { .. }
            | Change::Imported { .. }
            | Change::Failed { .. }
            | Change::Gone
            | Change::AsBefore { .. } => self.forget(row.id),
        }
    }

    /// What holds up rows that wait uncharged.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.held_up.clone()
    }
}

impl Engine {
    /// What is known of this road: that the one takes messages says nothing of the other.
    pub(super) fn blame(&self, by_import: bool) -> MutexGuard<'_, Blame> {
        lock(if by_import {
            &self.blame_of_imports
        } else {
            &self.blame
        })
    }

    /// Takes note of how an attempt ended. What this run has seen that tells whose fault that is.
    pub(super) fn note_outcome(&self, row: &Row, outcome: &Outcome) -> Evidence {
        let mut blame = self.blame(row.by_import);
        match outcome {
            Outcome::Refused { .. } => blame.evidence(row.id),
            Outcome::FoundAbsent { why: Some(e) } if e.reaction().charge == Charge::Attempt => {
                blame.evidence(row.id)
            }
            Outcome::Died(e) | Outcome::NotTaken(e) | Outcome::FoundAbsent { why: Some(e) } => {
                let mut evidence = blame.note_died(row.id, row.unseen > 0, e);
                // That was no connection's fault.
                evidence.another_got_through |= e.message == BROKE_DOWN;
                evidence
            }
            _ => Evidence::default(),
        }
    }

    /// A message got through: those that may have been refused or cut off for no fault of theirs have
    /// their turn again.
    pub(super) fn note_got_through(&self, by_import: bool) -> Result<()> {
        let waited_for = self.blame(by_import).note_got_through();
        self.note_takes_messages(by_import, waited_for)
    }

    /// The same of one that was sent at another time, perhaps by another process.
    pub(super) fn note_arrived(&self, by_import: bool) -> Result<()> {
        let waited_for = self.blame(by_import).note_arrived();
        self.note_takes_messages(by_import, waited_for)
    }

    fn note_takes_messages(&self, by_import: bool, waited_for: bool) -> Result<()> {
        if !by_import {
            self.entrance.note_open();
        }
        if waited_for {
            self.ledger.step(|l| l.call_back(Utc::now()))?;
        }
        Ok(())
    }

    /// A row was refused with an error that may be its own. An error when every message gets it: then
    /// none is charged.
    pub(super) fn note_refused(&self, row: &Row, error: &Error) -> Result<()> {
        let charged_before = row.first_failed_at.is_some();
        let of_all = self
            .blame(row.by_import)
            .note_refused(row.id, charged_before, error);
        let Some((trouble, wrongly)) = of_all else {
            return Ok(());
        };
        self.ledger.step(|l| l.uncharge(&wrongly, Utc::now()))?;
        self.blame(row.by_import).note_behind(false);
        Err(trouble)
    }
}

/// What the server says of every message.
fn of_all(error: &Error) -> Error {
    Error::new(
        Fault::Transient,
        format!("the target takes no message at all: {error}"),
    )
    .hint("no message is charged for it, and delivery goes on by itself; if it stays so, whoever runs that server should know")
}

/// Servers add times and numbers to what they say.
fn without_numbers(words: &str) -> String {
    let plain = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    let plain: Vec<&str> = words.split_whitespace().filter(plain).collect();
    plain.join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MANY: i64 = REFUSED_ALIKE as i64;

    fn no(words: &str) -> Error {
        Error::new(Fault::Transient, words)
    }

    #[test]
    fn what_every_message_gets_is_the_accounts_until_one_gets_through() {
        let mut blame = Blame::default();
        for row in 1..MANY {
            // However often it is tried, it is one message.
            for n in [7, 8] {
                let error = no(&format!("no (0.{n} secs)"));
                assert!(blame.note_refused(RowId(row), false, &error).is_none());
            }
            assert!(!blame.evidence(RowId(row)).all_refused);
        }
        assert!(blame.trouble().is_none());
        let (_, mut wrongly) = blame
            .note_refused(RowId(99), true, &no("no (0.9 secs)"))
            .unwrap();
        wrongly.sort_unstable();
        assert_eq!(wrongly, (1..MANY).map(RowId).collect::<Vec<_>>());
        blame.note_behind(true);
        assert!(blame.evidence(RowId(99)).all_refused && blame.trouble().is_some());
        assert!(blame.note_got_through(), "they are called back");
        assert!(!blame.note_got_through(), "once");
        assert!(blame.trouble().is_none());
        // From now on it is their own, however many they are.
        for row in (1..MANY).chain([99]) {
            assert!(blame.note_refused(RowId(row), false, &no("no")).is_none());
            blame.note_charged(RowId(row));
            assert!(blame.note_refused(RowId(row), true, &no("no")).is_none());
        }
    }

    #[test]
    fn other_words_are_another_reason() {
        let mut blame = Blame::default();
        for row in 0..3 * MANY {
            let words = if row % 2 == 0 { "no" } else { "never" };
            assert!(blame.note_refused(RowId(row), false, &no(words)).is_none());
        }
    }

    #[test]
    fn a_lost_connection_is_a_messages_fault_when_another_got_through_since() {
        let mut blame = Blame::default();
        blame.note_got_through();
        let died = |blame: &mut Blame, row| {
            let evidence = blame.note_died(RowId(row), false, &no("x"));
            evidence.another_got_through
        };
        assert!(!died(&mut blame, 1) && !died(&mut blame, 1));
        // What was sent before that tells nothing of it.
        blame.note_arrived();
        assert!(!died(&mut blame, 1));
        let mut anew = Blame::default();
        anew.note_arrived();
        assert!(!anew.note_died(RowId(3), true, &no("x")).another_got_through);
        blame.note_got_through();
        assert!(died(&mut blame, 1) && !died(&mut blame, 2));
        blame.note_charged(RowId(1));
        assert!(!died(&mut blame, 1));
        assert!(
            blame
                .note_died(RowId(3), true, &no("x"))
                .another_got_through
        );
        assert!(
            !Blame::default()
                .note_died(RowId(3), true, &no("x"))
                .another_got_through
        );
    }
}
