//! What does the target hold of ours? Asked before anything is sent, and answered by looking.
//!
//! Presence is proved by a message that was seen in this session. Absence counts only in a view of
//! this moment. SEARCH by header decides nothing (docs/gmail.md 4.4). A message of the target that cannot
//! be read vouches for no row that was never sent: a copy that nobody can read is no copy. But where
//! one arrived after a row was sent, and may be that row's, the row is not sent again.
//! Not for whose copy a message is once its bytes are known (`whose`).

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use chrono::TimeDelta;

use super::index::TargetIndex;
use super::whose::{Bytes, Rivals, Sight, Whose, whose};
use crate::error::Result;
use crate::ledger::{IndexMailbox, Place, Row, RowId, Shared};
use crate::message::{
    CanonicalHash, Discovered, Sha256, Time, Uid, canonical_hash, sha256, without_first_fields,
};

/// Mail may be dated this much before it came.
pub(super) const DATE_SLACK: TimeDelta = TimeDelta::days(2);
/// Messages without a name that are compared with one row, byte by byte.
const ALIKE_MAX: usize = 20;

/// Bytes of the fields that Gmail puts in front of a message at most; some hundred are usual.
const TRACE_MAX: u64 = 16 << 10;
/// Bytes that are hashed of a copy to find out where our message begins in it.
const HASHED_MAX: usize = 256 << 20;

/// Messages of the target that may be copies of a row, and vouch for no other row.
#[derive(Default)]
pub(super) struct Copies {
    /// They have its Message-ID and Date.
    pub(super) named: Vec<Place>,
    /// They have no name, or do not tell it, and have its date or size.
    pub(super) alike: Vec<Place>,
}

/// Where each index mailbox stands, and what may be copies of each row.
pub(super) type Looked = (Vec<IndexMailbox>, HashMap<RowId, Copies>);

