//! A message that failed is told of by a mail in the target's INBOX: five such mails in 24 hours at most, and one for the
//! rest. Each is sent as a message is: its intent is on disk before its first byte, and where nobody saw the end it is looked
//! for by its Message-ID, which no other mail has. Whatever goes wrong with one holds up no message, and is nobody's trouble:
//! it is tried again later.
//!
//! Such a mail is no row of the ledger's messages, so that it is never counted, looked for or recognised as one; and what the
//! target index sees of it has a name that no row has. Not for its words (`notice_mail`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use log::{debug, info, warn};

use super::index::TargetIndex;
use super::notice_mail::{LISTED, Sheet};
use super::tasks::Task;
use super::{Engine, backoff, lock};
use crate::error::{Charge, Error, Result, Scope};
use crate::folder::Spot;
use crate::ledger::{Ledger, Notice, NoticeEnd, NoticeId, NoticeStep};
use crate::message::{Flags, Time};
use crate::session::Appended;
use crate::target::Account;
use crate::wire::Sent;

/// Mails about one message each, in a day; and then one about all others.
const SINGLES: usize = 5;
const DAY: TimeDelta = TimeDelta::hours(24);
/// Between two attempts at a mail at most.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// By how much the target's clock and ours may differ.
const CLOCK_SLACK: TimeDelta = TimeDelta::days(2);
/// How often the end of a run waits to see what became of a mail.
const LOOKS_AT_THE_END: u32 = 4;

#[derive(Default)]
pub(super) struct Notices {
    /// Held by whoever sends some.
    turn: Mutex<()>,
    /// Those of which nobody saw the end: since when, and why.
    unseen: Mutex<HashMap<NoticeId, Unseen>>,
    /// Attempts in a row that ended for a reason that is no mail's, and until when none is made.
    rests: Mutex<(u32, Option<Instant>)>,
    /// The run is about to end: nothing is gathered any longer.
    closing: AtomicBool,
}

struct Unseen {
    last_byte: Instant,
    why: Option<Error>,
    /// It was looked for since.
    looked: bool,
}

/// What failed and has no mail yet.
#[derive(Clone, Copy, Debug)]
struct Untold<'a> {
    since: Time,
    /// When mails were made in the day before now, the newest first.
    singles: &'a [Time],
    digests: &'a [Time],
}

impl Untold<'_> {
    /// When the next mail is due, and whether that is the one about all. `gather`: how long that one waits for more.
    fn next(self, gather: TimeDelta, now: Time) -> (Time, bool) {
        let Some(fifth) = self.singles.get(SINGLES - 1) else {
            return (now, false);
        };
        // A clock that was set back delays nothing.
        let gathered = if self.since > now {
            now
        } else {
            self.since + gather
        };
        let digest = self
            .digests
            .first()
            .map_or(gathered, |d| gathered.max(*d + DAY));
        let single = *fifth + DAY;
        if digest <= single {
            (digest, true)
        } else {
            (single, false)
        }
    }
}

impl Engine {
    /// When a mail is to be sent, or looked for, as far as is known.
    pub(super) fn next_notice(&self) -> Result<Option<Instant>> {
        let now = Utc::now();
        if !self.setup().config.notices {
            self.ledger.step(|l| l.tell_nobody(now))?;
            return Ok(None);
        }
        let (open, fresh) = self.ledger.step(|l| {
            let fresh = self.next_untold(l, now)?;
            Ok((l.open_notices()?, fresh))
        })?;
        let open = open
            .iter()
            .filter_map(|notice| self.is_next_at(notice, now));
        let fresh = fresh.map(|(at, _)| from_now(at, now));
        let next = open.chain(fresh).min();
        Ok(next.map(|at| self.not_before_rest(at)))
    }

    fn not_before_rest(&self, at: Instant) -> Instant {
        lock(&self.notices.rests)
            .1
            .map_or(at, |rests| at.max(rests))
    }

    /// When a mail is due that is not made yet, and whether it is the one about all.
    fn next_untold(&self, ledger: &Ledger, now: Time) -> Result<Option<(Time, bool)>> {
        let Some(since) = ledger.untold_since()? else {
            return Ok(None);
        };
        let made = |digest, most| ledger.notices_made(digest, now - DAY, now, most);
        let (singles, digests) = (made(false, SINGLES)?, made(true, 1)?);
        let untold = Untold {
            since,
            singles: &singles,
            digests: &digests,
        };
        let gather = if self.notices.closing.load(Ordering::Relaxed) {
            TimeDelta::zero()
        } else if self.once.load(Ordering::Relaxed) {
            // At its end it knows of all that failed.
            delta(super::FOR_EVER)
        } else {
            delta(self.times.gather)
        };
        Ok(Some(untold.next(gather, now)))
    }

