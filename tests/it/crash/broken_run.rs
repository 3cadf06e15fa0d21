//! The run that is broken off at every point: a dozen messages, each with something about it, from one server through
//! two fuses into another. What must have become of them then is looked for in `judgement`.

mod judgement;

use std::ops::{Deref, DerefMut};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::DateTime;
use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::json;

pub(crate) use self::judgement::Findings;
use super::fuse::Fuse;
use crate::testkit::dovecot::{self, Dovecot};
use crate::testkit::env::SOURCE;
use crate::testkit::route::{Route, ended};

/// The date of the first message; each next one came a minute later.
const T0: i64 = 1_700_000_000;
/// What Dovecot takes at most.
const DOVECOT_MAX: usize = 60_000;

/// Whose servers are at either end.
pub(crate) enum Servers {
    /// Stand-ins; new ones for each run.
    Gmail,
    /// Two of them, with new accounts for each run.
    Dovecot {
        source: Box<Dovecot>,
        target: Box<Dovecot>,
        accounts: AtomicUsize,
    },
}

impl Servers {
    /// None where there is no Dovecot.
    pub(crate) fn dovecot(big: bool) -> Option<Servers> {
        if !dovecot::available() {
            return None;
        }
        let target = if big {
            Dovecot::build()
        } else {
            Dovecot::build().max_mail_size(&format!("{DOVECOT_MAX}B"))
        };
        Some(Servers::Dovecot {
            source: Box::new(Dovecot::build().start()),
            target: Box::new(target.start()),
            accounts: AtomicUsize::new(0),
        })
    }
}

/// What must become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    /// The target has it already, with another date.
    There,
    /// One of two with the same bytes.
    Same,
    /// One of two that the target takes for one.
    Merged,
    /// Not taken, with these words.
    Refused(&'static str),
}

#[derive(Debug, Clone)]
struct Letter {
    bytes: Vec<u8>,
    flags: &'static [&'static str],
    date: i64,
    fate: Fate,
}

pub(crate) struct BrokenRun<'a> {
    route: Route,
    pub(crate) source: Fuse,
    pub(crate) target: Fuse,
    ends: Ends<'a>,
    letters: Vec<Letter>,
}

enum Ends<'a> {
    Gmail {
        source: Box<Gmail>,
        target: Box<Gmail>,
    },
    Dovecot {
        source: &'a Dovecot,
        target: &'a Dovecot,
        account: String,
    },
}

impl Deref for BrokenRun<'_> {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.route
    }
}

impl DerefMut for BrokenRun<'_> {
    fn deref_mut(&mut self) -> &mut Route {
        &mut self.route
    }
}

fn letters(gmail: bool, big: bool) -> Vec<Letter> {
    let day = |n: u8| format!("Date: Tue, {n} Nov 2023 22:13:20 +0000\r\n");
    let mut out = Vec::new();
    let mut add = |fate, flags, bytes: Vec<u8>| {
        let date = T0 + 60 * out.len() as i64;
        out.push(Letter {
            bytes,
            flags,
            date,
            fate,
        });
    };
    let text = |head: &str, body: &str| format!("{head}\r\n{body}").into_bytes();
    let id = |id: &str, date: u8, body: &str| {
        text(&format!("Message-ID: <{id}@x>\r\n{}", day(date)), body)
    };
    if big {
        let line = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
        add(
            Fate::Delivered,
            &[],
            id("before", 1, "before the big one\r\n"),
        );
        add(
            Fate::Delivered,
            &["\\Flagged"],
            id("big", 2, &line.repeat((8 << 20) / line.len() + 100)),
        );
        add(
            Fate::Delivered,
            &[],
            text("Subject: no name\r\n", "after the big one\r\n"),
        );
        return out;
    }
    add(Fate::Delivered, &["\\Seen"], id("plain", 1, "plain\r\n"));
    add(
        Fate::Delivered,
        &[],
        text(&format!("Subject: no id\r\n{}", day(2)), "nameless\r\n"),
    );
    add(
        Fate::Delivered,
        &["\\Seen"],
        text("Subject: neither\r\n", "nameless and dateless\r\n"),
    );
    let merged = if gmail { Fate::Merged } else { Fate::Delivered };
    add(merged, &[], id("list", 3, "list\r\n"));
    add(Fate::Delivered, &[], id("list", 4, "list, a day later\r\n"));
    add(merged, &[], id("list", 3, "list, direct, and longer\r\n"));
    if gmail {
        add(
            Fate::Refused("Unable to parse message"),
            &[],
            b"4\r\n".to_vec(),
        )
    } else {
        add(
            Fate::Refused("[LIMIT]"),
            &["\\Seen"],
            id("refused", 5, &"too much of it\r\n".repeat(DOVECOT_MAX / 15)),
        )
    }
    add(
        Fate::There,
        &["\\Seen"],
        id("there", 6, "copied by hand\r\n"),
    );
    add(Fate::Same, &[], id("same", 7, "twice the same\r\n"));
    add(Fate::Same, &[], id("same", 7, "twice the same\r\n"));
    let mut bytes = id("8bit", 8, "J\u{e4}germeister \u{20ac}\r\n");
    bytes.extend_from_slice(b"Latin-1: \xe4\xf6\xfc\xff\r\n");
    add(Fate::Delivered, &["\\Flagged"], bytes);
    let folded = format!("Message-ID:\r\n <folded@x>\r\n{}", day(9));
    add(Fate::Delivered, &[], text(&folded, "no end of line"));
    let long = id("long", 10, &"0123456789abcdef\r\n".repeat(2300));
    add(Fate::Delivered, &["\\Answered", "\\Seen"], long);
    out
}

