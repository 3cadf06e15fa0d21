//! Discovery: every message of the source gets a row before anything is done with it.
//!
//! New mail is everything from the cursor on, whatever its date. History is what came since the
//! configured start and was there at the first look. Nothing here touches the target.

use log::{debug, info, warn};

use super::piecemeal::may_be_a_messages;
use super::reader::Reader;
use crate::config::Since;
use crate::error::{Fault, Result};
use crate::ledger::{MailboxRow, Progress, Shared};
use crate::message::{Discovered, Flags, Time, Uid};
use crate::session::{SET_MAX, View};
use crate::source::MAILBOX;
use crate::text::counted;

/// So many UIDs may have come for them to be described without being listed first.
const FEW: u32 = 200;

/// Looks at the mailbox once and records what is new. Returns how many rows that gave.
pub(super) fn discover(
    reader: &mut Reader,
    ledger: &Shared,
    since: Since,
    now: Time,
) -> Result<usize> {
    let view = reader.look()?;
    let mailbox = mailbox(ledger, &view, reader.reused, since, now)?;
    reader.reused = false;
    let mut new = 0;
    if view.uid_next > mailbox.next_uid {
        new += arrivals(reader, ledger, &mailbox, view.uid_next, now)?;
    }
    if !mailbox.history_done {
        new += history(reader, ledger, &mailbox, now)?;
    }
    Ok(new)
}

/// The row of the mailbox that belongs to this view, made or renewed where needed.
fn mailbox(
    ledger: &Shared,
    view: &View,
    reused: bool,
    since: Since,
    now: Time,
) -> Result<MailboxRow> {
    let (text, start) = (since_text(since), since.start(now));
    ledger.step(|l| {
        match l.mailbox(MAILBOX)? {
            None => {
                let from = match since {
                    Since::All => "the beginning".into(),
                    Since::Days(_) | Since::Date(_) => start.date_naive().to_string(),
                };
                info!(
                    "first look at {MAILBOX}: {}; taking over what came since {from}",
                    counted(view.exists, "message")
                );
                l.first_look(MAILBOX, view.uid_validity, view.uid_next, &text, start)?;
            }
            // RFC 3501 2.3.1.1: another UIDVALIDITY; and all the same a UIDNEXT that went back, or
            // another message under a UID of ours.
            Some(old)
                if old.uid_validity != view.uid_validity
                    || reused
                    || (view.uid_next_stated && view.uid_next < old.next_uid) =>
            {
                warn!(
                    "{MAILBOX} has new UIDs (UIDVALIDITY {} -> {}, UIDNEXT {} -> {}): matching its messages with the ledger anew",
                    old.uid_validity, view.uid_validity, old.next_uid, view.uid_next
                );
                l.new_incarnation(&old, view.uid_validity, view.uid_next, now)?;
            }
            Some(_) => {}
        }
        let mailbox = l.present_mailbox(MAILBOX)?;
        if mailbox.since == text {
            return Ok(mailbox);
        }
        l.reconsider_start(mailbox.id, &text, start)?;
        l.present_mailbox(MAILBOX)
    })
}

/// As it is remembered: the start is a date fixed at the first run, and moves only when this does.
fn since_text(since: Since) -> String {
    match since {
        Since::All => "all".into(),
        Since::Days(n) => format!("{n}d"),
        Since::Date(d) => d.to_string(),
    }
}

/// New mail, in sets, up to the UIDNEXT of the view; the cursor moves with each set.
fn arrivals(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &MailboxRow,
    uid_next: u32,
    now: Time,
) -> Result<usize> {
    if uid_next - mailbox.next_uid <= FEW {
        // The usual case in one flight. Where it fails, the way below finds out why.
        match reader.source()?.metadata_from(mailbox.next_uid) {
            Ok(found) if found.iter().all(|d| d.size.is_some()) => {
                return ledger
                    .step(|l| l.record(mailbox.id, &found, Progress::NextUid(uid_next), now));
            }
            // The account's affair: asking on would make it worse.
            Err(e) if matches!(e.fault, Fault::Throttled | Fault::NeedsUser) => return Err(e),
            _ => {}
        }
    }
    let uids = reader.source()?.from(mailbox.next_uid)?;
    let mut new = 0;
    for set in uids.chunks(SET_MAX) {
        let found = described(reader, set)?;
        let next = set.last().map_or(uid_next, |last| last.0 + 1);
        new += ledger.step(|l| l.record(mailbox.id, &found, Progress::NextUid(next), now))?;
    }
    ledger.step(|l| l.record(mailbox.id, &[], Progress::NextUid(uid_next), now))?;
    Ok(new)
}

/// What was there at the first look, newest first.
fn history(reader: &mut Reader, ledger: &Shared, mailbox: &MailboxRow, now: Time) -> Result<usize> {
    let from = ledger.step(|l| l.history_from(mailbox))?;
    let all = from < Time::UNIX_EPOCH;
    let uids = listed(reader, (!all).then_some(from), mailbox.history_below)?;
    let uids = ledger.step(|l| l.without_row(mailbox.id, uids))?;
    let mut new = 0;
    for set in uids.rchunks(SET_MAX) {
        let found = described(reader, set)?;
        new += ledger.step(|l| {
            let mut wanted = Vec::with_capacity(found.len());
            for d in found {
                if d.internal_date.is_none_or(|t| t >= mailbox.start)
                    || l.known_before(mailbox, &d)?
                {
                    wanted.push(d);
                }
            }
            l.record(mailbox.id, &wanted, Progress::History, now)
        })?;
    }
    ledger.step(|l| l.record(mailbox.id, &[], Progress::HistoryDone, now))?;
    Ok(new)
}

/// The UIDs of the history. Where the dates of its messages cannot be had time and again, one of
/// them may be to blame: then all are listed, and each is asked for its own.
fn listed(reader: &mut Reader, start: Option<Time>, below: u32) -> Result<Vec<Uid>> {
    for _ in 0..2 {
        let Some(start) = start else { break };
        match reader.source()?.history(Some(start), below) {
            Err(e) if may_be_a_messages(&e) => {
                debug!("listing the history of {MAILBOX} ended early: {e}");
            }
            end => return end,
        }
    }
    reader.source()?.history(None, below)
}

/// What the source tells of these messages. One whose metadata cannot be had is still there: its
/// row says nothing but its UID.
fn described(reader: &mut Reader, uids: &[Uid]) -> Result<Vec<Discovered>> {
    let got = reader.metadata(uids)?;
    let nameless = got.poison.into_iter().map(|(uid, _)| Discovered {
        uid,
        message_id: None,
        date: None,
        internal_date: None,
        size: None,
        flags: Flags::default(),
        gm_msgid: None,
    });
    Ok(got.found.into_iter().chain(nameless).collect())
}