    /// When something is to be done about a mail that was made. With `--once` not in this run where it was put off.
    fn is_next_at(&self, notice: &Notice, now: Time) -> Option<Instant> {
        if notice.begun {
            let patience = self.known_target.policy().late_commit(false);
            let unseen = lock(&self.notices.unseen);
            return Some(match unseen.get(&notice.id) {
                Some(unseen) if unseen.looked => unseen.last_byte + patience,
                _ => Instant::now(),
            });
        }
        // A clock that was set back delays nothing.
        let wait = (notice.next_attempt_at - now).to_std().ok();
        let wait = wait
            .filter(|_| notice.next_attempt_at - now < DAY)
            .unwrap_or_default();
        let once = self.once.load(Ordering::Relaxed);
        (wait.is_zero() || !once).then(|| Instant::now() + wait)
    }

    /// Is there something that a person is to be told of now?
    pub(super) fn notice_is_due(&self) -> Result<bool> {
        let next = self.next_notice()?;
        Ok(next.is_some_and(|at| at <= Instant::now()))
    }

    /// Tells a person, through this session, of what failed, as far as that is due.
    ///
    /// # Errors
    /// Only what concerns the process. The session may be lost all the same.
    pub(super) fn tell_of_failures(&self, account: &mut Account) -> Result<()> {
        let _turn = match self.notices.turn.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Ok(turn) => turn,
        };
        if !self.notice_is_due()? {
            return Ok(());
        }
        let end = self.send_notices(account);
        self.rest_after(end)
    }

    /// As [`tell_of_failures`](Self::tell_of_failures), with a session of its own where it is due: no message waits that
    /// would have brought one.
    pub(super) fn tell_of_failures_beside(self: &Arc<Engine>) -> Result<()> {
        if self.stopping() || !self.notice_is_due()? {
            return Ok(());
        }
        let task: Task = Box::new(|e: &Engine| {
            let mut account = match e.sessions.take_idle() {
                Some((account, _)) => account,
                None => e.open_account()?,
            };
            // A session that waited may have ended: it is opened anew with that.
            let end = TargetIndex::through(e, &mut account).refresh();
            let end = end.and_then(|_| e.tell_of_failures(&mut account));
            let once = e.once.load(Ordering::Relaxed);
            if once || !account.usable() {
                account.logout();
            } else {
                account.wait();
                e.sessions.keep(account);
            }
            end
        });
        match self.all(vec![task]) {
            Ok(()) => Ok(()),
            end => self.rest_after(end),
        }
    }

    /// A run is about to end: what else failed is told of now, and what became of those mails is seen.
    pub(super) fn tell_of_the_rest(self: &Arc<Engine>) -> Result<()> {
        self.notices.closing.store(true, Ordering::Relaxed);
        for _ in 0..LOOKS_AT_THE_END {
            self.tell_of_failures_beside()?;
            let open = self.ledger.step(|l| l.open_notices())?;
            let now = Utc::now();
            let begun = open.iter().filter(|notice| notice.begun);
            let next = begun
                .filter_map(|notice| self.is_next_at(notice, now))
                .min();
            let Some(next) = next.filter(|_| !self.stopping()) else {
                break;
            };
            self.wait(self.not_before_rest(next), false)?;
        }
        Ok(())
    }

    /// What went wrong is over for now, but for what concerns the process.
    fn rest_after(&self, end: Result<()>) -> Result<()> {
        let mut rests = lock(&self.notices.rests);
        match end {
            Ok(()) => *rests = (0, None),
            Err(e) if e.scope() == Scope::Process => return Err(e),
            Err(e) => {
                let wait = self.wait_after(&e, rests.0);
                debug!("{}", e.then("failures are told of later"));
                *rests = (rests.0 + 1, Instant::now().checked_add(wait));
            }
        }
        Ok(())
    }

    fn send_notices(&self, account: &mut Account) -> Result<()> {
        account.deliver_into(&Spot::Inbox)?;
        for notice in self.ledger.step(|l| l.open_notices())? {
            let due = self.is_next_at(&notice, Utc::now());
            if self.stopping() || due.is_none_or(|at| at > Instant::now()) {
                continue;
            }
            if !notice.begun || self.is_not_there(account, &notice)? {
                self.send_notice(account, &notice)?;
            }
        }
        while !self.stopping() {
            let Some(made) = self.make_notice()? else {
                break;
            };
            self.send_notice(account, &made)?;
        }
        Ok(())
    }

    /// Makes the next mail that is due, if one is.
    fn make_notice(&self) -> Result<Option<Notice>> {
        let setup = self.setup();
        let now = Utc::now();
        let source = setup.config.source_user.as_str();
        let source = if source.contains('@') {
            source.to_string()
        } else {
            format!("{source} at {}", setup.config.source.host)
        };
        self.ledger.step(|l| {
            let due = self.next_untold(l, now)?.filter(|(at, _)| *at <= now);
            let Some((_, digest)) = due else {
                return Ok(None);
            };
            let ledger = std::path::absolute(l.path()).unwrap_or_else(|_| l.path().to_path_buf());
            let sheet = Sheet {
                account: &setup.config.target_user,
                host: &setup.config.target.host,
                source: &source,
                ledger: &ledger,
                made_at: now,
            };
            let mail_id = sheet.new_mail_id();
            let mail_id = mail_id.ok_or_else(|| Error::fatal("a Message-ID of ours is none"))?;
            l.make_notice(
                &mail_id,
                digest,
                LISTED,
                now,
                |failures, all| match failures.first() {
                    Some(only) if !digest => sheet.single(&mail_id, only),
                    _ => sheet.digest(&mail_id, failures, all),
                },
            )
        })
    }

    /// Looks for a mail of which nobody saw the end. True when it certainly is not there and may be sent once more now.
    fn is_not_there(&self, account: &mut Account, notice: &Notice) -> Result<bool> {
        let patience = account.policy().late_commit(false);
        // Decided before the look: enough time must have passed when it begins.
        let absence_counts = {
            let mut unseen = lock(&self.notices.unseen);
            // Another process began it: its time counts from now.
            let one = unseen.entry(notice.id).or_insert_with(|| Unseen {
                last_byte: Instant::now(),
                why: None,
                looked: false,
            });
            one.last_byte + patience <= Instant::now()
        };
        let now = Utc::now();
        let mut index = TargetIndex::through(self, account);
        for mut mailbox in index.refresh()? {
            index.cover(&mut mailbox, notice.made_at - CLOCK_SLACK, now)?;
        }
        if self.ledger.step(|l| l.notice_is_there(notice.id))? {
            lock(&self.notices.unseen).remove(&notice.id);
            self.settle_notice(notice, &NoticeEnd::Told)?;
            return Ok(false);
        }
        if !absence_counts {
            if let Some(one) = lock(&self.notices.unseen).get_mut(&notice.id) {
                one.looked = true;
            }
            return Ok(false);
        }
        let unseen = lock(&self.notices.unseen).remove(&notice.id);
        match unseen.and_then(|one| one.why) {
            Some(why) => self.settle_refused_notice(notice, &why)?,
            None if notice.attempts > 1 => self.put_off_notice(notice, None, None)?,
            None => {
                let (at, first) = (now, notice.first_refused_at);
                let error = None;
                self.settle_notice(notice, &NoticeEnd::Later { at, first, error })?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Intent first, then effect.
    fn send_notice(&self, account: &mut Account, notice: &Notice) -> Result<()> {
        let limit = self.setup().config.upload_limit_per_day;
        let (now, size) = (Utc::now(), notice.mail.len() as u64);
        let later = now + delta(WAIT_MAX);
        let step = self
            .ledger
            .step(|l| l.begin_notice(notice, limit, now, later))?;
        if step != NoticeStep::Send {
            debug!("notice {}: {step:?}", notice.id.0);
            return Ok(());
        }
        self.promise_transfer(size);
        let body = Arc::new(notice.mail.clone());
        let end = account.send_alone(Flags::default(), notice.made_at, body);
        let unsent = size.saturating_sub(account.handed_over());
        if unsent > 0 {
            self.ledger.step(|l| l.give_back(unsent, now))?;
        }
        let mut notice = notice.clone();
        notice.attempts += 1;
        match end {
            Appended::Done(_) => self.settle_notice(&notice, &NoticeEnd::Told),
            Appended::Refused(e, Sent::Whole) if e.reaction().leaves_open => {
                self.note_unseen(&notice, Some(e));
                Ok(())
            }
            Appended::Refused(e, _) => self.settle_refused_notice(&notice, &e),
            Appended::Lost(e, Sent::Whole) => {
                self.note_unseen(&notice, None);
                Err(e)
            }
            Appended::Lost(e, Sent::Nothing | Sent::Part) => {
                self.put_off_notice(&notice, None, Some(&e))?;
                Err(e)
            }
        }
    }

    fn note_unseen(&self, notice: &Notice, why: Option<Error>) {
        let unseen = Unseen {
            last_byte: Instant::now(),
            why,
            looked: false,
        };
        lock(&self.notices.unseen).insert(notice.id, unseen);
    }

    /// The target does not have it, and said why. What is the account's fault is waited out, however long it lasts.
    ///
    /// # Errors
    /// The account's fault, so that no other one is tried now.
    fn settle_refused_notice(&self, notice: &Notice, e: &Error) -> Result<()> {
        let first = notice.first_refused_at.unwrap_or_else(Utc::now);
        let give_up = match e.reaction().charge {
            Charge::Failure => true,
            Charge::Attempt => Utc::now() - first >= delta(self.times.give_up),
            Charge::Nothing => {
                self.put_off_notice(notice, None, Some(e))?;
                return Err(e.clone());
            }
        };
        if give_up {
            warn!(
                "{}",
                e.then("so no mail tells of what failed; `imap-to-gmail status --failed` lists it")
            );
            return self.settle_notice(notice, &NoticeEnd::GivenUp(e.message.clone()));
        }
        self.put_off_notice(notice, Some(first), Some(e))
    }

    /// It waits, longer from try to try.
    fn put_off_notice(
        &self,
        notice: &Notice,
        first: Option<Time>,
        why: Option<&Error>,
    ) -> Result<()> {
        let (least, most) = self.times.backoff;
        let wait = backoff(
            notice.attempts.saturating_sub(1),
            (least, most.min(WAIT_MAX)),
        );
        let wait = why.and_then(|e| e.delay).unwrap_or_default().max(wait);
        if let Some(e) = why {
            debug!("{}", e.then("what failed is told of later"));
        }
        let end = NoticeEnd::Later {
            at: Utc::now() + delta(wait),
            first: first.or(notice.first_refused_at),
            error: why.map(|e| e.message.clone()),
        };
        self.settle_notice(notice, &end)
    }

    fn settle_notice(&self, notice: &Notice, end: &NoticeEnd) -> Result<()> {
        self.ledger
            .step(|l| l.settle_notice(notice.id, end, Utc::now()))?;
        if matches!(end, NoticeEnd::Told) {
            info!("a mail in the target's INBOX tells of what failed");
        }
        Ok(())
    }
}

fn delta(d: Duration) -> TimeDelta {
    TimeDelta::from_std(d).unwrap_or(TimeDelta::MAX)
}

fn from_now(at: Time, now: Time) -> Instant {
    Instant::now() + (at - now).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_a_day_and_one_for_the_rest() {
        let now = Time::UNIX_EPOCH + TimeDelta::days(9);
        let ago = |minutes| now - TimeDelta::minutes(minutes);
        let gather = TimeDelta::minutes(60);
        let next = |since, singles: &[i64], digests: &[i64]| {
            let times = |all: &[i64]| all.iter().map(|m| ago(*m)).collect::<Vec<Time>>();
            let (singles, digests) = (times(singles), times(digests));
            let untold = Untold {
                since: ago(since),
                singles: &singles,
                digests: &digests,
            };
            let (at, digest) = untold.next(gather, now);
            ((at - now).num_minutes(), digest)
        };
        assert_eq!(next(0, &[], &[]), (0, false));
        assert_eq!(next(90, &[1, 1, 1, 1], &[5]), (0, false));
        // The digest gathers for an hour ...
        assert_eq!(next(0, &[1, 1, 1, 1, 1], &[]), (60, true));
        assert_eq!(next(50, &[1, 1, 1, 1, 9], &[]), (10, true));
        assert_eq!(next(61, &[1, 1, 1, 1, 9], &[]), (-1, true));
        // ... and comes once a day, unless a mail by itself may go before.
        assert_eq!(next(100, &[1, 1, 1, 1, 60], &[30]), (23 * 60, false));
        assert_eq!(next(100, &[1, 1, 1, 1, 30], &[60]), (23 * 60, true));
        assert_eq!(next(10, &[1, 1, 1, 1, 1439], &[]), (1, false));
        // A clock that was set back by ten days.
        assert_eq!(next(-14_400, &[1, 1, 1, 1, 9], &[]), (0, true));
    }
}
