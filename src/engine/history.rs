//! Recording what the mailbox held before we first looked at it, and comparing all that it holds with the rows.
//! Both go by a list of everything, which is counted. Not for what comes (`watch`).

use std::collections::HashSet;
use std::time::Instant;

use chrono::TimeDelta;
use log::{debug, warn};

use super::bisect::may_be_a_messages;
use super::reader::Reader;
use super::record::{LISTS_MAX, Recorded, described, record};
use crate::error::{Error, Result};
use crate::ledger::{MailboxRow, Progress, Shared};
use crate::message::{Discovered, Time, Uid};
use crate::session::{List, SET_MAX};

/// After so many lists in a row that were not whole, the history is taken as the last of them tells it.
const SHORT_LISTS_MAX: u32 = 3;

/// Records what was there at the first look, newest first.
pub(super) fn record_history(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &MailboxRow,
    now: Time,
) -> Result<Recorded> {
    let from = ledger.step(|l| l.history_from(mailbox))?;
    let start = (from >= Time::UNIX_EPOCH).then(|| from - TimeDelta::days(1));
    let list = list_all(reader, start.is_some())?;
    // Where INTERNALDATE is not told, the Date header decides, later.
    let may_be_wanted = |t: Option<Time>| match (t, start) {
        (Some(t), Some(start)) => t >= start,
        _ => true,
    };
    // Above the history everything is wanted: where an incarnation of the mailbox is back, mail that was new to it may
    // have no row any more.
    let uids = uids_of(&list, |uid, date| {
        uid < mailbox.next_uid && (uid >= mailbox.history_below || may_be_wanted(date))
    });
    let uids = ledger.step(|l| l.without_row(mailbox.id, uids))?;
    let mut new = 0;
    for set in uids.rchunks(SET_MAX) {
        new += record_old(reader, ledger, mailbox, set, now)?;
    }
    // Messages that the server never tells of must not hold up the rest for good. When it tells of them at last, the
    // comparison with the rows finds them.
    if list.whole || reader.here.lists.shortened + 1 >= SHORT_LISTS_MAX {
        ledger.step(|l| l.record(mailbox.id, &[], Progress::HistoryDone, now))?;
    }
    Ok((new, list.whole))
}

/// Takes note of that all was recorded which the mailbox held at its first look.
pub(super) fn note_all_recorded(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &mut MailboxRow,
    now: Time,
) -> Result<()> {
    ledger.step(|l| l.record(mailbox.id, &[], Progress::HistoryDone, now))?;
    mailbox.history_done = true;
    reader.note_list(true);
    reader.here.reconciled_at = Some(Instant::now());
    Ok(())
}

/// Records what the mailbox holds and has no row. Sources are restored from backups, and lists have left out messages.
pub(super) fn reconcile(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &MailboxRow,
    now: Time,
) -> Result<Recorded> {
    let list = list_all(reader, false)?;
    let below = mailbox.next_uid;
    let uids = uids_of(&list, |uid, _| uid < below);
    // The view may be older than the list, and show what was removed meanwhile.
    let shown_since = now - TimeDelta::hours(1);
    note_back(reader, ledger, mailbox, &uids, shown_since)?;
    let mut missing = ledger.step(|l| l.without_row(mailbox.id, uids))?;
    let old = missing.iter().any(|uid| uid.0 < mailbox.history_below);
    if mailbox.start >= Time::UNIX_EPOCH && old && reader.here.lists.shortened == 0 {
        // Most of the history may be older than what is wanted, and need not be asked for.
        match reader.source()?.searched(mailbox.start) {
            Ok(dated) => {
                let dated: HashSet<Uid> = dated.into_iter().collect();
                missing.retain(|uid| uid.0 >= mailbox.history_below || dated.contains(uid));
            }
            Err(e) if may_be_a_messages(&e) => {
                let folder = reader.name();
                let instead = format!("asking each message of {folder} without a row for its date");
                debug!("{}", e.then(&instead));
            }
            Err(e) => return Err(e),
        }
    }
    let mut new = 0;
    for set in missing.chunks(SET_MAX) {
        new += record_old(reader, ledger, mailbox, set, now)?;
    }
    if new > 0 {
        warn!(
            "{} holds messages that were not told of before: {new}",
            reader.name()
        );
    }
    Ok((new, list.whole))
}

/// Of these UIDs, which are listed, some may be of messages that were removed before a moment: those are back, as after a
/// restored backup, or their UIDs mean something else by now.
fn note_back(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &MailboxRow,
    uids: &[Uid],
    before: Time,
) -> Result<()> {
    let removed = ledger.step(|l| l.removed_among(mailbox.id, uids, before))?;
    let mut back = 0;
    for set in removed.chunks(SET_MAX) {
        let uids: Vec<Uid> = set.iter().map(|row| row.about.uid).collect();
        let told = described(reader, &uids)?;
        let mut same = Vec::new();
        for row in set {
            match told.iter().find(|told| told.uid == row.about.uid) {
                Some(told) if told.size.is_none() => {}
                Some(told) if !bears_its_name(told, &row.about) => {
                    return Err(changed_meaning(reader));
                }
                Some(told) => same.push(told.uid),
                None => {}
            }
        }
        ledger.step(|l| l.note_back(mailbox.id, &same))?;
        back += same.len();
    }
    if back > 0 {
        warn!(
            "{} has messages again that were removed there after their delivery: {back}",
            reader.name()
        );
    }
    Ok(())
}

/// As far as that can be told without its bytes.
fn bears_its_name(told: &Discovered, known: &Discovered) -> bool {
    let id = |d: &Discovered| d.message_id.as_ref().map(|id| id.hash);
    id(told) == id(known) && (told.message_id.is_some() || told.size == known.size)
}

/// The next look begins with new UIDs.
fn changed_meaning(reader: &mut Reader) -> Error {
    reader.here.reused = true;
    Error::connection(format!(
        "UIDs of {} of the source have changed their meaning",
        reader.name()
    ))
}

fn uids_of(list: &List, wanted: impl Fn(u32, Option<Time>) -> bool) -> Vec<Uid> {
    let all = list.uids.iter();
    all.filter(|(uid, date)| wanted(uid.0, *date))
        .map(|(uid, _)| *uid)
        .collect()
}

/// All messages of the mailbox. Where a list with dates has failed twice, one message may be to blame: then they are
/// listed without dates, and each is asked for its own later. A list that is not whole is asked for anew.
fn list_all(reader: &mut Reader, dated: bool) -> Result<List> {
    let mut refused = 0;
    let mut shortened = 0;
    let most = if reader.here.lists.shortened > 0 {
        1
    } else {
        LISTS_MAX
    };
    loop {
        match reader.source()?.list(dated && refused < 2) {
            Err(e) if dated && refused < 2 && may_be_a_messages(&e) => {
                debug!("listing the history ended early: {e}");
                refused += 1;
            }
            Ok(list) if !list.whole && shortened + 1 < most => {
                shortened += 1;
                reader.refresh_if_stable()?;
            }
            end => return end,
        }
    }
}

/// As [`record`], of messages of the history; the next look begins with new UIDs where these mean something else.
fn record_old(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &MailboxRow,
    uids: &[Uid],
    now: Time,
) -> Result<usize> {
    let found = described(reader, uids)?;
    record(ledger, mailbox, found, 0, now)?.ok_or_else(|| changed_meaning(reader))
}
