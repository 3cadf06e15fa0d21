//! What a run waits for by itself: after trouble for another try, between messages because the target asks
//! for patience, and with `--once` for rows that are looked for a second time.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use log::{debug, info};

use super::{Engine, backoff, lock};
use crate::ledger::RowId;

#[derive(Default)]
pub(super) struct Pause {
    waits: Mutex<Waits>,
    /// The run is to end.
    ends: Condvar,
}

#[derive(Default)]
struct Waits {
    /// After trouble: when it is tried again.
    goes_on_at: Option<Instant>,
    /// So many times in a row, each after the wait before it, an answer said [THROTTLED].
    throttled: u32,
    /// The wait for the last of them ends then.
    patient_until: Option<Instant>,
    /// Rows that may be claimed again at a time.
    rows: Vec<(Instant, RowId)>,
}

impl Pause {
    /// Nothing is tried before this moment; or again nothing holds us up.
    pub(super) fn set(&self, goes_on_at: Option<Instant>) {
        lock(&self.waits).goes_on_at = goes_on_at;
    }

    /// For how long nothing is tried.
    pub(super) fn goes_on_in(&self) -> Option<Duration> {
        let at = lock(&self.waits).goes_on_at?;
        at.checked_duration_since(Instant::now())
    }

    /// Takes out the rows whose time has come.
    pub(super) fn take_due(&self, now: Instant) -> Vec<RowId> {
        let mut waits = lock(&self.waits);
        let (due, later): (Vec<_>, Vec<_>) = waits.rows.drain(..).partition(|(at, _)| *at <= now);
        waits.rows = later;
        due.into_iter().map(|(_, row)| row).collect()
    }

    /// When the next row's time comes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        lock(&self.waits).rows.iter().map(|(at, _)| *at).min()
    }

    /// The run is to end: nobody waits any longer.
    pub(super) fn end(&self) {
        // Whoever has just found that it goes on waits by now, or looks once more.
        drop(lock(&self.waits));
        self.ends.notify_all();
    }

    /// Was patience asked for with the last answer?
    pub(super) fn is_throttled(&self) -> bool {
        lock(&self.waits).throttled > 0
    }
}

impl Engine {
    /// Takes note of whether an OK said [THROTTLED]: such a server is given more time from message to message. Those that
    /// come within a wait ask for no longer one.
    pub(super) fn note_throttled(&self, throttled: bool) {
        let mut waits = lock(&self.pause.waits);
        let now = Instant::now();
        if !throttled {
            waits.throttled = 0;
            waits.patient_until = None;
        } else if waits.patient_until.is_none_or(|at| at <= now) {
            waits.patient_until = now.checked_add(backoff(waits.throttled, self.times.throttled));
            waits.throttled += 1;
            drop(waits);
            self.note_patience_asked();
        }
    }

    /// Several sessions are given up one after the other, as long as patience is asked for.
    fn note_patience_asked(&self) {
        let patience = "the target asks for patience";
        if self.workers.note_throttled() {
            info!("{patience}: going on with fewer connections");
        } else {
            debug!("{patience}");
        }
    }

    /// Waits as long as the target asked for, or until the run is to end.
    pub(super) fn wait_if_throttled(&self) {
        let waits = lock(&self.pause.waits);
        let until = waits.patient_until;
        if let Some(left) = until.and_then(|at| at.checked_duration_since(Instant::now())) {
            let goes_on = |_: &mut Waits| !self.stopping();
            drop(self.pause.ends.wait_timeout_while(waits, left, goes_on));
        }
    }

    /// With `--once`: this row may be claimed again at that time.
    pub(super) fn wake_row_at(&self, row: RowId, at: Instant) {
        // Else the ledger has its time.
        if self.once.load(Ordering::Relaxed) {
            lock(&self.pause.waits).rows.push((at, row));
        }
    }
}
