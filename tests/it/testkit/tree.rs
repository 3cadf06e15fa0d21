//! A tree of mailboxes as people have them, in several scripts and several levels deep, filled with real mail: some messages lie
//! in two or three of them. It goes into a stand-in, a Dovecot, or by APPEND into any server; `labels` says what must become
//! of it.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, FixedOffset};
use gmail_stand_in::{Gmail, Mail};

use super::corpus;
use super::dovecot::Dovecot;
use super::imap::{self, Client};

/// Mailboxes with mail, and two without. `Listen` is there only for those below it.
pub(crate) const NAMES: [&str; 40] = [
    "INBOX",
    "Familie",
    "Familie/Fotos",
    "Familie/Fotos/Urlaub 2019",
    "Familie/Fotos/Urlaub 2020",
    "Familie/Oma & Opa",
    "Familie/Schule",
    "Arbeit",
    "Arbeit/Verträge",
    "Arbeit/Verträge/Müller GmbH",
    "Arbeit/Rechnungen",
    "Arbeit/Rechnungen/2021",
    "Arbeit/Rechnungen/2022",
    "Arbeit/Rechnungen/2023",
    "Arbeit/Straßenbau",
    "Bücher",
    "Ärzte",
    "Ärzte/Zahnärztin",
    "Öffentlicher Dienst",
    "日本語",
    "日本語/旅行",
    "日本語/旅行/京都",
    "日本語/家族",
    "仕事",
    "仕事/請求書",
    "仕事/会議",
    "メーリングリスト",
    "😀",
    "😀/🎉",
    "😀/👩‍👩‍👧",
    "Reisen ✈️",
    "Reisen ✈️/Ägypten",
    "Listen/rust-users",
    "Listen/debian-devel",
    "Vereine",
    "Vereine/Chor",
    "[Projekte] (alt)",
    "O'Brien, Pat",
    "Leer",
    "Leer/auch leer",
];
const EMPTY: [&str; 2] = ["Leer", "Leer/auch leer"];

/// How many messages a whole tree has, and how many of them lie in two or three mailboxes.
const ALL: usize = 3000;
const SHARED: usize = 300;
/// Of these one cannot tell by their names that they are there.
const NAMELESS: usize = 60;

/// A message, and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) bytes: Vec<u8>,
    /// Unix time.
    pub(crate) date: i64,
    pub(crate) seen: bool,
    /// Names with `/` between their levels.
    pub(crate) mailboxes: Vec<&'static str>,
}

impl Placed {
    pub(crate) fn internal_date(&self) -> DateTime<FixedOffset> {
        let date = DateTime::from_timestamp(self.date, 0);
        date.unwrap().fixed_offset()
    }
}

#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) mails: Vec<Placed>,
}

/// How a server writes names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) delimiter: char,
    pub(crate) prefix: &'static str,
    /// Characters that take two units of UTF-16, as emoji do.
    pub(crate) emoji: bool,
}

/// As Dovecot has them by default in this test kit.
pub(crate) const SLASH: Names = Names {
    delimiter: '/',
    prefix: "",
    emoji: true,
};
/// As many have them whose mail lies in Maildirs.
pub(crate) const DOT: Names = Names {
    delimiter: '.',
    prefix: "INBOX.",
    emoji: true,
};
/// As Courier has them, which answers CREATE of an emoji with NO.
pub(crate) const COURIER: Names = Names {
    emoji: false,
    ..DOT
};

impl Names {
    /// Whether a mailbox can be called so.
    pub(crate) fn have(&self, name: &str) -> bool {
        self.emoji || name.chars().all(|c| c.len_utf16() == 1)
    }

    /// The name on the wire: modified UTF-7, with this server's delimiter and prefix.
    pub(crate) fn wire(&self, name: &str) -> String {
        if name == "INBOX" {
            return name.into();
        }
        let levels: Vec<String> = name.split('/').map(imap::utf7).collect();
        format!(
            "{}{}",
            self.prefix,
            levels.join(&self.delimiter.to_string())
        )
    }
}

impl Tree {
    /// 3,000 messages, 300 of them in several mailboxes. None where the corpus was not fetched.
    pub(crate) fn whole() -> Option<Tree> {
        Tree::of(ALL, SHARED)
    }

    /// 600 messages, 100 of them in several mailboxes.
    pub(crate) fn small() -> Option<Tree> {
        Tree::of(600, 100)
    }

