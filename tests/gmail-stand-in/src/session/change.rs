//! STORE, EXPUNGE, COPY and MOVE (docs/gmail.md 4.2, 6).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fetch::Item;
use super::{BAD, Command, Session};
use crate::names::Use;
use crate::store::New;
use crate::syntax::{Token, as_set};

/// `+FLAGS.SILENT` and its kin.
struct Verb {
    sign: Option<char>,
    labels: bool,
    silent: bool,
}

impl Verb {
    fn read(word: &str) -> Option<Verb> {
        let word = word.to_ascii_uppercase();
        let sign = word.chars().next().filter(|c| matches!(c, '+' | '-'));
        let name = word.trim_start_matches(['+', '-']);
        let (name, silent) = match name.strip_suffix(".SILENT") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let labels = match name {
            "FLAGS" => false,
            "X-GM-LABELS" => true,
            _ => return None,
        };
        Some(Verb {
            sign,
            labels,
            silent,
        })
    }

    fn apply(&self, old: &BTreeSet<String>, given: &BTreeSet<String>) -> BTreeSet<String> {
        match self.sign {
            Some('+') => old.union(given).cloned().collect(),
            Some(_) => old.difference(given).cloned().collect(),
            None => given.clone(),
        }
    }
}

impl Session {
    pub(super) fn store_flags(&mut self, command: &Command, args: &[Token]) {
        let by_uid = command.name.starts_with("UID");
        let (chosen, verb, mut given, unchanged_since) = match self.store_arguments(args, by_uid) {
            Some(arguments) => arguments,
            None => return self.answer(&command.tag, BAD),
        };
        if self.view.as_ref().is_none_or(|view| view.read_only) {
            let refused = "NO [CANNOT] STORE attempt on READ-ONLY folder (Failure)";
            return self.answer(&command.tag, refused);
        }
        if verb.labels {
            given = match self.known_labels(given) {
                Ok(known) => known,
                // What cannot be a label is none: to take it away changes nothing.
                Err(_) if verb.sign == Some('-') => BTreeSet::new(),
                Err(refusal) => return self.answer(&command.tag, &refusal),
            };
        }
        let mut refused = Vec::new();
        let mut deleted = false;
        for at in chosen {
            let changed = self.store_one(at, &verb, &given, unchanged_since);
            let view = self.view.as_ref().expect("only with a mailbox selected");
            let row = view.rows[at].clone();
            match changed {
                None => refused.push(if by_uid { row.uid } else { at as u32 + 1 }),
                Some(star) => {
                    deleted |= row.message.flags.contains("\\Deleted") && !verb.labels;
                    self.tell_stored(at, &verb, by_uid, star);
                }
            }
        }
        if deleted && self.shared.gmail() && self.knobs().auto_expunge {
            self.expunge_deleted(None);
            self.catch_up();
        }
        let done = if refused.is_empty() {
            "OK Success".to_string()
        } else {
            format!(
                "OK [MODIFIED {}] Conditional Store Failed (Success)",
                as_set(&refused)
            )
        };
        self.ok(&command.tag, &done);
    }

    #[allow(clippy::type_complexity)]
    fn store_arguments(
        &self,
        args: &[Token],
        by_uid: bool,
    ) -> Option<(Vec<usize>, Verb, BTreeSet<String>, Option<u64>)> {
        let (set, mut rest) = args.split_first()?;
        let chosen = self.view.as_ref()?.chosen(&set.text()?, by_uid)?;
        let mut unchanged_since = None;
        if let [Token::List(words), after @ ..] = rest {
            let [word, number] = words.as_slice() else {
                return None;
            };
            unchanged_since = Some(number.text()?.parse().ok()?);
            rest = word.is_atom("UNCHANGEDSINCE").then_some(after)?;
        }
        let (verb, values) = rest.split_first()?;
        let verb = Verb::read(&verb.text()?)?;
        if verb.labels && !self.shared.gmail() {
            return None;
        }
        let given = values
            .iter()
            .flat_map(Token::members)
            .map(|value| self.flag_or_label(&value.text()?, verb.labels))
            .collect::<Option<BTreeSet<String>>>()?;
        Some((chosen, verb, given, unchanged_since))
    }

    fn flag_or_label(&self, value: &str, label: bool) -> Option<String> {
        if !label {
            return Some(value.to_string());
        }
        if !value.starts_with('\\') {
            return Some(self.decoded(value));
        }
        let known = Use::BELOW_ROOT.iter().chain(&[Use::Inbox]);
        let mut known = known.filter_map(|purpose| purpose.label());
        let known = known.find(|known| known.eq_ignore_ascii_case(value));
        Some(known.unwrap_or(value).to_string())
    }

