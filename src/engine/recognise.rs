//! What does the target hold of ours? Recognising, resolving, verifying: three questions to the
//! mailboxes of the index, answered by looking.
//!
//! Presence is proved by a message that was seen in this session. Absence counts only in a view of
//! this moment. SEARCH by header decides nothing (gmail.md 4.4). A message of the target that cannot
//! be read vouches for no row that was never sent: a copy that nobody can read is no copy. But where
//! one came after a row was sent, and may be that row's, the row is not sent again.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use chrono::TimeDelta;
use log::warn;

use super::Engine;
use super::index::{self, Body, Since, begin_at, cover, described, since};
use super::reader::sender_and_subject;
use crate::error::{Error, Fault, Result};
use crate::gmail::{Account, Copy, DELIVERY};
use crate::ledger::{IndexMailbox, Place, Row, Shared, Verdict, Verification};
use crate::message::{Discovered, Time, Uid, UidValidity, canonical_hash, sha256};
use crate::session::SET_MAX;

/// Mail may be dated this much before it came.
const DATE_SLACK: TimeDelta = TimeDelta::days(2);

/// A row whose APPEND ended unseen, and what looking found.
pub(super) struct Resolved {
    pub(super) row: Row,
    /// Where it is, and whether its bytes differ.
    pub(super) found: Option<(Place, bool)>,
    /// It was not found, but a message that cannot be read may be it.
    pub(super) hidden: bool,
}

/// Messages of the target that are, by Message-ID and Date, copies of these rows: seen in this
/// session, vouching for no other row. The index is first filled down to where they can lie.
pub(super) fn copies(
    account: &mut Account,
    engine: &Engine,
    boxes: &mut [IndexMailbox],
    rows: &[Row],
    now: Time,
) -> Result<HashMap<i64, Vec<Place>>> {
    let named: Vec<&Row> = rows
        .iter()
        .filter(|r| r.about.message_id.is_some())
        .collect();
    let Some(oldest) = named.iter().map(|r| earliest(r)).min() else {
        return Ok(HashMap::new());
    };
    for index in boxes.iter_mut() {
        cover(account, engine, index, oldest - DATE_SLACK, now)?;
    }
    let mut hits: Vec<(&Row, Place)> = Vec::new();
    engine.ledger.step(|l| {
        for row in &named {
            if let Some(id) = &row.about.message_id {
                let found = l.index_hits(id, row.about.date.as_deref())?;
                hits.extend(found.into_iter().map(|place| (*row, place)));
            }
        }
        Ok(())
    })?;
    let mut confirmed: HashMap<i64, Vec<Place>> = HashMap::new();
    for index in boxes.iter() {
        let here: Vec<(&Row, Place)> = hits
            .iter()
            .copied()
            .filter(|(_, p)| p.mailbox == index.id)
            .collect();
        let mut uids: Vec<Uid> = here.iter().map(|(_, place)| place.uid).collect();
        if uids.is_empty() {
            continue;
        }
        uids.sort_unstable();
        uids.dedup();
        let (readable, unreadable) = described(account, engine, index, &uids)?;
        let there: HashMap<Uid, Discovered> = readable.into_iter().map(|d| (d.uid, d)).collect();
        for (row, place) in here {
            match there.get(&place.uid) {
                Some(seen) if same_name(seen, &row.about) => {
                    confirmed.entry(row.id).or_default().push(place)
                }
                Some(_) => {}
                // It is there, and a UID does not change its meaning: its name is the one it had.
                None if unreadable.iter().any(|d| d.uid == place.uid) => {
                    confirmed.entry(row.id).or_default().push(place)
                }
                None => engine.ledger.step(|l| l.index_forget(place))?,
            }
        }
    }
    Ok(confirmed)
}

fn same_name(a: &Discovered, b: &Discovered) -> bool {
    a.message_id.is_some()
        && a.message_id.as_ref().map(|m| m.hash) == b.message_id.as_ref().map(|m| m.hash)
        && a.date == b.date
}

/// A copy cannot have come before its message was written, nor be dated before it.
fn earliest(row: &Row) -> Time {
    let written = row
        .about
        .date
        .as_deref()
        .and_then(|d| mailparse::dateparse(d).ok())
        // 0 also stands for "cannot be read".
        .filter(|t| *t != 0)
        .and_then(|t| Time::from_timestamp(t, 0));
    written.map_or(row.internal_date, |w| w.min(row.internal_date))
}

