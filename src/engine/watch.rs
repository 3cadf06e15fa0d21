//! Discovery: every message of the source gets a row before anything is done with it.
//!
//! New mail is everything from the cursor on, whatever its date. History is what came since the
//! configured start and was there at the first look. Nothing here touches the target.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use log::{debug, info, warn};

use super::history;
use super::reader::Reader;
use super::record::{LISTS_MAX, described, record};
use crate::config::Since;
use crate::error::{Error, Fault, Result, Scope};
use crate::folder::{Destination, Folder};
use crate::ledger::{MailboxRow, Row, Shared};
use crate::message::{Discovered, Time, Uid};
use crate::session::{SET_MAX, View};
use crate::text::{counted, minute};

/// So many UIDs may have come for them to be described without being listed first.
const FEW: u32 = 200;

/// The right to look through the source for new mail. A route has one, so that no two looks record the same
/// mail at a time.
#[derive(Debug, Default)]
pub(super) struct Discovery(());

/// How to look.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) since: Since,
    /// After this time all that the mailbox holds is compared with the rows again.
    pub(super) reconcile: Duration,
    pub(super) now: Time,
}

/// What a look came to.
#[derive(Default)]
pub(super) struct Looked {
    /// Rows that wait now and did not before.
    pub(super) new: usize,
    /// Of these, in the mailbox that is open at the end.
    pub(super) new_there: usize,
    /// Nothing was known of a mailbox before.
    pub(super) first: bool,
    /// The new rows are still to be matched with those of older incarnations: many are of known messages.
    pub(super) matching: bool,
    /// The source does not tell of all that it says it holds, or does not open a mailbox. What it tells of is
    /// recorded.
    pub(super) trouble: Option<Error>,
    /// No mailbox is copied now.
    pub(super) nothing: bool,
}

impl Looked {
    /// Did it show that all is as it was?
    pub(super) fn is_nothing_new(&self) -> bool {
        !(self.nothing || self.first || self.matching) && self.new == 0
    }

    /// Takes in what a look at one of the folders came to.
    pub(super) fn add(&mut self, one: Looked) {
        self.new += one.new;
        self.new_there = one.new_there;
        self.first |= one.first;
        self.matching |= one.matching;
        self.trouble = self.trouble.take().or(one.trouble);
    }

    /// How many messages came, where that is known.
    pub(super) fn say(&self, name: &str) {
        if self.matching {
            // Nobody knows yet how many of them are new.
            return;
        }
        if self.first {
            info!("{} to copy in {name}", several(self.new, "message"));
        } else if self.new > 0 {
            info!("{} in {name}", several(self.new, "new message"));
        }
    }
}

fn several(n: usize, one: &str) -> String {
    match n {
        0 => format!("no {one}s"),
        n => counted(n, one),
    }
}

/// Looks at the mailbox once and records what is new.
pub(super) fn discover(
    _alone: &mut Discovery,
    reader: &mut Reader,
    ledger: &Shared,
    look: Look,
) -> Result<Looked> {
    let folder = &reader.folder().clone();
    let known = ledger.step(|l| l.mailbox(folder.id))?;
    let told = reader.take_told();
    let mut view = match known.as_ref().filter(|known| told && known.history_done) {
        Some(known) => reader.look_at_latest(latest(ledger, known)?)?,
        None => reader.look()?,
    };
    let first = known.is_none();
    if known
        .is_some_and(|known| known.uid_validity == view.uid_validity && went_back(&view, &known))
    {
        view = reader.source()?.look_past_uid_next()?;
    }
    let mut mailbox = renew_mailbox(ledger, folder, &view, reader.here.reused, look)?;
    reader.here.reused = false;
    reader.note_row(&mailbox);
    let mut out = Looked {
        first,
        ..Looked::default()
    };
    let mut whole = true;
    let mut counted_view = view;
    if reader.here.settled != Some(view) {
        let (new, all, seen) = record_latest(reader, ledger, &mut mailbox, look)?;
        out.new += new;
        whole &= all;
        counted_view = seen;
    }
    out.new += record_the_rest(reader, ledger, &mailbox, look)?;
    whole &= reader.here.lists.shortened == 0;
    out.matching = !mailbox.inherited;
    if whole {
        // What came since is news to the next look.
        reader.here.settled = Some(counted_view);
    } else {
        out.trouble = Some(
            Error::new(
                Fault::Transient,
                format!(
                    "the source does not tell of all the messages that it says {} holds",
                    folder.shown()
                ),
            )
            .hint("what it tells of is copied; its operator should look into the mailbox"),
        );
    }
    Ok(out)
}

