//! LIST and its kin: names as they are on the wire, what each is for, and STATUS with it (docs/gmail.md 1.6).

use std::collections::BTreeMap;

use super::{BAD, Session};
use crate::names::Use;
use crate::store::Mailbox;
use crate::syntax::{Token, atom_or_quoted, quote};

/// A line of LIST.
struct Listed {
    name: String,
    purpose: Use,
    selectable: bool,
    /// Of a plain server's.
    special: Option<String>,
}

impl Listed {
    fn of(mailbox: &Mailbox) -> Listed {
        Listed {
            name: mailbox.name.clone(),
            purpose: mailbox.purpose,
            selectable: mailbox.selectable(),
            special: mailbox.special.clone(),
        }
    }

    fn special(&self, command: &str) -> Option<&str> {
        let own = match command {
            "XLIST" => self.purpose.xlist_attribute(),
            _ => self.purpose.attribute(),
        };
        own.or(self.special.as_deref())
    }
}

impl Session {
    pub(super) fn list(&mut self, tag: &str, command: &str, args: &[Token]) {
        let asked = Asked::read(args).filter(|asked| asked.is_offered(|word| self.offers(word)));
        let Some(asked) = asked else {
            self.answer(tag, BAD);
            return;
        };
        if asked.patterns == [""] {
            // The root is called so at Gmail, and has no name elsewhere (docs/gmail.md 1.6).
            let root = if self.shared.gmail() { "/" } else { "" };
            let delimiter = self.shared.options.delimiter;
            let line = format!("* LIST (\\Noselect) \"{delimiter}\" {}", quote(root));
            self.wire.say(&line);
            self.ok(tag, "OK Success");
            return;
        }
        let listed = self.listed();
        for entry in &listed {
            let name = self.wire_name(&entry.name);
            let special = entry.special(command).is_some();
            let delimiter = self.shared.options.delimiter;
            let matched = asked.patterns.iter().any(|p| matches(p, &name, delimiter));
            if !matched || (asked.special_only && !special) {
                continue;
            }
            let line = self.list_line(command, entry, &listed);
            self.wire.say(&line);
            if let Some(items) = asked.status.as_ref().filter(|_| entry.selectable) {
                let shared = std::sync::Arc::clone(&self.shared);
                let store = shared.store.lock().unwrap();
                if let Some(index) = store.find(&entry.name)
                    && store.mailboxes[index].closed.is_none()
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
        // Below a prefix that is INBOX's name everything is below INBOX.
        let everything = entry.name == "INBOX" && !self.shared.options.prefix.is_empty();
        let children =
            all.iter().any(|other| other.name.starts_with(&below)) || (everything && all.len() > 1);
        let mut attributes = vec![if children {
            "\\HasChildren"
        } else {
            "\\HasNoChildren"
        }];
        let special = entry
            .special(command)
            .filter(|_| self.offers("SPECIAL-USE"));
        attributes.extend(special);
        if !entry.selectable {
            attributes.push("\\Noselect");
        }
        attributes.sort_unstable();
        let name = self.wire_name(&entry.name);
        let name = if self.knobs().bare_atoms && entry.purpose == Use::Label {
            atom_or_quoted(&name)
        } else {
            quote(&name)
        };
        let delimiter = self.shared.options.delimiter;
        format!(
            "* {command} ({}) \"{delimiter}\" {name}",
            attributes.join(" ")
        )
    }

    /// INBOX, the labels with parents that exist only by their children, and what is below `[Gmail]`.
    fn listed(&self) -> Vec<Listed> {
        let hidden = self.knobs().hidden;
        let store = self.shared.store.lock().unwrap();
        let shown = |m: &&Mailbox| !m.deleted && !hidden.contains(&m.purpose);
        let own = |purpose| matches!(purpose, Use::Label | Use::Plain);
        let mut labels: BTreeMap<&str, Option<&Mailbox>> = BTreeMap::new();
        for mailbox in store.mailboxes.iter().filter(shown) {
            if !own(mailbox.purpose) {
                continue;
            }
            labels.insert(&mailbox.name, Some(mailbox));
            for (at, _) in mailbox.name.match_indices('/') {
                let parent = &mailbox.name[..at];
                if store.find(parent).is_none() {
                    labels.insert(parent, None);
                }
            }
        }
        let system = |purpose| {
            let found = store.mailboxes.iter().filter(shown);
            found.filter(move |m| m.purpose == purpose).map(Listed::of)
        };
        let mut listed: Vec<Listed> = system(Use::Inbox).collect();
        let label = if store.gmail { Use::Label } else { Use::Plain };
        let parent = |name: &str| Listed {
            name: name.to_string(),
            purpose: label,
            selectable: false,
            special: None,
        };
        let labels = labels.into_iter();
        let own = labels.map(|(name, mailbox)| mailbox.map_or_else(|| parent(name), Listed::of));
        let (inbox, others): (Vec<Listed>, Vec<Listed>) = own.partition(|m| m.name == "INBOX");
        listed.extend(inbox.into_iter().chain(others));
        listed.extend(system(Use::Root));
        listed.extend(Use::BELOW_ROOT.into_iter().flat_map(system));
        listed
    }
}

/// The arguments of LIST (RFC 5258, RFC 5819), as far as they change what is said.
struct Asked<'a> {
    patterns: Vec<String>,
    special_only: bool,
    status: Option<&'a [Token]>,
    /// It has what LIST did not have before RFC 5258.
    extended: bool,
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
            extended: !options.is_empty() || !selection.is_empty(),
        })
    }

    /// Whether each word of it stands among the server's capabilities.
    fn is_offered(&self, offers: impl Fn(&str) -> bool) -> bool {
        let extensions = ["LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE"];
        let extended = !self.extended || extensions.into_iter().any(&offers);
        extended && (self.status.is_none() || offers("LIST-STATUS"))
    }
}

/// `*` stands for anything, `%` for anything but the separator; INBOX in any case.
fn matches(pattern: &str, name: &str, delimiter: char) -> bool {
    if pattern.eq_ignore_ascii_case("INBOX") && name == "INBOX" {
        return true;
    }
    fn rest(pattern: &[u8], name: &[u8], delimiter: u8) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((&wild @ (b'*' | b'%'), after)) => (0..=name.len())
                .take_while(|&len| wild == b'*' || !name[..len].contains(&delimiter))
                .any(|len| rest(after, &name[len..], delimiter)),
            Some((byte, after)) => name.first() == Some(byte) && rest(after, &name[1..], delimiter),
        }
    }
    rest(pattern.as_bytes(), name.as_bytes(), delimiter as u8)
}
