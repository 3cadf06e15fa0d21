//! What does the target hold? The index, recognising, resolving, verifying: four questions to the
//! same mailboxes, answered by looking.
//!
//! Presence is proved by a message that was seen in this session. Absence counts only in a view of
//! this moment. SEARCH by header decides nothing (gmail.md 4.4).

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use log::warn;

use crate::error::Result;
use crate::gmail::{Account, DELIVERY};
use crate::ledger::{IndexMailbox, Indexed, Mark, Place, Row, Shared};
use crate::message::{Discovered, Time, Uid, UidValidity, canonical_hash};
use crate::session::SET_MAX;

/// The index begins this far below UIDNEXT: a search for older mail may not know the newest.
const LATEST: u32 = 200;
/// Mail may be dated this much before it came.
const DATE_SLACK: TimeDelta = TimeDelta::days(2);
/// The index reaches back at least this far, and twice as far with each step.
const FIRST_REACH: TimeDelta = TimeDelta::days(30);

/// A row whose APPEND ended unseen, and what looking found.
pub(super) struct Resolved {
    pub(super) row: Row,
    /// Where it is, and whether its bytes differ.
    pub(super) found: Option<(Place, bool)>,
}

/// Brings the index of each mailbox up to this moment. What it returns is where resolution would
/// begin to look for what is sent from now on.
pub(super) fn refresh(account: &mut Account, ledger: &Shared) -> Result<Vec<IndexMailbox>> {
    let mut boxes = Vec::new();
    for name in account.index_mailboxes() {
        let view = account.view(name, false)?;
        let latest = view.uid_next.saturating_sub(LATEST).max(1);
        let mut index = ledger.step(|l| l.index_mailbox(name, view.uid_validity, latest))?;
        if view.uid_next.saturating_sub(index.next_uid) > LATEST {
            for set in account.uids_from(index.next_uid)?.chunks(SET_MAX) {
                let seen = account.metadata(set)?;
                index.next_uid = set.last().map_or(index.next_uid, |u| u.0 + 1);
                ledger.step(|l| l.index_record(&index, &seen))?;
            }
        }
        let seen = account.from(index.next_uid)?;
        if let Some(last) = seen.iter().map(|d| d.uid.0).max() {
            index.next_uid = last + 1;
            ledger.step(|l| l.index_record(&index, &seen))?;
        }
        boxes.push(index);
    }
    Ok(boxes)
}

/// Where each index mailbox stands, for the mark.
pub(super) fn marks(boxes: &[IndexMailbox]) -> Vec<Mark> {
    boxes
        .iter()
        .map(|b| Mark {
            mailbox: b.id,
            uid_validity: b.uid_validity,
            uid_next: b.next_uid,
        })
        .collect()
}

