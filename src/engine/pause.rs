//! What a run waits for by itself: after trouble for another try, between messages because the target asks
//! for patience, and with `--once` for rows that are looked for a second time.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use log::debug;

use super::{Engine, backoff, lock};
use crate::ledger::RowId;

#[derive(Default)]
pub(super) struct Pause(Mutex<Waits>);

#[derive(Default)]
struct Waits {
    /// After trouble: when it is tried again.
    goes_on_at: Option<Instant>,
    /// So many answers in a row said [THROTTLED].
    throttled: u32,
    /// Rows that may be claimed again at a time.
    rows: Vec<(Instant, RowId)>,
}

impl Pause {
    /// Nothing is tried before this moment; or again nothing holds us up.
    pub(super) fn set(&self, goes_on_at: Option<Instant>) {
        lock(&self.0).goes_on_at = goes_on_at;
    }

    /// For how long nothing is tried.
    pub(super) fn goes_on_in(&self) -> Option<Duration> {
        let at = lock(&self.0).goes_on_at?;
        at.checked_duration_since(Instant::now())
    }

    /// Takes out the rows whose time has come.
    pub(super) fn take_due(&self, now: Instant) -> Vec<RowId> {
        let mut waits = lock(&self.0);
        let (due, later): (Vec<_>, Vec<_>) = waits.rows.drain(..).partition(|(at, _)| *at <= now);
        waits.rows = later;
        due.into_iter().map(|(_, row)| row).collect()
    }

    /// When the next row's time comes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        lock(&self.0).rows.iter().map(|(at, _)| *at).min()
    }

    /// So many answers in a row, this one included, asked for patience.
    fn note_throttled(&self, throttled: bool) -> u32 {
        let mut waits = lock(&self.0);
        waits.throttled = if throttled { waits.throttled + 1 } else { 0 };
        waits.throttled
    }
}

impl Engine {
    /// A server that says [THROTTLED] with its OKs is given more time from message to message.
    pub(super) fn wait_if_throttled(&self, throttled: bool) {
        let times = self.pause.note_throttled(throttled);
        if times > 0 {
            debug!("the target asks for patience");
            thread::sleep(backoff(times - 1, self.times.throttled));
        }
    }

    /// With `--once`: this row may be claimed again at that time.
    pub(super) fn wake_row_at(&self, row: RowId, at: Instant) {
        // Else the ledger has its time.
        if self.once.load(Ordering::Relaxed) {
            lock(&self.pause.0).rows.push((at, row));
        }
    }
}
