//! Which mailboxes an account has, and what each is for (LIST, XLIST, NAMESPACE). Not for what they hold.

use std::collections::HashMap;

use super::{Phase, Session, quoted};
use crate::error::{Error, Result, Scope};
use crate::folder::{self, Attributes, INBOX, Listed};
use crate::message::UidValidity;
use crate::response::Untagged;
use crate::wire::Command;

/// More than any account has; each costs memory.
const MAILBOXES_MAX: usize = 50_000;
/// More than any name has: 225 characters of Gmail's are 1,200 bytes at the most.
const NAME_MAX: usize = 4096;

/// Mailboxes that are asked about in one flight.
const ASKED_AT_ONCE: usize = 100;

/// The mailboxes of an account.
#[derive(Debug, Default)]
pub struct Mailboxes {
    /// In the server's order, each once, INBOX in any case.
    pub listed: Vec<Listed>,
    /// So many more there are, and their names cannot be read.
    pub unreadable: usize,
    /// What the names of all but INBOX begin with, such as `INBOX.`.
    pub prefix: String,
    /// What stands between the levels of a name, as far as is known.
    pub delimiter: Option<char>,
}

impl Mailboxes {
    /// The mailbox that people know by this name, `/` between its levels. `any_case`: Gmail knows labels in any case of
    /// letters (docs/gmail.md 5).
    pub fn called(&self, name: &str, any_case: bool) -> Option<String> {
        let same = |other: &str| other == name || (any_case && folder::same_label(other, name));
        let mut found = self.listed.iter().filter(|l| l.selectable);
        found.find(|l| same(&l.name)).map(|l| l.wire.clone())
    }

    /// How a mailbox of this name would be called on the wire. What stands for the end of a level there cannot stand
    /// within one.
    pub fn wire(&self, name: &str) -> String {
        let delimiter = self.delimiter.unwrap_or('/');
        let levels: Vec<String> = name
            .split('/')
            .map(|level| match delimiter {
                '/' => level.into(),
                other => level.replace(other, "_"),
            })
            .collect();
        let name = folder::encoded(&levels.join(&delimiter.to_string()));
        format!("{}{name}", self.prefix)
    }
}

/// Where a mailbox stands, as STATUS tells (RFC 3501 6.3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub uid_validity: UidValidity,
    pub uid_next: u32,
    pub messages: u32,
}

/// A mailbox as a server tells of it (RFC 3501 7.2.2).
struct Told {
    wire: String,
    /// What stands between the levels of the name. None: it has but one.
    delimiter: Option<char>,
    attributes: Attributes,
}

impl Session {
    /// All mailboxes of the account, in the server's order, each once and INBOX in any case, and how many more there
    /// are whose names cannot be read.
    ///
    /// # Errors
    /// `Connection` also where there are more than 50,000.
    pub fn folders(&mut self) -> Result<(Vec<Listed>, usize)> {
        let mailboxes = self.mailboxes()?;
        Ok((mailboxes.listed, mailboxes.unreadable))
    }

    /// The same, and how further ones would be called.
    pub fn mailboxes(&mut self) -> Result<Mailboxes> {
        let (mut told, unreadable) = self.told("LIST \"\" \"*\"")?;
        if let Some(command) = self.asks_for_uses(&told) {
            let more: HashMap<String, Attributes> = match self.told(command) {
                Ok((more, _)) => more.into_iter().map(|m| (m.wire, m.attributes)).collect(),
                // It offers what it does not know: names must do.
                Err(_) if self.usable => HashMap::new(),
                Err(e) => return Err(e),
            };
            for mailbox in &mut told {
                if let Some(more) = more.get(&mailbox.wire) {
                    mailbox.attributes = mailbox.attributes.and(*more);
                }
            }
        }
        let delimiter = told.iter().find_map(|m| m.delimiter);
        let places = self.places()?;
        let places = places.unwrap_or_else(|| Places::guessed(&told));
        let mut all: Vec<Listed> = Vec::with_capacity(told.len() + 1);
        let mut at: HashMap<String, usize> = HashMap::new();
        for mailbox in told {
            let next = all.len();
            match at.get(&mailbox.wire) {
                Some(known) => {
                    let known = &mut all[*known];
                    known.special = known.special.or(mailbox.attributes.special);
                    known.is_virtual |= mailbox.attributes.is_virtual;
                }
                None => {
                    at.insert(mailbox.wire.clone(), next);
                    all.push(mailbox.listed(&places));
                }
            }
        }
        if !at.contains_key(INBOX) {
            all.insert(0, Listed::inbox());
        }
        folder::give_uses(&mut all);
        Ok(Mailboxes {
            listed: all,
            unreadable,
            prefix: places.prefix,
            delimiter,
        })
    }

