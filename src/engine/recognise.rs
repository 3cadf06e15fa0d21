//! What does the target hold? The index, recognising, resolving, verifying: four questions to the
//! same mailboxes, answered by looking.
//!
//! Presence is proved by a message that was seen in this session. Absence counts only in a view of
//! this moment. SEARCH by header decides nothing (gmail.md 4.4).

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use log::warn;

use super::reader::sender_and_subject;
use crate::config::Since;
use crate::error::{Error, Fault, Result};
use crate::gmail::{Account, Copy, DELIVERY};
use crate::ledger::{IndexMailbox, Mark, Place, Row, Shared, Verdict, Verification};
use crate::message::{Discovered, Time, Uid, UidValidity, canonical_hash, sha256};
use crate::session::{SET_MAX, View};

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

/// Brings the index of each mailbox up to this moment, in one flight where nothing moved but the
/// first. What it returns is where resolution would begin to look for what is sent from now on.
pub(super) fn refresh(account: &mut Account, ledger: &Shared) -> Result<Vec<IndexMailbox>> {
    let names = account.index_mailboxes();
    let Some((first, others)) = names.split_first() else {
        return Ok(Vec::new());
    };
    let (index, moved) = catch_up(account, ledger, first, others)?;
    let mut boxes = vec![index];
    for (name, moved) in others.iter().zip(moved) {
        let known = ledger.step(|l| l.index_known(name))?;
        let unmoved = known
            .filter(|k| moved.is_some_and(|(v, next)| v == k.uid_validity && next <= k.next_uid));
        boxes.push(match unmoved {
            Some(index) => index,
            None => catch_up(account, ledger, name, &[])?.0,
        });
    }
    Ok(boxes)
}

/// Where another mailbox stands: UIDVALIDITY and UIDNEXT, where the server told them.
type Standing = Option<(UidValidity, u32)>;

/// Brings the index of one mailbox up to this moment, and tells where `others` stand.
fn catch_up(
    account: &mut Account,
    ledger: &Shared,
    name: &str,
    others: &[String],
) -> Result<(IndexMailbox, Vec<Standing>)> {
    let known = ledger.step(|l| l.index_known(name))?;
    let mut index = match known.filter(|_| account.has_looked_at(name)) {
        Some(index) => index,
        None => first_look(account, ledger, name)?,
    };
    let mut news = account.news(name, index.next_uid, others)?;
    if news.view.uid_validity != index.uid_validity {
        index = first_look(account, ledger, name)?;
        news = account.news(name, index.next_uid, others)?;
    }
    if let Some(last) = news.arrived.iter().map(|d| d.uid.0).max() {
        index.next_uid = last.saturating_add(1);
        ledger.step(|l| l.index_record(&index, &news.arrived))?;
    }
    Ok((index, news.others))
}

/// A session's first look at an index mailbox: are its UIDs still the ones we know? What came since
/// another session last looked may be much, and is taken in sets.
fn first_look(account: &mut Account, ledger: &Shared, name: &str) -> Result<IndexMailbox> {
    let view = account.view(name, true)?;
    let latest = begin_at(&view);
    let mut index = ledger.step(|l| l.index_mailbox(name, view.uid_validity, latest))?;
    if view.uid_next.saturating_sub(index.next_uid) > LATEST {
        for set in account.uids_from(index.next_uid)?.chunks(SET_MAX) {
            let seen = account.metadata(set)?;
            index.next_uid = set.last().map_or(index.next_uid, |u| u.0.saturating_add(1));
            ledger.step(|l| l.index_record(&index, &seen))?;
        }
    }
    Ok(index)
}

