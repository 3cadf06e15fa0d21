//! Recording what the source tells of messages, in the rows of the ledger. Not for which messages are asked about
//! (`watch`, `history`).

use super::reader::Reader;
use crate::error::Result;
use crate::ledger::{MailboxRow, Progress, Shared};
use crate::message::{Discovered, Time, Uid};

/// How often a list that leaves out messages is asked for anew before it is a trouble.
pub(super) const LISTS_MAX: u32 = 3;

/// How many rows are new, and whether the source told of all that it says it holds.
pub(super) type Recorded = (usize, bool);

/// Writes down what was told. Of mail that was there at the first look only what is wanted. None where a
/// UID was another message's that is gone: then all of them may mean something else.
pub(super) fn record(
    ledger: &Shared,
    mailbox: &MailboxRow,
    found: Vec<Discovered>,
    next: u32,
    now: Time,
) -> Result<Option<usize>> {
    ledger.step(|l| {
        let mut wanted = Vec::with_capacity(found.len());
        for d in found {
            if d.uid.0 >= mailbox.history_below
                || d.came_at().is_none_or(|t| t >= mailbox.start)
                || l.known_before(mailbox, &d)?
            {
                wanted.push(d);
            }
        }
        let new = l.record(mailbox.id, &wanted, Progress::NextUid(next), now)?;
        if new == wanted.len() {
            return Ok(Some(new));
        }
        let mut named: Vec<Uid> = wanted
            .iter()
            .filter(|d| d.size.is_some())
            .map(|d| d.uid)
            .collect();
        named.sort_unstable();
        let another = !l.without_row(mailbox.id, named)?.is_empty();
        Ok((!another).then_some(new))
    })
}

/// What the source tells of these messages. One whose metadata cannot be had is still there: its
/// row says nothing but its UID.
pub(super) fn described(reader: &mut Reader, uids: &[Uid]) -> Result<Vec<Discovered>> {
    let got = reader.metadata(uids)?;
    let poison = got.poison.into_iter();
    let nameless = poison.map(|(uid, _)| Discovered::nothing_told(uid));
    Ok(got.found.into_iter().chain(nameless).collect())
}