/// Looks for rows whose APPEND ended unseen, at and above their marks in a view of this moment.
/// One message of the target for one row.
pub(super) fn resolve(
    account: &mut Account,
    engine: &Engine,
    rows: Vec<Row>,
    now: Time,
) -> Result<Vec<Resolved>> {
    let ledger = &engine.ledger;
    let mut resolved: Vec<Resolved> = rows
        .into_iter()
        .map(|row| Resolved {
            row,
            found: None,
            hidden: false,
        })
        .collect();
    let mut taken: HashSet<(i64, Uid)> = HashSet::new();
    for name in account.index_mailboxes() {
        let view = account.view(&name, true)?;
        // A mailbox that was not looked into when the mark was made has no number yet.
        let latest = begin_at(&view);
        let index = ledger.step(|l| l.index_mailbox(&name, view.uid_validity, latest))?;
        let mut looked: HashMap<Option<u32>, Candidates> = HashMap::new();
        for one in resolved.iter_mut().filter(|r| r.found.is_none()) {
            let from = beginning(ledger, &one.row, index.id, view.uid_validity)?;
            let candidates = match looked.get(&from) {
                Some(candidates) => candidates,
                None => {
                    let seen = candidates(account, engine, &index, from)?;
                    looked.entry(from).or_insert(seen)
                }
            };
            for candidate in likely(candidates, &one.row) {
                let place = Place {
                    mailbox: index.id,
                    uid_validity: view.uid_validity,
                    uid: candidate.uid,
                    gm_msgid: candidate.gm_msgid,
                };
                if taken.contains(&(index.id, candidate.uid))
                    || ledger.step(|l| l.vouches(place))?
                {
                    continue;
                }
                let altered = match index::body(account, engine, &index, candidate.uid)? {
                    Body::Gone => continue,
                    Body::Bytes(body) => {
                        let (Some(sha), Some(canonical)) = (&one.row.sha256, &one.row.canonical)
                        else {
                            continue;
                        };
                        copy_of(ledger, one.row.id, (sha, canonical), &body)?
                    }
                    Body::Unreadable => {
                        let outside = index::from_outside(account, engine, &index, candidate.uid)?;
                        match from_outside(candidate, &outside, &one.row, now) {
                            Some(true) => Some(outside.size != one.row.about.size),
                            Some(false) => None,
                            None => {
                                one.hidden = true;
                                None
                            }
                        }
                    }
                };
                if let Some(altered) = altered {
                    taken.insert((index.id, candidate.uid));
                    one.found = Some((place, altered));
                    break;
                }
            }
        }
    }
    Ok(resolved)
}

/// Messages of an index mailbox among which a row may be, the unreadable ones too.
type Candidates = Vec<Discovered>;

/// What the mailbox holds from `from` on, as of this moment; None: all of it.
fn candidates(
    account: &mut Account,
    engine: &Engine,
    index: &IndexMailbox,
    from: Option<u32>,
) -> Result<Candidates> {
    let (mut seen, unreadable) = match from {
        Some(from) => {
            let Since {
                view,
                arrived,
                unreadable,
                ..
            } = since(account, engine, index, from, &[])?;
            if view.uid_validity != index.uid_validity {
                return Err(Error::connection(format!(
                    "{} of the target has new UIDs",
                    index.name
                )));
            }
            (arrived, unreadable)
        }
        None => {
            account.view(&index.name, false)?;
            let uids = account.uids_from(1)?;
            described(account, engine, index, &uids)?
        }
    };
    seen.extend(unreadable);
    Ok(seen)
}

/// Is a message that cannot be read the row's? It came after the row was sent; with that its name
/// decides, or the date that our APPEND gave it, and its size. None: nobody can tell.
fn from_outside(
    candidate: &Discovered,
    outside: &Discovered,
    row: &Row,
    now: Time,
) -> Option<bool> {
    if outside.size.is_some_and(|size| !about(row).contains(&size)) {
        return Some(false);
    }
    if same_name(candidate, &row.about) {
        return Some(true);
    }
    // Gmail replaces other dates by its own (gmail.md 3.3).
    let honoured = (Time::UNIX_EPOCH..=now).contains(&row.internal_date);
    match outside.internal_date {
        Some(date) if date == row.internal_date => Some(true),
        Some(_) if honoured => Some(false),
        _ => None,
    }
}

/// Are these bytes of the target a copy of the row's message, and were they altered? Servers rewrite
/// line ends, but bytes that are exactly another row's are its copy: where the target gave no UID for
/// it, or new ones since, or the other one is open too, only they tell.
pub(super) fn copy_of(
    ledger: &Shared,
    row: i64,
    (sha, canonical): (&[u8; 32], &[u8; 32]),
    body: &[u8],
) -> Result<Option<bool>> {
    let found = sha256(body);
    if found == *sha {
        return Ok(Some(false));
    }
    let like = canonical_hash(body) == *canonical;
    let another = like && ledger.step(|l| l.has_bytes_of_another(row, &found))?;
    Ok((like && !another).then_some(true))
}

