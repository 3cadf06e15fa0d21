//! What became of messages whose APPEND was answered OK: each copy is looked at once.

use std::collections::{HashMap, HashSet};

use chrono::Utc;
use log::{debug, info, warn};

use super::Engine;
use super::index::{Body, TargetIndex};
use super::reader::sender_and_subject;
use super::recognise::{compared, same_name};
use super::whose::{Bytes, Rivals, Sight, Whose, whose};
use crate::error::{Error, Fault, Result};
use crate::gmail::Copy;
use crate::ledger::{Place, Verdict, Verification};
use crate::message::{Time, Uid, UidValidity};
use crate::session::SET_MAX;

impl TargetIndex<'_> {
    pub(super) fn verify(&mut self) -> Result<()> {
        for (sent, reason) in self.verified(Utc::now())? {
            self.engine.counter.note_refuted(&sent, &reason);
        }
        Ok(())
    }

    /// Looks once at each copy whose APPEND was answered OK. An OK is not yet proof: Gmail may have put
    /// the message together with another one that it took for the same (docs/gmail.md 3.2).
    /// Returns those that turned out not to be ours, and why.
    fn verified(&mut self, now: Time) -> Result<Vec<(Verification, String)>> {
        let mut waiting = self.engine.ledger.step(|l| l.unverified())?;
        let delivery = self.account.delivery().to_string();
        if !waiting.is_empty() && self.may_be_put_back() && !self.account.has_looked_at(&delivery) {
            // What lies there now where a copy lay before the mailbox went back is no copy of ours.
            self.as_of_now(&delivery)?;
            waiting = self.engine.ledger.step(|l| l.unverified())?;
        }
        let mut refuted = Vec::new();
        for set in waiting.chunks(SET_MAX) {
            let mut uids: Vec<Uid> = set.iter().filter_map(|w| w.place).map(|p| p.uid).collect();
            uids.sort_unstable();
            uids.dedup();
            let (validity, found) = if uids.is_empty() {
                (UidValidity(0), Vec::new())
            } else {
                self.delivered(&uids)?
            };
            let found: HashMap<Uid, Copy> = found.into_iter().map(|c| (c.uid, c)).collect();
            let mut verdicts: Vec<(i64, Verdict)> = Vec::with_capacity(set.len());
            let mut numbers = HashSet::new();
            for w in set {
                let copy = w
                    .place
                    .filter(|p| p.uid_validity == validity)
                    .and_then(|p| found.get(&p.uid));
                let number = copy.and_then(|c| c.gm_msgid);
                if number.is_some_and(|number| !numbers.insert(number)) {
                    // What is known of the one before decides what is to be thought of this one.
                    write_down(self.engine, &mut verdicts, now)?;
                }
                let verdict = self.verdict(w, copy)?;
                if let Verdict::NotOurs { error, .. } = &verdict {
                    refuted.push((w.clone(), error.message.clone()));
                }
                verdicts.push((w.row.id, verdict));
            }
            write_down(self.engine, &mut verdicts, now)?;
        }
        Ok(refuted)
    }

    /// What is to be thought of a copy. One that is no longer there proves nothing: its owner may have
    /// moved it.
    fn verdict(&mut self, sent: &Verification, copy: Option<&Copy>) -> Result<Verdict> {
        let gm_msgid = copy.and_then(|c| c.gm_msgid);
        let ours = |altered, merged| Verdict::Ours {
            altered,
            merged,
            gm_msgid,
        };
        let (Some(copy), Some(place)) = (copy, sent.place) else {
            return Ok(ours(false, false));
        };
        let ledger = &self.engine.ledger;
        let row = &sent.row;
        let place = Place { gm_msgid, ..place };
        let taken = ledger.step(|l| l.vouches_for_another(row.id, place))?;
        let there_before = match gm_msgid {
            Some(id) => ledger.step(|l| l.known_before_mark(row.id, id))?,
            None => false,
        };
        let known = taken || there_before;
        if !known && self.engine.looks_kept(sent, copy) {
            return Ok(ours(self.engine.lacks_flags_or_date(sent, copy), false));
        }
        let uid = copy.uid;
        let index =
            ledger.step(|l| l.index_mailbox(self.account.delivery(), place.uid_validity, uid.0))?;
        let body = match self.body(&index, uid)? {
            Body::Bytes(body) => body,
            Body::Gone => return Ok(ours(false, false)),
            Body::Unreadable => {
                warn!(
                    "message {}: its copy in the target ({} UID {uid}) cannot be compared with what was sent",
                    row.id, index.name
                );
                return Ok(ours(true, known));
            }
        };
        let (bytes, found) = compared(row, &body);
        let kept = self.account.is_gmail();
        let other = bytes == Bytes::Other;
        // What was there when it was sent was looked at then, and found to be another message.
        let named = other && kept && !there_before && {
            let (named, _) = self.described(&index, &[uid])?;
            named.iter().any(|d| same_name(d, &row.about))
        };
        let rivals = if !named || !ledger.step(|l| l.has_rivals(row))? {
            Rivals::None
        } else if ledger.step(|l| l.has_unknown_rivals(row))? {
            Rivals::Unknown
        } else {
            Rivals::Known
        };
        let sight = Sight {
            bytes,
            named,
            taken,
            anothers_bytes: other && ledger.step(|l| l.has_bytes_of_another(row.id, &found))?,
            rivals,
            kept,
        };
        match whose(&sight) {
            Whose::Ours { altered } | Whose::Shared { altered } => {
                if altered && !sent.altered {
                    self.engine.bytes_differ(sent, &body, true);
                }
                let lacks = !known && self.engine.lacks_flags_or_date(sent, copy);
                Ok(ours(altered || lacks, known))
            }
            Whose::ByName { .. } => {
                info!(
                    "message {}: Gmail keeps another copy of it, which another route or tool brought",
                    row.id
                );
                Ok(Verdict::Found { gm_msgid })
            }
            Whose::NotOurs | Whose::Undecided if kept => {
                let (sender, subject) = sender_and_subject(&body);
                let error = Error::new(
                    Fault::Permanent,
                    "Gmail keeps only one of two messages with this Message-ID and Date",
                );
                warn!("message {} failed: {error}", row.id);
                Ok(Verdict::NotOurs {
                    error,
                    sender,
                    subject,
                })
            }
            // Its UID was told wrongly: that proves nothing.
            Whose::NotOurs | Whose::Undecided if taken || sight.anothers_bytes => {
                debug!(
                    "message {}: the target told the place of another message for it",
                    row.id
                );
                Ok(Verdict::Misplaced)
            }
            Whose::NotOurs | Whose::Undecided => {
                self.engine.bytes_differ(sent, &body, false);
                Ok(ours(true, false))
            }
        }
    }
}

fn write_down(engine: &Engine, verdicts: &mut Vec<(i64, Verdict)>, now: Time) -> Result<()> {
    let verdicts = std::mem::take(verdicts);
    let with_them = engine.ledger.step(|l| l.verified(&verdicts, now))?;
    if with_them > 0 {
        warn!("failed with it, for their bytes are the same: {with_them}");
    }
    Ok(())
}
