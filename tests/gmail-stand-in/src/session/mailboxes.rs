//! LIST, SELECT, STATUS and their kin (docs/gmail.md 1.6 to 1.8, 5), and IDLE.

use std::collections::BTreeSet;

use super::{BAD, Session, View, passed};
use crate::Kind;
use crate::faults::Fault;
use crate::message::Message;
use crate::names::Use;
use crate::store::Store;
use crate::syntax::{Token, atom_or_quoted, quote};
use crate::wire::{Gone, Step};

const FLAGS: &str = "\\Answered \\Flagged \\Draft \\Deleted \\Seen $NotPhishing $Phishing";
const ODD_FLAGS: &str = " OIB-Seen-OIB/Social Networking OIB-Seen-[Gmail]/All Mail";

/// A line of LIST.
struct Listed {
    name: String,
    purpose: Use,
    selectable: bool,
}

impl Session {
    pub(super) fn list(&mut self, tag: &str, command: &str, args: &[Token]) {
        let Some(asked) = Asked::read(args) else {
            self.answer(tag, BAD);
            return;
        };
        if asked.patterns == [""] {
            self.wire.say("* LIST (\\Noselect) \"/\" \"/\"");
            self.ok(tag, "OK Success");
            return;
        }
        let listed = self.listed();
        for entry in &listed {
            let name = self.encoded(&entry.name);
            let special = entry.purpose.attribute().is_some();
            let matched = asked.patterns.iter().any(|p| matches(p, &name));
            if !matched || (asked.special_only && !special) {
                continue;
            }
            let line = self.list_line(command, entry, &listed);
            self.wire.say(&line);
            if let Some(items) = asked.status.as_ref().filter(|_| entry.selectable) {
                let shared = std::sync::Arc::clone(&self.shared);
                let store = shared.store.lock().unwrap();
                if let Some(index) = store.find(&entry.name)
                    && let Some(line) = self.status_line(&store, index, items)
                {
                    self.wire.say(&line);
                }
            }
        }
        self.ok(tag, "OK Success");
    }

    fn list_line(&self, command: &str, entry: &Listed, all: &[Listed]) -> String {
        let below = format!("{}/", entry.name);
        let children = all.iter().any(|other| other.name.starts_with(&below));
        let mut attributes = vec![if children {
            "\\HasChildren"
        } else {
            "\\HasNoChildren"
        }];
        attributes.extend(match command {
            "XLIST" => entry.purpose.xlist_attribute(),
            _ => entry.purpose.attribute(),
        });
        if !entry.selectable {
            attributes.push("\\Noselect");
        }
        attributes.sort_unstable();
        let name = self.encoded(&entry.name);
        let name = if self.knobs().bare_atoms && entry.purpose == Use::Label {
            atom_or_quoted(&name)
        } else {
            quote(&name)
        };
        format!("* {command} ({}) \"/\" {name}", attributes.join(" "))
    }

    /// INBOX, the labels with parents that exist only by their children, and what is below `[Gmail]`.
    fn listed(&self) -> Vec<Listed> {
        let hidden = self.knobs().hidden;
        let store = self.shared.store.lock().unwrap();
        let shown = |m: &&crate::store::Mailbox| !m.deleted && !hidden.contains(&m.purpose);
        let own = |purpose| matches!(purpose, Use::Label | Use::Plain);
        let mut labels: BTreeSet<(&str, bool)> = BTreeSet::new();
        for mailbox in store.mailboxes.iter().filter(shown) {
            if !own(mailbox.purpose) {
                continue;
            }
            labels.insert((&mailbox.name, true));
            for (at, _) in mailbox.name.match_indices('/') {
                let parent = &mailbox.name[..at];
                if store.find(parent).is_none() {
                    labels.insert((parent, false));
                }
            }
        }
        let entry = |name: &str, purpose, selectable| Listed {
            name: name.to_string(),
            purpose,
            selectable,
        };
        let system = |purpose| {
            let found = store.mailboxes.iter().filter(shown);
            found
                .filter(move |m| m.purpose == purpose)
                .map(|m| entry(&m.name, m.purpose, m.selectable()))
        };
        let mut listed: Vec<Listed> = system(Use::Inbox).collect();
        let label = if store.gmail { Use::Label } else { Use::Plain };
        listed.extend(
            labels
                .into_iter()
                .map(|(name, real)| entry(name, label, real)),
        );
        listed.extend(system(Use::Root));
        listed.extend(Use::BELOW_ROOT.into_iter().flat_map(system));
        listed
    }

