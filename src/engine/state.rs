//! What a run knows and the ledger need not: who was not seen to end, who was absent, how the target
//! bears us. All of it begins anew with the process.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use log::{debug, warn};

use super::daemon::DELIVER;
use super::{Engine, Unseen, backoff};
use crate::error::Error;
use crate::gmail::{AllMail, DELIVERY};
use crate::ledger::{Change, Row};

/// In bytes per second; `wire` gives up what is slower.
const SLOWEST: u64 = 8 << 10;
/// How often All Mail may refuse to open before it is done without.
const ALL_MAIL_REFUSALS_MAX: u32 = 3;

/// A session with the target, for as long as it is open.
pub(super) struct Counted<'a>(&'a Engine);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.state().sessions -= 1;
    }
}

impl Engine {
    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What a person should know although the run goes on.
    pub(super) fn notice(&self) -> Option<Error> {
        let noticed = self.state().notice.clone();
        noticed.or_else(|| {
            let (setup, now) = (self.setup(), Utc::now());
            let ends_soon = setup.target.ends_soon(now);
            ends_soon.or_else(|| setup.source.ends_soon(now))
        })
    }

    /// Nobody saw how this row's APPEND ended: it waits for resolution.
    pub(super) fn unseen_from_now(&self, row: &Row, why: Error) {
        let unseen = Unseen {
            last_byte: Instant::now(),
            why: Some(why),
            looked: false,
            hidden: false,
            anonymous: row.is_anonymous(),
        };
        self.state().unseen.insert(row.id, unseen);
    }

    /// It may be a message that cannot be read: it is looked for again after as long a time. False
    /// when that is known already.
    pub(super) fn still_unseen(&self, id: i64) -> bool {
        self.state().unseen.get_mut(&id).is_some_and(|unseen| {
            unseen.last_byte = Instant::now();
            unseen.looked = true;
            !std::mem::replace(&mut unseen.hidden, true)
        })
    }

    pub(super) fn seen(&self, id: i64) -> Option<Unseen> {
        self.state().unseen.remove(&id)
    }

    /// Rows that nobody saw the end of, but those that were looked for and whose absence does not
    /// count yet: each look costs a session, and where one cannot be read several.
    pub(super) fn worth_a_look(&self) -> Vec<i64> {
        let state = self.state();
        let ripe = |u: &Unseen| u.last_byte.elapsed() >= self.patience(u, state.gmail);
        let worth = state.unseen.iter().filter(|(_, u)| !u.looked || ripe(u));
        worth.map(|(id, _)| *id).collect()
    }

    pub(super) fn looked_for(&self, id: i64) {
        if let Some(unseen) = self.state().unseen.get_mut(&id) {
            unseen.looked = true;
        }
    }

    /// A server may commit late: only after this time is absence believed.
    pub(super) fn absence_counts(&self, id: i64) -> bool {
        let state = self.state();
        state
            .unseen
            .get(&id)
            .is_some_and(|u| u.last_byte.elapsed() >= self.patience(u, state.gmail))
    }

    pub(super) fn was_absent(&self, id: i64) -> bool {
        self.state().absent.contains_key(&id)
    }

    pub(super) fn not_absent(&self, id: i64) {
        self.state().absent.remove(&id);
    }

    /// Takes note that a message is not in the source. True when that was seen before, long enough
    /// ago.
    pub(super) fn absent(&self, id: i64) -> bool {
        let mut state = self.state();
        let first = *state.absent.entry(id).or_insert_with(Instant::now);
        first.elapsed() >= self.times.second_look
    }

    /// The deliverer is heard of again when so many bytes have gone over the slowest link that is
    /// waited for.
    pub(super) fn promise_transfer(&self, bytes: u64) {
        let transfer = Duration::from_secs(bytes / SLOWEST);
        self.promise(DELIVER, self.times.batch + transfer);
    }

    /// A server that says [THROTTLED] with its OKs is given more time from message to message.
    pub(super) fn mind_throttle(&self, throttled: bool) {
        let tries = {
            let mut state = self.state();
            state.throttled_in_a_row = if throttled {
                state.throttled_in_a_row + 1
            } else {
                0
            };
            state.throttled_in_a_row
        };
        if tries > 0 {
            debug!("the target asks for patience");
            thread::sleep(backoff(tries - 1, self.times.throttled));
        }
    }

    pub(super) fn has_sessions(&self) -> bool {
        self.state().sessions > 0
    }

    pub(super) fn count_session(&self) -> Counted<'_> {
        self.state().sessions += 1;
        Counted(self)
    }

    /// An All Mail that hangs, or refuses again and again, is done without for a while.
    pub(super) fn mind_all_mail(&self, all_mail: AllMail) {
        let mut state = self.state();
        state.all_mail_refusals = match all_mail {
            AllMail::Fine => return,
            AllMail::Refused => state.all_mail_refusals + 1,
            AllMail::Stuck => ALL_MAIL_REFUSALS_MAX,
        };
        if state.all_mail_refusals >= ALL_MAIL_REFUSALS_MAX {
            state.all_mail_refusals = 0;
            state.all_mail_out_until = Some(Instant::now() + self.times.all_mail_again);
            warn!("All Mail does not open; looking for copies in {DELIVERY} instead for a while");
        }
    }

    pub(super) fn wake_later(&self, id: i64, at: Instant) {
        if !self.once.load(Ordering::Relaxed) {
            // The ledger has its time.
            return;
        }
        self.state().later.push((at, id));
    }

    /// A message has been settled.
    pub(super) fn count(&self, row: &Row, change: &Change) {
        let mut state = self.state();
        if !matches!(change, Change::Released { .. }) {
            state.last_progress = Instant::now();
        }
        state.tally.settled(row, change);
    }
}
