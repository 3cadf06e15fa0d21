//! What must be in the target after mail of several mailboxes was brought there, and the judgement of what is: of Gmail,
//! every message once by its bytes, with exactly the labels that are due, and nothing else; of another server, mailbox by
//! mailbox.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gmail_stand_in::{Gmail, Place};

use super::dovecot::Dovecot;
use super::imap;
use super::tree::{Names, Tree};

/// Findings that are told in full.
const TOLD: usize = 8;

/// What is due of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    /// `\Inbox`, `Work`.
    pub(crate) labels: BTreeSet<String>,
    pub(crate) place: Place,
    pub(crate) date: i64,
    pub(crate) flags: BTreeSet<String>,
}

/// Where mail of a mailbox goes in Gmail.
#[derive(Debug, Clone)]
pub(crate) struct Goes {
    pub(crate) labels: Vec<String>,
    pub(crate) place: Place,
}

impl Goes {
    /// With these labels, and archived if `\Inbox` is none of them.
    pub(crate) fn to(labels: &[&str]) -> Option<Goes> {
        Some(Goes {
            labels: labels.iter().map(ToString::to_string).collect(),
            place: Place::Live,
        })
    }

    pub(crate) fn into(place: Place) -> Option<Goes> {
        Some(Goes {
            labels: Vec::new(),
            place,
        })
    }

    /// With this label besides.
    pub(crate) fn and(mut self, label: &str) -> Goes {
        self.labels.push(label.to_string());
        self
    }
}

/// As `folders: ["*"]` has it where no mailbox has a use of its own: the label of the same name.
pub(crate) fn same_name(mailbox: &str) -> Option<Goes> {
    match mailbox {
        "INBOX" => Goes::to(&["\\Inbox"]),
        other => Goes::to(&[other]),
    }
}

/// Everything that is due, by bytes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Dues(HashMap<Vec<u8>, Due>);

impl Dues {
    /// Of a tree, of which each mailbox goes where `goes` says.
    pub(crate) fn of_tree(tree: &Tree, goes: impl Fn(&str) -> Option<Goes>) -> Dues {
        let mut dues = Dues::default();
        for placed in &tree.mails {
            let seen = placed.seen.then(|| "\\Seen".to_string());
            for goes in placed.mailboxes.iter().filter_map(|name| goes(name)) {
                dues.add(
                    &placed.bytes,
                    placed.date,
                    seen.iter().cloned().collect(),
                    goes,
                );
            }
        }
        dues
    }

    /// Of what a stand-in has now.
    pub(crate) fn of_source(source: &Gmail, goes: impl Fn(&str) -> Option<Goes>) -> Dues {
        let mut dues = Dues::default();
        for message in source.messages() {
            let mailbox = message.labels.iter().next().cloned().unwrap_or_default();
            let mut flags = message.flags;
            flags.remove("\\Draft");
            if let Some(goes) = goes(&mailbox) {
                dues.add(
                    &message.bytes,
                    message.internal_date.timestamp(),
                    flags,
                    goes,
                );
            }
        }
        dues
    }

    /// One message more, or one more of its mailboxes.
    pub(crate) fn add(&mut self, bytes: &[u8], date: i64, flags: BTreeSet<String>, goes: Goes) {
        let due = self.0.entry(bytes.to_vec()).or_insert_with(|| Due {
            labels: BTreeSet::new(),
            place: goes.place,
            date,
            flags,
        });
        due.labels.extend(goes.labels);
    }

    /// Of the message with these bytes.
    pub(crate) fn get_mut(&mut self, bytes: &[u8]) -> &mut Due {
        self.0
            .get_mut(bytes)
            .expect("nothing is due of this message")
    }

    /// Whether each of them is there, whatever its labels.
    pub(crate) fn are_there(&self, target: &Gmail) -> bool {
        target.messages().len() >= self.0.len()
    }

    /// Whether the target holds just what is due.
    pub(crate) fn are_met(&self, target: &Gmail) -> bool {
        self.are_there(target) && self.findings(target).is_empty()
    }

    /// What a whole Gmail holds against what is due.
    pub(crate) fn findings(&self, target: &Gmail) -> Findings {
        let mut findings = Findings::default();
        let mut there: HashMap<Vec<u8>, usize> = HashMap::new();
        for message in target.messages() {
            let what = start(&message.bytes);
            let Some(due) = self.0.get(&message.bytes) else {
                findings.wrong.push(format!("not due: {what}"));
                continue;
            };
            let copies = there.entry(message.bytes).or_default();
            *copies += 1;
            if *copies > 1 {
                findings.twice.push(what.clone());
            }
            let mut labels = message.labels;
            // The star is the flag (docs/gmail.md 3.4), which is looked at as such.
            labels.remove("\\Starred");
            if labels != due.labels {
                let missing: Vec<&String> = due.labels.difference(&labels).collect();
                let extra: Vec<&String> = labels.difference(&due.labels).collect();
                findings
                    .labels
                    .push(format!("lacks {missing:?}, has {extra:?} too: {what}"));
            }
            let date = message.internal_date.timestamp();
            if (message.place, date, &message.flags) != (due.place, due.date, &due.flags) {
                let (place, flags) = (message.place, message.flags);
                findings
                    .wrong
                    .push(format!("{place:?} {date} {flags:?}, due {due:?}: {what}"));
            }
        }
        let lost = self.0.keys().filter(|bytes| !there.contains_key(*bytes));
        findings.lost = lost.map(|bytes| start(bytes)).collect();
        findings
    }