impl TargetIndex<'_> {
    /// Messages of the target that are copies of these rows by Message-ID and Date, or may be copies of
    /// rows without these: seen in this session. The index is first filled down to where they can lie.
    pub(super) fn find_copies(
        &mut self,
        boxes: &mut [IndexMailbox],
        rows: &[Row],
        now: Time,
    ) -> Result<HashMap<RowId, Copies>> {
        // Of a row without size nothing is known before its bytes are fetched.
        let told: Vec<&Row> = rows.iter().filter(|r| r.about.size.is_some()).collect();
        let Some(oldest) = told.iter().map(|r| earliest(r)).min() else {
            return Ok(HashMap::new());
        };
        for index in boxes.iter_mut() {
            self.cover(index, oldest - DATE_SLACK, now)?;
        }
        let mut copies = HashMap::new();
        self.add_named(boxes, &told, &mut copies)?;
        for index in boxes.iter() {
            self.add_alike(index, &told, &mut copies)?;
        }
        Ok(copies)
    }

    /// Adds the messages that the index knows by a row's name.
    fn add_named(
        &mut self,
        boxes: &[IndexMailbox],
        rows: &[&Row],
        copies: &mut HashMap<RowId, Copies>,
    ) -> Result<()> {
        let mut hits: Vec<(&Row, Place)> = Vec::new();
        self.engine.ledger.view(|l| {
            for row in rows {
                if let Some(id) = &row.about.message_id {
                    let found = l.index_hits(id, row.about.date.as_deref())?;
                    hits.extend(found.into_iter().map(|place| (*row, place)));
                }
            }
            Ok(())
        })?;
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
            let (readable, unreadable) = self.described(index, &uids)?;
            let there: HashMap<Uid, Discovered> =
                readable.into_iter().map(|d| (d.uid, d)).collect();
            let mut gone = Vec::new();
            for (row, place) in here {
                match there.get(&place.uid) {
                    Some(seen) if same_name(seen, &row.about) => {
                        copies.entry(row.id).or_default().named.push(place)
                    }
                    Some(_) => {}
                    // It is there and cannot be read. It has the name that it had: UIDs do not change their meaning.
                    None if unreadable.iter().any(|d| d.uid == place.uid) => {
                        copies.entry(row.id).or_default().named.push(place)
                    }
                    None => gone.push(place),
                }
            }
            if !gone.is_empty() {
                self.engine.ledger.step(|l| l.index_forget(&gone))?;
            }
        }
        Ok(())
    }

    /// Adds messages of an index mailbox whose name the index does not know. They may be copies of a row without a
    /// name that has their date or about their size. Where a row with a name has exactly the size of one, that one
    /// is asked for its name once more.
    fn add_alike(
        &mut self,
        index: &IndexMailbox,
        rows: &[&Row],
        copies: &mut HashMap<RowId, Copies>,
    ) -> Result<()> {
        let open: Vec<&Row> = rows
            .iter()
            .filter(|r| copies.get(&r.id).is_none_or(|c| c.named.is_empty()))
            .copied()
            .collect();
        let mut uids = self.nameless_of_their_sizes(index, &open)?;
        if uids.is_empty() {
            return Ok(());
        }
        let (named, unreadable) = if open.iter().any(|r| r.about.message_id.is_some()) {
            self.learn_names(index, &mut uids)?
        } else {
            (Vec::new(), Vec::new())
        };
        let nameless = self.dated(index, &uids)?;
        let place = |d: &Discovered| Place {
            mailbox: index.id,
            uid_validity: index.uid_validity,
            uid: d.uid,
            gm_msgid: d.gm_msgid,
        };
        for row in open {
            let known = named.iter().filter(|d| same_name(d, &row.about));
            let known: Vec<Place> = known.map(place).collect();
            let alike = alike(row, &nameless, &unreadable).into_iter();
            let alike: Vec<Place> = alike.map(place).collect();
            if !known.is_empty() || !alike.is_empty() {
                let found = copies.entry(row.id).or_default();
                found.named.extend(known);
                found.alike.extend(alike);
            }
        }
        Ok(())
    }

    /// Messages without a known name whose size lets them be copies of one of these rows. One that does not even
    /// tell its size cannot be read, and is none.
    fn nameless_of_their_sizes(&self, index: &IndexMailbox, rows: &[&Row]) -> Result<Vec<Uid>> {
        let may_be = |row: &Row, size: u64| match row.about.message_id {
            Some(_) => Some(size) == row.about.size,
            None => about(row).contains(&size),
        };
        let nameless = self
            .engine
            .ledger
            .step(|l| l.index_sizes_of_nameless(index.id))?;
        let fits = |size: u64| rows.iter().any(|row| may_be(row, size));
        Ok(nameless
            .into_iter()
            .filter(|(_, size)| size.is_some_and(fits))
            .map(|(uid, _)| uid)
            .collect())
    }

    /// Asks these messages for their names once more. Those that tell one now are recorded, and taken out of
    /// `uids`. Returns them, and those that cannot be read.
    fn learn_names(
        &mut self,
        index: &IndexMailbox,
        uids: &mut Vec<Uid>,
    ) -> Result<(Vec<Discovered>, Vec<Discovered>)> {
        let (mut named, unreadable) = self.described(index, uids)?;
        named.retain(|d| d.message_id.is_some());
        if !named.is_empty() {
            self.engine.ledger.step(|l| l.index_record(index, &named))?;
            let known: HashSet<Uid> = named.iter().map(|d| d.uid).collect();
            uids.retain(|uid| !known.contains(uid));
        }
        Ok((named, unreadable))
    }
}

/// Those of these messages without a name that may be copies of this row, the likeliest first, no more than are
/// compared. Where the row has a name, only such as cannot be read may be: the others tell that they have none.
fn alike<'a>(
    row: &Row,
    nameless: &'a [Discovered],
    unreadable: &[Discovered],
) -> Vec<&'a Discovered> {
    let silent = |d: &Discovered| unreadable.iter().any(|u| u.uid == d.uid);
    let mut alike: Vec<&Discovered> = nameless
        .iter()
        .filter(|d| row.about.message_id.is_none() || silent(d))
        .filter(|d| {
            if d.internal_date == Some(row.internal_date) {
                d.size.is_none_or(|size| about(row).contains(&size))
            } else {
                d.size == row.about.size
            }
        })
        .collect();
    alike.sort_by_key(|d| d.internal_date != Some(row.internal_date));
    alike.truncate(ALIKE_MAX);
    alike
}