    /// Where each of these mailboxes stands, where the server tells all of it: not of one that it does not open, nor, as
    /// Courier, of UIDNEXT.
    pub fn standings(&mut self, names: &[String]) -> Result<Vec<Option<Standing>>> {
        let mut standings = Vec::with_capacity(names.len());
        let mut told_elsewhere = false;
        for some in names.chunks(ASKED_AT_ONCE) {
            let mut begun = Vec::with_capacity(some.len());
            for name in some {
                let status = format!("STATUS {} (MESSAGES UIDNEXT UIDVALIDITY)", quoted(name)?);
                let status = Command::new(status, self.times.command, 0);
                begun.push(self.begin(Phase::Fetch, status)?);
            }
            let mut refused = Ok(());
            for (status, name) in begun.into_iter().zip(some) {
                let heard = self.hear(status);
                told_elsewhere |= of_others(&heard.untagged, name);
                match heard.end {
                    Err(e) if !self.usable => return Err(e),
                    // What was asked is heard to its end all the same.
                    Err(e) if e.scope() >= Scope::Account => refused = Err(e),
                    _ => standings.push(standing(&heard.untagged, name)),
                }
            }
            refused?;
        }
        // What was asked for is no news.
        self.told_elsewhere = self.notifies && told_elsewhere;
        Ok(standings)
    }

    /// How to ask for the uses, where the plain list need not tell them.
    fn asks_for_uses(&self, told: &[Told]) -> Option<&'static str> {
        if told
            .iter()
            .any(|m| m.attributes.special.is_some() || m.attributes.is_virtual)
        {
            return None;
        }
        if self.offers("SPECIAL-USE") {
            // RFC 6154 3: a server with LIST-EXTENDED may tell them only to those who ask.
            let extended = self.offers("LIST-EXTENDED");
            extended.then_some("LIST \"\" \"*\" RETURN (SPECIAL-USE)")
        } else {
            // Older than the standard (docs/servers.md 3.21).
            self.offers("XLIST").then_some("XLIST \"\" \"*\"")
        }
    }

    fn told(&mut self, command: &str) -> Result<(Vec<Told>, usize)> {
        let heard = self.run(Phase::Fetch, command, self.times.command, 0);
        heard.end?;
        let (mut all, mut unreadable) = (Vec::new(), 0);
        for response in heard.untagged {
            let told = match response {
                Untagged::List {
                    attributes,
                    delimiter,
                    name,
                } => Told::of(&attributes, delimiter, name),
                Untagged::UnreadableList => None,
                _ => continue,
            };
            if all.len() + unreadable == MAILBOXES_MAX {
                return Err(Error::connection(format!(
                    "{} lists more than {MAILBOXES_MAX} mailboxes",
                    self.name()
                )));
            }
            match told {
                Some(told) => all.push(told),
                None => unreadable += 1,
            }
        }
        Ok((all, unreadable))
    }

    /// None: the server does not say. Asked once in a session.
    fn places(&mut self) -> Result<Option<Places>> {
        if self.places.is_some() || !self.offers("NAMESPACE") {
            return Ok(self.places.clone());
        }
        let heard = self.run(Phase::Fetch, "NAMESPACE", self.times.command, 0);
        if let (Err(e), false) = (heard.end, self.usable) {
            return Err(e);
        }
        self.places = heard.untagged.into_iter().find_map(|u| match u {
            Untagged::Namespace { prefix, others } => Some(Places {
                prefix: String::from_utf8(prefix).ok()?,
                others: others
                    .into_iter()
                    .filter_map(|other| String::from_utf8(other).ok())
                    .collect(),
            }),
            _ => None,
        });
        Ok(self.places.clone())
    }
}

/// Where mailboxes lie (RFC 2342).
#[derive(Clone, Default)]
pub(super) struct Places {
    /// What the names of all our mailboxes but INBOX begin with, such as `INBOX.`; mostly nothing.
    prefix: String,
    /// What those of other people's mailboxes and shared ones begin with. An empty one: with anything else.
    others: Vec<String>,
}