/// Messages of the target that are, by Message-ID and Date, copies of these rows: seen in this
/// session, vouching for no other row. The index is first filled down to where they can lie.
pub(super) fn copies(
    account: &mut Account,
    ledger: &Shared,
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
        cover(account, ledger, index, oldest - DATE_SLACK, now)?;
    }
    let mut hits: Vec<(i64, Indexed, &Row)> = Vec::new();
    ledger.step(|l| {
        for row in &named {
            if let Some(id) = &row.about.message_id {
                let found = l.index_hits(id, row.about.date.as_deref())?;
                hits.extend(found.into_iter().map(|hit| (row.id, hit, *row)));
            }
        }
        Ok(())
    })?;
    let mut confirmed: HashMap<i64, Vec<Place>> = HashMap::new();
    for index in boxes.iter() {
        let mut uids: Vec<Uid> = hits
            .iter()
            .filter(|(_, hit, _)| hit.place.mailbox == index.id)
            .map(|(_, hit, _)| hit.place.uid)
            .collect();
        if uids.is_empty() {
            continue;
        }
        uids.sort_unstable();
        uids.dedup();
        account.view(&index.name, false)?;
        let there: HashMap<Uid, Discovered> = account
            .metadata(&uids)?
            .into_iter()
            .map(|d| (d.uid, d))
            .collect();
        for (id, hit, row) in hits
            .iter()
            .filter(|(_, hit, _)| hit.place.mailbox == index.id)
        {
            match there.get(&hit.place.uid) {
                Some(seen) if same_name(seen, &row.about) => {
                    confirmed.entry(*id).or_default().push(hit.place)
                }
                Some(_) => {}
                None => ledger.step(|l| l.index_forget(hit.place))?,
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

/// Fills the index downwards until it knows every message dated since `needed`.
fn cover(
    account: &mut Account,
    ledger: &Shared,
    index: &mut IndexMailbox,
    needed: Time,
    now: Time,
) -> Result<()> {
    if index.covered_since.is_some_and(|covered| needed >= covered) {
        return Ok(());
    }
    let reach = index
        .covered_since
        .map_or(FIRST_REACH, |covered| (now - covered) * 2);
    let since = needed.min(now - reach.max(FIRST_REACH));
    let view = account.view(&index.name, false)?;
    let uids = account.dated_between(&view, since, index.covered_since)?;
    for set in uids.rchunks(SET_MAX) {
        let seen = account.metadata(set)?;
        ledger.step(|l| l.index_record(index, &seen))?;
    }
    index.covered_since = Some(since);
    ledger.step(|l| l.index_record(index, &[]))
}

/// Looks for rows whose APPEND ended unseen, at and above their marks in a view of this moment.
/// One message of the target for one row.
pub(super) fn resolve(
    account: &mut Account,
    ledger: &Shared,
    rows: Vec<Row>,
) -> Result<Vec<Resolved>> {
    let mut resolved: Vec<Resolved> = rows
        .into_iter()
        .map(|row| Resolved { row, found: None })
        .collect();
    let mut taken: HashSet<(i64, Uid)> = HashSet::new();
    for name in account.index_mailboxes() {
        let view = account.view(name, true)?;
        let mut looked: HashMap<Option<u32>, Vec<Discovered>> = HashMap::new();
        for one in resolved.iter_mut().filter(|r| r.found.is_none()) {
            let Some((index, from)) = beginning(ledger, &one.row, name, view.uid_validity)? else {
                continue;
            };
            let candidates = match looked.get(&from) {
                Some(candidates) => candidates,
                None => {
                    let seen = match from {
                        Some(from) => account.from(from)?,
                        None => {
                            let uids = account.uids_from(1)?;
                            account.metadata(&uids)?
                        }
                    };
                    looked.entry(from).or_insert(seen)
                }
            };
            for candidate in likely(candidates, &one.row) {
                let place = Place {
                    mailbox: index,
                    uid_validity: view.uid_validity,
                    uid: candidate.uid,
                };
                if taken.contains(&(index, candidate.uid)) || ledger.step(|l| l.vouches(place))? {
                    continue;
                }
                let Some(body) = account.body(candidate.uid)? else {
                    continue;
                };
                if one.row.canonical == Some(canonical_hash(&body)) {
                    taken.insert((index, candidate.uid));
                    let altered = one.row.sha256 != Some(crate::message::sha256(&body));
                    one.found = Some((place, altered));
                    break;
                }
            }
        }
    }
    Ok(resolved)
}

/// Where to begin looking for a row in this mailbox: at the mark's UIDNEXT; with new UIDs since
/// then (None) everywhere. The first number is the mailbox's id.
fn beginning(
    ledger: &Shared,
    row: &Row,
    name: &str,
    validity: UidValidity,
) -> Result<Option<(i64, Option<u32>)>> {
    let Some(mark) = row.mark else {
        return Ok(None);
    };
    ledger.step(|l| {
        let Some(id) = l.index_id(name)? else {
            return Ok(None);
        };
        Ok(l.marks(mark)?
            .into_iter()
            .find(|m| m.mailbox == id)
            .map(|m| (id, (m.uid_validity == validity).then_some(m.uid_next))))
    })
}

/// Candidates for a row, best first: those that bear its name, then any of about its size, since a
/// server may show a malformed header otherwise. Their bytes decide.
fn likely<'a>(candidates: &'a [Discovered], row: &Row) -> Vec<&'a Discovered> {
    let (mut named, others): (Vec<_>, Vec<_>) =
        candidates.iter().partition(|c| same_name(c, &row.about));
    let ours = row.about.size.unwrap_or(0);
    // A server that turns each LF into CRLF, or drops CRs, at most doubles or halves it.
    let about = (ours / 2).saturating_sub(16)..=ours * 2 + 16;
    named.extend(
        others
            .into_iter()
            .filter(|c| c.size.is_none_or(|s| about.contains(&s))),
    );
    named
}

/// Looks once at each copy whose APPEND was answered OK: is it ours, and of the size that we sent?
pub(super) fn verify(account: &mut Account, ledger: &Shared, now: Time) -> Result<()> {
    let waiting = ledger.step(|l| l.unverified())?;
    if waiting.is_empty() {
        return Ok(());
    }
    let view = account.view(DELIVERY, false)?;
    let mut uids: Vec<Uid> = waiting
        .iter()
        .filter_map(|w| w.place)
        .filter(|p| p.uid_validity == view.uid_validity)
        .map(|p| p.uid)
        .collect();
    uids.sort_unstable();
    uids.dedup();
    let mut sizes: HashMap<Uid, Option<u64>> = HashMap::new();
    for set in uids.chunks(SET_MAX) {
        sizes.extend(account.sizes(DELIVERY, set)?);
    }
    let mut looked_at = Vec::with_capacity(waiting.len());
    for w in waiting {
        let uid = w
            .place
            .filter(|p| p.uid_validity == view.uid_validity)
            .map(|p| p.uid);
        // A copy that is no longer there proves nothing: its owner may have moved it.
        let altered = match uid.and_then(|uid| Some((uid, *sizes.get(&uid)?))) {
            Some((uid, size)) if size != w.size => match account.body(uid)? {
                Some(body) if Some(canonical_hash(&body)) == w.canonical => true,
                Some(_) => {
                    warn!(
                        "message {}: its copy in the target ({DELIVERY} UID {uid}) has other content than was sent",
                        w.id
                    );
                    true
                }
                None => false,
            },
            _ => false,
        };
        looked_at.push((w.id, altered));
    }
    ledger.step(|l| l.verified(&looked_at, now))
}