pub(super) fn same_name(a: &Discovered, b: &Discovered) -> bool {
    a.message_id.is_some()
        && a.message_id.as_ref().map(|m| m.hash) == b.message_id.as_ref().map(|m| m.hash)
        && a.date == b.date
}

/// The earliest moment that a copy of this row can be dated: no copy came before its message was written.
pub(super) fn earliest(row: &Row) -> Time {
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

/// The copy of a row among these that nobody else can claim, by its name alone.
pub(super) fn by_name(copies: &Copies, rivals: Rivals) -> Option<Place> {
    let place = *copies.named.first()?;
    let sight = Sight {
        bytes: Bytes::Unknown,
        named: true,
        taken: false,
        anothers_bytes: false,
        rivals,
        kept: false,
    };
    matches!(whose(&sight), Whose::ByName { .. }).then_some(place)
}

/// Whose copy is a message of the target with these bytes? It vouches for no row, and the target has not told its
/// place as that of this row's message. `named`: it has the row's Message-ID and Date.
pub(super) fn whose_copy(ledger: &Shared, row: &Row, body: &[u8], named: bool) -> Result<Whose> {
    let (bytes, found) = compared(row, body);
    let rivals = if named && bytes == Bytes::Other && ledger.step(|l| l.has_rivals(row))? {
        Rivals::Unknown
    } else {
        Rivals::None
    };
    let anothers_bytes = bytes.may_be_anothers() && are_anothers(ledger, row, &found)?;
    Ok(whose(&Sight {
        bytes,
        named,
        taken: false,
        anothers_bytes,
        rivals,
        kept: false,
    }))
}

/// Are these the bytes of another row that the target has, or may have?
pub(super) fn are_anothers(ledger: &Shared, row: &Row, found: &[Sha256]) -> Result<bool> {
    ledger.view(|l| {
        for sha256 in found {
            if l.has_bytes_of_another(row.id, sha256)? {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

/// How these bytes compare with a row's, and the SHA-256 of what else they may be: of all of them, and where they are the
/// row's behind fields that Gmail has put in front, of what lies between.
pub(super) fn compared(row: &Row, body: &[u8]) -> (Bytes, Vec<Sha256>) {
    let found = sha256(body);
    let bytes = match (row.sha256, row.canonical) {
        (Some(sha), _) if sha == found => Bytes::Equal,
        (_, Some(canonical)) if canonical == canonical_hash(body) => Bytes::Like,
        (Some(sha), canonical) => return behind_trace(row, sha, canonical, found, body),
        (None, _) => Bytes::Unknown,
    };
    (bytes, vec![found])
}

/// How a row's bytes compare with a copy that begins with fields of Gmail's own: those that it puts in front of what is
/// imported (docs/gmail-import.md 3.1), and has put in front of what it fetched by POP. Of a message without a name that is
/// believed only where it was imported: what somebody else has put in front of it may have made it another message.
fn behind_trace(
    row: &Row,
    sha: Sha256,
    canonical: Option<CanonicalHash>,
    found: Sha256,
    body: &[u8],
) -> (Bytes, Vec<Sha256>) {
    let mut others = vec![found];
    if !row.by_import && row.about.message_id.is_none() {
        return (Bytes::Other, others);
    }
    let most = row.about.size.unwrap_or(0).saturating_mul(2) + TRACE_MAX;
    let mut left = HASHED_MAX;
    for rest in without_first_fields(body) {
        let len = rest.len() as u64;
        left = left.saturating_sub(2 * rest.len());
        if len > most || left == 0 {
            continue;
        }
        let this = sha256(rest);
        if this == sha {
            return (Bytes::Behind, others);
        }
        if canonical.is_some_and(|canonical| canonical == canonical_hash(rest)) {
            return (Bytes::Like, others);
        }
        others.push(this);
    }
    (Bytes::Other, others)
}

/// The sizes that a copy may have: a server that turns each LF into CRLF, or drops CRs, at most
/// doubles or halves it, and Gmail puts fields in front of what is imported.
pub(super) fn about(row: &Row) -> RangeInclusive<u64> {
    let ours = row.about.size.unwrap_or(0);
    let trace = if row.by_import { TRACE_MAX } else { 0 };
    (ours / 2).saturating_sub(16)..=(ours * 2 + 16).max(ours + trace)
}