impl Places {
    /// Of a server that does not tell: if everything else lies below INBOX, that is the prefix (Courier, old Cyrus).
    fn guessed(told: &[Told]) -> Places {
        let mut others = told.iter().filter(|m| m.wire != INBOX).peekable();
        let delimiter = others.peek().and_then(|m| m.delimiter);
        let prefix = delimiter.map(|delimiter| format!("{INBOX}{delimiter}"));
        let prefix = prefix.filter(|prefix| others.all(|m| behind(&m.wire, prefix).is_some()));
        Places {
            prefix: prefix.unwrap_or_default(),
            others: Vec::new(),
        }
    }

    /// Is the mailbox somebody else's too?
    fn is_others(&self, wire: &str) -> bool {
        let is_ours = |own: &str| own.is_empty() || behind(wire, own).is_some();
        wire != INBOX
            && self.others.iter().any(|other| match &**other {
                "" => !is_ours(&self.prefix),
                other => behind(wire, other).is_some(),
            })
    }
}

/// What follows the prefix. INBOX in it may be written in any case.
fn behind<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let (begin, rest) = name.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

impl Told {
    /// None: the name is one that we cannot say, or nobody could read.
    fn of(attributes: &[Vec<u8>], delimiter: Option<u8>, name: Vec<u8>) -> Option<Told> {
        let wire = String::from_utf8(name).ok()?;
        if wire.is_empty() || wire.len() > NAME_MAX || wire.contains(['\0', '\r', '\n']) {
            return None;
        }
        let attributes = Attributes::of(attributes.iter().map(Vec::as_slice));
        let is_inbox = wire.eq_ignore_ascii_case(INBOX);
        Some(Told {
            // The one name that has no case (RFC 3501 5.1): so it is in the ledger.
            wire: if is_inbox { INBOX.into() } else { wire },
            delimiter: delimiter.filter(u8::is_ascii).map(char::from),
            attributes,
        })
    }

    fn listed(self, places: &Places) -> Listed {
        let is_others = places.is_others(&self.wire);
        let name = if self.wire == INBOX {
            INBOX.into()
        } else {
            self.read_without(&places.prefix)
        };
        Listed {
            name,
            // Other people's Sent is not this account's.
            special: self.attributes.special.filter(|_| !is_others),
            is_virtual: self.attributes.is_virtual || is_others,
            // INBOX is there, whatever a server says of it (RFC 3501 5.1).
            selectable: self.attributes.selectable || self.wire == INBOX,
            wire: self.wire,
        }
    }

    /// The name as people read it.
    fn read_without(&self, prefix: &str) -> String {
        let own = behind(&self.wire, prefix);
        // A prefix that is told without its delimiter.
        let own = own.and_then(|own| match self.delimiter {
            Some(delimiter) if !prefix.is_empty() && !prefix.ends_with(delimiter) => {
                own.strip_prefix(delimiter)
            }
            _ => Some(own),
        });
        let own = own
            .filter(|own| !own.is_empty())
            // A mailbox of that name below INBOX is another one (ceph-dovecot-plugin#134).
            .filter(|own| !own.eq_ignore_ascii_case(INBOX))
            .unwrap_or(&self.wire);
        let decoded = |level: &str| {
            // Not modified UTF-7: as it is, which may be UTF-8.
            folder::decoded(level.as_bytes()).unwrap_or_else(|| level.into())
        };
        match self.delimiter {
            Some(delimiter) => {
                let levels: Vec<String> = own.split(delimiter).map(decoded).collect();
                levels.join("/")
            }
            None => decoded(own),
        }
    }
}

/// Where this mailbox stands. A server that tells of other ones, too, does so in the same words.
fn standing(untagged: &[Untagged], mailbox: &str) -> Option<Standing> {
    untagged.iter().find_map(|u| match u {
        Untagged::Counts {
            name,
            messages: Some(messages),
            uid_validity: Some(validity),
            uid_next: Some(next),
        } if is_of(name, mailbox) => Some(Standing {
            uid_validity: UidValidity(*validity),
            uid_next: *next,
            messages: *messages,
        }),
        _ => None,
    })
}

fn of_others(untagged: &[Untagged], mailbox: &str) -> bool {
    untagged
        .iter()
        .any(|u| matches!(u, Untagged::Counts { name, .. } if !is_of(name, mailbox)))
}