/// Where the index of a mailbox begins that is looked at for the first time.
fn begin_at(view: &View) -> u32 {
    view.uid_next.saturating_sub(LATEST).max(1)
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
    let mut hits: Vec<(&Row, Place)> = Vec::new();
    ledger.step(|l| {
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
        account.view(&index.name, false)?;
        let there: HashMap<Uid, Discovered> = account
            .metadata(&uids)?
            .into_iter()
            .map(|d| (d.uid, d))
            .collect();
        for (row, place) in here {
            match there.get(&place.uid) {
                Some(seen) if same_name(seen, &row.about) => {
                    confirmed.entry(row.id).or_default().push(place)
                }
                Some(_) => {}
                None => ledger.step(|l| l.index_forget(place))?,
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
    // Before that no message lies, and no date can be written down.
    let beginning = Since::All.start(now);
    let needed = needed.max(beginning);
    if index.covered_since.is_some_and(|covered| needed >= covered) {
        return Ok(());
    }
    let reach = index
        .covered_since
        .map_or(FIRST_REACH, |covered| (now - covered) * 2);
    let since = needed.min(now - reach.max(FIRST_REACH)).max(beginning);
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
        let view = account.view(&name, true)?;
        // A mailbox that was not looked into when the mark was made has no number yet.
        let latest = begin_at(&view);
        let index = ledger.step(|l| l.index_mailbox(&name, view.uid_validity, latest))?;
        let index = index.id;
        let mut looked: HashMap<Option<u32>, Vec<Discovered>> = HashMap::new();
        for one in resolved.iter_mut().filter(|r| r.found.is_none()) {
            let from = beginning(ledger, &one.row, index, view.uid_validity)?;
            let candidates = match looked.get(&from) {
                Some(candidates) => candidates,
                None => {
                    let seen = match from {
                        Some(from) => account.news(&name, from, &[])?.arrived,
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
                    gm_msgid: candidate.gm_msgid,
                };
                if taken.contains(&(index, candidate.uid)) || ledger.step(|l| l.vouches(place))? {
                    continue;
                }
                let Some(body) = account.body(candidate.uid)? else {
                    continue;
                };
                let (Some(sha), Some(canonical)) = (&one.row.sha256, &one.row.canonical) else {
                    continue;
                };
                if let Some(altered) = copy_of(ledger, one.row.id, (sha, canonical), &body)? {
                    taken.insert((index, candidate.uid));
                    one.found = Some((place, altered));
                    break;
                }
            }
        }
    }
    Ok(resolved)
}

/// Are these bytes of the target a copy of the row's message, and were they altered? Servers rewrite
/// line ends, but bytes that are exactly another row's are its copy: where the target gave no UID for
/// it, or new ones since, only they tell.
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
    let another = like && ledger.step(|l| l.twin(row, &found))?.is_some();
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

/// Looks once at each copy whose APPEND was answered OK. An OK is not yet proof: Gmail may have put
/// the message together with another one that it took for the same (gmail.md 3.2).
pub(super) fn verify(account: &mut Account, ledger: &Shared, now: Time) -> Result<()> {
    let waiting = ledger.step(|l| l.unverified())?;
    for set in waiting.chunks(SET_MAX) {
        let mut uids: Vec<Uid> = set.iter().filter_map(|w| w.place).map(|p| p.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        let (validity, found) = match uids.is_empty() {
            true => (UidValidity(0), Vec::new()),
            false => account.delivered(&uids)?,
        };
        let found: HashMap<Uid, Copy> = found.into_iter().map(|c| (c.uid, c)).collect();
        let mut verdicts = Vec::with_capacity(set.len());
        for w in set {
            let copy = w
                .place
                .filter(|p| p.uid_validity == validity)
                .and_then(|p| found.get(&p.uid));
            verdicts.push((w.id, verdict(account, ledger, w, copy)?));
        }
        ledger.step(|l| l.verified(&verdicts, now))?;
    }
    Ok(())
}

/// What is to be thought of a copy. One that is no longer there proves nothing: its owner may have
/// moved it.
fn verdict(
    account: &mut Account,
    ledger: &Shared,
    sent: &Verification,
    copy: Option<&Copy>,
) -> Result<Verdict> {
    let gm_msgid = copy.and_then(|c| c.gm_msgid);
    let ours = |altered, merged| Verdict::Ours {
        altered,
        merged,
        gm_msgid,
    };
    let Some(Copy { uid, size, .. }) = copy.copied() else {
        return Ok(ours(false, false));
    };
    let known = match gm_msgid {
        Some(id) => ledger.step(|l| l.known_before_mark(sent.id, id))?,
        None => false,
    };
    if !known && size == sent.size {
        return Ok(ours(false, false));
    }
    let Some(body) = account.body(uid)? else {
        return Ok(ours(false, false));
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
