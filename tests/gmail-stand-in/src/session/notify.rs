//! NOTIFY (RFC 5465) of a plain server, as Dovecot 2.3 and 2.4 answer it (docs/servers.md 3.22): news of mailboxes that are
//! not open comes as STATUS and LIST, without being asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BAD, Session};
use crate::store::{Mailbox, Store};
use crate::syntax::{Token, atom_or_quoted};
use crate::wire::Reply;

/// Events that are known; FlagChange is taken, and tells nothing of mailboxes that are not open.
const EVENTS: [&str; 5] = [
    "MessageNew",
    "MessageExpunge",
    "FlagChange",
    "MailboxName",
    "SubscriptionChange",
];

/// What a session wants to be told, and what it was told of each mailbox.
pub(super) struct Watch {
    /// The mailbox that is open tells of itself, as without NOTIFY.
    pub(super) selected: bool,
    groups: Vec<Group>,
    /// The store's revision when it was looked at last.
    looked_at: Option<u64>,
    known: BTreeMap<usize, Known>,
}

/// Events of some mailboxes. Of several groups with one mailbox, the first decides.
struct Group {
    scope: Scope,
    messages: bool,
    names: bool,
}

enum Scope {
    All,
    Inbox,
    Below(Vec<String>),
    These(Vec<String>),
}