/// Of messages that are not among the latest: history while it is not done, and now and then whatever was
/// missed. How many rows are new.
fn record_the_rest(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &MailboxRow,
    look: Look,
) -> Result<usize> {
    let due = |at: Instant| at.elapsed() >= look.reconcile;
    let again = reader
        .here
        .lists
        .again_at
        .is_none_or(|at| Instant::now() >= at);
    if !again || (mailbox.history_done && !reader.here.reconciled_at.is_none_or(due)) {
        return Ok(0);
    }
    let (new, all) = if mailbox.history_done {
        history::reconcile(reader, ledger, mailbox, look.now)?
    } else {
        history::record_history(reader, ledger, mailbox, look.now)?
    };
    reader.note_list(all);
    if all {
        reader.here.reconciled_at = Some(Instant::now());
    }
    Ok(new)
}

/// Makes or renews the row of the mailbox, where needed, so that it belongs to this view. Returns it.
fn renew_mailbox(
    ledger: &Shared,
    folder: &Folder,
    view: &View,
    reused: bool,
    look: Look,
) -> Result<MailboxRow> {
    let Look { since, now, .. } = look;
    let (text, start) = (since.text(), since.start(now));
    ledger.step(|l| {
        match l.mailbox(folder.id)? {
            None => {
                let what = match since {
                    Since::All => "all of them".into(),
                    Since::Days(_) => format!("what came since {}", minute(start)),
                    Since::Date(day) => format!("what came since {day}"),
                };
                info!(
                    "first look at {}{}: {}; taking over {what}",
                    folder.shown(),
                    goes_to(folder, &l.destination(folder.destination)?),
                    several(view.exists as usize, "message")
                );
                l.first_look(folder.id, view.uid_validity, view.uid_next, &text, start)?;
            }
            // RFC 3501 2.3.1.1: another UIDVALIDITY; and all the same a UIDNEXT that went back, or
            // another message under a UID of ours.
            Some(old)
                if old.uid_validity != view.uid_validity || reused || went_back(view, &old) =>
            {
                let other = old.uid_validity != view.uid_validity;
                if other && l.reopen_incarnation(&old, view.uid_validity, view.uid_next, now)? {
                    warn!(
                        "{} has the UIDs again that it had before (UIDVALIDITY {} -> {}): matching what came meanwhile",
                        folder.shown(), old.uid_validity, view.uid_validity
                    );
                } else {
                    l.new_incarnation(&old, view.uid_validity, view.uid_next, now)?;
                    say_renumbered(&folder.shown(), &old, l.present_mailbox(folder.id)?.is_unstable(), view);
                }
            }
            Some(same) if same.seen_once > 0 => l.seen_again(same.id)?,
            Some(_) => {}
        }
        let mailbox = l.present_mailbox(folder.id)?;
        if mailbox.since == text {
            return Ok(mailbox);
        }
        l.reconsider_start(mailbox.id, &text, start)?;
        l.present_mailbox(folder.id)
    })
}

/// Where its mail goes, where that does not go without saying.
fn goes_to(folder: &Folder, destination: &Destination) -> String {
    if destination.labels.is_empty() && destination.spot.text() == folder.name {
        String::new()
    } else {
        format!(" (to {destination})")
    }
}

/// Is UIDNEXT below our cursor, so that UIDs that we know will be given to other messages? An empty mailbox
/// does not count: its store may be away for a moment.
fn went_back(view: &View, known: &MailboxRow) -> bool {
    view.uid_next_stated && view.uid_next < known.next_uid && view.exists > 0
}

