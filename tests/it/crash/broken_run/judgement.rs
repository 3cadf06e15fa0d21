//! What must have come of a run that was broken off, judged by looking into both mailboxes and into the ledger.

use std::collections::HashMap;
use std::process::Child;

use super::{BrokenRun, Ends, Fate, Letter, T0};
use crate::testkit::proxy::Side;
use crate::testkit::route::{Route, wait_for_end};

/// What was found wrong after a run.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) lost: usize,
    pub(crate) twice: usize,
    pub(crate) wrong: Vec<String>,
}

impl Findings {
    pub(crate) fn is_bad(&self) -> bool {
        self.lost + self.twice > 0 || !self.wrong.is_empty()
    }
}

/// A message as the target holds it.
struct Held {
    bytes: Vec<u8>,
    flags: Vec<String>,
    date: i64,
}

impl Findings {
    /// Lets a run go to its end, and where it leaves something, so many after it: the last one must leave nothing.
    pub(crate) fn go_on(&mut self, route: &Route, child: Child, again: usize) {
        let mut ended = wait_for_end(child);
        for _ in 0..again {
            if ended != Ok(3) {
                break;
            }
            ended = wait_for_end(route.spawn(&[]));
        }
        match ended {
            Ok(0) => {}
            Ok(status) => self.wrong.push(format!("status {status} again and again")),
            Err(why) => self.wrong.push(why),
        }
    }
}