    /// So many messages, each time the same ones at the same places.
    pub(crate) fn of(all: usize, shared: usize) -> Option<Tree> {
        let mails = real_mail(all)?;
        let filled: Vec<&'static str> = NAMES.into_iter().filter(|n| !EMPTY.contains(n)).collect();
        let mut random = fastrand::Rng::with_seed(11);
        let mut mails: Vec<Placed> = mails
            .into_iter()
            .enumerate()
            .map(|(n, bytes)| Placed {
                bytes,
                // From 2004 on, half a day apart: what `since` says divides them.
                date: 1_075_000_000 + n as i64 * 43_200,
                seen: random.u8(..3) > 0,
                mailboxes: vec![if random.u8(..5) == 0 {
                    "INBOX"
                } else {
                    filled[random.usize(..filled.len())]
                }],
            })
            .collect();
        for n in 0..shared {
            let placed = &mut mails[n * all / shared];
            let wanted = 2 + n % 2;
            while placed.mailboxes.len() < wanted {
                let other = filled[random.usize(..filled.len())];
                if !placed.mailboxes.contains(&other) {
                    placed.mailboxes.push(other);
                }
            }
        }
        Some(Tree { mails })
    }

    pub(crate) fn fill_stand_in(&self, server: &Gmail) {
        for name in NAMES {
            server.create(name);
        }
        for placed in &self.mails {
            for name in &placed.mailboxes {
                let mail = Mail::new(&placed.bytes).in_mailbox(name);
                let mail = mail.at(placed.internal_date());
                server.add(if placed.seen { mail.seen() } else { mail });
            }
        }
    }

    /// As files, so that Dovecot serves these very bytes.
    pub(crate) fn fill_dovecot(&self, server: &Dovecot, user: &str, names: Names) {
        make(&mut server.client(user), names);
        for (name, mails) in self.by_mailbox() {
            for placed in mails {
                let flags = if placed.seen { "S" } else { "" };
                server.plant_in(user, name, &placed.bytes, flags, placed.date);
            }
        }
    }

    /// By APPEND. Some servers change what they are given: what they then serve is what counts.
    pub(crate) fn append(&self, client: &mut Client, names: Names) {
        make(client, names);
        for (name, mails) in self.by_mailbox() {
            if !names.have(name) {
                continue;
            }
            let wire = names.wire(name);
            for placed in mails {
                let flags = if placed.seen { "\\Seen" } else { "" };
                let reply = client.append(&wire, &placed.bytes, flags, placed.date);
                let reply = reply.unwrap();
                assert!(reply.is_ok(), "APPEND to {wire}: {}", reply.status);
            }
        }
    }

    pub(crate) fn by_mailbox(&self) -> BTreeMap<&'static str, Vec<&Placed>> {
        let mut found: BTreeMap<&'static str, Vec<&Placed>> = BTreeMap::new();
        for placed in &self.mails {
            for name in &placed.mailboxes {
                found.entry(name).or_default().push(placed);
            }
        }
        found
    }

    /// Rows that the ledger will have.
    pub(crate) fn copies(&self) -> usize {
        self.mails.iter().map(|placed| placed.mailboxes.len()).sum()
    }
}

/// Makes the mailboxes of a tree.
fn make(client: &mut Client, names: Names) {
    for name in NAMES[1..].iter().filter(|name| names.have(name)) {
        client.command(&format!("CREATE {}", imap::quoted(&names.wire(name))));
    }
}

/// So many messages that every server takes as they are, no two of them alike to Gmail: CRLF at the end of each line, no
/// mbox line, and no Message-ID twice.
fn real_mail(count: usize) -> Option<Vec<Vec<u8>>> {
    let (mut ids, mut bodies) = (HashSet::new(), HashSet::new());
    let mut nameless = 0;
    let mut taken = Vec::new();
    for mail in corpus::spam_assassin()? {
        let bytes = tidied(&mail.bytes);
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(20_000)]).to_ascii_lowercase();
        let Some((head, _)) = head.split_once("\r\n\r\n") else {
            continue;
        };
        let plain = bytes.len() < 60_000 && bytes.is_ascii() && !bytes.contains(&0);
        let first_line = head.lines().next().unwrap_or_default();
        if !plain || !first_line.contains(':') || first_line.starts_with([' ', '\t', '>']) {
            continue;
        }
        let id = head
            .split("\r\n")
            .find_map(|l| l.strip_prefix("message-id:"));
        let is_new = match id.map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => ids.insert(id.to_owned()),
            None => {
                nameless += 1;
                nameless <= NAMELESS
            }
        };
        if is_new && bodies.insert(bytes.clone()) {
            taken.push(bytes);
        }
        if taken.len() == count {
            return Some(taken);
        }
    }
    panic!("the corpus has only {} such messages", taken.len());
}

fn tidied(bytes: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = bytes.iter().copied().filter(|&b| b != b'\r').collect();
    if text.starts_with(b"From ") {
        let end = text.iter().position(|&b| b == b'\n').unwrap_or(0);
        text.drain(..=end);
    }
    while text.ends_with(b"\n") {
        text.pop();
    }
    text.push(b'\n');
    let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    lines.join(&b"\r\n"[..])
}