    /// None if it has changed since; else whether the star went with it.
    fn store_one(
        &mut self,
        at: usize,
        verb: &Verb,
        given: &BTreeSet<String>,
        unchanged_since: Option<u64>,
    ) -> Option<bool> {
        let view = self.view.as_mut().expect("only with a mailbox selected");
        let mut store = self.shared.store.lock().unwrap();
        let id = view.rows[at].message.id;
        let Some(message) = store.messages.get(&id).cloned() else {
            return Some(false);
        };
        if unchanged_since.is_some_and(|since| message.modseq > since) {
            return None;
        }
        let mut star = false;
        if verb.labels {
            let mailbox = &store.mailboxes[view.mailbox];
            let own = mailbox.purpose.label().unwrap_or(&mailbox.name).to_string();
            let mut labels = verb.apply(&message.labels, given);
            // The label of the selected mailbox stays: OK, and no effect (docs/gmail.md 4.2).
            if message.labels.contains(&own) {
                labels.insert(own);
            }
            star |= labels.contains("\\Starred") != message.labels.contains("\\Starred");
            store.set_labels(id, self.number, labels);
        } else {
            let flags = verb.apply(&message.flags, given);
            star |= flags.contains("\\Flagged") != message.flags.contains("\\Flagged");
            store.set_flags(id, self.number, flags);
        }
        if let Some(message) = store.messages.get(&id) {
            view.rows[at].message = Arc::clone(message);
        }
        Some(star && self.shared.gmail())
    }

    /// `UID STORE` replies carry the UID, those of plain `STORE` do not; the star brings a second line (docs/gmail.md 3.4).
    fn tell_stored(&mut self, at: usize, verb: &Verb, by_uid: bool, star: bool) {
        let view = self.view.as_ref().expect("only with a mailbox selected");
        let row = view.rows[at].clone();
        let (asked, other) = if verb.labels {
            (Item::Labels, Item::Flags)
        } else {
            (Item::Flags, Item::Labels)
        };
        let mut shown = Vec::new();
        if !verb.silent {
            shown.push(asked);
        }
        if star {
            shown.push(other);
        }
        for item in shown {
            let mut items = vec![item];
            if by_uid {
                items.push(Item::Uid);
            }
            if self.offers("CONDSTORE") {
                items.push(Item::ModSeq);
            }
            items.sort();
            let reply = self.fetched(at, &row, &items);
            self.wire.reply(reply);
        }
    }

    pub(super) fn expunge(&mut self, command: &Command, args: &[Token]) {
        let view = self.view.as_ref().expect("only with a mailbox selected");
        if view.read_only {
            let refused = "NO [CANNOT] EXPUNGE attempt on READ-ONLY folder (Failure)";
            return self.answer(&command.tag, refused);
        }
        let chosen = match (command.name.as_str(), args) {
            ("EXPUNGE", []) => None,
            ("UID EXPUNGE", [set]) => match set.text().and_then(|set| view.chosen(&set, true)) {
                Some(chosen) => Some(chosen),
                None => return self.answer(&command.tag, BAD),
            },
            _ => return self.answer(&command.tag, BAD),
        };
        self.expunge_deleted(chosen);
        self.catch_up();
        self.ok(&command.tag, "OK Success");
    }

    /// Of all, or of those at these places.
    pub(super) fn expunge_deleted(&mut self, chosen: Option<Vec<usize>>) {
        let behavior = self.knobs().expunge_behavior;
        let Some(view) = self.view.as_ref().filter(|view| !view.read_only) else {
            return;
        };
        let mut store = self.shared.store.lock().unwrap();
        for (at, row) in view.rows.iter().enumerate() {
            let meant = chosen.as_ref().is_none_or(|chosen| chosen.contains(&at));
            if meant && row.message.flags.contains("\\Deleted") {
                store.expunge(view.mailbox, row.message.id, self.number, behavior);
            }
        }
    }

    pub(super) fn copy(&mut self, command: &Command, args: &[Token]) {
        let by_uid = command.name.starts_with("UID");
        let moves = command.name.ends_with("MOVE");
        let view = self.view.as_ref().expect("only with a mailbox selected");
        let [set, target] = args else {
            return self.answer(&command.tag, BAD);
        };
        let chosen = set.text().and_then(|set| view.chosen(&set, by_uid));
        let (Some(chosen), Some(typed)) = (chosen, target.text()) else {
            return self.answer(&command.tag, BAD);
        };
        let shared = Arc::clone(&self.shared);
        let mut store = shared.store.lock().unwrap();
        let Some(target) = self.find(&store, &typed) else {
            let unknown = "NO [TRYCREATE] Folder doesn't exist. (Failure)";
            return self.answer(&command.tag, unknown);
        };
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for row in chosen.iter().map(|&at| view.rows[at].clone()) {
            let mut id = row.message.id;
            let (place, label) = store.target(target);
            if store.gmail {
                store.change(id, self.number, |message| {
                    message.place = place;
                    message.labels.extend(label);
                });
            } else {
                let new = New {
                    bytes: Arc::clone(&row.message.bytes),
                    flags: row.message.flags.clone(),
                    labels: label.into_iter().collect(),
                    place,
                    threaded: true,
                    internal_date: row.message.internal_date,
                    indexed_at: row.message.indexed_at,
                };
                id = store.insert(new, self.number);
            }
            from.push(row.uid);
            to.extend(store.mailboxes[target].uid_of(id));
            if moves && target != view.mailbox {
                let archive = crate::ExpungeBehavior::Archive;
                let still = store.mailboxes[view.mailbox].uid_of(row.message.id);
                if still.is_some() {
                    store.expunge(view.mailbox, row.message.id, self.number, archive);
                }
            }
        }
        let validity = store.mailboxes[target].uid_validity;
        drop(store);
        if moves {
            self.catch_up();
        }
        let copied = format!(
            "OK [COPYUID {validity} {} {}] (Success)",
            as_set(&from),
            as_set(&to)
        );
        self.ok(
            &command.tag,
            if from.is_empty() {
                "OK (Success)"
            } else {
                &copied
            },
        );
    }
}