/// Warns of new UIDs; only once where a mailbox has others each time.
fn say_renumbered(name: &str, old: &MailboxRow, unstable: bool, view: &View) {
    if old.is_unstable() {
        debug!(
            "{name} has other UIDs again (UIDVALIDITY {})",
            view.uid_validity
        );
    } else if unstable {
        warn!(
            "{name} of the source has other UIDs each time it is opened: its messages are told apart by Message-ID and date; \
             opening it once with a mail program may settle this"
        );
    } else {
        warn!(
            "{name} has new UIDs (UIDVALIDITY {} -> {}, UIDNEXT {} -> {}): matching its messages with the ledger anew",
            old.uid_validity, view.uid_validity, old.next_uid, view.uid_next
        );
    }
}

/// The same, and the view that was counted.
type Latest = (usize, bool, View);

/// The UIDs of the newest messages that are known, and of those that may have come since.
fn latest(ledger: &Shared, mailbox: &MailboxRow) -> Result<RangeInclusive<u32>> {
    let newest = ledger.step(|l| l.newest(mailbox.id))?;
    Ok(looked_at_from(mailbox, &newest)..=mailbox.next_uid.saturating_add(FEW))
}

/// The UID from which on a look compares and records: that of the first of the newest rows.
fn looked_at_from(mailbox: &MailboxRow, newest: &[Row]) -> u32 {
    let lowest = newest
        .first()
        .map_or(mailbox.next_uid, |row| row.about.uid.0);
    // Below the first look there may be any number of messages without a row.
    lowest
        .max(mailbox.history_below.saturating_sub(FEW).max(1))
        .min(mailbox.next_uid)
}

/// Records the latest messages. Where UIDs turn out to name other messages than they did, a new incarnation
/// of the mailbox begins, and they are recorded in that.
fn record_latest(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &mut MailboxRow,
    look: Look,
) -> Result<Latest> {
    if let Some(latest) = compare_and_record(reader, ledger, mailbox, look)? {
        return Ok(latest);
    }
    let view = reader.source()?.view();
    let folder = reader.folder().clone();
    *mailbox = renew_mailbox(ledger, &folder, &view, true, look)?;
    reader.note_row(mailbox);
    let latest = compare_and_record(reader, ledger, mailbox, look)?;
    latest.ok_or_else(|| {
        Error::connection(format!(
            "{} of the source changes the meaning of its UIDs while it is looked at",
            folder.shown()
        ))
    })
}

/// Compares the newest rows with what bears their UIDs now, and records what stands above and between
/// them: new mail, and mail that became visible later than mail with a higher UID. The cursor moves only
/// past what was counted. None where a UID names another message now.
fn compare_and_record(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &mut MailboxRow,
    look: Look,
) -> Result<Option<Latest>> {
    let now = look.now;
    let newest = ledger.step(|l| l.newest(mailbox.id))?;
    if newest.is_empty()
        && let Some(latest) = record_all_at_once(reader, ledger, mailbox, look)?
    {
        return Ok(Some(latest));
    }
    let from = looked_at_from(mailbox, &newest);
    let mut new = 0;
    for n in 0..LISTS_MAX {
        let view = if n == 0 {
            reader.source()?.view()
        } else {
            reader.refresh_if_stable()?;
            reader.source()?.look_past_uid_next()?
        };
        if view.exists == 0 {
            return Ok(Some((new, true, view)));
        }
        let told = told_from(reader, mailbox, from, &view)?;
        let suspects = contradicted(&newest, &told.named);
        if !suspects.is_empty() && reader.name_others(&suspects)? {
            return Ok(None);
        }
        let whole = told.whole;
        let Some(n) = record_told(reader, ledger, mailbox, told, now)? else {
            return Ok(None);
        };
        new += n;
        if whole {
            record(ledger, mailbox, Vec::new(), view.uid_next, now)?;
            return Ok(Some((new, true, view)));
        }
        debug!("{} was told of in part", reader.name());
    }
    Ok(Some((new, false, reader.source()?.view())))
}