impl Scope {
    fn holds(&self, name: &str) -> bool {
        let below = |top: &String| {
            let rest = name.strip_prefix(top.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match self {
            Scope::All => true,
            Scope::Inbox => name == "INBOX",
            Scope::Below(tops) => tops.iter().any(below),
            Scope::These(names) => names.iter().any(|n| n == name),
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Known {
    name: String,
    there: bool,
    selectable: bool,
    /// Messages, UIDNEXT and UIDVALIDITY. None: whatever they are now is news.
    counts: Option<(usize, u32, u32)>,
    /// Dovecot repeats no UIDVALIDITY that it told.
    validity_told: bool,
}

impl Known {
    fn of(mailbox: &Mailbox) -> Known {
        let counts = (mailbox.by_uid.len(), mailbox.uid_next, mailbox.uid_validity);
        Known {
            name: mailbox.name.clone(),
            there: !mailbox.deleted,
            selectable: mailbox.selectable() && mailbox.closed.is_none(),
            counts: Some(counts),
            validity_told: false,
        }
    }
}

/// A line of news.
enum News {
    /// Of this mailbox, with UIDVALIDITY or without.
    Status(usize, bool),
    List {
        attributes: &'static str,
        name: String,
        old: Option<String>,
    },
}

impl Watch {
    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.scope.holds(name))
    }

    /// What is new of every mailbox but the open one.
    fn news(&mut self, store: &Store, open: Option<usize>) -> Vec<News> {
        let mut news = Vec::new();
        if self.looked_at == Some(store.revision) {
            return news;
        }
        self.looked_at = Some(store.revision);
        for (index, mailbox) in store.mailboxes.iter().enumerate() {
            let mut now = Known::of(mailbox);
            let old = self.known.get(&index).cloned();
            let Some(group) = self.group(&mailbox.name) else {
                self.known.insert(index, now);
                continue;
            };
            if group.names {
                news.extend(named(&now, old.as_ref()));
            }
            let changed = now.counts
                != old
                    .as_ref()
                    .map_or(Some((0, 1, mailbox.uid_validity)), |o| o.counts);
            if open == Some(index) {
                now.counts = old.as_ref().map_or(now.counts, |old| old.counts);
            }
            let told = old.is_some_and(|old| old.validity_told);
            now.validity_told = told;
            if group.messages && changed && now.selectable && open != Some(index) {
                news.push(News::Status(index, !told));
                now.validity_told = true;
            }
            self.known.insert(index, now);
        }
        news
    }
}

/// What became of a mailbox's name.
fn named(now: &Known, old: Option<&Known>) -> Option<News> {
    let line = |attributes, old: Option<&String>| {
        Some(News::List {
            attributes,
            name: now.name.clone(),
            old: old.cloned(),
        })
    };
    match old {
        None if now.there => line("", None),
        Some(old) if old.there && !now.there => line("\\NonExistent", None),
        Some(old) if now.there && old.name != now.name => line("", Some(&old.name)),
        Some(old) if old.selectable && !now.selectable => line("\\Noselect", None),
        Some(old) if !old.selectable && now.selectable => line("", None),
        _ => None,
    }
}

impl Session {
    pub(super) fn notify(&mut self, tag: &str, args: &[Token]) {
        let (groups, status) = match args {
            [word] if word.is_atom("NONE") => {
                self.watch = None;
                return self.ok(tag, "OK NOTIFY completed");
            }
            [set, word, groups @ ..] if set.is_atom("SET") && word.is_atom("STATUS") => {
                (groups, true)
            }
            [set, groups @ ..] if set.is_atom("SET") => (groups, false),
            _ => return self.answer(tag, BAD),
        };
        let read: Option<Result<Vec<Read>, String>> = groups
            .iter()
            .map(|group| self.group(group.members()))
            .collect();
        let read = match read {
            Some(Ok(read)) if !read.is_empty() => read,
            Some(Err(refusal)) => return self.answer(tag, &refusal),
            _ => return self.answer(tag, BAD),
        };
        let shared = Arc::clone(&self.shared);
        let store = shared.store.lock().unwrap();
        let all = store.mailboxes.iter().enumerate();
        let known = all
            .map(|(index, mailbox)| (index, Known::of(mailbox)))
            .collect();
        let selected = read.iter().any(|read| matches!(read, Read::Selected));
        let groups = read.into_iter().filter_map(|read| match read {
            Read::Group(group) => Some(group),
            Read::Selected => None,
        });
        let watch = Watch {
            selected,
            groups: groups.collect(),
            looked_at: Some(store.revision),
            known,
        };
        if status {
            let open = self.view.as_ref().map(|view| view.mailbox);
            for (index, mailbox) in store.mailboxes.iter().enumerate() {
                let wanted = watch
                    .group(&mailbox.name)
                    .is_some_and(|group| group.messages);
                if wanted && mailbox.selectable() && mailbox.closed.is_none() && open != Some(index)
                {
                    let reply = self.news(&store, &News::Status(index, true));
                    self.wire.reply(reply);
                }
            }
        }
        drop(store);
        self.watch = Some(watch);
        self.ok(tag, "OK NOTIFY completed");
    }

    /// `(personal (MessageNew MessageExpunge))`. None where it is not to be read.
    fn group(&self, words: &[Token]) -> Option<Result<Read, String>> {
        let (scope, events) = match words {
            [scope, events] => (self.scope(&scope.text()?, &[]), events),
            [scope, names, events] => (self.scope(&scope.text()?, names.members()), events),
            _ => return None,
        };
        let scope = scope?;
        let Token::List(events) = events else {
            return None;
        };
        let events: Vec<String> = events.iter().map(Token::text).collect::<Option<_>>()?;
        let has = |name: &str| events.iter().any(|event| event.eq_ignore_ascii_case(name));
        let unknown =
            |event: &&String| !EVENTS.iter().any(|known| known.eq_ignore_ascii_case(event));
        if let Some(event) = events.iter().find(unknown) {
            return Some(Err(format!(
                "NO [BADEVENT {event}] Unsupported NOTIFY events"
            )));
        }
        if has("MessageNew") != has("MessageExpunge") {
            let words =
                "BAD Error in IMAP command NOTIFY: MessageNew and MessageExpunge must be together";
            return Some(Err(words.into()));
        }
        Some(Ok(match scope {
            None => Read::Selected,
            Some(scope) => Read::Group(Group {
                scope,
                messages: has("MessageNew"),
                names: has("MailboxName"),
            }),
        }))
    }

    /// The mailboxes that are meant; Some(None) is the open one.
    fn scope(&self, word: &str, names: &[Token]) -> Option<Option<Scope>> {
        let names: Vec<String> = names
            .iter()
            .map(|name| self.own_name(&name.text()?))
            .collect::<Option<_>>()?;
        Some(
            match (word.to_ascii_lowercase().as_str(), names.is_empty()) {
                ("selected" | "selected-delayed", true) => None,
                ("personal" | "subscribed", true) => Some(Scope::All),
                ("inboxes", true) => Some(Scope::Inbox),
                ("subtree", false) => Some(Scope::Below(names)),
                ("mailboxes", false) => Some(Scope::These(names)),
                _ => return None,
            },
        )
    }

    /// Says what is new; whether there was anything.
    pub(super) fn tell_watched(&mut self) -> bool {
        let open = self.view.as_ref().map(|view| view.mailbox);
        let Some(watch) = &mut self.watch else {
            return false;
        };
        let shared = Arc::clone(&self.shared);
        let store = shared.store.lock().unwrap();
        let news = watch.news(&store, open);
        if news.is_empty() {
            return false;
        }
        if shared.knobs.lock().unwrap().notify_overflows {
            self.watch = None;
            self.wire
                .say("* OK [NOTIFICATIONOVERFLOW] Too much is going on");
            return true;
        }
        for news in &news {
            let reply = self.news(&store, news);
            self.wire.reply(reply);
        }
        true
    }

    /// A mailbox is no longer the open one: what it did not tell by itself is told from now on.
    pub(super) fn leave_watched(&mut self, store: &Store) {
        let (Some(view), Some(watch)) = (&self.view, &mut self.watch) else {
            return;
        };
        let mut known = Known::of(&store.mailboxes[view.mailbox]);
        if view.behind(store) {
            known.counts = None;
        }
        known.validity_told = watch
            .known
            .get(&view.mailbox)
            .is_some_and(|k| k.validity_told);
        watch.known.insert(view.mailbox, known);
        watch.looked_at = None;
    }

    fn news(&self, store: &Store, news: &News) -> Reply {
        let mut reply = Reply::default();
        match news {
            News::Status(index, with_validity) => {
                let mailbox = &store.mailboxes[*index];
                reply.text("* STATUS ");
                self.name(&mut reply, &mailbox.name);
                let unseen = |id: &&u64| !store.messages[*id].flags.contains("\\Seen");
                let unseen = mailbox.by_uid.values().filter(unseen).count();
                let validity = if *with_validity {
                    format!(" UIDVALIDITY {}", mailbox.uid_validity)
                } else {
                    String::new()
                };
                let (messages, uid_next) = (mailbox.by_uid.len(), mailbox.uid_next);
                reply.text(&format!(
                    " (MESSAGES {messages} UIDNEXT {uid_next}{validity} UNSEEN {unseen})"
                ));
            }
            News::List {
                attributes,
                name,
                old,
            } => {
                let delimiter = self.shared.options.delimiter;
                reply.text(&format!("* LIST ({attributes}) \"{delimiter}\" "));
                self.name(&mut reply, name);
                if let Some(old) = old {
                    reply.text(" (\"OLDNAME\" (");
                    self.name(&mut reply, old);
                    reply.text("))");
                }
            }
        }
        reply
    }

    fn name(&self, reply: &mut Reply, name: &str) {
        if !self.shared.knobs.lock().unwrap().notify_in_utf8 {
            return reply.text(&atom_or_quoted(&self.wire_name(name)));
        }
        let name = self.shown_name(name);
        if name.is_ascii() {
            reply.text(&atom_or_quoted(&name));
        } else {
            reply.literal(name.as_bytes());
        }
    }
}

enum Read {
    Selected,
    Group(Group),
}
