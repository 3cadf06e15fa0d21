//! SELECT, STATUS, CREATE and their kin (docs/gmail.md 1.7, 1.8, 5), and IDLE.

use std::collections::BTreeSet;

use super::{BAD, Session, View, passed};
use crate::Kind;
use crate::faults::Fault;
use crate::labels;
use crate::message::Message;
use crate::names::Use;
use crate::options::Closed;
use crate::store::Store;
use crate::syntax::{Token, quote};
use crate::wire::{Gone, Step};

const FLAGS: &str = "\\Answered \\Flagged \\Draft \\Deleted \\Seen $NotPhishing $Phishing";
const ODD_FLAGS: &str = " OIB-Seen-OIB/Social Networking OIB-Seen-[Gmail]/All Mail";

impl Session {
    pub(super) fn select(&mut self, tag: &str, args: &[Token], read_only: bool) {
        let Some(typed) = args.first().and_then(Token::text) else {
            self.answer(tag, BAD);
            return;
        };
        let knobs = self.knobs();
        let shared = std::sync::Arc::clone(&self.shared);
        let store = shared.store.lock().unwrap();
        let had_one = self.view.is_some();
        self.leave_watched(&store);
        self.view = None;
        let Some(index) = self.find(&store, &typed) else {
            // The words say what happened to the mailbox that was selected (docs/gmail.md 1.8).
            let state = if had_one {
                " (now in authenticated state)"
            } else {
                ""
            };
            self.answer(
                tag,
                &format!("NO [NONEXISTENT] Unknown Mailbox: {typed}{state} (Failure)"),
            );
            return;
        };
        if let Some(Closed::Refused(words)) = &store.mailboxes[index].closed {
            let words = words.clone();
            self.answer(tag, &words);
            return;
        }
        let view = View::new(&store, index, read_only, &knobs);
        let mailbox = &store.mailboxes[index];
        let keywords: BTreeSet<&str> = view
            .rows
            .iter()
            .flat_map(|row| &row.message.flags)
            .filter(|flag| !flag.starts_with('\\') && !FLAGS.contains(flag.as_str()))
            .map(String::as_str)
            .collect();
        let mut flags = FLAGS.to_string();
        for keyword in keywords {
            flags.push(' ');
            flags.push_str(keyword);
        }
        let permanent = if read_only {
            String::new()
        } else {
            format!("{flags} \\*")
        };
        if knobs.odd_flags {
            flags.push_str(ODD_FLAGS);
        }
        let mut lines = vec![
            format!("* FLAGS ({flags})"),
            format!("* OK [PERMANENTFLAGS ({permanent})] Flags permitted."),
            format!("* OK [UIDVALIDITY {}] UIDs valid.", mailbox.uid_validity),
            format!("* {} EXISTS", view.rows.len()),
            "* 0 RECENT".to_string(),
            format!("* OK [UIDNEXT {}] Predicted next UID.", mailbox.uid_next),
        ];
        if self.offers("CONDSTORE") {
            lines.push(format!("* OK [HIGHESTMODSEQ {}]", store.highest(index)));
        }
        drop(store);
        for line in lines {
            self.wire.say(&line);
        }
        self.view = Some(view);
        let access = if read_only { "READ-ONLY" } else { "READ-WRITE" };
        self.ok(tag, &format!("OK [{access}] {typed} selected. (Success)"));
    }

    pub(super) fn leave(&mut self, tag: &str, command: &str) {
        if command == "CLOSE" {
            self.expunge_deleted(None);
        }
        let shared = std::sync::Arc::clone(&self.shared);
        self.leave_watched(&shared.store.lock().unwrap());
        self.view = None;
        self.ok(tag, "OK Returned to authenticated state. (Success)");
    }

    pub(super) fn status(&mut self, tag: &str, args: &[Token]) {
        let (Some(typed), Some(items)) = (
            args.first().and_then(Token::text),
            args.get(1).map(Token::members),
        ) else {
            self.answer(tag, BAD);
            return;
        };
        let shared = std::sync::Arc::clone(&self.shared);
        let store = shared.store.lock().unwrap();
        let Some(index) = self.find(&store, &typed) else {
            let unknown = format!("NO [NONEXISTENT] Unknown Mailbox: {typed} (Failure)");
            self.answer(tag, &unknown);
            return;
        };
        if let Some(Closed::Refused(words)) = &store.mailboxes[index].closed {
            let words = words.clone();
            self.answer(tag, &words);
            return;
        }
        match self.status_line(&store, index, items) {
            Some(line) => {
                self.wire.say(&line);
                self.ok(tag, "OK Success");
            }
            None => self.answer(tag, BAD),
        }
    }