/// Where to begin looking for a row in this mailbox: at the mark's UIDNEXT; everywhere (None) with
/// new UIDs since then, and where the mark knows nothing of this mailbox: All Mail was hidden then,
/// or the delivery mailbox serves in its place now.
fn beginning(ledger: &Shared, row: &Row, index: i64, validity: UidValidity) -> Result<Option<u32>> {
    let Some(mark) = row.mark else {
        return Ok(None);
    };
    let marks = ledger.step(|l| l.marks(mark))?;
    Ok(marks
        .into_iter()
        .find(|m| m.mailbox == index && m.uid_validity == validity)
        .map(|m| m.uid_next))
}

/// Candidates for a row, best first: those that bear its name, then any of about its size, since a
/// server may show a malformed header otherwise. Their bytes decide.
fn likely<'a>(candidates: &'a [Discovered], row: &Row) -> Vec<&'a Discovered> {
    let (mut named, others): (Vec<_>, Vec<_>) =
        candidates.iter().partition(|c| same_name(c, &row.about));
    let about = about(row);
    named.extend(
        others
            .into_iter()
            .filter(|c| c.size.is_none_or(|s| about.contains(&s))),
    );
    named
}

/// The sizes that a copy may have: a server that turns each LF into CRLF, or drops CRs, at most
/// doubles or halves it.
fn about(row: &Row) -> RangeInclusive<u64> {
    let ours = row.about.size.unwrap_or(0);
    (ours / 2).saturating_sub(16)..=ours * 2 + 16
}

/// Looks once at each copy whose APPEND was answered OK. An OK is not yet proof: Gmail may have put
/// the message together with another one that it took for the same (gmail.md 3.2).
/// Returns those that turned out not to be ours, and why.
pub(super) fn verify(
    account: &mut Account,
    engine: &Engine,
    now: Time,
) -> Result<Vec<(Verification, String)>> {
    let waiting = engine.ledger.step(|l| l.unverified())?;
    let mut refuted = Vec::new();
    for set in waiting.chunks(SET_MAX) {
        let mut uids: Vec<Uid> = set.iter().filter_map(|w| w.place).map(|p| p.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        let (validity, found) = match uids.is_empty() {
            true => (UidValidity(0), Vec::new()),
            false => index::delivered(account, engine, &uids)?,
        };
        let found: HashMap<Uid, Copy> = found.into_iter().map(|c| (c.uid, c)).collect();
        let mut verdicts = Vec::with_capacity(set.len());
        for w in set {
            let copy = w
                .place
                .filter(|p| p.uid_validity == validity)
                .and_then(|p| found.get(&p.uid));
            verdicts.push((w.id, verdict(account, engine, w, copy)?));
        }
        engine.ledger.step(|l| l.verified(&verdicts, now))?;
        for (w, (_, verdict)) in set.iter().zip(verdicts) {
            if let Verdict::NotOurs { error, .. } = verdict {
                refuted.push((w.clone(), error.message));
            }
        }
    }
    Ok(refuted)
}

/// What is to be thought of a copy. One that is no longer there proves nothing: its owner may have
/// moved it.
fn verdict(
    account: &mut Account,
    engine: &Engine,
    sent: &Verification,
    copy: Option<&Copy>,
) -> Result<Verdict> {
    let gm_msgid = copy.and_then(|c| c.gm_msgid);
    let ours = |altered, merged| Verdict::Ours {
        altered,
        merged,
        gm_msgid,
    };
    let (Some(Copy { uid, size, .. }), Some(place)) = (copy.copied(), sent.place) else {
        return Ok(ours(false, false));
    };
    let known = match gm_msgid {
        Some(id) => engine.ledger.step(|l| l.known_before_mark(sent.id, id))?,
        None => false,
    };
    if !known && size == sent.size {
        return Ok(ours(false, false));
    }
    let index = engine
        .ledger
        .step(|l| l.index_mailbox(DELIVERY, place.uid_validity, uid.0))?;
    let body = match index::body(account, engine, &index, uid)? {
        Body::Bytes(body) => body,
        Body::Gone => return Ok(ours(false, false)),
        Body::Unreadable => {
            warn!(
                "message {}: its copy in the target ({DELIVERY} UID {uid}) cannot be compared with what was sent",
                sent.id
            );
            return Ok(ours(true, known));
        }
    };
    if Some(canonical_hash(&body)) == sent.canonical {
        return Ok(ours(Some(sha256(&body)) != sent.sha256, known));
    }
    if account.is_gmail() {
        let (sender, subject) = sender_and_subject(&body);
        let error = Error::new(
            Fault::Permanent,
            "Gmail keeps only one of two messages with this Message-ID and Date",
        );
        warn!("message {} failed: {error}", sent.id);
        return Ok(Verdict::NotOurs {
            error,
            sender,
            subject,
        });
    }
    warn!(
        "message {}: its copy in the target ({DELIVERY} UID {uid}) has other content than was sent",
        sent.id
    );
    Ok(ours(true, false))
}