/// Records all that a mailbox holds of which no row is there, in one flight, where it is little. None where that is not the
/// way: then it goes in pieces, new mail first.
fn record_all_at_once(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &mut MailboxRow,
    look: Look,
) -> Result<Option<Latest>> {
    let source = reader.source()?;
    let view = source.view();
    let few = (1..=at_once(look.since)).contains(&view.exists);
    if mailbox.history_done || !few || reader.here.failed_at_once > 0 {
        return Ok(None);
    }
    reader.here.failed_at_once += 1;
    let Some(told) = told_at_once(reader, 1)?.filter(|told| told.whole) else {
        return Ok(None);
    };
    let Some(new) = record_told(reader, ledger, mailbox, told, look.now)? else {
        return Ok(None);
    };
    record(ledger, mailbox, Vec::new(), view.uid_next, look.now)?;
    history::note_all_recorded(reader, ledger, mailbox, look.now)?;
    reader.here.failed_at_once = 0;
    Ok(Some((new, true, view)))
}

/// So many messages at most are asked for at once. Where most of them may be older than what is wanted only few are worth it.
fn at_once(since: Since) -> u32 {
    match since {
        Since::All => SET_MAX as u32,
        Since::Days(_) | Since::Date(_) => FEW,
    }
}

/// The rows, in ascending order, whose UIDs are said to name messages that they cannot be.
fn contradicted(rows: &[Row], told: &[Discovered]) -> Vec<Discovered> {
    let mut out = Vec::new();
    for d in told {
        let known = rows.binary_search_by_key(&d.uid, |row| row.about.uid);
        if let Ok(at) = known
            && d.contradicts(&rows[at].about)
        {
            out.push(rows[at].about.clone());
        }
    }
    out
}

/// Records what was told of and has no row. How many rows are new; None as in [`record`].
fn record_told(
    reader: &mut Reader,
    ledger: &Shared,
    mailbox: &MailboxRow,
    told: Told,
    now: Time,
) -> Result<Option<usize>> {
    let mut new = 0;
    let missing = ledger.step(|l| l.without_row(mailbox.id, told.uids))?;
    for set in missing.chunks(SET_MAX) {
        let mut found = told.named.clone();
        found.retain(|d| set.binary_search(&d.uid).is_ok());
        let rest: Vec<Uid> = set
            .iter()
            .copied()
            .filter(|uid| found.iter().all(|d| d.uid != *uid))
            .collect();
        found.extend(described(reader, &rest)?);
        let last = set.last().filter(|_| told.whole);
        let next = last.map_or(0, |last| last.0 + 1);
        let Some(n) = record(ledger, mailbox, found, next, now)? else {
            return Ok(None);
        };
        new += n;
    }
    Ok(Some(new))
}

/// What the source tells from a UID on.
struct Told {
    /// Ascending.
    uids: Vec<Uid>,
    /// Those of them that were described at once.
    named: Vec<Discovered>,
    whole: bool,
}

fn told_from(reader: &mut Reader, mailbox: &MailboxRow, from: u32, view: &View) -> Result<Told> {
    // The usual case takes one round trip. Where it fails, the way below finds out why.
    if view.uid_next.saturating_sub(mailbox.next_uid) <= FEW
        && let Some(told) = told_at_once(reader, from)?
    {
        return Ok(told);
    }
    let (uids, whole) = reader.source()?.uids_from(from)?;
    // Of rows that are known the names are wanted all the same.
    let known: Vec<Uid> = uids
        .iter()
        .copied()
        .filter(|uid| uid.0 < mailbox.next_uid)
        .collect();
    let named = reader.metadata(&known)?.found;
    Ok(Told { uids, named, whole })
}

/// None where that fails, and not because of the account: one message may be to blame.
fn told_at_once(reader: &mut Reader, from: u32) -> Result<Option<Told>> {
    match reader.source()?.metadata_from(from) {
        Ok((told, whole)) => {
            let mut uids: Vec<Uid> = told.iter().map(|(uid, _)| *uid).collect();
            uids.sort_unstable();
            let named = told.into_iter().filter_map(|(_, named)| named);
            Ok(Some(Told {
                uids,
                named: named.filter(|d| d.size.is_some()).collect(),
                whole,
            }))
        }
        // Asking on would make it worse.
        Err(e) if e.scope() >= Scope::Account => Err(e),
        // What loses a session without a goodbye may have taken minutes.
        Err(e) if e.scope() == Scope::Session && !e.goodbye => {
            warn!("{}", e.then("listing the messages first"));
            Ok(None)
        }
        Err(e) => {
            debug!("{}", e.then("listing the messages first"));
            Ok(None)
        }
    }
}