    pub(super) fn select(&mut self, tag: &str, args: &[Token], read_only: bool) {
        let Some(typed) = args.first().and_then(Token::text) else {
            self.answer(tag, BAD);
            return;
        };
        let knobs = self.knobs();
        let shared = std::sync::Arc::clone(&self.shared);
        let store = shared.store.lock().unwrap();
        let had_one = self.view.take().is_some();
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
            lines.push(format!("* OK [HIGHESTMODSEQ {}]", store.modseq));
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
        match self.status_line(&store, index, items) {
            Some(line) => {
                self.wire.say(&line);
                self.ok(tag, "OK Success");
            }
            None => self.answer(tag, BAD),
        }
    }

    /// Always of this moment, whatever the view of a session.
    fn status_line(&self, store: &Store, index: usize, items: &[Token]) -> Option<String> {
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
                "HIGHESTMODSEQ" if self.offers("CONDSTORE") => store.modseq,
                "APPENDLIMIT" if self.shared.gmail() => knobs.append_limit,
                _ => return None,
            };
            values.push(format!("{item} {value}"));
        }
        let name = quote(&self.encoded(&mailbox.name));
        Some(format!("* STATUS {name} ({})", values.join(" ")))
    }

    /// Simple: neither reserved names nor blanks are looked at.
    pub(super) fn create(&mut self, tag: &str, args: &[Token]) {
        let Some(typed) = args.first().and_then(Token::text) else {
            self.answer(tag, BAD);
            return;
        };
        let name = self.decoded(typed.trim_end_matches('/'));
        let mut store = self.shared.store.lock().unwrap();
        let known = store.find(&name).is_some();
        if !known {
            store.create(&name);
        }
        drop(store);
        if known {
            self.answer(
                tag,
                &format!("NO [ALREADYEXISTS] Duplicate folder name {typed} (Failure)"),
            )
        } else {
            self.ok(tag, "OK Success")
        }
    }

    pub(super) fn delete(&mut self, tag: &str, args: &[Token]) {
        let typed = args.first().and_then(Token::text).unwrap_or_default();
        let shared = std::sync::Arc::clone(&self.shared);
        let mut store = shared.store.lock().unwrap();
        let found = self.find(&store, &typed);
        let own = |index: &usize| {
            let mailbox = &store.mailboxes[*index];
            matches!(mailbox.purpose, Use::Label | Use::Plain) && mailbox.name != "INBOX"
        };
        match found.filter(own) {
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
            if knobs.idle_pushes && self.is_behind() {
                self.catch_up();
                self.flush()?;
            }
            self.wire.poll()?;
        }
    }
}

/// The arguments of LIST (RFC 5258, RFC 5819), as far as they change what is said.
struct Asked<'a> {
    patterns: Vec<String>,
    special_only: bool,
    status: Option<&'a [Token]>,
}

impl Asked<'_> {
    fn read(args: &[Token]) -> Option<Asked<'_>> {
        let (selection, args) = match args {
            [Token::List(options), rest @ ..] => (options.as_slice(), rest),
            _ => (&[][..], args),
        };
        let [reference, patterns, options @ ..] = args else {
            return None;
        };
        let reference = reference.text()?;
        let patterns = patterns
            .members()
            .iter()
            .map(|pattern| Some(format!("{reference}{}", pattern.text()?)))
            .collect::<Option<Vec<String>>>()?;
        let mut status = None;
        match options {
            [] => {}
            [word, Token::List(options)] if word.is_atom("RETURN") => {
                let at = options.iter().position(|option| option.is_atom("STATUS"));
                status = at.and_then(|at| options.get(at + 1)).map(Token::members);
            }
            _ => return None,
        }
        Some(Asked {
            patterns,
            special_only: selection.iter().any(|option| option.is_atom("SPECIAL-USE")),
            status,
        })
    }
}

/// `*` stands for anything, `%` for anything but the separator; INBOX in any case.
fn matches(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case("INBOX") && name == "INBOX" {
        return true;
    }
    fn rest(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((&wild @ (b'*' | b'%'), after)) => (0..=name.len())
                .take_while(|&len| wild == b'*' || !name[..len].contains(&b'/'))
                .any(|len| rest(after, &name[len..])),
            Some((byte, after)) => name.first() == Some(byte) && rest(after, &name[1..]),
        }
    }
    rest(pattern.as_bytes(), name.as_bytes())
}