impl BrokenRun<'_> {
    pub(crate) fn judge(&self, findings: &mut Findings) {
        self.judge_target(findings);
        self.judge_ledger(findings);
        self.judge_source(findings);
    }

    /// Every message once, with its bytes, date and flags.
    fn judge_target(&self, findings: &mut Findings) {
        let mut copies: HashMap<Vec<u8>, usize> = HashMap::new();
        for held in self.held() {
            *copies.entry(held.bytes.clone()).or_default() += 1;
            let of_bytes = self.letters.iter().filter(|l| l.bytes == held.bytes);
            let fits = |l: &Letter| match l.fate {
                Fate::There => held.date == T0 - 60 && held.flags.is_empty(),
                Fate::Refused(_) => false,
                _ => held.date == l.date && held.flags == l.flags,
            };
            if !of_bytes.clone().any(fits) {
                findings.wrong.push(format!(
                    "the target holds, dated {} and flagged {:?}: {}",
                    held.date,
                    held.flags,
                    String::from_utf8_lossy(&held.bytes[..held.bytes.len().min(200)])
                ));
            }
        }
        findings.twice += copies.values().map(|n| n - 1).sum::<usize>();
        let mut wanted: Vec<&Letter> = self.letters.iter().collect();
        wanted.retain(|l| !matches!(l.fate, Fate::Refused(_)));
        let merged = wanted.iter().filter(|l| l.fate == Fate::Merged);
        let merged: usize = merged.filter_map(|l| copies.get(&l.bytes)).sum();
        if wanted.iter().any(|l| l.fate == Fate::Merged) {
            findings.lost += usize::from(merged == 0);
            findings.twice += merged.saturating_sub(1);
        }
        let lost = |l: &&Letter| l.fate != Fate::Merged && !copies.contains_key(&l.bytes);
        findings.lost += wanted.into_iter().filter(lost).count();
    }

    fn judge_ledger(&self, findings: &mut Findings) {
        let db = self.sql();
        let mut query = db
            .prepare(
                "SELECT source_uid, status, coalesce(proof, ''), coalesce(last_error, ''), attempt, altered, unseen,
                        first_failed_at IS NOT NULL, mark_id IS NOT NULL, proof = 'appended' AND verified_at IS NULL
                   FROM message ORDER BY source_uid",
            )
            .unwrap();
        let mut rows = query.query([]).unwrap();
        let (mut same, mut merged_failed) = (0, 0);
        let mut seen = 0;
        while let Some(row) = rows.next().unwrap() {
            seen += 1;
            let uid: usize = row.get(0).unwrap();
            let text = |at| row.get::<_, String>(at).unwrap();
            let (status, proof, error) = (text(1), text(2), text(3));
            let attempt: i64 = row.get(4).unwrap();
            let flag = |at| row.get::<_, Option<i64>>(at).unwrap().unwrap_or(0) != 0;
            let (altered, unseen, charged, marked, unverified) =
                (flag(5), flag(6), flag(7), flag(8), flag(9));
            let Some(letter) = self.letters.get(uid - 1) else {
                findings.wrong.push(format!("a row for UID {uid}"));
                continue;
            };
            same += usize::from(proof == "same");
            let failed_as = match letter.fate {
                Fate::Refused(words) => Some(words),
                Fate::Merged if status == "failed" => {
                    merged_failed += 1;
                    Some("Gmail keeps only one of two messages")
                }
                _ => None,
            };
            let well = match (failed_as, letter.fate) {
                (Some(words), _) => status == "failed" && error.contains(words),
                (None, Fate::There) => proof == "found",
                (None, Fate::Same) => ["appended", "found", "same"].contains(&&*proof),
                (None, _) => ["appended", "found"].contains(&&*proof),
            };
            let well = well
                && (failed_as.is_some() || (status == "delivered" && !charged && error.is_empty()))
                && !(altered || unseen || marked || unverified)
                && (1..=4).contains(&attempt);
            if !well {
                findings.wrong.push(format!(
                    "UID {uid} is {status} {proof} {error}, attempt {attempt}, altered {altered}, unseen {unseen}, \
                     charged {charged}, marked {marked}, unverified {unverified}; expected {:?}",
                    letter.fate
                ));
            }
        }
        if seen != self.letters.len() {
            findings.wrong.push(format!("{seen} rows"));
        }
        let count = |fate| self.letters.iter().filter(|l| l.fate == fate).count();
        if same != count(Fate::Same) / 2 || merged_failed != count(Fate::Merged) / 2 {
            findings.wrong.push(format!(
                "{same} rows `same`, {merged_failed} failed as merged"
            ));
        }
    }

    /// It was only looked at, and is as it was.
    fn judge_source(&self, findings: &mut Findings) {
        for line in self.source.said(Side::ToServer) {
            let (_, command) = line.split_once(' ').unwrap_or(("", &line));
            let reads = [
                "EXAMINE ",
                "UID SEARCH ",
                "UID FETCH ",
                "FETCH ",
                "NOOP",
                "LOGOUT",
            ];
            let enters = ["CAPABILITY", "LOGIN ", "AUTHENTICATE ", "ID ("];
            let known = reads
                .iter()
                .chain(&enters)
                .any(|verb| command.starts_with(verb));
            let marks_seen = command.contains("BODY[") || command.contains("RFC822 ");
            if !known || marks_seen {
                findings
                    .wrong
                    .push(format!("the source was told: {line:?}"));
            }
        }
        let now: Vec<(Vec<u8>, Vec<String>)> = match &self.ends {
            Ends::Gmail { source, .. } => {
                let all = source.messages().into_iter();
                all.map(|m| (m.bytes, m.flags.into_iter().collect()))
                    .collect()
            }
            Ends::Dovecot {
                source, account, ..
            } => {
                let all = source.mailbox(account, "INBOX").into_iter();
                all.map(|m| (m.bytes, m.flags)).collect()
            }
        };
        let was = self.letters.iter();
        let was = was.map(|l| {
            (
                l.bytes.clone(),
                l.flags.iter().map(ToString::to_string).collect(),
            )
        });
        if now != was.collect::<Vec<(Vec<u8>, Vec<String>)>>() {
            findings.wrong.push("the source is not as it was".into());
        }
    }

    fn held(&self) -> Vec<Held> {
        match &self.ends {
            Ends::Gmail { target, .. } => {
                let all = target.messages().into_iter();
                all.map(|m| Held {
                    bytes: m.bytes,
                    flags: m.flags.into_iter().collect(),
                    date: m.internal_date.timestamp(),
                })
                .collect()
            }
            Ends::Dovecot {
                target, account, ..
            } => {
                let all = target.mailbox(account, "INBOX").into_iter();
                all.map(|m| Held {
                    bytes: m.bytes,
                    flags: m.flags,
                    date: m.internal_date,
                })
                .collect()
            }
        }
    }
}