    /// The target holds just what is due, and has no label that nothing bears, but these.
    #[track_caller]
    pub(crate) fn assert_met_but(&self, target: &Gmail, labels: &[&str]) {
        let findings = self.findings(target);
        assert!(findings.is_empty(), "{}", findings.told());
        let due = self.0.values().flat_map(|due| &due.labels);
        let mut due: BTreeSet<&str> = due
            .map(String::as_str)
            .filter(|l| !l.starts_with('\\'))
            .collect();
        due.extend(labels);
        // Parents are made for the sake of those below them, or not: both are well.
        let parents = due
            .iter()
            .flat_map(|name| name.match_indices('/').map(|(at, _)| &name[..at]));
        let parents: BTreeSet<&str> = parents.collect();
        let mailboxes = target.mailboxes();
        let own = |name: &&str| *name != "INBOX" && !name.starts_with("[Gmail]");
        let have: BTreeSet<&str> = mailboxes.iter().map(String::as_str).filter(own).collect();
        let extra: Vec<_> = have
            .difference(&due)
            .filter(|name| !parents.contains(*name))
            .collect();
        let missing: Vec<_> = due.difference(&have).collect();
        assert!(
            extra.is_empty() && missing.is_empty(),
            "labels: {extra:?} too much, {missing:?} missing"
        );
    }

    #[track_caller]
    pub(crate) fn assert_met(&self, target: &Gmail) {
        self.assert_met_but(target, &[]);
    }
}

/// What was found wrong.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) lost: Vec<String>,
    pub(crate) twice: Vec<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) wrong: Vec<String>,
}

impl Findings {
    pub(crate) fn is_empty(&self) -> bool {
        let kinds = [&self.lost, &self.twice, &self.labels, &self.wrong];
        kinds.iter().all(|found| found.is_empty())
    }

    pub(crate) fn told(&self) -> String {
        let Findings {
            lost,
            twice,
            labels,
            wrong,
        } = self;
        let kinds = [
            ("lost", lost),
            ("twice", twice),
            ("labels", labels),
            ("wrong", wrong),
        ];
        let mut out = String::new();
        for (kind, found) in kinds {
            out += &format!("{kind}: {}\n", found.len());
            for one in found.iter().take(TOLD) {
                out += &format!("  {one}\n");
            }
        }
        out
    }
}

/// What a Dovecot's mailboxes must hold: each of these names, as on the wire, just these messages.
#[track_caller]
pub(crate) fn assert_mailboxes(server: &Dovecot, user: &str, tree: &Tree, names: Names) {
    let mut listed = mailboxes(server, user);
    let mut wrong = Vec::new();
    for (name, mails) in tree.by_mailbox() {
        let wire = names.wire(name);
        if !listed.remove(&wire) {
            wrong.push(format!("{name} is not there"));
            continue;
        }
        let mut left: BTreeMap<Vec<u8>, (i64, bool)> = BTreeMap::new();
        for placed in &mails {
            left.insert(placed.bytes.clone(), (placed.date, placed.seen));
        }
        for held in server.mailbox(user, &wire) {
            let seen = held.flags.contains(&"\\Seen".to_string());
            match left.remove(&held.bytes) {
                None => wrong.push(format!(
                    "{name} has twice, or should not have: {}",
                    start(&held.bytes)
                )),
                Some(due) if due == (held.internal_date, seen) => {}
                Some(due) => {
                    wrong.push(format!("{name}: {due:?} is due of {}", start(&held.bytes)))
                }
            }
        }
        wrong.extend(
            left.keys()
                .map(|bytes| format!("{name} lacks {}", start(bytes))),
        );
    }
    for wire in listed {
        let held = server.mailbox(user, &wire);
        if !held.is_empty() {
            wrong.push(format!(
                "{wire} holds {} that nobody sent there",
                held.len()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(TOLD)].join("\n")
    );
}

/// The names of all mailboxes that can be opened, as they are on the wire.
fn mailboxes(server: &Dovecot, user: &str) -> BTreeSet<String> {
    let listed = server.client(user).command("LIST \"\" *");
    let lines = listed.iter().map(imap::Response::line);
    let open = lines.filter(|line| line.starts_with("* LIST") && !line.contains("\\Noselect"));
    let name = |line: String| {
        let (_, name) = line.split_once(") \"").unwrap();
        name[3..].trim_matches('"').to_string()
    };
    open.map(name).collect()
}

fn start(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines();
    let telling = |l: &&str| {
        let l = l.to_ascii_lowercase();
        ["message-id:", "subject:"]
            .iter()
            .any(|name| l.starts_with(name))
    };
    let found: Vec<&str> = lines.filter(telling).take(2).collect();
    if found.is_empty() {
        text.chars().take(80).collect()
    } else {
        found.join(" ")
    }
}