impl<'a> BrokenRun<'a> {
    /// `big`: three messages, the one in the middle over 8 MB.
    pub(crate) fn new(servers: &'a Servers, big: bool) -> BrokenRun<'a> {
        let letters = letters(matches!(servers, Servers::Gmail), big);
        let (ends, ports, users, passes) = match servers {
            Servers::Gmail => {
                let plain = Options::plain(SOURCE);
                let [source, target] = [plain, Options::default()].map(|options| {
                    Box::new(Gmail::start(Options {
                        tls: false,
                        ..options
                    }))
                });
                let ports = (source.port(), target.port());
                let users = (source.account().to_string(), target.account().to_string());
                let passes = (source.password().to_string(), target.password().to_string());
                (Ends::Gmail { source, target }, ports, users, passes)
            }
            Servers::Dovecot {
                source,
                target,
                accounts,
            } => {
                let account = format!("user{}", accounts.fetch_add(1, Ordering::Relaxed));
                let users = (account.clone(), account.clone());
                let ports = (source.port(), target.port());
                let ends = Ends::Dovecot {
                    source,
                    target,
                    account,
                };
                (ends, ports, users, ("pw".to_string(), "pw".to_string()))
            }
        };
        let (source, target) = (Fuse::start(ports.0), Fuse::start(ports.1));
        let mut route = Route::new(json!({
            "source_server": "localhost",
            "source_user": users.0,
            "source_pass": passes.0,
            "target_server": "localhost",
            "target_user": users.1,
            "target_pass": passes.1,
            "since": "all",
            // The order of what is said is the same each time.
            "connections": 1,
        }));
        route
            .plain("source", source.port())
            .plain("target", target.port());
        let env = BrokenRun {
            route,
            source,
            target,
            ends,
            letters,
        };
        env.letters.iter().for_each(|letter| env.plant(letter));
        env
    }

    fn plant(&self, letter: &Letter) {
        let there = letter.fate == Fate::There;
        match &self.ends {
            Ends::Gmail { source, target } => {
                let mail = letter
                    .flags
                    .iter()
                    .fold(Mail::new(&letter.bytes), |m, f| m.flag(f));
                let at = |date| DateTime::from_timestamp(date, 0).unwrap().fixed_offset();
                source.add(mail.at(at(letter.date)));
                if there {
                    let id = target.add(Mail::new(&letter.bytes).at(at(T0 - 60)));
                    target.set_labels(id, &[]);
                }
            }
            Ends::Dovecot {
                source,
                target,
                account,
            } => {
                let letters: String = letter.flags.iter().map(|f| maildir_letter(f)).collect();
                source.plant(account, &letter.bytes, &letters, letter.date);
                if there {
                    target.append(account, "INBOX", &letter.bytes, "", T0 - 60);
                }
            }
        }
    }

    /// Runs to the end and judges what is there then.
    pub(crate) fn end_and_judge(&self, child: Child) -> Findings {
        let mut findings = Findings::default();
        let refused = |l: &Letter| matches!(l.fate, Fate::Refused(_) | Fate::Merged);
        let status = if self.letters.iter().any(refused) {
            3
        } else {
            0
        };
        match ended(child) {
            Ok(ran) if ran.status == status => self.judge(&mut findings),
            Ok(ran) => {
                self.judge(&mut findings);
                findings
                    .wrong
                    .push(format!("status {}\n{}", ran.status, ran.err));
            }
            Err(hangs) => findings.wrong.push(hangs),
        }
        if findings.is_bad() {
            findings.wrong.push(self.dump());
        }
        findings
    }
}

fn maildir_letter(flag: &str) -> char {
    match flag {
        "\\Answered" => 'R',
        "\\Flagged" => 'F',
        _ => 'S',
    }
}