fn is_of(name: &[u8], mailbox: &str) -> bool {
    name == mailbox.as_bytes() || (mailbox == INBOX && name.eq_ignore_ascii_case(b"INBOX"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(wire: &str, delimiter: Option<char>) -> Told {
        let delimiter = delimiter.map(|d| d as u8);
        Told::of(&[], delimiter, wire.into()).expect("a name")
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        for (wire, delimiter, prefix, read) in [
            ("INBOX", Some('.'), "INBOX.", "INBOX"),
            ("Inbox", Some('/'), "", "INBOX"),
            ("INBOX.Entw&APw-rfe", Some('.'), "INBOX.", "Entwürfe"),
            ("Inbox.Sent", Some('.'), "INBOX.", "Sent"),
            ("INBOX.a.b", Some('.'), "INBOX.", "a/b"),
            ("INBOX.a.b", Some('.'), "", "INBOX/a/b"),
            ("INBOX/a", Some('/'), "INBOX", "a"),
            ("INBOXED", Some('/'), "INBOX", "INBOXED"),
            ("INBOX.INBOX", Some('.'), "INBOX.", "INBOX/INBOX"),
            ("INBOX.", Some('.'), "INBOX.", "INBOX/"),
            ("a\\b", Some('\\'), "", "a/b"),
            ("a.b", None, "", "a.b"),
            ("a/b.c", Some('.'), "", "a/b/c"),
            // A delimiter that is no delimiter: it is written in base64.
            ("a&AC4-b.c", Some('.'), "", "a.b/c"),
            ("Entwürfe", Some('/'), "", "Entwürfe"),
            // No modified UTF-7: as it is.
            ("AT&T.x", Some('.'), "", "AT&T/x"),
            ("&ABs-[2J", Some('/'), "", "\u{1b}[2J"),
            ("&2D3eAA-", Some('/'), "", "😀"),
        ] {
            let places = Places {
                prefix: prefix.into(),
                others: Vec::new(),
            };
            let listed = told(wire, delimiter).listed(&places);
            assert_eq!(listed.name, read, "{wire}");
            if !wire.eq_ignore_ascii_case(INBOX) {
                assert_eq!(listed.wire, wire);
            }
        }
    }

    #[test]
    fn a_name_that_nobody_could_say_is_unreadable() {
        let long = "a".repeat(NAME_MAX + 1);
        for name in [&b"Entw\xfcrfe"[..], b"", b"a\r\nb", b"a\0", long.as_bytes()] {
            assert!(Told::of(&[], Some(b'/'), name.to_vec()).is_none());
        }
        let odd = Told::of(&[], Some(0xe9), b"a".to_vec());
        assert!(odd.is_some_and(|odd| odd.delimiter.is_none()));
    }

    #[test]
    fn a_prefix_is_seen_where_it_is_not_told() {
        let all = |names: &[&str]| -> Vec<Told> {
            let all = names.iter();
            all.map(|name| told(name, Some('.'))).collect()
        };
        let guessed = |names: &[&str]| Places::guessed(&all(names)).prefix;
        assert_eq!(guessed(&["INBOX", "INBOX.a", "inbox.b"]), "INBOX.");
        assert_eq!(guessed(&["INBOX", "INBOX.a", "b"]), "");
        assert_eq!(guessed(&["INBOX"]), "");
        assert_eq!(guessed(&[]), "");
    }

    #[test]
    fn other_peoples_mailboxes_are_known() {
        let places = |prefix: &str, others: &[&str]| Places {
            prefix: prefix.into(),
            others: others.iter().map(ToString::to_string).collect(),
        };
        let cyrus = places("INBOX.", &["user.", ""]);
        assert!(cyrus.is_others("user.bob") && cyrus.is_others("pub.shared"));
        assert!(!cyrus.is_others("INBOX") && !cyrus.is_others("INBOX.user.bob"));
        let dovecot = places("", &["shared/", "Public/"]);
        assert!(dovecot.is_others("shared/bob") && !dovecot.is_others("Work"));
        // Nothing tells them from one's own.
        assert!(!places("", &[""]).is_others("Work"));
    }

    #[test]
    fn inbox_opens_whatever_is_said_of_it_and_uses_are_the_accounts_own() {
        let places = Places {
            prefix: String::new(),
            others: vec!["shared/".into()],
        };
        let listed = |name: &str, attribute: &str| {
            let attributes = [attribute.as_bytes().to_vec()];
            let told = Told::of(&attributes, Some(b'/'), name.as_bytes().to_vec());
            told.map(|told| told.listed(&places))
        };
        let opens = |name| listed(name, "\\Noselect").map(|listed| listed.selectable);
        assert_eq!((opens("inbox"), opens("Work")), (Some(true), Some(false)));
        let used = |name| listed(name, "\\Sent").and_then(|listed| listed.special);
        assert_eq!(used("Sent"), Some(folder::SpecialUse::Sent));
        assert_eq!(used("shared/bob/Sent"), None);
    }
}