    /// Always of this moment, whatever the view of a session.
    pub(super) fn status_line(
        &self,
        store: &Store,
        index: usize,
        items: &[Token],
    ) -> Option<String> {
        let knobs = self.knobs();
        let mailbox = &store.mailboxes[index];
        let shown = store.shown(index, knobs.max_folder_size);
        let unseen = |message: &Message| !message.flags.contains("\\Seen");
        let mut values = Vec::new();
        for item in items {
            let item = item.text()?.to_ascii_uppercase();
            let value = match item.as_str() {
                "MESSAGES" => shown.len() as u64,
                "RECENT" => 0,
                "UIDNEXT" => mailbox.uid_next.into(),
                "UIDVALIDITY" => mailbox.uid_validity.into(),
                "UNSEEN" => shown.iter().filter(|(_, m)| unseen(m)).count() as u64,
                "HIGHESTMODSEQ" if self.offers("CONDSTORE") => store.highest(index),
                "APPENDLIMIT" if self.shared.gmail() => knobs.append_limit,
                _ => return None,
            };
            values.push(format!("{item} {value}"));
        }
        let name = quote(&self.wire_name(&mailbox.name));
        Some(format!("* STATUS {name} ({})", values.join(" ")))
    }

    pub(super) fn create(&mut self, tag: &str, args: &[Token]) {
        let Some(typed) = args.first().and_then(Token::text) else {
            self.answer(tag, BAD);
            return;
        };
        let made = self.made_name(&typed);
        let shared = std::sync::Arc::clone(&self.shared);
        let mut store = shared.store.lock().unwrap();
        match made.and_then(|name| self.free_name(&store, name, &typed)) {
            Ok(name) => {
                store.create(&name);
                self.ok(tag, "OK Success");
            }
            Err(refusal) => self.answer(tag, &refusal),
        }
    }

    /// The name of a mailbox that is to be made; a separator at its end says nothing (RFC 3501 6.3.3).
    fn made_name(&self, typed: &str) -> Result<String, String> {
        let typed = typed.trim_end_matches(self.shared.options.delimiter);
        let outside = || "NO [CANNOT] This name lacks the prefix of the namespace".to_string();
        self.own_name(typed).ok_or_else(outside)
    }

    /// This name if nothing has it, or could not have it.
    fn free_name(&self, store: &Store, name: String, typed: &str) -> Result<String, String> {
        if store.find(&name).is_some() {
            return Err(format!(
                "NO [ALREADYEXISTS] Duplicate folder name {typed} (Failure)"
            ));
        }
        let refused =
            labels::refused(&name, self.knobs().own_names_nowhere).filter(|_| self.shared.gmail());
        refused.map_or(Ok(name), |refusal| Err(refusal.to_string()))
    }

    /// The labels of this command that are to be, by the names that they have; made where there are none
    /// (docs/gmail.md 4.2). A name that could not be made refuses the command.
    pub(super) fn known_labels(&self, given: BTreeSet<String>) -> Result<BTreeSet<String>, String> {
        let nowhere = self.knobs().own_names_nowhere;
        let store = self.shared.store.lock().unwrap();
        let known = |label: String| match store.find(&label) {
            _ if label.starts_with('\\') => Ok(label),
            Some(index) if store.mailboxes[index].purpose == Use::Label => {
                Ok(store.mailboxes[index].name.clone())
            }
            _ => labels::refused(&label, nowhere)
                .map_or(Ok(label), |refusal| Err(refusal.to_string())),
        };
        given.into_iter().map(known).collect()
    }

    pub(super) fn rename(&mut self, tag: &str, args: &[Token]) {
        let [Some(old), Some(new)] = [args.first(), args.get(1)].map(|a| a.and_then(Token::text))
        else {
            return self.answer(tag, BAD);
        };
        let shared = std::sync::Arc::clone(&self.shared);
        let mut store = shared.store.lock().unwrap();
        let found = self.find(&store, &old);
        let known = found.filter(|&index| is_a_persons(&store, index));
        let known = known.map(|index| store.mailboxes[index].name.clone());
        // What is there only for those below it can be named anew like any other.
        let implied = self
            .own_name(&old)
            .filter(|name| found.is_none() && store.is_parent(name));
        let Some(old) = known.or(implied) else {
            let unknown = format!("NO [NONEXISTENT] Unknown folder.{old} (Failure)");
            return self.answer(tag, &unknown);
        };
        let name = self.made_name(&new);
        // Only case may change: then the name is its own duplicate.
        let own = |name: &String| found.is_some() && store.find(name) == found;
        let name = match name {
            Ok(name) if own(&name) => Ok(name),
            other => other.and_then(|name| self.free_name(&store, name, &new)),
        };
        match name {
            Ok(name) => {
                store.rename(&old, &name);
                self.ok(tag, "OK Success");
            }
            Err(refusal) => self.answer(tag, &refusal),
        }
    }

    pub(super) fn delete(&mut self, tag: &str, args: &[Token]) {
        let typed = args.first().and_then(Token::text).unwrap_or_default();
        let shared = std::sync::Arc::clone(&self.shared);
        let mut store = shared.store.lock().unwrap();
        let found = self.find(&store, &typed);
        match found.filter(|&index| is_a_persons(&store, index)) {
            Some(index) => {
                store.delete_mailbox(index, 0);
                self.ok(tag, "OK Success");
            }
            None => self.answer(
                tag,
                &format!("NO [NONEXISTENT] Unknown folder.{typed} (Failure)"),
            ),
        }
    }

    pub(super) fn enable(&mut self, tag: &str, args: &[Token]) {
        let known = |word: &&str| ["UTF8=ACCEPT", "CONDSTORE"].contains(word) && self.offers(word);
        let asked: Vec<String> = args.iter().filter_map(Token::text).collect();
        let asked: Vec<String> = asked.iter().map(|w| w.to_ascii_uppercase()).collect();
        let enabled: Vec<&str> = asked.iter().map(String::as_str).filter(known).collect();
        self.utf8 |= enabled.contains(&"UTF8=ACCEPT");
        self.wire
            .say(format!("* ENABLED {}", enabled.join(" ")).trim_end());
        self.ok(tag, "OK Success");
    }

    pub(super) fn quota(&mut self, tag: &str, command: &str) {
        if !self.offers("QUOTA") {
            self.answer(tag, BAD);
            return;
        }
        if command == "GETQUOTAROOT" {
            self.wire.say("* QUOTAROOT \"INBOX\" \"\"");
        }
        let resources = match self.knobs().storage {
            Some((used, all)) => format!("STORAGE {used} {all}"),
            None => String::new(),
        };
        self.wire.say(&format!("* QUOTA \"\" ({resources})"));
        self.ok(tag, "OK Success");
    }

    /// Tells of changes as they happen, until DONE, the session's end or its cut.
    pub(super) fn idle(&mut self, tag: &str) -> Step<()> {
        let gmail = matches!(self.shared.options.kind, Kind::Gmail);
        let began = self.shared.clock.now();
        self.wire.say(if gmail { "+ idling" } else { "+ OK" });
        self.flush()?;
        loop {
            self.expire()?;
            if let Some(line) = self.wire.take_line() {
                let fault = self.shared.faults.at_line(self.number, "DONE", "DONE");
                match fault {
                    Some(Fault::CutBefore) => return Err(Gone),
                    Some(Fault::Stall) => return self.stall(),
                    Some(Fault::Bye(text)) => return self.bye(&text),
                    other => self.fault = self.fault.take().or(other),
                }
                if line.eq_ignore_ascii_case(b"DONE") {
                    self.ok(tag, "OK IDLE terminated (Success)")
                } else {
                    self.answer(tag, BAD)
                }
                return Ok(());
            }
            let knobs = self.knobs();
            if passed(began, self.shared.clock.now(), knobs.idle_cut_after) {
                return Err(Gone);
            }
            if knobs.idle_pushes {
                let behind = self.is_behind();
                self.catch_up();
                if self.tell_watched() || behind {
                    self.flush()?;
                }
            }
            self.wire.poll()?;
        }
    }
}

/// One that a person made, and may name anew or take away.
fn is_a_persons(store: &Store, index: usize) -> bool {
    let mailbox = &store.mailboxes[index];
    matches!(mailbox.purpose, Use::Label | Use::Plain) && mailbox.name != "INBOX"
}
